"""Fixed point: the integers that updates, aggregates and models are, and the step from one model to the next.

Responsible for: rounding, saturation, and the little-endian bytes of rows and models.
Must not know:   rules, trees, messages.

Spec: docs/protocol.md section 1.  An update's value is q * 2**e_u, an aggregate's a * 2**(e_u - 15), a model's
w * 2**e_m.  Floating point appears only where a participant's numbers come in and go out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from protocol.errors import LengthError, RangeError

Int16 = npt.NDArray[np.int16]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]

FRACTION_BITS = 15
"""Bits that an aggregate has below an update's unit: a mean of m rows keeps them."""

MIN_EXPONENT, MAX_EXPONENT = -24, -8
"""Range of e_u."""

INT16_MAX = (1 << 15) - 1
INT32_MIN, INT32_MAX = -(1 << 31), (1 << 31) - 1
MODEL_LIMIT = 128.0
"""A base model outside +/-128 is refused (2**31 * 2**-24)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantised:
    """An update as integers, and what that cost."""

    row: Int16
    """(d,) int16, value q * 2**e_u; never -32768."""
    saturated: int
    """Coordinates that did not fit and were cut to +/-32767."""
    error: float
    """Norm of what was lost, over the norm of the update; 0 for an update of zeros."""


def floor_div(numerator: int, denominator: int) -> int:
    """Division toward minus infinity, as Python's `//`; Solidity's `/` truncates.  Twin: Fixed.sol floorDiv."""
    return numerator // denominator


def saturate16(values: Int64) -> Int16:
    """To +/-32767 (never -32768)."""
    return np.clip(values, -INT16_MAX, INT16_MAX).astype(np.int16)


def saturate32(values: Int64) -> Int32:
    """To the range of int32."""
    return np.clip(values, INT32_MIN, INT32_MAX).astype(np.int32)


def quantise(update: npt.NDArray[np.floating], exponent: int) -> Quantised:
    """The nearest integers, ties to even, saturated.

    update:   (d,) floating point.
    exponent: e_u.
    Raises: RangeError for NaN, infinity or an exponent outside -24..-8.
    """
    _check_exponent(exponent)
    values = np.asarray(update, dtype=np.float64)
    if values.ndim != 1:
        raise LengthError("shape of an update", expected="(d,)", actual=values.shape)
    if not np.isfinite(values).all():
        at = int(np.flatnonzero(~np.isfinite(values))[0])
        raise RangeError(f"coordinate {at} of an update", expected="a finite number", actual=values[at])
    with np.errstate(over="ignore"):  # infinity saturates as any other large value
        scaled = np.rint(values * 2.0**-exponent)  # exact: a power of two
    row = np.clip(scaled, -INT16_MAX, INT16_MAX).astype(np.int16)
    largest = float(np.abs(values).max(initial=0.0)) or 1.0  # the squares of 1e200 would not be finite
    norm = float(np.linalg.norm(values / largest))
    lost = float(np.linalg.norm((values - row * 2.0**exponent) / largest))
    return Quantised(
        row=row,
        saturated=int(np.count_nonzero(np.abs(scaled) > INT16_MAX)),
        error=lost / norm if norm else 0.0,
    )


def dequantise(row: Int16, exponent: int) -> Float64:
    """(d,) float64 values q * 2**e_u."""
    return row.astype(np.float64) * 2.0**exponent


def aggregate_to_int16(aggregate: Int32) -> Int16:
    """r: the aggregate in units of an update, saturate(floorDiv(a + 2**14, 2**15))."""
    return saturate16((aggregate.astype(np.int64) + (1 << (FRACTION_BITS - 1))) >> FRACTION_BITS)


_STEP_BLOCK = 1 << 16
"""Coordinates whose int64 temporaries exist at a time."""


def step_shift(exponent: int, model_exponent: int) -> int:
    """s of the model step: 16 + e_m - (e_u - 15), the learning rate's Q16 and the change of units."""
    shift = 16 + model_exponent - (exponent - FRACTION_BITS)
    if not 0 <= shift <= 62:
        raise RangeError("shift of the model step", expected="in 0..62", actual=shift)
    return shift


