resource "aws_rds_cluster_parameter_group" "database" {
  count = local.aurora

  name_prefix = "${local.id}-"
  description = "The commit path of ${var.name}"
  family      = "aurora-postgresql${local.major}"
  tags        = var.tags

  dynamic "parameter" {
    for_each = local.parameters

    content {
      name         = parameter.key
      value        = parameter.value.value
      apply_method = parameter.value.method
    }
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_rds_cluster" "database" {
  count = local.aurora

  cluster_identifier = local.id
  engine             = "aurora-postgresql"
  engine_version     = var.engine_version
  database_name      = var.database_name

  allow_major_version_upgrade = var.allow_major_version_upgrade

  master_username = local.master
  port            = 5432

  manage_master_user_password         = true
  master_user_secret_kms_key_id       = local.kms_key
  iam_database_authentication_enabled = true

  storage_encrypted               = true
  kms_key_id                      = local.kms_key
  db_subnet_group_name            = aws_db_subnet_group.database[0].name
  vpc_security_group_ids          = [aws_security_group.database[0].id]
  db_cluster_parameter_group_name = aws_rds_cluster_parameter_group.database[0].name

  backup_retention_period      = var.backup_retention_days
  preferred_backup_window      = var.backup_window
  preferred_maintenance_window = var.maintenance_window
  apply_immediately            = var.apply_immediately
  copy_tags_to_snapshot        = true
  delete_automated_backups     = false
  deletion_protection          = var.deletion_protection
  skip_final_snapshot          = !var.snapshot_on_destroy
  final_snapshot_identifier    = var.snapshot_on_destroy ? "${local.id}-${terraform_data.born[0].output}" : null

  enabled_cloudwatch_logs_exports = ["postgresql"]

  tags = var.tags
}

resource "aws_rds_cluster_instance" "database" {
  count = local.aurora * (var.multi_az ? 2 : 1)

  identifier                      = "${local.id}-${count.index + 1}"
  cluster_identifier              = aws_rds_cluster.database[0].id
  engine                          = aws_rds_cluster.database[0].engine
  engine_version                  = aws_rds_cluster.database[0].engine_version
  instance_class                  = var.instance_class
  ca_cert_identifier              = "rds-ca-rsa2048-g1"
  publicly_accessible             = false
  promotion_tier                  = 0
  auto_minor_version_upgrade      = local.minor_upgrades
  preferred_maintenance_window    = var.maintenance_window
  apply_immediately               = var.apply_immediately
  copy_tags_to_snapshot           = true
  performance_insights_enabled    = var.performance_insights
  performance_insights_kms_key_id = var.performance_insights ? local.kms_key : null

  tags = var.tags
}
