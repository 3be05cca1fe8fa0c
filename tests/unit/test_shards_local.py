"""A round's numbers from rows in files: those of one piece, however they are cut; what is no rows is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import veriflock
from coordinator.enclave.rules import aggregate, totals
from coordinator.shards import LocalRunner, Recomputed, open_rows, recompute
from coordinator.shards.parts import split
from coordinator.shards.subtrees import Growing, Subtree, perfect
from protocol import merkle, trees
from protocol.errors import (
    MalformedError,
    PolicyError,
    RangeError,
    TooFewCountedError,
    UnavailableError,
    VeriflockError,
)
from protocol.fixedpoint import Int16, Int64
from protocol.hashing import sha256
from protocol.rulebook import needs_gram, parse_chain

SEED = bytes(range(32))
CHAINS = [
    *("mean", "weighted-mean", "median", "trimmed-mean", "meamed", "krum", "multi-krum", "bulyan", "mda"),
    *(
        "geometric-median",
        "centred-clipping:900000",
        "nnm+krum",
        "arc+bucketing:2+trimmed-mean",
        "clip:70000+nnm+median",
    ),
    *("nnm+clip:90000+multi-krum", "arc+geometric-median"),
]


class Cut(LocalRunner):
    """This process, with the rows cut as for several workers."""

    def __init__(self, workers: int) -> None:
        self.workers = workers


def random_rows(k: int, d: int) -> Int16:
    return np.random.default_rng(d).integers(-3000, 3001, (k, d)).astype(np.int16)


def save(folder: Path, rows: Int16) -> Path:
    np.save(folder / "rows.npy", rows)
    return folder / "rows.npy"


def weights_of(chain: str, k: int) -> Int64 | None:
    return np.arange(1, k + 1, dtype=np.int64) if chain == "weighted-mean" else None


def values(found: Recomputed) -> dict[str, Any]:
    return {
        "column root": found.column_root.hex(),
        "Gram root": found.gram_root and found.gram_root.hex(),
        "aggregate": sha256(found.aggregate.astype("<i4").tobytes()).hex(),
        "selected": found.selected.tolist(),
        "kept": found.kept.tolist(),
        "deviation": found.deviation.tolist(),
        "alignment": found.alignment.tolist(),
    }


def in_one_piece(chain: str, rows: Int16) -> dict[str, Any]:
    """The same by the enclave's rules and the trees of the protocol, with all in memory."""
    made = aggregate(chain, rows, f=2, weights=weights_of(chain, len(rows)), seed=SEED)
    running = totals(rows, made)
    return {
        "column root": trees.column_root(rows, made.aggregate, running).hex(),
        "Gram root": trees.gram_root(rows).hex() if needs_gram(parse_chain(chain).number) else None,
        "aggregate": sha256(made.aggregate.astype("<i4").tobytes()).hex(),
        "selected": made.selected.tolist(),
        "kept": running.kept[-1].tolist(),
        "deviation": running.deviation[-1].tolist(),
        "alignment": running.alignment[-1].tolist(),
    }


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("d", [5, 4096 * 9 + 77])
def test_however_the_rows_are_cut_the_numbers_are_those_of_one_piece(tmp_path: Path, chain: str, d: int) -> None:
    rows = random_rows(11, d)
    files, expected = open_rows(save(tmp_path, rows)), in_one_piece(chain, rows)
    for workers in (1, 2, 3, 5):
        found = recompute(files, parse_chain(chain), f=2, weights=weights_of(chain, 11), seed=SEED, runner=Cut(workers))
        assert values(found) == expected


def test_parts_are_whole_chunks_and_make_up_all_coordinates() -> None:
    assert split(1, 8) == [slice(0, 1)]
    assert split(8192, 4) == [slice(0, 4096), slice(4096, 8192)]
    assert split(20000, 2) == [slice(0, 12288), slice(12288, 20000)]
    assert split(20000, 3) == [slice(0, 8192), slice(8192, 16384), slice(16384, 20000)]


