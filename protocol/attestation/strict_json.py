"""Strict JSON of others: text to values, nothing said twice and nothing coerced.

Responsible for: UTF-8, nesting, keys that come twice, numbers that are not integers; and typed fields of a map.
Must not know:   what any text means.

For texts whose bytes are signed and whose layout is their author's.  Texts of ours have one form: `canonical_json.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from protocol.attestation.times import utc_s
from protocol.errors import EncodingError, LengthError, RangeError

MAX_DEPTH = 8
"""Intel's TCB info has 6 levels."""

Json = Mapping[str, Any]

_STRING_OR_BRACKET = re.compile(r'(?s)"(?:[^"\\]+|\\.)*+(?:"|\\?\Z)|[\[\]{}]')
_TIME = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})Z")


def parse_map(data: bytes, what: str, *, max_bytes: int) -> Json:
    """The map that a text is.  Raises: EncodingError, LengthError."""
    if len(data) > max_bytes:
        raise LengthError(f"length of the {what} in bytes", expected=f"at most {max_bytes}", actual=len(data))
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise EncodingError(f"{what} that is not UTF-8 ({error.reason})") from error
    _check_nesting(text, what)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_once,
            parse_float=lambda digits: _refuse(f"number {digits[:20]}"),
            parse_constant=_refuse,
        )
    except (ValueError, RecursionError) as error:
        raise EncodingError(f"{what} that is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise EncodingError(f"{what} in JSON", expected="a map", actual=type(value).__name__)
    return value


def field(fields: Json, key: str, what: str) -> Any:
    """A value that has to be there.  Raises EncodingError."""
    if key not in fields:
        raise EncodingError(f"{what} without {key}")
    return fields[key]


def text(fields: Json, key: str, what: str) -> str:
    """A text.  Raises EncodingError."""
    value = field(fields, key, what)
    if not isinstance(value, str):
        raise EncodingError(f"{key} of the {what}", expected="text", actual=value)
    return value


def number(fields: Json, key: str, what: str, *, most: int, least: int = 0) -> int:
    """An integer; true and false are none.  Raises: EncodingError, RangeError."""
    value = field(fields, key, what)
    if type(value) is not int:
        raise EncodingError(f"{key} of the {what}", expected="an integer", actual=value)
    if not least <= value <= most:
        raise RangeError(f"{key} of the {what}", expected=f"{least} to {most}", actual=value)
    return value


def octets(fields: Json, key: str, what: str, size: int) -> bytes:
    """Bytes in hexadecimal digits, capital or small.  Raises: EncodingError, LengthError."""
    digits = text(fields, key, what)
    if len(digits) != 2 * size:
        raise LengthError(f"digits of {key} of the {what}", expected=2 * size, actual=len(digits))
    if re.fullmatch(r"[0-9A-Fa-f]*", digits) is None:
        raise EncodingError(f"{key} of the {what}", expected="hexadecimal digits", actual=digits)
    return bytes.fromhex(digits)


def time_s(fields: Json, key: str, what: str) -> int:
    """A time YYYY-MM-DDThh:mm:ssZ that exists, in seconds since 1970.  Raises EncodingError."""
    value = text(fields, key, what)
    try:
        return parse_time_s(value)
    except ValueError as error:
        raise EncodingError(f"{key} of the {what} ({error})", actual=value) from error


def parse_time_s(value: str) -> int:
    """YYYY-MM-DDThh:mm:ssZ in seconds since 1970.  Raises ValueError for other forms and for times that don't exist."""
    match = _TIME.fullmatch(value)
    if match is None:
        raise ValueError("expected YYYY-MM-DDThh:mm:ssZ")
    year, month, day, hour, minute, second = map(int, match.groups())
    if year < 1970:
        raise ValueError("no such day since 1970")
    return utc_s(year, month, day, hour, minute, second)


def items(fields: Json, key: str, what: str) -> list[Any]:
    """A list.  Raises EncodingError."""
    value = field(fields, key, what)
    if not isinstance(value, list):
        raise EncodingError(f"{key} of the {what}", expected="a list", actual=value)
    return value


def maps(fields: Json, key: str, what: str) -> list[Json]:
    """A list of maps.  Raises EncodingError."""
    found = items(fields, key, what)
    for entry in found:
        if not isinstance(entry, dict):
            raise EncodingError(f"entry of {key} of the {what}", expected="a map", actual=entry)
    return found


def inner(fields: Json, key: str, what: str) -> Json:
    """A map.  Raises EncodingError."""
    value = field(fields, key, what)
    if not isinstance(value, dict):
        raise EncodingError(f"{key} of the {what}", expected="a map", actual=value)
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key that comes twice in one map")
    return found


def _refuse(what: str) -> Any:
    raise ValueError(f"{what}, which is no integer")


def _check_nesting(text_: str, what: str) -> None:
    """Before anything recursive sees the text."""
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text_):
        if match[0] in ("[", "{"):
            depth += 1
        elif match[0] in ("]", "}"):
            depth -= 1
        if depth > MAX_DEPTH:
            raise EncodingError(f"nesting of the {what}", expected=f"at most {MAX_DEPTH}")
