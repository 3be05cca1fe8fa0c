"""Is this authentic quote acceptable here?

Responsible for: the reference values of one relying party, and comparing a verified quote with them.
Must not know:   how a quote is verified.

Nothing has a default that accepts more: a policy without measurements or without report data can't be built, and
every choice that weakens it is a word at the call site.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.attestation.attester import REPORT_DATA_BYTES
from protocol.attestation.trust import RootKind, TrustStore
from protocol.attestation.verify import VerifiedQuote, verify_quote
from protocol.errors import LengthError, MalformedError, PolicyError


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What one relying party accepts.  Debug enclaves and those with a platform's keys: never, so there is no field."""

    measurements: frozenset[bytes]
    """MRENCLAVE values that may do this work (the consortium's vote); at least one, 32 bytes each."""

    report_data: bytes
    """What the enclave must have said, computed from claims with the relying party's own nonce; 64 bytes."""

    root_kinds: frozenset[RootKind] = frozenset({RootKind.INTEL})
    """Kinds of hardware.  The simulation is none; it has the next field."""

    allow_simulated_quotes: bool = False
    """Also accept quotes under a simulated root, which say nothing about hardware."""

    insecure_without_collateral: bool = False
    """Also accept quotes of which nobody knows whether they are revoked or their platform is up to date."""

    def __post_init__(self) -> None:
        if not self.measurements:
            raise MalformedError("a policy without measurements accepts nothing")
        for measurement in self.measurements:
            if len(measurement) != 32:
                raise LengthError("length of a measurement", expected=32, actual=len(measurement))
        if len(self.report_data) != REPORT_DATA_BYTES:
            raise LengthError("length of report data", expected=REPORT_DATA_BYTES, actual=len(self.report_data))
        if RootKind.SIMULATED in self.root_kinds:
            raise MalformedError("root kinds of a policy", expected="hardware; allow_simulated_quotes for the rest")


def check_policy(verified: VerifiedQuote, policy: Policy) -> None:
    """Returns when the quote is acceptable.  Raises PolicyError with the first reason why not."""
    if verified.is_simulated and not policy.allow_simulated_quotes:
        raise PolicyError(
            "kind of the quote's root",
            expected=_names(policy.root_kinds),
            actual="simulated: says nothing about hardware",
        )
    if not verified.is_simulated and verified.root_kind not in policy.root_kinds:
        raise PolicyError(
            "kind of the quote's root", expected=_names(policy.root_kinds), actual=verified.root_kind.name.lower()
        )
    if verified.is_debug:
        raise PolicyError("debug flag of the enclave", expected="clear", actual="set")
    if verified.is_privileged:
        raise PolicyError("provisioning and launch keys of the enclave", expected="none", actual="some")
    if verified.measurement not in policy.measurements:
        allowed = ", ".join(sorted(measurement.hex() for measurement in policy.measurements))
        raise PolicyError("measurement of the enclave", expected=f"one of {allowed}", actual=verified.measurement)
    if verified.report_data != policy.report_data:
        raise PolicyError("report data of the enclave", expected=policy.report_data, actual=verified.report_data)
    # Binding was just done above, with this policy's own value; only collateral can be missing.
    missing = [entry for entry in verified.not_checked if entry.step != 10]
    if missing and not policy.insecure_without_collateral:
        steps = ", ".join(f"{entry.step} {entry.name}" for entry in missing)
        raise PolicyError("steps of the verification that were not done", expected="none", actual=steps)


def accept_quote(data: bytes, *, policy: Policy, trust_store: TrustStore, now_s: int) -> VerifiedQuote:
    """Verify, then decide: what a participant does before it seals anything.

    Raises: MalformedError, VerificationError, PolicyError.
    """
    verified = verify_quote(data, report_data=policy.report_data, trust_store=trust_store, now_s=now_s)
    check_policy(verified, policy)
    return verified


def _names(kinds: frozenset[RootKind]) -> str:
    return ", ".join(sorted(kind.name.lower() for kind in kinds)) or "none"
