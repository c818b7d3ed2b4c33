variable "name" {
  description = "Name of the cluster. Everything that is made bears it."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,20}[a-z0-9]$", var.name)) && !strcontains(var.name, "--")
    error_message = "name is 2 to 22 lower case letters, digits and single hyphens, and begins with a letter."
  }
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
  default     = {}
  nullable    = false
}

# ---- Size ----

variable "throughput" {
  description = "MB/s that producers send at peak, to the cluster, as they are sent (compressed). Brokers and database are sized for it."
  type        = number
  default     = 25
  nullable    = false
}

variable "workload" {
  description = "What else is known of the load, and the figures that sizes and costs are computed with: see the module plan."
  type        = any
  default     = {}
  nullable    = false
}

variable "brokers_per_zone" {
  description = "Brokers in each zone at least. Null: as many as throughput needs."
  type        = number
  default     = null
}

variable "max_brokers_per_zone" {
  description = "Brokers in each zone at most: more than brokers_per_zone and they follow the load. Null: brokers_per_zone."
  type        = number
  default     = null
}

variable "cpu_target" {
  description = "Percent of CPU that scaling aims at."
  type        = number
  default     = 60
  nullable    = false
}

variable "architecture" {
  description = "Processors of brokers: arm64 or amd64."
  type        = string
  default     = "arm64"
  nullable    = false
}

# ---- Brokers ----

variable "platform" {
  description = "What brokers run on: ecs (Fargate) or ec2 (Auto Scaling groups)."
  type        = string
  default     = "ecs"
  nullable    = false

  validation {
    condition     = contains(["ecs", "ec2"], var.platform)
    error_message = "platform is ecs or ec2."
  }
}

variable "image" {
  description = "Image of the broker, with a version or, better, a digest."
  type        = string
  default     = "ghcr.io/runnel-io/runnel:0.1.0"
  nullable    = false
}

variable "environment" {
  description = "The broker's configuration, as variables (docs/config.md): RUNNEL_LINGER_MAX, RUNNEL_CLUSTER_NUM_PARTITIONS, and so on."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition = length(setintersection(keys(var.environment), [
      "RUNNEL_PROTOCOL", "RUNNEL_CLIENT_SUBNETS", "RUNNEL_METASTORE_URL", "RUNNEL_METASTORE_AUTH", "RUNNEL_METASTORE_AUTHORITIES", "RUNNEL_OBJECT_STORE_URL", "RUNNEL_OBJECT_STORE_REGION",
    ])) == 0
    error_message = "Protocol, client subnets, metastore and object store have variables of their own: protocol, client_subnets, engine, url, database_authorities, bucket_name, prefix."
  }
}

