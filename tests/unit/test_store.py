"""The store: what is durable, who may read it, and what is left of a write that died."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from coordinator.store import Store, parse_digest
from protocol.errors import EncodingError, LengthError, UnavailableError
from protocol.hashing import sha256


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "data") as opened:
        yield opened


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_record_reads_as_it_was_written_and_the_newest_counts(store: Store) -> None:
    store.write_record("outbox/1.cbor", {"a": 1})
    store.write_record("outbox/1.cbor", {"a": 2, "b": b"bytes"})
    assert store.read_record("outbox/1.cbor") == {"a": 2, "b": b"bytes"}
    assert store.record_names("outbox") == ["outbox/1.cbor"]
    store.delete_record("outbox/1.cbor")
    assert store.read_record("outbox/1.cbor") is None


def test_private_files_are_for_their_owner_only_and_public_ones_for_everybody(store: Store) -> None:
    store.write_record("chain.cbor", {})
    store.write_sealed("keys", b"sealed")
    name = store.write_upload(3, 1, b"update")
    digest = store.write_blob(b"model")
    store.write_evidence(3, b"evidence")
    modes = {path.relative_to(store.root).as_posix(): mode(path) for path in store.root.rglob("*") if path.is_file()}
    assert modes == {
        "lock": 0o600,
        "chain.cbor": 0o600,
        "sealed/keys": 0o600,
        f"uploads/3/{name}": 0o600,
        f"artifacts/blobs/{digest.hex()}": 0o644,
        "artifacts/rounds/3.cbor": 0o644,
    }
    assert mode(store.root) == 0o700


def test_a_second_coordinator_on_the_same_folder_is_told_what_to_do(store: Store) -> None:
    with pytest.raises(UnavailableError, match="in use by another coordinator; stop that one"):
        Store(store.root)


def test_the_lock_ends_with_its_holder(tmp_path: Path) -> None:
    with Store(tmp_path / "data"):
        pass
    with Store(tmp_path / "data") as again:
        assert again.read_sealed() == {}


def test_a_write_that_died_before_its_rename_leaves_the_old_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(tmp_path / "data") as store:
        store.write_record("chain.cbor", {"a": 1})

        def die(self: Path, target: Path) -> Path:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", die)
            with pytest.raises(KeyboardInterrupt):
                store.write_record("chain.cbor", {"a": 2})
        assert store.read_record("chain.cbor") == {"a": 1}


def test_what_a_killed_write_left_behind_is_swept_at_the_next_start(tmp_path: Path) -> None:
    with Store(tmp_path / "data") as store:
        store.write_upload(1, 0, b"update")
        leftover = store.root / "uploads" / "1" / ".tmp-0123"
        leftover.write_bytes(b"half an upd")
    with Store(tmp_path / "data") as store:
        assert not leftover.exists()
        assert [len(names) for names in store.uploads(1).values()] == [1]


def test_uploads_of_one_slot_stand_side_by_side_and_go_with_their_round(store: Store) -> None:
    first, second = store.write_upload(2, 4, b"one"), store.write_upload(2, 4, b"two")
    store.write_upload(3, 0, b"other round")
    assert store.uploads(2) == {4: sorted([first, second])}
    assert store.read_upload(2, first) == b"one"
    store.delete_upload(2, second)
    assert store.uploads(2) == {4: [first]}
    store.delete_uploads(2)
    assert (store.uploads(2), store.upload_rounds()) == ({}, [3])


def test_a_blob_is_named_by_its_digest_and_a_changed_one_is_not_served(store: Store) -> None:
    digest = store.write_blob(b"aggregate")
    assert (digest, store.read_blob(digest)) == (sha256(b"aggregate"), b"aggregate")
    (store.root / "artifacts" / "blobs" / digest.hex()).write_bytes(b"aggregatf")
    with pytest.raises(UnavailableError, match="the disk changed it"):
        store.read_blob(digest)


def test_a_model_is_found_by_its_root(store: Store) -> None:
    root = b"r" * 32
    assert store.read_model(root) is None
    assert store.write_model(root, b"model") == sha256(b"model")
    assert store.read_model(root) == b"model"


def test_a_name_that_leaves_its_folder_is_refused(store: Store) -> None:
    for name in ("../keys", "a/b", "", ".hidden", "a" * 101, "a\0b"):
        with pytest.raises(EncodingError, match="name of a stored file"):
            store.write_sealed(name, b"blob")
    assert store.read_sealed() == {}


def test_sealed_state_is_forgotten_as_a_whole(store: Store) -> None:
    store.write_sealed("keys", b"1")
    store.write_sealed("round", b"2")
    store.delete_sealed()
    assert store.read_sealed() == {}


def test_a_digest_in_a_path_has_one_form() -> None:
    assert parse_digest("ab" * 32) == b"\xab" * 32
    with pytest.raises(LengthError, match="expected 64, got 2"):
        parse_digest("ab")
    with pytest.raises(EncodingError):
        parse_digest("AB" * 32)
