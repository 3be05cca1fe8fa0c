// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IConsortium} from "../src/interfaces/IConsortium.sol";
import {IEventStream} from "../src/interfaces/IEventStream.sol";
import {Tcb} from "../src/interfaces/IPlatformTrust.sol";
import {Finding} from "../src/interfaces/IPredicates.sol";
import {IRoundLedger} from "../src/interfaces/IRoundLedger.sol";
import {Terms} from "../src/libraries/Messages.sol";
import {Verdict} from "../src/libraries/Verdicts.sol";
import {Disputing} from "./Disputing.sol";

/// @title What two thirds may do to a result, who may call what, and what not even all members may do
contract PowersTest is Disputing {
    function test_two_thirds_outvote_a_result_at_once() public {
        Round memory round = proposedUnder(replayOnly());
        uint256 proposal = outvote(round, 0);
        vote(1, proposal);
        bytes memory data = abi.encode(round.spec);
        vm.expectRevert(abi.encodeWithSelector(IConsortium.NotEnoughVotes.selector, 3, 2));
        consortium.execute(proposal, data);
        vote(2, proposal);
        consortium.execute(proposal, data);
        same("void", uint256(IRoundLedger.State.Void), uint256(ledger.stateOf(1)));
        same("nobody pays", BOND, ledger.bondOf(coordinator));
        same("treasury", 10 ether, ledger.treasury());
        same("model", GENESIS, ledger.model());
        (bool trusted,) = enclaves.trustOf(enclave);
        so("trusted", trusted);
    }

    function test_a_result_is_outvoted_within_the_challenge_window() public {
        Round memory round = proposedUnder(replayOnly());
        uint64 end = round.spec.deadlines[4];
        uint256 proposal = outvoted(round);
        vm.warp(end + 1);
        vm.expectRevert(abi.encodeWithSelector(IEventStream.TooLate.selector, end, end + 1));
        consortium.execute(proposal, abi.encode(round.spec));
        vm.warp(end);
        consortium.execute(proposal, abi.encode(round.spec));
    }

    /// @dev By number, by string, and by what its optimizer keeps: of none of these does a proof know the model.
    function test_only_what_no_proof_refutes_is_outvoted() public {
        Round memory round = proposedUnder(terms());
        uint256 proposal = outvoted(round);
        vm.expectRevert(abi.encodeWithSelector(IRoundLedger.Refutable.selector, uint8(4)));
        consortium.execute(proposal, abi.encode(round.spec));
        vm.warp(round.spec.deadlines[4] + 1);
        settle(round);
        for (uint256 i = 0; i < 3; ++i) {
            Terms memory t = terms();
            if (i == 0) t = replayOnly();
            else if (i == 1) t.chain = bytes32("nnm+trimmed-mean");
            else t.optimizer = 1;
            round = proposedUnder(t);
            proposal = outvoted(round);
            consortium.execute(proposal, abi.encode(round.spec));
            same("void", uint256(IRoundLedger.State.Void), uint256(ledger.stateOf(round.spec.round)));
        }
    }

    function test_only_the_result_that_was_voted_on() public {
        Round memory round = proposedUnder(replayOnly());
        bytes32 right = harness.hashResult(round.result);
        Round memory wrong = copy(round);
        wrong.result.newModel = keccak256("another");
        bytes32 other = harness.hashResult(wrong.result);
        expectOutvote(wrong, abi.encodeWithSelector(IRoundLedger.WrongResult.selector, right, other));
        wrong = copy(round);
        wrong.spec.rule = 1; // as if
        expectOutvote(
            wrong,
            abi.encodeWithSelector(
                IRoundLedger.WrongSpec.selector, harness.hashSpec(round.spec), harness.hashSpec(wrong.spec)
            )
        );
        wrong = copy(round);
        wrong.spec.round = 2;
        expectOutvote(wrong, abi.encodeWithSelector(IRoundLedger.WrongRound.selector, uint64(1), uint64(2)));
        bytes memory data = bytes.concat(abi.encode(round.spec), hex"00");
        vm.expectRevert(abi.encodeWithSelector(IConsortium.WrongDataLength.selector, 800, 801));
        vm.prank(member(0));
        consortium.propose(IConsortium.Action.OutvoteResult, right, data);
    }

    /// @dev Members may agree before there is a result; it counts once it is proposed, and never after it is settled.
    function test_a_result_is_outvoted_while_it_is_proposed() public {
        changeTerms(replayOnly());
        Round memory round = nextRoundOf(replayOnly(), addresses(SLOTS));
        open(round);
        vm.warp(round.spec.deadlines[2] + 1);
        finish(round, ALL, 0);
        uint256 proposal = outvoted(round);
        vm.expectRevert(wrongState(IRoundLedger.State.Open));
        consortium.execute(proposal, abi.encode(round.spec));
        propose(round);
        uint256 snapshot = vm.snapshotState();
        consortium.execute(proposal, abi.encode(round.spec));
        vm.revertToState(snapshot);
        vm.warp(round.spec.deadlines[4] + 1);
        settle(round);
        vm.expectRevert(wrongState(IRoundLedger.State.Settled));
        consortium.execute(proposal, abi.encode(round.spec));
    }

    function test_measurements_are_suspended_by_disputes_alone() public {
        bytes memory error = abi.encodeWithSelector(IEventStream.WrongCaller.selector, address(disputes), member(0));
        vm.expectRevert(error);
        vm.prank(member(0));
        consortium.suspendMeasurement(MEASUREMENT);
        vm.prank(address(disputes));
        consortium.suspendMeasurement(MEASUREMENT);
        so("suspended", !consortium.isMeasurementAllowed(MEASUREMENT));
    }

    function test_the_ledger_takes_verdicts_from_disputes_and_complaints_from_the_consortium() public {
        Round memory round = proposed(ALL, 0);
        Finding memory finding = Finding(8, true, 1, harness.hashSpec(round.spec), enclave, bytes32(0), 0);
        Verdict memory verdict;
        bytes32 result = harness.hashResult(round.result);
        bytes[5] memory calls = [
            abi.encodeCall(IRoundLedger.refute, (finding, prover, 1)),
            abi.encodeCall(IRoundLedger.replaceProver, (verdict, prover, 1)),
            abi.encodeCall(IRoundLedger.executeVerdict, (verdict, new address[](0))),
            abi.encodeCall(IRoundLedger.credit, (prover)),
            abi.encodeCall(IRoundLedger.voidWithheld, (1))
        ];
        address[4] memory callers = [address(consortium), coordinator, member(0), prover];
        for (uint256 i = 0; i < 5; ++i) {
            for (uint256 j = 0; j < 4; ++j) {
                expectCaller(callers[j], calls[i], address(disputes));
            }
        }
        callers[0] = address(disputes);
        bytes[2] memory votes = [
            abi.encodeCall(IRoundLedger.voidUnavailable, (1, result)),
            abi.encodeCall(IRoundLedger.voidOutvoted, (round.spec, result))
        ];
        for (uint256 i = 0; i < 2; ++i) {
            for (uint256 j = 0; j < 4; ++j) {
                expectCaller(callers[j], votes[i], address(consortium));
            }
        }
    }

    /// @dev Every action there is, by all members: settled and void rounds, credits, reputations, bonds, the treasury,
    /// a verdict and its pot, and deposits stay as they are.
    function test_no_vote_touches_a_past_round_or_anybodys_money() public {
        (address friend, bytes32 second) = secondCoordinator();
        changeTerms(replayOnly());
        settledUnder(replayOnly());
        Round memory round = nextRoundOf(replayOnly(), addresses(SLOTS));
        open(round);
        refuted(prover, round.spec); // its verdict waits
        pass(IConsortium.Action.AllowMeasurement, MEASUREMENT, "");
        round = nextRoundOf(replayOnly(), addresses(SLOTS));
        round.spec.enclave = second;
        vm.prank(friend);
        ledger.openRound(round.spec, round.registered, round.cut);
        vm.warp(round.spec.deadlines[2] + 1);
        finish(round, ALL, 0);
        sign(round, SECOND_KEY);
        vm.prank(friend);
        ledger.propose(round.spec, round.result, round.outcomes, round.signature);
        bytes32 before = protected();
        same("there is no action beside these", 15, uint256(type(IConsortium.Action).max));
        for (uint256 i = 0; i <= 15; ++i) {
            // Outvoting first, while the round is proposed; distrusting last, as others are about the same authority.
            IConsortium.Action action = IConsortium.Action(i == 0 ? 15 : i == 15 ? 5 : i < 6 ? i - 1 : i);
            (bytes32 subject, bytes memory data) = anything(action, round);
            uint256 proposal = proposeAll(action, subject, data);
            if (consortium.isMember(member(3))) {
                vm.prank(member(3));
                consortium.vote(proposal);
            }
            if (action != IConsortium.Action.OutvoteResult) skip(DELAY);
            bytes32 head = consortium.stream();
            consortium.execute(proposal, data);
            so("it did something", head != consortium.stream());
            same("protected", before, protected());
        }
        same("outvoted", uint256(IRoundLedger.State.Void), uint256(ledger.stateOf(3)));
    }

    function protected() internal view returns (bytes32) {
        bytes memory all = abi.encode(
            ledger.stateOf(1),
            ledger.specOf(1),
            ledger.resultOf(1),
            ledger.stateOf(2),
            ledger.specOf(2),
            ledger.resultOf(2)
        );
        all = abi.encode(
            all,
            ledger.model(),
            ledger.previous(),
            ledger.treasury(),
            ledger.bondOf(coordinator),
            ledger.bondOf(address(0xC1)),
            ledger.verdictOf(coordinator)
        );
        all = abi.encode(all, address(ledger).balance, address(participants).balance, address(disputes).balance);
        for (uint256 slot = 0; slot < SLOTS; ++slot) {
            (uint64 good, uint64 bad, uint120 credit) = ledger.standingOf(participantAt(slot));
            (uint256 deposit,) = participants.depositOf(participantAt(slot));
            all = abi.encode(all, good, bad, credit, deposit, participants.payoutOf(participantAt(slot)));
        }
        return keccak256(all);
    }

    /// @dev What an action can be about.
    function anything(IConsortium.Action action, Round memory round)
        internal
        view
        returns (bytes32 subject, bytes memory data)
    {
        Tcb memory row = tcb(TCB_EXPIRY + 1);
        if (action == IConsortium.Action.OutvoteResult) {
            return (harness.hashResult(round.result), abi.encode(round.spec));
        }
        if (action == IConsortium.Action.SetTerms) {
            data = abi.encode(terms(), uint64(0));
            return (keccak256(data), data);
        }
        if (action == IConsortium.Action.RevokeCertificate) {
            data = abi.encode(authorityId(), SERIAL);
            return (keccak256(data), data);
        }
        if (action == IConsortium.Action.TrustAuthority) return (authorityId(), abi.encode(authority()));
        if (action == IConsortium.Action.DistrustAuthority) return (authorityId(), "");
        if (action == IConsortium.Action.AcceptTcb) return (tcbId(row), abi.encode(row));
        if (action == IConsortium.Action.RejectTcb) return (tcbId(row), "");
        if (action == IConsortium.Action.RevokeEnclave) return (enclave, "");
        if (action == IConsortium.Action.AllowMeasurement) return (keccak256("new code"), "");
        if (action == IConsortium.Action.RevokeMeasurement) return (MEASUREMENT, "");
        if (action == IConsortium.Action.AdmitMember) return (word(prover), "key");
        if (action == IConsortium.Action.RemoveMember) return (word(member(3)), "");
        if (action == IConsortium.Action.AdmitCoordinator) return (word(prover), "");
        if (action == IConsortium.Action.RemoveCoordinator) return (word(coordinator), "");
        return (word(participantAt(0)), ""); // suspend, reinstate
    }

    /// @dev A rule that this version does not have.
    function replayOnly() internal pure returns (Terms memory t) {
        t = terms();
        t.rule = 0;
        t.chain = bytes32("nnm+krum");
    }

    function changeTerms(Terms memory t) internal {
        bytes memory data = abi.encode(t, uint64(1));
        pass(IConsortium.Action.SetTerms, keccak256(data), data);
    }

    function proposedUnder(Terms memory t) internal returns (Round memory round) {
        changeTerms(t);
        round = nextRoundOf(t, addresses(SLOTS));
        open(round);
        vm.warp(round.spec.deadlines[2] + 1);
        finish(round, ALL, 0);
        propose(round);
    }

    function settledUnder(Terms memory t) internal {
        Round memory round = nextRoundOf(t, addresses(SLOTS));
        open(round);
        vm.warp(round.spec.deadlines[2] + 1);
        finish(round, ALL, 3);
        propose(round);
        vm.warp(round.spec.deadlines[4] + 1);
        settle(round);
    }

    function outvote(Round memory round, uint256 index) internal returns (uint256) {
        bytes32 subject = harness.hashResult(round.result);
        vm.prank(member(index));
        return consortium.propose(IConsortium.Action.OutvoteResult, subject, abi.encode(round.spec));
    }

    function outvoted(Round memory round) internal returns (uint256 proposal) {
        proposal = outvote(round, 0);
        vote(1, proposal);
        vote(2, proposal);
    }

    function expectOutvote(Round memory round, bytes memory error) internal {
        uint256 proposal = outvoted(round);
        bytes32 before = everything();
        vm.expectRevert(error);
        consortium.execute(proposal, abi.encode(round.spec));
        same("nothing changes", before, everything());
    }

    function vote(uint256 index, uint256 proposal) internal {
        vm.prank(member(index));
        consortium.vote(proposal);
    }

    function expectCaller(address caller, bytes memory call, address expected) internal {
        bytes32 before = everything();
        vm.prank(caller);
        (bool ok, bytes memory answer) = address(ledger).call(call);
        so("refused", !ok);
        bytes memory error = abi.encodeWithSelector(IEventStream.WrongCaller.selector, expected, caller);
        same("error", keccak256(error), keccak256(answer));
        same("nothing changes", before, everything());
    }

    function wrongState(IRoundLedger.State actual) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IRoundLedger.WrongState.selector, IRoundLedger.State.Proposed, actual);
    }
}
