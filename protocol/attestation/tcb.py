"""What Intel signs about security versions: TCB info and QE identity, from their texts to values.

Responsible for: the JSON of TCB info version 3 and QE identity version 2, every field that decides something checked.
Must not know:   whether a text is authentic (`collateral.py`), or which platform is compared with it (`tcb_levels.py`).

What is not known here is not looked at, since only Intel can have put it there; what is known has one meaning: lists
have their exact length, numbers are integers in range, no key comes twice, and no two levels contradict each other.

Source: Intel, "Provisioning Certification Service" API version 4, models "TCB info V3" and "Enclave identity V2".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from protocol.attestation import strict_json as strict
from protocol.attestation.strict_json import Json
from protocol.errors import EncodingError, LengthError, UnknownNameError, VerificationError

MAX_TEXT_BYTES = 1 << 18
"""Genuine ones have 500 to 20,000."""
COMPONENTS = 16
"""Security versions in each list of a level."""

_TEXTUAL = re.compile(r"[\x20-\x7e]{1,100}")
_MODULE_ID = re.compile(r"TDX_([0-9A-Fa-f]{2})")
_TCB_INFO, _QE_IDENTITY = "TCB info", "QE identity"


class TcbStatus(StrEnum):
    """How current a platform is, by Intel's names."""

    UP_TO_DATE = "UpToDate"
    SW_HARDENING_NEEDED = "SWHardeningNeeded"
    CONFIGURATION_NEEDED = "ConfigurationNeeded"
    CONFIGURATION_AND_SW_HARDENING_NEEDED = "ConfigurationAndSWHardeningNeeded"
    OUT_OF_DATE = "OutOfDate"
    OUT_OF_DATE_CONFIGURATION_NEEDED = "OutOfDateConfigurationNeeded"
    TD_RELAUNCH_ADVISED = "TDRelaunchAdvised"
    TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED = "TDRelaunchAdvisedConfigurationNeeded"
    REVOKED = "Revoked"


RELAUNCH_STATUSES = frozenset({TcbStatus.TD_RELAUNCH_ADVISED, TcbStatus.TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED})
"""What a verifier concludes and no level says."""
PLATFORM_STATUSES = frozenset(TcbStatus) - RELAUNCH_STATUSES
MODULE_STATUSES = frozenset({TcbStatus.UP_TO_DATE, TcbStatus.OUT_OF_DATE, TcbStatus.REVOKED})
QE_STATUSES = MODULE_STATUSES | {TcbStatus.CONFIGURATION_NEEDED, TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED}


class Tee(StrEnum):
    """Which hardware a text is about."""

    SGX = "sgx"
    TDX = "tdx"


@dataclass(frozen=True, slots=True, kw_only=True)
class TcbLevel:
    """One level of a platform: whoever has at least these versions has this status."""

    sgx_components: tuple[int, ...]
    """Sixteen, 0 to 255 each."""
    pce_svn: int
    """uint16."""
    tdx_components: tuple[int, ...]
    """Sixteen, 0 to 255 each; none for SGX."""
    date_s: int
    """What was known at this time is fixed; seconds since 1970."""
    status: TcbStatus
    advisories: tuple[str, ...]
    """What is wrong below that."""

    @property
    def rank(self) -> tuple[tuple[int, ...], int, tuple[int, ...]]:
        """Higher is newer: levels are searched from the highest down, whatever order they are written in."""
        return self.sgx_components, self.pce_svn, self.tdx_components


@dataclass(frozen=True, slots=True, kw_only=True)
class SvnLevel:
    """One level of a module or of a quoting enclave, which have a single version."""

    svn: int
    """ISVSVN, uint16."""
    date_s: int
    status: TcbStatus
    advisories: tuple[str, ...]

    @property
    def rank(self) -> int:
        """Higher is newer."""
        return self.svn


QeLevel = SvnLevel


