"""The extensions of a certificate have one form and stand there once; each test writes one in another."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.attestation.certificates import SGX_EXTENSION, parse_certificate
from protocol.errors import MalformedError
from tests.unit.certificate_world import (
    CA_USAGE,
    LEAF_USAGE,
    TRUE,
    Chain,
    Parts,
    authority_key_id,
    constraints,
    extension,
    integer,
    oid,
    subject_key_id,
    tlv,
    usage,
)


def leaf() -> Parts:
    return Chain().leaf


def refused(parts: Parts, match: str) -> None:
    with pytest.raises(MalformedError, match=match):
        parse_certificate(parts.der())


AUTHORITY, SUBJECT, USAGE, CONSTRAINTS = range(4)


def with_extension(place: int, *others: bytes) -> Parts:
    parts = leaf()
    parts.extensions[place : place + 1] = others
    return parts


@pytest.mark.parametrize(
    ("place", "others", "match"),
    [
        (AUTHORITY, (), "certificate without AuthorityKeyIdentifier"),
        (SUBJECT, (), "certificate without SubjectKeyIdentifier"),
        (USAGE, (), "certificate without KeyUsage"),
        (CONSTRAINTS, (), "certificate without BasicConstraints"),
        (AUTHORITY, (authority_key_id(b""),), "key identifier of a certificate: expected not empty"),
        (SUBJECT, (subject_key_id(b""),), "key identifier of a certificate: expected not empty"),
        (AUTHORITY, (extension("2.5.29.35", tlv(0x30)),), "tag of the AuthorityKeyIdentifier"),
        (AUTHORITY, (extension("2.5.29.35", tlv(0x30, tlv(0x80, b"a"), tlv(0x82, b"b"))),), "more fields"),
        (SUBJECT, (extension("2.5.29.14", tlv(0x04, b"a") + b"\0"),), "bytes behind the SubjectKeyIdentifier"),
        (SUBJECT, (extension("2.5.29.14", tlv(0x04, b"a"), mark=TRUE),), "critical extension of a certificate"),
        (USAGE, (usage("06c0", mark=b""),), "KeyUsage of a certificate: expected critical"),
        (USAGE, (usage(""),), "unused bits in the KeyUsage"),
        (USAGE, (usage("00c0"),), "unused bits in the KeyUsage"),
        (USAGE, (usage("06c1"),), "unused bits in the KeyUsage"),
        (USAGE, (usage("0000"),), "unused bits in the KeyUsage"),
        (CONSTRAINTS, (extension("2.5.29.19", tlv(0x30)),), "BasicConstraints of a certificate: expected critical"),
        (CONSTRAINTS, (extension("2.5.29.19", tlv(0x30, bytes.fromhex("010100")), mark=TRUE),), "say what is so"),
        (CONSTRAINTS, (extension("2.5.29.19", tlv(0x30, bytes.fromhex("010101")), mark=TRUE),), "00 or ff"),
        (CONSTRAINTS, (extension("2.5.29.19", tlv(0x30, integer(0)), mark=TRUE),), "tag of the BasicConstraints"),
        (CONSTRAINTS, (extension("2.5.29.19", tlv(0x30, TRUE, integer(-1)), mark=TRUE),), "path length"),
        (CONSTRAINTS, (extension("2.5.29.19", tlv(0x30, TRUE, tlv(2, b"\0\0")), mark=TRUE),), "path length"),
        (CONSTRAINTS, (extension("2.5.29.19", tlv(0x30, TRUE, integer(0), b"\x05\0"), mark=TRUE),), "bytes behind"),
        (CONSTRAINTS, (extension("2.5.29.19", tlv(0x30), mark=bytes.fromhex("010101")),), "mark of a certificate's"),
        (AUTHORITY, (authority_key_id(b"a"), authority_key_id(b"a")), "2.5.29.35 of a certificate: expected once"),
        (USAGE, (LEAF_USAGE, CA_USAGE), "2.5.29.15 of a certificate: expected once, got twice"),
        (CONSTRAINTS, (constraints(is_ca=False), constraints(0)), "2.5.29.19 of a certificate: expected once"),
    ],
)
def test_an_extension_in_another_form_is_refused(place: int, others: tuple[bytes, ...], match: str) -> None:
    refused(with_extension(place, *others), match)


@pytest.mark.parametrize(
    ("more", "match"),
    [
        (extension("2.5.29.31", tlv(0x30), mark=TRUE), "critical extension of a certificate that is not understood"),
        (extension("2.5.29.31", tlv(0x30), mark=bytes.fromhex("010100")), "says what is so without it"),
        (tlv(0x30, oid("2.5.29.31"), tlv(0x04, b""), tlv(0x05)), "bytes behind the certificate's extension"),
        (tlv(0x30, oid("2.5.29.31")), "tag of the certificate's extension"),
        (tlv(0x30, tlv(0x06), tlv(0x04)), "object identifier of the certificate's extension"),
        (tlv(0x31, oid("2.5.29.31"), tlv(0x04)), "tag of the extension"),
    ],
)
def test_one_more_extension_in_another_form_is_refused(more: bytes, match: str) -> None:
    parts = leaf()
    parts.extensions.append(more)
    refused(parts, match)


def test_an_extension_that_is_not_understood_is_none_of_our_business() -> None:
    parts = leaf()
    parts.extensions.append(extension("2.5.29.31", tlv(0x30)))
    assert parse_certificate(parts.der()).serial == 4711


def test_a_certificate_without_extensions_is_refused() -> None:
    refused(replace(leaf(), extensions=[]), "empty list of extensions")


def test_intels_extension_is_handed_on_as_it_is() -> None:
    parts = leaf()
    parts.extensions.append(extension(SGX_EXTENSION.dotted_string, b"content"))
    assert parse_certificate(parts.der()).sgx_extension == b"content"
