"""One dispute from beginning to end: read, search, try, say, send, look again.

Responsible for: what follows on what.
Must not know:   options, or how a report is shown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from protocol.disputes import Verdict
from protocol.errors import UnavailableError
from protocol.keys import Address, to_hex
from protocol.openings import Leaves, Openings
from verifier.dispute.proofs import Proof, in_order, is_enclaves, openings_of, proof_of
from verifier.dispute.prospects import claimable_until, executable_from, prospect, signers_of
from verifier.dispute.reading import (
    Opened,
    Reading,
    check_receipts,
    facts_of,
    open_round,
    settles_from,
    time_to_fetch,
)
from verifier.dispute.report import Accusation, DisputeReport, moment, remedies
from verifier.dispute.sharing import becomes, is_unsuspended
from verifier.dispute.steps import Done, Gas, ask, claim, commit_gas, refute, refuting, suspending, verdict_of
from verifier.dispute.story import EXECUTE, Story, Subject, run, sender_of, state_of
from verifier.node import RefusedError
from verifier.refutation.search import search
from verifier.refutation.statement import Facts, Statement
from verifier.report import Status
from verifier.state import Refutation, Round, RoundState

SUSPENDS = "this proof suspends the measurement, which the one that refuted the round did not"
SUSPEND_STEP = (
    "before the pot is shared out, suspend the measurement: veriflock dispute --rpc URL --ledger ADDRESS --key FILE"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Matter:
    """A round, and what is wrong with it."""

    reading: Reading
    known: Round
    facts: Facts
    opened: Opened
    statements: list[Statement]
    """In the order in which they are tried."""

    @property
    def signers(self) -> tuple[Address, ...] | None:
        """Whose signed update is in the set tree; nobody's where nothing was proposed."""
        if self.known.proposal is None:
            return ()
        return signers_of(self.facts, self.opened.openings.leaves.set_leaves)

    @property
    def settles_from_s(self) -> int:
        """First second at which a proof may come too late."""
        return settles_from(self.reading, self.known)

    def takes(self, statement: Statement) -> bool:
        """Whether the ledger still takes it: two signatures also before anything is proposed."""
        if self.known.state is RoundState.OPEN:
            return statement.function in ("twoResults", "twoReceipts")
        return self.known.state is RoundState.PROPOSED


def dispute(subject: Subject) -> DisputeReport:
    """Looks for what is wrong with a round's result, and refutes it where that is wanted."""
    return run(subject, _dispute)


def _dispute(story: Story) -> DisputeReport:
    subject, reading = story.subject, story.subject.reread()
    known = reading.round(subject.round_id)
    if known is None:
        return story.add(status=Status.OK, summary="no round was opened yet")
    story.about(reading, known)
    verdict = reading.state.ledger.verdicts.get(known.opening.round_id)
    if known.proposal is None and verdict is None and len(subject.receipts) < 2:
        what = f"no result of round {known.opening.round_id} is there to be refuted"
        return story.add(status=Status.OK, summary=what)
    matter = _look(subject, reading, known)
    story.add(notes=matter.opened.notes)
    if verdict is not None:
        return _refuted_before(story, matter, verdict)
    if not matter.statements:
        return nothing_found(story, matter.facts, matter.opened)
    first = matter.statements[0]
    _accuse(story, matter, proof_of(first), is_enclaves=is_enclaves(first))
    if not matter.takes(first):
        what = f"{first.text}; but the round is {state_of(known)}, so nothing can be refuted any more"
        return story.add(status=Status.REFUTED, summary=what)
    return _refute(story, matter)


def _look(subject: Subject, reading: Reading, known: Round) -> _Matter:
    """Opens what can be opened, and searches it."""
    facts = facts_of(reading, known)
    check_receipts(facts, subject.receipts)
    nothing = Opened(openings=Openings(Leaves(rows={}), counted=0), missing=(), notes=())
    within_s = subject.fetch_s or time_to_fetch(reading, known)
    opened = nothing if known.proposal is None else open_round(reading, facts, subject.artifacts, within_s=within_s)
    statements = in_order(search(facts, opened.openings, receipts=subject.receipts))
    return _Matter(reading=reading, known=known, facts=facts, opened=opened, statements=statements)


