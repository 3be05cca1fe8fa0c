"""A node that one sends to: calls, estimates, transactions and their receipts.

Responsible for: what whoever writes asks a node (by jsonrpc.py); a contract's refusal by the name of its error,
                 everything else "could not tell".
Must not know:   keys, or what a call is for.

What has happened is read and checked elsewhere (rpc.py).  A node that lies here makes transactions fail, or go missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from contracts.abi import Interface, decode_error, interfaces
from protocol.errors import MalformedError, RoundError, UnavailableError, show
from protocol.keys import Address
from verifier.jsonrpc import TIMEOUT_S, Endpoint
from verifier.values import data, quantity

MAX_ANSWER_BYTES = 8 << 20
"""The trace of a call of ours is far smaller."""

DEFAULT_TIP_WEI = 10**9
"""Where a node names none."""

REVERTED = 3
"""Error code of a call that a contract refused (geth, and whoever follows it)."""


class RefusedError(RoundError):
    """A contract refused a call.

    name:      its error, such as `WrongState`.
    arguments: the error's, by name.
    """

    def __init__(self, what: str, name: str, arguments: Mapping[str, Any]) -> None:
        rest = {key: value for key, value in arguments.items() if key not in ("expected", "actual")}
        details = ", ".join(f"{key} {show(value)}" for key, value in rest.items())
        super().__init__(
            f"the contracts refuse {what}: {name}" + (f" ({details})" if details else ""),
            expected=arguments.get("expected"),
            actual=arguments.get("actual"),
        )
        self.name = name
        self.arguments = dict(arguments)


class NodeError(UnavailableError):
    """The node answered with an error that is not a contract's.

    message: the node's.
    """

    def __init__(self, url: str, method: str, message: str) -> None:
        next_step = "send the account some wei" if "insufficient funds" in message.lower() else "see the node's log"
        super().__init__(f"the chain at {url} answers {method} with an error: {message}", next_step)
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What somebody wants a contract to do."""

    what: str
    """For people: the function."""
    to: Address
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Mined:
    """What became of a transaction."""

    what: str
    """As in Call."""
    transaction: bytes
    """Its hash."""
    block: int
    gas_used: int
    fee_wei: int
    """What the gas cost."""
    is_success: bool


class Node:
    """One JSON-RPC address."""

    def __init__(
        self, url: str, *, timeout_s: float = TIMEOUT_S, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.contracts: dict[str, Interface] = interfaces()
        self._at = Endpoint(url, max_bytes=MAX_ANSWER_BYTES, timeout_s=timeout_s, transport=transport)

    def close(self) -> None:
        """Closes the connections."""
        self._at.close()

    def chain_id(self) -> int:
        """Chain id of EIP-155."""
        return self._quantity("eth_chainId", [])

    def nonce(self, account: Address) -> int:
        """The next one, after whatever is on its way."""
        return self._quantity("eth_getTransactionCount", [_hex(account), "pending"])

    def base_fee_wei(self) -> int:
        """Of the newest block.  Raises UnavailableError on a chain without EIP-1559."""
        block = self._ask("eth_getBlockByNumber", ["latest", False])
        if not isinstance(block, dict) or block.get("baseFeePerGas") is None:
            raise self._at.garbage("eth_getBlockByNumber", "a newest block without a base fee (EIP-1559)")
        return self._at.number("eth_getBlockByNumber", block["baseFeePerGas"])

    def tip_wei(self) -> int:
        """What the node would give to whoever mines."""
        try:
            return self._quantity("eth_maxPriorityFeePerGas", [])
        except NodeError:
            return DEFAULT_TIP_WEI

    def call(self, call: Call, sender: Address, *, gas: int | None = None) -> bytes:
        """What a call returns, that may take so much gas; nothing is sent.  Raises RefusedError."""
        try:
            return data(self._ask("eth_call", [_parameters(call, sender, gas), "pending"], call.what), "eth_call")
        except MalformedError as error:
            raise self._at.garbage("eth_call", str(error)) from error

    def estimate(self, call: Call, sender: Address, *, gas: int | None = None) -> int:
        """Gas that a call would take in the next block, where it may take so much.  Raises RefusedError."""
        answer = self._ask("eth_estimateGas", [_parameters(call, sender, gas), "pending"], call.what)
        return self._at.number("eth_estimateGas", answer)

    def send(self, raw: bytes) -> None:
        """Hands over a signed transaction."""
        self._ask("eth_sendRawTransaction", [_hex(raw)], "a transaction")

    def mined(self, transaction: bytes, what: str) -> Mined | None:
        """What became of a transaction; None while it is not in a block."""
        answer = self._ask("eth_getTransactionReceipt", [_hex(transaction)])
        if answer is None or (isinstance(answer, dict) and answer.get("blockNumber") is None):
            return None
        try:
            gas = quantity(answer["gasUsed"], "gasUsed")
            return Mined(
                what=what,
                transaction=transaction,
                block=quantity(answer["blockNumber"], "blockNumber"),
                gas_used=gas,
                fee_wei=gas * quantity(answer["effectiveGasPrice"], "effectiveGasPrice"),
                is_success=quantity(answer["status"], "status") == 1,
            )
        except (MalformedError, KeyError, TypeError) as error:
            raise self._at.garbage("eth_getTransactionReceipt", f"{type(error).__name__}: {error}") from error

    def why_refused(self, call: Call, sender: Address, mined: Mined) -> RefusedError:
        """The error of a transaction that is in a block and failed.

        By the node's trace where it gives one, else by the same call on the state after that block.
        """
        try:
            trace = self._ask("debug_traceTransaction", [_hex(mined.transaction), {"tracer": "callTracer"}])
            output = trace.get("output") if isinstance(trace, dict) else None
            return self._refused(call.what, output)
        except UnavailableError:
            pass  # most nodes give no traces
        try:
            self._ask("eth_call", [_parameters(call, sender), hex(mined.block)], call.what)
        except RefusedError as error:
            return error
        except UnavailableError:
            pass  # nor old states; that it failed is certain all the same
        return RefusedError(call.what, "the node does not say why", {})

    def _refused(self, what: str, raw: object) -> RefusedError:
        if isinstance(raw, dict):  # Ganache has it one level deeper
            raw = raw.get("result") or raw.get("data")
        try:
            name, arguments = decode_error(self.contracts, data(raw, "data of an error") if raw else b"")
        except MalformedError as error:
            name, arguments = f"an error that can't be read ({error})", {}
        return RefusedError(what, name, arguments)

    def _quantity(self, method: str, params: list[object]) -> int:
        return self._at.number(method, self._ask(method, params))

    def _ask(self, method: str, params: list[object], what: str = "a call") -> Any:
        answer = self._at.ask(method, params)
        failure = answer.get("error")
        if failure is None:
            return answer.get("result")
        message = str(failure.get("message", ""))[:200] if isinstance(failure, dict) else str(failure)[:200]
        if isinstance(failure, dict) and (failure.get("code") == REVERTED or "revert" in message.lower()):
            raise self._refused(what, failure.get("data"))
        raise NodeError(self._at.url, method, message)


def _parameters(call: Call, sender: Address, gas: int | None = None) -> dict[str, str]:
    limit = {} if gas is None else {"gas": hex(gas)}
    return {"from": _hex(sender), "to": _hex(call.to), "data": _hex(call.data), **limit}


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
