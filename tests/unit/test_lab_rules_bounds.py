"""What rounding weights and clipping factors changes: as much as `explain` says, and more than nothing.

Every value here is a whole number of units, so that rows are not rounded: what is off is off by the engine's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from coordinator.enclave.rules import aggregate
from lab import rules
from lab.rules.aggregating import _scale
from protocol.rulebook import parse_chain

Floats = npt.NDArray[np.float64]

DRAW = np.random.default_rng(20)
ROWS = np.asarray(DRAW.integers(-32767, 32768, size=(200, 12)), dtype=np.float64)
TRUSTED = ROWS[:20].sum(axis=0) // 20


def clipped(rows: Floats, radius: float) -> Floats:
    """Rows at most so long, on real numbers."""
    return rows * np.minimum(1.0, radius / np.linalg.norm(rows, axis=1))[:, None]


def centred_clipping(rows: Floats, radius: float, steps: int) -> Floats:
    point = np.zeros(rows.shape[1])
    for _ in range(steps):
        point = point + clipped(rows - point, radius).mean(axis=0)
    return point


def fltrust(rows: Floats, trusted: Floats) -> Floats:
    lengths, length = np.linalg.norm(rows, axis=1), np.linalg.norm(trusted)
    scores = np.maximum(rows @ trusted / (lengths * length), 0)
    return (scores / lengths * length) @ rows / scores.sum()


def geometric_median(rows: Floats) -> Floats:
    """As long as weights change by 2**-15, as docs/rules.md ends it."""
    weights, before = np.full(len(rows), 1 / len(rows)), None
    for _ in range(64):
        near = 1 / np.linalg.norm(rows - weights @ rows, axis=1)
        weights = near / near.sum()
        coarse = np.floor(weights * 2**15).tolist()
        if coarse == before:
            break
        before = coarse
    return np.asarray(weights @ rows)


CASES: tuple[tuple[str, dict[str, Any], Floats], ...] = (
    ("centred-clipping:900:2", {}, centred_clipping(ROWS, 900, 2)),
    ("fltrust", {"trusted": TRUSTED}, fltrust(ROWS, TRUSTED)),
    ("geometric-median", {}, geometric_median(ROWS)),
)


@pytest.mark.parametrize(("chain", "given", "value"), CASES, ids=[chain for chain, _, _ in CASES])
def test_rounding_weights_is_in_the_bound(chain: str, given: dict[str, Any], value: Floats) -> None:
    found = rules.explain(chain, ROWS, exponent=0, **given)
    off = np.abs(found.aggregate - value).max()
    assert found.largest_error == 0.0
    assert 2 * 2.0**-15 < off <= found.bound  # more than rounding the aggregate makes
    assert found.bound < 201 * 2.0**-14 + 2.0**-14


@pytest.mark.parametrize("chain", ["clip:30000+mean", "arc+mean"])
def test_rounding_factors_is_in_the_bound(chain: str) -> None:
    rows = ROWS[:5]
    lengths = np.linalg.norm(rows, axis=1)
    radius = 30000.0 if chain.startswith("clip") else float(np.sort(lengths)[::-1][1])
    found = rules.explain(chain, rows, f=1, exponent=0)
    off = np.abs(found.aggregate - clipped(rows, radius).mean(axis=0)).max()
    assert found.largest_error == 0.0
    assert 0 < off <= found.bound < 2.5 + 2.0**-14


def test_a_clipped_value_is_off_by_more_than_a_unit_and_within_the_bound() -> None:
    off = []
    for row in ROWS:
        found = rules.explain("clip:20001+mean", row[None], exponent=0)
        off.append(float(np.abs(found.aggregate - clipped(row[None], 20001)).max()))
        assert off[-1] <= found.bound
    assert max(off) > 1.0


MIXED = ("mean", "nnm+median", "bucketing:3+median", "bucketing:101+nnm+median", "nnm+bucketing:101+median")


@pytest.mark.parametrize("chain", MIXED)
def test_the_scale_of_the_stages_is_the_engines(chain: str) -> None:
    rows = np.ones((300, 1), dtype=np.int16)
    found = aggregate(chain, rows, f=1)
    assert _scale(parse_chain(chain), 300, 1) == found.scale


def test_weights_of_15_bits_behind_stages_of_a_large_scale_are_in_the_bound() -> None:
    rows = DRAW.integers(-32767, 32768, size=(300, 4)).astype(np.float64)
    fine = rules.explain("nnm+geometric-median", rows, f=1, exponent=0)
    coarse = rules.explain("nnm+bucketing:101+geometric-median", rows, f=1, exponent=0, seed=0)
    most = 2 * np.abs(rows).max()
    assert fine.bound == pytest.approx(300 * 2.0**-30 * most + 2.0**-15)
    assert coarse.bound == pytest.approx(300 * 2.0**-15 * most + 2.0**-15)
