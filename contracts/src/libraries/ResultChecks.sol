// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IEventStream} from "../interfaces/IEventStream.sol";
import {IRoundLedger} from "../interfaces/IRoundLedger.sol";
import {RoundResult, Spec} from "./Messages.sol";
import {Outcomes} from "./Outcomes.sol";
import {Rulebook} from "./Rulebook.sol";
import {Slots} from "./Slots.sol";

/// @title What of a result needs no proof
/// @notice Everything that follows from the opened spec and the words of the outcomes alone. That the rest is true is
/// what the enclave signs, and what `Disputes` lets anybody refute.
library ResultChecks {
    /// @param spec As opened, `specHash` its hash.
    /// @param slots Size of the cohort.
    /// @return isEnough Whether as many updates are counted as the rule and the spec need.
    function check(
        Spec calldata spec,
        bytes32 specHash,
        RoundResult calldata result,
        bytes calldata outcomes,
        uint256 slots
    ) internal pure returns (bool isEnough) {
        _checkIdentity(spec, specHash, result);
        bytes32 words = keccak256(outcomes);
        require(words == result.outcomes, IRoundLedger.WrongOutcomes(words, result.outcomes));
        uint256 all = type(uint256).max >> (256 - slots);
        require(result.counted & ~all == 0, IRoundLedger.WrongBitmap(all, result.counted));
        require(result.selected & ~result.counted == 0, IRoundLedger.WrongBitmap(result.counted, result.selected));
        uint256 count = Outcomes.check(outcomes, slots, result.counted);
        _checkState(spec, result);
        isEnough = count >= Rulebook.minimumCounted(spec.rule, spec.f, spec.m, spec.minCounted);
        if (isEnough) _checkStep(spec, result, count);
        else _checkNoStep(spec, result);
    }

    function _checkIdentity(Spec calldata spec, bytes32 specHash, RoundResult calldata result) private pure {
        require(result.federation == spec.federation, IEventStream.WrongFederation(spec.federation, result.federation));
        require(result.round == spec.round, IRoundLedger.WrongRound(spec.round, result.round));
        require(result.spec == specHash, IRoundLedger.WrongSpec(specHash, result.spec));
        require(result.previous == spec.previous, IRoundLedger.WrongPrevious(spec.previous, result.previous));
        require(result.enclave == spec.enclave, IRoundLedger.WrongEnclave(spec.enclave, result.enclave));
    }

    /// @dev Rules 1 to 6 with the plain step keep nothing across rounds.
    function _checkState(Spec calldata spec, RoundResult calldata result) private pure {
        if (spec.rule == Rulebook.REPLAY || spec.optimizer != 0) return;
        require(result.state == bytes32(0), IRoundLedger.WrongStateRoot(bytes32(0), result.state));
    }

    /// @dev Roots are there exactly where the rule needs them; of a rule that only a replay knows, nothing is asked.
    function _checkStep(Spec calldata spec, RoundResult calldata result, uint256 count) private pure {
        require(result.newModel != bytes32(0), IRoundLedger.WrongNewModel(result.newModel));
        require(result.columnRoot != bytes32(0), IRoundLedger.WrongColumnRoot(result.columnRoot));
        if (spec.rule == Rulebook.REPLAY) return;
        bool isSelecting = Rulebook.isSelecting(spec.rule);
        require(isSelecting == (result.gramRoot != bytes32(0)), IRoundLedger.WrongGramRoot(result.gramRoot));
        if (isSelecting) {
            uint256 expected = Rulebook.selectedOf(spec.rule, spec.f, spec.m, count);
            uint256 actual = Slots.count(result.selected);
            require(actual == expected, IRoundLedger.WrongSelected(expected, actual));
        } else {
            require(result.selected == result.counted, IRoundLedger.WrongBitmap(result.counted, result.selected));
        }
    }

    /// @dev Too few counted: the base model stands, and no root but the set's says anything.
    function _checkNoStep(Spec calldata spec, RoundResult calldata result) private pure {
        require(result.newModel == spec.baseModel, IRoundLedger.WrongNewModel(result.newModel));
        require(result.columnRoot == bytes32(0), IRoundLedger.WrongColumnRoot(result.columnRoot));
        require(result.gramRoot == bytes32(0), IRoundLedger.WrongGramRoot(result.gramRoot));
    }
}
