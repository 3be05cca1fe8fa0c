"""Gas of refuting, of what follows, and of asking for leaves: real rounds with one thing wrong, on a ledger.

Responsible for: one wrong thing for each predicate function, and the transactions around it.
Must not know:   how a predicate looks, or what is a lot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from changes import (
    OTHER,
    add,
    aggregate,
    column_leaf,
    columns,
    committed,
    gram,
    gram_leaf,
    model,
    model_leaf,
    outcome,
    promised,
    put,
    row_leaf,
    select_another,
    set_leaf,
    totals,
    two_receipts,
    two_results,
)
from drafts import MODEL_EXPONENT, Draft, Rows, honest, some_rows
from ledger_world import ETHER, LedgerWorld, Round, default_terms
from protocol import keys, trees
from protocol.disputes import Verdict, proof_commitment
from protocol.fixedpoint import Int32
from protocol.hashing import sha256
from protocol.keys import sign
from protocol.messages import Unavailable
from protocol.openings import Openings, Tree
from protocol.rulebook import RULE_NAMES, encode_chain
from protocol.terms import Terms
from protocol.trees import ROW_LEAF, SetLeaf
from verifier.refutation.search import search
from verifier.refutation.statement import Statement

DIMENSION = 6090
"""The demo's model: 381 leaves of the column tree, 24 of a row, two chunks of the Gram tree."""
NORM_BOUND = 1 << 36
LOUD = 5000
"""Every coordinate of a row that is over the bound."""
COLUMN = 130
"""The leaf of the column tree that is wrong."""
CLAIM_S = 3600
"""Seconds that older pre-commitments have."""
WINDOW_S = 60
"""Of a challenge."""
SALT = sha256(b"salt")
PLAIN, SELECTING = "trimmed-mean", "multi-krum"
SHOWN = "F2 aggregateDiffers, trimmed-mean"
"""The proof with which the rest of a dispute is measured."""

Line = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """One thing that is wrong with a round."""

    name: str
    """Predicate, function, rule."""
    tell: Callable[[Draft], object] = lambda draft: None
    """Makes it wrong."""
    is_loud: bool = False
    """Whether a row over the bound is counted."""

    @property
    def function(self) -> str:
        """What shows it."""
        return self.name.split()[1].rstrip(",")

    @property
    def rule(self) -> str:
        """In whose round."""
        return self.name.split(", ")[1]


def world_of(rpc: str, n: int) -> LedgerWorld:
    """A federation of so many participants whose first base model is a real one."""
    f = (n - 3) // 2  # as many liars as Krum allows: values that a trimmed mean drops cost more than those it keeps
    terms = default_terms(dimension=DIMENSION, f=f, norm_bound=NORM_BOUND)
    return LedgerWorld(rpc, f"gas {n}", participants=n, terms=terms, genesis=trees.model_root(base_model()))


def base_model() -> Int32:
    """(d,) of the first round."""
    return (np.arange(DIMENSION) * 977 - 10**6).astype(np.int32)


def measure(world: LedgerWorld) -> Iterator[Line]:
    """Every proof and what follows it; the world is as before at the end."""
    n = len(world.participants)
    for rule in RULE_NAMES:
        with world.undone():
            if rule != PLAIN:
                world.set_terms(_terms_of(world.terms, rule))
            round_ = world.open()
            drafts = {False: _draft(world, round_, is_loud=False)}
            for wrong in (item for item in WRONG if item.rule == rule):
                if wrong.is_loud not in drafts:
                    drafts[wrong.is_loud] = _draft(world, round_, is_loud=True)
                draft = drafts[wrong.is_loud].copy()
                wrong.tell(draft)
                with world.undone():
                    yield from _refuted(world, round_, draft, wrong, n)
            for tree in _asked(rule):
                with world.undone():
                    yield from _answered(world, round_, drafts[False], tree, n)


def measure_once(world: LedgerWorld) -> Iterator[Line]:
    """What costs the same for any number of slots, or nearly."""
    with world.undone():
        round_ = world.open()
        draft = _draft(world, round_, is_loud=False)
        _propose(world, round_, draft)
        complaint = Unavailable(
            federation=world.federation, round_id=draft.spec.round_id, result=draft.result().hash_struct()
        )
        signatures = signed_by(world, complaint.digest(world.domain), 2)
        with world.undone():
            gas = world.send("Consortium", "postUnavailable", complaint, signatures, sender=world.members[0])
            yield {"operation": "postUnavailable", "n": 1, "gas": gas}
        for digest in (OTHER, SALT):  # the first one of a federation finds slots that were never written
            world.send("Disputes", "commitProof", digest, sender=world.members[0])
        yield {"operation": "commitProof", "n": 1, "gas": world.gas["commitProof"]}
        for member in world.members[:2]:
            _request(world, draft, Tree.COLUMN, member)
        yield {"operation": "requestLeaf", "n": 1, "gas": world.gas["requestLeaf"]}
        world.move_to(draft.spec.deadlines[4] + WINDOW_S + 1)
        gas = world.send("Disputes", "voidWithheld", draft.spec.round_id, world.members[0], sender=world.members[1])
        yield {"operation": "voidWithheld", "n": 1, "gas": gas}


