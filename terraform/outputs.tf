output "bootstrap" {
  description = "bootstrap.servers of clients: the load balancer, which leads to brokers of the client's own zone if there are any."
  value       = module.broker.bootstrap
}

output "bootstrap_by_zone" {
  description = "bootstrap.servers of clients that name their zone, by zone."
  value       = module.broker.bootstrap_by_zone
}

output "bootstrap_by_region" {
  description = "bootstrap.servers by region: one, in the form that is merged over the clusters of several."
  value       = { (local.region) = module.broker.bootstrap }
}

output "client_properties" {
  description = "Properties of a Java client, but for its zone and its login."
  value       = local.client_properties
}

output "client_properties_by_zone" {
  description = "Properties of a Java client in a zone."
  value = { for zone, bootstrap in module.broker.bootstrap_by_zone : zone => join("\n", [
    "# bootstrap of this zone alone: ${bootstrap}",
    trimspace(local.client_properties),
    "client.rack=${zone}",
    "# for producers, and for consumers of topics with fewer replicas than zones; any name, with the zone behind it",
    "client.id=my-application,zone=${zone}",
    "",
  ]) }
}

locals {
  client_properties = join("\n", concat(
    ["bootstrap.servers=${module.broker.bootstrap}", "security.protocol=${var.protocol}"],
    startswith(var.protocol, "SASL") ? ["sasl.mechanism=SCRAM-SHA-512", "# sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username=\"...\" password=\"...\";"] : [],
    [""],
  ))
}

output "client_security_group_id" {
  description = "Security group to attach to clients."
  value       = module.broker.client_security_group_id
}

output "broker_security_group_id" {
  description = "Security group of the brokers: what a database of your own lets in."
  value       = aws_security_group.brokers.id
}

output "admin_url" {
  description = "Admin server of some broker (/readyz, /metrics), for admin_cidrs."
  value       = module.broker.admin_url
}

output "load_balancer_arn" {
  description = "The load balancer."
  value       = module.broker.load_balancer_arn
}

output "vpc_id" {
  description = "VPC of the cluster."
  value       = module.network.vpc_id
}

output "subnet_ids_by_zone" {
  description = "Subnets of the brokers."
  value       = module.network.subnet_ids_by_zone
}

output "route_table_ids" {
  description = "Route tables of the brokers' subnets, such as for a peering; of a VPC of yours, those that were given."
  value       = module.network.private_route_table_ids
}

output "bucket" {
  description = "Bucket of the records."
  value       = module.bucket.name
}

output "broker_policy_json" {
  description = "What brokers may do; `runnel generate iam-policy` makes the same."
  value       = module.plan.broker_policy_json
}

output "broker_role_arn" {
  description = "Role of the brokers."
  value       = module.broker.role_arn
}

output "database_url" {
  description = "The database, without password."
  value       = module.postgres.url
}

output "database_secret_arn" {
  description = "The secret of the database's owner, which RDS keeps; or yours."
  value       = module.postgres.password_secret_arn
}

output "cluster_name" {
  description = "The ECS cluster; null on EC2."
  value       = module.broker.cluster_name
}

output "task_definition_arn" {
  description = "The task definition, for one-off tasks such as `runnel fsck`; null on EC2."
  value       = module.broker.task_definition_arn
}

output "autoscaling_group_names" {
  description = "Auto Scaling groups by zone; empty on ECS."
  value       = module.broker.autoscaling_group_names
}

output "log_group" {
  description = "Log group of the brokers."
  value       = module.broker.log_group
}

output "alarm_arns" {
  description = "Alarms, by name."
  value = merge(
    module.broker.alarm_arns,
    { for name, alarm in aws_cloudwatch_metric_alarm.database : name => alarm.arn },
    { for name, alarm in aws_cloudwatch_metric_alarm.bucket : name => alarm.arn },
  )
}

output "dashboard_name" {
  description = "The dashboard in CloudWatch."
  value       = module.broker.dashboard_name
}

output "size" {
  description = "What a broker got, and how many there are in a zone."
  value       = module.plan.size
}

output "monthly_cost" {
  description = "What it costs a month, about, by list prices and the load that was given, with brokers on Fargate and the class of database that goes with it: see docs/cost.md."
  value       = module.plan.monthly_cost
}
