"""What the checks look at: one federation as read from its chain, and one of its rounds.

Responsible for: holding what earlier checks established, and refusing to go on without it.
Must not know:   how anything is checked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from protocol.errors import UnavailableError
from protocol.events import ResultProposed, RoundOpened
from protocol.evidence import RoundEvidence
from protocol.messages import RoundResult, Spec
from protocol.outcomes import Outcome, parse_outcomes
from protocol.rulebook import Rule, minimum_counted
from protocol.trees import SetLeaf
from verifier.calls import Calls
from verifier.chain import ChainSource
from verifier.deployment import Deployment
from verifier.evidence import ArtifactSource
from verifier.replay import Replay
from verifier.state import Entry, Federation, Round

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One federation as its chain tells it."""

    chain: ChainSource
    deployment: Deployment
    entries: tuple[Entry, ...] = field(repr=False)
    """Every event, in order."""
    calls: Calls = field(repr=False)
    """Who caused them."""
    state: Federation = field(repr=False)
    """After all of them."""
    artifacts: ArtifactSource | None
    """Where the rounds' bytes are; None where nobody said."""


@dataclass(slots=True, kw_only=True)
class Case:
    """One round under examination, and what its checks have established so far."""

    world: World
    round: Round
    evidence: RoundEvidence | None = None
    leaves: list[SetLeaf] | None = None
    rows: NDArray[np.int16] | None = None
    """(k, d): the counted slots' rows, ascending."""
    replay: Replay | None = None

    @property
    def opening(self) -> RoundOpened:
        """The event that opened it."""
        return self.round.opening

    @property
    def spec(self) -> Spec:
        """As opened."""
        return self.round.opening.value

    @property
    def proposal(self) -> ResultProposed:
        """The event that proposed its result."""
        if self.round.proposal is None:
            raise UnavailableError(f"round {self.spec.round_id} has no result")
        return self.round.proposal

    @property
    def result(self) -> RoundResult:
        """As proposed."""
        return self.proposal.value

    @property
    def counted(self) -> list[int]:
        """Slots that the set leaves count."""
        return [slot for slot, leaf in enumerate(need(self.leaves, 14)) if leaf.is_counted]

    @property
    def needed(self) -> int:
        """Fewest counted updates with which the round counts: the rule's bound or the spec's."""
        return max(self.spec.min_counted, minimum_counted(Rule(self.spec.rule), f=self.spec.f, m=self.spec.m))

    @property
    def is_enough(self) -> bool:
        """Whether as many are counted, by the result's bitmap."""
        return self.result.counted.bit_count() >= self.needed

    def weight(self, slot: int) -> int:
        """min(samples, weightCap) of a counted slot."""
        return min(need(self.leaves, 14)[slot].samples, self.spec.weight_cap)

    def outcomes(self) -> list[Outcome]:
        """As proposed."""
        return parse_outcomes(self.proposal.outcomes)


def need(value: T | None, number: int) -> T:
    """What check `number` established; UnavailableError where it did not hold, for a check that rests on it."""
    if value is None:
        raise UnavailableError(f"rests on check {number}, which did not hold")
    return value
