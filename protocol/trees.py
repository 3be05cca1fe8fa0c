"""The five trees that a round commits to: row, set, column, Gram and model.

Responsible for: what is in each leaf, byte by byte, and the roots.
Must not know:   how aggregate and totals were computed (the rules) or who asks.

Spec: docs/protocol.md section 3.  Coordinates are little-endian, every other integer is big-endian.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256 as _sha256
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from protocol import merkle
from protocol.errors import LengthError, RangeError
from protocol.fixedpoint import Int16, Int32, Int64
from protocol.native import each
from protocol.native.sha256 import HASHLIB, Bytes, Hasher, Lines, hasher
from protocol.outcomes import Reason

Rows = Int16 | Sequence[Int16]
"""k rows of d coordinates by ascending slot: a (k, d) matrix, or k vectors that lie where they are."""
Part = TypeVar("Part")
Coordinate = TypeVar("Coordinate", bound=np.integer)

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
    return row_roots([row])[0]


def row_roots(rows: Rows) -> list[bytes]:
    """The update roots of several rows, on all processors; never called by what `protocol.native.each` runs."""
    return _chunk_roots(KIND_ROW, [_contiguous(row, "<i2") for row in rows])


def model_leaves(model: Int32) -> list[bytes]:
    """Data of the leaves of a model's tree: 256 int32 each, the last padded with zeros."""
    return _chunks(model, "<i4", ROW_LEAF)


def model_root(model: Int32) -> bytes:
    """The model root."""
    return _chunk_roots(KIND_MODEL, [_contiguous(model, "<i4")])[0]


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


TOTALS_DTYPE = np.dtype([("kept", ">u4"), ("deviation", ">u8"), ("alignment", ">i8")])
"""The totals of one slot in the 20 bytes that a column leaf has the hash of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Running totals of the counted slots over the leaves of the column tree: entry l covers leaves 0..l."""

    kept: npt.NDArray[np.uint32]
    """(L, k) coordinates kept."""
    deviation: npt.NDArray[np.uint64]
    """(L, k) squared distance from r."""
    alignment: Int64
    """(L, k) inner product with r."""

    def packed(self, leaves: slice) -> npt.NDArray[np.void]:
        """(leaves, k) of TOTALS_DTYPE: the bytes that these column leaves have the hashes of."""
        out = np.empty(self.kept[leaves].shape, dtype=TOTALS_DTYPE)
        out["kept"], out["deviation"], out["alignment"] = (
            self.kept[leaves],
            self.deviation[leaves],
            self.alignment[leaves],
        )
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnData:
    """A leaf of the column tree with what its two hashes are of.  Nothing here says that they are."""

    data: bytes
    """As it is hashed, 128 bytes."""
    columns: bytes
    """Each counted row's 16 coordinates, int16; 32 bytes a row."""
    totals: bytes
    """Each counted row's kept, deviation and alignment over leaves 0..l; 20 bytes a row."""


