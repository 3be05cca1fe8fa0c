"""An enclave for the platform's tests: it tells what it sees, and passes requests on to the platform.

Copied as `coordinator/enclave/__main__.py` into a tree of the test's own.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

from protocol.framing import encode_frame, parse_body, parse_header


def read(connection: socket.socket) -> dict[str, Any] | None:
    header = connection.recv(4, socket.MSG_WAITALL)
    return parse_body(connection.recv(parse_header(header), socket.MSG_WAITALL)) if header else None


def is_importable(name: str) -> bool:
    try:
        __import__(name)
    except ImportError:
        return False
    return True


def main() -> None:
    door, control = socket.socket(fileno=3), socket.socket(fileno=4)
    launch = read(control)
    while (request := read(door)) is not None:
        answer: dict[str, Any] | None = {}
        if request["op"] == "look":
            descriptors = [int(name) for name in os.listdir("/proc/self/fd")]  # noqa: PTH208
            answer = {
                "launch": launch,
                "pid": os.getpid(),
                "environment": sorted(os.environ),
                "descriptors": sorted(number for number in descriptors if os.path.exists(f"/proc/self/fd/{number}")),  # noqa: PTH110
                "module": str(sys.modules["protocol"].__file__),
                "arguments": sys.argv,
                "blocking": door.getblocking(),
                "importable": [name for name in request["modules"] if is_importable(name)],
            }
        elif request["op"] == "platform":
            control.sendall(encode_frame(request["request"]))
            answer = read(control)
        elif request["op"] == "flood":
            control.sendall(b"\xff" * 16)
            answer = {"error": "closed"} if read(control) is None else {}
        door.sendall(encode_frame(answer or {}))


main()
