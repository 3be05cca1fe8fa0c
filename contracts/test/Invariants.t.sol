// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IRoundLedger} from "../src/interfaces/IRoundLedger.sol";
import {Handler} from "./Handler.sol";
import {World} from "./World.sol";

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

    /// @dev Everything that the handler plays, but not its setting up; what leads on more often.
    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[33] memory played = [
            Handler.openNext.selector,
            Handler.openNext.selector,
            Handler.openNext.selector,
            Handler.openNext.selector,
            Handler.commit.selector,
            Handler.bring.selector,
            Handler.bring.selector,
            Handler.bring.selector,
            Handler.bring.selector,
            Handler.finalise.selector,
            Handler.invalidate.selector,
            Handler.precommit.selector,
            Handler.precommit.selector,
            Handler.prove.selector,
            Handler.prove.selector,
            Handler.claim.selector,
            Handler.claim.selector,
            Handler.execute.selector,
            Handler.execute.selector,
            Handler.request.selector,
            Handler.request.selector,
            Handler.answer.selector,
            Handler.withhold.selector,
            Handler.withhold.selector,
            Handler.close.selector,
            Handler.complain.selector,
            Handler.allowAgain.selector,
            Handler.allowAgain.selector,
            Handler.bond.selector,
            Handler.donate.selector,
            Handler.withdraw.selector,
            Handler.comeOrGo.selector,
            Handler.vote.selector
        ];
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector({addr: address(_handler), selectors: new bytes4[](34)});
        for (uint256 i = 0; i < 33; ++i) {
            targets[0].selectors[i] = played[i];
        }
        targets[0].selectors[33] = Handler.wait_.selector;
    }

    /// @dev Invariants that hold where nothing happens say nothing.
    function test_the_handler_plays_everything() public {
        for (uint256 i = 0; i < 60; ++i) {
            uint256 noise = uint256(keccak256(abi.encode(i)));
            _handler.bond(noise % 2 ether, false, i % 2 == 0);
            _handler.bond(noise % 2 ether, false, i % 2 == 0);
            _handler.openNext(noise, i % 2 == 0);
            _handler.commit(noise, bytes32(noise));
            if (i % 5 == 1) _handler.precommit(noise, i);
            if (i % 7 == 3) late();
            else if (noise % 5 != 0) _handler.bring(noise | 31, noise >> 8, (noise >> 16) & 0x222222 | 1);
            else _handler.bring(noise & 3, 0, 1);
            if (i % 3 == 0) _handler.request(noise, uint32(noise >> 8));
            if (i % 6 == 0) _handler.answer(noise);
            _handler.complain(noise);
            if (i % 5 == 1 || i % 5 == 0) _handler.prove(noise + 1, i % 5 == 0 ? 1 : i + 1);
            _handler.claim(noise, i);
            _handler.withhold(noise & ~uint256(0xff00));
            _handler.finalise(1);
            for (uint256 j = 0; j < MEMBERS; ++j) {
                _handler.close(j + (uint256(_handler.ledgerOf().currentRound()) << 8));
            }
            _handler.execute(i, false);
            _handler.allowAgain();
            _handler.invalidate();
            _handler.withdraw(noise);
        }
        string[14] memory all = [
            "opened",
            "opened honestly",
            "brought",
            "settled",
            "voided",
            "committed",
            "refuted",
            "claimed",
            "executed",
            "requested",
            "answered",
            "withheld",
            "closed",
            "complained"
        ];
        for (uint256 i = 0; i < all.length; ++i) {
            so(all[i], _handler.done(bytes32(bytes(all[i]))) != 0);
        }
        so("paid out", _handler.paidOut() > 0);
        checkAll();
    }

    /// @dev Past every deadline.
    function late() internal {
        for (uint256 i = 0; i < 3; ++i) {
            _handler.wait_(199);
        }
        _handler.invalidate();
    }

    function invariant_all_of_it() public view {
        checkAll();
    }

    function checkAll() internal view {
        IRoundLedger ledger_ = _handler.ledgerOf();
        (uint256 atLedger, uint256 atDisputes) = (_handler.heldByLedger(), _handler.heldByDisputes());
        uint256 burnt = address(0).balance;
        same("in = out + burnt + held", _handler.paidIn(), _handler.paidOut() + burnt + atLedger + atDisputes);
        same("ledger", atLedger, address(ledger_).balance);
        same("disputes", atDisputes, address(_handler.disputesOf()).balance);
        same("deposits", _handler.depositsHeld(), address(_handler.participantsOf()).balance);
        same("active", _handler.active().length, _handler.participantsOf().activeCount());
        (uint256 counted, uint256 open_) = _handler.waiting();
        same("waiting", counted, open_);
        (uint256 pot, uint256 amount, bool isTag) = _handler.frozen();
        so("verdict", isTag);
        if (pot != 0) same("pot", pot, amount);
        so("states go on", !_handler.hasGoneBack());
        so("one result", !_handler.hasTwoResults());
        so("the verdict is the one that was given", !_handler.hasOtherVerdict());
        so("the honest one loses what a rule gives and no more", !_handler.hasLostUnfairly());
    }
}
