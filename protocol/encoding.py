"""Envelopes: deterministic CBOR, one accepted form of every value.

Responsible for: values to bytes and back, strictly both ways (RFC 8949, section 4.2.1).
Must not know:   what an envelope is for.

Spec: docs/protocol.md section 2.

Only integers, byte strings, text, lists, maps with text keys, booleans and null: no floats, tags or indefinite lengths.

The decoder is ours and not cbor2's, whose shared references (tags 28 and 29) and string references (25 and 256) let 200
bytes stand for a value that takes hours to walk.  It goes through the bytes once and builds nothing larger than them.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any

import cbor2

from protocol.errors import EncodingError, LengthError, show

MAX_DEPTH = 16
"""Deeper nesting is refused before it is built; the deepest message of the protocol has 4 levels."""


def encode(value: object) -> bytes:
    """Deterministic CBOR of a value.  Raises EncodingError for a type that envelopes don't have."""
    _check_types(value, 0)
    return cbor2.dumps(value, canonical=True)


def decode(data: bytes, *, max_bytes: int) -> Any:
    """The value of which `data` is the deterministic encoding.

    max_bytes: a longer input is refused unread.
    Raises: LengthError, EncodingError (not CBOR, not deterministic, something left over, a type that we don't have).
    """
    if len(data) > max_bytes:
        raise LengthError("length of an envelope in bytes", expected=f"at most {max_bytes}", actual=len(data))
    reader = _Reader(data)
    value = reader.value(0)
    if reader.position != len(data):
        raise EncodingError("bytes after an envelope", expected=0, actual=len(data) - reader.position)
    return value


def decode_map(data: bytes, *, max_bytes: int) -> dict[str, Any]:
    """As `decode`, and the value is a map."""
    value = decode(data, max_bytes=max_bytes)
    if not isinstance(value, dict):
        raise EncodingError("an envelope", expected="a map", actual=type(value).__name__)
    return value


class Fields:
    """Takes the fields of a map one by one, each of its type; `done()` refuses what is left over."""

    def __init__(self, value: object, what: str) -> None:
        if not isinstance(value, Mapping):
            raise EncodingError(what, expected="a map", actual=type(value).__name__)
        self._rest = dict(value)
        self._what = what

    def _take(self, name: str) -> object:
        if name not in self._rest:
            raise EncodingError(f"{self._what} without field {name}")
        return self._rest.pop(name)

    def uint(self, name: str, bits: builtins.int = 64) -> builtins.int:
        """An integer of at most `bits` bits, not negative."""
        value = self._take(name)
        if type(value) is not builtins.int or not 0 <= value < 1 << bits:
            raise EncodingError(f"{self._what}.{name}", expected=f"uint{bits}", actual=value)
        return value

    def int(self, name: str, bits: builtins.int = 64) -> builtins.int:
        """A signed integer of `bits` bits."""
        value = self._take(name)
        if type(value) is not builtins.int or not -(1 << (bits - 1)) <= value < 1 << (bits - 1):
            raise EncodingError(f"{self._what}.{name}", expected=f"int{bits}", actual=value)
        return value

    def bytes(
        self, name: str, length: builtins.int | None = None, *, max_length: builtins.int | None = None
    ) -> builtins.bytes:
        """A byte string, of exactly `length` or at most `max_length` bytes where given."""
        value = self._take(name)
        if type(value) is not builtins.bytes:
            raise EncodingError(f"{self._what}.{name}", expected="bytes", actual=type(value).__name__)
        if length is not None and len(value) != length:
            raise LengthError(f"length of {self._what}.{name}", expected=length, actual=len(value))
        if max_length is not None and len(value) > max_length:
            raise LengthError(f"length of {self._what}.{name}", expected=f"at most {max_length}", actual=len(value))
        return value

    def text(self, name: str, max_length: builtins.int = 4096) -> str:
        """Text of at most `max_length` characters."""
        value = self._take(name)
        if type(value) is not str or len(value) > max_length:
            raise EncodingError(f"{self._what}.{name}", expected=f"text of at most {max_length}", actual=value)
        return value

    def list(self, name: str, max_length: builtins.int) -> builtins.list[Any]:
        """A list of at most `max_length` values of any kind."""
        value = self._take(name)
        if not isinstance(value, builtins.list) or len(value) > max_length:
            raise EncodingError(f"{self._what}.{name}", expected=f"a list of at most {max_length}", actual=value)
        return value

    def map(self, name: str) -> dict[str, Any]:
        """A map."""
        value = self._take(name)
        if not isinstance(value, dict):
            raise EncodingError(f"{self._what}.{name}", expected="a map", actual=type(value).__name__)
        return value

    def bool(self, name: str) -> builtins.bool:
        """True or false."""
        value = self._take(name)
        if type(value) is not builtins.bool:
            raise EncodingError(f"{self._what}.{name}", expected="true or false", actual=value)
        return value

    def nullable(self, name: str) -> builtins.bool:
        """Whether the field is not null; a null is taken out.  The field must be there."""
        if name not in self._rest:
            raise EncodingError(f"{self._what} without field {name}")
        return self.optional(name)

    def optional(self, name: str) -> builtins.bool:
        """Whether the field is there and not null; a null is taken out."""
        if self._rest.get(name) is None:
            self._rest.pop(name, None)
            return False
        return True

    def done(self) -> None:
        """Raises EncodingError when a field is left that nobody asked for."""
        if self._rest:
            names = show(", ".join(sorted(str(name) for name in self._rest)))
            raise EncodingError(f"{self._what} with unknown fields {names}")


