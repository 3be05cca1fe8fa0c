"""The chain of a Nitro document: each test changes one thing in one certificate, signs all again, and is refused.

The document itself is right and signed by the leaf's key every time: only the chain can notice.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from protocol.attestation.nitro import verify_nitro
from protocol.errors import VerificationError
from tests.unit.certificate_world import (
    NOW_S,
    TRUE,
    authority_key_id,
    constraints,
    extension,
    integer,
    key_id,
    name,
    new_key,
    public_bytes,
    subject_key_id,
    tlv,
    usage,
    utc,
)
from tests.unit.nitro_world import (
    AUTHORITY_USAGE,
    DERS,
    HOST,
    HOST_USAGE,
    KEYS,
    LEAF,
    LEAF_USAGE,
    P384,
    REGION,
    ROOT,
    ZONE,
    Message,
    certificates,
    document,
    encode,
    fields,
    trust,
    with_chain,
    with_extensions,
)

START_S = NOW_S - 3600
NOT_CRITICAL = extension("2.5.29.19", tlv(0x30))


def verify(data: bytes, now_s: int = NOW_S) -> int:
    return verify_nitro(data, trust_store=trust(), now_s=now_s, nonce=None).not_after_s


def refused(data: bytes, match: str, now_s: int = NOW_S) -> None:
    with pytest.raises(VerificationError, match=match) as caught:
        verify(data, now_s)
    assert caught.value.check == "quote 2"


def with_bundle(*ders: bytes) -> bytes:
    return document(cabundle=list(ders))


# Chains that hold


def test_a_chain_as_long_as_genuine_ones_holds() -> None:
    assert verify(document()) == START_S + 86400


def test_a_root_may_issue_the_leaf_itself() -> None:
    leaf = certificates()[LEAF]
    leaf.issuer, leaf.issuer_key = certificates()[ROOT].subject, KEYS[ROOT]
    assert verify(document(certificate=leaf.der(), cabundle=[DERS[ROOT]])) == START_S + 86400


@pytest.mark.parametrize(
    ("place", "extensions"),
    [
        (HOST, [authority_key_id(key_id(KEYS[ZONE])), subject_key_id(key_id(KEYS[HOST])), HOST_USAGE, constraints(0)]),
        (HOST, [HOST_USAGE, constraints(0)]),
        (LEAF, [authority_key_id(key_id(KEYS[HOST])), LEAF_USAGE, constraints(is_ca=False)]),
        (LEAF, [usage("0780"), constraints(is_ca=False)]),
        (REGION, [constraints(), AUTHORITY_USAGE, subject_key_id(key_id(KEYS[REGION]))]),
        (ZONE, [constraints(7), AUTHORITY_USAGE, subject_key_id(key_id(KEYS[ZONE])), extension("2.5.29.31", b"0\0")]),
    ],
)
def test_a_certificate_may_be_more_or_less_complete(place: int, extensions: list[bytes]) -> None:
    assert verify(with_extensions(place, *extensions)) == START_S + 86400


# The root


@pytest.mark.parametrize(
    "bundle",
    [
        DERS[:LEAF][::-1],
        (*DERS[REGION:LEAF], DERS[ROOT]),
        DERS[REGION:LEAF],
        (DERS[HOST],),
    ],
    ids=["reversed", "root last", "no root", "host alone"],
)
def test_the_root_is_the_first_and_no_other(bundle: tuple[bytes, ...]) -> None:
    refused(with_bundle(*bundle), "key of the root")


def test_a_strangers_chain_with_the_trusted_root_behind_it_is_refused() -> None:
    # A verifier that takes the last entry for the root, and believes the others on the way, would accept.
    key, leaf = new_key(P384), certificates()[LEAF]
    stranger = certificates()[ROOT]
    stranger.key = stranger.issuer_key = key
    stranger.extensions[1] = subject_key_id(key_id(key))
    leaf.issuer, leaf.issuer_key = stranger.subject, key
    data = document(certificate=leaf.der(), cabundle=[stranger.der(), DERS[ROOT]])
    refused(data, "key of the root")
    refused(document(certificate=leaf.der(), cabundle=[DERS[ROOT], stranger.der()]), "signature of the CA 1")


def test_a_root_with_the_trusted_name_and_another_key_is_refused() -> None:
    key = new_key(P384)
    parts = certificates()
    parts[ROOT].key = parts[ROOT].issuer_key = parts[REGION].issuer_key = key
    refused(with_bundle(parts[ROOT].der(), parts[REGION].der(), *DERS[ZONE:LEAF]), "key of the root")


def test_a_root_that_did_not_sign_itself_is_refused() -> None:
    refused(with_chain(ROOT, issuer_key=new_key(P384)), "signature of the root")


# Links


@pytest.mark.parametrize(
    ("bundle", "match"),
    [
        (DERS[:HOST], "issuer's name of the leaf"),
        ((*DERS[:ZONE], DERS[HOST]), "issuer's name of the CA 2"),
        ((DERS[ROOT], DERS[ZONE], DERS[REGION], DERS[HOST]), "constraints of the CA 1|issuer's name of the CA 1"),
        ((DERS[ROOT], DERS[ROOT], *DERS[REGION:LEAF]), "that is there twice"),
        ((*DERS[:LEAF], DERS[HOST]), "that is there twice"),
        (DERS, "that is there twice"),
    ],
    ids=["short", "gap", "swapped", "root twice", "host twice", "leaf as its own issuer"],
)
def test_certificates_that_do_not_follow_each_other_are_refused(bundle: tuple[bytes, ...], match: str) -> None:
    refused(with_bundle(*bundle), match)


@pytest.mark.parametrize(("place", "title"), [(REGION, "CA 1"), (ZONE, "CA 2"), (HOST, "CA 3"), (LEAF, "leaf")])
def test_a_certificate_that_its_issuer_did_not_sign_is_refused(place: int, title: str) -> None:
    refused(with_chain(place, issuer_key=new_key(P384)), f"signature of the {title}")
    refused(with_chain(place, issuer=name("somebody else")), f"issuer's name of the {title}")


@pytest.mark.parametrize(("place", "title"), [(REGION, "CA 1"), (ZONE, "CA 2"), (HOST, "CA 3"), (LEAF, "leaf")])
def test_an_identifier_that_is_there_has_to_be_the_issuers(place: int, title: str) -> None:
    others = [part for part in certificates()[place].extensions if bytes.fromhex("551d23") not in part]
    data = with_extensions(place, authority_key_id(b"another key"), *others)
    refused(data, f"authority key identifier of the {title}")


# Roles


@pytest.mark.parametrize(
    ("place", "extensions", "match"),
    [
        (ROOT, [constraints(is_ca=False), AUTHORITY_USAGE], "constraints of the root"),
        (REGION, [constraints(is_ca=False), AUTHORITY_USAGE], "constraints of the CA 1"),
        (HOST, [constraints(is_ca=False), HOST_USAGE], "constraints of the CA 3"),
        (REGION, [constraints(1), AUTHORITY_USAGE], "constraints of the CA 1"),
        (ZONE, [constraints(0), AUTHORITY_USAGE], "constraints of the CA 2"),
        (ROOT, [usage("0780"), constraints()], "key usage of the root"),
        (ZONE, [usage("0182"), constraints(1)], "key usage of the CA 2"),
        (HOST, [usage("0780"), constraints(0)], "key usage of the CA 3"),
        (LEAF, [constraints(0), LEAF_USAGE], "constraints of the leaf"),
        (LEAF, [constraints(), LEAF_USAGE], "constraints of the leaf"),
        (LEAF, [constraints(is_ca=False), usage("0640")], "key usage of the leaf"),
        (LEAF, [constraints(is_ca=False), usage("0284")], "key usage of the leaf"),
        (LEAF, [constraints(is_ca=False), usage("0182")], "key usage of the leaf"),
    ],
)
def test_a_certificate_in_the_wrong_role_is_refused(place: int, extensions: list[bytes], match: str) -> None:
    refused(with_extensions(place, *extensions), match)


def test_a_leaf_can_not_issue_a_leaf() -> None:
    # The owner of one enclave's key signs another leaf with it.
    key, second = new_key(P384), certificates()[LEAF]
    first = certificates()[LEAF]
    second.issuer, second.issuer_key, second.key = first.subject, first.key, key
    message = Message(payload=encode(fields(certificate=second.der(), cabundle=list(DERS))), key=key)
    refused(message.encode(), "constraints of the CA")


def test_a_host_can_not_sign_documents() -> None:
    message = Message(payload=encode(fields(certificate=DERS[HOST], cabundle=list(DERS[:HOST]))), key=KEYS[HOST])
    refused(message.encode(), "constraints of the leaf")


# Time


@pytest.mark.parametrize(
    ("place", "title"), [(ROOT, "root"), (REGION, "CA 1"), (ZONE, "CA 2"), (HOST, "CA 3"), (LEAF, "leaf")]
)
def test_every_certificate_has_to_be_valid_now_however_often_it_was_before(place: int, title: str) -> None:
    data = with_chain(place, validity=utc(START_S) + utc(NOW_S + 60))
    assert verify(data) == NOW_S + 60
    assert verify(data, NOW_S + 60) == NOW_S + 60
    refused(data, f"validity of the {title} in seconds", now_s=NOW_S + 61)
    refused(with_chain(place, validity=utc(NOW_S + 1) + utc(NOW_S + 3600)), f"validity of the {title} in seconds")


@pytest.mark.parametrize(("place", "title"), [(ROOT, "root"), (ZONE, "CA 2"), (LEAF, "leaf")])
def test_every_certificate_has_to_be_valid_when_the_document_was_made(place: int, title: str) -> None:
    # Valid from a minute on; the document is of now, and looked at an hour later.
    data = with_chain(place, validity=utc(NOW_S + 60) + utc(NOW_S + 7200))
    refused(data, f"validity of the {title}, when the document was made", now_s=NOW_S + 3600)


# Form, in a leaf and in an ancestor


@pytest.mark.parametrize("place", [REGION, LEAF])
@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"behind_extensions": tlv(0x05)}, "bytes behind the certificate's extensions"),
        ({"unused_bits": b""}, "signature of a certificate"),
        ({"unused_bits": b"\1"}, "unused bits in the signature"),
        ({"signature": lambda signature: b""}, "unused bits in the signature"),
        ({"signature": lambda signature: signature + b"\0"}, "bytes behind the signature"),
        ({"signature": lambda signature: tlv(0x30, integer(1 << 400), integer(1))}, "signature of a certificate"),
        ({"serial": integer(1 << 160)}, "serial number of a certificate"),
        ({"serial": integer(1 << 640)}, "serial number of a certificate"),
        ({"serial": tlv(0x02, b"\0\1")}, "serial number of a certificate"),
        ({"serial": tlv(0x02)}, "serial number of a certificate"),
        ({"validity": tlv(0x17, b"250101000000") + utc(NOW_S + 60)}, "time in a certificate's validity"),
        ({"validity": utc(START_S) + tlv(0x17, b"270231000000Z")}, "time in a certificate's validity"),
        ({"validity": utc(START_S) + tlv(0x17, b"261301000000Z")}, "time in a certificate's validity"),
        ({"validity": utc(START_S) + tlv(0x18, b"20270101000000Z")}, "time in a certificate's validity"),
        ({"validity": utc(START_S) + utc(NOW_S + 60) + tlv(0x05)}, "more fields in the certificate's validity"),
        ({"outer_algorithm": bytes.fromhex("300a06082a8648ce3d040302")}, "signature algorithm of a certificate"),
        ({"inner_algorithm": bytes.fromhex("300a06082a8648ce3d040302")}, "signature algorithm inside"),
        ({"public_key": tlv(0x30)}, "public key of a certificate"),
        ({"version": bytes.fromhex("a003020100")}, "version of a certificate"),
        ({"version": b""}, "tag of the certificate's version"),
    ],
)
def test_a_certificate_in_another_form_is_refused(place: int, changes: dict[str, object], match: str) -> None:
    refused(with_chain(place, **changes), match)


@pytest.mark.parametrize("place", [REGION, LEAF])
@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda parts: [*parts, parts[0]], "expected once, got twice"),
        (lambda parts: parts[1:], "certificate without BasicConstraints"),
        (lambda parts: [part for part in parts if b"\x55\x1d\x0f" not in part], "certificate without KeyUsage"),
        (lambda parts: [extension("2.5.29.19", tlv(0x30, bytes.fromhex("010101")), mark=TRUE), *parts[1:]], "00 or ff"),
        (lambda parts: [extension("2.5.29.19", tlv(0x30, bytes.fromhex("010100")), mark=TRUE), *parts[1:]], "say what"),
        (
            lambda parts: [extension("2.5.29.19", tlv(0x30, TRUE, tlv(2, b"\0\2")), mark=TRUE), *parts[1:]],
            "path length",
        ),
        (lambda parts: [extension("2.5.29.19", tlv(0x30, TRUE, tlv(2)), mark=TRUE), *parts[1:]], "path length"),
        (lambda parts: [NOT_CRITICAL, *parts[1:]], "BasicConstraints of a certificate: expected critical"),
        (lambda parts: [*parts, extension("2.5.29.30", tlv(0x30), mark=TRUE)], "that is not understood"),
        (lambda parts: [*parts, extension("2.5.29.31", tlv(0x30), mark=bytes.fromhex("010101"))], "00 or ff"),
        (lambda parts: [*parts, extension("2.5.29.31", tlv(0x30)) + b"\0"], "tag of the extension"),
        (lambda parts: [parts[0], usage("00c0"), *parts[2:]], "unused bits in the KeyUsage|twice"),
        (lambda parts: [parts[0], usage(""), *parts[2:]], "unused bits in the KeyUsage|twice"),
    ],
)
def test_an_extension_in_another_form_is_refused(
    place: int, change: Callable[[list[bytes]], list[bytes]], match: str
) -> None:
    refused(with_extensions(place, *change(certificates()[place].extensions)), match)


@pytest.mark.parametrize("place", [ROOT, REGION, LEAF])
def test_bytes_behind_a_certificate_are_refused(place: int) -> None:
    ders = list(DERS)
    ders[place] += b"\0"
    refused(document(certificate=ders[LEAF], cabundle=ders[:LEAF]), "bytes behind the certificate")


def test_a_key_that_is_no_point_is_refused() -> None:
    off = bytearray(public_bytes(KEYS[LEAF]))
    off[-1] ^= 1
    data = with_chain(LEAF, public_key=P384.value.key_prefix + bytes(off))
    with pytest.raises(VerificationError, match="signature of the document") as caught:
        verify(data)
    assert caught.value.check == "quote 6"
