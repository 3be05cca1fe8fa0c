"""ByzFL, byzpy and Flower, called as their users call them.

Responsible for: one Call per rule and implementation, on float32 values equal to our rows.
Must not know:   our rules, clocks.

Imports the peers, so only their environment can (scripts/setup_peers.py).
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import math
import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from byzpy import pre_aggregators
from byzpy.aggregators import coordinate_wise, geometric_wise, norm_wise
from byzpy.engine.graph.executor import OperatorExecutor
from byzpy.engine.graph.pool import ActorPoolConfig
from flwr.serverapp.strategy.bulyan import aggregate_n_closest_weights
from flwr.serverapp.strategy.fedtrimmedavg import trim_mean
from flwr.serverapp.strategy.multikrum import select_multikrum
from flwr.serverapp.strategy.strategy_utils import aggregate_arrayrecords

from bench_parts.bounds import cores
from bench_parts.rows import EXPONENT, Rows
from bench_parts.spelling import BUCKET
from bench_parts.timing import Call, NotTried

Floats = npt.NDArray[np.float32]
MOST_SUBSETS = 10**7
"""ByzFL's MDA lists all subsets before it looks at one, in one call that no signal ends."""
OVERWRITES = ("clip", "arc")
"""Stages that ByzFL writes into its input: they get a copy, made outside of the timing."""


def _byzfl_aggregators() -> Any:
    """ByzFL's rules without its front page, which imports benchmarks, and with them torchvision and seaborn."""
    if "byzfl" not in sys.modules:
        found = importlib.util.find_spec("byzfl")
        if found is None or found.submodule_search_locations is None:
            raise ModuleNotFoundError("byzfl")
        package = types.ModuleType("byzfl")
        package.__path__ = list(found.submodule_search_locations)
        sys.modules["byzfl"] = package
    return importlib.import_module("byzfl.aggregators")


BYZFL = _byzfl_aggregators()


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What the peers' constructors take."""

    n: int
    f: int
    d: int
    radius: float
    """Of clipping, in the float's unit."""


Maker = Callable[[Setting], Any]

_BYZFL: Mapping[str, Maker] = {
    "mean": lambda s: BYZFL.Average(),
    "median": lambda s: BYZFL.Median(),
    "trimmed-mean": lambda s: BYZFL.TrMean(f=s.f),
    "meamed": lambda s: BYZFL.Meamed(f=s.f),
    "krum": lambda s: BYZFL.Krum(f=s.f),
    "multi-krum": lambda s: BYZFL.MultiKrum(f=s.f),
    "geometric-median": lambda s: BYZFL.GeometricMedian(),
    "centred-clipping": lambda s: BYZFL.CenteredClipping(tau=s.radius),
    "mda": lambda s: BYZFL.MDA(f=s.f),
    "clip": lambda s: BYZFL.Clipping(c=s.radius),
    "arc": lambda s: BYZFL.ARC(f=s.f),
    "bucketing": lambda s: BYZFL.Bucketing(s=BUCKET),
    "nnm": lambda s: BYZFL.NNM(f=s.f),
}
"""Aggregators and, from clip on, what goes before one."""

_BYZPY: Mapping[str, Maker] = {
    "median": lambda s: coordinate_wise.CoordinateWiseMedian(chunk_size=_share(s.d)),
    "trimmed-mean": lambda s: coordinate_wise.CoordinateWiseTrimmedMean(s.f, chunk_size=_share(s.d)),
    "krum": lambda s: geometric_wise.Krum(s.f, chunk_size=_share(s.n)),
    "multi-krum": lambda s: geometric_wise.MultiKrum(s.f, s.n - s.f, chunk_size=_share(s.n)),
    "geometric-median": lambda s: geometric_wise.GeometricMedian(chunk_size=_share(s.n)),
    "centred-clipping": lambda s: norm_wise.CenteredClipping(c_tau=s.radius, M=1, init="zero", chunk_size=_share(s.n)),
    "mda": lambda s: geometric_wise.MinimumDiameterAveraging(s.f),
    "clip": lambda s: pre_aggregators.Clipping(s.radius, chunk_size=_share(s.n)),
    "arc": lambda s: pre_aggregators.ARC(s.f, chunk_size=_share(s.n)),
    "bucketing": lambda s: pre_aggregators.Bucketing(BUCKET, feature_chunk_size=_share(s.d)),
    "nnm": lambda s: pre_aggregators.NearestNeighborMixing(s.f, feature_chunk_size=_share(s.d)),
}
"""Chunks (used by its pool only) as large as the workers allow, which is faster than its defaults."""


