"""Walking the coordinates: passes for inner products, and a plan done to every block.

Responsible for: blocks, and NumPy or machine code (kernels/) for each: the same integers either way.
Must not know:   why a row is chosen, weighed or mixed.

Spec: docs/rules.md, docs/decisions/0019-kernels.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from coordinator.enclave.rules.base import Rows, blocks
from coordinator.enclave.rules.plan import Block, Columns, Plan, Transform
from coordinator.enclave.rules.points import Exact, Pass, exact_gram
from coordinator.enclave.rules.products import gram_of_block, norms_of_block
from protocol.fixedpoint import Int16


def block_of(rows: Rows, coordinates: slice) -> Int16:
    """(k, b) a copy of these coordinates of all rows."""
    return np.stack([row[coordinates] for row in rows])


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
    total: Exact = np.zeros((), dtype=np.int64)
    for block in _parts(len(rows), coordinates):
        values: Block = block_of(rows, block)
        for transform in transforms:
            values = transform.apply(values)
        if values.dtype == np.int16:
            rows16: Int16 = values.astype(np.int16, copy=False)
            found: Exact = gram_of_block(rows16) if everything else norms_of_block(rows16)
        else:
            found = exact_gram(values, gram_of_block)
            found = found if everything else np.diagonal(found)
        total = total + found
    return total


def run(plan: Plan, rows: Sequence[Int16], coordinates: slice | None = None) -> Columns:
    """The aggregate (int32) and what was kept, of all coordinates or of these."""
    coordinates = coordinates or slice(0, len(rows[0]))
    size = coordinates.stop - coordinates.start
    aggregate = np.empty(size, dtype=np.int32)
    ends: list[npt.NDArray[np.integer]] = []
    for block in _parts(len(rows), coordinates):
        columns = plan.apply(block_of(rows, block))
        at = slice(block.start - coordinates.start, block.stop - coordinates.start)
        # Never saturates but where the plan says so: a mean of values within int16 times 2**15 lies in [-2**30, 2**30).
        aggregate[at] = columns.aggregate
        if columns.low is not None and columns.high is not None:
            ends = ends or [np.empty(size, dtype=_narrow(plan, columns.low)) for _ in range(2)]
            ends[0][at], ends[1][at] = columns.low, columns.high
    return Columns(aggregate, *ends) if ends else Columns(aggregate, None, None)


def _parts(k: int, coordinates: slice) -> list[slice]:
    first = coordinates.start
    size = coordinates.stop - first
    return [slice(first + block.start, first + block.stop) for block in blocks(k, size)]


def _narrow(plan: Plan, ends: Block) -> npt.DTypeLike:
    """Values of rows that nothing mixed are int16, whatever they were computed in."""
    return np.int16 if all(not hasattr(step, "members") for step in plan.transforms) else ends.dtype
