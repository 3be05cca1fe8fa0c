"""What the tests of the rules share.

Responsible for: holding one aggregation against the reference, whole values and types.
Must not know:   which rows are worth trying.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from coordinator.enclave.rules import RULES, Aggregation, aggregate, flagged, recheck, totals
from coordinator.enclave.rules.accounts import LeafTotals
from coordinator.enclave.rules.kernels.totals import RowTotals
from protocol.fixedpoint import Int16, Int64
from protocol.rulebook import parse_chain
from protocol.trees import Totals
from tests.property.reference_rules import reference


def check_against_reference(rule: str, rows: Int16, *, f: int, m: int = 0, weights: Int64 | None = None) -> Aggregation:
    """Aggregate, totals and flags equal the reference; dtypes are the promised ones; no input changes."""
    before, weights_before = rows.copy(), None if weights is None else weights.copy()
    result = aggregate(rule, rows, f=f, m=m, weights=weights)
    running = totals(rows, result)
    recheck(rows, result, f, m, {leaf: at_leaf(running, leaf) for leaf in range(len(running.kept))})
    assert np.array_equal(rows, before)
    assert weights is None or np.array_equal(weights, weights_before)

    expected = reference(
        rule, rows.tolist(), f=f, m=m, weights=None if weights is None else [int(weight) for weight in weights]
    )
    assert result.aggregate.dtype == np.int32
    assert result.aggregate.tolist() == expected.aggregate
    assert result.selected.tolist() == expected.selected
    assert result.weights.dtype == np.uint32
    assert result.weights.tolist() == expected.weights
    assert (running.kept.dtype, running.deviation.dtype, running.alignment.dtype) == (np.uint32, np.uint64, np.int64)
    assert running.kept.tolist() == expected.kept
    assert running.deviation.tolist() == expected.deviation
    assert running.alignment.tolist() == expected.alignment
    assert flagged(running).tolist() == [last < 0 for last in expected.alignment[-1]]
    assert (result.gram is not None) == RULES[rule].selects
    return result


def matrix(*rows: list[int]) -> Int16:
    return np.array(rows, dtype=np.int16)


def needs(rule: str, f: int, m: int = 0) -> int:
    """Fewest rows with which the rule, or chain, works."""
    return parse_chain(rule).minimum_counted(f=f, m=m)


def weights_for(rule: str, k: int) -> Int64 | None:
    return np.arange(1, k + 1, dtype=np.int64) if RULES[rule].weighs else None


def at_leaf(running: Totals, leaf: int) -> LeafTotals:
    """Those of one leaf, of totals that are all there."""
    arrays = (running.kept, running.deviation, running.alignment)
    before = [array[leaf - 1] if leaf else np.zeros_like(array[0]) for array in arrays]
    after = [array[leaf] for array in arrays]
    return _row_totals(before), _row_totals(after)


def _row_totals(arrays: Sequence[npt.NDArray[Any]]) -> RowTotals:
    return RowTotals(kept=arrays[0], deviation=arrays[1], alignment=arrays[2])
