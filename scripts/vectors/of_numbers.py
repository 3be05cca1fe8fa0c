"""Vectors of numbers: fixed point, reputation, payouts, and the values that a small mistake would give instead.

Responsible for: tests/vectors/{fixedpoint,reputation,payouts}/.
Must not know:   files.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from protocol import fixedpoint, payouts, reputation
from protocol.reputation import Standing
from vectors import Vector, differs, error_of, hexed

LOW32, HIGH32 = -(1 << 31), (1 << 31) - 1


def fixedpoint_accepted() -> list[Vector]:
    """Floors, ties, saturation and steps, at the ends of their ranges and in the middle."""
    pairs = [(7, 2), (-7, 2), (-1, 32768), (0, 3), (-32768, 32768), (-32769, 32768), (1 << 62, 3), (-(1 << 62), 3)]
    out: list[Vector] = [{"what": "floorDiv", "a": a, "b": b, "value": fixedpoint.floor_div(a, b)} for a, b in pairs]
    for exponent, values in (
        (-14, [0.5, 1.0, -1.0, 1.99993896484375, 2.0, -2.0, 1e-9, -0.0]),
        (-8, [0.001953125, 0.005859375, -0.001953125, -0.005859375, 0.009765625, 127.998046875, 128.0, -1e300]),
        (-24, [2.0**-24, 2.0**-25, 3 * 2.0**-25, -(2.0**-25), 5e-324, 0.001]),
    ):
        done = fixedpoint.quantise(np.array(values), exponent)
        out.append({"what": "quantise", "exponent": exponent, "values": [value.hex() for value in values],
                    "row": done.row.tolist(), "saturated": done.saturated})  # fmt: skip
    inputs = [0, 1, -1, 16383, 16384, -16384, -16385, 32767 << 15, (32767 << 15) + 16384, LOW32, HIGH32]
    out.append({"what": "aggregateToInt16", "aggregate": inputs,
                "row": fixedpoint.aggregate_to_int16(np.array(inputs, dtype=np.int32)).tolist()})  # fmt: skip
    base, aggregate = [0, 1, -1, 1 << 24, HIGH32, LOW32, LOW32], [1, -1, -1, 12345, HIGH32, LOW32, HIGH32]
    for rate, decay, exponent, model_exponent in (
        (65536, 0, -14, -24),
        (65536, 1, -14, -24),
        (1, 1 << 24, -14, -24),
        ((1 << 32) - 1, (1 << 32) - 1, -8, -30),
        ((1 << 32) - 1, 0, -24, -8),
    ):
        out.append({"what": "modelStep", "base": base, "aggregate": aggregate, "learningRate": rate, "decay": decay,
                    "exponent": exponent, "modelExponent": model_exponent,
                    "model": step(base, aggregate, rate, decay, exponent, model_exponent)})  # fmt: skip
    row = np.array([1, -1, 32767, -32767, 256], dtype=np.int16)
    out.append({"what": "row", "row": row.tolist(), "data": hexed(fixedpoint.encode_row(row))})
    model = np.array([1, -1, HIGH32, LOW32], dtype=np.int32)
    out.append({"what": "model", "model": model.tolist(), "data": hexed(fixedpoint.encode_model(model))})
    return out


def step(base: list[int], aggregate: list[int], rate: int, decay: int, exponent: int, model_exponent: int) -> list[int]:
    """The model step of lists."""
    model = fixedpoint.model_step(
        np.array(base, dtype=np.int32),
        np.array(aggregate, dtype=np.int32),
        learning_rate=rate,
        decay=decay,
        exponent=exponent,
        model_exponent=model_exponent,
    )
    return [int(value) for value in model]


def fixedpoint_refused() -> list[Vector]:
    """Bytes and floats that are no numbers of ours, and results of the usual mistakes."""
    out: list[Vector] = []
    for defect, data, d in (
        ("one byte short", "0x010002", 2),
        ("one byte over", "0x0100020003", 2),
        ("one coordinate short", "0x0100", 2),
        ("one coordinate over", "0x010002000300", 2),
        ("empty", "0x", 1),
        ("-32768 first", "0x0080", 1),
        ("-32768 last", "0x01000080", 2),
    ):
        raw = bytes.fromhex(data[2:])
        error = error_of(lambda r=raw, n=d: fixedpoint.decode_row(r, n))  # type: ignore[misc]
        out.append({"what": "row", "defect": defect, "data": data, "d": d, "error": error})
    for defect, data in (("two bytes", "0x0100"), ("five bytes", "0x0100000000"), ("eight", "0x" + 8 * "00")):
        raw = bytes.fromhex(data[2:])
        error = error_of(lambda r=raw: fixedpoint.decode_model(r, 1))  # type: ignore[misc]
        out.append({"what": "model", "defect": f"{defect} for one coordinate", "data": data, "d": 1, "error": error})
    for defect, value, exponent in (
        ("not a number", math.nan, -14),
        ("infinity", math.inf, -14),
        ("minus infinity", -math.inf, -14),
        ("an exponent too large", 1.0, -7),
        ("an exponent too small", 1.0, -25),
    ):
        error = error_of(lambda v=value, e=exponent: fixedpoint.quantise(np.array([v]), e))  # type: ignore[misc]
        out.append({"what": "quantise", "defect": defect, "exponent": exponent, "values": [value.hex()],
                    "error": error})  # fmt: skip
    for defect, value in (("above 128", 128.001), ("below -128", -128.001), ("not a number", math.nan)):
        error = error_of(lambda v=value: fixedpoint.model_from_floats(np.array([v]), -24))  # type: ignore[misc]
        out.append({"what": "modelFromFloats", "defect": defect, "values": [value.hex()], "error": error})
    for a, b, wrong in ((-7, 2, -3), (-1, 32768, 0), (-32769, 32768, -1)):
        out.append({"what": "floorDiv", "defect": "toward zero, as Solidity's /", "a": a, "b": b,
                    "value": a // b, "wrong": differs(wrong, a // b)})  # fmt: skip
    for value, wrong, defect in ((0.5, 1, "ties away from zero"), (1.5, 1, "ties down"), (-0.5, -1, "ties to -inf")):
        right = int(fixedpoint.quantise(np.array([value * 2.0**-14]), -14).row[0])
        out.append({"what": "quantise", "defect": defect, "exponent": -14, "values": [(value * 2.0**-14).hex()],
                    "row": [right], "wrong": [differs(wrong, right)]})  # fmt: skip
    for value, wrong, defect in (
        (32767 << 15, 32766, "saturated one too early"),
        (LOW32, -32768, "saturated to -32768"),
        (-16384, -1, "ties down"),
        (32767, 0, "floor instead of nearest"),
    ):
        right = int(fixedpoint.aggregate_to_int16(np.array([value], dtype=np.int32))[0])
        out.append({"what": "aggregateToInt16", "defect": defect, "aggregate": [value], "row": [right],
                    "wrong": [differs(wrong, right)]})  # fmt: skip
    for defect, b, a, rate, decay, wrong in (
        ("one floor for both terms", -1, 1, 1, 1, Fraction(1, 1 << 24)),
        ("the decay toward zero", -1, 0, 0, 1, Fraction(0)),
        ("the step toward zero", 0, -1, 1, 0, Fraction(0)),
        ("wrapped instead of saturated", HIGH32, HIGH32, 1 << 31, 0, None),
    ):
        right = step([b], [a], rate, decay, -14, -24)[0]
        shift = fixedpoint.step_shift(-14, -24)
        wrapped = (b + ((a * rate) >> shift) + (1 << 31)) % (1 << 32) - (1 << 31)
        value = wrapped if wrong is None else math.floor(b + wrong)
        out.append({"what": "modelStep", "defect": defect, "base": [b], "aggregate": [a], "learningRate": rate,
                    "decay": decay, "exponent": -14, "modelExponent": -24, "model": [right],
                    "wrong": [differs(value, right)]})  # fmt: skip
    return out


HISTORIES = {"a newcomer": "", "one good round": "g", "one flagged round": "b", "good, then flagged": "ggggb",
             "flagged, then good": "bgggg", "a hundred good rounds": "g" * 100, "a thousand good": "g" * 1000,
             "a thousand flagged": "b" * 1000, "every other round": "gb" * 20}  # fmt: skip


def reputation_accepted() -> list[Vector]:
    """Histories of counted rounds: g good, b flagged."""
    out = []
    for comment, history in HISTORIES.items():
        standing = after(history)
        out.append({"comment": comment, "history": history, "good": standing.good, "bad": standing.bad,
                    "reputation": standing.reputation_ppb})  # fmt: skip
    return out


def after(history: str) -> Standing:
    """The standing after a history."""
    standing = Standing()
    for letter in history:
        standing = standing.after(flagged=letter == "b")
    return standing


def reputation_refused() -> list[Vector]:
    """What the usual mistakes would give."""
    unit, prior_good, prior_total = reputation.UNIT, reputation.PRIOR_GOOD, reputation.PRIOR_TOTAL

    def wrongly(history: str, mistake: str) -> int:
        good = bad = 0
        for letter in history:
            flagged = letter == "b"
            if mistake != "the good sum does not decay" and not (flagged and mistake == "no decay when flagged"):
                good = good * 98 // 100
            if mistake == "bad forgotten as fast as good":
                bad = bad * 98 // 100
            elif mistake != "the bad sum does not decay" and (flagged or mistake != "bad decays only when flagged"):
                bad = bad * 995 // 1000
            good += 0 if flagged else unit
            bad += (unit if mistake == "a flag that weighs as a good round" else 3 * unit) if flagged else 0
        if mistake == "no prior":
            return unit * good // max(good + bad, 1)
        if mistake == "a prior of one half":
            return unit * (good + unit) // (good + bad + prior_total)
        if mistake == "rounded up":
            return -(-unit * (good + prior_good) // (good + bad + prior_total))
        return unit * (good + prior_good) // (good + bad + prior_total)

    mistakes = {
        "the good sum does not decay": "ggggg", "no decay when flagged": "ggb", "the bad sum does not decay": "bgg",
        "bad decays only when flagged": "bgg", "bad forgotten as fast as good": "bgg",
        "a flag that weighs as a good round": "gb", "no prior": "gg", "a prior of one half": "", "rounded up": "ggg",
        "newest first": "ggggb",
    }  # fmt: skip
    out = []
    for mistake, history in mistakes.items():
        right = after(history).reputation_ppb
        wrong = wrongly(history[::-1] if mistake == "newest first" else history, mistake)
        out.append({"defect": mistake, "history": history, "reputation": right, "wrong": differs(wrong, right)})
    return out


ETHER = 10**18
ROUNDS = {
    "nobody": (ETHER, 4, {}),
    "one alone of one": (ETHER, 1, {0: 300_000_000}),
    "four newcomers of four": (ETHER, 4, {0: 300_000_000, 1: 300_000_000, 2: 300_000_000, 3: 300_000_000}),
    "eight of ten, as in the demo": (10**17, 10, {slot: 300_000_000 + slot * 7_000_003 for slot in range(8)}),
    "one wei": (1, 3, {0: 500_000_000, 2: 700_000_000}),
    "no budget": (0, 3, {0: 500_000_000, 2: 700_000_000}),
    "everything that a ledger can hold, the best of 256 alone": ((1 << 120) - 1, 256, {0: 1_000_000_000}),
    "the same to the best and the worst that there are": ((1 << 120) - 1, 256, {3: 980_769_230, 9: 995_024}),
    "all of 256 slots": (123_456_789, 256, {slot: 1 + slot * 3_000_000 for slot in range(256)}),
}


def payouts_accepted() -> list[Vector]:
    """Budgets shared."""
    return [
        {"comment": comment, "budget": budget, "cohortSize": n, "reputations": {str(s): e for s, e in shares.items()},
         "payouts": {str(s): wei for s, wei in pay(budget, n, shares).items()}}
        for comment, (budget, n, shares) in ROUNDS.items()
    ]  # fmt: skip


def pay(budget: int, n: int, shares: dict[int, int]) -> dict[int, int]:
    """The protocol's payouts."""
    return payouts.payouts(budget_wei=budget, cohort_size=n, reputations_ppb=shares)


