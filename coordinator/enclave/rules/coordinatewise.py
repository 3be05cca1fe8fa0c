"""Rules that look at one coordinate at a time: mean, weighted mean, median, trimmed mean.

Responsible for: the exact value of every coordinate of the aggregate, and the range of values that it was made of.
Must not know:   neighbouring coordinates, running totals, trees.

Every rule ranks values by (value, slot).  Equal values are interchangeable in a sum, and `kept` looks at values only,
so the slot never decides anything here, and sorting by value alone gives the same bits.

Spec: docs/protocol.md (numbers; rules), docs/rules.md.  Reference: tests/property/reference_rules.py.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import numpy as np

from coordinator.enclave.rules.base import Aggregation, AggregationRule, blocks
from protocol.fixedpoint import Int16, Int64
from protocol.rulebook import Rule


class Columns(NamedTuple):
    """What a rule made of one block of b coordinates."""

    aggregate: Int64  # (b,)
    low: Int16 | None  # (b,)
    high: Int16 | None  # (b,)


class CoordinateWise(AggregationRule):
    """A rule that is one function of a block of columns; blocks (and so shards) can be taken in any order."""

    refutable = True

    @abstractmethod
    def columns(self, block: Int16, *, f: int, weights: Int64 | None) -> Columns:
        """The rule on one block, (k, b) int16."""

    def combine(self, rows: Int16, *, f: int, m: int, weights: Int64 | None) -> Aggregation:
        k, d = rows.shape
        aggregate = np.empty(d, dtype=np.int32)
        low, high = np.empty(d, dtype=np.int16), np.empty(d, dtype=np.int16)
        ranked = True
        for block in blocks(k, d):
            values = self.columns(rows[:, block], f=f, weights=weights)
            # Never saturates: a mean of int16 times 2**15 lies in [-2**30, 2**30).
            aggregate[block] = values.aggregate
            if values.low is None or values.high is None:
                ranked = False
            else:
                low[block], high[block] = values.low, values.high
        return Aggregation(
            aggregate=aggregate,
            selected=np.ones(k, dtype=np.bool_),
            weights=np.zeros(k, dtype=np.uint32) if weights is None else weights.astype(np.uint32),
            low=low if ranked else None,
            high=high if ranked else None,
            gram=None,
        )


class Mean(CoordinateWise):
    """The mean of all rows.

    Formula:   a = floorDiv(2**15 * sum q_i, k).
    Condition: k >= 1; tolerates nobody who lies (f is not used).
    Kept:      every coordinate of every row.
    Ties:      none, no value is ranked.
    Bounds:    |2**15 * sum q_i| <= k * 2**30 fits int64 for k < 2**33.
    Ledger:    can refute it (a coordinate of the aggregate).
    Source:    McMahan et al., AISTATS 2017, algorithm 1, with equal weights.
    """

    name = "mean"
    code = Rule.MEAN
    paper = "McMahan et al., AISTATS 2017 (equal weights)"

    def columns(self, block: Int16, *, f: int, weights: Int64 | None) -> Columns:
        return Columns(mean_of(block.sum(axis=0, dtype=np.int64), block.shape[0]), None, None)


class WeightedMean(CoordinateWise):
    """The mean of all rows by capped sample counts: the literature's FedAvg.

    Formula:   a = floorDiv(2**15 * sum s_i * q_i, sum s_i), s_i = min(samples_i, weightCap) < 2**24.
    Condition: k >= 1, every s_i >= 1; tolerates nobody who lies (f is not used), the cap bounds what one can claim.
    Kept:      every coordinate of every row.
    Ties:      none, no value is ranked.
    Bounds:    |sum s_i * q_i| < 2**53 for sum s_i < 2**38, so that a float64 matrix product is exact in any order.
               2**15 times it may pass 2**63, so quotient and rest are divided apart (`mean_of_wide`).
    Ledger:    can refute it (a coordinate of the aggregate; a weight).
    Source:    McMahan et al., AISTATS 2017, algorithm 1.
    """

    name = "weighted-mean"
    code = Rule.WEIGHTED_MEAN
    paper = "McMahan et al., AISTATS 2017"
    weighs = True

    def columns(self, block: Int16, *, f: int, weights: Int64 | None) -> Columns:
        if weights is None:
            raise TypeError("weighted mean without weights")
        sums = (weights.astype(np.float64) @ block.astype(np.float64)).astype(np.int64)  # (b,)
        return Columns(mean_of_wide(sums, int(weights.sum())), None, None)


class Median(CoordinateWise):
    """The coordinate-wise median; of an even count, the mean of the two middle values.

    Formula:   a = (x + y) * 2**14, x and y of rank floor((k - 1) / 2) and floor(k / 2) from 0; odd k: x = y.
    Condition: k >= 2f + 1.
    Kept:      values in [x, y].
    Ties:      ranked by (value, slot); equal values give the same a.
    Bounds:    |(x + y) * 2**14| <= 2**30.
    Ledger:    can refute it (a coordinate of the aggregate).
    Source:    Yin et al., ICML 2018, definition 1.
    """

    name = "median"
    code = Rule.MEDIAN
    paper = "Yin et al., ICML 2018, definition 1"

    def columns(self, block: Int16, *, f: int, weights: Int64 | None) -> Columns:
        k = block.shape[0]
        ordered = sorted_columns(block)  # (b, k)
        low, high = ordered[:, (k - 1) // 2], ordered[:, k // 2]
        return Columns((low.astype(np.int64) + high) << 14, low, high)


class TrimmedMean(CoordinateWise):
    """The coordinate-wise mean without the f smallest and the f largest values.

    Formula:   a = floorDiv(2**15 * sum of the values of rank f .. k - f - 1 (from 0), k - 2f).
    Condition: k >= 2f + 1.
    Kept:      values in [value of rank f, value of rank k - f - 1].
    Ties:      ranked by (value, slot); equal values give the same sum, and all that lie in the range count as kept.
    Bounds:    |2**15 * sum| <= k * 2**30 fits int64 for k < 2**33.  The kept values are added, never "sum minus
               extremes": integers would forgive that, the floats of others do not.
    Ledger:    can refute it (a coordinate of the aggregate).
    Source:    Yin et al., ICML 2018, definition 2, with beta = f / k.
    """

    name = "trimmed-mean"
    code = Rule.TRIMMED_MEAN
    paper = "Yin et al., ICML 2018, definition 2"

    def columns(self, block: Int16, *, f: int, weights: Int64 | None) -> Columns:
        k = block.shape[0]
        kept = sorted_columns(block)[:, f : k - f]  # (b, k - 2f)
        return Columns(mean_of(kept.sum(axis=1, dtype=np.int64), k - 2 * f), kept[:, 0], kept[:, -1])


def mean_of(sums: Int64, count: int) -> Int64:
    """floorDiv(2**15 * sums, count), toward minus infinity; |sums| < 2**48."""
    return (sums << 15) // count


def mean_of_wide(sums: Int64, count: int) -> Int64:
    """floorDiv(2**15 * sums, count) for |sums| < 2**53 and count < 2**38.

    With sums = Q * count + R, 0 <= R < count, the Q-part is whole: 2**15 * Q + floorDiv(2**15 * R, count).
    """
    quotient, rest = np.divmod(sums, count)
    return (quotient << 15) + (rest << 15) // count


def sorted_columns(block: Int16) -> Int16:
    """(k, b) -> (b, k), each column ascending; a copy.  Sorting along the contiguous axis is three times faster."""
    columns = np.array(block.T, order="C")
    columns.sort(axis=1)
    return columns
