"""The page docs/refutations.md: the table of lies in words, and why a cell is empty.

    python -m tests.support.refutations     writes what lies between the page's markers

Responsible for: the generated part of the page.
Must not know:   whether it is true (tests/conformance/test_refutations.py goes through every cell).
"""

from __future__ import annotations

import sys
from pathlib import Path

from protocol.openings import Tree
from tests.support.drafts import RULES, SELECTING
from tests.support.lies import LIES, Lie

PAGE = Path(__file__).resolve().parents[2] / "docs" / "refutations.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
ASKED = {Tree.ROW: "row", Tree.SET: "set", Tree.COLUMN: "column", Tree.GRAM: "Gram", Tree.MODEL: "model"}


def why_not(lie: Lie, rule: str) -> str:
    """Why the lie can't be told for a rule: the mark of a line below the table."""
    if lie.rules == SELECTING and rule not in SELECTING:
        return "a"
    if lie.rules == ("weighted-mean",):
        return "b"
    if lie.name in ("the mean of all", "a median", "samples that weigh"):
        return "c"
    if lie.name == "one more trimmed":
        return "d"
    raise SystemExit(f"nobody says why {lie.name!r} is no lie for {rule}")


def cell(lie: Lie, rule: str) -> str:
    """The predicate, or why there is none."""
    return f"F{lie.predicate}" if rule in lie.rules else why_not(lie, rule)


def lines() -> list[str]:
    """The table: one line a lie."""
    head = ["what is changed", "shown by", *RULES, "opens from"]
    rows = [
        [
            lie.name,
            f"`{lie.function}`",
            *(cell(lie, rule) for rule in RULES),
            "what is published" if lie.hidden is None else f"{ASKED[lie.hidden]} leaf",
        ]
        for lie in LIES
    ]
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def splice(page: str) -> str:
    """The page with the table between its markers."""
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    counted = f"{len(LIES)} lies, {sum(len(lie.rules) for lie in LIES)} cells with a proof."
    return f"{before}{BEGIN}\n\n{counted}\n\n" + "\n".join(lines()) + f"\n\n{END}{after}"


def main() -> int:
    """Write the page."""
    PAGE.write_text(splice(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
