// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICertificates} from "../interfaces/ICertificates.sol";
import {Der} from "./Der.sol";

/// @notice Which platforms a key belongs to, and at which security versions.
struct PckVersions {
    bytes6 fmspc;
    bytes2 pceId;
    bytes16 cpuSvn;
    uint16 pceSvn;
}

/// @title Intel's extension of a PCK certificate
/// @notice Twin: protocol/attestation/pck.py. Five fields in a leaf of the Processor CA, seven in one of the Platform
/// CA, each once, in any order.
library Pck {
    // Object identifiers up to their last number, tag and length included, to the right of a word:
    // 1.2.840.113741.1.13.1.x, .1.2.x and .1.7.x.
    uint256 private constant FIELD = 0x060a2a864886f84d010d01;
    uint256 private constant TCB_FIELD = 0x060b2a864886f84d010d0102;
    uint256 private constant CONFIGURATION_FIELD = 0x060b2a864886f84d010d0107;

    // What a security version below 128 starts with in the TCB: its SEQUENCE of 16 bytes and the identifier.
    uint256 private constant SMALL_TCB_FIELD = 0x3010060b2a864886f84d010d0102;
    uint256 private constant SMALL_INTEGER = 0x0201; // tag and length of it

    uint256 private constant PPID = 1;
    uint256 private constant TCB = 2;
    uint256 private constant PCE_ID = 3;
    uint256 private constant FMSPC = 4;
    uint256 private constant SGX_TYPE = 5;
    uint256 private constant INSTANCE = 6;
    uint256 private constant PCE_SVN = 17;
    uint256 private constant CPU_SVN = 18;

    // Bit i: field i.
    uint256 private constant PROCESSOR_FIELDS = 0x3e;
    uint256 private constant PLATFORM_FIELDS = 0xfe;
    uint256 private constant TCB_FIELDS = 0x7fffe;
    uint256 private constant CONFIGURATION_FIELDS = 0x0e;

    uint256 private constant LAST_SGX_TYPE = 2; // scalable with integrity

    /// @param at Where the extension's content starts in `der`.
    /// @param end Where it ends.
    function parse(bytes calldata der, uint256 at, uint256 end) internal pure returns (PckVersions memory found) {
        (at, end) = Der.only(der, at, end, Der.SEQUENCE);
        uint256 seen = 0;
        while (at < end) {
            uint256 field;
            uint256 to;
            (field, seen, at, to) = _openField(der, at, end, FIELD, seen);
            if (field == TCB) _parseTcb(der, at, to, found);
            else if (field == PCE_ID) found.pceId = bytes2(_octets(der, at, to, 2));
            else if (field == FMSPC) found.fmspc = bytes6(_octets(der, at, to, 6));
            else if (field == PPID || field == INSTANCE) _octets(der, at, to, 16);
            else if (field == SGX_TYPE) _number(der, at, to, Der.ENUMERATED, LAST_SGX_TYPE);
            else _parseConfiguration(der, at, to); // 7: others are not among the bits
            at = to;
        }
        bool isComplete = seen == PROCESSOR_FIELDS || seen == PLATFORM_FIELDS;
        require(isComplete, ICertificates.WrongFields(PLATFORM_FIELDS, seen));
    }

    /// @dev CPUSVN is the same sixteen numbers once more; a certificate that contradicts itself is no evidence.
    function _parseTcb(bytes calldata der, uint256 at, uint256 end, PckVersions memory found) private pure {
        (at, end) = Der.only(der, at, end, Der.SEQUENCE);
        uint256 seen = 0;
        uint256 components = 0; // the first is the most significant of sixteen bytes, as in CPUSVN
        while (at < end) {
            (uint256 field, uint256 small, uint256 to) = _readSmall(der, at, end);
            if (field != 0) {
                seen = _mark(seen, field, at);
                if (field == PCE_SVN) found.pceSvn = uint16(small);
                else components |= small << (128 - 8 * field);
                at = to;
                continue;
            }
            (field, seen, at, to) = _openField(der, at, end, TCB_FIELD, seen);
            if (field == CPU_SVN) found.cpuSvn = bytes16(_octets(der, at, to, 16));
            else if (field == PCE_SVN) found.pceSvn = uint16(_number(der, at, to, Der.INTEGER, type(uint16).max));
            else components |= _number(der, at, to, Der.INTEGER, type(uint8).max) << (128 - 8 * field);
            at = to;
        }
        require(seen == TCB_FIELDS, ICertificates.WrongFields(TCB_FIELDS, seen));
        if (bytes16(uint128(components)) == found.cpuSvn) return;
        for (uint256 i = 0; i < 16; ++i) {
            uint256 component = uint8(components >> (8 * (15 - i)));
            uint256 svn = uint8(found.cpuSvn[i]);
            require(component == svn, ICertificates.WrongComponent(i + 1, svn, component));
        }
    }

    function _parseConfiguration(bytes calldata der, uint256 at, uint256 end) private pure {
        (at, end) = Der.only(der, at, end, Der.SEQUENCE);
        uint256 seen = 0;
        while (at < end) {
            uint256 to;
            (, seen, at, to) = _openField(der, at, end, CONFIGURATION_FIELD, seen);
            (, at) = Der.boolean(der, at, to);
            Der.nothing(at, to);
        }
        require(seen == CONFIGURATION_FIELDS, ICertificates.WrongFields(CONFIGURATION_FIELDS, seen));
    }

    /// @notice One pair of object identifier and value: its number, all seen so far, and where the value is.
    /// @param kind The identifier up to its last number, which is below 0x80 and so one byte.
    /// @dev Unchecked: `from` is at most the bytes' length.
    function _openField(bytes calldata der, uint256 at, uint256 end, uint256 kind, uint256 seen)
        private
        pure
        returns (uint256 field, uint256 all, uint256 from, uint256 to)
    {
        unchecked {
            uint256 word;
            (from, to, word) = Der.read(der, at, end, Der.SEQUENCE);
            (uint256 fields, uint256 length) = (PLATFORM_FIELDS, 12);
            if (kind != FIELD) (fields, length) = (kind == TCB_FIELD ? TCB_FIELDS : CONFIGURATION_FIELDS, 13);
            word >>= 256 - 8 * length;
            from += length;
            field = uint8(word);
            bool isKnown = from <= to && word >> 8 == kind && (fields >> field) & 1 == 1;
            require(isKnown, ICertificates.UnknownField(at));
            all = _mark(seen, field, at);
        }
    }

    /// @notice A security version below 128, all of whose bytes fit one word: nearly all of them, and in one reading.
    /// @return field 0 for anything else, which is then read piece by piece.
    /// @dev Unchecked: `at` is at most the bytes' length.
    function _readSmall(bytes calldata der, uint256 at, uint256 end)
        private
        pure
        returns (uint256 field, uint256 value, uint256 to)
    {
        unchecked {
            uint256 word = uint256(bytes32(der[at:]));
            (field, value, to) = (uint8(word >> 136), uint8(word >> 112), at + 18);
            bool isSmall = word >> 144 == SMALL_TCB_FIELD && uint16(word >> 120) == SMALL_INTEGER && value < 0x80
                && to <= end && field <= PCE_SVN;
            if (!isSmall) field = 0;
        }
    }

    function _mark(uint256 seen, uint256 field, uint256 at) private pure returns (uint256) {
        require((seen >> field) & 1 == 0, ICertificates.DuplicateField(at));
        return seen | (1 << field);
    }

    function _octets(bytes calldata der, uint256 at, uint256 end, uint256 length) private pure returns (bytes32) {
        (uint256 from, uint256 to, uint256 head) = Der.read(der, at, end, Der.OCTET_STRING);
        Der.nothing(to, end);
        require(to - from == length, ICertificates.WrongFieldLength(at, length, to - from));
        return bytes32(head); // the callers keep `length` bytes of it
    }

    function _number(bytes calldata der, uint256 at, uint256 end, uint256 tag, uint256 most)
        private
        pure
        returns (uint256 value)
    {
        uint256 to;
        (value, to) = Der.number(der, at, end, tag);
        Der.nothing(to, end);
        require(value <= most, ICertificates.WrongDerValue(at));
    }
}
