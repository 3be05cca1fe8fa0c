"""A link of a chain holds when role, names, identifiers, signature and time do; each test breaks one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from protocol.attestation.certificates import Certificate, Suite, parse_certificate
from protocol.attestation.chain import check_ca, check_ca_before, check_end_entity, check_issued, check_valid
from protocol.errors import SignatureError, VerificationError
from tests.unit.certificate_world import (
    NOW_S,
    YEAR_S,
    Chain,
    Parts,
    authority_key_id,
    constraints,
    name,
    new_key,
    subject_key_id,
    usage,
)

Fault = Callable[[Chain], None]
AUTHORITY, SUBJECT, USAGE, CONSTRAINTS = range(4)


def parsed(fault: Fault = lambda chain: None) -> tuple[Certificate, Certificate, Certificate]:
    """Root, CA and leaf after one thing in them changed."""
    chain = Chain()
    fault(chain)
    root, ca, leaf = (parse_certificate(parts.der()) for parts in (chain.root, chain.ca, chain.leaf))
    return root, ca, leaf


def verify(fault: Fault = lambda chain: None) -> None:
    root, ca, leaf = parsed(fault)
    check_ca("root", root, path_length=1, check="step")
    check_ca("CA", ca, path_length=0, check="step")
    check_end_entity("leaf", leaf, check="step")
    check_issued("root", root, root, check="step")
    check_issued("CA", ca, root, check="step")
    check_issued("leaf", leaf, ca, check="step")
    for certificate in (root, ca, leaf):
        check_valid(certificate.common_name, certificate, NOW_S, check="step")


def extend(certificate: str, place: int, other: bytes) -> Fault:
    def apply(chain: Chain) -> None:
        getattr(chain, certificate).extensions[place] = other

    return apply


def change(certificate: str, **changes: object) -> Fault:
    def apply(chain: Chain) -> None:
        parts: Parts = getattr(chain, certificate)
        setattr(chain, certificate, replace(parts, **changes))

    return apply


def test_a_chain_with_nothing_wrong_holds() -> None:
    verify()


@pytest.mark.parametrize(
    ("fault", "match"),
    [
        (extend("root", CONSTRAINTS, constraints(0)), "constraints of the root"),
        (extend("root", CONSTRAINTS, constraints(2)), "constraints of the root"),
        (extend("root", CONSTRAINTS, constraints()), "constraints of the root"),
        (extend("ca", CONSTRAINTS, constraints(is_ca=False)), "constraints of the CA"),
        (extend("ca", CONSTRAINTS, constraints(1)), "constraints of the CA"),
        (extend("leaf", CONSTRAINTS, constraints(0)), "constraints of the leaf"),
        (extend("leaf", CONSTRAINTS, constraints()), "constraints of the leaf"),
        (extend("root", USAGE, usage("0204")), "key usage of the root"),  # keyCertSign alone
        (extend("ca", USAGE, usage("0102")), "key usage of the CA"),  # cRLSign alone
        (extend("ca", USAGE, usage("0186")), "key usage of the CA"),  # and digitalSignature
        (extend("leaf", USAGE, usage("0640")), "key usage of the leaf"),  # nonRepudiation alone
        (extend("leaf", USAGE, usage("0284")), "key usage of the leaf"),  # and keyCertSign
        (extend("leaf", USAGE, usage("0182")), "key usage of the leaf"),  # and cRLSign
        (change("root", issuer=name("somebody else")), "issuer's name of the root"),
        (change("ca", issuer=name("somebody else")), "issuer's name of the CA"),
        (change("leaf", issuer=name("test root")), "issuer's name of the leaf"),
        (extend("root", AUTHORITY, authority_key_id(b"another key")), "authority key identifier of the root"),
        (extend("ca", AUTHORITY, authority_key_id(b"another key")), "authority key identifier of the CA"),
        (extend("leaf", AUTHORITY, authority_key_id(b"another key")), "authority key identifier of the leaf"),
        (extend("ca", SUBJECT, subject_key_id(b"another key")), "authority key identifier of the leaf"),
        (change("root", issuer_key=new_key()), "signature of the root"),
        (change("ca", issuer_key=new_key()), "signature of the CA"),
        (change("leaf", issuer_key=new_key()), "signature of the leaf"),
    ],
)
def test_one_wrong_thing_in_a_chain_is_refused(fault: Fault, match: str) -> None:
    with pytest.raises(VerificationError, match=match) as caught:
        verify(fault)
    assert caught.value.check == "step"


def test_identifiers_that_are_absent_on_both_sides_never_agree() -> None:
    _root, ca, leaf = parsed()
    for certificate, issuer in (
        (replace(leaf, authority_key_id=b""), replace(ca, subject_key_id=b"")),
        (replace(leaf, authority_key_id=b""), ca),
        (replace(leaf, subject_key_id=b""), ca),
        (leaf, replace(ca, subject_key_id=b"")),
    ):
        with pytest.raises(VerificationError, match="key identifiers of the leaf: expected not empty"):
            check_issued("leaf", certificate, issuer, check="step")


def test_an_identifier_that_may_be_absent_still_has_to_agree_where_it_is_there() -> None:
    _root, ca, leaf = (replace(certificate, suite=Suite.P384_SHA384) for certificate in parsed())
    with pytest.raises(VerificationError, match="authority key identifier of the leaf"):
        check_issued("leaf", replace(leaf, authority_key_id=b"another key"), ca, check="step")
    # Absent: let off the comparison, and not the signature, which no P-384 key can have made.
    with pytest.raises(SignatureError, match="signature of the leaf"):
        check_issued("leaf", replace(leaf, authority_key_id=b""), ca, check="step")


def test_a_certificate_of_another_suite_than_its_issuers_is_refused() -> None:
    _root, ca, leaf = parsed()
    with pytest.raises(VerificationError, match="suite of the leaf"):
        check_issued("leaf", leaf, replace(ca, suite=Suite.P384_SHA384), check="step")


@pytest.mark.parametrize("now_s", [NOW_S - 3600, NOW_S + YEAR_S])
def test_a_certificate_is_valid_through_both_ends(now_s: int) -> None:
    check_valid("leaf", parsed()[2], now_s, check="step")


@pytest.mark.parametrize("now_s", [NOW_S - 3601, NOW_S + YEAR_S + 1])
def test_a_certificate_is_refused_a_second_outside_its_time(now_s: int) -> None:
    with pytest.raises(VerificationError, match="validity of the leaf"):
        check_valid("leaf", parsed()[2], now_s, check="step")


def test_a_ca_of_a_longer_chain_needs_room_for_those_that_follow() -> None:
    root, _ca, leaf = parsed()
    check_ca_before("root", root, followers=0, check="step")
    check_ca_before("root", root, followers=1, check="step")
    check_ca_before("root", replace(root, path_length=None), followers=7, check="step")
    with pytest.raises(VerificationError, match="constraints of the root: expected CA True, path length at least 2"):
        check_ca_before("root", root, followers=2, check="step")
    with pytest.raises(VerificationError, match="constraints of the leaf"):
        check_ca_before("leaf", leaf, followers=0, check="step")
    with pytest.raises(VerificationError, match="key usage of the root"):
        check_ca_before("root", replace(root, signs_certificates=False), followers=0, check="step")
