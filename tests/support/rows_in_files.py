"""Rows in files, as they are given or published, and what the enclave's own rules and trees say of them.

Responsible for: making both.
Must not know:   how parts of rows are computed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from coordinator.enclave.rules import aggregate, totals
from protocol import trees
from protocol.evidence import RoundEvidence
from protocol.fixedpoint import Int16, Int64
from protocol.hashing import sha256
from protocol.rulebook import needs_gram, parse_chain

SEED = bytes(range(32))
"""Of a round's bucketing."""


def random_rows(k: int, d: int) -> Int16:
    return np.random.default_rng(d).integers(-3000, 3001, (k, d)).astype(np.int16)


def save(folder: Path, rows: Int16) -> Path:
    np.save(folder / "rows.npy", rows)
    return folder / "rows.npy"


def weights_of(chain: str, k: int) -> Int64 | None:
    return np.arange(1, k + 1, dtype=np.int64) if chain == "weighted-mean" else None


def in_one_piece(chain: str, rows: Int16) -> dict[str, Any]:
    """The same by the enclave's rules and the trees of the protocol, with all in memory."""
    made = aggregate(chain, rows, f=2, weights=weights_of(chain, len(rows)), seed=SEED)
    running = totals(rows, made)
    return {
        "column root": trees.column_root(rows, made.aggregate, running).hex(),
        "Gram root": trees.gram_root(rows).hex() if needs_gram(parse_chain(chain).number) else None,
        "aggregate": sha256(made.aggregate.astype("<i4").tobytes()).hex(),
        "selected": made.selected.tolist(),
        "kept": running.kept[-1].tolist(),
        "deviation": running.deviation[-1].tolist(),
        "alignment": running.alignment[-1].tolist(),
    }


def publish(run: Path, rows: dict[int, Int16], round_id: int) -> None:
    """A round's evidence and rows as a coordinator publishes them, of a cohort of five."""
    (run / "artifacts" / "rounds").mkdir(parents=True)
    (run / "artifacts" / "blobs").mkdir()
    blobs = {slot: row.astype("<i2").tobytes() for slot, row in rows.items()}
    for blob in blobs.values():
        (run / "artifacts" / "blobs" / sha256(blob).hex()).write_bytes(blob)
    evidence = RoundEvidence(
        round_id=round_id,
        result=bytes(32),
        base=bytes(32),
        set_leaves=(b"",) * 5,
        rows=tuple(sha256(blobs[slot]) if slot in blobs else None for slot in range(5)),
        aggregate=None,
        model=bytes(32),
    )
    (run / "artifacts" / "rounds" / f"{round_id}.cbor").write_bytes(evidence.encode())
