"""Certificate revocation lists: which serial numbers an issuer has taken back.

Responsible for: the strict DER of a list down to its last byte, and whether it is its issuer's, and current.
Must not know:   where lists come from, which root is trusted, or what a quote is.

Only full lists by the CA itself: a list for some certificates, a difference to another list, and entries of other
issuers each leave revocations out, so an extension that says so is refused, critical or not.

Source: RFC 5280, section 5.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.attestation import der as strict
from protocol.attestation.certificates import (
    Certificate,
    Suite,
    parse_authority_key_id,
    parse_extensions,
    parse_name,
    parse_serial,
    parse_signed,
    verify_signature,
)
from protocol.errors import EncodingError, LengthError, SignatureError, VerificationError

MAX_CRL_BYTES = 1 << 19
"""Genuine ones have 300 to 3,000; an entry takes 36, so this is 14,000 revocations."""

_SUITE = Suite.P256_SHA256

_CRL_NUMBER, _REASON = bytes.fromhex("551d14"), bytes.fromhex("551d15")
_INVALIDITY_DATE = bytes.fromhex("551d18")
_AUTHORITY_KEY_ID = bytes.fromhex("551d23")

_REASONS = frozenset({0, 1, 2, 3, 4, 5, 6, 9, 10})
"""Reason codes of RFC 5280, 5.3.1, without 8: that one takes a revocation back, and only differences may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationList:
    """What one list says."""

    tbs: bytes
    """The part that is signed, DER."""
    signature: bytes
    """Of `tbs`, by the issuer's key: r || s, 64 bytes."""
    issuer: bytes
    """Name, DER."""
    this_update_s: int
    """Seconds since 1970; current from this second on."""
    next_update_s: int
    """Seconds since 1970; current through this second."""
    authority_key_id: bytes
    """Of the issuer's key; not empty."""
    number: int
    """Grows with each list of an issuer; not negative, below 2**160."""
    serials: frozenset[int]
    """Of the issuer's certificates that are revoked."""


def parse_crl(der: bytes) -> RevocationList:
    """A version 2 list signed with ECDSA on P-256 and SHA-256, with a number and a next update.

    Raises: MalformedError for everything else.
    """
    if len(der) > MAX_CRL_BYTES:
        raise LengthError("length of a CRL", expected=f"at most {MAX_CRL_BYTES}", actual=len(der))
    tbs, signature = parse_signed(der, _SUITE, "CRL")
    rest = strict.only(tbs, strict.SEQUENCE, "CRL's to-be-signed part")
    version, rest = strict.split(rest, strict.INTEGER, "CRL's version")
    if version != bytes.fromhex("020101"):
        raise EncodingError("version of a CRL", expected=2)
    if not rest.startswith(_SUITE.value.algorithm):
        raise EncodingError("signature algorithm inside a CRL", expected=_SUITE.name)
    issuer, rest = strict.split(rest[len(_SUITE.value.algorithm) :], strict.SEQUENCE, "CRL's issuer")
    parse_name(issuer, "CRL's issuer")
    this_update_s, rest = strict.time_s(rest, "time of a CRL's update")
    next_update_s, rest = strict.time_s(rest, "time of a CRL's next update")
    serials: frozenset[int] = frozenset()
    if rest[:1] == bytes([strict.SEQUENCE]):
        entries, rest = strict.split(rest, strict.SEQUENCE, "CRL's entries")
        serials = _parse_entries(strict.only(entries, strict.SEQUENCE, "CRL's entries"))
    extensions = parse_extensions(strict.only(rest, 0xA0, "CRL's extensions"), "CRL")
    for oid in extensions:
        if oid not in (_CRL_NUMBER, _AUTHORITY_KEY_ID):
            raise EncodingError("extension of a CRL that is not understood", actual=strict.dotted(oid))
    if _CRL_NUMBER not in extensions:
        raise EncodingError("CRL without its number")
    number = strict.only(extensions[_CRL_NUMBER][1], strict.INTEGER, "number of a CRL")
    return RevocationList(
        tbs=tbs,
        signature=signature,
        issuer=issuer,
        this_update_s=this_update_s,
        next_update_s=next_update_s,
        authority_key_id=parse_authority_key_id(extensions, "CRL", is_required=True),
        number=strict.integer(number, "number of a CRL", least=0, most=(1 << 160) - 1),
        serials=serials,
    )


