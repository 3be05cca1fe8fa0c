"""Checks 29 to 32: what a run folder holds besides the chain.

Responsible for: charter, record and artifacts against the ledger, every file against SHA256SUMS.
Must not know:   how a round is checked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocol.charter import Charter, parse_charter
from protocol.errors import EncodingError, UnavailableError, VerificationError
from protocol.hashing import sha256
from protocol.keys import Address, parse_address, to_hex
from verifier.checks.opening import expect
from verifier.files import read_file, sha256_file
from verifier.values import data, parse_json
from verifier.world import World

CHAIN, CHARTER, RECORD, SUMS, ARTIFACTS = "chain.json", "federation.json", "record.json", "SHA256SUMS", "artifacts"
MAX_RECORD_BYTES = 64 << 20
MAX_SUMS_BYTES = 16 << 20
MAX_FILE_BYTES = 1 << 32
UNSIGNED = {SUMS}
"""Not in SHA256SUMS: the file itself."""

LINE = re.compile(r"([0-9a-f]{64})  ([^\n]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the verifier reads of record.json."""

    raw: bytes
    ledger: Address
    chain_id: int
    genesis_hash: bytes
    transactions: tuple[bytes, ...]
    """Every transaction hash that the record names, wherever it stands."""


def parse_record(raw: bytes) -> Record:
    """The record of a run.

    Reads chain.ledger, chain.chain_id, chain.genesis_hash, and every text or list of texts under a key that is
    `transaction`, `transactions`, or ends in `_transaction` or `_transactions`.
    """
    try:
        value = parse_json(raw, RECORD)
        chain = value["chain"]
        ledger, number = parse_address(chain["ledger"]), chain["chain_id"]
        genesis = data(chain["genesis_hash"], "genesis hash of the record", 32)
    except (KeyError, TypeError, AttributeError) as error:
        raise EncodingError(f"record.json ({type(error).__name__}: {error})") from error
    if type(number) is not int:
        raise EncodingError("chain id of the record", expected="an integer", actual=number)
    hashes = tuple(data(text, "a transaction of the record", 32) for text in _transactions(value))
    return Record(raw=raw, ledger=ledger, chain_id=number, genesis_hash=genesis, transactions=hashes)


def check_29_charter(folder: Path, world: World) -> tuple[Charter, str]:
    """federation.json is the charter that the ledger names, and its model exponent the ledger's."""
    raw = read_file(folder / CHARTER, MAX_RECORD_BYTES)
    expect("SHA-256 of the charter", world.deployment.consortium.word("charter"), sha256(raw))
    charter = parse_charter(raw)
    expect("model exponent of the charter", world.deployment.ledger.signed("modelExponent"), charter.model_exponent)
    for _, terms in world.state.consortium.terms:
        expect("dimension of the terms", charter.dimension, terms.dimension)
    return charter, f"{charter.name}: {charter.model} of {charter.dimension} coordinates on {charter.dataset}"


def check_30_record(record: Record, world: World) -> tuple[None, str]:
    """record.json is anchored on this chain and names it; the transactions that it names are there."""
    digest = sha256(record.raw)
    anchors = [entry for entry in world.state.ledger.anchors if getattr(entry.event, "digest", b"") == digest]
    if not anchors:
        raise VerificationError("anchor of record.json", expected=digest, actual="no such event")
    world.calls.hold(anchors[-1].log, anchors[-1].event)
    expect("ledger of the record", to_hex(world.deployment.ledger.address), to_hex(record.ledger))
    expect("chain id of the record", world.deployment.chain_id, record.chain_id)
    expect("genesis hash of the record", world.chain.genesis_hash(), record.genesis_hash)
    for transaction in record.transactions:
        if not world.chain.has_transaction(transaction):
            raise VerificationError("a transaction of the record", expected="one of the chain", actual=transaction)
    count = len(record.transactions)
    return None, f"{digest.hex()} anchored in block {anchors[-1].log.block_number}; {count} transactions are there"


def check_31_blobs(folder: Path) -> tuple[None, str]:
    """Every blob has the bytes that its name says, also those that no round needed."""
    count = 0
    for path in sorted((folder / ARTIFACTS / "blobs").iterdir()):
        found = sha256_file(path, MAX_FILE_BYTES).hex()
        expect(f"SHA-256 of blob {path.name}", path.name, found)
        count += 1
    return None, f"{count} blobs are what their names say"


def check_32_sums(folder: Path) -> tuple[None, str]:
    """Every file of the folder stands in SHA256SUMS with its hash, and nothing else is there: no link, no pipe."""
    try:
        text = read_file(folder / SUMS, MAX_SUMS_BYTES).decode()
    except UnicodeDecodeError as error:
        raise EncodingError("SHA256SUMS", expected="UTF-8") from error
    lines = text.split("\n")
    if lines[-1] != "":
        raise EncodingError("end of SHA256SUMS", expected="a newline", actual=lines[-1])
    listed: dict[str, str] = {}
    for line in lines[:-1]:
        match = LINE.fullmatch(line)
        if match is None or match[2] in listed:
            raise EncodingError("a line of SHA256SUMS", expected="a hash, two spaces and a path, once", actual=line)
        listed[match[2]] = match[1]
    there = set(_files(folder)) - UNSIGNED
    if there != set(listed):
        missing, extra = sorted(set(listed) - there)[:3], sorted(there - set(listed))[:3]
        raise VerificationError("files of the folder", expected=f"also {missing}", actual=f"also {extra}")
    for name, expected in listed.items():
        expect(f"SHA-256 of {name}", expected, sha256_file(folder / name, MAX_FILE_BYTES).hex())
    return None, f"{len(listed)} files, each as listed"


def _files(folder: Path) -> Iterator[str]:
    """Every file of a folder by its path in it, links not followed.  Raises VerificationError for what is no file."""
    left = [folder]
    while left:
        with os.scandir(left.pop()) as entries:
            for entry in entries:
                name = Path(entry.path).relative_to(folder).as_posix()
                if entry.is_dir(follow_symlinks=False):
                    left.append(Path(entry.path))
                elif entry.is_file(follow_symlinks=False):
                    yield name
                else:
                    kind = "a link" if entry.is_symlink() else "a pipe, socket or device"
                    raise VerificationError(f"{name} in the folder", expected="a regular file", actual=kind)


def open_folder(folder: Path) -> Record:
    """The record of a run folder.  Raises UnavailableError where there is none."""
    if not folder.is_dir():
        raise UnavailableError(f"{folder} is no folder", "give --run the folder that a demo wrote")
    return parse_record(read_file(folder / RECORD, MAX_RECORD_BYTES))


def _transactions(value: Any) -> list[str]:
    if isinstance(value, list):
        return [text for item in value for text in _transactions(item)]
    if not isinstance(value, dict):
        return []
    found = []
    for key, item in value.items():
        if key in ("transaction", "transactions") or key.endswith(("_transaction", "_transactions")):
            found += _texts(item)
        else:
            found += _transactions(item)
    return found


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in items for text in _texts(item)]
