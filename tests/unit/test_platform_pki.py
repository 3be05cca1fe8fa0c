"""The simulated platform's certificates and revocation lists: of the genuine shape, and marked wherever one reads."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from coordinator.platform.pki import create_pki, pck_crl, public_bytes, root_crl
from protocol.attestation.certificates import SGX_EXTENSION
from protocol.attestation.trust import SIMULATED_ORGANISATION
from protocol.hashing import sha256

NOW_S = 1_760_000_000
PKI = create_pki(NOW_S)
LEAF, AUTHORITY, ROOT = x509.load_pem_x509_certificates(PKI.chain)
SIGNER, SIGNERS_ROOT = x509.load_pem_x509_certificates(PKI.tcb_chain)
GENUINE_ORDER = ["authorityKeyIdentifier", "cRLDistributionPoints", "subjectKeyIdentifier", "keyUsage"]


def names(certificate: x509.Certificate) -> tuple[str, str]:
    """Common name and organisation of the subject."""
    subject = certificate.subject
    parts = (subject.get_attributes_for_oid(oid)[0] for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME))
    common, organisation = (str(part.value) for part in parts)
    return common, organisation


@pytest.mark.parametrize(
    ("certificate", "role"),
    [(ROOT, "SGX Root CA"), (AUTHORITY, "Platform CA"), (LEAF, "SGX PCK Certificate"), (SIGNER, "SGX TCB Signing")],
    ids=["root", "authority", "leaf", "signer"],
)
def test_every_certificate_says_simulated_and_has_its_role_in_its_name(
    certificate: x509.Certificate, role: str
) -> None:
    common, organisation = names(certificate)
    assert common.startswith("SIMULATED ")
    assert common.endswith(" (NO HARDWARE)")
    assert role in common
    assert organisation == SIMULATED_ORGANISATION


@pytest.mark.parametrize("certificate", [ROOT, AUTHORITY, LEAF, SIGNER], ids=["root", "authority", "leaf", "signer"])
def test_the_extensions_are_those_of_genuine_certificates_in_their_order(certificate: x509.Certificate) -> None:
    expected = [*GENUINE_ORDER, "basicConstraints"]
    seen = [extension.oid._name for extension in certificate.extensions if extension.oid != SGX_EXTENSION]
    assert seen == expected
    assert (certificate.extensions[-1].oid == SGX_EXTENSION) is (certificate is LEAF)


@pytest.mark.parametrize(
    ("certificate", "issuer"), [(ROOT, ROOT), (AUTHORITY, ROOT), (LEAF, AUTHORITY), (SIGNER, ROOT)]
)
def test_each_certificate_is_issued_by_the_next(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    certificate.verify_directly_issued_by(issuer)


def test_the_tcb_signer_signs_data_and_is_no_ca_and_no_platform() -> None:
    constraints = SIGNER.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = SIGNER.extensions.get_extension_for_class(x509.KeyUsage)
    assert (constraints.critical, constraints.value) == (True, x509.BasicConstraints(ca=False, path_length=None))
    assert (usage.value.digital_signature, usage.value.key_cert_sign, usage.value.crl_sign) == (True, False, False)
    assert SIGNERS_ROOT == ROOT
    key = SIGNER.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    assert key[1:] == public_bytes(PKI.tcb_key)


def test_the_root_is_named_by_its_key() -> None:
    assert PKI.root_key_hash == sha256(public_bytes(PKI.root_key))
    assert x509.load_pem_x509_certificates(PKI.authority_chain) == [AUTHORITY, ROOT]


def parsed(der: bytes) -> x509.CertificateRevocationList:
    return x509.load_der_x509_crl(der)


@pytest.mark.parametrize(("make", "issuer"), [(root_crl, ROOT), (pck_crl, AUTHORITY)], ids=["root", "authority"])
def test_a_revocation_list_is_its_issuers_and_of_the_genuine_shape(make: object, issuer: x509.Certificate) -> None:
    crl = parsed(root_crl(PKI, NOW_S) if make is root_crl else pck_crl(PKI, NOW_S))
    key = issuer.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert crl.is_signature_valid(key)
    assert crl.issuer == issuer.subject
    assert [extension.oid._name for extension in crl.extensions] == ["cRLNumber", "authorityKeyIdentifier"]
    assert len(crl) == 0


def test_a_revocation_list_names_what_was_revoked_and_nothing_else() -> None:
    serials = (LEAF.serial_number, 7)
    crl = parsed(pck_crl(PKI, NOW_S, revoked=serials))
    assert {entry.serial_number for entry in crl} == set(serials)
    assert crl.get_revoked_certificate_by_serial_number(AUTHORITY.serial_number) is None


def test_a_later_list_has_a_higher_number() -> None:
    number = [
        parsed(pck_crl(PKI, now_s)).extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        for now_s in (NOW_S, NOW_S + 1)
    ]
    assert number[0] < number[1]
