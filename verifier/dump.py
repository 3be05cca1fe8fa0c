"""A chain from Anvil's dumped state (`anvil_dumpState`, decompressed), read directly and re-verified from its bytes.

Responsible for: every header chained by its hash, every transaction and receipt under its root, the state under the
                 newest header's state root, every transaction under its signer; so a changed byte is noticed here, by a
                 check with a name.
Must not know:   what the contracts mean.

What a dump holds besides (call traces) is neither read nor relied upon.  Nothing here shows that a chain is the one
that others see: Anvil has no consensus.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocol.errors import EncodingError, LengthError, UnavailableError, VerificationError
from protocol.hashing import keccak256
from protocol.keys import Address, to_hex
from verifier.chain import HEADER_FIELDS, Header, Log, parse_header
from verifier.files import read_file
from verifier.transactions import Transaction, parse_transaction
from verifier.trie import EMPTY_ROOT, Rlp, account, integer, list_root, rlp, secure_root, storage_root
from verifier.values import data, parse_json, quantity

MAX_DUMP_BYTES = 1 << 30
"""A dump that is larger is refused unread."""

NO_UNCLES = keccak256(b"\xc0")
"""Hash of an empty list: since the merge no block has ommers."""

ELASTICITY, DENOMINATOR = 2, 8
"""EIP-1559: gas target is half the limit; the base fee moves by an eighth at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account of the newest state."""

    nonce: int
    balance_wei: int
    code: bytes
    storage: dict[int, bytes]
    """Slot to 32-byte word, as dumped: Anvil keeps words that became zero."""

    @property
    def is_empty(self) -> bool:
        """Whether Ethereum would not have it in its state (EIP-161)."""
        return not (self.nonce or self.balance_wei or self.code or any(map(any, self.storage.values())))

    def leaf(self, *, is_pruned: bool) -> bytes:
        """What the state trie holds of it, zero words left out or not."""
        words = {slot.to_bytes(32): word for slot, word in self.storage.items() if any(word) or not is_pruned}
        return account(self.nonce, self.balance_wei, storage_root(words), self.code)


def state_root(accounts: dict[bytes, Account], *, is_pruned: bool) -> bytes:
    """Root of the state trie.

    is_pruned: without zero words and empty accounts, as Ethereum has it; Anvil 1.7 leaves both in its tries.
    """
    kept = {address: entry for address, entry in accounts.items() if not (is_pruned and entry.is_empty)}
    return secure_root({address: entry.leaf(is_pruned=is_pruned) for address, entry in kept.items()})


class DumpChain:
    """See ChainSource.  Built only from a dump whose every hash is right."""

    proves = True

    def __init__(self, raw: bytes, *, name: str = "chain.json") -> None:
        self._name = name
        self._logs: list[Log] = []
        self._transactions: dict[bytes, Transaction] = {}
        self._nonces: dict[Address, int] = {}
        try:
            self._load(_parse_json(raw))
        except (KeyError, TypeError, AttributeError) as error:
            raise EncodingError(f"the dump lacks a field, or has one of another type ({error})") from error

    def _load(self, dump: dict[str, Any]) -> None:
        self._accounts = {
            data(address, "an account's address", 20): _parse_account(value)
            for address, value in _map(dump, "accounts").items()
        }
        blocks = sorted(_list(dump, "blocks"), key=lambda block: quantity(_map(block, "header")["number"], "number"))
        self._headers = _check_headers(blocks)
        _check_head(dump, [_map(block, "header") for block in blocks])
        self._check_transactions(blocks, _list(dump, "transactions"))
        expected = self.head().state_root
        root = state_root(self._accounts, is_pruned=False)
        if expected not in (root, state_root(self._accounts, is_pruned=True)):
            raise VerificationError("state root of the accounts", check="chain.state", expected=expected, actual=root)
        for sender, nonce in self._nonces.items():
            known = self._accounts.get(sender)
            _check_nonce(sender, nonce, 0 if known is None else known.nonce)

    @classmethod
    def read(cls, path: Path) -> DumpChain:
        """The dump in a file.  Raises UnavailableError when it can't be read."""
        try:
            raw = read_file(path, MAX_DUMP_BYTES)
        except LengthError as error:
            raise UnavailableError(f"{path} is larger than {MAX_DUMP_BYTES} bytes") from error
        return cls(raw, name=str(path))

    def close(self) -> None:
        """Nothing is held open."""

    def confirm(self) -> None:
        """A file is not rewritten under our hands: its bytes were read once."""

    def describe(self) -> str:
        """For people: what this source is."""
        return f"dump {self._name}, block {self.head().number}"

    def chain_id(self) -> int:
        """Chain id that every transaction of the dump was signed for."""
        found = {transaction.chain_id for transaction in self._transactions.values()} - {None}
        if len(found) != 1:
            raise UnavailableError(f"the dump's transactions name {len(found)} chain ids, not one")
        return found.pop() or 0

    def genesis_hash(self) -> bytes:
        """Hash of block 0."""
        return self._headers[0].hash

    def head(self) -> Header:
        """The newest block."""
        return self._headers[-1]

    def header(self, number: int) -> Header:
        """The block of that number."""
        if not 0 <= number < len(self._headers):
            raise UnavailableError(f"the dump has no block {number}")
        return self._headers[number]

    def logs(self, address: bytes) -> list[Log]:
        """Every log of a contract, in order."""
        return [log for log in self._logs if log.address == address]

    def code(self, address: bytes) -> bytes:
        """Deployed code; empty where there is none."""
        return self._accounts[address].code if address in self._accounts else b""

    def balance(self, address: bytes) -> int:
        """Balance in wei."""
        return self._accounts[address].balance_wei if address in self._accounts else 0

    def storage(self, address: bytes, slot: int) -> bytes:
        """A word of storage; 32 bytes."""
        entry = self._accounts.get(address)
        return entry.storage.get(slot, bytes(32)) if entry else bytes(32)

    def slots(self, address: bytes) -> frozenset[int] | None:
        """Every slot that is not zero."""
        entry = self._accounts.get(address)
        return frozenset(slot for slot, word in entry.storage.items() if any(word)) if entry else frozenset()

    def has_transaction(self, transaction: bytes) -> bool:
        """Whether a transaction of that hash is in a block."""
        return transaction in self._transactions

    def transaction(self, transaction: bytes) -> Transaction:
        """The transaction of that hash."""
        if transaction not in self._transactions:
            raise UnavailableError(f"the dump has no transaction {transaction.hex()}")
        return self._transactions[transaction]

    def creation(self, address: bytes) -> Transaction | None:
        """The transaction that created a contract, where one did without another contract's help."""
        found = (entry for entry in self._transactions.values() if entry.to is None and entry.created == address)
        return next(found, None)

    def has_signed(self, address: Address) -> bool:
        """Whether a transaction of this chain was signed by that address."""
        return address in self._nonces

    def _check_transactions(self, blocks: Iterable[Any], entries: list[Any]) -> None:
        by_place = {}
        for entry in entries:
            place = (entry["block_number"], _map(entry, "info")["transaction_index"])
            if place in by_place:
                raise EncodingError("two transactions at one place of the dump", actual=place)
            by_place[place] = entry
        for header, block in zip(self._headers, blocks, strict=True):
            signed = [self._transaction(item) for item in _list(block, "transactions")]
            found = [by_place.pop((header.number, index), None) for index in range(len(signed))]
            if any(entry is None for entry in found):
                raise VerificationError(
                    f"block {header.number} has a transaction without receipt", check="chain.receipts"
                )
            _equal("transactions root", header, header.transactions_root, list_root([entry.raw for entry in signed]))
            receipts = []
            first = len(self._logs)
            for transaction, entry in zip(signed, found, strict=True):
                receipts.append(self._receipt(header, transaction, entry, first))
            _equal("receipts root", header, header.receipts_root, list_root(receipts))
        if by_place:
            raise VerificationError("the dump has receipts of no block's transaction", check="chain.receipts")

    def _transaction(self, item: Any) -> Transaction:
        fields = _map(item, "transaction")
        if item["impersonated_sender"] is not None:
            raise VerificationError("a transaction that nobody signed (impersonated)", check="chain.transactions")
        found = parse_transaction(fields)
        claimed = data(fields["hash"], "hash of a transaction", 32)
        if found.hash != claimed:
            raise VerificationError(
                "hash of a transaction", check="chain.transactions", expected=found.hash, actual=claimed
            )
        _check_nonce(found.sender, self._nonces.get(found.sender, 0), found.nonce)
        self._nonces[found.sender] = found.nonce + 1
        self._transactions[found.hash] = found
        return found

    def _receipt(self, header: Header, transaction: Transaction, entry: Any, first: int) -> bytes:
        """RLP of a receipt (EIP-2718), its envelope compared, its logs kept.  first: logs before its block."""
        info = _map(entry, "info")
        for what, expected, actual in (
            ("transaction", transaction.hash, data(info["transaction_hash"], "transaction of a receipt", 32)),
            ("sender", transaction.sender, data(info["from"], "sender in a receipt", 20)),
        ):
            if expected != actual:
                raise VerificationError(
                    f"{what} of a receipt", check="chain.receipts", expected=expected, actual=actual
                )
        if data(entry["block_hash"], "block of a receipt", 32) != header.hash:
            raise VerificationError(
                f"hash of block {header.number}",
                check="chain.headers",
                expected=entry["block_hash"],
                actual=header.hash,
            )
        receipt = _map(entry, "receipt")
        logs: list[Rlp] = []
        for item in _list(receipt, "logs"):
            log = Log(
                address=data(item["address"], "address of a log", 20),
                topics=tuple(data(topic, "topic", 32) for topic in _list(item, "topics")),
                data=data(item["data"], "data of a log"),
                block_number=header.number,
                transaction=transaction.hash,
                index=len(self._logs) - first,
            )
            self._logs.append(log)
            logs.append([log.address, list(log.topics), log.data])
        kind = quantity(receipt["type"], "type of a receipt")
        body = rlp(
            [
                integer(quantity(receipt["status"], "status")),
                integer(quantity(receipt["cumulativeGasUsed"], "gas")),
                data(receipt["logsBloom"], "logsBloom", 256),
                logs,
            ]
        )
        return body if kind == 0 else bytes([kind]) + body


