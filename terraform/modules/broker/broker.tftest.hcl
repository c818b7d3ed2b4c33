mock_provider "aws" {
  # So that plans know what AWS would say, and nothing has to be applied to look at it.
  override_during = plan

  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_resource "aws_lb" {
    defaults = {
      arn        = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/net/events/0123456789abcdef"
      arn_suffix = "net/events/0123456789abcdef"
      dns_name   = "events-0123456789abcdef.elb.eu-central-1.amazonaws.com"
    }
  }
  mock_resource "aws_lb_target_group" {
    defaults = {
      arn        = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/events/0123456789abcdef"
      arn_suffix = "targetgroup/events/0123456789abcdef"
    }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/events" }
  }
  mock_resource "aws_iam_instance_profile" {
    defaults = { arn = "arn:aws:iam::123456789012:instance-profile/events" }
  }
  mock_resource "aws_ecs_task_definition" {
    defaults = { arn = "arn:aws:ecs:eu-central-1:123456789012:task-definition/events:1" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-central-1:123456789012:log-group:/runnel/events" }
  }
  mock_resource "aws_security_group" {
    defaults = { id = "sg-0123456789abcdef0" }
  }
  mock_resource "aws_ecs_cluster" {
    defaults = { arn = "arn:aws:ecs:eu-central-1:123456789012:cluster/events" }
  }
  mock_resource "aws_launch_template" {
    defaults = { id = "lt-0123456789abcdef0", latest_version = 3 }
  }
}

variables {
  name               = "events"
  region             = "eu-central-1"
  image              = "ghcr.io/runnel-io/runnel:0.1.0"
  vpc_id             = "vpc-0123456789abcdef0"
  subnet_ids_by_zone = { eu-central-1a = "subnet-0a", eu-central-1b = "subnet-0b", eu-central-1c = "subnet-0c" }
  size = {
    cpu            = 1024
    memory         = 4096
    instance_type  = "m7g.medium"
    memory_produce = "256MiB"
    memory_cache   = "1024MiB"
    architecture   = "arm64"
  }
  brokers_per_zone         = 2
  max_brokers_per_zone     = 5
  broker_policy_json       = "{\"Version\":\"2012-10-17\",\"Statement\":[]}"
  broker_security_group_id = "sg-0fedcba9876543210"
  environment              = { RUNNEL_LINGER_MAX = "100ms" }
  secrets                  = { RUNNEL_PEER_SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:events/peers-AbCdEf" }
  database_setup = {
    url                 = "postgres://postgres@db:5432/runnel?sslmode=require"
    password_secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!db-1-AbCdEf"
  }
}

run "a_service_for_each_zone" {
  command = plan

  assert {
    condition     = toset(keys(aws_ecs_service.this)) == toset(["eu-central-1a", "eu-central-1b", "eu-central-1c"])
    error_message = "There is one service for each zone."
  }
  assert {
    condition     = alltrue([for zone, s in aws_ecs_service.this : s.desired_count == 2 && s.network_configuration[0].subnets == toset([var.subnet_ids_by_zone[zone]])])
    error_message = "Each service has its number of brokers, in the zone's own subnet."
  }
  assert {
    # Of two brokers, three may run: one new one beside the old ones.
    condition     = alltrue([for s in aws_ecs_service.this : s.deployment_minimum_healthy_percent == 100 && floor(2 * s.deployment_maximum_percent / 100) == 3])
    error_message = "Brokers are replaced one at a time, and none goes before another is ready."
  }
  assert {
    condition     = alltrue([for s in aws_ecs_service.this : s.deployment_circuit_breaker[0].enable && s.deployment_circuit_breaker[0].rollback])
    error_message = "A deployment that fails goes back."
  }
  assert {
    # Which is an alarm that there is.
    condition = alltrue([
      for zone, s in aws_ecs_service.this : s.alarms[0].enable && s.alarms[0].rollback &&
      s.alarms[0].alarm_names == toset([aws_cloudwatch_metric_alarm.this["unhealthy-${zone}"].alarm_name])
    ])
    error_message = "A deployment whose brokers run and do not get ready goes back, too."
  }
  assert {
    condition     = alltrue([for s in aws_ecs_service.this : s.health_check_grace_period_seconds == 2147483647])
    error_message = "No broker is replaced for not being ready: without the database none is, and new ones would do no better."
  }
  assert {
    condition     = alltrue([for t in aws_appautoscaling_target.this : t.min_capacity == 2 && t.max_capacity == 5]) && length(aws_appautoscaling_policy.cpu) == 3
    error_message = "Each zone scales between brokers_per_zone and max_brokers_per_zone."
  }
  assert {
    condition     = length(aws_autoscaling_group.this) == 0 && length(aws_launch_template.this) == 0
    error_message = "Nothing of EC2 is made for ecs."
  }
}

run "the_task" {
  command = plan

  assert {
    condition     = jsondecode(aws_ecs_task_definition.this[0].container_definitions)[0].command == ["broker", "--migrate"]
    error_message = "Brokers bring the tables up to date as they start."
  }
  assert {
    condition     = alltrue([for c in jsondecode(aws_ecs_task_definition.this[0].container_definitions) : c.readonlyRootFilesystem && c.user == "65532:65532"])
    error_message = "Containers write nothing and are not root."
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.this[0].container_definitions)[0].stopTimeout == 45
    error_message = "A task is killed some seconds after drain.timeout, and not before."
  }
  assert {
    condition     = jsondecode(aws_ecs_task_definition.this[0].container_definitions)[0].healthCheck.command == ["CMD", "/runnel", "health"]
    error_message = "The binary checks its health itself."
  }
  assert {
    condition = { for e in jsondecode(aws_ecs_task_definition.this[0].container_definitions)[0].environment : e.name => e.value } == {
      RUNNEL_LINGER_MAX     = "100ms"
      RUNNEL_LOG_FORMAT     = "json"
      RUNNEL_MEMORY_PRODUCE = "256MiB"
      RUNNEL_MEMORY_CACHE   = "1024MiB"
      RUNNEL_CLIENT_ZONE    = "auto"
      RUNNEL_LISTEN         = "0.0.0.0:9092"
      RUNNEL_ADVERTISE      = "auto"
      RUNNEL_ZONE           = "auto"
      RUNNEL_ADMIN_LISTEN   = "0.0.0.0:9644"
      RUNNEL_PEER_LISTEN    = "0.0.0.0:9645"
      RUNNEL_PEER_ADVERTISE = "auto"
      RUNNEL_DRAIN_TIMEOUT  = "30s"
    }
    error_message = "The broker's variables are what was given and what the module knows, and no secrets."
  }
  assert {
    condition = { for c in jsondecode(aws_ecs_task_definition.this[0].container_definitions) : c.name => join(" ", [for s in c.secrets : "${s.name}=${s.valueFrom}"]) } == {
      broker   = "RUNNEL_PEER_SECRET=arn:aws:secretsmanager:eu-central-1:123456789012:secret:events/peers-AbCdEf"
      database = "RUNNEL_METASTORE_PASSWORD=arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!db-1-AbCdEf:password::"
    }
    error_message = "The owner's password is for the container alone that makes the brokers' user."
  }
  assert {
    condition     = join(" ", [for d in jsondecode(aws_ecs_task_definition.this[0].container_definitions)[0].dependsOn : "${d.containerName} ${d.condition}"]) == "database COMPLETE"
    error_message = "The broker starts after its user was made, or could not be."
  }
}

run "files_of_secrets" {
  command = plan

  variables {
    files = {
      "tls.key" = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:tls-AbCdEf:key::"
      "tls.crt" = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:tls-AbCdEf:crt::"
    }
    environment = { RUNNEL_PROTOCOL = "SASL_SSL", RUNNEL_TLS_CERTIFICATE = "/run/runnel/tls.crt", RUNNEL_TLS_KEY = "/run/runnel/tls.key" }
  }

  assert {
    condition     = join(",", [for m in jsondecode(aws_ecs_task_definition.this[0].container_definitions)[0].mountPoints : "${m.containerPath} ${m.readOnly}"]) == "/run/runnel true"
    error_message = "The broker can read its files, and not change them."
  }
  assert {
    condition     = join(" ", [for s in { for c in jsondecode(aws_ecs_task_definition.this[0].container_definitions) : c.name => c }["files"].secrets : "${s.name}=${s.valueFrom}"]) == "FILE_0=arn:aws:secretsmanager:eu-central-1:123456789012:secret:tls-AbCdEf:crt:: FILE_1=arn:aws:secretsmanager:eu-central-1:123456789012:secret:tls-AbCdEf:key::"
    error_message = "Each file has its own secret."
  }
  assert {
    condition = toset({ for s in jsondecode(aws_iam_role_policy.start.policy).Statement : s.Sid => s.Resource }["ReadSecrets"]) == toset([
      "arn:aws:secretsmanager:eu-central-1:123456789012:secret:events/peers-AbCdEf",
      "arn:aws:secretsmanager:eu-central-1:123456789012:secret:tls-AbCdEf",
    ])
    error_message = "Who starts brokers reads their secrets and no others; a policy names the secret and not the key in it."
  }
  assert {
    condition     = jsondecode(aws_iam_role_policy.setup[0].policy).Statement[0].Resource == ["arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!db-1-AbCdEf"] && aws_iam_role_policy.setup[0].role == aws_iam_role.execution[0].id
    error_message = "The owner's password is read by what starts tasks, and by no container."
  }
}

run "policies_allow_the_least" {
  command = plan

  variables {
    image               = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/team/runnel:0.1.0"
    secret_kms_key_arns = ["arn:aws:kms:eu-central-1:123456789012:key/1"]
  }

  assert {
    condition     = !anytrue(flatten([for s in jsondecode(aws_iam_role_policy.start.policy).Statement : [for a in s.Action : strcontains(a, "*")]]))
    error_message = "No policy allows actions by a wildcard."
  }
  assert {
    condition     = join(",", flatten([for s in jsondecode(aws_iam_role_policy.start.policy).Statement : s.Action if contains(s.Resource, "*")])) == "ecr:GetAuthorizationToken"
    error_message = "Only what AWS gives for everything or not at all is for everything."
  }
  assert {
    condition     = join(",", { for s in jsondecode(aws_iam_role_policy.start.policy).Statement : s.Sid => s.Resource }["PullImage"]) == "arn:aws:ecr:eu-central-1:123456789012:repository/team/runnel"
    error_message = "The image's repository is the one that is read."
  }
  assert {
    condition     = aws_iam_role_policy.start.role == aws_iam_role.execution[0].id && aws_iam_role_policy.broker.policy == var.broker_policy_json
    error_message = "Brokers have the policy that was given and no other; what starts them has a role of its own."
  }
}

run "groups_are_not_open" {
  command = plan

  variables {
    client_cidrs = ["10.1.0.0/16", "fd00::/8"]
    admin_cidrs  = ["10.2.0.0/24"]
  }

  assert {
    condition     = toset([for r in aws_vpc_security_group_ingress_rule.this : r.cidr_ipv4 if r.cidr_ipv4 != null]) == toset(["10.1.0.0/16", "10.2.0.0/24"])
    error_message = "Only networks that were named get in."
  }
  assert {
    condition     = join(" ", [for r in aws_vpc_security_group_ingress_rule.this : r.cidr_ipv6 if r.cidr_ipv6 != null]) == "fd00::/8 fd00::/8"
    error_message = "Networks of IPv6 are rules of IPv6."
  }
  assert {
    condition     = join(" ", [for r in aws_vpc_security_group_ingress_rule.this : r.referenced_security_group_id if r.from_port == 9645]) == "sg-0fedcba9876543210"
    error_message = "Brokers alone reach the port of brokers."
  }
  assert {
    condition     = alltrue([for r in aws_vpc_security_group_ingress_rule.this : r.from_port == r.to_port && contains([9092, 9644, 9645], r.from_port) && r.ip_protocol == "tcp"])
    error_message = "No other port is open."
  }
  assert {
    condition     = join(" ", distinct([for r in aws_vpc_security_group_ingress_rule.this : r.cidr_ipv4 if r.from_port == 9644 && r.cidr_ipv4 != null])) == "10.2.0.0/24"
    error_message = "The admin port is for admin_cidrs."
  }
  assert {
    condition     = join(" ", [for r in aws_vpc_security_group_egress_rule.this : r.from_port if r.cidr_ipv4 != null]) == "443"
    error_message = "Brokers reach everybody by HTTPS alone."
  }
}

run "the_load_balancer" {
  command = plan

  assert {
    condition     = aws_lb.this.internal && aws_lb.this.load_balancer_type == "network" && !aws_lb.this.enable_cross_zone_load_balancing && aws_lb.this.dns_record_client_routing_policy == "availability_zone_affinity"
    error_message = "Clients are led to their own zone, within the VPC."
  }
  assert {
    condition     = alltrue([for g in aws_lb_target_group.this : g.preserve_client_ip == "true" && g.target_type == "ip" && !g.proxy_protocol_v2 && g.health_check[0].path == "/readyz" && g.health_check[0].port == "9644" && g.health_check[0].protocol == "HTTP"])
    error_message = "Brokers see their clients' addresses, and are asked whether they are ready."
  }
  assert {
    condition     = alltrue([for g in aws_lb_target_group.this : g.health_check[0].interval * g.health_check[0].unhealthy_threshold >= 180])
    error_message = "No broker is replaced while the database fails over, which takes RDS up to two minutes."
  }
  assert {
    condition     = output.bootstrap == "events-0123456789abcdef.elb.eu-central-1.amazonaws.com:9092" && output.bootstrap_by_zone["eu-central-1b"] == "eu-central-1b.events-0123456789abcdef.elb.eu-central-1.amazonaws.com:9092"
    error_message = "Clients begin at the load balancer's name, or at that of a zone."
  }
  assert {
    condition     = output.admin_url == "http://events-0123456789abcdef.elb.eu-central-1.amazonaws.com:9644"
    error_message = "The admin server is behind the load balancer, too."
  }
}

run "alarms_for_each_zone" {
  command = plan

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.this) == 3 * 4 + 2
    error_message = "Each zone has four alarms, and the cluster two."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["no-broker-eu-central-1a"].dimensions["AvailabilityZone"] == "eu-central-1a" && aws_cloudwatch_metric_alarm.this["no-broker-eu-central-1a"].treat_missing_data == "breaching"
    error_message = "A zone without a broker is told of, also if nothing is counted there."
  }
  assert {
    # What AWS counts by, which is made apart.
    condition     = alltrue([for zone, s in aws_ecs_service.this : aws_cloudwatch_metric_alarm.this["cpu-${zone}"].dimensions == tomap({ ClusterName = aws_ecs_cluster.this[0].name, ServiceName = s.name })])
    error_message = "Alarms look at services that there are."
  }
  assert {
    condition     = length(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets) == 6
    error_message = "The dashboard has its charts."
  }
}

