"""The compiled contracts, as package data: everyone that talks to the chain takes ABI and bytecode from here.

Responsible for: reading contracts/artifacts/<Name>.json.
Must not know:   a chain, a compiler, or what a contract does.

Made by scripts/compile_contracts.py; tests/conformance/test_artifacts.py recompiles and compares.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

NAMES = (
    *("Consortium", "Participants", "Enclaves", "RoundLedger", "Disputes"),
    *("SetPredicates", "ColumnPredicates", "GramPredicates"),
)
"""In the order in which a federation deploys them."""


def artifact(name: str) -> dict[str, Any]:
    """What the compiler said of a contract.

    name:    one of `NAMES`.
    returns: abi, bytecode and deployedBytecode (0x and hex digits), storageLayout, compiler.
    Raises:  KeyError for another name.
    """
    if name not in NAMES:
        raise KeyError(f"contract {name!r}: expected one of {', '.join(NAMES)}")
    text = (resources.files(__name__) / "artifacts" / f"{name}.json").read_text(encoding="utf-8")
    parsed: dict[str, Any] = json.loads(text)
    return parsed
