"""JSON as nodes and dumps write it, each value in its one form.

Responsible for: JSON texts, numbers and bytes to values, strictly.
Must not know:   what they are about.

Spec: the execution API's `QUANTITY` and `DATA` (ethereum.github.io/execution-apis).
"""

from __future__ import annotations

import json
import re
from typing import Any

from protocol.errors import EncodingError, LengthError


def parse_json(raw: bytes, what: str) -> Any:
    """The value of a JSON text, no key twice, nested no deeper than MAX_DEPTH.

    The depth is looked at first: a parser's own limit follows the interpreter's, which other libraries raise until
    the parser overflows the stack.  (Brackets inside texts are counted too; our texts have none to speak of.)
    """
    depth = 0
    for match in BRACKET.finditer(raw):
        depth += 1 if match[0] in b"[{" else -1
        if depth > MAX_DEPTH:
            raise EncodingError(f"{what} nested too deeply", expected=f"at most {MAX_DEPTH}")

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(items)
        if len(result) != len(items):
            raise EncodingError(f"{what} has a key twice")
        return result

    try:
        return json.loads(raw, object_pairs_hook=pairs)
    except ValueError as error:
        raise EncodingError(f"{what} is not JSON ({error})") from error


BRACKET = re.compile(rb"[][{}]")
MAX_DEPTH = 64
"""A dump of Anvil nests ten deep."""


def quantity(value: object, what: str) -> int:
    """A number in the one form that JSON-RPC has for it: 0x, no leading zero, lower case."""
    if not isinstance(value, str) or len(value) > 66:
        raise EncodingError(what, expected="0x and a number", actual=value)
    try:
        number = int(value, 16)
    except ValueError as error:
        raise EncodingError(what, expected="0x and a number", actual=value) from error
    if value != hex(number):
        raise EncodingError(what, expected=hex(number), actual=value)
    return number


def data(value: object, what: str, length: int | None = None) -> bytes:
    """Bytes in the one form that JSON-RPC has for them: 0x and two lower-case digits a byte."""
    if not isinstance(value, str) or not value.startswith("0x"):
        raise EncodingError(what, expected="0x and hexadecimal digits", actual=value)
    try:
        result = bytes.fromhex(value[2:])
    except ValueError as error:
        raise EncodingError(what, expected="0x and hexadecimal digits", actual=value) from error
    if value != "0x" + result.hex():
        raise EncodingError(what, expected="lower-case digits", actual=value)
    if length is not None and len(result) != length:
        raise LengthError(f"length of {what}", expected=length, actual=len(result))
    return result
