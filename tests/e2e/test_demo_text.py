"""What the demo prints for people: it fits a terminal of 80 columns, and repeats no error's beginning."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from demo_parts.acts import Lie
from demo_parts.show import Show
from demo_parts.stolen import Refusals, Theft

HASH, ACCOUNT, OTHER = "0x" + "ab" * 32, "0x" + "cd" * 20, "0x" + "ef" * 20
COLUMNS = 80


@pytest.fixture
def shown() -> tuple[Show, io.StringIO]:
    """A show, and what it prints."""
    text = io.StringIO()
    return Show(Console(file=text, width=COLUMNS, highlight=False)), text


def theft(**changes: Any) -> Theft:
    """The act as it goes with ten participants."""
    coordinate = "coordinate 0 of the aggregate: expected -9535488, as follows from its column, got 9535488"
    values: dict[str, Any] = {
        "round": 10,
        "enclave": HASH,
        "measurement": HASH,
        "actual": HASH,
        "counted": 10,
        "stranger": Refusals(
            registration=f"the ledger refused register: NotCoordinator (account {ACCOUNT})",
            proposal=f"the ledger refused propose: WrongCaller: expected {ACCOUNT}, got {OTHER}",
            receipt=f"the ledger refused dispute: OtherSigner: expected {ACCOUNT}, got {OTHER}",
        ),
        "proof": {
            "accusation": {"predicate": "F2", "text": coordinate, "proof_bytes": 2340},
            "sent": [{"gas_used": 128_144}],
        },
        "execution": {
            "prospect": {
                **{"reward_wei": str(10**18 // 4), "share_wei": str(10**18 // 40), "burnt_wei": str(10**18 // 2)},
                "signers": [ACCOUNT] * 10,
            }
        },
        "state": "void",
        "model_stands": True,
        "suspended": True,
        "bond_before_wei": 10**18,
        "bond_after_wei": 0,
    }
    return Theft(**{**values, **changes})


def test_no_line_of_the_acts_is_broken_by_the_terminal() -> None:
    said = []
    for width in (COLUMNS, 2 * COLUMNS):
        text = io.StringIO()
        show = Show(Console(file=text, width=width, highlight=False))
        show.lie(Lie(round=9, transaction=HASH, error="WrongSigner", fee_wei=10**17))
        show.theft(theft())
        said.append(lines(text))
    assert said[0] == said[1]


def lines(text: io.StringIO) -> list[str]:
    return text.getvalue().splitlines()


def test_the_theft_fits_the_terminal_and_says_what_was_expected_and_what_came(
    shown: tuple[Show, io.StringIO],
) -> None:
    show, text = shown
    show.theft(theft())
    assert [line for line in lines(text) if len(line) > COLUMNS] == []
    assert "    expected -9535488, as follows from its column" in lines(text)
    assert "    got      9535488" in lines(text)
    assert f"    NotCoordinator (account {ACCOUNT})" in lines(text)
    assert "the ledger refused" not in text.getvalue()


def test_a_theft_that_went_unnoticed_is_not_shown_as_one_that_was(shown: tuple[Show, io.StringIO]) -> None:
    show, text = shown
    show.theft(theft(model_stands=False, suspended=False))
    assert "  round 10 is void; the model has moved" in lines(text)
    assert "  the measurement still counts" in lines(text)


def test_the_lie_fits_the_terminal_and_the_refusal_is_told_once(shown: tuple[Show, io.StringIO]) -> None:
    show, text = shown
    error = f"the ledger refused propose: WrongSigner: expected {ACCOUNT}, got {OTHER}"
    show.lie(Lie(round=9, transaction=HASH, error=error, fee_wei=10**17))
    assert [line for line in lines(text) if len(line) > COLUMNS] == []
    assert lines(text)[2:5] == ["    WrongSigner", f"    expected {ACCOUNT}", f"    got      {OTHER}"]
    assert "the ledger refused" not in text.getvalue()


def test_a_check_that_holds_takes_one_line_and_one_that_does_not_is_told_whole(
    shown: tuple[Show, io.StringIO],
) -> None:
    show, text = shown
    names = ("chain", "checkpoints", "sums")
    checks = [
        {"number": number, "round": None, "name": name, "status": "ok", "evidence": "x" * 200}
        for number, name in zip((1, 28, 32), names, strict=True)
    ]
    checks += [{"number": 29, "round": None, "name": "charter", "status": "refuted", "evidence": "y" * 200}]
    show.report({"checks": checks, "status": "refuted", "not_checked": []})
    assert [line for line in lines(text) if len(line) > COLUMNS] == [f"  29 charter     refuted  {'y' * 200}"]
