"""Payouts: how a round's budget is shared.

Responsible for: the twin of the contract's arithmetic, to the last wei.
Must not know:   balances, addresses.

Spec: docs/protocol.md section 7.  Twin: contracts/src/libraries/Payouts.sol.
"""

from __future__ import annotations

from collections.abc import Mapping


def payouts(*, budget_wei: int, cohort_size: int, reputations_ppb: Mapping[int, int]) -> dict[int, int]:
    """Wei for each counted and unflagged slot: floor(budget * u * E_i / (n * sum of E)).

    budget_wei:      the round's budget.
    cohort_size:     n, all slots of the cohort.
    reputations_ppb: E_i of each counted and unflagged slot, as at the round's opening; u of them.
    returns: slot to wei; what they leave of the budget goes back to the treasury.
    """
    total = sum(reputations_ppb.values())
    u = len(reputations_ppb)
    return {slot: budget_wei * u * e // (cohort_size * total) for slot, e in reputations_ppb.items()}
