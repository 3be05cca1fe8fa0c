"""Openings of the five trees: a leaf, what it has the hashes of, and the path to the root that a result commits to.

Responsible for: what the ledger's proofs and answers are made of, from leaves; a liar's leaves open as well as others.
Must not know:   what an opening shows (verifier/refutation), or who asks for it.

Spec: docs/protocol.md section 3.  Twins: the structs of contracts/src/interfaces/IPredicates.sol and IDisputes.sol,
whose fields have the same names here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import TypeVar

from protocol import merkle
from protocol.errors import RangeError, UnavailableError
from protocol.fixedpoint import Int16, Int32
from protocol.outcomes import slots_of
from protocol.trees import (
    GRAM_CHUNK,
    KIND_COLUMN,
    KIND_GRAM,
    KIND_MODEL,
    KIND_ROW,
    KIND_SET,
    ROW_LEAF,
    ColumnData,
    Totals,
    column_data,
    gram_leaves,
    model_leaves,
    row_leaves,
)

CHUNK_HEIGHT = 4
"""The 16 row leaves of one chunk of the Gram tree meet so many levels above themselves."""
CHUNK_LEAVES = GRAM_CHUNK // ROW_LEAF

Path = tuple[bytes, ...]
T = TypeVar("T")


class Tree(IntEnum):
    """Which tree a leaf is of; the numbers are the kinds of docs/protocol.md section 3."""

    NONE = 0
    ROW = KIND_ROW
    SET = KIND_SET
    COLUMN = KIND_COLUMN
    GRAM = KIND_GRAM
    MODEL = KIND_MODEL


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A leaf of any tree, as it was hashed."""

    index: int
    """Which leaf."""
    data: bytes
    """Without the two bytes that are hashed before it."""
    path: Path
    """From the bottom up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLeaf:
    """A slot's leaf of the set tree."""

    slot: int
    """Whose; the index in the tree."""
    slots: int
    """Size of the cohort, which the path follows from; the ledger holds it against the round's."""
    data: bytes
    """101 bytes where it is counted, else 33."""
    path: Path
    """From the bottom up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A leaf of the column tree whose columns are open."""

    index: int
    """Which leaf: coordinates 16 * index to 16 * index + 15."""
    columns: bytes
    """32 bytes for each counted slot."""
    totals: bytes
    """SHA-256 of the totals."""
    aggregate: bytes
    """64 bytes."""
    path: Path
    """From the bottom up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """A leaf of the column tree whose totals are open."""

    index: int
    """Which leaf."""
    columns: bytes
    """SHA-256 of the columns."""
    totals: bytes
    """20 bytes for each counted slot: kept, deviation, alignment."""
    aggregate: bytes
    """64 bytes."""
    path: Path
    """From the bottom up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GramLine:
    """A counted slot's line of the Gram tree; the chunk is said elsewhere."""

    slot: int
    """Whose inner products."""
    data: bytes
    """8 bytes for each counted slot."""
    path: Path
    """From the bottom up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChunk:
    """The coordinates of one counted slot in one chunk of 4096: up to sixteen neighbouring leaves of its row."""

    set: SetLeaf
    """With the row's root."""
    data: bytes
    """512 bytes for each leaf."""
    path: Path
    """Of the node above these leaves."""


NO_SET_LEAF = SetLeaf(slot=0, slots=0, data=b"", path=())
NO_SUMS = Sums(index=0, columns=bytes(32), totals=b"", aggregate=b"", path=())
"""Before the first leaf: the ledger does not look at it."""
NO_LINE = GramLine(slot=0, data=b"", path=())
"""Before the first chunk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What answers a request for a leaf."""

    data: bytes
    """As it was hashed."""
    path: Path
    """From the bottom up."""
    columns: bytes = b""
    """Of a column leaf: what its first hash is of."""
    totals: bytes = b""
    """Of a column leaf: what its second hash is of."""
    set: SetLeaf = NO_SET_LEAF
    """For a row leaf: the set leaf with the row's root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaves:
    """What is in the leaves of a round's trees, whoever made them; None for a leaf or a tree that one does not have."""

    set_leaves: Sequence[bytes | None] | None = None
    """One a slot of the cohort."""
    rows: Mapping[int, Sequence[bytes | None]]
    """By slot: the leaves of the counted rows that one has."""
    columns: Sequence[ColumnData | None] | None = None
    """Of the column tree."""
    gram: Sequence[bytes | None] | None = None
    """Of the Gram tree; leaf c * k + j is the line of the j-th counted slot after chunk c."""
    base: Sequence[bytes | None] | None = None
    """Of the base model."""
    model: Sequence[bytes | None] | None = None
    """Of the new model."""


