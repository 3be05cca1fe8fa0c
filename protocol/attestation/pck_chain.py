"""Step 2 of the recipe: the chain from a platform's key (the PCK) to a trusted root.

Responsible for: where leaf, CA and root come from, and that they are what they are in genuine chains.
Must not know:   revocation, collateral, and what the PCK signs.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.attestation.certificates import Certificate, parse_certificate, parse_pem_chain
from protocol.attestation.chain import check_ca, check_end_entity, check_issued, check_valid
from protocol.attestation.pck import PckExtension, parse_pck_extension
from protocol.attestation.quote import PCK_LEAF, PEM_CHAIN, Quote
from protocol.attestation.result import STEPS, Check
from protocol.attestation.trust import RootKind, TrustStore
from protocol.errors import VerificationError
from protocol.hashing import sha256

_CHECK = "quote 2"
_BEGIN = b"-----BEGIN CERTIFICATE-----"


class ChainMissingError(VerificationError):
    """The quote names its platform without certificates, and nobody supplied them: could not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A chain that ends in a trusted root."""

    leaf: Certificate
    authority: Certificate
    root: Certificate
    platform: PckExtension
    """What Intel's extension in the leaf says."""
    root_kind: RootKind
    root_key_hash: bytes
    """SHA-256 of X || Y; 32 bytes."""

    @property
    def not_before_s(self) -> int:
        """From when on all three are valid."""
        return max(self.leaf.not_before_s, self.authority.not_before_s, self.root.not_before_s)

    @property
    def not_after_s(self) -> int:
        """Until when all three are."""
        return min(self.leaf.not_after_s, self.authority.not_after_s, self.root.not_after_s)


def check_2_chain(quote: Quote, issuer_chain: bytes | None, trust_store: TrustStore, now_s: int) -> tuple[Chain, Check]:
    """Leaf, CA and root, each issued by the next, valid now, the root trusted by its key.

    issuer_chain: PEM of (leaf,) CA and root, for a quote that lacks them.  What the quote has must not differ.
    Raises: MalformedError (PEM, a certificate, Intel's extension), VerificationError, SignatureError.
    """
    leaf, authority, root = (parse_certificate(der) for der in _ders(quote, issuer_chain))
    root_key_hash = sha256(root.public_key)
    root_kind = trust_store.kind_of(root_key_hash, common_name=root.common_name, organisation=root.organisation)
    if root_kind not in (RootKind.INTEL, RootKind.SIMULATED):
        expected = f"one of {trust_store.describe()}, for SGX and TDX"
        raise VerificationError("key of the root", check=_CHECK, expected=expected, actual=root_key_hash)
    check_links(leaf, authority, root, now_s)
    chain = Chain(
        leaf=leaf,
        authority=authority,
        root=root,
        platform=_platform(leaf, quote),
        root_kind=root_kind,
        root_key_hash=root_key_hash,
    )
    window = f"valid {chain.not_before_s} to {chain.not_after_s}"
    saw = f"root {root_key_hash.hex()} of kind {root_kind.name.lower()}, {leaf.common_name} of {authority.common_name}"
    return chain, Check(step=2, name=STEPS[2], saw=f"{saw}, {window}")


def check_links(leaf: Certificate, authority: Certificate, root: Certificate, now_s: int) -> None:
    """Each issued by the next, in its role, all valid now.  Whether the root is believed is not here.

    Raises: VerificationError, SignatureError.
    """
    # From the root down: a certificate is believed before what it signed is looked at.
    check_ca("root", root, path_length=1, check=_CHECK)
    check_issued("root", root, root, check=_CHECK)
    check_ca("CA", authority, path_length=0, check=_CHECK)
    check_issued("CA", authority, root, check=_CHECK)
    check_end_entity("PCK leaf", leaf, check=_CHECK)
    check_issued("PCK leaf", leaf, authority, check=_CHECK)
    for name, certificate in (("root", root), ("CA", authority), ("PCK leaf", leaf)):
        check_valid(name, certificate, now_s, check=_CHECK)


def _ders(quote: Quote, issuer_chain: bytes | None) -> tuple[bytes, ...]:
    """Leaf, CA and root, DER: the quote's own, completed by what the caller supplied."""
    count = 2 if issuer_chain is not None and issuer_chain.count(_BEGIN) == 2 else 3
    supplied = () if issuer_chain is None else parse_pem_chain(issuer_chain, count=count)
    if quote.certification_type == PEM_CHAIN:
        own = parse_pem_chain(quote.certificates, count=3)
        whole = own
    else:
        own = (quote.certificates,) if quote.certification_type == PCK_LEAF else ()
        whole = own + supplied[len(own) - 3 :]
    if len(whole) != 3:
        raise ChainMissingError(
            "certificates of the quote's platform", check=_CHECK, expected="supplied with it", actual=len(whole)
        )
    # Two chains for one quote: whoever looks at the second must not be told that it was checked.
    if supplied and whole[-len(supplied) :] != supplied:
        raise VerificationError("certificates supplied for the quote", check=_CHECK, expected="those in the quote")
    return whole


def _platform(leaf: Certificate, quote: Quote) -> PckExtension:
    """What Intel says about the platform; a quote that names its platform without certificates means the same one."""
    if leaf.sgx_extension is None:
        raise VerificationError("role of the PCK leaf", check=_CHECK, expected="Intel's SGX extension", actual="none")
    platform = parse_pck_extension(leaf.sgx_extension)
    if quote.certification_type in (PEM_CHAIN, PCK_LEAF):
        return platform
    # PPID, clear for type 1 and else encrypted for Intel alone; then CPUSVN, PCESVN, PCEID.
    named = platform.cpu_svn + platform.pce_svn.to_bytes(2, "little") + platform.pce_id
    if quote.certification_type == 1:
        named = platform.ppid + named
    if quote.certificates[-len(named) :] != named:
        raise VerificationError(
            "platform that the quote names", check=_CHECK, expected=named, actual=quote.certificates[-len(named) :]
        )
    return platform
