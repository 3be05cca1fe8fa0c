"""A federation with a real platform, a real enclave and a real coordinator; participants are a few lines here."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from coordinator.chain import Call
from coordinator.config import Config, parse_config, render_config
from coordinator.consortium import about, accept_tcb, allow, trust_authority
from coordinator.keyfile import make_certificate, write_key, write_private
from coordinator.ledger import Ledger, LedgerState
from coordinator.outbox import MemoryRecords, Outbox
from coordinator.platform_collateral import ask_collateral
from coordinator.platform_votes import PlatformVote, read_platform
from coordinator.server import Coordinator, open_coordinator
from protocol import fixedpoint, sealing, trees
from protocol.attestation.trust import RootKind, TrustedRoot
from protocol.encoding import decode_map
from protocol.events import Action
from protocol.keys import address, sign, to_hex
from protocol.messages import Domain, Receipt, Spec, Update
from tests.support.anvil import TestChain
from tests.support.federation import DIMENSION, TestFederation, admit_coordinator, found

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0
COMMAND = "from coordinator.{}cli import app; app()"


@dataclass(frozen=True, slots=True)
class TestPlatform:
    """A running platform."""

    __test__ = False

    socket: Path
    root: bytes
    measurement: bytes
    pid: int

    def enclaves(self) -> list[int]:
        """Process ids of its enclaves."""
        lists = Path(f"/proc/{self.pid}/task").glob("*/children")
        return [int(pid) for text in lists for pid in text.read_text().split()]


def environment() -> dict[str, str]:
    """For child processes."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


