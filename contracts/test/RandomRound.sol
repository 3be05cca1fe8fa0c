// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Terms} from "../src/libraries/Messages.sol";
import {Definitions} from "./Definitions.sol";
import {World} from "./World.sol";

/// @title What a whole round starts from, all of it drawn from one seed
abstract contract RandomRound is World {
    /// @dev What a test may want to choose; the rest is drawn from the seed.
    struct Shape {
        uint256 seed;
        uint8 rule;
        uint256 n;
        uint256 counted;
        uint256 f;
        uint256 m;
        uint256 d;
    }

    /// @dev A place is the index among the counted slots. Vectors are padded to whole leaves.
    struct Whole {
        Shape shape;
        Terms terms;
        Round round;
        bytes32 specHash;
        uint256[] keys; // by slot
        uint256[] slots; // by place
        uint256[] reasons; // by slot
        uint256[] samples; // by slot
        uint256[] weights; // by slot
        bytes32[] commitments; // by slot
        int256[] base;
        int256[] next;
        int256[][] rows; // by slot
        int256[][] columns; // by place
        int256[] low; // smallest and largest value that is kept, by coordinate; only of rules that rank
        int256[] high;
        int256[] aggregate;
        int256[][] kept; // by leaf, by place
        int256[][] deviation;
        int256[][] alignment;
        int256[][][] gram; // by chunk, by place, by place
        uint256 selected;
        uint256[] words; // by slot
        bytes[][] rowLeaves; // by slot
        bytes[] setLeaves;
        bytes[] columnParts; // by leaf: what the first hash is of
        bytes[] totalParts; // and the second
        bytes[] columnLeaves;
        bytes[] gramLeaves;
        bytes[] baseLeaves;
        bytes[] nextLeaves;
    }

    function noise(uint256 seed, string memory what, uint256 i) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, what, i)));
    }

    function noise(uint256 seed, string memory what) internal pure returns (uint256) {
        return noise(seed, what, 0);
    }

    function isSelecting(uint256 rule) internal pure returns (bool) {
        return rule >= 5;
    }

    /// @dev Of at most nine slots; about one of four is not counted.
    function shapeOf(uint256 seed, uint256 rule, uint256 mostCoordinates) internal pure returns (Shape memory shape) {
        uint256 least = isSelecting(rule) ? 3 : 1;
        shape.seed = seed;
        shape.rule = uint8(rule);
        shape.n = within(noise(seed, "n"), least, 9);
        shape.counted = (1 << shape.n) - 1;
        uint256 some = shape.counted & ~(noise(seed, "out") & noise(seed, "out too"));
        if (Definitions.countOf(some) >= least) shape.counted = some;
        uint256 k = Definitions.countOf(shape.counted);
        shape.f = within(noise(seed, "f"), 0, (k - least) / 2);
        shape.m = noise(seed, "m") % 3 == 0 ? 0 : within(noise(seed, "m too"), 1, k - shape.f);
        shape.d = within(noise(seed, "d"), 1, mostCoordinates);
    }

    function drawn(Shape memory shape) internal pure returns (Whole memory w) {
        w.shape = shape;
        (w.keys, w.round.cohort) = keysOf(shape.seed, shape.n);
        w.reasons = new uint256[](shape.n);
        w.samples = new uint256[](shape.n);
        w.commitments = new bytes32[](shape.n);
        w.rows = new int256[][](shape.n);
        w.slots = new uint256[](Definitions.countOf(shape.counted));
        uint256 place = 0;
        for (uint256 slot = 0; slot < shape.n; ++slot) {
            if ((shape.counted >> slot) & 1 == 1) {
                w.slots[place++] = slot;
                w.samples[slot] = samplesOf(shape.seed, slot, shape.rule == 2 ? 1 : 0);
                w.rows[slot] = rowOf(shape, slot);
            } else {
                w.reasons[slot] = noise(shape.seed, "reason", slot) % 10;
            }
        }
        w.base = baseOf(shape);
        w.terms = termsOf(w);
        w.weights = new uint256[](shape.n);
        for (uint256 slot = 0; slot < shape.n && shape.rule == 2; ++slot) {
            w.weights[slot] = w.samples[slot] < w.terms.weightCap ? w.samples[slot] : w.terms.weightCap;
        }
    }

    function keysOf(uint256 seed, uint256 n) internal pure returns (uint256[] memory keys, address[] memory cohort) {
        keys = new uint256[](n);
        cohort = new address[](n);
        for (uint256 i = 0; i < n; ++i) {
            uint256 key = noise(seed, "key", i) >> 1; // below the order
            address account = vm.addr(key);
            uint256 at = i;
            for (; at > 0 && cohort[at - 1] > account; --at) {
                (cohort[at], keys[at]) = (cohort[at - 1], keys[at - 1]);
            }
            (cohort[at], keys[at]) = (account, key);
        }
    }

    function samplesOf(uint256 seed, uint256 slot, uint256 least) private pure returns (uint256) {
        uint256 most = noise(seed, "many", slot) % 2 == 0 ? 5 : type(uint32).max;
        return within(noise(seed, "samples", slot), least, most);
    }

    /// @dev Rounds of ties, of equal rows, of anything, and of rows each in its own style.
    function rowOf(Shape memory shape, uint256 slot) private pure returns (int256[] memory row) {
        uint256 style = noise(shape.seed, "style") % 4;
        uint256 source = style == 2 ? 0 : slot;
        if (style == 3) style = noise(shape.seed, "own style", slot) % 5;
        row = new int256[](padded(shape.d, 256));
        uint256 random;
        for (uint256 c = 0; c < shape.d; ++c) {
            if (c % 16 == 0) random = noise(shape.seed, "row", source * 2 ** 32 + c);
            int256 value = int256(random & 0xffff);
            random >>= 16;
            if (style == 1) row[c] = value % 5 - 2;
            else if (style == 3) row[c] = (value % 3 - 1) * 32767;
            else if (style == 4) row[c] = 7;
            else row[c] = value % 65535 - 32767;
        }
    }

    function baseOf(Shape memory shape) private pure returns (int256[] memory base) {
        uint256 shift = noise(shape.seed, "base") % 3 == 0 ? 0 : 12;
        base = new int256[](padded(shape.d, 256));
        for (uint256 c = 0; c < shape.d; ++c) {
            base[c] = int256(int32(uint32(noise(shape.seed, "base", c)))) >> shift;
        }
    }

    /// @dev The norm bound is none, or what the largest row just keeps to.
    function termsOf(Whole memory w) private pure returns (Terms memory t) {
        Shape memory shape = w.shape;
        string[7] memory names =
            ["", "mean", "weighted-mean", "median", "trimmed-mean", "krum", "multi-krum"];
        t = terms();
        t.rule = shape.rule;
        t.chain = bytes32(bytes(names[shape.rule]));
        (t.f, t.m, t.minCounted) = (uint16(shape.f), uint16(shape.m), 1);
        t.exponent = -int8(int256(within(noise(shape.seed, "exponent"), 8, 24)));
        t.dimension = uint32(shape.d);
        t.normBound = 0;
        for (uint256 i = 0; i < w.slots.length && noise(shape.seed, "bound") % 2 == 0; ++i) {
            int256[] memory row = w.rows[w.slots[i]];
            uint64 norm = uint64(uint256(Definitions.product(row, row, 0, shape.d)));
            if (norm > t.normBound) t.normBound = norm;
        }
        t.weightCap = uint32(within(noise(shape.seed, "cap"), 1, noise(shape.seed, "low") % 2 == 0 ? 6 : 2 ** 24 - 1));
        t.learningRate = factorOf(shape.seed, "rate", 1 << 16);
        t.decay = factorOf(shape.seed, "decay", 0);
    }

    function factorOf(uint256 seed, string memory what, uint32 usual) private pure returns (uint32) {
        uint256 random = noise(seed, what);
        if (random % 3 == 0) return usual;
        return uint32(random >> (random % 3 == 1 ? 128 : 240)); // of 32 bits or of 16
    }

    /// @dev The least multiple of `unit` that is not below `count`.
    function padded(uint256 count, uint256 unit) internal pure returns (uint256) {
        return (count + unit - 1) / unit * unit;
    }
}
