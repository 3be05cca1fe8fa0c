"""SHA-256 of many messages of one length: the leaves and nodes of trees.

Responsible for: digests of rows of bytes, of pieces that lie in several arrays, and the root over digests; by machine
                 code on every processor, or by hashlib, with the same bytes.
Must not know:   what a leaf is, which tree it is in, threads.

Only what is public, or becomes public with the round, is hashed here: the code is of constant time like every SHA-256,
but nobody cleans its registers.  Keys, seeds and seals are hashed by hashlib.

Source: FIPS 180-4 (protocol/native/sha256_text.py).  Spec: docs/decisions/0019-kernels.md.
"""

from __future__ import annotations

import ctypes
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache
from hashlib import sha256 as _sha256
from typing import Any

import numpy as np
import numpy.typing as npt

from protocol import native
from protocol.native import sha256_text

Bytes = npt.NDArray[np.uint8]

HALF = 32
"""Bytes of half a block: what the code takes from one place at a time, and a digest."""
WORTH_BYTES = 1 << 18
"""From here on machine code is worth the tens of milliseconds that it takes to be made, once a process."""


class Lines:
    """Equally long arrays of public bytes, in pieces of 32: message i of `columns` is piece i of each, one by one."""

    def __init__(self, arrays: Sequence[npt.NDArray[np.generic]]) -> None:
        """arrays: at least one; contiguous, with one axis.  They are kept, not copied."""
        self.arrays = [array.view(np.uint8) for array in arrays]
        self.addresses = np.array([_address(array) for array in self.arrays], dtype=np.uint64)
        """(k,) of each array's first byte."""

    def __len__(self) -> int:
        return len(self.arrays)


class Hasher(ABC):
    """One way to hash.  All give the same bytes, and may be used by several threads at once."""

    name: str
    """For people: "llvm" or "hashlib"."""

    @abstractmethod
    def joined(self, parts: Sequence[Bytes], prefix: bytes = b"") -> Bytes:
        """(count, 32): SHA-256 of prefix || parts[0][i] || parts[1][i] || ... for every i below count.

        parts:  at least one, each (count, its own number of bytes), bytes of a row one beside the other.
        prefix: at most 2 bytes.
        """

    @abstractmethod
    def columns(self, lines: Lines, first: int, count: int) -> Bytes:
        """(count, 32): SHA-256 of the pieces `first` + i of all lines, for every i below count."""

    @abstractmethod
    def root(self, nodes: Bytes) -> bytes:
        """The root of RFC 9162 (section 2.1.1) over (n, 32) hashes, n at least 1.  `nodes` is overwritten."""


class Hashlib(Hasher):
    """By hashlib, one message after the other."""

    name = "hashlib"

    def joined(self, parts: Sequence[Bytes], prefix: bytes = b"") -> Bytes:
        """As in Hasher."""
        count, size = len(parts[0]), sum(part.shape[1] for part in parts)
        data = np.concatenate(parts, axis=1).tobytes()
        found = [_sha256(prefix + data[i * size : (i + 1) * size]).digest() for i in range(count)]
        return np.frombuffer(bytearray().join(found), dtype=np.uint8).reshape(count, HALF)

    def columns(self, lines: Lines, first: int, count: int) -> Bytes:
        """As in Hasher."""
        taken = slice(first * HALF, (first + count) * HALF)
        pieces = np.stack([array[taken].reshape(count, HALF) for array in lines.arrays], axis=1)  # (count, k, 32)
        return self.joined([pieces.reshape(count, len(lines) * HALF)])

    def root(self, nodes: Bytes) -> bytes:
        """As in Hasher."""
        data = nodes.tobytes()
        level = [data[start : start + HALF] for start in range(0, len(data), HALF)]
        while len(level) > 1:
            odd = level[len(level) & ~1 :]
            pairs = range(0, len(level) - 1, 2)
            level = [_sha256(b"\x01" + level[i] + level[i + 1]).digest() for i in pairs] + odd
        return level[0]


