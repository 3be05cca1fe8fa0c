"""Gas of every operation on a real chain: JSON lines, and docs/gas.md.

    scripts/bench_gas.py    prints {"operation": ..., "n": ..., "gas": ...} and writes docs/gas.md; exit 1 over a bound

Responsible for: what is measured with how many slots, and the bounds that the project promises.
Must not know:   how the contracts do it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from contracts import NAMES
from coordinator import anvil
from gas_parts import disputes, rounds
from gas_parts.disputes import Line
from gas_parts.page import page, size_of
from ledger_world import MAX_GAS, LedgerWorld, default_terms

PAGE = Path(__file__).resolve().parent.parent / "docs" / "gas.md"
SIZES = (8, 20, 32, 64, 256)
ROUND_SLOTS, ROUND_GAS = 20, 600_000
"""Opening, proposing and settling a round of 20, from the first round on."""
PROOF_SLOTS, PROOF_GAS = 32, 150_000
"""Refuting a coordinate of a trimmed mean of 32."""
REGISTER_GAS = 450_000
"""Registering an enclave with the largest HPKE key, where the chain has P256VERIFY."""
NO_PRECOMPILE = "prague"
"""The last hardfork without P256VERIFY."""
MAX_CODE = 24_576
"""EIP-170."""


def measure() -> Iterator[Line]:
    """Every operation."""
    with anvil.start() as chain:
        for n in SIZES:
            world = disputes.world_of(chain.rpc, n)
            if n == SIZES[0]:
                yield from rounds.founding(world)
                yield from disputes.measure_once(world)
            yield from disputes.measure(world)
            yield from rounds.measure(world)
            if n == SIZES[0]:
                yield from rounds.others(world)
    with anvil.start(hardfork=NO_PRECOMPILE) as chain:
        world = LedgerWorld(chain.rpc, "gas without precompile", participants=1, terms=default_terms())
        yield {"operation": "register without precompile", "n": 1, "gas": world.gas["register"]}


def bounds_of(gas: dict[tuple[str, int], int]) -> list[tuple[str, int, int]]:
    """(what, at most, measured)."""
    largest = max((cost, name) for (name, n), cost in gas.items() if n == SIZES[-1] and not name.startswith("whole"))
    heaviest = max((size_of(name), name) for name in NAMES)
    return [
        (f"a round of {ROUND_SLOTS}, the first one", ROUND_GAS, gas["whole, first round", ROUND_SLOTS]),
        (f"refuting a trimmed mean of {PROOF_SLOTS}", PROOF_GAS, gas[f"refute {disputes.SHOWN}", PROOF_SLOTS]),
        ("registering an enclave, its quote verified on chain", REGISTER_GAS, gas["register", 1]),
        (f"any transaction with {SIZES[-1]} slots (EIP-7825); the largest: {largest[1]}", MAX_GAS, largest[0]),
        (f"bytes of any contract (EIP-170); the largest: {heaviest[1]}", MAX_CODE, heaviest[0]),
    ]


def main() -> int:
    """The command line."""
    argparse.ArgumentParser(description="measure the gas of every operation, write docs/gas.md").parse_args()
    gas: dict[tuple[str, int], int] = {}
    for line in measure():
        print(json.dumps(line), flush=True)
        gas[str(line["operation"]), int(str(line["n"]))] = int(str(line["gas"]))
    bounds = bounds_of(gas)
    PAGE.write_text(page(gas, SIZES, bounds), encoding="utf-8")
    over = [f"{what}: at most {most:,}, measured {actual:,}" for what, most, actual in bounds if actual > most]
    for complaint in over:
        print(f"error: {complaint}", file=sys.stderr)
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
