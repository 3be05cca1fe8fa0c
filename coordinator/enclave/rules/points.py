"""The rows as one point each: inner products and distances, exact, behind whatever was done to the rows.

Responsible for: Gram matrices of rows that were scaled and mixed, from as few passes over the coordinates as it takes.
Must not know:   what is decided by them, blocks and machine code (whoever makes it says how a pass is done).

Sums of rows have sums of products: behind a stage that mixes, the matrix is M G M^T, and nobody looks at a coordinate
again.  Behind one that clips it is not (every value is rounded), so that takes another pass.

Spec: docs/rules.md (weights in Gram space).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from coordinator.enclave.rules.plan import Mixed, Products, Scaled, Transform
from protocol.fixedpoint import Int64

Exact = npt.NDArray[Any]
"""Integers: of 64 bits, or Python's own where these need not do."""

Pass = Callable[[tuple[Transform, ...], bool], Exact]
"""Over all coordinates: the inner products of the rows behind these transforms; of any two, or each with itself."""


@dataclass(slots=True, kw_only=True)
class Points:
    """The rows behind some transforms, and what is known of them."""

    look: Pass
    """Goes over the coordinates."""
    count: int
    """n: rows behind the transforms, further ones included."""
    extra: int
    """How many of them, at the end, are no counted row's: 1 where the rule takes a further row, else 0."""
    scale: int = 1
    """What their values are to be divided by."""
    transforms: tuple[Transform, ...] = ()
    before: Points | None = None
    """The rows before the last transform."""
    products: list[Products] = field(default_factory=list)
    """What was seen on the way, for whoever checks it."""
    _gram: Exact | None = None

    @property
    def k(self) -> int:
        """Rows that the next stage, or the rule, has before it."""
        return self.count - self.extra

    def gram(self) -> Exact:
        """(n, n) inner products."""
        if self._gram is None:
            last = self.transforms[-1] if self.transforms else None
            if isinstance(last, Mixed) and self.before is not None:
                self._gram = mapped(self.before.gram(), last)
            else:
                self._gram = self._seen(everything=True)
        return self._gram

    def squared_norms(self) -> list[int]:
        """Of the k rows."""
        is_mixed = bool(self.transforms) and isinstance(self.transforms[-1], Mixed)
        norms = np.diagonal(self.gram()) if is_mixed or self._gram is not None else self._seen(everything=False)
        return [int(norm) for norm in norms[: self.k].tolist()]

    def distances(self) -> Exact:
        """(k, k) squared distances: uint64 as long as the products are int64, else Python's integers."""
        return squared_distances(self.gram()[: self.k, : self.k])

    def behind(self, transform: Transform, *, count: int) -> Points:
        """The rows behind one more transform, `count` of them without the further one."""
        return Points(
            look=self.look,
            count=count + self.extra,
            extra=self.extra,
            scale=self.scale * (transform.scale if isinstance(transform, Mixed) else 1),
            transforms=(*self.transforms, transform),
            before=self,
            products=self.products,
        )

    def _seen(self, *, everything: bool) -> Exact:
        values = self.look(self.transforms, everything)
        scaled = tuple(step for step in self.transforms if isinstance(step, Scaled))
        if len(scaled) == len(self.transforms):
            self.products.append(Products(behind=scaled, values=values.astype(np.int64, copy=False)))
        return values


def squared_distances(products: Exact) -> Exact:
    """(k, k) inner products -> (k, k) G_ii + G_jj - 2 * G_ij.

    Of int64 products uint64, computed modulo 2**64, and exact: a squared distance of int16 rows is below
    d * 2**32 <= 2**64, and `mapped` leaves int64 only to products below 2**62.  Of Python's integers the same.
    """
    if products.dtype == np.object_:
        squares = np.diagonal(products)
        return np.asarray(squares[:, None] + squares[None, :] - 2 * products)
    entries = products.astype(np.uint64)
    norms = np.diagonal(entries)
    return np.asarray(norms[:, None] + norms[None, :] - (entries << np.uint64(1)))


def mapped(products: Exact, transform: Mixed) -> Exact:
    """(n, n) -> (n', n'), M G M^T, M the transform's matrix; int64 where no sum can pass it, else Python's integers."""
    matrix = np.zeros((len(transform.members), products.shape[0]), dtype=np.int64)
    for place, members in enumerate(transform.members):
        matrix[place, list(members)] = transform.times[place]
    if products.dtype == np.object_:
        wide = matrix.astype(object)
        return np.asarray(wide @ products @ wide.T)
    widest = int(matrix.sum(axis=1).max()) ** 2
    largest = int(np.abs(products).max())
    if largest * widest < 1 << 62:  # a squared distance is four times that at most, and uint64
        return np.asarray(matrix @ products @ matrix.T)
    if widest >= 1 << 30:
        return mapped(products.astype(object), transform)
    high, low = products >> 31, products & ((1 << 31) - 1)
    sums = [(matrix @ half @ matrix.T).astype(object) for half in (high, low)]
    return np.asarray(sums[0] * (1 << 31) + sums[1])


def digits_of(block: npt.NDArray[np.integer], count: int) -> npt.NDArray[np.int16]:
    """(k, b) integers -> (count * k, b) int16: v = sum of digit_l * 2**(15 l), of which the last one has the sign."""
    digits, rest = [], block.astype(np.int64)
    for _ in range(count - 1):
        digits.append((rest & 0x7FFF).astype(np.int16))
        rest = rest >> 15
    return np.concatenate([*digits, rest.astype(np.int16)])


def digits_for(scale: int) -> int:
    """How many digits of 15 bits hold a value of that scale, which is below 2**15 * scale, and its sign."""
    return 1 + (15 + scale.bit_length()) // 15


def from_digits(sums: Int64, count: int) -> Exact:
    """(count * k, count * k) inner products of digits -> (k, k) of the values, Python's integers."""
    k = sums.shape[0] // count
    total = np.zeros((k, k), dtype=object)
    for i in range(count):
        for j in range(count):
            part = sums[i * k : (i + 1) * k, j * k : (j + 1) * k].astype(object)
            total += part * (1 << (15 * (i + j)))
    return total
