// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Answer, IDisputes} from "../interfaces/IDisputes.sol";
import {IPredicates} from "../interfaces/IPredicates.sol";
import {Merkle} from "./Merkle.sol";
import {RoundResult, Spec} from "./Messages.sol";
import {Rulebook} from "./Rulebook.sol";
import {SignedLeaves} from "./SignedLeaves.sol";
import {Slots} from "./Slots.sol";

/// @title Which leaves can be asked for, and what answers
/// @notice Any leaf that an honest coordinator has: whatever is asked for can be answered. How long a leaf is is not
/// looked at: an answer of a wrong length is a proof (F7). A column leaf must have room for its two hashes.
library LeafRequests {
    uint8 private constant PUBLIC = 0;

    /// @notice Fails unless there is such a leaf, and everybody may see it.
    function check(
        Spec calldata spec,
        RoundResult calldata result,
        IDisputes.Tree tree,
        uint256 slot,
        uint256 index,
        uint256 slots
    ) internal pure {
        bool isOpen = tree == IDisputes.Tree.Set || tree == IDisputes.Tree.Model || spec.disclosure == PUBLIC;
        require(isOpen, IDisputes.NotDisclosed(spec.disclosure));
        if (tree == IDisputes.Tree.Row) require(Slots.has(result.counted, slot), IPredicates.NotCounted(slot));
        (, uint256 size) = _rootOf(spec, result, tree, slots);
        require(index < size, IPredicates.NoSuchLeaf(size, index));
    }

    /// @notice Fails unless the answer is the leaf that was asked for.
    function checkAnswer(
        Spec calldata spec,
        RoundResult calldata result,
        IDisputes.Tree tree,
        uint256 slot,
        uint256 index,
        Answer calldata answer,
        uint256 slots
    ) internal pure {
        (bytes32 root, uint256 size) = _rootOf(spec, result, tree, slots);
        if (tree == IDisputes.Tree.Row) {
            require(answer.set.slot == slot, IPredicates.NotCounted(answer.set.slot));
            uint256 length = answer.set.data.length;
            require(length == SignedLeaves.LENGTH, IPredicates.WrongLength(SignedLeaves.LENGTH, length));
            Merkle.check(result.setRoot, Merkle.SET, slot, slots, answer.set.data, answer.set.path);
            root = bytes32(answer.set.data);
        } else {
            _checkEmpty(answer.set.data.length + answer.set.path.length);
        }
        Merkle.check(root, uint8(tree), index, size, answer.data, answer.path);
        if (tree == IDisputes.Tree.Column) {
            require(answer.data.length >= 64, IPredicates.WrongLength(64, answer.data.length));
            _checkPreimage(bytes32(answer.data), answer.columns);
            _checkPreimage(bytes32(answer.data[32:]), answer.totals);
        } else {
            _checkEmpty(answer.columns.length + answer.totals.length);
        }
    }

    /// @dev What an answer does not need has no place in the event.
    function _checkEmpty(uint256 length) private pure {
        require(length == 0, IPredicates.WrongLength(0, length));
    }

    function _checkPreimage(bytes32 expected, bytes calldata preimage) private pure {
        bytes32 actual = sha256(preimage);
        require(actual == expected, IPredicates.WrongPreimage(expected, actual));
    }

    /// @return root Of a row it is in the set leaf.
    /// @return size Number of leaves.
    function _rootOf(Spec calldata spec, RoundResult calldata result, IDisputes.Tree tree, uint256 slots)
        private
        pure
        returns (bytes32 root, uint256 size)
    {
        uint256 d = spec.dimension;
        if (tree == IDisputes.Tree.Set) return (result.setRoot, slots);
        if (tree == IDisputes.Tree.Row) return (bytes32(0), (d + (Merkle.ROW_LEAF - 1)) / Merkle.ROW_LEAF);
        if (tree == IDisputes.Tree.Model) return (result.newModel, (d + (Merkle.ROW_LEAF - 1)) / Merkle.ROW_LEAF);
        if (tree == IDisputes.Tree.Column) return (result.columnRoot, (d + (Merkle.COLUMN_LEAF - 1)) / Merkle.COLUMN_LEAF);
        require(tree == IDisputes.Tree.Gram && Rulebook.isSelecting(spec.rule), IDisputes.NoSuchTree(tree));
        uint256 k = Slots.count(result.counted);
        return (result.gramRoot, k * ((d + (Merkle.GRAM_CHUNK - 1)) / Merkle.GRAM_CHUNK));
    }
}
