"""A forger of run folders: changes the logs of a dump and makes every hash right again, but has nobody's key."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contracts import artifact
from protocol.events import CONTRACTS, stream, topic_of
from tests.support.world import write_sums
from verifier.chain import parse_header
from verifier.dump import _parse_account, state_root
from verifier.transactions import encode_transaction
from verifier.trie import Rlp, integer, list_root, rlp
from verifier.values import data, quantity

Dump = dict[str, Any]


def forge(folder: Path, contracts: dict[str, bytes], edit: Callable[[Dump], None]) -> None:
    """Edits the dump of a run folder; then streams, state, roots, headers and sums fit."""
    path = folder / "chain.json"
    dump = json.loads(path.read_text())
    edit(dump)
    for name in CONTRACTS:
        _set_stream(dump, name, "0x" + contracts[name].hex())
    rehash(dump)
    path.write_text(json.dumps(dump))
    write_sums(folder)


def rehash(dump: Dump) -> None:
    """Makes roots and headers fit the transactions, receipts and accounts."""
    blocks = sorted(dump["blocks"], key=lambda block: int(block["header"]["number"], 16))
    accounts = {bytes.fromhex(key[2:]): _parse_account(value) for key, value in dump["accounts"].items()}
    blocks[-1]["header"]["stateRoot"] = "0x" + state_root(accounts, is_pruned=False).hex()
    parent = b""
    for block in blocks:
        header = block["header"]
        number = int(header["number"], 16)
        signed = [encode_transaction(item["transaction"])[1] for item in block["transactions"]]
        found = [entry for entry in dump["transactions"] if entry["block_number"] == number]
        found.sort(key=lambda entry: int(entry["info"]["transaction_index"]))
        header["parentHash"] = "0x" + parent.hex() if parent else header["parentHash"]
        header["transactionsRoot"] = "0x" + list_root(signed).hex()
        header["receiptsRoot"] = "0x" + list_root([_receipt(entry["receipt"]) for entry in found]).hex()
        parent = parse_header(header).hash
        for entry in found:
            entry["block_hash"] = "0x" + parent.hex()


def logs_of(dump: Dump, kind: type) -> list[dict[str, Any]]:
    """The logs of one event, in order."""
    topic = "0x" + topic_of(kind).hex()
    return [log for log in _logs(dump) if log["topics"][0] == topic]


def _logs(dump: Dump) -> list[dict[str, Any]]:
    entries = sorted(dump["transactions"], key=lambda e: (e["block_number"], e["info"]["transaction_index"]))
    return [log for entry in entries for log in entry["receipt"]["logs"]]


def _set_stream(dump: Dump, name: str, address: str) -> None:
    logs = [log for log in _logs(dump) if log["address"] == address]
    head = stream(([data(topic, "topic") for topic in log["topics"]], data(log["data"], "data")) for log in logs)
    [slot] = [item["slot"] for item in artifact(name)["storageLayout"]["storage"] if item["label"] == "_head"]
    dump["accounts"][address]["storage"]["0x" + int(slot).to_bytes(32).hex()] = "0x" + head.hex()


def _receipt(receipt: dict[str, Any]) -> bytes:
    logs: list[Rlp] = [
        [data(log["address"], "address"), [data(topic, "topic") for topic in log["topics"]], data(log["data"], "data")]
        for log in receipt["logs"]
    ]
    kind = quantity(receipt["type"], "type")
    numbers = [integer(quantity(receipt[name], name)) for name in ("status", "cumulativeGasUsed")]
    body = rlp([*numbers, data(receipt["logsBloom"], "logsBloom"), logs])
    return body if kind == 0 else bytes([kind]) + body
