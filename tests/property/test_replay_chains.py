"""Two implementations that share no code, the verifier's and the enclave's, say the same of any chain and any rows."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from coordinator.enclave.rules import aggregate, totals
from protocol.rulebook import MIXING, RULE_PARAMETERS, STAGE_PARAMETERS, Chain, Step, parse_chain
from verifier.replay import replay

Int16 = NDArray[np.int16]

RADII = [1, 30, 1000, 32_767, 200_000, (1 << 31) - 1]
VALUES = {
    "ties": [-1, 0, 1],
    "a few": list(range(-9, 10)),
    "extremes": [-32_767, -32_766, 0, 32_767],
    "any": list(range(-32_767, 32_768)),
}


@dataclass(frozen=True, kw_only=True)
class Round:
    chain: Chain
    f: int
    m: int
    rows: Int16 = field(repr=False)
    weights: list[int]
    slots: list[int]
    seed: bytes
    centre: Int16 | None
    trusted: Int16 | None


@st.composite
def chains(draw: st.DrawFn, rule: str) -> Chain:
    """Any order of any stages that a rule may follow, and the rule."""
    stages_before = sorted(set(STAGE_PARAMETERS) - (MIXING if rule == "weighted-mean" else set()))
    names = draw(st.lists(st.sampled_from(stages_before), unique=True))
    numbers = {"clip": st.sampled_from(RADII), "bucketing": st.integers(2, 4)}
    stages = [Step(name, (draw(numbers[name]),) if name in numbers else ()) for name in names]
    more: tuple[int, ...] = ()
    if rule == "centred-clipping":
        more = (draw(st.sampled_from(RADII)), *draw(st.sampled_from([(), (1,), (2,), (64,)])))
    return Chain(tuple(stages), Step(rule, more))


@st.composite
def rounds(draw: st.DrawFn, rule: str) -> Round:
    """A few rows over the least that the chain needs: with ties, with duplicates, in one direction and against it."""
    chain, f = draw(chains(rule)), draw(st.integers(0, 3))
    m = draw(st.integers(0, 4)) if chain.rule.name == "multi-krum" else 0
    k, d = chain.minimum_counted(f=f, m=m) + draw(st.integers(0, 6)), draw(st.integers(1, 40))
    drawn = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    rows = drawn.choice(VALUES[draw(st.sampled_from(sorted(VALUES)))], size=(k, d))
    if draw(st.booleans()):  # half of the places repeat a row
        rows[drawn.integers(0, k, size=k // 2)] = rows[drawn.integers(0, k, size=k // 2)]
    if draw(st.booleans()):  # one direction, and a few against it
        rows = np.clip(rows // 64 + drawn.integers(-32_767, 32_768, size=d), -32_767, 32_767)
        rows[drawn.integers(0, k, size=f)] *= -1
    more = draw(st.sampled_from([rows[0], drawn.integers(-32_767, 32_768, size=d)])).astype(np.int16)
    is_centred = chain.rule.name == "centred-clipping" and draw(st.booleans())
    return Round(
        chain=chain,
        f=f,
        m=m,
        rows=rows.astype(np.int16),
        weights=drawn.integers(1, draw(st.sampled_from([2, 1000, 1 << 24])), size=k).tolist(),
        slots=sorted(drawn.choice(256, size=k, replace=False).tolist()),
        seed=drawn.bytes(32),
        centre=more if is_centred else None,
        trusted=more if chain.rule.name == "fltrust" else None,
    )


def check(case: Round) -> None:
    """Every output of both, whole."""
    given_weights = np.array(case.weights, dtype=np.int64) if case.chain.is_weighted else None
    theirs = aggregate(
        str(case.chain),
        case.rows,
        f=case.f,
        m=case.m,
        weights=given_weights,
        slots=case.slots,
        seed=case.seed,
        centre=case.centre,
        trusted=case.trusted,
    )
    sums = totals(case.rows, theirs)
    ours = replay(
        case.chain,
        case.rows,
        f=case.f,
        m=case.m,
        weights=case.weights,
        slots=case.slots,
        seed=case.seed,
        centre=case.centre,
        trusted=case.trusted,
    )
    assert ours.aggregate.tolist() == theirs.aggregate.tolist()
    assert list(ours.selected) == np.flatnonzero(theirs.selected).tolist()
    assert ours.kept.tolist() == sums.kept.tolist()
    assert ours.deviation.tolist() == sums.deviation.tolist()
    assert ours.alignment.tolist() == sums.alignment.tolist()


@pytest.mark.parametrize("rule", sorted(RULE_PARAMETERS))
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_replay_equals_the_engine(rule: str, data: st.DataObject) -> None:
    case = data.draw(rounds(rule))
    assert parse_chain(str(case.chain)) == case.chain
    check(case)
