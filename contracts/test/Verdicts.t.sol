// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Errors} from "@openzeppelin/contracts/utils/Errors.sol";

import {IConsortium} from "../src/interfaces/IConsortium.sol";
import {IDisputes} from "../src/interfaces/IDisputes.sol";
import {IEventStream} from "../src/interfaces/IEventStream.sol";
import {IPredicates} from "../src/interfaces/IPredicates.sol";
import {IRoundLedger} from "../src/interfaces/IRoundLedger.sol";
import {ISetPredicates} from "../src/interfaces/ISetPredicates.sol";
import {Receipt, RoundResult, Spec} from "../src/libraries/Messages.sol";
import {Verdict} from "../src/libraries/Verdicts.sol";
import {Disputing} from "./Disputing.sol";

/// @title What a proof does at once, and when there is none
contract VerdictsTest is Disputing {
    function test_a_verdict_is_there_at_once() public {
        Round memory round = proposed(ALL, 0);
        uint256 before = address(ledger).balance;
        Verdict memory verdict = refuted(prover, round.spec);
        same("result", harness.hashResult(round.result), verdict.result);
        same("pot", BOND, verdict.pot);
        same("void", uint256(IRoundLedger.State.Void), uint256(ledger.stateOf(1)));
        same("no result", bytes32(0), ledger.resultOf(1));
        same("the base model stands", GENESIS, ledger.model());
        same("previous", bytes32(0), ledger.previous());
        frozen();
        same("treasury", 10 ether, ledger.treasury());
        same("nobody is paid", 0, creditOf(prover) + creditOf(participantAt(0)));
        same("no reputation changes", 3e8, ledger.reputationOf(participantAt(0)));
        same("the money is still here", before, address(ledger).balance);
    }

    function test_the_next_round_needs_another_vote_and_another_bond() public {
        Round memory round = proposed(ALL, 0);
        Verdict memory verdict = refuted(prover, round.spec);
        uint136 tag = tagOf(verdict);
        round = nextRound();
        same("a number is never used twice", 2, round.spec.round);
        expectOpen(round, abi.encodeWithSelector(IRoundLedger.EnclaveInactive.selector, enclave));
        pass(IConsortium.Action.AllowMeasurement, MEASUREMENT, "");
        round = nextRound();
        expectOpen(round, abi.encodeWithSelector(IRoundLedger.BondFrozen.selector, tag));
        vm.warp(verdict.decidedAt + LEAVES_WINDOW + 1);
        execute(verdict);
        round = nextRound();
        expectOpen(round, abi.encodeWithSelector(IRoundLedger.BondTooSmall.selector, BOND, 0));
        vm.prank(coordinator);
        ledger.addBond{value: BOND}();
        settled(ALL, 0);
        same("paid from the treasury", 10 ether - SLOTS * (BUDGET / SLOTS), ledger.treasury());
        same("the new bond", BOND, ledger.bondOf(coordinator));
    }

    function test_a_frozen_bond_neither_grows_nor_shrinks() public {
        Round memory round = proposed(ALL, 0);
        bytes memory error =
            abi.encodeWithSelector(IRoundLedger.BondFrozen.selector, tagOf(refuted(prover, round.spec)));
        bytes32 before = everything();
        vm.expectRevert(error);
        vm.prank(coordinator);
        ledger.withdrawBond(1);
        vm.expectRevert(error);
        vm.prank(coordinator);
        ledger.addBond{value: 1}();
        same("nothing changes", before, everything());
        frozen();
    }

    function test_the_measurement_waits_for_a_vote_that_knows_of_the_proof() public {
        uint256 spare = proposeAll(IConsortium.Action.AllowMeasurement, MEASUREMENT, "");
        skip(DELAY);
        Round memory round = proposed(ALL, 0);
        refuted(prover, round.spec);
        (bool trusted,) = enclaves.trustOf(enclave);
        so("not trusted", !trusted);
        so("not allowed", !consortium.isMeasurementAllowed(MEASUREMENT));
        vm.expectRevert(abi.encodeWithSelector(IConsortium.StaleProposal.selector, spare, spare));
        consortium.execute(spare, "");
        pass(IConsortium.Action.AllowMeasurement, MEASUREMENT, "");
        (trusted,) = enclaves.trustOf(enclave);
        so("trusted", trusted);
    }

    function test_a_vote_from_before_the_proof_is_stale_also_where_the_measurement_was_revoked() public {
        Round memory round = proposed(ALL, 0);
        remove(IConsortium.Action.RevokeMeasurement, MEASUREMENT);
        uint256 unaware = proposeAll(IConsortium.Action.AllowMeasurement, MEASUREMENT, "");
        refuted(prover, round.spec);
        frozen();
        skip(DELAY);
        vm.expectRevert(abi.encodeWithSelector(IConsortium.StaleProposal.selector, unaware, unaware));
        consortium.execute(unaware, "");
    }

    function test_what_a_host_can_do_to_an_honest_enclave_suspends_no_measurement() public {
        (Round memory round, bytes[] memory leaves) = proposedWide(ALL);
        Verdict memory verdict = verdictBy(prover, round.spec, 3);
        refute(prover, brokenCommitment(round, leaves, 2));
        same("verdict", tagOf(verdict), ledger.verdictOf(coordinator));
        (bool trusted,) = enclaves.trustOf(enclave);
        so("trusted", trusted);
        frozen();
    }

    /// @dev A liar that refutes itself by what a host can do keeps neither the bond nor the enclave's good name.
    function test_another_proof_suspends_what_the_first_one_left() public {
        (Round memory round, bytes[] memory leaves) = proposedWide(ALL);
        Verdict memory verdict = verdictBy(coordinator, round.spec, 3);
        refute(coordinator, brokenCommitment(round, leaves, 2));
        bytes memory proof = twoReceipts(round.spec, 0);
        uint256 snapshot = vm.snapshotState();
        vm.prank(prover);
        disputes.suspend(verdict, IDisputes.Family.Set, proof);
        (bool trusted,) = enclaves.trustOf(enclave);
        so("suspended", !trusted);
        same("the same verdict", tagOf(verdict), ledger.verdictOf(coordinator));
        same("no reward for it", 0, creditOf(prover));
        vm.revertToState(snapshot);
        expectSuspend(
            verdict, brokenCommitment(round, leaves, 2), abi.encodeWithSelector(IDisputes.NotEnclaves.selector, 3)
        );
        Verdict memory other = copy(verdict);
        other.prover = prover;
        expectSuspend(
            other, proof, abi.encodeWithSelector(IRoundLedger.WrongVerdict.selector, tagOf(verdict), tagOf(other))
        );
        Spec memory unopened = copy(round).spec;
        unopened.f += 1;
        bytes memory elsewhere = twoReceipts(unopened, 0);
        vm.expectPartialRevert(IDisputes.OtherSubject.selector);
        disputes.suspend(verdict, IDisputes.Family.Set, elsewhere);
        skip(1 hours + 1);
        disputes.executeVerdict(verdict, round.spec, round.result, round.cohort, leaves);
        expectSuspend(
            verdict, proof, abi.encodeWithSelector(IRoundLedger.WrongVerdict.selector, uint136(0), tagOf(verdict))
        );
    }

    function expectSuspend(Verdict memory verdict, bytes memory proof, bytes memory error) internal {
        vm.expectRevert(error);
        disputes.suspend(verdict, IDisputes.Family.Set, proof);
    }

    function test_an_open_round_is_refuted_by_signatures_alone() public {
        (Round memory round, bytes[] memory leaves) = unproposed();
        expectRefute(wrongSignature(round, leaves, 0), wrongState(IRoundLedger.State.Open));
        Verdict memory verdict = refuted(prover, round.spec);
        same("no result", bytes32(0), verdict.result);
        same("void", uint256(IRoundLedger.State.Void), uint256(ledger.stateOf(1)));
        vm.expectRevert(
            abi.encodeWithSelector(IRoundLedger.WrongState.selector, IRoundLedger.State.Open, IRoundLedger.State.Void)
        );
        propose(round);
    }

    function test_two_results_are_a_proof_whether_proposed_or_not() public {
        Round memory round = proposable(ALL, 0);
        RoundResult memory other = copy(round).result;
        other.newModel = keccak256("another");
        bytes memory proof = twoResults(round, other);
        propose(round);
        refute(prover, proof);
        frozen();
    }

    function test_one_result_or_receipt_twice_is_no_proof() public {
        Round memory round = proposed(ALL, 0);
        expectRefute(twoResults(round, round.result), abi.encodeWithSelector(IPredicates.NotRefuted.selector));
        Receipt memory one = receiptOf(round.spec, keccak256("one"));
        bytes memory signature = signed(ENCLAVE_KEY, harness.hashReceipt(one));
        expectRefute(
            abi.encodeCall(ISetPredicates.twoReceipts, (round.spec, one, signature, one, signature)),
            abi.encodeWithSelector(IPredicates.NotRefuted.selector)
        );
    }

    function test_a_round_that_is_over_is_not_refuted() public {
        Round memory round = settled(ALL, 0);
        expectRefute(twoReceipts(round.spec, 0), wrongState(IRoundLedger.State.Settled));
        Round memory next = proposed(ALL, 0);
        bytes memory error = abi.encodeWithSelector(IRoundLedger.WrongRound.selector, uint64(2), uint64(1));
        expectRefute(twoReceipts(round.spec, 0), error);
        refuted(prover, next.spec);
        expectRefute(twoReceipts(next.spec, 1), wrongState(IRoundLedger.State.Void));
        same("the settled one stands", harness.hashResult(round.result), ledger.previous());
    }

    function test_a_late_round_is_not_refuted_once_it_is_void() public {
        Round memory round = nextRound();
        open(round);
        vm.warp(round.spec.deadlines[3] + 1);
        void_(round);
        expectRefute(twoReceipts(round.spec, 0), wrongState(IRoundLedger.State.Void));
        same("late and no more", BOND - BOND / 10, ledger.bondOf(coordinator));
    }

    /// @dev What is void can't be refuted any more, for whatever reason it is. So a third of the members, who can revoke
    /// an enclave, and a host that makes its own attest more than f reasons, keep a bond from a proof; not the lie.
    function test_what_is_void_already_costs_no_bond() public {
        for (uint256 how = 0; how < 2; ++how) {
            uint256 snapshot = vm.snapshotState();
            (Round memory round,) = unproposed();
            for (uint256 slot = SLOTS; how == 0 && slot < WIDE; ++slot) {
                setOutcome(round, slot, refusedWord(7)); // three, and f is two
            }
            sign(round, ENCLAVE_KEY);
            propose(round);
            if (how == 1) remove(IConsortium.Action.RevokeEnclave, enclave);
            else escapesNot(round);
            void_(round);
            expectRefute(twoReceipts(round.spec, 0), wrongState(IRoundLedger.State.Void));
            same("bond", BOND, ledger.bondOf(coordinator));
            same("model", GENESIS, ledger.model());
            vm.revertToState(snapshot);
        }
    }

    /// @dev Reasons that a host can bring about do not void the round while proofs have their time.
    function escapesNot(Round memory round) internal {
        vm.warp(round.spec.deadlines[4]);
        uint64 end = round.spec.deadlines[4];
        vm.expectRevert(abi.encodeWithSelector(IEventStream.TooEarly.selector, end + 1, end));
        void_(round);
        vm.warp(round.spec.deadlines[4] + 1);
    }

    function test_a_round_that_is_not_there_is_not_refuted() public {
        Round memory round = nextRound();
        bytes memory error = abi.encodeWithSelector(IRoundLedger.WrongRound.selector, uint64(0), uint64(1));
        expectRefute(twoReceipts(round.spec, 0), error);
        open(round);
        Spec memory future = copy(round).spec;
        future.round = 2;
        error = abi.encodeWithSelector(IRoundLedger.WrongRound.selector, uint64(1), uint64(2));
        expectRefute(twoReceipts(future, 0), error);
    }

    /// @dev An enclave may sign what it likes about specs that nobody opened.
    function test_a_proof_is_about_the_spec_that_was_opened() public {
        Round memory round = proposed(ALL, 0);
        Spec memory other = copy(round).spec;
        other.budget += 1;
        expectRefute(twoReceipts(other, 0), wrongSpec(round.spec, other));
        other = copy(round).spec;
        other.federation = keccak256("another federation");
        Receipt memory one = receiptOf(other, keccak256("one"));
        Receipt memory two = receiptOf(other, keccak256("two"));
        bytes memory proof = abi.encodeCall(
            ISetPredicates.twoReceipts,
            (
                other,
                one,
                signed(ENCLAVE_KEY, harness.hashReceipt(one)),
                two,
                signed(ENCLAVE_KEY, harness.hashReceipt(two))
            )
        );
        expectRefute(proof, wrongSpec(round.spec, other));
    }

    /// @dev Registered by the same coordinator, but not this round's.
    function test_another_enclave_speaks_for_itself_only() public {
        bytes32 second = registerEnclave(0x0E2, 2);
        Round memory round = proposed(ALL, 0);
        Spec memory other = copy(round).spec;
        other.enclave = second;
        bytes memory proof = twoReceipts(other, 0); // by the first one's key
        address expected = vm.addr(0x0E2);
        vm.expectPartialRevert(ISetPredicates.OtherSigner.selector);
        refute(prover, proof);
        Receipt memory one = receiptOf(other, keccak256("one"));
        Receipt memory two = receiptOf(other, keccak256("two"));
        proof = abi.encodeCall(
            ISetPredicates.twoReceipts,
            (other, one, signed(0x0E2, harness.hashReceipt(one)), two, signed(0x0E2, harness.hashReceipt(two)))
        );
        same("signer", expected, enclaves.signerOf(second));
        expectRefute(proof, wrongSpec(round.spec, other));
    }

    function test_a_proof_is_about_the_result_that_was_proposed() public {
        (Round memory round,) = proposedWide(ALL);
        Round memory other = copy(round);
        other.result.counted = (1 << WIDE) - 1;
        bytes[] memory leaves = leavesOf(other);
        reset(other, leaves);
        (bytes32 expected, bytes32 actual) = (ledger.resultOf(1), harness.hashResult(other.result));
        expectRefute(
            wrongSignature(other, leaves, 0),
            abi.encodeWithSelector(IRoundLedger.WrongResult.selector, expected, actual)
        );
        other.result.spec = keccak256("another spec");
        expectRefute(
            wrongSignature(other, leaves, 0),
            abi.encodeWithSelector(
                IPredicates.OtherSpec.selector, keccak256("another spec"), harness.hashSpec(round.spec)
            )
        );
    }

    function test_two_proofs_of_one_round_are_one_verdict() public {
        (Round memory round, bytes[] memory leaves) = proposedWide(ALL);
        refuted(prover, round.spec);
        expectRefute(wrongSignature(round, leaves, 0), wrongState(IRoundLedger.State.Void));
    }

    function test_what_is_no_finding_is_no_proof() public {
        Round memory round = proposed(ALL, 0);
        bytes memory error = abi.encodeWithSelector(IDisputes.NoFinding.selector);
        expectRefute(abi.encodeCall(IPredicates.ledger, ()), error);
        error = abi.encodeWithSelector(Errors.FailedCall.selector);
        expectRefute("", error);
        expectRefute(hex"12345678", error);
        bytes memory proof = twoReceipts(round.spec, 0);
        bytes32 before = everything();
        vm.expectRevert(error);
        disputes.refute(IDisputes.Family.Column, proof, SALT);
        vm.expectRevert(error);
        disputes.refute(IDisputes.Family.Gram, proof, SALT);
        same("nothing changes", before, everything());
    }

    /// @dev A second before, at, and after each deadline, and much later: as long as nothing was settled.
    function test_no_proof_has_a_clock() public {
        for (uint256 i = 0; i < 16; ++i) {
            uint256 snapshot = vm.snapshotState();
            Round memory round = nextRound();
            open(round);
            uint64 at = i == 15 ? round.spec.deadlines[4] + 300 days : round.spec.deadlines[i / 3] + uint64(i % 3) - 1;
            if (at > round.spec.deadlines[3]) {
                vm.warp(round.spec.deadlines[2] + 1);
                finish(round, ALL, 0);
                propose(round);
            }
            vm.warp(at);
            refuted(prover, round.spec);
            frozen();
            vm.revertToState(snapshot);
        }
    }

    /// @dev Whoever comes first in the second after the challenge window.
    function test_settling_ends_it() public {
        Round memory round = proposed(ALL, 0);
        bytes memory proof = twoReceipts(round.spec, 0);
        vm.warp(round.spec.deadlines[4] + 1);
        settle(round);
        expectRefute(proof, wrongState(IRoundLedger.State.Settled));
        same("bond", BOND, ledger.bondOf(coordinator));
    }

    function test_only_the_rounds_coordinator_pays() public {
        address other = address(0xC1);
        vm.deal(other, BOND);
        vm.prank(other);
        ledger.addBond{value: BOND}();
        pass(IConsortium.Action.AdmitCoordinator, word(other), "");
        Round memory round = proposed(ALL, 0);
        refuted(prover, round.spec);
        same("another bond", BOND, ledger.bondOf(other));
        vm.prank(other);
        ledger.withdrawBond(BOND);
    }

    function test_who_left_the_coordinators_still_pays() public {
        Round memory round = proposed(ALL, 0);
        remove(IConsortium.Action.RemoveCoordinator, word(coordinator));
        refuted(prover, round.spec);
        frozen();
    }

    function frozen() internal view {
        same("all of the bond", BOND, ledger.bondOf(coordinator));
        so("frozen", ledger.verdictOf(coordinator) != 0);
    }

    /// @dev An open round with a finished result that was not proposed, whose first leaf nobody signed.
    function unproposed() internal returns (Round memory round, bytes[] memory leaves) {
        joinKeyed();
        round = nextRoundOf(terms(), wideCohort());
        open(round);
        vm.warp(round.spec.deadlines[2] + 1);
        finish(round, ALL, 0);
        leaves = leavesOf(round);
        reset(round, leaves);
    }

    function twoResults(Round memory round, RoundResult memory other) internal view returns (bytes memory) {
        bytes memory signature = signed(ENCLAVE_KEY, harness.hashResult(other));
        return abi.encodeCall(ISetPredicates.twoResults, (round.spec, round.result, round.signature, other, signature));
    }

    function wrongState(IRoundLedger.State actual) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IRoundLedger.WrongState.selector, IRoundLedger.State.Proposed, actual);
    }

    function wrongSpec(Spec memory expected, Spec memory actual) internal view returns (bytes memory) {
        return
            abi.encodeWithSelector(
                IRoundLedger.WrongSpec.selector, harness.hashSpec(expected), harness.hashSpec(actual)
            );
    }

    function expectOpen(Round memory round, bytes memory error) internal {
        vm.expectRevert(error);
        open(round);
    }
}
