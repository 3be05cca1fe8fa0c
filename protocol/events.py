"""What the contracts say happened: every event as a typed value, and the rolling hash that makes them complete.

Responsible for: (topics, data) of a log to an event of ours, strictly; and `stream`, recomputed.
Must not know:   chains, blocks, or what an event means for anybody's state.

Spec: docs/protocol.md section 7.
Twin: contracts/src/interfaces (names and fields), contracts/src/Stream.sol (the rolling hash).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache

from protocol.attestation.trust import RootKind
from protocol.errors import UnknownNameError
from protocol.event_coding import STRUCTS, Event, decode_event, topic_of
from protocol.hashing import keccak256
from protocol.keys import Address
from protocol.messages import Claims, solidity
from protocol.openings import Tree
from protocol.platforms import Authority, QeIdentity, Tcb
from protocol.round_events import (
    Anchored,
    BondAdded,
    BondWithdrawn,
    Credited,
    EnclaveAccused,
    Enrolled,
    LeafAnswered,
    LeafRequested,
    ProofCommitted,
    ProverReplaced,
    RequestClosed,
    ResultProposed,
    RoundOpened,
    RoundRefuted,
    RoundSettled,
    RoundVoided,
    TreasuryFunded,
    UpdateCommitted,
    VerdictExecuted,
    VoidReason,
    Withdrawn,
)
from protocol.terms import Terms

__all__ = [  # with everything below: callers know one module of events
    "STRUCTS",
    "Event",
    "topic_of",
    "Anchored",
    "BondAdded",
    "BondWithdrawn",
    "Credited",
    "Enrolled",
    "LeafAnswered",
    "LeafRequested",
    "EnclaveAccused",
    "ProofCommitted",
    "ProverReplaced",
    "RequestClosed",
    "ResultProposed",
    "RoundOpened",
    "RoundRefuted",
    "RoundSettled",
    "RoundVoided",
    "TreasuryFunded",
    "UpdateCommitted",
    "VerdictExecuted",
    "VoidReason",
    "Withdrawn",
]

CONTRACTS = ("Consortium", "Participants", "Enclaves", "RoundLedger", "Disputes")
"""The contracts that emit events, each with a stream of its own."""


class Action(IntEnum):
    """What a proposal of the consortium does."""

    ADMIT_MEMBER = 0
    REMOVE_MEMBER = 1
    ALLOW_MEASUREMENT = 2
    REVOKE_MEASUREMENT = 3
    TRUST_AUTHORITY = 4
    DISTRUST_AUTHORITY = 5
    ACCEPT_TCB = 6
    REJECT_TCB = 7
    REVOKE_CERTIFICATE = 8
    REVOKE_ENCLAVE = 9
    ADMIT_COORDINATOR = 10
    REMOVE_COORDINATOR = 11
    SUSPEND_PARTICIPANT = 12
    REINSTATE_PARTICIPANT = 13
    SET_TERMS = 14
    OUTVOTE_RESULT = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberAdmitted(Event):
    """A member joined the consortium."""

    member: Address = solidity("indexed address")
    hpke_key: bytes = solidity("bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRemoved(Event):
    """A member left the consortium."""

    member: Address = solidity("indexed address")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementAllowed(Event):
    """Code of this measurement may aggregate."""

    measurement: bytes = solidity("indexed bytes32")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementRevoked(Event):
    """Code of this measurement may no longer aggregate."""

    measurement: bytes = solidity("indexed bytes32")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementSuspended(Event):
    """Not by vote: an enclave of this measurement signed what was refuted."""

    measurement: bytes = solidity("indexed bytes32")


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorAdmitted(Event):
    """This address may open rounds."""

    coordinator: Address = solidity("indexed address")


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorRemoved(Event):
    """This address may no longer open rounds."""

    coordinator: Address = solidity("indexed address")


@dataclass(frozen=True, slots=True, kw_only=True)
class TermsSet(Event):
    """The terms of every round from this one on."""

    from_round: int = solidity("indexed uint64")
    terms: Terms = solidity("Terms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed(Event):
    """A member proposed an action, which is also its vote for it."""

    proposal: int = solidity("indexed uint256")
    action: Action = solidity("uint8")
    subject: bytes = solidity("indexed bytes32")
    proposer: Address = solidity("indexed address")
    data: bytes = solidity("bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Voted(Event):
    """A member voted for a proposal."""

    proposal: int = solidity("indexed uint256")
    member: Address = solidity("indexed address")


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed(Event):
    """A proposal had its votes and took effect."""

    proposal: int = solidity("indexed uint256")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointPosted(Event):
    """Somebody posted what members signed of a settled round; 65 bytes each, by ascending signer."""

    round_id: int = solidity("indexed uint64")
    result: bytes = solidity("indexed bytes32")
    block_hash: bytes = solidity("bytes32")
    signatures: bytes = solidity("bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataUnavailable(Event):
    """Somebody posted members' complaints about a proposed result; 65 bytes each, by ascending signer."""

    round_id: int = solidity("indexed uint64")
    result: bytes = solidity("indexed bytes32")
    signatures: bytes = solidity("bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantJoined(Event):
    """A participant paid its deposit and takes part from the next round on."""

    participant: Address = solidity("indexed address")
    payout: Address = solidity("address")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantLeft(Event):
    """A participant left; `round` is the newest round then."""

    participant: Address = solidity("indexed address")
    round_id: int = solidity("uint64")


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositReclaimed(Event):
    """The deposit of a participant that left went back."""

    participant: Address = solidity("indexed address")
    to: Address = solidity("address")
    amount: int = solidity("uint256")


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutSet(Event):
    """Where a participant's payouts go."""

    participant: Address = solidity("indexed address")
    payout: Address = solidity("address")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantSuspended(Event):
    """A participant may not take part until it is reinstated."""

    participant: Address = solidity("indexed address")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantReinstated(Event):
    """A suspended participant takes part again."""

    participant: Address = solidity("indexed address")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityTrusted(Event):
    """A CA whose PCK certificates count (SHA-256 of its key X || Y), under a root, as evidence of that kind."""

    authority: bytes = solidity("indexed bytes32")
    root: bytes = solidity("indexed bytes32")
    kind: RootKind = solidity("uint8")
    certificate: bytes = solidity("bytes")
    root_certificate: bytes = solidity("bytes")
    qe: QeIdentity = solidity("QeIdentity")

    @property
    def value(self) -> Authority:
        """What was voted for."""
        return Authority(
            kind=self.kind,
            root=self.root,
            certificate=self.certificate,
            root_certificate=self.root_certificate,
            qe=self.qe,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityDistrusted(Event):
    """What this CA certified no longer counts."""

    authority: bytes = solidity("indexed bytes32")
    simulated: bool = solidity("bool")


@dataclass(frozen=True, slots=True, kw_only=True)
class TcbAccepted(Event):
    """Platforms with these security versions will do; an earlier row for them is replaced."""

    tcb: bytes = solidity("indexed bytes32")
    authority: bytes = solidity("indexed bytes32")
    value: Tcb = solidity("Tcb")
    simulated: bool = solidity("bool")


@dataclass(frozen=True, slots=True, kw_only=True)
class TcbRejected(Event):
    """Platforms with these security versions register no enclave any more."""

    tcb: bytes = solidity("indexed bytes32")
    simulated: bool = solidity("bool")


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRevoked(Event):
    """One platform's PCK certificate counts no more, for ever; named by its issuer and serial number."""

    certificate: bytes = solidity("indexed bytes32")
    authority: bytes = solidity("indexed bytes32")
    serial: int = solidity("uint256")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnclaveRegistered(Event):
    """An operator registered an enclave, whose quote the ledger verified and everyone can verify again from here."""

    enclave: bytes = solidity("indexed bytes32")
    operator: Address = solidity("indexed address")
    measurement: bytes = solidity("indexed bytes32")
    signer: Address = solidity("address")
    epoch: int = solidity("uint64")
    expiry: int = solidity("uint64")
    authority: bytes = solidity("bytes32")
    tcb: bytes = solidity("bytes32")
    certificate: bytes = solidity("bytes32")
    simulated: bool = solidity("bool")
    claims: Claims = solidity("Claims")
    hpke_key: bytes = solidity("bytes")
    quote: bytes = solidity("bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnclaveRevoked(Event):
    """The consortium withdrew an enclave."""

    enclave: bytes = solidity("indexed bytes32")
    simulated: bool = solidity("bool")


EVENTS: dict[str, tuple[type[Event], ...]] = {
    "Consortium": (
        *(MemberAdmitted, MemberRemoved, MeasurementAllowed, MeasurementRevoked, MeasurementSuspended),
        *(CoordinatorAdmitted, CoordinatorRemoved, TermsSet, Proposed, Voted, Executed),
        *(CheckpointPosted, DataUnavailable),
    ),
    "Participants": (
        *(ParticipantJoined, ParticipantLeft, DepositReclaimed, PayoutSet, ParticipantSuspended),
        ParticipantReinstated,
    ),
    "Enclaves": (
        *(AuthorityTrusted, AuthorityDistrusted, TcbAccepted, TcbRejected, CertificateRevoked),
        *(EnclaveRegistered, EnclaveRevoked),
    ),
    "RoundLedger": (
        *(RoundOpened, UpdateCommitted, ResultProposed, RoundSettled, RoundVoided, Anchored, BondAdded),
        *(BondWithdrawn, TreasuryFunded, Withdrawn, Enrolled, Credited, RoundRefuted, ProverReplaced),
        VerdictExecuted,
    ),
    "Disputes": (ProofCommitted, EnclaveAccused, LeafRequested, LeafAnswered, RequestClosed),
}
"""Which contract says what; a test compares it with the compiled ABI."""

ENUMS: dict[str, type[IntEnum]] = {
    **{"Action": Action, "RootKind": RootKind, "Tree": Tree, "VoidReason": VoidReason},
}


def parse_event(contract: str, topics: Sequence[bytes], data: bytes) -> Event:
    """The event of that contract in a log.

    Raises: UnknownNameError for an event that the contract does not have; EncodingError for any other spelling of
    its values than Solidity's.
    """
    kinds = _by_topic(contract)
    kind = kinds.get(topics[0]) if topics else None
    if kind is None:
        known = [known.__name__ for known in kinds.values()]
        raise UnknownNameError(f"event of {contract}", known=known, actual=topics[0].hex() if topics else "no topic")
    return decode_event(kind, topics, data, ENUMS)


def stream(logs: Iterable[tuple[Sequence[bytes], bytes]], head: bytes = bytes(32)) -> bytes:
    """The rolling hash after these logs (topics, data): head' = keccak256(head || keccak256(topics ... || data))."""
    for topics, data in logs:
        head = keccak256(head, keccak256(*topics, data))
    return head


@cache
def _by_topic(contract: str) -> Mapping[bytes, type[Event]]:
    return {topic_of(kind): kind for kind in EVENTS[contract]}
