"""The acts of the demo: the rounds, the lie, the reckoning.

Responsible for: what happens in which order once everything runs.
Must not know:   how it is shown.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from eth_account import Account

from coordinator.chain import Call, RevertedError
from coordinator.ledger import LedgerState, blank_result
from demo_parts.federation import Federation, wait_for
from demo_parts.observe import standing, transaction_of
from demo_parts.record import RoundMetrics
from demo_parts.stolen import Theft, perform
from participant.data import Samples, standardise
from participant.trainers import Trainer, TrainerSetup, trainer_class
from protocol import fixedpoint, keys, outcomes, seeds, trees
from protocol.errors import UnavailableError
from protocol.events import ResultProposed, RoundOpened, RoundSettled, RoundVoided
from protocol.messages import Domain, cohort_hash
from protocol.outcomes import Status
from protocol.reputation import Standing

ROUND_TIMEOUT_S = 300.0
"""From opening to the last receipt, in real time."""
DOOMED_GAS = 2_000_000
"""An estimate fails where the transaction will."""
STRAGGLER_S = 20.0
"""How long to wait for the rest once half of the participants have answered and nothing more comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A round under way."""

    round: int
    """Which round."""
    received: int
    """Receipts so far."""
    expected: int
    """Receipts that will come, if nobody dies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lie:
    """What became of the tampered proposal."""

    round: int
    """The round that it was made for."""
    transaction: str
    """Hash of the transaction that the ledger reverted."""
    error: str
    """The contract's error."""
    fee_wei: int
    """What the coordinator lost for proposing nothing that counts."""


