"""What a participant is told: flags, and a TOML file for those that stay the same.

Responsible for: one value of all settings; unknown names are refused with the known ones.
Must not know:   what any setting does.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from participant.trainers import DEFAULT_TRAINER
from protocol.errors import EncodingError, UnavailableError, UnknownNameError


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Everything that `participant run` needs."""

    rpc: str
    """The chain's JSON-RPC address."""
    ledger: str
    """Address of the RoundLedger."""
    coordinator: str
    """URL of the coordinator."""
    key: Path
    """File with the identity key."""
    index: int
    """Which shard of the split, from 0."""
    participants: int
    """How many shards the split has."""
    seed: int
    """The federation's seed."""
    state: Path = Path("participant-state")
    """Folder of the journal: updates and receipts."""
    ca: Path | None = None
    """PEM of the coordinator's certificate authority."""
    data: Path | None = None
    """Folder with IDX files."""
    dataset: str | None = None
    """Must be the charter's; None: the charter's."""
    split: str = "iid"
    """How samples are dealt."""
    trainer: str = DEFAULT_TRAINER
    """package.module:Class."""
    attack: str | None = None
    """Byzantine behaviour; None: honest."""
    allow_simulated: bool = False
    """Accept an enclave whose quote says nothing about hardware."""
    join: bool = True
    """Pay the deposit and join if not a participant yet."""
    rounds: int = 0
    """Stop after so many rounds were seen to their end; 0: never."""
    poll_s: float = 1.0
    """Seconds between looks at the chain."""
    from_block: int = 0
    """Where the ledger's events start."""


def merge(file: Path | None, flags: Mapping[str, Any]) -> RunConfig:
    """The settings in the file, each overruled by its flag where one was given (is not None).

    Relative paths in the file are relative to it.
    Raises: UnknownNameError, EncodingError for a value of another type or a missing one; UnavailableError.
    """
    values = _read(file) if file is not None else {}
    values.update({name: value for name, value in flags.items() if value is not None})
    missing = [
        field.name
        for field in dataclasses.fields(RunConfig)
        if field.default is dataclasses.MISSING and field.name not in values
    ]
    if missing:
        raise EncodingError("settings of a participant", expected=f"also {', '.join(missing)} (flag or --config file)")
    return RunConfig(**values)


def _read(file: Path) -> dict[str, Any]:
    try:
        loaded = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnavailableError(f"{file} can't be read ({error.strerror})", "is it the right path?") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise EncodingError(f"{file} is not TOML ({error})") from error
    fields = {field.name: str(field.type) for field in dataclasses.fields(RunConfig)}
    values: dict[str, Any] = {}
    for name, value in loaded.items():
        if name not in fields:
            raise UnknownNameError(f"setting in {file.name}", known=list(fields), actual=name)
        values[name] = _typed(name, fields[name], value, file.parent)
    return values


def _typed(name: str, kind: str, value: object, folder: Path) -> object:
    base = kind.removesuffix(" | None")
    if base == "Path" and isinstance(value, str):
        return folder / value
    if base == "float" and type(value) in (int, float):
        return value
    if type(value).__name__ != base or base == "Path":
        expected = {"str": "text", "Path": "a path", "int": "an integer", "float": "a number", "bool": "true or false"}
        raise EncodingError(f"setting {name}", expected=expected[base], actual=value)
    return value
