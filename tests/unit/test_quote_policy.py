"""Authentic is not acceptable: a policy refuses what it was not told to accept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.attestation.policy import Policy, accept_quote, check_policy
from protocol.attestation.trust import RootKind
from protocol.attestation.verify import VerifiedQuote, insecure_verify_unbound_quote, verify_quote
from protocol.errors import LengthError, MalformedError, PolicyError, VerificationError
from tests.unit.quote_world import MEASUREMENT, NOW_S, QUOTE, REPORT_DATA, TRUST_STORE, with_body

POLICY = Policy(
    measurements=frozenset({MEASUREMENT}),
    report_data=REPORT_DATA,
    allow_simulated_quotes=True,
    insecure_without_collateral=True,
)


def verified(quote: bytes = QUOTE) -> VerifiedQuote:
    return insecure_verify_unbound_quote(quote, trust_store=TRUST_STORE, now_s=NOW_S)


def accept(quote: bytes, policy: Policy) -> VerifiedQuote:
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
        accept(with_body(mrenclave=bytes(32)), POLICY)


@pytest.mark.parametrize(
    ("flags", "match"),
    [(0x07, "debug flag"), (0x15, "provisioning and launch keys"), (0x25, "provisioning and launch")],
)
def test_no_policy_accepts_a_debug_or_privileged_enclave(flags: int, match: str) -> None:
    with pytest.raises(PolicyError, match=match):
        accept(with_body(flags=flags), POLICY)


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
    with pytest.raises(TypeError, match="report_data"):
        Policy(measurements=frozenset({MEASUREMENT}))  # type: ignore[call-arg]


def test_simulated_is_no_kind_of_hardware() -> None:
    with pytest.raises(MalformedError, match="root kinds of a policy"):
        replace(POLICY, root_kinds=frozenset({RootKind.SIMULATED}))


def test_the_strict_policy_refuses_a_bound_and_genuine_quote_too() -> None:
    bound = verify_quote(QUOTE, report_data=REPORT_DATA, trust_store=TRUST_STORE, now_s=NOW_S)
    strict = Policy(measurements=frozenset({MEASUREMENT}), report_data=REPORT_DATA)
    with pytest.raises(PolicyError, match="steps of the verification that were not done"):
        check_policy(replace(bound, root_kind=RootKind.INTEL), strict)
