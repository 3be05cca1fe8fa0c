"""Members of a test federation as people at a terminal: their keys in files, and what their commands print."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from coordinator.consortium_cli import app
from coordinator.keyfile import write_key
from coordinator.ledger import Ledger
from protocol.keys import address, to_hex


@dataclass(frozen=True, slots=True)
class Terminal:
    """One account that types `veriflock consortium`."""

    ledger: Ledger
    key: bytes
    folder: Path

    @property
    def account(self) -> bytes:
        """Its address."""
        return address(self.key)

    @property
    def key_file(self) -> Path:
        """The key, as commands take it."""
        path = self.folder / f"{self.account.hex()}.key"
        if not path.exists():
            write_key(path, self.key)
        return path

    def run(self, *arguments: object) -> str:
        """What a command prints; its error is raised."""
        at = ("--ledger", to_hex(self.ledger.address), "--rpc", self.ledger.chain.url, "--key", self.key_file)
        result = CliRunner().invoke(app, [str(word) for word in (*arguments, *at)], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout
