# Nothing here asks AWS: the module has no provider.
variables {
  name       = "demo"
  zones      = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
  region     = "eu-central-1"
  account_id = "012345678901"
}

run "names_and_tags" {
  command = plan

  variables {
    tags = { team = "streaming" }
  }

  assert {
    condition     = output.names.bucket == "demo-012345678901-eu-central-1"
    error_message = "bucket ${output.names.bucket}"
  }
  assert {
    condition     = alltrue([for what, name in output.names : strcontains(name, "demo")])
    error_message = "not all names bear the cluster's: ${jsonencode(output.names)}"
  }
  assert {
    condition     = output.tags == { "runnel:cluster" = "demo", team = "streaming" }
    error_message = "tags ${jsonencode(output.tags)}"
  }
}

run "policy_as_the_binary_writes_it" {
  command = plan

  variables {
    bucket_name = "my-bucket"
  }

  assert {
    condition     = jsondecode(output.broker_policy_json) == jsondecode(file("../../../cmd/runnel/testdata/iam-policy.json"))
    error_message = "not what `runnel generate iam-policy` writes: ${output.broker_policy_json}"
  }
}

run "policy_with_key_and_database" {
  command = plan

  variables {
    bucket_name           = "my-bucket"
    kms_key_arn           = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
    database_resource_arn = "arn:aws:rds-db:eu-central-1:123456789012:dbuser:db-ABCDEFGHIJKLMNOPQRSTUVWXYZ/runnel"
  }

  assert {
    condition     = jsondecode(output.broker_policy_json) == jsondecode(file("../../../cmd/runnel/testdata/iam-policy-kms-database.json"))
    error_message = "not what `runnel generate iam-policy` writes: ${output.broker_policy_json}"
  }
}

run "policy_of_another_partition" {
  command = plan

  variables {
    bucket_name           = "my-bucket"
    region                = "cn-north-1"
    partition             = "aws-cn"
    kms_key_arn           = "arn:aws-cn:kms:cn-north-1:123456789012:key/11111111-2222-3333-4444-555555555555"
    database_resource_arn = "arn:aws-cn:rds-db:cn-north-1:123456789012:dbuser:db-ABCDEFGHIJKLMNOPQRSTUVWXYZ/runnel"
  }

  assert {
    condition     = jsondecode(output.broker_policy_json) == jsondecode(file("../../../cmd/runnel/testdata/iam-policy-partition.json"))
    error_message = "not what `runnel generate iam-policy` writes: ${output.broker_policy_json}"
  }
}

run "policy_of_a_whole_bucket" {
  command = plan

  variables {
    bucket_name = "my-bucket"
    prefix      = ""
  }

  assert {
    condition     = jsondecode(output.broker_policy_json) == jsondecode(file("../../../cmd/runnel/testdata/iam-policy-no-prefix.json"))
    error_message = "not what `runnel generate iam-policy` writes: ${output.broker_policy_json}"
  }
}

run "bucket_takes_nothing_without_tls" {
  command = plan

  assert {
    condition     = [for s in jsondecode(output.bucket_policy_json).Statement : s.Sid] == ["DenyWithoutTLS", "DenyOldTLS"]
    error_message = output.bucket_policy_json
  }
  assert {
    condition     = alltrue([for s in jsondecode(output.bucket_policy_json).Statement : s.Effect == "Deny" && s.Principal == "*" && s.Resource == ["arn:aws:s3:::demo-012345678901-eu-central-1", "arn:aws:s3:::demo-012345678901-eu-central-1/*"]])
    error_message = output.bucket_policy_json
  }
  assert {
    condition     = jsondecode(output.bucket_policy_json).Statement[0].Condition.Bool["aws:SecureTransport"] == ["false"]
    error_message = output.bucket_policy_json
  }
}

