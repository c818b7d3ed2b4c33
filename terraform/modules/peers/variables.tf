variable "name" {
  description = "Name of the secret."
  type        = string
  nullable    = false
}

variable "tags" {
  description = "Tags of the secret."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "kms_key_arn" {
  description = "Key that the secret is encrypted with. Empty: Secrets Manager's own."
  type        = string
  default     = ""
  nullable    = false
}

variable "secret_version" {
  description = "Raise it to have another secret made."
  type        = number
  default     = 1
  nullable    = false
}
