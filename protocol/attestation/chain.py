"""One link of a certificate chain: roles, names, identifiers, signatures and time.

Responsible for: whether a certificate may do what it does in its place, and whether the next one issued it.
Must not know:   how certificates are written (`certificates.py`), which root is trusted, or what a quote is.

Every function is one check of one certificate: it returns when that holds and raises VerificationError otherwise,
with `check` as the caller's step.  `name` is what a person calls the certificate: "root", "CA", "PCK leaf".
A chain that ends with its root is right when each certificate has its role and is issued by the next, the root by
itself, all are valid now, and the root's key is trusted; no single one of these stands for another.
"""

from __future__ import annotations

from protocol.attestation.certificates import Certificate, verify_signature
from protocol.errors import SignatureError, VerificationError


def check_ca(name: str, certificate: Certificate, *, path_length: int, check: str) -> None:
    """A CA with exactly the reach that genuine ones have: the root signs CAs, a CA signs leaves.

    Raises: VerificationError.
    """
    if not certificate.is_ca or certificate.path_length != path_length:
        raise VerificationError(
            f"constraints of the {name}",
            check=check,
            expected=f"CA True, path length {path_length}",
            actual=f"CA {certificate.is_ca}, path length {certificate.path_length}",
        )
    if not certificate.signs_certificates or not certificate.signs_revocations or certificate.signs_data:
        raise VerificationError(f"key usage of the {name}", check=check, expected="keyCertSign and cRLSign only")


def check_ca_before(name: str, certificate: Certificate, *, followers: int, check: str) -> None:
    """A CA that may have `followers` more CAs between itself and the leaf.

    Nitro's chains are of no fixed length, and their CAs also have the usage of leaves.
    Raises: VerificationError.
    """
    limit = certificate.path_length
    if not certificate.is_ca or (limit is not None and limit < followers):
        raise VerificationError(
            f"constraints of the {name}",
            check=check,
            expected=f"CA True, path length at least {followers}",
            actual=f"CA {certificate.is_ca}, path length {limit}",
        )
    if not certificate.signs_certificates:
        raise VerificationError(f"key usage of the {name}", check=check, expected="keyCertSign", actual="not that")


def check_end_entity(name: str, certificate: Certificate, *, check: str) -> None:
    """A key that signs data and can't issue anything.  Raises VerificationError."""
    if certificate.is_ca or certificate.path_length is not None:
        raise VerificationError(f"constraints of the {name}", check=check, expected="CA False", actual="CA True")
    if not certificate.signs_data or certificate.signs_certificates or certificate.signs_revocations:
        raise VerificationError(f"key usage of the {name}", check=check, expected="digitalSignature, no CA's")


def check_issued(name: str, certificate: Certificate, issuer: Certificate, *, check: str) -> None:
    """Names, key identifiers and signature, all three: an identifier that is absent never skips the signature.

    Only chains whose certificates may do without identifiers (`Suite`) are let off comparing one that is not there.
    Raises: VerificationError, SignatureError.
    """
    if certificate.suite is not issuer.suite:
        raise VerificationError(
            f"suite of the {name}", check=check, expected=issuer.suite.name, actual=certificate.suite.name
        )
    if certificate.issuer != issuer.subject:
        raise VerificationError(
            f"issuer's name of the {name}", check=check, expected=issuer.subject, actual=certificate.issuer
        )
    is_needed = certificate.suite.value.has_key_ids
    if is_needed and not (certificate.authority_key_id and certificate.subject_key_id and issuer.subject_key_id):
        raise VerificationError(f"key identifiers of the {name}", check=check, expected="not empty")
    if (is_needed or certificate.authority_key_id) and certificate.authority_key_id != issuer.subject_key_id:
        raise VerificationError(
            f"authority key identifier of the {name}",
            check=check,
            expected=issuer.subject_key_id,
            actual=certificate.authority_key_id,
        )
    if not verify_signature(issuer.suite, issuer.public_key, certificate.signature, certificate.tbs):
        raise SignatureError(f"signature of the {name}, by its issuer", check=check)


def check_valid(name: str, certificate: Certificate, now_s: int, *, check: str) -> None:
    """Valid at `now_s` (seconds since 1970), both ends included.  Raises VerificationError."""
    if not certificate.not_before_s <= now_s <= certificate.not_after_s:
        raise VerificationError(
            f"validity of the {name} in seconds since 1970",
            check=check,
            expected=f"{certificate.not_before_s} to {certificate.not_after_s}",
            actual=now_s,
        )
