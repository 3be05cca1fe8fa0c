"""MRENCLAVE and MRTD by the hardware's arithmetic: the records by hand, and every bit of a manifest counts."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.attestation.measurement import MAX_MANIFEST_BYTES, measure_manifest, measure_td, thread_control_page
from protocol.errors import LengthError, MalformedError


def by_hand(manifest: bytes) -> bytes:
    """The same number from a list of records, written without a look at the other code."""
    size = 64 << 20
    pages = [(0x100, thread_control_page())]
    while manifest:
        pages.append((0x201, (manifest[:4096] + bytes(4096))[:4096]))
        manifest = manifest[4096:]
    log = b"ECREATE\0" + (1).to_bytes(4, "little") + size.to_bytes(8, "little") + bytes(44)
    for number, (flags, page) in enumerate(pages):
        offset = number * 4096
        log += b"EADD\0\0\0\0" + offset.to_bytes(8, "little") + flags.to_bytes(8, "little") + bytes(40)
        for chunk in range(16):
            log += b"EEXTEND\0" + (offset + chunk * 256).to_bytes(8, "little") + bytes(48)
            log += page[chunk * 256 : chunk * 256 + 256]
    assert len(log) == 64 + len(pages) * (64 + 16 * (64 + 256))
    return hashlib.sha256(log).digest()


@pytest.mark.parametrize("length", [1, 255, 256, 257, 4095, 4096, 4097, 3 * 4096])
def test_the_measurement_is_the_hash_of_the_records(length: int) -> None:
    manifest = bytes(1 + index % 255 for index in range(length))
    assert measure_manifest(manifest) == by_hand(manifest)


def test_the_measurement_of_a_known_manifest_does_not_change() -> None:
    assert (
        measure_manifest(b'{"profile":"test"}').hex()
        == "3894bafdc25668dbfb607ba18519b75817b02adaa1493f62a52c0c1922442bb3"
    )


def test_the_thread_control_page_is_one_constant_page() -> None:
    page = thread_control_page()
    assert len(page) == 4096
    assert page[16:24] == ((64 << 20) - 4096).to_bytes(8, "little")  # OSSA: the last page
    assert page[28:32] == b"\x01\0\0\0"  # NSSA
    assert page[72:] == bytes(4096 - 72)


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=1, max_size=9000).map(lambda data: data.replace(b"\0", b"\x01")), st.data())
def test_any_changed_byte_changes_the_measurement(manifest: bytes, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, len(manifest) - 1))
    changed = bytearray(manifest)
    changed[offset] = changed[offset] % 255 + 1
    for measure in (measure_manifest, measure_td):
        assert changed == manifest or measure(bytes(changed)) != measure(manifest)


def td_by_hand(manifest: bytes) -> bytes:
    """MRTD from a list of records, written without a look at the other code."""
    log, address = b"", 1 << 20
    while manifest:
        page, manifest = (manifest[:4096] + bytes(4096))[:4096], manifest[4096:]
        log += b"MEM.PAGE.ADD" + bytes(4) + address.to_bytes(8, "little") + bytes(104)
        for chunk in range(16):
            log += b"MR.EXTEND" + bytes(7) + (address + chunk * 256).to_bytes(8, "little") + bytes(104)
            log += page[chunk * 256 : chunk * 256 + 256]
        address += 4096
    assert len(log) % (128 + 16 * (128 + 256)) == 0
    return hashlib.sha384(log).digest()


@pytest.mark.parametrize("length", [1, 255, 256, 257, 4095, 4096, 4097, 3 * 4096])
def test_the_measurement_of_a_trust_domain_is_the_hash_of_its_records(length: int) -> None:
    manifest = bytes(1 + index % 255 for index in range(length))
    assert measure_td(manifest) == td_by_hand(manifest)


def test_the_measurement_of_a_known_trust_domain_does_not_change() -> None:
    assert (
        measure_td(b'{"profile":"test"}').hex()
        == "03147cb0273be61886da5bd4cc7490989b26c1648f5bf94fc525c511438456b35c9a40d83979cd77087cd3c3c2434689"
    )


def test_white_space_at_the_end_of_a_manifest_counts() -> None:
    for measure in (measure_manifest, measure_td):
        assert measure(b"{}") != measure(b"{} ")


def test_a_manifest_that_padding_could_hide_is_refused() -> None:
    for measure in (measure_manifest, measure_td):
        with pytest.raises(MalformedError, match="NUL"):
            measure(b"{}\0")


@pytest.mark.parametrize("length", [0, MAX_MANIFEST_BYTES + 1])
def test_a_manifest_of_a_wrong_length_is_refused(length: int) -> None:
    for measure in (measure_manifest, measure_td):
        with pytest.raises(LengthError, match="length of a manifest"):
            measure(b"x" * length)
