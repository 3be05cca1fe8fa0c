"""`veriflock doctor`: which parts of the environment are there, and how to get what is missing.

Responsible for: looking, and saying the next step.
Must not know:   how any part is used.

Needs nothing but the base install, since it is asked when something is missing.
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from rich.console import Console
from rich.table import Table
from rich.text import Text

from coordinator import anvil
from protocol.errors import UnavailableError
from protocol.hashing import sha256

P256VERIFY = "0x0000000000000000000000000000000000000100"
"""EIP-7951: 160 bytes h | r | s | x | y in, a 1 of 32 bytes or nothing out."""

TOOL_TIMEOUT_S = 20.0
SETUP = "run `make setup` in the source tree"
OPTIONAL = ("llvmlite", "ray", "GPU")
"""Parts without which everything works."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One part of the environment."""

    part: str
    """Its name."""
    found: bool
    """Whether it is there."""
    needed_for: str
    """Who misses it where it is not."""
    says: str
    """What was seen."""
    next_step: str = ""
    """How to get it."""


def doctor(
    rpc: Annotated[str | None, typer.Option(help="Ask this chain, instead of one started for the question.")] = None,
    format_: Annotated[str, typer.Option("--format", help="text or json.")] = "text",
) -> None:
    """Say which parts of the environment are there, and how to get what is missing.

    Exits with 0 when everything but what is optional (llvmlite, ray, a GPU) is there, with 2 otherwise.
    """
    if format_ not in ("text", "json"):
        raise typer.BadParameter(f"unknown format {format_}: expected one of text, json")
    findings = examine(rpc)
    if format_ == "json":
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _print(findings)
    if not all(finding.found for finding in findings if finding.part not in OPTIONAL):
        raise typer.Exit(2)


def examine(rpc: str | None) -> list[Finding]:
    """Every part, in the order in which one would set up."""
    return [
        Finding(part="Python", found=True, needed_for="everyone", says=platform.python_version()),
        _look("Node", "compiling contracts", _node, SETUP),
        _look("Anvil", "the local chain", lambda: _first_line(str(anvil.find_anvil()), "--version"), SETUP),
        _look("solc", "compiling contracts", _solc, SETUP),
        _look("P256VERIFY", "cheap quote checks on the chain", lambda: _p256verify(rpc), "a chain at Osaka or later"),
        _distribution("torch", "participants that train with PyTorch", _extra("participant")),
        _distribution("fastapi", "coordinators", _extra("coordinator")),
        _distribution("web3", "coordinators and participants", _extra("coordinator")),
        _distribution("httpx", "verifiers and participants", _extra("verifier")),
        _distribution("llvmlite", "rules in machine code; NumPy else, same bits", f"optional: {_extra('fast')}"),
        _distribution("ray", "`veriflock aggregate` on many machines", f"optional: {_extra('ray')}"),
        _look("GPU", "lab/gpu.py: rules on a GPU, same bits", lambda: _first_line("nvidia-smi", "-L"), "optional"),
    ]


def _extra(name: str) -> str:
    return f"in the source tree: pip install '.[{name}]'"


def _look(part: str, needed_for: str, look: Callable[[], str], next_step: str) -> Finding:
    try:
        return Finding(part=part, found=True, needed_for=needed_for, says=look())
    except UnavailableError as error:
        return Finding(part=part, found=False, needed_for=needed_for, says=error.what, next_step=next_step)


def _distribution(name: str, needed_for: str, next_step: str) -> Finding:
    try:
        return Finding(part=name, found=True, needed_for=needed_for, says=version(name))
    except PackageNotFoundError:
        return Finding(part=name, found=False, needed_for=needed_for, says="not installed", next_step=next_step)


def _node() -> str:
    says = _first_line("node", "--version")
    major = says.removeprefix("v").split(".")[0]
    if not major.isdecimal() or int(major) < 20:
        raise UnavailableError(f"Node {says}, expected 20 or newer")
    return says


def _solc() -> str:
    wrapper = anvil.ROOT / "scripts" / "solc"
    return _first_line(str(wrapper) if wrapper.is_file() else "solc", "--version", last=True)


def _p256verify(rpc: str | None) -> str:
    if rpc is None:
        with anvil.start() as chain:
            return _p256verify(chain.rpc)
    good = _signed_vector()
    bad = good[:-1] + bytes([good[-1] ^ 1])
    for vector, expected in ((good, "0x" + "1".rjust(64, "0")), (bad, "0x")):
        result = anvil.call(rpc, "eth_call", {"to": P256VERIFY, "data": "0x" + vector.hex()}, "latest")
        if result != expected:
            raise UnavailableError(f"no P256VERIFY on the chain: expected {expected}, got {result}")
    return "answers a good and a bad signature rightly"


def _signed_vector() -> bytes:
    key = ec.derive_private_key(int.from_bytes(sha256(b"veriflock doctor")) >> 8, ec.SECP256R1())
    digest = sha256(b"P256VERIFY")
    r, s = utils.decode_dss_signature(key.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256()))))
    numbers = key.public_key().public_numbers()
    return digest + b"".join(value.to_bytes(32) for value in (r, s, numbers.x, numbers.y))


def _first_line(*command: str, last: bool = False) -> str:
    if shutil.which(command[0]) is None:
        raise UnavailableError(f"{command[0]} is not on the path")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TOOL_TIMEOUT_S, check=True)
    except (subprocess.SubprocessError, OSError) as error:
        raise UnavailableError(f"{command[0]} does not run ({error})") from error
    lines = done.stdout.strip().splitlines() or [""]
    return lines[-1] if last else lines[0]


def _print(findings: list[Finding]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("", "part", "what was seen", "needed for", "how to get it"):
        table.add_column(column)
    for finding in findings:
        mark = "[green]yes[/green]" if finding.found else "[red]no[/red]"
        table.add_row(mark, *map(Text, (finding.part, finding.says, finding.needed_for, finding.next_step)))
    Console().print(table)
