"""Which rules are measured, under which name a spec has them, and where a peer of that name computes something else.

Responsible for: the list of rules, our call, what differs by definition.
Must not know:   how a peer is called, clocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bench_parts.rows import Rows
from bench_parts.spelling import with_radius
from coordinator.enclave.rules import aggregate

Vector = npt.NDArray[np.int32]

RULES: tuple[str, ...] = (
    "mean",
    "weighted-mean",
    "median",
    "trimmed-mean",
    "meamed",
    "krum",
    "multi-krum",
    "bulyan",
    "geometric-median",
    "centred-clipping",
    "mda",
    "fltrust",
    "clip+mean",
    "arc+trimmed-mean",
    "bucketing+trimmed-mean",
    "nnm+trimmed-mean",
    "nnm+krum",
)
"""In the order of the page."""

OPTIONS: Mapping[str, Callable[[Rows], dict[str, Any]]] = {
    "weighted-mean": lambda rows: {"weights": rows.samples},
    "fltrust": lambda rows: {"trusted": rows.units[-1]},
}
"""What `aggregate` takes besides rows and f, by a chain's last step."""

NEIGHBOURS = "n - f - 1 neighbours instead of n - f - 2"
STEPS = "three steps from zero; here until the weights stand still"
OTHER_DEFINITION: Mapping[tuple[str, str], str] = {
    ("median", "byzpy"): "the lower of the two middle values",
    ("meamed", "byzfl"): "of two values equally far from the median, whichever its partition leaves; here the smaller",
    ("krum", "byzfl"): NEIGHBOURS,
    ("krum", "byzpy"): NEIGHBOURS,
    ("multi-krum", "byzfl"): NEIGHBOURS,
    ("multi-krum", "byzpy"): NEIGHBOURS,
    ("nnm+krum", "byzfl"): NEIGHBOURS,
    ("nnm+krum", "byzpy"): NEIGHBOURS,
    ("bulyan", "flower"): "selects all rows by one scoring instead of one after the other",
    ("geometric-median", "byzfl"): STEPS,
    ("geometric-median", "byzpy"): "floating-point weights until a step is below 1e-6",
    ("bucketing+trimmed-mean", "byzfl"): "buckets by a random order",
    ("bucketing+trimmed-mean", "byzpy"): "buckets by a random order",
}
"""By rule and peer; a peer that is not here has the same definition (docs/rules.md), up to ties and rounding."""


def spec_of(rule: str, rows: Rows) -> str:
    """The rule as a signed spec names it: `clip+mean` is `clip:57000+mean`."""
    return with_radius(rule, rows.clip)


def other_definition(rule: str, implementation: str) -> str | None:
    """Why an implementation's result is not comparable, or None: `byzfl-torch` and `byzfl-numpy` are both ByzFL."""
    return OTHER_DEFINITION.get((rule, implementation.partition("-")[0]))


def our_aggregate(rule: str, rows: Rows) -> Vector:
    """(d,) int32, value a * 2**(e - 15).  Raises what `aggregate` raises: TooFewCountedError for one."""
    options = OPTIONS.get(rule.split("+")[-1], lambda _: {})(rows)
    return aggregate(spec_of(rule, rows), rows.units, f=rows.f, **options).aggregate
