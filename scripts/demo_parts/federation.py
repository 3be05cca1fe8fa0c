"""A federation on one machine: chain, contracts, votes, and the processes of all parties.

Responsible for: founding it, and the acts in which the demo plays the consortium.
Must not know:   what is shown, or what is written down.
"""

from __future__ import annotations

import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from coordinator import anvil
from coordinator.chain import Call, Chain
from coordinator.config import render_config
from coordinator.consortium import Member, Motion, about, accept_tcb, resolve, trust_authority
from coordinator.deploy import Deployment, deploy
from coordinator.founding import Founding
from coordinator.founding import Member as FoundingMember
from coordinator.keyfile import make_certificate, new_key, write_key, write_private
from coordinator.ledger import Ledger
from coordinator.outbox import MemoryRecords, Outbox
from coordinator.platform.keys import read_keys
from coordinator.platform.manifest import build_image
from coordinator.platform_collateral import ask_collateral
from coordinator.platform_votes import read_platform
from demo_parts.observe import Site, registered_enclaves
from demo_parts.options import Options
from demo_parts.processes import Process, Processes
from participant import data
from participant.charters import charter_for
from participant.trainers import trainer_class
from protocol import fixedpoint, rulebook, sealing
from protocol.attestation.trust import RootKind, TrustedRoot
from protocol.errors import UnavailableError
from protocol.events import Action
from protocol.keys import address, to_hex
from protocol.terms import Terms

ETHER = 10**18
MEMBERS = 3
DELAY_S = 60
"""Of every vote that adds something.  The demo moves the clock over it."""
WINDOWS_S = (600, 10, 10, 120, 60)
"""submit, receipts, commit, propose, challenge: more than anyone here needs, since the demo moves the clock."""
BUDGET_WEI = ETHER // 100
BOND_WEI = ETHER
DEPOSIT_WEI = ETHER // 10
PURSE_WEI = 100 * ETHER
"""What every account starts with, from Anvil."""
RPC_TIMEOUT_S = 30.0
TRANSACTION_TIMEOUT_S = 60.0
ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainee:
    """One participant process."""

    process: Process
    """Its process."""
    account: bytes
    """Its address."""
    is_byzantine: bool
    """Whether it attacks."""
    arguments: tuple[str, ...]
    """Of its command, to start it again."""


