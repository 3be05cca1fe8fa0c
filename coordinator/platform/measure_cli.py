"""`veriflock measure`: which number an enclave of this code has.

Responsible for: arguments and lines for people.
Must not know:   how anything is measured.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coordinator.platform.cli import SourceOption, installed
from coordinator.platform.compare import compare_manifests
from coordinator.platform.manifest import build_image
from protocol.attestation.measurement import MAX_MANIFEST_BYTES, measure_manifest, measure_td
from protocol.attestation.tcb import Tee
from protocol.charter import MAX_BYTES as MAX_CHARTER_BYTES
from protocol.charter import parse_charter


def measure(
    charter: Annotated[Path, typer.Option("--charter", help="The federation's parameters (federation.json).")],
    source: SourceOption = None,
    platform: Annotated[Tee, typer.Option("--platform", help="MRENCLAVE (sgx) or MRTD (tdx).")] = Tee.SGX,
    manifest: Annotated[Path | None, typer.Option("--manifest", help="Write the manifest there.")] = None,
    diff: Annotated[Path | None, typer.Option("--diff", help="Another manifest: name what differs from it.")] = None,
) -> None:
    """Print the measurement that an enclave for this charter has on this machine.

    With --diff the exit code is 1 where the other manifest is another one.
    """
    text = _read(charter, MAX_CHARTER_BYTES)
    parse_charter(text)
    number = measure_manifest if platform is Tee.SGX else measure_td
    ours = build_image(text, source=source or installed()).manifest
    typer.echo(number(ours).hex())
    if manifest is not None:
        manifest.write_bytes(ours)
    if diff is not None:
        theirs = _read(diff, MAX_MANIFEST_BYTES)
        for line in compare_manifests(ours, theirs):
            typer.echo(line)
        if ours != theirs:
            typer.echo(f"theirs has {number(theirs).hex()}")
            raise typer.Exit(1)


def _read(path: Path, max_bytes: int) -> bytes:
    """The file, one byte more than it may have at most: what is too long is then refused by whoever parses it."""
    with path.open("rb") as file:
        return file.read(max_bytes + 1)