def signed_by(world: LedgerWorld, digest: bytes, members: int) -> bytes:
    """Signatures of so many members, by ascending signer."""
    ascending = sorted((world.key(f"member {i}") for i in range(members)), key=keys.address)
    return b"".join(sign(key, digest) for key in ascending)


def _terms_of(terms: Terms, rule: str) -> Terms:
    return replace(terms, rule=int(RULE_NAMES[rule]), chain=encode_chain(rule))


def _draft(world: LedgerWorld, round_: Round, *, is_loud: bool) -> Draft:
    """Everybody is counted."""
    by_address = {keys.address(key): key for key in (world.key(f"participant {i}") for i in range(len(round_.cohort)))}
    rows: Rows = some_rows(range(len(round_.cohort)), DIMENSION)
    if is_loud:
        rows[0] = np.full(DIMENSION, LOUD, dtype=np.int16)
    return honest(
        round_.spec,
        round_.cohort,
        {slot: by_address[participant] for slot, participant in enumerate(round_.cohort)},
        rows,
        base_model(),
        enclave_key=world.enclave_key,
        domain=world.domain,
        model_exponent=MODEL_EXPONENT,
    )


def _propose(world: LedgerWorld, round_: Round, draft: Draft) -> None:
    for slot, update in draft.commitments.items():
        world.move_to(world.now() + 1)
        world.send("RoundLedger", "commit", draft.spec.round_id, update, sender=draft.cohort[slot])
    one = draft.signed()
    world.propose(replace(round_, result=one.result, outcomes=b"".join(draft.outcomes), signature=one.signature))


def _refuted(world: LedgerWorld, round_: Round, draft: Draft, wrong: Wrong, n: int) -> Iterator[Line]:
    """With a pre-commitment, as people do it; of one proof also what follows."""
    _propose(world, round_, draft)
    statement = _statement(draft, wrong.function)
    proof = world.call_data(statement.family.contract, statement.function, *statement.arguments)
    earlier, prover = world.account("earlier"), world.account("prover")
    at = {who: _commit(world, who, proof) for who in (earlier, prover)}
    gas = world.send("Disputes", "refute", int(statement.family), proof, SALT, sender=prover)
    yield {"operation": f"refute {wrong.name}", "n": n, "gas": gas}
    if wrong.name != SHOWN:
        return
    verdict = Verdict(
        round_id=draft.spec.round_id,
        predicate=int(statement.predicate),
        result=draft.result().hash_struct(),
        coordinator=world.coordinator,
        prover=prover,
        committed_at=at[prover],
        decided_at=world.now(),
        slots=n,
        pot=100 * ETHER,
    )
    world.move_to(world.now() + 1)
    gas = world.send("Disputes", "claim", verdict, int(statement.family), proof, SALT, sender=earlier)
    yield {"operation": f"claim with {wrong.name}", "n": n, "gas": gas}
    verdict = replace(verdict, prover=earlier, committed_at=at[earlier])
    world.move_to(verdict.decided_at + CLAIM_S + 1)
    arguments = (verdict, draft.spec, draft.result(), list(draft.cohort), draft.set_leaves)
    gas = world.send("Disputes", "executeVerdict", *arguments, sender=prover)
    yield {"operation": "executeVerdict, all set leaves", "n": n, "gas": gas}


def _commit(world: LedgerWorld, prover: bytes, proof: bytes) -> int:
    """The block of the pre-commitment."""
    world.send("Disputes", "commitProof", proof_commitment(prover, proof, SALT), sender=prover)
    return int(str(world.ask("eth_blockNumber")), 16)


def _statement(draft: Draft, function: str) -> Statement:
    """What the verifier's search finds."""
    facts, openings = draft.facts(), Openings(draft.leaves(), counted=draft.counted)
    found = search(facts, openings, receipts=draft.receipts, results=draft.results)
    return next(statement for statement in found if statement.function == function)


