"""What an enclave does once all updates of a round are in: rule, totals, trees, second look, model; time and memory.

    scripts/bench_round.py --n 256 --d 10000000 --rule trimmed-mean --f 51

One JSON line.  Not in it: sockets, sealing, signatures, the chain.  `ratio` is the largest resident set less what the
process took before the rows, over the rows' own bytes.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time

import numpy as np

from bench_parts.rows import make_rows
from coordinator.enclave.rounds import Entry, Round, compute
from protocol import trees
from protocol.hashing import sha256
from protocol.messages import ZERO, Spec, Update, cohort_hash
from protocol.rulebook import parse_chain


def main() -> None:
    """Makes the rows, then computes the round once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=20)
    parser.add_argument("--f", type=int, default=4)
    parser.add_argument("--d", type=int, default=1_000_000)
    parser.add_argument("--rule", default="trimmed-mean")
    options = parser.parse_args()
    compute(round_of(options.rule, 16, 3, 1 << 19), model_exponent=-24, recheck=[0])  # what is loaded and compiled once
    before = peak_bytes()
    state = round_of(options.rule, options.n, options.f, options.d)
    leaves = -(-options.d // trees.COLUMN_LEAF)
    start = time.perf_counter()
    computed = compute(state, model_exponent=-24, recheck=[leaf * leaves // 16 for leaf in range(16)])
    took = time.perf_counter() - start
    size = 2 * options.n * options.d
    line = {"rule": options.rule, "n": options.n, "f": options.f, "d": options.d, "seconds": float(f"{took:.4g}")}
    peak = peak_bytes() - before
    line |= {"rows_bytes": size, "peak_bytes": peak, "ratio": round(peak / size, 3)}
    print(json.dumps(line | {"column_root": computed.result.column_root.hex()}))


def round_of(rule: str, n: int, f: int, d: int) -> Round:
    """A round in which everybody's update was admitted; nobody signed it, because nothing here looks."""
    chain = parse_chain(rule)
    cohort = tuple(sorted(sha256(slot.to_bytes(2))[:20] for slot in range(n)))
    base = np.zeros(d, dtype=np.int32)
    spec = Spec(
        federation=sha256(b"bench"), round_id=1, previous=ZERO, base_model=ZERO, cohort=cohort_hash(cohort),
        enclave=ZERO, rule=int(chain.number), chain=chain.encode(), f=f, m=0, min_counted=n, exponent=-14, dimension=d,
        norm_bound=0, weight_cap=1000, optimizer=0, learning_rate=1 << 16, decay=0, disclosure=0, budget=0,
        deadlines=(1, 2, 3, 4, 5),
    )  # fmt: skip
    rows = make_rows(n, f, d).units
    state = Round(spec=spec, cohort=cohort, base=base)
    for slot, participant in enumerate(cohort):
        update = Update(
            federation=spec.federation, round_id=1, spec=ZERO, enclave=ZERO, participant=participant,
            update_root=sha256(participant), samples=100,
        )  # fmt: skip
        state.entries[slot] = Entry(update=update, signature=bytes(65))
        state.rows[slot] = rows[slot]
    return state


def peak_bytes() -> int:
    """The largest resident set so far; Linux counts in KiB, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
