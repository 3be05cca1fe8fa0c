"""The registry and Python give the same verdict on every piece of evidence of the fault library.

Members vote what follows from the evidence's collateral, as honest ones do: the CA, a row for the platform, and what
its revocation list names.  Collateral that does not verify gives no votes, and then nothing is registered.  With the
votes in place the same bytes go to `Enclaves.register`, in a block of the very second, and to `accept_enclave`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from coordinator import anvil
from coordinator.chain import Chain, RevertedError
from coordinator.consortium import Motion, about, accept_tcb, allow, revoke_certificate, trust_authority
from coordinator.platform_votes import PlatformVote, read_platform
from lab.evidence.certificates import NOW_S
from lab.evidence.faults import FAULTS, SGX, VALID
from lab.evidence.world import MEASUREMENT, REPORT_DATA, Plan
from protocol.attestation.certificates import parse_certificate, parse_pem_chain
from protocol.attestation.collateral import encode_collateral
from protocol.attestation.crls import parse_crl
from protocol.attestation.quote import PCK_LEAF, parse_quote
from protocol.attestation.tcb import TcbStatus
from protocol.attestation.trust import RootKind, TrustedRoot
from protocol.enclaves import Evidence, accept_enclave, platform_of_leaf, public_collateral
from protocol.errors import MalformedError, VeriflockError
from protocol.events import Action
from protocol.hashing import sha256
from protocol.keys import Address, address
from protocol.messages import Claims, report_data
from protocol.platforms import Authority, QeIdentity, Tcb, TcbRating, authority_id
from tests.support.anvil import TestChain
from tests.support.federation import TestFederation, admit_coordinator, found

GENUINE = Path(__file__).parent.parent / "vectors" / "quotes"
HPKE_KEY = bytes(range(32))
SIGNER = address(sha256(b"a signing key"))
EPOCH = 1

PLANS: dict[str, Plan] = {**VALID, **{fault.name: fault.plan for fault in FAULTS}}


@dataclass(frozen=True, kw_only=True)
class Ballot:
    """What members hold of the evidence's platform."""

    vote: PlatformVote
    revoked: tuple[int, ...]
    """Serial numbers in the CA's list."""
    collateral: bytes

    def motions(self) -> list[Motion]:
        """In the order in which they are carried."""
        authority = self.vote.authority
        revocations = [revoke_certificate(authority.authority, serial) for serial in self.revoked]
        return [trust_authority(authority), accept_tcb(self.vote.row), *revocations]


@dataclass(frozen=True)
class Registry:
    """A federation whose clock stands a little before the evidence's."""

    chain: TestChain
    federation: TestFederation
    operator: Address

    @contextmanager
    def after(self, motions: list[Motion]) -> Iterator[Claims]:
        """The motions carried and a block of the evidence's second mined; all of it taken back at the end."""
        snapshot = self.chain.ask("evm_snapshot")
        try:
            for motion in motions:
                allow(self.federation.members, motion)
            nonce = self.chain.chain.block("latest")
            assert nonce.hash is not None
            self.chain.ask("evm_setNextBlockTimestamp", NOW_S)
            self.chain.ask("evm_mine")
            yield self.claims(nonce.hash)
        finally:
            self.chain.ask("evm_revert", snapshot)

    def claims(self, nonce: bytes) -> Claims:
        """Of an enclave of this operator."""
        ledger = self.federation.ledger
        return Claims(
            federation=self.federation.deployment.federation,
            chain_id=ledger.chain.chain_id(),
            ledger=self.federation.deployment.ledger,
            operator=self.operator,
            kem=self.federation.founding.charter.kem,
            hpke_key=sha256(HPKE_KEY),
            policy=self.federation.founding.charter.sha256(),
            nonce=nonce,
            state_version=0,
            state_hash=bytes(32),
            protections=0,
        )

    def refusal(self, evidence: Evidence, authority: bytes) -> str | None:
        """The name of the error with which the contract refuses, None where it registers."""
        block = self.chain.chain.block("latest").number - 1
        try:
            self.chain.chain.simulate(self.federation.ledger.register_call(evidence, authority, block), self.operator)
        except RevertedError as error:
            return error.name
        return None


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with anvil.start(genesis_s=NOW_S - 3000) as running:
        chain = TestChain(rpc=running.rpc, chain=Chain(running.rpc, timeout_s=10))
        federation = found(chain, "verdicts")
        key = chain.key("verdicts coordinator")
        admit_coordinator(federation, key)
        allow(federation.members, about(Action.ALLOW_MEASUREMENT, MEASUREMENT))
        yield Registry(chain, federation, address(key))


