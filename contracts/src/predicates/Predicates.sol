// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Finding, IPredicates, RowChunk, SetLeaf} from "../interfaces/IPredicates.sol";
import {IRoundLedger} from "../interfaces/IRoundLedger.sol";
import {Cohorts} from "../libraries/Cohorts.sol";
import {Merkle} from "../libraries/Merkle.sol";
import {Messages, RoundResult, Spec} from "../libraries/Messages.sol";
import {Outcomes} from "../libraries/Outcomes.sol";
import {Rulebook} from "../libraries/Rulebook.sol";
import {SignedLeaves} from "../libraries/SignedLeaves.sol";
import {Slots} from "../libraries/Slots.sol";

/// @title What the three families of predicates have in common
abstract contract Predicates is IPredicates {
    uint256 internal constant LANES = Merkle.COLUMN_LEAF;
    uint256 internal constant ROW_LEAF = Merkle.ROW_LEAF;
    uint256 internal constant ROW_BYTES = 2 * ROW_LEAF;
    uint256 internal constant CHUNK = Merkle.GRAM_CHUNK;
    uint256 internal constant CHUNK_LEAVES = CHUNK / ROW_LEAF;
    uint256 internal constant OTHER_LEAF_BYTES = 32 + 1;

    uint256 private constant EVEN_BYTES = 0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff;
    uint256 private constant RESULT_END = Messages.FIRST_SPEC_END + 13 * 32;

    address internal immutable _ledger;

    constructor(address ledger_) {
        _ledger = ledger_;
    }

    /// @inheritdoc IPredicates
    function ledger() external view returns (address) {
        return _ledger;
    }

    /// @dev `propose` has held the result's own `spec` against the ledger's, so one hash ties both. Spec and result are
    /// the first two arguments of every function that ends here, so they are hashed as they came: a word that is not its
    /// type's one encoding gives another hash.
    function _finding(uint8 predicate, bool isEnclaves, Spec calldata spec, RoundResult calldata result, uint256 slots)
        internal
        pure
        returns (Finding memory)
    {
        bytes32 specHash = Messages.hashFirstSpec();
        require(result.spec == specHash, OtherSpec(result.spec, specHash));
        return Finding({
            predicate: predicate,
            isEnclaves: isEnclaves,
            round: spec.round,
            spec: specHash,
            enclave: spec.enclave,
            result: keccak256(abi.encodePacked(Messages.RESULT_TYPE, msg.data[Messages.FIRST_SPEC_END:RESULT_END])),
            slots: slots
        });
    }

    /// @dev The leaf of a counted slot; returns the root of its row.
    function _checkCounted(RoundResult calldata result, SetLeaf calldata set) internal pure returns (bytes32 rowRoot) {
        require(Slots.has(result.counted, set.slot), NotCounted(set.slot));
        _checkSet(result, set);
        require(set.data.length == SignedLeaves.LENGTH, WrongLength(SignedLeaves.LENGTH, set.data.length));
        return bytes32(set.data);
    }

    function _checkSet(RoundResult calldata result, SetLeaf calldata set) internal pure {
        Merkle.check(result.setRoot, Merkle.SET, set.slot, set.slots, set.data, set.path);
    }

    /// @dev Exact: |product| < 2^30, 4096 of them.
    function _productOf(bytes calldata left, bytes calldata right) internal pure returns (int256 sum) {
        unchecked {
            for (uint256 i = 0; i < left.length; i += 32) {
                uint256 a = _swapped(uint256(bytes32(left[i:])));
                uint256 b = _swapped(uint256(bytes32(right[i:])));
                for (uint256 lane = 0; lane < LANES; ++lane) {
                    sum += int256(int16(uint16(a))) * int16(uint16(b));
                    a >>= 16;
                    b >>= 16;
                }
            }
        }
    }

    /// @dev Sixteen little-endian numbers as big-endian ones.
    function _swapped(uint256 word) internal pure returns (uint256) {
        return ((word >> 8) & EVEN_BYTES) | ((word & EVEN_BYTES) << 8);
    }

    /// @dev The leaves of one chunk are neighbours and, all but the last ones sixteen, a subtree of the row's tree: the
    /// node at place `chunk` of the level of sixteen leaves.
    function _checkRows(Spec calldata spec, RoundResult calldata result, uint256 chunk, RowChunk calldata rows)
        internal
        pure
    {
        bytes32 root = _checkCounted(result, rows.set);
        uint256 all = _pieces(spec.dimension, ROW_LEAF);
        uint256 count = all - chunk * CHUNK_LEAVES; // fails where there is no such chunk
        if (count > CHUNK_LEAVES) count = CHUNK_LEAVES;
        _checkLength(count * ROW_BYTES, rows.data.length);
        bytes32[] memory leaves = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            leaves[i] = Merkle.leafHash(Merkle.ROW, rows.data[i * ROW_BYTES:(i + 1) * ROW_BYTES]);
        }
        Merkle.checkNode(root, chunk, _chunks(spec), Merkle.rootOf(leaves), rows.path);
    }

    function _checkOutcomes(RoundResult calldata result, bytes calldata outcomes) internal pure {
        bytes32 hash = keccak256(outcomes);
        require(hash == result.outcomes, OtherOutcomes(result.outcomes, hash));
    }

    function _checkCohort(Spec calldata spec, address[] calldata cohort) internal pure {
        bytes32 hash = Cohorts.hash(cohort);
        require(hash == spec.cohort, OtherCohort(spec.cohort, hash));
    }

    /// @dev A number alone is not the rule: `nnm+trimmed-mean` ends with a trimmed mean of other columns than these.
    function _checkRefutable(Spec calldata spec) internal pure {
        require(Rulebook.isRefutable(spec.rule, spec.chain), NotRefutable(spec.rule, spec.optimizer));
    }

    function _need(bool isWrong) internal pure {
        require(isWrong, NotRefuted());
    }

    function _checkLength(uint256 expected, uint256 actual) internal pure {
        require(actual == expected, WrongLength(expected, actual));
    }

    function _samplesOf(SetLeaf calldata set) internal pure returns (uint256) {
        return uint32(bytes4(set.data[32:]));
    }

    function _wordOf(bytes calldata outcomes, uint256 slot) internal pure returns (uint256) {
        return Outcomes.wordAt(outcomes, slot);
    }

    function _chunks(Spec calldata spec) internal pure returns (uint256) {
        return _pieces(spec.dimension, CHUNK);
    }

    /// @dev ceil(a / b).
    function _pieces(uint256 a, uint256 b) internal pure returns (uint256) {
        return (a + b - 1) / b;
    }
}
