// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IGramPredicates} from "../interfaces/IGramPredicates.sol";
import {Finding, GramLine, Leaf, RowChunk} from "../interfaces/IPredicates.sol";
import {Merkle} from "../libraries/Merkle.sol";
import {RoundResult, Spec} from "../libraries/Messages.sol";
import {Numbers} from "../libraries/Numbers.sol";
import {Outcomes} from "../libraries/Outcomes.sol";
import {Rulebook} from "../libraries/Rulebook.sol";
import {Slots} from "../libraries/Slots.sol";
import {Predicates} from "./Predicates.sol";

/// @title What Gram trees show
contract GramPredicates is IGramPredicates, Predicates {
    constructor(address ledger_) Predicates(ledger_) {}

    /// @inheritdoc IGramPredicates
    function productDiffers(
        Spec calldata spec,
        RoundResult calldata result,
        uint256 chunk,
        GramLine calldata line,
        GramLine calldata before,
        RowChunk calldata left,
        RowChunk calldata right
    ) external pure returns (Finding memory) {
        _checkSelecting(spec);
        _checkLine(spec, result, chunk, line);
        require(left.set.slot == line.slot, NotCounted(left.set.slot));
        _checkRows(spec, result, chunk, left);
        _checkRows(spec, result, chunk, right);
        require(left.set.slots == right.set.slots, OtherSlots(left.set.slots, right.set.slots));
        uint256 place = Slots.placeOf(result.counted, right.set.slot);
        int256 expected = _productOf(left.data, right.data);
        if (chunk != 0) {
            require(before.slot == line.slot, NotCounted(before.slot));
            _checkLine(spec, result, chunk - 1, before);
            expected += Numbers.int64At(before.data, place);
        }
        _need(Numbers.int64At(line.data, place) != expected);
        return _finding(4, true, spec, result, left.set.slots);
    }

    /// @inheritdoc IGramPredicates
    function productsDiffer(
        Spec calldata spec,
        RoundResult calldata result,
        uint256 chunk,
        GramLine calldata one,
        GramLine calldata other
    ) external pure returns (Finding memory) {
        _checkSelecting(spec);
        _checkLine(spec, result, chunk, one);
        _checkLine(spec, result, chunk, other);
        int256 left = Numbers.int64At(one.data, Slots.placeOf(result.counted, other.slot));
        int256 right = Numbers.int64At(other.data, Slots.placeOf(result.counted, one.slot));
        _need(left != right);
        return _finding(5, true, spec, result, 0);
    }

    /// @inheritdoc IGramPredicates
    function normsDiffer(
        Spec calldata spec,
        RoundResult calldata result,
        bytes calldata outcomes,
        GramLine calldata one,
        GramLine calldata other
    ) external pure returns (Finding memory) {
        _checkSelecting(spec);
        _checkOutcomes(result, outcomes);
        _checkFinal(spec, result, one);
        _checkFinal(spec, result, other);
        int256 left = _normOf(result, one) - _apart(outcomes, one.slot);
        int256 right = _normOf(result, other) - _apart(outcomes, other.slot);
        _need(left != right);
        return _finding(5, true, spec, result, 0);
    }

    /// @inheritdoc IGramPredicates
    function selectionDiffers(
        Spec calldata spec,
        RoundResult calldata result,
        bytes calldata outcomes,
        GramLine calldata chosen,
        GramLine calldata other,
        int256 chosenReach,
        int256 otherReach
    ) external pure returns (Finding memory) {
        _checkSelecting(spec);
        _checkOutcomes(result, outcomes);
        _checkFinal(spec, result, chosen);
        _checkFinal(spec, result, other);
        require(Slots.has(result.selected, chosen.slot), NotSelected(chosen.slot));
        int256 chosenScore = _scoreOf(spec, result, outcomes, chosen, chosenReach);
        int256 otherScore = _scoreOf(spec, result, outcomes, other, otherReach);
        bool isBefore = otherScore < chosenScore || (otherScore == chosenScore && other.slot < chosen.slot);
        _need(isBefore && !Slots.has(result.selected, other.slot));
        return _finding(5, true, spec, result, 0);
    }

    /// @inheritdoc IGramPredicates
    function normOverBound(Spec calldata spec, RoundResult calldata result, GramLine calldata line)
        external
        pure
        returns (Finding memory)
    {
        _checkSelecting(spec);
        _checkFinal(spec, result, line);
        _need(spec.normBound != 0 && _normOf(result, line) > int256(uint256(spec.normBound)));
        return _finding(7, true, spec, result, 0);
    }

    /// @inheritdoc IGramPredicates
    function gramMalformed(Spec calldata spec, RoundResult calldata result, Leaf calldata leaf)
        external
        pure
        returns (Finding memory)
    {
        _checkSelecting(spec);
        uint256 k = Slots.count(result.counted);
        Merkle.check(result.gramRoot, Merkle.GRAM, leaf.index, k * _chunks(spec), leaf.data, leaf.path);
        _need(leaf.data.length != 8 * k);
        return _finding(7, true, spec, result, 0);
    }

    /// @dev Sum of the k - f - 2 smallest squared distances to the other counted rows. A distance is
    /// G_ii + G_ll - 2 G_il, and G_ll - G_ii = apart_l - apart_i (see `normsDiffer`).
    function _scoreOf(
        Spec calldata spec,
        RoundResult calldata result,
        bytes calldata outcomes,
        GramLine calldata line,
        int256 reach
    ) private pure returns (int256 score) {
        int256 base = 2 * _normOf(result, line) - _apart(outcomes, line.slot);
        (uint256 below, uint256 upTo, uint256 place) = (0, 0, 0);
        for (uint256 slot = 0; slot < outcomes.length / 32; ++slot) {
            if (!Slots.has(result.counted, slot)) continue;
            int256 distance = base + _apart(outcomes, slot) - 2 * Numbers.int64At(line.data, place++);
            if (slot == line.slot) continue;
            if (distance < reach) {
                score += distance;
                ++below;
            }
            if (distance <= reach) ++upTo;
        }
        uint256 nearest = place - spec.f - 2; // place is k now, at least 2f + 3
        require(below < nearest && nearest <= upTo, WrongRank(nearest - 1, below, upTo));
        score += int256(nearest - below) * reach;
    }

    /// @dev |q - r|^2 + 2<q, r> = |q|^2 + |r|^2: what tells two rows' squared norms apart.
    function _apart(bytes calldata outcomes, uint256 slot) private pure returns (int256) {
        uint256 word = _wordOf(outcomes, slot);
        return int256(Outcomes.deviationOf(word)) + 2 * Outcomes.alignmentOf(word);
    }

    /// @dev The diagonal entry of a line.
    function _normOf(RoundResult calldata result, GramLine calldata line) private pure returns (int256) {
        return Numbers.int64At(line.data, Slots.placeOf(result.counted, line.slot));
    }

    function _checkFinal(Spec calldata spec, RoundResult calldata result, GramLine calldata line) private pure {
        _checkLine(spec, result, _chunks(spec) - 1, line);
    }

    function _checkLine(Spec calldata spec, RoundResult calldata result, uint256 chunk, GramLine calldata line)
        private
        pure
    {
        require(Slots.has(result.counted, line.slot), NotCounted(line.slot));
        uint256 k = Slots.count(result.counted);
        require(chunk < _chunks(spec), NoSuchLeaf(_chunks(spec), chunk));
        _checkLength(8 * k, line.data.length);
        uint256 index = chunk * k + Slots.placeOf(result.counted, line.slot);
        Merkle.check(result.gramRoot, Merkle.GRAM, index, k * _chunks(spec), line.data, line.path);
    }

    function _checkSelecting(Spec calldata spec) private pure {
        _checkRefutable(spec);
        require(Rulebook.isSelecting(spec.rule), NotRefutable(spec.rule, spec.optimizer));
    }
}
