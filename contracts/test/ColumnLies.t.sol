// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDisputes} from "../src/interfaces/IDisputes.sol";
import {IPredicates} from "../src/interfaces/IPredicates.sol";
import {Definitions} from "./Definitions.sol";
import {Openings} from "./Openings.sol";

/// @title One lie in the column tree, the outcomes or the model; all that comes after it follows from it
contract ColumnLiesTest is Openings {
    IDisputes.Family internal constant COLUMN = IDisputes.Family.Column;

    function someRound(uint256 seed, uint8 rule) private returns (Whole memory) {
        return honest(shapeOf(seed, within(rule, 1, 6), 50));
    }

    /// @dev A counted slot drawn by lot.
    function slotOf(Whole memory w, uint256 random) private pure returns (uint256) {
        return w.slots[noise(random, "slot") % w.slots.length];
    }

    /// @dev Not zero, and of any size that the field has.
    function offBy(uint256 random, uint256 most) private pure returns (int256) {
        return int256(within(noise(random, "off"), 1, noise(random, "much") % 2 == 0 ? 1 : most));
    }

    /// forge-config: default.fuzz.runs = 24
    function testFuzz_F1_a_column_that_is_not_the_rows(uint256 seed, uint8 rule, uint256 at) public {
        Whole memory w = someRound(seed, rule);
        uint256 slot = slotOf(w, at);
        at %= w.aggregate.length; // past the dimension as well
        int256[] memory column = w.columns[placeOf(w, slot)];
        column[at] = int256(int16(uint16(uint256(column[at] + offBy(seed, 65535)))));
        from(w, Step.Aggregate);
        encode(w);
        commit(w);
        refuted(w, COLUMN, columnDiffers(w, at / 16, slot), 1, true);
    }

    /// forge-config: default.fuzz.runs = 48
    function testFuzz_F2_an_aggregate_that_is_not_the_rules(uint256 seed, uint8 rule, uint256 at) public {
        Whole memory w = someRound(seed, rule);
        at %= w.aggregate.length;
        w.aggregate[at] = int256(int32(w.aggregate[at] + offBy(seed, 2 ** 30 - 1)));
        from(w, Step.Total);
        encode(w);
        commit(w);
        refuted(w, COLUMN, aggregateDiffers(w, at), 2, true);
    }

    /// @dev By one, in every coordinate: nothing is rounded away.
    /// forge-config: default.fuzz.runs = 16
    function testFuzz_F2_no_coordinate_may_be_off_by_one(uint256 seed, uint8 rule) public {
        Whole memory w = someRound(seed, rule);
        for (uint256 c = 0; c < w.aggregate.length; ++c) {
            w.aggregate[c] -= 1;
        }
        from(w, Step.Total);
        encode(w);
        commit(w);
        for (uint256 c = 0; c < w.aggregate.length; ++c) {
            shows(w, COLUMN, aggregateDiffers(w, c), 2, true);
        }
    }

    /// forge-config: default.fuzz.runs = 24
    function testFuzz_F4_a_running_total_that_does_not_follow(uint256 seed, uint8 rule, uint256 at) public {
        Whole memory w = someRound(seed, rule);
        uint256 slot = slotOf(w, at);
        uint256 place = placeOf(w, slot);
        at %= w.kept.length;
        uint256 which = noise(seed, "which") % 3;
        if (which == 0) w.kept[at][place] += offBy(seed, 2 ** 31);
        if (which == 1) w.deviation[at][place] += offBy(seed, 2 ** 62);
        if (which == 2) w.alignment[at][place] -= offBy(seed, 2 ** 62);
        for (uint256 leaf = at + 1; leaf < w.kept.length; ++leaf) {
            totalFrom(w, leaf);
        }
        from(w, Step.Judge);
        encode(w);
        commit(w);
        refuted(w, COLUMN, totalDiffers(w, at, slot), 4, true);
    }

    /// forge-config: default.fuzz.runs = 24
    function testFuzz_F4_an_outcome_that_is_not_the_last_total(uint256 seed, uint8 rule, uint256 at) public {
        Whole memory w = someRound(seed, rule);
        uint256 slot = slotOf(w, at);
        (uint256 place, uint256 last) = (placeOf(w, slot), w.kept.length - 1);
        int256[3] memory sums = [w.kept[last][place], w.deviation[last][place], w.alignment[last][place]];
        if (at % 3 == 2) sums[2] -= offBy(seed, 2 ** 62); // flagged, or no longer
        else sums[at % 3] += offBy(seed, 2 ** 31);
        w.words[slot] = wordOf(uint256(sums[0]), uint256(sums[1]), sums[2], w.weights[slot]);
        commit(w);
        refuted(w, COLUMN, outcomeDiffers(w, slot), 4, true);
    }

    /// @dev All that is weighed follows from the lie.
    /// forge-config: default.fuzz.runs = 24
    function testFuzz_F5_a_weight_that_the_samples_do_not_give(uint256 seed, uint8 rule, uint256 at) public {
        Whole memory w = someRound(seed, uint8(rule % 2 == 0 ? 1 : rule)); // every other one is a weighted mean
        uint256 slot = slotOf(w, at);
        w.weights[slot] = uint256(uint32(w.weights[slot] + uint256(offBy(seed, type(uint32).max))));
        if (w.weights[slot] == 0) w.weights[slot] = type(uint32).max;
        from(w, Step.Aggregate);
        encode(w);
        commit(w);
        refuted(w, COLUMN, weightDiffers(w, slot), 5, true);
    }

    /// forge-config: default.fuzz.runs = 16
    function testFuzz_F5_weights_that_are_all_zero(uint256 seed) public {
        Whole memory w = someRound(seed, 1);
        for (uint256 slot = 0; slot < w.shape.n; ++slot) {
            uint256 word = w.words[slot];
            w.words[slot] = word & ~(uint256(type(uint32).max) << 40);
        }
        commit(w);
        fails(COLUMN, aggregateDiffers(w, 0), IPredicates.NoWeight.selector);
        refuted(w, COLUMN, weightDiffers(w, slotOf(w, seed)), 5, true);
    }

    /// forge-config: default.fuzz.runs = 24
    function testFuzz_F6_a_model_that_is_not_base_plus_aggregate(uint256 seed, uint8 rule, uint256 at) public {
        Whole memory w = someRound(seed, rule);
        at %= w.aggregate.length;
        w.next[at] += offBy(seed, 2 ** 31);
        encode(w);
        commit(w);
        refuted(w, COLUMN, modelDiffers(w, at), 6, true);
    }

    /// forge-config: default.fuzz.runs = 16
    function testFuzz_F6_a_model_that_goes_on_past_the_dimension(uint256 seed, uint8 rule, uint256 at) public {
        Shape memory shape = shapeOf(seed, within(rule, 1, 6), 255);
        Whole memory w = honest(shape);
        at = seed % 2 == 0 ? shape.d : within(at, shape.d, 255);
        w.next[at] = offBy(seed, 2 ** 31) - 1 == 0 ? int256(1) : -offBy(seed, 2 ** 31);
        encode(w);
        commit(w);
        refuted(w, COLUMN, modelPaddingDiffers(w, at), 6, true);
    }

    /// forge-config: default.fuzz.runs = 16
    function testFuzz_F7_a_leaf_of_a_wrong_length(uint256 seed, uint8 rule, uint256 at, bytes calldata any) public {
        Whole memory w = someRound(seed, rule);
        bool isModel = at % 2 == 0;
        at = isModel ? 0 : at % w.columnLeaves.length;
        bytes memory leaf = isModel ? w.nextLeaves[at] : w.columnLeaves[at];
        vm.assume(any.length != 0);
        leaf = seed % 3 == 0 ? bytes.concat(leaf, any) : seed % 3 == 1 ? bytes("") : cut(leaf, seed);
        if (isModel) w.nextLeaves[at] = leaf;
        else w.columnLeaves[at] = leaf;
        commit(w);
        refuted(w, COLUMN, isModel ? modelMalformed(w, at) : columnMalformed(w, at), 7, true);
    }

    /// forge-config: default.fuzz.runs = 16
    function testFuzz_F7_a_preimage_of_a_wrong_length(uint256 seed, uint8 rule, uint256 at, bytes calldata any) public {
        Whole memory w = someRound(seed, rule);
        bool isTotals = at % 2 == 0;
        at %= w.columnLeaves.length;
        bytes memory part = isTotals ? w.totalParts[at] : w.columnParts[at];
        vm.assume(any.length != 0);
        part = seed % 3 == 0 ? bytes.concat(part, any) : seed % 3 == 1 ? bytes("") : cut(part, seed);
        if (isTotals) w.totalParts[at] = part;
        else w.columnParts[at] = part;
        encodeColumn(w, at);
        commit(w);
        refuted(w, COLUMN, preimageMalformed(w, at, isTotals), 7, true);
    }

    /// @dev Only its first bytes, fewer than all.
    function cut(bytes memory data, uint256 random) private pure returns (bytes memory) {
        return Definitions.firstOf(data, noise(random, "cut") % data.length);
    }

    /// @dev What the enclave would have done with the same rows under the rule's own name is of no interest.
    /// forge-config: default.fuzz.runs = 16
    function testFuzz_no_columns_refute_a_rule_that_only_a_replay_knows(uint256 seed, uint8 rule) public {
        Whole memory w = drawn(shapeOf(seed, within(rule, 1, 6), 40));
        if (seed % 2 == 0) w.terms.rule = 0;
        else w.terms.chain = bytes32("nnm+trimmed-mean");
        opened(w);
        w.aggregate[0] += 1;
        w.kept[0][0] += 1;
        w.next[0] += 1;
        encode(w);
        commit(w);
        bytes4 error = IPredicates.NotRefutable.selector;
        uint256 slot = w.slots[0];
        fails(COLUMN, columnDiffers(w, 0, slot), error);
        fails(COLUMN, aggregateDiffers(w, 0), error);
        fails(COLUMN, totalDiffers(w, 0, slot), error);
        fails(COLUMN, outcomeDiffers(w, slot), error);
        fails(COLUMN, weightDiffers(w, slot), error);
        fails(COLUMN, modelDiffers(w, 0), error);
        fails(COLUMN, modelPaddingDiffers(w, 255), error);
        fails(COLUMN, columnMalformed(w, 0), error);
        fails(COLUMN, preimageMalformed(w, 0, true), error);
        fails(COLUMN, modelMalformed(w, 0), error);
    }

    /// forge-config: default.fuzz.runs = 16
    function testFuzz_no_model_refutes_a_step_that_is_not_plain(uint256 seed, uint8 rule) public {
        Whole memory w = drawn(shapeOf(seed, within(rule, 1, 6), 40));
        w.terms.optimizer = uint8(within(seed, 1, 2));
        opened(w);
        w.next[0] += 1;
        w.next[255] += 1;
        w.aggregate[0] += 1;
        encode(w);
        commit(w);
        fails(COLUMN, modelDiffers(w, 0), IPredicates.NotRefutable.selector);
        fails(COLUMN, modelPaddingDiffers(w, 255), IPredicates.NotRefutable.selector);
        refuted(w, COLUMN, aggregateDiffers(w, 0), 2, true); // the rule is still the rule
    }
}
