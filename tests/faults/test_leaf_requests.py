"""Members ask the ledger for leaves of a proposed result; a real coordinator answers, or its round comes to nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coordinator import anvil
from coordinator.chain import RevertedError
from coordinator.ledger import LedgerState
from protocol import merkle
from protocol.errors import PolicyError, RoundError, UnknownNameError
from protocol.events import LeafAnswered, RoundVoided, VoidReason, parse_event, topic_of
from protocol.evidence import parse_evidence
from protocol.fixedpoint import decode_row
from protocol.messages import Spec
from protocol.openings import Answer
from protocol.trees import KIND_COLUMN, row_leaves
from tests.support import coordinators
from tests.support.coordinators import World, kill, rows, wait
from tests.support.federation import BUDGET_WEI, DIMENSION, MEMBERS
from tests.support.members import Terminal

BOND = 10**17
DEPOSIT = BOND // 100


def proposed(world: World, seed: int) -> Spec:
    """The spec of round 1 once its result is on the ledger."""
    world.registered()
    spec = world.collecting(1)
    for slot, row in enumerate(rows(seed, 4)):
        world.send(spec, slot, row)
    world.chain.move_clock_past(spec.deadlines[2])
    world.wait_state(1, LedgerState.PROPOSED)
    return spec


def answers(world: World) -> dict[bytes, Answer]:
    """What the coordinator answered in round 1, by member."""
    found = {}
    coordinator = world.ledger.opened(1).coordinator
    for log in world.chain.chain.logs(world.ledger.disputes, [topic_of(LeafAnswered), (1).to_bytes(32)], 0):
        event = parse_event("Disputes", log.topics, log.data)
        assert isinstance(event, LeafAnswered)
        assert event.answerer == coordinator
        found[event.member] = event.answer
    return found


def void_reason(world: World) -> VoidReason:
    """Why round 1 came to nothing."""
    (log,) = world.chain.chain.logs(world.ledger.address, [topic_of(RoundVoided), (1).to_bytes(32)], 0)
    event = parse_event("RoundLedger", log.topics, log.data)
    assert isinstance(event, RoundVoided)
    return event.reason


def log_of(world: World) -> list[dict[str, Any]]:
    """The coordinator's events."""
    return [json.loads(line) for line in (world.folder / "coordinator.log").read_text().splitlines()]


def events(world: World, name: str) -> list[dict[str, Any]]:
    """The coordinator's events of one kind."""
    return [event for event in log_of(world) if event["event"] == name]


def test_what_members_ask_for_is_answered_before_the_round_settles(world: World, members: list[Terminal]) -> None:
    one, two, three = members
    with world.coordinator_process(rounds=1) as process:
        spec = proposed(world, seed=20)
        world.chain.move_clock_past(spec.deadlines[4] - 10)
        said = one.run("request-leaf", "row", 0, "--slot", 1, "--round", 1)
        assert said.startswith(f"round 1: row leaf 0 is asked for, with {DEPOSIT} wei; answer by ")
        two.run("request-leaf", "column", 2)
        three.run("request-leaf", "model", 0)
        wait(lambda: len(answers(world)) == 3)
        hold = world.ledger.hold(1)
        assert (hold.open, hold.not_before > spec.deadlines[4] + 1) == (0, True)
        world.chain.move_clock_past(spec.deadlines[4])
        with pytest.raises(RevertedError, match="TooLate"):  # but whoever was answered keeps the time to use it
            one.run("request-leaf", "row", 0, "--slot", 2)
        assert world.ledger.state_of(1) is LedgerState.PROPOSED
        world.chain.move_clock_past(hold.not_before - 1)
        assert process.wait(30) == 0
    assert world.ledger.state_of(1) is LedgerState.SETTLED
    assert world.ledger.credit(world.ledger.opened(1).coordinator) == 3 * DEPOSIT
    assert not [event for event in log_of(world) if event["event"] in ("waiting", "settle_refused")]

    result = world.ledger.proposed(1).value
    evidence = parse_evidence((world.folder / "data" / "artifacts" / "rounds" / "1.cbor").read_bytes())
    row = (world.folder / "data" / "artifacts" / "blobs" / (evidence.rows[1] or b"").hex()).read_bytes()
    found = answers(world)
    assert found[one.account].data == row_leaves(decode_row(row, DIMENSION))[0]
    assert found[one.account].set.data == evidence.set_leaves[1]
    column = found[two.account]
    leaf = merkle.leaf_hash(KIND_COLUMN, column.data)
    merkle.verify(result.column_root, index=2, size=3, leaf=leaf, path=column.path)
    assert (len(column.columns), len(column.totals)) == (4 * 32, 4 * 20)


