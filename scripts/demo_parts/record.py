"""What a run leaves behind: record.json, metrics.csv, rounds.png and SHA256SUMS.

Responsible for: the files of a run folder that the demo itself writes.
Must not know:   processes, the chain.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SUMS = "SHA256SUMS"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundMetrics:
    """One round, as the demo saw it."""

    round: int
    """Which round."""
    state: str
    """settled or void."""
    accuracy: float
    """Of the model after the round, on the split that the demo holds out.  Unattested."""
    counted: int
    """Slots counted."""
    refused: int
    """Slots refused."""
    absent: int
    """Slots absent."""
    flagged: int
    """Slots counted and flagged."""
    gas: int
    """Of opening, proposing and settling."""
    seconds: float
    """From one settlement to the next."""
    model: str
    """Root of the model after the round."""
    transactions: dict[str, str]
    """Hash of each transaction of the round."""
    reputations_ppb: dict[str, int]
    """Of each participant after the round."""


def write_record(path: Path, record: Mapping[str, Any]) -> bytes:
    """Write record.json; returns the SHA-256 that is anchored on the ledger."""
    text = json.dumps(record, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")
    return hashlib.sha256(text.encode()).digest()


def write_csv(path: Path, rounds: Sequence[RoundMetrics]) -> None:
    """One line a round, one column a number."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        names = ["round", "state", "accuracy", "counted", "refused", "absent", "flagged", "gas", "seconds"]
        writer.writerow(names)
        for metrics in rounds:
            values = asdict(metrics)
            writer.writerow([values[name] for name in names])


def write_figure(path: Path, rounds: Sequence[RoundMetrics], byzantine: Sequence[str], title: str) -> None:
    """Accuracy and reputations per round, side by side."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    numbers = [metrics.round for metrics in rounds]
    left.plot(numbers, [metrics.accuracy for metrics in rounds], marker="o", color="tab:blue")
    left.set(xlabel="round", ylabel="accuracy", ylim=(0, 1), title="held-out accuracy (unattested)")
    for participant in rounds[-1].reputations_ppb if rounds else ():
        is_byzantine = participant in byzantine
        values = [metrics.reputations_ppb[participant] / 1e9 for metrics in rounds]
        right.plot(numbers, values, color="tab:red" if is_byzantine else "tab:gray", linewidth=2 if is_byzantine else 1)
    right.plot([], [], color="tab:red", linewidth=2, label="Byzantine")
    right.plot([], [], color="tab:gray", label="honest")
    right.set(xlabel="round", ylabel="reputation", ylim=(0, 1), title="reputation on the ledger")
    right.legend(loc="upper left")
    for axes in (left, right):
        axes.set_xticks(numbers)
        axes.grid(alpha=0.3)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def write_sums(folder: Path) -> None:
    """SHA-256 of every file of the folder but this one, `hash  path`, by path."""
    lines = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if name != SUMS:
            lines.append(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n")
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")
