// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title A contract whose events can be shown to be complete
/// @notice Every contract of a federation is one. `stream` is a rolling hash over everything that the contract ever
/// emitted: head' = keccak256(head || keccak256(topic 0 || indexed topics || data)), from zero, the constructor's
/// events included. Whoever replays the logs and reaches the head has seen all of them, in order.
interface IEventStream {
    /// @notice The caller is not the one contract or account that may do this.
    error WrongCaller(address expected, address actual);
    /// @notice The struct or contract belongs to another federation.
    error WrongFederation(bytes32 expected, bytes32 actual);
    /// @notice It is not time yet: `notBefore` is the first second of it.
    error TooEarly(uint256 notBefore, uint256 actual);
    /// @notice It is too late: `deadline` was the last second of it.
    error TooLate(uint256 deadline, uint256 actual);

    /// @notice The random id that was drawn at deployment and that every signed struct starts with.
    function federation() external view returns (bytes32);

    /// @notice Head of the rolling hash over all events.
    function stream() external view returns (bytes32);
}