def leaves_of(
    *,
    set_leaves: Sequence[bytes],
    counted: int,
    rows: Int16,
    aggregate: Int32,
    totals: Totals,
    has_gram: bool,
    base: Int32,
    model: Int32,
) -> Leaves:
    """The leaves of a round of these numbers.

    set_leaves: data, one a slot.   counted: bitmap of k slots.   rows: (k, d), slots ascending.
    aggregate, base, model: (d,).   totals: (L, k).   has_gram: whether the rule has a Gram tree.
    """
    return Leaves(
        set_leaves=set_leaves,
        rows={slot: row_leaves(row) for slot, row in zip(slots_of(counted), rows, strict=True)},
        columns=column_data(rows, aggregate, totals),
        gram=gram_leaves(rows) if has_gram else None,
        base=model_leaves(base),
        model=model_leaves(model),
    )


class Openings:
    """Opens any leaf of the trees over `leaves`.  A tree is built when it is first needed, and kept.

    A tree of which only some leaves are there opens these, by paths that came with them.  Every method raises
    UnavailableError for a leaf that is not there, RangeError for one that is not in the tree.
    """

    def __init__(
        self, leaves: Leaves, *, counted: int, paths: Mapping[tuple[Tree, int, int], Path] | None = None
    ) -> None:
        """counted: bitmap of the slots that the result counts.

        paths: by tree, slot (0 but for rows) and index: from a leaf to the root, where it came from somebody else.
        """
        self.leaves = leaves
        self.slots = slots_of(counted)
        """Counted, ascending."""
        self._paths = paths or {}
        self._rows: dict[int, merkle.Tree] = {}

    @cached_property
    def set_tree(self) -> merkle.Tree:
        """Over the set leaves."""
        return _tree(Tree.SET, self.leaves.set_leaves)

    @cached_property
    def column_tree(self) -> merkle.Tree:
        """Over the column leaves."""
        leaves = self.leaves.columns
        return _tree(Tree.COLUMN, None if leaves is None else [None if leaf is None else leaf.data for leaf in leaves])

    @cached_property
    def gram_tree(self) -> merkle.Tree:
        """Over the lines of every chunk."""
        return _tree(Tree.GRAM, self.leaves.gram)

    @cached_property
    def base_tree(self) -> merkle.Tree:
        """Over the base model."""
        return _tree(Tree.MODEL, self.leaves.base)

    @cached_property
    def model_tree(self) -> merkle.Tree:
        """Over the new model."""
        return _tree(Tree.MODEL, self.leaves.model)

    def row_tree(self, slot: int) -> merkle.Tree:
        """Over a counted slot's row."""
        if slot not in self._rows:
            self._rows[slot] = _tree(Tree.ROW, self.leaves.rows.get(slot))
        return self._rows[slot]

    def set_leaf(self, slot: int) -> SetLeaf:
        """A slot's set leaf."""
        data, leaves = _leaf(Tree.SET, self.leaves.set_leaves, slot)
        path = self._known(Tree.SET, slot) or self.set_tree.path(slot)
        return SetLeaf(slot=slot, slots=leaves, data=data, path=path)

    def row_leaf(self, slot: int, index: int) -> Leaf:
        """One leaf of a slot's row."""
        data, _ = _leaf(Tree.ROW, self.leaves.rows.get(slot), index)
        path = self._known(Tree.ROW, index, slot) or self.row_tree(slot).path(index)
        return Leaf(index=index, data=data, path=path)

    def row_chunk(self, slot: int, chunk: int) -> RowChunk:
        """The leaves of a slot's row that one chunk of the Gram tree is about; the whole row must be there."""
        path = self.row_tree(slot).path(chunk, height=CHUNK_HEIGHT)
        leaves = self.leaves.rows[slot][chunk * CHUNK_LEAVES : (chunk + 1) * CHUNK_LEAVES]
        return RowChunk(set=self.set_leaf(slot), data=b"".join(leaf or b"" for leaf in leaves), path=path)

    def column(self, index: int) -> Column:
        """A leaf of the column tree with its columns; its data must be 128 bytes."""
        leaf, (parts, _) = self.column_leaf(index), _leaf(Tree.COLUMN, self.leaves.columns, index)
        data = leaf.data
        return Column(index=index, columns=parts.columns, totals=data[32:64], aggregate=data[64:], path=leaf.path)

    def sums(self, index: int) -> Sums:
        """A leaf of the column tree with its totals; its data must be 128 bytes."""
        leaf, (parts, _) = self.column_leaf(index), _leaf(Tree.COLUMN, self.leaves.columns, index)
        data = leaf.data
        return Sums(index=index, columns=data[:32], totals=parts.totals, aggregate=data[64:], path=leaf.path)

    def column_leaf(self, index: int) -> Leaf:
        """A leaf of the column tree as it was hashed."""
        parts, _ = _leaf(Tree.COLUMN, self.leaves.columns, index)
        path = self._known(Tree.COLUMN, index) or self.column_tree.path(index)
        return Leaf(index=index, data=parts.data, path=path)

    def gram_leaf(self, index: int) -> Leaf:
        """A leaf of the Gram tree."""
        data, _ = _leaf(Tree.GRAM, self.leaves.gram, index)
        return Leaf(index=index, data=data, path=self._known(Tree.GRAM, index) or self.gram_tree.path(index))

    def gram_line(self, chunk: int, slot: int) -> GramLine:
        """A counted slot's inner products after a chunk."""
        if slot not in self.slots:
            raise RangeError("slot of a Gram line", expected=f"one of {self.slots}", actual=slot)
        leaf = self.gram_leaf(chunk * len(self.slots) + self.slots.index(slot))
        return GramLine(slot=slot, data=leaf.data, path=leaf.path)

    def base_leaf(self, index: int) -> Leaf:
        """A leaf of the base model."""
        data, _ = _leaf(Tree.MODEL, self.leaves.base, index)
        return Leaf(index=index, data=data, path=self.base_tree.path(index))

    def model_leaf(self, index: int) -> Leaf:
        """A leaf of the new model."""
        data, _ = _leaf(Tree.MODEL, self.leaves.model, index)
        return Leaf(index=index, data=data, path=self._known(Tree.MODEL, index) or self.model_tree.path(index))

    def answer(self, tree: Tree, *, slot: int, index: int) -> Answer:
        """What answers `requestLeaf` for this leaf; `slot` says whose row and counts for nothing else."""
        if tree is Tree.ROW:
            leaf = self.row_leaf(slot, index)
            return Answer(data=leaf.data, path=leaf.path, set=self.set_leaf(slot))
        if tree is Tree.SET:
            found = self.set_leaf(index)
            return Answer(data=found.data, path=found.path)
        if tree is Tree.COLUMN:
            leaf, (parts, _) = self.column_leaf(index), _leaf(Tree.COLUMN, self.leaves.columns, index)
            return Answer(data=leaf.data, path=leaf.path, columns=parts.columns, totals=parts.totals)
        if tree is Tree.GRAM:
            leaf = self.gram_leaf(index)
        elif tree is Tree.MODEL:
            leaf = self.model_leaf(index)
        else:
            raise RangeError("tree of a requested leaf", expected="one of the five", actual=tree.name)
        return Answer(data=leaf.data, path=leaf.path)

    def _known(self, tree: Tree, index: int, slot: int = 0) -> Path | None:
        """The path that came with a leaf; empty where the leaf is the whole tree, and then the tree is there."""
        return self._paths.get((tree, slot, index))


def _tree(tree: Tree, leaves: Sequence[bytes | None] | None) -> merkle.Tree:
    if leaves is None or None in leaves:
        raise UnavailableError(f"the leaves of the {tree.name.lower()} tree")
    return merkle.Tree([merkle.leaf_hash(tree, leaf) for leaf in leaves if leaf is not None])


def _leaf(tree: Tree, leaves: Sequence[T | None] | None, index: int) -> tuple[T, int]:
    """(the leaf, how many there are)."""
    if leaves is None:
        raise UnavailableError(f"the leaves of the {tree.name.lower()} tree")
    if not 0 <= index < len(leaves):
        raise RangeError(
            f"index of a leaf of the {tree.name.lower()} tree", expected=f"below {len(leaves)}", actual=index
        )
    leaf = leaves[index]
    if leaf is None:
        raise UnavailableError(f"leaf {index} of the {tree.name.lower()} tree")
    return leaf, len(leaves)
