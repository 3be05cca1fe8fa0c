// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IRoundLedger} from "../interfaces/IRoundLedger.sol";

/// @title What a round says about each slot, one word a slot
/// @notice From the most significant bit: status(8) reason(8) flagged(8) kept(32) deviation(64) alignment(64)
/// weight(32) zero(40). Twin: protocol/outcomes.py.
library Outcomes {
    uint256 internal constant ABSENT = 0;
    uint256 internal constant REFUSED = 1;
    uint256 internal constant COUNTED = 2;
    uint256 internal constant UNDELIVERED = 7; // the first of the three reasons that only the enclave can attest
    uint256 internal constant UNOPENED = 8;
    uint256 internal constant LAST_REASON = 9;

    /// @notice Checks every word against the bitmap.
    /// @return count Number of counted slots.
    function check(bytes calldata outcomes, uint256 slots, uint256 counted) internal pure returns (uint256 count) {
        require(outcomes.length == 32 * slots, IRoundLedger.WrongOutcomesLength(32 * slots, outcomes.length));
        for (uint256 slot = 0; slot < slots; ++slot) {
            uint256 word = wordAt(outcomes, slot);
            bool inSet = (counted >> slot) & 1 == 1;
            require(inSet ? isGoodCounted(word) : isGoodOther(word), IRoundLedger.WrongOutcome(slot, word));
            if (inSet) ++count;
        }
    }

    /// @notice Number of slots with an attested-only reason.
    function undeliveredOf(bytes calldata outcomes) internal pure returns (uint256 undelivered) {
        uint256 slots = outcomes.length / 32;
        for (uint256 slot = 0; slot < slots; ++slot) {
            if (isAttestedOnly(wordAt(outcomes, slot))) ++undelivered;
        }
    }

    /// @dev The callers have checked that there are 32 bytes a slot.
    function wordAt(bytes calldata outcomes, uint256 slot) internal pure returns (uint256) {
        return uint256(bytes32(outcomes[slot << 5:]));
    }

    function reasonOf(uint256 word) internal pure returns (uint256) {
        return uint8(word >> 240);
    }

    function weightOf(uint256 word) internal pure returns (uint256) {
        return uint32(word >> 40);
    }

    function deviationOf(uint256 word) internal pure returns (uint256) {
        return uint64(word >> 136);
    }

    function alignmentOf(uint256 word) internal pure returns (int256) {
        return int64(uint64(word >> 72));
    }

    function isCounted(uint256 word) internal pure returns (bool) {
        return word >> 248 == COUNTED;
    }

    /// @dev Counted and not flagged: status, reason and flag are the three highest bytes.
    function isPaid(uint256 word) internal pure returns (bool) {
        return word >> 232 == COUNTED << 16;
    }

    function isFlagged(uint256 word) internal pure returns (bool) {
        return uint8(word >> 232) == 1;
    }

    /// @dev Flagged says nothing but that the alignment is negative, so the two must agree.
    function isGoodCounted(uint256 word) internal pure returns (bool) {
        uint256 negative = (word >> 135) & 1;
        return word >> 240 == COUNTED << 8 && uint8(word >> 232) == negative && uint40(word) == 0;
    }

    /// @dev Status and reason and nothing else; a reason exactly where it is refused.
    function isGoodOther(uint256 word) internal pure returns (bool) {
        if (word << 16 != 0) return false;
        uint256 reason = uint8(word >> 240);
        uint256 status = word >> 248;
        return reason == 0 ? status == ABSENT : status == REFUSED && reason <= LAST_REASON;
    }

    function isAttestedOnly(uint256 word) internal pure returns (bool) {
        return uint8(word >> 240) >= UNDELIVERED;
    }
}
