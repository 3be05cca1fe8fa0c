"""What every view of the contracts returns, from the state that events gave.

Responsible for: (contract, function, arguments, values) of everything that a LedgerWorld's people can ask.
Must not know:   a chain, or how state follows from events (verifier/apply.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from protocol.events import CONTRACTS
from protocol.hashing import keccak256
from protocol.reputation import Standing
from scripts.ledger_world import GENESIS, MEASUREMENT
from tests.support.followed import DEPOSIT, TwoCoordinators
from tests.support.refusals import ZERO, Rules
from verifier.state import Account, Federation, Membership, Participant, RoundState

View = tuple[str, str, tuple[Any, ...], list[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """Of one moment."""

    world: TwoCoordinators
    rules: Rules
    heads: Mapping[str, bytes]
    """Of the event streams, by contract."""

    @property
    def state(self) -> Federation:
        """What the events say."""
        return self.rules.state

    def all(self) -> Iterator[View]:
        """(contract, function, arguments, what it returns)."""
        for name in CONTRACTS:
            yield name, "stream", (), [self.heads[name]]
        yield from self.views_of_rounds()
        yield from self.views_of_people()
        disputes, consortium, number = self.state.disputes, self.state.consortium, self.state.ledger.current
        yield "Disputes", "holdOn", (number,), list(self.rules.hold(number))
        for round_id in range(max(1, number - 1), number + 1):
            for member in self.world.members:
                asked = disputes.requests.get((round_id, member))
                values = [0, 0, 0, 0, False]
                if asked is not None:
                    event = asked.event
                    values = [event.tree, event.slot, event.index, event.answer_by, asked.is_open]
                yield "Disputes", "requestOf", (round_id, member), values
        for commitment, block in disputes.commitments.items():
            yield "Disputes", "committedAt", (commitment,), [block]
        yield "Consortium", "isMeasurementAllowed", (MEASUREMENT,), [MEASUREMENT in consortium.measurements]
        yield "Consortium", "isCoordinator", (self.world.other,), [self.world.other in consortium.coordinators]
        yield "Consortium", "proposalCount", (), [len(consortium.proposals)]
        newest = consortium.proposals[len(consortium.proposals)]
        event, votes = newest.event, consortium.votes_of(newest)
        values = [event.action, event.subject, keccak256(event.data), newest.time_s, newest.members, votes]
        yield "Consortium", "proposalOf", (event.proposal,), [*values, newest.is_executed]

    def views_of_rounds(self) -> Iterator[View]:
        ledger = self.state.ledger
        yield "RoundLedger", "currentRound", (), [ledger.current]
        yield "RoundLedger", "previous", (), [ledger.previous]
        yield "RoundLedger", "model", (), [ledger.model if any(ledger.model) else GENESIS]
        yield "RoundLedger", "treasury", (), [ledger.treasury_wei]
        yield "RoundLedger", "stateOf", (0,), [0]
        yield "RoundLedger", "stateOf", (ledger.current + 1,), [0]
        for number in range(max(1, ledger.current - 2), ledger.current + 1):
            known = ledger.rounds[number]
            is_kept = known.state in (RoundState.PROPOSED, RoundState.SETTLED) and known.proposal is not None
            yield "RoundLedger", "stateOf", (number,), [known.state]
            yield "RoundLedger", "specOf", (number,), [known.opening.spec]
            yield "RoundLedger", "resultOf", (number,), [known.proposal.result if is_kept and known.proposal else ZERO]
            for who in self.world.people:
                entry = known.commitments.get(who)
                update: Any = ZERO if entry is None else entry.event.update  # type: ignore[union-attr]
                yield "RoundLedger", "commitmentOf", (number, who), [update]
        if ledger.current:
            opening = ledger.rounds[ledger.current].opening
            yield "RoundLedger", "currentSlots", (), [len(opening.cohort)]
            yield "RoundLedger", "currentCoordinator", (), [opening.coordinator]
        for coordinator in (self.world.first, self.world.other):
            verdict = ledger.frozen_by(coordinator)
            yield "RoundLedger", "bondOf", (coordinator,), [ledger.bonds.get(coordinator, 0)]
            yield "RoundLedger", "verdictOf", (coordinator,), [0 if verdict is None else verdict.tag()]

    def views_of_people(self) -> Iterator[View]:
        current = self.state.ledger.current
        for who in self.world.everybody:
            account = self.state.ledger.accounts.get(who, Account())
            standing: Standing = account.standing
            values = [standing.good, standing.bad, account.credit_wei]
            yield "RoundLedger", "standingOf", (who,), values
            yield "RoundLedger", "reputationOf", (who,), [standing.reputation_ppb]
        for who in self.world.people:
            known = self.state.participants.get(who, Participant())
            is_active = known.membership is Membership.ACTIVE
            was = known.since != 0 and known.since <= current and (is_active or current <= known.until)
            held = DEPOSIT if known.has_deposit else 0
            yield "Participants", "membership", (who,), [known.membership]
            yield "Participants", "payoutOf", (who,), [known.payout]
            yield "Participants", "depositOf", (who,), [held, known.reclaimable_at_s]
            yield "Participants", "wasActive", (who, current), [was]
        yield "Participants", "activeCount", (), [len(self.state.active())]
