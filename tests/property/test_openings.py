"""Whatever a round's numbers are, every leaf of its five trees opens under the root that follows from them."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import merkle, trees
from protocol.errors import RangeError, UnavailableError
from protocol.hashing import sha256
from protocol.openings import CHUNK_HEIGHT, CHUNK_LEAVES, Leaves, Openings, Tree, leaves_of
from protocol.outcomes import bitmap
from protocol.trees import GRAM_CHUNK, Totals

HASHES = st.binary(min_size=32, max_size=32)


@settings(max_examples=60, deadline=None)
@given(leaves=st.lists(HASHES, min_size=1, max_size=100), height=st.integers(0, 6))
def test_a_node_has_the_path_of_a_leaf_in_a_tree_of_such_nodes(leaves: list[bytes], height: int) -> None:
    tree, width = merkle.Tree(leaves), 1 << height
    nodes = [merkle.root(leaves[start : start + width]) for start in range(0, len(leaves), width)]
    assert merkle.root(nodes) == tree.root
    for index, node in enumerate(nodes):
        path = tree.path(index, height=height)
        assert list(path) == merkle.proof(nodes, index)
        merkle.verify(tree.root, index=index, size=len(nodes), leaf=node, path=path)
    with pytest.raises(RangeError):
        tree.path(len(nodes), height=height)


@st.composite
def rounds(draw: st.DrawFn) -> tuple[int, np.ndarray, Openings]:
    """(bitmap, rows, openings) of a round of any numbers: they need not follow from each other."""
    slots = sorted(draw(st.sets(st.integers(0, 20), min_size=1, max_size=5)))
    d = draw(st.integers(1, 600) | st.integers(4090, 4100) | st.integers(8000, 9000))
    random = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    k, count = len(slots), -(-d // 16)
    rows = random.integers(-32767, 32768, (k, d)).astype(np.int16)
    totals = Totals(
        kept=random.integers(0, 1 << 32, (count, k), dtype=np.uint32),
        deviation=random.integers(0, 1 << 64, (count, k), dtype=np.uint64),
        alignment=random.integers(-(1 << 63), 1 << 63, (count, k), dtype=np.int64),
    )
    words = random.integers(-(1 << 31), 1 << 31, (3, d)).astype(np.int32)
    leaves = leaves_of(
        set_leaves=[random.bytes(101 if slot in slots else 33) for slot in range(21)],
        counted=bitmap(slots),
        rows=rows,
        aggregate=words[0],
        totals=totals,
        has_gram=True,
        base=words[1],
        model=words[2],
    )
    openings = Openings(leaves, counted=bitmap(slots))
    assert openings.column_tree.root == trees.column_root(rows, words[0], totals)
    assert (openings.base_tree.root, openings.model_tree.root) == tuple(map(trees.model_root, words[1:]))
    return bitmap(slots), rows, openings


def check(kind: Tree, root: bytes, size: int, index: int, data: bytes, path: tuple[bytes, ...]) -> None:
    merkle.verify(root, index=index, size=size, leaf=merkle.leaf_hash(kind, data), path=path)


@settings(max_examples=40, deadline=None)
@given(rounds(), st.randoms())
def test_every_opening_leads_to_its_root(case: tuple[int, np.ndarray, Openings], random: Random) -> None:
    _, rows, openings = case
    k, d = rows.shape
    for slot in range(21):
        leaf = openings.set_leaf(slot)
        check(Tree.SET, openings.set_tree.root, 21, slot, leaf.data, leaf.path)
    count = -(-d // 16)
    for index in {0, count - 1, random.randrange(count)}:
        column, sums, raw = openings.column(index), openings.sums(index), openings.column_leaf(index)
        opened = sha256(column.columns) + column.totals + column.aggregate
        assert opened == sums.columns + sha256(sums.totals) + sums.aggregate == raw.data
        check(Tree.COLUMN, openings.column_tree.root, count, index, raw.data, column.path)
    chunks, pieces = -(-d // GRAM_CHUNK), -(-d // 256)
    for place, slot in enumerate(openings.slots):
        for chunk in range(chunks):
            line = openings.gram_line(chunk, slot)
            check(Tree.GRAM, openings.gram_tree.root, chunks * k, chunk * k + place, line.data, line.path)
        root = trees.row_root(rows[place])
        for index in {0, pieces - 1, random.randrange(pieces)}:
            row = openings.row_leaf(slot, index)
            check(Tree.ROW, root, pieces, index, row.data, row.path)
            base, model = openings.base_leaf(index), openings.model_leaf(index)
            check(Tree.MODEL, openings.base_tree.root, pieces, index, base.data, base.path)
            check(Tree.MODEL, openings.model_tree.root, pieces, index, model.data, model.path)


@settings(max_examples=40, deadline=None)
@given(rounds())
def test_a_chunk_of_a_row_is_one_node_of_its_tree(case: tuple[int, np.ndarray, Openings]) -> None:
    _, rows, openings = case
    pieces, slot = -(-rows.shape[1] // 256), openings.slots[0]
    chunks = -(-pieces // CHUNK_LEAVES)
    for chunk in range(chunks):
        opened = openings.row_chunk(slot, chunk)
        leaves = [opened.data[start : start + 512] for start in range(0, len(opened.data), 512)]
        node = merkle.root([merkle.leaf_hash(Tree.ROW, leaf) for leaf in leaves])
        assert len(leaves) == min(CHUNK_LEAVES, pieces - chunk * CHUNK_LEAVES)
        merkle.verify(trees.row_root(rows[0]), index=chunk, size=chunks, leaf=node, path=opened.path)
    assert 1 << CHUNK_HEIGHT == CHUNK_LEAVES


@settings(max_examples=20, deadline=None)
@given(rounds())
def test_an_answer_is_the_leaf_that_was_asked_for(case: tuple[int, np.ndarray, Openings]) -> None:
    _, _, openings = case
    slot = openings.slots[-1]
    row = openings.answer(Tree.ROW, slot=slot, index=0)
    assert (row.data, row.path) == (openings.row_leaf(slot, 0).data, openings.row_leaf(slot, 0).path)
    assert row.set == openings.set_leaf(slot)
    column = openings.answer(Tree.COLUMN, slot=0, index=0)
    assert sha256(column.columns) + sha256(column.totals) == column.data[:64]
    assert openings.answer(Tree.SET, slot=0, index=20).data == openings.set_leaf(20).data
    assert openings.answer(Tree.GRAM, slot=0, index=0).data == openings.gram_leaf(0).data
    assert openings.answer(Tree.MODEL, slot=0, index=0).data == openings.model_leaf(0).data
    with pytest.raises(RangeError):
        openings.answer(Tree.NONE, slot=0, index=0)
    with pytest.raises(RangeError):
        openings.gram_line(0, 21)


def test_a_tree_whose_leaves_nobody_has_does_not_open() -> None:
    openings = Openings(Leaves(rows={}), counted=1)
    for tree in list(Tree)[1:]:
        with pytest.raises(UnavailableError):
            openings.answer(tree, slot=0, index=0)
