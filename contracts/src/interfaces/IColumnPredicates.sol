// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {RoundResult, Spec} from "../libraries/Messages.sol";
import {Column, Finding, IPredicates, Leaf, SetLeaf, Sums} from "./IPredicates.sol";

/// @title What column and model trees show: F1, F2, F4 to F7
interface IColumnPredicates is IPredicates {
    /// @notice F1: sixteen coordinates of a slot in the column tree are not those of its row.
    /// @param row The row's leaf with these coordinates, 512 bytes.
    function columnDiffers(
        Spec calldata spec,
        RoundResult calldata result,
        Column calldata column,
        SetLeaf calldata set,
        bytes calldata row,
        bytes32[] calldata rowPath
    ) external view returns (Finding memory);

    /// @notice F2: a coordinate of the aggregate is not what the rule makes of the column.
    /// @param coordinate Of the sixteen.
    /// @param low For median and trimmed mean: the smallest value that the rule keeps; else ignored. Nothing is sorted:
    /// how many values are smaller, and how many are not larger, shows that it has its rank.
    /// @param high The largest value that it keeps.
    /// @param outcomes For the weighted mean, which has its weights from them; else ignored.
    function aggregateDiffers(
        Spec calldata spec,
        RoundResult calldata result,
        Column calldata column,
        uint256 coordinate,
        int16 low,
        int16 high,
        bytes calldata outcomes
    ) external view returns (Finding memory);

    /// @notice F4: a running total of a slot is not that of the leaf before plus what these sixteen coordinates add.
    /// @param totals Those of `column`.
    /// @param before The leaf before; ignored for the first.
    function totalDiffers(
        Spec calldata spec,
        RoundResult calldata result,
        Column calldata column,
        bytes calldata totals,
        Sums calldata before,
        uint256 slot
    ) external view returns (Finding memory);

    /// @notice F4: a slot's outcome does not say what the totals of the last leaf say.
    function outcomeDiffers(
        Spec calldata spec,
        RoundResult calldata result,
        Sums calldata last,
        bytes calldata outcomes,
        uint256 slot
    ) external view returns (Finding memory);

    /// @notice F5: the weight in a slot's outcome is not what its samples give.
    function weightDiffers(
        Spec calldata spec,
        RoundResult calldata result,
        bytes calldata outcomes,
        SetLeaf calldata set
    ) external view returns (Finding memory);

    /// @notice F6: a coordinate of the new model is not base plus aggregate.
    /// @param column Leaf of the column tree.
    /// @param coordinate Of its sixteen.
    /// @param base Leaf of the base model with this coordinate; its index follows.
    /// @param next The same of the new model.
    function modelDiffers(
        Spec calldata spec,
        RoundResult calldata result,
        Leaf calldata column,
        uint256 coordinate,
        Leaf calldata base,
        Leaf calldata next
    ) external view returns (Finding memory);

    /// @notice F6: past the dimension the new model is not zero.
    /// @param coordinate Of the leaf's 256.
    function modelPaddingDiffers(
        Spec calldata spec,
        RoundResult calldata result,
        Leaf calldata next,
        uint256 coordinate
    ) external view returns (Finding memory);

    /// @notice F7: a leaf of the column tree that is not 128 bytes.
    function columnMalformed(Spec calldata spec, RoundResult calldata result, Leaf calldata column)
        external
        view
        returns (Finding memory);

    /// @notice F7: what a leaf of the column tree has the hash of is not as long as it has to be.
    /// @param isTotals Whether `preimage` is of the totals, else of the columns.
    function preimageMalformed(
        Spec calldata spec,
        RoundResult calldata result,
        Leaf calldata column,
        bool isTotals,
        bytes calldata preimage
    ) external view returns (Finding memory);

    /// @notice F7: a leaf of the new model that is not 1024 bytes.
    function modelMalformed(Spec calldata spec, RoundResult calldata result, Leaf calldata next)
        external
        view
        returns (Finding memory);
}
