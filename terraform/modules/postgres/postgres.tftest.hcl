mock_provider "aws" {
  mock_data "aws_region" {
    defaults = { name = "eu-central-1" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "012345678901" }
  }
  mock_resource "aws_db_instance" {
    defaults = {
      address            = "demo-metastore.abc.eu-central-1.rds.amazonaws.com"
      resource_id        = "db-ABC"
      master_user_secret = [{ secret_arn = "arn:aws:secretsmanager:eu-central-1:012345678901:secret:rds!db-1" }]
    }
  }
  mock_resource "aws_rds_cluster" {
    defaults = {
      endpoint            = "demo-metastore.cluster-abc.eu-central-1.rds.amazonaws.com"
      cluster_resource_id = "cluster-ABC"
      master_user_secret  = [{ secret_arn = "arn:aws:secretsmanager:eu-central-1:012345678901:secret:rds!cluster-1" }]
    }
  }
}

variables {
  name                      = "demo"
  vpc_id                    = "vpc-1"
  subnet_ids                = ["subnet-a", "subnet-b", "subnet-c"]
  client_security_group_ids = ["sg-brokers", "sg-admins"]
  tags                      = { team = "streaming" }
  parameters                = { "rds.force_ssl" = "1", synchronous_commit = "on", checkpoint_timeout = "900", max_connections = "500" }
}

run "rds_survives_a_zone_and_a_mistake" {
  assert {
    condition     = aws_db_instance.database[0].multi_az && aws_db_instance.database[0].deletion_protection && aws_db_instance.database[0].storage_encrypted && aws_db_instance.database[0].backup_retention_period == 7 && !aws_db_instance.database[0].delete_automated_backups
    error_message = "no standby, no protection, no encryption or no backups"
  }
  assert {
    condition     = !aws_db_instance.database[0].skip_final_snapshot && can(regex("^demo-metastore-20[0-9]{12}$", aws_db_instance.database[0].final_snapshot_identifier))
    error_message = "no snapshot at the end, or one of a name that was used: ${aws_db_instance.database[0].final_snapshot_identifier}"
  }
  assert {
    condition     = aws_db_instance.database[0].storage_type == "gp3" && aws_db_instance.database[0].allocated_storage == 100 && aws_db_instance.database[0].max_allocated_storage == 500
    error_message = "the disk does not grow"
  }
  assert {
    condition     = aws_db_instance.database[0].identifier == "demo-metastore" && aws_db_instance.database[0].tags == tomap({ team = "streaming" })
    error_message = "another name than the module plan says, or no tags"
  }
  assert {
    condition     = length(aws_rds_cluster.database) + length(aws_rds_cluster_instance.database) + length(aws_rds_cluster_parameter_group.database) == 0
    error_message = "Aurora was made, too"
  }
  assert {
    condition     = output.instance_identifiers == tolist(["demo-metastore"])
    error_message = jsonencode(output.instance_identifiers)
  }
}

run "brokers_log_in_by_iam" {
  assert {
    condition     = aws_db_instance.database[0].iam_database_authentication_enabled && aws_db_instance.database[0].manage_master_user_password && aws_db_instance.database[0].password == null
    error_message = "no login by IAM, or a password in the state"
  }
  assert {
    condition     = output.url == "postgres://runnel@demo-metastore.abc.eu-central-1.rds.amazonaws.com:5432/runnel?sslmode=verify-full" && output.auth == "aws_iam"
    error_message = "${output.url} ${output.auth}"
  }
  assert {
    condition     = output.owner_url == "postgres://postgres@demo-metastore.abc.eu-central-1.rds.amazonaws.com:5432/runnel?sslmode=verify-full"
    error_message = output.owner_url
  }
  assert {
    condition     = output.resource_arn == "arn:aws:rds-db:eu-central-1:012345678901:dbuser:db-ABC/runnel"
    error_message = output.resource_arn
  }
  assert {
    condition     = output.password_secret_arn == "arn:aws:secretsmanager:eu-central-1:012345678901:secret:rds!db-1"
    error_message = output.password_secret_arn
  }
}

run "only_clients_connect" {
  assert {
    condition     = [for r in aws_vpc_security_group_ingress_rule.database : "${r.referenced_security_group_id}:${r.from_port}-${r.to_port}"] == ["sg-brokers:5432-5432", "sg-admins:5432-5432"]
    error_message = jsonencode([for r in aws_vpc_security_group_ingress_rule.database : r.referenced_security_group_id])
  }
  assert {
    condition     = !aws_db_instance.database[0].publicly_accessible
    error_message = "open to the internet"
  }
}

