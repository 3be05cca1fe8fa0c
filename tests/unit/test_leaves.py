"""What a coordinator's store opens for whoever asks: any leaf of a round of any rule, and nothing of lost artifacts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coordinator import leaves as opening
from coordinator.leaves import Opener
from coordinator.rounds import LeafRequest
from coordinator.store import Store
from protocol import merkle
from protocol.errors import CommitmentMismatchError, RangeError, UnavailableError
from protocol.fixedpoint import Int16
from protocol.hashing import sha256
from protocol.openings import Tree
from tests.support.drafts import ABSENT, RULES, SELECTING, usual
from tests.support.kept import publish

SLOT = 3
"""Counted in the usual round."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path) as opened:
        yield opened


def request(tree: Tree, index: int, slot: int = SLOT) -> LeafRequest:
    """A member's."""
    return LeafRequest(member=bytes(20), tree=tree, slot=slot, index=index, answer_by=0)


@pytest.mark.parametrize("rule", RULES)
def test_every_tree_opens_from_the_store_at_its_ends(store: Store, rule: str) -> None:
    draft, result = usual(rule), usual(rule).result()
    publish(store, draft)
    row_root = draft.set_leaves[SLOT][:32]
    trees = [
        (Tree.ROW, row_root, draft.rows[SLOT]),
        (Tree.SET, result.set_root, draft.set_leaves),
        (Tree.COLUMN, result.column_root, [leaf.data for leaf in draft.columns]),
        (Tree.MODEL, result.new_model, draft.model),
        *([(Tree.GRAM, result.gram_root, draft.gram or [])] if rule in SELECTING else []),
    ]
    for tree, root, leaves in trees:
        for index in (0, len(leaves) - 1):
            answer = Opener(store).answer(draft.spec, result, request(tree, index))
            leaf = merkle.leaf_hash(tree, answer.data)
            merkle.verify(root, index=index, size=len(leaves), leaf=leaf, path=answer.path)
            assert answer.data == leaves[index]
            if tree is Tree.COLUMN:
                assert (sha256(answer.columns), sha256(answer.totals)) == (answer.data[:32], answer.data[32:64])
            if tree is Tree.ROW:
                assert answer.set.data == draft.set_leaves[SLOT]


def test_a_leaf_that_is_not_there_is_out_of_range(store: Store) -> None:
    draft = usual("median")
    publish(store, draft)
    with pytest.raises(RangeError):
        Opener(store).answer(draft.spec, draft.result(), request(Tree.SET, len(draft.cohort)))


def test_without_evidence_nothing_is_opened(store: Store) -> None:
    with pytest.raises(UnavailableError, match="the evidence of round 7 is gone; restore the store"):
        Opener(store).answer(usual("median").spec, usual("median").result(), request(Tree.SET, 0))


def test_evidence_of_another_result_opens_nothing(store: Store) -> None:
    draft = usual("median")
    publish(store, draft)
    other = replace(draft.result(), new_model=sha256(b"another"))
    with pytest.raises(CommitmentMismatchError, match="result that the evidence here is of"):
        Opener(store).answer(draft.spec, other, request(Tree.SET, 0))


def test_a_lost_row_keeps_only_what_needs_it_from_being_opened(store: Store) -> None:
    draft = usual("median")
    evidence = publish(store, draft)
    (store.root / "artifacts" / "blobs" / (evidence.rows[SLOT] or b"").hex()).unlink()
    for tree in (Tree.ROW, Tree.COLUMN):
        with pytest.raises(UnavailableError, match=f"the row of slot {SLOT}, is gone; restore the store"):
            Opener(store).answer(draft.spec, draft.result(), request(tree, 0))
    for tree in (Tree.SET, Tree.MODEL):
        assert Opener(store).answer(draft.spec, draft.result(), request(tree, 0)).data
    assert Opener(store).answer(draft.spec, draft.result(), request(Tree.ROW, 0, slot=SLOT - 2)).data


def test_a_row_that_was_not_handed_out_is_not_opened(store: Store) -> None:
    draft = usual("median")
    publish(store, draft, are_rows_public=False)
    with pytest.raises(UnavailableError, match=f"the row of slot {SLOT} was not handed out"):
        Opener(store).answer(draft.spec, draft.result(), request(Tree.ROW, 0))


def test_a_slot_that_is_not_counted_has_no_row(store: Store) -> None:
    draft = usual("median")
    publish(store, draft)
    with pytest.raises(UnavailableError, match=f"the row of slot {ABSENT} was not handed out"):
        Opener(store).answer(draft.spec, draft.result(), request(Tree.ROW, 0, slot=ABSENT))


@pytest.mark.parametrize("tree", [Tree.ROW, Tree.COLUMN, Tree.GRAM])
def test_another_row_under_the_right_slot_is_noticed_before_anything_is_sent(store: Store, tree: Tree) -> None:
    draft = usual("krum")
    evidence = publish(store, draft)
    rows = list(evidence.rows)
    rows[SLOT] = evidence.rows[0]
    store.write_evidence(draft.spec.round_id, replace(evidence, rows=tuple(rows)).encode())
    with pytest.raises(CommitmentMismatchError, match=f"stored for the {tree.name.lower()} tree"):
        Opener(store).answer(draft.spec, draft.result(), request(tree, 0))


def test_the_rule_is_run_once_for_a_round_whoever_asks(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    draft, runs, aggregate = usual("krum"), [], opening.aggregate

    def counted(name: str, rows: Int16, **parameters: Any) -> object:
        runs.append(str(name))
        return aggregate(name, rows, **parameters)

    publish(store, draft)
    monkeypatch.setattr(opening, "aggregate", counted)
    opener = Opener(store)
    asked = [request(tree, index) for index in (0, 1, 0) for tree in (Tree.COLUMN, Tree.GRAM, Tree.ROW)]
    answers = [opener.answer(draft.spec, draft.result(), one) for one in asked]
    assert runs == ["krum"]
    assert answers == [Opener(store).answer(draft.spec, draft.result(), one) for one in asked]
    runs.clear()
    opener.forget()
    assert opener.answer(draft.spec, draft.result(), asked[0]) == answers[0]
    assert runs == ["krum"]


def test_what_is_kept_of_one_result_is_not_shown_for_another(store: Store) -> None:
    draft = usual("median")
    publish(store, draft)
    opener = Opener(store)
    opener.answer(draft.spec, draft.result(), request(Tree.COLUMN, 0))
    with pytest.raises(CommitmentMismatchError, match="result that the evidence here is of"):
        opener.answer(draft.spec, replace(draft.result(), state=sha256(b"another")), request(Tree.COLUMN, 0))
