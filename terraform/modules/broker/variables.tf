variable "name" {
  description = "Name of the cluster; what is made is called by it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,20}[a-z0-9]$", var.name)) && !strcontains(var.name, "--")
    error_message = "name is 2 to 22 lower case letters, digits and single hyphens, and begins with a letter: names of load balancers and target groups are made from it."
  }
}

variable "tags" {
  description = "Tags of everything that is made."
  type        = map(string)
  default     = {}
}

variable "region" {
  description = "Region of the cluster."
  type        = string
}

variable "platform" {
  description = "What brokers run on: `ecs` (Fargate) or `ec2` (Auto Scaling groups)."
  type        = string
  default     = "ecs"

  validation {
    condition     = contains(["ecs", "ec2"], var.platform)
    error_message = "platform is ecs or ec2."
  }
}

variable "image" {
  description = "Image of the broker, with a tag or, better, a digest."
  type        = string

  validation {
    condition     = can(regex("^[^\\s:@]+(:[0-9]+)?[^\\s:@]*(:[A-Za-z0-9_][A-Za-z0-9._-]*|@sha256:[0-9a-f]{64})+$", var.image)) && !endswith(var.image, ":latest")
    error_message = "image names a version, as ghcr.io/runnel-io/runnel:0.1.0 or NAME@sha256:..., and not latest: brokers that start at different times would be of different versions."
  }
}

variable "vpc_id" {
  description = "VPC of the brokers."
  type        = string
}

variable "subnet_ids_by_zone" {
  description = "A private subnet for each zone; zones by name, as eu-central-1a."
  type        = map(string)

  validation {
    condition     = length(var.subnet_ids_by_zone) > 0
    error_message = "subnet_ids_by_zone names at least one zone."
  }
  validation {
    condition     = alltrue([for zone in keys(var.subnet_ids_by_zone) : startswith(zone, var.region) && zone != var.region])
    error_message = "Zones are named as brokers find them, ${var.region}a and so on, not by their ids."
  }
}

variable "size" {
  description = "What a broker gets, as the module plan finds it: `cpu` (1,024 is one) and `memory` (MiB) of a task, `instance_type`, the memory for produce requests and for the cache as the broker's configuration has them, and `architecture`: arm64 or amd64."
  type = object({
    cpu            = number
    memory         = number
    instance_type  = string
    memory_produce = string
    memory_cache   = string
    architecture   = optional(string, "arm64")
  })

  validation {
    condition     = contains(["arm64", "amd64"], var.size.architecture)
    error_message = "size.architecture is arm64 or amd64."
  }
}

variable "brokers_per_zone" {
  description = "Brokers in each zone at least."
  type        = number

  validation {
    condition     = var.brokers_per_zone >= 1 && floor(var.brokers_per_zone) == var.brokers_per_zone
    error_message = "brokers_per_zone is a whole number from 1 on."
  }
}

variable "max_brokers_per_zone" {
  description = "Brokers in each zone at most: more than brokers_per_zone and they follow the load."
  type        = number

  validation {
    condition     = var.max_brokers_per_zone >= var.brokers_per_zone
    error_message = "max_brokers_per_zone is not less than brokers_per_zone."
  }
}

variable "cpu_target" {
  description = "Percent of CPU that scaling aims at."
  type        = number
  default     = 60

  validation {
    condition     = var.cpu_target >= 10 && var.cpu_target <= 90
    error_message = "cpu_target is 10 to 90 percent."
  }
}

variable "broker_policy_json" {
  description = "What brokers may do, as the module plan and `runnel generate iam-policy` make it."
  type        = string
}

variable "broker_security_group_id" {
  description = "Security group of the brokers. Rules are added here; whoever made it allows the way to the database."
  type        = string
}

variable "client_cidrs" {
  description = "Networks of clients that have no security group here, such as other VPCs."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for c in var.client_cidrs : can(cidrhost(c, 0))])
    error_message = "client_cidrs are networks in CIDR notation, as 10.0.0.0/16."
  }
}

