# What brokers know each other by. It is made by AWS and written by the provider, and stands in no plan and no state. It is
# a module of its own since tests can mock it only so.
ephemeral "aws_secretsmanager_random_password" "this" {
  password_length     = 48
  exclude_punctuation = true
}

resource "aws_secretsmanager_secret" "this" {
  name                    = var.name
  description             = "What brokers of Runnel know each other by"
  kms_key_id              = var.kms_key_arn == "" ? null : var.kms_key_arn
  recovery_window_in_days = 0 # another one does as well
  tags                    = var.tags
}

resource "aws_secretsmanager_secret_version" "this" {
  secret_id                = aws_secretsmanager_secret.this.id
  secret_string_wo         = ephemeral.aws_secretsmanager_random_password.this.random_password
  secret_string_wo_version = var.secret_version
}
