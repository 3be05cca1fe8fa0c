// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Bitmaps of slots: bit i is slot i
library Slots {
    uint256 private constant ALL = type(uint256).max;

    /// @dev Bits of every pair, then of every four, eight and sixteen, side by side; unchecked, since no sum of at most
    /// sixteen outgrows its place, and the last one adds up sixteen of them in the highest sixteen bits.
    function count(uint256 bitmap) internal pure returns (uint256 population) {
        unchecked {
            population = bitmap - ((bitmap >> 1) & (ALL / 3));
            population = (population & (ALL / 5)) + ((population >> 2) & (ALL / 5));
            population = (population + (population >> 4)) & (ALL / 17);
            population = (population + (population >> 8)) & (ALL / 257);
            population = (population * (ALL / 65535)) >> 240;
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
