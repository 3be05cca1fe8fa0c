"""`veriflock aggregate`: what it says, and in one line what was asked wrongly."""

from __future__ import annotations

import json
import re
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

import veriflock
from coordinator import aggregate_cli
from coordinator.enclave.rules import aggregate, totals
from protocol import trees
from protocol.fixedpoint import Int16
from protocol.hashing import sha256
from protocol.rulebook import RULE_PARAMETERS, STAGE_PARAMETERS
from tests.support.rows_in_files import in_one_piece, publish, random_rows, save

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `veriflock aggregate`: exit code, output, errors."""

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["veriflock", "aggregate", *map(str, words)])
        code = veriflock.run(veriflock.build("aggregate"))
        out, errors = capsys.readouterr()
        return code, out, errors

    return call


def test_the_command_says_what_a_result_must_say(tmp_path: Path, run: Run) -> None:
    rows = random_rows(9, 333)
    expected = in_one_piece("multi-krum", rows)
    code, out, errors = run(
        *(save(tmp_path, rows), "--rule", "multi-krum", "--f", 2, "--slots", "0,1,2,4,5,6,7,8,11"),
        *("--out", tmp_path / "aggregate.npy", "--format", "json"),
    )
    assert (code, errors) == (0, "")
    said = json.loads(out)
    assert said.pop("seconds") >= 0
    assert said == {
        "rule": "multi-krum",
        "f": 2,
        "m": 0,
        "dimension": 333,
        "column_root": "0x" + expected["column root"],
        "gram_root": "0x" + expected["Gram root"],
        "aggregate_sha256": expected["aggregate"],
        "rows": [
            {
                "slot": slot,
                "selected": expected["selected"][place],
                "kept": expected["kept"][place],
                "deviation": expected["deviation"][place],
                "alignment": expected["alignment"][place],
                "flagged": expected["alignment"][place] < 0,
            }
            for place, slot in enumerate((0, 1, 2, 4, 5, 6, 7, 8, 11))
        ],
        "engine": "local",
        "workers": 1,
    }
    written = np.load(tmp_path / "aggregate.npy", allow_pickle=False)
    assert written.dtype == np.int32
    assert sha256(written.astype("<i4").tobytes()).hex() == expected["aggregate"]


def test_the_command_says_it_to_people(tmp_path: Path, run: Run) -> None:
    rows = np.array([[3, -2, 5], [1, 2, 3], [-9, 0, 1]], dtype=np.int16)
    code, out, errors = run(save(tmp_path, rows), "--rule", "median", "--f", 1)
    expected = in_one_piece_with_f1(rows)
    assert (code, errors) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "median, f = 1: 3 rows of 3 coordinates"
    assert lines[1] == f"column root  0x{expected}"
    assert lines[2] == "Gram root    none: a round of this rule has no Gram tree"
    assert [line.split() for line in lines[4:8]] == [
        ["slot", "selected", "kept", "deviation", "alignment", "flagged"],
        ["0", "yes", "0", "12", "18", "no"],
        ["1", "yes", "2", "4", "10", "no"],
        ["2", "yes", "1", "104", "-6", "yes"],
    ]
    assert lines[8].endswith(" s, by this process")


def in_one_piece_with_f1(rows: Int16) -> str:
    made = aggregate("median", rows, f=1)
    return trees.column_root(rows, made.aggregate, totals(rows, made)).hex()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--rule", "median"), 2, "Missing option '--f'"),
        (("--rule", "nmm+krum", "--f", 1), 2, "unknown stage before a rule: expected one of arc, bucketing, clip, nnm"),
        (("--rule", "fltrust", "--f", 1), 2, "a round has no trusted row"),
        (("--rule", "mda", "--f", 33), 2, "expected at most 32, got 33"),
        (("--rule", "krum", "--f", 2), 1, "expected at least 7, got 3"),
        (("--rule", "median", "--f", 1, "--format", "xml"), 2, "expected text or json"),
        (("--rule", "median", "--f", 1, "--engine", "spark"), 2, "expected local or ray"),
        (("--rule", "median", "--f", 1, "--workers", 2), 2, "are for --engine ray"),
        (("--rule", "median", "--f", 1, "--timeout", 9), 2, "--timeout are for --engine ray"),
        (("--rule", "median", "--f", 1, "--m", 0), 2, "--m: median takes none; it is for multi-krum"),
        (("--rule", "median", "--f", 1, "--seed", "00"), 2, "--seed: median takes none"),
        (("--rule", "median", "--f", 1, "--weights", "1,2,3"), 2, "--weights: median takes none"),
        (("--rule", "median", "--f", 1, "--run", "runs/latest"), 2, "give ROWS, or --run and --round"),
        (("--rule", "bucketing:2+mean", "--f", 1), 2, "--seed: bucketing:2+mean needs the round's seed"),
        (("--rule", "bucketing:2+mean", "--f", 1, "--seed", "12"), 2, "expected 64 hexadecimal digits"),
        (("--rule", "weighted-mean", "--f", 1), 2, "--weights: weighted-mean needs every row's weight"),
        (("--rule", "weighted-mean", "--f", 1, "--weights", "1,2"), 2, "expected 3, one for every row, got 2"),
        (
            ("--rule", "weighted-mean", "--f", 1, "--weights", "1,2,x"),
            2,
            "expected decimal numbers with commas between",
        ),
        (
            ("--rule", "weighted-mean", "--f", 1, "--weights", "1,2,0"),
            2,
            "--weights: expected 1 to 16777215, got 0",
        ),
        (("--rule", "median", "--f", 1, "--slots", "0,2,1"), 2, "--slots: expected ascending numbers"),
        (("--rule", "median", "--f", 1, "--slots", "0,2,65536"), 2, "--slots: expected 0 to 65535, got 65536"),
    ],
)
def test_what_is_asked_wrongly_is_answered_in_one_line(
    tmp_path: Path, run: Run, words: Sequence[object], code: int, says: str
) -> None:
    found, out, errors = run(save(tmp_path, random_rows(3, 20)), *words)
    assert (found, out) == (code, "")
    assert says in errors
    assert "Traceback" not in errors


def test_the_slots_of_numbered_files_are_their_numbers(tmp_path: Path, run: Run) -> None:
    for slot, row in zip((2, 5, 11), random_rows(3, 20), strict=True):
        np.save(tmp_path / f"{slot}.npy", row)
    words = (tmp_path, "--rule", "median", "--f", 1)
    assert [row["slot"] for row in json.loads(run(*words, "--format", "json")[1])["rows"]] == [2, 5, 11]
    found = run(*words, "--slots", "0,1,2")
    assert found == (2, "", "error: Invalid value for --slots: these rows say their slots themselves\n")


def test_a_round_of_a_run_folder_is_computed_with_its_slots(tmp_path: Path, run: Run) -> None:
    rows = random_rows(3, 77)
    publish(tmp_path, {0: rows[0], 3: rows[1], 4: rows[2]}, 7)
    asked = ("--rule", "median", "--f", 1, "--format", "json")
    said = json.loads(run("--run", tmp_path, "--round", 7, *asked)[1])
    assert [row["slot"] for row in said["rows"]] == [0, 3, 4]
    assert said["column_root"] == json.loads(run(save(tmp_path, rows), *asked)[1])["column_root"]


def test_nothing_is_overwritten_and_nothing_computed_for_a_file_that_can_t_be_written(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path, random_rows(3, 20))
    before = path.read_bytes()
    monkeypatch.setattr(aggregate_cli, "recompute", None)  # calling it would fail
    for out, says in ((path, "is there already"), (tmp_path / "nosuch" / "x.npy", "no folder that can be written to")):
        code, said, errors = run(path, "--rule", "median", "--f", 1, "--out", out)
        assert (code, said) == (2, "")
        assert says in errors
    assert path.read_bytes() == before


def test_what_was_computed_is_said_also_where_writing_it_fails(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    path, out = save(tmp_path, random_rows(3, 20)), tmp_path / "aggregate.npy"
    monkeypatch.setattr(np, "save", full)
    code, said, errors = run(path, "--rule", "median", "--f", 1, "--out", out)
    assert (code, errors) == (2, "error: [Errno 28] No space left on device\n")
    assert said.startswith("median, f = 1: 3 rows of 20 coordinates\n")
    assert list(tmp_path.iterdir()) == [path]


def test_the_help_names_every_rule_that_a_round_can_have(run: Run) -> None:
    words = set(re.findall(r"[a-z-]+", run("--help")[1]))
    assert {*RULE_PARAMETERS, *STAGE_PARAMETERS} - words == {"fltrust"}


@pytest.mark.parametrize(
    ("cluster", "says"),
    [
        ("127.0.0.1:{port}", "(Connection refused); start it, or leave --cluster out"),
        ("ray://127.0.0.1:{port}", "; expected HOST:PORT, as `ray start --head` prints it"),
        ("127.0.0.1:99999", "; expected HOST:PORT, as `ray start --head` prints it"),
    ],
)
def test_a_cluster_that_is_not_there_is_not_waited_for(tmp_path: Path, run: Run, cluster: str, says: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        cluster = cluster.format(port=taken.getsockname()[1])  # free again behind this block
    path = save(tmp_path, random_rows(3, 20))
    code, out, errors = run(path, "--rule", "median", "--f", 1, "--engine", "ray", "--cluster", cluster)
    assert (code, out) == (2, "")
    assert re.sub(r"\[Errno \d+\] ", "", errors).startswith(f"error: no Ray at {cluster}")
    assert says in re.sub(r"\[Errno \d+\] ", "", errors)


def test_without_ray_the_command_says_how_to_get_it(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    path = save(tmp_path, random_rows(3, 20))
    found = run(path, "--rule", "median", "--f", 1, "--engine", "ray")
    assert found == (2, "", "error: ray is not installed; in the source tree: pip install '.[ray]'\n")
