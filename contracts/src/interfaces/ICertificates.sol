// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title How a certificate can be refused
/// @notice `at` is an offset in the certificate's DER.
interface ICertificates {
    /// @notice Extensions that are looked at.
    enum Extension {
        AuthorityKeyId,
        SubjectKeyId,
        BasicConstraints,
        KeyUsage,
        Sgx
    }

    /// @notice What is signed with ECDSA on P-256.
    enum Signed {
        RootCertificate,
        AuthorityCertificate,
        PlatformCertificate,
        QeReport,
        Quote
    }

    /// @notice An element ends behind the end of what holds it.
    error DerTooShort(uint256 end, uint256 actual);
    error WrongDerTag(uint256 at, uint256 expected, uint256 actual);
    /// @notice A length that is not in as few bytes as it takes, or indefinite, or larger than anything here.
    error WrongDerLength(uint256 at);
    /// @notice Bytes behind the last element.
    error DerBytesLeft(uint256 expected, uint256 actual);
    /// @notice A value that is not in its one form, or is out of its range.
    error WrongDerValue(uint256 at);

    error WrongCertificateLength(uint256 limit, uint256 actual);
    error WrongCertificateVersion(uint256 at);
    /// @notice Another algorithm than ECDSA with SHA-256.
    error WrongAlgorithm(uint256 at);
    /// @notice Another key than an uncompressed point on P-256.
    error WrongPublicKey(uint256 at);
    /// @notice Zero, negative, or more than 20 bytes.
    error WrongSerial(uint256 actual);
    /// @notice A name without parts, or with one part twice.
    error WrongName(uint256 at);
    error DuplicateExtension(uint256 at);
    error TooManyExtensions(uint256 limit);
    error UnknownCriticalExtension(uint256 at);
    /// @notice Critical where it must not be, or not where it must.
    error WrongCriticality(Extension extension);
    error MissingExtension(Extension extension);
    error EmptyKeyId(Extension extension);
    error WrongConstraints(bool isAuthority, uint256 pathLength);
    error WrongKeyUsage(uint256 actual);
    error NotValid(uint64 notBefore, uint64 notAfter, uint256 actual);
    /// @notice Hashes of the names: the issuer's, and the one that the certificate gives.
    error WrongIssuer(bytes32 expected, bytes32 actual);
    /// @notice Hashes of the key identifiers: the issuer's, and the one that the certificate gives.
    error WrongKeyId(bytes32 expected, bytes32 actual);
    error WrongSignature(Signed what);

    /// @notice In Intel's extension: another field than the known ones.
    error UnknownField(uint256 at);
    error DuplicateField(uint256 at);
    /// @notice Bit i: field i.
    error WrongFields(uint256 expected, uint256 actual);
    error WrongFieldLength(uint256 at, uint256 expected, uint256 actual);
    /// @notice The security version of a part is not the one in CPUSVN.
    error WrongComponent(uint256 index, uint256 expected, uint256 actual);
}
