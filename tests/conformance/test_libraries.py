"""Trees, numbers, ranks, outcomes and verdicts: the compiled libraries say what the committed vectors say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.abi import Interface
from coordinator import anvil
from protocol import merkle, trees
from protocol.errors import UnavailableError
from protocol.fixedpoint import aggregate_to_int16
from protocol.payouts import payouts
from protocol.reputation import UNIT, Standing
from scripts.vectors.of_trees import column_case, model_of, rows_of

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
REVERTED = "reverted"
Ask = Callable[..., Any]


def vectors(name: str, *kinds: str) -> list[Any]:
    """The cases of a file that are of these kinds, named by what they are."""
    found = json.loads((VECTORS / name).read_text(encoding="utf-8"))
    chosen = [item for item in found if not kinds or item["what"] in kinds]
    assert chosen
    return [pytest.param(item, id=str(item.get("defect") or item.get("comment") or n)) for n, item in enumerate(chosen)]


def raw(text: str) -> bytes:
    """The bytes of 0x and digits."""
    return bytes.fromhex(text[2:])


@pytest.fixture(scope="module")
def ask(compiled: dict[str, dict[str, Any]], rpc: str) -> Ask:
    """ask(function, *arguments): what a harness returns, one value or a list of several; REVERTED if it does not."""
    places = {}
    for number, name in enumerate(("MessagesHarness", "LibrariesHarness", "TwinsHarness")):
        at = f"0x{0xF00D + number:040x}"
        anvil.call(rpc, "anvil_setCode", at, compiled[name]["deployedBytecode"])
        interface = Interface(name, compiled[name])
        places.update({item["name"]: (at, interface) for item in compiled[name]["abi"] if item["type"] == "function"})

    def call(function: str, *arguments: Any) -> Any:
        at, interface = places[function]
        data = "0x" + interface.call_data(function, *arguments).hex()
        try:
            answer = str(anvil.call(rpc, "eth_call", {"to": at, "data": data}, "latest"))
        except UnavailableError as error:
            if "revert" not in error.what:
                raise
            return REVERTED
        values = interface.returned(function, raw(answer))
        return values[0] if len(values) == 1 else values

    return call


# Trees


@pytest.mark.parametrize("vector", vectors("trees/accepted.json", "shape"))
def test_a_tree_of_any_shape_has_its_root_and_its_paths(ask: Ask, vector: dict[str, Any]) -> None:
    leaves, root = [raw(leaf) for leaf in vector["leaves"]], raw(vector["root"])

    assert ask("rootOf", leaves) == root
    for index, path in enumerate(vector["paths"]):
        assert ask("checkNode", root, index, len(leaves), leaves[index], [raw(node) for node in path]) == []


@pytest.mark.parametrize("size", [10, 11, 15, 16, 17, 31, 33, 64, 65, 255, 256])
def test_larger_trees_too(ask: Ask, size: int) -> None:
    leaves = [merkle.leaf_hash(trees.KIND_COLUMN, bytes([index])) for index in range(size)]
    tree = merkle.Tree(leaves)

    assert ask("rootOf", leaves) == tree.root
    for index in {0, 1, size // 2, size - 2, size - 1}:
        assert ask("checkNode", tree.root, index, size, leaves[index], list(tree.path(index))) == []


@pytest.mark.parametrize("vector", vectors("trees/refused.json", "path"))
def test_a_path_with_a_defect_leads_nowhere(ask: Ask, vector: dict[str, Any]) -> None:
    path, index = [raw(node) for node in vector["path"]], vector["index"] % (1 << 256)  # no uint256 is negative

    assert ask("checkNode", raw(vector["root"]), index, vector["size"], raw(vector["leaf"]), path) == REVERTED


def leaves_in(vector: dict[str, Any]) -> tuple[int, list[bytes]]:
    """(kind, the leaves) that a vector's tree has."""
    if vector["what"] == "row":
        return trees.KIND_ROW, trees.row_leaves(rows_of(1, vector["d"])[0])
    if vector["what"] == "model":
        return trees.KIND_MODEL, trees.model_leaves(model_of(vector["d"]))
    if vector["what"] == "gram":
        return trees.KIND_GRAM, [raw(leaf) for leaf in vector["leaves"]]
    assert trees.column_leaves(*column_case(vector["k"], vector["d"])) == [raw(leaf) for leaf in vector["leaves"]]
    return trees.KIND_COLUMN, [raw(leaf) for leaf in vector["leaves"]]


@pytest.mark.parametrize("vector", vectors("trees/accepted.json", "row", "model", "column", "gram"))
def test_the_leaves_of_every_kind_hash_to_the_root(ask: Ask, vector: dict[str, Any]) -> None:
    kind, leaves = leaves_in(vector)

    assert ask("rootOf", [ask("leafHash", kind, leaf) for leaf in leaves]) == raw(vector["root"])


