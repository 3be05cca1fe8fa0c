"""The chain of a quote: each test changes one thing in one certificate, signs all again, and names what must notice."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from coordinator.platform.quoting import sign_p256
from protocol.attestation.certificates import P256_KEY_PREFIX, parse_certificate, parse_pem_chain, verify_ecdsa
from protocol.attestation.trust import INTEL_TRUST_STORE, RootKind
from protocol.attestation.verify import verify_quote
from protocol.errors import EncodingError, MalformedError, VerificationError, VeriflockError
from tests.unit.quote_world import NOW_S, PKI, REPORT_DATA, ChainPlan, issue, new_key, pem


def verify(plan: ChainPlan, certificates: bytes | None = None) -> RootKind:
    quote = plan.quote(certificates)
    return verify_quote(quote, report_data=REPORT_DATA, trust_store=plan.trust(), now_s=NOW_S).root_kind


def refused(plan: ChainPlan, match: str, kind: type[VeriflockError] = VerificationError) -> None:
    with pytest.raises(kind, match=match) as caught:
        verify(plan)
    if isinstance(caught.value, VerificationError):
        assert caught.value.check == "quote 2"


def test_a_chain_with_nothing_wrong_is_accepted() -> None:
    assert verify(ChainPlan()) is RootKind.SIMULATED


# Constraints, usage, roles


def change(certificate: str, **changes: object) -> Callable[[ChainPlan], None]:
    def apply(plan: ChainPlan) -> None:
        for name, value in changes.items():
            assert hasattr(getattr(plan, certificate), name)
            setattr(getattr(plan, certificate), name, value)

    return apply


NO_ID = {"left_out": (x509.AuthorityKeyIdentifier,)}
NO_KEY_ID = {"left_out": (x509.SubjectKeyIdentifier,)}
CRITICAL_UNKNOWN = ((x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), True),)


@pytest.mark.parametrize(
    ("fault", "match"),
    [
        (change("root", path_length=2), "constraints of the root"),
        (change("root", path_length=0), "constraints of the root"),
        (change("root", is_ca=False), "constraints of the root"),
        (change("authority", path_length=1), "constraints of the CA"),
        (change("authority", is_ca=False), "constraints of the CA"),
        (change("leaf", is_ca=True), "constraints of the PCK leaf"),
        (change("root", usage={"key_cert_sign": False}), "key usage of the root"),
        (change("root", usage={"crl_sign": False}), "key usage of the root"),
        (change("authority", usage={"key_cert_sign": False}), "key usage of the CA"),
        (change("authority", usage={"digital_signature": True}), "key usage of the CA"),
        (change("leaf", usage={"digital_signature": False}), "key usage of the PCK leaf"),
        (change("leaf", usage={"key_cert_sign": True}), "key usage of the PCK leaf"),
        (change("leaf", usage={"crl_sign": True}), "key usage of the PCK leaf"),
        (change("leaf", sgx=False), "role of the PCK leaf"),
    ],
)
def test_a_certificate_in_the_wrong_role_is_refused(fault: Callable[[ChainPlan], None], match: str) -> None:
    plan = ChainPlan()
    fault(plan)
    refused(plan, match)


@pytest.mark.parametrize("certificate", ["root", "authority", "leaf"])
@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (NO_ID, "without AuthorityKeyIdentifier"),
        (NO_KEY_ID, "without SubjectKeyIdentifier"),
        ({"left_out": (x509.BasicConstraints,)}, "without BasicConstraints"),
        ({"left_out": (x509.KeyUsage,)}, "without KeyUsage"),
        ({"constraints_critical": False}, "BasicConstraints of a certificate"),
        ({"usage_critical": False}, "KeyUsage of a certificate"),
        ({"key_id": b""}, "key identifier of a certificate"),
        ({"authority_id": b""}, "key identifier of a certificate"),
        ({"more": CRITICAL_UNKNOWN}, "critical extension of a certificate that is not understood"),
        ({"algorithm": hashes.SHA384()}, "signature algorithm of a certificate"),
    ],
)
def test_an_incomplete_certificate_is_malformed(certificate: str, changes: dict[str, object], match: str) -> None:
    plan = ChainPlan()
    change(certificate, **changes)(plan)
    refused(plan, match, EncodingError)


# Links


@pytest.mark.parametrize(
    ("fault", "match"),
    [
        (change("root", issuer_name="somebody else"), "issuer's name of the root"),
        (change("authority", issuer_name="somebody else"), "issuer's name of the CA"),
        (change("leaf", issuer_name="test root"), "issuer's name of the PCK leaf"),
        (change("root", authority_id=b"another key"), "authority key identifier of the root"),
        (change("authority", authority_id=b"another key"), "authority key identifier of the CA"),
        (change("leaf", authority_id=b"another key"), "authority key identifier of the PCK leaf"),
        (change("authority", key_id=b"another key"), "authority key identifier of the PCK leaf"),
    ],
)
def test_a_link_by_the_wrong_name_is_refused(fault: Callable[[ChainPlan], None], match: str) -> None:
    plan = ChainPlan()
    fault(plan)
    refused(plan, match)


@pytest.mark.parametrize(("certificate", "name"), [("authority", "CA"), ("leaf", "PCK leaf")])
def test_a_certificate_that_its_issuer_did_not_sign_is_refused(certificate: str, name: str) -> None:
    plan = ChainPlan()
    issuer = getattr(plan, certificate).issuer_key
    change(certificate, der=lambda der: sign_again(der, new_key()))(plan)
    assert getattr(plan, certificate).issuer_key is issuer
    refused(plan, f"signature of the {name}")


def test_a_root_that_did_not_sign_itself_is_refused() -> None:
    plan = ChainPlan()
    plan.root.der = lambda der: sign_again(der, new_key())
    refused(plan, "signature of the root")


def test_a_root_with_a_trusted_name_and_another_key_is_refused() -> None:
    plan = ChainPlan()
    plan.root.name = plan.root.issuer_name = plan.authority.issuer_name = "Intel SGX Root CA"
    with pytest.raises(VerificationError, match="key of the root"):
        verify_quote(plan.quote(), report_data=REPORT_DATA, trust_store=INTEL_TRUST_STORE, now_s=NOW_S)


def test_a_leaf_can_not_issue_a_leaf() -> None:
    plan, middle = ChainPlan(), new_key()
    # The trusted root's CA signed a leaf, and its owner signs another with it in the CA's place.
    plan.authority.path_length, plan.authority.key = None, middle
    plan.leaf.issuer_key = middle
    refused(plan, "constraints of the CA")


# Time


@pytest.mark.parametrize(("certificate", "name"), [("root", "root"), ("authority", "CA"), ("leaf", "PCK leaf")])
@pytest.mark.parametrize("changes", [{"start_s": NOW_S + 1}, {"start_s": NOW_S - 86401, "days": 1}])
def test_a_certificate_outside_its_time_is_refused(certificate: str, name: str, changes: dict[str, object]) -> None:
    plan = ChainPlan()
    change(certificate, **changes)(plan)
    refused(plan, f"validity of the {name}")


# PEM


def chain_text(plan: ChainPlan) -> tuple[bytes, bytes, bytes]:
    leaf, authority, root = (pem(der) for der in plan.ders())
    return leaf, authority, root


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text + b"\0",
        lambda text: b"\n" + text.replace(b"-----\n-----", b"-----\n\n-----") + b"\n\n\0",
        lambda text: text.rstrip(b"\n"),
    ],
    ids=["crlf", "nul", "empty lines", "no last line feed"],
)
def test_white_space_around_certificates_is_nobodys_business(rewrite: Callable[[bytes], bytes]) -> None:
    plan = ChainPlan()
    assert verify(plan, rewrite(pem(*plan.ders()))) is RootKind.SIMULATED


@pytest.mark.parametrize(
    ("arrange", "match"),
    [
        (lambda a, b, c: a + b, "certificates in a chain: expected 3, got 2"),
        (lambda a, b, c: a + b + c + c, "certificates in a chain: expected 3, got 4"),
        (lambda a, b, c: b"", "certificates in a chain: expected 3, got 0"),
        (lambda a, b, c: a + b"note\n" + b + c, "PEM of a certificate at offset"),
        (lambda a, b, c: a + b + c + b"x", "PEM of a certificate at offset"),
        (lambda a, b, c: a + b + c + b"\0\0", "PEM of a certificate at offset"),
        (lambda a, b, c: a + b + c.replace(b"END CERT", b"END cert"), "PEM of a certificate at offset"),
        (lambda a, b, c: a + b + c.replace(b"-----END", b"=-----END"), "base64 of a certificate"),
        (lambda a, b, c: a.replace(b"MII", b"M=I", 1) + b + c, "base64 of a certificate"),
    ],
)
def test_a_chain_in_another_form_is_malformed(arrange: Callable[..., bytes], match: str) -> None:
    plan = ChainPlan()
    with pytest.raises(EncodingError, match=match):
        verify(plan, arrange(*chain_text(plan)))


def test_base64_with_bits_that_say_nothing_is_malformed() -> None:
    der = issue(ChainPlan().leaf)
    padded = der + b"x" * (-len(der) % 3 + 1)  # leaves a last character with four idle bits
    text = base64.b64encode(padded)
    assert text.endswith(b"==")
    idle = text[:-3] + bytes([text[-3] + 1]) + b"=="
    assert base64.b64decode(idle) == padded
    with pytest.raises(EncodingError, match="not in its one form"):
        parse_pem_chain(b"-----BEGIN CERTIFICATE-----" + idle + b"-----END CERTIFICATE-----", count=1)


def test_certificates_in_another_order_are_refused() -> None:
    plan = ChainPlan()
    leaf, authority, root = chain_text(plan)
    with pytest.raises(VerificationError, match="constraints of the CA"):
        verify(plan, authority + leaf + root)
    with pytest.raises(VerificationError, match="key of the root"):
        verify(plan, root + authority + leaf)


# DER


def sign_again(der: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """The certificate with another signature of the same length class."""
    tbs = x509.load_der_x509_certificate(der).tbs_certificate_bytes
    return rebuild(tbs, signature_der(sign_p256(key, tbs)))


def signature_der(signature: bytes) -> bytes:
    return utils.encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))


def rebuild(tbs: bytes, signature: bytes, *, unused: int = 0, algorithm: str = "300a06082a8648ce3d040302") -> bytes:
    bits = bytes([3, len(signature) + 1, unused]) + signature
    content = tbs + bytes.fromhex(algorithm) + bits
    return b"\x30\x82" + len(content).to_bytes(2) + content


LEAF = issue(ChainPlan().leaf)
LOADED = x509.load_der_x509_certificate(LEAF)
TBS, SIGNATURE = LOADED.tbs_certificate_bytes, LOADED.signature
LONG_R = b"\x30" + bytes([SIGNATURE[1] + 1]) + b"\x02" + bytes([SIGNATURE[3] + 1]) + b"\0" + SIGNATURE[4:]


def test_the_rebuilt_certificate_is_the_certificate() -> None:
    assert rebuild(TBS, SIGNATURE) == LEAF
    key = LOADED.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    parsed = parse_certificate(LEAF)
    assert (parsed.public_key, parsed.tbs, parsed.serial) == (key[1:], TBS, LOADED.serial_number)


@pytest.mark.parametrize(
    ("der", "match"),
    [
        (rebuild(TBS, SIGNATURE, unused=1), "unused bits in the signature"),
        (rebuild(TBS, LONG_R), "signature of a certificate"),
        (rebuild(TBS, SIGNATURE, algorithm="300c06082a8648ce3d0403020500"), "signature algorithm of a certificate"),
        (rebuild(TBS, SIGNATURE, algorithm="300a06082a8648ce3d040303"), "signature algorithm of a certificate"),
        (rebuild(TBS, b"0\x06\x02\x01\x00\x02\x01\x01"), "signature of a certificate"),
        (LEAF + b"\0", "bytes behind the certificate"),
        (LEAF[:-1], "length of the certificate"),
        (b"\x30\x83\0" + LEAF[2:], "length of the certificate"),
        (b"\x30\x80" + LEAF[4:], "length of the certificate"),
        (b"\x31" + LEAF[1:], "tag of the certificate"),
        (b"", "tag of the certificate"),
        (LEAF.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020101")), "version of a certificate"),
    ],
)
def test_der_in_another_form_is_malformed(der: bytes, match: str) -> None:
    with pytest.raises(MalformedError, match=match):
        parse_certificate(der)


def test_an_extension_that_is_there_twice_is_malformed() -> None:
    key_id = re.search(rb"\x30\x1d\x06\x03\x55\x1d\x0e.{24}", TBS, re.DOTALL)
    assert key_id is not None
    with pytest.raises(MalformedError, match="DuplicateExtension"):
        parse_certificate(rebuild(insert(TBS, key_id.end(), key_id.group()), SIGNATURE))


def insert(tbs: bytes, offset: int, part: bytes) -> bytes:
    """The signed part with one more extension, the lengths around it made to fit."""
    changed = bytearray(tbs[:offset] + part + tbs[offset:])
    wrapper = tbs.index(b"\xa3\x82", tbs.index(P256_KEY_PREFIX) + len(P256_KEY_PREFIX) + 64)
    for place in (2, wrapper + 2, wrapper + 6):
        changed[place : place + 2] = (int.from_bytes(changed[place : place + 2]) + len(part)).to_bytes(2)
    return bytes(changed)


def test_a_key_on_another_curve_is_malformed() -> None:
    plan = ChainPlan()
    plan.leaf.key = ec.generate_private_key(ec.SECP384R1())
    with pytest.raises(EncodingError, match="public key of a certificate"):
        parse_certificate(issue(plan.leaf))


def test_ecdsa_takes_signatures_of_both_halves_and_no_others() -> None:
    key = PKI.leaf_key.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )[1:]
    signature = sign_p256(PKI.leaf_key, b"message")
    assert verify_ecdsa(key, signature, b"message")
    assert not verify_ecdsa(key, signature, b"another message")
    assert not verify_ecdsa(key, signature + b"\0", b"message")
    assert not verify_ecdsa(key, b"", b"message")
