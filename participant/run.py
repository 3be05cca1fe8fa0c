"""One participant from joining to being stopped: the order in which everything happens.

Responsible for: the sequence train -> keep -> send -> keep the receipt -> commit if none came -> check the result while
                 it is proposed -> check the end.
Must not know:   how any of these is done; command lines; signals (an event says when to stop).

Before an update is made, the round is checked against the ledger; the coordinator is asked for bytes, never for facts:

    1  spec       the event's struct hashes to what the ledger stores; federation, dimension and exponents are ours
    2  slot       the cohort hashes to the spec's, and we are in it
    3  enclave    `enclave_check`
    4  base       the downloaded model's root is the spec's
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from participant import update as updates
from participant.attacks import Attack
from participant.chain import Chain, Membership, OpenedRound, ProposedResult, RoundState
from participant.client import Coordinator, Refusal
from participant.enclave_check import CheckedEnclave, Terms, check_enclave
from participant.journal import Journal, SentUpdate, StoredReceipt
from participant.proposed import Commands, Watch
from participant.settled import check_leaf, check_outcome, check_signed, describe
from participant.stop import Stop
from participant.trainers import Trainer, random_seed
from protocol import keys
from protocol.attestation.collateral import MAX_COLLATERAL_BYTES
from protocol.charter import Charter
from protocol.errors import CommitmentMismatchError, PolicyError, SpecMismatchError, UnavailableError, VeriflockError
from protocol.fixedpoint import Float64, decode_model, model_to_floats
from protocol.sealing import Payload, encode_payload
from protocol.trees import model_root

PATIENCE_S = 30.0
"""For a coordinator that is asked about rounds that are over: the round that is open now does not wait."""

ATTACKER_TRIES = 3
"""How often an attacker sends what can't be admitted; the first refusal may only say that the round has not begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the owner decided."""

    seed: int
    """The federation's seed, for the random numbers of attacks."""

    index: int
    """Which shard."""

    allow_simulated: bool
    """Whether an enclave whose quote says nothing about hardware will do."""

    join: bool
    """Whether to pay the deposit and join when not a participant yet."""

    rounds: int
    """Stop after this many rounds were seen to the end; 0: go on until stopped."""

    poll_s: float
    """Seconds between looks at the chain."""


