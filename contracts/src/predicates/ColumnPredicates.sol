// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IColumnPredicates} from "../interfaces/IColumnPredicates.sol";
import {Column, Finding, Leaf, SetLeaf, Sums} from "../interfaces/IPredicates.sol";
import {IRoundLedger} from "../interfaces/IRoundLedger.sol";
import {Merkle} from "../libraries/Merkle.sol";
import {RoundResult, Spec} from "../libraries/Messages.sol";
import {Numbers} from "../libraries/Numbers.sol";
import {Outcomes} from "../libraries/Outcomes.sol";
import {Ranks} from "../libraries/Ranks.sol";
import {Rulebook} from "../libraries/Rulebook.sol";
import {Slots} from "../libraries/Slots.sol";
import {Predicates} from "./Predicates.sol";

/// @title What column and model trees show
contract ColumnPredicates is IColumnPredicates, Predicates {
    uint256 private constant COLUMN_BYTES = 2 * LANES; // of one slot
    uint256 private constant TOTALS_BYTES = 4 + 8 + 8; // of one slot
    uint256 private constant AGGREGATE_BYTES = 4 * LANES;
    uint256 private constant LEAF_BYTES = 32 + 32 + AGGREGATE_BYTES;
    uint256 private constant MODEL_BYTES = 4 * ROW_LEAF;

    constructor(address ledger_) Predicates(ledger_) {}

    /// @inheritdoc IColumnPredicates
    function columnDiffers(
        Spec calldata spec,
        RoundResult calldata result,
        Column calldata column,
        SetLeaf calldata set,
        bytes calldata row,
        bytes32[] calldata rowPath
    ) external pure returns (Finding memory) {
        _checkRefutable(spec);
        _checkColumn(spec, result, column);
        bytes32 root = _checkCounted(result, set);
        _checkLength(ROW_BYTES, row.length);
        uint256 size = _pieces(spec.dimension, ROW_LEAF);
        Merkle.check(root, Merkle.ROW, column.index / LANES, size, row, rowPath);
        uint256 place = Slots.placeOf(result.counted, set.slot);
        bytes32 expected = bytes32(row[(column.index % LANES) * COLUMN_BYTES:]);
        _need(bytes32(column.columns[place * COLUMN_BYTES:]) != expected);
        return _finding(1, true, spec, result, set.slots);
    }

    /// @inheritdoc IColumnPredicates
    function aggregateDiffers(
        Spec calldata spec,
        RoundResult calldata result,
        Column calldata column,
        uint256 coordinate,
        int16 low,
        int16 high,
        bytes calldata outcomes
    ) external pure returns (Finding memory) {
        _checkRefutable(spec);
        _checkColumn(spec, result, column);
        _checkCoordinate(LANES, coordinate);
        int256 expected = 0; // past the dimension
        if (column.index * LANES + coordinate < spec.dimension) {
            expected = _aggregateOf(spec, result, column.columns, coordinate, low, high, outcomes);
        }
        _need(Numbers.int32At(column.aggregate, coordinate) != expected);
        return _finding(2, true, spec, result, 0);
    }

    /// @inheritdoc IColumnPredicates
    function totalDiffers(
        Spec calldata spec,
        RoundResult calldata result,
        Column calldata column,
        bytes calldata totals,
        Sums calldata before,
        uint256 slot
    ) external pure returns (Finding memory) {
        _checkRefutable(spec);
        require(Slots.has(result.counted, slot), NotCounted(slot));
        _checkColumn(spec, result, column);
        uint256 length = TOTALS_BYTES * Slots.count(result.counted);
        _checkLength(length, totals.length);
        require(sha256(totals) == column.totals, WrongPreimage(column.totals, sha256(totals)));
        uint256 at = TOTALS_BYTES * Slots.placeOf(result.counted, slot);
        bytes20 last = 0;
        if (column.index != 0) {
            require(before.index == column.index - 1, NoSuchLeaf(column.index, before.index));
            _checkSums(spec, result, before);
            last = bytes20(before.totals[at:]);
        }
        _need(bytes20(totals[at:]) != _add(spec, result, column, slot, last));
        return _finding(4, true, spec, result, 0);
    }

    /// @inheritdoc IColumnPredicates
    function outcomeDiffers(
        Spec calldata spec,
        RoundResult calldata result,
        Sums calldata last,
        bytes calldata outcomes,
        uint256 slot
    ) external pure returns (Finding memory) {
        _checkRefutable(spec);
        require(Slots.has(result.counted, slot), NotCounted(slot));
        _checkOutcomes(result, outcomes);
        uint256 leaves = _leaves(spec);
        require(last.index == leaves - 1, NoSuchLeaf(leaves, last.index));
        _checkSums(spec, result, last);
        uint256 at = TOTALS_BYTES * Slots.placeOf(result.counted, slot);
        uint160 stated = uint160(_wordOf(outcomes, slot) >> 72); // kept, deviation, alignment
        _need(stated != uint160(bytes20(last.totals[at:])));
        return _finding(4, true, spec, result, 0);
    }

    /// @inheritdoc IColumnPredicates
    function weightDiffers(
        Spec calldata spec,
        RoundResult calldata result,
        bytes calldata outcomes,
        SetLeaf calldata set
    ) external pure returns (Finding memory) {
        _checkRefutable(spec);
        _checkOutcomes(result, outcomes);
        _checkCounted(result, set);
        uint256 expected = 0;
        if (spec.rule == Rulebook.WEIGHTED_MEAN) {
            expected = _samplesOf(set);
            if (expected > spec.weightCap) expected = spec.weightCap;
        }
        _need(Outcomes.weightOf(_wordOf(outcomes, set.slot)) != expected);
        return _finding(5, true, spec, result, set.slots);
    }

    /// @inheritdoc IColumnPredicates
    function modelDiffers(
        Spec calldata spec,
        RoundResult calldata result,
        Leaf calldata column,
        uint256 coordinate,
        Leaf calldata base,
        Leaf calldata next
    ) external view returns (Finding memory) {
        _checkStep(spec);
        _checkLength(LEAF_BYTES, column.data.length);
        _checkColumnLeaf(spec, result, column.index, column.data, column.path);
        _checkCoordinate(LANES, coordinate);
        uint256 index = column.index / LANES;
        _checkModel(spec, spec.baseModel, base, index);
        _checkModel(spec, result.newModel, next, index);
        uint256 place = (column.index % LANES) * LANES + coordinate;
        int256 expected = 0; // past the dimension
        if (index * ROW_LEAF + place < spec.dimension) {
            int256 aggregate = Numbers.int32At(column.data[64:], coordinate);
            expected = _step(spec, Numbers.int32At(base.data, place), aggregate);
        }
        _need(Numbers.int32At(next.data, place) != expected);
        return _finding(6, true, spec, result, 0);
    }

    /// @inheritdoc IColumnPredicates
    function modelPaddingDiffers(
        Spec calldata spec,
        RoundResult calldata result,
        Leaf calldata next,
        uint256 coordinate
    ) external pure returns (Finding memory) {
        _checkStep(spec);
        _checkModel(spec, result.newModel, next, next.index);
        _checkCoordinate(ROW_LEAF, coordinate);
        _need(next.index * ROW_LEAF + coordinate >= spec.dimension && Numbers.int32At(next.data, coordinate) != 0);
        return _finding(6, true, spec, result, 0);
    }

    /// @inheritdoc IColumnPredicates
    function columnMalformed(Spec calldata spec, RoundResult calldata result, Leaf calldata column)
        external
        pure
        returns (Finding memory)
    {
        _checkRefutable(spec);
        _checkColumnLeaf(spec, result, column.index, column.data, column.path);
        _need(column.data.length != LEAF_BYTES);
        return _finding(7, true, spec, result, 0);
    }

    /// @inheritdoc IColumnPredicates
    function preimageMalformed(
        Spec calldata spec,
        RoundResult calldata result,
        Leaf calldata column,
        bool isTotals,
        bytes calldata preimage
    ) external pure returns (Finding memory) {
        _checkRefutable(spec);
        _checkLength(LEAF_BYTES, column.data.length);
        _checkColumnLeaf(spec, result, column.index, column.data, column.path);
        bytes32 stated = bytes32(column.data[isTotals ? 32 : 0:]);
        bytes32 actual = sha256(preimage);
        require(actual == stated, WrongPreimage(stated, actual));
        uint256 expected = (isTotals ? TOTALS_BYTES : COLUMN_BYTES) * Slots.count(result.counted);
        _need(preimage.length != expected);
        return _finding(7, true, spec, result, 0);
    }

    /// @inheritdoc IColumnPredicates
    function modelMalformed(Spec calldata spec, RoundResult calldata result, Leaf calldata next)
        external
        pure
        returns (Finding memory)
    {
        _checkRefutable(spec);
        uint256 size = _pieces(spec.dimension, ROW_LEAF);
        Merkle.check(result.newModel, Merkle.MODEL, next.index, size, next.data, next.path);
        _need(next.data.length != MODEL_BYTES);
        return _finding(7, true, spec, result, 0);
    }

    /// @dev w - floorDiv(w * decay, 2^24) + floorDiv(a * lr, 2^s), saturated. Shifts of signed numbers floor; the
    /// enclave refuses specs whose s is not within 0..62.
    function _step(Spec calldata spec, int256 base, int256 aggregate) private view returns (int256) {
        int256 shift = 31 + int256(IRoundLedger(_ledger).modelExponent()) - spec.exponent;
        require(shift >= 0 && shift <= 62, NotRefutable(spec.rule, spec.optimizer));
        int256 decayed = base - ((base * int256(uint256(spec.decay))) >> 24);
        return Numbers.saturate32(decayed + ((aggregate * int256(uint256(spec.learningRate))) >> uint256(shift)));
    }

    /// @dev What the rule makes of one column.
    function _aggregateOf(
        Spec calldata spec,
        RoundResult calldata result,
        bytes calldata columns,
        uint256 coordinate,
        int16 low,
        int16 high,
        bytes calldata outcomes
    ) private pure returns (int256) {
        uint256 k = columns.length / COLUMN_BYTES;
        if (spec.rule == Rulebook.MEDIAN) {
            Ranks.check(columns, coordinate, low, (k - 1) / 2);
            Ranks.check(columns, coordinate, high, k / 2);
            return (int256(low) + high) << 14;
        }
        if (spec.rule == Rulebook.TRIMMED_MEAN) {
            int256 sum = Ranks.sumBetween(columns, coordinate, low, high, spec.f, k - spec.f - 1);
            return Numbers.floorDiv(sum << 15, int256(k - 2 * uint256(spec.f)));
        }
        if (spec.rule == Rulebook.WEIGHTED_MEAN) return _weightedMean(result, columns, coordinate, outcomes);
        return _meanOf(columns, coordinate, result.counted, result.selected);
    }

    /// @dev Of the selected rows; where a rule does not select, `selected` is `counted`. Unchecked: at most 256 values
    /// below 2^15.
    function _meanOf(bytes calldata columns, uint256 coordinate, uint256 counted, uint256 selected)
        private
        pure
        returns (int256)
    {
        (int256 sum, uint256 m) = (0, Slots.count(counted & selected));
        unchecked {
            for (uint256 at = coordinate; counted != 0; at += LANES) {
                uint256 others = counted & (counted - 1); // without the lowest bit
                if (selected & (counted ^ others) != 0) sum += Numbers.int16At(columns, at);
                counted = others;
            }
        }
        return Numbers.floorDiv(sum << 15, int256(m));
    }

    function _weightedMean(
        RoundResult calldata result,
        bytes calldata columns,
        uint256 coordinate,
        bytes calldata outcomes
    ) private pure returns (int256) {
        _checkOutcomes(result, outcomes);
        (int256 sum, int256 total, uint256 place) = (0, 0, 0);
        for (uint256 slot = 0; slot < outcomes.length / 32; ++slot) {
            if (!Slots.has(result.counted, slot)) continue;
            int256 weight = int256(Outcomes.weightOf(_wordOf(outcomes, slot)));
            sum += weight * Numbers.int16At(columns, place * LANES + coordinate);
            total += weight;
            ++place;
        }
        require(total != 0, NoWeight());
        return Numbers.floorDiv(sum << 15, total);
    }

    /// @dev kept || deviation || alignment of a slot after one more leaf.
    function _add(
        Spec calldata spec,
        RoundResult calldata result,
        Column calldata column,
        uint256 slot,
        bytes20 last
    ) private pure returns (bytes20) {
        uint256 lanes = spec.dimension - column.index * LANES;
        if (lanes > LANES) lanes = LANES;
        uint256 kept = uint32(bytes4(last));
        uint256 deviation = uint64(bytes8(last << 32));
        int256 alignment = int64(uint64(bytes8(last << 96)));
        uint256 place = Slots.placeOf(result.counted, slot) * LANES;
        for (uint256 lane = 0; lane < lanes; ++lane) {
            int256 q = Numbers.int16At(column.columns, place + lane);
            int256 r = Numbers.toInt16(Numbers.int32At(column.aggregate, lane));
            deviation += uint256((q - r) * (q - r));
            alignment += q * r;
            if (_isKept(spec, result, column.columns, lane, slot, q)) ++kept;
        }
        return bytes20(abi.encodePacked(uint32(kept), uint64(deviation), uint64(int64(alignment))));
    }

    /// @dev Between the smallest and the largest value that the rule kept, found without sorting.
    function _isKept(
        Spec calldata spec,
        RoundResult calldata result,
        bytes calldata columns,
        uint256 lane,
        uint256 slot,
        int256 q
    ) private pure returns (bool) {
        uint256 k = columns.length / COLUMN_BYTES;
        if (spec.rule == Rulebook.MEDIAN) return Ranks.isBetween(columns, lane, q, (k - 1) / 2, k / 2);
        if (spec.rule == Rulebook.TRIMMED_MEAN) return Ranks.isBetween(columns, lane, q, spec.f, k - spec.f - 1);
        return Slots.has(result.selected, slot);
    }

    function _checkColumn(Spec calldata spec, RoundResult calldata result, Column calldata column) private pure {
        _checkLength(COLUMN_BYTES * Slots.count(result.counted), column.columns.length);
        _checkLength(AGGREGATE_BYTES, column.aggregate.length);
        bytes memory leaf = abi.encodePacked(sha256(column.columns), column.totals, column.aggregate);
        _checkColumnLeaf(spec, result, column.index, leaf, column.path);
    }

    function _checkSums(Spec calldata spec, RoundResult calldata result, Sums calldata sums) private pure {
        _checkLength(TOTALS_BYTES * Slots.count(result.counted), sums.totals.length);
        _checkLength(AGGREGATE_BYTES, sums.aggregate.length);
        bytes memory leaf = abi.encodePacked(sums.columns, sha256(sums.totals), sums.aggregate);
        _checkColumnLeaf(spec, result, sums.index, leaf, sums.path);
    }

    function _checkColumnLeaf(
        Spec calldata spec,
        RoundResult calldata result,
        uint256 index,
        bytes memory data,
        bytes32[] calldata path
    ) private pure {
        Merkle.check(result.columnRoot, Merkle.COLUMN, index, _leaves(spec), data, path);
    }

    function _checkModel(Spec calldata spec, bytes32 root, Leaf calldata leaf, uint256 index) private pure {
        require(leaf.index == index, NoSuchLeaf(index, leaf.index));
        _checkLength(MODEL_BYTES, leaf.data.length);
        Merkle.check(root, Merkle.MODEL, index, _pieces(spec.dimension, ROW_LEAF), leaf.data, leaf.path);
    }

    function _checkStep(Spec calldata spec) private pure {
        _checkRefutable(spec);
        require(spec.optimizer == 0, NotRefutable(spec.rule, spec.optimizer));
    }

    function _checkCoordinate(uint256 limit, uint256 index) private pure {
        require(index < limit, NoSuchCoordinate(limit, index));
    }

    function _leaves(Spec calldata spec) private pure returns (uint256) {
        return _pieces(spec.dimension, LANES);
    }
}
