"""What a dispute came to, for people and for programs.

Responsible for: the values of a report, its text, its JSON (the same keys whatever happened), the exit code.
Must not know:   how any of it was found or done.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from protocol.disputes import Verdict
from protocol.keys import to_hex
from protocol.openings import Tree
from verifier.dispute.prospects import Prospect, claimable_until
from verifier.dispute.steps import Gas
from verifier.node import Mined
from verifier.refutation.reconstruction import CannotOpen
from verifier.refutation.statement import Statement
from verifier.report import EXIT_CODES, Status, printable

PUBLIC = 0
"""Disclosure: rows in the clear for everyone."""

MAX_SHOWN = 5
"""Trees and notes in the text; the JSON has all."""

ENDS = {Status.OK: "ok", Status.REFUTED: "REFUTED", Status.UNKNOWN: "could not tell"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Accusation:
    """A proof, and what it says."""

    statement: Statement
    is_enclaves: bool
    """Whether no host can have made an honest enclave sign this."""
    opens: list[tuple[str, str]]
    """(the argument's name, what it opens)."""
    proof_bytes: int
    """All of the call."""

    def to_map(self) -> dict[str, Any]:
        """For JSON."""
        found = self.statement
        return {
            "predicate": f"F{found.predicate.value}",
            "contract": found.family.contract,
            "function": found.function,
            "text": found.text,
            "is_enclaves": self.is_enclaves,
            "opens": [{"name": name, "what": what} for name, what in self.opens],
            "proof_bytes": self.proof_bytes,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeReport:
    """Everything that is known by the end; what there is not is None or empty."""

    status: Status = Status.UNKNOWN
    """Whether something is wrong, nothing is, or nobody can tell or do."""
    summary: str = ""
    """One line: what it came to."""
    subject: dict[str, str] = field(default_factory=dict)
    """What was looked at, for people: chain, ledger, artifacts."""
    round_id: int | None = None
    round_state: str | None = None
    """As the ledger has it at the end."""
    result: bytes | None = None
    """hashStruct of what was proposed."""
    accusation: Accusation | None = None
    gas: Gas = field(default_factory=Gas)
    """Estimates."""
    prospect: Prospect | None = None
    """What becomes of the bond: will, or has."""
    sent: tuple[Mined, ...] = ()
    """In order, with those that failed."""
    verdict: Verdict | None = None
    """As it stands."""
    executable_from_s: int | None = None
    """First second at which the pot may be shared out."""
    race: str = ""
    """What somebody else did."""
    suspension: str = ""
    """That a proof suspends the measurement where the verdict's did not, and whether it was sent."""
    cannot_open: tuple[CannotOpen, ...] = ()
    notes: tuple[str, ...] = ()
    next_steps: tuple[str, ...] = ()
    """What the reader can do now."""

    @property
    def exit_code(self) -> int:
        """0 nothing is wrong (or it is done), 1 something was refuted, 2 could not tell, or not do."""
        return EXIT_CODES[self.status]

    def to_map(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "version": 1,
            "status": self.status.value,
            "summary": self.summary,
            "subject": self.subject,
            "round": self.round_id,
            "round_state": self.round_state,
            "result": _hash(self.result),
            "accusation": None if self.accusation is None else self.accusation.to_map(),
            "gas": {
                "commitProof": self.gas.commit,
                "refute": self.gas.refute,
                "suspend": self.gas.suspend,
                "executeVerdict": self.gas.execute,
            },
            "prospect": None if self.prospect is None else _prospect_map(self.prospect),
            "sent": [_mined_map(mined) for mined in self.sent],
            "verdict": None if self.verdict is None else _verdict_map(self.verdict),
            "executable_from": self.executable_from_s,
            "race": self.race,
            "suspension": self.suspension,
            "cannot_open": [str(tree) for tree in self.cannot_open],
            "notes": list(self.notes),
            "next_steps": list(self.next_steps),
        }

    def to_json(self) -> str:
        """Keys sorted; ASCII, so that no text of others reaches a terminal."""
        return json.dumps(self.to_map(), indent=2, sort_keys=True, ensure_ascii=True) + "\n"

    def to_text(self, encoding: str = "utf-8", said: Sequence[str] = ()) -> str:
        """Lines for people, without those that were said before; what others wrote can't move their cursor."""
        lines = [*(line for line in self.lines() if line not in said), f"{ENDS[self.status]}: {self.summary}"]
        return "".join(f"{printable(line, encoding)}\n" for line in lines)

    def lines(self) -> Iterator[str]:
        """All of the text but the last line, which says what it came to."""
        yield from (f"{name}: {value}" for name, value in self.subject.items())
        if self.round_id is not None:
            result = "" if self.result is None else f", result {_hash(self.result)}"
            yield f"round {self.round_id}: {self.round_state}{result}"
        if self.accusation is not None:
            yield from _accusation_lines(self.accusation)
        gas = [("commitProof", self.gas.commit), ("refute", self.gas.refute)]
        gas += [("suspend", self.gas.suspend), ("executeVerdict", self.gas.execute)]
        if any(amount is not None for _, amount in gas):
            yield "gas, estimated: " + ", ".join(f"{name} {amount}" for name, amount in gas if amount is not None)
        if self.prospect is not None:
            yield from _prospect_lines(self.prospect, self.round_id)
        if self.race:
            yield self.race
        if self.suspension:
            yield self.suspension
        if self.sent:
            yield "sent:"
            yield from (f"  {_mined_line(mined)}" for mined in self.sent)
        if self.verdict is not None:
            yield from _verdict_lines(self.verdict, self.executable_from_s)
        yield from _some([str(tree) for tree in self.cannot_open])
        yield from _some(list(self.notes))
        yield from (f"next: {step}" for step in self.next_steps)


def remedies(missing: tuple[CannotOpen, ...], *, disclosure: int) -> tuple[str, ...]:
    """What a member does about trees that can't be opened: what is withheld must not settle."""
    askable = {Tree.SET, Tree.MODEL} | ({Tree.ROW, Tree.COLUMN, Tree.GRAM} if disclosure == PUBLIC else set())
    steps: dict[str, None] = {}  # in order, each once
    for tree in missing:
        if tree.tree in askable and not tree.is_base:
            slot = "" if tree.slot is None else f" --slot {tree.slot}"
            steps[
                f"a member asks for a leaf: veriflock consortium request-leaf {tree.tree.name.lower()} INDEX{slot}"
            ] = None
    shown = list(steps)[:MAX_SHOWN]
    return (*shown, "or more than a third of the members sign that it can't be had: veriflock consortium unavailable")


def moment(seconds: int) -> str:
    """Chain time for people."""
    try:
        return f"{seconds} ({datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC)"
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def _accusation_lines(found: Accusation) -> Iterator[str]:
    statement = found.statement
    yield f"F{statement.predicate.value} {statement.function}: {statement.text}"
    fault = "no host can make an honest enclave sign this" if found.is_enclaves else "a host can cause this by itself"
    yield f"  {fault}"
    yield f"opens, in {found.proof_bytes} bytes of {statement.family.contract}.{statement.function}:"
    yield from (f"  {name}: {what}" for name, what in found.opens)


def _prospect_lines(found: Prospect, round_id: int | None) -> Iterator[str]:
    yield "what follows from a verdict:"
    yield f"  round {round_id} is void, and the base model stands"
    yield f"  {to_hex(found.coordinator)} loses its bond, {found.pot_wei} wei"
    who = to_hex(found.prover) if any(found.prover) else "the prover"
    yield f"  {found.reward_wei} wei to {who}"
    if found.signers is None:
        yield "  a quarter in equal shares to those whose signed update was in, once somebody shows the set leaves"
    else:
        yield f"  {found.share_wei} wei to each of {len(found.signers)} whose signed update was in the round"
        yield f"  {found.burnt_wei} wei are burnt"
    if found.suspended is None:
        yield "  no measurement is suspended"
    else:
        yield f"  measurement {_hash(found.suspended)} is suspended until members vote for it again"


def _verdict_lines(verdict: Verdict, executable_from_s: int | None) -> Iterator[str]:
    yield (
        f"verdict: F{verdict.predicate} on round {verdict.round_id}, prover {to_hex(verdict.prover)}, "
        f"committed in block {verdict.committed_at}"
    )
    if executable_from_s is not None:
        yield f"  an older pre-commitment can be claimed until {moment(claimable_until(verdict))}"
        yield f"  the pot is shared out from {moment(executable_from_s)} on"


def _mined_line(mined: Mined) -> str:
    failed = "" if mined.is_success else ", FAILED"
    place = f"0x{mined.transaction.hex()} in block {mined.block}"
    return f"{mined.what} {place}: {mined.gas_used} gas, {mined.fee_wei} wei{failed}"


def _some(lines: list[str]) -> Iterator[str]:
    yield from lines[:MAX_SHOWN]
    if len(lines) > MAX_SHOWN:
        yield f"and {len(lines) - MAX_SHOWN} more (--format json has all)"


def _prospect_map(found: Prospect) -> dict[str, Any]:
    return {
        "coordinator": to_hex(found.coordinator),
        "pot_wei": str(found.pot_wei),
        "prover": to_hex(found.prover) if any(found.prover) else None,
        "reward_wei": str(found.reward_wei),
        "signers": None if found.signers is None else [to_hex(signer) for signer in found.signers],
        "share_wei": None if found.signers is None else str(found.share_wei),
        "burnt_wei": None if found.signers is None else str(found.burnt_wei),
        "suspended": _hash(found.suspended),
    }


def _verdict_map(verdict: Verdict) -> dict[str, Any]:
    return {
        "predicate": f"F{verdict.predicate}",
        "coordinator": to_hex(verdict.coordinator),
        "prover": to_hex(verdict.prover),
        "committed_at": verdict.committed_at,
        "decided_at": verdict.decided_at,
        "pot_wei": str(verdict.pot),
    }


def _mined_map(mined: Mined) -> dict[str, Any]:
    return {
        "what": mined.what,
        "transaction": _hash(mined.transaction),
        "block": mined.block,
        "gas_used": mined.gas_used,
        "fee_wei": str(mined.fee_wei),
        "is_success": mined.is_success,
    }


def _hash(value: bytes | None) -> str | None:
    return None if value is None else "0x" + value.hex()
