"""Checks 7 to 12: how a round was opened, and with which enclave.

Responsible for: everything that was in force when a round began, from the state before its event.
Must not know:   results, artifacts.

Twins: RoundLedger.openRound, Enclaves.register.
"""

from __future__ import annotations

from protocol.attestation.certificates import parse_certificate
from protocol.attestation.result import Verified
from protocol.attestation.trust import RootKind
from protocol.enclaves import Evidence, accept_enclave, platform_of
from protocol.errors import MalformedError, UnavailableError, VerificationError
from protocol.hashing import sha256
from protocol.keys import to_hex
from protocol.messages import cohort_hash
from protocol.platforms import Authority, Tcb
from protocol.seeds import cohort_seed, sample_cohort
from protocol.terms import Terms
from verifier.state import Enclave, RoundState
from verifier.world import Case

MAX_SLACK_S = 3600
"""RoundLedger.MAX_SLACK: how much later than the windows a coordinator may set each deadline."""

BOND_BUDGETS = 4
"""RoundLedger.BOND_BUDGETS."""

LIFETIME_S = 30 * 86_400
"""Enclaves.LIFETIME: after that an operator registers anew."""

NONCE_BLOCKS = 256
"""The EVM's BLOCKHASH reaches so far back."""


def check_7_opened(case: Case) -> tuple[None, str]:
    """The next number, on the ledger's model and last result, by an admitted coordinator with enough bond."""
    spec, before = case.spec, case.round.before
    ledger, coordinator = before.ledger, case.opening.coordinator
    last = ledger.rounds.get(ledger.current)
    if last is not None and last.state not in (RoundState.SETTLED, RoundState.VOID):
        raise VerificationError(f"round {ledger.current}", expected="over", actual=last.state.name)
    genesis = case.world.deployment.ledger.word("genesisModel")
    expect("spec named in the event", spec.hash_struct(), case.opening.spec)
    expect("enclave named in the event", spec.enclave, case.opening.enclave)
    expect("number of the round", ledger.current + 1, spec.round_id)
    expect("federation", case.world.deployment.federation, spec.federation)
    expect("previous result", ledger.previous, spec.previous)
    expect("base model", ledger.model if any(ledger.model) else genesis, spec.base_model)
    if coordinator not in before.consortium.coordinators:
        raise VerificationError("coordinator", expected="one that the consortium admitted", actual=to_hex(coordinator))
    least = max(case.world.deployment.ledger.number("minimumBond"), BOND_BUDGETS * spec.budget)
    bond = ledger.bonds.get(coordinator, 0)
    if bond < least or ledger.treasury_wei < spec.budget:
        raise VerificationError(
            "bond and treasury in wei", expected=(least, spec.budget), actual=(bond, ledger.treasury_wei)
        )
    if ledger.frozen_by(coordinator) is not None:
        raise VerificationError("bond of the coordinator", expected="one of its own", actual="frozen by a verdict")
    case.world.calls.hold(case.round.opened.log, case.opening)
    return None, f"by {to_hex(coordinator)}, bond {bond} wei, on model {spec.base_model.hex()}"


def check_8_enclave(case: Case) -> tuple[Enclave, str]:
    """Registered by this coordinator, its claims made for here, its nonce fresh then."""
    enclave = _registered(case)
    event, deployment = enclave.event, case.world.deployment
    expect("id of the enclave", evidence_of(enclave).enclave, event.enclave)
    expect("operator", case.opening.coordinator, event.operator)
    claims = event.claims
    expect("operator claimed", event.operator, claims.operator)
    expect("federation claimed", deployment.federation, claims.federation)
    expect("chain id claimed", deployment.chain_id, claims.chain_id)
    expect("ledger claimed", deployment.ledger.address, claims.ledger)
    expect("policy claimed", deployment.consortium.word("charter"), claims.policy)
    expect("SHA-256 of the HPKE key", claims.hpke_key, sha256(event.hpke_key))
    expect("expiry of the registration", _expiry(enclave), event.expiry)
    case.world.calls.hold(enclave.log, event)
    number = enclave.log.block_number
    chain = case.world.chain
    for block in range(number - 1, max(number - 1 - NONCE_BLOCKS, -1), -1):
        if chain.header(block).hash == claims.nonce:
            return enclave, f"{event.enclave.hex()} of {to_hex(event.operator)}, nonce is the hash of block {block}"
    raise VerificationError("nonce claimed", expected="the hash of a block shortly before", actual=claims.nonce)


def check_9_quote(case: Case) -> tuple[Verified, str]:
    """All eleven steps at the time of registration, under the authority and by the TCB row that members voted for.

    The collateral is a blob of the run, named by the row: where nobody gives it, nobody can tell.
    """
    enclave = _registered(case)
    event = enclave.event
    authority, row = _believed(enclave)
    expect("TCB row of the platform", platform_of(event.quote, event.authority).tcb, event.tcb)
    expect("platform certificate", platform_of(event.quote, event.authority).certificate, event.certificate)
    verified = accept_enclave(
        evidence_of(enclave),
        signer=event.signer,
        epoch=event.epoch,
        authority=authority,
        row=row,
        measurements=enclave.measurements,
        collateral=_collateral(case, row),
        now_s=enclave.time_s,
        allow_simulated=True,  # the report says SIMULATED wherever it says anything
    )
    expect("whether the enclave is simulated", verified.is_simulated, event.simulated)
    kind = "SIMULATED, says nothing about hardware" if verified.is_simulated else verified.root_kind.name.lower()
    status = f"{verified.tcb_status} ({', '.join(verified.advisories) or 'no advisories'})"
    root = f"root {verified.root_key_hash.hex()} by vote: {kind}"
    return verified, f"{root}; TCB {status}, as voted; {len(verified.checks)} checks of the recipe hold"


