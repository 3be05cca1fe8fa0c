"""The aggregation rules: from the counted rows to one aggregate, in integers only.

Responsible for: applying a chain of stages and a rule, and the running totals that go with it.
Must not know:   messages, signatures, trees' hashes, sockets, or slots that were not counted.

    result = aggregate("nnm+trimmed-mean", rows, f=2)     # rows (k, d) int16 by ascending slot
    running = totals(rows, result)                        # kept, deviation, alignment by leaf
    opposed = flagged(running)

A chain becomes a plan (engine.py): stages (stages.py) and rule (coordinatewise.py, selecting.py, weighting.py) look at
whole rows through inner products (points.py) and decide; the plan (plan.py) is then done to every block of coordinates
(execute.py), by NumPy or by machine code (kernels/).

Spec: docs/rules.md; docs/protocol.md (numbers; rules).
"""

from __future__ import annotations

from coordinator.enclave.rules.accounts import account, flagged, totals
from coordinator.enclave.rules.base import Aggregation, AggregationRule
from coordinator.enclave.rules.engine import RULES, STAGES, aggregate
from coordinator.enclave.rules.plain import recheck

__all__ = [
    "RULES",
    "STAGES",
    "aggregate",
    "account",
    "totals",
    "flagged",
    "recheck",
    "Aggregation",
    "AggregationRule",
]
