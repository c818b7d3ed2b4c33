data "aws_region" "here" {}

data "aws_partition" "here" {}

data "aws_caller_identity" "here" {}

locals {
  made    = var.engine != "own"
  rds     = var.engine == "rds" ? 1 : 0
  aurora  = var.engine == "aurora" ? 1 : 0
  id      = "${var.name}-metastore"
  major   = split(".", var.engine_version)[0]
  kms_key = var.kms_key_arn == "" ? null : var.kms_key_arn
  master  = "postgres"

  known_authorities = "${path.module}/authorities/${data.aws_region.here.name}.pem"
  authorities = (
    var.ca_certificate != "" ? "" :
    var.authorities != "" ? var.authorities :
    local.made && fileexists(local.known_authorities) ? file(local.known_authorities) : ""
  )
  # Who asks for an exact version gets it, and keeps it.
  minor_upgrades = !strcontains(var.engine_version, ".")

  # Parameters that a server takes when it starts.
  static = [
    "autovacuum_freeze_max_age", "autovacuum_max_workers", "huge_pages", "max_connections", "max_locks_per_transaction",
    "max_prepared_transactions", "max_replication_slots", "max_wal_senders", "max_worker_processes", "rds.logical_replication",
    "shared_buffers", "shared_preload_libraries", "track_activity_query_size", "wal_buffers",
  ]
  # Aurora writes no checkpoints and no whole pages, and refuses what is about them. How durable a commit is, brokers ask for.
  not_aurora = ["checkpoint_timeout", "max_wal_size", "min_wal_size", "synchronous_commit", "wal_compression"]
  parameters = { for name, value in var.parameters : name => {
    value  = value
    method = contains(local.static, name) ? "pending-reboot" : "immediate"
  } if !(var.engine == "aurora" && contains(local.not_aurora, name)) }
}

# When it was made, so that the last snapshots of databases of the same name have names of their own.
resource "terraform_data" "born" {
  count = local.made ? 1 : 0

  input = formatdate("YYYYMMDDhhmmss", plantimestamp())

  lifecycle {
    ignore_changes = [input]
  }
}

resource "aws_security_group" "database" {
  count = local.made ? 1 : 0

  name        = local.id
  description = "PostgreSQL of ${var.name}: from its brokers, and to nobody"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = local.id })
}

resource "aws_vpc_security_group_ingress_rule" "database" {
  count = local.made ? length(var.client_security_group_ids) : 0

  security_group_id            = aws_security_group.database[0].id
  description                  = "PostgreSQL"
  referenced_security_group_id = var.client_security_group_ids[count.index]
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
  tags                         = var.tags
}

resource "aws_db_subnet_group" "database" {
  count = local.made ? 1 : 0

  name        = local.id
  description = "PostgreSQL of ${var.name}"
  subnet_ids  = var.subnet_ids
  tags        = var.tags
}
