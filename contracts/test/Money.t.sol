// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Errors} from "@openzeppelin/contracts/utils/Errors.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";

import {IConsortium} from "../src/interfaces/IConsortium.sol";
import {IEventStream} from "../src/interfaces/IEventStream.sol";
import {IRoundLedger} from "../src/interfaces/IRoundLedger.sol";
import {Reenterer, Refuser} from "./Receivers.sol";
import {World} from "./World.sol";

/// @title Reputations, payouts, bonds, treasury and withdrawals
contract MoneyTest is World {
    uint256 internal constant ALL = (1 << SLOTS) - 1;

    function test_newcomers_share_equally_and_the_rest_stays() public {
        settled(ALL, 0);
        uint256 share = BUDGET / SLOTS;
        for (uint256 slot = 0; slot < SLOTS; ++slot) {
            same("share", share, creditOf(participantAt(slot)));
            same("reputation", (uint256(1e9) * 1_600_000_000) / 3_000_000_000, ledger.reputationOf(participantAt(slot)));
        }
        same("treasury", 10 ether - SLOTS * share, ledger.treasury());
        same("conserved", 14 ether, held());
    }

    function test_flagged_slots_lose_pay_and_reputation_and_absent_ones_nothing() public {
        settled(ALL - 2, 1); // slot 0 flagged, slot 1 absent
        same("flagged is not paid", 0, creditOf(participantAt(0)));
        same("absent is not paid", 0, creditOf(participantAt(1)));
        same("flagged", (uint256(1e9) * 600_000_000) / 5_000_000_000, ledger.reputationOf(participantAt(0)));
        same("absent", 300_000_000, ledger.reputationOf(participantAt(1)));
        (uint64 good, uint64 bad,) = ledger.standingOf(participantAt(0));
        same("good", 0, good);
        same("bad", 3e9, bad);
        same("five of seven shares", (BUDGET * 5 * 3) / (SLOTS * 5 * 3), creditOf(participantAt(2)));
    }

    function test_nobody_good_pays_nobody() public {
        settled(ALL, ALL);
        same("treasury", 10 ether, ledger.treasury());
    }

    function testFuzz_rounds_pay_as_the_formula_says(uint256 seed) public {
        uint256[7] memory good;
        uint256[7] memory bad;
        uint256[7] memory credit;
        uint256 treasury = 10 ether;
        for (uint256 i = 0; i < 3; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 counted = (seed & ALL) | 31; // five at least
            uint256 flagged = (seed >> 64) & counted;
            uint256 u = 0;
            uint256 total = 0;
            for (uint256 slot = 0; slot < SLOTS; ++slot) {
                if (((counted & ~flagged) >> slot) & 1 == 0) continue;
                ++u;
                total += (1e9 * (good[slot] + 6e8)) / (good[slot] + bad[slot] + 2e9);
            }
            settled(counted, flagged);
            for (uint256 slot = 0; slot < SLOTS; ++slot) {
                if ((counted >> slot) & 1 == 0) continue;
                if ((flagged >> slot) & 1 == 0) {
                    uint256 e = (1e9 * (good[slot] + 6e8)) / (good[slot] + bad[slot] + 2e9);
                    credit[slot] += (BUDGET * u * e) / (SLOTS * total);
                    treasury -= (BUDGET * u * e) / (SLOTS * total);
                }
                good[slot] = (good[slot] * 98) / 100 + ((flagged >> slot) & 1 == 0 ? 1e9 : 0);
                bad[slot] = (bad[slot] * 995) / 1000 + ((flagged >> slot) & 1 == 1 ? 3e9 : 0);
            }
        }
        for (uint256 slot = 0; slot < SLOTS; ++slot) {
            (uint64 r, uint64 s, uint120 c) = ledger.standingOf(participantAt(slot));
            same("good", good[slot], r);
            same("bad", bad[slot], s);
            same("credit", credit[slot], c);
        }
        same("treasury", treasury, ledger.treasury());
        same("held", 14 ether, held());
        same("balance", 14 ether, address(ledger).balance);
    }

    function testFuzz_reputation_stays_within_its_bounds(uint64 good, uint64 bad, bool flagged) public view {
        good = uint64(within(good, 0, 50e9));
        bad = uint64(within(bad, 0, 600e9));
        (uint64 r, uint64 s) = harness.next(good, bad, flagged);
        so("good", r <= 50e9);
        so("bad", s <= 600e9);
        uint256 e = harness.ppb(r, s);
        so("positive", e > 0);
        so("at most one", e <= 1e9);
        if (flagged) so("falls", harness.ppb(r, s) <= harness.ppb(good, bad));
    }

    function test_who_left_or_is_suspended_in_an_open_round_is_paid_for_it() public {
        Round memory round = nextRound();
        open(round);
        vm.prank(participantAt(0));
        participants.leave();
        remove(IConsortium.Action.SuspendParticipant, word(participantAt(1)));
        vm.warp(round.spec.deadlines[2] + 1);
        finish(round, ALL, 0);
        propose(round);
        vm.warp(round.spec.deadlines[4] + 1);
        settle(round);
        same("left", BUDGET / SLOTS, creditOf(participantAt(0)));
        same("suspended", BUDGET / SLOTS, creditOf(participantAt(1)));
        vm.prank(participantAt(1));
        ledger.withdraw();
        same("withdrawn", BUDGET / SLOTS, payoutAt(1).balance);
        vm.warp(block.timestamp + 1 days);
        vm.prank(participantAt(0));
        participants.reclaim();
        vm.prank(participantAt(0));
        ledger.withdraw();
        same("deposit and credit", BUDGET / SLOTS + DEPOSIT, payoutAt(0).balance);
    }

    function test_withdraw_pays_once_and_only_ones_own() public {
        settled(ALL, 0);
        vm.prank(participantAt(3));
        ledger.withdraw();
        same("paid", BUDGET / SLOTS, payoutAt(3).balance);
        same("credit", 0, creditOf(participantAt(3)));
        same("others", BUDGET / SLOTS, creditOf(participantAt(4)));
        vm.expectRevert(IRoundLedger.NoAmount.selector);
        vm.prank(participantAt(3));
        ledger.withdraw();
        vm.expectRevert(IRoundLedger.NoAmount.selector);
        ledger.withdraw();
    }

    function test_a_receiver_that_refuses_blocks_only_itself() public {
        settled(ALL, 0);
        Refuser refuser = new Refuser();
        vm.prank(participantAt(0));
        participants.setPayout(address(refuser));
        vm.expectRevert(Refuser.No.selector);
        vm.prank(participantAt(0));
        ledger.withdraw();
        same("credit stands", BUDGET / SLOTS, creditOf(participantAt(0)));
        vm.prank(participantAt(1));
        ledger.withdraw();
        vm.prank(participantAt(0));
        participants.setPayout(address(0x77));
        vm.prank(participantAt(0));
        ledger.withdraw();
        same("paid elsewhere", BUDGET / SLOTS, address(0x77).balance);
    }

    function test_a_receiver_that_calls_back_gets_nothing_more() public {
        settled(ALL, 0);
        Reenterer reenterer = new Reenterer(address(ledger), abi.encodeCall(IRoundLedger.withdraw, ()));
        vm.prank(participantAt(0));
        participants.setPayout(address(reenterer));
        vm.prank(participantAt(0));
        ledger.withdraw();
        same("paid once", BUDGET / SLOTS, address(reenterer).balance);
        so("not entered", !reenterer.entered());
        same(
            "guarded",
            keccak256(abi.encodeWithSelector(ReentrancyGuard.ReentrancyGuardReentrantCall.selector)),
            keccak256(reenterer.answer())
        );
    }

    function test_a_bond_that_calls_back_gets_nothing_more() public {
        Reenterer reenterer = new Reenterer(address(ledger), abi.encodeCall(IRoundLedger.withdrawBond, (1 ether)));
        vm.deal(address(reenterer), 3 ether);
        reenterer.act(address(ledger), 3 ether, abi.encodeCall(IRoundLedger.addBond, ()));
        reenterer.act(address(ledger), 0, abi.encodeCall(IRoundLedger.withdrawBond, (1 ether)));
        so("not entered", !reenterer.entered());
        same("bond", 2 ether, ledger.bondOf(address(reenterer)));
        same("paid once", 1 ether, address(reenterer).balance);
    }

    function test_the_bond_is_locked_while_its_round_is_not_over() public {
        Round memory round = nextRound();
        open(round);
        bondInUse();
        vm.warp(round.spec.deadlines[2] + 1);
        finish(round, ALL, 0);
        propose(round);
        bondInUse();
        vm.warp(round.spec.deadlines[4] + 1);
        bondInUse();
        settle(round);
        uint256 before = coordinator.balance;
        vm.prank(coordinator);
        ledger.withdrawBond(BOND);
        same("back", before + BOND, coordinator.balance);
        same("bond", 0, ledger.bondOf(coordinator));
    }

    function test_the_bond_of_another_coordinator_is_free() public {
        vm.deal(address(0xC1), 1 ether);
        vm.prank(address(0xC1));
        ledger.addBond{value: 1 ether}();
        open(nextRound());
        vm.prank(address(0xC1));
        ledger.withdrawBond(1 ether);
    }

    function test_a_bond_gives_what_it_has_and_no_more() public {
        vm.expectRevert(abi.encodeWithSelector(IRoundLedger.NotEnough.selector, BOND, BOND + 1));
        vm.prank(coordinator);
        ledger.withdrawBond(BOND + 1);
        vm.expectRevert(IRoundLedger.NoAmount.selector);
        vm.prank(coordinator);
        ledger.withdrawBond(0);
        vm.expectRevert(abi.encodeWithSelector(IRoundLedger.NotEnough.selector, 0, 1));
        ledger.withdrawBond(1);
    }

    function test_a_coordinator_that_refuses_its_bond_keeps_it() public {
        Refuser refuser = new Refuser();
        vm.deal(address(refuser), 1 ether);
        vm.prank(address(refuser));
        ledger.addBond{value: 1 ether}();
        vm.expectRevert(Refuser.No.selector);
        vm.prank(address(refuser));
        ledger.withdrawBond(1 ether);
        same("bond", 1 ether, ledger.bondOf(address(refuser)));
    }

    function test_nothing_is_added_for_nothing_nor_beyond_the_limit() public {
        vm.expectRevert(IRoundLedger.NoAmount.selector);
        ledger.fund();
        vm.expectRevert(IRoundLedger.NoAmount.selector);
        ledger.addBond();
        uint256 limit = type(uint120).max;
        vm.deal(address(this), type(uint128).max);
        uint256 room = limit - address(ledger).balance;
        vm.expectRevert(abi.encodeWithSelector(IRoundLedger.TooMuchMoney.selector, limit, limit + 1));
        ledger.fund{value: room + 1}();
        ledger.fund{value: room}();
        vm.expectRevert(abi.encodeWithSelector(IRoundLedger.TooMuchMoney.selector, limit, limit + 1));
        ledger.addBond{value: 1}();
        settled(ALL, 0);
    }

    function test_money_that_is_just_sent_is_refused() public {
        (bool ok,) = address(ledger).call{value: 1}("");
        so("ledger", !ok);
        (ok,) = address(participants).call{value: 1}("");
        so("participants", !ok);
    }

    function test_only_participants_enrolls() public {
        vm.expectRevert(abi.encodeWithSelector(IEventStream.WrongCaller.selector, address(participants), address(this)));
        ledger.enroll(address(this));
    }

    function test_anchoring_says_who_and_what_and_nothing_else() public {
        bytes32 head = ledger.stream();
        vm.recordLogs();
        ledger.anchor(keccak256("record"));
        bytes32 log =
            keccak256(abi.encodePacked(IRoundLedger.Anchored.selector, word(address(this)), keccak256("record")));
        same("stream", keccak256(abi.encodePacked(head, log)), ledger.stream());
        same("one event", 1, vm.getRecordedLogs().length);
    }

    function bondInUse() internal {
        vm.expectRevert(abi.encodeWithSelector(IRoundLedger.BondInUse.selector, uint64(1)));
        vm.prank(coordinator);
        ledger.withdrawBond(1);
    }
}
