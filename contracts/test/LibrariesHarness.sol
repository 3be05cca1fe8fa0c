// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Merkle} from "../src/libraries/Merkle.sol";
import {Numbers} from "../src/libraries/Numbers.sol";
import {Ranks} from "../src/libraries/Ranks.sol";

/// @title What predicates are made of, behind functions of their own
contract LibrariesHarness {
    function check(bytes32 root, uint8 kind, uint256 index, uint256 size, bytes calldata data, bytes32[] calldata path)
        external
        pure
    {
        Merkle.check(root, kind, index, size, data, path);
    }

    function checkNode(bytes32 root, uint256 index, uint256 size, bytes32 node, bytes32[] calldata path)
        external
        pure
    {
        Merkle.checkNode(root, index, size, node, path);
    }

    function rootOf(bytes32[] calldata hashes) external pure returns (bytes32) {
        return Merkle.rootOf(hashes);
    }

    function int16At(bytes calldata data, uint256 index) external pure returns (int256) {
        return Numbers.int16At(data, index);
    }

    function int32At(bytes calldata data, uint256 index) external pure returns (int256) {
        return Numbers.int32At(data, index);
    }

    function int64At(bytes calldata data, uint256 index) external pure returns (int256) {
        return Numbers.int64At(data, index);
    }

    function floorDiv(int256 a, int256 b) external pure returns (int256) {
        return Numbers.floorDiv(a, b);
    }

    function toInt16(int256 aggregate) external pure returns (int256) {
        return Numbers.toInt16(aggregate);
    }

    function saturate32(int256 value) external pure returns (int256) {
        return Numbers.saturate32(value);
    }

    function checkRank(bytes calldata columns, uint256 lane, int256 value, uint256 rank) external pure {
        Ranks.check(columns, lane, value, rank);
    }

    function isBetween(bytes calldata columns, uint256 lane, int256 value, uint256 first, uint256 last)
        external
        pure
        returns (bool)
    {
        return Ranks.isBetween(columns, lane, value, first, last);
    }

    function sumBetween(bytes calldata columns, uint256 lane, int256 low, int256 high, uint256 first, uint256 last)
        external
        pure
        returns (int256)
    {
        return Ranks.sumBetween(columns, lane, low, high, first, last);
    }
}
