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
    d * 2**32 <= 2**64.  Of Python's integers the same.
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
    if largest * widest < 1 << 63:
        return np.asarray(matrix @ products @ matrix.T)
    if widest >= 1 << 30:
        return mapped(products.astype(object), transform)
    high, low = products >> 31, products & ((1 << 31) - 1)
    sums = [(matrix @ half @ matrix.T).astype(object) for half in (high, low)]
    return np.asarray(sums[0] * (1 << 31) + sums[1])


def exact_gram(block: npt.NDArray[np.integer], product: Callable[[npt.NDArray[np.int16]], Int64]) -> Exact:
    """(k, b) integers of any width -> (k, k) inner products as Python's integers.

    product: that of int16 rows.  A value is cut into digits of 15 bits, v = sum of digit_l * 2**(15 l), of which the
             last has the sign; the digits are int16 rows.
    """
    k = block.shape[0]
    digits, rest = [], block.astype(np.int64)
    while True:
        digits.append((rest & 0x7FFF).astype(np.int16))
        rest = rest >> 15
        if not len(rest) or (rest.min() >= -0x7FFF and rest.max() <= 0x7FFF):
            break
    digits.append(rest.astype(np.int16))
    sums = product(np.concatenate(digits)).astype(object)
    total = np.zeros((k, k), dtype=object)
    for i in range(len(digits)):
        for j in range(len(digits)):
            total += sums[i * k : (i + 1) * k, j * k : (j + 1) * k] * (1 << (15 * (i + j)))
    return total
