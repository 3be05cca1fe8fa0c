// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IConsortium} from "../src/interfaces/IConsortium.sol";
import {IDisputes} from "../src/interfaces/IDisputes.sol";
import {SetLeaf} from "../src/interfaces/IPredicates.sol";
import {ISetPredicates} from "../src/interfaces/ISetPredicates.sol";
import {Merkle} from "../src/libraries/Merkle.sol";
import {Claims, Receipt, Spec, Update} from "../src/libraries/Messages.sol";
import {Verdict} from "../src/libraries/Verdicts.sol";
import {Trees} from "./Trees.sol";
import {World} from "./World.sol";

/// @title Proofs to play with: two receipts for one slot, and set trees whose leaves participants have signed
abstract contract Disputing is World {
    uint256 internal constant ALL = (1 << SLOTS) - 1;
    /// @dev Participants beside those of `World`, who have keys; their addresses are larger than the others'.
    uint256 internal constant KEYED = 3;
    uint256 internal constant WIDE = SLOTS + KEYED;
    uint64 internal constant CLAIM_WINDOW = 1 hours;
    uint64 internal constant LEAVES_WINDOW = 7 days;
    uint256 internal constant SECOND_KEY = 0x0E2;
    bytes32 internal constant SALT = keccak256("salt");

    address internal immutable prover = address(0xF00D);
    address internal immutable copier = address(0xBAD);

    function domainDigest(bytes32 structHash) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", ledger.domainSeparator(), structHash));
    }

    function signed(uint256 key, bytes32 structHash) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, domainDigest(structHash));
        return abi.encodePacked(r, s, v);
    }

    /// @dev Two receipts of the round's enclave for one slot; another pair for each `variant`.
    function twoReceipts(Spec memory spec, uint256 variant) internal view returns (bytes memory) {
        Receipt memory one = receiptOf(spec, keccak256(abi.encode("one", variant)));
        Receipt memory other = receiptOf(spec, keccak256(abi.encode("other", variant)));
        return abi.encodeCall(
            ISetPredicates.twoReceipts,
            (
                spec,
                one,
                signed(ENCLAVE_KEY, harness.hashReceipt(one)),
                other,
                signed(ENCLAVE_KEY, harness.hashReceipt(other))
            )
        );
    }

    function receiptOf(Spec memory spec, bytes32 update) internal pure returns (Receipt memory) {
        return Receipt({federation: spec.federation, round: spec.round, slot: 3, update: update, enclave: spec.enclave});
    }

    function refute(address who, bytes memory proof) internal {
        vm.prank(who);
        disputes.refute(IDisputes.Family.Set, proof, SALT);
    }

    function commitProof(address who, bytes memory proof) internal {
        disputes.commitProof(commitmentOf(who, proof)); // whoever sends it
    }

    function commitmentOf(address who, bytes memory proof) internal pure returns (bytes32) {
        return keccak256(abi.encode(who, keccak256(proof), SALT));
    }

    function claim(address who, Verdict memory verdict, bytes memory proof) internal {
        vm.prank(who);
        disputes.claim(verdict, IDisputes.Family.Set, proof, SALT);
    }

    /// @dev What is recorded if `who` refutes now, without a pre-commitment.
    function verdictBy(address who, Spec memory spec, uint8 predicate) internal view returns (Verdict memory) {
        return Verdict({
            round: spec.round,
            predicate: predicate,
            result: ledger.resultOf(spec.round),
            coordinator: coordinator,
            prover: who,
            committedAt: uint64(block.number),
            decidedAt: uint64(block.timestamp),
            slots: uint16(ledger.currentSlots()),
            pot: ledger.bondOf(coordinator)
        });
    }

    /// @dev What the ledger keeps of a verdict.
    function tagOf(Verdict memory verdict) internal pure returns (uint136) {
        return uint136(uint256(keccak256(abi.encode(verdict))));
    }

    /// @dev Refutes by two receipts.
    function refuted(address who, Spec memory spec) internal returns (Verdict memory verdict) {
        verdict = verdictBy(who, spec, 8);
        refute(who, twoReceipts(spec, 0));
        same("verdict", tagOf(verdict), ledger.verdictOf(coordinator));
    }

    function execute(Verdict memory verdict, Round memory round, bytes[] memory leaves) internal {
        disputes.executeVerdict(verdict, round.spec, round.result, round.cohort, leaves);
    }

    /// @dev Without leaves everything but the verdict is ignored.
    function execute(Verdict memory verdict) internal {
        Round memory nothing;
        execute(verdict, nothing, new bytes[](0));
    }

    /// @dev What a call that fails leaves as it was.
    function everything() internal view returns (bytes32) {
        bytes32 streams = keccak256(
            abi.encode(
                consortium.stream(), participants.stream(), enclaves.stream(), ledger.stream(), disputes.stream()
            )
        );
        return keccak256(
            abi.encode(
                streams, address(ledger).balance, address(disputes).balance, address(0).balance, coordinator.balance
            )
        );
    }

    function expectRefute(bytes memory proof, bytes memory error) internal {
        bytes32 before = everything();
        vm.expectRevert(error);
        refute(prover, proof);
        same("nothing changes", before, everything());
    }

    /// @dev Another admitted coordinator, with a bond and an enclave of its own.
    function secondCoordinator() internal returns (address account, bytes32 enclave_) {
        account = address(0xC1);
        pass(IConsortium.Action.AdmitCoordinator, word(account), "");
        vm.deal(account, BOND);
        vm.prank(account);
        ledger.addBond{value: BOND}();
        uint64 nonceBlock = uint64(block.number - 1);
        Claims memory claims = claimsOf(account, nonceBlock, 2);
        bytes memory quote = encode(quoteParts(reportDataOf(vm.addr(SECOND_KEY), claims, 2)));
        bytes32 issuer = authorityId();
        vm.prank(account);
        enclave_ = enclaves.register(quote, claims, hpkeKeyOf(2), issuer, nonceBlock);
    }

    function keyOf(uint256 index) internal pure returns (uint256) {
        return 0xB0B0 + index;
    }

    /// @dev Everybody of `World` and those with keys, by ascending address.
    function wideCohort() internal pure returns (address[] memory list) {
        list = new address[](WIDE);
        for (uint256 i = 0; i < WIDE; ++i) {
            address next = i < SLOTS ? participantAt(i) : vm.addr(keyOf(i - SLOTS));
            uint256 at = i;
            for (; at > 0 && list[at - 1] > next; --at) {
                list[at] = list[at - 1];
            }
            list[at] = next;
        }
    }

    function keyAt(address participant) internal pure returns (uint256) {
        for (uint256 i = 0; i < KEYED; ++i) {
            if (vm.addr(keyOf(i)) == participant) return keyOf(i);
        }
        return keyOf(KEYED); // nobody's
    }

    function joinKeyed() internal {
        for (uint256 i = 0; i < KEYED; ++i) {
            join(vm.addr(keyOf(i)));
        }
    }

    /// @dev A set leaf that its participant has signed; slots below `SLOTS` have no key, so theirs is somebody else's.
    function leafOf(Spec memory spec, address participant, uint256 key) internal view returns (bytes memory) {
        Update memory update = Update({
            federation: spec.federation,
            round: spec.round,
            spec: harness.hashSpec(spec),
            enclave: spec.enclave,
            participant: participant,
            updateRoot: keccak256(abi.encode("row", participant)),
            samples: 17
        });
        return abi.encodePacked(update.updateRoot, update.samples, signed(key, harness.hashUpdate(update)));
    }

    function leavesOf(Round memory round) internal view returns (bytes[] memory leaves) {
        leaves = new bytes[](round.cohort.length);
        for (uint256 slot = 0; slot < leaves.length; ++slot) {
            bool isCounted = (round.result.counted >> slot) & 1 == 1;
            address participant = round.cohort[slot];
            leaves[slot] = isCounted ? leafOf(round.spec, participant, keyAt(participant)) : new bytes(33);
        }
    }

    function setLeaf(bytes[] memory leaves, uint256 slot) internal pure returns (SetLeaf memory) {
        return
            SetLeaf({
                slot: slot, slots: leaves.length, data: leaves[slot], path: Trees.pathOf(Merkle.SET, leaves, slot)
            });
    }

    /// @dev F7: a counted slot of nobody's signature.
    function wrongSignature(Round memory round, bytes[] memory leaves, uint256 slot)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeCall(
            ISetPredicates.signatureWrong, (round.spec, round.result, round.cohort, setLeaf(leaves, slot))
        );
    }

    /// @dev F3: a commitment that is not what the leaf says. A host can do that, so no measurement is suspended.
    function brokenCommitment(Round memory round, bytes[] memory leaves, uint256 slot)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeCall(
            ISetPredicates.commitmentBroken, (round.spec, round.result, round.cohort, setLeaf(leaves, slot))
        );
    }

    /// @dev A proposed round of everybody, with a real set tree. Participant 2 has committed what is not in it.
    function proposedWide(uint256 counted) internal returns (Round memory round, bytes[] memory leaves) {
        joinKeyed();
        round = nextRoundOf(terms(), wideCohort());
        open(round);
        vm.prank(participantAt(2));
        ledger.commit(round.spec.round, keccak256("committed"));
        vm.warp(round.spec.deadlines[2] + 1);
        finish(round, counted, 0);
        leaves = leavesOf(round);
        reset(round, leaves);
        propose(round);
    }

    function reset(Round memory round, bytes[] memory leaves) internal view {
        round.result.setRoot = Trees.rootOf(Merkle.SET, leaves);
        sign(round, ENCLAVE_KEY);
    }

    function copy(Round memory round) internal pure returns (Round memory) {
        return abi.decode(abi.encode(round), (Round));
    }

    function copy(Verdict memory verdict) internal pure returns (Verdict memory) {
        return abi.decode(abi.encode(verdict), (Verdict));
    }

    function copy(bytes[] memory leaves) internal pure returns (bytes[] memory) {
        return abi.decode(abi.encode(leaves), (bytes[]));
    }
}
