"""Is the key that I am about to seal to the enclave's that my consortium admitted?

Responsible for: the participant's check of the round's enclave, before anything is sealed.
Must not know:   the coordinator's opinion; training; what is sealed.

    1  registered   the registry has the enclave, and it is the one of the quote's header and body
    2  admitted     active by vote: admitted, not revoked, not expired
    3  claims       for this federation, chain, ledger and charter
    4  key          the key at hand is the one that the claims name
    5  root         the platform root under which it was admitted is trusted by vote, with a kind
    6  measurement  allowed by vote
    7  quote        authentic under that root, binding signer, claims and epoch, and acceptable

The nonce in the claims is a recent block hash, which the registry compared when the enclave registered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from participant.chain import RegisteredEnclave
from protocol.attestation.policy import Policy, accept_quote
from protocol.attestation.quote import parse_quote
from protocol.attestation.trust import RootKind, TrustedRoot, TrustStore
from protocol.attestation.verify import VerifiedQuote
from protocol.errors import PolicyError, VerificationError
from protocol.hashing import sha256
from protocol.keys import Address
from protocol.messages import ENCLAVE_BODY_BYTES, Domain, enclave_id, report_data

SIMULATED = "SIMULATED: says nothing about hardware"


class SealingKeyError(VerificationError):
    """The key at hand is not the one that the enclave's claims name; whoever gave it lied, not the enclave."""


class Registry(Protocol):
    """What the check asks of the chain."""

    domain: Domain
    federation: bytes

    def enclave(self, enclave: bytes) -> RegisteredEnclave | None:
        """The enclave as registered."""

    def is_measurement_allowed(self, measurement: bytes) -> bool:
        """Whether the consortium voted for it."""

    def root_kind(self, root: bytes) -> RootKind | None:
        """What a root stands for by vote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedEnclave:
    """An enclave that may be sealed to."""

    enclave: bytes
    signer: Address
    """Whose receipts and results are this enclave's."""

    kem: int
    hpke_key: bytes
    verified: VerifiedQuote

    def describe(self) -> str:
        """One line for the owner; a simulated quote can't be missed."""
        kind = SIMULATED if self.verified.is_simulated else self.verified.root_kind.name.lower()
        open_steps = ", ".join(entry.name for entry in self.verified.not_checked) or "nothing"
        enclave, measurement = self.enclave.hex()[:16], self.verified.measurement.hex()[:16]
        return f"enclave {enclave} measurement {measurement} quote verified ({kind}); not checked: {open_steps}"


def check_enclave(
    registry: Registry, enclave: bytes, *, hpke_key: bytes, charter_hash: bytes, now_s: int, allow_simulated: bool
) -> CheckedEnclave:
    """The seven steps.

    enclave:         id of the round's enclave, from the spec.
    hpke_key:        the key to seal to, from anywhere.
    charter_hash:    SHA-256 of the charter that this participant trains for.
    now_s:           seconds since 1970, for the certificates of the quote.
    allow_simulated: whether a root that the consortium calls simulated will do.
    Raises: PolicyError (not acceptable), VerificationError (not authentic), MalformedError (not a quote).
    """
    registered = _check_1_registered(registry, enclave)
    _check_2_admitted(registered)
    _check_3_claims(registry, registered, charter_hash)
    _check_4_key(registered, hpke_key)
    root = _check_5_root(registry, registered)
    measurement = _check_6_measurement(registry, registered)
    verified = _check_7_quote(registered, root, measurement, now_s, allow_simulated)
    return CheckedEnclave(
        enclave=enclave,
        signer=registered.signer,
        kem=registered.claims.kem,
        hpke_key=hpke_key,
        verified=verified,
    )


def _check_1_registered(registry: Registry, enclave: bytes) -> RegisteredEnclave:
    registered = registry.enclave(enclave)
    if registered is None:
        raise PolicyError("enclave of the round", expected="a registered one", actual=enclave)
    named = enclave_id(registered.quote[:ENCLAVE_BODY_BYTES])
    if named != enclave:
        raise VerificationError("id of the enclave's quote", check="enclave 1", expected=enclave, actual=named)
    return registered


def _check_2_admitted(registered: RegisteredEnclave) -> None:
    if not registered.is_active or registered.root is None:
        raise PolicyError("enclave of the round", expected="admitted and active", actual="not, or not any more")


def _check_3_claims(registry: Registry, registered: RegisteredEnclave, charter_hash: bytes) -> None:
    claims, domain = registered.claims, registry.domain
    for what, expected, actual in (
        ("federation", registry.federation, claims.federation),
        ("chain id", domain.chain_id, claims.chain_id),
        ("ledger", domain.ledger, claims.ledger),
        ("charter", charter_hash, claims.policy),
    ):
        if expected != actual:
            raise VerificationError(f"{what} in the claims", check="enclave 3", expected=expected, actual=actual)


def _check_4_key(registered: RegisteredEnclave, hpke_key: bytes) -> None:
    if sha256(hpke_key) != registered.claims.hpke_key:
        raise SealingKeyError(
            "SHA-256 of the sealing key",
            check="enclave 4",
            expected=registered.claims.hpke_key,
            actual=sha256(hpke_key),
        )


def _check_5_root(registry: Registry, registered: RegisteredEnclave) -> TrustedRoot:
    root = registered.root or b""
    kind = registry.root_kind(root)
    if kind is None:
        raise PolicyError("root of the enclave's platform", expected="one trusted by vote", actual=root)
    return TrustedRoot(key_hash=root, kind=kind)


def _check_6_measurement(registry: Registry, registered: RegisteredEnclave) -> bytes:
    measurement = parse_quote(registered.quote).body.mrenclave
    if not registry.is_measurement_allowed(measurement):
        raise PolicyError("measurement of the enclave", expected="one allowed by vote", actual=measurement)
    return measurement


def _check_7_quote(
    registered: RegisteredEnclave, root: TrustedRoot, measurement: bytes, now_s: int, allow_simulated: bool
) -> VerifiedQuote:
    policy = Policy(
        measurements=frozenset({measurement}),
        report_data=report_data(signer=registered.signer, claims=registered.claims.sha256(), epoch=registered.epoch),
        allow_simulated_quotes=allow_simulated,
        insecure_without_collateral=True,  # CRLs and TCB info come with the attestation issue; describe() says so
    )
    return accept_quote(registered.quote, policy=policy, trust_store=TrustStore(roots=(root,)), now_s=now_s)
