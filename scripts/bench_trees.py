"""What the trees of one round cost, against hashing the same bytes once: one JSON line a tree and way to hash.

    scripts/bench_trees.py --n 20 --d 1000000

The bytes are those of the leaves' preimages: the rows; rows, totals and leaves of the column tree; lines of inner
products; the model.  The column tree's time includes adding the totals up.  The Gram tree's does not include the inner
products, which scripts/bench_rules.py measures.  Each is the best of some repeats that alternate with the flat hash.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import time
from collections.abc import Callable
from hashlib import sha256

import numpy as np

from bench_parts.command import exit_code, whole
from coordinator.enclave.rules.kernels.totals import account
from protocol import merkle, native, trees
from protocol.native.sha256 import HASHLIB, WORTH_BYTES, Hasher, hasher


def main() -> int:
    """0, or 2 when it was refused."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=whole(1), default=20)
    parser.add_argument("--d", type=whole(1), default=1_000_000)
    parser.add_argument("--repeats", type=whole(1), default=5)
    options = parser.parse_args()
    return exit_code(functools.partial(measure, options.n, options.d, options.repeats))


def measure(n: int, d: int, repeats: int) -> None:
    """Every tree by every way that there is here."""
    works, sizes = round_of(n, d)
    ways = [HASHLIB, hasher(WORTH_BYTES)] if native.is_available() else [HASHLIB]
    for way in ways:
        use(way)
        best = {name: [float("inf")] * 2 for name in works}
        for _ in range(repeats):
            for name, work in works.items():
                taken = (seconds_of(work), seconds_of(lambda size=sizes[name]: flat_hash(size)))
                best[name] = [min(pair) for pair in zip(best[name], taken, strict=True)]
        best["all"] = [sum(parts) for parts in zip(*best.values(), strict=True)]
        for name, (seconds, flat) in best.items():
            print(
                json.dumps(
                    {
                        "tree": name,
                        "implementation": way.name,
                        "n": n,
                        "d": d,
                        "seconds": round(seconds, 5),
                        "flat_hash_seconds": round(flat, 5),
                        "ratio": round(seconds / flat, 2),
                    }
                ),
                flush=True,
            )


def round_of(n: int, d: int) -> tuple[dict[str, Callable[[], object]], dict[str, int]]:
    """What makes each tree of a random round, and how many bytes it hashes in its leaves."""
    random = np.random.default_rng(n)
    rows = random.integers(-32767, 32768, (n, d), dtype=np.int16)
    model = random.integers(-(2**31), 2**31, d, dtype=np.int32)
    low, high, selected = rows[:3].min(axis=0), rows[:3].max(axis=0), np.ones(n, dtype=np.bool_)
    wide = rows[:, : trees.GRAM_CHUNK].astype(np.int64)
    products, chunks, leaves = wide @ wide.T, -(-d // trees.GRAM_CHUNK), -(-d // trees.COLUMN_LEAF)
    works: dict[str, Callable[[], object]] = {
        "rows": lambda: trees.row_roots(rows),
        "column": lambda: account(rows, model, selected=selected, low=low, high=high),
        "gram": lambda: trees.gram_root(rows, lambda start, stop: products),
        "model": lambda: trees.model_root(model),
    }
    a_leaf = n * (2 * trees.COLUMN_LEAF + trees.TOTALS_DTYPE.itemsize) + 128
    return works, {"rows": 2 * n * d, "column": leaves * a_leaf, "gram": chunks * n * n * 8, "model": 4 * d}


def use(way: Hasher) -> None:
    """Every tree is hashed in this way from now on."""
    for module in (trees, merkle):
        vars(module)["hasher"] = lambda size_bytes: way


def seconds_of(work: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def flat_hash(size: int) -> None:
    """hashlib over so many bytes, one mebibyte after the other."""
    block, state = bytes(1 << 20), sha256()
    for _ in range(size >> 20):
        state.update(block)
    state.update(block[: size & ((1 << 20) - 1)])


if __name__ == "__main__":
    sys.exit(main())
