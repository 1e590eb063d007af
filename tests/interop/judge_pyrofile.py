"""Reads a line of JSON for each resource ({"resource": ..., "release": "r4" | "r5"}), prints one with what is wrong
with it: R4 by pyrofile-validator with the profiles of the CGM guide (cgm_profiles.py), R5 by fhir.resources."""

import json
import logging
import os
import sys
import tempfile

logging.disable(logging.CRITICAL)
os.chdir(tempfile.mkdtemp())  # it may leave evidence where it runs

import cgm_profiles
from fhir.resources import get_fhir_model_class
from pyrofile_validator import Validator
from pyrofile_validator.config import ValidatorConfig

folder = tempfile.mkdtemp()
# It does not follow references to tell slices apart.
for profile in cgm_profiles.profiles(resolving=False):
    with open(os.path.join(folder, profile["id"] + ".json"), "w", encoding="utf-8") as file:
        json.dump(profile, file)
validator = Validator(
    ValidatorConfig.load_dict(
        {"fhirVersion": "4.0.1", "terminology": {"mode": "off"}, "localPackagePaths": [folder]}
    )
)


def r4(resource):
    report = validator.validate_resource(resource)
    return [f"{issue.path}: {issue.code}: {issue.message}" for issue in report.errors]


def r5(resource):
    try:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
        return []
    except ValueError as error:
        return [str(error)]


for line in sys.stdin:
    case = json.loads(line)
    errors = (r5 if case["release"] == "r5" else r4)(case["resource"])
    print(json.dumps({"errors": errors}), flush=True)
