"""The table of everything that an enclave can sign wrongly, field by field and rule by rule.

Each `Lie` changes one thing that the result of `tests/support/drafts.py`'s usual round commits to, and names the
predicate that must show it.  Where something that follows from it is left as it was, other predicates show that too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from protocol import trees
from protocol.fixedpoint import Int16, Int32, model_step
from protocol.hashing import sha256
from protocol.keys import ORDER, sign
from protocol.messages import Unavailable
from protocol.openings import Tree
from protocol.outcomes import Outcome, Reason, Status, parse_outcome, slots_of
from protocol.rulebook import RULE_NAMES, Rule
from protocol.trees import SetLeaf
from scripts.changes import (
    FIELDS,
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
from tests.support.drafts import (
    ABSENT,
    COMMITTED,
    DIMENSION,
    REFUSED,
    RULES,
    SELECTING,
    UNDELIVERED,
    WEIGHT_CAP,
    Draft,
    Rows,
    usual,
)
from verifier.replay import combine, contributions


@dataclass(frozen=True, kw_only=True)
class Lie:
    """One thing that is not as it has to be, and what must show it."""

    name: str
    function: str
    """Of a predicate contract."""
    predicate: int
    """n of Fn."""
    tell: Callable[[Draft], None] = lambda draft: None
    """Changes what is committed to."""
    prepare: Callable[[Rows], None] | None = None
    """Changes which rows are counted, before anything is computed from them."""
    rules: tuple[str, ...] = RULES
    """For which rules it can be told."""
    hidden: Tree | None = None
    """The tree that can't be rebuilt from vectors, so that somebody has to be asked for leaves; None where they do."""

    def draft(self, rule: str) -> Draft:
        """The usual round with this lie in it."""
        draft = usual(rule, self.prepare)
        self.tell(draft)
        return draft


LIES: list[Lie] = []


def lie(
    function: str,
    predicate: int,
    name: str,
    tell: Callable[[Draft], None] = lambda draft: None,
    **rest: Any,
) -> None:
    """Adds a line to the table."""
    LIES.append(Lie(name=name, function=function, predicate=predicate, tell=tell, **rest))


# F7 and F3: set leaves


def _other_s(leaf: bytes) -> bytes:
    r, s, v = leaf[36:68], int.from_bytes(leaf[68:100]), leaf[100]
    return leaf[:36] + r + (ORDER - s).to_bytes(32) + bytes([55 - v])


def _signed_by_another(draft: Draft) -> None:
    signature = sign(draft.keys[1], draft.update(0).digest(draft.domain))
    draft.set_leaves[0] = draft.set_leaves[0][:36] + signature


def _signed_elsewhere(**changes: Any) -> Callable[[Draft], None]:
    """An update that says something else of where it belongs; the leaf has its root and samples only."""

    def tell(draft: Draft) -> None:
        update = replace(draft.update(0), **changes)
        draft.set_leaves[0] = draft.set_leaves[0][:36] + sign(draft.keys[0], update.digest(draft.domain))

    return tell


def _signed_under(**changes: Any) -> Callable[[Draft], None]:
    """The update itself, under another domain."""

    def tell(draft: Draft) -> None:
        digest = draft.update(0).digest(replace(draft.domain, **changes))
        draft.set_leaves[0] = draft.set_leaves[0][:36] + sign(draft.keys[0], digest)

    return tell


def _signed_as_a_complaint(draft: Draft) -> None:
    """What a participant that is a member may have signed of this round for another purpose."""
    spec = draft.spec
    other = Unavailable(federation=spec.federation, round_id=spec.round_id, result=spec.hash_struct())
    draft.set_leaves[0] = draft.set_leaves[0][:36] + sign(draft.keys[0], other.digest(draft.domain))


def _counts_who_is_absent(draft: Draft) -> None:
    draft.counted |= 1 << ABSENT
    if draft.spec.rule != RULE_NAMES["krum"]:  # as many are selected as the ledger wants
        draft.selected |= 1 << ABSENT
    draft.outcomes[ABSENT] = Outcome(status=Status.COUNTED).word()


def _forgets_who_is_counted(draft: Draft) -> None:
    slot = draft.others[0] if draft.spec.rule == RULE_NAMES["krum"] else slots_of(draft.selected)[0]
    draft.counted &= ~(1 << slot)
    draft.selected &= ~(1 << slot)
    draft.outcomes[slot] = Outcome(status=Status.ABSENT).word()


