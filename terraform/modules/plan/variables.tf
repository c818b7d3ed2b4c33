variable "name" {
  description = "Name of the cluster. Everything that is made bears it."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,20}[a-z0-9]$", var.name)) && !strcontains(var.name, "--")
    error_message = "The name must be 2 to 22 lower case letters, digits and single hyphens, begin with a letter and not end with a hyphen: load balancers are named after it, which may have 32 in all, and databases."
  }
}

variable "zones" {
  description = "Availability zones that have brokers, such as [\"eu-central-1a\", \"eu-central-1b\", \"eu-central-1c\"]."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.zones) >= 1 && length(var.zones) <= 6 && length(distinct(var.zones)) == length(var.zones)
    error_message = "Give 1 to 6 zones, each once."
  }
  validation {
    condition     = alltrue([for z in var.zones : can(regex("^[a-z0-9-]+$", z))])
    error_message = "Zones are named as \"eu-central-1a\"; ids of zones (\"euc1-az1\") do, too, if clients name theirs so in client.rack."
  }
}

variable "region" {
  description = "Region of all of it, such as \"eu-central-1\"."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]+$", var.region))
    error_message = "The region must be written as \"eu-central-1\"."
  }
}

variable "partition" {
  description = "Partition of AWS: aws, aws-cn or aws-us-gov."
  type        = string
  default     = "aws"
  nullable    = false

  validation {
    condition     = startswith(var.partition, "aws")
    error_message = "The partition must be aws, aws-cn or aws-us-gov: what data.aws_partition.current.partition says."
  }
}

variable "account_id" {
  description = "Number of the account, which is part of the bucket's name unless bucket_name is given."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.account_id == "" || can(regex("^[0-9]{12}$", var.account_id))
    error_message = "An account has 12 digits; write it as text, since it may begin with 0."
  }
}

variable "brokers_per_zone" {
  description = "Brokers in each zone. Null: as many as throughput needs."
  type        = number
  default     = null

  validation {
    condition     = var.brokers_per_zone == null || try(var.brokers_per_zone >= 1 && floor(var.brokers_per_zone) == var.brokers_per_zone, false)
    error_message = "A zone has at least one broker; null lets throughput decide."
  }
}

variable "throughput" {
  description = "Bytes that producers send to the cluster at its peak, in MB/s (millions of bytes), as they are sent: compressed, if producers compress."
  type        = number
  default     = 25
  nullable    = false

  validation {
    condition     = var.throughput > 0
    error_message = "The throughput must be more than 0 MB/s."
  }
}

variable "workload" {
  description = <<-EOT
    What is known of the load beside its peak, and the figures that sizes and costs are computed with (docs/sizing.md says
    which are measured and which are assumed):
      average                  MB/s over a month; null: as throughput.
      fanout                   how often each byte is consumed at the end of partitions.
      reread                   share of the bytes that are consumed once more from the bucket, by who is far behind.
      retention_days           how long records are kept.
      partitions               of all topics.
      put_rate, linger_max_ms, segment_mib   as put.rate, linger.max and segment.size of the brokers.
      cpu_seconds_per_gib      of a broker for what it takes from producers.
      cpu_seconds_per_gib_read of a broker for what it sends to consumers.
      cpu_seconds_per_gib_compacted   of the one broker that compacts, for all of the cluster.
      busy                     share of the CPU that may be used at the peak, with one zone lost.
      mb_per_vcpu              MB/s that a vCPU's share of the network carries in each direction.
  EOT
  type = object({
    average                       = optional(number)
    fanout                        = optional(number, 2)
    reread                        = optional(number, 0.1)
    retention_days                = optional(number, 7)
    partitions                    = optional(number, 1000)
    put_rate                      = optional(number, 25)
    linger_max_ms                 = optional(number, 250)
    segment_mib                   = optional(number, 8)
    cpu_seconds_per_gib           = optional(number, 4.2)
    cpu_seconds_per_gib_read      = optional(number, 0.5)
    cpu_seconds_per_gib_compacted = optional(number, 2.35)
    busy                          = optional(number, 0.5)
    mb_per_vcpu                   = optional(number, 75)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for k, v in var.workload : v == null ? k == "average" : v >= 0])
    error_message = "The figures of workload are numbers of 0 or more."
  }
  validation {
    condition     = var.workload.busy > 0 && var.workload.busy <= 1 && var.workload.mb_per_vcpu > 0 && var.workload.linger_max_ms > 0 && var.workload.segment_mib > 0
    error_message = "workload.busy is a share, more than 0 and at most 1; mb_per_vcpu, linger_max_ms and segment_mib are more than 0."
  }
  validation {
    condition     = coalesce(var.workload.average, var.throughput) <= var.throughput
    error_message = "workload.average is at most throughput, which is the peak."
  }
}

