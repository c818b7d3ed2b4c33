locals {
  cpu_architecture = { arm64 = "ARM64", amd64 = "X86_64" }[var.size.architecture]

  file_names = sort(keys(var.files))

  log_options = {
    awslogs-group         = aws_cloudwatch_log_group.this.name
    awslogs-region        = var.region
    awslogs-stream-prefix = "broker"
    # A broker does not wait for its log.
    mode            = "non-blocking"
    max-buffer-size = "4m"
  }

  container_defaults = {
    readonlyRootFilesystem = true
    logConfiguration       = { logDriver = "awslogs", options = local.log_options }
  }

  broker_container = merge(local.container_defaults, {
    name         = "broker"
    image        = var.image
    essential    = true
    command      = local.command
    user         = "65532:65532"
    environment  = [for k, v in local.environment : { name = k, value = v }]
    secrets      = [for k, v in var.secrets : { name = k, valueFrom = v }]
    portMappings = [for name, port in local.ports : { containerPort = port, hostPort = port, protocol = "tcp" }]
    mountPoints  = length(var.files) == 0 ? [] : [{ sourceVolume = "files", containerPath = "/run/runnel", readOnly = true }]
    stopTimeout  = local.stop_seconds
    ulimits      = [{ name = "nofile", softLimit = 65535, hardLimit = 65535 }]
    # For a deployment, which counts who is ready. Nobody is replaced for it: see the service.
    healthCheck = { command = ["CMD", "/runnel", "health"], interval = 30, timeout = 10, retries = 10, startPeriod = 60 }
    dependsOn = concat(
      local.setup ? [{ containerName = "database", condition = "COMPLETE" }] : [],
      length(var.files) == 0 ? [] : [{ containerName = "files", condition = "SUCCESS" }],
    )
  })

  # Writes secrets that the broker reads as files. It is root, since the volume is root's.
  files_container = length(var.files) == 0 ? [] : [merge(local.container_defaults, {
    name      = "files"
    image     = var.files_image
    essential = false
    user      = "0:0"
    entryPoint = ["sh", "-euc", join("\n", concat(
      ["umask 377"],
      [for i, name in local.file_names : "printf '%s\\n' \"$FILE_${i}\" >/run/runnel/${name}; chown 65532:65532 /run/runnel/${name}"],
    ))]
    environment = []
    secrets     = [for i, name in local.file_names : { name = "FILE_${i}", valueFrom = var.files[name] }]
    mountPoints = [{ sourceVolume = "files", containerPath = "/run/runnel", readOnly = false }]
  })]
}

resource "aws_ecs_cluster" "this" {
  count = local.on_ecs || local.setup_task ? 1 : 0

  name = var.name
  tags = var.tags

  setting {
    name  = "containerInsights"
    value = var.container_insights
  }
}

# One definition for all zones: a broker asks where it is.
resource "aws_ecs_task_definition" "this" {
  count = local.on_ecs ? 1 : 0

  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.size.cpu
  memory                   = var.size.memory
  task_role_arn            = aws_iam_role.broker.arn
  execution_role_arn       = aws_iam_role.execution[0].arn
  container_definitions    = jsonencode(concat([local.broker_container], local.setup_container, local.files_container))
  tags                     = var.tags

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = local.cpu_architecture
  }

  dynamic "volume" {
    for_each = length(var.files) == 0 ? [] : ["files"]
    content {
      name = volume.value
    }
  }

  lifecycle {
    # What a deployment that fails goes back to is there until the new one has succeeded.
    create_before_destroy = true
  }
}

# A service for each zone, so that each has its own number of brokers.
resource "aws_ecs_service" "this" {
  for_each = local.on_ecs ? var.subnet_ids_by_zone : {}

  name            = "${var.name}-${each.key}"
  cluster         = aws_ecs_cluster.this[0].id
  task_definition = aws_ecs_task_definition.this[0].arn
  launch_type     = "FARGATE"
  desired_count   = var.brokers_per_zone
  propagate_tags  = "SERVICE"
  tags            = var.tags

  # A new broker is ready before an old one goes; and if new ones do not get ready, the old ones stay.
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = local.max_healthy_percent
  wait_for_steady_state              = var.wait_for_deployment

  # The most there is: ECS never kills a broker for not being ready, only starts another for one that has ended. Without the
  # database all are not ready, and new ones would do no better; a process that hangs is for the alarms to tell.
  health_check_grace_period_seconds = 2147483647

  # New brokers that end.
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  # New brokers that do not end, and do not get ready either.
  alarms {
    alarm_names = [local.unready_alarms[each.key]]
    enable      = true
    rollback    = true
  }

  network_configuration {
    subnets          = [each.value]
    security_groups  = [var.broker_security_group_id]
    assign_public_ip = var.assign_public_ip
  }

  dynamic "load_balancer" {
    for_each = aws_lb_target_group.this
    content {
      target_group_arn = load_balancer.value.arn
      container_name   = "broker"
      container_port   = local.ports[load_balancer.key]
    }
  }

  lifecycle {
    # Scaling sets it.
    ignore_changes = [desired_count]

    # A service that went back is steady, too.
    postcondition {
      condition     = self.task_definition == aws_ecs_task_definition.this[0].arn
      error_message = "New brokers in ${each.key} did not get ready, and ECS went back to those before: the log group ${aws_cloudwatch_log_group.this.name} says why. Set back what was changed, or mend it, and apply."
    }
  }

  # A broker that starts needs its rights and its ways, and one that stops has them until it is gone.
  depends_on = [
    aws_lb_listener.this,
    aws_iam_role_policy.broker,
    aws_iam_role_policy.start,
    aws_iam_role_policy.setup,
    aws_cloudwatch_metric_alarm.this,
    aws_vpc_security_group_ingress_rule.this,
    aws_vpc_security_group_egress_rule.this,
    terraform_data.checks,
  ]
}
