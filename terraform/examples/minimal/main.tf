# The least: a cluster in a VPC of its own, of one broker in each of three zones, for clients in that VPC.
terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 6.0"
    }
  }
}

provider "aws" {
  region = var.region
}

variable "region" {
  description = "Region of the cluster."
  type        = string
  default     = "eu-central-1"
}

module "runnel" {
  source = "../.."

  name  = "runnel"
  image = "ghcr.io/runnel-io/runnel:0.1.0"

  throughput       = 10
  brokers_per_zone = 1

  # The image comes from the internet. With a copy of it in ECR, `endpoints` needs no way there at all.
  egress = "nat"

  # This one may go as it came.
  multi_az            = false
  deletion_protection = false
  snapshot_on_destroy = false
}

output "bootstrap" {
  description = "bootstrap.servers of clients."
  value       = module.runnel.bootstrap
}

output "client_security_group_id" {
  description = "Security group to attach to clients."
  value       = module.runnel.client_security_group_id
}

output "client_properties" {
  description = "Properties of a Java client."
  value       = module.runnel.client_properties
}
