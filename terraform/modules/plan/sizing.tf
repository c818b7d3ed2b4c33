# docs/sizing.md tells the formula and which of its figures are measured.
locals {
  zone_count = length(var.zones)
  mb_to_gib  = 1000000 / pow(2, 30)

  # Sizes of a broker, of 4 GiB for a vCPU: what Fargate has and what instances of type m have, too.
  steps = [
    { cpu = 512, memory = 2048, arm64 = "m7g.medium", amd64 = "m7i.large" },
    { cpu = 1024, memory = 4096, arm64 = "m7g.medium", amd64 = "m7i.large" },
    { cpu = 2048, memory = 8192, arm64 = "m7g.large", amd64 = "m7i.large" },
    { cpu = 4096, memory = 16384, arm64 = "m7g.xlarge", amd64 = "m7i.xlarge" },
    { cpu = 8192, memory = 32768, arm64 = "m7g.2xlarge", amd64 = "m7i.2xlarge" },
    { cpu = 16384, memory = 65536, arm64 = "m7g.4xlarge", amd64 = "m7i.4xlarge" },
  ]
  most = local.steps[length(local.steps) - 1].cpu

  # For each number of brokers in a zone: what one of them must carry at the peak while a zone is lost (or, of one zone, a
  # broker), the compaction of all the cluster's bytes included, which one broker does.
  candidates = { for n in var.brokers_per_zone == null ? range(1, 17) : [var.brokers_per_zone] : format("%03d", n) => {
    brokers   = n
    survivors = max(local.zone_count > 1 ? (local.zone_count - 1) * n : n - 1, 1)
  } }
  loads = { for key, c in local.candidates : key => {
    brokers = c.brokers
    peak    = var.throughput / c.survivors
    vcpu_for_cpu = local.mb_to_gib / var.workload.busy * (
      var.throughput / c.survivors * (var.workload.cpu_seconds_per_gib + var.workload.fanout * var.workload.cpu_seconds_per_gib_read)
      + var.throughput * var.workload.cpu_seconds_per_gib_compacted
    )
    vcpu_for_network = (var.throughput / c.survivors * (1 + var.workload.fanout) + var.throughput) / var.workload.mb_per_vcpu
  } }
  fitting = { for key, l in local.loads : key => merge(l, {
    steps = [for s in local.steps : s if s.cpu >= 1024 * max(l.vcpu_for_cpu, l.vcpu_for_network)]
  }) }
  # The fewest vCPUs in all, then the fewest brokers.
  possible = { for key, f in local.fitting : format("%08d-%s", f.steps[0].cpu * f.brokers, key) => f if length(f.steps) > 0 }
  fits     = length(local.possible) > 0
  first    = values(local.fitting)[length(local.fitting) - 1]
  chosen = local.fits ? {
    brokers = local.possible[sort(keys(local.possible))[0]].brokers
    peak    = local.possible[sort(keys(local.possible))[0]].peak
    step    = local.possible[sort(keys(local.possible))[0]].steps[0]
  } : { brokers = local.first.brokers, peak = local.first.peak, step = local.steps[length(local.steps) - 1] }

  # MiB. What a broker needs beside the two budgets: compaction, keys of compacted topics, answers that are slow to be
  # read, connections; and what it remembers of partitions.
  beside    = 1024 + ceil(var.workload.partitions / 1024)
  budget    = floor(local.chosen.step.memory * 0.85) - local.beside
  produce   = min(max(256, 64 * ceil(2 * local.chosen.peak / 64)), max(64, 64 * floor(local.budget / 2.25 / 64)))
  cache     = max(64, 64 * floor(min(local.chosen.step.memory / 2, local.budget - 1.125 * local.produce) / 64))
  fits_also = local.budget - 1.125 * local.produce >= 64

  database_class = (
    var.throughput <= 20 ? "db.t4g.medium" :
    var.throughput <= 500 ? (var.engine == "aurora" ? "db.r7g.large" : "db.m7g.large") :
    (var.engine == "aurora" ? "db.r7g.xlarge" : "db.m7g.xlarge")
  )
}
