"""Orders that nobody chooses: drawn by SHA-256 from what the chain fixes.

Responsible for: the cohort's seed and sample; the seed of a round's bucketing.
Must not know:   who is registered, or why.

Spec: docs/protocol.md section 4, docs/rules.md.  Twin: RoundLedger.openRound, of the cohort.
"""

from __future__ import annotations

from collections.abc import Sequence

from protocol.errors import RangeError
from protocol.hashing import sha256
from protocol.keys import Address
from protocol.messages import MAX_SLOTS


def cohort_seed(*, federation: bytes, round_id: int, previous: bytes) -> bytes:
    """SHA-256(federation || round as 8 bytes || previous result)."""
    return sha256(federation, round_id.to_bytes(8), previous)


def bucketing_seed(*, federation: bytes, round_id: int, set_root: bytes) -> bytes:
    """SHA-256(federation || round as 8 bytes || set root): nobody knows it before the set is closed."""
    return sha256(federation, round_id.to_bytes(8), set_root)


def draw(seed: bytes, participant: Address) -> bytes:
    """What an address is ranked by: SHA-256(seed || address)."""
    return sha256(seed, participant)


def sample_cohort(seed: bytes, registered: Sequence[Address], size: int) -> list[Address]:
    """The `size` addresses with the smallest draws, ascending by address; everybody where there are no more.

    size: 0 means as many as a bitmap has slots.
    """
    if not 0 <= size <= MAX_SLOTS:
        raise RangeError("size of a cohort", expected=f"in 0..{MAX_SLOTS}", actual=size)
    size = size or MAX_SLOTS
    return sorted(sorted(registered, key=lambda participant: draw(seed, participant))[:size])


def cut(seed: bytes, cohort: Sequence[Address]) -> bytes:
    """The largest draw in a cohort: with it the ledger tells a sampled cohort without sorting."""
    return max(draw(seed, participant) for participant in cohort)
