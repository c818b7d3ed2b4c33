# What somebody has who brings his own: a network, a bucket, a database's group and password.
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 6.0"
    }
  }
}

provider "aws" {
  s3_use_path_style = true
}

locals {
  zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
}

resource "aws_vpc" "own" {
  cidr_block = "10.9.0.0/16"
}

resource "aws_subnet" "own" {
  for_each = toset(local.zones)

  vpc_id            = aws_vpc.own.id
  availability_zone = each.key
  cidr_block        = cidrsubnet("10.9.0.0/16", 8, index(local.zones, each.key))
}

resource "aws_security_group" "database" {
  name   = "database"
  vpc_id = aws_vpc.own.id
}

resource "aws_s3_bucket" "own" {
  bucket = "records-of-mine"
}

resource "aws_secretsmanager_secret" "password" {
  name = "database-password"
}

output "vpc_id" {
  value = aws_vpc.own.id
}

output "subnet_ids_by_zone" {
  value = { for zone, subnet in aws_subnet.own : zone => subnet.id }
}

output "bucket_name" {
  value = aws_s3_bucket.own.bucket
}

output "database_password_secret_arn" {
  value = aws_secretsmanager_secret.password.arn
}

output "database_security_group_id" {
  value = aws_security_group.database.id
}

output "database_url" {
  value = "postgres://runnel@db.example.com:5432/runnel?sslmode=verify-full"
}

output "database_cidr" {
  value = "10.9.0.0/16"
}

output "client_cidrs" {
  value = ["10.0.0.0/8"]
}
