"""Rules that look at one coordinate at a time: mean, weighted mean, median, trimmed mean, mean around the median.

Responsible for: which ranks or weights make a coordinate of the aggregate.
Must not know:   how ranks are found (plan.py, kernels/), neighbouring coordinates, running totals, trees.

Every rule ranks values by (value, place).  Equal values are interchangeable in a sum, and `kept` looks at values only,
so the place never decides anything here.

Spec: docs/rules.md.  Reference: verifier/replay_rules.py.
"""

from __future__ import annotations

from coordinator.enclave.rules.base import AggregationRule, Choice
from coordinator.enclave.rules.plan import Ranks, Weighted, Window
from coordinator.enclave.rules.points import Points
from protocol.fixedpoint import Int64


class Mean(AggregationRule):
    """The mean of all rows.

    Formula:   a = floorDiv(2**15 * sum v_i, S k).
    Condition: k >= 1; tolerates nobody who lies (f is not used).
    Kept:      every coordinate of every row.
    Ties:      none, no value is ranked.
    Bounds:    |2**15 * sum v_i| < 2**30 * S k fits int64 for S k < 2**33.
    Ledger:    can refute it (a coordinate of the aggregate).
    Source:    McMahan et al., AISTATS 2017, algorithm 1, with equal weights.
    """

    name = "mean"

    def choose(self, points: Points, *, numbers: tuple[int, ...], f: int, m: int, weights: Int64 | None) -> Choice:
        return Choice(combination=mean_of(tuple(range(points.k)), points))


class WeightedMean(AggregationRule):
    """The mean of all rows by capped sample counts: the literature's FedAvg.

    Formula:   a = floorDiv(2**15 * sum s_i * v_i, sum s_i), s_i = min(samples_i, weightCap) < 2**24.
    Condition: k >= 1, every s_i >= 1; tolerates nobody who lies (f is not used), the cap bounds what one can claim.
               Behind stages that clip, not behind those that mix.
    Kept:      every coordinate of every row.
    Ties:      none, no value is ranked.
    Bounds:    |sum s_i * v_i| < 2**53 for sum s_i < 2**38.  2**15 times it may pass 2**63, so quotient and rest are
               divided apart.
    Ledger:    can refute it (a coordinate of the aggregate; a weight).
    Source:    McMahan et al., AISTATS 2017, algorithm 1.
    """

    name = "weighted-mean"
    weighs = True

    def choose(self, points: Points, *, numbers: tuple[int, ...], f: int, m: int, weights: Int64 | None) -> Choice:
        if weights is None:
            raise TypeError("weighted mean without weights")
        by_place = tuple(int(weight) for weight in weights.tolist())
        return Choice(combination=Weighted(weights=by_place, shift=15, divisor=points.scale * sum(by_place)))


class Median(AggregationRule):
    """The coordinate-wise median; of an even count, the mean of the two middle values.

    Formula:   a = floorDiv(2**15 * (x + y), 2 S), x and y of rank floor((k - 1) / 2) and floor(k / 2) from 0; of odd k
               the same.
    Condition: k >= 2f + 1.
    Kept:      values in [x, y].
    Ties:      ranked by (value, place); equal values give the same a.
    Ledger:    can refute it (a coordinate of the aggregate).
    Source:    Yin et al., ICML 2018, definition 1.
    """

    name = "median"

    def choose(self, points: Points, *, numbers: tuple[int, ...], f: int, m: int, weights: Int64 | None) -> Choice:
        return Choice(combination=Ranks(first=(points.k - 1) // 2, last=points.k // 2, scale=points.scale))


class TrimmedMean(AggregationRule):
    """The mean of what is left after dropping the f smallest and the f largest values of every coordinate.

    Formula:   a = floorDiv(2**15 * sum of the values of ranks f .. k - f - 1, S (k - 2f)); f per side, not f in all.
    Condition: k >= 2f + 1.
    Kept:      values from the smallest to the largest of these ranks (a dropped value that equals one of them, too).
    Ties:      ranked by (value, place); equal values give the same sum whichever is dropped.
    Bounds:    the sum of the kept values themselves, never the sum of all minus the ends: integers would forgive that,
               the floats of others do not.
    Ledger:    can refute it (a coordinate of the aggregate).
    Source:    Yin et al., ICML 2018, definition 2, with beta = f / k.
    """

    name = "trimmed-mean"

    def choose(self, points: Points, *, numbers: tuple[int, ...], f: int, m: int, weights: Int64 | None) -> Choice:
        return Choice(combination=Ranks(first=f, last=points.k - f - 1, scale=points.scale))


class Meamed(AggregationRule):
    """The mean of the k - f values of every coordinate that are nearest its median.

    Formula:   with v ascending and x + y twice the median (as for `median`), the values v[s] .. v[s + k - f - 1], s the
               smallest for which v[s] + v[s + k - f] >= x + y, or f; a = floorDiv(2**15 * sum, S (k - f)).
    Condition: k >= 2f + 1.
    Kept:      values from the smallest to the largest of these.
    Ties:      of two values equally far from the median the smaller is nearer.
    Ledger:    can't refute it; a replay can.
    Source:    Xie et al., 2018 (Generalized Byzantine-tolerant SGD).
    """

    name = "meamed"

    def choose(self, points: Points, *, numbers: tuple[int, ...], f: int, m: int, weights: Int64 | None) -> Choice:
        window = Window(places=tuple(range(points.k)), count=points.k - f, scale=points.scale)
        return Choice(combination=window)


def mean_of(places: tuple[int, ...], points: Points) -> Weighted:
    """floorDiv(2**15 * sum of the rows of these places, S times their number)."""
    chosen = set(places)
    weights = tuple(int(place in chosen) for place in range(points.k))
    return Weighted(weights=weights, shift=15, divisor=points.scale * len(places))
