"""Exact inner products of all pairs of int16 rows.

Responsible for: machine code that adds products up in 32 bits for as long as that is exact, and in 64 from there.
Must not know:   distances, rules, slots, Gram trees.

A block of columns of all rows is first packed, so that four rows lie side by side and each vector begins on a cache
line; then every pair of such fours is one tile of 16 sums in registers.  Each instruction multiplies 32 pairs of int16
and adds neighbours up (vpmaddwd, vpdpwssd).  The largest magnitudes of a block's rows say after how many vectors a sum
in 32 bits could overflow; it is added to 64 bits before that.

Spec: docs/protocol.md (numbers; Gram tree), docs/decisions/0019-kernels.md.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

import numpy as np

from coordinator.enclave.rules.kernels.assembly import ATTRIBUTES, Lines, made_once
from coordinator.enclave.rules.kernels.table import RowTable, on_cache_lines
from protocol.errors import LengthError, MalformedError, RangeError
from protocol.fixedpoint import Int64
from protocol.native import Code, each

_LANES = 32
_FOUR = 4  # rows in a tile's side: 16 sums, 4 + 1 vectors of rows, and 32 registers
_PANEL = 8  # tiles whose rows are used together while they are in the second-level cache, for many rows
_PARTS = 8  # of all columns, each with sums of its own
_CACHED_BYTES = 640 << 10  # of a second-level cache of 1 MiB


def gram(table: RowTable) -> Int64:
    """(k, k) int64: G[i, j] = sum over all columns of q_i * q_j.  |G| < 2**62 for d < 2**32.

    Raises: MalformedError for rows that aren't int16, RangeError for a value -32768, which no update has.
    """
    width = max(_LANES, -(-table.d // _PARTS // _LANES) * _LANES)
    parts = [(start, min(start + width, table.d)) for start in range(0, table.d, width)]
    sums = np.zeros((len(parts), table.k, table.k), dtype=np.int64)

    def work(part: int) -> None:
        sums[part] = gram_block(table, *parts[part])

    each(work, range(len(parts)))
    totals: Int64 = sums.sum(axis=0)
    return totals


def gram_block(table: RowTable, start: int, stop: int) -> Int64:
    """The same over columns [start, stop) only, on this thread; errors as for `gram`, and LengthError."""
    if table.element != "i16":
        raise MalformedError("rows", expected="int16", actual=table.element)
    if not 0 <= start <= stop <= table.d:
        raise LengthError("columns", expected=f"a range in 0 to {table.d}", actual=f"{start} to {stop}")
    fours = -(-table.k // _FOUR)
    sums = np.zeros((fours * _FOUR, fours * _FOUR), dtype=np.int64)
    rest = (stop - start) % _LANES
    largest = _add_products(table, start, stop - rest, sums)
    if rest:
        largest = max(largest, _add_products(table.padded(stop - rest, stop, _LANES), 0, _LANES, sums))
    if largest > _MAX_MAGNITUDE:
        raise RangeError("value of a row", expected=f"at most {_MAX_MAGNITUDE} in magnitude", actual=-largest)
    return np.ascontiguousarray(sums[: table.k, : table.k])


_MAX_MAGNITUDE = (1 << 15) - 1


def _add_products(table: RowTable, start: int, stop: int, sums: Int64) -> int:
    """Adds the products of whole vectors of columns to `sums`; returns the largest magnitude."""
    rows, vectors = sums.shape[0], (stop - start) // _LANES
    steps = min(vectors, max(128, min(256, _CACHED_BYTES // (rows * 2 * _LANES))))
    packed = on_cache_lines(rows * steps * _LANES // 2)
    maxima = np.zeros(rows + 1, dtype=np.uint32)
    pairs = _pairs(rows // _FOUR)
    again = np.repeat(table.addresses[-1:], rows - table.k)  # the last four is filled with its last row
    addresses = np.concatenate((table.addresses, again)) + np.uint64(2 * start)
    places = (array.ctypes.data for array in (packed, maxima, pairs, sums))
    _code()(addresses.ctypes.data, vectors, steps, *places, len(pairs), rows)
    return int(maxima[rows])


@cache
def _pairs(fours: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint32]]:
    """(pairs, 2) tiles of the upper half, panel by panel."""
    order = sorted(
        ((i, j) for i in range(fours) for j in range(i, fours)), key=lambda pair: (pair[0] // _PANEL, pair[1], pair[0])
    )
    return np.array(order, dtype=np.uint32)


@made_once
def _code() -> Callable[..., None]:
    pointer, integer = ctypes.c_void_p, ctypes.c_int64
    code = Code(products_text())
    return code.function("products", pointer, *[integer] * 2, *[pointer] * 4, *[integer] * 2)


def products_text() -> str:
    """Module whose function `products` packs block by block, does every tile, and then copies the lower half."""
    return f"""
define void @products(ptr %rows, i64 %vectors, i64 %steps, ptr %packed, ptr %maxima, ptr %pairs, ptr %sums,
                      i64 %count, i64 %width) #0 {{
