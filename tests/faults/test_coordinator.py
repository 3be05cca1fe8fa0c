"""The coordinator with a real chain, platform and enclave: what is refused, what survives, what ends late."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path

import numpy as np
import pytest

from coordinator import anvil
from coordinator.chain import Call
from coordinator.commitments import Commitments
from coordinator.config import parse_config
from coordinator.consortium import about, allow, set_terms
from coordinator.ledger import LedgerState
from coordinator.outbox import MemoryRecords, Outbox
from coordinator.rounds import NUDGE_S
from coordinator.server import open_coordinator
from coordinator.service import Service
from protocol import sealing
from protocol.errors import CommitmentMismatchError, UnavailableError
from protocol.events import Action, RoundVoided, VoidReason, parse_event, topic_of
from protocol.evidence import parse_evidence
from protocol.fixedpoint import encode_row
from protocol.hashing import sha256
from protocol.keys import address
from protocol.outcomes import Outcome, Reason, Status, parse_outcomes
from protocol.rulebook import encode_chain
from protocol.seeds import cohort_seed, sample_cohort
from protocol.trees import parse_set_leaf
from tests.support import coordinators
from tests.support.anvil import TestChain
from tests.support.coordinators import TestPlatform, World, build, kill, rows, wait
from tests.support.federation import DIMENSION, charter, found, terms


def finish(world: World, round_id: int, deadlines: tuple[int, ...]) -> None:
    """Moves the clock over a round's deadlines until it is settled."""
    world.chain.move_clock_past(deadlines[2])
    world.wait_state(round_id, LedgerState.PROPOSED)
    world.chain.move_clock_past(deadlines[4])
    world.wait_state(round_id, LedgerState.SETTLED)


def outcomes(world: World, round_id: int) -> list[Outcome]:
    """The outcomes on the ledger."""
    return parse_outcomes(world.ledger.proposed(round_id).outcomes)


def void_reason(world: World, round_id: int) -> VoidReason:
    """Why the ledger voided a round."""
    topics = [topic_of(RoundVoided), round_id.to_bytes(32)]
    (log,) = world.chain.chain.logs(world.ledger.address, topics, 0)
    event = parse_event("RoundLedger", log.topics, log.data)
    assert isinstance(event, RoundVoided)
    return event.reason


def test_bad_uploads_are_refused_by_name_and_cost_nobody_the_round(world: World) -> None:
    with world.coordinator(last_round=1):
        world.registered()
        spec = world.collecting(1)
        some = rows(1, 5)
        senders = [address(key) for key in world.participants]
        first = world.send(spec, 0, some[0])
        assert world.send(spec, 0, some[0]) == first
        _, good = world.update(spec, 1, some[1])
        limit = len(good) + 1000

        def refusal(round_id: int, sender: bytes, sealed: bytes) -> tuple[int, str, int]:
            status, reply = world.post(round_id, sender, sealed)
            assert reply["message"]
            return status, reply["error"], reply["reason"]

        second = world.update(spec, 0, some[4])[1]
        wrong_round = world.update(spec, 1, some[1], round_id=2)[1]
        wrong_spec = world.update(spec, 1, some[1], spec=bytes(32))[1]
        wrong_enclave = world.update(spec, 1, some[1], enclave=bytes(32))[1]
        wrong_root = world.update(spec, 1, some[1], update_root=bytes(32))[1]
        short = world.update(spec, 1, some[1][:-1])[1]
        assert [
            refusal(1, senders[0], second),
            refusal(2, senders[1], good),
            refusal(1, sha256(b"stranger")[:20], good),
            refusal(1, senders[2], good),
            refusal(1, senders[1], good[:-1]),
            refusal(1, senders[1], b""),
            refusal(1, senders[1], bytes(limit)),
            refusal(1, senders[1], wrong_round),
            refusal(1, senders[1], wrong_spec),
            refusal(1, senders[1], wrong_enclave),
            refusal(1, senders[1], wrong_root),
            refusal(1, senders[1], short),
        ] == [
            (409, "AlreadyReceived", Reason.NONE),
            (409, "SpecMismatch", Reason.NONE),
            (409, "NotInCohort", Reason.NONE),
            (400, "Malformed", Reason.UNOPENED),
            (400, "Malformed", Reason.UNOPENED),
            (400, "Malformed", Reason.UNOPENED),
            (413, "TooLarge", Reason.NONE),
            (409, "SpecMismatch", Reason.SPEC),
            (409, "SpecMismatch", Reason.SPEC),
            (409, "EnclaveMismatch", Reason.ENCLAVE),
            (403, "CommitmentMismatch", Reason.ROOT),
            (400, "Length", Reason.LENGTH),
        ]
        for slot in (1, 2):  # a refusal does not use up the slot
            world.send(spec, slot, some[slot])
        world.chain.move_clock_past(spec.deadlines[0])
        status, reply = world.post(1, senders[3], world.update(spec, 3, some[3])[1])
        assert (status, reply["error"]) == (409, "TooLate")
        assert f"expected at most {spec.deadlines[0]}" in reply["message"]
        finish(world, 1, spec.deadlines)
    assert [outcome.status for outcome in outcomes(world, 1)] == [Status.COUNTED] * 3 + [Status.ABSENT]


