"""Each attack changes exactly what it says; an honest participant changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from participant.attacks import ATTACKS, Attack, parse_attack
from participant.data import Samples
from protocol.errors import EncodingError, RangeError, UnknownNameError

VECTOR = np.linspace(-1, 1, 1000)
ROW = np.arange(-5, 5, dtype=np.int16)
SAMPLES = Samples(features=np.zeros((3, 2)), labels=np.array([0, 1, 9]))


def generator() -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(1))


def changed(attack: Attack) -> set[str]:
    """Which hooks do something."""
    hooks = set()
    if attack.samples(SAMPLES, 10).labels.tolist() != [0, 1, 9]:
        hooks.add("samples")
    if not np.array_equal(attack.vector(VECTOR, generator()), VECTOR):
        hooks.add("vector")
    if not np.array_equal(attack.row(ROW), ROW):
        hooks.add("row")
    if attack.payload(b"new", b"old") != b"new":
        hooks.add("payload")
    return hooks


def test_every_attack_changes_one_thing_and_the_honest_one_nothing() -> None:
    assert {name: changed(parse_attack(name)) for name in ATTACKS} == {
        "sign-flip": {"vector"},
        "noise": {"vector"},
        "label-flip": {"samples"},
        "replay": {"payload"},
        "malformed": {"payload"},
        "nan": {"row"},
    }
    assert changed(parse_attack(None)) == set()


def test_sign_flip_is_minus_four_times_the_own_update_unless_told_otherwise() -> None:
    assert np.array_equal(parse_attack("sign-flip").vector(VECTOR, generator()), -4 * VECTOR)
    assert np.array_equal(parse_attack("sign-flip:0.5").vector(VECTOR, generator()), -0.5 * VECTOR)


def test_noise_is_as_long_as_told_and_seeded() -> None:
    noise = parse_attack("noise:3").vector(VECTOR, generator())
    assert np.linalg.norm(noise) == pytest.approx(3 * np.linalg.norm(VECTOR))
    assert np.array_equal(noise, parse_attack("noise:3").vector(VECTOR, generator()))


def test_flipped_labels_are_mirrored() -> None:
    assert parse_attack("label-flip").samples(SAMPLES, 10).labels.tolist() == [9, 8, 0]


def test_a_replay_has_nothing_to_repeat_in_its_first_round() -> None:
    assert parse_attack("replay").payload(b"new", None) == b"new"
    assert parse_attack("replay").payload(b"new", b"old") == b"old"


def test_a_nan_row_is_all_minus_32768() -> None:
    assert set(parse_attack("nan").row(ROW).tolist()) == {-32768}


def test_malformed_bytes_keep_their_length() -> None:
    assert parse_attack("malformed").payload(b"\x00\xff", None) == b"\xff\x00"


def test_what_can_not_be_admitted_is_marked() -> None:
    marked = {name for name in ATTACKS if not parse_attack(name).admissible}
    assert marked == {"replay", "malformed", "nan"}


def test_an_unknown_attack_names_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="label-flip, malformed, nan, noise, replay, sign-flip, got alie"):
        parse_attack("alie")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("label-flip:2", EncodingError),
        ("sign-flip:x", EncodingError),
        ("sign-flip:0", RangeError),
        ("noise:inf", RangeError),
    ],
)
def test_a_wrong_factor_is_refused(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        parse_attack(text)
