"""The aggregation rules: from the counted rows to one aggregate, in integers only.

Responsible for: the closed list of rules, applying one of them, and the running totals that go with it.
Must not know:   messages, signatures, trees' hashes, sockets, or slots that were not counted.

    result = aggregate("trimmed-mean", rows, f=2)         # rows (k, d) int16 by ascending slot
    running = totals(rows, result)                        # kept, deviation, alignment by leaf
    opposed = flagged(running)

Spec: docs/protocol.md (numbers; rules), docs/rules.md.
"""

from __future__ import annotations

from coordinator.enclave.rules.accounts import flagged, totals
from coordinator.enclave.rules.base import Aggregation, AggregationRule, check_input
from coordinator.enclave.rules.coordinatewise import Mean, Median, TrimmedMean, WeightedMean
from coordinator.enclave.rules.plain import recheck
from coordinator.enclave.rules.products import gram
from coordinator.enclave.rules.selecting import Krum, MultiKrum
from protocol.errors import UnknownNameError
from protocol.fixedpoint import Int16, Int64

RULES: dict[str, AggregationRule] = {
    "mean": Mean(),
    "weighted-mean": WeightedMean(),
    "median": Median(),
    "trimmed-mean": TrimmedMean(),
    "krum": Krum(),
    "multi-krum": MultiKrum(),
}
"""Every rule by its name in the signed spec; nothing else is ever looked up by a name that came from outside."""


def aggregate(rule_name: str, rows: Int16, *, f: int, m: int = 0, weights: Int64 | None = None) -> Aggregation:
    """Apply a rule to the counted rows, which are not changed.

    rows:    (k, d) int16 by ascending slot, value q * 2**e.
    f:       how many liars the rule is to tolerate; stays as in the spec whatever k is.
    m:       how many rows Multi-Krum takes, 0: k - f; the other rules do not use it.
    weights: (k,) int64, min(samples, weightCap) of every row; for rules that weigh, and only for those.
    returns: the aggregate (d,) int32, value a * 2**(e - 15), and what was kept of which row.

    Raises: UnknownNameError, TooFewCountedError with the bound, MalformedError, RangeError, LengthError.
    """
    rule = RULES.get(rule_name)
    if rule is None:
        raise UnknownNameError("rule", known=RULES, actual=rule_name)
    check_input(rule, rows, f=f, m=m, weights=weights)
    return rule.combine(rows, f=f, m=m, weights=weights)


__all__ = [
    "RULES",
    "aggregate",
    "totals",
    "flagged",
    "recheck",
    "gram",
    "Aggregation",
    "AggregationRule",
]