class Acts:
    """One run of a founded federation."""

    def __init__(self, federation: Federation) -> None:
        self._federation = federation
        self._processes = federation.processes
        self._ledger = federation.ledger
        self._site = federation.site()
        self._judge = _judge(federation)
        self._model = fixedpoint.decode_model(federation.genesis_model, federation.charter.dimension)

    def close(self) -> None:
        """Give connections back."""
        self._site.close()

    def rounds(self, report: Callable[[Progress], None]) -> Iterator[RoundMetrics]:
        """Each round from opening to settlement, with the clock moved past each deadline once all have answered."""
        for round_id in range(1, self._federation.options.rounds + 1):
            began = time.monotonic()
            wait_for(f"round {round_id}", lambda r=round_id: self._ledger.current_round() >= r, self._processes)  # type: ignore[misc]
            spec = self._ledger.opened(round_id).value
            self._collect(round_id, report)
            self._federation.move_clock(spec.deadlines[2] + 1)
            self._wait_for_state(round_id, LedgerState.PROPOSED)
            if self._ledger.state_of(round_id) is LedgerState.PROPOSED:
                self._federation.move_clock(spec.deadlines[4] + 1)
                self._wait_for_state(round_id, LedgerState.SETTLED)
            yield self._metrics(round_id, time.monotonic() - began)

    def lie(self) -> Lie:
        """The host, without its enclave, proposes a model of its own choice, signed by its own key.

        It opens a round as it may, takes the last honest result for a pattern, changes the model, and signs.  The
        ledger asks for the enclave's signature.  Nobody proposes anything else, so the round is void for lateness.
        """
        federation, ledger, host = self._federation, self._ledger, self._federation.host_outbox()
        last = ledger.proposed(federation.options.rounds)
        round_id = ledger.current_round() + 1
        registered, previous = ledger.active_participants(), ledger.previous()
        seed = seeds.cohort_seed(federation=ledger.federation, round_id=round_id, previous=previous)
        cohort = seeds.sample_cohort(seed, registered, federation.terms.cohort_size)
        spec = federation.terms.spec(
            federation=ledger.federation,
            round_id=round_id,
            previous=previous,
            base_model=ledger.model(),
            cohort=cohort_hash(cohort),
            enclave=last.value.enclave,
            deadlines=federation.terms.deadlines(ledger.chain.now() + 60),
        )
        host.send(f"open/{round_id}", ledger.open_call(spec, registered, seeds.cut(seed, cohort)))
        federation.move_clock(spec.deadlines[2] + 1)
        tampered = self._model + np.int32(1 << 20)
        result = dataclasses.replace(
            last.value,
            round_id=round_id,
            spec=spec.hash_struct(),
            previous=previous,
            new_model=trees.model_root(tampered),
        )
        domain = Domain(chain_id=ledger.identity.chain_id, ledger=ledger.address)
        signature = keys.sign(federation.coordinator_key, result.digest(domain))
        call = ledger.propose_call(spec, result, last.outcomes, signature)
        error = self._reverted(lambda: ledger.chain.simulate(call, keys.address(federation.coordinator_key)))
        transaction = self._send_doomed(call)
        federation.move_clock(spec.deadlines[3] + 1)
        bond = ledger.bond(keys.address(federation.coordinator_key))
        host.send(f"void/{round_id}", ledger.void_call(spec, blank_result(spec), b""))
        fee = bond - ledger.bond(keys.address(federation.coordinator_key))
        return Lie(round=round_id, transaction=transaction, error=error, fee_wei=fee)

    def theft(self, report: Callable[[Progress], None]) -> Theft:
        """The host has copied the attestation key (stolen.py)."""
        return perform(self._federation, lambda round_id: self._collect(round_id, report))

    def standings(self) -> list[tuple[bytes, bool, int, int]]:
        """(participant, is Byzantine, reputation in ppb, credit in wei), by reputation."""
        found = []
        for trainee in self._federation.trainees:
            good, bad, credit = standing(self._ledger, trainee.account)
            found.append((trainee.account, trainee.is_byzantine, Standing(good=good, bad=bad).reputation_ppb, credit))
        return sorted(found, key=lambda item: (-item[2], item[0]))

    def _collect(self, round_id: int, report: Callable[[Progress], None]) -> None:
        """Until everybody who lives and may get a receipt has one."""
        options = self._federation.options
        deadline, newest, seen = time.monotonic() + ROUND_TIMEOUT_S, time.monotonic(), -1
        while True:
            dead = sum(trainee.process.process.poll() is not None for trainee in self._federation.trainees)
            received = self._site.received(round_id)
            expected = options.receipts_expected - dead
            report(Progress(round=round_id, received=received, expected=expected))
            if received >= expected:
                return
            if received != seen:
                seen, newest = received, time.monotonic()
            if 2 * received >= expected and time.monotonic() - newest > STRAGGLER_S:
                return
            if time.monotonic() > deadline:
                what = f"round {round_id} has {received} receipts of {expected} after {ROUND_TIMEOUT_S:g} s"
                raise UnavailableError(what, "look into the logs")
            time.sleep(0.05)

    def _wait_for_state(self, round_id: int, state: LedgerState) -> None:
        wait_for(
            f"round {round_id} {state.name.lower()}",
            lambda: self._ledger.state_of(round_id) in (state, LedgerState.SETTLED, LedgerState.VOID),
            self._processes,
            ROUND_TIMEOUT_S,
        )

    def _metrics(self, round_id: int, seconds: float) -> RoundMetrics:
        ledger = self._ledger
        proposed = ledger.proposed(round_id)
        said = outcomes.parse_outcomes(proposed.outcomes)
        logs = {
            "open_transaction": transaction_of(ledger, RoundOpened, round_id),
            "propose_transaction": transaction_of(ledger, ResultProposed, round_id),
            "end_transaction": transaction_of(ledger, RoundSettled, round_id)
            or transaction_of(ledger, RoundVoided, round_id),
        }
        transactions = {name: transaction for name, transaction in logs.items() if transaction}
        receipts = [ledger.chain.receipt(transaction) for transaction in set(transactions.values())]
        if ledger.state_of(round_id) is LedgerState.SETTLED:
            self._model = fixedpoint.decode_model(self._site.model(round_id), self._federation.charter.dimension)
        statuses = [outcome.status for outcome in said]
        return RoundMetrics(
            round=round_id,
            state=ledger.state_of(round_id).name.lower(),
            accuracy=round(self._accuracy(), 4),
            counted=statuses.count(Status.COUNTED),
            refused=statuses.count(Status.REFUSED),
            absent=statuses.count(Status.ABSENT),
            flagged=sum(outcome.flagged for outcome in said),
            gas=sum(receipt.gas_used for receipt in receipts if receipt),
            seconds=round(seconds, 2),
            model="0x" + trees.model_root(self._model).hex(),
            transactions={name: "0x" + transaction.hex() for name, transaction in transactions.items()},
            reputations_ppb={keys.to_hex(account): ppb for account, _, ppb, _ in self.standings()},
        )

    def _accuracy(self) -> float:
        trainer, samples = self._judge
        model = fixedpoint.model_to_floats(self._model, self._federation.charter.model_exponent)
        return float(trainer.evaluate(model, samples)["accuracy"])

    def _reverted(self, attempt: Callable[[], None]) -> str:
        try:
            attempt()
        except RevertedError as error:
            return str(error)
        raise UnavailableError("the ledger accepted a tampered result", "this must never be seen")

    def _send_doomed(self, call: Call) -> str:
        """Signs and sends what will revert, so that the refusal itself is on the chain."""
        chain, key = self._ledger.chain, self._federation.coordinator_key
        fields = {
            "chainId": chain.chain_id(),
            "nonce": chain.nonce(keys.address(key)),
            "gas": DOOMED_GAS,
            "gasPrice": 2 * (chain.block("latest").base_fee or 1),
            "to": keys.to_hex(self._ledger.address),
            "value": 0,
            "data": call.data,
        }
        signed = Account.sign_transaction(fields, key)
        chain.send_raw(bytes(signed.raw_transaction))
        return "0x" + bytes(signed.hash).hex()


def _judge(federation: Federation) -> tuple[Trainer, Samples]:
    charter, held_out = federation.charter, federation.dataset.held_out
    features = standardise(held_out.features, charter.offsets_q16, charter.scales_q16)
    samples = Samples(features=features, labels=held_out.labels)
    setup = TrainerSetup(charter=charter, samples=samples, seed=federation.options.seed, index=0)
    return trainer_class(federation.options.trainer)(setup), samples


def copy_public(source: Path, target: Path) -> None:
    """The coordinator's artifacts, blobs and rounds, into the run folder."""
    for kind in ("blobs", "rounds"):
        (target / kind).mkdir(parents=True, exist_ok=True)
        for path in sorted((source / kind).iterdir()):
            (target / kind / path.name).write_bytes(path.read_bytes())
