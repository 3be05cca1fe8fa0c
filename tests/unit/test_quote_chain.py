"""The chain of a quote: each test changes one thing in one certificate, signs all again, and names what must notice."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from coordinator.platform.quoting import sign_p256
from protocol.attestation.certificates import ECDSA_WITH_SHA256
from protocol.attestation.trust import INTEL_TRUST_STORE, RootKind
from protocol.attestation.verify import insecure_verify_quote
from protocol.errors import VerificationError
from tests.unit.quote_world import NOW_S, REPORT_DATA, ChainPlan, new_key, pem


def verify(plan: ChainPlan, certificates: bytes | None = None) -> RootKind:
    quote = plan.quote(certificates)
    verified = insecure_verify_quote(
        quote, collateral=None, report_data=REPORT_DATA, trust_store=plan.trust(), now_s=NOW_S
    )
    return verified.root_kind


def refused(plan: ChainPlan, match: str) -> None:
    with pytest.raises(VerificationError, match=match) as caught:
        verify(plan)
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
    refused(plan, match)


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
        insecure_verify_quote(
            plan.quote(), collateral=None, report_data=REPORT_DATA, trust_store=INTEL_TRUST_STORE, now_s=NOW_S
        )


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
    with pytest.raises(VerificationError, match=match):
        verify(plan, arrange(*chain_text(plan)))


def test_certificates_in_another_order_are_refused() -> None:
    plan = ChainPlan()
    leaf, authority, root = chain_text(plan)
    with pytest.raises(VerificationError, match="constraints of the CA"):
        verify(plan, authority + leaf + root)
    with pytest.raises(VerificationError, match="key of the root"):
        verify(plan, root + authority + leaf)


# Certificates signed by somebody else


def sign_again(der: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """The certificate with another signature of the same length class."""
    tbs = x509.load_der_x509_certificate(der).tbs_certificate_bytes
    return rebuild(tbs, signature_der(sign_p256(key, tbs)))


def signature_der(signature: bytes) -> bytes:
    return utils.encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))


def rebuild(tbs: bytes, signature: bytes) -> bytes:
    bits = bytes([3, len(signature) + 1, 0]) + signature
    content = tbs + ECDSA_WITH_SHA256 + bits
    return b"\x30\x82" + len(content).to_bytes(2) + content
