"""Is the key that I am about to seal to that of an enclave which my consortium would believe?

Responsible for: the participant's check of an enclave, before anything is sealed, after a round settled, and of one
                 that is only shown.
Must not know:   the coordinator's opinion; training; what is sealed.

    1  registered   the registry has the enclave, and it is the one of the quote's header and body
    2  active       not revoked, not expired; measurement, authority and platform certificate still count
    3  claims       for this federation, chain, ledger and charter
    4  authority    the CA of the platform is trusted by vote, with its root and a kind
    5  tcb          the platform's security versions are accepted by vote
    6  collateral   the bytes that this vote names
    7  quote        the allowed code, the key that the claims name, and all eleven steps of the recipe, none left out

After settling step 2 is left out: an enclave may expire, and a revocation in a round would have voided it.  Of an
enclave that is shown, and perhaps not registered, steps 3 to 7 are done.  Collateral that nobody gives is "could not
tell": nothing is sealed, and it is asked for again.

The nonce in the claims is a recent block hash, which the registry compared when the enclave registered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from participant.chain import RegisteredEnclave
from protocol.attestation.protections import describe as describe_protections
from protocol.attestation.result import Verified
from protocol.enclaves import Evidence, accept_enclave, check_measured, platform_of, said_by
from protocol.errors import MalformedError, PolicyError, UnavailableError, VerificationError
from protocol.keys import Address
from protocol.messages import Claims, Domain
from protocol.platforms import Authority, Tcb

SIMULATED = "SIMULATED: says nothing about hardware"

FetchBlob = Callable[[bytes], bytes]
"""The bytes with that SHA-256, from anywhere.  Raises UnavailableError."""


class Registry(Protocol):
    """What the check asks of the chain."""

    domain: Domain
    federation: bytes

    def enclave(self, enclave: bytes) -> RegisteredEnclave | None:
        """The enclave as registered."""

    def allowed_measurements(self) -> frozenset[bytes]:
        """What the consortium voted for."""

    def authority(self, authority: bytes) -> Authority | None:
        """A CA that is trusted now."""

    def tcb(self, tcb: bytes) -> Tcb | None:
        """A row that is accepted now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the participant itself brings to the check."""

    charter_hash: bytes
    """SHA-256 of the charter that it trains for."""
    allow_simulated: bool
    """Whether a root that the consortium calls simulated will do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedEnclave:
    """An enclave that may be sealed to."""

    enclave: bytes
    signer: Address
    """Whose receipts and results are this enclave's."""

    claims: Claims
    hpke_key: bytes
    verified: Verified

    @property
    def kem(self) -> int:
        """HPKE KEM id of its key."""
        return self.claims.kem

    def describe(self) -> str:
        """One line for the owner; a simulated quote can't be missed."""
        verified = self.verified
        kind = SIMULATED if verified.is_simulated else verified.root_kind.name.lower()
        status = f"{verified.tcb_status} ({', '.join(verified.advisories) or 'no advisories'})"
        enclave, measurement = self.enclave.hex()[:16], verified.measurement.hex()[:16]
        _, missing = describe_protections(self.claims.protections)
        protections = f"without {', '.join(missing)}" if missing else "all protections"
        return f"enclave {enclave} measurement {measurement} quote verified ({kind}); TCB {status}; {protections}"


def check_enclave(
    registry: Registry, enclave: bytes, *, terms: Terms, fetch: FetchBlob, now_s: int, is_settled: bool = False
) -> CheckedEnclave:
    """The seven steps; the key to seal to is the ledger's.

    enclave:    id of the round's enclave, from the spec.
    fetch:      gives the collateral by its SHA-256.
    now_s:      seconds since 1970, for certificates and collateral.
    is_settled: after the round, when step 2 says nothing any more.
    Raises: PolicyError (not acceptable), VerificationError (not authentic), MalformedError (not a quote),
            UnavailableError (could not tell).
    """
    registered = _check_1_registered(registry, enclave)
    if not is_settled:
        _check_2_active(registered)
    return _checked(registry, registered.evidence, registered.authority, terms, fetch, now_s)


