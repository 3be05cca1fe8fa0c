"""Vectors of trees: leaves, roots and paths; paths and leaves that are refused.

Responsible for: tests/vectors/trees/.
Must not know:   files.
"""

from __future__ import annotations

import numpy as np

from protocol import merkle, trees
from protocol.fixedpoint import Int16, Int32
from protocol.hashing import sha256
from protocol.outcomes import Reason
from protocol.trees import SetLeaf, Totals
from vectors import Vector, differs, error_of, hexed, some

FORMULA = "row j, coordinate i: (i * 7919 + j * 104729) mod 65535 - 32767"


def rows_of(k: int, d: int) -> Int16:
    """(k, d) by FORMULA: all of int16 but -32768."""
    i, j = np.arange(d, dtype=np.int64)[None, :], np.arange(k, dtype=np.int64)[:, None]
    return ((i * 7919 + j * 104729) % 65535 - 32767).astype(np.int16)


def model_of(d: int) -> Int32:
    """(d,) coordinate i: (i * 2654435761) mod 2**32 - 2**31."""
    return (np.arange(d, dtype=np.int64) * 2654435761 % (1 << 32) - (1 << 31)).astype(np.int32)


def leaves_of(size: int) -> list[bytes]:
    """Leaf hashes of a set tree of `size` made-up leaves."""
    return [merkle.leaf_hash(trees.KIND_SET, some(f"leaf {i}")) for i in range(size)]


def accepted() -> list[Vector]:
    """Trees of every shape up to nine leaves, and the five kinds of leaves."""
    out: list[Vector] = []
    for size in (1, 2, 3, 4, 5, 6, 7, 8, 9):
        leaves = leaves_of(size)
        paths = [[hexed(node) for node in merkle.proof(leaves, index)] for index in range(size)]
        out.append({"what": "shape", "leaves": [hexed(leaf) for leaf in leaves], "root": hexed(merkle.root(leaves)),
                    "paths": paths})  # fmt: skip
    for d in (1, 255, 256, 257, 1000):
        row = rows_of(1, d)[0]
        out.append({"what": "row", "rows": FORMULA, "d": d, "root": hexed(trees.row_root(row))})
        formula = "coordinate i: (i * 2654435761) mod 2**32 - 2**31"
        out.append({"what": "model", "model": formula, "d": d, "root": hexed(trees.model_root(model_of(d)))})
    leaf = SetLeaf(update_root=some("update root"), samples=60, signature=some("signature", 65))
    out.append({"what": "set leaf", "updateRoot": hexed(leaf.update_root), "samples": 60,
                "signature": hexed(leaf.signature), "data": hexed(leaf.encode())})  # fmt: skip
    out.extend({"what": "set leaf", "reason": int(r), "data": hexed(SetLeaf(reason=r).encode())} for r in Reason)
    for k, d in ((1, 1), (3, 16), (2, 40)):
        rows, aggregate, totals = column_case(k, d)
        out.append({"what": "column", "rows": FORMULA, "k": k, "d": d, "aggregate": aggregate.tolist(),
                    "kept": totals.kept.tolist(), "deviation": totals.deviation.tolist(),
                    "alignment": totals.alignment.tolist(),
                    "leaves": [hexed(data) for data in trees.column_leaves(rows, aggregate, totals)],
                    "root": hexed(trees.column_root(rows, aggregate, totals))})  # fmt: skip
    for k, d in ((1, 1), (3, 4096), (2, 4097)):
        rows = rows_of(k, d)
        out.append({"what": "gram", "rows": FORMULA, "k": k, "d": d,
                    "leaves": [hexed(data) for data in trees.gram_leaves(rows)],
                    "root": hexed(trees.gram_root(rows))})  # fmt: skip
    return out


