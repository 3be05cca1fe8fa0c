"""The second look before the enclave signs: sampled leaves of a result, recomputed without any kernel.

Responsible for: finding a wrong aggregate, total, selection, weight or inner product in the sampled places.
Must not know:   the rules' code.  Python's integers and lists only, so that what breaks a kernel (an overflow, a
                 BLAS that is not exact, a vector instruction that is wrong) does not break this too.

Why at all: the host stakes a bond on an enclave whose input it cannot see.

Spec: docs/protocol.md (enclave).
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import mul

from coordinator.enclave.rules.base import Aggregation
from protocol.errors import RangeError, VerificationError
from protocol.fixedpoint import Int16
from protocol.rulebook import Rule
from protocol.trees import COLUMN_LEAF, Totals

GRAM_BUDGET = 1 << 21
"""Multiplications spent on sampled inner products (about 0.2 s); at least one entry is checked, however long a row."""

_SLICE = 1 << 16  # coordinates that are Python integers at the same time


def recheck(
    rows: Int16,
    aggregation: Aggregation,
    totals: Totals,
    rule: Rule,
    f: int,
    m: int,
    leaves_to_check: Sequence[int],
) -> None:
    """Recompute sampled leaves of the column tree, the selection and sampled entries of the Gram matrix.

    1. Weights: positive where the rule weighs, else zero.  (That they are min(samples, weightCap) the caller knows.)
    2. Selection: the Gram matrix is symmetric, its sampled entries are inner products (of leaf c: row c mod k with
       row floor(c / k) mod k, as many as GRAM_BUDGET allows), and the choice follows from it.
    3. Leaves: the 16 coordinates of the aggregate, and what the leaf adds to every running total.

    leaves_to_check: leaves in 0 .. ceil(d / 16) - 1, drawn by the caller after the result stands.
    Raises: VerificationError that names the place, with the expected (plain) and the actual (kernel's) value;
            RangeError for a leaf that there is not.
    """
    _check_weights(aggregation, rule)
    _check_selection(rows, aggregation, rule, f, m, leaves_to_check)
    for leaf in leaves_to_check:
        _check_leaf(rows, aggregation, totals, rule, f, leaf)


def _check_weights(aggregation: Aggregation, rule: Rule) -> None:
    for slot, weight in enumerate(aggregation.weights.tolist()):
        if rule == Rule.WEIGHTED_MEAN and weight < 1:
            raise VerificationError(f"weight of row {slot}", check="recheck", expected="at least 1", actual=weight)
        if rule != Rule.WEIGHTED_MEAN:
            _same(f"weight of row {slot}", 0, weight)


def _check_selection(
    rows: Int16, aggregation: Aggregation, rule: Rule, f: int, m: int, leaves_to_check: Sequence[int]
) -> None:
    k, d = rows.shape
    selected = [slot for slot, chosen in enumerate(aggregation.selected.tolist()) if chosen]
    if rule not in (Rule.KRUM, Rule.MULTI_KRUM):
        _same("selected rows", list(range(k)), selected)
        return
    if aggregation.gram is None:
        raise VerificationError("gram matrix", check="recheck", expected="one", actual="none")
    gram: list[list[int]] = aggregation.gram.tolist()
    for i in range(k):
        for j in range(i):
            _same(f"gram entry ({i}, {j})", gram[j][i], gram[i][j])
    for leaf in leaves_to_check[: max(1, GRAM_BUDGET // d)]:
        i, j = leaf % k, leaf // k % k
        _same(f"gram entry ({i}, {j})", _inner_product(rows, i, j), gram[i][j])
    _same("selected rows", _plain_selection(gram, f, 1 if rule == Rule.KRUM else m or k - f), selected)


def _plain_selection(gram: list[list[int]], f: int, count: int) -> list[int]:
    """The `count` rows of smallest (score, slot), ascending."""
    k = len(gram)
    ranked = []
    for i in range(k):
        distances = sorted(gram[i][i] + gram[j][j] - 2 * gram[i][j] for j in range(k) if j != i)
        ranked.append((sum(distances[: k - f - 2]), i))
    return sorted(slot for _, slot in sorted(ranked)[:count])


def _check_leaf(rows: Int16, aggregation: Aggregation, totals: Totals, rule: Rule, f: int, leaf: int) -> None:
    k, d = rows.shape
    leaves = -(-d // COLUMN_LEAF)
    if not 0 <= leaf < leaves:
        raise RangeError("leaf to check", expected=f"0 to {leaves - 1}", actual=leaf)
    weights: list[int] = aggregation.weights.tolist()
    selected: list[bool] = aggregation.selected.tolist()
    kept, deviation, alignment = [0] * k, [0] * k, [0] * k
    for coordinate in range(leaf * COLUMN_LEAF, min((leaf + 1) * COLUMN_LEAF, d)):
        column: list[int] = rows[:, coordinate].tolist()
        a, low, high = _plain_coordinate(column, rule, f, weights, selected)
        _same(f"aggregate at coordinate {coordinate}", a, int(aggregation.aggregate[coordinate]))
        r = max(-32767, min(32767, (a + 2**14) // 2**15))
        for slot, q in enumerate(column):
            kept[slot] += selected[slot] and low <= q <= high
            deviation[slot] += (q - r) ** 2
            alignment[slot] += q * r
    for name, plain, running in (
        ("kept", kept, totals.kept),
        ("deviation", deviation, totals.deviation),
        ("alignment", alignment, totals.alignment),
    ):
        before: list[int] = running[leaf - 1].tolist() if leaf else [0] * k
        after: list[int] = running[leaf].tolist()
        for slot in range(k):
            _same(f"{name} of row {slot} at leaf {leaf}", before[slot] + plain[slot], after[slot])


def _plain_coordinate(
    column: list[int], rule: Rule, f: int, weights: list[int], selected: list[bool]
) -> tuple[int, int, int]:
    """One coordinate by the rule's definition: the aggregate, the smallest and the largest value kept."""
    k = len(column)
    ranked = sorted(column)
    if rule == Rule.WEIGHTED_MEAN:
        weighed = sum(weight * q for weight, q in zip(weights, column, strict=True))
        return 2**15 * weighed // sum(weights), ranked[0], ranked[-1]
    if rule == Rule.MEDIAN:
        low, high = ranked[(k - 1) // 2], ranked[k // 2]
        return (low + high) * 2**14, low, high
    if rule == Rule.TRIMMED_MEAN:
        ranked = ranked[f : k - f]
        return 2**15 * sum(ranked) // len(ranked), ranked[0], ranked[-1]
    # Mean, Krum and Multi-Krum: the mean of the selected rows, kept as a whole.
    chosen = [q for q, is_selected in zip(column, selected, strict=True) if is_selected]
    return 2**15 * sum(chosen) // len(chosen), ranked[0], ranked[-1]


def _inner_product(rows: Int16, i: int, j: int) -> int:
    total = 0
    for start in range(0, rows.shape[1], _SLICE):
        stop = start + _SLICE
        total += sum(map(mul, rows[i, start:stop].tolist(), rows[j, start:stop].tolist()))
    return total


def _same(place: str, plain: object, actual: object) -> None:
    if plain != actual:
        raise VerificationError(place, check="recheck", expected=plain, actual=actual)
