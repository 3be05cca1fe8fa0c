"""A proposed result is held against the promise once, at once, and what is said can be typed."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from participant import proposed as module
from participant.chain import OpenedRound, ProposedResult
from participant.journal import Journal, SentUpdate
from participant.proposed import AGAIN_S, LOOK_S, Commands, Watch
from protocol.errors import UnavailableError
from protocol.evidence import RoundEvidence, parse_evidence
from protocol.keys import to_hex
from protocol.outcomes import Outcome, Reason, Status
from protocol.sealing import encode_payload
from protocol.trees import SetLeaf
from tests.unit.participant_world import ADDRESS, COHORT, DOMAIN, FEDERATION, SLOT, SPEC
from tests.unit.test_participant_settled import COUNTED, MINE, NOBODY, PAYLOAD, RECEIPT, settled

ABSENT = (Outcome(status=Status.ABSENT), SetLeaf())
UNDELIVERED = (Outcome(status=Status.REFUSED, reason=Reason.UNDELIVERED), SetLeaf(reason=Reason.UNDELIVERED))
COMMITTED = PAYLOAD.update.hash_struct()
NOW_S = 45


class World:
    """One round, proposed, with a ledger and a coordinator that say what they are told."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.clock_s, self.asked = folder, 1000.0, 0
        self.limits_s: list[float] = []
        self.committed, self.has_dispute = NOBODY, True
        self.lines: list[str] = []
        self.journal = Journal(folder / "state", FEDERATION)
        signed = encode_payload(PAYLOAD)
        self.journal.record_update(1, SentUpdate(payload=signed, sealed=b"sealed", signed=signed))
        self.journal.record_receipt(1, RECEIPT)
        self.propose(COUNTED, MINE)
        self.start()
        monkeypatch.setattr(module.time, "monotonic", lambda: self.clock_s)

    def propose(self, outcome: Outcome, leaf: SetLeaf) -> None:
        """This is the result, and the coordinator shows its leaves."""
        self.result, leaves = settled(outcome, leaf)
        self.shown: RoundEvidence | None = RoundEvidence(
            round_id=1, result=NOBODY, base=NOBODY, set_leaves=tuple(leaves), rows=(None, None), aggregate=None,
            model=NOBODY,
        )  # fmt: skip

    def start(self) -> None:
        """A participant that remembers nothing but its folder."""
        self.watch = Watch(
            chain=self,  # type: ignore[arg-type]
            coordinator=self,  # type: ignore[arg-type]
            journal=Journal(self.folder / "state", FEDERATION),
            address=ADDRESS,
            commands=self.commands,
            say=self.lines.append,
        )

    @property
    def commands(self) -> Commands:
        return Commands(
            rpc="http://chain",
            ledger=DOMAIN.ledger,
            coordinator="https://host",
            ca=self.folder / "the ca.pem",
            key=self.folder / "my.key",
            has_dispute=self.has_dispute,
        )

    def look(self) -> list[str]:
        """What one look says."""
        self.lines.clear()
        self.broken = self.watch.look(1)
        return list(self.lines)

    # the ledger

    def opened(self, round_id: int) -> OpenedRound:
        return OpenedRound(spec=SPEC, cohort=COHORT)

    def proposed(self, round_id: int) -> ProposedResult:
        return self.result

    def result_of(self, round_id: int) -> bytes:
        return self.result.result.hash_struct()

    def commitment(self, round_id: int, participant: bytes) -> bytes:
        assert participant == ADDRESS
        return self.committed

    def now(self) -> int:
        return NOW_S

    # the coordinator

    def end_within(self, seconds: float) -> None:
        self.limits_s.append(seconds)

    def evidence(self, round_id: int) -> RoundEvidence:
        self.asked += 1
        if self.shown is None:
            raise UnavailableError("404")
        return self.shown


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def dispute(world: World, *promise: str) -> str:
    words = ["veriflock", "dispute", "--rpc", "http://chain", "--ledger", to_hex(DOMAIN.ledger), "--round", "1"]
    words += ["--coordinator", "https://host", "--ca", str(world.folder / "the ca.pem"), *promise]
    return shlex.join([*words, "--key", str(world.folder / "my.key")])


def receipt_of(world: World) -> str:
    [path] = world.folder.rglob("receipt.cbor")
    return str(path)


def test_a_kept_promise_is_said_once_and_not_looked_at_again(world: World) -> None:
    said = [f"round 1: proposed, my slot {SLOT} counted as promised, not flagged, kept 600 coordinates"]
    assert (world.look(), world.broken, world.limits_s) == (said, False, [LOOK_S])
    world.clock_s += AGAIN_S
    assert world.look() == []
    world.start()
    assert (world.look(), world.asked) == ([], 1)


