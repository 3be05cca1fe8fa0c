"""How much memory one rule takes over the rows, in a process that does nothing else.

Responsible for: one line of scripts/bench_rules.py --memory.
Must not know:   peers.
"""

from __future__ import annotations

import resource
import sys
import time

from bench_parts.results import Line
from bench_parts.rows import make_rows
from bench_parts.rules import our_aggregate


def memory_line(*, n: int, f: int, d: int, rule: str) -> Line:
    """ratio: the largest resident set less what the interpreter took before the rows, over the rows' own bytes."""
    our_aggregate(rule, make_rows(n, f, 16))  # whatever is imported or compiled once
    before = _peak_bytes()
    rows = make_rows(n, f, d)
    start = time.perf_counter()
    our_aggregate(rule, rows)
    took = time.perf_counter() - start
    peak = _peak_bytes() - before
    size = rows.units.nbytes
    line: Line = {"rule": rule, "n": n, "f": f, "d": d, "rows_bytes": size, "peak_bytes": peak}
    return line | {"ratio": round(peak / size, 3), "seconds": float(f"{took:.4g}")}


def _peak_bytes() -> int:
    """Of this process so far; Linux counts in KiB, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
