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
    selected = select(rule, rows, f=f, m=m)
    aggregate = combine(rule, rows, f=f, selected=selected, weights=weights).astype(np.int32)
    found = contributions(rule, rows, aggregate, f=f, selected=selected)
    return Replay(
        aggregate=aggregate,
        selected=selected,
        kept=found.kept.cumsum(axis=0),
        deviation=found.deviation.cumsum(axis=0),
        alignment=found.alignment.cumsum(axis=0),
    )


def select(rule: Rule, rows: Rows, *, f: int, m: int) -> tuple[int, ...]:
    """Places of the rows that the rule selects, ascending; all where it does not select."""
    k = len(rows)
    _at_least(k, 1)
    if rule not in (Rule.KRUM, Rule.MULTI_KRUM):
        return tuple(range(k))
    best = krum_order(rows, f=f)
    number = 1 if rule is Rule.KRUM else m or k - f
    _at_least(k, number)
    return tuple(sorted(best[:number]))


def combine(rule: Rule, rows: Rows, *, f: int, selected: Sequence[int], weights: Sequence[int]) -> Int64:
    """(d,) the aggregate, when these places are selected and weigh so much; a coordinate rests on its column alone.

    Raises: TooFewCountedError, RangeError (a rule that no replay defines; no weight at all).
    """
    if rule is Rule.WEIGHTED_MEAN:
        if sum(weights) == 0:
            raise RangeError("sum of the weights", expected="at least 1", actual=0)
        kind = np.int64 if max(weights) < 1 << 24 else object  # a liar's weights are as large as they like
        each = np.array(weights, dtype=kind)
        sums = (each[:, None] * rows.astype(kind)).sum(axis=0)
        return np.asarray(sums * ONE // sum(weights), dtype=np.int64)
    if rule is Rule.MEDIAN:
        low, high = kept_range(rule, rows, f=f)
        return _mean(np.stack([low, high]))
    if rule is Rule.TRIMMED_MEAN:
        _at_least(len(rows), 2 * f + 1)
        return _mean(np.sort(rows, axis=0)[f : len(rows) - f].astype(np.int64))
    if rule in (Rule.MEAN, Rule.KRUM, Rule.MULTI_KRUM):
        return _mean(rows[list(selected)].astype(np.int64))
    raise RangeError("rule to replay", expected="one of rules 1 to 6", actual=int(rule))


def kept_range(rule: Rule, rows: Rows, *, f: int) -> tuple[Int64, Int64]:
    """(d,) each: the smallest and the largest value that median or trimmed mean keeps of every coordinate."""
    k = len(rows)
    first, last = (f, k - f - 1) if rule is Rule.TRIMMED_MEAN else ((k - 1) // 2, k // 2)
    _at_least(k, 2 * f + 1)
    ordered = np.sort(rows, axis=0)  # equal values are equal: which slot's is dropped changes no sum
    return ordered[first].astype(np.int64), ordered[last].astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contributions:
    """What each leaf of the column tree adds to the totals; (L, k) each."""

    kept: Int64
    deviation: Int64
    alignment: Int64


def contributions(rule: Rule, rows: Rows, aggregate: Int32, *, f: int, selected: Sequence[int]) -> Contributions:
    """What the rows' coordinates add, leaf by leaf, beside an aggregate (any one: nothing here asks where it is from).

    rows: (k, d).   aggregate: (d,).   selected: places of which every coordinate is kept, where the rule keeps rows.
    """
    wide = rows.astype(np.int64)
    reference = np.clip((aggregate.astype(np.int64) + ONE // 2) // ONE, -32767, 32767)  # r, (d,)
    if rule in (Rule.MEDIAN, Rule.TRIMMED_MEAN):
        low, high = kept_range(rule, rows, f=f)
        is_kept = ((low <= wide) & (wide <= high)).astype(np.int64)
    else:
        is_kept = np.zeros(wide.shape, dtype=np.int64)
        is_kept[list(selected)] = 1
    return Contributions(
        kept=_by_leaf(is_kept),
        deviation=_by_leaf((wide - reference) ** 2),
        alignment=_by_leaf(wide * reference),
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


def _by_leaf(values: Int64) -> Int64:
    """(k, d) to (L, k): sums over the coordinates of each leaf."""
    k, d = values.shape
    leaves = -(-d // COLUMN)
    padded = np.zeros((k, leaves * COLUMN), dtype=np.int64)
    padded[:, :d] = values
    return np.ascontiguousarray(padded.reshape(k, leaves, COLUMN).sum(axis=2).T)


def _at_least(k: int, bound: int) -> None:
    if k < bound:
        raise TooFewCountedError("counted updates", expected=f"at least {bound}", actual=k)
