"""X.509 certificates of a platform's chain: what each of them says.

Responsible for: PEM, the strict DER of a certificate down to its last byte, its extensions, and ECDSA.
Must not know:   which root is trusted, what time it is, who issued what (`chain.py`), or what a quote is.

Stricter than RFC 5280 wherever genuine chains allow it: one algorithm per suite, one DER form, no extension twice,
none critical that is not understood.  Everything is walked here, so that no byte can change unnoticed, inside the
signed part (where a lenient reader could be led to another meaning) and outside of it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from protocol.attestation import der as strict
from protocol.errors import EncodingError, LengthError

SGX_EXTENSION = x509.ObjectIdentifier("1.2.840.113741.1.13.1")
"""Intel's extension of a PCK leaf (FMSPC, PCEID, TCB); it is what makes a leaf a PCK and no other signer."""

MAX_CERTIFICATE_BYTES = 16384
"""Genuine ones have 500 to 1,300."""

ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
"""AlgorithmIdentifier, DER."""
P256_KEY_PREFIX = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
"""SubjectPublicKeyInfo of an uncompressed P-256 point, up to X || Y."""

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P384_ORDER = int("f" * 48 + "c7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16)

_AUTHORITY_KEY_ID, _SUBJECT_KEY_ID = bytes.fromhex("551d23"), bytes.fromhex("551d0e")
_BASIC_CONSTRAINTS, _KEY_USAGE = bytes.fromhex("551d13"), bytes.fromhex("551d0f")
_SGX = bytes.fromhex("2a864886f84d010d01")
_COMMON_NAME, _ORGANISATION = bytes.fromhex("550403"), bytes.fromhex("55040a")

_UNDERSTOOD = frozenset({_BASIC_CONSTRAINTS, _KEY_USAGE, _SGX})
"""Extensions that may be critical: these are looked at."""

_DIGITAL_SIGNATURE, _CERTIFICATE_SIGN, _CRL_SIGN = 0, 5, 6
"""Bits of the key usage."""

_PEM_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/= \t\r\n]*)-----END CERTIFICATE-----[ \t\r\n]*")
_PEM_SPACE = b" \t\r\n"

Extensions = Mapping[bytes, tuple[bool, bytes]]
"""By object identifier (content, DER): whether critical, and the DER inside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parameters:
    algorithm: bytes
    """AlgorithmIdentifier of a signature, DER."""
    key_prefix: bytes
    """SubjectPublicKeyInfo up to X || Y, DER."""
    curve: ec.EllipticCurve
    order: int
    digest: hashes.HashAlgorithm
    size: int
    """Of a coordinate and of r and s, in bytes."""
    has_key_ids: bool
    """Whether every certificate names its own key and its issuer's, and marks its key usage critical."""


class Suite(Enum):
    """The two kinds of chain: one curve and one hash each, and how complete its certificates are."""

    P256_SHA256 = _Parameters(
        algorithm=ECDSA_WITH_SHA256,
        key_prefix=P256_KEY_PREFIX,
        curve=ec.SECP256R1(),
        order=P256_ORDER,
        digest=hashes.SHA256(),
        size=32,
        has_key_ids=True,
    )
    """Intel's."""

    P384_SHA384 = _Parameters(
        algorithm=bytes.fromhex("300a06082a8648ce3d040303"),
        key_prefix=bytes.fromhex("3076301006072a8648ce3d020106052b8104002203620004"),
        curve=ec.SECP384R1(),
        order=P384_ORDER,
        digest=hashes.SHA384(),
        size=48,
        has_key_ids=False,
    )
    """AWS Nitro's: certificates that live for hours, made on the machine, without key identifiers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What one certificate says."""

    der: bytes
    """All of it."""
    suite: Suite
    """Of its key, and of the signature that it carries."""
    tbs: bytes
    """The part that is signed, DER."""
    signature: bytes
    """Of `tbs`, by the issuer's key: r || s, 64 or 96 bytes."""
    serial: int
    """Positive, below 2**160."""
    issuer: bytes
    """Name, DER."""
    subject: bytes
    """Name, DER."""
    common_name: str
    """Of the subject, empty where it has none."""
    organisation: str
    """Of the subject, empty where it has none."""
    not_before_s: int
    """Seconds since 1970; valid from this second on."""
    not_after_s: int
    """Seconds since 1970; valid through this second."""
    public_key: bytes
    """X || Y; 64 or 96 bytes."""
    authority_key_id: bytes
    """Of the issuer's key; empty where there is none (P-384 only)."""
    subject_key_id: bytes
    """Of this key; empty where there is none (P-384 only)."""
    is_ca: bool
    path_length: int | None
    """How many CAs may follow; None without a limit."""
    signs_certificates: bool
    signs_revocations: bool
    signs_data: bool
    sgx_extension: bytes | None
    """Content of Intel's extension, None where there is none."""


