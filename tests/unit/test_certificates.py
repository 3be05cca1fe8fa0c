"""A certificate has one form; each test makes one in another, signed by its issuer all the same, and is refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from protocol.attestation.certificates import (
    MAX_CERTIFICATE_BYTES,
    Suite,
    parse_certificate,
    parse_pem_chain,
    verify_ecdsa,
    verify_signature,
)
from protocol.attestation.trust import AWS_NITRO_ROOT_KEY_HASH, INTEL_SGX_ROOT_KEY
from protocol.errors import EncodingError, LengthError, MalformedError, VeriflockError
from protocol.hashing import sha256
from tests.unit.certificate_world import (
    LEAF_NAME,
    NOW_S,
    YEAR_S,
    Chain,
    Parts,
    constraints,
    integer,
    key_id,
    new_key,
    oid,
    public_bytes,
    sign_raw,
    tlv,
    usage,
    utc,
)

VECTORS = Path(__file__).parents[1] / "vectors" / "quotes"
P256, P384 = Suite.P256_SHA256, Suite.P384_SHA384


def leaf() -> Parts:
    return Chain().leaf


def refused(parts: Parts, match: str, kind: type[VeriflockError] = MalformedError) -> None:
    with pytest.raises(kind, match=match):
        parse_certificate(parts.der(), parts.suite)


# What holds


def test_a_certificate_says_what_its_parts_say() -> None:
    parts = leaf()
    der = parts.der()
    parsed = parse_certificate(der)
    assert (parsed.der, parsed.tbs, parsed.suite) == (der, parts.tbs(), P256)
    assert (parsed.serial, parsed.issuer, parsed.subject) == (4711, parts.issuer, LEAF_NAME)
    assert (parsed.common_name, parsed.organisation) == ("test leaf", "test")
    assert (parsed.not_before_s, parsed.not_after_s) == (NOW_S - 3600, NOW_S + YEAR_S)
    assert parsed.public_key == public_bytes(parts.key)
    assert (parsed.authority_key_id, parsed.subject_key_id) == (key_id(parts.issuer_key), key_id(parts.key))
    assert (parsed.is_ca, parsed.path_length, parsed.sgx_extension) == (False, None, None)
    assert (parsed.signs_certificates, parsed.signs_revocations, parsed.signs_data) == (False, False, True)
    assert verify_ecdsa(public_bytes(parts.issuer_key), parsed.signature, parsed.tbs)


def test_a_ca_says_how_many_may_follow() -> None:
    ca = parse_certificate(Chain().root.der())
    assert (ca.is_ca, ca.path_length) == (True, 1)
    assert (ca.signs_certificates, ca.signs_revocations, ca.signs_data) == (True, True, False)


def test_a_widely_used_parser_reads_the_same() -> None:
    parts = leaf()
    loaded = x509.load_der_x509_certificate(parts.der())
    parsed = parse_certificate(parts.der())
    assert loaded.serial_number == parsed.serial
    assert loaded.subject.public_bytes() == parsed.subject
    assert (loaded.not_valid_before_utc.timestamp(), loaded.not_valid_after_utc.timestamp()) == (
        parsed.not_before_s,
        parsed.not_after_s,
    )


def test_intels_root_is_read_and_has_the_known_key() -> None:
    root = parse_certificate((VECTORS / "IntelSGXRootCA.der").read_bytes())
    assert root.public_key == INTEL_SGX_ROOT_KEY
    assert (root.common_name, root.organisation) == ("Intel SGX Root CA", "Intel Corporation")
    assert (root.is_ca, root.path_length, root.issuer) == (True, 1, root.subject)
    assert (root.not_before_s, root.not_after_s) == (1526899510, 2524607999)


@pytest.mark.parametrize("quote", ["sgx_quote", "tdx_quote"])
@pytest.mark.parametrize(
    ("chain", "names"),
    [
        ("pck_crl_issuer_chain", ("CA", "Intel SGX Root CA")),
        ("tcb_info_issuer_chain", ("Intel SGX TCB Signing", "Intel SGX Root CA")),
        ("qe_identity_issuer_chain", ("Intel SGX TCB Signing", "Intel SGX Root CA")),
    ],
)
def test_every_genuine_issuer_is_read(quote: str, chain: str, names: tuple[str, str]) -> None:
    collateral = json.loads((VECTORS / f"{quote}_collateral.json").read_bytes())
    parsed = [parse_certificate(der) for der in parse_pem_chain(collateral[chain].encode(), count=2)]
    assert all(expected in certificate.common_name for certificate, expected in zip(parsed, names, strict=True))
    assert [certificate.sgx_extension for certificate in parsed] == [None, None]


@pytest.mark.parametrize(("quote", "size"), [("sgx_quote", 453), ("tdx_quote", 554)])
def test_every_genuine_leaf_is_read(quote: str, size: int) -> None:
    data = (VECTORS / quote).read_bytes()
    end = data.rindex(b"-----END CERTIFICATE-----") + len("-----END CERTIFICATE-----\n")
    pck = parse_certificate(parse_pem_chain(data[data.index(b"-----BEGIN") : end], count=3)[0])
    assert pck.common_name == "Intel SGX PCK Certificate"
    assert pck.sgx_extension is not None
    assert len(pck.sgx_extension) == size


def test_a_p384_certificate_may_do_without_identifiers_and_marks() -> None:
    key = new_key(P384)
    parts = replace(
        leaf(), suite=P384, key=key, issuer_key=key, extensions=[constraints(is_ca=False), usage("06c0", mark=b"")]
    )
    parsed = parse_certificate(parts.der(), P384)
    assert (parsed.authority_key_id, parsed.subject_key_id, parsed.signs_data) == (b"", b"", True)
    assert parsed.public_key == public_bytes(key)
    assert sha256(parsed.public_key) != AWS_NITRO_ROOT_KEY_HASH


# The two suites


def test_a_certificate_of_the_other_suite_is_refused() -> None:
    with pytest.raises(EncodingError, match="signature algorithm of a certificate: expected P384_SHA384"):
        parse_certificate(leaf().der(), P384)
    key = new_key(P384)
    other = replace(leaf(), suite=P384, key=key, issuer_key=key)
    with pytest.raises(EncodingError, match="signature algorithm of a certificate: expected P256_SHA256"):
        parse_certificate(other.der())


def test_a_key_of_the_other_curve_is_refused() -> None:
    key = new_key(P384)
    refused(replace(leaf(), public_key=P384.value.key_prefix + public_bytes(key)), "public key of a certificate")


@pytest.mark.parametrize(
    "change",
    [
        lambda point: b"\0" + point[:-1],
        lambda point: b"\0" + point + b"\0",
        lambda point: b"\0\x02" + point[1:33],  # compressed
        lambda point: b"\0\x06" + point[1:],  # hybrid
        lambda point: b"\x01" + point,  # unused bits
        lambda point: point,
        lambda point: b"",
    ],
)
def test_a_key_in_another_form_is_refused(change: Callable[[bytes], bytes]) -> None:
    parts = leaf()
    algorithm = P256.value.key_prefix[2:23]
    parts.public_key = tlv(0x30, algorithm, tlv(0x03, b"\0\x04" + public_bytes(parts.key)))
    assert parse_certificate(parts.der()).public_key == public_bytes(parts.key)
    parts.public_key = tlv(0x30, algorithm, tlv(0x03, change(b"\x04" + public_bytes(parts.key))))
    refused(parts, "public key of a certificate")


# The frame


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"version": b""}, "version"),
        ({"version": bytes.fromhex("a003020101")}, "version of a certificate"),
        ({"version": bytes.fromhex("a003020103")}, "version of a certificate"),
        ({"serial": integer(0)}, "serial number of a certificate"),
        ({"serial": integer(-1)}, "serial number of a certificate"),
        ({"serial": integer(1 << 160)}, "serial number of a certificate"),
        ({"serial": tlv(0x02, b"\0\x01")}, "serial number of a certificate"),
        ({"serial": tlv(0x02)}, "serial number of a certificate"),
        ({"inner_algorithm": P384.value.algorithm}, "signature algorithm inside a certificate"),
        ({"inner_algorithm": bytes.fromhex("300c06082a8648ce3d0403020500")}, "signature algorithm inside"),
        ({"outer_algorithm": P384.value.algorithm}, "signature algorithm of a certificate"),
        ({"outer_algorithm": bytes.fromhex("300c06082a8648ce3d0403020500")}, "signature algorithm of a certificate"),
        ({"issuer": tlv(0x30)}, "issuer without a name"),
        ({"subject": tlv(0x30)}, "subject without a name"),
        ({"issuer": tlv(0x30, tlv(0x31))}, "issuer without a name"),
        ({"behind_extensions": b"\x05\0"}, "bytes behind the certificate's extensions"),
        ({"unused_bits": b"\x01"}, "unused bits in the signature"),
        ({"unused_bits": b""}, "signature"),
    ],
)
def test_another_frame_is_refused(changes: dict[str, object], match: str) -> None:
    refused(replace(leaf(), **changes), match)


def test_a_serial_number_of_twenty_bytes_is_the_longest() -> None:
    assert parse_certificate(replace(leaf(), serial=integer((1 << 160) - 1)).der()).serial == (1 << 160) - 1


def test_a_name_that_says_two_things_is_refused() -> None:
    twice = tlv(0x30, *(tlv(0x31, tlv(0x30, oid("2.5.4.3"), tlv(0x0C, text))) for text in (b"SIMULATED", b"Intel")))
    refused(replace(leaf(), subject=twice), "part 2.5.4.3 of the certificate's subject: expected once")


def test_a_name_with_fields_behind_its_text_is_refused() -> None:
    name = tlv(0x30, tlv(0x31, tlv(0x30, oid("2.5.4.3"), tlv(0x0C, b"name"), tlv(0x05))))
    refused(replace(leaf(), subject=name), "bytes behind the certificate's subject")


def test_a_certificate_that_is_too_long_is_not_looked_at() -> None:
    with pytest.raises(LengthError, match="length of a certificate: expected at most"):
        parse_certificate(bytes(MAX_CERTIFICATE_BYTES + 1))


@pytest.mark.parametrize(
    ("rewrite", "match"),
    [
        (lambda der: der + b"\0", "bytes behind the certificate"),
        (lambda der: der[:-1], "length of the certificate"),
        (lambda der: b"\x30\x83\0" + der[2:], "length of the certificate"),
        (lambda der: b"\x30\x80" + der[4:] + b"\0\0", "length of the certificate"),
        (lambda der: b"\x31" + der[1:], "tag of the certificate"),
        (lambda der: b"", "tag of the certificate"),
    ],
)
def test_der_in_another_form_is_refused(rewrite: Callable[[bytes], bytes], match: str) -> None:
    with pytest.raises(MalformedError, match=match):
        parse_certificate(rewrite(leaf().der()))


# The signature's form


def numbers(signature: bytes) -> tuple[bytes, bytes]:
    r = signature[2 : 4 + signature[3]]
    return r, signature[len(r) + 2 :]


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda r, s: tlv(0x30, tlv(0x02, b"\0" + r[2:] if r[2] else r[2:] + b"\0"), s),
        lambda r, s: tlv(0x30, integer(0), s),
        lambda r, s: tlv(0x30, r, integer(P256.value.order)),
        lambda r, s: tlv(0x30, integer(-1), s),
        lambda r, s: tlv(0x30, r, integer(1 << 300)),
        lambda r, s: tlv(0x30, r, s) + b"\0",
        lambda r, s: tlv(0x30, r, s, b"\0"),
        lambda r, s: tlv(0x30, r),
        lambda r, s: b"\x30\x81" + tlv(0x30, r, s)[1:],
        lambda r, s: r + s,
        lambda r, s: b"",
    ],
)
def test_a_signature_in_another_form_is_refused(rewrite: Callable[[bytes, bytes], bytes]) -> None:
    refused(replace(leaf(), signature=lambda signature: rewrite(*numbers(signature))), "signature")


# Validity


@pytest.mark.parametrize(
    ("validity", "match"),
    [
        (tlv(0x17, b"250101000000") + utc(NOW_S), "time in a certificate's validity"),
        (utc(NOW_S) + tlv(0x17, b"270230000000Z"), "time in a certificate's validity"),
        (utc(NOW_S) + tlv(0x18, b"20270101000000Z"), "in a form for later years"),
        (utc(NOW_S), "time in a certificate's validity"),
        (utc(NOW_S) + utc(NOW_S) + utc(NOW_S), "more fields in the certificate's validity"),
    ],
)
def test_times_in_another_form_are_refused(validity: bytes, match: str) -> None:
    refused(replace(leaf(), validity=validity), match)


def test_a_certificate_may_end_after_2049() -> None:
    parts = replace(leaf(), validity=utc(NOW_S) + tlv(0x18, b"20500101000000Z"))
    assert parse_certificate(parts.der()).not_after_s == 2524608000


# Signatures


@pytest.mark.parametrize("suite", [P256, P384])
def test_ecdsa_takes_signatures_of_both_halves_and_no_others(suite: Suite) -> None:
    key = new_key(suite)
    public, signature = public_bytes(key), sign_raw(key, b"message", suite)
    half, order = suite.value.size, suite.value.order
    s = int.from_bytes(signature[half:])
    twin = signature[:half] + (order - s).to_bytes(half)
    assert verify_signature(suite, public, signature, b"message")
    assert verify_signature(suite, public, twin, b"message")
    zero, too_big = bytes(half), order.to_bytes(half)
    for wrong in (
        signature + b"\0",
        signature[:-1],
        b"",
        zero + signature[half:],
        signature[:half] + zero,
        too_big + signature[half:],
        signature[:half] + too_big,
    ):
        assert not verify_signature(suite, public, wrong, b"message")
    assert not verify_signature(suite, public, signature, b"another message")
    assert not verify_signature(suite, public[:-1] + bytes([public[-1] ^ 1]), signature, b"message")
    assert not verify_signature(suite, bytes(2 * half), signature, b"message")
    assert not verify_signature(suite, public[:-1], signature, b"message")


def test_a_suite_is_one_curve_and_one_hash() -> None:
    key = new_key(P256)
    wrong_hash = ec.ECDSA(P384.value.digest)
    der = key.sign(b"message", wrong_hash)
    r, s = numbers(der)
    raw = b"".join(int.from_bytes(number[2:]).to_bytes(32) for number in (r, s))
    assert not verify_signature(P256, public_bytes(key), raw, b"message")


# PEM


def test_base64_with_bits_that_say_nothing_is_malformed() -> None:
    der = leaf().der()
    padded = der + b"x" * (-len(der) % 3 + 1)  # leaves a last character with four idle bits
    text = base64.b64encode(padded)
    assert text.endswith(b"==")
    idle = text[:-3] + bytes([text[-3] + 1]) + b"=="
    assert base64.b64decode(idle) == padded
    with pytest.raises(EncodingError, match="not in its one form"):
        parse_pem_chain(b"-----BEGIN CERTIFICATE-----" + idle + b"-----END CERTIFICATE-----", count=1)


# Total


@given(place=st.integers(min_value=0), value=st.integers(min_value=1, max_value=255))
def test_any_byte_that_changes_is_noticed(place: int, value: int) -> None:
    chain = Chain()
    der = bytearray(chain.leaf.der())
    der[place % len(der)] ^= value
    try:
        parsed = parse_certificate(bytes(der))
    except MalformedError:
        return
    assert not verify_ecdsa(public_bytes(chain.ca.key), parsed.signature, parsed.tbs)


@given(st.binary(max_size=200))
def test_any_bytes_are_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_certificate(data)
