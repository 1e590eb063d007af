"""A receiver of PyPI hl7apy, which closes after each answer. Prints its port, then each message it was handed; ends
with its standard input."""

import json
import sys
import threading

from hl7apy.core import Message
from hl7apy.mllp import AbstractErrorHandler, AbstractHandler, MLLPServer
from hl7apy.parser import parse_message


def acknowledge(message, code):
    """An answer that the library builds."""
    incoming = parse_message(message, find_groups=False)
    ack = Message("ACK", version="2.5.1")
    ack.msh.msh_9, ack.msh.msh_10, ack.msh.msh_11 = "ACK^R01^ACK", "1", "P"
    ack.add_segment("MSA")
    ack.msa.msa_1, ack.msa.msa_2 = code, incoming.msh.msh_10.value
    return ack.to_mllp()


class Results(AbstractHandler):
    def reply(self):
        print(json.dumps({"received": self.incoming_message}), flush=True)
        return acknowledge(self.incoming_message, "AA")


class Others(AbstractErrorHandler):
    def reply(self):
        print(json.dumps({"refused": str(self.exc)}), flush=True)
        return acknowledge(self.incoming_message, "AR")


server = MLLPServer("127.0.0.1", 0, {"ORU^R01^ORU_R01": (Results,), "ERR": (Others,)})
print(json.dumps({"port": server.server_address[1]}), flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
server.shutdown()
