"""The work on one part: some consecutive coordinates of all rows.

Responsible for: inner products, totals, aggregate and subtrees of a part, block by block.
Must not know:   other parts, but for what they add up to before this one.

Every function is called by its name on whatever machine has the files, with arguments that are small, and has the same
answer as often as it is asked: a part whose worker died is done again by another.

Spec: docs/rules.md; docs/protocol.md section 3 (column tree, Gram tree).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from coordinator.enclave.rules import Aggregation, totals
from coordinator.enclave.rules.execute import products, run
from coordinator.enclave.rules.plan import Plan, Transform
from coordinator.enclave.rules.points import Exact
from coordinator.shards.rows import RowFiles
from coordinator.shards.subtrees import Subtree, perfect
from protocol import merkle
from protocol.errors import RangeError
from protocol.fixedpoint import Int16, Int32, Int64
from protocol.native.sha256 import hasher
from protocol.rulebook import Chain
from protocol.trees import COLUMN_LEAF, GRAM_CHUNK, KIND_GRAM, Totals, column_root

_BLOCK_ELEMENTS = 1 << 24
"""Elements of a block over all rows, more than half of which it has: enough for machine code, and its totals small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What all parts have in common once whole rows were looked at."""

    rows: RowFiles
    chain: Chain
    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sums:
    """What coordinates add up to, for each of k rows; also of nothing."""

    kept: npt.NDArray[np.uint32]
    deviation: npt.NDArray[np.uint64]
    alignment: Int64

    @staticmethod
    def nothing(k: int) -> Sums:
        """Zeros."""
        return Sums(
            kept=np.zeros(k, dtype=np.uint32),
            deviation=np.zeros(k, dtype=np.uint64),
            alignment=np.zeros(k, dtype=np.int64),
        )

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            kept=self.kept + other.kept,
            deviation=self.deviation + other.deviation,
            alignment=self.alignment + other.alignment,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """A part, and what everything before it adds up to."""

    part: slice
    before: Sums
    products_before: Int64 | None
    """(k, k) inner products, where a Gram tree is wanted."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hashed:
    """A part of the result."""

    aggregate: Int32
    column: tuple[Subtree, ...]
    gram: tuple[Subtree, ...]


def part_products(rows: RowFiles, transforms: tuple[Transform, ...], everything: bool, part: slice) -> Exact:
    """Inner products of the rows behind the transforms over the part: (k, k), or (k,) of each with itself."""
    return products(rows.map(), transforms, part, everything=everything)


def part_sums(work: Work, part: slice) -> Sums:
    """The totals of the part alone.  Raises RangeError for a coordinate of -32768, which no update has."""
    rows = work.rows.map()
    found = Sums.nothing(len(rows))
    for block, _ in _blocks(len(rows), part):
        _check_values(rows, block)
        found = found + _last(_totals(work, rows, block)[1])
    return found


def part_trees(work: Work, task: Task) -> Hashed:
    """Aggregate of the part, and the subtrees of the column tree's and the Gram tree's leaves over it."""
    rows = work.rows.map()
    aggregate, column, before = [], [], task.before
    for block, height in _blocks(len(rows), task.part):
        found, running = _totals(work, rows, block)
        running = Totals(
            kept=running.kept + before.kept,
            deviation=running.deviation + before.deviation,
            alignment=running.alignment + before.alignment,
        )
        column.append(Subtree(height, column_root([row[block] for row in rows], found, running)))
        before = _last(running)
        aggregate.append(found)
    return Hashed(aggregate=np.concatenate(aggregate), column=tuple(column), gram=tuple(_gram_subtrees(task, rows)))


def split(dimension: int, parts: int) -> list[slice]:
    """The coordinates in at most so many parts of about the same size, each of whole chunks of the Gram tree."""
    chunks = -(-dimension // GRAM_CHUNK)
    width = -(-chunks // max(1, min(parts, chunks))) * GRAM_CHUNK
    return [slice(start, min(start + width, dimension)) for start in range(0, dimension, width)]


def _gram_subtrees(task: Task, rows: list[Int16]) -> Iterator[Subtree]:
    """Leaf c * k + j: the j-th row's inner products with every row over chunks 0..c."""
    if task.products_before is None:
        return
    running, k = task.products_before, len(rows)
    for start in range(task.part.start, task.part.stop, GRAM_CHUNK):
        chunk = slice(start, min(start + GRAM_CHUNK, task.part.stop))
        running = running + products(rows, (), chunk).astype(np.int64)
        lines = running.astype(">i8").view(np.uint8)
        hashes = hasher(lines.size).joined([lines], bytes([0, KIND_GRAM]))
        leaf = start // GRAM_CHUNK * k
        for first, height in perfect(leaf, leaf + k):
            yield Subtree(height, merkle.root(hashes[first - leaf : first - leaf + (1 << height)]))


def _totals(work: Work, rows: list[Int16], block: slice) -> tuple[Int32, Totals]:
    """The aggregate of a block, and the running totals as if the coordinates began with it."""
    columns = run(work.plan, rows, block)
    stands, selected = work.plan.stands, work.plan.selected
    local = Aggregation(
        chain=work.chain,
        plan=work.plan,
        aggregate=columns.aggregate.astype(np.int32, copy=False),
        selected=np.array([selected is None or place in selected for place in stands]),
        weights=np.zeros(len(stands), dtype=np.uint32),
        low=columns.low,
        high=columns.high,
        products=(),
    )
    return local.aggregate, totals([row[block] for row in rows], local)


def _last(running: Totals) -> Sums:
    return Sums(kept=running.kept[-1], deviation=running.deviation[-1], alignment=running.alignment[-1])


def _check_values(rows: list[Int16], block: slice) -> None:
    for place, row in enumerate(rows):
        if row[block].min() == -(1 << 15):
            raise RangeError(f"a coordinate of row {place}", expected="-32767 to 32767", actual=-(1 << 15))


def _blocks(k: int, part: slice) -> Iterator[tuple[slice, int]]:
    """Blocks, small over all rows, whose leaves of the column tree are a perfect subtree each, and its height."""
    tallest = max(4, (_BLOCK_ELEMENTS // (k * COLUMN_LEAF)).bit_length() - 1)
    for first, height in perfect(part.start // COLUMN_LEAF, -(-part.stop // COLUMN_LEAF), tallest=tallest):
        yield slice(first * COLUMN_LEAF, min((first + (1 << height)) * COLUMN_LEAF, part.stop)), height
