"""The simulated platform's collateral, judged by dcap-qvl, which others wrote: only the root is another one."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import dcap_qvl
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from coordinator.platform.collateral import ADVISORY, Revoked, issue_collateral, qe_identity, sign_collateral
from coordinator.platform.collateral import tcb_info as make_tcb_info
from coordinator.platform.collateral_file import RENEWED_AFTER_S, current_collateral
from coordinator.platform.pki import create_pki
from coordinator.platform.quoting import SimulatedAttester
from coordinator.platform.tdx import SimulatedTdAttester
from protocol.attestation.collateral import Collateral, encode_collateral, parse_collateral
from protocol.attestation.tcb import Tee
from protocol.attestation.trust import INTEL_TRUST_STORE, RootKind, TrustedRoot, TrustStore
from protocol.attestation.verify import verify_quote
from protocol.errors import VerificationError
from protocol.hashing import sha256

NOW_S = 1_760_000_000
REPORT_DATA = bytes(range(64))
PKI = create_pki(NOW_S)
LEAF, AUTHORITY, ROOT = x509.load_pem_x509_certificates(PKI.chain)
SIGNER = x509.load_pem_x509_certificate(PKI.tcb_chain)
ROOT_DER = ROOT.public_bytes(Encoding.DER)
KEY = ec.generate_private_key(ec.SECP256R1())
QUOTES = {
    Tee.SGX: SimulatedAttester(pki=PKI, attestation_key=KEY, measurement=sha256(b"code")).quote(REPORT_DATA),
    Tee.TDX: SimulatedTdAttester(pki=PKI, attestation_key=KEY, measurement=b"\x07" * 48).quote(REPORT_DATA),
}
BOTH = pytest.mark.parametrize("tee", list(Tee), ids=[tee.value for tee in Tee])


def foreign(collateral: Collateral) -> dcap_qvl.QuoteCollateralV3:
    return dcap_qvl.QuoteCollateralV3.from_json(encode_collateral(collateral).decode())


def judge(tee: Tee, collateral: Collateral, *, root: bytes = ROOT_DER, now_s: int = NOW_S) -> dcap_qvl.VerifiedReport:
    return dcap_qvl.verify_with_root_ca(QUOTES[tee], foreign(collateral), root, now_s)


def judge_by_policy(tee: Tee, policy: dcap_qvl.QuotePolicy) -> dict[str, Any]:
    parsed = foreign(issue_collateral(PKI, tee, NOW_S))
    claims = dcap_qvl.QuoteVerifier(ROOT_DER).verify_with_policy(QUOTES[tee], parsed, NOW_S, policy)
    values: dict[str, Any] = json.loads(claims.to_json())
    return values


# What others say of it


@BOTH
def test_others_find_it_authentic_under_our_root_and_read_that_it_is_simulated(tee: Tee) -> None:
    report = judge(tee, issue_collateral(PKI, tee, NOW_S))
    assert (report.status, report.advisory_ids) == ("SWHardeningNeeded", ["SIMULATED-NOT-HARDWARE"])
    assert report.ppid == b"SIMULATED-PPID\0\0"


@BOTH
def test_others_refuse_it_under_intels_root(tee: Tee) -> None:
    parsed = foreign(issue_collateral(PKI, tee, NOW_S))
    with pytest.raises(ValueError, match="Verification failed"):
        dcap_qvl.verify(QUOTES[tee], parsed, NOW_S)


@BOTH
def test_others_refuse_it_under_another_simulated_root(tee: Tee) -> None:
    _leaf, _authority, stranger = x509.load_pem_x509_certificates(create_pki(NOW_S).chain)
    with pytest.raises(ValueError, match="Verification failed"):
        judge(tee, issue_collateral(PKI, tee, NOW_S), root=stranger.public_bytes(Encoding.DER))


@BOTH
def test_a_strict_policy_of_others_refuses_it_even_under_our_root(tee: Tee) -> None:
    strict = dcap_qvl.QuotePolicy.strict(NOW_S)
    with pytest.raises(ValueError, match="SWHardeningNeeded is not acceptable"):
        judge_by_policy(tee, strict)
    wider = dcap_qvl.QuotePolicy.strict(NOW_S).allow_status("SWHardeningNeeded")
    assert judge_by_policy(tee, wider)["header"]["tee_type"] == (0x81 if tee is Tee.TDX else 0)
    with pytest.raises(ValueError, match="SIMULATED-NOT-HARDWARE is rejected"):
        judge_by_policy(
            tee, dcap_qvl.QuotePolicy.strict(NOW_S).allow_status("SWHardeningNeeded").reject_advisory(ADVISORY)
        )


@BOTH
@pytest.mark.parametrize(
    "revoked",
    [
        Revoked(by_authority=frozenset({LEAF.serial_number})),
        Revoked(by_root=frozenset({AUTHORITY.serial_number})),
        Revoked(by_root=frozenset({SIGNER.serial_number})),
    ],
    ids=["leaf", "authority", "TCB signer"],
)
def test_others_notice_who_was_revoked(tee: Tee, revoked: Revoked) -> None:
    with pytest.raises(ValueError, match="CertRevoked"):
        judge(tee, issue_collateral(PKI, tee, NOW_S, revoked=revoked))


@BOTH
def test_it_is_good_for_thirty_days(tee: Tee) -> None:
    collateral = issue_collateral(PKI, tee, NOW_S)
    assert judge(tee, collateral, now_s=NOW_S + 29 * 86_400).status == "SWHardeningNeeded"
    with pytest.raises(ValueError, match="expired"):
        judge(tee, collateral, now_s=NOW_S + 31 * 86_400)


@pytest.mark.parametrize(("tee", "other"), [(Tee.SGX, Tee.TDX), (Tee.TDX, Tee.SGX)])
def test_collateral_of_the_other_shape_is_refused(tee: Tee, other: Tee) -> None:
    with pytest.raises(ValueError, match="Verification failed"):
        judge(tee, issue_collateral(PKI, other, NOW_S))


@BOTH
def test_a_changed_text_is_refused_unless_it_is_signed_again(tee: Tee) -> None:
    collateral = issue_collateral(PKI, tee, NOW_S)
    changed = replace(collateral, tcb_info=collateral.tcb_info.replace(b"SWHardeningNeeded", b"UpToDate"))
    with pytest.raises(ValueError, match="Signature is invalid for tcb_info"):
        judge(tee, changed)

    level = make_tcb_info(tee, NOW_S)["tcbLevels"][0] | {"tcbStatus": "OutOfDate"}
    again = sign_collateral(
        PKI,
        tcb_info=make_tcb_info(tee, NOW_S) | {"tcbLevels": [level]},
        qe_identity=qe_identity(tee, NOW_S),
        now_s=NOW_S,
    )
    assert judge(tee, again).status == "OutOfDate"


# What we say of it


@BOTH
def test_our_own_verifier_finds_the_same(tee: Tee) -> None:
    verified = verify_quote(
        QUOTES[tee],
        collateral=issue_collateral(PKI, tee, NOW_S),
        report_data=REPORT_DATA,
        trust_store=TrustStore(roots=(TrustedRoot(key_hash=PKI.root_key_hash, kind=RootKind.SIMULATED),)),
        now_s=NOW_S,
    )
    assert (verified.tcb_status, verified.advisories) == ("SWHardeningNeeded", ("SIMULATED-NOT-HARDWARE",))
    assert (verified.is_simulated, verified.is_debug, verified.not_checked) == (True, False, ())
    assert verified.format == {Tee.SGX: "sgx-v3", Tee.TDX: "tdx-v4"}[tee]
    assert verified.not_after_s == NOW_S - 3600 + 30 * 86_400


@BOTH
def test_our_own_verifier_refuses_it_under_intels_root(tee: Tee) -> None:
    with pytest.raises(VerificationError, match="key of the root"):
        verify_quote(
            QUOTES[tee],
            collateral=issue_collateral(PKI, tee, NOW_S),
            report_data=REPORT_DATA,
            trust_store=INTEL_TRUST_STORE,
            now_s=NOW_S,
        )


# Its form


@BOTH
def test_it_has_the_fields_of_genuine_collateral_and_the_chain(tee: Tee) -> None:
    text = encode_collateral(issue_collateral(PKI, tee, NOW_S))
    genuine = json.loads((Path(__file__).parents[1] / f"vectors/quotes/{tee.value}_quote_collateral.json").read_text())
    values = json.loads(text)
    assert encode_collateral(parse_collateral(text)) == text
    assert set(values) == {*genuine, "pck_certificate_chain"}
    assert list(json.loads(values["tcb_info"])) == list(json.loads(genuine["tcb_info"]))
    assert list(json.loads(values["qe_identity"])) == list(json.loads(genuine["qe_identity"]))


# Kept


def test_everybody_gets_the_same_bytes_for_a_week_and_new_ones_after(tmp_path: Path) -> None:
    first = current_collateral(tmp_path, PKI, Tee.SGX, NOW_S)
    issued_s = NOW_S - 3600
    assert current_collateral(tmp_path, PKI, Tee.SGX, issued_s + RENEWED_AFTER_S) == first
    second = current_collateral(tmp_path, PKI, Tee.SGX, issued_s + RENEWED_AFTER_S + 1)
    assert second != first
    assert current_collateral(tmp_path, PKI, Tee.SGX, NOW_S + RENEWED_AFTER_S + 2) == second
    assert (tmp_path / "collateral-sgx.json").stat().st_mode & 0o777 == 0o600


def test_both_shapes_are_kept_side_by_side(tmp_path: Path) -> None:
    sgx, tdx = (current_collateral(tmp_path, PKI, tee, NOW_S) for tee in Tee)
    assert [current_collateral(tmp_path, PKI, tee, NOW_S) for tee in Tee] == [sgx, tdx]
    assert [json.loads(json.loads(text)["tcb_info"])["id"] for text in (sgx, tdx)] == ["SGX", "TDX"]


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"tcb_info": "{}"}', b'{"tcb_info": 1}', b"\xff"])
def test_a_damaged_file_is_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "collateral-sgx.json"
    path.write_bytes(content)
    text = current_collateral(tmp_path, PKI, Tee.SGX, NOW_S)
    assert judge(Tee.SGX, parse_collateral(text)).status == "SWHardeningNeeded"
    assert path.read_bytes() == text


def test_what_another_platform_issued_is_replaced(tmp_path: Path) -> None:
    theirs = current_collateral(tmp_path, create_pki(NOW_S), Tee.SGX, NOW_S)
    ours = current_collateral(tmp_path, PKI, Tee.SGX, NOW_S)
    assert (
        json.loads(ours)["pck_certificate_chain"] == PKI.chain.decode() != json.loads(theirs)["pck_certificate_chain"]
    )


def test_what_was_issued_in_the_future_is_replaced(tmp_path: Path) -> None:
    later = current_collateral(tmp_path, PKI, Tee.SGX, NOW_S + 10 * 86_400)
    now = current_collateral(tmp_path, PKI, Tee.SGX, NOW_S)
    assert now != later
    assert judge(Tee.SGX, parse_collateral(now)).status == "SWHardeningNeeded"


def test_who_asks_at_the_same_time_gets_the_same(tmp_path: Path) -> None:
    barrier, seen = threading.Barrier(4), []

    def ask() -> None:
        barrier.wait(10)
        seen.append(current_collateral(tmp_path, PKI, Tee.SGX, NOW_S))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(seen) == 4
    assert len(set(seen)) == 1