run "on_ec2" {
  command = plan

  variables {
    platform = "ec2"
  }

  assert {
    condition     = length(aws_autoscaling_group.this) == 3 && alltrue([for zone, g in aws_autoscaling_group.this : g.min_size == 2 && g.max_size == 5 && g.vpc_zone_identifier == toset([var.subnet_ids_by_zone[zone]])])
    error_message = "There is one group for each zone."
  }
  assert {
    condition     = length(aws_ecs_service.this) == 0 && length(aws_ecs_task_definition.this) == 0 && length(aws_iam_role.execution) == 0 && output.cluster_name == null
    error_message = "No brokers of ECS are made for ec2."
  }
  assert {
    condition = !strcontains(aws_iam_role_policy.start.policy, "rds!") && !strcontains(base64decode(aws_launch_template.this[0].user_data), "rds!") && !anytrue([
      for s in jsondecode(aws_iam_role_policy.start.policy).Statement : anytrue([for a in s.Action : startswith(a, "ecs:") || startswith(a, "iam:")])
    ])
    error_message = "An instance neither reads the password of the database's owner nor starts what does."
  }
  assert {
    condition     = jsondecode(aws_iam_role_policy.setup[0].policy).Statement[0].Resource == ["arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!db-1-AbCdEf"] && aws_iam_role_policy.setup[0].role == aws_iam_role.setup[0].id
    error_message = "A role of its own reads it."
  }
  assert {
    condition     = join(" ", jsondecode(aws_ecs_task_definition.setup[0].container_definitions)[0].command) == "migrate --grant-iam runnel" && aws_ecs_task_definition.setup[0].task_role_arn == null
    error_message = "A task makes the user of brokers, and is nobody when it runs."
  }
  assert {
    condition     = toset(jsondecode(aws_cloudwatch_event_rule.setup[0].event_pattern).detail.AutoScalingGroupName) == toset([for g in aws_autoscaling_group.this : g.name])
    error_message = "It runs when an instance of a group is launched."
  }
  assert {
    condition = { for s in jsondecode(aws_iam_role_policy.launch[0].policy).Statement : s.Sid => s.Resource[0] } == {
      RunSetup = aws_ecs_task_definition.setup[0].arn
      TagSetup = "arn:aws:ecs:eu-central-1:123456789012:task/events/*"
      LendRole = aws_iam_role.setup[0].arn
    }
    error_message = "EventBridge starts this task and no other."
  }
  assert {
    condition     = length(aws_iam_role_policy.sessions) == 0
    error_message = "Nobody gets a shell who did not ask for one."
  }
  assert {
    condition     = aws_launch_template.this[0].metadata_options[0].http_tokens == "required" && aws_launch_template.this[0].metadata_options[0].http_put_response_hop_limit == 1
    error_message = "Metadata takes version 2, from the instance itself."
  }
  assert {
    condition     = aws_launch_template.this[0].block_device_mappings[0].ebs[0].encrypted == "true"
    error_message = "The disk is encrypted."
  }
  assert {
    condition     = aws_launch_template.this[0].image_id == "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"
    error_message = "The machine image is for the instance's processor."
  }
  assert {
    condition     = alltrue([for zone, g in aws_autoscaling_group.this : aws_cloudwatch_metric_alarm.this["cpu-${zone}"].dimensions == tomap({ AutoScalingGroupName = g.name })])
    error_message = "Alarms look at groups that there are."
  }
  assert {
    condition     = alltrue([for g in aws_autoscaling_group.this : toset([for h in g.initial_lifecycle_hook : h.lifecycle_transition]) == toset(["autoscaling:EC2_INSTANCE_LAUNCHING", "autoscaling:EC2_INSTANCE_TERMINATING"])])
    error_message = "An instance says when it serves, and drains before it goes."
  }
  assert {
    condition     = alltrue([for g in aws_autoscaling_group.this : g.instance_refresh[0].preferences[0].min_healthy_percentage == 100 && g.instance_refresh[0].preferences[0].max_healthy_percentage == 150])
    error_message = "Instances are replaced one at a time."
  }
  assert {
    condition     = jsondecode(aws_iam_role_policy.lifecycle[0].policy).Statement[0].Resource[0] == "arn:aws:autoscaling:eu-central-1:123456789012:autoScalingGroup:*:autoScalingGroupName/events-eu-central-1a"
    error_message = "Instances speak for their own groups."
  }
  assert {
    condition     = strcontains(base64decode(aws_launch_template.this[0].user_data), "export RUNNEL_ZONE='auto'") && strcontains(base64decode(aws_launch_template.this[0].user_data), "ghcr.io/runnel-io/runnel:0.1.0 broker --migrate")
    error_message = "An instance starts the broker."
  }
  assert {
    condition     = alltrue([for g in aws_lb_target_group.this : g.target_type == "instance"]) && length(aws_autoscaling_policy.cpu) == 3
    error_message = "Instances are targets, and their number follows the load."
  }
}

