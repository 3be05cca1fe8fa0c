"""What follows from a verdict: who loses what, who gets what, and from when on.

Responsible for: the pot, its parts and its dates, before a proof is shown and after.
Must not know:   a chain, files, or how anything is sent.

Spec: docs/protocol.md section 7.  Twin: contracts/src/libraries/Verdicts.sol.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protocol.disputes import CLAIM_WINDOW_S, LEAVES_WINDOW_S, Verdict
from protocol.events import VerdictExecuted
from protocol.keys import Address
from protocol.signed_leaves import is_signed
from verifier.refutation.statement import Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """What becomes of a pot."""

    coordinator: Address
    """Whose bond it is."""
    pot_wei: int
    """All of it."""
    prover: Address
    """Who leads; 20 zero bytes for whoever will."""
    reward_wei: int
    """The prover's part."""
    signers: tuple[Address, ...] | None
    """Whose signed update was in the round; None where the set leaves can't be had."""
    share_wei: int
    """Of each of them."""
    burnt_wei: int
    """Gone for good."""
    suspended: bytes | None
    """The measurement that a proof suspends; None where it suspends none, or it is not allowed anyway."""


def prospect(verdict: Verdict, signers: tuple[Address, ...] | None, suspended: bytes | None) -> Prospect:
    """Of a verdict."""
    reward, share, burnt = verdict.split(len(signers or ()))
    return Prospect(
        coordinator=verdict.coordinator,
        pot_wei=verdict.pot,
        prover=verdict.prover,
        reward_wei=reward,
        signers=signers,
        share_wei=share,
        burnt_wei=burnt,
        suspended=suspended,
    )


def shared_out(verdict: Verdict, event: VerdictExecuted, suspended: bytes | None) -> Prospect:
    """Of a verdict that was executed: as it was done."""
    return Prospect(
        coordinator=verdict.coordinator,
        pot_wei=verdict.pot,
        prover=event.prover,
        reward_wei=event.reward,
        signers=event.signers,
        share_wei=event.share,
        burnt_wei=event.burnt,
        suspended=suspended,
    )


def signers_of(facts: Facts, set_leaves: Sequence[bytes | None] | None) -> tuple[Address, ...] | None:
    """The slots whose set leaf carries their own signature, ascending; None unless all leaves are there."""
    if set_leaves is None or None in set_leaves:
        return None
    return tuple(
        facts.cohort[slot]
        for slot, data in enumerate(set_leaves)
        if data is not None and is_signed(facts.spec, facts.domain, facts.cohort[slot], data)
    )


def executable_from(verdict: Verdict, *, with_leaves: bool) -> int:
    """First second at which the pot may be shared out: a week later where the cohort's part needs leaves that lack."""
    is_short = with_leaves or not any(verdict.result)
    return verdict.decided_at + (CLAIM_WINDOW_S if is_short else LEAVES_WINDOW_S) + 1


def claimable_until(verdict: Verdict) -> int:
    """Last second at which somebody with an older pre-commitment takes the prover's place."""
    return verdict.decided_at + CLAIM_WINDOW_S
