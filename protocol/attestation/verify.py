"""Is this quote authentic?  The recipe, one function for each numbered step.

Responsible for: steps 1, 2, 5, 6, 9 and 10 below.
Must not know:   whether an authentic quote is acceptable (`policy.py`); clocks, files, sockets.

    1  structure     version 3, ECDSA-P256, Intel's QE vendor id, every length exact, nothing behind the end
    2  chain         leaf, CA, root; algorithms, names, key ids, constraints, usage, validity; root's key is trusted
    3  revocation    not done: needs CRLs
    4  collateral    not done: needs the signed TCB info and QE identity
    5  QE report     signed by the PCK; the QE is what the root's kind of platform has; it vouches for this key
    6  quote         signed by that attestation key
    7  TCB level     not done: needs the TCB info
    8  TCB status    not done: needs the TCB info
    9  body          initialised, reserved parts zero, processor state that exists
    10 binding       report data is what the caller computed from the claims and its own nonce

The steps not done stand in `VerifiedQuote.not_checked` and the strict policy refuses a quote for it.

Total: any bytes give a `VerifiedQuote`, or MalformedError (the bytes are not such a quote), or VerificationError with
the step that noticed ("quote 5").  Bounded: a quote has at most 32 KiB, three certificates and five signatures.

Source: Intel, "SGX Data Center Attestation Primitives: Quote Verification", 4.1.2.4.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.attestation.certificates import Certificate, parse_certificate, parse_pem_chain, verify_ecdsa
from protocol.attestation.quote import (
    FLAG_DEBUG,
    FLAG_EINITTOKEN_KEY,
    FLAG_INIT,
    FLAG_PROVISION_KEY,
    KNOWN_FLAGS,
    Quote,
    ReportBody,
    parse_quote,
)
from protocol.attestation.trust import RootKind, TrustStore
from protocol.errors import SignatureError, VerificationError
from protocol.hashing import sha256

INTEL_QE_SIGNER = bytes.fromhex("8c4f5775d796503e96137f77c68a829a0056ac8ded70140b081b094490c57bff")
"""MRSIGNER of Intel's quoting enclave, the same in every QE identity that Intel has signed."""
SIMULATED_QE_SIGNER = sha256(b"simulated qe")
QE_PRODUCT = 1
"""ISVPRODID of the SGX quoting enclave (2 is the one for TDX)."""

XFRM_LEGACY = 0b11
"""x87 and SSE state; the processor refuses an enclave without."""


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


