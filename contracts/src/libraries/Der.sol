// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICertificates} from "../interfaces/ICertificates.sol";

/// @title Strict DER: each value has one encoding, and only that one is read
/// @notice Twin: protocol/attestation/der.py. Elements are read in place: every function takes the bytes, where an
/// element starts and where the one that holds it ends, which the caller has from here or from the bytes' length.
library Der {
    uint256 internal constant BOOLEAN = 0x01;
    uint256 internal constant INTEGER = 0x02;
    uint256 internal constant BIT_STRING = 0x03;
    uint256 internal constant OCTET_STRING = 0x04;
    uint256 internal constant OID = 0x06;
    uint256 internal constant ENUMERATED = 0x0a;
    uint256 internal constant UTF8_STRING = 0x0c;
    uint256 internal constant PRINTABLE_STRING = 0x13;
    uint256 internal constant IA5_STRING = 0x16;
    uint256 internal constant UTC_TIME = 0x17;
    uint256 internal constant GENERALIZED_TIME = 0x18;
    uint256 internal constant SEQUENCE = 0x30;
    uint256 internal constant SET = 0x31;

    uint256 private constant ZULU = 0x5a; // the letter Z
    uint256 private constant HIGH_BITS = type(uint256).max / 255 * 0x80;
    uint256 private constant LOW_BITS = type(uint256).max / 255 * 0x7f;

    /// @notice So many bytes of the content come with where it is.
    uint256 internal constant HEAD_BYTES = 28;
    /// @notice An object identifier is no longer than this.
    uint256 internal constant MAX_OID_BYTES = HEAD_BYTES;

    /// @notice Where the content of the element at `at` starts and ends.
    function open(bytes calldata data, uint256 at, uint256 end, uint256 tag)
        internal
        pure
        returns (uint256 from, uint256 to)
    {
        (from, to,) = read(data, at, end, tag);
    }

    /// @notice The same, and the first HEAD_BYTES of the content to the left of a word, others behind a shorter one.
    /// @dev Unchecked: `at` and `end` are at most the bytes' length and a length read here is below 2^16, so no sum
    /// overflows. Where `at` is too near to `end`, so is `to`.
    function read(bytes calldata data, uint256 at, uint256 end, uint256 tag)
        internal
        pure
        returns (uint256 from, uint256 to, uint256 head)
    {
        unchecked {
            uint256 word = uint256(bytes32(data[at:])); // zeros behind the bytes
            (from, to, head) = (at + 2, uint8(word >> 240), word << 16);
            if (to >= 0x80) (from, to, head) = _readLong(at, word);
            to += from;
            if (word >> 248 == tag && to <= end) return (from, to, head);
            require(at + 2 <= end, ICertificates.DerTooShort(at + 2, end));
            require(word >> 248 == tag, ICertificates.WrongDerTag(at, tag, word >> 248));
            revert ICertificates.DerTooShort(to, end);
        }
    }

    /// @notice The content of the one element between `at` and `end`.
    function only(bytes calldata data, uint256 at, uint256 end, uint256 tag)
        internal
        pure
        returns (uint256 from, uint256 to)
    {
        (from, to) = open(data, at, end, tag);
        nothing(to, end);
    }

    /// @dev Lengths of one or two digits, as few as it takes; more than 2^16 bytes are nothing that is read here.
    /// Unchecked: `at` is at most the bytes' length.
    function _readLong(uint256 at, uint256 word) private pure returns (uint256 from, uint256 length, uint256 head) {
        unchecked {
            uint256 digits = uint8(word >> 240) & 0x7f;
            if (digits == 1) (from, length, head) = (at + 3, uint8(word >> 232), word << 24);
            else (from, length, head) = (at + 4, uint16(word >> 224), word << 32);
            bool isShortest = digits == 1 ? length >= 0x80 : digits == 2 && length >= 0x100;
            require(isShortest, ICertificates.WrongDerLength(at));
        }
    }

    /// @notice Nothing is left between `at` and `end`.
    function nothing(uint256 at, uint256 end) internal pure {
        require(at == end, ICertificates.DerBytesLeft(at, end));
    }

    /// @notice The tag of the element at `at`; 0, which no element has, where there is none.
    function tagAt(bytes calldata data, uint256 at, uint256 end) internal pure returns (uint256) {
        return at < end ? uint8(data[at]) : 0;
    }

    /// @notice The number that an INTEGER or ENUMERATED (`tag`) at `at` is, not negative and below 2^256; and the end.
    /// @dev Unchecked: `length` is 1 to 33 where it is computed with, `to` is at most the bytes' length.
    function number(bytes calldata data, uint256 at, uint256 end, uint256 tag)
        internal
        pure
        returns (uint256 value, uint256 to)
    {
        unchecked {
            uint256 from;
            uint256 word;
            (from, to, word) = read(data, at, end, tag);
            uint256 length = to - from;
            require(length != 0 && length <= 33, ICertificates.WrongDerValue(at));
            if (length > HEAD_BYTES) word = uint256(bytes32(data[from:]));
            bool isFine = word >> 255 == 0; // else negative
            if (word >> 248 == 0 && length > 1) {
                // The zero that keeps the next byte from being a sign: needless where that byte is small.
                word = length > HEAD_BYTES ? uint256(bytes32(data[from + 1:])) : word << 8;
                isFine = word >> 255 == 1;
                --length;
            }
            require(isFine && length <= 32, ICertificates.WrongDerValue(at));
            value = word >> (256 - 8 * length);
        }
    }

    /// @notice Whether the BOOLEAN at `at` is true; and its end.
    function boolean(bytes calldata data, uint256 at, uint256 end) internal pure returns (bool value, uint256 to) {
        uint256 from;
        uint256 word;
        (from, to, word) = read(data, at, end, BOOLEAN);
        word >>= 248;
        require(to - from == 1 && (word == 0 || word == 0xff), ICertificates.WrongDerValue(at));
        value = word != 0;
    }

    /// @notice The object identifier at `at`: its bytes, zeros, and in the last byte their number; and its end.
    /// @dev Its one form: the last byte is below 0x80, and no 0x80 (a needless zero) stands first or behind such a
    /// byte. All bytes at once. Unchecked: `length` is 1 to 28, and each byte of the sum is at most 0x7f + 0x7f.
    function oid(bytes calldata data, uint256 at, uint256 end) internal pure returns (uint256 word, uint256 to) {
        unchecked {
            uint256 from;
            (from, to, word) = read(data, at, end, OID);
            uint256 length = to - from;
            require(length != 0 && length <= MAX_OID_BYTES, ICertificates.WrongDerValue(at));
            uint256 unused = 256 - 8 * length;
            word = (word >> unused) << unused;
            uint256 flipped = word ^ HIGH_BITS;
            uint256 padding = ~(((flipped & LOW_BITS) + LOW_BITS) | flipped) & HIGH_BITS; // where a byte is 0x80
            bool isFine = (word >> unused) & 0x80 == 0 && padding & ~(word >> 8) == 0;
            require(isFine, ICertificates.WrongDerValue(at));
            word |= length;
        }
    }

    /// @notice The set bits of a BIT STRING of at most 16 named flags, bit 0 of the string as 2^15; and its end.
    function flags(bytes calldata data, uint256 at, uint256 end) internal pure returns (uint256 value, uint256 to) {
        uint256 from;
        uint256 word;
        (from, to, word) = read(data, at, end, BIT_STRING);
        require(to - from == 2 || to - from == 3, ICertificates.WrongDerValue(at));
        value = uint16(word >> 232);
        uint256 last = to - from == 2 ? value >> 8 : value; // its low byte is the string's last
        value = to - from == 2 ? last << 8 : value;
        uint256 unused = word >> 248;
        // As many unused bits as are zero at the end: the last that counts is set.
        bool isShortest = unused < 8 && uint8(last) & (2 ** (unused + 1) - 1) == 2 ** unused;
        require(isShortest, ICertificates.WrongDerValue(at));
    }

    /// @notice Seconds since 1970 of the time at `at`, 0 for what is earlier; and its end.
    /// @dev UTCTime YYMMDDhhmmssZ for 1950 to 2049, GeneralizedTime YYYYMMDDhhmmssZ from 2050 on (RFC 5280, 4.1.2.5).
    function time(bytes calldata data, uint256 at, uint256 end) internal pure returns (uint64 value, uint256 to) {
        bool isLate = tagAt(data, at, end) == GENERALIZED_TIME;
        uint256 from;
        uint256 word;
        (from, to, word) = read(data, at, end, isLate ? GENERALIZED_TIME : UTC_TIME);
        require(to - from == (isLate ? 15 : 13), ICertificates.WrongDerValue(at));
        if (!isLate) word >>= 16; // both forms end with the fifteenth byte
        uint256 year = _pairAt(at, word, 2);
        if (isLate) {
            year += 100 * _pairAt(at, word, 0);
            require(year >= 2050, ICertificates.WrongDerValue(at));
        } else {
            year += year >= 50 ? 1900 : 2000;
        }
        require(uint8(word >> 136) == ZULU, ICertificates.WrongDerValue(at));
        uint256 day = _dayOf(at, year, _pairAt(at, word, 4), _pairAt(at, word, 6));
        (uint256 hour, uint256 minute, uint256 second) =
            (_pairAt(at, word, 8), _pairAt(at, word, 10), _pairAt(at, word, 12));
        require(hour < 24 && minute < 60 && second < 60, ICertificates.WrongDerValue(at));
        // Below 2^38: years have four digits.
        value = year < 1970 ? 0 : uint64(86_400 * day + 3600 * hour + 60 * minute + second);
    }

    /// @dev Two decimal digits: byte `index` of the word and the next.
    function _pairAt(uint256 at, uint256 word, uint256 index) private pure returns (uint256) {
        (uint256 high, uint256 low) = (uint8(word >> (248 - 8 * index)), uint8(word >> (240 - 8 * index)));
        bool isDecimal = high >= 0x30 && high <= 0x39 && low >= 0x30 && low <= 0x39;
        require(isDecimal, ICertificates.WrongDerValue(at));
        return 10 * (high - 0x30) + low - 0x30;
    }

    /// @dev Days since 1970, of dates that exist; 0 for earlier ones. Years are counted from March, so that the day
    /// that leap years add is the last.
    function _dayOf(uint256 at, uint256 year, uint256 month, uint256 day) private pure returns (uint256) {
        require(month >= 1 && month <= 12 && day >= 1, ICertificates.WrongDerValue(at));
        uint256 length = month == 2 ? 28 : 30 + (month + month / 8) % 2;
        if (month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)) length = 29;
        require(day <= length, ICertificates.WrongDerValue(at));
        (uint256 y, uint256 m) = month > 2 ? (year, month - 3) : (year - 1, month + 9);
        uint256 days_ = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1;
        return days_ < 719_468 ? 0 : days_ - 719_468; // of 1 January 1970
    }
}
