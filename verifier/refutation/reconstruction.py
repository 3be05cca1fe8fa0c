"""From what a coordinator published to the leaves that its result commits to.

Responsible for: rebuilding each tree, and saying of which one the committed root is not the root.
Must not know:   what is wrong with a leaf (the searches), or where bytes are from.

Spec: docs/protocol.md sections 3 and 8.

What one lies about, one commits to with everything that follows from it: whoever publishes a wrong aggregate has the
column tree of that aggregate, with the totals beside it.  So totals follow from the published aggregate, selection and
weights are those that are stated, and only where that root is another one are they tried as they should have been.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from protocol import merkle
from protocol.errors import VeriflockError
from protocol.fixedpoint import saturate32
from protocol.openings import Answer, Leaves, Openings, Path, Tree
from protocol.rulebook import Rule, is_selecting
from protocol.trees import (
    COLUMN_LEAF,
    SET_LEAF_COUNTED_BYTES,
    ColumnData,
    Totals,
    column_data,
    gram_leaves,
    model_leaves,
    row_leaves,
)
from verifier.refutation.statement import Facts
from verifier.replay import combine, contributions, select

Int16 = NDArray[np.int16]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]

BLOCK = (1 << 12) * COLUMN_LEAF
"""Coordinates aggregated at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The bytes of a round that one has got, from whomever; None for what nobody gives."""

    set_leaves: Sequence[bytes] | None = field(default=None, repr=False)
    """One a slot."""
    rows: Mapping[int, bytes] = field(repr=False)
    """By slot: 2 d bytes, which may hold what no row may."""
    aggregate: bytes | None = field(default=None, repr=False)
    """4 d bytes."""
    base: bytes | None = field(default=None, repr=False)
    """4 d bytes."""
    model: bytes | None = field(default=None, repr=False)
    """4 d bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CannotOpen:
    """A tree that the result commits to and that what one has does not lead to.

    What is withheld can't be refuted.  The remedy is a member's: `requestLeaf`, or a signed `Unavailable`.
    """

    tree: Tree
    """Which."""
    slot: int | None = None
    """Of a row: whose."""
    is_base: bool = False
    """Of a model: whether it is the base model, which the ledger had before this round."""
    expected: bytes
    """The root committed to."""
    actual: bytes | None
    """The root that was rebuilt; None where there was nothing to rebuild it from."""

    def __str__(self) -> str:
        what = f"the {'base model' if self.is_base else self.tree.name.lower()} tree"
        what += "" if self.slot is None else f" of slot {self.slot}"
        how = "nothing to rebuild it from" if self.actual is None else f"rebuilt 0x{self.actual.hex()}"
        return f"can't open {what}: committed 0x{self.expected.hex()}, {how}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A leaf that somebody gave when it was asked for; it counts if it leads to the root."""

    tree: Tree
    """Of which tree."""
    slot: int = 0
    """Of a row: whose."""
    index: int
    """Which leaf."""
    answer: Answer = field(repr=False)
    """As it stands in the event."""


def reconstruct(
    facts: Facts, published: Published, given: Leaves | None = None, answers: Sequence[Answered] = ()
) -> tuple[Openings, tuple[CannotOpen, ...]]:
    """Openings of the trees that lead to the committed roots, and which ones do not.

    given:   leaves as they were hashed, from anywhere; they count for a tree exactly if all of them lead to its root.
    answers: single leaves, for trees that can't be opened as a whole.
    """
    builder = _Builder(facts, published, given or Leaves(rows={}), answers)
    set_leaves = builder.set_leaves()
    rows = builder.rows(set_leaves)
    leaves = Leaves(
        set_leaves=set_leaves,
        rows=rows,
        columns=builder.columns(rows) if facts.has_columns and facts.rule is not None else None,
        gram=builder.gram(rows) if facts.has_gram else None,
        base=builder.base(),
        model=builder.model(),
    )
    return Openings(leaves, counted=facts.result.counted, paths=builder.paths), tuple(builder.missing)


