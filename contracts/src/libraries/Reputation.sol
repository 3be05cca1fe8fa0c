// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What the ledger remembers of a participant, and the number that follows
/// @notice Twin: protocol/reputation.py. All divisions floor; nothing here is negative.
/// @dev good < 50 * UNIT and bad < 600 * UNIT are the fixed points of the two decays, so both fit uint64 for ever.
library Reputation {
    uint256 internal constant UNIT = 1e9;
    uint256 internal constant PRIOR_GOOD = 6e8; // a newcomer starts at 0.6 / 2 = 0.3
    uint256 internal constant PRIOR_TOTAL = 2 * UNIT;

    /// @notice The two sums after one more counted round; rounds not counted change nothing.
    /// @dev Unchecked: the arguments are below 2^64 and are multiplied by less than 2^10. The results fit 64 bits,
    /// because the decays keep good below 50 * UNIT and bad below 600 * UNIT.
    function next(uint64 good, uint64 bad, bool flagged) internal pure returns (uint64, uint64) {
        unchecked {
            uint256 r = (uint256(good) * 98) / 100 + (flagged ? 0 : UNIT);
            uint256 s = (uint256(bad) * 995) / 1000 + (flagged ? 3 * UNIT : 0);
            return (uint64(r), uint64(s));
        }
    }

    /// @notice E, in parts per 10^9; never 0: the numerator is at least 6 * 10^17, the denominator below 10^12.
    /// @dev Unchecked: sums of numbers below 2^64, times 10^9, are below 2^100.
    function ppb(uint64 good, uint64 bad) internal pure returns (uint256) {
        unchecked {
            return (UNIT * (uint256(good) + PRIOR_GOOD)) / (uint256(good) + bad + PRIOR_TOTAL);
        }
    }
}
