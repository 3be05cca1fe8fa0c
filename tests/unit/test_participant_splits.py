"""A split is disjoint, complete, seeded, and gives everyone at least one batch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from participant.data import histogram, load
from participant.splits import MIN_SAMPLES, deal, parse_split
from protocol.errors import EncodingError, RangeError, UnknownNameError

LABELS = load("digits").train.labels


@settings(max_examples=30, deadline=None)
@given(
    text=st.sampled_from(["iid", "dirichlet:1", "dirichlet:100", "label-sorted"]),
    participants=st.integers(1, 20),
    seed=st.integers(0, 2**32),
)
def test_shards_are_disjoint_complete_and_large_enough(text: str, participants: int, seed: int) -> None:
    shards = deal(parse_split(text), LABELS, participants=participants, seed=seed)
    assert len(shards) == participants
    assert np.array_equal(np.sort(np.concatenate(shards)), np.arange(len(LABELS)))
    assert min(len(shard) for shard in shards) >= MIN_SAMPLES
    assert all(np.array_equal(shard, np.sort(shard)) for shard in shards)


@pytest.mark.parametrize("text", ["iid", "dirichlet", "label-sorted"])
def test_a_seed_fixes_the_split_and_another_seed_changes_it(text: str) -> None:
    first, again, other = (deal(parse_split(text), LABELS, participants=10, seed=seed) for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_label_sorted_participants_see_few_labels_and_iid_ones_all() -> None:
    def labels_seen(text: str) -> list[int]:
        shards = deal(parse_split(text), LABELS, participants=10, seed=0)
        return [sum(count > 0 for count in histogram(LABELS[shard], 10)) for shard in shards]

    assert max(labels_seen("label-sorted")) <= 3
    assert min(labels_seen("iid")) == 10


def test_a_smaller_alpha_is_more_uneven() -> None:
    def spread(text: str) -> float:
        shards = deal(parse_split(text), LABELS, participants=10, seed=0)
        return float(np.std([histogram(LABELS[shard], 10) for shard in shards]))

    assert spread("dirichlet:0.3") > spread("dirichlet:1") > spread("dirichlet:100")


def test_an_alpha_that_can_never_give_everyone_a_batch_ends_in_an_error() -> None:
    with pytest.raises(RangeError, match=r"smallest shard of a dirichlet split with alpha 0\.001 in 1000 draws"):
        deal(parse_split("dirichlet:0.001"), LABELS, participants=20, seed=0)


@pytest.mark.parametrize("participants", [0, 90])
def test_too_few_samples_for_everyone_are_refused(participants: int) -> None:
    with pytest.raises(RangeError, match="number of participants"):
        deal(parse_split("iid"), LABELS, participants=participants, seed=0)


def test_an_unknown_split_names_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="dirichlet, iid, label-sorted, got random"):
        parse_split("random")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("iid:1", EncodingError),
        ("dirichlet:x", EncodingError),
        ("dirichlet:0", RangeError),
        ("dirichlet:nan", RangeError),
    ],
)
def test_a_wrong_parameter_is_refused(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        parse_split(text)


def test_a_split_is_written_as_it_is_read() -> None:
    assert [str(parse_split(text)) for text in ("iid", "dirichlet", "dirichlet:0.5")] == [
        "iid",
        "dirichlet:1",
        "dirichlet:0.5",
    ]
