"""Writes the committed vectors of tests/vectors/: what every implementation of the protocol must agree on, as JSON.

    python scripts/make_vectors.py          write them
    python scripts/make_vectors.py --check  exit 1 where a committed file is not what would be written

Nothing is random: bytes that stand for random ones are SHA-256 of a label.  The cases are in scripts/vectors/, the
example that docs/protocol.md begins with is written by the same command.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from vectors import Vector, example, of_disputes, of_envelopes, of_messages, of_numbers, of_trees  # noqa: E402

VECTORS = REPOSITORY / "tests" / "vectors"
PAGE = REPOSITORY / "docs" / "protocol.md"

FILES: dict[str, Callable[[], list[Vector]]] = {
    "messages/hashes.json": of_messages.hashes,
    "messages/refused.json": of_messages.refused,
    "messages/signatures.json": of_messages.signatures,
    "messages/refused_signatures.json": of_messages.refused_signatures,
    "messages/claims.json": of_messages.claims,
    "trees/accepted.json": of_trees.accepted,
    "trees/refused.json": of_trees.refused,
    "fixedpoint/accepted.json": of_numbers.fixedpoint_accepted,
    "fixedpoint/refused.json": of_numbers.fixedpoint_refused,
    "encoding/accepted.json": of_envelopes.encoding_accepted,
    "encoding/refused.json": of_envelopes.encoding_refused,
    "outcomes/accepted.json": of_envelopes.outcomes_accepted,
    "outcomes/refused.json": of_envelopes.outcomes_refused,
    "reputation/accepted.json": of_numbers.reputation_accepted,
    "reputation/refused.json": of_numbers.reputation_refused,
    "payouts/accepted.json": of_numbers.payouts_accepted,
    "payouts/refused.json": of_numbers.payouts_refused,
    "disputes/accepted.json": of_disputes.accepted,
    "disputes/refused.json": of_disputes.refused,
}


def texts() -> dict[Path, str]:
    """Every file that this program answers for, and what should be in it."""
    out = {VECTORS / name: render(make()) for name, make in FILES.items()}
    out[PAGE] = example.splice(PAGE.read_text(encoding="utf-8"))
    return out


def render(vectors: list[Vector]) -> str:
    """One vector a line."""
    return "[\n" + ",\n".join(json.dumps(vector) for vector in vectors) + "\n]\n"


def main() -> int:
    """Write or compare."""
    parser = argparse.ArgumentParser(description="Write the committed vectors of tests/vectors/.")
    parser.add_argument("--check", action="store_true", help="compare with the committed files instead")
    check, stale = parser.parse_args().check, []
    for path, text in texts().items():
        current = path.read_text(encoding="utf-8") if path.is_file() else None
        if current == text:
            continue
        stale.append(path.relative_to(REPOSITORY))
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for name in stale:
        print(f"{name}: {'not current, run scripts/make_vectors.py' if check else 'written'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
