"""Any chain of stages and a rule over floats, by the engine that a federation's enclave runs.

Responsible for: radii in the caller's unit, the exponent where none is given, and what quantisation can have changed.
Must not know:   how a rule or a stage is computed; kinds of arrays (floats.py).

Spec: docs/arrays.md, docs/rules.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import frexp, inf, lcm, ldexp
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from coordinator.enclave.rules import Aggregation, account
from coordinator.enclave.rules import aggregate as aggregate_rows
from coordinator.enclave.rules.plan import Scaled, Weighted
from lab.rules.floats import Vectors, check_exponent, cost, finest, read, rounded, values_of, whole_numbers
from protocol.errors import EncodingError, LengthError, MalformedError, RangeError
from protocol.fixedpoint import FRACTION_BITS, INT32_MAX, INT32_MIN, Int16
from protocol.rulebook import Chain, parse_chain

if TYPE_CHECKING:
    import torch

A = TypeVar("A", npt.NDArray[Any], "torch.Tensor")
"""A NumPy array or a PyTorch tensor: what goes in comes out."""

Weights = Sequence[int] | npt.NDArray[np.integer]

MOST_TIMES_THE_MIDDLE = 512
"""How far the largest row may be above the middle one before a robust chain wants to be told an exponent: below it, the
middle row's largest value has 64 units or more, so that rounding takes less than a hundredth of it."""

_UNDECIDING = frozenset({"mean", "weighted-mean", "median", "trimmed-mean", "bucketing"})
"""Steps that compare nothing, or only ranks: what moves every value by h at most moves their result by h at most."""

_WEIGHING = frozenset({"geometric-median", "centred-clipping", "fltrust"})
"""Rules whose weights come from distances, and are rounded."""

_USING_F = frozenset({"arc", "nnm", "trimmed-mean", "meamed", "krum", "multi-krum", "bulyan", "mda"})
_WITH_RADIUS = ("clip", "centred-clipping")
_MOST_UNITS = (1 << 31) - 1
_CLIPPED = 2.5
"""Units by which a clipped value can be off: the product and the radius are rounded by one at most, and the factor by
2**-16 of a value of up to 2**15 units; the length, rounded down, makes up for some of that, by one unit at most."""
_HEADROOM = 3
"""Bits that the exponent which an error proposes leaves above the middle row."""
_RADIUS = re.compile(r"[0-9]+(\.[0-9]+)?(e-?[0-9]+)?")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Explained(Generic[A]):
    """An aggregate, and what quantisation has to do with it.  Errors are in the caller's unit."""

    aggregate: A
    """(d,) what `aggregate` returns."""

    chain: str
    """What the engine did, radii in units of 2**exponent."""

    exponent: int
    """A value is a whole number of units of 2**exponent; the aggregate has 15 bits more."""

    saturated: int
    """Values that did not fit 16 bits and were cut to +/-32767 units; 0 where no exponent was given."""

    largest_error: float
    """By how much rounding, or cutting, changed a value at most."""

    relative_error: float
    """Norm of all these changes over the norm of all values."""

    selected: tuple[int, ...]
    """The rows for which a chosen row stands; all of them where the rule does not select."""

    kept: tuple[float, ...]
    """Of every row, the share of its coordinates that the rule kept (docs/rules.md)."""

    bound: float
    """No coordinate of the aggregate is farther than this from what the same decisions make of the floats.  Weights
    and clipping factors are decided as real numbers, by the rounded rows: that they are rounded then is in it."""

    decides: bool
    """Whether there are decisions: rows, neighbours, weights, clipping factors, Meamed's values are chosen by
    comparing, and were by the rounded rows.  Where there are none, `bound` is the distance from the rule on floats."""


def aggregate(
    chain: str,
    matrix: A | Sequence[A],
    *,
    f: int | None = None,
    m: int | None = None,
    weights: Weights | None = None,
    centre: A | None = None,
    trusted: A | None = None,
    exponent: int | None = None,
    seed: int | bytes | None = None,
) -> A:
    """Apply a chain to floats: quantise, aggregate exactly, return floats.

    chain:    a rule, or stages and a rule: `krum`, `nnm+trimmed-mean`, `clip:0.5+bucketing:2+median`,
              `centred-clipping:0.1:3`.  Radii are in the unit of the matrix.
    matrix:   (n, d) floats or n vectors of d: NumPy (float16, float32, float64) or PyTorch (bfloat16 too), any device.
    f:        how many liars the chain is to tolerate; needed where a step uses it.
    m:        how many rows multi-krum takes; None: n - f.
    weights:  (n,) whole numbers from 1 to 2**24 - 1, for weighted-mean.
    centre:   (d,) from where centred-clipping starts; None: zeros.
    trusted:  (d,) fltrust's own update.
    exponent: values are rounded to multiples of 2**exponent, up to 32767 of them; None: the finest with which no value
              is cut, which a robust chain refuses where one row is over 512 times as large as the middle one.
    seed:     what bucketing draws its order from, and needs: a whole number, or the 32 bytes of a round's.
    returns:  (d,) of the kind, dtype and device of the matrix, which is not changed; it has no gradient.

    Raises: MalformedError, LengthError, RangeError, UnknownNameError, TooFewCountedError (with the bound).
    """
    work: _Work = _work(chain, matrix, f, m, weights, centre, trusted, exponent, seed)
    back: A = work.vectors.give_back(values_of(work.result.aggregate, work.exponent))
    return back


