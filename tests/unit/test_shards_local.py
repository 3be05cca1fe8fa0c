"""A round's numbers from rows in files: those of one piece, however they are cut; what is no rows is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coordinator.shards import LocalRunner, Recomputed, open_round, open_rows, recompute
from coordinator.shards.parts import split
from coordinator.shards.subtrees import Growing, Subtree, perfect
from protocol import merkle
from protocol.errors import (
    MalformedError,
    PolicyError,
    RangeError,
    TooFewCountedError,
    UnavailableError,
    VeriflockError,
)
from protocol.hashing import sha256
from protocol.rulebook import parse_chain
from tests.support.rows_in_files import SEED, in_one_piece, publish, random_rows, save, weights_of

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
    ("names", "order", "slots"),
    [
        (["10.npy", "9", "0.npy"], ["0.npy", "9", "10.npy"], (0, 9, 10)),
        (["65535", "007.npy", "12"], ["007.npy", "12", "65535"], (7, 12, 65535)),
        (["b.npy", "a10.npy", "a9.npy"], ["a10.npy", "a9.npy", "b.npy"], None),
        (["b.npy", "10", "9.npy"], ["10", "9.npy", "b.npy"], None),
    ],
)
def test_a_folder_has_a_row_in_every_file_whose_number_is_its_slot(
    tmp_path: Path, names: list[str], order: list[str], slots: tuple[int, ...] | None
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
    assert (files.count, files.dimension, files.slots) == (3, 77, slots)
    assert np.array_equal(np.stack(files.map()), rows)


def test_a_run_folder_has_the_counted_rows_of_a_round_and_their_slots(tmp_path: Path) -> None:
    rows = random_rows(3, 77)
    publish(tmp_path, {0: rows[0], 3: rows[1], 4: rows[2]}, 7)
    files = open_round(tmp_path, 7)
    assert (files.count, files.dimension, files.slots) == (3, 77, (0, 3, 4))
    assert np.array_equal(np.stack(files.map()), rows)
    with pytest.raises(UnavailableError, match="no evidence of round 8"):
        open_round(tmp_path, 8)
    (tmp_path / "artifacts/rounds/7.cbor").rename(tmp_path / "artifacts/rounds/8.cbor")
    with pytest.raises(RangeError, match=r"round of .*8\.cbor: expected 8, got 7"):
        open_round(tmp_path, 8)


def test_a_round_whose_rows_are_not_public_has_none_here(tmp_path: Path) -> None:
    publish(tmp_path, {}, 7)
    with pytest.raises(UnavailableError, match="round 7 has no rows"):
        open_round(tmp_path, 7)


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


def a_slot_twice(path: Path) -> None:
    path.mkdir()
    (path / "01").write_bytes(bytes(8))
    np.save(path / "1.npy", np.zeros(4, dtype=np.int16))


def a_slot_too_high(path: Path) -> None:
    path.mkdir()
    (path / "0").write_bytes(bytes(8))
    (path / "65536").write_bytes(bytes(8))


def something_else_beside(path: Path) -> None:
    path.mkdir()
    (path / "0").write_bytes(bytes(8))
    (path / "README.md").write_bytes(bytes(8))


def a_folder_in_it(path: Path) -> None:
    (path / "0").mkdir(parents=True)


def floats(path: Path) -> None:
    np.save(path, np.zeros((3, 4), dtype=np.float32))


def half_a_zip(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04 and so on")


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
        (floats, r"expected int16 \(lab.rules aggregates floats: docs/arrays.md\), got float32"),
        (half_a_zip, r"expected a .npy file of int16, got other bytes, or not all$"),
        (objects, r"expected a .npy file of int16, got other bytes, or not all$"),
        (archive, r"expected a .npy file of int16, got other bytes, or not all$"),
        (cut_short, "expected a .npy file of int16"),
        (nothing, "expected a .npy file of int16"),
        (two_lengths, "expected 4, got 3"),
        (half_a_coordinate, "expected two for every coordinate, got 7"),
        (a_slot_twice, "expected one for every slot, got 01 and 1.npy"),
        (a_slot_too_high, "expected 0 to 65535, got 65536"),
        (something_else_beside, "expected .npy files, and .* named by their slot, got README.md"),
        (a_folder_in_it, "expected .npy files, and .* named by their slot, got 0"),
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
