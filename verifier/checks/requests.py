"""What members asked for of a round, and whether it came: part of check 26.

Responsible for: who asked, when, and that an answer is the leaf that was asked for.
Must not know:   what follows for the round (result.py), or what the leaf shows.

Twins: contracts/src/Disputes.sol (requestLeaf, answerLeaf), libraries/LeafRequests.sol.
"""

from __future__ import annotations

from protocol import merkle
from protocol.errors import VerificationError
from protocol.events import LeafAnswered
from protocol.hashing import sha256
from protocol.openings import Answer, Tree
from protocol.trees import COLUMN_LEAF, GRAM_CHUNK, KIND_SET, ROW_LEAF, SET_LEAF_COUNTED_BYTES
from verifier.checks.opening import expect
from verifier.state import Request
from verifier.world import Case


def check_requests(case: Case) -> None:
    """Each was a member's, of a proposed result, in time, and gave as long as it must; so was each answer."""
    for (number, _), request in case.world.state.disputes.requests.items():
        if number != case.spec.round_id:
            continue
        asked, time_s = request.event, request.entry.time_s
        if not request.is_members or case.round.proposed is None:
            raise VerificationError("a request for a leaf", expected="a member's, of a proposed result")
        if time_s > case.spec.deadlines[4]:
            raise VerificationError("time of a request", expected=f"up to {case.spec.deadlines[4]}", actual=time_s)
        latest_s = max(time_s + case.round.challenge_s, case.spec.deadlines[4])
        expect("time to answer a request", latest_s, asked.answer_by)
        if request.answered is not None and isinstance(request.answered.event, LeafAnswered):
            if request.answered.time_s > asked.answer_by:
                latest = f"up to {asked.answer_by}"
                raise VerificationError("time of an answer", expected=latest, actual=request.answered.time_s)
            _check_answer(case, request, request.answered.event.answer)


def is_withheld(case: Case, time_s: int) -> bool:
    """Whether a request was open for longer than an answer may take, when the round was closed at `time_s`."""
    requests = case.round.before_close.disputes.requests if case.round.before_close else {}
    asked = [request for (number, _), request in requests.items() if number == case.spec.round_id]
    return any(request.is_open and time_s > request.event.answer_by for request in asked)


def _check_answer(case: Case, request: Request, answer: Answer) -> None:
    """The leaf that was asked for, under the root that the result has for its tree."""
    asked = request.event
    root, size = _root_of(case, request, answer)
    leaf = merkle.leaf_hash(asked.tree, answer.data)
    merkle.verify(root, index=asked.index, size=size, leaf=leaf, path=answer.path)
    if asked.tree is Tree.COLUMN:
        expect("hashes of what a column leaf is of", answer.data[:64], sha256(answer.columns) + sha256(answer.totals))


def _root_of(case: Case, request: Request, answer: Answer) -> tuple[bytes, int]:
    """Root and number of leaves of the tree that was asked for."""
    asked, result, dimension = request.event, case.result, case.spec.dimension
    slots, k = len(case.opening.cohort), case.result.counted.bit_count()
    if asked.tree is Tree.ROW:
        opened = answer.set
        expect("slot of an answer", asked.slot, opened.slot)
        expect("length of the set leaf of an answer", SET_LEAF_COUNTED_BYTES, len(opened.data))
        leaf = merkle.leaf_hash(KIND_SET, opened.data)
        merkle.verify(result.set_root, index=opened.slot, size=slots, leaf=leaf, path=opened.path)
        return opened.data[:32], -(-dimension // ROW_LEAF)
    roots = {
        Tree.SET: (result.set_root, slots),
        Tree.COLUMN: (result.column_root, -(-dimension // COLUMN_LEAF)),
        Tree.GRAM: (result.gram_root, k * -(-dimension // GRAM_CHUNK)),
        Tree.MODEL: (result.new_model, -(-dimension // ROW_LEAF)),
    }
    if asked.tree not in roots:
        raise VerificationError("tree of a request", expected="one of the five", actual=asked.tree.name)
    return roots[asked.tree]
