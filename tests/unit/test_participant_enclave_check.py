"""A participant seals to an enclave that its consortium would believe, and to no other; each test breaks one thing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from participant.chain import RegisteredEnclave
from participant.enclave_check import SIMULATED, CheckedEnclave, Terms, check_enclave, check_shown
from protocol.attestation.trust import RootKind
from protocol.enclaves import Evidence, platform_of, shown
from protocol.errors import EncodingError, PolicyError, UnavailableError, VerificationError, VeriflockError
from protocol.hashing import sha256
from protocol.messages import Claims, Domain
from protocol.platforms import Authority, Tcb, TcbRating
from protocol.sealing import KEM_X25519
from tests.support.evidence import TestHardware, make_hardware
from tests.unit.participant_world import DOMAIN, FEDERATION, SIGNER, SOFTMAX

NOW_S = 1_760_000_000
MEASUREMENT = sha256(b"measured code")
HARDWARE = make_hardware(NOW_S)
OTHER_HARDWARE = make_hardware(NOW_S)
REVOKING = HARDWARE.revoking_itself()
BELIEVED = HARDWARE.vote
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
    protections=0xFF,
)


def evidence(claims: Claims = CLAIMS, measurement: bytes = MEASUREMENT, hardware: TestHardware = HARDWARE) -> Evidence:
    return hardware.evidence(signer=SIGNER, claims=claims, hpke_key=HPKE_KEY, measurement=measurement)


EVIDENCE = evidence()
ENCLAVE = EVIDENCE.enclave
REGISTERED = RegisteredEnclave(
    evidence=EVIDENCE, signer=SIGNER, epoch=1, authority=BELIEVED.row.authority, is_active=True
)


@dataclass
class Votes:
    """What the chain would say."""

    registered: RegisteredEnclave | None = REGISTERED
    measurements: frozenset[bytes] = frozenset({MEASUREMENT})
    trusted: Authority | None = BELIEVED.authority
    row: Tcb | None = BELIEVED.row
    domain: Domain = DOMAIN
    federation: bytes = FEDERATION

    def enclave(self, enclave: bytes) -> RegisteredEnclave | None:
        return self.registered

    def allowed_measurements(self) -> frozenset[bytes]:
        return self.measurements

    def authority(self, authority: bytes) -> Authority | None:
        return self.trusted if authority == BELIEVED.row.authority else None

    def tcb(self, tcb: bytes) -> Tcb | None:
        return self.row if tcb == BELIEVED.row.tcb else None


def fetch(digest: bytes) -> bytes:
    """Collateral as somebody serves it: by its hash, or not at all."""
    known = {sha256(data): data for data in (HARDWARE.collateral, OTHER_HARDWARE.collateral, REVOKING)}
    if digest not in known:
        raise UnavailableError("nobody has it")
    return known[digest]


def check(
    votes: Votes, *, enclave: bytes = ENCLAVE, allow: bool = True, now_s: int = NOW_S, **options: Any
) -> CheckedEnclave:
    terms = Terms(charter_hash=SOFTMAX.sha256(), allow_simulated=allow)
    return check_enclave(votes, enclave, terms=terms, now_s=now_s, **{"fetch": fetch, **options})


def registered(**changes: object) -> Votes:
    return Votes(registered=replace(REGISTERED, **changes))  # type: ignore[arg-type]


def with_evidence(**changes: object) -> Votes:
    return registered(evidence=replace(EVIDENCE, **changes))  # type: ignore[arg-type]


def with_claims(**changes: object) -> Votes:
    """Other claims, in a quote that really binds them."""
    claims = replace(CLAIMS, **changes)  # type: ignore[arg-type]
    return registered(evidence=evidence(claims))


def with_row(**changes: object) -> Votes:
    return Votes(row=replace(BELIEVED.row, **changes))  # type: ignore[arg-type]


def test_an_enclave_that_members_believe_is_accepted_and_said_to_be_simulated() -> None:
    checked = check(Votes())
    assert (checked.signer, checked.kem, checked.hpke_key) == (SIGNER, KEM_X25519, HPKE_KEY)
    assert SIMULATED in checked.describe()
    assert "TCB SWHardeningNeeded (SIMULATED-NOT-HARDWARE)" in checked.describe()
    assert checked.verified.not_checked == ()


def test_what_protections_an_enclave_lacks_is_said() -> None:
    votes = with_claims(protections=0x7F)
    assert votes.registered is not None
    enclave = votes.registered.evidence.enclave
    assert check(votes, enclave=enclave).describe().endswith("without system call filter")
    assert check(Votes()).describe().endswith("all protections")


@pytest.mark.parametrize(
    ("votes", "error", "message"),
    [
        (lambda: Votes(registered=None), PolicyError, "expected a registered one"),
        (lambda: registered(is_active=False), PolicyError, "expected registered and active"),
        (lambda: registered(signer=bytes(20)), VerificationError, "enclave 1: signer and epoch"),
        (lambda: registered(epoch=2), VerificationError, "enclave 1: signer and epoch"),
        (lambda: registered(evidence=evidence(measurement=bytes(32))), VerificationError, "enclave 1: id"),
        (lambda: Votes(measurements=frozenset()), PolicyError, "one allowed by vote, and there is none"),
        (lambda: Votes(measurements=frozenset({bytes(32)})), PolicyError, f"got 0x{MEASUREMENT.hex()}"),
        (lambda: registered(authority=bytes(32)), PolicyError, "authority of the enclave's platform"),
        (lambda: Votes(trusted=None), PolicyError, "authority of the enclave's platform"),
        (lambda: Votes(trusted=OTHER_HARDWARE.vote.authority), VerificationError, "enclave 4: key of the authority"),
        (lambda: Votes(row=None), PolicyError, "security versions of the platform: expected accepted by vote"),
        (lambda: Votes(row=OTHER_HARDWARE.vote.row), VerificationError, "TCB row of the platform"),
        (lambda: with_row(status=int(TcbRating.UP_TO_DATE)), PolicyError, "expected one of UpToDate"),
        (lambda: with_row(collateral=OTHER_HARDWARE.collateral_hash), VerificationError, "quote 3"),
        (lambda: with_row(collateral=sha256(REVOKING)), VerificationError, "quote 3"),
        (lambda: with_evidence(claims=replace(CLAIMS, nonce=sha256(b"x"))), VerificationError, "quote 10"),
        (lambda: with_evidence(hpke_key=bytes(32)), VerificationError, "SHA-256 of the sealing key"),
        (lambda: with_evidence(quote=EVIDENCE.quote[:-1]), VeriflockError, "length"),
        (lambda: with_evidence(quote=EVIDENCE.quote + b"\0"), VeriflockError, "behind|length"),
    ],
)
def test_anything_that_is_not_right_stops_it(votes: Callable[[], Votes], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        check(votes())


def test_an_authority_of_another_kind_or_root_than_its_own_is_noticed() -> None:
    other = replace(BELIEVED.authority, root=OTHER_HARDWARE.vote.authority.root)
    with pytest.raises(VerificationError, match="quote 2: key of the root"):
        check(Votes(trusted=other))
    with pytest.raises(PolicyError, match="simulated"):
        check(Votes(), allow=False)
    intel = replace(BELIEVED.authority, kind=RootKind.INTEL)
    assert not check(
        Votes(trusted=intel), allow=False
    ).verified.is_simulated  # the kind is the vote's, never evidence's


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
        check(votes, enclave=votes.registered.evidence.enclave)


def test_collateral_that_cannot_be_had_is_could_not_tell() -> None:
    with pytest.raises(UnavailableError, match="nobody has it"):
        check(with_row(collateral=bytes(32)))
    with pytest.raises(VerificationError, match="SHA-256 of the collateral"):
        check(Votes(), fetch=lambda _: OTHER_HARDWARE.collateral)


def test_collateral_is_good_until_it_is_due_and_no_longer() -> None:
    until = BELIEVED.row.expiry
    assert check(Votes(), now_s=until).verified.not_after_s == until
    with pytest.raises(VerificationError, match=r"quote [34]"):
        check(Votes(), now_s=until + 1)


def test_after_the_round_an_expired_registration_is_no_reason_to_doubt_it() -> None:
    assert check(registered(is_active=False), is_settled=True).enclave == ENCLAVE
    with pytest.raises(PolicyError, match="measurement of the enclave"):
        check(Votes(measurements=frozenset({bytes(32)})), is_settled=True)


def test_an_enclave_that_is_only_shown_is_held_to_the_same() -> None:
    chain_quote = HARDWARE.chain_quote(signer=SIGNER, claims=CLAIMS, measurement=MEASUREMENT)
    found, authority = shown(chain_quote, CLAIMS, HPKE_KEY)
    terms = Terms(charter_hash=SOFTMAX.sha256(), allow_simulated=True)
    votes = Votes(registered=None)
    checked = check_shown(votes, found, authority, terms=terms, fetch=fetch, now_s=NOW_S)
    assert (checked.enclave, checked.signer) == (ENCLAVE, SIGNER)
    stranger = evidence(hardware=OTHER_HARDWARE)
    with pytest.raises(PolicyError, match="authority of the enclave's platform"):
        check_shown(votes, stranger, OTHER_HARDWARE.vote.row.authority, terms=terms, fetch=fetch, now_s=NOW_S)
    with pytest.raises(VerificationError, match="quote 2"):  # its CA is not the one that it names
        check_shown(votes, stranger, authority, terms=terms, fetch=fetch, now_s=NOW_S)


def test_the_ledgers_form_of_a_quote_and_the_platforms_are_told_apart() -> None:
    chain_quote = HARDWARE.chain_quote(signer=SIGNER, claims=CLAIMS, measurement=MEASUREMENT)
    with pytest.raises(EncodingError, match="certification data of a quote"):
        platform_of(chain_quote, BELIEVED.row.authority)
    with pytest.raises(EncodingError, match="certification data of a quote"):
        shown(EVIDENCE.quote, CLAIMS, HPKE_KEY)
    assert platform_of(EVIDENCE.quote, BELIEVED.row.authority).tcb == BELIEVED.row.tcb
    assert platform_of(EVIDENCE.quote, BELIEVED.row.authority).certificate == BELIEVED.certificate


@pytest.mark.parametrize("at", [0, 60, 200, 400, 440, 560, 700, 1000, 1100, 1300, -1])
def test_a_changed_byte_of_the_quote_is_noticed(at: int) -> None:
    changed = bytearray(EVIDENCE.quote)
    changed[at] ^= 1
    with pytest.raises(VeriflockError):
        check(with_evidence(quote=bytes(changed)))
