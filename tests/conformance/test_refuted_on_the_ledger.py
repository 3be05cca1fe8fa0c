"""Lies of the table on a ledger: proposed by an admitted coordinator, refuted by one transaction, and what that leaves.

Every predicate function is used once for each kind of rule; tests/conformance/test_refutations.py has the other pairs.
What can't be proposed at all is here too, and what nobody can open.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from coordinator import anvil
from protocol.disputes import Verdict
from protocol.hashing import sha256
from protocol.keys import address, sign
from protocol.messages import RoundResult, Spec
from protocol.openings import Openings, Tree
from protocol.outcomes import Reason
from scripts.drafts import Draft, honest, some_rows
from tests.support.disputed import HOUR_S, PROVER, ZERO, DisputedWorld
from tests.support.drafts import ABSENT, COHORT, COMMITTED, DIMENSION, NORM_BOUND, REFUSED, UNDELIVERED, WEIGHT_CAP
from tests.support.lies import LIES, Lie
from tests.support.world import BOND, MEASUREMENT, MODEL_EXPONENT, key_of, terms
from verifier.dispute.proofs import is_enclaves
from verifier.refutation.reconstruction import Published, reconstruct
from verifier.refutation.search import search
from verifier.refutation.statement import Statement

KINDS = ("weighted-mean", "trimmed-mean", "multi-krum")
"""One rule that takes a mean of everybody, one that drops values, one that selects."""
LIE_OF = {lie.function: lie for lie in reversed(LIES)}
"""The first lie of each predicate function."""
CASES = [
    pytest.param(rule, lie, id=f"{rule}: {name}") for rule in KINDS for name, lie in LIE_OF.items() if rule in lie.rules
]


class Court(DisputedWorld):
    """A federation of nine with a model of the table's size."""

    def _found(self) -> None:
        self.participants = sorted((key_of(f"participant {i}") for i in range(COHORT)), key=address)
        for key in self.participants:
            self.purse(key)
        self.model = (np.arange(DIMENSION) * 977 - 10**6).astype(np.int32)
        super()._found()

    def open_under(self, rule: str) -> None:
        """Opens a round of that rule, in which nothing was committed yet."""
        size = {"dimension": DIMENSION, "norm_bound": NORM_BOUND, "weight_cap": WEIGHT_CAP}
        self.set_terms(terms(rule, windows=(60, 60, 600, 600, 600), **size))
        self.opened: tuple[Spec, tuple[bytes, ...]] = self.open()

    def draft(self, lie: Lie | None = None) -> Draft:
        """The table's round as the open one, with that lie in it; what it says is committed is committed."""
        spec, cohort = self.opened
        rows = some_rows(set(range(COHORT)) - {ABSENT, REFUSED, UNDELIVERED}, DIMENSION)
        if lie is not None and lie.prepare is not None:
            lie.prepare(rows)
        draft = honest(
            spec,
            cohort,
            dict(enumerate(self.participants)),
            rows,
            self.model,
            enclave_key=self.enclave_key,
            domain=self.domain,
            model_exponent=MODEL_EXPONENT,
            refusals={REFUSED: Reason.RANGE, UNDELIVERED: Reason.UNDELIVERED},
            committed=(COMMITTED, UNDELIVERED),
        )
        if lie is not None:
            lie.tell(draft)
        for slot, update in draft.commitments.items():
            self.call(self.participants[slot], "RoundLedger", "commit", spec.round_id, update)
        return draft

    def propose(self, draft: Draft, result: RoundResult | None = None) -> None:
        """Signed by the round's enclave, by the round's coordinator, in time."""
        result = result or draft.result()
        signature = sign(self.enclave_key, result.digest(self.domain))
        self.move(draft.spec.deadlines[2] + 1)
        arguments = (draft.spec, result, b"".join(draft.outcomes), signature)
        self.call(self.coordinator, "RoundLedger", "propose", *arguments)

    def read(self, contract: str, function: str, *arguments: Any) -> list[Any]:
        """What a view returns."""
        data = self.contracts[contract].call_data(function, *arguments)
        answer = self.ask("eth_call", {"to": "0x" + self.at[contract].hex(), "data": "0x" + data.hex()}, "latest")
        return self.contracts[contract].returned(function, bytes.fromhex(answer[2:]))

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Whatever happens inside has not happened afterwards."""
        snapshot, before = self.ask("evm_snapshot"), (self.now, dict(self.nonces))
        yield
        self.ask("evm_revert", snapshot)
        self.now, self.nonces = before


@pytest.fixture(scope="module")
def courts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Court]]:
    """For each kind of rule a chain with an open round."""
    with anvil.start() as one, anvil.start() as two, anvil.start() as three:
        found = {}
        for rule, running in zip(KINDS, (one, two, three), strict=True):
            found[rule] = Court(running.rpc, tmp_path_factory.mktemp(rule))
            found[rule].open_under(rule)
        yield found


def statement_of(draft: Draft, function: str) -> Statement:
    """What the search finds with that function."""
    openings, _ = reconstruct(draft.facts(), Published(rows={}), draft.leaves())
    shown = search(draft.facts(), openings, receipts=draft.receipts, results=draft.results)
    return next(one for one in shown if one.function == function)


@pytest.mark.parametrize(("rule", "lie"), CASES)
def test_a_lie_is_refuted_in_one_transaction(rule: str, lie: Lie, courts: dict[str, Court]) -> None:
    court = courts[rule]
    with court.undone():
        draft = court.draft(lie)
        court.propose(draft)
        statement = statement_of(draft, lie.function)
        proof = court.contracts[statement.family.contract].call_data(statement.function, *statement.arguments)

        verdict = court.refute(statement.family, proof)

        assert verdict == Verdict(
            round_id=draft.spec.round_id,
            predicate=lie.predicate,
            result=draft.result().hash_struct(),
            coordinator=address(court.coordinator),
            prover=address(PROVER),
            committed_at=int(court.ask("eth_blockNumber"), 16),
            decided_at=int(court.ask("eth_getBlockByNumber", "latest", False)["timestamp"], 16),
            slots=COHORT,
            pot=BOND,
        )
        assert court.read("RoundLedger", "verdictOf", address(court.coordinator)) == [verdict.tag()]
        assert court.read("RoundLedger", "stateOf", draft.spec.round_id) == [4]
        assert court.read("RoundLedger", "resultOf", draft.spec.round_id) == [ZERO]
        assert court.read("Consortium", "isMeasurementAllowed", MEASUREMENT) == [not is_enclaves(statement)]


def test_every_function_is_used() -> None:
    used = {lie.function for rule in KINDS for lie in LIE_OF.values() if rule in lie.rules}
    assert used == {lie.function for lie in LIES}


@pytest.mark.parametrize("rule", KINDS)
def test_an_honest_round_goes_the_whole_way(rule: str, courts: dict[str, Court]) -> None:
    court = courts[rule]
    with court.undone():
        draft = court.draft()
        court.propose(draft)
        court.move(draft.spec.deadlines[4] + 1)
        arguments = (draft.spec, draft.result(), b"".join(draft.outcomes), list(draft.cohort))
        court.call(court.members[0], "RoundLedger", "settle", *arguments)
        assert court.read("RoundLedger", "stateOf", draft.spec.round_id) == [3]


UNPROPOSABLE = {
    "federation": "WrongFederation",
    "round_id": "WrongRound",
    "spec": "WrongSpec",
    "previous": "WrongPrevious",
    "outcomes": "WrongOutcomes",
    "state": "WrongStateRoot",
    "enclave": "WrongEnclave",
}
"""Fields that the ledger compares itself: a result with another value there is not even proposed."""
ROOTS = {"set_root": Tree.SET, "column_root": Tree.COLUMN, "gram_root": Tree.GRAM, "new_model": Tree.MODEL}
"""Fields that lead to leaves: where nobody has them, a member asks."""
BITMAPS = {"counted", "selected"}
"""Fields that the ledger compares with the words, and lies of the table change along with these."""


@pytest.mark.parametrize("rule", KINDS)
@pytest.mark.parametrize("field", UNPROPOSABLE)
def test_what_the_ledger_knows_is_not_proposed_otherwise(rule: str, field: str, courts: dict[str, Court]) -> None:
    court = courts[rule]
    with court.undone():
        draft = court.draft()
        value: Any = 99 if field == "round_id" else sha256(b"another ", field.encode())
        with pytest.raises(AssertionError, match=f"reverted: {UNPROPOSABLE[field]}"):
            court.propose(draft, replace(draft.result(), **{field: value}))


@pytest.mark.parametrize("rule", KINDS)
@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda result: {"counted": result.counted & ~1, "selected": result.selected & ~1}, "WrongOutcome"),
        (lambda result: {"counted": result.counted | 1 << COHORT}, "WrongBitmap"),
        (lambda result: {"selected": result.selected | 1 << ABSENT}, "WrongBitmap"),
        (lambda result: {"selected": result.selected & (result.selected - 1)}, "WrongBitmap|WrongSelected"),
        (lambda result: {"column_root": ZERO}, "WrongColumnRoot"),
        (lambda result: {"gram_root": bytes(31) + bytes([not any(result.gram_root)])}, "WrongGramRoot"),
        (lambda result: {"new_model": ZERO}, "WrongNewModel"),
    ],
)
def test_bitmaps_and_absent_roots_that_contradict_the_words_are_not_proposed(
    rule: str, change: Any, error: str, courts: dict[str, Court]
) -> None:
    court = courts[rule]
    with court.undone():
        draft = court.draft()
        with pytest.raises(AssertionError, match=f"reverted: ({error}) "):
            court.propose(draft, replace(draft.result(), **change(draft.result())))


@pytest.mark.parametrize(
    ("rule", "field"), [(rule, field) for rule in KINDS for field in ROOTS if rule == KINDS[-1] or field != "gram_root"]
)
def test_a_root_of_leaves_that_nobody_has_does_not_settle(rule: str, field: str, courts: dict[str, Court]) -> None:
    court = courts[rule]
    with court.undone():
        draft = court.draft()
        result = replace(draft.result(), **{field: sha256(b"a root of nothing")})
        court.propose(draft, result)
        asked = (draft.spec, result, int(ROOTS[field]), 0, 0)
        court.call(court.members[0], "Disputes", "requestLeaf", *asked, value=BOND // 100)
        other = Openings(draft.leaves(), counted=draft.counted).answer(ROOTS[field], slot=0, index=0)
        answer = (draft.spec, result, address(court.members[0]), other)
        with pytest.raises(AssertionError, match="reverted: WrongRoot"):
            court.call(court.coordinator, "Disputes", "answerLeaf", *answer)
        court.nonces[address(court.coordinator)] += 1  # it was mined
        court.move(court.now + HOUR_S)
        settle = (draft.spec, result, b"".join(draft.outcomes), list(draft.cohort))
        with pytest.raises(AssertionError, match="reverted: RequestsOpen"):
            court.call(court.members[1], "RoundLedger", "settle", *settle)

        court.call(court.members[2], "Disputes", "voidWithheld", draft.spec.round_id, address(court.members[0]))

        assert court.read("RoundLedger", "stateOf", draft.spec.round_id) == [4]
        assert court.read("RoundLedger", "bondOf", address(court.coordinator)) == [BOND - BOND // 10]


def test_every_field_of_a_result_is_one_of_these() -> None:
    assert {field.name for field in fields(RoundResult)} == {*UNPROPOSABLE, *ROOTS, *BITMAPS}
