"""A participant against a real chain: checks before it seals, signs once, insists on its receipt, says the end."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from coordinator.consortium import about, allow, revoke_certificate
from participant.chain import Chain, Membership, RoundState
from participant.journal import new_key_file
from participant.run import Runner
from protocol.errors import PolicyError, RoundError, UnavailableError
from protocol.events import Action
from protocol.evidence import parse_evidence
from protocol.hashing import sha256
from protocol.keys import address, to_hex
from protocol.openings import Leaves, Openings, Tree
from tests.support.anvil import TestChain, test_chain
from tests.support.participant_federation import MEASUREMENT, Federation

__all__ = ["test_chain"]  # the fixture


@pytest.fixture
def federation(test_chain: TestChain, request: pytest.FixtureRequest) -> Iterator[Federation]:
    made = Federation(test_chain, request.node.name)
    yield made
    made.close()


def joined(federation: Federation, folder: Path, *, attack: str | None = None) -> tuple[Runner, list[str]]:
    runner, lines = federation.runner("alice", folder, attack=attack)
    runner.join()
    return runner, lines


def test_a_round_from_joining_to_the_line_that_says_how_it_ended(federation: Federation, tmp_path: Path) -> None:
    alice, lines = joined(federation, tmp_path)
    bob, _ = federation.runner("bob", tmp_path, index=1)
    bob.join()
    alice.step()  # no round yet: nothing to do
    federation.open()
    for runner in (alice, bob, alice):
        runner.step()
    federation.settle()
    alice.step()
    alice.step()
    key = federation.test_chain.key(f"{federation.name} alice")
    slot = federation.cohort.index(address(key))
    assert len(federation.uploads) == 2
    assert [line.split(":")[0] for line in lines] == [f"joined as {lines[0].split()[-1]}", *["round 1"] * 5]
    assert "SIMULATED: says nothing about hardware" in lines[1]
    assert "trained (accuracy" in lines[2]
    assert "quantisation error" in lines[3]
    assert lines[4] == f"round 1: receipt for slot {slot} verified and kept"
    assert lines[5].startswith(f"round 1: settled, my slot {slot} counted as promised, not flagged, kept 650")
    assert alice.broken == 0

    chain = federation.chain(key)
    assert chain.credit_wei(address(key)) > 0
    chain.withdraw()
    assert chain.credit_wei(address(key)) == 0


def test_a_restarted_participant_sends_the_same_bytes_again(federation: Federation, tmp_path: Path) -> None:
    alice, _ = joined(federation, tmp_path)
    federation.open()
    federation.refuse = True
    alice.step()
    again, lines = federation.runner("alice", tmp_path)  # killed and started: nothing is left but its folder
    again.step()
    federation.refuse = False
    third, lines = federation.runner("alice", tmp_path)
    third.step()
    assert len({sealed for _, sealed, _ in federation.uploads}) == 1
    assert [update for _, _, update in federation.uploads] == [federation.uploads[0][2]] * 3
    assert not any("trained" in line for line in lines)
    assert lines[-1].endswith("verified and kept")
    third.step()
    assert len(federation.uploads) == 3  # with a receipt in hand nothing is sent


def test_without_a_receipt_in_time_the_update_is_committed_on_chain(federation: Federation, tmp_path: Path) -> None:
    alice, lines = joined(federation, tmp_path)
    federation.open()
    federation.refuse = True
    alice.step()
    assert lines[-1] == "round 1: refused: not now (reason 0)"
    federation.pass_deadline(1)
    alice.step()
    key = federation.test_chain.key(f"{federation.name} alice")
    update = federation.uploads[0][2]
    assert federation.chain().commitment(1, address(key)) == update
    assert f"round 1: no receipt in time, committed {update.hex()[:16]} on chain" in lines
    federation.refuse = False
    alice.step()  # handed over so that the host can deliver it
    assert lines[-1].endswith("verified and kept")


def test_a_forged_receipt_is_none_and_does_not_keep_the_update_from_being_committed(
    federation: Federation, tmp_path: Path
) -> None:
    alice, lines = joined(federation, tmp_path)
    federation.open()
    federation.forge = True
    with pytest.raises(UnavailableError, match="the receipt is not the enclave's"):
        alice.step()
    federation.pass_deadline(1)
    with pytest.raises(UnavailableError, match="the receipt is not the enclave's"):
        alice.step()
    assert lines[-1].startswith("round 1: no receipt in time, committed")


def test_a_coordinator_that_is_gone_does_not_keep_the_update_from_being_committed(
    federation: Federation, tmp_path: Path
) -> None:
    alice, lines = joined(federation, tmp_path)
    federation.open()
    federation.refuse = True
    alice.step()
    federation.close()
    federation.pass_deadline(1)
    with pytest.raises(UnavailableError, match="is it running there"):
        alice.step()
    assert lines[-1].startswith("round 1: no receipt in time, committed")


def test_an_attacker_that_can_not_be_admitted_gives_up_and_commits_nothing(
    federation: Federation, tmp_path: Path
) -> None:
    alice, _ = joined(federation, tmp_path, attack="nan")
    federation.open()
    federation.refuse = True
    for _ in range(5):
        alice.step()
    federation.pass_deadline(1)
    alice.step()
    assert len(federation.uploads) == 3
    key = federation.test_chain.key(f"{federation.name} alice")
    assert federation.chain().commitment(1, address(key)) == bytes(32)


def test_a_receipt_that_was_not_honoured_is_said_and_counted(federation: Federation, tmp_path: Path) -> None:
    alice, lines = joined(federation, tmp_path)
    bob, _ = federation.runner("bob", tmp_path, index=1)
    bob.join()
    federation.open()
    alice.step()
    bob.step()
    del federation.admitted[address(federation.test_chain.key(f"{federation.name} alice"))]
    federation.settle()
    alice.step()
    assert "BROKEN PROMISE" in lines[-1]
    assert "for which I hold a receipt: expected counted, got absent" in lines[-1]
    assert alice.broken == 1


def two_with_receipts(federation: Federation, folder: Path) -> tuple[Runner, list[str], bytes]:
    """Alice with what she says and her address, and Bob; both hold receipts of round 1."""
    alice, lines = joined(federation, folder)
    bob, _ = federation.runner("bob", folder, index=1)
    bob.join()
    federation.open()
    alice.step()
    bob.step()
    return alice, lines, address(federation.test_chain.key(f"{federation.name} alice"))


def typed(lines: list[str], first: str = "veriflock dispute ") -> subprocess.CompletedProcess[str]:
    """The one command that was printed, as its reader runs it: copied into a shell."""
    [command] = {line for line in lines if line.startswith(first)}
    words = [str(Path(sys.executable).with_name("veriflock")), *shlex.split(command)[1:]]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)


def test_a_proposed_result_that_breaks_a_receipt_is_refuted_by_the_command_that_is_printed(
    federation: Federation, tmp_path: Path
) -> None:
    alice, lines, me = two_with_receipts(federation, tmp_path)
    slot = federation.cohort.index(me)
    del federation.admitted[me]
    federation.propose()
    alice.step()
    said = [line for line in lines if "BROKEN PROMISE" in line]
    assert len(said) == 1
    assert (
        f"in the proposed result: check promise: outcome of slot {slot}, for which I hold a receipt: expected counted"
        in said[0]
    )
    assert alice.broken == 1
    again, more = federation.runner("alice", tmp_path)  # killed and started
    for runner in (alice, again):
        runner.step()
    assert (len([line for line in lines if "BROKEN" in line]), more) == (1, [])

    done = typed(lines)
    assert (done.returncode, done.stderr) == (1, "")
    assert "round 1 is void by F3, the prover is you" in done.stdout
    assert "receiptBroken" in done.stdout
    assert federation.chain().state_of(1) == RoundState.VOID
    alice.step()
    assert lines[-1] == "round 1: void, the base model stands"
    assert alice.broken == 1


def test_the_evidence_that_was_kept_refutes_it_when_the_coordinator_is_gone(
    federation: Federation, tmp_path: Path
) -> None:
    alice, lines, me = two_with_receipts(federation, tmp_path)
    del federation.admitted[me]
    federation.propose()
    alice.step()
    federation.close()
    assert typed(lines).returncode == 2
    [kept] = [line for line in lines if "what the coordinator showed is kept" in line]
    folder = shlex.split(kept)[shlex.split(kept).index("--artifacts") + 1]
    done = typed([line.replace(f"--coordinator {federation.url}", f"--artifacts {folder}") for line in lines])
    assert done.returncode == 1
    assert federation.chain().state_of(1) == RoundState.VOID


def test_another_update_than_the_receipts_is_noticed_while_it_is_proposed_and_refuted(
    federation: Federation, tmp_path: Path
) -> None:
    alice, lines, me = two_with_receipts(federation, tmp_path)
    payload = federation.admitted[me]
    federation.admitted[me] = replace(payload, update=replace(payload.update, samples=1))
    federation.propose()
    alice.step()
    [said] = [line for line in lines if "BROKEN PROMISE" in line]
    assert "in the proposed result: set leaf of my slot" in said
    assert typed(lines).returncode == 1
    assert federation.chain().state_of(1) == RoundState.VOID


def test_a_commitment_that_was_not_honoured_is_refuted_without_a_receipt(
    federation: Federation, tmp_path: Path
) -> None:
    alice, lines = joined(federation, tmp_path)
    bob, _ = federation.runner("bob", tmp_path, index=1)
    bob.join()
    federation.open()
    bob.step()
    federation.refuse = True
    alice.step()
    federation.pass_deadline(1)
    alice.step()
    federation.propose()
    alice.step()
    assert any("which I committed on chain: expected counted, undelivered" in line for line in lines)
    assert not any("--receipt" in line for line in lines)
    done = typed(lines)
    assert "commitmentBroken" in done.stdout
    assert federation.chain().state_of(1) == RoundState.VOID


def test_a_coordinator_that_withholds_its_evidence_of_a_proposed_result_is_said_once_and_asked_again(
    federation: Federation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, lines, me = two_with_receipts(federation, tmp_path)
    slot = federation.cohort.index(me)
    federation.propose()
    evidence, asked = federation.evidence.pop(1), len(federation.asked)
    for _ in range(3):
        alice.step()
    assert len(federation.asked) == asked + 1
    assert [line for line in lines if "does not show what is counted in my slot" in line] == lines[-5:-4]
    assert lines[-3].startswith(f"veriflock consortium request-leaf set {slot} --rpc ")

    member = tmp_path / "member.key"
    new_key_file(member, federation.test_chain.key(f"{federation.name} member"))
    done = typed([lines[-3].replace("MEMBER.key", str(member))], "veriflock consortium ")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"round 1: set leaf {slot} is asked for")

    monkeypatch.setattr("participant.proposed.AGAIN_S", 0.0)
    again, more = federation.runner("alice", tmp_path)
    again.step()
    assert more == []
    federation.evidence[1] = evidence
    again.step()
    again.step()
    assert more == [f"round 1: proposed, my slot {slot} counted as promised, not flagged, kept 650 coordinates"]
    assert again.broken == 0


def test_a_leaf_that_a_member_asked_for_and_got_on_the_ledger_is_enough_for_the_printed_command(
    federation: Federation, tmp_path: Path
) -> None:
    alice, lines, me = two_with_receipts(federation, tmp_path)
    slot, member = federation.cohort.index(me), federation.test_chain.key(f"{federation.name} member")
    del federation.admitted[me]
    federation.propose()
    leaves = parse_evidence(federation.evidence.pop(1)).set_leaves
    alice.step()
    assert typed(lines).returncode == 2  # nothing to open yet
    new_key_file(tmp_path / "member.key", member)
    ask = [line.replace("MEMBER.key", str(tmp_path / "member.key")) for line in lines]
    assert typed(ask, "veriflock consortium ").returncode == 0
    proposed = federation.chain().proposed(1)
    assert proposed is not None
    answer = Openings(Leaves(set_leaves=leaves, rows={}), counted=0).answer(Tree.SET, slot=0, index=slot)
    answering = federation.ledger.answer_call(federation.spec, proposed.result, address(member), answer)
    federation.outbox.send("answer", answering)
    done = typed(lines)
    assert "receiptBroken" in done.stdout
    assert federation.chain().state_of(1) == RoundState.VOID


VOTES_AGAINST = {
    "enclave": lambda f: about(Action.REVOKE_ENCLAVE, f.enclave),
    "measurement": lambda f: about(Action.REVOKE_MEASUREMENT, MEASUREMENT),
    "authority": lambda f: about(Action.DISTRUST_AUTHORITY, f.hardware.vote.row.authority),
    "platform": lambda f: revoke_certificate(f.hardware.vote.row.authority, f.hardware.serial),
}


@pytest.mark.parametrize("what", VOTES_AGAINST)
def test_an_enclave_that_members_stopped_believing_gets_nothing(
    federation: Federation, tmp_path: Path, what: str
) -> None:
    alice, lines = joined(federation, tmp_path)
    federation.open()
    allow(federation.members, VOTES_AGAINST[what](federation))
    alice.step()
    assert federation.uploads == []
    assert "not taking part: enclave of the round: expected registered and active" in lines[-1]


def test_a_platform_whose_security_versions_were_rejected_gets_nothing(federation: Federation, tmp_path: Path) -> None:
    alice, lines = joined(federation, tmp_path)
    federation.open()
    allow(federation.members, about(Action.REJECT_TCB, federation.hardware.vote.row.tcb))
    alice.step()
    assert federation.uploads == []
    assert "not taking part: security versions of the platform: expected accepted by vote" in lines[-1]


@pytest.mark.parametrize("given", ["nothing", "other bytes"])
def test_without_the_collateral_that_members_voted_for_nothing_is_sealed_and_it_is_asked_for_again(
    federation: Federation, tmp_path: Path, given: str
) -> None:
    alice, lines = joined(federation, tmp_path)
    federation.open()
    digest = federation.hardware.collateral_hash
    collateral = federation.blobs.pop(digest)
    if given == "other bytes":
        federation.blobs[digest] = collateral.replace(b"SWHardeningNeeded", b"UpToDate")
    with pytest.raises(UnavailableError, match=r"404|collateral that members voted for was not given"):
        alice.step()
    assert federation.uploads == []
    federation.blobs[digest] = collateral
    alice.step()
    assert lines[-1].endswith("verified and kept")


def test_the_key_on_the_ledger_is_sealed_to_whatever_the_coordinator_shows(
    federation: Federation, tmp_path: Path
) -> None:
    alice, lines = joined(federation, tmp_path)
    federation.open()
    right, federation.shown_key = federation.hpke_key, bytes(32)
    alice.step()  # the enclave could not open what is sealed to another key
    assert federation.hpke_key == right
    assert lines[-1].endswith("verified and kept")


def test_what_members_stopped_believing_after_the_round_is_said_with_its_end(
    federation: Federation, tmp_path: Path
) -> None:
    alice, lines = joined(federation, tmp_path)
    federation.open()
    alice.step()
    federation.settle()
    allow(federation.members, about(Action.REVOKE_MEASUREMENT, MEASUREMENT))
    alice.step()
    assert "round 1: settled, my slot 0 counted as promised" in lines[-1]
    assert "its enclave would not do any more: measurement of the enclave" in lines[-1]
    assert alice.broken == 0


def test_an_enclave_that_is_shown_directly_is_checked_by_the_same_recipe(federation: Federation) -> None:
    command = [sys.executable, "-c", "from veriflock import run; from participant.cli import app; exit(run(app))"]
    command += ["check", "--rpc", federation.test_chain.rpc, "--ledger", to_hex(federation.ledger.address)]
    command += ["--coordinator", federation.url]

    def check(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *more], capture_output=True, text=True, check=False, timeout=60)

    good = check("--allow-simulated")
    assert (good.returncode, good.stderr) == (0, "")
    assert "registered and active: I would seal to it" in good.stdout
    strict = check()
    assert strict.returncode == 1
    assert "simulated: says nothing about hardware" in strict.stderr
    allow(federation.members, about(Action.REVOKE_MEASUREMENT, MEASUREMENT))
    unvoted = check("--allow-simulated")
    assert unvoted.returncode == 1
    assert f"got 0x{MEASUREMENT.hex()}" in unvoted.stderr


def test_another_base_model_is_waited_out_not_trained_on(federation: Federation, tmp_path: Path) -> None:
    alice, lines = joined(federation, tmp_path)
    federation.open()
    right = federation.blobs[federation.base_blob]
    wrong = b"\1" + right[1:]
    right_name, federation.base_blob = federation.base_blob, sha256(wrong)
    federation.blobs[federation.base_blob] = wrong
    with pytest.raises(UnavailableError, match="does not have the round's base model: its root"):
        alice.step()
    federation.base_blob = right_name
    alice.step()
    assert lines[-1].endswith("verified and kept")


def test_a_void_round_is_said_and_closed(federation: Federation, tmp_path: Path) -> None:
    alice, lines = joined(federation, tmp_path)
    federation.open()
    alice.step()
    federation.admitted.clear()
    federation.settle()
    assert federation.chain().state_of(1) == RoundState.VOID
    alice.step()
    assert lines[-1] == "round 1: void, the base model stands"


def test_leaving_and_coming_too_late_are_said(federation: Federation, tmp_path: Path) -> None:
    alice, lines = joined(federation, tmp_path)
    federation.open()
    federation.pass_deadline(0)
    alice.step()
    assert lines[-1] == "round 1: came too late for it"
    key = federation.test_chain.key(f"{federation.name} alice")
    chain = federation.chain(key)
    chain.leave()
    assert chain.membership(address(key)) == Membership.LEFT
    with pytest.raises(PolicyError, match="expected active, got left"):
        alice.join()
    with pytest.raises(RoundError, match="the ledger refused reclaim: "):
        chain.reclaim()  # the round is still open


def test_a_chain_without_the_ledger_says_what_to_do(federation: Federation) -> None:
    with pytest.raises(UnavailableError, match="no ledger at 0x"):
        Chain(federation.test_chain.rpc, bytes(20))
    with pytest.raises(UnavailableError, match="is it running there"):
        Chain("http://127.0.0.1:9", federation.ledger.address)


@contextmanager
def process_of(federation: Federation, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """`veriflock participant run` as a process of its own; surely gone at the end."""
    key = folder / "alice.key"
    if not key.exists():
        new_key_file(key, federation.test_chain.key(f"{federation.name} alice"))
    (folder / "alice.toml").write_text(
        f"""rpc = "{federation.test_chain.rpc}"
