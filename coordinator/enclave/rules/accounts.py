"""What a round says of every counted row: kept, deviation, alignment, accumulated leaf by leaf.

Responsible for: the running totals of the column tree's leaves, from the rows and what the rule made of them.
Must not know:   hashes, slots that were not counted, what follows from a flag.

Spec: docs/protocol.md (column tree; what a round says of a counted slot).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from coordinator.enclave.rules.base import Aggregation, Rows, blocks
from coordinator.enclave.rules.execute import block_of
from protocol.errors import RangeError
from protocol.fixedpoint import Int16, Int64, aggregate_to_int16
from protocol.trees import COLUMN_LEAF, Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Totals of every counted row up to some leaf; k each."""

    kept: list[int]
    deviation: list[int]
    alignment: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafTotals:
    """Totals before one leaf and with it."""

    before: Sums
    after: Sums


def at_leaf(totals: Totals, leaf: int) -> LeafTotals:
    """Those of one leaf, of totals that are all there.  Raises RangeError."""
    if not 0 <= leaf < len(totals.kept):
        raise RangeError("leaf to check", expected=f"0 to {len(totals.kept) - 1}", actual=leaf)
    arrays = (totals.kept, totals.deviation, totals.alignment)
    nothing = [[0] * totals.kept.shape[1]] * 3
    before, after = ([[int(sum_) for sum_ in array[at]] for array in arrays] for at in (leaf - 1, leaf))
    return LeafTotals(before=_sums(before if leaf else nothing), after=_sums(after))


def totals(rows: Rows, aggregation: Aggregation) -> Totals:
    """The running totals over the L = ceil(d / 16) leaves; entry c covers coordinates 0 .. min(16 * (c + 1), d) - 1.

    With r = saturate16(floorDiv(a + 2**14, 2**15)):
    kept:      (L, k) uint32, coordinates at which the row that stands for it was kept: see docs/rules.md.
    deviation: (L, k) uint64, sum of (q - r)**2; each term is below 2**32, the sum below 2**64 for d < 2**32.
    alignment: (L, k) int64, sum of q * r; each term is at most 2**30, the sum below 2**62 for d < 2**32.
    """
    k, d = len(rows), len(rows[0])
    leaves = -(-d // COLUMN_LEAF)
    kept = np.empty((leaves, k), dtype=np.uint32)
    deviation = np.empty((leaves, k), dtype=np.uint64)
    alignment = np.empty((leaves, k), dtype=np.int64)
    for block in blocks(k, d):
        first, last = block.start // COLUMN_LEAF, -(-block.stop // COLUMN_LEAF)
        before = first - 1 if first else None
        sent = block_of(rows, block)
        values = sent.astype(np.int64)  # (k, b)
        centre = aggregate_to_int16(aggregation.aggregate[block]).astype(np.int64)  # (b,)
        offset = values - centre
        deviation[first:last] = _leaf_sums(offset * offset)
        alignment[first:last] = _leaf_sums(values * centre)
        kept[first:last] = _leaf_sums(kept_in(sent, aggregation, block).astype(np.int64))
        for total in (kept, deviation, alignment):
            if before is not None:
                total[first] += total[before]
            np.cumsum(total[first:last], axis=0, out=total[first:last])
    return Totals(kept=kept, deviation=deviation, alignment=alignment)


def flagged(totals: Totals) -> npt.NDArray[np.bool_]:
    """(k,) opposed: the row's whole inner product with the aggregate is negative."""
    opposed: npt.NDArray[np.bool_] = totals.alignment[-1] < 0
    return opposed


def kept_in(sent: Int16, aggregation: Aggregation, block: slice) -> npt.NDArray[np.bool_]:
    """(k, b) whether the rule kept the value.  By value, so that slot order never decides it.

    sent: (k, b) the counted rows' coordinates of the block.
    """
    whole = np.broadcast_to(aggregation.selected[:, None], sent.shape)
    if aggregation.low is None or aggregation.high is None:
        return whole
    plan = aggregation.plan
    standing = plan.transformed(sent)[list(plan.stands)] if plan.transforms else sent
    return whole & (aggregation.low[block] <= standing) & (standing <= aggregation.high[block])


def _leaf_sums(values: Int64) -> Int64:
    """(k, b) -> (leaves, k), sums over 16 coordinates; the last leaf may be short, nothing past d is counted."""
    starts = np.arange(0, values.shape[1], COLUMN_LEAF)
    return np.add.reduceat(values, starts, axis=1).T


def _sums(lines: list[list[int]]) -> Sums:
    return Sums(kept=lines[0], deviation=lines[1], alignment=lines[2])
