"""A federation around participants: real chain, contracts, quote, keys and sockets.

Coordinator and enclave are a few lines of this file, so that a test can make them misbehave in one way.
"""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from coordinator.consortium import Member, about, accept_tcb, allow, trust_authority
from coordinator.deploy import deploy
from coordinator.enclave.rules import aggregate, flagged, totals
from coordinator.founding import Founding
from coordinator.founding import Member as FoundingMember
from coordinator.ledger import Ledger
from coordinator.outbox import MemoryRecords, Outbox
from participant.attacks import parse_attack
from participant.chain import Chain
from participant.client import Coordinator
from participant.journal import Journal, new_key_file
from participant.proposed import Commands
from participant.run import Runner, Settings
from participant.trainers.softmax import SoftmaxTrainer
from protocol import keys, sealing
from protocol.encoding import encode
from protocol.events import Action
from protocol.evidence import RoundEvidence
from protocol.fixedpoint import Int32, decode_row, encode_model, model_step
from protocol.hashing import sha256
from protocol.messages import Claims, Receipt, RoundResult, Spec, cohort_hash
from protocol.outcomes import Outcome, Status, bitmap, encode_outcomes, outcomes_hash
from protocol.rulebook import Rule, encode_chain
from protocol.sealing import Payload, parse_payload
from protocol.seeds import cohort_seed, cut
from protocol.terms import Terms
from protocol.trees import SetLeaf, column_root, model_root, set_root
from tests.support.anvil import TestChain
from tests.support.evidence import make_hardware
from tests.unit.participant_world import SOFTMAX, hpke_x25519, setup

WINDOWS = (600, 60, 60, 600, 60)
"""Seconds; long, since tests move the clock themselves."""
ZERO = bytes(32)
MEASUREMENT = sha256(b"measured code")