def explain(
    chain: str,
    matrix: A | Sequence[A],
    *,
    f: int | None = None,
    m: int | None = None,
    weights: Weights | None = None,
    centre: A | None = None,
    trusted: A | None = None,
    exponent: int | None = None,
    seed: int | bytes | None = None,
) -> Explained[A]:
    """The same as `aggregate`, with what quantisation cost and what was kept of which row."""
    work: _Work = _work(chain, matrix, f, m, weights, centre, trusted, exponent, seed)
    exact = values_of(work.result.aggregate, work.exponent)
    back: A = work.vectors.give_back(exact)
    returned = read([back]).rows[0].astype(np.float64)
    kept = account(work.integers[: len(work.vectors.rows)], work.result).totals.kept
    spent = cost(work.floats, work.integers, work.exponent)
    return Explained(
        aggregate=back,
        chain=str(work.result.chain),
        exponent=work.exponent,
        saturated=spent.saturated,
        largest_error=spent.largest_error,
        relative_error=spent.relative_error,
        selected=tuple(np.flatnonzero(work.result.selected).tolist()),
        kept=tuple((kept / work.vectors.length).tolist()),
        bound=_bound(work, spent.largest_error) + float(np.abs(returned - exact).max()),
        decides=any(step.name not in _UNDECIDING for step in (*work.result.chain.stages, work.result.chain.rule)),
    )


# --- one aggregation --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Work:
    """What came in, as integers, and what the engine made of it."""

    vectors: Vectors
    exponent: int
    floats: Sequence[npt.NDArray[Any]]
    """The rows, and the rule's further one behind them."""
    integers: Int16
    """The same, rounded."""
    scale: int
    """What the stages multiply a value by."""
    result: Aggregation


def _work(
    text: str,
    matrix: object,
    f: int | None,
    m: int | None,
    weights: Weights | None,
    centre: object | None,
    trusted: object | None,
    exponent: int | None,
    seed: int | bytes | None,
) -> _Work:
    """One aggregation."""
    vectors = read(matrix)
    given = {"centre": centre, "trusted": trusted}
    further = {name: _one(row, name, vectors) for name, row in given.items() if row is not None}
    floats = [*vectors.rows, *(row.rows[0] for row in further.values())]
    chosen = exponent is None
    if exponent is None:
        exponent = finest(max(*vectors.magnitudes, *(row.magnitudes[0] for row in further.values()), 0.0))
    exponent = _whole("exponent", exponent)
    check_exponent(exponent)
    chain = parse_chain(_in_units(text, exponent))
    f = _liars(chain, f)
    if chosen and (chain.stages or chain.rule.name not in ("mean", "weighted-mean")):
        _check_middle(vectors.magnitudes, further.get("trusted"))
    integers = rounded(floats, exponent)
    result = aggregate_rows(
        chain,
        integers[: len(vectors.rows)],
        f=f,
        m=_taken(chain, m),
        weights=None if weights is None else whole_numbers(weights, what="weights"),
        seed=_seed(chain, seed),
        **dict(zip(further, integers[len(vectors.rows) :], strict=True)),
    )
    _check_ends(result, exponent)
    scale = _scale(chain, len(vectors.rows), f)
    return _Work(vectors=vectors, exponent=exponent, floats=floats, integers=integers, scale=scale, result=result)


def _bound(work: _Work, error: float) -> float:
    """How far the aggregate can be from what its plan makes of the floats, coordinate by coordinate.

    Sums of rows with weights that add up to one, and ranks, take an error of h to one of h.  Every weight that comes
    from distances is rounded down, and what is missing may be given to one of them: n of their units times the range
    of the values.  The aggregate itself is rounded down.

    error: the largest that rounding made.
    """
    plan, unit = work.result.plan, 2.0**work.exponent
    clips = sum(isinstance(step, Scaled) for step in plan.transforms)
    share, missing = 1.0, 0.0
    if isinstance(plan.combination, Weighted):
        total = sum(plan.combination.weights) << plan.combination.shift
        whole = plan.combination.divisor << FRACTION_BITS
        share = total * work.result.scale / whole
        if work.result.chain.rule.name in _WEIGHING:
            missing = len(work.integers) * work.scale / whole
    values = 2 * max(int(work.integers.max()), -int(work.integers.min())) * unit
    return (share + missing) * (error + clips * _CLIPPED * unit) + missing * values + ldexp(unit, -FRACTION_BITS)


