"""What a proof opens, held against the result: of every lie of the table, and with a byte of any path changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from protocol.errors import VeriflockError
from protocol.openings import SetLeaf
from tests.support.lies import LIES, Lie
from verifier.calls import decode_input
from verifier.checks.openings import check_openings
from verifier.checks.proofs import PROOFS, SHOWS
from verifier.dispute.proofs import proof_of
from verifier.refutation.reconstruction import Published, reconstruct
from verifier.refutation.search import search
from verifier.refutation.statement import Statement

REPLAYED = [lie for lie in LIES if lie.function not in PROOFS]
RULES = ("median", "weighted-mean", "multi-krum")


def shown(lie: Lie, rule: str) -> tuple[Any, Statement, dict[str, Any]]:
    """The round, what is wrong with it, and the arguments of the proof as they are read from a call."""
    draft = lie.draft(rule)
    openings, _ = reconstruct(draft.facts(), Published(rows={}), draft.leaves())
    statement = next(one for one in search(draft.facts(), openings) if one.function == lie.function)
    name, arguments = decode_input(statement.family.contract, proof_of(statement).data)
    assert name == statement.function
    return draft, statement, dict(arguments)


def other_paths(arguments: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The arguments with another node at the end of one path, each in turn."""
    for name, value in arguments.items():
        if isinstance(value, SetLeaf):
            yield {**arguments, name: replace(value, path=(*value.path[:-1], bytes(32)))}
        if not isinstance(value, tuple) or not value:
            continue
        if isinstance(value[-1], tuple) and value[-1] and isinstance(value[-1][-1], bytes) and name not in ROWS:
            yield {**arguments, name: (*value[:-1], (*value[-1][:-1], bytes(32)))}


ROWS = ("left", "right", "rows")
"""Whose own paths are left to the contracts."""


@pytest.mark.parametrize("lie", REPLAYED, ids=[lie.name for lie in REPLAYED])
def test_what_an_honest_proof_opens_is_there_and_another_path_leads_nowhere(lie: Lie) -> None:
    rule = next(rule for rule in (*RULES, *lie.rules) if rule in lie.rules)
    draft, _, arguments = shown(lie, rule)
    facts = draft.facts()
    check_openings(facts.spec, facts.result, len(facts.cohort), arguments)
    changed = list(other_paths(arguments))
    assert changed or lie.function == "rowOverBound"
    for other in changed:
        with pytest.raises(VeriflockError):
            check_openings(facts.spec, facts.result, len(facts.cohort), other)


def test_every_function_is_among_them() -> None:
    assert {lie.function for lie in REPLAYED} == set(SHOWS) - set(PROOFS)
