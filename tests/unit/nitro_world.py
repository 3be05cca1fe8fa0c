"""A Nitro document of our own P-384 chain, and tools to make one thing in it wrong and sign it again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import cbor2

from protocol.attestation.certificates import Suite
from protocol.attestation.trust import RootKind, TrustedRoot, TrustStore
from protocol.hashing import sha256
from tests.unit.certificate_world import (
    NOW_S,
    Key,
    Parts,
    authority_key_id,
    constraints,
    key_id,
    name,
    new_key,
    public_bytes,
    sign_raw,
    subject_key_id,
    usage,
    utc,
)

P384 = Suite.P384_SHA384
PROTECTED = bytes.fromhex("a1013822")
PCRS = {number: bytes([number + 1]) * 48 if number in (0, 1, 2, 4) else bytes(48) for number in range(16)}
KEYS = [new_key(P384) for _ in range(5)]
NAMES = [name(text, "SIMULATED - NOT INTEL") for text in ("SIMULATED nitro-enclaves", "region", "zone", "host", "leaf")]

AUTHORITY_USAGE = usage("0186")
"""digitalSignature, keyCertSign, cRLSign: what genuine regional and zonal CAs may do."""
HOST_USAGE = usage("0204")
"""keyCertSign alone."""
LEAF_USAGE = usage("06c0", mark=b"")
"""Genuine leaves do not mark it critical."""


def certificates() -> list[Parts]:
    """Root, region, zone, host and leaf, with the extensions that genuine ones have."""
    root, region, zone, host, _leaf = KEYS
    extensions = [
        [constraints(), subject_key_id(key_id(root)), AUTHORITY_USAGE],
        [constraints(2), authority_key_id(key_id(root)), subject_key_id(key_id(region)), AUTHORITY_USAGE],
        [constraints(1), authority_key_id(key_id(region)), subject_key_id(key_id(zone)), AUTHORITY_USAGE],
        [constraints(0), HOST_USAGE, subject_key_id(key_id(host))],
        [constraints(is_ca=False), LEAF_USAGE],
    ]
    days = (8_000, 20, 6, 1, 1)
    return [
        Parts(
            suite=P384,
            subject=NAMES[place],
            issuer=NAMES[max(place - 1, 0)],
            key=KEYS[place],
            issuer_key=KEYS[max(place - 1, 0)],
            extensions=extensions[place],
            validity=utc(NOW_S - 3600) + utc(NOW_S - 3600 + days[place] * 86400),
        )
        for place in range(5)
    ]


ROOT, REGION, ZONE, HOST, LEAF = range(5)
DERS = tuple(parts.der() for parts in certificates())
"""Made once, since most tests change something else."""


def trust(key: Key = KEYS[ROOT], kind: RootKind = RootKind.SIMULATED) -> TrustStore:
    return TrustStore(roots=(TrustedRoot(key_hash=sha256(public_bytes(key)), kind=kind),))


def encode(value: object) -> bytes:
    return cbor2.dumps(value)


def indefinite(fields: dict[object, object]) -> bytes:
    """A map of indefinite length, as security modules write the outer one since the end of 2025."""
    return b"\xbf" + b"".join(encode(key) + encode(value) for key, value in fields.items()) + b"\xff"


def fields(**changes: object) -> dict[str, object]:
    """A document's fields; a change to `...` leaves one out."""
    found: dict[str, object] = {
        "module_id": "i-0123456789abcdef0-enc0123456789abcdef",
        "digest": "SHA384",
        "timestamp": NOW_S * 1000 + 578,
        "pcrs": PCRS,
        "certificate": DERS[LEAF],
        "cabundle": list(DERS[:LEAF]),
        "public_key": None,
        "user_data": None,
        "nonce": None,
    }
    return {key: value for key, value in (found | changes).items() if value is not ...}


@dataclass(kw_only=True)
class Message:
    """COSE_Sign1 before it is signed; a test changes one of these."""

    payload: bytes = field(default_factory=lambda: encode(fields()))
    protected: bytes = PROTECTED
    signed_header: bytes | None = None
    unprotected: bytes = b"\xa0"
    start: bytes = b"\x84"
    key: Key = KEYS[LEAF]
    signature: Callable[[bytes], bytes] = bytes
    """Changes r || s."""
    behind: bytes = b""

    def encode(self) -> bytes:
        header = self.protected if self.signed_header is None else self.signed_header
        signature = sign_raw(self.key, encode(["Signature1", header, b"", self.payload]), P384)
        parts = encode(self.protected) + self.unprotected + encode(self.payload) + encode(self.signature(signature))
        return self.start + parts + self.behind


def document(**changes: object) -> bytes:
    """A signed document with other fields."""
    return Message(payload=encode(fields(**changes))).encode()


def with_chain(place: int, **changes: object) -> bytes:
    """A signed document in whose chain one certificate differs, signed by its issuer all the same."""
    parts = certificates()[place]
    ders = list(DERS)
    ders[place] = replace(parts, **changes).der()
    return document(certificate=ders[LEAF], cabundle=ders[:LEAF])


def with_extensions(place: int, *extensions: bytes) -> bytes:
    return with_chain(place, extensions=list(extensions))


def dstack_frame(message: bytes, *, report_data: bytes, pcrs: dict[int, bytes] | None = None) -> bytes:
    """Version, variant, message, no events, report data, configuration."""
    images = PCRS if pcrs is None else pcrs
    text = f'{{"os_image_hash":"{sha256(images[0], images[1], images[2]).hex()}"}}'.encode()
    return b"\0\2" + compact(message) + b"\0" + report_data + compact(text)


def compact(data: bytes) -> bytes:
    return (len(data) << 2 | 1).to_bytes(2, "little") + data


def nsm_response(message: bytes) -> bytes:
    return encode({"Attestation": {"document": message}})
