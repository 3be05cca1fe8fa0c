"""Ranked values of every coordinate, and their means: trimmed mean, median, mean around the median.

Responsible for: machine code that ranks columns in registers, for each number of rows and ranks; the values it keeps.
Must not know:   rules, slots, rows as a whole.

Each comparator of a pruned sorting network is two instructions (a smaller and a larger of two vectors), written out one
after the other; LLVM keeps what fits in registers.  Of many rows, groups
are sorted so, and a loop over a table of comparators merges them.  A coordinate costs the same whatever its values are.

Spec: docs/protocol.md (numbers), docs/decisions/0019-kernels.md.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from coordinator.enclave.rules.kernels.assembly import ATTRIBUTES, Lines, made_once, size_of
from coordinator.enclave.rules.kernels.mixing import MIX_LANES, MixLists, check_mix, mixed_kernel
from coordinator.enclave.rules.kernels.networks import Comparator, pruned_merges, pruned_network
from coordinator.enclave.rules.kernels.table import RowTable, over_columns
from protocol.errors import RangeError
from protocol.fixedpoint import Int32
from protocol.native import Code

MAX_WRITTEN_OUT = 128
"""Most rows whose network is written out; for more, LLVM takes seconds, and merged groups are as fast."""

GROUP = 64
"""Of more rows, as many as are sorted by a network that is written out, before a loop merges them."""

MAX_RANKED_ROWS = 2048
"""Most rows: a vector of each has to fit a thread's stack."""

Bounds = tuple[npt.NDArray[Any], npt.NDArray[Any]]
"""Smallest and largest value kept: two arrays (columns,) of the rows' type."""


def ranked_block(
    table: RowTable,
    start: int,
    stop: int,
    *,
    first: int,
    last: int,
    aggregate: Int32,
    bounds: Bounds | None = None,
    lists: MixLists | None = None,
    scale: int = 1,
) -> None:
    """Mean of the values of ranks first to last (from 0, both included) in columns [start, stop).

    aggregate: (stop - start,) written: floorDiv(2**15 * sum, (last - first + 1) * scale).
    bounds:    written: the values of rank first and rank last; not with `lists`.
    lists:     ranks the rows that these make of the table's, instead of the table's own.
    scale:     how many int16 values a ranked value is the sum of; 1 for rows as they came.
    Raises: RangeError, LengthError, MalformedError.
    """
    k, element = _what_is_ranked(table, lists)
    if not 0 <= first <= last < k:
        raise RangeError("ranks", expected=f"first <= last, in 0 to {k - 1}", actual=(first, last))
    code = _ranked_code(k, first, last, element, _sum_type(last - first + 1, scale), bounds is not None)
    _run(code, table, start, stop, (last - first + 1) * scale, aggregate, bounds, lists)


def window_block(
    table: RowTable,
    start: int,
    stop: int,
    *,
    count: int,
    aggregate: Int32,
    bounds: Bounds | None = None,
    lists: MixLists | None = None,
    scale: int = 1,
) -> None:
    """Mean of the `count` consecutive ranked values nearest the median in columns [start, stop); ties: the lower ones.

    With v ascending, x + y = v[(k - 1) // 2] + v[k // 2]: the window starts at 0, and at j + 1 for every j with
    v[j] + v[j + count] < x + y.  Arguments as for `ranked_block`.

    Raises: RangeError, LengthError, MalformedError.
    Source: Xie, Koyejo, Gupta, "Generalized Byzantine-tolerant SGD", 2018 (mean around median).
    """
    k, element = _what_is_ranked(table, lists)
    if not 1 <= count <= k:
        raise RangeError("values around the median", expected=f"1 to {k}", actual=count)
    code = _window_code(k, count, element, _sum_type(count, scale), bounds is not None)
    _run(code, table, start, stop, count * scale, aggregate, bounds, lists)


_Compiled = Callable[..., None]


def _what_is_ranked(table: RowTable, lists: MixLists | None) -> tuple[int, str]:
    """How many rows, and of which type."""
    if lists is not None:
        check_mix(table, lists)
    k, element = (table.k, table.element) if lists is None else (lists.made, "i32")
    if k > MAX_RANKED_ROWS:
        raise RangeError("rows to rank", expected=f"at most {MAX_RANKED_ROWS}", actual=k)
    return k, element


