"""Rows where they lie: a table of their addresses, and kernels that go over a range of their columns.

Responsible for: what a kernel may take for granted (type, length, whole vectors of columns), and the last columns.
Must not know:   what any kernel computes.

A kernel always works on whole vectors.  Columns that don't fill one are copied into a small padded table, so nothing is
ever read or written beyond the end of a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from protocol.errors import LengthError, MalformedError
from protocol.fixedpoint import Int32

Rows = npt.NDArray[Any] | Sequence[npt.NDArray[Any]]
"""k one-dimensional arrays of one type and length d, each contiguous; a (k, d) matrix is such a sequence."""


@dataclass(frozen=True, slots=True, eq=False)
class RowTable:
    """Addresses of rows, and the rows, so that they live as long.  Nothing writes to them."""

    rows: tuple[npt.NDArray[Any], ...]
    """k rows of equal length."""

    addresses: npt.NDArray[np.uint64]
    """(k,) where the first column of each is."""

    @classmethod
    def of(cls, matrix: Rows) -> RowTable:
        """Raises: LengthError without rows or where their lengths differ, MalformedError for another type or layout."""
        rows: tuple[npt.NDArray[Any], ...] = tuple(matrix)
        if not rows:
            raise LengthError("rows", expected="at least one", actual=0)
        first = rows[0]
        if first.dtype not in (np.int16, np.int32):
            raise MalformedError("rows", expected="int16 or int32", actual=str(first.dtype))
        for row in rows:
            if row.ndim != 1 or row.dtype != first.dtype or not row.flags.c_contiguous or not row.flags.aligned:
                expected = f"a contiguous row of {first.dtype}"
                raise MalformedError("row", expected=expected, actual=f"{row.ndim} axes of {row.dtype}")
            if row.shape != first.shape:
                raise LengthError("row", expected=first.size, actual=row.size)
        addresses = np.array([row.__array_interface__["data"][0] for row in rows], dtype=np.uint64)
        return cls(rows, addresses)

    def only(self, chosen: npt.NDArray[np.int64]) -> RowTable:
        """The same with some of the rows, by index."""
        return RowTable(tuple(self.rows[index] for index in chosen), self.addresses[chosen])

    def padded(self, start: int, stop: int, lanes: int) -> RowTable:
        """A copy of columns [start, stop), with zeros behind them up to `lanes` columns."""
        copies = np.zeros((self.k, lanes), dtype=self.rows[0].dtype)
        for copy, row in zip(copies, self.rows, strict=True):
            copy[: stop - start] = row[start:stop]
        return RowTable.of(copies)

    @property
    def k(self) -> int:
        """How many rows."""
        return len(self.rows)

    @property
    def d(self) -> int:
        """How many columns."""
        return int(self.rows[0].size)

    @property
    def element(self) -> str:
        """LLVM's name of their type: i16 or i32."""
        return f"i{8 * self.rows[0].itemsize}"

    @property
    def lanes(self) -> int:
        """Columns in 64 bytes, the vector that kernels work on."""
        return 64 // int(self.rows[0].itemsize)


Kernel = Callable[[npt.NDArray[np.uint64], int, Sequence[npt.NDArray[Any]]], None]
"""Takes (k,) addresses, a number of columns that is a multiple of `lanes`, and where to write them."""


def over_columns(
    table: RowTable,
    start: int,
    stop: int,
    outputs: Sequence[npt.NDArray[Any]],
    kernel: Kernel,
    *,
    types: Sequence[npt.DTypeLike],
    lanes: int = 0,
) -> None:
    """The kernel over columns [start, stop).

    outputs: arrays (..., stop - start) whose last axis is contiguous; each is written whole.
    types:   what each of them has to be of, since machine code doesn't ask.
    lanes:   columns that the kernel takes at a time; the table's own where 0.
    Raises: LengthError for columns that the rows haven't got, or an output of another length, MalformedError for an
    output of another type or layout.
    """
    width = stop - start
    if not 0 <= start <= stop <= table.d:
        raise LengthError("columns", expected=f"a range in 0 to {table.d}", actual=f"{start} to {stop}")
    for output, dtype in zip(outputs, types, strict=True):
        if output.shape[-1] != width:
            raise LengthError("output", expected=f"{width} columns", actual=output.shape[-1])
        is_contiguous = width < 2 or output.strides[-1] == output.itemsize
        if output.dtype != dtype or not is_contiguous or not output.flags.writeable or not output.flags.aligned:
            expected = f"contiguous columns of {np.dtype(dtype)} to write to"
            raise MalformedError("output", expected=expected, actual=f"{output.dtype}, strides {output.strides}")
    lanes = lanes or table.lanes
    rest = width % lanes
    whole = width - rest
    if whole:
        kernel(table.addresses + np.uint64(start * table.rows[0].itemsize), whole, outputs)
    if rest:
        ends = [np.empty((*output.shape[:-1], lanes), dtype=output.dtype) for output in outputs]
        last = table.padded(stop - rest, stop, lanes)
        kernel(last.addresses, lanes, ends)
        for output, end in zip(outputs, ends, strict=True):
            output[..., whole:] = end[..., :rest]


def on_cache_lines(count: int) -> Int32:
    """(count,) int32, whatever was there, from the beginning of a cache line."""
    room = np.empty(count + 16, dtype=np.int32)
    skipped = -room.ctypes.data % 64 // 4
    return room[skipped : skipped + count]
