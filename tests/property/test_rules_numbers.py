"""Roundings and ties by example, numbers near the edge of their type, and what the rules refuse."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from coordinator.enclave.rules import RULES, STAGES, aggregate, flagged, totals
from coordinator.enclave.rules.execute import products
from coordinator.enclave.rules.plain import _plain_selection
from coordinator.enclave.rules.points import Points, squared_distances
from coordinator.enclave.rules.selecting import krum_scores
from protocol.charter import MAX_DIMENSION
from protocol.errors import LengthError, MalformedError, RangeError, TooFewCountedError, UnknownNameError
from protocol.fixedpoint import Int64
from protocol.rulebook import RULE_NAMES, RULE_PARAMETERS, SELECTING, STAGE_PARAMETERS
from tests.property.rules_helpers import check_against_reference, matrix, weights_for

ROBUST = ("median", "trimmed-mean")

# Rounding and ties, one example each, with the number written out.


def test_a_mean_is_rounded_toward_minus_infinity() -> None:
    assert aggregate("mean", matrix([-1], [-1], [0]), f=0).aggregate.tolist() == [-21846]  # -21845.33


def test_a_weighted_mean_is_rounded_toward_minus_infinity() -> None:
    weights = np.array([2, 1], dtype=np.int64)
    assert aggregate("weighted-mean", matrix([-1], [0]), f=0, weights=weights).aggregate.tolist() == [-21846]


def test_a_median_of_an_even_count_is_the_mean_of_the_two_middle_values() -> None:
    rows = matrix([-1, 32767], [0, 32766], [-32767, 0], [32767, -32767])
    assert aggregate("median", rows, f=1).aggregate.tolist() == [-1 << 14, 32766 << 14]


def test_a_half_is_rounded_up_in_units_of_a_row() -> None:
    rows = matrix([-1, 1, 3], [0, 0, 0])  # a = -2**14, 2**14, 3 * 2**14; r = 0, 1, 2
    running = totals(rows, aggregate("median", rows, f=0))
    assert running.deviation.tolist() == [[1 + 0 + 1, 0 + 1 + 4]]
    assert running.alignment.tolist() == [[0 + 1 + 6, 0]]


def test_values_equal_to_the_last_kept_one_count_as_kept_whatever_their_slot() -> None:
    rows = matrix([0], [0], [0], [9], [-9])
    running = totals(rows, aggregate("trimmed-mean", rows, f=1))
    assert running.kept.tolist() == [[1, 1, 1, 0, 0]]


def test_one_enormous_row_leaves_no_trace_in_a_trimmed_mean() -> None:
    rows = matrix([1, 2], [2, 1], [3, 3], [32767, -32767])
    assert aggregate("trimmed-mean", rows, f=1).aggregate.tolist() == [5 << 14, 3 << 14]


def test_of_identical_best_rows_krum_takes_the_lower_slot() -> None:
    rows = matrix([900, 0], [5, 5], [0, 700], [5, 5], [5, 5])
    result = check_against_reference("krum", rows, f=1)
    assert result.selected.tolist() == [False, True, False, False, False]


def test_of_equal_scores_multi_krum_takes_the_lower_slots() -> None:
    rows = matrix([1], [-1], [1], [-1])
    result = check_against_reference("multi-krum", rows, f=0, m=3)
    assert result.selected.tolist() == [True, True, True, False]
    assert result.aggregate.tolist() == [10922]  # floor(2**15 / 3)


def test_krum_counts_neighbours_and_never_itself() -> None:
    rows = matrix([0], [3], [7], [13], [30]).astype(np.int64)  # f = 1: two nearest others each
    assert krum_scores(squared_distances(rows @ rows.T), f=1) == [9 + 49, 9 + 16, 16 + 36, 36 + 100, 289 + 529]


def test_the_opposed_are_flagged_and_the_orthogonal_are_not() -> None:
    rows = matrix([4, 0], [4, 0], [0, 0], [-1, 0], [0, 5])
    assert flagged(totals(rows, aggregate("mean", rows, f=0))).tolist() == [False, False, False, True, False]


# Numbers near the edge of their type.


def test_a_weighted_mean_of_1000_rows_at_the_cap_is_exact() -> None:
    signs = np.where(np.arange(3000).reshape(1000, 3) % 7, 32767, -32767)
    signs[:, 2] = -32768
    weights = np.full(1000, (1 << 24) - 1, dtype=np.int64)
    weights[::3] -= 1
    result = aggregate("weighted-mean", signs.astype(np.int16), f=0, weights=weights)
    sums = [sum(int(s) * int(q) for s, q in zip(weights, signs[:, c], strict=True)) for c in range(3)]
    assert result.aggregate.tolist() == [2**15 * total // sum(weights.tolist()) for total in sums]
    assert result.weights.tolist() == weights.tolist()


@pytest.mark.parametrize("rule", ["mean", "median", "trimmed-mean"])
def test_a_column_whose_sum_passes_int32_is_exact(rule: str) -> None:
    rows = np.full((70_000, 1), -32767, dtype=np.int16)  # the sum is -2.29e9
    assert aggregate(rule, rows, f=100).aggregate.tolist() == [-32767 << 15]


@pytest.mark.parametrize("value", [-32768, -32767, 32767])
@pytest.mark.parametrize(("k", "d"), [(256, 4099), (1, (1 << 20) + 1), (3, 700_001)])
def test_gram_is_exact_at_the_extremes(k: int, d: int, value: int) -> None:
    rows = np.broadcast_to(np.int16(value), (k, d))
    assert (products(rows, (), slice(0, d)) == d * value * value).all()


def test_squared_distances_are_exact_up_to_the_largest_dimension() -> None:
    square = 32767 * 32767 * ((1 << 31) - 1)
    opposite: Int64 = np.array([[square, -square], [-square, square]], dtype=np.int64)
    assert squared_distances(opposite).tolist() == [[0, 4 * square], [4 * square, 0]]


def test_a_krum_score_past_64_bits_is_exact() -> None:
    far: Int64 = np.diag(np.full(5, 1 << 62, dtype=np.int64))
    assert krum_scores(squared_distances(far), f=0) == [3 << 63] * 5


def test_rows_at_opposite_ends_of_the_largest_dimension_are_chosen_from() -> None:
    """Wrapped at 2**64 the few would win: 199 distances of nearly 2**58 are worth 7 of them then, and 55 stay 55."""
    square = 32767 * 32767 * MAX_DIMENSION
    side = np.where(np.arange(256) < 56, -1, 1)
    products: Int64 = np.outer(side, side).astype(np.int64) * square
    scores = krum_scores(squared_distances(products), f=0)
    assert scores == [199 * 4 * square] * 56 + [55 * 4 * square] * 200  # a row's farthest is dropped
    assert max(scores) > 1 << 64
    points = Points(look=lambda transforms, everything: products, count=256, extra=0)
    assert RULES["krum"].choose(points, numbers=(), f=0, m=0, weights=None).selected == (56,)
    best = RULES["multi-krum"].choose(points, numbers=(), f=0, m=200, weights=None).selected
    assert best == tuple(range(56, 256))
    assert _plain_selection(products.tolist(), 0, 200) == list(range(56, 256))


# What is refused, and that the bound is said.


def test_rules_and_stages_are_those_of_the_rulebook() -> None:
    assert set(RULES) == set(RULE_PARAMETERS)
    assert set(STAGES) == set(STAGE_PARAMETERS)
    assert {name for name, rule in RULES.items() if rule.is_refutable} == set(RULE_NAMES)
    assert {name for name, rule in RULES.items() if rule.selects} == SELECTING
    assert {name for name, rule in RULES.items() if rule.weighs} == {"weighted-mean"}


@pytest.mark.parametrize(
    ("rule", "f", "m", "bound"),
    [
        ("mean", 9, 0, 1),
        ("weighted-mean", 9, 0, 1),
        ("median", 2, 0, 5),
        ("trimmed-mean", 2, 0, 5),
        ("krum", 2, 0, 7),
        ("krum", 0, 0, 3),
        ("multi-krum", 2, 0, 7),
        ("multi-krum", 2, 7, 9),
    ],
)
def test_too_few_rows_are_refused_with_the_bound(rule: str, f: int, m: int, bound: int) -> None:
    rows = np.arange(3 * bound, dtype=np.int16).reshape(bound, 3)
    check_against_reference(rule, rows, f=f, m=m, weights=weights_for(rule, bound))
    with pytest.raises(TooFewCountedError) as refused:
        aggregate(rule, rows[1:], f=f, m=m, weights=weights_for(rule, bound - 1))
    assert refused.value.expected == f"at least {bound}"
    assert refused.value.actual == bound - 1


@pytest.mark.parametrize("k", [2, 4, 6])
@pytest.mark.parametrize("rule", ROBUST)
def test_half_of_the_rows_may_not_lie(rule: str, k: int) -> None:
    with pytest.raises(TooFewCountedError, match=f"at least {k + 1}, got {k}"):
        aggregate(rule, np.zeros((k, 2), dtype=np.int16), f=k // 2)


def test_an_unknown_rule_lists_those_that_there_are() -> None:
    with pytest.raises(UnknownNameError, match=r"bulyan, centred-clipping, fltrust, .*, weighted-mean, got bullion$"):
        aggregate("bullion", matrix([1]), f=0)


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        (np.zeros((2, 3), dtype=np.int32), MalformedError),
        (np.zeros((2, 3)), MalformedError),
        (np.zeros(3, dtype=np.int16), MalformedError),
        (np.zeros((2, 0), dtype=np.int16), LengthError),
        (np.broadcast_to(np.int16(0), (2, 1 << 32)), LengthError),
    ],
    ids=["int32", "float", "one axis", "no coordinates", "too many coordinates"],
)
def test_rows_that_are_no_int16_matrix_are_refused(rows: npt.NDArray[np.int16], error: type[Exception]) -> None:
    with pytest.raises(error, match="rows"):
        aggregate("mean", rows, f=0)


@pytest.mark.parametrize(("f", "m"), [(-1, 0), (0, -1), (1 << 16, 0), (0, 1 << 16)])
def test_parameters_that_do_not_fit_the_spec_are_refused(f: int, m: int) -> None:
    with pytest.raises(RangeError, match="of the rule"):
        aggregate("mean", matrix([1]), f=f, m=m)


@pytest.mark.parametrize(
    ("weights", "error"),
    [
        (None, MalformedError),
        (np.array([1, 2, 3], dtype=np.int64), MalformedError),
        (np.array([1, 2], dtype=np.int32), MalformedError),
        (np.array([1, 0], dtype=np.int64), RangeError),
        (np.array([1, -5], dtype=np.int64), RangeError),
        (np.array([1, 1 << 24], dtype=np.int64), RangeError),
    ],
    ids=["none", "too many", "int32", "zero", "negative", "above the cap"],
)
def test_weights_that_are_not_capped_counts_are_refused(weights: Int64 | None, error: type[Exception]) -> None:
    with pytest.raises(error, match="weight"):
        aggregate("weighted-mean", matrix([1], [2]), f=0, weights=weights)


def test_weights_whose_sum_is_too_wide_are_refused() -> None:
    weights = np.full((1 << 14) + 1, (1 << 24) - 1, dtype=np.int64)
    with pytest.raises(RangeError, match="sum of the weights"):
        aggregate("weighted-mean", np.zeros((len(weights), 1), dtype=np.int16), f=0, weights=weights)


@pytest.mark.parametrize("rule", sorted(set(RULE_PARAMETERS) - {"weighted-mean", "centred-clipping"}))
def test_a_rule_that_does_not_weigh_does_not_ignore_weights(rule: str) -> None:
    with pytest.raises(MalformedError, match="no weights"):
        aggregate(rule, np.zeros((3, 1), dtype=np.int16), f=0, weights=np.ones(3, dtype=np.int64))
