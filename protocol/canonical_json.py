"""RFC 8785 JSON of what has no floats: one text for one value.

Responsible for: the bytes of charters and manifests that are hashed.
Must not know:   what they say.

Spec: docs/protocol.md section 2.

Integers within +/-2**53, text, lists, maps with text keys, booleans and null.  (ECMAScript's number formatting, the
hard part of RFC 8785, is not needed without floats.)
"""

from __future__ import annotations

import json
import re
from typing import Any

from protocol.errors import EncodingError, LengthError

MAX_INTEGER = (1 << 53) - 1
MAX_DEPTH = 16
"""Deeper nesting is refused; a charter has 2 levels, a manifest 4."""


def encode(value: object) -> bytes:
    """The canonical text of a value, UTF-8."""
    _check(value, 0)
    # keys of ours are ASCII, for which Python's sort is RFC 8785's sort by UTF-16 code units
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    try:
        return text.encode()
    except UnicodeEncodeError as error:  # half of a surrogate pair, which JSON can escape and UTF-8 can't hold
        raise EncodingError("text in JSON that is not Unicode") from error


def decode(data: bytes, *, max_bytes: int) -> Any:
    """The value of which `data` is the canonical text; any other spelling is refused."""
    if len(data) > max_bytes:
        raise LengthError("length of a JSON text in bytes", expected=f"at most {max_bytes}", actual=len(data))
    _check_nesting(data)
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise EncodingError(f"a JSON text ({error})") from error
    if encode(value) != data:
        raise EncodingError("a JSON text that is not in the canonical form of RFC 8785")
    return value


_STRING_OR_BRACKET = re.compile(rb'(?s)"(?:[^"\\]+|\\.)*+(?:"|\\?\Z)|[\[\]{}]')


def _check_nesting(data: bytes) -> None:
    """Before anything recursive sees the text: json's scanner overflows the stack where the limit was raised."""
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(data):
        if match[0] in (b"[", b"{"):
            depth += 1
        elif match[0] in (b"]", b"}"):
            depth -= 1
        if depth > MAX_DEPTH:
            raise EncodingError("nesting of a JSON text", expected=f"at most {MAX_DEPTH}")


def _check(value: object, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise EncodingError("nesting of a JSON text", expected=f"at most {MAX_DEPTH}")
    if value is None or type(value) in (bool, str):
        return
    if type(value) is int:
        if abs(value) > MAX_INTEGER:
            raise EncodingError("an integer in JSON", expected="within 2**53", actual=value)
        return
    if isinstance(value, list):
        for item in value:
            _check(item, depth + 1)
        return
    if isinstance(value, dict):
        for key, item in value.items():
            if type(key) is not str or not key.isascii():
                raise EncodingError("a key in JSON", expected="ASCII text", actual=key)
            _check(item, depth + 1)
        return
    raise EncodingError("a value in JSON", expected="int, text, list, map, bool or null", actual=value)
