"""Two implementations that share no code, the verifier's and the protocol's, make the same model of any aggregate."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.fixedpoint import model_step
from verifier.replay import step


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
