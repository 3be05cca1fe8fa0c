"""A quote is authentic when nothing in it is wrong; each test breaks one thing and names the step that notices."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.platform.pki import public_bytes
from protocol.attestation.certificates import P256_ORDER, verify_ecdsa
from protocol.attestation.quote import MAX_QUOTE_BYTES, Field, QuoteHeader, ReportBody, parse_quote
from protocol.attestation.trust import INTEL_SGX_ROOT_KEY, INTEL_TRUST_STORE, RootKind, TrustedRoot, TrustStore
from protocol.attestation.verify import (
    INTEL_QE_SIGNER,
    NO_COLLATERAL,
    UNBOUND,
    VerifiedQuote,
    insecure_verify_unbound_quote,
    verify_quote,
)
from protocol.errors import LengthError, MalformedError, RangeError, VerificationError, VeriflockError
from protocol.hashing import sha256
from protocol.messages import enclave_id
from tests.unit.quote_world import (
    ATTESTATION_KEY,
    MEASUREMENT,
    NOW_S,
    PKI,
    QUOTE,
    REPORT_DATA,
    TRUST_STORE,
    new_key,
    sign,
    trust,
    with_body,
    with_parts,
    with_qe,
)

VECTORS = Path(__file__).parents[1] / "vectors" / "quotes"
GENUINE = (VECTORS / "sgx_quote").read_bytes()
GENUINE_NOW_S = 1_751_328_000  # 2025-07-01, inside the window of its collateral
GENUINE_REPORT_DATA = b"Hello, world!".ljust(64, b"\0")


def verify(quote: bytes, *, report_data: bytes = REPORT_DATA, trust_store: TrustStore = TRUST_STORE) -> VerifiedQuote:
    return verify_quote(quote, report_data=report_data, trust_store=trust_store, now_s=NOW_S)


def verify_genuine(
    quote: bytes, trust_store: TrustStore = INTEL_TRUST_STORE, now_s: int = GENUINE_NOW_S
) -> VerifiedQuote:
    return verify_quote(quote, report_data=GENUINE_REPORT_DATA, trust_store=trust_store, now_s=now_s)


def refused_at(step: int, quote: bytes, match: str, **arguments: object) -> None:
    with pytest.raises(VerificationError, match=match) as caught:
        verify(quote, **arguments)
    assert caught.value.check == f"quote {step}"


# What holds


def test_a_simulated_quote_is_authentic_and_says_what_it_is() -> None:
    verified = verify(QUOTE)
    assert verified.root_kind is RootKind.SIMULATED
    assert verified.root_key_hash == PKI.root_key_hash
    assert (verified.measurement, verified.report_data) == (MEASUREMENT, REPORT_DATA)
    assert (verified.not_before_s, verified.not_after_s) == (NOW_S - 3600, NOW_S - 3600 + 7 * 365 * 86400)
    assert (verified.is_simulated, verified.is_debug, verified.is_privileged) == (True, False, False)
    assert [check.step for check in verified.checks] == [1, 2, 5, 6, 9, 10]


def test_the_result_says_which_steps_nobody_did() -> None:
    assert [entry.step for entry in verify(QUOTE).not_checked] == [3, 4, 7, 8]
    unbound = insecure_verify_unbound_quote(QUOTE, trust_store=TRUST_STORE, now_s=NOW_S)
    assert unbound.not_checked == (*NO_COLLATERAL, UNBOUND)
    assert [check.step for check in unbound.checks] == [1, 2, 5, 6, 9]


def test_a_genuine_quote_is_authentic_under_intels_root() -> None:
    verified = verify_genuine(GENUINE)
    assert verified.root_kind is RootKind.INTEL
    assert verified.measurement.hex() == "33d8736db756ed4997e04ba358d27833188f1932ff7b1d156904d3f560452fbb"
    assert (verified.not_before_s, verified.not_after_s) == (1_695_246_823, 1_916_171_623)
    assert verified.quote.qe_report.mrsigner == INTEL_QE_SIGNER


@pytest.mark.parametrize("quote", [QUOTE, GENUINE], ids=["simulated", "genuine"])
def test_accepted_bytes_encode_to_themselves(quote: bytes) -> None:
    assert parse_quote(quote).encode() == quote


def test_simulated_is_written_where_it_cant_be_missed() -> None:
    quote = parse_quote(QUOTE)
    assert quote.header.user_data == b"SIMULATED-TEE-QE\0\0\0\0"
    assert quote.qe_auth == b"SIMULATED: SAYS NOTHING ABOUT HW"
    assert quote.qe_report.mrsigner == sha256(b"simulated qe")
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


def test_a_chain_is_valid_through_both_ends_of_its_window() -> None:
    for now_s in (NOW_S - 3600, NOW_S - 3600 + 7 * 365 * 86400):
        verify_quote(QUOTE, report_data=REPORT_DATA, trust_store=TRUST_STORE, now_s=now_s)


# Roots


@pytest.mark.parametrize("now_s", [1_695_246_822, 1_916_171_624])
def test_a_genuine_quote_is_refused_a_second_outside_its_window(now_s: int) -> None:
    with pytest.raises(VerificationError, match="validity of the PCK leaf"):
        verify_genuine(GENUINE, now_s=now_s)


def test_a_genuine_quote_is_refused_under_another_root() -> None:
    with pytest.raises(VerificationError, match="key of the root") as caught:
        verify_genuine(GENUINE, trust_store=TRUST_STORE)
    assert caught.value.check == "quote 2"


def test_a_simulated_quote_is_refused_under_intels_root() -> None:
    refused_at(2, QUOTE, "key of the root", trust_store=INTEL_TRUST_STORE)


def test_intels_root_in_the_trust_store_is_intels_certificate() -> None:
    certificate = x509.load_der_x509_certificate((VECTORS / "IntelSGXRootCA.der").read_bytes())
    assert INTEL_SGX_ROOT_KEY in certificate.public_bytes(Encoding.DER)
    assert INTEL_TRUST_STORE.roots == (TrustedRoot(key_hash=sha256(INTEL_SGX_ROOT_KEY), kind=RootKind.INTEL),)


def test_the_kind_of_a_root_comes_from_the_trust_store_alone() -> None:
    refused_at(5, QUOTE, "signer of the QE", trust_store=trust(PKI.root_key_hash, RootKind.INTEL))
    with pytest.raises(VerificationError, match="signer of the QE"):
        verify_genuine(GENUINE, trust_store=trust(sha256(INTEL_SGX_ROOT_KEY), RootKind.SIMULATED))
    refused_at(5, QUOTE, "no SGX platform has this root", trust_store=trust(PKI.root_key_hash, RootKind.AWS))


def test_a_trust_store_needs_roots_and_names_each_once() -> None:
    root = TrustedRoot(key_hash=bytes(32), kind=RootKind.INTEL)
    with pytest.raises(MalformedError, match="without roots"):
        TrustStore(roots=())
    with pytest.raises(MalformedError, match="one root twice"):
        TrustStore(roots=(root, TrustedRoot(key_hash=bytes(32), kind=RootKind.SIMULATED)))
    with pytest.raises(LengthError):
        TrustedRoot(key_hash=bytes(31), kind=RootKind.INTEL)


# Step 1, structure


def splice(offset: int, part: bytes) -> bytes:
    return QUOTE[:offset] + part + QUOTE[offset + len(part) :]


AUTH_OFFSET = 1012
CERTIFICATES_OFFSET = AUTH_OFFSET + 2 + 32


@pytest.mark.parametrize(
    ("quote", "match"),
    [
        (splice(0, b"\x04"), "version of a quote"),
        (splice(0, b"\x02"), "version of a quote"),
        (splice(0, b"\x03\x01"), "version of a quote"),
        (splice(2, b"\x03"), "type of a quote's attestation key"),
        (splice(4, b"\x81"), "reserved key data"),
        (splice(12, bytes(16)), "QE vendor"),
        (splice(432, (len(QUOTE) - 436 - 1).to_bytes(4, "little")), "length of the quote's signature data"),
        (splice(432, (len(QUOTE) - 436 + 1).to_bytes(4, "little")), "length of the quote's signature data"),
        (splice(432, b"\xff" * 4), "length of the quote's signature data"),
        (QUOTE + b"\0", "length of the quote's signature data"),
        (splice(AUTH_OFFSET, b"\xff\xff"), "too short for QE authentication data"),
        (splice(AUTH_OFFSET, b"\x1f\x00"), "type of certification data"),
        (splice(CERTIFICATES_OFFSET, b"\x04"), "type of certification data"),
        (splice(CERTIFICATES_OFFSET, b"\x06"), "type of certification data"),
        (splice(CERTIFICATES_OFFSET + 2, b"\xff" * 4), "too short for certification data"),
        (splice(CERTIFICATES_OFFSET + 2, b"\0" * 4), "bytes behind the end of a quote"),
        (QUOTE + bytes(MAX_QUOTE_BYTES - len(QUOTE) + 1), "length of a quote in bytes"),
        (b"", "too short for header"),
    ],
)
def test_bytes_that_are_not_one_quote_are_malformed(quote: bytes, match: str) -> None:
    with pytest.raises(MalformedError, match=match):
        verify(quote)


def test_no_prefix_of_a_quote_is_a_quote() -> None:
    for length in range(len(QUOTE)):
        with pytest.raises(MalformedError):
            parse_quote(QUOTE[:length])


def test_parts_of_wrong_size_cant_be_built() -> None:
    body = parse_quote(QUOTE).body
    with pytest.raises(LengthError, match=r"report body\.mrenclave"):
        with_body(mrenclave=bytes(31))
    with pytest.raises(RangeError, match=r"report body\.isv_svn"):
        with_body(isv_svn=1 << 16)
    with pytest.raises(LengthError, match=r"quote\.signature"):
        with_parts(signature=bytes(63))
    with pytest.raises(LengthError, match="length of report body"):
        ReportBody.parse(body.encode() + b"\0")


@pytest.mark.parametrize("part", [QuoteHeader, ReportBody])
def test_the_layout_of_a_part_leaves_no_gap(part: type[QuoteHeader | ReportBody]) -> None:
    layout: tuple[Field, ...] = part.LAYOUT
    ends = [0, *(field.offset + field.length for field in layout)]
    assert [field.offset for field in layout] == ends[:-1]


# Step 5, the quoting enclave

AK_BINDING = sha256(public_bytes(ATTESTATION_KEY), b"SIMULATED: SAYS NOTHING ABOUT HW")


@pytest.mark.parametrize(
    ("quote", "match"),
    [
        (with_qe(leaf_key=new_key()), "signature of the QE report"),
        (with_qe(leaf_key=PKI.authority_key), "signature of the QE report"),
        (with_qe(flags=0x17), "debug flag of the QE"),
        (with_qe(flags=0x14), "INIT flag of the QE report"),
        (with_qe(flags=0x15 | 1 << 63), "reserved flags of the QE report"),
        (with_qe(mrsigner=INTEL_QE_SIGNER), "signer of the QE"),
        (with_qe(mrsigner=bytes(32)), "signer of the QE"),
        (with_qe(isv_prod_id=2), "product of the QE"),
        (with_qe(report_data=AK_BINDING + bytes(31) + b"\x01"), "report data of the QE"),
        (with_qe(report_data=bytes(32) + AK_BINDING), "report data of the QE"),
        (with_qe(reserved_3=b"\x01" + bytes(31)), "reserved bytes of the QE report"),
        (with_parts(qe_auth=b"SIMULATED: SAYS NOTHING ABOUT H"), "report data of the QE"),
        (with_parts(qe_auth=b""), "report data of the QE"),
        (with_parts(qe_report_signature=bytes(64)), "signature of the QE report"),
        (with_parts(attestation_key=public_bytes(new_key())), "report data of the QE"),
    ],
)
def test_a_quoting_enclave_with_one_thing_wrong_is_refused(quote: bytes, match: str) -> None:
    refused_at(5, quote, match)


def test_an_attestation_key_moved_between_key_and_auth_is_refused() -> None:
    key = public_bytes(ATTESTATION_KEY)
    refused_at(5, with_parts(attestation_key=key[1:] + b"S", qe_auth=b"IMULATED"), "report data of the QE")


# Step 6, the quote's signature


def test_a_quote_signed_by_another_key_is_refused() -> None:
    refused_at(6, sign(parse_quote(QUOTE), new_key()), "signature of the quote")


def test_a_quote_signed_by_the_pck_is_refused() -> None:
    refused_at(6, sign(parse_quote(QUOTE), PKI.leaf_key), "signature of the quote")


def test_the_signature_of_another_quote_is_refused() -> None:
    other = parse_quote(with_body(mrenclave=bytes(32)))
    refused_at(6, with_parts(signature=other.signature), "signature of the quote")


ORDER = P256_ORDER.to_bytes(32)
SIGNATURE = parse_quote(QUOTE).signature


@pytest.mark.parametrize("r", [bytes(32), ORDER, b"\xff" * 32])
@pytest.mark.parametrize("place", ["r", "s"])
def test_a_signature_with_a_number_outside_the_group_is_refused(r: bytes, place: str) -> None:
    signature = r + SIGNATURE[32:] if place == "r" else SIGNATURE[:32] + r
    refused_at(6, with_parts(signature=signature), "signature of the quote")


def test_a_point_off_the_curve_verifies_nothing() -> None:
    key = public_bytes(ATTESTATION_KEY)
    assert verify_ecdsa(key, SIGNATURE, parse_quote(QUOTE).signed)
    for other in (bytes(64), b"\xff" * 64, key[:63] + bytes([key[63] ^ 1]), key[:63], key + b"\0"):
        assert not verify_ecdsa(other, SIGNATURE, parse_quote(QUOTE).signed)


def test_the_mirrored_signature_is_the_same_enclave() -> None:
    s = (P256_ORDER - int.from_bytes(SIGNATURE[32:])).to_bytes(32)
    mirrored = with_parts(signature=SIGNATURE[:32] + s)
    assert mirrored != QUOTE
    assert enclave_id(verify(mirrored).quote.signed) == enclave_id(verify(QUOTE).quote.signed)


# Steps 9 and 10, body and binding


@pytest.mark.parametrize(
    ("quote", "match"),
    [
        (with_body(flags=0x04), "INIT flag of the report body"),
        (with_body(flags=0x0D), "reserved flags of the report body"),
        (with_body(flags=0x05 | 1 << 40), "reserved flags of the report body"),
        (with_body(xfrm=0xE4), "XFRM of the report body"),
        (with_body(xfrm=0), "XFRM of the report body"),
        (with_body(reserved_1=b"\x01" + bytes(11)), "reserved bytes of the report body"),
        (with_body(reserved_2=bytes(31) + b"\x01"), "reserved bytes of the report body"),
        (with_body(reserved_4=bytes(41) + b"\x80"), "reserved bytes of the report body"),
    ],
)
def test_a_body_that_no_enclave_has_is_refused(quote: bytes, match: str) -> None:
    refused_at(9, quote, match)


def test_an_old_quote_is_refused_although_all_of_it_is_genuine() -> None:
    refused_at(10, QUOTE, "report data of the quote", report_data=REPORT_DATA[::-1])
    refused_at(10, QUOTE, "report data of the quote", report_data=b"")


# Sweeps


@pytest.mark.parametrize("kind", ["simulated", "genuine"])
def test_no_byte_of_a_quote_can_change(kind: str) -> None:
    quote, check = (QUOTE, verify) if kind == "simulated" else (GENUINE, verify_genuine)
    survivors = []
    for offset in range(len(quote)):
        changed = bytearray(quote)
        changed[offset] ^= 0x01
        try:
            check(bytes(changed))
        except (MalformedError, VerificationError):
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
        except (MalformedError, VerificationError):
            continue
        survivors.append(offset)
    assert survivors == [offset for offset in range(start, len(QUOTE)) if QUOTE[offset] == 0x0A]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=6000))
def test_random_bytes_raise_nothing_but_the_trees_errors(data: bytes) -> None:
    with pytest.raises(VeriflockError):
        verify(data)


@settings(max_examples=400, deadline=None)
@given(st.integers(0, len(GENUINE)), st.integers(0, 200), st.binary(max_size=200))
def test_a_spliced_quote_raises_nothing_but_the_trees_errors(start: int, removed: int, part: bytes) -> None:
    spliced = GENUINE[:start] + part + GENUINE[start + removed :]
    try:
        verify_genuine(spliced)
    except VeriflockError:
        return
    # Accepted: the same quote, but for the white space of its PEM.
    assert spliced.translate(None, b" \t\r\n\0") == GENUINE.translate(None, b" \t\r\n\0")
