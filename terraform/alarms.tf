locals {
  # What a class has: GiB of a "large" by its letter, and how many of it the size is.
  class_size = try(regex("^db\\.([mrtx])[0-9]+[a-z]*\\.([0-9]*)(x?)(micro|small|medium|large)$", local.instance_class), null)
  class_memory = local.class_size == null ? null : (
    { m = 8, r = 16, t = 8, x = 32 }[local.class_size[0]]
    * { micro = 0.125, small = 0.25, medium = 0.5, large = 1 }[local.class_size[3]]
    * (local.class_size[2] == "" ? 1 : 2 * tonumber(local.class_size[1] == "" ? "1" : local.class_size[1]))
  )
  # max_connections of RDS and Aurora by default: a byte count of memory by 9,531,392, and 5,000 at most. Of a class that is not
  # known here, 533 and 8 GiB are assumed.
  max_connections   = local.class_memory == null ? 533 : min(5000, floor(local.class_memory * pow(2, 30) / 9531392))
  connections_alarm = coalesce(var.database_connections_alarm, floor(0.75 * local.max_connections))
  memory_alarm      = floor(0.05 * (local.class_memory == null ? 8 : local.class_memory) * pow(2, 30))

  # By the place in the list: names of what is to be made may not be known yet.
  instances = { for i, id in module.postgres.instance_identifiers : tostring(i) => { DBInstanceIdentifier = id } }
  aurora    = var.engine == "aurora"
  made      = var.engine != "own"

  database_alarms = local.made ? merge(
    { for i, d in local.instances : "database-cpu-${i}" => {
      text     = "The database is short of CPU: commits wait. Take a larger instance_class."
      metric   = "CPUUtilization", dimensions = d, statistic = "Average", periods = 3, period = 300
      operator = "GreaterThanThreshold", threshold = 80
    } },
    { for i, d in local.instances : "database-memory-${i}" => {
      text     = "The database has less than a twentieth of its memory left, what it could free included."
      metric   = "FreeableMemory", dimensions = d, statistic = "Minimum", periods = 3, period = 300
      operator = "LessThanThreshold", threshold = local.memory_alarm
    } },
    { for i, d in local.instances : "database-connections-${i}" => {
      text     = "The database has more than ${local.connections_alarm} connections: more brokers than it is sized for, or somebody else."
      metric   = "DatabaseConnections", dimensions = d, statistic = "Maximum", periods = 3, period = 300
      operator = "GreaterThanThreshold", threshold = local.connections_alarm
    } },
    # Each commit waits for the disk, and each record for its commit.
    { for i, d in local.instances : "database-commit-${i}" => {
      text     = "Commits of the database take long: producers wait for each."
      metric   = local.aurora ? "CommitLatency" : "WriteLatency", dimensions = d, statistic = "Average", periods = 5, period = 60
      operator = "GreaterThanThreshold", threshold = local.aurora ? 30 : 0.03 # ms, and s
    } },
    { for i, d in local.instances : "database-storage-${i}" => {
      text     = "The database's disk is nearly full: without room, nothing is committed."
      metric   = local.aurora ? "FreeLocalStorage" : "FreeStorageSpace", dimensions = d, statistic = "Minimum", periods = 1, period = 300
      operator = "LessThanThreshold", threshold = local.aurora ? 4 * 1024 * 1024 * 1024 : floor(0.15 * var.storage * 1024 * 1024 * 1024)
    } },
    { for i, d in local.aurora ? local.instances : {} : "database-lag-${i}" => {
      text     = "A reader that would take over is more than a second behind the writer."
      metric   = "AuroraReplicaLag", dimensions = d, statistic = "Maximum", periods = 5, period = 60
      operator = "GreaterThanThreshold", threshold = 1000
    } },
    { for i, d in local.instances : "database-xids-${i}" => {
      text     = "The database has used a billion transaction ids and frozen none: autovacuum does not keep up, and at two billion it stops."
      metric   = "MaximumUsedTransactionIDs", dimensions = d, statistic = "Maximum", periods = 1, period = 300
      operator = "GreaterThanThreshold", threshold = 1000000000
    } },
  ) : {}

  bucket_dimensions = { BucketName = module.bucket.name, FilterId = var.name }
  bucket_alarms = var.s3_request_metrics ? {
    "bucket-errors" = {
      text     = "S3 fails more than one in a hundred requests. Brokers try again; producers and consumers wait."
      metric   = "5xxErrors", statistic = "Average", periods = 3, period = 60
      operator = "GreaterThanThreshold", threshold = 0.01
    }
    "bucket-denied" = {
      text     = "S3 refuses requests: a policy of the bucket, the endpoint or the key has changed."
      metric   = "4xxErrors", statistic = "Average", periods = 3, period = 60
      operator = "GreaterThanThreshold", threshold = 0.05
    }
  } : {}
}

