"""The five trees that a round commits to: row, set, column, Gram and model.

Responsible for: what is in each leaf, byte by byte, and the roots.
Must not know:   how aggregate and totals were computed (the rules) or who asks.

Spec: docs/protocol.md section 3.  Coordinates are little-endian, every other integer is big-endian.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256 as _sha256

import numpy as np
import numpy.typing as npt

from protocol import merkle
from protocol.errors import LengthError, RangeError
from protocol.fixedpoint import Int16, Int32, Int64
from protocol.outcomes import Reason

KIND_ROW, KIND_SET, KIND_COLUMN, KIND_GRAM, KIND_MODEL = 1, 2, 3, 4, 5

ROW_LEAF = 256
"""Coordinates in a leaf of a row tree or a model tree."""
COLUMN_LEAF = 16
"""Coordinates in a leaf of the column tree."""
GRAM_CHUNK = 4096
"""Coordinates by which the inner products of the Gram tree grow."""
SET_LEAF_COUNTED_BYTES = 32 + 4 + 65
SET_LEAF_OTHER_BYTES = 32 + 1


def row_leaves(row: Int16) -> list[bytes]:
    """Data of the leaves of an update's tree: 256 int16 each, the last padded with zeros."""
    return _chunks(row, "<i2", ROW_LEAF)


def row_root(row: Int16) -> bytes:
    """The update root."""
    return _root(KIND_ROW, row_leaves(row))


def model_leaves(model: Int32) -> list[bytes]:
    """Data of the leaves of a model's tree: 256 int32 each, the last padded with zeros."""
    return _chunks(model, "<i4", ROW_LEAF)


def model_root(model: Int32) -> bytes:
    """The model root."""
    return _root(KIND_MODEL, model_leaves(model))


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLeaf:
    """What was received of one slot."""

    update_root: bytes = bytes(32)
    """Root of the row, 32 bytes; zero where nothing is counted."""
    samples: int = 0
    """Samples signed; uint32."""
    signature: bytes = b""
    """The participant's, over its Update; 65 bytes where counted, else empty."""
    reason: Reason = Reason.NONE
    """Why it is not counted."""

    def __post_init__(self) -> None:
        if len(self.update_root) != 32 or len(self.signature) not in (0, 65):
            sizes = (len(self.update_root), len(self.signature))
            raise LengthError("root and signature of a set leaf", expected="32, and 0 or 65", actual=sizes)
        if not 0 <= self.samples < 1 << 32:
            raise RangeError("samples of a set leaf", expected="uint32", actual=self.samples)
        if self.is_counted and self.reason != Reason.NONE:
            raise RangeError("reason of a counted set leaf", expected=0, actual=self.reason)
        if not self.is_counted and (self.samples or any(self.update_root)):
            raise RangeError("a set leaf that is not counted", expected="a reason only", actual=self.update_root)

    @property
    def is_counted(self) -> bool:
        """Whether the slot's update is in."""
        return bool(self.signature)

    def encode(self) -> bytes:
        """Counted: root (32) || samples (4) || signature (65).  Any other: 32 zero bytes || reason (1)."""
        if self.is_counted:
            return self.update_root + self.samples.to_bytes(4) + self.signature
        return bytes(32) + bytes([self.reason])


def parse_set_leaf(data: bytes) -> SetLeaf:
    """The set leaf in `data`; raises LengthError or RangeError."""
    if len(data) == SET_LEAF_COUNTED_BYTES:
        return SetLeaf(update_root=data[:32], samples=int.from_bytes(data[32:36]), signature=data[36:])
    if len(data) != SET_LEAF_OTHER_BYTES:
        expected = f"{SET_LEAF_COUNTED_BYTES} or {SET_LEAF_OTHER_BYTES}"
        raise LengthError("length of a set leaf", expected=expected, actual=len(data))
    if any(data[:32]) or data[32] > max(Reason):
        raise RangeError("a set leaf that is not counted", expected="32 zero bytes and a reason", actual=data)
    return SetLeaf(reason=Reason(data[32]))


def set_root(leaves: Sequence[bytes]) -> bytes:
    """Root over the encoded set leaves, one per slot of the cohort."""
    return _root(KIND_SET, leaves)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Running totals of the counted slots over the leaves of the column tree: entry l covers leaves 0..l."""

    kept: npt.NDArray[np.uint32]
    """(L, k) coordinates kept."""
    deviation: npt.NDArray[np.uint64]
    """(L, k) squared distance from r."""
    alignment: Int64
    """(L, k) inner product with r."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnData:
    """A leaf of the column tree with what its two hashes are of.  Nothing here says that they are."""

    data: bytes
    """As it is hashed, 128 bytes."""
    columns: bytes
    """Each counted row's 16 coordinates, int16; 32 bytes a row."""
    totals: bytes
    """Each counted row's kept, deviation and alignment over leaves 0..l; 20 bytes a row."""