run "an_image_of_another_region" {
  command = plan

  variables {
    platform = "ec2"
    image    = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/runnel:0.1.0"
  }

  assert {
    condition     = strcontains(base64decode(aws_launch_template.this[0].user_data), "aws ecr get-login-password --region eu-west-1 | docker login --username AWS --password-stdin 123456789012.dkr.ecr.eu-west-1.amazonaws.com\n")
    error_message = "An instance logs in where the image lies."
  }
}

run "instances_that_take_long" {
  command = plan

  variables {
    platform      = "ec2"
    start_timeout = 7200
  }

  assert {
    condition     = alltrue([for g in aws_autoscaling_group.this : g.wait_for_capacity_timeout == "7200s"])
    error_message = "An apply gives up no instance that has time left."
  }
}

run "a_shell_on_instances" {
  command = plan

  variables {
    platform = "ec2"
    sessions = true
  }

  assert {
    condition     = toset(jsondecode(aws_iam_role_policy.sessions[0].policy).Statement[0].Action) == toset(["ssm:UpdateInstanceInformation", "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel"])
    error_message = "Sessions take what they need: no command is run and no parameter is read by it."
  }
}

run "no_setup_where_the_user_is_there" {
  command = plan

  variables {
    platform       = "ec2"
    database_setup = null
  }

  assert {
    condition     = length(aws_ecs_cluster.this) + length(aws_ecs_task_definition.setup) + length(aws_iam_role.setup) + length(aws_iam_role_policy.setup) + length(aws_cloudwatch_event_rule.setup) + length(aws_iam_role.launch) == 0
    error_message = "Nothing is made for it."
  }
}

