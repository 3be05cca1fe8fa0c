"""The file that holds the key of whoever sends a transaction.

Responsible for: the 32 bytes of a key file that its owner alone can read, the file that participants and members have.
Must not know:   what the key signs.

No error shows what the file holds: it may be most of a key.
"""

from __future__ import annotations

from pathlib import Path

from protocol.errors import EncodingError, PolicyError, UnavailableError
from protocol.keys import address
from verifier.files import read_file

FORM = "0x and 64 hexadecimal digits"
MAX_BYTES = 1 << 10
OTHERS = 0o077
"""Permissions of the group and of everybody."""


def read_key(path: Path) -> bytes:
    """The private key in a file.

    Raises: UnavailableError (no such file), PolicyError (others may read it), EncodingError (not 64 digits),
            LengthError.
    """
    try:
        mode = path.stat().st_mode & 0o777
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no name of a file"
        raise UnavailableError(f"no key file {path} ({why})", "give --key the file that has your key") from error
    if mode & OTHERS:
        raise PolicyError(f"mode of key file {path}", expected="0o600 (chmod 600)", actual=oct(mode))
    text = read_file(path, MAX_BYTES).strip()
    digits = text.removeprefix(b"0x")
    try:
        key = bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != 32 or len(digits) != 64:
        raise EncodingError(f"key file {path}", expected=FORM, actual=f"{len(text)} other bytes")
    address(key)
    return key
