"""What a verification found: a list of checks, each with its evidence, and what follows from all of them.

Responsible for: results, their JSON and text, the exit code, and the banner that simulated quotes get.
Must not know:   how a check is made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from rich.console import Console
from rich.markup import escape

from protocol.errors import MalformedError, UnavailableError, VeriflockError

T = TypeVar("T")

BANNER = "SIMULATED quotes: they prove the protocol and say nothing about hardware"


class Status(StrEnum):
    """What a check came to."""

    OK = "ok"
    REFUTED = "refuted"
    UNKNOWN = "unknown"


EXIT_CODES = {Status.OK: 0, Status.REFUTED: 1, Status.UNKNOWN: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One numbered check of one round, or of the whole federation."""

    number: int
    name: str
    round_id: int | None
    """None where it is about the whole federation."""
    status: Status
    evidence: str
    """What was seen; why not, where it is not ok."""

    def to_map(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "number": self.number,
            "name": self.name,
            "round": self.round_id,
            "status": self.status.value,
            "evidence": self.evidence,
        }


@dataclass(slots=True, kw_only=True)
class Report:
    """Checks as they are made.  Nothing but `run` adds one, so none is forgotten that was begun."""

    subject: dict[str, str] = field(default_factory=dict)
    """What was verified, for people: chain, ledger, sources."""
    checks: list[Check] = field(default_factory=list)
    not_checked: tuple[str, ...] = ()
    """What this verifier did not look at, always stated."""
    is_simulated: bool = False
    """Whether anything rests on a simulated quote."""
    on_check: Callable[[Check], None] | None = None
    """Told of every check as it is done (progress)."""

    def run(self, number: int, name: str, round_id: int | None, check: Callable[[], tuple[T, str]]) -> T | None:
        """Makes one check; it returns (a value for later checks, evidence) or raises.

        What is wrong is refuted; what could not be read, or rests on a check that did not hold, is unknown.
        """
        value: T | None = None
        try:
            value, evidence = check()
            status = Status.OK
        except VeriflockError as error:
            status, evidence = Status.REFUTED, str(error)
        except (UnavailableError, OSError) as error:
            status, evidence = Status.UNKNOWN, str(error)
        except Exception as error:
            # A hostile artifact must not end the verifier; that it could is a bug of ours, and never a pass.
            status, evidence = Status.UNKNOWN, f"the check failed in itself: {type(error).__name__}: {error}"
        self._add(Check(number=number, name=name, round_id=round_id, status=status, evidence=evidence))
        return value

    def skip(self, number: int, name: str, round_id: int | None, why: str) -> None:
        """A check that could not be begun: unknown."""
        self._add(Check(number=number, name=name, round_id=round_id, status=Status.UNKNOWN, evidence=why))

    def fail(self, status: Status, why: str) -> None:
        """Something went wrong before or between the checks."""
        self._add(Check(number=0, name="start", round_id=None, status=status, evidence=why))

    def _add(self, check: Check) -> None:
        self.checks.append(check)
        if self.on_check is not None:
            self.on_check(check)

    @property
    def status(self) -> Status:
        """Refuted if anything was, else unknown if anything is; nothing checked is nothing known."""
        found = {check.status for check in self.checks}
        for status in (Status.REFUTED, Status.UNKNOWN):
            if status in found:
                return status
        return Status.OK if found else Status.UNKNOWN

    @property
    def exit_code(self) -> int:
        """0 all hold, 1 something was refuted, 2 could not tell."""
        return EXIT_CODES[self.status]

    def to_map(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "version": 1,
            "status": self.status.value,
            "simulated": self.is_simulated,
            "note": BANNER if self.is_simulated else "",
            "subject": self.subject,
            "checks": [check.to_map() for check in self.checks],
            "not_checked": list(self.not_checked),
        }

    def to_json(self) -> str:
        """Keys sorted, so that equal reports are equal texts; ASCII, so that no text of others reaches a terminal."""
        return json.dumps(self.to_map(), indent=2, sort_keys=True, ensure_ascii=True) + "\n"


def parse_report(text: str) -> dict[str, Any]:
    """The map in a report's JSON.  Raises MalformedError."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise MalformedError(f"a report that is not JSON ({error})") from error
    if not isinstance(value, dict) or value.get("version") != 1:
        raise MalformedError("a report", expected="a map of version 1")
    return value


STYLES = {Status.OK: "green", Status.REFUTED: "bold red", Status.UNKNOWN: "yellow"}


def print_report(report: Report, console: Console) -> None:
    """Text for people; colour only where the console has it.  Hashes are cut (the JSON has them whole)."""

    def safe(text: str) -> str:
        return escape(printable(text, console.encoding))

    for name, value in report.subject.items():
        console.print(f"{safe(name)}: {safe(value)}", highlight=False, soft_wrap=True)
    if report.is_simulated:
        console.print(BANNER, style="bold yellow", soft_wrap=True)
    for check in report.checks:
        where = "      " if check.round_id is None else f"r{check.round_id:<5}"
        status = f"[{STYLES[check.status]}]{check.status.value:8}[/]"
        evidence = safe(_brief(check))
        console.print(f"{check.number:2} {where}{check.name:12} {status} {evidence}", highlight=False, soft_wrap=True)
    console.print("not checked:")
    for line in report.not_checked:
        console.print(f"  - {safe(line)}", highlight=False, soft_wrap=True)
    counts = {status: sum(check.status is status for check in report.checks) for status in Status}
    summary = ", ".join(f"{count} {status.value}" for status, count in counts.items())
    if report.is_simulated:
        console.print(BANNER, style="bold yellow", soft_wrap=True)
    console.print(f"{VERDICTS[report.status]}: {summary}", style=STYLES[report.status], highlight=False, soft_wrap=True)


def printable(text: str, encoding: str = "utf-8") -> str:
    """A text of others for a terminal: what moves the cursor, hides or can't be written is spelled as its escape."""
    seen = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return seen.encode(encoding, "backslashreplace").decode(encoding)


def _brief(check: Check) -> str:
    """Evidence for a line: whole where it is bad news, else hashes and length cut."""
    if check.status is not Status.OK:
        return check.evidence
    text = HASH.sub(lambda match: match[0][:8] + "...", check.evidence)
    return text if len(text) <= LINE_CHARACTERS else text[:LINE_CHARACTERS] + " ..."


HASH = re.compile(r"[0-9a-f]{64}")
LINE_CHARACTERS = 150
"""With number, round, name and status a line then fits most terminals twice folded at worst."""

VERDICTS = {
    Status.OK: "everything that was checked holds",
    Status.REFUTED: "REFUTED",
    Status.UNKNOWN: "could not tell",
}