def test_a_request_that_the_ledger_would_not_take_is_refused_with_what_it_expected(
    world: World, members: list[Terminal]
) -> None:
    stranger = replace(members[0], key=world.chain.key("nobody"))
    with world.coordinator(last_round=1):
        world.registered()
        world.collecting(1)
        with pytest.raises(RoundError, match="state of round 1, the newest: expected proposed, got open"):
            members[0].run("request-leaf", "row", 0)
        proposed(world, seed=21)
        with pytest.raises(PolicyError, match="who acts or signs: expected a member of the consortium, got 0x"):
            stranger.run("request-leaf", "row", 0)
        with pytest.raises(RoundError, match="the round whose result is proposed: expected 1, got 2"):
            members[0].run("request-leaf", "row", 0, "--round", 2)
        with pytest.raises(UnknownNameError, match="unknown tree: expected one of column, gram, model, row, set"):
            members[0].run("request-leaf", "rows", 0)
        with pytest.raises(RevertedError, match="NoSuchLeaf"):
            members[0].run("request-leaf", "row", 1)
        with pytest.raises(RevertedError, match="NoSuchTree"):  # the median has no Gram tree
            members[0].run("request-leaf", "gram", 0)
        members[0].run("request-leaf", "set", 3)
        with pytest.raises(RevertedError, match="AlreadyRequested"):
            members[0].run("request-leaf", "set", 2)
        wait(lambda: members[0].account in answers(world))
        with pytest.raises(RevertedError, match="NoRequest"):
            members[0].run("close-request", 1)


def test_a_coordinator_killed_before_it_answers_answers_when_it_is_back(world: World, members: list[Terminal]) -> None:
    with world.coordinator_process(rounds=1) as process:
        spec = proposed(world, seed=22)
        kill(process)
    members[0].run("request-leaf", "row", 0, "--slot", 3)
    members[1].run("request-leaf", "column", 0)
    with world.coordinator_process(rounds=1) as process:
        wait(lambda: len(answers(world)) == 2)
        world.chain.move_clock_past(spec.deadlines[4])
        assert process.wait(30) == 0
    assert world.ledger.state_of(1) is LedgerState.SETTLED


@pytest.mark.timeout(400)
def test_killed_at_every_fourth_durable_write_it_still_answers_once_and_settles(
    world: World, members: list[Terminal]
) -> None:
    port = anvil.free_port()
    path = world.folder / "coordinator.toml"
    path.write_text(path.read_text().replace("port = 0", f"port = {port}"))
    world.url = f"https://127.0.0.1:{port}"
    with coordinators.child(str(Path(__file__).with_name("dying_coordinator.py")), str(path), "4") as process:
        spec = proposed(world, seed=23)
        for member, tree in zip(members, ("row", "column", "model"), strict=True):
            member.run("request-leaf", tree, 0)
        wait(lambda: len(answers(world)) == MEMBERS)
        world.chain.move_clock_past(spec.deadlines[4])
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
    assert output.count("died") >= 8, output
    assert world.ledger.state_of(1) is LedgerState.SETTLED
    transactions = ("bond", "fund", "register", "open", "propose", "answer", "answer", "answer", "settle")
    assert world.chain.chain.nonce(world.ledger.opened(1).coordinator) == len(transactions)


def test_a_lost_row_is_said_once_and_its_round_is_void_for_a_tenth_of_the_bond(
    world: World, members: list[Terminal]
) -> None:
    one, two, _ = members
    with world.coordinator_process(rounds=1) as process:
        proposed(world, seed=24)
        evidence = parse_evidence((world.folder / "data" / "artifacts" / "rounds" / "1.cbor").read_bytes())
        (world.folder / "data" / "artifacts" / "blobs" / (evidence.rows[1] or b"").hex()).unlink()
        one.run("request-leaf", "row", 0, "--slot", 1)
        wait(lambda: bool(events(world, "leaf_not_answered")))
        two.run("request-leaf", "row", 0, "--slot", 2)  # what is lost keeps nothing else from being answered
        wait(lambda: two.account in answers(world))
        (request,) = world.ledger.requests(1)
        with pytest.raises(RevertedError, match="TooEarly"):
            one.run("close-request", 1)
        world.chain.move_clock_past(request.answer_by)
        assert process.wait(30) == 0
    (said,) = events(world, "leaf_not_answered")
    assert said["level"] == "error"
    assert "the row of slot 1, is gone; restore the store" in said["reason"]
    assert "a tenth of the bond" in said["follows"]
    assert (world.ledger.state_of(1), void_reason(world)) == (LedgerState.VOID, VoidReason.WITHHELD)
    assert world.ledger.bond(world.ledger.opened(1).coordinator) == BOND - BOND // 10
    assert world.ledger.treasury() == 100 * BUDGET_WEI + BOND // 10
    assert (world.ledger.credit(one.account), world.ledger.credit(two.account)) == (DEPOSIT, 0)


def test_a_silent_coordinators_round_is_void_by_the_member_that_asked(world: World, members: list[Terminal]) -> None:
    one, two, _ = members
    with world.coordinator_process(rounds=1) as process:
        proposed(world, seed=25)
        kill(process)
    one.run("request-leaf", "column", 1)
    two.run("request-leaf", "row", 0)
    world.chain.move_clock_past(world.ledger.requests(1)[-1].answer_by)
    for member in (one, two):  # the first voids the round, the second takes its deposit back
        assert member.run("close-request", 1).startswith("round 1 is void; `veriflock consortium withdraw`")
        assert world.ledger.credit(member.account) == DEPOSIT
        assert member.run("withdraw") == f"withdrew {DEPOSIT} wei\n"
        assert member.run("withdraw") == "withdrew 0 wei\n"
    assert void_reason(world) is VoidReason.WITHHELD
    with world.coordinator_process(rounds=1) as process:
        assert process.wait(30) == 0
