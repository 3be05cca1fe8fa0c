"""Collateral: what Intel publishes about platforms, and whether a set of it is authentic and current.

Responsible for: the JSON object that collateral travels in, and steps 3 and 4 of the recipe.
Must not know:   files, sockets, clocks; which versions are good enough (`tcb_levels.py`).

    3  revocation  CRLs of the root and of the leaf's CA, signed by them and current; none of the certificates on them
    4  collateral  TCB info and QE identity of the quote's hardware, current, signed by a TCB signer under the same root

Signatures are over the exact text.  What a signer may do follows from its certificate: a PCK leaf, a CA or the root
itself is no TCB signer, whatever it has signed.

Format: one JSON object of texts.  Chains are PEM, CRLs (DER) and signatures (r || s) hexadecimal digits of one case,
TCB info and QE identity the signed texts themselves.  Any layout that a JSON writer makes will do, from none to any
indent, and any escapes, as long as all of the object is written alike: no byte between the values can change unnoticed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TypeVar

from protocol import canonical_json
from protocol.attestation import strict_json
from protocol.attestation.certificates import Certificate, parse_certificate, parse_pem_chain, verify_ecdsa
from protocol.attestation.chain import check_ca, check_end_entity, check_issued, check_valid
from protocol.attestation.crls import RevocationList, check_crl, check_not_revoked, parse_crl
from protocol.attestation.result import STEPS, Check, CollateralFacts
from protocol.attestation.tcb import QeIdentity, TcbInfo, Tee, parse_qe_identity, parse_tcb_info
from protocol.errors import EncodingError, LengthError, MalformedError, SignatureError, VerificationError
from protocol.hashing import sha256

MAX_COLLATERAL_BYTES = 1 << 20
"""Genuine ones have 14,000 to 40,000, more with long revocation lists."""
SIGNATURE_BYTES = 64
TCB_SIGNER_NAME = "SGX TCB Signing"
"""Part of every TCB signer's common name, as Intel's own verifier demands."""

_REVOCATION, _COLLATERAL = "quote 3", "quote 4"
_STRING = re.compile(r'(?s)"((?:[^"\\]++|\\.)*+)"')
_ESCAPE = re.compile(r"\\(?:u[0-9A-Fa-f]{4}|.)")
_FIRST, _NEXT = r'""(?P<colon> ?: ?)(?:""|null)', r'""(?P=colon)(?:""|null)'
_ON_ONE_LINE = re.compile(rf"\{{(?P<pad> ?){_FIRST}(?:,(?P<gap> ?){_NEXT}(?:,(?P=gap){_NEXT})*)?(?P=pad)\}}(?:\r?\n)?")
_ON_LINES = re.compile(rf"\{{(?P<line>(?P<end>\r?\n)[ \t]{{0,16}}){_FIRST}(?:,(?P=line){_NEXT})*(?P=end)\}}(?:\r?\n)?")
"""A map as JSON writers lay it out, without what is between the quotation marks."""

_Parsed = TypeVar("_Parsed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Collateral:
    """What was published for one platform, nothing of it checked."""

    pck_crl_issuer_chain: bytes
    """PEM of the leaf's CA and the root."""
    root_ca_crl: bytes
    """DER."""
    pck_crl: bytes
    """DER."""
    tcb_info_issuer_chain: bytes
    """PEM of a TCB signer and the root."""
    tcb_info: bytes
    """The signed text."""
    tcb_info_signature: bytes
    """r || s; 64 bytes."""
    qe_identity_issuer_chain: bytes
    """PEM of a TCB signer and the root."""
    qe_identity: bytes
    """The signed text."""
    qe_identity_signature: bytes
    """r || s; 64 bytes."""
    pck_certificate_chain: bytes | None = None
    """PEM of leaf, CA and root, for quotes that name their platform without certificates."""

    def __post_init__(self) -> None:
        for name in _NAMES:
            part = getattr(self, name)
            if part is not None and name not in _HEXADECIMAL and not part.isascii():
                raise EncodingError(f"{name} of the collateral", expected="ASCII")
            if name.endswith("_signature") and len(part) != SIGNATURE_BYTES:
                raise LengthError(f"length of {name}", expected=SIGNATURE_BYTES, actual=len(part))


_HEXADECIMAL = frozenset({"root_ca_crl", "pck_crl", "tcb_info_signature", "qe_identity_signature"})
_OPTIONAL = "pck_certificate_chain"
_NAMES = tuple(part.name for part in fields(Collateral))


