"""The HTTP face alone: what is read of a body, who is let in, and which status an error gets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from coordinator.app import STATUS, UploadGate, create_app, parse_round, status_of
from coordinator.door import Admitted, UpdateRefusedError
from protocol.encoding import decode_map
from protocol.errors import (
    EncodingError,
    LengthError,
    MalformedError,
    NotInCohortError,
    PolicyError,
    RoundError,
    SignatureError,
    TooLateError,
    UnavailableError,
)
from protocol.messages import Receipt
from protocol.outcomes import Reason

LIMIT = 100
SENDER = "0x" + "ab" * 20
PATH = f"/v1/rounds/7/updates/{SENDER}"
CHECKPOINTS, MEMBER = "/v1/rounds/7/checkpoints", b"m" * 20
ADMITTED = Admitted(
    receipt=Receipt(federation=bytes(32), round_id=7, slot=1, update=b"u" * 32, enclave=bytes(32)),
    signature=b"s" * 65,
    slot=1,
)


@dataclass
class ServiceThatCounts:
    """Stands for the service: takes every update, or raises what it is told to."""

    error: Exception | None = None
    before: Exception | None = None
    taken: list[bytes] = field(default_factory=list)
    sealed_bytes: int = LIMIT

    def check_upload(self, round_id: int, participant: bytes) -> int:
        if self.before is not None:
            raise self.before
        return 1

    def upload(self, round_id: int, participant: bytes, sealed: bytes) -> Admitted:
        if self.error is not None:
            raise self.error
        self.taken.append(sealed)
        return ADMITTED

    def take_checkpoint(self, round_id: int, body: bytes) -> bytes:
        if self.error is not None:
            raise self.error
        self.taken.append(body)
        return MEMBER


Receive = Callable[[], Awaitable[dict[str, Any]]]


def body_of(*chunks: bytes, then: str = "end") -> tuple[Receive, list[int]]:
    """An ASGI body in chunks, and how many of them were asked for; then its end, silence, or a hang-up."""
    asked: list[int] = []

    async def receive() -> dict[str, Any]:
        index = len(asked)
        asked.append(index)
        if index < len(chunks):
            more = index + 1 < len(chunks) or then != "end"
            return {"type": "http.request", "body": chunks[index], "more_body": more}
        if then == "silence":
            await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    return receive, asked


def post(
    service: ServiceThatCounts, receive: Receive, *, path: str = PATH, length: int | None = None, upload_s: float = 5
) -> tuple[int, dict[str, Any]]:
    """Status and reply of one upload, straight into the application."""
    app = create_app(service, uploads=2, upload_s=upload_s)  # type: ignore[arg-type]
    headers = [] if length is None else [(b"content-length", str(length).encode())]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 4000),
        "server": ("127.0.0.1", 8443),
    }
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(dict(message))

    asyncio.run(app(scope, receive, send))
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], decode_map(body, max_bytes=1 << 16)


def test_an_update_of_the_largest_size_is_taken_whole() -> None:
    service = ServiceThatCounts()
    receive, _ = body_of(b"a" * 60, b"b" * 40)
    status, reply = post(service, receive, length=LIMIT)
    assert (status, reply["receipt"], reply["signature"]) == (200, ADMITTED.receipt.to_map(), ADMITTED.signature)
    assert service.taken == [b"a" * 60 + b"b" * 40]


def test_an_announced_length_over_the_limit_is_refused_before_any_byte_is_read() -> None:
    service = ServiceThatCounts()
    receive, asked = body_of(b"a" * 101)
    status, reply = post(service, receive, length=101)
    assert (status, reply["error"], asked, service.taken) == (413, "TooLarge", [], [])
    assert "expected at most 100, got 101" in reply["message"]


def test_an_unannounced_body_is_cut_at_the_first_chunk_over_the_limit() -> None:
    service = ServiceThatCounts()
    receive, asked = body_of(*[b"a" * 30] * 50)
    status, reply = post(service, receive)
    assert (status, reply["error"], len(asked), service.taken) == (413, "TooLarge", 4, [])


def test_a_body_that_does_not_come_is_not_waited_for_longer_than_allowed() -> None:
    receive, _ = body_of(b"a", then="silence")
    status, reply = post(ServiceThatCounts(), receive, upload_s=0.05)
    assert (status, reply["error"]) == (408, "TooSlow")


def test_a_sender_that_hangs_up_in_the_middle_has_sent_nothing() -> None:
    service = ServiceThatCounts()
    receive, _ = body_of(b"a" * 10, then="hang-up")
    status, reply = post(service, receive, length=50)
    assert (status, service.taken) == (400, [])
    assert "expected 50, got 10" in reply["message"]


def test_a_stranger_is_refused_before_any_byte_is_read() -> None:
    service = ServiceThatCounts(before=NotInCohortError("sender", expected="the cohort", actual=SENDER))
    receive, asked = body_of(b"a")
    assert post(service, receive)[0] == 409
    assert asked == []


def test_a_checkpoint_is_taken_from_anybody_and_says_whose_it_is() -> None:
    service = ServiceThatCounts(before=TooLateError("an update"))
    status, reply = post(service, body_of(b"a", b"b")[0], path=CHECKPOINTS)
    assert (status, reply, service.taken) == (200, {"member": MEMBER}, [b"ab"])


def test_a_checkpoint_that_is_longer_than_any_is_cut() -> None:
    service = ServiceThatCounts()
    receive, asked = body_of(*[bytes(300)] * 50)
    status, reply = post(service, receive, path=CHECKPOINTS)
    assert (status, reply["error"], len(asked), service.taken) == (413, "TooLarge", 2, [])
    assert "length of a checkpoint in bytes: expected at most 512" in reply["message"]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/v1/rounds/07/checkpoints", "expected a decimal uint64, got 07"),
        ("/v1/rounds/07/updates/" + SENDER, "expected a decimal uint64, got 07"),
        ("/v1/rounds/-1/updates/" + SENDER, "expected a decimal uint64, got -1"),
        ("/v1/rounds/7/updates/0xabc", "expected 0x and 40 hexadecimal digits, got 0xabc"),
    ],
)
def test_a_path_that_names_no_round_or_no_address_is_malformed(path: str, says: str) -> None:
    status, reply = post(ServiceThatCounts(), body_of(b"a")[0], path=path)
    assert (status, reply["error"]) == (400, "Encoding")
    assert says in reply["message"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MalformedError("m"), (400, "Malformed", 0)),
        (SignatureError("s"), (403, "Signature", 0)),
        (PolicyError("p"), (403, "Policy", 0)),
        (TooLateError("t"), (409, "TooLate", 0)),
        (UnavailableError("u"), (503, "Unavailable", 0)),
        (OSError("disk"), (503, "OS", 0)),
        (UpdateRefusedError(Reason.NORM, PolicyError("norm")), (403, "Policy", 6)),
        (UpdateRefusedError(Reason.LENGTH, LengthError("length")), (400, "Length", 4)),
    ],
)
def test_the_status_follows_from_the_branch(error: Exception, expected: tuple[int, str, int]) -> None:
    status, reply = post(ServiceThatCounts(error=error), body_of(b"a")[0])
    assert (status, reply["error"], reply["reason"]) == expected


def test_an_error_of_the_disk_tells_nothing_of_it() -> None:
    _, reply = post(ServiceThatCounts(error=OSError("/secret/path is full")), body_of(b"a")[0])
    assert reply["message"] == "could not tell"


def test_every_branch_has_a_status_and_the_leaves_come_before_their_branch() -> None:
    kinds = [kind for kind, _ in STATUS]
    for index, kind in enumerate(kinds):
        assert not any(issubclass(later, kind) for later in kinds[index + 1 :])
    assert status_of(RoundError("r")) == 409
    assert status_of(ZeroDivisionError()) == 500


def test_one_sender_has_one_upload_in_flight_and_others_are_let_in() -> None:
    async def scenario() -> list[str]:
        gate, seen = UploadGate(2), []
        async with gate.enter("1.2.3.4", "a"):
            try:
                async with gate.enter("1.2.3.4", "a"):
                    seen.append("a twice")
            except RoundError as error:
                seen.append(str(error))
            async with gate.enter("5.6.7.8", "b"):
                seen.append("b")
        async with gate.enter("1.2.3.4", "a"):
            seen.append("a again")
        return seen

    refused = "uploads in flight of one sender: expected 1 at a time, got a second one"
    assert asyncio.run(scenario()) == [refused, "b", "a again"]


def test_a_round_in_a_path_has_one_form() -> None:
    assert parse_round(str(2**64 - 1)) == 2**64 - 1
    for text in ("", "00", "1.0", "²", str(2**64), "9" * 5000):
        with pytest.raises(EncodingError):
            parse_round(text)
