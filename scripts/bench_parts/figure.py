"""docs/performance.svg: the time of every rule, here and in the others.

Responsible for: the picture of one size.
Must not know:   goals, how anything was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from bench_parts.results import NAMES, OURS, PEERS, Comparison, Line, bound_s, comparisons
from bench_parts.spelling import as_typed
from bench_parts.text import faster

MARKS = {
    "byzfl-numpy": ("o", "#b45f06"),
    "byzfl-torch": ("s", "#e69f4c"),
    "byzpy": ("^", "#5b7f95"),
    "byzpy-pool": ("v", "#9db9c9"),
    "flower": ("D", "#7a9a57"),
    OURS: ("o", "#111111"),
}
BOUND_NAMES = {"read-rows": "reading the\nrows once", "matrix-product": "float32\nmatrix product"}
SETTINGS = {"svg.hashsalt": "veriflock", "font.family": "DejaVu Sans", "font.size": 9}


def draw(lines: Sequence[Line], path: Path) -> None:
    """Write the picture: a row for each rule that a peer has, a mark for each implementation, seconds on a log axis."""
    measured = [line for line in lines if "rule" in line]
    found = [c for c in comparisons(measured) if c.ours["seconds"] is not None and c.fastest is not None]
    with plt.rc_context(SETTINGS):
        figure, axes = plt.subplots(figsize=(8.2, 1.6 + 0.36 * len(found)), layout="constrained")
        for height, comparison in enumerate(reversed(found)):
            _row(axes, height, comparison)
        for name, words in BOUND_NAMES.items():
            _bound(axes, bound_s(measured, name), words, len(found))
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(
            lambda seconds, _: f"{seconds:g} s" if seconds >= 1 else f"{1000 * seconds:g} ms"
        )
        axes.set_yticks(range(len(found)), [as_typed(c.rule) for c in reversed(found)])
        axes.set_ylim(-0.7, len(found) + 0.5)
        axes.set_xlabel("time of one aggregation (logarithmic); left is better")
        axes.grid(axis="x", color="#e4e4e4", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        size = measured[0]
        axes.set_title(f"n = {size['n']}, f = {size['f']}, d = {size['d']:,}", loc="left", fontsize=10)
        _legend(axes, found)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
        plt.close(figure)


def _row(axes: Axes, height: int, comparison: Comparison) -> None:
    """The marks of one rule, and the way from ours to the fastest of the others with its factor."""
    ours, fastest = comparison.ours["seconds"], comparison.fastest
    if fastest is not None:
        axes.plot([ours, fastest["seconds"]], [height, height], color="#111111", linewidth=1.6, zorder=2)
        axes.annotate(
            faster(comparison),
            ((ours * fastest["seconds"]) ** 0.5, height),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    for name, line in comparison.peers.items():
        if line["seconds"] is not None:
            mark, colour = MARKS[name]
            axes.scatter(line["seconds"], height, marker=mark, color=colour, s=30, zorder=3)
    mark, colour = MARKS[OURS]
    axes.scatter(ours, height, marker=mark, color=colour, s=52, zorder=4)


def _bound(axes: Axes, seconds: float, words: str, top: int) -> None:
    axes.axvline(seconds, color="#999999", linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    axes.annotate(
        words, (seconds, top - 0.35), xytext=(3, 0), textcoords="offset points", fontsize=7.5, color="#666666"
    )


def _legend(axes: Axes, found: Sequence[Comparison]) -> None:
    shown = [OURS, *(name for name in PEERS if any(name in comparison.peers for comparison in found))]
    for name in shown:
        mark, colour = MARKS[name]
        axes.scatter([], [], marker=mark, color=colour, s=36, label=NAMES[name])
    axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.09), ncols=len(shown), frameon=False, handletextpad=0.2)
