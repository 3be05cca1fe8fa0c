"""What members of a consortium do on the ledger: propose, vote, execute.

Responsible for: subjects and data of every action, and proposals as the chain tells them.
Must not know:   whether an action is wise; checking an enclave's quote first is `check_enclave`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from eth_abi.abi import encode as abi_encode

from coordinator.chain import Call, TransactionReceipt
from coordinator.ledger import Ledger
from coordinator.outbox import MemoryRecords, Outbox
from protocol.attestation.policy import Policy, accept_quote
from protocol.attestation.trust import RootKind, TrustedRoot, TrustStore
from protocol.attestation.verify import VerifiedQuote
from protocol.errors import CommitmentMismatchError, LengthError, UnavailableError, UnknownNameError
from protocol.events import (
    Action,
    EnclaveRegistered,
    Executed,
    MeasurementAllowed,
    MeasurementRevoked,
    Proposed,
    RootDistrusted,
    RootTrusted,
    Voted,
    parse_event,
    topic_of,
)
from protocol.hashing import keccak256
from protocol.keys import Address
from protocol.messages import ENCLAVE_BODY_BYTES, enclave_id, report_data
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


def trust_root(root: bytes, kind: RootKind) -> Motion:
    """Believe a platform's root: SHA-256 of its public key, and what stands behind it."""
    return about(Action.TRUST_ROOT, root, abi_encode(["uint8"], [int(kind)]))


def admit_enclave(enclave: bytes, root: bytes) -> Motion:
    """Let an enclave aggregate whose quote leads to this root."""
    return about(Action.ADMIT_ENCLAVE, enclave, abi_encode(["bytes32"], [root]))


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
        kinds = (Proposed, Voted, Executed)
        proposed: dict[int, Proposed] = {}
        votes: dict[int, list[Address]] = {}
        executed: set[int] = set()
        for log in self._chain.logs(
            self.ledger.consortium, [[topic_of(kind) for kind in kinds]], self.ledger.from_block
        ):
            match parse_event("Consortium", log.topics, log.data):
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

    def check_enclave(self, enclave: bytes, *, now_s: int, allow_simulated: bool) -> VerifiedQuote:
        """Verifies a registered enclave's quote against what the consortium allows and trusts, as each voter should.

        Raises: VerificationError, PolicyError, UnavailableError when it is not registered.
        """
        logs = self._chain.logs(self.ledger.enclaves, [topic_of(EnclaveRegistered), enclave], self.ledger.from_block)
        events = [parse_event("Enclaves", log.topics, log.data) for log in logs]
        event = next((event for event in events if isinstance(event, EnclaveRegistered)), None)
        if event is None:
            raise UnavailableError(f"enclave 0x{enclave.hex()} is not registered", "its operator registers it")
        named = enclave_id(event.quote[:ENCLAVE_BODY_BYTES])
        if named != enclave:
            raise CommitmentMismatchError("the registered quote's id", expected=enclave, actual=named)
        bound = report_data(signer=event.signer, claims=event.claims.sha256(), epoch=event.epoch)
        policy = Policy(
            measurements=frozenset(self.allowed_measurements()),
            report_data=bound,
            allow_simulated_quotes=allow_simulated,
            insecure_without_collateral=True,  # collateral and revocation come with the attestation issue
        )
        return accept_quote(event.quote, policy=policy, trust_store=self.trust_store(), now_s=now_s)

    def allowed_measurements(self) -> set[bytes]:
        """Measurements that may aggregate now."""
        allowed: set[bytes] = set()
        kinds = [topic_of(MeasurementAllowed), topic_of(MeasurementRevoked)]
        for log in self._chain.logs(self.ledger.consortium, [kinds], self.ledger.from_block):
            event = parse_event("Consortium", log.topics, log.data)
            if isinstance(event, MeasurementAllowed):
                allowed.add(event.measurement)
            elif isinstance(event, MeasurementRevoked):
                allowed.discard(event.measurement)
        return allowed

    def trust_store(self) -> TrustStore:
        """Roots that the consortium trusts now.  Raises UnavailableError when there is none."""
        roots: dict[bytes, RootKind] = {}
        kinds = [topic_of(RootTrusted), topic_of(RootDistrusted)]
        for log in self._chain.logs(self.ledger.consortium, [kinds], self.ledger.from_block):
            event = parse_event("Consortium", log.topics, log.data)
            if isinstance(event, RootTrusted):
                roots[event.root] = event.kind
            elif isinstance(event, RootDistrusted):
                roots.pop(event.root, None)
        if not roots:
            raise UnavailableError("the consortium trusts no root yet", "propose trust-root")
        return TrustStore(roots=tuple(TrustedRoot(key_hash=root, kind=kind) for root, kind in roots.items()))

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