entry:
%largest = getelementptr i32, ptr %maxima, i64 %width
%is_none = icmp eq i64 %vectors, 0
br i1 %is_none, label %end, label %block
block:
%done = phi i64 [0, %entry], [%done.next, %block.end]
%left = sub i64 %vectors, %done
%now = call i64 @llvm.umin(i64 %left, i64 %steps)
br label %row
row:
%r = phi i64 [0, %block], [%r.next, %row]
%r.place = getelementptr ptr, ptr %rows, i64 %r
%r.row = load ptr, ptr %r.place
%r.from = getelementptr <32 x i16>, ptr %r.row, i64 %done
%r.four = lshr i64 %r, 2
%r.in = and i64 %r, 3
%r.skip = mul i64 %r.four, %now
%r.skip4 = shl i64 %r.skip, 2
%r.index = add i64 %r.skip4, %r.in
%r.to = getelementptr <32 x i16>, ptr %packed, i64 %r.index
%r.max = call i32 @pack(ptr %r.from, ptr %r.to, i64 %now)
%r.maxima = getelementptr i32, ptr %maxima, i64 %r
store i32 %r.max, ptr %r.maxima
%old = load i32, ptr %largest
%new = call i32 @llvm.umax(i32 %old, i32 %r.max)
store i32 %new, ptr %largest
%r.next = add i64 %r, 1
%r.more = icmp ult i64 %r.next, %width
br i1 %r.more, label %row, label %pair
pair:
%p = phi i64 [0, %row], [%p.next, %pair]
%p.place = getelementptr [2 x i32], ptr %pairs, i64 %p
%i = load i32, ptr %p.place
%j.place = getelementptr i32, ptr %p.place, i64 1
%j = load i32, ptr %j.place
%i64 = zext i32 %i to i64
%j64 = zext i32 %j to i64
%i4 = shl i64 %i64, 2
%j4 = shl i64 %j64, 2
%i.max = call i64 @of_four(ptr %maxima, i64 %i4)
%j.max = call i64 @of_four(ptr %maxima, i64 %j4)
%product = mul i64 %i.max, %j.max
%twice = shl i64 %product, 1
%not.zero = call i64 @llvm.umax(i64 %twice, i64 1)
%exact = udiv i64 {(1 << 31) - 1}, %not.zero
%some = call i64 @llvm.umax(i64 %exact, i64 1)
%i.skip = mul i64 %i4, %now
%j.skip = mul i64 %j4, %now
%a = getelementptr <32 x i16>, ptr %packed, i64 %i.skip
%b = getelementptr <32 x i16>, ptr %packed, i64 %j.skip
%i.sums = mul i64 %i4, %width
%ij.sums = add i64 %i.sums, %j4
%to = getelementptr i64, ptr %sums, i64 %ij.sums
call void @tile(ptr %a, ptr %b, i64 %now, i64 %some, ptr %to, i64 %width)
%p.next = add i64 %p, 1
%p.more = icmp ult i64 %p.next, %count
br i1 %p.more, label %pair, label %block.end
block.end:
%done.next = add i64 %done, %now
%more = icmp ult i64 %done.next, %vectors
br i1 %more, label %block, label %line
line:
%m = phi i64 [0, %block.end], [%m.next, %line.end]
%m.next = add i64 %m, 1
%m.skip = mul i64 %m, %width
br label %mirror
mirror:
%n = phi i64 [0, %line], [%n.next, %mirror]
%n.skip = mul i64 %n, %width
%upper = add i64 %n.skip, %m
%lower = add i64 %m.skip, %n
%upper.place = getelementptr i64, ptr %sums, i64 %upper
%lower.place = getelementptr i64, ptr %sums, i64 %lower
%sum = load i64, ptr %upper.place
store i64 %sum, ptr %lower.place
%n.next = add i64 %n, 1
%n.more = icmp ult i64 %n.next, %m.next
br i1 %n.more, label %mirror, label %line.end
line.end:
%m.more = icmp ult i64 %m.next, %width
br i1 %m.more, label %line, label %end
end:
ret void
}}

define internal i64 @of_four(ptr %maxima, i64 %first) #0 {{
%place = getelementptr i32, ptr %maxima, i64 %first
%four = load <4 x i32>, ptr %place, align 4
%max = call i32 @llvm.vector.reduce.umax(<4 x i32> %four)
%wide = zext i32 %max to i64
ret i64 %wide
}}

define internal i32 @pack(ptr %from, ptr %to, i64 %vectors) #0 {{
entry:
br label %loop
loop:
%s = phi i64 [0, %entry], [%s.next, %loop]
%max = phi <32 x i16> [zeroinitializer, %entry], [%max.next, %loop]
%place = getelementptr <32 x i16>, ptr %from, i64 %s
%v = load <32 x i16>, ptr %place, align 2
%s4 = shl i64 %s, 2
%dest = getelementptr <32 x i16>, ptr %to, i64 %s4
store <32 x i16> %v, ptr %dest, align 64
%size = call <32 x i16> @llvm.abs(<32 x i16> %v, i1 false)
%max.next = call <32 x i16> @llvm.umax(<32 x i16> %max, <32 x i16> %size)
%s.next = add i64 %s, 1
%more = icmp ult i64 %s.next, %vectors
br i1 %more, label %loop, label %end
end:
%one = call i16 @llvm.vector.reduce.umax(<32 x i16> %max.next)
%wide = zext i16 %one to i32
ret i32 %wide
}}

