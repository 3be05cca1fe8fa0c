"""The two hash functions of the protocol.

Responsible for: SHA-256 (trees, blobs, seeds, claims) and Keccak-256 (what Solidity and EIP-712 hash).
Must not know:   what is being hashed.
"""

from __future__ import annotations

import hashlib

from Crypto.Hash import keccak


def sha256(*parts: bytes) -> bytes:
    """SHA-256 of the parts, one after the other; 32 bytes (FIPS 180-4)."""
    state = hashlib.sha256()
    for part in parts:
        state.update(part)
    return state.digest()


def keccak256(*parts: bytes) -> bytes:
    """Keccak-256 as Ethereum uses it (not FIPS 202's SHA3-256) of the parts, one after the other; 32 bytes."""
    state = keccak.new(digest_bits=256)
    for part in parts:
        state.update(part)
    return state.digest()
