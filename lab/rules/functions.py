"""Every rule as a function over floats: `rules.trimmed_mean(matrix, f=2)`.

Responsible for: names and parameters as a caller of such functions expects them.
Must not know:   how anything is computed: each spells a chain (aggregating.py).

What they share: the matrix comes first, (n, d) floats of NumPy or PyTorch or a list of n vectors; what goes before the
rule, the exponent and the seed are `Options`; the aggregate (d,) has the kind, dtype and device of the matrix.
Formulas and conditions are in docs/rules.md, errors are those of `aggregate`.

Spec: docs/arrays.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict, Unpack

from lab.rules.aggregating import A, Weights, aggregate


class Options(TypedDict, total=False):
    """What every rule takes."""

    before: str
    """Stages before the rule: `nnm`, `arc+bucketing:2`, `clip:0.5` (the radius in the unit of the matrix)."""
    exponent: int | None
    """Values are rounded to multiples of 2**exponent; None: the finest with which no value is cut."""
    seed: int | bytes
    """What bucketing draws its order from."""


class OptionsAndF(Options, total=False):
    """The same for a rule that tolerates liars without being told how many."""

    f: int
    """How many liars the stages before the rule are to tolerate, where they use it."""


def mean(matrix: A | Sequence[A], **options: Unpack[OptionsAndF]) -> A:
    """The mean of all rows; tolerates no liar."""
    return _apply("mean", matrix, options)


def weighted_mean(matrix: A | Sequence[A], weights: Weights, **options: Unpack[OptionsAndF]) -> A:
    """The mean by weights, (n,) whole numbers such as samples; tolerates no liar."""
    return _apply("weighted-mean", matrix, options, weights=weights)


def median(matrix: A | Sequence[A], **options: Unpack[OptionsAndF]) -> A:
    """Coordinate by coordinate the median, of an even count the mean of the two middle values."""
    return _apply("median", matrix, options)


def trimmed_mean(matrix: A | Sequence[A], *, f: int, **options: Unpack[Options]) -> A:
    """Coordinate by coordinate the mean without the f smallest and the f largest values."""
    return _apply("trimmed-mean", matrix, options, f=f)


def meamed(matrix: A | Sequence[A], *, f: int, **options: Unpack[Options]) -> A:
    """Coordinate by coordinate the mean of the n - f values nearest the median."""
    return _apply("meamed", matrix, options, f=f)


def krum(matrix: A | Sequence[A], *, f: int, **options: Unpack[Options]) -> A:
    """The row with the smallest sum of squared distances to its n - f - 2 nearest others."""
    return _apply("krum", matrix, options, f=f)


def multi_krum(matrix: A | Sequence[A], *, f: int, m: int = 0, **options: Unpack[Options]) -> A:
    """The mean of the m rows that are best so; m = 0: n - f."""
    return _apply("multi-krum", matrix, options, f=f, m=m)


def bulyan(matrix: A | Sequence[A], *, f: int, **options: Unpack[Options]) -> A:
    """Of n - 2f rows that Krum takes one after another, the mean of the n - 4f values nearest their median."""
    return _apply("bulyan", matrix, options, f=f)


def mda(matrix: A | Sequence[A], *, f: int, **options: Unpack[Options]) -> A:
    """The mean of the n - f rows of smallest diameter."""
    return _apply("mda", matrix, options, f=f)


def geometric_median(matrix: A | Sequence[A], **options: Unpack[OptionsAndF]) -> A:
    """The point of least summed distance to the rows, by smoothed Weiszfeld steps until nothing changes."""
    return _apply("geometric-median", matrix, options)


def centred_clipping(
    matrix: A | Sequence[A],
    *,
    radius: float,
    steps: int | None = None,
    centre: A | None = None,
    **options: Unpack[OptionsAndF],
) -> A:
    """From the centre, zeros where none is given, the mean of the steps to all rows, each at most the radius long.

    steps: how often, 1 to 64; None: until no weight changes, at most 64 times.
    """
    rule = f"centred-clipping:{decimal(radius)}" + ("" if steps is None else f":{steps}")
    return _apply(rule, matrix, options, centre=centre)


def fltrust(matrix: A | Sequence[A], trusted: A, **options: Unpack[OptionsAndF]) -> A:
    """The mean by how far each row points where the trusted one, (d,), points, and each as long as that."""
    return _apply("fltrust", matrix, options, trusted=trusted)


def decimal(radius: float) -> str:
    """A radius as it stands in a chain, where + joins steps: every digit, 1e20 for 1e+20."""
    return repr(float(radius)).replace("+", "")


def _apply(rule: str, matrix: A | Sequence[A], options: Options, **given: Any) -> A:
    others: dict[str, Any] = {**options}
    before = others.pop("before", "")
    found: A = aggregate(f"{before}+{rule}" if before else rule, matrix, **given, **others)
    return found
