// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDisputes} from "../src/interfaces/IDisputes.sol";
import {IPredicates} from "../src/interfaces/IPredicates.sol";
import {Definitions} from "./Definitions.sol";
import {Openings} from "./Openings.sol";

/// @title One lie in the Gram tree or in what is selected; all that comes after it follows from it
contract GramLiesTest is Openings {
    IDisputes.Family internal constant GRAM = IDisputes.Family.Gram;

    function someRound(uint256 seed, uint8 rule) private returns (Whole memory) {
        return honest(shapeOf(seed, within(rule, 5, 6), 40));
    }

    /// @dev In the entry and in its mirror image, and so in all chunks after it.
    function lieInProduct(Whole memory w, uint256 chunk, uint256 i, uint256 j, int256 off) private pure {
        for (uint256 c = chunk; c < w.gram.length; ++c) {
            w.gram[c][i][j] += off;
            if (i != j) w.gram[c][j][i] += off;
        }
    }

    /// forge-config: default.fuzz.runs = 24
    function testFuzz_F4_a_product_that_the_rows_do_not_give(uint256 seed, uint8 rule, uint256 at) public {
        Whole memory w = someRound(seed, rule);
        uint256 k = w.slots.length;
        (uint256 i, uint256 j) = (at % k, noise(at, "j") % k);
        int256 off = int256(within(noise(seed, "off"), 1, seed % 2 == 0 ? 1 : 2 ** 50));
        lieInProduct(w, 0, i, j, at % 2 == 0 ? off : -off);
        from(w, Step.Select);
        encode(w);
        commit(w);
        fails(GRAM, productsDiffer(w, 0, w.slots[i], w.slots[j]), IPredicates.NotRefuted.selector);
        shows(w, GRAM, productDiffers(w, 0, w.slots[j], w.slots[i]), 4, true);
        refuted(w, GRAM, productDiffers(w, 0, w.slots[i], w.slots[j]), 4, true);
    }

    /// @dev In the first, a middle and the last chunk, the last of one leaf or of several.
    /// forge-config: default.fuzz.runs = 3
    function testFuzz_F4_a_product_in_any_chunk(uint256 seed) public {
        uint256 d = 2 * 4096 + within(noise(seed, "d"), 1, 600);
        Whole memory w =
            thin(Shape({seed: seed, rule: uint8(within(seed, 5, 6)), n: 3, counted: 7, f: 0, m: 1, d: d}));
        uint256 chunk = noise(seed, "chunk") % 3;
        lieInProduct(w, chunk, 0, 2, 1);
        encodeGram(w);
        commit(w);
        for (uint256 c = 0; c < 3; ++c) {
            if (c != chunk) fails(GRAM, productDiffers(w, c, 0, 2), IPredicates.NotRefuted.selector);
        }
        shows(w, GRAM, productDiffers(w, chunk, 2, 0), 4, true);
        refuted(w, GRAM, productDiffers(w, chunk, 0, 2), 4, true);
    }

    /// forge-config: default.fuzz.runs = 16
    function testFuzz_F5_a_product_that_depends_on_the_order(uint256 seed, uint8 rule, uint256 at) public {
        Whole memory w = someRound(seed, rule);
        uint256 k = w.slots.length;
        uint256 i = at % k;
        uint256 j = (i + within(noise(at, "j"), 1, k - 1)) % k;
        w.gram[0][i][j] += 1;
        from(w, Step.Select);
        encode(w);
        commit(w);
        shows(w, GRAM, productDiffers(w, 0, w.slots[i], w.slots[j]), 4, true);
        shows(w, GRAM, productsDiffer(w, 0, w.slots[j], w.slots[i]), 5, true);
        refuted(w, GRAM, productsDiffer(w, 0, w.slots[i], w.slots[j]), 5, true);
    }

    /// @dev A norm in the matrix, or what the outcomes say of a slot.
    /// forge-config: default.fuzz.runs = 16
    function testFuzz_F5_norms_that_outcomes_do_not_bear_out(uint256 seed, uint8 rule, uint256 at) public {
        Whole memory w = someRound(seed, rule);
        uint256 i = at % w.slots.length;
        uint256 other = w.slots[(i + 1) % w.slots.length];
        if (seed % 2 == 0) {
            w.gram[0][i][i] += 2;
            from(w, Step.Select);
        } else {
            w.deviation[w.deviation.length - 1][i] += 2;
            from(w, Step.Judge);
        }
        encode(w);
        commit(w);
        shows(w, GRAM, normsDiffer(w, other, w.slots[i]), 5, true);
        refuted(w, GRAM, normsDiffer(w, w.slots[i], other), 5, true);
    }

    /// @dev One that is among the best makes way for one that is not: mostly with a worse score, in rounds of ties
    /// with the same score and a higher slot.
    /// forge-config: default.fuzz.runs = 32
    function testFuzz_F5_a_selection_that_scores_do_not_give(uint256 seed, uint8 rule, uint256 at) public {
        Shape memory shape = shapeOf(seed, within(rule, 5, 6), 40);
        if (shape.m == 0 && shape.f == 0) shape.m = 1; // else all are selected
        uint256 k = Definitions.countOf(shape.counted);
        if (shape.m == k) shape.m = k - 1;
        Whole memory w = honest(shape);
        (uint256 robbed, uint256 chosen) = (someOf(w, 1, at), someOf(w, 0, at));
        w.selected ^= (1 << robbed) | (1 << chosen);
        from(w, Step.Aggregate);
        encode(w);
        commit(w);
        refuted(w, GRAM, selectionDiffers(w, chosen, robbed), 5, true);
    }

    /// @dev A counted slot that is selected, or is not.
    function someOf(Whole memory w, uint256 isSelected, uint256 random) private pure returns (uint256 slot) {
        uint256 place = random % w.slots.length;
        while ((w.selected >> w.slots[place]) & 1 != isSelected) {
            place = (place + 1) % w.slots.length;
        }
        return w.slots[place];
    }

    /// forge-config: default.fuzz.runs = 16
    function testFuzz_F7_a_norm_over_the_bound(uint256 seed, uint8 rule) public {
        Whole memory w = drawn(shapeOf(seed, within(rule, 5, 6), 40));
        uint256 slot = w.slots[seed % w.slots.length];
        int256 norm = Definitions.product(w.rows[slot], w.rows[slot], 0, w.shape.d);
        vm.assume(norm > 1);
        w.terms.normBound = uint64(uint256(norm - 1));
        opened(w);
        commit(w);
        refuted(w, GRAM, normOverBound(w, slot), 7, true);
    }

    /// forge-config: default.fuzz.runs = 16
    function testFuzz_F7_a_leaf_of_a_wrong_length(uint256 seed, uint8 rule, uint256 at, bytes calldata any) public {
        Whole memory w = someRound(seed, rule);
        at %= w.gramLeaves.length;
        vm.assume(any.length != 0);
        bytes memory leaf = w.gramLeaves[at];
        w.gramLeaves[at] = any.length == leaf.length ? bytes("") : seed % 2 == 0 ? bytes(any) : bytes.concat(leaf, any);
        commit(w);
        refuted(w, GRAM, gramMalformed(w, at), 7, true);
    }

    /// forge-config: default.fuzz.runs = 16
    function testFuzz_no_matrix_refutes_a_rule_that_has_none(uint256 seed, uint8 rule) public {
        Whole memory w = drawn(shapeOf(seed, within(rule, 5, 6), 40));
        if (seed % 3 == 0) w.terms.rule = 0;
        if (seed % 3 == 1) w.terms.chain = bytes32("nnm+krum");
        if (seed % 3 == 2) (w.terms.rule, w.terms.chain, w.terms.f) = (1, bytes32("mean"), 0);
        opened(w);
        w.gram[0][0][1] += 1;
        encodeGram(w);
        seal(w); // of a mean, no result with a Gram tree can be proposed
        (uint256 one, uint256 other) = (w.slots[0], w.slots[1]);
        bytes4 error = IPredicates.NotRefutable.selector;
        fails(GRAM, productDiffers(w, 0, one, other), error);
        fails(GRAM, productsDiffer(w, 0, one, other), error);
        fails(GRAM, normsDiffer(w, one, other), error);
        fails(GRAM, selectionDiffers(w, one, other), error);
        fails(GRAM, normOverBound(w, one), error);
        fails(GRAM, gramMalformed(w, 0), error);
    }
}
