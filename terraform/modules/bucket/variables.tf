variable "bucket_name" {
  description = "Name of the bucket."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.bucket_name))
    error_message = "A bucket's name has 3 to 63 lower case letters, digits, hyphens and dots. Give the name alone, not a URL or an ARN."
  }
}

variable "kms_key_arn" {
  description = "Key of KMS that encrypts objects, by a bucket key, so that it is asked for once in a while and not for each object. Empty: S3's own keys (SSE-S3)."
  type        = string
  default     = ""
  nullable    = false
}

variable "bucket_policy_json" {
  description = "The bucket's policy, as the module plan makes it."
  type        = string
  nullable    = false

  validation {
    condition     = can(jsondecode(var.bucket_policy_json).Statement)
    error_message = "bucket_policy_json must be a policy in JSON: bucket_policy_json of the module plan."
  }
}

variable "force_destroy" {
  description = "Whether `terraform destroy` deletes a bucket that has objects, and with it all records. For tests."
  type        = bool
  default     = false
  nullable    = false
}

variable "versioning" {
  description = "Whether deleted objects can be brought back for noncurrent_days (docs/bucket.md, Going back in time). Costs the storage of all that is rewritten and deleted in that time."
  type        = bool
  default     = false
  nullable    = false
}

variable "noncurrent_days" {
  description = "With versioning: how long deleted objects can be brought back."
  type        = number
  default     = 8
  nullable    = false

  validation {
    condition     = var.noncurrent_days >= 1
    error_message = "noncurrent_days is at least 1."
  }
}

variable "abort_incomplete_days" {
  description = "After how many days multipart uploads that nobody ended are removed. Runnel makes none, other tools do."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.abort_incomplete_days >= 1
    error_message = "abort_incomplete_days is at least 1."
  }
}

variable "tags" {
  description = "Tags of the bucket."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "existing" {
  description = "Whether the bucket is there already: it is used as it is, and nothing of it is changed."
  type        = bool
  default     = false
  nullable    = false
}
