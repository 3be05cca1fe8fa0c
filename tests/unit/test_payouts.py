"""A budget is shared by reputation, floored, and never exceeded."""

from __future__ import annotations

from typing import Any

import pytest
from protocol_examples import vectors

from protocol.payouts import payouts


def compute(vector: dict[str, Any]) -> dict[str, int]:
    shares = {int(slot): e for slot, e in vector["reputations"].items()}
    paid = payouts(budget_wei=vector["budget"], cohort_size=vector["cohortSize"], reputations_ppb=shares)
    return {str(slot): wei for slot, wei in paid.items()}


@pytest.mark.parametrize("vector", vectors("payouts/accepted.json"), ids=lambda v: v["comment"])
def test_a_round_pays_what_its_vector_says(vector: dict[str, Any]) -> None:
    assert compute(vector) == vector["payouts"]
    assert sum(compute(vector).values()) <= vector["budget"]


@pytest.mark.parametrize("vector", vectors("payouts/refused.json"), ids=lambda v: v["defect"])
def test_one_mistake_pays_otherwise(vector: dict[str, Any]) -> None:
    assert compute(vector) == vector["payouts"]
    assert vector["payouts"] != vector["wrong"]


def test_three_equal_of_four_get_a_quarter_each_and_the_treasury_keeps_the_fourth() -> None:
    assert payouts(budget_wei=1000, cohort_size=4, reputations_ppb={0: 7, 1: 7, 3: 7}) == {0: 250, 1: 250, 3: 250}


def test_by_hand_with_floors() -> None:
    # u = 2 of n = 3, budget 100: 100 * 2 * 1 // (3 * 3) and 100 * 2 * 2 // (3 * 3)
    assert payouts(budget_wei=100, cohort_size=3, reputations_ppb={0: 1, 2: 2}) == {0: 22, 2: 44}


def test_to_get_somebody_excluded_earns_nothing() -> None:
    everybody = payouts(budget_wei=10**18, cohort_size=3, reputations_ppb={0: 5, 1: 5, 2: 5})
    without_one = payouts(budget_wei=10**18, cohort_size=3, reputations_ppb={0: 5, 1: 5})
    assert everybody[0] == without_one[0]


def test_nobody_counted_and_unflagged_is_paid_nothing() -> None:
    assert payouts(budget_wei=10**18, cohort_size=3, reputations_ppb={}) == {}
