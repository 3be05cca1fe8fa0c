"""The outbox against a real chain: whatever dies in between, an intent is mined once, by the bytes signed first."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from contracts import NAMES
from coordinator import anvil
from coordinator.chain import Call, Chain, ChainRestartedError, RevertedError
from coordinator.consortium import about
from coordinator.ledger import Ledger
from coordinator.outbox import MemoryRecords, Outbox
from coordinator.store import Store
from protocol.errors import UnavailableError
from protocol.events import Action
from protocol.hashing import sha256
from protocol.keys import address, to_hex
from tests.support.anvil import TestChain
from tests.support.federation import BUDGET_WEI, TestFederation, admit_coordinator, found

ROOT = Path(__file__).parents[2]
CHILD = Path(__file__).with_name("outbox_child.py")
GIFT_WEI = 5


def gift(name: str) -> Call:
    """A transfer to an address of the test's own."""
    return Call(what="a gift", to=sha256(name.encode())[:20], data=b"", value=GIFT_WEI)


def run_child(chain: TestChain, folder: Path, key: bytes, call: Call, point: str) -> int:
    """The exit status of a process that sends `call` and dies at a point."""
    assert call.to is not None
    command = [sys.executable, str(CHILD), chain.rpc, str(folder), key.hex(), call.to.hex(), point]
    return subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, timeout=60, check=False).returncode


def states(folder: Path) -> list[tuple[str, str]]:
    """Names and states of what a store's outbox holds."""
    with Store(folder) as store:
        records = [store.read_record(name) for name in store.record_names("outbox")]
    return [(str(record["name"]), str(record["state"])) for record in records if record is not None]


@pytest.mark.parametrize(("point", "left"), [("intent", "intent"), ("signed", "signed"), ("sent", "signed")])
def test_a_process_killed_on_the_way_is_followed_by_one_that_sends_once(
    test_chain: TestChain, tmp_path: Path, point: str, left: str
) -> None:
    key, call = test_chain.key(f"killed {point}"), gift(f"killed {point}")
    assert run_child(test_chain, tmp_path, key, call, point) == -signal.SIGKILL
    assert states(tmp_path) == [("gift/1", left)]
    assert run_child(test_chain, tmp_path, key, call, "never") == 0
    assert call.to is not None
    assert test_chain.chain.balance(call.to) == GIFT_WEI
    assert test_chain.chain.nonce(address(key)) == 1
    assert states(tmp_path) == [("gift/1", "mined")]


def test_the_same_intent_again_is_the_same_transaction(test_chain: TestChain, tmp_path: Path) -> None:
    key, call = test_chain.key("twice"), gift("twice")
    with Store(tmp_path) as store:
        first = Outbox(store, test_chain.chain, key, timeout_s=20).send("gift/1", call)
        again = Outbox(store, test_chain.chain, key, timeout_s=20).send("gift/1", call)
    assert again == first
    assert test_chain.chain.nonce(address(key)) == 1


def test_a_transaction_that_the_node_dropped_is_sent_again_with_the_same_bytes(
    test_chain: TestChain, tmp_path: Path
) -> None:
    key, call = test_chain.key("dropped"), gift("dropped")
    sent: list[bytes] = []

    class ForgetfulChain(Chain):
        def send_raw(self, raw: bytes) -> None:
            sent.append(raw)
            if len(sent) > 1:  # the first one is lost on the way
                super().send_raw(raw)

    clock = iter(range(1000))
    with Store(tmp_path) as store:
        outbox = Outbox(
            store,
            ForgetfulChain(test_chain.rpc, timeout_s=10),
            key,
            timeout_s=100,
            sleep=lambda _: None,
            monotonic=lambda: float(next(clock)),
        )
        outbox.send("gift/1", call)
    assert len(set(sent)) == 1
    assert len(sent) >= 2


def test_an_unmined_transaction_is_waited_for_so_long_and_no_longer(test_chain: TestChain, tmp_path: Path) -> None:
    key, call = test_chain.key("unmined"), gift("unmined")

    class DeafChain(Chain):
        def send_raw(self, raw: bytes) -> None:
            """Never reaches the node."""

    clock = iter(range(1000))
    with Store(tmp_path) as store:
        deaf = DeafChain(test_chain.rpc, timeout_s=10)
        slow = Outbox(store, deaf, key, timeout_s=20, sleep=lambda _: None, monotonic=lambda: float(next(clock)))
        with pytest.raises(UnavailableError, match=r"gift/1 .* was not mined in 20 s; start the command again"):
            slow.send("gift/1", call)
        Outbox(store, test_chain.chain, key, timeout_s=20).resume()
    assert states(tmp_path) == [("gift/1", "mined")]


def test_a_nonce_that_somebody_else_used_stops_the_outbox_and_signs_nothing_new(
    test_chain: TestChain, tmp_path: Path
) -> None:
    key, call = test_chain.key("shared"), gift("shared")
    assert run_child(test_chain, tmp_path, key, call, "signed") == -signal.SIGKILL
    Outbox(MemoryRecords(), test_chain.chain, key, timeout_s=20).send("gift/other", gift("other"))
    with Store(tmp_path) as store, pytest.raises(UnavailableError, match=r"nonce 0 .* was used by another transaction"):
        Outbox(store, test_chain.chain, key, timeout_s=20).send("gift/1", call)
    assert states(tmp_path) == [("gift/1", "signed")]
    assert call.to is not None
    assert test_chain.chain.balance(call.to) == 0


def test_an_account_without_money_is_named_with_its_balance(test_chain: TestChain) -> None:
    key = sha256(b"a key without money")
    with pytest.raises(UnavailableError, match=r"(?i)insufficient funds.*; send the account some wei"):
        Outbox(MemoryRecords(), test_chain.chain, key, timeout_s=20).send("gift/1", gift("poor"))


