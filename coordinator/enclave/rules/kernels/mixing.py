"""Rows made of other rows: each the sum of a list of them.

Responsible for: the lists, machine code that adds up, and that passes on what it made while that is in the cache.
Must not know:   who is whose neighbour, what is done with the rows it makes.

Spec: docs/protocol.md (numbers), docs/decisions/0019-kernels.md.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from coordinator.enclave.rules.kernels.assembly import ATTRIBUTES, Lines, made_once
from coordinator.enclave.rules.kernels.table import Kernel, RowTable, on_cache_lines, over_columns
from protocol.errors import LengthError, MalformedError
from protocol.fixedpoint import Int32
from protocol.native import Code

MIX_LANES = 32
"""Columns that are mixed at a time: 50 rows widened to 32 bits and 50 made are 12.5 KiB of the first-level cache."""


@dataclass(frozen=True, slots=True, eq=False)
class MixLists:
    """For each row to make, which rows are added up: by those that are, or by those that aren't if these are fewer."""

    offsets: npt.NDArray[np.int64]
    """(made + 1,) where each list begins in `indices`."""

    indices: npt.NDArray[np.int64]
    """Rows of all lists, list after list."""

    is_complement: npt.NDArray[np.bool_]
    """(made,) whether the list names the rows that are left out."""

    k: int
    """How many rows there are to add up."""

    @classmethod
    def of(cls, members: npt.NDArray[np.bool_]) -> MixLists:
        """members: (made, k), whether a row is added to the one that is made."""
        k = members.shape[1]
        is_complement = 2 * members.sum(axis=1) > k
        listed = members != is_complement[:, None]
        offsets = np.concatenate(([0], np.cumsum(listed.sum(axis=1)))).astype(np.int64)
        return cls(offsets, np.nonzero(listed)[1].astype(np.int64), is_complement, k)

    @property
    def made(self) -> int:
        """How many rows are made."""
        return int(self.is_complement.size)


