"""The rules of a chain, once more: what each selects, weighs, ranks and keeps.

Responsible for: the rows that a rule sees in, one integer a coordinate out.
Must not know:   the enclave's rules, totals, trees, or where the rows come from.

Spec: docs/rules.md, "The rules".

A rule first looks at whole rows (`choose`), then at one coordinate after another (`aggregated`, `is_kept`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.errors import RangeError, TooFewCountedError
from protocol.rulebook import Step
from verifier import replay_weights
from verifier.replay_exact import Integers, Table, distances, gram
from verifier.replay_mda import least_diameter
from verifier.replay_stages import Mixed
from verifier.replay_weights import COARSE, FINE

ONE = 1 << 15
"""The aggregate's unit is 2^15 times finer than an update's."""

RANKING = frozenset({"median", "trimmed-mean", "meamed", "bulyan"})
"""Rules that take the mean of consecutive ranks of every coordinate's values."""

Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a rule has settled before it looks at any coordinate."""

    places: tuple[int, ...]
    """The rows that it selects, ascending; all where it does not select."""

    weights: Sequence[int] = ()
    """One a row, where it does not rank: the aggregate is `sum w v // (S * over)`."""

    over: int = 1


def with_one_more(
    rule: Step, mixed: Mixed, *, centre: NDArray[np.int16] | None, trusted: NDArray[np.int16] | None
) -> Mixed:
    """The rows, and as the last the centre of centred-clipping (zero if there is none) or fltrust's trusted row.

    Raises: RangeError (no trusted row).
    """
    if rule.name == "fltrust":
        if trusted is None:
            raise RangeError("trusted row of fltrust", expected="one", actual="none")
        more = trusted
    elif rule.name == "centred-clipping":
        more = np.zeros(mixed.rows.shape[1], dtype=np.int16) if centre is None else centre
    else:
        return mixed
    points = np.vstack([mixed.rows, more.astype(np.int64) * mixed.scale])
    return Mixed(rows=points, scale=mixed.scale, stands=mixed.stands)


def choose(rule: Step, mixed: Mixed, *, f: int, m: int, weights: Sequence[int]) -> Choice:
    """What a rule makes of its rows (`with_one_more`).

    weights: min(samples, weightCap), of weighted-mean.
    Raises: RangeError (no weight at all).
    """
    k, everything = len(mixed.rows), tuple(range(len(mixed.rows)))
    if rule.name == "mean":
        return selection(k, everything)
    if rule.name == "weighted-mean":
        return weighing(weights)
    if rule.name in ("median", "trimmed-mean", "meamed"):
        return Choice(places=everything)
    if rule.name == "fltrust":
        products = gram(mixed.rows)
        bits = FINE if products[-1][-1] < 1 << 62 else COARSE
        weighed = [math.floor(weight * 2**bits) for weight in replay_weights.fltrust(products)]
        return Choice(places=everything, weights=(*weighed, 0), over=1 << bits - 15)
    table = distances(mixed.rows)
    if rule.name == "geometric-median":
        return _finely(replay_weights.geometric_median(table, scale=mixed.scale), mixed.scale)
    if rule.name == "centred-clipping":
        radius, steps = rule.numbers[0], rule.numbers[1] if len(rule.numbers) > 1 else None
        found = replay_weights.centred_clipping(table, scale=mixed.scale, radius=radius, steps=steps)
        return _finely(found, mixed.scale)
    if rule.name == "bulyan":
        return Choice(places=tuple(bulyan_places(table, f=f)))
    if rule.name == "mda":
        return selection(k, least_diameter(table, k - f))
    return selection(k, krum_order(table, everything, k - f - 2)[: 1 if rule.name == "krum" else m or k - f])


def _finely(weights: Sequence[float], scale: int) -> Choice:
    """Weights that sum to one, with as many bits as leave their sums room."""
    bits = FINE if scale < 1 << 16 else COARSE
    found = replay_weights.quantised(weights, bits)
    return Choice(places=tuple(range(len(found))), weights=found, over=1 << bits - 15)


def selection(k: int, places: Sequence[int]) -> Choice:
    """The mean of the rows at these places, of k."""
    weights = [ONE if place in places else 0 for place in range(k)]
    return Choice(places=tuple(sorted(places)), weights=weights, over=len(places))


def weighing(weights: Sequence[int]) -> Choice:
    """The weighted mean.  Raises RangeError (no weight at all)."""
    if sum(weights) == 0:
        raise RangeError("sum of the weights", expected="at least 1", actual=0)
    return Choice(places=tuple(range(len(weights))), weights=[ONE * weight for weight in weights], over=sum(weights))


def aggregated(name: str, block: Integers, choice: Choice, *, scale: int, f: int) -> Int64:
    """(b,) the aggregate of these coordinates, int32 in its range.

    block: (k, b) columns of the rows, those of a centre or a trusted row too.
    """
    if name in RANKING:
        ranked = window(name, block[list(choice.places)], f=f)
        return np.asarray(ONE * ranked.total // (scale * ranked.count), dtype=np.int64)
    bound = sum(map(abs, choice.weights)) * scale << 15  # no value is beyond 2^15 * S
    kind = np.int64 if bound < 1 << 63 else np.object_  # fltrust's weights, and a liar's, are as large as they like
    total = (np.array(choice.weights, dtype=kind)[:, None] * block.astype(kind)).sum(axis=0)
    return np.asarray(
        np.clip(total // (scale * choice.over), -(1 << 31), (1 << 31) - 1), dtype=np.int64
    )  # only fltrust's can be beyond


def is_kept(name: str, block: Integers, choice: Choice, *, f: int) -> NDArray[np.bool_]:
    """(k, b) whether the rule kept a row's value: low <= v <= high where it ranks, of the selected rows."""
    kept = np.zeros(block.shape, dtype=np.bool_)
    places = list(choice.places)
    kept[places] = True
    if name in RANKING:
        found = window(name, block[places], f=f)
        kept &= (found.low <= block) & (block <= found.high)
    return kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The consecutive ranks of every coordinate that a rule keeps; (b,) each."""

    low: Int64
    """The smallest value kept."""

    high: Int64
    """The largest."""

    total: Int64
    """The sum of all."""

    count: int
    """How many."""


def window(name: str, block: Integers, *, f: int) -> Window:
    """What a ranking rule keeps of the values of these coordinates.

    block: (r, b), of Bulyan the selected rows only.
    """
    r = len(block)
    count = {"median": r // 2 - (r - 1) // 2 + 1, "trimmed-mean": r - 2 * f, "meamed": r - f, "bulyan": r - 2 * f}[name]
    at_least(r, 2 * f + 1)
    ordered = np.sort(block, axis=0).astype(np.int64)  # equal values are equal: whose is dropped changes no sum
    if name in ("median", "trimmed-mean"):
        first = np.full(block.shape[1], (r - count) // 2)
    else:
        first = _nearest_median(ordered, count)
    ranks = np.arange(r)[:, None]
    inside = (first <= ranks) & (ranks < first + count)
    return Window(
        low=_rank(ordered, first),
        high=_rank(ordered, first + count - 1),
        total=np.where(inside, ordered, 0).sum(axis=0),
        count=count,
    )


def krum_order(table: Table, places: Sequence[int], neighbours: int) -> list[int]:
    """The places by (score, place): the score is the sum of squared distances to so many nearest others of them.

    Source: Blanchard et al., NIPS 2017.
    """

    def score(i: int) -> int:
        others: list[int] = sorted(table[i, j] for j in places if j != i)
        return sum(others[:neighbours])

    return sorted(places, key=lambda i: (score(i), i))


def bulyan_places(table: Table, *, f: int) -> list[int]:
    """The k - 2f rows that Krum selects one after another.  Source: El Mhamdi et al., ICML 2018, section 4."""
    left = list(range(len(table)))
    while len(left) > 2 * f:
        left.remove(krum_order(table, left, max(len(left) - f - 2, 1))[0])
    return [place for place in range(len(table)) if place not in left]


def at_least(k: int, bound: int) -> None:
    """Raises TooFewCountedError."""
    if k < bound:
        raise TooFewCountedError("counted updates", expected=f"at least {bound}", actual=k)


def _nearest_median(ordered: Int64, count: int) -> NDArray[np.intp]:
    """(b,) the smallest s with v[s] + v[s + count] >= twice the median, or the last possible one."""
    r = len(ordered)
    twice = ordered[(r - 1) // 2] + ordered[r // 2]
    first = np.full(ordered.shape[1], r - count)
    for s in reversed(range(r - count)):
        first[ordered[s] + ordered[s + count] >= twice] = s
    return first


def _rank(ordered: Int64, rank: NDArray[np.intp]) -> Int64:
    return np.asarray(np.take_along_axis(ordered, rank[None], axis=0)[0], dtype=np.int64)
