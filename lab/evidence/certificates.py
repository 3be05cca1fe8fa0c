"""Certificates and revocation lists as values: what one will say, and then its bytes.

Responsible for: making each certificate and list that a plan describes, right or wrong.
Must not know:   quotes and collateral.

Keys and serial numbers come from names and signatures are deterministic, so that the same plan gives the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import NameOID

from protocol.hashing import sha256

NOW_S = 1_760_000_000
HOUR_S, DAY_S = 3600, 86_400

ORGANISATION = "SIMULATED - NOT INTEL"
SGX_EXTENSION = x509.ObjectIdentifier("1.2.840.113741.1.13.1")
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

Key = ec.EllipticCurvePrivateKey
CA_USAGE = frozenset({"key_cert_sign", "crl_sign"})
LEAF_USAGE = frozenset({"digital_signature", "content_commitment"})
_ALL_USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


def key_of(name: str) -> Key:
    """The one key of a name, on P-256."""
    return ec.derive_private_key(int.from_bytes(sha256(b"key of " + name.encode())) % (_ORDER - 1) + 1, ec.SECP256R1())


def public_bytes(key: Key) -> bytes:
    """X || Y."""
    encoding, form = serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    return key.public_key().public_bytes(encoding, form)[1:]


def sign(key: Key, message: bytes) -> bytes:
    """ECDSA with SHA-256 and the nonce of RFC 6979: r || s."""
    r, s = utils.decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))
    return r.to_bytes(32) + s.to_bytes(32)


@dataclass(frozen=True, kw_only=True)
class CertificatePlan:
    """One certificate as it will be made."""

    name: str
    """Common name."""
    issuer: str
    """Which certificate of the plan issues it: root, authority, tcb_signer, leaf."""
    key: str
    """Name of its key."""
    is_ca: bool = False
    path_length: int | None = None
    usage: frozenset[str] = LEAF_USAGE
    organisation: str = ORGANISATION
    serial: int | None = None
    """From the name where None."""
    start_s: int = NOW_S - HOUR_S
    end_s: int = NOW_S + 7 * 365 * DAY_S
    signed_by: str | None = None
    """Name of the key that signs, where it is not the issuer's."""
    issuer_name: str | None = None
    """Where it is not the issuer's name."""
    authority_id: bytes | None = None
    subject_id: bytes | None = None
    left_out: tuple[type[x509.ExtensionType], ...] = ()
    has_platform: bool = False
    """Whether Intel's extension is in it."""


@dataclass(frozen=True, kw_only=True)
class PlatformPlan:
    """What Intel's extension in the PCK leaf says."""

    fmspc: bytes = bytes.fromhex("0053494d0000")
    pce_id: bytes = bytes(2)
    ppid: bytes = b"SIMULATED-PPID\0\0"
    cpu_svn: bytes = bytes([5, 5, 2, 2, 255, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    component_svns: tuple[int, ...] | None = None
    """The octets of `cpu_svn` where None, as in every genuine one."""
    pce_svn: int = 13
    instance: bytes | None = b"SIMULATED-PLATFO"
    """None in a leaf of a Processor CA."""

    def encode(self) -> bytes:
        """SEQUENCE of SEQUENCE {OID, value}, DER."""
        svns = self.cpu_svn if self.component_svns is None else self.component_svns
        components = [_entry((2, index + 1), _integer(svn)) for index, svn in enumerate(svns)]
        tcb = [*components, _entry((2, 17), _integer(self.pce_svn)), _entry((2, 18), _tlv(4, self.cpu_svn))]
        parts = [
            _entry((1,), _tlv(4, self.ppid)),
            _entry((2,), _tlv(0x30, b"".join(tcb))),
            _entry((3,), _tlv(4, self.pce_id)),
            _entry((4,), _tlv(4, self.fmspc)),
            _entry((5,), _tlv(0x0A, b"\0" if self.instance is None else b"\1")),
        ]
        if self.instance is not None:
            configuration = b"".join(_entry((7, index), _tlv(1, b"\0")) for index in (1, 2, 3))
            parts += [_entry((6,), _tlv(4, self.instance)), _entry((7,), _tlv(0x30, configuration))]
        return _tlv(0x30, b"".join(parts))


@dataclass(frozen=True, kw_only=True)
class RevocationPlan:
    """One list as it will be made."""

    issuer: str
    """Which certificate of the plan signs it."""
    serials: tuple[int, ...] = ()
    number: int = 1
    start_s: int = NOW_S - HOUR_S
    end_s: int = NOW_S + 30 * DAY_S
    signed_by: str | None = None
    authority_id: bytes | None = None


def serial_of(name: str) -> int:
    """The one serial number of a name; positive, 127 bits."""
    return int.from_bytes(sha256(b"serial of " + name.encode())[:16]) >> 1 | 1


def _name(plan: CertificatePlan) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, plan.name),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, plan.organisation),
            x509.NameAttribute(NameOID.COUNTRY_NAME, "ZZ"),
        ]
    )


