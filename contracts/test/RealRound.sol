// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {RoundResult, Update} from "../src/libraries/Messages.sol";
import {ComputedRound} from "./ComputedRound.sol";
import {Definitions} from "./Definitions.sol";
import {MessagesHarness} from "./MessagesHarness.sol";
import {Trees} from "./Trees.sol";

/// @title A whole round: real keys, signatures and trees on a real ledger, of which a test changes one thing
/// @notice A lie is told in a number before `encode` makes the leaves, or in a leaf before `commit` proposes the roots.
abstract contract RealRound is ComputedRound {
    bytes32 private _genesis;

    function setUp() public virtual override {
        vm.warp(START);
        vm.roll(1000);
        harness = new MessagesHarness();
    }

    function genesis() internal view override returns (bytes32) {
        return _genesis;
    }

    /// @dev Opened on a ledger of its own, updates signed, everything computed and encoded, nothing proposed.
    function honest(Shape memory shape) internal returns (Whole memory) {
        return opened(drawn(shape));
    }

    /// @dev The same of what was drawn already, and perhaps changed: rows, samples and terms are fixed here.
    function opened(Whole memory w) internal returns (Whole memory) {
        found(w);
        w.round = nextRoundOf(w.terms, w.round.cohort);
        w.specHash = harness.hashSpec(w.round.spec);
        open(w.round);
        computed(w);
        encode(w);
        commitSome(w);
        vm.warp(w.round.spec.deadlines[2] + 1);
        return w;
    }

    /// @dev Only rows, set tree and Gram tree are real: for what would take a test too long. The first slots are
    /// selected, and the outcomes are those of an aggregate of zeros.
    function thin(Shape memory shape) internal returns (Whole memory) {
        return thin(drawn(shape));
    }

    function thin(Whole memory w) internal returns (Whole memory) {
        Shape memory shape = w.shape;
        found(w);
        w.round = nextRoundOf(w.terms, w.round.cohort);
        w.specHash = harness.hashSpec(w.round.spec);
        open(w.round);
        multiply(w);
        for (uint256 place = 0; place < (shape.rule == 5 ? 1 : shape.m); ++place) {
            w.selected |= 1 << w.slots[place];
        }
        encodeRows(w);
        encodeSet(w);
        encodeGram(w);
        (w.columnLeaves, w.nextLeaves, w.words) = (new bytes[](1), new bytes[](1), new uint256[](shape.n));
        for (uint256 slot = 0; slot < shape.n; ++slot) {
            if (w.reasons[slot] != 0) w.words[slot] = refusedWord(w.reasons[slot]);
        }
        for (uint256 place = 0; place < w.slots.length; ++place) {
            w.words[w.slots[place]] = wordOf(0, uint256(w.gram[w.gram.length - 1][place][place]), 0, 0);
        }
        vm.warp(w.round.spec.deadlines[2] + 1);
        return w;
    }

    function found(Whole memory w) internal {
        w.baseLeaves = modelLeavesOf(w.base);
        _genesis = Trees.rootOf(5, w.baseLeaves);
        deploy(w.terms);
        admitAll();
        enclave = registerEnclave(ENCLAVE_KEY, 1);
        vm.deal(coordinator, BOND);
        vm.prank(coordinator);
        ledger.addBond{value: BOND}();
        vm.deal(address(this), 10 ether);
        ledger.fund{value: 10 ether}();
        for (uint256 slot = 0; slot < w.shape.n; ++slot) {
            join(w.round.cohort[slot]);
        }
    }

    function encode(Whole memory w) internal view {
        encodeRows(w);
        encodeSet(w);
        encodeColumns(w);
        encodeGram(w);
        w.nextLeaves = modelLeavesOf(w.next);
    }

    function encodeRows(Whole memory w) internal pure {
        w.rowLeaves = new bytes[][](w.shape.n);
        for (uint256 i = 0; i < w.slots.length; ++i) {
            int256[] memory row = w.rows[w.slots[i]];
            bytes[] memory leaves = new bytes[](row.length / 256);
            for (uint256 leaf = 0; leaf < leaves.length; ++leaf) {
                leaves[leaf] = Definitions.packed(row, 256 * leaf, 256, 2, true);
            }
            w.rowLeaves[w.slots[i]] = leaves;
        }
    }

    /// @dev With signatures of the Updates that follow from the row leaves.
    function encodeSet(Whole memory w) internal view {
        w.setLeaves = new bytes[](w.shape.n);
        for (uint256 slot = 0; slot < w.shape.n; ++slot) {
            if ((w.shape.counted >> slot) & 1 == 1) w.setLeaves[slot] = signedLeaf(w, slot, w.keys[slot]);
            else w.setLeaves[slot] = otherLeaf(w.reasons[slot]);
        }
    }

    function otherLeaf(uint256 reason) internal pure returns (bytes memory) {
        return abi.encodePacked(bytes32(0), uint8(reason));
    }

    function signedLeaf(Whole memory w, uint256 slot, uint256 key) internal view returns (bytes memory) {
        Update memory update = updateOf(w, slot);
        return abi.encodePacked(update.updateRoot, update.samples, signatureOf(key, harness.hashUpdate(update)));
    }

    function updateOf(Whole memory w, uint256 slot) internal view returns (Update memory) {
        return Update({
            federation: FEDERATION,
            round: w.round.spec.round,
            spec: w.specHash,
            enclave: enclave,
            participant: w.round.cohort[slot],
            updateRoot: Trees.rootOf(1, w.rowLeaves[slot]),
            samples: uint32(w.samples[slot])
        });
    }

    function signatureOf(uint256 key, bytes32 structHash) internal view returns (bytes memory) {
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", ledger.domainSeparator(), structHash));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function encodeColumns(Whole memory w) internal pure {
        uint256 leaves = w.kept.length;
        (w.columnParts, w.totalParts, w.columnLeaves) = (new bytes[](leaves), new bytes[](leaves), new bytes[](leaves));
        for (uint256 leaf = 0; leaf < leaves; ++leaf) {
            for (uint256 place = 0; place < w.slots.length; ++place) {
                bytes memory column = Definitions.packed(w.columns[place], 16 * leaf, 16, 2, true);
                w.columnParts[leaf] = bytes.concat(w.columnParts[leaf], column);
                w.totalParts[leaf] = abi.encodePacked(
                    w.totalParts[leaf],
                    uint32(uint256(w.kept[leaf][place])),
                    uint64(uint256(w.deviation[leaf][place])),
                    int64(w.alignment[leaf][place])
                );
            }
            encodeColumn(w, leaf);
        }
    }

    /// @dev From its parts.
    function encodeColumn(Whole memory w, uint256 leaf) internal pure {
        bytes memory sixteen = Definitions.packed(w.aggregate, 16 * leaf, 16, 4, true);
        w.columnLeaves[leaf] = abi.encodePacked(sha256(w.columnParts[leaf]), sha256(w.totalParts[leaf]), sixteen);
    }

    function encodeGram(Whole memory w) internal pure {
        uint256 k = w.slots.length;
        w.gramLeaves = new bytes[](k * w.gram.length);
        for (uint256 i = 0; i < w.gramLeaves.length; ++i) {
            w.gramLeaves[i] = Definitions.packed(w.gram[i / k][i % k], 0, k, 8, false);
        }
    }

    function modelLeavesOf(int256[] memory model) internal pure returns (bytes[] memory leaves) {
        leaves = new bytes[](model.length / 256);
        for (uint256 leaf = 0; leaf < leaves.length; ++leaf) {
            leaves[leaf] = Definitions.packed(model, 256 * leaf, 256, 4, true);
        }
    }

    /// @dev Reasons that only a commitment explains need one; of the counted and the other refused, some have one.
    function commitSome(Whole memory w) internal {
        for (uint256 slot = 0; slot < w.shape.n; ++slot) {
            bool isCounted = (w.shape.counted >> slot) & 1 == 1;
            uint256 reason = w.reasons[slot];
            bool isLikely = noise(w.shape.seed, "commit", slot) % 3 == 0;
            if (isCounted && isLikely) commitUpdate(w, slot, harness.hashUpdate(updateOf(w, slot)));
            if (reason == 7 || reason == 8 || (reason == 9 && isLikely)) commitUpdate(w, slot, keccak256("an update"));
        }
    }

    function commitUpdate(Whole memory w, uint256 slot, bytes32 update) internal {
        w.commitments[slot] = update;
        vm.prank(w.round.cohort[slot]);
        ledger.commit(w.round.spec.round, update);
    }

    /// @dev The roots of whatever the leaves are now, signed and proposed.
    function commit(Whole memory w) internal {
        seal(w);
        propose(w.round);
    }

    /// @dev The same, not proposed.
    function seal(Whole memory w) internal view {
        w.round.outcomes = abi.encodePacked(w.words);
        w.round.result = RoundResult({
            federation: FEDERATION,
            round: w.round.spec.round,
            spec: w.specHash,
            previous: w.round.spec.previous,
            setRoot: Trees.rootOf(2, w.setLeaves),
            counted: w.shape.counted,
            selected: w.selected,
            columnRoot: Trees.rootOf(3, w.columnLeaves),
            gramRoot: w.gramLeaves.length == 0 ? bytes32(0) : Trees.rootOf(4, w.gramLeaves),
            outcomes: keccak256(w.round.outcomes),
            newModel: Trees.rootOf(5, w.nextLeaves),
            state: bytes32(0),
            enclave: enclave
        });
        sign(w.round, ENCLAVE_KEY);
    }

    /// @dev Nothing counts this slot any more.
    function leaveOut(Whole memory w, uint256 slot, uint256 reason) internal view {
        w.shape.counted ^= 1 << slot;
        w.reasons[slot] = reason;
        uint256[] memory slots = new uint256[](Definitions.countOf(w.shape.counted));
        uint256 place = 0;
        for (uint256 i = 0; i < w.slots.length; ++i) {
            if (w.slots[i] != slot) slots[place++] = w.slots[i];
        }
        w.slots = slots;
        from(w, Step.Spread);
        encode(w);
    }
}
