"""Complaints travel in one form, and their signers are who signed them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from protocol_examples import DOMAIN, KEY, PARTICIPANT, some

from protocol import keys
from protocol.complaints import SignedComplaint, parse_complaint
from protocol.encoding import encode
from protocol.errors import EncodingError, LengthError, MalformedError
from protocol.messages import Unavailable

UNAVAILABLE = Unavailable(federation=some("federation"), round_id=7, result=some("result"))
SIGNED = SignedComplaint(unavailable=UNAVAILABLE, signature=keys.sign(KEY, UNAVAILABLE.digest(DOMAIN)))
MAP = {"unavailable": UNAVAILABLE.to_map(), "signature": SIGNED.signature}


def test_a_complaint_is_read_as_it_was_written() -> None:
    assert parse_complaint(SIGNED.encode()) == SIGNED
    assert SIGNED.encode() == encode(MAP)


def test_a_complaint_is_its_signers_on_this_ledger_only() -> None:
    assert SIGNED.signer(DOMAIN) == PARTICIPANT
    assert SIGNED.signer(replace(DOMAIN, chain_id=1)) != PARTICIPANT


def test_a_complaint_without_a_whole_signature_can_not_be_built() -> None:
    with pytest.raises(LengthError):
        replace(SIGNED, signature=SIGNED.signature[:-1])


@pytest.mark.parametrize(
    "value",
    [
        [MAP],
        {**MAP, "signer": PARTICIPANT},
        {"signature": SIGNED.signature},
        {**MAP, "unavailable": {**UNAVAILABLE.to_map(), "round": "7"}},
        {**MAP, "unavailable": {**UNAVAILABLE.to_map(), "blockHash": bytes(32)}},
        {**MAP, "signature": SIGNED.signature + b"\0"},
        {**MAP, "more": bytes(512)},
    ],
)
def test_a_file_with_one_defect_is_refused(value: object) -> None:
    with pytest.raises(MalformedError):
        parse_complaint(encode(value))


def test_bytes_after_the_complaint_are_refused() -> None:
    with pytest.raises(EncodingError):
        parse_complaint(SIGNED.encode() + b"\0")
