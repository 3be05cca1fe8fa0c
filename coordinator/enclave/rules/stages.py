"""What is done to the rows before a rule: clipping, bucketing, mixing with neighbours.

Responsible for: deciding it from inner products; what was decided is a transform (plan.py).
Must not know:   which rule comes after it, coordinates, seeds.

Spec: docs/rules.md (a chain).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt, lcm

import numpy as np

from coordinator.enclave.rules.base import Mapped, Stage
from coordinator.enclave.rules.plan import Q16, Mixed, Scaled
from coordinator.enclave.rules.points import Points


class Clip(Stage):
    """Every row at most so long.

    Formula:   v' = sign(v) * (|v| * t >> 16), t = min(2**16, 2**16 * C * S // isqrt(||v||**2)); 2**16 where isqrt is 0.
               Toward zero: rounded down, a row of -1 everywhere would stay as long as it is, and all would drift.
    Numbers:   C, a norm in an update's unit.
    Ties:      none.
    Ledger:    can't refute a chain with it; a replay can.
    Source:    Karimireddy et al., ICML 2021 (clipping at a fixed radius).
    """

    name = "clip"

    def decide(self, points: Points, *, numbers: tuple[int, ...], f: int, order: Sequence[int]) -> Mapped:
        return Mapped(transform=Scaled(clip_factors(points.squared_norms(), numbers[0] * points.scale)))


class Arc(Stage):
    """Adaptive robust clipping: the longest rows are clipped to the length of the next one.

    Formula:   h = 2f(k - f) // k; v' as for `clip` with the radius isqrt(N), N the (h + 1)-th largest squared norm.
    Condition: k >= 2f + 1, so that h < k.
    Ties:      equal norms: the same N whichever is counted first.
    Ledger:    can't refute a chain with it; a replay can.
    Source:    Allouah et al., ICLR 2025.
    """

    name = "arc"

    def decide(self, points: Points, *, numbers: tuple[int, ...], f: int, order: Sequence[int]) -> Mapped:
        norms = points.squared_norms()
        h = 2 * f * (points.k - f) // points.k
        return Mapped(transform=Scaled(clip_factors(norms, isqrt(sorted(norms, reverse=True)[h]))))


class Bucketing(Stage):
    """Rows in a drawn order, averaged s by s: fewer rows that differ less, of which at most f hold a lie.

    Formula:   bucket j holds the rows of places s*j .. s*j + s - 1 in the order, the last one what is left;
               v'_j = (L / size_j) * sum of them, S' = S * L, L the least common multiple of the sizes.
    Numbers:   s.
    Condition: ceil(k / s) is enough for what comes after; f stays.
    Ties:      none; a bucket's place is j.
    Ledger:    can't refute a chain with it; a replay can.
    Source:    Karimireddy et al., ICLR 2022, algorithm 1.
    """

    name = "bucketing"

    def decide(self, points: Points, *, numbers: tuple[int, ...], f: int, order: Sequence[int]) -> Mapped:
        (s,) = numbers
        members = tuple(tuple(sorted(order[start : start + s])) for start in range(0, len(order), s))
        scale = lcm(*map(len, members))
        stands = [0] * len(order)
        for bucket, places in enumerate(members):
            for place in places:
                stands[place] = bucket
        return Mapped(
            transform=Mixed(members, tuple(scale // len(places) for places in members), scale), stands=tuple(stands)
        )


class NearestNeighbourMixing(Stage):
    """Every row becomes the mean of its nearest rows, itself among them.

    Formula:   v'_i = sum of the k - f rows nearest to row i, S' = S * (k - f).
    Condition: k >= 2f + 1.
    Ties:      equal distances: the lower place is nearer.
    Ledger:    can't refute a chain with it; a replay can.
    Source:    Allouah et al., AISTATS 2023.
    """

    name = "nnm"

    def decide(self, points: Points, *, numbers: tuple[int, ...], f: int, order: Sequence[int]) -> Mapped:
        near = points.k - f
        nearest = np.argsort(points.distances(), axis=1, kind="stable")[:, :near]
        members = tuple(tuple(sorted(places)) for places in nearest.tolist())
        return Mapped(transform=Mixed(members, (1,) * points.k, near))


def clip_factors(squared_norms: Sequence[int], radius: int) -> tuple[int, ...]:
    """By how much each row is scaled, in 2**-16, so that its length is at most the radius (rounded toward it)."""
    one = 1 << Q16
    lengths = [isqrt(norm) for norm in squared_norms]
    return tuple(min(one, one * radius // length) if length else one for length in lengths)