variable "secrets" {
  description = "Variables of the broker that are secret, and the ARN of the secret in Secrets Manager for each; ARN:key:: for a key of a secret that is JSON."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "files" {
  description = "Files that brokers find as /run/runnel/NAME, and the ARN of the secret that holds each: certificates and keys."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "files_image" {
  description = "Image with a shell that writes the files of a task, on ecs."
  type        = string
  default     = "public.ecr.aws/docker/library/busybox:1.37.0"
  nullable    = false
}

variable "protocol" {
  description = "Security protocol of the Kafka port: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL. Those with SSL need a certificate (files tls.crt and tls.key, or RUNNEL_TLS_CERTIFICATE and RUNNEL_TLS_KEY of your own)."
  type        = string
  default     = "PLAINTEXT"
  nullable    = false

  validation {
    condition     = contains(["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"], var.protocol)
    error_message = "protocol is PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."
  }
  validation {
    condition = !(endswith(var.protocol, "PLAINTEXT") && anytrue([
      for c in var.client_cidrs : try(tonumber(split("/", c)[1]) < (!strcontains(c, ":") ? 8 : can(regex("^[fF][cdCD]", c)) ? 7 : 16), false)
    ]))
    error_message = "client_cidrs admits everybody, or so many that it makes no difference, and protocol is ${var.protocol}: passwords and records would go over the network in clear. Set protocol to SSL or SASL_SSL, or name the networks of your clients."
  }
}

variable "advertise" {
  description = "What brokers tell clients: address, which every client reaches that has a route; or name, theirs in the VPC's DNS, which certificates can name, and which clients outside the VPC have to be able to resolve (docs/deploy-aws.md)."
  type        = string
  default     = "address"
  nullable    = false
}

variable "start_timeout" {
  description = "With ec2: seconds that a new instance has until its broker is ready, tables that it migrates included."
  type        = number
  default     = 900
  nullable    = false
}

variable "ami" {
  description = "With ec2: image of instances, an id or resolve:ssm:PARAMETER. Empty: the newest Amazon Linux 2023. With an id, a refresh that fails goes back by itself."
  type        = string
  default     = ""
  nullable    = false
}

variable "sessions" {
  description = "With ec2: whether Session Manager gives shells on instances. In the VPC that is made it takes two interface endpoints more."
  type        = bool
  default     = false
  nullable    = false
}

variable "drain_timeout" {
  description = "Seconds that a stopping broker has to hand over its clients."
  type        = number
  default     = 30
  nullable    = false
}

variable "peer_secret_arn" {
  description = "Secret of yours that brokers know each other by, of at least 16 random characters. Empty: one is made."
  type        = string
  default     = ""
  nullable    = false
}

variable "peer_secret_version" {
  description = "Raise it to have another secret made that brokers know each other by."
  type        = number
  default     = 1
  nullable    = false
}

variable "wait_for_deployment" {
  description = "Whether an apply waits until the brokers run, and fails if they do not."
  type        = bool
  default     = true
  nullable    = false
}

# ---- Network ----

variable "zones" {
  description = "Availability zones of the brokers, by name. Empty: those of subnet_ids_by_zone, or the first three of the region."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "cidr" {
  description = "Addresses of the VPC that is made."
  type        = string
  default     = "10.60.0.0/16"
  nullable    = false
}

variable "vpc_id" {
  description = "A VPC of yours. Empty: one is made."
  type        = string
  default     = ""
  nullable    = false
}

variable "subnet_ids_by_zone" {
  description = "Private subnets of your VPC, one for each zone."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "route_table_ids" {
  description = "Route tables of your subnets, to have the endpoint of S3 made. Empty: there is one."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "egress" {
  description = "How brokers in the VPC that is made reach their image, logs and secrets: endpoints (no internet: the image has to be in ECR), nat, nat_per_zone or none."
  type        = string
  default     = "endpoints"
  nullable    = false
}

variable "assign_public_ip" {
  description = "With ecs: whether tasks have public addresses, which they need in public subnets of yours to pull the image. Nobody gets in by them: security groups are the same."
  type        = bool
  default     = false
  nullable    = false
}

variable "client_cidrs" {
  description = "Networks of clients that cannot have the clients' security group attached, such as of other VPCs."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "client_subnets" {
  description = "Zone of clients by their address, as { \"10.0.1.0/24\" = \"eu-central-1a\" }, for those that do not name it themselves."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for c in keys(var.client_subnets) : can(cidrhost(c, 0))])
    error_message = "The keys of client_subnets are networks, as 10.0.1.0/24."
  }
}

variable "admin_cidrs" {
  description = "Networks that reach the admin port (9644) of brokers, such as Prometheus'."
  type        = list(string)
  default     = []
  nullable    = false
}

# ---- Bucket ----

variable "bucket_name" {
  description = "Name of the bucket. Empty: made of name, account and region."
  type        = string
  default     = ""
  nullable    = false
}

variable "existing_bucket" {
  description = "Whether the bucket is yours, and used as it is. It must have no rule that expires objects."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !var.existing_bucket || var.bucket_name != ""
    error_message = "existing_bucket needs bucket_name."
  }
}

variable "prefix" {
  description = "What the keys of the cluster's objects begin with."
  type        = string
  default     = "runnel"
  nullable    = false
}

variable "force_destroy" {
  description = "Whether a destroy deletes a bucket that has objects, and with it all records. For tests."
  type        = bool
  default     = false
  nullable    = false
}

variable "versioning" {
  description = "Whether deleted objects can be brought back for eight days (docs/bucket.md)."
  type        = bool
  default     = false
  nullable    = false
}

variable "s3_request_metrics" {
  description = "Whether S3 counts requests and errors of the cluster's objects, and alarms go by them. It costs 0.30 USD for each of 16 metrics and month."
  type        = bool
  default     = false
  nullable    = false
}

# ---- Keys ----

variable "kms_key_arn" {
  description = "Key of KMS that encrypts the bucket, the database and the secrets that are made. Empty: AWS's own keys."
  type        = string
  default     = ""
  nullable    = false
}

variable "secret_kms_key_arns" {
  description = "Keys that your secrets are encrypted with, if not Secrets Manager's own."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "log_kms_key_arn" {
  description = "Key that logs are encrypted with. Its policy has to admit the logs service."
  type        = string
  default     = ""
  nullable    = false
}

# ---- Watching ----

variable "alarm_topic_arns" {
  description = "SNS topics that are told of alarms, and of their end."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "database_connections_alarm" {
  description = "Connections of the database above which there is an alarm. Null: three quarters of what its class takes."
  type        = number
  default     = null

  validation {
    condition     = var.database_connections_alarm == null || try(var.database_connections_alarm >= 1, false)
    error_message = "database_connections_alarm is a number of connections, or null."
  }
}

variable "log_retention_days" {
  description = "Days that logs are kept."
  type        = number
  default     = 30
  nullable    = false
}

variable "container_insights" {
  description = "Container Insights of the ECS cluster: disabled, enabled or enhanced."
  type        = string
  default     = "disabled"
  nullable    = false
}
