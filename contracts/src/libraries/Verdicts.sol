// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice A round was refuted. The ledger keeps its hash beside the bond that it freezes; whoever goes on with it brings
/// it along.
struct Verdict {
    uint64 round;
    uint8 predicate; // n of Fn
    bytes32 result; // what was proposed; zero for nothing
    address coordinator;
    address prover; // who gets the prover's part
    uint64 committedAt; // block of the prover's pre-commitment; of the proof itself where there was none
    uint64 decidedAt; // seconds
    uint16 slots; // size of the cohort
    uint256 pot; // the coordinator's bond, wei
}

/// @title Verdicts as the ledger remembers them, and what becomes of their pots
library Verdicts {
    /// @notice A quarter to the prover, a quarter to those whose work was lost. The half that is burnt is two budgets at
    /// least (the bond is four), and one is at stake: a liar who proves against himself, with a cohort of his own, loses.
    uint256 internal constant PROVER_PARTS = 4;
    uint256 internal constant COHORT_PARTS = 4;

    /// @notice The low 136 bits of keccak256(abi.encode(verdict)): what fits beside 120 bits of money.
    function tagOf(bytes memory encoded) internal pure returns (uint136) {
        return uint136(uint256(keccak256(encoded)));
    }

    /// @param signers How many share the cohort's part; what they leave is burnt.
    function split(uint256 pot, uint256 signers) internal pure returns (uint256 reward, uint256 share, uint256 burnt) {
        reward = pot / PROVER_PARTS;
        share = signers == 0 ? 0 : pot / COHORT_PARTS / signers;
        burnt = pot - reward - share * signers;
    }
}
