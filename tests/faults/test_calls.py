"""Events against the transactions that they stand under: who has nobody's key can't make anybody say anything."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contracts import NAMES, artifact
from protocol import events as e
from protocol.errors import UnavailableError, VerificationError
from protocol.keys import address
from tests.support.forge import Dump, forge, logs_of
from tests.support.verified import bad_news, named, new_world, run
from tests.support.world import RoundWorld, terms
from verifier.calls import ACTORS, NOT_ALWAYS, SAYINGS, Calls, check_creation
from verifier.checks.chain import check_2_code, check_3_streams
from verifier.dump import DumpChain
from verifier.report import Status
from verifier.rpc import RpcChain
from verifier.state import Entry
from verifier.transactions import parse_transaction

STRANGER = b"\x77" * 20


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RoundWorld]:
    """Two rounds with a commitment each, a credit withdrawn, a bond taken back, somebody who left."""
    with new_world(tmp_path_factory.mktemp("calls")) as made:
        made.play(terms("median"), committed={3: None})
        made.play(terms("median"), committed={4: None})
        made.be_late()
        made.call(made.participants[0], "RoundLedger", "withdraw")
        made.call(made.participants[1], "Participants", "setPayout", STRANGER)
        made.call(made.participants[2], "Participants", "leave")
        made.call(made.coordinator, "RoundLedger", "withdrawBond", 5)
        made.finish()
        yield made


@pytest.fixture
def folder(world: RoundWorld, tmp_path: Path) -> Path:
    return Path(shutil.copytree(world.folder, tmp_path / "run"))


@pytest.fixture(scope="module")
def read(world: RoundWorld) -> tuple[DumpChain, Any, tuple[Entry, ...]]:
    chain = DumpChain.read(world.folder / "chain.json")
    deployment, _ = check_2_code(chain, world.domain.ledger)
    return chain, deployment, check_3_streams(chain, deployment)[0]


def word(account: bytes) -> str:
    return "0x" + account.rjust(32, b"\0").hex()


def test_what_really_happened_holds(world: RoundWorld) -> None:
    report = run(world.folder)
    assert bad_news(report) == []
    assert report.exit_code == 0


def test_a_forger_who_changes_nothing_is_not_noticed(world: RoundWorld, folder: Path) -> None:
    """So what is noticed below is what was changed, and not how."""
    forge(folder, world.at, lambda dump: None)
    assert run(folder).exit_code == 0


def vote_of_another(world: RoundWorld, dump: Dump) -> None:
    """The members' third vote, under a transaction of the second."""
    logs_of(dump, e.Voted)[1]["topics"][2] = word(address(world.members[2]))


def another_measurement(world: RoundWorld, dump: Dump) -> None:
    """Members voted for a measurement; the logs say for another."""
    [allowed] = logs_of(dump, e.MeasurementAllowed)
    [proposed] = [log for log in logs_of(dump, e.Proposed) if log["topics"][2] == allowed["topics"][1]]
    allowed["topics"][1] = proposed["topics"][2] = "0x" + "ab" * 32


def another_member(world: RoundWorld, dump: Dump) -> None:
    """A member was founded who never voted; the logs say that it was another."""
    logs_of(dump, e.MemberAdmitted)[2]["topics"][1] = word(STRANGER)


def another_update(world: RoundWorld, dump: Dump) -> None:
    logs_of(dump, e.UpdateCommitted)[0]["data"] = "0x" + "ab" * 32


def another_participant(world: RoundWorld, dump: Dump) -> None:
    logs_of(dump, e.UpdateCommitted)[0]["topics"][2] = word(address(world.participants[5]))


def another_amount(world: RoundWorld, dump: Dump) -> None:
    logs_of(dump, e.TreasuryFunded)[0]["data"] = "0x" + (1).to_bytes(32).hex()


def another_payout(world: RoundWorld, dump: Dump) -> None:
    logs_of(dump, e.ParticipantJoined)[0]["data"] = word(STRANGER)


def another_anchor(world: RoundWorld, dump: Dump) -> None:
    logs_of(dump, e.Anchored)[0]["topics"][1] = word(address(world.members[0]))


def lists_of_logs(dump: Dump) -> list[list[Any]]:
    return [entry["receipt"]["logs"] for entry in dump["transactions"] if entry["receipt"]["logs"]]


def said_twice(world: RoundWorld, dump: Dump) -> None:
    """The anchor, again."""
    log = logs_of(dump, e.Anchored)[0]
    next(logs for logs in lists_of_logs(dump) if log is logs[0]).append(log)


