"""Check 4: every decision of the consortium, counted again, each vote by its member's own transaction.

Responsible for: thresholds, delays, lifetimes, who voted; that nothing changed without a vote; who founded what.
Must not know:   storage, artifacts.

Twin: contracts/src/Consortium.sol (propose, vote, execute).
"""

from __future__ import annotations

from protocol import events as e
from protocol.attestation.trust import RootKind
from protocol.errors import UnavailableError, VerificationError
from protocol.keys import to_hex
from protocol.platforms import certificate_id, parse_authority, parse_revocation, parse_tcb
from verifier.apply import ADDITIONS, apply_
from verifier.calls import Calls, check_creation
from verifier.chain import ChainSource
from verifier.checks.opening import expect
from verifier.deployment import Contract, Deployment
from verifier.state import Consortium, Enclave, Entry, Federation, Proposal
from verifier.transactions import Transaction

LIFETIME_S = 7 * 86_400
"""Consortium.PROPOSAL_LIFETIME."""

VOTED_EVENTS = (
    *(e.MemberAdmitted, e.MemberRemoved, e.MeasurementAllowed, e.MeasurementRevoked, e.CoordinatorAdmitted),
    *(e.CoordinatorRemoved, e.TermsSet, e.ParticipantSuspended, e.ParticipantReinstated, e.EnclaveRevoked),
    *(e.AuthorityTrusted, e.AuthorityDistrusted, e.TcbAccepted, e.TcbRejected, e.CertificateRevoked),
)
"""What only a vote may bring about; so is a result that was outvoted."""

PLATFORM_ACTIONS = (
    *(e.Action.TRUST_AUTHORITY, e.Action.DISTRUST_AUTHORITY, e.Action.ACCEPT_TCB, e.Action.REJECT_TCB),
    *(e.Action.REVOKE_CERTIFICATE, e.Action.REVOKE_ENCLAVE),
)
"""What Enclaves carries out."""


def check_4_votes(
    chain: ChainSource, deployment: Deployment, entries: tuple[Entry, ...], calls: Calls
) -> tuple[Federation, str]:
    """The founding by its transactions, every vote by its member's, every decision by its votes."""
    state, executed = count_votes(entries, deployment)
    founding = _check_founding(chain, deployment, entries)
    voted = [x for x in entries if x.contract == "Consortium" or isinstance(x.event, VOTED_EVENTS)]
    calls.hold_all(entry for entry in voted if entry.log.transaction != founding)
    whose = ", ".join(f"{name} {value}" for name, value in identity(chain, deployment, state).items())
    counts = f"{len(state.consortium.proposals)} proposals, {executed} executed"
    return state, f"{counts}, each with its votes, signatures and delay; {whose}"


def identity(chain: ChainSource, deployment: Deployment, state: Federation) -> dict[str, str]:
    """Whose federation this is, for people to compare with what they were told."""
    return {
        "members": " ".join(map(to_hex, sorted(state.consortium.members))),
        "delay": f"{deployment.consortium.number('delay')} s",
        "charter": deployment.consortium.word("charter").hex(),
        "federation": deployment.federation.hex(),
        "genesis": chain.genesis_hash().hex(),
        "ledger": to_hex(deployment.ledger.address),
    }


def _check_founding(chain: ChainSource, deployment: Deployment, entries: tuple[Entry, ...]) -> bytes:
    """Founding members, first terms and immutables are what the deployments were signed with.

    returns: hash of the transaction that created the consortium.
    """
    founded = [entry for entry in entries if entry.contract == "Consortium"]
    if not founded:
        raise VerificationError("founding of the consortium", expected="its members", actual="no event")
    founding = founded[0].log.transaction
    arguments = check_creation(deployment.consortium, _creation(chain.transaction(founding), deployment.consortium))
    members = [e.MemberAdmitted(member=account, hpke_key=key) for account, key in arguments["members"]]
    said = [*members, e.TermsSet(from_round=1, terms=arguments["terms"])]
    found = [entry.event for entry in entries if entry.log.transaction == founding]
    if found != said:
        raise VerificationError("events of the founding", expected=said, actual=found)
    for contract in deployment.deployed[1:] if chain.proves else ():  # a node's word stands for the code over RPC
        check_creation(contract, _creation(chain.creation(contract.address), contract))
    return founding


def _creation(transaction: Transaction | None, contract: Contract) -> Transaction:
    if transaction is None or transaction.to is not None:
        raise UnavailableError(f"{contract.name} was created by another contract", "nothing here executes contracts")
    return transaction