run "the_owner_verifies_the_server_too" {
  command = plan

  variables {
    database_setup = {
      url                 = "postgres://postgres@db:5432/runnel?sslmode=verify-full"
      password_secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!db-1-AbCdEf"
      authorities         = "-----BEGIN CERTIFICATE-----"
    }
  }

  assert {
    condition     = { for e in { for c in jsondecode(aws_ecs_task_definition.this[0].container_definitions) : c.name => c }["database"].environment : e.name => e.value }["RUNNEL_METASTORE_AUTHORITIES"] == "-----BEGIN CERTIFICATE-----"
    error_message = "What makes the user has the authorities that brokers have."
  }
}

run "names_for_certificates" {
  command = plan

  variables {
    advertise = "name"
  }

  assert {
    condition     = { for e in jsondecode(aws_ecs_task_definition.this[0].container_definitions)[0].environment : e.name => e.value }["RUNNEL_ADVERTISE"] == "auto:name"
    error_message = "Clients are told names."
  }
}

run "a_fixed_number" {
  command = plan

  variables {
    max_brokers_per_zone = 2
  }

  assert {
    condition     = length(aws_appautoscaling_policy.cpu) == 0 && length(aws_appautoscaling_target.this) == 3
    error_message = "With equal bounds nothing scales, and the bounds hold."
  }
}