def parse_pem_chain(pem: bytes, *, count: int) -> tuple[bytes, ...]:
    """The DER of exactly `count` certificates, with white space and nothing else around them and one NUL at the end.

    Raises: EncodingError.
    """
    text = pem.removesuffix(b"\0")
    offset = len(text) - len(text.lstrip(_PEM_SPACE))
    blocks: list[bytes] = []
    while offset < len(text) and len(blocks) <= count:
        match = _PEM_BLOCK.match(text, offset)
        if match is None:
            raise EncodingError(f"PEM of a certificate at offset {offset} of the chain")
        blocks.append(_decode_base64(match.group(1).translate(None, _PEM_SPACE)))
        offset = match.end()
    if len(blocks) != count:
        raise EncodingError("certificates in a chain", expected=count, actual=len(blocks))
    return tuple(blocks)


def _decode_base64(text: bytes) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise EncodingError(f"base64 of a certificate ({error})") from error
    # The last character has bits that decode to nothing; they have to be zero.
    if base64.b64encode(data) != text:
        raise EncodingError("base64 of a certificate that is not in its one form")
    return data


def parse_certificate(der: bytes, suite: Suite = Suite.P256_SHA256) -> Certificate:
    """A version 3 certificate of a key of the suite, signed by another of the same suite.

    Raises: MalformedError for everything else.
    """
    if len(der) > MAX_CERTIFICATE_BYTES:
        raise LengthError("length of a certificate", expected=f"at most {MAX_CERTIFICATE_BYTES}", actual=len(der))
    tbs, signature = parse_signed(der, suite, "certificate")
    content = strict.only(tbs, strict.SEQUENCE, "certificate's to-be-signed part")
    version, rest = strict.split(content, 0xA0, "certificate's version")
    if version != bytes.fromhex("a003020102"):
        raise EncodingError("version of a certificate", expected="3")
    number, rest = strict.split(rest, strict.INTEGER, "certificate's serial number")
    if not rest.startswith(suite.value.algorithm):
        raise EncodingError("signature algorithm inside a certificate", expected=suite.name)
    issuer, rest = strict.split(rest[len(suite.value.algorithm) :], strict.SEQUENCE, "certificate's issuer")
    parse_name(issuer, "certificate's issuer")
    validity, rest = strict.split(rest, strict.SEQUENCE, "certificate's validity")
    subject, rest = strict.split(rest, strict.SEQUENCE, "certificate's subject")
    names = parse_name(subject, "certificate's subject")
    key, rest = strict.split(rest, strict.SEQUENCE, "certificate's public key")
    wrapped = strict.only(rest, 0xA3, "certificate's extensions")
    not_before_s, not_after_s = _parse_validity(validity)
    extensions = parse_extensions(wrapped, "certificate")
    is_ca, path_length = _parse_constraints(extensions)
    usage = _parse_usage(extensions, suite)
    return Certificate(
        der=der,
        suite=suite,
        tbs=tbs,
        signature=signature,
        serial=parse_serial(strict.only(number, strict.INTEGER, "certificate's serial number"), "certificate"),
        issuer=issuer,
        subject=subject,
        common_name=names.get(_COMMON_NAME, ""),
        organisation=names.get(_ORGANISATION, ""),
        not_before_s=not_before_s,
        not_after_s=not_after_s,
        public_key=_parse_key(key, suite),
        authority_key_id=parse_authority_key_id(extensions, "certificate", is_required=suite.value.has_key_ids),
        subject_key_id=_parse_subject_key_id(extensions, suite),
        is_ca=is_ca,
        path_length=path_length,
        signs_certificates=_CERTIFICATE_SIGN in usage,
        signs_revocations=_CRL_SIGN in usage,
        signs_data=_DIGITAL_SIGNATURE in usage,
        sgx_extension=extensions[_SGX][1] if _SGX in extensions else None,
    )


