// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {IEnclaves} from "../interfaces/IEnclaves.sol";
import {Finding, Leaf, RowChunk, SetLeaf} from "../interfaces/IPredicates.sol";
import {IRoundLedger} from "../interfaces/IRoundLedger.sol";
import {ISetPredicates} from "../interfaces/ISetPredicates.sol";
import {Merkle} from "../libraries/Merkle.sol";
import {Messages, Receipt, RoundResult, Spec} from "../libraries/Messages.sol";
import {Numbers} from "../libraries/Numbers.sol";
import {Outcomes} from "../libraries/Outcomes.sol";
import {Rulebook} from "../libraries/Rulebook.sol";
import {SignedLeaves} from "../libraries/SignedLeaves.sol";
import {Predicates} from "./Predicates.sol";

/// @title What signatures, set leaves and row leaves show
contract SetPredicates is ISetPredicates, Predicates {
    constructor(address ledger_) Predicates(ledger_) {}

    /// @inheritdoc ISetPredicates
    function receiptBroken(
        Spec calldata spec,
        RoundResult calldata result,
        address[] calldata cohort,
        Receipt calldata receipt,
        bytes calldata signature,
        SetLeaf calldata set
    ) external view returns (Finding memory finding) {
        _checkCohort(spec, cohort);
        _checkReceipt(spec, receipt, signature);
        require(receipt.slot == set.slot, OtherSlot(set.slot, receipt.slot));
        _checkSet(result, set);
        bytes32 commitment = IRoundLedger(_ledger).commitmentOf(spec.round, cohort[set.slot]);
        require(commitment == bytes32(0), HasCommitment(commitment));
        finding = _finding(3, false, spec, result, set.slots);
        if (set.data.length == SignedLeaves.LENGTH) {
            _need(SignedLeaves.updateOf(spec, finding.spec, cohort[set.slot], set.data) != receipt.update);
        } else {
            finding.isEnclaves = _reasonOf(set) < Outcomes.UNDELIVERED;
        }
    }

    /// @inheritdoc ISetPredicates
    function commitmentBroken(
        Spec calldata spec,
        RoundResult calldata result,
        address[] calldata cohort,
        SetLeaf calldata set
    ) external view returns (Finding memory finding) {
        _checkCohort(spec, cohort);
        _checkSet(result, set);
        bytes32 commitment = IRoundLedger(_ledger).commitmentOf(spec.round, cohort[set.slot]);
        finding = _finding(3, false, spec, result, set.slots);
        if (set.data.length == SignedLeaves.LENGTH) {
            bytes32 counted = SignedLeaves.updateOf(spec, finding.spec, cohort[set.slot], set.data);
            _need(commitment != bytes32(0) && counted != commitment);
        } else if (commitment == bytes32(0)) {
            uint256 reason = _reasonOf(set);
            _need(reason == Outcomes.UNDELIVERED || reason == Outcomes.UNOPENED);
        } else {
            _need(_reasonOf(set) < Outcomes.UNDELIVERED);
        }
    }

    /// @inheritdoc ISetPredicates
    function signatureWrong(
        Spec calldata spec,
        RoundResult calldata result,
        address[] calldata cohort,
        SetLeaf calldata set
    ) external view returns (Finding memory finding) {
        _checkCohort(spec, cohort);
        _checkCounted(result, set);
        finding = _finding(7, true, spec, result, set.slots);
        bytes32 domain = IRoundLedger(_ledger).domainSeparator();
        _need(!SignedLeaves.isSigned(spec, finding.spec, domain, cohort[set.slot], set.data));
    }

    /// @inheritdoc ISetPredicates
    function setLeafDiffers(
        Spec calldata spec,
        RoundResult calldata result,
        bytes calldata outcomes,
        SetLeaf calldata set
    ) external pure returns (Finding memory) {
        _checkOutcomes(result, outcomes);
        _checkSet(result, set);
        _need(!_isAsStated(spec, _wordOf(outcomes, set.slot), set));
        return _finding(7, true, spec, result, set.slots);
    }

    /// @inheritdoc ISetPredicates
    function rowMalformed(
        Spec calldata spec,
        RoundResult calldata result,
        SetLeaf calldata set,
        Leaf calldata row,
        uint256 coordinate
    ) external pure returns (Finding memory) {
        bytes32 root = _checkCounted(result, set);
        Merkle.check(root, Merkle.ROW, row.index, _pieces(spec.dimension, ROW_LEAF), row.data, row.path);
        if (row.data.length == ROW_BYTES) {
            require(coordinate < ROW_LEAF, NoSuchCoordinate(ROW_LEAF, coordinate));
            int256 value = Numbers.int16At(row.data, coordinate);
            bool isPast = row.index * ROW_LEAF + coordinate >= spec.dimension;
            _need(isPast ? value != 0 : value == type(int16).min);
        }
        return _finding(7, true, spec, result, set.slots);
    }

    /// @inheritdoc ISetPredicates
    function rowOverBound(
        Spec calldata spec,
        RoundResult calldata result,
        RowChunk[] calldata rows,
        uint256[] calldata chunks
    ) external pure returns (Finding memory) {
        _need(rows.length != 0 && spec.normBound != 0);
        _checkLength(rows.length, chunks.length);
        SetLeaf calldata set = rows[0].set;
        int256 sum = 0;
        for (uint256 i = 0; i < rows.length; ++i) {
            require(i == 0 || chunks[i] > chunks[i - 1], NoSuchLeaf(chunks[i], i)); // each once
            require(rows[i].set.slot == set.slot, OtherSlot(set.slot, rows[i].set.slot));
            require(rows[i].set.slots == set.slots, OtherSlots(set.slots, rows[i].set.slots));
            _checkRows(spec, result, chunks[i], rows[i]);
            sum += _productOf(rows[i].data, rows[i].data);
        }
        _need(sum > int256(uint256(spec.normBound)));
        return _finding(7, true, spec, result, set.slots);
    }

    /// @inheritdoc ISetPredicates
    function twoResults(
        Spec calldata spec,
        RoundResult calldata one,
        bytes calldata oneSignature,
        RoundResult calldata other,
        bytes calldata otherSignature
    ) external view returns (Finding memory) {
        bytes32 first = _checkResult(spec, one, oneSignature);
        _need(first != _checkResult(spec, other, otherSignature));
        return _findingOfSignatures(spec);
    }

    /// @inheritdoc ISetPredicates
    function twoReceipts(
        Spec calldata spec,
        Receipt calldata one,
        bytes calldata oneSignature,
        Receipt calldata other,
        bytes calldata otherSignature
    ) external view returns (Finding memory) {
        _checkReceipt(spec, one, oneSignature);
        _checkReceipt(spec, other, otherSignature);
        require(one.slot == other.slot, OtherSlot(one.slot, other.slot));
        _need(one.update != other.update);
        return _findingOfSignatures(spec);
    }

    /// @dev The spec is held against the ledger's by `Disputes`.
    function _findingOfSignatures(Spec calldata spec) private pure returns (Finding memory) {
        return Finding({
            predicate: 8,
            isEnclaves: true,
            round: spec.round,
            spec: Messages.hashSpec(spec),
            enclave: spec.enclave,
            result: bytes32(0),
            slots: 0
        });
    }

    function _checkResult(Spec calldata spec, RoundResult calldata result, bytes calldata signature)
        private
        view
        returns (bytes32 hash)
    {
        _checkPlace(spec, result.federation, result.round, result.enclave);
        hash = Messages.hashResult(result);
        _checkSigner(spec, hash, signature);
    }

    function _checkReceipt(Spec calldata spec, Receipt calldata receipt, bytes calldata signature) private view {
        _checkPlace(spec, receipt.federation, receipt.round, receipt.enclave);
        _checkSigner(spec, Messages.hashReceipt(receipt), signature);
    }

    function _checkPlace(Spec calldata spec, bytes32 federation, uint64 round, bytes32 enclave) private pure {
        require(federation == spec.federation, OtherFederation(spec.federation, federation));
        require(round == spec.round, OtherRound(spec.round, round));
        require(enclave == spec.enclave, OtherEnclave(spec.enclave, enclave));
    }

    /// @dev The round's one enclave, whatever else its coordinator has registered.
    function _checkSigner(Spec calldata spec, bytes32 hash, bytes calldata signature) private view {
        address expected = IEnclaves(IRoundLedger(_ledger).enclaves()).signerOf(spec.enclave);
        bytes32 domain = IRoundLedger(_ledger).domainSeparator();
        (address actual,,) = ECDSA.tryRecover(Messages.digest(domain, hash), signature);
        require(actual == expected && actual != address(0), OtherSigner(expected, actual));
    }

    /// @dev Counted: samples that may weigh. Any other: zeros, and the reason that the outcome has.
    function _isAsStated(Spec calldata spec, uint256 word, SetLeaf calldata set) private pure returns (bool) {
        if (Outcomes.isCounted(word)) {
            if (set.data.length != SignedLeaves.LENGTH) return false;
            return spec.rule != Rulebook.WEIGHTED_MEAN || _samplesOf(set) != 0;
        }
        if (set.data.length != OTHER_LEAF_BYTES || bytes32(set.data) != bytes32(0)) return false;
        return uint8(set.data[32]) == Outcomes.reasonOf(word);
    }

    /// @dev Of a leaf that is not counted.
    function _reasonOf(SetLeaf calldata set) private pure returns (uint256) {
        _checkLength(OTHER_LEAF_BYTES, set.data.length);
        return uint8(set.data[32]);
    }
}
