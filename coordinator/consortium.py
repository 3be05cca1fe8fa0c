"""What members of a consortium do on the ledger: propose, vote, execute.

Responsible for: subjects and data of every action, and proposals as the chain tells them.
Must not know:   whether an action is wise.  What a platform may be trusted for is `platform_votes`; checking an enclave
                 again is `check_enclave`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from coordinator.chain import Call, TransactionReceipt
from coordinator.ledger import Ledger
from coordinator.outbox import MemoryRecords, Outbox
from protocol.attestation.result import Verified
from protocol.enclaves import Evidence, accept_enclave, public_collateral
from protocol.errors import CommitmentMismatchError, LengthError, UnavailableError, UnknownNameError
from protocol.events import (
    Action,
    AuthorityDistrusted,
    AuthorityTrusted,
    EnclaveRegistered,
    Event,
    Executed,
    MeasurementAllowed,
    MeasurementRevoked,
    MeasurementSuspended,
    Proposed,
    TcbAccepted,
    TcbRejected,
    Voted,
    parse_event,
    topic_of,
)
from protocol.hashing import keccak256
from protocol.keys import Address
from protocol.platforms import Authority, Tcb, certificate_id, revocation_data
from protocol.terms import Terms

ACTIONS: dict[str, Action] = {action.name.lower().replace("_", "-"): action for action in Action}
"""By the name on the command line, such as `allow-measurement`."""

ADDRESS_ACTIONS = (
    *(Action.ADMIT_MEMBER, Action.REMOVE_MEMBER, Action.ADMIT_COORDINATOR, Action.REMOVE_COORDINATOR),
    *(Action.SUSPEND_PARTICIPANT, Action.REINSTATE_PARTICIPANT),
)
"""Actions whose subject is an address; the others' is 32 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """What is voted on: an action, what it is about, and its data."""

    action: Action
    subject: bytes
    """32 bytes; an address is padded on the left."""
    data: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A motion on the ledger."""

    number: int
    motion: Motion
    proposer: Address
    votes: tuple[Address, ...]
    """The proposer's first."""
    is_executed: bool


def parse_action(name: str) -> Action:
    """The action of a name; an unknown one lists those that exist."""
    if name not in ACTIONS:
        raise UnknownNameError("action", known=ACTIONS, actual=name)
    return ACTIONS[name]


def about(action: Action, subject: bytes, data: bytes = b"") -> Motion:
    """A motion about an address (20 bytes) or a hash (32)."""
    wanted = 20 if action in ADDRESS_ACTIONS else 32
    if len(subject) != wanted:
        raise LengthError(f"length of the subject of {action.name.lower()}", expected=wanted, actual=len(subject))
    return Motion(action=action, subject=subject.rjust(32, b"\0"), data=data)


def trust_authority(authority: Authority) -> Motion:
    """Believe the platforms that this CA certified."""
    return about(Action.TRUST_AUTHORITY, authority.authority, authority.encode())


def accept_tcb(row: Tcb) -> Motion:
    """Let platforms with these security versions register enclaves, until the row's collateral is due."""
    return about(Action.ACCEPT_TCB, row.tcb, row.encode())


def revoke_certificate(authority: bytes, serial: int) -> Motion:
    """Never again believe the one platform that this CA certified under this serial number."""
    return about(Action.REVOKE_CERTIFICATE, certificate_id(authority, serial), revocation_data(authority, serial))


def set_terms(terms: Terms, from_round: int) -> Motion:
    """Terms for every round from this one on."""
    data = terms.encode() + from_round.to_bytes(32)
    return Motion(action=Action.SET_TERMS, subject=keccak256(data), data=data)


