"""Every rule here and in the peers, timed side by side in this process.

Responsible for: the lines of scripts/bench_rules.py.
Must not know:   how a peer is called, what becomes of a line.
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from bench_parts.bounds import bound_calls, cores
from bench_parts.results import BOUNDS, OURS, Line
from bench_parts.rows import EXPONENT, Rows, as_floats, make_rows
from bench_parts.rules import Vector, other_definition, our_aggregate
from bench_parts.timing import Call, NotTried, Timing, measure
from protocol.errors import TooFewCountedError, VeriflockError

LIBRARIES = ("numpy", "llvmlite", "scipy", "torch", "byzfl", "byzpy", "flwr")
UNIT = 2.0 ** (EXPONENT - 15)
"""Of an aggregate."""


def about() -> dict[str, Any]:
    """The machine, how many processes it ran in the minute before, versions, which kernels NumPy's BLAS took."""
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    blas = [info for info in threadpool_info() if info["user_api"] == "blas"]
    return {
        "processor": _processor(),
        "cores": cores(),
        "load": round(os.getloadavg()[0], 1),
        "memory_gib": _memory_gib(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions,
        "blas": [f"{info['internal_api']} {info['version']} {info.get('architecture', '')}".strip() for info in blas],
    }


def speed_lines(*, n: int, f: int, d: int, rules: Sequence[str], ours_only: bool, **how: Any) -> Iterator[Line]:
    """Bounds first, then rule by rule, every implementation.  how: repeats and limits, see `measure`."""
    rows = make_rows(n, f, d)
    floats = as_floats(rows)
    size = {"n": n, "f": f, "d": d}
    if not ours_only:
        # Only the peers' environment has them, and PyTorch is not wanted in a process that measures without.
        from bench_parts.peers import as_vector, peer_calls, torch
    bounds = bound_calls(rows.units, floats, None if ours_only else torch)
    for name, timing in measure(bounds, **how).items():
        yield _line(BOUNDS, name, timing) | size
    for rule in rules:
        calls = {OURS: _our_call(rule, rows)} | ({} if ours_only else peer_calls(rule, rows, floats))
        timings = measure(calls, **how)
        for name, timing in timings.items():
            line = _line(rule, name, timing) | size
            if name != OURS and timing.why_not is None:
                line |= _difference(rule, name, timings[OURS].result, as_vector(timing.result))
            yield line


def _our_call(rule: str, rows: Rows) -> Call:
    """Ours; what it refuses is not tried, and says why."""

    def run(_: Any) -> Vector:
        try:
            return our_aggregate(rule, rows)
        except TooFewCountedError as error:
            raise NotTried(f"too few rows: {error.expected} needed") from error
        except VeriflockError as error:
            raise NotTried(f"refused: {error}") from error

    return Call(run=run)


def _line(rule: str, implementation: str, timing: Timing) -> Line:
    line: Line = {"rule": rule, "implementation": implementation, "seconds": None, "spread": None}
    line["repeats"] = len(timing.seconds)
    if timing.why_not is not None:
        return line | {"why_not": timing.why_not}
    line["seconds"] = _rounded(statistics.median(timing.seconds))
    line["spread"] = [_rounded(min(timing.seconds)), _rounded(max(timing.seconds))]
    return line


def _rounded(seconds: float) -> float:
    return float(f"{seconds:.4g}")


def _difference(rule: str, implementation: str, ours: Any, theirs: np.ndarray[Any, np.dtype[np.float64]]) -> Line:
    """The largest over the coordinates, in the aggregate's unit (2**(e - 15)) and in an update's (2**e)."""
    other = other_definition(rule, implementation)
    if other is not None:
        return {"other_definition": other}
    if ours is None:
        return {}
    units = float(np.max(np.abs(theirs / UNIT - ours)))
    return {"difference_units": float(f"{units:.4g}"), "difference_update_units": float(f"{units / 2**15:.4g}")}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), sys.platform)


def _memory_gib() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return round(int(next(line.split()[1] for line in lines if line.startswith("MemTotal:"))) / 2**20)
