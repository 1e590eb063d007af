"""Reads a line of JSON for each resource ({"resource": ..., "release": "r4" | "r5"}), prints one with what fhir.resources
finds wrong with it: R4 by its models of R4B, R5 by those of R5."""

import json
import sys

import fhir.resources
import fhir.resources.R4B

MODELS = {"r4": fhir.resources.R4B, "r5": fhir.resources}

for line in sys.stdin:
    case = json.loads(line)
    resource = case["resource"]
    try:
        MODELS[case["release"]].get_fhir_model_class(resource["resourceType"]).model_validate(resource)
        errors = []
    except ValueError as error:
        errors = [str(error)]
    print(json.dumps({"errors": errors}), flush=True)
