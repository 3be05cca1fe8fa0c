"""What every command of a member takes: the chain, the ledger, and a key.

Responsible for: the options that commands share, and the ledger that they name.
Must not know:   what a command does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coordinator.chain import Chain
from coordinator.ledger import Ledger
from protocol.keys import parse_address

RpcOption = Annotated[str, typer.Option("--rpc", help="JSON-RPC address of the chain.")]
LedgerOption = Annotated[str, typer.Option("--ledger", help="Address of the RoundLedger.")]
BlockOption = Annotated[int, typer.Option("--from-block", help="Block of the ledger's deployment.")]
KeyOption = Annotated[Path, typer.Option("--key", help="The member's key file.")]
LOCAL_RPC = "http://127.0.0.1:8545"


def open_ledger(rpc: str, ledger: str, from_block: int) -> Ledger:
    """The ledger at an address on a command line."""
    return Ledger(Chain(rpc, timeout_s=10), parse_address(ledger), from_block=from_block)
