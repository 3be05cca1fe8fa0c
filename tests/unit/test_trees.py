"""Every leaf is what a plain struct.pack makes of its definition."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from protocol_examples import raw, some, vectors

from protocol import errors, merkle, trees
from protocol.errors import LengthError, RangeError
from protocol.hashing import sha256
from protocol.outcomes import Reason
from protocol.trees import SetLeaf, Totals

ACCEPTED = vectors("trees/accepted.json")
REFUSED = vectors("trees/refused.json")


def of_kind(what: str, out_of: list[dict[str, Any]] = ACCEPTED) -> list[dict[str, Any]]:
    return [vector for vector in out_of if vector["what"] == what]


def rows_of(k: int, d: int) -> Any:
    """(k, d), the formula that the vectors name."""
    return np.array([[(i * 7919 + j * 104729) % 65535 - 32767 for i in range(d)] for j in range(k)], dtype=np.int16)


def model_of(d: int) -> Any:
    """(d,), the formula that the vectors name."""
    return np.array([(i * 2654435761) % 2**32 - 2**31 for i in range(d)], dtype=np.int32)


def reference_root(kind: int, data: list[bytes]) -> bytes:
    """RFC 9162, recursively."""
    if len(data) == 1:
        return sha256(b"\x00", bytes([kind]), data[0])
    k = 1
    while 2 * k < len(data):
        k *= 2
    return sha256(b"\x01", reference_root(kind, data[:k]), reference_root(kind, data[k:]))


def padded(values: list[int], size: int) -> list[list[int]]:
    """Chunks of `size`, the last filled with zeros."""
    chunks = [values[i : i + size] for i in range(0, len(values), size)]
    return [chunk + [0] * (size - len(chunk)) for chunk in chunks]


@pytest.mark.parametrize("d", [1, 255, 256, 257, 600])
def test_row_and_model_leaves_are_256_little_endian_coordinates(d: int) -> None:
    row, model = rows_of(1, d)[0], model_of(d)
    rows = [struct.pack("<256h", *chunk) for chunk in padded(row.tolist(), 256)]
    models = [struct.pack("<256i", *chunk) for chunk in padded(model.tolist(), 256)]
    assert trees.row_leaves(row) == rows
    assert trees.model_leaves(model) == models
    assert trees.row_root(row) == reference_root(1, rows)
    assert trees.model_root(model) == reference_root(5, models)


def reference_column_leaves(rows: Any, aggregate: Any, totals: Totals) -> list[bytes]:
    out = []
    columns = [padded(row, 16) for row in rows.tolist()]
    for leaf, tail in enumerate(padded(aggregate.tolist(), 16)):
        coordinates = b"".join(struct.pack("<16h", *column[leaf]) for column in columns)
        sums = b"".join(
            struct.pack(">IQq", *(int(t[leaf, j]) for t in (totals.kept, totals.deviation, totals.alignment)))
            for j in range(len(rows))
        )
        out.append(sha256(coordinates) + sha256(sums) + struct.pack("<16i", *tail))
    return out


def totals_of(count: int, k: int) -> Totals:
    """Totals at the ends of their types."""
    kept = np.full((count, k), 2**32 - 1, dtype=np.uint32)
    kept[0] = 1
    alignment = np.full((count, k), -(2**63), dtype=np.int64)
    alignment[0] = 2**63 - 1
    return Totals(kept=kept, deviation=np.full((count, k), 2**64 - 1, dtype=np.uint64), alignment=alignment)


@pytest.mark.parametrize(("k", "d"), [(1, 1), (1, 16), (3, 17), (5, 100), (2, 256)])
def test_column_leaves_hash_columns_and_totals_and_show_the_aggregate(k: int, d: int) -> None:
    rows, aggregate, totals = rows_of(k, d), model_of(d), totals_of(-(-d // 16), k)
    expected = reference_column_leaves(rows, aggregate, totals)
    assert trees.column_leaves(rows, aggregate, totals) == expected
    assert {len(leaf) for leaf in expected} == {128}
    assert trees.column_root(rows, aggregate, totals) == reference_root(3, expected)


def test_rows_may_lie_anywhere_each_by_itself() -> None:
    rows, aggregate, totals = rows_of(3, 600), model_of(600), totals_of(38, 3)
    apart = [row.copy() for row in rows]
    strided = np.repeat(rows, 2, axis=1)[:, ::2]
    for same in (apart, tuple(apart), strided, np.asfortranarray(rows)):
        assert trees.row_roots(same) == [trees.row_root(row) for row in rows]
        assert trees.column_leaves(same, aggregate, totals) == trees.column_leaves(rows, aggregate, totals)
        assert trees.column_root(same, aggregate, totals) == trees.column_root(rows, aggregate, totals)
        assert trees.gram_leaves(same) == trees.gram_leaves(rows)
        assert trees.gram_root(same) == trees.gram_root(rows)


@pytest.mark.parametrize("field", ["kept", "deviation", "alignment", "aggregate"])
def test_column_leaves_of_other_shapes_are_refused(field: str) -> None:
    rows, aggregate, totals = rows_of(2, 40), model_of(40), totals_of(3, 2)
    parts = {"kept": totals.kept, "deviation": totals.deviation, "alignment": totals.alignment}
    if field == "aggregate":
        aggregate = aggregate[:-1]
    else:
        parts[field] = parts[field][:-1]
    for make in (trees.column_leaves, trees.column_root):
        with pytest.raises(LengthError):
            make(rows, aggregate, Totals(**parts))


@pytest.mark.parametrize(("k", "d"), [(1, 1), (3, 4095), (3, 4096), (2, 4097), (2, 8193)])
def test_gram_leaves_are_running_inner_products_by_chunks_of_4096(k: int, d: int) -> None:
    rows = rows_of(k, d)
    values = rows.tolist()
    expected, sums = [], [[0] * k for _ in range(k)]
    for start in range(0, d, 4096):
        chunks = [row[start : start + 4096] for row in values]
        for j in range(k):
            for i in range(k):
                sums[j][i] += sum(x * y for x, y in zip(chunks[j], chunks[i], strict=True))
        expected.extend(struct.pack(f">{k}q", *sums[j]) for j in range(k))
    assert trees.gram_leaves(rows) == expected
    assert trees.gram_root(rows) == reference_root(4, expected)


def test_gram_sums_are_exact_at_the_largest_coordinates() -> None:
    rows = np.full((2, 9000), 32767, dtype=np.int16)
    rows[1] = -32767
    assert trees.gram_leaves(rows)[-2] == struct.pack(">2q", 9000 * 32767**2, -9000 * 32767**2)


def test_a_counted_set_leaf_is_root_samples_and_signature() -> None:
    leaf = SetLeaf(update_root=some("root"), samples=258, signature=some("a") + some("b") + b"\x1b")
    assert leaf.encode() == some("root") + b"\x00\x00\x01\x02" + some("a") + some("b") + b"\x1b"
    assert leaf.is_counted
    assert trees.parse_set_leaf(leaf.encode()) == leaf


@pytest.mark.parametrize("reason", Reason)
def test_any_other_set_leaf_is_zeros_and_a_reason(reason: Reason) -> None:
    leaf = SetLeaf(reason=reason)
    assert leaf.encode() == bytes(32) + bytes([reason])
    assert not leaf.is_counted
    assert trees.parse_set_leaf(leaf.encode()) == leaf


@pytest.mark.parametrize("vector", of_kind("set leaf", REFUSED), ids=lambda v: v["defect"])
def test_a_set_leaf_with_one_defect_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(getattr(errors, vector["error"])):
        trees.parse_set_leaf(raw(vector["data"]))


@pytest.mark.parametrize(
    "fields",
    [
        {"update_root": bytes(31), "signature": bytes(65)},
        {"update_root": some("root"), "signature": bytes(64)},
        {"update_root": some("root"), "signature": bytes(65), "samples": 1 << 32},
        {"update_root": some("root"), "signature": bytes(65), "samples": -1},
        {"update_root": some("root"), "signature": bytes(65), "reason": Reason.NORM},
        {"update_root": some("root"), "reason": Reason.NORM},
        {"samples": 1, "reason": Reason.NORM},
    ],
)
def test_a_set_leaf_that_its_bytes_could_not_hold_can_not_be_built(fields: dict[str, Any]) -> None:
    with pytest.raises((LengthError, RangeError)):
        SetLeaf(**fields)


def test_the_set_root_is_over_the_slots_in_order() -> None:
    data = [SetLeaf(reason=Reason(i)).encode() for i in range(5)]
    assert trees.set_root(data) == reference_root(2, data)
    assert trees.set_root(data[::-1]) != trees.set_root(data)


def test_the_same_bytes_in_trees_of_two_kinds_have_two_roots() -> None:
    data = [bytes(512)]
    roots = {merkle.root([merkle.leaf_hash(kind, leaf) for leaf in data]) for kind in range(1, 6)}
    assert len(roots) == 5


@pytest.mark.parametrize("vector", of_kind("row") + of_kind("model"), ids=lambda v: f"{v['what']} {v['d']}")
def test_rows_and_models_have_the_roots_of_their_vectors(vector: dict[str, Any]) -> None:
    d = vector["d"]
    root = trees.row_root(rows_of(1, d)[0]) if vector["what"] == "row" else trees.model_root(model_of(d))
    assert root == raw(vector["root"])


@pytest.mark.parametrize("vector", of_kind("column"), ids=lambda v: f"{v['k']} x {v['d']}")
def test_columns_have_the_leaves_and_root_of_their_vector(vector: dict[str, Any]) -> None:
    rows, aggregate = rows_of(vector["k"], vector["d"]), np.array(vector["aggregate"], dtype=np.int32)
    totals = Totals(
        kept=np.array(vector["kept"], dtype=np.uint32),
        deviation=np.array(vector["deviation"], dtype=np.uint64),
        alignment=np.array(vector["alignment"], dtype=np.int64),
    )
    assert trees.column_leaves(rows, aggregate, totals) == [raw(leaf) for leaf in vector["leaves"]]
    assert trees.column_root(rows, aggregate, totals) == raw(vector["root"])


@pytest.mark.parametrize("vector", of_kind("gram"), ids=lambda v: f"{v['k']} x {v['d']}")
def test_gram_trees_have_the_leaves_and_root_of_their_vector(vector: dict[str, Any]) -> None:
    rows = rows_of(vector["k"], vector["d"])
    assert trees.gram_leaves(rows) == [raw(leaf) for leaf in vector["leaves"]]
    assert trees.gram_root(rows) == raw(vector["root"])


@pytest.mark.parametrize(
    "vector", of_kind("row", REFUSED) + of_kind("model", REFUSED), ids=lambda v: f"{v['what']} {v['defect']}"
)
def test_a_tree_built_with_one_mistake_has_another_root(vector: dict[str, Any]) -> None:
    d = vector["d"]
    root = trees.row_root(rows_of(1, d)[0]) if vector["what"] == "row" else trees.model_root(model_of(d))
    assert root == raw(vector["root"])
    assert root != raw(vector["wrong"])
