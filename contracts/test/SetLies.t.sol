// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDisputes} from "../src/interfaces/IDisputes.sol";
import {IPredicates, RowChunk} from "../src/interfaces/IPredicates.sol";
import {ISetPredicates} from "../src/interfaces/ISetPredicates.sol";
import {Definitions} from "./Definitions.sol";
import {Openings} from "./Openings.sol";

/// @title One lie in the set tree or in a row; all that comes after it follows from it
contract SetLiesTest is Openings {
    IDisputes.Family internal constant SET = IDisputes.Family.Set;
    uint256 private constant ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    function someRound(uint256 seed, uint8 rule) private returns (Whole memory) {
        return honest(shapeOf(seed, within(rule, 1, 6), 20));
    }

    /// forge-config: default.fuzz.runs = 24
    function testFuzz_F7_a_signature_that_is_not_the_participants(uint256 seed, uint8 rule, uint256 at) public {
        Whole memory w = someRound(seed, rule);
        uint256 slot = w.slots[at % w.slots.length];
        uint256 kind = noise(seed, "kind") % 4;
        bytes memory leaf = w.setLeaves[slot];
        if (kind == 0) leaf = signedLeaf(w, slot, noise(seed, "stranger") >> 1);
        if (kind == 1) leaf[noise(at, "byte") % 101] ^= bytes1(uint8(within(seed, 1, 255))); // root, samples, r, s, v
        if (kind == 2) leaf[100] = bytes1(uint8(leaf[100]) - 27);
        if (kind == 3) highS(leaf);
        w.setLeaves[slot] = leaf;
        commit(w);
        refuted(w, SET, signatureWrong(w, slot), 7, true);
    }

    /// @dev The same signature with s in the upper half of the order.
    function highS(bytes memory leaf) private pure {
        uint256 s = 0;
        for (uint256 i = 68; i < 100; ++i) {
            s = (s << 8) | uint8(leaf[i]);
        }
        for (uint256 i = 0; i < 32; ++i) {
            leaf[68 + i] = bytes1(uint8((ORDER - s) >> (248 - 8 * i)));
        }
        leaf[100] = leaf[100] == 0x1b ? bytes1(0x1c) : bytes1(0x1b);
    }

    /// @dev Both forms of v are there in a round of nine, and neither is refuted.
    function test_a_signature_has_v_27_or_28() public {
        Whole memory w = honest(Shape({seed: 3, rule: 1, n: 9, counted: 511, f: 0, m: 0, d: 1}));
        commit(w);
        uint256 count = 0;
        for (uint256 slot = 0; slot < 9; ++slot) {
            if (w.setLeaves[slot][100] == 0x1c) ++count;
            fails(SET, signatureWrong(w, slot), IPredicates.NotRefuted.selector);
        }
        so("both", count != 0 && count != 9);
    }

    /// @dev An update signed for the round before, or for another enclave, is signed all right but is none of this.
    /// forge-config: default.fuzz.runs = 16
    function testFuzz_F7_a_signature_for_another_round(uint256 seed, uint8 rule) public {
        Whole memory w = someRound(seed, rule);
        uint256 slot = w.slots[seed % w.slots.length];
        w.specHash = keccak256("another spec");
        bytes memory leaf = signedLeaf(w, slot, w.keys[slot]);
        w.specHash = harness.hashSpec(w.round.spec);
        w.setLeaves[slot] = leaf;
        commit(w);
        refuted(w, SET, signatureWrong(w, slot), 7, true);
    }

    /// forge-config: default.fuzz.runs = 16
    function testFuzz_F7_a_leaf_that_is_neither_form(uint256 seed, uint8 rule, uint256 at, bytes calldata any) public {
        Whole memory w = someRound(seed, rule);
        at %= w.shape.n;
        bool isCounted = (w.shape.counted >> at) & 1 == 1;
        vm.assume(any.length != (isCounted ? 101 : 33));
        w.setLeaves[at] = seed % 3 == 0 ? bytes.concat(w.setLeaves[at], hex"00") : bytes(any);
        commit(w);
        refuted(w, SET, setLeafDiffers(w, at), 7, true);
    }

    /// @dev 33 bytes, but a root or another reason in them than the outcome's.
    /// forge-config: default.fuzz.runs = 16
    function testFuzz_F7_a_leaf_that_gives_another_reason(uint256 seed, uint8 rule, uint256 at, uint8 bits) public {
        Shape memory shape = shapeOf(seed, within(rule, 1, 6), 20);
        uint256 n = shape.n;
        vm.assume(bits != 0 && shape.counted != (1 << n) - 1);
        Whole memory w = honest(shape);
        uint256 slot = at % n;
        while ((shape.counted >> slot) & 1 == 1) {
            slot = (slot + 1) % n;
        }
        w.setLeaves[slot][seed % 2 == 0 ? 32 : noise(seed, "byte") % 32] ^= bytes1(bits);
        commit(w);
        refuted(w, SET, setLeafDiffers(w, slot), 7, true);
    }

    /// @dev An update is in the tree and in nothing else.
    /// forge-config: default.fuzz.runs = 16
    function testFuzz_F7_a_leaf_that_is_counted_where_the_slot_is_not(uint256 seed, uint8 rule, uint256 reason) public {
        Whole memory w = crowded(seed, rule);
        uint256 slot = w.slots[seed % w.slots.length];
        bytes memory leaf = w.setLeaves[slot];
        leaveOut(w, slot, reason % 10);
        w.setLeaves[slot] = leaf;
        commit(w);
        refuted(w, SET, setLeafDiffers(w, slot), 7, true);
    }

    /// @dev Everything counts a row that is not in the tree.
    /// forge-config: default.fuzz.runs = 16
    function testFuzz_F7_a_leaf_that_is_not_counted_where_the_slot_is(uint256 seed, uint8 rule, uint256 reason) public {
        Whole memory w = someRound(seed, rule);
        uint256 slot = w.slots[seed % w.slots.length];
        w.setLeaves[slot] = otherLeaf(reason % 10);
        commit(w);
        refuted(w, SET, setLeafDiffers(w, slot), 7, true);
    }

    /// forge-config: default.fuzz.runs = 16
    function testFuzz_F7_no_samples_where_samples_weigh(uint256 seed) public {
        Whole memory w = someRound(seed, 1);
        vm.assume(w.slots.length > 1); // of one, the mean would be of nothing
        uint256 slot = w.slots[seed % w.slots.length];
        (w.samples[slot], w.weights[slot]) = (0, 0);
        from(w, Step.Aggregate);
        encode(w);
        commit(w);
        refuted(w, SET, setLeafDiffers(w, slot), 7, true);
    }

    /// @dev Signed, opened, counted: -32768 is no value, and past the dimension there is none.
    /// forge-config: default.fuzz.runs = 24
    function testFuzz_F7_a_row_with_a_value_that_is_none(uint256 seed, uint8 rule, uint256 at) public {
        Whole memory w = drawn(shapeOf(seed, within(rule, 1, 6), 200));
        uint256 slot = w.slots[at % w.slots.length];
        uint256 edge = w.shape.d - seed % 2; // the last value, or the first that is none
        at = seed % 4 < 2 ? edge : noise(at, "at") % w.rows[slot].length;
        int256 value = int256(within(noise(seed, "value"), 1, 65535)) - 32768;
        w.rows[slot][at] = at < w.shape.d || value == 0 ? -32768 : value;
        opened(w);
        commit(w);
        refuted(w, SET, rowMalformed(w, slot, at), 7, true);
    }

    /// forge-config: default.fuzz.runs = 16
    function testFuzz_F7_a_row_leaf_of_a_wrong_length(uint256 seed, uint8 rule, uint256 at, bytes calldata any) public {
        Whole memory w = someRound(seed, rule);
        uint256 slot = w.slots[at % w.slots.length];
        vm.assume(any.length != 0 && any.length != 512);
        w.rowLeaves[slot][0] = seed % 2 == 0 ? bytes.concat(w.rowLeaves[slot][0], any) : bytes(any);
        encodeSet(w);
        commit(w);
        refuted(w, SET, rowMalformed(w, slot, at % 256), 7, true);
    }

    /// @dev Of any rule; the bound is what the row has less one.
    /// forge-config: default.fuzz.runs = 16
    function testFuzz_F7_a_norm_over_the_bound(uint256 seed, uint8 rule) public {
        Whole memory w = drawn(shapeOf(seed, within(rule, 1, 6), 20));
        uint256 slot = w.slots[seed % w.slots.length];
        int256 norm = Definitions.product(w.rows[slot], w.rows[slot], 0, w.shape.d);
        vm.assume(norm > 1);
        w.terms.normBound = uint64(uint256(norm - 1));
        if (seed % 4 == 0) w.terms.rule = 0;
        opened(w);
        commit(w);
        refuted(w, SET, rowOverBound(w, slot), 7, true);
    }

    /// @dev Three chunks: all of them, or those that are enough, each once and all of one row.
    function test_F7_a_norm_over_the_bound_from_chunks() public {
        Whole memory w = drawn(Shape({seed: 41, rule: 5, n: 4, counted: 13, f: 0, m: 0, d: 8200}));
        int256[3] memory parts;
        for (uint256 i = 0; i < 3; ++i) {
            parts[i] = Definitions.product(w.rows[2], w.rows[2], 4096 * i, i < 2 ? 4096 * (i + 1) : 8200);
        }
        so("of any size", parts[0] > 0 && parts[1] > 0 && parts[2] > 0);
        w.terms.normBound = uint64(uint256(parts[0] + parts[2] - 1));
        thin(w);
        commit(w);
        RowChunk[] memory rows = new RowChunk[](2);
        (rows[0], rows[1]) = (rowChunkOf(w, 0, 2), rowChunkOf(w, 2, 2));
        shows(w, SET, rowOverBound(w, 2), 7, true);
        shows(w, SET, rowOverBound(w, rows, pair(0, 2)), 7, true);
        fails(SET, rowOverBound(w, rows, pair(0, 1)), IPredicates.WrongLength.selector);
        fails(SET, rowOverBound(w, rows, new uint256[](1)), IPredicates.WrongLength.selector);
        (rows[0], rows[1]) = (rows[1], rows[0]);
        fails(SET, rowOverBound(w, rows, pair(2, 0)), IPredicates.NoSuchLeaf.selector);
        rows[0] = rows[1];
        fails(SET, rowOverBound(w, rows, pair(0, 0)), IPredicates.NoSuchLeaf.selector);
        fails(SET, rowOverBound(w, rows, pair(0, 1)), IPredicates.WrongRoot.selector);
        rows[1] = rowChunkOf(w, 2, 3);
        fails(SET, rowOverBound(w, rows, pair(0, 2)), ISetPredicates.OtherSlot.selector);
        rows[1] = rowChunkOf(w, 2, 2);
        rows[1].set.slots = 5;
        fails(SET, rowOverBound(w, rows, pair(0, 2)), IPredicates.OtherSlots.selector);
        fails(SET, rowOverBound(w, new RowChunk[](0), new uint256[](0)), IPredicates.NotRefuted.selector);
    }

    function pair(uint256 one, uint256 other) private pure returns (uint256[] memory list) {
        list = new uint256[](2);
        (list[0], list[1]) = (one, other);
    }

    /// @dev What is not of columns can be shown of every rule.
    /// forge-config: default.fuzz.runs = 16
    function testFuzz_F7_of_a_rule_that_only_a_replay_knows(uint256 seed, uint8 rule) public {
        Whole memory w = drawn(shapeOf(seed, within(rule, 1, 6), 20));
        uint256 slot = w.slots[seed % w.slots.length];
        if (seed % 2 == 0) w.terms.rule = 0;
        else w.terms.chain = bytes32("nnm+trimmed-mean");
        w.rows[slot][0] = -32768;
        opened(w);
        w.setLeaves[slot][100] ^= 0x07;
        commit(w);
        shows(w, SET, rowMalformed(w, slot, 0), 7, true);
        refuted(w, SET, signatureWrong(w, slot), 7, true);
    }

    /// @dev Six counted of six: one may go, and every rule still has enough.
    function crowded(uint256 seed, uint8 rule) private returns (Whole memory) {
        return honest(
            Shape({seed: seed, rule: uint8(within(rule, 1, 6)), n: 6, counted: 63, f: seed % 2, m: seed % 3, d: 20})
        );
    }
}