FORGERIES: list[tuple[Callable[[RoundWorld, Dump], None], int, str]] = [
    (vote_of_another, 4, "member of Voted, by the Consortium.vote"),
    (another_measurement, 4, "subject of Proposed, by the Consortium.propose"),
    (another_member, 4, "events of the founding"),
    (another_update, 18, "committed update of slot 3"),
    (another_participant, 18, "committed update of slot 5"),
    (another_amount, 6, "amount of TreasuryFunded, by the RoundLedger.fund"),
    (another_payout, 12, "payout of ParticipantJoined, by the Participants.join"),
    (another_anchor, 30, "sender of Anchored, by the RoundLedger.anchor"),
    (said_twice, 30, "events of one RoundLedger.anchor: expected 1"),
]


@pytest.mark.parametrize("case", FORGERIES, ids=[case[0].__name__ for case in FORGERIES])
def test_a_genuine_transaction_under_forged_logs_is_refuted_by_the_check_of_the_event(
    world: RoundWorld, folder: Path, case: tuple[Callable[[RoundWorld, Dump], None], int, str]
) -> None:
    edit, number, evidence = case
    forge(folder, world.at, lambda dump: edit(world, dump))
    report = run(folder)
    refuted = [check for check in report.checks if check.status is Status.REFUTED]
    assert not [check for check in refuted if check.number < 4]  # the forger made every hash right
    assert evidence in " ".join(check.evidence for check in refuted if check.number == number), bad_news(report)
    assert report.exit_code == 1


def test_every_kind_of_event_is_tied_to_whoever_caused_it(read: tuple[DumpChain, Any, tuple[Entry, ...]]) -> None:
    chain, deployment, entries = read
    seen = set()
    for place, entry in enumerate(entries):
        kind = type(entry.event)
        if kind not in ACTORS:
            continue
        lie = replace(entry, event=replace(entry.event, **{ACTORS[kind]: STRANGER}))
        with pytest.raises(VerificationError):
            Calls(chain, deployment, [*entries[:place], lie, *entries[place + 1 :]]).hold(lie.log, lie.event)
        seen.add(kind)
    disputed = {e.RoundRefuted, e.ProverReplaced, e.EnclaveAccused, e.LeafRequested, e.LeafAnswered}
    # the chain is too young for the first, and the others are in test_recipe_disputes.py
    assert set(ACTORS) - seen == {e.DepositReclaimed, *disputed}


def test_events_of_every_call_are_neither_fewer_nor_more(read: tuple[DumpChain, Any, tuple[Entry, ...]]) -> None:
    chain, deployment, entries = read
    founding = entries[0].log.transaction
    rest = [entry for entry in entries if entry.log.transaction != founding]
    honest = Calls(chain, deployment, rest)
    for place, entry in enumerate(rest):
        honest.hold(entry.log, entry.event)
        others = [other for other in rest if other.log.transaction == entry.log.transaction and other is not entry]
        if others and not isinstance(entry.event, NOT_ALWAYS):
            with pytest.raises(VerificationError):
                Calls(chain, deployment, [*rest[:place], *rest[place + 1 :]]).hold(others[0].log, others[0].event)
        again = replace(entry, log=replace(entry.log, index=entry.log.index + 100))
        more = Calls(chain, deployment, [*rest, again])
        with pytest.raises(VerificationError):
            more.hold(again.log, again.event)


def test_all_functions_that_change_something_are_known(read: tuple[DumpChain, Any, tuple[Entry, ...]]) -> None:
    changing = {
        f"{name}.{item['name']}"
        for name in NAMES
        for item in artifact(name)["abi"]
        if item["type"] == "function" and item["stateMutability"] in ("nonpayable", "payable")
    }
    believing = ("trustAuthority", "distrustAuthority", "acceptTcb", "rejectTcb", "revokeCertificate", "revoke")
    judging = ("refute", "replaceProver", "executeVerdict", "credit", "voidWithheld", "voidUnavailable", "voidOutvoted")
    only_ours = {
        *(f"Enclaves.{name}" for name in believing),
        *(f"RoundLedger.{name}" for name in (*judging, "enroll")),
        *("Participants.suspend", "Participants.reinstate", "Consortium.suspendMeasurement"),
    }
    assert changing - set(SAYINGS) == only_ours  # each has one caller: a contract of ours


