"""Was my update counted: a promise that was kept is one line, a broken one an error that names it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from participant.chain import ProposedResult
from participant.journal import StoredReceipt
from participant.settled import check_leaf, check_outcome, check_signed, describe, is_refutable
from participant.update import prepare
from protocol.errors import CommitmentMismatchError, LengthError, SignatureError, UnavailableError, VerificationError
from protocol.keys import address, sign
from protocol.messages import RoundResult
from protocol.outcomes import Outcome, Reason, Status, encode_outcomes, outcomes_hash
from protocol.trees import SetLeaf, set_root
from tests.unit.participant_world import DOMAIN, ENCLAVE, ENCLAVE_KEY, FEDERATION, KEY, SIGNER, SLOT, SPEC, receipt

PAYLOAD = prepare(np.linspace(-1, 1, SPEC.dimension), spec=SPEC, samples=64, key=KEY, domain=DOMAIN).payload
RECEIPT = StoredReceipt(**dict(zip(("receipt", "signature"), receipt(PAYLOAD.update.hash_struct()), strict=True)))
MINE = SetLeaf(update_root=PAYLOAD.update.update_root, samples=64, signature=PAYLOAD.signature)
COUNTED = Outcome(status=Status.COUNTED, kept=600, alignment=5)
NOBODY = bytes(32)


def settled(outcome: Outcome = COUNTED, leaf: SetLeaf = MINE) -> tuple[ProposedResult, list[bytes]]:
    """A result over two slots in which mine has this outcome and this leaf."""
    outcomes = [Outcome(status=Status.ABSENT)] * 2
    leaves = [SetLeaf().encode()] * 2
    outcomes[SLOT], leaves[SLOT] = outcome, leaf.encode()
    result = RoundResult(
        federation=FEDERATION,
        round_id=1,
        spec=SPEC.hash_struct(),
        previous=bytes(32),
        set_root=set_root(leaves),
        counted=1 << SLOT,
        selected=1 << SLOT,
        column_root=bytes(32),
        gram_root=bytes(32),
        outcomes=outcomes_hash(outcomes),
        new_model=bytes(32),
        state=bytes(32),
        enclave=ENCLAVE,
    )
    signature = sign(ENCLAVE_KEY, result.digest(DOMAIN))
    return ProposedResult(result=result, outcomes=encode_outcomes(outcomes), signature=signature), leaves


def check(
    proposed: ProposedResult,
    leaves: list[bytes],
    *,
    kept: StoredReceipt | None = RECEIPT,
    commitment: bytes = NOBODY,
) -> str:
    outcome = check_outcome(proposed, slot=SLOT, receipt=kept, commitment=commitment)
    check_leaf(proposed, outcome, slot=SLOT, payload=PAYLOAD, set_leaves=leaves)
    return describe(SLOT, outcome)


def test_a_kept_promise_is_one_line() -> None:
    assert check(*settled()) == f"my slot {SLOT} counted as promised, not flagged, kept 600 coordinates"
    flagged = settled(Outcome(status=Status.COUNTED, flagged=True, alignment=-1))
    assert "flagged, kept 0" in check(*flagged)


def test_a_receipt_for_a_slot_that_is_not_counted_is_a_broken_promise() -> None:
    absent = settled(Outcome(status=Status.ABSENT), SetLeaf())
    with pytest.raises(VerificationError, match="for which I hold a receipt: expected counted, got absent"):
        check(*absent)
    assert check(*absent, kept=None) == f"my slot {SLOT} absent (reason none)"


def test_another_update_in_my_slot_is_a_broken_promise() -> None:
    with pytest.raises(CommitmentMismatchError, match="set leaf of my slot"):
        check(*settled(leaf=replace(MINE, samples=1)))


def test_an_outcome_that_the_set_does_not_bear_out_is_noticed() -> None:
    with pytest.raises(VerificationError, match="set leaf and outcome"):
        check(*settled(Outcome(status=Status.ABSENT), MINE), kept=None)


def test_published_leaves_that_are_not_the_rounds_are_noticed() -> None:
    proposed, leaves = settled()
    with pytest.raises(UnavailableError, match="are not the round's"):
        check(proposed, [*leaves, leaves[0]])
    with pytest.raises(UnavailableError, match="are not the round's"):
        check(proposed, [])


def test_a_set_tree_of_another_size_can_not_be_opened_on_the_ledger_and_is_no_evidence() -> None:
    proposed, leaves = settled()
    for others in (leaves[:1], [*leaves, leaves[0]]):
        signed = replace(proposed, result=replace(proposed.result, set_root=set_root(others)))
        with pytest.raises(UnavailableError, match="are not the round's"):
            check(signed, others)


def test_an_outcome_that_breaks_a_promise_can_be_refuted_unless_a_commitment_allows_it() -> None:
    for reason in (Reason.UNDELIVERED, Reason.UNOPENED, Reason.ROOT, Reason.NORM):
        proposed, _ = settled(Outcome(status=Status.REFUSED, reason=reason), SetLeaf(reason=reason))
        assert is_refutable(proposed, slot=SLOT, commitment=NOBODY)
        assert is_refutable(proposed, slot=SLOT, commitment=PAYLOAD.update.hash_struct()) == (reason == Reason.NORM)


def test_a_result_without_my_slot_is_noticed() -> None:
    proposed, leaves = settled()
    if SLOT == 1:
        with pytest.raises(LengthError, match="outcomes of the round"):
            check(replace(proposed, outcomes=proposed.outcomes[:32]), leaves)
    with pytest.raises(LengthError):
        check(replace(proposed, outcomes=b""), leaves)


def test_a_commitment_is_counted_or_has_one_of_three_reasons() -> None:
    committed = PAYLOAD.update.hash_struct()
    for reason in (Reason.UNDELIVERED, Reason.UNOPENED, Reason.ROOT):
        lost = settled(Outcome(status=Status.REFUSED, reason=reason), SetLeaf(reason=reason))
        assert reason.name.lower() in check(*lost, kept=None, commitment=committed)
    refused = settled(Outcome(status=Status.REFUSED, reason=Reason.NORM), SetLeaf(reason=Reason.NORM))
    for ignored in (refused, settled(Outcome(status=Status.ABSENT), SetLeaf())):
        with pytest.raises(VerificationError, match="which I committed on chain"):
            check(*ignored, kept=None, commitment=committed)


def test_a_result_that_the_enclave_did_not_sign_is_noticed_whatever_the_ledger_let_through() -> None:
    proposed, _ = settled()
    check_signed(proposed, signer=SIGNER, domain=DOMAIN)
    with pytest.raises(SignatureError):
        check_signed(proposed, signer=address(KEY), domain=DOMAIN)
    with pytest.raises(SignatureError):
        check_signed(
            replace(proposed, signature=sign(KEY, proposed.result.digest(DOMAIN))), signer=SIGNER, domain=DOMAIN
        )
