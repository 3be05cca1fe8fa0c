// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Merkle} from "../src/libraries/Merkle.sol";
import {Messages} from "../src/libraries/Messages.sol";
import {Outcomes} from "../src/libraries/Outcomes.sol";
import {Verdict, Verdicts} from "../src/libraries/Verdicts.sol";

/// @title What has a twin in Python and no harness of its own yet, for the tests in Python
contract TwinsHarness {
    function leafHash(uint8 kind, bytes calldata data) external pure returns (bytes32) {
        return Merkle.leafHash(kind, data);
    }

    function encode(Verdict calldata verdict) external pure returns (bytes memory) {
        return abi.encode(verdict);
    }

    function tagOf(Verdict calldata verdict) external pure returns (uint136) {
        return Verdicts.tagOf(abi.encode(verdict));
    }

    function split(uint256 pot, uint256 signers) external pure returns (uint256, uint256, uint256) {
        return Verdicts.split(pot, signers);
    }

    /// @dev As `Disputes` looks one up: there the expression is part of a private function.
    function commitmentOf(address prover, bytes calldata proof, bytes32 salt) external pure returns (bytes32) {
        return keccak256(abi.encode(prover, keccak256(proof), salt));
    }

    function digest(bytes32 domain, bytes32 structHash) external pure returns (bytes32) {
        return Messages.digest(domain, structHash);
    }

    function checkOutcomes(bytes calldata outcomes, uint256 slots, uint256 counted) external pure returns (uint256) {
        return Outcomes.check(outcomes, slots, counted);
    }
}
