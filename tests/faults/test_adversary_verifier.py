"""What somebody hands to a verifier to be believed, or to keep it waiting for ever."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from protocol.events import Voted, topic_of
from protocol.hashing import keccak256
from protocol.outcomes import Reason
from tests.support.verified import new_world, run
from tests.support.world import RoundWorld, terms, write_sums
from verifier.chain import parse_header
from verifier.report import Status
from verifier.transactions import encode_transaction
from verifier.trie import list_root

ROOT = Path(__file__).parents[2]
COMMAND = "import typer; from verifier.cli import verify; typer.run(verify)"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RoundWorld]:
    """Two rounds; in the second the host told the enclave of a commitment that nobody had made."""
    with new_world(tmp_path_factory.mktemp("adversary")) as made:
        made.play(terms("median"))
        made.play(terms("median"), refused={2: Reason.UNDELIVERED})
        made.finish()
        yield made


@pytest.fixture
def folder(world: RoundWorld, tmp_path: Path) -> Path:
    return Path(shutil.copytree(world.folder, tmp_path / "run"))


def refuted(folder: Path, first: int = 1, last: int | None = None) -> set[int]:
    """Numbers of the checks that refuted something."""
    return {check.number for check in run(folder, first, last).checks if check.status is Status.REFUTED}


def verify(folder: Path) -> subprocess.CompletedProcess[bytes]:
    """The command, in a process of its own: it may hang."""
    command = [sys.executable, "-c", COMMAND, "--run", str(folder)]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, timeout=8, check=False
    )


def sign_with_nothing(dump: dict[str, Any], first: int, last: int) -> None:
    """Puts signatures of nobody on the transactions of some blocks, and makes every hash right again."""
    parent, renamed = b"", {}
    for block in sorted(dump["blocks"], key=lambda block: int(block["header"]["number"], 16)):
        header = block["header"]
        number = int(header["number"], 16)
        header["parentHash"] = "0x" + parent.hex() if parent else header["parentHash"]
        if first <= number <= last:
            for item in block["transactions"]:
                fields = item["transaction"]
                before, fields["r"], fields["s"] = fields["hash"], "0x" + "11" * 32, "0x22"
                renamed[before] = fields["hash"] = "0x" + keccak256(encode_transaction(fields)[1]).hex()
            raw = [encode_transaction(item["transaction"])[1] for item in block["transactions"]]
            header["transactionsRoot"] = "0x" + list_root(raw).hex()
        parent = parse_header(header).hash
        for entry in dump["transactions"]:
            if entry["block_number"] == number:
                info = entry["info"]
                entry["block_hash"] = "0x" + parent.hex()
                info["transaction_hash"] = renamed.get(info["transaction_hash"], info["transaction_hash"])


def newest_vote(dump: dict[str, Any]) -> int:
    """Number of the block with the newest vote."""
    voted = "0x" + topic_of(Voted).hex()
    logs = [(entry["block_number"], log) for entry in dump["transactions"] for log in entry["receipt"]["logs"]]
    return max(number for number, log in logs if log["topics"][0] == voted)


def test_a_vote_whose_transaction_no_member_signed_is_refuted(folder: Path) -> None:
    dump = json.loads((folder / "chain.json").read_text())
    newest = newest_vote(dump)
    sign_with_nothing(dump, newest, newest)
    (folder / "chain.json").write_text(json.dumps(dump))
    assert refuted(folder) & {1, 4}


def test_a_slot_that_nobody_committed_cannot_be_undelivered(folder: Path) -> None:
    assert refuted(folder, 1, 1) == set()
    assert 18 in refuted(folder, 2, 2)


@pytest.mark.parametrize("name", ["record.json", "chain.json", "artifacts/rounds/1.cbor"])
def test_a_pipe_in_a_run_folder_keeps_nobody_waiting(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert verify(folder).returncode in (1, 2)


@pytest.mark.parametrize("name", ["federation.json", "SHA256SUMS", "chain.json", "artifacts/rounds/1.cbor"])
def test_a_link_to_a_file_without_end_fills_no_memory(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")
    assert verify(folder).returncode in (1, 2)


def test_what_a_record_says_cannot_move_the_cursor(folder: Path) -> None:
    (folder / "record.json").write_text(json.dumps({"chain": {"ledger": "\x1b[2J\x1b[H everything holds"}}))
    write_sums(folder)
    done = verify(folder)
    assert done.returncode == 1
    assert b"\x1b[2J" not in done.stdout


def test_text_that_is_no_unicode_ends_in_a_report(folder: Path) -> None:
    (folder / "record.json").write_text('{"chain": {"ledger": "\\ud800"}}')
    write_sums(folder)
    done = verify(folder)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
