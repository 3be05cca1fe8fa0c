// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The rules by number, and how many counted updates each needs
/// @notice Twin: protocol/rulebook.py.
library Rulebook {
    uint8 internal constant REPLAY = 0;
    uint8 internal constant MEAN = 1;
    uint8 internal constant WEIGHTED_MEAN = 2;
    uint8 internal constant MEDIAN = 3;
    uint8 internal constant TRIMMED_MEAN = 4;
    uint8 internal constant KRUM = 5;
    uint8 internal constant MULTI_KRUM = 6;

    /// @notice Fewest counted updates: the rule's own bound or the spec's, whichever is larger.
    function minimumCounted(uint8 rule, uint256 f, uint256 m, uint256 minCounted) internal pure returns (uint256) {
        uint256 bound = 1;
        if (rule == MEDIAN || rule == TRIMMED_MEAN) {
            bound = 2 * f + 1;
        } else if (isSelecting(rule)) {
            bound = 2 * f + 3;
            if (rule == MULTI_KRUM && m + f > bound) bound = m + f;
        }
        return bound > minCounted ? bound : minCounted;
    }

    /// @notice Rows that a selecting rule keeps of k counted ones.
    function selectedOf(uint8 rule, uint256 f, uint256 m, uint256 k) internal pure returns (uint256) {
        if (rule == KRUM) return 1;
        return m == 0 ? k - f : m;
    }

    /// @notice Whether predicates apply: the number names a rule, and the string names the same.
    function isRefutable(uint8 rule, bytes32 chain) internal pure returns (bool) {
        if (rule == MEAN) return chain == "mean";
        if (rule == WEIGHTED_MEAN) return chain == "weighted-mean";
        if (rule == MEDIAN) return chain == "median";
        if (rule == TRIMMED_MEAN) return chain == "trimmed-mean";
        if (rule == KRUM) return chain == "krum";
        return rule == MULTI_KRUM && chain == "multi-krum";
    }

    /// @notice Whether the rule keeps whole rows; these are also the rules that need a Gram tree.
    function isSelecting(uint8 rule) internal pure returns (bool) {
        return rule == KRUM || rule == MULTI_KRUM;
    }
}
