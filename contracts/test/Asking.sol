// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IConsortium} from "../src/interfaces/IConsortium.sol";
import {Answer, IDisputes} from "../src/interfaces/IDisputes.sol";
import {IRoundLedger} from "../src/interfaces/IRoundLedger.sol";
import {Merkle} from "../src/libraries/Merkle.sol";
import {Terms, Unavailable} from "../src/libraries/Messages.sol";
import {Disputing} from "./Disputing.sol";
import {Trees} from "./Trees.sol";

/// @title A proposed round of Krum with small trees of all five kinds, whose leaves members ask for
abstract contract Asking is Disputing {
    uint256 internal constant PRICE = MINIMUM_BOND / 100;
    uint32 internal constant DIMENSION = 4100; // 17 leaves of a row, 257 of columns, two chunks
    uint256 internal constant COUNTED = 0x7d; // six slots; slot 1 is absent
    uint64 internal constant WINDOW = 64;
    IDisputes.Tree internal constant NONE = IDisputes.Tree.None;
    IDisputes.Tree internal constant ROW = IDisputes.Tree.Row;
    IDisputes.Tree internal constant SET = IDisputes.Tree.Set;
    IDisputes.Tree internal constant COLUMN = IDisputes.Tree.Column;
    IDisputes.Tree internal constant GRAM = IDisputes.Tree.Gram;
    IDisputes.Tree internal constant MODEL = IDisputes.Tree.Model;

    Round internal _round;
    /// @dev Leaves of each tree, by its number; of the rows those of slot 2.
    mapping(IDisputes.Tree tree => bytes[] leaves) internal _leaves;
    bytes internal _columns = new bytes(32 * 6);
    bytes internal _totals = new bytes(20 * 6);

    /// @dev Krum, so that there are all five trees.
    function terms() internal pure virtual override returns (Terms memory t) {
        t = super.terms();
        t.rule = 5;
        t.chain = bytes32("krum");
        t.f = 1;
        t.dimension = DIMENSION;
        t.windows[4] = WINDOW;
    }

    function setUp() public virtual override {
        super.setUp();
        for (uint256 i = 0; i < MEMBERS; ++i) {
            vm.deal(member(i), 1 ether);
        }
        for (uint256 i = 0; i < 17; ++i) {
            _leaves[ROW].push(padded(512, i));
            _leaves[MODEL].push(padded(1024, i));
        }
        for (uint256 i = 0; i < 257; ++i) {
            _leaves[COLUMN].push(abi.encodePacked(sha256(_columns), sha256(_totals), bytes32(i), bytes32(i)));
        }
        for (uint256 i = 0; i < 12; ++i) {
            _leaves[GRAM].push(padded(48, i));
        }
        for (uint256 slot = 0; slot < SLOTS; ++slot) {
            bytes memory counted = abi.encodePacked(Trees.rootOf(Merkle.ROW, _leaves[ROW]), uint32(9), new bytes(65));
            _leaves[SET].push(slot == 1 ? new bytes(33) : counted);
        }
        _round = rooted(nextRound());
    }

    /// @dev Rounds end here by an enclave that loses trust for a moment, which costs nobody anything.
    function over() internal {
        revoke();
        pass(IConsortium.Action.AllowMeasurement, MEASUREMENT, "");
    }

    function revoke() internal {
        remove(IConsortium.Action.RevokeMeasurement, MEASUREMENT);
        void_(_round);
    }

    function complain() internal {
        Unavailable memory complaint = Unavailable(FEDERATION, 1, ledger.resultOf(1));
        bytes32 hash = harness.hashUnavailable(complaint);
        address[2] memory signers = [vm.addr(11), vm.addr(12)];
        if (signers[0] > signers[1]) signers = [signers[1], signers[0]];
        bytes memory signatures;
        for (uint256 i = 0; i < 2; ++i) {
            uint256 key = signers[i] == vm.addr(11) ? 11 : 12;
            admit(signers[i]);
            signatures = bytes.concat(signatures, signed(key, hash));
        }
        vm.expectPartialRevert(IConsortium.NotEnoughVotes.selector); // two of six are no more than a third
        consortium.postUnavailable(complaint, signatures);
        uint256 removal = proposeAll(IConsortium.Action.RemoveMember, word(member(3)), "");
        vm.prank(signers[0]);
        consortium.vote(removal);
        skip(DELAY);
        consortium.execute(removal, "");
        consortium.postUnavailable(complaint, signatures);
    }

    function admit(address account) internal {
        bytes memory key = "key";
        uint256 proposal = proposeAll(IConsortium.Action.AdmitMember, word(account), key);
        vm.prank(member(3));
        consortium.vote(proposal);
        skip(DELAY);
        consortium.execute(proposal, key);
    }

    function proposeUnder(Terms memory t) internal {
        bytes memory data = abi.encode(t, uint64(1));
        pass(IConsortium.Action.SetTerms, keccak256(data), data);
        _round = rooted(nextRoundOf(t, addresses(SLOTS)));
    }

    /// @dev A proposed round with all trees.
    function rooted(Round memory round) internal returns (Round memory) {
        open(round);
        vm.warp(round.spec.deadlines[2] + 1);
        finish(round, COUNTED, 0);
        round.result.setRoot = Trees.rootOf(Merkle.SET, _leaves[SET]);
        round.result.columnRoot = Trees.rootOf(Merkle.COLUMN, _leaves[COLUMN]);
        round.result.newModel = Trees.rootOf(Merkle.MODEL, _leaves[MODEL]);
        if (round.spec.rule == 5) {
            round.result.gramRoot = Trees.rootOf(Merkle.GRAM, _leaves[GRAM]);
            round.result.selected = 4;
        }
        sign(round, ENCLAVE_KEY);
        propose(round);
        return round;
    }

    function padded(uint256 length, uint256 value) internal pure returns (bytes memory) {
        return bytes.concat(bytes32(value + 1), new bytes(length - 32));
    }

    function longer(bytes32[] memory path) internal pure returns (bytes32[] memory more) {
        more = new bytes32[](path.length + 1);
        for (uint256 i = 0; i < path.length; ++i) {
            more[i] = path[i];
        }
    }

    function answerTo(IDisputes.Tree tree, uint32 index) internal view returns (Answer memory right) {
        right.data = _leaves[tree][index];
        right.path = Trees.pathOf(uint8(tree), _leaves[tree], index);
        if (tree == COLUMN) {
            right.columns = _columns;
            right.totals = _totals;
        }
        if (tree == ROW) right.set = setLeaf(_leaves[SET], 2);
    }

    function ask(uint256 index, IDisputes.Tree tree, uint16 slot, uint32 leaf) internal {
        vm.prank(member(index));
        disputes.requestLeaf{value: PRICE}(_round.spec, _round.result, tree, slot, leaf);
    }

    function answer(address who, uint256 index, Answer memory value) internal {
        vm.prank(who);
        disputes.answerLeaf(_round.spec, _round.result, member(index), value);
    }

    function expectAsk(uint256 index, IDisputes.Tree tree, uint16 slot, uint32 leaf, bytes memory error) internal {
        bytes32 before = everything();
        vm.expectRevert(error);
        ask(index, tree, slot, leaf);
        same("nothing changes", before, everything());
    }

    function expectAnswer(uint256 index, Answer memory value, bytes memory error) internal {
        bytes32 before = everything();
        vm.expectRevert(error);
        answer(prover, index, value);
        same("nothing changes", before, everything());
    }

    function expectSettle(bytes memory error) internal {
        vm.expectRevert(error);
        settle(_round);
    }

    function wrongState(IRoundLedger.State actual) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IRoundLedger.WrongState.selector, IRoundLedger.State.Proposed, actual);
    }

    function noRequest(uint64 round, uint256 index) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IDisputes.NoRequest.selector, round, member(index));
    }
}
