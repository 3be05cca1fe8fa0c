"""Events: the same names, types and topics as in the compiled contracts; one accepted encoding."""

import dataclasses
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode

from contracts import artifact
from protocol import events as e
from protocol.errors import EncodingError, UnknownNameError
from protocol.hashing import keccak256
from protocol.platforms import Tcb, TcbRating

INHERITED = {"EIP712DomainChanged"}
"""OpenZeppelin's; an immutable contract never emits it."""


def canonical(item: dict[str, Any]) -> str:
    if not item["type"].startswith("tuple"):
        return str(item["type"])
    return f"({','.join(map(canonical, item['components']))}){item['type'][5:]}"


@pytest.mark.parametrize("contract", e.CONTRACTS)
def test_every_event_of_the_compiled_contract_is_known_by_its_topic(contract: str) -> None:
    compiled = {item["name"]: item["inputs"] for item in artifact(contract)["abi"] if item["type"] == "event"}
    known = {kind.__name__: kind for kind in e.EVENTS[contract]}
    assert set(compiled) - INHERITED == set(known)
    for name, kind in known.items():
        signature = f"{name}({','.join(map(canonical, compiled[name]))})"
        assert e.topic_of(kind) == keccak256(signature.encode())
        marked = [field.metadata["type"].startswith("indexed ") for field in dataclasses.fields(kind)]
        assert marked == [item["indexed"] for item in compiled[name]]


def test_an_event_is_parsed_from_its_topics_and_data() -> None:
    topics = (e.topic_of(e.AuthorityDistrusted), b"\x05" * 32)
    event = e.parse_event("Enclaves", topics, (1).to_bytes(32))
    assert event == e.AuthorityDistrusted(authority=b"\x05" * 32, simulated=True)


def test_a_struct_in_an_event_is_the_value_that_was_voted_for() -> None:
    row = Tcb(
        authority=b"\x01" * 32,
        fmspc=b"\x02" * 6,
        pce_id=b"\x03" * 2,
        cpu_svn=b"\x04" * 16,
        pce_svn=5,
        status=int(TcbRating.SW_HARDENING_NEEDED),
        expiry=6,
        collateral=b"\x07" * 32,
    )
    topics = (e.topic_of(e.TcbAccepted), row.tcb, row.authority)
    event = e.parse_event("Enclaves", topics, row.encode() + (1).to_bytes(32))
    assert event == e.TcbAccepted(tcb=row.tcb, authority=row.authority, value=row, simulated=True)


def proposed(action: int) -> bytes:
    return abi_encode(["uint8", "bytes"], [action, b""])


@pytest.mark.parametrize(
    ("topics", "data", "error"),
    [
        ((), b"", UnknownNameError),
        ((b"\x01" * 32,), b"", UnknownNameError),
        ((e.topic_of(e.Executed),), b"", EncodingError),
        ((e.topic_of(e.Executed), bytes(32)), b"\x00", EncodingError),
        ((e.topic_of(e.MemberRemoved), b"\x01" * 32), b"", EncodingError),
        ((e.topic_of(e.Proposed), bytes(32), bytes(32), bytes(32)), proposed(len(e.Action)), EncodingError),
        ((e.topic_of(e.MemberAdmitted), bytes(32)), abi_encode(["bytes"], [b"key"]) + bytes(32), EncodingError),
    ],
)
def test_any_other_spelling_is_refused(topics: tuple[bytes, ...], data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        e.parse_event("Consortium", topics, data)


def test_the_stream_starts_at_zero_and_takes_each_log_in() -> None:
    first = keccak256(bytes(32), keccak256(b"\x01" * 32, b"data"))
    assert e.stream([]) == bytes(32)
    assert e.stream([((b"\x01" * 32,), b"data")]) == first
    assert e.stream([((b"\x02" * 32, b"\x03" * 32), b"")], first) == keccak256(
        first, keccak256(b"\x02" * 32, b"\x03" * 32)
    )
