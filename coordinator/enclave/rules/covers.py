"""The set of k - f rows of smallest diameter, found through vertex covers.

Responsible for: the exact search behind minimum diameter averaging.
Must not know:   rows, coordinates; only distances.

A set of k - f rows has no pair farther apart than t exactly if the other f rows touch every such pair: if the graph of
these pairs has a vertex cover of f rows.  Whether it has one is decided by branching on a row of most pairs: either it
is in the cover, or all that it is paired with are.  Where no row has more than two pairs there are paths and circles,
and no branch; so the number of branches B grows as B(f) = B(f - 1) + B(f - 3), 1.47**f, whatever k is.

Source: Niedermeier and Rossmanith, 2003 (the branching); Buss and Goldsmith, 1993 (rows with more pairs than f).
"""

from __future__ import annotations

from collections.abc import Sequence


def least_diameter(distances: Sequence[Sequence[int]], f: int) -> tuple[int, ...]:
    """Places of the k - f rows whose largest distance is smallest, ascending; of such sets the lexicographically first.

    distances: (k, k) symmetric.
    """
    k = len(distances)
    if f == 0:
        return tuple(range(k))
    values = sorted({distances[i][j] for i in range(k) for j in range(i)} | {0})
    low, high = 0, len(values) - 1  # at the largest value there is no pair, and the empty cover does
    while low < high:
        middle = (low + high) // 2
        if _cover(_graph(distances, values[middle]), f) is None:
            low = middle + 1
        else:
            high = middle
    return _first_set(_graph(distances, values[low]), k, f)


def _graph(distances: Sequence[Sequence[int]], limit: int) -> list[int]:
    """For every row the rows farther away than the limit, as bits."""
    return [sum(1 << j for j, distance in enumerate(line) if distance > limit) for line in distances]


def _first_set(graph: list[int], k: int, f: int) -> tuple[int, ...]:
    """The lexicographically first k - f rows without a pair among them: row by row, taken if enough others can join."""
    cover = _cover(graph, f)
    if cover is None:
        raise ValueError("no cover where the search for the diameter found one")
    taken = 0
    for row in range(k):
        if taken.bit_count() == k - f:
            break
        if cover >> row & 1:
            others = _cover_beside(graph, taken | 1 << row, f)
            if others is None:
                continue
            cover = others
        taken |= 1 << row
    return tuple(row for row in range(k) if taken >> row & 1)


def _cover_beside(graph: list[int], taken: int, budget: int) -> int | None:
    """A cover of at most `budget` rows with none of those taken in it, as bits."""
    forced = 0
    for row, pairs in enumerate(graph):
        if taken >> row & 1:
            forced |= pairs
    if forced & taken or forced.bit_count() > budget:
        return None
    rest = [0 if forced >> row & 1 else pairs & ~forced for row, pairs in enumerate(graph)]
    others = _cover(rest, budget - forced.bit_count())
    return None if others is None else forced | others


def _cover(graph: Sequence[int], budget: int) -> int | None:
    """Some vertex cover of at most `budget` rows, as bits; None where there is none.  No row without pairs is in it."""
    left, cover = list(graph), 0
    while True:
        row = _sure(left, budget)
        if row is None:
            break
        if budget == 0:
            return None
        _take_out(left, row)
        cover, budget = cover | 1 << row, budget - 1
    if not any(left):
        return cover
    row = max(range(len(left)), key=lambda i: left[i].bit_count())
    if _matching(left) > budget or sum(pairs.bit_count() for pairs in left) > 2 * budget * left[row].bit_count():
        return None
    for taken in (1 << row, left[row]):  # the row, or else all that it is paired with
        if taken.bit_count() <= budget:
            rest = list(left)
            for i in range(len(rest)):
                if taken >> i & 1:
                    _take_out(rest, i)
            found = _cover(rest, budget - taken.bit_count())
            if found is not None:
                return cover | taken | found
    return None


def _sure(graph: Sequence[int], budget: int) -> int | None:
    """A row of some smallest cover: of more pairs than the budget, paired with a row of one pair, or on a circle."""
    most = 0
    for row, pairs in enumerate(graph):
        count = pairs.bit_count()
        if count > budget:
            return row
        if count == 1:
            return pairs.bit_length() - 1
        most = max(most, count)
    if most == 2:  # nothing but circles, and each has a smallest cover with any of its rows
        return next(row for row, pairs in enumerate(graph) if pairs)
    return None


def _matching(graph: Sequence[int]) -> int:
    """Pairs without a row in common, as many as come first: a cover has a row of each."""
    used = count = 0
    for row, pairs in enumerate(graph):
        free = pairs & ~used
        if free and not used >> row & 1:
            used |= 1 << row | (free & -free)
            count += 1
    return count


def _take_out(graph: list[int], row: int) -> None:
    pairs, graph[row] = graph[row], 0
    while pairs:
        other = pairs & -pairs
        graph[other.bit_length() - 1] &= ~(1 << row)
        pairs ^= other
