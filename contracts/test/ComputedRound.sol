// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Definitions} from "./Definitions.sol";
import {RandomRound} from "./RandomRound.sol";

/// @title From the rows to the new model as docs/protocol.md says it, in seven steps
/// @notice A lie is told after one of them; `from` repeats those that come after it.
abstract contract ComputedRound is RandomRound {
    enum Step {
        Spread,
        Multiply,
        Select,
        Aggregate,
        Total,
        Judge,
        Move
    }

    int256 internal constant MODEL_EXPONENT = -24; // as World deploys it

    function computed(Whole memory w) internal pure {
        from(w, Step.Spread);
    }

    /// @dev This step and those after it.
    function from(Whole memory w, Step first) internal pure {
        if (first <= Step.Spread) spread(w);
        if (first <= Step.Multiply) multiply(w);
        if (first <= Step.Select) select(w);
        if (first <= Step.Aggregate) aggregate(w);
        if (first <= Step.Total) total(w);
        if (first <= Step.Judge) judge(w);
        if (first <= Step.Move) move(w);
    }

    function spread(Whole memory w) private pure {
        w.columns = new int256[][](w.slots.length);
        for (uint256 place = 0; place < w.slots.length; ++place) {
            w.columns[place] = new int256[](padded(w.shape.d, 16));
            for (uint256 c = 0; c < w.columns[place].length; ++c) {
                w.columns[place][c] = w.rows[w.slots[place]][c];
            }
        }
    }

    function multiply(Whole memory w) internal pure {
        uint256 k = w.slots.length;
        w.gram = new int256[][][](isSelecting(w.shape.rule) ? padded(w.shape.d, 4096) / 4096 : 0);
        for (uint256 chunk = 0; chunk < w.gram.length; ++chunk) {
            uint256 end = chunk + 1 < w.gram.length ? (chunk + 1) * 4096 : w.shape.d;
            w.gram[chunk] = new int256[][](k);
            for (uint256 i = 0; i < k; ++i) {
                w.gram[chunk][i] = new int256[](k);
                for (uint256 j = 0; j <= i; ++j) {
                    int256 sum =
                        Definitions.product(w.rows[w.slots[i]], w.rows[w.slots[j]], chunk * 4096, end);
                    if (chunk != 0) sum += w.gram[chunk - 1][i][j];
                    w.gram[chunk][i][j] = sum;
                    w.gram[chunk][j][i] = sum;
                }
            }
        }
    }

    function select(Whole memory w) private pure {
        w.selected = w.shape.counted;
        if (!isSelecting(w.shape.rule)) return;
        uint256 k = w.slots.length;
        int256[] memory scores = new int256[](k);
        for (uint256 i = 0; i < k; ++i) {
            scores[i] = Definitions.sumOf(Definitions.sorted(distancesOf(w, i)), 0, k - w.shape.f - 2);
        }
        uint256 m = w.shape.rule == 5 ? 1 : w.shape.m == 0 ? k - w.shape.f : w.shape.m;
        w.selected = 0;
        for (uint256 i = 0; i < k; ++i) {
            uint256 better = 0;
            for (uint256 j = 0; j < k; ++j) {
                if (scores[j] < scores[i] || (scores[j] == scores[i] && j < i)) ++better;
            }
            if (better < m) w.selected |= 1 << w.slots[i];
        }
    }

    /// @dev To the k - 1 others.
    function distancesOf(Whole memory w, uint256 i) internal pure returns (int256[] memory distances) {
        int256[][] memory g = w.gram[w.gram.length - 1];
        distances = new int256[](g.length - 1);
        for (uint256 j = 0; j < g.length; ++j) {
            if (j != i) distances[j < i ? j : j - 1] = g[i][i] + g[j][j] - 2 * g[i][j];
        }
    }

    function aggregate(Whole memory w) private pure {
        w.aggregate = new int256[](padded(w.shape.d, 16));
        (w.low, w.high) = (new int256[](w.aggregate.length), new int256[](w.aggregate.length));
        for (uint256 c = 0; c < w.shape.d; ++c) {
            w.aggregate[c] = aggregateAt(w, c);
        }
    }

    function aggregateAt(Whole memory w, uint256 c) private pure returns (int256) {
        uint256 rule = w.shape.rule;
        if (rule != 3 && rule != 4) return meanAt(w, c);
        int256[] memory values = Definitions.sorted(columnAt(w, c));
        uint256 k = values.length;
        (uint256 first, uint256 last) = rule == 3 ? ((k - 1) / 2, k / 2) : (w.shape.f, k - w.shape.f - 1);
        (w.low[c], w.high[c]) = (values[first], values[last]);
        if (rule == 3) return 2 ** 14 * (values[first] + values[last]);
        return Definitions.floored(2 ** 15 * Definitions.sumOf(values, first, last + 1), int256(last + 1 - first));
    }

    function meanAt(Whole memory w, uint256 c) private pure returns (int256) {
        (int256 sum, int256 weights) = (0, 0);
        for (uint256 place = 0; place < w.slots.length; ++place) {
            uint256 slot = w.slots[place];
            int256 weight = w.shape.rule == 2 ? int256(w.weights[slot]) : int256((w.selected >> slot) & 1);
            sum += weight * w.columns[place][c];
            weights += weight;
        }
        return Definitions.floored(2 ** 15 * sum, weights);
    }

    function columnAt(Whole memory w, uint256 c) internal pure returns (int256[] memory values) {
        values = new int256[](w.slots.length);
        for (uint256 place = 0; place < values.length; ++place) {
            values[place] = w.columns[place][c];
        }
    }

    function total(Whole memory w) private pure {
        uint256 leaves = w.aggregate.length / 16;
        (w.kept, w.deviation, w.alignment) = (new int256[][](leaves), new int256[][](leaves), new int256[][](leaves));
        for (uint256 leaf = 0; leaf < leaves; ++leaf) {
            totalFrom(w, leaf);
        }
    }

    /// @dev What the leaf before says, and this one's coordinates.
    function totalFrom(Whole memory w, uint256 leaf) internal pure {
        uint256 k = w.slots.length;
        (w.kept[leaf], w.deviation[leaf], w.alignment[leaf]) = (new int256[](k), new int256[](k), new int256[](k));
        for (uint256 place = 0; place < k; ++place) {
            int256[3] memory sums;
            if (leaf != 0) {
                sums = [w.kept[leaf - 1][place], w.deviation[leaf - 1][place], w.alignment[leaf - 1][place]];
            }
            for (uint256 c = 16 * leaf; c < 16 * leaf + 16 && c < w.shape.d; ++c) {
                (int256 q, int256 r) = (w.columns[place][c], Definitions.inUpdateUnits(w.aggregate[c]));
                if (isKept(w, place, c)) ++sums[0];
                sums[1] += (q - r) * (q - r);
                sums[2] += q * r;
            }
            (w.kept[leaf][place], w.deviation[leaf][place], w.alignment[leaf][place]) = (sums[0], sums[1], sums[2]);
        }
    }

    function isKept(Whole memory w, uint256 place, uint256 c) private pure returns (bool) {
        if (w.shape.rule == 3 || w.shape.rule == 4) {
            return w.low[c] <= w.columns[place][c] && w.columns[place][c] <= w.high[c];
        }
        return (w.selected >> w.slots[place]) & 1 == 1;
    }

    function judge(Whole memory w) private pure {
        uint256 last = w.kept.length - 1;
        w.words = new uint256[](w.shape.n);
        for (uint256 slot = 0; slot < w.shape.n; ++slot) {
            if (w.reasons[slot] != 0) w.words[slot] = refusedWord(w.reasons[slot]);
        }
        for (uint256 place = 0; place < w.slots.length; ++place) {
            uint256 slot = w.slots[place];
            w.words[slot] = wordOf(
                uint256(w.kept[last][place]),
                uint256(w.deviation[last][place]),
                w.alignment[last][place],
                w.weights[slot]
            );
        }
    }

    function wordOf(uint256 kept, uint256 deviation, int256 alignment, uint256 weight) internal pure returns (uint256) {
        uint256 flagged = alignment < 0 ? 1 : 0;
        bytes memory sums = abi.encodePacked(uint32(kept), uint64(deviation), int64(alignment), uint32(weight));
        return uint256(bytes32(abi.encodePacked(uint8(2), uint8(0), uint8(flagged), sums, uint40(0))));
    }

    function move(Whole memory w) private pure {
        w.next = new int256[](w.base.length);
        uint256 s = uint256(16 + MODEL_EXPONENT - (int256(w.terms.exponent) - 15));
        (int256 rate, int256 decay) = (int256(uint256(w.terms.learningRate)), int256(uint256(w.terms.decay)));
        for (uint256 c = 0; c < w.shape.d; ++c) {
            w.next[c] = Definitions.stepped(w.base[c], w.aggregate[c], rate, decay, s);
        }
    }

    function placeOf(Whole memory w, uint256 slot) internal pure returns (uint256 place) {
        while (w.slots[place] != slot) {
            ++place;
        }
    }
}