def model_step(
    base: Int32, aggregate: Int32, *, learning_rate: int, decay: int, exponent: int, model_exponent: int
) -> Int32:
    """w' = saturate(w - floorDiv(w * decay, 2**24) + floorDiv(a * lr, 2**s)).

    base, aggregate: (d,) int32.  learning_rate: Q16 below 2**32.  decay: Q24 below 2**32.
    Both products fit int64: |int32| * 2**32 <= 2**63, and only -2**31 * (2**32 - 1) comes near.
    """
    if base.shape != aggregate.shape:
        raise LengthError("shape of the aggregate", expected=base.shape, actual=aggregate.shape)
    shift, new = step_shift(exponent, model_exponent), np.empty_like(base)
    for start in range(0, len(base), _STEP_BLOCK):
        block = slice(start, start + _STEP_BLOCK)
        w, a = base[block].astype(np.int64), aggregate[block].astype(np.int64)
        new[block] = saturate32(w - ((w * decay) >> 24) + ((a * learning_rate) >> shift))
    return new


def model_from_floats(model: npt.NDArray[np.floating], model_exponent: int) -> Int32:
    """The nearest integers, ties to even.  Raises RangeError outside +/-128, for NaN and for infinity."""
    values = np.asarray(model, dtype=np.float64)
    if values.ndim != 1:
        raise LengthError("shape of a model", expected="(d,)", actual=values.shape)
    if not np.isfinite(values).all() or np.abs(values).max(initial=0.0) > MODEL_LIMIT:
        raise RangeError("a base model", expected=f"finite and within +/-{MODEL_LIMIT:g}")
    return np.clip(np.rint(values * 2.0**-model_exponent), INT32_MIN, INT32_MAX).astype(np.int32)


def model_to_floats(model: Int32, model_exponent: int) -> Float64:
    """(d,) float64 values w * 2**e_m."""
    return model.astype(np.float64) * 2.0**model_exponent


def encode_row(row: Int16) -> bytes:
    """2 bytes a coordinate, little-endian."""
    return row.astype("<i2", casting="equiv", copy=False).tobytes()


def decode_row(data: bytes, dimension: int) -> Int16:
    """(d,) int16 of exactly 2 * d bytes.

    Raises: LengthError, RangeError for a coordinate of -32768.
    """
    if len(data) != 2 * dimension:
        raise LengthError("length of a row in bytes", expected=2 * dimension, actual=len(data))
    row = np.frombuffer(data, dtype="<i2").astype(np.int16)
    if (row == -INT16_MAX - 1).any():
        at = int(np.flatnonzero(row == -INT16_MAX - 1)[0])
        raise RangeError(f"coordinate {at} of a row", expected=f"in -{INT16_MAX}..{INT16_MAX}", actual=-INT16_MAX - 1)
    return row


def encode_model(model: Int32) -> bytes:
    """4 bytes a coordinate, little-endian; models and aggregates alike."""
    return model.astype("<i4", casting="equiv", copy=False).tobytes()


def decode_model(data: bytes, dimension: int) -> Int32:
    """(d,) int32 of exactly 4 * d bytes; models and aggregates alike."""
    if len(data) != 4 * dimension:
        raise LengthError("length of a model in bytes", expected=4 * dimension, actual=len(data))
    return np.frombuffer(data, dtype="<i4").astype(np.int32)


def squared_norm(row: Int16) -> int:
    """Exact squared norm of a row, in units of q; below 2**30 * d."""
    wide = row.astype(np.int64)
    return int(wide @ wide)


def _check_exponent(exponent: int) -> None:
    if not MIN_EXPONENT <= exponent <= MAX_EXPONENT:
        raise RangeError("exponent of an update", expected=f"in {MIN_EXPONENT}..{MAX_EXPONENT}", actual=exponent)
