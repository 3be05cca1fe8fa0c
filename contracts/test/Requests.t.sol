// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IConsortium} from "../src/interfaces/IConsortium.sol";
import {Answer, IDisputes} from "../src/interfaces/IDisputes.sol";
import {IEventStream} from "../src/interfaces/IEventStream.sol";
import {IPredicates} from "../src/interfaces/IPredicates.sol";
import {IRoundLedger} from "../src/interfaces/IRoundLedger.sol";
import {Terms} from "../src/libraries/Messages.sol";
import {Asking} from "./Asking.sol";

/// @title What members can ask for, and what answers
contract RequestsTest is Asking {
    function test_every_tree_is_asked_and_answered() public {
        IDisputes.Tree[5] memory trees = [ROW, SET, COLUMN, GRAM, MODEL];
        uint32[5] memory last = [uint32(16), 6, 256, 11, 16];
        for (uint256 i = 0; i < 15; ++i) {
            uint256 snapshot = vm.snapshotState();
            (IDisputes.Tree tree, uint32 end) = (trees[i / 3], last[i / 3]);
            uint32 index = i % 3 == 0 ? 0 : i % 3 == 1 ? end / 2 : end;
            ask(0, tree, 2, index);
            answer(address(0xA1), 0, answerTo(tree, index));
            same("who answers is paid", PRICE, creditOf(address(0xA1)));
            same("nothing is held any more", 0, address(disputes).balance);
            (uint256 open_,) = disputes.holdOn(1);
            same("open", 0, open_);
            vm.revertToState(snapshot);
        }
    }

    function test_no_leaf_beyond_the_last_one() public {
        IDisputes.Tree[5] memory trees = [ROW, SET, COLUMN, GRAM, MODEL];
        uint32[5] memory sizes = [uint32(17), 7, 257, 12, 17];
        for (uint256 i = 0; i < 5; ++i) {
            bytes memory error =
                abi.encodeWithSelector(IPredicates.NoSuchLeaf.selector, uint256(sizes[i]), uint256(sizes[i]));
            expectAsk(0, trees[i], 2, sizes[i], error);
            error = abi.encodeWithSelector(IPredicates.NoSuchLeaf.selector, uint256(sizes[i]), type(uint32).max);
            expectAsk(0, trees[i], 2, type(uint32).max, error);
        }
    }

    function test_rows_are_of_counted_slots() public {
        expectAsk(0, ROW, 1, 0, abi.encodeWithSelector(IPredicates.NotCounted.selector, 1));
        expectAsk(0, ROW, 7, 0, abi.encodeWithSelector(IPredicates.NotCounted.selector, 7));
        expectAsk(0, ROW, 256, 0, abi.encodeWithSelector(IPredicates.NotCounted.selector, 256));
        ask(0, SET, 1, 1); // why it is not counted may be asked
        answer(prover, 0, answerTo(SET, 1));
    }

    function test_there_are_five_trees_and_a_gram_tree_only_where_rows_are_selected() public {
        expectAsk(0, NONE, 0, 0, abi.encodeWithSelector(IDisputes.NoSuchTree.selector, NONE));
        over();
        Terms memory t = terms();
        (t.rule, t.chain) = (3, bytes32("median"));
        proposeUnder(t);
        expectAsk(0, GRAM, 0, 0, abi.encodeWithSelector(IDisputes.NoSuchTree.selector, GRAM));
        ask(0, COLUMN, 0, 0);
    }

    function test_what_is_not_public_is_not_asked_for() public {
        for (uint8 disclosure = 1; disclosure < 3; ++disclosure) {
            over();
            Terms memory t = terms();
            t.disclosure = disclosure;
            proposeUnder(t);
            bytes memory error = abi.encodeWithSelector(IDisputes.NotDisclosed.selector, disclosure);
            expectAsk(0, ROW, 2, 0, error);
            expectAsk(0, COLUMN, 0, 0, error);
            expectAsk(0, GRAM, 0, 0, error);
            ask(0, SET, 0, 0);
            ask(1, MODEL, 0, 0);
            answer(prover, 0, answerTo(SET, 0));
            answer(prover, 1, answerTo(MODEL, 0));
        }
    }

    function test_members_ask_and_nobody_else() public {
        vm.deal(prover, 1 ether);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.NotMember.selector, prover));
        vm.prank(prover);
        disputes.requestLeaf{value: PRICE}(_round.spec, _round.result, SET, 0, 0);
        pass(IConsortium.Action.RemoveMember, word(member(3)), "");
        vm.expectRevert(abi.encodeWithSelector(IDisputes.NotMember.selector, member(3)));
        ask(3, SET, 0, 0);
    }

    function test_the_deposit_is_exact() public {
        same("deposit", PRICE, disputes.deposit());
        uint256[3] memory wrong = [uint256(0), PRICE - 1, PRICE + 1];
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IDisputes.WrongDeposit.selector, PRICE, wrong[i]));
            vm.prank(member(0));
            disputes.requestLeaf{value: wrong[i]}(_round.spec, _round.result, SET, 0, 0);
        }
    }

    /// @dev As many requests as members, however many leaves there are: nobody can make a coordinator answer for ever.
    function test_a_member_asks_once_a_round_also_after_an_answer() public {
        ask(0, SET, 0, 0);
        bytes memory error = abi.encodeWithSelector(IDisputes.AlreadyRequested.selector, uint64(1), member(0));
        expectAsk(0, SET, 0, 1, error);
        answer(prover, 0, answerTo(SET, 0));
        expectAsk(0, SET, 0, 0, error);
        for (uint256 i = 1; i < MEMBERS; ++i) {
            ask(i, SET, 0, 0);
        }
        (uint256 open_,) = disputes.holdOn(1);
        same("one each", MEMBERS - 1, open_);
        over();
        Round memory next = rooted(nextRound());
        vm.prank(member(0));
        disputes.requestLeaf{value: PRICE}(next.spec, next.result, SET, 0, 0); // another round
    }

    function test_members_ask_up_to_the_end_of_the_challenge_window() public {
        uint64 end = _round.spec.deadlines[4];
        vm.warp(end - 1);
        ask(0, SET, 0, 0);
        vm.warp(end);
        ask(1, SET, 0, 0);
        vm.warp(end + 1);
        expectAsk(2, SET, 0, 0, abi.encodeWithSelector(IEventStream.TooLate.selector, end, end + 1));
    }

    function test_members_ask_of_a_proposed_result_only() public {
        vm.warp(_round.spec.deadlines[4] + 1);
        settle(_round);
        expectAsk(0, SET, 0, 0, wrongState(IRoundLedger.State.Settled));
        _round = nextRound();
        expectAsk(0, SET, 0, 0, wrongState(IRoundLedger.State.None));
        open(_round);
        expectAsk(0, SET, 0, 0, wrongState(IRoundLedger.State.Open));
        vm.warp(_round.spec.deadlines[3] + 1);
        void_(_round);
        expectAsk(0, SET, 0, 0, wrongState(IRoundLedger.State.Void));
    }

    function test_members_ask_of_this_spec_and_result() public {
        Round memory wrong = copy(_round);
        wrong.spec.dimension *= 2; // more leaves than there are
        vm.expectRevert(
            abi.encodeWithSelector(
                IDisputes.OtherSubject.selector, harness.hashSpec(_round.spec), harness.hashSpec(wrong.spec)
            )
        );
        vm.prank(member(0));
        disputes.requestLeaf{value: PRICE}(wrong.spec, wrong.result, SET, 0, 0);
        wrong = copy(_round);
        wrong.result.counted = ALL;
        vm.expectRevert(
            abi.encodeWithSelector(
                IDisputes.OtherResult.selector, harness.hashResult(_round.result), harness.hashResult(wrong.result)
            )
        );
        vm.prank(member(0));
        disputes.requestLeaf{value: PRICE}(wrong.spec, wrong.result, ROW, 1, 0);
    }

    function test_an_answer_is_the_leaf_that_was_asked_for() public {
        ask(0, MODEL, 0, 5);
        bytes32 root = _round.result.newModel;
        Answer memory wrong = answerTo(MODEL, 6); // another leaf, its path right
        vm.expectPartialRevert(IPredicates.WrongRoot.selector);
        answer(prover, 0, wrong);
        wrong = answerTo(MODEL, 5);
        wrong.data[3] ^= 0x01;
        vm.expectPartialRevert(IPredicates.WrongRoot.selector);
        answer(prover, 0, wrong);
        wrong = answerTo(MODEL, 5);
        wrong.path = new bytes32[](wrong.path.length - 1);
        expectAnswer(0, wrong, abi.encodeWithSelector(IPredicates.WrongPathLength.selector, 5, 4));
        wrong = answerTo(MODEL, 5);
        wrong.path = longer(wrong.path);
        expectAnswer(0, wrong, abi.encodeWithSelector(IPredicates.WrongPathLength.selector, 5, 6));
        wrong = answerTo(ROW, 5); // of another tree, with what only such a one has
        expectAnswer(0, wrong, tooLong(wrong.set.data.length + wrong.set.path.length));
        (wrong.set.data, wrong.set.path) = ("", new bytes32[](0));
        vm.expectPartialRevert(IPredicates.WrongRoot.selector);
        answer(prover, 0, wrong);
        wrong = answerTo(MODEL, 5);
        wrong.totals = hex"00";
        expectAnswer(0, wrong, tooLong(1));
        so("root", root != bytes32(0));
        answer(prover, 0, answerTo(MODEL, 5));
    }

    function tooLong(uint256 length) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IPredicates.WrongLength.selector, 0, length);
    }

    function test_a_column_is_answered_with_what_its_hashes_are_of() public {
        ask(0, COLUMN, 0, 200);
        Answer memory wrong = answerTo(COLUMN, 200);
        wrong.columns[0] ^= 0x01;
        expectAnswer(
            0,
            wrong,
            abi.encodeWithSelector(IPredicates.WrongPreimage.selector, sha256(_columns), sha256(wrong.columns))
        );
        wrong = answerTo(COLUMN, 200);
        wrong.totals = "";
        expectAnswer(0, wrong, abi.encodeWithSelector(IPredicates.WrongPreimage.selector, sha256(_totals), sha256("")));
        answer(prover, 0, answerTo(COLUMN, 200));
    }

    function test_a_row_is_answered_with_its_slots_set_leaf() public {
        ask(0, ROW, 2, 3);
        Answer memory wrong = answerTo(ROW, 3);
        wrong.set.slot = 3;
        expectAnswer(0, wrong, abi.encodeWithSelector(IPredicates.NotCounted.selector, 3));
        wrong = answerTo(ROW, 3);
        wrong.set.data = new bytes(33);
        expectAnswer(0, wrong, abi.encodeWithSelector(IPredicates.WrongLength.selector, 101, 33));
        wrong = answerTo(ROW, 3);
        wrong.set.data[35] ^= 0x01;
        vm.expectPartialRevert(IPredicates.WrongRoot.selector);
        answer(prover, 0, wrong);
        answer(prover, 0, answerTo(ROW, 3));
    }

    function test_an_answer_is_in_time_up_to_its_second_and_comes_once() public {
        ask(0, SET, 0, 4);
        (IDisputes.Tree tree,, uint32 index, uint64 answerBy, bool isOpen) = disputes.requestOf(1, member(0));
        same("tree", uint256(SET), uint256(tree));
        same("index", 4, index);
        same("to the end of the challenge window at least", _round.spec.deadlines[4], answerBy);
        vm.warp(_round.spec.deadlines[4]);
        ask(1, SET, 0, 4);
        (,,, uint64 later,) = disputes.requestOf(1, member(1));
        same("a challenge window from now at least", block.timestamp + WINDOW, later);
        so("open", isOpen);
        vm.warp(answerBy + 1);
        expectAnswer(0, answerTo(SET, 4), abi.encodeWithSelector(IEventStream.TooLate.selector, answerBy, answerBy + 1));
        vm.warp(answerBy);
        answer(prover, 0, answerTo(SET, 4));
        expectAnswer(0, answerTo(SET, 4), noRequest(1, 0));
        expectAnswer(2, answerTo(SET, 4), noRequest(1, 2));
        same("paid once", PRICE, creditOf(prover));
    }

    function test_money_that_is_just_sent_is_refused() public {
        (bool ok,) = address(disputes).call{value: 1}("");
        so("refused", !ok);
    }
}