def nothing_found(story: Story, facts: Facts, opened: Opened) -> DisputeReport:
    """Nothing is wrong with what was looked at; whether that is all there is to say."""
    missing, round_id = opened.missing, facts.spec.round_id
    if missing:
        trees = "1 tree" if len(missing) == 1 else f"{len(missing)} trees"
        return story.add(
            status=Status.UNKNOWN,
            summary=f"nothing is wrong with what can be opened, but {trees} can't be",
            cannot_open=missing,
            next_steps=remedies(missing, disclosure=facts.spec.disclosure),
        )
    if facts.has_columns and (facts.rule is None or facts.spec.optimizer != 0):
        is_known = facts.rule is not None
        what = "the step from aggregate to model" if is_known else "more than signatures, set leaves and rows"
        return story.add(
            status=Status.UNKNOWN,
            summary=f"nothing is wrong with what the ledger can judge, but {what} it can't here",
            next_steps=(
                f"repeat the round: veriflock verify --round {round_id}",
                "two thirds of the members can outvote a wrong result: veriflock consortium outvote",
            ),
        )
    return story.add(status=Status.OK, summary=f"nothing is wrong with the result of round {round_id}")


def _accuse(story: Story, matter: _Matter, proof: Proof, *, is_enclaves: bool) -> None:
    """Puts a proof into the report, and what a verdict would do, by the bond as it is now."""
    known, spec = matter.known, matter.facts.spec
    verdict = Verdict(
        round_id=spec.round_id,
        predicate=int(proof.statement.predicate),
        result=bytes(32) if known.proposal is None else known.proposal.result,
        coordinator=known.opening.coordinator,
        prover=story.subject.account,
        committed_at=0,
        decided_at=0,
        slots=len(matter.facts.cohort),
        pot=matter.reading.state.ledger.bonds.get(known.opening.coordinator, 0),
    )
    measurement = known.before.enclaves[spec.enclave].event.measurement
    is_suspending = is_enclaves and measurement in matter.reading.state.consortium.measurements
    foreseen = prospect(verdict, matter.signers, measurement if is_suspending else None)
    story.add(accusation=_accusation(proof, is_enclaves=is_enclaves), prospect=foreseen)


def _refute(story: Story, matter: _Matter) -> DisputeReport:
    """Steps 1 to 5, as far as the subject wants them."""
    subject, node, deployment = story.subject, story.subject.node, matter.reading.deployment
    if node is None:
        return story.add(
            status=Status.REFUTED,
            summary=f"{matter.statements[0].text}; no gas is estimated and nothing sent, without a node (offline)",
            next_steps=("show it to a ledger: veriflock dispute --rpc URL --ledger ADDRESS --key FILE",),
        )
    show = refuting(node, deployment, pre_commit=subject.pre_commit)
    asked = ask(node, deployment, matter.statements, subject.account, show=show)
    proof = asked.proof
    _accuse(story, matter, proof, is_enclaves=asked.is_enclaves)
    committing = commit_gas(node, deployment, subject.account) if subject.pre_commit else None
    story.add(gas=Gas(commit=committing, refute=asked.gas), notes=(*story.report.notes, *asked.notes))
    if not subject.sends or subject.key is None:
        when = moment(matter.settles_from_s)
        return story.add(
            status=Status.REFUTED,
            summary=f"{proof.statement.text}; nothing was sent (--dry-run)",
            next_steps=(f"before the round can be settled, at {when}: the same with --key FILE, without --dry-run",),
        )
    if subject.tell is not None:
        subject.tell(story.report)
    sender = sender_of(story, node, matter.reading)
    try:
        done = refute(
            sender, node, matter.reading, proof, subject.key, pre_commit=subject.pre_commit, reread=subject.reread
        )
    except RefusedError:  # somebody was faster twice
        _suspend(story, matter, Done(reading=subject.reread()))
        raise
    return _decided(story, matter, _suspend(story, matter, done))


