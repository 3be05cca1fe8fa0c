"""The state of a round and what comes next, as pure functions.

Responsible for: (state, event) -> state, (state, chain time) -> next step, and who may send an update when.
Must not know:   the chain, the enclave, files, sockets or clocks; time is an argument, in the chain's seconds.

The state is never stored: after a restart the chain and the store's files are folded into it with these functions.
Spec: docs/protocol.md section 7.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from enum import Enum

from protocol.errors import NotInCohortError, RoundError, SpecMismatchError, TooLateError
from protocol.keys import Address, to_hex
from protocol.openings import Tree


class Phase(Enum):
    """Where a round stands."""

    IDLE = "idle"
    """No round was ever opened."""

    COLLECTING = "collecting"
    """Open on the ledger; the enclave takes updates, then commitments are awaited."""

    SIGNED = "signed"
    """Open on the ledger; the enclave has signed the result and the evidence is published."""

    PROPOSED = "proposed"
    """On the ledger, until the challenge ends and no member waits for a leaf."""

    SETTLED = "settled"
    """Final: the model moved on."""

    VOID = "void"
    """Final: the base model stands."""


class Step(Enum):
    """What the service does next."""

    OPEN = "open"
    WAIT = "wait"
    NUDGE = "nudge"
    CLOSE = "close"
    PROPOSE = "propose"
    ANSWER = "answer"
    SETTLE = "settle"
    VOID = "void"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Chain time in seconds; in time is `now <= deadline`."""

    submit: int
    receipts: int
    commit: int
    propose: int
    challenge_end: int

    def __post_init__(self) -> None:
        order = (self.submit, self.receipts, self.commit, self.propose, self.challenge_end)
        if not all(a < b for a, b in itertools.pairwise(order)):
            raise RoundError("deadlines", expected="each later than the one before", actual=order)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafRequest:
    """A member asked for a leaf of the proposed result and still waits."""

    member: Address
    """Who; it asks once a round, so this names the request."""

    tree: Tree
    """Of which tree."""

    slot: int
    """Of a row: whose."""

    index: int
    """Which leaf."""

    answer_by: int
    """Chain time; in time is `now <= answer_by`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundState:
    """One round as the coordinator sees it."""

    phase: Phase
    round_id: int
    """0 before the first round."""

    cohort: tuple[Address, ...]
    """Ascending; the index is the slot."""

    deadlines: Deadlines | None
    """None before the first round."""

    received: tuple[bytes | None, ...]
    """Per slot the hash of the Update that the enclave gave a receipt for, or None."""

    requests: tuple[LeafRequest, ...] = ()
    """The open ones, in the ledger's order."""

    not_before: int = 0
    """First second at which the round may settle as far as answers are concerned."""

    unanswerable: frozenset[Address] = frozenset()
    """Members whose leaf is lost here."""

    delayed: tuple[Address, ...] = ()
    """Members whose answer failed and is tried again; whose was tried last is last."""

    def received_slots(self) -> list[int]:
        """The slots that have a receipt, ascending."""
        return [slot for slot, update in enumerate(self.received) if update is not None]


IDLE = RoundState(phase=Phase.IDLE, round_id=0, cohort=(), deadlines=None, received=())


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundOpened:
    """The ledger opened a round."""

    round_id: int
    cohort: tuple[Address, ...]
    deadlines: Deadlines


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateReceived:
    """The enclave signed a receipt, and it is durable here."""

    slot: int
    update: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultSigned:
    """The enclave signed the result, and it is durable here."""

    round_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultProposed:
    """The ledger has the result."""

    round_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeavesAwaited:
    """What the proposed round waits for now: members asked for leaves, or were answered."""

    round_id: int
    requests: tuple[LeafRequest, ...]
    not_before: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFailed:
    """The leaf that a member asked for is not to be had here: trying again would not bring it back."""

    round_id: int
    member: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerDelayed:
    """An answer failed for a reason that may pass: the others come first, then it is tried again."""

    round_id: int
    member: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundSettled:
    """The ledger settled the round."""

    round_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundVoided:
    """The ledger voided the round."""

    round_id: int


