"""Reads a line of JSON for each message, prints one with what PyPI hl7 and hl7apy read in it."""

import json
import sys

import hl7
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message

UNESCAPED = {"\\F\\": "|", "\\S\\": "^", "\\T\\": "&", "\\R\\": "~", "\\E\\": "\\"}


def plain(text):
    for escape, meant in UNESCAPED.items():
        text = text.replace(escape, meant)
    return text


def by_hl7(message):
    parsed = hl7.parse(message)
    obx = [
        {
            "type": str(line[2]),
            "code": plain(str(line[3])),
            "value": plain(str(line[5])) if len(line) > 5 else "",
            "unit": str(line[6]) if len(line) > 6 else "",
            "status": str(line[11]) if len(line) > 11 else "",
            "time": str(line[14]) if len(line) > 14 else "",
        }
        for line in parsed.segments("OBX")
    ]
    obr = parsed.segment("OBR")
    return {
        "kind": str(parsed.segment("MSH")[9]),
        "patient": plain(str(parsed.segment("PID")[3])),
        "order": {"filler": str(obr[3]), "service": str(obr[4]), "from": str(obr[7]), "to": str(obr[8]),
                  "reported": str(obr[22]), "status": str(obr[25])},
        "obx": obx,
    }


def by_hl7apy(message, level):
    try:
        parsed = parse_message(message, validation_level=level)
        valid = parsed.validate()
        observations = parsed.oru_r01_patient_result.oru_r01_order_observation.oru_r01_observation
        return {"name": parsed.name, "valid": valid, "obx": len(observations)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


for line in sys.stdin:
    text = json.loads(line)
    print(json.dumps({
        "hl7": by_hl7(text),
        "strict": by_hl7apy(text, VALIDATION_LEVEL.STRICT),
        "tolerant": by_hl7apy(text, VALIDATION_LEVEL.TOLERANT),
    }), flush=True)