# --- subtrees ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 13, 64, 100])
def test_runs_of_leaves_that_lie_side_by_side_have_the_root_of_all(size: int) -> None:
    leaves = [merkle.leaf_hash(1, bytes([i])) for i in range(size)]
    for cuts in ([0], sorted({0, size // 3}), sorted({0, min(1, size - 1), size // 2, size - 1}), list(range(size))):
        growing = Growing()
        for first, stop in zip(cuts, [*cuts[1:], size], strict=True):
            runs = perfect(first, stop)
            growing.extend(Subtree(height, merkle.root(leaves[at : at + (1 << height)])) for at, height in runs)
        assert growing.root == merkle.root(leaves)


def test_a_run_is_made_of_few_perfect_subtrees() -> None:
    assert list(perfect(0, 13)) == [(0, 3), (8, 2), (12, 0)]
    assert list(perfect(3, 13)) == [(3, 0), (4, 2), (8, 2), (12, 0)]
    assert list(perfect(0, 13, tallest=2)) == [(0, 2), (4, 2), (8, 2), (12, 0)]
    assert list(perfect(5, 5)) == []


# --- rows in files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["10.npy", "9", "0.row"], ["0.row", "9", "10.npy"]),
        (["b.npy", "a10", "a9"], ["a10", "a9", "b.npy"]),
    ],
)
def test_a_folder_has_a_row_in_every_file_by_number_or_by_name(
    tmp_path: Path, names: list[str], order: list[str]
) -> None:
    rows = random_rows(3, 77)
    (tmp_path / ".hidden").write_bytes(b"no row")
    for name in names:
        row = rows[order.index(name)]
        if name.endswith(".npy"):
            np.save(tmp_path / name, row)
        else:
            (tmp_path / name).write_bytes(row.astype("<i2").tobytes())
    files = open_rows(tmp_path)
    assert (files.count, files.dimension) == (3, 77)
    assert np.array_equal(np.stack(files.map()), rows)


def wide(path: Path) -> None:
    np.save(path, np.zeros((3, 4), dtype=np.int32))


def swapped(path: Path) -> None:
    np.save(path, np.zeros((3, 4), dtype=">i2"))


def flat(path: Path) -> None:
    np.save(path, np.zeros(4, dtype=np.int16))


def empty(path: Path) -> None:
    np.save(path, np.zeros((0, 4), dtype=np.int16))


def objects(path: Path) -> None:
    np.save(path, np.array([{}], dtype=object))


def archive(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, rows=np.zeros((3, 4), dtype=np.int16))


def cut_short(path: Path) -> None:
    np.save(path, np.zeros((3, 4), dtype=np.int16))
    path.write_bytes(path.read_bytes()[:-1])


def nothing(path: Path) -> None:
    path.write_bytes(b"")


def two_lengths(path: Path) -> None:
    path.mkdir()
    (path / "0").write_bytes(bytes(8))
    (path / "1").write_bytes(bytes(6))


def half_a_coordinate(path: Path) -> None:
    path.mkdir()
    (path / "0").write_bytes(bytes(7))


def a_matrix_as_row(path: Path) -> None:
    path.mkdir()
    np.save(path / "0.npy", np.zeros((3, 4), dtype=np.int16))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (wide, "expected int16, got int32"),
        (swapped, "expected int16, got >i2"),
        (flat, r"expected a matrix \(k, d\), not empty, got shape \(4,\)"),
        (empty, r"expected a matrix \(k, d\), not empty, got shape \(0, 4\)"),
        (objects, "expected a .npy file of int16"),
        (archive, "expected int16, got an archive"),
        (cut_short, "expected a .npy file of int16"),
        (nothing, "expected a .npy file of int16"),
        (two_lengths, "expected 4, got 3"),
        (half_a_coordinate, "expected two for every coordinate, got 7"),
        (a_matrix_as_row, r"expected a vector \(d,\), not empty, got shape \(3, 4\)"),
    ],
)
def test_what_is_no_rows_is_refused_with_what_came(tmp_path: Path, make: Callable[[Path], None], says: str) -> None:
    path = tmp_path / "given.npy"
    make(path)
    with pytest.raises(MalformedError, match=says):
        open_rows(path)


