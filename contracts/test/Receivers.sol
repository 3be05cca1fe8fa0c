// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Refuses money
contract Refuser {
    error No();

    receive() external payable {
        revert No();
    }
}

/// @title Calls back into whoever pays it, and keeps what came of it
contract Reenterer {
    address internal immutable _target;
    bytes internal _call;
    bytes public answer;
    bool public entered;

    constructor(address target, bytes memory call_) {
        _target = target;
        _call = call_;
    }

    receive() external payable {
        (entered, answer) = _target.call(_call);
    }

    function act(address target, uint256 value, bytes calldata call_) external payable {
        (bool ok, bytes memory data) = target.call{value: value}(call_);
        require(ok, string(data));
    }
}
