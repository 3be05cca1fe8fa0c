"""What each numeric kernel costs, beside reading the rows once: the measure that no kernel can beat.

Prints one JSON line a kernel: median and spread (third less first quartile) of some repetitions on all processors, CPU
seconds of the cheapest one, what the first call cost beyond (code is made then), and the median over that of reading.
"""

from __future__ import annotations

import argparse
import ctypes
import functools
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench_parts.command import exit_code, whole
from coordinator.enclave.rules.kernels.mixing import MixLists, mix_block
from coordinator.enclave.rules.kernels.products import gram
from coordinator.enclave.rules.kernels.ranking import ranked_block, window_block
from coordinator.enclave.rules.kernels.sums import scaled_block, weighted_sum_block
from coordinator.enclave.rules.kernels.table import RowTable
from protocol.errors import UnavailableError
from protocol.fixedpoint import Int16, Int32, Int64
from protocol.native import WIDE, Code, each, is_available

BLOCK = 1 << 15
VECTOR = 128
"""Values that are read at once; no row may have fewer."""
READ = f"""
define i64 @read(ptr %from, i64 %values) #0 {{
entry:
%count = udiv i64 %values, {VECTOR}
%tail = sub i64 %values, {VECTOR}
%tail_place = getelementptr i16, ptr %from, i64 %tail
%tail_value = load <32 x i64>, ptr %tail_place, align 2
br label %loop
loop:
%i = phi i64 [0, %entry], [%next, %loop]
%bits = phi <32 x i64> [%tail_value, %entry], [%more, %loop]
%place = getelementptr <32 x i64>, ptr %from, i64 %i
%value = load <32 x i64>, ptr %place, align 2
%more = or <32 x i64> %bits, %value
%next = add i64 %i, 1
%again = icmp ult i64 %next, %count
br i1 %again, label %loop, label %end
end:
%all = call i64 @llvm.vector.reduce.or(<32 x i64> %more)
ret i64 %all
}}
attributes #0 = {{ {WIDE} }}
"""
"""An OR over all of a row: its vectors from the front, and the last one, which overlaps where they don't divide it."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Repetitions of one kernel."""

    seconds: float
    """Median."""
    spread: float
    """Third less first quartile."""
    cpu_seconds: float
    """Least, over all threads: what others on the machine hardly change."""
    first_seconds: float
    """The first call, less the median."""


def measure(work: Callable[[], None], repetitions: int) -> Cost:
    """One call whose time is kept apart, then the others."""
    seconds, cpu = [], []
    for _ in range(repetitions + 1):
        before, cpu_before = time.perf_counter(), time.process_time()
        work()
        seconds.append(time.perf_counter() - before)
        cpu.append(time.process_time() - cpu_before)
    first, *others = seconds
    low, median, high = statistics.quantiles(others, n=4)
    return Cost(median, high - low, min(cpu[1:]), first - median)


def reader() -> Callable[..., int]:
    """Takes the address of a row and how many values it has, at least VECTOR; returns 0 where all of them are."""
    return Code(READ).function("read", ctypes.c_void_p, ctypes.c_int64, result=ctypes.c_int64)


def kernels(rows: Int16, f: int) -> dict[str, Callable[[], None]]:
    """Every kernel on the rows, by name; reading comes first."""
    k, d = rows.shape
    table, rng = RowTable.of(rows), np.random.default_rng(1)
    aggregate, sums = np.zeros(d, dtype=np.int32), np.zeros(d, dtype=np.int64)
    low, high, made = np.zeros(d, dtype=np.int16), np.zeros(d, dtype=np.int16), np.zeros((k, d), dtype=np.int16)
    members = np.ones((k, k), dtype=np.bool_)
    for row in members:
        row[rng.permutation(k)[:f]] = False
    lists = MixLists.of(members)
    factors: Int32 = np.array(rng.integers(0, 1 << 16, k), dtype=np.int32)
    products: list[Int64] = []
    chosen = (np.arange(k) >= f).astype(np.int64)
    read = reader()

    def blocks(work: Callable[[slice], None]) -> Callable[[], None]:
        return lambda: each(work, [slice(start, min(start + BLOCK, d)) for start in range(0, d, BLOCK)])

    def ranked(first: int, last: int) -> Callable[[], None]:
        return blocks(
            lambda b: ranked_block(
                table, b.start, b.stop, first=first, last=last, aggregate=aggregate[b], bounds=(low[b], high[b])
            )
        )

    def weighted(weights: Int64, out: Int32 | Int64) -> Callable[[], None]:
        return blocks(lambda b: weighted_sum_block(table, b.start, b.stop, weights=weights, out=out[b]))

    def window(b: slice) -> None:
        window_block(table, b.start, b.stop, count=k - f, aggregate=aggregate[b], bounds=(low[b], high[b]))

    def ranked_mixed(b: slice) -> None:
        out, scale = aggregate[b], k - f
        ranked_block(table, b.start, b.stop, first=f, last=k - f - 1, lists=lists, scale=scale, aggregate=out)

    def mix_only(b: slice) -> None:
        mix_block(table, b.start, b.stop, lists=lists, out=np.empty((k, b.stop - b.start), dtype=np.int32))

    return {
        "read once": lambda: each(lambda row: read(row.ctypes.data, d), rows),
        "trimmed mean": ranked(f, k - f - 1),
        "median": ranked((k - 1) // 2, k // 2),
        "mean around median": blocks(window),
        "gram": lambda: products.append(gram(table)),
        "mean of a subset": weighted(chosen, aggregate),
        "sum with Q15 weights": weighted(np.full(k, (1 << 15) // k, dtype=np.int64), aggregate),
        "sum with int64 weights": weighted(np.full(k, 1 << 40, dtype=np.int64), sums),
        "mix": blocks(mix_only),
        "mix, trimmed mean": blocks(ranked_mixed),
        "scale": blocks(lambda b: scaled_block(table, b.start, b.stop, factors=factors, out=made[:, b])),
    }


def main() -> int:
    """0, or 2 when there is nothing to measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=whole(1), default=50)
    parser.add_argument("--f", type=whole(0), default=10)
    parser.add_argument("--d", type=whole(VECTOR), default=10**6)
    parser.add_argument("--repetitions", type=whole(2), default=15)
    options = parser.parse_args()
    if options.n <= 2 * options.f:
        parser.error(f"argument --n: expected more than 2 f = {2 * options.f}, got {options.n}")
    return exit_code(functools.partial(report, options.n, options.f, options.d, options.repetitions))


def report(n: int, f: int, d: int, repetitions: int) -> None:
    """Every kernel, one line each.  Raises UnavailableError."""
    if not is_available():
        raise UnavailableError("no LLVM, so that there are no kernels here", "make setup")
    rng = np.random.default_rng(0)
    rows = np.empty((n, d), dtype=np.int16)
    for row in rows:
        row[:] = rng.normal(0, 300, d).round().clip(-32767, 32767)
    reading = None
    for name, work in kernels(rows, f).items():
        cost = measure(work, repetitions)
        reading = reading or cost.seconds
        values = {field: round(getattr(cost, field), 5) for field in Cost.__slots__}
        times = round(cost.seconds / reading, 2)
        line = {"kernel": name, "n": n, "f": f, "d": d, **values, "of_reading": times}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
