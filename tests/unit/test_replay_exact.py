"""What the replay rests on: exact products of wide values, sums that fit, weights whose every rounding is told."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import RangeError
from protocol.rulebook import Step
from verifier.replay_exact import distances, gram, squared_norm
from verifier.replay_mda import least_diameter
from verifier.replay_rules import aggregated, selection
from verifier.replay_stages import Mixed, apply_stages
from verifier.replay_weights import centred_clipping, fltrust, geometric_median, quantised

WIDE = (1 << 48) - 1


@given(st.lists(st.lists(st.integers(-WIDE, WIDE), min_size=3, max_size=3), min_size=1, max_size=4))
def test_products_and_distances_are_those_of_the_integers(points: list[list[int]]) -> None:
    array = np.array(points, dtype=np.int64)
    products = [[sum(a * b for a, b in zip(x, y, strict=True)) for y in points] for x in points]
    assert gram(array).tolist() == products
    apart = [[sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) for y in points] for x in points]
    assert distances(array).tolist() == apart


def test_products_are_exact_over_many_coordinates() -> None:
    d = 200_000
    assert squared_norm(np.full(d, -WIDE)) == d * WIDE**2


TABLES = st.integers(1, 8).flatmap(
    lambda k: st.lists(st.integers(0, 3), min_size=k * k, max_size=k * k).map(
        lambda flat: np.array(flat, dtype=np.object_).reshape(k, k)
    )
)


@given(TABLES, st.data())
def test_the_least_diameter_is_what_trying_every_set_finds(some: np.ndarray, data: st.DataObject) -> None:
    table, k = np.minimum(some, some.T), len(some)
    np.fill_diagonal(table, 0)
    size = data.draw(st.integers(1, k))

    def diameter(places: tuple[int, ...]) -> int:
        return max((table[i, j] for i, j in combinations(places, 2)), default=0)

    expected = min(combinations(range(k), size), key=lambda places: (diameter(places), places))
    assert least_diameter(table, size) == list(expected)


def test_the_least_diameter_among_thirty_rows() -> None:
    """Sixteen of thirty on a line: any sixteen neighbours are as wide, and the first are taken."""
    points = np.arange(30)[:, None]
    assert least_diameter(distances(points), 16) == list(range(16))


@pytest.mark.parametrize(("stage", "k"), [(Step("nnm"), 2), (Step("bucketing", (2,)), 4), (Step("clip", (1,)), 1)])
def test_sums_that_could_pass_64_bits_are_refused(stage: Step, k: int) -> None:
    wide = Mixed(rows=np.ones((k, 1), dtype=np.int64), scale=1 << 32, stands=tuple(range(k)))
    with pytest.raises(RangeError):
        apply_stages((stage,), wide, f=0, slots=range(k), seed=bytes(32))


def test_the_widest_sums_that_fit_are_summed() -> None:
    scale = (1 << 31) - 1
    least = -(1 << 15) * scale
    wide = Mixed(rows=np.full((2, 1), least), scale=scale, stands=(0, 1))
    found = apply_stages((Step("nnm"),), wide, f=0, slots=(0, 1), seed=bytes(32))
    assert (found.rows.tolist(), found.scale) == ([[2 * least]] * 2, 2 * scale)
    assert aggregated("mean", found.rows, selection(2, (0, 1)), scale=found.scale, f=0).tolist() == [-(1 << 30)]


def test_what_is_missing_goes_to_the_largest_and_of_several_to_the_first() -> None:
    assert quantised([1 / 3] * 3, 15) == [10924, 10922, 10922]
    assert quantised([0.2, 0.4, 0.4], 15) == [6553, 13108, 13107]


def test_the_scale_smooths_the_geometric_median() -> None:
    """The example of 0 0 3 again: all distances and the smoothing 2^40 times as large, the same weights."""
    table = np.array([[0, 0, 9], [0, 0, 9], [9, 9, 0]], dtype=np.object_)
    assert quantised(geometric_median(table, scale=1), 15) == [13654, 13653, 5461]
    assert quantised(geometric_median(table << 40, scale=1 << 20), 15) == [13654, 13653, 5461]


def test_centred_clipping_takes_two_steps_by_hand() -> None:
    """4 0 -2 about 0: the weights after one step balance, so that lengths, factors 1/4 1 1/2 and h = 7/12 stay.

    After one step 12 48 24 60 of 144, after two 17 68 34 25; what 3868 15473 7736 5688 lack is added to the largest.
    """
    table = distances(np.array([[4], [0], [-2], [0]]))
    assert quantised(centred_clipping(table, scale=1, radius=1, steps=2), 15) == [3868, 15476, 7736, 5688]


@pytest.mark.parametrize(
    ("values", "weights"),
    [
        ((-8, -2, 4), [4095, 24578, 4095]),  # with corrected sums 4096 24576 4096
        ((-5, 7, 1), [4096, 4096, 24576]),  # with sums from the last to the first 4095 4095 24578
    ],
)
def test_each_rounding_of_the_geometric_median_counts(values: tuple[int, ...], weights: list[int]) -> None:
    """Weights of 1/8 and 3/4, a hair beside a unit of the last place."""
    assert quantised(geometric_median(distances(np.array(values)[:, None]), scale=1), 15) == weights


@pytest.mark.parametrize(
    ("values", "radius", "steps", "weights"),
    [
        ((-2, 6, 7, 2), 5, 5, [7807, 8321, 8320, 8320, 0]),  # with corrected sums 7808 8320 8320 8320
        ((3, 2, -6, -1), 1, 2, [4096, 6144, 2048, 12288, 8192]),  # backwards 4095 6144 2047 12291 8191
    ],
)
def test_each_rounding_of_centred_clipping_counts(
    values: tuple[int, ...], radius: int, steps: int, weights: list[int]
) -> None:
    table = distances(np.array([*values, 0])[:, None])
    assert quantised(centred_clipping(table, scale=1, radius=radius, steps=steps), 15) == weights


@pytest.mark.parametrize(
    ("row", "count", "trusted", "weight"),
    [
        ((1, 0), 49, (49, 0), 32767),  # 1/49 is rounded before it is taken 49 times
        ((3, 4), 10, (50, 0), 32768),  # 0.6 ten times, each rounded; with a corrected sum 32767
        ((3, 4), 32, (160, 0), 32767),  # with a corrected sum 32768
    ],
)
def test_each_rounding_of_fltrust_counts(
    row: tuple[int, int], count: int, trusted: tuple[int, int], weight: int
) -> None:
    found = fltrust(gram(np.array([row] * count + [trusted])))
    assert [int(each * 2**15) for each in found] == [weight] * count


def test_the_radius_of_centred_clipping_is_in_an_updates_unit() -> None:
    table = np.array([[0, 4], [4, 0]], dtype=np.object_)  # one row and the centre
    assert centred_clipping(table, scale=1, radius=1, steps=1) == [0.5, 0.5]
    assert centred_clipping(table, scale=2, radius=1, steps=1) == [1.0, 0.0]
