"""Rows in files, of which nobody reads more than it needs.

Responsible for: a matrix in one .npy, a folder with a file for every row, a round in a run folder; the slots that these
                 say; refusing what is none of them.
Must not know:   what is done with the rows.

Spec: docs/protocol.md section 8 (round evidence).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from protocol.errors import LengthError, MalformedError, RangeError, UnavailableError
from protocol.evidence import parse_evidence
from protocol.fixedpoint import Int16

MAX_SLOT = (1 << 16) - 1
"""A slot is a uint16."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFiles:
    """Where rows are: a small value, which goes to whoever is to read them.  Made by `open_rows`."""

    paths: tuple[Path, ...]
    """One .npy of all rows, or one file a row."""
    is_matrix: bool
    """Whether it is the former."""
    count: int
    """k, the number of rows."""
    dimension: int
    """d, the coordinates of each."""
    slots: tuple[int, ...] | None = None
    """The rows' slots, ascending, where their names or a round's evidence say them; else None."""

    def map(self) -> list[Int16]:
        """k vectors (d,) int16 in the files' memory: nothing is read before somebody looks at it.

        Raises: MalformedError, LengthError, OSError (a file that is another one by now, or gone).
        """
        if not self.is_matrix:
            return [_vector(path, self.dimension) for path in self.paths]
        matrix = _array(self.paths[0])
        if matrix.shape != (self.count, self.dimension):
            raise LengthError(
                f"shape of {self.paths[0]}", expected=(self.count, self.dimension), actual=tuple(matrix.shape)
            )
        return list(matrix)


def open_rows(path: Path) -> RowFiles:
    """The rows at a path: a .npy with a matrix (k, d) of int16, or a folder.

    In a folder every file is a row: a .npy with a vector of int16, or, named by digits alone, its bare bytes,
    little-endian, as rounds are published.  Where all names are numbers (3, 12.npy) they are the rows' slots; else rows
    are by ascending name, and nothing says their slots.

    Raises: MalformedError's leaves (what was expected, what came), UnavailableError (nothing is there), OSError.
    """
    path = path.absolute()
    if not path.exists():
        raise UnavailableError(f"nothing is at {path}", "name a .npy file, or a folder with a file for every row")
    if path.is_dir():
        return _folder(path)
    matrix = _array(path)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise MalformedError(f"{path}", expected="a matrix (k, d), not empty", actual=f"shape {matrix.shape}")
    k, d = matrix.shape
    return RowFiles(paths=(path,), is_matrix=True, count=k, dimension=d)


def open_round(run: Path, round_id: int) -> RowFiles:
    """The counted rows of a round in a run folder, with their slots.  Blobs are not compared with their names.

    Raises: as `open_rows`; UnavailableError where the round or its rows were not published.
    """
    artifacts = run.absolute() / "artifacts"
    file = artifacts / "rounds" / f"{round_id}.cbor"
    if not file.is_file():
        raise UnavailableError(f"no evidence of round {round_id} at {file}", "name a run folder, and a round of it")
    evidence = parse_evidence(file.read_bytes())
    if evidence.round_id != round_id:
        raise RangeError(f"round of {file}", expected=round_id, actual=evidence.round_id)
    named = {slot: row for slot, row in enumerate(evidence.rows) if row is not None}
    if not named:
        raise UnavailableError(f"round {round_id} has no rows in {run}", "rows are there where all may see them")
    return _vectors([artifacts / "blobs" / row.hex() for row in named.values()], tuple(named))


def _folder(folder: Path) -> RowFiles:
    paths = sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=lambda path: path.name)
    if not paths:
        raise UnavailableError(f"no rows in {folder}", "put a file there for every row")
    numbers: dict[int, Path] = {}
    for path in paths:
        number = path.name.removesuffix(".npy")
        is_number = number.isascii() and number.isdecimal()
        if not path.is_file() or not (is_number or path.suffix == ".npy"):
            wanted = ".npy files, and files of bare bytes that are named by their slot"
            raise MalformedError(f"what is in {folder}", expected=wanted, actual=path.name)
        if is_number and numbers.setdefault(int(number), path) != path:
            both = f"{numbers[int(number)].name} and {path.name}"
            raise MalformedError(f"rows in {folder}", expected="one for every slot", actual=both)
    if len(numbers) < len(paths):
        return _vectors(paths, None)
    if max(numbers) > MAX_SLOT:
        raise RangeError(f"slot of {numbers[max(numbers)]}", expected=f"0 to {MAX_SLOT}", actual=max(numbers))
    slots = tuple(sorted(numbers))
    return _vectors([numbers[slot] for slot in slots], slots)


def _vectors(paths: list[Path], slots: tuple[int, ...] | None) -> RowFiles:
    dimension = len(_vector(paths[0], None))
    for path in paths[1:]:
        _vector(path, dimension)
    return RowFiles(paths=tuple(paths), is_matrix=False, count=len(paths), dimension=dimension, slots=slots)


def _vector(path: Path, dimension: int | None) -> Int16:
    """One row, which has `dimension` coordinates unless that is None."""
    if path.suffix == ".npy":
        row = _array(path)
    else:
        size = path.stat().st_size
        if size == 0 or size % 2:
            raise LengthError(f"bytes of {path}", expected="two for every coordinate", actual=size)
        row = np.memmap(path, dtype="<i2", mode="r")
    if row.ndim != 1 or not row.size:
        raise MalformedError(f"{path}", expected="a vector (d,), not empty", actual=f"shape {row.shape}")
    if dimension not in (None, len(row)):
        raise LengthError(f"coordinates of {path}", expected=dimension, actual=len(row))
    return row


def _array(path: Path) -> Int16:
    """The array in a .npy, in the file's memory."""
    try:
        array = open_memmap(path, mode="r")
    except (ValueError, EOFError) as error:  # in NumPy's own words there is advice about pickled data
        raise MalformedError(f"{path}", expected="a .npy file of int16", actual="other bytes, or not all") from error
    if array.dtype != np.dtype("<i2"):
        wanted = "int16 (lab.rules aggregates floats: docs/arrays.md)" if array.dtype.kind == "f" else "int16"
        raise MalformedError(f"values of {path}", expected=wanted, actual=array.dtype)
    return array
