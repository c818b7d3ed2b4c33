# The real provider, which contacts nothing to plan what is new: providers cannot be mocked where there are ephemeral
# resources. What it would ask AWS for is told here, and of what AWS would say what the tests look at.
provider "aws" {
  region                      = "eu-central-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  skip_requesting_account_id  = true
}

override_data {
  target = data.aws_caller_identity.current
  values = { account_id = "123456789012" }
}

override_data {
  target = module.broker.data.aws_caller_identity.current
  values = { account_id = "123456789012" }
}

override_data {
  target = module.postgres.data.aws_caller_identity.here
  values = { account_id = "123456789012" }
}

override_data {
  target = data.aws_availability_zones.available
  values = { names = ["eu-central-1a", "eu-central-1b", "eu-central-1c", "eu-central-1d"] }
}

override_resource {
  target          = module.broker.aws_lb.this
  override_during = plan
  values = {
    arn        = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/net/events/0123456789abcdef"
    arn_suffix = "net/events/0123456789abcdef"
    dns_name   = "events.elb.example.com"
  }
}

override_resource {
  target          = module.postgres.aws_db_instance.database
  override_during = plan
  values = {
    address            = "events.db.example.com"
    resource_id        = "db-ABCDEF"
    master_user_secret = [{ secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds-1-AbCdEf" }]
  }
}

variables {
  name   = "events"
  image  = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/runnel:0.1.0"
  egress = "endpoints"
  # One that is made would be asked for when planning.
  peer_secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:peers-AbCdEf"
}

run "by_default" {
  command = plan

  assert {
    condition     = toset(keys(output.bootstrap_by_zone)) == toset(["eu-central-1a", "eu-central-1b", "eu-central-1c"])
    error_message = "Without a word of zones there are brokers in the first three."
  }
  assert {
    condition     = output.bootstrap == "events.elb.example.com:9092" && output.bootstrap_by_region["eu-central-1"] == output.bootstrap
    error_message = "Clients begin at the load balancer."
  }
  assert {
    condition     = length(output.route_table_ids) == 3
    error_message = "A peering finds the tables that it needs routes in."
  }
  assert {
    condition     = output.client_properties == "bootstrap.servers=events.elb.example.com:9092\nsecurity.protocol=PLAINTEXT\n"
    error_message = "A Java client reads its properties from an output."
  }
  assert {
    condition     = strcontains(output.client_properties_by_zone["eu-central-1b"], "\nclient.rack=eu-central-1b\n")
    error_message = "Clients are told how to name their zone."
  }
  assert {
    condition     = output.database_url == "postgres://runnel@events.db.example.com:5432/runnel?sslmode=verify-full"
    error_message = "Brokers log in with a token of their role, to a server that they verify."
  }
  assert {
    condition     = { for s in jsondecode(output.broker_policy_json).Statement : s.Sid => s.Resource[0] }["ConnectDatabase"] == "arn:aws:rds-db:eu-central-1:123456789012:dbuser:db-ABCDEF/runnel"
    error_message = "Brokers may log in to the database that was made, as their user."
  }
  assert {
    condition     = aws_vpc_security_group_egress_rule.database.from_port == 5432 && aws_vpc_security_group_egress_rule.database.cidr_ipv4 == null
    error_message = "Brokers reach the database's group, and no network."
  }
  assert {
    condition     = toset([for name in keys(output.alarm_arns) : name if startswith(name, "database-")]) == toset(["database-cpu-0", "database-memory-0", "database-connections-0", "database-commit-0", "database-storage-0", "database-xids-0"])
    error_message = "The database is watched."
  }
  assert {
    # m7g.large: 8 GiB, of which RDS makes 901 connections.
    condition     = aws_cloudwatch_metric_alarm.database["database-connections-0"].threshold == 675 && aws_cloudwatch_metric_alarm.database["database-memory-0"].threshold == 429496729
    error_message = "Alarms go by what the database's class has."
  }
}

run "the_way_out_is_in_the_costs" {
  command = plan

  variables {
    egress = "nat_per_zone"
  }

  assert {
    # 730 h of a load balancer and three gateways.
    condition     = output.monthly_cost.network == 115
    error_message = "${output.monthly_cost.network} USD"
  }
}

run "each_endpoint_is_in_the_costs" {
  command = plan

  variables {
    platform = "ec2"
    sessions = true
  }

  assert {
    # Seven in each of three zones.
    condition     = output.monthly_cost.network == 170
    error_message = "${output.monthly_cost.network} USD"
  }
}

run "small_database" {
  command = plan

  variables {
    instance_class = "db.t4g.medium"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.database["database-connections-0"].threshold == 337
    error_message = "A small one takes 450 connections, and tells of three quarters."
  }
}

run "large_database" {
  command = plan

  variables {
    engine                      = "aurora"
    instance_class              = "db.r7g.16xlarge"
    engine_version              = "17.6"
    allow_major_version_upgrade = true
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.database["database-connections-1"].threshold == 3750
    error_message = "No class takes more than 5,000 connections by itself."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.database["database-lag-0"].treat_missing_data == "notBreaching"
    error_message = "The writer has no lag to tell of."
  }
}

run "a_class_that_is_new" {
  command = plan

  variables {
    instance_class             = "db.z9.metal-24xl"
    database_connections_alarm = 50
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.database["database-connections-0"].threshold == 50
    error_message = "What is said counts."
  }
}

run "verified_database" {
  command = plan

  variables {
    database_authorities = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"
  }

  assert {
    condition     = output.database_url == "postgres://runnel@events.db.example.com:5432/runnel?sslmode=verify-full"
    error_message = "With its authorities, brokers verify the server."
  }
}

run "aurora_and_metrics_of_the_bucket" {
  command = plan

  variables {
    engine             = "aurora"
    s3_request_metrics = true
  }

  assert {
    condition     = alltrue([for name in ["database-lag-0", "database-lag-1", "bucket-errors", "bucket-denied"] : contains(keys(output.alarm_arns), name)])
    error_message = "Aurora's readers and the bucket are watched."
  }
  assert {
    condition     = aws_s3_bucket_metric.this[0].filter[0].prefix == "runnel/"
    error_message = "Requests for the cluster's objects are counted."
  }
}

run "own_database" {
  command = plan

  variables {
    engine              = "own"
    url                 = "postgres://runnel@db.example.com:6432/runnel?sslmode=verify-full"
    password_secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:db-AbCdEf:password::"
    database_cidr       = "10.9.0.0/24"
  }

  assert {
    condition     = aws_vpc_security_group_egress_rule.database.from_port == 6432 && aws_vpc_security_group_egress_rule.database.cidr_ipv4 == "10.9.0.0/24"
    error_message = "Brokers reach the database's port in its network."
  }
  assert {
    condition     = length([for name in keys(output.alarm_arns) : name if startswith(name, "database-")]) == 0
    error_message = "Your database is yours to watch."
  }
  assert {
    condition     = !contains([for s in jsondecode(output.broker_policy_json).Statement : s.Sid], "ConnectDatabase")
    error_message = "With a password there is nothing to log in to by IAM."
  }
}

run "own_network_on_ec2" {
  command = plan

  variables {
    platform            = "ec2"
    image               = "ghcr.io/runnel-io/runnel:0.1.0"
    vpc_id              = "vpc-0fedcba9876543210"
    subnet_ids_by_zone  = { eu-central-1b = "subnet-0b", eu-central-1c = "subnet-0c" }
    engine              = "own"
    url                 = "postgres://runnel@db.example.com/runnel?sslmode=verify-full"
    password_secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:db-AbCdEf"
  }

  override_data {
    target = module.network.data.aws_vpc.given
    values = { cidr_block = "10.9.0.0/16" }
  }
  override_data {
    target = module.network.data.aws_subnet.given["eu-central-1b"]
    values = { id = "subnet-0b", vpc_id = "vpc-0fedcba9876543210", availability_zone = "eu-central-1b", availability_zone_id = "euc1-az3" }
  }
  override_data {
    target = module.network.data.aws_subnet.given["eu-central-1c"]
    values = { id = "subnet-0c", vpc_id = "vpc-0fedcba9876543210", availability_zone = "eu-central-1c", availability_zone_id = "euc1-az1" }
  }

  assert {
    condition     = output.autoscaling_group_names["eu-central-1b"] == "events-eu-central-1b" && length(output.autoscaling_group_names) == 2 && output.cluster_name == null
    error_message = "Brokers are where the subnets are."
  }
  assert {
    condition     = aws_vpc_security_group_egress_rule.database.from_port == 5432
    error_message = "A URL without a port means PostgreSQL's."
  }
}

run "no_image_from_the_internet_without_a_way_there" {
  command = plan

  variables {
    image = "ghcr.io/runnel-io/runnel:0.1.0"
  }
  expect_failures = [terraform_data.checks]
}

run "no_plaintext_for_everybody" {
  command = plan

  variables {
    client_cidrs = ["10.0.0.0/8", "0.0.0.0/0"]
  }
  expect_failures = [var.protocol]
}

run "no_plaintext_for_everybody_in_halves" {
  command = plan

  variables {
    client_cidrs = ["::/1", "8000::/1"]
  }
  expect_failures = [var.protocol]
}

run "an_own_database_has_a_url" {
  command = plan

  variables {
    engine = "own"
  }
  expect_failures = [var.engine]
}

run "an_own_bucket_has_a_name" {
  command = plan

  variables {
    existing_bucket = true
  }
  expect_failures = [var.existing_bucket]
}

run "no_second_way_to_say_it" {
  command = plan

  variables {
    environment = { RUNNEL_METASTORE_URL = "postgres://elsewhere/runnel" }
  }
  expect_failures = [var.environment]
}

run "no_client_subnets_that_are_none" {
  command = plan

  variables {
    client_subnets = { eu-central-1a = "10.0.0.0/24" }
  }
  expect_failures = [var.client_subnets]
}
