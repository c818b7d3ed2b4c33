"""A mock of AWS: moto's server, and what it lacks of what the provider asks for.

    python3 aws.py -H 127.0.0.1 -p PORT

Application Auto Scaling: moto keeps no tags of scalable targets, and the provider reads them after each change.
S3: moto does not know configurations of request metrics, and takes them for the making of a bucket.
EC2: moto forgets what rules between security groups are described as.
RDS: moto does not say that a parameter was set by somebody, without which the provider does not count it, and forgets
Performance Insights.
"""

import json
import sys
from urllib.parse import parse_qs

import moto.server
from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.rds.models import DBInstance, DBParameterGroup, DBClusterParameterGroup

tags_by_arn = {}
register = ApplicationAutoScalingResponse.register_scalable_target


def register_scalable_target(self):
    answer = register(self)
    tags = self._get_param("Tags")
    if tags:
        tags_by_arn[json.loads(answer)["ScalableTargetARN"]] = tags
    return answer


def list_tags_for_resource(self):
    return json.dumps({"Tags": tags_by_arn.get(self._get_param("ResourceARN"), {})})


metrics = {}
application = moto.server.DomainDispatcherApplication.__call__


def with_metrics(self, environ, start_response):
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    if "metrics" not in query or "id" not in query:
        return application(self, environ, start_response)
    key = (environ["PATH_INFO"], query["id"][0])
    method, status, body = environ["REQUEST_METHOD"], "200 OK", b""
    if method == "PUT":
        metrics[key] = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    elif method == "DELETE":
        metrics.pop(key, None)
        status = "204 No Content"
    elif key in metrics:
        body = metrics[key]
    else:
        status, body = "404 Not Found", b"<Error><Code>NoSuchConfiguration</Code></Error>"
    start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]


def description(self):
    return self.ip_range.get("Description") or self.source_group.get("Description")


def marked(update):
    def update_parameters(self, new_parameters):
        update(self, [{**p, "Source": "user"} for p in new_parameters])

    return update_parameters


make_instance = DBInstance.__init__


def with_insights(self, *args, **kwargs):
    make_instance(self, *args, **kwargs)
    self.performance_insights_enabled = bool(kwargs.get("enable_performance_insights"))
    if self.performance_insights_enabled:
        self.performance_insights_kms_key_id = kwargs.get("performance_insights_kms_key_id")
        self.performance_insights_retention_period = kwargs.get("performance_insights_retention_period")


def complete():
    ApplicationAutoScalingResponse.register_scalable_target = register_scalable_target
    ApplicationAutoScalingResponse.list_tags_for_resource = list_tags_for_resource
    moto.server.DomainDispatcherApplication.__call__ = with_metrics
    SecurityGroupRule.description = property(description)
    DBParameterGroup.update_parameters = marked(DBParameterGroup.update_parameters)
    DBClusterParameterGroup.update_cluster_parameters = marked(DBClusterParameterGroup.update_cluster_parameters)
    DBInstance.__init__ = with_insights


if __name__ == "__main__":
    complete()
    moto.server.main(sys.argv[1:])
