"""The ledger as one participant sees it: its rounds, the enclaves, the votes, and the few transactions that it sends.

Responsible for: reads through the committed ABIs, transactions signed here, failures as typed errors.
Must not know:   the coordinator (what it says about the chain is never asked), training, files.

An answer that does not come is "could not tell" (UnavailableError); a revert is a RoundError with the contract's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import requests
from eth_abi.abi import decode
from eth_account import Account
from eth_typing import BlockNumber
from eth_utils.abi import collapse_if_tuple
from hexbytes import HexBytes
from web3 import HTTPProvider, Web3
from web3.contract import Contract
from web3.exceptions import (
    BadFunctionCallOutput,
    ContractCustomError,
    ContractLogicError,
    TimeExhausted,
    Web3Exception,
    Web3RPCError,
)
from web3.types import FilterParams

from contracts import artifact
from protocol.enclaves import Evidence
from protocol.errors import CommitmentMismatchError, RoundError, UnavailableError, show
from protocol.events import (
    AuthorityDistrusted,
    AuthorityTrusted,
    EnclaveRegistered,
    Event,
    MeasurementAllowed,
    MeasurementRevoked,
    MeasurementSuspended,
    ResultProposed,
    RoundOpened,
    RoundSettled,
    TcbAccepted,
    TcbRejected,
    parse_event,
    topic_of,
)
from protocol.hashing import keccak256
from protocol.keys import Address, parse_address, to_hex
from protocol.messages import Domain, RoundResult, Spec, cohort_hash
from protocol.platforms import Authority, Tcb

TIMEOUT_S = 10.0
"""For one answer of the chain."""

MINED_S = 120.0
"""For a transaction to be in a block."""

GAS_MARGIN = 5, 4
"""A quarter more gas than estimated: the state may move before the transaction is mined."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")

Answer = TypeVar("Answer")
EventT = TypeVar("EventT", bound=Event)


class RoundState(IntEnum):
    """`RoundLedger.State`."""

    NONE = 0
    OPEN = 1
    PROPOSED = 2
    SETTLED = 3
    VOID = 4


class Membership(IntEnum):
    """`Participants.Membership`."""

    NONE = 0
    ACTIVE = 1
    LEFT = 2
    SUSPENDED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedRound:
    """A round as the ledger opened it."""

    spec: Spec
    cohort: tuple[Address, ...]
    """Ascending; the index is the slot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedResult:
    """A result as the ledger has it."""

    result: RoundResult
    outcomes: bytes
    """One word per slot."""

    signature: bytes
    """Of the result; 65 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredEnclave:
    """What the registry says of an enclave."""

    evidence: Evidence
    """From the event of its registration."""

    signer: Address
    """Whose signatures are this enclave's."""

    epoch: int
    authority: bytes
    """Id of the CA that certified its platform."""

    is_active: bool
    """Not revoked, not expired; its measurement, authority and platform certificate still count."""