class Runner:
    """The participant's loop.  Nothing in memory matters: a restart goes on from the journal."""

    def __init__(
        self,
        *,
        chain: Chain,
        coordinator: Coordinator,
        charter: Charter,
        trainer: Trainer,
        samples: int,
        attack: Attack,
        journal: Journal,
        key: bytes,
        settings: Settings,
        commands: Commands,
        stop: Stop,
        say: Callable[[str], None],
    ) -> None:
        """samples: size of the shard.  commands: what the owner can type.  say: takes one line for the owner."""
        self._chain, self._coordinator, self._charter, self._trainer = chain, coordinator, charter, trainer
        self._samples, self._attack, self._journal, self._key = samples, attack, journal, key
        self._settings, self._stop, self._tell = settings, stop, say
        self._last_line = ""
        self._address = keys.address(key)
        self._refused: set[int] = set()
        self._described: set[int] = set()
        self._collateral: dict[bytes, bytes] = {}
        """By its SHA-256, so that the end of a round can be checked when the coordinator is gone."""
        self._attempts = 0
        self._finished = 0
        self._broken: set[int] = set()
        self._watch = Watch(
            chain=chain,
            coordinator=coordinator,
            journal=journal,
            address=self._address,
            commands=commands,
            say=self._say,
        )

    @property
    def broken(self) -> int:
        """Rounds of which a proposed or settled result broke a promise."""
        return len(self._broken)

    def run(self) -> None:
        """Until stopped, or until the wanted number of rounds is over.

        An error in one round is said and does not end the loop: the next round may be in order.
        Raises: what joining raises, before the first round.
        """
        self.join()
        while not self._stop.is_set() and not self._is_done():
            try:
                self.step()
            except UnavailableError as error:
                if not self._stop.is_set():
                    self._say(f"could not tell: {error}")
            self._stop.wait(self._settings.poll_s)

    def _say(self, line: str) -> None:
        """One line for the owner; the same one is not repeated at every look at the chain."""
        if line != self._last_line:
            self._last_line = line
            self._tell(line)

    def _is_done(self) -> bool:
        return 0 < self._settings.rounds <= self._finished

    def join(self) -> None:
        """Make sure that this identity takes part.  Raises PolicyError when it left or was suspended."""
        membership = self._chain.membership(self._address)
        if membership == Membership.ACTIVE:
            return
        if membership != Membership.NONE or not self._settings.join:
            raise PolicyError(
                f"membership of {keys.to_hex(self._address)}", expected="active", actual=membership.name.lower()
            )
        self._chain.join(self._address)
        self._say(f"joined as {keys.to_hex(self._address)}")

    def step(self) -> None:
        """One look at the chain: end what is over, and do what the current round still needs."""
        round_id = self._chain.current_round()
        state = self._chain.state_of(round_id) if round_id else RoundState.NONE
        if state == RoundState.PROPOSED:
            self._look(round_id)  # before what can wait: once it is settled, nothing can be refuted any more
        self._coordinator.end_within(PATIENCE_S)
        for over in self._journal.open_rounds():
            try:
                self._finish(over)
            except UnavailableError as error:  # no reason to miss the round that is open now
                self._say(f"round {over}: could not tell: {error}")
        if state != RoundState.OPEN or round_id in self._refused or self._journal.is_closed(round_id):
            return
        try:
            self._take_part(round_id)
        except VeriflockError as error:
            self._refused.add(round_id)
            self._say(f"round {round_id}: not taking part: {error}")

    def _look(self, round_id: int) -> None:
        """Holds the promise against a result that is proposed; whatever goes wrong with that, the loop goes on."""
        try:
            if self._watch.look(round_id):
                self._broken.add(round_id)
        except (VeriflockError, UnavailableError) as error:
            self._say(f"round {round_id}: could not tell: {error}")

    def _take_part(self, round_id: int) -> None:
        opened = self._chain.opened(round_id)
        if self._address not in opened.cohort:
            self._refused.add(round_id)
            self._say(f"round {round_id}: not in the cohort of {len(opened.cohort)}")
            return
        if self._journal.receipt(round_id) is not None:
            return
        self._check_spec(opened)
        now, deadlines = self._chain.now(), opened.spec.deadlines
        sent = self._journal.update(round_id)
        if sent is None and now > deadlines[0]:
            self._refused.add(round_id)
            self._say(f"round {round_id}: came too late for it")
            return
        if now > deadlines[2]:
            return
        self._keep_to_the_clock(opened, sent)  # before anything that needs the coordinator: it may be gone, or hostile
        enclave = self._checked_enclave(opened)
        if sent is None:
            sent = self._make(opened, enclave)
            self._keep_to_the_clock(opened, sent)
        self._send(opened, enclave, sent)  # after a commitment too: the host must be able to deliver it

    def _keep_to_the_clock(self, opened: OpenedRound, sent: SentUpdate | None) -> None:
        """Commits when that is due; before, lets no call to the coordinator go on until it is too late for that."""
        now, (_, receipts, commit, *_) = self._chain.now(), opened.spec.deadlines
        if sent is not None and receipts < now <= commit and self._attack.admissible:
            self._commit(opened.spec.round_id, sent)
        self._coordinator.end_within(max((receipts if now <= receipts else commit) - now, 1))

    def _check_spec(self, opened: OpenedRound) -> None:
        """Step 1; what the chain stores was compared when it was read."""
        spec, charter = opened.spec, self._charter
        if spec.dimension != charter.dimension:
            raise SpecMismatchError("dimension of the spec", expected=charter.dimension, actual=spec.dimension)
        if self._chain.model_exponent() != charter.model_exponent:
            raise SpecMismatchError(
                "model exponent of the ledger", expected=charter.model_exponent, actual=self._chain.model_exponent()
            )

    def _checked_enclave(self, opened: OpenedRound, *, is_settled: bool = False) -> CheckedEnclave:
        """Step 3, in every round, and once more when it settled: what members believe can change between two."""
        checked = check_enclave(
            self._chain,
            opened.spec.enclave,
            terms=Terms(charter_hash=self._charter.sha256(), allow_simulated=self._settings.allow_simulated),
            fetch=self._fetch_collateral,
            now_s=int(time.time()),
            is_settled=is_settled,
        )
        if opened.spec.round_id not in self._described and not is_settled:
            self._described.add(opened.spec.round_id)
            self._say(f"round {opened.spec.round_id}: {checked.describe()}")
        return checked

    def _fetch_collateral(self, digest: bytes) -> bytes:
        """From the coordinator, whoever made it: its name is its hash."""
        if digest not in self._collateral:
            self._collateral[digest] = self._coordinator.blob(digest, MAX_COLLATERAL_BYTES)
        return self._collateral[digest]

    def _base(self, opened: OpenedRound) -> Float64:
        """Step 4.  Another model is no reason to stay away: the coordinator may see the round a moment after us."""
        try:
            data = self._coordinator.blob(self._coordinator.base_blob(), 4 * self._charter.dimension)
            model = decode_model(data, self._charter.dimension)
            if model_root(model) != opened.spec.base_model:
                raise CommitmentMismatchError("its root", expected=opened.spec.base_model, actual=model_root(model))
        except VeriflockError as error:
            raise UnavailableError(f"the coordinator does not have the round's base model: {error}") from error
        return model_to_floats(model, self._charter.model_exponent)

    def _make(self, opened: OpenedRound, enclave: CheckedEnclave) -> SentUpdate:
        """Train, quantise, sign, seal, and keep it before anybody sees it."""
        spec = opened.spec
        vector, metrics = self._trainer.fit(self._base(opened), spec.round_id)
        stream = random_seed("attack", self._settings.seed, self._settings.index, spec.round_id)
        vector = self._attack.vector(vector, np.random.Generator(np.random.PCG64(stream)))
        prepared = updates.prepare(
            vector, spec=spec, samples=self._samples, key=self._key, domain=self._chain.domain, attack=self._attack
        )
        numbers = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        for line in [f"trained ({numbers})", *prepared.describe()]:
            self._say(f"round {spec.round_id}: {line}")
        if self._attack.admissible:
            updates.check_admissible(prepared.payload, spec=spec, domain=self._chain.domain)
        signed = encode_payload(prepared.payload)
        payload = self._attack.payload(signed, self._journal.first_payload(spec.round_id))
        sealed = updates.seal(
            payload,
            update=prepared.payload.update,
            ledger=self._chain.domain.ledger,
            kem=enclave.kem,
            hpke_key=enclave.hpke_key,
        )
        sent = SentUpdate(payload=payload, sealed=sealed, signed=signed)
        self._journal.record_update(spec.round_id, sent)
        return sent

    def _send(self, opened: OpenedRound, enclave: CheckedEnclave, sent: SentUpdate) -> None:
        round_id = opened.spec.round_id
        try:
            answer = self._coordinator.submit(round_id, self._address, sent.sealed)
        except VeriflockError as error:
            raise UnavailableError(f"the coordinator's answer to the update can't be read: {error}") from error
        if isinstance(answer, Refusal):
            self._say(f"round {round_id}: refused: {answer.message} (reason {answer.reason})")
            self._attempts += 1
            if not self._attack.admissible and self._attempts % ATTACKER_TRIES == 0:
                self._refused.add(round_id)  # what can't be admitted need not be sent for ever
            return
        receipt, signature = answer
        slot = opened.cohort.index(self._address)
        update, domain = updates.parse_signed(sent.signed).update, self._chain.domain
        try:
            updates.verify_receipt(receipt, signature, update=update, slot=slot, signer=enclave.signer, domain=domain)
        except VeriflockError as error:  # worth nothing, so there is none yet: try again, and commit when time is up
            raise UnavailableError(f"the receipt is not the enclave's: {error}") from error
        self._journal.record_receipt(round_id, StoredReceipt(receipt=receipt, signature=signature))
        self._say(f"round {round_id}: receipt for slot {slot} verified and kept")

    def _commit(self, round_id: int, sent: SentUpdate) -> None:
        """No receipt in time: the ledger forces the update in."""
        update = updates.parse_signed(sent.signed).update.hash_struct()
        if self._chain.commitment(round_id, self._address) == update:
            return
        self._chain.commit(round_id, update)
        self._say(f"round {round_id}: no receipt in time, committed {update.hex()[:16]} on chain")

    def _finish(self, round_id: int) -> None:
        """Say how a round of ours ended, once it has; the receipt is held against the result."""
        state = self._chain.state_of(round_id)
        if state not in (RoundState.SETTLED, RoundState.VOID):
            return
        sent = self._journal.update(round_id)
        if sent is None:
            return
        if state == RoundState.VOID:
            line = f"round {round_id}: void, the base model stands"
        else:
            try:
                line = self._settled_line(round_id, updates.parse_signed(sent.signed))
            except VeriflockError as error:
                self._broken.add(round_id)
                line = f"round {round_id}: BROKEN PROMISE: {error} (receipt and update are kept in the state folder)"
        self._say(line)
        self._journal.record_closed(round_id, line)
        self._finished += 1

    def _settled_line(self, round_id: int, payload: Payload) -> str:
        opened = self._chain.opened(round_id)
        proposed = self._chain.proposed(round_id)
        if proposed is None:
            raise UnavailableError(f"no ResultProposed event of round {round_id}")
        slot = opened.cohort.index(self._address)
        outcome = check_outcome(
            proposed,
            slot=slot,
            receipt=self._journal.receipt(round_id),
            commitment=self._chain.commitment(round_id, self._address),
        )
        check_leaf(proposed, outcome, slot=slot, payload=payload, set_leaves=self._set_leaves(round_id))
        doubt = self._doubt(opened, proposed)
        credit, reputation = self._chain.credit_wei(self._address), self._chain.reputation_ppb(self._address)
        said = f"{describe(slot, outcome)}; credit {credit} wei, reputation {reputation} ppb{doubt}"
        return f"round {round_id}: settled, {said}"

    def _doubt(self, opened: OpenedRound, proposed: ProposedResult) -> str:
        """The enclave and its signature once more; what members stopped believing since is said, and is no broken word.

        Raises: VerificationError when the evidence does not hold; UnavailableError.
        """
        try:
            enclave = self._checked_enclave(opened, is_settled=True)
        except PolicyError as error:
            return f"; its enclave would not do any more: {error}"
        check_signed(proposed, signer=enclave.signer, domain=self._chain.domain)
        return ""

    def _set_leaves(self, round_id: int) -> tuple[bytes, ...]:
        """What the coordinator publishes; nonsense is the same as nothing, and no verdict about the round."""
        try:
            return self._coordinator.evidence(round_id).set_leaves
        except VeriflockError as error:
            raise UnavailableError(f"the coordinator's evidence of round {round_id} can't be read: {error}") from error
