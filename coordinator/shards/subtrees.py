"""Roots over trees of which everybody hashes another part.

Responsible for: a run of consecutive leaves as perfect subtrees, and the root of runs that lie side by side.
Must not know:   what is in a leaf, who hashed which run.

A tree of RFC 9162 splits at the largest power of two below its size.  So the 2**h leaves from a multiple of 2**h on are
a subtree of every tree that has them, wherever it ends, and its root is the same.

Spec: docs/protocol.md section 3.  Source: RFC 9162, section 2.1.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from protocol import merkle


class Subtree(NamedTuple):
    """A perfect subtree."""

    height: int
    """It has 2**height leaves."""
    root: bytes
    """32 bytes."""


def perfect(first: int, stop: int, *, tallest: int = 64) -> Iterator[tuple[int, int]]:
    """Leaves `first` to `stop` - 1 as perfect subtrees, from the left: the first leaf of each, and its height.

    tallest: none is higher.
    """
    while first < stop:
        height = min(tallest, (stop - first).bit_length() - 1)
        if first:
            height = min(height, (first & -first).bit_length() - 1)  # the largest power of two that divides it
        yield first, height
        first += 1 << height


class Growing:
    """A tree that grows to the right by subtrees."""

    def __init__(self) -> None:
        self._peaks: list[Subtree] = []

    def extend(self, added: Iterable[Subtree]) -> None:
        """Adds what lies right of everything so far, from the left."""
        for subtree in added:
            # From the left, heights fall; two of the same height are neighbours below one node.
            while self._peaks and self._peaks[-1].height == subtree.height:
                subtree = Subtree(subtree.height + 1, merkle.node_hash(self._peaks.pop().root, subtree.root))
            self._peaks.append(subtree)

    @property
    def root(self) -> bytes:
        """The root; at least one leaf was added."""
        *left, last = self._peaks
        node = last.root
        for peak in reversed(left):
            node = merkle.node_hash(peak.root, node)
        return node
