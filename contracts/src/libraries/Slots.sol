// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Bitmaps of slots: bit i is slot i
library Slots {
    function count(uint256 bitmap) internal pure returns (uint256 population) {
        unchecked {
            for (; bitmap != 0; bitmap &= bitmap - 1) {
                ++population; // at most 256
            }
        }
    }

    function has(uint256 bitmap, uint256 slot) internal pure returns (bool) {
        return slot < 256 && (bitmap >> slot) & 1 == 1;
    }

    /// @notice How many slots of the bitmap come before this one: its place in columns, totals and Gram lines.
    function placeOf(uint256 bitmap, uint256 slot) internal pure returns (uint256) {
        return count(bitmap & ((1 << slot) - 1));
    }
}
