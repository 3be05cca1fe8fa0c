"""Certificates and CRLs put together from their DER, so that a test can make exactly one thing wrong and sign again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from protocol.attestation.certificates import Suite
from protocol.hashing import sha256

Key = ec.EllipticCurvePrivateKey

NOW_S = 1_760_000_000
YEAR_S = 365 * 86400


def new_key(suite: Suite = Suite.P256_SHA256) -> Key:
    return ec.generate_private_key(suite.value.curve)


def public_bytes(key: Key) -> bytes:
    """X || Y."""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]


def sign(key: Key, message: bytes, suite: Suite) -> bytes:
    """SEQUENCE {INTEGER r, INTEGER s}."""
    return key.sign(message, ec.ECDSA(suite.value.digest))


def sign_raw(key: Key, message: bytes, suite: Suite) -> bytes:
    """r || s."""
    size = suite.value.size
    return b"".join(number.to_bytes(size) for number in utils.decode_dss_signature(sign(key, message, suite)))


# DER


def tlv(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    digits = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(digits)]) + digits + content


def integer(value: int) -> bytes:
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, signed=True))


def oid(dotted: str) -> bytes:
    first, second, *arcs = map(int, dotted.split("."))
    content = b""
    for arc in (40 * first + second, *arcs):
        digits = [arc & 0x7F]
        while arc := arc >> 7:
            digits.insert(0, 0x80 | arc & 0x7F)
        content += bytes(digits)
    return tlv(0x06, content)


def name(common_name: str, organisation: str = "test") -> bytes:
    parts = (("2.5.4.3", common_name), ("2.5.4.10", organisation))
    return tlv(0x30, *(tlv(0x31, tlv(0x30, oid(kind), tlv(0x0C, text.encode()))) for kind, text in parts))


def utc(time_s: int) -> bytes:
    return tlv(0x17, datetime.fromtimestamp(time_s, UTC).strftime("%y%m%d%H%M%SZ").encode())


# Extensions

TRUE = bytes.fromhex("0101ff")


def extension(dotted: str, value: bytes, *, mark: bytes = b"") -> bytes:
    return tlv(0x30, oid(dotted), mark, tlv(0x04, value))


def constraints(path_length: int | None = None, *, is_ca: bool = True) -> bytes:
    length = b"" if path_length is None else integer(path_length)
    return extension("2.5.29.19", tlv(0x30, TRUE if is_ca else b"", length), mark=TRUE)


def usage(bits: str, *, mark: bytes = TRUE) -> bytes:
    """bits: the content of the BIT STRING, hex."""
    return extension("2.5.29.15", tlv(0x03, bytes.fromhex(bits)), mark=mark)


CA_USAGE, LEAF_USAGE = usage("0106"), usage("06c0")


def subject_key_id(value: bytes) -> bytes:
    return extension("2.5.29.14", tlv(0x04, value))


def authority_key_id(value: bytes) -> bytes:
    return extension("2.5.29.35", tlv(0x30, tlv(0x80, value)))


def key_id(key: Key) -> bytes:
    return sha256(public_bytes(key))[:20]


# Certificates


@dataclass(kw_only=True)
class Parts:
    """One certificate before it is signed; a test changes one of these."""

    subject: bytes
    issuer: bytes
    key: Key
    issuer_key: Key
    extensions: list[bytes]
    suite: Suite = Suite.P256_SHA256
    version: bytes = bytes.fromhex("a003020102")
    serial: bytes = field(default_factory=lambda: integer(4711))
    inner_algorithm: bytes | None = None
    outer_algorithm: bytes | None = None
    validity: bytes = field(default_factory=lambda: utc(NOW_S - 3600) + utc(NOW_S + YEAR_S))
    public_key: bytes | None = None
    behind_extensions: bytes = b""
    signature: Callable[[bytes], bytes] = bytes
    """Changes SEQUENCE {r, s}."""
    unused_bits: bytes = b"\0"

    def tbs(self) -> bytes:
        algorithm = self.suite.value.algorithm
        key = self.suite.value.key_prefix + public_bytes(self.key)
        return tlv(
            0x30,
            self.version,
            self.serial,
            algorithm if self.inner_algorithm is None else self.inner_algorithm,
            self.issuer,
            tlv(0x30, self.validity),
            self.subject,
            key if self.public_key is None else self.public_key,
            tlv(0xA3, tlv(0x30, *self.extensions)),
            self.behind_extensions,
        )

    def der(self) -> bytes:
        tbs = self.tbs()
        signature = self.signature(sign(self.issuer_key, tbs, self.suite))
        algorithm = self.suite.value.algorithm if self.outer_algorithm is None else self.outer_algorithm
        return tlv(0x30, tbs, algorithm, tlv(0x03, self.unused_bits + signature))


ROOT_NAME, CA_NAME, LEAF_NAME = name("test root"), name("test ca"), name("test leaf")


class Chain:
    """Root, CA and leaf with P-256 keys, complete as Intel's are."""

    def __init__(self) -> None:
        root, ca, leaf = new_key(), new_key(), new_key()
        self.root = Parts(
            subject=ROOT_NAME,
            issuer=ROOT_NAME,
            key=root,
            issuer_key=root,
            extensions=[authority_key_id(key_id(root)), subject_key_id(key_id(root)), CA_USAGE, constraints(1)],
        )
        self.ca = Parts(
            subject=CA_NAME,
            issuer=ROOT_NAME,
            key=ca,
            issuer_key=root,
            extensions=[authority_key_id(key_id(root)), subject_key_id(key_id(ca)), CA_USAGE, constraints(0)],
        )
        self.leaf = Parts(
            subject=LEAF_NAME,
            issuer=CA_NAME,
            key=leaf,
            issuer_key=ca,
            extensions=[
                authority_key_id(key_id(ca)),
                subject_key_id(key_id(leaf)),
                LEAF_USAGE,
                constraints(is_ca=False),
            ],
        )