def _run(
    code: _Compiled,
    table: RowTable,
    start: int,
    stop: int,
    divisor: int,
    aggregate: Int32,
    bounds: Bounds | None,
    lists: MixLists | None,
) -> None:
    if lists is not None:
        if bounds is not None:
            raise RangeError("bounds of mixed rows", expected=None, actual="two arrays")
        kernel = mixed_kernel(lists, code, divisor)
        over_columns(table, start, stop, (aggregate,), kernel, types=[np.int32], lanes=MIX_LANES)
        return

    def ranked(addresses: npt.NDArray[np.uint64], columns: int, outputs: Sequence[npt.NDArray[Any]]) -> None:
        places = [output.ctypes.data for output in outputs] + [None, None]
        code(addresses.ctypes.data, columns, float(divisor), *places[:3])

    types = [np.dtype(np.int32), *[table.rows[0].dtype] * len(bounds or ())]
    lanes = lanes_of(table.k, table.element)
    over_columns(table, start, stop, (aggregate, *(bounds or ())), ranked, types=types, lanes=lanes)


def _sum_type(count: int, scale: int) -> str:
    """The integer that holds a sum of `count` values, each the sum of `scale` int16 values."""
    if not 1 <= count * scale < 1 << 23:
        raise RangeError("rows in a mean", expected="1 to 2**23 - 1, so that 2**15 * sum < 2**53", actual=count * scale)
    return "i32" if count * scale < 1 << 16 else "i64"


@made_once
def _ranked_code(k: int, first: int, last: int, element: str, sum_type: str, has_bounds: bool) -> _Compiled:
    return _compiled(ranked_text(k, first, last, element, sum_type, has_bounds))


@made_once
def _window_code(k: int, count: int, element: str, sum_type: str, has_bounds: bool) -> _Compiled:
    return _compiled(window_text(k, count, element, sum_type, has_bounds))


def _compiled(text: str) -> _Compiled:
    pointer = ctypes.c_void_p
    code = Code(text)
    return code.function("kernel", pointer, ctypes.c_int64, ctypes.c_double, pointer, pointer, pointer)


def ranked_text(k: int, first: int, last: int, element: str, sum_type: str, has_bounds: bool) -> str:
    """Module whose function `kernel` is `ranked_block` over whole vectors."""
    body = _Ranking(k, element, sum_type)
    body.rank(exact={first, last} if has_bounds else set(), loose=range(first, last + 1))
    sum_ = body.sum_of(range(first, last + 1))
    return body.module(sum_, (body.value(first), body.value(last)) if has_bounds else ())


def window_text(k: int, count: int, element: str, sum_type: str, has_bounds: bool) -> str:
    """Module whose function `kernel` is `window_block` over whole vectors.

    The window never starts above the lower median, and need not end below the upper one: where it could, all values
    between its start and the upper median are equal, and so are the windows.  So in each comparison v[j] <= x and
    v[j + count] >= y, and x - v[j] > v[j + count] - y compares unsigned numbers that fit the element.
    """
    x, y = (k - 1) // 2, k // 2
    lowest, highest = max(0, y - count), min(k - count, x)
    steps = range(lowest, highest)
    ends = {rank for j in steps for rank in (j, j + 1, j + count)}
    body = _Ranking(k, element, sum_type)
    body.rank(exact={x, y, lowest, lowest + count - 1} | ends, loose=range(highest, lowest + count))
    low, high = body.value(lowest), body.value(lowest + count - 1)
    sums = [body.sum_of(range(highest, lowest + count))]
    for j in steps:
        below, above = body.value(j), body.value(j + count)
        is_shifted = body.is_farther(below, body.value(x), body.value(y), above)
        sums.append(body.widened(body.choose(is_shifted, above, below)))
        low = body.choose(is_shifted, body.value(j + 1), low)
        high = body.choose(is_shifted, above, high)
    return body.module(body.total(sums, body.sums), (low, high) if has_bounds else ())


def lanes_of(k: int, element: str) -> int:
    """Columns that are ranked at a time: one vector, or two so that a loop waits less for its own last step."""
    return (64 if k <= MAX_WRITTEN_OUT else 128) // size_of(element)


