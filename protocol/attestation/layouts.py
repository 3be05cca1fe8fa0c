"""The parts of a quote that have a fixed layout: its header, the report of an enclave, the report of a guest.

Responsible for: where each field lies, what it means, and the constants that it may hold.
Must not know:   how the parts make up a quote, and whether anything in them is true.

Spec: Intel, "SGX ECDSA Quote Library Reference", appendix A, and "TDX Module ABI", TDREPORT.  Little-endian integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

from protocol.errors import LengthError, RangeError

KEY_TYPE_ECDSA_P256 = 2
INTEL_QE_VENDOR_ID = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
TEE_SGX = 0
TEE_TDX = 0x81

# ATTRIBUTES.FLAGS of an enclave
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

# TDATTRIBUTES of a guest
TD_DEBUG_MASK = 0xFF
"""TUD, "the TD is under debug": bit 0 is DEBUG, and each of the other seven means the same in other words."""
TD_SERVICE_EXTENSION = 1 << 17
"""The report is one with the fields of service TDs (body type 4)."""
TD_SEPT_VE_DISABLE = 1 << 28
"""A page that the host takes away stops the guest; else the host chooses when a handler in it runs."""
TD_PKS = 1 << 30
TD_KEY_LOCKER = 1 << 31
TD_PERFMON = 1 << 63
KNOWN_TD_ATTRIBUTES = TD_DEBUG_MASK | TD_SEPT_VE_DISABLE | TD_PKS | TD_KEY_LOCKER | TD_PERFMON

LEGACY_STATE = 0b11
"""x87 and SSE state in XFRM and XFAM; the processor starts nothing without."""
KNOWN_STATE = (1 << 20) - 1
"""Components 0 (x87) to 19 (APX) are all that a processor has."""


class Field(NamedTuple):
    """Where a field of fixed length lies."""

    name: str
    offset: int
    length: int
    number: bool = False
    """A little-endian integer; else bytes."""


class Fixed:
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
    def size(cls) -> int:
        """How many bytes it takes."""
        return cls.LAYOUT[-1].offset + cls.LAYOUT[-1].length

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """The value in exactly its own bytes.  Raises LengthError."""
        if len(data) != cls.size():
            raise LengthError(f"length of {cls.WHAT}", expected=cls.size(), actual=len(data))
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
class QuoteHeader(Fixed):
    """What kind of quote it is, and which quoting enclave says so."""

    version: int
    """3, 4 or 5."""
    key_type: int
    """Algorithm of the attestation key; 2 is ECDSA on P-256."""
    key_data: int
    """Version 3: reserved, zero.  From 4 on the kind of hardware: 0 SGX, 0x81 TDX."""
    qe_svn: int
    """Security version of the quoting enclave, for people: decisions use the QE's own report.  From 4 on reserved."""
    pce_svn: int
    """Security version of the provisioning certification enclave, for people too.  From 4 on reserved."""
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
class ReportBody(Fixed):
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
class TdReport(Fixed):
    """What the TDX module says about a guest (TD report 1.0)."""

    tee_tcb_svn: bytes
    """16 bytes: [0] minor and [1] major security version of the module, [2] of the SEAM loader."""
    mrseam: bytes
    """48 bytes: measurement of the module."""
    mrsignerseam: bytes = bytes(48)
    """48 bytes: who signed the module; zero for Intel."""
    seam_attributes: bytes = bytes(8)
    """8 bytes: attributes of the module."""
    td_attributes: int
    """The TD_ constants."""
    xfam: int
    """Which extended processor state the guest may use."""
    mrtd: bytes
    """48 bytes: the measurement of the guest's first memory."""
    mrconfigid: bytes = bytes(48)
    mrowner: bytes = bytes(48)
    mrownerconfig: bytes = bytes(48)
    rtmr0: bytes = bytes(48)
    """48 bytes each: registers that the guest extends while it runs."""
    rtmr1: bytes = bytes(48)
    rtmr2: bytes = bytes(48)
    rtmr3: bytes = bytes(48)
    report_data: bytes
    """64 bytes that the guest chose: the only place where it can say something."""

    WHAT: ClassVar[str] = "TD report"
    LAYOUT: ClassVar[tuple[Field, ...]] = (
        Field("tee_tcb_svn", 0, 16),
        Field("mrseam", 16, 48),
        Field("mrsignerseam", 64, 48),
        Field("seam_attributes", 112, 8),
        Field("td_attributes", 120, 8, True),
        Field("xfam", 128, 8, True),
        Field("mrtd", 136, 48),
        Field("mrconfigid", 184, 48),
        Field("mrowner", 232, 48),
        Field("mrownerconfig", 280, 48),
        Field("rtmr0", 328, 48),
        Field("rtmr1", 376, 48),
        Field("rtmr2", 424, 48),
        Field("rtmr3", 472, 48),
        Field("report_data", 520, 64),
    )
    MEASUREMENTS: ClassVar[tuple[str, ...]] = (
        *("mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "mrconfigid", "mrowner", "mrownerconfig"),
        *("mrseam", "mrsignerseam"),
    )
    KNOWN_ATTRIBUTES: ClassVar[int] = KNOWN_TD_ATTRIBUTES

    @property
    def service_tds(self) -> tuple[bytes, ...]:
        """Measurements of the guests that may act on this one, 48 bytes each; version 1.0 has none."""
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TdReport15(TdReport):
    """TD report 1.5: of a module that can be replaced while guests run."""

    tee_tcb_svn2: bytes
    """16 bytes: security versions of the module that runs now; `tee_tcb_svn` is of the one that started the guest."""
    mrservicetd: bytes = bytes(48)
    """48 bytes: measurement of the guests that may act on this one; zero where there are none."""

    LAYOUT: ClassVar[tuple[Field, ...]] = (
        *TdReport.LAYOUT,
        Field("tee_tcb_svn2", 584, 16),
        Field("mrservicetd", 600, 48),
    )
    MEASUREMENTS: ClassVar[tuple[str, ...]] = (*TdReport.MEASUREMENTS, "mrservicetd")

    @property
    def service_tds(self) -> tuple[bytes, ...]:
        """As above."""
        return (self.mrservicetd,)


@dataclass(frozen=True, slots=True, kw_only=True)
class TdReport15Extended(TdReport15):
    """TD report 1.5 with the history of a guest that service TDs may move between machines."""

    vmid: int
    """Which part of a partitioned guest asked."""
    td_id: bytes
    """32 bytes: names this start of the guest."""
    devinfo: bytes
    """48 bytes: hash of what is known of its devices."""
    init_server_td_hash: bytes
    """48 bytes: service TDs when the guest was built."""
    init_server_td_attr: bytes
    init_cpu_svn: bytes
    """16 bytes: of the machine where it was built."""
    init_tee_tcb_svn: bytes
    init_tee_fmspc: bytes
    curr_server_td_hash: bytes
    """48 bytes: service TDs now."""
    curr_server_td_attr: bytes

    LAYOUT: ClassVar[tuple[Field, ...]] = (
        *TdReport15.LAYOUT,
        Field("vmid", 648, 1, True),
        Field("td_id", 649, 32),
        Field("devinfo", 681, 48),
        Field("init_server_td_hash", 729, 48),
        Field("init_server_td_attr", 777, 8),
        Field("init_cpu_svn", 785, 16),
        Field("init_tee_tcb_svn", 801, 16),
        Field("init_tee_fmspc", 817, 12),
        Field("curr_server_td_hash", 829, 48),
        Field("curr_server_td_attr", 877, 8),
    )
    MEASUREMENTS: ClassVar[tuple[str, ...]] = (
        *TdReport15.MEASUREMENTS,
        *("init_server_td_hash", "curr_server_td_hash"),
    )
    KNOWN_ATTRIBUTES: ClassVar[int] = KNOWN_TD_ATTRIBUTES | TD_SERVICE_EXTENSION

    @property
    def service_tds(self) -> tuple[bytes, ...]:
        """As above; also those that were bound when the guest was built and are bound now."""
        return (self.mrservicetd, self.init_server_td_hash, self.curr_server_td_hash)