def _check_middle(magnitudes: Sequence[float], trusted: Vectors | None) -> None:
    """Whether an exponent for the largest row leaves the middle one, or the trusted one, enough of its digits.

    Else one row, a liar's perhaps, would round all others to zero.  Rows of zeros have no digits to lose.
    """
    name, given = ("middle row's", magnitudes) if trusted is None else ("trusted row's", trusted.magnitudes)
    ordered = sorted(filter(None, given)) or [0.0]
    middle = ordered[(len(ordered) - 1) // 2]
    largest = max(magnitudes)
    if 0.0 < middle < largest / MOST_TIMES_THE_MIDDLE:
        expected = (
            f"at most {MOST_TIMES_THE_MIDDLE} times the {name} {middle:.3g} where no exponent is given "
            f"(exponent={finest(middle) + _HEADROOM} keeps that row's digits and cuts larger values)"
        )
        raise RangeError(
            f"largest value of row {magnitudes.index(largest)}", expected=expected, actual=f"{largest:.3g}"
        )


def _check_ends(result: Aggregation, exponent: int) -> None:
    """Whether the aggregate is all there: a rule that makes rows longer can leave int32."""
    combination = result.plan.combination
    if isinstance(combination, Weighted) and combination.saturates:
        ends = int(result.aggregate.min()), int(result.aggregate.max())
        if INT32_MIN in ends or INT32_MAX in ends:
            expected = f"below 2**16 units of 2**{exponent}: a larger exponent"
            raise RangeError(f"aggregate of {result.chain.rule.name}", expected=expected, actual="one that was cut")


# --- what came in -----------------------------------------------------------------------------------------------------


def _one(row: object, name: str, vectors: Vectors) -> Vectors:
    """A further row, as long as those of the matrix."""
    found = read([row], what=f"{name} row")
    if found.length != vectors.length:
        raise LengthError(f"length of the {name} row", expected=vectors.length, actual=found.length)
    return found


def _in_units(text: object, exponent: int) -> str:
    """The chain with every radius as a whole number of units."""
    if not isinstance(text, str):
        raise MalformedError("chain", expected="a text such as nnm+krum", actual=repr(text))
    steps = []
    for step in text.split("+"):
        name, *numbers = step.split(":")
        if name in _WITH_RADIUS and numbers:
            numbers[0] = _radius(name, numbers[0], exponent)
        steps.append(":".join([name, *numbers]))
    return "+".join(steps)


def _radius(name: str, text: str, exponent: int) -> str:
    """No norm of a row passes 2**31 units below 2**32 coordinates, so that a larger radius is as good as that."""
    if not _RADIUS.fullmatch(text):
        raise EncodingError(f"radius of {name}", expected="a decimal number such as 0.5 or 2e-3", actual=text)
    radius = float(text)
    if radius == inf or frexp(radius)[1] - exponent > 31:
        return str(_MOST_UNITS)
    units = round(ldexp(radius, -exponent))
    if not units:
        expected = f"at least half a unit, 2**{exponent - 1}: a smaller exponent"
        raise RangeError(f"radius of {name}", expected=expected, actual=text)
    return str(units)


def _liars(chain: Chain, f: int | None) -> int:
    """f, which must be said where anything depends on it."""
    if f is not None:
        return _whole("f", f)
    if using := [step.name for step in (*chain.stages, chain.rule) if step.name in _USING_F]:
        raise MalformedError(f"f of {using[0]}", expected="how many liars it is to tolerate", actual="none")
    return 0


def _taken(chain: Chain, m: int | None) -> int:
    """m, for the one rule that has it; 0 stands for n - f."""
    if m is None:
        return 0
    if chain.rule.name != "multi-krum":
        raise MalformedError(f"m of {chain.rule.name}", expected="none: it is multi-krum's", actual=repr(m))
    return _whole("m", m)


def _scale(chain: Chain, rows: int, f: int) -> int:
    """What the stages multiply a value by: docs/rules.md, a chain."""
    scale = 1
    for stage in chain.stages:
        if stage.name == "bucketing":
            (s,) = stage.numbers
            scale *= lcm(*(min(s, rows - start) for start in range(0, rows, s)))
            rows = -(-rows // s)
        elif stage.name == "nnm":
            scale *= rows - f
    return scale


def _whole(name: str, value: object) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise MalformedError(name, expected="a whole number", actual=repr(value))
    return int(value)


def _seed(chain: Chain, seed: int | bytes | None) -> bytes:
    """32 bytes; they must be said where rows are put into a drawn order."""
    if seed is None:
        if any(stage.name == "bucketing" for stage in chain.stages):
            raise MalformedError("seed of bucketing", expected="a whole number or the seed of a round", actual="none")
        return bytes(32)
    if isinstance(seed, bytes):
        if len(seed) != 32:
            raise LengthError("bytes of the seed", expected=32, actual=len(seed))
        return seed
    if not 0 <= _whole("seed", seed) < 1 << 256:
        raise RangeError("seed", expected="from 0 to 2**256 - 1", actual=seed)
    return int(seed).to_bytes(32)
