"""Weighted sums and means of rows, their squared norms, and rows scaled down.

Responsible for: machine code that walks the rows once.
Must not know:   where weights or factors come from.

Spec: docs/protocol.md (numbers), docs/decisions/0019-kernels.md.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from coordinator.enclave.rules.kernels.assembly import ATTRIBUTES, Lines, made_once
from coordinator.enclave.rules.kernels.table import RowTable, over_columns
from protocol.errors import LengthError, MalformedError, RangeError
from protocol.fixedpoint import Int16, Int32, Int64
from protocol.native import Code

NORM_LANES = 16
"""Sums that a row's squares are added up in."""

SUM_LANES = 256
"""Columns of a weighted sum: its sums stay in registers, and each row is read half a kilobyte at a time."""


def weighted_sum_block(table: RowTable, start: int, stop: int, *, weights: Int64, out: Int32 | Int64) -> None:
    """Sum of w_i * q_i in columns [start, stop), modulo 2**32 or 2**64: exact where the sum fits the type of `out`.

    weights: (k,); rows of weight 0 are not read.
    out:     (stop - start,) written.
    Raises: LengthError, MalformedError.
    """
    if out.dtype not in (np.int32, np.int64):
        raise MalformedError("sums", expected="int32 or int64", actual=str(out.dtype))
    _sum(table, start, stop, weights, out, f"i{8 * out.itemsize}", divisor=0)


def weighted_mean_block(table: RowTable, start: int, stop: int, *, weights: Int64, divisor: int, out: Int32) -> None:
    """floorDiv(2**15 * sum of w_i * q_i, divisor) in columns [start, stop); it has to fit int32.

    weights: (k,) not negative; of int16 rows their sum is below 2**23, so that 2**15 * sum is below 2**53.
    divisor: 1 to 2**52.
    out:     (stop - start,) written.
    Raises: LengthError, MalformedError, RangeError.
    """
    total = sum(weights.tolist())
    if table.element != "i16" or not 0 <= total < 1 << 23 or int(weights.min()) < 0:
        raise RangeError("sum of the weights of int16 rows", expected="0 to 2**23 - 1", actual=(table.element, total))
    if not 1 <= divisor <= 1 << 52:
        raise RangeError("divisor of a mean", expected="1 to 2**52", actual=divisor)
    if out.dtype != np.int32:
        raise MalformedError("means", expected="int32", actual=str(out.dtype))
    _sum(table, start, stop, weights, out, "i32" if total < 1 << 16 else "i64", divisor=divisor)


def _sum(
    table: RowTable,
    start: int,
    stop: int,
    weights: Int64,
    out: npt.NDArray[Any],
    sum_type: str,
    *,
    divisor: int,
) -> None:
    """divisor: 0 for the sums themselves."""
    if weights.shape != (table.k,):
        raise LengthError("weights", expected=table.k, actual=weights.shape)
    used = np.flatnonzero(weights)
    if not used.size:
        out[:] = 0
        return
    weights = weights[used]
    code = _sum_code(table.element, sum_type, bool((weights == 1).all()), divisor > 0)
    # modulo 2**32 where that is all that counts
    kept = np.ascontiguousarray(weights.astype(np.int32 if sum_type == "i32" else np.int64))

    def kernel(addresses: npt.NDArray[np.uint64], columns: int, outputs: Sequence[npt.NDArray[Any]]) -> None:
        code(addresses.ctypes.data, used.size, columns, kept.ctypes.data, outputs[0].ctypes.data, float(divisor))

    over_columns(table.only(used), start, stop, (out,), kernel, types=[out.dtype], lanes=SUM_LANES)


def norms_block(table: RowTable, start: int, stop: int) -> Int64:
    """(k,) each int16 row's sum of squares in columns [start, stop).  Raises: LengthError, MalformedError."""
    if table.element != "i16":
        raise MalformedError("rows", expected="int16", actual=table.element)
    sums = np.zeros((table.k, NORM_LANES), dtype=np.int64)
    code = _norm_code()

    def kernel(addresses: npt.NDArray[np.uint64], columns: int, outputs: Sequence[npt.NDArray[Any]]) -> None:
        code(addresses.ctypes.data, table.k, columns, sums.ctypes.data)

    over_columns(table, start, stop, (), kernel, types=[])
    return np.asarray(sums.sum(axis=1))


