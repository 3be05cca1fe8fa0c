"""What a rule is, what it returns, and how a matrix of rows is walked.

Responsible for: the rule interface, the result of one aggregation, blocks of coordinates, checks of what came in.
Must not know:   which rules exist, who sent a row, slots of the cohort that were not counted.

Spec: docs/protocol.md (numbers; rules), docs/rules.md.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from protocol.errors import LengthError, MalformedError, RangeError, TooFewCountedError
from protocol.fixedpoint import Int16, Int32, Int64
from protocol.rulebook import MAX_WEIGHT_CAP, Rule, minimum_counted
from protocol.trees import COLUMN_LEAF

_BLOCK_ELEMENTS = 1 << 18
"""Elements of a block over all rows: 2 MiB as int64, so that it and its temporaries stay near the cache."""

_MAX_PARAMETER = (1 << 16) - 1  # f and m are uint16 in the spec
_MAX_DIMENSION = (1 << 32) - 1  # dimension is uint32 in the spec


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Aggregation:
    """What a rule made of the counted rows.  k is their number, d the dimension; arrays are by ascending slot."""

    aggregate: Int32
    """(d,) value a * 2**(e - 15)."""

    selected: npt.NDArray[np.bool_]
    """(k,) the rows that the rule chose; all of them where a rule does not select."""

    weights: npt.NDArray[np.uint32]
    """(k,) the outcome's weight field: min(samples, weightCap) for the weighted mean, else 0."""

    low: Int16 | None
    """(d,) smallest value that the rule kept; None where a row is kept as a whole (`selected`) or not at all."""

    high: Int16 | None
    """(d,) largest value that the rule kept; None together with `low`."""

    gram: Int64 | None
    """(k, k) exact inner products of the rows; None where the rule does not need them."""


class AggregationRule(ABC):
    """One robust rule: constants that say what it is, and one method that does it."""

    name: ClassVar[str]
    """Its name in the rule string that the spec hashes."""

    code: ClassVar[Rule]
    """Its number in the spec, which says which predicates of the ledger apply."""

    paper: ClassVar[str]
    """Where it is defined."""

    refutable: ClassVar[bool]
    """Whether the ledger can show a wrong result from a small opening; else only a replay can."""

    selects: ClassVar[bool] = False
    """Whether it keeps or drops whole rows."""

    weighs: ClassVar[bool] = False
    """Whether it takes a weight for every row; the others refuse weights."""

    def condition(self, f: int, m: int) -> int:
        """The smallest number of counted rows that the rule works with."""
        return minimum_counted(self.code, f=f, m=m)

    @abstractmethod
    def combine(self, rows: Int16, *, f: int, m: int, weights: Int64 | None) -> Aggregation:
        """The rule itself, on input that `check_input` let through."""


def check_input(rule: AggregationRule, rows: Int16, *, f: int, m: int, weights: Int64 | None) -> None:
    """Whether the rule may be applied.

    rows:    (k, d) int16, d at least 1.
    weights: (k,) int64, each in [1, 2**24); exactly where the rule weighs.
    Raises: MalformedError, LengthError, RangeError, TooFewCountedError (with the bound).
    """
    if rows.dtype != np.int16 or rows.ndim != 2:
        raise MalformedError("rows", expected="an int16 matrix", actual=f"{rows.ndim} axes of {rows.dtype}")
    k, d = rows.shape
    check_dimension(d)
    for name, value in (("f", f), ("m", m)):
        if not 0 <= value <= _MAX_PARAMETER:
            raise RangeError(f"{name} of the rule", expected=f"0 to {_MAX_PARAMETER}", actual=value)

    bound = rule.condition(f, m)
    if k < bound:
        raise TooFewCountedError(
            f"counted updates for {rule.name} with f = {f}, m = {m}", expected=f"at least {bound}", actual=k
        )

    if (weights is not None) != rule.weighs:
        wanted, came = ("weights", "none") if rule.weighs else ("no weights", "weights")
        raise MalformedError(f"weights for {rule.name}", expected=wanted, actual=came)
    if weights is not None:
        _check_weights(weights, k)


def check_dimension(d: int) -> None:
    """With d < 2**32 every sum of products of two int16 is below 2**62, and of squared differences below 2**64."""
    if not 1 <= d <= _MAX_DIMENSION:
        raise LengthError("length of the rows", expected=f"1 to {_MAX_DIMENSION}", actual=d)


def blocks(k: int, d: int) -> Iterator[slice]:
    """Slices of the coordinates 0..d, each of whole leaves (but the last) and small over all k rows."""
    width = max(1, _BLOCK_ELEMENTS // (max(k, 1) * COLUMN_LEAF)) * COLUMN_LEAF
    for start in range(0, d, width):
        yield slice(start, min(start + width, d))


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
