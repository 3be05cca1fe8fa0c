"""The sequence of a coordinator: what is read, done and made durable, in which order.

Responsible for: folding the ledger and the store into the round's state, the next step, and taking uploads.
Must not know:   HTTP, how a transaction gets mined, or how the enclave is launched.

There is no recovery code: after a SIGKILL the first tick folds the same facts and takes the same next step.
Spec: docs/protocol.md section 7.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from coordinator import rounds
from coordinator.answering import Answering, Attempt
from coordinator.chain import Call, ChainRestartedError, RevertedError
from coordinator.checkpoints import Checkpoints
from coordinator.commitments import Commitments
from coordinator.door import Admitted, EnclaveFaultError, Started, UpdateRefusedError
from coordinator.enclave_host import EnclaveHost
from coordinator.ledger import Ledger, LedgerState, parse_identity
from coordinator.log import log_event
from coordinator.outbox import Outbox
from coordinator.publishing import publish, read_signed
from coordinator.readiness import ENDS_LATE, NotYetError, Readiness
from coordinator.rounds import Deadlines, LeafRequest, Phase, PhaseError, RoundState, Step
from coordinator.store import Store
from protocol import rulebook, seeds
from protocol.charter import Charter
from protocol.errors import LengthError, TooLateError, UnavailableError, VeriflockError
from protocol.events import RoundOpened
from protocol.evidence import parse_evidence
from protocol.keys import Address
from protocol.messages import MAX_SLOTS, Spec, cohort_hash
from protocol.sealing import max_sealed_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long to wait for whom, in seconds."""

    slack_s: int
    """Added to the submission window, chain time."""
    poll_s: float
    """Between two looks at the chain."""
    outage_s: float
    """For a chain or an enclave that answered before."""
    admission_s: float
    """For members, participants and money."""


