"""Data sets: bytes on disk to samples, a held-out part, and standardisation by the federation's integers.

Responsible for: digits and breast cancer from scikit-learn's bundled files, MNIST and Fashion-MNIST from IDX files.
Must not know:   participants, rounds, models.  No download ever; no scikit-learn import, only its data files.

Source: UCI optdigits and Breast Cancer Wisconsin (Diagnostic), as bundled by scikit-learn; the MNIST files' IDX format.
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocol.errors import EncodingError, LengthError, RangeError, UnavailableError, UnknownNameError
from protocol.hashing import sha256

HELD_OUT_SHARE = 5
"""One sample in five is held out of data sets that come without a test part of their own."""

MAX_FILE_BYTES = 1 << 28
"""No known data file is larger than 60,000 * 784 bytes unpacked; 256 MiB leaves room and stops a bomb."""

Q16 = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Samples:
    """Features and labels, one row each."""

    features: NDArray[Any]
    """(n, p): as read (uint8 or float64), or standardised (float32)."""

    labels: NDArray[np.int64]
    """(n,): class of each sample, 0 .. classes - 1."""

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.int64]) -> Samples:
        """The samples at the indices, in that order."""
        return Samples(features=self.features[indices], labels=self.labels[indices])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """A data set as read, parted into what is dealt to participants and what nobody trains on."""

    name: str
    shape: tuple[int, ...]
    """Shape of one sample; its product is p."""

    classes: int
    train: Samples
    held_out: Samples


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    shape: tuple[int, ...]
    classes: int
    read: Callable[[Path | None], tuple[Samples, Samples | None]]
    """Folder of the user's data files -> training samples and test samples; None: hold some of the first out."""


def load(name: str, folder: Path | None = None) -> Dataset:
    """The data set of that name, with its held-out part (always the same one).

    folder: where IDX files are (VERIFLOCK_DATA); digits and breast-cancer need none.
    Raises: UnknownNameError; UnavailableError when a file is not there; MalformedError when it is something else.
    """
    if name not in _SOURCES:
        raise UnknownNameError("dataset", known=list(_SOURCES), actual=name)
    source = _SOURCES[name]
    samples, test = source.read(folder)
    if test is None:
        samples, test = _hold_out(samples)
    for part in (samples, test):
        _check(part, name, source)
    return Dataset(name=name, shape=source.shape, classes=source.classes, train=samples, held_out=test)


def names() -> list[str]:
    """The names that `load` knows."""
    return list(_SOURCES)


def standardise(features: NDArray[Any], offsets_q16: Sequence[int], scales_q16: Sequence[int]) -> NDArray[np.float32]:
    """(x - offset) * scale with the federation's constants, both Q16 integers; (n, p) -> (n, p) float32.

    One constant of each for all features, or one per feature.  In binary64 and rounded once, so every machine gets
    the same inputs.

    Raises: LengthError when the constants are neither 1 nor p.
    """
    width = features.shape[1]
    for what, constants in (("offsets", offsets_q16), ("scales", scales_q16)):
        if len(constants) not in (1, width):
            raise LengthError(f"number of {what}", expected=f"1 or {width}", actual=len(constants))
    offsets = np.asarray(offsets_q16, dtype=np.float64) / Q16
    scales = np.asarray(scales_q16, dtype=np.float64) / Q16
    return ((features.astype(np.float64) - offsets) * scales).astype(np.float32)


def standardisation_q16(dataset: Dataset) -> tuple[list[int], list[int]]:
    """Offsets and scales for a federation that is being set up: mean 0 and deviation 1 over the training part.

    Images get one pair for all pixels (a pixel that never changes has no deviation), tables one per column.
    """
    features = dataset.train.features.astype(np.float64)
    axis = None if len(dataset.shape) > 1 else 0
    means = np.atleast_1d(features.mean(axis=axis))
    deviations = np.atleast_1d(features.std(axis=axis))
    scales = [round(Q16 / d) if d > 0 else Q16 for d in deviations.tolist()]
    return [round(m * Q16) for m in means.tolist()], scales


def histogram(labels: NDArray[np.int64], classes: int) -> list[int]:
    """How many samples each class has."""
    return [int(count) for count in np.bincount(labels, minlength=classes)]


def parse_idx(data: bytes) -> NDArray[np.uint8]:
    """An IDX file of unsigned bytes: 00 00 08, number of dimensions, each a big-endian u32, then the values.

    Raises: EncodingError, LengthError.  Nothing is allocated before the length is known to be right.
    """
    if len(data) < 4 or data[:3] != b"\x00\x00\x08" or not 1 <= data[3] <= 4:
        raise EncodingError("an IDX file", expected="00 00 08 and 1 to 4 dimensions", actual=data[:4])
    header = 4 + 4 * data[3]
    if len(data) < header:
        raise LengthError("length of an IDX header", expected=header, actual=len(data))
    shape = [int.from_bytes(data[at : at + 4]) for at in range(4, header, 4)]
    if len(data) != header + math.prod(shape):
        raise LengthError("length of an IDX file", expected=header + math.prod(shape), actual=len(data))
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)


