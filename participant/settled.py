"""Was my update counted?  The receipt, or the commitment, held against a result that is proposed or settled.

Responsible for: one participant's own slot: outcome, set leaf, and what was promised.
Must not know:   where result, outcomes and leaves come from; other slots.

Spec: docs/protocol.md sections 3 and 5.
"""

from __future__ import annotations

from collections.abc import Sequence

from participant.chain import ProposedResult
from participant.journal import StoredReceipt
from protocol.errors import CommitmentMismatchError, LengthError, UnavailableError, VerificationError
from protocol.keys import Address, verify
from protocol.messages import Domain
from protocol.outcomes import ATTESTED_ONLY, WORD_BYTES, Outcome, Status, parse_outcomes
from protocol.sealing import Payload
from protocol.trees import SetLeaf, parse_set_leaf, set_root


def check_outcome(proposed: ProposedResult, *, slot: int, receipt: StoredReceipt | None, commitment: bytes) -> Outcome:
    """What the ledger says of the own slot; enough to notice that a promise was broken, whatever the host publishes.

    slot:       the own index in the cohort.
    receipt:    the enclave's promise, if one came: then the slot must be counted.
    commitment: hash committed on chain, or zero: then it must be counted, or carry an attested-only reason.
    Raises: VerificationError when it is not so; LengthError when the round has no such slot.
    """
    outcomes = parse_outcomes(proposed.outcomes)
    if slot >= len(outcomes):
        raise LengthError("outcomes of the round", expected=f"more than {slot}", actual=len(outcomes))
    outcome = outcomes[slot]
    became = f"{outcome.status.name.lower()}, reason {outcome.reason.name.lower()}"
    if receipt is not None and outcome.status != Status.COUNTED:
        what = f"outcome of slot {slot}, for which I hold a receipt"
        raise VerificationError(what, check="promise", expected="counted", actual=became)
    if any(commitment) and outcome.status != Status.COUNTED and outcome.reason not in ATTESTED_ONLY:
        what, expected = f"outcome of slot {slot}, which I committed on chain", "counted, undelivered, unopened or root"
        raise VerificationError(what, check="promise", expected=expected, actual=became)
    return outcome


def is_refutable(proposed: ProposedResult, *, slot: int, commitment: bytes) -> bool:
    """Whether a proof can show that an outcome breaks a promise.

    Not where something was committed and the slot carries a reason that only the enclave saw: a commitment outranks
    a receipt, and allows it.
    """
    outcomes = parse_outcomes(proposed.outcomes)[slot : slot + 1]
    return not any(commitment) or all(outcome.reason not in ATTESTED_ONLY for outcome in outcomes)


def check_signed(proposed: ProposedResult, *, signer: Address, domain: Domain) -> None:
    """The result is signed by the round's enclave, whatever the ledger let through.

    signer: whose signatures are the enclave's, from its evidence.
    Raises: SignatureError.
    """
    verify(proposed.result.digest(domain), proposed.signature, signer)


def check_leaves(proposed: ProposedResult, set_leaves: Sequence[bytes]) -> None:
    """That these are the leaves of the signed set tree, one for each slot.

    A tree of another size can't be opened on the ledger: also where it is the signed one, it is as good as withheld.
    Raises: UnavailableError.
    """
    slots = len(proposed.outcomes) // WORD_BYTES
    if not slots or len(set_leaves) != slots or set_root(set_leaves) != proposed.result.set_root:
        raise UnavailableError("the set leaves that the coordinator publishes are not the round's")


def check_leaf(
    proposed: ProposedResult, outcome: Outcome, *, slot: int, payload: Payload, set_leaves: Sequence[bytes]
) -> None:
    """Whether what was counted in the own slot is the very update that was signed.

    payload:    what was signed for this round.
    set_leaves: what the host published.
    Raises: UnavailableError when these are not the leaves of the round's set tree (the host withholds them);
            VerificationError and CommitmentMismatchError when they are, and another update is in.
    """
    check_leaves(proposed, set_leaves)
    leaf = parse_set_leaf(set_leaves[slot])
    if leaf.is_counted != (outcome.status == Status.COUNTED):
        raise VerificationError("set leaf and outcome of my slot", check="promise", expected=outcome, actual=leaf)
    mine = SetLeaf(update_root=payload.update.update_root, samples=payload.update.samples, signature=payload.signature)
    if leaf.is_counted and leaf != mine:
        raise CommitmentMismatchError(f"set leaf of my slot {slot}", expected=mine, actual=leaf)


def describe(slot: int, outcome: Outcome) -> str:
    """What became of the slot, in a few words."""
    if outcome.status != Status.COUNTED:
        return f"my slot {slot} {outcome.status.name.lower()} (reason {outcome.reason.name.lower()})"
    flagged = "flagged" if outcome.flagged else "not flagged"
    return f"my slot {slot} counted as promised, {flagged}, kept {outcome.kept} coordinates"
