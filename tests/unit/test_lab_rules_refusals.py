"""Rules over floats: what they refuse, by an error of this project's and never by one from inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from lab import rules
from protocol.errors import (
    EncodingError,
    LengthError,
    MalformedError,
    RangeError,
    TooFewCountedError,
    UnknownNameError,
    VeriflockError,
)

SPREAD = np.random.default_rng(20).normal(size=(11, 6))

Array = npt.NDArray[Any]


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
    "f below zero where nothing uses it": (lambda: rules.mean(SPREAD, f=-1), RangeError, "f of the rule: .* got -1"),
    "m for krum": (lambda: rules.aggregate("krum", SPREAD, f=1, m=3), MalformedError, "m of krum: .* got 3"),
    "m that is no whole number": (
        lambda: rules.multi_krum(SPREAD, f=1, m="3"),  # type: ignore[arg-type]
        MalformedError,
        "m: expected a whole number, got '3'",
    ),
    "no chain": (lambda: rules.aggregate(None, SPREAD), MalformedError, "chain: .* got None"),  # type: ignore[arg-type]
    "stages that are no text": (
        lambda: rules.mean(SPREAD, before=SPREAD),  # type: ignore[arg-type]
        MalformedError,
        "before: expected a text such as nnm",
    ),
    "no seed for bucketing": (
        lambda: rules.median(SPREAD, before="bucketing:2"),
        MalformedError,
        "seed of bucketing: expected a whole number or the seed of a round, got none",
    ),
    "a tensor of no numbers": (lambda: rules.mean(torch.ones(3, 2, device="meta")), MalformedError, "got meta"),
    "nested tensors": (
        lambda: rules.mean(torch.nested.nested_tensor([torch.ones(2)], layout=torch.jagged)),
        MalformedError,
        "layout of matrix: expected torch.strided",
    ),
    "weights past int64": (
        lambda: rules.weighted_mean(SPREAD, np.full(11, 2**64 - 1, dtype=np.uint64)),
        RangeError,
        "weights: expected below 2\\*\\*63, got 18446744073709551615",
    ),
    "weights of no numbers": (
        lambda: rules.weighted_mean(SPREAD, torch.ones(11, dtype=torch.int64, device="meta")),  # type: ignore[type-var]
        MalformedError,
        "device of weights",
    ),
    "weights in lists": (
        lambda: rules.weighted_mean(SPREAD, [[1], [1, 2]]),  # type: ignore[list-item]
        MalformedError,
        "weights: expected whole numbers, got list",
    ),
    "an unknown rule": (lambda: rules.aggregate("mode", SPREAD), UnknownNameError, "unknown rule"),
    "a radius of no number": (lambda: rules.median(SPREAD, before="clip:big"), EncodingError, "radius of clip"),
    "a radius below zero": (lambda: rules.centred_clipping(SPREAD, radius=-1.0), EncodingError, "got -1.0"),
    "no radius": (
        lambda: rules.centred_clipping(SPREAD, radius=None),  # type: ignore[arg-type]
        MalformedError,
        "radius: expected a number, got None",
    ),
    "a radius in a list": (
        lambda: rules.centred_clipping(SPREAD, radius=[1]),  # type: ignore[arg-type]
        MalformedError,
        r"radius: expected a number, got \[1\]",
    ),
    "a radius that is true": (lambda: rules.centred_clipping(SPREAD, radius=True), MalformedError, "got True"),
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
