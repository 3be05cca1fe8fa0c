"""What a round says of every counted row: kept, deviation, alignment, accumulated leaf by leaf.

Responsible for: the running totals of the column tree's leaves, from the rows and what the rule made of them.
Must not know:   slots that were not counted, what follows from a flag.

`account` is for a round: it hashes as it goes, and has only the totals that somebody asks for.  `totals` has all of
them, 20 bytes for every row and leaf: for openings, and for tests.

Spec: docs/protocol.md (column tree; what a round says of a counted slot), docs/rules.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from coordinator.enclave.rules.base import Aggregation
from coordinator.enclave.rules.execute import block_of, blocks, kept_counts
from coordinator.enclave.rules.kernels.totals import Account, RowTotals
from coordinator.enclave.rules.kernels.totals import account as account_of
from protocol.fixedpoint import Int64, aggregate_to_int16
from protocol.trees import COLUMN_LEAF, Rows, Totals

LeafTotals = tuple[RowTotals, RowTotals]
"""Totals before one leaf, and with it."""


def account(rows: Rows, aggregation: Aggregation, *, leaves: Sequence[int] = ()) -> Account:
    """Root of the column tree and last totals, and those before and at some leaves.

    rows: (k, d) the counted rows, without a further one of the rule.
    Raises: RangeError (a leaf that there is not).
    """
    counts = None
    if aggregation.low is None and not aggregation.plan.keeps_whole_rows:
        counts = partial(kept_counts, aggregation.plan, tuple(rows), len(rows))
    return account_of(
        rows,
        aggregation.aggregate,
        selected=aggregation.selected,
        low=aggregation.low,
        high=aggregation.high,
        counts=counts,
        leaves=leaves,
    )


def totals(rows: Rows, aggregation: Aggregation) -> Totals:
    """The running totals over the L = ceil(d / 16) leaves; entry c covers coordinates 0 .. min(16 * (c + 1), d) - 1.

    rows: as for `account`.  With r = saturate16(floorDiv(a + 2**14, 2**15)):
    kept:      (L, k) uint32, coordinates at which the row that stands for it was kept: see docs/rules.md.
    deviation: (L, k) uint64, sum of (q - r)**2; each term is below 2**32, the sum below 2**64 for d < 2**32.
    alignment: (L, k) int64, sum of q * r; each term is at most 2**30, the sum below 2**62 for d < 2**32.
    """
    k, d = len(rows), len(rows[0])
    leaves = -(-d // COLUMN_LEAF)
    kept = np.empty((leaves, k), dtype=np.uint32)
    deviation = np.empty((leaves, k), dtype=np.uint64)
    alignment = np.empty((leaves, k), dtype=np.int64)
    lines = tuple(rows)
    for block in blocks(k, slice(0, d)):
        at = slice(block.start // COLUMN_LEAF, -(-block.stop // COLUMN_LEAF))
        values = block_of(lines, block).astype(np.int64)  # (k, b)
        centre = aggregate_to_int16(aggregation.aggregate[block]).astype(np.int64)  # (b,)
        offset = values - centre
        deviation[at] = _leaf_sums(offset * offset)
        alignment[at] = _leaf_sums(values * centre)
        if aggregation.plan.keeps_whole_rows:
            kept[at] = _leaf_sums(np.broadcast_to(aggregation.selected[:, None], values.shape).astype(np.int64))
        else:
            kept[at] = kept_counts(aggregation.plan, lines, k, at)
        for total in (kept, deviation, alignment):
            if at.start:
                total[at.start] += total[at.start - 1]
            np.cumsum(total[at], axis=0, out=total[at])
    return Totals(kept=kept, deviation=deviation, alignment=alignment)


def flagged(totals: Totals) -> npt.NDArray[np.bool_]:
    """(k,) opposed: the row's whole inner product with the aggregate is negative."""
    opposed: npt.NDArray[np.bool_] = totals.alignment[-1] < 0
    return opposed


def _leaf_sums(values: Int64) -> Int64:
    """(k, b) -> (leaves, k), sums over 16 coordinates; the last leaf may be short, nothing past d is counted."""
    starts = np.arange(0, values.shape[1], COLUMN_LEAF)
    return np.add.reduceat(values, starts, axis=1).T
