data "aws_region" "current" {}
data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

data "aws_availability_zones" "available" {
  count = length(local.named_zones) == 0 ? 1 : 0

  state = "available"
  # No Local Zones: they have neither S3 nor RDS.
  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

locals {
  region = data.aws_region.current.name

  named_zones = length(var.zones) > 0 ? var.zones : keys(var.subnet_ids_by_zone)
  zones       = length(local.named_zones) > 0 ? local.named_zones : slice(data.aws_availability_zones.available[0].names, 0, min(3, length(data.aws_availability_zones.available[0].names)))

  brokers_per_zone = module.plan.size.brokers_per_zone

  # Without an own network there is nothing to be closed off.
  closed = var.vpc_id == "" && var.egress == "endpoints"
  images = concat([var.image], var.platform == "ecs" && length(var.files) > 0 ? [var.files_image] : [])

  endpoint_services = concat(
    ["ecr.api", "ecr.dkr", "logs", "secretsmanager"],
    var.platform == "ec2" ? ["autoscaling"] : [],
    var.platform == "ec2" && var.sessions ? ["ssm", "ssmmessages"] : [],
  )
  # What of the way out is paid for by the hour.
  prices = {
    endpoint_count = local.closed ? length(local.endpoint_services) : 0
    nat_count      = var.vpc_id != "" ? 0 : lookup({ nat = 1, nat_per_zone = length(local.zones) }, var.egress, 0)
  }

  # What the endpoint of S3 lets through where there is no other way out: records, layers of images, and Amazon Linux.
  passable_buckets = local.closed ? concat(
    ["arn:${data.aws_partition.current.partition}:s3:::${module.plan.names.bucket}"],
    var.platform == "ec2" ? ["arn:${data.aws_partition.current.partition}:s3:::al2023-repos-${local.region}-de612dc2"] : [],
  ) : []

  own_database   = var.engine == "own"
  instance_class = var.instance_class != "" ? var.instance_class : module.plan.size.database_instance_class
  database_port  = local.own_database ? tonumber(try(regex("^[a-z]+://[^/?]*:([0-9]+)(?:[/?]|$)", var.url)[0], "5432")) : 5432

  certificates = merge(
    contains(keys(var.files), "tls.crt") ? { RUNNEL_TLS_CERTIFICATE = "/run/runnel/tls.crt" } : {},
    contains(keys(var.files), "tls.key") ? { RUNNEL_TLS_KEY = "/run/runnel/tls.key" } : {},
  )

  environment = merge(
    local.certificates,
    var.environment,
    {
      RUNNEL_PROTOCOL            = var.protocol
      RUNNEL_METASTORE_URL       = module.postgres.url
      RUNNEL_METASTORE_AUTH      = module.postgres.auth
      RUNNEL_OBJECT_STORE_URL    = "s3://${module.bucket.name}${var.prefix == "" ? "" : "/${var.prefix}"}"
      RUNNEL_OBJECT_STORE_REGION = local.region
    },
    length(var.client_subnets) == 0 ? {} : { RUNNEL_CLIENT_SUBNETS = join(",", [for cidr, zone in var.client_subnets : "${cidr}=${zone}"]) },
    module.postgres.authorities == "" ? {} : { RUNNEL_METASTORE_AUTHORITIES = module.postgres.authorities },
  )

  secrets = merge(
    { RUNNEL_PEER_SECRET = local.peer_secret_arn },
    local.own_database && var.password_secret_arn != "" ? { RUNNEL_METASTORE_PASSWORD = var.password_secret_arn } : {},
    var.secrets,
  )
}

resource "terraform_data" "checks" {
  lifecycle {
    precondition {
      condition     = !local.closed || alltrue([for i in local.images : can(regex("^[0-9]{12}\\.dkr\\.ecr\\.${local.region}\\.amazonaws\\.com(\\.cn)?/", i))])
      error_message = "With egress = \"endpoints\" brokers reach no registry but ECR in ${local.region}: copy ${join(" and ", local.images)} there, or set egress to nat."
    }
    precondition {
      condition     = length(local.zones) > 0
      error_message = "No availability zone was found: set zones."
    }
  }
}

module "plan" {
  source = "./modules/plan"

  name                  = var.name
  zones                 = local.zones
  region                = local.region
  partition             = data.aws_partition.current.partition
  account_id            = data.aws_caller_identity.current.account_id
  brokers_per_zone      = var.brokers_per_zone
  throughput            = var.throughput
  workload              = var.workload
  architecture          = var.architecture
  engine                = var.engine
  multi_az              = var.multi_az
  prices                = local.prices
  bucket_name           = var.bucket_name
  prefix                = var.prefix
  kms_key_arn           = var.kms_key_arn
  database_resource_arn = module.postgres.resource_arn
  tags                  = var.tags
}

module "network" {
  source = "./modules/network"

  name               = var.name
  tags               = module.plan.tags
  region             = local.region
  cidr               = var.cidr
  zones              = local.zones
  vpc_id             = var.vpc_id
  subnet_ids_by_zone = var.subnet_ids_by_zone
  route_table_ids    = var.route_table_ids
  egress             = var.egress
  endpoint_services  = local.endpoint_services
  bucket_arns        = local.passable_buckets
}

module "bucket" {
  source = "./modules/bucket"

  bucket_name        = module.plan.names.bucket
  bucket_policy_json = module.plan.bucket_policy_json
  kms_key_arn        = var.kms_key_arn
  force_destroy      = var.force_destroy
  versioning         = var.versioning
  existing           = var.existing_bucket
  tags               = module.plan.tags
}

module "postgres" {
  source = "./modules/postgres"

  name                      = var.name
  tags                      = module.plan.tags
  vpc_id                    = module.network.vpc_id
  subnet_ids                = values(module.network.subnet_ids_by_zone)
  client_security_group_ids = [aws_security_group.brokers.id]
  engine                    = var.engine
  url                       = var.url
  password_secret_arn       = var.password_secret_arn
  resource_arn              = var.database_resource_arn
  instance_class            = local.instance_class
  authorities               = var.database_authorities
  engine_version            = var.engine_version
  storage                   = var.storage
  max_storage               = var.max_storage
  parameters                = module.plan.postgres_parameters
  backup_retention_days     = var.backup_retention_days
  backup_window             = var.backup_window
  maintenance_window        = var.maintenance_window
  apply_immediately         = var.apply_immediately
  deletion_protection       = var.deletion_protection
  snapshot_on_destroy       = var.snapshot_on_destroy
  multi_az                  = var.multi_az
  kms_key_arn               = var.kms_key_arn

  allow_major_version_upgrade = var.allow_major_version_upgrade
}

# The brokers' group is made here, so that the database's may name it, and the brokers the database.
resource "aws_security_group" "brokers" {
  name        = "${var.name}-brokers"
  description = "Brokers of ${var.name}"
  vpc_id      = module.network.vpc_id
  tags        = merge(module.plan.tags, { Name = "${var.name}-brokers" })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_egress_rule" "database" {
  security_group_id            = aws_security_group.brokers.id
  description                  = "PostgreSQL"
  ip_protocol                  = "tcp"
  from_port                    = local.database_port
  to_port                      = local.database_port
  referenced_security_group_id = local.own_database ? null : module.postgres.security_group_id
  cidr_ipv4                    = local.own_database ? var.database_cidr : null
  tags                         = module.plan.tags
}

module "broker" {
  source = "./modules/broker"

  name                     = var.name
  tags                     = module.plan.tags
  region                   = local.region
  platform                 = var.platform
  image                    = var.image
  vpc_id                   = module.network.vpc_id
  subnet_ids_by_zone       = module.network.subnet_ids_by_zone
  size                     = module.plan.size
  brokers_per_zone         = local.brokers_per_zone
  max_brokers_per_zone     = coalesce(var.max_brokers_per_zone, local.brokers_per_zone)
  cpu_target               = var.cpu_target
  broker_policy_json       = module.plan.broker_policy_json
  broker_security_group_id = aws_vpc_security_group_egress_rule.database.security_group_id # so that brokers start with their way to it
  advertise                = var.advertise
  assign_public_ip         = var.assign_public_ip
  ami                      = var.ami
  sessions                 = var.sessions
  start_timeout            = var.start_timeout
  client_cidrs             = var.client_cidrs
  admin_cidrs              = var.admin_cidrs
  environment              = local.environment
  secrets                  = local.secrets
  files                    = var.files
  files_image              = var.files_image
  secret_kms_key_arns      = distinct(concat(compact([var.kms_key_arn]), var.secret_kms_key_arns))
  drain_timeout            = var.drain_timeout
  alarm_topic_arns         = var.alarm_topic_arns
  log_retention_days       = var.log_retention_days
  log_kms_key_arn          = var.log_kms_key_arn
  container_insights       = var.container_insights
  deletion_protection      = var.deletion_protection
  wait_for_deployment      = var.wait_for_deployment
  dashboard_widgets        = local.dashboard_widgets

  database_setup = local.own_database ? null : {
    url                 = module.postgres.owner_url
    password_secret_arn = module.postgres.password_secret_arn
    authorities         = module.postgres.authorities
  }
}
