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

    any_simulated: bool = False
    """Also every root that calls itself simulated, as SIMULATED and nothing else: for looking at simulated evidence
    whose root one was not told.  It believes nobody about hardware."""

    def __post_init__(self) -> None:
        if not self.roots and not self.any_simulated:
            raise MalformedError("a trust store without roots")
        if len({root.key_hash for root in self.roots}) != len(self.roots):
            raise MalformedError("a trust store that names one root twice")

    def kind_of(self, key_hash: bytes, *, common_name: str = "", organisation: str = "") -> RootKind | None:
        """The kind of the root with that key, None for a stranger.

        common_name, organisation: what its certificate calls it; looked at for `any_simulated` alone, so that a name
                                   can make a root simulated and never more.
        """
        kind = next((root.kind for root in self.roots if root.key_hash == key_hash), None)
        if kind is not None or not self.any_simulated or key_hash in HARDWARE_ROOT_KINDS:
            return kind
        is_simulated = organisation == SIMULATED_ORGANISATION and "SIMULATED" in common_name
        return RootKind.SIMULATED if is_simulated else None

    def describe(self) -> str:
        """The roots, for an error's message."""
        named = [f"{root.key_hash.hex()} ({root.kind.name.lower()})" for root in self.roots]
        return ", ".join([*named, "any simulated one"] if self.any_simulated else named)


SIMULATED_ORGANISATION = "SIMULATED - NOT INTEL"
"""Organisation in the name of every simulated certificate."""

INTEL_SGX_ROOT_KEY = bytes.fromhex(
    "0ba9c4c0c0c86193a3fe23d6b02cda10a8bbd4e88e48b4458561a36e705525f5"
    "67918e2edc88e40d860bd0cc4ee26aacc988e505a953558c453f6b0904ae7394"
)
"""Public key X || Y of the "Intel SGX Root CA" (2018 to 2049)."""

AWS_NITRO_ROOT_KEY_HASH = bytes.fromhex("224442cf21b72af8c6750e5276ddae643cf91dab234c73efbcac369f69a7be8f")
"""SHA-256 of the public key X || Y (P-384, 96 bytes) of "aws.nitro-enclaves" G1 (2019 to 2049)."""

INTEL_ROOT = TrustedRoot(key_hash=sha256(INTEL_SGX_ROOT_KEY), kind=RootKind.INTEL)
AWS_ROOT = TrustedRoot(key_hash=AWS_NITRO_ROOT_KEY_HASH, kind=RootKind.AWS)
HARDWARE_ROOT_KINDS = {root.key_hash: root.kind for root in (INTEL_ROOT, AWS_ROOT)}

INTEL_TRUST_STORE = TrustStore(roots=(INTEL_ROOT,))
"""Genuine SGX and TDX hardware and nothing else; a simulated root has to be asked for by its key."""
HARDWARE_TRUST_STORE = TrustStore(roots=(INTEL_ROOT, AWS_ROOT))
"""All genuine hardware that is known here."""
SIMULATED_TRUST_STORE = TrustStore(roots=(), any_simulated=True)
"""No hardware at all: only roots that call themselves simulated."""


def root_by_choice(key_hash: bytes) -> TrustedRoot:
    """A root that a person pointed at: hardware where its key is known to be that, else simulated."""
    return TrustedRoot(key_hash=key_hash, kind=HARDWARE_ROOT_KINDS.get(key_hash, RootKind.SIMULATED))
