# Where clients begin. It hands TCP on as it is: the addresses that brokers tell are their own, and go around it.
resource "aws_lb" "this" {
  name               = var.name
  load_balancer_type = "network"
  internal           = true
  subnets            = values(var.subnet_ids_by_zone)
  security_groups    = [aws_security_group.load_balancer.id]

  # The name resolves to the load balancer's node in the client's own zone, which asks brokers of that zone. If a zone
  # has none that is ready, its node leaves the name.
  dns_record_client_routing_policy = "availability_zone_affinity"
  enable_cross_zone_load_balancing = false
  enable_deletion_protection       = var.deletion_protection

  tags = var.tags
}

resource "aws_lb_target_group" "this" {
  for_each = { kafka = local.ports.kafka, admin = local.ports.admin }

  # The type of targets cannot be changed, and two groups of a name cannot be: so it is in the name.
  name                              = "${var.name}-${each.key}-${var.platform}"
  target_type                       = local.on_ecs ? "ip" : "instance"
  vpc_id                            = var.vpc_id
  port                              = each.value
  protocol                          = "TCP"
  load_balancing_cross_zone_enabled = "use_load_balancer_configuration"

  # client.subnets, quotas by address and hosts of access rules go by the client's own address.
  preserve_client_ip = "true"
  proxy_protocol_v2  = false

  # The broker itself sends its clients to others before it stops; this is for connections that just begin.
  deregistration_delay   = 20
  connection_termination = false

  # A broker is not ready while the database or the bucket cannot be reached. RDS fails over in 60 to 120 s, as AWS says, and
  # brokers connect anew after that: so that no alarm rings for it, it takes 200 s to become unhealthy, and 40 to be healthy.
  # Nobody replaces a broker for it.
  health_check {
    protocol            = upper(local.admin_scheme)
    port                = local.ports.admin
    path                = "/readyz"
    matcher             = "200"
    interval            = 20
    timeout             = 6
    healthy_threshold   = 2
    unhealthy_threshold = 10
  }

  tags = var.tags

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_lb_listener" "this" {
  for_each = aws_lb_target_group.this

  load_balancer_arn = aws_lb.this.arn
  port              = local.ports[each.key]
  protocol          = "TCP"
  tags              = var.tags

  default_action {
    type             = "forward"
    target_group_arn = each.value.arn
  }
}
