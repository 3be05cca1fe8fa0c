"""Trees have RFC 9162's shape, and a path proves one leaf at one index of one tree of one size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from protocol_examples import raw, some, vectors

from protocol import errors, merkle
from protocol.errors import LengthError, ProofError, RangeError
from protocol.hashing import sha256

SHAPES = [vector for vector in vectors("trees/accepted.json") if vector["what"] == "shape"]
PATHS = [vector for vector in vectors("trees/refused.json") if vector["what"] == "path"]


def split(size: int) -> int:
    """The largest power of two smaller than `size` (RFC 9162, section 2.1.1)."""
    k = 1
    while 2 * k < size:
        k *= 2
    return k


def reference_root(leaves: list[bytes]) -> bytes:
    """The RFC's recursive definition over leaf hashes."""
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return sha256(b"\x01", reference_root(leaves[:k]), reference_root(leaves[k:]))


def reference_path(leaves: list[bytes], index: int) -> list[bytes]:
    """The RFC's recursive definition of an inclusion path (section 2.1.3.1)."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if index < k:
        return [*reference_path(leaves[:k], index), reference_root(leaves[k:])]
    return [*reference_path(leaves[k:], index - k), reference_root(leaves[:k])]


def leaves_of(size: int) -> list[bytes]:
    return [merkle.leaf_hash(2, some(f"leaf {i}")) for i in range(size)]


@pytest.mark.parametrize("size", range(1, 66))
def test_roots_and_paths_are_those_of_the_recursive_definition(size: int) -> None:
    leaves = leaves_of(size)
    root = merkle.root(leaves)
    assert root == reference_root(leaves)
    for index in range(size):
        path = merkle.proof(leaves, index)
        assert path == reference_path(leaves, index)
        merkle.verify(root, index=index, size=size, leaf=leaves[index], path=path)


@pytest.mark.parametrize("size", range(1, 66))
def test_a_kept_tree_has_the_same_root_and_paths(size: int) -> None:
    leaves = leaves_of(size)
    tree = merkle.Tree(leaves)
    assert (tree.root, tree.size) == (merkle.root(leaves), size)
    assert [list(tree.path(index)) for index in range(size)] == [merkle.proof(leaves, index) for index in range(size)]
    for index in (-1, size):
        with pytest.raises(RangeError):
            tree.path(index)


@pytest.mark.parametrize("vector", SHAPES, ids=lambda v: f"{len(v['leaves'])} leaves")
def test_a_tree_has_the_root_and_paths_of_its_vector(vector: dict[str, Any]) -> None:
    leaves, root = [raw(leaf) for leaf in vector["leaves"]], raw(vector["root"])
    assert merkle.root(leaves) == root
    for index, path in enumerate(vector["paths"]):
        merkle.verify(root, index=index, size=len(leaves), leaf=leaves[index], path=[raw(node) for node in path])


@pytest.mark.parametrize("vector", PATHS, ids=lambda v: v["defect"])
def test_a_path_with_one_defect_is_refused(vector: dict[str, Any]) -> None:
    path = [raw(node) for node in vector["path"]]
    with pytest.raises(getattr(errors, vector["error"])):
        merkle.verify(
            raw(vector["root"]), index=vector["index"], size=vector["size"], leaf=raw(vector["leaf"]), path=path
        )


@pytest.mark.parametrize("size", range(1, 18))
def test_a_path_proves_its_leaf_at_no_other_index(size: int) -> None:
    leaves = leaves_of(size)
    root = merkle.root(leaves)
    for index in range(size):
        path = merkle.proof(leaves, index)
        for other in set(range(size)) - {index}:
            with pytest.raises(ProofError):
                merkle.verify(root, index=other, size=size, leaf=leaves[index], path=path)


@pytest.mark.parametrize("size", range(2, 18))
def test_a_path_that_is_too_long_or_too_short_is_refused(size: int) -> None:
    leaves = leaves_of(size)
    root = merkle.root(leaves)
    for index in range(size):
        path = merkle.proof(leaves, index)
        for wrong in (path[:-1], path[1:], [*path, root], [root, *path]):
            with pytest.raises(ProofError):
                merkle.verify(root, index=index, size=size, leaf=leaves[index], path=wrong)


@pytest.mark.parametrize("size", [3, 5, 6, 7, 9])
def test_a_last_leaf_written_twice_makes_another_tree(size: int) -> None:
    leaves = leaves_of(size)
    assert merkle.root([*leaves, leaves[-1]]) != merkle.root(leaves)


def test_the_children_of_a_node_are_no_leaf() -> None:
    leaves = leaves_of(2)
    assert merkle.leaf_hash(1, leaves[0] + leaves[1]) != merkle.root(leaves)
    # a leaf's hash covers 0x00 and the kind, a node's 0x01: no data makes one the other's preimage
    assert merkle.leaf_hash(1, b"data") == sha256(b"\x00\x01data")
    assert merkle.root(leaves) == sha256(b"\x01" + leaves[0] + leaves[1])


@pytest.mark.parametrize("size", [1, 2, 5, 16])
def test_leaves_may_be_an_array_which_stays_as_it_is(size: int) -> None:
    leaves = leaves_of(size)
    array = np.frombuffer(b"".join(leaves), dtype=np.uint8).reshape(size, 32)
    tree = merkle.Tree(array)
    assert merkle.root(array) == tree.root == reference_root(leaves)
    assert [list(tree.path(index)) for index in range(size)] == [reference_path(leaves, index) for index in range(size)]
    assert array.tobytes() == b"".join(leaves)


def test_a_large_tree_has_the_root_and_paths_of_the_recursive_definition() -> None:
    leaves = [sha256(index.to_bytes(4)) for index in range(5001)]  # so many are hashed by machine code
    tree = merkle.Tree(leaves)
    assert tree.root == merkle.root(leaves) == reference_root(leaves)
    for index in (0, 1, 4095, 4096, 4999, 5000):
        assert list(tree.path(index)) == reference_path(leaves, index)


def test_one_leaf_is_its_own_root() -> None:
    leaf = merkle.leaf_hash(5, b"")
    assert merkle.root([leaf]) == leaf
    merkle.verify(leaf, index=0, size=1, leaf=leaf, path=[])


def test_a_tree_has_at_least_one_leaf() -> None:
    for make in (merkle.root, merkle.Tree):
        with pytest.raises(LengthError):
            make([])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 3), (3, 3), (1 << 70, 3)])
def test_an_index_outside_the_tree_is_refused(index: int, size: int) -> None:
    with pytest.raises(RangeError):
        merkle.verify(bytes(32), index=index, size=size, leaf=bytes(32), path=[])
    with pytest.raises(RangeError):
        merkle.proof(leaves_of(size), index)


def test_leaves_of_the_five_kinds_have_different_hashes() -> None:
    assert len({merkle.leaf_hash(kind, b"the same data") for kind in (1, 2, 3, 4, 5)}) == 5
