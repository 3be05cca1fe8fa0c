"""The envelope of a round's public bytes is strict both ways."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from protocol_examples import some

from protocol import encoding
from protocol.errors import MalformedError
from protocol.evidence import MAX_BYTES, RoundEvidence, parse_evidence

EVIDENCE = RoundEvidence(
    round_id=7,
    result=some("result"),
    base=some("base"),
    set_leaves=(bytes(101), bytes(33)),
    rows=(some("row"), None),
    aggregate=some("aggregate"),
    model=some("model"),
)


@pytest.mark.parametrize("evidence", [EVIDENCE, dataclasses.replace(EVIDENCE, aggregate=None, rows=(None, None))])
def test_evidence_comes_out_as_it_went_in(evidence: RoundEvidence) -> None:
    data = evidence.encode()
    assert parse_evidence(data) == evidence
    assert parse_evidence(data).encode() == data


def test_evidence_of_256_slots_fits_the_cap() -> None:
    full = dataclasses.replace(EVIDENCE, set_leaves=(bytes(101),) * 256, rows=(some("row"),) * 256)
    assert parse_evidence(full.encode()) == full
    assert len(full.encode()) < MAX_BYTES // 3


FIELDS = ("version", "round", "result", "base", "set", "rows", "aggregate", "model")


@pytest.mark.parametrize("field", FIELDS)
def test_evidence_without_a_field_is_refused(field: str) -> None:
    value = encoding.decode_map(EVIDENCE.encode(), max_bytes=MAX_BYTES)
    assert sorted(value) == sorted(FIELDS)
    del value[field]
    with pytest.raises(MalformedError):
        parse_evidence(encoding.encode(value))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("note", 1),
        ("version", 2),
        ("round", -1),
        ("round", "7"),
        ("result", bytes(31)),
        ("base", None),
        ("set", [bytes(33)]),
        ("set", [bytes(33)] * 257),
        ("set", [bytes(33), "text"]),
        ("rows", [bytes(32)]),
        ("rows", [bytes(31), None]),
        ("rows", ["text", None]),
        ("aggregate", bytes(33)),
        ("model", None),
    ],
)
def test_evidence_with_one_defect_is_refused(field: str, value: Any) -> None:
    whole = encoding.decode_map(EVIDENCE.encode(), max_bytes=MAX_BYTES)
    with pytest.raises(MalformedError):
        parse_evidence(encoding.encode({**whole, field: value}))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xa0", bytes(MAX_BYTES + 1)])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_evidence(data)