def issue(plan: CertificatePlan, issuer: CertificatePlan, platform: bytes | None) -> bytes:
    """The certificate, DER; `platform` is the content of Intel's extension."""
    issuer_key, key = key_of(issuer.key), key_of(plan.key)
    authority_id = issuer.subject_id or _key_id(issuer_key)
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.AuthorityKeyIdentifier(plan.authority_id or authority_id, None, None), False),
        (x509.SubjectKeyIdentifier(plan.subject_id or _key_id(key)), False),
        (x509.KeyUsage(**{usage: usage in plan.usage for usage in _ALL_USAGES}), True),
        (x509.BasicConstraints(plan.is_ca, plan.path_length), True),
    ]
    if platform is not None:
        extensions.append((x509.UnrecognizedExtension(SGX_EXTENSION, platform), False))
    named = issuer if plan.issuer_name is None else replace(issuer, name=plan.issuer_name)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(plan))
        .issuer_name(_name(named))
        .public_key(key.public_key())
        .serial_number(plan.serial or serial_of(plan.name))
        .not_valid_before(datetime.fromtimestamp(plan.start_s, UTC))
        .not_valid_after(datetime.fromtimestamp(plan.end_s, UTC))
    )
    for extension, critical in extensions:
        if not isinstance(extension, plan.left_out):
            builder = builder.add_extension(extension, critical=critical)
    signer = issuer_key if plan.signed_by is None else key_of(plan.signed_by)
    certificate = builder.sign(signer, hashes.SHA256(), ecdsa_deterministic=True)
    return certificate.public_bytes(serialization.Encoding.DER)


def revoke(plan: RevocationPlan, issuer: CertificatePlan) -> bytes:
    """The list, DER."""
    key = key_of(issuer.key)
    start, end = (datetime.fromtimestamp(time_s, UTC) for time_s in (plan.start_s, plan.end_s))
    authority_id = plan.authority_id or issuer.subject_id or _key_id(key)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(_name(issuer))
        .last_update(start)
        .next_update(end)
        .add_extension(x509.AuthorityKeyIdentifier(authority_id, None, None), critical=False)
        .add_extension(x509.CRLNumber(plan.number), critical=False)
    )
    for serial in plan.serials:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(start)
        builder = builder.add_revoked_certificate(entry.build())
    signer = key if plan.signed_by is None else key_of(plan.signed_by)
    return builder.sign(signer, hashes.SHA256(), ecdsa_deterministic=True).public_bytes(serialization.Encoding.DER)


def _key_id(key: Key) -> bytes:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest


def pem(der: bytes) -> bytes:
    """One certificate, PEM."""
    return x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM)


def _entry(suffix: tuple[int, ...], value: bytes) -> bytes:
    return _tlv(0x30, _tlv(6, bytes.fromhex("2a864886f84d010d01") + bytes(suffix)) + value)


def _integer(value: int) -> bytes:
    return _tlv(2, value.to_bytes(value.bit_length() // 8 + 1))


def _tlv(tag: int, content: bytes) -> bytes:
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    digits = len(content).to_bytes((len(content).bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(digits)]) + digits + content
