"""Strict DER: each value has one encoding, and only that one is read.

Responsible for: tags, lengths, and the primitive types that certificates, CRLs and Intel's extension are made of.
Must not know:   what any of it means.

Stricter than most readers where they were fooled: indefinite, padded or overlong lengths, integers with needless
zeros, booleans other than 00 and FF, unused bits that are set, times without Z or on the 30th of February, and bytes
behind an end are all refused.  Nothing is allocated from a length before the bytes are known to be there.

Source: ITU-T X.690 (DER); RFC 5280, 4.1.2.5, for times.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from protocol.attestation.times import utc_s
from protocol.errors import EncodingError, LengthError, RangeError

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OID, ENUMERATED = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0A
UTF8_STRING, PRINTABLE_STRING, IA5_STRING, UTC_TIME, GENERALIZED_TIME = 0x0C, 0x13, 0x16, 0x17, 0x18
SEQUENCE, SET = 0x30, 0x31

_TEXTS = {UTF8_STRING: "utf-8", PRINTABLE_STRING: "ascii", IA5_STRING: "ascii"}

_PADDED_ARC = re.compile(rb"(?:^|[\x00-\x7f])\x80")
"""A number of an object identifier that starts with a needless zero digit."""

GENERALIZED_FROM_YEAR = 2050
"""UTCTime before, GeneralizedTime from then on: RFC 5280 leaves no choice."""


def split(data: bytes, tag: int, what: str) -> tuple[bytes, bytes]:
    """The element at the front of `data` (tag and length included), and what follows it.

    Raises: EncodingError (another tag, a length not in its one form), LengthError (it ends behind the data).
    """
    _start, end = _frame(data, 0, tag, what)
    return data[:end], data[end:]


def only(data: bytes, tag: int, what: str) -> bytes:
    """The content of the one element that `data` is.  Raises as `split`, EncodingError for bytes behind it."""
    start, end = _frame(data, 0, tag, what)
    if end != len(data):
        raise EncodingError(f"bytes behind the {what}", expected=0, actual=len(data) - end)
    return data[start:]


def elements(content: bytes, tag: int, what: str) -> Iterator[bytes]:
    """The contents of the elements that `content` is a row of, all with one tag.  Raises as `split`."""
    offset = 0
    while offset < len(content):
        start, end = _frame(content, offset, tag, what)
        yield content[start:end]
        offset = end


def nothing(rest: bytes, what: str) -> None:
    """Returns when nothing is left of the inside of `what`.  Raises EncodingError."""
    if rest:
        raise EncodingError(f"more fields in the {what}", expected=0, actual=rest)


def _frame(data: bytes, offset: int, tag: int, what: str) -> tuple[int, int]:
    """Where the content of the element at `offset` starts and ends."""
    if len(data) < offset + 2 or data[offset] != tag:
        raise EncodingError(f"tag of the {what}", expected=f"{tag:#04x}", actual=data[offset : offset + 1])
    length, start = data[offset + 1], offset + 2
    if length >= 0x80:
        start += length & 0x7F
        digits = data[offset + 2 : start]
        length = int.from_bytes(digits)
        # As few digits as possible; three are 16 MiB, more than anything that is read here.
        if not 1 <= start - offset - 2 <= 3 or len(digits) != start - offset - 2 or length < 0x80 or digits[0] == 0:
            raise EncodingError(f"length of the {what}")
    if start + length > len(data):
        raise LengthError(f"length of the {what}", expected=start + length - offset, actual=len(data) - offset)
    return start, start + length


def integer(content: bytes, what: str, *, least: int, most: int) -> int:
    """The number whose two's complement `content` is, in as few bytes as it takes.

    Raises: EncodingError (not in its one form), RangeError (not from `least` to `most`).
    """
    if not content or (len(content) > 1 and content[0] in (0x00, 0xFF) and content[0] >> 7 == content[1] >> 7):
        raise EncodingError(f"{what} in more bytes than it takes, or in none", actual=content)
    value = int.from_bytes(content, signed=True)
    if not least <= value <= most:
        raise RangeError(what, expected=f"{least} to {most}", actual=value)
    return value


def boolean(content: bytes, what: str) -> bool:
    """True for FF, False for 00.  Raises EncodingError for everything else."""
    if content not in (b"\x00", b"\xff"):
        raise EncodingError(what, expected="00 or ff", actual=content)
    return content == b"\xff"


def octets(content: bytes, what: str) -> bytes:
    """The bytes of a BIT STRING that is made of whole bytes, at least one.  Raises EncodingError."""
    if content[:1] != b"\0" or len(content) < 2:
        raise EncodingError(f"unused bits in the {what}", expected=0, actual=content[:1])
    return content[1:]


def flags(content: bytes, what: str) -> frozenset[int]:
    """The numbers of the bits that are set in a BIT STRING of named flags (0 is the first).

    Its one form ends with the last bit that is set.
    Raises: EncodingError.
    """
    unused, bits = content[:1], content[1:]
    value = int.from_bytes(bits)
    if not unused or not bits or not value or value & -value != 1 << unused[0]:
        raise EncodingError(f"unused bits in the {what}", expected="as many as are zero at its end", actual=content)
    size = 8 * len(bits)
    return frozenset(bit for bit in range(size) if value >> (size - 1 - bit) & 1)


def oid(content: bytes, what: str) -> bytes:
    """`content`, when it is an object identifier in its one form.  Raises EncodingError."""
    if not content or content[-1] & 0x80 or _PADDED_ARC.search(content):
        raise EncodingError(f"object identifier of the {what}", actual=content)
    return content


def dotted(content: bytes) -> str:
    """An object identifier for people."""
    arcs = [0]
    for byte in content:
        arcs[-1] = arcs[-1] << 7 | byte & 0x7F
        if not byte & 0x80:
            arcs.append(0)
    first = min(arcs[0] // 40, 2)
    return ".".join(str(arc) for arc in (first, arcs[0] - 40 * first, *arcs[1:-1]))


def time_s(data: bytes, what: str) -> tuple[int, bytes]:
    """The time at the front of `data` in seconds since 1970, and what follows it.

    UTCTime YYMMDDhhmmssZ for 1950 to 2049, GeneralizedTime YYYYMMDDhhmmssZ from 2050 on; only dates that exist.
    Raises: EncodingError, LengthError.
    """
    tag = GENERALIZED_TIME if data[:1] == bytes([GENERALIZED_TIME]) else UTC_TIME
    start, end = _frame(data, 0, tag, what)
    text = data[start:end]
    digits = text[:-1]
    if len(digits) != (12 if tag == UTC_TIME else 14) or text[-1:] != b"Z" or not digits.isdigit():
        raise EncodingError(what, expected="YYMMDDhhmmssZ, or YYYYMMDDhhmmssZ from 2050 on", actual=text)
    year, rest = int(digits[:-10]), digits[-10:]
    if tag == UTC_TIME:
        year += 1900 if year >= 50 else 2000
    elif year < GENERALIZED_FROM_YEAR:
        raise EncodingError(f"{what} in a form for later years", expected="UTCTime", actual=text)
    month, day, hour, minute, second = (int(rest[place : place + 2]) for place in range(0, 10, 2))
    try:
        return utc_s(year, month, day, hour, minute, second), data[end:]
    except ValueError as error:
        raise EncodingError(f"{what} ({error})", actual=text) from error


def text(element: bytes, what: str) -> str:
    """A string of one of the three kinds that names are written in.  Raises EncodingError."""
    tag = element[0] if element else 0
    if tag not in _TEXTS:
        raise EncodingError(f"tag of the {what}", expected="UTF8String, PrintableString or IA5String", actual=tag)
    try:
        return only(element, tag, what).decode(_TEXTS[tag])
    except UnicodeDecodeError as error:
        raise EncodingError(f"{what} ({error.reason})") from error
