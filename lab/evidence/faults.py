"""Evidence with exactly one thing wrong, signed again, and what must notice it.

Responsible for: the list of faults, each with the step of the recipe that must notice it.
Must not know:   how it is noticed.

Every fault is a plan that differs from a valid one in one fact.  `rows` says which of the mistakes that real verifiers
made would let it pass, by their number in our list; a step of 0 means that the evidence is authentic and the strict
policy refuses.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from lab.evidence.certificates import NOW_S
from lab.evidence.world import (
    Plan,
    look_alike,
    processor_plan,
    sgx_plan,
    tdx_plan,
    time_text,
)
from protocol.hashing import sha256

POLICY = 0


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing wrong."""

    name: str
    rows: tuple[int, ...]
    plan: Plan
    step: int
    """Of the recipe that notices; `POLICY` where only a policy does."""
    says: str
    """Part of the message."""


SGX, TDX, TDX_15, TDX_EXTENDED = sgx_plan(), tdx_plan(), tdx_plan(5, 3), tdx_plan(5, 4)

VALID: dict[str, Plan] = {
    "sgx-v3": SGX,
    "sgx-v3-processor": processor_plan(),
    "sgx-v3-leaf-only": SGX.but("certification_type", 4).but("has_pck_chain", True),
    "sgx-v3-ppid": SGX.but("certification_type", 1).but("has_pck_chain", True),
    "sgx-v3-ppid-2048": SGX.but("certification_type", 2).but("has_pck_chain", True),
    "sgx-v3-ppid-3072": SGX.but("certification_type", 3).but("has_pck_chain", True),
    "sgx-v3-other-fmspc": SGX.but("platform.fmspc", b"\x20\x90\x6f\x10\0\0").but("tcb_info.fmspc", "20906F100000"),
    "sgx-v3-all-state": SGX.but("body.xfrm", 0xF_FFFF).but("qe_report.xfrm", 0xF_FFFF),
    "sgx-v3-no-auth": SGX.but("qe_auth", b""),
    "sgx-v3-long-auth": SGX.but("qe_auth", bytes(200)),
    "sgx-v4": sgx_plan(4),
    "sgx-v5": sgx_plan(5),
    "tdx-v4": TDX,
    "tdx-v4-padded": TDX.but("padding", 3065),
    "tdx-v4-module-1.0": TDX.but("body.tee_tcb_svn", bytes([5, 0, 2]) + bytes(13)),
    "tdx-v5-1.0": tdx_plan(5, 2),
    "tdx-v5-1.5": TDX_15,
    "tdx-v5-1.5-extended": TDX_EXTENDED,
}
"""Evidence with nothing wrong and a platform that is up to date."""


def _fault(name: str, rows: tuple[int, ...], plan: Plan, step: int, says: str) -> Fault:
    return Fault(name=name, rows=rows, plan=plan, step=step, says=says)


def _with_crl_pem(der: bytes) -> bytes:
    return x509.load_der_x509_crl(der).public_bytes(Encoding.PEM)


def _flat(quote: bytes) -> bytes:
    """Version 4 without the nesting: what was in the outer certification data stands for it."""
    tail = quote[636:764] + quote[770:]
    return quote[:632] + len(tail).to_bytes(4, "little") + tail


def _spaced(text: bytes) -> bytes:
    return text.replace(b'","', b'", "', 1)


def _twice(text: bytes) -> bytes:
    return text.replace(b'"version":', b'"version":3,"version":', 1)


AKI, SKI = x509.AuthorityKeyIdentifier, x509.SubjectKeyIdentifier

