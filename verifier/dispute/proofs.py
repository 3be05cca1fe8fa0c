"""What goes to the ledger: a statement as a call, what it opens, and the salt of its pre-commitment.

Responsible for: the bytes of a proof, whom it accuses, and which of several is shown.
Must not know:   a chain, files, or what follows from a verdict.

Spec: docs/protocol.md section 7.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache

from contracts import artifact
from contracts.abi import Interface
from protocol.disputes import proof_commitment
from protocol.errors import show
from protocol.hashing import keccak256
from protocol.keys import ADDRESS_BYTES, Address
from protocol.messages import Receipt, RoundResult, Spec
from protocol.openings import NO_LINE, NO_SUMS, Column, GramLine, Leaf, RowChunk, SetLeaf, Sums
from protocol.outcomes import Reason
from protocol.trees import SET_LEAF_OTHER_BYTES
from verifier.refutation.statement import Statement

SALT_NAME = b"veriflock proof salt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A statement as the ledger takes it."""

    statement: Statement
    data: bytes = field(repr=False)
    """The call of the predicate: selector and arguments."""

    def salt(self, key: bytes) -> bytes:
        """What keeps the pre-commitment from being guessed: 32 bytes that nobody without the key can tell.

        The same ones for the same proof, so that whoever is cut off after the pre-commitment finds it again.
        """
        return hmac.digest(key, SALT_NAME + keccak256(self.data), hashlib.sha256)

    def commitment(self, prover: Address, key: bytes) -> bytes:
        """What the prover commits to before it shows the proof."""
        return proof_commitment(prover, self.data, self.salt(key))


def proof_of(statement: Statement) -> Proof:
    """The call that a statement is."""
    data = _interface(statement.family.contract).call_data(statement.function, *statement.arguments)
    return Proof(statement=statement, data=data)


def in_order(statements: Iterable[Statement]) -> list[Statement]:
    """Those that suspend the measurement first, else as they were found, cheapest first.

    A round is refuted once: whoever lies must not get away with the smaller lie that a host could have caused.
    """
    return sorted(statements, key=lambda statement: not is_enclaves(statement))


def is_enclaves(statement: Statement) -> bool:
    """Whether no host can have made an honest enclave sign this, as the predicates judge it."""
    if statement.function == "commitmentBroken":
        return False
    if statement.function != "receiptBroken":
        return True
    data = next(part.data for part in statement.arguments if isinstance(part, SetLeaf))
    return len(data) == SET_LEAF_OTHER_BYTES and data[-1] < Reason.UNDELIVERED


def openings_of(statement: Statement) -> list[tuple[str, str]]:
    """(the argument's name on the ledger, what it opens) of everything that a proof brings along."""
    abi = artifact(statement.family.contract)["abi"]
    [inputs] = [item["inputs"] for item in abi if item.get("name") == statement.function]
    names = [item["name"] for item in inputs]
    return [
        (name, _describe(value))
        for name, value in zip(names, statement.arguments, strict=True)
        if not isinstance(value, Spec) and name != "result"
    ]


@cache
def _interface(contract: str) -> Interface:
    """Read once, however many proofs are made."""
    return Interface(contract)


def _describe(value: object) -> str:
    match value:
        case Leaf(index=index, data=data, path=path):
            return f"leaf {index}, {len(data)} bytes, path of {len(path)}"
        case SetLeaf(slot=slot, slots=slots, data=data, path=path):
            return f"set leaf of slot {slot} of {slots}, {len(data)} bytes, path of {len(path)}"
        case Column(index=index, columns=columns, path=path):
            return f"leaf {index} of the column tree with its columns, {len(columns)} bytes, path of {len(path)}"
        case Sums(index=index, totals=totals, path=path):
            if value == NO_SUMS:
                return "none, before the first leaf"
            return f"leaf {index} of the column tree with its totals, {len(totals)} bytes, path of {len(path)}"
        case GramLine(slot=slot, data=data, path=path):
            return "none, before the first chunk" if value == NO_LINE else f"line of slot {slot}, {_sized(data, path)}"
        case RowChunk(set=leaf, data=data, path=path):
            return f"row of slot {leaf.slot}, {_sized(data, path)}; its set leaf, path of {len(leaf.path)}"
        case Receipt(slot=slot, update=update):
            return f"receipt of slot {slot} for update {show(update)}"
        case RoundResult():
            return f"result {show(value.hash_struct())}"
        case bytes():
            return f"{len(value)} bytes"
        case tuple() | list():
            return _items(value)
    return str(value)


def _sized(data: bytes, path: Sequence[bytes]) -> str:
    return f"{len(data)} bytes, path of {len(path)}"


def _items(value: Sequence[object]) -> str:
    sizes = {len(item) if isinstance(item, bytes) else None for item in value}
    if sizes == {ADDRESS_BYTES}:
        return f"{len(value)} addresses"
    return f"path of {len(value)}" if sizes <= {32} else "; ".join(map(_describe, value))
