variable "name" {
  description = "Name of the cluster, which everything bears."
  type        = string
  nullable    = false
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "region" {
  description = "Region, which names the endpoints. Empty: the provider's."
  type        = string
  default     = ""
  nullable    = false
}

variable "cidr" {
  description = "Addresses of the VPC that is made: a /16 to /24. Each zone gets an eighth of it for brokers and database."
  type        = string
  default     = "10.60.0.0/16"
  nullable    = false

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && try(tonumber(split("/", var.cidr)[1]) >= 16 && tonumber(split("/", var.cidr)[1]) <= 24, false)
    error_message = "Give a network of IPv4 from /16 to /24, such as \"10.60.0.0/16\", that overlaps none that it is to be peered with."
  }
}

variable "zones" {
  description = "Availability zones that have brokers."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.zones) >= 1 && length(distinct(var.zones)) == length(var.zones)
    error_message = "Give zones, each once."
  }
  validation {
    condition     = length(var.zones) <= 4 || var.vpc_id != ""
    error_message = "A VPC that is made has room for 4 zones: give fewer, or vpc_id and subnets of your own."
  }
}

variable "vpc_id" {
  description = "A VPC that there is. Empty: one is made."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.vpc_id == "" || startswith(var.vpc_id, "vpc-")
    error_message = "Give the id of a VPC (vpc-...), or nothing to have one made."
  }
}

variable "subnet_ids_by_zone" {
  description = "Subnets of vpc_id by zone, such as { eu-central-1a = \"subnet-1\" }: private ones, which reach ECR, CloudWatch Logs and Secrets Manager by a NAT gateway or endpoints of their own."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = (var.vpc_id == "") == (length(var.subnet_ids_by_zone) == 0)
    error_message = "vpc_id and subnet_ids_by_zone belong together: give both to use a VPC that there is, or neither to have one made."
  }
  validation {
    condition     = length(var.subnet_ids_by_zone) == 0 || toset(keys(var.subnet_ids_by_zone)) == toset(var.zones)
    error_message = "subnet_ids_by_zone must name one subnet for each of zones and no others: zones is [${join(", ", var.zones)}], and there are subnets for [${join(", ", keys(var.subnet_ids_by_zone))}]."
  }
}

variable "route_table_ids" {
  description = "Route tables of subnet_ids_by_zone, to have the endpoint of S3 made for them. Empty: there is one already; without it, all records go through a NAT gateway, which costs 0.045 USD for each GB."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.route_table_ids) == 0 || var.vpc_id != ""
    error_message = "route_table_ids are for a VPC that there is; the one that is made has its own."
  }
}

variable "egress" {
  description = <<-EOT
    How brokers in the VPC that is made reach ECR, CloudWatch Logs and Secrets Manager. Records never go this way: S3 has a
    gateway endpoint, which costs nothing.
      endpoints     no way to the internet: an interface endpoint for each of endpoint_services and zone; four of them in three
                    zones cost 88 USD a month. The image must lie in ECR.
      nat           one NAT gateway, 33 USD a month; while its zone is lost, brokers of others do not start.
      nat_per_zone  a NAT gateway in each zone, 99 USD a month for three.
      none          nothing: you make your own.
  EOT
  type        = string
  default     = "endpoints"
  nullable    = false

  validation {
    condition     = contains(["endpoints", "nat", "nat_per_zone", "none"], var.egress)
    error_message = "egress must be endpoints, nat, nat_per_zone or none."
  }
}

variable "endpoint_services" {
  description = "AWS services that have interface endpoints with egress = endpoints. Fargate needs these four; on EC2 add autoscaling, and ssm and ssmmessages for Session Manager."
  type        = set(string)
  default     = ["ecr.api", "ecr.dkr", "logs", "secretsmanager"]
  nullable    = false
}

variable "bucket_arns" {
  description = "Buckets that the endpoint of S3 lets through, beside the one of ECR's layers. Empty: all buckets, as if it had no policy."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.bucket_arns : can(regex("^arn:[a-z-]+:s3:::[a-z0-9.-]+$", arn))])
    error_message = "Give ARNs of buckets, arn:aws:s3:::NAME."
  }
}