lie("signatureWrong", 7, "update root in a set leaf", set_leaf(0, lambda leaf: add(leaf, 0, 1, 1)))
lie("signatureWrong", 7, "samples in a set leaf", set_leaf(0, lambda leaf: add(leaf, 32, 4, 1, order="big")))
lie("signatureWrong", 7, "r of a signature", set_leaf(8, lambda leaf: add(leaf, 60, 1, 1)))
lie("signatureWrong", 7, "a signature with the other s", set_leaf(0, _other_s))
lie("signatureWrong", 7, "v of a signature", set_leaf(0, lambda leaf: leaf[:100] + bytes([leaf[100] - 27])))
lie("signatureWrong", 7, "a signature of zeros", set_leaf(0, lambda leaf: leaf[:36] + bytes(65)))
lie("signatureWrong", 7, "somebody else's signature", _signed_by_another)
lie("signatureWrong", 7, "a signature for another spec", _signed_elsewhere(spec=sha256(b"another spec")))
for _name, _changes in (
    ("federation", {"federation": sha256(b"another federation")}),
    ("round", {"round_id": 8}),
    ("enclave", {"enclave": sha256(b"another enclave")}),
    ("participant", {"participant": b"somebody else".rjust(20)}),
):
    lie("signatureWrong", 7, f"a signature for another {_name}", _signed_elsewhere(**_changes))
lie("signatureWrong", 7, "a signature for another chain", _signed_under(chain_id=1))
lie("signatureWrong", 7, "a signature for another ledger", _signed_under(ledger=b"another ledger".rjust(20)))
lie("signatureWrong", 7, "a signature of another message", _signed_as_a_complaint)
lie("setLeafDiffers", 7, "a counted leaf too short", set_leaf(0, lambda leaf: leaf[:-1]))
lie("setLeafDiffers", 7, "a counted leaf too long", set_leaf(0, lambda leaf: leaf + b"\0"))
lie("setLeafDiffers", 7, "an empty leaf", set_leaf(0, lambda leaf: b""))
lie("setLeafDiffers", 7, "a counted slot's leaf says absent", set_leaf(0, lambda leaf: bytes(33)))
lie("setLeafDiffers", 7, "an absent slot's leaf says refused", set_leaf(ABSENT, lambda leaf: bytes(32) + b"\2"))
lie("setLeafDiffers", 7, "a leaf with another reason", set_leaf(REFUSED, lambda leaf: bytes(32) + b"\6"))
lie("setLeafDiffers", 7, "a leaf with a reason that there is not", set_leaf(REFUSED, lambda leaf: bytes(32) + b"\x0a"))
lie(
    "setLeafDiffers", 7, "a leaf with something before the reason", set_leaf(REFUSED, lambda leaf: put(leaf, 31, b"\1"))
)
lie("setLeafDiffers", 7, "a refused leaf too long", set_leaf(REFUSED, lambda leaf: leaf + b"\0"))
lie("setLeafDiffers", 7, "an outcome with another reason", lambda d: d.outcome(REFUSED, reason=Reason.NORM))
lie(
    "setLeafDiffers",
    7,
    "an absent slot's leaf holds an update",
    lambda d: d.set_leaves.__setitem__(ABSENT, d.set_leaves[0]),
)
lie("setLeafDiffers", 7, "an absent slot is counted", _counts_who_is_absent)
lie("setLeafDiffers", 7, "a counted slot is forgotten", _forgets_who_is_counted)
lie("setLeafDiffers", 7, "no samples where they weigh", lambda d: d.resign(0, samples=0), rules=("weighted-mean",))


def _unopened_without(draft: Draft) -> None:
    del draft.commitments[UNDELIVERED]
    draft.set_leaves[UNDELIVERED] = SetLeaf(reason=Reason.UNOPENED).encode()
    draft.outcome(UNDELIVERED, reason=Reason.UNOPENED)


lie("commitmentBroken", 3, "another update than the committed one", committed(COMMITTED, OTHER))
lie("commitmentBroken", 3, "a committed slot is absent", committed(ABSENT, OTHER))
lie("commitmentBroken", 3, "a committed slot is refused", committed(REFUSED, OTHER))
lie("commitmentBroken", 3, "undelivered without a commitment", committed(UNDELIVERED, None))
lie("commitmentBroken", 3, "not opened without a commitment", _unopened_without)


