"""Rules over floats: kinds in and out, exponents, and what quantisation cost."""

from __future__ import annotations

import re
import subprocess
import sys
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from coordinator.enclave.rules import RULES
from lab import rules
from lab.rules.floats import read
from protocol.errors import RangeError

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
        rules.aggregate(name, matrix, f=1, seed=0, trusted=matrix[0] if "fltrust" in name else None)
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


def test_a_tensor_that_is_negated_when_it_is_read_is_read_so() -> None:
    lazy = torch.complex(torch.zeros(11, 6, dtype=torch.float64), torch.from_numpy(-SPREAD)).conj().imag
    assert lazy.is_neg()
    assert rules.median(lazy).tolist() == rules.median(SPREAD).tolist()


def test_weights_may_be_a_list_an_array_or_a_tensor() -> None:
    samples = list(range(1, 12))
    expected = rules.weighted_mean(SPREAD, samples).tolist()
    for weights in (np.array(samples, dtype=np.uint8), torch.tensor(samples)):
        assert rules.weighted_mean(SPREAD, weights).tolist() == expected  # type: ignore[arg-type]


def test_vectors_are_views_of_what_came() -> None:
    assert all(np.shares_memory(row, SPREAD) for row in read(SPREAD).rows)


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


def test_rows_of_zeros_are_no_middle_row() -> None:
    rows = np.array([[1e30], [1.0], [1.0], [0.0], [0.0], [0.0], [0.0]])
    with pytest.raises(RangeError, match=r"row 0: expected at most 512 times the middle row's 1 "):
        rules.trimmed_mean(rows, f=1)
    rows[0] = 512.0
    assert rules.trimmed_mean(rows, f=1).tolist() == [pytest.approx(2 / 5, abs=2.0**-20)]


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
            seed=0,
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
    assert rules.explain("clip:1e400+median", SPREAD).chain == "clip:2147483647+median"
    found = rules.explain("centred-clipping:2e-3:4", SPREAD, exponent=-12)
    assert found.chain == "centred-clipping:8:4"


@pytest.mark.parametrize("radius", [1e20, 10**400, float("inf"), np.float32(1e30)])
def test_a_huge_radius_as_a_number_is_a_huge_radius(radius: float) -> None:
    mean, clipped = rules.mean(SPREAD), rules.centred_clipping(SPREAD, radius=radius, steps=1)
    assert clipped.tolist() == pytest.approx(mean.tolist(), abs=11 * 2.0**-28)


def test_no_m_is_all_but_the_liars() -> None:
    expected = rules.multi_krum(SPREAD, f=2, m=9).tolist()
    assert rules.multi_krum(SPREAD, f=2).tolist() == expected
    assert rules.multi_krum(SPREAD, f=2, m=None).tolist() == expected
    assert rules.aggregate("multi-krum", SPREAD, f=2).tolist() == expected


def test_an_exponent_may_be_any_kind_of_whole_number() -> None:
    assert rules.mean(SPREAD, exponent=np.uint8(3)).tolist() == rules.mean(SPREAD, exponent=3).tolist()  # type: ignore[arg-type]


def test_every_function_says_its_condition_its_paper_and_its_keywords() -> None:
    for name, rule in RULES.items():
        function = getattr(rules, name.replace("-", "_"))
        paper = re.search(r"Source: +([^,]+ et al\., [A-Z ]*\d+)", str(rule.__doc__))
        assert paper is not None, name
        assert f"  {paper[1]}." in function.__doc__, name
        assert "Needs n >= " in function.__doc__, name
        assert {"f", "before", "exponent", "seed"} <= signature(function).parameters.keys(), name


def test_a_seed_may_be_the_bytes_of_a_round() -> None:
    by_number = rules.median(SPREAD, before="bucketing:2", seed=258)
    assert rules.median(SPREAD, before="bucketing:2", seed=bytes(30) + b"\1\2").tolist() == by_number.tolist()
    assert rules.median(SPREAD, before="bucketing:2", seed=7).tolist() != by_number.tolist()
