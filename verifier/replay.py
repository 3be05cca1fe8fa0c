"""The aggregation, once more: short and obvious, written from the definitions and from nobody's code.

Responsible for: a chain and rows in, aggregate, selection, totals and new model out.
Must not know:   the enclave's rules, trees, signatures, or where the rows come from.

Spec: docs/rules.md; docs/protocol.md sections 1, 5 and 6.  Slow where slow is clearer.

A chain is worked through in three steps: stages (`replay_stages`), what its rule makes of whole rows, and what of each
coordinate (`replay_rules`).  `select` to `contributions` are the same piece by piece, for the rules that the ledger can
refute, by number: a refutation asks what follows from a selection or weights that somebody stated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.errors import LengthError, RangeError
from protocol.rulebook import RULE_NAMES, Chain, Rule, Step, is_selecting, minimum_counted
from verifier import replay_exact
from verifier.replay_rules import (
    ONE,
    Choice,
    aggregated,
    at_least,
    choose,
    is_kept,
    selection,
    weighing,
    window,
    with_one_more,
)
from verifier.replay_stages import Mixed, apply_stages

COLUMN = 16
"""Coordinates in one leaf of the column tree, after each of which the totals are stated."""

BLOCK = 1 << 16
"""Coordinates at once; leaves don't straddle blocks."""

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


def replay(
    chain: Chain,
    rows: Rows,
    *,
    f: int,
    m: int,
    weights: Sequence[int] = (),
    slots: Sequence[int] | None = None,
    seed: bytes = bytes(32),
    centre: Rows | None = None,
    trusted: Rows | None = None,
) -> Replay:
    """Aggregates the counted rows.

    rows:    (k, d) int16, slots ascending.
    f, m:    of the spec; m = 0 means k - f.
    weights: min(samples, weightCap) of each row; only weighted-mean looks at them.
    slots:   the rows' slots, which bucketing draws by; 0 to k - 1 where none are given.   seed: bucketing's.
    centre:  (d,) of centred-clipping; zero where none is given.   trusted: (d,) of fltrust.
    Raises: TooFewCountedError, LengthError, RangeError (no trusted row, no weight at all, sums past 64 bits).
    """
    at_least(len(rows), chain.minimum_counted(f=f, m=m))
    slots = range(len(rows)) if slots is None else [int(slot) for slot in slots]
    for what, number in (("slots", len(slots)), ("weights", len(weights) if chain.is_weighted else len(rows))):
        if number != len(rows):
            raise LengthError(what, expected=len(rows), actual=number)
    counted = Mixed(rows=rows, scale=1, stands=tuple(range(len(rows))))
    mixed = apply_stages(chain.stages, counted, f=f, slots=slots, seed=seed)
    mixed = with_one_more(chain.rule, mixed, centre=centre, trusted=trusted)
    choice = choose(chain.rule, mixed, f=f, m=m, weights=weights)
    aggregate, added = _coordinates(chain.rule, rows, mixed, choice, f=f)
    return Replay(
        aggregate=aggregate,
        selected=tuple(i for i, place in enumerate(mixed.stands) if place in choice.places),
        kept=added.kept.cumsum(axis=0),
        deviation=added.deviation.cumsum(axis=0),
        alignment=added.alignment.cumsum(axis=0),
    )


def select(rule: Rule, rows: Rows, *, f: int, m: int) -> tuple[int, ...]:
    """Places of the rows that the rule selects, ascending; all where it does not select.

    Raises: TooFewCountedError.
    """
    at_least(len(rows), minimum_counted(rule, f=f, m=m))
    if not is_selecting(rule):
        return tuple(range(len(rows)))
    return choose(Step(_name(rule)), Mixed(rows=rows, scale=1, stands=()), f=f, m=m, weights=()).places


def combine(rule: Rule, rows: Rows, *, f: int, selected: Sequence[int], weights: Sequence[int]) -> Int64:
    """(d,) the aggregate, when these places are selected and weigh so much; a coordinate rests on its column alone.

    Raises: TooFewCountedError, RangeError (a rule that no predicate knows; no weight at all).
    """
    k = len(rows)
    if rule is Rule.WEIGHTED_MEAN:
        choice = weighing(weights)
    elif rule in (Rule.MEDIAN, Rule.TRIMMED_MEAN):
        choice = Choice(places=tuple(range(k)))
    else:
        choice = selection(k, selected)
    return aggregated(_name(rule), rows, choice, scale=1, f=f)


def kept_range(rule: Rule, rows: Rows, *, f: int) -> tuple[Int64, Int64]:
    """(d,) each: the smallest and the largest value that median or trimmed mean keeps of every coordinate."""
    found = window(_name(rule), rows, f=f)
    return found.low, found.high


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
    places = range(len(rows)) if rule in (Rule.MEDIAN, Rule.TRIMMED_MEAN) else selected
    return _contributions(rows, aggregate, is_kept(_name(rule), rows, Choice(places=tuple(places)), f=f))


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
    return replay_exact.squared_norm(row)


def _coordinates(rule: Step, rows: Rows, mixed: Mixed, choice: Choice, *, f: int) -> tuple[Int32, Contributions]:
    """(d,) the aggregate, and what every leaf adds to the totals of the counted rows; block after block."""
    found, added = [], []
    for start in range(0, rows.shape[1], BLOCK):
        columns = slice(start, start + BLOCK)
        block = mixed.rows[:, columns]
        found.append(aggregated(rule.name, block, choice, scale=mixed.scale, f=f).astype(np.int32))
        kept = is_kept(rule.name, block, choice, f=f)[list(mixed.stands)]
        added.append(_contributions(rows[:, columns], found[-1], kept))
    return np.concatenate(found), Contributions(
        kept=np.concatenate([one.kept for one in added]),
        deviation=np.concatenate([one.deviation for one in added]),
        alignment=np.concatenate([one.alignment for one in added]),
    )


def _contributions(rows: Rows, aggregate: Int32, kept: NDArray[np.bool_]) -> Contributions:
    wide = rows.astype(np.int64)
    reference = np.clip((aggregate.astype(np.int64) + ONE // 2) // ONE, -32767, 32767)  # r, (d,)
    return Contributions(
        kept=_by_leaf(kept.astype(np.int64)),
        deviation=_by_leaf((wide - reference) ** 2),
        alignment=_by_leaf(wide * reference),
    )


def _by_leaf(values: Int64) -> Int64:
    """(k, d) to (L, k): sums over the coordinates of each leaf."""
    k, d = values.shape
    leaves = -(-d // COLUMN)
    padded = np.zeros((k, leaves * COLUMN), dtype=np.int64)
    padded[:, :d] = values
    return np.ascontiguousarray(padded.reshape(k, leaves, COLUMN).sum(axis=2).T)


def _name(rule: Rule) -> str:
    for name, number in RULE_NAMES.items():
        if number is rule:
            return name
    raise RangeError("rule to replay by number", expected="one of rules 1 to 6", actual=int(rule))
