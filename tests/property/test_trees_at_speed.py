"""Whatever hashes trees and adds totals up, in blocks of any size: the bytes and integers of the definitions."""

from __future__ import annotations

import platform
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from coordinator.enclave.rules.kernels import totals as kernel
from coordinator.enclave.rules.kernels.totals import RowTotals, account
from protocol import merkle, native, trees
from protocol.errors import LengthError, MalformedError, RangeError
from protocol.fixedpoint import Int16, Int32
from protocol.native import sha256_text
from protocol.native.sha256 import HASHLIB, Hasher, Machine, has_instructions

EXAMPLES = settings(max_examples=80, deadline=None)
WAYS = ("hashlib", "llvm")

VALUES = st.sampled_from(
    [
        st.integers(-1, 1),
        st.sampled_from([-32767, -32766, 0, 32766, 32767]),
        st.integers(-32767, 32767),
        st.integers(-32768, 32767),  # never admitted, and must not break anything
    ]
)
AGGREGATES = st.one_of(
    st.integers(-(2**31), 2**31 - 1),
    st.sampled_from([-(2**31), 2**31 - 1, 2**31 - 1 - 2**14, 2**14 - 1, 2**14, -(2**14), -(2**14) - 1, 0]),
)
SIZES = st.one_of(st.integers(1, 4), st.sampled_from([15, 16, 17, 33, 255, 256, 257, 700]))


@cache
def hasher_of(way: str) -> Hasher:
    if way == "hashlib":
        return HASHLIB
    if not native.is_available():
        pytest.skip("no llvmlite")
    return Machine(sha256_text.streams() if has_instructions() else sha256_text.lanes())


@contextmanager
def hashed_by(way: str, *, block_bytes: int = 1, span: int = 2) -> Iterator[None]:
    """All trees by one way, in small blocks."""
    hasher = hasher_of(way)
    with pytest.MonkeyPatch.context() as patch:
        for module in (trees, merkle):
            patch.setattr(module, "hasher", lambda size_bytes: hasher)
        patch.setattr(trees, "_BLOCK_BYTES", block_bytes)
        patch.setattr(trees, "_SUBTREE", 2)
        patch.setattr(trees, "_GRAM_SPAN_BYTES", 1)
        patch.setattr(kernel, "_SPAN", span)
        yield


def root_of(kind: int, data: list[bytes]) -> bytes:
    """RFC 9162, section 2.1.1, over leaves."""
    if len(data) == 1:
        return sha256(bytes([0, kind]) + data[0]).digest()
    k = 1
    while 2 * k < len(data):
        k *= 2
    return sha256(b"\x01" + root_of(kind, data[:k]) + root_of(kind, data[k:])).digest()


