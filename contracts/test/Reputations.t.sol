// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Verdict} from "../src/libraries/Verdicts.sol";
import {Disputing} from "./Disputing.sol";

/// @title Attacks on reputation and pay, with the numbers of docs/protocol.md 7.2 and 7.3
/// @dev Some of them pay something. These tests say how much, so that nobody believes more of a reputation than it is.
contract ReputationsTest is Disputing {
    address internal constant NEW = address(0x5000_0000);

    /// @dev After ten good rounds an attack takes a fifth, and it takes thirty more good rounds to have it back.
    function test_what_one_attack_takes_thirty_good_rounds_give_back() public pure {
        (uint256 good, uint256 bad) = (0, 0);
        for (uint256 i = 0; i < 10; ++i) {
            (good, bad) = next(good, bad, false);
        }
        uint256 before = ppb(good, bad);
        same("ten good rounds", 874_398_454, before);
        (good, bad) = next(good, bad, true);
        same("one attack", 684_891_231, ppb(good, bad));
        uint256 rounds = 0;
        for (; ppb(good, bad) < before; ++rounds) {
            (good, bad) = next(good, bad, false);
        }
        same("back after", 30, rounds);
    }

    /// @dev Who attacks every fourth round: its three good ones never make up for it, and count for less the longer it
    /// goes on.
    function test_on_and_off_falls_for_ever() public pure {
        (uint256 good, uint256 bad) = (0, 0);
        (uint256 fair, uint256 none) = (0, 0);
        for (uint256 i = 1; i <= 400; ++i) {
            (good, bad) = next(good, bad, i % 4 == 0);
            (fair, none) = next(fair, none, false);
            if (i >= 4) so("below three quarters of always good", 4 * ppb(good, bad) < 3 * ppb(fair, none));
            if (i == 40) same("after forty", 423_225_766, ppb(good, bad));
        }
        same("after four hundred", 221_955_832, ppb(good, bad));
        same("always good", 973_068_912, ppb(fair, none));
    }

    /// @dev Bad is forgotten more slowly than good: the same past, older, counts against more.
    function test_an_attack_is_remembered_longer_than_good_rounds() public pure {
        (uint256 good, uint256 bad) = (50e9, 3e9);
        for (uint256 i = 0; i < 100; ++i) {
            good = (good * 98) / 100;
            bad = (bad * 995) / 1000;
        }
        so("13% of the good", good < 50e9 * 14 / 100);
        so("60% of the bad", bad > 3e9 * 60 / 100);
    }

    /// @dev A newcomer's 0.3 is more than a first attack leaves. It takes a deposit for a day, and nothing that was
    /// earned comes along: after two good rounds the old name is worth more than a new one again.
    function test_a_new_identity_is_worth_more_than_one_that_was_just_flagged_and_soon_less() public {
        settled(ALL, 1);
        address old = participantAt(0);
        same("flagged once", 120_000_000, ledger.reputationOf(old));
        uint256 before = participants.activeCount() * DEPOSIT;
        join(NEW);
        same("newcomer", 300_000_000, ledger.reputationOf(NEW));
        same("another deposit", before + DEPOSIT, address(participants).balance);
        (uint256 good, uint256 bad) = (0, 3e9);
        uint256 rounds = 0;
        for (; ppb(good, bad) < 300_000_000; ++rounds) {
            (good, bad) = next(good, bad, false);
        }
        same("rounds until the old name is worth a new one", 2, rounds);
    }

    /// @dev Whoever was good for long loses by a new name, even after an attack.
    function test_a_good_name_is_worth_more_than_a_new_one_also_after_an_attack() public pure {
        (uint256 good, uint256 bad) = (0, 0);
        for (uint256 i = 0; i < 20; ++i) {
            (good, bad) = next(good, bad, false);
        }
        (good, bad) = next(good, bad, true);
        so("still above a newcomer", ppb(good, bad) > 300_000_000);
    }

    function test_leaving_and_coming_back_washes_nothing() public {
        settled(ALL, 1);
        address who = participantAt(0);
        (uint64 good, uint64 bad,) = ledger.standingOf(who);
        vm.prank(who);
        participants.leave();
        vm.warp(block.timestamp + 1 days);
        vm.prank(who);
        participants.reclaim();
        vm.deal(who, DEPOSIT);
        vm.prank(who);
        participants.join{value: DEPOSIT}(NEW); // another payout address
        (uint64 goodNow, uint64 badNow,) = ledger.standingOf(who);
        same("good", good, goodNow);
        same("bad", bad, badNow);
    }

    /// @dev One of seven that becomes three of nine gets three shares of nine: what was a seventh is a third at most,
    /// and less while the new names are new. It costs a deposit each, and more work or as much noise.
    function test_splitting_into_three_pays_three_shares_of_the_larger_cohort() public {
        settled(ALL, 0);
        uint256 alone = creditOf(participantAt(0));
        same("a seventh", BUDGET / 7, alone);
        address[] memory cohort = new address[](9);
        for (uint256 i = 0; i < 9; ++i) {
            cohort[i] = i < SLOTS ? participantAt(i) : address(uint160(0x7000_0000 + i));
            if (i >= SLOTS) join(cohort[i]);
        }
        Round memory round = nextRoundOf(terms(), cohort);
        open(round);
        vm.warp(round.spec.deadlines[2] + 1);
        finish(round, 0x1ff, 0);
        propose(round);
        vm.warp(round.spec.deadlines[4] + 1);
        settle(round);
        uint256 newcomer = 300_000_000;
        uint256 known = ppb(1e9, 0); // 0.533: good for one round
        uint256 total = 7 * known + 2 * newcomer;
        same("a newcomer's share", (BUDGET * 9 * newcomer) / (9 * total), creditOf(cohort[8]));
        uint256 three = creditOf(cohort[0]) - alone + creditOf(cohort[7]) + creditOf(cohort[8]);
        so("more than alone", three > BUDGET / 7);
        so("less than three sevenths", three < (3 * BUDGET) / 9);
        same("two more deposits are locked", 9 * DEPOSIT, address(participants).balance);
    }

    /// @dev To have another one flagged or left out brings equals nothing: their shares stay what they were, and the
    /// missing one goes back to the treasury.
    function test_excluding_others_earns_nothing() public {
        uint256 snapshot = vm.snapshotState();
        settled(ALL, 0);
        uint256 together = creditOf(participantAt(0));
        vm.revertToState(snapshot);
        settled(0x1f, 0); // two are out
        same("the same", together, creditOf(participantAt(0)));
        same("back to the treasury", 10 ether - 5 * together, ledger.treasury());
        vm.revertToState(snapshot);
        settled(ALL, 0x60); // two are flagged
        same("the same", together, creditOf(participantAt(0)));
    }

    /// @dev Shares are by reputation, so who is below the mean gains where somebody above it is out: here a twentieth
    /// of its share. All together gain nothing, and each that is out costs what a mean share is.
    function test_where_reputations_differ_the_worse_gain_a_little_by_excluding_the_better() public {
        settled(ALL, 1);
        uint256 snapshot = vm.snapshotState();
        uint256 before = ledger.treasury();
        settled(ALL, 0);
        uint256 alone = creditOf(participantAt(0));
        uint256 all = before - ledger.treasury();
        uint256 known = ppb(1e9, 0); // the six others
        same("among seven", (BUDGET * 7 * 120_000_000) / (7 * (120_000_000 + 6 * known)), alone);
        vm.revertToState(snapshot);
        settled(0x1f, 0);
        uint256 fewer = before - ledger.treasury();
        same("among five", (BUDGET * 5 * 120_000_000) / (7 * (120_000_000 + 4 * known)), creditOf(participantAt(0)));
        so("a little more", creditOf(participantAt(0)) > alone && 20 * creditOf(participantAt(0)) <= 22 * alone);
        so("all of it, but for the floors", all <= BUDGET && all + SLOTS >= BUDGET);
        so("two sevenths less, but for the floors", fewer <= (BUDGET * 5) / 7 && fewer + SLOTS >= (BUDGET * 5) / 7);
    }

    /// @dev The leaves are withheld, so that nobody else has a part: a quarter comes back, three are burnt.
    function test_a_participant_that_proves_against_its_own_coordinator_earns_less_than_they_lose() public {
        (Round memory round,) = proposedWide(ALL);
        Verdict memory verdict = refuted(vm.addr(keyOf(0)), round.spec); // of the same cohort, not counted
        vm.warp(verdict.decidedAt + LEAVES_WINDOW + 1);
        execute(verdict);
        same("the prover's part", BOND / 4, creditOf(vm.addr(keyOf(0))));
        same("burnt, as no leaf is theirs", BOND - BOND / 4, address(0).balance);
        so("the pair loses three budgets", BOND - creditOf(vm.addr(keyOf(0))) >= 3 * BUDGET);
        vm.prank(vm.addr(keyOf(0)));
        ledger.withdraw();
        (uint64 good, uint64 bad,) = ledger.standingOf(vm.addr(keyOf(0)));
        same("no reputation", 0, uint256(good) + bad);
    }

    /// @dev The most that they can have: every signed leaf is theirs, and the prover's part too. A round that settles
    /// would have paid them one budget at most; they lose two.
    function test_with_a_cohort_of_their_own_they_still_lose_half() public {
        (Round memory round, bytes[] memory leaves) = proposedWide(((1 << WIDE) - 1) ^ 0x78); // nobody else can sign
        Verdict memory verdict = refuted(vm.addr(keyOf(0)), round.spec);
        vm.warp(verdict.decidedAt + CLAIM_WINDOW + 1);
        execute(verdict, round, leaves);
        uint256 back = 0;
        for (uint256 i = 0; i < KEYED; ++i) {
            back += creditOf(vm.addr(keyOf(i)));
        }
        so("half, but for the floors", back <= BOND / 2 && back + KEYED >= BOND / 2);
        so("two budgets are lost", BOND - back >= 2 * BUDGET);
    }

    /// @dev A refuted round changes no reputation and pays nobody: lies can't be used to wash or to spoil a name.
    function test_a_refuted_round_leaves_every_name_as_it_was() public {
        settled(ALL, 1);
        uint256[] memory before = new uint256[](SLOTS);
        for (uint256 slot = 0; slot < SLOTS; ++slot) {
            before[slot] = ledger.reputationOf(participantAt(slot));
        }
        Round memory round = proposed(ALL, 0x7e);
        refuted(prover, round.spec);
        for (uint256 slot = 0; slot < SLOTS; ++slot) {
            same("as it was", before[slot], ledger.reputationOf(participantAt(slot)));
        }
    }

    /// @dev Written out from 7.2, not from the library.
    function next(uint256 good, uint256 bad, bool flagged) internal pure returns (uint256, uint256) {
        return ((good * 98) / 100 + (flagged ? 0 : 1e9), (bad * 995) / 1000 + (flagged ? 3e9 : 0));
    }

    function ppb(uint256 good, uint256 bad) internal pure returns (uint256) {
        return (1e9 * (good + 6e8)) / (good + bad + 2e9);
    }
}
