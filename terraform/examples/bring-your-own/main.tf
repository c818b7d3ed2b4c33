# A network, a bucket and a database that are there, and brokers on EC2 among them.
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

module "runnel" {
  source = "../.."

  name     = "runnel"
  image    = "ghcr.io/runnel-io/runnel:0.1.0"
  platform = "ec2"

  throughput           = 25
  brokers_per_zone     = 1
  max_brokers_per_zone = 3

  vpc_id             = var.vpc_id
  subnet_ids_by_zone = var.subnet_ids_by_zone
  client_cidrs       = var.client_cidrs

  bucket_name     = var.bucket_name
  existing_bucket = true

  engine              = "own"
  url                 = var.database_url
  password_secret_arn = var.database_password_secret_arn
  database_cidr       = var.database_cidr
}

# The database lets the brokers in.
resource "aws_vpc_security_group_ingress_rule" "database" {
  count = var.database_security_group_id == "" ? 0 : 1

  security_group_id            = var.database_security_group_id
  description                  = "PostgreSQL from Runnel"
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
  referenced_security_group_id = module.runnel.broker_security_group_id
}

output "bootstrap" {
  description = "bootstrap.servers of clients."
  value       = module.runnel.bootstrap
}

output "autoscaling_group_names" {
  description = "Auto Scaling groups by zone."
  value       = module.runnel.autoscaling_group_names
}
