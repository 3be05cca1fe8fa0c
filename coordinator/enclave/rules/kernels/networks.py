"""Comparators that rank values: sorting networks, pruned to the ranks that somebody asks for.

Responsible for: which pairs of wires are compared, in which order, and which results of a comparator are used.
Must not know:   machine code, rows, what ranked values are for.

Batcher's odd-even merge for any two lengths, each list split where that costs fewest comparators.  A comparator is left
out where nobody looks at what it tells apart: both results unused, or both in a set of ranks whose inside may be in any
order.  Whatever is left out, a rank that is asked for stays exact.

Source: Batcher, "Sorting networks and their applications", AFIPS 1968; Knuth, TAOCP 5.3.4.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import NamedTuple


class Comparator(NamedTuple):
    """Two wires: the smaller value goes to the one, the larger to the other."""

    small: int
    large: int

    is_small_used: bool = True
    """Whether anything depends on the smaller value."""

    is_large_used: bool = True
    """The same for the larger one."""


def pruned_network(k: int, *, exact: Collection[int], loose: Collection[int] = ()) -> tuple[Comparator, ...]:
    """Comparators for k wires after which the wires named by rank (from 0, ascending) hold what was asked for.

    exact: ranks, each of which ends on the wire of its number.
    loose: ranks whose wires together hold these ranks' values, in any order; other wires hold nothing of use.
    """
    return _pruned(sorting_network(k), k, exact, loose)


def pruned_merges(
    k: int, size: int, *, exact: Collection[int], loose: Collection[int] = ()
) -> tuple[tuple[int, ...], tuple[Comparator, ...]]:
    """The same for values that are sorted already by lists of `size` (the last may be shorter).

    returns: where each value has to be at first, list after list, each ascending; the comparators.
    """
    lists = [tuple(range(first, min(first + size, k))) for first in range(0, k, size)]
    comparators: _Comparators = ()
    while len(lists) > 1:
        merged = [_merged(left, right) for left, right in zip(lists[::2], lists[1::2], strict=False)]
        comparators += tuple(pair for pairs, _ in merged for pair in pairs)
        lists = [wires for _, wires in merged] + lists[2 * len(merged) :]
    wire, relabelled = _by_rank(comparators, lists[0])
    return tuple(wire[value] for value in range(k)), _pruned(relabelled, k, exact, loose)


@cache
def sorting_network(k: int) -> tuple[tuple[int, int], ...]:
    """(small, large) pairs for k wires; at the end wire r holds rank r.  Short lists are finished first."""
    _, comparators = _by_rank(*_sorted(tuple(range(k))))
    return comparators


_Comparators = tuple[tuple[int, int], ...]


def _by_rank(comparators: _Comparators, ranks: tuple[int, ...]) -> tuple[dict[int, int], _Comparators]:
    """New names of wires, by rank at the end, and the comparators with these."""
    wire = {old: rank for rank, old in enumerate(ranks)}
    return wire, tuple((wire[small], wire[large]) for small, large in comparators)


def _pruned(
    comparators: _Comparators, k: int, exact: Collection[int], loose: Collection[int]
) -> tuple[Comparator, ...]:
    exact, loose = frozenset(exact), frozenset(loose)
    told_apart = [wire in exact for wire in range(k)]
    used = [wire in exact or wire in loose for wire in range(k)]
    kept: list[Comparator] = []
    for small, large in reversed(comparators):
        if not (told_apart[small] or told_apart[large]) and used[small] == used[large]:
            continue
        kept.append(Comparator(small, large, used[small], used[large]))
        told_apart[small] = told_apart[large] = used[small] = used[large] = True
    return tuple(reversed(kept))


def _sorted(wires: tuple[int, ...]) -> tuple[_Comparators, tuple[int, ...]]:
    """Comparators that sort, and the wires by rank."""
    if len(wires) < 2:
        return (), wires
    split = _best_split(len(wires))
    first, left = _sorted(wires[:split])
    second, right = _sorted(wires[split:])
    last, ranks = _merged(left, right)
    return first + second + last, ranks


def _merged(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[_Comparators, tuple[int, ...]]:
    """The same for two lists whose wires are sorted already: even ranks, odd ranks, then neighbours."""
    if not left or not right:
        return (), left + right
    if len(left) == len(right) == 1:
        return ((left[0], right[0]),), left + right
    first, evens = _merged(left[::2], right[::2])
    second, odds = _merged(left[1::2], right[1::2])
    pairs = tuple(zip(odds, evens[1:], strict=False))  # the evens are as many as the odds, or up to two more
    between = tuple(wire for pair in pairs for wire in pair)
    return first + second + pairs, evens[:1] + between + odds[len(pairs) :] + evens[1 + len(pairs) :]


@cache
def _best_split(k: int) -> int:
    return min(range(1, k), key=lambda split: (_size(split) + _size(k - split) + _merge_size(split, k - split), split))


@cache
def _size(k: int) -> int:
    """Comparators that sort k values."""
    if k < 2:
        return 0
    split = _best_split(k)
    return _size(split) + _size(k - split) + _merge_size(split, k - split)


@cache
def _merge_size(left: int, right: int) -> int:
    """Comparators that merge two lists."""
    if not left or not right:
        return 0
    if left == right == 1:
        return 1
    evens = (left + 1) // 2 + (right + 1) // 2
    odds = left // 2 + right // 2
    neighbours = min(odds, evens - 1)
    return _merge_size((left + 1) // 2, (right + 1) // 2) + _merge_size(left // 2, right // 2) + neighbours
