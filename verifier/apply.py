"""Event by event: how the contracts' state follows from what they say.

Responsible for: apply_(state, event) -> state; reputations and payouts by the protocol's own arithmetic.
Must not know:   storage slots, artifacts, or whether the contracts should have allowed what happened (checks/).

Twins: contracts/src/Consortium.sol, Participants.sol, Enclaves.sol, RoundLedger.sol, Disputes.sol.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from protocol import events as e
from protocol.errors import VerificationError
from protocol.keys import Address, to_hex
from protocol.outcomes import Status, parse_outcomes
from protocol.payouts import payouts
from verifier.state import (
    AcceptedTcb,
    Account,
    Consortium,
    Disputes,
    Enclave,
    EnclaveState,
    Entry,
    Federation,
    Hold,
    Ledger,
    Membership,
    Participant,
    Platforms,
    Proposal,
    Refutation,
    Request,
    Round,
    Seat,
    Signed,
    TrustedAuthority,
)

K = TypeVar("K")
V = TypeVar("V")

ADDITIONS = {
    e.Action.ADMIT_MEMBER: e.Action.REMOVE_MEMBER,
    e.Action.ALLOW_MEASUREMENT: e.Action.REVOKE_MEASUREMENT,
    e.Action.TRUST_AUTHORITY: e.Action.DISTRUST_AUTHORITY,
    e.Action.ACCEPT_TCB: e.Action.REJECT_TCB,
    e.Action.ADMIT_COORDINATOR: e.Action.REMOVE_COORDINATOR,
    e.Action.REINSTATE_PARTICIPANT: e.Action.SUSPEND_PARTICIPANT,
    e.Action.SET_TERMS: None,
}
"""Actions that add, each with the one that takes away what it adds."""

COOLING_OFF_S = 86_400
"""Participants.COOLING_OFF: how long a deposit stays after its participant left or was suspended."""


def apply_all(entries: Iterable[Entry]) -> Federation:
    """The state after all events, in order."""
    state = Federation()
    for entry in entries:
        state = apply_(state, entry)
    return state


def apply_(state: Federation, entry: Entry) -> Federation:
    """The state after one more event.  Raises VerificationError for an event that cannot follow."""
    if entry.contract == "Consortium":
        return replace(state, consortium=apply_consortium(state.consortium, entry))
    if entry.contract == "Participants":
        return replace(state, participants=apply_participants(state, entry))
    if entry.contract == "Enclaves":
        if isinstance(entry.event, e.EnclaveRegistered | e.EnclaveRevoked):
            return replace(state, enclaves=apply_enclaves(state, entry))
        return replace(state, platforms=apply_platforms(state.platforms, entry.event))
    if entry.contract == "Disputes":
        return replace(state, disputes=apply_disputes(state, entry))
    return replace(state, ledger=apply_ledger(state, entry))


def apply_consortium(state: Consortium, entry: Entry) -> Consortium:
    """One event of Consortium."""
    match entry.event:
        case e.MemberAdmitted(member=member, hpke_key=key):
            seat = Seat(hpke_key=key, newest=len(state.proposals))
            return replace(state, members={**state.members, member: seat})
        case e.MemberRemoved(member=member):
            return replace(state, members=_without(state.members, member))
        case e.MeasurementAllowed(measurement=measurement):
            return replace(state, measurements=state.measurements | {measurement})
        case e.MeasurementRevoked(measurement=measurement):
            return replace(state, measurements=state.measurements - {measurement})
        case e.MeasurementSuspended(measurement=measurement):
            suspensions = {**state.suspensions, measurement: len(state.proposals)}
            return replace(state, measurements=state.measurements - {measurement}, suspensions=suspensions)
        case e.CoordinatorAdmitted(coordinator=coordinator):
            return replace(state, coordinators=state.coordinators | {coordinator})
        case e.CoordinatorRemoved(coordinator=coordinator):
            return replace(state, coordinators=state.coordinators - {coordinator})
        case e.TermsSet(from_round=start, terms=terms):
            earlier = tuple(period for period in state.terms if period[0] < start)
            return replace(state, terms=(*earlier, (start, terms)))
        case e.Proposed() as event:
            proposal = Proposal(event=event, time_s=entry.time_s, members=len(state.members))
            return replace(state, proposals={**state.proposals, event.proposal: proposal})
        case e.Voted(proposal=number, member=member):
            proposal = _known(state.proposals, number, "proposal")
            voted = replace(proposal, voters=(*proposal.voters, member))
            return replace(state, proposals={**state.proposals, number: voted})
        case e.Executed(proposal=number):
            proposal = _known(state.proposals, number, "proposal")
            removals = dict(state.removals)
            if proposal.event.action not in ADDITIONS:
                removals[proposal.event.action, proposal.event.subject] = len(state.proposals)
            executed = {**state.proposals, number: replace(proposal, is_executed=True)}
            return replace(state, proposals=executed, removals=removals)
        case e.CheckpointPosted():
            posted = Signed(entry=entry, members=frozenset(state.members))
            return replace(state, checkpoints=(*state.checkpoints, posted))
        case e.DataUnavailable():
            posted = Signed(entry=entry, members=frozenset(state.members))
            return replace(state, complaints=(*state.complaints, posted))
        case other:
            raise VerificationError("an event of Consortium", actual=type(other).__name__)


def apply_participants(before: Federation, entry: Entry) -> Mapping[Address, Participant]:
    """One event of Participants; `before` is the state of all contracts from before it."""
    state, current, event = before.participants, before.ledger.current, entry.event
    who = _participant_of(event)
    known = state.get(who, Participant())
    retired = replace(known, until=current, reclaimable_at_s=entry.time_s + COOLING_OFF_S)
    match event:
        case e.ParticipantJoined(payout=payout):
            after = replace(known, membership=Membership.ACTIVE, payout=payout, has_deposit=True, since=current + 1)
        case e.ParticipantLeft():
            after = replace(retired, membership=Membership.LEFT)
        case e.DepositReclaimed():
            left = known.membership is Membership.LEFT
            after = replace(known, has_deposit=False, membership=Membership.NONE if left else known.membership)
        case e.PayoutSet(payout=payout):
            after = replace(known, payout=payout)
        case e.ParticipantSuspended():
            was_active = known.membership is Membership.ACTIVE
            after = replace(retired if was_active else known, membership=Membership.SUSPENDED)
        case _ if not known.has_deposit:  # reinstated, free to join anew
            after = replace(known, membership=Membership.NONE)
        case _:  # reinstated
            since = current + 1 if current > known.until else known.since
            after = replace(known, membership=Membership.ACTIVE, since=since, reclaimable_at_s=0)
    return {**state, who: after}


def _participant_of(event: e.Event) -> Address:
    match event:
        case (
            e.ParticipantJoined(participant=who)
            | e.ParticipantLeft(participant=who)
            | e.DepositReclaimed(participant=who)
            | e.PayoutSet(participant=who)
            | e.ParticipantSuspended(participant=who)
            | e.ParticipantReinstated(participant=who)
        ):
            return who
        case other:
            raise VerificationError("an event of Participants", actual=type(other).__name__)


def apply_enclaves(before: Federation, entry: Entry) -> Mapping[bytes, Enclave]:
    """One event of Enclaves about an enclave; `before` is the state of all contracts from before it."""
    state = before.enclaves
    match entry.event:
        case e.EnclaveRegistered() as event:
            registered = Enclave(
                event=event,
                log=entry.log,
                time_s=entry.time_s,
                platforms=before.platforms,
                measurements=before.consortium.measurements,
            )
            return {**state, event.enclave: registered}
        case e.EnclaveRevoked(enclave=enclave):
            return {**state, enclave: replace(_known(state, enclave, "enclave"), state=EnclaveState.REVOKED)}
        case other:
            raise VerificationError("an event of Enclaves", actual=type(other).__name__)


def apply_platforms(state: Platforms, event: e.Event) -> Platforms:
    """One event of Enclaves about platforms."""
    match event:
        case e.AuthorityTrusted(authority=authority):
            trusted = TrustedAuthority(value=event.value, is_trusted=True)
            authorities = {**state.authorities, authority: trusted}
            return replace(state, authorities=authorities, issuers=state.naming(authority))
        case e.AuthorityDistrusted(authority=authority):
            known = replace(_known(state.authorities, authority, "authority"), is_trusted=False)
            return replace(state, authorities={**state.authorities, authority: known})
        case e.TcbAccepted(tcb=tcb, value=value):
            return replace(state, tcbs={**state.tcbs, tcb: AcceptedTcb(value=value, is_accepted=True)})
        case e.TcbRejected(tcb=tcb):
            rejected = replace(_known(state.tcbs, tcb, "TCB row"), is_accepted=False)
            return replace(state, tcbs={**state.tcbs, tcb: rejected})
        case e.CertificateRevoked(certificate=certificate, authority=authority):
            counted = {**state.revocations, authority: state.revocations.get(authority, 0) + 1}
            revoked, issuers = state.revoked | {certificate}, state.naming(authority)
            return replace(state, revoked=revoked, revocations=counted, issuers=issuers)
        case other:
            raise VerificationError("an event of Enclaves", actual=type(other).__name__)


def apply_ledger(before: Federation, entry: Entry) -> Ledger:
    """One event of RoundLedger; `before` is the state of all contracts from before it."""
    state = before.ledger
    match entry.event:
        case e.RoundOpened(round_id=number):
            opened = Round(opened=entry, before=before)
            return replace(state, rounds={**state.rounds, number: opened}, current=number)
        case e.UpdateCommitted(round_id=number, participant=who):
            known = _known(state.rounds, number, "round")
            return _with_round(state, number, replace(known, commitments={**known.commitments, who: entry}))
        case e.ResultProposed(round_id=number):
            known = _known(state.rounds, number, "round")
            return _with_round(state, number, replace(known, proposed=entry, before_proposal=before))
        case e.RoundSettled(round_id=number, result=result, new_model=model):
            settled = _settle(state, _known(state.rounds, number, "round"), entry, before)
            treasury = state.treasury_wei - settled.paid_wei
            state = _with_round(state, number, settled)
            accounts = settled.accounts_after
            return replace(
                state, previous=result, last_settled=number, model=model, accounts=accounts, treasury_wei=treasury
            )
        case e.RoundVoided(round_id=number, reason=reason, fee=fee):
            known = _known(state.rounds, number, "round")
            coordinator = known.opening.coordinator
            paid = 0 if reason is e.VoidReason.REFUTED else fee  # then it is frozen where it is, the verdict's pot
            bonds = {**state.bonds, coordinator: state.bonds.get(coordinator, 0) - paid}
            state = _with_round(state, number, replace(known, closed=entry, before_close=before))
            return replace(state, bonds=bonds, treasury_wei=state.treasury_wei + paid)
        case e.Anchored():
            return replace(state, anchors=(*state.anchors, entry))
        case e.BondAdded(coordinator=who, amount=amount):
            return replace(state, bonds={**state.bonds, who: state.bonds.get(who, 0) + amount})
        case e.BondWithdrawn(coordinator=who, amount=amount):
            return replace(state, bonds={**state.bonds, who: state.bonds.get(who, 0) - amount})
        case e.TreasuryFunded(amount=amount):
            return replace(state, treasury_wei=state.treasury_wei + amount)
        case e.Withdrawn(participant=who, amount=amount):
            account = state.accounts.get(who, Account())
            left = replace(account, credit_wei=account.credit_wei - amount)
            return replace(state, accounts={**state.accounts, who: left})
        case e.Enrolled(participant=who):
            enrolled = replace(state.accounts.get(who, Account()), is_enrolled=True)
            return replace(state, accounts={**state.accounts, who: enrolled})
        case e.Credited(account=who, amount=amount):
            return replace(state, accounts=_credited(state.accounts, [(who, amount)]))
        case _:
            return _apply_verdict(state, entry)


def _apply_verdict(state: Ledger, entry: Entry) -> Ledger:
    """One event of RoundLedger about a verdict."""
    match entry.event:
        case e.RoundRefuted(round_id=number, verdict=verdict):
            found = Refutation(entry=entry, value=verdict)
        case e.ProverReplaced(round_id=number, verdict=verdict):
            known = _known(state.verdicts, number, "verdict")
            found = replace(known, value=verdict, replacements=(*known.replacements, entry))
        case e.VerdictExecuted(round_id=number, coordinator=coordinator) as event:
            found = replace(_known(state.verdicts, number, "verdict"), executed=entry)
            parts = [(event.prover, event.reward), *((signer, event.share) for signer in event.signers)]
            left = state.bonds.get(coordinator, 0) - event.burnt - sum(amount for _, amount in parts)
            state = replace(state, bonds={**state.bonds, coordinator: left}, accounts=_credited(state.accounts, parts))
        case other:
            raise VerificationError("an event of RoundLedger", actual=type(other).__name__)
    return replace(state, verdicts={**state.verdicts, number: found})


def _credited(accounts: Mapping[Address, Account], parts: Iterable[tuple[Address, int]]) -> Mapping[Address, Account]:
    after = dict(accounts)
    for who, amount in parts:
        account = after.get(who, Account())
        after[who] = replace(account, credit_wei=account.credit_wei + amount)
    return after


def apply_disputes(before: Federation, entry: Entry) -> Disputes:
    """One event of Disputes; `before` is the state of all contracts from before it."""
    state, hold = before.disputes, before.disputes.hold
    match entry.event:
        case e.ProofCommitted(commitment=commitment):
            return replace(state, commitments={**state.commitments, commitment: entry.log.block_number})
        case e.EnclaveAccused(round_id=number):
            _known(before.ledger.verdicts, number, "verdict")
            return state  # what follows is an event of Consortium
        case e.LeafRequested(round_id=number, member=member):
            if hold.round_id != number:
                hold = Hold(round_id=number)
            hold = replace(hold, open=hold.open + 1)
            request = Request(entry=entry, is_members=member in before.consortium.members)
        case e.LeafAnswered(round_id=number, member=member):
            usable_s = _known(before.ledger.rounds, number, "round").challenge_s
            not_before = max(hold.not_before_s, entry.time_s + usable_s + 1)
            hold = replace(hold, open=hold.open - 1, not_before_s=not_before)
            request = replace(_known(state.requests, (number, member), "request"), answered=entry)
        case e.RequestClosed(round_id=number, member=member):
            hold = replace(hold, open=hold.open - (hold.round_id == number))
            request = replace(_known(state.requests, (number, member), "request"), closed=entry)
        case other:
            raise VerificationError("an event of Disputes", actual=type(other).__name__)
    return replace(state, hold=hold, requests={**state.requests, (number, member): request})


def _settle(state: Ledger, known: Round, entry: Entry, before: Federation) -> Round:
    """Reputations and credits after a settled round, by the protocol's own arithmetic."""
    proposal = known.proposal
    if proposal is None:
        raise VerificationError("a round that settled without a result", actual=known.opening.round_id)
    cohort, outcomes = known.opening.cohort, parse_outcomes(proposal.outcomes)
    counted = {slot: outcome for slot, outcome in enumerate(outcomes) if outcome.status is Status.COUNTED}
    if len(outcomes) != len(cohort):
        raise VerificationError("outcomes of the settled round", expected=len(cohort), actual=len(outcomes))
    held = {slot: state.accounts.get(cohort[slot], Account()) for slot in counted}
    paid = payouts(
        budget_wei=known.opening.value.budget,
        cohort_size=len(cohort),
        reputations_ppb={s: held[s].standing.reputation_ppb for s, outcome in counted.items() if not outcome.flagged},
    )
    accounts = dict(state.accounts)
    for slot, outcome in counted.items():
        accounts[cohort[slot]] = replace(
            held[slot],
            standing=held[slot].standing.after(flagged=outcome.flagged),
            credit_wei=held[slot].credit_wei + paid.get(slot, 0),
        )
    return replace(
        known,
        closed=entry,
        before_close=before,
        accounts_before=state.accounts,
        accounts_after=accounts,
        paid_wei=sum(paid.values()),
    )


def _with_round(state: Ledger, number: int, value: Round) -> Ledger:
    return replace(state, rounds={**state.rounds, number: value})


def _without(mapping: Mapping[K, V], key: K) -> Mapping[K, V]:
    return {known: value for known, value in mapping.items() if known != key}


def _known(mapping: Mapping[K, V], key: K, what: str) -> V:
    if key not in mapping:
        name = to_hex(key) if isinstance(key, bytes) and len(key) == 20 else key
        raise VerificationError(f"an event about a {what} that no earlier event names", actual=name)
    return mapping[key]
