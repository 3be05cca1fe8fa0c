"""Reputation is the recurrence of the design in integers."""

from __future__ import annotations

from typing import Any

import pytest
from protocol_examples import vectors

from protocol.reputation import Standing


def after(history: str) -> Standing:
    standing = Standing()
    for letter in history:
        standing = standing.after(flagged=letter == "b")
    return standing


@pytest.mark.parametrize("vector", vectors("reputation/accepted.json"), ids=lambda v: v["comment"])
def test_a_history_gives_the_standing_of_its_vector(vector: dict[str, Any]) -> None:
    standing = after(vector["history"])
    assert (standing.good, standing.bad) == (vector["good"], vector["bad"])
    assert standing.reputation_ppb == vector["reputation"]


@pytest.mark.parametrize("vector", vectors("reputation/refused.json"), ids=lambda v: v["defect"])
def test_one_mistake_gives_another_reputation(vector: dict[str, Any]) -> None:
    assert after(vector["history"]).reputation_ppb == vector["reputation"]
    assert vector["reputation"] != vector["wrong"]


def test_a_newcomer_starts_at_three_tenths() -> None:
    assert Standing().reputation_ppb == 300_000_000


def test_two_rounds_by_hand() -> None:
    # good: r = 1; flagged: r = 0.98, s = 3; E = (0.98 + 0.6) / (0.98 + 3 + 2)
    standing = after("gb")
    assert (standing.good, standing.bad) == (980_000_000, 3_000_000_000)
    assert standing.reputation_ppb == 1_580_000_000 * 10**9 // 5_980_000_000


def test_standings_stay_below_their_limits_and_reputations_between_zero_and_one() -> None:
    best, worst = after("g" * 3000), after("b" * 3000)
    assert best.good < 50 * 10**9
    assert worst.bad < 600 * 10**9
    assert 960_000_000 < best.reputation_ppb < 10**9
    assert 0 < worst.reputation_ppb < 2_000_000


def test_bad_is_forgotten_more_slowly_than_good() -> None:
    standing = after("g" * 60 + "b")
    assert standing.reputation_ppb < after("g" * 60).reputation_ppb
    assert after("b" + "g" * 60).reputation_ppb < after("g" * 60).reputation_ppb
