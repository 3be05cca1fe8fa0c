"""DCAP quotes of SGX enclaves and TDX guests, versions 3, 4 and 5: bytes to a value and back, nothing left over.

Responsible for: how the parts make up a quote, every length checked before it is used.
Must not know:   whether anything in a quote is true; keys, certificates, time.

Spec: Intel, "SGX ECDSA Quote Library Reference" and "TDX DCAP Quoting Library API", appendix A.  Integers are
little-endian; ECDSA signatures r || s and public keys X || Y are 2 x 32 bytes, big-endian.  The parts of fixed layout
are in `layouts.py`.

    header        48  version, kind of hardware                                        \\
    descriptor     6  version 5 only: type of the body (2), its length (4)               signed by the attestation key
    body              384 enclave report; 584, 648 or 885 TD report                    /
    length         4  of what follows, but the padding
    signature     64  of header, descriptor and body, by the attestation key
    key           64  attestation key X || Y
    outer          6  versions 4 and 5 only: type 6 and the length of what follows
    QE report    384  of the quoting enclave (QE) that holds the attestation key
    signature     64  of the QE's report, by the PCK
    length a       2  of the QE's authentication data, then a bytes
    type, c      2+4  of certification data, then c bytes: 5 is PEM of leaf || CA || root, 4 the leaf alone in DER,
                      1 to 3 name the platform without a certificate
    padding           zero bytes: whoever asked for the quote gave a buffer that was longer
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

from protocol.attestation.certificates import parse_pem_chain
from protocol.attestation.layouts import (
    FLAG_INIT,
    FLAG_MODE64,
    FLAG_PROVISION_KEY,
    INTEL_QE_VENDOR_ID,
    KEY_TYPE_ECDSA_P256,
    TEE_SGX,
    TEE_TDX,
    Field,
    Fixed,
    QuoteHeader,
    ReportBody,
    TdReport,
    TdReport15,
    TdReport15Extended,
)
from protocol.attestation.result import Format
from protocol.errors import LengthError, MalformedError

__all__ = [
    "FLAG_INIT",
    "FLAG_MODE64",
    "FLAG_PROVISION_KEY",
    "INTEL_QE_VENDOR_ID",
    "KEY_TYPE_ECDSA_P256",
    "MAX_QUOTE_BYTES",
    "PEM_CHAIN",
    "PCK_LEAF",
    "SIGNATURE_BYTES",
    "TEE_SGX",
    "TEE_TDX",
    "VERSION",
    "Field",
    "Quote",
    "QuoteField",
    "QuoteHeader",
    "ReportBody",
    "TdReport",
    "TdReport15",
    "TdReport15Extended",
    "parse_quote",
    "quote_fields",
]

MAX_QUOTE_BYTES = 1 << 15
"""Genuine ones are 4,600 to 8,000 bytes; more is refused unread."""

SIGNATURE_BYTES = 64
KEY_BYTES = 64

VERSION = 3
"""Of the quotes that are registered on the ledger."""

QE_CERTIFICATION = 6
"""Outer type of versions 4 and 5: the QE's report and its certification data."""
PEM_CHAIN = 5
PCK_LEAF = 4
IDENTIFIER_BYTES = {1: 36, 2: 276, 3: 404}
"""PPID (clear, or encrypted with 2048 or 3072 bits), CPUSVN (16), PCESVN (2), PCEID (2), by type of certification."""

BODY_TYPES: dict[int, type[ReportBody | TdReport]] = {1: ReportBody, 2: TdReport, 3: TdReport15, 4: TdReport15Extended}
"""Of version 5's descriptor."""

_Part = TypeVar("_Part", bound=Fixed)


