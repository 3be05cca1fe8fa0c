// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EventStream} from "./EventStream.sol";
import {PlatformTrust} from "./PlatformTrust.sol";
import {IConsortium} from "./interfaces/IConsortium.sol";
import {IEnclaves} from "./interfaces/IEnclaves.sol";
import {TcbStatus} from "./interfaces/IPlatformTrust.sol";
import {Certificate, Certificates} from "./libraries/Certificates.sol";
import {Claims} from "./libraries/Messages.sol";
import {Pck, PckVersions} from "./libraries/Pck.sol";
import {Quotes} from "./libraries/Quotes.sol";
import {Signatures} from "./libraries/Signatures.sol";

/// @title Registered enclaves
contract Enclaves is IEnclaves, PlatformTrust {
    /// @dev Hashes, never quotes. Five slots: what a round reads is in the first and the third, its signer in the second.
    struct Enclave {
        address operator;
        uint40 expiry;
        State state;
        uint16 issuer;
        uint32 revocations; // of the issuer's certificates at registration, this one not among them
        address signer;
        uint64 epoch;
        bytes32 measurement;
        bytes32 hpkeKey;
        bytes32 certificate;
    }

    /// @notice Evidence gets old: revocations and new advisories reach who registers anew.
    uint64 public constant LIFETIME = 30 days;
    /// @notice Twice the size of the largest HPKE key (hybrid, 1216 bytes).
    uint256 public constant MAX_KEY_BYTES = 2432;

    bytes4 private constant TAG = "VFL1";

    address private immutable _ledger;

    mapping(bytes32 enclave => Enclave) private _enclaves;
    mapping(address signer => bool) private _isSignerUsed;
    mapping(bytes32 hpkeKey => bool) private _isHpkeKeyUsed;

    constructor(bytes32 federation_, address consortium_, address ledger_)
        EventStream(federation_)
        PlatformTrust(consortium_)
    {
        _ledger = ledger_;
    }

    /// @inheritdoc IEnclaves
    /// @dev Cheap refusals first. Nothing of the quote is believed before the platform that signed it is.
    function register(
        bytes calldata quote,
        Claims calldata claims,
        bytes calldata hpkeKey,
        bytes32 authority,
        uint64 nonceBlock
    ) external returns (bytes32 enclave) {
        _checkClaims(claims, hpkeKey, nonceBlock);
        (Enclave memory entry, bytes32 tcb) = _verify(quote, authority);
        entry.measurement = _checkBody(quote);
        (entry.signer, entry.epoch) = _checkReportData(quote, claims);
        require(!_isSignerUsed[entry.signer], SignerUsed(entry.signer));
        require(!_isHpkeKeyUsed[claims.hpkeKey], HpkeKeyUsed(claims.hpkeKey));
        enclave = Quotes.enclaveOf(quote); // new: the body holds the signer

        entry.operator = msg.sender;
        entry.hpkeKey = claims.hpkeKey;
        _isSignerUsed[entry.signer] = true;
        _isHpkeKeyUsed[claims.hpkeKey] = true;
        _enclaves[enclave] = entry;

        bool simulated = _isSimulated(_issuers[entry.issuer].kind);
        emit EnclaveRegistered(
            enclave,
            msg.sender,
            entry.measurement,
            entry.signer,
            entry.epoch,
            entry.expiry,
            authority,
            tcb,
            entry.certificate,
            simulated,
            claims,
            hpkeKey,
            quote
        );
        bytes memory data = abi.encode(
            entry.signer,
            entry.epoch,
            entry.expiry,
            authority,
            tcb,
            entry.certificate,
            simulated,
            claims,
            hpkeKey,
            quote
        );
        _record(EnclaveRegistered.selector, enclave, _topic(msg.sender), entry.measurement, data);
    }

    /// @inheritdoc IEnclaves
    function revoke(bytes32 enclave) external onlyConsortium {
        _checkState(enclave, State.Registered);

        _enclaves[enclave].state = State.Revoked;

        bool simulated = _isSimulatedEnclave(enclave);
        emit EnclaveRevoked(enclave, simulated);
        _record(EnclaveRevoked.selector, enclave, abi.encode(simulated));
    }

    /// @inheritdoc IEnclaves
    /// @dev Where the issuer revoked nothing since, this certificate is not revoked either.
    function trustOf(bytes32 enclave) public view returns (bool trusted, bool simulated) {
        Enclave storage entry = _enclaves[enclave];
        (State state, uint16 number, uint32 revocations) = (entry.state, entry.issuer, entry.revocations);
        Issuer storage issuer = _issuers[number];
        simulated = _isSimulated(issuer.kind);
        if (state != State.Registered || !issuer.isTrusted) return (false, simulated);
        if (issuer.revocations != revocations && _isRevoked[entry.certificate]) return (false, simulated);
        trusted = IConsortium(_consortium).isMeasurementAllowed(entry.measurement);
    }

    /// @inheritdoc IEnclaves
    function isActive(bytes32 enclave) external view returns (bool) {
        (bool trusted,) = trustOf(enclave);
        return trusted && block.timestamp <= _enclaves[enclave].expiry;
    }

    /// @inheritdoc IEnclaves
    function record(bytes32 enclave)
        external
        view
        returns (address, address, bytes32, bytes32, uint64, uint64, State, bool)
    {
        Enclave storage entry = _enclaves[enclave];
        return (
            entry.signer,
            entry.operator,
            entry.measurement,
            entry.hpkeKey,
            entry.epoch,
            entry.expiry,
            entry.state,
            _isSimulatedEnclave(enclave)
        );
    }

    /// @inheritdoc IEnclaves
    function platformOf(bytes32 enclave) external view returns (bytes32 authority, bytes32 certificate) {
        return (_issuers[_enclaves[enclave].issuer].id, _enclaves[enclave].certificate);
    }

    /// @inheritdoc IEnclaves
    function signerOf(bytes32 enclave) external view returns (address) {
        return _enclaves[enclave].signer;
    }

    /// @inheritdoc IEnclaves
    function measurementOf(bytes32 enclave) external view returns (bytes32) {
        return _enclaves[enclave].measurement;
    }

    /// @inheritdoc IEnclaves
    function leaseOf(bytes32 enclave) external view returns (address operator, uint64 expiry) {
        return (_enclaves[enclave].operator, _enclaves[enclave].expiry);
    }

    /// @inheritdoc IEnclaves
    function consortium() external view returns (address) {
        return _consortium;
    }

    /// @inheritdoc IEnclaves
    function ledger() external view returns (address) {
        return _ledger;
    }

    /// @dev Authority -> certificate -> quoting enclave -> attestation key -> quote.
    /// @return entry What the platform says of it.
    /// @return tcb The row of the platform's security versions.
    function _verify(bytes calldata quote, bytes32 authority) private view returns (Enclave memory entry, bytes32 tcb) {
        bytes calldata der = Quotes.certificateOf(quote);
        entry.state = State.Registered;
        entry.issuer = _trustedNumber(authority);
        Issuer storage issuer = _issuers[entry.issuer];
        entry.revocations = issuer.revocations;
        Certificate memory leaf = Certificates.parse(der);
        tcb = _checkLeaf(der, leaf, issuer, authority);
        entry.certificate = keccak256(abi.encode(authority, leaf.serial));
        require(!_isRevoked[entry.certificate], IsRevoked(entry.certificate));
        entry.expiry = uint40(_expiryOf(tcb, leaf.notAfter, issuer.expiry)); // at most now + LIFETIME
        _checkQe(quote, leaf, issuer);
        (bytes32 r, bytes32 s) = Quotes.pair(quote, 436);
        (bytes32 x, bytes32 y) = Quotes.pair(quote, 500);
        bytes32 digest = sha256(quote[:Quotes.SIGNED_BYTES]);
        require(Signatures.isSigned(digest, r, s, x, y), WrongSignature(Signed.Quote));
    }

    /// @return tcb The row of its security versions.
    function _checkLeaf(bytes calldata der, Certificate memory leaf, Issuer storage issuer, bytes32 authority)
        private
        view
        returns (bytes32 tcb)
    {
        Certificates.checkLeaf(leaf);
        require(leaf.sgxTo != 0, NotPlatform());
        Certificates.checkValid(leaf);
        Certificates.checkIssued(
            leaf, issuer.subject, issuer.subjectKeyId, issuer.x, issuer.y, Signed.PlatformCertificate
        );
        PckVersions memory versions = Pck.parse(der, leaf.sgxFrom, leaf.sgxTo);
        tcb = keccak256(abi.encode(authority, versions.fmspc, versions.pceId, versions.cpuSvn, versions.pceSvn));
    }

    /// @dev The earliest of what the evidence rests on; what has expired already is refused.
    function _expiryOf(bytes32 tcb, uint64 leafExpiry, uint64 issuerExpiry) private view returns (uint64 expiry) {
        Row storage row = _rows[tcb];
        require(row.status != TcbStatus.None, TcbNotAccepted(tcb));
        expiry = uint64(block.timestamp) + LIFETIME;
        uint64 rowExpiry = row.expiry;
        if (rowExpiry < expiry) expiry = rowExpiry;
        if (leafExpiry < expiry) expiry = leafExpiry;
        if (issuerExpiry < expiry) expiry = issuerExpiry;
        require(block.timestamp <= expiry, Expired(expiry, block.timestamp));
    }

    /// @dev A genuine quoting enclave of a platform says that the attestation key is its own.
    function _checkQe(bytes calldata quote, Certificate memory leaf, Issuer storage issuer) private view {
        uint256 at = Quotes.QE_REPORT;
        (bytes32 r, bytes32 s) = Quotes.pair(quote, 948);
        bytes32 digest = Quotes.digestOf(quote, at);
        require(Signatures.isSigned(digest, r, s, leaf.x, leaf.y), WrongSignature(Signed.QeReport));
        Quotes.checkReport(quote, at, true);
        bytes32 signer = Quotes.signer(quote, at);
        require(signer == issuer.mrsigner, WrongQeSigner(issuer.mrsigner, signer));
        (uint16 product, uint16 svn) = Quotes.version(quote, at);
        require(product == issuer.product, WrongQeProduct(issuer.product, product));
        require(svn >= issuer.svn, QeTooOld(issuer.svn, svn));
        uint32 miscSelect = Quotes.miscSelect(quote, at) & issuer.miscSelectMask;
        require(miscSelect == issuer.miscSelect, WrongQeMiscSelect(issuer.miscSelect, miscSelect));
        bytes16 attributes = Quotes.attributes(quote, at) & issuer.attributesMask;
        require(attributes == issuer.attributes, WrongQeAttributes(issuer.attributes, attributes));
        (bytes32 binding, bytes32 rest) = Quotes.pair(quote, at + 320);
        bytes32 expected = Quotes.bindingOf(quote);
        require(binding == expected, WrongBinding(expected, binding));
        require(rest == 0, WrongBinding(0, rest));
    }

    function _checkBody(bytes calldata quote) private view returns (bytes32 measurement) {
        Quotes.checkReport(quote, Quotes.BODY, false);
        measurement = Quotes.measurement(quote, Quotes.BODY);
        require(IConsortium(_consortium).isMeasurementAllowed(measurement), MeasurementNotAllowed(measurement));
    }

    function _checkClaims(Claims calldata claims, bytes calldata hpkeKey, uint64 nonceBlock) private view {
        require(IConsortium(_consortium).isCoordinator(msg.sender), NotCoordinator(msg.sender));
        bytes32 charter = IConsortium(_consortium).charter();
        require(claims.federation == federation(), WrongFederation(federation(), claims.federation));
        require(claims.chainId == block.chainid, WrongChain(block.chainid, claims.chainId));
        require(claims.ledger == _ledger, WrongLedger(_ledger, claims.ledger));
        require(claims.operator == msg.sender, WrongOperator(msg.sender, claims.operator));
        require(claims.policy == charter, WrongPolicy(charter, claims.policy));
        bytes32 nonce = blockhash(nonceBlock);
        require(nonce != bytes32(0), StaleNonce(nonceBlock, block.number)); // what blockhash says of older ones
        require(claims.nonce == nonce, WrongNonce(nonce, claims.nonce));
        require(hpkeKey.length <= MAX_KEY_BYTES, WrongHpkeKeyLength(MAX_KEY_BYTES, hpkeKey.length));
        bytes32 hash = sha256(hpkeKey);
        require(claims.hpkeKey == hash, WrongHpkeKey(hash, claims.hpkeKey));
    }

    function _checkReportData(bytes calldata quote, Claims calldata claims)
        private
        pure
        returns (address signer, uint64 epoch)
    {
        bytes32 digest;
        bytes4 tag;
        (signer, digest, epoch, tag) = Quotes.reportData(quote);
        bytes32 expected = sha256(abi.encode(claims));
        require(tag == TAG, WrongTag(TAG, tag));
        require(digest == expected, WrongClaims(expected, digest));
        require(signer != address(0), NoSigner());
        require(epoch != 0, WrongEpoch(1, 0));
    }

    function _checkState(bytes32 enclave, State expected) private view {
        State actual = _enclaves[enclave].state;
        require(actual == expected, WrongState(expected, actual));
    }

    function _isSimulatedEnclave(bytes32 enclave) private view returns (bool) {
        return _isSimulated(_issuers[_enclaves[enclave].issuer].kind);
    }
}
