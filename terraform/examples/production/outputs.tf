output "bootstrap" {
  description = "bootstrap.servers of clients."
  value       = module.runnel.bootstrap
}

output "client_properties_by_zone" {
  description = "Properties of a Java client in a zone."
  value       = module.runnel.client_properties_by_zone
}

output "client_security_group_id" {
  description = "Security group to attach to clients in the VPC."
  value       = module.runnel.client_security_group_id
}

output "alarm_arns" {
  description = "Alarms, by name."
  value       = module.runnel.alarm_arns
}

output "monthly_cost" {
  description = "What it costs a month, about."
  value       = module.runnel.monthly_cost
}
