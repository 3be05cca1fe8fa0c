"""What `veriflock quote verify` found: the verdict, its JSON and its text.

Responsible for: authentic and acceptable as two answers, what was done of the recipe, and why the answer is what it is.
Must not know:   how evidence is verified, or where it came from.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.markup import escape

from protocol.attestation.policy import Policy, check_policy
from protocol.attestation.result import STEPS, VERIFIER, Check, Examination, Facts, Format, NotChecked
from protocol.attestation.trust import RootKind
from protocol.errors import PolicyError, show
from verifier.report import printable

SIMULATED_NOTE = "SIMULATED: says nothing about hardware"

KINDS = {
    RootKind.INTEL: "Intel hardware",
    RootKind.AWS: "AWS hardware",
    RootKind.SIMULATED: "simulated, which says nothing about hardware",
}

HELD, FAILED, NOT_DONE = "held", "failed", "not_done"
STYLES = {HELD: "green", FAILED: "bold red", NOT_DONE: "yellow"}

_SECONDS = re.compile(r"(?<![0-9A-Za-z])[1-9][0-9]{9}(?![0-9A-Za-z])")

_NITRO_STEPS = frozenset({1, 2, 6, 9, 10})
"""The others don't exist for Nitro: AWS publishes no security versions, and its certificates live for hours."""
_RESULT = 11
"""Not a step that could fail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One step of the recipe."""

    step: int
    name: str
    outcome: str
    saw: str
    """What was seen; why not, where it did not hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Evidence looked at, and held against a policy."""

    examination: Examination
    refusal: PolicyError | None
    """Why authentic evidence is not acceptable."""
    undecided: str = ""
    """Why nobody looked at the evidence."""

    @property
    def authentic(self) -> bool | None:
        """None where one could not tell."""
        if self.examination.error is not None:
            return False
        return True if self.examination.is_complete and self.examination.verified is not None else None

    @property
    def acceptable(self) -> bool | None:
        """Only what is authentic can be; None where one could not tell."""
        return self.authentic and self.refusal is None

    @property
    def exit_code(self) -> int:
        """0 authentic and acceptable, 1 not, 2 could not tell."""
        return {True: 0, False: 1, None: 2}[self.acceptable]

    @property
    def failed(self) -> tuple[int | None, str] | None:
        """The step (None for the policy) and the reason of the first thing that did not hold."""
        if self.examination.error is not None:
            return _step_of(self.examination.error.check), _reason(self.examination.error)
        return None if self.refusal is None else (None, f"policy: {self.refusal}")

    @property
    def verdict(self) -> str:
        """One line that says what it is, and why."""
        if self.failed is not None and self.authentic is False:
            step, reason = self.failed
            return f"NOT AUTHENTIC: step {step} {STEPS.get(step or 0, '')}: {reason}"
        if self.undecided:
            return f"could not tell: {self.undecided}"
        if self.authentic is None:
            missing = [entry for entry in self.examination.not_checked if entry.step != 10]
            steps = ", ".join(f"{entry.step} {entry.name}" for entry in missing)
            return f"could not tell: {missing[0].why} (not done: {steps}; --collateral has what they need)"
        if self.failed is not None:
            return f"authentic, but NOT ACCEPTABLE: {self.failed[1]}"
        facts = self.examination.facts
        kind = "" if facts.root_kind is None else KINDS[facts.root_kind]
        status = "" if facts.tcb_status is None else f", {facts.tcb_status}"
        unbound = any(entry.step == 10 for entry in self.examination.not_checked)
        bound = "; may be old, or made for somebody else (no --nonce)" if unbound else ""
        return f"authentic and acceptable: {kind}{status}{bound}"

    @property
    def note(self) -> str:
        """What has to be said wherever the evidence is used."""
        return SIMULATED_NOTE if self.examination.facts.root_kind is RootKind.SIMULATED else ""

    @property
    def lines(self) -> tuple[Line, ...]:
        """Every step that this kind of evidence has, in order."""
        found = {check.step: _held(check) for check in self.examination.checks}
        for entry in self.examination.not_checked:
            found.setdefault(entry.step, _not_done(entry))
        if self.examination.error is not None:
            step = _step_of(self.examination.error.check)
            saw = _reason(self.examination.error)
            found[step] = Line(step=step, name=STEPS.get(step, ""), outcome=FAILED, saw=saw)
        steps = _NITRO_STEPS if self.examination.facts.format is Format.NITRO else set(STEPS) - {_RESULT}
        for step in steps:
            why = NotChecked(step=step, name=STEPS[step], why="not reached")
            found.setdefault(step, _not_done(why))
        return tuple(found[step] for step in sorted(found))

    def to_map(self) -> dict[str, Any]:
        """For JSON."""
        facts = self.examination.facts
        return {
            "authentic": self.authentic,
            "acceptable": self.acceptable,
            "format": facts.format,
            "root_kind": None if facts.root_kind is None else facts.root_kind.name.lower(),
            "tcb_status": facts.tcb_status,
            "advisories": list(facts.advisories),
            "measurement": _hex(facts.measurement),
            "report_data": _hex(facts.report_data),
            "checks": [
                {"step": line.step, "name": line.name, "outcome": line.outcome, "saw": line.saw} for line in self.lines
            ],
            "failed": None if self.failed is None else {"step": self.failed[0], "reason": self.failed[1]},
            "measurements": {name: value.hex() for name, value in facts.measurements.items()},
            "said": {name: _hex(value) for name, value in facts.said.items()},
            "debug": facts.is_debug,
            "not_before": _time(facts.not_before_s),
            "not_after": _time(facts.not_after_s),
            "collateral": self._collateral(),
            "note": self.note,
            "verdict": self.verdict,
            "verifier": VERIFIER,
        }

    def to_json(self) -> str:
        """ASCII, so that no text of others reaches a terminal."""
        return json.dumps(self.to_map(), indent=2, ensure_ascii=True) + "\n"

    def _collateral(self) -> dict[str, Any] | None:
        facts = self.examination.facts.collateral
        if facts is None:
            return None
        return {
            "sha256": facts.sha256.hex(),
            "tcb_info_sha256": facts.tcb_info.hex(),
            "qe_identity_sha256": facts.qe_identity.hex(),
            "root_crl_number": facts.root_crl_number,
            "pck_crl_number": facts.pck_crl_number,
            "tcb_evaluation_number": facts.tcb_evaluation_number,
        }