def scaled_block(table: RowTable, start: int, stop: int, *, factors: Int32, out: Int16) -> None:
    """q * factor / 2**16, rounded toward zero, in columns [start, stop).

    factors: (k,) int32, each 0 to 2**16.
    out:     (k, stop - start) written; only its last axis needs to be contiguous.
    Raises: LengthError, MalformedError, RangeError.
    """
    if factors.shape != (table.k,) or out.ndim != 2 or out.shape[0] != table.k:
        raise LengthError("factors, rows made", expected=(table.k, table.k), actual=(factors.size, out.shape))
    if factors.min() < 0 or factors.max() > 1 << 16:
        raise RangeError("factor", expected="0 to 2**16", actual=(int(factors.min()), int(factors.max())))
    if table.element != "i16":
        raise MalformedError("rows to scale", expected="int16", actual=table.element)
    code, factors = _scale_code(), np.ascontiguousarray(factors, dtype=np.int32)

    def kernel(addresses: npt.NDArray[np.uint64], columns: int, outputs: Sequence[npt.NDArray[Any]]) -> None:
        places = (factors.ctypes.data, outputs[0].ctypes.data)
        code(addresses.ctypes.data, table.k, columns, *places, outputs[0].strides[0] // 2)

    over_columns(table, start, stop, (out,), kernel, types=[np.int16])


_POINTER, _INTEGER = ctypes.c_void_p, ctypes.c_int64


@made_once
def _sum_code(element: str, sum_type: str, is_plain: bool, is_mean: bool) -> Callable[..., None]:
    code = Code(sum_text(element, sum_type, is_plain, is_mean))
    return code.function("kernel", _POINTER, _INTEGER, _INTEGER, _POINTER, _POINTER, ctypes.c_double)


@made_once
def _norm_code() -> Callable[..., None]:
    return Code(norm_text()).function("kernel", _POINTER, _INTEGER, _INTEGER, _POINTER)


@made_once
def _scale_code() -> Callable[..., None]:
    return Code(scale_text()).function("kernel", _POINTER, _INTEGER, _INTEGER, _POINTER, _POINTER, _INTEGER)


def sum_text(element: str, sum_type: str, is_plain: bool, is_mean: bool) -> str:
    """Module whose function `kernel` is `weighted_sum_block`, or `weighted_mean_block`, over whole vectors.

    is_plain: all weights are 1.
    """
    parts = range(0, SUM_LANES, 32)
    narrow, wide = f"<32 x {element}>", f"<32 x {sum_type}>"
    step, after, carried = Lines(), Lines("a"), []
    if not is_plain:
        place = step.let(f"getelementptr {sum_type}, ptr %weights, i64 %r")
        weight = step.splat(step.let(f"load {sum_type}, ptr {place}"), sum_type, 32)
    for part in parts:
        column = step.let(f"add i64 %column, {part}")
        value = step.load(narrow, element, "%row", column)
        if sum_type != element:
            value = step.let(f"sext {narrow} {value} to {wide}")
        if not is_plain:
            value = step.let(f"mul {wide} {value}, {weight}")
        sum_ = step.let(f"add {wide} %sum{part}, {value}")
        carried.append(f"%sum{part} = phi {wide} [zeroinitializer, %loop], [{sum_}, %each]")
        here = after.let(f"add i64 %column, {part}")
        if is_mean:
            mean = after.quotient(sum_, sum_type, 32, after.splat("%divisor", "double", 32))
            after.store(mean, "<32 x i32>", "i32", "%out", here)
        else:
            after.store(sum_, wide, sum_type, "%out", here)
    phis = "\n".join(carried)
    return f"""
define void @kernel(ptr %rows, i64 %k, i64 %columns, ptr %weights, ptr %out, double %divisor) #0 {{
entry:
br label %loop
loop:
%column = phi i64 [0, %entry], [%next, %done]
br label %each
each:
%r = phi i64 [0, %loop], [%r.next, %each]
{phis}
%place = getelementptr ptr, ptr %rows, i64 %r
%row = load ptr, ptr %place
{step}
%r.next = add i64 %r, 1
%r.more = icmp ult i64 %r.next, %k
br i1 %r.more, label %each, label %done
done:
{after}
%next = add i64 %column, {SUM_LANES}
%more = icmp ult i64 %next, %columns
br i1 %more, label %loop, label %end
end:
ret void
}}
{ATTRIBUTES}"""


def scale_text() -> str:
    """Module whose function `kernel` is `scaled_block` over whole vectors."""
    step = Lines()
    value = step.let(f"sext <32 x i16> {step.load('<32 x i16>', 'i16', '%row', '%column')} to <32 x i32>")
    product = step.let(f"mul <32 x i32> {value}, {step.splat('%factor', 'i32', 32)}")
    below = step.let(f"lshr <32 x i32> {step.let(f'ashr <32 x i32> {value}, splat (i32 31)')}, splat (i32 16)")
    up = step.let(f"add <32 x i32> {product}, {below}")  # 2**16 - 1 more where it is negative: up, toward zero
    quotient = step.let(f"ashr <32 x i32> {up}, splat (i32 16)")
    step.store(step.let(f"trunc <32 x i32> {quotient} to <32 x i16>"), "<32 x i16>", "i16", "%made", "%column")
    return f"""
define void @kernel(ptr %rows, i64 %k, i64 %columns, ptr %factors, ptr %out, i64 %stride) #0 {{
entry:
br label %each
each:
%r = phi i64 [0, %entry], [%r.next, %each.end]
%place = getelementptr ptr, ptr %rows, i64 %r
%row = load ptr, ptr %place
%factor.place = getelementptr i32, ptr %factors, i64 %r
%factor = load i32, ptr %factor.place
%skip = mul i64 %r, %stride
%made = getelementptr i16, ptr %out, i64 %skip
br label %loop
loop:
%column = phi i64 [0, %each], [%next, %loop]
{step}
%next = add i64 %column, 32
%more = icmp ult i64 %next, %columns
br i1 %more, label %loop, label %each.end
each.end:
%r.next = add i64 %r, 1
%r.more = icmp ult i64 %r.next, %k
br i1 %r.more, label %each, label %end
end:
ret void
}}
{ATTRIBUTES}"""


def norm_text() -> str:
    """Module whose function `kernel` is `norms_block` over whole vectors: it adds to (k, 16) sums.

    Two squares of int16 are below 2**32: as an unsigned number a pair fits, and is widened at once.
    """
    step = Lines()
    value = step.load("<32 x i16>", "i16", "%row", "%column")
    halves = []
    for first in (0, 1):
        places = ", ".join(f"i32 {place}" for place in range(first, 32, 2))
        half = step.let(f"shufflevector <32 x i16> {value}, <32 x i16> poison, <16 x i32> <{places}>")
        wide = step.let(f"sext <16 x i16> {half} to <16 x i32>")
        halves.append(step.let(f"mul <16 x i32> {wide}, {wide}"))
    pair = step.let(f"add <16 x i32> {halves[0]}, {halves[1]}")
    added = step.let(f"add <16 x i64> %sum, {step.let(f'zext <16 x i32> {pair} to <16 x i64>')}")
    return f"""
define void @kernel(ptr %rows, i64 %k, i64 %columns, ptr %sums) #0 {{
entry:
br label %each
each:
%r = phi i64 [0, %entry], [%r.next, %end]
%place = getelementptr ptr, ptr %rows, i64 %r
%row = load ptr, ptr %place
%kept = getelementptr <16 x i64>, ptr %sums, i64 %r
%before = load <16 x i64>, ptr %kept, align 8
br label %loop
loop:
%column = phi i64 [0, %each], [%next, %loop]
%sum = phi <16 x i64> [%before, %each], [{added}, %loop]
{step}
%next = add i64 %column, 32
%more = icmp ult i64 %next, %columns
br i1 %more, label %loop, label %end
end:
store <16 x i64> {added}, ptr %kept, align 8
%r.next = add i64 %r, 1
%r.more = icmp ult i64 %r.next, %k
br i1 %r.more, label %each, label %done
done:
ret void
}}
{ATTRIBUTES}"""
