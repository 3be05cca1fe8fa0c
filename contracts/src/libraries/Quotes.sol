// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IEnclaves} from "../interfaces/IEnclaves.sol";

/// @title SGX quotes of version 3 (Intel's wire format: integers little-endian, digests and signatures as they are)
/// @notice Layout, and what holds of every quote whoever made it. Twin: protocol/attestation/quote.py.
///
///     0    48  header                      \ signed by the attestation key
///     48  384  report body of the enclave  /
///     432   4  length of what follows
///     436  64  signature of the quote, by the attestation key: r || s
///     500  64  attestation key X || Y
///     564 384  report body of the quoting enclave (QE)
///     948  64  signature of the QE's report, by the platform's key (PCK)
///     1012  2  length a of the QE's authentication data, then a bytes
///     ..    6  type of certification data (4) and its length, then the PCK's certificate, DER
library Quotes {
    /// @notice With a genuine certificate it is 2,300 bytes; what is larger than this is not a quote.
    uint256 internal constant MAX_BYTES = 16_384;
    uint256 internal constant SIGNED_BYTES = 432;
    uint256 internal constant BODY = 48; // where the enclave's report starts
    uint256 internal constant QE_REPORT = 564; // where the quoting enclave's does

    uint256 private constant REPORT_BYTES = 384;
    uint256 private constant AUTH = 1014;
    uint256 private constant CERTIFICATION_BYTES = 6; // its type and length
    uint256 private constant LEAST_BYTES = AUTH + CERTIFICATION_BYTES;

    uint16 private constant VERSION = 3;
    uint16 private constant ECDSA_P256 = 2;
    uint16 private constant PCK_CERTIFICATE = 4;
    bytes16 private constant INTEL_VENDOR = 0x939a7233f79c4ca9940a0db3957f0607;

    // ATTRIBUTES: eight bytes FLAGS, eight bytes XFRM.
    bytes16 private constant INIT = 0x01000000000000000000000000000000;
    bytes16 private constant DEBUG = 0x02000000000000000000000000000000;
    bytes16 private constant LAUNCH_KEYS = 0x30000000000000000000000000000000; // PROVISION_KEY, EINITTOKEN_KEY
    bytes16 private constant RESERVED = 0x08fbffffffffffff0000f0ffffffffff; // of XFRM all above component 19 (APX)
    bytes16 private constant LEGACY_STATE = 0x00000000000000000300000000000000; // x87 and SSE, which every enclave has

    /// @notice Lengths and constants, and the PCK's certificate, which ends where the quote does.
    function certificateOf(bytes calldata quote) internal pure returns (bytes calldata) {
        require(quote.length >= LEAST_BYTES, IEnclaves.WrongQuoteLength(LEAST_BYTES, quote.length));
        require(quote.length <= MAX_BYTES, IEnclaves.WrongQuoteLength(MAX_BYTES, quote.length));
        _checkHeader(quote);
        _checkLength(quote.length - SIGNED_BYTES - 4, bytes4(quote[432:436]));
        uint256 at = AUTH + _uint16(bytes2(quote[AUTH - 2:AUTH])) + CERTIFICATION_BYTES;
        require(at <= quote.length, IEnclaves.WrongQuoteLength(at, quote.length));
        uint16 kind = _uint16(bytes2(quote[at - 6:at - 4]));
        require(kind == PCK_CERTIFICATE, IEnclaves.WrongCertification(PCK_CERTIFICATE, kind));
        _checkLength(quote.length - at, bytes4(quote[at - 4:at]));
        return quote[at:];
    }

    /// @notice What holds of the report of every enclave, at `at`: no reserved bit or byte set, initialised, not debug.
    /// @param isQuoting Whether it is a quoting enclave, which alone may have a key of the platform's.
    function checkReport(bytes calldata quote, uint256 at, bool isQuoting) internal pure {
        bytes16 expected = INIT | LEGACY_STATE;
        bytes16 judged = INIT | DEBUG | RESERVED | LEGACY_STATE;
        if (!isQuoting) judged |= LAUNCH_KEYS;
        bytes16 actual = attributes(quote, at) & judged;
        require(actual == expected, IEnclaves.WrongAttributes(expected, actual));
        bool isClear = bytes12(quote[at + 20:at + 32]) == 0 && bytes32(quote[at + 96:at + 128]) == 0
            && bytes32(quote[at + 160:at + 192]) == 0 && bytes32(quote[at + 262:at + 294]) == 0
            && bytes10(quote[at + 294:at + 304]) == 0;
        require(isClear, IEnclaves.ReservedNotZero(at));
    }

    /// @notice ATTRIBUTES of the report at `at`, as they stand in it.
    function attributes(bytes calldata quote, uint256 at) internal pure returns (bytes16) {
        return bytes16(quote[at + 48:at + 64]);
    }

    /// @notice MISCSELECT of the report at `at`.
    function miscSelect(bytes calldata quote, uint256 at) internal pure returns (uint32) {
        return _uint32(bytes4(quote[at + 16:at + 20]));
    }

    /// @notice MRENCLAVE of the report at `at`.
    function measurement(bytes calldata quote, uint256 at) internal pure returns (bytes32) {
        return bytes32(quote[at + 64:at + 96]);
    }

    /// @notice MRSIGNER of the report at `at`.
    function signer(bytes calldata quote, uint256 at) internal pure returns (bytes32) {
        return bytes32(quote[at + 128:at + 160]);
    }

    /// @notice ISVPRODID and ISVSVN of the report at `at`.
    function version(bytes calldata quote, uint256 at) internal pure returns (uint16 product, uint16 svn) {
        product = _uint16(bytes2(quote[at + 256:at + 258]));
        svn = _uint16(bytes2(quote[at + 258:at + 260]));
    }

    /// @notice The two words at `at`: a public key, a signature, a report's data.
    function pair(bytes calldata quote, uint256 at) internal pure returns (bytes32, bytes32) {
        return (bytes32(quote[at:at + 32]), bytes32(quote[at + 32:at + 64]));
    }

    /// @notice SHA-256 of the report at `at`, which its signature is of.
    function digestOf(bytes calldata quote, uint256 at) internal pure returns (bytes32) {
        return sha256(quote[at:at + REPORT_BYTES]);
    }

    /// @notice What the quoting enclave's report data starts with: SHA-256 of the attestation key and its own data.
    function bindingOf(bytes calldata quote) internal pure returns (bytes32) {
        uint256 length = _uint16(bytes2(quote[AUTH - 2:AUTH]));
        return sha256(bytes.concat(quote[500:564], quote[AUTH:AUTH + length]));
    }

    /// @notice The enclave's REPORT_DATA: signer (20) || SHA-256 of the claims (32) || epoch (8) || `VFL1`.
    function reportData(bytes calldata quote)
        internal
        pure
        returns (address signer_, bytes32 claims, uint64 epoch, bytes4 tag)
    {
        signer_ = address(bytes20(quote[368:388]));
        claims = bytes32(quote[388:420]);
        epoch = uint64(bytes8(quote[420:428]));
        tag = bytes4(quote[428:432]);
    }

    /// @notice What names an enclave: header and body, never the signatures, which are malleable.
    function enclaveOf(bytes calldata quote) internal pure returns (bytes32) {
        return keccak256(quote[:SIGNED_BYTES]);
    }

    function _checkHeader(bytes calldata quote) private pure {
        uint16 version_ = _uint16(bytes2(quote[0:2]));
        require(version_ == VERSION, IEnclaves.WrongVersion(VERSION, version_));
        uint16 keyType = _uint16(bytes2(quote[2:4]));
        require(keyType == ECDSA_P256, IEnclaves.WrongKeyType(ECDSA_P256, keyType));
        require(bytes4(quote[4:8]) == 0, IEnclaves.ReservedNotZero(4));
        bytes16 vendor = bytes16(quote[12:28]);
        require(vendor == INTEL_VENDOR, IEnclaves.WrongVendor(INTEL_VENDOR, vendor));
    }

    function _checkLength(uint256 expected, bytes4 field) private pure {
        uint256 actual = _uint32(field);
        require(actual == expected, IEnclaves.WrongQuoteLength(expected, actual));
    }

    function _uint16(bytes2 value) private pure returns (uint16) {
        return (uint16(uint8(value[1])) << 8) | uint8(value[0]);
    }

    function _uint32(bytes4 value) private pure returns (uint32) {
        return (uint32(_uint16(bytes2(value << 16))) << 16) | _uint16(bytes2(value));
    }
}
