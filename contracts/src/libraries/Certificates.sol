// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICertificates} from "../interfaces/ICertificates.sol";
import {Der} from "./Der.sol";
import {Signatures} from "./Signatures.sol";

/// @notice What one certificate says.
struct Certificate {
    bytes32 digest; // SHA-256 of the signed part
    bytes32 r;
    bytes32 s;
    uint256 serial;
    bytes32 issuer; // keccak256 of the Name, DER
    bytes32 subject; // likewise
    uint64 notBefore; // the first second of it
    uint64 notAfter; // the last second of it
    bytes32 x;
    bytes32 y;
    bytes32 authorityKeyId; // keccak256 of the identifier
    bytes32 subjectKeyId; // likewise
    bool isAuthority;
    uint256 pathLength; // NO_LIMIT without one
    uint256 usage; // bit 0 of the string as 2^15
    uint256 sgxFrom; // where the content of Intel's extension is; both 0 without one
    uint256 sgxTo;
}

/// @title X.509 certificates of a platform's chain: strict, P-256 with SHA-256, version 3
/// @notice Twins: protocol/attestation/certificates.py and chain.py.
library Certificates {
    /// @notice Genuine ones have 500 to 1,300 bytes.
    uint256 internal constant MAX_BYTES = 4096;
    uint256 internal constant MAX_EXTENSIONS = 16;
    uint256 internal constant NO_LIMIT = type(uint256).max;

    // AlgorithmIdentifier of ecdsa-with-SHA256, and SubjectPublicKeyInfo of an uncompressed point up to X || Y.
    bytes12 private constant ECDSA_WITH_SHA256 = 0x300a06082a8648ce3d040302;
    bytes27 private constant KEY_PREFIX = 0x3059301306072a8648ce3d020106082a8648ce3d03010703420004;
    bytes5 private constant VERSION_3 = 0xa003020102;

    uint256 private constant EXPLICIT_EXTENSIONS = 0xa3;
    uint256 private constant KEY_ID = 0x80;

    // Object identifiers as Der.oid gives them: bytes to the left, length to the right.
    uint256 private constant COMMON_NAME = (0x550403 << 232) | 3;
    uint256 private constant ORGANISATION = (0x55040a << 232) | 3;
    uint256 private constant AUTHORITY_KEY_ID = (0x551d23 << 232) | 3;
    uint256 private constant SUBJECT_KEY_ID = (0x551d0e << 232) | 3;
    uint256 private constant BASIC_CONSTRAINTS = (0x551d13 << 232) | 3;
    uint256 private constant KEY_USAGE = (0x551d0f << 232) | 3;
    uint256 private constant SGX = (0x2a864886f84d010d01 << 184) | 9;

    uint256 private constant DIGITAL_SIGNATURE = 1 << 15;
    uint256 private constant CERTIFICATE_SIGN = 1 << 10;
    uint256 private constant CRL_SIGN = 1 << 9;

    /// @notice The certificate that `der` is, all of it.
    function parse(bytes calldata der) internal pure returns (Certificate memory found) {
        require(der.length <= MAX_BYTES, ICertificates.WrongCertificateLength(MAX_BYTES, der.length));
        (uint256 at, uint256 end) = Der.only(der, 0, der.length, Der.SEQUENCE);
        (uint256 from, uint256 to) = Der.open(der, at, end, Der.SEQUENCE);
        found.digest = sha256(der[at:to]);
        _parseSigned(der, from, to, found);
        at = _skipAlgorithm(der, to, end);
        (at, end) = Der.only(der, at, end, Der.BIT_STRING);
        require(at < end && der[at] == 0, ICertificates.WrongDerValue(at)); // whole bytes
        (found.r, found.s) = parseSignature(der, at + 1, end);
    }

    /// @notice SEQUENCE {INTEGER r, INTEGER s}, all between `at` and `end`; their range is for who verifies.
    function parseSignature(bytes calldata der, uint256 at, uint256 end) internal pure returns (bytes32, bytes32) {
        uint256 r;
        uint256 s;
        (at, end) = Der.only(der, at, end, Der.SEQUENCE);
        (r, at) = Der.number(der, at, end, Der.INTEGER);
        (s, at) = Der.number(der, at, end, Der.INTEGER);
        Der.nothing(at, end);
        return (bytes32(r), bytes32(s));
    }

    /// @notice Valid now, both ends included.
    function checkValid(Certificate memory certificate) internal view {
        require(
            block.timestamp >= certificate.notBefore && block.timestamp <= certificate.notAfter,
            ICertificates.NotValid(certificate.notBefore, certificate.notAfter, block.timestamp)
        );
    }

    /// @notice A CA with exactly the reach that genuine ones have: the root signs CAs, a CA signs leaves.
    function checkAuthority(Certificate memory certificate, uint256 pathLength) internal pure {
        require(
            certificate.isAuthority && certificate.pathLength == pathLength,
            ICertificates.WrongConstraints(certificate.isAuthority, certificate.pathLength)
        );
        uint256 usage = certificate.usage & (DIGITAL_SIGNATURE | CERTIFICATE_SIGN | CRL_SIGN);
        require(usage == CERTIFICATE_SIGN | CRL_SIGN, ICertificates.WrongKeyUsage(certificate.usage));
    }

    /// @notice A key that signs data and can't issue anything.
    function checkLeaf(Certificate memory certificate) internal pure {
        require(
            !certificate.isAuthority, ICertificates.WrongConstraints(certificate.isAuthority, certificate.pathLength)
        );
        uint256 usage = certificate.usage & (DIGITAL_SIGNATURE | CERTIFICATE_SIGN | CRL_SIGN);
        require(usage == DIGITAL_SIGNATURE, ICertificates.WrongKeyUsage(certificate.usage));
    }

    /// @notice Names, key identifiers and signature, all three: an identifier never stands for a signature.
    function checkIssued(
        Certificate memory certificate,
        bytes32 subject,
        bytes32 subjectKeyId,
        bytes32 x,
        bytes32 y,
        ICertificates.Signed what
    ) internal view {
        require(certificate.issuer == subject, ICertificates.WrongIssuer(subject, certificate.issuer));
        require(
            certificate.authorityKeyId == subjectKeyId,
            ICertificates.WrongKeyId(subjectKeyId, certificate.authorityKeyId)
        );
        require(
            Signatures.isSigned(certificate.digest, certificate.r, certificate.s, x, y),
            ICertificates.WrongSignature(what)
        );
    }

    function _parseSigned(bytes calldata der, uint256 at, uint256 end, Certificate memory found) private pure {
        require(bytes5(der[at:]) == VERSION_3, ICertificates.WrongCertificateVersion(at));
        (found.serial, at) = Der.number(der, at + 5, end, Der.INTEGER);
        require(found.serial != 0 && found.serial >> 160 == 0, ICertificates.WrongSerial(found.serial));
        at = _skipAlgorithm(der, at, end);
        (found.issuer, at) = _hashName(der, at, end); // the issuer's own certificate has it as its subject
        at = _parseValidity(der, at, end, found);
        uint256 start = at;
        (found.subject, at) = _hashName(der, at, end);
        _checkName(der, start, end);
        at = _parseKey(der, at, end, found);
        (at, end) = Der.only(der, at, end, EXPLICIT_EXTENSIONS);
        (at, end) = Der.only(der, at, end, Der.SEQUENCE);
        _parseExtensions(der, at, end, found);
    }

    function _skipAlgorithm(bytes calldata der, uint256 at, uint256 end) private pure returns (uint256) {
        require(at + 12 <= end && bytes12(der[at:]) == ECDSA_WITH_SHA256, ICertificates.WrongAlgorithm(at));
        return at + 12;
    }

    function _hashName(bytes calldata der, uint256 at, uint256 end) private pure returns (bytes32 hash, uint256 next) {
        (, next) = Der.open(der, at, end, Der.SEQUENCE);
        hash = keccak256(der[at:next]);
    }

    /// @dev Sets of pairs of kind and text. One kind twice would let two readers see two names.
    function _checkName(bytes calldata der, uint256 start, uint256 end) private pure {
        (uint256 at, uint256 next) = Der.open(der, start, end, Der.SEQUENCE);
        require(at < next, ICertificates.WrongName(start));
        uint256 seen = 0;
        while (at < next) {
            (uint256 from, uint256 to) = Der.open(der, at, next, Der.SET);
            while (from < to) {
                uint256 kind;
                (kind, from) = _parsePart(der, from, to);
                uint256 mark = kind == COMMON_NAME ? 1 : kind == ORGANISATION ? 2 : 0;
                require(seen & mark == 0, ICertificates.WrongName(start));
                seen |= mark;
            }
            at = to;
        }
    }

    function _parsePart(bytes calldata der, uint256 at, uint256 end) private pure returns (uint256 kind, uint256 next) {
        (at, next) = Der.open(der, at, end, Der.SEQUENCE);
        (kind, at) = Der.oid(der, at, next);
        uint256 tag = Der.tagAt(der, at, next);
        bool isText = tag == Der.UTF8_STRING || tag == Der.PRINTABLE_STRING || tag == Der.IA5_STRING;
        require(isText, ICertificates.WrongDerTag(at, Der.UTF8_STRING, tag));
        Der.only(der, at, next, tag);
    }

    function _parseValidity(bytes calldata der, uint256 at, uint256 end, Certificate memory found)
        private
        pure
        returns (uint256 next)
    {
        (at, next) = Der.open(der, at, end, Der.SEQUENCE);
        (found.notBefore, at) = Der.time(der, at, next);
        (found.notAfter, at) = Der.time(der, at, next);
        Der.nothing(at, next);
    }

    function _parseKey(bytes calldata der, uint256 at, uint256 end, Certificate memory found)
        private
        pure
        returns (uint256)
    {
        require(at + 91 <= end && bytes27(der[at:]) == KEY_PREFIX, ICertificates.WrongPublicKey(at));
        found.x = bytes32(der[at + 27:]);
        found.y = bytes32(der[at + 59:]);
        return at + 91;
    }

    function _parseExtensions(bytes calldata der, uint256 at, uint256 end, Certificate memory found) private pure {
        uint256[] memory kinds = new uint256[](MAX_EXTENSIONS);
        uint256 count = 0;
        uint256 seen = 0;
        while (at < end) {
            require(count < MAX_EXTENSIONS, ICertificates.TooManyExtensions(MAX_EXTENSIONS));
            (uint256 from, uint256 to) = Der.open(der, at, end, Der.SEQUENCE);
            (kinds[count], from) = Der.oid(der, from, to);
            for (uint256 i = 0; i < count; ++i) {
                require(kinds[i] != kinds[count], ICertificates.DuplicateExtension(at));
            }
            bool isCritical = false;
            if (Der.tagAt(der, from, to) == Der.BOOLEAN) {
                (isCritical, from) = Der.boolean(der, from, to);
                require(isCritical, ICertificates.WrongDerValue(from)); // false is what it is without the mark
            }
            (from, to) = Der.only(der, from, to, Der.OCTET_STRING);
            seen |= _parseExtension(der, at, from, to, kinds[count], isCritical, found);
            at = to;
            ++count;
        }
        for (uint256 i = 0; i < 4; ++i) {
            require((seen >> i) & 1 == 1, ICertificates.MissingExtension(ICertificates.Extension(i)));
        }
    }

    /// @return The bit of the extension, 0 for one that is not looked at.
    function _parseExtension(
        bytes calldata der,
        uint256 start,
        uint256 at,
        uint256 end,
        uint256 kind,
        bool isCritical,
        Certificate memory found
    ) private pure returns (uint256) {
        if (kind == AUTHORITY_KEY_ID) {
            (at, end) = Der.only(der, at, end, Der.SEQUENCE);
            found.authorityKeyId = _parseKeyId(der, at, end, KEY_ID, ICertificates.Extension.AuthorityKeyId);
            return _bitOf(ICertificates.Extension.AuthorityKeyId, isCritical, false);
        }
        if (kind == SUBJECT_KEY_ID) {
            found.subjectKeyId = _parseKeyId(der, at, end, Der.OCTET_STRING, ICertificates.Extension.SubjectKeyId);
            return _bitOf(ICertificates.Extension.SubjectKeyId, isCritical, false);
        }
        if (kind == BASIC_CONSTRAINTS) {
            _parseConstraints(der, at, end, found);
            return _bitOf(ICertificates.Extension.BasicConstraints, isCritical, true);
        }
        if (kind == KEY_USAGE) {
            (found.usage, at) = Der.flags(der, at, end);
            Der.nothing(at, end);
            return _bitOf(ICertificates.Extension.KeyUsage, isCritical, true);
        }
        if (kind == SGX) {
            (found.sgxFrom, found.sgxTo) = (at, end);
            return 0;
        }
        require(!isCritical, ICertificates.UnknownCriticalExtension(start));
        return 0;
    }

    function _parseKeyId(bytes calldata der, uint256 at, uint256 end, uint256 tag, ICertificates.Extension extension)
        private
        pure
        returns (bytes32)
    {
        (at, end) = Der.only(der, at, end, tag);
        require(at < end, ICertificates.EmptyKeyId(extension));
        return keccak256(der[at:end]);
    }

    function _parseConstraints(bytes calldata der, uint256 at, uint256 end, Certificate memory found) private pure {
        (at, end) = Der.only(der, at, end, Der.SEQUENCE);
        found.pathLength = NO_LIMIT;
        if (at == end) return;
        (found.isAuthority, at) = Der.boolean(der, at, end);
        require(found.isAuthority, ICertificates.WrongDerValue(at)); // false is what it is without the mark
        if (at == end) return;
        (found.pathLength, at) = Der.number(der, at, end, Der.INTEGER);
        Der.nothing(at, end);
    }

    function _bitOf(ICertificates.Extension extension, bool isCritical, bool expected) private pure returns (uint256) {
        require(isCritical == expected, ICertificates.WrongCriticality(extension));
        return 1 << uint256(extension);
    }
}