class Federation:
    """A founded federation with one admitted enclave and a coordinator that serves HTTP on this machine."""

    def __init__(self, test_chain: TestChain, name: str) -> None:
        self.test_chain, self.name = test_chain, name
        self.enclave_key = sha256(b"enclave", name.encode())
        self.hpke_private, self.hpke_key = hpke_x25519()
        self.shown_key = self.hpke_key
        """What the coordinator says the key is."""
        self.model: Int32 = np.zeros(SOFTMAX.dimension, dtype=np.int32)
        self.refuse = False
        """Set: the coordinator sends everybody away."""
        self.forge = False
        """Set: receipts are signed by the coordinator instead of the enclave."""
        self.uploads: list[tuple[int, bytes, bytes]] = []
        """(round, sealed, hash of the Update), in the order in which they came."""
        self.asked: list[str] = []
        """Paths, in the order in which they were asked for."""
        self.admitted: dict[bytes, Payload] = {}
        self.evidence: dict[int, bytes] = {}
        self.blobs: dict[bytes, bytes] = {}
        self._found()
        self._admit()
        self._serve()

    def close(self) -> None:
        """Ends the server."""
        if not self._thread.is_alive():
            return
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # -- the chain

    def _found(self) -> None:
        terms = Terms(
            rule=int(Rule.MEAN), chain=encode_chain("mean"), f=0, m=0, min_counted=1, exponent=-14,
            dimension=SOFTMAX.dimension, norm_bound=0, weight_cap=1000, optimizer=0, learning_rate=1 << 16, decay=0,
            disclosure=0, budget=10**15, cohort_size=0, windows=WINDOWS,
        )  # fmt: skip
        member = self.test_chain.key(f"{self.name} member")
        founding = Founding(
            charter=SOFTMAX,
            genesis_model=encode_model(self.model),
            members=(FoundingMember(account=keys.address(member), hpke_key=bytes(32)),),
            terms=terms,
            deposit_wei=10**16,
            minimum_bond_wei=10**17,
            delay_s=0,
        )
        records, chain = MemoryRecords(), self.test_chain.chain
        founder = Outbox(records, chain, self.test_chain.key(f"{self.name} founder"), timeout_s=30)
        self.deployment = deploy(chain, founder, records, founding, federation=sha256(self.name.encode()))
        self.ledger = Ledger(chain, self.deployment.ledger, from_block=self.deployment.from_block)
        self.members = [Member(self.ledger, member)]
        self.operator = self.test_chain.key(f"{self.name} coordinator")
        self.outbox = Outbox(MemoryRecords(), chain, self.operator, timeout_s=30)

    def _admit(self) -> None:
        self.hardware = make_hardware(int(time.time()))
        believed = self.hardware.vote
        self.blobs[self.hardware.collateral_hash] = self.hardware.collateral
        allow(self.members, about(Action.ALLOW_MEASUREMENT, MEASUREMENT))
        allow(self.members, trust_authority(believed.authority))
        allow(self.members, accept_tcb(believed.row))
        allow(self.members, about(Action.ADMIT_COORDINATOR, keys.address(self.operator)))
        block = self.test_chain.chain.block("latest")
        claims = Claims(
            federation=self.ledger.federation, chain_id=self.ledger.identity.chain_id, ledger=self.ledger.address,
            operator=keys.address(self.operator), kem=sealing.KEM_X25519, hpke_key=sha256(self.hpke_key),
            policy=SOFTMAX.sha256(), nonce=block.hash or ZERO, state_version=0, state_hash=ZERO,
            protections=0,
        )  # fmt: skip
        signer = keys.address(self.enclave_key)
        shown = {"signer": signer, "claims": claims, "measurement": MEASUREMENT}
        self.claims, self.chain_quote = claims, self.hardware.chain_quote(**shown)
        evidence = self.hardware.evidence(**shown, hpke_key=self.hpke_key)
        self.enclave = evidence.enclave
        call = self.ledger.register_call(evidence, believed.authority.authority, block.number)
        self.outbox.send("register", call)
        self.outbox.send("bond", self.ledger.bond_call(10**17))
        self.outbox.send("fund", self.ledger.fund_call(10**17))

    def open(self) -> Spec:
        """The next round, with everybody."""
        ledger, round_id = self.ledger, self.ledger.current_round() + 1
        cohort, now, deadlines = ledger.active_participants(), ledger.chain.now() + 5, []
        for window in WINDOWS:
            now += window
            deadlines.append(now)
        self.cohort = tuple(cohort)
        self.spec = ledger.terms(round_id).spec(
            federation=ledger.federation,
            round_id=round_id,
            previous=ledger.previous(),
            base_model=ledger.model(),
            cohort=cohort_hash(cohort),
            enclave=self.enclave,
            deadlines=tuple(deadlines),
        )
        seed = cohort_seed(federation=ledger.federation, round_id=round_id, previous=ledger.previous())
        self.admitted = {}
        self.base_blob = sha256(encode_model(self.model))
        self.blobs[self.base_blob] = encode_model(self.model)
        self.outbox.send(f"open/{round_id}", ledger.open_call(self.spec, cohort, cut(seed, cohort)))
        return self.spec

    def pass_deadline(self, index: int) -> None:
        """Chain time is after that deadline."""
        self.test_chain.move_clock_past(self.spec.deadlines[index])

    def settle(self) -> None:
        """Propose, and settle once the challenge window is over."""
        self.propose()
        self.close_round()

    def propose(self) -> None:
        """Aggregate, sign and propose, as coordinator and enclave would; publish the evidence."""
        self.pass_deadline(2)
        result, outcomes, leaves = self._result()
        signature = keys.sign(self.enclave_key, result.digest(self.domain))
        r = self.spec.round_id
        words = encode_outcomes(outcomes)
        self.outbox.send(f"propose/{r}", self.ledger.propose_call(self.spec, result, words, signature))
        self.evidence[r] = RoundEvidence(
            round_id=r, result=result.hash_struct(), base=ZERO, set_leaves=tuple(leaves),
            rows=(None,) * len(leaves), aggregate=None, model=sha256(encode_model(self.model)),
        ).encode()  # fmt: skip
        self.blobs[sha256(encode_model(self.model))] = encode_model(self.model)
        self._proposed = (result, words)

    def close_round(self) -> None:
        """Settle what is proposed, unless too few were counted."""
        result, words = self._proposed
        self.pass_deadline(4)
        if result.column_root != ZERO:
            what = f"settle/{result.round_id}"
            self.outbox.send(what, self.ledger.settle_call(self.spec, result, words, self.cohort))

    def _result(self) -> tuple[RoundResult, list[Outcome], list[bytes]]:
        counted = [slot for slot, participant in enumerate(self.cohort) if participant in self.admitted]
        outcomes, leaves = [Outcome(status=Status.ABSENT)] * len(self.cohort), [SetLeaf().encode()] * len(self.cohort)
        column = ZERO
        if counted:
            payloads = [self.admitted[self.cohort[slot]] for slot in counted]
            rows = np.stack([decode_row(payload.row, SOFTMAX.dimension) for payload in payloads])
            aggregation = aggregate("mean", rows, f=0)
            running = totals(rows, aggregation)
            column = column_root(rows, aggregation.aggregate, running)
            self.model = model_step(
                self.model, aggregation.aggregate, learning_rate=1 << 16, decay=0, exponent=-14, model_exponent=-24
            )
            for at, (slot, payload) in enumerate(zip(counted, payloads, strict=True)):
                outcomes[slot] = Outcome(
                    status=Status.COUNTED, flagged=bool(flagged(running)[at]), kept=int(running.kept[-1, at]),
                    deviation=int(running.deviation[-1, at]), alignment=int(running.alignment[-1, at]),
                )  # fmt: skip
                leaves[slot] = SetLeaf(
                    update_root=payload.update.update_root,
                    samples=payload.update.samples,
                    signature=payload.signature,
                ).encode()
        result = RoundResult(
            federation=self.spec.federation, round_id=self.spec.round_id, spec=self.spec.hash_struct(),
            previous=self.spec.previous, set_root=set_root(leaves), counted=bitmap(counted), selected=bitmap(counted),
            column_root=column, gram_root=ZERO, outcomes=outcomes_hash(outcomes), new_model=model_root(self.model),
            state=ZERO, enclave=self.enclave,
        )  # fmt: skip
        return result, outcomes, leaves

    # -- the coordinator

    @property
    def domain(self) -> Any:
        """EIP-712 domain of this ledger."""
        return self.chain().domain

    def _receive(self, round_id: int, participant: bytes, sealed: bytes) -> tuple[int, bytes]:
        context = sealing.info(
            federation=self.spec.federation, ledger=self.ledger.address, round_id=round_id, participant=participant,
            enclave=self.enclave,
        )  # fmt: skip
        payload = parse_payload(
            sealing.suite(sealing.KEM_X25519).decrypt(sealed, self.hpke_private, context), max_bytes=1 << 20
        )
        update = payload.update.hash_struct()
        self.uploads.append((round_id, sealed, update))
        earlier = self.admitted.get(participant)
        if self.refuse or round_id != self.spec.round_id:
            return 409, encode({"error": "TooLate", "message": "not now", "reason": 0})
        if earlier is not None and earlier != payload:
            return 409, encode({"error": "AlreadyReceived", "message": "a second update", "reason": 0})
        self.admitted[participant] = payload
        receipt = Receipt(
            federation=self.spec.federation, round_id=round_id, slot=self.cohort.index(participant), update=update,
            enclave=self.enclave,
        )  # fmt: skip
        signature = keys.sign(self.operator if self.forge else self.enclave_key, receipt.digest(self.domain))
        return 200, encode({"receipt": receipt.to_map(), "signature": signature})

    def _answer(self, path: str) -> tuple[int, bytes]:
        self.asked.append(path)
        parts = path.strip("/").split("/")
        if path == "/v1/federation":
            return 200, encode({"charter": SOFTMAX.encode()})
        if path == "/v1/enclave":
            shown = {"quote": self.chain_quote, "claims": self.claims.to_map(), "hpke_key": self.shown_key}
            return 200, encode({"enclave": self.enclave, **shown})
        if path == "/v1/rounds/current":
            return 200, encode({"base": self.base_blob})
        if parts[1] == "blobs" and bytes.fromhex(parts[2]) in self.blobs:
            return 200, self.blobs[bytes.fromhex(parts[2])]
        if parts[-1] == "evidence" and int(parts[2]) in self.evidence:
            return 200, self.evidence[int(parts[2])]
        return 404, b""

    def _serve(self) -> None:
        federation = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._send(*federation._answer(self.path))

            def do_POST(self) -> None:
                parts = self.path.strip("/").split("/")
                body = self.rfile.read(int(self.headers["content-length"]))
                self._send(*federation._receive(int(parts[2]), bytes.fromhex(parts[4]), body))

            def _send(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    # -- the participants

    def chain(self, key: bytes | None = None) -> Chain:
        """The chain as a participant sees it."""
        return Chain(self.test_chain.rpc, self.ledger.address, key=key)

    def runner(self, name: str, folder: Path, *, index: int = 0, attack: str | None = None) -> tuple[Runner, list[str]]:
        """A participant that has joined, stepped by hand; and the lines that it says."""
        key, lines = self.test_chain.key(f"{self.name} {name}"), list[str]()
        chain = self.chain(key)
        key_file = folder / f"{name}.key"
        if not key_file.exists():
            new_key_file(key_file, key)
        return Runner(
            chain=chain,
            coordinator=Coordinator(self.url),
            charter=SOFTMAX,
            trainer=SoftmaxTrainer(setup(seed=7, index=index)),
            samples=64,
            attack=parse_attack(attack),
            journal=Journal(folder / name, chain.federation),
            key=key,
            settings=Settings(seed=7, index=index, allow_simulated=True, join=True, rounds=0, poll_s=0.05),
            commands=Commands(
                rpc=self.test_chain.rpc,
                ledger=self.ledger.address,
                coordinator=self.url,
                ca=None,
                key=key_file,
                has_dispute=True,
            ),
            stop=threading.Event(),
            say=lines.append,
        ), lines
