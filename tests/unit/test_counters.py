"""The platform's counters: epochs and versions of sealed state only go up, whatever dies in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.platform.counters import NOTHING, Counter, Counters
from protocol.errors import UnavailableError, VerificationError
from protocol.hashing import sha256

A, B = sha256(b"an instance"), sha256(b"another")
FIRST, SECOND, OTHER = sha256(b"first state"), sha256(b"second state"), sha256(b"other state")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "counters.cbor"


@pytest.fixture
def counters(path: Path) -> Counters:
    return Counters(path)


def test_an_epoch_is_counted_before_anybody_uses_it(counters: Counters, path: Path) -> None:
    assert counters.begin(A, fresh=True) == Counter(epoch=1, version=0, state=NOTHING)
    assert counters.begin(B, fresh=True).epoch == 1
    assert counters.begin(A, fresh=True).epoch == 2
    again = Counters(path)
    assert [again.begin(instance, fresh=False).epoch for instance in (A, B)] == [2, 1]


def test_there_is_nothing_to_resume_without_keys_before(counters: Counters) -> None:
    counters.begin(B, fresh=True)
    with pytest.raises(UnavailableError, match="no keys of this enclave to resume with"):
        counters.begin(A, fresh=False)


def test_a_state_that_follows_is_counted_for_good(counters: Counters, path: Path) -> None:
    counters.begin(A, fresh=True)
    counters.begin(B, fresh=True)
    counters.advance(A, version=1, previous=NOTHING, state=FIRST)
    counters.advance(A, version=2, previous=FIRST, state=SECOND)
    again = Counters(path)
    assert again.begin(A, fresh=False) == Counter(epoch=1, version=2, state=SECOND)
    assert again.begin(B, fresh=False) == Counter(epoch=1, version=0, state=NOTHING)


@pytest.mark.parametrize(
    ("version", "previous"),
    [(1, NOTHING), (1, FIRST), (3, FIRST), (2, NOTHING), (2, OTHER), (0, FIRST)],
    ids=["the same again", "the same after itself", "one left out", "after nothing", "after another", "back to zero"],
)
def test_a_state_that_does_not_follow_is_not_counted(counters: Counters, version: int, previous: bytes) -> None:
    counters.begin(A, fresh=True)
    newest = counters.advance(A, version=1, previous=NOTHING, state=FIRST)
    with pytest.raises(VerificationError, match="version of sealed state"):
        counters.advance(A, version=version, previous=previous, state=OTHER)
    assert counters.begin(A, fresh=False) == newest


def test_fresh_keys_have_no_state_yet(counters: Counters) -> None:
    counters.begin(A, fresh=True)
    counters.advance(A, version=1, previous=NOTHING, state=FIRST)
    assert counters.begin(A, fresh=True) == Counter(epoch=2, version=0, state=NOTHING)


def test_an_instance_that_never_began_counts_nothing(counters: Counters) -> None:
    with pytest.raises(VerificationError, match="expected none"):
        counters.advance(A, version=1, previous=NOTHING, state=FIRST)


@pytest.mark.parametrize("damage", [b"", b"\xff", b"\xa1\x61x\x01"], ids=["empty", "no CBOR", "no counters"])
def test_damaged_counters_are_not_begun_again_from_zero(counters: Counters, path: Path, damage: bytes) -> None:
    counters.begin(A, fresh=True)
    path.write_bytes(damage)
    for fresh in (True, False):
        with pytest.raises(UnavailableError, match=r"counters\.cbor is damaged"):
            counters.begin(A, fresh=fresh)