class _Builder:
    """Tries what was given, then what follows from what was published, then single leaves."""

    def __init__(self, facts: Facts, published: Published, given: Leaves, answers: Sequence[Answered]) -> None:
        self._facts, self._published, self._given, self._answers = facts, published, given, answers
        self.missing: list[CannotOpen] = []
        self.paths: dict[tuple[Tree, int, int], Path] = {}

    def set_leaves(self) -> Sequence[bytes | None] | None:
        """The set leaves that lead to the set root."""
        size, root = len(self._facts.cohort), self._facts.result.set_root
        return self._choose(Tree.SET, root, size, [self._given.set_leaves, self._published.set_leaves])

    def rows(self, set_leaves: Sequence[bytes | None] | None) -> dict[int, Sequence[bytes | None]]:
        """The rows that lead to the update roots in the set leaves."""
        found: dict[int, Sequence[bytes | None]] = {}
        for slot in self._facts.slots:
            data = None if set_leaves is None else set_leaves[slot]
            if data is None or len(data) != SET_LEAF_COUNTED_BYTES:
                continue  # whose root is unknown: what is missing is the set leaf, or it is refuted as such
            row = self._row(slot)
            candidates = [self._given.rows.get(slot), None if row is None else row_leaves(row)]
            leaves = self._choose(Tree.ROW, data[:32], self._facts.row_leaves, candidates, slot=slot)
            if leaves is not None:
                found[slot] = leaves
        return found

    def columns(self, rows: Mapping[int, Sequence[bytes | None]]) -> Sequence[ColumnData | None] | None:
        """The column leaves that lead to the column root."""
        expected, size, actual = self._facts.result.column_root, self._facts.column_leaves, None
        for leaves in self._column_candidates(rows):
            data = [leaf.data for leaf in leaves if leaf is not None]
            if len(data) == len(leaves) == size:
                actual = _root(Tree.COLUMN, data)
                if actual == expected:
                    return leaves
        self.missing.append(CannotOpen(tree=Tree.COLUMN, expected=expected, actual=actual))
        some = self._answered(Tree.COLUMN, expected, size)
        parts = {
            index: ColumnData(data=one.data, columns=one.columns, totals=one.totals) for index, one in some.items()
        }
        return [parts.get(index) for index in range(size)] if parts else None

    def gram(self, rows: Mapping[int, Sequence[bytes | None]]) -> Sequence[bytes | None] | None:
        """The lines that lead to the Gram root."""
        matrix = self._matrix(rows)
        candidates = [self._given.gram, None if matrix is None else gram_leaves(matrix)]
        size = self._facts.chunks * len(self._facts.slots)
        return self._choose(Tree.GRAM, self._facts.result.gram_root, size, candidates)

    def base(self) -> Sequence[bytes | None] | None:
        """The leaves that lead to the base model's root."""
        candidates = [self._given.base, self._model(self._published.base)]
        return self._choose(Tree.MODEL, self._facts.spec.base_model, self._facts.row_leaves, candidates, is_base=True)

    def model(self) -> Sequence[bytes | None] | None:
        """The leaves that lead to the new model's root."""
        candidates = [self._given.model, self._model(self._published.model)]
        return self._choose(Tree.MODEL, self._facts.result.new_model, self._facts.row_leaves, candidates)

    def _choose(
        self,
        tree: Tree,
        root: bytes,
        size: int,
        candidates: Sequence[Sequence[bytes | None] | None],
        *,
        slot: int | None = None,
        is_base: bool = False,
    ) -> Sequence[bytes | None] | None:
        actual = None
        for leaves in candidates:
            data = [leaf for leaf in leaves or () if leaf is not None]
            if leaves is not None and len(data) == len(leaves) == size:
                actual = _root(tree, data)
                if actual == root:
                    return leaves
        self.missing.append(CannotOpen(tree=tree, slot=slot, is_base=is_base, expected=root, actual=actual))
        some = {} if is_base else self._answered(tree, root, size, slot or 0)
        return [some[index].data if index in some else None for index in range(size)] if some else None

    def _answered(self, tree: Tree, root: bytes, size: int, slot: int = 0) -> dict[int, Answer]:
        """The answers that lead to the root, by index; their paths are kept."""
        found = {}
        for one in self._answers:
            index, answer = one.index, one.answer
            if tree is Tree.SET and one.tree is Tree.ROW:  # which brings its set leaf along
                index, answer = one.slot, Answer(data=answer.set.data, path=answer.set.path)
            elif one.tree is not tree or (tree is Tree.ROW and one.slot != slot):
                continue
            if _leads(root, tree, index, size, answer):
                found[index] = answer
                self.paths[tree, slot, index] = answer.path
        return found

    def _column_candidates(self, rows: Mapping[int, Sequence[bytes | None]]) -> Iterator[Sequence[ColumnData | None]]:
        if self._given.columns is not None:
            yield self._given.columns
        matrix, rule = self._matrix(rows), self._facts.rule
        if matrix is None or rule is None:
            return
        published = _int32(self._published.aggregate, self._facts.spec.dimension)
        try:
            for selected in self._selections(rule, matrix):
                if published is not None:
                    yield column_data(matrix, published, self._totals(rule, matrix, published, selected))
                computed = self._aggregate(rule, matrix, selected)
                honest = self._totals(rule, matrix, computed, selected)
                if published is not None:
                    yield column_data(matrix, published, honest)
                yield column_data(matrix, computed, honest)
        except VeriflockError:
            return  # the rule is not defined for so few rows, or there is no weight at all

    def _selections(self, rule: Rule, matrix: Int16) -> Iterator[Sequence[int]]:
        """Places that are selected: as stated, then as the rule has it."""
        yield self._facts.selected
        if is_selecting(rule):
            yield select(rule, matrix, f=self._facts.spec.f, m=self._facts.spec.m)

    def _aggregate(self, rule: Rule, matrix: Int16, selected: Sequence[int]) -> Int32:
        f, weights = self._facts.spec.f, self._facts.weights
        parts = [combine(rule, block, f=f, selected=selected, weights=weights) for block in _blocks(matrix)]
        return saturate32(np.concatenate(parts))

    def _totals(self, rule: Rule, matrix: Int16, aggregate: Int32, selected: Sequence[int]) -> Totals:
        parts = [
            contributions(rule, block, aggregate[start : start + BLOCK], f=self._facts.spec.f, selected=selected)
            for start, block in zip(range(0, len(aggregate), BLOCK), _blocks(matrix), strict=True)
        ]
        return Totals(
            kept=np.concatenate([part.kept for part in parts]).cumsum(axis=0).astype(np.uint32),
            deviation=np.concatenate([part.deviation for part in parts]).cumsum(axis=0).astype(np.uint64),
            alignment=np.concatenate([part.alignment for part in parts]).cumsum(axis=0),
        )

    def _matrix(self, rows: Mapping[int, Sequence[bytes | None]]) -> Int16 | None:
        """(k, d) the counted rows, or None if one is missing: those that open, else those that were published."""
        dimension, found = self._facts.spec.dimension, []
        for slot in self._facts.slots:
            row = self._row(slot)
            data = [leaf for leaf in rows.get(slot, ()) if leaf is not None]
            if len(data) == self._facts.row_leaves:
                row = _int16(b"".join(data)[: 2 * dimension], dimension)
            if row is None:
                return None
            found.append(row)
        return np.stack(found) if found else None

    def _row(self, slot: int) -> Int16 | None:
        return _int16(self._published.rows.get(slot), self._facts.spec.dimension)

    def _model(self, published: bytes | None) -> list[bytes] | None:
        model = _int32(published, self._facts.spec.dimension)
        return None if model is None else model_leaves(model)


def _leads(root: bytes, tree: Tree, index: int, size: int, answer: Answer) -> bool:
    try:
        merkle.verify(root, index=index, size=size, leaf=merkle.leaf_hash(tree, answer.data), path=answer.path)
    except VeriflockError:
        return False
    return True


def _int16(data: bytes | None, dimension: int) -> Int16 | None:
    """(d,) the row in the bytes, whatever it holds; None where there are none, or another number of them."""
    if data is None or len(data) != 2 * dimension:
        return None
    return np.frombuffer(data, dtype="<i2").astype(np.int16)


def _int32(data: bytes | None, dimension: int) -> Int32 | None:
    """(d,) the model or aggregate in the bytes, or None likewise."""
    if data is None or len(data) != 4 * dimension:
        return None
    return np.frombuffer(data, dtype="<i4").astype(np.int32)


def _blocks(matrix: Int16) -> Iterator[Int16]:
    for start in range(0, matrix.shape[1], BLOCK):
        yield matrix[:, start : start + BLOCK]


def _root(tree: Tree, leaves: Sequence[bytes]) -> bytes:
    return merkle.root([merkle.leaf_hash(tree, leaf) for leaf in leaves])
