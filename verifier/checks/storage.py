"""Checks 5 and 6: the events, replayed, are what the contracts store; and the money adds up.

Responsible for: every variable of every contract, by name, against the replayed state; balances.
Must not know:   artifacts, whether what happened was right.

Twins: the storage of contracts/src/*.sol.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from protocol import events as e
from protocol.attestation.certificates import parse_certificate
from protocol.errors import VerificationError
from protocol.hashing import keccak256
from protocol.keys import to_hex
from protocol.messages import DEADLINES
from verifier.calls import Calls
from verifier.chain import ChainSource
from verifier.checks.chain import storage_of
from verifier.deployment import Deployment
from verifier.state import (
    Account,
    Consortium,
    Disputes,
    Entry,
    Federation,
    Ledger,
    Membership,
    Platforms,
    RoundState,
    TrustedAuthority,
)
from verifier.storage import Key

Fact = tuple[str, tuple[Key, ...], Any]
"""(variable, keys, value): what a contract must store; a map states the members that it names."""

REENTRANCY_SLOT = 0x9B779B17422D0DF92223018B32B4D1FA46E071723D6817E2486D003BECC55F00
"""Where OpenZeppelin's ReentrancyGuard keeps its flag (ERC-7201, `openzeppelin.storage.ReentrancyGuard`)."""


MONEY_EVENTS = (
    *(e.BondAdded, e.BondWithdrawn, e.TreasuryFunded, e.Withdrawn, e.Credited),
    *(e.LeafRequested, e.LeafAnswered, e.RequestClosed, e.VerdictExecuted),
)
"""What moves money besides rounds and the deposits of participants."""


def check_5_storage(chain: ChainSource, deployment: Deployment, state: Federation) -> tuple[int, str]:
    """Every fact that follows from the events stands in storage; where the source lists slots, nothing else does."""
    facts = {
        "Consortium": list(consortium_facts(state.consortium)),
        "Participants": list(participants_facts(state)),
        "Enclaves": list(enclaves_facts(state)),
        "RoundLedger": list(ledger_facts(state.ledger, deployment.ledger.word("genesisModel"))),
        "Disputes": list(disputes_facts(state.disputes)),
    }
    count, is_complete = 0, True
    for contract in deployment.deployed:
        storage = storage_of(chain, contract)
        if contract.name in facts:
            storage.value("_head")
        for name, keys, expected in facts.get(contract.name, ()):  # predicates store nothing
            actual = storage.value(name, *keys)
            if isinstance(expected, Mapping):
                actual = {member: actual[member] for member in expected}
            if actual != expected:
                raise VerificationError(f"{contract.name}.{_path(name, keys)}", expected=expected, actual=actual)
            count += 1
        slots = chain.slots(contract.address)
        is_complete = is_complete and slots is not None
        left = (slots or frozenset()) - storage.seen - {REENTRANCY_SLOT}
        if left:
            raise VerificationError(
                f"slots of {contract.name} that no event explains", actual=sorted(map(hex, left))[:5]
            )
    rest = "and nothing else is stored" if is_complete else "other slots not listed by this source"
    return count, f"{count} facts from the events equal storage, {rest}"


def check_6_money(
    chain: ChainSource, deployment: Deployment, state: Federation, entries: Iterable[Entry], calls: Calls
) -> tuple[int, str]:
    """What came in is what went out and what is held, each moved by whose it is; the contracts' balances cover it."""
    ledger, entries = state.ledger, tuple(entries)
    _check_credits(entries, deployment.disputes.number("deposit"))
    credits = sum(account.credit_wei for account in ledger.accounts.values())
    bonds = sum(ledger.bonds.values())
    held = ledger.treasury_wei + bonds + credits
    if min([ledger.treasury_wei, *ledger.bonds.values(), *(a.credit_wei for a in ledger.accounts.values())]) < 0:
        raise VerificationError("money of the ledger", expected="nothing below zero", actual=held)
    deposits = deployment.participants.number("deposit") * sum(p.has_deposit for p in state.participants.values())
    asked = deployment.disputes.number("deposit") * state.disputes.open_requests
    flows = _check_flows(entries, deployment.disputes.number("deposit"), held + asked)
    owed = ((deployment.ledger, held), (deployment.participants, deposits), (deployment.disputes, asked))
    for contract, amount in owed:
        balance = chain.balance(contract.address)
        if balance < amount:  # more is possible: anybody can force coins on a contract
            raise VerificationError(f"balance of {contract.name} in wei", expected=f"at least {amount}", actual=balance)
    calls.hold_all(x for x in entries if x.contract == "Participants" or isinstance(x.event, MONEY_EVENTS))
    chain.confirm()
    parts = f"treasury {ledger.treasury_wei}, bonds {bonds}, credits {credits}"
    return held, f"held in wei: {parts}, deposits {deposits + asked}; the balances cover it; {flows}"


