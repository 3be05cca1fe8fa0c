"""A platform whose evidence is right, described as a value: change one fact, and all of it is signed again.

    plan = sgx_plan()
    plan.but("body.flags", 0x07).evidence()                        # a debug enclave, nothing else is wrong
    plan.but("tcb_info.tcbLevels.0.tcbStatus", "Revoked").evidence()
    plan.but("leaf.issuer", "root").evidence()

Responsible for: valid plans of SGX and TDX evidence, and signing whatever a plan says.
Must not know:   which change is a fault, or what notices it.

Keys and serial numbers come from names and signatures are deterministic, so that the same plan gives the same bytes.
Names say SIMULATED, as the platform's own do; `look_alike` gives the root Intel's name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, is_dataclass, replace
from datetime import UTC, datetime
from typing import Any

from lab.evidence.certificates import (
    CA_USAGE,
    DAY_S,
    HOUR_S,
    NOW_S,
    CertificatePlan,
    PlatformPlan,
    RevocationPlan,
    issue,
    key_of,
    pem,
    public_bytes,
    revoke,
    sign,
)
from protocol.attestation.collateral import Collateral, encode_collateral
from protocol.attestation.layouts import (
    INTEL_QE_VENDOR_ID,
    TD_SEPT_VE_DISABLE,
    TEE_TDX,
    QuoteHeader,
    ReportBody,
    TdReport,
    TdReport15,
    TdReport15Extended,
)
from protocol.attestation.quote import PCK_LEAF, PEM_CHAIN, Quote
from protocol.attestation.trust import RootKind, TrustedRoot, TrustStore
from protocol.hashing import sha256

REPORT_DATA = bytes(range(64))
MEASUREMENT = sha256(b"measured code")
GUEST_MEASUREMENT = bytes(range(48))

ROOT_NAME = "SIMULATED SGX Root CA (NO HARDWARE)"
PLATFORM_CA_NAME = "SIMULATED SGX PCK Platform CA (NO HARDWARE)"
PROCESSOR_CA_NAME = "SIMULATED SGX PCK Processor CA (NO HARDWARE)"
LEAF_NAME = "SIMULATED SGX PCK Certificate (NO HARDWARE)"
TCB_SIGNER_NAME = "SIMULATED SGX TCB Signing (NO HARDWARE)"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a verifier is handed."""

    quote: bytes
    collateral: bytes
    """JSON."""
    root: bytes
    """Certificate, DER."""


Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that a platform says, before any of it is signed."""

    header: QuoteHeader
    body: ReportBody | TdReport
    qe_report: ReportBody
    """Its report data is the binding of the attestation key, unless `qe_binding` says otherwise."""
    root: CertificatePlan
    authority: CertificatePlan
    leaf: CertificatePlan
    tcb_signer: CertificatePlan
    qe_signer: CertificatePlan
    """Of the QE identity; the same certificate as `tcb_signer` unless changed."""
    platform: PlatformPlan
    root_crl: RevocationPlan
    pck_crl: RevocationPlan
    tcb_info: Json
    qe_identity: Json

    attestation_key: str = "attestation key"
    quote_signed_by: str | None = None
    """Name of the key that signs the quote, where it is not the attestation key."""
    qe_signed_by: str | None = None
    """Name of the key that signs the QE's report, where it is not the leaf's."""
    qe_auth: bytes = b"SIMULATED: SAYS NOTHING ABOUT HW"
    qe_binding: bytes | None = None
    tcb_info_signed_by: str | None = None
    qe_identity_signed_by: str | None = None
    certification_type: int = PEM_CHAIN
    padding: int = 0
    chain_order: tuple[str, ...] = ("leaf", "authority", "root")
    has_pck_chain: bool = False
    """Whether the collateral also carries leaf, CA and root."""
    edits: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    """What is done to finished parts after everything was signed: by a field of Collateral, or "quote"."""

    def but(self, path: str, value: Any) -> Plan:
        """The same plan with one fact changed; `path` goes through fields, keys and indices."""
        changed: Plan = _changed(self, path.split("."), value)
        return changed

    def edit(self, part: str, change: Callable[[Any], Any]) -> Plan:
        """The same plan with a finished part changed behind its signature."""
        return replace(self, edits={**self.edits, part: change})

    def certificate(self, role: str) -> bytes:
        """One certificate, DER."""
        plan: CertificatePlan = getattr(self, role)
        issuer: CertificatePlan = getattr(self, plan.issuer)
        return issue(plan, issuer, self.platform.encode() if plan.has_platform else None)

    def chain(self, *roles: str) -> bytes:
        """PEM of some certificates."""
        return b"".join(pem(self.certificate(role)) for role in roles or self.chain_order)

    def parsed_quote(self) -> Quote:
        """The quote as a value."""
        key = key_of(self.attestation_key)
        binding = sha256(public_bytes(key), self.qe_auth) + bytes(32)
        qe_report = replace(self.qe_report, report_data=binding if self.qe_binding is None else self.qe_binding)
        leaf_key = key_of(self.qe_signed_by or self.leaf.key)
        certificates = {PEM_CHAIN: self.chain, PCK_LEAF: lambda: self.certificate("leaf")}
        quote = Quote(
            header=self.header,
            body=self.body,
            signature=bytes(64),
            attestation_key=public_bytes(key),
            qe_report=qe_report,
            qe_report_signature=sign(leaf_key, qe_report.encode()),
            qe_auth=self.qe_auth,
            certificates=certificates.get(self.certification_type, self._identifier)(),
            certification_type=self.certification_type,
            padding=self.padding,
        )
        return replace(quote, signature=sign(key_of(self.quote_signed_by or self.attestation_key), quote.signed))

    def quote(self) -> bytes:
        """The quote."""
        return bytes(self._edited("quote", self.parsed_quote().encode()))

    def collateral(self) -> Collateral:
        """CRLs, TCB info and QE identity."""
        tcb_info, qe_identity = (json.dumps(text, separators=(",", ":")) for text in (self.tcb_info, self.qe_identity))
        signer, qe_signer = (
            self.tcb_info_signed_by or self.tcb_signer.key,
            self.qe_identity_signed_by or self.qe_signer.key,
        )
        parts: dict[str, Any] = {
            "pck_crl_issuer_chain": self.chain("authority", "root"),
            "root_ca_crl": self.revocations("root_crl"),
            "pck_crl": self.revocations("pck_crl"),
            "tcb_info_issuer_chain": self.chain("tcb_signer", "root"),
            "tcb_info": tcb_info.encode(),
            "tcb_info_signature": sign(key_of(signer), tcb_info.encode()),
            "qe_identity_issuer_chain": self.chain("qe_signer", "root"),
            "qe_identity": qe_identity.encode(),
            "qe_identity_signature": sign(key_of(qe_signer), qe_identity.encode()),
        }
        if self.has_pck_chain:
            parts["pck_certificate_chain"] = self.chain()
        return Collateral(**{name: self._edited(name, value) for name, value in parts.items()})

    def revocations(self, role: str) -> bytes:
        """One CRL, DER."""
        plan: RevocationPlan = getattr(self, role)
        return revoke(plan, getattr(self, plan.issuer))

    def evidence(self) -> Evidence:
        """All that a verifier is handed."""
        collateral = self._edited("collateral", encode_collateral(self.collateral()))
        return Evidence(quote=self.quote(), collateral=collateral, root=self.certificate("root"))

    def trust_store(self, kind: RootKind = RootKind.SIMULATED) -> TrustStore:
        """Believes this plan's root."""
        return TrustStore(roots=(TrustedRoot(key_hash=self.root_key_hash, kind=kind),))

    @property
    def root_key_hash(self) -> bytes:
        """SHA-256 of X || Y."""
        return sha256(public_bytes(key_of(self.root.key)))

    def _identifier(self) -> bytes:
        """Certification data of types 1 to 3."""
        ppid = {1: self.platform.ppid, 2: bytes(256), 3: bytes(384)}[self.certification_type]
        return ppid + self.platform.cpu_svn + self.platform.pce_svn.to_bytes(2, "little") + self.platform.pce_id

    def _edited(self, part: str, value: Any) -> Any:
        return self.edits[part](value) if part in self.edits else value


