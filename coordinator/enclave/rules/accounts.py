"""What a round says of every counted row: kept, deviation, alignment, accumulated leaf by leaf.

Responsible for: the running totals of the column tree's leaves, from the rows and what the rule made of them.
Must not know:   hashes, slots that were not counted, what follows from a flag.

Spec: docs/protocol.md (column tree; what a round says of a counted slot).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from coordinator.enclave.rules.base import Aggregation, blocks
from protocol.fixedpoint import Int16, Int64, aggregate_to_int16
from protocol.trees import COLUMN_LEAF, Totals


def totals(rows: Int16, aggregation: Aggregation) -> Totals:
    """The running totals over the L = ceil(d / 16) leaves; entry c covers coordinates 0 .. min(16 * (c + 1), d) - 1.

    With r = saturate16(floorDiv(a + 2**14, 2**15)):
    kept:      (L, k) uint32, coordinates with low <= q <= high; without a range, all of a selected row, else none.
    deviation: (L, k) uint64, sum of (q - r)**2; each term is below 2**32, the sum below 2**64 for d < 2**32.
    alignment: (L, k) int64, sum of q * r; each term is at most 2**30, the sum below 2**62 for d < 2**32.
    """
    k, d = rows.shape
    leaves = -(-d // COLUMN_LEAF)
    kept = np.empty((leaves, k), dtype=np.uint32)
    deviation = np.empty((leaves, k), dtype=np.uint64)
    alignment = np.empty((leaves, k), dtype=np.int64)
    for block in blocks(k, d):
        first, last = block.start // COLUMN_LEAF, -(-block.stop // COLUMN_LEAF)
        before = first - 1 if first else None
        values = rows[:, block].astype(np.int64)  # (k, b)
        centre = aggregate_to_int16(aggregation.aggregate[block]).astype(np.int64)  # (b,)
        offset = values - centre
        deviation[first:last] = _leaf_sums(offset * offset)
        alignment[first:last] = _leaf_sums(values * centre)
        kept[first:last] = _leaf_sums(_kept(rows, aggregation, block).astype(np.int64))
        for total in (kept, deviation, alignment):
            if before is not None:
                total[first] += total[before]
            np.cumsum(total[first:last], axis=0, out=total[first:last])
    return Totals(kept=kept, deviation=deviation, alignment=alignment)


def flagged(totals: Totals) -> npt.NDArray[np.bool_]:
    """(k,) opposed: the row's whole inner product with the aggregate is negative."""
    opposed: npt.NDArray[np.bool_] = totals.alignment[-1] < 0
    return opposed


def _kept(rows: Int16, aggregation: Aggregation, block: slice) -> npt.NDArray[np.bool_]:
    """(k, b) whether the rule kept the value.  By value, so that slot order never decides it."""
    values = rows[:, block]
    if aggregation.low is None or aggregation.high is None:
        return np.broadcast_to(aggregation.selected[:, None], values.shape)
    return (aggregation.low[block] <= values) & (values <= aggregation.high[block])


def _leaf_sums(values: Int64) -> Int64:
    """(k, b) -> (leaves, k), sums over 16 coordinates; the last leaf may be short, nothing past d is counted."""
    starts = np.arange(0, values.shape[1], COLUMN_LEAF)
    return np.add.reduceat(values, starts, axis=1).T