def judge(examination: Examination, policy: Policy) -> Judgement:
    """Authenticity as it was examined, and what the policy says of evidence that is authentic."""
    refusal = None
    if examination.verified is not None and examination.is_complete:
        try:
            check_policy(examination.verified, policy)
        except PolicyError as error:
            refusal = error
    return Judgement(examination=examination, refusal=refusal)


def undecided_json(why: str) -> str:
    """The JSON where there was no verdict: the keys of one, and why there is none."""
    nobody_looked = Examination(checks=(), not_checked=(), facts=Facts(), error=None, verified=None)
    answer = Judgement(examination=nobody_looked, refusal=None, undecided=why).to_map()
    answer |= {"checks": [], "failed": {"step": None, "reason": why}}
    return json.dumps(answer, indent=2, ensure_ascii=True) + "\n"


def print_judgement(judgement: Judgement, console: Console) -> None:
    """Text for people; colour only where the console has it."""

    def say(text: str, style: str = "") -> None:
        console.print(escape(printable(_dated(text), console.encoding)), style=style, highlight=False, soft_wrap=True)

    for name, value in _facts_for_people(judgement):
        say(f"{name:13} {value}")
    say("")
    for line in judgement.lines:
        start = f"{line.step:4}  {line.name:11} "
        console.print(start, end="", highlight=False)
        console.print(f"{line.outcome.replace('_', ' '):10}", style=STYLES[line.outcome], end="", highlight=False)
        say(line.saw)
    say("")
    if judgement.note:
        say(judgement.note, "bold yellow")
    say(judgement.verdict, {0: "bold green", 1: "bold red", 2: "bold yellow"}[judgement.exit_code])


def _facts_for_people(judgement: Judgement) -> list[tuple[str, str]]:
    facts = judgement.examination.facts
    shown = [
        ("format", facts.format),
        ("root", None if facts.root_kind is None else facts.root_kind.name.lower()),
        ("TCB status", facts.tcb_status),
        ("advisories", ", ".join(facts.advisories) or None),
        ("measurement", _hex(facts.measurement)),
        ("report data", _hex(facts.report_data)),
        *((name.replace("_", " "), _hex(value)) for name, value in facts.said.items()),
        ("debug", "yes: its owner can read its memory" if facts.is_debug else None),
        ("valid", None if facts.not_before_s is None else f"{_time(facts.not_before_s)} to {_time(facts.not_after_s)}"),
    ]
    return [(name, str(value)) for name, value in shown if value is not None]


def _held(check: Check) -> Line:
    return Line(step=check.step, name=check.name, outcome=HELD, saw=check.saw)


def _not_done(entry: NotChecked) -> Line:
    return Line(step=entry.step, name=entry.name, outcome=NOT_DONE, saw=entry.why)


def _step_of(check: str) -> int:
    """The number in "quote 5"."""
    return int(check.split()[-1])


def _reason(error: Exception) -> str:
    """What was wrong, without the number of the check, which stands beside it."""
    text = str(error)
    return text.split(": ", 1)[1] if text.startswith("check ") else text


def _dated(text: str) -> str:
    """A window of time for people; hashes and other numbers stay what they are."""
    if "valid" not in text:
        return text
    return _SECONDS.sub(lambda match: str(_time(int(match[0]))), text).replace(" in seconds since 1970", "")


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()


def _time(seconds: int | None) -> str | None:
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError):
        return show(seconds)
