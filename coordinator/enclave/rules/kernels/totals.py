"""The column tree of a round with its running totals: kept, deviation and alignment, leaf by leaf.

Responsible for: the totals of every leaf, in the bytes that the tree hashes, and the totals at its end.
Must not know:   rules, what a kept value is kept for, or what a leaf hashes to (protocol/trees.py).

Totals run over all leaves, yet blocks of leaves are done on all processors: first what each block adds, then, with what
came before it, its 20-byte records and their hashes.  Some blocks at a time, so that a block is still near when it
is read again, and so that no more than these exist at once beside one hash for each block.

Spec: docs/protocol.md (column tree; what a round says of a counted slot), docs/decisions/0019-kernels.md.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from coordinator.enclave.rules.kernels import totals_text
from coordinator.enclave.rules.kernels.assembly import made_once
from protocol.errors import LengthError, MalformedError, RangeError
from protocol.fixedpoint import Int16, Int32, Int64, aggregate_to_int16
from protocol.native import Code, each
from protocol.native.sha256 import HASHLIB
from protocol.trees import COLUMN_LEAF, TOTALS_DTYPE, ColumnTree, Rows

Counts = Callable[[slice], npt.NDArray[np.uint8]]
"""(leaves, k) how many coordinates of each row were kept in each leaf of a slice of leaves; on any thread."""

_SPAN = 32
"""Blocks that are added up before they are hashed; about 1 MiB each."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowTotals:
    """What the totals of k rows are after some leaf."""

    kept: npt.NDArray[np.uint32]
    """(k,) coordinates kept."""
    deviation: npt.NDArray[np.uint64]
    """(k,) squared distance from r."""
    alignment: Int64
    """(k,) inner product with r."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Account:
    """A column tree that is done."""

    root: bytes
    """The column root; 32 bytes."""
    totals: RowTotals
    """After the last leaf."""
    at: dict[int, tuple[RowTotals, RowTotals]]
    """Before and after each leaf that was asked for."""


def account(
    rows: Rows,
    aggregate: Int32,
    *,
    selected: npt.NDArray[np.bool_],
    low: Int16 | None = None,
    high: Int16 | None = None,
    counts: Counts | None = None,
    leaves: Sequence[int] = (),
) -> Account:
    """The column tree of these rows and the totals that it commits to; never called by what `native.each` runs.

    rows:      k vectors (d,) int16, or (k, d); contiguous ones are not copied.
    aggregate: (d,) int32.
    selected:  (k,) rows of which anything is kept.
    low, high: (d,) int16; of a selected row the values from low to high are kept; all, where there is neither.
    counts:    instead of these three, for what is not to be told from a row's own values.
    leaves:    whose totals before and after are wanted.

    With r = saturate16(floorDiv(a + 2**14, 2**15)), over coordinates 0 .. min(16 * (leaf + 1), d) - 1:
    kept:      uint32, coordinates kept.
    deviation: uint64, sum of (q - r)**2; each term is below 2**32, the sum below 2**64 for d < 2**32.
    alignment: int64, sum of q * r; each term is at most 2**30, the sum below 2**62 for d < 2**32.

    Raises: LengthError, MalformedError for another type, RangeError for a leaf that there is not.
    """
    tree = ColumnTree(rows, aggregate)
    for leaf in leaves:
        if not 0 <= leaf < tree.size:
            raise RangeError("leaf whose totals are wanted", expected=f"0 to {tree.size - 1}", actual=leaf)
    walk = _Walk(tree, _Keeping(tree, selected, low, high, counts), set(leaves))
    total = walk.in_order() if tree.hasher is HASHLIB else walk.in_spans()
    return Account(root=tree.root(), totals=total.row_totals(), at=walk.at)


class _Sums:
    """Totals of k rows that grow leaf by leaf."""

    def __init__(self, k: int) -> None:
        self.kept = np.zeros(k, dtype=np.uint32)
        self.sums = np.zeros((k, 2), dtype=np.uint64)
        """Deviation and alignment, modulo 2**64."""

    def __add__(self, other: _Sums) -> _Sums:
        out = _Sums(len(self.kept))
        out.kept[:], out.sums[:] = self.kept + other.kept, self.sums + other.sums
        return out

    def row_totals(self) -> RowTotals:
        """For others."""
        alignment = self.sums[:, 1].astype(np.int64)
        return RowTotals(kept=self.kept.copy(), deviation=self.sums[:, 0].copy(), alignment=alignment)


class _Keeping:
    """Which coordinates are kept."""

    def __init__(
        self,
        tree: ColumnTree,
        selected: npt.NDArray[np.bool_],
        low: Int16 | None,
        high: Int16 | None,
        counts: Counts | None,
    ) -> None:
        d, k = len(tree.aggregate), len(tree.lines)
        if selected.dtype != np.bool_ or selected.shape != (k,):
            actual = f"{selected.shape} of {selected.dtype}"
            raise MalformedError("selected rows", expected=f"({k},) of bool", actual=actual)
        for limit in (low, high):
            if (limit is None) != (low is None) or (limit is not None and limit.dtype != np.int16):
                raise MalformedError("range of kept values", expected="two vectors of int16, or none", actual=limit)
            if limit is not None and limit.shape != (d,):
                raise LengthError("range of kept values", expected=(d,), actual=limit.shape)
        self.low = None if low is None else np.ascontiguousarray(low)
        self.high = None if high is None else np.ascontiguousarray(high)
        self.selected = selected
        self._counts = counts
        self.way = "counted" if counts is not None else "whole" if low is None else "ranged"
        """How it is said; a module of totals_text."""

    def counted(self, leaves: slice, k: int) -> npt.NDArray[np.uint8] | None:
        """(leaves, k) contiguous, or None where selected, low and high say it.  Raises MalformedError."""
        if self._counts is None:
            return None
        found = self._counts(leaves)
        shape = (leaves.stop - leaves.start, k)
        if found.dtype != np.uint8 or found.shape != shape:
            raise MalformedError("kept", expected=f"{shape} of uint8", actual=f"{found.shape} of {found.dtype}")
        return np.ascontiguousarray(found)


Records = npt.NDArray[np.void]
"""(leaves, k) of TOTALS_DTYPE."""
Counted = npt.NDArray[np.uint8] | None
Vector = npt.NDArray[np.integer] | None
Tally = Callable[[ColumnTree, slice, _Keeping, Counted, _Sums, Records | None], None]
"""Adds a block's leaves to the sums one by one, and writes what they are after each where that is wanted."""