STRUCTURE = (
    _fault("vendor-other", (7,), SGX.but("header.qe_vendor_id", bytes(16)), 1, "QE vendor"),
    _fault("version-2", (14,), SGX.but("header.version", 2), 1, "version of a quote"),
    _fault("version-6", (14,), SGX.edit("quote", lambda quote: b"\6\0" + quote[2:]), 1, "version of a quote"),
    _fault("key-type-p384", (14,), SGX.but("header.key_type", 3), 1, "attestation key"),
    _fault("tee-type-in-v3", (14,), SGX.but("header.key_data", 0x81), 1, "reserved key data"),
    _fault("tee-type-unknown", (14,), TDX.but("header.key_data", 0x82), 1, "kind of hardware"),
    _fault("tee-type-sgx-on-guest", (4,), TDX.but("header.key_data", 0), 1, "outer type of certification"),
    _fault("body-type-sgx-on-guest", (4,), tdx_plan(5, 2).but("header.key_data", 0), 1, "body type"),
    _fault("flat-v4", (14,), TDX.edit("quote", _flat), 1, "outer type of certification"),
    _fault("behind-the-end", (25,), SGX.edit("quote", lambda quote: quote + b"\0\1"), 1, "bytes behind the end"),
    _fault("cut", (25,), SGX.edit("quote", lambda quote: quote[:-1]), 1, "length of the quote's signature data"),
)

CHAIN = (
    _fault("leaf-without-aki", (2,), SGX.but("leaf.left_out", (AKI,)), 2, "KeyIdentifier"),
    _fault("leaf-without-ski", (2,), SGX.but("leaf.left_out", (SKI,)), 2, "KeyIdentifier"),
    _fault("authority-without-ids", (2,), SGX.but("authority.left_out", (AKI, SKI)), 2, "KeyIdentifier"),
    _fault("leaf-other-aki", (2,), SGX.but("leaf.authority_id", bytes(19) + b"\1"), 2, "authority key identifier"),
    _fault("leaf-signed-by-stranger", (2,), SGX.but("leaf.signed_by", "stranger"), 2, "signature of the PCK leaf"),
    _fault("authority-signed-by-stranger", (2,), SGX.but("authority.signed_by", "stranger"), 2, "signature of the CA"),
    _fault("root-signed-by-stranger", (2,), SGX.but("root.signed_by", "stranger"), 2, "signature of the root"),
    _fault("leaf-other-issuer-name", (2,), SGX.but("leaf.issuer_name", "stranger"), 2, "issuer's name of the PCK leaf"),
    _fault("leaf-of-the-root", (15,), SGX.but("leaf.issuer", "root"), 2, "issuer's name of the PCK leaf"),
    _fault("leaf-of-a-leaf", (15,), SGX.but("authority.is_ca", False).but("authority.path_length", None), 2, "CA"),
    _fault("leaf-is-ca", (15,), SGX.but("leaf.is_ca", True), 2, "constraints of the PCK leaf"),
    _fault("authority-may-issue-cas", (15,), SGX.but("authority.path_length", 1), 2, "constraints of the CA"),
    _fault("authority-usage", (15,), SGX.but("authority.usage", frozenset({"crl_sign"})), 2, "key usage of the CA"),
    _fault("leaf-expired", (12,), SGX.but("leaf.end_s", NOW_S - 1), 2, "validity of the PCK leaf"),
    _fault("authority-expired", (12,), SGX.but("authority.end_s", NOW_S - 1), 2, "validity of the CA"),
    _fault("root-in-the-future", (12,), SGX.but("root.start_s", NOW_S + 1), 2, "validity of the root"),
    _fault("leaf-without-platform", (15,), SGX.but("leaf.has_platform", False), 2, "role of the PCK leaf"),
    _fault("chain-upside-down", (15,), SGX.but("chain_order", ("root", "authority", "leaf")), 2, "key of the root"),
    _fault("chain-of-two", (15,), SGX.but("chain_order", ("leaf", "authority")), 2, "certificates in a chain"),
    _fault("chain-of-four", (15,), SGX.but("chain_order", ("leaf", "authority", "root", "root")), 2, "certificates"),
    _fault("pem-corrupt", (15,), SGX.edit("quote", lambda q: q.replace(b"MII", b"!II", 1)), 2, "PEM of a certificate"),
    _fault(
        "chain-supplied-differs",
        (2,),
        SGX.but("has_pck_chain", True).edit("pck_certificate_chain", lambda _: processor_plan().chain()),
        2,
        "certificates supplied",
    ),
    _fault(
        "ppid-of-another",
        (2,),
        VALID["sgx-v3-ppid"].edit(
            "quote",
            lambda quote: quote.replace(b"SIMULATED-PPID\0\0" + SGX.platform.cpu_svn, bytes(16) + SGX.platform.cpu_svn),
        ),
        2,
        "platform that the quote names",
    ),
)

