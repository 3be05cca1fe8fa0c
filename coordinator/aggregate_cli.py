"""`veriflock aggregate`: what a result must say of rows, computed from the rows alone, on one machine or on many.

Responsible for: options, files, lines for people or JSON.
Must not know:   how anything is computed, or where.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from coordinator.shards import LocalRunner, Recomputed, RowFiles, Runner, open_round, open_rows, ray_runner, recompute
from coordinator.shards.rows import MAX_SLOT
from protocol.errors import MalformedError
from protocol.fixedpoint import Int32, Int64
from protocol.hashing import sha256
from protocol.rulebook import MAX_WEIGHT_CAP, Chain, parse_chain

ENGINES = ("local", "ray")
DEFAULT_TIMEOUT_S = 3600.0
UINT16 = (1 << 16) - 1
"""f and m are no larger in a spec."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was to be computed."""

    rows: RowFiles
    chain: Chain
    f: int
    m: int
    slots: tuple[int, ...]
    engine: str
    workers: int


def aggregate(
    rows: Annotated[
        Path | None,
        typer.Argument(help="A .npy with an int16 matrix, or a folder with a file for every row: 3.npy is of slot 3."),
    ] = None,
    *,
    rule: Annotated[
        str, typer.Option(help="A rule, or stages and a rule: median, nnm+krum. docs/rules.md has all of them.")
    ],
    f: Annotated[int, typer.Option("--f", min=0, max=UINT16, help="How many liars the rule is to tolerate.")],
    m: Annotated[
        int | None, typer.Option("--m", min=0, max=UINT16, help="Rows that multi-krum takes; 0: all but f, as without.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Rows and slots of a run folder's round, instead of ROWS.")] = None,
    round_id: Annotated[int | None, typer.Option("--round", min=0, help="Which round of --run.")] = None,
    weights: Annotated[
        str | None, typer.Option(help="For weighted-mean: every row's samples, capped, with commas between.")
    ] = None,
    slots: Annotated[
        str | None, typer.Option(help="Slots of rows that don't say theirs, ascending, with commas; else 0, 1, 2, ...")
    ] = None,
    seed: Annotated[str | None, typer.Option(help="For bucketing: the round's seed, 64 hexadecimal digits.")] = None,
    engine: Annotated[str, typer.Option(help="local, or ray: on several processes or machines.")] = "local",
    workers: Annotated[
        int | None, typer.Option(min=1, help="With ray: parts worked on at once; else one for every processor.")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="With ray: HOST:PORT of a cluster that sees the rows; else one is started here.")
    ] = None,
    timeout_s: Annotated[
        float | None, typer.Option("--timeout", min=1, help="With ray: seconds for all of it; else 3600.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the aggregate there, as a .npy of int32. Nothing may be there yet.")
    ] = None,
    format_: Annotated[str, typer.Option("--format", help="text or json.")] = "text",
) -> None:
    """Recompute what a result says of a round from its counted rows: roots, aggregate, and every row's totals.

    The bits are the same with any engine and any number of workers.
    On a round: docs/aggregate.md.

    Rules: mean, weighted-mean, median, trimmed-mean, meamed, krum,
    multi-krum, bulyan, mda, geometric-median, centred-clipping:T.
    Stages before one: clip:C, arc, bucketing:S, nnm.

    Exit code 0: computed. 1: no round has such rows, or this rule for them.
    2: wrong options, or it could not compute.
    """
    for option, value, known in (("--format", format_, ("text", "json")), ("--engine", engine, ENGINES)):
        if value not in known:
            raise typer.BadParameter(f"expected {' or '.join(known)}", param_hint=option)
    if engine == "local" and (workers, cluster, timeout_s) != (None, None, None):
        raise typer.BadParameter("--workers, --cluster and --timeout are for --engine ray")
    chain = _chain(rule, f, m, weights, seed)
    if out is not None:
        _check_out(out)
    found = _open(rows, run, round_id)
    asked = Asked(
        rows=found,
        chain=chain,
        f=f,
        m=m or 0,
        slots=_slots(found, slots),
        engine=engine,
        workers=_workers(workers) if engine == "ray" else 1,
    )
    weighing = None if weights is None else _weights(weights, found.count)
    before = time.monotonic()
    with _runner(asked, cluster, timeout_s or DEFAULT_TIMEOUT_S) as runner:
        made = recompute(
            found,
            chain,
            f=f,
            m=asked.m,
            weights=weighing,
            slots=asked.slots,
            seed=bytes(32) if seed is None else _digest(seed),
            runner=runner,
        )
    said = _said(asked, made, time.monotonic() - before)
    try:  # a file that can't be written must not lose what was computed, nor a reader that went away the file
        if format_ == "json":
            typer.echo(json.dumps(said, indent=2))
        else:
            _print(said)
    finally:
        if out is not None:
            _write(out, made.aggregate)


def _chain(rule: str, f: int, m: int | None, weights: str | None, seed: str | None) -> Chain:
    """The chain, which takes the options that were given and no others."""
    try:
        chain = parse_chain(rule)
        chain.minimum_counted(f=f, m=m or 0)
    except MalformedError as error:
        raise typer.BadParameter(str(error), param_hint="--rule") from error
    if chain.rule.name == "fltrust":
        raise typer.BadParameter("a round has no trusted row, which fltrust needs", param_hint="--rule")
    if m is not None and chain.rule.name != "multi-krum":
        raise typer.BadParameter(f"{chain} takes none; it is for multi-krum", param_hint="--m")
    is_bucketing = "bucketing" in (stage.name for stage in chain.stages)
    for option, given, wanted, says in (
        ("--weights", weights, chain.is_weighted, "every row's weight"),
        ("--seed", seed, is_bucketing, "the round's seed"),
    ):
        if wanted and given is None:
            raise typer.BadParameter(f"{chain} needs {says}", param_hint=option)
        if given is not None and not wanted:
            raise typer.BadParameter(f"{chain} takes none", param_hint=option)
    return chain


