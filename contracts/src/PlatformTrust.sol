// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {EventStream} from "./EventStream.sol";
import {ICertificates} from "./interfaces/ICertificates.sol";
import {Authority, IPlatformTrust, RootKind, Tcb, TcbStatus} from "./interfaces/IPlatformTrust.sol";
import {Certificate, Certificates} from "./libraries/Certificates.sol";

/// @title What the consortium believes of platforms
abstract contract PlatformTrust is IPlatformTrust, EventStream {
    /// @dev The first slot is all that a round reads. Hashes of the name and of the key identifier, keccak256.
    struct Issuer {
        RootKind kind; // for ever
        bool isTrusted;
        uint32 revocations; // of its certificates, so far: no vote in a second, no 2^32 of them
        uint40 expiry; // of its certificate or the root's, the earlier
        uint16 product;
        uint16 svn;
        uint32 miscSelect;
        uint32 miscSelectMask;
        bytes32 id;
        bytes32 root;
        bytes32 x;
        bytes32 y;
        bytes32 subject;
        bytes32 subjectKeyId;
        bytes32 mrsigner;
        bytes16 attributes;
        bytes16 attributesMask;
    }

    struct Row {
        TcbStatus status;
        uint64 expiry;
        uint16 issuer;
        bytes32 collateral;
    }

    // As genuine ones: the root signs CAs, a CA signs leaves.
    uint256 private constant ROOT_PATH_LENGTH = 1;
    uint256 private constant AUTHORITY_PATH_LENGTH = 0;

    address internal immutable _consortium;

    uint256 private _issuerCount;
    mapping(bytes32 authority => uint16 issuer) private _issuerOf; // from 1, by when a vote first named them
    mapping(uint16 issuer => Issuer) internal _issuers;
    mapping(bytes32 tcb => Row) internal _rows;
    mapping(bytes32 certificate => bool) internal _isRevoked;

    constructor(address consortium_) {
        _consortium = consortium_;
    }

    modifier onlyConsortium() {
        require(msg.sender == _consortium, WrongCaller(_consortium, msg.sender));
        _;
    }

    /// @inheritdoc IPlatformTrust
    function trustAuthority(bytes32 authority, Authority calldata value) external onlyConsortium {
        (Certificate memory root, Certificate memory certificate) = _checkAuthority(authority, value);

        Issuer storage issuer = _issuers[_allot(authority)];
        issuer.kind = value.kind;
        issuer.isTrusted = true;
        // Years have four digits, so times of certificates are below 2^38.
        issuer.expiry = uint40(root.notAfter < certificate.notAfter ? root.notAfter : certificate.notAfter);
        issuer.product = value.qe.product;
        issuer.svn = value.qe.svn;
        issuer.miscSelect = value.qe.miscSelect;
        issuer.miscSelectMask = value.qe.miscSelectMask;
        issuer.root = value.root;
        (issuer.x, issuer.y) = (certificate.x, certificate.y);
        (issuer.subject, issuer.subjectKeyId) = (certificate.subject, certificate.subjectKeyId);
        issuer.mrsigner = value.qe.mrsigner;
        (issuer.attributes, issuer.attributesMask) = (value.qe.attributes, value.qe.attributesMask);

        emit AuthorityTrusted(authority, value.root, value.kind, value.certificate, value.rootCertificate, value.qe);
        _record(
            AuthorityTrusted.selector,
            authority,
            value.root,
            abi.encode(value.kind, value.certificate, value.rootCertificate, value.qe)
        );
    }

    /// @inheritdoc IPlatformTrust
    function distrustAuthority(bytes32 authority) external onlyConsortium {
        Issuer storage issuer = _trustedIssuer(authority);

        issuer.isTrusted = false;

        bool simulated = _isSimulated(issuer.kind);
        emit AuthorityDistrusted(authority, simulated);
        _record(AuthorityDistrusted.selector, authority, abi.encode(simulated));
    }

    /// @inheritdoc IPlatformTrust
    function acceptTcb(bytes32 tcb, Tcb calldata value) external onlyConsortium {
        Issuer storage issuer = _trustedIssuer(value.authority);
        require(block.timestamp <= value.expiry, Expired(value.expiry, block.timestamp));
        Row storage row = _rows[tcb];
        require(value.expiry >= row.expiry, OlderCollateral(row.expiry, value.expiry));

        row.status = value.status;
        row.expiry = value.expiry;
        row.issuer = _issuerOf[value.authority];
        row.collateral = value.collateral;

        bool simulated = _isSimulated(issuer.kind);
        emit TcbAccepted(tcb, value.authority, value, simulated);
        _record(TcbAccepted.selector, tcb, value.authority, abi.encode(value, simulated));
    }

    /// @inheritdoc IPlatformTrust
    function rejectTcb(bytes32 tcb) external onlyConsortium {
        Row storage row = _rows[tcb];
        require(row.status != TcbStatus.None, TcbNotAccepted(tcb));

        bool simulated = _isSimulated(_issuers[row.issuer].kind);
        delete _rows[tcb];

        emit TcbRejected(tcb, simulated);
        _record(TcbRejected.selector, tcb, abi.encode(simulated));
    }

    /// @inheritdoc IPlatformTrust
    function revokeCertificate(bytes32 certificate, bytes32 authority, uint256 serial) external onlyConsortium {
        require(!_isRevoked[certificate], IsRevoked(certificate));

        _isRevoked[certificate] = true;
        ++_issuers[_allot(authority)].revocations;

        emit CertificateRevoked(certificate, authority, serial);
        _record(CertificateRevoked.selector, certificate, authority, abi.encode(serial));
    }

    /// @inheritdoc IPlatformTrust
    function checkAuthority(bytes32 authority, Authority calldata value) external view {
        _checkAuthority(authority, value);
    }

    /// @inheritdoc IPlatformTrust
    function authorityRecord(bytes32 authority) external view returns (RootKind, bool, bytes32, uint64) {
        Issuer storage issuer = _issuers[_issuerOf[authority]];
        return (issuer.kind, issuer.isTrusted, issuer.root, issuer.expiry);
    }

    /// @inheritdoc IPlatformTrust
    function tcbRecord(bytes32 tcb) external view returns (TcbStatus, uint64, bytes32, bytes32) {
        Row storage row = _rows[tcb];
        return (row.status, row.expiry, row.collateral, _issuers[row.issuer].id);
    }

    /// @inheritdoc IPlatformTrust
    function isCertificateRevoked(bytes32 certificate) external view returns (bool) {
        return _isRevoked[certificate];
    }

    /// @dev The number of an authority; reverts for one that is not trusted.
    function _trustedNumber(bytes32 authority) internal view returns (uint16 number) {
        number = _issuerOf[authority];
        require(_issuers[number].isTrusted, AuthorityNotTrusted(authority)); // number 0 is nobody's
    }

    function _isSimulated(RootKind kind) internal pure returns (bool) {
        return kind == RootKind.Simulated;
    }

    function _allot(bytes32 authority) private returns (uint16 number) {
        number = _issuerOf[authority];
        if (number != 0) return number;
        number = SafeCast.toUint16(++_issuerCount);
        _issuerOf[authority] = number;
        _issuers[number].id = authority;
    }

    function _trustedIssuer(bytes32 authority) private view returns (Issuer storage) {
        return _issuers[_trustedNumber(authority)];
    }

    /// @dev From the root down: a certificate is believed before what it signed is looked at.
    function _checkAuthority(bytes32 authority, Authority calldata value)
        private
        view
        returns (Certificate memory root, Certificate memory certificate)
    {
        RootKind kind = _issuers[_issuerOf[authority]].kind;
        require(value.kind != RootKind.None, WrongRootKind(RootKind.Simulated, value.kind));
        require(kind == RootKind.None || kind == value.kind, WrongRootKind(kind, value.kind));
        root = Certificates.parse(value.rootCertificate);
        certificate = Certificates.parse(value.certificate);
        _checkKey(value.root, root);
        _checkKey(authority, certificate);
        Certificates.checkAuthority(root, ROOT_PATH_LENGTH);
        Certificates.checkAuthority(certificate, AUTHORITY_PATH_LENGTH);
        _checkIssued(root, root, ICertificates.Signed.RootCertificate);
        _checkIssued(certificate, root, ICertificates.Signed.AuthorityCertificate);
        Certificates.checkValid(root);
        Certificates.checkValid(certificate);
    }

    function _checkIssued(Certificate memory certificate, Certificate memory issuer, ICertificates.Signed what)
        private
        view
    {
        Certificates.checkIssued(certificate, issuer.subject, issuer.subjectKeyId, issuer.x, issuer.y, what);
    }

    function _checkKey(bytes32 expected, Certificate memory certificate) private pure {
        bytes32 actual = sha256(abi.encode(certificate.x, certificate.y));
        require(actual == expected, WrongAuthorityKey(expected, actual));
    }
}
