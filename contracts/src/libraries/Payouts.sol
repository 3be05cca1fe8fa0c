// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title How a round's budget is shared
/// @notice Twin: protocol/payouts.py. What the floors leave stays in the treasury.
library Payouts {
    /// @notice floor(budget * paid * reputation / (slots * total)) in wei.
    /// @param budget The round's budget; below 2^120, as everything that the ledger holds.
    /// @param paid u, the counted and unflagged slots; at most 256.
    /// @param reputation E of this slot as at the round's opening; at most 10^9.
    /// @param slots n, all slots of the cohort; at most 256.
    /// @param total The sum of E over the counted and unflagged slots; not 0, because `reputation` is part of it.
    /// @dev Unchecked: the products are below 2^(120 + 9 + 30) and 2^(9 + 9 + 30).
    function payout(uint256 budget, uint256 paid, uint256 reputation, uint256 slots, uint256 total)
        internal
        pure
        returns (uint256)
    {
        unchecked {
            return (budget * paid * reputation) / (slots * total);
        }
    }
}
