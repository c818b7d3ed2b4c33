locals {
  group_names = { for zone in local.zones : zone => "${var.name}-${zone}" }
  ami         = var.ami != "" ? var.ami : "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-${var.size.architecture == "arm64" ? "arm64" : "x86_64"}"
}

resource "aws_launch_template" "this" {
  count = local.on_ec2 ? 1 : 0

  name                   = var.name
  description            = "Brokers of ${var.name}"
  image_id               = local.ami
  instance_type          = var.size.instance_type
  vpc_security_group_ids = [var.broker_security_group_id]
  update_default_version = true
  tags                   = var.tags

  user_data = base64encode(templatefile("${path.module}/user-data.sh.tftpl", {
    name     = var.name
    region   = var.region
    image    = var.image
    registry = length(local.ecr_images) > 0 ? split("/", var.image)[0] : ""
    # A token of one region is refused in another.
    registry_region = length(local.ecr_images) > 0 ? local.ecr_images[0][1] : ""
    command         = join(" ", local.command)
    environment     = local.environment
    secrets         = var.secrets
    files           = var.files
    log_group       = aws_cloudwatch_log_group.this.name
    stop_seconds    = local.stop_seconds
    ready_url       = "${local.admin_scheme}://127.0.0.1:${local.ports.admin}/readyz"
  }))

  iam_instance_profile {
    arn = aws_iam_instance_profile.broker[0].arn
  }

  # Version 2 of the metadata service alone, and nothing but the instance itself: the broker shares its network.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
    instance_metadata_tags      = "disabled"
  }

  monitoring {
    enabled = true
  }

  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_type           = "gp3"
      volume_size           = 12
      encrypted             = "true"
      delete_on_termination = "true"
    }
  }

  dynamic "tag_specifications" {
    for_each = toset(["instance", "volume"])
    content {
      resource_type = tag_specifications.value
      tags          = merge(var.tags, { Name = "${var.name}-broker" })
    }
  }
}

resource "aws_autoscaling_group" "this" {
  for_each = local.on_ec2 ? var.subnet_ids_by_zone : {}

  name                  = local.group_names[each.key]
  min_size              = var.brokers_per_zone
  max_size              = var.max_brokers_per_zone
  vpc_zone_identifier   = [each.value]
  target_group_arns     = [for g in aws_lb_target_group.this : g.arn]
  enabled_metrics       = ["GroupDesiredCapacity", "GroupInServiceInstances"]
  default_cooldown      = 60
  max_instance_lifetime = 0

  # Not the load balancer's: it says no while the database fails over, and a new instance would do no better. systemd
  # starts a broker again that has ended.
  health_check_type         = "EC2"
  health_check_grace_period = 60
  default_instance_warmup   = 60
  wait_for_capacity_timeout = var.wait_for_deployment ? "${var.start_timeout}s" : "0"

  launch_template {
    id      = aws_launch_template.this[0].id
    version = aws_launch_template.this[0].latest_version
  }

  # An instance is in service when its broker is ready, and gone when it has drained: it says so itself.
  initial_lifecycle_hook {
    name                 = "ready"
    lifecycle_transition = "autoscaling:EC2_INSTANCE_LAUNCHING"
    heartbeat_timeout    = var.start_timeout
    default_result       = "ABANDON"
  }

  initial_lifecycle_hook {
    name                 = "drained"
    lifecycle_transition = "autoscaling:EC2_INSTANCE_TERMINATING"
    heartbeat_timeout    = local.stop_seconds + 60
    default_result       = "CONTINUE"
  }

  # A new template (an image, a setting) goes around: a new instance serves before an old one goes, one at a time.
  instance_refresh {
    strategy = "Rolling"
    preferences {
      min_healthy_percentage = 100
      max_healthy_percentage = min(200, local.max_healthy_percent)
      auto_rollback          = !startswith(local.ami, "resolve:") # what is looked up cannot be gone back to
      skip_matching          = true
    }
  }

  dynamic "tag" {
    for_each = merge(var.tags, { Name = "${var.name}-broker" })
    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = false # the template does
    }
  }

  lifecycle {
    # Scaling sets it.
    ignore_changes = [desired_capacity]
  }

  depends_on = [
    aws_lb_listener.this,
    aws_iam_role_policy.broker,
    aws_iam_role_policy.start,
    aws_iam_role_policy.lifecycle,
    aws_iam_role_policy.sessions,
    aws_cloudwatch_event_target.setup,
    aws_iam_role_policy.launch,
    aws_iam_role_policy.setup,
    aws_vpc_security_group_ingress_rule.this,
    aws_vpc_security_group_egress_rule.this,
    terraform_data.checks,
  ]
}