def _check_nonce(sender: Address, expected: int, actual: int) -> None:
    """An account's transactions are numbered from 0: none of them was left out, none stands here twice."""
    if expected != actual:
        raise VerificationError(
            f"nonce of {to_hex(sender)}", check="chain.transactions", expected=expected, actual=actual
        )


def _check_headers(blocks: list[Any]) -> list[Header]:
    """Numbers 0, 1, 2 ...; each header's hash is its successor's parent."""
    headers: list[Header] = []
    for number, block in enumerate(blocks):
        header = parse_header(_map(block, "header"))
        if header.number != number:
            raise VerificationError("number of a block", check="chain.headers", expected=number, actual=header.number)
        parent = headers[-1].hash if headers else bytes(32)
        _equal("parent", header, header.parent, parent)
        if _list(block, "ommers") or block["withdrawals"]:
            raise VerificationError(f"block {number} has ommers or withdrawals", check="chain.headers")
        headers.append(header)
    if not headers:
        raise UnavailableError("the dump has no block", "dump the chain again")
    return headers


def _check_head(dump: dict[str, Any], headers: list[Any]) -> None:
    """No successor names the newest header's hash, so each of its fields is compared with what it follows from."""
    head, block = headers[-1], _map(dump, "block")
    wanted: dict[str, object] = {
        "sha3Uncles": "0x" + NO_UNCLES.hex(),
        "withdrawalsRoot": "0x" + EMPTY_ROOT.hex(),
        "number": hex(_int(dump, "best_block_number")),
        "miner": block["beneficiary"],
        "timestamp": block["timestamp"],
        "gasLimit": hex(_int(block, "gas_limit")),
        "baseFeePerGas": hex(_int(block, "basefee")),
        "difficulty": block["difficulty"],
        "mixHash": block["prevrandao"],
        "excessBlobGas": hex(_int(_map(block, "blob_excess_gas_and_price"), "excess_blob_gas")),
    }
    mined = [
        _map(entry, "receipt")
        for entry in _list(dump, "transactions")
        if entry["block_number"] == _int(dump, "best_block_number")
    ]
    wanted["gasUsed"] = hex(max((quantity(receipt["cumulativeGasUsed"], "gas") for receipt in mined), default=0))
    bloom = 0
    for receipt in mined:
        bloom |= int.from_bytes(data(receipt["logsBloom"], "logsBloom", 256))
    wanted["logsBloom"] = "0x" + bloom.to_bytes(256).hex()
    if len(headers) > 1:
        parent = headers[-2]
        for name in ("extraData", "nonce", "blobGasUsed", "parentBeaconBlockRoot", "requestsHash"):
            wanted[name] = parent.get(name)  # constants of a chain without beacon chain and blobs
        if head.get("baseFeePerGas") != hex(_base_fee(parent)):
            raise VerificationError("base fee of the newest block", check="chain.headers", expected=_base_fee(parent))
    checked = {
        *wanted,
        "parentHash",
        "stateRoot",
        "transactionsRoot",
        "receiptsRoot",
    }  # those four: by what they commit to
    for name in [name for name, _ in HEADER_FIELDS if name in checked and name in wanted]:
        if head.get(name) != wanted[name]:
            raise VerificationError(
                f"{name} of the newest block", check="chain.headers", expected=wanted[name], actual=head.get(name)
            )
    if _map(dump, "block")["number"] != head["number"]:
        raise VerificationError(
            "number of the newest block", check="chain.headers", expected=head["number"], actual=block["number"]
        )


