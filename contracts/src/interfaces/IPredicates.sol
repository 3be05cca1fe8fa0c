// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice What a proof has shown.
struct Finding {
    uint8 predicate; // n of Fn in docs/protocol.md 7.6
    bool isEnclaves; // no host can make an honest enclave sign this
    uint64 round;
    bytes32 spec; // hashStruct of the round's spec
    bytes32 enclave;
    bytes32 result; // hashStruct of the result that is wrong; zero where signatures alone are the proof
    uint256 slots; // size of the cohort, as the openings of set leaves have it; zero where there are none
}

/// @notice A leaf of the column tree whose columns are open.
struct Column {
    uint256 index;
    bytes columns; // 32 bytes for each counted slot
    bytes32 totals; // SHA-256 of the totals
    bytes aggregate; // 64 bytes
    bytes32[] path;
}

/// @notice A leaf of the column tree whose totals are open.
struct Sums {
    uint256 index;
    bytes32 columns; // SHA-256 of the columns
    bytes totals; // 20 bytes for each counted slot: kept, deviation, alignment
    bytes aggregate; // 64 bytes
    bytes32[] path;
}

/// @notice A leaf of any tree, as it was hashed.
struct Leaf {
    uint256 index;
    bytes data;
    bytes32[] path;
}

/// @notice A slot's leaf of the set tree.
struct SetLeaf {
    uint256 slot;
    uint256 slots; // size of the cohort, which the path follows from; `Disputes` holds it against the round's
    bytes data;
    bytes32[] path;
}

/// @notice A counted slot's line of the Gram tree; the chunk is said elsewhere.
struct GramLine {
    uint256 slot;
    bytes data; // 8 bytes for each counted slot
    bytes32[] path;
}

/// @notice The coordinates of one counted slot in one chunk of 4096: up to sixteen neighbouring leaves of its row.
struct RowChunk {
    SetLeaf set;
    bytes data; // 512 bytes for each leaf
    bytes32[] path; // of the subtree that the leaves are
}

/// @title What shows that a result is wrong
/// @notice Each function is one way for a result to be wrong. It returns what it found, or fails: nothing here writes,
/// so anybody can ask with a call before sending anything. All openings are of the trees that the result commits to.
/// Whether result and spec are the ledger's is for `Disputes`, which believes a finding and nothing else.
/// @dev A rule is refutable here if its number and its string agree; of any other rule nothing is known but what
/// signatures, set leaves and row leaves say.
interface IPredicates {
    /// @notice The opening is right, and so is what it shows.
    error NotRefuted();
    /// @notice Only a replay can refute this.
    error NotRefutable(uint8 rule, uint8 optimizer);
    /// @notice The result is not about this spec.
    error OtherSpec(bytes32 expected, bytes32 actual);
    /// @notice The path does not lead to the root.
    error WrongRoot(bytes32 expected, bytes32 actual);
    error WrongPathLength(uint256 expected, uint256 actual);
    error NoSuchLeaf(uint256 size, uint256 index);
    error NoSuchCoordinate(uint256 limit, uint256 index);
    /// @notice Of an opening's part, in bytes.
    error WrongLength(uint256 expected, uint256 actual);
    /// @notice The bytes are not those that the leaf has the hash of.
    error WrongPreimage(bytes32 expected, bytes32 actual);
    error OtherOutcomes(bytes32 expected, bytes32 actual);
    error OtherCohort(bytes32 expected, bytes32 actual);
    error NotCounted(uint256 slot);
    /// @notice Two openings of one tree disagree about its size.
    error OtherSlots(uint256 expected, uint256 actual);
    error NotSelected(uint256 slot);
    /// @notice No value at this rank is the one that is claimed: `below` are smaller, `upTo` are not larger.
    error WrongRank(uint256 rank, uint256 below, uint256 upTo);
    /// @notice Every weight is zero.
    error NoWeight();

    function ledger() external view returns (address);
}