@dataclass(frozen=True, slots=True, kw_only=True)
class LeastNumbers:
    """The highest numbers that somebody has seen before: what is older was replaced, and is refused."""

    root_crl: int = 0
    pck_crl: int = 0
    evaluation: int = 0
    """tcbEvaluationDataNumber of TCB info and QE identity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """Revocation lists that are authentic and current, and name none of the certificates in use."""

    root_crl: RevocationList
    pck_crl: RevocationList
    not_before_s: int
    """From when on both lists and who issues them are valid; seconds since 1970."""
    not_after_s: int
    """Until when all are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedCollateral:
    """Authentic and current TCB info and QE identity."""

    tcb_info: TcbInfo
    qe_identity: QeIdentity
    facts: CollateralFacts
    not_before_s: int
    """From when on all of the collateral is valid; seconds since 1970."""
    not_after_s: int
    """Until when all of it is."""


def parse_collateral(data: bytes) -> Collateral:
    """The JSON object.  Raises MalformedError."""
    values = strict_json.parse_map(data, "collateral", max_bytes=MAX_COLLATERAL_BYTES)
    unknown = sorted(set(values) - set(_NAMES))
    if unknown:
        raise EncodingError("parts of the collateral", expected=", ".join(_NAMES), actual=", ".join(unknown))
    parts = {name: _part(values, name) for name in _NAMES if name != _OPTIONAL}
    chain = None if values.get(_OPTIONAL) is None else _part(values, _OPTIONAL)
    _check_layout(data.decode())
    return Collateral(**parts, pck_certificate_chain=chain)


def encode_collateral(collateral: Collateral) -> bytes:
    """The JSON object in its canonical form (RFC 8785)."""
    values: dict[str, str] = {}
    for name in _NAMES:
        part: bytes | None = getattr(collateral, name)
        if part is not None:
            values[name] = part.hex() if name in _HEXADECIMAL else part.decode("ascii")
    return canonical_json.encode(values)


def verify_collateral(
    collateral: Collateral,
    *,
    tee: Tee,
    leaf: Certificate,
    authority: Certificate,
    root: Certificate,
    now_s: int,
    least: LeastNumbers | None = None,
) -> VerifiedCollateral:
    """Steps 3 and 4 for a chain that step 2 has verified.  Raises VerificationError."""
    revocation, _ = check_3_revocation(collateral, leaf=leaf, authority=authority, root=root, now_s=now_s, least=least)
    return check_4_collateral(collateral, revocation, tee=tee, root=root, now_s=now_s, least=least)[0]


def check_3_revocation(
    collateral: Collateral,
    *,
    leaf: Certificate,
    authority: Certificate,
    root: Certificate,
    now_s: int,
    least: LeastNumbers | None = None,
) -> tuple[Revocation, Check]:
    """None of the certificates in use was taken back, by lists of their issuers that are current at `now_s`.

    leaf, authority, root: a chain that step 2 has verified.
    Raises: VerificationError.
    """
    least = least or LeastNumbers()
    issuers = _check_issuers(collateral, authority, root, now_s)
    _check_own_chain(collateral, (leaf, authority, root))
    root_crl = _parsed(_REVOCATION, parse_crl, collateral.root_ca_crl)
    check_crl("root CRL", root_crl, root, now_s, check=_REVOCATION)
    _check_number("number of the root CRL", least.root_crl, root_crl.number, _REVOCATION)
    for name, certificate in (("root", root), ("CA", authority), ("issuer of the PCK CRL", issuers[0])):
        check_not_revoked(name, certificate, root_crl, check=_REVOCATION)
    for name, pem in (("TCB", collateral.tcb_info_issuer_chain), ("QE identity", collateral.qe_identity_issuer_chain)):
        signer = _parse_chain(pem, 2, _COLLATERAL)[0]
        # Whether the root issued it at all is step 4's.
        if signer.issuer == root.subject:
            check_not_revoked(f"{name} signer", signer, root_crl, check=_REVOCATION)
    pck_crl = _parsed(_REVOCATION, parse_crl, collateral.pck_crl)
    check_crl("PCK CRL", pck_crl, authority, now_s, check=_REVOCATION)
    _check_number("number of the PCK CRL", least.pck_crl, pck_crl.number, _REVOCATION)
    check_not_revoked("PCK leaf", leaf, pck_crl, check=_REVOCATION)
    starts = [root_crl.this_update_s, pck_crl.this_update_s, *(issuer.not_before_s for issuer in issuers)]
    ends = [root_crl.next_update_s, pck_crl.next_update_s, *(issuer.not_after_s for issuer in issuers)]
    revocation = Revocation(root_crl=root_crl, pck_crl=pck_crl, not_before_s=max(starts), not_after_s=min(ends))
    saw = f"root CRL {root_crl.number} with {len(root_crl.serials)} serials,"
    saw += f" PCK CRL {pck_crl.number} with {len(pck_crl.serials)}: none of ours"
    return revocation, Check(step=3, name=STEPS[3], saw=saw)