class Chain:
    """One ledger behind one RPC address, for one identity (or for none: then nothing can be sent)."""

    def __init__(self, rpc: str, ledger: Address, *, key: bytes | None = None, from_block: int = 0) -> None:
        """from_block: where events of this ledger start; 0 is always right, a later one is faster on a long chain."""
        # A proxy from the environment must not see what goes to a chain on this machine.
        local = urlsplit(rpc).hostname in LOOPBACK
        options: dict[str, Any] = {"timeout": TIMEOUT_S}
        if local:
            options["proxies"] = {"http": None, "https": None}
        self._web3 = Web3(HTTPProvider(rpc, request_kwargs=options))
        self._rpc, self._from_block = rpc, from_block
        self._account = None if key is None else Account.from_key(key)
        chain_id = self._ask("chain id", lambda: self._web3.eth.chain_id)
        self.domain = Domain(chain_id=chain_id, ledger=ledger)
        if not self._ask("code", lambda: self._web3.eth.get_code(Web3.to_checksum_address(to_hex(ledger)))):
            raise UnavailableError(
                f"no ledger at {to_hex(ledger)} on the chain at {rpc}",
                "check the address; a local chain that was restarted has to be deployed to again",
            )
        self._ledger = self._contract("RoundLedger", ledger)
        self.federation = bytes(self._view(self._ledger, "federation"))
        self._consortium = self._contract("Consortium", self._address("consortium"))
        self._participants = self._contract("Participants", self._address("participants"))
        self._enclaves = self._contract("Enclaves", self._address("enclaves"))

    # -- the federation

    def charter_hash(self) -> bytes:
        """SHA-256 of the charter that the consortium was founded with."""
        return bytes(self._view(self._consortium, "charter"))

    def allowed_measurements(self) -> frozenset[bytes]:
        """Code that may aggregate, by vote."""
        allowed: set[bytes] = set()
        kinds = (MeasurementAllowed, MeasurementRevoked, MeasurementSuspended)
        for event in self._history(self._consortium, "Consortium", kinds):
            if isinstance(event, MeasurementAllowed):
                allowed.add(event.measurement)
            elif isinstance(event, MeasurementRevoked | MeasurementSuspended):
                allowed.discard(event.measurement)
        return frozenset(allowed)

    def authority(self, authority: bytes) -> Authority | None:
        """A CA that the consortium trusts now."""
        history = self._history(self._enclaves, "Enclaves", (AuthorityTrusted, AuthorityDistrusted), authority)
        match history[-1:]:
            case [AuthorityTrusted() as event]:
                return event.value
            case _:
                return None

    def tcb(self, tcb: bytes) -> Tcb | None:
        """A row that the consortium accepts now; the newest, where collateral was replaced."""
        history = self._history(self._enclaves, "Enclaves", (TcbAccepted, TcbRejected), tcb)
        match history[-1:]:
            case [TcbAccepted() as event]:
                return event.value
            case _:
                return None

    def enclave(self, enclave: bytes) -> RegisteredEnclave | None:
        """The enclave as registered, None when it is not."""
        registered = self._events(self._enclaves, "Enclaves", EnclaveRegistered, enclave)
        if not registered:
            return None
        event = registered[-1]
        return RegisteredEnclave(
            evidence=Evidence(quote=event.quote, claims=event.claims, hpke_key=event.hpke_key),
            signer=event.signer,
            epoch=event.epoch,
            authority=event.authority,
            is_active=bool(self._view(self._enclaves, "isActive", enclave)),
        )

    # -- rounds

    def now(self) -> int:
        """The chain's clock: the time that the next block would have."""
        block = self._ask("pending block", lambda: self._web3.eth.get_block("pending"))
        return int(block["timestamp"])

    def current_round(self) -> int:
        """The last round that was opened; 0 before the first."""
        return int(self._view(self._ledger, "currentRound"))

    def state_of(self, round_id: int) -> RoundState:
        """Where a round stands."""
        return RoundState(int(self._view(self._ledger, "stateOf", round_id)))

    def opened(self, round_id: int) -> OpenedRound:
        """The round's spec and cohort, each checked against the hash that the ledger stores.

        Raises: CommitmentMismatchError when the chain contradicts itself; UnavailableError without the event.
        """
        events = self._events(self._ledger, "RoundLedger", RoundOpened, round_id.to_bytes(32))
        if not events:
            raise UnavailableError(f"no RoundOpened event of round {round_id}", "does --from-block start too late?")
        spec, cohort = events[-1].value, events[-1].cohort
        stored = bytes(self._view(self._ledger, "specOf", round_id))
        if spec.hash_struct() != stored or spec.round_id != round_id or spec.federation != self.federation:
            raise CommitmentMismatchError("spec of the round", expected=stored, actual=spec.hash_struct())
        if cohort_hash(cohort) != spec.cohort:
            raise CommitmentMismatchError("cohort of the round", expected=spec.cohort, actual=cohort_hash(cohort))
        return OpenedRound(spec=spec, cohort=cohort)

    def proposed(self, round_id: int) -> ProposedResult | None:
        """The result of the round with its outcomes, checked against the stored hash; None when none was proposed."""
        events = self._events(self._ledger, "RoundLedger", ResultProposed, round_id.to_bytes(32))
        if not events:
            return None
        result, outcomes, signature = events[-1].value, events[-1].outcomes, events[-1].signature
        stored = self.result_of(round_id)
        if result.hash_struct() != stored:
            raise CommitmentMismatchError("result of the round", expected=stored, actual=result.hash_struct())
        if keccak256(outcomes) != result.outcomes:
            raise CommitmentMismatchError("outcomes of the round", expected=result.outcomes, actual=keccak256(outcomes))
        return ProposedResult(result=result, outcomes=outcomes, signature=signature)

    def result_of(self, round_id: int) -> bytes:
        """hashStruct of the result that the ledger has of the round; zero where none was proposed."""
        return bytes(self._view(self._ledger, "resultOf", round_id))

    def model(self) -> bytes:
        """Root of the model that the next round starts from."""
        return bytes(self._view(self._ledger, "model"))

    def model_exponent(self) -> int:
        """e_m of the federation."""
        return int(self._view(self._ledger, "modelExponent"))

    def settled_rounds(self) -> list[tuple[int, bytes]]:
        """Number and new model root of every settled round, ascending."""
        events = self._events(self._ledger, "RoundLedger", RoundSettled)
        return [(event.round_id, event.new_model) for event in events]

    def genesis_model(self) -> bytes:
        """Root of the model that the first round starts from."""
        return bytes(self._view(self._ledger, "genesisModel"))

    # -- this participant

    def membership(self, participant: Address) -> Membership:
        """Whether it takes part."""
        return Membership(int(self._view(self._participants, "membership", to_hex(participant))))

    def commitment(self, round_id: int, participant: Address) -> bytes:
        """Hash of the Update committed on chain; zero where none is."""
        return bytes(self._view(self._ledger, "commitmentOf", round_id, to_hex(participant)))

    def credit_wei(self, participant: Address) -> int:
        """What it can withdraw."""
        return int(self._view(self._ledger, "standingOf", to_hex(participant))[2])

    def reputation_ppb(self, participant: Address) -> int:
        """Parts per 10^9."""
        return int(self._view(self._ledger, "reputationOf", to_hex(participant)))

    def join(self, payout: Address) -> None:
        """Pay the deposit and take part from the next round that is opened on."""
        deposit = int(self._view(self._participants, "deposit"))
        self._send("join", self._participants.functions.join(Web3.to_checksum_address(to_hex(payout))), deposit)

    def leave(self) -> None:
        """Take part in no further round."""
        self._send("leave", self._participants.functions.leave())

    def reclaim(self) -> None:
        """Take the deposit back, once the round that was open when leaving is over."""
        self._send("reclaim", self._participants.functions.reclaim())

    def withdraw(self) -> None:
        """Take the credit out, to the payout address."""
        self._send("withdraw", self._ledger.functions.withdraw())

    def commit(self, round_id: int, update: bytes) -> None:
        """Forced inclusion: put the hash of the signed Update on the ledger."""
        self._send("commit", self._ledger.functions.commit(round_id, update))

    # -- how

    def _contract(self, name: str, address: Address) -> Contract:
        abi = artifact(name)["abi"]
        return self._web3.eth.contract(address=Web3.to_checksum_address(to_hex(address)), abi=abi)

    def _address(self, view: str) -> Address:
        return parse_address(self._view(self._ledger, view))

    def _view(self, contract: Contract, name: str, *arguments: Any) -> Any:
        function = contract.get_function_by_name(name)(*arguments)
        return self._ask(name, function.call)

    def _events(self, contract: Contract, name: str, kind: type[EventT], first: bytes | None = None) -> list[EventT]:
        """The contract's events of that kind, oldest first; `first`: only those with this first indexed value."""
        return [event for event in self._history(contract, name, (kind,), first) if isinstance(event, kind)]

    def _history(
        self, contract: Contract, name: str, kinds: Sequence[type[Event]], first: bytes | None = None
    ) -> list[Event]:
        """The contract's events of these kinds, oldest first."""
        topics: list[Any] = [[HexBytes(topic_of(kind)) for kind in kinds]]
        query: FilterParams = {
            "address": contract.address,
            "fromBlock": BlockNumber(self._from_block),
            "topics": topics if first is None else [*topics, HexBytes(first)],
        }
        what = " and ".join(kind.__name__ for kind in kinds)
        logs = self._ask(what, lambda: self._web3.eth.get_logs(query))
        return [parse_event(name, [bytes(topic) for topic in log["topics"]], bytes(log["data"])) for log in logs]

    def _send(self, what: str, function: Any, value: int = 0) -> None:
        """Sign, send and wait until it is mined.  Raises RoundError when the ledger refuses it."""
        account = self._account
        if account is None:
            raise UnavailableError(f"no key to sign {what} with", "give --key")
        sender = {"from": account.address, "value": value}

        def transact() -> Mapping[str, Any]:
            numerator, denominator = GAS_MARGIN
            gas = function.estimate_gas(sender) * numerator // denominator
            nonce = self._web3.eth.get_transaction_count(account.address, "pending")
            transaction = function.build_transaction({**sender, "gas": gas, "nonce": nonce})
            sent = self._web3.eth.send_raw_transaction(account.sign_transaction(transaction).raw_transaction)
            return cast("Mapping[str, Any]", self._web3.eth.wait_for_transaction_receipt(sent, timeout=MINED_S))

        receipt = self._ask(what, transact)
        if receipt["status"] != 1:
            raise RoundError(f"the ledger refused {what}", expected="a transaction that succeeds", actual="reverted")

    def _ask(self, what: str, call: Callable[[], Answer]) -> Answer:
        try:
            return call()
        except (ContractCustomError, ContractLogicError) as error:
            raise RoundError(f"the ledger refused {what}: {self._revert(error)}") from error
        except BadFunctionCallOutput as error:
            next_step = "check the ledger's address, and that this version is the deployed one"
            raise UnavailableError(f"the contract at that address does not answer {what}", next_step) from error
        except TimeExhausted as error:
            raise UnavailableError(f"{what} was not mined in {MINED_S:.0f} s", "is the chain making blocks?") from error
        except Web3RPCError as error:
            raise UnavailableError(f"the chain at {self._rpc} failed at {what}: {error.message}") from error
        except (requests.RequestException, Web3Exception, ConnectionError) as error:
            reason = type(error).__name__
            raise UnavailableError(
                f"the chain at {self._rpc} does not answer ({what}: {reason})", "is it running there?"
            ) from error

    def _revert(self, error: ContractLogicError) -> str:
        """Name and arguments of the contract's error, where it is one of ours."""
        data = bytes.fromhex(error.data.removeprefix("0x")) if isinstance(error.data, str) else b""
        for contract in (self._ledger, self._participants, self._enclaves, self._consortium):
            for item in contract.abi:
                if item["type"] != "error":
                    continue
                types = [collapse_if_tuple(dict(field)) for field in item.get("inputs", [])]
                if keccak256(f"{item['name']}({','.join(types)})".encode())[:4] != data[:4]:
                    continue
                names = [field["name"] for field in item.get("inputs", [])]
                values = zip(names, decode(types, data[4:]), strict=True)
                return f"{item['name']}({', '.join(f'{name} {show(value)}' for name, value in values)})"
        return error.message or show(data)
