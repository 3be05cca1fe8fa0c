"""Reading files that somebody else may have put there.

Responsible for: opening regular files only, never waiting, never reading more than was asked for.
Must not know:   what the bytes mean.

A pipe would keep us waiting for ever, /dev/zero would fill the memory, and a link leads out of the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from protocol.errors import LengthError, UnavailableError

CHUNK_BYTES = 1 << 20
NEXT_STEP = "give the file, or the folder that has it"


def read_file(path: Path, limit: int, *, exactly: bool = False) -> bytes:
    """The bytes of a regular file, at most (or exactly) `limit` of them.  Raises UnavailableError, LengthError."""
    with _opened(path) as (file, size):
        if size > limit or (exactly and size != limit):
            raise LengthError(f"length of {path.name}", expected=limit, actual=size)
        return b"".join(_chunks(path, file, size))


def sha256_file(path: Path, limit: int) -> bytes:
    """SHA-256 of a regular file of at most `limit` bytes, however large.  Raises UnavailableError, LengthError."""
    with _opened(path) as (file, size):
        if size > limit:
            raise LengthError(f"length of {path.name}", expected=f"at most {limit}", actual=size)
        state = hashlib.sha256()
        for chunk in _chunks(path, file, size):
            state.update(chunk)
        return state.digest()


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[FileIO, int]]:
    """The open file and its size.  What it is is asked of the open file: a name can be exchanged in between."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with FileIO(descriptor) as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise UnavailableError(f"{path} is not a regular file", NEXT_STEP)
            yield file, found.st_size
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        why = error.strerror if isinstance(error, OSError) else error
        raise UnavailableError(f"can't read {path} ({why})", NEXT_STEP) from error


def _chunks(path: Path, file: FileIO, size: int) -> Iterator[bytes]:
    """The `size` bytes and no more: one that grows meanwhile, as a log may, is not followed."""
    left = size
    while left:
        chunk = file.read(min(left, CHUNK_BYTES))
        if not chunk:
            raise UnavailableError(f"{path} became shorter while it was read", "verify again")
        left -= len(chunk)
        yield chunk
