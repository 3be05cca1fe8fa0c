"""A real chain for tests: Anvil on a free port, surely stopped, and the few things that only a test chain can do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from coordinator import anvil
from coordinator.chain import Chain
from protocol.hashing import sha256
from protocol.keys import address, to_hex


@dataclass(frozen=True, slots=True)
class TestChain:
    """Anvil and a client of it."""

    __test__ = False

    rpc: str
    chain: Chain

    def key(self, name: str, *, ether: int = 1000) -> bytes:
        """A key that follows from its name, with money."""
        key = sha256(b"veriflock test key", name.encode())
        self.ask("anvil_setBalance", to_hex(address(key)), hex(ether * 10**18))
        return key

    def move_clock_past(self, timestamp: int) -> None:
        """The next block is after this second."""
        self.ask("evm_setNextBlockTimestamp", timestamp + 1)
        self.ask("evm_mine")

    def ask(self, method: str, *parameters: object) -> object:
        """One JSON-RPC call."""
        return anvil.call(self.rpc, method, *parameters)


@pytest.fixture(scope="module")
def test_chain() -> Iterator[TestChain]:
    """A fresh chain for the tests of one file; each of them uses keys and contracts of its own."""
    with anvil.start() as running:
        yield TestChain(rpc=running.rpc, chain=Chain(running.rpc, timeout_s=10))
