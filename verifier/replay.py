"""The aggregation, once more: short and obvious, written from the definitions and from nobody's code.

Responsible for: rows in, aggregate, selection, totals and new model out; whole numbers only.
Must not know:   the enclave's rules, trees, signatures, or where the rows come from.

Spec: docs/protocol.md sections 1, 5 and 6.  Slow where slow is clearer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.errors import RangeError, TooFewCountedError
from protocol.rulebook import Rule

ONE = 1 << 15
"""The aggregate's unit is 2^15 times finer than an update's."""

COLUMN = 16
"""Coordinates in one leaf of the column tree, after each of which the totals are stated."""

Rows = NDArray[np.int16]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What follows from a round's rows."""

    aggregate: Int32
    """(d,), value a * 2^(e_u - 15)."""

    selected: tuple[int, ...]
    """Places among the counted rows that the rule selected, ascending; all where a rule does not select."""

    kept: Int64
    """(L, k): coordinates kept of each row, accumulated over leaves 0..l."""

    deviation: Int64
    """(L, k): squared distance from r, accumulated."""

    alignment: Int64
    """(L, k): inner product with r, accumulated."""


def replay(rule: Rule, rows: Rows, *, f: int, m: int, weights: Sequence[int]) -> Replay:
    """Aggregates the counted rows.

    rows:    (k, d) int16, slots ascending.
    f, m:    of the spec; m = 0 means k - f.
    weights: min(samples, weightCap) of each row; only the weighted mean looks at them.
    Raises: TooFewCountedError, RangeError (a rule that no replay defines).
    """
    wide = rows.astype(np.int64)  # (k, d)
    k = len(rows)
    _at_least(k, 1)
    everybody = tuple(range(k))
    selected, low, high = everybody, wide.min(axis=0, initial=ONE), wide.max(axis=0, initial=-ONE)
    if rule is Rule.MEAN:
        aggregate = _mean(wide)
    elif rule is Rule.WEIGHTED_MEAN:
        each = np.array(weights, dtype=np.int64)
        aggregate = (each[:, None] * wide).sum(axis=0) * ONE // int(each.sum())
    elif rule is Rule.MEDIAN:
        middle = np.sort(wide, axis=0)[(k - 1) // 2 : k // 2 + 1]  # one value, or the two middle ones
        aggregate, low, high = _mean(middle), middle[0], middle[-1]
    elif rule is Rule.TRIMMED_MEAN:
        _at_least(k, 2 * f + 1)
        left = np.sort(wide, axis=0)[f : k - f]  # equal values are equal: which slot's is dropped changes no sum
        aggregate, low, high = _mean(left), left[0], left[-1]
    elif rule in (Rule.KRUM, Rule.MULTI_KRUM):
        best = krum_order(rows, f=f)
        number = 1 if rule is Rule.KRUM else m or k - f
        _at_least(k, number)
        selected = tuple(sorted(best[:number]))
        aggregate = _mean(wide[list(selected)])
    else:
        raise RangeError("rule to replay", expected="one of rules 1 to 6", actual=int(rule))
    if rule in (Rule.KRUM, Rule.MULTI_KRUM):
        is_kept = np.zeros(wide.shape, dtype=np.int64)
        is_kept[list(selected)] = 1
    else:
        is_kept = ((low <= wide) & (wide <= high)).astype(np.int64)
    reference = np.clip((aggregate + ONE // 2) // ONE, -32767, 32767)  # r, (d,)
    return Replay(
        aggregate=aggregate.astype(np.int32),
        selected=selected,
        kept=_running(is_kept),
        deviation=_running((wide - reference) ** 2),
        alignment=_running(wide * reference),
    )


def krum_order(rows: Rows, *, f: int) -> list[int]:
    """Places of the rows by (score, slot): the score is the sum of squared distances to the k - f - 2 nearest others.

    Source: Blanchard et al., NeurIPS 2017.
    """
    k = len(rows)
    _at_least(k, 2 * f + 3)
    wide = rows.astype(np.int64)
    scores = []
    for i in range(k):
        distances = [int(((wide[i] - wide[j]) ** 2).sum()) for j in range(k) if j != i]
        scores.append(sum(sorted(distances)[: k - f - 2]))
    return sorted(range(k), key=lambda i: (scores[i], i))


def step(base: Int32, aggregate: Int32, *, learning_rate: int, decay: int, exponent: int, model_exponent: int) -> Int32:
    """The plain server step: w' = saturate(w - floor(w * decay / 2^24) + floor(a * lr / 2^s)).

    base, aggregate: (d,) int32.   learning_rate: Q16.   decay: Q24.   s = 16 + e_m - (e_u - 15).
    """
    s = 16 + model_exponent - (exponent - 15)
    w, a = base.astype(np.int64), aggregate.astype(np.int64)
    moved = (a * learning_rate) >> s if s >= 0 else (a * learning_rate) << -s  # >> floors
    new = w - ((w * decay) >> 24) + moved
    return np.asarray(np.clip(new, -(1 << 31), (1 << 31) - 1), dtype=np.int32)


def squared_norm(row: Rows) -> int:
    """What the spec's normBound bounds."""
    wide = row.astype(np.int64)
    return int((wide * wide).sum())


def _mean(rows: Int64) -> Int64:
    """floor(sum * 2^15 / count) of every column."""
    return np.asarray(rows.sum(axis=0) * ONE // len(rows), dtype=np.int64)


def _running(values: Int64) -> Int64:
    """(k, d) to (L, k): sums over the coordinates of leaves 0..l."""
    k, d = values.shape
    leaves = -(-d // COLUMN)
    padded = np.zeros((k, leaves * COLUMN), dtype=np.int64)
    padded[:, :d] = values
    sums = padded.reshape(k, leaves, COLUMN).sum(axis=2)
    return np.ascontiguousarray(sums.cumsum(axis=1).T)


def _at_least(k: int, bound: int) -> None:
    if k < bound:
        raise TooFewCountedError("counted updates", expected=f"at least {bound}", actual=k)
