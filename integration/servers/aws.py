"""A mock of AWS: moto's server, and what it lacks of what the provider asks for.

    python3 aws.py -H 127.0.0.1 -p PORT

Application Auto Scaling: moto keeps no tags of scalable targets, and the provider reads them after each change.
"""

import json
import sys

from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.server import main

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


def main_with_what_is_lacking():
    ApplicationAutoScalingResponse.register_scalable_target = register_scalable_target
    ApplicationAutoScalingResponse.list_tags_for_resource = list_tags_for_resource
    main(sys.argv[1:])


if __name__ == "__main__":
    main_with_what_is_lacking()
