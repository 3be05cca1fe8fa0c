// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Integers in leaves, and the one rounding
/// @notice Coordinates are little-endian, everything else is big-endian. Twin: protocol/fixedpoint.py.
/// @dev Callers have checked the lengths: what lies past the end of the bytes would be read as zeros.
library Numbers {
    int256 private constant INT16_MAX = type(int16).max;

    /// @notice The coordinate of a row or of columns.
    function int16At(bytes calldata data, uint256 index) internal pure returns (int256) {
        unchecked {
            return toSigned(bytes2(data[index << 1:]));
        }
    }

    function toSigned(bytes2 littleEndian) internal pure returns (int256) {
        uint16 raw = uint16(littleEndian);
        return int16((raw >> 8) | (raw << 8));
    }

    /// @notice The coordinate of an aggregate or of a model.
    function int32At(bytes calldata data, uint256 index) internal pure returns (int256) {
        unchecked {
            uint32 raw = uint32(bytes4(data[index << 2:]));
            raw = ((raw & 0xff00ff00) >> 8) | ((raw & 0x00ff00ff) << 8);
            return int32((raw >> 16) | (raw << 16));
        }
    }

    /// @notice The inner product in a line of the Gram tree.
    function int64At(bytes calldata data, uint256 index) internal pure returns (int256) {
        unchecked {
            return int64(uint64(bytes8(data[index << 3:])));
        }
    }

    /// @notice a / b toward minus infinity; b > 0. Solidity's own goes toward zero.
    function floorDiv(int256 a, int256 b) internal pure returns (int256 quotient) {
        quotient = a / b;
        if (a % b < 0) --quotient;
    }

    /// @notice r: an aggregate in int16 units.
    function toInt16(int256 aggregate) internal pure returns (int256 r) {
        r = (aggregate + (1 << 14)) >> 15;
        if (r > INT16_MAX) return INT16_MAX;
        if (r < -INT16_MAX) return -INT16_MAX;
    }

    /// @notice Cut to the range of int32.
    function saturate32(int256 value) internal pure returns (int256) {
        if (value > type(int32).max) return type(int32).max;
        if (value < type(int32).min) return type(int32).min;
        return value;
    }
}
