// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IEventStream} from "./interfaces/IEventStream.sol";

/// @title Rolling hash over a contract's own events
abstract contract EventStream is IEventStream {
    bytes32 private immutable _federation;
    bytes32 private _head;

    constructor(bytes32 federation_) {
        _federation = federation_;
    }

    /// @inheritdoc IEventStream
    function federation() public view returns (bytes32) {
        return _federation;
    }

    /// @inheritdoc IEventStream
    function stream() external view returns (bytes32) {
        return _head;
    }

    /// @dev Follows every `emit`: `data` is the abi.encode of the arguments that are not indexed. Topics and data are
    /// hashed as one string; topic 0 fixes how many topics there are, so no two events share one.
    function _record(bytes32 event_, bytes memory data) internal {
        _extend(abi.encodePacked(event_, data));
    }

    function _record(bytes32 event_, bytes32 topic1, bytes memory data) internal {
        _extend(abi.encodePacked(event_, topic1, data));
    }

    function _record(bytes32 event_, bytes32 topic1, bytes32 topic2, bytes memory data) internal {
        _extend(abi.encodePacked(event_, topic1, topic2, data));
    }

    function _record(bytes32 event_, bytes32 topic1, bytes32 topic2, bytes32 topic3, bytes memory data) internal {
        _extend(abi.encodePacked(event_, topic1, topic2, topic3, data));
    }

    /// @dev An address as the topic that it is.
    function _topic(address account) internal pure returns (bytes32) {
        return bytes32(uint256(uint160(account)));
    }

    function _extend(bytes memory log) private {
        _head = keccak256(abi.encodePacked(_head, keccak256(log)));
    }
}
