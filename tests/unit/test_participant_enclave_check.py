"""A participant seals to the enclave that its consortium admitted, and to no other; each test breaks one thing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from coordinator.platform.quoting import SimulatedAttester
from participant.chain import RegisteredEnclave
from participant.enclave_check import SIMULATED, CheckedEnclave, check_enclave
from protocol.attestation.trust import RootKind
from protocol.errors import MalformedError, PolicyError, VerificationError, VeriflockError
from protocol.hashing import sha256
from protocol.messages import ENCLAVE_BODY_BYTES, Claims, Domain, enclave_id, report_data
from protocol.sealing import KEM_X25519
from tests.unit.participant_world import DOMAIN, FEDERATION, SIGNER, SOFTMAX
from tests.unit.quote_world import ATTESTATION_KEY, MEASUREMENT, NOW_S, PKI

HPKE_KEY = bytes(range(32))
CLAIMS = Claims(
    federation=FEDERATION,
    chain_id=DOMAIN.chain_id,
    ledger=DOMAIN.ledger,
    operator=bytes(20),
    kem=KEM_X25519,
    hpke_key=sha256(HPKE_KEY),
    policy=SOFTMAX.sha256(),
    nonce=bytes(32),
    state_version=0,
    state_hash=bytes(32),
)


def quote(claims: Claims = CLAIMS, measurement: bytes = MEASUREMENT) -> bytes:
    attester = SimulatedAttester(pki=PKI, attestation_key=ATTESTATION_KEY, measurement=measurement)
    return attester.quote(report_data(signer=SIGNER, claims=claims.sha256(), epoch=1))


QUOTE = quote()
ENCLAVE = enclave_id(QUOTE[:ENCLAVE_BODY_BYTES])
REGISTERED = RegisteredEnclave(
    enclave=ENCLAVE, signer=SIGNER, epoch=1, claims=CLAIMS, quote=QUOTE, is_active=True, root=PKI.root_key_hash
)


@dataclass
class Votes:
    """What the chain would say."""

    registered: RegisteredEnclave | None = REGISTERED
    measurements: frozenset[bytes] = frozenset({MEASUREMENT})
    kind: RootKind | None = RootKind.SIMULATED
    domain: Domain = DOMAIN
    federation: bytes = FEDERATION

    def enclave(self, enclave: bytes) -> RegisteredEnclave | None:
        return self.registered

    def is_measurement_allowed(self, measurement: bytes) -> bool:
        return measurement in self.measurements

    def root_kind(self, root: bytes) -> RootKind | None:
        return self.kind if root == PKI.root_key_hash else None


def check(votes: Votes, *, hpke_key: bytes = HPKE_KEY, enclave: bytes = ENCLAVE, allow: bool = True) -> CheckedEnclave:
    return check_enclave(
        votes,
        enclave,
        hpke_key=hpke_key,
        charter_hash=SOFTMAX.sha256(),
        now_s=NOW_S,
        allow_simulated=allow,
    )


def registered(**changes: object) -> Votes:
    return Votes(registered=replace(REGISTERED, **changes))  # type: ignore[arg-type]


def with_claims(**changes: object) -> Votes:
    """Other claims, in a quote that really binds them."""
    claims = replace(CLAIMS, **changes)  # type: ignore[arg-type]
    return registered(claims=claims, quote=quote(claims))


def test_an_admitted_enclave_is_accepted_and_said_to_be_simulated() -> None:
    checked = check(Votes())
    assert (checked.signer, checked.kem, checked.hpke_key) == (SIGNER, KEM_X25519, HPKE_KEY)
    assert SIMULATED in checked.describe()
    assert "not checked: revocation, collateral" in checked.describe()


@pytest.mark.parametrize(
    ("votes", "error", "message"),
    [
        (lambda: Votes(registered=None), PolicyError, "expected a registered one"),
        (lambda: registered(is_active=False), PolicyError, "expected admitted and active"),
        (lambda: registered(root=None), PolicyError, "expected admitted and active"),
        (lambda: registered(root=bytes(32)), PolicyError, "root of the enclave's platform"),
        (lambda: Votes(kind=None), PolicyError, "root of the enclave's platform"),
        (lambda: Votes(measurements=frozenset()), PolicyError, "expected one allowed by vote"),
        (lambda: Votes(kind=RootKind.INTEL), VerificationError, "quote 5"),
        (lambda: registered(signer=bytes(20)), VerificationError, "quote 10"),
        (lambda: registered(epoch=2), VerificationError, "quote 10"),
        (lambda: registered(claims=replace(CLAIMS, nonce=sha256(b"x"))), VerificationError, "quote 10"),
        (lambda: registered(quote=quote(measurement=bytes(32))), VerificationError, "enclave 1"),
        (lambda: registered(quote=QUOTE[:-1]), MalformedError, "length"),
        (lambda: registered(quote=QUOTE[:-1] + b"\1"), MalformedError, "PEM"),
    ],
)
def test_anything_that_is_not_right_stops_it(votes: Callable[[], Votes], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        check(votes())


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"federation": bytes(32)}, "federation in the claims"),
        ({"chain_id": 1}, "chain id in the claims"),
        ({"ledger": sha256(b"l")[:20]}, "ledger in the claims"),
        ({"policy": bytes(32)}, "charter in the claims"),
    ],
)
def test_an_enclave_of_another_federation_chain_ledger_or_charter_is_refused(
    change: dict[str, object], what: str
) -> None:
    votes = with_claims(**change)
    assert votes.registered is not None
    with pytest.raises(VerificationError, match=what):
        check(votes, enclave=enclave_id(votes.registered.quote[:ENCLAVE_BODY_BYTES]))


def test_a_key_that_the_claims_do_not_name_is_never_sealed_to() -> None:
    with pytest.raises(VerificationError, match="SHA-256 of the sealing key"):
        check(Votes(), hpke_key=bytes(32))


def test_a_simulated_quote_is_refused_unless_asked_for() -> None:
    with pytest.raises(PolicyError, match="simulated: says nothing about hardware"):
        check(Votes(), allow=False)


@pytest.mark.parametrize("at", [0, 60, 200, 400, 440, 560, 700, 1000])
def test_a_changed_byte_of_the_quote_is_noticed(at: int) -> None:
    changed = QUOTE[:at] + bytes([QUOTE[at] ^ 1]) + QUOTE[at + 1 :]
    with pytest.raises(VeriflockError):
        check(registered(quote=changed))