Event = (
    RoundOpened
    | UpdateReceived
    | ResultSigned
    | ResultProposed
    | LeavesAwaited
    | AnswerFailed
    | AnswerDelayed
    | RoundSettled
    | RoundVoided
)

NUDGE_S = 30
"""More than two slots of a chain that has slots: without a block for so long, it mines only what somebody sends."""

_FINAL = (Phase.IDLE, Phase.SETTLED, Phase.VOID)


class PhaseError(RoundError):
    """An event that can't follow the phase that the round is in."""


def apply_event(state: RoundState, event: Event) -> RoundState:
    """The state after an event.

    Raises: PhaseError when the event is of another round or can't happen now; the state is then as before.
    """
    match event:
        case RoundOpened():
            _check_phase(state, event, _FINAL)
            if event.round_id <= state.round_id:
                raise PhaseError("number of a new round", expected=f"above {state.round_id}", actual=event.round_id)
            if list(event.cohort) != sorted(set(event.cohort)):
                raise PhaseError("cohort of a round", expected="ascending addresses", actual=len(event.cohort))
            return RoundState(
                phase=Phase.COLLECTING,
                round_id=event.round_id,
                cohort=event.cohort,
                deadlines=event.deadlines,
                received=(None,) * len(event.cohort),
            )
        case UpdateReceived():
            return _apply_received(state, event)
        case ResultSigned():
            _check_round(state, event.round_id)
            _check_phase(state, event, (Phase.COLLECTING,))
            return replace(state, phase=Phase.SIGNED)
        case ResultProposed():
            _check_round(state, event.round_id)
            _check_phase(state, event, (Phase.SIGNED, Phase.COLLECTING))  # collecting: the signed copy here was lost
            return replace(state, phase=Phase.PROPOSED)
        case LeavesAwaited():
            _check_round(state, event.round_id)
            _check_phase(state, event, (Phase.PROPOSED,))
            return replace(state, requests=event.requests, not_before=event.not_before)
        case AnswerFailed():
            _check_round(state, event.round_id)
            _check_phase(state, event, (Phase.PROPOSED,))
            return replace(state, unanswerable=state.unanswerable | {event.member})
        case AnswerDelayed():
            _check_round(state, event.round_id)
            _check_phase(state, event, (Phase.PROPOSED,))
            others = tuple(member for member in state.delayed if member != event.member)
            return replace(state, delayed=(*others, event.member))
        case RoundSettled():
            _check_round(state, event.round_id)
            _check_phase(state, event, (Phase.PROPOSED,))
            return replace(state, phase=Phase.SETTLED)
        case RoundVoided():
            _check_round(state, event.round_id)
            _check_phase(state, event, (Phase.COLLECTING, Phase.SIGNED, Phase.PROPOSED))
            return replace(state, phase=Phase.VOID)


