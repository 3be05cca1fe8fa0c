// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";

import {IConsortium} from "../src/interfaces/IConsortium.sol";
import {IDisputes} from "../src/interfaces/IDisputes.sol";
import {IEventStream} from "../src/interfaces/IEventStream.sol";
import {IRoundLedger} from "../src/interfaces/IRoundLedger.sol";
import {Merkle} from "../src/libraries/Merkle.sol";
import {Verdict} from "../src/libraries/Verdicts.sol";
import {Disputing} from "./Disputing.sol";
import {Reenterer, Refuser} from "./Receivers.sol";
import {Trees} from "./Trees.sol";

/// @title What becomes of a refuted coordinator's bond
contract PotsTest is Disputing {
    /// @dev Slots of those with keys, and two of those without.
    uint256 internal constant COUNTED = 0x38f;
    uint256 internal constant GAS_LIMIT = 1 << 24; // of a transaction, EIP-7825

    mapping(address participant => uint256) internal _keys;

    function test_a_pot_is_a_quarter_the_provers_a_quarter_the_signers_and_the_rest_burnt() public {
        vm.prank(coordinator);
        ledger.addBond{value: 7}(); // so that nothing divides
        (Verdict memory verdict, Round memory round, bytes[] memory leaves) = executable();
        uint256 pot = BOND + 7;
        same("pot", pot, verdict.pot);
        uint256 before = address(ledger).balance;
        vm.warp(verdict.decidedAt + CLAIM_WINDOW + 1);
        execute(verdict, round, leaves);
        uint256 share = pot / 4 / KEYED;
        uint256 burnt = pot - pot / 4 - KEYED * share;
        same("prover", pot / 4, creditOf(prover));
        for (uint256 slot = 0; slot < WIDE; ++slot) {
            uint256 expected = keyAt(round.cohort[slot]) == keyOf(KEYED) ? 0 : share;
            same("cohort", expected, creditOf(round.cohort[slot]));
        }
        same("burnt", burnt, address(0).balance);
        so("two budgets", burnt >= 2 * BUDGET);
        same("bond", 0, ledger.bondOf(coordinator));
        same("no verdict waits", 0, ledger.verdictOf(coordinator));
        same("balance", before - burnt, address(ledger).balance);
        same("all that is left", 10 ether + pot / 4 + KEYED * share, address(ledger).balance);
    }

    function test_whose_leaf_is_not_signed_gets_nothing() public {
        joinKeyed();
        Round memory round = openWide();
        bytes[] memory leaves = leavesOf(round);
        uint256 first = slotOf(0);
        uint256 second = slotOf(1);
        leaves[first] = leafOf(round.spec, round.cohort[second], keyAt(round.cohort[second])); // another's
        leaves[second] = bytes.concat(leaves[second], hex"00"); // of another length
        reset(round, leaves);
        propose(round);
        Verdict memory verdict = refuted(prover, round.spec);
        vm.warp(verdict.decidedAt + CLAIM_WINDOW + 1);
        execute(verdict, round, leaves);
        same("another's", 0, creditOf(round.cohort[first]));
        same("of another length", 0, creditOf(round.cohort[second]));
        same("all of the cohort's part", BOND / 4, creditOf(round.cohort[slotOf(2)]));
    }

    function test_a_signature_of_another_spec_or_with_high_s_is_none() public {
        joinKeyed();
        Round memory round = openWide();
        bytes[] memory leaves = leavesOf(round);
        (uint256 first, uint256 second, uint256 third) = (slotOf(0), slotOf(1), slotOf(2));
        Round memory other = copy(round);
        other.spec.budget += 1;
        leaves[first] = leafOf(other.spec, round.cohort[first], keyAt(round.cohort[first]));
        leaves[second] = highS(leaves[second]);
        leaves[third][35] ^= 0x01; // other samples than were signed
        reset(round, leaves);
        propose(round);
        Verdict memory verdict = refuted(prover, round.spec);
        vm.warp(verdict.decidedAt + CLAIM_WINDOW + 1);
        execute(verdict, round, leaves);
        same(
            "nobody", 0, creditOf(round.cohort[first]) + creditOf(round.cohort[second]) + creditOf(round.cohort[third])
        );
        same("burnt", BOND - BOND / 4, address(0).balance);
    }

    function test_with_leaves_from_the_end_of_the_claims_on() public {
        (Verdict memory verdict, Round memory round, bytes[] memory leaves) = executable();
        uint256 from = verdict.decidedAt + CLAIM_WINDOW + 1;
        vm.warp(from - 1);
        expectExecute(verdict, round, leaves, tooEarly(from, from - 1));
        vm.warp(from);
        execute(verdict, round, leaves);
    }

    function test_without_leaves_a_week_later_and_the_cohorts_part_is_burnt() public {
        (Verdict memory verdict, Round memory round,) = executable();
        uint256 from = verdict.decidedAt + LEAVES_WINDOW + 1;
        vm.warp(from - 1);
        expectExecute(verdict, round, new bytes[](0), tooEarly(from, from - 1));
        vm.warp(from);
        execute(verdict); // spec, result and cohort are ignored
        same("prover", BOND / 4, creditOf(prover));
        same("burnt", BOND - BOND / 4, address(0).balance);
        same("cohort", 0, creditOf(round.cohort[slotOf(0)]));
    }

    function test_leaves_are_still_good_after_that_week() public {
        (Verdict memory verdict, Round memory round, bytes[] memory leaves) = executable();
        vm.warp(verdict.decidedAt + 300 days);
        execute(verdict, round, leaves);
        same("cohort", BOND / 4 / KEYED, creditOf(round.cohort[slotOf(0)]));
    }

    function test_where_there_was_no_result_there_are_no_leaves() public {
        joinKeyed();
        Round memory round = openWide();
        bytes[] memory leaves = leavesOf(round);
        reset(round, leaves);
        Verdict memory verdict = refuted(prover, round.spec);
        uint256 from = verdict.decidedAt + CLAIM_WINDOW + 1;
        vm.warp(from - 1);
        expectExecute(verdict, round, new bytes[](0), tooEarly(from, from - 1));
        vm.warp(from);
        bytes memory error =
            abi.encodeWithSelector(IDisputes.OtherResult.selector, bytes32(0), harness.hashResult(round.result));
        expectExecute(verdict, round, leaves, error);
        execute(verdict);
        same("burnt", BOND - BOND / 4, address(0).balance);
    }

    function test_it_takes_the_verdict_that_stands_in_every_field() public {
        (Verdict memory verdict, Round memory round,) = executable();
        vm.warp(verdict.decidedAt + LEAVES_WINDOW + 1);
        uint136 expected = tagOf(verdict);
        for (uint256 field = 0; field < 8; ++field) {
            Verdict memory wrong = copy(verdict);
            if (field == 0) wrong.round += 1;
            else if (field == 1) wrong.predicate += 1;
            else if (field == 2) wrong.result = keccak256("another");
            else if (field == 3) wrong.prover = copier;
            else if (field == 4) wrong.committedAt -= 1;
            else if (field == 5) wrong.decidedAt -= 1;
            else if (field == 6) wrong.slots -= 1;
            else wrong.pot += 1;
            expectExecute(wrong, round, new bytes[](0), wrongVerdict(expected, wrong));
        }
        Verdict memory other = copy(verdict);
        other.coordinator = prover; // who has no verdict
        expectExecute(other, round, new bytes[](0), wrongVerdict(0, other));
        execute(verdict);
        expectExecute(verdict, round, new bytes[](0), wrongVerdict(0, verdict)); // not twice
    }

    function test_it_takes_the_rounds_spec_result_cohort_and_leaves() public {
        (Verdict memory verdict, Round memory round, bytes[] memory leaves) = executable();
        vm.warp(verdict.decidedAt + CLAIM_WINDOW + 1);
        Round memory wrong = copy(round);
        wrong.spec.decay += 1;
        expectExecute(verdict, wrong, leaves, otherSubject(harness.hashSpec(round.spec), harness.hashSpec(wrong.spec)));
        wrong = copy(round);
        wrong.result.state = keccak256("x");
        expectExecute(
            verdict,
            wrong,
            leaves,
            abi.encodeWithSelector(IDisputes.OtherResult.selector, verdict.result, harness.hashResult(wrong.result))
        );
        wrong = copy(round);
        wrong.cohort[0] = prover;
        expectExecute(
            verdict, wrong, leaves, otherSubject(harness.hashCohort(round.cohort), harness.hashCohort(wrong.cohort))
        );
        bytes[] memory fewer = new bytes[](WIDE - 1);
        for (uint256 i = 0; i < fewer.length; ++i) {
            fewer[i] = leaves[i];
        }
        expectExecute(verdict, round, fewer, abi.encodeWithSelector(IDisputes.OtherCount.selector, WIDE, WIDE - 1));
        bytes[] memory forged = copy(leaves);
        forged[0][5] ^= 0x01;
        bytes32 root = Trees.rootOf(Merkle.SET, forged);
        expectExecute(
            verdict, round, forged, abi.encodeWithSelector(IDisputes.WrongSetRoot.selector, round.result.setRoot, root)
        );
        execute(verdict, round, leaves);
    }

    function test_a_verdict_of_a_later_round_is_another_one() public {
        (Verdict memory first, Round memory round, bytes[] memory leaves) = executable();
        vm.warp(first.decidedAt + CLAIM_WINDOW + 1);
        execute(first, round, leaves);
        pass(IConsortium.Action.AllowMeasurement, MEASUREMENT, "");
        vm.prank(coordinator);
        ledger.addBond{value: BOND}();
        Round memory next = nextRoundOf(terms(), wideCohort());
        open(next);
        Verdict memory second = refuted(copier, next.spec);
        expectExecute(first, round, leaves, wrongVerdict(tagOf(second), first));
        vm.warp(second.decidedAt + CLAIM_WINDOW + 1);
        execute(second);
        same("once", BOND / 4, creditOf(prover));
        same("once", BOND / 4, creditOf(copier));
    }

    /// @dev Neither a budget nor a least bond: there is nothing to share out, and nothing fails for that.
    function test_a_pot_of_nothing() public {
        (Verdict memory verdict, Round memory round, bytes[] memory leaves) = executableWith(0);
        vm.warp(verdict.decidedAt + CLAIM_WINDOW + 1);
        execute(verdict, round, leaves);
        same("nothing", 0, creditOf(prover) + address(0).balance);
        same("no verdict waits", 0, ledger.verdictOf(coordinator));
    }

    function testFuzz_every_wei_of_a_pot_goes_somewhere(uint256 pot) public {
        pot = within(pot, 0, 2 ** 119);
        (Verdict memory verdict, Round memory round, bytes[] memory leaves) = executableWith(pot);
        vm.warp(verdict.decidedAt + CLAIM_WINDOW + 1);
        execute(verdict, round, leaves);
        uint256 credited = creditOf(prover) + KEYED * creditOf(round.cohort[slotOf(0)]);
        same("all", pot, credited + address(0).balance);
        so("half at least is burnt", 2 * address(0).balance >= pot);
        same("balance", 10 ether + credited, address(ledger).balance);
    }

    /// @dev A tag has 136 bits, so that somebody with 2^68 tries may have two verdicts with one. What is shared out is the
    /// frozen bond all the same, not what the verdict says.
    function test_no_verdict_takes_more_than_the_bond_that_it_froze() public {
        (Verdict memory verdict,,) = executable();
        Verdict memory twin = copy(verdict);
        twin.pot = 100 ether;
        bytes32 at = keccak256(abi.encode(coordinator, frozenSlot()));
        vm.store(address(ledger), at, bytes32((uint256(tagOf(twin)) << 120) | BOND));
        vm.warp(verdict.decidedAt + LEAVES_WINDOW + 1);
        execute(twin);
        same("reward", BOND / 4, creditOf(prover));
        same("balance", 10 ether + BOND / 4, address(ledger).balance);
    }

    /// @dev The prover is the liar, and so is the whole cohort.
    function test_who_proves_against_itself_loses_more_than_a_round_can_pay() public {
        (Verdict memory verdict, Round memory round, bytes[] memory leaves) = executable();
        vm.warp(verdict.decidedAt + CLAIM_WINDOW + 1);
        execute(verdict, round, leaves);
        uint256 back = creditOf(prover);
        for (uint256 i = 0; i < KEYED; ++i) {
            back += creditOf(vm.addr(keyOf(i)));
        }
        so("loses two budgets", BOND - back >= 2 * BUDGET);
        same("and the round paid nothing", 10 ether, ledger.treasury());
    }

    function test_who_never_joined_withdraws_to_itself() public {
        paidTo(prover);
        vm.prank(prover);
        ledger.withdraw();
        same("paid", BOND / 4, prover.balance);
        same("credit", 0, creditOf(prover));
        vm.expectRevert(IRoundLedger.NoAmount.selector);
        vm.prank(prover);
        ledger.withdraw();
    }

    function test_a_participant_gets_it_where_it_is_paid() public {
        paidTo(participantAt(3));
        vm.prank(participantAt(3));
        ledger.withdraw();
        same("payout", BOND / 4, payoutAt(3).balance);
        same("itself", 0, participantAt(3).balance);
        (uint64 good, uint64 bad,) = ledger.standingOf(participantAt(3));
        same("no reputation for it", 0, uint256(good) + bad);
    }

    function test_a_prover_that_refuses_money_blocks_only_itself() public {
        Refuser refuser = new Refuser();
        Round memory round = paidTo(address(refuser));
        vm.expectRevert(Refuser.No.selector);
        vm.prank(address(refuser));
        ledger.withdraw();
        same("credit stands", BOND / 4, creditOf(address(refuser)));
        address signer = round.cohort[slotOf(1)];
        vm.prank(signer);
        ledger.withdraw();
        same("another's", BOND / 4 / KEYED, participants.payoutOf(signer).balance);
    }

    function test_a_prover_that_calls_back_gets_nothing_more() public {
        bytes memory withdraw = abi.encodeCall(IRoundLedger.withdraw, ());
        Reenterer reenterer = new Reenterer(address(ledger), withdraw);
        paidTo(address(reenterer));
        reenterer.act(address(ledger), 0, withdraw);
        so("not entered", !reenterer.entered());
        same("paid once", BOND / 4, address(reenterer).balance);
        same(
            "guarded",
            keccak256(abi.encodeWithSelector(ReentrancyGuard.ReentrancyGuardReentrantCall.selector)),
            keccak256(reenterer.answer())
        );
    }

    /// @dev It is paid for one verdict, and executes another while it is.
    function test_no_verdict_is_executed_while_money_is_on_its_way() public {
        (Verdict memory verdict, Round memory round, bytes[] memory leaves) = executable();
        vm.warp(verdict.decidedAt + CLAIM_WINDOW + 1);
        bytes memory again =
            abi.encodeCall(IDisputes.executeVerdict, (verdict, round.spec, round.result, round.cohort, leaves));
        Reenterer reenterer = new Reenterer(address(disputes), again);
        vm.deal(address(reenterer), 1 ether);
        reenterer.act(address(ledger), 1 ether, abi.encodeCall(IRoundLedger.addBond, ()));
        reenterer.act(address(ledger), 0, abi.encodeCall(IRoundLedger.withdrawBond, (1 ether)));
        so("not entered", !reenterer.entered());
        same("not executed", tagOf(verdict), ledger.verdictOf(coordinator));
        execute(verdict, round, leaves);
    }

    /// @dev All 256 sign, which is the most that there is to check and to credit.
    function test_the_largest_cohort_fits_a_transaction() public {
        address[] memory cohort = many(256 - SLOTS);
        Round memory round = nextRoundOf(terms(), cohort);
        open(round);
        vm.warp(round.spec.deadlines[2] + 1);
        finish(round, type(uint256).max, 0);
        bytes[] memory leaves = new bytes[](256);
        for (uint256 slot = 0; slot < 256; ++slot) {
            leaves[slot] = leafOf(round.spec, cohort[slot], _keys[cohort[slot]]);
        }
        reset(round, leaves);
        propose(round);
        Verdict memory verdict = refuted(prover, round.spec);
        vm.warp(verdict.decidedAt + CLAIM_WINDOW + 1);
        bytes memory call =
            abi.encodeCall(IDisputes.executeVerdict, (verdict, round.spec, round.result, cohort, leaves));
        uint256 before = gasleft();
        (bool ok,) = address(disputes).call(call);
        uint256 used = before - gasleft() + 21_000 + 16 * call.length;
        so("executed", ok);
        so("fits", used < GAS_LIMIT);
        same("share", BOND / 4 / (256 - SLOTS), creditOf(cohort[SLOTS]));
    }

    function many(uint256 count) internal returns (address[] memory cohort) {
        cohort = new address[](SLOTS + count);
        for (uint256 i = 0; i < cohort.length; ++i) {
            address next = i < SLOTS ? participantAt(i) : vm.addr(0xC0FFEE + i);
            _keys[next] = 0xC0FFEE + i;
            if (i >= SLOTS) join(next);
            uint256 at = i;
            for (; at > 0 && cohort[at - 1] > next; --at) {
                cohort[at] = cohort[at - 1];
            }
            cohort[at] = next;
        }
    }

    /// @dev A refuted round whose set leaves are known; three are signed.
    function executable() internal returns (Verdict memory verdict, Round memory round, bytes[] memory leaves) {
        (round, leaves) = proposedWide(COUNTED);
        verdict = refuted(prover, round.spec);
    }

    /// @dev The bond is what is said, whatever would have been needed to open the round.
    function executableWith(uint256 pot)
        internal
        returns (Verdict memory verdict, Round memory round, bytes[] memory leaves)
    {
        (round, leaves) = proposedWide(COUNTED);
        bytes32 at = keccak256(abi.encode(coordinator, bondSlot()));
        vm.store(address(ledger), at, bytes32(pot));
        vm.deal(address(ledger), 10 ether + pot);
        same("bond", pot, ledger.bondOf(coordinator));
        verdict = refuted(prover, round.spec);
    }

    function bondSlot() internal view returns (uint256 slot) {
        while (uint256(vm.load(address(ledger), keccak256(abi.encode(coordinator, slot)))) != BOND) {
            ++slot;
        }
    }

    /// @dev A verdict by `who`, executed with its leaves.
    function paidTo(address who) internal returns (Round memory round) {
        bytes[] memory leaves;
        (round, leaves) = proposedWide(COUNTED);
        Verdict memory verdict = refuted(who, round.spec);
        vm.warp(verdict.decidedAt + CLAIM_WINDOW + 1);
        execute(verdict, round, leaves);
        same("reward", BOND / 4, creditOf(who));
    }

    function frozenSlot() internal view returns (uint256 slot) {
        uint256 packed = (uint256(ledger.verdictOf(coordinator)) << 120) | BOND;
        while (uint256(vm.load(address(ledger), keccak256(abi.encode(coordinator, slot)))) != packed) {
            ++slot;
        }
    }

    function openWide() internal returns (Round memory round) {
        round = nextRoundOf(terms(), wideCohort());
        open(round);
        vm.warp(round.spec.deadlines[2] + 1);
        finish(round, COUNTED, 0);
    }

    function slotOf(uint256 index) internal pure returns (uint256 slot) {
        address[] memory cohort = wideCohort();
        while (cohort[slot] != vm.addr(keyOf(index))) {
            ++slot;
        }
    }

    function highS(bytes memory leaf) internal pure returns (bytes memory other_) {
        bytes32 head;
        bytes32 r;
        uint256 s;
        assembly ("memory-safe") {
            head := mload(add(leaf, 32))
            r := mload(add(leaf, 68))
            s := mload(add(leaf, 100))
        }
        uint8 v = uint8(leaf[100]);
        bytes memory front = abi.encodePacked(head, leaf[32], leaf[33], leaf[34], leaf[35], r);
        uint256 order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
        return abi.encodePacked(front, order - s, v == 27 ? uint8(28) : uint8(27));
    }

    function expectExecute(Verdict memory verdict, Round memory round, bytes[] memory leaves, bytes memory error)
        internal
    {
        bytes32 before = everything();
        vm.expectRevert(error);
        execute(verdict, round, leaves);
        same("nothing changes", before, everything());
    }

    function tooEarly(uint256 from, uint256 at) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IEventStream.TooEarly.selector, from, at);
    }

    function otherSubject(bytes32 expected, bytes32 actual) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IDisputes.OtherSubject.selector, expected, actual);
    }

    function wrongVerdict(uint136 expected, Verdict memory actual) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IRoundLedger.WrongVerdict.selector, expected, tagOf(actual));
    }
}
