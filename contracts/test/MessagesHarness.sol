// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Cohorts} from "../src/libraries/Cohorts.sol";
import {
    Checkpoint,
    Messages,
    Receipt,
    RoundResult,
    Spec,
    Terms,
    Unavailable,
    Update
} from "../src/libraries/Messages.sol";
import {Payouts} from "../src/libraries/Payouts.sol";
import {Reputation} from "../src/libraries/Reputation.sol";
import {Rulebook} from "../src/libraries/Rulebook.sol";

/// @title The ledger's libraries behind functions of their own, for the tests in Solidity and in Python
contract MessagesHarness {
    function hashSpec(Spec calldata value) external pure returns (bytes32) {
        return Messages.hashSpec(value);
    }

    function hashUpdate(Update calldata value) external pure returns (bytes32) {
        return Messages.hashUpdate(value);
    }

    function hashReceipt(Receipt calldata value) external pure returns (bytes32) {
        return Messages.hashReceipt(value);
    }

    function hashResult(RoundResult calldata value) external pure returns (bytes32) {
        return Messages.hashResult(value);
    }

    function hashCheckpoint(Checkpoint calldata value) external pure returns (bytes32) {
        return Messages.hashCheckpoint(value);
    }

    function hashUnavailable(Unavailable calldata value) external pure returns (bytes32) {
        return Messages.hashUnavailable(value);
    }

    function hashTerms(Terms calldata value) external pure returns (bytes32) {
        return Messages.hashTerms(value);
    }

    function hashCohort(address[] calldata cohort) external pure returns (bytes32) {
        return Cohorts.hash(cohort);
    }

    function seedOf(bytes32 federation, uint64 round, bytes32 previous) external pure returns (bytes32) {
        return Cohorts.seedOf(federation, round, previous);
    }

    function sample(address[] calldata registered, bytes32 seed, bytes32 cut, uint256 size)
        external
        pure
        returns (address[] memory cohort, uint256 found)
    {
        return Cohorts.sample(registered, seed, cut, size);
    }

    function next(uint64 good, uint64 bad, bool flagged) external pure returns (uint64, uint64) {
        return Reputation.next(good, bad, flagged);
    }

    function ppb(uint64 good, uint64 bad) external pure returns (uint256) {
        return Reputation.ppb(good, bad);
    }

    function payout(uint256 budget, uint256 paid, uint256 reputation, uint256 slots, uint256 total)
        external
        pure
        returns (uint256)
    {
        return Payouts.payout(budget, paid, reputation, slots, total);
    }

    function minimumCounted(uint8 rule, uint256 f, uint256 m, uint256 minCounted) external pure returns (uint256) {
        return Rulebook.minimumCounted(rule, f, m, minCounted);
    }
}
