"""The enclave's second look finds whatever a kernel got wrong in a place that it looks at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.enclave.rules import Aggregation, aggregate, plain, recheck, totals
from coordinator.enclave.rules.accounts import LeafTotals
from coordinator.enclave.rules.plan import Products
from protocol.errors import RangeError, VerificationError
from protocol.fixedpoint import Int16, Int64
from protocol.rulebook import RULE_NAMES, parse_chain
from protocol.trees import Totals
from tests.property.rules_helpers import at_leaf

K, D, F = 9, 70, 2  # leaves 0..4, the last one of six coordinates
LEAVES = range(5)
CHAINS = [
    *RULE_NAMES,
    *("meamed", "mda", "geometric-median", "centred-clipping:9000", "nnm+krum", "nnm+trimmed-mean"),
    *("arc+bucketing:2+meamed", "clip:9000+weighted-mean", "arc+multi-krum", "bucketing:2+nnm+arc+median"),
]


def rows_of(seed: int) -> Int16:
    return np.random.default_rng(seed).integers(-32767, 32768, (K, D), dtype=np.int16)


def weights_for(rule: str) -> Int64 | None:
    return np.arange(1, K + 1, dtype=np.int64) if parse_chain(rule).is_weighted else None


def at(running: Totals, leaves: Sequence[int]) -> dict[int, LeafTotals]:
    return {leaf: at_leaf(running, leaf) for leaf in leaves}


def result_of(rule: str, rows: Int16) -> tuple[Aggregation, Totals]:
    result = aggregate(rule, rows, f=F, weights=weights_for(rule))
    return result, totals(rows, result)


@pytest.mark.parametrize("rule", CHAINS)
@pytest.mark.parametrize("total", ["kept", "deviation", "alignment"])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 9), leaf=st.sampled_from(LEAVES), slot=st.integers(0, K - 1))
def test_a_running_total_off_by_one_is_found(rule: str, total: str, seed: int, leaf: int, slot: int) -> None:
    rows = rows_of(seed)
    result, running = result_of(rule, rows)
    wrong = getattr(running, total).copy()
    wrong[leaf, slot] += 1
    with pytest.raises(VerificationError, match=f"{total} of row {slot} at leaf {leaf}: ") as found:
        recheck(rows, result, F, 0, at(replace(running, **{total: wrong}), [leaf]))
    assert found.value.actual == found.value.expected + 1


@pytest.mark.parametrize("rule", CHAINS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 9), coordinate=st.integers(0, D - 1), step=st.sampled_from([-1, 1, 1 << 15]))
def test_a_wrong_coordinate_is_found(rule: str, seed: int, coordinate: int, step: int) -> None:
    rows = rows_of(seed)
    result, running = result_of(rule, rows)
    wrong = result.aggregate.copy()
    wrong[coordinate] += step
    with pytest.raises(VerificationError, match=f"aggregate at coordinate {coordinate}: ") as found:
        recheck(rows, replace(result, aggregate=wrong), F, 0, at(running, LEAVES))
    assert found.value.check == "recheck"
    assert found.value.actual == found.value.expected + step


@pytest.mark.parametrize("rule", CHAINS)
def test_only_sampled_leaves_are_looked_at(rule: str) -> None:
    rows = rows_of(1)
    result, running = result_of(rule, rows)
    wrong = result.aggregate.copy()
    wrong[20] += 1
    recheck(rows, replace(result, aggregate=wrong), F, 0, at(running, [0, 2, 3, 4]))


@pytest.mark.parametrize("rule", CHAINS)
def test_a_changed_selection_is_found(rule: str) -> None:
    rows = rows_of(2)
    result, running = result_of(rule, rows)
    with pytest.raises(VerificationError, match="selected rows: "):
        recheck(rows, replace(result, selected=np.roll(result.selected, 1) ^ True), F, 0, at(running, []))


@pytest.mark.parametrize("rule", CHAINS)
def test_a_weight_that_does_not_belong_is_found(rule: str) -> None:
    rows = rows_of(3)
    result, running = result_of(rule, rows)
    wrong = result.weights.copy()
    wrong[4] = 0 if parse_chain(rule).is_weighted else 7
    with pytest.raises(VerificationError, match="weight of row 4: "):
        recheck(rows, replace(result, weights=wrong), F, 0, at(running, []))


def asymmetric(gram: Int64) -> None:
    gram[5, 2] += 1


def symmetric(gram: Int64) -> None:
    gram[5, 2] += 1
    gram[2, 5] += 1


@pytest.mark.parametrize("rule", ["krum", "multi-krum"])
@pytest.mark.parametrize(("change", "place"), [(asymmetric, r"\(5, 2\)"), (symmetric, r"\(5, 2\)")])
def test_a_wrong_inner_product_is_found(rule: str, change: Callable[[Int64], None], place: str) -> None:
    rows = np.tile(rows_of(4), (1, 20))  # 88 leaves, enough to sample every entry of 9 x 9
    result, running = result_of(rule, rows)
    assert result.gram is not None
    wrong = result.gram.copy()
    change(wrong)
    with pytest.raises(VerificationError, match=f"gram entry {place}: "):
        recheck(rows, replace(result, products=(Products(behind=(), values=wrong),)), F, 0, at(running, [2 * K + 5]))


@pytest.mark.parametrize("rule", ["krum", "multi-krum"])
def test_a_selection_without_its_gram_matrix_is_found(rule: str) -> None:
    rows = rows_of(5)
    result, running = result_of(rule, rows)
    with pytest.raises(VerificationError, match="gram matrix: expected one, got none"):
        recheck(rows, replace(result, products=()), F, 0, at(running, []))


@pytest.mark.parametrize("rule", ["krum", "multi-krum"])
def test_at_least_one_inner_product_is_checked_however_long_a_row(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(6)
    result, running = result_of(rule, rows)
    assert result.gram is not None
    wrong = result.gram.copy()
    wrong[0, 0] += 1
    monkeypatch.setattr(plain, "GRAM_BUDGET", 1)
    monkeypatch.setattr(plain, "_SLICE", 11)
    recheck(rows, result, F, 0, at(running, LEAVES))
    with pytest.raises(VerificationError, match=r"gram entry \(0, 0\): "):
        recheck(rows, replace(result, products=(Products(behind=(), values=wrong),)), F, 0, at(running, LEAVES))


@pytest.mark.parametrize("leaf", [-1, 5])
def test_a_leaf_that_there_is_not_is_refused(leaf: int) -> None:
    rows = rows_of(7)
    result, running = result_of("mean", rows)
    with pytest.raises(RangeError, match="leaf to check: expected 0 to 4"):
        recheck(rows, result, F, 0, {leaf: at_leaf(running, 0)})