def column_case(k: int, d: int) -> tuple[Int16, Int32, Totals]:
    """Rows, an aggregate and totals of no particular rule: the tree takes them as they come."""
    count = -(-d // trees.COLUMN_LEAF)
    grid = np.arange(count * k, dtype=np.int64).reshape(count, k)
    totals = Totals(kept=(grid + 1).astype(np.uint32), deviation=(grid * 1000003).astype(np.uint64),
                    alignment=(5 - grid) * 65537)  # fmt: skip
    return rows_of(k, d), model_of(d), totals


def refused() -> list[Vector]:
    """Paths with one defect each, set leaves of no accepted form, and roots of trees built wrongly."""
    return [*_paths(), *_set_leaves(), *_roots()]


def _paths() -> list[Vector]:
    leaves = leaves_of(7)
    root, path, leaf = merkle.root(leaves), merkle.proof(leaves, 2), leaves[2]
    inner = merkle.leaf_hash(trees.KIND_SET, leaves[2] + leaves[3])
    node = merkle.node_hash(leaves[2], leaves[3])
    duplicated = merkle.root([*leaves, leaves[6]])
    broken = {
        "another index": (root, 3, 7, leaf, path),
        "another leaf": (root, 2, 7, leaves[3], path),
        "a size with another shape": (root, 2, 4, leaf, path),
        "an index past the end": (root, 7, 7, leaf, path),
        "a negative index": (root, -1, 7, leaf, path),
        "a path without its top": (root, 2, 7, leaf, path[:-1]),
        "a path without its bottom": (root, 2, 7, leaf, path[1:]),
        "a path with a node too many": (root, 2, 7, leaf, [*path, bytes(32)]),
        "a path upside down": (root, 2, 7, leaf, path[::-1]),
        "no path": (root, 2, 7, leaf, []),
        "one bit of a node": (root, 2, 7, leaf, [bytes([path[0][0] ^ 1]) + path[0][1:], *path[1:]]),
        "a node's children as the data of a leaf": (root, 1, 3, inner, path[1:]),
        "a node as a leaf": (root, 2, 7, node, path[1:]),
        "the root as its only leaf, of seven": (root, 0, 7, root, []),
        "the last leaf duplicated, as Bitcoin does": (duplicated, 6, 7, leaves[6], merkle.proof(leaves, 6)),
        "a leaf of another kind": (root, 2, 7, merkle.leaf_hash(trees.KIND_ROW, some("leaf 2")), path),
        "a leaf without a kind": (root, 2, 7, sha256(b"\0" + some("leaf 2")), path),
        "a leaf hashed as a node": (root, 2, 7, sha256(b"\1", some("leaf 2")), path),
        "a tree of no leaves": (root, 0, 0, leaf, []),
    }
    return [
        {"what": "path", "defect": defect, "root": hexed(top), "index": index, "size": size, "leaf": hexed(start),
         "path": [hexed(node) for node in nodes],
         "error": error_of(lambda t=top, i=index, s=size, a=start, p=nodes:  # type: ignore[misc]
                           merkle.verify(t, index=i, size=s, leaf=a, path=p))}
        for defect, (top, index, size, start, nodes) in broken.items()
    ]  # fmt: skip


def _set_leaves() -> list[Vector]:
    counted = SetLeaf(update_root=some("update root"), samples=60, signature=some("signature", 65)).encode()
    broken = {
        "nothing": b"",
        "zeros without a reason": bytes(32),
        "a reason that does not exist": bytes(32) + b"\x0a",
        "a reason, and a root that is not zero": some("update root") + b"\x01",
        "a reason, and a last byte of the root": bytes(31) + b"\x01\x01",
        "two bytes of reason": bytes(32) + b"\x00\x01",
        "a signature of 64 bytes": counted[:-1],
        "a signature of 66 bytes": counted + b"\x00",
        "samples of 8 bytes": counted[:32] + bytes(4) + counted[32:],
        "without samples": counted[:32] + counted[36:],
    }
    return [
        {"what": "set leaf", "defect": defect, "data": hexed(data),
         "error": error_of(lambda x=data: trees.parse_set_leaf(x))}  # type: ignore[misc]
        for defect, data in broken.items()
    ]  # fmt: skip


def _roots() -> list[Vector]:
    row, model = rows_of(1, 257)[0], model_of(257)
    right = trees.row_root(row)

    def root_of(kind: int, leaves: list[bytes]) -> bytes:
        return merkle.root([merkle.leaf_hash(kind, leaf) for leaf in leaves])

    leaves = trees.row_leaves(row)
    wrong = {
        "coordinates big-endian": root_of(1, trees.row_leaves(row.byteswap())),
        "the last leaf not padded": root_of(1, [leaves[0], leaves[1][:2]]),
        "padded with ones": root_of(1, [leaves[0], leaves[1].replace(b"\0\0", b"\1\0")]),
        "leaves of 128 coordinates": root_of(1, [leaf[i : i + 256] for leaf in leaves for i in (0, 256)]),
        "the kind of a model": root_of(5, leaves),
        "an empty leaf at the end": root_of(1, [*leaves, bytes(512)]),
        "the last leaf twice": root_of(1, [*leaves, leaves[-1]]),
        "leaves in reverse": root_of(1, leaves[::-1]),
    }
    out: list[Vector] = [
        {"what": "row", "defect": defect, "rows": FORMULA, "d": 257, "root": hexed(right),
         "wrong": differs(hexed(value), hexed(right))}
        for defect, value in wrong.items()
    ]  # fmt: skip
    right = trees.model_root(model)
    value = root_of(5, trees.model_leaves(model.byteswap()))
    out.append({"what": "model", "defect": "coordinates big-endian", "d": 257, "root": hexed(right),
                "wrong": differs(hexed(value), hexed(right))})  # fmt: skip
    return out
