"""A Nitro document has one form; each test writes one part of message, document or envelope in another.

Everything is signed again by the leaf: only the form can be noticed, and step 1 notices it.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from protocol.attestation.nitro import MAX_CHAIN, MAX_DOCUMENT_BYTES, MAX_NITRO_BYTES, verify_nitro
from protocol.attestation.result import Verified
from protocol.errors import VerificationError
from tests.unit.nitro_world import (
    DERS,
    NOW_S,
    PCRS,
    Message,
    document,
    dstack_frame,
    encode,
    fields,
    nsm_response,
    trust,
)

DOCUMENT = document()


def verify(data: bytes) -> Verified:
    return verify_nitro(data, trust_store=trust(), now_s=NOW_S, nonce=None)


def refused(data: bytes, match: str) -> None:
    with pytest.raises(VerificationError, match=match) as caught:
        verify(data)
    assert caught.value.check == "quote 1"


# COSE


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"start": b"\x83"}, "start of a COSE_Sign1"),
        ({"start": b"\x85"}, "start of a COSE_Sign1"),
        ({"start": b"\x9f", "behind": b"\xff"}, "start of a COSE_Sign1"),
        ({"start": b"\xd1\x84"}, "start of a COSE_Sign1"),
        ({"start": b"\xd2\xd2\x84"}, "start of a COSE_Sign1"),
        ({"start": b"\xd8\x12\x84"}, "start of a COSE_Sign1"),
        ({"protected": bytes.fromhex("a1013826")}, "protected header"),
        ({"protected": bytes.fromhex("a1013906")}, "protected header"),
        ({"protected": bytes.fromhex("a20138220440")}, "start of a COSE_Sign1"),
        ({"protected": b""}, "start of a COSE_Sign1"),
        ({"unprotected": bytes.fromhex("a10440")}, "unprotected header"),
        ({"unprotected": bytes.fromhex("bfff")}, "unprotected header"),
        ({"unprotected": b"\xf6"}, "unprotected header"),
        ({"unprotected": b"\x80"}, "unprotected header"),
        ({"behind": b"\0"}, "bytes behind the COSE_Sign1"),
        ({"behind": b"\x40"}, "bytes behind the COSE_Sign1"),
        ({"signature": lambda signature: signature[:-1]}, "length of the document's signature"),
        ({"signature": lambda signature: signature + b"\0"}, "length of the document's signature"),
        ({"signature": lambda signature: b""}, "length of the document's signature"),
        ({"payload": b""}, "length of the payload"),
        ({"payload": bytes(MAX_DOCUMENT_BYTES + 1)}, "length of the payload"),
        ({"payload": encode(fields()) + b"\0"}, "bytes behind the document"),
        ({"payload": encode([])}, "kind of the document"),
    ],
)
def test_another_message_is_refused(changes: dict[str, object], match: str) -> None:
    refused(Message(**changes).encode(), match)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda data: data.replace(b"\xa0\x59", b"\xa0\x5a\0\0", 1), "in more bytes than it takes"),
        (lambda data: data.replace(b"\xa0\x59", b"\xa0\x5c", 1), "is reserved"),
        (lambda data: data.replace(b"\xa0\x59", b"\xa0\x5f", 1), "string in pieces"),
        (lambda data: data.replace(b"\xa0\x59", b"\xa0\x79", 1), "text in the COSE_Sign1"),
        (lambda data: data.replace(b"\x44\xa1\x01", b"\x58\x04\xa1\x01", 1), "start of a COSE_Sign1"),
        (lambda data: data[:-1], "length of a value"),
        (lambda data: b"", "start of a COSE_Sign1"),
        (lambda data: data + bytes(MAX_NITRO_BYTES), "length of a Nitro document"),
    ],
)
def test_a_message_in_another_form_is_refused(change: Callable[[bytes], bytes], match: str) -> None:
    refused(change(DOCUMENT), match)


# The document's fields


@pytest.mark.parametrize("name", ["module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"])
def test_a_field_that_is_missing_is_refused(name: str) -> None:
    refused(document(**{name: ...}), "fields of the document")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"extra": None}, "fields of the document"),
        ({"digest": "SHA256"}, "digest of the document"),
        ({"digest": b"SHA384"}, "digest of the document"),
        ({"module_id": ""}, "module id and time"),
        ({"module_id": b"i-0"}, "kind of the module id"),
        ({"timestamp": 0}, "module id and time"),
        ({"timestamp": -1}, "module id and time"),
        ({"timestamp": str(NOW_S)}, "kind of the time"),
        ({"pcrs": {}}, "registers of the document"),
        ({"pcrs": []}, "kind of the registers"),
        ({"pcrs": PCRS | {32: bytes(48)}}, "number of a register"),
        ({"pcrs": PCRS | {-1: bytes(48)}}, "number of a register"),
        ({"pcrs": PCRS | {"0": bytes(48)}}, "number of a register"),
        ({"pcrs": PCRS | {0: bytes(32)}}, "length of the register 0"),
        ({"pcrs": PCRS | {0: bytes(64)}}, "length of the register 0"),
        ({"pcrs": PCRS | {0: b""}}, "length of the register 0"),
        ({"pcrs": PCRS | {0: None}}, "kind of the register 0"),
        ({"certificate": b""}, "length of the leaf"),
        ({"certificate": bytes(1025)}, "length of the leaf"),
        ({"certificate": None}, "kind of the leaf"),
        ({"cabundle": []}, "certificates of the document"),
        ({"cabundle": [DERS[0]] * (MAX_CHAIN + 1)}, "certificates of the document"),
        ({"cabundle": [b""]}, "length of the certificate"),
        ({"cabundle": [bytes(1025)]}, "length of the certificate"),
        ({"cabundle": DERS[0]}, "kind of the certificates"),
        ({"public_key": b""}, "length of the public_key"),
        ({"public_key": bytes(1025)}, "length of the public_key"),
        ({"public_key": "key"}, "kind of the public_key"),
        ({"user_data": bytes(513)}, "length of the user_data"),
        ({"nonce": bytes(513)}, "length of the nonce"),
        ({"nonce": 5}, "kind of the nonce"),
    ],
)
def test_a_field_in_another_form_is_refused(changes: dict[str, object], match: str) -> None:
    refused(document(**changes), match)


def test_a_field_that_is_there_twice_is_refused() -> None:
    payload = b"\xbf" + encode(fields())[1:] + encode("nonce") + encode(b"another") + b"\xff"
    refused(Message(payload=payload).encode(), "key in the document that is there twice")


# Envelopes


REPORT_DATA = bytes(range(64))
FRAME = dstack_frame(document(user_data=REPORT_DATA), report_data=REPORT_DATA)


def test_an_envelope_changes_nothing() -> None:
    expected = verify(document(user_data=REPORT_DATA)).measurements
    for data in (FRAME, nsm_response(document(user_data=REPORT_DATA))):
        verified = verify(data)
        assert (verified.measurements, verified.said["user_data"]) == (expected, REPORT_DATA)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (FRAME[:-1], "frame behind the document"),
        (FRAME + b"\0", "frame behind the document"),
        (FRAME.replace(b"\0" + REPORT_DATA, b"\4" + REPORT_DATA), "frame behind the document"),
        (FRAME.replace(b"os_image_hash", b"os_image_hasH"), "frame behind the document"),
        (FRAME.replace(b'hash":"', b'hash": "'), "frame behind the document"),
        (FRAME[:2], "length of the document in the frame"),
        (FRAME[:2] + b"\x08\0" + FRAME[4:], "length of the document in the frame"),
        (FRAME[:2] + b"\x01\x01" + FRAME[4:], "length of a value"),
        (FRAME[:2] + b"\xfd\xff" + FRAME[4:], "length of the document in the frame"),
        (b"\1" + FRAME[1:], "start of a COSE_Sign1"),
        (b"\0\1" + FRAME[2:], "start of a COSE_Sign1"),
        (FRAME[4:], "bytes behind the COSE_Sign1"),
        (dstack_frame(document(user_data=REPORT_DATA), report_data=bytes(64)), "frame behind the document"),
        (dstack_frame(document(user_data=b""), report_data=bytes(64)), "user data of a document in a frame"),
        (dstack_frame(document(), report_data=bytes(64)), "user data of a document in a frame"),
        (
            dstack_frame(document(user_data=REPORT_DATA), report_data=REPORT_DATA, pcrs=PCRS | {0: bytes(48)}),
            "frame behind the document",
        ),
        (nsm_response(DOCUMENT) + b"\0", "bytes behind the security module's response"),
        (nsm_response(DOCUMENT)[:-1], "length of a value"),
        (encode({"Attestation": {"document": "text"}}), "kind of the document in the security module's response"),
        (encode({"Error": "InvalidArgument"}), "start of a COSE_Sign1"),
        (encode({"Attestation": {"document": DOCUMENT, "more": 1}}), "start of a COSE_Sign1"),
    ],
)
def test_another_envelope_is_refused(data: bytes, match: str) -> None:
    refused(data, match)
