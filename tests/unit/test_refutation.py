"""Whatever an enclave signs wrongly, the search finds it and says which predicate shows it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from protocol.disputes import Family
from protocol.errors import UnavailableError
from protocol.hashing import sha256
from protocol.keys import sign
from protocol.openings import Leaf, Leaves, Openings, Tree
from protocol.outcomes import Reason
from protocol.trees import model_root
from tests.support.drafts import COMMITTED, RULES, UNDELIVERED, Draft, usual
from tests.support.lies import LIES, Lie, add
from verifier.refutation.reconstruction import Answered, CannotOpen, Published, reconstruct
from verifier.refutation.search import search
from verifier.refutation.statement import Statement

NOTHING = Published(rows={})
KINDS = ("weighted-mean", "trimmed-mean", "multi-krum")
"""A rule that weighs, one that drops values, one that selects; tests/conformance/ goes through all of them."""
TABLE = [
    pytest.param(lie, rule, id=f"{rule}: {lie.name}")
    for lie in LIES
    for rule in [rule for rule in lie.rules if rule in KINDS] or lie.rules
]


def found(draft: Draft, published: Published = NOTHING, given: Leaves | None = None) -> list[Statement]:
    openings, _ = reconstruct(draft.facts(), published, given)
    return list(search(draft.facts(), openings, receipts=draft.receipts, results=draft.results))


@pytest.mark.parametrize("rule", RULES)
def test_nothing_is_wrong_with_an_honest_round(rule: str) -> None:
    draft = usual(rule)
    for published, given in ((draft.published(), None), (NOTHING, draft.leaves())):
        openings, missing = reconstruct(draft.facts(), published, given)
        assert missing == ()
        assert list(search(draft.facts(), openings)) == []


@pytest.mark.parametrize(("lie", "rule"), TABLE)
def test_a_lie_is_found_by_its_predicate(lie: Lie, rule: str) -> None:
    draft = lie.draft(rule)
    statements = found(draft, given=draft.leaves())
    assert (lie.function, lie.predicate) in {(one.function, one.predicate) for one in statements}
    openings, missing = reconstruct(draft.facts(), draft.published())
    shown = {one.function for one in search(draft.facts(), openings, receipts=draft.receipts, results=draft.results)}
    if lie.hidden is None:
        assert lie.function in shown
    else:
        assert lie.hidden in {one.tree for one in missing}


HIDDEN = [pytest.param(lie, lie.rules[-1], id=lie.name) for lie in LIES if lie.hidden is not None]


@pytest.mark.parametrize(("lie", "rule"), HIDDEN)
def test_what_vectors_hide_is_found_in_the_leaf_that_somebody_gave(lie: Lie, rule: str) -> None:
    assert lie.hidden is not None
    draft = lie.draft(rule)
    shown = reconstruct(draft.facts(), draft.published(), answers=answers(draft, usual(rule), lie.hidden))[0]
    assert lie.function in {one.function for one in search(draft.facts(), shown)}


def answers(draft: Draft, honest: Draft, tree: Tree) -> list[Answered]:
    """The first leaf of a tree that is not as it should be, and the one before; of a Gram tree every leaf."""
    theirs, ours = ({**vars(of), "row": of.rows[0]}[TREES[tree]] for of in (draft, honest))
    different = [index for index, pair in enumerate(zip(theirs, ours, strict=True)) if pair[0] != pair[1]]
    indices = range(len(theirs)) if tree is Tree.GRAM else range(max(0, different[0] - 1), different[0] + 1)
    opened = Openings(draft.leaves(), counted=draft.counted)
    return [Answered(tree=tree, index=index, answer=opened.answer(tree, slot=0, index=index)) for index in indices]


TREES = {Tree.ROW: "row", Tree.COLUMN: "columns", Tree.GRAM: "gram", Tree.MODEL: "model"}


def test_an_answer_that_does_not_lead_to_the_root_counts_for_nothing() -> None:
    draft, other = usual("median"), usual("mean")
    shown = replace(draft.published(), rows={}, set_leaves=None)
    opened = Openings(other.leaves(), counted=other.counted)
    wrong = [Answered(tree=Tree.COLUMN, index=3, answer=opened.answer(Tree.COLUMN, slot=0, index=3))]
    assert reconstruct(draft.facts(), shown, answers=wrong)[0].leaves.columns is None
    right = Openings(draft.leaves(), counted=draft.counted).answer(Tree.ROW, slot=4, index=3)
    openings, missing = reconstruct(
        draft.facts(), shown, answers=[Answered(tree=Tree.ROW, slot=4, index=3, answer=right)]
    )
    assert [one.tree for one in missing] == [Tree.SET, Tree.ROW, Tree.COLUMN]
    assert (openings.set_leaf(4), openings.row_leaf(4, 3)) == (
        right.set,
        Leaf(index=3, data=right.data, path=right.path),
    )
    for closed in (lambda: openings.set_leaf(3), lambda: openings.row_leaf(4, 2), lambda: openings.row_chunk(4, 0)):
        with pytest.raises(UnavailableError):
            closed()


def test_every_function_of_every_family_is_in_the_table() -> None:
    assert {lie.function for lie in LIES} == {
        *("columnDiffers", "aggregateDiffers", "totalDiffers", "outcomeDiffers", "weightDiffers", "modelDiffers"),
        *("modelPaddingDiffers", "columnMalformed", "preimageMalformed", "modelMalformed"),
        *("productDiffers", "productsDiffer", "normsDiffer", "selectionDiffers", "normOverBound", "gramMalformed"),
        *("receiptBroken", "commitmentBroken", "signatureWrong", "setLeafDiffers", "rowMalformed"),
        *("rowOverBound", "twoResults", "twoReceipts"),
    }
    assert [family.contract for family in Family] == ["SetPredicates", "ColumnPredicates", "GramPredicates"]


def test_a_statement_says_what_it_expected_and_what_it_got() -> None:
    (lie,) = [lie for lie in LIES if lie.name == "the first coordinate of the new model"]
    draft = lie.draft("median")
    (statement,) = found(draft, draft.published())
    assert statement.family is Family.COLUMN
    spec, result, column, coordinate, base, new = statement.arguments
    assert (spec, result, coordinate) == (draft.spec, draft.result(), 0)
    assert [type(part) for part in (column, base, new)] == [Leaf] * 3
    wrong = int.from_bytes(draft.model[0][:4], "little", signed=True)
    assert statement.text == f"coordinate 0 of the new model: expected {wrong - 1}, got {wrong}"


@pytest.mark.parametrize("rule", RULES)
def test_trees_that_nobody_shows_are_named_and_the_others_searched(rule: str) -> None:
    draft = usual(rule)
    draft.set_leaves[0] = bytes(33)
    shown = replace(draft.published(), rows={}, aggregate=None)
    openings, missing = reconstruct(draft.facts(), shown)
    assert {one.function for one in search(draft.facts(), openings)} == {"setLeafDiffers"}
    expected = {Tree.ROW, Tree.COLUMN} | ({Tree.GRAM} if draft.gram is not None else set())
    assert {one.tree for one in missing} == expected
    assert [one.slot for one in missing if one.tree is Tree.ROW] == draft.slots[1:]
    assert {one.actual for one in missing} == {None}


def test_a_vector_that_leads_elsewhere_says_where() -> None:
    draft = usual("mean")
    published = draft.published()
    assert published.model is not None
    shown = replace(published, model=add(published.model, 8, 4, 1))
    _, (missing,) = reconstruct(draft.facts(), shown)
    other = model_root(np.frombuffer(shown.model or b"", "<i4").astype(np.int32))
    assert missing == CannotOpen(tree=Tree.MODEL, expected=draft.result().new_model, actual=other)
    assert str(missing) == (
        f"can't open the model tree: committed 0x{draft.result().new_model.hex()}, rebuilt 0x{other.hex()}"
    )


def test_a_wrong_aggregate_file_beside_honest_commitments_is_no_lie_of_the_enclaves() -> None:
    for rule in RULES:
        draft = usual(rule)
        published = draft.published()
        assert published.aggregate is not None
        for shown in (add(published.aggregate, 8, 4, 1), None):
            openings, missing = reconstruct(draft.facts(), replace(published, aggregate=shown))
            assert (missing, list(search(draft.facts(), openings))) == ((), [])


@pytest.mark.parametrize("changes", [{"rule": 0}, {"chain": sha256(b"nnm+median")}])
def test_of_an_unknown_rule_only_set_leaves_rows_and_signatures_say_anything(changes: dict[str, object]) -> None:
    for lie in LIES:
        if "median" in lie.rules:
            draft = lie.draft("median")
            draft.spec = replace(draft.spec, **changes)  # whose hash the participants did not sign
            for slot in draft.slots if lie.predicate == 1 else ():
                draft.resign(slot)
            functions = {one.function for one in found(draft, given=draft.leaves())}
            assert functions <= OF_ANY_RULE, lie.name


OF_ANY_RULE = {
    *("receiptBroken", "commitmentBroken", "signatureWrong", "setLeafDiffers", "rowMalformed", "twoResults"),
    *("twoReceipts", "rowOverBound"),
}


def test_another_optimizer_leaves_the_step_alone() -> None:
    for lie in LIES:
        if lie.predicate == 6:
            draft = lie.draft("mean")
            draft.spec = replace(draft.spec, optimizer=1)
            for slot in draft.slots:
                draft.resign(slot)
            assert found(draft, given=draft.leaves()) == []


def test_too_few_counted_leave_only_the_set_to_look_at() -> None:
    draft = usual("median")
    result = replace(draft.result(), column_root=bytes(32), new_model=draft.spec.base_model)
    facts = replace(draft.facts(), result=result)
    shown = replace(draft.published(), aggregate=None, model=draft.published().base)
    openings, missing = reconstruct(facts, shown)
    assert (missing, list(search(facts, openings))) == ((), [])
    facts = replace(facts, commitments={**draft.commitments, 0: sha256(b"another")})
    assert [one.function for one in search(facts, openings)] == ["commitmentBroken"]


def test_a_promise_that_somebody_else_signed_is_none() -> None:
    draft = usual("mean")
    (other,) = [draft.receipt(0, sha256(b"another update"))]
    forged = replace(other, signature=sign(draft.keys[1], other.receipt.digest(draft.domain)))
    elsewhere = replace(other, receipt=replace(other.receipt, round_id=8))
    outside = draft.receipt(200, sha256(b"another update"))
    draft.receipts = [forged, elsewhere, outside]
    assert found(draft, given=draft.leaves()) == []


def test_a_commitment_outranks_a_receipt() -> None:
    draft = usual("mean")
    draft.receipts = [draft.receipt(COMMITTED, sha256(b"another update"))]
    assert found(draft, given=draft.leaves()) == []


def test_a_wrong_root_needs_no_commitment() -> None:
    draft = usual("mean")
    del draft.commitments[UNDELIVERED]
    draft.set_leaves[UNDELIVERED] = bytes(32) + bytes([Reason.ROOT])
    draft.outcome(UNDELIVERED, reason=Reason.ROOT)
    assert found(draft, given=draft.leaves()) == []
