"""Prints what SAM's transform makes of a template, as JSON."""

import json
import sys

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse


class ManagedPolicies:
    """Names the managed policies that SAM adds, for which it otherwise asks AWS."""

    def load(self):
        name = "AWSLambdaBasicExecutionRole"
        return {name: "arn:aws:iam::aws:policy/service-role/" + name}


with open(sys.argv[1], encoding="utf-8") as file:
    template = yaml_parse(file)
for resource in template["Resources"].values():
    if "CodeUri" in resource.get("Properties", {}):
        resource["Properties"]["CodeUri"] = "s3://bucket/function.zip"  # where sam package puts it
json.dump(transform(template, {}, ManagedPolicies()), sys.stdout)