REVOCATION = (
    _fault(
        "leaf-revoked", (17,), SGX.but("pck_crl.serials", (1,)).but("leaf.serial", 1), 3, "revocation of the PCK leaf"
    ),
    _fault(
        "authority-revoked", (17,), SGX.but("root_crl.serials", (1,)).but("authority.serial", 1), 3, "revocation of the"
    ),
    _fault(
        "tcb-signer-revoked",
        (17,),
        SGX.but("root_crl.serials", (1,)).but("tcb_signer.serial", 1),
        3,
        "revocation of the",
    ),
    _fault(
        "qe-signer-revoked", (17,), SGX.but("root_crl.serials", (1,)).but("qe_signer.serial", 1), 3, "revocation of the"
    ),
    _fault("root-revoked", (17,), SGX.but("root_crl.serials", (1,)).but("root.serial", 1), 3, "revocation of the root"),
    _fault("root-crl-expired", (17, 12), SGX.but("root_crl.end_s", NOW_S - 1), 3, "validity of the root CRL"),
    _fault("pck-crl-expired", (17, 12), SGX.but("pck_crl.end_s", NOW_S - 1), 3, "validity of the PCK CRL"),
    _fault("root-crl-in-the-future", (12,), SGX.but("root_crl.start_s", NOW_S + 1), 3, "validity of the root CRL"),
    _fault("pck-crl-of-the-root", (4,), SGX.but("pck_crl.issuer", "root"), 3, "PCK CRL"),
    _fault("root-crl-of-the-ca", (4,), SGX.but("root_crl.issuer", "authority"), 3, "root CRL"),
    _fault("pck-crl-signed-by-stranger", (4,), SGX.but("pck_crl.signed_by", "stranger"), 3, "signature of the PCK CRL"),
    _fault(
        "root-crl-signed-by-stranger", (4,), SGX.but("root_crl.signed_by", "stranger"), 3, "signature of the root CRL"
    ),
    _fault(
        "pck-crl-of-the-other-ca",
        (4, 16),
        SGX.edit("pck_crl", lambda _: processor_plan().revocations("pck_crl")),
        3,
        "PCK CRL",
    ),
    _fault(
        "pck-crl-other-aki", (2,), SGX.but("pck_crl.authority_id", bytes(19) + b"\1"), 3, "authority key identifier"
    ),
    _fault("pck-crl-absent", (4,), SGX.edit("pck_crl", lambda _: b""), 3, "CRL"),
    _fault("pck-crl-is-the-roots", (4,), SGX.edit("pck_crl", lambda _: SGX.revocations("root_crl")), 3, "PCK CRL"),
    _fault("root-crl-pem", (13,), SGX.edit("root_ca_crl", _with_crl_pem), 3, "CRL"),
)


_PCK_SIGNS = SGX.edit("tcb_info_issuer_chain", lambda _: SGX.chain("leaf", "root")).but("tcb_info_signed_by", "leaf")
_CA_SIGNS = SGX.edit("tcb_info_issuer_chain", lambda _: SGX.chain("authority", "root")).but(
    "tcb_info_signed_by", "authority"
)

