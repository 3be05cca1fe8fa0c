"""The bytes of quotes: one form, every length checked, nothing left over; and what every quoting enclave must be."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.evidence.faults import SGX, TDX, TDX_15, TDX_EXTENDED, VALID
from lab.evidence.world import NOW_S, REPORT_DATA, Plan
from protocol.attestation.certificates import P256_ORDER, verify_ecdsa
from protocol.attestation.quote import (
    MAX_QUOTE_BYTES,
    Field,
    QuoteHeader,
    ReportBody,
    TdReport,
    TdReport15,
    TdReport15Extended,
    parse_quote,
    quote_fields,
)
from protocol.attestation.reports import INTEL_QE_SIGNER, SIMULATED_QE_SIGNER
from protocol.attestation.result import Verified
from protocol.attestation.trust import (
    INTEL_SGX_ROOT_KEY,
    INTEL_TRUST_STORE,
    SIMULATED_TRUST_STORE,
    RootKind,
    TrustedRoot,
    TrustStore,
    root_by_choice,
)
from protocol.attestation.verify import NO_COLLATERAL, UNBOUND, insecure_verify_quote
from protocol.errors import LengthError, MalformedError, RangeError, VerificationError
from protocol.hashing import sha256
from tests.unit.quote_world import MEASUREMENT, PKI
from tests.unit.quote_world import QUOTE as PLATFORM_QUOTE
from tests.unit.quote_world import TRUST_STORE as PLATFORM_TRUST_STORE

VECTORS = Path(__file__).parents[1] / "vectors" / "quotes"
GENUINE = [(VECTORS / name).read_bytes() for name in ("sgx_quote", "tdx_quote")]
QUOTE = SGX.quote()
GUEST_QUOTE = TDX.quote()


def verify(quote: bytes, trust_store: TrustStore = SIMULATED_TRUST_STORE, now_s: int = NOW_S) -> Verified:
    return insecure_verify_quote(quote, collateral=None, report_data=REPORT_DATA, trust_store=trust_store, now_s=now_s)


def refused_at(step: int, plan: Plan, match: str) -> None:
    with pytest.raises(VerificationError, match=match) as caught:
        verify(plan.quote())
    assert caught.value.check == f"quote {step}"


# What holds


def test_the_platforms_quote_is_authentic_and_says_what_it_is() -> None:
    verified = verify(PLATFORM_QUOTE, PLATFORM_TRUST_STORE)
    assert verified.root_kind is RootKind.SIMULATED
    assert verified.root_key_hash == PKI.root_key_hash
    assert (verified.measurement, verified.report_data) == (MEASUREMENT, REPORT_DATA)
    assert (verified.is_simulated, verified.is_debug, verified.is_privileged) == (True, False, False)


def test_simulated_is_written_where_it_cant_be_missed() -> None:
    quote = parse_quote(PLATFORM_QUOTE)
    assert quote.header.user_data == b"SIMULATED-TEE-QE\0\0\0\0"
    assert quote.qe_auth == b"SIMULATED: SAYS NOTHING ABOUT HW"
    assert quote.qe_report.mrsigner == SIMULATED_QE_SIGNER
    names = [
        certificate.subject.rfc4514_string() for certificate in x509.load_pem_x509_certificates(quote.certificates)
    ]
    assert [name.split("CN=")[1] for name in names] == [
        "SIMULATED SGX PCK Certificate (NO HARDWARE)",
        "SIMULATED SGX PCK Platform CA (NO HARDWARE)",
        "SIMULATED SGX Root CA (NO HARDWARE)",
    ]
    assert all("O=SIMULATED - NOT INTEL" in name and "C=ZZ" in name for name in names)
    leaf = x509.load_pem_x509_certificate(quote.certificates)
    extension = leaf.extensions.get_extension_for_oid(x509.ObjectIdentifier("1.2.840.113741.1.13.1"))
    assert bytes.fromhex("060a2a864886f84d010d0104" + "04060053494d0000") in extension.value.public_bytes()  # FMSPC
    assert len(extension.value.public_bytes()) == 554  # as in a genuine leaf of a Platform CA


def test_the_result_says_which_steps_nobody_did() -> None:
    verified = verify(QUOTE)
    assert verified.not_checked == NO_COLLATERAL
    assert [check.step for check in verified.checks] == [1, 2, 5, 6, 9, 10]
    unbound = insecure_verify_quote(
        QUOTE, collateral=None, report_data=None, trust_store=SIMULATED_TRUST_STORE, now_s=NOW_S
    )
    assert unbound.not_checked == (*NO_COLLATERAL, UNBOUND)
    assert [check.step for check in unbound.checks] == [1, 2, 5, 6, 9]


def test_a_chain_is_valid_through_both_ends_of_its_window() -> None:
    verified = verify(QUOTE)
    assert (verified.not_before_s, verified.not_after_s) == (NOW_S - 3600, NOW_S + 7 * 365 * 86400)
    for now_s in (verified.not_before_s, verified.not_after_s):
        assert verify(QUOTE, now_s=now_s) == verified


# Layout


@pytest.mark.parametrize("quote", [*GENUINE, *(plan.quote() for plan in VALID.values())])
def test_accepted_bytes_encode_to_themselves(quote: bytes) -> None:
    assert parse_quote(quote).encode() == quote


@pytest.mark.parametrize("quote", [*GENUINE, *(plan.quote() for plan in VALID.values())])
def test_the_fields_of_a_quote_leave_no_gap_and_are_what_lies_there(quote: bytes) -> None:
    end = 0
    for offset, length, name, value in quote_fields(quote):
        assert offset == end, name
        end = offset + length
        raw = quote[offset:end]
        assert value == (int.from_bytes(raw, "little") if isinstance(value, int) else raw)
    assert end == len(quote)


@pytest.mark.parametrize(
    ("quote", "name", "offset"),
    [
        (QUOTE, "body.mrenclave", 112),
        (QUOTE, "body.report_data", 368),
        (GUEST_QUOTE, "body.mrtd", 184),
        (GUEST_QUOTE, "body.rtmr0", 376),
        (GUEST_QUOTE, "body.report_data", 568),
        (TDX_15.quote(), "body.tee_tcb_svn2", 54 + 584),
        (TDX_15.quote(), "body.mrservicetd", 54 + 600),
        (TDX_EXTENDED.quote(), "body.curr_server_td_hash", 54 + 829),
    ],
)
def test_a_field_lies_where_intel_says(quote: bytes, name: str, offset: int) -> None:
    assert [field.offset for field in quote_fields(quote) if field.name == name] == [offset]


@pytest.mark.parametrize(
    ("part", "size"),
    [(QuoteHeader, 48), (ReportBody, 384), (TdReport, 584), (TdReport15, 648), (TdReport15Extended, 885)],
)
def test_the_layout_of_a_part_leaves_no_gap(part: type[QuoteHeader | ReportBody | TdReport], size: int) -> None:
    layout: tuple[Field, ...] = part.LAYOUT
    ends = [0, *(field.offset + field.length for field in layout)]
    assert [field.offset for field in layout] == ends[:-1]
    assert part.size() == ends[-1] == size


def splice(offset: int, part: bytes, quote: bytes = QUOTE) -> bytes:
    return quote[:offset] + part + quote[offset + len(part) :]


AUTH_OFFSET = 1012
CERTIFICATES_OFFSET = AUTH_OFFSET + 2 + 32
OUTER_OFFSET = 636 + 128


@pytest.mark.parametrize(
    ("quote", "match"),
    [
        (splice(0, b"\x02"), "version of a quote"),
        (splice(0, b"\x03\x01"), "version of a quote"),
        (splice(2, b"\x03"), "type of a quote's attestation key"),
        (splice(4, b"\x81"), "reserved key data"),
        (splice(12, bytes(16)), "QE vendor"),
        (splice(432, (len(QUOTE) - 436 - 1).to_bytes(4, "little")), "end of the quote's signature data"),
        (splice(432, (len(QUOTE) - 436 + 1).to_bytes(4, "little")), "length of the quote's signature data"),
        (splice(432, b"\xff" * 4), "length of the quote's signature data"),
        (splice(AUTH_OFFSET, b"\xff\xff"), "too short for QE authentication data"),
        (splice(AUTH_OFFSET, b"\x1f\x00"), "type of certification data"),
        (splice(CERTIFICATES_OFFSET, b"\x01"), "length of certification data"),
        (splice(CERTIFICATES_OFFSET, b"\x06"), "type of certification data"),
        (splice(CERTIFICATES_OFFSET, b"\x00"), "type of certification data"),
        (splice(CERTIFICATES_OFFSET + 2, b"\xff" * 4), "too short for certification data"),
        (splice(CERTIFICATES_OFFSET + 2, b"\0" * 4), "end of the quote's signature data"),
        (splice(4, b"\x80", GUEST_QUOTE), "kind of hardware"),
        (splice(OUTER_OFFSET, b"\x05", GUEST_QUOTE), "outer type of certification"),
        (splice(OUTER_OFFSET + 2, b"\xff", GUEST_QUOTE), "length of outer certification data"),
        (splice(48, b"\x01", TDX_15.quote()), "body type for hardware 0x81"),
        (splice(48, b"\x05", TDX_15.quote()), "body type for hardware 0x81"),
        (splice(50, b"\x48\x02", TDX_15.quote()), "length of the body"),
        (QUOTE + b"\x01", "bytes behind the end of a quote"),
        (QUOTE + bytes(MAX_QUOTE_BYTES - len(QUOTE) + 1), "length of a quote in bytes"),
        (b"", "too short for header"),
    ],
)
def test_bytes_that_are_not_one_quote_fail_step_1(quote: bytes, match: str) -> None:
    with pytest.raises(MalformedError, match=match):
        parse_quote(quote)
    with pytest.raises(VerificationError, match=match) as caught:
        verify(quote)
    assert caught.value.check == "quote 1"


@pytest.mark.parametrize("quote", [QUOTE, GUEST_QUOTE, TDX_15.quote()], ids=["sgx", "tdx v4", "tdx v5"])
def test_no_prefix_of_a_quote_is_a_quote(quote: bytes) -> None:
    for length in range(len(quote)):
        with pytest.raises(MalformedError):
            parse_quote(quote[:length])


def test_parts_of_wrong_size_cant_be_built() -> None:
    body = parse_quote(QUOTE).body
    with pytest.raises(LengthError, match=r"report body\.mrenclave"):
        SGX.but("body.mrenclave", bytes(31))
    with pytest.raises(RangeError, match=r"report body\.isv_svn"):
        SGX.but("body.isv_svn", 1 << 16)
    with pytest.raises(LengthError, match="length of report body"):
        ReportBody.parse(body.encode() + b"\0")
    with pytest.raises(MalformedError, match="type of certification data"):
        parse_quote(QUOTE).with_leaf_only().with_leaf_only()


# Step 5 where no QE identity says who the quoting enclave is


@pytest.mark.parametrize(
    ("plan", "match"),
    [
        (SGX.but("qe_report.mrsigner", INTEL_QE_SIGNER), "signer of the QE"),
        (SGX.but("qe_report.mrsigner", bytes(32)), "signer of the QE"),
        (SGX.but("qe_report.isv_prod_id", 2), "product of the QE"),
        (TDX.but("qe_report.isv_prod_id", 1), "product of the QE"),
        (SGX.but("qe_signed_by", "authority"), "signature of the QE report"),
        (SGX.but("qe_report.flags", 0x17), "debug flag of the QE"),
        (SGX.but("qe_binding", bytes(64)), "report data of the QE"),
    ],
)
def test_a_quoting_enclave_with_one_thing_wrong_is_refused(plan: Plan, match: str) -> None:
    refused_at(5, plan, match)


def test_an_attestation_key_moved_between_key_and_auth_is_refused() -> None:
    quote = parse_quote(QUOTE)
    both = quote.attestation_key + quote.qe_auth
    moved = QUOTE.replace(quote.attestation_key, both[1:65]).replace(
        b"\x20\0" + quote.qe_auth, b"\x20\0" + both[65:] + b"!"
    )
    with pytest.raises(VerificationError, match="report data of the QE"):
        verify(moved)


# Step 6, the quote's signature

ORDER = P256_ORDER.to_bytes(32)
SIGNATURE = parse_quote(QUOTE).signature


@pytest.mark.parametrize("number", [bytes(32), ORDER, b"\xff" * 32])
@pytest.mark.parametrize("offset", [436, 468], ids=["r", "s"])
def test_a_signature_with_a_number_outside_the_group_is_refused(number: bytes, offset: int) -> None:
    with pytest.raises(VerificationError, match="signature of the quote") as caught:
        verify(splice(offset, number))
    assert caught.value.check == "quote 6"


def test_a_point_off_the_curve_verifies_nothing() -> None:
    quote = parse_quote(QUOTE)
    key = quote.attestation_key
    assert verify_ecdsa(key, SIGNATURE, quote.signed)
    for other in (bytes(64), b"\xff" * 64, key[:63] + bytes([key[63] ^ 1]), key[:63], key + b"\0"):
        assert not verify_ecdsa(other, SIGNATURE, quote.signed)


# Roots


def test_a_simulated_quote_is_refused_under_intels_root() -> None:
    with pytest.raises(VerificationError, match="key of the root"):
        verify(PLATFORM_QUOTE, INTEL_TRUST_STORE)


def test_intels_root_in_the_trust_store_is_intels_certificate() -> None:
    certificate = x509.load_der_x509_certificate((VECTORS / "IntelSGXRootCA.der").read_bytes())
    assert INTEL_SGX_ROOT_KEY in certificate.public_bytes(Encoding.DER)
    assert INTEL_TRUST_STORE.roots == (TrustedRoot(key_hash=sha256(INTEL_SGX_ROOT_KEY), kind=RootKind.INTEL),)


def test_the_kind_of_a_root_comes_from_the_trust_store_alone() -> None:
    with pytest.raises(VerificationError, match="signer of the QE"):
        verify(QUOTE, SGX.trust_store(RootKind.INTEL))
    intel_as_simulated = TrustedRoot(key_hash=sha256(INTEL_SGX_ROOT_KEY), kind=RootKind.SIMULATED)
    with pytest.raises(VerificationError, match="signer of the QE"):
        verify(GENUINE[0], TrustStore(roots=(intel_as_simulated,)))


def test_a_root_that_a_person_points_at_is_hardware_only_where_its_key_is_known() -> None:
    assert root_by_choice(sha256(INTEL_SGX_ROOT_KEY)).kind is RootKind.INTEL
    assert root_by_choice(SGX.root_key_hash).kind is RootKind.SIMULATED


def test_a_name_never_makes_a_known_root_simulated() -> None:
    name = {"common_name": "SIMULATED", "organisation": "SIMULATED - NOT INTEL"}
    assert SIMULATED_TRUST_STORE.kind_of(sha256(INTEL_SGX_ROOT_KEY), **name) is None
    assert SIMULATED_TRUST_STORE.kind_of(bytes(32), **name) is RootKind.SIMULATED
    assert INTEL_TRUST_STORE.kind_of(bytes(32), **name) is None


def test_a_trust_store_needs_roots_and_names_each_once() -> None:
    root = TrustedRoot(key_hash=bytes(32), kind=RootKind.INTEL)
    with pytest.raises(MalformedError, match="without roots"):
        TrustStore(roots=())
    with pytest.raises(MalformedError, match="one root twice"):
        TrustStore(roots=(root, TrustedRoot(key_hash=bytes(32), kind=RootKind.SIMULATED)))
    with pytest.raises(LengthError):
        TrustedRoot(key_hash=bytes(31), kind=RootKind.INTEL)


# Sweeps


@pytest.mark.parametrize("plan", [SGX, TDX_15, TDX.but("padding", 100)], ids=["sgx v3", "tdx v5", "tdx v4 padded"])
def test_no_byte_of_a_quote_can_change(plan: Plan) -> None:
    quote, survivors = plan.quote(), []
    for offset in range(len(quote)):
        changed = bytearray(quote)
        changed[offset] ^= 0x01
        try:
            verify(bytes(changed))
        except VerificationError:
            continue
        survivors.append(offset)
    assert survivors == []


def test_only_white_space_of_the_pem_may_become_other_white_space() -> None:
    start = QUOTE.index(b"-----BEGIN")
    survivors = []
    for offset in range(start, len(QUOTE)):
        changed = bytearray(QUOTE)
        changed[offset] ^= 0x07  # a line feed becomes a carriage return
        try:
            verify(bytes(changed))
        except VerificationError:
            continue
        survivors.append(offset)
    assert survivors == [offset for offset in range(start, len(QUOTE)) if QUOTE[offset] == 0x0A]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=6000))
def test_random_bytes_raise_nothing_but_a_verification_error(data: bytes) -> None:
    with pytest.raises(VerificationError):
        verify(data)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from([QUOTE, GUEST_QUOTE]), st.integers(0, 5000), st.integers(0, 200), st.binary(max_size=200))
def test_a_spliced_quote_raises_nothing_but_a_verification_error(
    quote: bytes, start: int, removed: int, part: bytes
) -> None:
    spliced = quote[:start] + part + quote[start + removed :]
    try:
        verify(spliced)
    except VerificationError:
        return
    # Accepted: the same quote, but for the white space of its PEM and zeros behind it.
    assert spliced.translate(None, b" \t\r\n\0") == quote.translate(None, b" \t\r\n\0")
