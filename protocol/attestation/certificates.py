"""X.509 certificates of a platform's chain: what each says, and whether one was issued by another.

Responsible for: PEM, the strict outer shape of a certificate, its extensions, and one link of a chain.
Must not know:   which root is trusted, what time it is, or what a quote is.

Stricter than RFC 5280 wherever genuine chains allow it: one algorithm (ECDSA on P-256 with SHA-256), one DER form,
no extension twice, none critical that is not understood.  The DER is walked here once so that no byte of a
certificate can change unnoticed: a library that skips the unused bits of the signature would let one.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from protocol.errors import EncodingError, LengthError, MalformedError

SGX_EXTENSION = x509.ObjectIdentifier("1.2.840.113741.1.13.1")
"""Intel's extension of a PCK leaf (FMSPC, PCEID, TCB); it is what makes a leaf a PCK and no other signer."""

ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
"""AlgorithmIdentifier, DER."""
P256_KEY_PREFIX = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
"""SubjectPublicKeyInfo of an uncompressed P-256 point, up to X || Y."""

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

_Kind = TypeVar("_Kind", bound=x509.ExtensionType)
_Extensions = dict[x509.ObjectIdentifier, x509.Extension[x509.ExtensionType]]

_PEM_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/= \t\r\n]*)-----END CERTIFICATE-----[ \t\r\n]*")
_PEM_SPACE = b" \t\r\n"

_UNDERSTOOD = frozenset({x509.BasicConstraints.oid, x509.KeyUsage.oid, SGX_EXTENSION})
"""Extensions that may be critical: these are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What one certificate says."""

    tbs: bytes
    """The part that is signed, DER."""
    signature: bytes
    """Of `tbs`, by the issuer's key: r || s, 64 bytes."""
    serial: int
    """Positive."""
    issuer: bytes
    """Name, DER."""
    subject: bytes
    """Name, DER."""
    not_before_s: int
    """Seconds since 1970; valid from this second on."""
    not_after_s: int
    """Seconds since 1970; valid through this second."""
    public_key: bytes
    """X || Y; 64 bytes."""
    authority_key_id: bytes
    """Of the issuer's key; not empty."""
    subject_key_id: bytes
    """Of this key; not empty."""
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


def parse_certificate(der: bytes) -> Certificate:
    """A version 3 certificate of a P-256 key, signed with ECDSA and SHA-256.

    Raises: MalformedError for everything else.
    """
    content = _only(der, 0x30, "certificate")
    tbs, rest = _split(content, 0x30, "certificate's to-be-signed part")
    if not rest.startswith(ECDSA_WITH_SHA256):
        raise EncodingError("signature algorithm of a certificate", expected="ecdsa-with-SHA256")
    bits = _only(rest[len(ECDSA_WITH_SHA256) :], 0x03, "certificate's signature")
    if bits[:1] != b"\0":
        raise EncodingError("unused bits in the signature of a certificate", expected=0)
    serial, issuer, subject, public_key = _parse_tbs(_only(tbs, 0x30, "certificate's to-be-signed part"))
    try:
        loaded = x509.load_der_x509_certificate(der)
        extensions = {extension.oid: extension for extension in loaded.extensions}
        not_before_s = int(loaded.not_valid_before_utc.timestamp())
        not_after_s = int(loaded.not_valid_after_utc.timestamp())
    # A foreign parser on hostile bytes: whatever it raises means the same.
    except Exception as error:
        raise MalformedError(f"certificate ({type(error).__name__}: {error})") from error
    for oid, extension in extensions.items():
        if extension.critical and oid not in _UNDERSTOOD:
            raise EncodingError("critical extension of a certificate that is not understood", actual=oid.dotted_string)
    authority = _extension(extensions, x509.AuthorityKeyIdentifier, critical=False)
    subject_id = _extension(extensions, x509.SubjectKeyIdentifier, critical=False)
    constraints = _extension(extensions, x509.BasicConstraints, critical=True)
    usage = _extension(extensions, x509.KeyUsage, critical=True)
    if not authority.key_identifier or not subject_id.digest:
        raise EncodingError("key identifier of a certificate", expected="not empty")
    sgx = extensions.get(SGX_EXTENSION)
    return Certificate(
        tbs=tbs,
        signature=_parse_ecdsa(bits[1:]),
        serial=serial,
        issuer=issuer,
        subject=subject,
        not_before_s=not_before_s,
        not_after_s=not_after_s,
        public_key=public_key,
        authority_key_id=authority.key_identifier,
        subject_key_id=subject_id.digest,
        is_ca=constraints.ca,
        path_length=constraints.path_length,
        signs_certificates=usage.key_cert_sign,
        signs_revocations=usage.crl_sign,
        signs_data=usage.digital_signature,
        sgx_extension=sgx.value.value if sgx and isinstance(sgx.value, x509.UnrecognizedExtension) else None,
    )


