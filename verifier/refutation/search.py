"""The search: everything that is open, against everything that it has to be.

Responsible for: which searches apply to a round, and their order.
Must not know:   where the leaves are from (verifier/refutation/reconstruction.py).

Spec: docs/protocol.md sections 7 and 8.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from protocol.openings import Openings
from verifier.refutation import columns, grams, models, sets
from verifier.refutation.statement import Facts, SignedReceipt, SignedResult, Statement
from verifier.refutation.tables import Tables


def search(
    facts: Facts,
    openings: Openings,
    *,
    receipts: Sequence[SignedReceipt] = (),
    results: Sequence[SignedResult] = (),
) -> Iterator[Statement]:
    """What is wrong with the result, cheapest first: one statement of each kind and slot, not one of each coordinate.

    openings: of the leaves that lead to the committed roots (`reconstruct`); a tree that is not among them is left out.
    receipts: that participants hold.   results: of the same round, signed; the proposed one may be among them.
    """
    for i, result in enumerate(results):
        for other in results[:i]:
            yield from sets.two_results(facts, other, result)
    for i, receipt in enumerate(receipts):
        for another in receipts[:i]:
            yield from sets.two_receipts(facts, another, receipt)
    tables = Tables(facts, openings.leaves)
    if openings.leaves.set_leaves is not None:
        yield from sets.receipts(facts, openings, receipts)
        yield from sets.set_leaves(facts, openings)
        yield from sets.rows(facts, openings, tables)
    if facts.rule is not None and facts.has_columns:
        yield from _of_the_rule(facts, openings, tables)
    if openings.leaves.set_leaves is not None:
        yield from sets.norms(facts, openings, tables)  # by far the largest: any of them may not fit a transaction


def _of_the_rule(facts: Facts, openings: Openings, tables: Tables) -> Iterator[Statement]:
    rule, leaves = facts.rule, openings.leaves
    if rule is None:
        return
    if leaves.set_leaves is not None:
        yield from columns.weights(facts, openings, rule)
    if leaves.gram is not None:
        yield from grams.lengths(facts, openings, tables)
        yield from grams.symmetry(facts, openings, tables)
        yield from grams.norms(facts, openings, tables)
        yield from grams.selection(facts, openings, tables)
        yield from grams.products(facts, openings, tables)
    if leaves.columns is not None:
        yield from columns.lengths(facts, openings, tables)
        yield from columns.outcomes(facts, openings, tables)
        yield from columns.columns(facts, openings, tables)
        yield from columns.aggregate(facts, openings, tables, rule)
        yield from columns.totals(facts, openings, tables, rule)
    if leaves.model is not None:
        yield from models.lengths(facts, openings, tables)
        if facts.spec.optimizer == 0:
            yield from models.padding(facts, openings, tables)
            if leaves.base is not None and leaves.columns is not None:
                yield from models.model(facts, openings, tables)
