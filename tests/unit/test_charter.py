"""A charter is one text, and every other text is refused."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from protocol import canonical_json
from protocol.charter import MAX_DIMENSION, Charter, parse_charter
from protocol.errors import MalformedError
from protocol.hashing import sha256

CHARTER = Charter(
    name="a test",
    model="small-cnn",
    dimension=6090,
    model_exponent=-24,
    dataset="digits",
    classes=10,
    offsets_q16=(0,),
    scales_q16=(4096,),
    kem=0x647A,
)
TEXT = (
    b'{"classes":10,"dataset":"digits","dimension":6090,"kem":25722,"model":"small-cnn","model_exponent":-24,'
    b'"name":"a test","offsets_q16":[0],"scales_q16":[4096],"version":1}'
)


def test_a_charter_is_this_text_and_named_by_its_hash() -> None:
    assert CHARTER.encode() == TEXT
    assert CHARTER.sha256() == sha256(TEXT)
    assert parse_charter(TEXT) == CHARTER


@pytest.mark.parametrize("field", json.loads(TEXT))
def test_a_charter_without_a_field_is_refused(field: str) -> None:
    value = {name: item for name, item in json.loads(TEXT).items() if name != field}
    with pytest.raises(MalformedError):
        parse_charter(canonical_json.encode(value))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("note", 1),
        ("version", 2),
        ("version", "1"),
        ("name", "x" * 201),
        ("name", 7),
        ("dimension", 0),
        ("dimension", MAX_DIMENSION + 1),
        ("dimension", True),
        ("dimension", -6090),
        ("model_exponent", -31),
        ("model_exponent", -7),
        ("classes", 65536),
        ("offsets_q16", []),
        ("offsets_q16", [0, 0]),
        ("offsets_q16", 0),
        ("offsets_q16", [True]),
        ("offsets_q16", ["0"]),
        ("scales_q16", [1 << 48]),
        ("kem", 5),
    ],
)
def test_a_charter_with_one_defect_is_refused(field: str, value: Any) -> None:
    with pytest.raises(MalformedError):
        parse_charter(canonical_json.encode({**json.loads(TEXT), field: value}))


@pytest.mark.parametrize("text", [TEXT + b"\n", TEXT.replace(b":", b": "), b"[]", b"", TEXT[:-1], b"\xff"])
def test_a_charter_in_another_form_is_refused(text: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_charter(text)


@pytest.mark.parametrize("field", [item.name for item in dataclasses.fields(Charter)])
def test_a_change_of_any_field_is_another_charter(field: str) -> None:
    value = getattr(CHARTER, field)
    if field == "kem":
        other: Any = 0x20
    elif isinstance(value, int):
        other = value + 1
    else:
        other = value + "x" if isinstance(value, str) else (value[0] + 1,)
    assert dataclasses.replace(CHARTER, **{field: other}).sha256() != CHARTER.sha256()
