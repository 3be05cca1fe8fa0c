"""Random participants, coordinators, members and provers, whose every step the twins foresee.

Before each step `tests/support/refusals.py` says whether the contracts take it, and if not, with which error; after it
`verifier/apply.py` says from the events alone what every view returns, and the money adds up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from random import Random
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from coordinator import anvil
from coordinator.ledger import blank_result
from protocol import keys
from protocol.disputes import proof_commitment
from protocol.event_coding import encode_struct
from protocol.events import Action, RoundRefuted, VerdictExecuted
from protocol.hashing import keccak256, sha256
from protocol.messages import Checkpoint, Receipt, RoundResult, Spec, Unavailable, Update, cohort_hash
from protocol.openings import Leaves, Openings, Tree
from protocol.outcomes import Outcome, Reason, Status, bitmap, encode_outcomes
from protocol.trees import SetLeaf, set_root
from scripts.ledger_world import ETHER, GENESIS, MEASUREMENT, Refused, counted
from tests.support.expected_views import Views
from tests.support.followed import DEPOSIT, PEOPLE, REQUEST, Chain, Play
from tests.support.refusals import CLAIM_S, HOUR_S, LEAVES_S, ZERO, Promise, Proof, Rules, Signers, at_state
from verifier.state import Account, Membership, Participant, RoundState

SALT = sha256(b"a salt")
NOBODY = bytes(20)
HUGE = 30 * ETHER


WHO, BYTE = range(PEOPLE), range(256)
AMOUNTS = [0, 1, ETHER // 3, ETHER, 4 * ETHER, HUGE]


Method = TypeVar("Method", bound=Callable[..., None])


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something that somebody can do."""

    method: Callable[..., None]
    arguments: Mapping[str, Sequence[Any]]
    when: Callable[[Any], object]
    weight: int


ACTS: list[Act] = []


# When something is more than a refusal; sometimes, whether or not.


def seldom(self: Consensus) -> bool:
    return self.count % 8 == 0


def is_played(self: Consensus) -> bool:
    return self.play is not None


def is_open(self: Consensus) -> bool:
    return is_played(self) and (self.stage is RoundState.OPEN or seldom(self))


def is_disputable(self: Consensus) -> bool:
    return is_played(self) and (self.stage is RoundState.PROPOSED or seldom(self))


def is_live(self: Consensus) -> bool:
    return is_played(self) and (self.stage in (RoundState.OPEN, RoundState.PROPOSED) or seldom(self))


def is_asked(self: Consensus) -> bool:
    return is_played(self) and (self.state.disputes.open_requests > 0 or seldom(self))


def has_credits(self: Consensus) -> bool:
    return any(account.credit_wei for account in self.state.ledger.accounts.values()) or seldom(self)


def has_strangers(self: Consensus) -> bool:
    return len(self.state.active()) < PEOPLE or seldom(self)


def is_judged(self: Consensus) -> bool:
    return bool(self.state.ledger.verdicts)


def act(
    *, weight: int = 1, when: Callable[[Any], object] = lambda self: True, **arguments: Sequence[Any]
) -> Callable[[Method], Method]:
    """Adds a method to what can be done, with what each argument may be."""

    def add(method: Method) -> Method:
        ACTS.append(Act(method=method, arguments=arguments, when=when, weight=weight))
        return method

    return add


