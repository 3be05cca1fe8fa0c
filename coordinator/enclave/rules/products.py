"""Exact inner products and squared distances of int16 rows.

Responsible for: the Gram matrix, and the distances that follow from it.
Must not know:   rules, slots, how the matrix grows chunk by chunk in the Gram tree (protocol/trees.py).

Why a float64 matrix product is exact here: a product of two int16 is at most 2**30 in magnitude, so all partial sums
over 2**22 coordinates are integers below 2**53, which float64 holds exactly, in any order, with or without fused
operations.  Whatever BLAS does, these are the integers.

Spec: docs/protocol.md (numbers; Gram tree).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from coordinator.enclave.rules.base import check_dimension
from protocol.fixedpoint import Int16, Int64

_BLOCK_ELEMENTS = 1 << 20
"""Elements of a float64 block over all rows (8 MiB); keeps a block below 2**22 coordinates for any k."""


def gram(rows: Int16) -> Int64:
    """(k, d) int16 -> (k, k) int64, G[i, j] = sum over coordinates of q_i * q_j.

    |G| <= d * 2**30 < 2**62 for d < 2**32.
    Raises: LengthError.
    """
    k, d = rows.shape
    check_dimension(d)
    width = max(1, _BLOCK_ELEMENTS // max(k, 1))
    products = np.zeros((k, k), dtype=np.int64)
    for start in range(0, d, width):
        block = rows[:, start : start + width].astype(np.float64)  # (k, width)
        products += (block @ block.T).astype(np.int64)
    return products


def squared_distances(products: Int64) -> npt.NDArray[np.uint64]:
    """(k, k) Gram matrix of int16 rows -> (k, k) uint64, G_ii + G_jj - 2 * G_ij.

    Computed modulo 2**64, and exact: a squared distance is below d * 2**32 <= 2**64.
    """
    entries = products.astype(np.uint64)
    squares = np.diagonal(entries)
    return squares[:, None] + squares[None, :] - (entries << np.uint64(1))