COLLATERAL = (
    _fault("tcb-info-forged", (1,), SGX.but("tcb_info_signed_by", "stranger"), 4, "signature of the TCB info"),
    _fault("qe-identity-forged", (1,), SGX.but("qe_identity_signed_by", "stranger"), 4, "signature of the QE identity"),
    _fault("tcb-info-signed-by-the-pck", (4, 15), _PCK_SIGNS, 4, "TCB"),
    _fault("tcb-info-signed-by-the-ca", (4, 15), _CA_SIGNS, 4, "TCB"),
    _fault("tcb-signer-is-a-pck", (15,), SGX.but("tcb_signer.has_platform", True), 4, "TCB"),
    _fault("tcb-signer-other-role", (15,), SGX.but("tcb_signer.name", "SIMULATED SGX Report Signing"), 4, "TCB"),
    _fault("tcb-signer-is-a-ca", (15,), SGX.but("tcb_signer.is_ca", True), 4, "TCB"),
    _fault("tcb-signer-of-the-ca", (15,), SGX.but("tcb_signer.issuer", "authority"), 4, "TCB"),
    _fault("tcb-signer-expired", (12,), SGX.but("tcb_signer.end_s", NOW_S - 1), 4, "validity of the"),
    _fault("tcb-signer-signed-by-stranger", (2,), SGX.but("tcb_signer.signed_by", "stranger"), 4, "signature of the"),
    _fault("qe-signer-signed-by-stranger", (2,), SGX.but("qe_signer.signed_by", "stranger"), 4, "signature of the"),
    _fault("tcb-info-expired", (11, 12), SGX.but("tcb_info.nextUpdate", time_text(NOW_S - 1)), 4, "TCB info"),
    _fault("tcb-info-in-the-future", (12,), SGX.but("tcb_info.issueDate", time_text(NOW_S + 1)), 4, "TCB info"),
    _fault("qe-identity-expired", (11, 12), SGX.but("qe_identity.nextUpdate", time_text(NOW_S - 1)), 4, "QE identity"),
    _fault(
        "qe-identity-in-the-future", (12,), SGX.but("qe_identity.issueDate", time_text(NOW_S + 1)), 4, "QE identity"
    ),
    _fault("tcb-info-of-tdx", (4,), SGX.but("tcb_info", TDX.tcb_info), 4, "TCB info"),
    _fault("tcb-info-of-sgx", (4,), TDX.but("tcb_info", SGX.tcb_info), 4, "TCB info"),
    _fault("qe-identity-of-tdx", (4, 13), SGX.but("qe_identity", TDX.qe_identity), 4, "QE identity"),
    _fault("qe-identity-of-sgx", (4, 13), TDX.but("qe_identity", SGX.qe_identity), 4, "QE identity"),
    _fault("qe-identity-of-the-qve", (4,), SGX.but("qe_identity.id", "QVE"), 4, "QE identity"),
    _fault("tcb-info-version-2", (4,), SGX.but("tcb_info.version", 2), 4, "version"),
    _fault("qe-identity-version-1", (4,), SGX.but("qe_identity.version", 1), 4, "version"),
    _fault("tcb-info-reserialised", (13,), SGX.edit("tcb_info", _spaced), 4, "signature of the TCB info"),
    _fault("tcb-info-says-it-twice", (22,), SGX.edit("tcb_info", _twice), 4, ""),
    _fault(
        "four-components", (8,), SGX.but("tcb_info.tcbLevels.0.tcb.sgxtcbcomponents", [{"svn": 0}] * 4), 4, "component"
    ),
    _fault("no-components", (8,), SGX.but("tcb_info.tcbLevels.0.tcb.sgxtcbcomponents", []), 4, "component"),
    _fault(
        "four-tdx-components",
        (8,),
        TDX.but("tcb_info.tcbLevels.0.tcb.tdxtcbcomponents", [{"svn": 0}] * 4),
        4,
        "component",
    ),
    _fault("component-is-true", (8,), SGX.but("tcb_info.tcbLevels.0.tcb.sgxtcbcomponents.0", {"svn": True}), 4, ""),
    _fault("status-unknown", (5,), SGX.but("tcb_info.tcbLevels.0.tcbStatus", "Fine"), 4, "status"),
)

