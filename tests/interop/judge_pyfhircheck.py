"""Runs pyfhircheck's built-in pack of R4 against a server: arguments are its base, the authority, and a client certificate
with its key; a line of JSON of standard input has the inputs of a run. Prints a line for each scenario."""

import json
import os
import ssl
import sys
import tempfile
import urllib.request

os.chdir(tempfile.mkdtemp())  # it may leave evidence where it runs

from pyfhircheck.api_testing import ApiTestOptions, load_builtin_api_test_plan, run_api_tests

base, authority, certificate, key = sys.argv[1:]
context = ssl.create_default_context(cafile=authority)
context.load_cert_chain(certificate, key)
# It asks with urllib, which shows what its opener has.
urllib.request.install_opener(urllib.request.build_opener(urllib.request.HTTPSHandler(context=context)))

for line in sys.stdin:
    inputs = json.loads(line)
    report = run_api_tests(base, load_builtin_api_test_plan("r4"), options=ApiTestOptions(inputs=inputs))
    for scenario in report.scenarios:
        told = scenario.to_dict()
        wrong = [it for it in told["assertions"] if it["status"] != "PASS"]
        issues = [
            issue
            for issue in told.get("resourceValidation", {}).get("issues", [])
            if issue.get("severity") in ("error", "fatal")
        ]
        print(
            json.dumps(
                {
                    "id": told["id"],
                    "kind": inputs.get("resourceType"),
                    "status": told["status"],
                    "why": [told["skipReason"], wrong, issues],
                }
            ),
            flush=True,
        )
