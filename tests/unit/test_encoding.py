"""Envelopes and canonical JSON have one form, and everything else is refused by name."""

from __future__ import annotations

import time
from typing import Any

import pytest
from protocol_examples import raw, vectors

from protocol import canonical_json, encoding, errors, framing
from protocol.encoding import Fields
from protocol.errors import EncodingError, LengthError


def from_json(value: Any) -> Any:
    if isinstance(value, dict):
        if list(value) == ["bytes"]:
            return bytes.fromhex(value["bytes"])
        return {key: from_json(item) for key, item in value.items()}
    return [from_json(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("vector", vectors("encoding/accepted.json"), ids=lambda v: v["data"])
def test_a_value_has_the_bytes_of_its_vector_both_ways(vector: dict[str, Any]) -> None:
    value, data = from_json(vector["value"]), raw(vector["data"])
    assert encoding.encode(value) == data
    assert encoding.decode(data, max_bytes=len(data)) == value


@pytest.mark.parametrize("vector", vectors("encoding/refused.json"), ids=lambda v: v["defect"])
def test_an_envelope_with_one_defect_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(getattr(errors, vector["error"])):
        encoding.decode(raw(vector["data"]), max_bytes=1 << 16)


def test_an_envelope_longer_than_the_cap_is_refused_unread() -> None:
    with pytest.raises(LengthError, match="at most 3"):
        encoding.decode(b"\xff" * 4, max_bytes=3)


def test_two_hundred_bytes_of_shared_references_cost_no_time() -> None:
    # each level refers six times to the one before: 6**16 values for a decoder that follows references
    levels = [b"\xd8\x1c\x86" + (b"\x00" if i == 0 else b"\xd8\x1d" + bytes([i - 1])) * 6 for i in range(16)]
    start = time.process_time()
    with pytest.raises(EncodingError):
        encoding.decode(b"\x90" + b"".join(levels), max_bytes=1000)
    assert time.process_time() - start < 1


@pytest.mark.parametrize("value", [1.5, {1: 2}, {b"a": 1}, (1, 2), {1, 2}, 1 << 64, -(1 << 64) - 1, object(), [0.0]])
def test_what_envelopes_do_not_have_is_not_encoded(value: object) -> None:
    with pytest.raises(EncodingError):
        encoding.encode(value)


def test_a_map_is_asked_for_and_a_list_comes() -> None:
    with pytest.raises(EncodingError, match="expected a map, got list"):
        encoding.decode_map(b"\x80", max_bytes=1)


GOOD = {"u": 7, "i": -7, "b": b"abc", "t": "text", "l": [1, 2], "m": {"x": 1}, "f": True, "n": None}


def test_fields_are_taken_each_of_its_type_and_nothing_is_left() -> None:
    fields = Fields(GOOD, "thing")
    assert (fields.uint("u", 8), fields.int("i", 8), fields.bytes("b", 3)) == (7, -7, b"abc")
    assert (fields.text("t"), fields.list("l", 2), fields.map("m"), fields.bool("f")) == (
        "text",
        [1, 2],
        {"x": 1},
        True,
    )
    assert not fields.nullable("n")
    fields.done()


@pytest.mark.parametrize(
    ("name", "take"),
    [
        ("a uint that is text", lambda f: f.uint("t")),
        ("a uint that is true", lambda f: f.uint("f")),
        ("a uint below zero", lambda f: f.uint("i")),
        ("a uint of too few bits", lambda f: f.uint("u", 2)),
        ("an int of too few bits", lambda f: f.int("i", 3)),
        ("an int that is true", lambda f: f.int("f")),
        ("bytes that are text", lambda f: f.bytes("t")),
        ("bytes of another length", lambda f: f.bytes("b", 4)),
        ("bytes that are too long", lambda f: f.bytes("b", max_length=2)),
        ("text that is bytes", lambda f: f.text("b")),
        ("text that is too long", lambda f: f.text("t", 3)),
        ("a list that is a map", lambda f: f.list("m", 2)),
        ("a list that is too long", lambda f: f.list("l", 1)),
        ("a map that is a list", lambda f: f.map("l")),
        ("a boolean that is a number", lambda f: f.bool("u")),
        ("a field that is missing", lambda f: f.uint("x")),
        ("a nullable field that is missing", lambda f: f.nullable("x")),
        ("something left over", lambda f: f.done()),
    ],
)
def test_fields_refuse(name: str, take: Any) -> None:
    with pytest.raises(errors.MalformedError):
        take(Fields(GOOD, name))


def test_fields_of_what_is_no_map_are_refused() -> None:
    with pytest.raises(EncodingError, match="thing: expected a map, got list"):
        Fields([1], "thing")


def test_fields_left_over_are_named() -> None:
    with pytest.raises(EncodingError, match="thing with unknown fields a, b"):
        Fields({"b": 1, "a": 2}, "thing").done()


def test_a_frame_is_its_length_and_a_map() -> None:
    frame = framing.encode_frame({"op": "start"})
    assert frame == b"\x00\x00\x00\x0a" + b"\xa1\x62op\x65start"
    assert framing.parse_header(frame[:4]) == 10
    assert framing.parse_body(frame[4:]) == {"op": "start"}


@pytest.mark.parametrize("header", [b"", b"\x00\x00\x00", b"\x00" * 5, b"\x10\x00\x00\x01", b"\xff" * 4])
def test_a_frame_with_another_header_is_refused_before_its_body(header: bytes) -> None:
    with pytest.raises(LengthError):
        framing.parse_header(header)


def test_the_largest_frame_is_256_mebibytes() -> None:
    assert framing.parse_header(b"\x10\x00\x00\x00") == 1 << 28


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [None, True, False]}, '{"a":[null,true,false],"b":1}'),
        ("\u20ac$\u000f\nA'B\"\\\u007f/", '"\u20ac$\\u000f\\nA\'B\\"\\\\\u007f/"'),
        (-(2**53) + 1, "-9007199254740991"),
    ],
)
def test_json_has_the_text_of_rfc_8785(value: object, text: str) -> None:
    assert canonical_json.encode(value) == text.encode()
    assert canonical_json.decode(text.encode(), max_bytes=100) == value


