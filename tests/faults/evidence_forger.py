"""A forger of evidence that shares nothing with the project's own (lab/evidence): bytes, certificates, signatures.

Responsible for: SGX and TDX quotes with their collateral and AWS documents in which everything holds, to be changed.
Must not know:   the code under test.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from hashlib import sha256
from typing import Any

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
AT = str(int(NOW.timestamp()))
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
SGX_OID = x509.ObjectIdentifier("1.2.840.113741.1.13.1")
VENDOR = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
QE_SIGNER = sha256(b"whoever signs quoting enclaves here").digest()
FMSPC, PCE_ID = bytes.fromhex("00806f050000"), b"\0\0"
KEYS = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("root", "ca", "pck", "tcb", "ak", "other")}
KEYS |= {f"aws{place}": ec.generate_private_key(ec.SECP384R1()) for place in range(4)}


# X.509


def name_of(common: str) -> x509.Name:
    parts = [(NameOID.COMMON_NAME, common), (NameOID.ORGANIZATION_NAME, "Intel Corporation")]
    parts += [(NameOID.LOCALITY_NAME, "Santa Clara"), (NameOID.COUNTRY_NAME, "US")]
    return x509.Name([x509.NameAttribute(*part) for part in parts])


def certificate(subject: str, key: str, issuer: str, signer: str, **more: Any) -> bytes:
    """DER; `ca` is the path length of a CA, None for who signs data."""
    ca = more.get("ca")
    public, own = KEYS[signer].public_key(), KEYS[key].public_key()
    usage = dict.fromkeys(("key_encipherment", "data_encipherment", "key_agreement"), False)
    usage |= dict.fromkeys(("encipher_only", "decipher_only"), False)
    usage |= dict.fromkeys(("digital_signature", "content_commitment"), ca is None)
    usage |= dict.fromkeys(("key_cert_sign", "crl_sign"), ca is not None)
    points = [x509.DistributionPoint([x509.UniformResourceIdentifier("https://x.example/crl")], None, None, None)]
    builder = (
        x509.CertificateBuilder(name_of(issuer), name_of(subject), own, more.get("serial", x509.random_serial_number()))
        .not_valid_before(more.get("start", NOW - timedelta(days=100)))
        .not_valid_after(more.get("end", NOW + timedelta(days=1000)))
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .add_extension(x509.CRLDistributionPoints(points), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own), critical=False)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.BasicConstraints(ca is not None, ca), critical=True)
    )
    if "sgx" in more:
        builder = builder.add_extension(x509.UnrecognizedExtension(SGX_OID, more["sgx"]), critical=False)
    digest = hashes.SHA384() if KEYS[signer].key_size == 384 else hashes.SHA256()
    return builder.sign(KEYS[signer], digest).public_bytes(Encoding.DER)


def revocations(issuer: str, signer: str, serials: tuple[int, ...] = (), **more: Any) -> bytes:
    builder = x509.CertificateRevocationListBuilder(
        name_of(issuer), more.get("start", NOW - timedelta(days=1)), more.get("end", NOW + timedelta(days=29))
    )
    builder = builder.add_extension(x509.CRLNumber(1), critical=False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(KEYS[signer].public_key())
    builder = builder.add_extension(identifier, critical=False)
    for oid in more.get("extensions", ()):
        builder = builder.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), b"\5\0"), critical=True)
    for serial in serials:
        entry = x509.RevokedCertificateBuilder(serial, NOW - timedelta(days=2))
        entry = entry.add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(KEYS[signer], hashes.SHA256()).public_bytes(Encoding.DER)


def pem(*ders: bytes) -> str:
    return "".join(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode() for der in ders)


def tlv(tag: int, *content: bytes) -> bytes:
    body = b"".join(content)
    size = bytes([len(body)]) if len(body) < 128 else b"\x82" + struct.pack(">H", len(body))
    # Between 128 and 255 bytes DER has one digit less.
    size = b"\x81" + size[2:] if size[:2] == b"\x82\0" else size
    return bytes([tag]) + size + body


def platform(svns: list[int], pce_svn: int, *, instance: bool) -> bytes:
    def entry(*path: int, value: bytes) -> bytes:
        return tlv(0x30, tlv(6, bytes.fromhex("2a864886f84d010d01"), bytes(path)), value)

    def number(value: int) -> bytes:
        return tlv(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))

    tcb = [entry(2, place, value=number(svn)) for place, svn in enumerate([*svns, pce_svn], 1)]
    parts = [
        entry(1, value=tlv(4, b"P" * 16)),
        entry(2, value=tlv(0x30, *tcb, entry(2, 18, value=tlv(4, bytes(svns))))),
        entry(3, value=tlv(4, PCE_ID)),
        entry(4, value=tlv(4, FMSPC)),
        entry(5, value=tlv(10, b"\1" if instance else b"\0")),
    ]
    if instance:
        flags = [entry(7, place, value=tlv(1, flag)) for place, flag in enumerate((b"\xff", b"\0", b"\xff"), 1)]
        parts += [entry(6, value=tlv(4, b"I" * 16)), entry(7, value=tlv(0x30, *flags))]
    return tlv(0x30, *parts)


def sign(key: str, data: bytes, *, high: bool | None = None) -> bytes:
    r, s = decode_dss_signature(KEYS[key].sign(data, ec.ECDSA(hashes.SHA256())))
    if high is not None and (s > ORDER // 2) is not high:
        s = ORDER - s
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def point(key: str) -> bytes:
    return KEYS[key].public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]


# Quotes


def enclave(**more: Any) -> bytes:
    data = bytearray(384)
    data[:16] = bytes(range(16))
    data[48:64] = struct.pack("<QQ", more.get("flags", 5), more.get("xfrm", 0xE7))
    data[64:96] = more.get("mrenclave", b"E" * 32)
    data[128:160] = more.get("mrsigner", b"S" * 32)
    data[256:260] = struct.pack("<HH", more.get("product", 7), more.get("svn", 3))
    data[320:384] = more.get("report_data", b"D" * 64)
    return patched(data, more.get("patch", {}))


def guest(**more: Any) -> bytes:
    data = bytearray(648 if more.get("is_15") else 584)
    data[:16] = more.get("tee_tcb_svn", bytes([5, 1, 6, *([0] * 13)]))
    data[16:64] = b"M" * 48
    data[120:136] = struct.pack("<QQ", more.get("attributes", 1 << 28), more.get("xfam", 0x600E7))
    data[136:184] = b"T" * 48
    data[520:584] = b"D" * 64
    if more.get("is_15"):
        data[584:600] = data[:16]
        data[600:648] = more.get("mrservicetd", bytes(48))
    return patched(data, more.get("patch", {}))


def patched(data: bytearray, patches: dict[int, bytes]) -> bytes:
    for offset, value in patches.items():
        data[offset : offset + len(value)] = value
    return bytes(data)


def level(svns: list[int], pce: int, status: str, *, tdx: list[int] | None, **more: Any) -> dict[str, Any]:
    tcb: dict[str, Any] = {"sgxtcbcomponents": [{"svn": svn} for svn in svns], "pcesvn": pce}
    if tdx is not None:
        tcb["tdxtcbcomponents"] = [{"svn": svn, "category": "OS/VMM", "type": "TDX Module"} for svn in tdx]
    return {"tcb": tcb, "tcbDate": "2026-02-01T00:00:00Z", "tcbStatus": status, **more}


def single(svn: int, status: str, **more: Any) -> dict[str, Any]:
    return {"tcb": {"isvsvn": svn}, "tcbDate": "2026-02-01T00:00:00Z", "tcbStatus": status, **more}


NAMES = {
    "root": "Intel SGX Root CA",
    "ca": "Intel SGX PCK Platform CA",
    "pck": "Intel SGX PCK Certificate",
    "tcb": "Intel SGX TCB Signing",
}
SERIALS = {"root": 11, "ca": 12, "pck": 13, "tcb": 14}
SVNS = [16, 16, 2, 255, 3, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0]
TDX_SVNS = [5, 0, 6, *([0] * 13)]
PERIOD = {"issueDate": "2027-02-20T00:00:00Z", "nextUpdate": "2027-03-20T00:00:00Z", "tcbEvaluationDataNumber": 20}


@dataclass
class World:
    """One set of evidence in which everything holds, to be changed before it is written."""

    tee: str = "sgx"
    version: int = 3
    body: bytes = field(default_factory=enclave)
    names: dict[str, str] = field(default_factory=lambda: dict(NAMES))
    instance: bool = True
    root_revoked: tuple[int, ...] = ()
    pck_revoked: tuple[int, ...] = ()
    status: str = "UpToDate"
    module: str = "UpToDate"
    qe: str = "UpToDate"
    info_change: Callable[[dict[str, Any]], object] = lambda info: None
    identity_change: Callable[[dict[str, Any]], object] = lambda identity: None
    info_text: Callable[[str], str] = lambda text: text
    qe_report: dict[str, Any] = field(default_factory=dict)
    auth: bytes = bytes(range(32))
    text_signers: tuple[str, str] = ("tcb", "tcb")
    chains: dict[str, str] = field(default_factory=dict)
    """By key of the collateral: instead of the right ones."""
    crls: dict[str, bytes] = field(default_factory=dict)
    padding: int = 0
    high: bool | None = None
    key_data: int | None = None

    @cached_property
    def certificates(self) -> dict[str, bytes]:
        names = self.names
        sgx = platform(SVNS, 11, instance=self.instance)
        return {
            "root": certificate(names["root"], "root", names["root"], "root", ca=1, serial=SERIALS["root"]),
            "ca": certificate(names["ca"], "ca", names["root"], "root", ca=0, serial=SERIALS["ca"]),
            "pck": certificate(names["pck"], "pck", names["ca"], "ca", serial=SERIALS["pck"], sgx=sgx),
            "tcb": certificate(names["tcb"], "tcb", names["root"], "root", serial=SERIALS["tcb"]),
        }

    def info(self) -> str:
        is_tdx = self.tee == "tdx"
        low = [0] * 16
        tdx = (TDX_SVNS, low) if is_tdx else (None, None)
        value: dict[str, Any] = {"id": self.tee.upper(), "version": 3, **PERIOD}
        value |= {"fmspc": FMSPC.hex().upper(), "pceId": "0000", "tcbType": 0}
        if is_tdx:
            module = {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "FF" * 8}
            value["tdxModule"] = dict(module)
            levels = [single(5, self.module), single(0, "OutOfDate", advisoryIDs=["INTEL-SA-9"])]
            value["tdxModuleIdentities"] = [{"id": f"TDX_0{n}", **module, "tcbLevels": levels} for n in (3, 1)]
        value["tcbLevels"] = [
            level(SVNS, 11, self.status, tdx=tdx[0]),
            level(low, 5, "OutOfDate", tdx=tdx[1], advisoryIDs=["INTEL-SA-1"]),
        ]
        self.info_change(value)
        return self.info_text(json.dumps(value, separators=(",", ":")))

    def identity(self) -> str:
        value: dict[str, Any] = {"id": "TD_QE" if self.tee == "tdx" else "QE", "version": 2, **PERIOD}
        value |= {"miscselect": "00000000", "miscselectMask": "FFFFFFFF"}
        value |= {"attributes": "11" + "00" * 15, "attributesMask": "FBFFFFFFFFFFFFFF" + "00" * 8}
        value |= {"mrsigner": QE_SIGNER.hex().upper(), "isvprodid": 2 if self.tee == "tdx" else 1}
        value["tcbLevels"] = [single(8, self.qe), single(4, "OutOfDate", advisoryIDs=["INTEL-SA-2"])]
        self.identity_change(value)
        return json.dumps(value, separators=(",", ":"))

    def quote(self) -> bytes:
        kind = (0x81 if self.tee == "tdx" else 0) if self.key_data is None else self.key_data
        header = struct.pack("<HHIHH", self.version, 2, kind, 9, 8) + VENDOR + bytes(20)
        if self.version == 5:
            header += struct.pack("<HI", {384: 1, 584: 2, 648: 3}[len(self.body)], len(self.body))
        signed = header + self.body
        binding = sha256(point("ak") + self.auth).digest() + bytes(32)
        plain = {"flags": 0x15, "mrsigner": QE_SIGNER, "product": 2 if self.tee == "tdx" else 1, "svn": 8}
        report = enclave(**(plain | {"report_data": binding} | self.qe_report))
        chain = pem(*(self.certificates[name] for name in ("pck", "ca", "root"))).encode() + b"\0"
        tail = report + sign("pck", report, high=self.high) + struct.pack("<H", len(self.auth)) + self.auth
        tail += struct.pack("<HI", 5, len(chain)) + chain
        if self.version > 3:
            tail = struct.pack("<HI", 6, len(tail)) + tail
        tail = sign("ak", signed, high=self.high) + point("ak") + tail
        return signed + struct.pack("<I", len(tail)) + tail + bytes(self.padding)

    def collateral(self) -> dict[str, str]:
        made, names = self.certificates, self.names
        info, identity = self.info(), self.identity()
        lists = {
            "root_ca_crl": revocations(names["root"], "root", self.root_revoked),
            "pck_crl": revocations(names["ca"], "ca", self.pck_revoked),
        } | self.crls
        return {
            "pck_crl_issuer_chain": pem(made["ca"], made["root"]),
            **{name: der.hex() for name, der in lists.items()},
            "tcb_info_issuer_chain": pem(made["tcb"], made["root"]),
            "tcb_info": info,
            "tcb_info_signature": sign(self.text_signers[0], info.encode()).hex(),
            "qe_identity_issuer_chain": pem(made["tcb"], made["root"]),
            "qe_identity": identity,
            "qe_identity_signature": sign(self.text_signers[1], identity.encode()).hex(),
        } | self.chains


def tdx(**more: Any) -> World:
    return World(**({"tee": "tdx", "version": 4, "body": guest()} | more))


# AWS


def aws_certificate(subject: str, place: int, ca: int | None) -> bytes:
    """Issued by the place above; the topmost by itself."""
    names = ["aws.nitro-enclaves", "region", "instance", "leaf"]
    issuer = max(place - 1, 0)
    return certificate(subject, f"aws{place}", names[issuer], f"aws{issuer}", ca=ca)


AWS = [
    aws_certificate(name, place, ca)
    for place, (name, ca) in enumerate([("aws.nitro-enclaves", 2), ("region", 1), ("instance", 0), ("leaf", None)])
]


def document(**fields: Any) -> bytes:
    values = {"module_id": "i-0-enc0", "digest": "SHA384", "timestamp": int(AT) * 1000, "cabundle": AWS[:3]}
    values |= {"pcrs": {number: bytes([1]) * 48 for number in range(16)}, "certificate": AWS[3], "nonce": None}
    payload = cbor2.dumps(values | fields)
    signed = cbor2.dumps(["Signature1", b"\xa1\x01\x38\x22", b"", payload])
    numbers = decode_dss_signature(KEYS["aws3"].sign(signed, ec.ECDSA(hashes.SHA384())))
    signature = b"".join(number.to_bytes(48, "big") for number in numbers)
    return cbor2.dumps([b"\xa1\x01\x38\x22", {}, payload, signature])
