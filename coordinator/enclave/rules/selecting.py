"""Rules that choose whole rows by their distances: Krum and Multi-Krum.

Responsible for: scores, the choice, and the mean of the chosen rows.
Must not know:   coordinates, beyond adding the chosen rows up; running totals, trees.

Spec: docs/protocol.md (numbers; rules), docs/rules.md.  Reference: tests/property/reference_rules.py.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import numpy.typing as npt

from coordinator.enclave.rules.base import Aggregation, AggregationRule, blocks
from coordinator.enclave.rules.coordinatewise import mean_of
from coordinator.enclave.rules.products import gram, squared_distances
from protocol.fixedpoint import Int16, Int64
from protocol.rulebook import Rule


class Selecting(AggregationRule):
    """A rule that is one function of the Gram matrix; the aggregate is the unweighted mean of the chosen rows."""

    refutable = True
    selects = True

    @abstractmethod
    def count(self, k: int, f: int, m: int) -> int:
        """How many rows it chooses."""

    def select(self, products: Int64, *, f: int, m: int) -> npt.NDArray[np.bool_]:
        """(k, k) Gram matrix -> (k,) the rows with the smallest (score, slot)."""
        k = products.shape[0]
        scores = krum_scores(products, f=f)
        best = sorted(range(k), key=lambda slot: (scores[slot], slot))[: self.count(k, f, m)]
        selected = np.zeros(k, dtype=np.bool_)
        selected[best] = True
        return selected

    def combine(self, rows: Int16, *, f: int, m: int, weights: Int64 | None) -> Aggregation:
        k, d = rows.shape
        products = gram(rows)
        selected = self.select(products, f=f, m=m)
        chosen = np.flatnonzero(selected)
        aggregate = np.empty(d, dtype=np.int32)
        for block in blocks(k, d):
            # Row by row: rows[chosen, block] would copy, and a sum over one row is no sum.
            sums = np.zeros(block.stop - block.start, dtype=np.int64)
            for slot in chosen:
                sums += rows[slot, block]
            # Never saturates: a mean of int16 times 2**15 lies in [-2**30, 2**30).
            aggregate[block] = mean_of(sums, chosen.size)
        return Aggregation(
            aggregate=aggregate,
            selected=selected,
            weights=np.zeros(k, dtype=np.uint32),
            low=None,
            high=None,
            gram=products,
        )


class Krum(Selecting):
    """The one row that is closest to its neighbours.

    Formula:   score_i = sum of the k - f - 2 smallest ||q_i - q_j||**2 over j != i (squared, not plain distances);
               a = 2**15 * q_w, w the row of the smallest (score, slot).
    Condition: k >= 2f + 3, so that there is at least f + 1 >= 1 neighbour.
    Kept:      every coordinate of the winner, none of the others.
    Ties:      equal scores: the lower slot wins.  Equal distances: the same sum whichever is taken.
    Bounds:    distances are uint64 (below d * 2**32), scores have no bound.
    Ledger:    can refute it (a score, the winner, a tie).
    Source:    Blanchard et al., NIPS 2017, section 4.
    """

    name = "krum"
    code = Rule.KRUM
    paper = "Blanchard et al., NIPS 2017"

    def count(self, k: int, f: int, m: int) -> int:
        return 1


class MultiKrum(Selecting):
    """The mean of the m rows with the best Krum scores.

    Formula:   scores as for Krum, once, over all k rows (k - f - 2 nearest others, squared distances);
               a = floorDiv(2**15 * sum of the m rows of smallest (score, slot), m); m = 0 in the spec: m = k - f.
    Condition: k >= max(2f + 3, m + f).
    Kept:      every coordinate of the m chosen rows, none of the others.
    Ties:      equal scores: the lower slot is chosen first.  Equal distances: the same sum whichever is taken.
    Bounds:    as for Krum.
    Ledger:    can refute it (a score, the choice, a tie, the number chosen, a coordinate of the aggregate).
    Source:    Blanchard et al., NIPS 2017 (the Multi-Krum variant).
    """

    name = "multi-krum"
    code = Rule.MULTI_KRUM
    paper = "Blanchard et al., NIPS 2017"

    def count(self, k: int, f: int, m: int) -> int:
        return m or k - f


def krum_scores(products: Int64, *, f: int) -> list[int]:
    """(k, k) Gram matrix -> k scores, each row's sum of squared distances to its k - f - 2 nearest others.

    Python's integers: a distance fits uint64, but 64 of them need not (d near 2**26, two rows at opposite ends), and
    to refuse such a sum would let two participants make every round late.
    """
    neighbours = products.shape[0] - f - 2
    distances = squared_distances(products)
    distances.sort(axis=1)
    # The first is the row's own zero: no distance is smaller, and another row's zero adds nothing either.
    return [sum(nearest) for nearest in distances[:, 1 : 1 + neighbours].tolist()]
