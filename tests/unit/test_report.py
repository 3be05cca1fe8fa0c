"""Reports: what a check comes to, what follows from all, and that nothing becomes a pass by accident."""

import io
import json

import pytest
from rich.console import Console

from protocol.errors import LengthError, UnavailableError, VerificationError
from verifier.recipe import parse_rounds
from verifier.report import BANNER, Report, Status, parse_report, print_report, printable


def raising(error: Exception) -> tuple[None, str]:
    raise error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (VerificationError("x"), Status.REFUTED),
        (LengthError("x"), Status.REFUTED),
        (UnavailableError("x"), Status.UNKNOWN),
        (OSError("disk"), Status.UNKNOWN),
        (MemoryError(), Status.UNKNOWN),
        (ValueError("a bug of ours"), Status.UNKNOWN),
        (AttributeError("another"), Status.UNKNOWN),
    ],
)
def test_what_is_raised_decides_the_status(error: Exception, status: Status) -> None:
    report = Report()
    assert report.run(1, "x", None, lambda: raising(error)) is None
    assert [check.status for check in report.checks] == [status]


def test_refuted_outranks_unknown_which_outranks_ok() -> None:
    report = Report()
    assert report.exit_code == 2  # nothing checked is nothing known
    report.run(1, "fine", None, lambda: (1, "seen"))
    assert report.exit_code == 0
    report.skip(2, "later", 1, "not reached")
    assert report.exit_code == 2
    report.run(3, "wrong", 1, lambda: raising(VerificationError("x")))
    report.skip(4, "later", 1, "not reached")
    assert report.exit_code == 1


def test_the_banner_stands_also_when_all_is_green() -> None:
    report = Report(is_simulated=True, not_checked=("the moon",))
    report.run(1, "fine", 3, lambda: (1, "ab" * 32 + " seen"))
    out = io.StringIO()
    print_report(report, Console(file=out, width=200))
    text = out.getvalue()
    assert text.count(BANNER) == 2
    assert "r3" in text
    assert "abababab... seen" in text
    assert "the moon" in text
    assert json.loads(report.to_json())["note"] == BANNER
    assert parse_report(report.to_json())["checks"][0]["evidence"] == "ab" * 32 + " seen"


def test_evidence_is_text_and_never_markup() -> None:
    report = Report()
    report.run(1, "fine", None, lambda: (1, "[red]oops[/red]"))
    out = io.StringIO()
    print_report(report, Console(file=out, width=200))
    assert "[red]oops[/red]" in out.getvalue()


@pytest.mark.parametrize("evil", ["\x1b[2J", "\x9b2J", "a\r\nb", "\x7f", "\ud800", "\u202e", "\x00"])
def test_text_of_others_moves_no_cursor_and_ends_in_no_traceback(evil: str) -> None:
    report = Report(subject={"chain": evil}, not_checked=(evil,))
    report.run(1, "fine", None, lambda: (1, evil))
    report.run(2, "wrong", None, lambda: raising(VerificationError(evil)))
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    print_report(report, Console(file=out, width=200))
    out.flush()
    seen = raw.getvalue().decode("ascii")
    assert set(seen) - {"\n"} <= set(map(chr, range(32, 127)))
    assert evil.encode("unicode_escape").decode() in seen
    assert parse_report(report.to_json())["subject"]["chain"] == evil
    report.to_json().encode("ascii")


def test_letters_of_other_languages_stay() -> None:
    assert printable("Zürich \u4e2d") == "Zürich \u4e2d"
    assert printable("Zürich", "ascii") == "Z\\xfcrich"


def test_ranges_of_rounds() -> None:
    assert parse_rounds("3") == (3, 3)
    assert parse_rounds("3-7") == (3, 7)
    for text in ("", "0", "7-3", "a", "1-b", "-3", "1-2-3"):
        with pytest.raises(UnavailableError):
            parse_rounds(text)
