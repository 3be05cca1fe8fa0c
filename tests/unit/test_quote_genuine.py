"""Genuine evidence of Intel's hardware: authentic inside its window, and nothing else than exactly that."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.attestation.collateral import Collateral, parse_collateral
from protocol.attestation.policy import Policy, check_policy
from protocol.attestation.quote import parse_quote
from protocol.attestation.result import Format, Verified
from protocol.attestation.tcb import TcbStatus
from protocol.attestation.trust import AWS_ROOT, HARDWARE_TRUST_STORE, SIMULATED_TRUST_STORE, RootKind, TrustStore
from protocol.attestation.verify import examine, insecure_verify_quote, verify_quote
from protocol.errors import PolicyError, VerificationError

VECTORS = Path(__file__).parents[1] / "vectors" / "quotes"
KINDS = ("sgx", "tdx")
DAY_S = 86_400
WINDOWS = {"sgx": (1_750_330_571, 1_752_919_278), "tdx": (1_750_329_147, 1_752_919_235)}
"""2025-06-19T10:56:11Z to 2025-07-19T10:01:18Z, and 10:32:27Z to 10:00:35Z of the same days."""
QUOTES = {kind: (VECTORS / f"{kind}_quote").read_bytes() for kind in KINDS}
COLLATERAL = {kind: (VECTORS / f"{kind}_quote_collateral.json").read_bytes() for kind in KINDS}
NOW_S = 1_751_328_000  # 2025-07-01


def verify(
    kind: str,
    quote: bytes | None = None,
    collateral: Collateral | None = None,
    now_s: int = NOW_S,
    trust_store: TrustStore = HARDWARE_TRUST_STORE,
) -> Verified:
    quote = QUOTES[kind] if quote is None else quote
    return verify_quote(
        quote,
        collateral=collateral or parse_collateral(COLLATERAL[kind]),
        report_data=parse_quote(QUOTES[kind]).body.report_data,
        trust_store=trust_store,
        now_s=now_s,
    )


def test_a_genuine_sgx_quote_is_authentic_and_says_how_current_its_platform_is() -> None:
    verified = verify("sgx")
    assert (verified.format, verified.root_kind) == (Format.SGX_V3, RootKind.INTEL)
    assert verified.tcb_status is TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED
    assert verified.advisories == ("INTEL-SA-00289", "INTEL-SA-00615")
    assert verified.measurement.hex() == "33d8736db756ed4997e04ba358d27833188f1932ff7b1d156904d3f560452fbb"
    assert verified.report_data == b"Hello, world!".ljust(64, b"\0")
    assert (verified.is_debug, verified.is_privileged) == (False, False)


def test_a_genuine_tdx_quote_is_authentic_and_up_to_date() -> None:
    verified = verify("tdx")
    assert (verified.format, verified.root_kind) == (Format.TDX_V4, RootKind.INTEL)
    assert (verified.tcb_status, verified.advisories) == (TcbStatus.UP_TO_DATE, ())
    assert verified.measurement == verified.measurements["mrtd"] == QUOTES["tdx"][184:232]
    assert verified.measurements["rtmr0"] == QUOTES["tdx"][376:424]
    assert verified.report_data == QUOTES["tdx"][568:632]
    assert (verified.is_debug, verified.is_sept_ve_disabled, verified.service_tds) == (False, True, ())


def test_only_what_is_up_to_date_is_acceptable_to_the_strict_policy() -> None:
    for kind in KINDS:
        verified = verify(kind)
        policy = Policy(measurements=frozenset({verified.measurement}), report_data=verified.report_data)
        if kind == "tdx":
            check_policy(verified, policy)
            continue
        with pytest.raises(PolicyError, match="TCB status of the platform"):
            check_policy(verified, policy)
        check_policy(verified, replace(policy, accept_statuses=frozenset({verified.tcb_status})))


@pytest.mark.parametrize("kind", KINDS)
def test_the_window_is_the_stated_one_and_both_its_ends_are_in_it(kind: str) -> None:
    start_s, end_s = WINDOWS[kind]
    verified = verify(kind)
    assert (verified.not_before_s, verified.not_after_s) == (start_s, end_s)
    for now_s in (start_s, end_s):
        assert verify(kind, now_s=now_s) == verified
    for now_s in (start_s - DAY_S, start_s - 1, end_s + 1, end_s + DAY_S):
        with pytest.raises(VerificationError, match="validity of the"):
            verify(kind, now_s=now_s)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "trust_store", [SIMULATED_TRUST_STORE, TrustStore(roots=(AWS_ROOT,))], ids=["simulated", "aws"]
)
def test_genuine_evidence_is_refused_under_any_other_root(kind: str, trust_store: TrustStore) -> None:
    with pytest.raises(VerificationError, match="key of the root"):
        verify(kind, trust_store=trust_store)


@pytest.mark.parametrize("kind", KINDS)
def test_no_byte_of_a_genuine_quote_can_change(kind: str) -> None:
    quote, survivors = QUOTES[kind], []
    for offset in range(len(quote)):
        changed = bytearray(quote)
        changed[offset] ^= 0x01
        try:
            insecure_verify_quote(
                bytes(changed), collateral=None, report_data=None, trust_store=HARDWARE_TRUST_STORE, now_s=NOW_S
            )
        except VerificationError:
            continue
        survivors.append(offset)
    # A NUL at the very end of the PEM may be there or not; a line feed may not become a vertical tab.
    assert survivors == []


def test_zero_padding_of_any_length_is_no_part_of_a_quote() -> None:
    quote = QUOTES["tdx"].rstrip(b"\0") + b"\0"  # the NUL behind the PEM
    whole = verify("tdx")
    for padding in (0, 1, 69, 3065):
        padded = quote + bytes(padding)
        assert replace(verify("tdx", padded), checks=()) == replace(whole, checks=())


@pytest.mark.parametrize("kind", KINDS)
def test_no_character_of_genuine_collateral_can_change(kind: str) -> None:
    """Every 29th character of the JSON, which meets all parts; what may change is white space of PEM."""
    text = COLLATERAL[kind]
    for offset in range(7, len(text), 29):
        changed = bytearray(text)
        changed[offset] ^= 0x01
        seen = examine(
            QUOTES[kind],
            collateral_json=bytes(changed),
            nonce=None,
            trust_store=HARDWARE_TRUST_STORE,
            now_s=NOW_S,
        )
        assert seen.error is not None, f"{offset}: {text[offset - 20 : offset + 20]!r}"


@pytest.mark.parametrize("part", json.loads(COLLATERAL["sgx"]))
def test_collateral_of_another_platform_does_not_do(part: str) -> None:
    sgx, tdx = (parse_collateral(COLLATERAL[kind]) for kind in KINDS)
    mixed = replace(sgx, **{part: getattr(tdx, part)})
    if getattr(mixed, part) == getattr(sgx, part):
        assert part in ("root_ca_crl", "tcb_info_issuer_chain", "qe_identity_issuer_chain")
        return
    with pytest.raises(VerificationError):
        verify("sgx", collateral=mixed)


def test_a_nitro_document_is_told_from_a_quote_by_its_bytes() -> None:
    document = (VECTORS / "nitro_attestation.bin").read_bytes()
    made_s = 1_766_668_537  # 2025-12-25T13:15:37Z
    seen = examine(document, collateral_json=None, nonce=None, trust_store=HARDWARE_TRUST_STORE, now_s=made_s)
    assert seen.verified is not None
    assert (seen.is_complete, seen.verified.format, seen.verified.tcb_status) == (True, Format.NITRO, None)
    policy = Policy(measurements=frozenset({seen.verified.measurement}), insecure_without_binding=True)
    with pytest.raises(PolicyError, match="kind of the quote's root"):
        check_policy(seen.verified, policy)
    check_policy(seen.verified, replace(policy, root_kinds=frozenset({RootKind.AWS})))
    late = examine(document, collateral_json=None, nonce=None, trust_store=HARDWARE_TRUST_STORE, now_s=made_s + DAY_S)
    assert late.error is not None
    assert (late.error.check, late.facts.measurement) == ("quote 2", seen.verified.measurement)


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\2", b"\x84", b"\xd2\x84", b"\xa1", bytes(600), b"\3\0" + bytes(600)])
def test_what_is_no_evidence_fails_step_1_whatever_it_looks_like(data: bytes) -> None:
    seen = examine(data, collateral_json=None, nonce=b"", trust_store=HARDWARE_TRUST_STORE, now_s=NOW_S)
    assert seen.error is not None
    assert (seen.error.check, seen.checks, seen.is_complete) == ("quote 1", (), True)


@pytest.mark.parametrize("kind", KINDS)
def test_the_form_for_the_ledger_is_the_same_evidence(kind: str) -> None:
    quote = parse_quote(QUOTES[kind])
    short = quote.with_leaf_only()
    assert short.signed == quote.signed
    chain = quote.certificates.rstrip(b"\0")
    supplied = replace(parse_collateral(COLLATERAL[kind]), pck_certificate_chain=chain)
    assert verify(kind, short.encode(), supplied).measurement == verify(kind).measurement
    assert replace(short.with_chain(quote.certificates), padding=quote.padding) == quote