def count_votes(entries: tuple[Entry, ...], deployment: Deployment) -> tuple[Federation, int]:
    """Walks all events; after the founding, each of VOTED_EVENTS directly follows the Executed that it carries out.

    returns: the state after all events, and how many proposals were executed.
    """
    delay_s = deployment.consortium.number("delay")
    proofs = {
        entry.log.transaction: entry.event
        for entry in entries
        if isinstance(entry.event, e.RoundRefuted | e.EnclaveAccused)
    }
    state = Federation()
    founding = next((entry.log.transaction for entry in entries if entry.contract == "Consortium"), b"")
    pending: e.Event | None = None
    executed = 0
    for entry in entries:
        event = entry.event
        if pending is not None:
            if event != pending:
                raise VerificationError("what follows a vote", expected=pending, actual=event)
            pending = None
        elif _needs_vote(event) and entry.log.transaction != founding:
            raise VerificationError(f"{type(event).__name__} without a vote", actual=entry.log.transaction)
        elif isinstance(event, e.MeasurementSuspended):
            _check_suspended(state, event, proofs.get(entry.log.transaction))
        elif isinstance(event, e.Proposed):
            _check_proposed(state.consortium, event)
            pending = e.Voted(proposal=event.proposal, member=event.proposer)
        elif isinstance(event, e.Voted):
            _check_voted(state.consortium, event, entry.time_s)
        elif isinstance(event, e.Executed):
            proposal = _proposal(state.consortium, event.proposal)
            _check_executed(state.consortium, proposal, entry.time_s, delay_s)
            pending = _consequence(state, proposal)
            executed += 1
        state = apply_(state, entry)
    if pending is not None:
        raise VerificationError("what follows a vote", expected=pending, actual="nothing")
    return state, executed


def _needs_vote(event: e.Event) -> bool:
    is_outvoted = isinstance(event, e.RoundVoided) and event.reason is e.VoidReason.OUTVOTED
    return is_outvoted or isinstance(event, VOTED_EVENTS)


def _check_suspended(state: Federation, event: e.MeasurementSuspended, proof: e.Event | None) -> None:
    """By a proof against an enclave of this measurement, in one transaction.  Whether the proof is right is 27's."""
    known = None
    if isinstance(proof, e.RoundRefuted | e.EnclaveAccused) and proof.round_id in state.ledger.rounds:
        known = state.enclaves.get(state.ledger.rounds[proof.round_id].opening.enclave)
    if known is None:
        raise VerificationError("a suspension", expected="by a proof", actual=event)
    expect("measurement that a proof suspends", known.event.measurement, event.measurement)


def _check_proposed(state: Consortium, event: e.Proposed) -> None:
    if event.proposal != len(state.proposals) + 1:
        raise VerificationError("number of a proposal", expected=len(state.proposals) + 1, actual=event.proposal)
    if event.proposer not in state.members:
        raise VerificationError("proposer", expected="a member", actual=to_hex(event.proposer))


def _check_voted(state: Consortium, event: e.Voted, time_s: int) -> None:
    proposal, seat = _proposal(state, event.proposal), state.members.get(event.member)
    if seat is None or seat.newest >= event.proposal:
        raise VerificationError("voter", expected="a member from before the proposal", actual=to_hex(event.member))
    if event.member in proposal.voters or proposal.is_executed:
        raise VerificationError("a vote", expected="the member's first, and not executed", actual=to_hex(event.member))
    if time_s > proposal.time_s + LIFETIME_S:
        raise VerificationError("time of a vote", expected=f"at most {proposal.time_s + LIFETIME_S}", actual=time_s)


def _check_executed(state: Consortium, proposal: Proposal, time_s: int, delay_s: int) -> None:
    action, number = proposal.event.action, proposal.event.proposal
    is_slow = action in ADDITIONS or action is e.Action.REMOVE_MEMBER  # a third must not expel the others
    is_large = is_slow or action is e.Action.OUTVOTE_RESULT  # which can't wait: the challenge window may be shorter
    votes = state.votes_of(proposal)
    if 3 * votes < (2 if is_large else 1) * proposal.members:
        share = "two thirds" if is_large else "a third"
        raise VerificationError(f"votes for proposal {number}", expected=f"{share} of {proposal.members}", actual=votes)
    if proposal.is_executed:
        raise VerificationError(f"proposal {number} executed twice")
    earliest, latest = proposal.time_s + (delay_s if is_slow else 0), proposal.time_s + LIFETIME_S
    if not earliest <= time_s <= latest:
        raise VerificationError(f"time of executing {number}", expected=f"{earliest} to {latest}", actual=time_s)
    removal, subject = ADDITIONS.get(action), proposal.event.subject
    newest = 0 if removal is None else state.removals.get((removal, subject), 0)
    if action is e.Action.ALLOW_MEASUREMENT:
        newest = max(newest, state.suspensions.get(subject, 0))
    if newest >= number:
        raise VerificationError(f"proposal {number}", expected="newer than the removal of its subject", actual=number)