def check_shown(
    registry: Registry, evidence: Evidence, authority: bytes, *, terms: Terms, fetch: FetchBlob, now_s: int
) -> CheckedEnclave:
    """Steps 3 to 7 for evidence that somebody shows, whether or not the ledger has it.

    authority: id of the CA in the chain that was shown.
    Raises: as `check_enclave`.
    """
    return _checked(registry, evidence, authority, terms, fetch, now_s)


def _checked(
    registry: Registry, evidence: Evidence, authority_id: bytes, terms: Terms, fetch: FetchBlob, now_s: int
) -> CheckedEnclave:
    _check_3_claims(registry, evidence.claims, terms.charter_hash)
    measurements = registry.allowed_measurements()
    check_measured(evidence, measurements)  # of step 7, first: other code than was voted for is the plainest reason
    authority = _check_4_authority(registry, authority_id)
    row = _check_5_tcb(registry, evidence, authority_id)
    collateral = _check_6_collateral(row, fetch)
    signer, epoch = said_by(evidence.quote)
    verified = accept_enclave(
        evidence,
        signer=signer,
        epoch=epoch,
        authority=authority,
        row=row,
        measurements=measurements,
        collateral=collateral,
        now_s=now_s,
        allow_simulated=terms.allow_simulated,
    )
    return CheckedEnclave(
        enclave=evidence.enclave,
        signer=signer,
        claims=evidence.claims,
        hpke_key=evidence.hpke_key,
        verified=verified,
    )


def _check_1_registered(registry: Registry, enclave: bytes) -> RegisteredEnclave:
    registered = registry.enclave(enclave)
    if registered is None:
        raise PolicyError("enclave of the round", expected="a registered one", actual=enclave)
    named = registered.evidence.enclave
    if named != enclave:
        raise VerificationError("id of the enclave's quote", check="enclave 1", expected=enclave, actual=named)
    said = said_by(registered.evidence.quote)
    if said != (registered.signer, registered.epoch):
        raise VerificationError(
            "signer and epoch of the quote",
            check="enclave 1",
            expected=(registered.signer.hex(), registered.epoch),
            actual=(said[0].hex(), said[1]),
        )
    return registered


def _check_2_active(registered: RegisteredEnclave) -> None:
    if not registered.is_active:
        raise PolicyError("enclave of the round", expected="registered and active", actual="not, or not any more")


def _check_3_claims(registry: Registry, claims: Claims, charter_hash: bytes) -> None:
    domain = registry.domain
    for what, expected, actual in (
        ("federation", registry.federation, claims.federation),
        ("chain id", domain.chain_id, claims.chain_id),
        ("ledger", domain.ledger, claims.ledger),
        ("charter", charter_hash, claims.policy),
    ):
        if expected != actual:
            raise VerificationError(f"{what} in the claims", check="enclave 3", expected=expected, actual=actual)


def _check_4_authority(registry: Registry, authority_id: bytes) -> Authority:
    authority = registry.authority(authority_id)
    if authority is None:
        raise PolicyError("authority of the enclave's platform", expected="one trusted by vote", actual=authority_id)
    if authority.authority != authority_id:
        raise VerificationError(
            "key of the authority", check="enclave 4", expected=authority_id, actual=authority.authority
        )
    return authority


def _check_5_tcb(registry: Registry, evidence: Evidence, authority_id: bytes) -> Tcb:
    tcb = platform_of(evidence.quote, authority_id).tcb
    row = registry.tcb(tcb)
    if row is None:
        raise PolicyError("security versions of the platform", expected="accepted by vote", actual=tcb)
    return row


def _check_6_collateral(row: Tcb, fetch: FetchBlob) -> bytes:
    """Wrong bytes are whoever gave them: the same as none."""
    try:
        return fetch(row.collateral)
    except (VerificationError, MalformedError) as error:
        raise UnavailableError(f"the collateral that members voted for was not given: {error}") from error