run "parameters_are_applied_as_they_may_be" {
  assert {
    condition     = { for p in aws_db_parameter_group.database[0].parameter : p.name => p.apply_method } == { "rds.force_ssl" = "immediate", synchronous_commit = "immediate", checkpoint_timeout = "immediate", max_connections = "pending-reboot" }
    error_message = jsonencode([for p in aws_db_parameter_group.database[0].parameter : p])
  }
  assert {
    condition     = aws_db_parameter_group.database[0].family == "postgres17"
    error_message = aws_db_parameter_group.database[0].family
  }
}

run "the_server_is_checked_where_its_authorities_are_known" {
  variables {
    ca_certificate = "/etc/ssl/rds.pem"
    user           = "broker"
  }

  assert {
    condition     = output.url == "postgres://broker@demo-metastore.abc.eu-central-1.rds.amazonaws.com:5432/runnel?sslmode=verify-full&sslrootcert=/etc/ssl/rds.pem"
    error_message = output.url
  }
  assert {
    condition     = endswith(output.resource_arn, "/broker")
    error_message = output.resource_arn
  }
}

run "keys_of_ones_own" {
  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:012345678901:key/abc"
  }

  assert {
    condition     = alltrue([for key in [aws_db_instance.database[0].kms_key_id, aws_db_instance.database[0].master_user_secret_kms_key_id, aws_db_instance.database[0].performance_insights_kms_key_id] : key == "arn:aws:kms:eu-central-1:012345678901:key/abc"])
    error_message = "something is encrypted with another key"
  }
}

run "aurora_has_a_reader_to_fail_over_to" {
  variables {
    engine         = "aurora"
    instance_class = "db.r7g.large"
    engine_version = "16.6"
  }

  assert {
    condition     = length(aws_rds_cluster_instance.database) == 2 && length(aws_db_instance.database) == 0 && output.instance_identifiers == tolist(["demo-metastore-1", "demo-metastore-2"])
    error_message = jsonencode(output.instance_identifiers)
  }
  assert {
    condition     = aws_rds_cluster.database[0].storage_encrypted && aws_rds_cluster.database[0].deletion_protection && aws_rds_cluster.database[0].iam_database_authentication_enabled && aws_rds_cluster.database[0].backup_retention_period == 7 && !aws_rds_cluster.database[0].skip_final_snapshot
    error_message = "no encryption, protection, login by IAM, backups or last snapshot"
  }
  assert {
    condition     = aws_rds_cluster_parameter_group.database[0].family == "aurora-postgresql16" && toset([for p in aws_rds_cluster_parameter_group.database[0].parameter : p.name]) == toset(["rds.force_ssl", "max_connections"])
    error_message = "Aurora refuses parameters of checkpoints: ${jsonencode([for p in aws_rds_cluster_parameter_group.database[0].parameter : p.name])}"
  }
  assert {
    condition     = output.url == "postgres://runnel@demo-metastore.cluster-abc.eu-central-1.rds.amazonaws.com:5432/runnel?sslmode=verify-full" && output.resource_arn == "arn:aws:rds-db:eu-central-1:012345678901:dbuser:cluster-ABC/runnel"
    error_message = "${output.url} ${output.resource_arn}"
  }
  assert {
    condition     = output.password_secret_arn == "arn:aws:secretsmanager:eu-central-1:012345678901:secret:rds!cluster-1"
    error_message = output.password_secret_arn
  }
}

run "own_makes_nothing" {
  variables {
    engine              = "own"
    vpc_id              = ""
    subnet_ids          = []
    url                 = "postgres://runnel@db.example.com:5432/runnel?sslmode=verify-full"
    password_secret_arn = "arn:aws:secretsmanager:eu-central-1:012345678901:secret:db"
  }

  assert {
    condition     = length(aws_db_instance.database) + length(aws_rds_cluster.database) + length(aws_security_group.database) + length(aws_db_subnet_group.database) + length(aws_vpc_security_group_ingress_rule.database) + length(terraform_data.born) == 0
    error_message = "something was made"
  }
  assert {
    condition     = output.url == var.url && output.auth == "password" && output.password_secret_arn == var.password_secret_arn && output.resource_arn == "" && output.owner_url == null && output.security_group_id == null && length(output.instance_identifiers) == 0
    error_message = "not what was given"
  }
}

