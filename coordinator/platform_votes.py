"""What a member may propose about a platform: what follows from its collateral, verified under a root that it names.

Responsible for: from collateral to the authority and the TCB row that members vote on.
Must not know:   files, sockets, the chain, or which status is good enough.

The certificate chain in the collateral says which platform it is; everything else in it is verified as for a quote of
that platform (steps 2 to 4, 7 and 8 of the recipe).  The row demands the newest quoting enclave that the collateral
knows and has the status of a platform with that one: an older one registers nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.attestation.certificates import Certificate, parse_certificate, parse_pem_chain
from protocol.attestation.collateral import Collateral, VerifiedCollateral, parse_collateral, verify_collateral
from protocol.attestation.pck import parse_pck_extension
from protocol.attestation.pck_chain import check_links
from protocol.attestation.tcb import TcbStatus, Tee
from protocol.attestation.tcb_levels import check_7_tcb_level, check_8_tcb_status
from protocol.attestation.trust import TrustedRoot
from protocol.enclaves import platform_of_leaf, public_collateral
from protocol.errors import EncodingError, PolicyError, VerificationError
from protocol.hashing import sha256
from protocol.platforms import RATING_OF, Authority, QeIdentity, Tcb, authority_id

_CHECK = "quote 2"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformVote:
    """What honest members say of one platform."""

    authority: Authority
    row: Tcb
    advisories: tuple[str, ...]
    """What is known to be wrong with it."""
    certificate: bytes
    """Id by which a vote would revoke the platform."""

    def check_status(self, accepted: frozenset[TcbStatus]) -> None:
        """Raises PolicyError where the platform's status is not among those that the member accepts."""
        if self.row.tcb_status not in accepted:
            expected = f"one of {', '.join(sorted(accepted))}"
            raise PolicyError("TCB status of the platform", expected=expected, actual=self.row.tcb_status)

    def describe(self) -> str:
        """One line for the member."""
        status = f"{self.row.tcb_status} ({', '.join(self.advisories) or 'no advisories'})"
        kind = self.authority.kind.name.lower()
        ids = (
            f"authority {self.row.authority.hex()}, TCB row {self.row.tcb.hex()}, certificate {self.certificate.hex()}"
        )
        return f"{ids}: {kind} platform, {status}, until {self.row.expiry}"


def read_platform(data: bytes, *, root: TrustedRoot, now_s: int) -> PlatformVote:
    """What follows from collateral.

    data:  the JSON object, with `pck_certificate_chain`.
    root:  under which everything in it has to be, and what it stands for.
    now_s: when it all has to be valid; seconds since 1970.
    Raises: VerificationError, MalformedError, PolicyError (a status that no vote can accept).
    """
    collateral = parse_collateral(data)
    leaf, issuer, root_certificate = _chain(collateral, root, now_s)
    verified = verify_collateral(
        collateral, tee=Tee.SGX, leaf=leaf, authority=issuer, root=root_certificate, now_s=now_s
    )
    platform = platform_of_leaf(leaf, authority_id(issuer.public_key))
    status, advisories = _status(verified, leaf)
    if status not in RATING_OF:
        raise PolicyError("TCB status of the platform", expected=f"one of {', '.join(RATING_OF)}", actual=status)
    row = Tcb(
        authority=platform.authority,
        fmspc=platform.fmspc,
        pce_id=platform.pce_id,
        cpu_svn=platform.cpu_svn,
        pce_svn=platform.pce_svn,
        status=int(RATING_OF[status]),
        expiry=min(verified.not_after_s, issuer.not_after_s, root_certificate.not_after_s),
        collateral=sha256(public_collateral(data)),
    )
    authority = Authority(
        kind=root.kind,
        root=root.key_hash,
        certificate=issuer.der,
        root_certificate=root_certificate.der,
        qe=_qe_identity(verified),
    )
    return PlatformVote(authority=authority, row=row, advisories=advisories, certificate=platform.certificate)


def _chain(collateral: Collateral, root: TrustedRoot, now_s: int) -> tuple[Certificate, Certificate, Certificate]:
    """Leaf, CA and root, each issued by the next and valid now, the root the one that was named."""
    if collateral.pck_certificate_chain is None:
        raise EncodingError("collateral", expected="with pck_certificate_chain: it says which platform it is for")
    ders = parse_pem_chain(collateral.pck_certificate_chain, count=3)
    leaf, issuer, top = (parse_certificate(der) for der in ders)
    key_hash = sha256(top.public_key)
    if key_hash != root.key_hash:
        raise VerificationError("key of the root", check=_CHECK, expected=root.key_hash, actual=key_hash)
    check_links(leaf, issuer, top, now_s)
    return leaf, issuer, top


def _status(verified: VerifiedCollateral, leaf: Certificate) -> tuple[TcbStatus, tuple[str, ...]]:
    """Of the platform together with the newest quoting enclave."""
    if leaf.sgx_extension is None:
        raise VerificationError("role of the PCK leaf", check=_CHECK, expected="Intel's SGX extension", actual="none")
    match, _ = check_7_tcb_level(verified.tcb_info, parse_pck_extension(leaf.sgx_extension), None)
    status, advisories, _ = check_8_tcb_status(match, verified.qe_identity.levels[0])
    return status, advisories


def _qe_identity(verified: VerifiedCollateral) -> QeIdentity:
    """As the ledger compares it: numbers as the report's little-endian bytes are, the newest version as the least."""
    identity = verified.qe_identity
    return QeIdentity(
        mrsigner=identity.mrsigner,
        product=identity.isv_prod_id,
        svn=identity.levels[0].svn,
        misc_select=int.from_bytes(identity.misc_select, "little"),
        misc_select_mask=int.from_bytes(identity.misc_select_mask, "little"),
        attributes=identity.attributes,
        attributes_mask=identity.attributes_mask,
    )
