"""Every request ends: in an answer, a refusal, or "could not tell"; never in more bytes or tries than allowed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from participant import client as module
from participant.client import Coordinator, Refusal, connect
from protocol.encoding import encode
from protocol.errors import CommitmentMismatchError, EncodingError, LengthError, PolicyError, UnavailableError
from protocol.hashing import sha256
from tests.unit.participant_world import ADDRESS, receipt

Answer = tuple[int, bytes]


@contextmanager
def serving(*answers: Answer) -> Iterator[tuple[Coordinator, list[str]]]:
    """A real HTTP server on this machine that gives these answers, the last one for ever; and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            status, body = answers[min(len(asked), len(answers) - 1)]
            asked.append(f"{self.command} {self.path}")
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        with connect(f"http://127.0.0.1:{server.server_port}") as coordinator:
            yield coordinator, asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0.001)


def test_a_receipt_comes_back_as_it_was_sent() -> None:
    made, signature = receipt(bytes(32))
    body = encode({"receipt": made.to_map(), "signature": signature})
    with serving((200, body)) as (coordinator, asked):
        assert coordinator.submit(1, ADDRESS, b"sealed") == (made, signature)
    assert asked == [f"POST /v1/rounds/1/updates/{ADDRESS.hex()}"]


def test_a_refusal_is_an_answer_and_is_not_tried_again() -> None:
    body = encode({"error": "TooLate", "message": "submission: expected at most 5, got 6", "reason": 0})
    with serving((409, body)) as (coordinator, asked):
        answer = coordinator.submit(1, ADDRESS, b"sealed")
    assert answer == Refusal(message="submission: expected at most 5, got 6", reason=0)
    assert len(asked) == 1


def test_a_server_that_fails_is_asked_again_and_then_given_up() -> None:
    with serving((503, b""), (500, b""), (200, b"\x01")) as (coordinator, asked):
        assert coordinator.blob(sha256(b"\x01"), 10) == b"\x01"
        assert len(asked) == 3
    with serving((503, b"")) as (coordinator, asked):
        with pytest.raises(UnavailableError, match=r"does not answer \(status 503\)"):
            coordinator.charter()
        assert len(asked) == module.TRIES


def test_nobody_listening_is_could_not_tell() -> None:
    with connect("http://127.0.0.1:9") as coordinator, pytest.raises(UnavailableError, match="is it running there"):
        coordinator.charter()


def test_a_stopped_participant_does_not_wait_for_further_tries() -> None:
    stop = threading.Event()
    stop.set()
    with connect("http://127.0.0.1:9", stop=stop) as coordinator, pytest.raises(UnavailableError):
        coordinator.charter()


def test_no_pause_between_two_tries_is_longer_than_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 10.0)
    pauses_s: list[float] = []

    class Recorder:
        def is_set(self) -> bool:
            return False

        def wait(self, timeout: float) -> bool:
            pauses_s.append(timeout)
            return False

    coordinator = Coordinator("http://127.0.0.1:9", stop=Recorder())
    coordinator.end_within(0.5)
    with pytest.raises(UnavailableError, match="does not answer"):
        coordinator.evidence(1)
    assert pauses_s
    assert max(pauses_s) <= 0.5


def test_a_blob_with_other_bytes_is_refused() -> None:
    with serving((200, b"other")) as (coordinator, _), pytest.raises(CommitmentMismatchError):
        coordinator.blob(sha256(b"model"), 100)


def test_an_answer_that_is_longer_than_it_can_be_is_not_read_to_its_end() -> None:
    with serving((200, bytes(1000))) as (coordinator, _), pytest.raises(LengthError, match="at most 10"):
        coordinator.blob(sha256(b"model"), 10)


def test_an_answer_that_is_not_cbor_is_malformed() -> None:
    with serving((200, b"<html>")) as (coordinator, _), pytest.raises(EncodingError):
        coordinator.submit(1, ADDRESS, b"sealed")


def test_something_missing_is_could_not_tell() -> None:
    with serving((404, b"")) as (coordinator, _), pytest.raises(UnavailableError, match="answered 404"):
        coordinator.evidence(1)


@pytest.mark.parametrize("url", ["http://example.org", "ftp://127.0.0.1", "127.0.0.1:80"])
def test_plain_http_to_another_machine_is_refused(url: str) -> None:
    with pytest.raises(PolicyError, match="an https:// address"):
        Coordinator(url)


def test_a_ca_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="can't be read"):
        Coordinator("https://localhost", ca=tmp_path / "none.pem")