@dataclass(frozen=True, slots=True, kw_only=True)
class TdxModule:
    """Who a TDX module has to be."""

    mrsigner: bytes
    """48 bytes."""
    attributes: bytes
    """8 bytes."""
    attributes_mask: bytes
    """8 bytes: which bits of the attributes count."""
    levels: tuple[SvnLevel, ...] = ()
    """From the highest down; none for modules without a major version, whose level is the platform's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TcbInfo:
    """Which versions of one kind of platform are how current."""

    tee: Tee
    issued_s: int
    """Seconds since 1970; valid from this second on."""
    next_update_s: int
    """Seconds since 1970; valid through this second."""
    fmspc: bytes
    """Kind of platform; 6 bytes."""
    pce_id: bytes
    """2 bytes."""
    evaluation_number: int
    """tcbEvaluationDataNumber: grows with what Intel knows; uint32."""
    levels: tuple[TcbLevel, ...]
    """From the highest down, at least one."""
    module: TdxModule | None
    """Of modules without a major version; None for SGX."""
    modules: tuple[tuple[int, TdxModule], ...]
    """Major version (1 to 255) and identity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QeIdentity:
    """Who a quoting enclave has to be."""

    tee: Tee
    issued_s: int
    """Seconds since 1970; valid from this second on."""
    next_update_s: int
    """Seconds since 1970; valid through this second."""
    evaluation_number: int
    """tcbEvaluationDataNumber; uint32."""
    misc_select: bytes
    """4 bytes, as in the report."""
    misc_select_mask: bytes
    """4 bytes: which bits count."""
    attributes: bytes
    """16 bytes, as in the report."""
    attributes_mask: bytes
    """16 bytes: which bits count."""
    mrsigner: bytes
    """32 bytes."""
    isv_prod_id: int
    """uint16."""
    levels: tuple[QeLevel, ...]
    """From the highest down, at least one."""

    def level_of(self, isv_svn: int) -> QeLevel:
        """The highest level that a quoting enclave of this version reaches.  Raises VerificationError for none."""
        level = highest_svn(self.levels, isv_svn)
        if level is None:
            least = self.levels[-1].svn
            raise VerificationError("ISVSVN of the QE", check="quote 5", expected=f"at least {least}", actual=isv_svn)
        return level


def highest_svn(levels: Iterable[SvnLevel], svn: int) -> SvnLevel | None:
    """The highest level that a version reaches, of levels from the highest down."""
    return next((level for level in levels if svn >= level.svn), None)


def parse_tcb_info(data: bytes) -> TcbInfo:
    """TCB info version 3.  Raises MalformedError for everything else."""
    what = _TCB_INFO
    fields = strict.parse_map(data, what, max_bytes=MAX_TEXT_BYTES)
    tee = _tee(fields, what, {"SGX": Tee.SGX, "TDX": Tee.TDX})
    strict.number(fields, "version", what, least=3, most=3)
    # Says how levels are compared, and 0 is the only way that there is.
    strict.number(fields, "tcbType", what, most=0)
    is_tdx = tee is Tee.TDX
    levels = [_platform_level(level, is_tdx=is_tdx) for level in strict.maps(fields, "tcbLevels", what)]
    return TcbInfo(
        tee=tee,
        issued_s=strict.time_s(fields, "issueDate", what),
        next_update_s=strict.time_s(fields, "nextUpdate", what),
        fmspc=strict.octets(fields, "fmspc", what, 6),
        pce_id=strict.octets(fields, "pceId", what, 2),
        evaluation_number=_evaluation_number(fields, what),
        levels=_sorted(levels, f"levels of the {what}"),
        module=_module(strict.inner(fields, "tdxModule", what), "TDX module") if is_tdx else None,
        modules=_modules(fields) if is_tdx else (),
    )


def parse_qe_identity(data: bytes) -> QeIdentity:
    """Identity version 2 of the quoting enclave of SGX or of TDX.  Raises MalformedError for everything else."""
    what = _QE_IDENTITY
    fields = strict.parse_map(data, what, max_bytes=MAX_TEXT_BYTES)
    tee = _tee(fields, what, {"QE": Tee.SGX, "TD_QE": Tee.TDX})
    strict.number(fields, "version", what, least=2, most=2)
    return QeIdentity(
        tee=tee,
        issued_s=strict.time_s(fields, "issueDate", what),
        next_update_s=strict.time_s(fields, "nextUpdate", what),
        evaluation_number=_evaluation_number(fields, what),
        misc_select=strict.octets(fields, "miscselect", what, 4),
        misc_select_mask=strict.octets(fields, "miscselectMask", what, 4),
        attributes=strict.octets(fields, "attributes", what, 16),
        attributes_mask=strict.octets(fields, "attributesMask", what, 16),
        mrsigner=strict.octets(fields, "mrsigner", what, 32),
        isv_prod_id=strict.number(fields, "isvprodid", what, most=0xFFFF),
        levels=_svn_levels(fields, what, QE_STATUSES),
    )