def verify_signature(suite: Suite, public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` (r || s) of `message`, under the suite's hash, is by `public_key` (X || Y on its curve).

    False for a point that is not on the curve, for r or s outside [1, n - 1], and for other lengths.  High s is a
    signature: genuine ones are not normalised.
    """
    parameters, half = suite.value, suite.value.size
    if len(signature) != 2 * half or len(public_key) != 2 * half:
        return False
    r, s = int.from_bytes(signature[:half]), int.from_bytes(signature[half:])
    if not (0 < r < parameters.order and 0 < s < parameters.order):
        return False
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(parameters.curve, b"\x04" + public_key)
        key.verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(parameters.digest))
    except (ValueError, InvalidSignature):
        return False
    return True


def verify_ecdsa(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """`verify_signature` on P-256 with SHA-256: 64 bytes each."""
    return verify_signature(Suite.P256_SHA256, public_key, signature, message)


def parse_signed(der: bytes, suite: Suite, what: str) -> tuple[bytes, bytes]:
    """The signed part (DER) and the signature (r || s) of a certificate or CRL.  Raises MalformedError."""
    content = strict.only(der, strict.SEQUENCE, what)
    tbs, rest = strict.split(content, strict.SEQUENCE, f"{what}'s to-be-signed part")
    if not rest.startswith(suite.value.algorithm):
        raise EncodingError(f"signature algorithm of a {what}", expected=suite.name)
    bits = strict.only(rest[len(suite.value.algorithm) :], strict.BIT_STRING, f"{what}'s signature")
    numbers = strict.only(strict.octets(bits, f"signature of a {what}"), strict.SEQUENCE, f"signature of a {what}")
    first, second = strict.split(numbers, strict.INTEGER, f"signature of a {what}")
    half, most = suite.value.size, suite.value.order - 1
    r, s = (strict.only(number, strict.INTEGER, f"signature of a {what}") for number in (first, second))
    return tbs, b"".join(
        strict.integer(number, f"signature of a {what}", least=1, most=most).to_bytes(half) for number in (r, s)
    )


def parse_serial(content: bytes, what: str) -> int:
    """A serial number; it is positive and fits twenty bytes.  Raises MalformedError."""
    return strict.integer(content, f"serial number of a {what}", least=1, most=(1 << 160) - 1)


def parse_name(name: bytes, what: str) -> dict[bytes, str]:
    """The parts of a Name (DER) by object identifier.

    A name without parts, or with one part twice, would let two parties read two names: refused.
    Raises: MalformedError.
    """
    parts: dict[bytes, str] = {}
    for relative in strict.elements(strict.only(name, strict.SEQUENCE, what), strict.SET, what):
        for pair in strict.elements(relative, strict.SEQUENCE, what):
            kind, value = strict.split(pair, strict.OID, what)
            oid = strict.oid(strict.only(kind, strict.OID, what), what)
            if oid in parts and oid in (_COMMON_NAME, _ORGANISATION):
                raise EncodingError(f"part {strict.dotted(oid)} of the {what}", expected="once", actual="twice")
            parts[oid] = strict.text(value, what)
    if not parts:
        raise EncodingError(f"{what} without a name")
    return parts


def parse_extensions(wrapped: bytes, what: str) -> Extensions:
    """The extensions of a certificate, CRL or CRL entry, none of them twice.  Raises MalformedError."""
    found: dict[bytes, tuple[bool, bytes]] = {}
    for content in strict.elements(strict.only(wrapped, strict.SEQUENCE, f"{what}'s extensions"), 0x30, "extension"):
        kind, rest = strict.split(content, strict.OID, f"{what}'s extension")
        oid = strict.oid(strict.only(kind, strict.OID, f"{what}'s extension"), f"{what}'s extension")
        is_critical = False
        if rest[:1] == bytes([strict.BOOLEAN]):
            mark, rest = strict.split(rest, strict.BOOLEAN, f"mark of a {what}'s extension")
            mark = strict.only(mark, strict.BOOLEAN, f"mark of a {what}'s extension")
            is_critical = strict.boolean(mark, f"mark of a {what}'s extension")
            if not is_critical:
                raise EncodingError(f"mark of a {what}'s extension that says what is so without it")
        if oid in found:
            raise EncodingError(f"extension {strict.dotted(oid)} of a {what}", expected="once", actual="twice")
        if is_critical and oid not in _UNDERSTOOD:
            raise EncodingError(f"critical extension of a {what} that is not understood", actual=strict.dotted(oid))
        found[oid] = is_critical, strict.only(rest, strict.OCTET_STRING, f"{what}'s extension")
    if not found:
        raise EncodingError(f"{what} with an empty list of extensions")
    return found


def parse_authority_key_id(extensions: Extensions, what: str, *, is_required: bool) -> bytes:
    """The key identifier of the issuer, empty where there is none.  Raises MalformedError."""
    if _AUTHORITY_KEY_ID not in extensions and not is_required:
        return b""
    value = _value(extensions, _AUTHORITY_KEY_ID, "AuthorityKeyIdentifier", what, is_critical=False)
    content = strict.only(value, strict.SEQUENCE, f"AuthorityKeyIdentifier of a {what}")
    key_id, rest = strict.split(content, 0x80, f"AuthorityKeyIdentifier of a {what}")
    strict.nothing(rest, f"AuthorityKeyIdentifier of a {what}")
    return _filled(strict.only(key_id, 0x80, f"AuthorityKeyIdentifier of a {what}"), what)


def _parse_subject_key_id(extensions: Extensions, suite: Suite) -> bytes:
    if _SUBJECT_KEY_ID not in extensions and not suite.value.has_key_ids:
        return b""
    value = _value(extensions, _SUBJECT_KEY_ID, "SubjectKeyIdentifier", "certificate", is_critical=False)
    return _filled(strict.only(value, strict.OCTET_STRING, "SubjectKeyIdentifier of a certificate"), "certificate")


def _filled(key_id: bytes, what: str) -> bytes:
    if not key_id:
        raise EncodingError(f"key identifier of a {what}", expected="not empty")
    return key_id


def _parse_constraints(extensions: Extensions) -> tuple[bool, int | None]:
    """Whether it is a CA, and how many CAs may follow."""
    what = "BasicConstraints of a certificate"
    value = _value(extensions, _BASIC_CONSTRAINTS, "BasicConstraints", "certificate", is_critical=True)
    rest = strict.only(value, strict.SEQUENCE, what)
    if not rest:
        return False, None
    mark, rest = strict.split(rest, strict.BOOLEAN, what)
    # False is what it is without the mark, so the mark can only be true.
    if not strict.boolean(strict.only(mark, strict.BOOLEAN, what), what):
        raise EncodingError(f"{what} that say what is so without them")
    if not rest:
        return True, None
    return True, strict.integer(
        strict.only(rest, strict.INTEGER, what), f"path length in the {what}", least=0, most=255
    )


def _parse_usage(extensions: Extensions, suite: Suite) -> frozenset[int]:
    # The leaf of a Nitro document does not mark it critical; it is looked at either way.
    is_critical = True if suite.value.has_key_ids else None
    value = _value(extensions, _KEY_USAGE, "KeyUsage", "certificate", is_critical=is_critical)
    what = "KeyUsage of a certificate"
    return strict.flags(strict.only(value, strict.BIT_STRING, what), what)


def _parse_validity(validity: bytes) -> tuple[int, int]:
    what = "time in a certificate's validity"
    not_before_s, rest = strict.time_s(strict.only(validity, strict.SEQUENCE, "certificate's validity"), what)
    not_after_s, rest = strict.time_s(rest, what)
    strict.nothing(rest, "certificate's validity")
    return not_before_s, not_after_s


def _parse_key(key: bytes, suite: Suite) -> bytes:
    prefix = suite.value.key_prefix
    if not key.startswith(prefix) or len(key) != len(prefix) + 2 * suite.value.size:
        raise EncodingError("public key of a certificate", expected=f"an uncompressed point, {suite.name}")
    return key[len(prefix) :]


def _value(extensions: Extensions, oid: bytes, name: str, owner: str, *, is_critical: bool | None) -> bytes:
    """What is inside an extension that has to be there, critical, not critical, or (None) either."""
    if oid not in extensions:
        raise EncodingError(f"{owner} without {name}")
    actual, value = extensions[oid]
    if is_critical is not None and actual is not is_critical:
        raise EncodingError(f"{name} of a {owner}", expected="critical" if is_critical else "not critical")
    return value
