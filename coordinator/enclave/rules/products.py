"""Exact inner products of int16 rows, in NumPy.

Responsible for: the products of one block of coordinates, by a float64 matrix product that is exact.
Must not know:   rules, slots, how the matrix grows chunk by chunk in the Gram tree (protocol/trees.py).

Why a float64 matrix product is exact here: a product of two int16 is at most 2**30 in magnitude, so all partial sums
over 2**22 coordinates are integers below 2**53, which float64 holds exactly, in any order, with or without fused
operations.  Whatever BLAS does, these are the integers.

Spec: docs/protocol.md (numbers; Gram tree).
"""

from __future__ import annotations

import numpy as np

from protocol.fixedpoint import Int16, Int64

MOST_COORDINATES = 1 << 22
"""Of a block, so that every sum is exact."""


def gram_of_block(block: Int16) -> Int64:
    """(k, b) int16 -> (k, k) int64, G[i, j] = sum over coordinates of q_i * q_j."""
    _check(block)
    values = block.astype(np.float64)
    return np.asarray((values @ values.T).astype(np.int64))


def norms_of_block(block: Int16) -> Int64:
    """(k, b) int16 -> (k,) int64, the diagonal of the same."""
    _check(block)
    values = block.astype(np.float64)
    return np.asarray((values * values).sum(axis=1).astype(np.int64))


def _check(block: Int16) -> None:
    if block.shape[1] > MOST_COORDINATES:
        raise ValueError(f"{block.shape[1]} coordinates in a block of inner products, at most {MOST_COORDINATES}")
