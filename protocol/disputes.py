"""What a proof leaves on the ledger: the verdict on a round.

Responsible for: its encoding and hash, the ways for a result to be wrong, and what a prover commits to beforehand.
Must not know:   how anything is proved (openings are in `openings.py`), or what the ledger does about it.

Spec: docs/protocol.md section 7.  Twin: contracts/src/interfaces/IDisputes.sol.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from protocol.hashing import keccak256
from protocol.keys import Address
from protocol.messages import Struct, solidity

NO_COMMITMENT = (1 << 64) - 1
"""`committed_at` of a verdict whose prover pre-committed to nothing: later than any block."""

EXECUTED = (1).to_bytes(32)
"""What the ledger keeps instead of a verdict's hash once its pot was shared out."""


class Predicate(IntEnum):
    """What a proof has shown to be wrong: n of Fn."""

    COLUMN = 1
    AGGREGATE = 2
    PROMISE = 3
    TOTAL = 4
    OUTCOME = 5
    MODEL = 6
    FORM = 7
    TWICE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict(Struct):
    """A round was refuted.  Nobody signs it: the ledger keeps its hash, and whoever goes on with it brings it along."""

    NAME: ClassVar[str] = "Verdict"

    round_id: int = solidity("uint64", "round")
    """Which round."""
    predicate: int = solidity("uint8")
    """n of Fn (`Predicate`)."""
    result: bytes = solidity("bytes32")
    """hashStruct of the result that was proposed; zero where none was."""
    coordinator: Address = solidity("address")
    """Whose bond it was."""
    prover: Address = solidity("address")
    """Who gets the prover's part."""
    committed_at: int = solidity("uint64")
    """Block of the prover's pre-commitment; `NO_COMMITMENT` where it had none."""
    decided_at: int = solidity("uint64")
    """Unix seconds."""
    pot: int = solidity("uint256")
    """The bond that the coordinator lost, in wei."""

    def encode(self) -> bytes:
        """abi.encode of the struct: eight words."""
        return b"".join(self.words())

    def hash(self) -> bytes:
        """keccak256 of the encoding: what the ledger compares."""
        return keccak256(self.encode())


def proof_commitment(prover: Address, proof: bytes, salt: bytes) -> bytes:
    """keccak256(abi.encode(prover, keccak256(proof), salt)): what a prover commits to before it shows the proof."""
    return keccak256(prover.rjust(32, b"\0"), keccak256(proof), salt)
