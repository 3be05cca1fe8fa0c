"""The rows of least diameter, found exactly.

Responsible for: squared distances in, places out.
Must not know:   rows.

Spec: docs/rules.md, "MDA is exact".  Rows are nodes of a graph, joined where they are too far apart; to drop f of them
so that no two of the rest are joined is a vertex cover.  Sets of places are bits of an integer.
"""

from __future__ import annotations

from verifier.replay_exact import Table


def least_diameter(table: Table, size: int) -> list[int]:
    """So many places, ascending, whose largest squared distance is least; the lexicographically first such set.

    table: (k, k) squared distances.   Source: El Mhamdi et al., PODC 2020.
    """
    k = len(table)
    everything, candidates = (1 << k) - 1, sorted({int(table[i, j]) for i in range(k) for j in range(i + 1)})
    low, high = 0, len(candidates) - 1  # with the largest distance allowed, any set will do
    while low < high:
        middle = (low + high) // 2
        if covers(_far(table, candidates[middle]), everything, k - size):
            high = middle
        else:
            low = middle + 1
    far = _far(table, candidates[low])
    chosen: list[int] = []
    left, budget = everything, k - size
    for place in range(k):
        if not left >> place & 1 or len(chosen) == size:
            continue
        with_it = left & ~far[place]
        dropped = (left ^ with_it).bit_count()
        if dropped <= budget and covers(far, with_it, budget - dropped):
            chosen.append(place)
            left, budget = with_it, budget - dropped
        else:
            left, budget = left & ~(1 << place), budget - 1
    return chosen


def covers(far: list[int], left: int, budget: int) -> bool:
    """Whether no two of the nodes left are joined once at most so many have been taken out.

    Some cover takes the only neighbour of a node, and any one node of a ring: neither needs a branch.
    """
    degrees = {v: (far[v] & left).bit_count() for v in range(len(far)) if left >> v & 1 and far[v] & left}
    if not degrees:
        return True
    v = max(degrees, key=lambda node: degrees[node])
    if sum(degrees.values()) > 2 * budget * degrees[v]:
        return False  # as many nodes can't touch all the edges
    leaf = next((node for node, degree in degrees.items() if degree == 1), None)
    if leaf is not None:
        return covers(far, left & ~far[leaf], budget - 1)
    if covers(far, left & ~(1 << v), budget - 1):
        return True
    return 2 < degrees[v] <= budget and covers(far, left & ~far[v], budget - degrees[v])


def _far(table: Table, diameter: int) -> list[int]:
    k = len(table)
    return [sum(1 << j for j in range(k) if table[i, j] > diameter) for i in range(k)]