run "bucket_takes_no_other_key" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:012345678901:key/abc"
  }

  assert {
    condition     = [for s in jsondecode(output.bucket_policy_json).Statement : s.Sid] == ["DenyWithoutTLS", "DenyOldTLS", "DenyOtherKeys", "DenyOtherEncryption"]
    error_message = output.bucket_policy_json
  }
  # Without it, all that brokers upload is refused: they name no key.
  assert {
    condition     = alltrue([for s in slice(jsondecode(output.bucket_policy_json).Statement, 2, 4) : values(s.Condition.Null) == [["false"]] && keys(s.Condition.Null) == keys(s.Condition.StringNotEquals)])
    error_message = output.bucket_policy_json
  }
}

run "one_megabyte_a_second" {
  command = plan

  variables {
    throughput = 1
  }

  assert {
    condition = output.size == {
      cpu          = 512, memory = 2048, instance_type = "m7g.medium", architecture = "arm64", memory_produce = "256MiB",
      memory_cache = "384MiB", brokers_per_zone = 1, database_instance_class = "db.t4g.medium"
    }
    error_message = jsonencode(output.size)
  }
}

# The worked example of docs/sizing.md and docs/cost.md: change them with it.
run "a_hundred_megabytes_a_second" {
  command = plan

  variables {
    throughput = 100
  }

  assert {
    condition = output.size == {
      cpu          = 4096, memory = 16384, instance_type = "m7g.xlarge", architecture = "arm64", memory_produce = "256MiB",
      memory_cache = "8192MiB", brokers_per_zone = 1, database_instance_class = "db.m7g.large"
    }
    error_message = jsonencode(output.size)
  }
  assert {
    condition = output.requests_per_second == {
      tier0_put = 12, tier1_put = 1.49, marks_put = 0.302, compact_get = 24, tail_get = 47.684, reread_get = 3.725, list = 0.062
    }
    error_message = jsonencode(output.requests_per_second)
  }
  assert {
    condition = output.monthly_cost == {
      put   = 182, get = 79, storage = 1400, brokers = 408, database = 269, between_zones = 21, network = 104,
      total = 2463, per_gib = 0.01, saved_between_zones = 21024
    }
    error_message = jsonencode(output.monthly_cost)
  }
}

run "prices_and_load_of_ones_own" {
  command = plan

  variables {
    throughput       = 100
    brokers_per_zone = 2
    architecture     = "amd64"
    workload         = { average = 30, put_rate = 4, retention_days = 1 }
    prices           = { put = 0.01, database = 1, database_disk = 0 }
  }

  # 6 brokers at 5 MB/s each do not fill half a segment in linger.max: put.rate it is.
  assert {
    condition     = output.requests_per_second.tier0_put == 24
    error_message = jsonencode(output.requests_per_second)
  }
  # (24 + 0.447 + 0.602 + 0.124) / s * 2,628,000 s * 0.01 / 1,000
  assert {
    condition     = output.monthly_cost.put == 662 && output.monthly_cost.database == 730
    error_message = jsonencode(output.monthly_cost)
  }
  # 30 MB/s * (86,400 + 3,720) s * 0.023 per GB
  assert {
    condition     = output.monthly_cost.storage == 62
    error_message = jsonencode(output.monthly_cost)
  }
}

run "more_brokers_are_chosen_where_one_is_too_small" {
  command = plan

  variables {
    throughput = 500
  }

  assert {
    condition     = output.size.brokers_per_zone == 2 && output.size.cpu == 16384
    error_message = jsonencode(output.size)
  }
}

run "budgets_fit_into_memory" {
  command = plan

  variables {
    throughput = 400
    zones      = ["eu-central-1a", "eu-central-1b"]
  }

  assert {
    condition     = 1.125 * tonumber(trimsuffix(output.size.memory_produce, "MiB")) + tonumber(trimsuffix(output.size.memory_cache, "MiB")) + 1025 <= 0.85 * output.size.memory
    error_message = jsonencode(output.size)
  }
  assert {
    condition     = tonumber(trimsuffix(output.size.memory_produce, "MiB")) >= 800 / output.size.brokers_per_zone
    error_message = "less than two seconds of the peak: ${jsonencode(output.size)}"
  }
}

