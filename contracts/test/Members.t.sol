// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {IConsortium} from "../src/interfaces/IConsortium.sol";
import {IEventStream} from "../src/interfaces/IEventStream.sol";
import {IRoundLedger} from "../src/interfaces/IRoundLedger.sol";
import {Checkpoint, Unavailable} from "../src/libraries/Messages.sol";
import {Disputing} from "./Disputing.sol";

/// @title What members sign: checkpoints of settled rounds, and that data can't be had
contract MembersTest is Disputing {
    uint256 internal constant ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    /// @dev Members now. Those of `World` have no keys.
    address[] internal _members;
    mapping(address account => uint256) internal _keys;

    function setUp() public override {
        super.setUp();
        for (uint256 i = 0; i < MEMBERS; ++i) {
            _members.push(member(i));
        }
        for (uint256 i = 0; i < 8; ++i) {
            _keys[vm.addr(0x3E0 + i)] = 0x3E0 + i;
        }
    }

    function test_a_checkpoint_is_of_a_settled_round_and_posted_by_anyone() public {
        become(3);
        Round memory round = settled(ALL, 0);
        Checkpoint memory checkpoint = checkpointOf(round);
        bytes memory signatures = signaturesOf(3, harness.hashCheckpoint(checkpoint));
        bytes32 head = consortium.stream();
        vm.prank(address(0xBEEF));
        consortium.postCheckpoint(checkpoint, signatures);
        bytes32 log = keccak256(
            abi.encodePacked(
                IConsortium.CheckpointPosted.selector,
                bytes32(uint256(1)),
                harness.hashResult(round.result),
                abi.encode(checkpoint.blockHash, signatures)
            )
        );
        same("stream", keccak256(abi.encodePacked(head, log)), consortium.stream());
        settled(ALL, 0);
        consortium.postCheckpoint(checkpoint, signatures); // of an older round too, and again
    }

    function test_one_member_is_enough_for_a_checkpoint() public {
        become(7);
        Checkpoint memory checkpoint = checkpointOf(settled(ALL, 0));
        consortium.postCheckpoint(checkpoint, signaturesOf(1, harness.hashCheckpoint(checkpoint)));
    }

    function test_there_is_no_checkpoint_of_what_is_not_settled() public {
        become(1);
        Round memory round = nextRound();
        expectNotSettled(0);
        expectNotSettled(1);
        open(round);
        expectNotSettled(1);
        vm.warp(round.spec.deadlines[2] + 1);
        finish(round, ALL, 0);
        propose(round);
        expectNotSettled(1);
        refuted(prover, round.spec);
        expectNotSettled(1);
        expectNotSettled(2);
    }

    function test_a_checkpoint_is_of_this_federation_and_the_rounds_result() public {
        become(1);
        Round memory round = settled(ALL, 0);
        Checkpoint memory wrong = checkpointOf(round);
        wrong.federation = keccak256("another");
        expectCheckpoint(
            wrong, abi.encodeWithSelector(IEventStream.WrongFederation.selector, FEDERATION, wrong.federation)
        );
        wrong = checkpointOf(round);
        wrong.result = keccak256("another");
        bytes32 right = harness.hashResult(round.result);
        expectCheckpoint(wrong, abi.encodeWithSelector(IConsortium.WrongResult.selector, right, wrong.result));
    }

    function test_signatures_are_of_members_each_once_and_ascending() public {
        become(3);
        Checkpoint memory checkpoint = checkpointOf(settled(ALL, 0));
        bytes32 hash = harness.hashCheckpoint(checkpoint);
        address[] memory list = sorted();
        (bytes memory first, bytes memory second) = (by(list[0], hash), by(list[1], hash));
        expectSignatures(
            checkpoint,
            bytes.concat(first, first),
            abi.encodeWithSelector(IConsortium.SignersNotAscending.selector, list[0], list[0])
        );
        expectSignatures(
            checkpoint,
            bytes.concat(second, first),
            abi.encodeWithSelector(IConsortium.SignersNotAscending.selector, list[1], list[0])
        );
        address stranger = vm.addr(0xBAD);
        expectSignatures(
            checkpoint, signed(0xBAD, hash), abi.encodeWithSelector(IConsortium.NotMember.selector, stranger)
        );
        uint256[3] memory lengths = [uint256(0), 64, 66];
        for (uint256 i = 0; i < 3; ++i) {
            bytes memory error = abi.encodeWithSelector(IConsortium.WrongSignaturesLength.selector, lengths[i]);
            expectSignatures(checkpoint, new bytes(lengths[i]), error);
        }
        consortium.postCheckpoint(checkpoint, bytes.concat(first, second));
    }

    function test_who_was_removed_signs_no_more() public {
        become(3);
        Checkpoint memory checkpoint = checkpointOf(settled(ALL, 0));
        bytes32 hash = harness.hashCheckpoint(checkpoint);
        address gone = _members[2];
        bytes memory signature = by(gone, hash);
        consortium.postCheckpoint(checkpoint, signature);
        drop(2);
        expectSignatures(checkpoint, signature, abi.encodeWithSelector(IConsortium.NotMember.selector, gone));
        admit(gone);
        consortium.postCheckpoint(checkpoint, signature);
    }

    /// @dev Whatever else a member signed is somebody else's signature of this.
    function test_a_signature_is_of_one_chain_contract_federation_round_and_kind_of_message() public {
        become(1);
        Round memory round = settled(ALL, 0);
        settled(ALL, 0);
        Checkpoint memory checkpoint = checkpointOf(round);
        bytes32 hash = harness.hashCheckpoint(checkpoint);
        bytes[] memory others = new bytes[](7);
        others[0] = under(block.chainid + 1, address(ledger), hash);
        others[1] = under(block.chainid, address(consortium), hash);
        Checkpoint memory other = checkpointOf(round);
        other.federation = keccak256("another");
        others[2] = by(_members[0], harness.hashCheckpoint(other));
        other = checkpointOf(round);
        other.round = 2;
        others[3] = by(_members[0], harness.hashCheckpoint(other));
        other = checkpointOf(round);
        other.blockHash = keccak256("another chain");
        others[4] = by(_members[0], harness.hashCheckpoint(other));
        others[5] = by(_members[0], harness.hashUnavailable(Unavailable(FEDERATION, 1, checkpoint.result)));
        others[6] = by(_members[0], checkpoint.result); // as an enclave signs it
        for (uint256 i = 0; i < others.length; ++i) {
            vm.expectPartialRevert(IConsortium.NotMember.selector);
            consortium.postCheckpoint(checkpoint, others[i]);
        }
        consortium.postCheckpoint(checkpoint, under(block.chainid, address(ledger), hash));
    }

    function test_a_signature_has_one_form() public {
        become(1);
        Checkpoint memory checkpoint = checkpointOf(settled(ALL, 0));
        bytes32 digest = domainDigest(harness.hashCheckpoint(checkpoint));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(_keys[_members[0]], digest);
        bytes32 high = bytes32(ORDER - uint256(s));
        bytes memory signature = abi.encodePacked(r, high, v == 27 ? uint8(28) : uint8(27));
        expectSignatures(checkpoint, signature, abi.encodeWithSelector(ECDSA.ECDSAInvalidSignatureS.selector, high));
        signature = abi.encodePacked(r, s, v - 27);
        expectSignatures(checkpoint, signature, abi.encodeWithSelector(ECDSA.ECDSAInvalidSignature.selector));
        consortium.postCheckpoint(checkpoint, abi.encodePacked(r, s, v));
    }

    function test_more_than_a_third_complain_whatever_their_number() public {
        for (uint256 members = 1; members <= 7; ++members) {
            uint256 snapshot = vm.snapshotState();
            become(members);
            Round memory round = proposed(ALL, 0);
            Unavailable memory complaint = Unavailable(FEDERATION, 1, harness.hashResult(round.result));
            uint256 needed = members / 3 + 1;
            so("more than a third", 3 * needed > members);
            so("and no more than it takes", 3 * (needed - 1) <= members);
            if (needed > 1) {
                bytes memory fewer = signaturesOf(needed - 1, harness.hashUnavailable(complaint));
                vm.expectRevert(abi.encodeWithSelector(IConsortium.NotEnoughVotes.selector, needed, needed - 1));
                consortium.postUnavailable(complaint, fewer);
            }
            consortium.postUnavailable(complaint, signaturesOf(needed, harness.hashUnavailable(complaint)));
            same("void", uint256(IRoundLedger.State.Void), uint256(ledger.stateOf(1)));
            same("bond", BOND, ledger.bondOf(coordinator));
            same("treasury", 10 ether, ledger.treasury());
            same("model", GENESIS, ledger.model());
            settled(ALL, 0); // the next one
            vm.revertToState(snapshot);
        }
    }

    function test_a_complaint_is_about_the_result_that_is_proposed() public {
        become(2);
        Round memory round = nextRound();
        open(round);
        vm.warp(round.spec.deadlines[2] + 1);
        finish(round, ALL, 0);
        Unavailable memory complaint = Unavailable(FEDERATION, 1, harness.hashResult(round.result));
        expectComplaint(complaint, wrongState(IRoundLedger.State.Open));
        propose(round);
        Unavailable memory wrong = Unavailable(FEDERATION, 1, keccak256("another"));
        expectComplaint(
            wrong, abi.encodeWithSelector(IRoundLedger.WrongResult.selector, complaint.result, wrong.result)
        );
        wrong = Unavailable(FEDERATION, 2, complaint.result);
        expectComplaint(wrong, abi.encodeWithSelector(IRoundLedger.WrongRound.selector, uint64(1), uint64(2)));
        wrong = Unavailable(keccak256("another"), 1, complaint.result);
        expectComplaint(
            wrong, abi.encodeWithSelector(IEventStream.WrongFederation.selector, FEDERATION, wrong.federation)
        );
        vm.warp(round.spec.deadlines[4] + 1);
        settle(round);
        expectComplaint(complaint, wrongState(IRoundLedger.State.Settled));
        open(nextRound());
        expectComplaint(complaint, abi.encodeWithSelector(IRoundLedger.WrongRound.selector, uint64(2), uint64(1)));
    }

    function test_a_complaint_needs_members() public {
        become(4);
        Round memory round = proposed(ALL, 0);
        Unavailable memory complaint = Unavailable(FEDERATION, 1, harness.hashResult(round.result));
        bytes memory signatures = signaturesOf(2, harness.hashUnavailable(complaint));
        address gone = sorted()[1];
        drop(indexOf(gone));
        vm.expectRevert(abi.encodeWithSelector(IConsortium.NotMember.selector, gone));
        consortium.postUnavailable(complaint, signatures);
        vm.expectRevert(abi.encodeWithSelector(IConsortium.WrongSignaturesLength.selector, 0));
        consortium.postUnavailable(complaint, "");
    }

    /// @dev From now on the members are `count` accounts with keys.
    function become(uint256 count) internal {
        for (uint256 i = 0; i < count; ++i) {
            admit(vm.addr(0x3E0 + i));
        }
        for (uint256 i = 0; i < MEMBERS; ++i) {
            drop(0);
        }
        same("members", count, consortium.memberCount());
    }

    function admit(address account) internal {
        unanimous(IConsortium.Action.AdmitMember, account, "key");
        _members.push(account);
    }

    function drop(uint256 index) internal {
        unanimous(IConsortium.Action.RemoveMember, _members[index], "");
        for (; index + 1 < _members.length; ++index) {
            _members[index] = _members[index + 1];
        }
        _members.pop();
    }

    function unanimous(IConsortium.Action action, address account, bytes memory data) internal {
        vm.prank(_members[0]);
        uint256 proposal = consortium.propose(action, word(account), data);
        for (uint256 i = 1; i < _members.length; ++i) {
            vm.prank(_members[i]);
            consortium.vote(proposal);
        }
        skip(DELAY);
        consortium.execute(proposal, data);
    }

    function indexOf(address account) internal view returns (uint256 index) {
        while (_members[index] != account) {
            ++index;
        }
    }

    function sorted() internal view returns (address[] memory list) {
        list = new address[](_members.length);
        for (uint256 i = 0; i < list.length; ++i) {
            uint256 at = i;
            for (; at > 0 && list[at - 1] > _members[i]; --at) {
                list[at] = list[at - 1];
            }
            list[at] = _members[i];
        }
    }

    function by(address account, bytes32 hash) internal view returns (bytes memory) {
        return signed(_keys[account], hash);
    }

    /// @dev Of those with the smallest addresses.
    function signaturesOf(uint256 count, bytes32 hash) internal view returns (bytes memory signatures) {
        address[] memory list = sorted();
        for (uint256 i = 0; i < count; ++i) {
            signatures = bytes.concat(signatures, by(list[i], hash));
        }
    }

    /// @dev Under the domain of another chain or contract.
    function under(uint256 chain, address verifier, bytes32 hash) internal view returns (bytes memory) {
        bytes32 kind = keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        bytes32 domain = keccak256(abi.encode(kind, keccak256("Veriflock"), keccak256("1"), chain, verifier));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", domain, hash));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(_keys[_members[0]], digest);
        return abi.encodePacked(r, s, v);
    }

    function checkpointOf(Round memory round) internal view returns (Checkpoint memory) {
        return Checkpoint({
            federation: FEDERATION,
            round: round.spec.round,
            result: harness.hashResult(round.result),
            blockHash: blockhash(block.number - 1)
        });
    }

    function expectNotSettled(uint64 round) internal {
        Checkpoint memory checkpoint = Checkpoint(FEDERATION, round, ledger.resultOf(round), bytes32(0));
        expectCheckpoint(checkpoint, abi.encodeWithSelector(IConsortium.NotSettled.selector, round));
    }

    function expectCheckpoint(Checkpoint memory checkpoint, bytes memory error) internal {
        expectSignatures(checkpoint, signaturesOf(1, harness.hashCheckpoint(checkpoint)), error);
    }

    function expectSignatures(Checkpoint memory checkpoint, bytes memory signatures, bytes memory error) internal {
        bytes32 before = everything();
        vm.expectRevert(error);
        consortium.postCheckpoint(checkpoint, signatures);
        same("nothing changes", before, everything());
    }

    function expectComplaint(Unavailable memory complaint, bytes memory error) internal {
        bytes memory signatures = signaturesOf(2, harness.hashUnavailable(complaint));
        bytes32 before = everything();
        vm.expectRevert(error);
        consortium.postUnavailable(complaint, signatures);
        same("nothing changes", before, everything());
    }

    function wrongState(IRoundLedger.State actual) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IRoundLedger.WrongState.selector, IRoundLedger.State.Proposed, actual);
    }
}