@contextmanager
def child(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process of ours that surely ends with the block."""
    command = [sys.executable, *arguments]
    process = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def platform(folder: Path, charter: bytes) -> Iterator[TestPlatform]:
    """A platform for as long as the block runs; measures an enclave for this charter."""
    from coordinator.platform.cli import installed
    from coordinator.platform.manifest import build_image

    at = folder / "p.sock"
    arguments = ("-c", COMMAND.format("platform."), "serve", "--dir", str(folder / "platform"), "--socket", str(at))
    with child(*arguments) as process:
        assert process.stdout is not None
        root = bytes.fromhex(process.stdout.readline().split()[1])
        assert "listening" in process.stdout.readline()
        measurement = build_image(charter, source=installed()).measurement
        yield TestPlatform(socket=at, root=root, measurement=measurement, pid=process.pid)


@dataclass(slots=True)
class World:
    """One federation with a coordinator's folder, ready to be served."""

    chain: TestChain
    federation: TestFederation
    folder: Path
    config: Config
    participants: list[bytes]
    """Keys, by ascending address: the index is the slot."""
    collateral: bytes
    """The platform's."""
    believed: PlatformVote
    """What members voted of it."""
    url: str = ""
    context: ssl.SSLContext = field(init=False)

    def __post_init__(self) -> None:
        self.context = ssl.create_default_context(cafile=str(self.folder / "certificate.pem"))

    @property
    def ledger(self) -> Ledger:
        """The federation's ledger."""
        return self.federation.ledger

    def ask(self, method: str, path: str, content: bytes | None = None) -> tuple[int, bytes]:
        """Status and body of one request on a connection of its own; asks again while nobody answers."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                with httpx.Client(base_url=self.url, verify=self.context, timeout=30) as client:
                    reply = client.request(method, path, content=content)
                    return reply.status_code, reply.content
            except httpx.TransportError:
                assert time.monotonic() < deadline, "nobody answers"
                time.sleep(0.02)

    def get(self, path: str) -> dict[str, Any]:
        """The map that a GET replies, once it does."""
        wait(lambda: self.ask("GET", path)[0] != 503)
        status, body = self.ask("GET", path)
        assert status == 200, body
        return decode_map(body, max_bytes=1 << 24)

    def post(self, round_id: int, sender: bytes, sealed: bytes) -> tuple[int, dict[str, Any]]:
        """Status and reply of an upload."""
        status, body = self.ask("POST", f"/v1/rounds/{round_id}/updates/{sender.hex()}", sealed)
        return status, decode_map(body, max_bytes=1 << 20)

    def registered(self) -> bytes:
        """Waits until the enclave that runs is registered, and verifies it again as a member may; returns its id."""
        enclave: bytes = self.get("/v1/enclave")["enclave"]
        wait(lambda: self.ledger.enclave(enclave).is_active)
        member, now_s = self.federation.members[0], int(time.time())
        member.check_enclave(enclave, collateral=self.collateral, now_s=now_s, allow_simulated=True)
        return enclave

    def collecting(self, round_id: int) -> Spec:
        """The spec of a round once it is collecting."""

        def is_collecting() -> bool:
            current = self.get("/v1/rounds/current")
            return bool(current["round"] == round_id and current["state"] == "collecting")

        wait(is_collecting)
        return Spec.from_map(self.get("/v1/rounds/current")["spec"])

    def wait_state(self, round_id: int, state: LedgerState) -> None:
        """Waits for the ledger."""
        wait(lambda: self.ledger.state_of(round_id) is state)

    def update(self, opened: Spec, slot: int, row: np.ndarray, **changes: object) -> tuple[Update, bytes]:
        """A participant's signed update of a row, and the same sealed to the enclave."""
        key = self.participants[slot]
        values: dict[str, object] = {
            "federation": opened.federation,
            "round_id": opened.round_id,
            "spec": opened.hash_struct(),
            "enclave": opened.enclave,
            "participant": address(key),
            "update_root": trees.row_root(row),
            "samples": 10,
        }
        update = Update(**{**values, **changes})  # type: ignore[arg-type]
        signature = sign(key, update.digest(self.domain))
        payload = sealing.Payload(update=update, signature=signature, row=fixedpoint.encode_row(row))
        return update, self.seal(opened, slot, sealing.encode_payload(payload))

    def seal(self, opened: Spec, slot: int, payload: bytes) -> bytes:
        """Any bytes, sealed to the enclave as that slot's."""
        info = sealing.info(
            federation=opened.federation,
            ledger=self.ledger.address,
            round_id=opened.round_id,
            participant=address(self.participants[slot]),
            enclave=opened.enclave,
        )
        public = X25519PublicKey.from_public_bytes(self.get("/v1/enclave")["hpke_key"])
        suite = sealing.suite(self.federation.founding.charter.kem)
        return bytes(suite.encrypt(payload, public, info=info))

    def send(self, spec: Spec, slot: int, row: np.ndarray) -> Receipt:
        """Sends a good update and returns its receipt."""
        _, sealed = self.update(spec, slot, row)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            status, reply = self.post(spec.round_id, address(self.participants[slot]), sealed)
            if status == 200:
                return Receipt.from_map(reply["receipt"])
            assert status == 503, reply  # the enclave is on its way
            assert time.monotonic() < deadline, reply
            time.sleep(0.02)

    def commit(self, spec: Spec, slot: int, update: Update) -> None:
        """Puts an update's hash on the ledger."""
        contract = self.chain.chain.contracts["RoundLedger"]
        data = contract.call_data("commit", spec.round_id, update.hash_struct())
        outbox = Outbox(MemoryRecords(), self.chain.chain, self.participants[slot], timeout_s=30)
        outbox.send("commit/1", Call(what="commit", to=self.ledger.address, data=data))

    @property
    def domain(self) -> Domain:
        """Where signatures count."""
        return Domain(chain_id=self.ledger.identity.chain_id, ledger=self.ledger.address)

    @contextmanager
    def coordinator(self, *, last_round: int | None = None) -> Iterator[Coordinator]:
        """A coordinator in threads of this process, at work; its failure is this block's."""
        failures: list[BaseException] = []
        with open_coordinator(self.config) as running:
            self.url = running.url

            def work() -> None:
                try:
                    running.service.run(running.stop, last_round=last_round)
                except BaseException as error:
                    failures.append(error)
                finally:
                    running.stop.set()

            thread = threading.Thread(target=work)
            thread.start()
            try:
                yield running
            finally:
                running.stop.set()
                thread.join(PATIENCE_S)
        if failures:
            raise failures[0]

    @contextmanager
    def coordinator_process(self, *, rounds: int) -> Iterator[subprocess.Popen[str]]:
        """A coordinator as a process of its own, at work."""
        config, log = str(self.folder / "coordinator.toml"), str(self.folder / "coordinator.log")
        arguments = ("serve", "--config", config, "--rounds", str(rounds), "--log", log)
        with child("-c", COMMAND.format(""), *arguments) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("listening on "), line
            self.url = line.split()[-1]
            yield process


def wait(condition: Callable[[], bool]) -> None:
    """Waits until something is so, and not forever."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "too slow"
        time.sleep(0.02)


def build(
    chain: TestChain,
    at: TestPlatform,
    folder: Path,
    name: str,
    *,
    participants: int = 4,
    tcb_expiry: int = 0,
    **changes: object,
) -> World:
    """A founded federation whose members believe the platform and its measurement, and a coordinator's folder.

    tcb_expiry: of the platform's TCB row; 0: when its collateral is due.
    """
    federation = found(chain, name, **changes)
    collateral = ask_collateral(at.socket)
    believed = believe(collateral, at.root, int(time.time()))
    allow(federation.members, trust_authority(believed.authority))
    row = replace(believed.row, expiry=tcb_expiry or believed.row.expiry)
    allow(federation.members, accept_tcb(row))
    allow(federation.members, about(Action.ALLOW_MEASUREMENT, at.measurement))
    key = chain.key(f"{name} coordinator")
    admit_coordinator(federation, key)
    keys = sorted((chain.key(f"{name} participant {index}") for index in range(participants)), key=address)
    contract = chain.chain.contracts["Participants"]
    for joining in keys:
        call = Call(
            what="join",
            to=federation.ledger.participants,
            data=contract.call_data("join", address(joining)),
            value=federation.founding.deposit_wei,
        )
        Outbox(MemoryRecords(), chain.chain, joining, timeout_s=30).send("join/1", call)
    folder.mkdir(exist_ok=True)
    write_key(folder / "coordinator.key", key)
    certificate, private = make_certificate(["127.0.0.1"], datetime.now(UTC))
    (folder / "certificate.pem").write_bytes(certificate)
    write_private(folder / "certificate.key", private)
    (folder / "federation.json").write_bytes(federation.founding.charter.encode())
    (folder / "genesis.model").write_bytes(federation.founding.genesis_model)
    ledger, block = to_hex(federation.ledger.address), federation.deployment.from_block
    text = render_config(rpc=chain.rpc, ledger=ledger, from_block=block, port=0, platform=str(at.socket), poll_s=0.05)
    (folder / "coordinator.toml").write_text(text)
    config = parse_config(text, folder)
    return World(
        chain=chain,
        federation=federation,
        folder=folder,
        config=config,
        participants=keys,
        collateral=collateral,
        believed=believed,
    )


def believe(collateral: bytes, root: bytes, now_s: int) -> PlatformVote:
    """What a member votes of a platform, whose root it was told."""
    return read_platform(collateral, root=TrustedRoot(key_hash=root, kind=RootKind.SIMULATED), now_s=now_s)


def rows(seed: int, count: int) -> list[np.ndarray]:
    """Small rows that follow from a seed."""
    generator = np.random.default_rng(seed)
    return [generator.integers(-100, 100, DIMENSION).astype(np.int16) for _ in range(count)]


def kill(process: subprocess.Popen[str]) -> None:
    """SIGKILL, and wait for the end."""
    process.send_signal(signal.SIGKILL)
    process.wait(10)
