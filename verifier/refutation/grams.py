"""What the Gram tree shows: inner products of F4, the selection and its numbers of F5, lengths and norms of F7.

Responsible for: finding an inner product that does not add up, and a slot that was selected before a better one.
Must not know:   columns, models.

Spec: docs/protocol.md sections 3.5 and 6.  Twin: contracts/src/predicates/GramPredicates.sol.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.disputes import Family, Predicate
from protocol.openings import NO_LINE, Openings
from protocol.trees import ROW_LEAF, gram_leaves
from verifier.refutation.statement import Facts, Statement
from verifier.refutation.tables import Tables


def lengths(facts: Facts, openings: Openings, tables: Tables) -> Iterator[Statement]:
    """F7: a leaf that is not 8 bytes for each counted slot."""
    at = tables.gram.first_bad()
    if at is not None:
        leaf = openings.gram_leaf(at)
        text = f"leaf {at} of the Gram tree: expected {8 * len(facts.slots)} bytes, got {len(leaf.data)}"
        yield facts.statement(Family.GRAM, Predicate.FORM, "gramMalformed", leaf, text=text)


def products(facts: Facts, openings: Openings, tables: Tables) -> Iterator[Statement]:
    """F4: for each line the first inner product that is not the one before plus what its chunk adds."""
    added, has_row = _products_by_chunk(facts, openings, tables)
    said = tables.gram
    values = said.values.astype(np.int64)  # (C, k, k)
    is_open = said.is_good.copy()  # (C, k)
    is_open[1:] &= said.is_good[:-1]
    is_wrong = np.diff(values, axis=0, prepend=0) != added
    is_wrong &= is_open[:, :, None] & has_row[None, :, None] & has_row[None, None, :]
    for place, slot in enumerate(facts.slots):
        found = np.argwhere(is_wrong[:, place])
        if not len(found):
            continue
        chunk, entry = (int(value) for value in found[0])
        before = int(values[chunk - 1, place, entry]) if chunk else 0
        expected, actual = before + int(added[chunk, place, entry]), int(values[chunk, place, entry])
        other = facts.slots[entry]
        text = f"inner product of slots {slot} and {other} up to chunk {chunk}: expected {expected}, got {actual}"
        previous = openings.gram_line(chunk - 1, slot) if chunk else NO_LINE
        arguments = (chunk, openings.gram_line(chunk, slot), previous)
        both = (openings.row_chunk(slot, chunk), openings.row_chunk(other, chunk))
        yield facts.statement(Family.GRAM, Predicate.TOTAL, "productDiffers", *arguments, *both, text=text)


def symmetry(facts: Facts, openings: Openings, tables: Tables) -> Iterator[Statement]:
    """F5: the first G[i][j] that is not G[j][i]."""
    said = tables.gram
    is_wrong = (said.values != said.values.transpose(0, 2, 1)) & said.is_good[:, :, None] & said.is_good[:, None, :]
    found = np.argwhere(is_wrong)
    if len(found):
        chunk, i, j = (int(value) for value in found[0])
        one, other = facts.slots[i], facts.slots[j]
        pair = int(said.values[chunk, i, j]), int(said.values[chunk, j, i])
        text = f"inner products of slots {one} and {other} up to chunk {chunk}: expected one number, got {pair}"
        arguments = (chunk, openings.gram_line(chunk, one), openings.gram_line(chunk, other))
        yield facts.statement(Family.GRAM, Predicate.OUTCOME, "productsDiffer", *arguments, text=text)


def norms(facts: Facts, openings: Openings, tables: Tables) -> Iterator[Statement]:
    """F7: a squared norm over the bound.  F5: norms and outcomes of which r would have two lengths."""
    last, bound = facts.chunks - 1, facts.spec.norm_bound
    lines = _lines(facts, tables)
    for line in lines:
        if bound and line.norm > bound:
            text = f"squared norm of slot {line.slot}: expected at most {bound}, got {line.norm}"
            opened = openings.gram_line(last, line.slot)
            yield facts.statement(Family.GRAM, Predicate.FORM, "normOverBound", opened, text=text)
    for line in lines[1:]:
        pair = lines[0].reference, line.reference
        if pair[0] != pair[1]:
            text = f"squared norm of r, from slots {lines[0].slot} and {line.slot}: expected one number, got {pair}"
            both = (openings.gram_line(last, lines[0].slot), openings.gram_line(last, line.slot))
            yield facts.statement(Family.GRAM, Predicate.OUTCOME, "normsDiffer", facts.outcomes, *both, text=text)
            return


def selection(facts: Facts, openings: Openings, tables: Tables) -> Iterator[Statement]:
    """F5: the last of the selected slots comes after the first of the others, by (score, slot)."""
    number, last = len(facts.slots) - facts.spec.f - 2, facts.chunks - 1
    ranked = sorted(line.score(facts, number) for line in _lines(facts, tables))
    chosen = [one for one in ranked if facts.result.selected >> one[1] & 1]
    others = [one for one in ranked if not facts.result.selected >> one[1] & 1]
    if not chosen or not others or others[0] > chosen[-1]:
        return
    (worst, slot, reach), (best, other, other_reach) = chosen[-1], others[0]
    text = f"selected slots: expected {other} (score {best}) before {slot} (score {worst})"
    both = (openings.gram_line(last, slot), openings.gram_line(last, other))
    arguments = (facts.outcomes, *both, reach, other_reach)
    yield facts.statement(Family.GRAM, Predicate.OUTCOME, "selectionDiffers", *arguments, text=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A counted slot's line of the Gram matrix, which has no norm but its own: the others follow from the outcomes."""

    slot: int
    norm: int
    products: tuple[int, ...]
    """With every counted slot, ascending."""
    reference: int
    """Squared norm of r, as norm and outcome of this slot have it: deviation + 2 * alignment - norm."""

    def score(self, facts: Facts, number: int) -> tuple[int, int, int]:
        """(score, slot, reach): the sum and the largest of the `number` smallest distances to other slots."""
        distances = sorted(
            self.norm + _size(facts, slot) - self.reference - 2 * product
            for slot, product in zip(facts.slots, self.products, strict=True)
            if slot != self.slot
        )[:number]
        return sum(distances), self.slot, distances[-1]


