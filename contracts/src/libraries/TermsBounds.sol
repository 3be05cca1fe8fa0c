// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IConsortium} from "../interfaces/IConsortium.sol";
import {Terms} from "./Messages.sol";
import {Rulebook} from "./Rulebook.sol";

/// @title Terms that no vote may set
/// @notice Only what would lock money or never let a round end; that terms are sensible is for those who vote.
library TermsBounds {
    int256 internal constant MAX_WINDOW = 30 days; // bonds and deposits stay locked while a round lasts
    int256 internal constant MAX_BUDGET = int256(uint256(type(uint120).max)); // what a credit holds
    uint256 internal constant LARGEST = uint256(type(int256).max); // what an error shows; far above every limit
    int256 internal constant MAX_WEIGHT = 2 ** 24 - 1; // weighted sums must fit 64 bits

    function check(Terms memory terms) internal pure {
        _check("rule", 0, 6, int256(uint256(terms.rule)));
        _check("exponent", -24, -8, terms.exponent);
        _check("dimension", 1, int256(uint256(type(uint32).max)), int256(uint256(terms.dimension)));
        int256 least = terms.rule == Rulebook.WEIGHTED_MEAN ? int256(1) : int256(0); // else nothing would weigh anything
        _check("weightCap", least, MAX_WEIGHT, int256(uint256(terms.weightCap)));
        _check("optimizer", 0, 2, int256(uint256(terms.optimizer)));
        _check("disclosure", 0, 2, int256(uint256(terms.disclosure)));
        _check("cohortSize", 0, 256, int256(uint256(terms.cohortSize)));
        uint256 budget = terms.budget;
        _check("budget", 0, MAX_BUDGET, budget > LARGEST ? type(int256).max : int256(budget));
        for (uint256 i = 0; i < terms.windows.length; ++i) {
            _check("windows", 1, MAX_WINDOW, int256(uint256(terms.windows[i])));
        }
    }

    function _check(string memory field, int256 lowest, int256 highest, int256 actual) private pure {
        require(actual >= lowest && actual <= highest, IConsortium.TermsOutOfRange(field, lowest, highest, actual));
    }
}