lie("receiptBroken", 3, "a receipt of an absent slot", promised(ABSENT))
lie("receiptBroken", 3, "a receipt of a refused slot", promised(REFUSED))
lie("receiptBroken", 3, "a receipt for another update", promised(0))
lie("twoReceipts", 8, "two receipts", two_receipts)
lie("twoResults", 8, "two results", two_results)


# F7: rows


def _hold(at: int) -> Callable[[Rows], None]:
    def prepare(rows: Rows) -> None:
        rows[0] = rows[0].copy()
        rows[0][at] = -32768

    return prepare


def _shout(value: int) -> Callable[[Rows], None]:
    def prepare(rows: Rows) -> None:
        rows[0] = np.full(len(rows[0]), value, dtype=np.int16)

    return prepare


lie("rowMalformed", 7, "-32768 at the start of a row", prepare=_hold(0))
lie("rowMalformed", 7, "-32768 at the end of a row", prepare=_hold(DIMENSION - 1))
lie(
    "rowMalformed",
    7,
    "a row's padding",
    row_leaf(-1, lambda leaf: put(leaf, 2 * (DIMENSION % 256), b"\1")),
    hidden=Tree.ROW,
)
lie("rowMalformed", 7, "a row's last padding", row_leaf(-1, lambda leaf: put(leaf, 510, b"\0\x80")), hidden=Tree.ROW)
lie("rowMalformed", 7, "a row's leaf too short", row_leaf(3, lambda leaf: leaf[:-2]), hidden=Tree.ROW)
lie("rowMalformed", 7, "a row's leaf too long", row_leaf(17, lambda leaf: leaf + bytes(2)), hidden=Tree.ROW)
lie("rowOverBound", 7, "a norm over the bound in one chunk", prepare=_shout(5000))
lie("rowOverBound", 7, "a norm over the bound in all chunks together", prepare=_shout(4095))
lie("normOverBound", 7, "a norm over the bound in the Gram matrix", prepare=_shout(4095), rules=SELECTING)


# F1, F2 and F4: the column tree

