"""The certificates of the simulated platform: its own root, CA, PCK leaf, TCB signer and CRLs in the shape of Intel's.

Responsible for: chains and revocation lists that are SIMULATED wherever they can be read, and valid wherever checked.
Must not know:   where keys are kept, what time it is, and what the TCB signer signs.

The shape is that of genuine chains: P-256 with SHA-256, path lengths 1 and 0, key usages, key identifiers, where the
revocation list would be, seven years for what is no CA, and Intel's extension in the PCK leaf.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from protocol.attestation.certificates import SGX_EXTENSION
from protocol.attestation.trust import SIMULATED_ORGANISATION
from protocol.hashing import sha256

ROOT_NAME = "SIMULATED SGX Root CA (NO HARDWARE)"
AUTHORITY_NAME = "SIMULATED SGX PCK Platform CA (NO HARDWARE)"
LEAF_NAME = "SIMULATED SGX PCK Certificate (NO HARDWARE)"
TCB_SIGNER_NAME = "SIMULATED SGX TCB Signing (NO HARDWARE)"

ROOT_CRL_URL = "https://simulated.invalid/root.crl"
"""Nobody answers there (RFC 2606): the list comes with the collateral, the extension is there as in genuine chains."""
PCK_CRL_URL = "https://simulated.invalid/pck.crl"

FMSPC = bytes.fromhex("0053494d0000")
"""Family, model, stepping, platform, custom SKU: "SIM" between zeros, which no processor has."""
PPID = b"SIMULATED-PPID\0\0"
PLATFORM_INSTANCE = b"SIMULATED-PLATFO"
PCE_ID = bytes(2)
PCE_SVN = 0
CPU_SVN = bytes(16)
"""Security versions of a processor that does not exist: all zero."""
SGX_TYPE_STANDARD = 0

_YEAR = timedelta(days=365)
_LEAF_YEARS, _AUTHORITY_YEARS, _ROOT_YEARS = 7, 15, 30
_ROOT_CRL_VALID, _PCK_CRL_VALID = _YEAR, timedelta(days=30)
BACKDATED_S = 3600
"""Verifiers' clocks, and the clock of a chain, may be a little behind."""

_EXTENSION_ARC = "1.2.840.113741.1.13.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pki:
    """Keys and certificates of one platform."""

    root_key: ec.EllipticCurvePrivateKey
    authority_key: ec.EllipticCurvePrivateKey
    """Of the Platform CA, which signs the PCK leaf and the list of revoked ones."""
    leaf_key: ec.EllipticCurvePrivateKey
    """The PCK, which signs the quoting enclaves' reports."""
    tcb_key: ec.EllipticCurvePrivateKey
    """Signs TCB info and QE identities, and nothing else."""
    chain: bytes
    """PEM of leaf || CA || root."""
    tcb_chain: bytes
    """PEM of TCB signer || root."""

    @property
    def root_key_hash(self) -> bytes:
        """What a trust store and the consortium name the root by: SHA-256 of X || Y; 32 bytes."""
        return sha256(public_bytes(self.root_key))

    @property
    def authority_chain(self) -> bytes:
        """PEM of CA || root: who issues the list of revoked leaves."""
        return b"".join(_pem(certificate) for certificate in x509.load_pem_x509_certificates(self.chain)[1:])


class _Party(NamedTuple):
    """A name and its key, as subject or as issuer."""

    name: str
    key: ec.EllipticCurvePrivateKey


def public_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    """X || Y of a key's public point; 64 bytes."""
    encoding, form = serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    return key.public_key().public_bytes(encoding, form)[1:]


def create_pki(now_s: int) -> Pki:
    """A fresh root, CA, leaf and TCB signer, valid from now (seconds since 1970) on."""
    root, authority, leaf, tcb = (
        _Party(name, ec.generate_private_key(ec.SECP256R1()))
        for name in (ROOT_NAME, AUTHORITY_NAME, LEAF_NAME, TCB_SIGNER_NAME)
    )
    start = _start(now_s)
    root_pem = _pem(_issue(root, root, start, _ROOT_YEARS, crl=ROOT_CRL_URL, path_length=1))
    authority_pem = _pem(_issue(authority, root, start, _AUTHORITY_YEARS, crl=ROOT_CRL_URL, path_length=0))
    leaf_pem = _pem(_issue(leaf, authority, start, _LEAF_YEARS, crl=PCK_CRL_URL, sgx=sgx_extension()))
    tcb_pem = _pem(_issue(tcb, root, start, _LEAF_YEARS, crl=ROOT_CRL_URL))
    return Pki(
        root_key=root.key,
        authority_key=authority.key,
        leaf_key=leaf.key,
        tcb_key=tcb.key,
        chain=leaf_pem + authority_pem + root_pem,
        tcb_chain=tcb_pem + root_pem,
    )


