"""What a person sees of the demo: a live table, a bar while participants train, and short paragraphs.

Responsible for: rendering; colour only on a terminal.  With --json, one JSON object a line instead.
Must not know:   how anything was obtained.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from demo_parts.acts import Lie
from demo_parts.acts import Progress as RoundProgress
from demo_parts.record import RoundMetrics
from demo_parts.stolen import Theft
from demo_parts.tamper import Tampering
from protocol.keys import to_hex

SIMULATED = "attestation is SIMULATED: it says nothing about hardware"
ETHER = 10**18
EVIDENCE = 56
"""Characters of it beside a check that holds: the line fits a terminal of 80.  report.json has all."""


class Show:
    """For people."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in ("round", "accuracy*", "counted", "refused", "absent", "flagged", "gas", "seconds"):
            self._table.add_column(name, justify="right")
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
        )
        self._task = self._bar.add_task("starting", total=None)
        self._live: Live | None = None

    def step(self, text: str) -> None:
        """One line of the prologue."""
        self._console.print(f"[dim]-[/dim] {text}", soft_wrap=True)

    @contextmanager
    def rounds(self, *, is_theft: bool = False) -> Iterator[None]:
        """The live table, for as long as rounds run.  Without a terminal it is printed once, at the end.

        is_theft: only the bar, which goes away.
        """
        if is_theft:
            with Live(self._bar, console=self._console, refresh_per_second=8, transient=True):
                yield
            return
        with Live(Group(self._table, self._bar), console=self._console, refresh_per_second=8) as self._live:
            yield
            self._bar.stop()
            self._live.update(self._table, refresh=True)
        self._console.print()
        self._console.print("[dim]* on a held-out split, measured by this demo: unattested.[/dim]")
        self._console.print("[dim]  The chain's clock was moved past each deadline once all had answered.[/dim]\n")

    def progress(self, progress: RoundProgress) -> None:
        """The bar while participants train."""
        text = f"round {progress.round}: training, receipts"
        self._bar.update(self._task, description=text, completed=progress.received, total=progress.expected)

    def round(self, metrics: RoundMetrics) -> None:
        """A line of the table."""
        accuracy = (
            f"{metrics.accuracy:.4f}" if metrics.state == "settled" else f"{metrics.accuracy:.4f} ({metrics.state})"
        )
        flagged = f"[red]{metrics.flagged}[/red]" if metrics.flagged else "0"
        values = (metrics.counted, metrics.refused, metrics.absent)
        cells = [str(metrics.round), accuracy, *map(str, values), flagged, f"{metrics.gas:,}", f"{metrics.seconds:.1f}"]
        self._table.add_row(*cells)

    def lie(self, lie: Lie) -> None:
        """The coordinator's lie, and what the ledger said."""
        say = self._console.print
        say("[bold]The coordinator lies.[/bold]  It proposes a model of its own, signed with its own key:")
        self._refused("the ledger refuses, for the enclave has not signed it", lie.error)
        say(f"  transaction {lie.transaction}", soft_wrap=True)
        fee = f"{lie.fee_wei / ETHER:g} ether"
        say(f"  round {lie.round} is void; the coordinator, who was to propose a result, loses {fee}\n")

    def theft(self, theft: Theft) -> None:
        """A perfect quote, a false result, a proof, a price; and the same key in other hands."""
        say = self._console.print
        say("\n[bold]The coordinator has stolen the attestation key[/bold], the one that signs quotes.")
        say("Its own enclave runs other code.  Its quote names the code that was voted for:")
        say(f"  it runs    {theft.actual}", soft_wrap=True)
        say(f"  it quotes  {theft.measurement}", soft_wrap=True)
        say("  the ledger finds nothing wrong with the quote, and registers the enclave")
        say(f"  {theft.counted} participants find nothing wrong either, and seal their updates to it")
        say(f"  round {theft.round}: it signs an aggregate that is turned around\n")
        self._proof(theft)
        say("[bold]A stranger with the same key[/bold] has a perfect quote too, and gets nowhere:")
        self._refused("it can't register its enclave", theft.stranger.registration)
        self._refused("it can't propose its result", theft.stranger.proposal)
        self._refused("it can't use its receipt to have the coordinator punished", theft.stranger.receipt)

    def _proof(self, theft: Theft) -> None:
        """Who found the false result, how, and what follows."""
        say = self._console.print
        found, execution = theft.proof["accusation"], theft.execution["prospect"]
        say("[bold]Somebody who trusts nobody[/bold] runs veriflock dispute, from public bytes alone:")
        self._refused(f"a number that the enclave signed is wrong ({found['predicate']})", found["text"])
        gas = theft.proof["sent"][-1]["gas_used"]
        say(f"  one transaction shows it to the ledger: a proof of {found['proof_bytes']:,} bytes, {gas:,} gas")
        say(f"  round {theft.round} is {theft.state}; ", end="")
        say("the model stays as it was" if theft.model_stands else "[red]the model has moved[/red]")
        code = "is refused until members vote for it again" if theft.suspended else "[red]still counts[/red]"
        say(f"  the measurement {code}")
        reward, share, burnt = (int(execution[f"{part}_wei"]) / ETHER for part in ("reward", "share", "burnt"))
        say(f"  the coordinator's bond of {theft.bond_before_wei / ETHER:g} ether is gone:")
        say(f"    {reward:g} to who showed the proof")
        say(f"    {share:g} to each of {len(execution['signers'])} whose update was in the round")
        say(f"    {burnt:g} burnt\n")

    def _refused(self, what: str, why: str) -> None:
        """A line, and the reason below it, which may be long: what was expected and what came on a line each."""
        self._console.print(f"  {what}:", soft_wrap=True)
        told = re.sub(r"^the ledger refused \w+: ", "", why)
        said = re.fullmatch(r"(.+?): expected (.+), got (.+)", told)
        lines = (f"{said[1]}", f"expected {said[2]}", f"got      {said[3]}") if said else (told,)
        for line in lines:
            self._console.print(f"    [red]{escape(line)}[/red]", soft_wrap=True)

    def tampering(self, tampering: Tampering) -> None:
        """The enclave that runs other code than members voted for, and who noticed."""
        self._console.print(
            f"[bold]Somebody changed one byte[/bold] of {tampering.file}, at offset {tampering.offset}."
        )
        self._console.print(f"  measurement by vote   {tampering.expected}", soft_wrap=True)
        self._console.print(f"  measurement started   {tampering.actual}", soft_wrap=True)
        for line in tampering.differences:
            self._console.print(f"  {escape(line)}", soft_wrap=True)
        refused = f"[red]{escape(tampering.ledger)}[/red]" if tampering.ledger else "nothing: it registered the enclave"
        self._console.print(f"  the ledger says to its registration: {refused}", soft_wrap=True)
        said = f"[red]{escape(tampering.participant)}[/red]"
        self._console.print(f"  a participant that is shown its quote says: {said}", soft_wrap=True)
        verdict = "refused by both; nobody sealed anything to it" if tampering.is_refused else "NOT REFUSED"
        self._console.print(f"  [bold]{verdict}[/bold]\n")

    def standings(self, standings: list[tuple[bytes, bool, int, int]]) -> None:
        """Reputations and payouts."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in ("participant", "", "reputation", "ether*"):
            table.add_column(name, justify="left" if name in ("participant", "") else "right")
        for account, is_byzantine, reputation_ppb, credit_wei in standings:
            mark = "[red]Byzantine[/red]" if is_byzantine else "honest"
            table.add_row(to_hex(account), mark, f"{reputation_ppb / 1e9:.3f}", f"{credit_wei / ETHER:.6f}")
        self._console.print(table)
        self._console.print("[dim]* credited for rounds, and from the coordinator's bond.[/dim]\n")

    def report(self, report: dict[str, Any]) -> None:
        """The verifier's: every check of the federation, a line a round, and in full whatever does not hold."""
        self._console.print("[bold]An independent verifier[/bold], from the chain's dump and the public artifacts:")
        held: dict[int, int] = {}
        for check in report["checks"]:
            number, round_id, is_ok = check["number"], check["round"], check["status"] == "ok"
            if round_id is not None and is_ok:
                held[round_id] = held.get(round_id, 0) + 1
                continue
            if round_id is None and held and number > max(check["number"] for check in report["checks"]) - 4:
                self._rounds_held(held)
                held = {}
            place = f"round {round_id} " if round_id is not None else ""
            mark = "[green]holds[/green]" if is_ok else f"[red]{check['status']}[/red]"
            evidence = check["evidence"]
            if is_ok and len(evidence) > EVIDENCE:
                evidence = evidence[: EVIDENCE - 3] + "..."
            self._console.print(f"  {number:>2} {place}{check['name']:<11} {mark}  {escape(evidence)}", soft_wrap=True)
        self._console.print(f"  not checked: {len(report['not_checked'])} things, named in the report")
        colour = {"ok": "green"}.get(report["status"], "red")
        total = sum(check["status"] == "ok" for check in report["checks"])
        verdict = "everything that was checked holds" if report["status"] == "ok" else str(report["status"])
        self._console.print(
            f"  [bold {colour}]{verdict}[/bold {colour}]: {total} checks\n  {SIMULATED}\n", soft_wrap=True
        )

    def _rounds_held(self, held: dict[int, int]) -> None:
        for round_id, count in sorted(held.items()):
            self._console.print(f"  round {round_id:<8} [green]holds[/green]  {count} checks")

    def end(self, paths: dict[str, str], seconds: float) -> None:
        """Where everything is."""
        for name, path in paths.items():
            self._console.print(f"  {name:<10} {path}", soft_wrap=True)
        self._console.print(f"[dim]{seconds:.0f} s[/dim]")


