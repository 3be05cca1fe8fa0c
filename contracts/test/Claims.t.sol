// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDisputes} from "../src/interfaces/IDisputes.sol";
import {IEventStream} from "../src/interfaces/IEventStream.sol";
import {SetLeaf} from "../src/interfaces/IPredicates.sol";
import {IRoundLedger} from "../src/interfaces/IRoundLedger.sol";
import {ISetPredicates} from "../src/interfaces/ISetPredicates.sol";
import {RoundResult, Spec} from "../src/libraries/Messages.sol";
import {Verdict} from "../src/libraries/Verdicts.sol";
import {Disputing} from "./Disputing.sol";

/// @title Pre-commitments: whoever copies a proof gains nothing
contract ClaimsTest is Disputing {
    address internal constant RIVAL = address(0xF11D);

    function test_a_copied_proof_earns_its_author_the_part_whoever_comes_first() public {
        Round memory round = proposed(ALL, 0);
        bytes memory proof = twoReceipts(round.spec, 0);
        commitProof(prover, proof);
        uint64 committed = uint64(block.number);
        vm.roll(block.number + 1);
        commitProof(copier, proof); // who has seen it now
        Verdict memory verdict = verdictBy(copier, round.spec, 8);
        refute(copier, proof);
        expectTag(verdict);
        claim(prover, verdict, proof);
        verdict.prover = prover;
        verdict.committedAt = committed;
        expectTag(verdict);
        vm.roll(block.number + 1);
        expectClaim(copier, verdict, proof, tooLate(committed, committed + 1));
        finish_(verdict);
        same("copier", 0, creditOf(copier));
        same("author", BOND / 4, creditOf(prover));
    }

    function test_a_commitment_in_the_same_block_does_not_count() public {
        Round memory round = proposed(ALL, 0);
        bytes memory proof = twoReceipts(round.spec, 0);
        commitProof(copier, proof);
        commitProof(prover, proof);
        Verdict memory verdict = verdictBy(copier, round.spec, 8);
        refute(copier, proof);
        expectTag(verdict); // as without one
        uint64 at = uint64(block.number);
        expectClaim(prover, verdict, proof, tooLate(at, 0));
        vm.roll(at + 1);
        expectClaim(prover, verdict, proof, tooLate(at, at));
    }

    /// @dev Of who had committed to nothing nobody takes anything either.
    function test_a_commitment_after_the_proof_was_shown_does_not_count() public {
        Round memory round = proposed(ALL, 0);
        Verdict memory verdict = refuted(prover, round.spec);
        uint64 at = uint64(block.number);
        vm.roll(at + 1);
        bytes memory proof = twoReceipts(round.spec, 0);
        commitProof(copier, proof);
        vm.roll(at + 2);
        expectClaim(copier, verdict, proof, tooLate(at, at + 1));
        finish_(verdict);
        same("prover", BOND / 4, creditOf(prover));
    }

    function test_who_has_committed_leads_from_the_start() public {
        Round memory round = proposed(ALL, 0);
        bytes memory proof = twoReceipts(round.spec, 0);
        commitProof(prover, proof);
        vm.roll(block.number + 1);
        Verdict memory verdict = verdictBy(prover, round.spec, 8);
        verdict.committedAt = uint64(block.number - 1);
        refute(prover, proof);
        expectTag(verdict);
        expectClaim(copier, verdict, proof, tooLate(verdict.committedAt, 0));
    }

    function test_the_earliest_of_several_wins_in_whatever_order_they_claim() public {
        for (uint256 order = 0; order < 2; ++order) {
            uint256 snapshot = vm.snapshotState();
            Round memory round = proposed(ALL, 0);
            (bytes memory first, bytes memory second) = (twoReceipts(round.spec, 1), twoReceipts(round.spec, 2));
            uint64 at = uint64(block.number);
            commitProof(prover, first);
            vm.roll(at + 1);
            commitProof(RIVAL, second);
            vm.roll(at + 2);
            Verdict memory verdict = refuted(copier, round.spec);
            if (order == 0) {
                verdict = replaced(verdict, RIVAL, second, at + 1);
                verdict = replaced(verdict, prover, first, at);
            } else {
                verdict = replaced(verdict, prover, first, at);
            }
            expectClaim(RIVAL, verdict, second, tooLate(at, at + 1));
            expectClaim(prover, verdict, first, tooLate(at, at)); // not again
            finish_(verdict);
            same("earliest", BOND / 4, creditOf(prover));
            vm.revertToState(snapshot);
        }
    }

    function test_of_one_block_the_one_that_leads_stays() public {
        Round memory round = proposed(ALL, 0);
        bytes memory proof = twoReceipts(round.spec, 0);
        commitProof(prover, proof);
        commitProof(RIVAL, proof);
        uint64 at = uint64(block.number);
        vm.roll(at + 1);
        refute(prover, proof);
        Verdict memory verdict = verdictBy(prover, round.spec, 8);
        verdict.committedAt = at;
        verdict.result = harness.hashResult(round.result);
        expectTag(verdict);
        expectClaim(RIVAL, verdict, proof, tooLate(at, at));
    }

    function test_an_hour_to_claim() public {
        Round memory round = proposed(ALL, 0);
        bytes memory proof = twoReceipts(round.spec, 0);
        commitProof(prover, proof);
        vm.roll(block.number + 1);
        Verdict memory verdict = refuted(copier, round.spec);
        uint256 end = verdict.decidedAt + CLAIM_WINDOW;
        vm.warp(end + 1);
        expectClaim(prover, verdict, proof, abi.encodeWithSelector(IEventStream.TooLate.selector, end, end + 1));
        vm.warp(end);
        uint256 leavesEnd = verdict.decidedAt + LEAVES_WINDOW;
        vm.expectRevert(abi.encodeWithSelector(IEventStream.TooEarly.selector, leavesEnd + 1, end));
        execute(verdict);
        replaced(verdict, prover, proof, uint64(block.number - 1));
    }

    function test_any_valid_proof_of_the_round_counts() public {
        (Round memory round, bytes[] memory leaves) = proposedWide(ALL);
        bytes memory proof = wrongSignature(round, leaves, 0);
        commitProof(prover, proof);
        vm.roll(block.number + 1);
        Verdict memory verdict = refuted(copier, round.spec);
        replaced(verdict, prover, proof, uint64(block.number - 1));
    }

    function test_signatures_count_where_a_result_was_refuted() public {
        (Round memory round, bytes[] memory leaves) = proposedWide(ALL);
        bytes memory proof = twoReceipts(round.spec, 0);
        commitProof(prover, proof);
        vm.roll(block.number + 1);
        Verdict memory verdict = verdictBy(copier, round.spec, 7);
        refute(copier, wrongSignature(round, leaves, 0));
        replaced(verdict, prover, proof, uint64(block.number - 1));
    }

    function test_a_commitment_is_of_one_account_proof_and_salt() public {
        Round memory round = proposed(ALL, 0);
        bytes memory proof = twoReceipts(round.spec, 0);
        commitProof(prover, proof);
        vm.roll(block.number + 1);
        Verdict memory verdict = refuted(copier, round.spec);
        uint64 at = uint64(block.number);
        expectClaim(RIVAL, verdict, proof, tooLate(at, 0));
        expectClaim(prover, verdict, twoReceipts(round.spec, 1), tooLate(at, 0));
        expectClaim(prover, verdict, bytes.concat(proof, hex"00"), tooLate(at, 0));
        vm.expectRevert(tooLate(at, 0));
        vm.prank(prover);
        disputes.claim(verdict, IDisputes.Family.Set, proof, keccak256("another salt"));
    }

    /// @dev Whoever takes a commitment from the mempool and sends it makes it earlier, and still its author's.
    function test_a_commitment_is_made_once_and_whoever_sends_it_makes_it_for_its_author() public {
        Round memory round = proposed(ALL, 0);
        bytes32 commitment = commitmentOf(prover, twoReceipts(round.spec, 0));
        same("none", 0, disputes.committedAt(commitment));
        vm.prank(copier);
        disputes.commitProof(commitment);
        same("block", block.number, disputes.committedAt(commitment));
        uint64 at = uint64(block.number);
        vm.roll(at + 7);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.AlreadyCommitted.selector, at));
        vm.prank(prover);
        disputes.commitProof(commitment);
        Verdict memory verdict = verdictBy(prover, round.spec, 8);
        verdict.committedAt = at;
        refute(prover, twoReceipts(round.spec, 0));
        expectTag(verdict);
    }

    function test_a_proof_of_another_round_is_none_of_this_one() public {
        Round memory round = nextRound();
        open(round);
        vm.warp(round.spec.deadlines[3] + 1);
        void_(round);
        bytes memory old = twoReceipts(round.spec, 0);
        commitProof(prover, old);
        vm.prank(coordinator);
        ledger.addBond{value: 1 ether}();
        Round memory next = proposed(ALL, 0);
        vm.roll(block.number + 1);
        Verdict memory verdict = refuted(copier, next.spec);
        expectClaim(prover, verdict, old, other(harness.hashSpec(next.spec), harness.hashSpec(round.spec)));
    }

    function test_a_proof_of_another_spec_is_none_of_this_one() public {
        Round memory round = proposed(ALL, 0);
        Spec memory spec = copy(round).spec;
        spec.f += 1;
        bytes memory proof = twoReceipts(spec, 0);
        commitProof(prover, proof);
        vm.roll(block.number + 1);
        Verdict memory verdict = refuted(copier, round.spec);
        expectClaim(prover, verdict, proof, other(harness.hashSpec(round.spec), harness.hashSpec(spec)));
    }

    function test_a_proof_of_another_result_is_none_of_this_one() public {
        (Round memory round,) = proposedWide(ALL);
        Round memory unproposed = copy(round);
        unproposed.result.counted = (1 << WIDE) - 1;
        bytes[] memory leaves = leavesOf(unproposed);
        reset(unproposed, leaves);
        bytes memory proof = wrongSignature(unproposed, leaves, 0);
        commitProof(prover, proof);
        vm.roll(block.number + 1);
        Verdict memory verdict = refuted(copier, round.spec);
        expectClaim(
            prover, verdict, proof, other(harness.hashResult(round.result), harness.hashResult(unproposed.result))
        );
    }

    function test_a_proof_of_a_result_is_none_where_there_was_no_result() public {
        joinKeyed();
        Round memory round = nextRoundOf(terms(), wideCohort());
        open(round);
        finish(round, ALL, 0);
        bytes[] memory leaves = leavesOf(round);
        reset(round, leaves);
        bytes memory proof = wrongSignature(round, leaves, 0);
        commitProof(prover, proof);
        vm.roll(block.number + 1);
        Verdict memory verdict = refuted(copier, round.spec);
        expectClaim(prover, verdict, proof, other(bytes32(0), harness.hashResult(round.result)));
    }

    function test_a_proof_that_fails_is_no_claim() public {
        Round memory round = proposed(ALL, 0);
        RoundResult memory same_ = round.result;
        bytes memory proof =
            abi.encodeCall(setPredicates.twoResults, (round.spec, same_, round.signature, same_, round.signature));
        commitProof(prover, proof);
        vm.roll(block.number + 1);
        Verdict memory verdict = refuted(copier, round.spec);
        expectClaim(prover, verdict, proof, abi.encodeWithSignature("NotRefuted()"));
    }

    function test_the_verdict_is_the_one_that_stands() public {
        Round memory round = proposed(ALL, 0);
        bytes memory proof = twoReceipts(round.spec, 0);
        commitProof(prover, proof);
        commitProof(RIVAL, proof);
        vm.roll(block.number + 1);
        Verdict memory first = refuted(copier, round.spec);
        Verdict memory verdict = replaced(first, prover, proof, uint64(block.number - 1));
        vm.expectRevert(wrongVerdict(tagOf(verdict), first));
        claim(RIVAL, first, proof); // as it was, when anybody who committed was earlier
    }

    /// @dev Whatever would give more time, or make a later commitment an earlier one.
    function test_a_verdict_that_was_made_up_is_none() public {
        Round memory round = proposed(ALL, 0);
        bytes memory proof = twoReceipts(round.spec, 0);
        commitProof(prover, proof);
        vm.roll(block.number + 1);
        commitProof(RIVAL, proof);
        vm.roll(block.number + 1);
        Verdict memory verdict = verdictBy(prover, round.spec, 8);
        verdict.committedAt = uint64(block.number - 2);
        refute(prover, proof);
        Verdict memory forged = copy(verdict);
        forged.committedAt = type(uint64).max;
        expectClaim(RIVAL, forged, proof, wrongVerdict(tagOf(verdict), forged));
        vm.warp(verdict.decidedAt + CLAIM_WINDOW + 1);
        forged.decidedAt += 1;
        expectClaim(RIVAL, forged, proof, wrongVerdict(tagOf(verdict), forged));
        forged.coordinator = RIVAL; // who has no verdict
        expectClaim(RIVAL, forged, proof, wrongVerdict(0, forged));
        forged = copy(verdict);
        forged.decidedAt = 0;
        vm.expectRevert(wrongVerdict(tagOf(verdict), forged));
        execute(forged); // before its time
    }

    /// @dev Predicates need to know how many slots there were, and meanwhile a round of other slots may be open: some
    /// friend of the liar's, a coordinator too, would open one and keep the prover's part with the copied proof.
    function test_a_claim_does_not_depend_on_what_was_opened_since() public {
        (address friend, bytes32 second) = secondCoordinator();
        (Round memory round, bytes[] memory leaves) = proposedWide(ALL);
        bytes memory proof = brokenCommitment(round, leaves, 2);
        commitProof(prover, proof);
        vm.roll(block.number + 1);
        Verdict memory verdict = verdictBy(copier, round.spec, 3);
        refute(copier, proof);
        openSmaller(friend, second);
        replaced(verdict, prover, proof, uint64(block.number - 1));
    }

    /// @dev Leaf 8 of 10 has the path of leaf 4 of 6: were the slots those of the round that is open, this would be a
    /// proof, and could be committed to before anybody has one.
    function test_no_proof_becomes_right_by_what_was_opened_since() public {
        (address friend, bytes32 second) = secondCoordinator();
        (Round memory round, bytes[] memory leaves) = proposedWide(ALL | (1 << 8));
        SetLeaf memory wrong = setLeaf(leaves, 8);
        (wrong.slot, wrong.slots) = (4, 6);
        bytes memory proof =
            abi.encodeCall(ISetPredicates.signatureWrong, (round.spec, round.result, round.cohort, wrong));
        commitProof(copier, proof);
        vm.roll(block.number + 1);
        bytes memory right = brokenCommitment(round, leaves, 2);
        expectRefute(proof, abi.encodeWithSelector(IRoundLedger.WrongCohortSize.selector, WIDE, 6));
        Verdict memory verdict = verdictBy(prover, round.spec, 3);
        refute(prover, right);
        openSmaller(friend, second);
        expectClaim(copier, verdict, proof, abi.encodeWithSelector(IDisputes.OtherCount.selector, WIDE, 6));
    }

    /// @dev Nobody can be earlier than who knows of the lie before it is told. That brings a quarter back, not more.
    function test_a_liar_that_commits_before_it_lies_still_loses_three_quarters() public {
        Round memory round = nextRound();
        bytes memory proof = twoReceipts(round.spec, 0); // the spec is its own choice
        commitProof(coordinator, proof);
        uint64 at = uint64(block.number);
        vm.roll(at + 1);
        open(round);
        vm.warp(round.spec.deadlines[2] + 1);
        finish(round, ALL, 0);
        propose(round);
        commitProof(prover, twoReceipts(round.spec, 1));
        vm.roll(at + 2);
        Verdict memory verdict = verdictBy(prover, round.spec, 8);
        verdict.committedAt = at + 1;
        refute(prover, twoReceipts(round.spec, 1));
        finish_(replaced(verdict, coordinator, proof, at));
        same("back", BOND / 4, creditOf(coordinator));
        same("burnt", BOND - BOND / 4, address(0).balance);
        so("more than a round can pay", BOND - BOND / 4 > BUDGET);
    }

    /// @dev The next round, of six slots.
    function openSmaller(address friend, bytes32 second) internal {
        for (uint256 slot = 3; slot < SLOTS; ++slot) {
            vm.prank(participantAt(slot));
            participants.leave();
        }
        Round memory next = nextRoundOf(terms(), without(wideCohort()));
        next.spec.enclave = second;
        vm.prank(friend);
        ledger.openRound(next.spec, next.registered, next.cut);
    }

    /// @dev Slots 0 to 2 and those with keys.
    function without(address[] memory list) internal pure returns (address[] memory rest) {
        rest = new address[](3 + KEYED);
        for (uint256 i = 0; i < rest.length; ++i) {
            rest[i] = list[i < 3 ? i : i + SLOTS - 3];
        }
    }

    function replaced(Verdict memory verdict, address who, bytes memory proof, uint64 committed)
        internal
        returns (Verdict memory next)
    {
        next = copy(verdict);
        claim(who, verdict, proof);
        (next.prover, next.committedAt) = (who, committed);
        expectTag(next);
    }

    function finish_(Verdict memory verdict) internal {
        vm.warp(verdict.decidedAt + LEAVES_WINDOW + 1);
        execute(verdict);
    }

    function expectTag(Verdict memory verdict) internal view {
        same("verdict", tagOf(verdict), ledger.verdictOf(coordinator));
    }

    function expectClaim(address who, Verdict memory verdict, bytes memory proof, bytes memory error) internal {
        bytes32 before = everything();
        vm.expectRevert(error);
        claim(who, verdict, proof);
        same("nothing changes", before, everything());
    }

    function tooLate(uint64 leading, uint64 actual) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IDisputes.NoEarlierCommitment.selector, leading, actual);
    }

    function wrongVerdict(uint136 expected, Verdict memory actual) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IRoundLedger.WrongVerdict.selector, expected, tagOf(actual));
    }

    function other(bytes32 expected, bytes32 actual) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IDisputes.OtherSubject.selector, expected, actual);
    }
}
