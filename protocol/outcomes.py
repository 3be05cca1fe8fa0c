"""What a round says about each slot: status, reason, and the exact sums, one 256-bit word a slot.

Responsible for: outcome words, their hash, and bitmaps of slots.
Must not know:   how an outcome was computed.

Spec: docs/protocol.md section 5.  Twin: contracts/src/libraries/Outcomes.sol.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from protocol.errors import EncodingError, LengthError, RangeError
from protocol.hashing import keccak256
from protocol.messages import MAX_SLOTS

WORD_BYTES = 32


class Status(IntEnum):
    """What became of a slot."""

    ABSENT = 0
    REFUSED = 1
    COUNTED = 2


class Reason(IntEnum):
    """Why a slot is not counted, in the order in which admission checks; the last three are attested only."""

    NONE = 0
    SIGNATURE = 1
    SPEC = 2
    ENCLAVE = 3
    LENGTH = 4
    RANGE = 5
    NORM = 6
    UNDELIVERED = 7
    UNOPENED = 8
    ROOT = 9


ATTESTED_ONLY = (Reason.UNDELIVERED, Reason.UNOPENED, Reason.ROOT)
"""Reasons that nobody outside the enclave can check; more than f of them in a round let anyone void it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a round says about one slot.  Only a counted slot has anything but status and reason."""

    status: Status
    """Absent, refused or counted."""
    reason: Reason = Reason.NONE
    """Why not counted."""
    flagged: bool = False
    """Opposed: alignment below zero.  Costs pay and reputation."""
    kept: int = 0
    """Coordinates whose value lies between the smallest and the largest that the rule kept; uint32."""
    deviation: int = 0
    """Squared distance from r, the aggregate in int16 units; uint64.  Shown, never punished."""
    alignment: int = 0
    """Inner product with r; int64."""
    weight: int = 0
    """Capped samples where the rule is the weighted mean, else 0; uint32."""

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("kept", self.kept, 0, 1 << 32),
            ("deviation", self.deviation, 0, 1 << 64),
            ("alignment", self.alignment, -(1 << 63), 1 << 63),
            ("weight", self.weight, 0, 1 << 32),
        ):
            if not low <= value < high:
                raise RangeError(f"outcome.{name}", expected=f"in {low}..{high - 1}", actual=value)
        if (self.status == Status.REFUSED) != (self.reason != Reason.NONE):
            raise EncodingError("a reason of an outcome", expected="exactly where it is refused", actual=self.reason)
        if self.status != Status.COUNTED and (
            self.flagged or self.kept or self.deviation or self.alignment or self.weight
        ):
            raise EncodingError("an outcome of a slot that is not counted", expected="status and reason only")
        if self.flagged != (self.alignment < 0):
            raise EncodingError("flagged", expected=self.alignment < 0, actual=self.flagged)

    def word(self) -> bytes:
        """status(8) | reason(8) | flagged(8) | kept(32) | deviation(64) | alignment(64) | weight(32) | zero(40)."""
        return (
            bytes([self.status, self.reason, self.flagged])
            + self.kept.to_bytes(4)
            + self.deviation.to_bytes(8)
            + self.alignment.to_bytes(8, signed=True)
            + self.weight.to_bytes(4)
            + bytes(5)
        )


def parse_outcome(word: bytes) -> Outcome:
    """The outcome in one word; only a word that `Outcome.word` makes is accepted."""
    if len(word) != WORD_BYTES:
        raise LengthError("length of an outcome", expected=WORD_BYTES, actual=len(word))
    try:
        status, reason = Status(word[0]), Reason(word[1])
    except ValueError as error:
        raise EncodingError("status and reason of an outcome", actual=word[:2]) from error
    if word[2] > 1 or any(word[27:]):
        raise EncodingError("an outcome", expected="flagged 0 or 1 and 40 zero bits at the end", actual=word)
    return Outcome(
        status=status,
        reason=reason,
        flagged=bool(word[2]),
        kept=int.from_bytes(word[3:7]),
        deviation=int.from_bytes(word[7:15]),
        alignment=int.from_bytes(word[15:23], signed=True),
        weight=int.from_bytes(word[23:27]),
    )


def encode_outcomes(outcomes: Sequence[Outcome]) -> bytes:
    """The words of all slots of the cohort, in order; 32 bytes a slot."""
    return b"".join(outcome.word() for outcome in outcomes)


def parse_outcomes(data: bytes) -> list[Outcome]:
    """The outcomes in the words of a cohort."""
    if len(data) % WORD_BYTES or len(data) > MAX_SLOTS * WORD_BYTES:
        raise LengthError("length of outcomes", expected="32 bytes a slot, at most 256 slots", actual=len(data))
    return [parse_outcome(data[start : start + WORD_BYTES]) for start in range(0, len(data), WORD_BYTES)]


def outcomes_hash(outcomes: Sequence[Outcome]) -> bytes:
    """keccak256 of the words: the field `outcomes` of a result."""
    return keccak256(encode_outcomes(outcomes))


def bitmap(slots: Iterable[int]) -> int:
    """Slots as a bitmap; slot i is the bit of value 2**i."""
    value = 0
    for slot in slots:
        if not 0 <= slot < MAX_SLOTS:
            raise RangeError("slot", expected=f"in 0..{MAX_SLOTS - 1}", actual=slot)
        value |= 1 << slot
    return value


def slots_of(value: int) -> list[int]:
    """The slots of a bitmap, ascending."""
    return [slot for slot in range(value.bit_length()) if value >> slot & 1]
