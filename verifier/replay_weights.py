"""The weights of three rules, which no integer gives: binary64, one rounding an operation, in a fixed order.

Responsible for: squared distances or inner products in, integer weights out.
Must not know:   rows.

Spec: docs/rules.md, "Weights in Gram space".  Never `sum`: from Python 3.12 on it corrects its roundings.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from functools import reduce

from verifier.replay_exact import Table

COARSE, FINE = 15, 30
"""Bits of a weight."""
STEPS = 64
"""At most."""


def geometric_median(distances: Table, *, scale: int) -> list[float]:
    """(k,) weights that sum to one: smoothed Weiszfeld.  Source: Pillutla et al., 2019, algorithm 2."""
    table, k = _floats(distances), len(distances)
    w = [1.0 / k] * k
    for _ in range(STEPS):
        p = [_inner(w, line) for line in table]
        c = _inner(w, p)
        g = [1.0 / math.sqrt(max(p_i - c / 2, float(scale**2))) for p_i in p]
        t = _total(g)
        before, w = w, [g_i / t for g_i in g]
        if quantised(w, COARSE) == quantised(before, COARSE):
            break
    return w


def centred_clipping(distances: Table, *, scale: int, radius: int, steps: int | None = None) -> list[float]:
    """(k + 1,) weights that sum to one, the centre's last.  Source: Karimireddy et al., ICML 2021.

    distances: (k + 1, k + 1), the centre's line and column last.   radius: T, in an update's unit.
    steps:     so many; None: until no weight changes, STEPS at most.
    """
    table, k, longest = _floats(distances), len(distances) - 1, float(radius * scale)
    u = [0.0] * k + [1.0]
    for _ in range(steps or STEPS):
        p = [_inner(u, line) for line in table]
        z = _inner(u, p)
        r = [math.sqrt(max(p_i - z / 2, 0.0)) for p_i in p[:k]]
        g = [1.0 if r_i <= longest else longest / r_i for r_i in r]
        h = _total(g) / k
        before, u = u, [u_j * (1.0 - h) for u_j in u]
        u = [u_i + g_i / k for u_i, g_i in zip(u[:k], g, strict=True)] + u[k:]
        if steps is None and quantised(u, COARSE) == quantised(before, COARSE):
            break
    return u


def fltrust(products: Table) -> list[float]:
    """(k,) weights, whatever their sum: trust by the angle, and the trusted row's length.

    products: (k + 1, k + 1) inner products, the trusted row's line and column last.
    Source: Cao et al., NDSS 2021, algorithm 2.
    """
    table, k = _floats(products), len(products) - 1
    n = [math.sqrt(table[i][i]) for i in range(k + 1)]
    t = [table[i][k] / (n[i] * n[k]) if table[i][k] > 0 else 0.0 for i in range(k)]
    total = _total(t)
    return [t[i] / total * (n[k] / n[i]) if t[i] else 0.0 for i in range(k)]


def quantised(weights: Sequence[float], bits: int) -> list[int]:
    """floor(w * 2^bits); what is missing to 2^bits is added to the largest of them, the lower place first."""
    found = [math.floor(weight * 2**bits) for weight in weights]
    found[found.index(max(found))] += 2**bits - sum(found)
    return found


def _floats(table: Table) -> list[list[float]]:
    return [[float(entry) for entry in line] for line in table]  # an integer, rounded once


def _inner(left: Sequence[float], right: Sequence[float]) -> float:
    return _total([a * b for a, b in zip(left, right, strict=True)])


def _total(terms: Sequence[float]) -> float:
    return reduce(operator.add, terms)
