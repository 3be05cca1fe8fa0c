"""The committed artifacts are what the sources compile to, and fit the chain."""

from __future__ import annotations

import json
from typing import Any

import pytest

import contracts
from protocol.events import CONTRACTS
from scripts.compile_contracts import ARTIFACTS, ROOT, render

FAMILIES = ("SetPredicates", "ColumnPredicates", "GramPredicates")
LARGEST_CODE = 24_576
"""EIP-170, bytes."""


@pytest.mark.parametrize("name", contracts.NAMES)
def test_recompiling_gives_the_committed_artifact(name: str, compiled: dict[str, dict[str, Any]]) -> None:
    assert (ARTIFACTS / f"{name}.json").read_text(encoding="utf-8") == render(compiled[name])


@pytest.mark.parametrize("name", contracts.NAMES)
def test_the_code_fits_the_chain_and_names_no_machine(name: str) -> None:
    artifact = contracts.artifact(name)
    size = len(bytes.fromhex(artifact["deployedBytecode"][2:]))
    text = json.dumps(artifact)

    assert 0 < size < LARGEST_CODE
    assert str(ROOT) not in text
    assert "http" not in text


@pytest.mark.parametrize("name", contracts.NAMES)
def test_every_immutable_is_a_run_of_zeros_in_the_template(name: str) -> None:
    artifact = contracts.artifact(name)
    code = bytes.fromhex(artifact["deployedBytecode"][2:])

    assert artifact["immutables"]["_federation" if name in CONTRACTS else "_ledger"]
    for places in artifact["immutables"].values():
        for start, length in places:
            assert code[start : start + length] == bytes(length)


def test_the_artifacts_are_those_of_the_package() -> None:
    assert sorted(path.stem for path in ARTIFACTS.glob("*.json")) == sorted(contracts.NAMES)
    assert contracts.NAMES[: len(CONTRACTS)] == CONTRACTS  # deployed in the order in which events are listed
    assert set(FAMILIES) == set(contracts.NAMES[len(CONTRACTS) :])


@pytest.mark.parametrize("name", FAMILIES)
def test_predicates_only_answer(name: str) -> None:
    artifact = contracts.artifact(name)
    functions = [item for item in artifact["abi"] if item["type"] == "function"]

    assert artifact["storageLayout"]["storage"] == []
    assert {item["stateMutability"] for item in functions} <= {"view", "pure"}
    assert list(artifact["immutables"]) == ["_ledger"]
    assert not [item for item in artifact["abi"] if item["type"] == "event"]


def test_an_unknown_contract_names_the_known_ones() -> None:
    with pytest.raises(KeyError, match="Consortium, Participants, Enclaves, RoundLedger, Disputes"):
        contracts.artifact("Treasury")