NO_COLLATERAL: tuple[NotChecked, ...] = (
    NotChecked(step=3, name="revocation", why="no CRLs: a revoked platform or CA is not noticed"),
    NotChecked(step=4, name="collateral", why="no TCB info and QE identity: nothing says that they are current"),
    NotChecked(step=7, name="TCB level", why="no TCB info: the platform may lack security updates"),
    NotChecked(step=8, name="TCB status", why="no TCB info: advisories are unknown"),
)
UNBOUND = NotChecked(step=10, name="binding", why="nothing to compare the report data with: may be old, or another's")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedQuote:
    """What an authentic quote says.  Authentic is not acceptable: ask a `Policy`."""

    quote: Quote
    root_kind: RootKind
    """From the verifier's trust store, never from the evidence."""
    root_key_hash: bytes
    """SHA-256 of the root's public key; 32 bytes."""
    not_before_s: int
    """From when on all three certificates are valid; seconds since 1970."""
    not_after_s: int
    """Until when all three are."""
    checks: tuple[Check, ...]
    """What held, in the order of the recipe."""
    not_checked: tuple[NotChecked, ...]
    """What nobody looked at."""

    @property
    def measurement(self) -> bytes:
        """MRENCLAVE; 32 bytes."""
        return self.quote.body.mrenclave

    @property
    def report_data(self) -> bytes:
        """What the enclave chose to say; 64 bytes."""
        return self.quote.body.report_data

    @property
    def is_simulated(self) -> bool:
        """Whether it says nothing about hardware."""
        return self.root_kind is RootKind.SIMULATED

    @property
    def is_debug(self) -> bool:
        """Whether the platform's owner can read and change the enclave's memory."""
        return bool(self.quote.body.flags & FLAG_DEBUG)

    @property
    def is_privileged(self) -> bool:
        """Whether the enclave holds a key for provisioning or launching, which no application should."""
        return bool(self.quote.body.flags & (FLAG_PROVISION_KEY | FLAG_EINITTOKEN_KEY))


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A chain that ends in a trusted root."""

    leaf: Certificate
    authority: Certificate
    root: Certificate
    root_kind: RootKind
    root_key_hash: bytes
    not_before_s: int
    not_after_s: int


def verify_quote(data: bytes, *, report_data: bytes, trust_store: TrustStore, now_s: int) -> VerifiedQuote:
    """The recipe.

    report_data: 64 bytes that the quote must bind, computed by the caller from claims that hold its own nonce.
    trust_store: roots and their kinds.
    now_s:       the time at which the chain must be valid; seconds since 1970.
    Raises: MalformedError, VerificationError (with `check` "quote <step>").
    """
    quote, chain, checks = _verify_unbound(data, trust_store, now_s)
    checks.append(check_10_binding(quote, report_data))
    return _verified(quote, chain, checks, NO_COLLATERAL)


def insecure_verify_unbound_quote(data: bytes, *, trust_store: TrustStore, now_s: int) -> VerifiedQuote:
    """The recipe without step 10, for looking at a quote: it may be old, and made for somebody else.

    Raises: as `verify_quote`.
    """
    quote, chain, checks = _verify_unbound(data, trust_store, now_s)
    return _verified(quote, chain, checks, (*NO_COLLATERAL, UNBOUND))


def _verify_unbound(data: bytes, trust_store: TrustStore, now_s: int) -> tuple[Quote, Chain, list[Check]]:
    quote, structure = check_1_structure(data)
    chain, links = check_2_chain(quote, trust_store, now_s)
    qe = check_5_qe_report(quote, chain)
    signature = check_6_signature(quote)
    body = check_9_body(quote)
    return quote, chain, [structure, links, qe, signature, body]


def _verified(quote: Quote, chain: Chain, checks: list[Check], not_checked: tuple[NotChecked, ...]) -> VerifiedQuote:
    return VerifiedQuote(
        quote=quote,
        root_kind=chain.root_kind,
        root_key_hash=chain.root_key_hash,
        not_before_s=chain.not_before_s,
        not_after_s=chain.not_after_s,
        checks=tuple(checks),
        not_checked=not_checked,
    )


def check_1_structure(data: bytes) -> tuple[Quote, Check]:
    """Step 1: the bytes are one SGX quote of version 3.  Raises MalformedError."""
    quote = parse_quote(data)
    return quote, Check(step=1, name="structure", saw=f"SGX quote v3 of {len(data)} bytes, nothing left over")


def check_2_chain(quote: Quote, trust_store: TrustStore, now_s: int) -> tuple[Chain, Check]:
    """Step 2: leaf, CA and root, each issued by the next, valid now, the root trusted by its key.

    Raises: MalformedError (PEM or a certificate), VerificationError, SignatureError.
    """
    ders = parse_pem_chain(quote.certificates, count=3)
    leaf, authority, root = (parse_certificate(der) for der in ders)
    root_key_hash = sha256(root.public_key)
    root_kind = trust_store.kind_of(root_key_hash)
    if root_kind is None:
        trusted = ", ".join(f"{entry.key_hash.hex()} ({entry.kind.name.lower()})" for entry in trust_store.roots)
        raise VerificationError("key of the root", check="quote 2", expected=f"one of {trusted}", actual=root_key_hash)
    # From the root down: a certificate is believed before what it signed is looked at.
    _check_role("root", root, path_length=1)
    _check_issued("root", root, root)
    _check_role("CA", authority, path_length=0)
    _check_issued("CA", authority, root)
    _check_leaf(leaf)
    _check_issued("PCK leaf", leaf, authority)
    for name, certificate in (("root", root), ("CA", authority), ("PCK leaf", leaf)):
        _check_valid(name, certificate, now_s)
    chain = Chain(
        leaf=leaf,
        authority=authority,
        root=root,
        root_kind=root_kind,
        root_key_hash=root_key_hash,
        not_before_s=max(leaf.not_before_s, authority.not_before_s, root.not_before_s),
        not_after_s=min(leaf.not_after_s, authority.not_after_s, root.not_after_s),
    )
    window = f"valid {chain.not_before_s} to {chain.not_after_s}"
    saw = f"root {root_key_hash.hex()} of kind {root_kind.name.lower()}, {window}"
    return chain, Check(step=2, name="chain", saw=saw)


def check_5_qe_report(quote: Quote, chain: Chain) -> Check:
    """Step 5: a genuine quoting enclave says that the attestation key is its own.

    The QE's signer and product are pinned by the kind of the root, since without them every enclave that may use the
    provisioning key could be a quoting enclave; its security version waits for step 4.
    Raises: SignatureError, VerificationError.
    """
    report = quote.qe_report
    if not verify_ecdsa(chain.leaf.public_key, quote.qe_report_signature, report.encode()):
        raise SignatureError("signature of the QE report, by the PCK", check="quote 5")
    _check_report("QE report", report, "quote 5")
    if report.flags & FLAG_DEBUG:
        raise VerificationError("debug flag of the QE", check="quote 5", expected="clear", actual="set")
    signers = {RootKind.INTEL: INTEL_QE_SIGNER, RootKind.SIMULATED: SIMULATED_QE_SIGNER}
    if report.mrsigner != signers.get(chain.root_kind):
        expected = signers.get(chain.root_kind, "no SGX platform has this root")
        raise VerificationError("signer of the QE", check="quote 5", expected=expected, actual=report.mrsigner)
    if report.isv_prod_id != QE_PRODUCT:
        raise VerificationError("product of the QE", check="quote 5", expected=QE_PRODUCT, actual=report.isv_prod_id)
    binding = sha256(quote.attestation_key, quote.qe_auth) + bytes(32)
    if report.report_data != binding:
        raise VerificationError(
            "report data of the QE, which binds the attestation key",
            check="quote 5",
            expected=binding,
            actual=report.report_data,
        )
    return Check(step=5, name="QE report", saw=f"QE {report.mrenclave.hex()} of signer {report.mrsigner.hex()}")


def check_6_signature(quote: Quote) -> Check:
    """Step 6: header and body are signed by the attestation key.  Raises SignatureError."""
    if not verify_ecdsa(quote.attestation_key, quote.signature, quote.signed):
        raise SignatureError("signature of the quote, by the attestation key", check="quote 6")
    return Check(step=6, name="quote signature", saw=f"attestation key {sha256(quote.attestation_key).hex()}")


def check_9_body(quote: Quote) -> Check:
    """Step 9: the body describes an enclave that can exist.  Debug is a fact here; no policy accepts it.

    Raises: VerificationError.
    """
    _check_report("report body", quote.body, "quote 9")
    saw = f"measurement {quote.body.mrenclave.hex()}, flags {quote.body.flags:#x}, xfrm {quote.body.xfrm:#x}"
    return Check(step=9, name="body", saw=saw)


def check_10_binding(quote: Quote, report_data: bytes) -> Check:
    """Step 10: the enclave said exactly what the caller computed.  Raises VerificationError."""
    if quote.body.report_data != report_data:
        raise VerificationError(
            "report data of the quote", check="quote 10", expected=report_data, actual=quote.body.report_data
        )
    return Check(step=10, name="binding", saw=f"report data {report_data.hex()}")


def _check_role(name: str, certificate: Certificate, *, path_length: int) -> None:
    """A CA with exactly the reach that genuine ones have: the root signs CAs, a CA signs leaves."""
    if not certificate.is_ca or certificate.path_length != path_length:
        actual = f"CA {certificate.is_ca}, path length {certificate.path_length}"
        raise VerificationError(
            f"constraints of the {name}", check="quote 2", expected=f"CA True, path length {path_length}", actual=actual
        )
    if not certificate.signs_certificates or not certificate.signs_revocations or certificate.signs_data:
        raise VerificationError(f"key usage of the {name}", check="quote 2", expected="keyCertSign and cRLSign only")


def _check_leaf(leaf: Certificate) -> None:
    """A PCK and nothing else that the same CAs may sign."""
    if leaf.is_ca or leaf.path_length is not None:
        raise VerificationError("constraints of the PCK leaf", check="quote 2", expected="CA False", actual="CA True")
    if not leaf.signs_data or leaf.signs_certificates or leaf.signs_revocations:
        raise VerificationError("key usage of the PCK leaf", check="quote 2", expected="digitalSignature, no CA's")
    if leaf.sgx_extension is None:
        raise VerificationError(
            "role of the PCK leaf", check="quote 2", expected="Intel's SGX extension", actual="none"
        )


def _check_issued(name: str, certificate: Certificate, issuer: Certificate) -> None:
    """Names, key identifiers and signature, all three: an identifier that is absent never skips the signature."""
    if certificate.issuer != issuer.subject:
        raise VerificationError(
            f"issuer's name of the {name}", check="quote 2", expected=issuer.subject, actual=certificate.issuer
        )
    if certificate.authority_key_id != issuer.subject_key_id:
        raise VerificationError(
            f"authority key identifier of the {name}",
            check="quote 2",
            expected=issuer.subject_key_id,
            actual=certificate.authority_key_id,
        )
    if not verify_ecdsa(issuer.public_key, certificate.signature, certificate.tbs):
        raise SignatureError(f"signature of the {name}, by its issuer", check="quote 2")


def _check_valid(name: str, certificate: Certificate, now_s: int) -> None:
    if not certificate.not_before_s <= now_s <= certificate.not_after_s:
        raise VerificationError(
            f"validity of the {name} in seconds since 1970",
            check="quote 2",
            expected=f"{certificate.not_before_s} to {certificate.not_after_s}",
            actual=now_s,
        )


def _check_report(name: str, report: ReportBody, check: str) -> None:
    """What holds for the report of every enclave: the QE's and the quoted one's."""
    if not report.flags & FLAG_INIT:
        raise VerificationError(f"INIT flag of the {name}", check=check, expected="set", actual="clear")
    if report.flags & ~KNOWN_FLAGS:
        raise VerificationError(f"reserved flags of the {name}", check=check, expected=0, actual=hex(report.flags))
    if report.xfrm & XFRM_LEGACY != XFRM_LEGACY:
        raise VerificationError(f"XFRM of the {name}", check=check, expected="x87 and SSE", actual=hex(report.xfrm))
    if any(report.reserved):
        raise VerificationError(f"reserved bytes of the {name}", check=check, expected=0, actual=report.reserved)
