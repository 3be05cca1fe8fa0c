"""Rules that are a weighted sum of the rows: geometric median, centred clipping, FLTrust.

Responsible for: the weights, from inner products, by binary64 steps that have one result on every machine.
Must not know:   coordinates; running totals, trees.

NumPy adds, multiplies, divides and takes roots element by element as IEEE-754 says, without fusing two steps; what must
have an order (a sum by ascending place) is `accumulate`, which is that order by definition.  No dot product: its order
is the BLAS library's affair.

Spec: docs/rules.md (weights in Gram space).  Reference: verifier/replay_weights.py.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from coordinator.enclave.rules.base import AggregationRule, Choice
from coordinator.enclave.rules.plan import Weighted
from coordinator.enclave.rules.points import Exact, Points, squared_distances
from protocol.errors import RangeError
from protocol.fixedpoint import Int64

Float64 = npt.NDArray[np.float64]

COARSE, FINE = 15, 30
"""Bits of a weight behind the point: fine ones, but for rows of so large a scale that their sums need the room."""

FINE_SCALE = 1 << 16
"""Below it 2**30 times a value is below 2**62."""

FINE_TRUSTED = 1 << 62
"""Likewise, of a trusted row's squared norm."""

MOST_STEPS = 64

MOST_TRUSTED = 1 << 94
"""Squared norm of a trusted row, behind the stages: 2**15 times the norm then fits int64."""


class GeometricMedian(AggregationRule):
    """The point of least summed distance to the rows, by Weiszfeld's steps, smoothed.

    Formula:   a = floorDiv(sum w_i v_i, S * 2**15), w of 30 bits (or S, and 15 bits, for S >= 2**16); w_i grow like
               1 / max(distance of row i to the last point, one unit).
    Condition: k >= 2f + 1 (f is not used).
    Kept:      every coordinate of every row.
    Ties:      none.
    Bounds:    weights are not negative and sum to 2**30, or 2**15: |a| <= 2**30.
    Ledger:    can't refute it; a replay can.
    Source:    Pillutla et al., 2019 (RFA), algorithm 2.
    """

    name = "geometric-median"

    def choose(self, points: Points, *, numbers: tuple[int, ...], f: int, m: int, weights: Int64 | None) -> Choice:
        weights_ = geometric_median_weights(points.distances(), smoothing=points.scale)
        return _weighted(quantised(weights_, bits_for(points.scale)), points.scale, bits_for(points.scale))


class CentredClipping(AggregationRule):
    """From a centre on: the mean of the steps to all rows, each at most so long.

    Formula:   v <- v + (1 / k) sum (v_i - v) min(1, T / ||v_i - v||), from the centre on; a = the weighted sum, with
               weights as for `geometric-median`, of what rows and centre have contributed in the end.
    Numbers:   T, a norm in an update's unit, and L, the number of steps; without it until no weight changes.
    Condition: k >= 2f + 1 (f is not used).
    Kept:      every coordinate of every row.
    Ties:      none.
    Bounds:    weights are not negative and sum to 2**30, or 2**15: |a| <= 2**30.
    Ledger:    can't refute it; a replay can.
    Source:    Karimireddy et al., ICML 2021.
    """

    name = "centred-clipping"
    extra = "centre"

    def choose(self, points: Points, *, numbers: tuple[int, ...], f: int, m: int, weights: Int64 | None) -> Choice:
        radius, steps = numbers[0], numbers[1] if len(numbers) > 1 else None
        products = points.gram()
        if not points.extra:  # a centre of zeros has products of zero
            products = np.pad(products, (0, 1))
        found = centred_clipping_weights(squared_distances(products), radius=radius * points.scale, steps=steps)
        bits = bits_for(points.scale)
        # Without a centre that anybody gave there is no row to weigh: it is zero.
        return _weighted(quantised(found, bits)[: points.count], points.scale, bits)


class FlTrust(AggregationRule):
    """The mean of the rows that point where a trusted row points, each as long as that one.

    Formula:   w_i = max(0, cos(v_i, g)) / sum of these * ||g|| / ||v_i||; a the weighted sum, saturated.
    Condition: k >= 1, and a trusted row g; tolerates any number of liars as far as g can be trusted (f is not used).
    Kept:      every coordinate of every row.
    Ties:      none.
    Bounds:    2**30 ||S g|| bounds every coordinate of the sum; for norms from 2**31 on 2**15 does, which has to be
               below 2**62.
    Ledger:    can't refute it; a replay can.
    Source:    Cao et al., NDSS 2021, algorithm 2.
    """

    name = "fltrust"
    extra = "trusted"

    def choose(self, points: Points, *, numbers: tuple[int, ...], f: int, m: int, weights: Int64 | None) -> Choice:
        products = points.gram()
        if int(products[-1, -1]) >= MOST_TRUSTED:
            raise RangeError("squared norm of the trusted row", expected="below 2**94", actual=int(products[-1, -1]))
        bits = FINE if int(products[-1, -1]) < FINE_TRUSTED else COARSE
        found = fltrust_weights(products, bits)
        return _weighted((*found, 0), points.scale, bits, saturates=True)


