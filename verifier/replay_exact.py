"""Inner products and squared distances without an error, however wide the values.

Responsible for: vectors of integers in, Python integers out.
Must not know:   which rule asks, or what a row is.

Spec: docs/rules.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.signedinteger[Any]]
Table = NDArray[np.object_]
"""(k, k) of Python integers."""

BLOCK = 1 << 16
"""Columns at once.  Digits are at most 2^15, so that sums of their products stay below 2^46: exact in binary64."""


def gram(points: Integers) -> Table:
    """The inner product of every two of the points.

    points: (k, d), each below 2^62; cut into digits of 16 bits, whose products binary64 adds up exactly in any order.
    """
    found = np.zeros((len(points), len(points)), dtype=np.object_)
    for start in range(0, points.shape[1], BLOCK):
        digits = _digits(points[:, start : start + BLOCK])
        for i, left in enumerate(digits):
            for j, right in enumerate(digits):
                found += (left @ right.T).astype(np.int64).astype(np.object_) << 16 * (i + j)
    return found


def distances(points: Integers) -> Table:
    """The squared distance of every two of the points, (k, d)."""
    products = gram(points)
    norms = np.diag(products)
    return np.asarray(norms[:, None] + norms[None, :] - 2 * products, dtype=np.object_)


def squared_norm(point: Integers) -> int:
    """The inner product of a point, (d,), with itself."""
    return int(gram(point[None])[0, 0])


def _digits(values: Integers) -> list[NDArray[np.float64]]:
    """Digits from -2^15 to 2^15 - 1, the lowest first: the values are their sum times 2^(16 i)."""
    rest = values.astype(np.int64)
    found: list[NDArray[np.float64]] = []
    while rest.any() or not found:
        low = ((rest + (1 << 15)) & 0xFFFF) - (1 << 15)
        found.append(low.astype(np.float64))
        rest = (rest - low) >> 16
    return found
