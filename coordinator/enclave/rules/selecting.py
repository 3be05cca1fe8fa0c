"""Rules that choose whole rows by their distances: Krum, Multi-Krum, Bulyan, minimum diameter averaging.

Responsible for: scores, diameters, and the choice.
Must not know:   coordinates; running totals, trees.

Spec: docs/rules.md.  Reference: verifier/replay_rules.py.
"""

from __future__ import annotations

import numpy as np

from coordinator.enclave.rules.base import AggregationRule, Choice
from coordinator.enclave.rules.coordinatewise import mean_of
from coordinator.enclave.rules.covers import least_diameter
from coordinator.enclave.rules.plan import Window
from coordinator.enclave.rules.points import Exact, Points
from protocol.fixedpoint import Int64


class Krum(AggregationRule):
    """The one row that is closest to its neighbours.

    Formula:   score_i = sum of the k - f - 2 smallest ||v_i - v_j||**2 over j != i (squared, not plain distances);
               a = floorDiv(2**15 * v_w, S), w the row of the smallest (score, place).
    Condition: k >= 2f + 3, so that there is at least f + 1 >= 1 neighbour.
    Kept:      every coordinate of the winner, none of the others.
    Ties:      equal scores: the lower place wins.  Equal distances: the same sum whichever is taken.
    Bounds:    of int16 rows distances are uint64 (below d * 2**32), scores have no bound.
    Ledger:    can refute it (a score, the winner, a tie).
    Source:    Blanchard et al., NIPS 2017, section 4.
    """

    name = "krum"

    def choose(self, points: Points, *, numbers: tuple[int, ...], f: int, m: int, weights: Int64 | None) -> Choice:
        return _mean_of_best(points, f=f, count=1)


class MultiKrum(AggregationRule):
    """The mean of the m rows with the best Krum scores.

    Formula:   scores as for Krum, once, over all k rows (k - f - 2 nearest others, squared distances);
               a = floorDiv(2**15 * sum of the m rows of smallest (score, place), S m); m = 0 in the spec: m = k - f.
    Condition: k >= max(2f + 3, m + f).
    Kept:      every coordinate of the m chosen rows, none of the others.
    Ties:      equal scores: the lower place is chosen first.  Equal distances: the same sum whichever is taken.
    Bounds:    as for Krum.
    Ledger:    can refute it (a score, the choice, a tie, the number chosen, a coordinate of the aggregate).
    Source:    Blanchard et al., NIPS 2017 (the Multi-Krum variant).
    """

    name = "multi-krum"

    def choose(self, points: Points, *, numbers: tuple[int, ...], f: int, m: int, weights: Int64 | None) -> Choice:
        return _mean_of_best(points, f=f, count=m or points.k - f)


class Bulyan(AggregationRule):
    """Krum again and again until k - 2f rows are chosen, then the values nearest their median.

    Formula:   of the r rows that are left, the one of smallest (score, place) is taken, scored by its max(r - f - 2, 1)
               nearest others among these (0 where r is 1), until theta = k - 2f are; then per coordinate the mean of
               the theta - 2f values nearest the median of these theta, as for `meamed`.
    Condition: k >= 4f + 3.
    Kept:      of the chosen rows, values from the smallest to the largest of those averaged.
    Ties:      as for Krum, and as for Meamed.
    Ledger:    can't refute it; a replay can.
    Source:    El Mhamdi et al., ICML 2018, section 4.
    """

    name = "bulyan"

    def choose(self, points: Points, *, numbers: tuple[int, ...], f: int, m: int, weights: Int64 | None) -> Choice:
        theta = points.k - 2 * f
        chosen = tuple(sorted(_krum_repeated(points.distances(), f=f, count=theta)))
        window = Window(places=chosen, count=theta - 2 * f, scale=points.scale)
        return Choice(combination=window, selected=chosen)


class MinimumDiameterAveraging(AggregationRule):
    """The mean of the k - f rows that lie closest together.

    Formula:   of all sets of k - f rows the one whose largest squared distance between two rows is smallest;
               a = floorDiv(2**15 * sum of them, S (k - f)).  Exact, without looking at every set: see covers.py.
    Condition: k >= 2f + 1; f <= 32, because the time grows as 1.47**f at worst.
    Kept:      every coordinate of these rows, none of the others.
    Ties:      sets of the same diameter: the one whose ascending places come first in lexicographic order.
    Ledger:    can't refute it; a replay can.
    Source:    El Mhamdi et al., PODC 2020; the estimator is Rousseeuw's, 1985.
    """

    name = "mda"

    def choose(self, points: Points, *, numbers: tuple[int, ...], f: int, m: int, weights: Int64 | None) -> Choice:
        chosen = least_diameter(points.distances().tolist(), f)
        return Choice(combination=mean_of(chosen, points), selected=chosen)


def krum_scores(distances: Exact, *, f: int) -> list[int]:
    """(k, k) squared distances -> k scores, each row's sum of those to its k - f - 2 nearest others.

    Python's integers: a distance fits uint64, but 64 of them need not (d near 2**26, two rows at opposite ends), and
    to refuse such a sum would let two participants make every round late.
    """
    neighbours = distances.shape[0] - f - 2
    ordered = np.sort(distances, axis=1)
    # The first is the row's own zero: no distance is smaller, and another row's zero adds nothing either.
    return [sum(nearest) for nearest in ordered[:, 1 : 1 + neighbours].tolist()]


def _mean_of_best(points: Points, *, f: int, count: int) -> Choice:
    scores = krum_scores(points.distances(), f=f)
    chosen = tuple(sorted(sorted(range(points.k), key=lambda place: (scores[place], place))[:count]))
    return Choice(combination=mean_of(chosen, points), selected=chosen)


def _krum_repeated(distances: Exact, *, f: int, count: int) -> list[int]:
    """Places in the order in which they are taken.

    With every row that goes, one neighbour fewer counts: if it was among the nearest, the others are the nearest that
    are left; if not, the farthest of them goes.  So a score is kept up by one subtraction.
    """
    k = distances.shape[0]
    order = [
        [place for place in line if place != i]
        for i, line in enumerate(np.argsort(distances, axis=1, kind="stable").tolist())
    ]
    rank = [{place: at for at, place in enumerate(line)} for line in order]
    far = distances.tolist()
    left = set(range(k))
    last = [k - f - 3] * k  # rank of the farthest neighbour that counts
    scores = [sum(far[i][j] for j in order[i][: k - f - 2]) for i in range(k)]
    taken: list[int] = []
    while len(taken) < count:
        best = min(left, key=lambda place: (scores[place], place))
        taken.append(best)
        left.remove(best)
        counted = len(left) - f - 2
        for i in left:
            if counted >= 1:
                gone = best if rank[i][best] <= last[i] else order[i][last[i]]
                scores[i] -= far[i][gone]
                while last[i] >= 0 and (order[i][last[i]] not in left or order[i][last[i]] == gone):
                    last[i] -= 1
            else:
                nearest = next((j for j in order[i] if j in left), None)
                scores[i] = 0 if nearest is None else far[i][nearest]
    return taken
