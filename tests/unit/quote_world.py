"""A platform whose evidence is right, and tools to make evidence with exactly one thing wrong, signed again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from coordinator.platform.pki import create_pki, public_bytes, sgx_extension
from coordinator.platform.quoting import SimulatedAttester, sign_p256
from protocol.attestation.certificates import SGX_EXTENSION
from protocol.attestation.quote import parse_quote
from protocol.attestation.trust import RootKind, TrustedRoot, TrustStore
from protocol.hashing import sha256

NOW_S = 1_760_000_000
MEASUREMENT = sha256(b"measured code")
REPORT_DATA = bytes(range(64))

Key = ec.EllipticCurvePrivateKey


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


PKI = create_pki(NOW_S)
ATTESTATION_KEY = new_key()
QUOTE = SimulatedAttester(pki=PKI, attestation_key=ATTESTATION_KEY, measurement=MEASUREMENT).quote(REPORT_DATA)


def trust(root_key_hash: bytes, kind: RootKind = RootKind.SIMULATED) -> TrustStore:
    return TrustStore(roots=(TrustedRoot(key_hash=root_key_hash, kind=kind),))


TRUST_STORE = trust(PKI.root_key_hash)


def with_parts(**changes: object) -> bytes:
    """The quote with other parts, nothing signed again."""
    return replace(parse_quote(QUOTE), **changes).encode()


@dataclass
class Plan:
    """One certificate as it will be made; a test changes one of these."""

    name: str
    key: Key
    issuer_name: str
    issuer_key: Key
    path_length: int | None
    start_s: int = NOW_S - 3600
    days: int = 365
    is_ca: bool | None = None
    usage: dict[str, bool] = field(default_factory=dict)
    constraints_critical: bool = True
    usage_critical: bool = True
    key_id: bytes | None = None
    authority_id: bytes | None = None
    left_out: tuple[type[x509.ExtensionType], ...] = ()
    more: tuple[tuple[x509.ExtensionType, bool], ...] = ()
    sgx: bool | None = None
    algorithm: hashes.HashAlgorithm = field(default_factory=hashes.SHA256)
    der: Callable[[bytes], bytes] = bytes


class ChainPlan:
    """Root, CA and leaf as genuine ones are, until a test changes one thing."""

    def __init__(self) -> None:
        root, authority, leaf = new_key(), new_key(), new_key()
        self.root = Plan("test root", root, "test root", root, 1)
        self.authority = Plan("test ca", authority, "test root", root, 0)
        self.leaf = Plan("test leaf", leaf, "test ca", authority, None)

    def ders(self) -> tuple[bytes, bytes, bytes]:
        return issue(self.leaf), issue(self.authority), issue(self.root)

    def quote(self, certificates: bytes | None = None) -> bytes:
        """A quote whose chain this is, or `certificates` instead."""
        report = parse_quote(QUOTE).qe_report
        return with_parts(
            certificates=pem(*self.ders()) if certificates is None else certificates,
            qe_report_signature=sign_p256(self.leaf.key, report.encode()),
        )

    def trust(self, kind: RootKind = RootKind.SIMULATED) -> TrustStore:
        return trust(sha256(public_bytes(self.root.key)), kind)


def pem(*ders: bytes) -> bytes:
    certificates = (x509.load_der_x509_certificate(der) for der in ders)
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def issue(plan: Plan) -> bytes:
    is_ca = plan.path_length is not None if plan.is_ca is None else plan.is_ca
    flags = dict.fromkeys(
        ("key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"), False
    )
    flags |= {
        "digital_signature": not is_ca,
        "content_commitment": not is_ca,
        "key_cert_sign": is_ca,
        "crl_sign": is_ca,
    }
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(plan.issuer_key.public_key())
    subject = x509.SubjectKeyIdentifier.from_public_key(plan.key.public_key())
    if plan.authority_id is not None:
        authority = x509.AuthorityKeyIdentifier(plan.authority_id, None, None)
    if plan.key_id is not None:
        subject = x509.SubjectKeyIdentifier(plan.key_id)
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (authority, False),
        (subject, False),
        (x509.KeyUsage(**(flags | plan.usage)), plan.usage_critical),
        (x509.BasicConstraints(is_ca, plan.path_length if is_ca else None), plan.constraints_critical),
        *plan.more,
    ]
    if (plan.path_length is None) if plan.sgx is None else plan.sgx:
        extensions.append((x509.UnrecognizedExtension(SGX_EXTENSION, sgx_extension()), False))
    start = datetime.fromtimestamp(plan.start_s, UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, plan.name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, plan.issuer_name)]))
        .public_key(plan.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=plan.days))
    )
    for extension, critical in extensions:
        if not isinstance(extension, plan.left_out):
            builder = builder.add_extension(extension, critical=critical)
    return plan.der(builder.sign(plan.issuer_key, plan.algorithm).public_bytes(serialization.Encoding.DER))
