# What brokers know each other by. It is made by AWS and written by the provider, and stands in no plan and no state.
ephemeral "aws_secretsmanager_random_password" "peers" {
  count = local.make_peer_secret ? 1 : 0

  password_length     = 48
  exclude_punctuation = true
}

resource "aws_secretsmanager_secret" "peers" {
  count = local.make_peer_secret ? 1 : 0

  name                    = module.plan.names.peer_secret
  description             = "What brokers of ${var.name} know each other by"
  kms_key_id              = var.kms_key_arn == "" ? null : var.kms_key_arn
  recovery_window_in_days = 0 # another one does as well
  tags                    = module.plan.tags
}

resource "aws_secretsmanager_secret_version" "peers" {
  count = local.make_peer_secret ? 1 : 0

  secret_id                = aws_secretsmanager_secret.peers[0].id
  secret_string_wo         = ephemeral.aws_secretsmanager_random_password.peers[0].random_password
  secret_string_wo_version = var.peer_secret_version
}

locals {
  make_peer_secret = var.peer_secret_arn == ""
  # The secret's, once it has a value.
  peer_secret_arn = local.make_peer_secret ? one(aws_secretsmanager_secret_version.peers[*].arn) : var.peer_secret_arn
}
