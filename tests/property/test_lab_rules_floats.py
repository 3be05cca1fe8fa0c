"""Rules over floats, for any floats: as near to the rule on real numbers as is said, and the same for equal values."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from coordinator.enclave.rules import aggregate
from coordinator.enclave.rules.plan import Plan, Ranks, Scaled, Weighted, Window
from lab import rules
from lab.rules.floats import cost, finest, rounded
from protocol.fixedpoint import MAX_EXPONENT, MIN_EXPONENT, Int16, quantise

EXAMPLES = settings(max_examples=60, deadline=None)
Floats = npt.NDArray[np.float64]

ORDINARY = st.floats(-1000, 1000)
ANY = st.floats(-(2.0**1022), 2.0**1022)
MAGNITUDES = st.floats(0, 2.0**1022)


@st.composite
def matrices(draw: st.DrawFn, *, elements: st.SearchStrategy[float] = ORDINARY, least: int = 1) -> Floats:
    shape = draw(st.integers(least, 9)), draw(st.integers(1, 5))
    return draw(hnp.arrays(np.float64, shape, elements=elements))


@EXAMPLES
@given(MAGNITUDES)
def test_the_finest_exponent_cuts_nothing_and_the_next_one_would(magnitude: float) -> None:
    exponent = finest(magnitude)
    assert round(Fraction(magnitude) / Fraction(2) ** exponent) <= 32767
    if magnitude and exponent > -1000:
        assert round(Fraction(magnitude) / Fraction(2) ** (exponent - 1)) > 32767


@EXAMPLES
@given(
    matrices(elements=st.one_of(ORDINARY, st.floats(-1, 1), ANY)),
    st.sampled_from([np.float16, np.float32, np.float64]),
    st.integers(MIN_EXPONENT, MAX_EXPONENT),
)
def test_rounding_is_a_participants(matrix: Floats, dtype: type, exponent: int) -> None:
    most = float(np.finfo(dtype).max)
    rows = list(np.clip(matrix, -most, most).astype(dtype))
    integers = rounded(rows, exponent)
    expected = [quantise(row, exponent) for row in rows]
    assert integers.tolist() == [one.row.tolist() for one in expected]
    found = cost(rows, integers, exponent)
    assert found.saturated == sum(one.saturated for one in expected)
    pairs = [
        (Fraction(float(x)), q)
        for row, line in zip(rows, integers, strict=True)
        for x, q in zip(row, line.tolist(), strict=True)
    ]
    lost = [abs(x - q * Fraction(2) ** exponent) for x, q in pairs]
    assert found.largest_error == pytest.approx(float(max(lost)), rel=1e-12)
    squares = sum(x * x for x, _ in pairs)
    relative = sum(loss * loss for loss in lost) / squares if squares else Fraction(0)
    assert found.relative_error == pytest.approx(float(relative) ** 0.5, rel=1e-9, abs=1e-150)


@EXAMPLES
@given(hnp.arrays(np.float32, (2, 3), elements=st.floats(-(2.0**127), 2.0**127, width=32)), st.integers(-400, 400))
def test_single_precision_is_rounded_as_double_precision_of_the_same_values(
    matrix: npt.NDArray[np.float32], exponent: int
) -> None:
    assert rounded(list(matrix), exponent).tolist() == rounded(list(matrix.astype(np.float64)), exponent).tolist()


# --- on real numbers --------------------------------------------------------------------------------------------------


def exactly(rule: str, column: list[Fraction], f: int, weights: list[int]) -> Fraction:
    """What the rule is on real numbers."""
    ordered, n = sorted(column), len(column)
    if rule == "weighted-mean":
        return sum((w * x for w, x in zip(weights, column, strict=True)), Fraction(0)) / sum(weights)
    if rule == "median":
        return (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    kept = ordered[f : n - f] if rule == "trimmed-mean" else ordered
    return sum(kept, Fraction(0)) / len(kept)


@pytest.mark.parametrize("rule", ["mean", "weighted-mean", "median", "trimmed-mean"])
@EXAMPLES
@given(data=st.data())
def test_the_bound_holds_for_any_floats_and_exponents(rule: str, data: st.DataObject) -> None:
    matrix = data.draw(matrices(elements=data.draw(st.sampled_from([ORDINARY, ANY]))))
    dtype = data.draw(st.sampled_from([np.float32, np.float64])) if np.abs(matrix).max() < 1e30 else np.float64
    matrix = matrix.astype(dtype)
    exponent = data.draw(st.integers(-30, 10))
    f = data.draw(st.integers(0, (len(matrix) - 1) // 2))
    weights = data.draw(st.lists(st.integers(1, 1000), min_size=len(matrix), max_size=len(matrix)))
    found = rules.explain(rule, matrix, f=f, exponent=exponent, weights=weights if "weighted" in rule else None)
    assert (found.decides, found.aggregate.dtype) == (False, np.dtype(dtype))
    for column, value in zip(matrix.T.tolist(), found.aggregate.tolist(), strict=True):
        true = exactly(rule, [Fraction(x) for x in column], f, weights)
        assert abs(Fraction(value) - true) <= Fraction(found.bound) * Fraction(1 + 1e-9)


@EXAMPLES
@given(matrices(least=2), st.integers(2, 4), st.integers(0, (1 << 256) - 1))
def test_the_mean_of_full_buckets_is_the_mean(matrix: Floats, s: int, seed: int) -> None:
    assume(len(matrix) % s == 0)
    found = rules.explain(f"bucketing:{s}+mean", matrix, seed=seed, exponent=-4)
    assert not found.decides
    assert np.abs(found.aggregate - matrix.mean(axis=0)).max() <= found.bound + 1e-9


@EXAMPLES
@given(matrices(least=5), st.sampled_from(["krum", "multi-krum", "mda"]))
def test_the_rows_selected_are_what_the_aggregate_is_of(matrix: Floats, rule: str) -> None:
    found = rules.explain(rule, matrix, f=1, exponent=-4)
    mean = matrix[list(found.selected)].mean(axis=0)
    assert found.kept == tuple(float(row in found.selected) for row in range(len(matrix)))
    assert np.abs(found.aggregate - mean).max() <= found.bound + 1e-9


@EXAMPLES
@given(matrices(least=5), st.sampled_from(["meamed", "nnm+median", "nnm+mean", "geometric-median", "bulyan"]))
def test_an_aggregate_is_within_the_range_of_what_came(matrix: Floats, chain: str) -> None:
    f = 1 if chain != "bulyan" or len(matrix) >= 7 else 0
    found = rules.explain(chain, matrix, f=f, exponent=-4)
    assert (found.aggregate >= matrix.min(axis=0) - found.bound).all()
    assert (found.aggregate <= matrix.max(axis=0) + found.bound).all()


@EXAMPLES
@given(matrices(least=4), st.integers(1, 500))
def test_a_clipped_row_is_no_longer_than_the_radius(matrix: Floats, radius: int) -> None:
    found = rules.explain(f"clip:{radius}+mean", matrix[:1], exponent=-4)
    allowed = radius + 2.0**-4  # by the whole part of its length, rounded toward zero; the mean is a whole number
    assert np.linalg.norm(found.aggregate) <= allowed


# --- the same decisions -----------------------------------------------------------------------------------------------


def real_factors(stage: str, wide: Int16, scale: int, rows: int) -> Floats:
    """Of `rows` rows and one that is not clipped behind them: radius over length, f = 1."""
    lengths = np.linalg.norm(wide[:rows].astype(np.float64), axis=1)
    name, *numbers = stage.split(":")
    radius = float(numbers[0]) * scale if name == "clip" else np.sort(lengths)[::-1][2 * (rows - 1) // rows]
    factors = np.minimum(1.0, radius / np.maximum(lengths, 1e-9))
    return np.concatenate([factors, np.ones(len(wide) - rows)])


def by_plan(plan: Plan, chain: str, floats: Floats, integers: Int16, rows: int) -> Floats:
    """What the plan makes of the floats: its weights and ranks, Meamed's by the integers, and factors that are real."""
    values, wide, scale = floats, integers, 1
    clipping = iter([stage for stage in chain.split("+") if stage.startswith(("clip", "arc"))])
    for step in plan.transforms:
        before, wide = wide, step.apply(wide)
        if isinstance(step, Scaled):
            values = values * real_factors(next(clipping), before, scale, rows)[:, None]
        else:
            scale *= step.scale
            sums = [
                times * values[list(rows)].sum(axis=0) for rows, times in zip(step.members, step.times, strict=True)
            ]
            values = np.array(sums)
    end = plan.combination
    if isinstance(end, Weighted):
        return np.array(end.weights[: len(values)]) @ values * 2.0 ** (end.shift - 15) / end.divisor
    places = list(end.places) if isinstance(end, Window) else list(range(len(values)))
    columns = np.sort(values[places], axis=0)
    if isinstance(end, Ranks):
        return columns[end.first : end.last + 1].mean(axis=0) / end.scale
    ordered = np.sort(wide[places].astype(np.int64), axis=0)
    rest = len(places) - end.count
    middle = ordered[(len(places) - 1) // 2] + ordered[len(places) // 2]
    starts = (ordered[:rest] + ordered[end.count :] < middle).sum(axis=0)
    means = [columns[start : start + end.count, at].mean() for at, start in enumerate(starts)]
    return np.array(means) / end.scale


@pytest.mark.parametrize(
    "chain",
    [
        *("meamed", "krum", "bulyan", "mda", "geometric-median", "centred-clipping:30:2", "fltrust"),
        *("clip:50+median", "arc+mean", "nnm+trimmed-mean", "nnm+clip:20+mean", "arc+bucketing:2+geometric-median"),
    ],
)
@settings(max_examples=40, deadline=None)
@given(matrix=matrices(least=7), further=st.booleans())
def test_the_bound_holds_for_the_same_decisions(chain: str, matrix: Floats, further: bool) -> None:
    name = {"fltrust": "trusted", "centred-clipping:30:2": "centre" if further else None}.get(chain)
    extra = matrix[:1] if name else matrix[:0]
    found = rules.explain(chain, matrix, f=1, exponent=-4, seed=5, **({name: matrix[0]} if name else {}))
    floats = np.concatenate([matrix, extra])
    integers = rounded(list(floats), -4)
    more: dict[str, Any] = {name: integers[-1]} if name else {}
    plan = aggregate(found.chain, integers[: len(matrix)], f=1, seed=(5).to_bytes(32), **more).plan
    expected = by_plan(plan, found.chain, floats, integers, len(matrix))
    assert np.abs(found.aggregate - expected).max() <= found.bound + 1e-9


# --- the same for equal values ----------------------------------------------------------------------------------------

CHAINS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("trimmed-mean", {"f": 1}),
    ("nnm+krum", {"f": 1}),
    ("arc+bucketing:2+mean", {"f": 1, "seed": 7}),
    ("geometric-median", {}),
    ("meamed", {"f": 1}),
)


