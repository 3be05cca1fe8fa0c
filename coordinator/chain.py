"""JSON-RPC to a chain, with a deadline on every request.

Responsible for: requests and their failures as typed errors: a revert by its name, everything else "could not tell".
Must not know:   rounds, or why something is read or sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from eth_account import Account
from web3 import HTTPProvider
from web3.exceptions import Web3Exception
from web3.providers.rpc.utils import ExceptionRetryConfiguration
from web3.types import RPCEndpoint

from contracts.abi import Interface, decode_error, interfaces
from protocol.errors import RoundError, UnavailableError, show
from protocol.keys import Address, to_hex

MAX_GAS = 1 << 24
"""Osaka's limit of one transaction (EIP-7825)."""
GAS_MARGIN = 1.25
"""Over the estimate: the state may move between estimate and block."""
FEE_MARGIN = 8
"""Times the base fee that we would pay, so that the one signed transaction stays minable through 17 full blocks."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class RevertedError(RoundError):
    """The ledger refused a transaction.

    name:      the contract's error, such as `WrongCohort`.
    arguments: its arguments by name.
    """

    def __init__(self, what: str, name: str, arguments: Mapping[str, Any]) -> None:
        rest = {key: value for key, value in arguments.items() if key not in ("expected", "actual")}
        details = ", ".join(f"{key} {show(value)}" for key, value in rest.items())
        super().__init__(
            f"the ledger refused {what}: {name}" + (f" ({details})" if details else ""),
            expected=arguments.get("expected"),
            actual=arguments.get("actual"),
        )
        self.name = name
        self.arguments = dict(arguments)


class ChainRestartedError(UnavailableError):
    """The chain behind the address is another one than before."""


class RpcError(UnavailableError):
    """The chain answered with an error that is not a revert."""

    def __init__(self, method: str, message: str, url: str) -> None:
        is_poor = "insufficient funds" in message.lower()
        next_step = "send the account some wei" if is_poor else "see the node's log"
        super().__init__(f"the chain at {url} answered {method} with an error: {message}", next_step)
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The few fields of a block that anyone here asks for."""

    number: int
    hash: bytes | None
    """None for the pending one."""
    timestamp: int
    base_fee: int | None
    """None on a chain without EIP-1559."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionReceipt:
    """What became of a mined transaction."""

    transaction: bytes
    block: int
    gas_used: int
    is_success: bool
    contract: Address | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """One log as the chain gives it."""

    topics: tuple[bytes, ...]
    data: bytes
    block: int
    block_hash: bytes
    transaction: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A transaction that somebody wants: what it is (for people), where it goes, its data and value."""

    what: str
    to: Address | None
    """None creates a contract."""
    data: bytes
    value: int = 0