variable "admin_cidrs" {
  description = "Networks that reach the admin port (9644) of brokers, such as Prometheus'. Nobody but the load balancer's health check if empty."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for c in var.admin_cidrs : can(cidrhost(c, 0)) && tonumber(split("/", c)[1]) >= (!strcontains(c, ":") ? 8 : can(regex("^[fF][cdCD]", c)) ? 7 : 16)])
    error_message = "admin_cidrs are networks in CIDR notation, and not everybody, in halves neither: of IPv4 from /8 on, of IPv6 from /16 on."
  }
}

variable "environment" {
  description = "The broker's configuration, as variables (docs/config.md): RUNNEL_LINGER_MAX, RUNNEL_CLUSTER_NUM_PARTITIONS, and so on."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for k in keys(var.environment) : can(regex("^(RUNNEL_[A-Z0-9_]+|GOMEMLIMIT|GOGC|GODEBUG)$", k))])
    error_message = "environment holds variables of the broker, RUNNEL_..., and the Go runtime's GOMEMLIMIT, GOGC, GODEBUG."
  }
  validation {
    condition = length(setintersection(keys(var.environment), [
      "RUNNEL_NODE_ID", "RUNNEL_LISTEN", "RUNNEL_ADVERTISE", "RUNNEL_ZONE", "RUNNEL_ADMIN_LISTEN", "RUNNEL_PEER_LISTEN", "RUNNEL_PEER_ADVERTISE", "RUNNEL_DRAIN_TIMEOUT",
      "RUNNEL_LOG_FORMAT",
    ])) == 0 && !anytrue([for k in keys(var.environment) : startswith(k, "RUNNEL_LISTENERS_")])
    error_message = "Node ids, addresses, zones, listeners, RUNNEL_DRAIN_TIMEOUT and RUNNEL_LOG_FORMAT are the module's to set: there is one listener, on 9092, with the protocol of RUNNEL_PROTOCOL, each broker finds its zone and address itself, and alarms count lines of a log in JSON."
  }
  validation {
    condition     = contains(["info", "debug"], lookup(var.environment, "RUNNEL_LOG_LEVEL", "info"))
    error_message = "RUNNEL_LOG_LEVEL is info or debug: the alarm restarts counts brokers that join, of which they log at info."
  }
  validation {
    condition     = !anytrue([for k in keys(var.environment) : can(regex("(PASSWORD|SECRET|SECRET_KEY|TOKEN)$", k))])
    error_message = "Passwords, secrets and tokens come from Secrets Manager: put their ARNs into secrets, not their values into environment, which everybody sees who may describe a task."
  }
}

variable "secrets" {
  description = "Variables of the broker that are secret, and the ARN of the secret in Secrets Manager for each; `ARN:key::` for a key of a secret that is JSON."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for k in keys(var.secrets) : can(regex("^RUNNEL_[A-Z0-9_]+$", k))])
    error_message = "secrets holds variables of the broker, RUNNEL_..."
  }
  validation {
    condition     = alltrue([for v in values(var.secrets) : can(regex("^arn:[a-z-]+:secretsmanager:[a-z0-9-]+:[0-9]+:secret:[^:]+(:[^:]*::)?$", v))])
    error_message = "Values of secrets are ARNs of secrets in Secrets Manager, whole or as ARN:key:: for a key of one that is JSON."
  }
}

variable "files" {
  description = "Files that brokers find as /run/runnel/NAME, and the ARN of the secret that holds each: certificates and keys. They are read when a broker starts."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for k in keys(var.files) : can(regex("^[A-Za-z0-9][A-Za-z0-9._-]*$", k))])
    error_message = "Names of files are letters, digits, dots, hyphens and underscores."
  }
  validation {
    condition     = alltrue([for v in values(var.files) : can(regex("^arn:[a-z-]+:secretsmanager:[a-z0-9-]+:[0-9]+:secret:[^:]+(:[^:]*::)?$", v))])
    error_message = "Values of files are ARNs of secrets in Secrets Manager, whole or as ARN:key:: for a key of one that is JSON."
  }
}

