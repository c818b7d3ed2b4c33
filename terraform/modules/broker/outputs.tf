output "bootstrap" {
  description = "Where clients begin: the load balancer, in the client's own zone if there is a broker."
  value       = "${aws_lb.this.dns_name}:${local.ports.kafka}"
}

output "bootstrap_by_zone" {
  description = "Where clients begin that want brokers of one zone alone, by zone."
  value       = { for zone in local.zones : zone => "${zone}.${aws_lb.this.dns_name}:${local.ports.kafka}" }
}

output "client_security_group_id" {
  description = "Security group to attach to clients."
  value       = aws_security_group.clients.id
}

output "load_balancer_security_group_id" {
  description = "Security group of the load balancer."
  value       = aws_security_group.load_balancer.id
}

output "admin_url" {
  description = "Admin server of some broker (/readyz, /metrics), for admin_cidrs."
  value       = "${local.admin_scheme}://${aws_lb.this.dns_name}:${local.ports.admin}"
}

output "load_balancer_arn" {
  description = "The load balancer."
  value       = aws_lb.this.arn
}

output "alarm_arns" {
  description = "Alarms, by name."
  value       = { for name, alarm in aws_cloudwatch_metric_alarm.this : name => alarm.arn }
}

output "dashboard_name" {
  description = "The dashboard in CloudWatch."
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}

output "role_arn" {
  description = "Role of the brokers: the task's or the instance's."
  value       = aws_iam_role.broker.arn
}

output "log_group" {
  description = "Log group of the brokers."
  value       = aws_cloudwatch_log_group.this.name
}

output "cluster_name" {
  description = "The ECS cluster; null on EC2."
  value       = local.on_ecs ? one(aws_ecs_cluster.this[*].name) : null
}

output "task_definition_arn" {
  description = "The task definition, for one-off tasks such as `runnel fsck`; null on EC2."
  value       = one(aws_ecs_task_definition.this[*].arn)
}

output "autoscaling_group_names" {
  description = "Auto Scaling groups by zone; empty on ECS."
  value       = { for zone, group in aws_autoscaling_group.this : zone => group.name }
}
