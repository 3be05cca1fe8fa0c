"""Genuine evidence with any one byte changed is refused: quotes, collateral and the Nitro document, every byte of each.

The one byte that may change is white space between lines of PEM, into other white space: nothing signs it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.attestation.trust import HARDWARE_TRUST_STORE
from protocol.attestation.verify import examine
from protocol.errors import VerificationError

GENUINE = Path(__file__).parent.parent / "vectors" / "quotes"
INTEL_NOW_S = 1_750_500_000
NITRO_NOW_S = 1_766_668_537

Verdict = Callable[[bytes], VerificationError | None]
"""Why these bytes are refused, None where they are authentic."""


def _verdict(quote: bytes, collateral: bytes | None, now_s: int) -> VerificationError | None:
    examined = examine(quote, collateral_json=collateral, nonce=None, trust_store=HARDWARE_TRUST_STORE, now_s=now_s)
    assert examined.error is not None or examined.is_complete
    return examined.error


def _read(name: str) -> bytes:
    return (GENUINE / name).read_bytes()


def _quote(name: str) -> Verdict:
    collateral = _read(f"{name}_collateral.json")
    return lambda data: _verdict(data, collateral, INTEL_NOW_S)


def _collateral(name: str) -> Verdict:
    quote = _read(name)
    return lambda data: _verdict(quote, data, INTEL_NOW_S)


def _nitro(data: bytes) -> VerificationError | None:
    return _verdict(data, None, NITRO_NOW_S)


EVIDENCE: dict[str, tuple[str, Verdict]] = {
    "SGX quote": ("sgx_quote", _quote("sgx_quote")),
    "TDX quote": ("tdx_quote", _quote("tdx_quote")),
    "SGX collateral": ("sgx_quote_collateral.json", _collateral("sgx_quote")),
    "TDX collateral": ("tdx_quote_collateral.json", _collateral("tdx_quote")),
    "Nitro document": ("nitro_attestation.bin", _nitro),
}

WHITE = b" \t\r\n\0"
"""Between and behind the lines of PEM; one NUL may end it."""

PARTS = 8
"""Of each piece of evidence, so that two processes share the work."""


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", EVIDENCE)
def test_no_byte_of_genuine_evidence_can_change(name: str, part: int) -> None:
    file, verdict = EVIDENCE[name]
    genuine = _read(file)
    survivors = []
    for offset in range(part, len(genuine), PARTS):
        # one bit each, every bit at some byte of every field; and the bit that makes A of a
        for mask in {1 << (offset // PARTS % 8), 0x20}:
            changed = bytearray(genuine)
            changed[offset] ^= mask
            is_white = bytes([genuine[offset], changed[offset]]).strip(WHITE) == b""
            if not is_white and verdict(bytes(changed)) is None:
                survivors.append((offset, mask))

    assert survivors == []


@pytest.mark.parametrize("name", EVIDENCE)
def test_genuine_evidence_is_authentic_as_it_is(name: str) -> None:
    file, verdict = EVIDENCE[name]

    assert verdict(_read(file)) is None


@pytest.mark.parametrize("name", EVIDENCE)
@pytest.mark.parametrize("cut", [1, 2, 16, 500])
def test_evidence_cut_short_is_refused(name: str, cut: int) -> None:
    file, verdict = EVIDENCE[name]
    genuine = _read(file)
    if name == "TDX quote":
        genuine = genuine.rstrip(b"\0")  # the zeros behind it are no part of it

    assert verdict(genuine[:-cut]) is not None


@pytest.mark.parametrize("name", EVIDENCE)
@pytest.mark.parametrize("extra", [b"\1", b"x" * 100])
def test_evidence_with_bytes_behind_it_is_refused(name: str, extra: bytes) -> None:
    file, verdict = EVIDENCE[name]

    assert verdict(_read(file) + extra) is not None


def test_white_space_of_pem_is_all_that_may_change() -> None:
    quote = _read("sgx_quote")
    line_end = quote.index(b"\n", quote.index(b"BEGIN CERTIFICATE"))

    assert _quote("sgx_quote")(quote[:line_end] + b" " + quote[line_end + 1 :]) is None
