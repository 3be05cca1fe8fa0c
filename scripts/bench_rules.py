"""Every aggregation rule against ByzFL, byzpy and Flower, and against reading the rows once.

    scripts/bench_rules.py --n 50 --f 10 --d 1000000      one size, a table (--format json: a line per measurement)
    scripts/bench_rules.py --ours-only --rules median     without the peers (else: make peers, once)
    scripts/bench_rules.py --memory --n 64 --d 1000000    the memory of a rule over the rows, each in a fresh process
    scripts/bench_rules.py --write [--memory]             all sizes of docs/performance.md, which is written again
    scripts/bench_rules.py --page                         docs/performance.md from docs/performance.json

Responsible for: the command line, the sizes of the page, and the process in which is measured.
Must not know:   rules, peers, clocks.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench_parts.command import exit_code, seconds, whole
from bench_parts.results import Line
from bench_parts.spelling import parse_rules
from bench_parts.text import text_of

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "performance.json"
PEERS = ROOT / "build" / "peers" / "bin" / "python"
SIZES = ((50, 1_000_000), (20, 1_000_000), (100, 300_000), (20, 10_000_000))
"""(n, d) of the page, f = n / 5; the goals are for the first."""
MEMORY_SIZES = ((256, 10_000_000), (1000, 1_000_000))
MEMORY_RULES = ("trimmed-mean", "krum", "geometric-median", "nnm+trimmed-mean")
KERNELS = "--n 50 --f 10 --d 1000000"
TREES = ("--n 20 --d 1000000", "--n 50 --d 1000000")
ROUNDS = (
    "--n 20 --f 4 --d 1000000 --rule trimmed-mean",
    "--n 50 --f 10 --d 1000000 --rule multi-krum",
    "--n 50 --f 10 --d 1000000 --rule nnm+trimmed-mean",
    "--n 256 --f 51 --d 10000000 --rule trimmed-mean",
)
SLOWING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""Settings for another OpenBLAS than NumPy's own; they would slow everybody who uses it, so nobody gets them."""


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; f is n // 5 where it is not given, rules None where all are meant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=whole(1), default=50)
    parser.add_argument("--f", type=whole(0))
    parser.add_argument("--d", type=whole(1), default=1_000_000)
    parser.add_argument("--rules", type=parse_rules, help="separated by commas, as in the table, or any other chain")
    parser.add_argument("--ours-only", action="store_true")
    parser.add_argument("--repeats", type=whole(1), default=7)
    parser.add_argument("--limit", type=seconds, default=60.0, help="seconds for one call of a peer")
    parser.add_argument("--budget", type=seconds, default=20.0, help="seconds after which it is not repeated")
    parser.add_argument("--format", choices=("json", "text"), default="text")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--rounds", action="store_true", help="with --write: kernels, trees, whole rounds")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.f is None:
        options.f = options.n // 5
    if options.f >= options.n:
        parser.error(f"argument --f: expected less than n = {options.n}, got {options.f}")
    return options


def main() -> int:
    """Measure in a process of its own, print; exit 1 when it failed, 2 when there was nothing to measure."""
    return exit_code(functools.partial(answer, parse()))


def answer(options: argparse.Namespace) -> None:
    """What the command line asks for."""
    if options.child:
        for line in lines_here(options):
            print(json.dumps(line), flush=True)
    elif options.page:
        write_page()
    elif options.write:
        write(options)
    else:
        lines = []
        for line in measured(options):
            lines.append(line)
            if options.format == "json":
                print(json.dumps(line), flush=True)
        if options.format == "text":
            print(text_of(lines))


def lines_here(options: argparse.Namespace) -> Iterator[Line]:
    """What is measured, in this process.  Imports here: numpy must not be loaded before the environment is right."""
    from bench_parts.rules import RULES
    from bench_parts.speed import about, speed_lines

    rules = options.rules or RULES
    size: dict[str, Any] = {"n": options.n, "f": options.f, "d": options.d}
    if options.memory:
        from bench_parts.memory import memory_line

        yield memory_line(**size, rule=rules[0])
        return
    yield {"about": about()}
    how = {"repeats": options.repeats, "limit_s": options.limit, "budget_s": options.budget}
    yield from speed_lines(**size, rules=rules, ours_only=options.ours_only, **how)


def measured(options: argparse.Namespace) -> Iterator[Line]:
    """The lines of one size, from a child with a clean environment: one child, or one per rule for memory.

    A child that exits with 2 has said why.
    """
    python = Path(sys.executable) if options.ours_only or options.memory else PEERS
    if not python.exists():
        sys.exit("the peers are not there: make peers, or --ours-only")
    groups = [[rule] for rule in options.rules or MEMORY_RULES] if options.memory else [options.rules]
    words = ["--n", options.n, "--f", options.f, "--d", options.d]
    words += ["--repeats", options.repeats, "--limit", options.limit, "--budget", options.budget]
    words += ["--ours-only"] * options.ours_only + ["--memory"] * options.memory
    environment = {name: value for name, value in os.environ.items() if name not in SLOWING}
    for rules in groups:
        command = [str(python), __file__, "--child", *map(str, words), *(["--rules", ",".join(rules)] if rules else [])]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as child:
            try:
                for text in child.stdout or ():
                    yield json.loads(text)
            except BaseException:  # whoever no longer wants the lines does not wait for them
                child.kill()
                raise
        if child.returncode == 2:
            sys.exit(2)
        if child.returncode:
            sys.exit(f"the measurement failed with exit code {child.returncode}")


def write(options: argparse.Namespace) -> None:
    """Measure all sizes of the page (or all of its memory), keep the results, write the page."""
    kept: dict[str, Any] = {"speed": [], "kernels": [], "memory": [], "trees": [], "rounds": []}
    if RESULTS.exists():
        kept |= json.loads(RESULTS.read_text(encoding="utf-8"))
    if options.rounds:
        kept["trees"] = [line for words in TREES for line in said_by("bench_trees.py", words)]
        kept["kernels"] = said_by("bench_kernels.py", KERNELS)
        kept["rounds"] = [line for words in ROUNDS for line in said_by("bench_round.py", words)]
        keep(kept)
        return
    found = []
    for n, d in MEMORY_SIZES if options.memory else SIZES:
        options.n, options.f, options.d = n, n // 5, d
        lines = []
        for line in measured(options):
            print(json.dumps(line), flush=True)
            lines.append(line)
        found += lines if options.memory else [lines]
    kept["memory" if options.memory else "speed"] = found
    keep(kept)


def said_by(script: str, words: str) -> list[Line]:
    """What another benchmark prints."""
    command = [sys.executable, str(Path(__file__).with_name(script)), *words.split()]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=1800)
    if done.returncode:
        sys.exit(f"{script} {words} failed with exit code {done.returncode}")
    print(done.stdout, end="", flush=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def keep(kept: dict[str, Any]) -> None:
    """The results, and the page that follows from them."""
    text = json.dumps(kept, indent=None, separators=(", ", ": "))
    for first in ('{"rule"', '{"about"', '{"tree"', '{"kernel"'):
        text = text.replace(first, "\n" + first)
    RESULTS.write_text(text + "\n", encoding="utf-8")
    write_page()


def write_page() -> None:
    """docs/performance.md and its figure, from what was measured."""
    from bench_parts.figure import draw
    from bench_parts.page import page

    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    (ROOT / "docs" / "performance.md").write_text(page(results), encoding="utf-8")
    draw(results["speed"][0], ROOT / "docs" / "performance.svg")


if __name__ == "__main__":
    sys.exit(main())
