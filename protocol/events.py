"""What the four contracts say happened: every event as a typed value, and the rolling hash that makes them complete.

Responsible for: (topics, data) of a log to an event of ours, strictly; and `stream`, recomputed.
Must not know:   chains, blocks, or what an event means for anybody's state.

Spec: docs/protocol.md section 7.
Twin: contracts/src/interfaces (names and fields), contracts/src/Stream.sol (the rolling hash).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError
from eth_abi.exceptions import EncodingError as AbiEncodingError

from protocol.attestation.trust import RootKind
from protocol.errors import EncodingError, UnknownNameError
from protocol.hashing import keccak256
from protocol.keys import Address
from protocol.messages import Claims, RoundResult, Spec, solidity
from protocol.terms import Terms

CONTRACTS = ("Consortium", "Participants", "Enclaves", "RoundLedger")
"""The contracts that emit events, each with a stream of its own."""


class Action(IntEnum):
    """What a proposal of the consortium does."""

    ADMIT_MEMBER = 0
    REMOVE_MEMBER = 1
    ALLOW_MEASUREMENT = 2
    REVOKE_MEASUREMENT = 3
    TRUST_ROOT = 4
    DISTRUST_ROOT = 5
    ADMIT_COORDINATOR = 6
    REMOVE_COORDINATOR = 7
    ADMIT_ENCLAVE = 8
    REVOKE_ENCLAVE = 9
    SUSPEND_PARTICIPANT = 10
    REINSTATE_PARTICIPANT = 11
    SET_TERMS = 12


class VoidReason(IntEnum):
    """Why a round came to nothing."""

    NONE = 0
    LATE = 1
    ENCLAVE_INACTIVE = 2
    TOO_FEW_COUNTED = 3
    TOO_MANY_UNDELIVERED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that a contract said; the fields are the ABI's, in its order, an `indexed` one is a topic."""


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
class RootTrusted(Event):
    """Quotes that lead to this root (SHA-256 of X || Y) count, as evidence of that kind."""

    root: bytes = solidity("indexed bytes32")
    kind: RootKind = solidity("uint8")