@pytest.mark.parametrize(
    ("defect", "text"),
    [
        ("a space", b'{"a": 1}'),
        ("a line feed", b"[]\n"),
        ("keys in another order", b'{"b":1,"a":2}'),
        ("a key twice", b'{"a":1,"a":1}'),
        ("a leading zero", b"01"),
        ("minus zero", b"-0"),
        ("a fraction", b"1.0"),
        ("an exponent", b"1e3"),
        ("not a number", b"NaN"),
        ("infinity", b"Infinity"),
        ("2**53", b"9007199254740992"),
        ("5000 digits", b"1" * 5000),
        ("an escape that is not needed", b'"\\u0041"'),
        ("an escape in capitals", b'"\\u000F"'),
        ("half of a surrogate pair", b'"\\ud800"'),
        ("a byte that is not UTF-8", b'"\xff"'),
        ("UTF-16", '"a"'.encode("utf-16")),
        ("a byte order mark", b"\xef\xbb\xbf1"),
        ("a key that is not ASCII", '{"\u20ac":1}'.encode()),
        ("cut short", b'{"a":'),
        ("nothing", b""),
        ("something after it", b"1 2"),
        ("17 levels", b"[" * 17 + b"]" * 17),
        ("a hundred thousand levels", b"[" * 100_000),
    ],
)
def test_json_in_another_form_is_refused(defect: str, text: bytes) -> None:
    with pytest.raises(EncodingError):
        canonical_json.decode(text, max_bytes=1 << 20)


def test_brackets_inside_text_do_not_nest() -> None:
    text = b'["' + b"[" * 40 + b'\\\\","\\"' + b"{" * 40 + b'"]'
    assert canonical_json.decode(text, max_bytes=100) == ["[" * 40 + "\\", '"' + "{" * 40]


def test_a_megabyte_of_open_quotes_costs_no_time() -> None:
    start = time.process_time()
    for text in (b'"' * ((1 << 20) - 1), b'"' + b'\\"' * (1 << 18), b'"' * (1 << 19) + b"["):
        with pytest.raises(EncodingError):
            canonical_json.decode(text, max_bytes=1 << 20)
    assert time.process_time() - start < 2


def test_json_longer_than_the_cap_is_refused_unread() -> None:
    with pytest.raises(LengthError):
        canonical_json.decode(b"[]", max_bytes=1)


@pytest.mark.parametrize("value", [1.0, b"a", {1: 2}, (1,), "\ud800", 1 << 53])
def test_what_json_does_not_have_is_not_encoded(value: object) -> None:
    with pytest.raises(EncodingError):
        canonical_json.encode(value)
