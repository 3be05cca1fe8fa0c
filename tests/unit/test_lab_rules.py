"""Rules over floats: kinds in and out, refusals, exponents, and what quantisation cost."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from lab import rules
from lab.rules.floats import read
from protocol.errors import (
    EncodingError,
    LengthError,
    MalformedError,
    RangeError,
    TooFewCountedError,
    UnknownNameError,
    VeriflockError,
)

ROOT = Path(__file__).resolve().parent.parent.parent
SPREAD = np.random.default_rng(20).normal(size=(11, 6))

Array = npt.NDArray[Any]


def by_function(matrix: Any, **options: Any) -> dict[str, Any]:
    """Every rule by its function, with arguments that 11 rows allow."""
    f = {"f": 2, **options}
    return {
        "mean": rules.mean(matrix, **options),
        "weighted-mean": rules.weighted_mean(matrix, list(range(1, 12)), **options),
        "median": rules.median(matrix, **options),
        "trimmed-mean": rules.trimmed_mean(matrix, **f),
        "meamed": rules.meamed(matrix, **f),
        "krum": rules.krum(matrix, **f),
        "multi-krum": rules.multi_krum(matrix, m=3, **f),
        "bulyan": rules.bulyan(matrix, **f),
        "mda": rules.mda(matrix, **f),
        "geometric-median": rules.geometric_median(matrix, **options),
        "centred-clipping": rules.centred_clipping(matrix, radius=0.5, steps=3, centre=matrix[1], **options),
        "fltrust": rules.fltrust(matrix, matrix[0], **options),
    }


def by_chain(matrix: Any, before: str = "", **options: Any) -> dict[str, Any]:
    """The same, each spelled as a chain."""
    given: dict[str, dict[str, Any]] = {
        "weighted-mean": {"weights": list(range(1, 12))},
        "multi-krum": {"m": 3},
        "centred-clipping": {"centre": matrix[1]},
        "fltrust": {"trusted": matrix[0]},
    }
    numbers = {"centred-clipping": ":0.5:3"}
    return {
        name: rules.aggregate(before + name + numbers.get(name, ""), matrix, f=2, **given.get(name, {}), **options)
        for name in by_function(matrix)
    }


def test_every_function_is_the_chain_of_its_name() -> None:
    functions, chains = by_function(SPREAD), by_chain(SPREAD)
    assert {name: value.tolist() for name, value in functions.items()} == {
        name: value.tolist() for name, value in chains.items()
    }


def test_options_go_before_every_rule() -> None:
    functions = by_function(SPREAD, before="clip:1.5+arc", exponent=-10, f=2)
    chains = by_chain(SPREAD, before="clip:1.5+arc+", exponent=-10)
    assert {name: value.tolist() for name, value in functions.items()} == {
        name: value.tolist() for name, value in chains.items()
    }


# --- kinds ------------------------------------------------------------------------------------------------------------

NUMPY = [np.float16, np.float32, np.float64]
TORCH = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.mark.parametrize("dtype", NUMPY)
def test_an_array_gives_an_array_of_its_dtype(dtype: type) -> None:
    for name, value in by_function(SPREAD.astype(dtype)).items():
        assert (type(value), value.dtype, value.shape) == (np.ndarray, np.dtype(dtype), (6,)), name


@pytest.mark.parametrize("dtype", TORCH)
def test_a_tensor_gives_a_tensor_of_its_dtype_on_its_device(dtype: torch.dtype) -> None:
    for name, value in by_function(torch.from_numpy(SPREAD).to(dtype)).items():
        assert (type(value), value.dtype, value.shape) == (torch.Tensor, dtype, (6,)), name
        assert (value.device, value.requires_grad) == (torch.device("cpu"), False), name


@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU here")
def test_a_tensor_on_a_gpu_gives_one_there_with_the_same_numbers() -> None:
    for name, value in by_function(torch.from_numpy(SPREAD).cuda()).items():
        assert value.device.type == "cuda", name
        assert value.tolist() == by_function(SPREAD)[name].tolist(), name


def test_vectors_in_a_list_and_tensors_give_the_numbers_of_the_matrix() -> None:
    expected = {name: value.tolist() for name, value in by_function(SPREAD).items()}
    kinds: list[Any] = [
        list(SPREAD),
        tuple(SPREAD),
        np.asfortranarray(SPREAD),
        SPREAD[::-1][::-1],
        torch.from_numpy(SPREAD),
        list(torch.from_numpy(SPREAD)),
        torch.from_numpy(SPREAD).requires_grad_(),
    ]
    for matrix in kinds:
        assert {name: value.tolist() for name, value in by_function(matrix).items()} == expected


def test_half_precision_is_what_single_precision_of_the_same_values_is() -> None:
    half = torch.from_numpy(SPREAD).to(torch.bfloat16)
    wide = by_function(half.float())
    for name, value in by_function(half).items():
        assert torch.equal(value, wide[name].to(torch.bfloat16)), name


def test_no_input_is_changed() -> None:
    matrix, weights = SPREAD.copy(), np.arange(1, 12)
    for name in ("clip:0.5+mean", "arc+median", "nnm+krum", "bucketing:2+fltrust"):
        rules.aggregate(name, matrix, f=1, trusted=matrix[0] if "fltrust" in name else None)
    rules.weighted_mean(matrix, weights)
    assert np.array_equal(matrix, SPREAD)
    assert weights.tolist() == list(range(1, 12))


def test_arrays_that_nobody_can_write_to_will_do() -> None:
    matrix = SPREAD.copy()
    matrix.flags.writeable = False
    assert rules.median(matrix).tolist() == rules.median(SPREAD).tolist()


def test_torch_is_not_imported_for_arrays() -> None:
    code = "import sys, numpy; from lab import rules; rules.median(numpy.ones((3, 2))); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_weights_may_be_a_list_an_array_or_a_tensor() -> None:
    samples = list(range(1, 12))
    expected = rules.weighted_mean(SPREAD, samples).tolist()
    for weights in (np.array(samples, dtype=np.uint8), torch.tensor(samples)):
        assert rules.weighted_mean(SPREAD, weights).tolist() == expected  # type: ignore[arg-type]


def test_vectors_are_views_of_what_came() -> None:
    assert all(np.shares_memory(row, SPREAD) for row in read(SPREAD).rows)


# --- refusals ---------------------------------------------------------------------------------------------------------


def with_value(value: float) -> Array:
    matrix = SPREAD.copy()
    matrix[3, 4] = value
    return matrix


REFUSED: dict[str, tuple[Callable[[], object], type[VeriflockError], str]] = {
    "NaN": (lambda: rules.mean(with_value(np.nan)), RangeError, "row 3, coordinate 4 of the matrix"),
    "infinity": (lambda: rules.mean(with_value(-np.inf)), RangeError, "row 3, coordinate 4 of the matrix"),
    "more than half of binary64's range": (lambda: rules.mean(with_value(2.0**1023)), RangeError, "below 2\\*\\*1023"),
    "NaN in the trusted row": (
        lambda: rules.fltrust(SPREAD, with_value(np.nan)[3]),
        RangeError,
        "row 0, coordinate 4 of the trusted row",
    ),
    "no rows": (lambda: rules.mean(SPREAD[:0]), LengthError, r"shape of the matrix: .* got \(0, 6\)"),
    "no vectors": (lambda: rules.mean([]), LengthError, "shape of the matrix: .* got no vectors"),
    "no coordinates": (lambda: rules.mean(SPREAD[:, :0]), LengthError, r"got \(11, 0\)"),
    "one vector": (lambda: rules.mean(SPREAD[0]), LengthError, r"expected \(n, d\).* got \(6,\)"),
    "three axes": (lambda: rules.mean(SPREAD[None]), LengthError, r"got \(1, 11, 6\)"),
    "integers": (lambda: rules.mean(np.ones((3, 2), dtype=int)), MalformedError, "got int64"),
    "long double": (lambda: rules.mean(np.ones((3, 2), dtype=np.longdouble)), MalformedError, "numbers of matrix"),
    "nested lists": (lambda: rules.mean([[1.0, 2.0]]), MalformedError, "vector 0 of the matrix: .* got list"),  # type: ignore[list-item]
    "masked values": (lambda: rules.mean(np.ma.masked_array(SPREAD)), MalformedError, "got MaskedArray"),
    "a sparse tensor": (lambda: rules.mean(torch.eye(3).to_sparse()), MalformedError, "layout"),
    "vectors of two lengths": (
        lambda: rules.mean([SPREAD[0], SPREAD[0, :5]]),
        MalformedError,
        r"shape of vector 1 of the matrix: expected \(6,\) as of vector 0, got \(5,\)",
    ),
    "vectors of two dtypes": (
        lambda: rules.mean([SPREAD[0], SPREAD[0].astype(np.float32)]),
        MalformedError,
        "dtype of vector 1",
    ),
    "an array and a tensor": (
        lambda: rules.mean([SPREAD[0], torch.ones(6, dtype=torch.float64)]),  # type: ignore[misc]
        MalformedError,
        "dtype of vector 1",
    ),
    "a centre too short": (
        lambda: rules.centred_clipping(SPREAD, radius=1.0, centre=SPREAD[0, :5]),
        LengthError,
        "length of the centre row: expected 6, got 5",
    ),
    "no trusted row": (lambda: rules.aggregate("fltrust", SPREAD), MalformedError, "trusted row for fltrust"),
    "a trusted row for krum": (
        lambda: rules.aggregate("krum", SPREAD, f=1, trusted=SPREAD[0]),
        MalformedError,
        "trusted row for krum",
    ),
    "weights that are fractions": (
        lambda: rules.weighted_mean(SPREAD, [0.5] * 11),  # type: ignore[list-item]
        MalformedError,
        "weights: expected whole numbers, got float64",
    ),
    "a weight of zero": (lambda: rules.weighted_mean(SPREAD, [0] * 11), RangeError, "weight of a row"),
    "too few weights": (lambda: rules.weighted_mean(SPREAD, [1] * 10), MalformedError, "weights"),
    "too few rows": (lambda: rules.krum(SPREAD, f=5), TooFewCountedError, "at least 13, got 11"),
    "no f": (lambda: rules.aggregate("krum", SPREAD), MalformedError, "f of krum"),
    "no f for a stage": (lambda: rules.median(SPREAD, before="nnm"), MalformedError, "f of nnm"),
    "f that is no whole number": (
        lambda: rules.krum(SPREAD, f=1.0),  # type: ignore[arg-type]
        MalformedError,
        "f: expected a whole number, got 1.0",
    ),
    "an unknown rule": (lambda: rules.aggregate("mode", SPREAD), UnknownNameError, "unknown rule"),
    "a radius of no number": (lambda: rules.median(SPREAD, before="clip:big"), EncodingError, "radius of clip"),
    "a radius below zero": (lambda: rules.centred_clipping(SPREAD, radius=-1.0), EncodingError, "got -1.0"),
    "a radius below a unit": (
        lambda: rules.median(SPREAD, before="clip:0.001", exponent=-8),
        RangeError,
        r"radius of clip: expected at least half a unit, 2\*\*-9: a smaller exponent, got 0.001",
    ),
    "no step": (lambda: rules.centred_clipping(SPREAD, radius=1.0, steps=0), MalformedError, "centred-clipping"),
    "an exponent too small": (lambda: rules.mean(SPREAD, exponent=-1001), RangeError, "exponent"),
    "an exponent too large": (lambda: rules.mean(SPREAD, exponent=1010), RangeError, "exponent"),
    "a seed below zero": (lambda: rules.median(SPREAD, before="bucketing:2", seed=-1), RangeError, "seed"),
    "a seed of 31 bytes": (
        lambda: rules.median(SPREAD, before="bucketing:2", seed=bytes(31)),
        LengthError,
        "bytes of the seed: expected 32, got 31",
    ),
}


@pytest.mark.parametrize(("call", "error", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_and_what_is_said(call: Callable[[], object], error: type[VeriflockError], said: str) -> None:
    with pytest.raises(error, match=said):
        call()


# --- exponents --------------------------------------------------------------------------------------------------------


def test_without_an_exponent_the_largest_value_decides_and_is_not_cut() -> None:
    matrix = np.array([[1.0, -32767.0], [2.0, 5.0]])
    assert (rules.explain("mean", matrix).exponent, rules.explain("mean", matrix).saturated) == (0, 0)
    matrix[0, 1] = -32767.5  # the even neighbour is 32768
    assert (rules.explain("mean", matrix).exponent, rules.explain("mean", matrix).saturated) == (1, 0)


def test_a_given_exponent_cuts_and_says_so() -> None:
    found = rules.explain("median", np.array([[1.0, 9.0], [1.0, -7.0], [1.0, 0.5]]), exponent=-14)
    assert found.aggregate.tolist() == [1.0, 0.5]
    assert (found.saturated, found.largest_error) == (2, 9.0 - 32767 / 16384)


def test_zeros_are_zeros() -> None:
    found = rules.explain("krum", np.zeros((5, 3)), f=1)
    assert (found.aggregate.tolist(), found.relative_error, found.bound) == ([0.0, 0.0, 0.0], 0.0, 2.0**-29)


def test_a_row_far_above_the_others_is_refused_and_the_proposed_exponent_works() -> None:
    matrix = np.concatenate([SPREAD, np.full((2, 6), 1e30)])
    with pytest.raises(RangeError, match=r"largest value of row 11: .* \(exponent=-10 keeps"):
        rules.trimmed_mean(matrix, f=2)
    found = rules.explain("trimmed-mean", matrix, f=2, exponent=-10)
    expected = np.sort(matrix, axis=0)[2:-2].mean(axis=0)
    assert np.abs(found.aggregate - expected).max() < 2.0**-11 + 2.0**-25
    assert found.saturated == 12


def test_512_times_the_middle_row_is_not_far_above() -> None:
    rows = np.array([[1.0], [1.0], [512.0]])
    assert rules.median(rows).tolist() == [1.0]
    rows[2] = np.nextafter(512.0, 513.0)
    with pytest.raises(RangeError, match="at most 512 times the middle row's 1 where no exponent is given"):
        rules.median(rows)
    assert rules.mean(rows).tolist() == [pytest.approx(514 / 3, abs=2.0**-6)]  # a mean is asked for large rows


def test_fltrust_is_measured_by_its_trusted_row() -> None:
    with pytest.raises(RangeError, match="at most 512 times the trusted row's"):
        rules.fltrust(SPREAD * 1e6, SPREAD[0])


def test_an_aggregate_that_leaves_int32_is_refused() -> None:
    trusted = np.ones(1 << 12)
    row = np.zeros(1 << 12)
    row[0] = 1.0
    with pytest.raises(RangeError, match=r"aggregate of fltrust: expected below 2\*\*16 units of 2\*\*-14"):
        rules.fltrust(row[None], trusted)
    assert rules.fltrust(row[None], trusted, exponent=-9)[0] == 64.0  # as long as the trusted row


def test_the_largest_single_precision_number_does_not_become_infinite() -> None:
    largest = np.finfo(np.float32).max
    assert rules.median(np.full((3, 2), largest)).tolist() == [largest, largest]


# --- what is said -----------------------------------------------------------------------------------------------------


def test_an_explanation_says_everything() -> None:
    matrix = np.array([[0.0, 1.0], [0.0, 1.1], [0.0, 1.2], [3.0, -5.0], [0.1, 1.0]])
    found = rules.explain("krum", matrix, f=1, exponent=-4)
    assert found.aggregate.tolist() == [0.0, 1.125]
    assert (found.chain, found.exponent, found.saturated) == ("krum", -4, 0)
    assert found.largest_error == pytest.approx(0.025)
    lost = np.array([0.025, 0.0125, 0.025])  # of 1.1, 1.2 and 0.1, to 1.125, 1.1875 and 0.125
    assert found.relative_error > 0
    assert (found.selected, found.kept) == ((1,), (0.0, 1.0, 0.0, 0.0, 0.0))
    assert (found.bound, found.decides) == (found.largest_error + 2.0**-19, True)
    assert found.relative_error == pytest.approx(float(np.sqrt((lost**2).sum() / (matrix**2).sum())))


def test_the_bound_is_of_what_comes_back() -> None:
    matrix = np.array([[1.0], [1.0], [1.0 + 2.0**-10]], dtype=np.float16)
    found = rules.explain("mean", matrix, exponent=-14)
    assert (found.aggregate.tolist(), found.largest_error) == ([1.0], 0.0)
    assert 2.0**-10 / 3 <= found.bound <= 2.0**-10 / 3 + 2 * 2.0**-29


def test_what_decides_is_every_step_that_compares_more_than_ranks() -> None:
    plain = ("mean", "weighted-mean", "median", "trimmed-mean", "bucketing:2+mean", "bucketing:3+median")
    others = ("clip:1+mean", "arc+median", "nnm+trimmed-mean", "bucketing:2+krum", *by_function(SPREAD))
    for chain in {*plain, *others}:
        name = chain.split("+")[-1]
        found = rules.explain(
            chain.replace("centred-clipping", "centred-clipping:1"),
            SPREAD,
            f=1,
            weights=[1] * 11 if name == "weighted-mean" else None,
            trusted=SPREAD[0] if name == "fltrust" else None,
        )
        assert found.decides == (chain not in plain), chain


def test_kept_is_a_share_of_the_coordinates() -> None:
    matrix = np.array([[0.0, 0.0, 0.0, 9.0], [1.0, 1.0, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0]])
    found = rules.explain("trimmed-mean", matrix, f=1)
    assert (found.kept, found.selected, found.decides) == ((0.0, 0.75, 0.25), (0, 1, 2), False)


def test_radii_are_said_in_units() -> None:
    assert rules.explain("clip:0.5+median", SPREAD, exponent=-10).chain == "clip:512+median"
    assert rules.explain("clip:1e300+median", SPREAD).chain == "clip:2147483647+median"
    found = rules.explain("centred-clipping:2e-3:4", SPREAD, exponent=-12)
    assert found.chain == "centred-clipping:8:4"


def test_a_huge_radius_as_a_number_is_a_huge_radius() -> None:
    mean, clipped = rules.mean(SPREAD), rules.centred_clipping(SPREAD, radius=1e20, steps=1)
    assert clipped.tolist() == pytest.approx(mean.tolist(), abs=11 * 2.0**-14)


def test_a_seed_may_be_the_bytes_of_a_round() -> None:
    by_number = rules.median(SPREAD, before="bucketing:2", seed=258)
    assert rules.median(SPREAD, before="bucketing:2", seed=bytes(30) + b"\1\2").tolist() == by_number.tolist()
    assert rules.median(SPREAD, before="bucketing:2", seed=7).tolist() != by_number.tolist()