def check_4_collateral(
    collateral: Collateral,
    revocation: Revocation,
    *,
    tee: Tee,
    root: Certificate,
    now_s: int,
    least: LeastNumbers | None = None,
) -> tuple[VerifiedCollateral, Check]:
    """TCB info and QE identity for this hardware, signed by TCB signers under the root and current at `now_s`.

    revocation: from step 3, for the same collateral.
    root:       the one that step 2 has verified.
    Raises: VerificationError.
    """
    least = least or LeastNumbers()
    signers = (
        *_check_signer("TCB signer", collateral.tcb_info_issuer_chain, root, now_s),
        *_check_signer("QE identity signer", collateral.qe_identity_issuer_chain, root, now_s),
    )
    tcb_signer, qe_signer = signers[0], signers[2]
    _check_text("TCB info", collateral.tcb_info, collateral.tcb_info_signature, tcb_signer)
    _check_text("QE identity", collateral.qe_identity, collateral.qe_identity_signature, qe_signer)
    info = _parsed(_COLLATERAL, parse_tcb_info, collateral.tcb_info)
    identity = _parsed(_COLLATERAL, parse_qe_identity, collateral.qe_identity)
    texts: tuple[tuple[str, TcbInfo | QeIdentity], ...] = (("TCB info", info), ("QE identity", identity))
    for name, text in texts:
        if text.tee is not tee:
            raise VerificationError(
                f"hardware that the {name} is about", check=_COLLATERAL, expected=tee, actual=text.tee
            )
        _check_current(name, text.issued_s, text.next_update_s, now_s)
        _check_number(f"evaluation number of the {name}", least.evaluation, text.evaluation_number, _COLLATERAL)
    starts = [info.issued_s, identity.issued_s, *(signer.not_before_s for signer in signers)]
    ends = [info.next_update_s, identity.next_update_s, *(signer.not_after_s for signer in signers)]
    verified = VerifiedCollateral(
        tcb_info=info,
        qe_identity=identity,
        facts=_facts(collateral, revocation, info, identity),
        not_before_s=max(revocation.not_before_s, *starts),
        not_after_s=min(revocation.not_after_s, *ends),
    )
    saw = f"TCB info {info.evaluation_number} and QE identity {identity.evaluation_number} for {tee},"
    saw += f" by {tcb_signer.common_name}, valid {verified.not_before_s} to {verified.not_after_s}"
    return verified, Check(step=4, name=STEPS[4], saw=saw)


def _part(values: strict_json.Json, name: str) -> bytes:
    value = strict_json.text(values, name, "collateral")
    if name not in _HEXADECIMAL:
        try:
            return value.encode("ascii")
        except UnicodeEncodeError as error:
            raise EncodingError(f"{name} of the collateral", expected="ASCII") from error
    # Services write either; both in one text are nobody's, and a changed letter must not go unnoticed.
    if re.fullmatch(r"(?:[0-9a-f]{2})*|(?:[0-9A-F]{2})*", value) is None:
        raise EncodingError(f"{name} of the collateral", expected="hexadecimal digits of one case")
    return bytes.fromhex(value)


def _check_layout(text: str) -> None:
    """The text is as a JSON writer makes it, with one end of line behind it at most.

    Writers differ in space, and in what they escape (PHP slashes, Gson equals signs); none writes a letter in two ways.
    """
    skeleton = _STRING.sub('""', text)
    inside = "".join(_STRING.findall(text))
    escapes = set(_ESCAPE.findall(inside))
    letters = {json.loads(f'"{escape}"') for escape in escapes}
    is_spelled_alike = len(letters) == len(escapes) and letters.isdisjoint(_ESCAPE.sub("", inside))
    if not is_spelled_alike or not (_ON_ONE_LINE.fullmatch(skeleton) or _ON_LINES.fullmatch(skeleton)):
        raise EncodingError("layout of the collateral", expected="as JSON writers make it, the same throughout")


def _check_issuers(
    collateral: Collateral, authority: Certificate, root: Certificate, now_s: int
) -> tuple[Certificate, ...]:
    """Who issues the list of leaves is the leaf's own CA, under the same root."""
    chain = _parse_chain(collateral.pck_crl_issuer_chain, 2, _REVOCATION)
    names = "issuer of the PCK CRL", "root of the PCK CRL"
    _check_root(names[1], chain[1], root, now_s, _REVOCATION)
    if chain[0].der != authority.der:
        # Another certificate of the same CA, which has to be as good as the one in the leaf's chain.
        if (chain[0].public_key, chain[0].subject) != (authority.public_key, authority.subject):
            raise VerificationError(
                names[0], check=_REVOCATION, expected=authority.common_name, actual=chain[0].common_name
            )
        check_ca(names[0], chain[0], path_length=0, check=_REVOCATION)
        check_issued(names[0], chain[0], root, check=_REVOCATION)
        check_valid(names[0], chain[0], now_s, check=_REVOCATION)
    return chain


