"""The compiled libraries say what the committed vectors say; tests/unit holds protocol and eth-account to the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import eth_abi
import pytest
from eth_utils.abi import collapse_if_tuple

from coordinator import anvil
from protocol import payouts, reputation, rulebook, seeds
from protocol.hashing import keccak256, sha256
from protocol.messages import Checkpoint, Receipt, RoundResult, Spec, Struct, Unavailable, Update, cohort_hash

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
STRUCTS: dict[str, type[Struct]] = {
    kind.NAME: kind for kind in (Spec, Update, Receipt, RoundResult, Checkpoint, Unavailable)
}
FUNCTIONS = {"RoundResult": "hashResult"}
Ask = Callable[..., tuple[Any, ...]]


def vectors(name: str) -> list[dict[str, Any]]:
    """The cases of a file."""
    found: list[dict[str, Any]] = json.loads((VECTORS / name).read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def ask(compiled: dict[str, dict[str, Any]], rpc: str) -> Ask:
    """Calls a function of the harness: ask(name, *arguments) -> what it returns."""
    artifact = compiled["MessagesHarness"]
    functions = {item["name"]: item for item in artifact["abi"] if item["type"] == "function"}
    at = f"0x{0xBEEF:040x}"
    anvil.call(rpc, "anvil_setCode", at, artifact["deployedBytecode"])

    def call(name: str, *arguments: Any) -> tuple[Any, ...]:
        item = functions[name]
        inputs = [collapse_if_tuple(field) for field in item["inputs"]]
        selector = keccak256(f"{name}({','.join(inputs)})".encode())[:4]
        data = "0x" + (selector + eth_abi.encode(inputs, arguments)).hex()
        answer = str(anvil.call(rpc, "eth_call", {"to": at, "data": data}, "latest"))
        return eth_abi.decode([collapse_if_tuple(field) for field in item["outputs"]], bytes.fromhex(answer[2:]))

    return call


def members_of(kind: type[Struct]) -> list[tuple[str, str]]:
    """(type, name) of each field, from the EIP-712 type string."""
    inside = kind.type_string().split("(", 1)[1][:-1]
    return [(field.split(" ")[0], field.split(" ")[1]) for field in inside.split(",")]


def value_of(kind: str, value: Any) -> Any:
    """A field of a vector as eth-abi takes it."""
    if kind.endswith("]") or isinstance(value, int):
        return value
    return bytes.fromhex(value[2:]) if kind == "bytes32" else value if kind == "address" else int(value, 0)


@pytest.mark.parametrize("vector", vectors("messages/hashes.json"), ids=lambda vector: str(vector["comment"]))
def test_the_contract_hashes_a_message_as_the_vector_says(ask: Ask, vector: dict[str, Any]) -> None:
    kind = STRUCTS[vector["struct"]]
    values = tuple(value_of(item, vector["fields"][name]) for item, name in members_of(kind))

    (found,) = ask(FUNCTIONS.get(vector["struct"], f"hash{vector['struct']}"), values)

    assert "0x" + found.hex() == vector["hashStruct"]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 15, 16, 17, 20, 31, 32, 33, 255, 256])
def test_the_contract_packs_a_cohort_as_python_does(ask: Ask, size: int) -> None:
    cohort = sorted(sha256(b"participant", index.to_bytes(2))[:20] for index in range(size))

    assert ask("hashCohort", ["0x" + address.hex() for address in cohort]) == (cohort_hash(cohort),)


@pytest.mark.parametrize("size", [1, 2, 7, 19, 20])
@pytest.mark.parametrize("round_id", [1, 2, 2**63])
def test_the_contract_draws_the_cohort_that_python_draws(ask: Ask, size: int, round_id: int) -> None:
    registered = sorted(sha256(b"participant", index.to_bytes(2))[:20] for index in range(20))
    federation, previous = sha256(b"federation"), sha256(b"previous")
    seed = seeds.cohort_seed(federation=federation, round_id=round_id, previous=previous)
    cohort = seeds.sample_cohort(seed, registered, size)

    addresses = ["0x" + address.hex() for address in registered]
    found, count = ask("sample", addresses, seed, seeds.cut(seed, cohort), size)

    assert ask("seedOf", federation, round_id, previous) == (seed,)
    assert ([bytes.fromhex(address[2:]) for address in found], count) == (cohort, size)


@pytest.mark.parametrize("vector", vectors("reputation/accepted.json"), ids=lambda vector: str(vector["comment"]))
def test_the_contract_remembers_as_python_does(ask: Ask, vector: dict[str, Any]) -> None:
    standing = reputation.Standing()
    for outcome in vector["history"]:
        after = standing.after(flagged=outcome == "b")
        assert ask("next", standing.good, standing.bad, outcome == "b") == (after.good, after.bad)
        standing = after

    assert ask("ppb", standing.good, standing.bad) == (standing.reputation_ppb,)
    assert standing.reputation_ppb == vector["reputation"]


@pytest.mark.parametrize("vector", vectors("payouts/accepted.json"), ids=lambda vector: str(vector["comment"]))
def test_the_contract_pays_as_python_does(ask: Ask, vector: dict[str, Any]) -> None:
    shares = {int(slot): int(value) for slot, value in vector["reputations"].items()}
    expected = payouts.payouts(budget_wei=vector["budget"], cohort_size=vector["cohortSize"], reputations_ppb=shares)

    for slot, share in shares.items():
        arguments = (vector["budget"], len(shares), share, vector["cohortSize"], sum(shares.values()))
        assert ask("payout", *arguments) == (expected[slot],)


@pytest.mark.parametrize("rule", list(rulebook.Rule))
def test_the_contract_needs_as_many_as_python_does(ask: Ask, rule: rulebook.Rule) -> None:
    for f, m, least in ((0, 0, 0), (1, 0, 3), (2, 4, 0), (2, 200, 1), (100, 0, 5), (3, 10, 40)):
        expected = max(least, rulebook.minimum_counted(rule, f=f, m=m))
        assert ask("minimumCounted", rule, f, m, least) == (expected,)
