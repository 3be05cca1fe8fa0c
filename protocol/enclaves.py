"""An enclave's evidence against what a consortium voted for: what the ledger checked, and the collateral it can't read.

Responsible for: the one way in which participants, members and verifiers verify an enclave's quote again.
Must not know:   chains, files, sockets, or who asks; what was voted for and the collateral's bytes are arguments.

The ledger holds the CA's key, a TCB row and the measurement by vote, and checks quote, leaf and body itself.  The row
names the SHA-256 of the collateral that it follows from; with these bytes every step of the recipe is done again here:
that nothing is revoked, that TCB info and QE identity are signed and in force, and that the row's status is theirs.

Spec: docs/protocol.md section 4.  Twin: contracts/src/Enclaves.sol (register).
"""

from __future__ import annotations

import base64
import textwrap
from dataclasses import dataclass, replace

from protocol.attestation.certificates import Certificate, parse_certificate, parse_pem_chain
from protocol.attestation.collateral import encode_collateral, parse_collateral
from protocol.attestation.pck import parse_pck_extension
from protocol.attestation.policy import Policy, accept_quote
from protocol.attestation.quote import PCK_LEAF, PEM_CHAIN, Quote, ReportBody, parse_quote
from protocol.attestation.result import Format, Verified
from protocol.attestation.trust import TrustedRoot, TrustStore
from protocol.errors import (
    CommitmentMismatchError,
    EncodingError,
    LengthError,
    PolicyError,
    VerificationError,
)
from protocol.hashing import sha256
from protocol.keys import Address
from protocol.messages import ENCLAVE_BODY_BYTES, Claims, enclave_id, parse_report_data, report_data
from protocol.platforms import Authority, Tcb, authority_id, certificate_id, tcb_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """What a PCK leaf says of the platform that it certifies, under one authority."""

    authority: bytes
    """Id of the CA that is said to have issued it; whether it did is for `accept_enclave`."""
    leaf: Certificate
    fmspc: bytes
    pce_id: bytes
    cpu_svn: bytes
    pce_svn: int

    @property
    def tcb(self) -> bytes:
        """The row that it needs."""
        return tcb_id(self.authority, self.fmspc, self.pce_id, self.cpu_svn, self.pce_svn)

    @property
    def certificate(self) -> bytes:
        """What a vote would revoke it by."""
        return certificate_id(self.authority, self.leaf.serial)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What an enclave shows: on the ledger, or to somebody directly."""

    quote: bytes
    """SGX quote v3 with its PCK leaf alone, as on the ledger."""
    claims: Claims
    hpke_key: bytes
    """The public key that updates are sealed to."""

    @property
    def enclave(self) -> bytes:
        """The enclave's id."""
        return enclave_id(self.quote[:ENCLAVE_BODY_BYTES])


def shown(quote: bytes, claims: Claims, hpke_key: bytes) -> tuple[Evidence, bytes]:
    """(evidence in the ledger's form, id of the CA in its chain) of a quote with its whole PEM chain.

    Nothing is verified by this.  Raises: MalformedError's leaves.
    """
    parsed = parse_quote(quote)
    if parsed.certification_type != PEM_CHAIN:
        raise EncodingError("certification data of a quote", expected="a chain", actual=parsed.certification_type)
    _, authority, _ = parse_pem_chain(parsed.certificates, count=3)
    evidence = Evidence(quote=parsed.with_leaf_only().encode(), claims=claims, hpke_key=hpke_key)
    return evidence, authority_id(parse_certificate(authority).public_key)


def parse_registered(data: bytes) -> tuple[Quote, ReportBody]:
    """A quote in the ledger's form, and its body.  Raises MalformedError's leaves."""
    quote = parse_quote(data)
    if quote.format is not Format.SGX_V3 or not isinstance(quote.body, ReportBody):
        raise EncodingError("format of an enclave's quote", expected=Format.SGX_V3, actual=quote.format)
    if quote.certification_type != PCK_LEAF:
        raise EncodingError("certification data of a quote", expected="the PCK leaf", actual=quote.certification_type)
    if quote.padding:
        raise LengthError("bytes behind a quote", expected=0, actual=quote.padding)
    return quote, quote.body


