"""Vectors of disputes: verdicts and their shares, pre-commitments, what members sign, ranks, and Krum's scores.

Responsible for: tests/vectors/disputes/.
Must not know:   files.
"""

from __future__ import annotations

import numpy as np

from coordinator.enclave.rules import aggregate
from protocol.disputes import COHORT_PARTS, PROVER_PARTS, TAG_BITS, Verdict, proof_commitment
from protocol.hashing import keccak256
from protocol.messages import Checkpoint, Domain, Struct, Unavailable
from vectors import Vector, differs, hexed, some

DOMAIN = Domain(chain_id=31337, ledger=some("disputes ledger", 20))
SIGNERS = (0, 1, 2, 3, 7, 256)


def accepted() -> list[Vector]:
    """What both sides compute."""
    out = [verdict_vector(comment, verdict) for comment, verdict in VERDICTS.items()]
    for comment, (prover, proof, salt) in COMMITMENTS.items():
        out.append({"what": "commitment", "comment": comment, "prover": hexed(prover), "proof": hexed(proof),
                    "salt": hexed(salt), "commitment": hexed(proof_commitment(prover, proof, salt))})  # fmt: skip
    for message in MESSAGES:
        out.append({"what": "digest", "struct": message.NAME, "chainId": DOMAIN.chain_id,
                    "ledger": hexed(DOMAIN.ledger), "domain": hexed(DOMAIN.separator()),
                    "hashStruct": hexed(message.hash_struct()),
                    "digest": hexed(message.digest(DOMAIN))})  # fmt: skip
    for column, f in COLUMNS:
        low, high, median = kept(column, (len(column) - 1) // 2, len(column) // 2)
        out.append({"what": "ranks", "column": column, "first": (len(column) - 1) // 2, "last": len(column) // 2,
                    "low": low, "high": high, "sum": median})  # fmt: skip
        low, high, total = kept(column, f, len(column) - f - 1)
        out.append({"what": "ranks", "column": column, "first": f, "last": len(column) - f - 1, "low": low,
                    "high": high, "sum": total})  # fmt: skip
    out.extend(krum_vector(comment, rows, f) for comment, (rows, f) in ROWS.items())
    return out


def verdict_vector(comment: str, verdict: Verdict) -> Vector:
    """A verdict, its tag, and the shares for some numbers of signers."""
    return {"what": "verdict", "comment": comment, "fields": fields_of(verdict), "encoded": hexed(verdict.encode()),
            "tag": verdict.tag(), "splits": {str(n): list(verdict.split(n)) for n in SIGNERS}}  # fmt: skip


def fields_of(verdict: Verdict) -> dict[str, object]:
    """By their Solidity names."""
    names = ("round", "predicate", "result", "coordinator", "prover", "committedAt", "decidedAt", "slots", "pot")
    values = (verdict.round_id, verdict.predicate, hexed(verdict.result), hexed(verdict.coordinator),
              hexed(verdict.prover), verdict.committed_at, verdict.decided_at, verdict.slots, verdict.pot)  # fmt: skip
    return dict(zip(names, values, strict=True))


def kept(column: list[int], first: int, last: int) -> tuple[int, int, int]:
    """(smallest, largest, sum) of the values at these ranks."""
    values = sorted(column)[first : last + 1]
    return values[0], values[-1], sum(values)


def scores_of(rows: list[list[int]], f: int, *, nearest: int = 0, squared: bool = True) -> list[int]:
    """Krum's: for each row the sum of the k - f - 2 smallest squared distances to others."""

    def distance(a: list[int], b: list[int]) -> int:
        parts = [abs(x - y) for x, y in zip(a, b, strict=True)]
        return sum(part * part if squared else part for part in parts)

    number = len(rows) - f - 2 + nearest
    return [sum(sorted(distance(a, b) for b in rows if b is not a)[:number]) for a in rows]


def order_of(scores: list[int]) -> list[int]:
    """By (score, slot)."""
    return sorted(range(len(scores)), key=lambda slot: (scores[slot], slot))


def krum_vector(comment: str, rows: list[list[int]], f: int) -> Vector:
    """Scores and the order in which slots are selected; the first is Krum's, as the enclave's rule says too."""
    scores = scores_of(rows, f)
    order, found = order_of(scores), aggregate("krum", np.array(rows, dtype=np.int16), f=f, m=0, weights=None)
    if np.flatnonzero(found.selected).tolist() != order[:1]:
        raise SystemExit(f"the enclave selects {found.selected}, these vectors {order[:1]}")
    return {"what": "krum", "comment": comment, "rows": rows, "f": f, "scores": scores, "order": order}


VERDICTS = {
    "a usual one": Verdict(
        round_id=7, predicate=2, result=some("result"), coordinator=some("coordinator", 20),
        prover=some("prover", 20), committed_at=100, decided_at=1_800_000_000, slots=9, pot=4 * 10**18,
    ),
    "nothing": Verdict(
        round_id=0, predicate=0, result=bytes(32), coordinator=bytes(20), prover=bytes(20), committed_at=0,
        decided_at=0, slots=0, pot=0,
    ),
    "as large as it gets": Verdict(
        round_id=(1 << 64) - 1, predicate=255, result=b"\xff" * 32, coordinator=b"\xff" * 20, prover=b"\xff" * 20,
        committed_at=(1 << 64) - 1, decided_at=(1 << 64) - 1, slots=(1 << 16) - 1, pot=(1 << 120) - 1,
    ),
    "a pot of seven wei": Verdict(
        round_id=1, predicate=8, result=bytes(32), coordinator=some("coordinator", 20), prover=some("prover", 20),
        committed_at=1, decided_at=1, slots=256, pot=7,
    ),
}  # fmt: skip

COMMITMENTS = {
    "a usual one": (some("prover", 20), some("proof", 900), some("salt")),
    "an empty proof without a salt": (some("prover", 20), b"", bytes(32)),
    "a proof of one byte": (bytes(20), b"\0", b"\xff" * 32),
}

MESSAGES: list[Struct] = [
    Checkpoint(federation=some("federation"), round_id=7, result=some("result"), block_hash=some("block")),
    Unavailable(federation=some("federation"), round_id=7, result=some("result")),
]

COLUMNS = [([3, -1, 2], 1), ([5, 5, 5, 5], 1), ([-32768, 32767, 0, -1, 1], 2), ([7, 1, 7, 1, 7, 1, 7], 2)]

ROWS = {
    "one far away": ([[0, 0], [1, 0], [0, 2], [3, 1], [90, -90], [2, 2]], 1),
    "all the same": ([[4, -4]] * 5, 1),
    "two pairs": ([[1, 1], [1, 1], [9, 9], [9, 9], [5, 4]], 1),
    "as far as it gets": ([[32767, -32767], [-32767, 32767], [0, 0], [32767, 32767], [-32767, -32767], [1, 0],
                           [0, 1]], 2),
}  # fmt: skip


def refused() -> list[Vector]:
    """What the usual mistakes would give."""
    return [*_verdicts(), *_commitments(), *_digests(), *_ranks(), *_scores()]


def _verdicts() -> list[Vector]:
    verdict = VERDICTS["a usual one"]
    whole, packed = int.from_bytes(keccak256(verdict.encode())), keccak256(verdict.encode()[:-32])
    tags = {
        "the high bits": whole >> (256 - TAG_BITS),
        "128 bits": whole % (1 << 128),
        "without the pot": int.from_bytes(packed) % (1 << TAG_BITS),
        "with a type hash before it": int.from_bytes(verdict.hash_struct()) % (1 << TAG_BITS),
    }
    out: list[Vector] = [
        {"what": "verdict", "defect": defect, "fields": fields_of(verdict), "tag": verdict.tag(),
         "wrong": differs(value, verdict.tag())}
        for defect, value in tags.items()
    ]  # fmt: skip
    for pot, signers in ((4 * 10**18 + 3, 7), (7, 3), (10**18, 0)):
        verdict = Verdict(**{name: getattr(VERDICTS["a usual one"], name) for name in Verdict.__slots__} | {"pot": pot})
        reward, share, burnt = verdict.split(signers)
        wrong = {
            "the rest to the prover": [pot - share * signers - pot // 2, share, pot // 2],
            "nothing burnt where nobody signed": [pot - burnt, share, burnt] if not signers else None,
            "shares rounded up": [reward, -(-(pot // COHORT_PARTS) // signers), burnt] if signers else None,
            "the whole cohort's quarter to each": [reward, pot // COHORT_PARTS, burnt] if signers > 1 else None,
            "a half to the prover": [pot // PROVER_PARTS * 2, share, burnt - pot // PROVER_PARTS],
        }
        out.extend(
            {"what": "split", "defect": defect, "pot": pot, "signers": signers, "split": [reward, share, burnt],
             "wrong": value}
            for defect, value in wrong.items()
            if value is not None and value != [reward, share, burnt]
        )  # fmt: skip
    return out


def _commitments() -> list[Vector]:
    prover, proof, salt = COMMITMENTS["a usual one"]
    right = proof_commitment(prover, proof, salt)
    wrong = {
        "packed": keccak256(prover, keccak256(proof), salt),
        "the proof itself, not its hash": keccak256(prover.rjust(32, b"\0"), proof, salt),
        "without the prover": keccak256(keccak256(proof), salt),
        "without the salt": keccak256(prover.rjust(32, b"\0"), keccak256(proof)),
        "the address on the left": keccak256(prover.ljust(32, b"\0"), keccak256(proof), salt),
        "salt before proof": keccak256(prover.rjust(32, b"\0"), salt, keccak256(proof)),
    }
    return [
        {"what": "commitment", "defect": defect, "prover": hexed(prover), "proof": hexed(proof), "salt": hexed(salt),
         "commitment": hexed(right), "wrong": differs(hexed(value), hexed(right))}
        for defect, value in wrong.items()
    ]  # fmt: skip


def _digests() -> list[Vector]:
    out: list[Vector] = []
    for message in MESSAGES:
        domain, struct = DOMAIN.separator(), message.hash_struct()
        wrong = {
            "without 0x1901": keccak256(domain, struct),
            "domain and message the other way round": keccak256(b"\x19\x01", struct, domain),
            "no domain": struct,
            "another chain": message.digest(Domain(chain_id=1, ledger=DOMAIN.ledger)),
            "another contract": message.digest(Domain(chain_id=31337, ledger=some("consortium", 20))),
        }
        out.extend(
            {"what": "digest", "defect": defect, "struct": message.NAME, "domain": hexed(domain),
             "hashStruct": hexed(struct), "digest": hexed(message.digest(DOMAIN)),
             "wrong": differs(hexed(value), hexed(message.digest(DOMAIN)))}
            for defect, value in wrong.items()
        )  # fmt: skip
    return out


def _ranks() -> list[Vector]:
    column = [7, 1, 7, 1, 7, 1, 7]
    first, last = 2, 4
    low, high, total = kept(column, first, last)
    wrong = {
        "the largest too small": (low, low, total),
        "the smallest too large": (high, high, total),
        "a value that is not there": (low, high - 1, total),
        "equal values counted once": (low, high, low + high),
        "every value between the two": (low, high, sum(column)),
    }
    return [
        {"what": "ranks", "defect": defect, "column": column, "first": first, "last": last, "low": low, "high": high,
         "sum": total, "wrong": list(value)}
        for defect, value in wrong.items()
        if differs(value, (low, high, total))
    ]  # fmt: skip


def _scores() -> list[Vector]:
    rows, f = ROWS["one far away"]
    right = scores_of(rows, f)
    wrong = {
        "one neighbour more": scores_of(rows, f, nearest=1),
        "one neighbour less": scores_of(rows, f, nearest=-1),
        "distances not squared": scores_of(rows, f, squared=False),
        "its own distance of 0 among the nearest": scores_of(rows, f, nearest=-1),
    }
    out: list[Vector] = [
        {"what": "krum", "defect": defect, "rows": rows, "f": f, "scores": right, "wrong": differs(value, right)}
        for defect, value in wrong.items()
    ]  # fmt: skip
    rows, f = ROWS["two pairs"]
    scores = scores_of(rows, f)
    order = sorted(range(len(rows)), key=lambda slot: (scores[slot], -slot))
    out.append({"what": "krum", "defect": "ties to the higher slot", "rows": rows, "f": f, "order": order_of(scores),
                "wrong": differs(order, order_of(scores))})  # fmt: skip
    return out
