"""Rules over floats against ByzFL's own values, and the page for those who come from there.

The values are in tests/vectors/peers/byzfl.json, with the versions that made them; scripts/check_against_peers.py does.
"""

from __future__ import annotations

import doctest
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lab import rules

ROOT = Path(__file__).resolve().parent.parent.parent
PEERS = json.loads((ROOT / "tests" / "vectors" / "peers" / "byzfl.json").read_text(encoding="utf-8"))
COLUMNS = PEERS["columns of wide"]

Array = npt.NDArray[Any]


def wide(recipe: dict[str, Any]) -> Array:
    """The matrix that is too large for the file (scripts/check_against_peers.py)."""
    i, j = np.indices(recipe["shape"])
    a, b, c = recipe["times"]
    return np.asarray(((a * i + b * j + c * i * j) % recipe["modulus"] - recipe["modulus"] // 2) / recipe["over"])


MATRICES = {name: wide(rows) if name == "wide" else np.array(rows) for name, rows in PEERS["matrices"].items()}
SPREAD = MATRICES["spread"]


def id_of(case: dict[str, Any]) -> str:
    return f"{case['chain']}-{case['matrix']}-{'-'.join(f'{name}{given}' for name, given in case['byzfl'])}"


DIFFERENT = ("krum-line", "geometric-median-spread-GeometricMedian{}")
"""Where the definition differs, and is seen to."""
ALIKE = [case for case in PEERS["cases"] if not id_of(case).startswith(DIFFERENT)]


MOST_ALLOWED = 0.004
"""Of values around 1: other rows, neighbours or steps would be seen."""


def test_the_cases_are_split_by_two() -> None:
    assert (len(PEERS["cases"]), len(ALIKE)) == (29, 27)


def slack(chain: str, matrix: Array, found: rules.Explained[Array], value: Array) -> float:
    """How far rounded rows move decisions that are numbers and no choices, and these a coordinate; 0 for choices.

    Rounding moves a row by h, sqrt(d) times the largest error, at most.

    clip, arc:        a factor is a quotient of lengths that are off by h.
    centred clipping: clipping a step never moves two of them apart, so that rows off by h, and a radius off by as much
                      as it is rounded, move the point by no more than that, each time.
    geometric median: the sum of the unit vectors to the rows, 0 at the median, is off by h / r_i for each; its
                      derivative is the sum of (1 - u u^T) / r_i (twice that, for the terms behind).  The last step
                      changed no weight by 2**-15, and near the median of these rows a step is less than half of the
                      one before: what was left to go is less than n * 2**-15 of the values' range.
    """
    n, d = matrix.shape
    h, unit = d**0.5 * found.largest_error, 2.0**found.exponent
    rule = chain.split("+")[-1].split(":")
    if chain.startswith(("clip", "arc")):
        return float(np.abs(matrix).max()) * 2 * h / float(np.linalg.norm(matrix, axis=1).min())
    if rule[0] == "centred-clipping":
        radius = float(rule[1])
        return int(rule[2]) * (h + abs(radius - round(radius / unit) * unit))
    if rule[0] == "geometric-median":
        far = np.linalg.norm(matrix - value, axis=1)
        along = (matrix - value) / far[:, None]
        derivative = sum((np.eye(d) - np.outer(u, u)) / r for u, r in zip(along, far, strict=True))
        left = n * 2.0**-15 * float(np.ptp(matrix))
        return left + 2 * float((h / far).sum() / np.linalg.eigvalsh(derivative).min())
    return 0.0


@pytest.mark.parametrize("case", ALIKE, ids=id_of)
def test_byzfl_is_as_near_as_quantisation_allows(case: dict[str, Any]) -> None:
    matrix, value = MATRICES[case["matrix"]], np.array(case["value"])
    found = rules.explain(case["chain"], matrix, **case["arguments"])
    allowed = found.bound + slack(case["chain"], matrix, found, value)
    ours = found.aggregate[COLUMNS] if case["matrix"] == "wide" else found.aggregate
    assert np.abs(ours - value).max() <= allowed
    assert allowed < MOST_ALLOWED


def test_a_radius_far_below_the_rows_is_as_near_as_the_rounding_of_the_aggregate() -> None:
    (case,) = [case for case in ALIKE if id_of(case).startswith("centred-clipping:0.0625:3-wide")]
    found = rules.explain(case["chain"], MATRICES["wide"])
    assert np.linalg.norm(MATRICES["wide"], axis=1).min() > 900 * 0.0625
    assert (found.largest_error, slack(case["chain"], MATRICES["wide"], found, np.zeros(4))) == (0.0, 0.0)
    assert found.bound < 1e-4 * np.abs(case["value"]).max()


def test_krum_has_one_neighbour_less_than_byzfl() -> None:
    (case,) = [case for case in PEERS["cases"] if id_of(case).startswith("krum-line")]
    assert rules.krum(MATRICES["line"], f=1).tolist() == [1.0]  # 1 + 1 to two neighbours; 2.0 has 1 + 4
    assert case["value"] == [2.0]  # 1 + 4 + 6.25 to three; 1.0 has 1 + 1 + 12.25


def test_the_geometric_median_is_one_and_three_steps_from_zero_are_not() -> None:
    (case,) = [case for case in PEERS["cases"] if id_of(case).startswith("geometric-median-spread-GeometricMedian{}")]

    def distances(point: Array) -> float:
        return float(np.linalg.norm(SPREAD - point, axis=1).sum())

    assert case["byzfl"] == [["GeometricMedian", {}]]
    assert distances(rules.geometric_median(SPREAD)) < distances(np.array(case["value"])) - 1e-5
    assert np.abs(rules.geometric_median(SPREAD) - case["value"]).max() > 0.004


def test_clipping_on_from_a_centre_is_what_more_steps_are() -> None:
    (case,) = [case for case in PEERS["cases"] if case["chain"] == "centred-clipping:0.3:5"]
    point, allowed = np.zeros(6), 0.0
    for _ in range(5):
        found = rules.explain("centred-clipping:0.3:1", SPREAD, centre=point)
        point = found.aggregate
        allowed += found.bound + slack("centred-clipping:0.3:1", SPREAD, found, point)
    assert np.abs(point - case["value"]).max() <= allowed


def test_arc_clips_by_a_whole_number_that_byzfl_rounds_down_once_more() -> None:
    n, f = 242, 33
    assert (2 * f * (n - f) // n, int((2 * f / n) * (n - f))) == (57, 56)
    lengths = np.arange(1.0, n + 1)
    found = rules.explain("arc+mean", lengths[:, None], f=f)
    expected = np.minimum(lengths, n - 57).mean()
    assert abs(found.aggregate[0] - expected) <= found.bound + n * 2.0**-16


def test_clipping_does_not_write_into_the_matrix_as_byzfl_does() -> None:
    matrix = SPREAD.copy()
    rules.mean(matrix, before="clip:0.5")
    assert np.array_equal(matrix, SPREAD)


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_examples_of_the_page_print_what_it_says() -> None:
    page = ROOT / "docs" / "arrays.md"
    blocks = page.read_text(encoding="utf-8").split("```python\n")[1:]
    code = "\n".join(block.partition("```")[0] for block in blocks)
    test = doctest.DocTestParser().get_doctest(code, {}, page.name, str(page), 0)
    said: list[str] = []
    outcome = doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert "".join(said) == ""
    assert outcome.attempted > 15


def test_the_page_names_every_class_of_byzfl_and_every_function_of_ours() -> None:
    page = (ROOT / "docs" / "arrays.md").read_text(encoding="utf-8")
    byzfl = {name for case in PEERS["cases"] for name, _ in case["byzfl"]} | {"MoNNA", "CAF", "SMEA", "Bucketing"}
    assert {name for name in byzfl if f"`{name}(" not in page} == set()
    assert {name for name in rules.__all__ if f"{name}(" not in page and name != "Explained"} == set()
