"""What the column tree shows: F1, F2, F4, weights of F5, and lengths of F7.

Responsible for: finding a column that is not its row's, an aggregate that is not its column's, a total that is not the
                 last one and what was added.
Must not know:   Gram trees, models; the rules themselves (verifier/replay.py).

Spec: docs/protocol.md sections 3.4, 5.3 and 6.  Twin: contracts/src/predicates/ColumnPredicates.sol.

Everything is held against what the tree itself has in the leaf, never against what should be in it: each wrong link of
a chain is found on its own, and the statement needs no other leaf than its own and the one before.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from protocol.disputes import Family, Predicate
from protocol.openings import NO_SUMS, Openings
from protocol.rulebook import Rule
from protocol.trees import COLUMN_LEAF, ROW_LEAF, SET_LEAF_COUNTED_BYTES
from verifier.refutation.statement import Facts, Statement
from verifier.refutation.tables import (
    COLUMN_LEAF_BYTES,
    COLUMNS_BYTES,
    TOTALS_BYTES,
    Tables,
    first,
)
from verifier.replay import combine, contributions, kept_range

LANES = ROW_LEAF // COLUMN_LEAF
"""Leaves of the column tree that one leaf of a row or a model covers."""
BLOCK = 1 << 12
"""Leaves compared at once: with 20 slots 10 MiB of int64."""


def lengths(facts: Facts, openings: Openings, tables: Tables) -> Iterator[Statement]:
    """F7: a leaf that is not 128 bytes; columns or totals whose length does not follow from the number counted."""
    bad, k = tables.aggregate.first_bad(), len(facts.slots)
    if bad is not None:
        leaf = openings.column_leaf(bad)
        text = f"leaf {bad} of the column tree: expected {COLUMN_LEAF_BYTES} bytes, got {len(leaf.data)}"
        yield facts.statement(Family.COLUMN, Predicate.FORM, "columnMalformed", leaf, text=text)
    for is_totals, what, size in ((False, "columns", COLUMNS_BYTES * k), (True, "totals", TOTALS_BYTES * k)):
        at = (tables.totals if is_totals else tables.columns).first_bad()
        if at is not None:
            preimage = openings.sums(at).totals if is_totals else openings.column(at).columns
            text = f"{what} of leaf {at} of the column tree: expected {size} bytes, got {len(preimage)}"
            arguments = (openings.column_leaf(at), is_totals, preimage)
            yield facts.statement(Family.COLUMN, Predicate.FORM, "preimageMalformed", *arguments, text=text)


def columns(facts: Facts, openings: Openings, tables: Tables) -> Iterator[Statement]:
    """F1: sixteen coordinates of a slot that are not those of its row."""
    count = facts.column_leaves
    for place, slot in enumerate(facts.slots):
        if slot not in openings.leaves.rows:
            continue
        row = tables.row(slot)
        theirs = row.values.reshape(-1, COLUMN_LEAF)[:count]  # (L, 16)
        ours = tables.columns.values[:, place]
        is_wrong = (ours != theirs).any(axis=1) & tables.columns.is_good & np.repeat(row.is_good, LANES)[:count]
        at = first(is_wrong)
        if at is None:
            continue
        lane = int(np.flatnonzero(ours[at] != theirs[at])[0])
        text = (
            f"coordinate {at * COLUMN_LEAF + lane} of slot {slot} in the column tree: "
            f"expected {int(theirs[at, lane])}, as in its row, got {int(ours[at, lane])}"
        )
        leaf = openings.row_leaf(slot, at // LANES)
        arguments = (openings.column(at), openings.set_leaf(slot), leaf.data, leaf.path)
        yield facts.statement(Family.COLUMN, Predicate.COLUMN, "columnDiffers", *arguments, text=text)


def aggregate(facts: Facts, openings: Openings, tables: Tables, rule: Rule) -> Iterator[Statement]:
    """F2: the first coordinate of the aggregate that is not what the rule makes of its column, or not zero past d."""
    if rule is Rule.WEIGHTED_MEAN and not any(facts.weights):
        return  # nothing follows from no weight at all: `weights` refutes that
    for start, block, actual in _blocks(facts, tables):
        found = combine(rule, block, f=facts.spec.f, selected=facts.selected, weights=facts.weights)
        expected = np.zeros(actual.size, dtype=np.int64)
        expected[: found.size] = found
        is_good = np.repeat(tables.columns.is_good[start : start + BLOCK], COLUMN_LEAF)
        at = first((actual != expected) & is_good)
        if at is None:
            continue
        index, lane = start + at // COLUMN_LEAF, at % COLUMN_LEAF
        low = high = 0
        if at < found.size and rule in (Rule.MEDIAN, Rule.TRIMMED_MEAN):
            lowest, highest = kept_range(rule, block[:, at : at + 1], f=facts.spec.f)
            low, high = int(lowest[0]), int(highest[0])
        text = (
            f"coordinate {index * COLUMN_LEAF + lane} of the aggregate: "
            f"expected {int(expected[at])}, as follows from its column, got {int(actual[at])}"
        )
        words = facts.outcomes if rule is Rule.WEIGHTED_MEAN else b""
        arguments = (openings.column(index), lane, low, high, words)
        yield facts.statement(Family.COLUMN, Predicate.AGGREGATE, "aggregateDiffers", *arguments, text=text)
        return


def totals(facts: Facts, openings: Openings, tables: Tables, rule: Rule) -> Iterator[Statement]:
    """F4: for each slot the first leaf whose total is not the last one plus what its coordinates add."""
    said, missing = tables.totals, set(range(len(facts.slots)))
    for start, block, actual in _blocks(facts, tables):
        added = contributions(rule, block, actual[: block.shape[1]], f=facts.spec.f, selected=facts.selected)
        here = slice(start, start + BLOCK)
        is_open = said.is_good[here] & tables.columns.is_good[here]
        is_open[1:] &= said.is_good[here][:-1]
        is_open[0] &= start == 0 or said.is_good[start - 1]
        is_wrong = np.zeros(added.kept.shape, dtype=np.bool_)
        for name, plus in (("kept", added.kept), ("deviation", added.deviation), ("alignment", added.alignment)):
            after = said.values[name][here]
            native = after.astype(after.dtype.newbyteorder("="))
            before = _before(said.values[name], start).astype(native.dtype)
            is_wrong |= native - before != plus.astype(native.dtype)  # wraps, as the ledger's numbers do
        for place in sorted(missing):
            at = first(is_wrong[:, place] & is_open)
            if at is not None:
                missing.discard(place)
                each = (added.kept[at, place], added.deviation[at, place], added.alignment[at, place])
                yield _total(facts, openings, tables, start + at, place, tuple(map(int, each)))


def outcomes(facts: Facts, openings: Openings, tables: Tables) -> Iterator[Statement]:
    """F4: an outcome that does not say what the totals of the last leaf say."""
    last = facts.column_leaves - 1
    if not tables.totals.is_good[last]:
        return
    for place, slot in enumerate(facts.slots):
        expected = tuple(int(value) for value in tables.totals.values[last, place])
        outcome = facts.stated[slot]
        actual = (outcome.kept, outcome.deviation, outcome.alignment)
        if actual != expected:
            text = f"kept, deviation, alignment of slot {slot}: expected {expected}, as the last leaf has, got {actual}"
            arguments = (openings.sums(last), facts.outcomes, slot)
            yield facts.statement(Family.COLUMN, Predicate.TOTAL, "outcomeDiffers", *arguments, text=text)


def weights(facts: Facts, openings: Openings, rule: Rule) -> Iterator[Statement]:
    """F5: a weight that is not min(samples, weightCap) for the weighted mean, or not zero for another rule."""
    for slot in facts.slots:
        data = (openings.leaves.set_leaves or ())[slot]
        if data is None or len(data) != SET_LEAF_COUNTED_BYTES:
            continue
        capped = min(int.from_bytes(data[32:36]), facts.spec.weight_cap)
        expected, actual = capped if rule is Rule.WEIGHTED_MEAN else 0, facts.stated[slot].weight
        if actual != expected:
            text = f"weight of slot {slot}: expected {expected}, got {actual}"
            arguments = (facts.outcomes, openings.set_leaf(slot))
            yield facts.statement(Family.COLUMN, Predicate.OUTCOME, "weightDiffers", *arguments, text=text)


def _total(
    facts: Facts, openings: Openings, tables: Tables, index: int, place: int, added: tuple[int, ...]
) -> Statement:
    slot, said = facts.slots[place], tables.totals.values
    before = tuple(int(value) for value in said[index - 1, place]) if index else (0, 0, 0)
    expected = tuple(a + b for a, b in zip(before, added, strict=True))
    actual = tuple(int(value) for value in said[index, place])
    text = (
        f"kept, deviation, alignment of slot {slot} up to leaf {index} of the column tree: "
        f"expected {expected}, which is {before} and {added}, got {actual}"
    )
    previous = openings.sums(index - 1) if index else NO_SUMS
    arguments = (openings.column(index), openings.sums(index).totals, previous, slot)
    return facts.statement(Family.COLUMN, Predicate.TOTAL, "totalDiffers", *arguments, text=text)


def _blocks(facts: Facts, tables: Tables) -> Iterator[tuple[int, NDArray[np.int16], NDArray[np.int32]]]:
    """(first leaf, (k, b) its columns up to the dimension, (16 * leaves,) its aggregate) of block after block."""
    k = len(facts.slots)
    for start in range(0, facts.column_leaves, BLOCK):
        some = tables.columns.values[start : start + BLOCK]  # (leaves, k, 16)
        flat = some.transpose(1, 0, 2).reshape(k, -1)
        aggregate_ = tables.aggregate.values[start : start + BLOCK].reshape(-1)
        yield start, flat[:, : facts.spec.dimension - start * COLUMN_LEAF], aggregate_


def _before(values: NDArray[np.generic], start: int) -> NDArray[np.generic]:
    """The entries before those of the block that starts at a leaf; zero before the first leaf."""
    stop = min(start + BLOCK, len(values))
    if start:
        return values[start - 1 : stop - 1]
    return np.concatenate([np.zeros((1, *values.shape[1:]), dtype=values.dtype), values[: stop - 1]])