def test_an_outcome_that_breaks_a_receipt_is_said_with_the_command_and_the_leaves_are_kept(world: World) -> None:
    world.propose(*ABSENT)
    said = world.look()
    assert world.broken
    assert said[0].startswith("round 1: BROKEN PROMISE in the proposed result: ")
    assert said[1] == "round 1: it can be refuted until it is settled, which may be in 6 s, by"
    assert said[2] == dispute(world, "--receipt", receipt_of(world))
    folder = world.folder / "state" / FEDERATION.hex()[:32]
    assert (said[3].count(f"--artifacts {folder} "), len(said)) == (1, 4)
    assert parse_evidence((folder / "rounds" / "1.cbor").read_bytes()) == world.shown
    world.start()
    assert world.look() == []


def test_a_broken_outcome_is_said_though_the_coordinator_shows_nothing_and_the_leaves_are_kept_later(
    world: World,
) -> None:
    world.propose(*ABSENT)
    shown, world.shown = world.shown, None
    said = world.look()
    assert (world.broken, "BROKEN PROMISE" in said[0]) == (True, True)
    ask = ["consortium", "request-leaf", "set", str(SLOT), "--rpc", "http://chain", "--ledger", to_hex(DOMAIN.ledger)]
    assert said[5] == shlex.join(["veriflock", *ask, "--round", "1", "--key", "MEMBER.key"])
    world.shown = shown
    assert (world.look(), world.asked) == ([], 1)  # too early to ask again
    world.clock_s += AGAIN_S
    [later] = world.look()
    assert "what the coordinator showed is kept" in later
    assert world.broken
    assert list(world.folder.rglob("1.cbor")) != []


def test_another_update_than_the_receipts_is_said_with_the_command(world: World) -> None:
    world.propose(COUNTED, replace(MINE, samples=1))
    said = world.look()
    assert world.broken
    assert "BROKEN PROMISE in the proposed result: set leaf of my slot" in said[0]
    assert said[2] == dispute(world, "--receipt", receipt_of(world))


def test_a_broken_commitment_needs_no_receipt(world: World) -> None:
    Path(receipt_of(world)).unlink()
    world.committed = COMMITTED
    world.propose(*ABSENT)
    assert world.look()[2] == dispute(world)


def test_what_only_the_enclave_saw_comes_with_no_command(world: World) -> None:
    world.committed = COMMITTED
    world.propose(*UNDELIVERED)
    said = world.look()
    assert "for which I hold a receipt" in said[0]
    assert "no proof can show it" in said[1]
    assert not any(line.startswith("veriflock") for line in said)


@pytest.mark.parametrize("shown", ["nothing", "other leaves", "too many leaves"])
def test_a_leaf_that_can_not_be_had_is_said_once_and_asked_for_again(world: World, shown: str) -> None:
    right = world.shown
    assert right is not None
    leaves = {"other leaves": right.set_leaves[::-1], "too many leaves": (*right.set_leaves, right.set_leaves[0])}
    world.shown = None if shown == "nothing" else replace(right, set_leaves=leaves[shown])
    said = world.look()
    assert not world.broken
    assert said[0].startswith(f"round 1: the coordinator does not show what is counted in my slot {SLOT} (")
    assert said[2].startswith(f"veriflock consortium request-leaf set {SLOT} ")
    assert said[4] == dispute(world, "--receipt", receipt_of(world))
    for _ in range(3):
        world.clock_s += AGAIN_S
        world.start()
        assert world.look() == []
    assert world.asked == 4
    world.shown = right
    world.clock_s += AGAIN_S
    assert "counted as promised" in world.look()[0]


def test_nothing_promised_and_nothing_counted_is_no_reason_to_ask_members_for_a_leaf(world: World) -> None:
    Path(receipt_of(world)).unlink()
    world.propose(*ABSENT)
    world.result = replace(world.result, result=replace(world.result.result, counted=0))
    world.shown = None
    assert (world.look(), world.broken) == ([], False)


def test_another_result_is_looked_at_anew(world: World) -> None:
    world.look()
    world.propose(*ABSENT)
    assert "BROKEN PROMISE" in world.look()[0]


def test_a_round_without_an_update_of_ours_is_nothing_to_look_at(world: World) -> None:
    [path] = world.folder.rglob("update.cbor")
    path.unlink()
    assert (world.look(), world.asked) == ([], 0)


def test_an_install_without_the_command_says_how_to_get_it(world: World) -> None:
    world.has_dispute = False
    world.start()
    world.propose(*ABSENT)
    assert world.look()[3] == "round 1: `veriflock dispute` is not installed here: pip install 'veriflock[verifier]'"
