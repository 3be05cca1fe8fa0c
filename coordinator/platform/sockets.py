"""Frames over a connected socket: exactly one frame is read, not a byte more.

Responsible for: moving the bytes of a frame.
Must not know:   what a frame asks for.

Not a byte more, because the connection is handed to the enclave behind the first frame.
"""

from __future__ import annotations

import socket
from typing import Any

from protocol.errors import LengthError
from protocol.framing import HEADER_BYTES, encode_frame, parse_body, parse_header


def read_frame(connection: socket.socket, *, max_bytes: int) -> dict[str, Any] | None:
    """The next frame; None when the other side closed before it began one.

    max_bytes: a longer body is refused unread.
    Raises: LengthError, EncodingError; OSError (also TimeoutError, where the socket has a timeout).
    """
    header = _read(connection, HEADER_BYTES)
    if not header:
        return None
    length = parse_header(header)
    if length > max_bytes:
        raise LengthError("length of a frame in bytes", expected=f"at most {max_bytes}", actual=length)
    body = _read(connection, length)
    if len(body) != length:
        raise LengthError("length of a frame that ended early", expected=length, actual=len(body))
    return parse_body(body)


def write_frame(connection: socket.socket, message: dict[str, Any]) -> None:
    """Sends one frame.  Raises OSError."""
    connection.sendall(encode_frame(message))


def _read(connection: socket.socket, length: int) -> bytes:
    """`length` bytes, fewer only when the other side closed."""
    data = bytearray()
    while len(data) < length:
        part = connection.recv(min(length - len(data), 1 << 16))
        if not part:
            break
        data += part
    return bytes(data)
