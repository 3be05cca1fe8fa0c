"""In an honest round the search finds nothing, whatever its numbers; where any byte is another, it finds something."""

from __future__ import annotations

from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.keys import address
from protocol.messages import Domain
from protocol.outcomes import Reason, parse_outcome
from protocol.rulebook import RULE_NAMES, minimum_counted
from tests.support.drafts import Draft, honest, key_of, some_spec
from verifier.refutation.reconstruction import Published, reconstruct
from verifier.refutation.search import search
from verifier.refutation.statement import Statement

DIMENSIONS = st.integers(1, 300) | st.integers(4080, 4120) | st.just(8192 + 17)
PEOPLE = sorted((key_of(f"property {i}") for i in range(14)), key=address)


@st.composite
def rounds(draw: st.DrawFn, dimensions: st.SearchStrategy[int] = DIMENSIONS) -> Draft:
    rule, f = draw(st.sampled_from(sorted(RULE_NAMES))), draw(st.integers(0, 2))
    m = draw(st.integers(0, 3)) if rule == "multi-krum" else 0
    least = minimum_counted(RULE_NAMES[rule], f=f, m=m)
    k, d = draw(st.integers(least, least + 3)), draw(dimensions)
    others = draw(st.integers(0, 3))
    random = Random(draw(st.integers(0, 1 << 32)))
    slots = list(range(k + others))
    counted, rest = set(random.sample(slots, k)), {}
    for slot in slots:
        if slot not in counted:
            rest[slot] = random.choice([Reason.SIGNATURE, Reason.NORM, Reason.ROOT, None])
    numbers = np.random.default_rng(random.randrange(1 << 32))
    limit = draw(st.sampled_from([0, 2, 300, 32767]))  # ties, and sums as large as they get
    rows = {slot: numbers.integers(-limit, limit + 1, d).astype(np.int16) for slot in counted}
    base = numbers.integers(-(1 << 31), 1 << 31, d).astype(np.int32)
    keys = dict(enumerate(PEOPLE))
    cohort = tuple(address(keys[slot]) for slot in slots)
    spec = some_spec(rule, cohort, base, f=f, m=m, min_counted=1, norm_bound=0, decay=draw(st.integers(0, 1 << 24)))
    return honest(
        spec,
        cohort,
        keys,
        rows,
        base,
        enclave_key=key_of("enclave"),
        domain=Domain(chain_id=1, ledger=bytes(20)),
        samples={slot: random.randrange(1, 100) for slot in counted},
        refusals={slot: reason for slot, reason in rest.items() if reason is not None},
        committed=random.sample(sorted(counted), random.randrange(k)),
    )


def statements(draft: Draft) -> list[Statement]:
    openings, _ = reconstruct(draft.facts(), Published(rows={}), draft.leaves())
    return list(search(draft.facts(), openings))


@settings(max_examples=60, deadline=None)
@given(rounds())
def test_nothing_is_wrong_with_an_honest_round(draft: Draft) -> None:
    openings, missing = reconstruct(draft.facts(), draft.published())
    assert missing == ()
    receipts = [draft.receipt(slot, draft.update(slot).hash_struct()) for slot in draft.slots]
    assert list(search(draft.facts(), openings, receipts=receipts, results=[draft.signed()])) == []


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, Draft]:
    """A round with one byte of one leaf, or one number of one outcome, that is another."""
    draft = draw(rounds(st.integers(1, 300) | st.just(4100)))
    random = Random(draw(st.integers(0, 1 << 32)))

    def other(data: bytes) -> bytes:
        at = random.randrange(len(data))
        return data[:at] + bytes([data[at] ^ random.randrange(1, 256)]) + data[at + 1 :]

    what = draw(st.sampled_from(["set", "row", "columns", "totals", "aggregate", "gram", "model", "outcome"]))
    if what == "gram" and draft.gram is None:
        what = "columns"
    index, slot = random.randrange(len(draft.columns)), random.choice(draft.slots)
    if what == "set":
        at = random.randrange(len(draft.set_leaves))
        draft.set_leaves[at] = other(draft.set_leaves[at])
    elif what == "row":
        at = random.randrange(len(draft.rows[slot]))
        draft.rows[slot][at] = other(draft.rows[slot][at])
        draft.resign(slot)
    elif what in ("columns", "totals"):
        draft.column(index, **{what: other(getattr(draft.columns[index], what))})
    elif what == "aggregate":
        draft.column(index, tail=other(draft.columns[index].data[64:]))
    elif what == "gram" and draft.gram is not None:
        at = random.randrange(len(draft.gram))
        draft.gram[at] = other(draft.gram[at])
    elif what == "model":
        at = random.randrange(len(draft.model))
        draft.model[at] = other(draft.model[at])
    else:
        name = random.choice(["kept", "deviation", "alignment", "weight"])
        draft.outcome(slot, **{name: getattr(parse_outcome(draft.outcomes[slot]), name) + random.choice([1, 77])})
    return what, draft


@settings(max_examples=200, deadline=None)
@given(changes())
def test_whatever_byte_is_another_something_is_found(case: tuple[str, Draft]) -> None:
    what, draft = case
    assert statements(draft), what
