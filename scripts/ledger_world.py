"""A federation on a local chain without any of its other parts: what benchmarks and conformance tests drive.

Responsible for: deploying the contracts, voting, and rounds that are valid as far as the ledger can tell.
Must not know:   models, enclaves, or why a round is run; keys are derived from names, so nothing here is secret.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from contracts import NAMES
from contracts.abi import decode_error, interfaces
from coordinator import anvil
from coordinator.deploy import create_addresses
from coordinator.platform.collateral import Tee, issue_collateral
from coordinator.platform.pki import create_pki
from coordinator.platform.quoting import SimulatedAttester
from coordinator.platform_votes import read_platform
from protocol import keys, seeds
from protocol.attestation.collateral import encode_collateral
from protocol.attestation.trust import RootKind, TrustedRoot
from protocol.enclaves import Evidence, shown
from protocol.errors import UnavailableError
from protocol.events import Action
from protocol.hashing import keccak256, sha256
from protocol.messages import Claims, Domain, RoundResult, Spec, cohort_hash, report_data
from protocol.outcomes import Outcome, Status, bitmap, encode_outcomes, outcomes_hash
from protocol.rulebook import RULE_NAMES, encode_chain, minimum_counted
from protocol.sealing import KEM_HYBRID
from protocol.terms import Terms

ETHER = 10**18
DELAY_S = 60
MEASUREMENT = sha256(b"enclave code")
CHARTER = sha256(b"charter")
GENESIS = sha256(b"genesis model")
HYBRID_KEY_BYTES = 1216
"""The largest HPKE key: X25519 and ML-KEM-768."""
MAX_GAS = 1 << 24
"""Osaka's limit of one transaction (EIP-7825)."""