@pytest.mark.parametrize("vector", vectors("trees/refused.json", "row", "model"))
def test_a_tree_built_wrongly_is_another_one(ask: Ask, vector: dict[str, Any]) -> None:
    kind, leaves = leaves_in(vector)

    assert ask("rootOf", [ask("leafHash", kind, leaf) for leaf in leaves]) == raw(vector["root"])
    assert vector["root"] != vector["wrong"]


# Numbers


@pytest.mark.parametrize(
    "vector", vectors("fixedpoint/accepted.json", "floorDiv") + vectors("fixedpoint/refused.json", "floorDiv")
)
def test_floors_are_floors(ask: Ask, vector: dict[str, Any]) -> None:
    assert ask("floorDiv", vector["a"], vector["b"]) == vector["value"] != vector.get("wrong")


@pytest.mark.parametrize(
    "vector",
    vectors("fixedpoint/accepted.json", "aggregateToInt16") + vectors("fixedpoint/refused.json", "aggregateToInt16"),
)
def test_an_aggregate_is_rounded_and_cut(ask: Ask, vector: dict[str, Any]) -> None:
    assert [ask("toInt16", value) for value in vector["aggregate"]] == vector["row"] != vector.get("wrong")


@pytest.mark.parametrize("vector", vectors("fixedpoint/accepted.json", "row", "model"))
def test_coordinates_are_read_from_the_bytes(ask: Ask, vector: dict[str, Any]) -> None:
    values, data = vector[vector["what"]], raw(vector["data"])
    function = "int16At" if vector["what"] == "row" else "int32At"

    assert [ask(function, data, index) for index in range(len(values))] == values


@pytest.mark.parametrize("vector", vectors("trees/accepted.json", "gram"))
def test_inner_products_are_read_from_the_bytes(ask: Ask, vector: dict[str, Any]) -> None:
    for leaf in map(raw, vector["leaves"]):
        expected = [int.from_bytes(leaf[at : at + 8], signed=True) for at in range(0, len(leaf), 8)]
        assert [ask("int64At", leaf, index) for index in range(len(expected))] == expected


@pytest.mark.parametrize("value", [0, 1, -1, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**62, -(2**62)])
def test_a_coordinate_of_a_model_is_cut(ask: Ask, value: int) -> None:
    assert ask("saturate32", value) == max(-(2**31), min(2**31 - 1, value))


def test_an_aggregate_is_cut_at_the_ends_of_int32(ask: Ask) -> None:
    for value in (2**31 - 1, -(2**31), 32767 << 15, -32767 << 15):
        assert ask("toInt16", value) == int(aggregate_to_int16(np.array([value], dtype=np.int32))[0])


# Ranks


def columns_of(column: list[int]) -> tuple[bytes, int]:
    """(the bytes of columns, the lane in which these values are)."""
    rows = [[7 * lane if lane != 5 else value for lane in range(16)] for value in column]
    return b"".join(value.to_bytes(2, "little", signed=True) for row in rows for value in row), 5


@pytest.mark.parametrize("vector", vectors("disputes/accepted.json", "ranks"))
def test_what_lies_between_two_ranks_is_found_by_counting(ask: Ask, vector: dict[str, Any]) -> None:
    (data, lane), ranks = columns_of(vector["column"]), (vector["first"], vector["last"])

    assert ask("sumBetween", data, lane, vector["low"], vector["high"], *ranks) == vector["sum"]
    assert ask("checkRank", data, lane, vector["low"], vector["first"]) == []
    assert ask("checkRank", data, lane, vector["high"], vector["last"]) == []
    for value in vector["column"]:
        assert ask("isBetween", data, lane, value, *ranks) == (vector["low"] <= value <= vector["high"])


@pytest.mark.parametrize("vector", vectors("disputes/refused.json", "ranks"))
def test_values_of_other_ranks_are_refused(ask: Ask, vector: dict[str, Any]) -> None:
    (data, lane), ranks = columns_of(vector["column"]), (vector["first"], vector["last"])
    low, high, wrong = vector["wrong"]

    if (low, high) == (vector["low"], vector["high"]):
        assert ask("sumBetween", data, lane, low, high, *ranks) == vector["sum"] != wrong
    else:
        assert ask("sumBetween", data, lane, low, high, *ranks) == REVERTED


# Outcomes, reputations and payouts


@pytest.mark.parametrize("vector", vectors("outcomes/accepted.json"))
def test_a_word_is_taken(ask: Ask, vector: dict[str, Any]) -> None:
    is_counted = int(vector["status"] == 2)

    assert ask("checkOutcomes", raw(vector["word"]), 1, is_counted) == is_counted
    assert ask("checkOutcomes", raw(vector["word"]), 1, 1 - is_counted) == REVERTED