variable "files_image" {
  description = "Image with a shell that writes the files of a task before the broker starts (the broker's has none); for `ecs`."
  type        = string
  default     = "public.ecr.aws/docker/library/busybox:1.37.0"
}

variable "database_setup" {
  description = "How the user that brokers log in as with IAM comes to be: `runnel migrate --grant-iam USER` as the database's owner, with the password of a secret, in a task that alone can read it; and the authorities (PEM) that the server is verified by. Null: the user is there."
  type = object({
    url                 = string
    password_secret_arn = string
    user                = optional(string, "runnel")
    authorities         = optional(string, "")
  })
  default = null
}

variable "secret_kms_key_arns" {
  description = "Keys that secrets are encrypted with, if not Secrets Manager's own."
  type        = list(string)
  default     = []
}

variable "ami" {
  description = "Image of instances: an id, or resolve:ssm:PARAMETER, which is looked up when one is launched. Empty: the newest Amazon Linux 2023."
  type        = string
  default     = ""
}

variable "assign_public_ip" {
  description = "Whether tasks have public addresses. They need one in subnets whose way to the internet is an internet gateway and not NAT, to pull the image."
  type        = bool
  default     = false
}

variable "advertise" {
  description = "What brokers tell clients: their address, which every client reaches that has a route; or their name in the VPC's DNS, as ip-10-0-2-61.eu-central-1.compute.internal, which certificates can name, and which clients outside the VPC have to be able to resolve."
  type        = string
  default     = "address"

  validation {
    condition     = contains(["address", "name"], var.advertise)
    error_message = "advertise is address or name."
  }
}

variable "drain_timeout" {
  description = "Seconds that a stopping broker has to hand over its clients (drain.timeout). It is killed 15 seconds later."
  type        = number
  default     = 30

  validation {
    condition     = var.drain_timeout >= 5 && var.drain_timeout <= 100
    error_message = "drain_timeout is 5 to 100 seconds: Fargate kills a task after 120."
  }
}

variable "start_timeout" {
  description = "Seconds that a new instance has until its broker is ready, for `ec2`; then it is given up. A first start of new tables may migrate for long: `runnel migrate` beforehand takes that out of it."
  type        = number
  default     = 900

  validation {
    condition     = var.start_timeout >= 300 && var.start_timeout <= 7200
    error_message = "start_timeout is 300 to 7200 seconds: instances wait in their lifecycle hook for no longer."
  }
}

variable "sessions" {
  description = "Whether Session Manager gives shells on instances, for `ec2`."
  type        = bool
  default     = false
}

variable "alarm_topic_arns" {
  description = "SNS topics that are told of alarms, and of their end."
  type        = list(string)
  default     = []
}

variable "log_retention_days" {
  description = "Days that logs are kept in CloudWatch."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days is a number of days that CloudWatch knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, ..."
  }
}

variable "log_kms_key_arn" {
  description = "Key that logs are encrypted with, if not CloudWatch's own. Its policy has to admit the logs service."
  type        = string
  default     = ""
}

variable "container_insights" {
  description = "Container Insights of the ECS cluster: disabled, enabled or enhanced. CPU, memory, restarts and health are watched without."
  type        = string
  default     = "disabled"

  validation {
    condition     = contains(["disabled", "enabled", "enhanced"], var.container_insights)
    error_message = "container_insights is disabled, enabled or enhanced."
  }
}

variable "deletion_protection" {
  description = "Whether the load balancer, whose name clients know, can only be deleted after this was taken away."
  type        = bool
  default     = false
}

variable "wait_for_deployment" {
  description = "Whether an apply waits until the brokers run, and fails if they do not."
  type        = bool
  default     = true
}

variable "dashboard_widgets" {
  description = "Further widgets of the dashboard, each as JSON."
  type        = list(string)
  default     = []
}
