// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IPredicates} from "../interfaces/IPredicates.sol";
import {Numbers} from "./Numbers.sol";

/// @title Order statistics of a column without sorting it
/// @notice A value has a rank where at most so many are smaller, and more than so many are not larger. A proof brings
/// the value; counting shows the rest. Ties need no slot: equal values are interchangeable in a sum.
/// @dev `columns` are 16 coordinates of each counted slot, `lane` is one of the sixteen.
library Ranks {
    uint256 private constant COLUMN_BYTES = 32;

    /// @notice Fails unless the value has the rank, from 0.
    function check(bytes calldata columns, uint256 lane, int256 value, uint256 rank) internal pure {
        (uint256 below, uint256 upTo) = around(columns, lane, value);
        require(below <= rank && rank < upTo, IPredicates.WrongRank(rank, below, upTo));
    }

    /// @notice Whether the value, one of the column's, lies between those at two ranks, these included.
    function isBetween(bytes calldata columns, uint256 lane, int256 value, uint256 first, uint256 last)
        internal
        pure
        returns (bool)
    {
        (uint256 below, uint256 upTo) = around(columns, lane, value);
        return upTo > first && below <= last;
    }

    /// @notice How many values are smaller, and how many are not larger.
    function around(bytes calldata columns, uint256 lane, int256 value)
        internal
        pure
        returns (uint256 below, uint256 upTo)
    {
        unchecked {
            for (uint256 at = lane << 1; at < columns.length; at += COLUMN_BYTES) {
                int256 q = Numbers.toSigned(bytes2(columns[at:]));
                if (q < value) ++below;
                if (q <= value) ++upTo;
            }
        }
    }

    /// @notice Sum of the values at the ranks `first` to `last`, which are `low` and `high` at these ends.
    /// @dev What is strictly between is summed as it comes; of values equal to an end, as many as have such a rank.
    /// Where `low` is above `high`, no value counts as equal to `low`, so it has no rank. Unchecked: at most 256 values
    /// below 2^15.
    function sumBetween(bytes calldata columns, uint256 lane, int256 low, int256 high, uint256 first, uint256 last)
        internal
        pure
        returns (int256 sum)
    {
        unchecked {
            (uint256 belowLow, uint256 upToLow) = (0, 0);
            uint256 belowHigh = columns.length / COLUMN_BYTES;
            uint256 upToHigh = belowHigh;
            for (uint256 at = lane << 1; at < columns.length; at += COLUMN_BYTES) {
                int256 q = Numbers.toSigned(bytes2(columns[at:]));
                if (q >= high) {
                    --belowHigh;
                    if (q > high) --upToHigh;
                    else if (q == low) ++upToLow;
                } else if (q > low) {
                    sum += q;
                } else {
                    ++upToLow;
                    if (q < low) ++belowLow;
                }
            }
            require(belowLow <= first && first < upToLow, IPredicates.WrongRank(first, belowLow, upToLow));
            require(belowHigh <= last && last < upToHigh, IPredicates.WrongRank(last, belowHigh, upToHigh));
            if (low == high) return low * int256(last + 1 - first);
            return sum + low * int256(upToLow - first) + high * int256(last + 1 - belowHigh);
        }
    }
}
