"""What scripts/make_vectors.py writes, by subject.

Responsible for: the cases, and what each is there for.
Must not know:   files.

Every file is a list.  `accepted` vectors say what comes out; `refused` ones carry one defect each, named by `defect`,
and either the `error` of protocol.errors that follows or, where nothing can be refused, the right value and the `wrong`
one that an implementation with that defect returns.  Bytes are 0x and hexadecimal digits, integers are JSON numbers (of
up to 256 bits), floats are hexadecimal as in C.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from protocol.errors import VeriflockError
from protocol.hashing import sha256

Vector = dict[str, Any]


def some(label: str, size: int = 32) -> bytes:
    """Bytes that look random and are always the same."""
    return b"".join(sha256(f"veriflock vector {label} {i}".encode()) for i in range(-(-size // 32)))[:size]


def hexed(value: bytes) -> str:
    """0x and digits."""
    return "0x" + value.hex()


def error_of(call: Callable[[], object]) -> str:
    """Name of the error that a call raises; a call that raises none is a mistake in a vector."""
    try:
        value = call()
    except VeriflockError as error:
        return type(error).__name__
    raise SystemExit(f"a vector that should be refused gives {value!r}")


def differs(wrong: object, right: object) -> object:
    """The wrong value of a negative vector; one that is right is a mistake in the vector."""
    if wrong == right:
        raise SystemExit(f"a wrong value that is right: {wrong!r}")
    return wrong
