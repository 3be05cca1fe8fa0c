"""Set leaves as the ledger reads them: the Update that one stands for, and whether its participant signed it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from protocol_examples import DOMAIN, KEY, PARTICIPANT, SPEC, UPDATE, some

from protocol import keys
from protocol.messages import Update
from protocol.outcomes import Reason
from protocol.signed_leaves import is_signed, update_of
from protocol.trees import SetLeaf


def leaf(update: Update, key: bytes = KEY) -> bytes:
    """A counted set leaf with the update's root and samples, and a signature of it."""
    signature = keys.sign(key, update.digest(DOMAIN))
    return SetLeaf(update_root=UPDATE.update_root, samples=UPDATE.samples, signature=signature).encode()


def test_all_but_root_and_samples_follow_from_spec_and_participant() -> None:
    assert update_of(SPEC, PARTICIPANT, root=UPDATE.update_root, samples=UPDATE.samples) == UPDATE


def test_a_leaf_with_its_participants_signature_is_signed() -> None:
    assert is_signed(SPEC, DOMAIN, PARTICIPANT, leaf(UPDATE)) is True


@pytest.mark.parametrize(
    "data",
    [
        leaf(UPDATE, some("another key")),
        leaf(replace(UPDATE, samples=UPDATE.samples + 1)),
        leaf(replace(UPDATE, round_id=UPDATE.round_id + 1)),
        leaf(UPDATE)[:36] + bytes(65),
        leaf(UPDATE)[:-1],
        leaf(UPDATE) + b"\0",
        SetLeaf(reason=Reason.UNDELIVERED).encode(),
        b"",
    ],
    ids=["another's", "of other samples", "of another round", "no signature", "short", "long", "not counted", "empty"],
)
def test_no_other_leaf_is(data: bytes) -> None:
    assert is_signed(SPEC, DOMAIN, PARTICIPANT, data) is False
