"""Who is flagged: attackers found and honest participants accused, by attack and by how uneven the data is.

Prints one JSON line a cell and then the table of docs/trust.md.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass

from lab.accuracy import Experiment, run

ATTACKS: tuple[str | None, ...] = (None, "sign-flip:4", "noise", "label-flip")
SPLITS = ("iid", "dirichlet:1", "dirichlet:0.1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One attack on one split, over all seeds and rounds."""

    attack: str
    split: str
    found: float | None
    """Share of the attackers' counted slots that were flagged; None where nobody attacks."""
    accused: float
    """Share of the honest participants' counted slots that were flagged."""
    most_accused: float
    """The same for the one honest participant that was flagged most often."""
    accuracy: float
    """Mean held-out accuracy after the last round."""


def measure(attack: str | None, split: str, *, rule: str, seeds: int) -> Cell:
    """All seeds of one cell."""
    courses = [run(Experiment(seed=seed, attack=attack, split=split, rule=rule)) for seed in range(seeds)]
    liars = 0 if attack is None else 2
    honest = [[flags[i] for flags in course.flagged] for course in courses for i in range(10 - liars)]
    attackers = [[flags[i] for flags in course.flagged] for course in courses for i in range(10 - liars, 10)]
    return Cell(
        attack=attack or "none",
        split=split,
        found=share(attackers) if attackers else None,
        accused=share(honest),
        most_accused=max(share([slots]) for slots in honest),
        accuracy=sum(course.accuracy for course in courses) / len(courses),
    )


def share(slots: list[list[bool]]) -> float:
    """Of all slots, those that were flagged."""
    return sum(map(sum, slots)) / sum(map(len, slots))


def main() -> None:
    """Every cell, then the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rule", default="trimmed-mean")
    options = parser.parse_args()
    cells = []
    for attack in ATTACKS:
        for split in SPLITS:
            cell = measure(attack, split, rule=options.rule, seeds=options.seeds)
            cells.append(cell)
            values = {name: getattr(cell, name) for name in Cell.__slots__}
            print(json.dumps({"rule": options.rule, "seeds": options.seeds, **values}), flush=True)
    print("\n| attack | split | attackers flagged | honest flagged | most flagged honest | accuracy |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for cell in cells:
        found = "" if cell.found is None else f"{cell.found:.0%}"
        shares = f"{found} | {cell.accused:.1%} | {cell.most_accused:.0%}"
        print(f"| {cell.attack} | {cell.split} | {shares} | {cell.accuracy:.3f} |")


if __name__ == "__main__":
    main()