def check_10_measurement(case: Case) -> tuple[None, str]:
    """Voted for and not expired when the round opened; still trusted when its result came and settled."""
    enclave = _registered(case)
    if enclave.event.measurement not in case.round.before.consortium.measurements:
        raise VerificationError("measurement", expected="one voted for", actual=enclave.event.measurement)
    expiry, end = enclave.event.expiry, case.spec.deadlines[4]
    if expiry < end:
        raise VerificationError("expiry of the enclave", expected=f"not before {end}", actual=expiry)
    moments = [("opening", case.round.before), ("proposing", case.round.before_proposal)]
    if case.round.state is RoundState.SETTLED:
        moments.append(("settling", case.round.before_close))
    for moment, state in moments:
        if state is not None and not state.is_enclave_trusted(enclave.event.enclave):
            raise VerificationError(f"enclave at {moment}", expected="registered and trusted", actual="not")
    return None, f"measurement {enclave.event.measurement.hex()} allowed, enclave trusted, expires {expiry}"


def check_11_spec(case: Case) -> tuple[Terms, str]:
    """What the coordinator may not choose is what the consortium set; deadlines keep their windows."""
    terms = case.round.before.consortium.terms_of(case.spec.round_id)
    if terms is None:
        raise VerificationError("terms in force", expected="some", actual="none")
    actual = Terms.of(case.spec, cohort_size=terms.cohort_size, windows=terms.windows)
    if actual != terms:
        raise VerificationError("terms of the spec", expected=terms, actual=actual)
    start = case.round.opened.time_s
    for deadline, window in zip(case.spec.deadlines, terms.windows, strict=True):
        if not start + window <= deadline <= start + window + MAX_SLACK_S:
            raise VerificationError("a deadline", expected=f"{window} to {window + MAX_SLACK_S} s on", actual=deadline)
        start = deadline
    return terms, f"terms {terms.hash().hex()} in force, rule {terms.rule}, f {terms.f}, deadlines within their windows"


def check_12_cohort(case: Case) -> tuple[None, str]:
    """Everybody who was active, or the sample that the chain's seed draws from them."""
    spec, registered = case.spec, case.round.before.active()
    terms = case.round.before.consortium.terms_of(spec.round_id)
    seed = cohort_seed(federation=spec.federation, round_id=spec.round_id, previous=spec.previous)
    size = 256 if terms is None or terms.cohort_size == 0 else terms.cohort_size
    drawn = sample_cohort(seed, registered, size)
    cohort = list(case.opening.cohort)
    if cohort != drawn:
        raise VerificationError("cohort", expected=[to_hex(a) for a in drawn], actual=[to_hex(a) for a in cohort])
    expect("hash of the cohort", cohort_hash(cohort), spec.cohort)
    registrations = [entry for entry in case.world.entries if entry.contract == "Participants"]
    case.world.calls.hold_all(x for x in registrations if x.log.place < case.round.opened.log.place)
    return None, f"{len(cohort)} of {len(registered)} active participants, drawn by seed {seed.hex()}"


def is_simulated(case: Case) -> bool:
    """Whether the round's enclave rests on a simulated root, or on none that is known."""
    enclave = case.round.before.enclaves.get(case.spec.enclave)
    return enclave is None or enclave.event.simulated


def evidence_of(enclave: Enclave) -> Evidence:
    """As registered."""
    return Evidence(quote=enclave.event.quote, claims=enclave.event.claims, hpke_key=enclave.event.hpke_key)


def expect(what: str, expected: object, actual: object) -> None:
    """Raises VerificationError unless they are equal."""
    if expected != actual:
        raise VerificationError(what, expected=expected, actual=actual)


def _registered(case: Case) -> Enclave:
    enclave = case.round.before.enclaves.get(case.spec.enclave)
    if enclave is None:
        raise VerificationError("enclave of the round", expected="a registered one", actual=case.spec.enclave)
    return enclave


def _believed(enclave: Enclave) -> tuple[Authority, Tcb]:
    """The authority and the row by which it was registered, as they stood then."""
    authority = enclave.platforms.authority(enclave.event.authority)
    if authority is None:
        raise VerificationError("authority of the platform", expected="one voted for", actual=enclave.event.authority)
    row = enclave.platforms.tcb(enclave.event.tcb)
    if row is None:
        raise VerificationError("TCB row of the platform", expected="one voted for", actual=enclave.event.tcb)
    if enclave.event.certificate in enclave.platforms.revoked:
        raise VerificationError("platform certificate", expected="not revoked", actual=enclave.event.certificate)
    expect("whether the enclave is simulated", authority.kind is RootKind.SIMULATED, enclave.event.simulated)
    return authority, row


def _expiry(enclave: Enclave) -> int:
    """What ends first: the registration's own life, the row's, the platform's certificate or its issuer's."""
    authority, row = _believed(enclave)
    leaf = platform_of(enclave.event.quote, enclave.event.authority).leaf
    issuers = (parse_certificate(der) for der in (authority.certificate, authority.root_certificate))
    ends = (issuer.not_after_s for issuer in issuers)
    return min(enclave.time_s + LIFETIME_S, row.expiry, leaf.not_after_s, *ends)


def _collateral(case: Case, row: Tcb) -> bytes:
    """Other bytes than the row names are the source's fault: nothing is known of the quote by that."""
    source = case.world.artifacts
    if source is None:
        raise UnavailableError("nobody said where the collateral is", "give --artifacts or --coordinator")
    try:
        return source.collateral(row.collateral)
    except (VerificationError, MalformedError) as error:
        raise UnavailableError(f"the collateral is not there: {error}", "ask another source for it") from error
