"""ByzFL's own results on small matrices, as JSON: what the functions over floats (lab/rules/) are held against.

    build/peers/bin/python scripts/check_against_peers.py          write tests/vectors/peers/byzfl.json
    build/peers/bin/python scripts/check_against_peers.py --check  exit 1 where ByzFL returns anything else now

`make peers` makes that environment, once.

Responsible for: the matrices, which of ByzFL's classes with which arguments stands against which chain of ours, and
                 ByzFL's values, from its NumPy half in binary64, each on a copy of the matrix.
Must not know:   what ours computes; whether the two agree (tests/unit/test_lab_rules_byzfl.py).
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench_parts.peers import BYZFL

FILE = Path(__file__).resolve().parent.parent / "tests" / "vectors" / "peers" / "byzfl.json"
Floats = npt.NDArray[np.float64]

WIDE: dict[str, Any] = {"shape": [11, 10_000], "times": [7919, 6007, 31], "modulus": 2039, "over": 1024}
"""A matrix too large to write down, of multiples of 2**-10: nothing of it is lost by rounding."""
SEEN = (0, 1, 4999, 9999)
"""Its columns whose values are."""


def wide() -> Floats:
    """Row i, column j: (7919 i + 6007 j + 31 i j) modulo 2039, less 1019, over 1024."""
    i, j = np.indices(WIDE["shape"])
    a, b, c = WIDE["times"]
    return ((a * i + b * j + c * i * j) % WIDE["modulus"] - WIDE["modulus"] // 2) / WIDE["over"]


def matrices() -> dict[str, Floats]:
    """By name; seeds and constants are arbitrary."""
    draw = np.random.default_rng(20)
    near = 1 + 0.3 * draw.normal(size=(8, 6))
    return {
        "spread": draw.normal(size=(11, 6)),
        "attacked": np.concatenate([near, -4 + 0.3 * draw.normal(size=(3, 6))]),
        "line": np.array([[0.0], [1.0], [2.0], [4.5], [9.0]]),
        "wide": wide(),
    }


CASES: tuple[tuple[str, str, dict[str, Any], tuple[tuple[str, dict[str, Any]], ...]], ...] = (
    ("spread", "mean", {}, (("Average", {}),)),
    ("spread", "median", {}, (("Median", {}),)),
    ("attacked", "median", {}, (("Median", {}),)),
    ("spread", "trimmed-mean", {"f": 3}, (("TrMean", {"f": 3}),)),
    ("spread", "trimmed-mean", {"f": 5}, (("TrMean", {"f": 5}),)),
    ("attacked", "trimmed-mean", {"f": 3}, (("TrMean", {"f": 3}),)),
    ("spread", "meamed", {"f": 3}, (("Meamed", {"f": 3}),)),
    ("attacked", "meamed", {"f": 3}, (("Meamed", {"f": 3}),)),
    ("attacked", "krum", {"f": 3}, (("Krum", {"f": 3}),)),
    ("line", "krum", {"f": 1}, (("Krum", {"f": 1}),)),
    ("attacked", "multi-krum", {"f": 3}, (("MultiKrum", {"f": 3}),)),
    ("line", "multi-krum", {"f": 1}, (("MultiKrum", {"f": 1}),)),
    ("spread", "mda", {"f": 3}, (("MDA", {"f": 3}),)),
    ("attacked", "mda", {"f": 3}, (("MDA", {"f": 3}),)),
    ("spread", "geometric-median", {}, (("GeometricMedian", {}),)),
    ("spread", "geometric-median", {}, (("GeometricMedian", {"nu": 1e-9, "T": 1000}),)),
    ("attacked", "geometric-median", {}, (("GeometricMedian", {"nu": 1e-9, "T": 1000}),)),
    ("spread", "centred-clipping:1.5:1", {}, (("CenteredClipping", {"L": 1, "tau": 1.5}),)),
    ("spread", "centred-clipping:0.3:5", {}, (("CenteredClipping", {"L": 5, "tau": 0.3}),)),
    ("attacked", "centred-clipping:2:3", {}, (("CenteredClipping", {"L": 3, "tau": 2.0}),)),
    ("wide", "centred-clipping:0.0625:3", {}, (("CenteredClipping", {"L": 3, "tau": 0.0625}),)),
    ("wide", "clip:2+mean", {}, (("Clipping", {"c": 2.0}), ("Average", {}))),
    ("spread", "clip:2+mean", {}, (("Clipping", {"c": 2.0}), ("Average", {}))),
    ("attacked", "clip:2.25+trimmed-mean", {"f": 3}, (("Clipping", {"c": 2.25}), ("TrMean", {"f": 3}))),
    ("spread", "arc+mean", {"f": 3}, (("ARC", {"f": 3}), ("Average", {}))),
    ("attacked", "arc+median", {"f": 3}, (("ARC", {"f": 3}), ("Median", {}))),
    ("spread", "nnm+mean", {"f": 3}, (("NNM", {"f": 3}), ("Average", {}))),
    ("spread", "nnm+trimmed-mean", {"f": 3}, (("NNM", {"f": 3}), ("TrMean", {"f": 3}))),
    ("attacked", "nnm+mda", {"f": 3}, (("NNM", {"f": 3}), ("MDA", {"f": 3}))),
)
"""Matrix, our chain with its arguments, and ByzFL's classes with theirs, one after the other."""


def result(matrix: Floats, steps: tuple[tuple[str, dict[str, Any]], ...]) -> list[float]:
    """ByzFL's (d,), of the wide matrix some: a class's object for each step, called on what the one before returned."""
    values = matrix.copy()  # Clipping and ARC write into what they get
    for name, arguments in steps:
        values = getattr(BYZFL, name)(**arguments)(values)
    return [float(value) for value in (values if matrix.shape[1] < 100 else values[list(SEEN)])]


def text() -> str:
    """The whole file, a case a line."""
    given = matrices()
    lines = [
        json.dumps(
            {"matrix": name, "chain": chain, "arguments": ours, "byzfl": theirs, "value": result(given[name], theirs)}
        )
        for name, chain, ours, theirs in CASES
    ]
    source = f"ByzFL {version('byzfl')} with NumPy {np.__version__}, binary64; scripts/check_against_peers.py"
    matrices_ = {name: matrix.tolist() for name, matrix in given.items() if name != "wide"} | {"wide": WIDE}
    rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(matrix)}" for name, matrix in matrices_.items())
    cases = ",\n".join(lines)
    head = f'"source": {json.dumps(source)},\n"columns of wide": {json.dumps(SEEN)}'
    return f'{{{head},\n"matrices": {{\n{rows}\n}},\n"cases": [\n{cases}\n]}}\n'


def main() -> int:
    """Write the file, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    if not parser.parse_args().check:
        FILE.parent.mkdir(parents=True, exist_ok=True)
        FILE.write_text(text(), encoding="utf-8")
        return 0
    if FILE.read_text(encoding="utf-8") == text():
        return 0
    print(f"{FILE.name}: ByzFL returns something else here", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
