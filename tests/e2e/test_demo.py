"""`make demo` as a user runs it, and its run folder under a verifier: whole, and with one byte changed."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from protocol.hashing import sha256
from tests.e2e.conftest import QUICK, ROOT, run_demo
from verifier.dump import DumpChain
from verifier.evidence import FolderArtifacts
from verifier.recipe import Subject, verify_federation
from verifier.report import Report

DEMO = ROOT / "scripts" / "demo.py"
VERIFLOCK = Path(sys.executable).with_name("veriflock")


@pytest.mark.timeout(400)
def test_make_demo_ends_with_a_good_model_and_a_report_that_holds() -> None:
    done = subprocess.run(
        ["make", "demo", "ARGS=--json"], capture_output=True, text=True, timeout=300, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    rounds = [event for event in events if event["event"] == "round"]
    assert [event["state"] for event in rounds] == ["settled"] * 8
    assert rounds[-1]["accuracy"] >= 0.90
    [verification] = [event["report"] for event in events if event["event"] == "verification"]
    assert verification["status"] == "ok"
    assert verification["simulated"] is True


def test_the_demo_tells_its_acts_in_order(demo: tuple[list[dict[str, Any]], Path]) -> None:
    kinds = [event["event"] for event in demo[0] if event["event"] not in ("step", "standing")]
    assert kinds == ["round", "round", "lie", "theft", "verification", "end"]


def test_rounds_settle_and_the_attacker_is_not_selected(demo: tuple[list[dict[str, Any]], Path]) -> None:
    rounds = [event for event in demo[0] if event["event"] == "round"]
    assert [(event["state"], event["counted"]) for event in rounds] == [("settled", 6), ("settled", 6)]
    assert rounds[-1]["accuracy"] > 0.85
    standings = {event["byzantine"]: event for event in demo[0] if event["event"] == "standing"}
    assert standings[True]["reputation_ppb"] < standings[False]["reputation_ppb"]


def test_the_ledger_refuses_what_the_host_signed_itself(demo: tuple[list[dict[str, Any]], Path]) -> None:
    [lie] = [event for event in demo[0] if event["event"] == "lie"]
    assert "WrongSigner" in lie["error"]
    assert lie["round"] == 3
    assert lie["fee_wei"] == 10**17


def test_a_false_result_under_a_perfect_quote_is_refuted_and_paid_for(demo: tuple[list[dict[str, Any]], Path]) -> None:
    [theft] = [event for event in demo[0] if event["event"] == "theft"]
    assert theft["counted"] == 6  # the quote convinced everybody
    assert theft["measurement"] != theft["actual"]
    accusation = theft["proof"]["accusation"]
    assert (theft["proof"]["status"], accusation["predicate"]) == ("refuted", "F2")
    assert (theft["state"], theft["model_stands"], theft["suspended"]) == ("void", True, True)
    prospect = theft["execution"]["prospect"]
    amounts = [int(prospect[name]) for name in ("reward_wei", "share_wei", "burnt_wei")]
    share = 10**18 // 4 // 6
    assert amounts == [10**18 // 4, share, 10**18 - 10**18 // 4 - 6 * share]
    assert (theft["bond_before_wei"], theft["bond_after_wei"]) == (str(10**18), "0")
    assert theft["refuted"] is True


def test_a_strangers_enclave_with_the_same_key_gets_nowhere(demo: tuple[list[dict[str, Any]], Path]) -> None:
    [theft] = [event for event in demo[0] if event["event"] == "theft"]
    said = theft["stranger"]
    assert "NotCoordinator" in said["registration"]
    assert "WrongCaller" in said["proposal"]
    assert "OtherSigner" in said["receipt"]


def test_the_verifier_repeats_the_verdict(demo: tuple[list[dict[str, Any]], Path]) -> None:
    report = json.loads((demo[1] / "report.json").read_text())
    [verdict] = [check for check in report["checks"] if check["name"] == "verdict"]
    assert (verdict["round"], verdict["status"]) == (4, "ok")


def test_the_run_folder_holds_what_the_page_says(demo: tuple[list[dict[str, Any]], Path]) -> None:
    run = demo[1]
    names = {path.name for path in run.iterdir()}
    assert names == {
        *("record.json", "federation.json", "chain.json", "artifacts", "metrics.csv", "rounds.png"),
        *("report.json", "logs", "SHA256SUMS"),
    }
    assert (ROOT / "runs" / "latest").resolve() == run
    record = json.loads((run / "record.json").read_text())
    assert record["simulated"] is True
    assert [item["round"] for item in record["rounds"]] == [1, 2]
    with (run / "metrics.csv").open() as file:
        assert [row["accuracy"] for row in csv.DictReader(file)] == [str(item["accuracy"]) for item in record["rounds"]]
    listed = [line.split("  ", 1) for line in (run / "SHA256SUMS").read_text().splitlines()]
    for digest, name in listed:
        assert hashlib.sha256((run / name).read_bytes()).hexdigest() == digest
    assert {name for _, name in listed} == {
        path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file() and path.name != "SHA256SUMS"
    }
    assert (run / "rounds.png").read_bytes().startswith(b"\x89PNG")


def test_no_log_holds_a_traceback_a_warning_or_a_key(demo: tuple[list[dict[str, Any]], Path]) -> None:
    for path in (demo[1] / "logs").iterdir():
        text = path.read_text(errors="replace")
        assert "Traceback" not in text, path.name
        if path.name == "coordinator.log":  # of the host's own two lies alone
            lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
            loud = [(line["event"], line.get("round")) for line in lines if line["level"] != "info"]
            assert set(loud) <= {("round_void", 3), ("round_void", 4)}
        if path.name != "anvil.log":  # Anvil prints the well-known keys of its own accounts, which nobody here uses
            assert "private" not in text.lower(), path.name


def test_nothing_that_the_demo_started_is_left(demo: tuple[list[dict[str, Any]], Path]) -> None:
    ledger = json.loads((demo[1] / "record.json").read_text())["chain"]["ledger"]
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True, timeout=20).stdout
    assert ledger not in running


def test_verify_says_that_everything_holds_and_that_it_is_simulated(demo: tuple[list[dict[str, Any]], Path]) -> None:
    done = subprocess.run(
        [str(VERIFLOCK), "verify", "--run", str(demo[1])], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "says nothing about hardware" in done.stdout
    assert "not checked" in done.stdout


def status_of(run: Path, *, without_sums: bool = False) -> tuple[int, list[str]]:
    """(exit code, names of the checks that did not hold) of `veriflock verify --run`, in this process."""
    report = Report()
    subject = Subject(
        open_chain=partial(DumpChain.read, run / "chain.json"),
        ledger=None,
        artifacts=FolderArtifacts(run / "artifacts"),
        folder=run,
        without_sums=without_sums,
    )
    verify_federation(subject, report)
    return report.exit_code, [check.name for check in report.checks if check.status.value != "ok"]


@pytest.fixture
def copy(demo: tuple[list[dict[str, Any]], Path], tmp_path: Path) -> Path:
    """The run folder, to be damaged."""
    return Path(shutil.copytree(demo[1], tmp_path / "run"))


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_one_byte_of_any_file_changed_is_noticed(copy: Path) -> None:
    generator = random.Random(1)
    files = sorted(path for path in copy.rglob("*") if path.is_file() and "logs" not in path.parts)
    offsets = [(path, generator.randrange(path.stat().st_size)) for path in files]
    for name in ("record.json", "chain.json"):
        path = copy / name
        offsets += [(path, generator.randrange(path.stat().st_size)) for _ in range(5)]
    for path, at in offsets:
        original = path.read_bytes()
        flip(path, at)
        code, noticed = status_of(copy)
        assert code in (1, 2), (path.name, at)
        assert noticed, (path.name, at)
        path.write_bytes(original)
    assert status_of(copy) == (0, [])


def rewrite_sums(run: Path) -> None:
    """What a forger would do too."""
    lines = []
    for path in sorted(path for path in run.rglob("*") if path.is_file() and path.name != "SHA256SUMS"):
        lines.append(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(run).as_posix()}\n")
    (run / "SHA256SUMS").write_text("".join(lines))


def test_a_forger_who_also_rewrites_the_sums_is_noticed_by_the_check_of_what_he_changed(copy: Path) -> None:
    evidence = copy / "artifacts" / "rounds" / "1.cbor"
    blobs = sorted((copy / "artifacts" / "blobs").iterdir())
    for path, at in [(evidence, 60), (evidence, evidence.stat().st_size - 5), *((blob, 8) for blob in blobs[:4])]:
        original = path.read_bytes()
        flip(path, at)
        rewrite_sums(copy)
        code, noticed = status_of(copy)
        assert code in (1, 2), path.name
        assert "sums" not in noticed
        path.write_bytes(original)


def test_a_record_that_was_rewritten_is_not_the_anchored_one(copy: Path) -> None:
    path = copy / "record.json"
    record = json.loads(path.read_text())
    record["rounds"][0]["accuracy"] = 0.99
    path.write_text(json.dumps(record, sort_keys=True, indent=1) + "\n")
    rewrite_sums(copy)
    assert status_of(copy) == (1, ["record"])


@pytest.mark.parametrize("part", ["storage", "balance", "log", "header", "calldata"])
def test_a_chain_that_was_rewritten_contradicts_its_own_hashes(copy: Path, part: str) -> None:
    path = copy / "chain.json"
    chain = json.loads(path.read_text())
    contract = next(account for account in chain["accounts"].values() if len(account["storage"]) > 5)
    if part == "storage":
        slot = sorted(contract["storage"])[0]
        contract["storage"][slot] = hex(int(contract["storage"][slot], 16) ^ 1)
    elif part == "balance":
        contract["balance"] = hex(int(contract["balance"], 16) + 1)
    elif part == "log":
        logs = next(item["receipt"]["logs"] for item in chain["transactions"] if item["receipt"]["logs"])
        logs[0]["data"] = logs[0]["data"][:-1] + ("0" if logs[0]["data"][-1] != "0" else "1")
    elif part == "header":
        chain["blocks"][5]["header"]["timestamp"] = hex(int(chain["blocks"][5]["header"]["timestamp"], 16) + 1)
    else:
        block = next(block for block in chain["blocks"] if block["transactions"])
        inner = block["transactions"][0]["transaction"]
        inner["input"] = inner["input"][:-1] + ("0" if inner["input"][-1] != "0" else "1")
    path.write_text(json.dumps(chain))
    rewrite_sums(copy)
    code, noticed = status_of(copy)
    assert code == 1
    assert "chain" in noticed


def test_a_row_exchanged_with_its_hash_does_not_open_its_update_root(copy: Path) -> None:
    evidence = copy / "artifacts" / "rounds" / "2.cbor"
    data = evidence.read_bytes()
    blobs = copy / "artifacts" / "blobs"
    row = next(
        path for path in sorted(blobs.iterdir()) if path.stat().st_size == 2 * 650 and bytes.fromhex(path.name) in data
    )
    changed = bytearray(row.read_bytes())
    changed[0] ^= 1
    digest = sha256(bytes(changed))
    (blobs / digest.hex()).write_bytes(changed)
    evidence.write_bytes(data.replace(bytes.fromhex(row.name), digest))
    rewrite_sums(copy)
    code, noticed = status_of(copy)
    assert code == 1
    assert "rows" in noticed


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("--rule", "averge"), "multi-krum"),
        (("--dataset", "imagenet"), "breast-cancer"),
        (("--attack", "ddos"), "sign-flip"),
        (("--split", "random"), "dirichlet"),
        (("--rounds", "0"), "1 to 1000"),
        (("--rule", "krum", "--participants", "6"), "at least 7"),
        (("--nonsense",), "--nonsense"),
        (("--tamper", "coordinator/service.py"), "a measured file of ours, such as coordinator/enclave/rules"),
        (("--tamper", "protocol/../README.md"), "a measured file of ours"),
    ],
)
def test_a_wrong_option_names_the_right_ones_and_starts_nothing(arguments: tuple[str, ...], names: str) -> None:
    before = set((ROOT / "runs").iterdir()) if (ROOT / "runs").exists() else set()
    done = run_demo(*arguments, timeout_s=60)
    assert done.returncode != 0
    assert names in done.stderr
    assert "Traceback" not in done.stderr
    assert (set((ROOT / "runs").iterdir()) if (ROOT / "runs").exists() else set()) == before


def test_one_changed_byte_of_measured_code_is_refused_by_ledger_and_participant_and_named() -> None:
    file = "coordinator/enclave/rules/coordinatewise.py"
    done = run_demo("--json", "--tamper", file, *QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    [tampering] = [event for event in events if event["event"] == "tampering"]
    expected, actual = tampering["expected"], tampering["actual"]
    assert expected != actual
    assert f"MeasurementNotAllowed (measurement 0x{actual})" in tampering["ledger"]
    assert tampering["registered"] == 0
    assert tampering["participant_code"] == 1
    assert "measurement of the enclave: expected one allowed by vote" in tampering["participant"]
    assert expected in tampering["participant"]
    assert actual in tampering["participant"]
    assert [line.partition(": ours")[0] for line in tampering["differences"]] == [f"differs: code/{file}"]
    log = (ROOT / events[-1]["run"] / "logs" / "coordinator.log").read_text()
    assert "MeasurementNotAllowed" in log  # what the host itself was told
    assert tampering["refused"] is True


def test_without_anvil_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERIFLOCK_ANVIL", "/nowhere/anvil")
    done = run_demo(*QUICK, timeout_s=60)
    assert done.returncode == 2
    [line] = [line for line in done.stderr.splitlines() if line]
    assert "anvil" in line
    assert "make setup" in line


def as_at_a_terminal() -> None:
    """A run in the background ignores interrupts and hands that down; the demo that is tested must not inherit it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_survives_a_demo_that_was_stopped(signum: signal.Signals) -> None:
    command = [sys.executable, str(DEMO), "--json", *QUICK]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, preexec_fn=as_at_a_terminal
    )
    assert process.stdout is not None
    ledger = ""
    for line in process.stdout:
        if "ledger" in line:
            ledger = line.split("ledger ")[1][:42]
        if "participants on" in line:
            break
    assert ledger
    process.send_signal(signum)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == (-signal.SIGKILL if signum == signal.SIGKILL else 130)
    assert "Traceback" not in errors
    deadline = time.monotonic() + 10
    while (
        ledger in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True, timeout=20).stdout
    ):
        assert time.monotonic() < deadline, os.linesep.join(["still running", ledger])
        time.sleep(0.1)
