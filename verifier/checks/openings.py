"""What a proof opens is under the roots that the result commits to.

Responsible for: every path of a proof that a replay repeats, but those of the 16 row leaves of a Gram chunk.
Must not know:   what an opening shows, or who brings it.

Twins: contracts/src/predicates/*.sol, libraries/Merkle.sol.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from protocol import merkle
from protocol.errors import VerificationError
from protocol.hashing import sha256
from protocol.messages import RoundResult, Spec
from protocol.openings import SetLeaf, Tree
from protocol.outcomes import slots_of
from protocol.trees import COLUMN_LEAF, GRAM_CHUNK, ROW_LEAF

Opening = tuple[bytes, Tree, int, int, bytes, tuple[bytes, ...]]
"""(root, tree, index, number of leaves, the leaf as it was hashed, path)."""

Proof = Mapping[str, Any]
"""Its arguments by the ABI's names; structs that are not signed as tuples."""

LINES = ("line", "one", "other", "chosen", "before")
"""Arguments of GramPredicates that are lines."""


def check_openings(spec: Spec, result: RoundResult, slots: int, proof: Proof) -> None:
    """Every leaf that a proof opens leads to the root it has to.  slots: size of the cohort."""
    for root, tree, index, size, data, path in _openings(spec, result, slots, proof):
        merkle.verify(root, index=index, size=size, leaf=merkle.leaf_hash(tree, data), path=path)


def _openings(spec: Spec, result: RoundResult, slots: int, proof: Proof) -> Iterator[Opening]:
    yield from _set_leaves(result, slots, proof)
    yield from _of_columns(spec, result, proof)
    yield from _of_models(spec, result, proof)
    yield from _of_gram(spec, result, proof)


def _set_leaves(result: RoundResult, slots: int, proof: Proof) -> Iterator[Opening]:
    chunks = [proof[name] for name in ("left", "right") if name in proof] + list(proof.get("rows", ()))
    leaves = [value for value in proof.values() if isinstance(value, SetLeaf)] + [chunk[0] for chunk in chunks]
    for leaf in leaves:
        yield result.set_root, Tree.SET, leaf.slot, slots, leaf.data, leaf.path


def _of_columns(spec: Spec, result: RoundResult, proof: Proof) -> Iterator[Opening]:
    size = -(-spec.dimension // COLUMN_LEAF)
    for name in ("column", "last", "before"):
        value = proof.get(name, ())
        if len(value) == 3 and name == "column":
            index, data, path = value
        elif len(value) == 5:
            index, columns, totals, aggregate, path = value
            if name == "before" and proof["column"][0] == 0:
                continue  # nothing is before the first leaf
            data = (sha256(columns) + totals if name == "column" else columns + sha256(totals)) + aggregate
        else:
            continue
        yield result.column_root, Tree.COLUMN, index, size, data, path
    if "rowPath" in proof:
        row = proof["column"][0] * COLUMN_LEAF // ROW_LEAF
        size = -(-spec.dimension // ROW_LEAF)
        yield proof["set"].data[:32], Tree.ROW, row, size, proof["row"], proof["rowPath"]


def _of_models(spec: Spec, result: RoundResult, proof: Proof) -> Iterator[Opening]:
    for name, root in (("base", spec.base_model), ("next", result.new_model)):
        if name in proof:
            index, data, path = proof[name]
            yield root, Tree.MODEL, index, -(-spec.dimension // ROW_LEAF), data, path


def _of_gram(spec: Spec, result: RoundResult, proof: Proof) -> Iterator[Opening]:
    chunks, counted = -(-spec.dimension // GRAM_CHUNK), slots_of(result.counted)
    size = chunks * len(counted)
    if "leaf" in proof:
        index, data, path = proof["leaf"]
        yield result.gram_root, Tree.GRAM, index, size, data, path
    for name in LINES:
        value = proof.get(name, ())
        chunk = proof.get("chunk", chunks - 1) - (name == "before")
        if len(value) != 3 or chunk < 0:
            continue
        slot, data, path = value
        if slot not in counted:
            raise VerificationError("slot of a line", expected="a counted one", actual=slot)
        yield result.gram_root, Tree.GRAM, chunk * len(counted) + counted.index(slot), size, data, path
