locals {
  route_tables = local.made ? [for zone in var.zones : aws_route_table.private[zone].id] : var.route_table_ids

  # Layers of images lie in a bucket of ECR's, which is read by this endpoint, too.
  layers = "arn:${data.aws_partition.here.partition}:s3:::prod-${local.region}-starport-layer-bucket"

  through = {
    Version = "2012-10-17"
    Statement = length(var.bucket_arns) == 0 ? [{
      Sid       = "Everything"
      Effect    = "Allow"
      Principal = "*"
      Action    = ["s3:*"]
      Resource  = ["*"]
      }] : [
      {
        Sid       = "Records"
        Effect    = "Allow"
        Principal = "*"
        Action    = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"]
        Resource  = flatten([for arn in var.bucket_arns : [arn, "${arn}/*"]])
      },
      {
        Sid       = "ImageLayers"
        Effect    = "Allow"
        Principal = "*"
        Action    = ["s3:GetObject"]
        Resource  = ["${local.layers}/*"]
      },
    ]
  }
}

resource "aws_vpc_endpoint" "s3" {
  count = local.made || length(var.route_table_ids) > 0 ? 1 : 0

  vpc_id            = local.made ? aws_vpc.made[0].id : var.vpc_id
  service_name      = "com.amazonaws.${local.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = local.route_tables
  policy            = jsonencode(local.through)
  tags              = merge(var.tags, { Name = "${var.name}-s3" })
}

locals {
  services = local.made && var.egress == "endpoints" ? var.endpoint_services : toset([])
}

resource "aws_security_group" "endpoints" {
  count = length(local.services) > 0 ? 1 : 0

  name        = "${var.name}-endpoints"
  description = "Interface endpoints of ${var.name}: HTTPS from the VPC"
  vpc_id      = aws_vpc.made[0].id
  tags        = merge(var.tags, { Name = "${var.name}-endpoints" })
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  count = length(local.services) > 0 ? 1 : 0

  security_group_id = aws_security_group.endpoints[0].id
  description       = "HTTPS from the VPC"
  cidr_ipv4         = var.cidr
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = var.tags
}

resource "aws_vpc_endpoint" "service" {
  for_each = local.services

  vpc_id              = aws_vpc.made[0].id
  service_name        = "com.amazonaws.${local.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  subnet_ids          = [for zone in var.zones : aws_subnet.private[zone].id]
  security_group_ids  = [aws_security_group.endpoints[0].id]
  private_dns_enabled = true
  tags                = merge(var.tags, { Name = "${var.name}-${each.key}" })
}
