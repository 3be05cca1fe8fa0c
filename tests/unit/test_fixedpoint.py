"""Numbers round, saturate and step as written, at the ends of their ranges too."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from protocol_examples import raw, vectors

from protocol import errors, fixedpoint
from protocol.errors import LengthError, RangeError

ACCEPTED, REFUSED = vectors("fixedpoint/accepted.json"), vectors("fixedpoint/refused.json")
LOW, HIGH = -(2**31), 2**31 - 1


def compute(vector: dict[str, Any]) -> Any:
    """What the function that a vector is for returns; lists for arrays."""
    what = vector["what"]
    if what == "floorDiv":
        return fixedpoint.floor_div(vector["a"], vector["b"])
    if what == "quantise":
        values = np.array([float.fromhex(text) for text in vector["values"]])
        return fixedpoint.quantise(values, vector["exponent"]).row.tolist()
    if what == "aggregateToInt16":
        return fixedpoint.aggregate_to_int16(np.array(vector["aggregate"], dtype=np.int32)).tolist()
    if what == "modelFromFloats":
        return fixedpoint.model_from_floats(np.array([float.fromhex(text) for text in vector["values"]]), -24)
    if what == "modelStep":
        base, aggregate = (np.array(vector[name], dtype=np.int32) for name in ("base", "aggregate"))
        terms = {"learning_rate": vector["learningRate"], "decay": vector["decay"]}
        exponents = {"exponent": vector["exponent"], "model_exponent": vector["modelExponent"]}
        return fixedpoint.model_step(base, aggregate, **terms, **exponents).tolist()
    decode = fixedpoint.decode_row if what == "row" else fixedpoint.decode_model
    width = 2 if what == "row" else 4
    return decode(raw(vector["data"]), vector.get("d", (len(vector["data"]) - 2) // 2 // width)).tolist()


def value_of(vector: dict[str, Any]) -> Any:
    return next(vector[name] for name in ("value", "row", "model") if name in vector)


@pytest.mark.parametrize("vector", ACCEPTED, ids=lambda v: v["what"])
def test_a_number_is_that_of_its_vector(vector: dict[str, Any]) -> None:
    assert compute(vector) == value_of(vector)


@pytest.mark.parametrize("vector", REFUSED, ids=lambda v: f"{v['what']} {v['defect']}")
def test_one_defect_is_refused_or_gives_another_number(vector: dict[str, Any]) -> None:
    if "error" in vector:
        with pytest.raises(getattr(errors, vector["error"])):
            compute(vector)
        return
    assert compute(vector) == value_of(vector)
    assert compute(vector) != vector["wrong"]


def test_encoded_rows_and_models_are_little_endian() -> None:
    assert fixedpoint.encode_row(np.array([1, -2], dtype=np.int16)) == b"\x01\x00\xfe\xff"
    assert fixedpoint.encode_model(np.array([1, -2], dtype=np.int32)) == b"\x01\x00\x00\x00\xfe\xff\xff\xff"


@pytest.mark.parametrize("exponent", [-24, -14, -8])
def test_quantising_is_the_nearest_integer_with_ties_to_even(exponent: int) -> None:
    units = [Fraction(n, 4) for n in range(-14, 15)]
    row = fixedpoint.quantise(np.array([float(u) * 2.0**exponent for u in units]), exponent).row
    assert row.tolist() == [round(u) for u in units]  # Python's round of a Fraction is to even


def test_saturation_is_counted_and_never_minus_32768() -> None:
    unit = 2.0**-14
    done = fixedpoint.quantise(np.array([32767, 32767.4, 32767.5, 32768, -32767.4, -32768, 1e308]) * unit, -14)
    assert done.row.tolist() == [32767, 32767, 32767, 32767, -32767, -32767, 32767]
    assert done.saturated == 4
    assert done.row.dtype == np.int16


def test_the_error_is_the_share_of_the_norm_that_was_lost() -> None:
    unit = 2.0**-14
    assert fixedpoint.quantise(np.array([3.0, 4.0]) * unit, -14).error == 0.0
    assert fixedpoint.quantise(np.array([0.25, 0.0]) * unit, -14).error == 1.0
    assert fixedpoint.quantise(np.zeros(3), -14).error == 0.0
    assert math.isclose(fixedpoint.quantise(np.array([65534.0]) * unit, -14).error, 0.5)


@pytest.mark.parametrize("size", [1e-320, 1e-200, 1.0, 1e200, 1.7e308])
def test_the_error_is_a_finite_number_for_every_size_of_update(size: float) -> None:
    assert 0.0 <= fixedpoint.quantise(np.array([size, -size, 0.0]), -14).error <= 1.0


@pytest.mark.parametrize("shape", [(), (2, 2), (0, 1)])
def test_an_update_and_a_model_are_vectors(shape: tuple[int, ...]) -> None:
    with pytest.raises(LengthError):
        fixedpoint.quantise(np.zeros(shape), -14)
    with pytest.raises(LengthError):
        fixedpoint.model_from_floats(np.zeros(shape), -24)


def test_dequantising_is_exact() -> None:
    row = np.array([-32767, -1, 0, 1, 32767], dtype=np.int16)
    for exponent in (-24, -14, -8):
        back = fixedpoint.quantise(fixedpoint.dequantise(row, exponent), exponent)
        assert back.row.tolist() == row.tolist()
        assert (back.saturated, back.error) == (0, 0.0)


def test_models_go_to_floats_and_back_without_loss() -> None:
    model = np.array([LOW, -1, 0, 1, HIGH], dtype=np.int32)
    assert fixedpoint.model_from_floats(fixedpoint.model_to_floats(model, -24), -24).tolist() == model.tolist()


def test_the_largest_base_model_saturates_by_one_unit() -> None:
    assert fixedpoint.model_from_floats(np.array([128.0, -128.0]), -24).tolist() == [HIGH, LOW]


def test_r_is_the_aggregate_to_the_nearest_unit_with_ties_up() -> None:
    aggregate = [n * 2**14 for n in range(-5, 6)]
    expected = [max(-32767, min(32767, (a + 2**14) // 2**15)) for a in aggregate]
    assert fixedpoint.aggregate_to_int16(np.array(aggregate, dtype=np.int32)).tolist() == expected


@pytest.mark.parametrize(("exponent", "model_exponent"), [(-14, -24), (-24, -8), (-8, -30), (-24, -30), (-8, -8)])
@pytest.mark.parametrize("learning_rate", [0, 1, 65536, 2**32 - 1])
@pytest.mark.parametrize("decay", [0, 1, 2**24, 2**32 - 1])
def test_the_model_step_is_the_formula_in_unbounded_integers(
    exponent: int, model_exponent: int, learning_rate: int, decay: int
) -> None:
    corners = [LOW, LOW + 1, -(2**15) - 1, -1, 0, 1, 2**15, HIGH - 1, HIGH]
    pairs = [(w, a) for w in corners for a in corners]
    shift = 16 + model_exponent - (exponent - 15)
    expected = [max(LOW, min(HIGH, w - w * decay // 2**24 + a * learning_rate // 2**shift)) for w, a in pairs]
    vector = {
        "what": "modelStep",
        "base": [w for w, _ in pairs],
        "aggregate": [a for _, a in pairs],
        "learningRate": learning_rate,
        "decay": decay,
        "exponent": exponent,
        "modelExponent": model_exponent,
    }
    assert compute(vector) == expected


def test_a_step_of_rate_one_adds_the_mean_itself() -> None:
    # a mean of 0.5 at e_u = -14 is a = 2**28, and 0.5 in a model of e_m = -24 is 2**23
    vector = {"what": "modelStep", "base": [0], "aggregate": [2**28], "learningRate": 65536, "decay": 0,
              "exponent": -14, "modelExponent": -24}  # fmt: skip
    assert compute(vector) == [2**23]


def test_a_step_between_models_of_two_sizes_is_refused() -> None:
    with pytest.raises(LengthError):
        fixedpoint.model_step(np.zeros(2, np.int32), np.zeros(3, np.int32), learning_rate=1, decay=0, exponent=-14,
                              model_exponent=-24)  # fmt: skip


@pytest.mark.parametrize("model_exponent", [-56, 40])
def test_a_shift_outside_an_int64_is_refused(model_exponent: int) -> None:
    with pytest.raises(RangeError):
        fixedpoint.step_shift(-14, model_exponent)


def test_the_squared_norm_is_exact() -> None:
    row = np.full(100_000, -32767, dtype=np.int16)
    assert fixedpoint.squared_norm(row) == 100_000 * 32767**2


@pytest.mark.parametrize(("value", "expected"), [(2**40, 32767), (-(2**40), -32767), (-32768, -32767), (5, 5)])
def test_saturate16_keeps_to_the_symmetric_range(value: int, expected: int) -> None:
    assert fixedpoint.saturate16(np.array([value])).tolist() == [expected]


@pytest.mark.parametrize(("value", "expected"), [(2**40, HIGH), (-(2**40), LOW), (LOW, LOW), (5, 5)])
def test_saturate32_keeps_to_the_whole_range(value: int, expected: int) -> None:
    assert fixedpoint.saturate32(np.array([value])).tolist() == [expected]
