# ---- Database ----

variable "engine" {
  description = "Where metadata lives: rds (PostgreSQL with a standby), aurora, or own (a PostgreSQL of yours, with url)."
  type        = string
  default     = "rds"
  nullable    = false

  validation {
    condition     = contains(["rds", "aurora", "own"], var.engine)
    error_message = "engine is rds, aurora or own."
  }
  validation {
    condition     = (var.engine == "own") == (var.url != "")
    error_message = "engine own needs url, and the others take none."
  }
}

variable "url" {
  description = "With own: postgres://USER@HOST:PORT/DATABASE?sslmode=verify-full, without a password."
  type        = string
  default     = ""
  nullable    = false
}

variable "password_secret_arn" {
  description = "With own: the secret that holds the password, ARN:key:: if it is JSON."
  type        = string
  default     = ""
  nullable    = false
}

variable "database_resource_arn" {
  description = "With own, where brokers log in by IAM and not with a password: arn:aws:rds-db:REGION:ACCOUNT:dbuser:RESOURCE/USER."
  type        = string
  default     = ""
  nullable    = false
}

variable "database_cidr" {
  description = "With own: the network of the database, to which brokers may connect."
  type        = string
  default     = "0.0.0.0/0"
  nullable    = false
}

variable "database_authorities" {
  description = "Certificates (PEM) of the authorities that sign the database's, by which brokers verify the server. Empty: with rds and aurora those of RDS for the region, which come with the module, and with own those that the system knows."
  type        = string
  default     = ""
  nullable    = false
}

variable "engine_version" {
  description = "With rds and aurora: version of PostgreSQL, a major one (\"17\"), of which AWS keeps the minor up to date, or an exact one (\"17.6\"), which stays until you raise it."
  type        = string
  default     = "17"
  nullable    = false
}

variable "allow_major_version_upgrade" {
  description = "With rds and aurora: whether engine_version may be raised to another major version (docs/deploy-aws.md)."
  type        = bool
  default     = false
  nullable    = false
}

variable "apply_immediately" {
  description = "Whether changes that interrupt the database are made at once and not in maintenance_window."
  type        = bool
  default     = false
  nullable    = false
}

variable "maintenance_window" {
  description = "When minor versions come and changes are made that interrupt the database, UTC."
  type        = string
  default     = "sun:03:00-sun:04:00"
  nullable    = false
}

variable "backup_window" {
  description = "When the database's daily snapshot is made, UTC."
  type        = string
  default     = "01:00-02:00"
  nullable    = false
}

variable "multi_az" {
  description = "Whether the database has a standby in another zone. Without one, the cluster rests while its zone is lost, or while it is patched."
  type        = bool
  default     = true
  nullable    = false
}

variable "instance_class" {
  description = "Class of the database's instances. Empty: by throughput."
  type        = string
  default     = ""
  nullable    = false
}

variable "storage" {
  description = "GiB of the database's disk at first, with rds."
  type        = number
  default     = 100
  nullable    = false
}

variable "max_storage" {
  description = "GiB that the database's disk may grow to by itself, with rds. Null: five times storage."
  type        = number
  default     = null
}

variable "backup_retention_days" {
  description = "Days that the database can be restored to a moment of. Records are there for garbage.grace, or longer with versioning (docs/bucket.md)."
  type        = number
  default     = 7
  nullable    = false
}

variable "snapshot_on_destroy" {
  description = "Whether a destroy leaves a snapshot of the database."
  type        = bool
  default     = true
  nullable    = false
}

variable "deletion_protection" {
  description = "Whether database and load balancer can only be destroyed after this was set to false and applied."
  type        = bool
  default     = true
  nullable    = false
}
