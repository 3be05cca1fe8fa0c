"""A participant signs one update a round, whatever happens in between, and forgets no receipt."""

from __future__ import annotations

from pathlib import Path

import pytest

from participant.journal import Journal, Look, SentUpdate, StoredReceipt, new_key_file, read_key_file
from protocol.errors import EncodingError, PolicyError, UnavailableError
from protocol.evidence import RoundEvidence
from tests.unit.participant_world import FEDERATION, KEY, receipt
from verifier.evidence import FolderArtifacts

SENT = SentUpdate(payload=b"payload", sealed=b"sealed", signed=b"payload")


def test_a_restarted_participant_finds_the_update_that_it_may_have_sent(tmp_path: Path) -> None:
    Journal(tmp_path, FEDERATION).record_update(1, SENT)
    again = Journal(tmp_path, FEDERATION)
    assert again.update(1) == SENT
    assert again.open_rounds() == [1]
    assert again.update(2) is None


@pytest.mark.parametrize("field", ["payload", "sealed", "signed"])
def test_a_second_and_different_update_of_a_round_is_refused_and_the_first_one_stays(
    tmp_path: Path, field: str
) -> None:
    journal = Journal(tmp_path, FEDERATION)
    journal.record_update(1, SENT)
    journal.record_update(1, SENT)
    values = {"payload": SENT.payload, "sealed": SENT.sealed, "signed": SENT.signed, field: b"other"}
    with pytest.raises(PolicyError, match="a second update for round 1"):
        journal.record_update(1, SentUpdate(**values))
    assert journal.update(1) == SENT


def test_a_half_written_update_was_never_sent_and_does_not_count(tmp_path: Path) -> None:
    journal = Journal(tmp_path, FEDERATION)
    journal.record_update(1, SENT)
    path = next(tmp_path.rglob("update.cbor"))
    path.rename(path.with_suffix(".new"))  # what a death before the rename leaves behind
    assert Journal(tmp_path, FEDERATION).update(1) is None
    journal.record_update(1, SENT)
    assert journal.update(1) == SENT


def test_a_receipt_is_kept_as_it_was_signed(tmp_path: Path) -> None:
    made, signature = receipt(bytes(32))
    journal = Journal(tmp_path, FEDERATION)
    assert journal.receipt(1) is None
    journal.record_receipt(1, StoredReceipt(receipt=made, signature=signature))
    assert Journal(tmp_path, FEDERATION).receipt(1) == StoredReceipt(receipt=made, signature=signature)


def test_what_was_said_of_a_proposed_result_is_remembered_and_the_last_word_counts(tmp_path: Path) -> None:
    journal = Journal(tmp_path, FEDERATION)
    journal.record_update(1, SENT)
    assert journal.look(1) is None
    for is_complete in (False, True):
        look = Look(result=bytes(32), is_complete=is_complete)
        journal.record_look(1, look)
        assert Journal(tmp_path, FEDERATION).look(1) == look
    assert journal.open_rounds() == [1]  # its end is still to come


def test_evidence_is_kept_where_a_verifier_reads_it_and_is_no_round(tmp_path: Path) -> None:
    journal = Journal(tmp_path, FEDERATION)
    journal.record_update(1, SENT)
    zero = bytes(32)
    evidence = RoundEvidence(
        round_id=2, result=zero, base=zero, set_leaves=(b"leaf",), rows=(None,), aggregate=None, model=zero
    )
    journal.record_evidence(1, evidence)
    assert FolderArtifacts(journal.artifacts).evidence(1) == evidence.encode()
    assert journal.open_rounds() == [1]
    assert journal.first_payload(2) == SENT.signed


def test_a_closed_round_is_not_looked_at_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path, FEDERATION)
    for round_id in (1, 2, 10):
        journal.record_update(round_id, SENT)
    journal.record_closed(2, "round 2: settled")
    assert journal.open_rounds() == [1, 10]
    assert journal.is_closed(2)


def test_the_first_payload_is_that_of_an_earlier_round(tmp_path: Path) -> None:
    journal = Journal(tmp_path, FEDERATION)
    assert journal.first_payload(1) is None
    for round_id in (10, 9):
        journal.record_update(round_id, SentUpdate(payload=b"p", sealed=b"s", signed=b"signed %d" % round_id))
    assert journal.first_payload(9) is None
    assert journal.first_payload(10) == journal.first_payload(11) == b"signed 9"


def test_another_federation_has_rounds_of_its_own(tmp_path: Path) -> None:
    Journal(tmp_path, FEDERATION).record_update(1, SENT)
    assert Journal(tmp_path, bytes(32)).update(1) is None


def test_a_damaged_journal_is_refused_not_guessed(tmp_path: Path) -> None:
    journal = Journal(tmp_path, FEDERATION)
    journal.record_update(1, SENT)
    path = next(tmp_path.rglob("update.cbor"))
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(EncodingError):
        journal.update(1)


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    Journal(tmp_path, FEDERATION).record_update(1, SENT)
    assert next(tmp_path.rglob("update.cbor")).stat().st_mode & 0o777 == 0o600


def test_a_key_file_is_made_once_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "identity"
    new_key_file(path, KEY)
    assert read_key_file(path) == KEY
    assert path.read_text() == f"0x{KEY.hex()}\n"
    with pytest.raises(UnavailableError, match="a key is never replaced"):
        new_key_file(path, KEY)


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    new_key_file(tmp_path / "key", KEY)
    (tmp_path / "key").chmod(0o644)
    with pytest.raises(PolicyError, match="mode of key file"):
        read_key_file(tmp_path / "key")


@pytest.mark.parametrize("text", ["", "0x12", "zz" * 32, "ÿ" * 64, "0x" + "00" * 32])
def test_a_wrong_key_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(EncodingError) as caught:
        read_key_file(path)
    assert not text or text not in str(caught.value)


def test_a_missing_key_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="veriflock participant keygen"):
        read_key_file(tmp_path / "key")