class Member:
    """One account at the consortium.  Reads without a key, sends with one."""

    def __init__(self, ledger: Ledger, key: bytes | None, *, timeout_s: float = 60) -> None:
        self.ledger = ledger
        self._chain = ledger.chain
        self._contract = self._chain.contracts["Consortium"]
        self._outbox = None if key is None else Outbox(MemoryRecords(), self._chain, key, timeout_s=timeout_s)
        self._numbers = itertools.count(1)

    def propose(self, motion: Motion) -> int:
        """Puts a motion to the vote, with one's own vote for it; returns the proposal's number."""
        receipt = self._send("propose", int(motion.action), motion.subject, motion.data)
        topics = [topic_of(Proposed)]
        for log in self._chain.logs(self.ledger.consortium, topics, receipt.block, receipt.block):
            event = parse_event("Consortium", log.topics, log.data)
            if isinstance(event, Proposed) and log.transaction == receipt.transaction:
                return event.proposal
        raise UnavailableError("the chain has no Proposed event of that transaction", "use a node that keeps its logs")

    def vote(self, number: int) -> TransactionReceipt:
        """Votes for a proposal."""
        return self._send("vote", number)

    def execute(self, number: int) -> TransactionReceipt:
        """Makes a proposal that has its votes (and has waited) take effect."""
        return self._send("execute", number, self.proposal(number).motion.data)

    def proposals(self) -> list[Proposal]:
        """All proposals, by number."""
        proposed: dict[int, Proposed] = {}
        votes: dict[int, list[Address]] = {}
        executed: set[int] = set()
        for found in self._history("Consortium", (Proposed, Voted, Executed)):
            match found:
                case Proposed() as event:
                    proposed[event.proposal] = event
                case Voted(proposal=number, member=member):
                    votes.setdefault(number, []).append(member)
                case Executed(proposal=number):
                    executed.add(number)
                case _:
                    pass  # no other kind was asked for
        return [
            Proposal(
                number=number,
                motion=Motion(action=event.action, subject=event.subject, data=event.data),
                proposer=event.proposer,
                votes=tuple(dict.fromkeys([event.proposer, *votes.get(number, [])])),
                is_executed=number in executed,
            )
            for number, event in sorted(proposed.items())
        ]

    def proposal(self, number: int) -> Proposal:
        """One proposal.  Raises UnknownNameError."""
        found = {proposal.number: proposal for proposal in self.proposals()}
        if number not in found:
            raise UnknownNameError("proposal", known=[str(known) for known in found] or "none yet", actual=number)
        return found[number]

    def check_enclave(self, enclave: bytes, *, collateral: bytes, now_s: int, allow_simulated: bool) -> Verified:
        """Verifies a registered enclave's evidence again, against what the consortium allows and believes now.

        collateral: of the platform, from which the enclave's TCB row follows.
        Raises: VerificationError, PolicyError, UnavailableError when it is not registered or no longer believed.
        """
        event = self._last("Enclaves", (EnclaveRegistered,), enclave)
        if not isinstance(event, EnclaveRegistered):
            raise UnavailableError(f"enclave 0x{enclave.hex()} is not registered", "its operator registers it")
        evidence = Evidence(quote=event.quote, claims=event.claims, hpke_key=event.hpke_key)
        if evidence.enclave != enclave:
            raise CommitmentMismatchError("the registered quote's id", expected=enclave, actual=evidence.enclave)
        return accept_enclave(
            evidence,
            signer=event.signer,
            epoch=event.epoch,
            authority=self.authority(event.authority),
            row=self.tcb(event.tcb),
            measurements=self.allowed_measurements(),
            collateral=public_collateral(collateral),
            now_s=now_s,
            allow_simulated=allow_simulated,
        )

    def allowed_measurements(self) -> frozenset[bytes]:
        """Measurements that may aggregate now."""
        allowed: set[bytes] = set()
        for event in self._history("Consortium", (MeasurementAllowed, MeasurementRevoked, MeasurementSuspended)):
            if isinstance(event, MeasurementAllowed):
                allowed.add(event.measurement)
            elif isinstance(event, MeasurementRevoked | MeasurementSuspended):
                allowed.discard(event.measurement)
        return frozenset(allowed)

    def authority(self, authority: bytes) -> Authority:
        """A CA that the consortium trusts now.  Raises UnavailableError."""
        event = self._last("Enclaves", (AuthorityTrusted, AuthorityDistrusted), authority)
        if not isinstance(event, AuthorityTrusted):
            raise UnavailableError(f"authority 0x{authority.hex()} is not trusted", "propose trust-authority")
        return event.value

    def tcb(self, tcb: bytes) -> Tcb:
        """A row that the consortium accepts now.  Raises UnavailableError."""
        event = self._last("Enclaves", (TcbAccepted, TcbRejected), tcb)
        if not isinstance(event, TcbAccepted):
            raise UnavailableError(f"TCB row 0x{tcb.hex()} is not accepted", "propose accept-tcb")
        return event.value

    def _last(self, contract: str, kinds: Sequence[type[Event]], first: bytes) -> Event | None:
        """The newest event of these kinds with that first indexed value."""
        history = self._history(contract, kinds, first)
        return history[-1] if history else None

    def _history(self, contract: str, kinds: Sequence[type[Event]], first: bytes | None = None) -> list[Event]:
        at = {"Consortium": self.ledger.consortium, "Enclaves": self.ledger.enclaves}[contract]
        topics: list[bytes | list[bytes] | None] = [[topic_of(kind) for kind in kinds]]
        logs = self._chain.logs(at, topics if first is None else [*topics, first], self.ledger.from_block)
        return [parse_event(contract, log.topics, log.data) for log in logs]

    def _send(self, function: str, *arguments: object) -> TransactionReceipt:
        if self._outbox is None:
            raise UnavailableError("this needs a member's key", "give --key")
        call = Call(what=function, to=self.ledger.consortium, data=self._contract.call_data(function, *arguments))
        return self._outbox.send(f"{function}/{next(self._numbers)}", call)


def resolve(members: Sequence[Member], motion: Motion) -> int:
    """Proposes and votes with as many members as adding takes; returns the number, to be executed after the delay."""
    number = members[0].propose(motion)
    for member in members[1 : -(-2 * len(members) // 3)]:
        member.vote(number)
    return number


def allow(members: Sequence[Member], motion: Motion) -> int:
    """`resolve` and execute: for a consortium whose delay is zero or over at once."""
    number = resolve(members, motion)
    members[0].execute(number)
    return number
