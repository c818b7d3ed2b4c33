data "aws_region" "here" {}

data "aws_partition" "here" {}

data "aws_vpc" "given" {
  count = var.vpc_id == "" ? 0 : 1
  id    = var.vpc_id
}

data "aws_subnet" "given" {
  for_each = var.subnet_ids_by_zone
  id       = each.value

  lifecycle {
    postcondition {
      condition     = self.vpc_id == var.vpc_id
      error_message = "${each.value} is a subnet of ${self.vpc_id}, not of vpc_id (${var.vpc_id})."
    }
    postcondition {
      condition     = contains([self.availability_zone, self.availability_zone_id], each.key)
      error_message = "${each.value} lies in ${self.availability_zone} (${self.availability_zone_id}), not in ${each.key}: brokers there would tell clients a wrong zone."
    }
  }
}

locals {
  made   = var.vpc_id == ""
  region = var.region != "" ? var.region : data.aws_region.here.name
  # By the place in the list, so that a zone that is added moves none of those that are there. Eighths of the VPC's addresses:
  # the first half for brokers, and of what is left a quarter of an eighth for each zone's NAT gateway.
  zones = { for i, zone in local.made ? var.zones : [] : zone => {
    private = cidrsubnet(var.cidr, 3, i)
    public  = cidrsubnet(var.cidr, 4, 8 + i)
  } }
  nat_zones = {
    endpoints    = []
    none         = []
    nat          = slice(var.zones, 0, 1)
    nat_per_zone = var.zones
  }[var.egress]
  nats = { for zone, nets in local.zones : zone => nets if contains(local.nat_zones, zone) }
}

resource "aws_vpc" "made" {
  count = local.made ? 1 : 0

  cidr_block           = var.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true # what interface endpoints' names need
  tags                 = merge(var.tags, { Name = var.name })
}

# What is in the VPC and says nothing of security groups gets this one, which lets nothing through.
resource "aws_default_security_group" "made" {
  count = local.made ? 1 : 0

  vpc_id = aws_vpc.made[0].id
  tags   = merge(var.tags, { Name = "${var.name}-default-unused" })
}

resource "aws_subnet" "private" {
  for_each = local.zones

  vpc_id            = aws_vpc.made[0].id
  availability_zone = each.key
  cidr_block        = each.value.private
  tags              = merge(var.tags, { Name = "${var.name}-private-${each.key}" })
}

resource "aws_route_table" "private" {
  for_each = local.zones

  vpc_id = aws_vpc.made[0].id
  tags   = merge(var.tags, { Name = "${var.name}-private-${each.key}" })
}

resource "aws_route_table_association" "private" {
  for_each = local.zones

  subnet_id      = aws_subnet.private[each.key].id
  route_table_id = aws_route_table.private[each.key].id
}

resource "aws_internet_gateway" "made" {
  count = length(local.nats) > 0 ? 1 : 0

  vpc_id = aws_vpc.made[0].id
  tags   = merge(var.tags, { Name = var.name })
}

resource "aws_subnet" "public" {
  for_each = local.nats

  vpc_id            = aws_vpc.made[0].id
  availability_zone = each.key
  cidr_block        = each.value.public
  tags              = merge(var.tags, { Name = "${var.name}-public-${each.key}" })
}

resource "aws_route_table" "public" {
  count = length(local.nats) > 0 ? 1 : 0

  vpc_id = aws_vpc.made[0].id
  tags   = merge(var.tags, { Name = "${var.name}-public" })
}

resource "aws_route" "public" {
  count = length(local.nats) > 0 ? 1 : 0

  route_table_id         = aws_route_table.public[0].id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.made[0].id
}

resource "aws_route_table_association" "public" {
  for_each = local.nats

  subnet_id      = aws_subnet.public[each.key].id
  route_table_id = aws_route_table.public[0].id
}

resource "aws_eip" "nat" {
  for_each = local.nats

  domain = "vpc"
  tags   = merge(var.tags, { Name = "${var.name}-nat-${each.key}" })
}

resource "aws_nat_gateway" "zone" {
  for_each = local.nats

  allocation_id = aws_eip.nat[each.key].id
  subnet_id     = aws_subnet.public[each.key].id
  tags          = merge(var.tags, { Name = "${var.name}-${each.key}" })

  depends_on = [aws_internet_gateway.made]
}

resource "aws_route" "private" {
  for_each = length(local.nats) > 0 ? local.zones : {}

  route_table_id         = aws_route_table.private[each.key].id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.zone[var.egress == "nat" ? var.zones[0] : each.key].id
}
