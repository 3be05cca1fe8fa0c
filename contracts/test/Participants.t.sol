// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";

import {IConsortium} from "../src/interfaces/IConsortium.sol";
import {IEventStream} from "../src/interfaces/IEventStream.sol";
import {IParticipants} from "../src/interfaces/IParticipants.sol";
import {Reenterer, Refuser} from "./Receivers.sol";
import {World} from "./World.sol";

/// @title Joining, leaving, deposits and suspension
contract ParticipantsTest is World {
    uint256 internal constant ALL = (1 << SLOTS) - 1;
    address internal constant NEW = address(0x5000_0000);

    function test_joining_takes_the_deposit_and_enrolls() public {
        bytes32 head = ledger.stream();
        join(NEW);
        same("active", uint256(IParticipants.Membership.Active), uint256(participants.membership(NEW)));
        so("is active", participants.isActive(NEW));
        same("count", SLOTS + 1, participants.activeCount());
        same("payout", address(uint160(NEW) + 0x1000_0000), participants.payoutOf(NEW));
        same("held", (SLOTS + 1) * DEPOSIT, address(participants).balance);
        (uint256 amount, uint64 at) = participants.depositOf(NEW);
        same("deposit", DEPOSIT, amount);
        same("locked", 0, at);
        so("enrolled", ledger.stream() != head);
        same("newcomer", 3e8, ledger.reputationOf(NEW));
    }

    function test_the_deposit_is_exact() public {
        vm.deal(NEW, 1 ether);
        vm.expectRevert(abi.encodeWithSelector(IParticipants.WrongDeposit.selector, DEPOSIT, DEPOSIT - 1));
        vm.prank(NEW);
        participants.join{value: DEPOSIT - 1}(NEW);
        vm.expectRevert(abi.encodeWithSelector(IParticipants.WrongDeposit.selector, DEPOSIT, DEPOSIT + 1));
        vm.prank(NEW);
        participants.join{value: DEPOSIT + 1}(NEW);
    }

    function test_nobody_joins_twice_or_without_a_payout_address() public {
        vm.deal(NEW, 1 ether);
        vm.expectRevert(abi.encodeWithSelector(IParticipants.NoPayoutAddress.selector, NEW));
        vm.prank(NEW);
        participants.join{value: DEPOSIT}(address(0));
        join(NEW);
        vm.deal(NEW, DEPOSIT);
        vm.expectRevert(wrong(IParticipants.Membership.None, IParticipants.Membership.Active));
        vm.prank(NEW);
        participants.join{value: DEPOSIT}(NEW);
    }

    function test_a_deposit_comes_back_once_the_round_is_over_and_a_day_has_passed() public {
        Round memory round = nextRound();
        open(round);
        uint256 left = block.timestamp;
        vm.prank(participantAt(0));
        participants.leave();
        same("left", uint256(IParticipants.Membership.Left), uint256(participants.membership(participantAt(0))));
        same("count", SLOTS - 1, participants.activeCount());
        vm.warp(left + 2 days);
        expectReclaim(0, abi.encodeWithSelector(IParticipants.RoundNotOver.selector, uint64(1)));
        void_(round);
        vm.warp(left + 1 days - 1);
        expectReclaim(0, abi.encodeWithSelector(IEventStream.TooEarly.selector, left + 1 days, left + 1 days - 1));
        vm.warp(left + 1 days);
        reclaim(0);
        same("back", DEPOSIT, payoutAt(0).balance);
        same("free", uint256(IParticipants.Membership.None), uint256(participants.membership(participantAt(0))));
        expectReclaim(0, abi.encodeWithSelector(IParticipants.NoDeposit.selector, participantAt(0)));
    }

    function test_a_deposit_does_not_wait_for_rounds_opened_after_leaving() public {
        vm.prank(participantAt(0));
        participants.leave();
        vm.warp(block.timestamp + 1 days);
        address[] memory rest = new address[](SLOTS - 1);
        for (uint256 i = 1; i < SLOTS; ++i) {
            rest[i - 1] = participantAt(i);
        }
        open(nextRoundOf(terms(), rest));
        reclaim(0);
    }

    function test_who_is_active_reclaims_nothing_and_leaves_once() public {
        expectReclaim(0, wrong(IParticipants.Membership.Left, IParticipants.Membership.Active));
        vm.prank(participantAt(0));
        participants.leave();
        vm.expectRevert(wrong(IParticipants.Membership.Active, IParticipants.Membership.Left));
        vm.prank(participantAt(0));
        participants.leave();
        vm.expectRevert(wrong(IParticipants.Membership.Active, IParticipants.Membership.None));
        vm.prank(NEW);
        participants.leave();
    }

    function test_who_joins_again_keeps_its_reputation() public {
        settled(ALL, 1);
        uint256 reputation = ledger.reputationOf(participantAt(0));
        vm.prank(participantAt(0));
        participants.leave();
        vm.warp(block.timestamp + 1 days);
        reclaim(0);
        bytes32 head = ledger.stream();
        join(participantAt(0));
        same("reputation", reputation, ledger.reputationOf(participantAt(0)));
        same("enrolled once", head, ledger.stream());
        so("from the next round on", !participants.wasActive(participantAt(0), 1));
    }

    function test_the_payout_address_is_its_owners() public {
        vm.prank(participantAt(0));
        participants.setPayout(address(0x99));
        same("set", address(0x99), participants.payoutOf(participantAt(0)));
        vm.expectRevert(abi.encodeWithSelector(IParticipants.NoPayoutAddress.selector, participantAt(0)));
        vm.prank(participantAt(0));
        participants.setPayout(address(0));
        vm.expectRevert(abi.encodeWithSelector(IParticipants.NeverJoined.selector, NEW));
        vm.prank(NEW);
        participants.setPayout(NEW);
    }

    function test_suspension_is_the_consortiums() public {
        bytes memory error =
            abi.encodeWithSelector(IEventStream.WrongCaller.selector, address(consortium), address(this));
        vm.expectRevert(error);
        participants.suspend(participantAt(0));
        vm.expectRevert(error);
        participants.reinstate(participantAt(0));
    }

    function test_who_is_suspended_can_not_join_again_but_gets_its_deposit() public {
        suspend(participantAt(0));
        same("count", SLOTS - 1, participants.activeCount());
        vm.expectRevert(wrong(IParticipants.Membership.Active, IParticipants.Membership.Suspended));
        vm.prank(participantAt(0));
        participants.leave();
        vm.warp(block.timestamp + 1 days);
        reclaim(0);
        same("still", uint256(IParticipants.Membership.Suspended), uint256(participants.membership(participantAt(0))));
        vm.deal(participantAt(0), DEPOSIT);
        vm.expectRevert(wrong(IParticipants.Membership.None, IParticipants.Membership.Suspended));
        vm.prank(participantAt(0));
        participants.join{value: DEPOSIT}(payoutAt(0));
        pass(IConsortium.Action.ReinstateParticipant, word(participantAt(0)), "");
        same("free", uint256(IParticipants.Membership.None), uint256(participants.membership(participantAt(0))));
        join(participantAt(0));
    }

    function test_leaving_is_no_way_around_suspension() public {
        vm.prank(participantAt(0));
        participants.leave();
        suspend(participantAt(0));
        vm.warp(block.timestamp + 1 days);
        reclaim(0);
        vm.deal(participantAt(0), DEPOSIT);
        vm.expectRevert(wrong(IParticipants.Membership.None, IParticipants.Membership.Suspended));
        vm.prank(participantAt(0));
        participants.join{value: DEPOSIT}(payoutAt(0));
        suspend(NEW);
        vm.deal(NEW, DEPOSIT);
        vm.expectRevert(wrong(IParticipants.Membership.None, IParticipants.Membership.Suspended));
        vm.prank(NEW);
        participants.join{value: DEPOSIT}(NEW);
    }

    function test_who_is_reinstated_with_its_deposit_is_active_again() public {
        suspend(participantAt(0));
        pass(IConsortium.Action.ReinstateParticipant, word(participantAt(0)), "");
        so("active", participants.isActive(participantAt(0)));
        same("count", SLOTS, participants.activeCount());
        (, uint64 at) = participants.depositOf(participantAt(0));
        same("locked again", 0, at);
        open(nextRound());
    }

    function test_suspending_and_reinstating_change_something_or_fail() public {
        suspend(participantAt(0));
        uint256 proposal = proposeAll(IConsortium.Action.SuspendParticipant, word(participantAt(0)), "");
        vm.expectRevert(wrong(IParticipants.Membership.Active, IParticipants.Membership.Suspended));
        consortium.execute(proposal, "");
        proposal = proposeAll(IConsortium.Action.ReinstateParticipant, word(participantAt(1)), "");
        skip(DELAY);
        vm.expectRevert(wrong(IParticipants.Membership.Suspended, IParticipants.Membership.Active));
        consortium.execute(proposal, "");
    }

    function test_a_deposit_that_calls_back_comes_once() public {
        Reenterer reenterer = new Reenterer(address(participants), abi.encodeCall(IParticipants.reclaim, ()));
        vm.deal(address(reenterer), DEPOSIT);
        reenterer.act(address(participants), DEPOSIT, abi.encodeCall(IParticipants.join, (address(reenterer))));
        reenterer.act(address(participants), 0, abi.encodeCall(IParticipants.leave, ()));
        vm.warp(block.timestamp + 1 days);
        reenterer.act(address(participants), 0, abi.encodeCall(IParticipants.reclaim, ()));
        same("once", DEPOSIT, address(reenterer).balance);
        so("not entered", !reenterer.entered());
        same("others' deposits", SLOTS * DEPOSIT, address(participants).balance);
    }

    function test_a_deposit_that_is_refused_stays() public {
        Refuser refuser = new Refuser();
        vm.prank(participantAt(0));
        participants.setPayout(address(refuser));
        vm.prank(participantAt(0));
        participants.leave();
        vm.warp(block.timestamp + 1 days);
        expectReclaim(0, abi.encodeWithSelector(Refuser.No.selector));
        vm.prank(participantAt(0));
        participants.setPayout(payoutAt(0));
        reclaim(0);
        same("back", DEPOSIT, payoutAt(0).balance);
    }

    function test_the_register_has_a_last_place() public {
        for (uint256 i = SLOTS; i < 1024; ++i) {
            join(address(uint160(0x7000_0000 + i)));
        }
        vm.deal(NEW, DEPOSIT);
        vm.expectRevert(abi.encodeWithSelector(IParticipants.RegisterFull.selector, 1024, 1025));
        vm.prank(NEW);
        participants.join{value: DEPOSIT}(NEW);
        suspend(participantAt(0));
        join(NEW);
        uint256 proposal = proposeAll(IConsortium.Action.ReinstateParticipant, word(participantAt(0)), "");
        skip(DELAY);
        vm.expectRevert(abi.encodeWithSelector(IParticipants.RegisterFull.selector, 1024, 1025));
        consortium.execute(proposal, "");
    }

    function suspend(address participant) internal {
        remove(IConsortium.Action.SuspendParticipant, word(participant));
    }

    function reclaim(uint256 slot) internal {
        vm.prank(participantAt(slot));
        participants.reclaim();
    }

    function expectReclaim(uint256 slot, bytes memory error) internal {
        vm.expectRevert(error);
        reclaim(slot);
    }

    function wrong(IParticipants.Membership expected, IParticipants.Membership actual)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(IParticipants.WrongMembership.selector, expected, actual);
    }
}
