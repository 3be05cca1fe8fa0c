"""What RoundLedger and Disputes say happened: rounds, money, verdicts and requests, each as a typed value.

Responsible for: the fields of their events, as the ABI has them.
Must not know:   how an event lies in a log, or what it means for anybody's state.

Spec: docs/protocol.md section 7.  Twins: contracts/src/interfaces/IRoundLedger.sol, IDisputes.sol.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from protocol.disputes import Verdict
from protocol.event_coding import Event
from protocol.keys import Address
from protocol.messages import RoundResult, Spec, solidity
from protocol.openings import Answer, Tree


class VoidReason(IntEnum):
    """Why a round came to nothing."""

    NONE = 0
    LATE = 1
    ENCLAVE_INACTIVE = 2
    TOO_FEW_COUNTED = 3
    TOO_MANY_UNDELIVERED = 4
    REFUTED = 5
    WITHHELD = 6
    UNAVAILABLE = 7
    OUTVOTED = 8


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
    """Somebody's credit was paid out."""

    participant: Address = solidity("indexed address")
    to: Address = solidity("address")
    amount: int = solidity("uint256")


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled(Event):
    """A participant's standing was opened."""

    participant: Address = solidity("indexed address")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credited(Event):
    """The deposit of who asked for a leaf became somebody's credit."""

    account: Address = solidity("indexed address")
    amount: int = solidity("uint256")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofCommitted(Event):
    """Somebody has a proof that it does not show yet."""

    commitment: bytes = solidity("indexed bytes32")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnclaveAccused(Event):
    """Another proof of a refuted round shows that its enclave lied, whoever else did."""

    round_id: int = solidity("indexed uint64")
    predicate: int = solidity("indexed uint8")
    prover: Address = solidity("indexed address")


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRefuted(Event):
    """A proof was shown: the round is void, and its coordinator's bond is frozen, the verdict's pot."""

    round_id: int = solidity("indexed uint64")
    predicate: int = solidity("indexed uint8")
    prover: Address = solidity("indexed address")
    verdict: Verdict = solidity("Verdict")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProverReplaced(Event):
    """Somebody had pre-committed to a proof earlier than the prover that led."""

    round_id: int = solidity("indexed uint64")
    prover: Address = solidity("indexed address")
    verdict: Verdict = solidity("Verdict")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictExecuted(Event):
    """A verdict's pot was shared out."""

    round_id: int = solidity("indexed uint64")
    prover: Address = solidity("indexed address")
    coordinator: Address = solidity("indexed address")
    reward: int = solidity("uint256")
    signers: tuple[Address, ...] = solidity("address[]")
    share: int = solidity("uint256")
    burnt: int = solidity("uint256")


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafRequested(Event):
    """A member asked for a leaf of a proposed result, which does not settle until it is answered."""

    round_id: int = solidity("indexed uint64")
    member: Address = solidity("indexed address")
    tree: Tree = solidity("uint8")
    slot: int = solidity("uint16")
    index: int = solidity("uint32")
    answer_by: int = solidity("uint64")


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafAnswered(Event):
    """The leaf came, and the deposit is the answerer's."""

    round_id: int = solidity("indexed uint64")
    member: Address = solidity("indexed address")
    answerer: Address = solidity("indexed address")
    answer: Answer = solidity("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestClosed(Event):
    """No answer came, the round is over, and the deposit is the member's again."""

    round_id: int = solidity("indexed uint64")
    member: Address = solidity("indexed address")
