// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Fields of an SGX quote v3 (Intel's wire format: integers little-endian, digests as they are)
/// @notice Reads; decides nothing. Twin: protocol/attestation/.
library Quotes {
    uint256 internal constant SIGNED_BYTES = 432; // header (48) and report body (384): what the quote's signature covers
    uint256 internal constant LEAST_BYTES = 436; // and the length of the signature data
    bytes16 internal constant INTEL_VENDOR = 0x939a7233f79c4ca9940a0db3957f0607;

    bytes1 internal constant INIT = 0x01;
    bytes1 internal constant DEBUG = 0x02;
    bytes1 internal constant PROVISION_KEY = 0x10;
    bytes1 internal constant EINITTOKEN_KEY = 0x20;

    function version(bytes calldata quote) internal pure returns (uint16) {
        return littleEndian(bytes2(quote[0:2]));
    }

    function keyType(bytes calldata quote) internal pure returns (uint16) {
        return littleEndian(bytes2(quote[2:4]));
    }

    function vendor(bytes calldata quote) internal pure returns (bytes16) {
        return bytes16(quote[12:28]);
    }

    /// @notice The first byte of ATTRIBUTES.FLAGS: debug and the provisioning keys are in it.
    function flags(bytes calldata quote) internal pure returns (bytes1) {
        return quote[96];
    }

    /// @notice MRENCLAVE.
    function measurement(bytes calldata quote) internal pure returns (bytes32) {
        return bytes32(quote[112:144]);
    }

    /// @notice REPORT_DATA: signer (20) || SHA-256 of the claims (32) || epoch (8) || `VFL1`.
    function reportData(bytes calldata quote)
        internal
        pure
        returns (address signer, bytes32 claims, uint64 epoch, bytes4 tag)
    {
        signer = address(bytes20(quote[368:388]));
        claims = bytes32(quote[388:420]);
        epoch = uint64(bytes8(quote[420:428]));
        tag = bytes4(quote[428:432]);
    }

    /// @notice What names an enclave: header and body, never the signatures, which are malleable.
    function enclaveOf(bytes calldata quote) internal pure returns (bytes32) {
        return keccak256(quote[0:SIGNED_BYTES]);
    }

    function littleEndian(bytes2 value) private pure returns (uint16) {
        return (uint16(uint8(value[1])) << 8) | uint8(value[0]);
    }
}
