"""Is this evidence authentic?  One recipe, in numbered steps; the first that fails is the answer.

Responsible for: SGX and TDX quotes with their collateral, and what that establishes; telling evidence apart.
Must not know:   what anyone wants to accept (`policy.py`), files, clocks, where bytes come from.

     1  structure     one quote of version 3, 4 or 5, nothing left over but zero padding      `quote.py`
     2  chain         leaf, CA, root: signatures, names, key ids, constraints, usage, validity; root's key is trusted
     3  revocation    CRLs of the root and of the leaf's CA, current: nobody who signed here is revoked
     4  collateral    TCB info and QE identity: signed by the root's TCB signer, current, for this kind of hardware
     5  QE report     signed by the PCK; the QE is the one of the QE identity; it vouches for this attestation key
     6  signature     header and body are signed by that attestation key
     7  TCB level     the platform is the one of the TCB info, and the highest level that it reaches is this
     8  TCB status    platform, QE and TDX module together; advisories of all
     9  body          initialised, reserved parts zero, processor state that exists
    10  binding       report data is what the caller computed from the claims and its own nonce
    11  result        the facts, their window of time, every check with what it saw

A status, a debug flag or a guest that others may act on is a fact here and a matter for policies.  Without collateral
steps 3, 4, 7 and 8 can't be done; only the function that says `insecure` leaves them out, they stand in
`Verified.not_checked`, and the strict policy refuses evidence for it.  The same holds for step 10.

Total: any bytes give a `Verified`, or VerificationError with the step that noticed ("quote 5").  Bounded: a quote has
at most 32 KiB, collateral at most 1 MiB, and there are at most twelve signatures.

Source: Intel, "SGX Data Center Attestation Primitives: Quote Verification", 4.1.2.4; Nitro documents: `nitro.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, TypeVar

from protocol.attestation import nitro
from protocol.attestation.certificates import verify_ecdsa
from protocol.attestation.collateral import (
    Collateral,
    LeastNumbers,
    VerifiedCollateral,
    check_3_revocation,
    check_4_collateral,
    parse_collateral,
)
from protocol.attestation.layouts import TdReport
from protocol.attestation.pck_chain import Chain, ChainMissingError, check_2_chain
from protocol.attestation.quote import Quote, parse_quote
from protocol.attestation.reports import body_facts, check_5_qe_report, check_9_body
from protocol.attestation.result import STEPS, Check, Examination, Facts, NotChecked, Verified
from protocol.attestation.tcb import Tee
from protocol.attestation.tcb_levels import check_7_tcb_level, check_8_tcb_status
from protocol.attestation.trust import TrustStore
from protocol.errors import MalformedError, SignatureError, VerificationError
from protocol.hashing import sha256

NO_COLLATERAL: tuple[NotChecked, ...] = (
    NotChecked(step=3, name=STEPS[3], why="no CRLs: a revoked platform or CA is not noticed"),
    NotChecked(step=4, name=STEPS[4], why="no TCB info and QE identity: nothing says that they are current"),
    NotChecked(step=7, name=STEPS[7], why="no TCB info: the platform may lack security updates"),
    NotChecked(step=8, name=STEPS[8], why="no TCB info: advisories are unknown"),
)
UNBOUND = NotChecked(step=10, name=STEPS[10], why="nothing to compare the report data with: may be old, or another's")

NONCE_BYTES = 64
"""Longest nonce of a quote: all of its report data."""

_QUOTE_VERSIONS = (b"\3\0", b"\4\0", b"\5\0")

_Value = TypeVar("_Value")


def verify_quote(
    data: bytes,
    *,
    collateral: Collateral,
    report_data: bytes,
    trust_store: TrustStore,
    now_s: int,
    issuer_chain: bytes | None = None,
    least: LeastNumbers | None = None,
) -> Verified:
    """The whole recipe.

    collateral:   CRLs, TCB info and QE identity for this quote's platform.
    report_data:  64 bytes that the quote must bind, computed by the caller from claims that hold its own nonce.
    trust_store:  roots and their kinds.
    now_s:        the time at which everything must be valid; seconds since 1970.
    issuer_chain: PEM of (leaf,) CA and root for a quote that carries its leaf alone (or none); the collateral's
                  `pck_certificate_chain` does as well.
    least:        numbers of the newest collateral seen before; older is refused.
    Raises: VerificationError (with `check` "quote <step>").
    """
    # A caller without a type checker must not get the other function by way of None.
    if collateral is None or report_data is None:
        raise TypeError("verify_quote needs collateral and report data; insecure_verify_quote does without")
    return Recipe(data, collateral, report_data, trust_store, now_s, issuer_chain, least).run()


def insecure_verify_quote(
    data: bytes,
    *,
    collateral: Collateral | None,
    report_data: bytes | None,
    trust_store: TrustStore,
    now_s: int,
    issuer_chain: bytes | None = None,
    least: LeastNumbers | None = None,
) -> Verified:
    """The recipe, for None without what it is for: it may be revoked, out of date, old, or made for somebody else.

    Raises: as `verify_quote`.
    """
    return Recipe(data, collateral, report_data, trust_store, now_s, issuer_chain, least).run()


@dataclass
class Recipe:
    """One run over one quote; keeps what it has seen, so that a failure can be explained."""

    data: bytes
    collateral: Collateral | None
    report_data: bytes | None
    trust_store: TrustStore
    now_s: int
    issuer_chain: bytes | None = None
    least: LeastNumbers | None = None
    checks: list[Check] = field(default_factory=list)
    facts: Facts = field(default_factory=Facts)

    @property
    def not_checked(self) -> tuple[NotChecked, ...]:
        """What this run leaves out."""
        missing = NO_COLLATERAL if self.collateral is None else ()
        return missing if self.report_data is not None else (*missing, UNBOUND)

    def run(self) -> Verified:
        """All steps in order.  Raises VerificationError."""
        quote = self._do(1, check_1_structure, self.data)
        self._note(**body_facts(quote))
        chain = self._do(2, check_2_chain, quote, self._issuers(), self.trust_store, self.now_s)
        self._note(root_kind=chain.root_kind, root_key_hash=chain.root_key_hash)
        self._note(not_before_s=chain.not_before_s, not_after_s=chain.not_after_s)
        current = None if self.collateral is None else self._current(self.collateral, quote, chain)
        qe_level = self._do(5, check_5_qe_report, quote, chain, current and current.qe_identity)
        self._do(6, check_6_signature, quote)
        if current is not None and qe_level is not None:
            guest = quote.body if isinstance(quote.body, TdReport) else None
            match = self._do(7, check_7_tcb_level, current.tcb_info, chain.platform, guest)
            status, advisories, check = check_8_tcb_status(match, qe_level)
            self.checks.append(check)
            self._note(tcb_status=status, advisories=advisories)
        self._do(9, check_9_body, quote)
        if self.report_data is not None:
            self._do(10, check_10_binding, quote, self.report_data)
        return step_11_result(self.facts, self.checks, self.not_checked)

    def _current(self, collateral: Collateral, quote: Quote, chain: Chain) -> VerifiedCollateral:
        """Steps 3 and 4: nobody is revoked, and what Intel knows about such platforms today."""
        tee = Tee.TDX if isinstance(quote.body, TdReport) else Tee.SGX
        links = {"leaf": chain.leaf, "authority": chain.authority, "root": chain.root}
        when = {"now_s": self.now_s, "least": self.least}
        revocation = self._do(3, check_3_revocation, collateral, **links, **when)
        current = self._do(4, check_4_collateral, collateral, revocation, tee=tee, root=chain.root, **when)
        self._note(
            not_before_s=max(chain.not_before_s, current.not_before_s),
            not_after_s=min(chain.not_after_s, current.not_after_s),
            collateral=current.facts,
        )
        return current

    def _issuers(self) -> bytes | None:
        if self.issuer_chain is not None or self.collateral is None:
            return self.issuer_chain
        return self.collateral.pck_certificate_chain

    def _do(self, step: int, function: Callable[..., tuple[_Value, Check]], *given: Any, **named: Any) -> _Value:
        """One step; bytes that are not even well-formed fail the step that reads them."""
        try:
            value, check = function(*given, **named)
        except MalformedError as error:
            raise VerificationError(
                error.what, check=f"quote {step}", expected=error.expected, actual=error.actual
            ) from error
        self.checks.append(check)
        return value

    def _note(self, **facts: Any) -> None:
        self.facts = replace(self.facts, **facts)


def check_1_structure(data: bytes) -> tuple[Quote, Check]:
    """Step 1: the bytes are one quote.  Raises MalformedError."""
    quote = parse_quote(data)
    behind = f"{quote.padding} zero bytes behind it" if quote.padding else "nothing left over"
    saw = f"{quote.format} quote of {len(data) - quote.padding} bytes, {behind}"
    return quote, Check(step=1, name=STEPS[1], saw=saw)


def check_6_signature(quote: Quote) -> tuple[None, Check]:
    """Step 6: header and body are signed by the attestation key.  Raises SignatureError."""
    if not verify_ecdsa(quote.attestation_key, quote.signature, quote.signed):
        raise SignatureError("signature of the quote, by the attestation key", check="quote 6")
    return None, Check(step=6, name=STEPS[6], saw=f"attestation key {sha256(quote.attestation_key).hex()}")


def check_10_binding(quote: Quote, report_data: bytes) -> tuple[None, Check]:
    """Step 10: the enclave said exactly what the caller computed.  Raises VerificationError."""
    if quote.body.report_data != report_data:
        raise VerificationError(
            "report data of the quote", check="quote 10", expected=report_data, actual=quote.body.report_data
        )
    return None, Check(step=10, name=STEPS[10], saw=f"report data {report_data.hex()}")


def step_11_result(facts: Facts, checks: list[Check], not_checked: tuple[NotChecked, ...]) -> Verified:
    """Step 11: what is authentic now, with every check that says so; never a bare yes."""
    known = {entry.name: getattr(facts, entry.name) for entry in fields(facts)}
    known["measurements"] = MappingProxyType(known["measurements"])
    return Verified(**known, checks=tuple(checks), not_checked=not_checked)


def examine(
    data: bytes, *, collateral_json: bytes | None, nonce: bytes | None, trust_store: TrustStore, now_s: int
) -> Examination:
    """What holds of the evidence in `data`, and the first thing that doesn't.  Never raises.

    collateral_json: as `parse_collateral` reads it; None leaves steps 3, 4, 7 and 8 undone.
    nonce:           what the evidence must repeat: a quote in its report data, filled up with zeros to 64 bytes; a
                     Nitro document in its nonce.  None leaves step 10 undone.
    """
    # A Nitro document is CBOR, or a frame around it, none of which starts with a quote's version.
    if data[:2] not in _QUOTE_VERSIONS and _may_be_nitro(data):
        return _examine_nitro(data, nonce, trust_store, now_s)
    return _examine_quote(data, collateral_json, nonce, trust_store, now_s)


def _may_be_nitro(data: bytes) -> bool:
    return data[:1] in (b"\x84", b"\xd2", b"\xa1") or data[:2] == b"\0\2"


def _examine_quote(
    data: bytes, collateral_json: bytes | None, nonce: bytes | None, trust_store: TrustStore, now_s: int
) -> Examination:
    collateral, malformed = None, None
    try:
        collateral = None if collateral_json is None else parse_collateral(collateral_json)
    except MalformedError as error:
        malformed = VerificationError(error.what, check="quote 4", expected=error.expected, actual=error.actual)
    report_data = None if nonce is None else nonce.ljust(NONCE_BYTES, b"\0")
    recipe = Recipe(data, collateral, report_data, trust_store, now_s)
    verified, failed, not_checked = None, None, recipe.not_checked
    try:
        verified = recipe.run()
    except ChainMissingError as error:
        not_checked = _nothing_but(recipe.checks, f"{error.what}: none in the quote, and none supplied with it")
    except VerificationError as error:
        failed = error
    checks = tuple(recipe.checks)
    # Collateral that can't be read fails step 4; a quote that is refused before that is refused for its own fault.
    if malformed is not None and not (failed is not None and failed.check in ("quote 1", "quote 2")):
        verified, failed, not_checked = None, malformed, ()
        checks = tuple(check for check in checks if check.step < 3)
    return Examination(checks=checks, not_checked=not_checked, facts=recipe.facts, error=failed, verified=verified)


def _nothing_but(checks: list[Check], why: str) -> tuple[NotChecked, ...]:
    done = {check.step for check in checks}
    return tuple(NotChecked(step=step, name=STEPS[step], why=why) for step in range(1, 11) if step not in done)


def _examine_nitro(data: bytes, nonce: bytes | None, trust_store: TrustStore, now_s: int) -> Examination:
    checks: list[Check] = []
    facts, verified, failed = Facts(), None, None
    try:
        document, check = nitro.check_1_structure(data)
        checks.append(check)
        facts = document.facts
        chain, check = nitro.check_2_chain(document, trust_store, now_s)
        checks.append(check)
        facts = replace(
            facts,
            root_kind=chain.root_kind,
            root_key_hash=chain.root_key_hash,
            not_before_s=chain.not_before_s,
            not_after_s=chain.not_after_s,
        )
        checks += (nitro.check_6_signature(document, chain), nitro.check_9_body(document))
        verified = nitro.verify_nitro(data, trust_store=trust_store, now_s=now_s, nonce=nonce)
    except VerificationError as error:
        failed = error
    return Examination(
        checks=tuple(checks) if verified is None else verified.checks,
        not_checked=() if nonce is not None else (nitro.UNBOUND,),
        facts=facts,
        error=failed,
        verified=verified,
    )