def root_crl(pki: Pki, now_s: int, *, revoked: Iterable[int] = ()) -> bytes:
    """The root's list, which covers the CA and the TCB signer, by serial number; DER, valid for a year."""
    return _revocation_list(_Party(ROOT_NAME, pki.root_key), now_s, _ROOT_CRL_VALID, revoked)


def pck_crl(pki: Pki, now_s: int, *, revoked: Iterable[int] = ()) -> bytes:
    """The Platform CA's list, which covers the leaf, by serial number; DER, valid for 30 days."""
    return _revocation_list(_Party(AUTHORITY_NAME, pki.authority_key), now_s, _PCK_CRL_VALID, revoked)


def _start(now_s: int) -> datetime:
    return datetime.fromtimestamp(now_s - BACKDATED_S, UTC)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _issue(
    subject: _Party,
    issuer: _Party,
    start: datetime,
    years: int,
    *,
    crl: str,
    path_length: int | None = None,
    sgx: bytes | None = None,
) -> x509.Certificate:
    """A CA with that path length, or for None a signer of data; with Intel's extension it is a PCK leaf."""
    is_ca = path_length is not None
    usage = x509.KeyUsage(
        digital_signature=not is_ca,
        content_commitment=not is_ca,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )
    point = x509.DistributionPoint([x509.UniformResourceIdentifier(crl)], None, None, None)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject.name))
        .issuer_name(_name(issuer.name))
        .public_key(subject.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + years * _YEAR)
        .add_extension(_key_id(issuer), critical=False)
        .add_extension(x509.CRLDistributionPoints([point]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(subject.key.public_key()), critical=False)
        .add_extension(usage, critical=True)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=path_length), critical=True)
    )
    if sgx is not None:
        builder = builder.add_extension(x509.UnrecognizedExtension(SGX_EXTENSION, sgx), critical=False)
    return builder.sign(issuer.key, hashes.SHA256())


def _revocation_list(issuer: _Party, now_s: int, valid: timedelta, revoked: Iterable[int]) -> bytes:
    """A list whose number is its second of issue, so that a later one always has a higher number."""
    start = _start(now_s)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(_name(issuer.name))
        .last_update(start)
        .next_update(start + valid)
        .add_extension(x509.CRLNumber(now_s), critical=False)
        .add_extension(_key_id(issuer), critical=False)
    )
    for serial in revoked:
        entry = (
            x509.RevokedCertificateBuilder()
            .serial_number(serial)
            .revocation_date(start)
            .add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), critical=False)
        )
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def _key_id(issuer: _Party) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, SIMULATED_ORGANISATION),
            x509.NameAttribute(NameOID.COUNTRY_NAME, "ZZ"),
        ]
    )


def sgx_extension() -> bytes:
    """Intel's extension of a PCK leaf that a Platform CA issued: SEQUENCE of SEQUENCE {OID, value}, DER."""
    components = [_entry(f".2.{index + 1}", _integer(svn)) for index, svn in enumerate(CPU_SVN)]
    tcb = [*components, _entry(".2.17", _integer(PCE_SVN)), _entry(".2.18", _octets(CPU_SVN))]
    configuration = [_entry(f".7.{index}", _tlv(0x01, b"\0")) for index in (1, 2, 3)]  # three times FALSE
    return _sequence(
        [
            _entry(".1", _octets(PPID)),
            _entry(".2", _sequence(tcb)),
            _entry(".3", _octets(PCE_ID)),
            _entry(".4", _octets(FMSPC)),
            _entry(".5", _tlv(0x0A, bytes([SGX_TYPE_STANDARD]))),
            _entry(".6", _octets(PLATFORM_INSTANCE)),
            _entry(".7", _sequence(configuration)),
        ]
    )


def _entry(suffix: str, value: bytes) -> bytes:
    return _sequence([_oid(_EXTENSION_ARC + suffix), value])


def _sequence(items: Sequence[bytes]) -> bytes:
    return _tlv(0x30, b"".join(items))


def _octets(value: bytes) -> bytes:
    return _tlv(0x04, value)


def _integer(value: int) -> bytes:
    return _tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1))


def _oid(dotted: str) -> bytes:
    first, second, *rest = (int(part) for part in dotted.split("."))
    content = bytearray()
    for arc in (40 * first + second, *rest):
        digits = [arc & 0x7F]
        while arc := arc >> 7:
            digits.append(0x80 | arc & 0x7F)
        content += bytes(reversed(digits))
    return _tlv(0x06, bytes(content))


def _tlv(tag: int, content: bytes) -> bytes:
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    digits = len(content).to_bytes((len(content).bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(digits)]) + digits + content