class Chain:
    """One JSON-RPC endpoint.  Safe for several threads."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        options: dict[str, Any] = {"timeout": timeout_s}
        if urlsplit(url).hostname in LOOPBACK:
            options["proxies"] = {"http": None, "https": None, "all": None}  # a proxy of the environment is elsewhere
        retry = ExceptionRetryConfiguration(errors=[requests.ConnectionError], retries=2, backoff_factor=0.1)
        self.url = url
        self.contracts: dict[str, Interface] = interfaces()
        self._provider = HTTPProvider(url, request_kwargs=options, exception_retry_configuration=retry)

    def request(self, method: str, *parameters: Any, what: str = "a call") -> Any:
        """The result of one request.

        Raises: RevertedError, RpcError, UnavailableError (unreachable, too slow, not JSON-RPC).
        """
        try:
            response = self._provider.make_request(RPCEndpoint(method), list(parameters))
        except (requests.RequestException, Web3Exception, ValueError) as error:
            reason = "no answer in time" if isinstance(error, requests.Timeout) else type(error).__name__
            raise UnavailableError(
                f"the chain at {self.url} can't be reached ({reason})", "start it, or correct the RPC address"
            ) from error
        failure: Any = response.get("error")
        if failure is None:
            return response.get("result")
        if not isinstance(failure, dict):
            raise RpcError(method, str(failure), self.url)
        message, data = str(failure.get("message", "")), failure.get("data")
        if failure.get("code") == 3 or "revert" in message.lower():
            name, arguments = decode_error(self.contracts, _revert_data(data))
            raise RevertedError(what, name, arguments)
        raise RpcError(method, message, self.url)

    def chain_id(self) -> int:
        """EIP-155 chain id."""
        return _int(self.request("eth_chainId"))

    def block(self, number: int | str) -> Block:
        """A block by number, or "latest" or "pending".  Raises UnavailableError when there is none."""
        found = self.request("eth_getBlockByNumber", number if isinstance(number, str) else hex(number), False)
        if found is None:
            raise UnavailableError(f"the chain at {self.url} has no block {number}", "wait until the node is synced")
        fee = found.get("baseFeePerGas")
        return Block(
            number=_int(found.get("number") or "0x0"),
            hash=_bytes(found["hash"]) if found.get("hash") else None,
            timestamp=_int(found["timestamp"]),
            base_fee=None if fee is None else _int(fee),
        )

    def now(self) -> int:
        """Chain time: the timestamp that the next block would have.

        Good for what must not come too late.  Not for what must not come too soon: on a chain of slots a block that is
        earlier than this can still arrive, so what is complete only `block("latest")` says.
        """
        return self.block("pending").timestamp

    def genesis(self) -> bytes:
        """Hash of block 0."""
        return self.block(0).hash or bytes(32)

    def code(self, address: Address) -> bytes:
        """The code at an address; empty where no contract is."""
        return _bytes(self.request("eth_getCode", to_hex(address), "latest"))

    def balance(self, address: Address) -> int:
        """Wei of an account."""
        return _int(self.request("eth_getBalance", to_hex(address), "latest"))

    def nonce(self, address: Address, *, tag: str = "pending") -> int:
        """The next nonce of an account."""
        return _int(self.request("eth_getTransactionCount", to_hex(address), tag))

    def call(
        self, contract: str, address: Address, function: str, *arguments: Any, block: int | None = None
    ) -> list[Any]:
        """The values that a view returns on that block (None: on the newest)."""
        interface = self.contracts[contract]
        data = interface.call_data(function, *arguments)
        tag = "latest" if block is None else hex(block)
        found = self.request("eth_call", {"to": to_hex(address), "data": _hex(data)}, tag, what=function)
        return interface.returned(function, _bytes(found))

    def simulate(self, call: Call, sender: Address) -> None:
        """Runs a transaction on the pending block without sending it.  Raises RevertedError when it would revert.

        Pending, not latest: contracts look at the time of the block that they would be in.
        """
        self.request("eth_call", _parameters(call, sender), "pending", what=call.what)

    def logs(
        self,
        address: Address,
        topics: Sequence[bytes | list[bytes] | None],
        from_block: int,
        to_block: int | str = "latest",
    ) -> list[Log]:
        """The logs of a contract in order.  A topic of None matches any, a list any of it."""
        wanted = [[_hex(item) for item in topic] if isinstance(topic, list) else _hex(topic) for topic in topics]
        last = to_block if isinstance(to_block, str) else hex(to_block)
        query = {"address": to_hex(address), "topics": wanted, "fromBlock": hex(from_block), "toBlock": last}
        found = self.request("eth_getLogs", query)
        return [
            Log(
                topics=tuple(_bytes(topic) for topic in item["topics"]),
                data=_bytes(item["data"]),
                block=_int(item["blockNumber"]),
                block_hash=_bytes(item["blockHash"]),
                transaction=_bytes(item["transactionHash"]),
            )
            for item in sorted(found, key=lambda item: (_int(item["blockNumber"]), _int(item["logIndex"])))
        ]

    def sign(self, call: Call, key: bytes, sender: Address, nonce: int) -> tuple[bytes, bytes]:
        """A signed transaction, not sent: (raw bytes, hash).  Raises RevertedError when the estimate reverts."""
        gas = _int(self.request("eth_estimateGas", _parameters(call, sender), "pending", what=call.what))
        fields: dict[str, Any] = {
            "chainId": self.chain_id(),
            "nonce": nonce,
            "gas": min(MAX_GAS, int(gas * GAS_MARGIN) + 10_000),
            "value": call.value,
            "data": call.data,
        }
        if call.to is not None:
            fields["to"] = to_hex(call.to)
        base_fee = self.block("latest").base_fee
        if base_fee is None:
            fields["gasPrice"] = _int(self.request("eth_gasPrice"))
        else:
            tip = self._tip()
            fields |= {"type": 2, "maxPriorityFeePerGas": tip, "maxFeePerGas": FEE_MARGIN * base_fee + tip}
        signed = Account.sign_transaction(fields, key)
        return bytes(signed.raw_transaction), bytes(signed.hash)

    def send_raw(self, raw: bytes) -> None:
        """Sends a signed transaction.  Sending the same one again changes nothing."""
        self.request("eth_sendRawTransaction", _hex(raw), what="a transaction")

    def receipt(self, transaction: bytes) -> TransactionReceipt | None:
        """What became of a transaction, or None while it is not mined."""
        found = self.request("eth_getTransactionReceipt", _hex(transaction))
        if found is None or found.get("blockNumber") is None:
            return None
        created = found.get("contractAddress")
        return TransactionReceipt(
            transaction=transaction,
            block=_int(found["blockNumber"]),
            gas_used=_int(found["gasUsed"]),
            is_success=_int(found["status"]) == 1,
            contract=_bytes(created) if created else None,
        )

    def why_reverted(self, call: Call, sender: Address, receipt: TransactionReceipt) -> RevertedError:
        """The error of a transaction that was mined and failed.

        From the node's trace where it gives one, else from the same call on the state after its block.
        """
        name, arguments = "its reason is not known to the node", dict[str, Any]()
        try:
            trace = self.request("debug_traceTransaction", _hex(receipt.transaction), {"tracer": "callTracer"})
            name, arguments = decode_error(self.contracts, _bytes(trace.get("output") or "0x"))
        except UnavailableError:
            try:
                self.request("eth_call", _parameters(call, sender), hex(receipt.block), what=call.what)
            except RevertedError as error:
                return error
            except UnavailableError:
                pass  # neither traces nor old state: the failure itself is still certain
        return RevertedError(call.what, name, arguments)

    def _tip(self) -> int:
        try:
            return _int(self.request("eth_maxPriorityFeePerGas"))
        except RpcError:
            return 10**9


def _parameters(call: Call, sender: Address) -> dict[str, str]:
    parameters = {"from": to_hex(sender), "data": _hex(call.data), "value": hex(call.value)}
    if call.to is not None:
        parameters["to"] = to_hex(call.to)
    return parameters


def _revert_data(data: Any) -> bytes:
    if isinstance(data, dict):  # Ganache puts it one level deeper
        data = data.get("result") or data.get("data")
    if not isinstance(data, str) or not data.startswith("0x"):
        return b""
    try:
        return bytes.fromhex(data[2:])
    except ValueError:
        return b""


def _hex(data: bytes | None) -> Any:
    return None if data is None else "0x" + data.hex()


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def _int(text: str) -> int:
    return int(text, 16)
