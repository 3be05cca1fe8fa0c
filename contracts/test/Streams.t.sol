// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IConsortium} from "../src/interfaces/IConsortium.sol";
import {IEventStream} from "../src/interfaces/IEventStream.sol";
import {Checkpoint, Terms} from "../src/libraries/Messages.sol";
import {Verdict} from "../src/libraries/Verdicts.sol";
import {Asking} from "./Asking.sol";
import {Disputing} from "./Disputing.sol";
import {Vm} from "./Vm.sol";
import {World} from "./World.sol";

/// @title Every event of a dispute is in its contract's stream, word by word
abstract contract Streams is Disputing {
    struct Heads {
        bytes32 consortium;
        bytes32 ledger;
        bytes32 disputes;
    }

    function record() internal returns (Heads memory heads) {
        vm.recordLogs();
        return Heads(consortium.stream(), ledger.stream(), disputes.stream());
    }

    /// @param expected How many events each has emitted since.
    function check(Heads memory heads, uint256[3] memory expected) internal {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        replay("consortium", heads.consortium, logs, consortium, expected[0]);
        replay("ledger", heads.ledger, logs, ledger, expected[1]);
        replay("disputes", heads.disputes, logs, disputes, expected[2]);
    }

    function replay(string memory name, bytes32 head, Vm.Log[] memory logs, IEventStream emitter, uint256 expected)
        internal
        view
    {
        uint256 count = 0;
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter != address(emitter)) continue;
            bytes memory data = abi.encodePacked(logs[i].topics, logs[i].data);
            head = keccak256(abi.encodePacked(head, keccak256(data)));
            ++count;
        }
        same(name, expected, count);
        same(name, head, emitter.stream());
    }
}

contract VerdictStreamsTest is Streams {
    function test_of_a_verdict_from_its_commitment_to_its_execution() public {
        (Round memory round, bytes[] memory leaves) = proposedWide(0x38f);
        Heads memory heads = record();
        bytes memory proof = twoReceipts(round.spec, 0);
        commitProof(prover, proof);
        vm.roll(block.number + 1);
        Verdict memory verdict = refuted(copier, round.spec);
        claim(prover, verdict, proof);
        (verdict.prover, verdict.committedAt) = (prover, uint64(block.number - 1));
        vm.warp(verdict.decidedAt + CLAIM_WINDOW + 1);
        execute(verdict, round, leaves);
        vm.prank(prover);
        ledger.withdraw();
        // suspended; voided, refuted, replaced, executed, withdrawn; committed
        check(heads, [uint256(1), 5, 1]);
    }
}

contract RequestStreamsTest is Streams, Asking {
    function setUp() public override(Asking, World) {
        Asking.setUp();
    }

    function terms() internal pure override(Asking, World) returns (Terms memory) {
        return Asking.terms();
    }

    function test_of_requests_that_are_answered_and_withheld() public {
        Heads memory heads = record();
        ask(0, COLUMN, 0, 7);
        ask(1, ROW, 2, 3);
        ask(2, SET, 0, 3);
        answer(prover, 0, answerTo(COLUMN, 7));
        answer(copier, 1, answerTo(ROW, 3));
        ask(3, SET, 0, 0);
        vm.warp(_round.spec.deadlines[4] + 1);
        disputes.voidWithheld(1, member(2));
        disputes.closeRequest(1, member(3));
        check(heads, [uint256(0), 5, 8]); // four credits and the void; four asked, two answered, two closed
    }

    function test_of_what_members_sign_and_outvote() public {
        vm.warp(_round.spec.deadlines[4] + 1);
        settle(_round);
        address signer = vm.addr(11);
        pass(IConsortium.Action.AdmitMember, word(signer), "key");
        Terms memory t = terms();
        (t.rule, t.chain) = (0, bytes32("nnm+krum"));
        bytes memory data = abi.encode(t, uint64(1));
        admitVote(data);
        Heads memory heads = record();
        Checkpoint memory checkpoint = Checkpoint(FEDERATION, 1, ledger.resultOf(1), keccak256("block"));
        consortium.postCheckpoint(checkpoint, signed(11, harness.hashCheckpoint(checkpoint)));
        check(heads, [uint256(1), 0, 0]);
        _round = rooted(nextRoundOf(t, addresses(SLOTS)));
        heads = record();
        uint256 proposal =
            proposeAll(IConsortium.Action.OutvoteResult, harness.hashResult(_round.result), abi.encode(_round.spec));
        vm.prank(signer);
        consortium.vote(proposal);
        consortium.execute(proposal, abi.encode(_round.spec));
        check(heads, [uint256(6), 1, 0]); // proposed, four votes, executed; voided
    }

    /// @dev Five members by now, so that four votes are needed.
    function admitVote(bytes memory data) internal {
        uint256 proposal = proposeAll(IConsortium.Action.SetTerms, keccak256(data), data);
        vm.prank(vm.addr(11));
        consortium.vote(proposal);
        skip(DELAY);
        consortium.execute(proposal, data);
    }

    function test_of_complaints() public {
        Heads memory heads = record();
        complain();
        Vm.Log[] memory logs = vm.getRecordedLogs();
        replay("consortium", heads.consortium, logs, consortium, 22); // three votes of seven events, and the complaint
        replay("ledger", heads.ledger, logs, ledger, 1);
    }
}