def check_crl(name: str, crl: RevocationList, issuer: Certificate, now_s: int, *, check: str) -> None:
    """The list is the issuer's, who may sign such, and current at `now_s` (both ends included).

    name: what a person calls it: "root CRL", "PCK CRL".
    Raises: VerificationError, SignatureError.
    """
    if crl.issuer != issuer.subject:
        raise VerificationError(f"issuer of the {name}", check=check, expected=issuer.subject, actual=crl.issuer)
    if not crl.authority_key_id or crl.authority_key_id != issuer.subject_key_id:
        raise VerificationError(
            f"authority key identifier of the {name}",
            check=check,
            expected=issuer.subject_key_id,
            actual=crl.authority_key_id,
        )
    if not issuer.is_ca or not issuer.signs_revocations:
        raise VerificationError(f"role of the issuer of the {name}", check=check, expected="a CA with cRLSign")
    if not verify_signature(issuer.suite, issuer.public_key, crl.signature, crl.tbs):
        raise SignatureError(f"signature of the {name}, by its issuer", check=check)
    if not crl.this_update_s <= now_s <= crl.next_update_s:
        raise VerificationError(
            f"validity of the {name} in seconds since 1970",
            check=check,
            expected=f"{crl.this_update_s} to {crl.next_update_s}",
            actual=now_s,
        )


def check_not_revoked(name: str, certificate: Certificate, crl: RevocationList, *, check: str) -> None:
    """The certificate's issuer has not taken it back, by issuer and serial number: bytes can be made to differ.

    Raises: VerificationError; also where the list is of another issuer and says nothing about this certificate.
    """
    if crl.issuer != certificate.issuer:
        raise VerificationError(
            f"issuer of the CRL for the {name}", check=check, expected=certificate.issuer, actual=crl.issuer
        )
    if certificate.serial in crl.serials:
        raise VerificationError(
            f"revocation of the {name}", check=check, expected="not revoked", actual=f"serial {certificate.serial:x}"
        )


def _parse_entries(content: bytes) -> frozenset[int]:
    if not content:
        raise EncodingError("empty list of entries in a CRL", expected="no list")
    serials: set[int] = set()
    for entry in strict.elements(content, strict.SEQUENCE, "CRL's entry"):
        number, rest = strict.split(entry, strict.INTEGER, "serial number of a CRL's entry")
        serial = parse_serial(strict.only(number, strict.INTEGER, "serial number of a CRL's entry"), "CRL's entry")
        _revoked_s, rest = strict.time_s(rest, "time of a CRL's entry")
        if rest:
            _check_entry_extensions(rest)
        if serial in serials:
            raise EncodingError(f"serial {serial:x} in a CRL", expected="once", actual="twice")
        serials.add(serial)
    return frozenset(serials)


def _check_entry_extensions(wrapped: bytes) -> None:
    """Only a reason and the date when the key was lost: neither of them changes what is revoked."""
    extensions = parse_extensions(wrapped, "CRL's entry")
    for oid, (_is_critical, value) in extensions.items():
        if oid == _REASON:
            code = strict.only(value, strict.ENUMERATED, "reason of a CRL's entry")
            if strict.integer(code, "reason of a CRL's entry", least=0, most=10) not in _REASONS:
                raise EncodingError("reason of a CRL's entry", expected="a revocation", actual=code)
        elif oid == _INVALIDITY_DATE:
            # Says when the key was lost, which changes nothing: it has to be one value and no more.
            strict.only(value, strict.GENERALIZED_TIME, "invalidity date of a CRL's entry")
        else:
            raise EncodingError("extension of a CRL's entry that is not understood", actual=strict.dotted(oid))
