"""Sharing out the pot of a verdict, and what becomes of it.

Responsible for: the set leaves that it takes, when it may be, and who has got what.
Must not know:   how a verdict came about.

Spec: docs/protocol.md section 7.
"""

from __future__ import annotations

from protocol.errors import RoundError
from protocol.events import VerdictExecuted
from protocol.keys import Address
from verifier.dispute.prospects import Prospect, executable_from, prospect, shared_out, signers_of
from verifier.dispute.reading import Reading, facts_of, fetch_set_leaves
from verifier.dispute.report import DisputeReport, moment
from verifier.dispute.steps import Gas, execute_call, verdict_of
from verifier.dispute.story import EXECUTE, Story, Subject, run, sender_of
from verifier.node import RefusedError
from verifier.report import Status
from verifier.state import Refutation, Round


def execute(subject: Subject) -> DisputeReport:
    """Shares out the pot of a verdict."""
    return run(subject, _execute)


def becomes(reading: Reading, known: Round, verdict: Refutation, signers: tuple[Address, ...] | None) -> Prospect:
    """What becomes of the pot, or became of it."""
    suspended = suspended_by(reading, known)
    event = None if verdict.executed is None else verdict.executed.event
    if isinstance(event, VerdictExecuted):
        return shared_out(verdict.value, event, suspended)
    return prospect(verdict.value, signers, suspended)


def suspended_by(reading: Reading, known: Round) -> bytes | None:
    """The round's measurement, where it was allowed when the round ended and is suspended now."""
    if known.before_close is None:
        return None
    enclave = known.before.enclaves.get(known.opening.value.enclave)
    if enclave is None or enclave.event.measurement not in known.before_close.consortium.measurements:
        return None
    measurement = enclave.event.measurement
    newest = reading.state.consortium.suspensions.get(measurement)
    before = known.before_close.consortium.suspensions.get(measurement)
    return measurement if newest is not None and newest != before else None


def is_unsuspended(reading: Reading, known: Round) -> bool:
    """Whether a proof would suspend the round's measurement: it has not been since the round ended.

    One that was suspended before, with no proposal since, is as suspended as it can be.
    """
    enclave, consortium = known.before.enclaves.get(known.opening.value.enclave), reading.state.consortium
    if enclave is None or known.before_close is None:
        return False
    measurement = enclave.event.measurement
    newest = consortium.suspensions.get(measurement)
    if newest != known.before_close.consortium.suspensions.get(measurement):
        return False  # by a proof about this round or a later one; if it is allowed now, members voted for it since
    return measurement in consortium.measurements or newest is None or newest < len(consortium.proposals)


def _execute(story: Story) -> DisputeReport:
    subject, node, reading = story.subject, story.subject.node, story.subject.reread()
    known = reading.round(subject.round_id)
    if known is None or node is None:
        raise RoundError("a round whose verdict is executed", expected="one on a ledger that answers")
    story.about(reading, known)
    round_id = known.opening.round_id
    verdict = verdict_of(reading, round_id)
    if verdict.executed is not None:
        done = becomes(reading, known, verdict, None)
        return story.add(status=Status.OK, summary=f"the pot of round {round_id} was shared out before", prospect=done)
    facts = facts_of(reading, known)
    needs_leaves = any(verdict.value.result)
    leaves, notes = fetch_set_leaves(facts, subject.artifacts) if needs_leaves else ((), [])
    earliest = executable_from(verdict.value, with_leaves=leaves is not None)
    signers = None if leaves is None else signers_of(facts, leaves)
    foreseen = becomes(reading, known, verdict, signers)
    story.add(prospect=foreseen, executable_from_s=earliest, notes=tuple(notes))
    call = execute_call(node, reading, known, verdict.value, leaves or ())
    try:
        story.add(gas=Gas(execute=node.estimate(call, subject.account)))
    except RefusedError as error:
        if error.name != "TooEarly":
            raise
        return _too_early(story, earliest, is_without_leaves=leaves is None)
    if not subject.sends or subject.key is None:
        return story.add(status=Status.OK, summary="the pot can be shared out; nothing was sent (--dry-run)")
    if subject.tell is not None:
        subject.tell(story.report)
    sender_of(story, node, reading).send(call)
    after = subject.reread()
    story.about(after, after.state.ledger.rounds[round_id])
    mine = subject.account in (foreseen.prover, *(signers or ()))
    steps = ("your part is your credit on the ledger: RoundLedger.withdraw, or veriflock participant withdraw",)
    return story.add(
        status=Status.OK,
        summary=f"the pot of round {round_id} is shared out",
        executable_from_s=None,
        next_steps=steps if mine else (),
    )


def _too_early(story: Story, earliest: int, *, is_without_leaves: bool) -> DisputeReport:
    steps = (f"from {moment(earliest)} on: {EXECUTE.format(round=story.report.round_id)}",)
    if is_without_leaves:
        sooner = (
            "with all set leaves it can be an hour after the verdict: give --artifacts or --coordinator that has them"
        )
        what = "the cohort's part needs the set leaves, which can't be had; without them it is burnt after a week"
        return story.add(status=Status.UNKNOWN, summary=what, next_steps=(sooner, *steps))
    what = "it is too early: until then somebody can claim with an older pre-commitment"
    return story.add(status=Status.UNKNOWN, summary=what, next_steps=steps)
