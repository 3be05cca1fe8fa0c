"""Floats of the caller to integers and back: NumPy arrays or PyTorch tensors, as they come.

Responsible for: what is taken for an array, the exponent, rounding and what it costs, and the kind of what goes back.
Must not know:   rules, stages, what is done with the integers.

PyTorch is never imported here: whoever passes a tensor has imported it.

Spec: docs/arrays.md; docs/protocol.md section 1 (numbers).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import frexp, ldexp
from typing import Any

import numpy as np
import numpy.typing as npt

from protocol.errors import LengthError, MalformedError, RangeError
from protocol.fixedpoint import FRACTION_BITS, INT16_MAX, Float64, Int16, Int32

MIN_EXPONENT, MAX_EXPONENT = -1000, 1009
"""Beyond these 2**-exponent is no binary64, or no value needs it."""

MOST = 2.0**1023
"""A value as large is refused: rounded to 15 bits it might be no binary64 any more."""

ZEROS_EXPONENT = -14
"""Where every value is zero any would do: a federation's usual one."""

_DTYPES = ("float16", "float32", "float64", "bfloat16")
_CHUNK = 1 << 14
"""Coordinates that are rounded at once: as binary64 they and their temporaries stay in the cache."""
_FLOAT32_POWERS = 100
"""2**-100 to 2**100 are binary32 numbers."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Vectors:
    """What the caller passed: n vectors of d floats, none of them NaN or infinite."""

    rows: Sequence[npt.NDArray[Any]]
    """n of (d,) in the memory of this machine; views wherever that is possible, never written to."""
    magnitudes: tuple[float, ...]
    """(n,) the largest absolute value of each."""
    give_back: Callable[[Float64], Any]
    """(d,) binary64 -> the caller's kind, dtype and device."""

    @property
    def length(self) -> int:
        """d."""
        return len(self.rows[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What rounding changed."""

    saturated: int
    """Values that did not fit and were cut to +/-32767."""
    largest_error: float
    """Largest |x - q * 2**exponent|, in the caller's unit."""
    relative_error: float
    """Norm of all that was lost over the norm of everything; 0 where all is zero."""


def read(matrix: object, *, what: str = "matrix") -> Vectors:
    """The caller's (n, d) floats: an array, a tensor, or a list of vectors.

    what: how errors call it.
    Raises: MalformedError (no floats, vectors that differ), LengthError (shape), RangeError (NaN, infinity).
    """
    is_list = isinstance(matrix, (list, tuple))
    parts: Sequence[Any] = matrix if isinstance(matrix, (list, tuple)) else (matrix,)
    if not parts:
        raise LengthError(f"shape of the {what}", expected="(n, d), both at least 1", actual="no vectors")
    for place, part in enumerate(parts):
        _check_kind(part, parts[0], f"vector {place} of the {what}" if is_list else what)
    kind = parts[0]
    shape = (len(parts), *kind.shape) if is_list else tuple(kind.shape)
    if len(shape) != 2 or 0 in shape:
        raise LengthError(f"shape of the {what}", expected="(n, d), both at least 1", actual=shape)
    hosted = [_on_host(part) for part in parts]
    rows = hosted if is_list else list(hosted[0])
    magnitudes = tuple(_magnitude(row, place, what) for place, row in enumerate(rows))
    return Vectors(rows=rows, magnitudes=magnitudes, give_back=_way_back(kind))


def finest(magnitude: float) -> int:
    """The smallest exponent with which a value so large is not cut; at least -1000."""
    if magnitude == 0.0:
        return ZEROS_EXPONENT
    exponent = max(frexp(magnitude)[1] - FRACTION_BITS, MIN_EXPONENT)
    return exponent if round(ldexp(magnitude, -exponent)) <= INT16_MAX else exponent + 1


def check_exponent(exponent: int) -> None:
    """Raises RangeError outside -1000..1009."""
    if not MIN_EXPONENT <= exponent <= MAX_EXPONENT:
        raise RangeError("exponent", expected=f"in {MIN_EXPONENT}..{MAX_EXPONENT}", actual=exponent)


def rounded(rows: Sequence[npt.NDArray[Any]], exponent: int) -> Int16:
    """The nearest integers, ties to even, saturated: protocol.fixedpoint.quantise without its range of exponents.

    rows:    n of (d,) floats, finite.
    returns: (n, d) value q * 2**exponent; never -32768.
    """
    out = np.empty((len(rows), len(rows[0])), dtype=np.int16)
    for row, to in zip(rows, out, strict=True):
        # A product with a power of two is exact, or past all integers, or far below 1: in binary32, too.
        kind: Any = np.float32 if row.dtype.itemsize < 8 and abs(exponent) <= _FLOAT32_POWERS else np.float64
        scale = kind(2.0**-exponent)
        for start in range(0, len(row), _CHUNK):
            with np.errstate(over="ignore", under="ignore"):  # infinity saturates as any other large value
                units = row[start : start + _CHUNK].astype(kind) * scale
            np.rint(units, out=units)
            to[start : start + _CHUNK] = np.clip(units, -INT16_MAX, INT16_MAX, out=units)
    return out


def cost(rows: Sequence[npt.NDArray[Any]], integers: Int16, exponent: int) -> Cost:
    """What became of the rows when they became these integers.

    rows:     n of (d,) floats, finite.
    integers: (n, d) what `rounded` made of them.
    """
    saturated, largest, lost, norm = 0, 0.0, 0.0, 0.0
    unit = 2.0**exponent
    magnitude = max(float(np.abs(row).max()) for row in rows)
    near_one = ldexp(1.0, min(1 - frexp(magnitude)[1], -MIN_EXPONENT))  # the square of 1e200 would be infinite
    for row, found in zip(rows, integers, strict=True):
        for start in range(0, len(row), _CHUNK):
            values = row[start : start + _CHUNK].astype(np.float64)
            rest = values - found[start : start + _CHUNK] * unit
            saturated += int(np.count_nonzero(np.abs(values) >= (INT16_MAX + 0.5) * unit))  # the even one is 32768
            largest = max(largest, float(np.abs(rest).max()))
            # Not by BLAS, whose threads take fifty times as long over so few numbers.
            lost += float(np.square(rest * near_one).sum())
            norm += float(np.square(values * near_one).sum())
    relative = (lost / norm) ** 0.5 if norm else 0.0
    return Cost(saturated=saturated, largest_error=largest, relative_error=relative)


def values_of(aggregate: Int32, exponent: int) -> Float64:
    """(d,) binary64 values a * 2**(exponent - 15)."""
    return aggregate.astype(np.float64) * 2.0 ** (exponent - FRACTION_BITS)


def whole_numbers(values: object, *, what: str) -> npt.NDArray[np.int64]:
    """(k,) integers of a list, an array or a tensor, as int64.

    Raises: MalformedError (anything but integers), RangeError (2**63 or more).
    """
    if _is_tensor(values):
        _check_has_numbers(values, what)
    try:
        array = _on_host(values) if _is_tensor(values) else np.asarray(values)
    except ValueError as error:  # lists in it that differ in length
        raise MalformedError(what, expected="whole numbers", actual=type(values).__name__) from error
    if array.dtype.kind not in "iu":
        raise MalformedError(what, expected="whole numbers", actual=array.dtype)
    if array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise RangeError(what, expected="below 2**63", actual=int(array.max()))
    return array.astype(np.int64)


def _is_tensor(value: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _check_kind(part: Any, first: Any, what: str) -> None:
    """An array or a tensor of floats, and all that `first` is."""
    if not _is_tensor(part) and type(part) not in (np.ndarray, np.memmap):
        expected = "an array or a tensor of floats, or a list of vectors that are"
        raise MalformedError(what, expected=expected, actual=type(part).__name__)
    if _is_tensor(part):
        _check_has_numbers(part, what)
    dtype = str(part.dtype).removeprefix("torch.")
    if dtype not in _DTYPES:  # nor another order of bytes
        raise MalformedError(f"numbers of {what}", expected=f"one of {', '.join(_DTYPES)}", actual=dtype)
    for name in ("dtype", "device", "shape"):
        if getattr(part, name) != getattr(first, name):
            expected = f"{getattr(first, name)} as of vector 0"
            raise MalformedError(f"{name} of {what}", expected=expected, actual=getattr(part, name))


def _check_has_numbers(tensor: Any, what: str) -> None:
    """Whether it lies anywhere, every number of it, one after the other."""
    if tensor.is_nested or str(tensor.layout) != "torch.strided":
        actual = "nested" if tensor.is_nested else tensor.layout
        raise MalformedError(f"layout of {what}", expected="torch.strided", actual=actual)
    if tensor.is_meta:
        raise MalformedError(f"device of {what}", expected="one that holds numbers", actual="meta")


def _on_host(value: Any) -> npt.NDArray[Any]:
    """The same numbers as a NumPy array; bfloat16, which NumPy lacks, as float32."""
    if not _is_tensor(value):
        array: npt.NDArray[Any] = value
        return array
    near = value.detach().cpu().resolve_neg().resolve_conj()
    tensor: npt.NDArray[Any] = (near.float() if str(near.dtype) == "torch.bfloat16" else near).numpy()
    return tensor


def _magnitude(row: npt.NDArray[Any], place: int, what: str) -> float:
    """The largest absolute value.  Raises RangeError with the place of the first that is not finite."""
    ends = float(row.min()), float(row.max())  # NaN comes through both, infinity through one
    if not (ends[0] > -MOST and ends[1] < MOST):
        at = int(np.flatnonzero(~(np.abs(row.astype(np.float64)) < MOST))[0])
        expected = "a finite number, below 2**1023"
        raise RangeError(f"row {place}, coordinate {at} of the {what}", expected=expected, actual=row[at])
    return max(-ends[0], ends[1], 0.0)


def _way_back(kind: Any) -> Callable[[Float64], Any]:
    """What comes back is cut to the dtype's largest number: 16384 units of 2**114 would be infinite as float32."""
    if not _is_tensor(kind):
        most = float(np.finfo(kind.dtype).max)
        return lambda values: np.clip(values, -most, most).astype(kind.dtype)
    torch = sys.modules["torch"]
    end = float(torch.finfo(kind.dtype).max)
    return lambda values: torch.from_numpy(np.clip(values, -end, end)).to(kind.dtype).to(kind.device)