class QuoteField(NamedTuple):
    """One field where it lies in the bytes, for people."""

    offset: int
    length: int
    name: str
    value: int | bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A whole quote; `encode` gives back the very bytes that were parsed."""

    header: QuoteHeader
    body: ReportBody | TdReport
    signature: bytes
    """Of `signed`, by the attestation key; 64 bytes.  Malleable (s and n - s): never an identity of anything."""
    attestation_key: bytes
    """X || Y; 64 bytes."""
    qe_report: ReportBody
    """Of the quoting enclave that holds the attestation key."""
    qe_report_signature: bytes
    """Of the QE's report, by the PCK; 64 bytes."""
    qe_auth: bytes
    """What the QE mixed into the binding of its attestation key; 32 bytes in genuine quotes."""
    certificates: bytes
    """Certification data of the next field's type: PEM of leaf || CA || root, perhaps with a NUL at the end."""
    certification_type: int = PEM_CHAIN
    padding: int = 0
    """How many zero bytes are behind the end."""

    def __post_init__(self) -> None:
        for name, length in (("signature", 64), ("attestation_key", 64), ("qe_report_signature", 64)):
            if len(getattr(self, name)) != length:
                raise LengthError(f"length of quote.{name}", expected=length, actual=len(getattr(self, name)))

    @property
    def format(self) -> Format:
        """Hardware and version."""
        return Format(f"{'sgx' if isinstance(self.body, ReportBody) else 'tdx'}-v{self.header.version}")

    @property
    def descriptor(self) -> bytes:
        """Type and length of the body; empty before version 5."""
        if self.header.version < 5:
            return b""
        body_type = next(number for number, kind in BODY_TYPES.items() if kind is type(self.body))
        return body_type.to_bytes(2, "little") + self.body.size().to_bytes(4, "little")

    @property
    def signed(self) -> bytes:
        """What the attestation key signs and what an enclave's id is the hash of; 432 bytes for version 3."""
        return self.header.encode() + self.descriptor + self.body.encode()

    def encode(self) -> bytes:
        """The bytes of the quote."""
        certification = (
            self.qe_report.encode()
            + self.qe_report_signature
            + len(self.qe_auth).to_bytes(2, "little")
            + self.qe_auth
            + _typed(self.certification_type, self.certificates)
        )
        if self.header.version > 3:
            certification = _typed(QE_CERTIFICATION, certification)
        tail = self.signature + self.attestation_key + certification
        return self.signed + len(tail).to_bytes(4, "little") + tail + bytes(self.padding)

    def with_leaf_only(self) -> Quote:
        """The same evidence as it goes on the ledger, which knows the issuers: the PCK leaf alone, in DER, no padding.

        Raises: MalformedError when there is no chain to take it from.
        """
        _expect("type of certification data", PEM_CHAIN, self.certification_type)
        leaf, _authority, _root = parse_pem_chain(self.certificates, count=3)
        return replace(self, certificates=leaf, certification_type=PCK_LEAF, padding=0)

    def with_chain(self, pem: bytes) -> Quote:
        """The same evidence with its chain, as other verifiers want it.  `pem`: leaf || CA || root."""
        return replace(self, certificates=pem, certification_type=PEM_CHAIN)


