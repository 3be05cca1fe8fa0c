"""Fixtures of the fault tests: a chain for all, and a coordinator's world on it, with a platform for each module.

A module whose subject is a verifier makes a `world` of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import coordinators
from tests.support.anvil import TestChain, test_chain
from tests.support.coordinators import TestPlatform, World, build
from tests.support.federation import charter
from tests.support.members import Terminal

__all__ = ["test_chain"]


@pytest.fixture(scope="module")
def test_platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestPlatform]:
    """A platform that this module's coordinators share."""
    with coordinators.platform(tmp_path_factory.mktemp("p"), charter().encode()) as running:
        yield running


@pytest.fixture
def world(test_chain: TestChain, test_platform: TestPlatform, tmp_path: Path, request: pytest.FixtureRequest) -> World:
    """A federation, and the folder of its coordinator, which does not run yet."""
    return build(test_chain, test_platform, tmp_path / "c", request.node.name)


@pytest.fixture
def members(world: World, tmp_path: Path) -> list[Terminal]:
    """Its members."""
    return [Terminal(world.ledger, key, tmp_path) for key in world.federation.member_keys]
