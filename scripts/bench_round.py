"""What an enclave does once all updates of a round are in: rule, totals, trees, second look, model; time and memory.

    scripts/bench_round.py --n 256 --d 10000000 --rule trimmed-mean --f 51

One JSON line.  Not in it: sockets, sealing, signatures, the chain.  `ratio` is the largest resident set less what the
process took before the rows, over the rows' own bytes; null where so few rows did not raise it.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import time

import numpy as np

from bench_parts.command import exit_code, whole
from bench_parts.memory import mark, rise
from bench_parts.rows import make_rows
from coordinator.enclave.rounds import Entry, Round, compute
from protocol import trees
from protocol.errors import TooFewCountedError
from protocol.hashing import sha256
from protocol.messages import ZERO, Spec, Update, cohort_hash
from protocol.rulebook import parse_chain

MOST = 256
"""Slots in a round."""


def main() -> int:
    """0, or 2 when there is no such round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=whole(1, MOST), default=20)
    parser.add_argument("--f", type=whole(0), default=4)
    parser.add_argument("--d", type=whole(1), default=1_000_000)
    parser.add_argument("--rule", default="trimmed-mean")
    options = parser.parse_args()
    if options.f >= options.n:
        parser.error(f"argument --f: expected less than n = {options.n}, got {options.f}")
    return exit_code(functools.partial(measure, options.rule, options.n, options.f, options.d))


def measure(rule: str, n: int, f: int, d: int) -> None:
    """Makes the rows, then computes the round once.  Raises TooFewCountedError, where it would be void, and others."""
    needed = parse_chain(rule).minimum_counted(f=f, m=0)
    if n < needed:
        raise TooFewCountedError(f"updates for {rule} with f = {f}", expected=f"at least {needed}", actual=n)
    warm_up(rule, min(f, 3))
    before = mark()
    state = round_of(rule, n, f, d)
    leaves = -(-d // trees.COLUMN_LEAF)
    start = time.perf_counter()
    computed = compute(state, model_exponent=-24, recheck=[leaf * leaves // 16 for leaf in range(16)])
    took = time.perf_counter() - start
    line = {"rule": rule, "n": n, "f": f, "d": d, "seconds": float(f"{took:.4g}"), **rise(before, 2 * n * d)}
    print(json.dumps(line | {"column_root": computed.result.column_root.hex()}))


def warm_up(rule: str, f: int) -> None:
    """A small round, for what is loaded and compiled once."""
    n = max(16, parse_chain(rule).minimum_counted(f=f, m=0))
    compute(round_of(rule, n, f, 1 << 19), model_exponent=-24, recheck=[0])


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


if __name__ == "__main__":
    sys.exit(main())
