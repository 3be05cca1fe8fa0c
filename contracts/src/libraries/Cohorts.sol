// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The participants of a round
/// @notice Twins: protocol/seeds.py and cohort_hash of protocol/messages.py.
library Cohorts {
    uint256 internal constant MAX_SLOTS = 256; // bitmaps of a result are one word

    /// @notice SHA-256(federation || round as 8 bytes || previous result): nobody chooses it.
    function seedOf(bytes32 federation, uint64 round, bytes32 previous) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(federation, round, previous));
    }

    /// @notice Those of the registered whose SHA-256(seed || address) is at most the cut, in the same order.
    /// @param size How many there must be; the result is right only if as many are found.
    function sample(address[] calldata registered, bytes32 seed, bytes32 cut, uint256 size)
        internal
        pure
        returns (address[] memory cohort, uint256 found)
    {
        cohort = new address[](size);
        for (uint256 i = 0; i < registered.length; ++i) {
            if (sha256(abi.encodePacked(seed, registered[i])) > cut) continue;
            if (found < size) cohort[found] = registered[i];
            ++found;
        }
    }

    /// @notice keccak256 of the addresses, 20 bytes each (encodePacked of an array would pad each to 32).
    /// @dev Sixteen at a time, so that what is packed already is copied seldom.
    function hash(address[] memory cohort) internal pure returns (bytes32) {
        bytes memory packed;
        uint256 i = 0;
        for (; i + 16 <= cohort.length; i += 16) {
            packed = bytes.concat(
                packed, _four(cohort, i), _four(cohort, i + 4), _four(cohort, i + 8), _four(cohort, i + 12)
            );
        }
        for (; i + 4 <= cohort.length; i += 4) {
            packed = bytes.concat(packed, _four(cohort, i));
        }
        for (; i < cohort.length; ++i) {
            packed = abi.encodePacked(packed, cohort[i]);
        }
        return keccak256(packed);
    }

    /// @dev Unchecked: the index is below 256.
    function _four(address[] memory cohort, uint256 i) private pure returns (bytes memory) {
        unchecked {
            return abi.encodePacked(cohort[i], cohort[i + 1], cohort[i + 2], cohort[i + 3]);
        }
    }
}