def _check_credits(entries: tuple[Entry, ...], request_wei: int) -> None:
    """The only credit that is no part of a round or of a verdict is a request's deposit, which is always the same."""
    for entry in entries:
        if isinstance(entry.event, e.Credited) and entry.event.amount != request_wei:
            raise VerificationError("amount of a credit", expected=request_wei, actual=entry.event.amount)


def _check_flows(entries: tuple[Entry, ...], request_wei: int, held: int) -> str:
    """Paid in = paid out + burnt + held, of ledger and disputes; a participant's deposit never gets there."""

    def total(*kinds: type[e.BondAdded | e.TreasuryFunded | e.BondWithdrawn | e.Withdrawn]) -> int:
        return sum(entry.event.amount for entry in entries if isinstance(entry.event, kinds))

    requests = sum(isinstance(entry.event, e.LeafRequested) for entry in entries)
    paid_in = total(e.BondAdded, e.TreasuryFunded) + requests * request_wei
    paid_out = total(e.BondWithdrawn, e.Withdrawn)
    burnt = sum(entry.event.burnt for entry in entries if isinstance(entry.event, e.VerdictExecuted))
    if paid_in != paid_out + burnt + held:
        raise VerificationError("paid out, burnt and held in wei", expected=paid_in, actual=paid_out + burnt + held)
    return f"{paid_in} paid in, {paid_out} paid out, {burnt} burnt"


def consortium_facts(state: Consortium) -> Iterator[Fact]:
    """Storage of Consortium."""
    yield "_memberCount", (), len(state.members)
    yield "_proposalCount", (), len(state.proposals)
    for account, seat in state.members.items():
        yield "_seats", (account,), {"isMember": True, "newest": seat.newest}
    for coordinator in state.coordinators:
        yield "_isCoordinator", (coordinator,), True
    for measurement in state.measurements | set(state.suspensions):
        newest = state.suspensions.get(measurement, 0)
        yield "_allowances", (measurement,), {"isAllowed": measurement in state.measurements, "newest": newest}
    periods = [
        {"hash": terms.hash(), "fromRound": start, "cohortSize": terms.cohort_size}
        | dict(zip(DEADLINES, terms.windows, strict=True))
        for start, terms in state.terms
    ]
    yield "_periods", (), periods
    for number, proposal in state.proposals.items():
        yield (
            "_proposals",
            (number,),
            {
                "action": proposal.event.action.value,
                "isExecuted": proposal.is_executed,
                "proposedAt": proposal.time_s,
                "members": proposal.members,
                "subject": proposal.event.subject,
                "dataHash": keccak256(proposal.event.data),
                "voters": list(proposal.voters),
            },
        )
        for voter in proposal.voters:
            yield "_hasVoted", (number, voter), True
    for (action, subject), newest in state.removals.items():
        yield "_newestAtRemoval", (action.value, subject), newest


def participants_facts(state: Federation) -> Iterator[Fact]:
    """Storage of Participants."""
    yield "_activeCount", (), sum(p.membership is Membership.ACTIVE for p in state.participants.values())
    for account, known in state.participants.items():
        yield (
            "_participants",
            (account,),
            {
                "payout": known.payout,
                "membership": known.membership.value,
                "isDeposited": known.has_deposit,
                "since": known.since,
                "until": known.until,
            },
        )
        yield "_reclaimableAt", (account,), known.reclaimable_at_s


def enclaves_facts(state: Federation) -> Iterator[Fact]:
    """Storage of Enclaves."""
    yield from _platform_facts(state.platforms)
    for enclave, known in state.enclaves.items():
        event = known.event
        yield (
            "_enclaves",
            (enclave,),
            {
                "operator": event.operator,
                "expiry": event.expiry,
                "state": known.state.value,
                "issuer": known.platforms.number(event.authority),
                "revocations": known.platforms.revocations.get(event.authority, 0),
                "signer": event.signer,
                "epoch": event.epoch,
                "measurement": event.measurement,
                "hpkeKey": event.claims.hpke_key,
                "certificate": event.certificate,
            },
        )
        yield "_isSignerUsed", (event.signer,), True
        yield "_isHpkeKeyUsed", (event.claims.hpke_key,), True


