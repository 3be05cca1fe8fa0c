"""Members who ask for leaves of the proposed result, and their answers.

Responsible for: what the ledger says that a round waits for, and sending one answer, once.
Must not know:   when a round settles, or how a leaf is opened.

Spec: docs/protocol.md section 7.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from enum import Enum
from typing import Any

from coordinator.chain import RevertedError
from coordinator.leaves import Opener
from coordinator.ledger import Ledger
from coordinator.log import log_event
from coordinator.outbox import Outbox
from coordinator.rounds import LeafRequest, LeavesAwaited
from coordinator.store import Store
from protocol.errors import UnavailableError, VeriflockError
from protocol.events import RoundOpened

NOT_ASKED_ANY_MORE = ("NoRequest", "WrongState", "TooLate")
"""Answering fails so where somebody else was first, where the round is over, and where its end is near."""

TRIES = 5
"""How often count and events are read until they are of one moment."""


class Attempt(Enum):
    """What became of an answer."""

    DONE = "done"
    """It is on the ledger, or nobody waits for it any more."""

    LATER = "later"
    """It failed for a reason that may pass: a disk, a contract's refusal that is not understood."""

    LOST = "lost"
    """The leaf is not here any more: trying again would not bring it back."""


class Answering:
    """The requests for leaves of one coordinator's rounds, read and answered."""

    def __init__(self, ledger: Ledger, outbox: Outbox, store: Store) -> None:
        self._ledger = ledger
        self._outbox = outbox
        self._opener = Opener(store)
        self._said: set[tuple[int, bytes, str]] = set()
        """Failures that were logged: round, member, reason."""

    def awaited(self, round_id: int, known: Iterable[LeafRequest]) -> LeavesAwaited:
        """What the proposed round waits for now; whoever is not among the `known` is logged.

        Raises UnavailableError when events and count keep disagreeing: to settle would fail, and nobody be answered.
        """
        for _ in range(TRIES):
            hold = self._ledger.hold(round_id)
            if not hold.open:
                self._opener.forget()
            events = self._ledger.requests(round_id) if hold.open else []
            if len(events) == hold.open:
                break
            # somebody asked or was answered between the two questions
        else:
            what = f"{len(events)} open requests for leaves of round {round_id} by events, {hold.open} by the ledger"
            raise UnavailableError(what, "use a node that keeps its logs")
        requests = tuple(
            LeafRequest(
                member=event.member,
                tree=event.tree,
                slot=event.slot,
                index=event.index,
                answer_by=event.answer_by,
            )
            for event in events
        )
        seen = {request.member for request in known}
        for request in requests:
            if request.member not in seen:
                log_event("leaf_requested", round=round_id, **_fields(request))
        return LeavesAwaited(round_id=round_id, requests=requests, not_before=hold.not_before)

    def answer(self, opened: RoundOpened, request: LeafRequest) -> Attempt:
        """1. the leaf, from the store  2. answerLeaf.  What fails is said loudly, once for each reason.

        Raises UnavailableError when the chain could not be asked: the next look takes the same step.
        """
        round_id = opened.round_id
        result = self._ledger.proposed(round_id).value
        try:
            answer = self._opener.answer(opened.value, result, request)
        except OSError as error:
            return self._failed(round_id, request, error, Attempt.LATER)
        except (UnavailableError, VeriflockError) as error:
            return self._failed(round_id, request, error, Attempt.LOST)
        call = self._ledger.answer_call(opened.value, result, request.member, answer)
        try:
            receipt = self._outbox.send(f"answer/{round_id}/{request.member.hex()}", call)
        except RevertedError as error:
            if error.name in NOT_ASKED_ANY_MORE:
                return Attempt.DONE  # the next look at the ledger says what came instead
            return self._failed(round_id, request, error, Attempt.LATER)
        # If we die here it is answered: the next look at the ledger finds the request closed.
        log_event("leaf_answered", round=round_id, gas=receipt.gas_used, **_fields(request))
        return Attempt.DONE

    def _failed(self, round_id: int, request: LeafRequest, error: Exception, attempt: Attempt) -> Attempt:
        said = (round_id, request.member, str(error))
        if said not in self._said:
            self._said.add(said)
            is_lost = attempt is Attempt.LOST
            restore = "before that, restore the data folder and start the coordinator again"
            log_event(
                "leaf_not_answered",
                level=logging.ERROR,
                round=round_id,
                reason=str(error),
                follows="past answer_by the round is void, and a tenth of the bond goes to the treasury",
                next_step=restore if is_lost else "it is tried again until then",
                **_fields(request),
            )
        return attempt


def _fields(request: LeafRequest) -> dict[str, Any]:
    return {
        "member": request.member,
        "tree": request.tree.name.lower(),
        "slot": request.slot,
        "index": request.index,
        "answer_by": request.answer_by,
    }
