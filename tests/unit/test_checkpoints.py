"""Checkpoints travel in one form, and their signers are who signed them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from protocol_examples import DOMAIN, KEY, PARTICIPANT, some

from protocol import keys
from protocol.checkpoints import SignedCheckpoint, encode_checkpoints, parse_checkpoints
from protocol.encoding import encode
from protocol.errors import EncodingError, LengthError, MalformedError, SignatureError
from protocol.messages import Checkpoint

CHECKPOINT = Checkpoint(federation=some("federation"), round_id=7, result=some("result"), block_hash=some("block hash"))
SIGNED = SignedCheckpoint(checkpoint=CHECKPOINT, signature=keys.sign(KEY, CHECKPOINT.digest(DOMAIN)))


def test_a_file_of_checkpoints_is_read_as_it_was_written() -> None:
    other = replace(SIGNED, checkpoint=replace(CHECKPOINT, round_id=8))
    assert parse_checkpoints(encode_checkpoints([SIGNED, other])) == (SIGNED, other)
    assert parse_checkpoints(encode_checkpoints([])) == ()


def test_a_checkpoint_is_its_signers_on_this_ledger_only() -> None:
    assert SIGNED.signer(DOMAIN) == PARTICIPANT
    assert SIGNED.signer(replace(DOMAIN, ledger=some("another ledger", 20))) != PARTICIPANT


def test_a_checkpoint_without_a_whole_signature_can_not_be_built() -> None:
    with pytest.raises(LengthError):
        replace(SIGNED, signature=SIGNED.signature[:-1])


ITEM = {"checkpoint": CHECKPOINT.to_map(), "signature": SIGNED.signature}


@pytest.mark.parametrize(
    "value",
    [
        {"checkpoints": [ITEM]},
        [SIGNED.signature],
        [{**ITEM, "signer": PARTICIPANT}],
        [{"signature": SIGNED.signature}],
        [{**ITEM, "checkpoint": {**CHECKPOINT.to_map(), "round": "7"}}],
        [{**ITEM, "checkpoint": {**CHECKPOINT.to_map(), "more": 1}}],
        [{**ITEM, "signature": SIGNED.signature + b"\0"}],
    ],
)
def test_a_file_with_one_defect_is_refused(value: object) -> None:
    with pytest.raises(MalformedError):
        parse_checkpoints(encode(value))


def test_bytes_after_the_list_are_refused() -> None:
    with pytest.raises(EncodingError):
        parse_checkpoints(encode_checkpoints([SIGNED]) + b"\0")


def signatures(*names: str) -> tuple[list[bytes], bytes, bytes]:
    """(ascending signers, their signatures one after the other, what they signed)."""
    digest = CHECKPOINT.digest(DOMAIN)
    made = sorted((keys.address(some(name)), keys.sign(some(name), digest)) for name in names)
    return [signer for signer, _ in made], b"".join(signature for _, signature in made), digest


def test_several_signatures_are_of_several_signers() -> None:
    signers, joined, digest = signatures("a", "b", "c")
    assert keys.recover_all(digest, joined) == signers


def test_signers_out_of_order_twice_or_in_parts_are_refused() -> None:
    _, joined, digest = signatures("a", "b")
    for wrong in (b"", joined[:-1], joined[65:] + joined[:65], joined[:65] * 2, joined[:64] + b"\0" + joined[65:]):
        with pytest.raises(SignatureError):
            keys.recover_all(digest, wrong)
