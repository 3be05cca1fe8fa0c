"""The example of docs/rules.md is what engine and reference get."""

from __future__ import annotations

import numpy as np
import pytest

from coordinator.enclave.rules import aggregate, totals
from protocol.rulebook import parse_chain
from verifier.replay import replay

CHAIN = "clip:9+bucketing:2+median"
ROWS = np.array([[6], [-9], [2], [40]], dtype=np.int16)


@pytest.mark.parametrize("is_engine", [True, False], ids=["engine", "reference"])
def test_the_example_comes_out_as_the_page_says(is_engine: bool) -> None:
    if is_engine:
        found = aggregate(CHAIN, ROWS, f=0)
        running = totals(ROWS, found)
        values = (found.aggregate, running.kept, running.deviation, running.alignment)
    else:
        again = replay(parse_chain(CHAIN), ROWS, f=0, m=0, weights=())
        values = (again.aggregate, again.kept, again.deviation, again.alignment)
    assert [value.tolist() for value in values] == [
        [57344],
        [[1, 1, 1, 1]],
        [[16, 121, 0, 1444]],
        [[12, -18, 4, 80]],
    ]
