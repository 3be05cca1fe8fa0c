"""Checks 14 to 24: the round's public bytes, and the whole aggregation once more.

Responsible for: from set leaves and rows to every root and outcome of the signed result.
Must not know:   chains, events, votes.

Everything is compared with the signed result, never with what the host says about it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np

from protocol import signed_leaves
from protocol.errors import MalformedError, UnavailableError, VerificationError, VeriflockError
from protocol.events import UpdateCommitted
from protocol.evidence import parse_evidence
from protocol.fixedpoint import decode_model, decode_row, encode_model
from protocol.keys import verify
from protocol.messages import Update
from protocol.outcomes import ATTESTED_ONLY, Outcome, Reason, Status, bitmap
from protocol.rulebook import Chain, Rule, chain_of, needs_gram
from protocol.seeds import bucketing_seed
from protocol.trees import SetLeaf, Totals, column_root, gram_root, model_root, parse_set_leaf, row_root, set_root
from verifier.checks.opening import expect
from verifier.evidence import ArtifactSource
from verifier.replay import replay, squared_norm, step
from verifier.world import Case, need

PUBLIC = 0
"""Disclosure: rows in the clear for everyone."""

NEED_COMMITMENT = (Reason.UNDELIVERED, Reason.UNOPENED)
"""Reasons that only a slot with a commitment on the ledger can have; a wrong root needs none."""

TOO_FEW = "too few counted: the base model stands, there is nothing to aggregate"


class PublishedError(VerificationError):
    """What is published is not what was signed.  Whoever published it lies; that the signer did is not shown by it."""


@contextlib.contextmanager
def published() -> Iterator[None]:
    """Whatever does not fit in here is the published bytes' fault: they don't even open what was signed."""
    try:
        yield
    except VeriflockError as error:
        raise PublishedError(error.what, expected=error.expected, actual=error.actual) from error


def check_14_set(case: Case) -> tuple[None, str]:
    """The evidence is of this result; its set leaves lead to the signed root and say what the outcomes say."""
    with published():
        evidence = parse_evidence(_artifacts(case).evidence(case.spec.round_id))
        expect("round of the evidence", case.spec.round_id, evidence.round_id)
        expect("result of the evidence", case.proposal.result, evidence.result)
        expect("number of set leaves", len(case.opening.cohort), len(evidence.set_leaves))
        expect("set root", case.result.set_root, set_root(evidence.set_leaves))
    leaves = [parse_set_leaf(leaf) for leaf in evidence.set_leaves]
    expect("counted by the set", case.result.counted, bitmap(s for s, leaf in enumerate(leaves) if leaf.is_counted))
    for slot, (leaf, outcome) in enumerate(zip(leaves, case.outcomes(), strict=True)):
        expect(f"reason of slot {slot}", leaf.reason, outcome.reason)
        if leaf.is_counted == (evidence.rows[slot] is None) and case.spec.disclosure == PUBLIC and case.is_enough:
            raise PublishedError(f"row of slot {slot} in the evidence", expected="exactly where it is counted")
    case.evidence, case.leaves = evidence, leaves
    return None, f"{len(leaves)} leaves under {case.result.set_root.hex()}, {len(case.counted)} counted"


def check_15_signatures(case: Case) -> tuple[None, str]:
    """Every counted update is signed by the participant of its slot, for this spec and enclave."""
    for slot in case.counted:
        leaf = need(case.leaves, 14)[slot]
        verify(update_of(case, slot).digest(case.world.deployment.domain), leaf.signature, case.opening.cohort[slot])
    return None, f"{len(case.counted)} updates, each signed by the participant of its slot"


def check_16_rows(case: Case) -> tuple[None, str]:
    """Every counted row is there, in range, and opens the update root that its participant signed."""
    if not case.is_enough:
        return None, TOO_FEW
    if case.spec.disclosure != PUBLIC:
        raise UnavailableError("the rows are disclosed to members only", "a member's verifier can repeat the round")
    evidence, leaves, dimension = need(case.evidence, 14), need(case.leaves, 14), case.spec.dimension
    rows = []
    for slot in case.counted:
        digest = evidence.rows[slot]
        if digest is None:
            raise PublishedError(f"row of slot {slot}", expected="one, since it is counted", actual="none")
        with published():
            raw = _artifacts(case).blob(digest, 2 * dimension)
            expect(f"update root of slot {slot}", leaves[slot].update_root, row_root(np.frombuffer(raw, "<i2")))
        rows.append(decode_row(raw, dimension))
    case.rows = np.stack(rows)
    return None, f"{len(rows)} rows of {dimension} coordinates open their update roots"


def check_17_admission(case: Case) -> tuple[None, str]:
    """What admission must refuse is not counted: no samples where they weigh, a norm over the bound."""
    leaves, bound = need(case.leaves, 14), case.spec.norm_bound
    for slot in case.counted:
        if leaves[slot].samples == 0 and _is_weighted(case):
            raise VerificationError(f"samples of slot {slot}", expected="at least 1", actual=0)
    if not case.is_enough:
        return None, TOO_FEW
    norms = [squared_norm(row) for row in need(case.rows, 16)]
    for slot, norm in zip(case.counted, norms, strict=True):
        if bound and norm > bound:
            raise VerificationError(f"squared norm of slot {slot}", expected=f"at most {bound}", actual=norm)
    limit = str(bound) if bound else "none"
    return None, f"largest squared norm {max(norms)}, bound {limit}"


def check_18_commitments(case: Case) -> tuple[None, str]:
    """A committed slot is counted with that very update, or carries a reason that only the enclave can attest.

    Two of these speak of a commitment that the host did not deliver, or that does not open: without one they lie.
    """
    leaves, found = need(case.leaves, 14), []
    for participant, entry in case.round.commitments.items():
        if participant not in case.opening.cohort or not isinstance(entry.event, UpdateCommitted):
            continue  # a commitment by somebody outside the cohort means nothing
        if entry.time_s > case.spec.deadlines[2]:
            raise VerificationError("time of a commitment", expected=f"up to {case.spec.deadlines[2]}")
        slot = case.opening.cohort.index(participant)
        if leaves[slot].is_counted:
            expect(f"committed update of slot {slot}", entry.event.update, update_of(case, slot).hash_struct())
        elif leaves[slot].reason not in ATTESTED_ONLY:
            raise VerificationError(
                f"committed slot {slot}", expected="counted, or reason 7 to 9", actual=leaves[slot].reason.name
            )
        case.world.calls.hold(entry.log, entry.event)
        found.append(f"slot {slot} {'counted' if leaves[slot].is_counted else leaves[slot].reason.name.lower()}")
    for slot, leaf in enumerate(leaves):
        if leaf.reason in NEED_COMMITMENT and case.opening.cohort[slot] not in case.round.commitments:
            raise VerificationError(f"commitment of slot {slot}", expected=f"one, as it is {leaf.reason.name.lower()}")
    return None, f"{len(found)} commitments" + ("".join(f"; {text}" for text in found))


def check_19_aggregate(case: Case) -> tuple[None, str]:
    """The rule, applied once more, gives the published aggregate."""
    if not case.is_enough:
        with published():
            expect("aggregate of the evidence", None, need(case.evidence, 14).aggregate)
        return None, TOO_FEW
    spec, chain, rows, evidence = case.spec, _chain(case), need(case.rows, 16), need(case.evidence, 14)
    found = replay(
        chain,
        rows,
        f=spec.f,
        m=spec.m,
        weights=[case.weight(slot) for slot in case.counted],
        slots=case.counted,
        seed=bucketing_seed(federation=spec.federation, round_id=spec.round_id, set_root=case.result.set_root),
    )
    case.replay = found  # follows from the rows alone, so the checks after this one don't rest on what is published
    if evidence.aggregate is None:
        raise PublishedError("aggregate of the evidence", expected="one", actual="none")
    with published():
        raw = _artifacts(case).blob(evidence.aggregate, 4 * spec.dimension)
        _same_vector("aggregate", encode_model(found.aggregate), raw)
    return None, f"{chain} of {len(rows)} rows, bit for bit"


def check_20_selection(case: Case) -> tuple[None, str]:
    """The rule selects the slots that the result says."""
    if not case.is_enough:
        expect("selected", case.result.counted, case.result.selected)
        return None, TOO_FEW
    places = need(case.replay, 19).selected
    slots = [case.counted[place] for place in places]
    expect("selected", bitmap(slots), case.result.selected)
    return None, f"slots {', '.join(map(str, slots))}"


def check_21_model(case: Case) -> tuple[None, str]:
    """Base plus aggregate is the new model; both open their roots."""
    evidence, spec = need(case.evidence, 14), case.spec
    size = 4 * spec.dimension
    with published():
        base = decode_model(_artifacts(case).blob(evidence.base, size), spec.dimension)
        expect("base model", spec.base_model, model_root(base))
        raw = _artifacts(case).blob(evidence.model, size)
        root = model_root(decode_model(raw, spec.dimension))
    if case.is_enough:
        new = step(
            base,
            need(case.replay, 19).aggregate,
            learning_rate=spec.learning_rate,
            decay=spec.decay,
            exponent=spec.exponent,
            model_exponent=case.world.deployment.ledger.signed("modelExponent"),
        )
    else:
        new = base
    if root == case.result.new_model:
        _same_vector("new model", encode_model(new), raw)
    expect("new model", case.result.new_model, model_root(new))
    with published():
        _same_vector("new model", encode_model(new), raw)
    return None, f"{case.spec.base_model.hex()} to {case.result.new_model.hex()}"


def check_22_columns(case: Case) -> tuple[None, str]:
    """The column tree, rebuilt from rows, aggregate and totals, has the signed root."""
    if not case.is_enough:
        return None, TOO_FEW
    found = need(case.replay, 19)
    totals = Totals(
        kept=found.kept.astype(np.uint32), deviation=found.deviation.astype(np.uint64), alignment=found.alignment
    )
    root = column_root(need(case.rows, 16), found.aggregate, totals)
    expect("column root", case.result.column_root, root)
    return None, f"{len(found.kept)} leaves under {root.hex()}"


def check_23_gram(case: Case) -> tuple[None, str]:
    """The Gram tree, where the rule needs one."""
    if not case.is_enough:
        return None, TOO_FEW
    if not needs_gram(Rule(case.spec.rule)):
        expect("Gram root", bytes(32), case.result.gram_root)
        return None, "the rule needs none"
    root = gram_root(need(case.rows, 16))
    expect("Gram root", case.result.gram_root, root)
    return None, f"inner products of {len(need(case.rows, 16))} rows under {root.hex()}"


def check_24_outcomes(case: Case) -> tuple[None, str]:
    """Kept, deviation, alignment, flag and weight of every counted slot; status and reason of every other."""
    leaves, stated = need(case.leaves, 14), case.outcomes()
    found = [Outcome(status=Status.REFUSED if leaf.reason else Status.ABSENT, reason=leaf.reason) for leaf in leaves]
    for place, slot in enumerate(case.counted):
        found[slot] = _outcome(case, place, slot) if case.is_enough else Outcome(status=Status.COUNTED)
    for slot, (expected, actual) in enumerate(zip(found, stated, strict=True)):
        expect(f"outcome of slot {slot}", expected, actual)
    flagged = [str(slot) for slot, outcome in enumerate(found) if outcome.flagged]
    refused = [f"{slot} {o.reason.name.lower()}" for slot, o in enumerate(found) if o.status is Status.REFUSED]
    absent = sum(outcome.status is Status.ABSENT for outcome in found)
    return None, f"flagged: {', '.join(flagged) or 'none'}; refused: {', '.join(refused) or 'none'}; absent: {absent}"


def update_of(case: Case, slot: int) -> Update:
    """The Update that a counted slot's participant must have signed, rebuilt from the spec and the set leaf."""
    return update_in(case, slot, need(case.leaves, 14)[slot])


