// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IConsortium} from "../src/interfaces/IConsortium.sol";
import {IEventStream} from "../src/interfaces/IEventStream.sol";
import {IRoundLedger} from "../src/interfaces/IRoundLedger.sol";
import {Verdict} from "../src/libraries/Verdicts.sol";
import {Asking} from "./Asking.sol";

/// @title What waits for an answer, for how long, and what it costs if there is none
contract WithheldTest is Asking {
    function test_a_round_waits_for_answers_and_the_time_to_use_them() public {
        uint64 end = _round.spec.deadlines[4];
        vm.warp(end);
        ask(0, SET, 0, 0);
        ask(1, SET, 0, 1);
        vm.warp(end + 1);
        expectSettle(abi.encodeWithSelector(IRoundLedger.RequestsOpen.selector, 2));
        answer(prover, 0, answerTo(SET, 0));
        vm.warp(end + 10);
        expectSettle(abi.encodeWithSelector(IRoundLedger.RequestsOpen.selector, 1));
        answer(prover, 1, answerTo(SET, 1));
        uint64 from = end + 10 + WINDOW + 1;
        (uint256 open_, uint64 notBefore) = disputes.holdOn(1);
        same("open", 0, open_);
        same("not before", from, notBefore);
        vm.warp(from - 1);
        expectSettle(abi.encodeWithSelector(IEventStream.TooEarly.selector, from, from - 1));
        vm.warp(from);
        settle(_round);
    }

    function test_an_early_answer_shortens_no_window() public {
        ask(0, SET, 0, 0);
        answer(prover, 0, answerTo(SET, 0));
        uint64 from = _round.spec.deadlines[4] + 1;
        vm.warp(from - 1);
        expectSettle(abi.encodeWithSelector(IEventStream.TooEarly.selector, from, from - 1));
        vm.warp(from);
        settle(_round);
    }

    /// @dev Everybody asks at the last second, and each is answered at the last second, one after the other or not: two
    /// challenge windows more, and a proof has always had a whole one.
    function test_the_latest_settlement_is_two_windows_late() public {
        uint64 end = _round.spec.deadlines[4];
        vm.warp(end);
        for (uint256 i = 0; i < MEMBERS; ++i) {
            ask(i, SET, 0, uint32(i));
        }
        vm.warp(end + WINDOW);
        for (uint256 i = 0; i < MEMBERS; ++i) {
            answer(prover, i, answerTo(SET, uint32(i)));
        }
        uint64 from = end + 2 * WINDOW + 1;
        vm.warp(from - 1);
        expectSettle(abi.encodeWithSelector(IEventStream.TooEarly.selector, from, from - 1));
        vm.warp(from);
        settle(_round);
    }

    function testFuzz_whatever_is_asked_the_round_ends(uint256 seed) public {
        uint64 end = _round.spec.deadlines[4];
        uint64 start = uint64(block.timestamp);
        for (uint256 i = 0; i < MEMBERS; ++i) {
            vm.warp(start + (end - start) * (i + 1) / MEMBERS - within(seed >> (8 * i), 0, 5));
            ask(i, SET, 0, uint32(i));
            if ((seed >> (128 + i)) & 1 == 1) answer(prover, i, answerTo(SET, uint32(i)));
        }
        bool isAnswered = (seed >> 160) & 1 == 1;
        for (uint256 i = 0; isAnswered && i < MEMBERS; ++i) {
            (,,, uint64 answerBy, bool isOpen) = disputes.requestOf(1, member(i));
            if (!isOpen) continue;
            if (block.timestamp <= answerBy) answer(prover, i, answerTo(SET, uint32(i)));
        }
        vm.warp(end + 2 * WINDOW + 1);
        (uint256 open_,) = disputes.holdOn(1);
        if (open_ == 0) {
            settle(_round);
            return;
        }
        bool isVoid = false;
        for (uint256 i = 0; i < MEMBERS; ++i) {
            (,,,, bool isOpen) = disputes.requestOf(1, member(i));
            if (!isOpen) continue;
            if (isVoid) disputes.closeRequest(1, member(i));
            else disputes.voidWithheld(1, member(i));
            isVoid = true;
        }
        same("all deposits are credits", 0, address(disputes).balance);
        same("a tenth", BOND - BOND / 10, ledger.bondOf(coordinator));
    }

    function test_a_leaf_that_does_not_come_voids_the_round_for_a_tenth_of_the_bond() public {
        ask(0, SET, 0, 0);
        ask(1, SET, 0, 0);
        (,,, uint64 answerBy,) = disputes.requestOf(1, member(0));
        vm.warp(answerBy);
        vm.expectRevert(abi.encodeWithSelector(IEventStream.TooEarly.selector, answerBy + 1, answerBy));
        disputes.voidWithheld(1, member(0));
        vm.warp(answerBy + 1);
        vm.expectRevert(noRequest(1, 2));
        disputes.voidWithheld(1, member(2));
        vm.prank(address(0xBEEF));
        disputes.voidWithheld(1, member(0));
        same("void", uint256(IRoundLedger.State.Void), uint256(ledger.stateOf(1)));
        same("no result", bytes32(0), ledger.resultOf(1));
        same("bond", BOND - BOND / 10, ledger.bondOf(coordinator));
        same("treasury", 10 ether + BOND / 10, ledger.treasury());
        same("back", PRICE, creditOf(member(0)));
        (bool trusted,) = enclaves.trustOf(enclave);
        so("a host can do that to an honest enclave", trusted);
        vm.expectRevert(wrongState(IRoundLedger.State.Void));
        disputes.voidWithheld(1, member(1)); // one fee a round
        disputes.closeRequest(1, member(1));
        same("back", PRICE, creditOf(member(1)));
        vm.prank(member(0));
        ledger.withdraw();
        same("as before", 1 ether, member(0).balance);
    }

    function test_a_deposit_comes_back_after_any_void_and_once() public {
        for (uint256 how = 0; how < 4; ++how) {
            uint256 snapshot = vm.snapshotState();
            ask(0, SET, 0, 0);
            vm.expectRevert(
                abi.encodeWithSelector(
                    IRoundLedger.WrongState.selector, IRoundLedger.State.Void, IRoundLedger.State.Proposed
                )
            );
            disputes.closeRequest(1, member(0));
            if (how == 0) refuted(prover, _round.spec);
            else if (how == 1) complain();
            else if (how == 2) revoke();
            else over();
            if (how == 3) open(nextRound()); // also while another round is open
            expectAnswer(0, answerTo(SET, 0), wrongState(IRoundLedger.State.Void));
            disputes.closeRequest(1, member(0));
            same("back", PRICE, creditOf(member(0)));
            vm.expectRevert(noRequest(1, 0));
            disputes.closeRequest(1, member(0));
            same("nothing is held", 0, address(disputes).balance);
            vm.revertToState(snapshot);
        }
    }

    /// @dev Waiting for a leaf keeps nobody from a proof, and unanswered requests no bond from a verdict.
    function test_a_round_is_refuted_while_members_wait() public {
        ask(0, SET, 0, 0);
        (,,, uint64 answerBy,) = disputes.requestOf(1, member(0));
        vm.warp(answerBy + 100 days);
        Verdict memory verdict = refuted(prover, _round.spec);
        same("all of it", BOND, verdict.pot);
        vm.expectRevert(wrongState(IRoundLedger.State.Void));
        disputes.voidWithheld(1, member(0));
        disputes.closeRequest(1, member(0));
    }

    function test_a_request_of_one_round_does_not_hold_the_next() public {
        ask(0, SET, 0, 0);
        ask(1, SET, 0, 0);
        over();
        _round = rooted(nextRound());
        (uint256 open_, uint64 notBefore) = disputes.holdOn(2);
        same("open", 0, open_);
        same("not before", 0, notBefore);
        ask(2, SET, 0, 0);
        disputes.closeRequest(1, member(0)); // counts for the first round only
        (open_,) = disputes.holdOn(2);
        same("still one", 1, open_);
        answer(prover, 2, answerTo(SET, 0));
        disputes.closeRequest(1, member(1));
        vm.warp(_round.spec.deadlines[4] + 1);
        settle(_round);
    }

    /// @dev The latest of both, not their sum; and what an untrusted enclave proposed is void for nothing.
    function test_who_lost_trust_does_not_pay_for_withholding() public {
        ask(0, SET, 0, 0);
        revoke();
        same("bond", BOND, ledger.bondOf(coordinator));
    }

    function test_members_removed_meanwhile_are_answered_and_get_their_deposit() public {
        uint256 removal = proposeAll(IConsortium.Action.RemoveMember, word(member(0)), "");
        over();
        skip(DELAY);
        _round = rooted(nextRound());
        ask(0, SET, 0, 0);
        consortium.execute(removal, "");
        (,,, uint64 answerBy,) = disputes.requestOf(_round.spec.round, member(0));
        vm.warp(answerBy + 1);
        disputes.voidWithheld(_round.spec.round, member(0));
        same("back", PRICE, creditOf(member(0)));
    }
}
