"""MRENCLAVE or MRTD of what a manifest describes, by SGX's and by the TDX module's own arithmetic.

Responsible for: the one number that stands for every byte that a manifest names.
Must not know:   what is in a manifest, or any file.

An enclave of fixed size is built as SGX would build it: page 0 is a thread control structure, the manifest follows,
zeros fill its last page, and nothing else is added.  Each step of the construction is one 64-byte record that goes
into a SHA-256, and every added page is measured in 256-byte chunks behind a record of their own:

    ECREATE  "ECREATE\\0" | u32 pages of saved state per thread | u64 size of the enclave   | 44 zero bytes
    EADD     "EADD\\0\\0\\0\\0" | u64 offset of the page              | u64 flags of the page    | 40 zero bytes
    EEXTEND  "EEXTEND\\0" | u64 offset of the chunk             | 48 zero bytes | then the 256 bytes of the chunk

Integers are little-endian.  As with Gramine the measurement covers the manifest, and the manifest every file.

A trust domain is built likewise: the manifest lies at 1 MiB of its private memory, page by page, and nothing else is
there.  Each step is one 128-byte record that goes into a SHA-384, and a page's sixteen 256-byte chunks follow it:

    TDH.MEM.PAGE.ADD  "MEM.PAGE.ADD" | 4 zero bytes | u64 address of the page   | 104 zero bytes
    TDH.MR.EXTEND     "MR.EXTEND"    | 7 zero bytes | u64 address of the chunk  | 104 zero bytes | then the 256 bytes

Source: Intel SDM volume 3D, 38.4.1 (ECREATE), EADD and EEXTEND in 40.3.  Intel TDX Module ABI reference 1.5, leaf
functions TDH.MEM.PAGE.ADD (5.3.20: 128 bytes, text at 0, address at 16, else zero) and TDH.MR.EXTEND.
"""

from __future__ import annotations

import hashlib
import struct

from protocol.errors import LengthError, MalformedError

PAGE_BYTES = 4096
CHUNK_BYTES = 256

ENCLAVE_BYTES = 1 << 26
"""SECS.SIZE, a power of two as SGX wants it: 64 MiB.  A constant, so that the number depends on the manifest only."""

SSA_FRAME_PAGES = 1

SECINFO_TCS = 0x100
"""A page of type TCS, without permissions."""
SECINFO_REG_R = 0x201
"""A regular page that can be read and neither written nor executed."""

TD_MANIFEST_ADDRESS = 1 << 20
"""Where a trust domain has its manifest: behind the first MiB, which loaders leave alone."""

MAX_MANIFEST_BYTES = ENCLAVE_BYTES - 2 * PAGE_BYTES
"""What is left beside the TCS and the page of saved state."""


def thread_control_page() -> bytes:
    """The constant page 0: one thread that enters at offset 0 and saves its state in the last page; 4096 bytes."""
    head = struct.pack(
        "<QQQIIQQQQII",
        0,  # STATE
        0,  # FLAGS
        ENCLAVE_BYTES - PAGE_BYTES,  # OSSA
        0,  # CSSA
        1,  # NSSA
        0,  # OENTRY
        0,  # AEP
        0,  # OFSBASE
        0,  # OGSBASE
        0xFFFFFFFF,  # FSLIMIT
        0xFFFFFFFF,  # GSLIMIT
    )
    return head.ljust(PAGE_BYTES, b"\0")


def measure_manifest(manifest: bytes) -> bytes:
    """MRENCLAVE of the enclave that the manifest describes; 32 bytes.

    Raises: LengthError (empty or too long for the enclave), MalformedError (a NUL, which padding would hide).
    """
    _check_manifest(manifest)
    state = hashlib.sha256(struct.pack("<8sIQ44x", b"ECREATE", SSA_FRAME_PAGES, ENCLAVE_BYTES))
    _add_page(state, 0, SECINFO_TCS, thread_control_page())
    for start in range(0, len(manifest), PAGE_BYTES):
        page = manifest[start : start + PAGE_BYTES].ljust(PAGE_BYTES, b"\0")
        _add_page(state, PAGE_BYTES + start, SECINFO_REG_R, page)
    return state.digest()


def measure_td(manifest: bytes) -> bytes:
    """MRTD of the trust domain that the manifest describes; 48 bytes.  Raises: as `measure_manifest`."""
    _check_manifest(manifest)
    state = hashlib.sha384()
    for start in range(0, len(manifest), PAGE_BYTES):
        page = manifest[start : start + PAGE_BYTES].ljust(PAGE_BYTES, b"\0")
        _add_td_page(state, TD_MANIFEST_ADDRESS + start, page)
    return state.digest()


def _check_manifest(manifest: bytes) -> None:
    if not 0 < len(manifest) <= MAX_MANIFEST_BYTES:
        raise LengthError("length of a manifest", expected=f"1 to {MAX_MANIFEST_BYTES}", actual=len(manifest))
    if b"\0" in manifest:
        raise MalformedError("a manifest with a NUL byte")


def _add_page(state: hashlib._Hash, offset: int, flags: int, page: bytes) -> None:
    state.update(struct.pack("<8sQQ40x", b"EADD", offset, flags))
    for start in range(0, PAGE_BYTES, CHUNK_BYTES):
        state.update(struct.pack("<8sQ48x", b"EEXTEND", offset + start))
        state.update(page[start : start + CHUNK_BYTES])


def _add_td_page(state: hashlib._Hash, address: int, page: bytes) -> None:
    state.update(struct.pack("<16sQ104x", b"MEM.PAGE.ADD", address))
    for start in range(0, PAGE_BYTES, CHUNK_BYTES):
        state.update(struct.pack("<16sQ104x", b"MR.EXTEND", address + start))
        state.update(page[start : start + CHUNK_BYTES])