class _Walk:
    """From the first block of a tree to its last."""

    def __init__(self, tree: ColumnTree, keeping: _Keeping, wanted: set[int]) -> None:
        self.at: dict[int, tuple[RowTotals, RowTotals]] = {}
        """Totals before and after each wanted leaf."""
        self._tree, self._keeping, self._wanted, self._k = tree, keeping, wanted, len(tree.lines)

    def in_order(self) -> _Sums:
        """Block after block, on this thread, in NumPy; the totals at the end."""
        total = _Sums(self._k)
        for block, leaves in enumerate(self._tree.blocks):
            total = self._put(block, self._keeping.counted(leaves, self._k), total, _plain)
        return total

    def in_spans(self) -> _Sums:
        """Some blocks at a time, on all processors, in machine code; the totals at the end."""
        _code(self._keeping.way)  # made once, before several threads want it
        total = _Sums(self._k)
        for first in range(0, len(self._tree.blocks), _SPAN):
            total = self._span(first, total)
        return total

    def _span(self, first: int, before: _Sums) -> _Sums:
        tree = self._tree
        slices = tree.blocks[first : first + _SPAN]
        added = [_Sums(self._k) for _ in slices]
        counted: list[Counted] = [None] * len(slices)

        def add(i: int) -> None:
            counted[i] = self._keeping.counted(slices[i], self._k)
            _fast(tree, slices[i], self._keeping, counted[i], added[i], None)

        each(add, range(len(slices)))
        starts = list(accumulate(added, initial=before))

        def put(i: int) -> None:
            self._put(first + i, counted[i], starts[i], _fast)

        each(put, range(len(slices)))
        return starts[-1]

    def _put(self, block: int, counted: Counted, before: _Sums, tally: Tally) -> _Sums:
        """One block into the tree; the totals after it."""
        leaves, sums = self._tree.blocks[block], before + _Sums(self._k)
        records = np.empty((leaves.stop - leaves.start, self._k), dtype=TOTALS_DTYPE)
        tally(self._tree, leaves, self._keeping, counted, sums, records)
        self._tree.put(block, records)
        for leaf in self._wanted.intersection(range(leaves.start, leaves.stop)):
            here = leaf - leaves.start
            earlier = _row_totals(records[here - 1]) if here else before.row_totals()
            self.at[leaf] = (earlier, _row_totals(records[here]))
        return sums


def _row_totals(records: npt.NDArray[np.void]) -> RowTotals:
    """(k,) of TOTALS_DTYPE."""
    return RowTotals(
        kept=records["kept"].astype(np.uint32),
        deviation=records["deviation"].astype(np.uint64),
        alignment=records["alignment"].astype(np.int64),
    )


# --- in NumPy ---------------------------------------------------------------------------------------------------------


