// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {IConsortium} from "../src/interfaces/IConsortium.sol";
import {IEventStream} from "../src/interfaces/IEventStream.sol";
import {IRoundLedger} from "../src/interfaces/IRoundLedger.sol";
import {RoundResult, Terms} from "../src/libraries/Messages.sol";
import {World} from "./World.sol";

/// @title What a result must be, and whose signature it must carry
contract ResultsTest is World {
    uint256 internal constant ALL = (1 << SLOTS) - 1;
    uint256 internal constant ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    function test_a_result_signed_by_the_host_is_refused() public {
        Round memory round = proposable(ALL, 0);
        sign(round, 0xBAD);
        refused(round, abi.encodeWithSelector(IRoundLedger.WrongSigner.selector, vm.addr(ENCLAVE_KEY), vm.addr(0xBAD)));
    }

    function test_a_second_registered_enclave_can_not_sign_for_the_first() public {
        bytes32 other = registerEnclave(0x0E2, 2);
        Round memory round = proposable(ALL, 0);
        sign(round, 0x0E2);
        refused(round, abi.encodeWithSelector(IRoundLedger.WrongSigner.selector, vm.addr(ENCLAVE_KEY), vm.addr(0x0E2)));
        round.result.enclave = other;
        sign(round, 0x0E2);
        refused(round, abi.encodeWithSelector(IRoundLedger.WrongEnclave.selector, enclave, other));
    }

    function test_a_tampered_result_no_longer_carries_the_signature() public {
        Round memory round = proposable(ALL, 0);
        round.result.newModel = keccak256("tampered");
        vm.expectPartialRevert(IRoundLedger.WrongSigner.selector);
        propose(round);
    }

    function testFuzz_no_field_of_a_result_is_outside_the_signature(uint256 field, uint256 noise) public {
        Round memory round = proposable(ALL, 0);
        vm.assume(noise != 0);
        bytes memory data = abi.encode(round.result);
        field = within(field, 0, 12);
        for (uint256 i = 0; i < 32; ++i) {
            data[32 * field + i] ^= bytes1(uint8(noise >> (8 * i)));
        }
        (bool ok,) = address(harness).call(bytes.concat(harness.hashResult.selector, data));
        if (!ok) return; // not an encoding of a result
        bytes32 hash = harness.hashResult(abi.decode(data, (RoundResult)));
        so("another hash", hash != harness.hashResult(round.result));
        round.result = abi.decode(data, (RoundResult));
        vm.expectRevert();
        propose(round);
    }

    function test_high_s_is_refused() public {
        Round memory round = proposable(ALL, 0);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(ENCLAVE_KEY, digestOf(round.result));
        bytes32 high = bytes32(ORDER - uint256(s));
        round.signature = abi.encodePacked(r, high, v == 27 ? uint8(28) : uint8(27));
        refused(round, abi.encodeWithSelector(ECDSA.ECDSAInvalidSignatureS.selector, high));
    }

    function test_v_is_27_or_28_and_the_length_65() public {
        Round memory round = proposable(ALL, 0);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(ENCLAVE_KEY, digestOf(round.result));
        round.signature = abi.encodePacked(r, s, v - 27);
        refused(round, abi.encodeWithSelector(ECDSA.ECDSAInvalidSignature.selector));
        round.signature = abi.encodePacked(r, s);
        refused(round, abi.encodeWithSelector(ECDSA.ECDSAInvalidSignatureLength.selector, 64));
        round.signature = abi.encodePacked(r, s, v, v);
        refused(round, abi.encodeWithSelector(ECDSA.ECDSAInvalidSignatureLength.selector, 66));
        round.signature = new bytes(65);
        refused(round, abi.encodeWithSelector(ECDSA.ECDSAInvalidSignature.selector));
    }

    function test_a_signature_for_another_chain_ledger_or_federation_does_not_count() public {
        Round memory round = proposable(ALL, 0);
        bytes32 hash = harness.hashResult(round.result);
        signedFor(round, domain(block.chainid + 1, address(ledger)), hash);
        vm.expectPartialRevert(IRoundLedger.WrongSigner.selector);
        propose(round);
        signedFor(round, domain(block.chainid, address(this)), hash);
        vm.expectPartialRevert(IRoundLedger.WrongSigner.selector);
        propose(round);
        same("domain", domain(block.chainid, address(ledger)), ledger.domainSeparator());
        vm.chainId(block.chainid + 1);
        vm.expectPartialRevert(IRoundLedger.WrongSigner.selector);
        propose(round);
        vm.chainId(block.chainid - 1);
        round.result.federation = keccak256("other");
        sign(round, ENCLAVE_KEY);
        refused(round, abi.encodeWithSelector(IEventStream.WrongFederation.selector, FEDERATION, keccak256("other")));
    }

    function test_a_signed_result_of_another_round_spec_or_lineage_is_refused() public {
        Round memory last = settled(ALL, 0);
        Round memory round = proposable(ALL, 0);
        bytes32 previous = ledger.previous();
        RoundResult memory good = round.result;
        round.result = last.result;
        round.signature = last.signature;
        round.outcomes = last.outcomes;
        refused(round, abi.encodeWithSelector(IRoundLedger.WrongRound.selector, uint64(2), uint64(1)));
        round.result = good;
        round.result.spec = keccak256("x");
        sign(round, ENCLAVE_KEY);
        refused(
            round, abi.encodeWithSelector(IRoundLedger.WrongSpec.selector, harness.hashSpec(round.spec), keccak256("x"))
        );
        round.result.spec = harness.hashSpec(round.spec);
        round.result.previous = bytes32(0);
        sign(round, ENCLAVE_KEY);
        refused(round, abi.encodeWithSelector(IRoundLedger.WrongPrevious.selector, previous, bytes32(0)));
    }

    function test_bitmaps_fit_the_cohort_and_each_other() public {
        Round memory round = proposable(ALL, 0);
        round.result.counted = ALL | (1 << SLOTS);
        sign(round, ENCLAVE_KEY);
        refused(round, abi.encodeWithSelector(IRoundLedger.WrongBitmap.selector, ALL, ALL | (1 << SLOTS)));
        round.result.counted = ALL;
        round.result.selected = ALL | (1 << 255);
        sign(round, ENCLAVE_KEY);
        refused(round, abi.encodeWithSelector(IRoundLedger.WrongBitmap.selector, ALL, ALL | (1 << 255)));
        round.result.selected = ALL - 1;
        sign(round, ENCLAVE_KEY);
        refused(round, abi.encodeWithSelector(IRoundLedger.WrongBitmap.selector, ALL, ALL - 1));
    }

    function test_outcomes_are_those_that_the_result_hashes() public {
        Round memory round = proposable(ALL, 0);
        round.outcomes[30] = 0x01;
        vm.expectPartialRevert(IRoundLedger.WrongOutcomes.selector);
        propose(round);
        round = nextOutcomes(round, bytes.concat(outcomesOf(SLOTS, ALL, 0), bytes32(0)));
        refused(round, abi.encodeWithSelector(IRoundLedger.WrongOutcomesLength.selector, 32 * SLOTS, 32 * SLOTS + 32));
        round = nextOutcomes(round, "");
        refused(round, abi.encodeWithSelector(IRoundLedger.WrongOutcomesLength.selector, 32 * SLOTS, 0));
    }

    /// @dev Each of these words contradicts the bitmap, itself, or the layout.
    function test_every_malformed_outcome_is_refused() public {
        Round memory round = proposable(ALL - 1, 0); // slot 0 absent, slot 1 counted
        uint256 good = countedWord(false);
        badOutcome(round, 0, good); // counted, but not in the bitmap
        badOutcome(round, 0, uint256(1) << 248); // refused without a reason
        badOutcome(round, 0, uint256(7) << 240); // absent with a reason
        badOutcome(round, 0, refusedWord(10)); // no such reason
        badOutcome(round, 0, refusedWord(3) | 1); // low bits
        badOutcome(round, 0, refusedWord(3) | (1 << 232)); // flagged, though not counted
        badOutcome(round, 0, refusedWord(3) | (1 << 200)); // kept, though not counted
        badOutcome(round, 0, uint256(3) << 248); // no such status
        badOutcome(round, 1, 0); // in the bitmap, but absent
        badOutcome(round, 1, refusedWord(3)); // in the bitmap, but refused
        badOutcome(round, 1, good | (1 << 240)); // counted with a reason
        badOutcome(round, 1, good | 1); // low bits
        badOutcome(round, 1, good | (1 << 39)); // low bits
        badOutcome(round, 1, good | (1 << 232)); // flagged, though aligned
        badOutcome(round, 1, good | (2 << 232)); // flagged is 0 or 1
        badOutcome(round, 1, countedWord(true) & ~(uint256(1) << 232)); // opposed, but not flagged
        setOutcome(round, 0, refusedWord(6));
        setOutcome(round, 1, countedWord(true));
        sign(round, ENCLAVE_KEY);
        propose(round);
    }

    function testFuzz_an_outcome_passes_exactly_if_it_is_well_formed(uint256 outcome, uint256 mask) public {
        outcome &= mask; // zeros are as likely as they are interesting
        bool counted = outcome >> 248 == 2;
        Round memory round = proposable(counted ? ALL : ALL - 1, 0);
        setOutcome(round, 0, outcome);
        sign(round, ENCLAVE_KEY);
        if (isWellFormed(outcome)) propose(round);
        else refused(round, abi.encodeWithSelector(IRoundLedger.WrongOutcome.selector, 0, outcome));
    }

    function test_roots_are_there_exactly_where_the_rule_needs_them() public {
        Round memory round = proposable(ALL, 0);
        round.result.newModel = bytes32(0);
        sign(round, ENCLAVE_KEY);
        refused(round, abi.encodeWithSelector(IRoundLedger.WrongNewModel.selector, bytes32(0)));
        round.result.newModel = keccak256("m");
        round.result.columnRoot = bytes32(0);
        sign(round, ENCLAVE_KEY);
        refused(round, abi.encodeWithSelector(IRoundLedger.WrongColumnRoot.selector, bytes32(0)));
        round.result.columnRoot = keccak256("c");
        round.result.gramRoot = keccak256("g");
        sign(round, ENCLAVE_KEY);
        refused(round, abi.encodeWithSelector(IRoundLedger.WrongGramRoot.selector, keccak256("g")));
        round.result.gramRoot = bytes32(0);
        round.result.state = keccak256("s");
        sign(round, ENCLAVE_KEY);
        refused(round, abi.encodeWithSelector(IRoundLedger.WrongStateRoot.selector, bytes32(0), keccak256("s")));
    }

    function test_krum_selects_one_and_has_a_gram_tree() public {
        Round memory round = proposableUnder(5, 0, 0, ALL);
        round.result.selected = 4;
        sign(round, ENCLAVE_KEY);
        refused(round, abi.encodeWithSelector(IRoundLedger.WrongGramRoot.selector, bytes32(0)));
        round.result.gramRoot = keccak256("g");
        round.result.selected = 6;
        sign(round, ENCLAVE_KEY);
        refused(round, abi.encodeWithSelector(IRoundLedger.WrongSelected.selector, 1, 2));
        round.result.selected = 4;
        sign(round, ENCLAVE_KEY);
        propose(round);
    }

    function test_multi_krum_selects_m_or_all_but_f() public {
        Round memory round = proposableUnder(6, 0, 0, ALL);
        round.result.gramRoot = keccak256("g");
        round.result.selected = 15;
        sign(round, ENCLAVE_KEY);
        refused(round, abi.encodeWithSelector(IRoundLedger.WrongSelected.selector, 5, 4));
        round.result.selected = 31;
        sign(round, ENCLAVE_KEY);
        propose(round);
    }

    function test_a_rule_that_only_a_replay_knows_may_keep_state_and_select() public {
        Round memory round = proposableUnder(0, 0, 0, ALL);
        round.result.state = keccak256("s");
        round.result.selected = 3;
        sign(round, ENCLAVE_KEY);
        propose(round);
    }

    function test_momentum_keeps_state() public {
        Round memory round = proposableUnder(4, 1, 0, ALL);
        round.result.state = keccak256("momentum");
        sign(round, ENCLAVE_KEY);
        propose(round);
    }

    function test_too_few_counted_void_the_round_without_a_fee() public {
        Round memory round = proposable(15, 0); // four counted; a trimmed mean with f = 2 needs five
        refused(round, abi.encodeWithSelector(IRoundLedger.WrongNewModel.selector, round.result.newModel));
        round.result.newModel = GENESIS;
        sign(round, ENCLAVE_KEY);
        refused(round, abi.encodeWithSelector(IRoundLedger.WrongColumnRoot.selector, round.result.columnRoot));
        round.result.columnRoot = bytes32(0);
        round.result.gramRoot = keccak256("g");
        sign(round, ENCLAVE_KEY);
        refused(round, abi.encodeWithSelector(IRoundLedger.WrongGramRoot.selector, keccak256("g")));
        round.result.gramRoot = bytes32(0);
        sign(round, ENCLAVE_KEY);
        propose(round);
        same("void", uint256(IRoundLedger.State.Void), uint256(ledger.stateOf(1)));
        same("no result", bytes32(0), ledger.resultOf(1));
        same("no fee", BOND, ledger.bondOf(coordinator));
        same("nothing paid", 10 ether, ledger.treasury());
        same("model", GENESIS, ledger.model());
        open(nextRound());
    }

    function testFuzz_the_minimum_is_the_rules_or_the_specs(uint8 rule, uint256 f, uint256 m, uint256 least)
        public
        view
    {
        (f, m, least) = (f % 300, m % 300, least % 300);
        rule = uint8(within(rule, 0, 6));
        uint256[7] memory bounds =
            [uint256(1), 1, 1, 2 * f + 1, 2 * f + 1, 2 * f + 3, m + f > 2 * f + 3 ? m + f : 2 * f + 3];
        uint256 expected = bounds[rule] > least ? bounds[rule] : least;
        same("minimum", expected, harness.minimumCounted(rule, f, m, least));
    }

    function testFuzz_enough_is_what_decides_between_proposed_and_void(uint256 counted, uint16 least) public {
        counted = within(counted, 0, ALL);
        least = uint16(within(least, 0, SLOTS));
        Round memory round = proposableUnder(1, 0, least, counted);
        uint256 count = populationOf(counted);
        uint256 needed = least == 0 ? 1 : least;
        if (count < needed) {
            round.result.newModel = GENESIS;
            round.result.columnRoot = bytes32(0);
            sign(round, ENCLAVE_KEY);
        }
        propose(round);
        IRoundLedger.State expected = count < needed ? IRoundLedger.State.Void : IRoundLedger.State.Proposed;
        same("state", uint256(expected), uint256(ledger.stateOf(1)));
    }

    function proposableUnder(uint8 rule, uint8 optimizer, uint16 least, uint256 counted)
        internal
        returns (Round memory round)
    {
        Terms memory t = terms();
        t.rule = rule;
        t.optimizer = optimizer;
        t.minCounted = least;
        bytes memory data = abi.encode(t, uint64(1));
        pass(IConsortium.Action.SetTerms, keccak256(data), data);
        round = nextRoundOf(t, addresses(SLOTS));
        open(round);
        vm.warp(round.spec.deadlines[2] + 1);
        finish(round, counted, 0);
    }

    function nextOutcomes(Round memory round, bytes memory outcomes) internal view returns (Round memory) {
        round.outcomes = outcomes;
        round.result.outcomes = keccak256(outcomes);
        sign(round, ENCLAVE_KEY);
        return round;
    }

    function badOutcome(Round memory round, uint256 slot, uint256 outcome) internal {
        round.outcomes = outcomesOf(SLOTS, ALL - 1, 0);
        setOutcome(round, slot, outcome);
        sign(round, ENCLAVE_KEY);
        refused(round, abi.encodeWithSelector(IRoundLedger.WrongOutcome.selector, slot, outcome));
    }

    /// @dev Written from the layout, not from the contract.
    function isWellFormed(uint256 outcome) internal pure returns (bool) {
        uint256 status = outcome >> 248;
        uint256 reason = uint8(outcome >> 240);
        uint256 flagged = uint8(outcome >> 232);
        int64 alignment = int64(uint64(outcome >> 72));
        if (outcome << 216 != 0) return false;
        if (status == 2) return reason == 0 && flagged == (alignment < 0 ? 1 : 0);
        if (outcome << 16 != 0 || reason > 9 || status > 1) return false;
        return (status == 1) == (reason != 0);
    }

    function populationOf(uint256 bitmap) internal pure returns (uint256 count) {
        for (uint256 i = 0; i < 256; ++i) {
            count += (bitmap >> i) & 1;
        }
    }

    function domain(uint256 chainId, address verifying) internal pure returns (bytes32) {
        bytes32 kind = keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        return keccak256(abi.encode(kind, keccak256("Veriflock"), keccak256("1"), chainId, verifying));
    }

    function signedFor(Round memory round, bytes32 separator, bytes32 hash) internal pure {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(ENCLAVE_KEY, keccak256(abi.encodePacked(hex"1901", separator, hash)));
        round.signature = abi.encodePacked(r, s, v);
    }

    function refused(Round memory round, bytes memory error) internal {
        vm.expectRevert(error);
        propose(round);
    }
}
