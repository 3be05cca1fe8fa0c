"""From a chain and the rows to a plan, and from the plan to the aggregate.

Responsible for: the closed list of rules and stages, and in which order they look at the rows.
Must not know:   messages, signatures, trees, slots that were not counted; how coordinates are walked (execute.py).

Spec: docs/rules.md; docs/protocol.md (numbers; rules).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from coordinator.enclave.rules.base import Aggregation, AggregationRule, Stage, check_input, check_scale
from coordinator.enclave.rules.coordinatewise import Meamed, Mean, Median, TrimmedMean, WeightedMean
from coordinator.enclave.rules.execute import look_at, run
from coordinator.enclave.rules.plan import Mixed, Plan, Weighted
from coordinator.enclave.rules.points import Points
from coordinator.enclave.rules.selecting import Bulyan, Krum, MinimumDiameterAveraging, MultiKrum
from coordinator.enclave.rules.stages import Arc, Bucketing, Clip, NearestNeighbourMixing
from coordinator.enclave.rules.weighting import CentredClipping, FlTrust, GeometricMedian
from protocol.errors import MalformedError, RangeError
from protocol.fixedpoint import Int16, Int64
from protocol.hashing import sha256
from protocol.rulebook import Chain, parse_chain
from protocol.trees import Rows

RULES: dict[str, AggregationRule] = {
    rule.name: rule
    for rule in (
        *(Mean(), WeightedMean(), Median(), TrimmedMean(), Meamed()),
        *(Krum(), MultiKrum(), Bulyan(), MinimumDiameterAveraging()),
        *(GeometricMedian(), CentredClipping(), FlTrust()),
    )
}
"""Every rule by its name in the signed spec; nothing else is ever looked up by a name that came from outside."""

STAGES: dict[str, Stage] = {stage.name: stage for stage in (Clip(), Arc(), Bucketing(), NearestNeighbourMixing())}
"""Every stage before a rule, likewise."""


MAX_DRAWN_SLOT = (1 << 16) - 1
"""A slot is two bytes of what an order is drawn by."""


def aggregate(
    chain: str | Chain,
    rows: Rows,
    *,
    f: int,
    m: int = 0,
    weights: Int64 | None = None,
    slots: Sequence[int] | None = None,
    seed: bytes = bytes(32),
    centre: Int16 | None = None,
    trusted: Int16 | None = None,
) -> Aggregation:
    """Apply a chain to the counted rows, which are not changed.

    chain:   `krum`, `nnm+trimmed-mean`; see docs/rules.md.
    rows:    (k, d) int16 by ascending slot, value q * 2**e: a matrix, or k vectors.  No update has -32768: with it,
             large rows are refused where their products are needed.
    f:       how many liars the rule is to tolerate; stays as in the spec whatever k is.
    m:       how many rows Multi-Krum takes, 0: k - f; the other rules do not use it.
    weights: (k,) int64, min(samples, weightCap) of every row; for rules that weigh, and only for those.
    slots:   (k,) the rows' slots, ascending, for the order that bucketing draws; None: 0 to k - 1.
    seed:    32 bytes, for the same.
    centre:  (d,) int16, for centred clipping; None: zeros.
    trusted: (d,) int16, for FLTrust, which needs one.
    returns: the aggregate (d,) int32, value a * 2**(e - 15), and what was kept of which row.

    Raises: UnknownNameError, TooFewCountedError with the bound, MalformedError, RangeError, LengthError.
    """
    if isinstance(chain, str):
        chain = parse_chain(chain)
    rule = RULES[chain.rule.name]
    slots = range(len(rows)) if slots is None else slots
    check_input(chain, rule, rows, f=f, m=m, weights=weights, slots=slots)
    everything = (*rows, *_further(rule, rows, centre=centre, trusted=trusted))
    points = Points(look=look_at(everything), count=len(everything), extra=len(everything) - len(rows))
    plan = decide(chain, points, f=f, m=m, weights=weights, slots=slots, seed=seed)
    columns = run(plan, everything)
    return Aggregation(
        chain=chain,
        plan=plan,
        aggregate=columns.aggregate.astype(np.int32, copy=False),
        selected=plan.selected_rows(),
        weights=np.zeros(len(rows), dtype=np.uint32) if weights is None else weights.astype(np.uint32),
        low=columns.low,
        high=columns.high,
        products=tuple(points.products),
    )


def decide(
    chain: Chain,
    points: Points,
    *,
    f: int,
    m: int,
    weights: Int64 | None,
    slots: Sequence[int],
    seed: bytes,
) -> Plan:
    """What is done with every coordinate, decided by looking at whole rows as often as the chain needs.

    points: the rows as they were sent, and the rule's further row behind them.
    """
    order: list[int] = []
    if any(step.name == "bucketing" for step in chain.stages):
        if slots[-1] > MAX_DRAWN_SLOT:
            raise RangeError("slot in a drawn order", expected=f"at most {MAX_DRAWN_SLOT}", actual=slots[-1])
        order = sorted(range(points.k), key=lambda place: sha256(seed, slots[place].to_bytes(2)))
    stands: tuple[int, ...] = tuple(range(points.k))
    for step in chain.stages:
        mapped = STAGES[step.name].decide(points, numbers=step.numbers, f=f, order=order)
        if mapped.stands is not None:
            stands = tuple(mapped.stands[place] for place in stands)
        transform = mapped.transform.with_rows(points.extra, after=points.k)
        points = points.behind(transform, count=points.k if mapped.stands is None else 1 + max(mapped.stands))
        check_scale(points.k, points.scale)
    choice = RULES[chain.rule.name].choose(points, numbers=chain.rule.numbers, f=f, m=m, weights=weights)
    transforms, combination = points.transforms, choice.combination
    while transforms and isinstance(last := transforms[-1], Mixed) and isinstance(combination, Weighted):
        points = points.before or points
        combination = replace(combination, weights=last.folded(combination.weights, rows=points.count))
        transforms = transforms[:-1]
    return Plan(transforms=transforms, combination=combination, stands=stands, selected=choice.selected)


def _further(rule: AggregationRule, rows: Rows, *, centre: Int16 | None, trusted: Int16 | None) -> tuple[Int16, ...]:
    """The row that the rule takes beside those of the participants."""
    for name, row in (("centre", centre), ("trusted", trusted)):
        if row is not None and rule.extra != name:
            raise MalformedError(f"{name} row for {rule.name}", expected="none", actual="one")
        if row is not None and (row.dtype != np.int16 or row.shape != rows[0].shape):
            raise MalformedError(
                f"{name} row", expected=f"{rows[0].shape} of int16", actual=f"{row.shape} of {row.dtype}"
            )
    if rule.extra == "trusted" and trusted is None:
        raise MalformedError(f"trusted row for {rule.name}", expected="one", actual="none")
    row = centre if rule.extra == "centre" else trusted
    return () if row is None else (row,)