def mix_block(table: RowTable, start: int, stop: int, *, lists: MixLists, out: Int32) -> None:
    """Sums over lists of int16 rows in columns [start, stop); below 2**31 for up to 2**16 rows.

    out: (made, stop - start) written; only its last axis needs to be contiguous.
    Raises: LengthError, MalformedError.
    """
    check_mix(table, lists)
    if out.ndim != 2 or out.shape[0] != lists.made:
        raise LengthError("rows made", expected=lists.made, actual=out.shape)
    before = _MixArguments(lists)

    def kernel(addresses: npt.NDArray[np.uint64], columns: int, outputs: Sequence[npt.NDArray[Any]]) -> None:
        made = outputs[0]
        _mix_code()(addresses.ctypes.data, 0, columns, *before.values, made.ctypes.data, made.strides[0] // 4)

    over_columns(table, start, stop, (out,), kernel, types=[np.int32], lanes=MIX_LANES)


def mixed_kernel(lists: MixLists, then: Callable[..., None], divisor: int) -> Kernel:
    """A kernel that makes rows and gives each MIX_LANES columns of them to `then`, whose arguments are as in ranking.

    Its one output is an aggregate, (columns,) int32.
    """
    before = _MixArguments(lists)
    made = on_cache_lines(lists.made * MIX_LANES)
    places = RowTable.of(made.reshape(lists.made, MIX_LANES)).addresses
    address = ctypes.cast(then, ctypes.c_void_p).value  # type: ignore[arg-type]  # made by ctypes, as all code is

    def kernel(addresses: npt.NDArray[np.uint64], columns: int, outputs: Sequence[npt.NDArray[Any]]) -> None:
        after = (made.ctypes.data, places.ctypes.data, address, float(divisor), outputs[0].ctypes.data)
        _mixed_code()(addresses.ctypes.data, 0, columns, *before.values, *after)

    return kernel


def check_mix(table: RowTable, lists: MixLists) -> None:
    """Raises: LengthError for lists of other rows, MalformedError for rows that are not int16."""
    if lists.k != table.k:
        raise LengthError("rows to mix", expected=lists.k, actual=table.k)
    if table.element != "i16":
        raise MalformedError("rows to mix", expected="int16", actual=table.element)


class _MixArguments:
    """What the machine code is told about the lists, and room to work in; not to be shared by threads."""

    def __init__(self, lists: MixLists) -> None:
        self._arrays = (
            lists.offsets,
            lists.indices,
            -lists.is_complement.astype(np.int32),
            on_cache_lines((lists.k + 1) * MIX_LANES),
        )
        self.values = (lists.k, lists.made, *(array.ctypes.data for array in self._arrays))


@made_once
def _code() -> Code:
    return Code(mix_text())


_LISTS = (ctypes.c_void_p, *[ctypes.c_int64] * 4, *[ctypes.c_void_p] * 4)


@made_once
def _mix_code() -> Callable[..., None]:
    return _code().function("mix", *_LISTS, ctypes.c_void_p, ctypes.c_int64)


@made_once
def _mixed_code() -> Callable[..., None]:
    pointer = ctypes.c_void_p
    return _code().function("mix_then", *_LISTS, pointer, pointer, pointer, ctypes.c_double, pointer)


def mix_text() -> str:
    """Module with `mix`, which is `mix_block` over whole vectors, and `mix_then`, which passes on what it makes.

    All rows are widened into `room` first, their sum behind them; so a list costs one addition for each row in it.
    """
    lanes = MIX_LANES
    wide = f"<{lanes} x i32>"
    widen, finish = Lines(), Lines("f")
    value = widen.let(f"sext <{lanes} x i16> {widen.load(f'<{lanes} x i16>', 'i16', '%row', '%column')} to {wide}")
    widen.do(f"store {wide} {value}, ptr %r.room, align 64")
    mask = finish.splat("%mask", "i32", lanes)
    total = finish.let(f"and {wide} {finish.let(f'load {wide}, ptr %total, align 64')}, {mask}")
    negative = finish.let(f"sub {wide} {finish.let(f'xor {wide} %sum.all, {mask}')}, {mask}")
    finish.store(finish.let(f"add {wide} {total}, {negative}"), wide, "i32", "%made", "%made.column")
    return f"""
define void @mix(ptr %rows, i64 %from, i64 %to, i64 %k, i64 %count, ptr %offsets, ptr %indices, ptr %masks, ptr %room,
                 ptr %out, i64 %stride) #0 {{
entry:
%total = getelementptr {wide}, ptr %room, i64 %k
br label %loop
loop:
%column = phi i64 [%from, %entry], [%next, %made.end]
%next = add i64 %column, {lanes}
%ahead = add i64 %next, {lanes}
br label %row.each
row.each:
%r = phi i64 [0, %loop], [%r.next, %row.each]
%all = phi {wide} [zeroinitializer, %loop], [%all.next, %row.each]
%place = getelementptr ptr, ptr %rows, i64 %r
%row = load ptr, ptr %place
%r.room = getelementptr {wide}, ptr %room, i64 %r
{widen}
%r.ahead = getelementptr i16, ptr %row, i64 %ahead
call void @llvm.prefetch(ptr %r.ahead, i32 0, i32 3, i32 1)
%all.next = add {wide} %all, {value}
%r.next = add i64 %r, 1
%r.more = icmp ult i64 %r.next, %k
br i1 %r.more, label %row.each, label %row.end
row.end:
%made.column = sub i64 %column, %from
store {wide} %all.next, ptr %total, align 64
br label %make
make:
%m = phi i64 [0, %row.end], [%m.next, %list.end]
%m.offset = getelementptr i64, ptr %offsets, i64 %m
%m.next = add i64 %m, 1
%m.offset.next = getelementptr i64, ptr %offsets, i64 %m.next
%first = load i64, ptr %m.offset
%last = load i64, ptr %m.offset.next
%is.empty = icmp eq i64 %first, %last
br i1 %is.empty, label %list.end, label %list
list:
%l = phi i64 [%first, %make], [%l.next, %list]
%sum = phi {wide} [zeroinitializer, %make], [%sum.next, %list]
%l.place = getelementptr i64, ptr %indices, i64 %l
%index = load i64, ptr %l.place
%l.room = getelementptr {wide}, ptr %room, i64 %index
%term = load {wide}, ptr %l.room, align 64
%sum.next = add {wide} %sum, %term
%l.next = add i64 %l, 1
%l.more = icmp ult i64 %l.next, %last
br i1 %l.more, label %list, label %list.end
list.end:
%sum.all = phi {wide} [zeroinitializer, %make], [%sum.next, %list]
%mask.place = getelementptr i32, ptr %masks, i64 %m
%mask = load i32, ptr %mask.place
%skip = mul i64 %m, %stride
%made = getelementptr i32, ptr %out, i64 %skip
{finish}
%m.more = icmp ult i64 %m.next, %count
br i1 %m.more, label %make, label %made.end
made.end:
%more = icmp ult i64 %next, %to
br i1 %more, label %loop, label %end
end:
ret void
}}

define void @mix_then(ptr %rows, i64 %from, i64 %to, i64 %k, i64 %count, ptr %offsets, ptr %indices, ptr %masks,
                      ptr %room, ptr %made, ptr %places, ptr %then, double %divisor, ptr %aggregate) #0 {{
entry:
br label %loop
loop:
%column = phi i64 [%from, %entry], [%next, %loop]
%next = add i64 %column, {lanes}
call void @mix(ptr %rows, i64 %column, i64 %next, i64 %k, i64 %count, ptr %offsets, ptr %indices, ptr %masks, ptr %room,
               ptr %made, i64 {lanes})
%now = getelementptr i32, ptr %aggregate, i64 %column
call void %then(ptr %places, i64 {lanes}, double %divisor, ptr %now, ptr null, ptr null)
%more = icmp ult i64 %next, %to
br i1 %more, label %loop, label %end
end:
ret void
}}
{ATTRIBUTES}"""
