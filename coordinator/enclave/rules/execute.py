"""Walking the coordinates: passes for inner products, and a plan done to every block.

Responsible for: blocks, and NumPy or machine code (machine.py) for each: the same integers either way.
Must not know:   why a row is chosen, weighed or mixed.

Spec: docs/rules.md, docs/decisions/0019-kernels.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np
import numpy.typing as npt

from coordinator.enclave.rules import machine
from coordinator.enclave.rules.plan import Columns, Mixed, Plan, Scaled, Transform
from coordinator.enclave.rules.points import Exact, Pass, digits_for, digits_of, from_digits
from coordinator.enclave.rules.products import gram_of_block, norms_of_block
from protocol.fixedpoint import Int16
from protocol.trees import COLUMN_LEAF

BLOCK_ELEMENTS = 1 << 18
"""Elements of a block over all rows: 2 MiB as int64, so that it and its temporaries stay near the cache."""


def block_of(rows: Sequence[Int16], coordinates: slice) -> Int16:
    """(k, b) a copy of these coordinates of all rows."""
    return np.stack([row[coordinates] for row in rows])


def blocks(k: int, coordinates: slice) -> Iterator[slice]:
    """Slices of the coordinates, each of whole leaves (but the last) and small over all k rows."""
    width = max(1, BLOCK_ELEMENTS // (max(k, 1) * COLUMN_LEAF)) * COLUMN_LEAF
    for start in range(coordinates.start, coordinates.stop, width):
        yield slice(start, min(start + width, coordinates.stop))


def look_at(rows: Sequence[Int16]) -> Pass:
    """Passes over all coordinates of these rows."""

    def look(transforms: tuple[Transform, ...], everything: bool) -> Exact:
        return products(rows, transforms, slice(0, len(rows[0])), everything=everything)

    return look


def products(
    rows: Sequence[Int16], transforms: Sequence[Transform], coordinates: slice, *, everything: bool = True
) -> Exact:
    """Inner products of the rows behind the transforms, over some coordinates: (n, n), or (n,) of each with itself.

    Those of all parts of the coordinates add up to those of all coordinates.
    int64 for int16 rows: |G| <= d * 2**30 < 2**62 for d < 2**32.  Else Python's integers.
    """
    if machine.is_worth_it(rows, coordinates) and all(isinstance(step, Scaled) for step in transforms):
        return machine.products(rows, transforms, coordinates, everything=everything)
    scale = prod(step.scale for step in transforms if isinstance(step, Mixed))
    is_mixed = any(isinstance(step, Mixed) for step in transforms)
    count = digits_for(scale)
    total: Exact = np.zeros((), dtype=np.int64)
    for block in blocks(len(rows), coordinates):
        values: npt.NDArray[np.integer] = block_of(rows, block)
        for transform in transforms:
            values = transform.apply(values)
        narrow = digits_of(values, count) if is_mixed else values.astype(np.int16, copy=False)
        total = total + (gram_of_block(narrow) if everything or is_mixed else norms_of_block(narrow))
    if is_mixed:
        total = from_digits(total, count)
        return total if everything else np.diagonal(total)
    return total


def run(plan: Plan, rows: Sequence[Int16], coordinates: slice | None = None) -> Columns:
    """The aggregate of all coordinates or of these, as int32.

    Where ranks of the rows themselves are kept, also the smallest and largest value kept, int16: `kept_counts` needs no
    second look then.  Of rows that were scaled or mixed these would be wider than what they say is worth.
    """
    coordinates = coordinates or slice(0, len(rows[0]))
    if machine.is_worth_it(rows, coordinates):
        return machine.run(plan, rows, coordinates)
    size = coordinates.stop - coordinates.start
    aggregate = np.empty(size, dtype=np.int32)
    ends = [np.empty(size, dtype=np.int16) for _ in range(2)] if plan.has_range else []
    for block in blocks(len(rows), coordinates):
        columns = plan.apply(block_of(rows, block))
        at = slice(block.start - coordinates.start, block.stop - coordinates.start)
        # Never saturates but where the plan says so: a mean of values within int16 times 2**15 lies in [-2**30, 2**30).
        aggregate[at] = columns.aggregate
        for end, found in zip(ends, (columns.low, columns.high), strict=False):
            end[at] = found
    return Columns(aggregate, *ends) if ends else Columns(aggregate, None, None)


def kept_counts(plan: Plan, rows: Sequence[Int16], count: int, leaves: slice) -> npt.NDArray[np.uint8]:
    """(leaves, count) in how many coordinates of each leaf the plan kept what stands for each of `count` rows.

    For plans that rank values; on one thread, so that many leaves can be done on many.
    """
    coordinates = slice(leaves.start * COLUMN_LEAF, min(leaves.stop * COLUMN_LEAF, len(rows[0])))
    chosen = plan.selected_rows()
    counts = np.empty((leaves.stop - leaves.start, count), dtype=np.uint8)
    is_large = machine.is_worth_it(rows, slice(0, len(rows[0])))
    for block in blocks(len(rows), coordinates):
        values = machine.transformed(plan, rows, block) if is_large else plan.transformed(block_of(rows, block))
        columns = machine.ranked(plan.combination, values) if is_large else plan.combination.apply(values)
        if columns.low is None or columns.high is None:
            raise TypeError("kept counts of a plan that does not rank")
        standing = values[list(plan.stands)]
        kept = (columns.low <= standing) & (standing <= columns.high) & chosen[:, None]
        starts = np.arange(0, kept.shape[1], COLUMN_LEAF)
        first = (block.start - coordinates.start) // COLUMN_LEAF
        counts[first : first + len(starts)] = np.add.reduceat(kept, starts, axis=1, dtype=np.uint8).T
    return counts
