"""Frames on the enclave's door and on the platform's socket.

Responsible for: u32 big-endian length || deterministic CBOR map, to bytes and back, with a cap.
Must not know:   sockets, or what a frame asks for.

Spec: docs/protocol.md section 9.
"""

from __future__ import annotations

from typing import Any

from protocol.encoding import decode_map, encode
from protocol.errors import LengthError

HEADER_BYTES = 4
MAX_FRAME_BYTES = 1 << 28
"""256 MiB: one row of 10^7 coordinates sealed is 20 MB, a model 40 MB."""


def encode_frame(message: dict[str, Any]) -> bytes:
    """The bytes of one frame."""
    body = encode(message)
    if len(body) > MAX_FRAME_BYTES:
        raise LengthError("length of a frame in bytes", expected=f"at most {MAX_FRAME_BYTES}", actual=len(body))
    return len(body).to_bytes(HEADER_BYTES) + body


def parse_header(header: bytes) -> int:
    """The length of the body that follows, checked against the cap before anything is allocated."""
    if len(header) != HEADER_BYTES:
        raise LengthError("length of a frame's header", expected=HEADER_BYTES, actual=len(header))
    length = int.from_bytes(header)
    if length > MAX_FRAME_BYTES:
        raise LengthError("length of a frame in bytes", expected=f"at most {MAX_FRAME_BYTES}", actual=length)
    return length


def parse_body(body: bytes) -> dict[str, Any]:
    """The map in the body of a frame."""
    return decode_map(body, max_bytes=MAX_FRAME_BYTES)
