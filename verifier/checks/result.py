"""Checks 13, 25 and 26: the signed result, the reputations and payouts that follow, and how the round ended.

Responsible for: what the ledger's events say of a result, without any artifact.
Must not know:   rows, trees, models.

Twins: RoundLedger.propose, settle, voidRound and what Disputes and Consortium make it do; libraries ResultChecks,
Reputation, Payouts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from protocol import events as e
from protocol.disputes import Predicate, Verdict
from protocol.errors import VerificationError
from protocol.event_coding import encode_struct
from protocol.hashing import keccak256
from protocol.keys import Address, recover, recover_all, to_hex
from protocol.messages import Unavailable
from protocol.outcomes import ATTESTED_ONLY, Status, bitmap
from protocol.rulebook import Rule, is_refutable, is_selecting, needs_gram
from verifier.checks.opening import expect
from verifier.checks.requests import check_requests, is_withheld
from verifier.state import Account, Entry, Hold
from verifier.world import Case

ZERO = bytes(32)
LATE_PARTS = 10
"""RoundLedger.LATE_PARTS: a coordinator that is late, or withholds a leaf, loses one part in so many of its bond."""


def check_13_result(case: Case) -> tuple[None, str]:
    """Signed by the round's enclave, about this very round, in time; its bitmaps, roots and outcomes fit the spec."""
    spec, result, proposal = case.spec, case.result, case.proposal
    expect("result named in the event", result.hash_struct(), proposal.result)
    expect("federation of the result", spec.federation, result.federation)
    expect("round of the result", spec.round_id, result.round_id)
    expect("spec of the result", spec.hash_struct(), result.spec)
    expect("previous of the result", spec.previous, result.previous)
    expect("enclave of the result", spec.enclave, result.enclave)
    signer = recover(result.digest(case.world.deployment.domain), proposal.signature)
    enclave = case.round.before.enclaves.get(spec.enclave)
    expect("signer of the result", to_hex(enclave.event.signer) if enclave else None, to_hex(signer))
    expect("whether the result is simulated", enclave.event.simulated if enclave else None, proposal.simulated)
    expect("hash of the outcomes", keccak256(proposal.outcomes), result.outcomes)
    outcomes = case.outcomes()
    expect("number of outcomes", len(case.opening.cohort), len(outcomes))
    counted = bitmap(slot for slot, outcome in enumerate(outcomes) if outcome.status is Status.COUNTED)
    expect("counted", counted, result.counted)
    _check_roots(case)
    time_s = case.round.proposed.time_s if case.round.proposed else 0
    if not spec.deadlines[2] < time_s <= spec.deadlines[3]:
        raise VerificationError(
            "time of the result", expected=f"after {spec.deadlines[2]}, up to {spec.deadlines[3]}", actual=time_s
        )
    if case.round.proposed is not None:
        log = case.round.proposed.log
        case.world.calls.hold(log, proposal)
        sender = case.world.calls.transaction(log).sender
        expect("sender of the result", to_hex(case.opening.coordinator), to_hex(sender))
    return None, f"{proposal.result.hex()} signed by {to_hex(signer)}, {counted.bit_count()} of {len(outcomes)} counted"


def _check_roots(case: Case) -> None:
    spec, result = case.spec, case.result
    if spec.optimizer != 0:
        return  # it keeps state, which only its replay knows
    expect("state", ZERO, result.state)
    if not case.is_enough:
        stays = (spec.base_model, ZERO, ZERO)
        expect("a result with too few counted", stays, (result.new_model, result.column_root, result.gram_root))
        return
    if spec.rule == Rule.REPLAY:
        return  # what it selects, only its replay knows
    rule = Rule(spec.rule)
    expect("whether there is a Gram root", needs_gram(rule), result.gram_root != ZERO)
    k = result.counted.bit_count()
    size = k if not is_selecting(rule) else 1 if rule is Rule.KRUM else spec.m or k - spec.f
    if result.selected & ~result.counted or result.selected.bit_count() != size:
        raise VerificationError("selected", expected=f"{size} of the counted", actual=bin(result.selected))


