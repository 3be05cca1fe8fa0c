"""Which roots are believed, and what each of them is.

Responsible for: trust stores: pairs of a root's public key and the kind of hardware that it stands for.
Must not know:   any certificate: the kind of a root never comes from evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from protocol.errors import LengthError, MalformedError
from protocol.hashing import sha256


class RootKind(IntEnum):
    """What stands behind a root; the values of `Consortium.RootKind` on the ledger (0 there is no root)."""

    SIMULATED = 1
    """A process that plays the hardware: says nothing about hardware."""
    INTEL = 2
    AWS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedRoot:
    """One root that somebody decided to believe."""

    key_hash: bytes
    """SHA-256 of the root's public key X || Y; 32 bytes.  Of the key and not the certificate: names are free."""

    kind: RootKind
    """What it stands for, said by whoever trusts it."""

    def __post_init__(self) -> None:
        if len(self.key_hash) != 32:
            raise LengthError("length of the hash of a root's key", expected=32, actual=len(self.key_hash))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustStore:
    """The roots that a verifier believes.  There is no default one: whoever verifies says whom it trusts."""

    roots: tuple[TrustedRoot, ...]

    def __post_init__(self) -> None:
        if not self.roots:
            raise MalformedError("a trust store without roots")
        if len({root.key_hash for root in self.roots}) != len(self.roots):
            raise MalformedError("a trust store that names one root twice")

    def kind_of(self, key_hash: bytes) -> RootKind | None:
        """The kind of the root with that key, None for a stranger."""
        return next((root.kind for root in self.roots if root.key_hash == key_hash), None)


INTEL_SGX_ROOT_KEY = bytes.fromhex(
    "0ba9c4c0c0c86193a3fe23d6b02cda10a8bbd4e88e48b4458561a36e705525f5"
    "67918e2edc88e40d860bd0cc4ee26aacc988e505a953558c453f6b0904ae7394"
)
"""Public key X || Y of the "Intel SGX Root CA" (2018 to 2049)."""

INTEL_TRUST_STORE = TrustStore(roots=(TrustedRoot(key_hash=sha256(INTEL_SGX_ROOT_KEY), kind=RootKind.INTEL),))
"""Genuine SGX hardware and nothing else; a simulated root has to be asked for by its key."""