def platform_of(quote: bytes, authority: bytes) -> Platform:
    """The platform of a quote in the ledger's form, under this authority.  Raises MalformedError's leaves."""
    parsed, _ = parse_registered(quote)
    return platform_of_leaf(parse_certificate(parsed.certificates), authority)


def platform_of_leaf(leaf: Certificate, authority: bytes) -> Platform:
    """The platform that a PCK leaf certifies.  Raises MalformedError's leaves."""
    if leaf.sgx_extension is None:
        raise EncodingError("a PCK leaf", expected="Intel's extension", actual="none")
    pck = parse_pck_extension(leaf.sgx_extension)
    return Platform(
        authority=authority,
        leaf=leaf,
        fmspc=pck.fmspc,
        pce_id=pck.pce_id,
        cpu_svn=pck.cpu_svn,
        pce_svn=pck.pce_svn,
    )


def said_by(quote: bytes) -> tuple[Address, int]:
    """(signer, epoch) in the report data of a quote in the ledger's form.  Raises MalformedError's leaves."""
    _, body = parse_registered(quote)
    signer, _, epoch = parse_report_data(body.report_data)
    return signer, epoch


def accept_enclave(
    evidence: Evidence,
    *,
    signer: Address,
    epoch: int,
    authority: Authority,
    row: Tcb,
    measurements: frozenset[bytes],
    collateral: bytes,
    now_s: int,
    allow_simulated: bool,
) -> Verified:
    """All eleven steps under what was voted for, and the votes applied to what they found.

    signer, epoch: whose keys these are said to be; the quote must bind them with the claims.
    authority:     CA and root by vote.
    row:           what members accepted for the platform; its status is the one that will do.
    measurements:  code that members allowed.
    collateral:    the JSON whose SHA-256 the row names.
    now_s:         when everything must be valid; seconds since 1970.
    Raises: VerificationError (not authentic, or not what was voted for), PolicyError (not acceptable), MalformedError.
    """
    if sha256(evidence.hpke_key) != evidence.claims.hpke_key:
        raise VerificationError(
            "SHA-256 of the sealing key",
            check="enclave key",
            expected=evidence.claims.hpke_key,
            actual=sha256(evidence.hpke_key),
        )
    if sha256(collateral) != row.collateral:
        raise CommitmentMismatchError("SHA-256 of the collateral", expected=row.collateral, actual=sha256(collateral))
    check_measured(evidence, measurements)
    platform = platform_of(evidence.quote, authority.authority)
    if platform.tcb != row.tcb:
        raise VerificationError("TCB row of the platform", check="enclave tcb", expected=platform.tcb, actual=row.tcb)
    policy = Policy(
        measurements=measurements,
        report_data=report_data(signer=signer, claims=evidence.claims.sha256(), epoch=epoch),
        allow_simulated_quotes=allow_simulated,
        accept_statuses=frozenset({row.tcb_status}),
    )
    return accept_quote(
        evidence.quote,
        policy=policy,
        trust_store=TrustStore(roots=(TrustedRoot(key_hash=authority.root, kind=authority.kind),)),
        now_s=now_s,
        collateral=parse_collateral(collateral),
        issuer_chain=pem(authority.certificate) + pem(authority.root_certificate),
    )


def check_measured(evidence: Evidence, measurements: frozenset[bytes]) -> None:
    """Code that was voted for, by the quote's word for it: other code is refused before any signature is looked at.

    Raises: PolicyError, MalformedError.
    """
    _, body = parse_registered(evidence.quote)
    if body.mrenclave not in measurements:
        allowed = ", ".join(sorted(value.hex() for value in measurements))
        expected = f"one allowed by vote: {allowed}" if allowed else "one allowed by vote, and there is none"
        raise PolicyError("measurement of the enclave", expected=expected, actual=body.mrenclave)


def public_collateral(data: bytes) -> bytes:
    """The collateral that a row names: its canonical JSON, without the certificates of one platform.

    A row may be about many platforms; their certificates come with their quotes.
    Raises: MalformedError.
    """
    return encode_collateral(replace(parse_collateral(data), pck_certificate_chain=None))


def pem(der: bytes) -> bytes:
    """A certificate as PEM."""
    lines = "\n".join(textwrap.wrap(base64.b64encode(der).decode(), 64))
    return f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n".encode()