class Federation:
    """Everything that runs, founded step by step."""

    def __init__(self, options: Options, *, work: Path, chain: anvil.Anvil, processes: Processes) -> None:
        """
        work: a private folder for keys and state; it is thrown away afterwards.
        """
        self.options = options
        self.rpc = chain.rpc
        self.chain = Chain(chain.rpc, timeout_s=RPC_TIMEOUT_S)
        self._work = work
        self.processes = processes
        self.dataset = data.load(options.dataset)
        name = f"demo of {options.dataset}"
        self.charter = charter_for(name, self.dataset, model=options.model, kem=sealing.KEM_HYBRID)
        initial = trainer_class(options.trainer).initial(self.charter, options.seed)
        genesis = fixedpoint.model_from_floats(initial, self.charter.model_exponent)
        self.genesis_model = fixedpoint.encode_model(genesis)
        self.coordinator_key = new_key()
        self.coordinator_url = ""
        self._member_keys = [new_key() for _ in range(MEMBERS)]
        self.terms = self._terms()
        self.deployment: Deployment | None = None
        self.trainees: list[Trainee] = []
        self.coordinator: Process | None = None
        self.source = ROOT
        """The code that the platform measures and starts; members vote for the measurement of ours in any case."""

    @property
    def ledger(self) -> Ledger:
        """The deployed ledger."""
        if self.deployment is None:
            raise UnavailableError("the contracts are not deployed")
        return Ledger(self.chain, self.deployment.ledger, from_block=self.deployment.from_block)

    def found(self) -> Deployment:
        """Deploy the four contracts, give everybody a purse, put the coordinator's bond and the treasury in."""
        deployer = new_key()
        self._fill_purses([address(deployer), address(self.coordinator_key), *map(address, self._member_keys)])
        members = tuple(
            FoundingMember(account=address(key), hpke_key=secrets.token_bytes(32)) for key in self._member_keys
        )
        founding = Founding(
            charter=self.charter,
            genesis_model=self.genesis_model,
            members=members,
            terms=self.terms,
            deposit_wei=DEPOSIT_WEI,
            minimum_bond_wei=BOND_WEI,
            delay_s=DELAY_S,
        )
        self.deployment = deploy(
            self.chain, self._outbox(deployer), MemoryRecords(), founding, federation=secrets.token_bytes(32)
        )
        host = self._outbox(self.coordinator_key)
        host.send("bond", self.ledger.bond_call(BOND_WEI))
        host.send("fund", self.ledger.fund_call(2 * self.options.rounds * BUDGET_WEI))
        return self.deployment

    def start_platform(self) -> None:
        """The simulated platform, its root, and the measurement that members compute from their own source."""
        at = ("--dir", str(self._work / "platform"), "--socket", str(self.socket), "--source", str(self.source))
        self.platform = self.processes.start("platform", "platform", "serve", *at)
        wait_for("the platform", self.socket.exists, self.processes)
        keys = read_keys(self._work / "platform")
        if keys is None:
            raise UnavailableError("the platform has no keys")
        self.root = keys.pki.root_key_hash
        self.measurement = build_image(self.charter.encode(), source=ROOT).measurement

    @property
    def socket(self) -> Path:
        """The platform's."""
        return self._work / "platform.sock"

    def vote(self) -> None:
        """Two of three members admit the coordinator, allow the measurement, and believe the platform.

        Each verifies the platform's collateral under the root that it was told, and votes on what follows from that.
        """
        members = [Member(self.ledger, key) for key in self._member_keys]
        root = TrustedRoot(key_hash=self.root, kind=RootKind.SIMULATED)
        self.collateral = ask_collateral(self.socket)
        believed = read_platform(self.collateral, root=root, now_s=int(time.time()))
        motions = [
            about(Action.ADMIT_COORDINATOR, address(self.coordinator_key)),
            about(Action.ALLOW_MEASUREMENT, self.measurement),
            trust_authority(believed.authority),
        ]
        self._carry(members, motions)
        self._carry(members, [accept_tcb(believed.row)])

    def _carry(self, members: list[Member], motions: list[Motion]) -> None:
        numbers = [resolve(members, motion) for motion in motions]
        self.move_clock(self.chain.now() + DELAY_S + 1)
        for number in numbers:
            members[0].execute(number)

    def start_coordinator(self, *, last_round: int | None = None) -> None:
        """The host, which launches its enclave and registers it; it opens rounds up to the last one."""
        folder = self._work / "coordinator"
        if not folder.exists():
            self._prepare_coordinator(folder)
        port = int(self.coordinator_url.rsplit(":", 1)[1])
        arguments = (
            "--config",
            str(folder / "coordinator.toml"),
            "--rounds",
            str(last_round or self.options.rounds),
            "--keep-serving",
        )
        process = self.processes.start("coordinator", "coordinator", "serve", *arguments)
        wait_for("the coordinator", lambda: listens(port), self.processes)
        self.coordinator = process

    def registered_enclave(self) -> bytes:
        """Waits until the ledger has verified and registered the enclave; members verify it again."""
        enclave = b""

        def is_active() -> bool:
            nonlocal enclave
            registered = registered_enclaves(self.ledger)
            enclave = registered[-1] if registered else b""
            return bool(enclave) and self.ledger.enclave(enclave).is_active

        wait_for("the enclave's registration", is_active, self.processes)
        member = Member(self.ledger, self._member_keys[0])
        member.check_enclave(enclave, collateral=self.collateral, now_s=int(time.time()), allow_simulated=True)
        return enclave

    def start_participants(self) -> None:
        """One process each; the last ones are Byzantine."""
        options = self.options
        keys = [new_key() for _ in range(options.participants)]
        self._fill_purses([address(key) for key in keys])
        for index, key in enumerate(keys):
            is_byzantine = index >= options.participants - options.byzantine
            folder = self._work / f"participant-{index}"
            folder.mkdir(mode=0o700)
            write_key(folder / "identity.key", key)
            arguments = [
                "--rpc",
                self.rpc,
                "--ledger",
                to_hex(self.ledger.address),
                "--coordinator",
                self.coordinator_url,
            ]
            arguments += ["--ca", str(self.certificate), "--key", str(folder / "identity.key")]
            arguments += ["--state", str(folder / "state"), "--split", options.split, "--index", str(index)]
            arguments += ["--participants", str(options.participants), "--seed", str(options.seed)]
            arguments += ["--trainer", options.trainer, "--allow-simulated", "--join", "--poll-s", "0.2"]
            arguments += ["--attack", options.attack] if is_byzantine else []
            process = self.processes.start(f"participant-{index}", "participant", "run", *arguments)
            self.trainees.append(
                Trainee(process=process, account=address(key), is_byzantine=is_byzantine, arguments=tuple(arguments))
            )

    def resume_participants(self) -> None:
        """Those that were stopped, with the keys and state that they had."""
        for index, trainee in enumerate(self.trainees):
            process = self.processes.start(f"participant-{index}", "participant", "run", *trainee.arguments)
            self.trainees[index] = replace(trainee, process=process)

    def stop_participants(self) -> None:
        """After the last round."""
        self.processes.stop_these(*(trainee.process for trainee in self.trainees))

    def stop_coordinator(self) -> None:
        """Politely; it comes back with `start_coordinator`."""
        if self.coordinator is not None:
            self.processes.stop_these(self.coordinator)
            self.coordinator = None

    def change_platform(self, socket_path: Path) -> None:
        """The coordinator, stopped, is to launch its enclave on another platform: with fresh keys."""
        shutil.rmtree(self.data / "sealed")
        (self.data / "launch.cbor").unlink(missing_ok=True)
        self._write_config(self._work / "coordinator", socket_path)

    def top_up_bond(self) -> None:
        """The host puts back what fees took."""
        missing = BOND_WEI - self.ledger.bond(address(self.coordinator_key))
        if missing > 0:
            self.host_outbox().send("top-up", self.ledger.bond_call(missing))

    def new_account(self, key_file: Path) -> bytes:
        """Somebody with a purse and nothing else; the key is in a file."""
        key = new_key()
        self._fill_purses([address(key)])
        write_key(key_file, key)
        return address(key)

    @property
    def work(self) -> Path:
        """The private folder of this run."""
        return self._work

    @property
    def certificate(self) -> Path:
        """The coordinator's; participants accept no other."""
        return self._work / "coordinator" / "certificate.pem"

    def site(self) -> Site:
        """The coordinator as anyone sees it."""
        return Site(self.coordinator_url, self.certificate)

    @property
    def data(self) -> Path:
        """The coordinator's store."""
        return self._work / "coordinator" / "data"

    def move_clock(self, to: int) -> None:
        """Anvil's clock, forward to a unix time; a block is mined there."""
        anvil.call(self.rpc, "evm_setNextBlockTimestamp", to)
        anvil.call(self.rpc, "evm_mine")

    def anchor(self, digest: bytes) -> None:
        """The digest of a record, in an event of the ledger."""
        data = self.chain.contracts["RoundLedger"].call_data("anchor", digest)
        self.host_outbox().send("anchor", Call(what="anchor", to=self.ledger.address, data=data))

    def host_outbox(self) -> Outbox:
        """Transactions with the coordinator's key, for the act in which the host lies."""
        return self._outbox(self.coordinator_key)

    def _prepare_coordinator(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        write_key(folder / "coordinator.key", self.coordinator_key)
        certificate, key = make_certificate(["127.0.0.1", "localhost"], datetime.now(UTC))
        (folder / "certificate.pem").write_bytes(certificate)
        write_private(folder / "certificate.key", key)
        (folder / "federation.json").write_bytes(self.charter.encode())
        (folder / "genesis.model").write_bytes(self.genesis_model)
        self.coordinator_url = f"https://127.0.0.1:{anvil.free_port()}"
        self._write_config(folder, self.socket)

    def _write_config(self, folder: Path, socket_path: Path) -> None:
        text = render_config(
            rpc=self.rpc,
            ledger=to_hex(self.ledger.address),
            from_block=self.deployment.from_block if self.deployment else 0,
            port=int(self.coordinator_url.rsplit(":", 1)[1]),
            platform=str(socket_path),
            poll_s=0.1,
        )
        (folder / "coordinator.toml").write_text(text)

    def _terms(self) -> Terms:
        options = self.options
        chain = rulebook.parse_chain(options.rule)
        return Terms(
            rule=int(chain.number),
            chain=chain.encode(),
            f=options.byzantine,
            m=0,
            min_counted=chain.minimum_counted(f=options.byzantine, m=0),
            exponent=-14,
            dimension=self.charter.dimension,
            norm_bound=0,
            weight_cap=10_000,
            optimizer=0,
            learning_rate=1 << 16,
            decay=0,
            disclosure=0,
            budget=BUDGET_WEI,
            cohort_size=options.participants,
            windows=WINDOWS_S,
        )

    def _outbox(self, key: bytes) -> Outbox:
        return Outbox(MemoryRecords(), self.chain, key, timeout_s=TRANSACTION_TIMEOUT_S)

    def _fill_purses(self, accounts: list[bytes]) -> None:
        for account in accounts:
            anvil.call(self.rpc, "anvil_setBalance", to_hex(account), hex(PURSE_WEI))


@contextmanager
def founded(
    options: Options, folder: Path, tell: Callable[[str], None] = lambda _: None, source: Path = ROOT
) -> Iterator[Federation]:
    """A federation with chain, votes, platform and coordinator, for as long as the block runs.

    folder: where the logs go.  Keys and state are in a temporary folder that is removed.
    tell:   takes a line for people after each step.
    source: the code that the platform starts.
    """
    logs = folder / "logs"
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="veriflock-")))
        processes = Processes(logs)
        stack.callback(processes.stop)
        chain = stack.enter_context(anvil.start(log=logs / "anvil.log"))
        federation = Federation(options, work=work, chain=chain, processes=processes)
        federation.source = source
        deployment = federation.found()
        tell(f"chain {chain.rpc}")
        tell(f"ledger {to_hex(deployment.ledger)}")
        federation.start_platform()
        federation.vote()
        tell(f"members vote for the enclave's code: measurement 0x{federation.measurement.hex()[:16]}...")
        tell("they vote for the platform too: who signs its quotes, and how new it has to be")
        federation.start_coordinator()
        yield federation


@contextmanager
def running(options: Options, folder: Path, tell: Callable[[str], None] = lambda _: None) -> Iterator[Federation]:
    """As `founded`, with participants at work and an enclave that the ledger verified and registered."""
    with founded(options, folder, tell) as federation:
        federation.start_participants()
        enclave = federation.registered_enclave()
        tell(f"enclave 0x{enclave.hex()[:16]}... is registered: its quote was verified on chain")
        yield federation


def listens(port: int) -> bool:
    """Whether somebody accepts connections on a port of the loopback interface."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(what: str, is_there: Callable[[], bool], processes: Processes, timeout_s: float = 60.0) -> None:
    """Wait until a condition holds.  Raises UnavailableError at the deadline or when a process of ours has ended."""
    deadline = time.monotonic() + timeout_s
    while not is_there():
        processes.check()
        if time.monotonic() > deadline:
            raise UnavailableError(f"{what} did not come within {timeout_s:g} s", "look into the logs")
        time.sleep(0.05)
