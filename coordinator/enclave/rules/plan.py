"""What is left of a chain once whole rows were looked at: the same few steps for every coordinate.

Responsible for: these steps, and doing them to one block of coordinates in NumPy.
Must not know:   why a row is chosen, weighed or mixed; machine code (execute.py).

A plan has no floating point and no coordinate in it: whoever has a plan and a few columns has their aggregate, on any
machine, in any blocks.

Spec: docs/rules.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from protocol.fixedpoint import Int64

Block = npt.NDArray[np.integer]
"""(k, b) integers: int16 as they were sent, int32 or int64 where rows were mixed."""

Q16 = 16
"""Bits of a clipping factor behind the point."""

_WIDEST_SUM = 1 << 31
"""Up to here a mixed value is int32."""


@dataclass(frozen=True, slots=True)
class Scaled:
    """Row by row v * t / 2**16, rounded toward zero: no row gets longer, none drifts."""

    factors: tuple[int, ...]
    """(k,) t, from 0 to 2**16."""

    def apply(self, block: Block) -> Block:
        """The same kind of integers: no value grows."""
        factors = np.array(self.factors, dtype=np.int64)[:, None]
        magnitudes = (np.abs(block.astype(np.int64)) * factors) >> Q16
        return np.where(block < 0, -magnitudes, magnitudes).astype(block.dtype)

    def with_rows(self, count: int, *, after: int) -> Scaled:
        """The same with `count` further rows after the first `after`, which it leaves as they are."""
        return Scaled(self.factors + (1 << Q16,) * count)


@dataclass(frozen=True, slots=True)
class Mixed:
    """Sums of rows, each times a whole number."""

    members: tuple[tuple[int, ...], ...]
    """Of every row that comes out, the places of those that it is the sum of."""

    times: tuple[int, ...]
    """And how often that sum is taken."""

    scale: int
    """How often every row goes into a row that comes out, times included: what a value is to be divided by."""

    def apply(self, block: Block) -> Block:
        """int32 where every sum surely fits, else int64."""
        bound = (1 << 15) if block.dtype == np.int16 else (1 << (8 * block.dtype.itemsize - 1))
        kind = np.int32 if bound * self.scale < _WIDEST_SUM else np.int64
        mixed = np.empty((len(self.members), block.shape[1]), dtype=kind)
        for place, members in enumerate(self.members):
            np.sum(block[list(members)], axis=0, dtype=kind, out=mixed[place])
            mixed[place] *= self.times[place]
        return mixed

    def folded(self, weights: Sequence[int], *, rows: int) -> tuple[int, ...]:
        """The weights with which `rows` rows before it give the weighted sum of those that come out."""
        before = [0] * rows
        for weight, places, times in zip(weights, self.members, self.times, strict=True):
            for place in places if weight else ():
                before[place] += weight * times
        return tuple(before)

    def with_rows(self, count: int, *, after: int) -> Mixed:
        """The same with `count` further rows after the first `after`, which it brings to its scale."""
        more = tuple((after + i,) for i in range(count))
        return Mixed(self.members + more, self.times + (self.scale,) * count, self.scale)


Transform = Scaled | Mixed


class Columns(NamedTuple):
    """What one block of b coordinates comes to."""

    aggregate: npt.NDArray[Any]  # (b,)
    low: npt.NDArray[Any] | None  # (b,) of the values' type
    high: npt.NDArray[Any] | None  # (b,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """The mean of the values of some consecutive ranks."""

    first: int
    last: int
    """The ranks, from 0, the last one included."""
    scale: int

    def apply(self, block: Block) -> Columns:
        """Equal values are interchangeable in a sum, so sorting by value alone gives the bits of (value, place)."""
        kept = sorted_columns(block)[:, self.first : self.last + 1]
        sums = kept.sum(axis=1, dtype=np.int64)
        return Columns((sums << 15) // (self.scale * kept.shape[1]), kept[:, 0], kept[:, -1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Of some rows, the mean of the values nearest their median: consecutive ranks."""

    places: tuple[int, ...]
    """The rows, ascending."""
    count: int
    """Values kept of each coordinate; more than half."""
    scale: int

    def apply(self, block: Block) -> Columns:
        """The window moves up while the value that it leaves is farther from the median than the one that it takes."""
        ordered = sorted_columns(block[list(self.places)]).astype(np.int64)  # (b, n)
        b, n = ordered.shape
        twice_median = ordered[:, (n - 1) // 2] + ordered[:, n // 2]
        moves = ordered[:, : n - self.count] + ordered[:, self.count :] < twice_median[:, None]
        start = moves.sum(axis=1)  # true first, then false: both addends ascend
        kept = ordered[np.arange(b)[:, None], start[:, None] + np.arange(self.count)]
        return Columns((kept.sum(axis=1) << 15) // (self.scale * self.count), kept[:, 0], kept[:, -1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighted:
    """A weighted sum of all rows, over one divisor."""

    weights: tuple[int, ...]
    """Of every row, the rule's further one included; not negative.  The weighted sum fits int64."""
    shift: int
    """The sum is taken 2**shift times: 15, or 0 where the weights have these bits already."""
    divisor: int
    saturates: bool = False
    """Whether the quotient may leave int32, and is brought back to its ends."""

    def apply(self, block: Block) -> Columns:
        """With sum = Q * divisor + R the part of Q is whole, so that nothing passes 64 bits."""
        sums = np.zeros(block.shape[1], dtype=np.int64)
        for place, weight in enumerate(self.wrapped()):
            if weight:
                sums += block[place].astype(np.int64) * weight
        return Columns(self.quotient(sums), None, None)

    def wrapped(self) -> Int64:
        """The weights modulo 2**64: with these a sum that fits int64 comes out right, whatever its parts are."""
        return np.array([weight % (1 << 64) for weight in self.weights], dtype=np.uint64).view(np.int64)

    def quotient(self, sums: Int64) -> Int64:
        """(b,) floorDiv(2**shift * sums, divisor)."""
        whole, rest = np.divmod(sums, self.divisor)
        aggregate = (whole << self.shift) + (rest << self.shift) // self.divisor
        return np.clip(aggregate, -(1 << 31), (1 << 31) - 1) if self.saturates else aggregate


Combination = Ranks | Window | Weighted


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """From the counted rows, and the rule's further row behind them, to one aggregate.

    A weighted sum of sums is a weighted sum: where a rule weighs rows that were mixed, the plan weighs the rows before.
    """

    transforms: tuple[Transform, ...]
    """One after the other; they bring the further row along."""
    combination: Combination
    stands: tuple[int, ...]
    """Of every counted row, the place behind the chain's stages of the row that stands for it."""
    selected: tuple[int, ...] | None
    """Places behind the chain's stages of the rows that the rule chose; None where it does not select."""

    @property
    def has_range(self) -> bool:
        """Whether it keeps ranks of the rows themselves, so that two int16 a coordinate say what was kept."""
        return not self.transforms and not isinstance(self.combination, Weighted)

    @property
    def keeps_whole_rows(self) -> bool:
        """Whether every coordinate of a row was kept, or none."""
        return isinstance(self.combination, Weighted)

    def selected_rows(self) -> npt.NDArray[np.bool_]:
        """(k,) of every counted row, whether a row that the rule chose stands for it; all, where it does not select."""
        chosen = None if self.selected is None else set(self.selected)
        return np.array([chosen is None or place in chosen for place in self.stands], dtype=np.bool_)

    def transformed(self, block: Block) -> Block:
        """(n, b) rows as they were sent -> (k', b) rows behind the transforms."""
        for transform in self.transforms:
            block = transform.apply(block)
        return block

    def apply(self, block: Block) -> Columns:
        """(n, b) -> the aggregate of b coordinates, and what was kept of them."""
        return self.combination.apply(self.transformed(block))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Products:
    """Inner products that a decision rests on."""

    behind: tuple[Scaled, ...]
    """What was done to the rows before."""
    values: Int64
    """(n, n) of any two rows; or (n,), of every row with itself."""


def sorted_columns(block: Block) -> Block:
    """(k, b) -> (b, k), each column ascending; a copy.  Sorting along the contiguous axis is faster."""
    columns = np.array(block.T, order="C")
    columns.sort(axis=1)
    return columns