QE_REPORT = (
    _fault("qe-other-signer", (1,), SGX.but("qe_report.mrsigner", sha256(b"somebody")), 5, "signer of the QE"),
    _fault("qe-other-product", (1,), SGX.but("qe_report.isv_prod_id", 2), 5, "product of the QE"),
    _fault("qe-below-all-levels", (1,), SGX.but("qe_report.isv_svn", 5), 5, ""),
    _fault("qe-misc-select", (1,), SGX.but("qe_report.misc_select", 1), 5, "MISCSELECT of the QE"),
    _fault("qe-attributes", (1,), SGX.but("qe_report.flags", 0x95), 5, "attributes of the QE"),
    _fault("qe-debug", (9,), SGX.but("qe_report.flags", 0x17), 5, "debug flag of the QE"),
    _fault("qe-not-initialised", (9,), SGX.but("qe_report.flags", 0x14), 5, "INIT flag of the QE"),
    _fault("qe-reserved", (1,), SGX.but("qe_report.reserved_2", bytes(31) + b"\1"), 5, "reserved bytes of the QE"),
    _fault("qe-reserved-state", (1,), SGX.but("qe_report.xfrm", 0xE7 | 1 << 63), 5, "reserved bits of the XFRM"),
    _fault("qe-signed-by-stranger", (2,), SGX.but("qe_signed_by", "stranger"), 5, "signature of the QE report"),
    _fault("qe-signed-by-the-ca", (15,), SGX.but("qe_signed_by", "authority"), 5, "signature of the QE report"),
    _fault("qe-binds-nothing", (19,), SGX.but("qe_binding", bytes(64)), 5, "report data of the QE"),
    _fault(
        "qe-binds-another-key",
        (19,),
        SGX.but("qe_binding", sha256(b"another key") + bytes(32)),
        5,
        "report data of the QE",
    ),
    _fault("td-qe-of-sgx", (13,), TDX.but("qe_report.isv_prod_id", 1), 5, "product of the QE"),
)

SIGNATURE = (
    _fault("quote-signed-by-stranger", (19,), SGX.but("quote_signed_by", "stranger"), 6, "signature of the quote"),
    _fault("quote-signed-by-the-pck", (19,), SGX.but("quote_signed_by", "leaf"), 6, "signature of the quote"),
    _fault(
        "guest-quote-signed-by-stranger", (19,), TDX_15.but("quote_signed_by", "stranger"), 6, "signature of the quote"
    ),
)

TCB = (
    _fault("other-fmspc", (4,), SGX.but("platform.fmspc", bytes(6)), 7, "FMSPC"),
    _fault("other-pceid", (4,), SGX.but("platform.pce_id", b"\1\0"), 7, "PCEID"),
    _fault(
        "cpusvn-is-not-its-components",
        (8,),
        SGX.but("platform.component_svns", (6, *SGX.platform.cpu_svn[1:])),
        7,
        "CPUSVN",
    ),
    _fault(
        "component-below-all-levels",
        (8,),
        SGX.but("platform.cpu_svn", bytes([5, 5, 2, 2, 254, 1]) + bytes(10)),
        7,
        "level",
    ),
    _fault("pcesvn-below-all-levels", (8,), SGX.but("platform.pce_svn", 4), 7, "level"),
    _fault("seam-loader-below-all-levels", (6,), TDX.but("body.tee_tcb_svn", bytes([5, 1, 1]) + bytes(13)), 7, "level"),
    _fault("module-other-signer", (7,), TDX.but("body.mrsignerseam", bytes(47) + b"\1"), 7, "MRSIGNERSEAM"),
    _fault("module-other-attributes", (7,), TDX.but("body.seam_attributes", bytes(7) + b"\1"), 7, "SEAMATTRIBUTES"),
    _fault("module-unknown", (7,), TDX.but("body.tee_tcb_svn", bytes([5, 2, 2]) + bytes(13)), 7, "TDX_02"),
    _fault("module-below-all-levels", (7,), TDX.but("body.tee_tcb_svn", bytes([1, 1, 2]) + bytes(13)), 7, ""),
)