def _plain(
    tree: ColumnTree, leaves: slice, keeping: _Keeping, counted: Counted, sums: _Sums, records: Records | None
) -> None:
    block = slice(leaves.start * COLUMN_LEAF, min(leaves.stop * COLUMN_LEAF, len(tree.aggregate)))
    sent = np.stack([row[2 * block.start : 2 * block.stop].view("<i2") for row in tree.lines.arrays])
    values = sent.astype(np.int64)  # (k, b)
    centre = aggregate_to_int16(tree.aggregate[block]).astype(np.int64)  # (b,)
    offset = values - centre
    kept = np.broadcast_to(keeping.selected[:, None], sent.shape)
    if keeping.low is not None and keeping.high is not None:
        kept = kept & (keeping.low[block] <= sent) & (sent <= keeping.high[block])
    here = _leaf_sums(kept.astype(np.int64)) if counted is None else counted.astype(np.int64)
    running_kept = sums.kept + np.cumsum(here, axis=0).astype(np.uint32)
    both = np.stack([_leaf_sums(offset * offset), _leaf_sums(values * centre)], axis=2).astype(np.uint64)
    running = sums.sums + np.cumsum(both, axis=0, dtype=np.uint64)  # (leaves, k, 2)
    if records is not None:
        records["kept"], records["deviation"] = running_kept, running[:, :, 0]
        records["alignment"] = running[:, :, 1].astype(np.int64)
    sums.kept[:], sums.sums[:] = running_kept[-1], running[-1]


def _leaf_sums(values: Int64) -> Int64:
    """(k, b) -> (leaves, k), sums over 16 coordinates; the last leaf may be short, nothing past d is counted."""
    starts = np.arange(0, values.shape[1], COLUMN_LEAF)
    return np.add.reduceat(values, starts, axis=1).T


# --- in machine code --------------------------------------------------------------------------------------------------


def _fast(
    tree: ColumnTree, leaves: slice, keeping: _Keeping, counted: Counted, sums: _Sums, records: Records | None
) -> None:
    d, k = len(tree.aggregate), len(tree.lines)
    start, whole = leaves.start * COLUMN_LEAF, min(leaves.stop, d // COLUMN_LEAF) - leaves.start
    vectors: tuple[Vector, ...] = (tree.aggregate, keeping.low, keeping.high)
    if whole:
        addresses = tree.lines.addresses + np.uint64(2 * start)
        here = [None if v is None else v[start:] for v in vectors]
        _call(addresses, here, keeping, counted, COLUMN_LEAF, whole, sums, records)
    if whole < leaves.stop - leaves.start:  # the last leaf of the tree: zeros past d, of which none is kept
        start = d // COLUMN_LEAF * COLUMN_LEAF
        padded = np.stack([_filled(row[2 * start :].view("<i2"), 0) for row in tree.lines.arrays])
        addresses = np.uint64(padded.ctypes.data) + np.arange(k, dtype=np.uint64) * np.uint64(2 * COLUMN_LEAF)
        here = [None if v is None else _filled(v[start:], fill) for v, fill in zip(vectors, (0, 1, 0), strict=True)]
        rest = (None if counted is None else counted[whole:], d % COLUMN_LEAF, 1)
        _call(addresses, here, keeping, *rest, sums, None if records is None else records[whole:])


def _filled(values: npt.NDArray[np.integer], fill: int) -> npt.NDArray[np.integer]:
    out = np.full(COLUMN_LEAF, fill, dtype=values.dtype)
    out[: len(values)] = values
    return out


def _call(
    addresses: npt.NDArray[np.uint64],
    vectors: Sequence[Vector],
    keeping: _Keeping,
    counted: Counted,
    width: int,
    leaves: int,
    sums: _Sums,
    records: Records | None,
) -> None:
    """vectors: aggregate, low, high from the first of the leaves on.  width: coordinates of a leaf that count."""
    aggregate, low, high = vectors
    centre = np.empty(leaves * COLUMN_LEAF, dtype=np.int16)
    squares = np.empty(leaves, dtype=np.uint64)
    code = _code(keeping.way)
    code.centre(*_places(aggregate, centre, squares), leaves)
    arrays = (addresses, centre, squares, low, high, -keeping.selected.astype(np.int32), counted)
    work = code.add if records is None else code.write
    work(*_places(*arrays, sums.kept, sums.sums, records), width, len(addresses), leaves)


def _places(*arrays: npt.NDArray[Any] | None) -> list[int | None]:
    return [None if array is None else array.__array_interface__["data"][0] for array in arrays]


class _Functions(NamedTuple):
    """Of totals_text."""

    centre: Callable[..., None]
    add: Callable[..., None]
    write: Callable[..., None]


@made_once
def _code(way: str) -> _Functions:
    code = Code(totals_text.text(way), optimise=False)
    pointer, integer = ctypes.c_void_p, ctypes.c_int64
    walk = [*[pointer] * 10, *[integer] * 3]
    centre = code.function("centre", *[pointer] * 3, integer)
    return _Functions(centre, code.function("add", *walk), code.function("write", *walk))
