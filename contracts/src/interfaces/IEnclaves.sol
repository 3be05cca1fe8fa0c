// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Claims} from "../libraries/Messages.sol";
import {ICertificates} from "./ICertificates.sol";
import {IPlatformTrust} from "./IPlatformTrust.sol";

/// @title Enclaves: facts here, policy in the consortium
/// @notice An operator registers its enclave with the quote about it. The quote is verified here, all of it: the
/// platform's certificate against an authority that the consortium trusts, the quoting enclave, both signatures, the
/// security versions and the measurement against what was voted for, and that it binds the claims, the enclave's two
/// keys and a recent block. What holds at registration is on record; what may be taken back (measurement, authority,
/// certificate, the enclave itself) is asked anew whenever a round rests on it.
interface IEnclaves is IPlatformTrust, ICertificates {
    enum State {
        None,
        Registered,
        Revoked
    }

    /// @notice `tcb` and `certificate` name the platform as in IPlatformTrust; `simulated`: rests on a simulated root
    /// and says nothing about hardware. `quote` is as it was verified, its certification data the PCK's certificate.
    event EnclaveRegistered(
        bytes32 indexed enclave,
        address indexed operator,
        bytes32 indexed measurement,
        address signer,
        uint64 epoch,
        uint64 expiry,
        bytes32 authority,
        bytes32 tcb,
        bytes32 certificate,
        bool simulated,
        Claims claims,
        bytes hpkeKey,
        bytes quote
    );
    event EnclaveRevoked(bytes32 indexed enclave, bool simulated);

    error NotCoordinator(address account);
    error WrongQuoteLength(uint256 expected, uint256 actual);
    error WrongVersion(uint16 expected, uint16 actual);
    error WrongKeyType(uint16 expected, uint16 actual);
    error WrongVendor(bytes16 expected, bytes16 actual);
    /// @notice Another type of certification data than the PCK's certificate.
    error WrongCertification(uint16 expected, uint16 actual);
    /// @notice At this offset of the quote: reserved bytes of the header, or of the report that starts there.
    error ReservedNotZero(uint256 at);
    /// @notice ATTRIBUTES, as far as they are judged: INIT, x87 and SSE must be set; DEBUG and reserved bits clear; in
    /// the enclave's report PROVISION_KEY and EINITTOKEN_KEY too.
    error WrongAttributes(bytes16 expected, bytes16 actual);
    /// @notice The certificate has no extension of Intel's: it is of no platform.
    error NotPlatform();
    error WrongQeSigner(bytes32 expected, bytes32 actual);
    error WrongQeProduct(uint16 expected, uint16 actual);
    error QeTooOld(uint16 expected, uint16 actual);
    error WrongQeMiscSelect(uint32 expected, uint32 actual);
    error WrongQeAttributes(bytes16 expected, bytes16 actual);
    /// @notice The quoting enclave vouches for another attestation key.
    error WrongBinding(bytes32 expected, bytes32 actual);
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
    error WrongHpkeKeyLength(uint256 limit, uint256 actual);
    error WrongHpkeKey(bytes32 expected, bytes32 actual);
    error NoSigner();
    error WrongEpoch(uint64 expected, uint64 actual);
    /// @notice Another enclave was registered with this signing key.
    error SignerUsed(address signer);
    /// @notice Another enclave was registered with this HPKE key.
    error HpkeKeyUsed(bytes32 hpkeKey);
    error WrongState(State expected, State actual);

    /// @notice A coordinator registers its own enclave.
    /// @param quote SGX quote v3 whose certification data is of type 4: the PCK's certificate, DER.
    /// @param claims What the quote's report data hashes.
    /// @param hpkeKey The public key that updates are sealed to, whose SHA-256 the claims hold.
    /// @param authority The trusted CA that issued the PCK's certificate.
    /// @param nonceBlock One of the last 256 blocks, whose hash is the claims' nonce.
    /// @return enclave keccak256 of the quote's header and body.
    function register(
        bytes calldata quote,
        Claims calldata claims,
        bytes calldata hpkeKey,
        bytes32 authority,
        uint64 nonceBlock
    ) external returns (bytes32 enclave);

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

    /// @notice The authority and the certificate that its quote rests on.
    function platformOf(bytes32 enclave) external view returns (bytes32 authority, bytes32 certificate);

    function signerOf(bytes32 enclave) external view returns (address);

    function measurementOf(bytes32 enclave) external view returns (bytes32);

    /// @notice Who may open rounds with it, and until when.
    function leaseOf(bytes32 enclave) external view returns (address operator, uint64 expiry);

    /// @notice Registered and not revoked, its measurement still allowed, its authority still trusted, its certificate
    /// not revoked; and whether it rests on a simulated root. Expiry is not part of it: a round is opened only with an
    /// enclave that outlives it. Nor is the TCB row: one that is rejected or expires stops registrations only.
    function trustOf(bytes32 enclave) external view returns (bool trusted, bool simulated);

    /// @notice Trusted and not expired.
    function isActive(bytes32 enclave) external view returns (bool);
}