def check_25_payouts(case: Case) -> tuple[None, str]:
    """Reputations and credits recomputed by the protocol's arithmetic; their sum is the one that the ledger paid."""
    settled = case.round.closed.event if case.round.closed else None
    if not isinstance(settled, e.RoundSettled):
        return None, "the round settled nothing: nobody's reputation or credit moved"
    expect("paid in wei", case.round.paid_wei, settled.paid)
    if settled.paid > case.spec.budget:
        raise VerificationError("paid in wei", expected=f"at most {case.spec.budget}", actual=settled.paid)
    parts = []
    for slot, outcome in enumerate(case.outcomes()):
        if outcome.status is Status.COUNTED:
            who = case.opening.cohort[slot]
            before, after = case.round.accounts_before.get(who, Account()), case.round.accounts_after[who]
            flag = ", flagged" if outcome.flagged else ""
            moved = f"{before.standing.reputation_ppb} to {after.standing.reputation_ppb}"
            parts.append(f"slot {slot}: {moved} ppb, {after.credit_wei - before.credit_wei} wei{flag}")
    return None, f"{settled.paid} of {case.spec.budget} wei paid; " + "; ".join(parts)


def check_26_end(case: Case) -> tuple[None, str]:
    """Settled after the challenge window, or void for a reason that holds."""
    closed = case.round.closed
    if closed is None:
        return None, f"not over: {case.round.state.name.lower()}"
    _check_bond_stayed(case)
    check_requests(case)
    if isinstance(closed.event, e.RoundSettled):
        how = _check_settled(case, closed.event, closed.time_s)
    elif isinstance(closed.event, e.RoundVoided):
        how = _check_voided(case, closed.event, closed.time_s)
    else:
        raise VerificationError("end of the round", actual=type(closed.event).__name__)
    case.world.calls.hold(closed.log, closed.event)
    return None, how


def _check_bond_stayed(case: Case) -> None:
    """What answers for a round is not taken back before the round is over."""
    if case.round.before_close is None:
        return
    who = case.opening.coordinator
    at_opening, at_close = (state.ledger.bonds.get(who, 0) for state in (case.round.before, case.round.before_close))
    if at_close < at_opening:
        raise VerificationError("bond during the round", expected=f"at least {at_opening}", actual=at_close)


def _check_settled(case: Case, event: e.RoundSettled, time_s: int) -> str:
    expect("result that settled", case.proposal.result, event.result)
    expect("model that settled", case.result.new_model, event.new_model)
    expect("whether the settlement is simulated", case.proposal.simulated, event.simulated)
    if not case.is_enough:
        raise VerificationError("counted of a settled round", expected=f"at least {case.needed}")
    if _undelivered(case) > case.spec.f:
        raise VerificationError(
            "slots with an attested-only reason", expected=f"at most {case.spec.f}", actual=_undelivered(case)
        )
    if time_s <= case.spec.deadlines[4]:
        raise VerificationError("time of settling", expected=f"after {case.spec.deadlines[4]}", actual=time_s)
    hold = _hold(case)
    if hold.open or time_s < hold.not_before_s:
        waits = f"no open request, and from {hold.not_before_s} on"
        raise VerificationError("time of settling", expected=waits, actual=f"{hold.open} open, at {time_s}")
    return f"settled {time_s - case.spec.deadlines[4]} s after the challenge window, model {event.new_model.hex()}"


def _hold(case: Case) -> Hold:
    """What the round still waited for when it was closed."""
    hold = case.round.before_close.disputes.hold if case.round.before_close else Hold()
    return hold if hold.round_id == case.spec.round_id else Hold(round_id=case.spec.round_id)


def _has_waited(case: Case, time_s: int) -> bool:
    """Whether it could settle as far as time and requests for leaves go."""
    hold = _hold(case)
    return time_s > case.spec.deadlines[4] and not hold.open and time_s >= hold.not_before_s


