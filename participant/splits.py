"""Splits: who gets which samples.  Seeded, disjoint, complete, dealt by participant index.

Responsible for: the indices of every participant's shard from labels and a seed.
Must not know:   features, addresses (an index is given on the command line; a new key changes nobody's data).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.errors import EncodingError, RangeError, UnknownNameError

MIN_SAMPLES = 16
"""Fewest samples of a shard: one batch."""

MAX_DRAWS = 1000
"""Dirichlet draws before giving up: at alpha 0.1 and 10 participants on digits a few dozen are needed."""

Indices = NDArray[np.int64]
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A way to deal samples, with its parameter."""

    name: str
    """Key of `SPLITS`."""

    alpha: float
    """Concentration of the Dirichlet split (small: few classes each); not used by the others."""

    def __str__(self) -> str:
        return f"{self.name}:{self.alpha:g}" if self.name == "dirichlet" else self.name


def parse_split(text: str) -> Split:
    """`iid`, `dirichlet`, `dirichlet:ALPHA` (default 1) or `label-sorted`.

    Raises: UnknownNameError, EncodingError, RangeError.
    """
    name, colon, parameter = text.partition(":")
    if name not in SPLITS:
        raise UnknownNameError("split", known=list(SPLITS), actual=name)
    if not colon:
        return Split(name=name, alpha=1.0)
    if name != "dirichlet":
        raise EncodingError(f"parameter of split {name}", expected="none", actual=parameter)
    try:
        alpha = float(parameter)
    except ValueError as error:
        raise EncodingError("alpha of a dirichlet split", expected="a number", actual=parameter) from error
    if not 0 < alpha <= 1e6:
        raise RangeError("alpha of a dirichlet split", expected="above 0, at most 1e6", actual=parameter)
    return Split(name=name, alpha=alpha)


def deal(split: Split, labels: Labels, *, participants: int, seed: int) -> list[Indices]:
    """The shard of every participant: ascending indices into `labels`, disjoint, together all of them.

    Raises: RangeError when there are too few samples, or no draw gave everyone MIN_SAMPLES.
    """
    if not 1 <= participants <= len(labels) // MIN_SAMPLES:
        raise RangeError(
            "number of participants",
            expected=f"1 to {len(labels) // MIN_SAMPLES} ({len(labels)} samples, {MIN_SAMPLES} each)",
            actual=participants,
        )
    if seed < 0:
        raise RangeError("seed", expected="0 or more", actual=seed)
    generator = np.random.Generator(np.random.PCG64([seed, _SPLIT_STREAM]))
    return [np.sort(shard) for shard in SPLITS[split.name](labels, participants, generator, split.alpha)]


def _iid(labels: Labels, participants: int, generator: np.random.Generator, _alpha: float) -> list[Indices]:
    """A shuffled deck, cut into equal parts (sizes differ by one at most)."""
    return np.array_split(generator.permutation(len(labels)), participants)


def _dirichlet(labels: Labels, participants: int, generator: np.random.Generator, alpha: float) -> list[Indices]:
    """Each class is cut in proportions drawn from Dirichlet(alpha); redrawn until everyone has MIN_SAMPLES.

    Source: Hsu, Qi and Brown 2019 (arXiv 1909.06335), per class as in common use.
    """
    decks = [generator.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    fewest = 0
    for _ in range(MAX_DRAWS):
        parts: list[list[Indices]] = [[] for _ in range(participants)]
        for deck in decks:
            shares = generator.dirichlet(np.full(participants, alpha))
            cuts = np.floor(np.cumsum(shares)[:-1] * len(deck)).astype(np.int64)
            for part, cards in zip(parts, np.split(deck, cuts), strict=True):
                part.append(cards)
        shards = [np.concatenate(part) for part in parts]
        smallest = min(len(shard) for shard in shards)
        if smallest >= MIN_SAMPLES:
            return shards
        fewest = max(fewest, smallest)
    raise RangeError(
        f"smallest shard of a dirichlet split with alpha {alpha:g} in {MAX_DRAWS} draws (take a larger alpha or fewer"
        " participants)",
        expected=f"at least {MIN_SAMPLES}",
        actual=fewest,
    )


def _label_sorted(labels: Labels, participants: int, generator: np.random.Generator, _alpha: float) -> list[Indices]:
    """Sorted by label (in random order inside one), cut into equal parts, and the parts dealt in random order."""
    shuffled = generator.permutation(len(labels))
    parts = np.array_split(shuffled[np.argsort(labels[shuffled], kind="stable")], participants)
    return [parts[index] for index in generator.permutation(participants)]


_SPLIT_STREAM = 0x5350
"""Keeps the split's random numbers apart from everything else that is seeded with the federation's seed."""

SPLITS: dict[str, Callable[[Labels, int, np.random.Generator, float], list[Indices]]] = {
    "iid": _iid,
    "dirichlet": _dirichlet,
    "label-sorted": _label_sorted,
}
