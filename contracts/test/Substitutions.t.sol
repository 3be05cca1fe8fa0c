// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IColumnPredicates} from "../src/interfaces/IColumnPredicates.sol";
import {IDisputes} from "../src/interfaces/IDisputes.sol";
import {IGramPredicates} from "../src/interfaces/IGramPredicates.sol";
import {Column, GramLine, IPredicates, Leaf, RowChunk, SetLeaf, Sums} from "../src/interfaces/IPredicates.sol";
import {ISetPredicates} from "../src/interfaces/ISetPredicates.sol";
import {Openings} from "./Openings.sol";
import {Trees} from "./Trees.sol";

/// @title Each part of a proof is the right one, or the proof is none: here one is another's, correctly opened
contract SubstitutionsTest is Openings {
    IDisputes.Family internal constant SET = IDisputes.Family.Set;
    IDisputes.Family internal constant COLUMN = IDisputes.Family.Column;
    IDisputes.Family internal constant GRAM = IDisputes.Family.Gram;

    /// @dev Five slots of which the second is not counted; three leaves of a row, 38 of the column tree.
    function fiveSlots(uint8 rule) private returns (Whole memory w) {
        w = honest(Shape({seed: 31, rule: rule, n: 5, counted: 29, f: 0, m: 2, d: 600}));
        commit(w);
    }

    function test_F1_a_row_leaf_elsewhere() public {
        Whole memory w = fiveSlots(3);
        bytes[] memory row = w.rowLeaves[2];
        bytes memory proof = columnDiffers(w, 3, row[1], Trees.pathOf(1, row, 1), setOf(w, 2));
        fails(COLUMN, proof, IPredicates.WrongRoot.selector);
        row = w.rowLeaves[3];
        proof = columnDiffers(w, 3, row[0], Trees.pathOf(1, row, 0), setOf(w, 2));
        fails(COLUMN, proof, IPredicates.WrongRoot.selector);
        proof = columnDiffers(w, 3, row[0], Trees.pathOf(1, row, 0), setOf(w, 1));
        fails(COLUMN, proof, IPredicates.NotCounted.selector);
        SetLeaf memory set = setOf(w, 3);
        set.slot = 2;
        proof = columnDiffers(w, 3, row[0], Trees.pathOf(1, row, 0), set);
        fails(COLUMN, proof, IPredicates.WrongRoot.selector);
        set.slot = 256 + 3; // past the bitmap
        proof = columnDiffers(w, 3, row[0], Trees.pathOf(1, row, 0), set);
        fails(COLUMN, proof, IPredicates.NotCounted.selector);
    }

    function test_F2_a_coordinate_or_outcomes_elsewhere() public {
        Whole memory w = fiveSlots(2);
        Column memory column = columnOf(w, 3);
        bytes memory proof = aggregateDiffers(w, column, 16, w.round.outcomes);
        fails(COLUMN, proof, IPredicates.NoSuchCoordinate.selector);
        proof = aggregateDiffers(w, column, 0, bytes.concat(w.round.outcomes, bytes32(0)));
        fails(COLUMN, proof, IPredicates.OtherOutcomes.selector);
        column.index = 4;
        proof = aggregateDiffers(w, column, 0, w.round.outcomes);
        fails(COLUMN, proof, IPredicates.WrongRoot.selector);
        column.index = 38;
        proof = aggregateDiffers(w, column, 0, w.round.outcomes);
        fails(COLUMN, proof, IPredicates.NoSuchLeaf.selector);
        column = columnOf(w, 3);
        column.columns = w.columnParts[4];
        proof = aggregateDiffers(w, column, 0, w.round.outcomes);
        fails(COLUMN, proof, IPredicates.WrongRoot.selector);
        column.columns = bytes.concat(w.columnParts[3], bytes32(0));
        proof = aggregateDiffers(w, column, 0, w.round.outcomes);
        fails(COLUMN, proof, IPredicates.WrongLength.selector);
    }

    function test_F4_totals_elsewhere() public {
        Whole memory w = fiveSlots(4);
        Column memory column = columnOf(w, 3);
        bytes memory own = w.totalParts[3];
        fails(COLUMN, totalDiffers(w, column, own, sumsOf(w, 1), 2), IPredicates.NoSuchLeaf.selector);
        fails(COLUMN, totalDiffers(w, column, own, sumsOf(w, 3), 2), IPredicates.NoSuchLeaf.selector);
        fails(COLUMN, totalDiffers(w, column, own, sumsOf(w, 2), 1), IPredicates.NotCounted.selector);
        fails(COLUMN, totalDiffers(w, column, own, sumsOf(w, 2), 256 + 2), IPredicates.NotCounted.selector);
        bytes memory others = w.totalParts[2];
        fails(COLUMN, totalDiffers(w, column, others, sumsOf(w, 2), 2), IPredicates.WrongPreimage.selector);
        Sums memory before = sumsOf(w, 1);
        before.index = 2;
        fails(COLUMN, totalDiffers(w, column, own, before, 2), IPredicates.WrongRoot.selector);
        fails(COLUMN, outcomeDiffers(w, sumsOf(w, 36), w.round.outcomes, 2), IPredicates.NoSuchLeaf.selector);
        fails(COLUMN, outcomeDiffers(w, sumsOf(w, 37), w.round.outcomes, 1), IPredicates.NotCounted.selector);
        others = bytes.concat(bytes32(0), w.round.outcomes);
        fails(COLUMN, outcomeDiffers(w, sumsOf(w, 37), others, 2), IPredicates.OtherOutcomes.selector);
    }

    function test_F5_a_weight_elsewhere() public {
        Whole memory w = fiveSlots(2);
        w.round.outcomes = bytes.concat(bytes32(0), w.round.outcomes);
        fails(COLUMN, weightDiffers(w, 2), IPredicates.OtherOutcomes.selector);
        fails(SET, setLeafDiffers(w, 2), IPredicates.OtherOutcomes.selector);
    }

    function test_F6_a_model_leaf_elsewhere() public {
        Whole memory w = fiveSlots(1);
        Leaf memory column = leafOf(3, w.columnLeaves, 3);
        (Leaf memory base, Leaf memory next) = (leafOf(5, w.baseLeaves, 0), leafOf(5, w.nextLeaves, 0));
        fails(COLUMN, modelDiffers(w, column, 16, base, next), IPredicates.NoSuchCoordinate.selector);
        fails(COLUMN, modelDiffers(w, column, 0, next, base), IPredicates.WrongRoot.selector);
        Leaf memory other = leafOf(5, w.nextLeaves, 1);
        fails(COLUMN, modelDiffers(w, column, 0, base, other), IPredicates.NoSuchLeaf.selector);
        other.index = 0;
        fails(COLUMN, modelDiffers(w, column, 0, base, other), IPredicates.WrongRoot.selector);
        other = leafOf(5, w.baseLeaves, 1);
        fails(COLUMN, modelDiffers(w, column, 0, other, next), IPredicates.NoSuchLeaf.selector);
        other.index = 0;
        fails(COLUMN, modelDiffers(w, column, 0, other, next), IPredicates.WrongRoot.selector);
        other = leafOf(5, w.nextLeaves, 2);
        bytes memory proof =
            abi.encodeCall(IColumnPredicates.modelPaddingDiffers, (w.round.spec, w.round.result, other, 256));
        fails(COLUMN, proof, IPredicates.NoSuchCoordinate.selector);
    }

    /// @dev Columns and totals have not the same length, and each is right only as itself.
    function test_F7_a_preimage_of_the_other_part() public {
        Whole memory w = fiveSlots(1);
        (w.columnParts, w.totalParts) = (w.totalParts, w.columnParts);
        fails(COLUMN, preimageMalformed(w, 3, true), IPredicates.WrongPreimage.selector);
        fails(COLUMN, preimageMalformed(w, 3, false), IPredicates.WrongPreimage.selector);
    }

    function test_F7_a_row_leaf_elsewhere() public {
        Whole memory w = fiveSlots(1);
        Leaf memory row = leafOf(1, w.rowLeaves[2], 0);
        fails(SET, rowMalformed(w, setOf(w, 2), row, 256), IPredicates.NoSuchCoordinate.selector);
        row.index = 2; // where the padding is
        fails(SET, rowMalformed(w, setOf(w, 2), row, 255), IPredicates.WrongPathLength.selector);
        row.index = 3;
        fails(SET, rowMalformed(w, setOf(w, 2), row, 0), IPredicates.NoSuchLeaf.selector);
        row.index = 0;
        fails(SET, rowMalformed(w, setOf(w, 3), row, 0), IPredicates.WrongRoot.selector);
        fails(SET, rowMalformed(w, setOf(w, 1), row, 0), IPredicates.NotCounted.selector);
    }

    /// @dev Three chunks, the last of one leaf: what belongs to one does not pass in another.
    function test_F4_F5_lines_and_rows_of_another_chunk() public {
        Whole memory w = thin(Shape({seed: 32, rule: 6, n: 4, counted: 13, f: 0, m: 1, d: 8200}));
        commit(w);
        (GramLine memory line, GramLine memory before) = (lineOf(w, 1, 2), lineOf(w, 0, 2));
        (RowChunk memory left, RowChunk memory right) = (rowChunkOf(w, 1, 2), rowChunkOf(w, 1, 3));
        fails(GRAM, productDiffers(w, 1, line, before, left, right), IPredicates.NotRefuted.selector);
        fails(GRAM, productDiffers(w, 2, line, before, left, right), IPredicates.WrongRoot.selector);
        fails(GRAM, productDiffers(w, 1, line, lineOf(w, 0, 3), left, right), IPredicates.NotCounted.selector);
        fails(GRAM, productDiffers(w, 1, line, lineOf(w, 1, 2), left, right), IPredicates.WrongRoot.selector);
        fails(GRAM, productDiffers(w, 1, line, before, right, left), IPredicates.NotCounted.selector);
        RowChunk memory other = rowChunkOf(w, 0, 2);
        fails(GRAM, productDiffers(w, 1, line, before, other, right), IPredicates.WrongRoot.selector);
        fails(GRAM, productDiffers(w, 1, line, before, left, rowChunkOf(w, 0, 3)), IPredicates.WrongRoot.selector);
        other = rowChunkOf(w, 2, 2);
        fails(GRAM, productDiffers(w, 1, line, before, other, right), IPredicates.WrongLength.selector);
        other = rowChunkOf(w, 1, 3);
        other.set = left.set;
        fails(GRAM, productDiffers(w, 1, line, before, other, right), IPredicates.WrongRoot.selector);
        other = rowChunkOf(w, 1, 3);
        other.set.slots = 3; // as another size would have it, if there were such a path
        fails(GRAM, productDiffers(w, 1, line, before, left, other), IPredicates.NoSuchLeaf.selector);
        line.slot = 1;
        fails(GRAM, productDiffers(w, 1, line, before, left, right), IPredicates.NotCounted.selector);
        line.slot = 0;
        left.set.slot = 0;
        fails(GRAM, productDiffers(w, 1, line, before, left, right), IPredicates.WrongRoot.selector);
        line = lineOf(w, 1, 2);
        fails(GRAM, normsDiffer(w, line, line), IPredicates.WrongRoot.selector);
        fails(GRAM, selectionDiffers(w, line, line), IPredicates.WrongRoot.selector);
        fails(GRAM, productsDiffer(w, 1, line, before), IPredicates.WrongRoot.selector);
        fails(GRAM, productsDiffer(w, 3, line, line), IPredicates.NoSuchLeaf.selector);
    }

    /// @dev A set leaf of one size of cohort and one of another: the finding has room for one.
    function test_F4_two_sizes_of_the_cohort() public {
        Whole memory w = honest(Shape({seed: 33, rule: 5, n: 7, counted: 127, f: 0, m: 0, d: 20}));
        commit(w);
        (RowChunk memory left, RowChunk memory right) = (rowChunkOf(w, 0, 2), rowChunkOf(w, 0, 6));
        (right.set.slot, right.set.slots) = (3, 4); // the seventh of seven has the path of the fourth of four
        bytes memory proof = productDiffers(w, 0, lineOf(w, 0, 2), lineOf(w, 0, 2), left, right);
        harmless(w, GRAM, proof);
        fails(GRAM, proof, IPredicates.OtherSlots.selector);
    }

    /// @dev The spec is the one that the result names, and the result the proposed one: 25 words, then 13.
    function test_no_word_of_spec_or_result_may_be_another() public {
        Whole memory w = honest(Shape({seed: 34, rule: 1, n: 2, counted: 3, f: 0, m: 0, d: 3}));
        w.aggregate[0] += 1;
        from(w, Step.Total);
        encode(w);
        commit(w);
        bytes memory proof = aggregateDiffers(w, 0);
        shows(w, COLUMN, proof, 2, true);
        for (uint256 at = 4; at < 4 + 32 * 38; ++at) {
            bytes1 bits = bytes1(uint8(1 << (at % 8)));
            proof[at] ^= bits;
            harmless(w, COLUMN, proof);
            proof[at] ^= bits;
        }
    }

    function columnDiffers(Whole memory w, uint256 leaf, bytes memory row, bytes32[] memory path, SetLeaf memory set)
        private
        pure
        returns (bytes memory)
    {
        return abi.encodeCall(
            IColumnPredicates.columnDiffers, (w.round.spec, w.round.result, columnOf(w, leaf), set, row, path)
        );
    }

    function aggregateDiffers(Whole memory w, Column memory column, uint256 lane, bytes memory outcomes)
        private
        pure
        returns (bytes memory)
    {
        return abi.encodeCall(
            IColumnPredicates.aggregateDiffers, (w.round.spec, w.round.result, column, lane, 0, 0, outcomes)
        );
    }

    function totalDiffers(Whole memory w, Column memory column, bytes memory own, Sums memory before, uint256 slot)
        private
        pure
        returns (bytes memory)
    {
        return abi.encodeCall(
            IColumnPredicates.totalDiffers, (w.round.spec, w.round.result, column, own, before, slot)
        );
    }

    function outcomeDiffers(Whole memory w, Sums memory last, bytes memory outcomes, uint256 slot)
        private
        pure
        returns (bytes memory)
    {
        return abi.encodeCall(
            IColumnPredicates.outcomeDiffers, (w.round.spec, w.round.result, last, outcomes, slot)
        );
    }

    function modelDiffers(Whole memory w, Leaf memory column, uint256 lane, Leaf memory base, Leaf memory next)
        private
        pure
        returns (bytes memory)
    {
        return abi.encodeCall(
            IColumnPredicates.modelDiffers, (w.round.spec, w.round.result, column, lane, base, next)
        );
    }

    function rowMalformed(Whole memory w, SetLeaf memory set, Leaf memory row, uint256 lane)
        private
        pure
        returns (bytes memory)
    {
        return abi.encodeCall(ISetPredicates.rowMalformed, (w.round.spec, w.round.result, set, row, lane));
    }

    function productDiffers(
        Whole memory w,
        uint256 chunk,
        GramLine memory line,
        GramLine memory before,
        RowChunk memory left,
        RowChunk memory right
    ) private pure returns (bytes memory) {
        return abi.encodeCall(
            IGramPredicates.productDiffers, (w.round.spec, w.round.result, chunk, line, before, left, right)
        );
    }

    function productsDiffer(Whole memory w, uint256 chunk, GramLine memory one, GramLine memory other)
        private
        pure
        returns (bytes memory)
    {
        return abi.encodeCall(
            IGramPredicates.productsDiffer, (w.round.spec, w.round.result, chunk, one, other)
        );
    }

    function normsDiffer(Whole memory w, GramLine memory one, GramLine memory other)
        private
        pure
        returns (bytes memory)
    {
        return abi.encodeCall(
            IGramPredicates.normsDiffer, (w.round.spec, w.round.result, w.round.outcomes, one, other)
        );
    }

    function selectionDiffers(Whole memory w, GramLine memory one, GramLine memory other)
        private
        pure
        returns (bytes memory)
    {
        return abi.encodeCall(
            IGramPredicates.selectionDiffers, (w.round.spec, w.round.result, w.round.outcomes, one, other, 0, 0)
        );
    }
}