def ballot_on(plan: Plan) -> Ballot | None:
    """What honest and strict members vote; they know the platform from its own leaf, or from a healthy one."""
    root = TrustedRoot(key_hash=plan.root_key_hash, kind=RootKind.SIMULATED)
    for known in (plan, plan.but("leaf", SGX.leaf).but("platform", SGX.platform)):
        try:
            collateral = replace(plan.collateral(), pck_certificate_chain=known.chain("leaf", "authority", "root"))
            text = encode_collateral(collateral)
            vote = read_platform(text, root=root, now_s=NOW_S)
            vote.check_status(frozenset({TcbStatus.UP_TO_DATE}))
            revoked = tuple(sorted(parse_crl(collateral.pck_crl).serials))
            return Ballot(vote=vote, revoked=revoked, collateral=public_collateral(text))
        except VeriflockError:
            continue
    return None


def in_the_ledgers_form(quote: bytes) -> bytes:
    """With the leaf alone where that can be told; the bytes as they are where it can't."""
    try:
        parsed = parse_quote(quote)
        return parsed.encode() if parsed.certification_type == PCK_LEAF else parsed.with_leaf_only().encode()
    except MalformedError:
        return quote


def bound(plan: Plan, claims: Claims) -> Plan:
    """The plan for an enclave that says these claims; one whose fault is its report data keeps that."""
    if plan.body.report_data != REPORT_DATA:
        return plan
    return plan.but("body.report_data", report_data(signer=SIGNER, claims=claims.sha256(), epoch=EPOCH))


def python_refuses(evidence: Evidence, ballot: Ballot) -> str | None:
    """The production code's verdict on the same bytes under the same votes."""
    try:
        accept_enclave(
            evidence,
            signer=SIGNER,
            epoch=EPOCH,
            authority=ballot.vote.authority,
            row=ballot.vote.row,
            measurements=frozenset({MEASUREMENT}),
            collateral=ballot.collateral,
            now_s=NOW_S,
            allow_simulated=True,
        )
    except VeriflockError as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", PLANS)
def test_contract_and_python_agree(registry: Registry, name: str) -> None:
    plan = PLANS[name]
    ballot = ballot_on(plan)

    with registry.after([] if ballot is None else ballot.motions()) as claims:
        evidence = Evidence(
            quote=in_the_ledgers_form(bound(plan, claims).evidence().quote), claims=claims, hpke_key=HPKE_KEY
        )
        authority = parse_certificate(plan.certificate("authority")).public_key if ballot else b""
        contract = registry.refusal(evidence, authority_id(authority) if ballot else sha256(b"nobody"))

    python = "no votes: the collateral does not verify" if ballot is None else python_refuses(evidence, ballot)
    assert (contract is None) == (python is None), (contract, python)


def test_both_accept_what_is_valid(registry: Registry) -> None:
    ballot = ballot_on(SGX)
    assert ballot is not None

    with registry.after(ballot.motions()) as claims:
        quote = in_the_ledgers_form(bound(SGX, claims).evidence().quote)
        evidence = Evidence(quote=quote, claims=claims, hpke_key=HPKE_KEY)

        assert registry.refusal(evidence, ballot.vote.authority.authority) is None
        assert python_refuses(evidence, ballot) is None


def test_the_contract_reads_a_genuine_certificate_and_stops_only_at_code_nobody_voted_for(registry: Registry) -> None:
    quote = parse_quote((GENUINE / "sgx_quote").read_bytes())
    leaf, authority, root = map(parse_certificate, parse_pem_chain(quote.certificates, count=3))
    platform = platform_of_leaf(leaf, authority_id(authority.public_key))
    qe = QeIdentity(
        mrsigner=quote.qe_report.mrsigner,
        product=1,
        svn=quote.qe_report.isv_svn,
        misc_select=0,
        misc_select_mask=0xFFFFFFFF,
        attributes=bytes([0x11]) + bytes(15),
        attributes_mask=bytes.fromhex("fbffffffffffffff0000000000000000"),
    )
    trusted = Authority(
        kind=RootKind.INTEL,
        root=sha256(root.public_key),
        certificate=authority.der,
        root_certificate=root.der,
        qe=qe,
    )
    row = Tcb(
        authority=platform.authority,
        fmspc=platform.fmspc,
        pce_id=platform.pce_id,
        cpu_svn=platform.cpu_svn,
        pce_svn=platform.pce_svn,
        status=int(TcbRating.CONFIGURATION_AND_SW_HARDENING_NEEDED),
        expiry=NOW_S + 1000,
        collateral=bytes(32),
    )
    motions = [trust_authority(trusted), accept_tcb(row)]

    with registry.after(motions) as claims:
        evidence = Evidence(quote=quote.with_leaf_only().encode(), claims=claims, hpke_key=HPKE_KEY)
        unknown = registry.refusal(evidence, trusted.authority)
    assert not isinstance(quote.body, bytes)
    measurement = quote.encode()[112:144]
    with registry.after([*motions, about(Action.ALLOW_MEASUREMENT, measurement)]) as claims:
        evidence = Evidence(quote=quote.with_leaf_only().encode(), claims=claims, hpke_key=HPKE_KEY)
        known = registry.refusal(evidence, trusted.authority)

    assert (unknown, known) == ("MeasurementNotAllowed", "WrongTag")
