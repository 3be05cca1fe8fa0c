"""Evidence with exactly one thing wrong, signed again: each is refused at the step that looks at that thing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.evidence.certificates import NOW_S
from lab.evidence.faults import FAULTS, LOOK_ALIKE, POLICY, SGX, TDX, TDX_15, VALID, Fault
from lab.evidence.world import GUEST_MEASUREMENT, MEASUREMENT, REPORT_DATA, Plan
from protocol.attestation.certificates import P256_ORDER
from protocol.attestation.collateral import LeastNumbers, parse_collateral
from protocol.attestation.policy import Policy, check_policy
from protocol.attestation.quote import parse_quote
from protocol.attestation.result import Examination, Verified
from protocol.attestation.tcb import TcbStatus
from protocol.attestation.trust import HARDWARE_TRUST_STORE, SIMULATED_TRUST_STORE, RootKind, TrustStore
from protocol.attestation.verify import examine, insecure_verify_quote, verify_quote
from protocol.errors import PolicyError, VerificationError
from protocol.messages import enclave_id

STRICT = Policy(
    measurements=frozenset({MEASUREMENT, GUEST_MEASUREMENT}), report_data=REPORT_DATA, allow_simulated_quotes=True
)


def verify(plan: Plan, trust_store: TrustStore | None = None, least: LeastNumbers | None = None) -> Verified:
    evidence = plan.evidence()
    return verify_quote(
        evidence.quote,
        collateral=parse_collateral(evidence.collateral),
        report_data=REPORT_DATA,
        trust_store=trust_store or plan.trust_store(),
        now_s=NOW_S,
        least=least,
    )


def look_at(plan: Plan, nonce: bytes | None = REPORT_DATA) -> Examination:
    evidence = plan.evidence()
    return examine(
        evidence.quote,
        collateral_json=evidence.collateral,
        nonce=nonce,
        trust_store=plan.trust_store(),
        now_s=NOW_S,
    )


@pytest.mark.parametrize("plan", VALID.values(), ids=VALID)
def test_evidence_with_nothing_wrong_is_authentic_and_acceptable(plan: Plan) -> None:
    verified = verify(plan)
    assert (verified.tcb_status, verified.advisories) == (TcbStatus.UP_TO_DATE, ())
    assert [check.step for check in verified.checks] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert verified.not_checked == ()
    check_policy(verified, STRICT)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_one_thing_wrong_is_refused_where_it_is_looked_at(fault: Fault) -> None:
    seen = look_at(fault.plan)
    if fault.step == POLICY:
        assert seen.error is None
        assert seen.verified is not None
        with pytest.raises(PolicyError) as refused:
            check_policy(seen.verified, STRICT)
        assert fault.says in str(refused.value)
        return
    assert seen.error is not None
    assert (seen.error.check, seen.verified) == (f"quote {fault.step}", None)
    assert fault.says in str(seen.error)
    assert all(check.step < fault.step for check in seen.checks)


def test_no_two_faults_have_one_name() -> None:
    names = [fault.name for fault in FAULTS]
    assert sorted(set(names)) == sorted(names)


def test_the_same_plan_gives_the_same_bytes() -> None:
    assert SGX.evidence() == SGX.evidence()
    assert TDX.evidence().quote == TDX.evidence().quote


# Roots


def test_a_look_alike_of_intels_root_is_a_stranger() -> None:
    for trust_store in (HARDWARE_TRUST_STORE, SIMULATED_TRUST_STORE):
        with pytest.raises(VerificationError, match="key of the root") as refused:
            verify(LOOK_ALIKE, trust_store)
        assert refused.value.check == "quote 2"


def test_a_simulated_root_has_to_be_asked_for() -> None:
    with pytest.raises(VerificationError, match="key of the root"):
        verify(SGX, HARDWARE_TRUST_STORE)
    assert verify(SGX, SIMULATED_TRUST_STORE).root_kind is RootKind.SIMULATED


@pytest.mark.parametrize(
    ("path", "value"), [("root.organisation", "Intel Corporation"), ("root.name", "Intel SGX Root CA")]
)
def test_a_root_is_simulated_only_by_both_of_its_names(path: str, value: str) -> None:
    with pytest.raises(VerificationError, match="key of the root"):
        verify(SGX.but(path, value), SIMULATED_TRUST_STORE)


def test_a_root_of_another_kind_of_hardware_vouches_for_no_quote() -> None:
    with pytest.raises(VerificationError, match="key of the root"):
        verify(SGX, SGX.trust_store(RootKind.AWS))


# Statuses and advisories


def test_every_status_is_a_fact_and_acceptable_by_name_but_revoked() -> None:
    for status in (TcbStatus.SW_HARDENING_NEEDED, TcbStatus.CONFIGURATION_NEEDED, TcbStatus.OUT_OF_DATE):
        verified = verify(SGX.but("tcb_info.tcbLevels.0.tcbStatus", status.value))
        assert verified.tcb_status is status
        check_policy(verified, replace(STRICT, accept_statuses=frozenset({status})))
    revoked = verify(SGX.but("tcb_info.tcbLevels.0.tcbStatus", "Revoked"))
    with pytest.raises(PolicyError, match="got Revoked"):
        check_policy(revoked, replace(STRICT, accept_statuses=frozenset(TcbStatus) - {TcbStatus.REVOKED}))


def test_advisories_of_platform_and_qe_stand_in_order_once() -> None:
    plan = SGX.but("qe_report.isv_svn", 6).but("tcb_info.tcbLevels.0.advisoryIDs", ["SIMULATED-QE", "A"])
    assert verify(plan).advisories == ("A", "SIMULATED-QE")


def test_levels_are_found_in_whatever_order_they_are_written() -> None:
    levels = SGX.tcb_info["tcbLevels"]
    assert verify(SGX.but("tcb_info.tcbLevels", levels[::-1])).tcb_status is TcbStatus.UP_TO_DATE


def test_a_guest_started_on_an_old_module_should_be_started_again() -> None:
    old = bytes([3, 1, 2]) + bytes(13)
    assert verify(TDX_15.but("body.tee_tcb_svn", old)).tcb_status is TcbStatus.TD_RELAUNCH_ADVISED


# Time, roll-back


def test_the_window_is_that_of_everything_that_was_used() -> None:
    verified = verify(SGX.but("pck_crl.end_s", NOW_S + 5).but("qe_identity.issueDate", "2025-10-09T08:53:15Z"))
    assert (verified.not_before_s, verified.not_after_s) == (NOW_S - 5, NOW_S + 5)


@pytest.mark.parametrize(
    ("least", "step", "match"),
    [
        (LeastNumbers(root_crl=2), 3, "number of the root CRL"),
        (LeastNumbers(pck_crl=2), 3, "number of the PCK CRL"),
        (LeastNumbers(evaluation=18), 4, "evaluation number"),
    ],
)
def test_collateral_older_than_what_was_seen_is_refused(least: LeastNumbers, step: int, match: str) -> None:
    with pytest.raises(VerificationError, match=match) as refused:
        verify(SGX, least=least)
    assert refused.value.check == f"quote {step}"
    assert verify(SGX, least=LeastNumbers(root_crl=1, pck_crl=1, evaluation=17)).collateral is not None


# What could not be looked at


@pytest.mark.parametrize("missing", ["collateral", "report_data"])
def test_nothing_is_left_out_unless_one_says_insecure(missing: str) -> None:
    given = {"collateral": SGX.collateral(), "report_data": REPORT_DATA, missing: None}
    with pytest.raises(TypeError, match="insecure_verify_quote"):
        verify_quote(SGX.quote(), trust_store=SGX.trust_store(), now_s=NOW_S, **given)


def test_without_collateral_nobody_can_tell() -> None:
    evidence = SGX.evidence()
    seen = examine(evidence.quote, collateral_json=None, nonce=None, trust_store=SGX.trust_store(), now_s=NOW_S)
    assert (seen.error, seen.is_complete) == (None, False)
    assert [entry.step for entry in seen.not_checked] == [3, 4, 7, 8, 10]
    assert (seen.facts.measurement, seen.facts.tcb_status) == (MEASUREMENT, None)


def test_without_certificates_nobody_can_tell() -> None:
    seen = look_at(SGX.but("certification_type", 4))
    assert (seen.error, seen.verified, seen.is_complete) == (None, None, False)
    assert [entry.step for entry in seen.not_checked] == [2, 3, 4, 5, 6, 7, 8, 9, 10]
    with pytest.raises(VerificationError, match="certificates of the quote's platform"):
        verify(SGX.but("certification_type", 4))


def test_a_leaf_is_completed_by_its_issuers_alone() -> None:
    plan = SGX.but("certification_type", 4)
    verified = verify_quote(
        plan.quote(),
        collateral=plan.collateral(),
        report_data=REPORT_DATA,
        trust_store=plan.trust_store(),
        now_s=NOW_S,
        issuer_chain=plan.chain("authority", "root"),
    )
    assert verified.measurement == MEASUREMENT


def test_facts_stand_even_when_a_later_check_fails() -> None:
    seen = look_at(SGX.but("body.xfrm", 0))
    assert seen.facts.tcb_status is TcbStatus.UP_TO_DATE
    assert (seen.facts.measurement, seen.is_complete) == (MEASUREMENT, True)


def test_collateral_that_is_no_json_fails_step_4_of_a_good_quote() -> None:
    for text in (b"", b"{}", b"[]", b"\xff", b'{"tcb_info":1}', SGX.evidence().collateral[:-1]):
        seen = examine(SGX.quote(), collateral_json=text, nonce=None, trust_store=SGX.trust_store(), now_s=NOW_S)
        assert seen.error is not None
        assert (seen.error.check, seen.verified) == ("quote 4", None)


def test_a_nonce_is_the_report_data_filled_up_with_zeros() -> None:
    plan = SGX.but("body.report_data", b"nonce".ljust(64, b"\0"))
    assert look_at(plan, b"nonce").error is None
    for nonce in (b"nonc", b"once", b"nonce\1", bytes(65)):
        error = look_at(plan, nonce).error
        assert error is not None
        assert error.check == "quote 10"


# Identity of evidence


def test_the_mirrored_signature_is_the_same_enclave() -> None:
    quote = parse_quote(SGX.quote())
    s = P256_ORDER - int.from_bytes(quote.signature[32:])
    mirrored = replace(quote, signature=quote.signature[:32] + s.to_bytes(32)).encode()
    verified = insecure_verify_quote(
        mirrored, collateral=None, report_data=REPORT_DATA, trust_store=SGX.trust_store(), now_s=NOW_S
    )
    assert verified.measurement == MEASUREMENT
    assert enclave_id(parse_quote(mirrored).signed) == enclave_id(quote.signed)
