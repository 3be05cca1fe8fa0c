"""The measurements of one size as tables, for a terminal and for docs/performance.md.

Responsible for: times and speed-ups of one run, and how far floats are from integers.
Must not know:   how anything was measured, goals, other sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench_parts.results import BOUNDS, NAMES, OURS, PEERS, Comparison, Line, bound_s, comparisons, duration, table
from bench_parts.spelling import as_typed


def text_of(lines: Sequence[Line]) -> str:
    """All of one run; memory lines are a table of their own."""
    if any("peak_bytes" in line for line in lines):
        return memory_table(lines)
    machine = [machine_of(line["about"]) for line in lines if "about" in line]
    measured = [line for line in lines if "about" not in line]
    return "\n".join([*machine, "", bounds_of(measured), "", speed_table(measured), difference_table(measured)])


def machine_of(about: dict[str, Any]) -> str:
    """Where was measured, what else ran there, what with."""
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    blas = ", ".join(dict.fromkeys(about["blas"])) or "none found"
    where = f"{about['processor']}, {about['cores']} cores, {about['memory_gib']} GiB, {about['system']}"
    return f"{where}; load average in the minute before {about['load']:g}. BLAS: {blas}. With {versions}."


def bounds_of(lines: Sequence[Line]) -> str:
    """What no rule can beat."""
    bounds = [line for line in lines if line["rule"] == BOUNDS]
    product = duration(bound_s(bounds, "matrix-product"))
    read = duration(bound_s(bounds, "read-rows"))
    return f"Reading the int16 rows once takes {read}, one float32 matrix product of the rows {product}."


def speed_table(lines: Sequence[Line]) -> str:
    """A row for each rule: ours, and where there are peers how much faster than the fastest, and each of them."""
    found = comparisons(lines)
    shown = [name for name in PEERS if any(name in comparison.peers for comparison in found)]
    rows = [[f"`{as_typed(c.rule)}`", cell(c.ours)] for c in found]
    if not shown:
        return table(["rule", NAMES[OURS]], rows)
    for row, c in zip(rows, found, strict=True):
        row += [faster(c), *(cell(c.peers.get(name), best=c.fastest) for name in shown)]
    return table(["rule", NAMES[OURS], "faster", *(NAMES[name] for name in shown)], rows)


def cell(line: Line | None, best: Line | None = None) -> str:
    """A time, bold where it is the best peer's; a dash where there is no such rule; why there is no time."""
    if line is None:
        return "-"
    if line["seconds"] is None:
        why = str(line["why_not"])
        return ":".join(why.split(":")[:2]) if why.startswith("did not finish: ") else why
    return f"**{duration(line['seconds'])}**" if line is best else duration(line["seconds"])


def faster(comparison: Comparison) -> str:
    """3.4x, or nothing to compare."""
    return "" if comparison.speed_up is None else factor(comparison.speed_up)


def factor(times: float) -> str:
    """0.53x, 3.4x, 41x."""
    return f"{times:.0f}x" if times >= 9.95 else f"{times:.1f}x" if times >= 0.995 else f"{times:.2f}x"


def difference_table(lines: Sequence[Line]) -> str:
    """How far every peer's floats are from the exact aggregate; below it, where a peer computes something else."""
    found = [c for c in comparisons(lines) if any(difference(line) for line in c.peers.values())]
    shown = [name for name in PEERS if any(name in c.peers for c in found)]
    rows = [[f"`{as_typed(c.rule)}`", *(difference(c.peers.get(name)) or "-" for name in shown)] for c in found]
    if not found:
        return ""
    text = table(["rule", *(NAMES[name] for name in shown)], rows)
    others = {
        (line["rule"], NAMES[name].partition(",")[0], line["other_definition"]): None
        for c in found
        for name, line in c.peers.items()
        if "other_definition" in line
    }
    return text + "\n" + "".join(f"- `{as_typed(rule)}`, {peer}: {words}\n" for rule, peer, words in others)


def difference(line: Line | None) -> str:
    """In units of the aggregate, and in brackets in units of an update."""
    if line is None or line["seconds"] is None:
        return ""
    if "other_definition" in line:
        return "other definition"
    if "difference_units" not in line:
        return ""
    return f"{line['difference_units']:.4g} ({line['difference_update_units']:.1g})"


def kernel_table(lines: Sequence[Line]) -> str:
    """What the kernels take by themselves."""
    rows = [
        [line["kernel"], duration(line["seconds"]), duration(line["cpu_seconds"]), f"{line['of_reading']:.1f}"]
        for line in lines
    ]
    return table(["kernel", "time", "of all processors", "readings of the rows"], rows)


def tree_table(lines: Sequence[Line]) -> str:
    """What the trees cost beside a flat hash."""
    rows = [
        [
            line["tree"],
            line["implementation"],
            f"{line['n']}",
            f"{line['d']:,}",
            duration(line["seconds"]),
            duration(line["flat_hash_seconds"]),
            f"{line['ratio']:.2f}",
        ]
        for line in lines
    ]
    return table(["tree", "hashed by", "n", "d", "time", "flat hash", "ratio"], rows)


def memory_table(lines: Sequence[Line]) -> str:
    """What a rule takes over its rows; a dash where nothing more was taken than before."""
    rows = [
        [
            f"`{as_typed(line['rule'])}`",
            f"{line['n']}",
            f"{line['d']:,}",
            f"{line['rows_bytes'] / 2**30:.2f} GiB",
            "-" if line["peak_bytes"] is None else f"{line['peak_bytes'] / 2**30:.2f} GiB",
            "-" if line["ratio"] is None else f"{line['ratio']:.2f}",
            duration(line["seconds"]),
        ]
        for line in lines
    ]
    return table(["rule", "n", "d", "rows", "rows and rule", "ratio", "time"], rows)
