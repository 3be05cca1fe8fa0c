"""The host's end of the door against an enclave that is a few lines of test."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from coordinator.door import Door, DoorClosedError, EnclaveFaultError, UpdateRefusedError
from protocol.errors import AlreadyReceivedError, LengthError, PolicyError, UnavailableError
from protocol.framing import HEADER_BYTES, encode_frame, parse_body, parse_header
from protocol.outcomes import Reason

LAUNCH = {"charter": b"{}", "fresh": True}
Script = Callable[["Peer"], None]


class Peer:
    """The enclave's end."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    def receive(self) -> dict[str, Any]:
        return parse_body(self._read(parse_header(self._read(HEADER_BYTES))))

    def send(self, message: dict[str, Any]) -> None:
        self.connection.sendall(encode_frame(message))

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.connection.recv(count - len(data))
            if not part:
                raise EOFError
            data += part
        return data


@contextmanager
def door(folder: Path, script: Script, *, timeout_s: float = 5, stored: list[str] | None = None) -> Iterator[Door]:
    """A door whose other end follows a script after the launch frame."""
    path = folder / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(1)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(10)
                peer = Peer(connection)
                assert peer.receive() == LAUNCH
                script(peer)

        thread = threading.Thread(target=serve)
        thread.start()
        opened = Door(
            path,
            LAUNCH,
            timeout_s=timeout_s,
            store=lambda name, blob: (stored if stored is not None else []).append(name),
        )
        try:
            yield opened
        finally:
            opened.close()
            thread.join(10)


def answering(*messages: dict[str, Any]) -> Script:
    """Takes one request and sends these messages."""

    def script(peer: Peer) -> None:
        peer.receive()
        for message in messages:
            peer.send(message)

    return script


def test_what_the_enclave_wants_stored_is_stored_and_acknowledged_before_it_answers(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    stored: list[str] = []

    def script(peer: Peer) -> None:
        seen.append(peer.receive())
        for name in ("keys", "round"):
            peer.send({"op": "store", "name": name, "blob": b"sealed"})
            seen.append(peer.receive())
            assert stored[-1] == name
        peer.send({})

    with door(tmp_path, script, stored=stored) as opened:
        opened.finish(3)
    assert seen == [
        {"op": "finish", "round": 3},
        {"op": "stored", "name": "keys"},
        {"op": "stored", "name": "round"},
    ]


def test_an_error_of_the_enclave_names_the_request_and_leaves_the_door_open(tmp_path: Path) -> None:
    def script(peer: Peer) -> None:
        peer.receive()
        peer.send({"error": "SpecMismatch", "message": "slot fed again: expected one of [], got 1"})
        peer.receive()
        peer.send({})

    with door(tmp_path, script) as opened:
        with pytest.raises(EnclaveFaultError, match="refused 'restore': SpecMismatch: slot fed again"):
            opened.restore(1, b"sealed")
        opened.finish(1)


@pytest.mark.parametrize(
    ("reason", "kind"),
    [(Reason.NONE, AlreadyReceivedError), (Reason.LENGTH, LengthError), (Reason.NORM, PolicyError)],
)
def test_a_refusal_becomes_the_error_of_its_branch(tmp_path: Path, reason: Reason, kind: type[Exception]) -> None:
    reply = {"refused": "it: expected a, got b", "reason": int(reason), "expected": "a", "actual": "b"}
    with door(tmp_path, answering(reply)) as opened, pytest.raises(UpdateRefusedError, match="expected a") as caught:
        opened.submit(bytes(20), b"sealed")
    assert type(caught.value.cause) is kind
    assert caught.value.reason is reason


def test_an_enclave_that_says_nothing_is_waited_for_so_long(tmp_path: Path) -> None:
    hold = threading.Event()

    def script(peer: Peer) -> None:
        peer.receive()
        hold.wait(10)

    with door(tmp_path, script, timeout_s=0.2) as opened:
        with pytest.raises(DoorClosedError, match=r"did not answer 'finish' \(too slow\)"):
            opened.finish(1)
        hold.set()


def test_an_enclave_that_keeps_storing_does_not_stretch_the_deadline(tmp_path: Path) -> None:
    def script(peer: Peer) -> None:
        peer.receive()
        try:
            while True:
                peer.send({"op": "store", "name": "round", "blob": b""})
                peer.receive()
        except (EOFError, OSError):
            return

    with door(tmp_path, script, timeout_s=0.3) as opened, pytest.raises(DoorClosedError, match="too slow"):
        opened.finish(1)


def test_a_door_that_closes_in_the_middle_of_a_frame_is_closed(tmp_path: Path) -> None:
    def script(peer: Peer) -> None:
        peer.receive()
        peer.connection.sendall(encode_frame({"op": "x"})[:-1])

    with door(tmp_path, script) as opened, pytest.raises(DoorClosedError, match="the other end closed"):
        opened.finish(1)


def test_a_frame_over_the_cap_is_refused_unread(tmp_path: Path) -> None:
    def script(peer: Peer) -> None:
        peer.receive()
        peer.connection.sendall(b"\xff\xff\xff\xff")

    with door(tmp_path, script) as opened, pytest.raises(DoorClosedError, match="length of a frame"):
        opened.finish(1)


def test_no_platform_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"no platform listens on .*; start `veriflock platform serve`"):
        Door(tmp_path / "nowhere", LAUNCH, timeout_s=1, store=lambda name, blob: None)
