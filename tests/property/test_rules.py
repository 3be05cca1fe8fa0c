"""Every rule, its running totals and its flags are bit for bit what the slow reference says."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from coordinator.enclave.rules import Aggregation, aggregate, execute, recheck, totals
from coordinator.enclave.rules.execute import products
from coordinator.enclave.rules.points import squared_distances
from protocol.fixedpoint import Int16, Int64
from protocol.rulebook import RULE_NAMES
from protocol.trees import Totals, gram_leaves
from tests.property.reference_rules import squared_distance
from tests.property.rules_helpers import at_leaf, check_against_reference, needs, weights_for

EXAMPLES = settings(max_examples=60, deadline=None)
ROBUST = ("median", "trimmed-mean")

VALUES = st.sampled_from(
    [
        st.integers(-1, 1),  # ties everywhere
        st.sampled_from([-32767, -32766, 0, 32766, 32767]),
        st.integers(-32767, 32767),
        st.integers(-32768, 32767),  # never admitted, and must not break anything
    ]
)


@st.composite
def matrices(draw: st.DrawFn, *, smallest: int = 1, largest: int = 11) -> Int16:
    """(k, d) rows; some of them twice."""
    k = draw(st.integers(smallest, largest))
    d = draw(st.one_of(st.integers(1, 4), st.sampled_from([15, 16, 17, 33])))
    rows = draw(hnp.arrays(np.int16, (k, d), elements=draw(VALUES), fill=st.nothing()))
    return rows[draw(st.lists(st.integers(0, k - 1), min_size=k, max_size=k))] if draw(st.booleans()) else rows


@st.composite
def parameters(draw: st.DrawFn, rule: str, k: int) -> tuple[int, int, Int64 | None]:
    """f, m and weights with which the rule works on k rows."""
    fits = [f for f in range(k + 1) if needs(rule, f, 0) <= k]
    assume(fits)
    f = draw(st.sampled_from(fits))
    m = draw(st.integers(0, k - f)) if rule == "multi-krum" else 0
    weights = None
    if rule == "weighted-mean":
        one = st.one_of(st.integers(1, 3), st.integers(1, (1 << 24) - 1), st.just((1 << 24) - 1))
        weights = np.array(draw(st.lists(one, min_size=k, max_size=k)), dtype=np.int64)
    return f, m, weights


def largest_f(rule: str, k: int) -> int:
    """The largest f that k rows allow."""
    return max(f for f in range(k) if needs(rule, f, 0) <= k)


@pytest.mark.parametrize("rule", RULE_NAMES)
@EXAMPLES
@given(data=st.data())
def test_a_rule_equals_the_reference(rule: str, data: st.DataObject) -> None:
    rows = data.draw(matrices(smallest=needs(rule, 0, 0)))
    f, m, weights = data.draw(parameters(rule, len(rows)))
    check_against_reference(rule, rows, f=f, m=m, weights=weights)


@pytest.mark.parametrize("rule", RULE_NAMES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_blocks_and_memory_layout_change_nothing(rule: str, data: st.DataObject) -> None:
    rows = data.draw(matrices(smallest=needs(rule, 0, 0)))
    f, m, weights = data.draw(parameters(rule, len(rows)))
    whole = aggregate(rule, rows, f=f, m=m, weights=weights)
    block = data.draw(st.sampled_from([1, 40, 200]))
    view = data.draw(st.sampled_from([np.asfortranarray(rows), np.repeat(rows, 2, axis=1)[:, ::2], rows[::-1][::-1]]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execute, "BLOCK_ELEMENTS", block)
        pieces = aggregate(rule, view, f=f, m=m, weights=weights)
        assert_same(whole, pieces, totals(rows, whole), totals(view, pieces))
        check_against_reference(rule, view, f=f, m=m, weights=weights)


def assert_same(one: Aggregation, other: Aggregation, running: Totals, other_running: Totals) -> None:
    for field in ("aggregate", "selected", "weights", "low", "high", "gram"):
        assert np.array_equal(getattr(one, field), getattr(other, field)), field
    for field in ("kept", "deviation", "alignment"):
        assert np.array_equal(getattr(running, field), getattr(other_running, field)), field


@pytest.mark.parametrize("rule", ["mean", "weighted-mean", "median", "trimmed-mean"])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_slots_do_not_matter_to_a_coordinate(rule: str, data: st.DataObject) -> None:
    rows = data.draw(matrices())
    f, m, weights = data.draw(parameters(rule, len(rows)))
    order = data.draw(st.permutations(range(len(rows))))
    shuffled = None if weights is None else weights[order]
    one = aggregate(rule, rows, f=f, m=m, weights=weights)
    other = aggregate(rule, rows[order], f=f, m=m, weights=shuffled)
    assert one.aggregate.tolist() == other.aggregate.tolist()
    assert totals(rows, one).kept[:, order].tolist() == totals(rows[order], other).kept.tolist()


@pytest.mark.parametrize("rule", ROBUST)
@EXAMPLES
@given(data=st.data())
def test_liars_cannot_leave_the_honest_range(rule: str, data: st.DataObject) -> None:
    honest = data.draw(matrices(smallest=2))
    f = data.draw(st.integers(0, len(honest) - 1))
    lies = data.draw(hnp.arrays(np.int16, (f, honest.shape[1]), elements=st.sampled_from([-32767, 32767, 0])))
    order = data.draw(st.permutations(range(len(honest) + f)))
    result = aggregate(rule, np.concatenate([honest, lies])[order], f=f).aggregate.astype(np.int64)
    assert (result >= honest.min(axis=0).astype(np.int64) << 15).all()
    assert (result <= honest.max(axis=0).astype(np.int64) << 15).all()


@pytest.mark.parametrize("rule", ["krum", "multi-krum"])
@EXAMPLES
@given(data=st.data())
def test_a_selection_stays_in_the_range_of_what_it_selected(rule: str, data: st.DataObject) -> None:
    rows = data.draw(matrices(smallest=3))
    f, m, _ = data.draw(parameters(rule, len(rows)))
    result = aggregate(rule, rows, f=f, m=m)
    chosen = rows[result.selected].astype(np.int64) << 15
    assert len(chosen) == (1 if rule == "krum" else m or len(rows) - f)
    assert (result.aggregate >= chosen.min(axis=0)).all()
    assert (result.aggregate <= chosen.max(axis=0)).all()


def alternating(k: int, d: int) -> Int16:
    return np.where(np.indices((k, d)).sum(axis=0) % 2, 32767, -32767).astype(np.int16)


EXTREMES: dict[str, Callable[[int, int], Int16]] = {
    "all at the top": lambda k, d: np.full((k, d), 32767, dtype=np.int16),
    "all at the bottom": lambda k, d: np.full((k, d), -32767, dtype=np.int16),
    "all below the bottom": lambda k, d: np.full((k, d), -32768, dtype=np.int16),
    "all zero": lambda k, d: np.zeros((k, d), dtype=np.int16),
    "alternating": alternating,
    "one far away": lambda k, d: np.vstack([np.full((1, d), 32767), np.full((k - 1, d), -1)]).astype(np.int16),
    "two groups": lambda k, d: (
        np.repeat([[32767], [-32767]], [k // 2, k - k // 2], axis=0).repeat(d, 1).astype(np.int16)
    ),
}


@pytest.mark.parametrize("shape", [(3, 1), (5, 1), (7, 19), (64, 17)], ids=str)
@pytest.mark.parametrize("rows", EXTREMES)
@pytest.mark.parametrize("rule", RULE_NAMES)
def test_extremes_equal_the_reference(rule: str, rows: str, shape: tuple[int, int]) -> None:
    k = shape[0]
    for f in {0, largest_f(rule, k)}:
        check_against_reference(rule, EXTREMES[rows](*shape), f=f, weights=weights_for(rule, k))


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_a_full_cohort_of_256_equals_the_reference(rule: str) -> None:
    rows = np.random.default_rng(7).integers(-32767, 32768, (256, 19), dtype=np.int16)
    rows[100] = rows[3]
    check_against_reference(rule, rows, f=60, weights=weights_for(rule, 256))


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_many_blocks_equal_few(rule: str) -> None:
    rows = np.random.default_rng(8).integers(-32767, 32768, (9, 100_003), dtype=np.int16)
    f, weights = 3, weights_for(rule, 9)
    result = aggregate(rule, rows, f=f, weights=weights)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execute, "BLOCK_ELEMENTS", 1 << 24)
        other = aggregate(rule, rows, f=f, weights=weights)
        running = totals(rows, other)
    assert_same(result, other, totals(rows, result), running)
    recheck(rows, result, f, 0, {leaf: at_leaf(running, leaf) for leaf in (0, 1, 3125, 6250)})


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_memory_is_the_result_and_a_few_blocks(rule: str) -> None:
    rows = np.random.default_rng(9).integers(-32767, 32768, (64, 300_000), dtype=np.int16)  # 38 MB
    weights = weights_for(rule, 64)
    tracemalloc.start()
    try:
        result = aggregate(rule, rows, f=10, weights=weights)
        _, aggregation_bytes = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        held, _ = tracemalloc.get_traced_memory()
        running = totals(rows, result)
        _, totals_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    kept = running.kept.nbytes + running.deviation.nbytes + running.alignment.nbytes
    assert aggregation_bytes < 8 * rows.shape[1] + (16 << 20)
    assert totals_bytes - held < kept + (16 << 20)


@EXAMPLES
@given(rows=matrices())
def test_gram_is_exact_and_ends_the_gram_tree(rows: Int16) -> None:
    lines = rows.tolist()
    expected = [[sum(p * q for p, q in zip(x, y, strict=True)) for y in lines] for x in lines]
    found = products(rows, (), slice(0, rows.shape[1]))
    assert found.tolist() == expected
    last = b"".join(gram_leaves(rows)[-len(rows) :])
    assert np.frombuffer(last, dtype=">i8").reshape(len(rows), len(rows)).tolist() == expected
    assert squared_distances(found).tolist() == [[squared_distance(x, y) for y in lines] for x in lines]
