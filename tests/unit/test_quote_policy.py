"""Authentic is not acceptable: a policy refuses what it was not told to accept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.evidence.faults import SGX, TDX, TDX_15
from lab.evidence.world import MEASUREMENT, NOW_S, REPORT_DATA, Plan
from protocol.attestation.policy import Policy, accept_quote, check_policy, parse_policy
from protocol.attestation.result import Verified
from protocol.attestation.tcb import TcbStatus
from protocol.attestation.trust import RootKind
from protocol.attestation.verify import insecure_verify_quote
from protocol.errors import LengthError, MalformedError, PolicyError, VerificationError

QUOTE, TRUST_STORE = SGX.quote(), SGX.trust_store()

POLICY = Policy(
    measurements=frozenset({MEASUREMENT}),
    report_data=REPORT_DATA,
    allow_simulated_quotes=True,
    insecure_without_collateral=True,
)


def verified(quote: bytes = QUOTE) -> Verified:
    return insecure_verify_quote(quote, collateral=None, report_data=None, trust_store=TRUST_STORE, now_s=NOW_S)


def accept(quote: bytes, policy: Policy) -> Verified:
    return accept_quote(quote, policy=policy, trust_store=TRUST_STORE, now_s=NOW_S)


def test_a_quote_that_the_policy_names_is_accepted() -> None:
    assert accept(QUOTE, POLICY).measurement == MEASUREMENT


def test_a_simulated_quote_is_refused_by_default() -> None:
    with pytest.raises(PolicyError, match="says nothing about hardware"):
        accept(QUOTE, replace(POLICY, allow_simulated_quotes=False))


def test_a_quote_without_collateral_is_refused_by_default() -> None:
    with pytest.raises(PolicyError, match="3 revocation, 4 collateral, 7 TCB level, 8 TCB status"):
        accept(QUOTE, replace(POLICY, insecure_without_collateral=False))


@pytest.mark.parametrize("kinds", [frozenset({RootKind.AWS}), frozenset[RootKind]()])
def test_hardware_of_another_kind_is_refused(kinds: frozenset[RootKind]) -> None:
    intel = replace(verified(), root_kind=RootKind.INTEL)
    check_policy(intel, POLICY)
    with pytest.raises(PolicyError, match="kind of the quote's root"):
        check_policy(intel, replace(POLICY, root_kinds=kinds))


def test_another_measurement_is_refused() -> None:
    with pytest.raises(PolicyError, match="measurement of the enclave"):
        accept(SGX.but("body.mrenclave", bytes(32)).quote(), POLICY)


@pytest.mark.parametrize(
    ("flags", "match"),
    [(0x07, "debug flag"), (0x15, "provisioning and launch keys"), (0x25, "provisioning and launch")],
)
def test_no_policy_accepts_a_debug_or_privileged_enclave(flags: int, match: str) -> None:
    with pytest.raises(PolicyError, match=match):
        accept(SGX.but("body.flags", flags).quote(), POLICY)


def test_an_old_quote_is_refused_in_both_layers() -> None:
    other = replace(POLICY, report_data=REPORT_DATA[::-1])
    with pytest.raises(VerificationError, match="report data of the quote"):
        accept(QUOTE, other)
    with pytest.raises(PolicyError, match="report data of the enclave"):
        check_policy(verified(), other)


def test_a_policy_without_reference_values_cant_be_built() -> None:
    with pytest.raises(MalformedError, match="without measurements"):
        Policy(measurements=frozenset(), report_data=REPORT_DATA)
    with pytest.raises(LengthError, match="length of a measurement"):
        Policy(measurements=frozenset({b"short"}), report_data=REPORT_DATA)
    with pytest.raises(LengthError, match="length of report data"):
        Policy(measurements=frozenset({MEASUREMENT}), report_data=b"")
    with pytest.raises(MalformedError, match="without report data"):
        Policy(measurements=frozenset({MEASUREMENT}))
    with pytest.raises(MalformedError, match="no Revoked"):
        replace(POLICY, accept_statuses=frozenset({TcbStatus.REVOKED}))
    with pytest.raises(MalformedError, match="values of the register rtmr0"):
        replace(POLICY, registers={"rtmr0": frozenset()})
    with pytest.raises(LengthError, match="service TD"):
        replace(POLICY, service_tds=frozenset({bytes(32)}))


def test_simulated_is_no_kind_of_hardware() -> None:
    with pytest.raises(MalformedError, match="root kinds of a policy"):
        replace(POLICY, root_kinds=frozenset({RootKind.SIMULATED}))


def current(plan: Plan = SGX) -> Verified:
    """Verified with its collateral."""
    return insecure_verify_quote(
        plan.quote(), collateral=plan.collateral(), report_data=None, trust_store=plan.trust_store(), now_s=NOW_S
    )


STRICT = replace(POLICY, insecure_without_collateral=False)


def test_a_quote_with_collateral_needs_no_leniency() -> None:
    accept_quote(QUOTE, policy=STRICT, trust_store=TRUST_STORE, now_s=NOW_S, collateral=SGX.collateral())


def test_a_status_is_accepted_by_its_name_alone() -> None:
    behind = current(SGX.but("tcb_info.tcbLevels.0.tcbStatus", "SWHardeningNeeded"))
    with pytest.raises(PolicyError, match=r"expected one of UpToDate, got SWHardeningNeeded \(SIMULATED-OutOfDate\)"):
        check_policy(replace(behind, advisories=("SIMULATED-OutOfDate",)), STRICT)
    check_policy(behind, replace(STRICT, accept_statuses=frozenset({TcbStatus.SW_HARDENING_NEEDED})))


def test_an_unknown_status_is_not_up_to_date() -> None:
    with pytest.raises(PolicyError, match="TCB status of the platform"):
        check_policy(replace(current(), tcb_status=None), STRICT)


def test_leniency_about_collateral_is_none_about_a_status_that_is_known() -> None:
    with pytest.raises(PolicyError, match="got OutOfDate"):
        check_policy(current(SGX.but("platform.pce_svn", 5)), POLICY)


def test_registers_have_one_of_the_values_that_the_policy_names() -> None:
    guest = current(TDX)
    policy = replace(STRICT, measurements=frozenset({guest.measurement}))
    check_policy(guest, replace(policy, registers={"rtmr0": frozenset({b"\1" * 48}), "rtmr1": frozenset({bytes(48)})}))
    for name in ("rtmr1", "pcr1"):
        with pytest.raises(PolicyError, match=f"{name} of the enclave"):
            check_policy(guest, replace(policy, registers={name: frozenset({b"\1" * 48})}))


def test_service_tds_are_accepted_by_their_measurement() -> None:
    guest = current(TDX_15.but("body.mrservicetd", b"\1" * 48))
    policy = replace(STRICT, measurements=frozenset({guest.measurement}))
    check_policy(guest, replace(policy, service_tds=frozenset({b"\1" * 48})))
    with pytest.raises(PolicyError, match="service TD of the guest"):
        check_policy(guest, policy)


# A policy in a file


def test_a_written_policy_says_what_its_fields_say() -> None:
    text = b"""{"measurements": ["%s"], "report_data": "%s", "root_kinds": ["intel", "aws"],
        "accept_statuses": ["UpToDate", "SWHardeningNeeded"], "registers": {"rtmr0": ["00ff"]},
        "service_tds": [], "allow_simulated_quotes": true}"""
    assert parse_policy(text % (MEASUREMENT.hex().encode(), REPORT_DATA.hex().encode())) == Policy(
        measurements=frozenset({MEASUREMENT}),
        report_data=REPORT_DATA,
        root_kinds=frozenset({RootKind.INTEL, RootKind.AWS}),
        accept_statuses=frozenset({TcbStatus.UP_TO_DATE, TcbStatus.SW_HARDENING_NEEDED}),
        registers={"rtmr0": frozenset({b"\0\xff"})},
        service_tds=frozenset(),
        allow_simulated_quotes=True,
    )


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (b"", "not JSON"),
        (b"[]", "a map"),
        (b"{}", "without measurements"),
        (b'{"insecure_without_reference_values": true}', "without report data"),
        (b'{"measurment": []}', "field of a policy"),
        (b'{"measurements": [], "measurements": []}', "twice"),
        (b'{"measurements": "00"}', "expected a list"),
        (b'{"measurements": ["0"]}', "hexadecimal"),
        (b'{"measurements": ["AB"]}', "hexadecimal"),
        (b'{"measurements": ["00"]}', "length of a measurement"),
        (b'{"accept_statuses": ["Revoked"], "insecure_without_reference_values": true}', "report data"),
        (b'{"accept_statuses": ["Fine"]}', "value of accept_statuses"),
        (b'{"root_kinds": ["simulated"], "insecure_without_reference_values": true}', "report data"),
        (b'{"allow_simulated_quotes": 1}', "true or false"),
        (b'{"registers": []}', "a map"),
    ],
)
def test_a_policy_that_is_not_one_is_refused(text: bytes, match: str) -> None:
    with pytest.raises(MalformedError, match=match):
        parse_policy(text)
