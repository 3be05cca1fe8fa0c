"""Is this authentic evidence acceptable here?

Responsible for: the reference values of one relying party, and comparing verified evidence with them.
Must not know:   how evidence is verified.

Nothing has a default that accepts more: a policy without measurements or without report data can't be built, and
every choice that weakens it is a word at the call site.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from protocol.attestation import strict_json
from protocol.attestation.attester import REPORT_DATA_BYTES
from protocol.attestation.collateral import Collateral
from protocol.attestation.result import Format, Verified
from protocol.attestation.tcb import TcbStatus
from protocol.attestation.trust import RootKind, TrustStore
from protocol.attestation.verify import insecure_verify_quote
from protocol.errors import EncodingError, LengthError, MalformedError, PolicyError, UnknownNameError

MAX_POLICY_BYTES = 1 << 20

_HEX = re.compile(r"(?:[0-9a-f]{2})*")
_STATUSES = {status.value: status for status in TcbStatus}
_KINDS = {kind.name.lower(): kind for kind in RootKind}

NO_SERVICE_TD = bytes(48)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What one relying party accepts.

    Debug enclaves, those with a platform's keys, guests that a host can interrupt by taking pages away, and revoked
    platforms: never, so there is no field.
    """

    measurements: frozenset[bytes] = frozenset()
    """MRENCLAVE (32 bytes), MRTD or PCR0 (48) values that may do this work (the consortium's vote); at least one."""

    report_data: bytes | None = None
    """What the enclave must have said, computed from claims with the relying party's own nonce; 64 bytes."""

    root_kinds: frozenset[RootKind] = frozenset({RootKind.INTEL})
    """Kinds of hardware.  The simulation is none; it has a field of its own."""

    allow_simulated_quotes: bool = False
    """Also accept quotes under a simulated root, which say nothing about hardware."""

    accept_statuses: frozenset[TcbStatus] = frozenset({TcbStatus.UP_TO_DATE})
    """How far behind on security updates a platform may be; each by name, Revoked never."""

    registers: Mapping[str, frozenset[bytes]] = field(default_factory=lambda: MappingProxyType({}))
    """More that was measured (`Verified.measurements`: mrsigner, rtmr0, pcr1) and the values that it may have."""

    service_tds: frozenset[bytes] = frozenset({NO_SERVICE_TD})
    """MRSERVICETD values, 48 bytes: guests that may act on the enclave's; by default none."""

    insecure_without_collateral: bool = False
    """Also accept quotes of which nobody knows whether they are revoked or their platform is up to date."""

    insecure_without_reference_values: bool = False
    """Accept whatever code was measured: for looking at evidence, never for relying on it."""

    insecure_without_binding: bool = False
    """Accept evidence that may be old and made for somebody else: for looking at it."""

    def __post_init__(self) -> None:
        if not self.measurements and not self.insecure_without_reference_values:
            raise MalformedError("a policy without measurements accepts nothing")
        for measurement in self.measurements:
            if len(measurement) not in (32, 48):
                raise LengthError("length of a measurement", expected="32 or 48", actual=len(measurement))
        if self.report_data is None and not self.insecure_without_binding:
            raise MalformedError("a policy without report data accepts old evidence")
        if self.report_data is not None and len(self.report_data) != REPORT_DATA_BYTES:
            raise LengthError("length of report data", expected=REPORT_DATA_BYTES, actual=len(self.report_data))
        if RootKind.SIMULATED in self.root_kinds:
            raise MalformedError("root kinds of a policy", expected="hardware; allow_simulated_quotes for the rest")
        if TcbStatus.REVOKED in self.accept_statuses:
            raise MalformedError("accepted statuses of a policy", expected="no Revoked", actual="Revoked")
        for name, values in self.registers.items():
            if not values:
                raise MalformedError(f"values of the register {name} in a policy", expected="at least one")
        for service_td in self.service_tds:
            if len(service_td) != 48:
                raise LengthError("length of a service TD's measurement", expected=48, actual=len(service_td))


def check_policy(verified: Verified, policy: Policy) -> None:
    """Returns when the evidence is acceptable.  Raises PolicyError with the first reason why not."""
    _check_root(verified, policy)
    _check_shape(verified, policy)
    _check_status(verified, policy)
    _check_code(verified, policy)
    if policy.report_data is not None and verified.report_data != policy.report_data:
        raise PolicyError("report data of the enclave", expected=policy.report_data, actual=verified.report_data)


def _check_root(verified: Verified, policy: Policy) -> None:
    kinds = ", ".join(sorted(kind.name.lower() for kind in policy.root_kinds)) or "none"
    if verified.is_simulated and not policy.allow_simulated_quotes:
        raise PolicyError("kind of the quote's root", expected=kinds, actual="simulated: says nothing about hardware")
    if not verified.is_simulated and verified.root_kind not in policy.root_kinds:
        raise PolicyError("kind of the quote's root", expected=kinds, actual=verified.root_kind.name.lower())


def _check_shape(verified: Verified, policy: Policy) -> None:
    """Who can look into the enclave, or act on it, whatever its code."""
    if verified.is_debug:
        raise PolicyError("debug flag of the enclave", expected="clear", actual="set")
    if verified.is_privileged:
        raise PolicyError("provisioning and launch keys of the enclave", expected="none", actual="some")
    if verified.is_sept_ve_disabled is False:
        raise PolicyError("SEPT_VE_DISABLE of the guest", expected="set", actual="clear")
    for service_td in verified.service_tds:
        if service_td not in policy.service_tds:
            allowed = ", ".join(sorted(value.hex() for value in policy.service_tds)) or "none"
            raise PolicyError("service TD of the guest", expected=f"one of {allowed}", actual=service_td)


