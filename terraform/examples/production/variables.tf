variable "region" {
  description = "Region of the cluster."
  type        = string
  default     = "eu-central-1"
}

variable "zones" {
  description = "Zones of the brokers."
  type        = list(string)
  default     = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
}

variable "certificate_secret_arn" {
  description = "Secret with the certificate of the brokers and those between it and its authority, PEM."
  type        = string
}

variable "key_secret_arn" {
  description = "Secret with the certificate's private key, PEM."
  type        = string
}

variable "admin_password_secret_arn" {
  description = "Secret with the password of the first user."
  type        = string
}

variable "client_subnets" {
  description = "Networks of clients outside the VPC, and the zone of each."
  type        = map(string)
  default = {
    "10.20.0.0/20"  = "eu-central-1a"
    "10.20.16.0/20" = "eu-central-1b"
    "10.20.32.0/20" = "eu-central-1c"
  }
}

variable "deletion_protection" {
  description = "Whether database and load balancer can only be destroyed after this was set to false and applied."
  type        = bool
  default     = true
}

variable "snapshot_on_destroy" {
  description = "Whether a destroy leaves a snapshot of the database."
  type        = bool
  default     = true
}