@dataclass(frozen=True, slots=True, kw_only=True)
class RootDistrusted(Event):
    """Quotes that lead to this root no longer count."""

    root: bytes = solidity("indexed bytes32")


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
class EnclaveRegistered(Event):
    """An operator registered an enclave, whose whole quote is here for everyone to verify."""

    enclave: bytes = solidity("indexed bytes32")
    operator: Address = solidity("indexed address")
    measurement: bytes = solidity("indexed bytes32")
    signer: Address = solidity("address")
    epoch: int = solidity("uint64")
    expiry: int = solidity("uint64")
    claims: Claims = solidity("Claims")
    quote: bytes = solidity("bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnclaveAdmitted(Event):
    """The consortium verified an enclave's quote, which leads to `root`."""

    enclave: bytes = solidity("indexed bytes32")
    root: bytes = solidity("indexed bytes32")
    simulated: bool = solidity("bool")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnclaveRevoked(Event):
    """The consortium withdrew an enclave."""

    enclave: bytes = solidity("indexed bytes32")
    simulated: bool = solidity("bool")


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundOpened(Event):
    """A coordinator opened a round."""

    round_id: int = solidity("indexed uint64")
    spec: bytes = solidity("indexed bytes32")
    enclave: bytes = solidity("indexed bytes32")
    coordinator: Address = solidity("address")
    value: Spec = solidity("Spec")
    cohort: tuple[Address, ...] = solidity("address[]")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateCommitted(Event):
    """A participant put the hashStruct of its signed Update on the ledger."""

    round_id: int = solidity("indexed uint64")
    participant: Address = solidity("indexed address")
    update: bytes = solidity("bytes32")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultProposed(Event):
    """A result that the round's enclave signed."""

    round_id: int = solidity("indexed uint64")
    result: bytes = solidity("indexed bytes32")
    simulated: bool = solidity("bool")
    value: RoundResult = solidity("RoundResult")
    outcomes: bytes = solidity("bytes")
    signature: bytes = solidity("bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundSettled(Event):
    """Nobody refuted the result in time; reputations and credits moved."""

    round_id: int = solidity("indexed uint64")
    result: bytes = solidity("indexed bytes32")
    simulated: bool = solidity("bool")
    new_model: bytes = solidity("bytes32")
    paid: int = solidity("uint256")


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundVoided(Event):
    """The round came to nothing."""

    round_id: int = solidity("indexed uint64")
    reason: VoidReason = solidity("uint8")
    fee: int = solidity("uint256")


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchored(Event):
    """Somebody recorded the digest of something off the chain."""

    sender: Address = solidity("indexed address")
    digest: bytes = solidity("indexed bytes32")


@dataclass(frozen=True, slots=True, kw_only=True)
class BondAdded(Event):
    """A coordinator's bond grew."""

    coordinator: Address = solidity("indexed address")
    amount: int = solidity("uint256")


@dataclass(frozen=True, slots=True, kw_only=True)
class BondWithdrawn(Event):
    """A coordinator took back some of its bond."""

    coordinator: Address = solidity("indexed address")
    amount: int = solidity("uint256")


@dataclass(frozen=True, slots=True, kw_only=True)
class TreasuryFunded(Event):
    """The treasury grew."""

    sender: Address = solidity("indexed address")
    amount: int = solidity("uint256")


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn(Event):
    """A participant's credit was paid out."""

    participant: Address = solidity("indexed address")
    to: Address = solidity("address")
    amount: int = solidity("uint256")


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled(Event):
    """A participant's standing was opened."""

    participant: Address = solidity("indexed address")


EVENTS: dict[str, tuple[type[Event], ...]] = {
    "Consortium": (
        *(MemberAdmitted, MemberRemoved, MeasurementAllowed, MeasurementRevoked, RootTrusted, RootDistrusted),
        *(CoordinatorAdmitted, CoordinatorRemoved, TermsSet, Proposed, Voted, Executed),
    ),
    "Participants": (
        *(ParticipantJoined, ParticipantLeft, DepositReclaimed, PayoutSet, ParticipantSuspended),
        ParticipantReinstated,
    ),
    "Enclaves": (EnclaveRegistered, EnclaveAdmitted, EnclaveRevoked),
    "RoundLedger": (
        *(RoundOpened, UpdateCommitted, ResultProposed, RoundSettled, RoundVoided, Anchored, BondAdded),
        *(BondWithdrawn, TreasuryFunded, Withdrawn, Enrolled),
    ),
}
"""Which contract says what; a test compares it with the compiled ABI."""

STRUCTS: dict[str, type[Spec] | type[RoundResult] | type[Claims] | type[Terms]] = {
    kind.NAME: kind for kind in (Spec, RoundResult, Claims, Terms)
}
ENUMS: dict[str, type[IntEnum]] = {"Action": Action, "RootKind": RootKind, "VoidReason": VoidReason}


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
    items = dataclasses.fields(kind)
    marked = [item for item in items if _is_indexed(item)]
    others = [item for item in items if not _is_indexed(item)]
    if len(topics) != 1 + len(marked):
        raise EncodingError(f"topics of {kind.__name__}", expected=1 + len(marked), actual=len(topics))
    values = dict(zip([item.name for item in others], _decode(kind, others, data), strict=True))
    for item, topic in zip(marked, topics[1:], strict=True):
        (values[item.name],) = _decode(kind, [item], topic)
    return kind(**{item.name: _value(item, values[item.name]) for item in items})


def topic_of(kind: type[Event]) -> bytes:
    """The first topic of an event: keccak256 of its name and types."""
    types = ",".join(_abi_type(item) for item in dataclasses.fields(kind))
    return keccak256(f"{kind.__name__}({types})".encode())


def stream(logs: Iterable[tuple[Sequence[bytes], bytes]], head: bytes = bytes(32)) -> bytes:
    """The rolling hash after these logs (topics, data): head' = keccak256(head || keccak256(topics ... || data))."""
    for topics, data in logs:
        head = keccak256(head, keccak256(*topics, data))
    return head


@cache
def _by_topic(contract: str) -> Mapping[bytes, type[Event]]:
    return {topic_of(kind): kind for kind in EVENTS[contract]}


def _is_indexed(item: dataclasses.Field[Any]) -> bool:
    return str(item.metadata["type"]).startswith("indexed ")


def _abi_type(item: dataclasses.Field[Any]) -> str:
    """The canonical ABI type: a struct is the tuple of its members."""
    kind = str(item.metadata["type"]).removeprefix("indexed ")
    if kind not in STRUCTS:
        return kind
    return f"({','.join(item.metadata['type'] for item in dataclasses.fields(STRUCTS[kind]))})"


def _decode(event: type[Event], items: Sequence[dataclasses.Field[Any]], data: bytes) -> tuple[Any, ...]:
    types = [_abi_type(item) for item in items]
    try:
        values = abi_decode(types, data)
        again = abi_encode(types, values)
    except (DecodingError, AbiEncodingError, OverflowError, ValueError) as error:
        raise EncodingError(f"data of {event.__name__} ({error})") from error
    if again != data:
        raise EncodingError(f"data of {event.__name__}", expected="the ABI's one encoding", actual=data)
    return tuple(values)


def _value(item: dataclasses.Field[Any], value: Any) -> Any:
    """A decoded value as we spell it: addresses as bytes, structs and enums as ours."""
    kind = str(item.metadata["type"]).removeprefix("indexed ")
    if kind in STRUCTS:
        members = zip(dataclasses.fields(STRUCTS[kind]), value, strict=True)
        return STRUCTS[kind](**{member.name: _value(member, part) for member, part in members})
    if item.type in ENUMS:
        try:
            return ENUMS[item.type](value)
        except ValueError as error:
            raise EncodingError(item.name, expected=f"a value of {item.type}", actual=value) from error
    if kind == "address":
        return bytes.fromhex(value[2:])
    if kind == "address[]":
        return tuple(bytes.fromhex(address[2:]) for address in value)
    return tuple(value) if kind.endswith("]") else value