def test_immutables_are_what_the_deployment_was_signed_with(read: tuple[DumpChain, Any, tuple[Entry, ...]]) -> None:
    chain, deployment, _ = read
    for contract in deployment.all:
        creation = chain.creation(contract.address)
        assert creation is not None
        check_creation(contract, creation)
        for name in ("federation", "delay", "deposit", "genesisModel"):
            if name in contract.immutables:
                changed = replace(contract, immutables={**contract.immutables, name: b"\x01" * 32})
                with pytest.raises(VerificationError, match=name):
                    check_creation(changed, creation)


RELAY = "365f5f375f5f365f3473{}5af16026575f5ffd5b00"
"""Calls a fixed address with what it is called with, and the same value."""


def test_what_a_contract_caused_could_not_be_told(tmp_path: Path) -> None:
    with new_world(tmp_path) as world:
        code = bytes.fromhex(RELAY.format(world.domain.ledger.hex()))
        creation = world.send(
            world.coordinator, None, bytes([0x60, len(code), *bytes.fromhex("8060095f395ff3")]) + code
        )
        relay = created_by(world, creation)
        world.play(terms("median"))
        world.send(world.members[0], relay, world.contracts["RoundLedger"].call_data("fund"), 7)
        world.finish()
    report = run(tmp_path)
    assert named(report, Status.REFUTED) == set()
    assert named(report, Status.UNKNOWN) == {"money"}
    assert "was caused by a contract that is not ours" in bad_news(report)[0]
    assert report.exit_code == 2


def created_by(world: RoundWorld, transaction: bytes) -> bytes:
    return bytes.fromhex(world.ask("eth_getTransactionReceipt", "0x" + transaction.hex())["contractAddress"][2:])


def test_over_rpc_transactions_are_the_same_and_their_hash_is_not_taken_on_trust(
    world: RoundWorld, read: tuple[DumpChain, Any, tuple[Entry, ...]]
) -> None:
    chain, _, entries = read
    found = {entry.log.transaction for entry in entries}
    asked = RpcChain(world.rpc)
    for transaction in found:
        assert asked.transaction(transaction) == chain.transaction(transaction)
    asked.close()

    class Lying(RpcChain):
        def _ask(self, method: str, params: list[object]) -> Any:
            answer = super()._ask(method, params)
            return {**answer, "value": "0x1"} if method == "eth_getTransactionByHash" else answer

    lying = Lying(world.rpc)
    with pytest.raises(UnavailableError, match="does not hash to its hash"):
        lying.transaction(entries[-1].log.transaction)
    lying.close()


def test_a_sender_that_did_not_sign_is_refuted(world: RoundWorld, folder: Path) -> None:
    def name_another(dump: Dump) -> None:
        dump["transactions"][-1]["info"]["from"] = "0x" + STRANGER.hex()

    forge(folder, world.at, name_another)
    report = run(folder)
    assert named(report, Status.REFUTED) == {"chain"}
    assert "sender of a receipt" in bad_news(report)[0]


def test_a_signature_of_nobody_is_refuted_also_where_its_signer_is_named(world: RoundWorld, folder: Path) -> None:
    def sign(dump: Dump) -> None:
        """The signer that follows from a made-up signature never sent anything before."""
        entry = max(dump["transactions"], key=lambda entry: entry["block_number"])
        [fields] = [
            item["transaction"]
            for block in dump["blocks"]
            for item in block["transactions"]
            if item["transaction"]["hash"] == entry["info"]["transaction_hash"]
        ]
        fields["r"], fields["s"] = "0x" + "11" * 31 + "13", "0x22"
        made_up = parse_transaction(fields)
        fields["hash"] = entry["info"]["transaction_hash"] = "0x" + made_up.hash.hex()
        entry["info"]["from"] = "0x" + made_up.sender.hex()

    forge(folder, world.at, sign)
    report = run(folder)
    assert "nonce of 0x" in bad_news(report)[0]
    assert named(report, Status.REFUTED) == {"chain"}


def test_a_transaction_that_is_left_out_is_missed(world: RoundWorld, folder: Path) -> None:
    def leave_out(dump: Dump) -> None:
        """The first commitment: its participant withdraws nothing later, but its account has counted it."""
        log = logs_of(dump, e.UpdateCommitted)[0]
        entry = next(entry for entry in dump["transactions"] if log in entry["receipt"]["logs"])
        dump["transactions"].remove(entry)
        for block in dump["blocks"]:
            block["transactions"] = [
                item
                for item in block["transactions"]
                if item["transaction"]["hash"] != entry["info"]["transaction_hash"]
            ]

    forge(folder, world.at, leave_out)
    report = run(folder)
    assert "nonce of 0x" in bad_news(report)[0]
    assert named(report, Status.REFUTED) == {"chain"}
