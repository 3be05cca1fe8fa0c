"""Reading and answering requests for leaves, with a ledger that says what a test wants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from coordinator.answering import Answering, Attempt
from coordinator.chain import Call, RevertedError, TransactionReceipt
from coordinator.ledger import Hold
from coordinator.rounds import LeafRequest
from coordinator.store import Store
from protocol.errors import UnavailableError
from protocol.events import LeafRequested, ResultProposed, RoundOpened
from protocol.openings import Answer, Tree
from tests.support.drafts import usual
from tests.support.kept import publish

DRAFT = usual("median")
OPENED = RoundOpened(
    round_id=7,
    spec=DRAFT.spec.hash_struct(),
    enclave=DRAFT.spec.enclave,
    coordinator=bytes(20),
    value=DRAFT.spec,
    cohort=DRAFT.cohort,
)
EVENT = LeafRequested(round_id=7, member=b"m" * 20, tree=Tree.SET, slot=0, index=1, answer_by=500)
REQUEST = LeafRequest(member=EVENT.member, tree=Tree.SET, slot=0, index=1, answer_by=500)


@dataclass
class LedgerThatSays:
    """Stands for the ledger."""

    holds: list[Hold] = field(default_factory=list)
    """One an answer; the last one for ever."""
    events: list[LeafRequested] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    def hold(self, round_id: int) -> Hold:
        return self.holds.pop(0) if len(self.holds) > 1 else self.holds[0]

    def requests(self, round_id: int) -> list[LeafRequested]:
        return self.events

    def proposed(self, round_id: int) -> ResultProposed:
        result = DRAFT.result()
        return ResultProposed(
            round_id=7, result=result.hash_struct(), simulated=True, value=result, outcomes=b"", signature=b""
        )

    def answer_call(self, spec: object, result: object, member: bytes, answer: Answer) -> Call:
        self.answers.append(answer)
        return Call(what="answerLeaf", to=bytes(20), data=b"")


@dataclass
class OutboxThatFails:
    """Stands for the outbox; sends, or raises what it is told to."""

    error: Exception | None = None
    sent: list[str] = field(default_factory=list)

    def send(self, name: str, call: Call) -> TransactionReceipt:
        if self.error is not None:
            raise self.error
        self.sent.append(name)
        return TransactionReceipt(transaction=bytes(32), block=1, gas_used=2, is_success=True, contract=None)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path) as opened:
        yield opened


def answering(ledger: LedgerThatSays, store: Store, error: Exception | None = None) -> tuple[Answering, Any]:
    outbox = OutboxThatFails(error)
    return Answering(ledger, outbox, store), outbox  # type: ignore[arg-type]


def test_count_and_events_are_read_until_they_are_of_one_moment(store: Store) -> None:
    ledger = LedgerThatSays([Hold(open=2, not_before=0), Hold(open=1, not_before=9)], [EVENT])
    found = answering(ledger, store)[0].awaited(7, ())
    assert (found.requests, found.not_before) == ((REQUEST,), 9)


def test_a_node_that_keeps_no_logs_is_not_taken_for_nobody_asking(store: Store) -> None:
    ledger = LedgerThatSays([Hold(open=1, not_before=0)])
    with pytest.raises(UnavailableError, match=r"0 open requests .* by events, 1 by the ledger; use a node that keeps"):
        answering(ledger, store)[0].awaited(7, ())


def test_a_request_is_logged_when_it_is_new(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "veriflock.coordinator")
    ledger = LedgerThatSays([Hold(open=1, not_before=0)], [EVENT])
    for known in ((), (REQUEST,)):
        answering(ledger, store)[0].awaited(7, known)
    assert [record.msg for record in caplog.records] == ["leaf_requested"]


def test_an_answer_is_sent_under_the_name_of_round_and_member(store: Store) -> None:
    publish(store, DRAFT)
    ledger = LedgerThatSays()
    worker, outbox = answering(ledger, store)
    assert worker.answer(OPENED, REQUEST) is Attempt.DONE
    assert outbox.sent == [f"answer/7/{EVENT.member.hex()}"]
    assert [answer.data for answer in ledger.answers] == [DRAFT.set_leaves[1]]


@pytest.mark.parametrize("name", ["NoRequest", "WrongState", "TooLate"])
def test_when_somebody_else_was_first_there_is_nothing_to_give_up(store: Store, name: str) -> None:
    publish(store, DRAFT)
    worker, _ = answering(LedgerThatSays(), store, RevertedError("answerLeaf", name, {}))
    assert worker.answer(OPENED, REQUEST) is Attempt.DONE


def test_an_answer_that_the_ledger_does_not_take_is_tried_again_and_said_once(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    publish(store, DRAFT)
    worker, outbox = answering(LedgerThatSays(), store, RevertedError("answerLeaf", "WrongPreimage", {}))
    for _ in range(3):
        assert worker.answer(OPENED, REQUEST) is Attempt.LATER
    (record,) = caplog.records
    assert (record.levelname, record.msg) == ("ERROR", "leaf_not_answered")
    assert record.fields["next_step"] == "it is tried again until then"  # type: ignore[attr-defined]
    outbox.error = None
    assert worker.answer(OPENED, REQUEST) is Attempt.DONE


def test_what_is_lost_is_given_up_loudly(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    worker, outbox = answering(LedgerThatSays(), store)
    assert worker.answer(OPENED, REQUEST) is Attempt.LOST
    assert outbox.sent == []
    (record,) = caplog.records
    assert (record.levelname, record.msg) == ("ERROR", "leaf_not_answered")
    assert "restore the data folder" in record.fields["next_step"]  # type: ignore[attr-defined]


def test_a_chain_that_is_away_is_no_reason_to_give_up(store: Store) -> None:
    publish(store, DRAFT)
    worker, _ = answering(LedgerThatSays(), store, UnavailableError("the chain can't be reached"))
    with pytest.raises(UnavailableError, match="the chain can't be reached"):
        worker.answer(OPENED, REQUEST)


def test_a_disk_that_fails_is_said_and_asked_again(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    publish(store, DRAFT)
    path = store.root / "artifacts" / "rounds" / "7.cbor"
    kept = path.read_bytes()
    path.unlink()
    path.mkdir()  # reading it fails as a bad disk does: with an OSError
    worker, outbox = answering(LedgerThatSays(), store)
    assert worker.answer(OPENED, REQUEST) is Attempt.LATER
    assert outbox.sent == []
    assert [record.msg for record in caplog.records] == ["leaf_not_answered"]
    path.rmdir()
    path.write_bytes(kept)
    assert worker.answer(OPENED, REQUEST) is Attempt.DONE
