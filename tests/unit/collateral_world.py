"""Steps 3, 4, 7 and 8 on a plan of evidence, and on the genuine one, without the rest of the recipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab.evidence.world import NOW_S, Plan
from protocol.attestation.certificates import Certificate, parse_certificate
from protocol.attestation.collateral import Collateral, LeastNumbers, VerifiedCollateral, verify_collateral
from protocol.attestation.layouts import TdReport
from protocol.attestation.pck import parse_pck_extension
from protocol.attestation.pck_chain import check_2_chain
from protocol.attestation.quote import parse_quote
from protocol.attestation.tcb import TcbStatus, Tee
from protocol.attestation.tcb_levels import check_7_tcb_level, check_8_tcb_status
from protocol.attestation.trust import INTEL_TRUST_STORE

GENUINE = Path(__file__).parent.parent / "vectors" / "quotes"
GENUINE_NOW_S = 1_750_500_000
"""2025-06-21, inside the windows of both genuine sets of collateral."""


@dataclass(frozen=True, kw_only=True)
class PlatformChain:
    """What step 2 gives."""

    leaf: Certificate
    authority: Certificate
    root: Certificate


def chain_of(plan: Plan) -> PlatformChain:
    leaf, authority, root = (parse_certificate(plan.certificate(role)) for role in ("leaf", "authority", "root"))
    return PlatformChain(leaf=leaf, authority=authority, root=root)


def genuine(name: str) -> tuple[bytes, PlatformChain]:
    """Collateral (JSON) and chain of "sgx" or "tdx"."""
    quote = parse_quote((GENUINE / f"{name}_quote").read_bytes())
    chain, _ = check_2_chain(quote, None, INTEL_TRUST_STORE, GENUINE_NOW_S)
    data = (GENUINE / f"{name}_quote_collateral.json").read_bytes()
    return data, PlatformChain(leaf=chain.leaf, authority=chain.authority, root=chain.root)


def verify(
    collateral: Collateral, chain: PlatformChain, tee: Tee, now_s: int, least: LeastNumbers | None = None
) -> VerifiedCollateral:
    return verify_collateral(
        collateral,
        tee=tee,
        leaf=chain.leaf,
        authority=chain.authority,
        root=chain.root,
        now_s=now_s,
        least=least,
    )


def verify_plan(plan: Plan, *, now_s: int = NOW_S, least: LeastNumbers | None = None) -> VerifiedCollateral:
    """Steps 3 and 4 of a plan's collateral, for the hardware of its quote."""
    tee = Tee.TDX if isinstance(plan.body, TdReport) else Tee.SGX
    return verify(plan.collateral(), chain_of(plan), tee, now_s, least)


def rate(plan: Plan) -> tuple[TcbStatus, tuple[str, ...]]:
    """Status and advisories of a plan's platform: steps 3, 4, 7 and 8."""
    verified = verify_plan(plan)
    extension = chain_of(plan).leaf.sgx_extension
    assert extension is not None
    body = plan.body if isinstance(plan.body, TdReport) else None
    match, _ = check_7_tcb_level(verified.tcb_info, parse_pck_extension(extension), body)
    status, advisories, _ = check_8_tcb_status(match, verified.qe_identity.level_of(plan.qe_report.isv_svn))
    return status, advisories
