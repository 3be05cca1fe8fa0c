"""What a proof leaves on the ledger: the verdict on a round.

Responsible for: its encoding and hash, its parts and dates, the ways for a result to be wrong, and what a prover
                 commits to beforehand.
Must not know:   how anything is proved (openings are in `openings.py`), or what the ledger does about it.

Spec: docs/protocol.md section 7.  Twins: contracts/src/libraries/Verdicts.sol, the constants of Disputes.sol.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from protocol.hashing import keccak256
from protocol.keys import Address
from protocol.messages import Struct, solidity

TAG_BITS = 136
"""What fits beside 120 bits of money."""

PROVER_PARTS, COHORT_PARTS = 4, 4
"""Of a pot: a quarter to the prover, a quarter to those whose work was lost; the rest is burnt."""

CLAIM_WINDOW_S = 3600
"""So long an older pre-commitment can be shown; then the pot is shared out."""

LEAVES_WINDOW_S = 7 * 86_400
"""After that a pot can be shared out without the set leaves."""


class Family(IntEnum):
    """Which contract a proof is a call of; IDisputes.Family."""

    SET = 0
    COLUMN = 1
    GRAM = 2

    @property
    def contract(self) -> str:
        """Its name, such as `SetPredicates`."""
        return f"{self.name.capitalize()}Predicates"


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
    """A round was refuted.  Nobody signs it: the ledger keeps a tag of it beside the bond that it freezes."""

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
    """Block of the prover's pre-commitment; of the proof itself where there was none."""
    decided_at: int = solidity("uint64")
    """Unix seconds."""
    slots: int = solidity("uint16")
    """Size of the cohort."""
    pot: int = solidity("uint256")
    """The bond that the coordinator lost, in wei."""

    def encode(self) -> bytes:
        """abi.encode of the struct: nine words."""
        return b"".join(self.words())

    def tag(self) -> int:
        """The low 136 bits of keccak256 of the encoding: what the ledger compares."""
        return int.from_bytes(keccak256(self.encode())) % (1 << TAG_BITS)

    def split(self, signers: int) -> tuple[int, int, int]:
        """(the prover's reward, each signer's share, what is burnt) in wei."""
        reward = self.pot // PROVER_PARTS
        share = self.pot // COHORT_PARTS // signers if signers else 0
        return reward, share, self.pot - reward - share * signers


def proof_commitment(prover: Address, proof: bytes, salt: bytes) -> bytes:
    """keccak256(abi.encode(prover, keccak256(proof), salt)): what a prover commits to before it shows the proof."""
    return keccak256(prover.rjust(32, b"\0"), keccak256(proof), salt)
