// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Receipt, RoundResult, Spec} from "../libraries/Messages.sol";
import {Finding, IPredicates, Leaf, RowChunk, SetLeaf} from "./IPredicates.sol";

/// @title What signatures, set leaves and row leaves show: F3, F7 and F8, of any rule
interface ISetPredicates is IPredicates {
    error OtherFederation(bytes32 expected, bytes32 actual);
    error OtherRound(uint64 expected, uint64 actual);
    error OtherEnclave(bytes32 expected, bytes32 actual);
    error OtherSigner(address expected, address actual);
    error OtherSlot(uint256 expected, uint256 actual);
    /// @notice A commitment outranks the receipt: `commitmentBroken` is about that.
    error HasCommitment(bytes32 update);

    /// @notice F3: a receipt, of a slot that committed nothing, is not what the set tree holds. It is the enclave's
    /// only where the leaf says absent or refused (reasons 0 to 6): to what else is there, a host can bring an honest
    /// enclave with a commitment that nobody made.
    function receiptBroken(
        Spec calldata spec,
        RoundResult calldata result,
        address[] calldata cohort,
        Receipt calldata receipt,
        bytes calldata signature,
        SetLeaf calldata set
    ) external view returns (Finding memory);

    /// @notice F3: a committed update is neither counted nor given one of the three attested-only reasons; or one of
    /// the first two of these (undelivered, does not open) stands where nothing was committed. Never the enclave's.
    function commitmentBroken(
        Spec calldata spec,
        RoundResult calldata result,
        address[] calldata cohort,
        SetLeaf calldata set
    ) external view returns (Finding memory);

    /// @notice F7: a counted slot's signature is not its participant's.
    function signatureWrong(
        Spec calldata spec,
        RoundResult calldata result,
        address[] calldata cohort,
        SetLeaf calldata set
    ) external view returns (Finding memory);

    /// @notice F7: a set leaf of a wrong length, or that says something else than the slot's outcome; or no samples
    /// where samples weigh.
    function setLeafDiffers(
        Spec calldata spec,
        RoundResult calldata result,
        bytes calldata outcomes,
        SetLeaf calldata set
    ) external view returns (Finding memory);

    /// @notice F7: a counted row's leaf is not 512 bytes, holds -32768, or is not zero past the dimension.
    /// @param coordinate Of the leaf's 256; ignored where the length is wrong.
    function rowMalformed(
        Spec calldata spec,
        RoundResult calldata result,
        SetLeaf calldata set,
        Leaf calldata row,
        uint256 coordinate
    ) external view returns (Finding memory);

    /// @notice F7: a counted row's squared norm is over the spec's bound: some of its coordinates' squares are enough.
    /// @param rows Chunks of one row. @param chunks Which ones, ascending.
    /// @dev As long as they fit a transaction. Where there is a Gram tree, `IGramPredicates.normOverBound` needs one line.
    function rowOverBound(
        Spec calldata spec,
        RoundResult calldata result,
        RowChunk[] calldata rows,
        uint256[] calldata chunks
    ) external view returns (Finding memory);

    /// @notice F8: two results of the round's enclave for the round, whether proposed or not.
    function twoResults(
        Spec calldata spec,
        RoundResult calldata one,
        bytes calldata oneSignature,
        RoundResult calldata other,
        bytes calldata otherSignature
    ) external view returns (Finding memory);

    /// @notice F8: two receipts of the round's enclave for one slot and different updates.
    function twoReceipts(
        Spec calldata spec,
        Receipt calldata one,
        bytes calldata oneSignature,
        Receipt calldata other,
        bytes calldata otherSignature
    ) external view returns (Finding memory);
}
