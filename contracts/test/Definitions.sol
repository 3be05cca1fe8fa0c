// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What docs/protocol.md says of numbers, word by word: sorted, summed, divided
/// @notice Shares nothing with the libraries that it is held against.
library Definitions {
    /// @dev The largest integer q with q * b <= a; b > 0.
    function floored(int256 a, int256 b) internal pure returns (int256) {
        int256 rest = ((a % b) + b) % b;
        return (a - rest) / b;
    }

    function clamped(int256 value, int256 least, int256 most) internal pure returns (int256) {
        return value < least ? least : value > most ? most : value;
    }

    /// @dev r of section 1.3.
    function inUpdateUnits(int256 aggregate) internal pure returns (int256) {
        return clamped(floored(aggregate + 2 ** 14, 2 ** 15), -32767, 32767);
    }

    /// @dev w' of section 1.4.
    function stepped(int256 w, int256 a, int256 learningRate, int256 decay, uint256 s) internal pure returns (int256) {
        int256 wide = w - floored(w * decay, 2 ** 24) + floored(a * learningRate, int256(2 ** s));
        return clamped(wide, -(2 ** 31), 2 ** 31 - 1);
    }

    function sorted(int256[] memory values) internal pure returns (int256[] memory copy) {
        copy = new int256[](values.length);
        for (uint256 i = 0; i < values.length; ++i) {
            copy[i] = values[i];
        }
        if (copy.length > 1) _sort(copy, 0, int256(copy.length) - 1);
    }

    function sumOf(int256[] memory values, uint256 from, uint256 to) internal pure returns (int256 sum) {
        for (uint256 i = from; i < to; ++i) {
            sum += values[i];
        }
    }

    function product(int256[] memory a, int256[] memory b, uint256 from, uint256 to)
        internal
        pure
        returns (int256 sum)
    {
        for (uint256 i = from; i < to; ++i) {
            sum += a[i] * b[i];
        }
    }

    /// @dev Each in so many bytes, one after the other.
    function packed(int256[] memory values, uint256 from, uint256 count, uint256 size, bool isLittle)
        internal
        pure
        returns (bytes memory data)
    {
        (uint256 lanes, uint256 mask) = (32 / size, 2 ** (8 * size) - 1); // so many in a word
        bytes32[] memory words = new bytes32[]((count + lanes - 1) / lanes);
        for (uint256 i = 0; i < count; ++i) {
            if (values[from + i] == 0) continue;
            uint256 value = uint256(values[from + i]) & mask;
            if (isLittle) value = reversed(value, size);
            words[i / lanes] |= bytes32(value << (256 - 8 * size * (1 + i % lanes)));
        }
        data = abi.encodePacked(words);
        return count % lanes == 0 ? data : firstOf(data, count * size);
    }

    function reversed(uint256 value, uint256 size) internal pure returns (uint256 result) {
        for (uint256 i = 0; i < size; ++i) {
            result = (result << 8) | (value & 0xff);
            value >>= 8;
        }
    }

    /// @dev Only its first bytes.
    function firstOf(bytes memory data, uint256 length) internal pure returns (bytes memory part) {
        part = new bytes(length);
        for (uint256 i = 0; i < length; ++i) {
            part[i] = data[i];
        }
    }

    function countOf(uint256 bitmap) internal pure returns (uint256 count) {
        for (uint256 i = 0; i < 256; ++i) {
            if ((bitmap >> i) & 1 == 1) ++count;
        }
    }

    /// @dev Quicksort.
    function _sort(int256[] memory values, int256 first, int256 last) private pure {
        (int256 i, int256 j) = (first, last);
        int256 pivot = values[uint256(first + (last - first) / 2)];
        while (i <= j) {
            while (values[uint256(i)] < pivot) {
                ++i;
            }
            while (values[uint256(j)] > pivot) {
                --j;
            }
            if (i > j) break;
            (values[uint256(i)], values[uint256(j)]) = (values[uint256(j)], values[uint256(i)]);
            ++i;
            --j;
        }
        if (first < j) _sort(values, first, j);
        if (i < last) _sort(values, i, last);
    }
}
