"""The rules once more, slow and obviously right: Python's integers and fractions, straight from the definitions.

Responsible for: what `coordinator.enclave.rules` must return, for rows as lists of integers.
Must not know:   how the engine does it.  Nothing of the engine is imported, no matrix product, no block, no shortcut.

Spec: DESIGN sections 3 (numbers), 4 (column tree) and 5 (rules).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

LEAF = 16
UNIT = 2**15


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What a rule must return; k rows, d coordinates, L leaves."""

    aggregate: list[int]
    """d integers."""
    selected: list[bool]
    """k; all true where the rule does not select."""
    weights: list[int]
    """k; the outcome's weight field."""
    kept: list[list[int]]
    """L lists of k, accumulated."""
    deviation: list[list[int]]
    """L lists of k, accumulated."""
    alignment: list[list[int]]
    """L lists of k, accumulated."""


def reference(rule: str, rows: list[list[int]], *, f: int, m: int = 0, weights: list[int] | None = None) -> Reference:
    k, d = len(rows), len(rows[0])
    if rule in ("krum", "multi-krum"):
        best = krum_order(rows, f)[: 1 if rule == "krum" else (m or k - f)]
    else:
        best = list(range(k))
    aggregate, ranges = [], []
    for c in range(d):
        column = [row[c] for row in rows]
        value, kept_values = coordinate(rule, column, f, best, weights)
        aggregate.append(value)
        ranges.append((min(kept_values), max(kept_values)))

    def is_kept(slot: int, c: int) -> bool:
        if rule in ("krum", "multi-krum"):
            return slot in best
        return ranges[c][0] <= rows[slot][c] <= ranges[c][1]

    r = [saturate16(floor(Fraction(a + 2**14, UNIT))) for a in aggregate]
    ends = [min(LEAF * (leaf + 1), d) for leaf in range(ceil(Fraction(d, LEAF)))]
    slots = range(k)
    return Reference(
        aggregate=aggregate,
        selected=[slot in best for slot in slots],
        weights=list(weights) if weights is not None else [0] * k,
        kept=[[sum(is_kept(i, c) for c in range(end)) for i in slots] for end in ends],
        deviation=[[sum((rows[i][c] - r[c]) ** 2 for c in range(end)) for i in slots] for end in ends],
        alignment=[[sum(rows[i][c] * r[c] for c in range(end)) for i in slots] for end in ends],
    )


def coordinate(
    rule: str, column: list[int], f: int, best: list[int], weights: list[int] | None
) -> tuple[int, list[int]]:
    """The aggregate at one coordinate, and the values that it was made of."""
    k = len(column)
    ranked = sorted((value, slot) for slot, value in enumerate(column))
    if rule == "weighted-mean":
        assert weights is not None
        total = sum(Fraction(weight, sum(weights)) * q for weight, q in zip(weights, column, strict=True))
        return floor(UNIT * total), column
    if rule == "median":
        middle = [value for rank, (value, _) in enumerate(ranked) if 2 * rank in (k - 2, k - 1, k)]
        return floor(UNIT * Fraction(sum(middle), len(middle))), middle
    if rule == "trimmed-mean":
        middle = [value for rank, (value, _) in enumerate(ranked) if f <= rank < k - f]
        return floor(UNIT * Fraction(sum(middle), k - 2 * f)), middle
    chosen = [column[slot] for slot in best]
    return floor(UNIT * Fraction(sum(chosen), len(chosen))), chosen


def krum_order(rows: list[list[int]], f: int) -> list[int]:
    """Slots by (score, slot)."""
    k = len(rows)
    scored = []
    for i in range(k):
        others = [(squared_distance(rows[i], rows[j]), j) for j in range(k) if j != i]
        nearest = sorted(others)[: k - f - 2]
        assert len(nearest) == k - f - 2
        scored.append((sum(distance for distance, _ in nearest), i))
    return [slot for _, slot in sorted(scored)]


def squared_distance(x: list[int], y: list[int]) -> int:
    return sum((p - q) ** 2 for p, q in zip(x, y, strict=True))


def saturate16(value: int) -> int:
    return max(-32767, min(32767, value))
