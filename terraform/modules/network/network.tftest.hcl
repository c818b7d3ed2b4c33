mock_provider "aws" {
  mock_data "aws_region" {
    defaults = { name = "eu-central-1" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
}

variables {
  name  = "demo"
  zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
  tags  = { team = "streaming" }
}

run "makes_a_vpc_without_a_way_out" {
  assert {
    condition     = length(aws_nat_gateway.zone) == 0 && length(aws_internet_gateway.made) == 0 && length(aws_subnet.public) == 0 && length(aws_route.private) == 0
    error_message = "there is a way to the internet"
  }
  assert {
    condition     = { for zone, s in aws_subnet.private : zone => s.cidr_block } == { "eu-central-1a" = "10.60.0.0/19", "eu-central-1b" = "10.60.32.0/19", "eu-central-1c" = "10.60.64.0/19" }
    error_message = jsonencode({ for zone, s in aws_subnet.private : zone => s.cidr_block })
  }
  assert {
    condition     = { for zone, s in aws_subnet.private : zone => s.availability_zone } == { for zone in var.zones : zone => zone }
    error_message = "a subnet lies in another zone than it is named for"
  }
  assert {
    condition     = { for zone, id in output.subnet_ids_by_zone : zone => id } == { for zone, s in aws_subnet.private : zone => s.id }
    error_message = jsonencode(output.subnet_ids_by_zone)
  }
  assert {
    condition     = toset([for e in aws_vpc_endpoint.service : e.service_name]) == toset([for s in ["ecr.api", "ecr.dkr", "logs", "secretsmanager"] : "com.amazonaws.eu-central-1.${s}"])
    error_message = jsonencode([for e in aws_vpc_endpoint.service : e.service_name])
  }
  assert {
    condition     = alltrue([for e in aws_vpc_endpoint.service : e.private_dns_enabled && e.vpc_endpoint_type == "Interface" && length(e.subnet_ids) == 3])
    error_message = "an interface endpoint does not answer by the service's own name in all zones"
  }
  assert {
    condition     = aws_vpc_endpoint.s3[0].vpc_endpoint_type == "Gateway" && toset(aws_vpc_endpoint.s3[0].route_table_ids) == toset([for t in aws_route_table.private : t.id])
    error_message = "S3 is not reached by the gateway endpoint from all private subnets"
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.endpoints[0].cidr_ipv4 == "10.60.0.0/16" && aws_vpc_security_group_ingress_rule.endpoints[0].to_port == 443
    error_message = "endpoints let in more or less than HTTPS from the VPC"
  }
  assert {
    condition     = aws_vpc.made[0].enable_dns_hostnames && aws_vpc.made[0].enable_dns_support && aws_vpc.made[0].tags == tomap({ Name = "demo", team = "streaming" })
    error_message = "the VPC resolves no names of endpoints, or lacks its tags"
  }
}

run "s3_endpoint_lets_through_what_is_needed" {
  variables {
    bucket_arns = ["arn:aws:s3:::demo"]
  }

  assert {
    condition = jsondecode(aws_vpc_endpoint.s3[0].policy).Statement[*].Resource == [
      ["arn:aws:s3:::demo", "arn:aws:s3:::demo/*"], ["arn:aws:s3:::prod-eu-central-1-starport-layer-bucket/*"]
    ]
    error_message = "the endpoint lets through other than the bucket and ECR's layers: ${aws_vpc_endpoint.s3[0].policy}"
  }
  assert {
    condition     = jsondecode(aws_vpc_endpoint.s3[0].policy).Statement[1].Action == ["s3:GetObject"]
    error_message = aws_vpc_endpoint.s3[0].policy
  }
}

run "one_nat_gateway" {
  variables {
    egress = "nat"
  }

  assert {
    condition     = keys(aws_nat_gateway.zone) == ["eu-central-1a"] && length(aws_vpc_endpoint.service) == 0
    error_message = jsonencode(keys(aws_nat_gateway.zone))
  }
  assert {
    condition     = alltrue([for zone in var.zones : aws_route.private[zone].nat_gateway_id == aws_nat_gateway.zone["eu-central-1a"].id])
    error_message = "a zone has no way out"
  }
  assert {
    condition     = aws_subnet.public["eu-central-1a"].cidr_block == "10.60.128.0/20"
    error_message = aws_subnet.public["eu-central-1a"].cidr_block
  }
}

run "a_nat_gateway_for_each_zone" {
  variables {
    egress = "nat_per_zone"
  }

  assert {
    condition     = alltrue([for zone in var.zones : aws_route.private[zone].nat_gateway_id == aws_nat_gateway.zone[zone].id])
    error_message = "a zone's way out leads through another zone"
  }
  assert {
    condition     = length(distinct(concat([for s in aws_subnet.private : s.cidr_block], [for s in aws_subnet.public : s.cidr_block]))) == 6
    error_message = "subnets overlap"
  }
}

run "uses_a_vpc_that_there_is" {
  variables {
    vpc_id             = "vpc-1"
    subnet_ids_by_zone = { "eu-central-1a" = "subnet-a", "eu-central-1b" = "subnet-b", "eu-central-1c" = "subnet-c" }
  }

  override_data {
    target = data.aws_vpc.given[0]
    values = { id = "vpc-1", cidr_block = "10.0.0.0/16" }
  }
  override_data {
    target = data.aws_subnet.given["eu-central-1a"]
    values = { id = "subnet-a", vpc_id = "vpc-1", availability_zone = "eu-central-1a", availability_zone_id = "euc1-az2" }
  }
  override_data {
    target = data.aws_subnet.given["eu-central-1b"]
    values = { id = "subnet-b", vpc_id = "vpc-1", availability_zone = "eu-central-1b", availability_zone_id = "euc1-az3" }
  }
  override_data {
    target = data.aws_subnet.given["eu-central-1c"]
    values = { id = "subnet-c", vpc_id = "vpc-1", availability_zone = "eu-central-1c", availability_zone_id = "euc1-az1" }
  }

  assert {
    condition     = length(aws_vpc.made) + length(aws_subnet.private) + length(aws_vpc_endpoint.s3) + length(aws_vpc_endpoint.service) == 0
    error_message = "something was made in a VPC of somebody else"
  }
  assert {
    condition     = output.vpc_id == "vpc-1" && output.vpc_cidr == "10.0.0.0/16" && output.subnet_ids_by_zone["eu-central-1b"] == "subnet-b" && output.s3_endpoint_id == null
    error_message = "not what was given"
  }
}

run "makes_the_s3_endpoint_for_route_tables_that_are_given" {
  variables {
    zones              = ["eu-central-1a"]
    vpc_id             = "vpc-1"
    subnet_ids_by_zone = { "eu-central-1a" = "subnet-a" }
    route_table_ids    = ["rtb-1"]
  }

  override_data {
    target = data.aws_vpc.given[0]
    values = { id = "vpc-1", cidr_block = "10.0.0.0/16" }
  }
  override_data {
    target = data.aws_subnet.given["eu-central-1a"]
    values = { id = "subnet-a", vpc_id = "vpc-1", availability_zone = "eu-central-1a", availability_zone_id = "euc1-az2" }
  }

  assert {
    condition     = aws_vpc_endpoint.s3[0].vpc_id == "vpc-1" && toset(aws_vpc_endpoint.s3[0].route_table_ids) == toset(["rtb-1"])
    error_message = "no endpoint for the route table"
  }
}

run "refuses_a_subnet_of_another_zone" {
  command = plan

  variables {
    zones              = ["eu-central-1a"]
    vpc_id             = "vpc-1"
    subnet_ids_by_zone = { "eu-central-1a" = "subnet-b" }
  }

  override_data {
    target = data.aws_subnet.given["eu-central-1a"]
    values = { id = "subnet-b", vpc_id = "vpc-1", availability_zone = "eu-central-1b", availability_zone_id = "euc1-az3" }
  }

  expect_failures = [data.aws_subnet.given["eu-central-1a"]]
}

run "refuses_a_subnet_of_another_vpc" {
  command = plan

  variables {
    zones              = ["eu-central-1a"]
    vpc_id             = "vpc-1"
    subnet_ids_by_zone = { "eu-central-1a" = "subnet-a" }
  }

  override_data {
    target = data.aws_subnet.given["eu-central-1a"]
    values = { id = "subnet-a", vpc_id = "vpc-2", availability_zone = "eu-central-1a", availability_zone_id = "euc1-az2" }
  }

  expect_failures = [data.aws_subnet.given["eu-central-1a"]]
}

run "refuses_subnets_that_do_not_match_zones" {
  command = plan

  variables {
    vpc_id             = "vpc-1"
    subnet_ids_by_zone = { "eu-central-1a" = "subnet-a" }
  }

  override_data {
    target = data.aws_subnet.given["eu-central-1a"]
    values = { id = "subnet-a", vpc_id = "vpc-1", availability_zone = "eu-central-1a", availability_zone_id = "euc1-az2" }
  }

  expect_failures = [var.subnet_ids_by_zone]
}

run "refuses_subnets_without_a_vpc" {
  command = plan

  variables {
    zones              = ["eu-central-1a"]
    subnet_ids_by_zone = { "eu-central-1a" = "subnet-a" }
  }

  override_data {
    target = data.aws_subnet.given["eu-central-1a"]
    values = { id = "subnet-a", vpc_id = "", availability_zone = "eu-central-1a", availability_zone_id = "euc1-az2" }
  }

  expect_failures = [var.subnet_ids_by_zone]
}

run "refuses_a_small_network" {
  command = plan

  variables {
    cidr = "10.0.0.0/28"
  }

  expect_failures = [var.cidr]
}

run "refuses_another_way_out" {
  command = plan

  variables {
    egress = "internet"
  }

  expect_failures = [var.egress]
}

run "refuses_more_zones_than_it_has_room_for" {
  command = plan

  variables {
    zones = ["us-east-1a", "us-east-1b", "us-east-1c", "us-east-1d", "us-east-1e"]
  }

  expect_failures = [var.zones]
}