def _check_own_chain(collateral: Collateral, chain: tuple[Certificate, ...]) -> None:
    """Certificates that come with the collateral are those that were verified: nobody may use others unseen."""
    if collateral.pck_certificate_chain is None:
        return
    ders = _parsed("quote 2", lambda pem: parse_pem_chain(pem, count=3), collateral.pck_certificate_chain)
    if ders != tuple(certificate.der for certificate in chain):
        raise VerificationError(
            "pck_certificate_chain of the collateral", check="quote 2", expected="the quote's chain"
        )


def _check_signer(name: str, pem: bytes, root: Certificate, now_s: int) -> tuple[Certificate, ...]:
    """A TCB signer, and nothing else that the root or anybody below it has issued."""
    chain = _parse_chain(pem, 2, _COLLATERAL)
    signer = chain[0]
    _check_root(f"root of the {name}", chain[1], root, now_s, _COLLATERAL)
    check_end_entity(name, signer, check=_COLLATERAL)
    if TCB_SIGNER_NAME not in signer.common_name:
        raise VerificationError(
            f"role of the {name}", check=_COLLATERAL, expected=TCB_SIGNER_NAME, actual=signer.common_name
        )
    if signer.sgx_extension is not None:
        raise VerificationError(f"role of the {name}", check=_COLLATERAL, expected=TCB_SIGNER_NAME, actual="a PCK leaf")
    check_issued(name, signer, root, check=_COLLATERAL)
    check_valid(name, signer, now_s, check=_COLLATERAL)
    return chain


def _check_root(name: str, found: Certificate, root: Certificate, now_s: int, check: str) -> None:
    """The root that is trusted: the same certificate, or another one of the same name and key."""
    if found.der == root.der:
        return
    if (found.public_key, found.subject) != (root.public_key, root.subject):
        raise VerificationError(name, check=check, expected=sha256(root.public_key), actual=sha256(found.public_key))
    check_ca(name, found, path_length=1, check=check)
    check_issued(name, found, root, check=check)
    check_valid(name, found, now_s, check=check)


def _check_text(name: str, text: bytes, signature: bytes, signer: Certificate) -> None:
    if not verify_ecdsa(signer.public_key, signature, text):
        raise SignatureError(f"signature of the {name}, by its signer", check=_COLLATERAL)


def _check_current(name: str, issued_s: int, next_update_s: int, now_s: int) -> None:
    if not issued_s <= now_s <= next_update_s:
        raise VerificationError(
            f"validity of the {name} in seconds since 1970",
            check=_COLLATERAL,
            expected=f"{issued_s} to {next_update_s}",
            actual=now_s,
        )


def _check_number(name: str, least: int, actual: int, check: str) -> None:
    if actual < least:
        raise VerificationError(name, check=check, expected=f"at least {least}, which was seen before", actual=actual)


def _facts(collateral: Collateral, revocation: Revocation, info: TcbInfo, identity: QeIdentity) -> CollateralFacts:
    return CollateralFacts(
        sha256=sha256(encode_collateral(collateral)),
        tcb_info=sha256(collateral.tcb_info),
        qe_identity=sha256(collateral.qe_identity),
        root_crl_number=revocation.root_crl.number,
        pck_crl_number=revocation.pck_crl.number,
        tcb_evaluation_number=min(info.evaluation_number, identity.evaluation_number),
    )


def _parse_chain(pem: bytes, count: int, check: str) -> tuple[Certificate, ...]:
    return tuple(_parsed(check, parse_certificate, der) for der in _parsed(check, _split_chain(count), pem))


def _split_chain(count: int) -> Callable[[bytes], tuple[bytes, ...]]:
    return lambda pem: parse_pem_chain(pem, count=count)


def _parsed(check: str, parse: Callable[[bytes], _Parsed], data: bytes) -> _Parsed:
    """What a parser makes of bytes; what is malformed in them fails that step."""
    with _failing(check):
        return parse(data)


@contextmanager
def _failing(check: str) -> Iterator[None]:
    try:
        yield
    except MalformedError as error:
        raise VerificationError(error.what, check=check, expected=error.expected, actual=error.actual) from error
