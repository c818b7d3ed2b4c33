resource "aws_db_parameter_group" "database" {
  count = local.rds

  name_prefix = "${local.id}-"
  description = "The commit path of ${var.name}"
  family      = "postgres${local.major}"
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
    create_before_destroy = true # of another major version, while the database still has this one
  }
}

# One writer with a standby whose disk is written before a commit is answered. It is an instance and not RDS's cluster of three
# (two readable standbys): nothing here reads from standbys, and it has fewer classes.
resource "aws_db_instance" "database" {
  count = local.rds

  identifier     = local.id
  engine         = "postgres"
  engine_version = var.engine_version

  allow_major_version_upgrade = var.allow_major_version_upgrade

  instance_class = var.instance_class
  multi_az       = var.multi_az
  db_name        = var.database_name
  username       = local.master
  port           = 5432

  manage_master_user_password         = true
  master_user_secret_kms_key_id       = local.kms_key
  iam_database_authentication_enabled = true
  ca_cert_identifier                  = "rds-ca-rsa2048-g1"

  storage_type          = "gp3"
  allocated_storage     = var.storage
  max_allocated_storage = coalesce(var.max_storage, 5 * var.storage)
  storage_encrypted     = true
  kms_key_id            = local.kms_key

  db_subnet_group_name   = aws_db_subnet_group.database[0].name
  vpc_security_group_ids = [aws_security_group.database[0].id]
  parameter_group_name   = aws_db_parameter_group.database[0].name
  publicly_accessible    = false

  backup_retention_period    = var.backup_retention_days
  backup_window              = var.backup_window
  maintenance_window         = var.maintenance_window
  auto_minor_version_upgrade = local.minor_upgrades
  apply_immediately          = var.apply_immediately
  copy_tags_to_snapshot      = true
  delete_automated_backups   = false
  deletion_protection        = var.deletion_protection
  skip_final_snapshot        = !var.snapshot_on_destroy
  final_snapshot_identifier  = var.snapshot_on_destroy ? "${local.id}-${terraform_data.born[0].output}" : null

  enabled_cloudwatch_logs_exports = ["postgresql", "upgrade"]
  performance_insights_enabled    = var.performance_insights
  performance_insights_kms_key_id = var.performance_insights ? local.kms_key : null

  tags = var.tags
}
