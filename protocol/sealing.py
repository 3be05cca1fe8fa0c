"""Sealing: what a participant encrypts to the enclave, and to what it is bound.

Responsible for: the HPKE suites (RFC 9180), `info`, and the payload inside.
Must not know:   private keys, randomness (HPKE's own), or who carries the ciphertext.

Spec: docs/protocol.md section 4.  `info` covers federation, ledger, round, participant and the enclave's quote, so a
ciphertext opens nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PublicKey, Suite

from protocol.encoding import Fields, decode_map, encode
from protocol.errors import EncodingError, LengthError, UnknownNameError
from protocol.keys import SIGNATURE_BYTES, Address
from protocol.messages import ZERO, Update

KEM_X25519 = 0x0020
"""DHKEM(X25519, HKDF-SHA256), RFC 9180."""
KEM_HYBRID = 0x647A
"""MLKEM768-X25519 (X-Wing): sealed updates stay sealed when X25519 falls."""

KEMS = {KEM_X25519: KEM.X25519, KEM_HYBRID: KEM.MLKEM768_X25519}
KEM_NAMES = {"x25519": KEM_X25519, "mlkem768-x25519": KEM_HYBRID}
PUBLIC_KEY_BYTES = {KEM_X25519: 32, KEM_HYBRID: 1216}
ENCAPSULATION_BYTES = {KEM_X25519: 32, KEM_HYBRID: 1120}
AEAD_TAG_BYTES = 16
INFO_TAG = b"VFL1"


def suite(kem: int) -> Suite:
    """The HPKE suite of a KEM: HKDF-SHA256 and AES-256-GCM with each."""
    if kem not in KEMS:
        raise UnknownNameError("KEM", known=[f"{name} ({code:#06x})" for name, code in KEM_NAMES.items()], actual=kem)
    return Suite(KEMS[kem], KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def parse_public_key(kem: int, data: bytes) -> X25519PublicKey | MLKEM768X25519PublicKey:
    """The HPKE public key in its bytes: X25519 (32), behind ML-KEM-768 (1184) in the hybrid suite."""
    if kem not in PUBLIC_KEY_BYTES or len(data) != PUBLIC_KEY_BYTES[kem]:
        expected = PUBLIC_KEY_BYTES.get(kem, f"a known KEM, not {kem:#06x}")
        raise LengthError("length of an HPKE public key", expected=expected, actual=len(data))
    x25519 = X25519PublicKey.from_public_bytes(data[-32:])
    if kem == KEM_X25519:
        return x25519
    try:
        return MLKEM768X25519PublicKey(MLKEM768PublicKey.from_public_bytes(data[:-32]), x25519)
    except ValueError as error:  # FIPS 203, section 7.2: a coefficient that is not reduced
        raise EncodingError("an ML-KEM-768 public key", expected="coefficients below 3329") from error


def info(*, federation: bytes, ledger: Address, round_id: int, participant: Address, enclave: bytes) -> bytes:
    """`VFL1` || federation (32) || ledger (20) || round (8) || participant (20) || enclave id (32)."""
    parts = INFO_TAG + federation + ledger + round_id.to_bytes(8) + participant + enclave
    if len(parts) != 4 + 32 + 20 + 8 + 20 + 32:
        raise LengthError("length of the sealing info", expected=116, actual=len(parts))
    return parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What is inside a sealed blob."""

    update: Update
    """The signed statement."""
    signature: bytes
    """The participant's over it; 65 bytes."""
    row: bytes
    """The int16 coordinates, little-endian."""


def encode_payload(payload: Payload) -> bytes:
    """The bytes to seal."""
    return encode({"row": payload.row, "signature": payload.signature, "update": payload.update.to_map()})


def parse_payload(data: bytes, *, max_bytes: int) -> Payload:
    """The payload in opened bytes.  The row's length is left to admission, which has a reason for it."""
    fields = Fields(decode_map(data, max_bytes=max_bytes), "payload")
    payload = Payload(
        update=Update.from_map(fields.map("update")),
        signature=fields.bytes("signature", SIGNATURE_BYTES),
        row=fields.bytes("row"),
    )
    fields.done()
    return payload


def max_sealed_bytes(kem: int, dimension: int) -> int:
    """Longest sealed blob of a row of `dimension` coordinates: integers at their widest, and nothing else varies."""
    suite(kem)  # raises for a KEM that there is no suite for
    widest = Update(
        federation=ZERO, round_id=(1 << 64) - 1, spec=ZERO, enclave=ZERO, participant=bytes(20), update_root=ZERO,
        samples=(1 << 32) - 1,
    )  # fmt: skip
    envelope = encode_payload(Payload(update=widest, signature=bytes(SIGNATURE_BYTES), row=b""))
    cbor_length_of_row = 4  # a byte string's header grows from 1 byte to at most 5
    return len(envelope) + cbor_length_of_row + 2 * dimension + ENCAPSULATION_BYTES[kem] + AEAD_TAG_BYTES
