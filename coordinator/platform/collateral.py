"""The collateral of the simulated platform: what a verifier needs beside a quote, signed by the platform itself.

Responsible for: TCB info v3 and QE identity v2 in Intel's form, with their signatures and the revocation lists.
Must not know:   files, sockets, clocks.

The platform's one TCB level has the status SWHardeningNeeded and an advisory that says what is wrong with it, so that
a verifier whose policy is strict refuses the simulation even where somebody made it trust the root.  A signature is
over the exact text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from coordinator.platform import tdx
from coordinator.platform.pki import BACKDATED_S, CPU_SVN, FMSPC, PCE_ID, PCE_SVN, Pki, pck_crl, root_crl
from coordinator.platform.quoting import QE_SVN, sign_p256
from protocol.attestation.collateral import Collateral
from protocol.attestation.reports import QE_PRODUCT, SIMULATED_QE_SIGNER, TD_QE_PRODUCT
from protocol.attestation.tcb import TcbStatus, Tee

STATUS = TcbStatus.SW_HARDENING_NEEDED
ADVISORY = "SIMULATED-NOT-HARDWARE"
EVALUATION_NUMBER = 1
"""Intel counts its reviews of what is secure up; the simulation has had one."""
VALID_S = 30 * 86_400
"""As long as Intel's is valid."""
ISSUE_FORM = "%Y-%m-%dT%H:%M:%SZ"
"""How Intel's texts write a time."""
REVIEWED_S = 1_735_689_600
"""2025-01-01: since when the levels are what they are."""

_QE_ATTRIBUTES = "11000000000000000000000000000000"
_QE_ATTRIBUTES_MASK = "FBFFFFFFFFFFFFFF0000000000000000"
"""INIT and PROVISION_KEY set, MODE64 and XFRM as they like: as in Intel's QE identities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """Serial numbers that the platform's lists name; none but in tests."""

    by_root: frozenset[int] = field(default_factory=frozenset)
    by_authority: frozenset[int] = field(default_factory=frozenset)


def issue_collateral(pki: Pki, tee: Tee, now_s: int, *, revoked: Revoked | None = None) -> Collateral:
    """The collateral of one shape of the platform, valid for 30 days from now (seconds since 1970)."""
    return sign_collateral(
        pki, tcb_info=tcb_info(tee, now_s), qe_identity=qe_identity(tee, now_s), now_s=now_s, revoked=revoked
    )


def sign_collateral(
    pki: Pki,
    *,
    tcb_info: Mapping[str, Any],
    qe_identity: Mapping[str, Any],
    now_s: int,
    revoked: Revoked | None = None,
) -> Collateral:
    """Collateral with these two texts, signed, and lists that revoke these serials."""
    revoked = revoked or Revoked()
    info, identity = _text(tcb_info), _text(qe_identity)
    return Collateral(
        pck_crl_issuer_chain=pki.authority_chain,
        root_ca_crl=root_crl(pki, now_s, revoked=sorted(revoked.by_root)),
        pck_crl=pck_crl(pki, now_s, revoked=sorted(revoked.by_authority)),
        tcb_info_issuer_chain=pki.tcb_chain,
        tcb_info=info,
        tcb_info_signature=sign_p256(pki.tcb_key, info),
        qe_identity_issuer_chain=pki.tcb_chain,
        qe_identity=identity,
        qe_identity_signature=sign_p256(pki.tcb_key, identity),
        pck_certificate_chain=pki.chain,
    )


def tcb_info(tee: Tee, now_s: int) -> dict[str, Any]:
    """What versions the platform may have, in the order of Intel's keys: one level, which the platform has."""
    tcb: dict[str, Any] = {"sgxtcbcomponents": [{"svn": svn} for svn in CPU_SVN], "pcesvn": PCE_SVN}
    if tee is Tee.TDX:
        # Components 0 and 1 are the module's versions, for which its identity is looked up instead.
        tcb["tdxtcbcomponents"] = [{"svn": svn} for svn in bytes(len(tdx.TEE_TCB_SVN))]
    return {
        "id": tee.name,
        "version": 3,
        **_window(now_s),
        "fmspc": FMSPC.hex().upper(),
        "pceId": PCE_ID.hex().upper(),
        "tcbType": 0,
        "tcbEvaluationDataNumber": EVALUATION_NUMBER,
        **(_tdx_module() if tee is Tee.TDX else {}),
        "tcbLevels": [{"tcb": tcb, "tcbDate": _time(REVIEWED_S), "tcbStatus": STATUS, "advisoryIDs": [ADVISORY]}],
    }


def _tdx_module() -> dict[str, Any]:
    """Whose module it has to be (48 zero bytes: Intel's, which nobody but the module's own identity refutes)."""
    signer = {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "FF" * 8}
    level = {"tcb": {"isvsvn": tdx.MODULE_SVN}, "tcbDate": _time(REVIEWED_S), "tcbStatus": "UpToDate"}
    identity = {"id": f"TDX_{tdx.MODULE_MAJOR:02X}", **signer, "tcbLevels": [level]}
    return {"tdxModule": signer, "tdxModuleIdentities": [identity]}


def qe_identity(tee: Tee, now_s: int) -> dict[str, Any]:
    """What the quoting enclave has to be, in the order of Intel's keys."""
    return {
        "id": "TD_QE" if tee is Tee.TDX else "QE",
        "version": 2,
        **_window(now_s),
        "tcbEvaluationDataNumber": EVALUATION_NUMBER,
        "miscselect": "00000000",
        "miscselectMask": "FFFFFFFF",
        "attributes": _QE_ATTRIBUTES,
        "attributesMask": _QE_ATTRIBUTES_MASK,
        "mrsigner": SIMULATED_QE_SIGNER.hex().upper(),
        "isvprodid": TD_QE_PRODUCT if tee is Tee.TDX else QE_PRODUCT,
        "tcbLevels": [{"tcb": {"isvsvn": QE_SVN}, "tcbDate": _time(REVIEWED_S), "tcbStatus": "UpToDate"}],
    }


def _window(now_s: int) -> dict[str, str]:
    start_s = now_s - BACKDATED_S
    return {"issueDate": _time(start_s), "nextUpdate": _time(start_s + VALID_S)}


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime(ISSUE_FORM)


def _text(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
