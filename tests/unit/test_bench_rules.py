"""The benchmarks of rules: their command lines, their lines, and the page that is made of them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import bench_rules
from bench_kernels import VECTOR, reader
from bench_parts.command import exit_code
from bench_parts.memory import Mark, rise
from bench_parts.page import goals_of, page
from bench_parts.results import BOUNDS, OURS, Line, comparisons
from bench_parts.rows import make_rows
from bench_parts.rules import RULES, spec_of
from bench_parts.speed import about, speed_lines
from bench_parts.spelling import as_typed, parse_rules
from bench_parts.text import memory_table, speed_table, text_of
from bench_parts.timing import Call, NotTried, measure
from protocol.errors import MalformedError
from protocol.native import is_available
from protocol.rulebook import parse_chain

SIZE = {"n": 10, "f": 2, "d": 40}


def line(rule: str, implementation: str, seconds: float | None, **more: Any) -> Line:
    spread = None if seconds is None else [seconds, seconds]
    return {"rule": rule, "implementation": implementation, "seconds": seconds, "spread": spread, "repeats": 1} | more


def test_the_command_line_has_the_size_of_the_goals_and_takes_a_fifth_for_liars() -> None:
    options = bench_rules.parse([])
    assert (options.n, options.f, options.d, options.rules, options.format) == (50, 10, 1_000_000, None, "text")
    assert bench_rules.parse(["--n", "20", "--rules", "median,krum"]).rules == ["median", "krum"]
    assert bench_rules.parse(["--n", "20"]).f == 4
    assert bench_rules.parse(["--n", "20", "--f", "3"]).f == 3


@pytest.mark.parametrize(
    ("script", "words", "complaint"),
    [
        ("bench_rules.py", "--n 0", "argument --n: expected 1 to 2147483647, got 0"),
        ("bench_rules.py", "--n 3 --f 3", "argument --f: expected less than n = 3, got 3"),
        ("bench_rules.py", "--repeats 0", "argument --repeats: expected 1 to 2147483647, got 0"),
        ("bench_rules.py", "--limit 0", "argument --limit: expected seconds above 0, got 0"),
        ("bench_rules.py", "--rules median,krumm", "median, multi-krum, trimmed-mean, weighted-mean, got krumm"),
        ("bench_round.py", "--n 3 --f 2", "error: updates for trimmed-mean with f = 2: expected at least 5, got 3"),
        ("bench_round.py", "--rule krumm", "median, multi-krum, trimmed-mean, weighted-mean, got krumm"),
        ("bench_round.py", "--n 257", "argument --n: expected 1 to 256, got 257"),
        ("bench_trees.py", "--d 0", "argument --d: expected 1 to 2147483647, got 0"),
        ("bench_kernels.py", "--repetitions 1", "argument --repetitions: expected 2 to 2147483647, got 1"),
        ("bench_kernels.py", "--d 127", "argument --d: expected 128 to 2147483647, got 127"),
        ("bench_kernels.py", "--n 3 --f 9", "argument --n: expected more than 2 f = 18, got 3"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(script: str, words: str, complaint: str) -> None:
    command = [sys.executable, str(bench_rules.ROOT / "scripts" / script), *words.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=bench_rules.ROOT)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(f"{complaint}\n")
    assert "Traceback" not in done.stderr


def test_a_refusal_while_measuring_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    def refused() -> None:
        raise MalformedError("trusted row", expected="one", actual="none")

    assert exit_code(refused) == 2
    assert capsys.readouterr() == ("", "error: trusted row: expected one, got none\n")


def test_nobody_reading_on_is_no_traceback() -> None:
    command = [sys.executable, str(bench_rules.ROOT / "scripts" / "bench_rules.py"), "--ours-only"]
    command += ["--n", "5", "--d", "16", "--repeats", "1", "--rules", "mean", "--format", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=bench_rules.ROOT) as child:
        assert child.stdout is not None
        child.stdout.close()
        assert child.stderr is not None
        assert child.stderr.read() == b""
    assert child.returncode == 2


def test_a_rule_is_understood_as_the_table_shows_it() -> None:
    assert as_typed("bucketing+clip+centred-clipping") == "bucketing:2+clip:C+centred-clipping:T:1"
    assert parse_rules(",".join(map(as_typed, RULES))) == list(RULES)
    assert parse_rules("clip:57000+mean,nnm+median") == ["clip:57000+mean", "nnm+median"]


@pytest.mark.parametrize("rule", RULES)
def test_a_measured_rule_is_spelled_as_in_a_spec(rule: str) -> None:
    spec = spec_of(rule, make_rows(**SIZE))
    assert str(parse_chain(spec)) == spec


def test_a_line_says_what_was_measured_of_whom_and_how_often() -> None:
    rules = ["median", "krum"]
    lines = list(speed_lines(**SIZE, rules=rules, repeats=2, limit_s=10.0, budget_s=10.0, ours_only=True))
    assert [(found["rule"], found["implementation"]) for found in lines] == [
        (BOUNDS, "read-rows"),
        (BOUNDS, "matrix-product"),
        *((rule, OURS) for rule in rules),
    ]
    for found in lines:
        assert set(found) == {"rule", "implementation", "seconds", "spread", "repeats", "n", "f", "d"}
        assert (found["n"], found["f"], found["d"], found["repeats"]) == (10, 2, 40, 2)
        assert found["spread"][0] <= found["seconds"] <= found["spread"][1]


def test_a_rule_whose_condition_fails_is_a_line_without_seconds() -> None:
    [*_, found] = speed_lines(**SIZE, rules=["bulyan"], repeats=1, limit_s=10.0, budget_s=10.0, ours_only=True)
    assert (found["seconds"], found["spread"], found["repeats"]) == (None, None, 0)
    assert found["why_not"] == "too few rows: at least 11 needed"


def test_a_peak_that_did_not_rise_is_no_measurement() -> None:
    unknown = rise(Mark(resident_bytes=0, peak_bytes=1 << 60), rows_bytes=8)
    assert unknown == {"rows_bytes": 8, "peak_bytes": None, "ratio": None}
    text = memory_table([{"rule": "clip+mean", "n": 2, "d": 2, "seconds": 0.5, **unknown}])
    assert text.splitlines()[-1] == "| `clip:C+mean` | 2 | 2 | 0.00 GiB | - | - | 500 ms |"


def test_memory_is_counted_from_what_was_taken_before_the_rows() -> None:
    found = rise(Mark(resident_bytes=0, peak_bytes=0), rows_bytes=1)
    assert found["ratio"] == found["peak_bytes"] > 1 << 20


@pytest.mark.skipif(not is_available(), reason="no LLVM (llvmlite)")
@pytest.mark.parametrize("values", [VECTOR, VECTOR + 1, 3 * VECTOR - 1, 3 * VECTOR])
def test_reading_once_reads_every_value(values: int) -> None:
    read, row = reader(), np.zeros(values, dtype=np.int16)
    assert read(row.ctypes.data, values) == 0
    for place in range(values):
        row[place] = 1
        assert read(row.ctypes.data, values) != 0, place
        row[place] = 0


def test_rows_are_the_same_each_time_and_the_first_f_attack() -> None:
    rows, again = make_rows(**SIZE), make_rows(**SIZE)
    assert rows.units.tolist() == again.units.tolist()
    assert (rows.units.shape, rows.units.dtype.name, rows.samples.shape) == ((10, 40), "int16", (10,))


def test_a_call_that_fails_or_takes_too_long_or_is_not_tried_leaves_the_others_their_times() -> None:
    def fails(given: object) -> None:
        raise ValueError("not today")

    def loops(given: object) -> None:
        while True:
            pass

    def refuses(given: object) -> None:
        raise NotTried("not tried: too many")

    runs = {"fine": lambda given: 7, "fails": fails, "loops": loops, "refuses": refuses}
    timings = measure({name: Call(run=run) for name, run in runs.items()}, repeats=3, limit_s=0.05, budget_s=1.0)
    assert {name: (timing.why_not, len(timing.seconds)) for name, timing in timings.items()} == {
        "fine": (None, 3),
        "fails": ("did not finish: ValueError: not today", 0),
        "loops": ("did not finish in 0.05 s", 0),
        "refuses": ("not tried: too many", 0),
    }
    assert timings["fine"].result == 7


def test_the_speed_up_is_over_the_fastest_peer_that_finished() -> None:
    lines = [
        line("median", OURS, 0.5),
        line("median", "byzfl-numpy", None, why_not="did not finish in 60 s"),
        line("median", "byzpy", 3.0),
        line("median", "flower", 2.0),
        line("fltrust", OURS, 0.5),
        line("meamed", OURS, None, why_not="not built"),
        line("meamed", "byzfl-numpy", 1.0),
    ]
    found = {comparison.rule: comparison for comparison in comparisons(lines)}
    assert found["median"].fastest == lines[3]
    assert {rule: comparison.speed_up for rule, comparison in found.items()} == {
        "median": 4.0,
        "fltrust": None,
        "meamed": None,
    }


def test_a_goal_is_met_by_the_figures_and_by_nothing_else() -> None:
    def verdicts(median_s: float) -> dict[tuple[str, str], str]:
        lines = [
            line(BOUNDS, "read-rows", 0.01),
            line("median", OURS, median_s),
            line("median", "flower", 1.5),
        ]
        return {(row[0], row[1]): row[-1] for row in goals_of(lines)}

    of_peers, of_reading = ("`median`", "30x faster"), ("`median`", "at most 5x a reading")
    assert (verdicts(0.05)[of_peers], verdicts(0.05)[of_reading]) == ("met", "met")
    assert (verdicts(0.0501)[of_peers], verdicts(0.0501)[of_reading]) == ("not met", "not met")
    assert verdicts(0.05)["`krum`", "4x faster"] == "not measured"


def test_the_table_says_why_there_is_no_time() -> None:
    size = {"n": 10, "f": 2, "d": 40}
    lines = [
        {"about": about()},
        line(BOUNDS, "read-rows", 0.001, **size),
        line(BOUNDS, "matrix-product", 0.002, **size),
        line("mda", OURS, 0.004, **size),
        line("mda", "byzfl-numpy", None, why_not="not tried: would list 1.0e+10 subsets", **size),
        line("mda", "byzpy", 0.1, difference_units=3.0, difference_update_units=9.155e-05, **size),
    ]
    text = text_of(lines).splitlines()
    assert "| `mda` | 4.00 ms | 25x | not tried: would list 1.0e+10 subsets | **100 ms** |" in text
    assert "| `mda` | - | 3 (9e-05) |" in text


def test_without_peers_there_is_nothing_to_be_faster_than() -> None:
    lines = [line("median", OURS, 0.5), line("bulyan", OURS, None, why_not="too few rows: at least 43 needed")]
    assert speed_table(lines).splitlines() == [
        "| rule | Veriflock |",
        "| --- | ---: |",
        "| `median` | 500 ms |",
        "| `bulyan` | too few rows: at least 43 needed |",
    ]


def test_the_page_is_what_the_results_give() -> None:
    results = json.loads(bench_rules.RESULTS.read_text(encoding="utf-8"))
    assert (bench_rules.ROOT / "docs" / "performance.md").read_text(encoding="utf-8") == page(results)


def test_the_results_are_of_all_sizes_and_rules() -> None:
    results = json.loads(bench_rules.RESULTS.read_text(encoding="utf-8"))
    sizes = [(lines[-1]["n"], lines[-1]["d"]) for lines in results["speed"]]
    assert sizes == list(bench_rules.SIZES)
    for lines in results["speed"]:
        measured = comparisons(found for found in lines if "rule" in found)
        assert [comparison.rule for comparison in measured] == list(RULES)