run "aurora_has_other_classes_and_no_checkpoints" {
  command = plan

  variables {
    throughput = 100
    engine     = "aurora"
  }

  assert {
    condition     = output.size.database_instance_class == "db.r7g.large"
    error_message = "Aurora has no classes of type m: ${output.size.database_instance_class}"
  }
  assert {
    condition     = length(setintersection(keys(output.postgres_parameters), ["checkpoint_timeout", "max_wal_size", "wal_compression", "synchronous_commit"])) == 0
    error_message = jsonencode(output.postgres_parameters)
  }
}

run "commits_are_durable_and_encrypted" {
  command = plan

  assert {
    condition     = output.postgres_parameters["synchronous_commit"] == "on" && output.postgres_parameters["rds.force_ssl"] == "1"
    error_message = jsonencode(output.postgres_parameters)
  }
}

run "one_zone_is_warned_of" {
  command = plan

  variables {
    zones = ["eu-central-1a"]
  }

  expect_failures = [check.zones]
}

run "too_much_for_one_broker" {
  command = plan

  variables {
    throughput       = 1000
    brokers_per_zone = 1
  }

  expect_failures = [output.size]
}

run "too_much_for_any_number" {
  command = plan

  variables {
    throughput = 3000
  }

  expect_failures = [output.size]
}

run "partitions_need_memory" {
  command = plan

  variables {
    throughput = 1
    workload   = { partitions = 1000000 }
  }

  expect_failures = [output.size]
}

run "refuses_a_long_name" {
  command = plan

  variables {
    name = "a-name-of-twenty-threes"
  }

  expect_failures = [var.name]
}

run "refuses_a_zone_twice" {
  command = plan

  variables {
    zones = ["eu-central-1a", "eu-central-1a"]
  }

  expect_failures = [var.zones]
}

run "refuses_a_bucket_that_is_a_url" {
  command = plan

  variables {
    bucket_name = "s3://bucket"
  }

  expect_failures = [var.bucket_name]
}

run "needs_a_bucket_or_an_account" {
  command = plan

  variables {
    account_id = ""
  }

  expect_failures = [var.bucket_name]
}

run "refuses_an_alias" {
  command = plan

  variables {
    kms_key_arn = "alias/runnel"
  }

  expect_failures = [var.kms_key_arn]
}

run "refuses_wildcards_in_the_prefix" {
  command = plan

  variables {
    prefix = "runnel/*"
  }

  expect_failures = [var.prefix]
}

run "refuses_half_a_broker" {
  command = plan

  variables {
    brokers_per_zone = 0.5
  }

  expect_failures = [var.brokers_per_zone]
}

run "refuses_an_average_above_the_peak" {
  command = plan

  variables {
    throughput = 10
    workload   = { average = 11 }
  }

  expect_failures = [var.workload]
}

run "aurora_counts_its_writes" {
  variables {
    engine     = "aurora"
    throughput = 100
    workload   = { fanout = 2 }
  }

  assert {
    # 730 h * 0.553, 100 GB * 0.10, and 12 uploads/s * 5 writes for a month at 0.20 a million.
    condition     = output.monthly_cost.database == 445
    error_message = "${output.monthly_cost.database} USD"
  }
}

run "half_a_database_costs_half" {
  command = plan

  variables {
    multi_az = false
  }

  assert {
    # A db.m7g.large and 100 GB, of which 269 USD are two.
    condition     = output.monthly_cost.database == 135
    error_message = "${output.monthly_cost.database} USD"
  }
}

run "a_way_out_costs" {
  command = plan

  variables {
    prices = { endpoint_count = 0, nat_count = 1 }
  }

  assert {
    condition     = output.monthly_cost.network == 49
    error_message = "${output.monthly_cost.network} USD"
  }
}
