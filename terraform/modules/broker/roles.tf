locals {
  assume_role = {
    for service in ["ecs-tasks.amazonaws.com", "ec2.amazonaws.com"] : service => jsonencode({
      Version = "2012-10-17"
      Statement = [merge(
        {
          Effect    = "Allow"
          Action    = "sts:AssumeRole"
          Principal = { Service = service }
        },
        # ECS lends the role to tasks of this account alone.
        service == "ecs-tasks.amazonaws.com" ? { Condition = { StringEquals = { "aws:SourceAccount" = local.account_id } } } : {},
      )]
    })
  }

  # An ARN of a secret may have a key and a version behind it, which policies do not know.
  secret_arns = {
    broker = distinct([for arn in concat(values(var.secrets), values(var.files)) : join(":", slice(split(":", arn), 0, 7))])
    setup  = distinct([for arn in values(local.setup_secrets) : join(":", slice(split(":", arn), 0, 7))])
  }

  # ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME
  ecr_images = [
    for image in concat([var.image], local.on_ecs && length(var.files) > 0 ? [var.files_image] : []) :
    regex("^([0-9]{12})\\.dkr\\.ecr\\.([a-z0-9-]+)\\.amazonaws\\.com(?:\\.cn)?/([^:@]+)", image)
    if can(regex("^[0-9]{12}\\.dkr\\.ecr\\.", image))
  ]

  read_secrets = { for who, arns in local.secret_arns : who => concat(
    length(arns) == 0 ? [] : [{
      Sid      = "ReadSecrets"
      Effect   = "Allow"
      Action   = ["secretsmanager:GetSecretValue"]
      Resource = arns
    }],
    length(arns) == 0 || length(var.secret_kms_key_arns) == 0 ? [] : [{
      Sid       = "DecryptSecrets"
      Effect    = "Allow"
      Action    = ["kms:Decrypt"]
      Resource  = var.secret_kms_key_arns
      Condition = { StringEquals = { "kms:ViaService" = "secretsmanager.${var.region}.amazonaws.com" } }
    }],
  ) }

  # What starts a container: its image, and where its log goes.
  run_image = concat(
    [{
      Sid      = "WriteLog"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = ["${aws_cloudwatch_log_group.this.arn}:log-stream:*"]
    }],
    length(local.ecr_images) == 0 ? [] : [
      {
        Sid      = "PullImage"
        Effect   = "Allow"
        Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        Resource = distinct([for i in local.ecr_images : "arn:${local.partition}:ecr:${i[1]}:${i[0]}:repository/${i[2]}"])
      },
      {
        # The one permission that AWS gives for everything or not at all.
        Sid      = "LogInToRegistry"
        Effect   = "Allow"
        Action   = ["ecr:GetAuthorizationToken"]
        Resource = ["*"]
      },
    ],
  )

  # The password of the database's owner is for what makes the brokers' user, and for nothing that a broker can use.
  start_statements = concat(local.read_secrets.broker, local.run_image)
  setup_statements = concat(local.read_secrets.setup, local.run_image)
}

# What brokers are.
resource "aws_iam_role" "broker" {
  name               = "${var.name}-${var.region}-broker"
  description        = "Brokers of ${var.name}"
  assume_role_policy = local.assume_role[local.on_ecs ? "ecs-tasks.amazonaws.com" : "ec2.amazonaws.com"]
  tags               = var.tags
}

resource "aws_iam_role_policy" "broker" {
  name   = "broker"
  role   = aws_iam_role.broker.id
  policy = var.broker_policy_json
}

# What ECS is while it starts them. Brokers cannot use it.
resource "aws_iam_role" "execution" {
  count = local.on_ecs ? 1 : 0

  name               = "${var.name}-${var.region}-start"
  description        = "Start of brokers of ${var.name}"
  assume_role_policy = local.assume_role["ecs-tasks.amazonaws.com"]
  tags               = var.tags
}

# An instance starts its broker itself.
resource "aws_iam_role_policy" "start" {
  name   = "start"
  role   = local.on_ecs ? aws_iam_role.execution[0].id : aws_iam_role.broker.id
  policy = jsonencode({ Version = "2012-10-17", Statement = local.start_statements })
}

resource "aws_iam_instance_profile" "broker" {
  count = local.on_ec2 ? 1 : 0

  name = aws_iam_role.broker.name
  role = aws_iam_role.broker.name
  tags = var.tags
}

# Instances tell their group when they serve and when they have drained.
resource "aws_iam_role_policy" "lifecycle" {
  count = local.on_ec2 ? 1 : 0

  name = "lifecycle"
  role = aws_iam_role.broker.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "CompleteHooks"
      Effect   = "Allow"
      Action   = ["autoscaling:CompleteLifecycleAction"]
      Resource = [for name in values(local.group_names) : "arn:${local.partition}:autoscaling:${var.region}:${local.account_id}:autoScalingGroup:*:autoScalingGroupName/${name}"]
    }]
  })
}

# A shell on an instance, without a key or an open port, and no more of what Systems Manager can do to one.
resource "aws_iam_role_policy" "sessions" {
  count = local.on_ec2 && var.sessions ? 1 : 0

  name = "sessions"
  role = aws_iam_role.broker.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid    = "Sessions"
      Effect = "Allow"
      Action = [
        "ssm:UpdateInstanceInformation",
        "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel",
      ]
      Resource = ["*"] # channels have no ARN
    }]
  })
}
