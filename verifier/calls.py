"""Who caused an event: each is held against the transaction that it stands under, whose signer was recovered.

Responsible for: call data to a function of our contracts and its arguments; what that call, sent by that sender, says;
                 and that the events of its transaction say the same, once.
Must not know:   what should have been allowed (checks/).

No EVM runs here.  But of our contracts each call says one thing, which follows from its sender and its arguments; and
who signs transactions calls our contracts by nothing but those.  What another contract called can't be told.

Twins: contracts/src/Consortium.sol, Participants.sol, Enclaves.sol, RoundLedger.sol, Disputes.sol.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError

from contracts import artifact
from protocol import events as e
from protocol.errors import EncodingError, UnavailableError, VerificationError
from protocol.hashing import keccak256
from protocol.keys import Address, to_hex
from protocol.messages import Checkpoint, abi_word
from verifier.chain import ChainSource, Log
from verifier.deployment import Contract, Deployment
from verifier.state import Entry
from verifier.transactions import Transaction

Saying = tuple[type[e.Event], Mapping[str, Any]]
"""A kind of event and the fields that follow from the call; the others are for the checks."""


def _checkpoint(posted: Checkpoint) -> dict[str, Any]:
    return {"round_id": posted.round_id, "result": posted.result, "block_hash": posted.block_hash}


def _evidence(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"claims": arguments["claims"], "hpke_key": arguments["hpkeKey"], "quote": arguments["quote"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a transaction asked one of our contracts to do."""

    name: str
    """Contract and function, such as `Consortium.vote`."""
    sender: Address
    value_wei: int
    arguments: Mapping[str, Any]
    """By the ABI's names; structs and addresses as ours."""


