"""From rows in files to what a result says of them, part by part.

Responsible for: which passes there are, what is added up between them, and the result.
Must not know:   where the work on a part is done (whoever runs it), what it consists of (parts.py).

1. As often as the chain looks at whole rows: inner products of every part, added up.
2. The plan is made of these, once, here.
3. The totals of every part, added up to what lies before each.
4. Aggregate and subtrees of every part, with the totals before it in its leaves; the roots come of the subtrees.

The rows are read once in each pass, by whoever works on a part; what is sent about is small, but for the aggregate.

Spec: docs/rules.md; docs/protocol.md section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from coordinator.enclave.rules import RULES
from coordinator.enclave.rules.base import check_input
from coordinator.enclave.rules.engine import decide
from coordinator.enclave.rules.plan import Plan, Transform
from coordinator.enclave.rules.points import Exact, Pass, Points
from coordinator.shards.parts import Sums, Task, Work, part_products, part_sums, part_trees, split
from coordinator.shards.rows import RowFiles
from coordinator.shards.subtrees import Growing
from protocol.errors import PolicyError
from protocol.fixedpoint import Int32, Int64
from protocol.rulebook import Chain, needs_gram

P = TypeVar("P")
R = TypeVar("R")

PARTS_PER_WORKER = 4
"""So many that a slow worker holds up the others for a quarter of its share, and few enough for prefixes of k x k."""


class Runner(Protocol):
    """Whoever does the work on parts."""

    workers: int
    """How many parts are worked on at the same time."""

    def each(self, work: Callable[[P], R], parts: Sequence[P]) -> Iterator[R]:
        """`work` of every part, in their order.  `work` is a function of a module, or such a one with arguments."""
        ...


class LocalRunner:
    """Here, one part after the other."""

    workers = 1

    def each(self, work: Callable[[P], R], parts: Sequence[P]) -> Iterator[R]:
        """As in Runner."""
        return map(work, parts)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recomputed:
    """What a result says of k rows of d coordinates, as far as it follows from them."""

    column_root: bytes
    gram_root: bytes | None
    """None where a round of the rule has no Gram tree."""
    aggregate: Int32
    """(d,) value a * 2**(e - 15)."""
    selected: npt.NDArray[np.bool_]
    """(k,)"""
    kept: npt.NDArray[np.uint32]
    """(k,)"""
    deviation: npt.NDArray[np.uint64]
    """(k,)"""
    alignment: Int64
    """(k,); below zero the row is flagged."""


def recompute(
    rows: RowFiles,
    chain: Chain,
    *,
    f: int,
    m: int = 0,
    weights: Int64 | None = None,
    slots: Sequence[int] | None = None,
    seed: bytes = bytes(32),
    runner: Runner | None = None,
) -> Recomputed:
    """A chain on the rows, as the enclave applies it to a round's: a centre is zero, and there is no trusted row.

    f, m, weights, slots, seed: as for `coordinator.enclave.rules.aggregate`.
    runner: whoever works on parts; without one this process.

    Raises: what `aggregate` raises; RangeError for a coordinate of -32768; PolicyError for a rule that needs a trusted
            row; OSError; what the runner raises.
    """
    runner = runner or LocalRunner()
    slots = range(rows.count) if slots is None else slots
    rule = RULES[chain.rule.name]
    check_input(chain, rule, rows.map(), f=f, m=m, weights=weights, slots=slots)
    if rule.extra == "trusted":
        raise PolicyError(f"a round of {chain.rule}", expected="a rule without a trusted row, which no round has")

    parts = split(rows.dimension, runner.workers * PARTS_PER_WORKER)
    seen: list[Int64] = []
    points = Points(look=_look(rows, parts, runner, seen), count=rows.count, extra=0)
    plan = decide(chain, points, f=f, m=m, weights=weights, slots=slots, seed=seed)
    work = Work(rows=rows, chain=chain, plan=plan)
    return _apply(work, parts, runner, seen if needs_gram(chain.number) else None)


def _look(rows: RowFiles, parts: list[slice], runner: Runner, seen: list[Int64]) -> Pass:
    """Inner products by a pass over all parts.  `seen`: gets every part's, of the rows as they were sent."""

    def look(transforms: tuple[Transform, ...], everything: bool) -> Exact:
        total: npt.NDArray[Any] = np.zeros((), dtype=np.int64)
        for found in runner.each(partial(part_products, rows, transforms, everything), parts):
            if everything and not transforms:
                seen.append(found.astype(np.int64))
            total = total + found
        return total

    return look


def _apply(work: Work, parts: list[slice], runner: Runner, products: list[Int64] | None) -> Recomputed:
    """Passes 3 and 4.  `products`: every part's, where there is a Gram tree."""
    nothing = Sums.nothing(work.rows.count)
    sums = list(accumulate(runner.each(partial(part_sums, work), parts), initial=nothing))
    before = list(accumulate(products or [], initial=np.zeros((work.rows.count,) * 2, dtype=np.int64)))
    tasks = [
        Task(part=part, before=sums[i], products_before=None if products is None else before[i])
        for i, part in enumerate(parts)
    ]
    column, gram = Growing(), Growing()
    aggregate = np.empty(work.rows.dimension, dtype=np.int32)
    for part, hashed in zip(parts, runner.each(partial(part_trees, work), tasks), strict=True):
        aggregate[part] = hashed.aggregate
        column.extend(hashed.column)
        gram.extend(hashed.gram)
    total = sums[-1]
    return Recomputed(
        column_root=column.root,
        gram_root=None if products is None else gram.root,
        aggregate=aggregate,
        selected=_selected(work.plan),
        kept=total.kept,
        deviation=total.deviation,
        alignment=total.alignment,
    )


def _selected(plan: Plan) -> npt.NDArray[np.bool_]:
    return np.array([plan.selected is None or place in plan.selected for place in plan.stands], dtype=np.bool_)
