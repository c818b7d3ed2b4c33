output "name" {
  description = "Name of the bucket."
  value       = var.existing ? data.aws_s3_bucket.existing[0].id : aws_s3_bucket.made[0].id
}

output "arn" {
  description = "ARN of the bucket."
  value       = var.existing ? data.aws_s3_bucket.existing[0].arn : aws_s3_bucket.made[0].arn
}