run "no_plaintext_for_everybody" {
  command = plan

  variables {
    client_cidrs = ["0.0.0.0/0"]
  }
  expect_failures = [terraform_data.checks]
}

run "no_plaintext_for_everybody_in_halves" {
  command = plan

  variables {
    client_cidrs = ["0.0.0.0/1", "128.0.0.0/1"]
  }
  expect_failures = [terraform_data.checks]
}

run "no_plaintext_for_all_addresses_that_are_given_out" {
  command = plan

  variables {
    client_cidrs = ["2000::/3"]
  }
  expect_failures = [terraform_data.checks]
}

run "private_networks_are_not_everybody" {
  command = plan

  variables {
    client_cidrs = ["10.0.0.0/8", "172.16.0.0/12", "fc00::/7", "FD12:3456::/32"]
    admin_cidrs  = ["10.0.0.0/8", "fd00::/8"]
  }

  assert {
    condition     = length([for r in aws_vpc_security_group_ingress_rule.this : r if r.from_port == 9092 && (r.cidr_ipv4 != null || r.cidr_ipv6 != null)]) == 8
    error_message = "Each of them gets in."
  }
}

run "no_passwords_in_clear_for_everybody" {
  command = plan

  variables {
    client_cidrs = ["::/0"]
    environment  = { RUNNEL_PROTOCOL = "SASL_PLAINTEXT" }
  }
  expect_failures = [terraform_data.checks]
}

