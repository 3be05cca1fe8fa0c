// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Merkle trees as RFC 9162 defines them, section 2.1: by recursion, without a thought for gas
library Trees {
    function leafHash(uint256 kind, bytes memory data) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(uint8(0), uint8(kind), data));
    }

    function rootOf(bytes32[] memory hashes) internal pure returns (bytes32) {
        return rootOf(hashes, 0, hashes.length);
    }

    /// @dev MTH of the leaves from..to-1.
    function rootOf(bytes32[] memory hashes, uint256 from, uint256 to) internal pure returns (bytes32) {
        if (to - from == 1) return hashes[from];
        uint256 split = from + splitOf(to - from);
        return sha256(abi.encodePacked(uint8(1), rootOf(hashes, from, split), rootOf(hashes, split, to)));
    }

    /// @dev PATH(index, leaves): the siblings, from the leaf upwards.
    function pathOf(bytes32[] memory hashes, uint256 index) internal pure returns (bytes32[] memory path) {
        bytes32[] memory down = new bytes32[](64);
        (uint256 from, uint256 to, uint256 length) = (0, hashes.length, 0);
        while (to - from > 1) {
            uint256 split = from + splitOf(to - from);
            bool isLeft = index < split;
            down[length++] = isLeft ? rootOf(hashes, split, to) : rootOf(hashes, from, split);
            if (isLeft) to = split;
            else from = split;
        }
        path = new bytes32[](length);
        for (uint256 i = 0; i < length; ++i) {
            path[i] = down[length - 1 - i];
        }
    }

    /// @dev The largest power of two below n.
    function splitOf(uint256 n) internal pure returns (uint256 split) {
        split = 1;
        while (2 * split < n) {
            split *= 2;
        }
    }

    function hashesOf(uint256 kind, bytes[] memory leaves) internal pure returns (bytes32[] memory hashes) {
        hashes = new bytes32[](leaves.length);
        for (uint256 i = 0; i < leaves.length; ++i) {
            hashes[i] = leafHash(kind, leaves[i]);
        }
    }

    function rootOf(uint256 kind, bytes[] memory leaves) internal pure returns (bytes32) {
        return rootOf(hashesOf(kind, leaves));
    }

    function pathOf(uint256 kind, bytes[] memory leaves, uint256 index) internal pure returns (bytes32[] memory) {
        return pathOf(hashesOf(kind, leaves), index);
    }
}
