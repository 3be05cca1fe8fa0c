"""Vectors of envelopes and outcome words: the one accepted form, and everything near it.

Responsible for: tests/vectors/{encoding,outcomes}/.
Must not know:   files.
"""

from __future__ import annotations

from typing import Any

from protocol import encoding, outcomes
from protocol.outcomes import Outcome, Reason, Status
from vectors import Vector, error_of, hexed

VALUES: list[Any] = [
    0, 23, 24, 255, 256, 65535, 65536, (1 << 32) - 1, 1 << 32, (1 << 64) - 1, -1, -24, -25, -(1 << 64),
    b"", b"\x00" * 23, b"\x01" * 24, "", "veriflock", "\u00e9\U0001f600", [], [1, [2, [3]]], {},
    {"b": 1, "a": 2, "aa": 3}, True, False, None, {"round": 7, "rows": [None, b"\x02"], "ok": True},
]  # fmt: skip
"""Every width of every type."""

BROKEN = {
    "empty": "",
    "7 in two bytes": "1807",
    "24 in three bytes": "190018",
    "256 in five bytes": "1a00000100",
    "65536 in nine bytes": "1b0000000000010000",
    "-1 in two bytes": "3800",
    "a length in two bytes": "580100",
    "a text's length in two bytes": "780161",
    "a list's length in two bytes": "980100",
    "a map's length in two bytes": "b801616100",
    "a byte too many": "0000",
    "a head cut short": "19",
    "an argument cut short": "1a000001",
    "bytes cut short": "4301",
    "text cut short": "6261",
    "a list cut short": "8201",
    "a map without its last value": "a16161",
    "a length of 2**64 - 1": "5bffffffffffffffff",
    "a list of 2**64 - 1": "9bffffffffffffffff",
    "a map of 2**64 - 1": "bbffffffffffffffff",
    "bytes of indefinite length": "5f4100ff",
    "text of indefinite length": "7f6161ff",
    "a list of indefinite length": "9f00ff",
    "a map of indefinite length": "bf616100ff",
    "a break": "ff",
    "a reserved head": "1c",
    "keys in the wrong order": "a2616200616101",
    "a longer key first": "a262616100616101",
    "a key twice": "a2616100616101",
    "a key of bytes": "a1416100",
    "a key that is a number": "a10000",
    "text that is not UTF-8": "61ff",
    "half of a surrogate pair": "63eda080",
    "undefined": "f7",
    "a simple value": "e0",
    "false in two bytes": "f814",
    "a half float": "f93c00",
    "a float": "fb3ff0000000000000",
    "a date": "c074323032362d31312d32315430303a30303a30305a",
    "a big number that fits 64 bits": "c24101",
    "a big number of 65 bits": "c249010000000000000000",
    "the tag that says CBOR": "d9d9f700",
    "a regular expression": "d8236161",
    "a set": "d9010281 01".replace(" ", ""),
    "a list that contains itself": "d81c81d81d00",
    "a value shared": "82d81c8100d81d00",
    "a string referenced": "d9010082 6461616161d81900".replace(" ", ""),
    "17 levels": "81" * 17 + "00",
    "a thousand levels": "81" * 1000 + "00",
}


def encoding_accepted() -> list[Vector]:
    """Values and their one encoding; bytes in `value` are {"bytes": hex}."""
    return [{"value": as_json(value), "data": hexed(encoding.encode(value))} for value in VALUES]


def as_json(value: Any) -> Any:
    """A value with its bytes marked."""
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    return {key: as_json(item) for key, item in value.items()} if isinstance(value, dict) else value


def encoding_refused() -> list[Vector]:
    """Bytes that are no envelope of ours."""
    return [
        {"defect": defect, "data": "0x" + data,
         "error": error_of(lambda d=data: encoding.decode(bytes.fromhex(d), max_bytes=1 << 16))}  # type: ignore[misc]
        for defect, data in BROKEN.items()
    ]  # fmt: skip


OUTCOMES = [
    Outcome(status=Status.ABSENT),
    *(Outcome(status=Status.REFUSED, reason=reason) for reason in Reason if reason),
    Outcome(status=Status.COUNTED),
    Outcome(status=Status.COUNTED, kept=6090, deviation=123456789, alignment=987654321, weight=60),
    Outcome(status=Status.COUNTED, flagged=True, kept=1, deviation=2, alignment=-3, weight=4),
    Outcome(status=Status.COUNTED, flagged=True, kept=(1 << 32) - 1, deviation=(1 << 64) - 1, alignment=-(1 << 63),
            weight=(1 << 32) - 1),
    Outcome(status=Status.COUNTED, alignment=(1 << 63) - 1),
]  # fmt: skip


def outcomes_accepted() -> list[Vector]:
    """Outcomes and their words."""
    return [
        {"status": int(o.status), "reason": int(o.reason), "flagged": o.flagged, "kept": o.kept,
         "deviation": o.deviation, "alignment": o.alignment, "weight": o.weight, "word": hexed(o.word())}
        for o in OUTCOMES
    ]  # fmt: skip


def outcomes_refused() -> list[Vector]:
    """Words that no outcome has."""
    counted = OUTCOMES[-4].word()
    flagged = OUTCOMES[-3].word()
    absent, refused = bytes(32), b"\x01\x06" + bytes(30)

    def put(word: bytes, at: int, value: int) -> bytes:
        return word[:at] + bytes([value]) + word[at + 1 :]

    broken = {
        "status 3": put(counted, 0, 3),
        "status 255": put(absent, 0, 255),
        "reason 10": put(refused, 1, 10),
        "absent with a reason": put(absent, 1, 1),
        "refused without a reason": put(refused, 1, 0),
        "counted with a reason": put(counted, 1, 6),
        "counted with an attested-only reason": put(counted, 1, 7),
        "flagged 2": put(flagged, 2, 2),
        "flagged with an alignment above zero": put(counted, 2, 1),
        "an alignment below zero, not flagged": put(flagged, 2, 0),
        "absent and flagged": put(absent, 2, 1),
        "absent with kept": put(absent, 6, 1),
        "absent with a deviation": put(absent, 14, 1),
        "absent with an alignment": put(absent, 22, 1),
        "absent with a weight": put(absent, 26, 1),
        "refused with kept": put(refused, 6, 1),
        "refused with a weight": put(refused, 26, 1),
        "the first of the 40 zero bits set": put(counted, 27, 0x80),
        "the last of the 40 zero bits set": put(counted, 31, 1),
        "31 bytes": counted[:-1],
        "33 bytes": counted + b"\0",
        "no bytes": b"",
    }
    return [
        {"defect": defect, "word": hexed(word), "error": error_of(lambda w=word: outcomes.parse_outcome(w))}  # type: ignore[misc]
        for defect, word in broken.items()
    ]