def sgx_plan(version: int = 3) -> Plan:
    """An SGX enclave on a platform that is up to date."""
    body = ReportBody(
        cpu_svn=PlatformPlan.cpu_svn,
        misc_select=0,
        flags=0x05,
        xfrm=0xE7,
        mrenclave=MEASUREMENT,
        mrsigner=sha256(b"somebody"),
        isv_prod_id=1,
        isv_svn=2,
        report_data=REPORT_DATA,
    )
    return _plan(version, body)


def tdx_plan(version: int = 4, body_type: int = 2) -> Plan:
    """A TDX guest on a platform that is up to date; body type 2 is TD report 1.0, 3 is 1.5, 4 is 1.5 extended."""
    facts: dict[str, Any] = {
        "tee_tcb_svn": bytes([5, 1, 2]) + bytes(13),
        "mrseam": bytes(range(100, 148)),
        "td_attributes": TD_SEPT_VE_DISABLE,
        "xfam": 0x602E7,
        "mrtd": GUEST_MEASUREMENT,
        "rtmr0": bytes([1]) * 48,
        "report_data": REPORT_DATA,
    }
    if body_type >= 3:
        facts["tee_tcb_svn2"] = facts["tee_tcb_svn"]
    if body_type == 4:
        facts |= {"vmid": 0, "td_id": bytes(32), "devinfo": bytes(48), "init_cpu_svn": bytes(16)}
        facts |= {"init_tee_tcb_svn": bytes(16), "init_tee_fmspc": bytes(12)}
        facts |= dict.fromkeys(("init_server_td_hash", "curr_server_td_hash"), bytes(48))
        facts |= dict.fromkeys(("init_server_td_attr", "curr_server_td_attr"), bytes(8))
    kind = {2: TdReport, 3: TdReport15, 4: TdReport15Extended}[body_type]
    return _plan(version, kind(**facts))


