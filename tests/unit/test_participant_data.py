"""Data sets are read exactly, held-out samples stay held out, and inputs are standardised by integers alone."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from participant.data import histogram, load, names, parse_idx, standardisation_q16, standardise
from protocol.errors import EncodingError, LengthError, UnavailableError, UnknownNameError


def idx(array: np.ndarray) -> bytes:
    header = b"\0\0\x08" + bytes([array.ndim]) + b"".join(size.to_bytes(4) for size in array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_mnist(folder: Path, *, packed: bool = True) -> np.ndarray:
    images = np.arange(20 * 784).reshape(20, 28, 28).astype(np.uint8)
    for part in ("train", "t10k"):
        for kind, array in (("images-idx3", images), ("labels-idx1", np.arange(20) % 10)):
            data, name = idx(array), f"{part}-{kind}-ubyte"
            path = folder / "mnist" / (f"{name}.gz" if packed else name)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(gzip.compress(data) if packed else data)
    return images


def test_digits_are_all_there_and_a_fifth_is_held_out() -> None:
    digits = load("digits")
    both = np.concatenate([digits.train.labels, digits.held_out.labels])
    assert (len(digits.train), len(digits.held_out)) == (1438, 359)
    assert histogram(both, 10) == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # UCI's description of the file
    assert int(digits.train.features.sum()) + int(digits.held_out.features.sum()) == 561718
    assert digits.train.features.dtype == np.uint8


def test_breast_cancer_has_its_numbers_as_written() -> None:
    table = load("breast-cancer")
    both = np.concatenate([table.train.labels, table.held_out.labels])
    features = np.concatenate([table.train.features, table.held_out.features])
    assert histogram(both, 2) == [212, 357]  # malignant, benign
    assert [17.99, 10.38, 122.8, 1001.0] in features[:, :4].tolist()


def test_the_same_samples_are_held_out_every_time() -> None:
    assert np.array_equal(load("digits").held_out.features, load("digits").held_out.features)


def test_an_unknown_dataset_names_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="breast-cancer, digits, fashion-mnist, mnist, got cifar"):
        load("cifar")
    assert sorted(names()) == ["breast-cancer", "digits", "fashion-mnist", "mnist"]


@pytest.mark.parametrize("packed", [True, False])
def test_mnist_is_read_from_idx_files_packed_or_not(tmp_path: Path, packed: bool) -> None:
    images = write_mnist(tmp_path, packed=packed)
    mnist = load("mnist", tmp_path)
    assert np.array_equal(mnist.train.features, images.reshape(20, 784))
    assert mnist.train.labels.tolist() == mnist.held_out.labels.tolist() == [*range(10), *range(10)]


def test_mnist_without_its_folder_or_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="VERIFLOCK_DATA"):
        load("mnist")
    with pytest.raises(UnavailableError, match=r"train-images-idx3-ubyte\.gz is not there"):
        load("mnist", tmp_path)


def test_a_file_that_is_not_gzip_is_malformed(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    (tmp_path / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(b"no gzip")
    with pytest.raises(EncodingError, match="is not gzip"):
        load("mnist", tmp_path)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", EncodingError),
        (b"\0\0\x09\x01\0\0\0\x01\0", EncodingError),  # signed bytes
        (b"\0\0\x08\x05" + bytes(20), EncodingError),  # five dimensions
        (b"\0\0\x08\x02\0\0\0\x01", LengthError),  # header cut
        (b"\0\0\x08\x01\0\0\0\x02\0", LengthError),  # one value short
        (b"\0\0\x08\x01\0\0\0\x01\0\0", LengthError),  # one left over
        (b"\0\0\x08\x02\xff\xff\xff\xff\xff\xff\xff\xff", LengthError),  # a bomb
    ],
)
def test_a_wrong_idx_file_is_refused(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        parse_idx(data)


def test_standardised_training_inputs_have_mean_0_and_deviation_1() -> None:
    for name in ("digits", "breast-cancer"):
        dataset = load(name)
        offsets, scales = standardisation_q16(dataset)
        values = standardise(dataset.train.features, offsets, scales).astype(np.float64)
        axis = None if name == "digits" else 0
        assert len(offsets) == len(scales) == (1 if name == "digits" else 30)
        assert np.abs(values.mean(axis=axis)).max() < 0.01
        assert np.abs(values.std(axis=axis) - 1).max() < 0.01


def test_standardisation_is_exact_integers() -> None:
    values = standardise(np.array([[3, 5]], dtype=np.uint8), [65536, 131072], [32768, 65536])
    assert values.tolist() == [[1.0, 3.0]]
    assert values.dtype == np.float32


def test_constants_that_are_neither_one_nor_one_each_are_refused() -> None:
    with pytest.raises(LengthError, match="number of scales: expected 1 or 2, got 3"):
        standardise(np.zeros((1, 2)), [0], [1, 1, 1])