def test_nothing_is_not_available(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="nothing is at"):
        open_rows(tmp_path / "rows.npy")
    with pytest.raises(UnavailableError, match="no rows in"):
        open_rows(tmp_path)


def test_a_file_that_changed_since_it_was_opened_is_refused(tmp_path: Path) -> None:
    files = open_rows(save(tmp_path, random_rows(3, 20)))
    save(tmp_path, random_rows(3, 21))
    with pytest.raises(MalformedError, match=r"expected \(3, 20\), got \(3, 21\)"):
        files.map()


@pytest.mark.parametrize(
    ("chain", "k", "error", "says"),
    [
        ("krum", 6, TooFewCountedError, "expected at least 7, got 6"),
        ("fltrust", 6, PolicyError, "expected a rule without a trusted row"),
        ("weighted-mean", 6, MalformedError, "expected weights, got none"),
    ],
)
def test_what_no_round_could_have_is_refused(
    tmp_path: Path, chain: str, k: int, error: type[VeriflockError], says: str
) -> None:
    with pytest.raises(error, match=says):
        recompute(open_rows(save(tmp_path, random_rows(k, 20))), parse_chain(chain), f=2)


def test_a_coordinate_that_no_update_has_is_refused(tmp_path: Path) -> None:
    rows = random_rows(3, 20)
    rows[1, 17] = -32768
    with pytest.raises(RangeError, match="a coordinate of row 1: expected -32767 to 32767, got -32768"):
        recompute(open_rows(save(tmp_path, rows)), parse_chain("mean"), f=0)


# --- the command ------------------------------------------------------------------------------------------------------


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
        (("--rule", "nmm+krum", "--f", 1), 1, "unknown stage before a rule: expected one of arc, bucketing, clip, nnm"),
        (("--rule", "krum", "--f", 2), 1, "expected at least 7, got 3"),
        (("--rule", "median", "--f", 1, "--format", "xml"), 2, "expected text or json"),
        (("--rule", "median", "--f", 1, "--engine", "spark"), 2, "expected local or ray"),
        (("--rule", "median", "--f", 1, "--workers", 2), 2, "--workers and --cluster are for --engine ray"),
        (("--rule", "bucketing:2+mean", "--f", 1), 2, "bucketing needs the round's seed"),
        (("--rule", "bucketing:2+mean", "--f", 1, "--seed", "12"), 2, "expected 64 hexadecimal digits"),
        (("--rule", "weighted-mean", "--f", 1, "--weights", "1,2"), 1, "expected 3, one for every row, got 2"),
        (
            ("--rule", "weighted-mean", "--f", 1, "--weights", "1,2,x"),
            2,
            "expected decimal numbers with commas between",
        ),
        (
            ("--rule", "weighted-mean", "--f", 1, "--weights", "1,2,0"),
            1,
            "weight of a row: expected 1 to 16777215, got 0",
        ),
        (("--rule", "median", "--f", 1, "--slots", "0,2,1"), 1, "slots of the rows: expected 3 in ascending order"),
    ],
)
def test_what_is_asked_wrongly_is_answered_in_one_line(
    tmp_path: Path, run: Run, words: Sequence[object], code: int, says: str
) -> None:
    found, out, errors = run(save(tmp_path, random_rows(3, 20)), *words)
    assert (found, out) == (code, "")
    assert says in errors
    assert "Traceback" not in errors


def test_without_ray_the_command_says_how_to_get_it(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    path = save(tmp_path, random_rows(3, 20))
    found = run(path, "--rule", "median", "--f", 1, "--engine", "ray")
    assert found == (2, "", "error: ray is not installed; pip install 'veriflock[ray]'\n")
