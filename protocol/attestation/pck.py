"""Intel's extension of a PCK certificate: which platform the key belongs to, and at which security version.

Responsible for: the content of extension 1.2.840.113741.1.13.1, strictly.
Must not know:   certificates, TCB info, or which security versions are good enough.

Source: Intel, "SGX PCK Certificate and Certificate Revocation List Profile Specification", section 1.3.5.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.attestation import der as strict
from protocol.errors import EncodingError, LengthError

COMPONENTS = 16
"""Security versions of a platform's parts."""

_PREFIX = bytes.fromhex("2a864886f84d010d01")
"""Of every object identifier inside: the extension's own."""

_PPID, _TCB, _PCE_ID, _FMSPC, _SGX_TYPE, _INSTANCE, _CONFIGURATION = range(1, 8)
_PROCESSOR_FIELDS = (_PPID, _TCB, _PCE_ID, _FMSPC, _SGX_TYPE)
_PLATFORM_FIELDS = (*_PROCESSOR_FIELDS, _INSTANCE, _CONFIGURATION)
_PCE_SVN, _CPU_SVN = COMPONENTS + 1, COMPONENTS + 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PckConfiguration:
    """How a multi-package platform is set up."""

    is_dynamic: bool
    """Packages may be added after manufacture."""
    caches_keys: bool
    """Intel keeps the platform's root keys."""
    has_smt: bool
    """Simultaneous multithreading is on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PckExtension:
    """What Intel says about the platform that holds a PCK."""

    ppid: bytes
    """Identifies the platform's provisioning; 16 bytes."""
    component_svns: tuple[int, ...]
    """Security versions of the sixteen components; 0 to 255 each."""
    pce_svn: int
    """Security version of the provisioning certification enclave; uint16."""
    cpu_svn: bytes
    """The processor's own form of the component versions; 16 bytes."""
    pce_id: bytes
    """Which provisioning certification enclave; 2 bytes."""
    fmspc: bytes
    """Family, model, stepping, platform type and customer; 6 bytes."""
    sgx_type: int
    """0 standard, 1 scalable, 2 scalable with integrity."""
    platform_instance: bytes | None
    """Of a multi-package platform, 16 bytes; None in a leaf of the Processor CA."""
    configuration: PckConfiguration | None
    """None in a leaf of the Processor CA."""


def parse_pck_extension(data: bytes) -> PckExtension:
    """The extension of a leaf of the Processor CA (five fields) or the Platform CA (seven), each field once.

    Raises: MalformedError for everything else.
    """
    fields = _parse_fields(data, _PREFIX, "SGX extension")
    if set(fields) not in (set(_PROCESSOR_FIELDS), set(_PLATFORM_FIELDS)):
        numbers = ", ".join(str(number) for number in sorted(fields))
        raise EncodingError("fields of the SGX extension", expected="1 to 5 or 1 to 7", actual=numbers)
    tcb = _parse_fields(fields[_TCB], _PREFIX + bytes([_TCB]), "TCB of the SGX extension")
    if set(tcb) != set(range(1, _CPU_SVN + 1)):
        numbers = ", ".join(str(number) for number in sorted(tcb))
        raise EncodingError("fields of the TCB of the SGX extension", expected="1 to 18", actual=numbers)
    sgx_type = strict.only(fields[_SGX_TYPE], strict.ENUMERATED, "SGX type")
    is_platform = _INSTANCE in fields
    return PckExtension(
        ppid=_octets(fields[_PPID], 16, "PPID"),
        component_svns=tuple(
            _svn(tcb[number], 255, f"security version of component {number}") for number in range(1, COMPONENTS + 1)
        ),
        pce_svn=_svn(tcb[_PCE_SVN], 65535, "PCESVN"),
        cpu_svn=_octets(tcb[_CPU_SVN], 16, "CPUSVN"),
        pce_id=_octets(fields[_PCE_ID], 2, "PCEID"),
        fmspc=_octets(fields[_FMSPC], 6, "FMSPC"),
        sgx_type=strict.integer(sgx_type, "SGX type", least=0, most=2),
        platform_instance=_octets(fields[_INSTANCE], 16, "platform instance") if is_platform else None,
        configuration=_parse_configuration(fields[_CONFIGURATION]) if is_platform else None,
    )


def _parse_fields(data: bytes, prefix: bytes, what: str) -> dict[int, bytes]:
    """The values (DER) of a SEQUENCE of pairs by the last number of their object identifiers, none twice."""
    found: dict[int, bytes] = {}
    for pair in strict.elements(strict.only(data, strict.SEQUENCE, what), strict.SEQUENCE, f"field of the {what}"):
        kind, value = strict.split(pair, strict.OID, f"field of the {what}")
        oid = strict.oid(strict.only(kind, strict.OID, f"field of the {what}"), f"field of the {what}")
        if len(oid) != len(prefix) + 1 or not oid.startswith(prefix):
            raise EncodingError(f"unknown field of the {what}", actual=strict.dotted(oid))
        if oid[-1] in found:
            raise EncodingError(f"field {strict.dotted(oid)} of the {what}", expected="once", actual="twice")
        found[oid[-1]] = value
    return found


def _parse_configuration(data: bytes) -> PckConfiguration:
    what = "configuration of the SGX extension"
    fields = _parse_fields(data, _PREFIX + bytes([_CONFIGURATION]), what)
    if set(fields) != {1, 2, 3}:
        numbers = ", ".join(str(number) for number in sorted(fields))
        raise EncodingError(f"fields of the {what}", expected="1 to 3", actual=numbers)
    is_dynamic, caches_keys, has_smt = (
        strict.boolean(strict.only(fields[number], strict.BOOLEAN, what), what) for number in (1, 2, 3)
    )
    return PckConfiguration(is_dynamic=is_dynamic, caches_keys=caches_keys, has_smt=has_smt)


def _octets(data: bytes, size: int, what: str) -> bytes:
    value = strict.only(data, strict.OCTET_STRING, what)
    if len(value) != size:
        raise LengthError(f"length of the {what}", expected=size, actual=len(value))
    return value


def _svn(data: bytes, most: int, what: str) -> int:
    return strict.integer(strict.only(data, strict.INTEGER, what), what, least=0, most=most)
