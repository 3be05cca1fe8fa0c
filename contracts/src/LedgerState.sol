// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EventStream} from "./EventStream.sol";
import {IRoundLedger} from "./interfaces/IRoundLedger.sol";
import {Reputation} from "./libraries/Reputation.sol";

/// @title What the ledger of rounds remembers, and how it is read
abstract contract LedgerState is IRoundLedger, EventStream {
    /// @dev One slot: the round that was opened last. Earlier ones are settled where they have a result, else void.
    struct Current {
        address coordinator;
        uint40 round; // 2^40 rounds can't be reached: each takes five seconds at least
        uint40 commitBy;
        uint8 lastSlot; // slots - 1
        State state;
    }

    /// @dev One slot. `isEnrolled` keeps it from ever being zero again, so that no settlement pays for a new slot.
    struct Standing {
        uint64 good;
        uint64 bad;
        uint120 credit;
        bool isEnrolled;
    }

    /// @dev One slot. Money fits 120 bits (MAX_MONEY); `verdict` is the tag of the one that waits to be executed.
    struct Bond {
        uint120 amount;
        uint136 verdict;
    }

    /// @notice How much later than the terms' windows a coordinator may set each deadline: blocks are late, clocks differ.
    uint64 public constant MAX_SLACK = 1 hours;
    /// @notice The bond is at least so many budgets: a liar must lose more than a round can pay his friends.
    uint256 public constant BOND_BUDGETS = 4;
    /// @notice A coordinator that is late, or withholds a leaf, loses one part in so many of its bond: neither is a free
    /// option.
    uint256 public constant LATE_PARTS = 10;
    /// @notice All that the ledger may hold: then no credit can outgrow its 120 bits.
    uint256 public constant MAX_MONEY = type(uint120).max;

    address internal immutable _consortium;
    address internal immutable _participants;
    address internal immutable _enclaves;
    address internal immutable _disputes;
    bytes32 internal immutable _genesisModel;
    int8 internal immutable _modelExponent;
    uint256 internal immutable _minimumBond;

    Current internal _current;
    bytes32 internal _model;
    uint120 internal _treasury; // at most MAX_MONEY
    uint40 internal _lastSettled; // round; 0 until one settles
    mapping(uint64 round => bytes32 spec) internal _specs;
    mapping(uint64 round => bytes32 result) internal _results;
    mapping(uint64 round => mapping(address participant => bytes32 update)) internal _commitments;
    mapping(address coordinator => Bond) internal _bonds;
    mapping(address participant => Standing) internal _standings;

    constructor(
        bytes32 federation_,
        address consortium_,
        address participants_,
        address enclaves_,
        address disputes_,
        bytes32 genesisModel_,
        int8 modelExponent_,
        uint256 minimumBond_
    ) EventStream(federation_) {
        _consortium = consortium_;
        _participants = participants_;
        _enclaves = enclaves_;
        _disputes = disputes_;
        _genesisModel = genesisModel_;
        _modelExponent = modelExponent_;
        _minimumBond = minimumBond_;
        _model = genesisModel_;
        _current.state = State.Void; // not zero, so that opening the first round costs no more than any other
    }

    /// @inheritdoc IRoundLedger
    function consortium() external view returns (address) {
        return _consortium;
    }

    /// @inheritdoc IRoundLedger
    function participants() external view returns (address) {
        return _participants;
    }

    /// @inheritdoc IRoundLedger
    function enclaves() external view returns (address) {
        return _enclaves;
    }

    /// @inheritdoc IRoundLedger
    function disputes() external view returns (address) {
        return _disputes;
    }

    /// @inheritdoc IRoundLedger
    function minimumBond() external view returns (uint256) {
        return _minimumBond;
    }

    /// @inheritdoc IRoundLedger
    function genesisModel() external view returns (bytes32) {
        return _genesisModel;
    }

    /// @inheritdoc IRoundLedger
    function modelExponent() external view returns (int8) {
        return _modelExponent;
    }

    /// @inheritdoc IRoundLedger
    function currentRound() external view returns (uint64) {
        return _current.round;
    }

    /// @inheritdoc IRoundLedger
    function currentSlots() external view returns (uint256) {
        return uint256(_current.lastSlot) + 1;
    }

    /// @inheritdoc IRoundLedger
    function currentCoordinator() external view returns (address) {
        return _current.coordinator;
    }

    /// @inheritdoc IRoundLedger
    function stateOf(uint64 round) external view returns (State) {
        if (round == 0 || round > _current.round) return State.None;
        if (round == _current.round) return _current.state;
        return _results[round] == bytes32(0) ? State.Void : State.Settled;
    }

    /// @inheritdoc IRoundLedger
    function specOf(uint64 round) external view returns (bytes32) {
        return _specs[round];
    }

    /// @inheritdoc IRoundLedger
    function resultOf(uint64 round) external view returns (bytes32) {
        return _results[round];
    }

    /// @inheritdoc IRoundLedger
    function previous() public view returns (bytes32) {
        return _results[_lastSettled]; // round 0 has none
    }

    /// @inheritdoc IRoundLedger
    function model() external view returns (bytes32) {
        return _model;
    }

    /// @inheritdoc IRoundLedger
    function treasury() external view returns (uint256) {
        return _treasury;
    }

    /// @inheritdoc IRoundLedger
    function bondOf(address coordinator) external view returns (uint256) {
        return _bonds[coordinator].amount;
    }

    /// @inheritdoc IRoundLedger
    function verdictOf(address coordinator) external view returns (uint136) {
        return _bonds[coordinator].verdict;
    }

    /// @inheritdoc IRoundLedger
    function standingOf(address participant) external view returns (uint64 good, uint64 bad, uint120 credit) {
        Standing storage standing = _standings[participant];
        return (standing.good, standing.bad, standing.credit);
    }

    /// @inheritdoc IRoundLedger
    function reputationOf(address participant) external view returns (uint256) {
        return Reputation.ppb(_standings[participant].good, _standings[participant].bad);
    }

    /// @inheritdoc IRoundLedger
    function commitmentOf(uint64 round, address participant) external view returns (bytes32) {
        return _commitments[round][participant];
    }

    function _isLive(State state) internal pure returns (bool) {
        return state == State.Open || state == State.Proposed;
    }
}
