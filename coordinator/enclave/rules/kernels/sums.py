"""Weighted sums of rows, and rows scaled down.

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

SUM_LANES = 256
"""Columns of a weighted sum: its sums stay in registers, and each row is read half a kilobyte at a time."""


def weighted_sum_block(table: RowTable, start: int, stop: int, *, weights: Int64, out: Int32 | Int64) -> None:
    """Sum of w_i * q_i in columns [start, stop), modulo 2**32 or 2**64: exact where the sum fits the type of `out`.

    weights: (k,); rows of weight 0 are not read.
    out:     (stop - start,) written.
    Raises: LengthError, MalformedError.
    """
    if weights.shape != (table.k,):
        raise LengthError("weights", expected=table.k, actual=weights.shape)
    used = np.flatnonzero(weights)
    if not used.size:
        out[:] = 0
        return
    weights = weights[used]
    if out.dtype not in (np.int32, np.int64):
        raise MalformedError("sums", expected="int32 or int64", actual=str(out.dtype))
    element = f"i{8 * out.itemsize}"
    code = _sum_code(table.element, element, bool((weights == 1).all()))
    kept = np.ascontiguousarray(weights.astype(out.dtype))  # modulo 2**32 where that is all that counts

    def kernel(addresses: npt.NDArray[np.uint64], columns: int, outputs: Sequence[npt.NDArray[Any]]) -> None:
        code(addresses.ctypes.data, used.size, columns, kept.ctypes.data, outputs[0].ctypes.data)

    over_columns(table.only(used), start, stop, (out,), kernel, types=[out.dtype], lanes=SUM_LANES)


def scaled_block(table: RowTable, start: int, stop: int, *, factors: Int32, out: Int16) -> None:
    """floorDiv(q * factor, 2**16) in columns [start, stop).

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
def _sum_code(element: str, sum_type: str, is_plain: bool) -> Callable[..., None]:
    code = Code(sum_text(element, sum_type, is_plain))
    return code.function("kernel", _POINTER, _INTEGER, _INTEGER, _POINTER, _POINTER)


@made_once
def _scale_code() -> Callable[..., None]:
    return Code(scale_text()).function("kernel", _POINTER, _INTEGER, _INTEGER, _POINTER, _POINTER, _INTEGER)


def sum_text(element: str, sum_type: str, is_plain: bool) -> str:
    """Module whose function `kernel` is `weighted_sum_block` over whole vectors; plain where all weights are 1."""
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
        after.store(sum_, wide, sum_type, "%out", after.let(f"add i64 %column, {part}"))
    phis = "\n".join(carried)
    return f"""
define void @kernel(ptr %rows, i64 %k, i64 %columns, ptr %weights, ptr %out) #0 {{
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
    product = step.let(f"mul nsw <32 x i32> {value}, {step.splat('%factor', 'i32', 32)}")
    floor = step.let(f"ashr <32 x i32> {product}, splat (i32 16)")
    step.store(step.let(f"trunc <32 x i32> {floor} to <32 x i16>"), "<32 x i16>", "i16", "%made", "%column")
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
