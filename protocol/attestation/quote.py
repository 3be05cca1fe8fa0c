"""SGX DCAP quotes, version 3: bytes to a value and back, nothing left over.

Responsible for: the layout of a quote, every length checked before it is used.
Must not know:   whether anything in a quote is true; keys, certificates, time.

Spec: Intel, "SGX ECDSA Quote Library Reference", appendix A; the offsets are in the tables below.  Integers are
little-endian; ECDSA signatures r || s and public keys X || Y are 2 x 32 bytes, big-endian.

    0    48  header                      \\ signed by the attestation key
    48  384  report body of the enclave  /
    432   4  length n of what follows
    436  64  signature of the quote, by the attestation key
    500  64  attestation key X || Y
    564 384  report body of the quoting enclave (QE)
    948  64  signature of the QE's report, by the PCK
    1012  2  length a of the QE's authentication data, then a bytes
    ..    6  type of certification data (5) and its length c, then c bytes: PEM of leaf || CA || root
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

from protocol.errors import LengthError, MalformedError, RangeError

MAX_QUOTE_BYTES = 1 << 15
"""Genuine ones are about 4,600 bytes; more is refused unread."""

HEADER_BYTES = 48
REPORT_BYTES = 384
SIGNED_BYTES = HEADER_BYTES + REPORT_BYTES
SIGNATURE_BYTES = 64
KEY_BYTES = 64

VERSION = 3
KEY_TYPE_ECDSA_P256 = 2
CERTIFICATION_PEM_CHAIN = 5
INTEL_QE_VENDOR_ID = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")

FLAG_INIT = 1 << 0
FLAG_DEBUG = 1 << 1
FLAG_MODE64 = 1 << 2
FLAG_PROVISION_KEY = 1 << 4
FLAG_EINITTOKEN_KEY = 1 << 5
FLAG_CET = 1 << 6
FLAG_KSS = 1 << 7
FLAG_AEX_NOTIFY = 1 << 10
KNOWN_FLAGS = (
    FLAG_INIT
    | FLAG_DEBUG
    | FLAG_MODE64
    | FLAG_PROVISION_KEY
    | FLAG_EINITTOKEN_KEY
    | FLAG_CET
    | FLAG_KSS
    | FLAG_AEX_NOTIFY
)


class Field(NamedTuple):
    """Where a field of fixed length lies."""

    name: str
    offset: int
    length: int
    number: bool = False
    """A little-endian integer; else bytes."""


class _Fixed:
    """A part of fixed layout: the table is the parser, the writer, and the check of what is built by hand."""

    LAYOUT: ClassVar[tuple[Field, ...]]
    WHAT: ClassVar[str]
    __slots__ = ()

    def __post_init__(self) -> None:
        for field in self.LAYOUT:
            value = getattr(self, field.name)
            if field.number and not 0 <= value < 1 << (8 * field.length):
                raise RangeError(f"{self.WHAT}.{field.name}", expected=f"uint{8 * field.length}", actual=value)
            if not field.number and len(value) != field.length:
                raise LengthError(f"length of {self.WHAT}.{field.name}", expected=field.length, actual=len(value))

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """The value in exactly its own bytes.  Raises LengthError."""
        size = cls.LAYOUT[-1].offset + cls.LAYOUT[-1].length
        if len(data) != size:
            raise LengthError(f"length of {cls.WHAT}", expected=size, actual=len(data))
        values: dict[str, Any] = {}
        for field in cls.LAYOUT:
            raw = data[field.offset : field.offset + field.length]
            values[field.name] = int.from_bytes(raw, "little") if field.number else raw
        return cls(**values)

    def encode(self) -> bytes:
        """The bytes; `parse(value.encode()) == value`."""
        parts = (getattr(self, field.name) for field in self.LAYOUT)
        pairs = zip(self.LAYOUT, parts, strict=True)
        return b"".join(part.to_bytes(field.length, "little") if field.number else part for field, part in pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteHeader(_Fixed):
    """What kind of quote it is, and which quoting enclave says so."""

    version: int
    """3."""
    key_type: int
    """Algorithm of the attestation key; 2 is ECDSA on P-256."""
    key_data: int
    """Reserved in version 3: zero."""
    qe_svn: int
    """Security version of the quoting enclave, for people: decisions use the QE's own report."""
    pce_svn: int
    """Security version of the provisioning certification enclave, for people too."""
    qe_vendor_id: bytes
    """16 bytes; Intel's for every public verifier, the simulated platform's also."""
    user_data: bytes
    """20 bytes; the first 16 name the platform's quoting enclave ("SIMULATED-TEE-QE" for the simulation)."""

    WHAT: ClassVar[str] = "quote header"
    LAYOUT: ClassVar[tuple[Field, ...]] = (
        Field("version", 0, 2, True),
        Field("key_type", 2, 2, True),
        Field("key_data", 4, 4, True),
        Field("qe_svn", 8, 2, True),
        Field("pce_svn", 10, 2, True),
        Field("qe_vendor_id", 12, 16),
        Field("user_data", 28, 20),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportBody(_Fixed):
    """What the processor says about an enclave."""

    cpu_svn: bytes
    """16 bytes: security versions of the processor's parts."""
    misc_select: int
    """What the processor saves on an exception, beyond registers."""
    reserved_1: bytes = bytes(12)
    isv_ext_prod_id: bytes = bytes(16)
    """16 bytes; only with key separation and sharing (KSS), else zero."""
    flags: int
    """ATTRIBUTES.FLAGS, the FLAG_ constants; DEBUG is here and not in the measurement."""
    xfrm: int
    """ATTRIBUTES.XFRM: which extended processor state the enclave may use."""
    mrenclave: bytes
    """32 bytes: the measurement of the code."""
    reserved_2: bytes = bytes(32)
    mrsigner: bytes
    """32 bytes: hash of the key that signed the enclave; zero where nobody did."""
    reserved_3: bytes = bytes(32)
    config_id: bytes = bytes(64)
    """64 bytes; only with KSS."""
    isv_prod_id: int
    """Product, of those that the signer makes."""
    isv_svn: int
    """Security version of the enclave."""
    config_svn: int = 0
    """Only with KSS."""
    reserved_4: bytes = bytes(42)
    isv_family_id: bytes = bytes(16)
    """16 bytes; only with KSS."""
    report_data: bytes
    """64 bytes that the enclave chose: the only place where it can say something."""

    WHAT: ClassVar[str] = "report body"
    LAYOUT: ClassVar[tuple[Field, ...]] = (
        Field("cpu_svn", 0, 16),
        Field("misc_select", 16, 4, True),
        Field("reserved_1", 20, 12),
        Field("isv_ext_prod_id", 32, 16),
        Field("flags", 48, 8, True),
        Field("xfrm", 56, 8, True),
        Field("mrenclave", 64, 32),
        Field("reserved_2", 96, 32),
        Field("mrsigner", 128, 32),
        Field("reserved_3", 160, 32),
        Field("config_id", 192, 64),
        Field("isv_prod_id", 256, 2, True),
        Field("isv_svn", 258, 2, True),
        Field("config_svn", 260, 2, True),
        Field("reserved_4", 262, 42),
        Field("isv_family_id", 304, 16),
        Field("report_data", 320, 64),
    )

    @property
    def reserved(self) -> bytes:
        """All reserved bytes, which are zero in every genuine report."""
        return self.reserved_1 + self.reserved_2 + self.reserved_3 + self.reserved_4


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A whole quote; `encode` gives back the very bytes that were parsed."""

    header: QuoteHeader
    body: ReportBody
    signature: bytes
    """Of header || body, by the attestation key; 64 bytes.  Malleable (s and n - s): never an identity of anything."""
    attestation_key: bytes
    """X || Y; 64 bytes."""
    qe_report: ReportBody
    """Of the quoting enclave that holds the attestation key."""
    qe_report_signature: bytes
    """Of the QE's report, by the PCK; 64 bytes."""
    qe_auth: bytes
    """What the QE mixed into the binding of its attestation key; 32 bytes in genuine quotes."""
    certificates: bytes
    """PEM of the PCK leaf || CA || root, perhaps with a NUL at the end."""

    def __post_init__(self) -> None:
        for name, length in (("signature", 64), ("attestation_key", 64), ("qe_report_signature", 64)):
            if len(getattr(self, name)) != length:
                raise LengthError(f"length of quote.{name}", expected=length, actual=len(getattr(self, name)))

    @property
    def signed(self) -> bytes:
        """Header || body: what the attestation key signs and what an enclave's id is the hash of; 432 bytes."""
        return self.header.encode() + self.body.encode()

    def encode(self) -> bytes:
        """The bytes of the quote."""
        tail = (
            self.signature
            + self.attestation_key
            + self.qe_report.encode()
            + self.qe_report_signature
            + len(self.qe_auth).to_bytes(2, "little")
            + self.qe_auth
            + CERTIFICATION_PEM_CHAIN.to_bytes(2, "little")
            + len(self.certificates).to_bytes(4, "little")
            + self.certificates
        )
        return self.signed + len(tail).to_bytes(4, "little") + tail


class _Reader:
    """Takes bytes from the front; never more than there are."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0

    def take(self, length: int, what: str) -> bytes:
        end = self._offset + length
        if end > len(self._data):
            raise LengthError(
                f"quote too short for {what} at offset {self._offset}", expected=end, actual=len(self._data)
            )
        part = self._data[self._offset : end]
        self._offset = end
        return part

    def number(self, length: int, what: str) -> int:
        return int.from_bytes(self.take(length, what), "little")

    @property
    def left(self) -> int:
        return len(self._data) - self._offset


def parse_quote(data: bytes) -> Quote:
    """The quote in `data`; its bytes are all of it.

    Raises: LengthError (too long, too short, a length that does not fit, something behind the end) and
            MalformedError (another version, another key type, another form of certificates).
    """
    if len(data) > MAX_QUOTE_BYTES:
        raise LengthError("length of a quote in bytes", expected=f"at most {MAX_QUOTE_BYTES}", actual=len(data))
    reader = _Reader(data)
    header = QuoteHeader.parse(reader.take(HEADER_BYTES, "header"))
    # Version and key type before all else: they say what the rest is.
    _expect("version of a quote", VERSION, header.version)
    _expect("type of a quote's attestation key", KEY_TYPE_ECDSA_P256, header.key_type)
    _expect("reserved key data of a quote's header", 0, header.key_data)
    _expect("QE vendor of a quote", INTEL_QE_VENDOR_ID, header.qe_vendor_id)
    body = ReportBody.parse(reader.take(REPORT_BYTES, "report body"))
    _expect("length of the quote's signature data", reader.left - 4, reader.number(4, "length of signature data"))
    signature = reader.take(SIGNATURE_BYTES, "signature")
    attestation_key = reader.take(KEY_BYTES, "attestation key")
    qe_report = ReportBody.parse(reader.take(REPORT_BYTES, "QE report"))
    qe_report_signature = reader.take(SIGNATURE_BYTES, "signature of the QE report")
    qe_auth = reader.take(reader.number(2, "length of QE authentication data"), "QE authentication data")
    _expect("type of certification data", CERTIFICATION_PEM_CHAIN, reader.number(2, "type of certification data"))
    certificates = reader.take(reader.number(4, "length of certification data"), "certification data")
    _expect("bytes behind the end of a quote", 0, reader.left)
    return Quote(
        header=header,
        body=body,
        signature=signature,
        attestation_key=attestation_key,
        qe_report=qe_report,
        qe_report_signature=qe_report_signature,
        qe_auth=qe_auth,
        certificates=certificates,
    )


def _expect(what: str, expected: int | bytes, actual: int | bytes) -> None:
    if actual != expected:
        raise MalformedError(what, expected=expected, actual=actual)
