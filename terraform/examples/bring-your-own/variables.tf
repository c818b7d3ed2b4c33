variable "region" {
  description = "Region of the cluster."
  type        = string
  default     = "eu-central-1"
}

variable "vpc_id" {
  description = "Your VPC."
  type        = string
}

variable "subnet_ids_by_zone" {
  description = "Your private subnets, one for each zone, as { eu-central-1a = \"subnet-...\" }. They have a gateway endpoint of S3."
  type        = map(string)
}

variable "client_cidrs" {
  description = "Networks of clients."
  type        = list(string)
  default     = []
}

variable "bucket_name" {
  description = "Your bucket. It has no rule that expires objects."
  type        = string
}

variable "database_url" {
  description = "Your PostgreSQL, as postgres://USER@HOST:5432/DATABASE?sslmode=verify-full."
  type        = string
}

variable "database_password_secret_arn" {
  description = "Secret with the password of that user."
  type        = string
}

variable "database_cidr" {
  description = "Network of the database."
  type        = string
}

variable "database_security_group_id" {
  description = "Security group of the database, to let the brokers in. Empty: it does already."
  type        = string
  default     = ""
}