SAYINGS: dict[str, Callable[[Address, int, Mapping[str, Any]], list[Saying]]] = {
    "Consortium.propose": lambda sender, _, a: [
        (e.Proposed, {"proposer": sender, "action": a["action"], "subject": a["subject"], "data": a["data"]}),
        (e.Voted, {"member": sender}),
    ],
    "Consortium.vote": lambda sender, _, a: [(e.Voted, {"member": sender, "proposal": a["proposal"]})],
    "Consortium.execute": lambda sender, _, a: [(e.Executed, {"proposal": a["proposal"]}), (e.Event, {})],
    "Participants.join": lambda sender, _, a: [
        (e.ParticipantJoined, {"participant": sender, "payout": a["payout"]}),
        (e.Enrolled, {"participant": sender}),
    ],
    "Participants.leave": lambda sender, _, a: [(e.ParticipantLeft, {"participant": sender})],
    "Participants.reclaim": lambda sender, _, a: [(e.DepositReclaimed, {"participant": sender})],
    "Participants.setPayout": lambda sender, _, a: [(e.PayoutSet, {"participant": sender, "payout": a["payout"]})],
    "Enclaves.register": lambda sender, _, a: [
        (e.EnclaveRegistered, {"operator": sender, "authority": a["authority"], **_evidence(a)})
    ],
    "RoundLedger.openRound": lambda sender, _, a: [
        (e.RoundOpened, {"coordinator": sender, "value": a["spec"], "spec": a["spec"].hash_struct()})
    ],
    "RoundLedger.commit": lambda sender, _, a: [
        (e.UpdateCommitted, {"participant": sender, "round_id": a["round"], "update": a["update"]})
    ],
    "RoundLedger.propose": lambda sender, _, a: [
        (e.ResultProposed, {"value": a["result"], "outcomes": a["outcomes"], "signature": a["signature"]}),
        (e.RoundVoided, {"round_id": a["spec"].round_id}),
    ],
    "RoundLedger.settle": lambda sender, _, a: [
        (e.RoundSettled, {"round_id": a["spec"].round_id, "result": a["result"].hash_struct()})
    ],
    "RoundLedger.voidRound": lambda sender, _, a: [(e.RoundVoided, {"round_id": a["spec"].round_id})],
    "RoundLedger.addBond": lambda sender, value, a: [(e.BondAdded, {"coordinator": sender, "amount": value})],
    "RoundLedger.withdrawBond": lambda sender, _, a: [
        (e.BondWithdrawn, {"coordinator": sender, "amount": a["amount"]})
    ],
    "RoundLedger.fund": lambda sender, value, a: [(e.TreasuryFunded, {"sender": sender, "amount": value})],
    "RoundLedger.withdraw": lambda sender, _, a: [(e.Withdrawn, {"participant": sender})],
    "RoundLedger.anchor": lambda sender, _, a: [(e.Anchored, {"sender": sender, "digest": a["digest"]})],
    "Consortium.postCheckpoint": lambda sender, _, a: [
        (e.CheckpointPosted, {**_checkpoint(a["checkpoint"]), "signatures": a["signatures"]})
    ],
    "Consortium.postUnavailable": lambda sender, _, a: [
        (
            e.DataUnavailable,
            {"round_id": a["unavailable"].round_id, "result": a["unavailable"].result, "signatures": a["signatures"]},
        ),
        (e.RoundVoided, {"round_id": a["unavailable"].round_id, "reason": e.VoidReason.UNAVAILABLE}),
    ],
    "Disputes.commitProof": lambda sender, _, a: [(e.ProofCommitted, {"commitment": a["commitment"]})],
    "Disputes.refute": lambda sender, _, a: [
        (e.RoundVoided, {"reason": e.VoidReason.REFUTED}),
        (e.RoundRefuted, {"prover": sender}),
        (e.MeasurementSuspended, {}),
    ],
    "Disputes.claim": lambda sender, _, a: [
        (e.ProverReplaced, {"prover": sender, "round_id": a["verdict"].round_id}),
    ],
    "Disputes.suspend": lambda sender, _, a: [
        (e.EnclaveAccused, {"prover": sender, "round_id": a["verdict"].round_id}),
        (e.MeasurementSuspended, {}),
    ],
    "Disputes.executeVerdict": lambda sender, _, a: [
        (
            e.VerdictExecuted,
            {"prover": a["verdict"].prover, "coordinator": a["verdict"].coordinator, "round_id": a["verdict"].round_id},
        ),
    ],
    "Disputes.requestLeaf": lambda sender, _, a: [
        (
            e.LeafRequested,
            {"member": sender, "round_id": a["spec"].round_id}
            | {"tree": a["tree"], "slot": a["slot"], "index": a["index"]},
        ),
    ],
    "Disputes.answerLeaf": lambda sender, _, a: [
        (
            e.LeafAnswered,
            {"answerer": sender, "round_id": a["spec"].round_id, "member": a["member"], "answer": a["answer"]},
        ),
        (e.Credited, {"account": sender}),
    ],
    "Disputes.voidWithheld": lambda sender, _, a: [
        (e.RoundVoided, {"round_id": a["round"], "reason": e.VoidReason.WITHHELD}),
        (e.RequestClosed, {"round_id": a["round"], "member": a["member"]}),
        (e.Credited, {"account": a["member"]}),
    ],
    "Disputes.closeRequest": lambda sender, _, a: [
        (e.RequestClosed, {"round_id": a["round"], "member": a["member"]}),
        (e.Credited, {"account": a["member"]}),
    ],
}
"""What each call says, in order, given (sender, value in wei, arguments)."""

NOT_ALWAYS = (e.Enrolled, e.RoundVoided, e.MeasurementSuspended)
"""Said after another event or not: who joins again is enrolled already, a result with enough counted voids nothing, and
not everything that is refuted is the enclave's fault."""

PAYING = ("Participants.reclaim", "RoundLedger.withdrawBond", "RoundLedger.withdraw")
"""Calls that hand the control to whom they pay, who may then call our contracts too."""

ACTORS: dict[type[e.Event], str] = {
    e.Proposed: "proposer",
    e.Voted: "member",
    e.ParticipantJoined: "participant",
    e.ParticipantLeft: "participant",
    e.DepositReclaimed: "participant",
    e.PayoutSet: "participant",
    e.EnclaveRegistered: "operator",
    e.RoundOpened: "coordinator",
    e.UpdateCommitted: "participant",
    e.Anchored: "sender",
    e.BondAdded: "coordinator",
    e.BondWithdrawn: "coordinator",
    e.TreasuryFunded: "sender",
    e.Withdrawn: "participant",
    e.RoundRefuted: "prover",
    e.ProverReplaced: "prover",
    e.EnclaveAccused: "prover",
    e.LeafRequested: "member",
    e.LeafAnswered: "answerer",
}
"""Which field of an event is whoever called; for the others anybody may."""


