"""Fixtures of the fault tests."""

from tests.support.anvil import test_chain

__all__ = ["test_chain"]
