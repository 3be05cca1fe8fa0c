// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IConsortium} from "../src/interfaces/IConsortium.sol";
import {IEventStream} from "../src/interfaces/IEventStream.sol";
import {IPlatformTrust, Authority, RootKind, Tcb, TcbStatus} from "../src/interfaces/IPlatformTrust.sol";
import {Terms} from "../src/libraries/Messages.sol";
import {Vm} from "./Vm.sol";
import {World} from "./World.sol";

/// @title Proposing, voting, executing
contract ConsortiumTest is World {
    bytes32 internal constant CODE = keccak256("new code");
    address internal constant NEW = address(0xAAFF);

    function test_adding_takes_two_thirds_and_the_delay() public {
        uint256 start = block.timestamp;
        uint256 proposal = proposeBy(0, IConsortium.Action.AllowMeasurement, CODE);
        vote(1, proposal);
        vm.warp(start + DELAY);
        expectExecute(proposal, abi.encodeWithSelector(IConsortium.NotEnoughVotes.selector, 3, 2));
        vote(2, proposal);
        vm.warp(start + DELAY - 1);
        expectExecute(
            proposal, abi.encodeWithSelector(IEventStream.TooEarly.selector, start + DELAY, start + DELAY - 1)
        );
        vm.warp(start + DELAY);
        so("not yet", !consortium.isMeasurementAllowed(CODE));
        vm.prank(address(0xBEEF));
        consortium.execute(proposal, "");
        so("allowed", consortium.isMeasurementAllowed(CODE));
    }

    function test_taking_away_takes_a_third_and_no_delay() public {
        uint256 proposal = proposeBy(3, IConsortium.Action.RevokeMeasurement, MEASUREMENT);
        expectExecute(proposal, abi.encodeWithSelector(IConsortium.NotEnoughVotes.selector, 2, 1));
        vote(0, proposal);
        consortium.execute(proposal, "");
        so("revoked", !consortium.isMeasurementAllowed(MEASUREMENT));
        so("enclave with it", !enclaves.isActive(enclave));
    }

    function test_a_third_can_not_expel_the_others() public {
        uint256 proposal = proposeBy(0, IConsortium.Action.RemoveMember, word(member(3)));
        vote(1, proposal);
        expectExecute(proposal, abi.encodeWithSelector(IConsortium.NotEnoughVotes.selector, 3, 2));
        vote(2, proposal);
        vm.expectPartialRevert(IEventStream.TooEarly.selector);
        consortium.execute(proposal, "");
        skip(DELAY);
        consortium.execute(proposal, "");
        so("removed", !consortium.isMember(member(3)));
        same("count", 3, consortium.memberCount());
    }

    function test_one_vote_each_and_only_members() public {
        uint256 proposal = proposeBy(0, IConsortium.Action.AllowMeasurement, CODE);
        vm.expectRevert(abi.encodeWithSelector(IConsortium.AlreadyVoted.selector, proposal, member(0)));
        vote(0, proposal);
        vm.expectRevert(abi.encodeWithSelector(IConsortium.NotMember.selector, address(this)));
        consortium.vote(proposal);
        vm.expectRevert(abi.encodeWithSelector(IConsortium.NotMember.selector, address(this)));
        consortium.propose(IConsortium.Action.AllowMeasurement, CODE, "");
        vm.expectRevert(abi.encodeWithSelector(IConsortium.UnknownProposal.selector, proposal + 1));
        vote(1, proposal + 1);
        vm.expectRevert(abi.encodeWithSelector(IConsortium.UnknownProposal.selector, 0));
        vote(1, 0);
    }

    function test_a_proposal_is_executed_once_and_then_takes_no_vote() public {
        uint256 proposal = proposeAll(IConsortium.Action.AllowMeasurement, CODE, "");
        skip(DELAY);
        consortium.execute(proposal, "");
        expectExecute(proposal, abi.encodeWithSelector(IConsortium.AlreadyExecuted.selector, proposal));
        vm.expectRevert(abi.encodeWithSelector(IConsortium.AlreadyExecuted.selector, proposal));
        vote(3, proposal);
    }

    function test_a_proposal_lives_for_a_week() public {
        uint256 start = block.timestamp;
        uint256 proposal = proposeBy(0, IConsortium.Action.AllowMeasurement, CODE);
        vote(1, proposal);
        vm.warp(start + 7 days);
        vote(2, proposal);
        vm.warp(start + 7 days + 1);
        bytes memory error = abi.encodeWithSelector(IEventStream.TooLate.selector, start + 7 days, start + 7 days + 1);
        expectExecute(proposal, error);
        vm.expectRevert(error);
        vote(3, proposal);
        vm.warp(start + 7 days);
        consortium.execute(proposal, "");
    }

    function test_the_votes_of_a_removed_member_do_not_count() public {
        uint256 proposal = proposeBy(0, IConsortium.Action.AllowMeasurement, CODE);
        vote(1, proposal);
        vote(3, proposal);
        pass(IConsortium.Action.RemoveMember, word(member(3)), "");
        expectExecute(proposal, abi.encodeWithSelector(IConsortium.NotEnoughVotes.selector, 3, 2));
        vm.expectRevert(abi.encodeWithSelector(IConsortium.NotMember.selector, member(3)));
        vote(3, proposal);
        pass(IConsortium.Action.AdmitMember, word(member(3)), "again");
        expectExecute(proposal, abi.encodeWithSelector(IConsortium.NotEnoughVotes.selector, 3, 2));
        vote(2, proposal);
        consortium.execute(proposal, "");
    }

    function test_who_is_admitted_later_does_not_vote_on_what_is_older() public {
        uint256 proposal = proposeBy(0, IConsortium.Action.AllowMeasurement, CODE);
        uint256 admission = proposeAll(IConsortium.Action.AdmitMember, word(NEW), "key");
        uint256 between = proposeBy(0, IConsortium.Action.AllowMeasurement, keccak256("between"));
        skip(DELAY);
        consortium.execute(admission, "key");
        same("five", 5, consortium.memberCount());
        vm.expectRevert(abi.encodeWithSelector(IConsortium.MemberTooNew.selector, proposal, between));
        vm.prank(NEW);
        consortium.vote(proposal);
        vm.expectRevert(abi.encodeWithSelector(IConsortium.MemberTooNew.selector, between, between));
        vm.prank(NEW);
        consortium.vote(between);
        vote(1, proposal);
        vote(2, proposal);
        consortium.execute(proposal, ""); // three of the four at its proposing
        uint256 later = proposeBy(0, IConsortium.Action.AllowMeasurement, keccak256("later"));
        vm.prank(NEW);
        consortium.vote(later);
        skip(DELAY);
        expectExecute(later, abi.encodeWithSelector(IConsortium.NotEnoughVotes.selector, 4, 2));
    }

    function test_shrinking_the_membership_does_not_lower_the_threshold() public {
        uint256 proposal = proposeBy(0, IConsortium.Action.AllowMeasurement, CODE);
        vote(1, proposal);
        pass(IConsortium.Action.RemoveMember, word(member(3)), "");
        same("three members", 3, consortium.memberCount());
        expectExecute(proposal, abi.encodeWithSelector(IConsortium.NotEnoughVotes.selector, 3, 2));
    }

    function test_a_removal_makes_older_proposals_to_add_stale() public {
        remove(IConsortium.Action.RevokeMeasurement, MEASUREMENT);
        uint256 spare = proposeAll(IConsortium.Action.AllowMeasurement, MEASUREMENT, "");
        uint256 second = proposeAll(IConsortium.Action.AllowMeasurement, MEASUREMENT, "");
        skip(DELAY);
        consortium.execute(second, "");
        expectExecute(
            spare,
            abi.encodeWithSelector(
                IConsortium.NothingToChange.selector, IConsortium.Action.AllowMeasurement, MEASUREMENT
            )
        );
        remove(IConsortium.Action.RevokeMeasurement, MEASUREMENT);
        uint256 newest = consortium.proposalCount();
        expectExecute(spare, abi.encodeWithSelector(IConsortium.StaleProposal.selector, spare, newest));
        pass(IConsortium.Action.AllowMeasurement, MEASUREMENT, "");
    }

    function test_every_addition_and_removal_changes_something_or_fails() public {
        nothing(IConsortium.Action.AdmitMember, word(member(0)), "key");
        nothing(IConsortium.Action.RemoveMember, word(NEW), "");
        nothing(IConsortium.Action.AllowMeasurement, MEASUREMENT, "");
        nothing(IConsortium.Action.RevokeMeasurement, CODE, "");
        failing(
            IConsortium.Action.DistrustAuthority,
            CODE,
            "",
            abi.encodeWithSelector(IPlatformTrust.AuthorityNotTrusted.selector, CODE)
        );
        failing(
            IConsortium.Action.RejectTcb, CODE, "", abi.encodeWithSelector(IPlatformTrust.TcbNotAccepted.selector, CODE)
        );
        nothing(IConsortium.Action.AdmitCoordinator, word(coordinator), "");
        nothing(IConsortium.Action.RemoveCoordinator, word(NEW), "");
    }

    function test_members_and_coordinators_come_and_go() public {
        pass(IConsortium.Action.AdmitCoordinator, word(NEW), "");
        so("coordinator", consortium.isCoordinator(NEW));
        remove(IConsortium.Action.RemoveCoordinator, word(NEW));
        so("no coordinator", !consortium.isCoordinator(NEW));
        pass(IConsortium.Action.AdmitMember, word(NEW), "key");
        so("member", consortium.isMember(NEW));
    }

    function test_the_last_member_stays() public {
        for (uint256 i = 3; i > 0; --i) {
            uint256 removal = proposeBy(0, IConsortium.Action.RemoveMember, word(member(i)));
            for (uint256 j = 1; j <= i; ++j) {
                vote(j, removal);
            }
            skip(DELAY);
            consortium.execute(removal, "");
        }
        uint256 proposal = proposeBy(0, IConsortium.Action.RemoveMember, word(member(0)));
        skip(DELAY);
        expectExecute(proposal, abi.encodeWithSelector(IConsortium.LastMember.selector, member(0)));
    }

    function test_subjects_and_data_have_one_form() public {
        bytes32 dirty = word(NEW) | bytes32(uint256(1) << 200);
        refused(
            IConsortium.Action.AdmitCoordinator,
            dirty,
            "",
            abi.encodeWithSelector(IConsortium.WrongSubject.selector, word(NEW), dirty)
        );
        refused(
            IConsortium.Action.AdmitMember,
            bytes32(0),
            "",
            abi.encodeWithSelector(IConsortium.WrongSubject.selector, bytes32(0), bytes32(0))
        );
        refused(
            IConsortium.Action.AllowMeasurement,
            CODE,
            hex"00",
            abi.encodeWithSelector(IConsortium.WrongDataLength.selector, 0, 1)
        );
        refused(
            IConsortium.Action.AdmitMember,
            word(NEW),
            new bytes(2433),
            abi.encodeWithSelector(IConsortium.WrongDataLength.selector, 2432, 2433)
        );
        bytes memory data = abi.encode(terms(), uint64(1));
        refused(
            IConsortium.Action.SetTerms,
            CODE,
            data,
            abi.encodeWithSelector(IConsortium.WrongSubject.selector, keccak256(data), CODE)
        );
        uint256 proposal = proposeAll(IConsortium.Action.AdmitMember, word(NEW), "key");
        skip(DELAY);
        vm.expectRevert(abi.encodeWithSelector(IConsortium.WrongData.selector, keccak256("key"), keccak256("another")));
        consortium.execute(proposal, "another");
    }

    function test_what_is_said_of_platforms_has_one_form() public {
        Tcb memory row = tcb(TCB_EXPIRY);
        refused(
            IConsortium.Action.AcceptTcb,
            CODE,
            abi.encode(row),
            abi.encodeWithSelector(IConsortium.WrongSubject.selector, tcbId(row), CODE)
        );
        refused(
            IConsortium.Action.AcceptTcb,
            tcbId(row),
            bytes.concat(abi.encode(row), hex"00"),
            abi.encodeWithSelector(IConsortium.WrongDataLength.selector, 256, 257)
        );
        row.status = TcbStatus.None;
        refused(
            IConsortium.Action.AcceptTcb,
            tcbId(row),
            abi.encode(row),
            abi.encodeWithSelector(IConsortium.NoStatus.selector)
        );
        bytes memory data = abi.encode(authorityId(), SERIAL);
        refused(
            IConsortium.Action.RevokeCertificate,
            CODE,
            data,
            abi.encodeWithSelector(IConsortium.WrongSubject.selector, keccak256(data), CODE)
        );
        refused(
            IConsortium.Action.RevokeCertificate,
            CODE,
            "",
            abi.encodeWithSelector(IConsortium.WrongDataLength.selector, 64, 0)
        );
        data = bytes.concat(abi.encode(authority()), hex"00");
        refused(
            IConsortium.Action.TrustAuthority,
            authorityId(),
            data,
            abi.encodeWithSelector(IConsortium.WrongData.selector, keccak256(abi.encode(authority())), keccak256(data))
        );
    }

    function test_nobody_votes_on_an_authority_that_can_not_be_trusted() public {
        Authority memory value = authority();
        refused(
            IConsortium.Action.TrustAuthority,
            CODE,
            abi.encode(value),
            abi.encodeWithSelector(IPlatformTrust.WrongAuthorityKey.selector, CODE, authorityId())
        );
        value.kind = RootKind.None;
        refused(
            IConsortium.Action.TrustAuthority,
            authorityId(),
            abi.encode(value),
            abi.encodeWithSelector(IPlatformTrust.WrongRootKind.selector, RootKind.Simulated, RootKind.None)
        );
    }

    function test_terms_that_would_lock_or_stall_are_refused() public {
        Terms memory t = terms();
        t.windows[3] = 0;
        outOfRange(t, "windows", 1, 30 days, 0);
        t.windows[3] = 30 days + 1;
        outOfRange(t, "windows", 1, 30 days, 30 days + 1);
        t = terms();
        t.rule = 7;
        outOfRange(t, "rule", 0, 6, 7);
        t = terms();
        t.exponent = -25;
        outOfRange(t, "exponent", -24, -8, -25);
        t = terms();
        t.dimension = 0;
        outOfRange(t, "dimension", 1, int256(uint256(type(uint32).max)), 0);
        t = terms();
        t.weightCap = 1 << 24;
        outOfRange(t, "weightCap", 0, (1 << 24) - 1, 1 << 24);
        t = terms();
        t.optimizer = 3;
        outOfRange(t, "optimizer", 0, 2, 3);
        t = terms();
        t.disclosure = 3;
        outOfRange(t, "disclosure", 0, 2, 3);
        t = terms();
        t.cohortSize = 257;
        outOfRange(t, "cohortSize", 0, 256, 257);
        t = terms();
        t.budget = 1 << 120;
        outOfRange(t, "budget", 0, (1 << 120) - 1, 1 << 120);
        t.budget = type(uint256).max;
        outOfRange(t, "budget", 0, (1 << 120) - 1, type(int256).max);
    }

    function test_terms_change_from_a_future_round_and_replace_what_was_pending() public {
        Terms memory a = terms();
        a.f = 1;
        Terms memory b = terms();
        b.f = 0;
        setTerms(a, 10);
        same("before", harness.hashTerms(terms()), consortium.termsHash(9));
        same("a", harness.hashTerms(a), consortium.termsHash(10));
        setTerms(b, 12);
        same("a until b", harness.hashTerms(a), consortium.termsHash(11));
        same("b", harness.hashTerms(b), consortium.termsHash(12));
        setTerms(b, 5);
        same("first", harness.hashTerms(terms()), consortium.termsHash(4));
        same("b replaced a", harness.hashTerms(b), consortium.termsHash(10));
        (bytes32 hash, uint16 size, uint64[5] memory windows) = consortium.termsOf(5);
        same("hash", harness.hashTerms(b), hash);
        same("size", b.cohortSize, size);
        for (uint256 i = 0; i < 5; ++i) {
            same("window", b.windows[i], windows[i]);
        }
    }

    function test_terms_never_reach_an_open_round() public {
        Round memory round = nextRound();
        bytes32 old = harness.hashTerms(terms());
        Terms memory t = terms();
        t.budget = 0;
        bytes memory data = abi.encode(t, uint64(0));
        uint256 proposal = proposeAll(IConsortium.Action.SetTerms, keccak256(data), data);
        open(round);
        skip(DELAY);
        consortium.execute(proposal, data);
        same("open round", old, consortium.termsHash(1));
        same("next round", harness.hashTerms(t), consortium.termsHash(2));
    }

    function testFuzz_thresholds_are_exact(uint256 size, uint256 yes, bool slow) public {
        size = within(size, 1, 12);
        yes = within(yes, 1, size);
        for (uint256 i = MEMBERS; i < size; ++i) {
            grow(i);
        }
        size = consortium.memberCount();
        yes = yes > size ? size : yes;
        IConsortium.Action action = slow ? IConsortium.Action.AdmitCoordinator : IConsortium.Action.SuspendParticipant;
        uint256 proposal = proposeBy(0, action, word(NEW));
        for (uint256 i = 1; i < yes; ++i) {
            vote(i, proposal);
        }
        skip(DELAY);
        bool enough = slow ? 3 * yes >= 2 * size : 3 * yes >= size;
        if (!enough) vm.expectPartialRevert(IConsortium.NotEnoughVotes.selector);
        consortium.execute(proposal, "");
    }

    function test_a_proposal_says_where_it_stands() public {
        uint256 proposal = proposeAll(IConsortium.Action.AdmitMember, word(NEW), "key");
        (
            IConsortium.Action action,
            bytes32 subject,
            bytes32 dataHash,
            uint64 proposedAt,
            uint256 members,
            uint256 votes,
            bool executed
        ) = consortium.proposalOf(proposal);
        same("action", uint256(IConsortium.Action.AdmitMember), uint256(action));
        same("subject", word(NEW), subject);
        same("data", keccak256("key"), dataHash);
        same("time", block.timestamp, proposedAt);
        same("members", MEMBERS, members);
        same("votes", 3, votes);
        so("open", !executed);
    }

    function test_streams_are_the_hash_of_all_events() public {
        bytes32 head = consortium.stream();
        vm.recordLogs();
        pass(IConsortium.Action.AdmitMember, word(NEW), "key");
        head = replay(head, vm.getRecordedLogs(), address(consortium));
        same("consortium", head, consortium.stream());

        bytes32[3] memory heads = [ledger.stream(), participants.stream(), enclaves.stream()];
        vm.recordLogs();
        join(address(0x5000_0000));
        Round memory round = nextRoundOf(terms(), addressesAnd(address(0x5000_0000)));
        open(round);
        vm.prank(participantAt(0));
        ledger.commit(1, CODE);
        vm.warp(round.spec.deadlines[2] + 1);
        finish(round, 255, 1);
        propose(round);
        vm.warp(round.spec.deadlines[4] + 1);
        settle(round);
        vm.prank(participantAt(1));
        ledger.withdraw();
        vm.prank(coordinator);
        ledger.withdrawBond(1);
        registerEnclave(0x0E2, 2);
        remove(IConsortium.Action.RevokeEnclave, enclave);
        remove(IConsortium.Action.SuspendParticipant, word(participantAt(1)));
        vm.prank(participantAt(2));
        participants.leave();
        others();
        Vm.Log[] memory logs = vm.getRecordedLogs();
        same("ledger", replay(heads[0], logs, address(ledger)), ledger.stream());
        same("participants", replay(heads[1], logs, address(participants)), participants.stream());
        same("enclaves", replay(heads[2], logs, address(enclaves)), enclaves.stream());
    }

    function test_what_is_said_of_platforms_is_in_the_stream() public {
        bytes32 head = enclaves.stream();
        vm.recordLogs();
        Tcb memory row = tcb(TCB_EXPIRY + 1);
        remove(IConsortium.Action.RejectTcb, tcbId(row));
        pass(IConsortium.Action.AcceptTcb, tcbId(row), abi.encode(row));
        revokeCertificate(authorityId(), 7);
        remove(IConsortium.Action.DistrustAuthority, authorityId());
        pass(IConsortium.Action.TrustAuthority, authorityId(), abi.encode(authority()));
        same("enclaves", replay(head, vm.getRecordedLogs(), address(enclaves)), enclaves.stream());
    }

    function others() internal {
        vm.prank(participantAt(3));
        participants.setPayout(NEW);
        ledger.anchor(CODE);
        ledger.fund{value: 1}();
    }

    function replay(bytes32 head, Vm.Log[] memory logs, address emitter) internal pure returns (bytes32) {
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter != emitter) continue;
            bytes memory data = abi.encodePacked(logs[i].topics, logs[i].data);
            head = keccak256(abi.encodePacked(head, keccak256(data)));
        }
        return head;
    }

    function addressesAnd(address last) internal pure returns (address[] memory list) {
        address[] memory first = addresses(SLOTS);
        list = new address[](SLOTS + 1);
        for (uint256 i = 0; i < SLOTS; ++i) {
            list[i] = first[i];
        }
        list[SLOTS] = last;
    }

    function grow(uint256 index) internal {
        uint256 proposal = proposeBy(0, IConsortium.Action.AdmitMember, word(member(index)));
        for (uint256 i = 1; i < index; ++i) {
            vote(i, proposal);
        }
        skip(DELAY);
        consortium.execute(proposal, "");
    }

    function setTerms(Terms memory t, uint64 fromRound) internal {
        bytes memory data = abi.encode(t, fromRound);
        pass(IConsortium.Action.SetTerms, keccak256(data), data);
    }

    function outOfRange(Terms memory t, string memory field, int256 lowest, int256 highest, int256 actual) internal {
        bytes memory data = abi.encode(t, uint64(1));
        refused(
            IConsortium.Action.SetTerms,
            keccak256(data),
            data,
            abi.encodeWithSelector(IConsortium.TermsOutOfRange.selector, field, lowest, highest, actual)
        );
    }

    function proposeBy(uint256 index, IConsortium.Action action, bytes32 subject) internal returns (uint256) {
        vm.prank(member(index));
        return consortium.propose(action, subject, "");
    }

    function vote(uint256 index, uint256 proposal) internal {
        vm.prank(member(index));
        consortium.vote(proposal);
    }

    function expectExecute(uint256 proposal, bytes memory error) internal {
        vm.expectRevert(error);
        consortium.execute(proposal, "");
    }

    function nothing(IConsortium.Action action, bytes32 subject, bytes memory data) internal {
        failing(action, subject, data, abi.encodeWithSelector(IConsortium.NothingToChange.selector, action, subject));
    }

    function failing(IConsortium.Action action, bytes32 subject, bytes memory data, bytes memory error) internal {
        uint256 proposal = proposeAll(action, subject, data);
        skip(DELAY);
        vm.expectRevert(error);
        consortium.execute(proposal, data);
    }

    function refused(IConsortium.Action action, bytes32 subject, bytes memory data, bytes memory error) internal {
        vm.expectRevert(error);
        vm.prank(member(0));
        consortium.propose(action, subject, data);
    }
}
