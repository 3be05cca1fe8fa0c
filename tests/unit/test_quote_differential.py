"""Our verifier beside dcap-qvl, which others wrote: on all valid evidence, on every fault, and where the two differ.

Both are asked for a status and advisories of the same bytes under the same root; neither applies a policy.
"""

from __future__ import annotations

from pathlib import Path

import dcap_qvl
import pytest

from lab.evidence.faults import FAULTS, SGX, VALID, Fault
from lab.evidence.world import NOW_S, Evidence
from protocol.attestation.collateral import parse_collateral
from protocol.attestation.trust import INTEL_TRUST_STORE, TrustStore
from protocol.attestation.verify import insecure_verify_quote
from protocol.errors import VeriflockError

VECTORS = Path(__file__).parents[1] / "vectors" / "quotes"
GENUINE_S = 1_750_500_000
"""2025-06-21: inside the windows of both genuine files."""

Verdict = tuple[str, frozenset[str]]
"""Status and advisories."""
REFUSED: Verdict = ("refused", frozenset())


def ours(evidence: Evidence, trust_store: TrustStore, now_s: int) -> Verdict:
    try:
        verified = insecure_verify_quote(
            evidence.quote,
            collateral=parse_collateral(evidence.collateral),
            report_data=None,
            trust_store=trust_store,
            now_s=now_s,
        )
    except VeriflockError:
        return REFUSED
    assert verified.tcb_status is not None
    return verified.tcb_status.value, frozenset(verified.advisories)


def theirs(evidence: Evidence, now_s: int) -> Verdict:
    try:
        collateral = dcap_qvl.QuoteCollateralV3.from_json(evidence.collateral.decode())
        report = dcap_qvl.verify_with_root_ca(evidence.quote, collateral, evidence.root, now_s)
    except ValueError:
        return REFUSED
    return report.status, frozenset(report.advisory_ids)


@pytest.mark.parametrize("tee", ["sgx", "tdx"])
def test_both_say_the_same_of_genuine_evidence(tee: str) -> None:
    evidence = Evidence(
        quote=(VECTORS / f"{tee}_quote").read_bytes(),
        collateral=(VECTORS / f"{tee}_quote_collateral.json").read_bytes(),
        root=(VECTORS / "IntelSGXRootCA.der").read_bytes(),
    )
    verdict = ours(evidence, INTEL_TRUST_STORE, GENUINE_S)
    assert verdict == theirs(evidence, GENUINE_S)
    assert verdict[0] == {"sgx": "ConfigurationAndSWHardeningNeeded", "tdx": "UpToDate"}[tee]


WE_READ_MORE = {
    "sgx-v3-no-auth": "the QE may mix in as many bytes as it likes, they want 32",
    "sgx-v3-long-auth": "the same",
    "sgx-v4": "an enclave's report in the newer layouts, of which they read guests' alone",
    "sgx-v5": "the same",
}
"""Valid evidence that they refuse, and why we don't."""

WE_ARE_STRICTER = {
    "behind-the-end": "they do not look behind the signature data",
    "leaf-without-aki": "they go by names and signatures and not by key identifiers",
    "leaf-without-ski": "the same",
    "authority-without-ids": "the same",
    "leaf-other-aki": "the same",
    "pck-crl-other-aki": "the same",
    "root-signed-by-stranger": "they take the root from their caller and do not look at the one in the chain",
    "root-in-the-future": "the same",
    "chain-of-two": "the same",
    "chain-of-four": "they build a path from what there is, we want three certificates",
    "leaf-of-the-root": "the same",
    "authority-may-issue-cas": "they check that a path is valid, we also that it is the genuine one's",
    "authority-usage": "the same",
    "ppid-of-another": "they use the supplied chain without comparing it with what the quote names",
    "root-crl-in-the-future": "they check that a list is not too old, and not that it is not too new",
    "tcb-signer-is-a-pck": "they take whatever the root issued for a TCB signer",
    "tcb-signer-other-role": "the same",
    "tcb-info-version-2": "they want version 3 for guests only",
    "four-components": "a level with too few components matches nothing for them, the whole text is wrong for us",
    "no-components": "the same",
    "qe-reserved": "reserved bytes and flags mean nothing to them",
    "reserved-byte": "the same",
    "reserved-flag": "the same",
    "not-initialised": "they do not look at INIT",
    "no-sse": "they do not look at the processor state",
    "guest-no-sse": "the same",
    "reserved-state": "the same",
    "qe-reserved-state": "the same",
    "guest-reserved-state": "the same",
    "other-pceid": "they compare FMSPC and not PCEID",
    "cpusvn-is-not-its-components": "they read one of the two",
}
"""Faults that we refuse and they don't, and why."""

OUR_POLICY_REFUSES = {
    "platform-Revoked": "Revoked is a status for us, which no policy can accept, and a failure for them",
    "qe-revoked": "the same",
    "module-revoked": "the same",
    "debug": "a debug flag is a fact for us, which no policy accepts, and a failure for them",
    "guest-debug": "the same",
    "guest-under-debug": "the same",
    "guest-can-be-interrupted": "the same of SEPT_VE_DISABLE",
    "service-td": "the same of guests that may act on this one",
}
"""Authentic for us, so that a report can say what it is; refused by the policy, and by them at once."""


@pytest.mark.parametrize("name", VALID)
def test_both_say_the_same_of_valid_evidence_unless_it_is_listed(name: str) -> None:
    evidence = VALID[name].evidence()
    assert ours(evidence, VALID[name].trust_store(), NOW_S) == ("UpToDate", frozenset())
    assert (theirs(evidence, NOW_S) == REFUSED) is (name in WE_READ_MORE)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_both_say_the_same_of_a_fault_unless_it_is_listed(fault: Fault) -> None:
    evidence = fault.plan.evidence()
    we, they = ours(evidence, fault.plan.trust_store(), NOW_S), theirs(evidence, NOW_S)
    if fault.name in WE_ARE_STRICTER:
        assert we == REFUSED != they
    elif fault.name in OUR_POLICY_REFUSES:
        assert we != REFUSED == they
    else:
        assert we == they


def test_the_lists_name_evidence_that_exists() -> None:
    names = {fault.name for fault in FAULTS}
    assert {*WE_ARE_STRICTER, *OUR_POLICY_REFUSES} <= names
    assert set(WE_READ_MORE) <= set(VALID)


def test_both_refuse_all_of_it_under_intels_root() -> None:
    evidence = SGX.evidence()
    under_intel = Evidence(
        quote=evidence.quote, collateral=evidence.collateral, root=(VECTORS / "IntelSGXRootCA.der").read_bytes()
    )
    assert ours(evidence, INTEL_TRUST_STORE, NOW_S) == theirs(under_intel, NOW_S) == REFUSED