def update_in(case: Case, slot: int, leaf: SetLeaf) -> Update:
    """The Update that a counted set leaf of this slot stands for."""
    participant = case.opening.cohort[slot]
    return signed_leaves.update_of(case.spec, participant, root=leaf.update_root, samples=leaf.samples)


def _outcome(case: Case, place: int, slot: int) -> Outcome:
    found = need(case.replay, 19)
    alignment = int(found.alignment[-1, place])
    return Outcome(
        status=Status.COUNTED,
        flagged=alignment < 0,
        kept=int(found.kept[-1, place]),
        deviation=int(found.deviation[-1, place]),
        alignment=alignment,
        weight=case.weight(slot) if _is_weighted(case) else 0,
    )


def _chain(case: Case) -> Chain:
    """The chain to replay.

    Raises: UnavailableError (nothing that this verifier knows how to replay), VerificationError and SpecMismatchError
    (a spec that no enclave may sign a result for).
    """
    spec = case.spec
    if spec.optimizer != 0:
        raise UnavailableError("an optimizer that this verifier does not replay", "use a newer verifier")
    try:
        chain = chain_of(spec)
    except MalformedError as error:
        if spec.rule != Rule.REPLAY:
            raise
        raise UnavailableError(
            f"a rule that this verifier does not replay ({error})", "use a newer verifier"
        ) from error
    if chain.rule.name == "fltrust":
        raise UnavailableError("fltrust needs a trusted row, which no round has")
    least = chain.minimum_counted(f=spec.f, m=spec.m)
    if spec.rule == Rule.REPLAY and spec.min_counted < least:
        raise VerificationError("minCounted of the spec", expected=f"at least {least}", actual=spec.min_counted)
    return chain


def _is_weighted(case: Case) -> bool:
    """Whether rows are weighed by their samples.  A chain that can't be read isn't replayed: only its number counts."""
    try:
        return chain_of(case.spec).is_weighted
    except VeriflockError:
        return case.spec.rule == Rule.WEIGHTED_MEAN


def _same_vector(what: str, expected: bytes, actual: bytes) -> None:
    if expected != actual:
        pairs = zip(np.frombuffer(expected, "<i4"), np.frombuffer(actual, "<i4"), strict=True)
        at, (ours, theirs) = next((i, pair) for i, pair in enumerate(pairs) if pair[0] != pair[1])
        raise VerificationError(f"coordinate {at} of the {what}", expected=int(ours), actual=int(theirs))


def _artifacts(case: Case) -> ArtifactSource:
    if case.world.artifacts is None:
        raise UnavailableError("nobody said where the artifacts are", "give --artifacts or --coordinator")
    return case.world.artifacts
