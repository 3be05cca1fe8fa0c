"""Rows in files, of which nobody reads more than it needs.

Responsible for: a matrix in one .npy, or a folder with a file for every row; refusing what is neither.
Must not know:   what is done with the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from protocol.errors import LengthError, MalformedError, UnavailableError
from protocol.fixedpoint import Int16


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

    In a folder every file is a row, by ascending name, or by ascending number where all names (up to the first dot) are
    numbers: a .npy with a vector of int16, or else its bare bytes, little-endian, as rounds are published.

    Raises: MalformedError, LengthError (what was expected, what came), UnavailableError (nothing is there), OSError.
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


def _folder(folder: Path) -> RowFiles:
    paths = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    if not paths:
        raise UnavailableError(f"no rows in {folder}", "put a file there for every row")
    numbers = {path: path.name.partition(".")[0] for path in paths}
    if all(name.isascii() and name.isdecimal() for name in numbers.values()):
        paths.sort(key=lambda path: (int(numbers[path]), path.name))
    else:
        paths.sort(key=lambda path: path.name)
    dimension = len(_vector(paths[0], None))
    for path in paths[1:]:
        _vector(path, dimension)
    return RowFiles(paths=tuple(paths), is_matrix=False, count=len(paths), dimension=dimension)


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
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise MalformedError(f"{path}", expected="a .npy file of int16", actual=str(error)) from error
    if not isinstance(array, np.ndarray) or array.dtype != np.dtype("<i2"):
        kind = array.dtype if isinstance(array, np.ndarray) else "an archive"
        raise MalformedError(f"values of {path}", expected="int16", actual=kind)
    return array