run "own_with_iam" {
  variables {
    engine       = "own"
    url          = "postgres://runnel@db.example.com:5432/runnel?sslmode=verify-full"
    resource_arn = "arn:aws:rds-db:eu-central-1:012345678901:dbuser:db-XYZ/runnel"
  }

  assert {
    condition     = output.auth == "aws_iam" && output.resource_arn == var.resource_arn && output.password_secret_arn == null
    error_message = "${output.auth} ${output.resource_arn}"
  }
}

run "a_database_without_standby_is_warned_of" {
  command = plan

  variables {
    multi_az = false
  }

  expect_failures = [check.standby]
}

run "refuses_a_password_in_the_url" {
  command = plan

  variables {
    engine              = "own"
    url                 = "postgres://runnel:secret@db.example.com:5432/runnel"
    password_secret_arn = "arn:aws:secretsmanager:eu-central-1:012345678901:secret:db"
  }

  expect_failures = [var.url]
}

run "refuses_a_password_in_the_query_of_the_url" {
  command = plan

  variables {
    engine              = "own"
    url                 = "postgres://runnel@db.example.com/runnel?sslmode=verify-full&password=hunter2"
    password_secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:db"
  }

  expect_failures = [var.url]
}

run "own_needs_a_way_to_log_in" {
  command = plan

  variables {
    engine = "own"
    url    = "postgres://runnel@db.example.com:5432/runnel?sslmode=verify-full"
  }

  expect_failures = [var.resource_arn]
}

run "refuses_a_url_beside_a_database_that_is_made" {
  command = plan

  variables {
    url = "postgres://runnel@db.example.com:5432/runnel"
  }

  expect_failures = [var.url]
}

run "refuses_one_zone" {
  command = plan

  variables {
    subnet_ids = ["subnet-a"]
  }

  expect_failures = [var.subnet_ids]
}

run "refuses_a_class_that_aurora_lacks" {
  command = plan

  variables {
    engine = "aurora"
  }

  expect_failures = [var.instance_class]
}

run "refuses_commits_that_are_not_durable" {
  command = plan

  variables {
    parameters = { synchronous_commit = "off" }
  }

  expect_failures = [var.parameters]
}

run "refuses_a_database_without_backups" {
  command = plan

  variables {
    backup_retention_days = 0
  }

  expect_failures = [var.backup_retention_days]
}

run "refuses_a_disk_that_cannot_grow" {
  command = plan

  variables {
    storage     = 500
    max_storage = 500
  }

  expect_failures = [var.max_storage]
}

run "refuses_the_master_as_user" {
  command = plan

  variables {
    user = "postgres"
  }

  expect_failures = [var.user]
}

run "refuses_versions_whose_parameters_nobody_looked_at" {
  command = plan

  variables {
    engine_version = "15"
  }

  expect_failures = [var.engine_version]
}

run "authorities_of_yours" {
  variables {
    authorities = "-----BEGIN CERTIFICATE-----\nmine\n-----END CERTIFICATE-----\n"
  }

  assert {
    condition     = output.authorities == var.authorities && endswith(output.url, "?sslmode=verify-full")
    error_message = "Brokers verify the server by the authorities that were given."
  }
}

run "authorities_are_not_files" {
  command = plan

  variables {
    authorities = "/etc/ssl/rds.pem"
  }
  expect_failures = [var.authorities]
}

run "tells_of_a_server_that_is_not_verified" {
  variables {
    engine              = "own"
    url                 = "postgres://runnel@db.example.com/runnel?sslmode=require"
    password_secret_arn = "arn:aws:secretsmanager:eu-central-1:012345678901:secret:db-AbCdEf"
  }
  expect_failures = [check.verified]
}

run "an_exact_version_stays" {
  variables {
    engine_version              = "17.6"
    allow_major_version_upgrade = true
    storage                     = 1000
  }

  assert {
    condition     = !aws_db_instance.database[0].auto_minor_version_upgrade && aws_db_instance.database[0].allow_major_version_upgrade
    error_message = "Who asks for an exact version keeps it: a plan would go back to it otherwise, which RDS refuses."
  }
  assert {
    condition     = aws_db_instance.database[0].max_allocated_storage == 5000
    error_message = "The disk may grow, whatever it begins with."
  }
}

run "a_major_version_is_kept_up_to_date" {
  assert {
    condition     = aws_db_instance.database[0].auto_minor_version_upgrade && !aws_db_instance.database[0].allow_major_version_upgrade
    error_message = "Minor versions come by themselves, and major ones do not."
  }
  assert {
    condition     = strcontains(output.authorities, "-----BEGIN CERTIFICATE-----")
    error_message = "The authorities of RDS come with the module."
  }
}
