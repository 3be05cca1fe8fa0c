"""The CBOR of documents has one form for each value; each test writes one in another."""

from __future__ import annotations

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.attestation.cbor import MAX_DEPTH, parse_cbor
from protocol.errors import LengthError, MalformedError

VALUES = st.recursive(
    st.none() | st.integers(-(1 << 64), (1 << 64) - 1) | st.binary(max_size=300) | st.text(max_size=300),
    lambda inner: (
        st.lists(inner, max_size=30) | st.dictionaries(st.integers(-9, 300) | st.text(max_size=9), inner, max_size=30)
    ),
    max_leaves=20,
)


def depth(value: object) -> int:
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


@given(VALUES.filter(lambda value: depth(value) <= MAX_DEPTH))
def test_a_value_is_itself(value: object) -> None:
    assert parse_cbor(cbor2.dumps(value), "document") == value


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ("9fff", []),
        ("9f0102ff", [1, 2]),
        ("bfff", {}),
        ("bf0102617af6ff", {1: 2, "z": None}),
        ("bf009fbf01a0ffffff", {0: [{1: {}}]}),
    ],
)
def test_arrays_and_maps_may_be_of_indefinite_length(data: str, value: object) -> None:
    assert parse_cbor(bytes.fromhex(data), "document") == value


@pytest.mark.parametrize(
    ("data", "match"),
    [
        ("", "end of the document"),
        ("1800", "in more bytes than it takes"),
        ("1817", "in more bytes than it takes"),
        ("190017", "in more bytes than it takes"),
        ("1900ff", "in more bytes than it takes"),
        ("1a0000ffff", "in more bytes than it takes"),
        ("1b00000000ffffffff", "in more bytes than it takes"),
        ("3817", "in more bytes than it takes"),
        ("580161", "in more bytes than it takes"),
        ("780161", "in more bytes than it takes"),
        ("980101", "in more bytes than it takes"),
        ("b8010101", "in more bytes than it takes"),
        ("1c", "is reserved"),
        ("1d", "is reserved"),
        ("1e", "is reserved"),
        ("5c", "is reserved"),
        ("7d", "is reserved"),
        ("9e", "is reserved"),
        ("bc", "is reserved"),
        ("1f", "kind of a value"),
        ("3f", "kind of a value"),
        ("ff", "kind of a value"),
        ("5f4161ff", "string in pieces"),
        ("7f6161ff", "string in pieces"),
        ("a201020103", "key in the document that is there twice"),
        ("a2616101616102", "key in the document that is there twice"),
        ("bf01020103ff", "key in the document that is there twice"),
        ("a14161f6", "key in the document: expected a number or a text"),
        ("a1f6f6", "key in the document: expected a number or a text"),
        ("a1a0f6", "key in the document: expected a number or a text"),
        ("f4", "kind of a value"),
        ("f5", "kind of a value"),
        ("f7", "kind of a value"),
        ("f820", "kind of a value"),
        ("f97c00", "kind of a value"),
        ("c000", "kind of a value"),
        ("d28440a04040", "kind of a value"),
        ("61ff", "text in the document"),
        ("62c328", "text in the document"),
        ("0000", "bytes behind the document"),
        ("8100f6", "bytes behind the document"),
        ("8181818181818100", "depth of the document"),
        ("9f9f9f9f9fff", "depth of the document"),
        ("19", "length of a value"),
        ("430102", "length of a value"),
        ("5affffffff", "length of a value"),
        ("5bffffffffffffffff", "length of a value"),
        ("9bffffffffffffffff", "number of values"),
        ("bbffffffffffffffff", "number of values"),
        ("9affffffff00", "number of values"),
        ("8201", "number of values"),
        ("9f01", "end of the document"),
        ("bf01", "end of the document"),
        ("bf01ff", "kind of a value"),
        ("a101", "end of the document"),
    ],
)
def test_a_value_in_another_form_is_refused(data: str, match: str) -> None:
    with pytest.raises(MalformedError, match=match):
        parse_cbor(bytes.fromhex(data), "document")


def test_a_length_that_is_not_there_allocates_nothing() -> None:
    with pytest.raises(LengthError, match="length of a value in the document: expected 18446744073709551615, got 3"):
        parse_cbor(bytes.fromhex("5bffffffffffffffff") + b"abc", "document")


@given(st.binary(max_size=100))
def test_any_bytes_are_a_value_or_malformed(data: bytes) -> None:
    try:
        value = parse_cbor(data, "document")
    except MalformedError:
        return
    assert cbor2.loads(data) == value