class _Ranking(Lines):
    """One vector of columns: k values per lane, ranked, and what is kept of them."""

    def __init__(self, k: int, element: str, sum_type: str) -> None:
        super().__init__()
        self.element = element
        self.sum_type = sum_type
        self.lanes = lanes_of(k, element)
        self.vector = f"<{self.lanes} x {element}>"
        self.sums = f"<{self.lanes} x {sum_type}>"
        self.k = k
        self._wires: dict[int, str] = {}
        self._places: tuple[int, ...] = ()
        self._table: tuple[Comparator, ...] = ()

    def rank(self, *, exact: set[int], loose: range) -> None:
        """All comparators."""
        if self.k > MAX_WRITTEN_OUT:
            self._places, self._table = pruned_merges(self.k, GROUP, exact=exact, loose=loose)
            return
        for small, large, is_small_used, is_large_used in pruned_network(self.k, exact=exact, loose=loose):
            pair = f"({self.vector} {self.value(small)}, {self.vector} {self.value(large)})"
            if is_small_used:
                self._wires[small] = self.let(f"call {self.vector} @llvm.smin{pair}")
            if is_large_used:
                self._wires[large] = self.let(f"call {self.vector} @llvm.smax{pair}")

    def value(self, wire: int) -> str:
        """What the wire holds now."""
        value = self._wires.get(wire)
        if value is None:
            value = self._wires[wire] = self._from_tile(wire) if self._table else self._from_row(wire)
        return value

    def _from_row(self, wire: int) -> str:
        """The row of that number; the vector after the next one is asked for."""
        place = self.let(f"getelementptr ptr, ptr %rows, i64 {wire}")
        row = self.let(f"load ptr, ptr {place}")
        ahead = self.let(f"getelementptr {self.element}, ptr {row}, i64 %ahead")
        self.do(f"call void @llvm.prefetch(ptr {ahead}, i32 0, i32 3, i32 1)")
        return self.load(self.vector, self.element, row, "%column")

    def _from_tile(self, wire: int) -> str:
        place = self.let(f"getelementptr {self.vector}, ptr %tile, i64 {wire}")
        return self.let(f"load {self.vector}, ptr {place}, align 64")

    def is_farther(self, below: str, x: str, y: str, above: str) -> str:
        """Whether x - below > above - y, for below <= x and y <= above."""
        left = self.let(f"sub {self.vector} {x}, {below}")
        right = self.let(f"sub {self.vector} {above}, {y}")
        return self.let(f"icmp ugt {self.vector} {left}, {right}")

    def choose(self, condition: str, yes: str, no: str) -> str:
        """Lane by lane."""
        return self.let(f"select <{self.lanes} x i1> {condition}, {self.vector} {yes}, {self.vector} {no}")

    def widened(self, value: str) -> str:
        """A value as a sum of one."""
        if self.sum_type == self.element:
            return value
        return self.let(f"sext {self.vector} {value} to {self.sums}")

    def sum_of(self, wires: range) -> str:
        """The sum of what these wires hold."""
        if self._table:
            return self.let(f"call {self.sums} @sum(ptr %tile, i64 {wires.start}, i64 {wires.stop})")
        return self.total([self.widened(self.value(wire)) for wire in wires], self.sums)

    def module(self, sum_: str, bounds: Sequence[str]) -> str:
        """The function around it, which stores the mean that a sum gives, and the bounds."""
        divisors = self.splat("%divisor", "double", self.lanes)
        mean = self.quotient(sum_, self.sum_type, self.lanes, divisors)
        self.store(mean, f"<{self.lanes} x i32>", "i32", "%aggregate", "%column")
        for name, bound in zip(("%low", "%high"), bounds, strict=False):
            self.store(bound, self.vector, self.element, name, "%column")
        return f"""
define void @kernel(ptr %rows, i64 %columns, double %divisor, ptr %aggregate, ptr %low, ptr %high) #0 {{
entry:
%tile = alloca [{self.k if self._table else 0} x {self.vector}], align 64
br label %loop
loop:
%column = phi i64 [0, %entry], [%next, %ranked]
%next = add i64 %column, {self.lanes}
%ahead = add i64 %column, {2 * self.lanes}
{self._table_text() if self._table else "br label %ranked"}
ranked:
{self}
%more = icmp ult i64 %next, %columns
br i1 %more, label %loop, label %end
end:
ret void
}}
{self._tile_text() if self._table else ""}
{ATTRIBUTES}"""

    def _tile_text(self) -> str:
        """What the loops call and read."""
        wires = [wire for comparator in self._table for wire in comparator[:2]]
        sizes = {min(GROUP, self.k - group) for group in range(0, self.k, GROUP)}
        sorts = "".join(_sort_text(size, self.element) for size in sorted(sizes))
        return sorts + self._sum_text() + self._offsets("network", wires) + self._offsets("places", self._places)

    def _offsets(self, name: str, wires: Sequence[int]) -> str:
        """A table of where wires are in the tile, in bytes."""
        offsets = ", ".join(f"i32 {self.lanes * size_of(self.element) * wire}" for wire in wires)
        return f"@{name} = private constant [{len(wires)} x i32] [{offsets}]\n"

    def _sum_text(self) -> str:
        """Function `sum`: of the vectors of a tile from one wire up to another."""
        step = Lines()
        place = step.let(f"getelementptr {self.vector}, ptr %tile, i64 %r")
        value = step.let(f"load {self.vector}, ptr {place}, align 64")
        if self.sum_type != self.element:
            value = step.let(f"sext {self.vector} {value} to {self.sums}")
        return f"""
define internal {self.sums} @sum(ptr %tile, i64 %from, i64 %to) noinline #0 {{
entry:
br label %check
check:
%r = phi i64 [%from, %entry], [%r.next, %add]
%sum = phi {self.sums} [zeroinitializer, %entry], [%sum.next, %add]
%more = icmp ult i64 %r, %to
br i1 %more, label %add, label %end
add:
{step}
%sum.next = add {self.sums} %sum, {value}
%r.next = add i64 %r, 1
br label %check
end:
ret {self.sums} %sum
}}
"""

    def _table_text(self) -> str:
        """Calls that sort the groups into the tile, one vector after the other, and a loop that compares."""
        groups = [
            f"""
%first{group} = getelementptr ptr, ptr %rows, i64 {group}
%places{group} = getelementptr i32, ptr @places, i64 {group}
call void @sort{min(GROUP, self.k - group)}(ptr %first{group}, i64 %column, ptr %places{group}, ptr %tile)
call void @sort{min(GROUP, self.k - group)}(ptr %first{group}, i64 %column.right, ptr %places{group}, ptr %tile.right)
"""
            for group in range(0, self.k, GROUP)
        ]
        return f"""
%column.right = add i64 %column, {self.lanes // 2}
%tile.right = getelementptr i8, ptr %tile, i64 64
{"".join(groups)}
br label %compare
compare:
%c = phi i64 [0, %loop], [%c.next, %compare]
%c.place = getelementptr [2 x i32], ptr @network, i64 %c
%c.other = getelementptr i32, ptr %c.place, i64 1
%small = load i32, ptr %c.place
%large = load i32, ptr %c.other
%small.place = getelementptr i8, ptr %tile, i32 %small
%large.place = getelementptr i8, ptr %tile, i32 %large
%left = load {self.vector}, ptr %small.place, align 64
%right = load {self.vector}, ptr %large.place, align 64
%smaller = call {self.vector} @llvm.smin({self.vector} %left, {self.vector} %right)
%larger = call {self.vector} @llvm.smax({self.vector} %left, {self.vector} %right)
store {self.vector} %smaller, ptr %small.place, align 64
store {self.vector} %larger, ptr %large.place, align 64
%c.next = add i64 %c, 1
%c.more = icmp ult i64 %c.next, {len(self._table)}
br i1 %c.more, label %compare, label %ranked
"""


def _sort_text(k: int, element: str) -> str:
    """Function that sorts one vector of k rows into the places of a tile."""
    body = _Ranking(k, element, element)
    body.rank(exact=set(range(k)), loose=range(0))
    for wire in range(k):
        place = body.let(f"getelementptr i32, ptr %places, i64 {wire}")
        place = body.let(f"getelementptr i8, ptr %tile, i32 {body.let(f'load i32, ptr {place}')}")
        body.do(f"store {body.vector} {body.value(wire)}, ptr {place}, align 64")
    return f"""
define internal void @sort{k}(ptr %rows, i64 %column, ptr %places, ptr %tile) noinline #0 {{
%ahead = add i64 %column, {4 * body.lanes}
{body}
ret void
}}
"""
