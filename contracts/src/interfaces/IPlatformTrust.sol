// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IEventStream} from "./IEventStream.sol";

/// @notice Who made the hardware that a root vouches for. Simulated: it says nothing about hardware.
enum RootKind {
    None,
    Simulated,
    Intel,
    Aws
}

/// @notice How far a platform's security versions are behind, in Intel's words. There is no Revoked here: it can't be
/// accepted.
enum TcbStatus {
    None,
    UpToDate,
    SWHardeningNeeded,
    ConfigurationNeeded,
    ConfigurationAndSWHardeningNeeded,
    OutOfDate,
    OutOfDateConfigurationNeeded
}

/// @notice What a quoting enclave must be, from the signed QE identity.
struct QeIdentity {
    bytes32 mrsigner;
    uint16 product;
    uint16 svn; // the least that is accepted
    uint32 miscSelect; // as the number that the report's little-endian bytes are
    uint32 miscSelectMask;
    bytes16 attributes; // FLAGS and XFRM as they stand in a report
    bytes16 attributesMask;
}

/// @notice A CA that issues the certificates of platforms (PCKs), under a root.
struct Authority {
    RootKind kind;
    bytes32 root; // SHA-256 of the root's public key X || Y
    bytes certificate; // DER
    bytes rootCertificate; // DER
    QeIdentity qe;
}

/// @notice A set of security versions at which a platform may quote, as the collateral judges it.
struct Tcb {
    bytes32 authority;
    bytes6 fmspc;
    bytes2 pceId;
    bytes16 cpuSvn;
    uint16 pceSvn;
    TcbStatus status;
    uint64 expiry; // the collateral's; seconds since 1970
    bytes32 collateral; // SHA-256 of the collateral's JSON
}

/// @title Which platforms are believed, by vote
/// @notice Members verify collateral (certificates, revocation lists, TCB info, QE identity) off chain and vote on what
/// follows from it; what a quote itself says is checked on chain against these votes.
/// | what | named by |
/// | --- | --- |
/// | authority | SHA-256 of the CA's public key X || Y |
/// | TCB row | keccak256(abi.encode(bytes32 authority, bytes6 fmspc, bytes2 pceId, bytes16 cpuSvn, uint16 pceSvn)) |
/// | certificate | keccak256(abi.encode(bytes32 authority, uint256 serial)) |
interface IPlatformTrust is IEventStream {
    /// @notice Trusted, or trusted as before with a new certificate or another identity of its quoting enclave.
    event AuthorityTrusted(
        bytes32 indexed authority,
        bytes32 indexed root,
        RootKind kind,
        bytes certificate,
        bytes rootCertificate,
        QeIdentity qe
    );
    /// @notice `simulated`, here and below: rests on a simulated root and says nothing about hardware.
    event AuthorityDistrusted(bytes32 indexed authority, bool simulated);
    event TcbAccepted(bytes32 indexed tcb, bytes32 indexed authority, Tcb value, bool simulated);
    event TcbRejected(bytes32 indexed tcb, bool simulated);
    /// @notice For ever, and whether or not the authority is trusted.
    event CertificateRevoked(bytes32 indexed certificate, bytes32 indexed authority, uint256 serial);

    error AuthorityNotTrusted(bytes32 authority);
    /// @notice The certificate's key is not the one that was named, or the root's key is not.
    error WrongAuthorityKey(bytes32 expected, bytes32 actual);
    /// @notice An authority keeps the kind that it was first trusted as.
    error WrongRootKind(RootKind expected, RootKind actual);
    error TcbNotAccepted(bytes32 tcb);
    /// @notice What was accepted for these security versions is from newer collateral.
    error OlderCollateral(uint64 expected, uint64 actual);
    error IsRevoked(bytes32 certificate);
    /// @notice It was good through `expiry`.
    error Expired(uint64 expiry, uint256 actual);

    /// @notice By vote: the quotes of platforms that this CA certified are believed. Certificates are verified here: the
    /// root's is self-signed, it issued the CA's, both are valid now. Replaces what was there, but never the kind.
    function trustAuthority(bytes32 authority, Authority calldata value) external;

    /// @notice By vote: no longer, and the enclaves that rest on it with it.
    function distrustAuthority(bytes32 authority) external;

    /// @notice By vote: platforms at these security versions may register enclaves while the collateral lasts.
    function acceptTcb(bytes32 tcb, Tcb calldata value) external;

    /// @notice By vote: no more registrations. What is registered stays: its measurement, its certificate or the enclave
    /// itself is what to revoke.
    function rejectTcb(bytes32 tcb) external;

    /// @notice By vote and for ever: this platform, and the enclaves that rest on it.
    function revokeCertificate(bytes32 certificate, bytes32 authority, uint256 serial) external;

    /// @notice Reverts exactly where `trustAuthority` would now.
    function checkAuthority(bytes32 authority, Authority calldata value) external view;

    /// @notice The kind stays when trust goes; `expiry` is the last second at which both certificates are valid.
    function authorityRecord(bytes32 authority)
        external
        view
        returns (RootKind kind, bool trusted, bytes32 root, uint64 expiry);

    /// @notice All zero where the row is not accepted.
    function tcbRecord(bytes32 tcb)
        external
        view
        returns (TcbStatus status, uint64 expiry, bytes32 collateral, bytes32 authority);

    function isCertificateRevoked(bytes32 certificate) external view returns (bool);
}
