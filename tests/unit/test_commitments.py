"""Which commitments a signed result breaks: the same table that the ledger's predicate has."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from coordinator.commitments import NEED_COMMITMENT, Commitments, broken_slots
from protocol.errors import UnavailableError
from protocol.events import RoundOpened
from protocol.hashing import sha256
from protocol.messages import Update
from protocol.outcomes import Reason
from protocol.trees import SetLeaf, parse_set_leaf
from tests.support.drafts import ABSENT, usual

DRAFT = usual("median")
OPENED = RoundOpened(
    round_id=DRAFT.spec.round_id,
    spec=DRAFT.spec.hash_struct(),
    enclave=DRAFT.spec.enclave,
    coordinator=bytes(20),
    value=DRAFT.spec,
    cohort=DRAFT.cohort,
)
LEAVES = [parse_set_leaf(data) for data in DRAFT.set_leaves]
COUNTED = 3
OTHER = sha256(b"another update")
KEPT = {slot: OTHER for slot, leaf in enumerate(LEAVES) if leaf.reason in NEED_COMMITMENT}
"""What the usual round needs not to lie."""


def counted_update() -> bytes:
    leaf = LEAVES[COUNTED]
    return Update(
        federation=DRAFT.spec.federation,
        round_id=DRAFT.spec.round_id,
        spec=DRAFT.spec.hash_struct(),
        enclave=DRAFT.spec.enclave,
        participant=DRAFT.cohort[COUNTED],
        update_root=leaf.update_root,
        samples=leaf.samples,
    ).hash_struct()


@pytest.mark.parametrize(
    ("leaf", "commitment", "is_broken"),
    [
        (LEAVES[COUNTED], None, False),
        (LEAVES[COUNTED], counted_update(), False),
        (LEAVES[COUNTED], OTHER, True),
        (replace(LEAVES[COUNTED], samples=LEAVES[COUNTED].samples + 1), counted_update(), True),
        *[(SetLeaf(reason=reason), None, reason in (7, 8)) for reason in Reason],
        *[(SetLeaf(reason=reason), OTHER, reason < 7) for reason in Reason],
    ],
)
def test_a_leaf_keeps_or_breaks_a_commitment(leaf: SetLeaf, commitment: bytes | None, is_broken: bool) -> None:
    leaves = [*DRAFT.set_leaves[:COUNTED], leaf.encode(), *DRAFT.set_leaves[COUNTED + 1 :]]
    commitments = KEPT if commitment is None else {**KEPT, COUNTED: commitment}
    assert broken_slots(OPENED, leaves, commitments) == ([COUNTED] if is_broken else [])


def test_a_commitment_of_somebody_absent_is_broken() -> None:
    assert broken_slots(OPENED, DRAFT.set_leaves, {**KEPT, ABSENT: OTHER}) == [ABSENT]


@pytest.mark.parametrize("late_s", [0, 1])
def test_commitments_are_complete_only_past_the_deadline(late_s: int) -> None:
    commit = DRAFT.spec.deadlines[2]
    block = SimpleNamespace(number=9, timestamp=commit + late_s)
    asked: list[Any] = []
    ledger: Any = SimpleNamespace(
        chain=SimpleNamespace(block={"latest": block}.get), commitments=lambda *question: asked.append(question) or {}
    )
    if late_s:
        assert Commitments(ledger).read(OPENED) == {}
        assert asked == [(DRAFT.spec.round_id, DRAFT.cohort, 9)]
    else:
        with pytest.raises(UnavailableError, match=f"newest block is of {commit}, commitments are complete after"):
            Commitments(ledger).read(OPENED)
        assert asked == []