def bits_for(scale: int) -> int:
    """Of a weight behind the point, for weights that sum to 1."""
    return FINE if scale < FINE_SCALE else COARSE


def _weighted(weights: tuple[int, ...], scale: int, bits: int, *, saturates: bool = False) -> Choice:
    """floorDiv(sum of w v, S * 2**(bits - 15)): 15 bits of the weights are those of the aggregate."""
    divisor = scale << (bits - 15)
    return Choice(combination=Weighted(weights=weights, shift=0, divisor=divisor, saturates=saturates))


def geometric_median_weights(distances: Exact, *, smoothing: int) -> Float64:
    """(k, k) squared distances -> k weights.

    smoothing: the least distance that a row is taken to have.
    """
    far = distances.astype(np.float64)
    k = far.shape[0]
    least = np.float64(smoothing**2)
    weights = np.full(k, 1.0 / k)
    before = quantised(weights, COARSE)
    for _ in range(MOST_STEPS):
        to_point = _squared_distances_to(far, weights)
        nearness = 1.0 / np.sqrt(np.maximum(to_point, least))
        weights = nearness / in_order(nearness)
        after = quantised(weights, COARSE)
        if after == before:
            break
        before = after
    return weights


def centred_clipping_weights(distances: Exact, *, radius: int, steps: int | None) -> Float64:
    """(k + 1, k + 1) squared distances of the rows and, last, the centre -> k + 1 weights.

    steps: so many; None: until no weight changes.
    """
    far = distances.astype(np.float64)
    k = far.shape[0] - 1
    longest = np.float64(radius)
    weights = np.zeros(k + 1)
    weights[k] = 1.0
    before = quantised(weights, COARSE)
    for _ in range(steps or MOST_STEPS):
        lengths = np.sqrt(np.maximum(_squared_distances_to(far, weights)[:k], 0.0))
        shares = np.ones(k)
        is_long = lengths > longest
        shares[is_long] = longest / lengths[is_long]
        weights = weights * (1.0 - in_order(shares) / k)
        weights[:k] += shares / k
        after = quantised(weights, COARSE)
        if after == before and steps is None:
            break
        before = after
    return weights


def fltrust_weights(products: Exact, bits: int) -> tuple[int, ...]:
    """(k + 1, k + 1) inner products of the rows and, last, the trusted one -> k weights in 2**-bits, of any sum."""
    inner = products.astype(np.float64)
    norms = np.sqrt(np.diagonal(inner))
    along = inner[:-1, -1]
    points_there = along > 0
    scores = np.zeros(len(along))
    scores[points_there] = along[points_there] / (norms[:-1][points_there] * norms[-1])
    total = in_order(scores)
    if total == 0.0:
        return (0,) * len(scores)
    weights = np.zeros(len(scores))
    weights[points_there] = (scores[points_there] / total) * (norms[-1] / norms[:-1][points_there])
    return tuple(int(weight) for weight in np.floor(weights * (1 << bits)).tolist())


def quantised(weights: Float64, bits: int) -> tuple[int, ...]:
    """Integers that sum to 2**bits: each rounded down, what is missing given to the largest, the lower place first."""
    found = [int(weight) for weight in np.floor(weights * (1 << bits)).tolist()]
    found[found.index(max(found))] += (1 << bits) - sum(found)
    return tuple(found)


def in_order(values: Float64) -> np.float64:
    """The sum, by ascending place."""
    return np.float64(np.add.accumulate(values)[-1])


def _squared_distances_to(far: Float64, weights: Float64) -> Float64:
    """Of all points to their weighted mean: p_i - c / 2, p_i = sum_j w_j D_ij, c = sum_i w_i p_i; weights sum to 1."""
    to_all = np.add.accumulate(weights[:, None] * far, axis=0)[-1]  # by ascending j; far is symmetric
    return np.asarray(to_all - in_order(weights * to_all) / 2.0)
