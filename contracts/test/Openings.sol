// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IColumnPredicates} from "../src/interfaces/IColumnPredicates.sol";
import {IDisputes} from "../src/interfaces/IDisputes.sol";
import {IGramPredicates} from "../src/interfaces/IGramPredicates.sol";
import {Column, Finding, GramLine, Leaf, RowChunk, SetLeaf, Sums} from "../src/interfaces/IPredicates.sol";
import {IRoundLedger} from "../src/interfaces/IRoundLedger.sol";
import {ISetPredicates} from "../src/interfaces/ISetPredicates.sol";
import {Receipt} from "../src/libraries/Messages.sol";
import {Verdict} from "../src/libraries/Verdicts.sol";
import {Definitions} from "./Definitions.sol";
import {RealRound} from "./RealRound.sol";
import {Trees} from "./Trees.sol";

/// @title Every proof that can be made of a whole round, and what is asked of it
abstract contract Openings is RealRound {
    bytes32 internal constant NO_SALT = bytes32(0);
    address internal constant PROVER = address(0xF00D);

    function columnOf(Whole memory w, uint256 leaf) internal pure returns (Column memory column) {
        column.index = leaf;
        column.columns = w.columnParts[leaf];
        column.totals = sha256(w.totalParts[leaf]);
        column.aggregate = aggregatePart(w, leaf);
        column.path = Trees.pathOf(3, w.columnLeaves, leaf);
    }

    function sumsOf(Whole memory w, uint256 leaf) internal pure returns (Sums memory sums) {
        sums.index = leaf;
        sums.columns = sha256(w.columnParts[leaf]);
        sums.totals = w.totalParts[leaf];
        sums.aggregate = aggregatePart(w, leaf);
        sums.path = Trees.pathOf(3, w.columnLeaves, leaf);
    }

    function aggregatePart(Whole memory w, uint256 leaf) private pure returns (bytes memory part) {
        part = new bytes(64);
        for (uint256 i = 0; i < 64; ++i) {
            part[i] = w.columnLeaves[leaf][64 + i];
        }
    }

    function leafOf(uint256 kind, bytes[] memory leaves, uint256 index) internal pure returns (Leaf memory leaf) {
        return Leaf({index: index, data: leaves[index], path: Trees.pathOf(kind, leaves, index)});
    }

    function setOf(Whole memory w, uint256 slot) internal pure returns (SetLeaf memory set) {
        bytes32[] memory path = Trees.pathOf(2, w.setLeaves, slot);
        return SetLeaf({slot: slot, slots: w.setLeaves.length, data: w.setLeaves[slot], path: path});
    }

    function lineOf(Whole memory w, uint256 chunk, uint256 slot) internal pure returns (GramLine memory line) {
        uint256 index = chunk * w.slots.length + placeOf(w, slot);
        return GramLine({slot: slot, data: w.gramLeaves[index], path: Trees.pathOf(4, w.gramLeaves, index)});
    }

    function finalOf(Whole memory w, uint256 slot) internal pure returns (GramLine memory) {
        return lineOf(w, w.gram.length - 1, slot);
    }

    /// @dev Its path is that of its first leaf, without the part inside the chunk.
    function rowChunkOf(Whole memory w, uint256 chunk, uint256 slot) internal pure returns (RowChunk memory rows) {
        rows.set = setOf(w, slot);
        bytes[] memory leaves = w.rowLeaves[slot];
        bytes32[] memory path = Trees.pathOf(1, leaves, 16 * chunk);
        uint256 inside = 0;
        for (uint256 i = 16 * chunk; i < 16 * chunk + 16 && i < leaves.length; ++i) {
            rows.data = bytes.concat(rows.data, leaves[i]);
            if (i > 16 * chunk && (i & (i - 1)) & 15 == 0) ++inside; // 2, 3, 5 and 9 leaves are a level more each
        }
        rows.path = new bytes32[](path.length - inside);
        for (uint256 i = 0; i < rows.path.length; ++i) {
            rows.path[i] = path[inside + i];
        }
    }

    function columnDiffers(Whole memory w, uint256 leaf, uint256 slot) internal pure returns (bytes memory) {
        bytes[] memory row = w.rowLeaves[slot];
        bytes32[] memory path = Trees.pathOf(1, row, leaf / 16);
        return abi.encodeCall(
            IColumnPredicates.columnDiffers,
            (w.round.spec, w.round.result, columnOf(w, leaf), setOf(w, slot), row[leaf / 16], path)
        );
    }

    function aggregateDiffers(Whole memory w, uint256 c) internal pure returns (bytes memory) {
        return aggregateDiffers(w, c, w.low[c], w.high[c]);
    }

    function aggregateDiffers(Whole memory w, uint256 c, int256 low, int256 high) internal pure returns (bytes memory) {
        return abi.encodeCall(
            IColumnPredicates.aggregateDiffers,
            (w.round.spec, w.round.result, columnOf(w, c / 16), c % 16, int16(low), int16(high), w.round.outcomes)
        );
    }

    function totalDiffers(Whole memory w, uint256 leaf, uint256 slot) internal pure returns (bytes memory) {
        Sums memory before = sumsOf(w, leaf == 0 ? 0 : leaf - 1);
        return abi.encodeCall(
            IColumnPredicates.totalDiffers,
            (w.round.spec, w.round.result, columnOf(w, leaf), w.totalParts[leaf], before, slot)
        );
    }

    function outcomeDiffers(Whole memory w, uint256 slot) internal pure returns (bytes memory) {
        Sums memory last = sumsOf(w, w.columnLeaves.length - 1);
        return abi.encodeCall(
            IColumnPredicates.outcomeDiffers, (w.round.spec, w.round.result, last, w.round.outcomes, slot)
        );
    }

    function weightDiffers(Whole memory w, uint256 slot) internal pure returns (bytes memory) {
        return abi.encodeCall(
            IColumnPredicates.weightDiffers, (w.round.spec, w.round.result, w.round.outcomes, setOf(w, slot))
        );
    }

    function modelDiffers(Whole memory w, uint256 c) internal pure returns (bytes memory) {
        Leaf memory column = leafOf(3, w.columnLeaves, c / 16);
        (Leaf memory base, Leaf memory next) = (leafOf(5, w.baseLeaves, c / 256), leafOf(5, w.nextLeaves, c / 256));
        return abi.encodeCall(
            IColumnPredicates.modelDiffers, (w.round.spec, w.round.result, column, c % 16, base, next)
        );
    }

    function modelPaddingDiffers(Whole memory w, uint256 c) internal pure returns (bytes memory) {
        Leaf memory next = leafOf(5, w.nextLeaves, c / 256);
        return abi.encodeCall(
            IColumnPredicates.modelPaddingDiffers, (w.round.spec, w.round.result, next, c % 256)
        );
    }

    function columnMalformed(Whole memory w, uint256 leaf) internal pure returns (bytes memory) {
        Leaf memory column = leafOf(3, w.columnLeaves, leaf);
        return abi.encodeCall(IColumnPredicates.columnMalformed, (w.round.spec, w.round.result, column));
    }

    function preimageMalformed(Whole memory w, uint256 leaf, bool isTotals) internal pure returns (bytes memory) {
        bytes memory part = isTotals ? w.totalParts[leaf] : w.columnParts[leaf];
        Leaf memory column = leafOf(3, w.columnLeaves, leaf);
        return abi.encodeCall(
            IColumnPredicates.preimageMalformed, (w.round.spec, w.round.result, column, isTotals, part)
        );
    }

    function modelMalformed(Whole memory w, uint256 leaf) internal pure returns (bytes memory) {
        Leaf memory next = leafOf(5, w.nextLeaves, leaf);
        return abi.encodeCall(IColumnPredicates.modelMalformed, (w.round.spec, w.round.result, next));
    }

    function productDiffers(Whole memory w, uint256 chunk, uint256 i, uint256 j) internal pure returns (bytes memory) {
        GramLine memory before = lineOf(w, chunk == 0 ? 0 : chunk - 1, i);
        (RowChunk memory left, RowChunk memory right) = (rowChunkOf(w, chunk, i), rowChunkOf(w, chunk, j));
        return abi.encodeCall(
            IGramPredicates.productDiffers,
            (w.round.spec, w.round.result, chunk, lineOf(w, chunk, i), before, left, right)
        );
    }

    function productsDiffer(Whole memory w, uint256 chunk, uint256 i, uint256 j) internal pure returns (bytes memory) {
        return abi.encodeCall(
            IGramPredicates.productsDiffer,
            (w.round.spec, w.round.result, chunk, lineOf(w, chunk, i), lineOf(w, chunk, j))
        );
    }

    function normsDiffer(Whole memory w, uint256 i, uint256 j) internal pure returns (bytes memory) {
        return abi.encodeCall(
            IGramPredicates.normsDiffer,
            (w.round.spec, w.round.result, w.round.outcomes, finalOf(w, i), finalOf(w, j))
        );
    }

    function selectionDiffers(Whole memory w, uint256 chosen, uint256 other) internal pure returns (bytes memory) {
        return selectionDiffers(w, chosen, other, reachOf(w, chosen), reachOf(w, other));
    }

    function selectionDiffers(Whole memory w, uint256 chosen, uint256 other, int256 reach, int256 otherReach)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeCall(
            IGramPredicates.selectionDiffers,
            (w.round.spec, w.round.result, w.round.outcomes, finalOf(w, chosen), finalOf(w, other), reach, otherReach)
        );
    }

    /// @dev The largest of the distances that a score is the sum of.
    function reachOf(Whole memory w, uint256 slot) internal pure returns (int256) {
        return Definitions.sorted(distancesOf(w, placeOf(w, slot)))[w.slots.length - w.shape.f - 3];
    }

    function normOverBound(Whole memory w, uint256 slot) internal pure returns (bytes memory) {
        return abi.encodeCall(IGramPredicates.normOverBound, (w.round.spec, w.round.result, finalOf(w, slot)));
    }

    function gramMalformed(Whole memory w, uint256 index) internal pure returns (bytes memory) {
        Leaf memory leaf = leafOf(4, w.gramLeaves, index);
        return abi.encodeCall(IGramPredicates.gramMalformed, (w.round.spec, w.round.result, leaf));
    }

    function receiptOf(Whole memory w, uint256 slot, bytes32 update) internal view returns (Receipt memory) {
        return Receipt({
            federation: FEDERATION,
            round: w.round.spec.round,
            slot: uint16(slot),
            update: update,
            enclave: enclave
        });
    }

    function receiptBroken(Whole memory w, Receipt memory receipt) internal view returns (bytes memory) {
        return receiptBroken(w, receipt, signatureOf(ENCLAVE_KEY, harness.hashReceipt(receipt)), receipt.slot);
    }

    function receiptBroken(Whole memory w, Receipt memory receipt, bytes memory signature, uint256 slot)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeCall(
            ISetPredicates.receiptBroken,
            (w.round.spec, w.round.result, w.round.cohort, receipt, signature, setOf(w, slot))
        );
    }

    function commitmentBroken(Whole memory w, uint256 slot) internal pure returns (bytes memory) {
        return abi.encodeCall(
            ISetPredicates.commitmentBroken, (w.round.spec, w.round.result, w.round.cohort, setOf(w, slot))
        );
    }

    function signatureWrong(Whole memory w, uint256 slot) internal pure returns (bytes memory) {
        return abi.encodeCall(
            ISetPredicates.signatureWrong, (w.round.spec, w.round.result, w.round.cohort, setOf(w, slot))
        );
    }

    function setLeafDiffers(Whole memory w, uint256 slot) internal pure returns (bytes memory) {
        return abi.encodeCall(
            ISetPredicates.setLeafDiffers, (w.round.spec, w.round.result, w.round.outcomes, setOf(w, slot))
        );
    }

    function rowMalformed(Whole memory w, uint256 slot, uint256 c) internal pure returns (bytes memory) {
        Leaf memory row = leafOf(1, w.rowLeaves[slot], c / 256);
        return abi.encodeCall(
            ISetPredicates.rowMalformed, (w.round.spec, w.round.result, setOf(w, slot), row, c % 256)
        );
    }

    /// @dev All chunks of a row.
    function rowOverBound(Whole memory w, uint256 slot) internal pure returns (bytes memory) {
        RowChunk[] memory rows = new RowChunk[]((w.rowLeaves[slot].length + 15) / 16);
        uint256[] memory chunks = new uint256[](rows.length);
        for (uint256 chunk = 0; chunk < rows.length; ++chunk) {
            (rows[chunk], chunks[chunk]) = (rowChunkOf(w, chunk, slot), chunk);
        }
        return rowOverBound(w, rows, chunks);
    }

    function rowOverBound(Whole memory w, RowChunk[] memory rows, uint256[] memory chunks)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeCall(ISetPredicates.rowOverBound, (w.round.spec, w.round.result, rows, chunks));
    }

    /// @dev The proof shows what it is for, to the predicate and to the ledger; `refute` is believed once.
    function refuted(Whole memory w, IDisputes.Family family, bytes memory proof, uint256 predicate, bool isEnclaves)
        internal
    {
        shows(w, family, proof, predicate, isEnclaves);
        same("proposed", uint256(IRoundLedger.State.Proposed), uint256(ledger.stateOf(1)));
        vm.prank(PROVER);
        disputes.refute(family, proof, NO_SALT);
        same("void", uint256(IRoundLedger.State.Void), uint256(ledger.stateOf(1)));
        same("no result", bytes32(0), ledger.resultOf(1));
        same("verdict", tagOf(w, predicate), ledger.verdictOf(coordinator));
        so("suspended or not", consortium.isMeasurementAllowed(MEASUREMENT) != isEnclaves);
    }

    /// @dev Of the verdict that freezes the bond.
    function tagOf(Whole memory w, uint256 predicate) internal view returns (uint136) {
        Verdict memory verdict = Verdict({
            round: 1,
            predicate: uint8(predicate),
            result: harness.hashResult(w.round.result),
            coordinator: coordinator,
            prover: PROVER,
            committedAt: uint64(block.number),
            decidedAt: uint64(block.timestamp),
            slots: uint16(w.shape.n),
            pot: BOND
        });
        return uint136(uint256(keccak256(abi.encode(verdict))));
    }

    function shows(Whole memory w, IDisputes.Family family, bytes memory proof, uint256 predicate, bool isEnclaves)
        internal
        view
    {
        (bool ok, bytes memory data) = disputes.predicates(family).staticcall(proof);
        if (!ok) again(data);
        Finding memory expected = Finding({
            predicate: uint8(predicate),
            isEnclaves: isEnclaves,
            round: 1,
            spec: w.specHash,
            enclave: enclave,
            result: predicate == 8 ? bytes32(0) : harness.hashResult(w.round.result),
            slots: isOfSet(bytes4(proof)) ? w.shape.n : 0
        });
        same("finding", keccak256(abi.encode(expected)), keccak256(data));
    }

    /// @dev Whether this predicate opens a set leaf.
    function isOfSet(bytes4 selector) private pure returns (bool) {
        return selector == IColumnPredicates.columnDiffers.selector
            || selector == IColumnPredicates.weightDiffers.selector
            || selector == IGramPredicates.productDiffers.selector
            || selector == ISetPredicates.receiptBroken.selector
            || selector == ISetPredicates.commitmentBroken.selector
            || selector == ISetPredicates.signatureWrong.selector
            || selector == ISetPredicates.setLeafDiffers.selector
            || selector == ISetPredicates.rowMalformed.selector
            || selector == ISetPredicates.rowOverBound.selector;
    }

    /// @dev The proof fails, with this error.
    function fails(IDisputes.Family family, bytes memory proof, bytes4 error) internal view {
        (bool ok, bytes memory data) = disputes.predicates(family).staticcall(proof);
        so("nothing found", !ok);
        if (bytes4(data) != error) again(data);
    }

    /// @dev Whatever these bytes are, they show nothing about the round.
    function harmless(Whole memory w, IDisputes.Family family, bytes memory proof) internal view {
        (bool ok, bytes memory data) = disputes.predicates(family).staticcall(proof);
        if (!ok || data.length != 7 * 32) return;
        Finding memory finding = abi.decode(data, (Finding));
        bool isOfResult = finding.result == harness.hashResult(w.round.result);
        bool isOfSignatures = finding.result == bytes32(0) && finding.spec == w.specHash;
        bool isOfCohort = finding.slots == 0 || finding.slots == w.shape.n;
        so("harmless", !(isOfCohort && (isOfResult || isOfSignatures)));
    }

    /// @dev Reverts with an error that was caught.
    function again(bytes memory error) private pure {
        if (error.length == 0) revert NotSo("reverted without a word");
        revert Caught(error);
    }

    error Caught(bytes error);
}
