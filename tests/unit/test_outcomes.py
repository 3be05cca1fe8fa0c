"""One word says one outcome, and no other word is accepted."""

from __future__ import annotations

from typing import Any

import pytest
from protocol_examples import raw, vectors

from protocol import errors, outcomes
from protocol.errors import EncodingError, LengthError, RangeError
from protocol.hashing import keccak256
from protocol.outcomes import ATTESTED_ONLY, Outcome, Reason, Status


def of_vector(vector: dict[str, Any]) -> Outcome:
    names = ("flagged", "kept", "deviation", "alignment", "weight")
    fields = {name: vector[name] for name in names}
    return Outcome(status=Status(vector["status"]), reason=Reason(vector["reason"]), **fields)


@pytest.mark.parametrize("vector", vectors("outcomes/accepted.json"), ids=lambda v: v["word"][2:])
def test_an_outcome_has_the_word_of_its_vector_both_ways(vector: dict[str, Any]) -> None:
    outcome = of_vector(vector)
    assert outcome.word() == raw(vector["word"])
    assert outcomes.parse_outcome(raw(vector["word"])) == outcome


@pytest.mark.parametrize("vector", vectors("outcomes/refused.json"), ids=lambda v: v["defect"])
def test_a_word_with_one_defect_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(getattr(errors, vector["error"])):
        outcomes.parse_outcome(raw(vector["word"]))


def test_the_word_is_laid_out_from_the_most_significant_bit_down() -> None:
    outcome = Outcome(status=Status.COUNTED, flagged=True, kept=6, deviation=7, alignment=-8, weight=9)
    value = int.from_bytes(outcome.word())
    assert value >> 248 == 2
    assert value >> 240 & 0xFF == 0
    assert value >> 232 & 0xFF == 1
    assert value >> 200 & 0xFFFFFFFF == 6
    assert value >> 136 & (1 << 64) - 1 == 7
    assert value >> 72 & (1 << 64) - 1 == (1 << 64) - 8
    assert value >> 40 & 0xFFFFFFFF == 9
    assert value & (1 << 40) - 1 == 0


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"status": Status.COUNTED, "reason": Reason.NORM}, EncodingError),
        ({"status": Status.ABSENT, "reason": Reason.NORM}, EncodingError),
        ({"status": Status.REFUSED}, EncodingError),
        ({"status": Status.ABSENT, "kept": 1}, EncodingError),
        ({"status": Status.REFUSED, "reason": Reason.NORM, "weight": 1}, EncodingError),
        ({"status": Status.COUNTED, "flagged": True}, EncodingError),
        ({"status": Status.COUNTED, "alignment": -1}, EncodingError),
        ({"status": Status.COUNTED, "kept": 1 << 32}, RangeError),
        ({"status": Status.COUNTED, "kept": -1}, RangeError),
        ({"status": Status.COUNTED, "deviation": 1 << 64}, RangeError),
        ({"status": Status.COUNTED, "alignment": 1 << 63}, RangeError),
        ({"status": Status.COUNTED, "alignment": -(1 << 63) - 1, "flagged": True}, RangeError),
        ({"status": Status.COUNTED, "weight": 1 << 32}, RangeError),
    ],
)
def test_an_outcome_that_no_word_holds_can_not_be_built(fields: dict[str, Any], error: type) -> None:
    with pytest.raises(error):
        Outcome(**fields)


def test_the_numbers_of_statuses_and_reasons_are_fixed() -> None:
    assert [s.name for s in Status] == ["ABSENT", "REFUSED", "COUNTED"]
    assert [s.value for s in Status] == [0, 1, 2]
    names = ["NONE", "SIGNATURE", "SPEC", "ENCLAVE", "LENGTH", "RANGE", "NORM", "UNDELIVERED", "UNOPENED", "ROOT"]
    assert [r.name for r in Reason] == names
    assert [r.value for r in Reason] == list(range(10))
    assert [int(r) for r in ATTESTED_ONLY] == [7, 8, 9]


def test_outcomes_of_a_cohort_are_their_words_in_order() -> None:
    cohort = [of_vector(vector) for vector in vectors("outcomes/accepted.json")]
    data = outcomes.encode_outcomes(cohort)
    assert data == b"".join(outcome.word() for outcome in cohort)
    assert outcomes.parse_outcomes(data) == cohort
    assert outcomes.outcomes_hash(cohort) == keccak256(data)


@pytest.mark.parametrize("length", [1, 31, 33, 257 * 32])
def test_outcomes_of_another_length_are_refused(length: int) -> None:
    with pytest.raises(LengthError):
        outcomes.parse_outcomes(bytes(length))


def test_a_bitmap_has_a_bit_for_each_slot() -> None:
    assert outcomes.bitmap([]) == 0
    assert outcomes.bitmap([0, 2, 255]) == 1 | 4 | 1 << 255
    assert outcomes.slots_of(1 | 4 | 1 << 255) == [0, 2, 255]
    assert outcomes.slots_of(0) == []


@pytest.mark.parametrize("slot", [-1, 256])
def test_a_bitmap_has_no_other_slots(slot: int) -> None:
    with pytest.raises(RangeError):
        outcomes.bitmap([slot])
