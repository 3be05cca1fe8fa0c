"""AWS Nitro Enclaves: reading an attestation document, and verifying it.

Responsible for: the envelopes that documents come in, COSE_Sign1, the document, its chain, its signature, its nonce.
Must not know:   whether an authentic document is acceptable (`policy.py`); clocks, files, sockets.

The steps have the numbers of `verify.py`.  Those about collateral don't exist for Nitro: AWS publishes no security
versions.  Its CRLs are not looked at: certificates live for three hours (leaf), a day, days and weeks (its issuers).

    1  structure  one known envelope or none, COSE_Sign1 with ES384, and a document without anything left over
    2  chain      pinned root first, each certificate issued by the one before it; valid now and when it was signed
    6  signature  of protected header and document, by the leaf
    9  body       the registers of the image are there; zero is a debug enclave, which is a fact and not a failure
    10 binding    the nonce is the caller's

What is signed is the document alone.  The unprotected header is empty, and nothing of an envelope is used: what
Dstack's repeats from the document has to agree with it, so no byte of the whole may change unnoticed.

Source: AWS, "Verifying the root of trust" and the attestation process of its NSM API; RFC 9052, 4.2 and 4.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

from protocol.attestation import cbor
from protocol.attestation.certificates import Certificate, Suite, parse_certificate, verify_signature
from protocol.attestation.chain import check_ca_before, check_end_entity, check_issued, check_valid
from protocol.attestation.result import STEPS, Check, Facts, Format, NotChecked, Verified
from protocol.attestation.trust import RootKind, TrustStore
from protocol.errors import EncodingError, LengthError, MalformedError, RangeError, SignatureError, VerificationError
from protocol.hashing import sha256

MAX_NITRO_BYTES = 20480
"""A document has at most 16 KiB; genuine ones, with their envelope, less than 6."""
MAX_DOCUMENT_BYTES = 16384
MAX_CHAIN = 8
"""Certificates above the leaf; genuine chains have four."""
MAX_AHEAD_S = 300
"""How far a verifier's clock may be behind AWS's."""

PCR_BYTES = 48
"""SHA-384, which is the only digest there is."""
PCR_COUNT = 32
IMAGE_PCRS = (0, 1, 2)
"""Image, kernel with its boot disk, application: what a debug enclave has zero, and no other has."""

_PROTECTED = bytes.fromhex("a1013822")
"""{1: -35}: the algorithm is ES384."""
_COSE_START = b"\x84\x44"
_TAG_18 = b"\xd2"
_NSM_START = b"\xa1\x6bAttestation\xa1\x68document"
_DSTACK_START = b"\x00\x02"
_SIGNATURE_BYTES = 96
_REPORT_DATA_BYTES = 64

_REQUIRED = frozenset({"module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"})
_LIMITS = {"public_key": (1, 1024), "user_data": (0, 512), "nonce": (0, 512)}
"""Least and most bytes of what the enclave may say; each of them may be null or not there."""

_Kind = TypeVar("_Kind")

UNBOUND = NotChecked(step=10, name=STEPS[10], why="no nonce to compare with: may be old, or made for somebody else")


@dataclass(frozen=True, slots=True, kw_only=True)
class NitroDocument:
    """What a document says, authentic or not."""

    signed: bytes
    """What the signature is of: the Sig_structure of COSE, CBOR."""
    signature: bytes
    """r || s; 96 bytes."""
    module_id: str
    """Instance and enclave; not empty."""
    timestamp_ms: int
    """When it was made, by the security module's clock; milliseconds since 1970."""
    pcrs: Mapping[int, bytes]
    """Registers by number, 0 to 31, any of which may be missing; 48 bytes each."""
    certificate: bytes
    """The leaf, DER."""
    cabundle: tuple[bytes, ...]
    """From the root to the leaf's issuer, DER."""
    public_key: bytes | None
    user_data: bytes | None
    nonce: bytes | None

    @property
    def is_debug(self) -> bool:
        """Whether the enclave's console was open to its host, which leaves the image's registers zero.

        All of them are; one is enough, for nothing that was measured hashes to zeros.
        """
        return any(number in self.pcrs and not any(self.pcrs[number]) for number in IMAGE_PCRS)

    @property
    def facts(self) -> Facts:
        """What it says, for whoever reports how far that was established."""
        return Facts(
            format=Format.NITRO,
            measurement=self.pcrs.get(0),
            measurements=_measurements(self),
            said=_said(self),
            is_debug=self.is_debug,
            is_privileged=False,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NitroChain:
    """A chain from a trusted root."""

    leaf: Certificate
    root_kind: RootKind
    root_key_hash: bytes
    not_before_s: int
    not_after_s: int


def verify_nitro(data: bytes, *, trust_store: TrustStore, now_s: int, nonce: bytes | None) -> Verified:
    """The recipe.

    trust_store: roots and their kinds.
    now_s:       the time at which the chain must be valid; seconds since 1970.
    nonce:       what the document must repeat; None leaves step 10 undone, which the result says.
    Raises: VerificationError (with `check` "quote <step>") and nothing else, whatever the bytes.
    """
    document, structure = check_1_structure(data)
    chain, links = check_2_chain(document, trust_store, now_s)
    checks = [structure, links, check_6_signature(document, chain), check_9_body(document)]
    if nonce is not None:
        checks.append(check_10_nonce(document, nonce))
    return Verified(
        format=Format.NITRO,
        root_kind=chain.root_kind,
        root_key_hash=chain.root_key_hash,
        tcb_status=None,
        advisories=(),
        measurement=document.pcrs[0],
        measurements=_measurements(document),
        report_data=None,
        said=_said(document),
        not_before_s=chain.not_before_s,
        not_after_s=chain.not_after_s,
        is_debug=document.is_debug,
        is_privileged=False,
        is_sept_ve_disabled=None,
        service_tds=(),
        collateral=None,
        checks=tuple(checks),
        not_checked=() if nonce is not None else (UNBOUND,),
    )


def check_1_structure(data: bytes) -> tuple[NitroDocument, Check]:
    """Step 1: the bytes are one document, in a known envelope or in none.  Raises VerificationError."""
    try:
        document = parse_nitro(data)
    except MalformedError as error:
        raise _failed(1, error) from error
    saw = f"Nitro document of {document.module_id}, made at {document.timestamp_ms} ms; {len(data)} bytes"
    return document, Check(step=1, name=STEPS[1], saw=saw)


def check_2_chain(document: NitroDocument, trust_store: TrustStore, now_s: int) -> tuple[NitroChain, Check]:
    """Step 2: from a trusted root, which is the first, each certificate issued by the one before it; all valid.

    They have to be valid at `now_s` and at the time that the document gives, which is not after now.
    Raises: VerificationError, SignatureError.
    """
    try:
        root, *middle = (parse_certificate(der, Suite.P384_SHA384) for der in document.cabundle)
        leaf = parse_certificate(document.certificate, Suite.P384_SHA384)
    except MalformedError as error:
        raise _failed(2, error) from error
    if len({*document.cabundle, document.certificate}) != len(document.cabundle) + 1:
        raise VerificationError("certificate of the document that is there twice", check="quote 2")
    root_key_hash = sha256(root.public_key)
    kind = trust_store.kind_of(root_key_hash, common_name=root.common_name, organisation=root.organisation)
    if kind not in (RootKind.AWS, RootKind.SIMULATED):
        raise VerificationError(
            "key of the root", check="quote 2", expected=f"one of {trust_store.describe()}", actual=root_key_hash
        )
    chain = [root, *middle, leaf]
    names = ["root", *(f"CA {place}" for place in range(1, len(middle) + 1)), "leaf"]
    # From the root down: a certificate is believed before what it signed is looked at.
    for place, certificate in enumerate(chain):
        if certificate is leaf:
            check_end_entity("leaf", leaf, check="quote 2")
        else:
            check_ca_before(names[place], certificate, followers=len(middle) - place, check="quote 2")
        check_issued(names[place], certificate, chain[max(place - 1, 0)], check="quote 2")
    made_s = document.timestamp_ms // 1000
    for name, certificate in zip(names, chain, strict=True):
        check_valid(name, certificate, now_s, check="quote 2")
        check_valid(f"{name}, when the document was made,", certificate, made_s, check="quote 2")
    if made_s > now_s + MAX_AHEAD_S:
        raise VerificationError("time of the document", check="quote 2", expected=f"not after {now_s}", actual=made_s)
    found = NitroChain(
        leaf=leaf,
        root_kind=kind,
        root_key_hash=root_key_hash,
        not_before_s=max(certificate.not_before_s for certificate in chain),
        not_after_s=min(certificate.not_after_s for certificate in chain),
    )
    window = f"valid {found.not_before_s} to {found.not_after_s}"
    saw = f"root {root_key_hash.hex()} of kind {kind.name.lower()}, {len(chain)} certificates, no CRLs, {window}"
    return found, Check(step=2, name=STEPS[2], saw=saw)


def check_6_signature(document: NitroDocument, chain: NitroChain) -> Check:
    """Step 6: header and document are signed by the leaf.  Raises SignatureError."""
    key = chain.leaf.public_key
    if not verify_signature(Suite.P384_SHA384, key, document.signature, document.signed):
        raise SignatureError("signature of the document, by its leaf", check="quote 6")
    return Check(step=6, name=STEPS[6], saw=f"key {sha256(key).hex()} of {chain.leaf.common_name}")


def check_9_body(document: NitroDocument) -> Check:
    """Step 9: the image's registers are there.  Debug is a fact here; no policy accepts it.

    Raises: VerificationError.
    """
    missing = [number for number in IMAGE_PCRS if number not in document.pcrs]
    if missing:
        raise VerificationError("registers of the image", check="quote 9", expected="0, 1 and 2", actual=missing)
    saw = f"PCR0 {document.pcrs[0].hex()}, {'debug' if document.is_debug else 'no debug'}"
    return Check(step=9, name=STEPS[9], saw=saw)


def check_10_nonce(document: NitroDocument, nonce: bytes) -> Check:
    """Step 10: the document repeats the caller's nonce, all of it.  Raises VerificationError."""
    if document.nonce != nonce:
        actual = "none" if document.nonce is None else document.nonce
        raise VerificationError("nonce of the document", check="quote 10", expected=nonce, actual=actual)
    return Check(step=10, name=STEPS[10], saw=f"nonce {nonce.hex()}")


def parse_nitro(data: bytes) -> NitroDocument:
    """A document: COSE_Sign1, with or without tag 18, alone, in the security module's response, or in Dstack's frame.

    Raises: MalformedError.
    """
    if len(data) > MAX_NITRO_BYTES:
        raise LengthError("length of a Nitro document", expected=f"at most {MAX_NITRO_BYTES}", actual=len(data))
    if data.startswith(_NSM_START):
        message = cbor.parse_cbor(data[len(_NSM_START) :], "security module's response")
        return _parse_cose(_typed(message, bytes, "document in the security module's response"))
    if not data.startswith(_DSTACK_START):
        return _parse_cose(data)
    message, rest = _compact(data[len(_DSTACK_START) :], "document in the frame")
    document = _parse_cose(message)
    repeated = _frame_rest(document)
    if rest != repeated:
        raise EncodingError("frame behind the document", expected=repeated, actual=rest)
    return document


def _frame_rest(document: NitroDocument) -> bytes:
    """What Dstack's frame says behind a document, all of which is in the document too.

    The frame is SCALE: version 0, variant 2, the message, no events, 64 bytes of report data, which are the user
    data, and a text with the hash of the image's registers.
    """
    report_data = document.user_data
    if report_data is None or len(report_data) != _REPORT_DATA_BYTES:
        raise EncodingError("user data of a document in a frame", expected=f"{_REPORT_DATA_BYTES} bytes")
    image = sha256(*(document.pcrs.get(number, b"") for number in IMAGE_PCRS))
    text = f'{{"os_image_hash":"{image.hex()}"}}'.encode()
    return b"\0" + report_data + (len(text) << 2 | 1).to_bytes(2, "little") + text


def _compact(data: bytes, what: str) -> tuple[bytes, bytes]:
    """Bytes behind their length in SCALE's compact form, of which lengths from 64 to 16,383 take two bytes."""
    number = int.from_bytes(data[:2], "little")
    length = number >> 2
    if number & 3 != 1 or length < 64:
        raise EncodingError(f"length of the {what}", expected="64 to 16383 in two bytes", actual=data[:2])
    if len(data) < 2 + length:
        raise LengthError(f"length of the {what}", expected=length, actual=len(data) - 2)
    return data[2 : 2 + length], data[2 + length :]


def _parse_cose(message: bytes) -> NitroDocument:
    """COSE_Sign1: protected header, empty unprotected one, document, signature.  Raises MalformedError."""
    data = message.removeprefix(_TAG_18)
    if not data.startswith(_COSE_START):
        raise EncodingError("start of a COSE_Sign1", expected=_COSE_START, actual=data[:2])
    what = "COSE_Sign1"
    protected, offset = cbor.read(data, 1, what)
    if protected != _PROTECTED:
        raise EncodingError("protected header of the document", expected=_PROTECTED, actual=protected)
    if data[offset : offset + 1] != b"\xa0":
        raise EncodingError("unprotected header of the document", expected="empty", actual=data[offset : offset + 1])
    start = offset + 1
    payload, offset = cbor.read(data, start, what)
    payload = _sized(payload, 1, MAX_DOCUMENT_BYTES, "payload of the document")
    encoded = data[start:offset]
    signature = _sized(cbor.parse_cbor(data[offset:], what), _SIGNATURE_BYTES, _SIGNATURE_BYTES, "document's signature")
    signed = b"\x84\x6aSignature1\x44" + _PROTECTED + b"\x40" + encoded
    return _parse_document(payload, signed=signed, signature=signature)


def _parse_document(payload: bytes, *, signed: bytes, signature: bytes) -> NitroDocument:
    fields = _typed(cbor.parse_cbor(payload, "document"), dict, "document")
    if not _REQUIRED <= set(fields) <= _REQUIRED | set(_LIMITS):
        raise EncodingError("fields of the document", expected=sorted(_REQUIRED), actual=list(fields))
    if fields["digest"] != "SHA384":
        raise EncodingError("digest of the document", expected="SHA384", actual=fields["digest"])
    module_id = _typed(fields["module_id"], str, "module id of the document")
    timestamp_ms = _typed(fields["timestamp"], int, "time of the document")
    if not module_id or timestamp_ms <= 0:
        raise RangeError("module id and time of the document", expected="not empty, after 1970")
    bundle = _typed(fields["cabundle"], list, "certificates of the document")
    if not 1 <= len(bundle) <= MAX_CHAIN:
        raise LengthError("certificates of the document", expected=f"1 to {MAX_CHAIN}", actual=len(bundle))
    said = {name: _optional(fields.get(name), name) for name in _LIMITS}
    return NitroDocument(
        signed=signed,
        signature=signature,
        module_id=module_id,
        timestamp_ms=timestamp_ms,
        pcrs=_parse_pcrs(fields["pcrs"]),
        certificate=_sized(fields["certificate"], 1, 1024, "leaf of the document"),
        cabundle=tuple(_sized(der, 1, 1024, "certificate of the document") for der in bundle),
        public_key=said["public_key"],
        user_data=said["user_data"],
        nonce=said["nonce"],
    )


def _parse_pcrs(value: cbor.Value) -> Mapping[int, bytes]:
    """Registers by number: the bound is on the number, not on how many there are."""
    found: dict[int, bytes] = {}
    for number, register in _typed(value, dict, "registers of the document").items():
        if not isinstance(number, int) or not 0 <= number < PCR_COUNT:
            raise RangeError("number of a register", expected=f"0 to {PCR_COUNT - 1}", actual=number)
        found[number] = _sized(register, PCR_BYTES, PCR_BYTES, f"register {number}")
    if not found:
        raise LengthError("registers of the document", expected="at least one", actual=0)
    return MappingProxyType(found)


def _optional(value: cbor.Value, name: str) -> bytes | None:
    least, most = _LIMITS[name]
    return None if value is None else _sized(value, least, most, f"{name} of the document")


def _sized(value: cbor.Value, least: int, most: int, what: str) -> bytes:
    data = _typed(value, bytes, what)
    if not least <= len(data) <= most:
        raise LengthError(f"length of the {what}", expected=f"{least} to {most}", actual=len(data))
    return data


def _typed(value: cbor.Value, kind: type[_Kind], what: str) -> _Kind:
    if not isinstance(value, kind):
        raise EncodingError(f"kind of the {what}", expected=kind.__name__, actual=type(value).__name__)
    return value


def _measurements(document: NitroDocument) -> Mapping[str, bytes]:
    return MappingProxyType({f"pcr{number}": document.pcrs[number] for number in sorted(document.pcrs)})


def _said(document: NitroDocument) -> Mapping[str, bytes | None]:
    said = {"public_key": document.public_key, "user_data": document.user_data, "nonce": document.nonce}
    return MappingProxyType(said)


def _failed(step: int, error: MalformedError) -> VerificationError:
    """What is not even well-formed fails the step that reads it."""
    return VerificationError(error.what, check=f"quote {step}", expected=error.expected, actual=error.actual)
