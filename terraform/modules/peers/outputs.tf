output "secret_arn" {
  description = "The secret, once it has a value."
  value       = aws_secretsmanager_secret_version.this.arn
}
