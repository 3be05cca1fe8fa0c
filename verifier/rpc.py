"""A chain behind a JSON-RPC address.

Responsible for: what a verifier asks a node (by jsonrpc.py), and that the answer is what it asked for.
Must not know:   what the contracts mean.

Nothing here makes a lying node honest: `recipe.NOT_CHECKED` says what is taken on its word.
"""

from __future__ import annotations

from typing import Any

import httpx

from protocol.errors import MalformedError, SignatureError, UnavailableError
from verifier.chain import Header, Log, parse_header
from verifier.jsonrpc import TIMEOUT_S, Endpoint
from verifier.transactions import Transaction, parse_transaction
from verifier.values import data, quantity

MAX_ANSWER_BYTES = 64 << 20
"""Larger than any range of logs that we ask for."""

LOG_RANGE = 2_000
"""Blocks in one question for logs; what public nodes commonly allow."""


class RpcChain:
    """See ChainSource.  The head is fixed at construction, so that all answers are about one state."""

    proves = False

    def __init__(
        self, url: str, *, timeout_s: float = TIMEOUT_S, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._at = Endpoint(url, max_bytes=MAX_ANSWER_BYTES, timeout_s=timeout_s, transport=transport)
        self._headers: dict[int, Header] = {}
        self._transactions: dict[bytes, Transaction] = {}
        try:
            self._head = self.header(self._quantity("eth_blockNumber", []))
        except UnavailableError:
            self.close()
            raise

    def close(self) -> None:
        """Closes the connections."""
        self._at.close()

    def confirm(self) -> None:
        """Raises UnavailableError when the head is no longer the chain's."""
        known = self._headers.pop(self._head.number)
        if self.header(known.number).hash != known.hash:
            raise UnavailableError("the chain was rewritten while it was read", "verify again")

    def describe(self) -> str:
        """For people: what this source is."""
        return f"node at {self._at.url}, block {self._head.number}"

    def chain_id(self) -> int:
        """Chain id of EIP-155."""
        return self._quantity("eth_chainId", [])

    def genesis_hash(self) -> bytes:
        """Hash of block 0."""
        return self.header(0).hash

    def head(self) -> Header:
        """The newest block when this source was made."""
        return self._head

    def header(self, number: int) -> Header:
        """The block of that number; its hash recomputed from its fields."""
        if number not in self._headers:
            answer = self._ask("eth_getBlockByNumber", [hex(number), False])
            if not isinstance(answer, dict):
                raise UnavailableError(f"the node has no block {number}", "ask a node that has the whole chain")
            try:
                header = parse_header(answer)
                claimed = data(answer.get("hash"), "hash of a block", 32)
            except MalformedError as error:
                raise self._at.garbage("eth_getBlockByNumber", str(error)) from error
            if header.hash != claimed or header.number != number:
                raise self._at.garbage(
                    "eth_getBlockByNumber", f"the header of block {number} does not hash to its hash"
                )
            self._headers[number] = header
        return self._headers[number]

    def logs(self, address: bytes) -> list[Log]:
        """Every log of a contract up to the head, in order."""
        found: list[Log] = []
        for first in range(0, self._head.number + 1, LOG_RANGE):
            last = min(first + LOG_RANGE - 1, self._head.number)
            question = {"address": "0x" + address.hex(), "fromBlock": hex(first), "toBlock": hex(last)}
            answer = self._ask("eth_getLogs", [question])
            if not isinstance(answer, list):
                raise self._at.garbage("eth_getLogs", "the answer is no list")
            try:
                found += [_parse_log(item) for item in answer]
            except (MalformedError, KeyError, TypeError, AttributeError) as error:
                raise self._at.garbage("eth_getLogs", str(error)) from error
        places = [log.place for log in found]
        if places != sorted(set(places)) or any(log.address != address for log in found):
            raise self._at.garbage("eth_getLogs", "logs out of order, twice, or of another contract")
        return found

    def code(self, address: bytes) -> bytes:
        """Deployed code at the head; empty where there is none."""
        return self._data("eth_getCode", ["0x" + address.hex(), hex(self._head.number)])

    def balance(self, address: bytes) -> int:
        """Balance at the head in wei."""
        return self._quantity("eth_getBalance", ["0x" + address.hex(), hex(self._head.number)])

    def storage(self, address: bytes, slot: int) -> bytes:
        """A word of storage at the head; 32 bytes."""
        word = self._data("eth_getStorageAt", ["0x" + address.hex(), hex(slot), hex(self._head.number)])
        if len(word) != 32:
            raise self._at.garbage("eth_getStorageAt", f"{len(word)} bytes for a word")
        return word

    def slots(self, address: bytes) -> frozenset[int] | None:
        """None: a node does not list them."""
        return None

    def has_transaction(self, transaction: bytes) -> bool:
        """Whether a transaction of that hash is in a block up to the head."""
        answer = self._ask("eth_getTransactionReceipt", ["0x" + transaction.hex()])
        if not isinstance(answer, dict):
            return False
        try:
            return quantity(answer.get("blockNumber"), "number of a block") <= self._head.number
        except MalformedError as error:
            raise self._at.garbage("eth_getTransactionReceipt", str(error)) from error

    def transaction(self, transaction: bytes) -> Transaction:
        """The transaction of that hash, its hash recomputed and its sender recovered."""
        if transaction not in self._transactions:
            answer = self._ask("eth_getTransactionByHash", ["0x" + transaction.hex()])
            if not isinstance(answer, dict):
                raise UnavailableError(f"the node has no transaction {transaction.hex()}", "ask one that has them all")
            try:
                found = parse_transaction(answer)
            except (MalformedError, SignatureError) as error:
                raise self._at.garbage("eth_getTransactionByHash", str(error)) from error
            if found.hash != transaction:
                raise self._at.garbage("eth_getTransactionByHash", f"{transaction.hex()} does not hash to its hash")
            self._transactions[transaction] = found
        return self._transactions[transaction]

    def creation(self, address: bytes) -> Transaction | None:
        """None: a node is not asked by whom; its word stands for the code anyway."""
        return None

    def has_signed(self, address: bytes) -> bool:
        """Whether a transaction that was asked for was signed by that address."""
        return any(found.sender == address for found in self._transactions.values())

    def _quantity(self, method: str, params: list[object]) -> int:
        return self._at.number(method, self._ask(method, params))

    def _data(self, method: str, params: list[object]) -> bytes:
        try:
            return data(self._ask(method, params), method)
        except MalformedError as error:
            raise self._at.garbage(method, str(error)) from error

    def _ask(self, method: str, params: list[object]) -> Any:
        answer = self._at.ask(method, params)
        if "result" not in answer:
            problem = answer.get("error")
            reason = problem.get("message") if isinstance(problem, dict) else "no result"
            raise self._at.garbage(method, str(reason)[:200])
        return answer["result"]


def _parse_log(item: dict[str, Any]) -> Log:
    if item.get("removed"):
        raise MalformedError("a log of a block that was removed")
    return Log(
        address=data(item["address"], "address of a log", 20),
        topics=tuple(data(topic, "topic", 32) for topic in item["topics"]),
        data=data(item["data"], "data of a log"),
        block_number=quantity(item["blockNumber"], "block of a log"),
        transaction=data(item["transactionHash"], "transaction of a log", 32),
        index=quantity(item["logIndex"], "index of a log"),
    )
