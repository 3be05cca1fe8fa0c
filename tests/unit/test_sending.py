"""Transactions of one's own: the bytes, what is offered, the key's file, and what a node may answer."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from eth_account import Account

from contracts.abi import Interface
from protocol.errors import EncodingError, PolicyError, UnavailableError, VerificationError
from protocol.hashing import keccak256, sha256
from protocol.keys import address, to_hex
from verifier.keyfile import read_key
from verifier.node import Call, Mined, Node, NodeError, RefusedError
from verifier.sender import MAX_GAS, Sender
from verifier.signing import Fees, Unsigned, offer, sign_transaction

KEY = sha256(b"somebody who sends")
LEDGER = sha256(b"a ledger")[:20]
CALL = Call(what="refute", to=LEDGER, data=b"\1\2\3")
WIDEST = 2**256 - 1
"""The largest number that a field holds."""


@pytest.mark.parametrize(
    ("chain_id", "nonce", "value", "data"),
    [(31337, 0, 0, b""), (1, 127, 1, b"\0"), (2**40, 128, WIDEST, bytes(55)), (5, 2**63, 7, bytes(range(256)) * 300)],
)
@pytest.mark.parametrize("place", range(4))
def test_a_transaction_is_what_another_library_signs(
    chain_id: int, nonce: int, value: int, data: bytes, place: int
) -> None:
    key, fees = sha256(b"key", bytes([place])), Fees(tip_wei=10**9 * place, most_wei=10**11)
    unsigned = Unsigned(chain_id=chain_id, nonce=nonce, fees=fees, gas=123_456, to=LEDGER, value_wei=value, input=data)
    signed = sign_transaction(unsigned, key)
    theirs = Account.sign_transaction(
        {
            "type": 2,
            "chainId": chain_id,
            "nonce": nonce,
            "gas": 123_456,
            "to": to_hex(LEDGER),
            "value": value,
            "data": data,
            "maxPriorityFeePerGas": fees.tip_wei,
            "maxFeePerGas": fees.most_wei,
        },
        key,
    )
    assert signed.raw == bytes(theirs.raw_transaction)
    assert signed.hash == bytes(theirs.hash) == keccak256(signed.raw)
    assert (signed.sender, signed.to, signed.input) == (address(key), LEDGER, data)
    assert (signed.chain_id, signed.nonce, signed.value_wei) == (chain_id, nonce, value)
    assert sign_transaction(unsigned, key) == signed


def test_never_more_is_offered_than_may_be_paid() -> None:
    assert offer(base_fee_wei=100, tip_wei=7, cap_wei=1000) == Fees(tip_wei=7, most_wei=407)
    assert offer(base_fee_wei=100, tip_wei=7, cap_wei=150) == Fees(tip_wei=7, most_wei=150)
    assert offer(base_fee_wei=100, tip_wei=70, cap_wei=150) == Fees(tip_wei=50, most_wei=150)
    assert offer(base_fee_wei=0, tip_wei=0, cap_wei=1) == Fees(tip_wei=0, most_wei=0)
    with pytest.raises(UnavailableError, match="costs 151 wei now, and at most 150 may be paid; wait until"):
        offer(base_fee_wei=151, tip_wei=0, cap_wei=150)


def test_a_key_file_is_read_as_participants_and_members_have_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    for text in (f"0x{KEY.hex()}\n", KEY.hex()):
        path.write_text(text)
        path.chmod(0o600)
        assert read_key(path) == KEY


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_key_that_others_may_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    path.write_text(KEY.hex())
    path.chmod(mode)
    with pytest.raises(PolicyError, match=r"expected 0o600 \(chmod 600\), got 0o6"):
        read_key(path)


@pytest.mark.parametrize("text", ["", "0x", KEY.hex()[:-1], KEY.hex() + "00", KEY.hex()[:-1] + "g", "\xe9" * 64])
def test_what_is_no_key_is_not_shown(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(EncodingError, match="expected 0x and 64 hexadecimal digits") as error:
        read_key(path)
    assert len(text) < 20 or text[:20] not in str(error.value)
    with pytest.raises(UnavailableError, match="no key file"):
        read_key(tmp_path / "another")


# -- a node


@contextlib.contextmanager
def node(answers: Callable[[str, list[Any]], Any]) -> Iterator[Node]:
    """A node that answers so: with a result, or with an error where that is a dict with a message."""

    def handle(request: httpx.Request) -> httpx.Response:
        question = json.loads(request.content)
        found = answers(question["method"], question["params"])
        body = {"error": found} if isinstance(found, dict) and "message" in found else {"result": found}
        return httpx.Response(200, json={"jsonrpc": "2.0", "id": 1, **body})

    with contextlib.closing(Node("http://node", transport=httpx.MockTransport(handle))) as found:
        yield found


def revert(name: str, *arguments: int) -> str:
    """The data of an error of the RoundLedger with numbers in it."""
    errors = Interface("RoundLedger").errors
    [selector] = [selector for selector, item in errors.items() if item["name"] == name]
    return "0x" + (selector + b"".join(value.to_bytes(32) for value in arguments)).hex()


@pytest.mark.parametrize("form", [lambda raw: raw, lambda raw: {"data": raw}, lambda raw: {"result": raw}])
def test_a_contracts_refusal_is_named(form: Callable[[str], Any]) -> None:
    raw = revert("WrongState", 2, 4)
    answer = {"code": 3, "message": "execution reverted", "data": form(raw)}
    with (
        node(lambda method, params: answer) as asked,
        pytest.raises(RefusedError, match="refuse refute: WrongState: expected 2, got 4") as error,
    ):
        asked.estimate(CALL, LEDGER)
    assert (error.value.name, error.value.arguments) == ("WrongState", {"expected": 2, "actual": 4})


@pytest.mark.parametrize(
    ("data", "name"),
    [(None, "no reason given"), ("0x12345678", "unknown error 0x12345678"), ("0xzz", "an error that can't be read")],
)
def test_a_refusal_that_can_not_be_read_is_still_one(data: str | None, name: str) -> None:
    answer = {"code": 3, "message": "execution reverted", "data": data}
    with node(lambda method, params: answer) as asked, pytest.raises(RefusedError) as error:
        asked.call(CALL, LEDGER)
    assert error.value.name.startswith(name)


def test_what_is_no_answer_could_not_tell() -> None:
    poor = {"code": -32000, "message": "insufficient funds for gas"}
    with node(lambda method, params: poor) as asked, pytest.raises(NodeError, match="send the account some wei"):
        asked.send(b"")
    for garbage in ("0x01", 7, None, "twelve"):
        with (
            node(lambda method, params, garbage=garbage: garbage) as asked,
            pytest.raises(UnavailableError, match="no usable answer to eth_estimateGas"),
        ):
            asked.estimate(CALL, LEDGER)
    with node(lambda method, params: {"number": "0x1"}) as asked, pytest.raises(UnavailableError, match="EIP-1559"):
        asked.base_fee_wei()


# -- sending


class Desk:
    """A node in memory, a clock, and somebody who sends."""

    def __init__(self) -> None:
        self.gas, self.chain, self.raw, self.now = 50_000, 31337, b"", 0.0
        self.result: Mined | None = Mined(
            what="refute", transaction=b"", block=3, gas_used=40_000, fee_wei=1, is_success=True
        )

    def answers(self, method: str, params: list[Any]) -> Any:
        match method:
            case "eth_estimateGas":
                return hex(self.gas)
            case "eth_chainId":
                return hex(self.chain)
            case "eth_getTransactionCount":
                return "0x5"
            case "eth_getBlockByNumber":
                return {"baseFeePerGas": "0x64"}
            case "eth_sendRawTransaction":
                self.raw = bytes.fromhex(params[0][2:])
                return "0x00"
            case "eth_getTransactionReceipt" if self.result is None:
                return None
            case "eth_getTransactionReceipt":
                status = "0x1" if self.result and self.result.is_success else "0x0"
                return {"gasUsed": "0x9c40", "blockNumber": "0x3", "effectiveGasPrice": "0x64", "status": status}
            case "eth_call":
                return {"code": 3, "message": "execution reverted", "data": revert("NoAmount")}
        return {"code": -32601, "message": "no such method"}

    def send(self) -> Mined:
        """Sends the call; sleeping moves the clock."""

        def sleep(seconds: float) -> None:
            self.now += seconds

        with node(self.answers) as asked:
            options = {"chain_id": 31337, "cap_wei": 10**12, "wait_s": 60.0}
            return Sender(asked, KEY, **options, sleep=sleep, monotonic=lambda: self.now).send(CALL)


def test_what_is_sent_has_the_nodes_nonce_and_fees() -> None:
    desk = Desk()
    mined = desk.send()
    fees = Fees(tip_wei=10**9, most_wei=400 + 10**9)
    wanted = Unsigned(chain_id=31337, nonce=5, fees=fees, gas=72_500, to=LEDGER, input=CALL.data)
    signed = sign_transaction(wanted, KEY)
    assert desk.raw == signed.raw
    assert mined == Mined(
        what="refute", transaction=signed.hash, block=3, gas_used=40_000, fee_wei=4_000_000, is_success=True
    )


def test_nothing_is_sent_to_another_chain_or_that_is_too_large() -> None:
    desk = Desk()
    desk.chain = 1
    with pytest.raises(VerificationError, match="chain id of the node: expected 31337, got 1"):
        desk.send()
    desk.chain, desk.gas = 31337, MAX_GAS + 1
    with pytest.raises(UnavailableError, match="one transaction may take 16777216"):
        desk.send()
    assert desk.raw == b""


def test_waiting_has_an_end() -> None:
    desk = Desk()
    desk.result = None
    with pytest.raises(UnavailableError, match="was not mined in 60 s; run the command again"):
        desk.send()
    assert 60 <= desk.now < 63


def test_what_was_mined_and_failed_says_why() -> None:
    desk = Desk()
    assert desk.result is not None
    desk.result = replace(desk.result, is_success=False)
    with pytest.raises(RefusedError, match="the contracts refuse refute: NoAmount"):
        desk.send()
