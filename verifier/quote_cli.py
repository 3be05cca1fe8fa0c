"""`veriflock quote`: looking at evidence, and saying whether it is authentic and acceptable.

Responsible for: options, files, roots by name, the time, the exit code.
Must not know:   any check, or any byte of evidence.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from protocol.attestation import strict_json
from protocol.attestation.certificates import Suite, parse_certificate, parse_pem_chain
from protocol.attestation.collateral import MAX_COLLATERAL_BYTES
from protocol.attestation.nitro import MAX_NITRO_BYTES
from protocol.attestation.policy import MAX_POLICY_BYTES, Policy, parse_policy
from protocol.attestation.quote import MAX_QUOTE_BYTES
from protocol.attestation.tcb import TcbStatus
from protocol.attestation.trust import (
    AWS_ROOT,
    HARDWARE_TRUST_STORE,
    INTEL_ROOT,
    RootKind,
    TrustedRoot,
    TrustStore,
    root_by_choice,
)
from protocol.attestation.verify import examine
from protocol.errors import MalformedError, UnavailableError
from protocol.hashing import sha256
from verifier.quote_inspect import inspect as inspect_evidence
from verifier.quote_inspect import print_summary, summary_json
from verifier.quote_report import judge, print_judgement, undecided_json
from verifier.report import printable

MAX_EVIDENCE_BYTES = max(MAX_QUOTE_BYTES, MAX_NITRO_BYTES)
MAX_ROOT_BYTES = 1 << 16

_HARDWARE = {"intel": INTEL_ROOT, "aws": AWS_ROOT}
_SIMULATED = "simulated"
_HEX_TEXT = re.compile(rb"\s*(?:0x)?[0-9A-Fa-f\s]{64,}")

app = typer.Typer(help="Look at SGX and TDX quotes and Nitro documents.", no_args_is_help=True)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The evidence, binary; - is standard input.")]
FormatOption = Annotated[str, typer.Option("--format", help="text or json.")]


@app.command("inspect")
def inspect(file: FileArgument, format_: FormatOption = "text") -> None:
    """Show every field of evidence, with offset and length.  Nothing is verified.

    Exit code: 0 shown, 1 the bytes are no evidence, 2 the file can't be read.
    """
    _check_format(format_)
    data = _read(file, MAX_EVIDENCE_BYTES)
    try:
        summary = inspect_evidence(data)
    except MalformedError as error:
        typer.echo(f"error: {printable(str(error))}{_hint(data)}", err=True)
        raise typer.Exit(1) from error
    if format_ == "json":
        sys.stdout.write(summary_json(summary))
    else:
        print_summary(summary, _console())


@app.command("verify")
def verify(
    file: FileArgument,
    collateral: Annotated[
        Path | None, typer.Option(help="CRLs, TCB info and QE identity of the quote's platform, JSON.")
    ] = None,
    root: Annotated[
        list[str] | None,
        typer.Option(
            metavar="intel|aws|simulated|FILE",
            help="Whom to believe: hardware by name, any root that calls itself simulated, or the certificate in a "
            "file.  May be given several times.  Default: intel and aws.",
        ),
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="2025-06-21T10:00:00Z, or seconds since 1970.  Default: now.")
    ] = None,
    nonce: Annotated[
        str | None, typer.Option(metavar="HEX", help="What the evidence must repeat; in a quote, filled up with zeros.")
    ] = None,
    policy: Annotated[Path | None, typer.Option(help="What is acceptable, JSON.")] = None,
    accept_status: Annotated[
        str | None,
        typer.Option(metavar="STATUS,...", help="TCB statuses that will do beside those of the policy (UpToDate)."),
    ] = None,
    format_: FormatOption = "text",
) -> None:
    """Say whether evidence is authentic, and whether it is acceptable.

    Exit code: 0 authentic and acceptable, 1 not (with the number of the check), 2 could not tell.
    """
    _check_format(format_)
    try:
        store, is_by_choice = _trust_store(root)
        nonce_bytes = _nonce(nonce)
        now_s = _time(at)
        rules = _policy(policy, is_by_choice, is_bound=nonce is not None, more=_statuses(accept_status))
        data = _read(file, MAX_EVIDENCE_BYTES)
        collateral_json = None if collateral is None else _read(collateral, MAX_COLLATERAL_BYTES)
        found = examine(data, collateral_json=collateral_json, nonce=nonce_bytes, trust_store=store, now_s=now_s)
        judgement = judge(found, rules)
    except typer.BadParameter as error:
        _say_undecided(format_, error.format_message())
        raise
    except (
        Exception
    ) as error:  # the last resort: a bug of ours is no verdict on anybody, and an exit code of 1 would be
        _say_undecided(format_, _why(error))
        raise UnavailableError(_why(error)) from error
    if format_ == "json":
        sys.stdout.write(judgement.to_json())
    else:
        print_judgement(judgement, _console())
        if found.error is not None and found.error.check == "quote 1" and _hint(data):
            typer.echo(_hint(data).lstrip("; "), err=True)
    raise typer.Exit(judgement.exit_code)


def _say_undecided(format_: str, why: str) -> None:
    """Whoever asked for JSON gets some, also where there is no verdict; the text for people is the error's."""
    if format_ == "json":
        sys.stdout.write(undecided_json(why))


