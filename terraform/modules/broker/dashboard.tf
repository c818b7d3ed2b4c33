locals {
  # Metrics of a widget: [namespace, name, dimension, value, ..., {options}].
  chart = {
    brokers = {
      title = "Brokers that are ready", stat = "Minimum", min = 0
      metrics = [for zone in local.zones : [
        "AWS/NetworkELB", "HealthyHostCount", "TargetGroup", local.target_group_dimension, "AvailabilityZone", zone,
        "LoadBalancer", local.load_balancer_dimension, { label = zone },
      ]]
    }
    cpu = {
      title = "CPU of brokers, percent", stat = "Average", min = 0
      metrics = concat(
        [for zone, d in local.service_dimensions : ["AWS/ECS", "CPUUtilization", "ClusterName", d.ClusterName, "ServiceName", d.ServiceName, { label = zone }]],
        [for zone, d in local.group_dimensions : ["AWS/EC2", "CPUUtilization", "AutoScalingGroupName", d.AutoScalingGroupName, { label = zone }]],
      )
    }
    memory = {
      title = "Memory of brokers, percent", stat = "Maximum", min = 0
      metrics = [for zone, d in local.service_dimensions :
        ["AWS/ECS", "MemoryUtilization", "ClusterName", d.ClusterName, "ServiceName", d.ServiceName, { label = zone }]
      ]
    }
    begin = {
      title = "Connections through the load balancer", stat = "Sum", min = 0
      metrics = [
        ["AWS/NetworkELB", "NewFlowCount", "LoadBalancer", local.load_balancer_dimension, { label = "new" }],
        ["AWS/NetworkELB", "ActiveFlowCount", "LoadBalancer", local.load_balancer_dimension, { label = "open", stat = "Average" }],
      ]
    }
    log = {
      title   = "Joins and errors", stat = "Sum", min = 0
      metrics = [[local.log_metrics, "Joins", { label = "brokers that joined" }], [local.log_metrics, "Errors", { label = "errors" }]]
    }
  }

  widgets = concat(
    [for name, c in local.chart : jsonencode({
      type   = "metric"
      width  = 8
      height = 6
      properties = {
        title   = c.title
        region  = var.region
        view    = "timeSeries"
        stat    = c.stat
        period  = 60
        yAxis   = { left = { min = c.min } }
        metrics = c.metrics
      }
    }) if length(c.metrics) > 0],
    var.dashboard_widgets,
    [jsonencode({
      type   = "log"
      width  = 24
      height = 6
      properties = {
        title  = "Warnings and errors"
        region = var.region
        view   = "table"
        query  = "SOURCE '${aws_cloudwatch_log_group.this.name}' | fields @timestamp, level, msg, @message | filter level in ['WARN', 'ERROR'] | sort @timestamp desc | limit 50"
      }
    })],
  )
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = jsonencode({ widgets = [for w in local.widgets : jsondecode(w)] })
}
