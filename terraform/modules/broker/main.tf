data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

locals {
  ports = { kafka = 9092, admin = 9644, peer = 9645 }

  zones      = keys(var.subnet_ids_by_zone)
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  on_ecs     = var.platform == "ecs"
  on_ec2     = var.platform == "ec2"

  protocol     = lookup(var.environment, "RUNNEL_PROTOCOL", "PLAINTEXT")
  admin_scheme = contains(keys(var.environment), "RUNNEL_ADMIN_CERTIFICATE") ? "https" : "http"

  environment = merge({
    RUNNEL_MEMORY_PRODUCE = var.size.memory_produce
    RUNNEL_MEMORY_CACHE   = var.size.memory_cache
    # The load balancer leads clients to brokers of their own zone first.
    RUNNEL_CLIENT_ZONE = "auto"
    }, var.environment, {
    RUNNEL_LISTEN         = "0.0.0.0:${local.ports.kafka}"
    RUNNEL_ADVERTISE      = var.advertise == "name" ? "auto:name" : "auto"
    RUNNEL_ZONE           = "auto"
    RUNNEL_ADMIN_LISTEN   = "0.0.0.0:${local.ports.admin}"
    RUNNEL_PEER_LISTEN    = "0.0.0.0:${local.ports.peer}"
    RUNNEL_PEER_ADVERTISE = "auto"
    RUNNEL_DRAIN_TIMEOUT  = "${var.drain_timeout}s"
    RUNNEL_LOG_FORMAT     = "json" # alarms count lines of it
  })
  command = ["broker", "--migrate"]

  # Longer than the broker gives itself, so that who drains is not killed.
  stop_seconds = var.drain_timeout + 15

  # A deployment starts one broker more in each zone, and stops one when the new one is ready. AWS takes percents of how many
  # there are: of brokers_per_zone, one; of twice as many, since the load has risen, two at once. It is by the least, since
  # percents of the most would be less than one broker where there are few, and nothing would be replaced.
  max_healthy_percent = 100 + ceil(100 / var.brokers_per_zone)

  # Networks that are larger than any of private addresses. Everybody can be said in halves, too.
  everybody = [
    for c in var.client_cidrs : c if try(tonumber(split("/", c)[1]) < (!strcontains(c, ":") ? 8 : can(regex("^[fF][cdCD]", c)) ? 7 : 16), false)
  ]
}

# What would give the cluster away is refused here, when the plan is made.
resource "terraform_data" "checks" {
  lifecycle {
    precondition {
      condition     = !(endswith(local.protocol, "PLAINTEXT") && length(local.everybody) > 0)
      error_message = "client_cidrs admits everybody (${join(", ", local.everybody)}), and RUNNEL_PROTOCOL is ${local.protocol}: passwords and records would go over the network in clear. Set protocol to SSL or SASL_SSL, or name the networks of your clients."
    }
    precondition {
      condition     = contains(["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"], local.protocol)
      error_message = "RUNNEL_PROTOCOL is PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."
    }
    precondition {
      condition     = !endswith(local.protocol, "SSL") || contains(keys(var.environment), "RUNNEL_TLS_CERTIFICATE") && contains(keys(var.environment), "RUNNEL_TLS_KEY")
      error_message = "RUNNEL_PROTOCOL ${local.protocol} needs a certificate: put it and its key into files, and RUNNEL_TLS_CERTIFICATE=/run/runnel/NAME and RUNNEL_TLS_KEY into environment."
    }
    precondition {
      condition     = length(setintersection(keys(local.environment), keys(var.secrets))) == 0
      error_message = "The same variable stands in environment and in secrets: ${join(", ", setintersection(keys(local.environment), keys(var.secrets)))}."
    }
    precondition {
      condition = alltrue([
        for k, v in var.environment : contains(keys(var.files), trimprefix(v, "/run/runnel/")) if startswith(v, "/run/runnel/")
      ])
      error_message = "environment names a file under /run/runnel/ that is not among files."
    }
  }
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/runnel/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.log_kms_key_arn == "" ? null : var.log_kms_key_arn
  tags              = var.tags
}
