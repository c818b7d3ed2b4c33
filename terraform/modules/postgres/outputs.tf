locals {
  host   = var.engine == "rds" ? one(aws_db_instance.database[*].address) : one(aws_rds_cluster.database[*].endpoint)
  secret = var.engine == "rds" ? one(aws_db_instance.database[*].master_user_secret) : one(aws_rds_cluster.database[*].master_user_secret)
  # The disk's or the volume's id, which stays when the database is renamed, and which rds-db:connect goes by.
  resource = var.engine == "rds" ? one(aws_db_instance.database[*].resource_id) : one(aws_rds_cluster.database[*].cluster_resource_id)
  tls = (
    var.ca_certificate != "" ? "sslmode=verify-full&sslrootcert=${var.ca_certificate}" :
    local.authorities != "" ? "sslmode=verify-full" : "sslmode=require"
  )
  place = local.made ? "@${local.host}:5432/${var.database_name}?${local.tls}" : ""
}

output "url" {
  description = "The database as brokers name it in metastore.url, without a password."
  value       = local.made ? "postgres://${var.user}${local.place}" : var.url
}

output "owner_url" {
  description = "The database with its master as the user, for `runnel migrate --grant-iam`; null with engine = own."
  value       = local.made ? "postgres://${local.master}${local.place}" : null
}

output "authorities" {
  description = "What brokers verify the server by (metastore.authorities). Empty: by what the URL or the system names, or not at all."
  value       = local.authorities
}

output "auth" {
  description = "How brokers log in (metastore.auth): aws_iam or password."
  value       = local.made || var.resource_arn != "" ? "aws_iam" : "password"
}

output "password_secret_arn" {
  description = "The secret of the master, which RDS keeps (JSON, key password) and brokers have no use for; with engine = own, what was given. Null: none."
  value       = local.made ? one(local.secret[*].secret_arn) : (var.password_secret_arn == "" ? null : var.password_secret_arn)
}

output "resource_arn" {
  description = "What brokers may log in to by IAM (rds-db:connect). Empty: nothing."
  value       = local.made ? "arn:${data.aws_partition.here.partition}:rds-db:${data.aws_region.here.name}:${data.aws_caller_identity.here.account_id}:dbuser:${local.resource}/${var.user}" : var.resource_arn
}

output "instance_identifiers" {
  description = "Instances of the database, which alarms watch. Empty with engine = own."
  value       = var.engine == "rds" ? aws_db_instance.database[*].identifier : aws_rds_cluster_instance.database[*].identifier
}

output "security_group_id" {
  description = "Security group of the database; null with engine = own."
  value       = one(aws_security_group.database[*].id)
}

check "verified" {
  assert {
    condition     = local.made ? local.authorities != "" || var.ca_certificate != "" : can(regex("[?&]sslmode=verify-full(&|$)", var.url))
    error_message = local.made ? "Brokers do not verify the database: this module does not know the authorities of RDS in ${data.aws_region.here.name}. Give them (database_authorities of the root module, authorities here), from https://truststore.pki.rds.amazonaws.com/${data.aws_region.here.name}/${data.aws_region.here.name}-bundle.pem." : "Brokers do not verify the database, so that who stands between can pose as it: end url with sslmode=verify-full, and give the certificates of its authority if the system does not know it."
  }
}

check "standby" {
  assert {
    condition     = !local.made || var.multi_az
    error_message = "The database has no standby: while its zone is lost, no record is taken and none is read."
  }
}
