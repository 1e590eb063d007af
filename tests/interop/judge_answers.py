"""Reads acknowledgements with PyPI hl7 and hl7apy. Standard input: one JSON string a line. Prints for each what the
two see in it; `strict` is what hl7apy says to it in strict mode, and empty where it has no complaint."""

import json
import sys

import hl7
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.core import Message
from hl7apy.parser import get_message_info, parse_message, parse_segments


def by_hl7(text):
    """MSA-1, MSA-2, and ERR as a list of fields."""
    message = hl7.parse(text)
    msa = message.segment("MSA")
    err = [str(field) for field in message.segment("ERR")] if hl7_has(message, "ERR") else []
    control = str(msa[2]) if len(msa) > 2 else ""
    return {"code": str(msa[1]), "control_id": control, "err": err, "version": str(message.segment("MSH")[12])}


def hl7_has(message, name):
    return any(str(segment[0]) == name for segment in message)


def parsed(text, level):
    """Of MSH-9.3 it takes the structure; before 2.3.1 there is none, so that it must be told."""
    characters, structure, version = get_message_info(text)
    if structure:
        return parse_message(text, validation_level=level)
    message = Message("ACK", version=version, validation_level=level, encoding_chars=characters)
    message.children = parse_segments(text, version=version, encoding_chars=characters, validation_level=level)
    return message


def by_hl7apy(text, level):
    message = parsed(text, level)
    message.validate()
    names = [child.name for child in message.children]
    msa = message.msa
    return {"name": message.name, "segments": names, "code": msa.msa_1.value, "control_id": msa.msa_2.value}


def told(call):
    try:
        return call()
    except Exception as fault:  # what a library raises is what is to be told
        return f"{type(fault).__name__}: {fault}"


for line in sys.stdin:
    text = json.loads(line)
    strict = told(lambda: by_hl7apy(text, VALIDATION_LEVEL.STRICT))
    tolerant = told(lambda: by_hl7apy(text, VALIDATION_LEVEL.TOLERANT))
    print(json.dumps({"hl7": told(lambda: by_hl7(text)), "strict": strict, "tolerant": tolerant}), flush=True)