def _open(rows: Path | None, run: Path | None, round_id: int | None) -> RowFiles:
    """From the one place or the other."""
    if rows is not None and (run, round_id) == (None, None):
        return open_rows(rows)
    if rows is None and run is not None and round_id is not None:
        return open_round(run, round_id)
    raise typer.BadParameter("give ROWS, or --run and --round")


def _check_out(out: Path) -> None:
    """Before hours of work: whether the file can be written, and nothing is there."""
    if os.path.lexists(out):
        raise typer.BadParameter(f"{out} is there already", param_hint="--out")
    if not os.access(out.parent, os.W_OK | os.X_OK) or not out.parent.is_dir():
        raise typer.BadParameter(f"{out.parent} is no folder that can be written to", param_hint="--out")


def _write(out: Path, values: Int32) -> None:
    """The whole file or none, under its name."""
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            np.save(file, values, allow_pickle=False)
        temporary.rename(out)
    finally:
        temporary.unlink(missing_ok=True)


def _runner(asked: Asked, cluster: str | None, timeout_s: float) -> AbstractContextManager[Runner]:
    if asked.engine == "local":
        return nullcontext(LocalRunner())
    return ray_runner(workers=asked.workers, timeout_s=timeout_s, cluster=cluster)


def _said(asked: Asked, made: Recomputed, seconds: float) -> dict[str, Any]:
    """Everything that is printed, as JSON has it."""
    return {
        "rule": str(asked.chain),
        "f": asked.f,
        "m": asked.m,
        "dimension": asked.rows.dimension,
        "column_root": "0x" + made.column_root.hex(),
        "gram_root": None if made.gram_root is None else "0x" + made.gram_root.hex(),
        "aggregate_sha256": sha256(made.aggregate.astype("<i4", copy=False).tobytes()).hex(),
        "rows": [
            {
                "slot": slot,
                "selected": bool(made.selected[place]),
                "kept": int(made.kept[place]),
                "deviation": int(made.deviation[place]),
                "alignment": int(made.alignment[place]),
                "flagged": bool(made.alignment[place] < 0),
            }
            for place, slot in enumerate(asked.slots)
        ],
        "engine": asked.engine,
        "workers": asked.workers,
        "seconds": round(seconds, 3),
    }


def _print(said: dict[str, Any]) -> None:
    console = Console(no_color="NO_COLOR" in os.environ, highlight=False, soft_wrap=True)
    parameters = f"f = {said['f']}" + (f", m = {said['m']}" if said["m"] else "")
    console.print(f"{said['rule']}, {parameters}: {len(said['rows'])} rows of {said['dimension']} coordinates")
    console.print(f"column root  {said['column_root']}")
    console.print(f"Gram root    {said['gram_root'] or 'none: a round of this rule has no Gram tree'}")
    console.print(f"aggregate    SHA-256 {said['aggregate_sha256']}")
    table = Table(box=None, pad_edge=False)
    for name in ("slot", "selected", "kept", "deviation", "alignment", "flagged"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in said["rows"]:
        yes_no = ("no", "yes")
        selected, flagged = yes_no[row["selected"]], yes_no[row["flagged"]]
        table.add_row(
            str(row["slot"]), selected, str(row["kept"]), str(row["deviation"]), str(row["alignment"]), flagged
        )
    console.print(table)
    by = f"{said['workers']} workers of Ray" if said["engine"] == "ray" else "this process"
    console.print(f"{said['seconds']:.1f} s, by {by}")


def _workers(asked: int | None) -> int:
    return asked or os.cpu_count() or 1


def _slots(rows: RowFiles, text: str | None) -> tuple[int, ...]:
    """What the rows say, or the option, or 0, 1, 2 and so on."""
    if text is None:
        return rows.slots or tuple(range(rows.count))
    if rows.slots is not None:
        raise typer.BadParameter("these rows say their slots themselves", param_hint="--slots")
    slots = _numbers(text, "--slots", rows.count, range(MAX_SLOT + 1))
    if any(a >= b for a, b in pairwise(slots)):
        raise typer.BadParameter("expected ascending numbers, none of them twice", param_hint="--slots")
    return slots


def _weights(text: str, count: int) -> Int64:
    return np.array(_numbers(text, "--weights", count, range(1, MAX_WEIGHT_CAP + 1)), dtype=np.int64)


def _numbers(text: str, option: str, count: int, bounds: range) -> tuple[int, ...]:
    """As many decimal numbers as there are rows."""
    words = [word.strip() for word in text.split(",")]
    if not all(re.fullmatch(r"[0-9]{1,10}", word) for word in words):
        raise typer.BadParameter("expected decimal numbers with commas between", param_hint=option)
    if len(words) != count:
        raise typer.BadParameter(f"expected {count}, one for every row, got {len(words)}", param_hint=option)
    for word in words:
        if int(word) not in bounds:
            expected = f"expected {bounds.start} to {bounds.stop - 1}"
            raise typer.BadParameter(f"{expected}, got {int(word)}", param_hint=option)
    return tuple(map(int, words))


def _digest(text: str) -> bytes:
    """64 hexadecimal digits, behind 0x or not."""
    if not re.fullmatch(r"(0x)?[0-9a-fA-F]{64}", text):
        raise typer.BadParameter("expected 64 hexadecimal digits", param_hint="--seed")
    return bytes.fromhex(text.removeprefix("0x"))
