// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {Messages, Spec} from "./Messages.sol";

/// @title The signed Update that a counted set leaf stands for
/// @notice Root (32) || samples (4) || signature (65); all else of the Update follows from the opened spec.
/// @dev The callers have checked that a leaf has these 101 bytes.
library SignedLeaves {
    uint256 internal constant LENGTH = 32 + 4 + 65;

    /// @notice hashStruct of the Update.
    function updateOf(Spec calldata spec, bytes32 specHash, address participant, bytes calldata leaf)
        internal
        pure
        returns (bytes32)
    {
        uint32 samples = uint32(bytes4(leaf[32:]));
        return keccak256(
            abi.encode(
                Messages.UPDATE_TYPE,
                spec.federation,
                spec.round,
                specHash,
                spec.enclave,
                participant,
                bytes32(leaf),
                samples
            )
        );
    }

    /// @notice Whether the leaf has the participant's signature of it, low s.
    function isSigned(Spec calldata spec, bytes32 specHash, bytes32 domain, address participant, bytes calldata leaf)
        internal
        pure
        returns (bool)
    {
        bytes32 digest = Messages.digest(domain, updateOf(spec, specHash, participant, leaf));
        (address signer,,) = ECDSA.tryRecover(digest, leaf[36:]);
        return signer == participant && signer != address(0);
    }
}