class Consensus(RuleBasedStateMachine):
    """What the twins say and what the contracts do."""

    chain: ClassVar[Chain]
    done: ClassVar[set[str]] = set()
    """Functions that the contracts took."""

    @rule(seed=st.integers(0, 1 << 64))
    def anything(self, seed: int) -> None:
        """One act with one choice of its arguments; Hypothesis's own choices are too much alike to get far."""
        self.count += 1
        random = Random(f"{self.seed} {seed} {self.count}")
        acts = [one for one in ACTS if one.when(self)]
        (chosen,) = random.choices(acts, [one.weight for one in acts])
        arguments = {name: random.choice(some) for name, some in chosen.arguments.items()}
        note(f"{chosen.method.__name__} {arguments}")
        chosen.method(self, **arguments)

    @initialize(seed=st.integers(0, 1 << 64))
    def begin(self, seed: int) -> None:
        self.seed = seed
        self.chain.back()
        self.world = self.chain.world
        self.state, self.heads, self.block = self.chain.founded
        self.time, self.paid_in, self.paid_out, self.burnt = self.world.now(), self.chain.paid_in, 0, 0
        (self.burnt_before,) = self.chain.balances([NOBODY])
        self.rules = Rules(
            state=self.state,
            federation=self.world.federation,
            genesis=GENESIS,
            deposit_wei=DEPOSIT,
            request_wei=REQUEST,
            minimum_bond_wei=ETHER,
            delay_s=60,
        )
        self.count = 0
        self.plays: dict[int, Play] = {}
        self.outvoted: dict[int, Spec] = {}

    # -- steps

    def step(
        self, sender: bytes, contract: str, function: str, *arguments: Any, value: int = 0, expected: str | None
    ) -> bool:
        """Does it in the next block, at `self.at`; whether the contract took it, which is as foreseen."""
        self.world.move_to(self.at)
        try:
            self.world.send(contract, function, *arguments, sender=sender, value=value)
            actual = None
        except Refused as refused:
            actual = refused.name
        assert actual == expected, f"{contract}.{function}: {actual}, expected {expected}"
        self.time = self.at
        before = self.heads
        self.state, self.heads, self.block = self.chain.follow(self.state, self.heads, self.block)
        self.rules = at_state(self.rules, self.state)
        assert (self.heads == before) == (actual is not None)
        self.done.update([function] if actual is None else [])
        return actual is None

    @property
    def at(self) -> int:
        """Time of the next block."""
        return self.time + 1

    def wait_until(self, second: int) -> None:
        """The next block is not before that second."""
        self.time = max(self.time, second - 1)

    @property
    def play(self) -> Play | None:
        """The newest round."""
        return self.plays.get(self.state.ledger.current)

    @property
    def stage(self) -> RoundState:
        """Of the newest round."""
        known = self.state.ledger.rounds.get(self.state.ledger.current)
        return RoundState.NONE if known is None else known.state

    # -- rounds

    def next_spec(self, coordinator: bytes, registered: Sequence[bytes]) -> Spec:
        """As the ledger wants it now."""
        ledger, terms = self.state.ledger, self.world.terms
        return terms.spec(
            federation=self.world.federation,
            round_id=ledger.current + 1,
            previous=ledger.previous,
            base_model=ledger.model if any(ledger.model) else GENESIS,
            cohort=cohort_hash(registered),
            enclave=self.world.enclaves[coordinator],
            deadlines=terms.deadlines(self.at),
        )

    def open(self, coordinator: bytes, spec: Spec, registered: Sequence[bytes]) -> None:
        expected = self.rules.open(coordinator, spec, registered, self.at)
        arguments = (spec, list(registered), ZERO)
        if self.step(coordinator, "RoundLedger", "openRound", *arguments, expected=expected):
            play = Play(spec=spec, cohort=tuple(registered), result=blank_result(spec))
            self.plays[spec.round_id] = play

    def finished(self, play: Play, counts: int, flags: int, reasons: int, signs: int) -> Play:
        """With a result as an enclave might sign it: any slots counted, any flagged, any leaves signed."""
        outcomes, leaves, signers = [], [], []
        for slot, participant in enumerate(play.cohort):
            if counts >> slot & 1:
                outcomes.append(counted(flagged=bool(flags >> slot & 1)))
                root = sha256(b"row", participant)
                update = Update(
                    federation=play.spec.federation,
                    round_id=play.spec.round_id,
                    spec=play.spec.hash_struct(),
                    enclave=play.spec.enclave,
                    participant=participant,
                    update_root=root,
                    samples=7,
                )
                signature = keys.sign(self.world.keys[participant], update.digest(self.world.domain))
                if signs >> slot & 1:
                    signers.append(participant)
                else:
                    signature = signature[:40] + bytes([signature[40] ^ 1]) + signature[41:]
                leaves.append(SetLeaf(update_root=root, samples=7, signature=signature).encode())
            else:
                reason = Reason((reasons >> (slot % 4)) % 10)
                outcomes.append(Outcome(status=Status.REFUSED if reason else Status.ABSENT, reason=reason))
                leaves.append(SetLeaf(reason=reason).encode())
        in_set = bitmap(slot for slot, outcome in enumerate(outcomes) if outcome.status == Status.COUNTED)
        is_enough, words = self.rules.is_enough(play.spec, in_set), encode_outcomes(outcomes)
        result = replace(
            blank_result(play.spec),
            spec=play.spec.hash_struct(),
            previous=play.spec.previous,
            set_root=set_root(leaves),
            counted=in_set,
            selected=in_set,
            column_root=sha256(b"columns") if is_enough else ZERO,
            outcomes=keccak256(words),
            new_model=sha256(b"model", bytes([counts])) if is_enough else play.spec.base_model,
            enclave=play.spec.enclave,
        )
        return replace(play, result=result, words=words, leaves=tuple(leaves), signers=tuple(signers))

    def propose(self, play: Play, *, sender: bytes | None = None, is_signed: bool = True) -> None:
        coordinator = self.state.ledger.rounds[play.spec.round_id].opening.coordinator
        secret = self.world.secrets[coordinator if is_signed else self.other_of(coordinator)]
        sender, signature = sender or coordinator, keys.sign(secret, play.result.digest(self.world.domain))
        expected = self.rules.propose(sender, play.spec, play.result, play.words, is_signed=is_signed, at=self.at)
        arguments = (play.spec, play.result, play.words, signature)
        if self.step(sender, "RoundLedger", "propose", *arguments, expected=expected):
            self.plays[play.spec.round_id] = play

    def other_of(self, coordinator: bytes) -> bytes:
        return self.world.other if coordinator == self.world.first else self.world.first

    def settle(self, play: Play, cohort: Sequence[bytes]) -> None:
        expected = self.rules.settle(play.spec, play.result, play.words, cohort, self.at)
        arguments = (play.spec, play.result, play.words, list(cohort))
        self.step(self.world.members[0], "RoundLedger", "settle", *arguments, expected=expected)

    @act(weight=12, counts=BYTE, flags=BYTE, reasons=BYTE, signs=BYTE, which=range(4))
    def go_on(self, counts: int, flags: int, reasons: int, signs: int, which: int) -> None:
        """What comes next in a round, in time; before it opens, what it needs."""
        play = self.play
        if which and self.provide():
            return
        if play is None or self.stage in (RoundState.SETTLED, RoundState.VOID):
            coordinator = self.world.other if which == 3 else self.world.first
            registered = self.state.active()
            self.open(coordinator, self.next_spec(coordinator, registered), registered)
        elif self.stage is RoundState.OPEN and self.at > play.spec.deadlines[3]:
            self.void(kind=3, is_late=False)
        elif self.stage is RoundState.OPEN:
            self.wait_until(play.spec.deadlines[2] + 1)
            self.propose(self.finished(play, counts | 0b111, flags, reasons, signs))
        else:
            _, not_before = self.rules.hold(play.spec.round_id)
            self.wait_until(max(play.spec.deadlines[4] + 1, not_before))
            self.settle(play, play.cohort)

    def provide(self) -> bool:
        """Something without which the first coordinator can't open a round, if there is such a thing."""
        ledger, first = self.state.ledger, self.world.first
        verdict = ledger.frozen_by(first)
        if self.stage in (RoundState.OPEN, RoundState.PROPOSED):
            return False
        if MEASUREMENT not in self.state.consortium.measurements:
            self.vote(Action.ALLOW_MEASUREMENT, 0, 3, True)
        elif verdict is not None:
            self.execute_verdict(has_leaves=any(verdict.result), is_patient=True, is_made_up=False)
        elif ledger.bonds[first] < 4 * ETHER:
            self.add_bond(is_other=False, value=4 * ETHER)
        elif ledger.treasury_wei < ETHER:
            self.fund(HUGE)
        else:
            return False
        return True

    OPENINGS: ClassVar[Sequence[Callable[[Spec], dict[str, Any]]]] = (
        lambda spec: {"federation": sha256(b"another")},
        lambda spec: {"round_id": spec.round_id + 1},
        lambda spec: {"previous": sha256(b"another")},
        lambda spec: {"base_model": sha256(b"another")},
        lambda spec: {"f": spec.f + 1},
        lambda spec: {"deadlines": (spec.deadlines[0] - 1, *spec.deadlines[1:])},
        lambda spec: {"deadlines": (*spec.deadlines[:4], spec.deadlines[4] + HOUR_S + 1)},
        lambda spec: {"deadlines": tuple(deadline + HOUR_S for deadline in spec.deadlines)},
    )

    @act(change=OPENINGS, is_other=(False, True))
    def open_another_round(self, change: Callable[[Spec], dict[str, Any]], is_other: bool) -> None:
        coordinator, registered = self.world.other if is_other else self.world.first, self.state.active()
        spec = self.next_spec(coordinator, registered)
        self.open(coordinator, replace(spec, **change(spec)), registered)

    @act(kind=range(4))
    def open_for_others(self, kind: int) -> None:
        registered = self.state.active()
        spec = self.next_spec(self.world.first, registered)
        if kind == 0:
            self.open(self.world.other, spec, registered)
        elif kind == 1:
            self.open(self.world.first, spec, registered[1:])
        elif kind == 2:
            self.open(self.world.first, spec, registered[::-1])
        else:
            strangers = [who for who in self.world.people if who not in registered]
            self.open(self.world.first, spec, sorted([*registered[:-1], *strangers[:1]]))

    @act(when=is_open, weight=3, who=WHO, is_empty=[False, False, False, True], back=[0, 0, 0, 1])
    def commit(self, who: int, is_empty: bool, back: int) -> None:
        participant, number = self.world.people[who], max(0, self.state.ledger.current - back)
        update = ZERO if is_empty else sha256(b"an update", participant)
        expected = self.rules.commit(participant, number, update, self.at)
        self.step(participant, "RoundLedger", "commit", number, update, expected=expected)

    RESULTS: ClassVar[Sequence[Callable[[RoundResult], dict[str, Any]]]] = (
        lambda result: {"federation": sha256(b"another")},
        lambda result: {"round_id": result.round_id + 1},
        lambda result: {"spec": sha256(b"another")},
        lambda result: {"previous": sha256(b"another")},
        lambda result: {"enclave": sha256(b"another")},
        lambda result: {"outcomes": sha256(b"another")},
        lambda result: {"counted": result.counted | 1 << PEOPLE},
        lambda result: {"counted": result.counted ^ 1, "selected": result.selected & ~1},
        lambda result: {"selected": result.selected & (result.selected - 1)},
        lambda result: {"state": sha256(b"a state")},
        lambda result: {"gram_root": sha256(b"a root")},
        lambda result: {"column_root": ZERO if any(result.column_root) else sha256(b"a root")},
        lambda result: {"new_model": ZERO},
    )

    @act(
        when=is_open,
        change=RESULTS,
        counts=BYTE,
        late=[0, 0, 61],
    )
    def propose_another_result(self, change: Callable[[RoundResult], dict[str, Any]], counts: int, late: int) -> None:
        play = self.finished(self.play, counts, 0, 0, 0)
        if self.stage is RoundState.OPEN:
            self.wait_until(play.spec.deadlines[2] + 1 + late)
        self.propose(replace(play, result=replace(play.result, **change(play.result))))

    @act(when=is_open, kind=range(5), counts=BYTE, flip=BYTE)
    def propose_otherwise(self, kind: int, counts: int, flip: int) -> None:
        """Too early, for others, signed by others, with words that are none, or of too few."""
        play = self.finished(self.play, counts, 0, 0, 0)
        if kind and self.stage is RoundState.OPEN:
            self.wait_until(play.spec.deadlines[2] + 1)
        if kind == 1:
            self.propose(play, sender=self.world.members[0])
        elif kind == 2:
            self.propose(play, is_signed=False)
        elif kind == 3:
            at = flip % len(play.words)
            words = play.words[:at] + bytes([play.words[at] ^ 0x41]) + play.words[at + 1 :]
            self.propose(replace(play, words=words, result=replace(play.result, outcomes=keccak256(words))))
        else:
            self.propose(play)

    @act(when=is_disputable, kind=range(5), is_patient=(False, True))
    def settle_otherwise(self, kind: int, is_patient: bool) -> None:
        play, cohort = self.play, list(self.play.cohort)
        if is_patient and self.stage is RoundState.PROPOSED:
            self.wait_until(play.spec.deadlines[4] + 1)
        if kind == 0:
            play = replace(play, result=replace(play.result, new_model=sha256(b"another")))
        elif kind == 1:
            play = replace(play, words=play.words + bytes(32))
        elif kind == 2:
            cohort = cohort[:-1]
        elif kind == 3:
            play = replace(play, spec=replace(play.spec, f=play.spec.f + 1))
        self.settle(play, cohort)

    @act(when=is_played, kind=range(4), is_late=(False, True))
    def void(self, kind: int, is_late: bool) -> None:
        play = self.play
        if self.stage is RoundState.PROPOSED:
            self.wait_until(play.spec.deadlines[4] + 1)
        elif is_late and kind in (0, 3):
            self.wait_until(play.spec.deadlines[3] + 1)
        if kind == 1:
            play = replace(play, spec=replace(play.spec, f=play.spec.f + 1))
        if kind == 2:
            play = replace(play, result=replace(play.result, new_model=sha256(b"another")))
        expected = self.rules.void(play.spec, play.result, play.words, self.at)
        arguments = (play.spec, play.result, play.words)
        self.step(self.world.provers[0], "RoundLedger", "voidRound", *arguments, expected=expected)

    # -- participants and money

    @act(
        when=has_strangers,
        weight=2,
        who=WHO,
        value=[DEPOSIT, DEPOSIT, DEPOSIT, 0, DEPOSIT + 1],
        has_payout=(False, True),
    )
    def join(self, who: int, value: int, has_payout: bool) -> None:
        participant = self.world.people[who]
        payout = self.payout(who) if has_payout or (value == DEPOSIT and who % 2) else NOBODY
        expected = self.rules.join(participant, payout, value)
        self.step(participant, "Participants", "join", payout, value=value, expected=expected)

    def payout(self, who: int) -> bytes:
        return sha256(b"payout", bytes([who]))[:20]

    @act(who=WHO)
    def leave(self, who: int) -> None:
        participant = self.world.people[who]
        if self.step(participant, "Participants", "leave", expected=self.rules.leave(participant)):
            assert self.state.participants[participant].until == self.state.ledger.current

    @act(weight=2, who=WHO, is_patient=(False, True))
    def reclaim(self, who: int, is_patient: bool) -> None:
        participant = self.world.people[who]
        known = self.state.participants.get(participant, Participant())
        if is_patient and known.has_deposit and known.membership is not Membership.ACTIVE:
            self.wait_until(known.reclaimable_at_s)
        self.step(participant, "Participants", "reclaim", expected=self.rules.reclaim(participant, self.at))

    @act(who=WHO, is_none=(False, True))
    def set_payout(self, who: int, is_none: bool) -> None:
        participant, payout = self.world.people[who], NOBODY if is_none else self.payout(who + PEOPLE)
        expected = self.rules.set_payout(participant, payout)
        self.step(participant, "Participants", "setPayout", payout, expected=expected)

    @act(is_other=(False, True), value=AMOUNTS)
    def add_bond(self, is_other: bool, value: int) -> None:
        who = self.world.other if is_other else self.world.first
        expected = self.rules.add_bond(who, value)
        if self.step(who, "RoundLedger", "addBond", value=value, expected=expected):
            self.paid_in += value

    @act(is_other=(False, True), amount=AMOUNTS)
    def withdraw_bond(self, is_other: bool, amount: int) -> None:
        who = self.world.other if is_other else self.world.first
        expected = self.rules.withdraw_bond(who, amount)
        if self.step(who, "RoundLedger", "withdrawBond", amount, expected=expected):
            self.paid_out += amount

    @act(value=AMOUNTS)
    def fund(self, value: int) -> None:
        if self.step(self.world.members[1], "RoundLedger", "fund", value=value, expected=self.rules.fund(value)):
            self.paid_in += value

    @act(when=has_credits, weight=2, who=range(PEOPLE + 8))
    def withdraw(self, who: int) -> None:
        account = self.world.everybody[who]
        credit = self.state.ledger.accounts.get(account, Account()).credit_wei
        if self.step(account, "RoundLedger", "withdraw", expected=self.rules.withdraw(account)):
            self.paid_out += credit

    # -- proofs

    def proof(self, play: Play, kind: int, variant: int) -> Proof:
        """Two receipts; of kind 0 it is one, the others have one thing wrong."""
        spec, coordinator = play.spec, self.state.ledger.rounds[play.spec.round_id].opening.coordinator
        updates = (sha256(b"one"), sha256(b"one" if kind == 1 else b"another", bytes([variant])))
        updates = (updates[0], updates[0]) if kind == 1 else updates
        receipts = [
            Receipt(federation=spec.federation, round_id=spec.round_id, slot=0, update=update, enclave=spec.enclave)
            for update in updates
        ]
        changes: dict[int, dict[str, Any]] = {
            2: {"slot": 1},
            3: {"round_id": spec.round_id + 1},
            4: {"enclave": sha256(b"another")},
            5: {"federation": sha256(b"another")},
        }
        receipts[1] = replace(receipts[1], **changes.get(kind, {}))
        mine, others = self.world.secrets[coordinator], self.world.secrets[self.other_of(coordinator)]
        signed = [keys.sign(mine, receipts[0].digest(self.world.domain))]
        signed.append(keys.sign(others if kind == 6 else mine, receipts[1].digest(self.world.domain)))
        arguments = (spec, receipts[0], signed[0], receipts[1], signed[1])
        return Proof(
            spec=spec,
            one=Promise(receipt=receipts[0], is_enclaves=True),
            other=Promise(receipt=receipts[1], is_enclaves=kind != 6),
            data=self.chain.contracts["SetPredicates"].call_data("twoReceipts", *arguments),
        )

    @act(weight=3, when=is_played, prover=range(2), variant=range(2))
    def commit_proof(self, prover: int, variant: int) -> None:
        who = self.world.provers[prover]
        commitment = proof_commitment(who, self.proof(self.play, 0, variant).data, SALT)
        expected = self.rules.commit_proof(commitment)
        self.step(self.world.members[2], "Disputes", "commitProof", commitment, expected=expected)

    @act(
        when=is_live,
        weight=2,
        prover=range(2),
        kind=[0, 0, 0, 0, 1, 2, 3, 4, 5, 6],
        variant=range(2),
        has_salt=(False, True),
        back=[0, 0, 0, 0, 1],
    )
    def refute(self, prover: int, kind: int, variant: int, has_salt: bool, back: int) -> None:
        play = self.plays[max(1, self.state.ledger.current - back)]
        proof, who, salt = self.proof(play, kind, variant), self.world.provers[prover], SALT if has_salt else ZERO
        expected, at = self.rules.refute(proof), self.at
        verdict = self.rules.verdict(who, proof, salt, self.block + 1, at) if expected is None else None
        if self.step(who, "Disputes", "refute", 0, proof.data, salt, expected=expected):
            known = self.state.ledger.verdicts[play.spec.round_id]
            assert known.value == verdict
            assert isinstance(known.entry.event, RoundRefuted)
            assert MEASUREMENT not in self.state.consortium.measurements

    @act(
        weight=3,
        when=is_judged,
        prover=range(2),
        variant=range(2),
        kind=[0, 0, 0, 1],
        is_of_newest=[True, True, False],
        is_made_up=[False, False, False, True],
    )
    def claim(self, prover: int, variant: int, kind: int, is_of_newest: bool, is_made_up: bool) -> None:
        verdict = self.state.ledger.verdicts[max(self.state.ledger.verdicts)].value
        play = self.plays[verdict.round_id if is_of_newest else self.state.ledger.current]
        if is_made_up:
            verdict = replace(verdict, committed_at=verdict.committed_at + 1)
        proof, who = self.proof(play, kind, variant), self.world.provers[prover]
        expected = self.rules.claim(who, verdict, proof, SALT, self.block + 1, self.at)
        if self.step(who, "Disputes", "claim", verdict, 0, proof.data, SALT, expected=expected):
            now = self.state.ledger.verdicts[verdict.round_id].value
            made = self.state.disputes.commitments[proof_commitment(who, proof.data, SALT)]
            assert now == replace(verdict, prover=who, committed_at=made)

    @act(
        weight=2,
        when=is_judged,
        has_leaves=(False, True),
        is_patient=[True, True, False],
        is_made_up=[False, False, False, True],
    )
    def execute_verdict(self, has_leaves: bool, is_patient: bool, is_made_up: bool) -> None:
        known = self.state.ledger.verdicts[max(self.state.ledger.verdicts)]
        verdict = replace(known.value, pot=known.value.pot + 1) if is_made_up else known.value
        play, has_result = self.plays[verdict.round_id], any(verdict.result)
        if is_patient and known.executed is None:
            self.wait_until(verdict.decided_at + (CLAIM_S if has_leaves or not has_result else LEAVES_S) + 1)
        leaves = list(play.leaves or [bytes(33)] * len(play.cohort)) if has_leaves else []
        expected = self.rules.execute(verdict, with_leaves=has_leaves, at=self.at)
        arguments = (verdict, play.spec, play.result, list(play.cohort), leaves)
        if self.step(self.world.members[3], "Disputes", "executeVerdict", *arguments, expected=expected):
            executed = self.state.ledger.verdicts[verdict.round_id].executed
            assert executed is not None
            event = executed.event
            assert isinstance(event, VerdictExecuted)
            signers = play.signers if has_leaves else ()
            assert (event.signers, event.prover) == (signers, verdict.prover)
            assert (event.reward, event.share, event.burnt) == verdict.split(len(signers))
            assert event.burnt >= verdict.pot // 2
            self.burnt += event.burnt

    @act(weight=2, when=is_live, variant=range(2), other=range(2), is_late=(False, True), has_salt=(False, True))
    def race(self, variant: int, other: int, is_late: bool, has_salt: bool) -> None:
        """One commits, another one shows a proof first, and the first one claims."""
        self.commit_proof(1, variant)
        if self.stage in (RoundState.OPEN, RoundState.PROPOSED):
            self.refute(0, 0, other, has_salt, 0)
            if is_late:
                self.time += CLAIM_S - 1 + variant
            self.claim(1, variant, 0, True, False)

    # -- what is withheld

    @act(
        when=is_disputable,
        weight=5,
        who=range(5),
        tree=[Tree.SET, Tree.SET, Tree.SET, *Tree],
        index=[0, 1, 2, 24, 10**6],
        value=[REQUEST, REQUEST, REQUEST, 0],
        is_other=[False, False, False, True],
    )
    def request(self, who: int, tree: Tree, index: int, value: int, is_other: bool) -> None:
        member = [*self.world.members, self.world.provers[0]][who]
        play = self.play
        result = replace(play.result, new_model=sha256(b"another")) if is_other else play.result
        expected = self.rules.request(member, value, play.spec, result, tree, 0, index, self.at)
        arguments = (play.spec, result, int(tree), 0, index)
        if self.step(member, "Disputes", "requestLeaf", *arguments, value=value, expected=expected):
            self.paid_in += value

    @act(
        when=is_asked,
        weight=4,
        who=range(4),
        is_right=[True, True, True, False],
        is_late=(False, True),
    )
    def answer(self, who: int, is_right: bool, is_late: bool) -> None:
        member, play = self.world.members[who], self.play
        asked = self.state.disputes.requests.get((play.spec.round_id, member))
        if asked is not None and asked.event.tree is not Tree.SET:
            return
        index = 0 if asked is None else asked.event.index
        if asked is not None and asked.is_open and is_late:
            self.wait_until(asked.event.answer_by + who % 2)
        leaves = play.leaves or [bytes(33)] * len(play.cohort)
        opened = Openings(Leaves(set_leaves=leaves, rows={}), counted=play.result.counted)
        answer = opened.answer(Tree.SET, slot=0, index=index)
        answer = answer if is_right else replace(answer, data=answer.data + b"\0")
        expected = self.rules.answer(play.spec, play.result, member, is_right=is_right, at=self.at)
        arguments = (play.spec, play.result, member, answer)
        self.step(self.world.provers[1], "Disputes", "answerLeaf", *arguments, expected=expected)

    @act(weight=2, when=is_disputable, who=range(4), index=range(3), is_late=(False, True))
    def ask_and_be_answered(self, who: int, index: int, is_late: bool) -> None:
        self.request(who, Tree.SET, index, REQUEST, False)
        self.answer(who, True, is_late)

    @act(weight=2, when=is_disputable, who=range(4), index=range(3), is_patient=[True, True, False])
    def ask_in_vain(self, who: int, index: int, is_patient: bool) -> None:
        """Two ask, nobody answers: one voids the round, and the other's deposit comes back."""
        self.request(who, Tree.SET, index, REQUEST, False)
        self.request((who + 1) % 4, Tree.MODEL, index, REQUEST, False)
        self.withhold(who, is_patient, 0)
        self.close((who + 1) % 4, 0)

    @act(when=is_asked, weight=2, who=range(4), is_patient=(False, True), back=[0, 0, 1])
    def withhold(self, who: int, is_patient: bool, back: int) -> None:
        member, number = self.world.members[who], max(0, self.state.ledger.current - back)
        asked = self.state.disputes.requests.get((number, member))
        if asked is not None and is_patient:
            self.wait_until(asked.event.answer_by + 1)
        expected = self.rules.withhold(number, member, self.at)
        self.step(self.world.people[0], "Disputes", "voidWithheld", number, member, expected=expected)

    @act(when=is_asked, weight=2, who=range(4), back=range(3))
    def close(self, who: int, back: int) -> None:
        member, number = self.world.members[who], max(0, self.state.ledger.current - back)
        expected = self.rules.close(number, member)
        self.step(self.world.people[0], "Disputes", "closeRequest", number, member, expected=expected)

    # -- members

    def signatures(self, message: Checkpoint | Unavailable, signers: Sequence[bytes]) -> bytes:
        return b"".join(keys.sign(self.world.keys[who], message.digest(self.world.domain)) for who in signers)

    def signers(self, choice: int) -> list[bytes]:
        """Members, in order or not, or a participant."""
        members = sorted(self.world.members)
        sets: list[list[bytes]] = [list(some) for count in range(5) for some in combinations(members, count)]
        sets += [members[::-1], [members[0]] * 2, [self.world.people[0]]]
        return sets[choice % len(sets)]

    @act(
        weight=2,
        when=is_played,
        choice=range(19),
        back=range(2),
        is_other=[False, False, True],
    )
    def checkpoint(self, choice: int, back: int, is_other: bool) -> None:
        play, signers = self.plays[max(1, self.state.ledger.current - back)], self.signers(choice)
        posted = Checkpoint(
            federation=self.world.federation,
            round_id=play.spec.round_id,
            result=sha256(b"another") if is_other else play.result.hash_struct(),
            block_hash=sha256(b"a block"),
        )
        expected = self.rules.checkpoint(posted, Signers(who=signers))
        arguments = (posted, self.signatures(posted, signers))
        self.step(self.world.people[1], "Consortium", "postCheckpoint", *arguments, expected=expected)

    @act(weight=2, when=is_played, choice=range(19), kind=[0, 0, 1, 2])
    def complain(self, choice: int, kind: int) -> None:
        play, signers = self.play, self.signers(choice)
        posted = Unavailable(
            federation=sha256(b"another") if kind == 1 else self.world.federation,
            round_id=play.spec.round_id,
            result=sha256(b"another") if kind == 2 else play.result.hash_struct(),
        )
        expected = self.rules.unavailable(posted, Signers(who=signers))
        arguments = (posted, self.signatures(posted, signers))
        self.step(self.world.people[1], "Consortium", "postUnavailable", *arguments, expected=expected)

    @act(
        weight=2,
        action=[
            *(Action.SUSPEND_PARTICIPANT, Action.REINSTATE_PARTICIPANT, Action.REINSTATE_PARTICIPANT),
            *(Action.ALLOW_MEASUREMENT, Action.ALLOW_MEASUREMENT, Action.REVOKE_MEASUREMENT),
            *(Action.ADMIT_COORDINATOR, Action.REMOVE_COORDINATOR, Action.OUTVOTE_RESULT),
        ],
        who=WHO,
        votes=range(1, 5),
        is_patient=(False, True),
    )
    def vote(self, action: Action, who: int, votes: int, is_patient: bool) -> None:
        """Proposes, gathers votes, and executes at once or after the delay; it may be executed later too."""
        subject, data = self.world.people[who].rjust(32, b"\0"), b""
        if action in (Action.ALLOW_MEASUREMENT, Action.REVOKE_MEASUREMENT):
            subject = MEASUREMENT
        elif action in (Action.ADMIT_COORDINATOR, Action.REMOVE_COORDINATOR):
            subject = self.world.other.rjust(32, b"\0")
        elif action is Action.OUTVOTE_RESULT:
            if self.play is None:
                return
            subject, data = self.play.result.hash_struct(), encode_struct(self.play.spec)
        number = len(self.state.consortium.proposals) + 1
        if action is Action.OUTVOTE_RESULT:
            self.outvoted[number] = self.play.spec
        first, *others = self.world.members
        self.step(first, "Consortium", "propose", int(action), subject, data, expected=None)
        for member in others[: votes - 1]:
            self.step(member, "Consortium", "vote", number, expected=None)
        if is_patient:
            self.wait_until(self.state.consortium.proposals[number].time_s + self.rules.delay_s)
        self.execute_proposal(number)

    @act(when=lambda self: self.state.consortium.proposals, back=range(-1, 4))
    def execute_again(self, back: int) -> None:
        number = len(self.state.consortium.proposals) - back
        known = self.state.consortium.proposals.get(number)
        if known is None or (known.event.action in (*FOUNDING, Action.OUTVOTE_RESULT) and number not in self.outvoted):
            number = 10**6
        self.execute_proposal(number)

    def execute_proposal(self, number: int) -> None:
        known = self.state.consortium.proposals.get(number)
        data = b"" if known is None else known.event.data
        expected = self.rules.execute_proposal(number, self.outvoted.get(number), self.at)
        self.step(self.world.people[2], "Consortium", "execute", number, data, expected=expected)

    @act(seconds=[1, 10, 39, 60, 100, HOUR_S, 86_400])
    def wait(self, seconds: int) -> None:
        self.time += seconds

    # -- what must hold after each step

    @invariant()
    def every_view_is_as_the_events_say(self) -> None:
        if not hasattr(self, "state"):
            return
        views = list(Views(world=self.world, rules=self.rules, heads=self.heads).all())
        answers = self.chain.read([(contract, function, arguments) for contract, function, arguments, _ in views])
        for (contract, function, arguments, expected), actual in zip(views, answers, strict=True):
            assert actual == expected, f"{contract}.{function}{arguments}: {actual}, expected {expected}"

    @invariant()
    def no_money_comes_or_goes(self) -> None:
        if not hasattr(self, "state"):
            return
        ledger, addresses = self.state.ledger, self.world.addresses
        credits = sum(account.credit_wei for account in ledger.accounts.values())
        held = ledger.treasury_wei + sum(ledger.bonds.values()) + credits
        asked = REQUEST * self.state.disputes.open_requests
        deposits = DEPOSIT * sum(known.has_deposit for known in self.state.participants.values())
        places = [addresses["RoundLedger"], addresses["Disputes"], addresses["Participants"], NOBODY]
        *balances, burnt = self.chain.balances(places)
        assert balances == [held, asked, deposits]
        assert burnt - self.burnt_before == self.burnt
        assert self.paid_in == self.paid_out + self.burnt + held + asked
        assert min([ledger.treasury_wei, *ledger.bonds.values()]) >= 0


FOUNDING = (Action.TRUST_AUTHORITY, Action.ACCEPT_TCB)
"""Done before the first step, with data; not done again."""


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with anvil.start() as running:
        yield Chain(running.rpc)


def test_contracts_and_twins_go_the_same_way(chain: Chain) -> None:
    Consensus.chain = chain
    run_state_machine_as_test(
        Consensus,
        settings=settings(
            max_examples=25,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.explicit, Phase.reuse, Phase.generate),  # a shorter example would take as long again
        ),
    )
    assert Consensus.done >= USUAL  # random as it is, it gets so far


USUAL = {
    *("openRound", "propose", "settle", "voidRound", "commit", "join", "leave", "addBond", "withdrawBond", "fund"),
    *("withdraw", "commitProof", "refute", "executeVerdict", "requestLeaf", "answerLeaf", "voidWithheld", "execute"),
}
