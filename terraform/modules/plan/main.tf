locals {
  names = {
    bucket      = var.bucket_name != "" ? var.bucket_name : "${var.name}-${var.account_id}-${var.region}"
    peer_secret = "${var.name}/peer-secret"
  }

  tags = merge(
    { "runnel:cluster" = var.name },
    var.tags,
  )
}