class Calls:
    """The transactions under a federation's events."""

    def __init__(self, chain: ChainSource, deployment: Deployment, entries: Iterable[Entry]) -> None:
        self._chain = chain
        self._contracts = {contract.address: contract.name for contract in deployment.all}
        self._chain_id = deployment.chain_id
        self._held: set[tuple[int, int]] = set()
        """Places of the logs that were held: every round asks for all registrations before it."""
        self._entries: dict[bytes, list[Entry]] = {}
        for entry in entries:
            self._entries.setdefault(entry.log.transaction, []).append(entry)

    def transaction(self, log: Log) -> Transaction:
        """The transaction of a log."""
        return self._chain.transaction(log.transaction)

    def call(self, log: Log) -> Call:
        """What the transaction of a log asked for.  Raises UnavailableError where another contract made the call."""
        transaction = self.transaction(log)
        call = None if transaction.to is None else self._call(transaction.to, transaction)
        if call is None:
            what = f"transaction {transaction.hash.hex()} is a call of a contract that is not ours"
            raise UnavailableError(what, "nothing here executes contracts")
        return call

    def hold(self, log: Log, event: e.Event) -> None:
        """The event follows from its transaction, as does every other there, and nothing is said twice.

        Raises: VerificationError when it does not; UnavailableError when a contract that is not ours made the call.
        """
        if log.place not in self._held:
            self._hold(log, event)
            self._held.add(log.place)

    def _hold(self, log: Log, event: e.Event) -> None:
        transaction = self.transaction(log)
        if transaction.chain_id not in (None, self._chain_id):
            raise VerificationError("chain id of a transaction", expected=self._chain_id, actual=transaction.chain_id)
        call = None if transaction.to is None else self._call(transaction.to, transaction)
        if call is None:
            self._relayed(event, transaction, "a contract that is not ours")
            return
        found = self._entries[log.transaction]
        said = SAYINGS[call.name](call.sender, call.value_wei, call.arguments)
        while len(said) > len(found) and issubclass(said[-1][0], NOT_ALWAYS):
            said.pop()
        for place, (kind, fields) in enumerate(said):
            _check_said(call, kind, fields, found[place].event if place < len(found) else None)
        if len(found) > len(said):
            if call.name not in PAYING:
                more = [type(other.event).__name__ for other in found[len(said) :]]
                raise VerificationError(f"events of one {call.name}", expected=len(said), actual=f"also {more}")
            if log.index not in [entry.log.index for entry in found[: len(said)]]:
                self._relayed(event, transaction, "whoever was paid")

    def hold_all(self, entries: Iterable[Entry]) -> None:
        """Each of them; what is refuted is said before what could not be told."""
        unknown: UnavailableError | None = None
        for entry in entries:
            try:
                self.hold(entry.log, entry.event)
            except UnavailableError as error:
                unknown = unknown or error
        if unknown is not None:
            raise unknown

    def _call(self, to: Address, transaction: Transaction) -> Call | None:
        name = self._contracts.get(to)
        return None if name is None else decode_call(name, transaction)

    def _relayed(self, event: e.Event, transaction: Transaction, by: str) -> None:
        """An event that the sender's own call does not explain."""
        kind = type(event).__name__
        actor = getattr(event, ACTORS[type(event)]) if type(event) in ACTORS else None
        if actor is not None and not self._chain.code(actor) and self._chain.has_signed(actor):
            # who signs transactions has no code to call by, and acts by its own transactions only
            what = f"actor of {kind} in transaction {transaction.hash.hex()}, sent by {to_hex(transaction.sender)}"
            raise VerificationError(what, expected=f"a call of {to_hex(actor)} to our contract", actual="another")
        raise UnavailableError(
            f"{kind} in transaction {transaction.hash.hex()} was caused by {by}", "nothing here executes contracts"
        )


def decode_call(contract: str, transaction: Transaction) -> Call:
    """The call in a transaction to that contract of ours."""
    name, arguments = decode_input(contract, transaction.input)
    if f"{contract}.{name}" not in SAYINGS:
        raise VerificationError(f"function of {contract} that was called", actual=name)
    return Call(
        name=f"{contract}.{name}", sender=transaction.sender, value_wei=transaction.value_wei, arguments=arguments
    )


