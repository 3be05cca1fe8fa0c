"""The coordinator's one configuration file, in strict TOML.

Responsible for: its fields, their types, limits and defaults; an unknown field is refused and the known ones are named.
Must not know:   what the values are used for.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from protocol.errors import EncodingError, RangeError, UnavailableError, UnknownNameError
from protocol.keys import Address, parse_address


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainConfig:
    """Section [chain]."""

    rpc: str
    """JSON-RPC address, http or https."""

    ledger: Address
    """The RoundLedger; the other contracts are found through it."""

    from_block: int
    """Block of the ledger's deployment: no event is older."""

    timeout_s: float
    """How long one request may take."""

    poll_s: float
    """How often the service looks at the chain."""

    outage_s: float
    """How long a chain that answered before may be silent until the service gives up."""

    transaction_s: float
    """How long a transaction may take to be mined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """Section [server]."""

    host: str
    """Address to listen on; loopback unless said otherwise."""

    port: int
    """TCP port; 0 takes a free one."""

    certificate: Path
    """TLS certificate, PEM."""

    key: Path
    """Its private key, PEM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathsConfig:
    """Section [paths]."""

    data: Path
    """Everything that must survive: made with mode 0700."""

    key: Path
    """Identity key of the coordinator: signs transactions, holds the bond."""

    platform: Path
    """Unix socket of the platform."""

    charter: Path
    """The federation's charter (federation.json), exact bytes."""

    genesis_model: Path
    """The model of round 0: int32[d], little-endian, nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsConfig:
    """Section [limits]."""

    uploads: int
    """Uploads that may be in flight at once, each at most one sealed update in memory."""

    upload_s: float
    """How long one upload may take."""

    door_s: float
    """How long the enclave may take for one answer; closing a large round is the longest."""

    admission_s: float
    """How long to wait for members, participants and money."""

    slack_s: int
    """Added to the submission window so that openRound may be mined that much later; at most an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole file."""

    chain: ChainConfig
    server: ServerConfig
    paths: PathsConfig
    limits: LimitsConfig


def read_config(path: Path) -> Config:
    """Reads and parses a file; relative paths in it are relative to its folder."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UnavailableError(
            f"no configuration {path} ({error.strerror})", "`veriflock coordinator init` writes one"
        ) from error
    except UnicodeDecodeError as error:
        raise EncodingError(f"configuration {path}", expected="UTF-8", actual=error.reason) from error
    return parse_config(text, path.parent)


def parse_config(text: str, folder: Path) -> Config:
    """The values of a configuration's text.

    Raises: EncodingError, UnknownNameError, RangeError.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise EncodingError(f"the configuration is not TOML ({error})") from error
    root = _Section("the configuration", document, ("chain", "server", "paths", "limits"))
    chain = root.section("chain", ChainConfig)
    server = root.section("server", ServerConfig)
    paths = root.section("paths", PathsConfig)
    limits = root.section("limits", LimitsConfig)
    return Config(
        chain=ChainConfig(
            rpc=_checked_url(chain.text("rpc")),
            ledger=parse_address(chain.text("ledger")),
            from_block=chain.integer("from_block", 0, 0, 2**63),
            timeout_s=chain.number("timeout_s", 10, 0.1, 600),
            poll_s=chain.number("poll_s", 0.5, 0.01, 60),
            outage_s=chain.number("outage_s", 600, 0, 86400),
            transaction_s=chain.number("transaction_s", 300, 1, 86400),
        ),
        server=ServerConfig(
            host=server.text("host", "127.0.0.1"),
            port=server.integer("port", 8443, 0, 65535),
            certificate=folder / server.text("certificate"),
            key=folder / server.text("key"),
        ),
        paths=PathsConfig(
            data=folder / paths.text("data"),
            key=folder / paths.text("key"),
            platform=folder / paths.text("platform"),
            charter=folder / paths.text("charter"),
            genesis_model=folder / paths.text("genesis_model"),
        ),
        limits=LimitsConfig(
            uploads=limits.integer("uploads", 16, 1, 1024),
            upload_s=limits.number("upload_s", 60, 0.1, 3600),
            door_s=limits.number("door_s", 600, 1, 86400),
            admission_s=limits.number("admission_s", 86400, 1, 30 * 86400),
            slack_s=limits.integer("slack_s", 60, 0, 3600),
        ),
    )


def render_config(
    *, rpc: str, ledger: str, from_block: int, port: int, platform: str = "platform.sock", poll_s: float = 0.5
) -> str:
    """The text of a configuration with everything else as `coordinator init` lays it out."""
    return f"""# A Veriflock coordinator.  Paths are relative to this file; an unknown field is refused.

[chain]
rpc = {json.dumps(rpc)}
ledger = {json.dumps(ledger)}
from_block = {from_block}
poll_s = {poll_s}

[server]
host = "127.0.0.1"
port = {port}
certificate = "certificate.pem"
key = "certificate.key"

[paths]
data = "data"
key = "coordinator.key"
platform = {json.dumps(platform)}
charter = "federation.json"
genesis_model = "genesis.model"
"""


class _Section:
    """One table of the file: every read field is of its type, and there is no other."""

    def __init__(self, name: str, values: Mapping[str, Any], known: tuple[str, ...]) -> None:
        self._name = name
        self._values = values
        for key in values:
            if key not in known:
                raise UnknownNameError(f"field in {name}", known=known, actual=key)

    def section(self, key: str, fields: type) -> _Section:
        value = self._values.get(key, {})
        if not isinstance(value, dict):
            raise EncodingError(f"[{key}] of the configuration", expected="a table", actual=value)
        return _Section(f"[{key}]", value, tuple(fields.__dataclass_fields__))  # type: ignore[attr-defined]

    def text(self, key: str, default: str | None = None) -> str:
        value = self._value(key, default)
        if not isinstance(value, str) or not value:
            raise EncodingError(f"{self._name} {key}", expected="a text", actual=value)
        return value

    def integer(self, key: str, default: int, low: int, high: int) -> int:
        value = self._value(key, default)
        if type(value) is not int:
            raise EncodingError(f"{self._name} {key}", expected="an integer", actual=value)
        if not low <= value <= high:
            raise RangeError(f"{self._name} {key}", expected=f"{low} to {high}", actual=value)
        return value

    def number(self, key: str, default: float, low: float, high: float) -> float:
        value = self._value(key, default)
        if type(value) not in (int, float):
            raise EncodingError(f"{self._name} {key}", expected="a number", actual=value)
        if not low <= value <= high:  # a NaN fails this too
            raise RangeError(f"{self._name} {key}", expected=f"{low} to {high}", actual=value)
        return float(value)

    def _value(self, key: str, default: Any) -> Any:
        value = self._values.get(key, default)
        if value is None:
            raise EncodingError(f"{self._name} has no field {key}")
        return value


def _checked_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise EncodingError("[chain] rpc", expected="http://HOST:PORT or https://HOST", actual=text)
    return text