def _check_voided(case: Case, event: e.RoundVoided, time_s: int) -> str:
    before = case.round.before_close
    trusted = before is not None and before.is_enclave_trusted(case.spec.enclave)
    bond = before.ledger.bonds.get(case.opening.coordinator, 0) if before else 0
    is_proposed = case.round.proposal is not None
    holds: dict[e.VoidReason, Callable[[], bool]] = {
        e.VoidReason.ENCLAVE_INACTIVE: lambda: not trusted,
        e.VoidReason.LATE: lambda: trusted and not is_proposed and time_s > case.spec.deadlines[3],
        e.VoidReason.TOO_FEW_COUNTED: lambda: is_proposed and not case.is_enough,
        e.VoidReason.TOO_MANY_UNDELIVERED: lambda: (
            is_proposed and _has_waited(case, time_s) and _undelivered(case) > case.spec.f
        ),
        e.VoidReason.REFUTED: lambda: _is_refuted(case, event, time_s),
        e.VoidReason.WITHHELD: lambda: is_proposed and is_withheld(case, time_s),
        e.VoidReason.UNAVAILABLE: lambda: is_proposed and _is_unavailable(case),
        e.VoidReason.OUTVOTED: lambda: is_proposed and _is_outvoted(case, time_s),
    }
    if event.reason not in holds or not holds[event.reason]():
        raise VerificationError("reason to void the round", expected="one that holds", actual=event.reason.name)
    parts = {e.VoidReason.LATE: LATE_PARTS, e.VoidReason.WITHHELD: LATE_PARTS, e.VoidReason.REFUTED: 1}
    expect("fee in wei", bond // parts[event.reason] if event.reason in parts else 0, event.fee)
    what = "bond frozen" if event.reason is e.VoidReason.REFUTED else "fee"
    return f"void, {event.reason.name.lower().replace('_', ' ')}; {what}: {event.fee} wei; the base model stands"


def _is_refuted(case: Case, event: e.RoundVoided, time_s: int) -> bool:
    """A verdict stands under the same transaction and says the same.  Whether it is right is for check 27."""
    known = case.world.state.ledger.verdicts.get(event.round_id)
    refuted = None if known is None else known.entry.event
    if known is None or not isinstance(refuted, e.RoundRefuted) or not _is_same_transaction(case, known.entry):
        return False
    if refuted.predicate not in list(Predicate):
        raise VerificationError("predicate of the verdict", expected="F1 to F8", actual=refuted.predicate)
    expected = Verdict(
        round_id=event.round_id,
        predicate=refuted.predicate,
        result=ZERO if case.round.proposal is None else case.proposal.result,
        coordinator=case.opening.coordinator,
        prover=refuted.prover,
        committed_at=refuted.verdict.committed_at,
        decided_at=time_s,
        slots=len(case.opening.cohort),
        pot=event.fee,
    )
    expect("verdict", expected, refuted.verdict)
    return True


def _is_unavailable(case: Case) -> bool:
    """More than a third of the members signed that this very result's data can't be had."""
    complaints = case.round.before_close.consortium.complaints if case.round.before_close else ()
    if not complaints or not _is_same_transaction(case, complaints[-1].entry):
        return False
    posted, event = complaints[-1], complaints[-1].entry.event
    complaint = Unavailable(
        federation=case.world.deployment.federation, round_id=case.spec.round_id, result=case.proposal.result
    )
    if not isinstance(event, e.DataUnavailable):
        return False
    expect("what is unavailable", (complaint.round_id, complaint.result), (event.round_id, event.result))
    signers = recover_all(complaint.digest(case.world.deployment.domain), event.signatures)
    check_members("signers of a complaint", signers, posted.members)
    return 3 * len(signers) > len(posted.members)


def _is_outvoted(case: Case, time_s: int) -> bool:
    """By vote (counted in check 4), within the window, and only where the ledger's predicates don't apply."""
    proposals = case.round.before_close.consortium.proposals if case.round.before_close else {}
    subject, data = case.proposal.result, encode_struct(case.spec)
    voted = [proposal.event for proposal in proposals.values() if proposal.is_executed]
    is_voted = any(
        (event.action, event.subject, event.data) == (e.Action.OUTVOTE_RESULT, subject, data) for event in voted
    )
    return is_voted and not is_refutable(case.spec) and time_s <= case.spec.deadlines[4]


def _is_same_transaction(case: Case, entry: Entry) -> bool:
    return case.round.closed is not None and entry.log.transaction == case.round.closed.log.transaction


def check_members(what: str, signers: Iterable[Address], members: Iterable[Address]) -> None:
    """Raises VerificationError unless all of them are members."""
    strangers = sorted(set(signers) - set(members))
    if strangers:
        raise VerificationError(what, expected="members", actual=", ".join(map(to_hex, strangers)))


def _undelivered(case: Case) -> int:
    return sum(outcome.reason in ATTESTED_ONLY for outcome in case.outcomes())
