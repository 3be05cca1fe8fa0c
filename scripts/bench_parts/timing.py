"""Clocks: several implementations of one thing in turn, each within limits of time and memory.

Responsible for: medians with spread, and a sentence where there is none.
Must not know:   rules, peers, rows.
"""

from __future__ import annotations

import gc
import resource
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

SLOW_S = 3.0
"""From here on the first call counts too; a faster one is only to warm up."""
_SPARE = 0.9  # of the memory that is free


class LimitReached(Exception):
    """A call took too long."""


class NotTried(Exception):
    """A call that can't end here, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One implementation, ready to run."""

    run: Callable[[Any], Any]
    """What is timed; takes what `before` returned."""

    before: Callable[[], Any] = lambda: None
    """Done before every run, not timed: a copy for those that overwrite their input."""

    close: Callable[[], None] = lambda: None
    """Done at the end."""


@dataclass(slots=True)
class Timing:
    """What was measured of one implementation."""

    seconds: list[float] = field(default_factory=list)
    result: Any = None
    """Of the first call."""
    why_not: str | None = None
    """Why there are no seconds."""
    spent: float = 0.0


def measure(calls: Mapping[str, Call], *, repeats: int, limit_s: float, budget_s: float) -> dict[str, Timing]:
    """Run all in turn, `repeats` times, after one call each to warm up.

    limit_s:  for one call.
    budget_s: after so long in one implementation it is not repeated.
    """
    timings = {name: Timing() for name in calls}
    try:
        for turn in range(repeats + 1):
            for name, call in calls.items():
                timing = timings[name]
                if timing.why_not is None and (not timing.seconds or timing.spent < budget_s):
                    _once(call, timing, first=turn == 0, limit_s=limit_s)
    finally:
        for call in calls.values():
            call.close()
    return timings


def _once(call: Call, timing: Timing, *, first: bool, limit_s: float) -> None:
    gc.collect()
    try:
        given = call.before()
        with limits(limit_s):
            start = time.perf_counter()
            result = call.run(given)
            took = time.perf_counter() - start
    except LimitReached:
        timing.why_not, timing.seconds = f"did not finish in {limit_s:g} s", []
    except NotTried as why:
        timing.why_not = str(why)
    except MemoryError:
        timing.why_not, timing.seconds = "did not finish: out of memory", []
    except Exception as error:  # a peer's failure is a line of the table, whatever it is
        words = str(error).strip().partition("\n")[0][:120]
        short = "out of memory" if "allocate memory" in words else f"{type(error).__name__}: {words}"
        timing.why_not, timing.seconds = f"did not finish: {short}", []
    else:
        timing.spent += took
        if first:
            timing.result = result
        if not first or took >= SLOW_S:
            timing.seconds.append(took)


@contextmanager
def limits(seconds: float) -> Iterator[None]:
    """Raise LimitReached after that long, and MemoryError before the machine runs out of memory."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise LimitReached

    old_limit = resource.getrlimit(resource.RLIMIT_AS)
    old_handler = signal.signal(signal.SIGALRM, stop)
    resource.setrlimit(resource.RLIMIT_AS, (_address_space(), old_limit[1]))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old_handler)
        resource.setrlimit(resource.RLIMIT_AS, old_limit)


def _address_space() -> int:
    """Bytes that this process may map: what it has, and nine tenths of what is free.  Without /proc, no limit."""
    try:
        has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return resource.RLIM_INFINITY
    free = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    return has + int(_SPARE * free * 1024)