def _digits(_folder: Path | None) -> tuple[Samples, None]:
    """1797 rows of 64 pixels (0 to 16) and a label, all written as decimal integers."""
    rows = list(csv.reader(_read(_bundled("digits.csv.gz")).decode("ascii").splitlines()))
    if len(rows) != 1797 or any(len(row) != 65 for row in rows):
        raise LengthError("rows and columns of digits.csv", expected="1797 of 65", actual=len(rows))
    values = np.array([[int(cell) for cell in row] for row in rows], dtype=np.int64)
    if values.min() < 0 or values.max() > 16:
        raise RangeError("a pixel of digits.csv", expected="0 to 16", actual=int(values.max()))
    return Samples(features=values[:, :64].astype(np.uint8), labels=values[:, 64]), None


def _breast_cancer(_folder: Path | None) -> tuple[Samples, None]:
    """A heading (569, 30, names of the classes), then 569 rows of 30 decimal numbers and a label."""
    heading, *rows = csv.reader(_read(_bundled("breast_cancer.csv")).decode("ascii").splitlines())
    if heading[:2] != ["569", "30"] or len(rows) != 569 or any(len(row) != 31 for row in rows):
        raise LengthError("rows and columns of breast_cancer.csv", expected="569 of 31", actual=len(rows))
    features = np.array([[float(cell) for cell in row[:30]] for row in rows], dtype=np.float64)
    labels = np.array([int(row[30]) for row in rows], dtype=np.int64)
    return Samples(features=features, labels=labels), None


def _idx(subfolder: str) -> Callable[[Path | None], tuple[Samples, Samples | None]]:
    def read(folder: Path | None) -> tuple[Samples, Samples | None]:
        if folder is None:
            raise UnavailableError(f"no folder for {subfolder}", "set VERIFLOCK_DATA to the folder that holds it")
        parts = []
        for part in ("train", "t10k"):
            images = parse_idx(_read(_plain_or_gz(folder / subfolder, f"{part}-images-idx3-ubyte")))
            labels = parse_idx(_read(_plain_or_gz(folder / subfolder, f"{part}-labels-idx1-ubyte")))
            parts.append(Samples(features=images.reshape(len(images), -1), labels=labels.astype(np.int64)))
        return parts[0], parts[1]

    return read


_SOURCES: dict[str, _Source] = {
    "digits": _Source(shape=(8, 8), classes=10, read=_digits),
    "breast-cancer": _Source(shape=(30,), classes=2, read=_breast_cancer),
    "mnist": _Source(shape=(28, 28), classes=10, read=_idx("mnist")),
    "fashion-mnist": _Source(shape=(28, 28), classes=10, read=_idx("fashion-mnist")),
}


def _bundled(name: str) -> Path:
    """A data file of the installed scikit-learn, found without importing it."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise UnavailableError("scikit-learn's data files are not there", "pip install 'veriflock[participant]'")
    return Path(next(iter(spec.submodule_search_locations))) / "datasets" / "data" / name


def _plain_or_gz(folder: Path, name: str) -> Path:
    plain = folder / name
    return plain if plain.exists() else folder / f"{name}.gz"


def _read(path: Path) -> bytes:
    """The whole file, unpacked where its name ends in .gz; at most MAX_FILE_BYTES."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        raise UnavailableError(f"data file {path} is not there", "put it there, or choose another dataset") from error
    except (EOFError, gzip.BadGzipFile) as error:
        raise EncodingError(f"data file {path.name} is not gzip") from error
    if len(data) > MAX_FILE_BYTES:
        raise LengthError(f"bytes of {path.name}", expected=f"at most {MAX_FILE_BYTES}")
    return data


def _hold_out(samples: Samples) -> tuple[Samples, Samples]:
    """Part the samples by the order of SHA-256(index): the same parts on every machine and with every NumPy."""
    order = sorted(range(len(samples)), key=lambda index: sha256(b"held out", index.to_bytes(4)))
    cut = len(samples) // HELD_OUT_SHARE
    held, rest = np.array(sorted(order[:cut]), dtype=np.int64), np.array(sorted(order[cut:]), dtype=np.int64)
    return samples.take(rest), samples.take(held)


def _check(samples: Samples, name: str, source: _Source) -> None:
    if samples.features.shape != (len(samples.labels), math.prod(source.shape)):
        raise LengthError(
            f"shape of {name}",
            expected=(len(samples.labels), math.prod(source.shape)),
            actual=samples.features.shape,
        )
    if samples.labels.min() < 0 or samples.labels.max() >= source.classes:
        raise RangeError(f"a label of {name}", expected=f"below {source.classes}", actual=int(samples.labels.max()))
