// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDisputes} from "../src/interfaces/IDisputes.sol";
import {IPredicates} from "../src/interfaces/IPredicates.sol";
import {ISetPredicates} from "../src/interfaces/ISetPredicates.sol";
import {Receipt, RoundResult} from "../src/libraries/Messages.sol";
import {Openings} from "./Openings.sol";

/// @title Whatever is shown of an honest round, nothing follows from it
contract HonestRoundsTest is Openings {
    struct Proof {
        IDisputes.Family family;
        bytes data;
    }

    IDisputes.Family internal constant SET = IDisputes.Family.Set;
    IDisputes.Family internal constant COLUMN = IDisputes.Family.Column;
    IDisputes.Family internal constant GRAM = IDisputes.Family.Gram;
    bytes4 internal constant NOTHING = IPredicates.NotRefuted.selector;

    /// forge-config: default.fuzz.runs = 24
    function testFuzz_no_opening_refutes_an_honest_round(uint256 seed, uint8 rule) public {
        Whole memory w = honest(shapeOf(seed, within(rule, 1, 6), 36));
        commit(w);
        everyColumn(w);
        everySlot(w);
        everyPair(w);
    }

    /// forge-config: default.fuzz.runs = 8
    function testFuzz_no_opening_of_a_longer_model_refutes_it(uint256 seed, uint8 rule) public {
        Whole memory w = honest(shapeOf(seed, within(rule, 1, 6), 600));
        commit(w);
        for (uint256 i = 0; i < 6; ++i) {
            Proof[] memory proofs = proofsOf(w, noise(seed, "opening", i));
            for (uint256 j = 0; j < proofs.length; ++j) {
                fails(proofs[j].family, proofs[j].data, NOTHING);
            }
        }
    }

    /// @dev One coordinate less than a chunk, one more, a chunk and four leaves, and two whole chunks.
    /// forge-config: default.fuzz.runs = 4
    function testFuzz_no_opening_of_several_chunks_refutes_it(uint256 seed) public {
        uint256 d = [uint256(4095), 4097, 4096 + 3 * 256 + 1, 2 * 4096][seed % 4];
        uint8 rule = uint8(within(seed >> 2, 5, 6));
        Whole memory w = thin(Shape({seed: seed, rule: rule, n: 4, counted: 13, f: 0, m: 2, d: d}));
        commit(w);
        for (uint256 chunk = 0; chunk < w.gram.length; ++chunk) {
            fails(GRAM, productDiffers(w, chunk, 0, 3), NOTHING);
            fails(GRAM, productDiffers(w, chunk, 2, 2), NOTHING);
            fails(GRAM, productsDiffer(w, chunk, 3, 2), NOTHING);
        }
        fails(GRAM, normsDiffer(w, 0, 3), NOTHING);
        fails(GRAM, normOverBound(w, 3), NOTHING);
        for (uint256 c = 250; c < d; c += 4096) {
            fails(SET, rowMalformed(w, 2, c), NOTHING);
        }
    }

    /// forge-config: default.fuzz.runs = 24
    function testFuzz_no_changed_byte_or_word_refutes_an_honest_round(uint256 seed, uint8 rule) public {
        Whole memory w = honest(shapeOf(seed, within(rule, 1, 6), 60));
        commit(w);
        Proof[] memory proofs = proofsOf(w, seed);
        for (uint256 i = 0; i < proofs.length; ++i) {
            for (uint256 j = 0; j < 12; ++j) {
                harmless(w, proofs[i].family, changed(proofs[i].data, noise(seed, "change", 100 * i + j)));
            }
        }
    }

    /// @dev One predicate's arguments under another's selector.
    /// forge-config: default.fuzz.runs = 8
    function testFuzz_no_other_selector_refutes_an_honest_round(uint256 seed, uint8 rule) public {
        Whole memory w = honest(shapeOf(seed, within(rule, 1, 6), 60));
        commit(w);
        Proof[] memory proofs = proofsOf(w, seed);
        for (uint256 i = 0; i < proofs.length; ++i) {
            for (uint256 j = 0; j < proofs.length; ++j) {
                bytes memory data = bytes.concat(proofs[i].data);
                for (uint256 b = 0; b < 4; ++b) {
                    data[b] = proofs[j].data[b];
                }
                harmless(w, proofs[j].family, data);
            }
        }
    }

    /// @dev The head is the round's own, so that it gets as far as bytes drawn by lot can get.
    /// forge-config: default.fuzz.runs = 24
    function testFuzz_no_calldata_refutes_an_honest_round(uint256 seed, bytes calldata tail) public {
        Whole memory w = honest(shapeOf(seed, within(seed, 1, 6), 20));
        commit(w);
        Proof[] memory proofs = proofsOf(w, seed);
        for (uint256 i = 0; i < proofs.length; ++i) {
            bytes4 selector = bytes4(proofs[i].data);
            harmless(w, proofs[i].family, abi.encodePacked(selector, tail));
            harmless(w, proofs[i].family, abi.encodePacked(selector, abi.encode(w.round.spec, w.round.result), tail));
        }
    }

    /// forge-config: default.fuzz.runs = 12
    function testFuzz_no_rank_that_one_claims_refutes_an_aggregate(uint256 seed, uint8 rule, int16 low, int16 high)
        public
    {
        Whole memory w = honest(shapeOf(seed, within(rule, 1, 6), 20));
        commit(w);
        for (uint256 c = 0; c < w.aggregate.length; ++c) {
            harmless(w, COLUMN, aggregateDiffers(w, c, low, high));
            harmless(w, COLUMN, aggregateDiffers(w, c, w.low[c], high));
            harmless(w, COLUMN, aggregateDiffers(w, c, low, w.high[c]));
            harmless(w, COLUMN, aggregateDiffers(w, c, w.columns[0][c], w.columns[w.slots.length - 1][c]));
        }
    }

    /// forge-config: default.fuzz.runs = 12
    function testFuzz_no_reach_that_one_claims_refutes_a_selection(uint256 seed, uint8 rule, int256 any) public {
        Whole memory w = honest(shapeOf(seed, within(rule, 5, 6), 20));
        commit(w);
        for (uint256 i = 0; i < w.slots.length; ++i) {
            uint256 other = w.slots[(i + 1) % w.slots.length];
            int256 reach = reachOf(w, w.slots[i]);
            for (int256 off = -1; off < 2; ++off) {
                harmless(w, GRAM, selectionDiffers(w, w.slots[i], other, reach + off, reachOf(w, other) - off));
            }
            harmless(w, GRAM, selectionDiffers(w, w.slots[i], other, any, reachOf(w, other)));
            harmless(w, GRAM, selectionDiffers(w, w.slots[i], other, reach, any));
        }
    }

    /// @dev What is of one tree, slot or index does not pass as another's.
    /// forge-config: default.fuzz.runs = 8
    function testFuzz_no_leaf_passes_as_another(uint256 seed) public {
        Whole memory w = honest(
            Shape({seed: seed, rule: 6, n: 4, counted: 15, f: 0, m: 2, d: within(seed, 1, 3) * 256})
        );
        commit(w);
        bytes[][5] memory trees = [w.rowLeaves[0], w.setLeaves, w.columnLeaves, w.gramLeaves, w.nextLeaves];
        for (uint256 own = 0; own < 5; ++own) {
            (bytes[] memory columns, bytes[] memory gram, bytes[] memory next) =
                (w.columnLeaves, w.gramLeaves, w.nextLeaves);
            if (own != 2) w.columnLeaves = trees[own];
            harmless(w, COLUMN, columnMalformed(w, within(seed, 0, w.columnLeaves.length - 1)));
            if (own != 3) w.gramLeaves = trees[own];
            harmless(w, GRAM, gramMalformed(w, within(seed, 0, w.gramLeaves.length - 1)));
            if (own != 4) w.nextLeaves = trees[own];
            harmless(w, COLUMN, modelMalformed(w, within(seed, 0, w.nextLeaves.length - 1)));
            (w.columnLeaves, w.gramLeaves, w.nextLeaves) = (columns, gram, next);
        }
        (w.rowLeaves[1], w.rowLeaves[2]) = (w.rowLeaves[2], w.rowLeaves[1]);
        harmless(w, COLUMN, columnDiffers(w, 0, 1));
        harmless(w, GRAM, productDiffers(w, 0, 0, 1));
        harmless(w, SET, rowMalformed(w, 1, 0));
    }

    function everyColumn(Whole memory w) private view {
        for (uint256 leaf = 0; leaf < w.columnLeaves.length; ++leaf) {
            for (uint256 place = 0; place < w.slots.length; ++place) {
                fails(COLUMN, columnDiffers(w, leaf, w.slots[place]), NOTHING);
                fails(COLUMN, totalDiffers(w, leaf, w.slots[place]), NOTHING);
            }
            fails(COLUMN, columnMalformed(w, leaf), NOTHING);
            fails(COLUMN, preimageMalformed(w, leaf, false), NOTHING);
            fails(COLUMN, preimageMalformed(w, leaf, true), NOTHING);
        }
        for (uint256 c = 0; c < w.aggregate.length; ++c) {
            fails(COLUMN, aggregateDiffers(w, c), NOTHING);
            fails(COLUMN, modelDiffers(w, c), NOTHING);
        }
        for (uint256 c = 0; c < w.next.length; c += 17) {
            fails(COLUMN, modelPaddingDiffers(w, c), NOTHING);
        }
        for (uint256 leaf = 0; leaf < w.nextLeaves.length; ++leaf) {
            fails(COLUMN, modelMalformed(w, leaf), NOTHING);
        }
    }

    function everySlot(Whole memory w) private view {
        for (uint256 slot = 0; slot < w.shape.n; ++slot) {
            fails(SET, commitmentBroken(w, slot), NOTHING);
            fails(SET, setLeafDiffers(w, slot), NOTHING);
            if ((w.shape.counted >> slot) & 1 == 0) {
                fails(SET, signatureWrong(w, slot), IPredicates.NotCounted.selector);
                continue;
            }
            fails(SET, signatureWrong(w, slot), NOTHING);
            fails(SET, rowOverBound(w, slot), NOTHING);
            fails(COLUMN, outcomeDiffers(w, slot), NOTHING);
            fails(COLUMN, weightDiffers(w, slot), NOTHING);
            Receipt memory receipt = receiptOf(w, slot, harness.hashUpdate(updateOf(w, slot)));
            bool hasCommitment = w.commitments[slot] != bytes32(0);
            fails(SET, receiptBroken(w, receipt), hasCommitment ? ISetPredicates.HasCommitment.selector : NOTHING);
            for (uint256 c = 0; c < w.rows[slot].length; c += 13) {
                fails(SET, rowMalformed(w, slot, c), NOTHING);
            }
        }
    }

    function everyPair(Whole memory w) private view {
        for (uint256 i = 0; i < w.slots.length && isSelecting(w.shape.rule); ++i) {
            fails(GRAM, normOverBound(w, w.slots[i]), NOTHING);
            bool isSelected = (w.selected >> w.slots[i]) & 1 == 1;
            for (uint256 j = 0; j < w.slots.length; ++j) {
                (uint256 one, uint256 other) = (w.slots[i], w.slots[j]);
                for (uint256 chunk = 0; chunk < w.gram.length; ++chunk) {
                    fails(GRAM, productDiffers(w, chunk, one, other), NOTHING);
                    fails(GRAM, productsDiffer(w, chunk, one, other), NOTHING);
                }
                fails(GRAM, normsDiffer(w, one, other), NOTHING);
                bytes4 error = isSelected ? NOTHING : IPredicates.NotSelected.selector;
                fails(GRAM, selectionDiffers(w, one, other), error);
            }
        }
        for (uint256 i = 0; i < w.gramLeaves.length; ++i) {
            fails(GRAM, gramMalformed(w, i), NOTHING);
        }
    }

    /// @dev One of every kind, at indices drawn by lot.
    function proofsOf(Whole memory w, uint256 random) private view returns (Proof[] memory proofs) {
        proofs = new Proof[](isSelecting(w.shape.rule) ? 22 : 16);
        uint256 slot = w.slots[noise(random, "slot") % w.slots.length];
        uint256 other = w.slots[noise(random, "other") % w.slots.length];
        uint256 leaf = noise(random, "leaf") % w.columnLeaves.length;
        uint256 c = noise(random, "c") % w.aggregate.length;
        proofs[0] = Proof(COLUMN, columnDiffers(w, leaf, slot));
        proofs[1] = Proof(COLUMN, aggregateDiffers(w, c));
        proofs[2] = Proof(COLUMN, totalDiffers(w, leaf, slot));
        proofs[3] = Proof(COLUMN, outcomeDiffers(w, slot));
        proofs[4] = Proof(COLUMN, weightDiffers(w, slot));
        proofs[5] = Proof(COLUMN, modelDiffers(w, c));
        proofs[6] = Proof(COLUMN, modelPaddingDiffers(w, noise(random, "pad") % w.next.length));
        proofs[7] = Proof(COLUMN, columnMalformed(w, leaf));
        proofs[8] = Proof(COLUMN, preimageMalformed(w, leaf, random % 2 == 0));
        proofs[9] = Proof(COLUMN, modelMalformed(w, c / 256));
        proofs[10] = Proof(SET, commitmentBroken(w, noise(random, "any slot") % w.shape.n));
        proofs[11] = Proof(SET, setLeafDiffers(w, noise(random, "any slot") % w.shape.n));
        proofs[12] = Proof(SET, signatureWrong(w, slot));
        proofs[13] = Proof(SET, rowMalformed(w, slot, noise(random, "row") % w.next.length));
        proofs[14] = Proof(SET, twice(w, slot, random % 2 == 0));
        proofs[15] = Proof(SET, rowOverBound(w, slot));
        if (proofs.length == 16) return proofs;
        uint256 chosen = w.slots[0];
        for (uint256 i = 0; (w.selected >> chosen) & 1 == 0; ++i) {
            chosen = w.slots[i];
        }
        uint256 chunk = noise(random, "chunk") % w.gram.length;
        proofs[16] = Proof(GRAM, productDiffers(w, chunk, slot, other));
        proofs[17] = Proof(GRAM, productsDiffer(w, chunk, slot, other));
        proofs[18] = Proof(GRAM, normsDiffer(w, slot, other));
        proofs[19] = Proof(GRAM, selectionDiffers(w, chosen, other));
        proofs[20] = Proof(GRAM, normOverBound(w, slot));
        proofs[21] = Proof(GRAM, gramMalformed(w, noise(random, "line") % w.gramLeaves.length));
    }

    /// @dev The one result that there is, or the one receipt, as if they were two.
    function twice(Whole memory w, uint256 slot, bool isResult) private view returns (bytes memory) {
        RoundResult memory result = w.round.result;
        if (isResult) {
            return abi.encodeCall(
                ISetPredicates.twoResults, (w.round.spec, result, w.round.signature, result, w.round.signature)
            );
        }
        Receipt memory receipt = receiptOf(w, slot, harness.hashUpdate(updateOf(w, slot)));
        bytes memory signature = signatureOf(ENCLAVE_KEY, harness.hashReceipt(receipt));
        return abi.encodeCall(ISetPredicates.twoReceipts, (w.round.spec, receipt, signature, receipt, signature));
    }

    /// @dev A byte, or a word that becomes another one: a small number, all ones, or one from elsewhere.
    function changed(bytes memory data, uint256 random) private pure returns (bytes memory copy) {
        copy = bytes.concat(data);
        uint256 at = 4 + noise(random, "at") % (data.length - 4);
        if (random % 2 == 0) {
            copy[at] ^= bytes1(uint8(within(noise(random, "bits"), 1, 255)));
            return copy;
        }
        at = 4 + (at - 4) / 32 * 32;
        uint256 source = 4 + (noise(random, "source") % (data.length - 4)) / 32 * 32;
        uint256 kind = noise(random, "kind") % 4;
        for (uint256 i = 0; i < 32 && at + i < data.length; ++i) {
            if (kind == 0) copy[at + i] = 0xff;
            else if (kind == 1) copy[at + i] = i < 31 ? bytes1(0) : bytes1(uint8(random >> 8));
            else if (kind == 2) copy[at + i] = i < 30 ? bytes1(0) : bytes1(uint8(random >> (8 * (31 - i))));
            else if (source + i < data.length) copy[at + i] = data[source + i];
        }
    }
}
