"""A revocation list has one form and one issuer; each test makes one thing wrong in a list and signs it again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.attestation.certificates import Certificate, Suite, parse_certificate, parse_pem_chain, verify_ecdsa
from protocol.attestation.crls import MAX_CRL_BYTES, check_crl, check_not_revoked, parse_crl
from protocol.errors import LengthError, MalformedError, SignatureError, VerificationError
from tests.unit.certificate_world import (
    CA_NAME,
    NOW_S,
    ROOT_NAME,
    TRUE,
    Chain,
    Key,
    authority_key_id,
    extension,
    integer,
    key_id,
    new_key,
    public_bytes,
    sign,
    tlv,
    utc,
)

VECTORS = Path(__file__).parents[1] / "vectors" / "quotes"
GENUINE_NOW_S = 1_751_328_000
P256 = Suite.P256_SHA256
CHAIN = Chain()
ROOT, CA, LEAF = (parse_certificate(parts.der()) for parts in (CHAIN.root, CHAIN.ca, CHAIN.leaf))
NUMBER = extension("2.5.29.20", integer(7))
DELTA, ISSUING_POINT = extension("2.5.29.27", integer(6)), extension("2.5.29.28", tlv(0x30))


def entry(serial: int, *extensions: bytes) -> bytes:
    return tlv(0x30, integer(serial), utc(NOW_S), tlv(0x30, *extensions) if extensions else b"")


def reason(code: int, mark: bytes = b"") -> bytes:
    return extension("2.5.29.21", tlv(0x0A, bytes([code])), mark=mark)


@dataclass(kw_only=True)
class Crl:
    """One list before it is signed; a test changes one of these."""

    version: bytes = field(default_factory=lambda: integer(1))
    algorithm: bytes = P256.value.algorithm
    outer_algorithm: bytes = P256.value.algorithm
    issuer: bytes = CA_NAME
    updates: bytes = field(default_factory=lambda: utc(NOW_S - 3600) + utc(NOW_S + 3600))
    entries: bytes = field(default_factory=lambda: tlv(0x30, entry(1), entry(1 << 159, reason(1))))
    extensions: tuple[bytes, ...] = (NUMBER, authority_key_id(key_id(CHAIN.ca.key)))
    behind: bytes = b""
    key: Key = CHAIN.ca.key

    def der(self) -> bytes:
        extensions = tlv(0xA0, tlv(0x30, *self.extensions))
        parts = (self.version, self.algorithm, self.issuer, self.updates, self.entries, extensions, self.behind)
        tbs = tlv(0x30, *parts)
        return tlv(0x30, tbs, self.outer_algorithm, tlv(0x03, b"\0" + sign(self.key, tbs, P256)))


def check(crl: Crl, issuer: Certificate = CA, now_s: int = NOW_S) -> None:
    check_crl("PCK CRL", parse_crl(crl.der()), issuer, now_s, check="step")


# What holds


def test_a_list_says_whose_it_is_until_when_and_what_is_revoked() -> None:
    parsed = parse_crl(Crl().der())
    assert (parsed.issuer, parsed.authority_key_id, parsed.number) == (CA_NAME, key_id(CHAIN.ca.key), 7)
    assert (parsed.this_update_s, parsed.next_update_s) == (NOW_S - 3600, NOW_S + 3600)
    assert parsed.serials == {1, 1 << 159}
    check(Crl())


def test_a_list_without_entries_has_no_list_of_entries() -> None:
    assert parse_crl(Crl(entries=b"").der()).serials == frozenset()
    with pytest.raises(MalformedError, match="empty list of entries"):
        parse_crl(Crl(entries=tlv(0x30)).der())


@cache
def genuine(quote: str) -> tuple[bytes, bytes, Certificate, Certificate]:
    collateral = json.loads((VECTORS / f"{quote}_collateral.json").read_bytes())
    ca, root = (parse_certificate(der) for der in parse_pem_chain(collateral["pck_crl_issuer_chain"].encode(), count=2))
    return bytes.fromhex(collateral["root_ca_crl"]), bytes.fromhex(collateral["pck_crl"]), ca, root


@pytest.mark.parametrize(("quote", "revoked"), [("sgx_quote", 0), ("tdx_quote", 44)])
def test_genuine_lists_are_read_and_are_their_issuers(quote: str, revoked: int) -> None:
    root_crl, pck_crl, ca, root = genuine(quote)
    assert len(parse_crl(pck_crl).serials) == revoked
    assert parse_crl(root_crl).serials == frozenset()
    check_crl("root CRL", parse_crl(root_crl), root, GENUINE_NOW_S, check="step")
    check_crl("PCK CRL", parse_crl(pck_crl), ca, GENUINE_NOW_S, check="step")
    check_not_revoked("CA", ca, parse_crl(root_crl), check="step")


def test_a_genuine_list_names_the_serials_that_it_revokes() -> None:
    assert 0x6FC34E5023E728923435D61AA4B83C618166AD35 in parse_crl(genuine("tdx_quote")[1]).serials


@pytest.mark.parametrize("quote", ["sgx_quote", "tdx_quote"])
@pytest.mark.parametrize("which", [0, 1])
def test_any_byte_of_a_genuine_list_that_changes_is_noticed(quote: str, which: int) -> None:
    der, issuer = genuine(quote)[which], genuine(quote)[3 - which]
    for place in range(len(der)):
        changed = der[:place] + bytes([der[place] ^ 1]) + der[place + 1 :]
        try:
            parsed = parse_crl(changed)
        except MalformedError:
            continue
        assert not verify_ecdsa(issuer.public_key, parsed.signature, parsed.tbs)


# Form


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"version": b""}, "tag of the CRL's version"),
        ({"version": integer(0)}, "version of a CRL"),
        ({"version": integer(2)}, "version of a CRL"),
        ({"version": tlv(0x02, b"\0\x01")}, "version of a CRL"),
        ({"algorithm": Suite.P384_SHA384.value.algorithm}, "signature algorithm inside a CRL"),
        ({"outer_algorithm": Suite.P384_SHA384.value.algorithm}, "signature algorithm of a CRL"),
        ({"issuer": tlv(0x30)}, "issuer without a name"),
        ({"updates": utc(NOW_S)}, "time of a CRL's next update"),
        ({"updates": utc(NOW_S) + tlv(0x17, b"270101000000")}, "time of a CRL's next update"),
        ({"extensions": (NUMBER,)}, "CRL without AuthorityKeyIdentifier"),
        ({"extensions": (NUMBER, authority_key_id(b""))}, "key identifier of a CRL"),
        ({"extensions": (authority_key_id(b"a"),)}, "CRL without its number"),
        ({"extensions": (NUMBER, NUMBER, authority_key_id(b"a"))}, "2.5.29.20 of a CRL: expected once"),
        ({"extensions": ()}, "empty list of extensions"),
        ({"extensions": (NUMBER, authority_key_id(b"a"), DELTA)}, "not understood: got 2.5.29.27"),
        ({"extensions": (NUMBER, authority_key_id(b"a"), ISSUING_POINT)}, "not understood: got 2.5.29.28"),
        (
            {"extensions": (NUMBER, authority_key_id(b"a"), extension("2.5.29.28", tlv(0x30), mark=TRUE))},
            "critical extension of a CRL",
        ),
        ({"extensions": (extension("2.5.29.20", integer(-1)), authority_key_id(b"a"))}, "number of a CRL"),
        ({"extensions": (extension("2.5.29.20", tlv(2, b"\0\1")), authority_key_id(b"a"))}, "number of a CRL"),
        ({"behind": tlv(0x05)}, "bytes behind the CRL's extensions"),
        ({"entries": tlv(0x30, entry(1), entry(2), entry(1))}, "serial 1 in a CRL: expected once"),
        ({"entries": tlv(0x30, entry(0))}, "serial number of a CRL's entry"),
        ({"entries": tlv(0x30, entry(1 << 160))}, "serial number of a CRL's entry"),
        ({"entries": tlv(0x30, tlv(0x30, tlv(2, b"\0\1"), utc(NOW_S)))}, "serial number of a CRL's entry"),
        ({"entries": tlv(0x30, tlv(0x30, integer(1)))}, "time of a CRL's entry"),
        ({"entries": tlv(0x30, tlv(0x30, integer(1), utc(NOW_S), tlv(0x05)))}, "tag of the CRL's entry's extensions"),
        ({"entries": tlv(0x30, entry(1, reason(1), reason(1)))}, "2.5.29.21 of a CRL's entry: expected once"),
        ({"entries": tlv(0x30, entry(1, reason(8)))}, "reason of a CRL's entry"),  # takes a revocation back
        ({"entries": tlv(0x30, entry(1, reason(7)))}, "reason of a CRL's entry"),
        ({"entries": tlv(0x30, entry(1, reason(1, TRUE)))}, "critical extension of a CRL's entry"),
        ({"entries": tlv(0x30, entry(1, extension("2.5.29.29", tlv(0x30))))}, "not understood: got 2.5.29.29"),
        ({"entries": tlv(0x30, entry(1, extension("2.5.29.29", tlv(0x30), mark=TRUE)))}, "critical extension"),
        ({"entries": tlv(0x30, tlv(0x31))}, "tag of the CRL's entry"),
    ],
)
def test_a_list_in_another_form_is_refused(changes: dict[str, object], match: str) -> None:
    with pytest.raises(MalformedError, match=match):
        parse_crl(replace(Crl(), **changes).der())


@pytest.mark.parametrize(
    ("rewrite", "match"),
    [
        (lambda der: der + b"\0", "bytes behind the CRL"),
        (lambda der: der[:-1], "length of the CRL"),
        (lambda der: b"-----BEGIN X509 CRL-----", "tag of the CRL"),
        (lambda der: b"", "tag of the CRL"),
    ],
)
def test_other_bytes_than_a_list_are_refused(rewrite: Callable[[bytes], bytes], match: str) -> None:
    with pytest.raises(MalformedError, match=match):
        parse_crl(rewrite(Crl().der()))


def test_the_day_when_a_key_was_lost_may_be_said() -> None:
    day = extension("2.5.29.24", tlv(0x18, b"20250101000000Z"))
    assert parse_crl(Crl(entries=tlv(0x30, entry(5, reason(1), day))).der()).serials == {5}


def test_a_list_that_is_too_long_is_not_looked_at() -> None:
    with pytest.raises(LengthError, match="length of a CRL"):
        parse_crl(bytes(MAX_CRL_BYTES + 1))


def test_a_list_of_ten_thousand_is_read() -> None:
    entries = tlv(0x30, *(entry(serial) for serial in range(1, 10_001)))
    assert parse_crl(Crl(entries=entries).der()).serials == frozenset(range(1, 10_001))


# Issuer, signature, time


def test_a_list_of_another_issuer_is_refused() -> None:
    with pytest.raises(VerificationError, match="issuer of the PCK CRL"):
        check(Crl(issuer=ROOT_NAME))
    with pytest.raises(VerificationError, match="issuer of the PCK CRL"):
        check(Crl(), issuer=ROOT)


def test_a_list_that_names_another_key_is_refused() -> None:
    with pytest.raises(VerificationError, match="authority key identifier of the PCK CRL"):
        check(Crl(extensions=(NUMBER, authority_key_id(b"another key"))))


def test_a_list_that_another_key_signed_is_refused() -> None:
    with pytest.raises(SignatureError, match="signature of the PCK CRL") as caught:
        check(Crl(key=new_key()))
    assert caught.value.check == "step"


def test_a_leaf_can_not_revoke() -> None:
    crl = Crl(issuer=LEAF.subject, key=CHAIN.leaf.key, extensions=(NUMBER, authority_key_id(key_id(CHAIN.leaf.key))))
    with pytest.raises(VerificationError, match="role of the issuer of the PCK CRL"):
        check(crl, issuer=LEAF)
    with pytest.raises(VerificationError, match="role of the issuer of the PCK CRL"):
        check(Crl(), issuer=replace(CA, signs_revocations=False))


@pytest.mark.parametrize("now_s", [NOW_S - 3600, NOW_S + 3600])
def test_a_list_is_current_through_both_ends(now_s: int) -> None:
    check(Crl(), now_s=now_s)


@pytest.mark.parametrize("now_s", [NOW_S - 3601, NOW_S + 3601])
def test_a_list_is_refused_a_second_outside_its_time(now_s: int) -> None:
    with pytest.raises(VerificationError, match="validity of the PCK CRL"):
        check(Crl(), now_s=now_s)


# Revocation


def test_a_certificate_is_revoked_by_its_serial_number() -> None:
    check_not_revoked("leaf", LEAF, parse_crl(Crl().der()), check="step")
    revoked = parse_crl(Crl(entries=tlv(0x30, entry(1), entry(LEAF.serial))).der())
    with pytest.raises(VerificationError, match="revocation of the leaf: expected not revoked") as caught:
        check_not_revoked("leaf", LEAF, revoked, check="step")
    assert caught.value.check == "step"


def test_a_list_of_another_issuer_says_nothing_about_a_certificate() -> None:
    with pytest.raises(VerificationError, match="issuer of the CRL for the CA"):
        check_not_revoked("CA", CA, parse_crl(Crl().der()), check="step")


@given(st.binary(max_size=200))
def test_any_bytes_are_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_crl(data)


@given(place=st.integers(min_value=0), value=st.integers(min_value=1, max_value=255))
def test_any_byte_that_changes_is_noticed(place: int, value: int) -> None:
    der = bytearray(Crl().der())
    der[place % len(der)] ^= value
    try:
        parsed = parse_crl(bytes(der))
    except MalformedError:
        return
    assert not verify_ecdsa(public_bytes(CHAIN.ca.key), parsed.signature, parsed.tbs)
