// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IConsortium} from "../src/interfaces/IConsortium.sol";
import {IParticipants} from "../src/interfaces/IParticipants.sol";
import {IRoundLedger} from "../src/interfaces/IRoundLedger.sol";
import {World} from "./World.sol";

/// @title Plays random participants, a coordinator, members and strangers
contract Handler is World {
    uint256 public paidIn;
    uint256 public paidOut;
    uint256 public steps;
    bool public hasGoneBack;
    bool public hasTwoResults;

    mapping(uint64 round => IRoundLedger.State) internal _lastState;
    mapping(uint64 round => bytes32) internal _lastResult;
    Round internal _round;

    function start() external {
        setUp();
        paidIn = 14 ether;
    }

    function openNext(uint256 slack) external watched {
        Round memory round = nextRoundOf(terms(), active());
        round.spec.deadlines[4] += uint64(slack % 1 hours);
        vm.prank(coordinator);
        try ledger.openRound(round.spec, round.registered, bytes32(0)) {
            delete _round;
            _round.spec = round.spec;
            _round.cohort = round.cohort;
        } catch {}
    }

    function commit(uint256 seed, bytes32 update) external watched {
        address who = participantAt(seed % SLOTS);
        uint64 number = ledger.currentRound();
        vm.prank(who);
        try ledger.commit(number, update) {} catch {}
    }

    function bring(uint256 counted, uint256 flagged, uint256 reasons) external watched {
        Round memory round = _round;
        if (round.cohort.length == 0) return;
        uint256 all = (1 << round.cohort.length) - 1;
        counted &= all;
        uint64 from = round.spec.deadlines[2] + 1;
        if (block.timestamp < from && reasons & 3 != 0) vm.warp(from);
        finish(round, counted, flagged & counted);
        for (uint256 slot = 0; slot < round.cohort.length; ++slot) {
            if ((counted >> slot) & 1 == 0) {
                uint256 reason = (reasons >> (4 * slot)) % 10;
                setOutcome(round, slot, reason == 0 ? 0 : refusedWord(reason));
            }
        }
        if (populationOf(counted) < 5) {
            round.result.newModel = round.spec.baseModel;
            round.result.columnRoot = bytes32(0);
        }
        sign(round, ENCLAVE_KEY);
        vm.prank(coordinator);
        try ledger.propose(round.spec, round.result, round.outcomes, round.signature) {
            _round = round;
        } catch {}
    }

    function finalise(uint256 patience) external watched {
        Round memory round = _round;
        uint64 from = round.spec.deadlines[4] + 1;
        if (block.timestamp < from && patience & 3 != 0) vm.warp(from);
        try ledger.settle(round.spec, round.result, round.outcomes, round.cohort) {} catch {}
    }

    function invalidate() external watched {
        Round memory round = _round;
        try ledger.voidRound(round.spec, round.result, round.outcomes) {} catch {}
    }

    function bond(uint256 amount, bool back) external watched {
        amount = amount % 2 ether;
        if (back) {
            vm.prank(coordinator);
            try ledger.withdrawBond(amount) {
                paidOut += amount;
            } catch {}
        } else {
            vm.deal(coordinator, amount);
            vm.prank(coordinator);
            try ledger.addBond{value: amount}() {
                paidIn += amount;
            } catch {}
        }
    }

    function donate(uint256 amount) external watched {
        amount = amount % 3 ether;
        vm.deal(address(this), amount);
        try ledger.fund{value: amount}() {
            paidIn += amount;
        } catch {}
    }

    function withdraw(uint256 seed) external watched {
        address who = participantAt(seed % SLOTS);
        uint256 credit = creditOf(who);
        vm.prank(who);
        try ledger.withdraw() {
            paidOut += credit;
        } catch {}
    }

    function comeOrGo(uint256 seed, uint256 what) external watched {
        address who = participantAt(seed % SLOTS);
        what = what % 3;
        if (what == 0) vm.deal(who, DEPOSIT);
        vm.prank(who);
        if (what == 0) {
            try participants.join{value: DEPOSIT}(payoutAt(seed % SLOTS)) {} catch {}
        } else if (what == 1) {
            try participants.leave() {} catch {}
        } else {
            try participants.reclaim() {} catch {}
        }
    }

    function vote(uint256 seed, bool back) external watched {
        if (seed % 4 != 0) return; // suspending is rare
        bytes32 who = word(participantAt(seed % SLOTS));
        IConsortium.Action action =
            back ? IConsortium.Action.ReinstateParticipant : IConsortium.Action.SuspendParticipant;
        uint256 proposal = proposeAll(action, who, "");
        if (back) skip(DELAY);
        try consortium.execute(proposal, "") {} catch {}
    }

    function wait_(uint256 seconds_) external watched {
        skip(seconds_ % 200);
    }

    function active() public view returns (address[] memory list) {
        list = new address[](participants.activeCount());
        uint256 count = 0;
        for (uint256 slot = 0; slot < SLOTS; ++slot) {
            if (participants.isActive(participantAt(slot))) list[count++] = participantAt(slot);
        }
    }

    function heldByLedger() external view returns (uint256) {
        return held();
    }

    function depositsHeld() external view returns (uint256 total) {
        for (uint256 slot = 0; slot < SLOTS; ++slot) {
            (uint256 amount,) = participants.depositOf(participantAt(slot));
            total += amount;
        }
    }

    function ledgerOf() external view returns (IRoundLedger) {
        return ledger;
    }

    function participantsOf() external view returns (IParticipants) {
        return participants;
    }

    function populationOf(uint256 bitmap) internal pure returns (uint256 count) {
        for (; bitmap != 0; bitmap &= bitmap - 1) {
            ++count;
        }
    }

    /// @dev After every step: no round's state has gone back, and no round has had two results.
    modifier watched() {
        _;
        ++steps;
        for (uint64 number = 1; number <= ledger.currentRound(); ++number) {
            IRoundLedger.State state = ledger.stateOf(number);
            if (state < _lastState[number]) hasGoneBack = true;
            if (_lastState[number] >= IRoundLedger.State.Settled && state != _lastState[number]) hasGoneBack = true;
            _lastState[number] = state;
            bytes32 result = ledger.resultOf(number);
            if (_lastResult[number] != bytes32(0) && result != bytes32(0) && result != _lastResult[number]) {
                hasTwoResults = true;
            }
            if (result != bytes32(0)) _lastResult[number] = result;
        }
    }
}