def verify_ecdsa(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` (r || s, 64 bytes) of `message` under SHA-256 is by `public_key` (X || Y on P-256).

    False for a point that is not on the curve and for r or s outside [1, n - 1].  High s is a signature: genuine ones
    are not normalised.
    """
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    if len(signature) != 64 or len(public_key) != 64 or not (0 < r < P256_ORDER and 0 < s < P256_ORDER):
        return False
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + public_key)
        key.verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
    except (ValueError, InvalidSignature):
        return False
    return True


def _parse_tbs(content: bytes) -> tuple[int, bytes, bytes, bytes]:
    """Serial, issuer, subject and public key; everything else that the DER of the signed part must be is checked."""
    version, rest = _split(content, 0xA0, "certificate's version")
    if version != bytes.fromhex("a003020102"):
        raise EncodingError("version of a certificate", expected="3")
    number, rest = _split(rest, 0x02, "certificate's serial number")
    serial = int.from_bytes(_only(number, 0x02, "certificate's serial number"), signed=True)
    if not 0 < serial < 1 << 160:
        raise EncodingError("serial number of a certificate", expected="1 to 2**160 - 1", actual=serial)
    if not rest.startswith(ECDSA_WITH_SHA256):
        raise EncodingError("signature algorithm inside a certificate", expected="ecdsa-with-SHA256")
    issuer, rest = _split(rest[len(ECDSA_WITH_SHA256) :], 0x30, "certificate's issuer")
    _validity, rest = _split(rest, 0x30, "certificate's validity")
    subject, rest = _split(rest, 0x30, "certificate's subject")
    key, rest = _split(rest, 0x30, "certificate's public key")
    if not key.startswith(P256_KEY_PREFIX) or len(key) != len(P256_KEY_PREFIX) + 64:
        raise EncodingError("public key of a certificate", expected="an uncompressed P-256 point")
    _only(rest, 0xA3, "certificate's extensions")
    return serial, issuer, subject, key[len(P256_KEY_PREFIX) :]


def _parse_ecdsa(der: bytes) -> bytes:
    """r || s of SEQUENCE {INTEGER r, INTEGER s}, which has one form."""
    try:
        r, s = utils.decode_dss_signature(der)
    except ValueError as error:
        raise EncodingError(f"signature of a certificate ({error})") from error
    if not (0 < r < P256_ORDER and 0 < s < P256_ORDER) or utils.encode_dss_signature(r, s) != der:
        raise EncodingError("signature of a certificate that is not in its one form")
    return r.to_bytes(32) + s.to_bytes(32)


def _split(data: bytes, tag: int, what: str) -> tuple[bytes, bytes]:
    """The DER element at the front (tag and length included), and what follows it."""
    if len(data) < 2 or data[0] != tag:
        raise EncodingError(f"tag of the {what}", expected=f"{tag:#04x}", actual=data[:1])
    length, start = data[1], 2
    if length >= 0x80:
        start = 2 + (length & 0x7F)
        digits = data[2:start]
        length = int.from_bytes(digits)
        # DER: as few digits as possible; two are enough for every certificate.
        if not 3 <= start <= 4 or len(digits) != start - 2 or length < 0x80 or digits[0] == 0:
            raise EncodingError(f"length of the {what}")
    if start + length > len(data):
        raise LengthError(f"length of the {what}", expected=start + length, actual=len(data))
    return data[: start + length], data[start + length :]


def _only(data: bytes, tag: int, what: str) -> bytes:
    """The content of the one DER element that `data` is."""
    element, rest = _split(data, tag, what)
    if rest:
        raise EncodingError(f"bytes behind the {what}", expected=0, actual=len(rest))
    return element[2 if element[1] < 0x80 else 2 + (element[1] & 0x7F) :]


def _extension(extensions: _Extensions, kind: type[_Kind], *, critical: bool) -> _Kind:
    found = extensions.get(kind.oid)
    if found is None or not isinstance(found.value, kind):
        raise EncodingError(f"certificate without {kind.__name__}")
    if found.critical is not critical:
        raise EncodingError(f"{kind.__name__} of a certificate", expected="critical" if critical else "not critical")
    return found.value
