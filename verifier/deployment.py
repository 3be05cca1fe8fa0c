"""Which contracts a federation is, found from the ledger's address and the code that is deployed there.

Responsible for: deployed code equals the committed artifact but for its immutables; the immutables' values, by name.
Must not know:   events, storage, rounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contracts import artifact
from protocol.disputes import Family
from protocol.errors import MalformedError, UnavailableError, VerificationError
from protocol.events import CONTRACTS
from protocol.hashing import keccak256
from protocol.keys import Address, to_hex
from protocol.messages import Domain
from verifier.chain import ChainSource, Log


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """One deployed contract of ours."""

    name: str
    address: Address
    immutables: Mapping[str, bytes]
    """Name without underscores to its 32-byte word."""

    def word(self, name: str) -> bytes:
        """The word of an immutable.  Raises UnavailableError where the artifact does not name it."""
        if name not in self.immutables:
            raise UnavailableError(f"the artifact of {self.name} names no immutable {name}", "recompile the contracts")
        return self.immutables[name]

    def number(self, name: str) -> int:
        """An immutable that is an unsigned integer."""
        return int.from_bytes(self.word(name))

    def signed(self, name: str) -> int:
        """An immutable that is a signed integer."""
        return int.from_bytes(self.word(name), signed=True)

    def refers(self, name: str) -> Address:
        """An immutable that is an address."""
        return self.word(name)[12:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """The contracts of one federation."""

    consortium: Contract
    participants: Contract
    enclaves: Contract
    ledger: Contract
    disputes: Contract
    predicates: tuple[Contract, ...]
    """Sets, columns, Gram trees: they only answer, so they emit nothing and store nothing."""
    chain_id: int

    @property
    def all(self) -> tuple[Contract, ...]:
        """Those with a stream, in the order of CONTRACTS."""
        return self.consortium, self.participants, self.enclaves, self.ledger, self.disputes

    @property
    def deployed(self) -> tuple[Contract, ...]:
        """All, in the order in which a federation deploys them."""
        return *self.all, *self.predicates

    @property
    def federation(self) -> bytes:
        """The federation's id."""
        return self.ledger.word("federation")

    @property
    def domain(self) -> Domain:
        """Where its signatures count."""
        return Domain(chain_id=self.chain_id, ledger=self.ledger.address)


def find_deployment(chain: ChainSource, ledger: Address) -> Deployment:
    """The federation of a ledger.

    Raises: VerificationError when code differs from the artifacts or the contracts don't refer to each other;
    UnavailableError when there is no code at all.
    """
    found = {"ledger": read_contract(chain, "RoundLedger", ledger)}
    for name in ("Consortium", "Participants", "Enclaves", "Disputes"):
        found[name.lower()] = read_contract(chain, name, found["ledger"].refers(name.lower()))
    predicates = tuple(
        read_contract(chain, name, found["disputes"].refers(name[0].lower() + name[1:]))
        for name in (family.contract for family in Family)
    )
    deployment = Deployment(**found, predicates=predicates, chain_id=chain.chain_id())
    for contract in deployment.deployed:
        for name, other in found.items():
            if name in contract.immutables and contract.refers(name) != other.address:
                raise VerificationError(
                    f"{name} of {contract.name}", expected=to_hex(other.address), actual=to_hex(contract.refers(name))
                )
    for contract in deployment.all:
        if contract.word("federation") != deployment.federation:
            raise VerificationError(
                f"federation of {contract.name}", expected=deployment.federation, actual=contract.word("federation")
            )
    _check_domain(deployment)
    return deployment


def _check_domain(deployment: Deployment) -> None:
    """The ledger hashes messages for itself, on this chain, under our name and version."""
    ledger = deployment.ledger
    for name, expected in (
        ("cachedChainId", deployment.chain_id.to_bytes(32)),
        ("cachedThis", ledger.address.rjust(32, b"\0")),
        ("cachedDomainSeparator", deployment.domain.separator()),
        ("hashedName", keccak256(b"Veriflock")),
        ("hashedVersion", keccak256(b"1")),
    ):
        if ledger.word(name) != expected:
            raise VerificationError(f"{name} of RoundLedger", expected=expected, actual=ledger.word(name))


def read_contract(chain: ChainSource, name: str, address: Address) -> Contract:
    """The contract at an address, whose code must be the artifact's."""
    code = chain.code(address)
    if not code:
        raise UnavailableError(
            f"no code at {to_hex(address)}, where {name} should be ({chain.describe()})",
            "check --ledger, and that the chain was not restarted",
        )
    compiled: dict[str, Any] = artifact(name)
    expected = bytes.fromhex(str(compiled["deployedBytecode"]).removeprefix("0x"))
    if len(code) != len(expected):
        raise VerificationError(f"length of the code of {name}", expected=len(expected), actual=len(code))
    masked, values = bytearray(code), {}
    for variable, places in compiled["immutables"].items():
        words = {code[start : start + length] for start, length in places}
        if len(words) != 1 or any(length != 32 for _, length in places):
            raise MalformedError(f"immutable {variable} in the code of {name}", expected="one word everywhere")
        for start, length in places:
            masked[start : start + length] = expected[start : start + length]
        values[variable.strip("_")] = words.pop()
    if bytes(masked) != expected:
        at = next(index for index, (a, b) in enumerate(zip(masked, expected, strict=True)) if a != b)
        raise VerificationError(f"byte {at} of the code of {name}", expected=expected[at], actual=masked[at])
    return Contract(name=name, address=address, immutables=values)


def all_logs(chain: ChainSource, deployment: Deployment) -> dict[str, list[Log]]:
    """The logs of each contract by its name."""
    return {name: chain.logs(contract.address) for name, contract in zip(CONTRACTS, deployment.all, strict=True)}
