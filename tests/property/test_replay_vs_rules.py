"""Two implementations that share no code, the verifier's and the enclave's, say the same of any rows."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.enclave.rules import RULES, aggregate, totals
from protocol.fixedpoint import model_step
from protocol.rulebook import RULE_NAMES, Rule, minimum_counted
from verifier.replay import replay, step

SMALL = st.integers(-3, 3)  # many ties
ANY = st.integers(-32767, 32767)


@st.composite
def rounds(draw: st.DrawFn) -> tuple[str, np.ndarray, int, int, list[int]]:
    name = draw(st.sampled_from(sorted(RULES)))
    f, m = draw(st.integers(0, 2)), draw(st.integers(0, 3))
    m = m if name == "multi-krum" else 0
    least = minimum_counted(RULE_NAMES[name], f=f, m=m)
    k, d = draw(st.integers(least, least + 4)), draw(st.integers(1, 40))
    values = draw(st.sampled_from([SMALL, ANY]))
    flat = draw(st.lists(values, min_size=k * d, max_size=k * d))
    weights = draw(st.lists(st.integers(1, (1 << 24) - 1), min_size=k, max_size=k))
    return name, np.array(flat, dtype=np.int16).reshape(k, d), f, m, weights


@settings(max_examples=150, deadline=None)
@given(rounds())
def test_replay_equals_the_rules(case: tuple[str, np.ndarray, int, int, list[int]]) -> None:
    name, rows, f, m, weights = case
    given_weights = np.array(weights, dtype=np.int64) if RULE_NAMES[name] is Rule.WEIGHTED_MEAN else None
    theirs = aggregate(name, rows, f=f, m=m, weights=given_weights)
    sums = totals(rows, theirs)
    ours = replay(RULE_NAMES[name], rows, f=f, m=m, weights=weights)
    assert ours.aggregate.tolist() == theirs.aggregate.tolist()
    assert list(ours.selected) == [i for i, selected in enumerate(theirs.selected) if selected]
    assert ours.kept.tolist() == sums.kept.tolist()
    assert ours.deviation.tolist() == sums.deviation.tolist()
    assert ours.alignment.tolist() == sums.alignment.tolist()


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(-(1 << 31), (1 << 31) - 1)] * 2), min_size=1, max_size=20),
    st.integers(0, (1 << 31) - 1),
    st.integers(0, 1 << 24),
    st.integers(-20, -8),
)
def test_step_equals_the_protocols(pairs: list[tuple[int, int]], rate: int, decay: int, exponent: int) -> None:
    base, change = (np.array(values, dtype=np.int32) for values in zip(*pairs, strict=True))
    theirs = model_step(base, change, learning_rate=rate, decay=decay, exponent=exponent, model_exponent=-24)
    ours = step(base, change, learning_rate=rate, decay=decay, exponent=exponent, model_exponent=-24)
    assert ours.tolist() == theirs.tolist()
