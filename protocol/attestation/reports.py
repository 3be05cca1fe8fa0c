"""Steps 5 and 9 of the recipe: what must hold for the quoting enclave, and for whoever is quoted.

Responsible for: attributes, reserved parts, identity and binding of reports.
Must not know:   policies: a debug flag of who is quoted is a fact here.
"""

from __future__ import annotations

from typing import Any

from protocol.attestation.certificates import verify_ecdsa
from protocol.attestation.layouts import (
    FLAG_DEBUG,
    FLAG_EINITTOKEN_KEY,
    FLAG_INIT,
    FLAG_PROVISION_KEY,
    KNOWN_FLAGS,
    KNOWN_STATE,
    LEGACY_STATE,
    TD_DEBUG_MASK,
    TD_SEPT_VE_DISABLE,
    ReportBody,
    TdReport,
)
from protocol.attestation.pck_chain import Chain
from protocol.attestation.quote import Quote
from protocol.attestation.result import STEPS, Check
from protocol.attestation.tcb import QeIdentity, QeLevel
from protocol.attestation.trust import RootKind
from protocol.errors import SignatureError, VerificationError
from protocol.hashing import sha256

INTEL_QE_SIGNER = bytes.fromhex("8c4f5775d796503e96137f77c68a829a0056ac8ded70140b081b094490c57bff")
"""MRSIGNER of Intel's quoting enclave for SGX, the same in every QE identity that Intel has signed."""
INTEL_TD_QE_SIGNER = bytes.fromhex("dc9e2a7c6f948f17474e34a7fc43ed030f7c1563f1babddf6340c82e0e54a8c5")
"""MRSIGNER of Intel's quoting enclave for TDX."""
SIMULATED_QE_SIGNER = sha256(b"simulated qe")
"""Of the simulated platform's, for both."""
QE_PRODUCT = 1
"""ISVPRODID of the quoting enclave for SGX."""
TD_QE_PRODUCT = 2
"""And of the one for TDX."""

_CHECK_QE, _CHECK_BODY = "quote 5", "quote 9"


def check_5_qe_report(quote: Quote, chain: Chain, identity: QeIdentity | None) -> tuple[QeLevel | None, Check]:
    """A genuine quoting enclave says that the attestation key is its own.

    identity: who the quoting enclave must be.  Without one its signer and product are pinned by the kind of the root,
              since without them every enclave that may use the provisioning key could be a quoting enclave.
    returns:  how current the quoting enclave is, where an identity says so.
    Raises:   SignatureError, VerificationError.
    """
    report = quote.qe_report
    if not verify_ecdsa(chain.leaf.public_key, quote.qe_report_signature, report.encode()):
        raise SignatureError("signature of the QE report, by the PCK", check=_CHECK_QE)
    _check_enclave("QE report", report, _CHECK_QE)
    if report.flags & FLAG_DEBUG:
        raise VerificationError("debug flag of the QE", check=_CHECK_QE, expected="clear", actual="set")
    level = None
    if identity is None:
        _check_pinned(quote, chain.root_kind)
    else:
        level = _check_identity(report, identity)
    binding = sha256(quote.attestation_key, quote.qe_auth) + bytes(32)
    if report.report_data != binding:
        raise VerificationError(
            "report data of the QE, which binds the attestation key",
            check=_CHECK_QE,
            expected=binding,
            actual=report.report_data,
        )
    status = "" if level is None else f", {level.status}"
    saw = f"QE {report.mrenclave.hex()} of signer {report.mrsigner.hex()}, ISVSVN {report.isv_svn}{status}"
    return level, Check(step=5, name=STEPS[5], saw=saw)


def check_9_body(quote: Quote) -> tuple[None, Check]:
    """The body describes an enclave or a guest that can exist.  Raises VerificationError."""
    body = quote.body
    if isinstance(body, ReportBody):
        _check_enclave("report body", body, _CHECK_BODY)
        saw = f"measurement {body.mrenclave.hex()}, flags {body.flags:#x}, xfrm {body.xfrm:#x}"
    else:
        _check_guest(body)
        saw = f"measurement {body.mrtd.hex()}, attributes {body.td_attributes:#x}, xfam {body.xfam:#x}"
    return None, Check(step=9, name=STEPS[9], saw=saw)


