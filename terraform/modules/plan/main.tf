locals {
  names = {
    bucket         = var.bucket_name != "" ? var.bucket_name : "${var.name}-${var.account_id}-${var.region}"
    cluster        = var.name
    service        = "${var.name}-broker"
    log_group      = "/runnel/${var.name}"
    database       = "${var.name}-metastore"
    load_balancer  = "${var.name}-bootstrap"
    broker_role    = "${var.name}-broker"
    execution_role = "${var.name}-execution"
    broker_group   = "${var.name}-broker"
    client_group   = "${var.name}-client"
    peer_secret    = "${var.name}/peer-secret"
    dashboard      = var.name
  }

  tags = merge(
    { "runnel:cluster" = var.name },
    var.tags,
  )
}
