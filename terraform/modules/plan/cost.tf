# docs/cost.md tells the formula.
locals {
  seconds  = var.prices.hours_a_month * 3600
  brokers  = local.zone_count * local.chosen.brokers
  average  = coalesce(var.workload.average, var.throughput)
  a_broker = local.average / local.brokers
  gib      = local.average * local.mb_to_gib # a second

  segment = var.workload.segment_mib * pow(2, 20) / 1000000
  # A broker that takes half a segment within linger.max lets batches wait for so long; below that, put.rate bounds uploads.
  crowded  = local.a_broker >= local.segment / 2 / (var.workload.linger_max_ms / 1000)
  put_rate = local.brokers * (local.crowded ? max(1000 / var.workload.linger_max_ms, local.a_broker / local.segment) : var.workload.put_rate)

  requests = {
    tier0_put   = local.put_rate
    tier1_put   = local.gib * 1024 / 64
    marks_put   = local.brokers / 10 + 1 / 600
    compact_get = 2 * local.put_rate
    tail_get    = var.workload.fanout > 0 ? (local.zone_count - 1) * max(local.put_rate, local.gib * 1024 / 4) : 0
    reread_get  = local.gib * var.workload.reread * 400
    list        = local.brokers / 60 + local.put_rate / 1000
  }

  # Prices of the database are of two instances.
  instances = var.multi_az ? 1 : 0.5

  # Aurora counts what it writes, 4 KiB at a time: an entry of the log is four of them and its row.
  aurora = var.engine == "aurora"

  list_prices = {
    vcpu     = { arm64 = 0.03238, amd64 = 0.04048 }
    memory   = { arm64 = 0.00356, amd64 = 0.004445 }
    database = { "db.t4g.medium" = 0.129, "db.m7g.large" = 0.337, "db.m7g.xlarge" = 0.674, "db.r7g.large" = 0.553, "db.r7g.xlarge" = 1.106 }
  }

  # Each commit is an entry of the log, of some 16 KiB with 600 runs in it, which brokers of other zones than the database's
  # and the sequencer's read.
  metadata = local.put_rate * 16 * 1024 / 1000000 * (local.brokers - local.chosen.brokers)

  parts = {
    put     = (local.requests.tier0_put + local.requests.tier1_put + local.requests.marks_put + local.requests.list) * local.seconds / 1000 * var.prices.put
    get     = (local.requests.compact_get + local.requests.tail_get + local.requests.reread_get) * local.seconds / 1000 * var.prices.get
    storage = local.average / 1000 * (var.workload.retention_days * 86400 + 3720) * var.prices.storage
    brokers = local.brokers * var.prices.hours_a_month * (local.chosen.step.cpu / 1024 * coalesce(var.prices.vcpu, local.list_prices.vcpu[var.architecture]) + local.chosen.step.memory / 1024 * coalesce(var.prices.memory, local.list_prices.memory[var.architecture]))
    database = var.engine == "own" ? 0 : sum([
      local.instances * var.prices.hours_a_month * coalesce(var.prices.database, local.list_prices.database[local.database_class]),
      (local.aurora ? 1 : local.instances) * var.prices.database_gb * coalesce(var.prices.database_disk, local.aurora ? 0.1 : 0.23),
      local.aurora ? local.put_rate * 5 * local.seconds / 1000000 * var.prices.database_io : 0,
    ])
    between_zones = local.metadata / 1000 * local.seconds * var.prices.cross_zone
    network       = var.prices.hours_a_month * (var.prices.load_balancer + var.prices.endpoint_count * local.zone_count * var.prices.endpoint + var.prices.nat_count * var.prices.nat)
  }
  total = sum(values(local.parts))

  # What a cluster with three replicas, one in each zone, sends between zones of the same load: producers to leaders, leaders
  # to two followers, leaders to consumers that do not fetch from the nearest.
  kafka_crossings     = (local.zone_count - 1) / local.zone_count * (1 + var.workload.fanout) + min(2, local.zone_count - 1)
  saved_between_zones = local.average / 1000 * local.seconds * local.kafka_crossings * var.prices.cross_zone
}
