// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {RoundResult, Spec} from "../libraries/Messages.sol";
import {Finding, GramLine, IPredicates, Leaf, RowChunk} from "./IPredicates.sol";

/// @title What Gram trees show: F4, F5 and F7 of rules that select
interface IGramPredicates is IPredicates {
    /// @notice F4: an inner product is not that of the chunk before plus what these 4096 coordinates add.
    /// @param chunk Which chunk.
    /// @param line Of `left.set.slot`; the entry is that of `right.set.slot`.
    /// @param before The same line after the chunk before; ignored for the first.
    /// @param left Row of the line. @param right Row of the entry.
    function productDiffers(
        Spec calldata spec,
        RoundResult calldata result,
        uint256 chunk,
        GramLine calldata line,
        GramLine calldata before,
        RowChunk calldata left,
        RowChunk calldata right
    ) external view returns (Finding memory);

    /// @notice F5: G[i][j] is not G[j][i].
    function productsDiffer(
        Spec calldata spec,
        RoundResult calldata result,
        uint256 chunk,
        GramLine calldata one,
        GramLine calldata other
    ) external view returns (Finding memory);

    /// @notice F5: Gram matrix and outcomes contradict each other. For every slot, its squared norm in the matrix less
    /// deviation and twice the alignment is minus the squared norm of r: one number for all slots.
    function normsDiffer(
        Spec calldata spec,
        RoundResult calldata result,
        bytes calldata outcomes,
        GramLine calldata one,
        GramLine calldata other
    ) external view returns (Finding memory);

    /// @notice F5: a slot was selected although one that was not has a smaller (score, slot).
    /// @param chosenReach The largest of the k - f - 2 distances that `chosen`'s score is the sum of.
    /// @param otherReach The same of `other`.
    /// @dev A line has no norms but its own: the others follow from the outcomes (see `normsDiffer`), so two lines do.
    function selectionDiffers(
        Spec calldata spec,
        RoundResult calldata result,
        bytes calldata outcomes,
        GramLine calldata chosen,
        GramLine calldata other,
        int256 chosenReach,
        int256 otherReach
    ) external view returns (Finding memory);

    /// @notice F7: a counted slot's squared norm is over the spec's bound.
    function normOverBound(Spec calldata spec, RoundResult calldata result, GramLine calldata line)
        external
        view
        returns (Finding memory);

    /// @notice F7: a leaf of the Gram tree that is not 8 bytes for each counted slot.
    function gramMalformed(Spec calldata spec, RoundResult calldata result, Leaf calldata leaf)
        external
        view
        returns (Finding memory);
}
