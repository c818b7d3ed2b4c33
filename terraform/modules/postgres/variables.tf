variable "name" {
  description = "Name of the cluster; the database is named NAME-metastore."
  type        = string
  nullable    = false
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "vpc_id" {
  description = "VPC of the database. Not for engine = own."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.engine == "own" || var.vpc_id != ""
    error_message = "A database that is made needs vpc_id; with engine = \"own\" give url in its place."
  }
}

variable "subnet_ids" {
  description = "Private subnets of the database, in two zones at least. Not for engine = own."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = var.engine == "own" || length(var.subnet_ids) >= 2
    error_message = "RDS wants subnets in two zones at least, also of a database without a standby: give subnet_ids of two."
  }
}

variable "client_security_group_ids" {
  description = "Security groups that may connect: the brokers', and those of who looks after the database."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "engine" {
  description = "rds: RDS for PostgreSQL with a standby in another zone. aurora: Aurora PostgreSQL with a reader to fail over to. own: one that there is (url)."
  type        = string
  default     = "rds"
  nullable    = false

  validation {
    condition     = contains(["rds", "aurora", "own"], var.engine)
    error_message = "The engine must be rds, aurora or own."
  }
}

variable "engine_version" {
  description = "Version of PostgreSQL: a major one (\"17\"), of which RDS keeps the minor up to date, or an exact one (\"17.6\"), which stays until you raise it."
  type        = string
  default     = "17"
  nullable    = false

  validation {
    condition     = can(regex("^(16|17|18)(\\.[0-9]+)?$", var.engine_version))
    error_message = "The parameters are for PostgreSQL 16 to 18: give engine_version \"16\", \"17\" or \"18\", or one of their minor versions."
  }
}

variable "allow_major_version_upgrade" {
  description = "Whether engine_version may be raised to another major version. The database is away for minutes while it is done."
  type        = bool
  default     = false
  nullable    = false
}

variable "url" {
  description = "With engine = own: the database, postgres://USER@HOST:5432/DATABASE?sslmode=verify-full, without a password."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = (var.engine == "own") == (var.url != "")
    error_message = "url is for engine = \"own\", and needed there."
  }
  validation {
    condition     = var.url == "" || can(regex("^postgres(ql)?://[^/@:]+@[^/@]+/[^/@?]+(\\?.*)?$", var.url)) && !can(regex("[?&](ssl)?password=", var.url))
    error_message = "Give url as postgres://USER@HOST:5432/DATABASE?sslmode=verify-full. A password goes to Secrets Manager, and its ARN to password_secret_arn: what stands in a URL lies in Terraform's state."
  }
}

variable "password_secret_arn" {
  description = "With engine = own: the secret that holds the password, as its whole text; or ARN:KEY:: for a key of a secret in JSON."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.password_secret_arn == "" || var.engine == "own"
    error_message = "password_secret_arn is for engine = \"own\": RDS makes and keeps the secret of a database that is made here."
  }
}

variable "resource_arn" {
  description = "With engine = own, where brokers log in by IAM: arn:aws:rds-db:REGION:ACCOUNT:dbuser:RESOURCE/USER."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.engine == "own" ? (var.resource_arn == "") != (var.password_secret_arn == "") : var.resource_arn == ""
    error_message = "With engine = \"own\", give either password_secret_arn (a password) or resource_arn (IAM); otherwise neither."
  }
}

variable "instance_class" {
  description = "Class of the database's instances: size.database_instance_class of the module plan."
  type        = string
  default     = "db.m7g.large"
  nullable    = false

  validation {
    condition     = startswith(var.instance_class, "db.")
    error_message = "Classes of databases begin with db., such as db.m7g.large."
  }
  validation {
    condition     = var.engine != "aurora" || can(regex("^db\\.(r|x|t)[0-9]", var.instance_class))
    error_message = "Aurora has no ${var.instance_class}: it takes classes of the types r, x and t, such as db.r7g.large. Tell the module plan engine = \"aurora\"."
  }
}

variable "storage" {
  description = "GB of disk at first (RDS). The metastore holds megabytes to a few GB; below 400 GB the disk is as fast at any size."
  type        = number
  default     = 100
  nullable    = false

  validation {
    condition     = var.storage >= 20
    error_message = "A gp3 disk of RDS has 20 GB at least."
  }
}