@pytest.fixture(scope="module")
def federation(test_chain: TestChain) -> TestFederation:
    return found(test_chain, "outbox")


def test_a_revert_carries_the_contracts_error_and_leaves_nothing_behind(
    test_chain: TestChain, federation: TestFederation, tmp_path: Path
) -> None:
    key = test_chain.key("coordinator")
    outbox = admit_coordinator(federation, key)
    too_little = federation.ledger.chain.contracts["RoundLedger"].call_data("withdrawBond", 10**18)
    call = Call(what="withdrawBond", to=federation.ledger.address, data=too_little)
    with pytest.raises(RevertedError) as caught:
        outbox.send("withdraw/1", call)
    assert (caught.value.name, caught.value.arguments) == ("NotEnough", {"available": 10**17, "requested": 10**18})
    assert "withdrawBond: NotEnough" in str(caught.value)
    nonce = test_chain.chain.nonce(outbox.sender)
    assert nonce == test_chain.chain.nonce(outbox.sender, tag="latest") == 2  # bond and fund, nothing else


def test_a_transaction_that_reverts_when_mined_is_decoded_and_may_be_tried_again(
    test_chain: TestChain, federation: TestFederation, tmp_path: Path
) -> None:
    key = test_chain.key("late coordinator")
    contract = federation.ledger.chain.contracts["RoundLedger"]

    class CarelessChain(Chain):
        """Signs and sends what a simulation would have refused."""

        def simulate(self, call: Call, sender: bytes) -> None:
            """Says yes to everything."""

        def request(self, method: str, *parameters: object, what: str = "a call") -> object:
            return "0x30000" if method == "eth_estimateGas" else super().request(method, *parameters, what=what)

    call = Call(what="withdrawBond", to=federation.ledger.address, data=contract.call_data("withdrawBond", 7))
    with Store(tmp_path) as store:
        careless = Outbox(store, CarelessChain(test_chain.rpc, timeout_s=10), key, timeout_s=20)
        for _ in range(2):
            with pytest.raises(RevertedError, match="NotEnough") as caught:
                careless.send("withdraw/1", call)
            assert caught.value.arguments == {"available": 0, "requested": 7}
    assert states(tmp_path) == [("withdraw/1", "reverted"), ("withdraw/1", "reverted")]
    assert test_chain.chain.nonce(address(key)) == 2


def test_a_vote_of_a_stranger_is_refused_by_name(test_chain: TestChain, federation: TestFederation) -> None:
    from coordinator.consortium import Member

    stranger = Member(federation.ledger, test_chain.key("stranger"))
    with pytest.raises(RevertedError, match="the ledger refused propose: NotMember"):
        stranger.propose(about(Action.ALLOW_MEASUREMENT, bytes(32)))


def test_a_deployment_that_was_interrupted_goes_on_with_the_same_federation(test_chain: TestChain) -> None:
    from coordinator.deploy import deploy

    federation = found(test_chain, "interrupted")
    records, key = MemoryRecords(), test_chain.key("interrupted again")

    class Interrupted(Exception):
        """Stands for the end of the process."""

    class StoppingOutbox(Outbox):
        def send(self, name: str, call: Call) -> object:  # type: ignore[override]
            if name == "deploy/Enclaves":
                raise Interrupted
            return super().send(name, call)

    stopping = StoppingOutbox(records, test_chain.chain, key, timeout_s=20)
    with pytest.raises(Interrupted):
        deploy(test_chain.chain, stopping, records, federation.founding, federation=b"1" * 32)
    outbox = Outbox(records, test_chain.chain, key, timeout_s=20)
    done = deploy(test_chain.chain, outbox, records, federation.founding, federation=b"2" * 32)
    assert done.federation == b"1" * 32
    assert Ledger(test_chain.chain, done.ledger).federation == b"1" * 32
    assert test_chain.chain.nonce(outbox.sender) == len(NAMES)


def test_terms_and_money_read_as_they_were_founded(test_chain: TestChain, federation: TestFederation) -> None:
    ledger, founding = federation.ledger, federation.founding
    assert ledger.terms(1) == founding.terms
    assert founding.terms.budget == BUDGET_WEI
    assert (ledger.model(), ledger.charter) == (founding.genesis_root(), founding.charter.sha256())


def test_a_chain_without_the_ledger_says_what_to_do(test_chain: TestChain) -> None:
    nowhere = sha256(b"nowhere")[:20]
    with pytest.raises(UnavailableError, match=f"no contract is at {to_hex(nowhere)} .*coordinator deploy"):
        Ledger(test_chain.chain, nowhere)


def test_another_contract_at_the_ledgers_address_is_named(federation: TestFederation) -> None:
    with pytest.raises(UnavailableError, match="is not a Veriflock ledger; correct the ledger's address"):
        Ledger(federation.ledger.chain, federation.ledger.participants)


def test_a_chain_that_is_not_there_says_what_to_do() -> None:
    chain = Chain(f"http://127.0.0.1:{anvil.free_port()}", timeout_s=5)
    with pytest.raises(UnavailableError, match=r"can't be reached .*; start it, or correct the RPC address"):
        chain.chain_id()


def test_a_chain_that_was_restarted_is_noticed(federation: TestFederation) -> None:
    before = federation.ledger.identity
    with anvil.start() as other:
        Chain(other.rpc, timeout_s=10).block("latest")
        federation.ledger.check_identity(before)
        restarted = type(before)(chain_id=before.chain_id, genesis=b"g" * 32, ledger=before.ledger)
        with pytest.raises(ChainRestartedError, match="was restarted or is another one"):
            federation.ledger.check_identity(restarted)
