"""Sends with PyPI hl7: its blocking client, its asyncio writer with all messages before the first answer, and its
command mllp_send. Arguments: port, number of messages of each kind. Prints the answers as JSON."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile

import hl7
from hl7.client import MLLPClient
from hl7.mllp import open_hl7_connection

port, count = int(sys.argv[1]), int(sys.argv[2])


def message(control_id):
    return hl7.parse(
        "\r".join(
            [
                f"MSH|^~\\&|PYHL7|NORTH|ISTHMUS|NORTH|20260302120000||ORU^R01^ORU_R01|{control_id}|P|2.5.1"
                "||||||UNICODE UTF-8",
                "PID|1||7700001^^^NORTH^MR||Größe^日本",
                "OBR|1|||99504-3^Glucose^LN",
                "OBX|1|NM|160212^MDC_CONC_GLU_ISF^MDC||100|mg/dL|||||F|||20260302001000+0000",
            ]
        )
        + "\r"
    )


def judged(answer):
    """MSA-1 and MSA-2 as this library reads them."""
    msa = hl7.parse(answer).segment("MSA")
    return [str(msa[1]), str(msa[2])]


def blocking():
    with MLLPClient("127.0.0.1", port) as client:
        for n in range(count):
            frame = client.send_message(message(f"B{n}"))
            yield judged(frame.strip(b"\x0b\x1c\r").decode() + "\r")


async def pipelined():
    reader, writer = await open_hl7_connection("127.0.0.1", port, encoding="utf-8")
    for n in range(count):
        writer.writemessage(message(f"P{n}"))
    await writer.drain()
    answers = [judged(str(await reader.readmessage())) for _ in range(count)]
    writer.close()
    return answers


def command():
    """Its file form: messages that begin with MSH, segments on lines of their own."""
    with tempfile.NamedTemporaryFile("w", suffix=".hl7", delete=False, encoding="utf-8") as file:
        for n in range(count):
            file.write(str(message(f"C{n}")).replace("\r", "\n"))
    try:
        call = [sys.executable, "-m", "hl7.client", "--loose", "--file", file.name, "--port", str(port), "127.0.0.1"]
        told = subprocess.run(call, capture_output=True, check=True, timeout=30).stdout
    finally:
        os.unlink(file.name)
    frames = [frame for frame in told.split(b"\x1c\r") if b"MSH" in frame]
    return [judged(frame.strip(b"\x0b\n").decode()) for frame in frames]


print(json.dumps({"blocking": list(blocking()), "pipelined": asyncio.run(pipelined()), "command": command()}))