def _tee(fields: Json, what: str, names: dict[str, Tee]) -> Tee:
    name = strict.text(fields, "id", what)
    if name not in names:
        raise UnknownNameError(f"id of a {what}", known=names, actual=name)
    return names[name]


def _evaluation_number(fields: Json, what: str) -> int:
    return strict.number(fields, "tcbEvaluationDataNumber", what, most=0xFFFFFFFF)


def _platform_level(fields: Json, *, is_tdx: bool) -> TcbLevel:
    what = "level of the TCB info"
    tcb = strict.inner(fields, "tcb", what)
    return TcbLevel(
        sgx_components=_components(tcb, "sgxtcbcomponents", what),
        pce_svn=strict.number(tcb, "pcesvn", what, most=0xFFFF),
        tdx_components=_components(tcb, "tdxtcbcomponents", what) if is_tdx else (),
        date_s=strict.time_s(fields, "tcbDate", what),
        status=_status(fields, what, PLATFORM_STATUSES),
        advisories=_advisories(fields, what),
    )


def _components(tcb: Json, key: str, what: str) -> tuple[int, ...]:
    """Exactly sixteen: a list that is too short would leave versions out of every comparison."""
    found = strict.maps(tcb, key, what)
    if len(found) != COMPONENTS:
        raise LengthError(f"number of {key} in a {what}", expected=COMPONENTS, actual=len(found))
    return tuple(strict.number(component, "svn", f"component of a {what}", most=0xFF) for component in found)


def _modules(fields: Json) -> tuple[tuple[int, TdxModule], ...]:
    """Identities by major version, none twice; texts from before there were any have none."""
    found: dict[int, TdxModule] = {}
    entries = strict.maps(fields, "tdxModuleIdentities", _TCB_INFO) if "tdxModuleIdentities" in fields else []
    for entry in entries:
        what = "TDX module identity"
        name = strict.text(entry, "id", what)
        match = _MODULE_ID.fullmatch(name)
        if match is None:
            raise EncodingError(f"id of a {what}", expected="TDX_ and two hexadecimal digits", actual=name)
        major = int(match[1], 16)
        if major in found:
            raise EncodingError(f"{what} {name}", expected="once", actual="twice")
        found[major] = _module(entry, what, has_levels=True)
    return tuple(found.items())


def _module(fields: Json, what: str, *, has_levels: bool = False) -> TdxModule:
    return TdxModule(
        mrsigner=strict.octets(fields, "mrsigner", what, 48),
        attributes=strict.octets(fields, "attributes", what, 8),
        attributes_mask=strict.octets(fields, "attributesMask", what, 8),
        levels=_svn_levels(fields, what, MODULE_STATUSES) if has_levels else (),
    )


def _svn_levels(fields: Json, what: str, statuses: frozenset[TcbStatus]) -> tuple[SvnLevel, ...]:
    name = f"level of the {what}"
    levels = [
        SvnLevel(
            svn=strict.number(strict.inner(level, "tcb", name), "isvsvn", name, most=0xFFFF),
            date_s=strict.time_s(level, "tcbDate", name),
            status=_status(level, name, statuses),
            advisories=_advisories(level, name),
        )
        for level in strict.maps(fields, "tcbLevels", what)
    ]
    return _sorted(levels, f"levels of the {what}")


_Level = TypeVar("_Level", TcbLevel, SvnLevel)


def _sorted(levels: Sequence[_Level], what: str) -> tuple[_Level, ...]:
    """From the highest down.  Two levels of equal versions that contradict each other would leave all to chance."""
    if not levels:
        raise EncodingError(f"no {what}")
    found = {level.rank: level for level in levels}
    if any(found[level.rank] != level for level in levels):
        raise EncodingError(f"{what} that contradict each other")
    return tuple(sorted(found.values(), key=lambda level: level.rank, reverse=True))


def _status(fields: Json, what: str, known: frozenset[TcbStatus]) -> TcbStatus:
    name = strict.text(fields, "tcbStatus", what)
    if name not in known:
        raise UnknownNameError(f"status in a {what}", known=sorted(known), actual=name)
    return TcbStatus(name)


def _advisories(fields: Json, what: str) -> tuple[str, ...]:
    """Names of what is known to be wrong; there may be none, and then often no list either."""
    names = strict.items(fields, "advisoryIDs", what) if "advisoryIDs" in fields else []
    for name in names:
        if not isinstance(name, str) or _TEXTUAL.fullmatch(name) is None:
            raise EncodingError(f"advisory of a {what}", expected="printable text", actual=name)
    return tuple(names)
