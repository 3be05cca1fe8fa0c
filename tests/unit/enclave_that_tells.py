"""An enclave for the platform's tests: it tells what it sees, and passes requests on to the platform.

Copied as `coordinator/enclave/__main__.py` into a tree of the test's own.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import sys
import threading
from collections.abc import Callable
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


def tried(call: Callable[[], object]) -> str:
    """Name of the error that the kernel answered with, or what came instead."""
    try:
        return str(call())
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def libc_call(name: str, *arguments: object) -> object:
    result = getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments)
    if result == -1:
        raise OSError(ctypes.get_errno(), name)
    return result


def attempts() -> dict[str, str]:
    """What code in the enclave would try if it wanted out."""
    here = os.path.dirname(os.path.dirname(str(sys.modules["protocol"].__file__)))  # noqa: PTH120
    read_end, write_end = os.pipe()
    out = {
        "socket": tried(lambda: socket.socket(socket.AF_INET)),
        "socket of this machine": tried(lambda: socket.socket(socket.AF_UNIX)),
        "connect": tried(lambda: libc_call("connect", 3, b"\1\0/x", 4)),
        "fork": tried(os.fork),
        "program": tried(lambda: os.execv(sys.executable, [sys.executable])),  # noqa: S606
        "file": tried(lambda: os.open(f"{here}/new", os.O_WRONLY | os.O_CREAT)),
        "file for reading and writing": tried(lambda: os.open("/dev/null", os.O_RDWR)),
        "removed file": tried(lambda: os.unlink(f"{here}/protocol/hashing.py")),  # noqa: PTH108
        "debugger": tried(lambda: libc_call("ptrace", 16, os.getppid(), None, None)),
        "mount": tried(lambda: libc_call("mount", b"none", b"/", None, 0, None)),
        "namespace": tried(lambda: libc_call("unshare", 0x10000000)),
        "signal": tried(lambda: os.kill(os.getppid(), 0)),
        "new name of a call for a process": tried(lambda: libc_call("syscall", 435, None, 0)),
        "new name of a call for a file": tried(lambda: libc_call("syscall", 437, -1, b"/dev/null", None, 0)),
        "ring of calls": tried(lambda: libc_call("syscall", 425, 1, None)),
        "file for reading": tried(lambda: os.close(os.open("/dev/null", os.O_RDONLY))),
    }
    thread = threading.Thread(target=os.write, args=(write_end, b"ran"))
    thread.start()
    thread.join()
    out["thread"] = os.read(read_end, 3).decode()
    os.close(read_end)
    os.close(write_end)
    return out


def main(protections: int) -> None:
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
                "protections": int(protections),
                "path": list(sys.path),
                "importable": [name for name in request["modules"] if is_importable(name)],
            }
        elif request["op"] == "platform":
            control.sendall(encode_frame(request["request"]))
            answer = read(control)
        elif request["op"] == "flood":
            control.sendall(b"\xff" * 16)
            answer = {"error": "closed"} if read(control) is None else {}
        elif request["op"] == "try":
            answer = attempts()
        elif request["op"] == "import":
            __import__(request["module"])
        door.sendall(encode_frame(answer or {}))
