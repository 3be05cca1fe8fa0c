"""The replay's rules on examples small enough to do by hand."""

import numpy as np
import pytest

from protocol.errors import RangeError, TooFewCountedError
from protocol.rulebook import Rule
from verifier.replay import Rows, krum_order, replay, squared_norm, step

ONE = 1 << 15


def rows(*values: list[int]) -> Rows:
    return np.array(values, dtype=np.int16)


def aggregate(rule: Rule, matrix: Rows, *, f: int = 0, m: int = 0, weights: tuple[int, ...] = ()) -> list[int]:
    return [int(a) for a in replay(rule, matrix, f=f, m=m, weights=weights).aggregate]


def test_the_mean_is_rounded_toward_minus_infinity() -> None:
    assert aggregate(Rule.MEAN, rows([1, -1], [0, 0], [0, 0])) == [10922, -10923]


def test_the_weighted_mean_weighs() -> None:
    assert aggregate(Rule.WEIGHTED_MEAN, rows([3], [-1]), weights=(1, 2)) == [ONE // 3]


def test_the_median_of_an_even_count_is_the_mean_of_the_two_middle_values() -> None:
    found = replay(Rule.MEDIAN, rows([5], [-9], [2], [90]), f=1, m=0, weights=())
    assert int(found.aggregate[0]) == 7 * ONE // 2
    assert found.kept.tolist() == [[1, 0, 1, 0]]


def test_the_median_of_an_odd_count_is_the_middle_value() -> None:
    assert aggregate(Rule.MEDIAN, rows([5], [-9], [90]), f=1) == [5 * ONE]


def test_the_trimmed_mean_drops_f_at_each_end_and_keeps_whatever_equals_what_it_kept() -> None:
    found = replay(Rule.TRIMMED_MEAN, rows([0], [0], [0], [7], [9]), f=1, m=0, weights=())
    assert int(found.aggregate[0]) == 7 * ONE // 3
    assert found.kept.tolist() == [[1, 1, 1, 1, 0]]


def test_krum_takes_the_row_nearest_to_its_nearest_and_ties_go_to_the_lower_slot() -> None:
    matrix = rows([10], [0], [1], [1], [0])
    assert krum_order(matrix, f=1) == [1, 2, 3, 4, 0]
    found = replay(Rule.KRUM, matrix, f=1, m=0, weights=())
    assert found.selected == (1,)
    assert found.aggregate.tolist() == [0]
    assert found.kept.tolist() == [[0, 1, 0, 0, 0]]


def test_multi_krum_takes_k_minus_f_unless_the_spec_says_m() -> None:
    matrix = rows([10], [0], [1], [1], [0])
    assert replay(Rule.MULTI_KRUM, matrix, f=1, m=0, weights=()).selected == (1, 2, 3, 4)
    assert replay(Rule.MULTI_KRUM, matrix, f=1, m=2, weights=()).selected == (1, 2)


def test_totals_accumulate_over_leaves_of_sixteen() -> None:
    matrix = np.ones((2, 18), dtype=np.int16)
    matrix[1] = -3
    found = replay(Rule.MEAN, matrix, f=0, m=0, weights=())  # the mean is -1
    assert found.kept.tolist() == [[16, 16], [18, 18]]
    assert found.deviation.tolist() == [[64, 64], [72, 72]]
    assert found.alignment.tolist() == [[-16, 48], [-18, 54]]


def test_r_is_rounded_half_up() -> None:
    found = replay(Rule.MEAN, rows([1], [0]), f=0, m=0, weights=())  # a is half a unit, r is 1
    assert found.alignment.tolist() == [[1, 0]]


@pytest.mark.parametrize(("base", "change", "expected"), [(0, ONE, 1 << 10), (-1, 0, 0), (1 << 24, 0, (1 << 24) - 1)])
def test_the_step_adds_the_aggregate_and_takes_the_decay(base: int, change: int, expected: int) -> None:
    """Exponents -14 and -24: an update's unit is 2**10 of the model's.  Decay 1 of 2**24, floored."""
    new = step(
        np.array([base], dtype=np.int32),
        np.array([change], dtype=np.int32),
        learning_rate=1 << 16,
        decay=1,
        exponent=-14,
        model_exponent=-24,
    )
    assert new.tolist() == [expected]


def test_the_step_saturates() -> None:
    top = np.array([(1 << 31) - 1], dtype=np.int32)
    settings = {"learning_rate": 1 << 16, "decay": 0, "exponent": -14, "model_exponent": -24}
    assert step(top, top, **settings).tolist() == top.tolist()


def test_too_few_rows_are_refused() -> None:
    for rule, f in ((Rule.MEAN, 0), (Rule.TRIMMED_MEAN, 1), (Rule.KRUM, 1)):
        with pytest.raises(TooFewCountedError):
            replay(rule, np.zeros((2 * f, 3), dtype=np.int16), f=f, m=0, weights=())


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(RangeError):
        replay(Rule.REPLAY, rows([1]), f=0, m=0, weights=())


def test_the_norm_is_exact() -> None:
    assert squared_norm(np.full(1000, -32767, dtype=np.int16)) == 1000 * 32767**2