def processor_plan() -> Plan:
    """An SGX enclave on a platform whose leaf is of the Processor CA."""
    plan = sgx_plan().but("authority.name", PROCESSOR_CA_NAME)
    return plan.but("platform.instance", None)


def look_alike(plan: Plan) -> Plan:
    """The same with Intel's names in every certificate, under a key that is not Intel's."""
    for role in ("root", "authority", "leaf", "tcb_signer", "qe_signer"):
        name = getattr(plan, role).name.replace("SIMULATED", "Intel").replace(" (NO HARDWARE)", "")
        plan = plan.but(f"{role}.name", name).but(f"{role}.organisation", "Intel Corporation")
    return plan


def _plan(version: int, body: ReportBody | TdReport) -> Plan:
    is_tdx = isinstance(body, TdReport)
    qe_signer = sha256(b"simulated qe")
    tcb_signer = CertificatePlan(name=TCB_SIGNER_NAME, issuer="root", key="tcb signer")
    return Plan(
        header=QuoteHeader(
            version=version,
            key_type=2,
            key_data=TEE_TDX if is_tdx else 0,
            qe_svn=8 if version == 3 else 0,
            pce_svn=13 if version == 3 else 0,
            qe_vendor_id=INTEL_QE_VENDOR_ID,
            user_data=b"SIMULATED-TEE-QE".ljust(20, b"\0"),
        ),
        body=body,
        qe_report=ReportBody(
            cpu_svn=PlatformPlan.cpu_svn,
            misc_select=0,
            flags=0x15,
            xfrm=0xE7,
            mrenclave=sha256(b"simulated qe code"),
            mrsigner=qe_signer,
            isv_prod_id=2 if is_tdx else 1,
            isv_svn=8,
            report_data=bytes(64),
        ),
        root=CertificatePlan(name=ROOT_NAME, issuer="root", key="root", is_ca=True, path_length=1, usage=CA_USAGE),
        authority=CertificatePlan(
            name=PLATFORM_CA_NAME, issuer="root", key="authority", is_ca=True, path_length=0, usage=CA_USAGE
        ),
        leaf=CertificatePlan(name=LEAF_NAME, issuer="authority", key="leaf", has_platform=True),
        tcb_signer=tcb_signer,
        qe_signer=tcb_signer,
        platform=PlatformPlan(),
        root_crl=RevocationPlan(issuer="root"),
        pck_crl=RevocationPlan(issuer="authority"),
        tcb_info=_tcb_info(is_tdx),
        qe_identity=_qe_identity(is_tdx, qe_signer),
    )


