"""`veriflock verify`: where chain and artifacts come from, and how the report goes out.

Responsible for: options, files, the exit code.
Must not know:   any check.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from protocol import checkpoints
from protocol.checkpoints import SignedCheckpoint, parse_checkpoints
from protocol.errors import MalformedError, UnavailableError, VeriflockError
from protocol.keys import parse_address
from verifier.chain import ChainSource
from verifier.checks import folder as folder_checks
from verifier.dump import DumpChain
from verifier.evidence import ArtifactSource, CoordinatorArtifacts, FolderArtifacts
from verifier.files import read_file
from verifier.recipe import Subject, parse_rounds, verify_federation
from verifier.report import Check, Report, Status, print_report
from verifier.rpc import RpcChain


def verify(
    rpc: Annotated[str | None, typer.Option(help="JSON-RPC address of a node.")] = None,
    ledger: Annotated[str | None, typer.Option(help="Address of the RoundLedger.")] = None,
    artifacts: Annotated[Path | None, typer.Option(help="Folder with blobs/ and rounds/.")] = None,
    coordinator: Annotated[str | None, typer.Option(help="https address of a coordinator, for its artifacts.")] = None,
    ca: Annotated[Path | None, typer.Option(help="Certificate that the coordinator's is checked against.")] = None,
    run: Annotated[Path | None, typer.Option(help="A run folder: chain, artifacts and record, all offline.")] = None,
    round_: Annotated[int | None, typer.Option("--round", min=1, help="One round only.")] = None,
    rounds: Annotated[str | None, typer.Option(help="A range of rounds, such as 3-7.")] = None,
    federation: Annotated[
        str | None, typer.Option(help="Federation id that you were told; another is refuted.")
    ] = None,
    genesis: Annotated[str | None, typer.Option(help="Genesis hash that you were told; another is refuted.")] = None,
    checkpoint: Annotated[
        list[Path] | None, typer.Option(help="Checkpoints that members gave you; may be given several times.")
    ] = None,
    without_sums: Annotated[
        bool, typer.Option("--without-sums", help="With --run: SHA256SUMS is not written yet; leave its check out.")
    ] = False,
    format_: Annotated[str, typer.Option("--format", help="text or json.")] = "text",
    report_file: Annotated[Path | None, typer.Option("--report", help="Also write the report here, as JSON.")] = None,
) -> None:
    """Check every round of a federation from public bytes, trusting nobody.

    Exit code: 0 all that was checked holds, 1 something was refuted, 2 could not tell.
    """
    if format_ not in ("text", "json"):
        raise typer.BadParameter("expected text or json", param_hint="--format")
    if (run is None) == (rpc is None):
        raise typer.BadParameter("give either --run, or --rpc with --ledger")
    if rpc is not None and ledger is None:
        raise typer.BadParameter("--rpc needs --ledger too")
    if round_ is not None and rounds is not None:
        raise typer.BadParameter("give --round or --rounds, not both")
    if artifacts is not None and coordinator is not None:
        raise typer.BadParameter("give --artifacts or --coordinator, not both")
    told = _digest(federation, "--federation"), _digest(genesis, "--genesis")
    progress = Console(stderr=True) if sys.stderr.isatty() and format_ == "text" else None
    report = Report(on_check=None if progress is None else _tell(progress))
    try:
        span = rounds or (str(round_) if round_ else None)
        subject = _subject(rpc, ledger, artifacts, coordinator, ca, run, span)
        brought = tuple(item for path in checkpoint or () for item in _checkpoints(path))
        subject = replace(subject, without_sums=without_sums, federation=told[0], genesis=told[1], checkpoints=brought)
        try:
            verify_federation(subject, report)
        finally:
            if isinstance(subject.artifacts, CoordinatorArtifacts):
                subject.artifacts.close()
    except VeriflockError as error:
        report.fail(Status.REFUTED, str(error))
    except (UnavailableError, OSError) as error:
        report.fail(Status.UNKNOWN, str(error))
    except Exception as error:  # the last resort of a program that must never say 0 or show a traceback by accident
        report.fail(Status.UNKNOWN, f"the verifier failed in itself: {type(error).__name__}: {error}")
    code = report.exit_code
    if report_file is not None and not _write(report_file, report):
        code = max(code, 2) if code != 1 else 1
    if format_ == "json":
        sys.stdout.write(report.to_json())
    else:
        print_report(report, Console(no_color="NO_COLOR" in os.environ))
    raise typer.Exit(code)


def _subject(
    rpc: str | None,
    ledger: str | None,
    artifacts: Path | None,
    coordinator: str | None,
    ca: Path | None,
    run: Path | None,
    rounds: str | None,
) -> Subject:
    first, last = parse_rounds(rounds) if rounds else (1, None)
    open_chain: Callable[[], ChainSource] = partial(RpcChain, rpc or "")
    if run is not None:
        open_chain = partial(DumpChain.read, run / folder_checks.CHAIN)
        artifacts = artifacts or run / folder_checks.ARTIFACTS
    source: ArtifactSource | None = None
    if coordinator is not None:
        source = CoordinatorArtifacts(coordinator, ca)
    elif artifacts is not None:
        source = FolderArtifacts(artifacts)
    return Subject(
        open_chain=open_chain,
        ledger=None if ledger is None else parse_address(ledger),
        artifacts=source,
        first_round=first,
        last_round=last,
        folder=run,
    )


def _digest(text: str | None, option: str) -> bytes | None:
    """64 hexadecimal digits, behind 0x or not."""
    if text is None:
        return None
    if not re.fullmatch(r"(0x)?[0-9a-fA-F]{64}", text):
        raise typer.BadParameter("expected 64 hexadecimal digits", param_hint=option)
    return bytes.fromhex(text.removeprefix("0x"))


def _checkpoints(path: Path) -> tuple[SignedCheckpoint, ...]:
    """Those in a file.  One that is no such file says nothing against the federation."""
    try:
        return parse_checkpoints(read_file(path, checkpoints.MAX_BYTES))
    except MalformedError as error:
        raise UnavailableError(f"{path} is no file of checkpoints ({error})", "ask for it again") from error


def _tell(console: Console) -> Callable[[Check], None]:
    """Progress on a terminal: one line for what does not hold, a dot of a line for the rest."""

    def tell(check: Check) -> None:
        where = "" if check.round_id is None else f"round {check.round_id} "
        text = f"{where}check {check.number} {check.name}: {check.status.value}"
        console.print(text.ljust(60), end="\r" if check.status is Status.OK else "\n")

    return tell


def _write(path: Path, report: Report) -> bool:
    try:
        path.write_text(report.to_json(), encoding="utf-8")
    except OSError as error:
        print(f"error: can't write {path} ({error.strerror})", file=sys.stderr)
        return False
    return True