variable "max_storage" {
  description = "GB that the disk may grow to by itself (RDS). Null: five times storage."
  type        = number
  default     = null

  validation {
    condition     = var.max_storage == null || try(var.max_storage >= ceil(var.storage * 1.1), false)
    error_message = "max_storage must be at least a tenth more than storage: a full disk stops all brokers."
  }
}

variable "parameters" {
  description = "Parameters of PostgreSQL by name: postgres_parameters of the module plan."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = !contains(["off", "0", "false", "no"], lower(lookup(var.parameters, "synchronous_commit", "on")))
    error_message = "synchronous_commit = off loses commits that brokers have acknowledged; brokers refuse it, too."
  }
  validation {
    condition     = lookup(var.parameters, "rds.force_ssl", "1") == "1"
    error_message = "rds.force_ssl must be 1: tokens of IAM are passwords for a quarter of an hour."
  }
}

variable "backup_retention_days" {
  description = "To how many days ago the database can be restored. A restore needs the objects of its time, too: brokers keep them for garbage.grace, or the bucket's versions do (docs/bucket.md)."
  type        = number
  default     = 7
  nullable    = false

  validation {
    condition     = var.backup_retention_days >= 1 && var.backup_retention_days <= 35
    error_message = "backup_retention_days is 1 to 35: with 0 there is no restore to a point in time."
  }
}

variable "deletion_protection" {
  description = "Whether AWS refuses to delete the database until this is false."
  type        = bool
  default     = true
  nullable    = false
}

variable "snapshot_on_destroy" {
  description = "Whether a snapshot stays when the database is destroyed."
  type        = bool
  default     = true
  nullable    = false
}

variable "kms_key_arn" {
  description = "Key of KMS for disk, backups, the master's secret and Performance Insights. Empty: AWS's own keys. It cannot be changed later."
  type        = string
  default     = ""
  nullable    = false
}

variable "database_name" {
  description = "Name of the database."
  type        = string
  default     = "runnel"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9_]{0,62}$", var.database_name))
    error_message = "A database's name is lower case letters, digits and underscores, and begins with a letter."
  }
}

variable "user" {
  description = "Who brokers log in as, with a token of IAM. `runnel migrate --grant-iam USER` makes it."
  type        = string
  default     = "runnel"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9_]{0,62}$", var.user)) && !contains(["postgres", "rdsadmin"], var.user)
    error_message = "The user is lower case letters, digits and underscores, begins with a letter, and is not postgres, who is the master, nor rdsadmin."
  }
}

variable "authorities" {
  description = "Certificates (PEM) of the authorities that sign the database's, which brokers take as metastore.authorities. Empty: those of RDS for the region, which come with this module; of a region that it does not know, and with engine = own, none."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.authorities == "" || strcontains(var.authorities, "-----BEGIN CERTIFICATE-----")
    error_message = "authorities are certificates in PEM, not the name of a file: file(\"NAME\") reads one."
  }
}

variable "ca_certificate" {
  description = "In place of authorities: a file with them in the brokers' image or on their machine."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.ca_certificate == "" || can(regex("^/[A-Za-z0-9/._-]+$", var.ca_certificate))
    error_message = "ca_certificate is the absolute path of a file where brokers run, such as /etc/ssl/rds.pem."
  }
}

variable "multi_az" {
  description = "Whether there is a standby in another zone (RDS) or a reader to fail over to (Aurora). Without one, the cluster stops while the database's zone does."
  type        = bool
  default     = true
  nullable    = false
}

variable "performance_insights" {
  description = "Whether Performance Insights keeps a week of what sessions wait for, which is free."
  type        = bool
  default     = true
  nullable    = false
}

variable "apply_immediately" {
  description = "Whether changes that interrupt the database are made at once and not in maintenance_window."
  type        = bool
  default     = false
  nullable    = false
}

variable "backup_window" {
  description = "When the daily snapshot is made, UTC."
  type        = string
  default     = "01:00-02:00"
  nullable    = false
}

variable "maintenance_window" {
  description = "When minor versions come and changes are made that interrupt the database, UTC. Brokers wait out a fail-over."
  type        = string
  default     = "sun:03:00-sun:04:00"
  nullable    = false
}
