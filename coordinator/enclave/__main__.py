"""The enclave's process: one door to the host, one line to the platform, nothing else.

Responsible for: moving frames between the two inherited sockets and the session.
Must not know:   files, network, arguments, environment.

`coordinator.enclave.loader` is what runs first; it calls `main`.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

from coordinator.enclave.identity import parse_launch
from coordinator.enclave.session import Session
from protocol.attestation.protections import Protection, describe
from protocol.encoding import Fields
from protocol.errors import VerificationError, VeriflockError
from protocol.framing import HEADER_BYTES, encode_frame, parse_body, parse_header

DOOR_FD, PLATFORM_FD = 3, 4
PLATFORM_TIMEOUT_S = 60.0
STORE_TIMEOUT_S = 120.0
"""A host that takes longer to make a few kilobytes durable is not there any more."""


class Line:
    """Frames over one socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def send(self, message: dict[str, Any]) -> None:
        """One frame."""
        self._socket.sendall(encode_frame(message))

    def receive(self, timeout_s: float | None) -> dict[str, Any] | None:
        """The next frame; None when the other end has closed between two frames."""
        self._socket.settimeout(timeout_s)
        header = self._read(HEADER_BYTES)
        if header is None:
            return None
        body = self._read(parse_header(header))
        if body is None:
            raise EOFError("the other end closed inside a frame")
        self._socket.settimeout(None)
        return parse_body(body)

    def _read(self, count: int) -> bytes | None:
        parts, left = [], count
        while left:
            part = self._socket.recv(min(left, 1 << 20))
            if not part:
                if left == count:
                    return None
                raise EOFError("the other end closed inside a frame")
            parts.append(part)
            left -= len(part)
        return b"".join(parts)


class PlatformLine:
    """The platform's three services."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def quote(self, report_data: bytes) -> bytes:
        """Evidence for 64 bytes of report data."""
        return self._ask({"op": "quote", "report_data": report_data}).bytes("quote")

    def key(self, purpose: str) -> bytes:
        """A key (32 bytes) that only this measurement on this platform gets."""
        return self._ask({"op": "key", "purpose": purpose}).bytes("key", 32)

    def advance(self, *, version: int, previous: bytes, state: bytes) -> None:
        """Counts sealed state up; raises EOFError where it does not follow, since somebody else has gone on then."""
        try:
            reply = self._ask({"op": "advance", "version": version, "previous": previous, "state": state})
            counted = reply.uint("version")
            reply.done()
        except VeriflockError as error:
            raise EOFError("the platform's counter is not where this enclave left it") from error
        if counted != version:
            raise EOFError(f"the platform counted version {counted}, and not {version}")

    def _ask(self, request: dict[str, Any]) -> Fields:
        self._line.send(request)
        reply = self._line.receive(PLATFORM_TIMEOUT_S)
        if reply is None or "error" in reply:
            raise VerificationError("the platform refused", actual=reply)
        return Fields(reply, "reply of the platform")


class HostDisk:
    """Where sealed state is kept: with the host, through the door."""

    def __init__(self, door: Line) -> None:
        self._door = door

    def store(self, name: str, blob: bytes) -> None:
        """Returns when the host said that the blob is durable.  Raises EOFError or OSError where it said anything else.

        Never an error of ours: that could become a reply, and the enclave would live on with what is not durable.
        """
        self._door.send({"op": "store", "name": name, "blob": blob})
        try:
            reply = self._door.receive(STORE_TIMEOUT_S)
        except VeriflockError as error:
            raise EOFError("the host's answer to a store is no frame") from error
        if reply != {"op": "stored", "name": name}:
            raise EOFError("the host did not say that sealed state is durable")


def main(protections: Protection) -> None:
    """Serves the door until the host closes it.

    protections: what this process was found to be shut off from.
    """
    missing = describe(protections)[1]
    if missing:
        print(f"enclave: this system does not allow: {', '.join(missing)}", file=sys.stderr, flush=True)
    try:
        _serve(protections)
    except (EOFError, OSError):
        raise SystemExit(1) from None


def _serve(protections: Protection) -> None:
    door, platform = (Line(socket.socket(fileno=fd)) for fd in (DOOR_FD, PLATFORM_FD))
    launch = platform.receive(PLATFORM_TIMEOUT_S)
    if launch is None:
        return

    session = Session(
        parse_launch(launch), platform=PlatformLine(platform), store=HostDisk(door).store, protections=protections
    )
    while (request := door.receive(None)) is not None:
        door.send(session.handle(request))