class _Reader:
    """Takes bytes from the front, never more than there are, and remembers what they were."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0
        self.fields: list[QuoteField] = []

    def take(self, length: int, what: str) -> bytes:
        part = self._slice(length, what)
        self.fields.append(QuoteField(self._offset - length, length, what, part))
        return part

    def number(self, length: int, what: str) -> int:
        value = int.from_bytes(self._slice(length, what), "little")
        self.fields.append(QuoteField(self._offset - length, length, what, value))
        return value

    def part(self, kind: type[_Part], what: str) -> _Part:
        start = self._offset
        value = kind.parse(self._slice(kind.size(), what))
        self.fields += (
            QuoteField(start + offset, length, f"{what}.{name}", getattr(value, name))
            for name, offset, length, _number in kind.LAYOUT
        )
        return value

    def _slice(self, length: int, what: str) -> bytes:
        end = self._offset + length
        if end > len(self._data):
            raise LengthError(
                f"quote too short for {what} at offset {self._offset}", expected=end, actual=len(self._data)
            )
        part = self._data[self._offset : end]
        self._offset = end
        return part

    @property
    def offset(self) -> int:
        return self._offset

    @property
    def left(self) -> int:
        return len(self._data) - self._offset


def parse_quote(data: bytes) -> Quote:
    """The quote in `data`; its bytes are all of it.

    Raises: LengthError (too long, too short, a length that does not fit, something behind the end) and
            MalformedError (another version, key type, hardware or form of certification).
    """
    return _read_quote(data)[0]


def quote_fields(data: bytes) -> list[QuoteField]:
    """Every field of the quote in `data` in the order of its bytes, no gap between them.  Raises MalformedError."""
    return _read_quote(data)[1]


def _read_quote(data: bytes) -> tuple[Quote, list[QuoteField]]:
    if len(data) > MAX_QUOTE_BYTES:
        raise LengthError("length of a quote in bytes", expected=f"at most {MAX_QUOTE_BYTES}", actual=len(data))
    reader = _Reader(data)
    header = _read_header(reader)
    body = reader.part(_read_body_type(reader, header), "body")
    length = reader.number(4, "length of signature data")
    if length > reader.left:
        raise LengthError("length of the quote's signature data", expected=f"at most {reader.left}", actual=length)
    end = reader.offset + length
    signature = reader.take(SIGNATURE_BYTES, "signature")
    attestation_key = reader.take(KEY_BYTES, "attestation key")
    if header.version > 3:
        _expect("outer type of certification", QE_CERTIFICATION, reader.number(2, "outer type of certification"))
        outer = reader.number(4, "length of outer certification data")
        _expect("length of outer certification data", end - reader.offset, outer)
    qe_report = reader.part(ReportBody, "QE report")
    qe_report_signature = reader.take(SIGNATURE_BYTES, "signature of the QE report")
    qe_auth = reader.take(reader.number(2, "length of QE authentication data"), "QE authentication data")
    certification_type, certificates = _read_certification(reader)
    _expect("end of the quote's signature data", end, reader.offset)
    padding = reader.left
    if padding and any(reader.take(padding, "padding")):
        raise MalformedError("bytes behind the end of a quote", expected="zero, or none", actual=data[-padding:])
    quote = Quote(
        header=header,
        body=body,
        signature=signature,
        attestation_key=attestation_key,
        qe_report=qe_report,
        qe_report_signature=qe_report_signature,
        qe_auth=qe_auth,
        certificates=certificates,
        certification_type=certification_type,
        padding=padding,
    )
    return quote, reader.fields


def _read_header(reader: _Reader) -> QuoteHeader:
    """Version, key type and hardware before all else: they say what the rest is."""
    header = reader.part(QuoteHeader, "header")
    if header.version not in (3, 4, 5):
        raise MalformedError("version of a quote", expected="3, 4 or 5", actual=header.version)
    _expect("type of a quote's attestation key", KEY_TYPE_ECDSA_P256, header.key_type)
    if header.version == 3:
        _expect("reserved key data of a quote's header", 0, header.key_data)
    elif header.key_data not in (TEE_SGX, TEE_TDX):
        raise MalformedError("kind of hardware of a quote", expected="0 (SGX) or 0x81 (TDX)", actual=header.key_data)
    _expect("QE vendor of a quote", INTEL_QE_VENDOR_ID, header.qe_vendor_id)
    return header


def _read_body_type(reader: _Reader, header: QuoteHeader) -> type[ReportBody | TdReport]:
    """What the body is; version 5 says it twice, and both have to agree with the kind of hardware."""
    if header.version < 5:
        return TdReport if header.key_data == TEE_TDX else ReportBody
    body_type = reader.number(2, "body type")
    size = reader.number(4, "length of the body")
    kind = BODY_TYPES.get(body_type)
    if kind is None or (kind is ReportBody) != (header.key_data == TEE_SGX):
        raise MalformedError(
            f"body type for hardware {header.key_data:#x}", expected="1 for SGX, 2 to 4 for TDX", actual=body_type
        )
    _expect("length of the body", kind.size(), size)
    return kind


def _read_certification(reader: _Reader) -> tuple[int, bytes]:
    kind = reader.number(2, "type of certification data")
    if kind not in (PEM_CHAIN, PCK_LEAF, *IDENTIFIER_BYTES):
        raise MalformedError("type of certification data", expected="1 to 5", actual=kind)
    size = reader.number(4, "length of certification data")
    if kind in IDENTIFIER_BYTES:
        _expect("length of certification data", IDENTIFIER_BYTES[kind], size)
    return kind, reader.take(size, "certification data")


def _typed(kind: int, data: bytes) -> bytes:
    return kind.to_bytes(2, "little") + len(data).to_bytes(4, "little") + data


def _expect(what: str, expected: int | bytes, actual: int | bytes) -> None:
    if actual != expected:
        raise MalformedError(what, expected=expected, actual=actual)
