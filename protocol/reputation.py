"""Reputation: what the ledger remembers of a participant, and the number that follows.

Responsible for: the twin of the contract's arithmetic, bit for bit.
Must not know:   money, addresses, rounds.

Spec: docs/protocol.md section 7.  Twin: contracts/src/libraries/Reputation.sol.
"""

from __future__ import annotations

from dataclasses import dataclass

UNIT = 10**9
"""1 in parts per 10**9."""
PRIOR_GOOD = 6 * 10**8
"""A newcomer starts at 0.6 / 2 = 0.3."""
PRIOR_TOTAL = 2 * UNIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Decayed sums of good and bad rounds, in parts per 10**9."""

    good: int = 0
    """r: +1 a counted round that is not flagged; decays by 2% a counted round."""
    bad: int = 0
    """s: +3 a counted round that is flagged; decays by 0.5% a counted round, so bad is forgotten more slowly."""

    def after(self, *, flagged: bool) -> Standing:
        """The standing after one more counted round.  Rounds not counted change nothing."""
        return Standing(
            good=self.good * 98 // 100 + (0 if flagged else UNIT),
            bad=self.bad * 995 // 1000 + (3 * UNIT if flagged else 0),
        )

    @property
    def reputation_ppb(self) -> int:
        """E = floor(10**9 * (r + 6 * 10**8) / (r + s + 2 * 10**9))."""
        return UNIT * (self.good + PRIOR_GOOD) // (self.good + self.bad + PRIOR_TOTAL)