class Refused(Exception):
    """A transaction that reverted: the contract's error and its arguments."""

    def __init__(self, name: str, arguments: Mapping[str, Any]) -> None:
        super().__init__(f"{name}{dict(arguments)}")
        self.name = name
        self.arguments = dict(arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Everything that a round's transactions take."""

    spec: Spec
    cohort: tuple[bytes, ...]
    registered: tuple[bytes, ...]
    cut: bytes
    result: RoundResult | None = None
    outcomes: bytes = b""
    signature: bytes = b""


def default_terms(**changes: object) -> Terms:
    """Trimmed mean under one wei a slot and short windows; everybody takes part."""
    values: dict[str, Any] = {
        **{"rule": int(RULE_NAMES["trimmed-mean"]), "chain": encode_chain("trimmed-mean"), "f": 2, "m": 0},
        **{"min_counted": 5, "exponent": -14, "dimension": 6090, "norm_bound": 1 << 50, "weight_cap": 1 << 16},
        **{"optimizer": 0, "learning_rate": 65536, "decay": 0, "disclosure": 0, "budget": ETHER},
        **{"cohort_size": 0, "windows": (60, 60, 60, 60, 60)},
    }
    return Terms(**{**values, **changes})


class LedgerWorld:
    """One federation with its contracts, members, one coordinator, one enclave and its participants."""

    def __init__(
        self, rpc: str, name: str, *, participants: int, terms: Terms | None = None, genesis: bytes = GENESIS
    ) -> None:
        self.rpc = rpc
        self.genesis = genesis
        self.terms = terms or default_terms()
        self.name = name.encode()
        self.federation = sha256(b"federation", self.name)
        self.gas: dict[str, int] = {}
        """Gas of the last transaction of each function."""
        self._interfaces = interfaces()
        self.ask("anvil_autoImpersonateAccount", True)
        self.members = [self.account(f"member {index}") for index in range(4)]
        self.coordinator = self.account("coordinator")
        self.enclave_key = sha256(b"enclave key", self.name)
        self.addresses = self._deploy()
        self.domain = Domain(chain_id=int(str(self.ask("eth_chainId")), 16), ledger=self.addresses["RoundLedger"])
        self._admit()
        self.participants = sorted(self.account(f"participant {index}") for index in range(participants))
        for participant in self.participants:
            self.send("Participants", "join", participant, sender=participant, value=ETHER // 10)
        self.send("RoundLedger", "addBond", sender=self.coordinator, value=100 * ETHER)
        self.send("RoundLedger", "fund", sender=self.members[0], value=100 * ETHER)

    def account(self, name: str) -> bytes:
        """An address that follows from its name, with money; the chain signs for it."""
        address = keys.address(self.key(name))
        self.ask("anvil_setBalance", keys.to_hex(address), hex(10_000 * ETHER))
        return address

    def key(self, name: str) -> bytes:
        """The key of an account."""
        return sha256(b"account", self.name, name.encode())

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Whatever happens within has not happened afterwards."""
        snapshot, terms = self.ask("evm_snapshot"), self.terms
        yield
        self.ask("evm_revert", snapshot)
        self.terms = terms

    def ask(self, method: str, *parameters: object) -> object:
        """One JSON-RPC call."""
        return anvil.call(self.rpc, method, *parameters, timeout_s=60)

    def send(self, contract: str, function: str, *arguments: object, sender: bytes, value: int = 0) -> int:
        """Sends a transaction, returns its gas.  Raises Refused when it reverts."""
        data = self.call_data(contract, function, *arguments)
        return self._transact(function, self.addresses[contract], data, sender, value)

    def call_data(self, contract: str, function: str, *arguments: object) -> bytes:
        """The data of a call."""
        return self._interfaces[contract].call_data(function, *arguments)

    def read(self, contract: str, function: str, *arguments: object) -> list[Any]:
        """What a view returns."""
        data = "0x" + self.call_data(contract, function, *arguments).hex()
        answer = self.ask("eth_call", {"to": keys.to_hex(self.addresses[contract]), "data": data}, "latest")
        return self._interfaces[contract].returned(function, bytes.fromhex(str(answer)[2:]))

    def now(self) -> int:
        """Timestamp of the newest block."""
        block: Any = self.ask("eth_getBlockByNumber", "latest", False)
        return int(block["timestamp"], 16)

    def move_to(self, timestamp: int) -> None:
        """The next block has this timestamp."""
        self.ask("evm_setNextBlockTimestamp", timestamp)

    def vote(self, action: int, subject: bytes, data: bytes = b"") -> None:
        """Proposed, voted by three of four members, executed after the delay."""
        subject = subject.rjust(32, b"\0")
        self.send("Consortium", "propose", action, subject, data, sender=self.members[0])
        (proposal,) = self.read("Consortium", "proposalCount")
        for member in self.members[1:3]:
            self.send("Consortium", "vote", proposal, sender=member)
        self.move_to(self.now() + DELAY_S)
        self.send("Consortium", "execute", proposal, data, sender=self.members[3])

    def set_terms(self, terms: Terms) -> None:
        """New terms from the next round on."""
        data = terms.encode() + (1).to_bytes(32)
        self.vote(Action.SET_TERMS, keccak256(data), data)
        self.terms = terms

    def open(self) -> Round:
        """Opens the next round under the terms in force."""
        (current,), (previous,), (model,) = (
            self.read("RoundLedger", name) for name in ("currentRound", "previous", "model")
        )
        seed = seeds.cohort_seed(federation=self.federation, round_id=current + 1, previous=previous)
        cohort = seeds.sample_cohort(seed, self.participants, self.terms.cohort_size or 256)
        now = self.now() + 1
        spec = self.terms.spec(
            federation=self.federation,
            round_id=current + 1,
            previous=previous,
            base_model=model,
            cohort=cohort_hash(cohort),
            enclave=self.enclave,
            deadlines=self.terms.deadlines(now + 5),
        )
        cut = seeds.cut(seed, cohort)
        round_ = Round(spec=spec, cohort=tuple(cohort), registered=tuple(self.participants), cut=cut)
        self.move_to(now)
        self.send("RoundLedger", "openRound", spec, list(round_.registered), cut, sender=self.coordinator)
        return round_

    def finish(self, round_: Round, outcomes: Sequence[Outcome]) -> Round:
        """The round with a result of these outcomes, signed by its enclave."""
        counted = bitmap(slot for slot, outcome in enumerate(outcomes) if outcome.status == Status.COUNTED)
        spec = round_.spec
        enough = max(minimum_counted(RULE_NAMES["trimmed-mean"], f=spec.f, m=spec.m), spec.min_counted)
        is_enough = counted.bit_count() >= enough
        result = RoundResult(
            federation=self.federation,
            round_id=spec.round_id,
            spec=spec.hash_struct(),
            previous=spec.previous,
            set_root=sha256(b"set"),
            counted=counted,
            selected=counted,
            column_root=sha256(b"columns") if is_enough else bytes(32),
            gram_root=bytes(32),
            outcomes=outcomes_hash(outcomes),
            new_model=sha256(b"model", spec.round_id.to_bytes(8)) if is_enough else spec.base_model,
            state=bytes(32),
            enclave=spec.enclave,
        )
        signature = keys.sign(self.enclave_key, result.digest(self.domain))
        return replace(round_, result=result, outcomes=encode_outcomes(outcomes), signature=signature)

    def propose(self, round_: Round) -> int:
        """Proposes in time."""
        self.move_to(max(self.now() + 1, round_.spec.deadlines[2] + 1))
        arguments = (round_.spec, round_.result, round_.outcomes, round_.signature)
        return self.send("RoundLedger", "propose", *arguments, sender=self.coordinator)

    def settle(self, round_: Round) -> int:
        """Settles after the challenge window."""
        self.move_to(max(self.now() + 1, round_.spec.deadlines[4] + 1))
        arguments = (round_.spec, round_.result, round_.outcomes, list(round_.cohort))
        return self.send("RoundLedger", "settle", *arguments, sender=self.members[0])

    def _deploy(self) -> dict[str, bytes]:
        founder = self.account("founder")
        at = create_addresses(founder, 0)
        consortium, participants, enclaves, ledger, disputes, *predicates = (at[name] for name in NAMES)
        members = [(member, bytes(32)) for member in self.members]
        arguments: dict[str, tuple[object, ...]] = {
            "Consortium": (
                *(self.federation, CHARTER, participants, enclaves, ledger, disputes),
                *(members, self.terms, DELAY_S),
            ),
            "Participants": (self.federation, consortium, ledger, ETHER // 10),
            "Enclaves": (self.federation, consortium, ledger),
            "RoundLedger": (self.federation, consortium, participants, enclaves, disputes, self.genesis, -24, ETHER),
            "Disputes": (self.federation, ledger, consortium, enclaves, *predicates, ETHER // 100),
        }
        for name in NAMES:
            data = self._interfaces[name].creation(*arguments.get(name, (ledger,)))
            self._transact(f"deploy {name}", None, data, founder, 0)
        return at

    def _admit(self) -> None:
        self.vote(Action.ALLOW_MEASUREMENT, MEASUREMENT)
        self.vote(Action.ADMIT_COORDINATOR, self.coordinator)
        self.platform = SimulatedPlatform(self.now())
        believed = self.platform.believed
        self.vote(Action.TRUST_AUTHORITY, believed.row.authority, believed.authority.encode())
        self.vote(Action.ACCEPT_TCB, believed.row.tcb, believed.row.encode())
        self.hpke_key = sha256(b"hpke key", self.name) * (HYBRID_KEY_BYTES // 32)
        self.enclave = self.register(self.enclave_key, self.hpke_key, epoch=1)

    def register(self, enclave_key: bytes, hpke_key: bytes, *, epoch: int) -> bytes:
        """Registers an enclave with these keys on this world's platform; returns its id."""
        block: Any = self.ask("eth_getBlockByNumber", "latest", False)
        claims = Claims(
            federation=self.federation,
            chain_id=self.domain.chain_id,
            ledger=self.addresses["RoundLedger"],
            operator=self.coordinator,
            kem=KEM_HYBRID,
            hpke_key=sha256(hpke_key),
            policy=CHARTER,
            nonce=bytes.fromhex(block["hash"][2:]),
            state_version=0,
            state_hash=bytes(32),
            protections=0xFF,
        )
        evidence = self.platform.evidence(keys.address(enclave_key), claims, hpke_key, epoch)
        arguments = (evidence.quote, claims, hpke_key, self.platform.believed.row.authority, int(block["number"], 16))
        self.send("Enclaves", "register", *arguments, sender=self.coordinator)
        return evidence.enclave

    def _transact(self, what: str, to: bytes | None, data: bytes, sender: bytes, value: int) -> int:
        transaction = {"from": keys.to_hex(sender), "data": "0x" + data.hex(), "value": hex(value)}
        transaction["gas"] = hex(MAX_GAS)
        if to is not None:
            transaction["to"] = keys.to_hex(to)
        receipt = self._mined(self.ask("eth_sendTransaction", transaction))
        if int(receipt["status"], 16) != 1:
            trace: Any = self.ask("debug_traceTransaction", receipt["transactionHash"], {"tracer": "callTracer"})
            raise Refused(*decode_error(self._interfaces, bytes.fromhex(trace.get("output", "0x")[2:])))
        self.gas[what] = int(receipt["gasUsed"], 16)
        return self.gas[what]

    def _mined(self, transaction: object) -> dict[str, Any]:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            receipt = self.ask("eth_getTransactionReceipt", transaction)
            if isinstance(receipt, dict):
                return receipt
            time.sleep(0.01)
        raise UnavailableError(f"transaction {transaction} was not mined within 30 s", "is the machine overloaded?")


class SimulatedPlatform:
    """A platform that exists for the ledger only: keys, certificates, and what members vote of its collateral."""

    def __init__(self, now_s: int) -> None:
        self.pki = create_pki(now_s)
        self.attestation_key = ec.generate_private_key(ec.SECP256R1())
        root = TrustedRoot(key_hash=self.pki.root_key_hash, kind=RootKind.SIMULATED)
        collateral = encode_collateral(issue_collateral(self.pki, Tee.SGX, now_s))
        self.believed = read_platform(collateral, root=root, now_s=now_s)

    def evidence(self, signer: bytes, claims: Claims, hpke_key: bytes, epoch: int) -> Evidence:
        """What the operator of an enclave on this platform registers."""
        attester = SimulatedAttester(pki=self.pki, attestation_key=self.attestation_key, measurement=MEASUREMENT)
        quote = attester.quote(report_data(signer=signer, claims=claims.sha256(), epoch=epoch))
        return shown(quote, claims, hpke_key)[0]


def counted(*, flagged: bool = False) -> Outcome:
    """A counted slot with numbers as large as those of a real round."""
    alignment = -123_456_789_012 if flagged else 987_654_321_098
    return Outcome(status=Status.COUNTED, flagged=flagged, kept=5432, deviation=1_234_567_890_123, alignment=alignment)
