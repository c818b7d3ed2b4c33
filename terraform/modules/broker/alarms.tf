locals {
  load_balancer_dimension = aws_lb.this.arn_suffix
  target_group_dimension  = aws_lb_target_group.this["kafka"].arn_suffix
  log_metrics             = "Runnel/${var.name}"

  # By their names, and not by what is made: a service goes back by an alarm that is there before it.
  service_dimensions = { for zone in local.on_ecs ? local.zones : [] : zone => { ClusterName = var.name, ServiceName = "${var.name}-${zone}" } }
  group_dimensions   = { for zone in local.on_ec2 ? local.zones : [] : zone => { AutoScalingGroupName = local.group_names[zone] } }
  unready_alarms     = { for zone in local.zones : zone => "${var.name}-unhealthy-${zone}" }
  cpu_dimensions     = merge(local.service_dimensions, local.group_dimensions)
  compute            = local.on_ecs ? "AWS/ECS" : "AWS/EC2"

  zone_dimensions = { for zone in local.zones : zone => {
    LoadBalancer     = local.load_balancer_dimension
    TargetGroup      = local.target_group_dimension
    AvailabilityZone = zone
  } }

  alarms = merge(
    { for zone, d in local.zone_dimensions : "no-broker-${zone}" => {
      text      = "No broker is ready in ${zone}: its clients go to other zones, which costs time and traffic."
      namespace = "AWS/NetworkELB", metric = "HealthyHostCount", dimensions = d, statistic = "Maximum"
      operator  = "LessThanThreshold", threshold = 1, periods = 3, datapoints = 3, period = 60, missing = "breaching"
    } },
    { for zone, d in local.zone_dimensions : "unhealthy-${zone}" => {
      text      = "A broker in ${zone} is not ready: its log says why, as do the alarms of database and bucket if all are."
      namespace = "AWS/NetworkELB", metric = "UnHealthyHostCount", dimensions = d, statistic = "Minimum"
      operator  = "GreaterThanThreshold", threshold = 0, periods = 5, datapoints = 5, period = 60, missing = "notBreaching"
    } },
    { for zone, d in local.cpu_dimensions : "cpu-${zone}" => {
      text      = "Brokers in ${zone} have been short of CPU for 15 minutes: allow more of them (max_brokers_per_zone), or larger ones."
      namespace = local.compute, metric = "CPUUtilization", dimensions = d, statistic = "Average"
      operator  = "GreaterThanThreshold", threshold = 85, periods = 3, datapoints = 3, period = 300, missing = "notBreaching"
    } },
    { for zone, d in local.service_dimensions : "memory-${zone}" => {
      text      = "Brokers in ${zone} are close to the end of their memory: one that has none left is killed."
      namespace = local.compute, metric = "MemoryUtilization", dimensions = d, statistic = "Maximum"
      operator  = "GreaterThanThreshold", threshold = 92, periods = 3, datapoints = 3, period = 300, missing = "notBreaching"
    } },
    {
      "restarts" = {
        text      = "Brokers have joined the cluster more often in an hour than a deployment and scaling explain: they end, and are started again."
        namespace = local.log_metrics, metric = "Joins", dimensions = {}, statistic = "Sum"
        operator  = "GreaterThanThreshold", threshold = 3 * length(local.zones) * var.max_brokers_per_zone, periods = 1, datapoints = 1, period = 3600, missing = "notBreaching"
      }
      "errors" = {
        text      = "Brokers log errors, which are for somebody to look at: ${aws_cloudwatch_log_group.this.name}."
        namespace = local.log_metrics, metric = "Errors", dimensions = {}, statistic = "Sum"
        operator  = "GreaterThanThreshold", threshold = 0, periods = 1, datapoints = 1, period = 300, missing = "notBreaching"
      }
    },
  )

  # What brokers log as JSON.
  log_filters = {
    Joins  = "{ $.msg = \"joined cluster\" }"
    Errors = "{ $.level = \"ERROR\" }"
  }
}

resource "aws_cloudwatch_log_metric_filter" "this" {
  for_each = local.log_filters

  name           = "${var.name}-${lower(each.key)}"
  log_group_name = aws_cloudwatch_log_group.this.name
  pattern        = each.value

  metric_transformation {
    name          = each.key
    namespace     = local.log_metrics
    value         = "1"
    default_value = "0"
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.text
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  comparison_operator = each.value.operator
  threshold           = each.value.threshold
  evaluation_periods  = each.value.periods
  datapoints_to_alarm = each.value.datapoints
  period              = each.value.period
  treat_missing_data  = each.value.missing
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = var.tags
}
