"""What is read out of measured lines: ours, the fastest peer, the speed-up.

Responsible for: the shape of a line and of docs/performance.json, and what follows from them.
Must not know:   how anything was measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Line = dict[str, Any]

OURS = "veriflock"
PEERS = ("byzfl-numpy", "byzfl-torch", "byzpy", "byzpy-pool", "flower")
NAMES = {
    "byzfl-numpy": "ByzFL, NumPy",
    "byzfl-torch": "ByzFL, PyTorch",
    "byzpy": "byzpy",
    "byzpy-pool": "byzpy, pool",
    "flower": "Flower",
    OURS: "Veriflock",
}
BOUNDS = "bounds"
"""Stands in a line for the rule where what is timed is no rule."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One rule at one size."""

    rule: str
    ours: Line
    peers: dict[str, Line]
    """By implementation, those that have the rule, in the order of PEERS."""

    @property
    def fastest(self) -> Line | None:
        """The peer with the smallest median; None where none finished."""
        finished = [line for line in self.peers.values() if line["seconds"] is not None]
        return min(finished, key=lambda line: float(line["seconds"]), default=None)

    @property
    def speed_up(self) -> float | None:
        """How often ours fits into the fastest peer; None where one of them has no time."""
        fastest, ours = self.fastest, self.ours["seconds"]
        return None if fastest is None or ours is None else float(fastest["seconds"]) / float(ours)


def comparisons(lines: Iterable[Line]) -> list[Comparison]:
    """One for each rule that was measured here, in the order of the lines."""
    kept = list(lines)
    found = []
    for ours in kept:
        if ours["implementation"] == OURS:
            same = {line["implementation"]: line for line in kept if line["rule"] == ours["rule"]}
            found.append(Comparison(ours["rule"], ours, {name: same[name] for name in PEERS if name in same}))
    return found


def bound_s(lines: Iterable[Line], name: str) -> float:
    """Seconds of a bound: the fastest line whose implementation begins so."""
    return min(float(line["seconds"]) for line in lines if line["implementation"].startswith(name))


def duration(seconds: float | None) -> str:
    """Three digits, in ms below a second."""
    if seconds is None:
        return ""
    return (
        f"{1000 * seconds:#.3g} ms".replace(". ", " ") if seconds < 0.9995 else f"{seconds:#.3g} s".replace(". ", " ")
    )


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown; all columns but the first to the right."""
    text = f"| {' | '.join(header)} |\n| --- |{' ---: |' * (len(header) - 1)}\n"
    return text + "".join(f"| {' | '.join(row)} |\n" for row in rows)
