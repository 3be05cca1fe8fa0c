"""One federation's contracts, read through their ledger's address.

Responsible for: typed reads of the contracts, the calls that a coordinator sends, and the identity of the chain.
Must not know:   when to read or send, files, or the enclave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from coordinator.chain import Call, Chain, ChainRestartedError, RevertedError
from protocol.enclaves import Evidence
from protocol.encoding import Fields
from protocol.errors import EncodingError, UnavailableError
from protocol.events import (
    DepositReclaimed,
    Event,
    LeafAnswered,
    LeafRequested,
    ParticipantJoined,
    ParticipantLeft,
    ParticipantReinstated,
    ParticipantSuspended,
    RequestClosed,
    ResultProposed,
    RoundOpened,
    RoundSettled,
    TermsSet,
    UpdateCommitted,
    parse_event,
    topic_of,
)
from protocol.keys import Address, to_hex
from protocol.messages import ZERO, Checkpoint, Domain, RoundResult, Spec
from protocol.openings import Answer
from protocol.terms import Terms

REGISTER_TRIES = 5
"""How often register and events are read until they are of one moment."""


class LedgerState(IntEnum):
    """State of a round on the ledger."""

    NONE = 0
    OPEN = 1
    PROPOSED = 2
    SETTLED = 3
    VOID = 4


class EnclaveState(IntEnum):
    """State of an enclave in the registry."""

    NONE = 0
    REGISTERED = 1
    REVOKED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class EnclaveRecord:
    """What the registry says of an enclave."""

    state: EnclaveState
    expiry: int
    """Chain time; 0 when it is not registered."""
    is_active: bool
    """Not revoked, not expired; its measurement, authority and platform certificate still count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TcbRecord:
    """What the registry says of a TCB row that members accepted."""

    expiry: int
    """Chain time."""
    collateral: bytes
    """SHA-256 of what it follows from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What a round still waits for."""

    open: int
    """Number of members who asked for a leaf and have no answer."""
    not_before: int
    """First second, chain time, at which it may settle as far as answers are concerned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainIdentity:
    """What tells this chain and ledger from every other: a signature's domain repeats on local chains, this doesn't."""

    chain_id: int
    genesis: bytes
    ledger: Address

    def to_map(self) -> dict[str, object]:
        """For the store."""
        return {"chain_id": self.chain_id, "genesis": self.genesis, "ledger": self.ledger}


def parse_identity(value: object) -> ChainIdentity:
    """As stored."""
    fields = Fields(value, "chain identity")
    identity = ChainIdentity(
        chain_id=fields.uint("chain_id"), genesis=fields.bytes("genesis", 32), ledger=fields.bytes("ledger", 20)
    )
    fields.done()
    return identity


class Ledger:
    """The RoundLedger at an address, and the contracts that it names.  Safe for several threads."""

    def __init__(self, chain: Chain, address: Address, *, from_block: int = 0) -> None:
        """Reads what never changes.

        Raises: UnavailableError when the chain can't be reached or no ledger is at the address.
        """
        self.chain = chain
        self.address = address
        self.from_block = from_block
        self.identity = ChainIdentity(chain_id=chain.chain_id(), genesis=chain.genesis(), ledger=address)
        if not chain.code(address):
            raise UnavailableError(
                f"no contract is at {to_hex(address)} on the chain at {chain.url}",
                "`veriflock coordinator deploy` puts one there; or correct the ledger's address",
            )
        try:
            self.federation: bytes = self._read("federation")
            self.consortium: Address = self._read("consortium")
            self.participants: Address = self._read("participants")
            self.enclaves: Address = self._read("enclaves")
            self.disputes: Address = self._read("disputes")
            self.genesis_model: bytes = self._read("genesisModel")
            self.charter: bytes = self._read_of("Consortium", self.consortium, "charter")
        except (EncodingError, RevertedError) as error:
            raise UnavailableError(
                f"the contract at {to_hex(address)} is not a Veriflock ledger", "correct the ledger's address"
            ) from error

    @property
    def domain(self) -> Domain:
        """Where signatures count."""
        return Domain(chain_id=self.identity.chain_id, ledger=self.address)

    def check_identity(self, expected: ChainIdentity) -> None:
        """Raises ChainRestartedError when the chain behind the RPC address is not the one from before."""
        genesis, chain_id = self.chain.genesis(), self.chain.chain_id()
        if (genesis, chain_id) != (expected.genesis, expected.chain_id) or self.address != expected.ledger:
            raise ChainRestartedError(
                f"the chain at {self.chain.url} was restarted or is another one: genesis 0x{genesis.hex()}, "
                f"before 0x{expected.genesis.hex()}; chain id {chain_id}, before {expected.chain_id}; "
                f"ledger {to_hex(self.address)}, before {to_hex(expected.ledger)}",
                "start the old chain with its state, or deploy anew and use an empty data folder",
            )

    # -- the round ------------------------------------------------------------------------------------------------

    def current_round(self) -> int:
        """The round opened last; 0 before the first."""
        return int(self._read("currentRound"))

    def state_of(self, round_id: int) -> LedgerState:
        """Where a round stands."""
        return LedgerState(self._read("stateOf", round_id))

    def previous(self) -> bytes:
        """The last settled result; zero until one settles."""
        return bytes(self._read("previous"))

    def model(self) -> bytes:
        """Root of the model that the next round starts from."""
        return bytes(self._read("model"))

    def commitment_of(self, round_id: int, participant: Address) -> bytes | None:
        """The update that a participant committed, or None."""
        found = bytes(self._read("commitmentOf", round_id, participant))
        return None if found == ZERO else found

    def opened(self, round_id: int) -> RoundOpened:
        """How a round was opened.  Raises UnavailableError when the chain has no such event."""
        event = self._one_event(RoundOpened, round_id)
        if not isinstance(event, RoundOpened):
            raise UnavailableError(f"the chain has no RoundOpened event of round {round_id}", _NO_LOGS)
        return event

    def proposed(self, round_id: int) -> ResultProposed:
        """The result that was proposed.  Raises UnavailableError when the chain has no such event."""
        event = self._one_event(ResultProposed, round_id)
        if not isinstance(event, ResultProposed):
            raise UnavailableError(f"the chain has no ResultProposed event of round {round_id}", _NO_LOGS)
        return event

    def commitments(self, round_id: int, cohort: Sequence[Address], block: int) -> dict[int, bytes]:
        """What a cohort had committed at a block, by slot; complete where that block is past the commit deadline.

        Asked twice, by events and by storage: a node that lags, or one of several behind an address, can know the block
        and not all of its logs.
        Raises: UnavailableError where the answers differ, or the node has no such block.
        """
        topics = [topic_of(UpdateCommitted), round_id.to_bytes(32)]
        logs = self.chain.logs(self.address, topics, self.from_block, block)
        events = [parse_event("RoundLedger", log.topics, log.data) for log in logs]
        said = {event.participant: event.update for event in events if isinstance(event, UpdateCommitted)}
        found: dict[int, bytes] = {}
        for slot, participant in enumerate(cohort):
            call = ("RoundLedger", self.address, "commitmentOf", round_id, participant)
            stored = bytes(self.chain.call(*call, block=block)[0])
            if stored != said.get(participant, ZERO):
                what = f"the commitment of slot {slot} in round {round_id} is another one by events than by storage"
                raise UnavailableError(what, _NO_LOGS)
            if stored != ZERO:
                found[slot] = stored
        return found

    def result(self, round_id: int) -> bytes:
        """hashStruct of the proposed or settled result; zero where there is none or the round is void."""
        return bytes(self._read("resultOf", round_id))

    def hold(self, round_id: int) -> Hold:
        """What a round still waits for."""
        found = self.chain.call("Disputes", self.disputes, "holdOn", round_id)
        return Hold(open=int(found[0]), not_before=int(found[1]))

    def requests(self, round_id: int) -> list[LeafRequested]:
        """The requests for leaves that are open, in the order in which they came."""
        kinds = (LeafRequested, LeafAnswered, RequestClosed)
        topics: list[bytes | list[bytes] | None] = [[topic_of(kind) for kind in kinds], round_id.to_bytes(32)]
        found: dict[Address, LeafRequested] = {}
        for event in self._events("Disputes", self.disputes, topics):
            if isinstance(event, LeafRequested):
                found[event.member] = event
            elif isinstance(event, LeafAnswered | RequestClosed):
                found.pop(event.member, None)
        return list(found.values())

    def settlement(self, round_id: int | None = None) -> Checkpoint | None:
        """What there is to remember of a settled round (None: of the newest), or None where it is not settled."""
        topics: list[bytes | list[bytes] | None] = [topic_of(RoundSettled)]
        if round_id is not None:
            topics.append(round_id.to_bytes(32))
        logs = self.chain.logs(self.address, topics, self.from_block)
        if not logs:
            return None
        event = parse_event("RoundLedger", logs[-1].topics, logs[-1].data)
        if not isinstance(event, RoundSettled):
            raise EncodingError("an event", expected="RoundSettled", actual=type(event).__name__)
        return Checkpoint(
            federation=self.federation,
            round_id=event.round_id,
            result=event.result,
            block_hash=logs[-1].block_hash,
        )

    # -- what a round is opened with ------------------------------------------------------------------------------

    def terms(self, round_id: int) -> Terms:
        """The terms in force for a round."""
        wanted = bytes(self._read_of("Consortium", self.consortium, "termsHash", round_id))
        for event in reversed(self._events("Consortium", self.consortium, [topic_of(TermsSet)])):
            if isinstance(event, TermsSet) and event.terms.hash() == wanted:
                return event.terms
        raise UnavailableError(f"the chain has no TermsSet event for 0x{wanted.hex()}", _NO_LOGS)

    def active_participants(self) -> list[Address]:
        """Everybody who may take part, ascending.  Raises UnavailableError when events and count keep disagreeing."""
        for _ in range(REGISTER_TRIES):
            active = self._active_by_events()
            count = self._read_of("Participants", self.participants, "activeCount")
            if count == len(active):
                return sorted(active)
            # somebody joined or left between the two questions
        raise UnavailableError(
            f"{len(active)} active participants by events, {count} by the register", "use a node that keeps its logs"
        )

    def _active_by_events(self) -> set[Address]:
        kinds = (ParticipantJoined, ParticipantLeft, ParticipantSuspended, ParticipantReinstated, DepositReclaimed)
        active: set[Address] = set()
        deposited: set[Address] = set()
        for event in self._events("Participants", self.participants, [[topic_of(kind) for kind in kinds]]):
            match event:
                case ParticipantJoined(participant=who):
                    active.add(who)
                    deposited.add(who)
                case ParticipantLeft(participant=who) | ParticipantSuspended(participant=who):
                    active.discard(who)
                case DepositReclaimed(participant=who):
                    deposited.discard(who)
                case ParticipantReinstated(participant=who) if who in deposited:
                    active.add(who)
                case _:
                    pass  # reinstated without a deposit: may join again, and has not
        return active

    def credit(self, account: Address) -> int:
        """Wei that an account may withdraw."""
        return int(self.chain.call("RoundLedger", self.address, "standingOf", account)[2])

    def bond(self, coordinator: Address) -> int:
        """Wei of a coordinator's bond."""
        return int(self._read("bondOf", coordinator))

    def minimum_bond(self) -> int:
        """Wei that a bond has at least."""
        return int(self._read("minimumBond"))

    def treasury(self) -> int:
        """Wei that rounds are paid from."""
        return int(self._read("treasury"))

    def is_frozen(self, coordinator: Address) -> bool:
        """Whether a verdict on a round of this coordinator waits to be executed: until then it has no bond."""
        return bool(self._read("verdictOf", coordinator))

    def is_member(self, account: Address) -> bool:
        """Whether this account is a member of the consortium now."""
        return bool(self._read_of("Consortium", self.consortium, "isMember", account))

    def member_count(self) -> int:
        """Members of the consortium now."""
        return int(self._read_of("Consortium", self.consortium, "memberCount"))

    def deposit(self) -> int:
        """Wei that asking for a leaf takes, for whoever answers."""
        return int(self._read_of("Disputes", self.disputes, "deposit"))

    def is_coordinator(self, account: Address) -> bool:
        """Whether the consortium admitted this coordinator."""
        return bool(self._read_of("Consortium", self.consortium, "isCoordinator", account))

    def enclave(self, enclave: bytes) -> EnclaveRecord:
        """What the registry says of an enclave."""
        found = self.chain.call("Enclaves", self.enclaves, "record", enclave)
        is_active = bool(self._read_of("Enclaves", self.enclaves, "isActive", enclave))
        return EnclaveRecord(state=EnclaveState(found[6]), expiry=int(found[5]), is_active=is_active)

    def tcb(self, tcb: bytes) -> TcbRecord | None:
        """A TCB row; None where members did not accept it, or rejected it since."""
        status, expiry, collateral, _ = self.chain.call("Enclaves", self.enclaves, "tcbRecord", tcb)
        return TcbRecord(expiry=int(expiry), collateral=collateral) if int(status) else None

    def authority_expiry(self, authority: bytes) -> int | None:
        """Chain time until which a CA's certificates are valid; None where members don't trust it."""
        _, is_trusted, _, expiry = self.chain.call("Enclaves", self.enclaves, "authorityRecord", authority)
        return int(expiry) if is_trusted else None

    # -- the calls that a coordinator sends -----------------------------------------------------------------------

    def register_call(self, evidence: Evidence, authority: bytes, nonce_block: int) -> Call:
        """Enclaves.register, with the id of the CA that certified the platform."""
        arguments = (evidence.quote, evidence.claims, evidence.hpke_key, authority, nonce_block)
        data = self.chain.contracts["Enclaves"].call_data("register", *arguments)
        return Call(what="register", to=self.enclaves, data=data)

    def open_call(self, spec: Spec, registered: Sequence[Address], cut: bytes) -> Call:
        """RoundLedger.openRound."""
        return self._call("openRound", spec, list(registered), cut)

    def propose_call(self, spec: Spec, result: RoundResult, outcomes: bytes, signature: bytes) -> Call:
        """RoundLedger.propose."""
        return self._call("propose", spec, result, outcomes, signature)

    def settle_call(self, spec: Spec, result: RoundResult, outcomes: bytes, cohort: Sequence[Address]) -> Call:
        """RoundLedger.settle."""
        return self._call("settle", spec, result, outcomes, list(cohort))

    def void_call(self, spec: Spec, result: RoundResult | None, outcomes: bytes) -> Call:
        """RoundLedger.voidRound; without a result where none was proposed."""
        return self._call("voidRound", spec, result or blank_result(spec), outcomes)

    def answer_call(self, spec: Spec, result: RoundResult, member: Address, answer: Answer) -> Call:
        """Disputes.answerLeaf."""
        data = self.chain.contracts["Disputes"].call_data("answerLeaf", spec, result, member, answer)
        return Call(what="answerLeaf", to=self.disputes, data=data)

    def withheld_call(self, round_id: int, member: Address) -> Call:
        """Disputes.voidWithheld: what this member asked for did not come in time."""
        data = self.chain.contracts["Disputes"].call_data("voidWithheld", round_id, member)
        return Call(what="voidWithheld", to=self.disputes, data=data)

    def checkpoint_call(self, checkpoint: Checkpoint, signatures: bytes) -> Call:
        """Consortium.postCheckpoint; 65 bytes of each signer, ascending."""
        data = self.chain.contracts["Consortium"].call_data("postCheckpoint", checkpoint, signatures)
        return Call(what="postCheckpoint", to=self.consortium, data=data)

    def bond_call(self, value: int) -> Call:
        """RoundLedger.addBond."""
        data = self.chain.contracts["RoundLedger"].call_data("addBond")
        return Call(what="addBond", to=self.address, data=data, value=value)

    def fund_call(self, value: int) -> Call:
        """RoundLedger.fund."""
        data = self.chain.contracts["RoundLedger"].call_data("fund")
        return Call(what="fund", to=self.address, data=data, value=value)

    def withdraw_call(self) -> Call:
        """RoundLedger.withdraw."""
        return self._call("withdraw")

    def _call(self, function: str, *arguments: object) -> Call:
        data = self.chain.contracts["RoundLedger"].call_data(function, *arguments)
        return Call(what=function, to=self.address, data=data)

    def _read(self, function: str, *arguments: object) -> Any:
        return self._read_of("RoundLedger", self.address, function, *arguments)

    def _read_of(self, contract: str, address: Address, function: str, *arguments: object) -> Any:
        return self.chain.call(contract, address, function, *arguments)[0]

    def _events(self, contract: str, address: Address, topics: Sequence[bytes | list[bytes] | None]) -> list[Event]:
        logs = self.chain.logs(address, topics, self.from_block)
        return [parse_event(contract, log.topics, log.data) for log in logs]

    def _one_event(self, kind: type[Event], round_id: int) -> Event | None:
        found = self._events("RoundLedger", self.address, [topic_of(kind), round_id.to_bytes(32)])
        return found[0] if found else None


_NO_LOGS = "use a node that keeps its logs, and check [chain] from_block"


def blank_result(spec: Spec) -> RoundResult:
    """Stands where a call needs a result and the ledger ignores it."""
    return RoundResult(
        federation=spec.federation,
        round_id=spec.round_id,
        spec=ZERO,
        previous=ZERO,
        set_root=ZERO,
        counted=0,
        selected=0,
        column_root=ZERO,
        gram_root=ZERO,
        outcomes=ZERO,
        new_model=ZERO,
        state=ZERO,
        enclave=ZERO,
    )
