"""The round that the table of lies is about: nine slots, six of them counted, signed by keys that the test holds."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from protocol import trees
from protocol.fixedpoint import Int32
from protocol.hashing import sha256
from protocol.keys import address
from protocol.messages import Domain, Spec, cohort_hash
from protocol.outcomes import Reason
from protocol.rulebook import RULE_NAMES, encode_chain
from scripts.drafts import Draft, Rows, honest, some_rows

COHORT = 9
ABSENT, REFUSED, COMMITTED, UNDELIVERED = 2, 5, 6, 7
"""Slots of the usual round: nothing came of the first, the last two committed on the ledger; the rest are counted."""
DIMENSION = 4096 + 300
"""Two chunks of the Gram tree, 18 leaves of a row, 275 of the column tree, each last one padded."""
NORM_BOUND = 1 << 36
"""Above what the rows of an honest round have."""
WEIGHT_CAP = 40
RULES = tuple(RULE_NAMES)
SELECTING = ("krum", "multi-krum")


def key_of(name: str) -> bytes:
    """A private key that follows from a name."""
    return sha256(b"lies ", name.encode())


def some_spec(rule: str, cohort: tuple[bytes, ...], base: Int32, **changes: Any) -> Spec:
    """A spec of no ledger."""
    values: dict[str, Any] = {
        "federation": sha256(b"federation"),
        "round_id": 7,
        "previous": sha256(b"the round before"),
        "base_model": trees.model_root(base),
        "cohort": cohort_hash(cohort),
        "enclave": sha256(b"enclave"),
        "rule": int(RULE_NAMES[rule]),
        "chain": encode_chain(rule),
        "f": 1,
        "m": 0,
        "min_counted": 3,
        "exponent": -14,
        "dimension": len(base),
        "norm_bound": NORM_BOUND,
        "weight_cap": WEIGHT_CAP,
        "optimizer": 0,
        "learning_rate": 65536,
        "decay": 1 << 14,
        "disclosure": 0,
        "budget": 10**15,
        "deadlines": (1, 2, 3, 4, 5),
    }
    return Spec(**{**values, **changes})


def usual(rule: str, prepare: Callable[[Rows], None] | None = None) -> Draft:
    """The round that the table is about; `prepare` changes the rows that it counts."""
    return (_usual(rule) if prepare is None else _prepared(rule, prepare)).copy()


@cache
def _usual(rule: str) -> Draft:
    return _prepared(rule, lambda rows: None)


def _prepared(rule: str, prepare: Callable[[Rows], None]) -> Draft:
    people = sorted((key_of(f"participant {i}") for i in range(COHORT)), key=address)
    cohort = tuple(address(key) for key in people)
    base = (np.arange(DIMENSION) * 977 - 10**6).astype(np.int32)
    rows = some_rows(set(range(COHORT)) - {ABSENT, REFUSED, UNDELIVERED}, DIMENSION)
    prepare(rows)
    return honest(
        some_spec(rule, cohort, base),
        cohort,
        dict(enumerate(people)),
        rows,
        base,
        enclave_key=key_of("enclave"),
        domain=Domain(chain_id=31337, ledger=b"ledger".rjust(20, b"\0")),
        refusals={REFUSED: Reason.RANGE, UNDELIVERED: Reason.UNDELIVERED},
        committed=(COMMITTED, UNDELIVERED),
    )
