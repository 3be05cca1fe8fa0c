"""What a rule and a stage are, and what an aggregation returns.

Responsible for: their interfaces, the result of one aggregation, checks of what came in.
Must not know:   which rules exist, who sent a row, slots of the cohort that were not counted.

Spec: docs/rules.md; docs/protocol.md (numbers; rules).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from coordinator.enclave.rules.plan import Combination, Mixed, Plan, Products, Transform
from coordinator.enclave.rules.points import Points
from protocol.errors import LengthError, MalformedError, RangeError, TooFewCountedError
from protocol.fixedpoint import Int16, Int32, Int64
from protocol.rulebook import MAX_WEIGHT_CAP, RULE_NAMES, SELECTING, Chain
from protocol.trees import Rows

_MAX_PARAMETER = (1 << 16) - 1  # f and m are uint16 in the spec
_MAX_DIMENSION = (1 << 32) - 1  # dimension is uint32 in the spec
MAX_SCALED_ROWS = 1 << 33
"""k times the scale stays below: 2**15 times a sum of that many values below 2**15 fits int64."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Aggregation:
    """What a chain made of the counted rows.  k is their number, d the dimension; arrays are by ascending slot."""

    chain: Chain
    """Which."""

    plan: Plan
    """How every coordinate was computed: what was decided by looking at whole rows."""

    aggregate: Int32
    """(d,) value a * 2**(e - 15)."""

    selected: npt.NDArray[np.bool_]
    """(k,) the rows for which a chosen row stands; all of them where the rule does not select."""

    weights: npt.NDArray[np.uint32]
    """(k,) the outcome's weight field: min(samples, weightCap) for the weighted mean, else 0."""

    low: Int16 | None
    """(d,) smallest value that the rule kept, where it kept ranks of the rows as they were sent; else None."""

    high: Int16 | None
    """(d,) largest value that the rule kept; None together with `low`."""

    products: tuple[Products, ...]
    """What the plan was decided by: inner products of the rows, or of the rows behind stages that clip."""

    @property
    def scale(self) -> int:
        """What values behind the plan's transforms are to be divided by."""
        return prod(step.scale for step in self.plan.transforms if isinstance(step, Mixed))

    @property
    def gram(self) -> Int64 | None:
        """(k, k) exact inner products of the rows; None where nothing needed them."""
        for products in self.products:
            if not products.behind and products.values.ndim == 2:
                return products.values
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a rule decided before any coordinate is computed."""

    combination: Combination
    """What is done with every coordinate."""

    selected: tuple[int, ...] | None = None
    """Places of the rows that the rule chose, ascending; None where it does not select."""


class AggregationRule(ABC):
    """One robust rule: constants that say what it is, and one method that decides."""

    name: ClassVar[str]
    """Its name in the spec's chain."""

    weighs: ClassVar[bool] = False
    """Whether it takes a weight for every row; the others refuse weights."""

    extra: ClassVar[str] = ""
    """What it calls a further row that it takes, `centre` or `trusted`; empty where it takes none."""

    @property
    def is_refutable(self) -> bool:
        """Whether the ledger can show a wrong result of the rule alone from a small opening; else only a replay can."""
        return self.name in RULE_NAMES

    @property
    def selects(self) -> bool:
        """Whether it keeps or drops whole rows."""
        return self.name in SELECTING

    @abstractmethod
    def choose(self, points: Points, *, numbers: tuple[int, ...], f: int, m: int, weights: Int64 | None) -> Choice:
        """The rule itself, on input that `check_input` let through.

        points:  the rows behind the chain's stages, k of them, and the rule's further row behind these.
        numbers: those after its name in the chain.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """What a stage decided."""

    transform: Transform
    """What becomes of the rows, coordinate by coordinate."""

    stands: tuple[int, ...] | None = None
    """Of every row before the stage, the place of the row that stands for it now; None: its own."""


class Stage(ABC):
    """What is done to the rows before a rule."""

    name: ClassVar[str]

    @abstractmethod
    def decide(self, points: Points, *, numbers: tuple[int, ...], f: int, order: Sequence[int]) -> Mapped:
        """The stage itself.

        order: places of the counted rows in the drawn order.
        """


def check_input(
    chain: Chain, rule: AggregationRule, rows: Rows, *, f: int, m: int, weights: Int64 | None, slots: Sequence[int]
) -> None:
    """Whether the chain may be applied.

    rows:    (k, d) int16, d at least 1.
    weights: (k,) int64, each in [1, 2**24); exactly where the rule weighs.
    Raises: MalformedError, LengthError, RangeError, TooFewCountedError (with the bound).
    """
    k = check_rows(rows)
    for name, value in (("f", f), ("m", m)):
        if not 0 <= value <= _MAX_PARAMETER:
            raise RangeError(f"{name} of the rule", expected=f"0 to {_MAX_PARAMETER}", actual=value)

    bound = chain.minimum_counted(f=f, m=m)
    if k < bound:
        raise TooFewCountedError(
            f"counted updates for {chain} with f = {f}, m = {m}", expected=f"at least {bound}", actual=k
        )

    if len(slots) != k or any(a >= b for a, b in pairwise(slots)):
        wrong = next((f"{b} after {a}" for a, b in pairwise(slots) if a >= b), f"{len(slots)}")
        raise MalformedError("slots of the rows", expected=f"{k} in ascending order", actual=wrong)
    if (weights is not None) != rule.weighs:
        wanted, came = ("weights", "none") if rule.weighs else ("no weights", "weights")
        raise MalformedError(f"weights for {rule.name}", expected=wanted, actual=came)
    if weights is not None:
        _check_weights(weights, k)


def check_rows(rows: Rows) -> int:
    """k, the number of rows, each of which is int16 and as long as the first.  Raises MalformedError, LengthError."""
    if isinstance(rows, np.ndarray) and (rows.dtype != np.int16 or rows.ndim != 2):
        raise MalformedError("rows", expected="an int16 matrix", actual=f"{rows.ndim} axes of {rows.dtype}")
    lengths = {row.shape for row in rows}
    kinds = {f"{row.ndim} axes of {row.dtype}" for row in rows} - {"1 axes of int16"}
    if kinds or len(lengths) > 1:
        raise MalformedError("rows", expected="int16 vectors of one length", actual=sorted(kinds) or sorted(lengths))
    if isinstance(rows, np.ndarray):
        check_dimension(rows.shape[1])
    elif lengths:
        check_dimension(len(rows[0]))
    return len(rows)


def check_dimension(d: int) -> None:
    """With d < 2**32 every sum of products of two int16 is below 2**62, and of squared differences below 2**64."""
    if not 1 <= d <= _MAX_DIMENSION:
        raise LengthError("length of the rows", expected=f"1 to {_MAX_DIMENSION}", actual=d)


def check_scale(k: int, scale: int) -> None:
    """Whether sums over k rows of this scale fit 64 bits.  Raises RangeError."""
    if k * scale >= MAX_SCALED_ROWS:
        raise RangeError("rows times their scale behind the stages", expected="below 2**33", actual=k * scale)


def _check_weights(weights: Int64, k: int) -> None:
    if weights.dtype != np.int64 or weights.shape != (k,):
        raise MalformedError("weights", expected=f"({k},) of int64", actual=f"{weights.shape} of {weights.dtype}")
    smallest, largest = int(weights.min()), int(weights.max())
    if smallest < 1 or largest > MAX_WEIGHT_CAP:
        raise RangeError(
            "weight of a row", expected=f"1 to {MAX_WEIGHT_CAP}", actual=smallest if smallest < 1 else largest
        )
    # Python's integers: the sum itself could be the one that overflows.
    if sum(weights.tolist()) >= 1 << 38:
        raise RangeError("sum of the weights", expected="below 2**38", actual=sum(weights.tolist()))