{_tile_text()}
{ATTRIBUTES}"""


def _tile_text() -> str:
    """Function `tile`: adds the 16 inner products of two fours of packed rows to `sums`."""
    grid = [(r, c) for r in range(_FOUR) for c in range(_FOUR)]
    step, flush, finish = Lines(), Lines("f"), Lines("g")
    vectors = {
        (name, r): step.let(f"load <32 x i16>, ptr {_at(step, '<32 x i16>', f'%{name}.now', r)}, align 64")
        for name in "ab"
        for r in range(_FOUR)
    }
    wide = {key: step.let(f"sext <32 x i16> {vector} to <32 x i32>") for key, vector in vectors.items()}
    sums = {(r, c): _added(step, f"%sum.{r}.{c}", wide["a", r], wide["b", c]) for r, c in grid}
    for r, c in grid:
        low = flush.let(f"shufflevector <16 x i32> {sums[r, c]}, <16 x i32> poison, <8 x i32> {_mask(range(0, 8))}")
        high = flush.let(f"shufflevector <16 x i32> {sums[r, c]}, <16 x i32> poison, <8 x i32> {_mask(range(8, 16))}")
        longer = [flush.let(f"sext <8 x i32> {half} to <8 x i64>") for half in (low, high)]
        place = _at(flush, "<8 x i64>", "%wide", _FOUR * r + c)
        before = flush.let(f"load <8 x i64>, ptr {place}, align 64")
        flush.do(f"store <8 x i64> {flush.total([before, *longer], '<8 x i64>')}, ptr {place}, align 64")
    for r in range(_FOUR):
        skip = finish.let(f"mul i64 %width, {r}")
        for c in range(_FOUR):
            place = _at(finish, "<8 x i64>", "%wide", _FOUR * r + c)
            vector = finish.let(f"load <8 x i64>, ptr {place}, align 64")
            sum_ = finish.let(f"call i64 @llvm.vector.reduce.add(<8 x i64> {vector})")
            to = finish.let(f"getelementptr i64, ptr %sums, i64 {finish.let(f'add i64 {skip}, {c}')}")
            before = finish.let(f"load i64, ptr {to}")
            finish.do(f"store i64 {finish.let(f'add i64 {before}, {sum_}')}, ptr {to}")
    carried = "\n".join(
        f"%sum.{r}.{c} = phi <16 x i32> [zeroinitializer, %chunk], [{sums[r, c]}, %step]" for r, c in grid
    )
    return f"""
define internal void @tile(ptr %a, ptr %b, i64 %vectors, i64 %interval, ptr %sums, i64 %width) noinline #0 {{
entry:
%wide = alloca [16 x <8 x i64>], align 64
call void @llvm.memset(ptr align 64 %wide, i8 0, i64 1024, i1 false)
br label %chunk
chunk:
%s.first = phi i64 [0, %entry], [%s.next, %flush]
%s.end = add i64 %s.first, %interval
%s.stop = call i64 @llvm.umin(i64 %s.end, i64 %vectors)
br label %step
step:
%s = phi i64 [%s.first, %chunk], [%s.next, %step]
{carried}
%s4 = shl i64 %s, 2
%a.now = getelementptr <32 x i16>, ptr %a, i64 %s4
%b.now = getelementptr <32 x i16>, ptr %b, i64 %s4
{step}
%s.next = add i64 %s, 1
%more = icmp ult i64 %s.next, %s.stop
br i1 %more, label %step, label %flush
flush:
{flush}
%again = icmp ult i64 %s.next, %vectors
br i1 %again, label %chunk, label %finish
finish:
{finish}
ret void
}}
"""


def _at(lines: Lines, vector: str, base: str, index: int) -> str:
    return lines.let(f"getelementptr {vector}, ptr {base}, i64 {index}")


def _added(lines: Lines, sums: str, a: str, b: str) -> str:
    """16 sums plus the products of 32 pairs, neighbours added; in this form LLVM finds the one instruction for it."""
    products = lines.let(f"mul nsw <32 x i32> {a}, {b}")
    even, odd = (
        lines.let(f"shufflevector <32 x i32> {products}, <32 x i32> poison, <16 x i32> {_mask(lanes)}")
        for lanes in (range(0, _LANES, 2), range(1, _LANES, 2))
    )
    return lines.let(f"add <16 x i32> {lines.let(f'add <16 x i32> {even}, {odd}')}, {sums}")


def _mask(lanes: range) -> str:
    return "<" + ", ".join(f"i32 {lane}" for lane in lanes) + ">"