class Service:
    """One coordinator at work.  `run` in one thread; `upload` and the properties in any."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        outbox: Outbox,
        store: Store,
        enclave: EnclaveHost,
        charter: Charter,
        timing: Timing,
        monotonic: Callable[[], float],
    ) -> None:
        self.ledger = ledger
        self.charter = charter
        self._outbox = outbox
        self._store = store
        self._enclave = enclave
        self._readiness = Readiness(ledger, outbox, enclave)
        self._answering = Answering(ledger, outbox, store)
        self._checkpoints = Checkpoints(ledger, outbox, store)
        self._commitments = Commitments(ledger)
        self._timing = timing
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._state = rounds.IDLE
        self._opened: RoundOpened | None = None

    # -- what the outside may see -----------------------------------------------------------------------------------

    @property
    def current(self) -> tuple[RoundState, Spec | None]:
        """The round as it stands, and its spec."""
        with self._lock:
            return self._state, None if self._opened is None else self._opened.value

    @property
    def enclave(self) -> Started | None:
        """What the running enclave says of itself."""
        return self._enclave.started

    @property
    def sealed_bytes(self) -> int:
        """The longest upload that can be a sealed update."""
        return max_sealed_bytes(self.charter.kem, self.charter.dimension)

    def base_blob(self, spec: Spec) -> bytes | None:
        """SHA-256 of the model that updates of a round start from."""
        return self._store.model_blob(spec.base_model)

    def blob(self, digest: bytes) -> bytes | None:
        """Public bytes by their SHA-256."""
        return self._store.read_blob(digest)

    def evidence(self, round_id: int) -> bytes | None:
        """The published evidence of a round."""
        return self._store.read_evidence(round_id)

    # -- uploads ----------------------------------------------------------------------------------------------------

    def check_upload(self, round_id: int, participant: Address) -> int:
        """The slot of somebody who may send an update now.  Raises RoundError's leaves, UnavailableError."""
        state, _ = self.current
        now = self.ledger.chain.now()
        try:
            return rounds.check_upload(state, round_id, participant, now)
        except TooLateError:
            # Forced inclusion: who committed on the ledger in time may still deliver until commitments are complete.
            mined = self.ledger.chain.block("latest").timestamp
            if not rounds.is_held(state, mined) or self.ledger.commitment_of(round_id, participant) is None:
                raise
            return rounds.check_sender(state, round_id, participant)

    def upload(self, round_id: int, participant: Address, sealed: bytes) -> Admitted:
        """A receipt for a sealed update.

        Raises: RoundError's leaves, LengthError, UpdateRefusedError, UnavailableError; nobody else's slot is touched.
        """
        slot = self.check_upload(round_id, participant)
        if len(sealed) > self.sealed_bytes:
            expected = f"at most {self.sealed_bytes}"
            raise LengthError("length of a sealed update in bytes", expected=expected, actual=len(sealed))
        with self._lock:
            opened = self._opened
        if opened is None or opened.round_id != round_id:
            raise UnavailableError(f"round {round_id} is over", "ask for the current round")
        admitted = self._enclave.submit(opened, slot, sealed)
        # Past collecting, the result was signed between the receipt and this line, and has the update in it.
        with suppress(PhaseError):
            self._apply(rounds.UpdateReceived(slot=slot, update=admitted.receipt.update), round_id)
        log_event("update_received", round=round_id, slot=slot, update=admitted.receipt.update, bytes=len(sealed))
        return admitted

    def take_checkpoint(self, round_id: int, body: bytes) -> Address:
        """Who signed this checkpoint of a settled round, once it is kept; see `Checkpoints.take`."""
        return self._checkpoints.take(round_id, body)

    # -- the sequence -----------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Checks that this is the chain from before, and folds what is there."""
        self._check_identity()
        self.follow()

    def run(self, stop: threading.Event, *, last_round: int | None) -> None:
        """Works until round `last_round` is final (None: until stopped).

        Raises: what could not be repaired by waiting, see Timing.
        """
        self._outbox.resume()
        is_first, failing_since, reason = True, None, ""
        while not stop.is_set():
            try:
                if self.tick(last_round):
                    return
                is_first, failing_since, reason = False, None, ""
            except ChainRestartedError:
                raise
            except (UnavailableError, VeriflockError, UpdateRefusedError) as error:
                patience = self._timing.admission_s if isinstance(error, NotYetError) else self._timing.outage_s
                if is_first and not isinstance(error, NotYetError | RevertedError):
                    raise
                is_first, now = False, self._monotonic()
                failing_since = now if failing_since is None else failing_since
                if now - failing_since > patience:
                    raise
                if str(error) != reason:  # once, not at every look
                    reason = str(error)
                    is_usual = isinstance(error, NotYetError) and error.next_step != ENDS_LATE
                    log_event("waiting", level=logging.INFO if is_usual else logging.WARNING, reason=reason)
            stop.wait(self._timing.poll_s)

    def tick(self, last_round: int | None) -> bool:
        """One look and at most one step.  Returns whether `last_round` is final."""
        self.prepare()
        state, _ = self.current
        mined = self.ledger.chain.block("latest").timestamp
        step, _ = rounds.next_step(state, self.ledger.chain.now(), mined=mined)
        if step is Step.OPEN:
            self._finish(state)
            if last_round is not None and state.round_id >= last_round:
                return True
            self._open(state.round_id + 1)
        elif self._is_mine():
            self._continue(state, step)
        elif step in (Step.SETTLE, Step.VOID):  # another coordinator's round holds everybody up: anybody may end it
            self._settle() if step is Step.SETTLE else self._void()
        return False

    def follow(self) -> None:
        """Folds the ledger and the store into the state."""
        round_id = self.ledger.current_round()
        if round_id == 0:
            return
        ledger_state = self.ledger.state_of(round_id)
        if self.current[0].round_id != round_id:
            self._begin(self.ledger.opened(round_id))
        phase = self.current[0].phase
        if phase is Phase.COLLECTING and read_signed(self._store, round_id) is not None:
            self._apply(rounds.ResultSigned(round_id=round_id), round_id)
        if ledger_state in (LedgerState.PROPOSED, LedgerState.SETTLED) and phase in (Phase.COLLECTING, Phase.SIGNED):
            self._apply(rounds.ResultProposed(round_id=round_id), round_id)
        if ledger_state is LedgerState.PROPOSED:
            self._apply(self._answering.awaited(round_id, self.current[0].requests), round_id)
        if ledger_state is LedgerState.SETTLED and phase is not Phase.SETTLED:
            self._apply(rounds.RoundSettled(round_id=round_id), round_id)
            log_event("round_settled", round=round_id)
        if ledger_state is LedgerState.VOID and phase is not Phase.VOID:
            self._apply(rounds.RoundVoided(round_id=round_id), round_id)
            log_event("round_void", level=logging.WARNING, round=round_id)

    def _begin(self, opened: RoundOpened) -> None:
        state = self.current[0]
        if state.phase not in (Phase.IDLE, Phase.SETTLED, Phase.VOID):
            state = rounds.IDLE  # it was ended and the next one opened between two looks
        event = rounds.RoundOpened(
            round_id=opened.round_id, cohort=opened.cohort, deadlines=Deadlines(**_deadlines(opened.value))
        )
        state = rounds.apply_event(state, event)
        for slot in range(len(opened.cohort)):
            receipt = self._enclave.receipt(opened.round_id, slot)
            if receipt is not None:
                received = rounds.UpdateReceived(slot=slot, update=receipt.receipt.update)
                state = rounds.apply_event(state, received)
        with self._lock:
            self._state, self._opened = state, opened
        log_event(
            "round_opened",
            round=opened.round_id,
            spec=opened.spec,
            enclave=opened.enclave,
            cohort=len(opened.cohort),
            deadlines=list(opened.value.deadlines),
            received=state.received_slots(),
        )

    def _continue(self, state: RoundState, step: Step) -> None:
        opened = self._current_opened()
        if state.phase in (Phase.COLLECTING, Phase.SIGNED) and not self.ledger.enclave(opened.enclave).is_active:
            step = Step.VOID  # revoked: nothing that it signs counts any more
        match step:
            case Step.NUDGE:
                self._nudge(opened)
            case Step.CLOSE:
                self._enter(opened)
                self._close(opened)
                self.follow()
                self._propose(opened)
            case Step.PROPOSE:
                self._propose(opened)
            case Step.ANSWER:
                request = rounds.next_request(state)
                if request is not None:
                    self._answer(opened, request)
            case Step.SETTLE:
                self._settle()
            case Step.VOID:
                self._void()
            case _:
                if state.phase is Phase.COLLECTING:
                    self._enter(opened)
                    self._checkpoints.post(opened.round_id)

    # -- steps --------------------------------------------------------------------------------------------------------

    def _finish(self, state: RoundState) -> None:
        if state.round_id:
            self._enclave.finish(state.round_id)

    def _open(self, round_id: int) -> None:
        """1. terms  2. enclave, registered  3. cohort, money  4. openRound.  Each is looked up anew."""
        ledger = self.ledger
        terms = ledger.terms(round_id)
        self._readiness.check_terms(terms, self.charter)
        until = terms.deadlines(ledger.chain.now() + self._timing.slack_s)[-1]
        started = self._readiness.ready(until)
        registered = ledger.active_participants()
        previous, base_root = ledger.previous(), ledger.model()
        if not self._store.has_model(base_root):
            raise NotYetError(f"no copy of the model 0x{base_root.hex()}", "put the other coordinator's blob here")
        size = terms.cohort_size or min(len(registered), MAX_SLOTS)
        needed = max(terms.min_counted, rulebook.chain_of(terms).minimum_counted(f=terms.f, m=terms.m))
        if len(registered) < max(size, needed):
            raise NotYetError(f"{len(registered)} active participants, {max(size, needed)} are needed", "let them join")
        self._readiness.check_money(terms.budget)
        seed = seeds.cohort_seed(federation=ledger.federation, round_id=round_id, previous=previous)
        cohort = seeds.sample_cohort(seed, registered, terms.cohort_size)
        spec = terms.spec(
            federation=ledger.federation,
            round_id=round_id,
            previous=previous,
            base_model=base_root,
            cohort=cohort_hash(cohort),
            enclave=started.enclave,
            deadlines=terms.deadlines(ledger.chain.now() + self._timing.slack_s),
        )
        self._outbox.send(f"open/{round_id}", ledger.open_call(spec, registered, seeds.cut(seed, cohort)))
        # If we die here the round is open: the next look at the ledger finds it, with its spec and cohort.
        self.follow()
        self._enter(self._current_opened())
        self._checkpoints.post(round_id)
        # If we die before this is mined the round is collecting: the next start enters it and posts.

    def _enter(self, opened: RoundOpened) -> None:
        if self._enclave.is_in(opened.round_id):
            return
        base = self._store.read_model(opened.value.base_model)
        if base is None:
            raise UnavailableError(f"no copy of the base model 0x{opened.value.base_model.hex()}", "restore the store")
        started = self._readiness.launch(is_round_open=True)
        if started.enclave != opened.enclave:
            raise NotYetError(f"the keys of the round's enclave 0x{opened.enclave.hex()} are lost", ENDS_LATE)
        try:
            found = self._enclave.enter(opened, base)
        except EnclaveFaultError as error:
            raise NotYetError(f"the enclave does not enter the round ({error})", ENDS_LATE) from error
        for slot, receipt in found.items():
            self._apply(rounds.UpdateReceived(slot=slot, update=receipt.update), opened.round_id)

    def _nudge(self, opened: RoundOpened) -> None:
        """A block, on a chain that makes one only when somebody sends something: nothing, to oneself."""
        call = Call(what="a block", to=self._outbox.sender, data=b"")
        self._outbox.send(f"nudge/{opened.round_id}", call)

    def _close(self, opened: RoundOpened) -> None:
        """1. commitments, complete since the deadline  2. the enclave signs  3. blobs  4. evidence  5. the result."""
        commitments = self._commitments.read(opened)
        received = self.current[0].received
        undelivered = {slot: None for slot, update in commitments.items() if received[slot] != update}
        try:
            closed = self._enclave.close_round(commitments, undelivered)
            publish(self._store, opened.value, closed, self._enclave.row)
        except EnclaveFaultError as error:
            raise NotYetError(f"the enclave can't close the round ({error})", ENDS_LATE) from error
        log_event(
            "result_signed",
            round=opened.round_id,
            result=closed.result.hash_struct(),
            counted=closed.result.counted.bit_count(),
            undelivered=len(undelivered),
        )

    def _propose(self, opened: RoundOpened) -> None:
        signed = read_signed(self._store, opened.round_id)
        if signed is None:
            raise UnavailableError(f"the signed result of round {opened.round_id} is gone", "restore the store")
        evidence = self._store.read_evidence(opened.round_id)
        if evidence is None:
            raise UnavailableError(f"the evidence of round {opened.round_id} is gone", "restore the store")
        self._commitments.check(opened, parse_evidence(evidence).set_leaves)
        call = self.ledger.propose_call(opened.value, signed.result, signed.outcomes, signed.signature)
        try:
            receipt = self._outbox.send(f"propose/{opened.round_id}", call)
        except RevertedError as error:
            raise NotYetError(str(error), ENDS_LATE) from error
        log_event("result_proposed", round=opened.round_id, transaction=receipt.transaction, gas=receipt.gas_used)

    def _answer(self, opened: RoundOpened, request: LeafRequest) -> None:
        attempt, round_id = self._answering.answer(opened, request), opened.round_id
        if attempt is Attempt.LOST:
            self._apply(rounds.AnswerFailed(round_id=round_id, member=request.member), round_id)
        elif attempt is Attempt.LATER:
            self._apply(rounds.AnswerDelayed(round_id=round_id, member=request.member), round_id)

    def _settle(self) -> None:
        opened = self._current_opened()
        proposed = self.ledger.proposed(opened.round_id)
        call = self.ledger.settle_call(opened.value, proposed.value, proposed.outcomes, opened.cohort)
        try:
            self._outbox.send(f"settle/{opened.round_id}", call)
        except RevertedError as error:
            if self.ledger.state_of(opened.round_id) is not LedgerState.PROPOSED:
                return  # somebody else was first
            if error.name in ("RequestsOpen", "TooEarly"):
                return  # a member asked between the look and this: the next look sees it
            log_event("settle_refused", level=logging.WARNING, round=opened.round_id, reason=str(error))
            self._void()

    def _void(self) -> None:
        opened = self._current_opened()
        result, outcomes = None, b""
        if self.ledger.state_of(opened.round_id) is LedgerState.PROPOSED:
            proposed = self.ledger.proposed(opened.round_id)
            result, outcomes = proposed.value, proposed.outcomes
        name, call = f"void/{opened.round_id}", self.ledger.void_call(opened.value, result, outcomes)
        overdue = rounds.overdue_request(self.current[0], self.ledger.chain.now())
        if overdue is not None:
            name = f"withheld/{opened.round_id}"
            call = self.ledger.withheld_call(opened.round_id, overdue.member)
        try:
            self._outbox.send(name, call)
        except RevertedError:
            if self.ledger.state_of(opened.round_id) in (LedgerState.OPEN, LedgerState.PROPOSED):
                raise

    # -- small things -------------------------------------------------------------------------------------------------

    def _check_identity(self) -> None:
        stored = self._store.read_record("chain.cbor")
        if stored is None:
            self._store.write_record("chain.cbor", self.ledger.identity.to_map())
            # If we die here this folder belongs to this chain for good.
            return
        self.ledger.check_identity(parse_identity(stored))

    def _apply(self, event: rounds.Event, round_id: int) -> None:
        with self._lock:
            if self._state.round_id == round_id:
                self._state = rounds.apply_event(self._state, event)

    def _current_opened(self) -> RoundOpened:
        with self._lock:
            if self._opened is None:
                raise UnavailableError("the opened round is not on the ledger yet", "it is looked for again")
            return self._opened

    def _is_mine(self) -> bool:
        return self._current_opened().coordinator == self._outbox.sender


def _deadlines(spec: Spec) -> dict[str, int]:
    names = ("submit", "receipts", "commit", "propose", "challenge_end")
    return dict(zip(names, spec.deadlines, strict=True))
