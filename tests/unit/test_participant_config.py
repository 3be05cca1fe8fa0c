"""Settings come from a file and from flags; what is unknown, missing or of another type is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from participant.cli import app
from participant.config import RunConfig, merge
from participant.trainers import DEFAULT_TRAINER
from protocol.errors import EncodingError, UnavailableError, UnknownNameError, VeriflockError

TEXT = """rpc = "http://127.0.0.1:8545"
ledger = "0x00"
coordinator = "https://127.0.0.1:8443"
key = "identity.key"
index = 3
participants = 10
seed = 1
"""


def write(folder: Path, text: str = TEXT) -> Path:
    path = folder / "participant.toml"
    path.write_text(text)
    return path


def test_a_file_is_enough_and_its_paths_are_relative_to_it(tmp_path: Path) -> None:
    config = merge(write(tmp_path), {})
    assert config == RunConfig(
        rpc="http://127.0.0.1:8545",
        ledger="0x00",
        coordinator="https://127.0.0.1:8443",
        key=tmp_path / "identity.key",
        index=3,
        participants=10,
        seed=1,
    )
    assert (config.trainer, config.split, config.attack, config.allow_simulated) == (
        DEFAULT_TRAINER,
        "iid",
        None,
        False,
    )


def test_a_flag_wins_and_one_that_was_not_given_does_not(tmp_path: Path) -> None:
    config = merge(write(tmp_path), {"index": 0, "seed": None, "join": False})
    assert (config.index, config.seed, config.join) == (0, 1, False)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(EncodingError, match="also coordinator, key, index, participants, seed"):
        merge(None, {"rpc": "x", "ledger": "y"})


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        ("rounds_total = 3", UnknownNameError, "unknown setting in participant.toml"),
        ('rounds = "3"', EncodingError, "setting rounds: expected an integer"),
        ("rounds = true", EncodingError, "setting rounds: expected an integer"),
        ("join = 1", EncodingError, "setting join: expected true or false"),
        ("ca = 1", EncodingError, "setting ca: expected a path"),
        ('poll_s = "1"', EncodingError, "setting poll_s: expected a number"),
        ("rounds =", EncodingError, "is not TOML"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        merge(write(tmp_path, TEXT + line), {})


def test_a_missing_file_is_could_not_tell(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError):
        merge(tmp_path / "none.toml", {})


def test_keygen_prints_the_address_of_a_key_that_is_then_there(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["keygen", str(tmp_path / "key")])
    assert done.exit_code == 0
    assert done.output.startswith("0x")
    assert len(done.output.strip()) == 42
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_the_histogram_adds_up() -> None:
    done = CliRunner().invoke(app, ["histogram", "--split", "label-sorted", "--participants", "4"])
    rows = [[int(word) for word in line.split()] for line in done.output.splitlines()[1:-1]]
    assert [row[0] for row in rows] == [0, 1, 2, 3]
    assert sum(row[1] for row in rows) == 1438
    assert all(sum(row[2:]) == row[1] for row in rows)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--attack", "alie"], "unknown attack: expected one of label-flip"),
        (["--split", "random"], "unknown split: expected one of dirichlet"),
        (["--trainer", "nothing"], "a trainer: expected package.module:Class"),
    ],
)
def test_an_unknown_name_is_refused_before_anything_is_started(tmp_path: Path, flags: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["run", "--config", str(write(tmp_path)), *flags])
    assert isinstance(done.exception, VeriflockError)
    assert str(done.exception).startswith(message)
