"""A plan done by machine code, on all processors.

Responsible for: when that is worth it, cutting the coordinates into parts, and which kernel does which step.
Must not know:   why a row is chosen, weighed or mixed; how a kernel works (kernels/).

LLVM is loaded when the first large round comes (the trees want it earlier, from 256 KiB of bytes to hash).

Spec: docs/decisions/0019-kernels.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any

import numpy as np
import numpy.typing as npt

from coordinator.enclave.rules.kernels.mixing import MixLists, mix_block
from coordinator.enclave.rules.kernels.products import gram, gram_block
from coordinator.enclave.rules.kernels.ranking import MAX_RANKED_ROWS, Bounds, ranked_block, window_block
from coordinator.enclave.rules.kernels.sums import (
    norms_block,
    scaled_block,
    weighted_mean_block,
    weighted_sum_block,
)
from coordinator.enclave.rules.kernels.table import RowTable
from coordinator.enclave.rules.plan import Block, Columns, Combination, Mixed, Plan, Ranks, Scaled, Transform, Weighted
from coordinator.enclave.rules.points import Exact
from protocol import native
from protocol.fixedpoint import Int16, Int32, Int64

WORTH_IT = 1 << 22
"""Elements from which on machine code is used: with fewer, NumPy takes less than loading LLVM and compiling."""

_PART_ELEMENTS = 1 << 21
"""Elements of a part that one thread does at a time: large beside what a call costs, small beside a round."""

_NUMPY_ELEMENTS = 1 << 17
"""Likewise where NumPy does a step, whose temporaries are several times as large."""

_LANES = 128
"""Every block but the last has a multiple of so many columns: no kernel then copies what does not fill a vector."""

_MOST_SCALE = 1 << 16
"""Below it a sum of int16 is int32."""


def is_worth_it(rows: Sequence[Int16], coordinates: slice) -> bool:
    """Whether these rows are large enough, and such that kernels take them."""
    if len(rows) * (coordinates.stop - coordinates.start) < WORTH_IT or len(rows) > MAX_RANKED_ROWS:
        return False
    return all(row.flags.c_contiguous and row.flags.aligned for row in rows) and native.is_available()


def products(rows: Sequence[Int16], scaled: Sequence[Transform], coordinates: slice, *, everything: bool) -> Exact:
    """As execute.products, behind transforms that scale."""
    table = RowTable.of(rows)
    if everything and not scaled and coordinates == slice(0, table.d):
        return gram(table)
    parts = _cut(coordinates, _PART_ELEMENTS // table.k)
    sums: list[Exact] = [np.zeros((), dtype=np.int64)] * len(parts)

    def work(part: int) -> None:
        here, columns = _scaled(table, scaled, parts[part])
        sums[part] = (gram_block if everything else norms_block)(here, columns.start, columns.stop)

    native.each(work, range(len(parts)))
    return np.asarray(sum(sums))


def products_of_chunks(rows: Sequence[Int16]) -> Callable[[int, int], Int64] | None:
    """What the Gram tree takes the products of a chunk from; None where NumPy is to do it."""
    if not is_worth_it(rows, slice(0, len(rows[0]))):
        return None
    table = RowTable.of(rows)
    return lambda start, stop: gram_block(table, start, stop)


def run(plan: Plan, rows: Sequence[Int16], coordinates: slice) -> Columns:
    """As execute.run."""
    table, size = RowTable.of(rows), coordinates.stop - coordinates.start
    aggregate = np.empty(size, dtype=np.int32)
    ends = tuple(np.empty(size, dtype=np.int16) for _ in range(2)) if plan.has_range else ()
    lists = _lists_to_fuse(plan, table)
    is_whole = lists is not None or _has_kernels(plan)

    def work(part: slice) -> None:
        for block in [part] if is_whole else _cut(part, _NUMPY_ELEMENTS // table.k):
            at = slice(block.start - coordinates.start, block.stop - coordinates.start)
            if lists is not None:
                _combine(plan.combination, table, block, aggregate[at], lists=lists)
            else:
                _do(plan, table, block, aggregate[at], (ends[0][at], ends[1][at]) if ends else None)

    native.each(work, _cut(coordinates, _PART_ELEMENTS // table.k))
    return Columns(aggregate, *ends) if ends else Columns(aggregate, None, None)


def transformed(plan: Plan, rows: Sequence[Int16], coordinates: slice) -> Block:
    """(k', b) these coordinates behind the plan's transforms, on this thread."""
    table, block, values = _behind(plan.transforms, RowTable.of(rows), coordinates)
    return _block(table, block) if values is None else values


def ranked(combination: Combination, values: Block) -> Columns:
    """What a combination that ranks makes of a block, on this thread."""
    if values.dtype == np.int64 or not _fits(combination):
        return combination.apply(values)
    aggregate = np.empty(values.shape[1], dtype=np.int32)
    ends = (np.empty(values.shape[1], dtype=values.dtype), np.empty(values.shape[1], dtype=values.dtype))
    _combine(combination, RowTable.of(values), slice(0, values.shape[1]), aggregate, bounds=ends)
    return Columns(aggregate, *ends)


def _do(plan: Plan, table: RowTable, block: slice, aggregate: Int32, bounds: Bounds | None) -> None:
    """The plan on one block; each step by a kernel where there is one for such values."""
    table, block, values = _behind(plan.transforms, table, block)
    if values is not None and values.dtype != np.int64:
        table, block = RowTable.of(values), slice(0, values.shape[1])
    if (values is None or values.dtype != np.int64) and _fits(plan.combination):
        _combine(plan.combination, table, block, aggregate, bounds=bounds)
        return
    columns = plan.combination.apply(_block(table, block) if values is None else values)
    aggregate[:] = columns.aggregate
    for bound, found in zip(bounds or (), columns[1:], strict=False):
        bound[:] = found


def _behind(transforms: Sequence[Transform], table: RowTable, block: slice) -> tuple[RowTable, slice, Block | None]:
    """A table with the block behind these transforms and where in its columns it is; or values, if NumPy was last."""
    scaled = list(takewhile(lambda step: isinstance(step, Scaled), transforms))
    steps = transforms[len(scaled) :]
    table, block = _scaled(table, scaled, block)
    if steps and isinstance(steps[0], Mixed) and steps[0].scale < _MOST_SCALE:
        table, block = _mixed(table, block, steps[0]), slice(0, block.stop - block.start)
        steps = steps[1:]
    if not steps:
        return table, block, None
    values: Block = _block(table, block)
    for step in steps:
        values = step.apply(values)
    return table, block, values


def _scaled(table: RowTable, scaled: Sequence[Transform], block: slice) -> tuple[RowTable, slice]:
    for step in scaled:
        if isinstance(step, Scaled):
            out = np.empty((table.k, block.stop - block.start), dtype=np.int16)
            factors = np.array(step.factors, dtype=np.int32)
            scaled_block(table, block.start, block.stop, factors=factors, out=out)
            table, block = RowTable.of(out), slice(0, out.shape[1])
    return table, block


def _mixed(table: RowTable, block: slice, step: Mixed) -> RowTable:
    """int16 rows behind a transform that mixes."""
    out = np.empty((len(step.members), block.stop - block.start), dtype=np.int32)
    mix_block(table, block.start, block.stop, lists=_lists(step, table.k), out=out)
    for place, times in enumerate(step.times):
        if times != 1:
            out[place] *= times
    return RowTable.of(out)


def _combine(
    combination: Combination,
    table: RowTable,
    block: slice,
    aggregate: Int32,
    *,
    bounds: Bounds | None = None,
    lists: MixLists | None = None,
) -> None:
    """The last step on columns of a table, or of what the lists make of it."""
    start, stop = block.start, block.stop
    if isinstance(combination, Weighted):
        _weigh(combination, table, block, aggregate)
        return
    where: dict[str, Any] = {"aggregate": aggregate, "bounds": bounds, "lists": lists, "scale": combination.scale}
    if isinstance(combination, Ranks):
        ranked_block(table, start, stop, first=combination.first, last=combination.last, **where)
        return
    if lists is None and len(combination.places) < table.k:
        table = table.only(np.array(combination.places))
    window_block(table, start, stop, count=combination.count, **where)


def _weigh(combination: Weighted, table: RowTable, block: slice, aggregate: Int32) -> None:
    start, stop, weights, total = block.start, block.stop, combination.wrapped(), sum(combination.weights)
    if combination.divisor == 1 and not combination.saturates and total << combination.shift <= 1 << 15:
        weighted_sum_block(table, start, stop, weights=weights << combination.shift, out=aggregate)
    elif not combination.saturates and total < 1 << 23 and table.element == "i16":
        # as if 2**15 times the sum were taken, and divided by as much more
        divisor = combination.divisor << (15 - combination.shift)
        weighted_mean_block(table, start, stop, weights=weights, divisor=divisor, out=aggregate)
    else:
        sums = np.empty(stop - start, dtype=np.int64)
        weighted_sum_block(table, start, stop, weights=weights, out=sums)
        if combination.divisor & (combination.divisor - 1) or combination.shift or combination.saturates:
            aggregate[:] = combination.quotient(sums)
        else:  # a shift rounds down, as the quotient does
            np.right_shift(sums, combination.divisor.bit_length() - 1, out=aggregate, casting="unsafe")


def _lists_to_fuse(plan: Plan, table: RowTable) -> MixLists | None:
    """Where rows are mixed, then ranked, and nothing else: both are done while the columns are in the first cache."""
    (step, *more), combination = plan.transforms or (None,), plan.combination
    if more or not isinstance(step, Mixed) or step.scale >= _MOST_SCALE or set(step.times) != {1}:
        return None
    if isinstance(combination, Weighted) or not _fits(combination):
        return None
    if not isinstance(combination, Ranks) and len(combination.places) < len(step.members):
        return None
    return _lists(step, table.k)


def _has_kernels(plan: Plan) -> bool:
    """Whether no step is NumPy's, whose temporaries are several times as large as what it works on."""
    mixing = [step for step in plan.transforms if isinstance(step, Mixed)]
    is_last = not mixing or plan.transforms[-1] is mixing[0]
    return is_last and all(step.scale < _MOST_SCALE for step in mixing) and _fits(plan.combination)


def _fits(combination: Combination) -> bool:
    """Whether 2**15 times a sum of ranked values is exact in binary64."""
    if isinstance(combination, Weighted):
        return True
    count = combination.last - combination.first + 1 if isinstance(combination, Ranks) else combination.count
    return count * combination.scale < 1 << 23


def _lists(step: Mixed, k: int) -> MixLists:
    members = np.zeros((len(step.members), k), dtype=np.bool_)
    for place, rows in enumerate(step.members):
        members[place, list(rows)] = True
    return MixLists.of(members)


def _block(table: RowTable, block: slice) -> npt.NDArray[Any]:
    return np.stack([row[block] for row in table.rows])


def _cut(coordinates: slice, width: int) -> list[slice]:
    width = max(_LANES, width // _LANES * _LANES)
    starts = range(coordinates.start, coordinates.stop, width)
    return [slice(start, min(start + width, coordinates.stop)) for start in starts]