resource "aws_cloudwatch_metric_alarm" "database" {
  for_each = local.database_alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.text
  namespace           = "AWS/RDS"
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  comparison_operator = each.value.operator
  threshold           = each.value.threshold
  evaluation_periods  = each.value.periods
  datapoints_to_alarm = each.value.periods
  period              = each.value.period
  # A database that says nothing is not well; that brokers are without it, their own alarms tell.
  # The writer of Aurora has no lag to tell of.
  treat_missing_data = each.value.metric == "AuroraReplicaLag" ? "notBreaching" : "missing"
  alarm_actions      = var.alarm_topic_arns
  ok_actions         = var.alarm_topic_arns
  tags               = module.plan.tags
}

resource "aws_s3_bucket_metric" "this" {
  count = var.s3_request_metrics ? 1 : 0

  bucket = module.bucket.name
  name   = var.name

  dynamic "filter" {
    for_each = var.prefix == "" ? [] : [var.prefix]
    content {
      prefix = "${filter.value}/"
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "bucket" {
  for_each = local.bucket_alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.text
  namespace           = "AWS/S3"
  metric_name         = each.value.metric
  dimensions          = local.bucket_dimensions
  statistic           = each.value.statistic
  comparison_operator = each.value.operator
  threshold           = each.value.threshold
  evaluation_periods  = each.value.periods
  datapoints_to_alarm = each.value.periods
  period              = each.value.period
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = module.plan.tags

  depends_on = [aws_s3_bucket_metric.this]
}

locals {
  database_charts = local.made ? {
    "CPU of the database, percent"                             = { metric = "CPUUtilization", stat = "Average" }
    "Connections of the database"                              = { metric = "DatabaseConnections", stat = "Maximum" }
    (local.aurora ? "Commit, ms" : "Write of the database, s") = { metric = local.aurora ? "CommitLatency" : "WriteLatency", stat = "Average" }
  } : {}

  bucket_charts = var.s3_request_metrics ? {
    "Requests to the bucket a minute" = { metrics = ["PutRequests", "GetRequests", "ListRequests", "DeleteRequests"], stat = "Sum" }
    "First byte of the bucket, ms"    = { metrics = ["FirstByteLatency"], stat = "p99" }
    "Errors of the bucket"            = { metrics = ["4xxErrors", "5xxErrors"], stat = "Sum" }
  } : {}

  dashboard_widgets = concat(
    [for title, c in local.database_charts : jsonencode({
      type = "metric", width = 8, height = 6
      properties = {
        title   = title, region = local.region, view = "timeSeries", stat = c.stat, period = 60
        metrics = [for d in values(local.instances) : ["AWS/RDS", c.metric, "DBInstanceIdentifier", d.DBInstanceIdentifier]]
      }
    })],
    [for title, c in local.bucket_charts : jsonencode({
      type = "metric", width = 8, height = 6
      properties = {
        title   = title, region = local.region, view = "timeSeries", stat = c.stat, period = 60
        metrics = [for m in c.metrics : ["AWS/S3", m, "BucketName", module.bucket.name, "FilterId", var.name]]
      }
    })],
  )
}
