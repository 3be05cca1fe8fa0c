"""How much memory one rule takes over the rows, in a process that does nothing else.

Responsible for: one line of scripts/bench_rules.py --memory, and how far a process's largest resident set rose.
Must not know:   peers.
"""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench_parts.results import Line
from bench_parts.rows import make_rows
from bench_parts.rules import our_aggregate
from coordinator.enclave.rules.machine import WORTH_IT


def memory_line(*, n: int, f: int, d: int, rule: str) -> Line:
    """ratio: the largest resident set less what the interpreter took before the rows, over the rows' own bytes.

    Raises: what `our_aggregate` raises.
    """
    our_aggregate(rule, make_rows(n, f, -(-WORTH_IT // n)))  # for what is imported, or made into machine code, once
    before = mark()
    rows = make_rows(n, f, d)
    start = time.perf_counter()
    our_aggregate(rule, rows)
    took = time.perf_counter() - start
    line: Line = {"rule": rule, "n": n, "f": f, "d": d, **rise(before, rows.units.nbytes)}
    return line | {"seconds": float(f"{took:.4g}")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What the process takes at one moment."""

    resident_bytes: int
    """Now."""
    peak_bytes: int
    """At most so far."""


def mark() -> Mark:
    """Of this process, now.  Without /proc what it takes now is not known, and the most so far stands for it."""
    peak = _peak_bytes()
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return Mark(resident_bytes=peak, peak_bytes=peak)
    return Mark(resident_bytes=pages * resource.getpagesize(), peak_bytes=peak)


def rise(before: Mark, rows_bytes: int) -> Line:
    """How far the largest resident set is above what there was before, and that over the rows.

    Both are None where it is no larger than it had been: then the memory of now is not known from it.
    """
    peak = _peak_bytes()
    line: Line = {"rows_bytes": rows_bytes, "peak_bytes": None, "ratio": None}
    if peak > before.peak_bytes:
        line["peak_bytes"] = peak - before.resident_bytes
        line["ratio"] = round(line["peak_bytes"] / rows_bytes, 3)
    return line


def _peak_bytes() -> int:
    """Of this process so far; Linux counts in KiB, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
