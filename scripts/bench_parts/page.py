"""docs/performance.md from docs/performance.json, so that nobody writes a figure by hand.

Responsible for: the page, and whether a goal is met.
Must not know:   how anything was measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bench_parts.results import NAMES, Comparison, Line, bound_s, comparisons, duration, table
from bench_parts.text import (
    bounds_of,
    difference_table,
    factor,
    kernel_table,
    machine_of,
    memory_table,
    speed_table,
    tree_table,
)

FASTER = {
    "trimmed-mean": 8.0,
    "median": 30.0,
    "meamed": 25.0,
    "krum": 4.0,
    "multi-krum": 4.0,
    "geometric-median": 10.0,
    "centred-clipping": 2.5,
    "nnm+trimmed-mean": 30.0,
}
"""Goals at the first size: how often ours is to fit into the fastest peer."""
READS = {"trimmed-mean": 5.0, "median": 5.0, "meamed": 5.0}
"""Goals at the first size: how often reading the rows once is to fit into ours, at the most."""

REPEATS = 5
"""With fewer the page says that it is a first look."""

HEAD = """# Performance

How long a rule takes here, and in ByzFL, byzpy and Flower. Written by `make bench` from
[performance.json](performance.json); nothing on this page is written by hand.

{machine}

Rows are in memory before the clock starts: int16 here, the same values as float32 for the others, which is what their
users have. One process, all cores for everybody, the implementations of a rule in turn; a time is the median
of at most {repeats} calls after one to warm up (of fewer where a call takes seconds). ByzFL runs with NumPy and with
PyTorch; byzpy straight and on its pool of threads; Flower by its strategies' own functions, without decoding a message.
Ours is exact, and also says what it kept of which row. In a chain `C` and `T` stand for a radius that about half of the
honest rows exceed.

## Goals

With n = {n}, f = {f}, d = {d:,}, against the fastest of the five. {met} of {all} are met.{first_look}

"""

FIGURE = """
![Time of every rule here and in the others, on a logarithmic axis](performance.svg)
"""

SIZE = """
## n = {n}, f = {f}, d = {d:,}

{bounds} The fastest of the others is bold; "faster" compares with it.

"""

DIFFERENCES = """
## How far floats are from the exact aggregate

With n = {n}, f = {f}, d = {d:,}: the largest difference over all coordinates, in units of the aggregate (2^-15 of an
update's) and in brackets in units of an update. The exact aggregate is itself rounded down by less than one of the
former. Where a peer defines the rule otherwise (below, and in [rules.md](rules.md)) there is nothing to compare.

"""

KERNELS = """
## What the time goes into

The kernels alone at the size of the goals (`scripts/bench_kernels.py`). Krum and its relatives are one Gram matrix and
one mean; geometric median and centred clipping one Gram matrix, up to 64 steps on numbers of rows, and a weighted sum.
NNM and a trimmed mean are a Gram matrix and one pass that mixes and ranks; that pass adds ten rows to each of fifty,
in 32 bits, for every coordinate, and the two are all of it.

"""

MEMORY = """
## Memory

One rule in a fresh process: its largest resident set, less what the interpreter took before the rows.

"""

TREES = """
## Trees

All hashes of a round beside one flat hash of the same bytes (hashlib, OpenSSL, one thread). The column tree's time
includes adding up its totals; the Gram tree's leaves out the products. What bounds the large trees is SHA-256 itself:
a leaf of 256 coordinates and its share of the nodes take 11 compressions where the bytes alone take 8, a column leaf of
20 rows 23 where its bytes take 18. Where they stay below that ratio it is because a flat hash is one chain and leaves
are many: three at a time on a processor with SHA instructions, sixteen in vectors on others, and all cores. The Gram
tree is small: its time is that of calls.

"""

ROUNDS = """
## A round's computation

What an enclave does once all updates are in: rule, totals, trees, the second look in plain Python, the new model
(`scripts/bench_round.py`; without sockets, sealing, signatures, chain). The ratio is the largest resident set, less
what the process took before the rows, over the rows.

"""

REPEAT = """
## Repeat it

```sh
make bench
```

`make peers` installs the others into an environment of their own. One size, or one rule:
`scripts/bench_rules.py --n 50 --f 10 --d 1000000 --rules median,krum`. Two runs differ; a machine that does something
else at the same time shows in the spread, which performance.json keeps for every time.
"""


def page(results: dict[str, Any]) -> str:
    """docs/performance.md.

    results: docs/performance.json: "speed", the lines of each size; "kernels", "memory", "trees", "rounds", lines.
    """
    sizes: Sequence[Sequence[Line]] = results["speed"]
    first = _measured(sizes[0])
    goals = list(goals_of(first))
    repeats = max(line["repeats"] for line in first)
    text = HEAD.format(
        machine=machine_of(sizes[0][0]["about"]),
        repeats=repeats,
        first_look="" if repeats >= REPEATS else " **A first look, with too few calls to cite: measure again.**",
        met=sum(row[-1] == "met" for row in goals),
        all=len(goals),
        **_size(first),
    )
    text += table(["rule", "goal", "fastest other", "its time", "ours", "measured", ""], goals) + FIGURE
    for lines in map(_measured, sizes):
        text += SIZE.format(bounds=bounds_of(lines), **_size(lines)) + speed_table(lines)
    text += DIFFERENCES.format(**_size(first)) + difference_table(first)
    if results["kernels"]:
        text += KERNELS + kernel_table(results["kernels"])
    if results["memory"]:
        text += MEMORY + memory_table(results["memory"])
    if results["trees"]:
        text += TREES + tree_table(results["trees"])
    if results["rounds"]:
        text += ROUNDS + memory_table(results["rounds"])
    return text + REPEAT


def goals_of(lines: Sequence[Line]) -> Iterator[list[str]]:
    """One row for each goal; the last cell says met or not met."""
    found = {comparison.rule: comparison for comparison in comparisons(lines)}
    read = bound_s(lines, "read-rows")
    for rule, least in FASTER.items():
        yield _against_peers(rule, least, found.get(rule))
    for rule, most in READS.items():
        ours = found[rule].ours["seconds"] if rule in found else None
        goal = [f"`{rule}`", f"at most {most:g}x a reading", "reading the rows", duration(read), duration(ours)]
        yield [*goal, *_verdict(None if ours is None else ours / read, ours is not None and ours <= most * read)]


def _against_peers(rule: str, least: float, found: Comparison | None) -> list[str]:
    goal = [f"`{rule}`", f"{least:g}x faster"]
    if found is None or found.fastest is None:
        return [*goal, "", "", "", *_verdict(None, False)]
    speed_up = found.speed_up
    times = [
        NAMES[found.fastest["implementation"]],
        duration(found.fastest["seconds"]),
        duration(found.ours["seconds"]),
    ]
    return [*goal, *times, *_verdict(speed_up, speed_up is not None and speed_up >= least)]


def _verdict(measured: float | None, met: bool) -> list[str]:
    if measured is None:
        return ["", "not measured"]
    return [factor(measured), "met" if met else "not met"]


def _measured(lines: Sequence[Line]) -> list[Line]:
    return [line for line in lines if "rule" in line]


def _size(lines: Sequence[Line]) -> dict[str, int]:
    return {name: lines[0][name] for name in ("n", "f", "d")}
