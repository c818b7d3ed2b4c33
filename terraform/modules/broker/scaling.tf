# Brokers hold nothing, so that their number follows the load in either direction.
resource "aws_appautoscaling_target" "this" {
  for_each = aws_ecs_service.this

  service_namespace  = "ecs"
  resource_id        = "service/${aws_ecs_cluster.this[0].name}/${each.value.name}"
  scalable_dimension = "ecs:service:DesiredCount"
  min_capacity       = var.brokers_per_zone
  max_capacity       = var.max_brokers_per_zone
  tags               = var.tags
}

resource "aws_appautoscaling_policy" "cpu" {
  for_each = var.max_brokers_per_zone > var.brokers_per_zone ? aws_appautoscaling_target.this : {}

  name               = "cpu"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = each.value.service_namespace
  resource_id        = each.value.resource_id
  scalable_dimension = each.value.scalable_dimension

  target_tracking_scaling_policy_configuration {
    target_value = var.cpu_target
    # Clients move with each change: up at once, down only when the load has stayed low.
    scale_out_cooldown = 60
    scale_in_cooldown  = 900

    predefined_metric_specification {
      predefined_metric_type = "ECSServiceAverageCPUUtilization"
    }
  }
}

resource "aws_autoscaling_policy" "cpu" {
  for_each = var.max_brokers_per_zone > var.brokers_per_zone ? aws_autoscaling_group.this : {}

  name                   = "${each.value.name}-cpu"
  policy_type            = "TargetTrackingScaling"
  autoscaling_group_name = each.value.name

  target_tracking_configuration {
    target_value = var.cpu_target

    predefined_metric_specification {
      predefined_metric_type = "ASGAverageCPUUtilization"
    }
  }
}
