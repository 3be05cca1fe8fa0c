"""The second look before the enclave signs: sampled leaves of a result, recomputed without any kernel.

Responsible for: finding a wrong aggregate, total, selection, weight or inner product in the sampled places.
Must not know:   the rules' code.  Python's integers and lists only, so that what breaks a kernel (an overflow, a
                 BLAS that is not exact, a vector instruction that is wrong) does not break this too.

Why at all: the host stakes a bond on an enclave whose input it cannot see.  This is about kernels, not about logic:
what was decided by looking at whole rows (neighbours, factors, weights behind a stage that mixes) is taken from the
plan.  The inner products that it follows from are sampled, but for those of rows that were mixed and then clipped.
Only of Krum and Multi-Krum alone the choice is made again, because a wrong one can be proven on the ledger.

Spec: docs/protocol.md (enclave), docs/rules.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import mul

from coordinator.enclave.rules.accounts import LeafTotals
from coordinator.enclave.rules.base import Aggregation
from coordinator.enclave.rules.plan import Mixed, Plan, Products, Scaled, Weighted
from protocol.errors import RangeError, VerificationError
from protocol.rulebook import Rule
from protocol.trees import COLUMN_LEAF, Rows

GRAM_BUDGET = 1 << 21
"""Multiplications spent on sampled inner products (about 0.2 s); at least one entry is checked, however long a row."""

_SLICE = 1 << 16  # coordinates that are Python integers at the same time


def recheck(rows: Rows, aggregation: Aggregation, f: int, m: int, leaves: Mapping[int, LeafTotals]) -> None:
    """Recompute sampled leaves of the column tree, the selection and sampled inner products.

    1. Weights: positive where the rule weighs, else zero.  (That they are min(samples, weightCap) the caller knows.)
       A mean is that of the selected rows.
    2. Inner products: symmetric, and sampled entries are what they should be (of leaf c: row c mod k with row
       floor(c / k) mod k, as many as GRAM_BUDGET allows); behind stages that clip, of the clipped rows.
    3. Selection: of Krum and Multi-Krum alone it follows from these; else every row is selected, or those for which a
       chosen row stands.
    4. Leaves: the 16 coordinates of the aggregate, and what the leaf adds to every running total.

    rows:   (k, d), the rule's further row last where it takes one.
    leaves: running totals before and at leaves in 0 .. ceil(d / 16) - 1, drawn by the caller after the result stands.
    Raises: VerificationError that names the place, with the expected (plain) and the actual (kernel's) value;
            RangeError for a leaf that there is not.
    """
    for products in aggregation.products:
        _check_products(rows, products, list(leaves))
    _check_selection(aggregation, f, m)
    _check_weights(aggregation)
    for leaf, totals in leaves.items():
        _check_leaf(rows, aggregation, totals, f, leaf)


def _check_weights(aggregation: Aggregation) -> None:
    used, is_weighted = aggregation.plan.combination, aggregation.chain.is_weighted
    if isinstance(used, Weighted) and used.shift and not is_weighted and not aggregation.chain.is_mixing:
        for slot, chosen in enumerate(aggregation.selected.tolist()):  # a mean of all rows, or of those selected
            _same(f"share of row {slot}", int(chosen), used.weights[slot])
        _same("divisor", sum(aggregation.selected.tolist()), used.divisor)
    for slot, weight in enumerate(aggregation.weights.tolist()):
        if not is_weighted or not isinstance(used, Weighted):
            _same(f"weight of row {slot}", 0, weight)
        elif weight < 1:
            raise VerificationError(f"weight of row {slot}", check="recheck", expected="at least 1", actual=weight)
        else:
            _same(f"weight of row {slot}", used.weights[slot], weight)


def _check_products(rows: Rows, products: Products, leaves: Sequence[int]) -> None:
    k, d = len(rows), len(rows[0])
    is_matrix = products.values.ndim == 2
    gram: list[list[int]] = products.values.tolist() if is_matrix else []
    for i in range(len(gram)):
        for j in range(i):
            _same(f"gram entry ({i}, {j})", gram[j][i], gram[i][j])
    for leaf in leaves[: max(1, GRAM_BUDGET // d)]:
        i, j = (leaf % k, leaf // k % k) if is_matrix else (leaf % k, leaf % k)
        found = gram[i][j] if is_matrix else int(products.values[i])
        _same(f"gram entry ({i}, {j})", _inner_product(rows, products.behind, i, j), found)


def _check_selection(aggregation: Aggregation, f: int, m: int) -> None:
    plan, rule = aggregation.plan, aggregation.chain.number
    selected = [slot for slot, chosen in enumerate(aggregation.selected.tolist()) if chosen]
    k = len(aggregation.selected)
    if plan.selected is None:
        _same("selected rows", list(range(k)), selected)
        return
    if rule not in (Rule.KRUM, Rule.MULTI_KRUM):
        _same("selected rows", [slot for slot in range(k) if plan.stands[slot] in plan.selected], selected)
        return
    if aggregation.gram is None:
        raise VerificationError("gram matrix", check="recheck", expected="one", actual="none")
    gram: list[list[int]] = aggregation.gram.tolist()
    _same("selected rows", _plain_selection(gram, f, 1 if rule == Rule.KRUM else m or k - f), selected)


def _plain_selection(gram: list[list[int]], f: int, count: int) -> list[int]:
    """The `count` rows of smallest (score, slot), ascending."""
    k = len(gram)
    ranked = []
    for i in range(k):
        distances = sorted(gram[i][i] + gram[j][j] - 2 * gram[i][j] for j in range(k) if j != i)
        ranked.append((sum(distances[: k - f - 2]), i))
    return sorted(slot for _, slot in sorted(ranked)[:count])


def _check_leaf(rows: Rows, aggregation: Aggregation, totals: LeafTotals, f: int, leaf: int) -> None:
    k, d = len(aggregation.selected), len(rows[0])
    leaves = -(-d // COLUMN_LEAF)
    if not 0 <= leaf < leaves:
        raise RangeError("leaf to check", expected=f"0 to {leaves - 1}", actual=leaf)
    selected: list[bool] = aggregation.selected.tolist()
    keeps_rows, stands = isinstance(aggregation.plan.combination, Weighted), aggregation.plan.stands
    kept, deviation, alignment = [0] * k, [0] * k, [0] * k
    for coordinate in range(leaf * COLUMN_LEAF, min((leaf + 1) * COLUMN_LEAF, d)):
        sent = [int(row[coordinate]) for row in rows]
        values = _plain_transforms(sent, aggregation.plan)
        a, low, high = _plain_coordinate(values, aggregation, f)
        _same(f"aggregate at coordinate {coordinate}", a, int(aggregation.aggregate[coordinate]))
        r = max(-32767, min(32767, (a + 2**14) // 2**15))
        for slot in range(k):
            q = sent[slot]
            kept[slot] += selected[slot] and (keeps_rows or low <= values[stands[slot]] <= high)
            deviation[slot] += (q - r) ** 2
            alignment[slot] += q * r
    before, after = totals
    for name, plain, earlier, later in (
        ("kept", kept, before.kept, after.kept),
        ("deviation", deviation, before.deviation, after.deviation),
        ("alignment", alignment, before.alignment, after.alignment),
    ):
        for slot in range(k):
            _same(f"{name} of row {slot} at leaf {leaf}", int(earlier[slot]) + plain[slot], int(later[slot]))


def _plain_transforms(values: list[int], plan: Plan) -> list[int]:
    """One column behind the plan's transforms."""
    for step in plan.transforms:
        if isinstance(step, Scaled):
            values = [_scaled(value, factor) for value, factor in zip(values, step.factors, strict=True)]
        else:
            values = _plain_sums(values, step)
    return values


def _scaled(value: int, factor: int) -> int:
    return -(-value * factor >> 16) if value < 0 else value * factor >> 16


def _plain_sums(values: list[int], step: Mixed) -> list[int]:
    return [
        times * sum(values[place] for place in places) for places, times in zip(step.members, step.times, strict=True)
    ]


def _plain_coordinate(values: list[int], aggregation: Aggregation, f: int) -> tuple[int, int, int]:
    """One coordinate by the rule's definition: the aggregate, the smallest and the largest value kept."""
    plan, rule, scale = aggregation.plan, aggregation.chain.rule.name, aggregation.scale
    ranked, k = sorted(values), len(values)
    if isinstance(plan.combination, Weighted):
        weighted = plan.combination
        total = sum(weight * value for weight, value in zip(weighted.weights, values, strict=True))
        a = 2**weighted.shift * total // weighted.divisor
        return max(-(2**31), min(2**31 - 1, a)), ranked[0], ranked[-1]
    if rule == "median":
        low, high = ranked[(k - 1) // 2], ranked[k // 2]
        return 2**15 * (low + high) // (2 * scale), low, high
    if rule == "trimmed-mean":
        ranked = ranked[f : k - f]
    else:  # Meamed, or Bulyan on the rows that it chose
        chosen = sorted(values[place] for place in plan.selected or range(k))
        twice_median = chosen[(len(chosen) - 1) // 2] + chosen[len(chosen) // 2]
        keep = len(chosen) - (f if rule == "meamed" else 2 * f)
        ranked = sorted(sorted(chosen, key=lambda value: (abs(2 * value - twice_median), value))[:keep])
    return 2**15 * sum(ranked) // (scale * len(ranked)), ranked[0], ranked[-1]


def _inner_product(rows: Rows, behind: Sequence[Scaled], i: int, j: int) -> int:
    total = 0
    for start in range(0, len(rows[0]), _SLICE):
        values = [rows[place][start : start + _SLICE].tolist() for place in (i, j)]
        for step in behind:
            values = [
                [_scaled(value, step.factors[place]) for value in line]
                for place, line in zip((i, j), values, strict=True)
            ]
        total += sum(map(mul, *values))
    return total


def _same(place: str, plain: object, actual: object) -> None:
    if plain != actual:
        raise VerificationError(place, check="recheck", expected=plain, actual=actual)
