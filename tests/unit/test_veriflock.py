"""The console command: what is mistyped is answered with what exists, and what is missing with how to get it."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

import veriflock
from coordinator.doctor import examine


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
