// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IConsortium} from "../src/interfaces/IConsortium.sol";
import {IEventStream} from "../src/interfaces/IEventStream.sol";
import {IRoundLedger} from "../src/interfaces/IRoundLedger.sol";
import {IParticipants} from "../src/interfaces/IParticipants.sol";
import {Terms} from "../src/libraries/Messages.sol";
import {World} from "./World.sol";

/// @title Opening, committing, settling and voiding: states, deadlines and who may
contract RoundsTest is World {
    uint256 internal constant ALL = (1 << SLOTS) - 1;

    function test_a_round_goes_from_opening_to_settlement() public {
        Round memory round = nextRound();
        open(round);
        same("open", uint256(IRoundLedger.State.Open), uint256(ledger.stateOf(1)));
        same("number", 1, ledger.currentRound());
        same("spec", harness.hashSpec(round.spec), ledger.specOf(1));
        same("coordinator", coordinator, ledger.currentCoordinator());

        vm.warp(round.spec.deadlines[2] + 1);
        finish(round, ALL, 0);
        propose(round);
        same("proposed", uint256(IRoundLedger.State.Proposed), uint256(ledger.stateOf(1)));
        same("result", harness.hashResult(round.result), ledger.resultOf(1));
        same("model stands until settled", GENESIS, ledger.model());

        vm.warp(round.spec.deadlines[4] + 1);
        settle(round);
        same("settled", uint256(IRoundLedger.State.Settled), uint256(ledger.stateOf(1)));
        same("model", round.result.newModel, ledger.model());
        same("previous", ledger.resultOf(1), ledger.previous());

        settled(ALL, 0);
        same("still settled", uint256(IRoundLedger.State.Settled), uint256(ledger.stateOf(1)));
        same("second", uint256(IRoundLedger.State.Settled), uint256(ledger.stateOf(2)));
        same("unknown", uint256(IRoundLedger.State.None), uint256(ledger.stateOf(3)));
        same("zero", uint256(IRoundLedger.State.None), uint256(ledger.stateOf(0)));
    }

    function test_opening_changes_nothing_but_the_round() public {
        bytes32[3] memory streams = [consortium.stream(), participants.stream(), enclaves.stream()];
        uint256 treasury = ledger.treasury();
        open(nextRound());
        same("consortium", streams[0], consortium.stream());
        same("participants", streams[1], participants.stream());
        same("enclaves", streams[2], enclaves.stream());
        same("treasury", treasury, ledger.treasury());
        same("bond", BOND, ledger.bondOf(coordinator));
        same("model", GENESIS, ledger.model());
    }

    function test_a_round_opens_only_when_the_last_one_is_over() public {
        proposed(ALL, 0);
        Round memory round = nextRound();
        vm.expectRevert(abi.encodeWithSelector(IRoundLedger.RoundNotOver.selector, uint64(1)));
        open(round);
    }

    function test_only_an_admitted_coordinator_opens() public {
        Round memory round = nextRound();
        remove(IConsortium.Action.RemoveCoordinator, word(coordinator));
        vm.expectRevert(abi.encodeWithSelector(IRoundLedger.NotCoordinator.selector, coordinator));
        open(round);
    }

    function test_a_removed_coordinator_may_finish_its_round() public {
        Round memory round = proposable(ALL, 0);
        remove(IConsortium.Action.RemoveCoordinator, word(coordinator));
        propose(round);
        vm.warp(round.spec.deadlines[4] + 1);
        settle(round);
    }

    function test_only_the_operator_of_the_enclave_opens_with_it() public {
        address other = address(0xC1);
        pass(IConsortium.Action.AdmitCoordinator, word(other), "");
        vm.deal(other, BOND);
        vm.prank(other);
        ledger.addBond{value: BOND}();
        Round memory round = nextRound();
        vm.expectRevert(abi.encodeWithSelector(IRoundLedger.WrongOperator.selector, coordinator, other));
        vm.prank(other);
        ledger.openRound(round.spec, round.registered, round.cut);
    }

    function test_a_spec_of_another_federation_round_chain_or_model_is_refused() public {
        Round memory round = nextRound();
        round.spec.federation = keccak256("other");
        expectOpen(round, abi.encodeWithSelector(IEventStream.WrongFederation.selector, FEDERATION, keccak256("other")));
        round = nextRound();
        round.spec.round = 2;
        expectOpen(round, abi.encodeWithSelector(IRoundLedger.WrongRound.selector, uint64(1), uint64(2)));
        round = nextRound();
        round.spec.previous = keccak256("x");
        expectOpen(round, abi.encodeWithSelector(IRoundLedger.WrongPrevious.selector, bytes32(0), keccak256("x")));
        round = nextRound();
        round.spec.baseModel = keccak256("x");
        expectOpen(round, abi.encodeWithSelector(IRoundLedger.WrongBaseModel.selector, GENESIS, keccak256("x")));
        round = nextRound();
        round.spec.cohort = keccak256("x");
        bytes32 cohort = harness.hashCohort(round.cohort);
        expectOpen(round, abi.encodeWithSelector(IRoundLedger.WrongCohort.selector, cohort, keccak256("x")));
        round = nextRound();
        round.spec.enclave = keccak256("x");
        expectOpen(round, abi.encodeWithSelector(IRoundLedger.EnclaveInactive.selector, keccak256("x")));
    }

    /// @dev Every field that the consortium fixes, one after the other.
    function test_no_field_of_the_terms_is_the_coordinators() public {
        bytes32 expected = harness.hashTerms(terms());
        for (uint256 field = 0; field < 14; ++field) {
            Round memory round = nextRound();
            Terms memory t = terms();
            if (field == 0) t.rule = round.spec.rule = 3;
            else if (field == 1) t.chain = round.spec.chain = bytes32("median");
            else if (field == 2) t.f = round.spec.f = 1;
            else if (field == 3) t.m = round.spec.m = 1;
            else if (field == 4) t.minCounted = round.spec.minCounted = 0;
            else if (field == 5) t.exponent = round.spec.exponent = -13;
            else if (field == 6) t.dimension = round.spec.dimension = 1;
            else if (field == 7) t.normBound = round.spec.normBound = 0;
            else if (field == 8) t.weightCap = round.spec.weightCap = 1;
            else if (field == 9) t.optimizer = round.spec.optimizer = 1;
            else if (field == 10) t.learningRate = round.spec.learningRate = 1;
            else if (field == 11) t.decay = round.spec.decay = 1;
            else if (field == 12) t.disclosure = round.spec.disclosure = 1;
            else t.budget = round.spec.budget = 0;
            expectOpen(round, abi.encodeWithSelector(IRoundLedger.WrongTerms.selector, expected, harness.hashTerms(t)));
        }
    }

    function testFuzz_each_deadline_keeps_the_window_and_the_slack(uint256 index, uint256 offset) public {
        index = within(index, 0, 4);
        offset = within(offset, 0, 3 hours);
        Round memory round = nextRound();
        uint64[5] memory windows = terms().windows;
        uint64 from = index == 0 ? uint64(block.timestamp) : round.spec.deadlines[index - 1];
        uint64 deadline = from + uint64(offset);
        round.spec.deadlines[index] = deadline;
        for (uint256 i = index + 1; i < 5; ++i) {
            round.spec.deadlines[i] = round.spec.deadlines[i - 1] + windows[i];
        }
        uint64 earliest = from + windows[index];
        if (deadline < earliest || deadline > earliest + 1 hours) {
            expectOpen(
                round,
                abi.encodeWithSelector(
                    IRoundLedger.WrongDeadline.selector, index, earliest, earliest + 1 hours, deadline
                )
            );
        } else {
            open(round);
        }
    }

    function test_the_register_must_be_whole_ascending_and_active() public {
        Round memory round = nextRound();
        round.registered = addresses(SLOTS - 1);
        expectOpen(round, abi.encodeWithSelector(IParticipants.WrongRegisterSize.selector, SLOTS, SLOTS - 1));
        round.registered = addresses(SLOTS);
        round.registered[2] = participantAt(1);
        expectOpen(
            round, abi.encodeWithSelector(IParticipants.NotAscending.selector, participantAt(1), participantAt(1))
        );
        round.registered = addresses(SLOTS);
        address stranger = address(uint160(participantAt(SLOTS)));
        round.registered[SLOTS - 1] = stranger;
        expectOpen(
            round, abi.encodeWithSelector(IParticipants.NotActive.selector, stranger, IParticipants.Membership.None)
        );
    }

    function test_nobody_registered_opens_nothing() public {
        for (uint256 slot = 0; slot < SLOTS; ++slot) {
            vm.prank(participantAt(slot));
            participants.leave();
        }
        Round memory round = nextRoundOf(terms(), new address[](0));
        expectOpen(round, abi.encodeWithSelector(IRoundLedger.EmptyCohort.selector));
    }

    function test_the_bond_covers_four_budgets_and_the_minimum() public {
        Round memory round = nextRound();
        vm.prank(coordinator);
        ledger.withdrawBond(1);
        expectOpen(round, abi.encodeWithSelector(IRoundLedger.BondTooSmall.selector, BOND, BOND - 1));
    }

    function test_the_treasury_covers_the_budget() public {
        Terms memory t = terms();
        t.budget = 10 ether + 1;
        bytes memory data = abi.encode(t, uint64(1));
        vm.prank(coordinator);
        ledger.addBond{value: 40 ether}();
        pass(IConsortium.Action.SetTerms, keccak256(data), data);
        Round memory round = nextRoundOf(t, addresses(SLOTS));
        expectOpen(round, abi.encodeWithSelector(IRoundLedger.TreasuryTooSmall.selector, t.budget, 10 ether));
    }

    function test_the_enclave_outlives_the_round() public {
        (, uint64 expiry) = enclaves.leaseOf(enclave);
        uint64[5] memory windows = terms().windows;
        uint64 length = windows[0] + windows[1] + windows[2] + windows[3] + windows[4];
        vm.warp(expiry - length + 1);
        Round memory round = nextRound();
        expectOpen(round, abi.encodeWithSelector(IRoundLedger.EnclaveExpires.selector, expiry, expiry + 1));
        vm.warp(expiry - length);
        round = nextRound();
        open(round);
        vm.warp(round.spec.deadlines[2] + 1);
        finish(round, ALL, 0);
        propose(round);
        vm.warp(expiry + 365 days);
        so("expired", !enclaves.isActive(enclave));
        settle(round);
    }

    function test_commit_is_in_time_up_to_its_deadline() public {
        Round memory round = nextRound();
        open(round);
        uint64 deadline = round.spec.deadlines[2];
        vm.warp(deadline - 1);
        commit(0, keccak256("u0"));
        vm.warp(deadline);
        commit(1, keccak256("u1"));
        vm.warp(deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(IEventStream.TooLate.selector, deadline, deadline + 1));
        commit(2, keccak256("u2"));
        same("commitment", keccak256("u1"), ledger.commitmentOf(1, participantAt(1)));
        same("none", bytes32(0), ledger.commitmentOf(1, participantAt(2)));
    }

    function test_one_commitment_a_participant_and_never_zero() public {
        open(nextRound());
        vm.expectRevert(IRoundLedger.EmptyDigest.selector);
        commit(0, bytes32(0));
        commit(0, keccak256("u"));
        vm.expectRevert(abi.encodeWithSelector(IRoundLedger.AlreadyCommitted.selector, keccak256("u")));
        commit(0, keccak256("v"));
    }

    function test_who_was_active_at_opening_commits_and_nobody_else() public {
        open(nextRound());
        join(participantAt(SLOTS));
        vm.expectRevert(abi.encodeWithSelector(IRoundLedger.NotInRound.selector, uint64(1), participantAt(SLOTS)));
        commit(SLOTS, keccak256("u"));
        vm.prank(participantAt(0));
        participants.leave();
        commit(0, keccak256("u"));
        remove(IConsortium.Action.SuspendParticipant, word(participantAt(1)));
        commit(1, keccak256("u"));
        remove(IConsortium.Action.SuspendParticipant, word(participantAt(2)));
        pass(IConsortium.Action.ReinstateParticipant, word(participantAt(2)), "");
        so("reinstated in the same round", participants.wasActive(participantAt(2), 1));
    }

    function test_commit_needs_the_open_round() public {
        vm.expectRevert(abi.encodeWithSelector(IRoundLedger.WrongRound.selector, uint64(0), uint64(1)));
        vm.prank(participantAt(0));
        ledger.commit(1, keccak256("u"));
        settled(ALL, 0);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundLedger.WrongState.selector, IRoundLedger.State.Open, IRoundLedger.State.Settled
            )
        );
        commit(0, keccak256("u"));
    }

    function test_propose_is_in_time_after_commit_and_up_to_its_deadline() public {
        Round memory round = nextRound();
        open(round);
        finish(round, ALL, 0);
        uint64 commit_ = round.spec.deadlines[2];
        uint64 deadline = round.spec.deadlines[3];
        vm.warp(commit_);
        expectPropose(round, abi.encodeWithSelector(IEventStream.TooEarly.selector, commit_ + 1, commit_));
        vm.warp(deadline + 1);
        expectPropose(round, abi.encodeWithSelector(IEventStream.TooLate.selector, deadline, deadline + 1));
        vm.warp(deadline);
        propose(round);
    }

    function test_propose_is_the_coordinators_and_once() public {
        Round memory round = proposable(ALL, 0);
        vm.expectRevert(abi.encodeWithSelector(IEventStream.WrongCaller.selector, coordinator, address(this)));
        ledger.propose(round.spec, round.result, round.outcomes, round.signature);
        propose(round);
        expectPropose(
            round,
            abi.encodeWithSelector(
                IRoundLedger.WrongState.selector, IRoundLedger.State.Open, IRoundLedger.State.Proposed
            )
        );
    }

    function test_settle_only_after_the_challenge_window() public {
        Round memory round = proposed(ALL, 0);
        uint64 end = round.spec.deadlines[4];
        vm.warp(end);
        expectSettle(round, abi.encodeWithSelector(IEventStream.TooEarly.selector, end + 1, end));
        vm.warp(end + 1);
        vm.prank(address(0xBEEF));
        settle(round);
        expectSettle(
            round,
            abi.encodeWithSelector(
                IRoundLedger.WrongState.selector, IRoundLedger.State.Proposed, IRoundLedger.State.Settled
            )
        );
    }

    function test_settle_takes_what_was_opened_and_proposed() public {
        Round memory round = proposed(ALL, 0);
        vm.warp(round.spec.deadlines[4] + 1);
        Round memory other = copy(round);
        other.spec.deadlines[4] -= 1;
        expectSettle(other, IRoundLedger.WrongSpec.selector);
        other = copy(round);
        other.result.newModel = keccak256("x");
        expectSettle(other, IRoundLedger.WrongResult.selector);
        other = copy(round);
        other.outcomes[20] ^= 0x01;
        expectSettle(other, IRoundLedger.WrongOutcomes.selector);
        other = copy(round);
        other.cohort[0] = address(1);
        expectSettle(other, IRoundLedger.WrongCohort.selector);
        other = copy(round);
        other.cohort = addresses(SLOTS - 1);
        expectSettle(other, IRoundLedger.WrongCohort.selector);
        settle(round);
    }

    function test_terms_that_change_meanwhile_do_not_touch_the_open_round() public {
        Round memory round = proposable(ALL, 0);
        Terms memory t = terms();
        t.budget = 0;
        bytes memory data = abi.encode(t, uint64(1));
        uint256 proposal = proposeAll(IConsortium.Action.SetTerms, keccak256(data), data);
        propose(round);
        skip(DELAY);
        consortium.execute(proposal, data);
        settle(round);
        same("paid under the terms of its opening", 10 ether - ledger.treasury(), sumOfCredits());
        so("paid", sumOfCredits() != 0);
        same("in force from the next round", harness.hashTerms(t), consortium.termsHash(2));
        same("not for this one", harness.hashTerms(terms()), consortium.termsHash(1));
    }

    function test_a_late_round_is_voided_by_anyone_for_a_tenth_of_the_bond() public {
        Round memory round = nextRound();
        open(round);
        uint64 deadline = round.spec.deadlines[3];
        vm.warp(deadline);
        vm.expectRevert(abi.encodeWithSelector(IRoundLedger.NothingToVoid.selector, uint64(1)));
        void_(round);
        vm.warp(deadline + 1);
        vm.prank(address(0xBEEF));
        void_(round);
        same("void", uint256(IRoundLedger.State.Void), uint256(ledger.stateOf(1)));
        same("fee", BOND - BOND / 10, ledger.bondOf(coordinator));
        same("to the treasury", 10 ether + BOND / 10, ledger.treasury());
        same("model stands", GENESIS, ledger.model());
        same("previous stands", bytes32(0), ledger.previous());
        vm.expectRevert(
            abi.encodeWithSelector(IRoundLedger.WrongState.selector, IRoundLedger.State.Open, IRoundLedger.State.Void)
        );
        void_(round);
        vm.prank(coordinator);
        ledger.addBond{value: 1 ether}();
        round = nextRound();
        same("a number is never used twice", 2, round.spec.round);
        open(round);
    }

    function test_a_revoked_measurement_voids_the_round_without_a_fee() public {
        Round memory round = nextRound();
        open(round);
        remove(IConsortium.Action.RevokeMeasurement, MEASUREMENT);
        vm.warp(round.spec.deadlines[3] + 1);
        void_(round);
        same("no fee, though late", BOND, ledger.bondOf(coordinator));
    }

    function test_a_proposed_round_of_a_revoked_enclave_never_settles() public {
        Round memory round = proposed(ALL, 0);
        vm.expectRevert(abi.encodeWithSelector(IRoundLedger.NothingToVoid.selector, uint64(1)));
        void_(round);
        remove(IConsortium.Action.RevokeEnclave, enclave);
        vm.warp(round.spec.deadlines[4] + 1);
        expectSettle(round, abi.encodeWithSelector(IRoundLedger.EnclaveInactive.selector, enclave));
        void_(round);
        same("no result", bytes32(0), ledger.resultOf(1));
        same("nothing paid", 10 ether, ledger.treasury());
        same("void", uint256(IRoundLedger.State.Void), uint256(ledger.stateOf(1)));
    }

    function test_a_distrusted_authority_takes_its_enclaves_with_it() public {
        Round memory round = proposable(ALL, 0);
        remove(IConsortium.Action.DistrustAuthority, authorityId());
        expectPropose(round, abi.encodeWithSelector(IRoundLedger.EnclaveInactive.selector, enclave));
        void_(round);
    }

    function test_a_revoked_certificate_voids_an_open_round_without_a_fee() public {
        Round memory round = nextRound();
        open(round);
        revokeCertificate(authorityId(), SERIAL + 1);
        vm.expectRevert(abi.encodeWithSelector(IRoundLedger.NothingToVoid.selector, uint64(1)));
        void_(round);
        revokeCertificate(authorityId(), SERIAL);
        void_(round);
        same("void", uint256(IRoundLedger.State.Void), uint256(ledger.stateOf(1)));
        same("bond", BOND, ledger.bondOf(coordinator));
    }

    function test_a_certificate_revoked_after_the_result_voids_the_round_without_a_fee() public {
        Round memory round = proposed(ALL, 0);
        revokeCertificate(authorityId(), SERIAL);
        vm.warp(round.spec.deadlines[4] + 1);
        expectSettle(round, abi.encodeWithSelector(IRoundLedger.EnclaveInactive.selector, enclave));
        void_(round);
        same("void", uint256(IRoundLedger.State.Void), uint256(ledger.stateOf(1)));
        same("bond", BOND, ledger.bondOf(coordinator));
        same("nothing paid", 10 ether, ledger.treasury());
    }

    function test_as_many_undelivered_as_f_settle() public {
        Round memory round = proposable(ALL & ~uint256(3), 0);
        setOutcome(round, 0, refusedWord(7));
        setOutcome(round, 1, refusedWord(8));
        sign(round, ENCLAVE_KEY);
        propose(round);
        vm.warp(round.spec.deadlines[4] + 1);
        vm.expectRevert(abi.encodeWithSelector(IRoundLedger.NothingToVoid.selector, uint64(1)));
        void_(round);
        settle(round);
    }

    function test_two_undelivered_where_f_is_one_void_the_round_at_once() public {
        Terms memory t = terms();
        t.f = 1;
        bytes memory data = abi.encode(t, uint64(1));
        pass(IConsortium.Action.SetTerms, keccak256(data), data);
        Round memory round = nextRoundOf(t, addresses(SLOTS));
        open(round);
        vm.warp(round.spec.deadlines[2] + 1);
        finish(round, ALL & ~uint256(3), 0);
        setOutcome(round, 0, refusedWord(8));
        setOutcome(round, 1, refusedWord(9));
        sign(round, ENCLAVE_KEY);
        propose(round);
        vm.warp(round.spec.deadlines[4] + 1);
        expectSettle(round, abi.encodeWithSelector(IRoundLedger.TooManyUndelivered.selector, 1, 2));
        Round memory other = copy(round);
        other.outcomes[1] = 0x07;
        vm.expectPartialRevert(IRoundLedger.WrongOutcomes.selector);
        void_(other);
        void_(round);
        same("no fee", BOND, ledger.bondOf(coordinator));
        same("void", uint256(IRoundLedger.State.Void), uint256(ledger.stateOf(1)));
    }

    function test_a_cohort_smaller_than_the_register_is_drawn_by_the_seed() public {
        Terms memory t = terms();
        t.cohortSize = 5;
        bytes memory data = abi.encode(t, uint64(1));
        pass(IConsortium.Action.SetTerms, keccak256(data), data);
        bytes32 seed = harness.seedOf(FEDERATION, 1, bytes32(0));
        bytes32 cut = cutOf(seed, 5);
        (address[] memory cohort, uint256 found) = harness.sample(addresses(SLOTS), seed, cut, 5);
        same("found", 5, found);
        Round memory round = nextRoundOf(t, cohort);
        round.registered = addresses(SLOTS);
        round.cut = cutOf(seed, 4);
        expectOpen(round, abi.encodeWithSelector(IRoundLedger.WrongCohortSize.selector, 5, 4));
        round.cut = cutOf(seed, 6);
        expectOpen(round, abi.encodeWithSelector(IRoundLedger.WrongCohortSize.selector, 5, 6));
        round.cut = cut;
        round.spec.cohort = harness.hashCohort(addresses(5));
        if (round.spec.cohort != harness.hashCohort(cohort)) expectOpen(round, IRoundLedger.WrongCohort.selector);
        round.spec.cohort = harness.hashCohort(cohort);
        open(round);
        vm.warp(round.spec.deadlines[2] + 1);
        finish(round, 31, 0);
        propose(round);
        vm.warp(round.spec.deadlines[4] + 1);
        settle(round);
        same("everybody in it is paid", creditOf(cohort[4]), creditOf(cohort[0]));
        so("paid", creditOf(cohort[0]) != 0);
    }

    function testFuzz_the_right_cut_leaves_the_right_number(uint256 size, uint64 round, bytes32 previous) public view {
        size = within(size, 1, SLOTS);
        bytes32 seed = harness.seedOf(FEDERATION, round, previous);
        (address[] memory cohort, uint256 found) = harness.sample(addresses(SLOTS), seed, cutOf(seed, size), size);
        same("found", size, found);
        for (uint256 i = 1; i < size; ++i) {
            so("ascending", cohort[i - 1] < cohort[i]);
        }
    }

    /// @dev The size-th smallest draw, by counting.
    function cutOf(bytes32 seed, uint256 size) internal pure returns (bytes32) {
        for (uint256 i = 0; i < SLOTS; ++i) {
            bytes32 draw = sha256(abi.encodePacked(seed, participantAt(i)));
            uint256 rank = 0;
            for (uint256 j = 0; j < SLOTS; ++j) {
                if (sha256(abi.encodePacked(seed, participantAt(j))) <= draw) ++rank;
            }
            if (rank == size) return draw;
        }
        revert NotSo("a draw of that rank");
    }

    function commit(uint256 slot, bytes32 update) internal {
        vm.prank(participantAt(slot));
        ledger.commit(1, update);
    }

    function sumOfCredits() internal view returns (uint256 total) {
        for (uint256 slot = 0; slot < SLOTS; ++slot) {
            total += creditOf(participantAt(slot));
        }
    }

    function copy(Round memory round) internal pure returns (Round memory) {
        return abi.decode(abi.encode(round), (Round));
    }

    function expectOpen(Round memory round, bytes memory error) internal {
        vm.expectRevert(error);
        open(round);
    }

    function expectOpen(Round memory round, bytes4 error) internal {
        vm.expectPartialRevert(error);
        open(round);
    }

    function expectPropose(Round memory round, bytes memory error) internal {
        vm.expectRevert(error);
        propose(round);
    }

    function expectSettle(Round memory round, bytes memory error) internal {
        vm.expectRevert(error);
        settle(round);
    }

    function expectSettle(Round memory round, bytes4 error) internal {
        vm.expectPartialRevert(error);
        settle(round);
    }
}
