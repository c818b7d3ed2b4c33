output "vpc_id" {
  description = "The VPC, made or given."
  value       = local.made ? aws_vpc.made[0].id : var.vpc_id
}

output "vpc_cidr" {
  description = "Addresses of the VPC."
  value       = local.made ? aws_vpc.made[0].cidr_block : data.aws_vpc.given[0].cidr_block
}

output "subnet_ids_by_zone" {
  description = "Subnets of brokers and database, by zone."
  value = local.made ? { for zone, subnet in aws_subnet.private : zone => subnet.id } : {
    for zone, subnet in data.aws_subnet.given : zone => subnet.id
  }
}

output "s3_endpoint_id" {
  description = "The gateway endpoint of S3; null if a VPC was given without route_table_ids."
  value       = one(aws_vpc_endpoint.s3[*].id)
}

output "private_route_table_ids" {
  description = "Route tables of the subnets, such as for a peering."
  value       = local.route_tables
}

output "endpoint_security_group_id" {
  description = "Security group of the interface endpoints; null if there are none."
  value       = one(aws_security_group.endpoints[*].id)
}
