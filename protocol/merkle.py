"""Merkle trees of RFC 9162 over SHA-256, with a byte in every leaf that says which of the five trees it is of.

Responsible for: leaf and node hashes, roots, inclusion paths and their verification.
Must not know:   what is in a leaf (protocol/trees.py).

Spec: docs/protocol.md section 3 (RFC 9162, sections 2.1.1 and 2.1.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256 as _sha256

import numpy as np

from protocol.errors import LengthError, ProofError, RangeError
from protocol.native.sha256 import HALF, Bytes, hasher


def leaf_hash(kind: int, data: bytes) -> bytes:
    """SHA-256(0x00 || kind || data)."""
    return _sha256(bytes([0, kind]) + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return _sha256(b"\x01" + left + right).digest()


class Tree:
    """A tree that keeps its levels: once it is built, a path of it costs no hash.

    Pairing neighbours level by level and carrying an odd last one up is the split at the largest power of two.
    """

    def __init__(self, leaves: Sequence[bytes] | Bytes) -> None:
        """leaves: leaf hashes, at least one; bytes, or (n, 32) uint8."""
        self._levels = [_nodes(leaves)]
        hashing = hasher(2 * HALF * len(leaves))
        while (size := len(level := self._levels[-1])) > 1:
            pairs = level[: size & ~1].reshape(size // 2, 2 * HALF)
            self._levels.append(np.concatenate([hashing.joined([pairs], b"\x01"), level[size & ~1 :]]))

    @property
    def root(self) -> bytes:
        """The root."""
        return self._levels[-1].tobytes()

    @property
    def size(self) -> int:
        """Number of leaves."""
        return len(self._levels[0])

    def path(self, index: int, *, height: int = 0) -> tuple[bytes, ...]:
        """The inclusion path of the node at `index` of those `height` levels above the leaves, from the bottom up.

        Such a node is the root of the up to 2**height leaves from index * 2**height on, and its path is that of leaf
        `index` in a tree of ceil(size / 2**height) leaves, because every level has half of the one below, rounded up.
        """
        levels = self._levels[min(height, len(self._levels) - 1) :]
        _check_index(index, len(levels[0]))
        path = []
        for level in levels[:-1]:
            if index ^ 1 < len(level):
                path.append(level[index ^ 1].tobytes())
            index >>= 1
        return tuple(path)


def root(leaves: Sequence[bytes] | Bytes) -> bytes:
    """The root over leaf hashes; at least one; bytes, or (n, 32) uint8."""
    return hasher(2 * HALF * len(leaves)).root(_nodes(leaves))


def proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The inclusion path of one leaf, from the bottom up; of more than one, `Tree` has them cheaper."""
    _check_index(index, len(leaves))
    return list(Tree(leaves).path(index))


def verify(expected_root: bytes, *, index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> None:
    """Raises ProofError unless `path` leads from the leaf hash at `index` of `size` leaves to the root.

    RFC 9162, section 2.1.3.2: the length of the path follows from index and size, and nothing may be left of it.
    """
    _check_index(index, size)
    node, last, here, rest = leaf, size - 1, index, list(path)
    while last:
        if here & 1 or here != last:
            if not rest:
                raise ProofError("length of a Merkle path", expected="more nodes", actual=len(path))
            sibling = rest.pop(0)
            node = node_hash(sibling, node) if here & 1 else node_hash(node, sibling)
        here, last = here >> 1, last >> 1
    if rest:
        raise ProofError("length of a Merkle path", expected=len(path) - len(rest), actual=len(path))
    if node != expected_root:
        raise ProofError("root of a Merkle path", expected=expected_root, actual=node)


def _nodes(hashes: Sequence[bytes] | Bytes) -> Bytes:
    """(n, 32): the hashes, one a row, in an array of their own; n at least 1."""
    if not len(hashes):
        raise LengthError("number of leaves of a tree", expected="at least 1", actual=0)
    if isinstance(hashes, np.ndarray):
        return hashes.copy()
    return np.frombuffer(bytearray().join(hashes), dtype=np.uint8).reshape(len(hashes), HALF)


def _check_index(index: int, size: int) -> None:
    if not 0 <= index < size:
        raise RangeError("index of a leaf", expected=f"in 0..{size - 1}", actual=index)
