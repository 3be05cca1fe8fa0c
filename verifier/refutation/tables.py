"""Leaves as arrays, so that a whole tree is compared at once; a leaf of a wrong length is marked, and zero.

Responsible for: bytes of many leaves to one array, and which of them are what they have to be.
Must not know:   what is compared with what.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256 as _sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocol.openings import Leaves
from protocol.trees import COLUMN_LEAF, ROW_LEAF, TOTALS_DTYPE
from verifier.refutation.statement import Facts

COLUMN_LEAF_BYTES = 32 + 32 + 4 * COLUMN_LEAF
COLUMNS_BYTES = 2 * COLUMN_LEAF
"""Of one counted slot."""
TOTALS_BYTES = TOTALS_DTYPE.itemsize
"""Of one counted slot."""
ROW_LEAF_BYTES = 2 * ROW_LEAF
MODEL_LEAF_BYTES = 4 * ROW_LEAF

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """The leaves of one tree."""

    values: NDArray[Any]
    """(N, ...), one entry a leaf."""
    is_good: Flags
    """(N,) whether the leaf is there and has its length; where not, its values are zero and say nothing."""
    is_bad: Flags
    """(N,) whether the leaf is there and has another length."""

    def first_bad(self) -> int | None:
        """The first leaf of a wrong length."""
        return first(self.is_bad.reshape(-1))


def table(leaves: Sequence[bytes | None], dtype: str | np.dtype[Any], shape: tuple[int, ...]) -> Table:
    """leaves: N of them.   dtype, shape: of one leaf."""
    kind = np.dtype(dtype)
    size = kind.itemsize * int(np.prod(shape))
    is_there = np.array([leaf is not None for leaf in leaves], dtype=np.bool_)
    is_good = np.array([leaf is not None and len(leaf) == size for leaf in leaves], dtype=np.bool_)
    data = b"".join(leaf if leaf is not None and len(leaf) == size else bytes(size) for leaf in leaves)
    values = np.frombuffer(data, dtype=kind).reshape(len(leaves), *shape)
    return Table(values=values, is_good=is_good, is_bad=is_there & ~is_good)


def first(flags: Flags) -> int | None:
    """Index of the first that is set."""
    found = np.flatnonzero(flags)
    return int(found[0]) if len(found) else None


class Tables:
    """The trees of a round that are open, as arrays; each is made when it is first looked at.

    L column leaves, k counted slots, C chunks, N leaves of a row or a model.
    """

    def __init__(self, facts: Facts, leaves: Leaves) -> None:
        self._leaves, self._k, self._chunks = leaves, len(facts.slots), facts.chunks
        self._rows: dict[int, Table] = {}

    @cached_property
    def known_columns(self) -> Flags:
        """(L,) whether the bytes that one has are those that the leaf's first hash is of."""
        parts = ((leaf.columns, leaf.data[:32]) if leaf else (b"", b"") for leaf in self._leaves.columns or ())
        return np.array([_sha256(data).digest() == digest for data, digest in parts], dtype=np.bool_)

    @cached_property
    def known_totals(self) -> Flags:
        """(L,) the same of the second hash."""
        parts = ((leaf.totals, leaf.data[32:64]) if leaf else (b"", b"") for leaf in self._leaves.columns or ())
        return np.array([_sha256(data).digest() == digest for data, digest in parts], dtype=np.bool_)

    @cached_property
    def columns(self) -> Table:
        """(L, k, 16) int16; good or bad only where the leaf is 128 bytes and its columns are known."""
        parts = [leaf.columns if leaf else None for leaf in self._leaves.columns or ()]
        return self._where(self.known_columns, table(parts, "<i2", (self._k, COLUMN_LEAF)))

    @cached_property
    def totals(self) -> Table:
        """(L, k) of kept, deviation and alignment; good or bad as the columns are."""
        parts = [leaf.totals if leaf else None for leaf in self._leaves.columns or ()]
        return self._where(self.known_totals, table(parts, TOTALS_DTYPE, (self._k,)))

    def _where(self, is_known: Flags, found: Table) -> Table:
        is_open = is_known & self.aggregate.is_good
        return Table(values=found.values, is_good=found.is_good & is_open, is_bad=found.is_bad & is_open)

    @cached_property
    def aggregate(self) -> Table:
        """(L, 16) int32; good where the leaf of the column tree is 128 bytes."""
        leaves = [leaf.data if leaf else None for leaf in self._leaves.columns or ()]
        found = table(leaves, "u1", (COLUMN_LEAF_BYTES,))
        tails = np.ascontiguousarray(found.values[:, 64:]).view("<i4")
        return Table(values=tails, is_good=found.is_good, is_bad=found.is_bad)

    @cached_property
    def gram(self) -> Table:
        """(C, k, k) int64; good and bad are (C, k)."""
        found, shape = table(self._leaves.gram or (), ">i8", (self._k,)), (self._chunks, self._k)
        values = found.values.reshape(*shape, self._k)
        return Table(values=values, is_good=found.is_good.reshape(shape), is_bad=found.is_bad.reshape(shape))

    @cached_property
    def base(self) -> Table:
        """(N, 256) int32."""
        return table(self._leaves.base or (), "<i4", (ROW_LEAF,))

    @cached_property
    def model(self) -> Table:
        """(N, 256) int32."""
        return table(self._leaves.model or (), "<i4", (ROW_LEAF,))

    def row(self, slot: int) -> Table:
        """(N, 256) int16 of a counted slot."""
        if slot not in self._rows:
            self._rows[slot] = table(self._leaves.rows[slot], "<i2", (ROW_LEAF,))
        return self._rows[slot]
