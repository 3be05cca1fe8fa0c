// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {P256} from "@openzeppelin/contracts/utils/cryptography/P256.sol";

/// @title ECDSA on P-256, by the chain's precompile where it has one
/// @notice The same verdict with and without it. High s is a signature: those of certificates are not normalised.
library Signatures {
    /// @notice P256VERIFY (EIP-7951): 160 bytes in; 32 bytes, the number 1, for a signature, and nothing for none.
    address internal constant PRECOMPILE = address(0x100);

    /// @notice Whether (r, s) is a signature of this digest by the key (x, y).
    /// @dev What is no key or out of range is never asked about: there precompiles have differed. A no of the
    /// precompile and a chain that has none look alike, so the second opinion decides; only refusals pay for it.
    function isSigned(bytes32 digest, bytes32 r, bytes32 s, bytes32 x, bytes32 y) internal view returns (bool) {
        if (r == 0 || uint256(r) >= P256.N || s == 0 || uint256(s) >= P256.N) return false;
        if (!P256.isValidPublicKey(x, y)) return false;
        return isSignedByPrecompile(digest, r, s, x, y) || isSignedByContract(digest, r, s, x, y);
    }

    /// @dev Success with any other answer is a chain without the precompile.
    function isSignedByPrecompile(bytes32 digest, bytes32 r, bytes32 s, bytes32 x, bytes32 y)
        internal
        view
        returns (bool)
    {
        (bool success, bytes memory answer) = PRECOMPILE.staticcall(abi.encode(digest, r, s, x, y));
        return success && answer.length == 32 && uint256(bytes32(answer)) == 1;
    }

    /// @dev OpenZeppelin's takes low s only; (r, n - s) is the same key's signature of the same digest.
    function isSignedByContract(bytes32 digest, bytes32 r, bytes32 s, bytes32 x, bytes32 y)
        internal
        view
        returns (bool)
    {
        bytes32 low = uint256(s) > P256.N / 2 ? bytes32(P256.N - uint256(s)) : s;
        return P256.verifySolidity(digest, r, low, x, y);
    }
}
