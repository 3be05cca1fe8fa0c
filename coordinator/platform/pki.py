"""The certificates of the simulated platform: its own root, CA and PCK leaf in the shape of Intel's.

Responsible for: making a chain that is SIMULATED wherever it can be read, and valid wherever it is checked.
Must not know:   where keys are kept, and what time it is.

The shape is that of genuine chains: P-256 with SHA-256, path lengths 1 and 0, key usages, key identifiers, seven
years for the leaf, and Intel's extension in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from protocol.attestation.certificates import SGX_EXTENSION
from protocol.hashing import sha256

ROOT_NAME = "SIMULATED SGX Root CA (NO HARDWARE)"
AUTHORITY_NAME = "SIMULATED SGX PCK Platform CA (NO HARDWARE)"
LEAF_NAME = "SIMULATED SGX PCK Certificate (NO HARDWARE)"

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
_BACKDATED = timedelta(hours=1)
"""Verifiers' clocks, and the clock of a chain, may be a little behind."""

_EXTENSION_ARC = "1.2.840.113741.1.13.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pki:
    """Keys and certificates of one platform."""

    root_key: ec.EllipticCurvePrivateKey
    authority_key: ec.EllipticCurvePrivateKey
    leaf_key: ec.EllipticCurvePrivateKey
    """The PCK, which signs the quoting enclave's report."""
    chain: bytes
    """PEM of leaf || CA || root."""

    @property
    def root_key_hash(self) -> bytes:
        """What a trust store and the consortium name the root by: SHA-256 of X || Y; 32 bytes."""
        return sha256(public_bytes(self.root_key))


def public_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    """X || Y of a key's public point; 64 bytes."""
    encoding, form = serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    return key.public_key().public_bytes(encoding, form)[1:]


def create_pki(now_s: int) -> Pki:
    """A fresh root, CA and leaf, valid from now (seconds since 1970) on."""
    root_key, authority_key, leaf_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    start = datetime.fromtimestamp(now_s, UTC) - _BACKDATED
    root = _issue(ROOT_NAME, root_key, ROOT_NAME, root_key, start, _ROOT_YEARS, path_length=1)
    authority = _issue(AUTHORITY_NAME, authority_key, ROOT_NAME, root_key, start, _AUTHORITY_YEARS, path_length=0)
    leaf = _issue(LEAF_NAME, leaf_key, AUTHORITY_NAME, authority_key, start, _LEAF_YEARS, path_length=None)
    pem = b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in (leaf, authority, root))
    return Pki(root_key=root_key, authority_key=authority_key, leaf_key=leaf_key, chain=pem)


def _issue(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer_name: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    start: datetime,
    years: int,
    *,
    path_length: int | None,
) -> x509.Certificate:
    """A CA with that path length, or a PCK leaf for None."""
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
    authority_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer_name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + years * _YEAR)
        .add_extension(authority_id, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(usage, critical=True)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=path_length), critical=True)
    )
    if not is_ca:
        builder = builder.add_extension(x509.UnrecognizedExtension(SGX_EXTENSION, sgx_extension()), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "SIMULATED - NOT INTEL"),
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
