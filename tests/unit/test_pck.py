"""Intel's extension has each field once, in one form; each test writes one field in another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.attestation.certificates import parse_certificate, parse_pem_chain
from protocol.attestation.pck import PckConfiguration, PckExtension, parse_pck_extension
from protocol.errors import MalformedError
from tests.unit.certificate_world import integer, oid, tlv

VECTORS = Path(__file__).parents[1] / "vectors" / "quotes"
PREFIX = "1.2.840.113741.1.13.1"
CPU_SVN = bytes([*range(15), 255])

Fields = dict[str, bytes]


def fields(*, is_platform: bool = True) -> Fields:
    """Values (DER) by number; the parts of the TCB and of the configuration stand beside the rest."""
    found = {
        "1": tlv(0x04, b"P" * 16),
        **{f"2.{number}": integer(svn) for number, svn in enumerate(CPU_SVN, start=1)},
        "2.17": integer(65535),
        "2.18": tlv(0x04, CPU_SVN),
        "3": tlv(0x04, b"\0\1"),
        "4": tlv(0x04, b"FMSPC!"),
        "5": tlv(0x0A, b"\1"),
    }
    if is_platform:
        found |= {"6": tlv(0x04, b"I" * 16)}
        found |= {f"7.{number}": tlv(0x01, mark) for number, mark in enumerate((b"\xff", b"\0", b"\xff"), start=1)}
    return found


def encode(found: Fields) -> bytes:
    return tlv(0x30, *(pair(number, value) for number, value in group(found).items()))


def pair(number: str, value: bytes) -> bytes:
    return tlv(0x30, oid(f"{PREFIX}.{number}"), value)


def group(found: Fields) -> Fields:
    grouped: Fields = {}
    for number, value in found.items():
        outer, _, inner = number.partition(".")
        grouped[outer] = grouped.get(outer, b"") + pair(number, value) if inner else value
    return {number: tlv(0x30, value) if number in ("2", "7") else value for number, value in grouped.items()}


EXPECTED = PckExtension(
    ppid=b"P" * 16,
    component_svns=tuple(CPU_SVN),
    pce_svn=65535,
    cpu_svn=CPU_SVN,
    pce_id=b"\0\1",
    fmspc=b"FMSPC!",
    sgx_type=1,
    platform_instance=b"I" * 16,
    configuration=PckConfiguration(is_dynamic=True, caches_keys=False, has_smt=True),
)


def test_a_leaf_of_the_platform_ca_says_all_seven() -> None:
    assert parse_pck_extension(encode(fields())) == EXPECTED


def test_a_leaf_of_the_processor_ca_says_five() -> None:
    parsed = parse_pck_extension(encode(fields(is_platform=False)))
    assert (parsed.fmspc, parsed.platform_instance, parsed.configuration) == (b"FMSPC!", None, None)


def genuine(quote: str) -> PckExtension:
    data = (VECTORS / quote).read_bytes()
    end = data.rindex(b"-----END CERTIFICATE-----") + len("-----END CERTIFICATE-----")
    extension = parse_certificate(parse_pem_chain(data[data.index(b"-----BEGIN") : end], count=3)[0]).sgx_extension
    assert extension is not None
    return parse_pck_extension(extension)


def test_a_genuine_leaf_of_the_processor_ca_is_read() -> None:
    pck = genuine("sgx_quote")
    assert pck.fmspc.hex() == "00a067110000"
    assert (pck.pce_id, pck.pce_svn, pck.sgx_type) == (b"\0\0", 13, 0)
    assert pck.component_svns == (11, 11, 2, 2, 255, 1, *[0] * 10)
    assert pck.cpu_svn == bytes(pck.component_svns)
    assert (pck.platform_instance, pck.configuration) == (None, None)


def test_a_genuine_leaf_of_the_platform_ca_is_read() -> None:
    pck = genuine("tdx_quote")
    assert pck.fmspc.hex() == "b0c06f000000"
    assert (pck.pce_svn, pck.sgx_type) == (11, 1)
    assert pck.component_svns == (3, 3, 2, 2, 4, 1, 0, 5, *[0] * 8)
    assert pck.platform_instance is not None
    assert pck.platform_instance.hex() == "07828474603e7019dc930775ffe8cdd2"
    assert pck.configuration == PckConfiguration(is_dynamic=True, caches_keys=True, has_smt=True)


@pytest.mark.parametrize("number", list(fields()))
def test_a_field_that_is_missing_is_refused(number: str) -> None:
    found = fields()
    del found[number]
    with pytest.raises(MalformedError, match="fields of the"):
        parse_pck_extension(encode(found))


@pytest.mark.parametrize("number", ["6", "7"])
def test_half_a_platform_is_refused(number: str) -> None:
    found = {key: value for key, value in fields().items() if not key.startswith(number)}
    with pytest.raises(MalformedError, match="fields of the SGX extension: expected 1 to 5 or 1 to 7"):
        parse_pck_extension(encode(found))


@pytest.mark.parametrize("number", ["1", "2", "3", "4", "5", "6", "7"])
def test_a_field_that_is_there_twice_is_refused(number: str) -> None:
    again = pair(number, group(fields())[number])
    with pytest.raises(MalformedError, match=f"field {PREFIX}.{number} of the SGX extension: expected once"):
        parse_pck_extension(tlv(0x30, *(pair(*item) for item in group(fields()).items()), again))


@pytest.mark.parametrize("number", ["2.1", "2.16", "2.17", "2.18", "7.1", "7.3"])
def test_a_part_that_is_there_twice_is_refused(number: str) -> None:
    grouped, outer = group(fields()), number[0]
    parts = {key: value for key, value in fields().items() if key.startswith(outer)}
    grouped[outer] = tlv(0x30, *(pair(*item) for item in parts.items()), pair(number, parts[number]))
    with pytest.raises(MalformedError, match=f"field {PREFIX}.{number} of the .*: expected once, got twice"):
        parse_pck_extension(tlv(0x30, *(pair(*item) for item in grouped.items())))


@pytest.mark.parametrize(
    ("number", "value"),
    [
        ("1", tlv(0x04, b"P" * 15)),
        ("1", tlv(0x04, b"P" * 17)),
        ("1", tlv(0x0C, b"P" * 16)),
        ("1", tlv(0x04, b"P" * 16) + b"\0"),
        ("2.1", integer(256)),
        ("2.1", integer(-1)),
        ("2.1", tlv(0x02, b"\xff")),
        ("2.1", tlv(0x02, b"\0\x01")),
        ("2.1", tlv(0x02)),
        ("2.1", tlv(0x0A, b"\1")),
        ("2.16", integer(1 << 80)),
        ("2.17", integer(65536)),
        ("2.17", tlv(0x02, b"\0\0\x0d")),
        ("2.18", tlv(0x04, CPU_SVN[:15])),
        ("2.18", tlv(0x04, CPU_SVN + b"\0")),
        ("3", tlv(0x04, b"\0")),
        ("4", tlv(0x04, b"FMSPC")),
        ("5", tlv(0x0A, b"\3")),
        ("5", tlv(0x0A, b"\xff")),
        ("5", tlv(0x0A, b"\0\1")),
        ("5", tlv(0x02, b"\1")),
        ("6", tlv(0x04, b"I" * 15)),
        ("7.1", tlv(0x01, b"\1")),
        ("7.1", tlv(0x01, b"\xff\xff")),
        ("7.2", tlv(0x01)),
        ("7.3", tlv(0x02, b"\1")),
    ],
)
def test_a_field_in_another_form_is_refused(number: str, value: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_pck_extension(encode(fields() | {number: value}))


@pytest.mark.parametrize(
    ("rewrite", "match"),
    [
        (lambda data: data + b"\0", "bytes behind the SGX extension"),
        (lambda data: data[:-1], "length of the SGX extension"),
        (lambda data: tlv(0x30, data[4:], pair("8", tlv(0x05))), "fields of the SGX extension"),
        (lambda data: tlv(0x30, data[4:], tlv(0x30, oid("1.2.840.113741.1.13.2"), tlv(0x05))), "unknown field"),
        (lambda data: tlv(0x30, data[4:], tlv(0x30, oid(f"{PREFIX}.1.1"), tlv(0x05))), "unknown field"),
        (lambda data: tlv(0x30, data[4:], tlv(0x30)), "tag of the field"),
        (lambda data: b"", "tag of the SGX extension"),
    ],
)
def test_another_frame_is_refused(rewrite: Callable[[bytes], bytes], match: str) -> None:
    with pytest.raises(MalformedError, match=match):
        parse_pck_extension(rewrite(encode(fields())))


@given(st.binary(max_size=200))
def test_any_bytes_are_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_pck_extension(tlv(0x30, data))