def decode_input(contract: str, data: bytes) -> tuple[str, Mapping[str, Any]]:
    """Function and arguments of call data, of a transaction or of a proof."""
    item = _functions(contract).get(data[:4])
    if item is None:
        raise VerificationError(f"function of {contract} that was called", actual=data[:4])
    return item["name"], _arguments(item["inputs"], data[4:], f"{contract}.{item['name']}")


def check_creation(contract: Contract, transaction: Transaction) -> Mapping[str, Any]:
    """The transaction creates this contract by our code, and its arguments are the immutables; returns them all."""
    compiled = artifact(contract.name)
    code = bytes.fromhex(str(compiled["bytecode"]).removeprefix("0x"))
    if transaction.created != contract.address:
        what = f"{contract.name} as created by {to_hex(transaction.sender)}"
        raise VerificationError(what, expected=to_hex(contract.address), actual=to_hex(transaction.created))
    if not transaction.input.startswith(code):
        raise VerificationError(f"code that creates {contract.name}", expected="the artifact's", actual="another")
    [inputs] = [item["inputs"] for item in compiled["abi"] if item["type"] == "constructor"]
    arguments = _arguments(inputs, transaction.input[len(code) :], f"the constructor of {contract.name}")
    for item in inputs:
        name = item["name"].strip("_")
        if name in contract.immutables:
            word = abi_word(item["type"], arguments[item["name"]])
            if word != contract.word(name):
                raise VerificationError(f"{name} of {contract.name}", expected=word, actual=contract.word(name))
    return arguments


def _check_said(call: Call, kind: type[e.Event], fields: Mapping[str, Any], event: e.Event | None) -> None:
    if not isinstance(event, kind):
        actual = "nothing" if event is None else type(event).__name__
        raise VerificationError(f"what {call.name} says", expected=kind.__name__, actual=actual)
    for name, expected in fields.items():
        if getattr(event, name) != expected:
            what = f"{name} of {type(event).__name__}, by the {call.name} of {to_hex(call.sender)}"
            raise VerificationError(what, expected=_shown(expected), actual=_shown(getattr(event, name)))


def _shown(value: Any) -> Any:
    return to_hex(value) if isinstance(value, bytes) and len(value) == 20 else value


@cache
def _functions(contract: str) -> Mapping[bytes, dict[str, Any]]:
    """By selector."""
    return {
        keccak256(f"{item['name']}({','.join(map(_type, item['inputs']))})".encode())[:4]: item
        for item in artifact(contract)["abi"]
        if item["type"] == "function"
    }


def _arguments(inputs: Sequence[Mapping[str, Any]], raw: bytes, what: str) -> dict[str, Any]:
    try:
        values = abi_decode([_type(item) for item in inputs], raw, strict=False)  # the contract ignores padding too
    except (DecodingError, OverflowError, ValueError) as error:
        raise EncodingError(f"arguments of {what} ({error})") from error
    return {item["name"]: _value(item, value) for item, value in zip(inputs, values, strict=True)}


def _type(item: Mapping[str, Any]) -> str:
    """The canonical ABI type: a struct is the tuple of its members."""
    kind = str(item["type"])
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(map(_type, item['components']))}){kind.removeprefix('tuple')}"


def _value(item: Mapping[str, Any], value: Any) -> Any:
    """A decoded value as we spell it: addresses as bytes, structs as ours where we have them, else as tuples."""
    kind = str(item["type"])
    if kind.endswith("]"):
        inner = {**item, "type": kind[: kind.rindex("[")]}
        return tuple(_value(inner, part) for part in value)
    if kind == "tuple":
        parts = [_value(member, part) for member, part in zip(item["components"], value, strict=True)]
        struct = e.STRUCTS.get(str(item["internalType"]).split("[")[0].replace(" ", ".").rpartition(".")[2])
        if struct is None:
            return tuple(parts)
        names = [field.name for field in dataclasses.fields(struct)]
        return struct(**dict(zip(names, parts, strict=True)))
    return bytes.fromhex(value[2:]) if kind == "address" else value
