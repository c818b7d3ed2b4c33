output "names" {
  description = "Names of the bucket, and of the secret that brokers know each other by. Whoever makes other things names them."
  value       = local.names
}

output "tags" {
  description = "Tags of everything: those that were given and runnel:cluster."
  value       = local.tags
}

output "broker_policy_json" {
  description = "What a broker's role may do, as `runnel generate iam-policy` writes it."
  value       = jsonencode(local.broker_policy)
}

output "bucket_policy_json" {
  description = "The bucket's policy: nothing without TLS 1.2; with a key of KMS, no object with another."
  value       = jsonencode(local.bucket_policy)
}

output "size" {
  description = "Size of a broker (cpu in units of ECS, 1024 a vCPU; memory in MiB; budgets as memory.produce and memory.cache take them), how many there are in a zone, and the database's class."
  value = {
    cpu                     = local.chosen.step.cpu
    memory                  = local.chosen.step.memory
    instance_type           = local.chosen.step[var.architecture]
    architecture            = var.architecture
    memory_produce          = "${local.produce}MiB"
    memory_cache            = "${local.cache}MiB"
    brokers_per_zone        = local.chosen.brokers
    database_instance_class = local.database_class
  }

  precondition {
    condition     = local.fits
    error_message = var.brokers_per_zone == null ? "No number of brokers carries ${var.throughput} MB/s: one of them compacts what all take, which is too much for ${local.most / 1024} vCPUs. Split the load over several clusters, or say what your machines carry (workload.mb_per_vcpu, docs/sizing.md)." : "A broker of ${local.most / 1024} vCPUs does not carry its share of ${var.throughput} MB/s with a zone lost, and compaction: raise brokers_per_zone from ${coalesce(var.brokers_per_zone, 0)}, or leave it null to have it computed."
  }
  precondition {
    condition     = local.fits_also
    error_message = "${var.workload.partitions} partitions leave a broker of ${local.chosen.step.memory} MiB no memory for records: raise throughput, which makes brokers larger, or lower workload.partitions."
  }
}

output "postgres_parameters" {
  description = "Parameters of PostgreSQL for the commit path, by name."
  value       = local.postgres_parameters
}

output "requests_per_second" {
  description = "Requests to S3 of all brokers at the average load, by what they are for. DELETE costs nothing."
  value       = { for what, rate in local.requests : what => floor(1000 * rate + 0.5) / 1000 }
}

output "monthly_cost" {
  description = "USD a month by the formula of docs/cost.md: an estimate, by the prices that were given."
  value = merge(
    { for part, usd in local.parts : part => floor(usd + 0.5) },
    {
      total               = floor(local.total + 0.5)
      per_gib             = local.gib == 0 ? 0 : floor(1000 * local.total / (local.gib * local.seconds) + 0.5) / 1000
      saved_between_zones = floor(local.saved_between_zones + 0.5)
    },
  )
}

check "zones" {
  assert {
    condition     = length(var.zones) > 1
    error_message = "All brokers are in one zone: while it is lost, the cluster is. Records are in S3 and survive it."
  }
}
