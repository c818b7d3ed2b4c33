# What a cluster has that people depend on: TLS and logins, a key of its own, no way to the internet, Aurora, brokers that
# follow the load, alarms that tell somebody.
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

  default_tags {
    tags = { environment = "production" }
  }
}

data "aws_caller_identity" "current" {}

locals {
  # Copies of the images; `crane copy ghcr.io/runnel-io/runnel:0.1.0 REGISTRY/runnel:0.1.0` makes one.
  registry = "${data.aws_caller_identity.current.account_id}.dkr.ecr.${var.region}.amazonaws.com"
}

resource "aws_kms_key" "runnel" {
  description         = "Records, metadata and secrets of Runnel"
  enable_key_rotation = true
}

resource "aws_sns_topic" "alarms" {
  name = "runnel-alarms"
}

module "runnel" {
  source = "../.."

  name  = "events"
  zones = var.zones
  image = "${local.registry}/runnel:0.1.0"

  # 100 MB/s at peak. By night a broker in each zone carries what there is.
  throughput           = 100
  brokers_per_zone     = 2
  max_brokers_per_zone = 6

  kms_key_arn = aws_kms_key.runnel.arn
  engine      = "aurora"
  versioning  = true

  protocol    = "SASL_SSL"
  files       = { "tls.crt" = var.certificate_secret_arn, "tls.key" = var.key_secret_arn }
  files_image = "${local.registry}/busybox:1.37.0"
  environment = {
    RUNNEL_AUTHORIZER                  = "on"
    RUNNEL_AUTH_BOOTSTRAP_USER         = "admin"
    RUNNEL_CLUSTER_SUPER_USERS         = "User:admin"
    RUNNEL_CLUSTER_MIN_INSYNC_REPLICAS = "2"
    RUNNEL_CLUSTER_NUM_PARTITIONS      = "12"
    RUNNEL_CLUSTER_MAX_CONNECTIONS     = "20000"
    RUNNEL_AUDIT_TO                    = "topic:audit"
  }
  secrets = {
    RUNNEL_AUTH_BOOTSTRAP_PASSWORD = var.admin_password_secret_arn
  }

  # Clients of other VPCs, which are peered, and what their addresses say of their zone.
  client_cidrs   = keys(var.client_subnets)
  client_subnets = var.client_subnets

  alarm_topic_arns    = [aws_sns_topic.alarms.arn]
  s3_request_metrics  = true
  log_retention_days  = 90
  deletion_protection = var.deletion_protection
  snapshot_on_destroy = var.snapshot_on_destroy
}
