"""`veriflock platform`: the simulated platform on the command line.

Responsible for: arguments, signals and lines for people.
Must not know:   how anything is done.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Annotated

import typer

import protocol
from coordinator.platform.collateral_file import current_collateral
from coordinator.platform.keys import PlatformDirectory, PlatformKeys, read_keys
from coordinator.platform.serve import PlatformServer
from protocol.attestation.tcb import Tee

app = typer.Typer(no_args_is_help=True, help="The simulated attestation platform (says nothing about hardware).")

DirectoryOption = Annotated[Path, typer.Option("--dir", help="Directory of the platform's keys; made if absent.")]
SourceOption = Annotated[
    Path | None, typer.Option("--source", help="Directory with the code to measure; default: this installation.")
]


@app.command()
def serve(
    directory: DirectoryOption,
    socket_path: Annotated[Path, typer.Option("--socket", help="Unix socket on which hosts ask for an enclave.")],
    source: SourceOption = None,
    platform: Annotated[Tee, typer.Option("--platform", help="As what enclaves are measured and quoted.")] = Tee.SGX,
) -> None:
    """Serve enclaves until SIGTERM or Ctrl-C."""
    held = PlatformDirectory(directory)
    try:
        server = PlatformServer(
            held, socket_path, source=source or installed(), clock=lambda: int(time.time()), log=_log, tee=platform
        )
    except BaseException:
        held.close()
        raise
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    typer.echo(f"root {server.keys.pki.root_key_hash.hex()} (simulated: says nothing about hardware)")
    typer.echo(f"listening on {socket_path}")
    server.serve()


@app.command()
def root(directory: DirectoryOption) -> None:
    """Print the SHA-256 of the platform's root key, by which a consortium trusts it; keys are made if absent."""
    typer.echo(_keys(directory).pki.root_key_hash.hex())


@app.command()
def collateral(
    directory: DirectoryOption,
    tee: Annotated[Tee, typer.Option("--tee", help="For quotes of which shape.")] = Tee.SGX,
    output: Annotated[Path | None, typer.Option("--output", help="Write it there instead.")] = None,
) -> None:
    """Print what a verifier needs beside a quote: TCB info, QE identity, revocation lists; renewed after 7 days."""
    text = current_collateral(directory, _keys(directory).pki, tee, int(time.time()))
    if output is None:
        typer.echo(text.decode())
    else:
        output.write_bytes(text)


def _keys(directory: Path) -> PlatformKeys:
    keys = read_keys(directory)  # without the lock, so that it works beside a running platform
    if keys is None:
        held = PlatformDirectory(directory)
        try:
            keys = held.keys(int(time.time()))
        finally:
            held.close()
    return keys


def installed() -> Path:
    """The directory that holds the packages that are running."""
    return Path(protocol.__file__ or "").resolve().parent.parent


def _log(line: str) -> None:
    typer.echo(f"platform: {line}", err=True)