def _platform_facts(state: Platforms) -> Iterator[Fact]:
    """Storage of PlatformTrust, which is Enclaves' too."""
    yield "_issuerCount", (), len(state.issuers)
    for number, authority in enumerate(state.issuers, 1):
        yield "_issuerOf", (authority,), number
        trusted = state.authorities.get(authority)
        values = {"id": authority, "revocations": state.revocations.get(authority, 0)}
        yield "_issuers", (number,), values | ({"kind": 0} if trusted is None else _issuer(trusted))
    for tcb, row in state.tcbs.items():
        value, is_accepted = row.value, row.is_accepted
        stored = {
            "status": value.status,
            "expiry": value.expiry,
            "issuer": state.number(value.authority),
            "collateral": value.collateral,
        }
        yield "_rows", (tcb,), stored if is_accepted else dict.fromkeys(stored, 0) | {"collateral": bytes(32)}
    for certificate in state.revoked:
        yield "_isRevoked", (certificate,), True


def _issuer(trusted: TrustedAuthority) -> dict[str, Any]:
    """What the registry reads from an authority's certificates, and who its quoting enclave has to be."""
    value = trusted.value
    certificate, root = parse_certificate(value.certificate), parse_certificate(value.root_certificate)
    return {
        "kind": value.kind.value,
        "isTrusted": trusted.is_trusted,
        "expiry": min(certificate.not_after_s, root.not_after_s),
        "product": value.qe.product,
        "svn": value.qe.svn,
        "miscSelect": value.qe.misc_select,
        "miscSelectMask": value.qe.misc_select_mask,
        "root": value.root,
        "x": certificate.public_key[:32],
        "y": certificate.public_key[32:],
        "subject": keccak256(certificate.subject),
        "subjectKeyId": keccak256(certificate.subject_key_id),
        "mrsigner": value.qe.mrsigner,
        "attributes": value.qe.attributes,
        "attributesMask": value.qe.attributes_mask,
    }


def ledger_facts(state: Ledger, genesis: bytes) -> Iterator[Fact]:
    """Storage of RoundLedger."""
    yield "_lastSettled", (), state.last_settled
    yield "_model", (), state.model if any(state.model) else genesis
    yield "_treasury", (), state.treasury_wei
    for number, known in state.rounds.items():
        yield "_specs", (number,), known.opening.spec
        is_kept = known.state in (RoundState.PROPOSED, RoundState.SETTLED) and known.proposal is not None
        yield "_results", (number,), known.proposal.result if is_kept and known.proposal else bytes(32)
        for participant, entry in known.commitments.items():
            update = entry.event.update if isinstance(entry.event, e.UpdateCommitted) else b""
            yield "_commitments", (number, participant), update
    for coordinator, bond in state.bonds.items():
        verdict = state.frozen_by(coordinator)
        yield "_bonds", (coordinator,), {"amount": bond, "verdict": 0 if verdict is None else verdict.tag()}
    for participant, account in state.accounts.items():
        yield "_standings", (participant,), _standing(account)
    yield "_current", (), _current(state)


def _standing(account: Account) -> dict[str, Any]:
    standing = account.standing
    stored = {"good": standing.good, "bad": standing.bad, "credit": account.credit_wei}
    return {**stored, "isEnrolled": account.is_enrolled}


def _current(state: Ledger) -> dict[str, Any]:
    known = state.rounds.get(state.current)
    if known is None:
        return {"coordinator": bytes(20), "round": 0, "commitBy": 0, "lastSlot": 0, "state": 0}
    return {
        "coordinator": known.opening.coordinator,
        "round": state.current,
        "commitBy": known.opening.value.deadlines[2],
        "lastSlot": len(known.opening.cohort) - 1,
        "state": known.state.value,
    }


def disputes_facts(state: Disputes) -> Iterator[Fact]:
    """Storage of Disputes."""
    yield "_hold", (), {"round": state.hold.round_id, "notBefore": state.hold.not_before_s, "open": state.hold.open}
    for commitment, block in state.commitments.items():
        yield "_commitments", (commitment,), block
    for (number, member), request in state.requests.items():
        asked = request.event
        yield (
            "_requests",
            (number, member),
            {
                "tree": asked.tree.value,
                "slot": asked.slot,
                "index": asked.index,
                "answerBy": asked.answer_by,
                "isOpen": request.is_open,
            },
        )


def _path(name: str, keys: tuple[Key, ...]) -> str:
    shown = [str(k) if isinstance(k, int) else to_hex(k) if len(k) == 20 else k.hex() for k in keys]
    return name + "".join(f"[{key}]" for key in shown)