def payouts_refused() -> list[Vector]:
    """What the usual mistakes would pay."""
    budget, n, shares = 10**17 + 1, 10, {1: 300_000_000, 4: 600_000_001, 7: 450_000_000}
    total, u = sum(shares.values()), len(shares)
    right = pay(budget, n, shares)
    wrong = {
        "rounded up": {s: -(-budget * u * e // (n * total)) for s, e in shares.items()},
        "excluded slots' shares go to the others": {s: budget * e // total for s, e in shares.items()},
        "divided before it is multiplied": {s: budget // (n * total) * u * e for s, e in shares.items()},
        "in whole gwei": {s: wei // 10**9 * 10**9 for s, wei in right.items()},
        "over everybody's reputations": {s: budget * u * e // (n * (total + 300_000_000)) for s, e in shares.items()},
        "equal shares": dict.fromkeys(shares, budget // n),
        "over the counted instead of the cohort": {s: budget * u * e // (4 * total) for s, e in shares.items()},
        "the rest to the lowest slot": {1: right[1] + budget * u // n - sum(right.values()), 4: right[4], 7: right[7]},
        "paid by slot": {s: budget * u * s // (n * sum(shares)) for s in shares},
        "a flagged slot paid": {**right, 2: 1},
    }
    return [
        {"defect": defect, "budget": budget, "cohortSize": n, "reputations": {str(s): e for s, e in shares.items()},
         "payouts": {str(s): wei for s, wei in right.items()},
         "wrong": {str(s): wei for s, wei in value.items() if differs(value, right) is value}}
        for defect, value in wrong.items()
    ]  # fmt: skip