def body_facts(quote: Quote) -> dict[str, Any]:
    """What the body says, by the names of `Facts`; true only once all else held."""
    body = quote.body
    facts: dict[str, Any] = {"format": quote.format, "report_data": body.report_data}
    if isinstance(body, ReportBody):
        return facts | {
            "measurement": body.mrenclave,
            "measurements": {
                "mrenclave": body.mrenclave,
                "mrsigner": body.mrsigner,
                "isv_prod_id": body.isv_prod_id.to_bytes(2),
                "isv_svn": body.isv_svn.to_bytes(2),
                "config_id": body.config_id,
                "config_svn": body.config_svn.to_bytes(2),
                "isv_ext_prod_id": body.isv_ext_prod_id,
                "isv_family_id": body.isv_family_id,
            },
            "is_debug": bool(body.flags & FLAG_DEBUG),
            "is_privileged": bool(body.flags & (FLAG_PROVISION_KEY | FLAG_EINITTOKEN_KEY)),
        }
    return facts | {
        "measurement": body.mrtd,
        "measurements": {name: getattr(body, name) for name in body.MEASUREMENTS},
        "is_debug": bool(body.td_attributes & TD_DEBUG_MASK),
        "is_privileged": False,
        "is_sept_ve_disabled": bool(body.td_attributes & TD_SEPT_VE_DISABLE),
        "service_tds": body.service_tds,
    }


def _check_pinned(quote: Quote, kind: RootKind) -> None:
    """The signer and the product that the quoting enclave of such a platform has had ever since."""
    is_guest = isinstance(quote.body, TdReport)
    intel = INTEL_TD_QE_SIGNER if is_guest else INTEL_QE_SIGNER
    signer = {RootKind.INTEL: intel, RootKind.SIMULATED: SIMULATED_QE_SIGNER}[kind]
    product = TD_QE_PRODUCT if is_guest else QE_PRODUCT
    _expect("signer of the QE", signer, quote.qe_report.mrsigner)
    _expect("product of the QE", product, quote.qe_report.isv_prod_id)


def _check_identity(report: ReportBody, identity: QeIdentity) -> QeLevel:
    """The quoting enclave that the identity describes, at one of its levels."""
    _expect("signer of the QE", identity.mrsigner, report.mrsigner)
    _expect("product of the QE", identity.isv_prod_id, report.isv_prod_id)
    misc_select = report.misc_select.to_bytes(4, "little")
    _expect("MISCSELECT of the QE", identity.misc_select, _masked(misc_select, identity.misc_select_mask))
    attributes = report.flags.to_bytes(8, "little") + report.xfrm.to_bytes(8, "little")
    _expect("attributes of the QE", identity.attributes, _masked(attributes, identity.attributes_mask))
    return identity.level_of(report.isv_svn)


def _check_enclave(name: str, report: ReportBody, check: str) -> None:
    """What holds for the report of every enclave: the QE's and the quoted one's."""
    if not report.flags & FLAG_INIT:
        raise VerificationError(f"INIT flag of the {name}", check=check, expected="set", actual="clear")
    if report.flags & ~KNOWN_FLAGS:
        raise VerificationError(f"reserved flags of the {name}", check=check, expected=0, actual=hex(report.flags))
    _check_state(f"XFRM of the {name}", report.xfrm, check)
    if any(report.reserved):
        raise VerificationError(f"reserved bytes of the {name}", check=check, expected=0, actual=report.reserved)


def _check_guest(body: TdReport) -> None:
    if body.td_attributes & ~body.KNOWN_ATTRIBUTES:
        raise VerificationError(
            "reserved attributes of the guest", check=_CHECK_BODY, expected=0, actual=hex(body.td_attributes)
        )
    _check_state("XFAM of the guest", body.xfam, _CHECK_BODY)


def _check_state(what: str, state: int, check: str) -> None:
    """Processor state that there is, and what nothing starts without."""
    if state & LEGACY_STATE != LEGACY_STATE:
        raise VerificationError(what, check=check, expected="x87 and SSE", actual=hex(state))
    if state & ~KNOWN_STATE:
        raise VerificationError(f"reserved bits of the {what}", check=check, expected=0, actual=hex(state))


def _masked(value: bytes, mask: bytes) -> bytes:
    return bytes(one & other for one, other in zip(value, mask, strict=True))


def _expect(what: str, expected: bytes | int, actual: bytes | int) -> None:
    if actual != expected:
        raise VerificationError(what, check=_CHECK_QE, expected=expected, actual=actual)
