"""A cohort is drawn by what the chain fixes, and nothing else."""

from __future__ import annotations

from hashlib import sha256

import pytest
from protocol_examples import some

from protocol import seeds
from protocol.errors import RangeError

REGISTERED = [some(f"participant {i}", 20) for i in range(30)]
SEED = seeds.cohort_seed(federation=some("federation"), round_id=258, previous=some("previous"))


def test_the_seed_is_the_hash_of_federation_round_and_previous() -> None:
    assert sha256(some("federation") + bytes([0] * 6 + [1, 2]) + some("previous")).digest() == SEED


def test_the_seed_of_bucketing_is_the_hash_of_federation_round_and_set_root() -> None:
    found = seeds.bucketing_seed(federation=some("federation"), round_id=258, set_root=some("set root"))
    assert sha256(some("federation") + bytes([0] * 6 + [1, 2]) + some("set root")).digest() == found


def test_a_draw_is_the_hash_of_seed_and_address() -> None:
    assert seeds.draw(SEED, REGISTERED[0]) == sha256(SEED + REGISTERED[0]).digest()


@pytest.mark.parametrize("size", [1, 7, 29])
def test_a_cohort_has_the_smallest_draws_in_order_of_address(size: int) -> None:
    cohort = seeds.sample_cohort(SEED, REGISTERED, size)
    assert cohort == sorted(cohort)
    assert len(cohort) == size
    drawn = sorted(sha256(SEED + participant).digest() for participant in REGISTERED)
    assert sorted(sha256(SEED + participant).digest() for participant in cohort) == drawn[:size]


@pytest.mark.parametrize("size", [0, 30, 31])
def test_everybody_takes_part_where_the_size_says_so(size: int) -> None:
    assert seeds.sample_cohort(SEED, REGISTERED, size) == sorted(REGISTERED)


def test_the_order_of_registration_changes_nothing() -> None:
    assert seeds.sample_cohort(SEED, REGISTERED[::-1], 7) == seeds.sample_cohort(SEED, REGISTERED, 7)


def test_the_cut_tells_the_cohort_without_sorting() -> None:
    cohort = seeds.sample_cohort(SEED, REGISTERED, 7)
    cut = seeds.cut(SEED, cohort)
    assert [p for p in sorted(REGISTERED) if seeds.draw(SEED, p) <= cut] == cohort


def test_another_round_draws_another_cohort() -> None:
    other = seeds.cohort_seed(federation=some("federation"), round_id=259, previous=some("previous"))
    assert seeds.sample_cohort(other, REGISTERED, 7) != seeds.sample_cohort(SEED, REGISTERED, 7)


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(RangeError):
        seeds.sample_cohort(SEED, REGISTERED, -1)


def test_everybody_means_as_many_as_a_bitmap_has_slots() -> None:
    many = [sha256(number.to_bytes(2)).digest()[:20] for number in range(300)]
    cohort = seeds.sample_cohort(SEED, many, 0)
    assert len(cohort) == 256
    assert cohort == seeds.sample_cohort(SEED, many, 256)