run "tls_needs_a_certificate" {
  command = plan

  variables {
    environment = { RUNNEL_PROTOCOL = "SSL" }
  }
  expect_failures = [terraform_data.checks]
}

run "a_file_that_is_not_there" {
  command = plan

  variables {
    environment = { RUNNEL_TLS_CLIENT_AUTHORITY = "/run/runnel/ca.crt" }
  }
  expect_failures = [terraform_data.checks]
}

run "no_secret_in_the_environment" {
  command = plan

  variables {
    environment = { RUNNEL_ADMIN_TOKEN = "0123456789abcdef" }
  }
  expect_failures = [var.environment]
}

run "no_address_in_the_environment" {
  command = plan

  variables {
    environment = { RUNNEL_ADVERTISE = "broker:9092" }
  }
  expect_failures = [var.environment]
}

run "no_log_that_alarms_cannot_read" {
  command = plan

  variables {
    environment = { RUNNEL_LOG_FORMAT = "text" }
  }
  expect_failures = [var.environment]
}

run "no_log_without_what_alarms_count" {
  command = plan

  variables {
    environment = { RUNNEL_LOG_LEVEL = "warn" }
  }
  expect_failures = [var.environment]
}

run "no_image_without_a_version" {
  command = plan

  variables {
    image = "ghcr.io/runnel-io/runnel"
  }
  expect_failures = [var.image]
}