def _asked(rule: str) -> tuple[Tree, ...]:
    """The trees of which a leaf is asked for in a round of this rule."""
    if rule == PLAIN:
        return (Tree.ROW, Tree.SET, Tree.COLUMN, Tree.MODEL)
    return (Tree.GRAM,) if rule == SELECTING else ()


def _answered(world: LedgerWorld, round_: Round, draft: Draft, tree: Tree, n: int) -> Iterator[Line]:
    _propose(world, round_, draft)
    _request(world, draft, tree, world.members[0])
    answer = Openings(draft.leaves(), counted=draft.counted).answer(tree, slot=1, index=3)
    world.move_to(world.now() + 1)
    arguments = (draft.spec, draft.result(), world.members[0], answer)
    gas = world.send("Disputes", "answerLeaf", *arguments, sender=world.coordinator)
    yield {"operation": f"answerLeaf, {tree.name.lower()}", "n": n, "gas": gas}


def _request(world: LedgerWorld, draft: Draft, tree: Tree, member: bytes) -> None:
    world.move_to(world.now() + 1)
    arguments = (draft.spec, draft.result(), int(tree), 1, 3)
    world.send("Disputes", "requestLeaf", *arguments, sender=member, value=ETHER // 100)


# -- what is wrong


def _absent(draft: Draft) -> None:
    """Somebody with a receipt is not in the set."""
    promised(0)(draft)
    set_leaf(0, lambda leaf: SetLeaf().encode())(draft)


WRONG = (
    Wrong(name=f"F1 columnDiffers, {PLAIN}", tell=columns(COLUMN, 0)),
    *(Wrong(name=f"F2 aggregateDiffers, {rule}", tell=aggregate(COLUMN, 0)) for rule in RULE_NAMES),
    Wrong(name=f"F3 receiptBroken, {PLAIN}", tell=_absent),
    Wrong(name=f"F3 commitmentBroken, {PLAIN}", tell=committed(0, OTHER)),
    Wrong(name=f"F4 totalDiffers, {PLAIN}", tell=totals(COLUMN, COLUMN, "kept", 1)),
    Wrong(name=f"F4 outcomeDiffers, {PLAIN}", tell=outcome("kept", 1)),
    Wrong(name=f"F4 productDiffers, {SELECTING}, first chunk (4096 coordinates)", tell=gram([0], [(1, 4)], 1)),
    Wrong(name=f"F4 productDiffers, {SELECTING}, second chunk (1994 coordinates)", tell=gram([1], [(1, 4)], 1)),
    Wrong(name=f"F5 weightDiffers, {PLAIN}", tell=outcome("weight", 1)),
    Wrong(name=f"F5 selectionDiffers, {SELECTING}", tell=select_another),
    Wrong(name=f"F5 normsDiffer, {SELECTING}", tell=gram([1], [(1, 1)], 1)),
    Wrong(name=f"F5 productsDiffer, {SELECTING}", tell=gram([1], [(1, 4)], 1)),
    Wrong(name=f"F6 modelDiffers, {PLAIN}", tell=model(8 * ROW_LEAF, 1)),
    Wrong(name=f"F6 modelPaddingDiffers, {PLAIN}", tell=model(DIMENSION, 1)),
    Wrong(name=f"F7 signatureWrong, {PLAIN}", tell=set_leaf(0, lambda leaf: add(leaf, 32, 4, 1, order="big"))),
    Wrong(name=f"F7 setLeafDiffers, {PLAIN}", tell=set_leaf(0, lambda leaf: bytes(33))),
    Wrong(name=f"F7 rowMalformed, {PLAIN}", tell=row_leaf(-1, lambda leaf: put(leaf, 511, b"\1"))),
    Wrong(name=f"F7 rowOverBound, {PLAIN}", is_loud=True),
    Wrong(name=f"F7 normOverBound, {SELECTING}", is_loud=True),
    Wrong(name=f"F7 columnMalformed, {PLAIN}", tell=column_leaf(COLUMN, lambda leaf: leaf[4:])),
    Wrong(
        name=f"F7 preimageMalformed, {PLAIN}", tell=lambda d: d.column(COLUMN, columns=d.columns[COLUMN].columns[2:])
    ),
    Wrong(name=f"F7 modelMalformed, {PLAIN}", tell=model_leaf(8, lambda leaf: leaf[4:])),
    Wrong(name=f"F7 gramMalformed, {SELECTING}", tell=gram_leaf(1, lambda leaf: leaf[8:])),
    Wrong(name=f"F8 twoResults, {PLAIN}", tell=two_results),
    Wrong(name=f"F8 twoReceipts, {PLAIN}", tell=two_receipts),
)
"""In the order of docs/protocol.md 7.6."""
