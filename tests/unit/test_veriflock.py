"""The console command: what is mistyped is answered with what exists, and what is missing with how to get it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

import veriflock
from coordinator import doctor
from coordinator.doctor import OPTIONAL, Finding, examine

ROOT = Path(__file__).resolve().parent.parent.parent
QUOTE = ROOT / "tests" / "vectors" / "quotes" / "tdx_quote"


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["veriflock", *words])
    return veriflock.run(veriflock.build(words[0] if words else None))


@pytest.mark.parametrize(
    ("words", "known"),
    [
        (("export", "--nonsense"), "there are --ca, --coordinator, --ledger, --out, --round, --rpc, --run"),
        (("participant", "histogram", "--sead", "1"), "there are --data, --dataset, --participants, --seed, --split"),
        (
            ("nonsense",),
            "there are aggregate, consortium, coordinator, dispute, doctor, export, measure, participant, platform,"
            " quote, verify, version",
        ),
        (
            ("participant", "train"),
            "there are charter, check, genesis, histogram, keygen, leave, reclaim, run, withdraw",
        ),
    ],
)
def test_an_unknown_option_or_command_names_those_that_exist(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], known: str
) -> None:
    assert run(monkeypatch, *words) == 2
    out, line = capsys.readouterr()
    assert (out, line.count("\n")) == ("", 1)
    assert known in line


def test_one_command_alone_is_still_a_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "version") == 0
    assert capsys.readouterr().out == version("veriflock") + "\n"


@pytest.mark.parametrize("words", [("version",), ("quote", "inspect", str(QUOTE))])
def test_a_reader_who_went_away_is_no_refutation(words: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        command = [sys.executable, "-m", "veriflock", *words]
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, cwd=ROOT, timeout=60, check=False)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (2, b"")


def test_an_exit_with_another_reason_stays_one() -> None:
    def leave(**_: object) -> None:
        raise SystemExit(1)

    with pytest.raises(SystemExit) as left:
        veriflock.run(leave)  # type: ignore[arg-type]
    assert left.value.code == 1


def test_ctrl_c_while_commands_are_loaded_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: str | None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(veriflock, "build", interrupted)
    with pytest.raises(SystemExit) as left:
        veriflock.main()
    assert left.value.code == 130


@pytest.mark.parametrize("module", ["importlib.metadata", "typer", "protocol.errors"])
def test_ctrl_c_while_the_program_starts_is_no_traceback(module: str) -> None:
    code = f"""
import sys
class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            raise KeyboardInterrupt
sys.modules.pop({module!r}, None)
sys.meta_path.insert(0, Interrupted())
import veriflock
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize(("missing", "code"), [(OPTIONAL, 0), (("llvmlite", "httpx"), 2)])
def test_what_is_optional_may_be_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], missing: tuple[str, ...], code: int
) -> None:
    found = [Finding(part=part, found=False, needed_for="", says="") for part in missing]
    monkeypatch.setattr(doctor, "examine", lambda _: found)
    assert run(monkeypatch, "doctor", "--format", "json") == code
    assert [part["part"] for part in json.loads(capsys.readouterr().out)] == list(missing)


def test_the_doctor_names_the_extra_of_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "version", nothing)
    monkeypatch.setattr(
        doctor, "_look", lambda part, needed_for, *_: Finding(part=part, found=True, needed_for="", says="")
    )
    missing = {finding.part: finding.next_step for finding in examine(None) if not finding.found}
    assert missing == {
        "torch": "in the source tree: pip install '.[participant]'",
        "fastapi": "in the source tree: pip install '.[coordinator]'",
        "web3": "in the source tree: pip install '.[coordinator]'",
        "httpx": "in the source tree: pip install '.[verifier]'",
        "llvmlite": "optional: in the source tree: pip install '.[fast]'",
        "ray": "optional: in the source tree: pip install '.[ray]'",
    }


def test_the_doctor_s_advice_is_printed_as_it_is_to_be_typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    advice = Finding(part="ray", found=False, needed_for="", says="", next_step="pip install '.[ray]'")
    monkeypatch.setattr(doctor, "examine", lambda _: [advice])
    assert run(monkeypatch, "doctor") == 0
    assert capsys.readouterr().out.splitlines()[1].split(maxsplit=2) == ["no", "ray", "pip install '.[ray]'"]


def test_the_doctor_says_how_to_get_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("VERIFLOCK_ANVIL", str(tmp_path / "anvil"))
    missing = {finding.part: finding for finding in examine(None) if not finding.found}
    assert set(missing) >= {"Node", "Anvil", "P256VERIFY", "GPU"}
    assert all(finding.says and finding.next_step for finding in missing.values())
    assert "make setup" in missing["Anvil"].next_step


def test_a_charter_is_made_from_data_and_a_model_of_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = str(tmp_path / "federation.json")
    made = ("participant", "charter", path, "--dataset", "digits", "--model", "softmax-8x8", "--name", "ours")
    assert run(monkeypatch, *made) == 0
    softmax = "participant.trainers.softmax:SoftmaxTrainer"
    model = str(tmp_path / "genesis.model")
    assert run(monkeypatch, "participant", "genesis", model, "--charter", path, "--trainer", softmax) == 0
    assert Path(model).stat().st_size == 4 * 650
    assert run(monkeypatch, *made, "--kem", "rsa") == 1
    assert "one of mlkem768-x25519, x25519" in capsys.readouterr().err
