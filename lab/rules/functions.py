"""Every rule as a function over floats: `rules.trimmed_mean(matrix, f=2)`.

Responsible for: names and parameters as a caller of such functions expects them.
Must not know:   how anything is computed: each spells a chain (aggregating.py).

What they share: the matrix comes first, (n, d) floats of NumPy or PyTorch or a list of n vectors; the aggregate (d,)
has the kind, dtype and device of the matrix.

f:        how many liars are to be tolerated; where it may be left out, the rule does not use it, but a stage may.
before:   stages before the rule: `nnm`, `arc+bucketing:2`, `clip:0.5` (the radius in the unit of the matrix).
exponent: values are rounded to multiples of 2**exponent; None: the finest with which no value is cut.
seed:     what bucketing draws its order from, and needs: a whole number or 32 bytes.

Formulas are in docs/rules.md, errors are those of `aggregate`.

Spec: docs/arrays.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from sys import float_info
from typing import Any

import numpy as np

from lab.rules.aggregating import A, Weights, aggregate
from protocol.errors import MalformedError

Seed = int | bytes | None


def mean(
    matrix: A | Sequence[A],
    *,
    f: int | None = None,
    before: str = "",
    exponent: int | None = None,
    seed: Seed = None,
) -> A:
    """The mean of all rows.

    Needs n >= 1, tolerates no liar.  McMahan et al., AISTATS 2017.  Other keywords: help(lab.rules.functions).
    """
    return _apply("mean", matrix, before, f=f, exponent=exponent, seed=seed)


def weighted_mean(
    matrix: A | Sequence[A],
    weights: Weights,
    *,
    f: int | None = None,
    before: str = "",
    exponent: int | None = None,
    seed: Seed = None,
) -> A:
    """The mean by weights, (n,) whole numbers such as samples.

    Needs n >= 1, tolerates no liar.  McMahan et al., AISTATS 2017.  Other keywords: help(lab.rules.functions).
    """
    return _apply("weighted-mean", matrix, before, f=f, exponent=exponent, seed=seed, weights=weights)


def median(
    matrix: A | Sequence[A],
    *,
    f: int | None = None,
    before: str = "",
    exponent: int | None = None,
    seed: Seed = None,
) -> A:
    """Coordinate by coordinate the median, of an even count the mean of the two middle values.

    Needs n >= 2f + 1.  Yin et al., ICML 2018.  Other keywords: help(lab.rules.functions).
    """
    return _apply("median", matrix, before, f=f, exponent=exponent, seed=seed)


def trimmed_mean(
    matrix: A | Sequence[A],
    *,
    f: int,
    before: str = "",
    exponent: int | None = None,
    seed: Seed = None,
) -> A:
    """Coordinate by coordinate the mean without the f smallest and the f largest values.

    Needs n >= 2f + 1.  Yin et al., ICML 2018.  Other keywords: help(lab.rules.functions).
    """
    return _apply("trimmed-mean", matrix, before, f=f, exponent=exponent, seed=seed)


def meamed(
    matrix: A | Sequence[A],
    *,
    f: int,
    before: str = "",
    exponent: int | None = None,
    seed: Seed = None,
) -> A:
    """Coordinate by coordinate the mean of the n - f values nearest the median.

    Needs n >= 2f + 1.  Xie et al., 2018.  Other keywords: help(lab.rules.functions).
    """
    return _apply("meamed", matrix, before, f=f, exponent=exponent, seed=seed)


def krum(
    matrix: A | Sequence[A],
    *,
    f: int,
    before: str = "",
    exponent: int | None = None,
    seed: Seed = None,
) -> A:
    """The row with the smallest sum of squared distances to its n - f - 2 nearest others.

    Needs n >= 2f + 3.  Blanchard et al., NIPS 2017.  Other keywords: help(lab.rules.functions).
    """
    return _apply("krum", matrix, before, f=f, exponent=exponent, seed=seed)


def multi_krum(
    matrix: A | Sequence[A],
    *,
    f: int,
    m: int | None = None,
    before: str = "",
    exponent: int | None = None,
    seed: Seed = None,
) -> A:
    """The mean of the m rows that are best so; m = None: n - f.

    Needs n >= 2f + 3 and n >= m + f.  Blanchard et al., NIPS 2017.  Other keywords: help(lab.rules.functions).
    """
    return _apply("multi-krum", matrix, before, f=f, exponent=exponent, seed=seed, m=m)


def bulyan(
    matrix: A | Sequence[A],
    *,
    f: int,
    before: str = "",
    exponent: int | None = None,
    seed: Seed = None,
) -> A:
    """Of n - 2f rows that Krum takes one after another, the mean of the n - 4f values nearest their median.

    Needs n >= 4f + 3.  El Mhamdi et al., ICML 2018.  Other keywords: help(lab.rules.functions).
    """
    return _apply("bulyan", matrix, before, f=f, exponent=exponent, seed=seed)


def mda(
    matrix: A | Sequence[A],
    *,
    f: int,
    before: str = "",
    exponent: int | None = None,
    seed: Seed = None,
) -> A:
    """The mean of the n - f rows of smallest diameter.

    Needs n >= 2f + 1, f <= 32.  El Mhamdi et al., PODC 2020.  Other keywords: help(lab.rules.functions).
    """
    return _apply("mda", matrix, before, f=f, exponent=exponent, seed=seed)


def geometric_median(
    matrix: A | Sequence[A],
    *,
    f: int | None = None,
    before: str = "",
    exponent: int | None = None,
    seed: Seed = None,
) -> A:
    """The point of least summed distance to the rows, by smoothed Weiszfeld steps until no weight changes.

    Needs n >= 2f + 1.  Pillutla et al., 2019.  Other keywords: help(lab.rules.functions).
    """
    return _apply("geometric-median", matrix, before, f=f, exponent=exponent, seed=seed)


def centred_clipping(
    matrix: A | Sequence[A],
    *,
    radius: float,
    steps: int | None = None,
    centre: A | None = None,
    f: int | None = None,
    before: str = "",
    exponent: int | None = None,
    seed: Seed = None,
) -> A:
    """From the centre, zeros where none is given, the mean of the steps to all rows, each at most the radius long.

    steps: how often, 1 to 64; None: until no weight changes, at most 64 times.

    Needs n >= 2f + 1.  Karimireddy et al., ICML 2021.  Other keywords: help(lab.rules.functions).
    """
    rule = f"centred-clipping:{decimal(radius)}" + ("" if steps is None else f":{steps}")
    return _apply(rule, matrix, before, f=f, exponent=exponent, seed=seed, centre=centre)


def fltrust(
    matrix: A | Sequence[A],
    trusted: A,
    *,
    f: int | None = None,
    before: str = "",
    exponent: int | None = None,
    seed: Seed = None,
) -> A:
    """The mean by how far each row points where the trusted one, (d,), points, and each as long as that.

    Needs n >= 1.  Cao et al., NDSS 2021.  Other keywords: help(lab.rules.functions).
    """
    return _apply("fltrust", matrix, before, f=f, exponent=exponent, seed=seed, trusted=trusted)


def decimal(radius: float) -> str:
    """A radius as it stands in a chain, where + joins steps: every digit, 1e20 for 1e+20; larger than any float: 1e400.

    Raises: MalformedError for what is no number.
    """
    if isinstance(radius, bool) or not isinstance(radius, (int, float, np.integer, np.floating)):
        raise MalformedError("radius", expected="a number", actual=repr(radius))
    number = radius if isinstance(radius, int) else float(radius)
    return "1e400" if number > float_info.max else repr(float(number)).replace("+", "")


def _apply(rule: str, matrix: A | Sequence[A], before: str, **given: Any) -> A:
    if not isinstance(before, str):
        raise MalformedError("before", expected="a text such as nnm", actual=repr(before))
    found: A = aggregate(f"{before}+{rule}" if before else rule, matrix, **given)
    return found