def _base_fee(parent: dict[str, Any]) -> int:
    """EIP-1559's base fee of the block after `parent`."""
    fee, used = quantity(parent["baseFeePerGas"], "baseFeePerGas"), quantity(parent["gasUsed"], "gasUsed")
    target = quantity(parent["gasLimit"], "gasLimit") // ELASTICITY
    if used > target:
        return fee + max(fee * (used - target) // target // DENOMINATOR, 1)
    return fee - fee * (target - used) // target // DENOMINATOR


def _parse_account(value: Any) -> Account:
    slots = {
        int.from_bytes(data(slot, "storage slot", 32)): data(word, "storage word", 32)
        for slot, word in _map(value, "storage").items()
    }
    return Account(
        nonce=_int(value, "nonce"),
        balance_wei=quantity(value["balance"], "balance"),
        code=data(value["code"], "code"),
        storage=slots,
    )


def _parse_json(raw: bytes) -> dict[str, Any]:
    value = parse_json(raw, "the dump")
    if not isinstance(value, dict):
        raise EncodingError("the dump", expected="a map", actual=type(value).__name__)
    return value


def _map(value: Any, name: str) -> dict[str, Any]:
    return _field(value, name, dict)  # type: ignore[no-any-return]


def _list(value: Any, name: str) -> list[Any]:
    return _field(value, name, list)  # type: ignore[no-any-return]


def _int(value: Any, name: str) -> int:
    return _field(value, name, int)  # type: ignore[no-any-return]


def _field(value: Any, name: str, kind: type) -> Any:
    if not isinstance(value, dict) or type(value.get(name)) is not kind:
        raise EncodingError(
            f"{name} in the dump", expected=kind.__name__, actual=value if value is None else type(value)
        )
    return value[name]


def _equal(what: str, header: Header, expected: bytes, actual: bytes) -> None:
    if expected != actual:
        raise VerificationError(
            f"{what} of block {header.number}", check=f"chain.{what.split()[0]}", expected=expected, actual=actual
        )