ledger = "{to_hex(federation.ledger.address)}"
coordinator = "{federation.url}"
key = "alice.key"
state = "state"
index = 0
participants = 10
seed = 7
split = "dirichlet:1"
trainer = "participant.trainers.softmax:SoftmaxTrainer"
"""
    )
    command = [
        sys.executable,
        "-c",
        "from participant.cli import app; app()",
        "run",
        "--config",
        str(folder / "alice.toml"),
    ]
    command += ["--allow-simulated", "--poll-s", "0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(condition: object, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not condition():  # type: ignore[operator]
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_killed_process_starts_again_with_the_same_update_and_ends_cleanly_when_told(
    federation: Federation, tmp_path: Path
) -> None:
    alice = address(federation.test_chain.key(f"{federation.name} alice"))
    federation.refuse = True
    with process_of(federation, tmp_path) as process:
        wait_for(lambda: federation.chain().membership(alice) == Membership.ACTIVE, process)
        federation.open()
        wait_for(lambda: federation.uploads, process)
        process.send_signal(signal.SIGKILL)
    federation.refuse = False
    with process_of(federation, tmp_path) as process:
        wait_for(lambda: list(tmp_path.rglob("receipt.cbor")), process)
        federation.settle()
        wait_for(lambda: list(tmp_path.rglob("closed.cbor")), process)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert len({sealed for _, sealed, _ in federation.uploads}) == 1
    lines = out.splitlines()
    assert lines[0].startswith(f"{to_hex(alice)}: digits, ")
    assert any("counted as promised" in line for line in lines)
    assert lines[-1] == "stopped"


def test_evidence_that_is_withheld_is_could_not_tell_and_the_next_round_goes_on(
    federation: Federation, tmp_path: Path
) -> None:
    alice, lines = joined(federation, tmp_path)
    federation.open()
    alice.step()
    federation.settle()
    evidence = federation.evidence.pop(1)
    alice.step()
    assert lines[-1].startswith("round 1: could not tell: the coordinator answered 404")
    federation.evidence[1] = b"nonsense"
    federation.open()
    alice.step()
    assert "round 1: could not tell: the coordinator's evidence of round 1 can't be read" in "\n".join(lines)
    assert lines[-1].startswith("round 2: receipt for slot 0")
    federation.evidence[1] = evidence
    alice.step()
    assert lines[-1].startswith("round 1: settled, my slot 0 counted as promised")