def _size(facts: Facts, slot: int) -> int:
    """Squared norms of the slot's row and of r together, by its outcome."""
    return facts.stated[slot].deviation + 2 * facts.stated[slot].alignment


def _lines(facts: Facts, tables: Tables) -> list[_Line]:
    """Lines of the last chunk that have their length."""
    values, is_good = tables.gram.values[-1], tables.gram.is_good[-1]
    found = []
    for place, slot in enumerate(facts.slots):
        if is_good[place]:
            products_ = tuple(int(value) for value in values[place])
            norm = products_[place]
            found.append(_Line(slot=slot, norm=norm, products=products_, reference=_size(facts, slot) - norm))
    return found


def _products_by_chunk(facts: Facts, openings: Openings, tables: Tables) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(C, k, k) what each chunk adds; (k,) whether a slot's row opens, all its leaves in their length."""
    k = len(facts.slots)
    has_row = np.zeros(k, dtype=np.bool_)
    rows = np.zeros((k, facts.row_leaves * ROW_LEAF), dtype=np.int16)
    for place, slot in enumerate(facts.slots):
        if slot in openings.leaves.rows and tables.row(slot).is_good.all():
            has_row[place] = True
            rows[place] = tables.row(slot).values.reshape(-1)
    running = np.frombuffer(b"".join(gram_leaves(rows)), dtype=">i8").astype(np.int64).reshape(-1, k, k)
    return np.diff(running, axis=0, prepend=0), has_row
