// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IPredicates} from "../interfaces/IPredicates.sol";

/// @title Merkle trees of RFC 9162 over SHA-256, with a byte in every leaf that says which of the five trees it is of
/// @notice Twins: protocol/merkle.py, protocol/trees.py. Spec: docs/protocol.md section 3.
library Merkle {
    uint8 internal constant ROW = 1;
    uint8 internal constant SET = 2;
    uint8 internal constant COLUMN = 3;
    uint8 internal constant GRAM = 4;
    uint8 internal constant MODEL = 5;

    uint256 internal constant ROW_LEAF = 256; // coordinates in a leaf of a row or model tree
    uint256 internal constant COLUMN_LEAF = 16; // coordinates in a leaf of the column tree
    uint256 internal constant GRAM_CHUNK = 4096; // coordinates by which inner products grow

    function leafHash(uint8 kind, bytes memory data) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(uint8(0), kind, data));
    }

    function nodeHash(bytes32 left, bytes32 right) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(uint8(1), left, right));
    }

    /// @notice Fails unless the path leads from the leaf at `index` of `size` leaves to the root.
    function check(bytes32 root, uint8 kind, uint256 index, uint256 size, bytes memory data, bytes32[] calldata path)
        internal
        pure
    {
        checkNode(root, index, size, leafHash(kind, data), path);
    }

    /// @dev RFC 9162, section 2.1.3.2: the length of the path follows from index and size, nothing may be left of it.
    function checkNode(bytes32 root, uint256 index, uint256 size, bytes32 node, bytes32[] calldata path)
        internal
        pure
    {
        require(index < size, IPredicates.NoSuchLeaf(size, index));
        uint256 used = 0;
        unchecked {
            // size is above index, and a path of at most 256 nodes is used
            for (uint256 last = size - 1; last != 0; last >>= 1) {
                if (index & 1 == 1 || index != last) {
                    require(used < path.length, IPredicates.WrongPathLength(used + 1, path.length));
                    bytes32 sibling = path[used++];
                    node = index & 1 == 1 ? nodeHash(sibling, node) : nodeHash(node, sibling);
                }
                index >>= 1;
            }
        }
        require(used == path.length, IPredicates.WrongPathLength(used, path.length));
        require(node == root, IPredicates.WrongRoot(root, node));
    }

    /// @notice Root over leaf hashes, which are overwritten; at least one.
    /// @dev Pairing neighbours level by level and carrying an odd last one up is the split at the largest power of two.
    function rootOf(bytes32[] memory level) internal pure returns (bytes32) {
        uint256 count = level.length;
        while (count > 1) {
            uint256 pairs = count >> 1;
            for (uint256 i = 0; i < pairs; ++i) {
                level[i] = nodeHash(level[2 * i], level[2 * i + 1]);
            }
            if (count & 1 == 1) level[pairs] = level[count - 1];
            count -= pairs;
        }
        return level[0];
    }
}
