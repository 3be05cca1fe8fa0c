"""docs/gas.md from what was measured.

Responsible for: the page's words and tables.
Must not know:   how anything was measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from contracts import NAMES, artifact
from gas_parts.disputes import DIMENSION, SHOWN, WRONG
from gas_parts.rounds import LABELS, ROUND

Gas = Mapping[tuple[str, int], int]

HEAD = """# Gas

Measured by `make gas` on Anvil (`--hardfork osaka`) with the committed artifacts: whole transactions with their
calldata. What is promised, and what the command fails without:

| | at most | measured |
| --- | ---: | ---: |
"""

ROUNDS = """
The nearest blockchain-FL project needs 1.69 million for a round of 20.

## A round

Opening, proposing and settling, with reputations and credits; one in ten slots is flagged. No slot of the ledger is
written for the first time in the first round that is not in every later one, so all rounds cost alike; a few hundred
gas follow the zeros in the calldata. A slot that is counted costs about {slope:,} gas in the three transactions
together.

"""

PROOFS = """
## A proof

One `refute` of a proposed round in which exactly that is wrong: rows, trees and signatures are real, everybody is
counted, f is as large as Krum allows (where a trimmed mean costs most), the prover has committed to the proof before,
and the measurement is suspended where the predicate says so.

The dimension is {d:,}, the demo's: a path in the column tree has 9 levels, one in a row's or a model's tree 5. A level
more, which is twice the dimension, adds about 1,400 gas to each path. Beyond that only one proof grows with the
dimension, that of a norm from the rows themselves (`rowOverBound`): {per_coordinate} gas a coordinate here. Longer
ones cost more for each, since memory does, so this is no measure of how many fit a transaction. They need not be all
of the row, only chunks of it whose squares are over the bound by themselves. A proof about an inner product shows
4,096 coordinates of two rows at most.

With many slots some proofs cost what their bytes cost at least: 40 gas for each that is not zero (EIP-7623).

"""

DISPUTES = """
## What comes with a proof

Of the proof of a trimmed mean, and answers to who asks for a leaf.

"""

ONCE = {
    "join": "join",
    "register": "register an enclave (quote of 2,200 bytes, hybrid HPKE key)",
    "register without precompile": "the same where the chain has no P256VERIFY",
    "commit": "commit an update",
    "withdraw": "withdraw a credit",
    "anchor": "anchor a digest",
    "leave": "leave",
    "voidRound": "void a late round",
    "commitProof": "commit to a proof",
    "requestLeaf": "ask for a leaf",
    "voidWithheld": "void a round whose leaf is withheld",
    "postUnavailable": "void a round whose data are unavailable (two signatures)",
    "postCheckpoint": "post a checkpoint (three signatures)",
}
DISPUTED = {
    f"claim with {SHOWN}": "`claim` in place of a later prover",
    "executeVerdict, all set leaves": "`executeVerdict` with all set leaves",
    **{f"answerLeaf, {tree}": f"`answerLeaf`, {tree} tree" for tree in ("row", "set", "column", "model", "gram")},
}


def page(gas: Gas, sizes: Sequence[int], bounds: Iterable[tuple[str, int, int]]) -> str:
    """docs/gas.md.

    bounds: (what, at most, measured).
    """
    small, large = gas["whole, later round", sizes[0]], gas["whole, later round", sizes[-1]]
    slope = int(round((large - small) / (sizes[-1] - sizes[0]), -2))
    rows = (
        gas["refute F7 rowOverBound, trimmed-mean", sizes[-1]] - gas["refute F7 rowMalformed, trimmed-mean", sizes[-1]]
    )
    per_coordinate = -(-rows // DIMENSION)
    text = HEAD + "".join(f"| {what} | {most:,} | {actual:,} |\n" for what, most, actual in bounds)
    text += ROUNDS.format(slope=slope)
    names = [f"{name}, {label}" for label in LABELS for name in (*ROUND, "whole")]
    text += _table("operation", {name: name for name in names}, gas, sizes)
    text += PROOFS.format(d=DIMENSION, per_coordinate=per_coordinate)
    text += _table("what is shown", {f"refute {wrong.name}": _shown(wrong.name) for wrong in WRONG}, gas, sizes)
    text += DISPUTES + _table("operation", DISPUTED, gas, sizes)
    text += "\n## Once\n\n| once | gas |\n| --- | ---: |\n"
    text += "".join(f"| {words} | {gas[name, 1]:,} |\n" for name, words in ONCE.items())
    text += "\n| contract | deployment | bytes deployed (at most 24,576, EIP-170) |\n| --- | ---: | ---: |\n"
    return text + "".join(f"| {name} | {gas[f'deploy {name}', 1]:,} | {size_of(name):,} |\n" for name in NAMES)


def size_of(name: str) -> int:
    """Bytes deployed of a contract."""
    return len(artifact(name)["deployedBytecode"]) // 2 - 1


def _shown(name: str) -> str:
    """`F2 aggregateDiffers, median` with the function as code."""
    predicate, function, rest = name.split(" ", 2)
    return f"{predicate} `{function.rstrip(',')}`, {rest}"


def _table(title: str, names: Mapping[str, str], gas: Gas, sizes: Sequence[int]) -> str:
    text = f"| {title} | " + " | ".join(f"n = {n}" for n in sizes) + " |\n| --- |" + " ---: |" * len(sizes) + "\n"
    for name, words in names.items():
        text += f"| {words} | " + " | ".join(f"{gas[name, n]:,}" for n in sizes) + " |\n"
    return text
