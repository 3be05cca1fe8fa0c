"""What stands before a rule in a chain: clipping, bucketing and mixing, once more and from the definitions.

Responsible for: counted rows in, rows with a scale out, and who stands for whom.
Must not know:   the rules, the enclave's code, or where the rows come from.

Spec: docs/rules.md, "A chain".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from protocol.errors import RangeError
from protocol.hashing import sha256
from protocol.rulebook import Step
from verifier.replay_exact import Integers, distances, squared_norm

UNCLIPPED = 1 << 16
"""The factor that leaves a row as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixed:
    """The rows that a rule sees."""

    rows: Integers
    """(k, d): integers v.  A centre or a trusted row may follow as one more, which stands for nobody."""

    scale: int
    """S: v / S is in an update's unit, so that no v is beyond 2^15 * S."""

    stands: tuple[int, ...]
    """Of every counted row the place of the one that stands for it."""


def apply_stages(stages: Sequence[Step], mixed: Mixed, *, f: int, slots: Sequence[int], seed: bytes) -> Mixed:
    """The rows after all stages.

    slots: of the k rows.   seed: bucketing's.
    Raises: RangeError (sums that could pass 64 bits).
    """
    for stage in stages:
        if stage.name == "clip":
            mixed = _clipped(mixed, stage.numbers[0] * mixed.scale)
        elif stage.name == "arc":
            mixed = _clipped(mixed, _arc_radius(mixed, f=f))
        elif stage.name == "bucketing":
            if slots[-1] > 0xFFFF:
                raise RangeError("slot in a drawn order", expected="at most 65535", actual=slots[-1])
            mixed = _bucketed(mixed, stage.numbers[0], [sha256(seed, slot.to_bytes(2)) for slot in slots])
        else:
            mixed = _nearest_mixed(mixed, f=f)
    return mixed


def _clipped(mixed: Mixed, radius: int) -> Mixed:
    """Longer rows are shortened: v * t / 2^16 toward zero, t = min(2^16, 2^16 * radius // isqrt(squared norm))."""
    if mixed.scale >= 1 << 32:
        raise RangeError("scale of rows to clip", expected="below 2^32, for v * t to fit 64 bits", actual=mixed.scale)
    clipped = []
    for row in mixed.rows:
        length = math.isqrt(squared_norm(row))
        t = min(UNCLIPPED, UNCLIPPED * radius // length) if length else UNCLIPPED
        wide = row.astype(np.int64)
        clipped.append(np.sign(wide) * (np.abs(wide) * t >> 16))
    return Mixed(rows=np.stack(clipped), scale=mixed.scale, stands=mixed.stands)


def _arc_radius(mixed: Mixed, *, f: int) -> int:
    """The length of rank h + 1 from the largest: the h = 2f(k - f) // k longest rows are cut back to it."""
    k = len(mixed.rows)
    longest_first = sorted((squared_norm(row) for row in mixed.rows), reverse=True)
    return math.isqrt(longest_first[2 * f * (k - f) // k])


def _bucketed(mixed: Mixed, size: int, draws: Sequence[bytes]) -> Mixed:
    """Sums of the rows of each bucket, in the order of the draws, all of the same scale."""
    k = len(mixed.rows)
    order = sorted(range(k), key=lambda place: draws[place])
    buckets = [order[start : start + size] for start in range(0, k, size)]
    common = math.lcm(*(len(bucket) for bucket in buckets))
    scale = _scale(len(buckets), mixed.scale * common)
    sums = [mixed.rows[bucket].sum(axis=0, dtype=np.int64) * (common // len(bucket)) for bucket in buckets]
    bucket_of = {place: number for number, bucket in enumerate(buckets) for place in bucket}
    return Mixed(rows=np.stack(sums), scale=scale, stands=tuple(bucket_of[place] for place in mixed.stands))


def _nearest_mixed(mixed: Mixed, *, f: int) -> Mixed:
    """Of every row the sum of its k - f nearest, by (squared distance, place)."""
    k = len(mixed.rows)
    scale = _scale(k, mixed.scale * (k - f))
    sums = []
    for line in distances(mixed.rows):
        nearest = sorted(range(k), key=lambda place: (line[place], place))[: k - f]
        sums.append(mixed.rows[nearest].sum(axis=0, dtype=np.int64))
    return Mixed(rows=np.stack(sums), scale=scale, stands=mixed.stands)


def _scale(k: int, scale: int) -> int:
    """The scale of k mixed rows: 2^15 * k * 2^15 * S must fit 64 bits."""
    if k * scale >= 1 << 33:
        raise RangeError("rows times their scale", expected="below 2^33", actual=k * scale)
    return scale
