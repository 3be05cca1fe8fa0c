// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IConsortium} from "../src/interfaces/IConsortium.sol";
import {Answer, IDisputes} from "../src/interfaces/IDisputes.sol";
import {IParticipants} from "../src/interfaces/IParticipants.sol";
import {IRoundLedger} from "../src/interfaces/IRoundLedger.sol";
import {Merkle} from "../src/libraries/Merkle.sol";
import {Unavailable} from "../src/libraries/Messages.sol";
import {Verdict} from "../src/libraries/Verdicts.sol";
import {Disputing} from "./Disputing.sol";
import {Trees} from "./Trees.sol";

/// @title Plays random participants, members, provers, strangers, and two coordinators
/// @dev The key of the first one's enclave signs whatever anybody likes; that of the second one's, one result a round.
contract Handler is Disputing {
    uint256 internal constant PRICE = MINIMUM_BOND / 100;

    uint256 public paidIn;
    uint256 public paidOut;
    bool public hasGoneBack;
    bool public hasTwoResults;
    bool public hasLostUnfairly;
    bool public hasOtherVerdict;
    /// @dev What was played with success, by what.
    mapping(bytes32 what => uint256) public done;

    address public honest;
    bytes32 internal _honestEnclave;
    mapping(uint64 round => IRoundLedger.State) internal _lastState;
    mapping(uint64 round => bytes32) internal _lastResult;
    Round internal _round;
    bool internal _isHonest;
    Round internal _refuted;
    Verdict internal _verdict;
    address[] internal _everybody; // who ever is in a cohort
    mapping(address participant => uint256) internal _keys; // where there is one

    /// @dev They sign complaints.
    function member(uint256 index) internal pure override returns (address) {
        return vm.addr(0x3E0 + index);
    }

    function start() external {
        setUp();
        joinKeyed();
        (honest, _honestEnclave) = secondCoordinator();
        paidIn = 14 ether + BOND;
        for (uint256 i = 0; i < MEMBERS; ++i) {
            vm.deal(member(i), 100 ether);
        }
        _everybody = wideCohort();
        for (uint256 i = 0; i < KEYED; ++i) {
            _keys[vm.addr(keyOf(i))] = keyOf(i);
        }
    }

    function openNext(uint256 slack, bool isHonest) external watched(false) {
        if (ledger.stateOf(ledger.currentRound()) == IRoundLedger.State.Open) return;
        Round memory round = nextRoundOf(terms(), active());
        round.spec.deadlines[4] += uint64(slack % 1 hours);
        if (isHonest) round.spec.enclave = _honestEnclave;
        vm.prank(isHonest ? honest : coordinator);
        try ledger.openRound(round.spec, round.registered, bytes32(0)) {
            delete _round;
            _round.spec = round.spec;
            _round.cohort = round.cohort;
            _isHonest = isHonest;
            ++done[isHonest ? bytes32("opened honestly") : bytes32("opened")];
        } catch {}
    }

    function commit(uint256 seed, bytes32 update) external watched(false) {
        address who = participantAt(seed % SLOTS);
        uint64 number = ledger.currentRound();
        vm.prank(who);
        try ledger.commit(number, update) {} catch {}
    }

    function bring(uint256 counted, uint256 flagged, uint256 reasons) external watched(false) {
        Round memory round = _round;
        if (round.cohort.length == 0 || ledger.stateOf(round.spec.round) != IRoundLedger.State.Open) return;
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
        round.result.setRoot = Trees.rootOf(Merkle.SET, setLeaves(round));
        sign(round, _isHonest ? SECOND_KEY : ENCLAVE_KEY);
        vm.prank(_isHonest ? honest : coordinator);
        try ledger.propose(round.spec, round.result, round.outcomes, round.signature) {
            _round = round;
            ++done["brought"];
        } catch {}
    }

    function finalise(uint256 patience) external watched(false) {
        Round memory round = _round;
        (, uint64 notBefore) = disputes.holdOn(round.spec.round);
        uint64 from = round.spec.deadlines[4] + 1;
        if (notBefore > from) from = notBefore;
        if (block.timestamp < from && patience & 3 != 0) vm.warp(from);
        try ledger.settle(round.spec, round.result, round.outcomes, round.cohort) {
            ++done["settled"];
        } catch {}
    }

    function invalidate() external watched(true) {
        Round memory round = _round;
        try ledger.voidRound(round.spec, round.result, round.outcomes) {
            ++done["voided"];
        } catch {}
    }

    /// @dev Also in the next block or later, and also of a proof that nobody ever shows.
    function precommit(uint256 seed, uint256 variant) external watched(false) {
        if (_round.spec.round == 0) return;
        bytes memory proof = twoReceipts(_round.spec, variant % 3);
        try disputes.commitProof(commitmentOf(provers(seed), proof)) {
            ++done["committed"];
        } catch {}
        vm.roll(block.number + (seed >> 8) % 2);
    }

    /// @dev Of an honest round these signatures are another enclave's.
    function prove(uint256 seed, uint256 variant) external watched(false) {
        Round memory round = _round;
        if (round.spec.round == 0) return;
        address who = provers(seed);
        bytes memory proof = twoReceipts(round.spec, variant % 3);
        Verdict memory verdict = verdictBy(who, round.spec, 8);
        uint64 committed = disputes.committedAt(commitmentOf(who, proof));
        if (committed != 0 && committed != block.number) verdict.committedAt = committed;
        vm.prank(who);
        try disputes.refute(IDisputes.Family.Set, proof, SALT) {
            _refuted = round;
            _verdict = verdict;
            ++done["refuted"];
            if (ledger.verdictOf(coordinator) != tagOf(verdict)) hasOtherVerdict = true;
        } catch {}
    }

    function claim(uint256 seed, uint256 variant) external watched(false) {
        if (_verdict.round == 0) return;
        address who = provers(seed);
        bytes memory proof = twoReceipts(_refuted.spec, variant % 3);
        vm.prank(who);
        try disputes.claim(_verdict, IDisputes.Family.Set, proof, SALT) {
            (_verdict.prover, _verdict.committedAt) = (who, disputes.committedAt(commitmentOf(who, proof)));
            ++done["claimed"];
            if (ledger.verdictOf(coordinator) != tagOf(_verdict)) hasOtherVerdict = true;
        } catch {}
    }

    function execute(uint256 patience, bool isWithout) external watched(false) {
        if (_verdict.round == 0) return;
        uint256 from = _verdict.decidedAt + CLAIM_WINDOW + 1;
        if (block.timestamp < from && patience % 4 != 0) vm.warp(from);
        Round memory round = _refuted;
        bytes[] memory leaves = isWithout || _verdict.result == bytes32(0) ? new bytes[](0) : setLeaves(round);
        try disputes.executeVerdict(_verdict, round.spec, round.result, round.cohort, leaves) {
            delete _verdict;
            ++done[leaves.length == 0 ? bytes32("executed without") : bytes32("executed")];
        } catch {}
    }

    function request(uint256 seed, uint32 index) external watched(false) {
        Round memory round = _round;
        vm.prank(member(seed % MEMBERS));
        try disputes.requestLeaf{value: PRICE}(round.spec, round.result, IDisputes.Tree.Set, 0, index % 10) {
            paidIn += PRICE;
            ++done["requested"];
        } catch {}
    }

    /// @dev Now, or at the last second.
    function answer(uint256 seed) external watched(false) {
        Round memory round = _round;
        (,, uint32 index, uint64 answerBy, bool isOpen) = disputes.requestOf(round.spec.round, member(seed % MEMBERS));
        if (!isOpen) return;
        if (block.timestamp < answerBy && (seed >> 8) % 3 == 0) vm.warp(answerBy);
        bytes[] memory leaves = setLeaves(round);
        Answer memory right;
        (right.data, right.path) = (leaves[index], Trees.pathOf(Merkle.SET, leaves, index));
        address who = (seed >> 16) % 2 == 0 ? prover : _isHonest ? honest : coordinator;
        vm.prank(who);
        try disputes.answerLeaf(round.spec, round.result, member(seed % MEMBERS), right) {
            ++done["answered"];
        } catch {}
    }

    function withhold(uint256 seed) external watched(true) {
        address who = member(seed % MEMBERS);
        (,,, uint64 answerBy, bool isOpen) = disputes.requestOf(_round.spec.round, who);
        if (!isOpen) return;
        if (block.timestamp <= answerBy && (seed >> 8) % 2 == 0) vm.warp(answerBy + 1);
        try disputes.voidWithheld(_round.spec.round, who) {
            ++done["withheld"];
        } catch {}
    }

    function close(uint256 seed) external watched(false) {
        uint64 number = uint64(within(seed >> 8, 0, ledger.currentRound()));
        try disputes.closeRequest(number, member(seed % MEMBERS)) {
            ++done["closed"];
        } catch {}
    }

    /// @dev Rare, and seldom enough of them.
    function complain(uint256 seed) external watched(false) {
        if (seed % 8 != 0 || _round.spec.round == 0) return;
        Unavailable memory complaint = Unavailable(FEDERATION, _round.spec.round, ledger.resultOf(_round.spec.round));
        bytes32 hash = harness.hashUnavailable(complaint);
        (uint256 one, uint256 other) = (0x3E0 + (seed >> 8) % MEMBERS, 0x3E0 + (seed >> 16) % MEMBERS);
        if (vm.addr(one) > vm.addr(other)) (one, other) = (other, one);
        bytes memory signatures = bytes.concat(signed(one, hash), signed(other, hash));
        try consortium.postUnavailable(complaint, signatures) {
            ++done["complained"];
        } catch {}
    }

    function allowAgain() external watched(false) {
        if (consortium.isMeasurementAllowed(MEASUREMENT)) return;
        pass(IConsortium.Action.AllowMeasurement, MEASUREMENT, "");
    }

    function bond(uint256 amount, bool back, bool isHonest) external watched(true) {
        amount = amount % 2 ether;
        address who = isHonest ? honest : coordinator;
        if (!back) vm.deal(who, amount);
        vm.prank(who);
        if (back) {
            try ledger.withdrawBond(amount) {
                paidOut += amount;
            } catch {}
        } else {
            try ledger.addBond{value: amount}() {
                paidIn += amount;
            } catch {}
        }
    }

    function donate(uint256 amount) external watched(false) {
        amount = amount % 3 ether;
        vm.deal(address(this), amount);
        try ledger.fund{value: amount}() {
            paidIn += amount;
        } catch {}
    }

    function withdraw(uint256 seed) external watched(false) {
        address who = accounts()[seed % accounts().length];
        uint256 credit = creditOf(who);
        vm.prank(who);
        try ledger.withdraw() {
            paidOut += credit;
        } catch {}
    }

    function comeOrGo(uint256 seed, uint256 what) external watched(false) {
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

    function vote(uint256 seed, bool back) external watched(false) {
        if (seed % 4 != 0) return; // suspending is rare
        bytes32 who = word(participantAt(seed % SLOTS));
        IConsortium.Action action =
            back ? IConsortium.Action.ReinstateParticipant : IConsortium.Action.SuspendParticipant;
        uint256 proposal = proposeAll(action, who, "");
        if (back) skip(DELAY);
        try consortium.execute(proposal, "") {} catch {}
    }

    function wait_(uint256 seconds_) external watched(false) {
        skip(seconds_ % 200);
    }

    function active() public view returns (address[] memory list) {
        list = new address[](participants.activeCount());
        address[] memory all = _everybody;
        uint256 count = 0;
        for (uint256 slot = 0; slot < WIDE; ++slot) {
            if (participants.isActive(all[slot])) list[count++] = all[slot];
        }
    }

    /// @dev Everybody who can have a credit.
    function accounts() public view returns (address[] memory list) {
        list = new address[](WIDE + MEMBERS + 4);
        address[] memory all = _everybody;
        for (uint256 i = 0; i < WIDE; ++i) {
            list[i] = all[i];
        }
        for (uint256 i = 0; i < MEMBERS; ++i) {
            list[WIDE + i] = member(i);
        }
        (list[WIDE + MEMBERS], list[WIDE + MEMBERS + 1]) = (prover, copier);
        (list[WIDE + MEMBERS + 2], list[WIDE + MEMBERS + 3]) = (coordinator, honest);
    }

    function heldByLedger() external view returns (uint256 total) {
        total = ledger.treasury() + ledger.bondOf(coordinator) + ledger.bondOf(honest);
        address[] memory all = accounts();
        for (uint256 i = 0; i < all.length; ++i) {
            total += creditOf(all[i]);
        }
    }

    /// @dev Of requests that are open, of whatever round.
    function heldByDisputes() external view returns (uint256 total) {
        for (uint64 number = 1; number <= ledger.currentRound(); ++number) {
            for (uint256 i = 0; i < MEMBERS; ++i) {
                (,,,, bool isOpen) = disputes.requestOf(number, member(i));
                if (isOpen) total += PRICE;
            }
        }
    }

    /// @dev Open requests of the current round, counted one by one and as the round waits for them.
    function waiting() external view returns (uint256 counted, uint256 open_) {
        uint64 number = ledger.currentRound();
        for (uint256 i = 0; i < MEMBERS; ++i) {
            (,,,, bool isOpen) = disputes.requestOf(number, member(i));
            if (isOpen) ++counted;
        }
        (open_,) = disputes.holdOn(number);
    }

    function depositsHeld() external view returns (uint256 total) {
        address[] memory all = _everybody;
        for (uint256 slot = 0; slot < WIDE; ++slot) {
            (uint256 amount,) = participants.depositOf(all[slot]);
            total += amount;
        }
    }

    /// @dev The frozen bond and what the verdict says of it, where one waits.
    function frozen() external view returns (uint256 pot, uint256 amount, bool isTag) {
        if (_verdict.round == 0) return (0, 0, ledger.verdictOf(coordinator) == 0);
        return (_verdict.pot, ledger.bondOf(coordinator), ledger.verdictOf(coordinator) == tagOf(_verdict));
    }

    function ledgerOf() external view returns (IRoundLedger) {
        return ledger;
    }

    function disputesOf() external view returns (IDisputes) {
        return disputes;
    }

    function participantsOf() external view returns (IParticipants) {
        return participants;
    }

    /// @dev Signed by those with keys.
    function setLeaves(Round memory round) internal view returns (bytes[] memory leaves) {
        leaves = new bytes[](round.cohort.length);
        for (uint256 slot = 0; slot < leaves.length; ++slot) {
            bool isCounted = (round.result.counted >> slot) & 1 == 1;
            uint256 key = _keys[round.cohort[slot]];
            if (isCounted) leaves[slot] = key == 0 ? new bytes(101) : leafOf(round.spec, round.cohort[slot], key);
            else leaves[slot] = new bytes(33);
        }
    }

    function provers(uint256 seed) internal view returns (address) {
        return seed % 2 == 0 ? prover : copier;
    }

    function populationOf(uint256 bitmap) internal pure returns (uint256 count) {
        for (; bitmap != 0; bitmap &= bitmap - 1) {
            ++count;
        }
    }

    /// @dev After every step: no round's state has gone back, no round has had two results, and the honest one's bond
    /// is what it was, but for a tenth, and that only where it was late or withheld, or it withdrew.
    modifier watched(bool mayCost) {
        uint256 before = ledger.bondOf(honest);
        _;
        uint256 later = ledger.bondOf(honest);
        if (later < before && !mayCost) hasLostUnfairly = true;
        if (msg.sig != this.bond.selector && later < before && before - later != before / 10) hasLostUnfairly = true;
        if (ledger.verdictOf(honest) != 0) hasLostUnfairly = true;
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