/// @title What holds whatever anybody does
contract InvariantsTest is World {
    Handler internal _handler;

    function setUp() public override {
        _handler = new Handler();
        _handler.start();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_handler);
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    /// @dev Everything that the handler plays, but not its setting up.
    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[12] memory played = [
            Handler.openNext.selector,
            Handler.openNext.selector,
            Handler.commit.selector,
            Handler.bring.selector,
            Handler.bring.selector,
            Handler.finalise.selector,
            Handler.invalidate.selector,
            Handler.bond.selector,
            Handler.donate.selector,
            Handler.withdraw.selector,
            Handler.comeOrGo.selector,
            Handler.vote.selector
        ];
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector({addr: address(_handler), selectors: new bytes4[](13)});
        for (uint256 i = 0; i < 12; ++i) {
            targets[0].selectors[i] = played[i];
        }
        targets[0].selectors[12] = Handler.wait_.selector;
    }

    /// @dev Invariants that hold where nothing happens say nothing.
    function test_the_handler_settles_voids_and_pays() public {
        for (uint256 i = 0; i < 40; ++i) {
            uint256 noise = uint256(keccak256(abi.encode(i)));
            _handler.bond(noise % 2 ether, false);
            _handler.openNext(noise);
            _handler.commit(noise, bytes32(noise));
            if (noise % 5 != 0) _handler.bring(noise | 31, noise >> 8, (noise >> 16) & 0x222222 | 1);
            else _handler.bring(noise & 3, 0, 1);
            _handler.finalise(1);
            _handler.wait_(noise);
            _handler.invalidate();
            _handler.withdraw(noise);
        }
        IRoundLedger ledger_ = _handler.ledgerOf();
        uint256[5] memory ends;
        for (uint64 number = 1; number <= ledger_.currentRound(); ++number) {
            ++ends[uint256(ledger_.stateOf(number))];
        }
        so("settled", ends[uint256(IRoundLedger.State.Settled)] > 5);
        so("void", ends[uint256(IRoundLedger.State.Void)] > 2);
        so("paid out", _handler.paidOut() > 0);
    }

    function invariant_money_is_conserved() public view {
        IRoundLedger ledger_ = _handler.ledgerOf();
        same("held = in - out", _handler.paidIn() - _handler.paidOut(), _handler.heldByLedger());
        same("balance", _handler.heldByLedger(), address(ledger_).balance);
    }

    function invariant_deposits_are_all_there() public view {
        same("deposits", _handler.depositsHeld(), address(_handler.participantsOf()).balance);
    }

    function invariant_no_state_goes_back_and_no_round_has_two_results() public view {
        so("state", !_handler.hasGoneBack());
        so("results", !_handler.hasTwoResults());
    }

    function invariant_the_register_is_counted() public view {
        same("active", _handler.active().length, _handler.participantsOf().activeCount());
    }
}
