"""What the verifier needs of a chain, as one interface; and its values.

Responsible for: `ChainSource`, the values it returns, and the hash of a block header.
Must not know:   what the contracts mean, or where the bytes come from (rpc.py: a node; dump.py: a file).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from protocol.errors import EncodingError
from protocol.hashing import keccak256
from verifier.transactions import Transaction
from verifier.trie import Rlp, integer, rlp
from verifier.values import data, quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A block header whose hash was recomputed from its fields."""

    number: int
    hash: bytes
    parent: bytes
    timestamp_s: int
    state_root: bytes
    transactions_root: bytes
    receipts_root: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """One event as the chain holds it."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes
    block_number: int
    transaction: bytes
    """Hash of the transaction; 32 bytes."""
    index: int
    """Place among the logs of its block."""

    @property
    def place(self) -> tuple[int, int]:
        """Place among all logs of the chain."""
        return self.block_number, self.index


class ChainSource(Protocol):
    """Where blocks, logs, code and storage come from; everything as of one head, fixed when the source was made.

    Every method raises UnavailableError when it could not tell, VerificationError when what it got contradicts itself.
    """

    proves: bool
    """Whether its logs and storage were shown to be the chain's; else they are a node's word."""

    def close(self) -> None:
        """Gives back what it holds open."""
        ...

    def confirm(self) -> None:
        """Raises UnavailableError when the head is no longer the chain's: what was read may not fit together."""
        ...

    def describe(self) -> str:
        """For people: what this source is."""
        ...

    def chain_id(self) -> int:
        """Chain id of EIP-155."""
        ...

    def genesis_hash(self) -> bytes:
        """Hash of block 0."""
        ...

    def head(self) -> Header:
        """The newest block that this source speaks for."""
        ...

    def header(self, number: int) -> Header:
        """The block of that number."""
        ...

    def logs(self, address: bytes) -> list[Log]:
        """Every log of a contract up to the head, in order."""
        ...

    def code(self, address: bytes) -> bytes:
        """Deployed code at the head; empty where there is none."""
        ...

    def balance(self, address: bytes) -> int:
        """Balance at the head in wei."""
        ...

    def storage(self, address: bytes, slot: int) -> bytes:
        """A word of storage at the head; 32 bytes."""
        ...

    def slots(self, address: bytes) -> frozenset[int] | None:
        """Every slot that is not zero, or None where the source cannot list them."""
        ...

    def has_transaction(self, transaction: bytes) -> bool:
        """Whether a transaction of that hash is in a block up to the head."""
        ...

    def transaction(self, transaction: bytes) -> Transaction:
        """The transaction of that hash, its hash recomputed and its sender recovered."""
        ...

    def creation(self, address: bytes) -> Transaction | None:
        """The transaction that created a contract itself; None where there is none, or the source can't find it."""
        ...

    def has_signed(self, address: bytes) -> bool:
        """Whether a transaction that this source showed was signed by that address: then it is no contract."""
        ...


HEADER_FIELDS: tuple[tuple[str, str], ...] = (
    ("parentHash", "data"),
    ("sha3Uncles", "data"),
    ("miner", "data"),
    ("stateRoot", "data"),
    ("transactionsRoot", "data"),
    ("receiptsRoot", "data"),
    ("logsBloom", "data"),
    ("difficulty", "quantity"),
    ("number", "quantity"),
    ("gasLimit", "quantity"),
    ("gasUsed", "quantity"),
    ("timestamp", "quantity"),
    ("extraData", "data"),
    ("mixHash", "data"),
    ("nonce", "data"),
    # Each later fork appended fields: EIP-1559, 4895, 4844 (two), 4788, 7685.
    ("baseFeePerGas", "quantity"),
    ("withdrawalsRoot", "data"),
    ("blobGasUsed", "quantity"),
    ("excessBlobGas", "quantity"),
    ("parentBeaconBlockRoot", "data"),
    ("requestsHash", "data"),
)
"""The fields of a header in the order in which RLP has them, up to Osaka; a chain may have stopped after any fork."""

FIELDS_BEFORE_FORKS = 15


def parse_header(fields: Mapping[str, Any]) -> Header:
    """A header from its JSON form, its hash recomputed; what the JSON says of the hash is not read.

    Raises: EncodingError when a field is missing, malformed, or follows a gap.
    """
    items: list[Rlp] = []
    for place, (name, kind) in enumerate(HEADER_FIELDS):
        if fields.get(name) is None:
            if place < FIELDS_BEFORE_FORKS or any(fields.get(later) is not None for later, _ in HEADER_FIELDS[place:]):
                raise EncodingError(f"a block header without {name}")
            break
        items.append(integer(quantity(fields[name], name)) if kind == "quantity" else data(fields[name], name))
    return Header(
        number=quantity(fields["number"], "number"),
        hash=keccak256(rlp(items)),
        parent=data(fields["parentHash"], "parentHash", 32),
        timestamp_s=quantity(fields["timestamp"], "timestamp"),
        state_root=data(fields["stateRoot"], "stateRoot", 32),
        transactions_root=data(fields["transactionsRoot"], "transactionsRoot", 32),
        receipts_root=data(fields["receiptsRoot"], "receiptsRoot", 32),
    )