class _Reader:
    """Reads deterministic CBOR from the front (RFC 8949, sections 3 and 4.2.1)."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def value(self, depth: int) -> Any:
        """The next value."""
        if depth > MAX_DEPTH:
            raise EncodingError("nesting of an envelope", expected=f"at most {MAX_DEPTH}")
        major, argument = self._head()
        if major == 0:
            return argument
        if major == 1:
            return -1 - argument
        if major == 2:
            return self._take(argument)
        if major == 3:
            return self._text(argument)
        if major == 4:
            self._check_count(argument)
            return [self.value(depth + 1) for _ in range(argument)]
        if major == 5:
            self._check_count(2 * argument)
            return self._map(argument, depth)
        if major == 7 and argument in _SIMPLE:
            return _SIMPLE[argument]
        raise EncodingError("an envelope that is not CBOR of ours", actual="a tag, a float or an unknown simple value")

    def _map(self, count: int, depth: int) -> dict[str, Any]:
        out: dict[str, Any] = {}
        before = b""
        for _ in range(count):
            start = self.position
            major, length = self._head()
            if major != 3:
                raise EncodingError("a key of a map in an envelope", expected="text", actual=f"major type {major}")
            key = self._text(length)
            encoded = self._data[start : self.position]
            if encoded <= before:
                raise EncodingError("keys of a map in an envelope", expected="each once and ascending", actual=key)
            before, out[key] = encoded, self.value(depth + 1)
        return out

    def _head(self) -> tuple[int, int]:
        """Major type and argument; the argument in the fewest bytes that hold it."""
        first = self._take(1)[0]
        major, short = first >> 5, first & 31
        if short < 24:
            return major, short
        if short > 27 or major == 7:
            raise EncodingError("head of a value in an envelope", expected="a definite length", actual=hex(first))
        width = 1 << (short - 24)
        argument = int.from_bytes(self._take(width))
        if argument < (24 if width == 1 else 1 << (4 * width)):
            raise EncodingError("head of a value in an envelope", expected="the shortest form", actual=hex(first))
        return major, argument

    def _text(self, length: int) -> str:
        try:
            return self._take(length).decode()
        except UnicodeDecodeError as error:
            raise EncodingError("text in an envelope that is not UTF-8") from error

    def _take(self, count: int) -> bytes:
        self._check_count(count)
        part = self._data[self.position : self.position + count]
        self.position += count
        return part

    def _check_count(self, count: int) -> None:
        """Whatever comes needs at least a byte each, so nothing is allocated for what is not there."""
        rest = len(self._data) - self.position
        if count > rest:
            raise EncodingError("an envelope that is cut short", expected=f"{count} more bytes", actual=rest)


_SIMPLE = {20: False, 21: True, 22: None}


def _check_types(value: object, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise EncodingError("nesting of an envelope", expected=f"at most {MAX_DEPTH}")
    if value is None or type(value) in (bool, bytes, str):
        return
    if type(value) is int:
        if not -(1 << 64) <= value < 1 << 64:
            raise EncodingError("an integer in an envelope", expected="at most 64 bits", actual=value)
        return
    if isinstance(value, list):
        for item in value:
            _check_types(item, depth + 1)
        return
    if isinstance(value, dict):
        for key, item in value.items():
            if type(key) is not str:
                raise EncodingError("a key of a map in an envelope", expected="text", actual=key)
            _check_types(item, depth + 1)
        return
    raise EncodingError("a value in an envelope", expected="int, bytes, text, list, map, bool or null", actual=value)
