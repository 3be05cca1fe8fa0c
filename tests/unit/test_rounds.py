"""The round's state machine: every order of events, every second of the clock."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.rounds import (
    IDLE,
    AnswerDelayed,
    AnswerFailed,
    Deadlines,
    Event,
    LeafRequest,
    LeavesAwaited,
    Phase,
    PhaseError,
    ResultProposed,
    ResultSigned,
    RoundOpened,
    RoundSettled,
    RoundState,
    RoundVoided,
    Step,
    UpdateReceived,
    apply_event,
    check_sender,
    check_upload,
    is_held,
    next_request,
    next_step,
    overdue_request,
)
from protocol.errors import NotInCohortError, RoundError, SpecMismatchError, TooLateError
from protocol.openings import Tree

COHORT = tuple(bytes([index]) * 20 for index in range(1, 6))
STRANGER = b"\xff" * 20
DEADLINES = Deadlines(submit=100, receipts=110, commit=120, propose=180, challenge_end=240)
OPENED = RoundOpened(round_id=7, cohort=COHORT, deadlines=DEADLINES)
COLLECTING = apply_event(IDLE, OPENED)
UPDATE = b"u" * 32


def after(*events: Event) -> RoundState:
    """The state after the opening and these events."""
    state = COLLECTING
    for event in events:
        state = apply_event(state, event)
    return state


SIGNED, PROPOSED = ResultSigned(round_id=7), ResultProposed(round_id=7)
SETTLED, VOIDED = RoundSettled(round_id=7), RoundVoided(round_id=7)


def test_a_round_goes_from_opened_to_settled() -> None:
    phases = [after(*events).phase for events in ((), (SIGNED,), (SIGNED, PROPOSED), (SIGNED, PROPOSED, SETTLED))]
    assert phases == [Phase.COLLECTING, Phase.SIGNED, Phase.PROPOSED, Phase.SETTLED]


def test_a_round_can_be_void_from_every_phase_that_is_not_final() -> None:
    for events in ((), (SIGNED,), (SIGNED, PROPOSED)):
        assert after(*events, VOIDED).phase is Phase.VOID
    for events in ((SIGNED, PROPOSED, SETTLED), (VOIDED,)):
        with pytest.raises(PhaseError):
            after(*events, VOIDED)


def test_an_event_of_another_round_changes_nothing() -> None:
    with pytest.raises(PhaseError, match="expected 7, got 8"):
        apply_event(COLLECTING, ResultSigned(round_id=8))


def test_a_new_round_needs_a_higher_number_and_a_final_round() -> None:
    with pytest.raises(PhaseError, match="expected idle or settled or void, got collecting"):
        apply_event(COLLECTING, OPENED)
    with pytest.raises(PhaseError, match="expected above 7, got 7"):
        apply_event(after(VOIDED), OPENED)
    later = RoundOpened(round_id=8, cohort=COHORT, deadlines=DEADLINES)
    assert apply_event(after(VOIDED), later).round_id == 8


def test_a_cohort_out_of_order_is_refused() -> None:
    with pytest.raises(PhaseError, match="cohort"):
        apply_event(IDLE, RoundOpened(round_id=1, cohort=COHORT[::-1], deadlines=DEADLINES))


def test_deadlines_out_of_order_are_refused() -> None:
    with pytest.raises(RoundError, match="deadlines"):
        Deadlines(submit=100, receipts=100, commit=120, propose=180, challenge_end=240)


def test_the_same_update_of_a_slot_again_changes_nothing_and_another_is_refused() -> None:
    received = UpdateReceived(slot=2, update=UPDATE)
    state = after(received)
    assert apply_event(state, received) == state
    assert state.received_slots() == [2]
    with pytest.raises(PhaseError, match="update of slot 2"):
        apply_event(state, UpdateReceived(slot=2, update=b"v" * 32))


@pytest.mark.parametrize(
    ("events", "now", "mined", "expected"),
    [
        ((), 0, 0, (Step.WAIT, 151)),
        ((), 120, 120, (Step.WAIT, 151)),
        ((), 121, 120, (Step.WAIT, 151)),  # a block of second 120 with a commitment in it can still come
        ((), 150, 100, (Step.WAIT, 151)),
        ((), 151, 120, (Step.NUDGE, 151)),
        ((), 180, 120, (Step.NUDGE, 180)),
        ((), 181, 120, (Step.VOID, 181)),
        ((), 121, 121, (Step.CLOSE, 121)),
        ((), 180, 179, (Step.CLOSE, 180)),
        ((), 181, 181, (Step.VOID, 181)),
        ((SIGNED,), 121, 121, (Step.PROPOSE, 121)),
        ((SIGNED,), 130, 120, (Step.WAIT, 151)),  # the block that it was closed at is gone again
        ((SIGNED,), 181, 121, (Step.VOID, 181)),
        ((SIGNED, PROPOSED), 240, 240, (Step.WAIT, 241)),
        ((SIGNED, PROPOSED), 241, 200, (Step.SETTLE, 241)),
        ((SIGNED, PROPOSED, SETTLED), 500, 500, (Step.OPEN, 500)),
        ((VOIDED,), 0, 0, (Step.OPEN, 0)),
    ],
)
def test_the_next_step_follows_from_phase_and_clock(
    events: tuple[Event, ...], now: int, mined: int, expected: tuple[Step, int]
) -> None:
    assert next_step(after(*events), now, mined=mined) == expected


def test_a_block_is_asked_for_early_enough_to_propose() -> None:
    narrow = Deadlines(submit=100, receipts=110, commit=120, propose=124, challenge_end=240)
    state = apply_event(IDLE, RoundOpened(round_id=7, cohort=COHORT, deadlines=narrow))
    assert [next_step(state, now, mined=90)[0] for now in (122, 123, 124)] == [Step.WAIT, Step.NUDGE, Step.NUDGE]


ONE, OTHER = (
    LeafRequest(member=bytes([number]) * 20, tree=Tree.ROW, slot=1, index=0, answer_by=answer_by)
    for number, answer_by in ((1, 250), (2, 230))
)


def awaits(*requests: LeafRequest, not_before: int = 0) -> LeavesAwaited:
    return LeavesAwaited(round_id=7, requests=requests, not_before=not_before)


FAILED = AnswerFailed(round_id=7, member=ONE.member)


@pytest.mark.parametrize(
    ("events", "now", "expected"),
    [
        ((awaits(ONE),), 200, (Step.ANSWER, 200)),
        ((awaits(ONE),), 250, (Step.ANSWER, 250)),
        ((awaits(ONE),), 251, (Step.VOID, 251)),
        ((awaits(ONE, OTHER),), 231, (Step.VOID, 231)),
        ((awaits(ONE), awaits(not_before=260)), 241, (Step.WAIT, 260)),
        ((awaits(ONE), awaits(not_before=260)), 259, (Step.WAIT, 260)),
        ((awaits(ONE), awaits(not_before=260)), 260, (Step.SETTLE, 260)),
        ((awaits(ONE), awaits(not_before=220)), 230, (Step.WAIT, 241)),
        ((awaits(ONE), awaits(not_before=220)), 241, (Step.SETTLE, 241)),
        ((awaits(ONE), FAILED), 245, (Step.WAIT, 251)),
        ((awaits(ONE), FAILED), 251, (Step.VOID, 251)),
        ((awaits(ONE, OTHER), FAILED), 200, (Step.ANSWER, 200)),
        ((awaits(ONE), FAILED, awaits()), 241, (Step.SETTLE, 241)),  # somebody else had it
    ],
)
def test_nothing_settles_while_a_member_waits_and_nobody_waits_for_what_is_lost(
    events: tuple[Event, ...], now: int, expected: tuple[Step, int]
) -> None:
    assert next_step(after(SIGNED, PROPOSED, *events), now, mined=now) == expected


def test_what_is_lost_is_not_tried_again_and_the_first_overdue_request_voids() -> None:
    state = after(SIGNED, PROPOSED, awaits(ONE, OTHER))
    assert next_request(state) == ONE
    assert next_request(apply_event(state, FAILED)) == OTHER
    assert [overdue_request(state, now) for now in (230, 231, 251)] == [None, OTHER, ONE]


def test_what_failed_is_tried_again_after_the_others_and_in_turn() -> None:
    state = after(SIGNED, PROPOSED, awaits(ONE, OTHER))
    tried = []
    for _ in range(5):
        request = next_request(state)
        assert request is not None
        tried.append(request)
        state = apply_event(state, AnswerDelayed(round_id=7, member=request.member))
    assert tried == [ONE, OTHER, ONE, OTHER, ONE]
    assert next_step(state, 230, mined=230)[0] is Step.ANSWER
    assert next_step(state, 231, mined=231)[0] is Step.VOID
    assert next_request(apply_event(state, AnswerFailed(round_id=7, member=OTHER.member))) == ONE


def test_only_a_proposed_round_waits_for_leaves() -> None:
    for events in ((), (SIGNED,), (SIGNED, PROPOSED, SETTLED)):
        for event in (awaits(ONE), FAILED, AnswerDelayed(round_id=7, member=ONE.member)):
            with pytest.raises(PhaseError, match="expected proposed"):
                after(*events, event)


def test_before_the_first_round_the_next_step_is_to_open() -> None:
    assert next_step(IDLE, 5, mined=5) == (Step.OPEN, 5)


def test_an_upload_in_time_has_its_slot() -> None:
    assert [check_upload(COLLECTING, 7, participant, 100) for participant in COHORT] == [0, 1, 2, 3, 4]


def test_an_upload_after_the_deadline_names_the_deadline() -> None:
    with pytest.raises(TooLateError, match="expected at most 100, got 101"):
        check_upload(COLLECTING, 7, COHORT[0], 101)


def test_an_upload_for_another_round_names_the_round() -> None:
    with pytest.raises(SpecMismatchError, match=r"expected 7 \(collecting\), got 6"):
        check_upload(COLLECTING, 6, COHORT[0], 50)
    with pytest.raises(SpecMismatchError, match="expected none is open yet, got 1"):
        check_upload(IDLE, 1, COHORT[0], 50)


def test_an_upload_once_the_result_is_signed_is_too_late() -> None:
    with pytest.raises(TooLateError, match="got signed"):
        check_upload(after(SIGNED), 7, COHORT[0], 50)


def test_a_stranger_is_not_in_the_cohort() -> None:
    with pytest.raises(NotInCohortError, match="got 0xFFfF"):
        check_sender(COLLECTING, 7, b"\xff" * 20)


def test_a_late_update_is_held_only_until_commitments_are_complete() -> None:
    assert [is_held(COLLECTING, mined) for mined in (100, 120, 121)] == [True, True, False]


EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(
        lambda round_id: RoundOpened(round_id=round_id, cohort=COHORT, deadlines=DEADLINES),
        st.integers(min_value=1, max_value=9),
    ),
    st.builds(UpdateReceived, slot=st.integers(-1, 6), update=st.sampled_from([b"u" * 32, b"v" * 32])),
    *[
        st.builds(kind, round_id=st.integers(min_value=1, max_value=9))
        for kind in (ResultSigned, ResultProposed, RoundSettled, RoundVoided)
    ],
)
ORDER = [Phase.COLLECTING, Phase.SIGNED, Phase.PROPOSED, Phase.SETTLED, Phase.VOID]


@given(st.lists(EVENTS, max_size=30))
def test_no_order_of_events_moves_a_round_backwards(events: list[Event]) -> None:
    states = [IDLE]
    for event in events:
        try:
            states.append(apply_event(states[-1], event))
        except PhaseError:
            continue
    for before, later in itertools.pairwise(states):
        if before.round_id == later.round_id:
            assert ORDER.index(before.phase) <= ORDER.index(later.phase)
            assert all(a in (None, b) for a, b in zip(before.received, later.received, strict=True))
        else:
            assert later.round_id > before.round_id
            assert before.phase in (Phase.IDLE, Phase.SETTLED, Phase.VOID)


@given(st.lists(EVENTS, max_size=12), st.integers(min_value=0, max_value=400), st.integers(min_value=0, max_value=400))
def test_waiting_until_the_said_second_and_no_less_changes_the_answer(
    events: list[Event], now: int, mined: int
) -> None:
    state = COLLECTING
    for event in events:
        try:
            state = apply_event(state, event)
        except PhaseError:
            continue
    step, until = next_step(state, now, mined=mined)
    if step is Step.WAIT:
        assert until > now
        assert next_step(state, until - 1, mined=mined)[0] is Step.WAIT
        assert next_step(state, until, mined=mined)[0] is not Step.WAIT
    else:
        assert until == now


@given(st.permutations([UpdateReceived(slot=slot, update=bytes([slot]) * 32) for slot in range(5)]))
def test_the_order_of_arrival_does_not_matter(events: list[Event]) -> None:
    assert after(*events) == after(*sorted(events, key=lambda event: event.slot))  # type: ignore[union-attr]
