"""A real Anvil dump, read from its bytes: anything changed in what it commits to is noticed."""

import copy
import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from eth_account import Account

from contracts import artifact
from coordinator import anvil
from protocol.errors import MalformedError, VerificationError, VeriflockError
from protocol.hashing import sha256
from protocol.keys import address, to_hex
from verifier.chain import parse_header
from verifier.dump import DumpChain

KEY = sha256(b"dump test")
Path = tuple[str | int, ...]

UNUSED = {"info", "historical_states", "slot_num", "blob_gasprice", "yParity_of_legacy"}
"""Parts of a dump that are neither read nor relied upon (of `info`, hash, index and sender are)."""


@pytest.fixture(scope="module")
def dump() -> bytes:
    """Transactions of types 0, 1 and 2, a creation, a block with several, an empty one."""
    with anvil.start() as running:
        anvil.call(running.rpc, "anvil_setBalance", to_hex(address(KEY)), hex(10**24))
        anvil.call(running.rpc, "evm_setAutomine", False)
        code = artifact("Enclaves")["bytecode"] + "00" * 96
        base = {"chainId": anvil.CHAIN_ID, "gas": 5_000_000, "value": 5, "to": to_hex(bytes(19) + b"\x77")}
        modern = {"maxFeePerGas": 10**10, "maxPriorityFeePerGas": 10**9}
        listed = {"gasPrice": 10**10, "accessList": [{"address": to_hex(bytes(20)), "storageKeys": ["0x" + "01" * 32]}]}
        calls = [base | modern, base | {"gasPrice": 10**10}, base | listed, modern | base | {"data": code, "value": 0}]
        del calls[3]["to"]
        for nonce, call in enumerate(calls):
            raw = Account.from_key(KEY).sign_transaction({**call, "nonce": nonce}).raw_transaction
            anvil.call(running.rpc, "eth_sendRawTransaction", "0x" + raw.hex())
            if nonce != 1:
                anvil.call(running.rpc, "evm_mine")
        anvil.call(running.rpc, "evm_mine")
        return gzip.decompress(bytes.fromhex(str(anvil.call(running.rpc, "anvil_dumpState"))[2:]))


def leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in UNUSED:
                yield from leaves(item, (*path, key))
        if "info" in value:
            yield (*path, "info", "transaction_hash")
            yield (*path, "info", "transaction_index")
            yield (*path, "info", "from")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path


def changed(dump: Any, path: Path) -> bytes:
    """The dump with one leaf changed: a hexadecimal digit, a number, or null to something."""
    other = copy.deepcopy(dump)
    place = other
    for key in path[:-1]:
        place = place[key]
    value = place[path[-1]]
    if value is None:
        place[path[-1]] = "0x" + "01" * 20
    elif isinstance(value, int):
        place[path[-1]] = value + 1
    elif value == "0x":
        place[path[-1]] = "0x01"
    else:
        place[path[-1]] = value[:-1] + ("1" if value[-1] == "0" else "0")
    return json.dumps(other).encode()


def test_a_dump_is_a_chain(dump: bytes) -> None:
    chain = DumpChain(dump)
    assert chain.chain_id() == anvil.CHAIN_ID
    assert chain.head().number == 4
    assert chain.header(1).parent == chain.genesis_hash()
    assert chain.balance(bytes(19) + b"\x77") == 15
    assert chain.logs(bytes(20)) == []


def test_any_leaf_that_is_changed_is_noticed(dump: bytes) -> None:
    value = json.loads(dump)
    paths = list(leaves(value))
    unnoticed = []
    for path in paths:
        try:
            DumpChain(changed(value, path))
        except VeriflockError:
            continue
        unnoticed.append(path)
    assert unnoticed == []
    assert len(paths) > 250


def test_a_block_that_is_missing_is_noticed(dump: bytes) -> None:
    for number in range(5):
        value = json.loads(dump)
        value["blocks"] = [block for block in value["blocks"] if block["header"]["number"] != hex(number)]
        with pytest.raises(VeriflockError):
            DumpChain(json.dumps(value).encode())


def test_a_receipt_that_is_missing_or_twice_is_noticed(dump: bytes) -> None:
    value = json.loads(dump)
    rest = {**value, "transactions": value["transactions"][1:]}
    with pytest.raises(VerificationError, match=r"chain\.receipts"):
        DumpChain(json.dumps(rest).encode())
    twice = {**value, "transactions": value["transactions"] + value["transactions"][:1]}
    with pytest.raises(MalformedError, match="two transactions at one place"):
        DumpChain(json.dumps(twice).encode())


def test_an_account_that_is_missing_is_noticed(dump: bytes) -> None:
    value = json.loads(dump)
    value["accounts"].popitem()
    with pytest.raises(VerificationError, match=r"chain\.state"):
        DumpChain(json.dumps(value).encode())


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b"null", b'{"a":1,"a":2}', b"\xff", b"[" * 100_000])
def test_what_is_no_dump_is_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        DumpChain(raw)


def test_a_header_with_a_gap_is_malformed(dump: bytes) -> None:
    header = json.loads(dump)["blocks"][0]["header"]
    del header["withdrawalsRoot"]
    with pytest.raises(MalformedError, match="without withdrawalsRoot"):
        parse_header(header)