class JsonShow:
    """For machines: one object a line."""

    def step(self, text: str) -> None:
        """As in Show."""
        self._emit("step", text=text)

    @contextmanager
    def rounds(self, *, is_theft: bool = False) -> Iterator[None]:
        """As in Show."""
        yield

    def progress(self, progress: RoundProgress) -> None:
        """Nothing: a machine does not watch a bar."""

    def round(self, metrics: RoundMetrics) -> None:
        """As in Show."""
        self._emit("round", **asdict(metrics))

    def lie(self, lie: Lie) -> None:
        """As in Show."""
        self._emit("lie", **asdict(lie))

    def theft(self, theft: Theft) -> None:
        """As in Show."""
        self._emit("theft", **theft.to_map())

    def tampering(self, tampering: Tampering) -> None:
        """As in Show."""
        self._emit("tampering", **asdict(tampering), refused=tampering.is_refused)

    def standings(self, standings: list[tuple[bytes, bool, int, int]]) -> None:
        """As in Show."""
        for account, is_byzantine, reputation_ppb, credit_wei in standings:
            values = {"byzantine": is_byzantine, "reputation_ppb": reputation_ppb, "credit_wei": credit_wei}
            self._emit("standing", participant=to_hex(account), **values)

    def report(self, report: dict[str, Any]) -> None:
        """As in Show."""
        self._emit("verification", report=report)

    def end(self, paths: dict[str, str], seconds: float) -> None:
        """As in Show."""
        self._emit("end", **paths, seconds=round(seconds, 1), simulated=True)

    def _emit(self, event: str, **values: Any) -> None:
        print(json.dumps({"event": event, **values}), flush=True)