@pytest.mark.parametrize(("chain", "given_with_it"), CHAINS)
@EXAMPLES
@given(matrix=matrices(least=5), power=st.integers(-900, 900))
def test_another_power_of_two_as_unit_changes_only_the_unit(
    chain: str, given_with_it: dict[str, Any], matrix: Floats, power: int
) -> None:
    matrix[np.abs(matrix) < 1e-10] = 0  # times 2**-900 they would not be what they were
    sizes = sorted(filter(None, np.abs(matrix).max(axis=1)))
    assume(sizes and sizes[-1] > 1e-3 and sizes[-1] <= 512 * sizes[(len(sizes) - 1) // 2])
    expected = rules.aggregate(chain, matrix, **given_with_it) * 2.0**power
    assert rules.aggregate(chain, matrix * 2.0**power, **given_with_it).tolist() == expected.tolist()


@pytest.mark.parametrize(("chain", "given_with_it"), CHAINS)
@settings(max_examples=20, deadline=None)
@given(matrix=matrices(least=5))
def test_an_array_and_a_tensor_give_the_same_numbers(chain: str, given_with_it: dict[str, Any], matrix: Floats) -> None:
    single = matrix.astype(np.float32)
    expected = rules.aggregate(chain, single, exponent=-6, **given_with_it).tolist()
    for same in (torch.from_numpy(single), list(single), torch.from_numpy(single.astype(np.float64))):
        assert np.float32(rules.aggregate(chain, same, exponent=-6, **given_with_it)).tolist() == expected


@EXAMPLES
@given(matrices(least=3), st.integers(1, 4), st.floats(1e3, 2.0**1000))
def test_f_rows_of_any_size_leave_a_trimmed_mean_among_the_others(matrix: Floats, f: int, size: float) -> None:
    assume(len(matrix) > f)
    lies = np.full((f, matrix.shape[1]), size)
    exponent = finest(float(np.abs(matrix).max()) + 1)
    found = rules.explain("trimmed-mean", np.concatenate([matrix, lies]), f=f, exponent=exponent)
    unit = 2.0**exponent
    assert (found.aggregate <= matrix.max(axis=0) + unit).all()
    assert (found.aggregate >= matrix.min(axis=0) - unit).all()
    assert found.saturated == (lies.size if size > 32767.5 * unit else 0)
