"""What verifying evidence found: every check with what it saw, and the facts that are authentic if all of them held.

Responsible for: the values that verification hands to policies, reports and people.
Must not know:   how anything is checked, and whether it is acceptable anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from protocol.attestation.trust import RootKind
from protocol.errors import VerificationError

if TYPE_CHECKING:  # collateral.py makes Checks, so at run time this page comes before it
    from protocol.attestation.tcb import TcbStatus

VERIFIER = "veriflock attestation 1"
"""Which recipe made a result; the number changes when a check is added, removed or decides otherwise."""


class Format(StrEnum):
    """What kind of evidence it is: the hardware, and the version of its layout."""

    SGX_V3 = "sgx-v3"
    SGX_V4 = "sgx-v4"
    SGX_V5 = "sgx-v5"
    TDX_V4 = "tdx-v4"
    TDX_V5 = "tdx-v5"
    NITRO = "nitro"


STEPS: Mapping[int, str] = MappingProxyType(
    {
        1: "structure",
        2: "chain",
        3: "revocation",
        4: "collateral",
        5: "QE report",
        6: "signature",
        7: "TCB level",
        8: "TCB status",
        9: "body",
        10: "binding",
        11: "result",
    }
)
"""The recipe's steps by number; `verify.py` says what each of them demands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that held, and what was seen."""

    step: int
    name: str
    saw: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotChecked:
    """One step that was not done, and what that leaves open."""

    step: int
    name: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CollateralFacts:
    """Which collateral was used, so that anybody can tell an older one from a newer."""

    sha256: bytes
    """Of its canonical JSON (`encode_collateral`); 32 bytes."""
    tcb_info: bytes
    """SHA-256 of the signed text of the TCB info; 32 bytes."""
    qe_identity: bytes
    """SHA-256 of the signed text of the QE identity; 32 bytes."""
    root_crl_number: int
    pck_crl_number: int
    tcb_evaluation_number: int
    """`tcbEvaluationDataNumber`: the smaller of the TCB info's and the QE identity's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What evidence says, as far as one could read; None where that did not come to light.

    Nothing here is authentic by itself: the checks beside it say how far that was established.
    """

    format: Format | None = None
    root_kind: RootKind | None = None
    """From the verifier's trust store, never from the evidence."""
    root_key_hash: bytes | None = None
    """SHA-256 of the root's public key X || Y."""
    tcb_status: TcbStatus | None = None
    """None without collateral, and for hardware that has no such thing (Nitro)."""
    advisories: tuple[str, ...] = ()
    """Names of what is known to be wrong with the platform, in order, once each."""
    measurement: bytes | None = None
    """Of the code: MRENCLAVE (32 bytes), MRTD (48) or PCR0 (48)."""
    measurements: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}))
    """Everything that was measured or identifies the code, by its name in lower case: mrenclave, mrsigner, mrtd, rtmr0,
    pcr0 and so on."""
    report_data: bytes | None = None
    """What the enclave chose to say; 64 bytes.  None for Nitro, which has three fields for that."""
    said: Mapping[str, bytes | None] = field(default_factory=lambda: MappingProxyType({}))
    """Nitro's three: public_key, user_data, nonce."""
    not_before_s: int | None = None
    """From when on everything that was used is valid; seconds since 1970."""
    not_after_s: int | None = None
    """Until when everything is; seconds since 1970."""
    is_debug: bool | None = None
    """Whether the platform's owner can read and change the enclave's memory."""
    is_privileged: bool | None = None
    """Whether the enclave holds a key for provisioning or launching, which no application should."""
    is_sept_ve_disabled: bool | None = None
    """TDX: whether a page that the host takes away stops the guest instead of calling a handler in it."""
    service_tds: tuple[bytes, ...] = ()
    """TDX 1.5: measurements of guests that may act on this one; zero where there are none; 48 bytes each."""
    collateral: CollateralFacts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What authentic evidence says.  Authentic is not acceptable: ask a `Policy`."""

    format: Format
    root_kind: RootKind
    root_key_hash: bytes
    tcb_status: TcbStatus | None
    advisories: tuple[str, ...]
    measurement: bytes
    measurements: Mapping[str, bytes]
    report_data: bytes | None
    said: Mapping[str, bytes | None]
    not_before_s: int
    not_after_s: int
    is_debug: bool
    is_privileged: bool
    is_sept_ve_disabled: bool | None
    service_tds: tuple[bytes, ...]
    collateral: CollateralFacts | None
    checks: tuple[Check, ...]
    """What held, in the order of the recipe."""
    not_checked: tuple[NotChecked, ...]
    """What nobody looked at."""
    verifier: str = VERIFIER

    @property
    def is_simulated(self) -> bool:
        """Whether it says nothing about hardware."""
        return self.root_kind is RootKind.SIMULATED


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """Evidence looked at for a person: how far it holds, and what was seen until then.

    One of `error` and `verified` is there; neither where the quote names its platform without certificates and nobody
    supplied them.
    """

    checks: tuple[Check, ...]
    """What held, in the order of the recipe."""
    not_checked: tuple[NotChecked, ...]
    """What could not be looked at, for want of collateral or a nonce."""
    facts: Facts
    """What could be read until then."""
    error: VerificationError | None
    """The first check that failed."""
    verified: Verified | None

    @property
    def is_complete(self) -> bool:
        """Whether authenticity was established or refuted; False where something was missing, which is neither."""
        return self.error is not None or all(entry.step == 10 for entry in self.not_checked)