BODY = (
    _fault("not-initialised", (9,), SGX.but("body.flags", 0x04), 9, "INIT flag of the report body"),
    _fault("reserved-flag", (9,), SGX.but("body.flags", 0x05 | 1 << 40), 9, "reserved flags of the report body"),
    _fault("no-sse", (9,), SGX.but("body.xfrm", 0xE4), 9, "XFRM of the report body"),
    _fault("reserved-state", (9,), SGX.but("body.xfrm", 0xE7 | 1 << 20), 9, "reserved bits of the XFRM"),
    _fault(
        "reserved-byte", (9,), SGX.but("body.reserved_4", bytes(41) + b"\x80"), 9, "reserved bytes of the report body"
    ),
    _fault(
        "guest-reserved-attribute", (9,), TDX.but("body.td_attributes", 1 << 28 | 1 << 40), 9, "reserved attributes"
    ),
    _fault("guest-no-sse", (9,), TDX.but("body.xfam", 0xE4), 9, "XFAM of the guest"),
    _fault("guest-reserved-state", (9,), TDX.but("body.xfam", 0xE7 | 1 << 63), 9, "reserved bits of the XFAM"),
)

BINDING = (
    _fault("other-report-data", (18, 19), SGX.but("body.report_data", bytes(64)), 10, "report data of the quote"),
    _fault("guest-other-report-data", (18, 19), TDX.but("body.report_data", bytes(64)), 10, "report data of the quote"),
)

_FIRST, _MODULE = "tcb_info.tcbLevels.0.tcbStatus", "tcb_info.tdxModuleIdentities.0.tcbLevels.0.tcbStatus"
STATUSES = (
    *("SWHardeningNeeded", "ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded"),
    *("OutOfDate", "OutOfDateConfigurationNeeded", "Revoked"),
)

ACCEPTABILITY = (
    *(_fault(f"platform-{status}", (3, 5), SGX.but(_FIRST, status), POLICY, f"got {status}") for status in STATUSES),
    _fault("qe-out-of-date", (5,), SGX.but("qe_report.isv_svn", 6), POLICY, "got OutOfDate"),
    _fault("qe-revoked", (3,), SGX.but("qe_identity.tcbLevels.0.tcbStatus", "Revoked"), POLICY, "got Revoked"),
    _fault("module-revoked", (3,), TDX.but(_MODULE, "Revoked"), POLICY, "got Revoked"),
    _fault(
        "module-out-of-date", (6,), TDX.but("body.tee_tcb_svn", bytes([3, 1, 2]) + bytes(13)), POLICY, "got OutOfDate"
    ),
    _fault("platform-out-of-date-module-not", (6,), TDX.but(_FIRST, "OutOfDate"), POLICY, "got OutOfDate"),
    _fault("debug", (9,), SGX.but("body.flags", 0x07), POLICY, "debug flag"),
    _fault("provision-key", (1,), SGX.but("body.flags", 0x15), POLICY, "provisioning and launch keys"),
    _fault("launch-key", (1,), SGX.but("body.flags", 0x25), POLICY, "provisioning and launch keys"),
    _fault("guest-debug", (9,), TDX.but("body.td_attributes", 1 << 28 | 1), POLICY, "debug flag"),
    _fault("guest-under-debug", (9,), TDX.but("body.td_attributes", 1 << 28 | 0x20), POLICY, "debug flag"),
    _fault("guest-can-be-interrupted", (9,), TDX.but("body.td_attributes", 0), POLICY, "SEPT_VE_DISABLE"),
    _fault("service-td", (7,), TDX_15.but("body.mrservicetd", bytes(47) + b"\1"), POLICY, "service TD"),
    _fault("service-td-at-birth", (7,), TDX_EXTENDED.but("body.init_server_td_hash", b"\1" * 48), POLICY, "service TD"),
    _fault("other-code", (10,), SGX.but("body.mrenclave", sha256(b"other code")), POLICY, "measurement of the enclave"),
    _fault("guest-other-code", (10,), TDX.but("body.mrtd", b"\1" * 48), POLICY, "measurement of the enclave"),
)

FAULTS = STRUCTURE + CHAIN + REVOCATION + COLLATERAL + QE_REPORT + SIGNATURE + TCB + BODY + BINDING + ACCEPTABILITY
LOOK_ALIKE = look_alike(SGX)
"""Intel's names under a key that is not Intel's: refused at step 2 by whoever does not trust that key."""
