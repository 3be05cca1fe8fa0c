// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Answer, IDisputes} from "../src/interfaces/IDisputes.sol";
import {Leaf} from "../src/interfaces/IPredicates.sol";
import {Definitions} from "./Definitions.sol";
import {Openings} from "./Openings.sol";

/// @title A proof of the largest round fits a transaction
contract LargeRoundsTest is Openings {
    IDisputes.Family internal constant COLUMN = IDisputes.Family.Column;
    IDisputes.Family internal constant GRAM = IDisputes.Family.Gram;
    IDisputes.Family internal constant SET = IDisputes.Family.Set;
    uint256 internal constant MOST = 2 ** 24; // gas of a transaction (EIP-7825)

    function largest(uint8 rule, uint256 f) private returns (Whole memory) {
        return honest(Shape({seed: 21, rule: rule, n: 256, counted: type(uint256).max, f: f, m: 1, d: 18}));
    }

    /// @dev In the last leaf the last slot lies in every way that columns know.
    function columnsOf(uint8 rule) private {
        Whole memory w = largest(rule, 100);
        w.columns[255][17] ^= 1;
        from(w, Step.Aggregate);
        w.aggregate[16] += 1 << 20;
        from(w, Step.Total);
        w.kept[1][255] += 1;
        from(w, Step.Judge);
        encode(w);
        w.setLeaves[255][99] ^= 0x01;
        commit(w);
        fits(w, COLUMN, columnDiffers(w, 1, 255), 1);
        fits(w, COLUMN, totalDiffers(w, 1, 255), 4);
        fits(w, SET, signatureWrong(w, 255), 7);
        fits(w, COLUMN, aggregateDiffers(w, 16), 2);
    }

    function test_columns_of_256_slots_under_a_weighted_mean() public {
        columnsOf(2);
    }

    function test_columns_of_256_slots_under_a_trimmed_mean() public {
        columnsOf(4);
    }

    function test_a_selection_among_256_slots() public {
        Whole memory w =
            thin(Shape({seed: 22, rule: 6, n: 256, counted: type(uint256).max, f: 126, m: 1, d: 3}));
        uint256 worse = scoreOf(w, 0) > scoreOf(w, 255) ? 0 : 255;
        w.selected = 1 << worse;
        commit(w);
        fits(w, GRAM, selectionDiffers(w, worse, 255 - worse), 5);
    }

    function scoreOf(Whole memory w, uint256 slot) private pure returns (int256) {
        return Definitions.sumOf(Definitions.sorted(distancesOf(w, slot)), 0, 256 - w.shape.f - 2);
    }

    function test_a_trimmed_mean_of_32_slots() public {
        Whole memory w =
            honest(Shape({seed: 23, rule: 4, n: 32, counted: type(uint32).max, f: 10, m: 0, d: 40}));
        w.aggregate[39] += 1;
        from(w, Step.Total);
        encode(w);
        commit(w);
        fits(w, COLUMN, aggregateDiffers(w, 39), 2);
    }

    /// @dev Two whole chunks of rows are the longest proof there is, whatever the number of slots.
    function test_a_product_of_4096_coordinates() public {
        Whole memory w = thin(Shape({seed: 24, rule: 5, n: 3, counted: 7, f: 0, m: 0, d: 8192}));
        w.gram[1][0][1] += 1;
        encodeGram(w);
        commit(w);
        fits(w, GRAM, productDiffers(w, 1, 0, 1), 4);
    }

    /// @dev However long a leaf is: if an answer to who asked for it fits a transaction, so does what refutes it.
    function test_a_leaf_that_is_too_long_costs_more_to_show_than_to_refute() public {
        Whole memory w = honest(Shape({seed: 25, rule: 3, n: 5, counted: 31, f: 0, m: 0, d: 300}));
        bytes memory long = new bytes(100_000);
        (w.nextLeaves[0], w.setLeaves[0], w.columnParts[0]) = (long, long, long);
        encodeColumn(w, 0);
        w.rowLeaves[1][0] = long;
        w.setLeaves[1] = signedLeaf(w, 1, w.keys[1]);
        commit(w);
        Answer memory answer = answerOf(leafOf(5, w.nextLeaves, 0));
        isDearer(w, IDisputes.Tree.Model, answer, COLUMN, modelMalformed(w, 0));
        answer = answerOf(leafOf(2, w.setLeaves, 0));
        isDearer(w, IDisputes.Tree.Set, answer, SET, setLeafDiffers(w, 0));
        answer = answerOf(leafOf(3, w.columnLeaves, 0));
        (answer.columns, answer.totals) = (long, w.totalParts[0]);
        isDearer(w, IDisputes.Tree.Column, answer, COLUMN, preimageMalformed(w, 0, false));
        answer = answerOf(leafOf(1, w.rowLeaves[1], 0));
        answer.set = setOf(w, 1);
        isDearer(w, IDisputes.Tree.Row, answer, SET, rowMalformed(w, 1, 0));
    }

    function answerOf(Leaf memory leaf) private pure returns (Answer memory answer) {
        (answer.data, answer.path) = (leaf.data, leaf.path);
    }

    /// @dev The calldata is about as long.
    function isDearer(
        Whole memory w,
        IDisputes.Tree tree,
        Answer memory answer,
        IDisputes.Family family,
        bytes memory proof
    ) private {
        uint256 snapshot = vm.snapshotState();
        uint256 deposit = disputes.deposit();
        vm.deal(member(0), deposit);
        vm.prank(member(0));
        disputes.requestLeaf{value: deposit}(w.round.spec, w.round.result, tree, uint16(answer.set.slot), 0);
        bytes memory shown = abi.encodeCall(IDisputes.answerLeaf, (w.round.spec, w.round.result, member(0), answer));
        bytes memory refuting = abi.encodeCall(IDisputes.refute, (family, proof, NO_SALT));
        so("dearer", gasOf(shown) > gasOf(refuting));
        vm.revertToState(snapshot);
    }

    /// @dev Of a call that goes through and is undone; the second time, when the test's own memory is there.
    function gasOf(bytes memory data) private returns (uint256 used) {
        for (uint256 i = 0; i < 2; ++i) {
            uint256 snapshot = vm.snapshotState();
            uint256 before = gasleft();
            (bool ok,) = address(disputes).call(data);
            used = before - gasleft();
            vm.revertToState(snapshot);
            so("goes through", ok);
        }
    }

    /// @dev All of `refute` and the calldata: 16 gas a byte, or, if that is more than all, 40 (EIP-7623).
    function fits(Whole memory w, IDisputes.Family family, bytes memory proof, uint256 predicate) private {
        shows(w, family, proof, predicate, true);
        bytes memory data = abi.encodeCall(IDisputes.refute, (family, proof, NO_SALT));
        uint256 used = gasOf(data);
        so("fits", 21_000 + 16 * data.length + used < MOST && 21_000 + 40 * data.length < MOST);
    }
}
