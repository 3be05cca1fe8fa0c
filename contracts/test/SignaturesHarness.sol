// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Certificates} from "../src/libraries/Certificates.sol";
import {Signatures} from "../src/libraries/Signatures.sol";

/// @title ECDSA on P-256 behind functions of its own, for the tests in Python
contract SignaturesHarness {
    function isSigned(bytes32 digest, bytes32 r, bytes32 s, bytes32 x, bytes32 y) external view returns (bool) {
        return Signatures.isSigned(digest, r, s, x, y);
    }

    function isSignedByPrecompile(bytes32 digest, bytes32 r, bytes32 s, bytes32 x, bytes32 y)
        external
        view
        returns (bool)
    {
        return Signatures.isSignedByPrecompile(digest, r, s, x, y);
    }

    /// @notice A signature as certificates have it, DER.
    function parseSignature(bytes calldata der) external pure returns (bytes32 r, bytes32 s) {
        return Certificates.parseSignature(der, 0, der.length);
    }
}
