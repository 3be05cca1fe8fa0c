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
from coordinator.platform.keys import PlatformDirectory, read_keys
from coordinator.platform.manifest import build_image
from coordinator.platform.serve import PlatformServer
from protocol.charter import parse_charter

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
) -> None:
    """Serve enclaves until SIGTERM or Ctrl-C."""
    held = PlatformDirectory(directory)
    try:
        server = PlatformServer(held, socket_path, source=source or installed(), now_s=int(time.time()), log=_log)
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
    keys = read_keys(directory)  # without the lock, so that it works beside a running platform
    if keys is None:
        held = PlatformDirectory(directory)
        try:
            keys = held.keys(int(time.time()))
        finally:
            held.close()
    typer.echo(keys.pki.root_key_hash.hex())


@app.command()
def measure(
    charter: Annotated[Path, typer.Option("--charter", help="The federation's parameters (federation.json).")],
    source: SourceOption = None,
    manifest: Annotated[Path | None, typer.Option("--manifest", help="Write the manifest there.")] = None,
) -> None:
    """Print the measurement that an enclave for this charter has on this machine."""
    text = charter.read_bytes()
    parse_charter(text)
    image = build_image(text, source=source or installed())
    if manifest is not None:
        manifest.write_bytes(image.manifest)
    typer.echo(image.measurement.hex())


def installed() -> Path:
    """The directory that holds the packages that are running."""
    return Path(protocol.__file__ or "").resolve().parent.parent


def _log(line: str) -> None:
    typer.echo(f"platform: {line}", err=True)
