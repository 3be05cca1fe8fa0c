"""The rows that every implementation gets: updates as a round has them, a fifth of them attacking.

Responsible for: int16 rows, and the same values as float32.
Must not know:   rules, peers, clocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

EXPONENT = -14
"""Of an update: value = q * 2**EXPONENT, the default of a federation."""
ATTACK = -4.0
"""What the attackers multiply their updates with."""
_BLOCK = 1 << 16
_SMALLEST, _LARGEST = 0.3, 1000.0  # spread of a coordinate over the participants, in units: many ties, few saturated


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """One round's updates."""

    f: int
    """How many attack: the first f."""

    units: npt.NDArray[np.int16]
    """(n, d), value q * 2**EXPONENT."""

    samples: npt.NDArray[np.int64]
    """(n,) of every participant, for the weighted mean."""

    clip: int
    """A radius in units that clips about half of the honest rows."""


def make_rows(n: int, f: int, d: int) -> Rows:
    """The same rows for the same n, f and d.

    Coordinates have their own mean and spread, log-uniform over three decades as in a network, so that some are
    full of ties and some are not.  Made block by block: nothing of the rows' size exists but the rows.
    """
    units = np.empty((n, d), dtype=np.int16)
    for start in range(0, d, _BLOCK):
        width = min(_BLOCK, d - start)
        rng = np.random.default_rng((n, start))
        spread = np.exp(rng.uniform(np.log(_SMALLEST), np.log(_LARGEST), width)).astype(np.float32)
        centre = spread * rng.standard_normal(width, dtype=np.float32) / 2
        for i in range(n):
            values = rng.standard_normal(width, dtype=np.float32)
            values *= spread
            values += centre
            if i < f:
                values *= ATTACK
            units[i, start : start + width] = np.clip(np.rint(values), -32767, 32767)
    norms = [float(np.linalg.norm(row[: 1 << 20].astype(np.float32))) for row in units[f:]]
    clip = int(np.median(norms) * np.sqrt(d / min(d, 1 << 20)))
    samples = np.random.default_rng(n).integers(50, 1000, n, dtype=np.int64)
    return Rows(f=f, units=units, samples=samples, clip=max(clip, 1))


def as_floats(rows: Rows) -> npt.NDArray[np.float32]:
    """(n, d) float32, exactly the same values."""
    floats = rows.units.astype(np.float32)
    floats *= np.float32(2.0**EXPONENT)
    return floats