def test_what_only_the_enclave_can_refuse_is_named_over_the_wire_and_logged(
    test_chain: TestChain, test_platform: TestPlatform, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = build(test_chain, test_platform, tmp_path / "c", "bounded", norm_bound=10**6)
    caplog.set_level("INFO", "veriflock.coordinator")
    small = [np.full(DIMENSION, value, dtype=np.int16) for value in range(1, 5)]
    with world.coordinator(last_round=1):
        world.registered()
        spec = world.collecting(1)
        for slot in (0, 2):
            world.send(spec, slot, small[slot])
        update, _ = world.update(spec, 1, small[1])
        unsigned = sealing.Payload(update=update, signature=bytes(65), row=encode_row(small[1]))
        bad = {
            "v of a signature: expected 27 or 28": world.seal(spec, 1, sealing.encode_payload(unsigned)),
            "coordinate 0 of a row": world.update(spec, 1, np.full(DIMENSION, -32768, dtype=np.int16))[1],
            "squared norm of the row: expected at most 1000000": world.update(spec, 1, 1000 * small[0])[1],
            "a value in an envelope": world.seal(spec, 1, b"\xff"),
        }
        replies = {said: world.post(1, address(world.participants[1]), sealed) for said, sealed in bad.items()}
        assert [reply["reason"] for _, reply in replies.values()] == [
            Reason.SIGNATURE, Reason.RANGE, Reason.NORM, Reason.UNOPENED,
        ]  # fmt: skip
        assert [status for status, _ in replies.values()] == [403, 400, 403, 400]
        logged = [record.fields["message"] for record in caplog.records if record.msg == "refused"]  # type: ignore[attr-defined]
        for said, (_, reply) in replies.items():
            assert said in reply["message"]
            assert reply["message"] in logged
        world.send(spec, 1, small[1])
        finish(world, 1, spec.deadlines)
    assert [outcome.status for outcome in outcomes(world, 1)] == [Status.COUNTED] * 3 + [Status.ABSENT]


def test_evidence_and_blobs_of_a_signed_round_are_public(world: World) -> None:
    with world.coordinator(last_round=2):
        world.registered()
        spec = world.collecting(1)
        assert world.ask("GET", "/v1/rounds/1/evidence")[0] == 404
        for slot, row in enumerate(rows(2, 4)):
            world.send(spec, slot, row)
        finish(world, 1, spec.deadlines)
        evidence = parse_evidence(world.ask("GET", "/v1/rounds/1/evidence")[1])
        blobs = [evidence.base, evidence.model, evidence.aggregate, *evidence.rows]
        for digest in blobs:
            assert digest is not None
            status, data = world.ask("GET", f"/v1/blobs/{digest.hex()}")
            assert (status, sha256(data)) == (200, digest)
        assert evidence.result == world.ledger.previous()
        assert all(parse_set_leaf(leaf).is_counted for leaf in evidence.set_leaves)
        assert world.ask("GET", f"/v1/blobs/{sha256(b'nothing').hex()}")[0] == 404
        assert world.ask("GET", "/v1/blobs/..%2f..%2fkeys")[0] in (400, 404)
        assert world.collecting(2).previous == evidence.result
    assert sorted(path.name for path in (world.folder / "data" / "uploads").iterdir()) == []


def test_killed_while_collecting_it_goes_on_with_the_round(world: World) -> None:
    some = rows(3, 4)
    with world.coordinator_process(rounds=1) as process:
        world.registered()
        spec = world.collecting(1)
        enclave = world.get("/v1/enclave")
        sealed = world.update(spec, 0, some[0])[1]
        for _ in range(2):  # the very same bytes: the second time must not drop what the receipt rests on
            assert world.post(1, address(world.participants[0]), sealed)[0] == 200
        before = [world.send(spec, slot, some[slot]) for slot in (0, 1)]
        kill(process)
    with world.coordinator_process(rounds=1) as process:
        assert world.collecting(1) == spec
        wait(lambda: world.get("/v1/rounds/current")["received"] == [0, 1])
        assert world.get("/v1/enclave") == enclave
        assert [world.send(spec, slot, some[slot]) for slot in (0, 1)] == before
        world.send(spec, 2, some[2])
        world.chain.move_clock_past(spec.deadlines[2])
        world.wait_state(1, LedgerState.PROPOSED)
        kill(process)
    with world.coordinator_process(rounds=1) as process:
        world.chain.move_clock_past(spec.deadlines[4])
        assert process.wait(30) == 0
    assert world.ledger.state_of(1) is LedgerState.SETTLED
    assert [outcome.status for outcome in outcomes(world, 1)] == [Status.COUNTED] * 3 + [Status.ABSENT]


@pytest.mark.timeout(400)
def test_killed_at_every_fourth_durable_write_it_still_settles_the_round(world: World) -> None:
    some = rows(8, 3)
    port = anvil.free_port()
    path = world.folder / "coordinator.toml"
    path.write_text(path.read_text().replace("port = 0", f"port = {port}"))
    world.url = f"https://127.0.0.1:{port}"
    with coordinators.child(str(Path(__file__).with_name("dying_coordinator.py")), str(path), "4") as process:
        world.registered()
        spec = world.collecting(1)
        receipts = [world.send(spec, slot, some[slot]) for slot in range(3)]
        finish(world, 1, spec.deadlines)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
    deaths = output.count("died")
    assert deaths >= 5, output
    evidence = parse_evidence((world.folder / "data" / "artifacts" / "rounds" / "1.cbor").read_bytes())
    leaves = [parse_set_leaf(leaf) for leaf in evidence.set_leaves]
    assert [leaf.is_counted for leaf in leaves] == [True] * 3 + [False]
    assert [receipt.slot for receipt in receipts] == [0, 1, 2]
    transactions = ("bond", "fund", "register", "open", "propose", "settle")
    assert world.chain.chain.nonce(world.ledger.opened(1).coordinator) == len(transactions)


def test_an_enclave_that_dies_is_started_again_with_what_it_had(world: World, test_platform: TestPlatform) -> None:
    some = rows(4, 3)
    with world.coordinator(last_round=1):
        world.registered()
        spec = world.collecting(1)
        first = world.send(spec, 0, some[0])
        for pid in test_platform.enclaves():
            os.kill(pid, signal.SIGKILL)
        for slot in (1, 2):
            world.send(spec, slot, some[slot])
        assert world.send(spec, 0, some[0]) == first
        finish(world, 1, spec.deadlines)
    assert [outcome.status for outcome in outcomes(world, 1)] == [Status.COUNTED] * 3 + [Status.ABSENT]


def test_a_commitment_is_counted_when_it_comes_late_and_undelivered_when_it_does_not(world: World) -> None:
    some = rows(5, 5)
    with world.coordinator(last_round=1):
        world.registered()
        spec = world.collecting(1)
        for slot in (0, 1):
            world.send(spec, slot, some[slot])
        late, late_sealed = world.update(spec, 2, some[2])
        never, _ = world.update(spec, 3, some[3])
        world.commit(spec, 2, late)
        world.commit(spec, 3, never)
        world.chain.move_clock_past(spec.deadlines[0])
        status, reply = world.post(1, address(world.participants[2]), late_sealed)
        assert (status, reply["receipt"]["update"]) == (200, late.hash_struct())
        finish(world, 1, spec.deadlines)
    found = [(outcome.status, outcome.reason) for outcome in outcomes(world, 1)]
    assert found == [(Status.COUNTED, Reason.NONE)] * 3 + [(Status.REFUSED, Reason.UNDELIVERED)]


def test_a_commitment_in_a_block_that_comes_late_is_waited_for(world: World) -> None:
    """A chain of slots: the next block's time is past the deadline, and the block of the slot before is on its way."""
    some, chain = rows(15, 4), world.chain.chain
    with world.coordinator(last_round=1):
        world.registered()
        spec = world.collecting(1)
        for slot in range(3):
            world.send(spec, slot, some[slot])
        update, sealed = world.update(spec, 3, some[3])
        commit = spec.deadlines[2]
        world.chain.move_clock_past(commit - 2)
        world.chain.ask("evm_setAutomine", False)
        try:
            key = world.participants[3]
            data = chain.contracts["RoundLedger"].call_data("commit", 1, update.hash_struct())
            call = Call(what="commit", to=world.ledger.address, data=data)
            raw, _ = chain.sign(call, key, address(key), chain.nonce(address(key)))
            chain.send_raw(raw)
            wait(lambda: chain.now() > commit + 1)
            assert world.ask("GET", "/v1/rounds/1/evidence")[0] == 404
            world.chain.ask("evm_setNextBlockTimestamp", commit)
            world.chain.ask("evm_mine")
            assert world.ledger.commitment_of(1, address(key)) == update.hash_struct()
            wait(lambda: chain.now() > commit)  # Anvil's clock went back with the block
            assert world.post(1, address(key), sealed)[0] == 200  # nor is it too late to hand it over
            assert world.ask("GET", "/v1/rounds/1/evidence")[0] == 404
        finally:
            world.chain.ask("evm_setAutomine", True)
        finish(world, 1, spec.deadlines)
    assert [outcome.status for outcome in outcomes(world, 1)] == [Status.COUNTED] * 4


def test_on_a_chain_without_blocks_of_its_own_one_is_asked_for(world: World) -> None:
    some = rows(16, 3)
    with world.coordinator(last_round=1):
        world.registered()
        spec = world.collecting(1)
        for slot in range(3):
            world.send(spec, slot, some[slot])
        sender = world.ledger.opened(1).coordinator
        sent = world.chain.chain.nonce(sender)
        world.chain.ask("evm_increaseTime", spec.deadlines[2] + NUDGE_S + 5 - world.chain.chain.now())
        world.wait_state(1, LedgerState.PROPOSED)
        assert world.chain.chain.nonce(sender) == sent + 2  # the block, and the result
        world.chain.move_clock_past(spec.deadlines[4])
        world.wait_state(1, LedgerState.SETTLED)


def test_a_result_that_breaks_a_commitment_by_now_is_not_proposed(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As after a reorganisation of the chain, or with a node that had not said everything."""
    some = rows(17, 4)
    caplog.set_level("INFO", "veriflock.coordinator")

    def is_told(event: str) -> bool:
        return any(record.msg == event for record in caplog.records)

    with world.coordinator(last_round=1):
        world.registered()
        spec = world.collecting(1)
        for slot in range(3):
            world.send(spec, slot, some[slot])
        world.commit(spec, 3, world.update(spec, 3, some[3])[0])
        with monkeypatch.context() as lagging:
            lagging.setattr(Commitments, "read", lambda *_: {})
            lagging.setattr(Service, "_propose", lambda *_: None)
            world.chain.move_clock_past(spec.deadlines[2])
            wait(lambda: is_told("result_signed"))
        wait(lambda: is_told("waiting") and is_told("result_kept_back"))
        assert world.ledger.state_of(1) is LedgerState.OPEN
        bond = world.ledger.bond(world.ledger.opened(1).coordinator)
        world.chain.move_clock_past(spec.deadlines[3])
        world.wait_state(1, LedgerState.VOID)
        assert world.ledger.bond(world.ledger.opened(1).coordinator) == bond - bond // 10
    assert void_reason(world, 1) is VoidReason.LATE
    kept_back = [record for record in caplog.records if record.msg == "result_kept_back"]
    assert [(record.levelname, record.fields["slots"]) for record in kept_back] == [("ERROR", [3])]  # type: ignore[attr-defined]


def test_a_node_that_has_a_block_and_not_its_logs_is_not_believed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world.coordinator(last_round=1):
        world.registered()
        spec = world.collecting(1)
        update = world.update(spec, 2, rows(18, 1)[0])[0]
        world.commit(spec, 2, update)
        block, cohort = world.chain.chain.block("latest").number, [address(key) for key in world.participants]
        assert world.ledger.commitments(1, cohort, block) == {2: update.hash_struct()}
        assert world.ledger.commitments(1, cohort, block - 1) == {}
        with pytest.raises(UnavailableError):
            world.ledger.commitments(1, cohort, block + 10)
        monkeypatch.setattr(world.ledger.chain, "logs", lambda *_: [])
        with pytest.raises(UnavailableError, match="the commitment of slot 2 in round 1 is another one by events"):
            world.ledger.commitments(1, cohort, block)


def test_too_few_counted_voids_the_round_without_a_fee_and_the_next_one_opens(world: World) -> None:
    with world.coordinator(last_round=2) as running:
        world.registered()
        spec = world.collecting(1)
        world.send(spec, 0, rows(6, 1)[0])
        bond = world.ledger.bond(running.service.ledger.opened(1).coordinator)
        world.chain.move_clock_past(spec.deadlines[2])
        world.wait_state(1, LedgerState.VOID)
        assert world.collecting(2).base_model == spec.base_model
    assert void_reason(world, 1) is VoidReason.TOO_FEW_COUNTED
    assert world.ledger.bond(world.ledger.opened(1).coordinator) == bond


def test_a_coordinator_that_comes_back_too_late_voids_its_own_round_and_goes_on(world: World) -> None:
    with world.coordinator(last_round=1):
        world.registered()
        spec = world.collecting(1)
        world.send(spec, 0, rows(7, 1)[0])
    world.chain.move_clock_past(spec.deadlines[3])
    (world.folder / "data" / "sealed" / "keys").unlink()  # and its enclave is lost for good
    with world.coordinator(last_round=2):
        world.wait_state(1, LedgerState.VOID)
        assert world.ledger.bond(world.ledger.opened(1).coordinator) < 10**17  # the late fee
    assert void_reason(world, 1) is VoidReason.LATE


def test_terms_that_the_enclave_would_refuse_open_no_round_until_members_vote_for_others(
    test_chain: TestChain, test_platform: TestPlatform, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "veriflock.coordinator")
    world = build(test_chain, test_platform, tmp_path / "c", "momentum", optimizer=1)

    def waits_for(text: str) -> bool:
        waiting = [record.fields for record in caplog.records if record.msg == "waiting"]  # type: ignore[attr-defined]
        return any(text in fields["reason"] for fields in waiting)

    with world.coordinator(last_round=1):
        wait(lambda: waits_for("server optimizer: expected 0 (plain), got 1); members vote for other terms"))
        assert world.ledger.current_round() == 0
        for changes, text in (
            ({"rule": 0, "chain": encode_chain("fltrust")}, "rule: expected one that needs no trusted row"),
            ({"chain": encode_chain("nnm+median")}, "rule number of nnm+median in the spec"),
            ({"dimension": DIMENSION + 1}, f"dimension: expected {DIMENSION}, got {DIMENSION + 1}"),
        ):
            allow(world.federation.members, set_terms(terms(**changes), 1))
            wait(lambda text=text: waits_for(text))  # type: ignore[misc]
            assert world.ledger.current_round() == 0
        allow(world.federation.members, set_terms(terms(), 1))
        world.collecting(1)


def test_a_cohort_smaller_than_the_membership_is_sampled_as_the_chain_says(
    test_chain: TestChain, test_platform: TestPlatform, tmp_path: Path
) -> None:
    world = build(test_chain, test_platform, tmp_path / "c", "sampled", participants=6, cohort_size=3)
    leaver = world.participants[2]
    data = test_chain.chain.contracts["Participants"].call_data("leave")
    leave = Call(what="leave", to=world.ledger.participants, data=data)
    Outbox(MemoryRecords(), test_chain.chain, leaver, timeout_s=30).send("leave/1", leave)
    registered = [address(key) for key in world.participants if key != leaver]
    with world.coordinator(last_round=2):
        world.registered()
        for round_id in (1, 2):
            spec = world.collecting(round_id)
            cohort = world.get("/v1/rounds/current")["cohort"]
            seed = cohort_seed(federation=spec.federation, round_id=round_id, previous=spec.previous)
            assert cohort == sample_cohort(seed, registered, 3)
            outsider = next(who for who in registered if who not in cohort)
            assert world.post(round_id, outsider, b"")[1]["error"] == "NotInCohort"
            some = rows(round_id, 3)
            for row, who in zip(some, cohort, strict=True):
                world.send(spec, registered_slot(world, who), row)
            finish(world, round_id, spec.deadlines)


def test_who_is_reinstated_without_a_deposit_is_not_registered(test_chain: TestChain) -> None:
    federation = found(test_chain, "reinstated")
    key, stranger = test_chain.key("reinstated participant"), bytes(19) + b"\x09"
    data = test_chain.chain.contracts["Participants"].call_data("join", address(key))
    at, deposit = federation.ledger.participants, federation.founding.deposit_wei
    outbox = Outbox(MemoryRecords(), test_chain.chain, key, timeout_s=30)
    outbox.send("join/1", Call(what="join", to=at, data=data, value=deposit))
    for who in (stranger, address(key)):
        allow(federation.members, about(Action.SUSPEND_PARTICIPANT, who))
        assert federation.ledger.active_participants() == ([address(key)] if who == stranger else [])
    for who in (stranger, address(key)):
        allow(federation.members, about(Action.REINSTATE_PARTICIPANT, who))
    assert federation.ledger.active_participants() == [address(key)]


def registered_slot(world: World, who: bytes) -> int:
    """Index of somebody among the keys of the world."""
    return [address(key) for key in world.participants].index(who)


def test_a_port_in_use_is_one_line(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = (world.folder / "coordinator.toml").read_text().replace("port = 0", f"port = {port}")
        message = f"127.0.0.1:{port} is in use; stop what listens there"
        with pytest.raises(UnavailableError, match=message), open_coordinator(parse_config(text, world.folder)):
            pass


def test_a_platform_that_is_not_there_is_one_line(world: World) -> None:
    text = (world.folder / "coordinator.toml").read_text()
    line = next(line for line in text.splitlines() if line.startswith("platform"))
    world.config = parse_config(text.replace(line, 'platform = "nowhere.sock"'), world.folder)
    with (
        pytest.raises(UnavailableError, match=r"no platform listens on .*nowhere.sock"),
        world.coordinator() as running,
    ):
        running.stop.wait(30)


def test_a_folder_of_another_chain_is_one_line(world: World) -> None:
    from coordinator.store import Store

    with Store(world.folder / "data") as store:
        identity = {**world.ledger.identity.to_map(), "genesis": bytes(32)}
        store.write_record("chain.cbor", identity)
    with pytest.raises(UnavailableError, match="was restarted or is another one"), world.coordinator():
        pass


def test_another_charter_or_genesis_model_is_named(world: World) -> None:
    (world.folder / "genesis.model").write_bytes(bytes([1]) + world.federation.founding.genesis_model[1:])
    with pytest.raises(CommitmentMismatchError, match="root of the model"), open_coordinator(world.config):
        pass
    (world.folder / "federation.json").write_bytes(charter(41).encode())
    with pytest.raises(CommitmentMismatchError, match="SHA-256 of the charter"), open_coordinator(world.config):
        pass


def test_the_log_is_one_json_object_a_line_and_holds_no_key(world: World) -> None:
    with world.coordinator_process(rounds=1) as process:
        world.registered()
        world.collecting(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    text = (world.folder / "coordinator.log").read_text()
    events = [json.loads(line)["event"] for line in text.splitlines()]
    assert events[0] == "listening"
    assert {"enclave_started", "enclave_registered", "round_opened", "stopped"} <= set(events)
    assert (world.folder / "coordinator.key").read_text().strip()[2:] not in text