def column_data(rows: Rows, aggregate: Int32, totals: Totals) -> list[ColumnData]:
    """The column tree's leaves with their preimages.

    rows: k counted rows by ascending slot.  aggregate: (d,).  totals: (L, k), L = ceil(d / 16).
    Leaf l: SHA-256 of each row's 16 coordinates || SHA-256 of each row's (kept, deviation, alignment) over leaves
    0..l || the aggregate's 16 coordinates.  Past d all are zero.
    """
    k, d = _shape(rows)
    count = -(-d // COLUMN_LEAF)
    _check_totals(totals, aggregate, k, d)
    wide = np.zeros((k, count * COLUMN_LEAF), dtype="<i2")
    for line, row in zip(wide, rows, strict=True):
        line[:d] = row
    columns = np.ascontiguousarray(wide.reshape(k, count, COLUMN_LEAF).transpose(1, 0, 2)).tobytes()
    sums = totals.packed(slice(None)).tobytes()
    tail = _chunks(aggregate, "<i4", COLUMN_LEAF)
    c, s = k * COLUMN_LEAF * 2, k * TOTALS_DTYPE.itemsize
    return [column_leaf(columns[i * c : (i + 1) * c], sums[i * s : (i + 1) * s], tail[i]) for i in range(count)]


def column_leaf(columns: bytes, totals: bytes, aggregate: bytes) -> ColumnData:
    """The leaf of these columns, totals and 16 coordinates of the aggregate."""
    data = _sha256(columns).digest() + _sha256(totals).digest() + aggregate
    return ColumnData(data=data, columns=columns, totals=totals)


def column_leaves(rows: Rows, aggregate: Int32, totals: Totals) -> list[bytes]:
    """Data of the column tree's leaves, 128 bytes each; see `column_data`."""
    return [leaf.data for leaf in column_data(rows, aggregate, totals)]


class ColumnTree:
    """The column tree, made block by block of leaves: beside its rows it keeps one hash for each block.

    Blocks may be put in any order and by several threads at once.  Each is a whole subtree, because it has a power of
    two of leaves (RFC 9162, section 2.1.1, splits at the largest one).
    """

    def __init__(self, rows: Rows, aggregate: Int32) -> None:
        """rows: k counted rows by ascending slot; contiguous ones are not copied.  aggregate: (d,)."""
        k, d = _shape(rows)
        if aggregate.shape != (d,):
            raise LengthError("shape of the aggregate", expected=(d,), actual=aggregate.shape)
        self.size = -(-d // COLUMN_LEAF)
        """Number of leaves."""
        self.block_leaves = 1 << max(4, (_BLOCK_BYTES // (k * _LEAF_BYTES_PER_ROW)).bit_length() - 1)
        """Leaves of a block; of the last one as many as are left."""
        self.lines = Lines([_contiguous(row, "<i2") for row in rows])
        """The rows."""
        self.aggregate: Int32 = _contiguous(aggregate, "<i4")
        """(d,)"""
        self.hasher = hasher(self.size * k * _LEAF_BYTES_PER_ROW)
        """What hashes it."""
        step = self.block_leaves
        self.blocks = [slice(start, min(start + step, self.size)) for start in range(0, self.size, step)]
        """The leaves of each block."""
        self._nodes = np.zeros((len(self.blocks), 32), dtype=np.uint8)
        self._is_put = np.zeros(len(self._nodes), dtype=np.bool_)

    def put(self, block: int, totals: npt.NDArray[np.void]) -> None:
        """totals: (leaves of the block, k) of TOTALS_DTYPE, running over all leaves from the first one of the tree."""
        leaves = self.blocks[block]
        count, k = leaves.stop - leaves.start, len(self.lines)
        if totals.shape != (count, k) or totals.dtype != TOTALS_DTYPE:
            raise LengthError("shape of a block's totals", expected=(count, k), actual=totals.shape)
        whole = min(leaves.stop, len(self.aggregate) // COLUMN_LEAF) - leaves.start
        columns = self.hasher.columns(self.lines, leaves.start, whole)
        aggregate = self.aggregate[leaves.start * COLUMN_LEAF : leaves.stop * COLUMN_LEAF].view(np.uint8)
        if whole < count:  # the last leaf of the tree, which zeros fill up
            columns = np.concatenate([columns, self.hasher.joined([self._last_column()])])
            aggregate = _padded(aggregate, count * COLUMN_LEAF * 4)
        sums = np.ascontiguousarray(totals).view(np.uint8).reshape(count, k * TOTALS_DTYPE.itemsize)
        parts = [columns, self.hasher.joined([sums]), aggregate.reshape(count, COLUMN_LEAF * 4)]
        root = self.hasher.root(self.hasher.joined(parts, bytes([0, KIND_COLUMN])))
        self._nodes[block] = np.frombuffer(root, dtype=np.uint8)
        self._is_put[block] = True

    def root(self) -> bytes:
        """The column root, once every block is there; raises LengthError before."""
        if not self._is_put.all():
            raise LengthError("blocks of a column tree", expected=len(self._nodes), actual=int(self._is_put.sum()))
        return merkle.root(self._nodes)

    def _last_column(self) -> Bytes:
        """(1, 32 * k) what the last leaf has of every row, with zeros past d."""
        start = len(self.aggregate) // COLUMN_LEAF * COLUMN_LEAF * 2
        return np.concatenate([_padded(array[start:], COLUMN_LEAF * 2) for array in self.lines.arrays])[None]


def column_root(rows: Rows, aggregate: Int32, totals: Totals) -> bytes:
    """The column root, on all processors; never called by what `protocol.native.each` runs."""
    _check_totals(totals, aggregate, *_shape(rows))
    tree = ColumnTree(rows, aggregate)
    blocks = tree.blocks
    _run(tree.hasher, lambda block: tree.put(block, totals.packed(blocks[block])), range(len(blocks)))
    return tree.root()


Products = Callable[[int, int], Int64]
"""(k, k) int64: the exact inner products of all rows over coordinates start to stop - 1."""


def gram_leaves(rows: Rows) -> list[bytes]:
    """Data of the Gram tree's leaves, 8 * k bytes each, of which the last k are the Gram matrix.

    rows: k counted rows by ascending slot.  Leaf c * k + j holds the j-th row's inner products with every row (int64),
    accumulated over chunks 0..c of 4096 coordinates.
    """
    return [line.tobytes() for sums in _running_products(rows, None) for line in sums]


def gram_root(rows: Rows, products: Products | None = None) -> bytes:
    """The Gram root, on all processors; never called by what `protocol.native.each` runs.

    products: what computes the products of a chunk, on several threads at once; NumPy where there is none.
    """
    k, d = _shape(rows)
    hashing = hasher(-(-d // GRAM_CHUNK) * k * k * 8)
    hashes = [
        hashing.joined([sums.view(np.uint8)], bytes([0, KIND_GRAM])) for sums in _running_products(rows, products)
    ]
    return hashing.root(np.concatenate(hashes))


def _running_products(rows: Rows, products: Products | None) -> Iterator[npt.NDArray[np.int64]]:
    """Lines of several chunks at a time, (chunks * k, k) big-endian, accumulated from the first chunk."""
    k, d = _shape(rows)
    total = np.zeros((k, k), dtype=np.int64)
    span = max(1, _GRAM_SPAN_BYTES // (8 * k * k)) * GRAM_CHUNK
    for first in range(0, d, span):
        starts = range(first, min(first + span, d), GRAM_CHUNK)
        sums = np.empty((len(starts), k, k), dtype=np.int64)
        if products is None:
            for chunk, start in enumerate(starts):  # NumPy's matrix product has threads of its own
                sums[chunk] = _exact_products(rows, start, start + GRAM_CHUNK)
        else:
            _multiply(products, starts, d, sums)
        sums[0] += total
        np.cumsum(sums, axis=0, out=sums)
        total = sums[-1]
        yield sums.astype(">i8").reshape(-1, k)


def _multiply(products: Products, starts: range, d: int, sums: Int64) -> None:
    """(chunks, k, k) sums: the products of each chunk."""

    def work(chunk: int) -> None:
        sums[chunk] = products(starts[chunk], min(starts[chunk] + GRAM_CHUNK, d))

    each(work, range(len(starts)))


def _exact_products(rows: Rows, start: int, stop: int) -> Int64:
    """Exact: |product| <= 2**30, and float64 adds 4096 of them exactly (2**42 < 2**53)."""
    block = np.stack([row[start:stop] for row in rows]).astype(np.float64)
    return (block @ block.T).astype(np.int64)


_SUBTREE = 1 << 11
"""Leaves of a row or model that one thread hashes at a time: a whole subtree."""
_BLOCK_BYTES = 1 << 21
"""Of rows and totals in a block of the column tree: what a processor's own cache holds."""
_LEAF_BYTES_PER_ROW = COLUMN_LEAF * 2 + TOTALS_DTYPE.itemsize
_GRAM_SPAN_BYTES = 1 << 23
"""Of inner products that are there at the same time."""


def _run(hashing: Hasher, work: Callable[[Part], None], parts: Sequence[Part]) -> None:
    """`work` on every part, by threads where they help: hashlib holds Python's lock for short messages."""
    if hashing is HASHLIB:
        for part in parts:
            work(part)
    else:
        each(work, parts)


def _chunk_roots(kind: int, vectors: Sequence[npt.NDArray[np.integer]]) -> list[bytes]:
    """Roots of trees with 256 coordinates in a leaf, the last padded with zeros."""
    data = [vector.view(np.uint8) for vector in vectors]
    widths = [ROW_LEAF * vector.itemsize for vector in vectors]
    hashing = hasher(sum(map(len, data)))
    sizes = [-(-len(array) // width) for array, width in zip(data, widths, strict=True)]
    nodes = [np.empty((-(-size // _SUBTREE), 32), dtype=np.uint8) for size in sizes]

    def work(part: tuple[int, int]) -> None:
        vector, subtree = part
        width = widths[vector]
        taken = data[vector][subtree * _SUBTREE * width : (subtree + 1) * _SUBTREE * width]
        whole = len(taken) // width * width
        hashes = hashing.joined([taken[:whole].reshape(-1, width)], bytes([0, kind]))
        if whole < len(taken):
            last = _padded(taken[whole:], width)[None]
            hashes = np.concatenate([hashes, hashing.joined([last], bytes([0, kind]))])
        nodes[vector][subtree] = np.frombuffer(hashing.root(hashes), dtype=np.uint8)

    _run(hashing, work, [(vector, subtree) for vector, made in enumerate(nodes) for subtree in range(len(made))])
    return [merkle.root(made) for made in nodes]


def _shape(rows: Rows) -> tuple[int, int]:
    """(k, d); raises LengthError where rows differ in length."""
    lengths = {len(row) for row in rows}
    if len(lengths) != 1:
        raise LengthError("lengths of the rows", expected="one length", actual=sorted(lengths))
    return len(rows), lengths.pop()


def _check_totals(totals: Totals, aggregate: Int32, k: int, d: int) -> None:
    count = -(-d // COLUMN_LEAF)
    shapes = (totals.kept.shape, totals.deviation.shape, totals.alignment.shape, aggregate.shape)
    if shapes != ((count, k), (count, k), (count, k), (d,)):
        raise LengthError("shapes of totals and aggregate", expected=((count, k), (d,)), actual=shapes)


def _contiguous(values: npt.NDArray[Coordinate], dtype: str) -> npt.NDArray[Coordinate]:
    """The same values as a contiguous little-endian vector; themselves where they are one."""
    return np.ascontiguousarray(values.astype(dtype, casting="equiv", copy=False))


def _padded(data: Bytes, size: int) -> Bytes:
    """The bytes and zeros after them, `size` in all."""
    return np.concatenate([data, np.zeros(size - len(data), dtype=np.uint8)])


def _chunks(values: npt.NDArray[np.integer], dtype: str, size: int) -> list[bytes]:
    count = -(-len(values) // size)
    data = values.astype(dtype, casting="equiv", copy=False).tobytes()
    width = size * np.dtype(dtype).itemsize
    data = data.ljust(count * width, b"\0")
    return [data[start : start + width] for start in range(0, len(data), width)]


def _root(kind: int, leaves: Sequence[bytes]) -> bytes:
    return merkle.root([merkle.leaf_hash(kind, leaf) for leaf in leaves])
