// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Claims} from "../libraries/Messages.sol";
import {IEventStream} from "./IEventStream.sol";

/// @title Enclaves: facts here, policy in the consortium
/// @notice An operator registers the quote of its enclave; the consortium admits it by vote. Registration checks every
/// field of the quote that names the code, the key and their purpose, but not the quote's signatures: the members do
/// that off chain before they vote, from the whole quote in the event.
/// @dev Seam: verifying the quote on chain replaces the vote by a check of its signatures between registration and
/// admission; `admit` already takes the root that vouches for the quote.
interface IEnclaves is IEventStream {
    enum State {
        None,
        Registered,
        Admitted,
        Revoked
    }

    event EnclaveRegistered(
        bytes32 indexed enclave,
        address indexed operator,
        bytes32 indexed measurement,
        address signer,
        uint64 epoch,
        uint64 expiry,
        Claims claims,
        bytes quote
    );
    /// @notice `simulated`: rests on a simulated root and says nothing about hardware.
    event EnclaveAdmitted(bytes32 indexed enclave, bytes32 indexed root, bool simulated);
    event EnclaveRevoked(bytes32 indexed enclave, bool simulated);

    error NotCoordinator(address account);
    error WrongQuoteLength(uint256 expected, uint256 actual);
    error WrongVersion(uint16 expected, uint16 actual);
    error WrongKeyType(uint16 expected, uint16 actual);
    error WrongVendor(bytes16 expected, bytes16 actual);
    /// @notice ATTRIBUTES: INIT must be set; DEBUG, PROVISION_KEY and EINITTOKEN_KEY must be clear.
    error WrongAttributes(bytes1 expected, bytes1 actual);
    error MeasurementNotAllowed(bytes32 measurement);
    error WrongTag(bytes4 expected, bytes4 actual);
    error WrongClaims(bytes32 expected, bytes32 actual);
    error WrongChain(uint256 expected, uint256 actual);
    error WrongLedger(address expected, address actual);
    error WrongOperator(address expected, address actual);
    error WrongPolicy(bytes32 expected, bytes32 actual);
    /// @notice The block is not among the last 256, or does not exist yet.
    error StaleNonce(uint256 nonceBlock, uint256 current);
    error WrongNonce(bytes32 expected, bytes32 actual);
    error NoSigner();
    error WrongEpoch(uint64 expected, uint64 actual);
    /// @notice Another enclave was admitted with this key.
    error SignerUsed(address signer);
    error WrongState(State expected, State actual);
    error RootNotTrusted(bytes32 root);
    error Expired(uint64 expiry, uint256 actual);

    /// @notice A coordinator registers its own enclave.
    /// @param quote SGX quote v3, whole.
    /// @param claims What the quote's report data hashes.
    /// @param nonceBlock One of the last 256 blocks, whose hash is the claims' nonce.
    /// @return enclave keccak256 of the quote's header and body.
    function register(bytes calldata quote, Claims calldata claims, uint64 nonceBlock)
        external
        returns (bytes32 enclave);

    /// @notice By vote: this enclave may aggregate, its quote being vouched for by this root.
    function admit(bytes32 enclave, bytes32 root) external;

    /// @notice By vote: never again.
    function revoke(bytes32 enclave) external;

    function consortium() external view returns (address);

    function ledger() external view returns (address);

    function record(bytes32 enclave)
        external
        view
        returns (
            address signer,
            address operator,
            bytes32 measurement,
            bytes32 hpkeKey,
            uint64 epoch,
            uint64 expiry,
            State state,
            bool simulated
        );

    /// @notice The root that the consortium admitted it under; zero before.
    function rootOf(bytes32 enclave) external view returns (bytes32);

    function signerOf(bytes32 enclave) external view returns (address);

    /// @notice Who may open rounds with it, and until when.
    function leaseOf(bytes32 enclave) external view returns (address operator, uint64 expiry);

    /// @notice Admitted and not revoked, its measurement still allowed, its root still trusted; and whether that root is
    /// a simulated one. Expiry is not part of it: a round is opened only with an enclave that outlives it.
    function trustOf(bytes32 enclave) external view returns (bool trusted, bool simulated);

    /// @notice Trusted and not expired.
    function isActive(bytes32 enclave) external view returns (bool);
}