def tcb_level(status: str, *, pce_svn: int = 13, svns: bytes = PlatformPlan.cpu_svn, is_tdx: bool = False) -> Json:
    """A level of TCB info v3 that the plan's platform reaches exactly."""
    tcb: Json = {"sgxtcbcomponents": [{"svn": svn} for svn in svns], "pcesvn": pce_svn}
    if is_tdx:
        tcb["tdxtcbcomponents"] = [{"svn": svn} for svn in (0, 0, 2, *bytes(13))]
    level: Json = {"tcb": tcb, "tcbDate": time_text(NOW_S - 300 * DAY_S), "tcbStatus": status}
    return level if status == "UpToDate" else level | {"advisoryIDs": [f"SIMULATED-{status}"]}


def _tcb_info(is_tdx: bool) -> Json:
    info: Json = {
        "id": "TDX" if is_tdx else "SGX",
        "version": 3,
        "issueDate": time_text(NOW_S - HOUR_S),
        "nextUpdate": time_text(NOW_S + 30 * DAY_S),
        "fmspc": "0053494D0000",
        "pceId": "0000",
        "tcbType": 0,
        "tcbEvaluationDataNumber": 17,
    }
    if is_tdx:
        module: Json = {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "FF" * 8}
        levels = [
            {"tcb": {"isvsvn": isvsvn}, "tcbDate": time_text(NOW_S - 300 * DAY_S), "tcbStatus": status}
            for isvsvn, status in ((5, "UpToDate"), (2, "OutOfDate"))
        ]
        info |= {"tdxModule": module, "tdxModuleIdentities": [{"id": "TDX_01", **module, "tcbLevels": levels}]}
    levels = [tcb_level("UpToDate", is_tdx=is_tdx), tcb_level("OutOfDate", pce_svn=5, is_tdx=is_tdx)]
    return info | {"tcbLevels": levels}


def _qe_identity(is_tdx: bool, mrsigner: bytes) -> Json:
    return {
        "id": "TD_QE" if is_tdx else "QE",
        "version": 2,
        "issueDate": time_text(NOW_S - HOUR_S),
        "nextUpdate": time_text(NOW_S + 30 * DAY_S),
        "tcbEvaluationDataNumber": 17,
        "miscselect": "00000000",
        "miscselectMask": "FFFFFFFF",
        "attributes": "11000000000000000000000000000000",
        "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
        "mrsigner": mrsigner.hex().upper(),
        "isvprodid": 2 if is_tdx else 1,
        "tcbLevels": [
            {"tcb": {"isvsvn": 8}, "tcbDate": time_text(NOW_S - 300 * DAY_S), "tcbStatus": "UpToDate"},
            {
                "tcb": {"isvsvn": 6},
                "tcbDate": time_text(NOW_S - 900 * DAY_S),
                "tcbStatus": "OutOfDate",
                "advisoryIDs": ["SIMULATED-QE"],
            },
        ],
    }


def time_text(time_s: int) -> str:
    """As Intel's JSON has it."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _changed(value: Any, path: list[str], new: Any) -> Any:
    if not path:
        return new
    head, *rest = path
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{head: _changed(getattr(value, head), rest, new)})
    if isinstance(value, dict):
        return {**value, head: _changed(value.get(head), rest, new)}
    index = int(head)
    changed = _changed(value[index], rest, new)
    return type(value)([*value[:index], changed, *value[index + 1 :]])