def _consequence(state: Federation, proposal: Proposal) -> e.Event:
    """The event that an executed proposal must bring about."""
    action, subject, data = proposal.event.action, proposal.event.subject, proposal.event.data
    account = subject[12:]
    if action is e.Action.SET_TERMS:
        return _terms_set(data, state.ledger.current)
    if action in PLATFORM_ACTIONS:
        return _platform_consequence(state, action, subject, data)
    if action is e.Action.OUTVOTE_RESULT:
        # of which round: check 26 holds result and spec against it
        return e.RoundVoided(round_id=state.ledger.current, reason=e.VoidReason.OUTVOTED, fee=0)
    simple: dict[e.Action, e.Event] = {
        e.Action.ADMIT_MEMBER: e.MemberAdmitted(member=account, hpke_key=data),
        e.Action.REMOVE_MEMBER: e.MemberRemoved(member=account),
        e.Action.ALLOW_MEASUREMENT: e.MeasurementAllowed(measurement=subject),
        e.Action.REVOKE_MEASUREMENT: e.MeasurementRevoked(measurement=subject),
        e.Action.ADMIT_COORDINATOR: e.CoordinatorAdmitted(coordinator=account),
        e.Action.REMOVE_COORDINATOR: e.CoordinatorRemoved(coordinator=account),
        e.Action.SUSPEND_PARTICIPANT: e.ParticipantSuspended(participant=account),
        e.Action.REINSTATE_PARTICIPANT: e.ParticipantReinstated(participant=account),
    }
    return simple[action]


def _platform_consequence(state: Federation, action: e.Action, subject: bytes, data: bytes) -> e.Event:
    """The event of a vote about platforms; the subject has to be the id of what the data say."""
    match action:
        case e.Action.TRUST_AUTHORITY:
            value = parse_authority(data)
            expect("subject of the proposal", value.authority, subject)
            return e.AuthorityTrusted(
                authority=subject,
                root=value.root,
                kind=value.kind,
                certificate=value.certificate,
                root_certificate=value.root_certificate,
                qe=value.qe,
            )
        case e.Action.DISTRUST_AUTHORITY:
            return e.AuthorityDistrusted(authority=subject, simulated=_is_simulated(state, subject))
        case e.Action.ACCEPT_TCB:
            row = parse_tcb(data)
            expect("subject of the proposal", row.tcb, subject)
            simulated = _is_simulated(state, row.authority)
            return e.TcbAccepted(tcb=subject, authority=row.authority, value=row, simulated=simulated)
        case e.Action.REJECT_TCB:
            if subject not in state.platforms.tcbs:
                raise VerificationError("a TCB row that nobody accepted", actual=subject)
            authority = state.platforms.tcbs[subject].value.authority
            return e.TcbRejected(tcb=subject, simulated=_is_simulated(state, authority))
        case e.Action.REVOKE_CERTIFICATE:
            authority, serial = parse_revocation(data)
            expect("subject of the proposal", certificate_id(authority, serial), subject)
            return e.CertificateRevoked(certificate=subject, authority=authority, serial=serial)
        case _:
            return e.EnclaveRevoked(enclave=subject, simulated=_enclave(state, subject).event.simulated)


def _is_simulated(state: Federation, authority: bytes) -> bool:
    """By the kind that the authority was trusted as, which never changes."""
    known = state.platforms.authorities.get(authority)
    if known is None:
        raise VerificationError("an authority that nobody trusted", actual=authority)
    return known.value.kind is RootKind.SIMULATED


def _terms_set(data: bytes, current: int) -> e.Event:
    """The event of abi.encode(Terms, uint64 fromRound): 20 words of terms, and never a round that was opened."""
    start = max(int.from_bytes(data[-32:]), current + 1)
    return e.parse_event("Consortium", (e.topic_of(e.TermsSet), start.to_bytes(32)), data[:-32])


def _enclave(state: Federation, enclave: bytes) -> Enclave:
    if enclave not in state.enclaves:
        raise VerificationError("an enclave that nobody registered", actual=enclave)
    return state.enclaves[enclave]


def _proposal(state: Consortium, number: int) -> Proposal:
    if number not in state.proposals:
        raise VerificationError("a proposal that nobody made", actual=number)
    return state.proposals[number]