def _share(size: int) -> int:
    return -(-size // cores())


def peer_calls(rule: str, rows: Rows, floats: Floats) -> dict[str, Call]:
    """By implementation, every peer that has the rule."""
    n, d = rows.units.shape
    setting = Setting(n=n, f=rows.f, d=d, radius=rows.clip * 2.0**EXPONENT)
    stages = rule.split("+")
    calls: dict[str, Call] = {}
    if all(stage in _BYZFL for stage in stages):
        calls["byzfl-numpy"] = _byzfl(stages, setting, floats)
        calls["byzfl-torch"] = _byzfl(stages, setting, torch.from_numpy(floats))
    if all(stage in _BYZPY for stage in stages):
        calls["byzpy"] = _byzpy(stages, setting, floats)
        if rule != "mda":
            calls["byzpy-pool"] = _byzpy_pool(stages, setting, floats)
    if rule in _FLOWER:
        calls["flower"] = _flower(rule, rows, floats)
    return calls


def as_vector(result: Any) -> npt.NDArray[np.float64]:
    """(d,) of whatever a peer returned."""
    if hasattr(result, "to_numpy_ndarrays"):
        result = result.to_numpy_ndarrays()[0]
    return np.asarray(result, dtype=np.float64)


def _byzfl(stages: list[str], setting: Setting, values: Any) -> Call:
    """Built anew each time, as centred clipping keeps its centre."""

    def run(given: Any) -> Any:
        torch.set_num_threads(cores())
        if "mda" in stages and (subsets := math.comb(setting.n, setting.f)) > MOST_SUBSETS:
            raise NotTried(f"not tried: would list {subsets:.1e} subsets")
        for stage in stages:
            given = _BYZFL[stage](setting)(given)
        return given

    overwrites = any(stage in OVERWRITES for stage in stages)
    copy = values.copy if isinstance(values, np.ndarray) else values.clone
    return Call(run=run, before=copy if overwrites else lambda: values)


def _byzpy(stages: list[str], setting: Setting, floats: Floats) -> Call:
    """Straight: PyTorch in this thread."""
    tensors = list(torch.from_numpy(floats))

    def run(given: Any) -> Any:
        torch.set_num_threads(cores())  # its pool lowers it
        for stage in stages[:-1]:
            given = _BYZPY[stage](setting).pre_aggregate(given)
        return _BYZPY[stages[-1]](setting).aggregate(given)

    return Call(run=run, before=lambda: tensors)


def _byzpy_pool(stages: list[str], setting: Setting, floats: Floats) -> Call:
    """On its pool of threads, one for each core, which is started before."""
    tensors = list(torch.from_numpy(floats))
    loop = asyncio.new_event_loop()
    pool = ActorPoolConfig(backend="thread", count=cores())
    operators = [_BYZPY[stage](setting) for stage in stages]
    executors = [OperatorExecutor(operator, pool_config=pool) for operator in operators]

    def run(given: Any) -> Any:
        torch.set_num_threads(cores())
        for operator, executor in zip(operators, executors, strict=True):
            given = loop.run_until_complete(executor.run({operator.input_key: given}))
        return given

    def close() -> None:
        for executor in executors:
            loop.run_until_complete(executor.__aexit__(None, None, None))
        loop.close()

    return Call(run=run, before=lambda: tensors, close=close)


class _Array:
    """What Flower reads of an array in a reply, already decoded: its own time is measured, not that of its wire."""

    def __init__(self, row: Floats) -> None:
        self.row = row

    def numpy(self) -> Floats:
        return self.row


class _Record(dict[str, _Array]):
    def to_numpy_ndarrays(self) -> list[Floats]:
        return [array.row for array in self.values()]


class _Reply(dict[str, Any]):
    def __init__(self, row: Floats, samples: int) -> None:
        self.array_records = {"arrays": _Record(vector=_Array(row))}
        self.metric_records = {"metrics": {"num-examples": samples}}
        super().__init__(self.array_records | self.metric_records)


def _bulyan(replies: list[_Reply], rows: Rows) -> Any:
    """Its strategy's steps, without the messages."""
    theta = len(replies) - 2 * rows.f
    if theta < 2 * rows.f + 3:
        raise ValueError("n < 4f + 3")
    chosen = [[reply["arrays"]["vector"].row] for reply in select_multikrum(replies, rows.f, theta)]
    middle = [np.median(layer, axis=0) for layer in zip(*chosen, strict=True)]
    return aggregate_n_closest_weights(middle, chosen, theta - 2 * rows.f)[0]


def _selected(replies: list[_Reply], f: int, m: int) -> Any:
    return aggregate_arrayrecords(select_multikrum(replies, f, m), "num-examples")


def _stack(replies: list[_Reply]) -> Floats:
    return np.stack([reply["arrays"]["vector"].row for reply in replies])


_FLOWER: Mapping[str, Callable[[list[_Reply], Rows], Any]] = {
    "mean": lambda replies, rows: aggregate_arrayrecords(replies, "num-examples"),
    "weighted-mean": lambda replies, rows: aggregate_arrayrecords(replies, "num-examples"),
    "median": lambda replies, rows: np.median(_stack(replies), axis=0),
    # a fraction that its int(beta * n) makes f of, whatever the last bit
    "trimmed-mean": lambda replies, rows: trim_mean(_stack(replies), (rows.f + 0.5) / len(replies)),
    "krum": lambda replies, rows: _selected(replies, rows.f, 1),
    "multi-krum": lambda replies, rows: _selected(replies, rows.f, len(replies) - rows.f),
    "bulyan": _bulyan,
}
"""By strategy: FedAvg, FedMedian, FedTrimmedAvg, Krum, MultiKrum, Bulyan."""


def _flower(rule: str, rows: Rows, floats: Floats) -> Call:
    samples = rows.samples if rule == "weighted-mean" else np.ones_like(rows.samples)
    replies = [_Reply(row, int(count)) for row, count in zip(floats, samples, strict=True)]
    return Call(run=lambda given: _FLOWER[rule](given, rows), before=lambda: replies)