LEAVES = -(-DIMENSION // 16)
PAST = DIMENSION % 16  # the first lane past the dimension in the last leaf


def _totals_and_outcome(name: str) -> Callable[[Draft], None]:
    def tell(draft: Draft) -> None:
        totals(100, LEAVES - 1, name, 3)(draft)
        slot = draft.slots[1]
        draft.outcome(slot, **{name: getattr(parse_outcome(draft.outcomes[slot]), name) + 3})

    return tell


for _at, _where in ((0, "first"), (130, "middle"), (LEAVES - 1, "last")):
    lie("columnDiffers", 1, f"a column in the {_where} leaf", columns(_at, 5), hidden=Tree.COLUMN)
    lie("aggregateDiffers", 2, f"the aggregate in the {_where} leaf, up", aggregate(_at, 3))
    lie("aggregateDiffers", 2, f"the aggregate in the {_where} leaf, down", aggregate(_at, 0, -1))
    for _name in FIELDS:
        lie(
            "totalDiffers",
            4,
            f"{_name} from the {_where} leaf on",
            totals(_at, LEAVES - 1, _name, 1),
            hidden=Tree.COLUMN,
        )
        lie("totalDiffers", 4, f"{_name} in the {_where} leaf alone", totals(_at, _at, _name, -1), hidden=Tree.COLUMN)
for _name in FIELDS:
    lie(
        "totalDiffers", 4, f"{_name} from a leaf on, and in the outcome", _totals_and_outcome(_name), hidden=Tree.COLUMN
    )
lie("columnDiffers", 1, "the columns' padding", columns(LEAVES - 1, PAST), hidden=Tree.COLUMN)
lie("columnDiffers", 1, "the columns' last padding", columns(LEAVES - 1, 15, -1), hidden=Tree.COLUMN)
lie("aggregateDiffers", 2, "the aggregate's padding", aggregate(LEAVES - 1, PAST), hidden=Tree.COLUMN)
lie("aggregateDiffers", 2, "the aggregate's last padding", aggregate(LEAVES - 1, 15, -7), hidden=Tree.COLUMN)
lie("columnMalformed", 7, "a column leaf too short", column_leaf(7, lambda leaf: leaf[:-4]), hidden=Tree.COLUMN)
lie("columnMalformed", 7, "a column leaf too long", column_leaf(0, lambda leaf: leaf + bytes(4)), hidden=Tree.COLUMN)
lie("columnMalformed", 7, "an empty column leaf", column_leaf(LEAVES - 1, lambda leaf: b""), hidden=Tree.COLUMN)
lie(
    "preimageMalformed",
    7,
    "columns too short",
    lambda d: d.column(9, columns=d.columns[9].columns[:-2]),
    hidden=Tree.COLUMN,
)
lie(
    "preimageMalformed",
    7,
    "columns too long",
    lambda d: d.column(9, columns=d.columns[9].columns + bytes(32)),
    hidden=Tree.COLUMN,
)
lie(
    "preimageMalformed",
    7,
    "totals too short",
    lambda d: d.column(9, totals=d.columns[9].totals[:-1]),
    hidden=Tree.COLUMN,
)
lie(
    "preimageMalformed",
    7,
    "totals too long",
    lambda d: d.column(LEAVES - 1, totals=d.columns[-1].totals + bytes(20)),
    hidden=Tree.COLUMN,
)


# F4 and F5: outcomes


def _flips(draft: Draft) -> None:
    slot = draft.slots[1]
    draft.outcome(slot, alignment=-parse_outcome(draft.outcomes[slot]).alignment)


def _swaps(draft: Draft) -> None:
    a, b = draft.slots[0], draft.slots[1]
    draft.outcomes[a], draft.outcomes[b] = draft.outcomes[b], draft.outcomes[a]


def _weighs_too_much(draft: Draft) -> None:
    draft.resign(0, samples=2 * WEIGHT_CAP)
    draft.outcome(0, weight=2 * WEIGHT_CAP)


for _name in FIELDS:
    lie("outcomeDiffers", 4, f"{_name} in an outcome", outcome(_name, 1))
lie("outcomeDiffers", 4, "who is flagged", _flips)
lie("outcomeDiffers", 4, "two outcomes in the other order", _swaps)
lie("weightDiffers", 5, "a weight", outcome("weight", 1))
lie("weightDiffers", 5, "a weight that is not capped", _weighs_too_much, rules=("weighted-mean",))


# F4, F5 and F7: the Gram tree


BOTH = [(1, 4), (4, 1)]

for _chunks, _where in (((0, 1), "from the first chunk on"), ((0,), "in the first chunk"), ((1,), "in the last chunk")):
    lie("productDiffers", 4, f"an inner product {_where}", gram(_chunks, BOTH, 1), rules=SELECTING, hidden=Tree.GRAM)
    lie("productDiffers", 4, f"a squared norm {_where}", gram(_chunks, [(2, 2)], -1), rules=SELECTING, hidden=Tree.GRAM)
    lie("productsDiffer", 5, f"one of a pair {_where}", gram(_chunks, [(0, 3)], 1), rules=SELECTING, hidden=Tree.GRAM)
lie(
    "normsDiffer",
    5,
    "a squared norm that the outcomes contradict",
    gram((0, 1), [(0, 0)], 2),
    rules=SELECTING,
    hidden=Tree.GRAM,
)
lie(
    "gramMalformed",
    7,
    "a Gram leaf too short",
    gram_leaf(0, lambda leaf: leaf[:-8]),
    rules=SELECTING,
    hidden=Tree.GRAM,
)
lie(
    "gramMalformed",
    7,
    "a Gram leaf too long",
    gram_leaf(-1, lambda leaf: leaf + bytes(8)),
    rules=SELECTING,
    hidden=Tree.GRAM,
)
lie("selectionDiffers", 5, "who is selected", select_another, rules=SELECTING)


# F6 and F7: the new model


for _at, _where in ((0, "first"), (3000, "middle"), (DIMENSION - 1, "last")):
    lie("modelDiffers", 6, f"the {_where} coordinate of the new model", model(_at, 1))
lie("modelDiffers", 6, "the base model stands", lambda d: setattr(d, "model", list(d.base)))
lie("modelPaddingDiffers", 6, "the new model's padding", model(DIMENSION, 1), hidden=Tree.MODEL)
lie("modelPaddingDiffers", 6, "the new model's last padding", model(18 * 256 - 1, -1), hidden=Tree.MODEL)
lie("modelMalformed", 7, "a model leaf too short", model_leaf(2, lambda leaf: leaf[:-4]), hidden=Tree.MODEL)
lie("modelMalformed", 7, "a model leaf too long", model_leaf(17, lambda leaf: leaf + bytes(4)), hidden=Tree.MODEL)


# What is computed with everything that follows from it: somebody who lies and keeps everything else in order.


def _matrix(draft: Draft) -> Int16:
    """(k, d) the counted rows."""
    d = draft.spec.dimension
    return np.stack([np.frombuffer(b"".join(draft.rows[s]), "<i2")[:d] for s in draft.slots]).astype(np.int16)


def _retold(draft: Draft, found: Int32, selected: int) -> None:
    """Another aggregate or selection, with totals, outcomes and model as they follow from it."""
    spec, slots, matrix = draft.spec, draft.slots, _matrix(draft)
    places = [place for place, slot in enumerate(slots) if selected >> slot & 1]
    each = contributions(Rule(spec.rule), matrix, found, f=spec.f, selected=places)
    sums = trees.Totals(
        kept=each.kept.cumsum(axis=0).astype(np.uint32),
        deviation=each.deviation.cumsum(axis=0).astype(np.uint64),
        alignment=each.alignment.cumsum(axis=0),
    )
    draft.columns, draft.selected = trees.column_data(matrix, found, sums), selected
    for place, slot in enumerate(slots):
        last = {name: int(getattr(sums, name)[-1, place]) for name in FIELDS}
        draft.outcome(slot, **last)
    base = np.frombuffer(b"".join(draft.base), "<i4")[: spec.dimension].astype(np.int32)
    step = {"learning_rate": spec.learning_rate, "decay": spec.decay, "exponent": spec.exponent}
    draft.model = trees.model_leaves(model_step(base, found, **step, model_exponent=draft.model_exponent))


def _moves_the_aggregate(draft: Draft) -> None:
    data = b"".join(leaf.data[64:] for leaf in draft.columns)
    found = np.frombuffer(data, "<i4")[: draft.spec.dimension].astype(np.int32)
    found[2000:2010] += 1 << 15
    _retold(draft, found, draft.selected)


def _aggregates(rule: Rule, f: int) -> Callable[[Draft], None]:
    """As another rule would."""

    def tell(draft: Draft) -> None:
        matrix, weights = _matrix(draft), [10 + slot for slot in draft.slots]
        selected = range(len(matrix))
        found = combine(rule, matrix, f=f, selected=selected, weights=weights)
        _retold(draft, found.astype(np.int32), draft.selected)

    return tell


def _weighs_by_all_samples(draft: Draft) -> None:
    draft.resign(0, samples=3 * WEIGHT_CAP)
    weights = [draft.update(slot).samples for slot in draft.slots]
    for slot, weight in zip(draft.slots, weights, strict=True):
        draft.outcome(slot, weight=weight)
    found = combine(Rule.WEIGHTED_MEAN, _matrix(draft), f=0, selected=(), weights=weights)
    _retold(draft, found.astype(np.int32), draft.selected)


def _favours(draft: Draft) -> None:
    """Somebody whom the rule did not select is, in place of the last who was."""
    selected = draft.selected ^ (1 << slots_of(draft.selected)[-1] | 1 << draft.others[0])
    places = [draft.slots.index(slot) for slot in slots_of(selected)]
    found = combine(Rule.MEAN, _matrix(draft)[places], f=0, selected=range(len(places)), weights=())
    _retold(draft, found.astype(np.int32), selected)


def _ties(rows: Rows) -> None:
    """Two of the best slots have the same row, and two of the worst: of each pair the lower one is selected first."""
    rows[4], rows[1] = rows[3], rows[0]


def _favours_the_higher(draft: Draft) -> None:
    draft.selected = 1 << 4 if draft.spec.rule == RULE_NAMES["krum"] else draft.selected ^ 0b11


lie("aggregateDiffers", 2, "another aggregate and all that follows", _moves_the_aggregate)
lie("aggregateDiffers", 2, "the mean of all", _aggregates(Rule.MEAN, 0), rules=tuple(r for r in RULES if r != "mean"))
lie("aggregateDiffers", 2, "a median", _aggregates(Rule.MEDIAN, 0), rules=tuple(r for r in RULES if r != "median"))
lie("aggregateDiffers", 2, "one more trimmed", _aggregates(Rule.TRIMMED_MEAN, 2), rules=("trimmed-mean",))
lie(
    "aggregateDiffers",
    2,
    "samples that weigh",
    _aggregates(Rule.WEIGHTED_MEAN, 0),
    rules=tuple(r for r in RULES if r != "weighted-mean"),
)
lie("weightDiffers", 5, "samples without a cap and all that follows", _weighs_by_all_samples, rules=("weighted-mean",))
lie("selectionDiffers", 5, "another selection and all that follows", _favours, rules=SELECTING)
lie("selectionDiffers", 5, "the higher slot of a tie", _favours_the_higher, prepare=_ties, rules=SELECTING)
