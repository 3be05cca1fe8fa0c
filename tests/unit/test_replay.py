"""The replay's stages and rules on examples small enough to do by hand; the hand's work stands beside them."""

from typing import Any

import numpy as np
import pytest

from protocol.errors import LengthError, RangeError, TooFewCountedError
from protocol.rulebook import Rule, parse_chain
from verifier.replay import Replay, Rows, combine, replay, squared_norm, step

ONE = 1 << 15


def rows(*values: list[int]) -> Rows:
    return np.array(values, dtype=np.int16)


def column(*values: int) -> Rows:
    return np.array(values, dtype=np.int16)[:, None]


def run(chain: str, matrix: Rows, *, f: int = 0, m: int = 0, **more: Any) -> Replay:
    return replay(parse_chain(chain), matrix, f=f, m=m, **more)


def aggregate(chain: str, matrix: Rows, **more: Any) -> list[int]:
    return [int(a) for a in run(chain, matrix, **more).aggregate]


def test_the_mean_is_rounded_toward_minus_infinity() -> None:
    assert aggregate("mean", rows([1, -1], [0, 0], [0, 0])) == [10922, -10923]


def test_the_weighted_mean_weighs() -> None:
    assert aggregate("weighted-mean", column(3, -1), weights=(1, 2)) == [ONE // 3]


def test_the_weighted_mean_holds_for_the_largest_weights() -> None:
    assert aggregate("weighted-mean", column(*[-32767] * 256), weights=[(1 << 24) - 1] * 256) == [-32767 * ONE]


def test_a_liars_weights_may_be_larger() -> None:
    weights = [(1 << 32) - 1] * 256
    found = combine(Rule.WEIGHTED_MEAN, column(*[-32768] * 256), f=0, selected=(), weights=weights)
    assert found.tolist() == [-32768 * ONE]


def test_the_median_of_an_even_count_is_the_mean_of_the_two_middle_values() -> None:
    found = run("median", column(5, -9, 2, 90), f=1)
    assert found.aggregate.tolist() == [7 * ONE // 2]
    assert found.kept.tolist() == [[1, 0, 1, 0]]


def test_the_median_of_an_odd_count_is_the_middle_value() -> None:
    assert aggregate("median", column(5, -9, 90), f=1) == [5 * ONE]


def test_the_trimmed_mean_drops_f_at_each_end_and_keeps_whatever_equals_what_it_kept() -> None:
    found = run("trimmed-mean", column(0, 0, 0, 7, 9), f=1)
    assert found.aggregate.tolist() == [7 * ONE // 3]
    assert found.kept.tolist() == [[1, 1, 1, 1, 0]]


def test_meamed_is_the_mean_of_those_nearest_the_median() -> None:
    found = run("meamed", column(9, 0, 0, 7, 0), f=1)  # the median is 0, and 9 is farthest
    assert found.aggregate.tolist() == [7 * ONE // 4]
    assert found.kept.tolist() == [[0, 1, 1, 1, 1]]


def test_of_two_values_equally_far_from_the_median_the_smaller_stays() -> None:
    found = run("meamed", column(2, 0, -2), f=1)  # -2 + 2 >= 2 * 0: the window begins at -2
    assert found.aggregate.tolist() == [-ONE]
    assert found.kept.tolist() == [[0, 1, 1]]


def test_meamed_may_drop_the_smallest() -> None:
    found = run("meamed", column(6, 0, 5), f=1)  # 0 + 6 < 2 * 5
    assert found.aggregate.tolist() == [11 * ONE // 2]
    assert found.kept.tolist() == [[1, 0, 1]]


def test_krum_takes_the_row_nearest_to_its_nearest_and_ties_go_to_the_lower_place() -> None:
    found = run("krum", column(10, 0, 1, 1, 0), f=1)  # two neighbours: scores 162, 1, 1, 1, 1
    assert found.selected == (1,)
    assert found.aggregate.tolist() == [0]
    assert found.kept.tolist() == [[0, 1, 0, 0, 0]]


def test_krum_looks_at_k_minus_f_minus_2_neighbours() -> None:
    """Two of 0 1 2 10 11: scores 5 2 5 65 82; with three 2 would win."""
    assert run("krum", column(0, 1, 2, 10, 11), f=1).selected == (1,)


def test_multi_krum_takes_k_minus_f_unless_the_spec_says_m() -> None:
    matrix = column(10, 0, 1, 1, 0)
    assert run("multi-krum", matrix, f=1).selected == (1, 2, 3, 4)
    assert run("multi-krum", matrix, f=1, m=2).selected == (1, 2)
    assert aggregate("multi-krum", matrix, f=1, m=2) == [ONE // 2]


def test_bulyan_lets_krum_select_and_takes_those_nearest_their_median() -> None:
    """Scores of round after round, of those left: 0 to 5 and 100.

    4 neighbours: 30 15 10 10 15 30, 2 goes; 3 of 0 1 3 4 5: 26 14 9 11 21, 3 goes; 2 of 0 1 4 5: 17 10 10 17, 1 goes;
    1 of 0 4 5: 16 1 1, 4 goes; 1 of 0 5: 25 25, 0 goes.  Nearest the median 2 of 0 1 2 3 4 are 1 2 3: 0 + 3 < 4.
    """
    found = run("bulyan", column(0, 1, 2, 3, 4, 5, 100), f=1)
    assert found.selected == (0, 1, 2, 3, 4)
    assert found.aggregate.tolist() == [2 * ONE]
    assert found.kept.tolist() == [[0, 1, 1, 1, 0, 0, 0]]


def test_bulyan_never_looks_at_fewer_than_one_neighbour() -> None:
    """As above, the other way round: of 100 5 0, with the last two 25 apart, 5 goes last.  2 3 4 are nearest 3."""
    found = run("bulyan", column(100, 5, 4, 3, 2, 1, 0), f=1)
    assert found.selected == (1, 2, 3, 4, 5)
    assert found.aggregate.tolist() == [3 * ONE]


def test_a_value_that_bulyan_kept_is_not_kept_of_a_row_that_it_did_not_select() -> None:
    """The last row has a middle value at the first coordinate, and is far away at the second."""
    matrix = rows([0, 0], [1, 0], [2, 0], [3, 0], [4, 0], [5, 0], [2, 30000])
    assert run("bulyan", matrix, f=1).kept.tolist() == [[1, 2, 2, 2, 1, 0, 0]]


def test_mda_takes_the_rows_of_least_diameter_and_of_several_sets_the_first() -> None:
    found = run("mda", column(6, 100, 4, 0, 2), f=2)  # 6 4 2 and 4 0 2 are as wide as each other
    assert found.selected == (0, 2, 4)
    assert found.aggregate.tolist() == [4 * ONE]
    assert found.kept.tolist() == [[1, 0, 1, 0, 1]]


def test_mda_of_one_row_is_the_first() -> None:
    assert run("mda", column(5), f=0).selected == (0,)


def test_the_geometric_median_of_equal_rows_is_that_row() -> None:
    """Each weighs a third of 2^30, rounded down, and the first 1 more, which is missing."""
    assert aggregate("geometric-median", column(4, 4, 4), f=1) == [4 * ONE]


def test_the_geometric_median_gives_the_outlier_the_least_weight() -> None:
    """Its weight x becomes 1 / (7 - 6x) in each step, from 1/3 down towards 1/6: 3/6, and less than 2^-15 more."""
    assert aggregate("geometric-median", column(0, 0, 3), f=1) == [ONE // 2]


def test_centred_clipping_takes_one_step_where_it_says_so() -> None:
    """Lengths 4 0 2, factors 1/4 1 1/2; weights 1/12 1/3 1/6, the rest is the centre's: 4/12 - 2/6."""
    assert aggregate("centred-clipping:1:1", column(4, 0, -2), f=1) == [0]
    assert aggregate("centred-clipping:1:1", column(4, 0, -8), f=1) == [0]
    assert aggregate("centred-clipping:2:1", column(4, 0, -1), f=1) == [ONE // 3]  # 4/6 - 1/3


def test_centred_clipping_within_the_radius_is_the_mean() -> None:
    """A third each: 4/3 - 2/3."""
    assert aggregate("centred-clipping:100:1", column(4, 0, -2), f=1) == [2 * ONE // 3]


def test_centred_clipping_moves_from_the_centre_a_radius_a_step() -> None:
    """After one step half of the weight is still the centre's."""
    zeros, centre = column(0, 0, 0), np.array([2], dtype=np.int16)
    assert aggregate("centred-clipping:1:1", zeros, f=1, centre=centre) == [ONE]
    assert aggregate("centred-clipping:1", zeros, f=1, centre=centre) == [0]


def test_fltrust_scales_by_the_angle_to_the_trusted_row_and_its_length() -> None:
    """Trust 1 0 0 0 1 of 2; lengths 5 and 10 to 5: weights 16384 and 8192."""
    matrix = rows([3, 4], [4, -3], [0, 0], [-3, -4], [6, 8])
    found = run("fltrust", matrix, trusted=np.array([3, 4], dtype=np.int16))
    assert found.aggregate.tolist() == [3 * ONE, 4 * ONE]
    assert found.selected == (0, 1, 2, 3, 4)
    assert found.kept.tolist() == [[2, 2, 2, 2, 2]]


def test_fltrust_trusts_nobody_where_nobody_agrees() -> None:
    assert aggregate("fltrust", rows([4, -3], [0, 0]), trusted=np.array([3, 4], dtype=np.int16)) == [0, 0]


def test_fltrust_saturates() -> None:
    """A row of length 1 is scaled to 32767 * sqrt(5)."""
    trusted = np.full(5, 32767, dtype=np.int16)
    assert aggregate("fltrust", rows([1, 0, 0, 0, 0]), trusted=trusted) == [(1 << 31) - 1, 0, 0, 0, 0]


def test_fltrust_without_a_trusted_row_is_refused() -> None:
    with pytest.raises(RangeError):
        run("fltrust", column(1))


def test_clipping_shortens_to_the_radius_and_rounds_toward_zero() -> None:
    """Lengths 10 and 7, factors 32768 and 46811 of 2^16: [3, 4], and -4.99995 becomes -4.

    r is [2, 0]; deviation and alignment are of the rows as they were signed.
    """
    found = run("clip:5+mean", rows([6, 8], [0, -7]))
    assert found.aggregate.tolist() == [3 * ONE // 2, 0]
    assert found.deviation.tolist() == [[4**2 + 8**2, 2**2 + 7**2]]
    assert found.alignment.tolist() == [[12, 0]]


def test_clipping_leaves_a_short_row_alone() -> None:
    assert aggregate("clip:5+mean", rows([-3, 4], [0, 0])) == [-3 * ONE // 2, 2 * ONE]


def test_arc_clips_the_longest_to_the_next() -> None:
    """h = 2 * 3 // 4 = 1: the radius is 4, the factor of 10 is 26214 of 2^16, and 10 becomes 3."""
    found = run("arc+weighted-mean", column(10, 2, 3, -4), f=1, weights=(7, 1, 1, 1))
    assert found.aggregate.tolist() == [22 * ONE // 10]


def test_arc_clips_more_than_f() -> None:
    """h = 4 * 6 // 8 = 3: the radius is 5, the factors of 8 7 6 are 40960 46811 54613 of 2^16, and 5 4 4 is left."""
    assert aggregate("arc+mean", column(1, 2, 3, 4, 5, 6, 7, 8), f=2) == [28 * ONE // 8]


@pytest.mark.parametrize(
    ("slots", "buckets", "middle", "kept"),
    [
        (None, (110, 11000, 1), 110, [[0, 1, 1, 0, 0]]),  # places 1 2 | 3 4 | 0
        ((3, 10, 11, 200, 255), (11000, 101, 10), 101, [[1, 0, 1, 0, 0]]),  # places 4 3 | 2 0 | 1
    ],
)
def test_buckets_are_drawn_by_slot_and_the_last_one_weighs_as_much_as_the_others(
    slots: tuple[int, ...] | None, buckets: tuple[int, ...], middle: int, kept: list[list[int]]
) -> None:
    """The order is that of SHA-256(32 zero bytes || slot); the sum of the bucket of one counts twice, and S is 2."""
    found = run("bucketing:2+median", column(1, 10, 100, 1000, 10000), slots=slots)
    assert found.aggregate.tolist() == [ONE * middle // 2]
    assert found.kept.tolist() == kept
    mean = aggregate("bucketing:2+mean", column(1, 10, 100, 1000, 10000), slots=slots)
    assert mean == [ONE * (buckets[0] + buckets[1] + 2 * buckets[2]) // (2 * 3)]


def test_a_bucket_that_is_selected_stands_for_all_its_slots() -> None:
    """Buckets of the places 1 2 | 3 4 | 0, twice their means 0 8 14: one neighbour makes 64 36 36."""
    found = run("bucketing:2+krum", column(7, 0, 0, 4, 4))
    assert found.aggregate.tolist() == [4 * ONE]
    assert found.selected == (3, 4)
    assert found.kept.tolist() == [[0, 0, 0, 1, 1]]


def test_nearest_neighbours_are_summed_ties_to_the_lower_place() -> None:
    """The first is as far from the second as from the third: sums 1 1 3, of 2 rows each."""
    found = run("nnm+median", column(1, 0, 2), f=1)
    assert found.aggregate.tolist() == [ONE // 2]
    assert found.kept.tolist() == [[1, 1, 0]]


def test_a_rule_that_selects_takes_what_stands_for_a_row() -> None:
    """Sums of the four nearest: 12 four times, and 112; the first of the four is taken."""
    found = run("nnm+krum", column(0, 1, 5, 6, 100), f=1)
    assert found.aggregate.tolist() == [3 * ONE]
    assert found.selected == (0,)
    assert found.kept.tolist() == [[1, 0, 0, 0, 0]]


def test_totals_accumulate_over_leaves_of_sixteen() -> None:
    matrix = np.ones((2, 18), dtype=np.int16)
    matrix[1] = -3
    found = run("mean", matrix)  # the mean is -1
    assert found.kept.tolist() == [[16, 16], [18, 18]]
    assert found.deviation.tolist() == [[64, 64], [72, 72]]
    assert found.alignment.tolist() == [[-16, 48], [-18, 54]]


def test_blocks_of_columns_leave_no_seam() -> None:
    matrix = np.arange(5 * 70_000).reshape(5, -1).astype(np.int16)
    found = run("trimmed-mean", matrix, f=1)
    ends = [run("trimmed-mean", matrix[:, part], f=1) for part in (slice(0, 65_552), slice(65_552, None))]
    assert found.aggregate.tolist() == [*ends[0].aggregate.tolist(), *ends[1].aggregate.tolist()]
    assert found.kept[-1].tolist() == (ends[0].kept[-1] + ends[1].kept[-1]).tolist()


def test_r_is_rounded_half_up() -> None:
    found = run("mean", column(1, 0))  # a is half a unit, r is 1
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


@pytest.mark.parametrize(
    ("chain", "f", "needed"),
    [
        ("mean", 0, 1),
        ("trimmed-mean", 1, 3),
        ("krum", 1, 5),
        ("bulyan", 1, 7),
        ("nnm+mean", 1, 3),
        ("bucketing:3+median", 1, 7),
    ],
)
def test_too_few_rows_are_refused(chain: str, f: int, needed: int) -> None:
    assert run(chain, np.ones((needed, 3), dtype=np.int16), f=f).aggregate.tolist() == [ONE] * 3
    with pytest.raises(TooFewCountedError):
        run(chain, np.ones((needed - 1, 3), dtype=np.int16), f=f)


@pytest.mark.parametrize(("slots", "weights"), [((0, 1), (1, 1, 1)), ((0, 1, 2), (1, 1))])
def test_there_are_as_many_slots_and_weights_as_rows(slots: tuple[int, ...], weights: tuple[int, ...]) -> None:
    with pytest.raises(LengthError):
        run("weighted-mean", column(1, 2, 3), slots=slots, weights=weights)


def test_no_weight_at_all_is_refused() -> None:
    with pytest.raises(RangeError):
        run("weighted-mean", column(1, 2), weights=(0, 0))


def test_a_rule_without_a_number_has_no_pieces() -> None:
    with pytest.raises(RangeError):
        combine(Rule.REPLAY, column(1), f=0, selected=(0,), weights=())


def test_the_norm_is_exact() -> None:
    assert squared_norm(np.full(1000, -32767, dtype=np.int16)) == 1000 * 32767**2
