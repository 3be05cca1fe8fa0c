"""Gas of every operation on a real chain: JSON lines, and the table of docs/gas.md.

    scripts/bench_gas.py    prints {"operation": ..., "n": ..., "gas": ...} and writes docs/gas.md; exit 1 over a bound

Responsible for: measuring, and the two bounds that the project promises (a round of 20 slots, a registration).
Must not know:   how the contracts do it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from contracts import NAMES, artifact
from coordinator import anvil
from ledger_world import LedgerWorld, counted, default_terms

PAGE = Path(__file__).resolve().parent.parent / "docs" / "gas.md"
SIZES = (8, 20, 32, 64, 256)
BOUND_SLOTS, BOUND_GAS = 20, 600_000
"""Opening, proposing and settling a round of 20, from the first round on."""
REGISTER_GAS = 450_000
"""Registering an enclave with the largest HPKE key, where the chain has P256VERIFY."""
NO_PRECOMPILE = "prague"
"""The last hardfork without P256VERIFY."""
MAX_TRANSACTION_GAS = 1 << 24
"""EIP-7825."""
ONCE = {
    "join": "join",
    "register": "register an enclave (quote of 2,200 bytes, hybrid HPKE key)",
    "register without precompile": "the same where the chain has no P256VERIFY",
    "commit": "commit an update",
    "withdraw": "withdraw a credit",
    "anchor": "anchor a digest",
    "leave": "leave",
    "voidRound": "void a late round",
}
ROUND = ("openRound", "propose", "settle")

HEAD = """# Gas

Measured by `make gas` on Anvil (`--hardfork osaka`) with the committed artifacts; one in ten slots is flagged. The
promise: opening, proposing and settling a round of {slots} with reputations and credits costs at most {bound:,} gas
from the first round on. No transaction at n = 256 exceeds the {limit:,} of EIP-7825. The nearest blockchain-FL project
needs 1.69 million for a round of 20. Registering an enclave, its quote verified on chain, costs at most {register:,}.

No slot of the ledger is written for the first time in the first round that is not in every later one, so all rounds
cost alike; a few hundred gas follow the zeros in the calldata. A slot that is counted costs about {slope:,} gas in the
three transactions together.

"""


def measure(rpc: str) -> list[dict[str, object]]:
    """Every operation, in the order of the page."""
    lines: list[dict[str, object]] = []
    for n in SIZES:
        world = LedgerWorld(rpc, f"gas {n}", participants=n, terms=default_terms())
        if n == SIZES[0]:
            lines += [{"operation": name, "n": 1, "gas": world.gas[name]} for name in ("join", "register")]
            lines += [{"operation": f"deploy {name}", "n": 1, "gas": world.gas[f"deploy {name}"]} for name in NAMES]
        for label in ("first round", "later round"):
            round_ = world.open()
            if n == SIZES[0] and label == "first round":
                gas = world.send("RoundLedger", "commit", 1, bytes([1]) * 32, sender=world.participants[0])
                lines.append({"operation": "commit", "n": 1, "gas": gas})
            round_ = world.finish(round_, [counted(flagged=slot % 10 == 9) for slot in range(n)])
            world.propose(round_)
            world.settle(round_)
            lines += [{"operation": f"{name}, {label}", "n": n, "gas": world.gas[name]} for name in ROUND]
            total = sum(world.gas[name] for name in ROUND)
            lines.append({"operation": f"whole, {label}", "n": n, "gas": total})
        if n == SIZES[0]:
            lines += _others(world)
    return lines


def _others(world: LedgerWorld) -> list[dict[str, object]]:
    participant = world.participants[0]
    world.send("RoundLedger", "withdraw", sender=participant)
    world.send("RoundLedger", "anchor", bytes([7]) * 32, sender=participant)
    round_ = world.open()
    round_ = world.finish(round_, [counted() for _ in round_.cohort])
    world.move_to(round_.spec.deadlines[3] + 1)
    world.send("RoundLedger", "voidRound", round_.spec, round_.result, b"", sender=participant)
    world.send("Participants", "leave", sender=participant)
    return [
        {"operation": name, "n": 1, "gas": world.gas[name]} for name in ("withdraw", "anchor", "voidRound", "leave")
    ]


def page(lines: list[dict[str, object]]) -> str:
    """docs/gas.md."""
    gas = {(str(line["operation"]), int(str(line["n"]))): int(str(line["gas"])) for line in lines}
    small, large = gas["whole, later round", SIZES[0]], gas["whole, later round", SIZES[-1]]
    slope = round((large - small) / (SIZES[-1] - SIZES[0]), -2)
    bounds = {"bound": BOUND_GAS, "register": REGISTER_GAS, "limit": MAX_TRANSACTION_GAS}
    text = HEAD.format(slots=BOUND_SLOTS, slope=int(slope), **bounds)
    text += "| operation | " + " | ".join(f"n = {n}" for n in SIZES) + " |\n| --- |" + " ---: |" * len(SIZES) + "\n"
    for label in ("first round", "later round"):
        for name in (*ROUND, "whole"):
            row = " | ".join(f"{gas[f'{name}, {label}', n]:,}" for n in SIZES)
            text += f"| {name}, {label} | {row} |\n"
    text += "\n| once | gas |\n| --- | ---: |\n"
    for name, words in ONCE.items():
        text += f"| {words} | {gas[name, 1]:,} |\n"
    text += "\n| contract | deployment | bytes deployed (at most 24,576, EIP-170) |\n| --- | ---: | ---: |\n"
    for name in NAMES:
        size = len(artifact(name)["deployedBytecode"]) // 2 - 1
        text += f"| {name} | {gas[f'deploy {name}', 1]:,} | {size:,} |\n"
    return text


def main() -> int:
    """The command line."""
    argparse.ArgumentParser(description="measure the gas of every operation, write docs/gas.md").parse_args()
    with anvil.start() as chain:
        lines = measure(chain.rpc)
    with anvil.start(hardfork=NO_PRECOMPILE) as chain:
        world = LedgerWorld(chain.rpc, "gas without precompile", participants=1, terms=default_terms())
        lines.append({"operation": "register without precompile", "n": 1, "gas": world.gas["register"]})
    for line in lines:
        print(json.dumps(line))
    gas = {(line["operation"], line["n"]): int(str(line["gas"])) for line in lines}
    whole, register = gas["whole, first round", BOUND_SLOTS], gas["register", 1]
    PAGE.write_text(page(lines), encoding="utf-8")
    most = max(gas.values())
    if whole > BOUND_GAS or register > REGISTER_GAS or most > MAX_TRANSACTION_GAS:
        costs = f"a round of {BOUND_SLOTS} costs {whole} gas, a registration {register}, the largest operation {most}"
        print(f"error: {costs}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
