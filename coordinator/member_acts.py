"""What a member signs or sends beside its votes: checkpoints, complaints, requests for leaves, and outvoting a result.

Responsible for: what is said about which round, from what the ledger says now, and who may say it.
Must not know:   files, HTTP, or how a transaction gets mined.

Spec: docs/protocol.md section 7.
"""

from __future__ import annotations

from collections.abc import Sequence

from coordinator.chain import Call
from coordinator.consortium import Motion
from coordinator.ledger import Ledger, LedgerState
from protocol import rulebook
from protocol.checkpoints import SignedCheckpoint
from protocol.complaints import SignedComplaint
from protocol.errors import CommitmentMismatchError, PolicyError, RoundError, UnknownNameError
from protocol.event_coding import encode_struct
from protocol.events import Action
from protocol.keys import Address, address, sign, to_hex
from protocol.messages import Spec, Unavailable
from protocol.openings import Tree

TREES: dict[str, Tree] = {tree.name.lower(): tree for tree in Tree if tree is not Tree.NONE}
"""By the name on the command line."""


def parse_tree(name: str) -> Tree:
    """The tree of a name; an unknown one lists those that exist."""
    if name not in TREES:
        raise UnknownNameError("tree", known=TREES, actual=name)
    return TREES[name]


def sign_checkpoint(ledger: Ledger, key: bytes, round_id: int | None) -> SignedCheckpoint:
    """A member's memory of a settled round; without a number of the newest.

    Raises: PolicyError (not a member), RoundError (not settled), UnavailableError.
    """
    _check_member(ledger, address(key))
    checkpoint = ledger.settlement(round_id)
    if checkpoint is None:
        what = "a settled round" if round_id is None else f"state of round {round_id}"
        actual = "none yet" if round_id is None else ledger.state_of(round_id).name.lower()
        raise RoundError(what, expected="settled", actual=actual)
    return SignedCheckpoint(checkpoint=checkpoint, signature=sign(key, checkpoint.digest(ledger.domain)))


def sign_complaint(ledger: Ledger, key: bytes, round_id: int | None = None) -> SignedComplaint:
    """A member's complaint that the data of the proposed result can't be had.

    Raises: PolicyError (not a member), RoundError (nothing is proposed), UnavailableError.
    """
    _check_member(ledger, address(key))
    round_id = proposed_round(ledger, round_id)
    unavailable = Unavailable(federation=ledger.federation, round_id=round_id, result=ledger.result(round_id))
    return SignedComplaint(unavailable=unavailable, signature=sign(key, unavailable.digest(ledger.domain)))


def complaint_call(ledger: Ledger, complaints: Sequence[SignedComplaint]) -> Call:
    """Consortium.postUnavailable with those of `complaints` that members signed, each once, about the proposed result.

    Raises: CommitmentMismatchError (one is about something else), PolicyError (not a member; too few), RoundError.
    """
    round_id = proposed_round(ledger)
    wanted = Unavailable(federation=ledger.federation, round_id=round_id, result=ledger.result(round_id))
    found: dict[Address, bytes] = {}
    for complaint in complaints:
        if complaint.unavailable != wanted:
            expected, actual = wanted.hash_struct(), complaint.unavailable.hash_struct()
            raise CommitmentMismatchError(f"a complaint about round {round_id}", expected=expected, actual=actual)
        signer = complaint.signer(ledger.domain)
        _check_member(ledger, signer)
        found[signer] = complaint.signature
    needed = ledger.member_count() // 3 + 1
    if len(found) < needed:
        raise PolicyError("members that complain", expected=f"at least {needed}, more than a third", actual=len(found))
    signatures = b"".join(found[signer] for signer in sorted(found))
    data = ledger.chain.contracts["Consortium"].call_data("postUnavailable", wanted, signatures)
    return Call(what="postUnavailable", to=ledger.consortium, data=data)


def request_call(ledger: Ledger, member: Address, round_id: int | None, tree: Tree, slot: int, index: int) -> Call:
    """Disputes.requestLeaf of the proposed round, with the deposit.

    Raises: PolicyError (not a member), RoundError (another round is proposed, or none).
    """
    _check_member(ledger, member)
    round_id = proposed_round(ledger, round_id)
    spec, result = ledger.opened(round_id).value, ledger.proposed(round_id).value
    data = ledger.chain.contracts["Disputes"].call_data("requestLeaf", spec, result, int(tree), slot, index)
    return Call(what="requestLeaf", to=ledger.disputes, data=data, value=ledger.deposit())


def close_call(ledger: Ledger, member: Address, round_id: int) -> Call:
    """What ends a member's request that nobody answered: the round is void for it, or was for something else.

    Disputes.voidWithheld while the round is proposed, else Disputes.closeRequest; the deposit is the member's credit.
    """
    if ledger.state_of(round_id) is LedgerState.PROPOSED:
        return ledger.withheld_call(round_id, member)
    data = ledger.chain.contracts["Disputes"].call_data("closeRequest", round_id, member)
    return Call(what="closeRequest", to=ledger.disputes, data=data)


def outvote(ledger: Ledger) -> Motion:
    """That the proposed result is wrong, where no proof could show it.

    Raises: RoundError (nothing is proposed), PolicyError (the ledger's predicates apply to this rule).
    """
    round_id = proposed_round(ledger)
    spec = ledger.opened(round_id).value
    if rulebook.is_refutable(spec) and spec.optimizer == 0:
        what = f"rule {rulebook.rule_name(spec)} of round {round_id}"
        raise PolicyError(what, expected="one that only a replay can refute", actual="one that a proof refutes")
    return outvoting(spec, ledger.result(round_id))


def outvoting(spec: Spec, result: bytes) -> Motion:
    """The motion to outvote a result of the round that was opened with this spec."""
    return Motion(action=Action.OUTVOTE_RESULT, subject=result, data=encode_struct(spec))


def proposed_round(ledger: Ledger, round_id: int | None = None) -> int:
    """The round whose result is proposed, and that is the one meant.  Raises RoundError."""
    current = ledger.current_round()
    state = ledger.state_of(current) if current else LedgerState.NONE
    if state is not LedgerState.PROPOSED:
        raise RoundError(f"state of round {current}, the newest", expected="proposed", actual=state.name.lower())
    if round_id not in (None, current):
        raise RoundError("the round whose result is proposed", expected=current, actual=round_id)
    return current


def _check_member(ledger: Ledger, account: Address) -> None:
    if not ledger.is_member(account):
        raise PolicyError("who acts or signs", expected="a member of the consortium", actual=to_hex(account))
