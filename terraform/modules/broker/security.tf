# Clients with this group reach the cluster; what else they may do is none of its business.
resource "aws_security_group" "clients" {
  name        = "${var.name}-clients"
  description = "Kafka clients of ${var.name}"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-clients" })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_security_group" "load_balancer" {
  name        = "${var.name}-load-balancer"
  description = "Load balancer of ${var.name}, where Kafka clients begin"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-load-balancer" })

  lifecycle {
    create_before_destroy = true
  }
}

locals {
  clients       = aws_security_group.clients.id
  load_balancer = aws_security_group.load_balancer.id
  brokers       = var.broker_security_group_id

  # Clients begin at the load balancer, and go on to the addresses of brokers.
  ingress = merge(
    {
      "load-balancer-clients" = { group = local.load_balancer, port = local.ports.kafka, from_group = local.clients, text = "Kafka from clients" }
      "brokers-clients"       = { group = local.brokers, port = local.ports.kafka, from_group = local.clients, text = "Kafka from clients" }
      "brokers-kafka"         = { group = local.brokers, port = local.ports.kafka, from_group = local.load_balancer, text = "Kafka through the load balancer" }
      "brokers-health"        = { group = local.brokers, port = local.ports.admin, from_group = local.load_balancer, text = "Health checks" }
      "brokers-peers"         = { group = local.brokers, port = local.ports.peer, from_group = local.brokers, text = "Brokers among themselves" }
    },
    { for c in var.client_cidrs : "load-balancer-clients-${c}" => { group = local.load_balancer, port = local.ports.kafka, from_cidr = c, text = "Kafka from ${c}" } },
    { for c in var.client_cidrs : "brokers-clients-${c}" => { group = local.brokers, port = local.ports.kafka, from_cidr = c, text = "Kafka from ${c}" } },
    { for c in var.admin_cidrs : "load-balancer-admin-${c}" => { group = local.load_balancer, port = local.ports.admin, from_cidr = c, text = "Admin from ${c}" } },
    { for c in var.admin_cidrs : "brokers-admin-${c}" => { group = local.brokers, port = local.ports.admin, from_cidr = c, text = "Admin from ${c}" } },
  )

  egress = {
    "clients-load-balancer" = { group = local.clients, port = local.ports.kafka, to_group = local.load_balancer, text = "Kafka, to begin with" }
    "clients-brokers"       = { group = local.clients, port = local.ports.kafka, to_group = local.brokers, text = "Kafka" }
    "load-balancer-kafka"   = { group = local.load_balancer, port = local.ports.kafka, to_group = local.brokers, text = "Kafka" }
    "load-balancer-admin"   = { group = local.load_balancer, port = local.ports.admin, to_group = local.brokers, text = "Health checks and admin" }
    "brokers-peers"         = { group = local.brokers, port = local.ports.peer, to_group = local.brokers, text = "Brokers among themselves" }
    "brokers-https"         = { group = local.brokers, port = 443, to_cidr = "0.0.0.0/0", text = "S3, Secrets Manager, logs, image" }
  }
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  for_each = local.ingress

  security_group_id            = each.value.group
  description                  = each.value.text
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  referenced_security_group_id = lookup(each.value, "from_group", null)
  cidr_ipv4                    = !strcontains(lookup(each.value, "from_cidr", ":"), ":") ? each.value.from_cidr : null
  cidr_ipv6                    = can(each.value.from_cidr) && strcontains(lookup(each.value, "from_cidr", ""), ":") ? each.value.from_cidr : null
  tags                         = var.tags
}

resource "aws_vpc_security_group_egress_rule" "this" {
  for_each = local.egress

  security_group_id            = each.value.group
  description                  = each.value.text
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  referenced_security_group_id = lookup(each.value, "to_group", null)
  cidr_ipv4                    = lookup(each.value, "to_cidr", null)
  tags                         = var.tags
}
