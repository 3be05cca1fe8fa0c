"""`veriflock dispute`: looks for what is wrong with a proposed result, and refutes it on the ledger.

Responsible for: options, files, the exit code.
Must not know:   any predicate, or any transaction.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from protocol.errors import MalformedError, UnavailableError, VeriflockError
from protocol.keys import Address, parse_address
from verifier.chain import ChainSource
from verifier.checks import folder as folder_checks
from verifier.dispute.flow import dispute as look
from verifier.dispute.reading import MAX_RECEIPT_BYTES, parse_receipt
from verifier.dispute.report import DisputeReport
from verifier.dispute.sharing import execute as share_out
from verifier.dispute.story import Subject
from verifier.dump import DumpChain
from verifier.evidence import ArtifactSource, CoordinatorArtifacts, FolderArtifacts
from verifier.files import read_file
from verifier.keyfile import read_key
from verifier.node import Node
from verifier.refutation.statement import SignedReceipt
from verifier.report import Status, printable
from verifier.rpc import RpcChain

GWEI = 10**9


def dispute(
    rpc: Annotated[str | None, typer.Option(help="JSON-RPC address of a node.")] = None,
    ledger: Annotated[str | None, typer.Option(help="Address of the RoundLedger.")] = None,
    round_: Annotated[int | None, typer.Option("--round", min=1, help="Which round; without it, the newest.")] = None,
    artifacts: Annotated[Path | None, typer.Option(help="Folder with blobs/ and rounds/.")] = None,
    coordinator: Annotated[str | None, typer.Option(help="https address of a coordinator, for its artifacts.")] = None,
    ca: Annotated[Path | None, typer.Option(help="Certificate that the coordinator's is checked against.")] = None,
    run: Annotated[Path | None, typer.Option(help="A run folder instead of a node: only looks, offline.")] = None,
    receipt: Annotated[
        list[Path] | None, typer.Option(help="A receipt that you hold (receipt.cbor); may be given several times.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="Key file of whoever sends and gets the prover's part.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done; send nothing, need no key.")
    ] = False,
    execute: Annotated[
        bool, typer.Option("--execute", help="Share out the pot of the round's verdict; needs --round.")
    ] = False,
    pre_commit: Annotated[
        bool, typer.Option("--pre-commit/--no-pre-commit", help="Commit to the proof in a block before it is shown.")
    ] = True,
    max_fee_gwei: Annotated[int, typer.Option(min=1, help="Most that a unit of gas may cost.")] = 500,
    wait: Annotated[int, typer.Option(min=1, help="Seconds until a transaction has to be mined.")] = 180,
    fetch_wait: Annotated[
        int | None,
        typer.Option(
            min=1, help="Seconds for all artifacts; without it, half of what is left until the round settles."
        ),
    ] = None,
    format_: Annotated[str, typer.Option("--format", help="text or json.")] = "text",
) -> None:
    """Look for what is wrong with a round's result, and refute it on the ledger.

    Exit code: 0 nothing is wrong, or the verdict is executed; 1 something is wrong, and refuted unless this was a dry
    run or came too late; 2 could not tell, or not do.
    """
    if format_ not in ("text", "json"):
        raise typer.BadParameter("expected text or json", param_hint="--format")
    if (run is None) == (rpc is None):
        raise typer.BadParameter("give either --run, or --rpc with --ledger")
    if rpc is not None and ledger is None:
        raise typer.BadParameter("--rpc needs --ledger too")
    if artifacts is not None and coordinator is not None:
        raise typer.BadParameter("give --artifacts or --coordinator, not both")
    if execute and (rpc is None or round_ is None):
        raise typer.BadParameter("--execute needs --rpc, --ledger and --round")
    sends = run is None and not dry_run
    if sends and key is None:
        raise typer.BadParameter("give --key, or --dry-run to send nothing", param_hint="--key")
    said: list[str] = []
    with contextlib.ExitStack() as stack:
        try:
            at, open_chain = _chain(rpc, ledger, run)
            node = None if rpc is None else stack.enter_context(contextlib.closing(Node(rpc)))
            subject = Subject(
                open_chain=open_chain,
                ledger=at,
                artifacts=_artifacts(stack, run, artifacts, coordinator, ca),
                round_id=round_,
                receipts=tuple(_receipt(path) for path in receipt or ()),
                node=node,
                key=None if key is None else read_key(key),
                sends=sends,
                pre_commit=pre_commit,
                cap_wei=max_fee_gwei * GWEI,
                wait_s=float(wait),
                fetch_s=None if fetch_wait is None else float(fetch_wait),
                tell=partial(_tell, said) if format_ == "text" else None,
            )
            report = share_out(subject) if execute else look(subject)
        except (VeriflockError, UnavailableError, OSError) as error:
            report = DisputeReport(status=Status.UNKNOWN, summary=str(error))
    sys.stdout.write(report.to_json() if format_ == "json" else report.to_text(_encoding(), said))
    raise typer.Exit(report.exit_code)


def _chain(rpc: str | None, ledger: str | None, run: Path | None) -> tuple[Address, Callable[[], ChainSource]]:
    if run is None:
        return parse_address(ledger or ""), partial(RpcChain, rpc or "")
    at = folder_checks.open_folder(run).ledger if ledger is None else parse_address(ledger)
    return at, partial(DumpChain.read, run / folder_checks.CHAIN)


def _artifacts(
    stack: contextlib.ExitStack, run: Path | None, folder: Path | None, coordinator: str | None, ca: Path | None
) -> ArtifactSource | None:
    if coordinator is not None:
        return stack.enter_context(contextlib.closing(CoordinatorArtifacts(coordinator, ca)))
    if folder is None and run is not None:
        folder = run / folder_checks.ARTIFACTS
    return None if folder is None else FolderArtifacts(folder)


def _receipt(path: Path) -> SignedReceipt:
    try:
        return parse_receipt(read_file(path, MAX_RECEIPT_BYTES))
    except MalformedError as error:
        next_step = "give receipt.cbor of the round from a participant's state folder"
        raise UnavailableError(f"{path} is no receipt ({error})", next_step) from error


def _tell(said: list[str], report: DisputeReport) -> None:
    """Everything that is known before anything is sent: until it is mined may take minutes."""
    said += report.lines()
    sys.stdout.write("".join(f"{printable(line, _encoding())}\n" for line in said))
    sys.stdout.flush()


def _encoding() -> str:
    return sys.stdout.encoding or "utf-8"