def next_step(state: RoundState, now: int, *, mined: int) -> tuple[Step, int]:
    """What to do, and for WAIT the first second of `now` at which the answer changes without a block (else `now`).

    now:   chain time, of the block that would come next.
    mined: chain time of the newest block.

    Nothing is closed before the commitments are complete: when a block past `commit` is there, since until then one
    that is not past it can still arrive.  Where none comes by itself, one is asked for (NUDGE), early enough.
    Nothing is proposed after `propose`: then the round is late and voiding it oneself costs the same fee and frees
    everybody earlier.  So does a leaf that was not brought in time.  Nothing is settled while a member waits for a
    leaf, nor before it had time to use the answer.
    """
    deadlines = state.deadlines
    if state.phase in _FINAL or deadlines is None:
        return Step.OPEN, now
    if state.phase is Phase.PROPOSED:
        return _next_of_proposed(state, deadlines, now)
    if now > deadlines.propose:
        return Step.VOID, now
    if mined <= deadlines.commit:
        nudge = deadlines.commit + 1 + min(NUDGE_S, (deadlines.propose - deadlines.commit) // 2)
        return (Step.WAIT, nudge) if now < nudge else (Step.NUDGE, now)
    return (Step.CLOSE if state.phase is Phase.COLLECTING else Step.PROPOSE), now


def next_request(state: RoundState) -> LeafRequest | None:
    """The first open request that was not tried yet, else the one whose last try is the longest ago; nothing lost."""
    turns = {member: turn for turn, member in enumerate(state.delayed, start=1)}
    left = [request for request in state.requests if request.member not in state.unanswerable]
    return min(left, key=lambda request: turns.get(request.member, 0), default=None)


def overdue_request(state: RoundState, now: int) -> LeafRequest | None:
    """A request that nobody can answer any more."""
    return next((request for request in state.requests if now > request.answer_by), None)


def check_upload(state: RoundState, round_id: int, participant: Address, now: int) -> int:
    """The slot of somebody who may send an update now.

    Raises: SpecMismatchError (another round, or none is open), NotInCohortError, TooLateError.
    """
    slot = check_sender(state, round_id, participant)
    deadlines = state.deadlines
    if deadlines is None or now > deadlines.submit:
        limit = 0 if deadlines is None else deadlines.submit
        raise TooLateError(f"submission of round {round_id}", expected=f"at most {limit}", actual=now)
    return slot


def check_sender(state: RoundState, round_id: int, participant: Address) -> int:
    """The slot of a participant of the round that is being collected, whatever the time.

    Raises: SpecMismatchError, NotInCohortError.
    """
    if round_id != state.round_id or state.phase is Phase.IDLE:
        raise SpecMismatchError("round of the upload", expected=_where(state), actual=round_id)
    if state.phase is not Phase.COLLECTING:
        raise TooLateError("submission", expected=f"round {round_id} collecting", actual=state.phase.value)
    if participant not in state.cohort:
        raise NotInCohortError(
            f"sender of an update of round {round_id}",
            expected=f"one of the cohort's {len(state.cohort)} participants",
            actual=to_hex(participant),
        )
    return state.cohort.index(participant)


def is_held(state: RoundState, mined: int) -> bool:
    """Whether a late update may still be handed over, if its sender committed it on the ledger.

    mined: chain time of the newest block; as long as it is not past `commit`, the round is not closed.
    """
    return state.deadlines is not None and mined <= state.deadlines.commit


def _next_of_proposed(state: RoundState, deadlines: Deadlines, now: int) -> tuple[Step, int]:
    if overdue_request(state, now) is not None:
        return Step.VOID, now
    if next_request(state) is not None:
        return Step.ANSWER, now
    if state.requests:
        return Step.WAIT, min(request.answer_by for request in state.requests) + 1
    settles = max(deadlines.challenge_end + 1, state.not_before)
    return (Step.WAIT, settles) if now < settles else (Step.SETTLE, now)


def _apply_received(state: RoundState, event: UpdateReceived) -> RoundState:
    _check_phase(state, event, (Phase.COLLECTING,))
    if not 0 <= event.slot < len(state.cohort):
        raise PhaseError("slot of a receipt", expected=f"below {len(state.cohort)}", actual=event.slot)
    before = state.received[event.slot]
    if before is not None and before != event.update:
        raise PhaseError(f"update of slot {event.slot}", expected=before, actual=event.update)
    received = (*state.received[: event.slot], event.update, *state.received[event.slot + 1 :])
    return replace(state, received=received)


def _where(state: RoundState) -> str:
    return "none is open yet" if state.phase is Phase.IDLE else f"{state.round_id} ({state.phase.value})"


def _check_round(state: RoundState, round_id: int) -> None:
    if round_id != state.round_id:
        raise PhaseError("round of an event", expected=state.round_id, actual=round_id)


def _check_phase(state: RoundState, event: Event, allowed: tuple[Phase, ...]) -> None:
    if state.phase not in allowed:
        names = " or ".join(phase.value for phase in allowed)
        raise PhaseError(f"phase for {type(event).__name__}", expected=names, actual=state.phase.value)
