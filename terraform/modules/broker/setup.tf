# The user that brokers log in to PostgreSQL as is made by the database's owner, whose password RDS keeps. A task does it that
# is a role of its own: it alone reads that password, and nothing that a broker, or who breaks into one, could be.
locals {
  setup         = var.database_setup != null
  setup_secrets = var.database_setup == null ? {} : { RUNNEL_METASTORE_PASSWORD = "${var.database_setup.password_secret_arn}:password::" }
  # Tasks have it as a container beside the broker; instances start no task themselves.
  setup_task = local.setup && local.on_ec2

  # It may fail: once the user is there, PostgreSQL has made the owner a member of what logs in by token alone, and RDS may
  # refuse its password.
  setup_container = var.database_setup == null ? [] : [merge(local.container_defaults, {
    name      = "database"
    image     = var.image
    essential = local.setup_task
    command   = ["migrate", "--grant-iam", var.database_setup.user]
    user      = "65532:65532"
    environment = [for k, v in merge(
      { RUNNEL_METASTORE_URL = var.database_setup.url },
      var.database_setup.authorities == "" ? {} : { RUNNEL_METASTORE_AUTHORITIES = var.database_setup.authorities },
    ) : { name = k, value = v }]
    secrets     = [for k, v in local.setup_secrets : { name = k, valueFrom = v }]
    mountPoints = []
  })]
}

resource "aws_iam_role" "setup" {
  count = local.setup_task ? 1 : 0

  name               = "${var.name}-${var.region}-setup"
  description        = "What makes the database user of brokers of ${var.name}"
  assume_role_policy = local.assume_role["ecs-tasks.amazonaws.com"]
  tags               = var.tags
}

# On ECS it is the role that starts tasks, of which no container can be.
resource "aws_iam_role_policy" "setup" {
  count = local.setup ? 1 : 0

  name   = "setup"
  role   = local.on_ecs ? aws_iam_role.execution[0].id : aws_iam_role.setup[0].id
  policy = local.on_ecs ? jsonencode({ Version = "2012-10-17", Statement = local.read_secrets.setup }) : jsonencode({ Version = "2012-10-17", Statement = local.setup_statements })
}

resource "aws_ecs_task_definition" "setup" {
  count = local.setup_task ? 1 : 0

  family                   = "${var.name}-setup"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 256
  memory                   = 512
  execution_role_arn       = aws_iam_role.setup[0].arn
  container_definitions    = jsonencode(local.setup_container)
  tags                     = var.tags

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = local.cpu_architecture
  }
}

# It runs as instances are launched, which is before brokers need their user, and no instance may start it.
resource "aws_cloudwatch_event_rule" "setup" {
  count = local.setup_task ? 1 : 0

  name        = "${var.name}-setup"
  description = "An instance of ${var.name} is launched: see that the brokers' database user is there"
  tags        = var.tags

  event_pattern = jsonencode({
    source      = ["aws.autoscaling"]
    detail-type = ["EC2 Instance-launch Lifecycle Action"]
    detail      = { AutoScalingGroupName = values(local.group_names) }
  })
}

resource "aws_cloudwatch_event_target" "setup" {
  count = local.setup_task ? 1 : 0

  rule     = aws_cloudwatch_event_rule.setup[0].name
  arn      = aws_ecs_cluster.this[0].arn
  role_arn = aws_iam_role.launch[0].arn

  ecs_target {
    task_definition_arn = aws_ecs_task_definition.setup[0].arn
    launch_type         = "FARGATE"
    propagate_tags      = "TASK_DEFINITION"

    network_configuration {
      subnets          = values(var.subnet_ids_by_zone)
      security_groups  = [var.broker_security_group_id]
      assign_public_ip = var.assign_public_ip
    }
  }
}

# What EventBridge is: it starts this task and no other.
resource "aws_iam_role" "launch" {
  count = local.setup_task ? 1 : 0

  name        = "${var.name}-${var.region}-launch"
  description = "Launch of what makes the database user of brokers of ${var.name}"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "events.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = local.account_id } }
    }]
  })
  tags = var.tags
}

resource "aws_iam_role_policy" "launch" {
  count = local.setup_task ? 1 : 0

  name = "launch"
  role = aws_iam_role.launch[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "RunSetup"
        Effect    = "Allow"
        Action    = ["ecs:RunTask"]
        Resource  = [aws_ecs_task_definition.setup[0].arn]
        Condition = { ArnEquals = { "ecs:cluster" = [aws_ecs_cluster.this[0].arn] } }
      },
      {
        # propagate_tags: the task's tags are those of its definition.
        Sid       = "TagSetup"
        Effect    = "Allow"
        Action    = ["ecs:TagResource"]
        Resource  = ["arn:${local.partition}:ecs:${var.region}:${local.account_id}:task/${var.name}/*"]
        Condition = { StringEquals = { "ecs:CreateAction" = ["RunTask"] } }
      },
      {
        Sid       = "LendRole"
        Effect    = "Allow"
        Action    = ["iam:PassRole"]
        Resource  = [aws_iam_role.setup[0].arn]
        Condition = { StringEquals = { "iam:PassedToService" = ["ecs-tasks.amazonaws.com"] } }
      },
    ]
  })
}
