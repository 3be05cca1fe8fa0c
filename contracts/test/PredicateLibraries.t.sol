// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IPredicates} from "../src/interfaces/IPredicates.sol";
import {Check} from "./Check.sol";
import {Definitions} from "./Definitions.sol";
import {LibrariesHarness} from "./LibrariesHarness.sol";
import {Trees} from "./Trees.sol";

/// @title Trees, numbers and ranks against their definitions
contract PredicateLibrariesTest is Check {
    LibrariesHarness internal harness = new LibrariesHarness();

    /// @dev So many leaves of kind 1, each its number; every third is empty.
    function leavesOf(uint256 count) private pure returns (bytes[] memory leaves) {
        leaves = new bytes[](count);
        for (uint256 i = 0; i < count; ++i) {
            if (i % 3 != 0) leaves[i] = abi.encodePacked(uint16(i));
        }
    }

    function found(bytes32 root, uint8 kind, uint256 index, uint256 size, bytes memory data, bytes32[] memory path)
        private
        view
        returns (bool ok)
    {
        (ok,) = address(harness).staticcall(abi.encodeCall(harness.check, (root, kind, index, size, data, path)));
    }

    function test_a_root_is_that_of_the_recursive_definition() public view {
        for (uint256 size = 1; size <= 70; ++size) {
            bytes32[] memory hashes = Trees.hashesOf(1, leavesOf(size));
            same("root", Trees.rootOf(hashes), harness.rootOf(hashes));
        }
    }

    function test_every_leaf_of_every_size_is_found_and_under_no_other_index() public view {
        for (uint256 size = 1; size <= 20; ++size) {
            bytes[] memory leaves = leavesOf(size);
            bytes32 root = Trees.rootOf(1, leaves);
            for (uint256 index = 0; index < size; ++index) {
                bytes32[] memory path = Trees.pathOf(1, leaves, index);
                for (uint256 at = 0; at <= size; ++at) {
                    bytes memory data = leaves[index];
                    so("only there", found(root, 1, at, size, data, path) == (at == index));
                }
            }
        }
    }

    function testFuzz_nothing_of_an_opening_may_be_another(uint256 size, uint256 index, uint8 kind, uint256 noise)
        public
        view
    {
        size = within(size, 2, 40);
        index %= size;
        bytes[] memory leaves = leavesOf(size);
        bytes32 root = Trees.rootOf(1, leaves);
        bytes32[] memory path = Trees.pathOf(1, leaves, index);
        so("found", found(root, 1, index, size, leaves[index], path));
        so("kind", kind == 1 || !found(root, kind, index, size, leaves[index], path));
        so("data", !found(root, 1, index, size, abi.encodePacked(leaves[index], uint8(noise)), path));
        path[noise % path.length] ^= bytes32(noise | 1);
        so("path", !found(root, 1, index, size, leaves[index], path));
    }

    function testFuzz_a_path_has_the_length_that_follows(uint256 size, uint256 index) public {
        size = within(size, 2, 40);
        index %= size;
        bytes[] memory leaves = leavesOf(size);
        bytes32 root = Trees.rootOf(1, leaves);
        bytes32[] memory path = Trees.pathOf(1, leaves, index);
        bytes32[] memory longer = new bytes32[](path.length + 1);
        bytes32[] memory shorter = new bytes32[](path.length - 1);
        for (uint256 i = 0; i < path.length; ++i) {
            longer[i] = path[i];
            if (i < shorter.length) shorter[i] = path[i];
        }
        vm.expectRevert(abi.encodeWithSelector(IPredicates.WrongPathLength.selector, path.length, path.length + 1));
        harness.check(root, 1, index, size, leaves[index], longer);
        vm.expectRevert(abi.encodeWithSelector(IPredicates.WrongPathLength.selector, path.length, path.length - 1));
        harness.check(root, 1, index, size, leaves[index], shorter);
        vm.expectRevert(abi.encodeWithSelector(IPredicates.NoSuchLeaf.selector, size, size + index));
        harness.check(root, 1, size + index, size, leaves[index], path);
    }

    /// @dev The two halves of an inner node are no leaf, of whatever kind and size of tree.
    function test_a_node_is_no_leaf() public view {
        bytes[] memory leaves = leavesOf(8);
        bytes32[] memory hashes = Trees.hashesOf(1, leaves);
        bytes32 root = Trees.rootOf(hashes);
        (bytes32 left, bytes32 right) = (Trees.rootOf(hashes, 0, 4), Trees.rootOf(hashes, 4, 8));
        bytes32[] memory path = new bytes32[](1);
        path[0] = right;
        (bytes32 first, bytes32 second) = (Trees.rootOf(hashes, 0, 2), Trees.rootOf(hashes, 2, 4));
        for (uint256 kind = 0; kind < 256; ++kind) {
            so("root", !found(root, uint8(kind), 0, 1, abi.encodePacked(left, right), new bytes32[](0)));
            so("node", !found(root, uint8(kind), 0, 2, abi.encodePacked(first, second), path));
        }
        harness.checkNode(root, 0, 2, left, path); // as a node it is there
    }

    /// @dev An odd last leaf goes up alone: it is not there twice.
    function test_a_last_leaf_is_there_once() public view {
        for (uint256 size = 1; size < 20; size += 2) {
            bytes[] memory doubled = leavesOf(size + 1);
            doubled[size] = doubled[size - 1];
            bytes32 root = Trees.rootOf(1, leavesOf(size));
            so("another root", root != Trees.rootOf(1, doubled));
            bytes32[] memory path = Trees.pathOf(1, doubled, size);
            so("not there", !found(root, 1, size, size + 1, doubled[size], path));
            path = Trees.pathOf(1, leavesOf(size), size - 1);
            so("nor past the end", !found(root, 1, size, size, doubled[size], path));
        }
    }

    /// @dev Sixteen neighbours are a subtree, the last ones fewer: that is how chunks of rows are opened.
    function testFuzz_sixteen_neighbours_are_a_node(uint256 size, uint256 chunk) public view {
        size = within(size, 1, 70);
        uint256 chunks = (size + 15) / 16;
        chunk %= chunks;
        bytes32[] memory hashes = Trees.hashesOf(1, leavesOf(size));
        bytes32[] memory roots = new bytes32[](chunks);
        for (uint256 i = 0; i < chunks; ++i) {
            roots[i] = Trees.rootOf(hashes, 16 * i, i + 1 < chunks ? 16 * i + 16 : size);
        }
        harness.checkNode(Trees.rootOf(hashes), chunk, chunks, roots[chunk], Trees.pathOf(roots, chunk));
    }

    function testFuzz_a_floor_is_the_largest_that_is_not_above(int128 a, uint64 b) public view {
        vm.assume(b != 0);
        (int256 wide, int256 divisor) = (a, int256(uint256(b)));
        int256 quotient = harness.floorDiv(wide, divisor);
        so("not above", quotient * divisor <= wide);
        so("largest", (quotient + 1) * divisor > wide);
    }

    function testFuzz_r_is_rounded_and_cut(int32 a) public view {
        int256 r = harness.toInt16(a);
        int256 exact = int256(a) + 2 ** 14;
        if (exact >= 32768 * 2 ** 15) same("cut above", 32767, uint256(r));
        else if (exact < -32767 * 2 ** 15) so("cut below", r == -32767);
        else so("floor", r * 2 ** 15 <= exact && exact < (r + 1) * 2 ** 15);
    }

    function test_r_at_its_ends() public view {
        so("most", harness.toInt16(32767 * 2 ** 15) == 32767);
        so("half a unit more", harness.toInt16(32767 * 2 ** 15 + 2 ** 14) == 32767);
        so("least", harness.toInt16(-32767 * 2 ** 15) == -32767);
        so("half a unit less", harness.toInt16(-32767 * 2 ** 15 - 2 ** 14) == -32767);
        so("and one more", harness.toInt16(-32767 * 2 ** 15 - 2 ** 14 - 1) == -32767);
        so("half up", harness.toInt16(2 ** 14) == 1 && harness.toInt16(2 ** 14 - 1) == 0);
        so("half up below zero", harness.toInt16(-(2 ** 14)) == 0 && harness.toInt16(-(2 ** 14) - 1) == -1);
    }

    function testFuzz_a_value_is_cut_to_32_bits(int40 value) public view {
        int256 cut = harness.saturate32(value);
        if (value > type(int32).max) so("above", cut == type(int32).max);
        else if (value < type(int32).min) so("below", cut == type(int32).min);
        else so("as it is", cut == value);
    }

    function testFuzz_integers_are_read_as_they_are_written(int256[8] memory values, uint256 at) public view {
        int256[] memory list = new int256[](8);
        for (uint256 i = 0; i < 8; ++i) {
            list[i] = int256(int64(values[i]));
        }
        at %= 8;
        so("int64", harness.int64At(Definitions.packed(list, 0, 8, 8, false), at) == list[at]);
        so("int32", harness.int32At(Definitions.packed(list, 0, 8, 4, true), at) == int32(list[at]));
        so("int16", harness.int16At(Definitions.packed(list, 0, 8, 2, true), at) == int16(list[at]));
    }

    /// @dev Sixteen columns, of which one is looked at; many values are equal.
    function testFuzz_ranks_are_those_of_the_sorted_column(uint256 seed, uint8 lane, uint8 rows) public {
        lane %= 16;
        int256[] memory values = new int256[](within(rows, 1, 12));
        bytes memory columns;
        for (uint256 i = 0; i < values.length; ++i) {
            int256[] memory row = new int256[](16);
            for (uint256 j = 0; j < 16; ++j) {
                row[j] = int256(uint256(keccak256(abi.encode(seed, i, j))) % 5) - 2;
                if (seed % 3 == 0) row[j] *= 16383;
            }
            values[i] = row[lane];
            columns = bytes.concat(columns, Definitions.packed(row, 0, 16, 2, true));
        }
        int256[] memory sorted = Definitions.sorted(values);
        for (uint256 rank = 0; rank < sorted.length; ++rank) {
            harness.checkRank(columns, lane, sorted[rank], rank);
            for (uint256 other = 0; other < sorted.length; ++other) {
                if (sorted[other] == sorted[rank]) continue;
                vm.expectPartialRevert(IPredicates.WrongRank.selector);
                harness.checkRank(columns, lane, sorted[other], rank);
            }
        }
        vm.expectPartialRevert(IPredicates.WrongRank.selector);
        harness.checkRank(columns, lane, 3, 0); // nobody's
        ends(columns, lane, sorted, seed);
    }

    function ends(bytes memory columns, uint256 lane, int256[] memory sorted, uint256 seed) private {
        uint256 first = (seed >> 8) % sorted.length;
        uint256 last = within(seed >> 16, first, sorted.length - 1);
        (int256 low, int256 high) = (sorted[first], sorted[last]);
        int256 sum = harness.sumBetween(columns, lane, low, high, first, last);
        so("sum", sum == Definitions.sumOf(sorted, first, last + 1));
        for (uint256 i = 0; i < sorted.length; ++i) {
            bool isKept = low <= sorted[i] && sorted[i] <= high;
            so("between", harness.isBetween(columns, lane, sorted[i], first, last) == isKept);
            if (sorted[i] != low) {
                vm.expectPartialRevert(IPredicates.WrongRank.selector);
                harness.sumBetween(columns, lane, sorted[i], high, first, last);
            }
            if (sorted[i] != high) {
                vm.expectPartialRevert(IPredicates.WrongRank.selector);
                harness.sumBetween(columns, lane, low, sorted[i], first, last);
            }
        }
    }
}