def _check_status(verified: Verified, policy: Policy) -> None:
    # Binding is compared in `check_policy` with this policy's own value; only collateral can be missing.
    missing = ", ".join(f"{entry.step} {entry.name}" for entry in verified.not_checked if entry.step != 10)
    if missing and not policy.insecure_without_collateral:
        raise PolicyError("steps of the verification that were not done", expected="none", actual=missing)
    # Nitro has no TCB status: AWS keeps its platforms current and its certificates live for hours.
    if verified.format is Format.NITRO or (missing and verified.tcb_status is None):
        return
    if verified.tcb_status not in policy.accept_statuses or verified.tcb_status is TcbStatus.REVOKED:
        accepted = ", ".join(sorted(policy.accept_statuses)) or "none"
        why = f"{verified.tcb_status} ({', '.join(verified.advisories) or 'no advisories'})"
        raise PolicyError("TCB status of the platform", expected=f"one of {accepted}", actual=why)


def _check_code(verified: Verified, policy: Policy) -> None:
    if verified.measurement not in policy.measurements and not policy.insecure_without_reference_values:
        allowed = ", ".join(sorted(measurement.hex() for measurement in policy.measurements))
        raise PolicyError("measurement of the enclave", expected=f"one of {allowed}", actual=verified.measurement)
    for name, values in sorted(policy.registers.items()):
        actual = verified.measurements.get(name)
        if actual not in values:
            allowed = ", ".join(sorted(value.hex() for value in values))
            raise PolicyError(f"{name} of the enclave", expected=f"one of {allowed}", actual=actual or "none")


def accept_quote(
    data: bytes,
    *,
    policy: Policy,
    trust_store: TrustStore,
    now_s: int,
    collateral: Collateral | None = None,
    issuer_chain: bytes | None = None,
) -> Verified:
    """Verify, then decide: what a participant does before it seals anything.

    Without collateral only a policy that says `insecure_without_collateral` accepts.
    Raises: VerificationError, PolicyError.
    """
    verified = insecure_verify_quote(
        data,
        collateral=collateral,
        report_data=policy.report_data,
        trust_store=trust_store,
        now_s=now_s,
        issuer_chain=issuer_chain,
    )
    check_policy(verified, policy)
    return verified


def parse_policy(data: bytes) -> Policy:
    """The policy that a person wrote as one JSON object.

        {"measurements": ["33d8..."], "accept_statuses": ["UpToDate", "SWHardeningNeeded"], "root_kinds": ["intel"],
         "registers": {"rtmr1": ["00..."]}, "report_data": "6e6f..."}

    Keys are the fields of `Policy`; bytes are small hexadecimal digits, kinds of roots have small letters, statuses
    Intel's spelling.  What is left out has the field's default, so that a policy without measurements or report data
    has to say `"insecure_without_reference_values": true` or `"insecure_without_binding": true`.
    Raises: MalformedError.
    """
    value = strict_json.parse_map(data, "policy", max_bytes=MAX_POLICY_BYTES)
    for key in value:
        if key not in _FIELDS:
            raise UnknownNameError("field of a policy", known=_FIELDS, actual=key)
    return Policy(**{key: _FIELDS[key](key, item) for key, item in value.items()})


def _set_of(parse: Callable[[str, Any], Any]) -> Callable[[str, Any], frozenset[Any]]:
    def parse_set(key: str, value: Any) -> frozenset[Any]:
        if not isinstance(value, list):
            raise EncodingError(f"{key} of a policy", expected="a list", actual=type(value).__name__)
        return frozenset(parse(key, item) for item in value)

    return parse_set


def _bytes(key: str, value: Any) -> bytes:
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise EncodingError(f"{key} of a policy", expected="hexadecimal in lower case", actual=value)
    return bytes.fromhex(value)


def _flag(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise EncodingError(f"{key} of a policy", expected="true or false", actual=value)
    return value


def _name_in(names: Mapping[str, Any]) -> Callable[[str, Any], Any]:
    def parse_name(key: str, value: Any) -> Any:
        if not isinstance(value, str) or value not in names:
            raise UnknownNameError(f"value of {key} of a policy", known=list(names), actual=value)
        return names[value]

    return parse_name


def _registers(key: str, value: Any) -> dict[str, frozenset[bytes]]:
    if not isinstance(value, dict):
        raise EncodingError(f"{key} of a policy", expected="a map", actual=type(value).__name__)
    parse = _set_of(_bytes)
    return {name: parse(f"{key}.{name}", values) for name, values in value.items()}


_FIELDS: dict[str, Callable[[str, Any], Any]] = {
    "measurements": _set_of(_bytes),
    "report_data": _bytes,
    "root_kinds": _set_of(_name_in(_KINDS)),
    "allow_simulated_quotes": _flag,
    "accept_statuses": _set_of(_name_in(_STATUSES)),
    "registers": _registers,
    "service_tds": _set_of(_bytes),
    "insecure_without_collateral": _flag,
    "insecure_without_reference_values": _flag,
    "insecure_without_binding": _flag,
}