def _refuted_before(story: Story, matter: _Matter, verdict: Refutation) -> DisputeReport:
    """The round is refuted already; what is left is an older pre-commitment, a suspension, or the pot."""
    subject, reading = story.subject, matter.reading
    done = Done(reading=reading)
    is_ours = verdict.value.prover == subject.account
    is_in_time = verdict.executed is None and reading.time_s <= claimable_until(verdict.value)
    if subject.sends and subject.node is not None and subject.key is not None and is_in_time and not is_ours:
        proofs = [proof_of(statement) for statement in matter.statements]
        sender = sender_of(story, subject.node, reading)
        try:
            done = claim(sender, subject.node, reading, verdict, proofs, subject.key, reread=subject.reread)
        except RefusedError:  # somebody with a still older one: that is no reason to leave the enclave as it is
            _suspend(story, matter, Done(reading=subject.reread()))
            raise
    return _decided(story, matter, _suspend(story, matter, done))


def _suspend(story: Story, matter: _Matter, done: Done) -> Done:
    """Step 5, where somebody's proof left the measurement as it is and one of ours would not.

    A liar that refutes itself by what a host can cause must not get its enclave away with that.
    """
    subject, reading, round_id = story.subject, done.reading, matter.facts.spec.round_id
    known, verdict = reading.state.ledger.rounds[round_id], reading.state.ledger.verdicts.get(round_id)
    accusing = [statement for statement in matter.statements if is_enclaves(statement)]
    if verdict is None or verdict.executed is not None or not accusing or not is_unsuspended(reading, known):
        return done
    if subject.node is None:
        return _not_suspended(story, done, proof_of(accusing[0]), "can't be sent without a node (offline)")
    show = suspending(subject.node, reading.deployment, verdict.value)
    try:
        asked = ask(subject.node, reading.deployment, accusing, subject.account, show=show)
        gas = replace(story.report.gas, suspend=asked.gas)
        story.add(gas=gas, notes=tuple(dict.fromkeys((*story.report.notes, *asked.notes))))
        if not subject.sends or subject.key is None:
            return _not_suspended(story, done, asked.proof, "was not sent (--dry-run)")
        sender_of(story, subject.node, reading).send(show(asked.proof))
    except (RefusedError, UnavailableError) as error:
        return _not_suspended(story, done, proof_of(accusing[0]), f"could not be sent: {error}")
    story.add(accusation=_accusation(asked.proof, is_enclaves=True), suspension=f"{SUSPENDS}, and was sent")
    return replace(done, reading=subject.reread())


def _not_suspended(story: Story, done: Done, proof: Proof, why: str) -> Done:
    story.add(accusation=_accusation(proof, is_enclaves=True), suspension=f"{SUSPENDS}, and {why}")
    return replace(done, can_suspend=True)


def _accusation(proof: Proof, *, is_enclaves: bool) -> Accusation:
    statement = proof.statement
    opens = openings_of(statement)
    return Accusation(statement=statement, is_enclaves=is_enclaves, opens=opens, proof_bytes=len(proof.data))


def _decided(story: Story, matter: _Matter, done: Done) -> DisputeReport:
    """What the ledger has after it."""
    round_id = matter.facts.spec.round_id
    known, verdict = done.reading.state.ledger.rounds[round_id], verdict_of(done.reading, round_id)
    story.about(done.reading, known)
    signers = matter.signers if any(verdict.value.result) else ()
    earliest = executable_from(verdict.value, with_leaves=signers is not None)
    is_open = verdict.executed is None
    by = "you" if verdict.value.prover == story.subject.account else to_hex(verdict.value.prover)
    pot = "the pot waits to be shared out" if is_open else "its pot was shared out"
    steps = (SUSPEND_STEP,) if done.can_suspend else ()
    return story.add(
        status=Status.REFUTED,
        summary=f"round {round_id} is void by F{verdict.value.predicate}, the prover is {by}; {pot}",
        prospect=becomes(done.reading, known, verdict, signers),
        race=done.race,
        executable_from_s=earliest if is_open else None,
        next_steps=(*steps, f"from {moment(earliest)} on: {EXECUTE.format(round=round_id)}") if is_open else (),
    )