def _trust_store(names: list[str] | None) -> tuple[TrustStore, bool]:
    """The roots to believe, and whether somebody asked for one that says nothing about hardware."""
    if not names:
        return HARDWARE_TRUST_STORE, False
    roots: dict[bytes, TrustedRoot] = {}
    for name in names:
        if name != _SIMULATED:
            root = _HARDWARE[name] if name in _HARDWARE else _root_in(Path(name))
            roots[root.key_hash] = root
    any_simulated = _SIMULATED in names
    is_by_choice = any_simulated or any(root.kind is RootKind.SIMULATED for root in roots.values())
    return TrustStore(roots=tuple(roots.values()), any_simulated=any_simulated), is_by_choice


def _root_in(path: Path) -> TrustedRoot:
    """The root whose certificate, PEM or DER, is in a file."""
    try:
        data = _read(path, MAX_ROOT_BYTES)
        der = parse_pem_chain(data, count=1)[0] if b"-----BEGIN" in data else data
    except OSError as error:
        _usage("--root", f"expected intel, aws, simulated or a certificate's file; {_why(error)}")
    except MalformedError as error:
        _usage("--root", f"{path}: {error}")
    reasons = []
    for suite in Suite:
        try:
            return root_by_choice(sha256(parse_certificate(der, suite).public_key))
        except MalformedError as error:
            reasons.append(f"{suite.name}: {error}")
    _usage("--root", f"{path} is no certificate of a root ({'; '.join(reasons)})")


def _policy(path: Path | None, is_simulated: bool, *, is_bound: bool, more: frozenset[TcbStatus]) -> Policy:
    """The policy in the file, or the strict one, with more statuses.

    A nonce binds the evidence, so that a policy need not; the strict policy names no code, having none to name.
    """
    if path is None:
        return Policy(
            root_kinds=frozenset({RootKind.INTEL, RootKind.AWS}),
            allow_simulated_quotes=is_simulated,
            accept_statuses=frozenset({TcbStatus.UP_TO_DATE}) | more,
            insecure_without_reference_values=True,
            insecure_without_binding=True,
        )
    try:
        values = dict(strict_json.parse_map(_read(path, MAX_POLICY_BYTES), "policy", max_bytes=MAX_POLICY_BYTES))
        if is_bound and values.get("insecure_without_binding", False) is False:
            values["insecure_without_binding"] = True
        if more:
            named = values.get("accept_statuses", [TcbStatus.UP_TO_DATE.value])
            values["accept_statuses"] = [*named, *sorted(more)] if isinstance(named, list) else named
        return parse_policy(json.dumps(values).encode())
    except OSError as error:
        _usage("--policy", _why(error))
    except MalformedError as error:
        _usage("--policy", str(error))


def _statuses(text: str | None) -> frozenset[TcbStatus]:
    known = sorted(status.value for status in TcbStatus if status is not TcbStatus.REVOKED)
    names = [] if text is None else [name.strip() for name in text.split(",")]
    for name in names:
        if name not in known:
            _usage("--accept-status", f"{name!r} is none of {', '.join(known)}")
    return frozenset(TcbStatus(name) for name in names)


def _nonce(text: str | None) -> bytes | None:
    if text is None:
        return None
    digits = text.removeprefix("0x")
    if not digits or re.fullmatch(r"(?:[0-9a-fA-F]{2})+", digits) is None:
        _usage("--nonce", "expected an even number of hexadecimal digits")
    return bytes.fromhex(digits)


def _time(text: str | None) -> int:
    """Seconds since 1970."""
    if text is None:
        return int(time.time())
    if re.fullmatch(r"[0-9]{1,11}", text):
        return int(text)
    try:
        return strict_json.parse_time_s(text)
    except ValueError as error:
        _usage("--at", f"{error}, or seconds since 1970")


def _read(path: Path, limit: int) -> bytes:
    """The file, one byte more than it may have at most: what is too long is then refused by whoever parses it."""
    if str(path) == "-":
        return sys.stdin.buffer.read(limit + 1)
    with path.open("rb") as file:
        return file.read(limit + 1)


def _hint(data: bytes) -> str:
    """For who has the evidence as text."""
    is_text = _HEX_TEXT.fullmatch(data) is not None
    return "; this looks like hexadecimal text, and the file has to be binary (xxd -r -p)" if is_text else ""


def _check_format(name: str) -> None:
    if name not in ("text", "json"):
        _usage("--format", "expected text or json")


def _usage(option: str, why: str) -> NoReturn:
    raise typer.BadParameter(printable(why), param_hint=option)


def _why(error: Exception) -> str:
    if not isinstance(error, OSError):
        return f"the verifier failed in itself: {type(error).__name__}: {error}"
    return f"can't read {error.filename or 'standard input'} ({error.strerror})"


def _console() -> Console:
    return Console(no_color="NO_COLOR" in os.environ)
