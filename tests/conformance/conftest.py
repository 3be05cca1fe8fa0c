"""What the conformance tests share: one compilation, and one chain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coordinator import anvil
from scripts.compile_contracts import compile_all

ROOT = Path(__file__).resolve().parents[2]
HARNESSES = tuple(
    ROOT / "contracts" / "test" / f"{name}.sol"
    for name in ("MessagesHarness", "SignaturesHarness", "LibrariesHarness", "TwinsHarness")
)


@pytest.fixture(scope="session")
def compiled() -> dict[str, dict[str, Any]]:
    """The four contracts and the harnesses of their libraries, compiled from the sources as they are now."""
    return compile_all(HARNESSES)


@pytest.fixture(scope="session")
def rpc() -> Iterator[str]:
    """A local chain."""
    with anvil.start() as running:
        yield running.rpc