run "no_latest_image" {
  command = plan

  variables {
    image = "ghcr.io/runnel-io/runnel:latest"
  }
  expect_failures = [var.image]
}

run "no_drain_longer_than_fargate_waits" {
  command = plan

  variables {
    drain_timeout = 110
  }
  expect_failures = [var.drain_timeout]
}

run "no_admin_for_everybody" {
  command = plan

  variables {
    admin_cidrs = ["0.0.0.0/1", "128.0.0.0/1"]
  }
  expect_failures = [var.admin_cidrs]
}

run "not_fewer_at_most_than_at_least" {
  command = plan

  variables {
    max_brokers_per_zone = 1
  }
  expect_failures = [var.max_brokers_per_zone]
}

run "the_longest_name" {
  command = plan

  variables {
    name     = "a-name-of-22-character"
    platform = "ec2"
  }

  assert {
    condition     = length(aws_lb.this.name) <= 32 && alltrue([for g in aws_lb_target_group.this : length(g.name) <= 32])
    error_message = "Names of load balancers and target groups have 32 characters at most."
  }
}

run "no_long_name" {
  command = plan

  variables {
    name = "a-name-that-is-too-long"
  }
  expect_failures = [var.name]
}

run "no_ids_of_zones" {
  command = plan

  variables {
    subnet_ids_by_zone = { euc1-az1 = "subnet-0a" }
  }
  expect_failures = [var.subnet_ids_by_zone]
}