@pytest.mark.parametrize("vector", vectors("outcomes/refused.json"))
def test_a_word_with_a_defect_is_not(ask: Ask, vector: dict[str, Any]) -> None:
    assert [ask("checkOutcomes", raw(vector["word"]), 1, counted) for counted in (0, 1)] == [REVERTED] * 2


@pytest.mark.parametrize("vector", vectors("reputation/refused.json"))
def test_no_history_gives_what_a_mistake_would(ask: Ask, vector: dict[str, Any]) -> None:
    good, bad = 0, 0
    for letter in vector["history"]:
        good, bad = ask("next", good, bad, letter == "b")

    assert ask("ppb", good, bad) == vector["reputation"] != vector["wrong"]


FIXED_POINTS = [(0, 0), (50 * UNIT, 0), (50 * UNIT, 600 * UNIT), (0, 600 * UNIT), (50 * UNIT - 1, 600 * UNIT - 1)]


@pytest.mark.parametrize(("good", "bad"), FIXED_POINTS)
def test_reputations_at_their_ends(ask: Ask, good: int, bad: int) -> None:
    standing = Standing(good=good, bad=bad)

    assert ask("ppb", good, bad) == standing.reputation_ppb
    for flagged in (False, True):
        after = standing.after(flagged=flagged)
        assert ask("next", good, bad, flagged) == [after.good, after.bad]
        assert after.good <= 50 * UNIT
        assert after.bad <= 600 * UNIT


@pytest.mark.parametrize("budget", [0, 1, 10**15, (1 << 120) - 1])
@pytest.mark.parametrize("paid", [1, 2, 255, 256])
def test_payouts_at_their_ends(ask: Ask, budget: int, paid: int) -> None:
    worst, best = Standing(bad=600 * UNIT).reputation_ppb, Standing(good=50 * UNIT).reputation_ppb
    for shares in (dict.fromkeys(range(paid), best), {slot: worst if slot else best for slot in range(paid)}):
        expected = payouts(budget_wei=budget, cohort_size=256, reputations_ppb=shares)
        for slot in {0, paid - 1}:
            arguments = (budget, paid, shares[slot], 256, sum(shares.values()))
            assert ask("payout", *arguments) == expected[slot]
        assert sum(expected.values()) <= budget


# Verdicts, pre-commitments, and what members sign


@pytest.mark.parametrize("vector", vectors("disputes/accepted.json", "verdict"))
def test_a_verdict_has_its_encoding_its_tag_and_its_shares(ask: Ask, vector: dict[str, Any]) -> None:
    values = tuple(raw(value) if isinstance(value, str) else value for value in vector["fields"].values())

    assert ask("encode", values) == raw(vector["encoded"])
    assert ask("tagOf", values) == vector["tag"]
    for signers, shares in vector["splits"].items():
        assert ask("split", vector["fields"]["pot"], int(signers)) == shares
        assert shares[0] + shares[1] * int(signers) + shares[2] == vector["fields"]["pot"]


@pytest.mark.parametrize("vector", vectors("disputes/refused.json", "verdict"))
def test_a_verdict_has_no_other_tag(ask: Ask, vector: dict[str, Any]) -> None:
    values = tuple(raw(value) if isinstance(value, str) else value for value in vector["fields"].values())

    assert ask("tagOf", values) == vector["tag"] != vector["wrong"]


@pytest.mark.parametrize("vector", vectors("disputes/refused.json", "split"))
def test_a_pot_is_shared_in_no_other_way(ask: Ask, vector: dict[str, Any]) -> None:
    assert ask("split", vector["pot"], vector["signers"]) == vector["split"] != vector["wrong"]


@pytest.mark.parametrize(
    "vector", vectors("disputes/accepted.json", "commitment") + vectors("disputes/refused.json", "commitment")
)
def test_a_pre_commitment_is_that_of_prover_proof_and_salt(ask: Ask, vector: dict[str, Any]) -> None:
    found = ask("commitmentOf", raw(vector["prover"]), raw(vector["proof"]), raw(vector["salt"]))

    assert "0x" + found.hex() == vector["commitment"] != vector.get("wrong")


@pytest.mark.parametrize(
    "vector", vectors("disputes/accepted.json", "digest") + vectors("disputes/refused.json", "digest")
)
def test_what_members_sign_is_of_one_domain(ask: Ask, vector: dict[str, Any]) -> None:
    found = ask("digest", raw(vector["domain"]), raw(vector["hashStruct"]))

    assert "0x" + found.hex() == vector["digest"] != vector.get("wrong")
