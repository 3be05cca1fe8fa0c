"""What members sign: checkpoints that a real coordinator collects and posts, complaints, and votes against a result."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from coordinator.chain import Chain, RevertedError
from coordinator.keyfile import make_certificate
from coordinator.ledger import Ledger, LedgerState
from coordinator.member_files import send_checkpoint
from protocol.checkpoints import SignedCheckpoint, encode_checkpoints, parse_checkpoints
from protocol.encoding import decode_map, encode
from protocol.errors import CommitmentMismatchError, PolicyError, RoundError, UnavailableError
from protocol.events import CheckpointPosted, RoundSettled, RoundVoided, VoidReason, parse_event, topic_of
from protocol.hashing import sha256
from protocol.keys import address, recover_all, sign, to_hex
from protocol.messages import Checkpoint, Spec
from protocol.rulebook import encode_chain
from scripts.ledger_world import LedgerWorld, counted, default_terms
from tests.support.anvil import TestChain
from tests.support.coordinators import World, kill, rows, wait
from tests.support.members import Terminal


def propose(world: World, round_id: int) -> Spec:
    """The spec of a round once its result is on the ledger."""
    spec = world.collecting(round_id)
    for slot, row in enumerate(rows(40 + round_id, 4)):
        world.send(spec, slot, row)
    world.chain.move_clock_past(spec.deadlines[2])
    world.wait_state(round_id, LedgerState.PROPOSED)
    return spec


def settle(world: World, round_id: int) -> None:
    """Plays a round to its end."""
    spec = propose(world, round_id)
    world.chain.move_clock_past(spec.deadlines[4])
    world.wait_state(round_id, LedgerState.SETTLED)


def posted(world: World) -> list[CheckpointPosted]:
    """Checkpoints on the ledger."""
    found = []
    for log in world.chain.chain.logs(world.ledger.consortium, [topic_of(CheckpointPosted)], 0):
        event = parse_event("Consortium", log.topics, log.data)
        assert isinstance(event, CheckpointPosted)
        found.append(event)
    return found


def void_reason(ledger: Ledger, round_id: int) -> VoidReason:
    """Why a round came to nothing."""
    (log,) = ledger.chain.logs(ledger.address, [topic_of(RoundVoided), round_id.to_bytes(32)], 0)
    event = parse_event("RoundLedger", log.topics, log.data)
    assert isinstance(event, RoundVoided)
    return event.reason


def block_hash_of_settlement(world: World, round_id: int) -> bytes:
    """As the receipt of the transaction that settled it says."""
    topics = [topic_of(RoundSettled), round_id.to_bytes(32)]
    (log,) = world.chain.chain.logs(world.ledger.address, topics, 0)
    receipt: Any = world.chain.ask("eth_getTransactionReceipt", "0x" + log.transaction.hex())
    return bytes.fromhex(receipt["blockHash"][2:])


def test_checkpoints_that_members_send_are_posted_with_the_next_opening(world: World, members: list[Terminal]) -> None:
    certificate = world.folder / "certificate.pem"
    with world.coordinator_process(rounds=3) as process:
        world.registered()
        settle(world, 1)
        spec = world.collecting(2)
        at = ("--coordinator", world.url, "--ca", certificate)
        for member in members[:2]:
            said = member.run("checkpoint", *at, "--out", member.folder / "memory.cbor")
            assert f"as {to_hex(member.account)}'s; it is posted with the next opening" in said
        kill(process)  # they were told that it is kept
    with world.coordinator_process(rounds=3):
        world.chain.move_clock_past(spec.deadlines[2])  # nobody sent anything: round 2 is void
        world.wait_state(2, LedgerState.VOID)
        world.collecting(3)
        wait(lambda: bool(posted(world)))
        found = members[2].run("checkpoint", "--coordinator", world.url, "--ca", certificate)
        assert found.startswith("round 1  result 0x")
    (event,) = posted(world)
    expected = Checkpoint(
        federation=world.ledger.federation,
        round_id=1,
        result=world.ledger.previous(),
        block_hash=block_hash_of_settlement(world, 1),
    )
    assert (event.round_id, event.result, event.block_hash) == (1, expected.result, expected.block_hash)
    signers = recover_all(expected.digest(world.domain), event.signatures)
    assert signers == sorted(member.account for member in members[:2])
    kept = parse_checkpoints((members[0].folder / "memory.cbor").read_bytes())
    assert [item.checkpoint for item in kept] == [expected, expected]
    assert {item.signer(world.domain) for item in kept} == set(signers)


def test_a_checkpoint_with_one_defect_is_refused_by_name(world: World, members: list[Terminal]) -> None:
    key = members[0].key
    with world.coordinator(last_round=2):
        world.registered()
        settle(world, 1)
        world.collecting(2)
        good = world.ledger.settlement(1)
        assert good is not None

        def signed(checkpoint: Checkpoint, by: bytes = key) -> SignedCheckpoint:
            return SignedCheckpoint(checkpoint=checkpoint, signature=sign(by, checkpoint.digest(world.domain)))

        def refusal(body: bytes, round_id: int = 1) -> tuple[int, str]:
            status, reply = world.ask("POST", f"/v1/rounds/{round_id}/checkpoints", body)
            return status, decode_map(reply, max_bytes=1 << 16)["error"]

        other, stranger = sha256(b"other"), world.chain.key("a stranger")
        of_two = replace(good, round_id=2)
        assert [
            refusal(b""),
            refusal(bytes(513)),
            refusal(encode({**signed(good).to_map(), "more": 1})),
            refusal(encode({**signed(good).to_map(), "signature": bytes(65)})),
            refusal(encode(signed(good, stranger).to_map())),
            refusal(encode(signed(replace(good, federation=other)).to_map())),
            refusal(encode(signed(replace(good, result=other)).to_map())),
            refusal(encode(signed(replace(good, block_hash=other)).to_map())),
            refusal(encode(signed(good).to_map()), round_id=2),
            refusal(encode(signed(of_two).to_map()), round_id=2),
            refusal(encode(signed(replace(good, round_id=9)).to_map()), round_id=9),
        ] == [
            (400, "Encoding"),
            (413, "TooLarge"),
            (400, "Encoding"),
            (403, "Signature"),
            (403, "Policy"),
            (403, "CommitmentMismatch"),
            (403, "CommitmentMismatch"),
            (403, "CommitmentMismatch"),
            (409, "SpecMismatch"),
            (409, "NotSettled"),
            (409, "NotSettled"),
        ]
        assert not list((world.folder / "data" / "checkpoints").iterdir())
        for _ in range(2):  # again is the same
            status, reply = world.ask("POST", "/v1/rounds/1/checkpoints", encode(signed(good).to_map()))
            assert (status, decode_map(reply, max_bytes=100)) == (200, {"member": members[0].account})
        certificate = world.folder / "certificate.pem"
        with pytest.raises(PolicyError, match=r"refuses the checkpoint \(403: signer of a checkpoint"):
            send_checkpoint(world.url, certificate, signed(good, stranger))
        wrong = world.folder / "wrong.pem"
        wrong.write_bytes(make_certificate(["127.0.0.1"], datetime.now(UTC))[0])
        with pytest.raises(UnavailableError, match="check --coordinator and --ca"):
            send_checkpoint(world.url, wrong, signed(good))
        with pytest.raises(PolicyError, match="expected an https:// address"):
            send_checkpoint(world.url.replace("https", "http"), certificate, signed(good))


def test_a_members_file_notices_a_rewritten_chain(world: World, members: list[Terminal]) -> None:
    one, file = members[0], members[0].folder / "memory.cbor"
    with world.coordinator(last_round=2):
        world.registered()
        with pytest.raises(RoundError, match="a settled round: expected settled, got none yet"):
            one.run("checkpoint", "--out", file)
        settle(world, 1)
        with pytest.raises(RoundError, match="state of round 7: expected settled, got none"):
            one.run("checkpoint", "--out", file, "--round", 7)
        with pytest.raises(PolicyError, match="expected a member of the consortium"):
            replace(one, key=world.chain.key("a stranger")).run("checkpoint", "--out", file)
        assert not file.exists()
        for _ in range(2):
            assert one.run("checkpoint", "--out", file).endswith("memory.cbor: 1 checkpoint\n")
        settle(world, 2)
        assert one.run("checkpoint", "--out", file).endswith("memory.cbor: 2 checkpoints\n")
    before, now = parse_checkpoints(file.read_bytes())
    assert (before.checkpoint.round_id, now.checkpoint.round_id) == (1, 2)
    forged = replace(before, checkpoint=replace(before.checkpoint, block_hash=sha256(b"of another history")))
    file.write_bytes(encode_checkpoints([forged, now]))
    with pytest.raises(CommitmentMismatchError, match=r"the chain tells round 1 otherwise than .*memory.cbor"):
        one.run("checkpoint", "--out", file, "--round", 1)
    assert parse_checkpoints(file.read_bytes()) == (forged, now)


def test_complaints_of_more_than_a_third_void_the_round_and_nobody_pays(world: World, members: list[Terminal]) -> None:
    one, two, _ = members
    files = [member.folder / f"{index}.complaint" for index, member in enumerate(members)]
    with world.coordinator(last_round=1):
        world.registered()
        with pytest.raises(RoundError, match=r"state of round \d, the newest: expected proposed"):
            one.run("unavailable", "--out", files[0])
        propose(world, 1)
        said = one.run("unavailable", "--out", files[0], "--round", 1)
        assert said == f"round 1  result 0x{world.ledger.result(1).hex()}  in {files[0]}\n"
        with pytest.raises(PolicyError, match="members that complain: expected at least 2, more than a third, got 1"):
            one.run("post-unavailable", files[0], files[0])
        with pytest.raises(UnavailableError, match="can't be read"):
            one.run("post-unavailable", files[0], files[1])
        two.run("unavailable", "--out", files[1])
        bond = world.ledger.bond(world.ledger.opened(1).coordinator)
        anybody = replace(one, key=world.chain.key("anybody"))
        assert anybody.run("post-unavailable", files[1], files[0]) == "round 1 is void\n"
    assert void_reason(world.ledger, 1) is VoidReason.UNAVAILABLE
    assert world.ledger.bond(world.ledger.opened(1).coordinator) == bond


def test_a_result_that_a_proof_can_refute_is_not_outvoted(world: World, members: list[Terminal]) -> None:
    with world.coordinator(last_round=1):
        world.registered()
        propose(world, 1)
        with pytest.raises(PolicyError, match="rule median of round 1: expected one that only a replay can refute"):
            members[0].run("outvote")


def test_two_thirds_outvote_a_result_of_a_rule_that_only_a_replay_can_refute(
    test_chain: TestChain, tmp_path: Path
) -> None:
    terms = default_terms(rule=0, chain=encode_chain("nnm+krum"), f=1, dimension=6090)
    drawn = LedgerWorld(test_chain.rpc, "outvoted", participants=5, terms=terms)
    opened = drawn.open()
    drawn.propose(drawn.finish(opened, [counted()] * 5))
    ledger = Ledger(Chain(test_chain.rpc, timeout_s=10), drawn.addresses["RoundLedger"])
    keys = [sha256(b"account", b"outvoted", f"member {index}".encode()) for index in range(4)]
    assert [address(key) for key in keys] == drawn.members
    people = [Terminal(ledger, key, tmp_path) for key in keys]
    number = drawn.read("Consortium", "proposalCount")[0] + 1
    wanted = "next: more members run this command"
    assert people[0].run("outvote") == f"proposal {number}  votes 1 of 3 needed; {wanted}\n"
    assert people[1].run("outvote") == f"proposal {number}  votes 2 of 3 needed; {wanted}\n"
    with pytest.raises(RevertedError, match="AlreadyVoted"):
        people[1].run("outvote")
    with pytest.raises(RevertedError, match="NotEnoughVotes"):
        people[0].run("execute", number)
    done = f"next: `veriflock consortium execute {number}`"
    assert people[2].run("outvote") == f"proposal {number}  votes 3 of 3 needed; {done}\n"
    assert "outvote-result" in people[3].run("execute", number)
    assert (ledger.state_of(1), void_reason(ledger, 1)) == (LedgerState.VOID, VoidReason.OUTVOTED)
