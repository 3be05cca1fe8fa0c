"""What the consortium fixes by vote for every round: a coordinator decides when to open one, and nothing else.

Responsible for: the terms' encoding and hash, and the spec that follows from them.
Must not know:   who voted, or what the chain's clock says.

Spec: docs/protocol.md section 7.  Twin: struct Terms in contracts/src/libraries/Messages.sol.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar

from protocol.hashing import keccak256
from protocol.messages import Spec, Struct, abi_word, solidity

SHARED = (
    *("rule", "chain", "f", "m", "min_counted", "exponent", "dimension", "norm_bound", "weight_cap"),
    *("optimizer", "learning_rate", "decay", "disclosure", "budget"),
)
"""Fields that terms and spec have in common."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms(Struct):
    """The fields of a Spec that are the consortium's; each as there."""

    NAME: ClassVar[str] = "Terms"

    rule: int = solidity("uint8")
    """Which predicates apply."""
    chain: bytes = solidity("bytes32")
    """The rule's text, as in Spec."""
    f: int = solidity("uint16")
    """Liars tolerated."""
    m: int = solidity("uint16")
    """Rows that Multi-Krum keeps; 0 means k - f."""
    min_counted: int = solidity("uint16")
    """Fewest counted updates with which a round counts."""
    exponent: int = solidity("int8")
    """e_u."""
    dimension: int = solidity("uint32")
    """d."""
    norm_bound: int = solidity("uint64")
    """Largest squared norm admitted; 0 for none."""
    weight_cap: int = solidity("uint32")
    """Largest weight of the weighted mean."""
    optimizer: int = solidity("uint8")
    """0 plain, 1 momentum, 2 adam."""
    learning_rate: int = solidity("uint32")
    """Q16."""
    decay: int = solidity("uint32")
    """Q24."""
    disclosure: int = solidity("uint8")
    """0 public, 1 members, 2 enclaves."""
    budget: int = solidity("uint256")
    """Wei a round pays at most."""
    cohort_size: int = solidity("uint16")
    """Slots of a round; 0 for everybody registered."""
    windows: tuple[int, ...] = solidity("uint64[5]")
    """Least seconds from opening to the first deadline, and from each deadline to the next."""

    def encode(self) -> bytes:
        """abi.encode of the struct: every field one word, the windows five."""
        head = self.words()[:-1]
        return b"".join(head) + b"".join(abi_word("uint64", window) for window in self.windows)

    def hash(self) -> bytes:
        """keccak256 of the encoding: what the ledger compares."""
        return keccak256(self.encode())

    def deadlines(self, start: int) -> tuple[int, ...]:
        """The earliest deadlines that the windows allow for a round opened at `start`; unix seconds."""
        return tuple(accumulate(self.windows, initial=start))[1:]

    @classmethod
    def of(cls, spec: Spec, *, cohort_size: int, windows: tuple[int, ...]) -> Terms:
        """The terms that a spec would follow from."""
        return cls(**{name: getattr(spec, name) for name in SHARED}, cohort_size=cohort_size, windows=windows)

    def spec(
        self,
        *,
        federation: bytes,
        round_id: int,
        previous: bytes,
        base_model: bytes,
        cohort: bytes,
        enclave: bytes,
        deadlines: tuple[int, ...],
    ) -> Spec:
        """The spec of one round under these terms; arguments as the fields of Spec."""
        return Spec(
            **{name: getattr(self, name) for name in SHARED},
            federation=federation,
            round_id=round_id,
            previous=previous,
            base_model=base_model,
            cohort=cohort,
            enclave=enclave,
            deadlines=deadlines,
        )
