// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDisputes} from "../src/interfaces/IDisputes.sol";
import {IPredicates} from "../src/interfaces/IPredicates.sol";
import {IRoundLedger} from "../src/interfaces/IRoundLedger.sol";
import {ISetPredicates} from "../src/interfaces/ISetPredicates.sol";
import {Receipt, RoundResult} from "../src/libraries/Messages.sol";
import {SetLeaf} from "../src/interfaces/IPredicates.sol";
import {Openings} from "./Openings.sol";
import {Trees} from "./Trees.sol";

/// @title Receipts, commitments, and what an enclave signed twice
contract PromisesTest is Openings {
    IDisputes.Family internal constant SET = IDisputes.Family.Set;
    bytes4 internal constant NOTHING = IPredicates.NotRefuted.selector;
    uint256 internal constant OTHER_KEY = 0xE7C2;
    uint256 private constant ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    /// @dev Six counted of six: one may go, and every rule still has enough. Nobody has committed anything.
    function crowded(uint256 seed, uint8 rule) private returns (Whole memory w) {
        uint256[6] memory none;
        return promised(seed, rule, none);
    }

    /// @dev With these commitments on the ledger, zero for none.
    function promised(uint256 seed, uint8 rule, uint256[6] memory commitments) private returns (Whole memory w) {
        w = drawn(
            Shape({seed: seed, rule: uint8(within(rule, 1, 6)), n: 6, counted: 63, f: seed % 2, m: seed % 3, d: 20})
        );
        found(w);
        w.round = nextRoundOf(w.terms, w.round.cohort);
        w.specHash = harness.hashSpec(w.round.spec);
        open(w.round);
        computed(w);
        encode(w);
        for (uint256 slot = 0; slot < 6; ++slot) {
            if (commitments[slot] != 0) commitUpdate(w, slot, bytes32(commitments[slot]));
        }
        vm.warp(w.round.spec.deadlines[2] + 1);
    }

    function honestReceipt(Whole memory w, uint256 slot) private view returns (Receipt memory) {
        return receiptOf(w, slot, harness.hashUpdate(updateOf(w, slot)));
    }

    /// @dev To undelivered, unopened and unrooted a host can bring an honest enclave; to nothing else.
    /// forge-config: default.fuzz.runs = 40
    function testFuzz_F3_a_receipt_of_a_slot_that_is_not_counted(uint256 seed, uint8 rule, uint8 reason) public {
        Whole memory w = crowded(seed, rule);
        uint256 slot = seed % 6;
        reason %= 10;
        Receipt memory receipt = honestReceipt(w, slot);
        leaveOut(w, slot, reason);
        commit(w);
        bool isEnclaves = reason < 7;
        refuted(w, SET, receiptBroken(w, receipt), 3, isEnclaves);
    }

    /// @dev A commitment that nobody made could have replaced the update that has the receipt.
    /// forge-config: default.fuzz.runs = 16
    function testFuzz_F3_a_receipt_of_another_update(uint256 seed, uint8 rule) public {
        Whole memory w = crowded(seed, rule);
        uint256 slot = seed % 6;
        Receipt memory receipt = honestReceipt(w, slot);
        w.samples[slot] = uint32(w.samples[slot] ^ 2) | 1;
        if (w.samples[slot] == 1) w.samples[slot] = 9;
        vm.assume(receipt.update != harness.hashUpdate(updateOf(w, slot)));
        encodeSet(w);
        commit(w);
        refuted(w, SET, receiptBroken(w, receipt), 3, false);
    }

    /// forge-config: default.fuzz.runs = 16
    function testFuzz_F3_a_commitment_outranks_a_receipt(uint256 seed, uint8 rule, uint256 update) public {
        uint256[6] memory commitments;
        uint256 slot = seed % 6;
        commitments[slot] = update | 1;
        Whole memory w = promised(seed, rule, commitments);
        Receipt memory receipt = honestReceipt(w, slot);
        leaveOut(w, slot, within(seed, 7, 9));
        commit(w);
        fails(SET, receiptBroken(w, receipt), ISetPredicates.HasCommitment.selector);
        fails(SET, commitmentBroken(w, slot), NOTHING);
    }

    /// forge-config: default.fuzz.runs = 24
    function testFuzz_F3_a_commitment_that_is_neither_counted_nor_explained(uint256 seed, uint8 rule, uint8 reason)
        public
    {
        uint256[6] memory commitments;
        uint256 slot = seed % 6;
        commitments[slot] = uint256(keccak256("an update"));
        Whole memory w = promised(seed, rule, commitments);
        if (reason % 3 != 0) leaveOut(w, slot, reason % 7); // else another update is counted
        commit(w);
        refuted(w, SET, commitmentBroken(w, slot), 3, false);
    }

    /// @dev Reason 9 needs no commitment: an update that was sent can be without its root as well.
    /// forge-config: default.fuzz.runs = 16
    function testFuzz_F3_a_reason_that_only_a_commitment_explains(uint256 seed, uint8 rule) public {
        Whole memory w = crowded(seed, rule);
        uint256 slot = seed % 6;
        uint256 reason = within(seed >> 8, 7, 9);
        leaveOut(w, slot, reason);
        commit(w);
        if (reason == 9) fails(SET, commitmentBroken(w, slot), NOTHING);
        else refuted(w, SET, commitmentBroken(w, slot), 3, false);
    }

    /// forge-config: default.fuzz.runs = 16
    function testFuzz_F3_another_cohort_is_nobodys(uint256 seed, uint8 rule) public {
        Whole memory w = crowded(seed, rule);
        commit(w);
        w.round.cohort[seed % 6] = address(1);
        fails(SET, commitmentBroken(w, 0), IPredicates.OtherCohort.selector);
        fails(SET, signatureWrong(w, 0), IPredicates.OtherCohort.selector);
        fails(SET, receiptBroken(w, honestReceipt(w, 0)), IPredicates.OtherCohort.selector);
    }

    /// @dev Each has one thing wrong with a receipt that would refute.
    function test_F3_a_receipt_of_something_else_does_not_count() public {
        Whole memory w = crowded(7, 0);
        Receipt memory good = honestReceipt(w, 2);
        leaveOut(w, 2, 0);
        commit(w);
        Receipt memory receipt = copy(good);
        receipt.federation = keccak256("another");
        fails(SET, receiptBroken(w, receipt), ISetPredicates.OtherFederation.selector);
        receipt = copy(good);
        receipt.round = 2;
        fails(SET, receiptBroken(w, receipt), ISetPredicates.OtherRound.selector);
        receipt = copy(good);
        receipt.enclave = keccak256("another");
        fails(SET, receiptBroken(w, receipt), ISetPredicates.OtherEnclave.selector);
        bytes memory signature = signatureOf(ENCLAVE_KEY, harness.hashReceipt(good));
        fails(SET, receiptBroken(w, good, signature, 3), ISetPredicates.OtherSlot.selector);
        receipt = copy(good);
        receipt.slot = 3;
        fails(SET, receiptBroken(w, receipt, signature, 2), ISetPredicates.OtherSigner.selector);
        refuted(w, SET, receiptBroken(w, good), 3, true);
    }

    function test_F3_a_receipt_that_is_signed_otherwise_does_not_count() public {
        Whole memory w = crowded(8, 0);
        Receipt memory receipt = honestReceipt(w, 2);
        leaveOut(w, 2, 0);
        commit(w);
        bytes32 hash = harness.hashReceipt(receipt);
        bytes memory signature = signatureOf(ENCLAVE_KEY, hash);
        bytes4 error = ISetPredicates.OtherSigner.selector;
        fails(SET, receiptBroken(w, receipt, signatureOf(w.keys[2], hash), 2), error);
        fails(SET, receiptBroken(w, receipt, signatureOf(ENCLAVE_KEY, receipt.update), 2), error); // another type
        fails(SET, receiptBroken(w, receipt, signatureOf(ENCLAVE_KEY, harness.hashResult(w.round.result)), 2), error);
        fails(SET, receiptBroken(w, receipt, highS(signature), 2), error);
        fails(SET, receiptBroken(w, receipt, lowV(signature), 2), error);
        fails(SET, receiptBroken(w, receipt, bytes.concat(signature, hex"00"), 2), error);
        fails(SET, receiptBroken(w, receipt, "", 2), error);
        fails(SET, receiptBroken(w, receipt, new bytes(65), 2), error);
        shows(w, SET, receiptBroken(w, receipt, signature, 2), 3, true);
    }

    /// @dev v is 27 of some and 28 of others.
    function test_F3_both_forms_of_v_count() public {
        Whole memory w = crowded(9, 0);
        commit(w);
        uint256 forms = 0;
        for (uint256 i = 0; i < 16; ++i) {
            Receipt memory receipt = receiptOf(w, i % 6, keccak256(abi.encode("another", i)));
            forms |= 1 << (uint8(signatureOf(ENCLAVE_KEY, harness.hashReceipt(receipt))[64]) - 27);
            shows(w, SET, receiptBroken(w, receipt), 3, false);
        }
        same("27 and 28", 3, forms);
    }

    /// @dev Of the same coordinator, and the round is not its.
    function test_a_second_enclave_is_not_the_rounds() public {
        Whole memory w = crowded(10, 0);
        vm.roll(block.number + 1);
        bytes32 own = enclave;
        bytes32 second = registerEnclave(OTHER_KEY, 2);
        Receipt memory receipt = honestReceipt(w, 2);
        leaveOut(w, 2, 0);
        commit(w);
        bytes32 hash = harness.hashReceipt(receipt);
        fails(SET, receiptBroken(w, receipt, signatureOf(OTHER_KEY, hash), 2), ISetPredicates.OtherSigner.selector);
        receipt.enclave = second;
        hash = harness.hashReceipt(receipt);
        fails(SET, receiptBroken(w, receipt, signatureOf(OTHER_KEY, hash), 2), ISetPredicates.OtherEnclave.selector);
        RoundResult memory other = abi.decode(abi.encode(w.round.result), (RoundResult));
        other.newModel = keccak256("another model");
        bytes4 error = ISetPredicates.OtherSigner.selector;
        fails(SET, twoResults(w, other, signatureOf(OTHER_KEY, harness.hashResult(other))), error);
        other.enclave = second;
        error = ISetPredicates.OtherEnclave.selector;
        fails(SET, twoResults(w, other, signatureOf(OTHER_KEY, harness.hashResult(other))), error);
        same("enclave of the round", own, w.round.spec.enclave);
    }

    /// @dev Whichever of them is proposed, if one is.
    /// forge-config: default.fuzz.runs = 24
    function testFuzz_F8_two_results(uint256 seed, uint8 rule, uint256 field, uint256 noise_) public {
        Whole memory w = crowded(seed, rule);
        seal(w);
        uint256[9] memory fields = [uint256(2), 3, 4, 5, 6, 7, 8, 9, 10]; // not federation, round, enclave
        bytes memory data = abi.encode(w.round.result);
        data[32 * fields[field % 9] + noise_ % 32] ^= bytes1(uint8(within(noise_ >> 8, 1, 255)));
        RoundResult memory other = abi.decode(data, (RoundResult));
        bytes memory proof = twoResults(w, other, signatureOf(ENCLAVE_KEY, harness.hashResult(other)));
        if (seed % 2 == 0) {
            propose(w.round);
            refuted(w, SET, proof, 8, true);
            return;
        }
        shows(w, SET, proof, 8, true); // open
        disputes.refute(SET, proof, NO_SALT);
        same("void", uint256(IRoundLedger.State.Void), uint256(ledger.stateOf(1)));
        so("suspended", !consortium.isMeasurementAllowed(MEASUREMENT));
        vm.expectRevert();
        propose(w.round);
    }

    /// forge-config: default.fuzz.runs = 16
    function testFuzz_F8_two_receipts(uint256 seed, uint8 rule, bytes32 update) public {
        Whole memory w = crowded(seed, rule);
        Receipt memory one = honestReceipt(w, seed % 6);
        Receipt memory other = copy(one);
        vm.assume(one.update != update);
        fails(SET, twoReceipts(w, one, other), NOTHING);
        other.slot = uint16((seed % 6 + 1) % 6);
        other.update = update;
        fails(SET, twoReceipts(w, one, other), ISetPredicates.OtherSlot.selector);
        other.slot = one.slot;
        commit(w);
        refuted(w, SET, twoReceipts(w, one, other), 8, true);
    }

    /// @dev The same struct under another signature is the same result.
    function test_F8_one_result_under_two_signatures_is_one() public {
        Whole memory w = crowded(11, 0);
        commit(w);
        fails(SET, twoResults(w, w.round.result, w.round.signature), NOTHING);
        fails(SET, twoResults(w, w.round.result, highS(w.round.signature)), ISetPredicates.OtherSigner.selector);
    }

    /// @dev Signatures are about one round: another spec's F8 is nothing here, and a stranger's spec nothing at all.
    function test_F8_of_another_spec_is_not_the_rounds() public {
        Whole memory w = crowded(12, 0);
        commit(w);
        RoundResult memory other = abi.decode(abi.encode(w.round.result), (RoundResult));
        other.state = keccak256("state");
        w.round.spec.budget += 1;
        bytes memory proof = twoResults(w, other, signatureOf(ENCLAVE_KEY, harness.hashResult(other)));
        vm.expectPartialRevert(IRoundLedger.WrongSpec.selector);
        disputes.refute(SET, proof, NO_SALT);
    }

    /// @dev A leaf passes under some other sizes of the cohort as another slot's: the size is held against the round's.
    function test_a_leaf_of_a_cohort_of_another_size_is_not_the_rounds() public {
        Whole memory w = honest(Shape({seed: 13, rule: 1, n: 7, counted: 127, f: 0, m: 0, d: 20}));
        commit(w);
        uint256 found = 0;
        for (uint256 slot = 0; slot < 7; ++slot) {
            bytes32[] memory path = Trees.pathOf(2, w.setLeaves, slot);
            for (uint256 at = 0; at < 256; ++at) {
                SetLeaf memory set =
                    SetLeaf({slot: at % 16, slots: at / 16, data: w.setLeaves[slot], path: path});
                if (set.slot == slot && set.slots == 7) continue;
                bytes memory proof = abi.encodeCall(
                    ISetPredicates.signatureWrong, (w.round.spec, w.round.result, w.round.cohort, set)
                );
                harmless(w, SET, proof);
                (bool ok,) = address(setPredicates).staticcall(proof);
                if (!ok) continue;
                ++found;
                vm.expectPartialRevert(IRoundLedger.WrongCohortSize.selector);
                disputes.refute(SET, proof, NO_SALT);
            }
        }
        so("some do pass", found != 0);
    }

    function twoResults(Whole memory w, RoundResult memory other, bytes memory signature)
        private
        pure
        returns (bytes memory)
    {
        return abi.encodeCall(
            ISetPredicates.twoResults, (w.round.spec, w.round.result, w.round.signature, other, signature)
        );
    }

    function twoReceipts(Whole memory w, Receipt memory one, Receipt memory other) private view returns (bytes memory) {
        bytes memory first = signatureOf(ENCLAVE_KEY, harness.hashReceipt(one));
        bytes memory second = signatureOf(ENCLAVE_KEY, harness.hashReceipt(other));
        return abi.encodeCall(ISetPredicates.twoReceipts, (w.round.spec, one, first, other, second));
    }

    function copy(Receipt memory receipt) private pure returns (Receipt memory) {
        return abi.decode(abi.encode(receipt), (Receipt));
    }

    /// @dev The same signature with s in the upper half of the order.
    function highS(bytes memory signature) private pure returns (bytes memory) {
        (bytes32 r, bytes32 s) = abi.decode(signature, (bytes32, bytes32));
        uint8 v = 55 - uint8(signature[64]);
        return abi.encodePacked(r, ORDER - uint256(s), v);
    }

    /// @dev The same signature with v 0 or 1.
    function lowV(bytes memory signature) private pure returns (bytes memory) {
        (bytes32 r, bytes32 s) = abi.decode(signature, (bytes32, bytes32));
        return abi.encodePacked(r, s, uint8(signature[64]) - 27);
    }
}