def column_leaves(rows: Int16, aggregate: Int32, kept: npt.NDArray[np.bool_]) -> tuple[list[bytes], list[Any]]:
    """Data of the leaves and [(kept, deviation, alignment) of each row] after each leaf, in Python's integers."""
    k, d = rows.shape
    sums = [(0, 0, 0)] * k
    leaves, running = [], []
    for start in range(0, d, 16):
        stop = min(start + 16, d)
        columns = b"".join(struct.pack("<16h", *row[start:stop].tolist(), *[0] * (16 - stop + start)) for row in rows)
        tail = aggregate[start:stop].tolist()
        r = [max(-32767, min(32767, (a + 2**14) // 2**15)) for a in tail]
        for j, (row, was_kept) in enumerate(zip(rows, kept, strict=True)):
            q = row[start:stop].tolist()
            more = (
                sum(was_kept[start:stop].tolist()),
                sum((x - y) ** 2 for x, y in zip(q, r, strict=True)),
                sum(x * y for x, y in zip(q, r, strict=True)),
            )
            sums[j] = (sums[j][0] + more[0], sums[j][1] + more[1], sums[j][2] + more[2])
        packed = b"".join(struct.pack(">IQq", *sums[j]) for j in range(k))
        tail_bytes = struct.pack("<16i", *tail, *[0] * (16 - len(tail)))
        leaves.append(sha256(columns).digest() + sha256(packed).digest() + tail_bytes)
        running.append(list(sums))
    return leaves, running


def listed(totals: RowTotals) -> list[tuple[int, int, int]]:
    parts = (totals.kept.tolist(), totals.deviation.tolist(), totals.alignment.tolist())
    return list(zip(*parts, strict=True))


@st.composite
def rounds(draw: st.DrawFn) -> tuple[Int16, Int32, npt.NDArray[np.bool_]]:
    """(k, d) rows, the aggregate, (k,) selected."""
    k, d = draw(st.integers(1, 7)), draw(SIZES)
    rows = draw(hnp.arrays(np.int16, (k, d), elements=draw(VALUES), fill=st.just(-32767)))
    aggregate = draw(hnp.arrays(np.int32, (d,), elements=AGGREGATES, fill=st.just(2**31 - 1)))
    return rows, aggregate, draw(hnp.arrays(np.bool_, (k,)))


@pytest.mark.parametrize("way", WAYS)
@EXAMPLES
@given(data=st.data())
def test_an_account_is_what_the_definition_says(way: str, data: st.DataObject) -> None:
    rows, aggregate, selected = data.draw(rounds())
    k, d = rows.shape
    low = high = counts = None
    kept = np.broadcast_to(selected[:, None], rows.shape)
    said = data.draw(st.sampled_from(["whole", "range", "counts"]))
    if said == "range":
        low, high = (data.draw(hnp.arrays(np.int16, (d,), fill=st.just(0))) for _ in range(2))
        kept = kept & (low <= rows) & (rows <= high)
    if said == "counts":
        kept = data.draw(hnp.arrays(np.bool_, rows.shape, fill=st.just(True)))
        counts = counts_of(kept)
    leaves, running = column_leaves(rows, aggregate, kept)
    asked = sorted(data.draw(st.one_of(st.just(range(len(leaves))), st.sets(st.integers(0, len(leaves) - 1)))))
    given_rows = data.draw(st.sampled_from([rows, list(rows), np.asfortranarray(rows)]))
    sizes = {"block_bytes": data.draw(st.sampled_from([1, 1 << 14])), "span": data.draw(st.integers(1, 3))}
    with hashed_by(way, **sizes):
        found = account(given_rows, aggregate, selected=selected, low=low, high=high, counts=counts, leaves=asked)
    assert found.root == root_of(3, leaves)
    assert listed(found.totals) == running[-1]
    none = [(0, 0, 0)] * k
    expected = {leaf: (running[leaf - 1] if leaf else none, running[leaf]) for leaf in asked}
    assert {leaf: (listed(before), listed(after)) for leaf, (before, after) in found.at.items()} == expected


def counts_of(kept: npt.NDArray[np.bool_]) -> Callable[[slice], npt.NDArray[np.uint8]]:
    """What a caller has that looked at every value itself."""
    k, d = kept.shape
    padded = np.zeros((k, -(-d // 16) * 16), dtype=np.uint8)
    padded[:, :d] = kept
    by_leaf = padded.reshape(k, -1, 16).sum(axis=2, dtype=np.uint8).T
    return lambda leaves: by_leaf[leaves]


@pytest.mark.parametrize("way", WAYS)
@EXAMPLES
@given(data=st.data())
def test_the_column_root_of_totals_is_over_the_leaves_that_openings_show(way: str, data: st.DataObject) -> None:
    rows, aggregate, _ = data.draw(rounds())
    shape = (-(-rows.shape[1] // 16), len(rows))
    totals = trees.Totals(
        kept=data.draw(hnp.arrays(np.uint32, shape, fill=st.just(1))),
        deviation=data.draw(hnp.arrays(np.uint64, shape, fill=st.just(2**64 - 1))),
        alignment=data.draw(hnp.arrays(np.int64, shape, fill=st.just(-(2**63)))),
    )
    with hashed_by(way):
        found = trees.column_root(list(rows), aggregate, totals)
    assert found == root_of(3, trees.column_leaves(rows, aggregate, totals))


@pytest.mark.parametrize("way", WAYS)
@EXAMPLES
@given(rows=rounds().map(lambda drawn: drawn[0]), model=hnp.arrays(np.int32, SIZES, fill=st.just(-5)))
def test_roots_of_rows_and_models_are_over_their_leaves(way: str, rows: Int16, model: Int32) -> None:
    with hashed_by(way):
        assert trees.row_roots(rows) == [root_of(1, trees.row_leaves(row)) for row in rows]
        assert trees.model_root(model) == root_of(5, trees.model_leaves(model))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("k", "d"), [(1, 1), (3, 4096), (2, 4097), (5, 20000)])
def test_the_gram_root_is_over_its_leaves_whoever_multiplies(way: str, k: int, d: int) -> None:
    rows = np.random.default_rng(k * d).integers(-32768, 32768, (k, d)).astype(np.int16)
    wide = rows.astype(np.int64)
    expected = root_of(4, trees.gram_leaves(rows))
    with hashed_by(way):
        assert trees.gram_root(list(rows)) == expected
        assert trees.gram_root(rows, lambda start, stop: wide[:, start:stop] @ wide[:, start:stop].T) == expected


@pytest.mark.parametrize("way", WAYS)
def test_totals_are_exact_at_the_largest_values(way: str) -> None:
    rows = np.full((2, 100_000), 32767, dtype=np.int16)
    rows[1] = -32767
    aggregate = np.full(100_000, -(2**31), dtype=np.int32)
    with hashed_by(way, block_bytes=1 << 16):
        found = account(rows, aggregate, selected=np.array([True, False]))
    square = 32767**2 * 100_000
    assert listed(found.totals) == [(100_000, 4 * square, -square), (0, 0, square)]


@pytest.mark.parametrize("way", WAYS)
def test_a_value_that_no_update_has_breaks_no_total(way: str) -> None:
    rows = np.full((1, 700), -32768, dtype=np.int16)
    for a, r in ((2**31 - 1, 32767), (-(2**31), -32767), (0, 0)):
        with hashed_by(way):
            found = account(rows, np.full(700, a, dtype=np.int32), selected=np.array([True]))
        assert listed(found.totals) == [(700, 700 * (-32768 - r) ** 2, 700 * -32768 * r)]


ROWS = np.zeros((2, 40), dtype=np.int16)
ALL = np.array([True, True])
RANGE = np.zeros(40, dtype=np.int16)


@pytest.mark.parametrize(
    ("error", "changes"),
    [
        (LengthError, {"aggregate": np.zeros(39, dtype=np.int32)}),
        (MalformedError, {"selected": np.array([True])}),
        (MalformedError, {"selected": np.array([1, 1])}),
        (MalformedError, {"low": RANGE}),
        (MalformedError, {"high": RANGE}),
        (MalformedError, {"low": RANGE.astype(np.int32), "high": RANGE}),
        (LengthError, {"low": RANGE, "high": RANGE[:-1]}),
        (MalformedError, {"counts": lambda leaves: np.zeros((3, 2), dtype=np.int64)}),
        (MalformedError, {"counts": lambda leaves: np.zeros((2, 2), dtype=np.uint8)}),
        (RangeError, {"leaves": [3]}),
        (RangeError, {"leaves": [-1]}),
        (LengthError, {"rows": [RANGE, RANGE[:-1]]}),
        (LengthError, {"rows": []}),
    ],
)
@pytest.mark.parametrize("way", WAYS)
def test_an_account_of_what_does_not_fit_is_refused(way: str, error: type[Exception], changes: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"rows": ROWS, "aggregate": np.zeros(40, dtype=np.int32), "selected": ALL, **changes}
    with hashed_by(way), pytest.raises(error):
        account(arguments.pop("rows"), arguments.pop("aggregate"), **arguments)


def test_a_column_tree_has_no_root_before_all_its_blocks_and_takes_only_blocks_that_fit() -> None:
    rows = np.zeros((1, 16 * 20), dtype=np.int16)
    with hashed_by("hashlib"):
        tree = trees.ColumnTree(rows, np.zeros(16 * 20, dtype=np.int32))
        assert tree.blocks == [slice(0, 16), slice(16, 20)]
        tree.put(1, np.zeros((4, 1), dtype=trees.TOTALS_DTYPE))
        with pytest.raises(LengthError):
            tree.root()
        for wrong in (np.zeros((15, 1), dtype=trees.TOTALS_DTYPE), np.zeros((16, 1), dtype=np.int64)):
            with pytest.raises(LengthError):
                tree.put(0, wrong)
        tree.put(0, np.zeros((16, 1), dtype=trees.TOTALS_DTYPE))
        leaf = sha256(bytes(32)).digest() + sha256(bytes(20)).digest() + bytes(64)
        assert tree.root() == root_of(3, [leaf] * 20)


@pytest.mark.skipif(not native.is_available(), reason="no machine code here")
@pytest.mark.parametrize("cpu", ["x86-64", "x86-64-v3"] if platform.machine() == "x86_64" else [])
def test_every_processor_gives_the_same_totals_and_root(cpu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    rows = random.integers(-32768, 32768, (11, 5003), dtype=np.int16)
    aggregate = random.integers(-(2**31), 2**31, 5003, dtype=np.int32)
    selected, low, high = random.random(11) < 0.7, rows[:6].min(axis=0), rows[:6].max(axis=0)
    found = []
    for machine in (HASHLIB, Machine(sha256_text.lanes(), cpu=cpu)):
        monkeypatch.setattr(kernel, "Code", partial(native.Code, cpu=cpu))
        monkeypatch.setattr(kernel, "_code", cache(kernel._code.__wrapped__))
        for module in (trees, merkle):
            monkeypatch.setattr(module, "hasher", lambda size_bytes, machine=machine: machine)
        for bounds in ({}, {"low": low, "high": high}):
            made = account(rows, aggregate, selected=selected, **bounds)
            last = made.totals
            found.append((made.root, last.kept.tolist(), last.deviation.tolist(), last.alignment.tolist()))
    assert found[:2] == found[2:]
