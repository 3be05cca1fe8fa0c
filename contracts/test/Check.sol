// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Vm} from "./Vm.sol";

/// @title Assertions, and the address at which forge answers
abstract contract Check {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    error NotEqual(string what, uint256 expected, uint256 actual);
    error NotSo(string what);

    function same(string memory what, uint256 expected, uint256 actual) internal pure {
        require(expected == actual, NotEqual(what, expected, actual));
    }

    function same(string memory what, bytes32 expected, bytes32 actual) internal pure {
        same(what, uint256(expected), uint256(actual));
    }

    function same(string memory what, address expected, address actual) internal pure {
        same(what, uint256(uint160(expected)), uint256(uint160(actual)));
    }

    function so(string memory what, bool value) internal pure {
        require(value, NotSo(what));
    }

    /// @dev A number in the range, made of any number.
    function within(uint256 value, uint256 least, uint256 most) internal pure returns (uint256) {
        return least + value % (most - least + 1);
    }
}
