"""A real small federation on a real chain, round by round, whose enclave key the test holds: it can lie.

`RoundWorld.play` plays one round; a `lie` changes what the enclave computed before it is signed.  Nothing here is a
double: contracts, signatures, quote and aggregation are the ones that are shipped.
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from eth_account import Account

from contracts import NAMES
from contracts.abi import Interface, interfaces
from coordinator import anvil
from coordinator.deploy import create_addresses
from coordinator.enclave.rounds import Computed, Entry, Round, compute
from protocol.charter import Charter
from protocol.events import Action
from protocol.evidence import RoundEvidence
from protocol.fixedpoint import encode_model, encode_row
from protocol.hashing import keccak256, sha256
from protocol.keys import address, sign, to_hex
from protocol.messages import (
    Claims,
    Domain,
    RoundResult,
    Spec,
    Update,
    cohort_hash,
)
from protocol.outcomes import Reason, outcomes_hash, parse_outcomes
from protocol.rulebook import encode_chain, parse_rule
from protocol.sealing import KEM_X25519
from protocol.seeds import cohort_seed, cut, sample_cohort
from protocol.terms import Terms
from protocol.trees import model_root, row_root, set_root
from tests.support.evidence import make_hardware

DIMENSION = 40
"""Three leaves of the column tree, the last one padded."""
PARTICIPANTS = 7
MEMBERS = 3
ETHER = 10**18
DEPOSIT = ETHER // 100
BOND = ETHER
BUDGET = ETHER // 1000
WINDOWS = (60, 5, 60, 60, 5)
MODEL_EXPONENT = -24
MEASUREMENT = sha256(b"the enclave of these tests")
HPKE_KEY = sha256(b"hpke key")

Lie = Callable[["Play"], None]


def key_of(name: str) -> bytes:
    """A private key that follows from a name."""
    return sha256(b"verifier test ", name.encode())


def terms(rule: str = "median", **changes: Any) -> Terms:
    """Terms of these tests; a test changes some."""
    values: dict[str, Any] = {
        "rule": int(parse_rule(rule)),
        "chain": encode_chain(rule),
        "f": 1,
        "m": 0,
        "min_counted": 3,
        "exponent": -14,
        "dimension": DIMENSION,
        "norm_bound": 0,
        "weight_cap": 100,
        "optimizer": 0,
        "learning_rate": 65536,
        "decay": 1 << 14,
        "disclosure": 0,
        "budget": BUDGET,
        "cohort_size": 0,
        "windows": WINDOWS,
    }
    return Terms(**{**values, **changes})


@dataclass
class Play:
    """One round between its computation and its signature; a lie changes it."""

    spec: Spec
    cohort: tuple[bytes, ...]
    state: Round
    computed: Computed
    domain: Domain
    evidence: RoundEvidence | None = None

    def sign_as(self, **changes: Any) -> None:
        """Other fields of the result."""
        self.computed = replace(self.computed, result=replace(self.computed.result, **changes))

    def outcome(self, slot: int, **changes: Any) -> None:
        """Another outcome of a slot."""
        outcomes = parse_outcomes(self.computed.outcomes)
        outcomes[slot] = replace(outcomes[slot], **changes)
        self.computed = replace(self.computed, outcomes=b"".join(o.word() for o in outcomes))
        self.sign_as(outcomes=outcomes_hash(outcomes))

    def leaf(self, slot: int, leaf: bytes) -> None:
        """Another set leaf of a slot."""
        leaves = list(self.computed.set_leaves)
        leaves[slot] = leaf
        self.computed = replace(self.computed, set_leaves=tuple(leaves))
        self.sign_as(set_root=set_root(leaves))


class RoundWorld:
    """Chain, federation and artifacts."""

    def __init__(self, rpc: str, folder: Path) -> None:
        self.rpc, self.folder = rpc, folder
        (folder / "artifacts" / "blobs").mkdir(parents=True)
        (folder / "artifacts" / "rounds").mkdir()
        self.contracts: dict[str, Interface] = interfaces()
        self.nonces: dict[bytes, int] = {}
        self.transactions: list[str] = []
        self.members = [key_of(f"member {i}") for i in range(MEMBERS)]
        self.participants = sorted((key_of(f"participant {i}") for i in range(PARTICIPANTS)), key=address)
        self.coordinator, self.enclave_key = key_of("coordinator"), key_of("enclave")
        self.round_id, self.previous, self.terms = 0, bytes(32), terms()
        self.model = np.arange(DIMENSION, dtype=np.int32) * 1000
        for key in (*self.members, *self.participants, self.coordinator, key_of("founder")):
            self.ask("anvil_setBalance", to_hex(address(key)), hex(1000 * ETHER))
        self.now = int(self.ask("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
        self._found()

    # -- the chain

    def ask(self, method: str, *parameters: object) -> Any:
        return anvil.call(self.rpc, method, *parameters)

    def send(self, key: bytes, to: bytes | None, data: bytes, value: int = 0) -> bytes:
        """Mines one transaction that must succeed; returns its hash."""
        sender = address(key)
        nonce = self.nonces.get(sender, 0)
        fields = {"chainId": anvil.CHAIN_ID, "nonce": nonce, "gas": 8_000_000, "value": value, "data": data}
        fields |= {"maxFeePerGas": 10**11, "maxPriorityFeePerGas": 0} | ({"to": to_hex(to)} if to else {})
        raw = Account.from_key(key).sign_transaction(fields).raw_transaction
        found = self.ask("eth_sendRawTransaction", "0x" + raw.hex())
        receipt = self._receipt(found)
        if receipt["status"] != "0x1":
            trace = self.ask("debug_traceTransaction", found, {"disableStorage": True, "disableStack": True})
            raise AssertionError(f"reverted: {self._error(bytes.fromhex(trace['returnValue'].removeprefix('0x')))}")
        self.nonces[sender] = nonce + 1
        self.transactions.append(found)
        return bytes.fromhex(found[2:])

    def _receipt(self, transaction: str) -> Any:
        for _ in range(200):
            receipt = self.ask("eth_getTransactionReceipt", transaction)
            if receipt is not None:
                return receipt
            time.sleep(0.01)  # Anvil answers before it has mined
        raise AssertionError(f"{transaction} is not mined")

    def _error(self, data: bytes) -> str:
        for contract in self.contracts.values():
            if data[:4] in contract.errors:
                return f"{contract.errors[data[:4]]['name']} {data[4:].hex()}"
        return data.hex()

    def call(self, key: bytes, contract: str, function: str, *arguments: Any, value: int = 0) -> bytes:
        return self.send(key, self.at[contract], self.contracts[contract].call_data(function, *arguments), value)

    def move(self, timestamp: int) -> None:
        """The next block has this time."""
        newest = int(self.ask("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
        self.now = max(newest + 1, timestamp)
        self.ask("evm_setNextBlockTimestamp", self.now)

    # -- the federation

    def _found(self) -> None:
        founder = key_of("founder")
        self.at = create_addresses(address(founder), 0)
        consortium, participants, enclaves, ledger, disputes, *predicates = self.at.values()
        self.federation = sha256(b"a federation of these tests")
        self.charter = Charter(
            name="test",
            model="softmax",
            dimension=DIMENSION,
            model_exponent=MODEL_EXPONENT,
            dataset="digits",
            classes=10,
            offsets_q16=(0,),
            scales_q16=(65536,),
            kem=KEM_X25519,
        )
        (self.folder / "federation.json").write_bytes(self.charter.encode())
        members = [(address(key), b"hpke" * 8) for key in self.members]
        arguments = {
            "Consortium": (
                *(self.federation, self.charter.sha256(), participants, enclaves, ledger, disputes),
                *(members, self.terms, 0),
            ),
            "Participants": (self.federation, consortium, ledger, DEPOSIT),
            "Enclaves": (self.federation, consortium, ledger),
            "RoundLedger": (
                *(self.federation, consortium, participants, enclaves, disputes),
                *(model_root(self.model), MODEL_EXPONENT, BOND),
            ),
            "Disputes": (self.federation, ledger, consortium, enclaves, *predicates, BOND // 100),
        }
        for name in NAMES:
            self.send(founder, None, self.contracts[name].creation(*arguments.get(name, (ledger,))))
        self.domain = Domain(chain_id=anvil.CHAIN_ID, ledger=ledger)
        self._take_part()
        self._register()

    def _take_part(self) -> None:
        self.vote(Action.ADMIT_COORDINATOR, address(self.coordinator).rjust(32, b"\0"))
        self.call(self.coordinator, "RoundLedger", "addBond", value=BOND)
        self.call(self.members[0], "RoundLedger", "fund", value=BOND)
        for key in self.participants:
            self.call(key, "Participants", "join", address(key), value=DEPOSIT)

    def _register(self) -> None:
        self.hardware = make_hardware(self.now - 1000)
        self.blob(self.hardware.collateral)
        believed = self.hardware.vote
        self.vote(Action.ALLOW_MEASUREMENT, MEASUREMENT)
        self.vote(Action.TRUST_AUTHORITY, believed.authority.authority, believed.authority.encode())
        self.vote(Action.ACCEPT_TCB, believed.row.tcb, believed.row.encode())
        block = self.ask("eth_getBlockByNumber", "latest", False)
        self.claims = Claims(
            federation=self.federation,
            chain_id=anvil.CHAIN_ID,
            ledger=self.domain.ledger,
            operator=address(self.coordinator),
            kem=KEM_X25519,
            hpke_key=sha256(HPKE_KEY),
            policy=self.charter.sha256(),
            nonce=bytes.fromhex(block["hash"][2:]),
            state_version=0,
            state_hash=bytes(32),
            protections=0,
        )
        evidence = self.hardware.evidence(
            signer=address(self.enclave_key), claims=self.claims, hpke_key=HPKE_KEY, measurement=MEASUREMENT
        )
        self.enclave = evidence.enclave
        arguments = (evidence.quote, self.claims, HPKE_KEY, believed.authority.authority, int(block["number"], 16))
        self.call(self.coordinator, "Enclaves", "register", *arguments)

    def vote(self, action: Action, subject: bytes, data: bytes = b"", votes: int = 2) -> None:
        """Proposes, votes and executes."""
        self.proposals = getattr(self, "proposals", 0) + 1
        self.call(self.members[0], "Consortium", "propose", int(action), subject, data)
        for key in self.members[1:votes]:
            self.call(key, "Consortium", "vote", self.proposals)
        self.call(self.members[0], "Consortium", "execute", self.proposals, data)

    def set_terms(self, value: Terms) -> None:
        """From the next round on."""
        if value != self.terms:
            data = value.encode() + (self.round_id + 1).to_bytes(32)
            self.vote(Action.SET_TERMS, keccak256(data), data)
            self.terms = value

    # -- a round

    def open(self) -> tuple[Spec, tuple[bytes, ...]]:
        self.round_id += 1
        registered = sorted(address(key) for key in self.participants)
        seed = cohort_seed(federation=self.federation, round_id=self.round_id, previous=self.previous)
        cohort = sample_cohort(seed, registered, self.terms.cohort_size)
        self.move(self.now + 1)
        deadlines, at = [], self.now
        for window in self.terms.windows:
            at += window
            deadlines.append(at)
        spec = self.terms.spec(
            federation=self.federation,
            round_id=self.round_id,
            previous=self.previous,
            base_model=model_root(self.model),
            cohort=cohort_hash(cohort),
            enclave=self.enclave,
            deadlines=tuple(deadlines),
        )
        self.call(self.coordinator, "RoundLedger", "openRound", spec, registered, cut(seed, cohort))
        return spec, tuple(cohort)

    def update(self, spec: Spec, participant: bytes, row: Any, samples: int) -> Update:
        return Update(
            federation=spec.federation,
            round_id=spec.round_id,
            spec=spec.hash_struct(),
            enclave=spec.enclave,
            participant=participant,
            update_root=row_root(row),
            samples=samples,
        )

    def play(
        self,
        value: Terms | None = None,
        *,
        absent: Iterable[int] = (),
        samples: int = 20,
        refused: Mapping[int, Reason] | None = None,
        committed: Mapping[int, bytes | None] | None = None,
        lie: Lie | None = None,
        settle: bool = True,
    ) -> int:
        """One round from opening to settling; returns its number."""
        self.set_terms(value or self.terms)
        spec, cohort = self.open()
        keys = {address(key): key for key in self.participants}
        state = Round(spec=spec, cohort=cohort, base=self.model)
        state.refusals = dict(refused or {})
        random = np.random.default_rng(spec.round_id)
        common = random.integers(-300, 300, DIMENSION)
        for slot, participant in enumerate(cohort):
            row = (common + random.integers(-90, 90, DIMENSION)).astype(np.int16)
            if slot == 1:
                row = (-2 * common).astype(np.int16)  # opposed: it will be flagged
            if slot in absent or slot in state.refusals:
                continue
            update = self.update(spec, participant, row, samples=samples)
            signature = sign(keys[participant], update.digest(self.domain))
            state.entries[slot], state.rows[slot] = Entry(update=update, signature=signature), row
        for slot, other in (committed or {}).items():
            update_hash = other or state.entries[slot].update.hash_struct()
            self.call(keys[cohort[slot]], "RoundLedger", "commit", spec.round_id, update_hash)
        computed = compute(state, model_exponent=MODEL_EXPONENT, recheck=[0])
        play = Play(spec=spec, cohort=cohort, state=state, computed=computed, domain=self.domain)
        if lie is not None:
            lie(play)
        self.played = play
        self._publish(play)
        self._propose(play, settle=settle)
        return spec.round_id

    def _publish(self, play: Play) -> None:
        computed = play.computed
        counted = sorted(play.state.entries)
        has_rows = computed.aggregate is not None and play.spec.disclosure == 0
        play.evidence = play.evidence or RoundEvidence(
            round_id=play.spec.round_id,
            result=computed.result.hash_struct(),
            base=self.blob(encode_model(play.state.base)),
            set_leaves=computed.set_leaves,
            rows=tuple(
                self.blob(encode_row(play.state.rows[slot])) if has_rows and slot in counted else None
                for slot in range(len(play.cohort))
            ),
            aggregate=None if computed.aggregate is None else self.blob(encode_model(computed.aggregate)),
            model=self.blob(encode_model(computed.model)),
        )
        path = self.folder / "artifacts" / "rounds" / f"{play.spec.round_id}.cbor"
        path.write_bytes(play.evidence.encode())

    def blob(self, data: bytes) -> bytes:
        digest = sha256(data)
        (self.folder / "artifacts" / "blobs" / digest.hex()).write_bytes(data)
        return digest

    def _propose(self, play: Play, *, settle: bool) -> None:
        spec, result, outcomes = play.spec, play.computed.result, play.computed.outcomes
        signature = sign(self.enclave_key, result.digest(self.domain))
        self.move(spec.deadlines[2] + 1)
        self.call(self.coordinator, "RoundLedger", "propose", spec, result, outcomes, signature)
        if play.computed.aggregate is not None and settle:
            self.settle(play)

    def settle(self, play: Play, at: int = 0) -> None:
        """After the challenge window, or later."""
        spec, result, outcomes = play.spec, play.computed.result, play.computed.outcomes
        self.move(max(at, spec.deadlines[4] + 1))
        self.call(self.coordinator, "RoundLedger", "settle", spec, result, outcomes, list(play.cohort))
        self.previous, self.model = result.hash_struct(), play.computed.model

    def be_late(self) -> int:
        """One round for which nobody proposes in time; returns its number."""
        spec, _ = self.open()
        blank = RoundResult(
            **{name: bytes(32) for name in ("federation", "spec", "previous", "set_root", "column_root", "gram_root")},
            **{name: bytes(32) for name in ("outcomes", "new_model", "state", "enclave")},
            **{"round_id": 0, "counted": 0, "selected": 0},
        )
        self.move(spec.deadlines[3] + 1)
        self.call(self.members[0], "RoundLedger", "voidRound", spec, blank, b"")
        self.call(self.coordinator, "RoundLedger", "addBond", value=BOND)  # what the late fee took, and more
        return spec.round_id

    # -- the run folder

    def finish(self) -> None:
        """Record, anchor, dump, sums: in the demo's order."""
        genesis = self.ask("eth_getBlockByNumber", "0x0", False)["hash"]
        chain = {"chain_id": anvil.CHAIN_ID, "genesis_hash": genesis, "ledger": to_hex(self.domain.ledger)}
        record = {"chain": chain, "rounds": [{"transactions": {"all": self.transactions}}]}
        text = json.dumps(record, sort_keys=True, indent=1).encode()
        (self.folder / "record.json").write_bytes(text)
        self.move(self.now + 1)
        self.call(self.coordinator, "RoundLedger", "anchor", sha256(text))
        dump = self.ask("anvil_dumpState")
        (self.folder / "chain.json").write_bytes(gzip.decompress(bytes.fromhex(dump[2:])))
        write_sums(self.folder)


def write_sums(folder: Path) -> None:
    """SHA256SUMS over every file but itself."""
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    lines = [f"{sha256((folder / n).read_bytes()).hex()}  {n}\n" for n in names if n != "SHA256SUMS"]
    (folder / "SHA256SUMS").write_text("".join(lines))
