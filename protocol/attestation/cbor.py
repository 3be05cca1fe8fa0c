"""Strict CBOR for evidence: the part of RFC 8949 that attestation documents are written in.

Responsible for: integers, byte and text strings, arrays, maps and null, each number and length in its shortest form.
Must not know:   what any of it means.

Unlike the envelopes of this project's own messages, documents come with maps and arrays of definite or of indefinite
length and with keys in any order; both are read.  Everything else that is not the one form is refused: longer heads
than needed, the reserved values 28 to 30, strings in pieces, keys that are there twice, other simple values, tags,
and bytes behind the end.  Nothing is allocated from a length before the bytes are known to be there.
"""

from __future__ import annotations

from protocol.errors import EncodingError, LengthError

UNSIGNED, NEGATIVE, BYTES, TEXT, ARRAY, MAP = range(6)

NULL, BREAK = 0xF6, 0xFF
MAX_DEPTH = 4
"""Of arrays and maps in each other; a document takes two."""

Value = int | bytes | str | None | list["Value"] | dict[int | str, "Value"]


def parse_cbor(data: bytes, what: str) -> Value:
    """The one value that `data` is.

    Raises: EncodingError, LengthError.
    """
    value, end = read(data, 0, what)
    if end != len(data):
        raise EncodingError(f"bytes behind the {what}", expected=0, actual=len(data) - end)
    return value


def read(data: bytes, offset: int, what: str, depth: int = 0) -> tuple[Value, int]:
    """The value at `offset`, and where it ends.  Raises EncodingError, LengthError."""
    if data[offset : offset + 1] == bytes([NULL]):
        return None, offset + 1
    kind, number, offset = head(data, offset, what)
    if kind in (BYTES, TEXT):
        if number is None:
            raise EncodingError(f"string in pieces in the {what}")
        content, offset = _take(data, offset, number, what)
        return (_text(content, what) if kind == TEXT else content), offset
    if kind == UNSIGNED and number is not None:
        return number, offset
    if kind == NEGATIVE and number is not None:
        return -1 - number, offset
    if kind not in (ARRAY, MAP):
        raise EncodingError(f"kind of a value in the {what}", expected="none of tags, floats and simple values")
    if depth == MAX_DEPTH:
        raise EncodingError(f"depth of the {what}", expected=f"at most {MAX_DEPTH}")
    if number is not None and number > len(data) - offset:  # a value takes a byte at least
        raise LengthError(f"number of values in the {what}", expected=f"at most {len(data) - offset}", actual=number)
    if kind == ARRAY:
        return _read_array(data, offset, number, what, depth)
    return _read_map(data, offset, number, what, depth)


def head(data: bytes, offset: int, what: str) -> tuple[int, int | None, int]:
    """Major type, number (None for an indefinite length) and end of the head at `offset`.

    Raises: EncodingError, LengthError.
    """
    if offset >= len(data):
        raise LengthError(f"end of the {what}", expected="another value", actual="nothing")
    kind, low = data[offset] >> 5, data[offset] & 0x1F
    offset += 1
    if low < 24:
        return kind, low, offset
    if low == 31:
        return kind, None, offset
    if low > 27:
        raise EncodingError(f"head of a value in the {what} that is reserved", actual=low)
    size = 1 << (low - 24)
    digits, offset = _take(data, offset, size, what)
    number = int.from_bytes(digits)
    # 24 to 255 take one byte, and each longer form starts where the one before it ends.
    if number < (24 if size == 1 else 1 << (4 * size)):
        raise EncodingError(f"number or length in the {what} in more bytes than it takes", actual=digits)
    return kind, number, offset


def _read_array(data: bytes, offset: int, count: int | None, what: str, depth: int) -> tuple[list[Value], int]:
    values: list[Value] = []
    while not _is_end(data, offset, count, len(values)):
        value, offset = read(data, offset, what, depth + 1)
        values.append(value)
    return values, offset + (count is None)


def _read_map(data: bytes, offset: int, count: int | None, what: str, depth: int) -> tuple[dict[int | str, Value], int]:
    values: dict[int | str, Value] = {}
    while not _is_end(data, offset, count, len(values)):
        key, offset = read(data, offset, what, depth + 1)
        if not isinstance(key, (int, str)):
            raise EncodingError(f"key in the {what}", expected="a number or a text", actual=key)
        if key in values:
            raise EncodingError(f"key in the {what} that is there twice", actual=key)
        values[key], offset = read(data, offset, what, depth + 1)
    return values, offset + (count is None)


def _is_end(data: bytes, offset: int, count: int | None, done: int) -> bool:
    return done == count if count is not None else data[offset : offset + 1] == bytes([BREAK])


def _take(data: bytes, offset: int, size: int, what: str) -> tuple[bytes, int]:
    if size > len(data) - offset:
        raise LengthError(f"length of a value in the {what}", expected=size, actual=len(data) - offset)
    return data[offset : offset + size], offset + size


def _text(content: bytes, what: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise EncodingError(f"text in the {what} ({error.reason})") from error