TOTALS_DTYPE = np.dtype([("kept", ">u4"), ("deviation", ">u8"), ("alignment", ">i8")])
"""The totals of one slot in the 20 bytes that a column leaf has the hash of."""


def column_data(rows: Int16, aggregate: Int32, totals: Totals) -> list[ColumnData]:
    """The column tree's leaves with their preimages.

    rows: (k, d) the counted rows by ascending slot.  aggregate: (d,).  totals: (L, k), L = ceil(d / 16).
    Leaf l: SHA-256 of each row's 16 coordinates || SHA-256 of each row's (kept, deviation, alignment) over leaves
    0..l || the aggregate's 16 coordinates.  Past d all are zero.
    """
    k, d = rows.shape
    count = -(-d // COLUMN_LEAF)
    shapes = (totals.kept.shape, totals.deviation.shape, totals.alignment.shape, aggregate.shape)
    if shapes != ((count, k), (count, k), (count, k), (d,)):
        raise LengthError("shapes of totals and aggregate", expected=((count, k), (d,)), actual=shapes)
    wide = np.zeros((k, count * COLUMN_LEAF), dtype="<i2")
    wide[:, :d] = rows
    columns = np.ascontiguousarray(wide.reshape(k, count, COLUMN_LEAF).transpose(1, 0, 2)).tobytes()
    packed = np.empty((count, k), dtype=TOTALS_DTYPE)
    packed["kept"], packed["deviation"], packed["alignment"] = totals.kept, totals.deviation, totals.alignment
    sums = packed.tobytes()
    tail = _chunks(aggregate, "<i4", COLUMN_LEAF)
    c, s = k * COLUMN_LEAF * 2, k * packed.dtype.itemsize
    return [column_leaf(columns[i * c : (i + 1) * c], sums[i * s : (i + 1) * s], tail[i]) for i in range(count)]


def column_leaf(columns: bytes, totals: bytes, aggregate: bytes) -> ColumnData:
    """The leaf of these columns, totals and 16 coordinates of the aggregate."""
    data = _sha256(columns).digest() + _sha256(totals).digest() + aggregate
    return ColumnData(data=data, columns=columns, totals=totals)


def column_leaves(rows: Int16, aggregate: Int32, totals: Totals) -> list[bytes]:
    """Data of the column tree's leaves, 128 bytes each; see `column_data`."""
    return [leaf.data for leaf in column_data(rows, aggregate, totals)]


def column_root(rows: Int16, aggregate: Int32, totals: Totals) -> bytes:
    """The column root."""
    return _root(KIND_COLUMN, column_leaves(rows, aggregate, totals))


def gram_leaves(rows: Int16) -> list[bytes]:
    """Data of the Gram tree's leaves, 8 * k bytes each, of which the last k are the Gram matrix.

    rows: (k, d) the counted rows by ascending slot.  Leaf c * k + j holds the j-th row's inner products with every
    row (int64), accumulated over chunks 0..c of 4096 coordinates.  Exact: |product| < 2**30 and float64 adds
    4096 of them exactly (2**42 < 2**53).
    """
    k, d = rows.shape
    sums = np.zeros((k, k), dtype=np.int64)
    leaves: list[bytes] = []
    for start in range(0, d, GRAM_CHUNK):
        block = rows[:, start : start + GRAM_CHUNK].astype(np.float64)
        sums += (block @ block.T).astype(np.int64)
        leaves.extend(line.tobytes() for line in sums.astype(">i8"))
    return leaves


def gram_root(rows: Int16) -> bytes:
    """The Gram root."""
    return _root(KIND_GRAM, gram_leaves(rows))


def _chunks(values: npt.NDArray[np.integer], dtype: str, size: int) -> list[bytes]:
    count = -(-len(values) // size)
    data = values.astype(dtype, casting="equiv", copy=False).tobytes()
    width = size * np.dtype(dtype).itemsize
    data = data.ljust(count * width, b"\0")
    return [data[start : start + width] for start in range(0, len(data), width)]


def _root(kind: int, leaves: Sequence[bytes]) -> bytes:
    return merkle.root([merkle.leaf_hash(kind, leaf) for leaf in leaves])