class Machine(Hasher):
    """By machine code, several messages at once."""

    name = "llvm"

    def __init__(self, text: str, *, cpu: str | None = None) -> None:
        """text: one of the two modules of sha256_text.  cpu: as in Code."""
        code = native.Code(text, cpu=cpu, optimise=False)
        pointer, size, word = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32
        self._hash = code.function("hash", pointer, size, word, word, size, pointer)
        self._fold = code.function("fold", pointer, size)

    def joined(self, parts: Sequence[Bytes], prefix: bytes = b"") -> Bytes:
        """As in Hasher."""
        if any(part.shape[1] % HALF for part in parts[:-1]):
            parts = [np.concatenate(parts, axis=1)]
        parts = [part if part.strides[1] == 1 else np.ascontiguousarray(part) for part in parts]
        count, last = len(parts[0]), parts[-1]
        rest = last.shape[1] % HALF
        pad: Bytes = _padding(sum(part.shape[1] for part in parts), len(prefix))
        if rest:  # the last bytes of every message and its padding are put together
            tails = np.empty((count, len(pad)), dtype=np.uint8)
            tails[:, :rest] = last[:, last.shape[1] - rest :]
            tails[:, rest:] = pad[rest:]
        else:
            tails = np.broadcast_to(pad, (count, len(pad)))
        return self._digests(_table([*parts, tails]), count, prefix)

    def columns(self, lines: Lines, first: int, count: int) -> Bytes:
        """As in Hasher."""
        pad = _padding(len(lines) * HALF, 0)
        table = np.zeros((len(lines) + len(pad) // HALF, 2), dtype=np.int64)
        table[: len(lines), 0] = lines.addresses + np.uint64(first * HALF)
        table[: len(lines), 1] = HALF
        table[len(lines) :, 0] = _address(pad) + HALF * np.arange(len(pad) // HALF)
        return self._digests(table, count, b"")

    def root(self, nodes: Bytes) -> bytes:
        """As in Hasher."""
        self._fold(_address(nodes), len(nodes))
        first: bytes = nodes[0].tobytes()
        return first

    def _digests(self, table: npt.NDArray[np.int64], count: int, prefix: bytes) -> Bytes:
        """table: (2 * blocks, 2) address of the first message's half, and from there to the next message's."""
        out = np.empty((count, HALF), dtype=np.uint8)
        if count:
            word = int.from_bytes(prefix)
            self._hash(_address(table), len(table) // 2, word, 8 * len(prefix), count, _address(out))
        return out


HASHLIB = Hashlib()


def hasher(size_bytes: int) -> Hasher:
    """The fastest way to hash so many bytes here."""
    return _machine() if size_bytes >= WORTH_BYTES and native.is_available() else HASHLIB


def has_instructions() -> bool:
    """Whether this processor has the SHA instructions that `sha256_text.streams` is written in."""
    import llvmlite.binding as llvm

    return llvm.get_default_triple().startswith("x86_64") and bool(llvm.get_host_cpu_features().get("sha"))


@cache
def _machine() -> Machine:
    return Machine(sha256_text.streams() if has_instructions() else sha256_text.lanes())


def _table(parts: Sequence[Bytes]) -> npt.NDArray[np.int64]:
    """(halves, 2): where each whole half of the first rows is, and how far it is to the next row's."""
    which, offsets = _layout(tuple(part.shape[1] // HALF for part in parts))
    table = np.array([(_address(part), part.strides[0]) for part in parts])[which]
    table[:, 0] += offsets
    return table


@cache
def _layout(halves: tuple[int, ...]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The part that every half is of, and where in its row it is."""
    which = np.repeat(np.arange(len(halves)), halves)
    return which, np.concatenate([HALF * np.arange(count) for count in halves])


def _address(array: npt.NDArray[Any]) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


@cache
def _padding(size: int, prefix: int) -> Bytes:
    """What comes after the whole halves of a message of `size` bytes, with room for the rest of it (5.1.1).

    It ends `prefix` bytes early, because the code moves everything back by as many.
    """
    blocks = (prefix + size + 9 + 63) // 64
    whole = size // HALF * HALF
    pad = np.zeros(64 * blocks - whole, dtype=np.uint8)
    pad[size - whole] = 0x80
    end = len(pad) - prefix
    pad[end - 8 : end] = np.frombuffer((8 * (prefix + size)).to_bytes(8), dtype=np.uint8)
    pad.flags.writeable = False
    return pad
