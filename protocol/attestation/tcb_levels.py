"""How current a platform is: its security versions against the levels of authentic TCB info.

Responsible for: steps 7 and 8 of the recipe: which levels platform, TDX module and QE reach, and what follows from all.
Must not know:   whether a text is authentic (`collateral.py`), and which status is good enough (`policy.py`).

A status is a fact, Revoked too; reaching no level at all, and texts about another platform or module, are failures.
Every part counts: a module that is up to date does not make an old platform new, nor the other way round.

Source: Intel, "SGX Data Center Attestation Primitives: Quote Verification", 4.1.2.5 (TCB evaluation).
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.attestation.layouts import TdReport, TdReport15
from protocol.attestation.pck import PckExtension
from protocol.attestation.result import STEPS, Check
from protocol.attestation.tcb import SvnLevel, TcbInfo, TcbLevel, TcbStatus, TdxModule, Tee, highest_svn
from protocol.errors import VerificationError

_CHECK = "quote 7"

_MODULE_PARTS = 2
"""TDX components 0 and 1 are the module's own minor and major version."""

_NEEDS_CONFIGURATION = frozenset(
    {
        TcbStatus.CONFIGURATION_NEEDED,
        TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED,
        TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED,
    }
)
_IS_OLD = frozenset({TcbStatus.OUT_OF_DATE, TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """The levels that one set of versions reaches."""

    platform: TcbLevel
    module: SvnLevel | None
    """None for SGX and for TDX modules without a major version, whose level is the platform's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TcbMatch:
    """What step 7 found."""

    launched: Reached
    """What there was when the enclave or guest was started."""
    current: Reached | None
    """TD report 1.5: what there is now, after the module was replaced under the running guest."""


def check_7_tcb_level(info: TcbInfo, platform: PckExtension, body: TdReport | None) -> tuple[TcbMatch, Check]:
    """TCB info is about this platform, and platform and module reach a level of it.

    platform: what the PCK leaf says.
    body:     a guest's report, None for an SGX enclave.
    Raises:   VerificationError.
    """
    if info.tee is not (Tee.SGX if body is None else Tee.TDX):
        raise VerificationError(
            "hardware that TCB info is about", check=_CHECK, expected="the quote's", actual=info.tee
        )
    _expect("FMSPC of the platform", info.fmspc, platform.fmspc)
    _expect("PCEID of the platform", info.pce_id, platform.pce_id)
    _expect("CPUSVN of the PCK leaf, by its components", bytes(platform.component_svns), platform.cpu_svn)
    if body is None:
        match = TcbMatch(launched=Reached(platform=_platform_level(info, platform, None), module=None), current=None)
    else:
        launched = _reached(info, platform, body, body.tee_tcb_svn)
        current = _reached(info, platform, body, body.tee_tcb_svn2) if isinstance(body, TdReport15) else None
        match = TcbMatch(launched=launched, current=current)
    saw = f"FMSPC {info.fmspc.hex()}, level of CPUSVN {bytes(match.launched.platform.sgx_components).hex()}"
    saw += f" PCESVN {match.launched.platform.pce_svn}: {match.launched.platform.status}"
    if match.launched.module is not None:
        saw += f"; module SVN {match.launched.module.svn}: {match.launched.module.status}"
    return match, Check(step=7, name=STEPS[7], saw=saw)


def check_8_tcb_status(match: TcbMatch, qe: SvnLevel) -> tuple[TcbStatus, tuple[str, ...], Check]:
    """The one status of platform, module and QE together, and everything that is known to be wrong with them.

    qe: the level that the QE reaches, from step 5.
    """
    status = _status(match.launched, qe)
    if match.current is not None:
        status = _after_replacement(status, _status(match.current, qe))
    levels = [match.launched.platform, match.launched.module, qe]
    if match.current is not None:
        levels += [match.current.platform, match.current.module]
    named = {name: None for level in levels if level is not None for name in level.advisories}
    advisories = tuple(sorted(named))
    saw = f"{status}, {', '.join(advisories) or 'no advisories'}"
    return status, advisories, Check(step=8, name=STEPS[8], saw=saw)


def converge(platform: TcbStatus, *components: TcbStatus) -> TcbStatus:
    """The status of a platform together with those of its module and its QE.

    Revoked anywhere is Revoked; out of date anywhere is out of date, and what needs configuring still needs it.  What
    else a component may say (a QE that needs configuring) is not current either.
    """
    if TcbStatus.REVOKED in (platform, *components):
        return TcbStatus.REVOKED
    if all(component is TcbStatus.UP_TO_DATE for component in components):
        return platform
    if platform in _NEEDS_CONFIGURATION:
        return TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED
    return TcbStatus.OUT_OF_DATE


def _status(reached: Reached, qe: SvnLevel) -> TcbStatus:
    module = () if reached.module is None else (reached.module.status,)
    return converge(reached.platform.status, *module, qe.status)


def _after_replacement(launched: TcbStatus, current: TcbStatus) -> TcbStatus:
    """A guest that was started on something old and now runs on something new should be started again.

    The other way round can't be: versions only grow under a running guest.  Then the worse of both stands.
    """
    if TcbStatus.REVOKED in (launched, current):
        return TcbStatus.REVOKED
    if launched not in _IS_OLD:
        return converge(launched, TcbStatus.OUT_OF_DATE) if current in _IS_OLD else launched
    if current in _IS_OLD:
        return launched
    if {launched, current} & _NEEDS_CONFIGURATION:
        return TcbStatus.TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED
    return TcbStatus.TD_RELAUNCH_ADVISED


def _reached(info: TcbInfo, platform: PckExtension, body: TdReport, tee_tcb_svn: bytes) -> Reached:
    minor, major = tee_tcb_svn[0], tee_tcb_svn[1]
    module = _module(info, major)
    _expect("MRSIGNERSEAM of the TDX module", module.mrsigner, body.mrsignerseam)
    masked = bytes(one & other for one, other in zip(body.seam_attributes, module.attributes_mask, strict=True))
    _expect("SEAMATTRIBUTES of the TDX module", module.attributes, masked)
    level = None
    if major > 0:
        level = highest_svn(module.levels, minor)
        if level is None:
            raise VerificationError(
                f"version of TDX module {major}",
                check=_CHECK,
                expected=f"at least {module.levels[-1].svn}",
                actual=minor,
            )
    return Reached(platform=_platform_level(info, platform, tee_tcb_svn), module=level)


def _module(info: TcbInfo, major: int) -> TdxModule:
    module = info.module if major == 0 else dict(info.modules).get(major)
    if module is None:
        known = ", ".join(f"TDX_{number:02X}" for number, _ in info.modules) or "none"
        raise VerificationError(
            "identity of the TDX module", check=_CHECK, expected=f"one of {known}", actual=f"TDX_{major:02X}"
        )
    return module


def _platform_level(info: TcbInfo, platform: PckExtension, tee_tcb_svn: bytes | None) -> TcbLevel:
    """The highest level of which no version is above the platform's."""
    for level in info.levels:
        if platform.pce_svn < level.pce_svn or not _reaches(platform.component_svns, level.sgx_components):
            continue
        if tee_tcb_svn is None:
            return level
        # With a major version the module has levels of its own, and its versions say nothing about the platform.
        first = _MODULE_PARTS if tee_tcb_svn[1] > 0 else 0
        if _reaches(tee_tcb_svn[first:], level.tdx_components[first:]):
            return level
    versions = f"CPUSVN {platform.cpu_svn.hex()}, PCESVN {platform.pce_svn}"
    if tee_tcb_svn is not None:
        versions += f", TEE_TCB_SVN {tee_tcb_svn.hex()}"
    raise VerificationError("TCB level of the platform", check=_CHECK, expected="at least the lowest", actual=versions)


def _reaches(versions: bytes | tuple[int, ...], least: tuple[int, ...]) -> bool:
    return all(one >= other for one, other in zip(versions, least, strict=True))


def _expect(what: str, expected: bytes, actual: bytes) -> None:
    if actual != expected:
        raise VerificationError(what, check=_CHECK, expected=expected, actual=actual)
