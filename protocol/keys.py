"""secp256k1 identities: addresses, recoverable signatures, and the one accepted form of each.

Responsible for: 20-byte addresses and 65-byte signatures r || s || v with low s and v in {27, 28}.
Must not know:   where a private key is kept, or what is being signed.

Twin: OpenZeppelin ECDSA (which refuses high s too).  Signatures are deterministic (RFC 6979).
"""

from __future__ import annotations

import itertools
import re

import coincurve

from protocol.errors import EncodingError, LengthError, SignatureError
from protocol.hashing import keccak256

Address = bytes
"""20 bytes: the last 20 of keccak256 of the public key."""

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Order of secp256k1 (SEC 2, section 2.4.1)."""

ADDRESS_BYTES = 20
SIGNATURE_BYTES = 65


def address_of_public(public: bytes) -> Address:
    """The address of a public key X || Y (64 bytes, big-endian)."""
    if len(public) != 64:
        raise LengthError("length of a public key", expected=64, actual=len(public))
    return keccak256(public)[-ADDRESS_BYTES:]


def public_key(key: bytes) -> bytes:
    """X || Y (64 bytes) of a private key of 32 bytes."""
    return _private(key).public_key.format(compressed=False)[1:]


def address(key: bytes) -> Address:
    """The address of a private key of 32 bytes."""
    return address_of_public(public_key(key))


def sign(key: bytes, digest: bytes) -> bytes:
    """r || s || v over a 32-byte digest; low s, v in {27, 28}; the same bytes every time (RFC 6979)."""
    _check_digest(digest)
    signature = _private(key).sign_recoverable(digest, hasher=None)
    return signature[:64] + bytes([signature[64] + 27])


def recover(digest: bytes, signature: bytes) -> Address:
    """The address that signed the digest.

    Raises: SignatureError when the signature is not in its one accepted form or leads to no key.
    """
    _check_digest(digest)
    if len(signature) != SIGNATURE_BYTES:
        raise SignatureError("length of a signature", expected=SIGNATURE_BYTES, actual=len(signature))
    r, s, v = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64]), signature[64]
    if v not in (27, 28):
        raise SignatureError("v of a signature", expected="27 or 28", actual=v)
    if not 0 < r < ORDER:
        raise SignatureError("r of a signature", expected="in 1..order-1", actual=hex(r))
    if not 0 < s <= ORDER // 2:
        raise SignatureError("s of a signature", expected="in 1..order/2 (low s)", actual=hex(s))
    try:
        public = coincurve.PublicKey.from_signature_and_message(signature[:64] + bytes([v - 27]), digest, hasher=None)
    except Exception as error:  # coincurve raises ValueError or plain Exception, by version
        raise SignatureError("a signature that leads to no public key", actual=signature) from error
    return address_of_public(public.format(compressed=False)[1:])


def verify(digest: bytes, signature: bytes, signer: Address) -> None:
    """Raises SignatureError unless `signer` signed the digest."""
    recovered = recover(digest, signature)
    if recovered != signer:
        raise SignatureError("signer", expected=to_hex(signer), actual=to_hex(recovered))


def recover_all(digest: bytes, signatures: bytes) -> list[Address]:
    """The addresses that signed the digest: one signature of 65 bytes after the other, by strictly ascending signer.

    Raises: SignatureError when there is none, a part of one, one that leads to no key, or another order.
    """
    if not signatures or len(signatures) % SIGNATURE_BYTES:
        raise SignatureError("length of signatures", expected="a multiple of 65, not 0", actual=len(signatures))
    parts = [signatures[at : at + SIGNATURE_BYTES] for at in range(0, len(signatures), SIGNATURE_BYTES)]
    signers = [recover(digest, part) for part in parts]
    for last, signer in itertools.pairwise(signers):
        if last >= signer:
            raise SignatureError("order of signers", expected=f"above {to_hex(last)}", actual=to_hex(signer))
    return signers


def to_hex(value: Address) -> str:
    """An address for people: 0x and 40 digits with the checksum of ERC-55."""
    if len(value) != ADDRESS_BYTES:
        raise LengthError("length of an address", expected=ADDRESS_BYTES, actual=len(value))
    digits = value.hex()
    check = keccak256(digits.encode()).hex()
    return "0x" + "".join(d.upper() if int(c, 16) >= 8 else d for d, c in zip(digits, check, strict=False))


def parse_address(text: str) -> Address:
    """40 hexadecimal digits, behind 0x or not; a mixed-case one must carry the right ERC-55 checksum."""
    digits = text.removeprefix("0x")
    # not left to bytes.fromhex, which skips spaces
    if not re.fullmatch(r"[0-9a-fA-F]{40}", digits):
        raise EncodingError("an address", expected="0x and 40 hexadecimal digits", actual=text)
    value = bytes.fromhex(digits)
    if digits not in (digits.lower(), digits.upper()) and to_hex(value)[2:] != digits:
        raise EncodingError("checksum of an address (ERC-55)", expected=to_hex(value), actual=text)
    return value


def _private(key: bytes) -> coincurve.PrivateKey:
    if len(key) != 32:
        raise LengthError("length of a private key", expected=32, actual=len(key))
    try:
        return coincurve.PrivateKey(key)
    except ValueError as error:
        raise EncodingError("a private key", expected="in 1..order-1") from error


def _check_digest(digest: bytes) -> None:
    if len(digest) != 32:
        raise LengthError("length of a digest", expected=32, actual=len(digest))