variable "prices" {
  description = <<-EOT
    Prices in USD, of which the defaults are list prices of us-east-1 that may have changed: put in your own. Requests are per
    1,000, storage per GB and month, everything else per hour or GB. database is of the instance with its standby
    (Multi-AZ), database_disk a GB and month of both; null: by the class. database_io is of a million writes, which Aurora
    alone counts. endpoint_count are interface endpoints in each zone, nat_count NAT gateways in all.
  EOT
  type = object({
    put            = optional(number, 0.005)
    get            = optional(number, 0.0004)
    storage        = optional(number, 0.023)
    vcpu           = optional(number)
    memory         = optional(number)
    database       = optional(number)
    database_disk  = optional(number)
    database_io    = optional(number, 0.2)
    cross_zone     = optional(number, 0.02)
    load_balancer  = optional(number, 0.0225)
    endpoint       = optional(number, 0.01)
    hours_a_month  = optional(number, 730)
    database_gb    = optional(number, 100)
    endpoint_count = optional(number, 4)
    nat            = optional(number, 0.045)
    nat_count      = optional(number, 0)
  })
  default  = {}
  nullable = false
}

variable "architecture" {
  description = "Processors of the brokers: arm64 (Graviton, a fifth cheaper) or amd64. The image is for both."
  type        = string
  default     = "arm64"
  nullable    = false

  validation {
    condition     = contains(["arm64", "amd64"], var.architecture)
    error_message = "The architecture must be arm64 or amd64."
  }
}

variable "engine" {
  description = "Where metadata lives: rds, aurora or own, as of the module postgres. Aurora has other instance classes and settings."
  type        = string
  default     = "rds"
  nullable    = false

  validation {
    condition     = contains(["rds", "aurora", "own"], var.engine)
    error_message = "The engine must be rds, aurora or own."
  }
}

variable "multi_az" {
  description = "Whether the database has a standby, as of the module postgres. Without one it costs half."
  type        = bool
  default     = true
  nullable    = false
}

variable "bucket_name" {
  description = "Name of the bucket. Empty: made of the name, the account and the region."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.bucket_name == "" || can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.bucket_name))
    error_message = "A bucket's name has 3 to 63 lower case letters, digits, hyphens and dots. Give the name alone, not a URL or an ARN."
  }
  validation {
    condition     = var.bucket_name != "" || var.account_id != ""
    error_message = "Give bucket_name, or account_id to have a name made that nobody else has: data.aws_caller_identity.current.account_id."
  }
}

variable "prefix" {
  description = "What the keys of the cluster's objects begin with, in the bucket. Clusters that share a bucket need different ones. Empty: all of the bucket is this cluster's."
  type        = string
  default     = "runnel"
  nullable    = false

  validation {
    condition     = var.prefix == "" || can(regex("^[A-Za-z0-9!_.'()-]+(/[A-Za-z0-9!_.'()-]+)*$", var.prefix))
    error_message = "The prefix must be of letters, digits and ! _ . ' ( ) -, with slashes between words only: * ? and $ mean something in policies."
  }
}

variable "kms_key_arn" {
  description = "Key of KMS that encrypts the bucket's objects. Empty: S3's own keys (SSE-S3)."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.kms_key_arn == "" || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "Give the ARN of the key, arn:aws:kms:REGION:ACCOUNT:key/ID: policies do not know aliases."
  }
}

variable "database_resource_arn" {
  description = "What brokers may log in to by IAM (rds-db:connect), as the module postgres says in resource_arn. Empty: nothing."
  type        = string
  default     = ""
  nullable    = false
}

variable "tags" {
  description = "Tags of everything, beside those that the module adds."
  type        = map(string)
  default     = {}
  nullable    = false
}
