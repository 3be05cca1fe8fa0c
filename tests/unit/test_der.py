"""DER has one form for each value; each test writes one value in another form and is refused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.attestation import der as strict
from protocol.errors import EncodingError, LengthError, MalformedError, RangeError
from tests.unit.certificate_world import integer, oid, tlv, utc


def read_int(element: bytes) -> int:
    return strict.integer(strict.only(element, 0x02, "number"), "number", least=-(1 << 64), most=1 << 64)


# Frames


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65535, 65536])
def test_an_element_is_its_content_and_what_follows_stays(size: int) -> None:
    content = bytes(size)
    element = tlv(0x04, content)
    assert strict.split(element + b"rest", 0x04, "text") == (element, b"rest")
    assert strict.only(element, 0x04, "text") == content


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", EncodingError),
        (b"\x04", EncodingError),
        (b"\x05\0", EncodingError),
        (b"\x04\x80ab\0\0", EncodingError),  # indefinite
        (b"\x04\x81\x02ab", EncodingError),  # long form of a short length
        (b"\x04\x82\x00\x80" + bytes(128), EncodingError),  # zero digit in front
        (b"\x04\x81", EncodingError),
        (b"\x04\x84\x00\x00\x00\x02ab", EncodingError),
        (b"\x04\x84\x01\x00\x00\x00", EncodingError),  # more than is ever read
        (b"\x04\xffab", EncodingError),
        (b"\x04\x03ab", LengthError),
        (b"\x04\x83\xff\xff\xffab", LengthError),
    ],
    ids=lambda value: value.hex()[:20] if isinstance(value, bytes) else value.__name__,
)
def test_a_frame_in_another_form_is_refused(data: bytes, kind: type[MalformedError]) -> None:
    with pytest.raises(kind, match="of the text"):
        strict.split(data, 0x04, "text")


def test_bytes_behind_the_only_element_are_refused() -> None:
    with pytest.raises(EncodingError, match="bytes behind the text"):
        strict.only(b"\x04\x01a\0", 0x04, "text")
    with pytest.raises(EncodingError, match="more fields in the text"):
        strict.nothing(b"\0", "text")


def test_a_row_of_elements_is_read_to_its_end() -> None:
    assert list(strict.elements(tlv(4, b"a") + tlv(4) + tlv(4, b"bc"), 4, "text")) == [b"a", b"", b"bc"]
    with pytest.raises(LengthError, match="length of the text"):
        list(strict.elements(tlv(4, b"a") + b"\x04\x02b", 4, "text"))


# Numbers and flags


@given(st.integers(min_value=-(1 << 64), max_value=1 << 64))
def test_a_number_is_itself(value: int) -> None:
    shortest = tlv(0x02, value.to_bytes(((value + (value < 0)).bit_length() // 8) + 1, signed=True))
    assert read_int(shortest) == value


@pytest.mark.parametrize("content", ["", "0000", "007f", "ff80", "ffff", "000080"])
def test_a_number_in_more_bytes_than_it_takes_is_refused(content: str) -> None:
    with pytest.raises(EncodingError, match="in more bytes than it takes, or in none"):
        read_int(tlv(0x02, bytes.fromhex(content)))


def test_a_number_outside_its_range_is_refused_and_never_cut() -> None:
    assert strict.integer(b"\0\xff", "version", least=0, most=255) == 255
    for content in (b"\xff", b"\x01\x00", b"\x01" + bytes(32)):
        with pytest.raises(RangeError, match="version: expected 0 to 255"):
            strict.integer(content, "version", least=0, most=255)


def test_a_boolean_is_zero_or_all_ones() -> None:
    assert (strict.boolean(b"\0", "mark"), strict.boolean(b"\xff", "mark")) == (False, True)
    for content in (b"", b"\x01", b"\xfe", b"\x00\x00"):
        with pytest.raises(EncodingError, match="mark: expected 00 or ff"):
            strict.boolean(content, "mark")


def test_flags_are_the_numbers_of_their_bits() -> None:
    assert strict.flags(bytes.fromhex("06c0"), "usage") == {0, 1}
    assert strict.flags(bytes.fromhex("0106"), "usage") == {5, 6}
    assert strict.flags(bytes.fromhex("070080"), "usage") == {8}


@pytest.mark.parametrize("content", ["", "00", "0000", "0006", "0206", "0107", "08ff", "06c000", "ff06"])
def test_flags_with_unused_bits_in_another_form_are_refused(content: str) -> None:
    with pytest.raises(EncodingError, match="unused bits in the usage"):
        strict.flags(bytes.fromhex(content), "usage")


@pytest.mark.parametrize("content", ["", "00", "01ff", "07ff"])
def test_a_bit_string_of_bytes_has_no_unused_bits_and_is_not_empty(content: str) -> None:
    assert strict.octets(b"\0\xff", "signature") == b"\xff"
    with pytest.raises(EncodingError, match="unused bits in the signature"):
        strict.octets(bytes.fromhex(content), "signature")


# Object identifiers and text


@pytest.mark.parametrize("dotted", ["1.2.840.113741.1.13.1", "2.5.29.15", "0.9", "1.39.128.16384", "2.999.1"])
def test_an_object_identifier_reads_as_people_write_it(dotted: str) -> None:
    content = strict.only(oid(dotted), 0x06, "kind")
    assert strict.oid(content, "kind") == content
    assert strict.dotted(content) == dotted


@pytest.mark.parametrize("content", ["", "80", "8001", "2a80", "2a8001", "2a86f7800d01ff"])
def test_an_object_identifier_in_another_form_is_refused(content: str) -> None:
    with pytest.raises(EncodingError, match="object identifier of the kind"):
        strict.oid(bytes.fromhex(content), "kind")


@pytest.mark.parametrize(
    "element", [b"", tlv(0x04, b"a"), tlv(0x0C, b"\xff"), tlv(0x13, b"\xc3\xa4"), tlv(0x1E, b"aa")]
)
def test_text_that_is_none_is_refused(element: bytes) -> None:
    assert strict.text(tlv(0x0C, "ä".encode()), "name") == "ä"
    with pytest.raises(EncodingError, match="name"):
        strict.text(element, "name")


# Times


def time_of(tag: int, text: str) -> int:
    return strict.time_s(tlv(tag, text.encode()), "time")[0]


@pytest.mark.parametrize(
    ("tag", "text", "time_s"),
    [
        (0x17, "700101000000Z", 0),
        (0x17, "500101000000Z", -631152000),
        (0x17, "491231235959Z", 2524607999),
        (0x17, "000229120000Z", 951825600),
        (0x18, "20500101000000Z", 2524608000),
        (0x18, "99991231235959Z", 253402300799),
    ],
)
def test_a_time_is_seconds_since_1970(tag: int, text: str, time_s: int) -> None:
    assert time_of(tag, text) == time_s


def test_what_follows_a_time_stays() -> None:
    assert strict.time_s(utc(1_760_000_000) + integer(1), "time") == (1_760_000_000, integer(1))


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        (0x17, "250101000000"),  # without Z
        (0x17, "2501010000000"),
        (0x17, "2501010000Z"),  # without seconds
        (0x17, "250101000000+0000"),
        (0x17, "20250101000000Z"),
        (0x17, "250229000000Z"),  # a date that does not exist
        (0x17, "251301000000Z"),
        (0x17, "250100000000Z"),
        (0x17, "250101240000Z"),
        (0x17, "250101006000Z"),
        (0x17, "250101000060Z"),
        (0x17, "25010100000 Z"),
        (0x17, "+50101000000Z"),
        (0x17, "٢50101000000Z"),
        (0x18, "20491231235959Z"),  # has to be a UTCTime
        (0x18, "20500101000000.5Z"),
        (0x18, "20500101000000"),
        (0x18, "500101000000Z"),
    ],
)
def test_a_time_in_another_form_is_refused(tag: int, text: str) -> None:
    with pytest.raises(EncodingError, match="time"):
        time_of(tag, text)


# Total


@pytest.mark.parametrize(
    "read",
    [
        lambda data: strict.split(data, 0x30, "part"),
        lambda data: list(strict.elements(data, data[0] if data else 0, "part")),
        lambda data: strict.integer(data, "part", least=0, most=1 << 160),
        lambda data: strict.flags(data, "part"),
        lambda data: strict.dotted(strict.oid(data, "part")),
        lambda data: strict.time_s(data, "part"),
        lambda data: strict.text(data, "part"),
    ],
    ids=["split", "elements", "integer", "flags", "oid", "time", "text"],
)
@given(data=st.binary(max_size=40))
def test_any_bytes_are_read_or_malformed(read: Callable[[bytes], object], data: bytes) -> None:
    with suppress(MalformedError):
        read(data)
