"""A chain that a test follows log by log, as a verifier does, and takes back to where it was.

Responsible for: a federation with two coordinators, the state from its logs, many views in one request.
Must not know:   what is done on it, or what should come of that.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.abi import Interface, interfaces
from protocol import keys
from protocol.events import CONTRACTS, Action, parse_event, stream
from protocol.hashing import sha256
from protocol.messages import RoundResult, Spec
from scripts.ledger_world import ETHER, LedgerWorld, default_terms
from tests.support.refusals import ZERO
from verifier.apply import apply_
from verifier.chain import Log
from verifier.state import Entry, Federation

PEOPLE, JOINED = 6, 5
DEPOSIT, REQUEST = ETHER // 10, ETHER // 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """What everybody knows of a round."""

    spec: Spec
    cohort: tuple[bytes, ...]
    result: RoundResult
    """Of nothing, where none was proposed."""
    words: bytes = b""
    leaves: tuple[bytes, ...] = ()
    signers: tuple[bytes, ...] = ()
    """Whose leaf carries their signature."""


class TwoCoordinators(LedgerWorld):
    """A LedgerWorld with a second coordinator, both with little money at stake, and time that passes as it is told."""

    def __init__(self, rpc: str) -> None:
        terms = default_terms(f=1, min_counted=3, budget=ETHER, windows=(20, 10, 10, 60, 40))
        super().__init__(rpc, "random", participants=JOINED, terms=terms)
        self.first, self.other = self.coordinator, self.account("other coordinator")
        self.people = sorted(self.account(f"participant {index}") for index in range(PEOPLE))
        self.provers = [self.account(f"prover {index}") for index in range(2)]
        self.secrets = {self.first: self.enclave_key, self.other: sha256(b"other enclave key")}
        self.vote(Action.ADMIT_COORDINATOR, self.other)
        self.coordinator = self.other
        second = self.register(self.secrets[self.other], sha256(b"other hpke key") * 38, epoch=1)
        self.coordinator = self.first
        self.enclaves = {self.first: self.enclave, self.other: second}
        self.send("RoundLedger", "withdrawBond", 95 * ETHER, sender=self.first)
        self.send("RoundLedger", "addBond", sender=self.other, value=6 * ETHER)
        known = [(f"member {i}", i) for i in range(4)] + [(f"participant {i}", i) for i in range(PEOPLE)]
        secrets = [sha256(b"account", self.name, name.encode()) for name, _ in known]
        self.keys = {keys.address(secret): secret for secret in secrets}

    @property
    def everybody(self) -> list[bytes]:
        """Who can have money."""
        return [*self.people, *self.members, *self.provers, self.first, self.other]


class Chain:
    """One chain for all examples: each begins where the founding ended."""

    def __init__(self, rpc: str) -> None:
        self.rpc, self.world = rpc, TwoCoordinators(rpc)
        self.world.ask("anvil_setCoinbase", keys.to_hex(sha256(b"miner")[:20]))  # else fees go where burnt money does
        self.contracts: Mapping[str, Interface] = interfaces()
        self.names = {address: name for name, address in self.world.addresses.items()}
        self.snapshot = self.world.ask("evm_snapshot")
        self.founded = (Federation(), dict.fromkeys(CONTRACTS, ZERO), 0)
        self.founded = self.follow(*self.founded)
        self.paid_in = 100 * ETHER + 5 * ETHER + 6 * ETHER

    def back(self) -> None:
        """To the founding."""
        self.world.ask("evm_revert", self.snapshot)
        self.snapshot = self.world.ask("evm_snapshot")

    def follow(
        self, state: Federation, heads: dict[str, bytes], after: int
    ) -> tuple[Federation, dict[str, bytes], int]:
        """The state, streams and block number once the logs since a block are applied."""
        newest = int(str(self.world.ask("eth_blockNumber")), 16)
        logs: Any = self.world.ask("eth_getLogs", {"fromBlock": hex(after + 1), "toBlock": hex(newest)})
        heads, times = dict(heads), {}
        for log in logs:
            number, name = int(log["blockNumber"], 16), self.names[bytes.fromhex(log["address"][2:])]
            if number not in times:
                block: Any = self.world.ask("eth_getBlockByNumber", hex(number), False)
                times[number] = int(block["timestamp"], 16)
            topics, data = tuple(bytes.fromhex(t[2:]) for t in log["topics"]), bytes.fromhex(log["data"][2:])
            heads[name] = stream([(topics, data)], heads[name])
            found = Log(
                address=self.world.addresses[name],
                topics=topics,
                data=data,
                block_number=number,
                transaction=bytes.fromhex(log["transactionHash"][2:]),
                index=int(log["logIndex"], 16),
            )
            event = parse_event(name, topics, data)
            state = apply_(state, Entry(contract=name, event=event, log=found, time_s=times[number]))
        return state, heads, newest

    def read(self, calls: Sequence[tuple[str, str, tuple[Any, ...]]]) -> list[Any]:
        """What views return, all in one request."""
        questions = []
        for number, (contract, function, arguments) in enumerate(calls):
            data = self.contracts[contract].call_data(function, *arguments)
            call = {"to": keys.to_hex(self.world.addresses[contract]), "data": "0x" + data.hex()}
            questions.append({"jsonrpc": "2.0", "id": number, "method": "eth_call", "params": [call, "latest"]})
        return [
            self.contracts[contract].returned(function, bytes.fromhex(answer[2:]))
            for (contract, function, _), answer in zip(calls, self.ask_all(questions), strict=True)
        ]

    def balances(self, accounts: Sequence[bytes]) -> list[int]:
        """Wei of each."""
        questions = [
            {"jsonrpc": "2.0", "id": number, "method": "eth_getBalance", "params": [keys.to_hex(who), "latest"]}
            for number, who in enumerate(accounts)
        ]
        return [int(answer, 16) for answer in self.ask_all(questions)]

    def ask_all(self, questions: list[dict[str, Any]]) -> list[str]:
        """Answers in the order of the questions."""
        body = json.dumps(questions).encode()
        request = urllib.request.Request(self.rpc, body, {"Content-Type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310
            answers = {item["id"]: item["result"] for item in json.load(reply)}
        return [answers[number] for number in range(len(questions))]
