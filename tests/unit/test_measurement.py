"""MRENCLAVE by SGX's arithmetic: the records written out by hand, and every bit of a manifest counts."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.attestation.measurement import MAX_MANIFEST_BYTES, measure_manifest, thread_control_page
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
    assert changed == manifest or measure_manifest(bytes(changed)) != measure_manifest(manifest)


def test_white_space_at_the_end_of_a_manifest_counts() -> None:
    assert measure_manifest(b"{}") != measure_manifest(b"{} ")


def test_a_manifest_that_padding_could_hide_is_refused() -> None:
    with pytest.raises(MalformedError, match="NUL"):
        measure_manifest(b"{}\0")


@pytest.mark.parametrize("length", [0, MAX_MANIFEST_BYTES + 1])
def test_a_manifest_of_a_wrong_length_is_refused(length: int) -> None:
    with pytest.raises(LengthError, match="length of a manifest"):
        measure_manifest(b"x" * length)
