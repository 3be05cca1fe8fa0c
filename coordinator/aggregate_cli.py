"""`veriflock aggregate`: what a result must say of rows, computed from the rows alone, on one machine or on many.

Responsible for: options, files, lines for people or JSON.
Must not know:   how anything is computed, or where.
"""

from __future__ import annotations

import json
import os
import re
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from coordinator.shards import LocalRunner, Recomputed, RowFiles, Runner, open_rows, ray_runner, recompute
from protocol.errors import MalformedError
from protocol.fixedpoint import Int64
from protocol.hashing import sha256
from protocol.rulebook import Chain, parse_chain

ENGINES = ("local", "ray")


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
        Path, typer.Argument(help="A .npy with an int16 matrix, or a folder with a file for every row, by slot.")
    ],
    rule: Annotated[str, typer.Option(help="A chain, such as trimmed-mean or nnm+krum.")],
    f: Annotated[int, typer.Option("--f", min=0, help="How many liars the rule is to tolerate.")],
    m: Annotated[int, typer.Option("--m", min=0, help="Rows that multi-krum takes; 0: all but f.")] = 0,
    weights: Annotated[
        str | None, typer.Option(help="For weighted-mean: every row's samples, capped, with commas between.")
    ] = None,
    slots: Annotated[
        str | None, typer.Option(help="The rows' slots, ascending, with commas between; else 0, 1, 2 and so on.")
    ] = None,
    seed: Annotated[str | None, typer.Option(help="For bucketing: the round's seed, 64 hexadecimal digits.")] = None,
    engine: Annotated[str, typer.Option(help="local, or ray: on several processes or machines.")] = "local",
    workers: Annotated[
        int | None, typer.Option(min=1, help="With ray: parts worked on at once; else one for every processor.")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="With ray: address of a cluster that sees the rows; else one is started here.")
    ] = None,
    timeout_s: Annotated[float, typer.Option("--timeout", min=1, help="With ray: seconds for all of it.")] = 3600,
    out: Annotated[Path | None, typer.Option(help="Write the aggregate there, as a .npy of int32.")] = None,
    format_: Annotated[str, typer.Option("--format", help="text or json.")] = "text",
) -> None:
    """Recompute what a result says of a round from its counted rows: roots, aggregate, and every row's totals.

    The bits are the same with any engine and any number of workers.
    """
    for option, value, known in (("--format", format_, ("text", "json")), ("--engine", engine, ENGINES)):
        if value not in known:
            raise typer.BadParameter(f"expected {' or '.join(known)}", param_hint=option)
    if engine == "local" and (workers, cluster) != (None, None):
        raise typer.BadParameter("--workers and --cluster are for --engine ray")
    chain = parse_chain(rule)
    if seed is None and "bucketing" in (stage.name for stage in chain.stages):
        raise typer.BadParameter("bucketing needs the round's seed", param_hint="--seed")
    found = open_rows(rows)
    at = tuple(range(found.count)) if slots is None else _numbers(slots, "--slots", found.count)
    asked = Asked(
        rows=found, chain=chain, f=f, m=m, slots=at, engine=engine, workers=_workers(workers) if engine == "ray" else 1
    )
    before = time.monotonic()
    with _runner(asked, cluster, timeout_s) as runner:
        made = recompute(
            found,
            chain,
            f=f,
            m=m,
            weights=None if weights is None else _weights(weights, found.count),
            slots=at,
            seed=bytes(32) if seed is None else _digest(seed),
            runner=runner,
        )
    seconds = time.monotonic() - before
    if out is not None:
        with out.open("wb") as file:
            np.save(file, made.aggregate, allow_pickle=False)
    said = _said(asked, made, seconds)
    if format_ == "json":
        typer.echo(json.dumps(said, indent=2))
    else:
        _print(said)


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


def _weights(text: str, count: int) -> Int64:
    return np.array(_numbers(text, "--weights", count), dtype=np.int64)


def _numbers(text: str, option: str, count: int) -> tuple[int, ...]:
    """As many decimal numbers as there are rows."""
    words = [word.strip() for word in text.split(",")]
    if not all(re.fullmatch(r"[0-9]{1,10}", word) for word in words):
        raise typer.BadParameter("expected decimal numbers with commas between", param_hint=option)
    if len(words) != count:
        raise MalformedError(f"numbers of {option}", expected=f"{count}, one for every row", actual=len(words))
    return tuple(map(int, words))


def _digest(text: str) -> bytes:
    """64 hexadecimal digits, behind 0x or not."""
    if not re.fullmatch(r"(0x)?[0-9a-fA-F]{64}", text):
        raise typer.BadParameter("expected 64 hexadecimal digits", param_hint="--seed")
    return bytes.fromhex(text.removeprefix("0x"))
