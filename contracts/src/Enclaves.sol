// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EventStream} from "./EventStream.sol";
import {IConsortium} from "./interfaces/IConsortium.sol";
import {IEnclaves} from "./interfaces/IEnclaves.sol";
import {Claims} from "./libraries/Messages.sol";
import {Quotes} from "./libraries/Quotes.sol";

/// @title Registered enclaves
contract Enclaves is IEnclaves, EventStream {
    /// @dev Hashes, never quotes. `root` is zero until admission.
    struct Enclave {
        address signer;
        uint64 epoch;
        State state;
        bool isSimulated; // of the root; false before admission
        address operator;
        uint64 expiry;
        bytes32 measurement;
        bytes32 hpkeKey;
        bytes32 root;
    }

    /// @notice Evidence gets old: revocations and new advisories reach who registers anew.
    uint64 public constant LIFETIME = 30 days;
    /// @notice Three times the size of a genuine quote; what is larger is not one.
    uint256 public constant MAX_QUOTE_BYTES = 16_384;

    bytes4 private constant TAG = "VFL1";
    bytes1 private constant ATTRIBUTES = Quotes.INIT | Quotes.DEBUG | Quotes.PROVISION_KEY | Quotes.EINITTOKEN_KEY;

    address private immutable _consortium;
    address private immutable _ledger;

    mapping(bytes32 enclave => Enclave) private _enclaves;
    mapping(address signer => bool) private _isSignerUsed;

    constructor(bytes32 federation_, address consortium_, address ledger_) EventStream(federation_) {
        _consortium = consortium_;
        _ledger = ledger_;
    }

    modifier onlyConsortium() {
        require(msg.sender == _consortium, WrongCaller(_consortium, msg.sender));
        _;
    }

    /// @inheritdoc IEnclaves
    function register(bytes calldata quote, Claims calldata claims, uint64 nonceBlock)
        external
        returns (bytes32 enclave)
    {
        IConsortium judge = IConsortium(_consortium);
        require(judge.isCoordinator(msg.sender), NotCoordinator(msg.sender));
        _checkQuote(quote);
        _checkClaims(claims, nonceBlock);
        bytes32 measurement = Quotes.measurement(quote);
        require(judge.isMeasurementAllowed(measurement), MeasurementNotAllowed(measurement));
        (address signer, uint64 epoch) = _checkReportData(quote, claims);
        require(!_isSignerUsed[signer], SignerUsed(signer));
        enclave = Quotes.enclaveOf(quote);
        _checkState(enclave, State.None);

        _enclaves[enclave] = Enclave({
            signer: signer,
            epoch: epoch,
            state: State.Registered,
            isSimulated: false,
            operator: msg.sender,
            expiry: uint64(block.timestamp) + LIFETIME,
            measurement: measurement,
            hpkeKey: claims.hpkeKey,
            root: bytes32(0)
        });

        _announce(enclave, claims, quote);
    }

    /// @inheritdoc IEnclaves
    /// @dev The key is taken here and not at registration, where anybody's unverified quote could name it.
    function admit(bytes32 enclave, bytes32 root) external onlyConsortium {
        _checkState(enclave, State.Registered);
        Enclave storage entry = _enclaves[enclave];
        require(block.timestamp <= entry.expiry, Expired(entry.expiry, block.timestamp));
        require(!_isSignerUsed[entry.signer], SignerUsed(entry.signer));
        (bool allowed, IConsortium.RootKind kind) = IConsortium(_consortium).judge(entry.measurement, root);
        require(allowed, MeasurementNotAllowed(entry.measurement));
        require(kind != IConsortium.RootKind.None, RootNotTrusted(root));

        bool simulated = kind == IConsortium.RootKind.Simulated;
        entry.state = State.Admitted;
        entry.isSimulated = simulated;
        entry.root = root;
        _isSignerUsed[entry.signer] = true;

        emit EnclaveAdmitted(enclave, root, simulated);
        _record(EnclaveAdmitted.selector, enclave, root, abi.encode(simulated));
    }

    /// @inheritdoc IEnclaves
    function revoke(bytes32 enclave) external onlyConsortium {
        State state = _enclaves[enclave].state;
        require(state == State.Registered || state == State.Admitted, WrongState(State.Admitted, state));

        bool simulated = _enclaves[enclave].isSimulated;
        _enclaves[enclave].state = State.Revoked;

        emit EnclaveRevoked(enclave, simulated);
        _record(EnclaveRevoked.selector, enclave, abi.encode(simulated));
    }

    /// @inheritdoc IEnclaves
    function trustOf(bytes32 enclave) public view returns (bool trusted, bool simulated) {
        Enclave storage entry = _enclaves[enclave];
        simulated = entry.isSimulated;
        if (entry.state != State.Admitted) return (false, simulated);
        (bool allowed, IConsortium.RootKind kind) = IConsortium(_consortium).judge(entry.measurement, entry.root);
        trusted = allowed && kind != IConsortium.RootKind.None;
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
            entry.isSimulated
        );
    }

    /// @inheritdoc IEnclaves
    function rootOf(bytes32 enclave) external view returns (bytes32) {
        return _enclaves[enclave].root;
    }

    /// @inheritdoc IEnclaves
    function signerOf(bytes32 enclave) external view returns (address) {
        return _enclaves[enclave].signer;
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

    function _announce(bytes32 enclave, Claims calldata claims, bytes calldata quote) private {
        Enclave memory entry = _enclaves[enclave];
        emit EnclaveRegistered(
            enclave, entry.operator, entry.measurement, entry.signer, entry.epoch, entry.expiry, claims, quote
        );
        bytes memory data = abi.encode(entry.signer, entry.epoch, entry.expiry, claims, quote);
        _record(EnclaveRegistered.selector, enclave, _topic(entry.operator), entry.measurement, data);
    }

    function _checkQuote(bytes calldata quote) private pure {
        require(quote.length >= Quotes.LEAST_BYTES, WrongQuoteLength(Quotes.LEAST_BYTES, quote.length));
        require(quote.length <= MAX_QUOTE_BYTES, WrongQuoteLength(MAX_QUOTE_BYTES, quote.length));
        require(Quotes.version(quote) == 3, WrongVersion(3, Quotes.version(quote)));
        require(Quotes.keyType(quote) == 2, WrongKeyType(2, Quotes.keyType(quote)));
        require(Quotes.vendor(quote) == Quotes.INTEL_VENDOR, WrongVendor(Quotes.INTEL_VENDOR, Quotes.vendor(quote)));
        bytes1 attributes = Quotes.flags(quote) & ATTRIBUTES;
        require(attributes == Quotes.INIT, WrongAttributes(Quotes.INIT, attributes));
    }

    function _checkClaims(Claims calldata claims, uint64 nonceBlock) private view {
        bytes32 charter = IConsortium(_consortium).charter();
        require(claims.federation == federation(), WrongFederation(federation(), claims.federation));
        require(claims.chainId == block.chainid, WrongChain(block.chainid, claims.chainId));
        require(claims.ledger == _ledger, WrongLedger(_ledger, claims.ledger));
        require(claims.operator == msg.sender, WrongOperator(msg.sender, claims.operator));
        require(claims.policy == charter, WrongPolicy(charter, claims.policy));
        bytes32 nonce = blockhash(nonceBlock);
        require(nonce != bytes32(0), StaleNonce(nonceBlock, block.number)); // what blockhash says of older ones
        require(claims.nonce == nonce, WrongNonce(nonce, claims.nonce));
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
}
