"""Sends messages that PyPI hl7apy built, one by one and all at once, and reads the answers with it in strict mode.
It has no client of its own, so that the socket is ours. Arguments: port, number of messages. Prints JSON."""

import json
import socket
import sys

from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.core import Message
from hl7apy.parser import parse_message

port, count = int(sys.argv[1]), int(sys.argv[2])


def message(control_id):
    built = Message("ORU_R01", version="2.5.1", validation_level=VALIDATION_LEVEL.STRICT)
    built.msh.msh_3, built.msh.msh_4 = "HL7APY", "NORTH"
    built.msh.msh_9, built.msh.msh_10, built.msh.msh_11 = "ORU^R01^ORU_R01", control_id, "P"
    result = built.add_group("ORU_R01_PATIENT_RESULT")
    patient = result.add_group("ORU_R01_PATIENT")
    patient.add_segment("PID")
    patient.pid.pid_3, patient.pid.pid_5 = "7700001^^^NORTH^MR", "Name^Patient"
    order = result.add_group("ORU_R01_ORDER_OBSERVATION")
    order.add_segment("OBR")
    order.obr.obr_4 = "99504-3^Glucose^LN"
    observation = order.add_group("ORU_R01_OBSERVATION")
    observation.add_segment("OBX")
    obx = observation.obx
    obx.obx_1, obx.obx_2, obx.obx_3 = "1", "NM", "160212^MDC_CONC_GLU_ISF^MDC"
    obx.obx_5, obx.obx_6, obx.obx_11, obx.obx_14 = "100", "mg/dL", "F", "20260302001000+0000"
    built.validate()
    return built.to_mllp().encode()


def answers(stream, number):
    """So many answers, parsed and validated."""
    for _ in range(number):
        frame = b""
        while not frame.endswith(b"\x1c\r"):
            byte = stream.read(1)
            if not byte:
                raise SystemExit("the connection ended without an answer")
            frame += byte
        answer = parse_message(frame[1:-2].decode(), validation_level=VALIDATION_LEVEL.STRICT)
        answer.validate()
        yield [answer.msa.msa_1.value, answer.msa.msa_2.value]


with socket.create_connection(("127.0.0.1", port), timeout=30) as connection, connection.makefile("rb") as stream:
    one_by_one = []
    for n in range(count):
        connection.sendall(message(f"A{n}"))
        one_by_one += answers(stream, 1)
    connection.sendall(b"".join(message(f"Q{n}") for n in range(count)))
    print(json.dumps({"one_by_one": one_by_one, "pipelined": list(answers(stream, count))}))
