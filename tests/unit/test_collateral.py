"""Collateral: what is refused in its JSON, and that it is authentic, current, and by those who may sign it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from collateral_world import GENUINE_NOW_S, chain_of, genuine, verify, verify_plan

from lab.evidence.certificates import CA_USAGE, DAY_S, HOUR_S, NOW_S, CertificatePlan, serial_of
from lab.evidence.world import Plan, processor_plan, sgx_plan, tdx_plan, time_text
from protocol.attestation.collateral import (
    MAX_COLLATERAL_BYTES,
    Collateral,
    LeastNumbers,
    encode_collateral,
    parse_collateral,
)
from protocol.attestation.strict_json import parse_time_s
from protocol.attestation.tcb import Tee
from protocol.errors import EncodingError, LengthError, MalformedError, SignatureError, VerificationError

PLAN = sgx_plan()
GENUINE_WINDOWS = {
    "sgx": ("2025-06-19T10:56:11Z", "2025-07-19T10:01:18Z"),
    "tdx": ("2025-06-19T10:32:27Z", "2025-07-19T10:00:35Z"),
}


def refusal(plan: Plan, **how: object) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        verify_plan(plan, **how)
    return caught.value


# The object.


@pytest.mark.parametrize("name", ["sgx", "tdx"])
def test_genuine_collateral_is_read_and_written_again(name: str) -> None:
    collateral = parse_collateral(genuine(name)[0])
    assert parse_collateral(encode_collateral(collateral)) == collateral


WRITERS: dict[str, Callable[[dict[str, str]], str]] = {
    "Python": json.dumps,
    "JavaScript": lambda values: json.dumps(values, separators=(",", ":")),
    "no indent": lambda values: json.dumps(values, indent=0),
    "two spaces": lambda values: json.dumps(values, indent=2),
    "tabulators": lambda values: json.dumps(values, indent="\t"),
    "Windows": lambda values: json.dumps(values, indent=2).replace("\n", "\r\n"),
    "Jackson": lambda values: json.dumps(values, indent=2, separators=(",", " : ")),
    "Ruby": lambda values: "{ " + json.dumps(values)[1:-1] + " }",
    "PHP": lambda values: json.dumps(values).replace("/", r"\/"),
    "Gson": lambda values: json.dumps(values).replace("=", r"\u003d"),
    ".NET": lambda values: json.dumps(values).replace("+", r"\u002B").replace(r"\"", r"\u0022"),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_every_layout_that_a_json_writer_makes_will_do(writer: str) -> None:
    write = WRITERS[writer]
    values = json.loads(encode_collateral(PLAN.collateral()))
    backwards = dict(reversed(values.items()))
    assert parse_collateral(write(backwards).encode()) == PLAN.collateral()
    for end in ("\n", "\r\n"):
        assert parse_collateral((write(values) + end).encode()) == PLAN.collateral()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text + b" ",
        lambda text: b" " + text,
        lambda text: text.replace(b":", b" :", 1),
        lambda text: text.replace(b",", b",\n", 1),
        lambda text: text + b"\n\n",
        lambda text: b"{ " + text[1:],
        lambda text: text[:-1] + b" }",
        lambda text: text.replace(b"/", rb"\/", 1),
        lambda text: text.replace(b"A", rb"\u0041", 1),
        lambda text: text.replace(b"/", rb"\u002f").replace(rb"\u002f", rb"\u002F", 1),
    ],
    ids=[
        *("space behind", "space ahead", "one odd space", "one odd line", "two ends of line", "space at the start"),
        *("space at the end", "one odd slash", "one odd letter", "one odd escape"),
    ],
)
def test_a_layout_that_changes_midway_is_refused(spoil: Callable[[bytes], bytes]) -> None:
    with pytest.raises(EncodingError, match="layout of the collateral"):
        parse_collateral(spoil(encode_collateral(PLAN.collateral())))


def spoiled(**changes: object) -> bytes:
    return json.dumps(json.loads(encode_collateral(PLAN.collateral())) | changes).encode()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (spoiled(extra="0"), "parts of the collateral"),
        (spoiled(pck_crl=None), "pck_crl of the collateral"),
        (spoiled(pck_crl="aB"), "hexadecimal digits of one case"),
        (spoiled(pck_crl="abc"), "hexadecimal digits of one case"),
        (spoiled(tcb_info=["{}"]), "tcb_info of the collateral"),
        (spoiled(tcb_info="{\u00e9}"), "ASCII"),
        (spoiled(tcb_info_signature="00" * 63), "length of tcb_info_signature"),
        (spoiled()[:-1], "not JSON"),
        (b'{"a":"1","a":"1"}', "comes twice"),
        (b'{"a":NaN}', "no integer"),
        (b'{"a":1.0}', "no integer"),
        (b"[]", "a map"),
        (b"{}", "without pck_crl_issuer_chain"),
        (b"\xff\xfe{\0}\0", "not UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"[" * 100_000, "nesting"),
        (b'{"a":' + b"9" * 5000 + b"}", "not JSON"),
        (b'{"a":"\\ud800"}', "parts of the collateral"),
    ],
)
def test_an_object_that_is_not_collateral_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(MalformedError, match=why):
        parse_collateral(data)


def test_a_file_that_is_too_long_is_not_looked_at() -> None:
    with pytest.raises(LengthError, match="length of the collateral"):
        parse_collateral(b" " * (MAX_COLLATERAL_BYTES + 1))


def test_a_set_whose_text_has_other_letters_can_not_be_built() -> None:
    with pytest.raises(EncodingError, match="qe_identity of the collateral: expected ASCII"):
        replace(PLAN.collateral(), qe_identity="{\u00e9}".encode())


# Authentic and current.


@pytest.mark.parametrize("name", ["sgx", "tdx"])
def test_genuine_collateral_is_authentic_for_as_long_as_it_says_and_no_longer(name: str) -> None:
    data, chain = genuine(name)
    collateral, tee = parse_collateral(data), Tee(name)
    start_s, end_s = (parse_time_s(text) for text in GENUINE_WINDOWS[name])
    verified = verify(collateral, chain, tee, GENUINE_NOW_S)
    assert (verified.not_before_s, verified.not_after_s) == (start_s, end_s)
    for edge_s in (start_s, end_s):
        assert verify(collateral, chain, tee, edge_s) == verified
    for outside_s in (start_s - 1, end_s + 1):
        with pytest.raises(VerificationError, match="validity of"):
            verify(collateral, chain, tee, outside_s)


@pytest.mark.parametrize("name", ["sgx", "tdx"])
def test_no_byte_of_genuine_collateral_may_change(name: str) -> None:
    data, chain = genuine(name)
    # Each 29th byte of the long values, each byte where they begin and end.
    offsets = {*range(0, len(data), 29), *(place for place in range(len(data)) if b'"' in data[place - 2 : place + 3])}
    for offset in sorted(offsets):
        changed = bytearray(data)
        changed[offset] ^= 1 << offset % 8
        with pytest.raises((MalformedError, VerificationError)):
            verify(parse_collateral(bytes(changed)), chain, Tee(name), GENUINE_NOW_S)


@pytest.mark.parametrize("plan", [sgx_plan(), processor_plan(), tdx_plan(), tdx_plan(5, 3)])
def test_a_plan_in_which_nothing_is_wrong_is_authentic(plan: Plan) -> None:
    verified = verify_plan(plan)
    assert verified.facts.tcb_evaluation_number == 17
    assert (verified.not_before_s, verified.not_after_s) == (NOW_S - HOUR_S, NOW_S + 30 * DAY_S)


def test_collateral_of_another_platform_under_the_same_root_is_refused() -> None:
    other = sgx_plan().but("authority.key", "another authority")
    with pytest.raises(VerificationError, match="issuer of the PCK CRL") as caught:
        verify(other.collateral(), chain_of(PLAN), Tee.SGX, NOW_S)
    assert caught.value.check == "quote 3"


def test_collateral_under_another_root_of_the_same_name_is_refused() -> None:
    other = sgx_plan().but("root.key", "another root")
    with pytest.raises(VerificationError, match="root of the PCK CRL") as caught:
        verify(other.collateral(), chain_of(PLAN), Tee.SGX, NOW_S)
    assert caught.value.check == "quote 3"


def test_another_certificate_of_the_same_ca_may_issue_the_list() -> None:
    renewed = PLAN.but("authority.serial", 77)
    collateral = replace(PLAN.collateral(), pck_crl_issuer_chain=renewed.chain("authority", "root"))
    assert verify(collateral, chain_of(PLAN), Tee.SGX, NOW_S).tcb_info.tee is Tee.SGX


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        ("authority.path_length", 1, "constraints of the issuer"),
        ("authority.signed_by", "tcb signer", "signature of the issuer"),
        ("authority.end_s", NOW_S - 1, "validity of the issuer"),
        ("root.path_length", 2, "constraints of the root of the PCK CRL"),
        ("root.end_s", NOW_S - 1, "validity of the root of the PCK CRL"),
    ],
)
def test_another_certificate_of_the_same_ca_has_to_be_as_good(path: str, value: object, why: str) -> None:
    renewed = PLAN.but("authority.serial", 77).but(path, value)
    collateral = replace(PLAN.collateral(), pck_crl_issuer_chain=renewed.chain("authority", "root"))
    with pytest.raises(VerificationError, match=why) as caught:
        verify(collateral, chain_of(PLAN), Tee.SGX, NOW_S)
    assert caught.value.check == "quote 3"


@pytest.mark.parametrize(
    ("role", "of"),
    [("leaf", "pck_crl"), ("authority", "root_crl"), ("tcb_signer", "root_crl")],
)
def test_a_certificate_that_was_taken_back_is_refused(role: str, of: str) -> None:
    plan = PLAN.but(f"{of}.serials", (serial_of(getattr(PLAN, role).name),))
    error = refusal(plan)
    assert (error.check, "revocation of" in error.what) == ("quote 3", True)


def test_a_signer_of_the_qe_identity_alone_that_was_taken_back_is_refused() -> None:
    plan = PLAN.but("qe_signer.serial", 4711).but("qe_signer.key", "qe signer").but("root_crl.serials", (4711,))
    assert (
        str(refusal(plan))
        == "check quote 3: revocation of the QE identity signer: expected not revoked, got serial 1267"
    )


def test_lists_that_name_others_revoke_nobody_here() -> None:
    plan = PLAN.but("pck_crl.serials", (1, 2, 3)).but("root_crl.serials", (4,))
    assert verify_plan(plan).facts.pck_crl_number == 1


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        ("pck_crl.end_s", NOW_S - 1, "validity of the PCK CRL"),
        ("pck_crl.start_s", NOW_S + 1, "validity of the PCK CRL"),
        ("root_crl.end_s", NOW_S - 1, "validity of the root CRL"),
        ("pck_crl.signed_by", "root", "signature of the PCK CRL"),
        ("root_crl.signed_by", "authority", "signature of the root CRL"),
        ("pck_crl.issuer", "root", "issuer of the PCK CRL"),
        ("root_crl.issuer", "authority", "issuer of the root CRL"),
        ("pck_crl.authority_id", b"1" * 20, "authority key identifier of the PCK CRL"),
    ],
)
def test_a_list_that_is_not_its_issuers_or_not_current_is_refused(path: str, value: object, why: str) -> None:
    error = refusal(PLAN.but(path, value))
    assert (error.check, why in error.what) == ("quote 3", True)


@pytest.mark.parametrize("part", ["pck_crl", "root_ca_crl"])
def test_a_list_that_is_not_there_is_refused(part: str) -> None:
    assert refusal(PLAN.edit(part, lambda _: b"")).check == "quote 3"


@pytest.mark.parametrize("signer", ["leaf", "authority", "root"])
@pytest.mark.parametrize("text", ["tcb_signer", "qe_signer"])
def test_whoever_is_no_tcb_signer_can_not_sign(text: str, signer: str) -> None:
    """With its own certificate and a signature that is right: it is the role that is not."""
    error = refusal(PLAN.but(text, getattr(PLAN, signer)))
    assert error.check == "quote 4"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"name": "SIMULATED SGX PCK Certificate"}, "role of the TCB signer"),
        ({"has_platform": True}, "role of the TCB signer"),
        ({"issuer": "authority"}, "issuer's name of the TCB signer"),
        ({"signed_by": "authority"}, "signature of the TCB signer"),
        ({"authority_id": b"1" * 20}, "authority key identifier of the TCB signer"),
        ({"is_ca": True, "path_length": 0, "usage": CA_USAGE}, "constraints of the TCB signer"),
        ({"usage": CA_USAGE}, "key usage of the TCB signer"),
        ({"end_s": NOW_S - 1}, "validity of the TCB signer"),
        ({"start_s": NOW_S + 1}, "validity of the TCB signer"),
    ],
)
def test_a_tcb_signer_has_one_thing_wrong(change: dict[str, object], why: str) -> None:
    signer: CertificatePlan = replace(PLAN.tcb_signer, **change)
    error = refusal(PLAN.but("tcb_signer", signer))
    assert (error.check, why in error.what) == ("quote 4", True)


@pytest.mark.parametrize("part", ["tcb_info", "qe_identity"])
def test_a_text_that_was_written_anew_is_another_text(part: str) -> None:
    """The same values with other spaces: a signature is over bytes."""
    error = refusal(PLAN.edit(part, lambda text: json.dumps(json.loads(text)).encode()))
    assert (error.check, isinstance(error, SignatureError)) == ("quote 4", True)


@pytest.mark.parametrize("part", ["tcb_info", "qe_identity"])
def test_a_text_that_somebody_else_signed_is_refused(part: str) -> None:
    assert isinstance(refusal(PLAN.but(f"{part}_signed_by", "leaf")), SignatureError)


@pytest.mark.parametrize("part", ["tcb_info", "qe_identity"])
@pytest.mark.parametrize(("key", "value"), [("nextUpdate", NOW_S - 1), ("issueDate", NOW_S + 1)])
def test_a_text_that_has_expired_or_is_of_the_future_is_refused(part: str, key: str, value: int) -> None:
    error = refusal(PLAN.but(f"{part}.{key}", time_text(value)))
    assert (error.check, "validity of the" in error.what) == ("quote 4", True)


@pytest.mark.parametrize("plan", [sgx_plan(), tdx_plan()])
@pytest.mark.parametrize("part", ["tcb_info", "qe_identity"])
def test_a_text_about_other_hardware_is_refused(plan: Plan, part: str) -> None:
    other = tdx_plan() if plan.tcb_info["id"] == "SGX" else sgx_plan()
    error = refusal(replace(plan, **{part: getattr(other, part)}))
    assert (error.check, "hardware that the" in error.what) == ("quote 4", True)


def test_the_quote_verification_enclaves_identity_is_no_qe_identity() -> None:
    assert refusal(PLAN.but("qe_identity.id", "QVE")).check == "quote 4"


def test_what_is_older_than_what_was_seen_before_is_refused() -> None:
    seen = {
        LeastNumbers(root_crl=2): ("quote 3", "number of the root CRL"),
        LeastNumbers(pck_crl=2): ("quote 3", "number of the PCK CRL"),
        LeastNumbers(evaluation=18): ("quote 4", "evaluation number of the TCB info"),
    }
    for least, expected in seen.items():
        error = refusal(PLAN, least=least)
        assert (error.check, error.what) == expected
    assert verify_plan(PLAN, least=LeastNumbers(root_crl=1, pck_crl=1, evaluation=17)).facts.root_crl_number == 1


def test_a_leafs_chain_beside_the_collateral_has_to_be_the_quotes() -> None:
    with_chain = replace(PLAN, has_pck_chain=True)
    assert verify_plan(with_chain) == replace(verify_plan(PLAN), facts=verify_plan(with_chain).facts)
    other = with_chain.edit("pck_certificate_chain", lambda _: PLAN.but("leaf.serial", 5).chain())
    assert refusal(other).check == "quote 2"
    assert refusal(with_chain.edit("pck_certificate_chain", lambda pem: pem[:-30])).check == "quote 2"


@pytest.mark.parametrize("part", ["pck_crl_issuer_chain", "tcb_info_issuer_chain", "qe_identity_issuer_chain"])
@pytest.mark.parametrize("spoil", [lambda pem: pem[:-30], lambda pem: pem + pem, lambda _: b""])
def test_a_chain_that_is_cut_or_doubled_or_not_there_is_refused(part: str, spoil: Callable[[bytes], bytes]) -> None:
    assert refusal(PLAN.edit(part, spoil)).check in ("quote 3", "quote 4")


def test_the_facts_name_the_bytes() -> None:
    collateral: Collateral = PLAN.collateral()
    again = replace(collateral, pck_crl_issuer_chain=collateral.pck_crl_issuer_chain + b"\n")
    facts, others = (verify(each, chain_of(PLAN), Tee.SGX, NOW_S).facts for each in (collateral, again))
    assert facts.tcb_info == others.tcb_info
    assert facts.sha256 != others.sha256
