// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";

import {EventStream} from "./EventStream.sol";
import {IParticipants} from "./interfaces/IParticipants.sol";
import {IRoundLedger} from "./interfaces/IRoundLedger.sol";

/// @title Who trains
contract Participants is IParticipants, EventStream, ReentrancyGuard {
    /// @dev One slot. Active in every round from `since` on, and, unless still active, up to `until`.
    struct Participant {
        address payout;
        Membership membership;
        bool isDeposited;
        uint40 since; // 2^40 rounds can't be reached: each takes five seconds at least
        uint40 until;
    }

    /// @notice So that the register fits into one `openRound` (about 4 million gas).
    uint256 public constant MAX_PARTICIPANTS = 1024;
    /// @notice An identity that leaves costs its deposit for a day: it can't change the register for nothing.
    uint64 public constant COOLING_OFF = 1 days;

    address private immutable _consortium;
    address private immutable _ledger;
    uint256 private immutable _deposit;

    uint256 private _activeCount;
    mapping(address participant => Participant) private _participants;
    mapping(address participant => uint64 time) private _reclaimableAt;

    constructor(bytes32 federation_, address consortium_, address ledger_, uint256 deposit_) EventStream(federation_) {
        _consortium = consortium_;
        _ledger = ledger_;
        _deposit = deposit_;
    }

    modifier onlyConsortium() {
        require(msg.sender == _consortium, WrongCaller(_consortium, msg.sender));
        _;
    }

    /// @inheritdoc IParticipants
    function join(address payout) external payable {
        Participant storage participant = _participants[msg.sender];
        require(msg.value == _deposit, WrongDeposit(_deposit, msg.value));
        require(participant.membership == Membership.None, WrongMembership(Membership.None, participant.membership));
        require(payout != address(0), NoPayoutAddress(msg.sender));
        _checkRoom();

        participant.payout = payout;
        participant.membership = Membership.Active;
        participant.isDeposited = true;
        participant.since = _currentRound() + 1;
        ++_activeCount;

        emit ParticipantJoined(msg.sender, payout);
        _record(ParticipantJoined.selector, _topic(msg.sender), abi.encode(payout));
        IRoundLedger(_ledger).enroll(msg.sender);
    }

    /// @inheritdoc IParticipants
    function leave() external {
        Participant storage participant = _participants[msg.sender];
        require(participant.membership == Membership.Active, WrongMembership(Membership.Active, participant.membership));

        uint40 round = _currentRound();
        participant.membership = Membership.Left;
        _retire(msg.sender, round);

        emit ParticipantLeft(msg.sender, round);
        _record(ParticipantLeft.selector, _topic(msg.sender), abi.encode(uint64(round)));
    }

    /// @inheritdoc IParticipants
    function reclaim() external nonReentrant {
        Participant storage participant = _participants[msg.sender];
        require(participant.membership != Membership.Active, WrongMembership(Membership.Left, Membership.Active));
        require(participant.isDeposited, NoDeposit(msg.sender));
        require(_isOver(participant.until), RoundNotOver(participant.until));
        uint64 notBefore = _reclaimableAt[msg.sender];
        require(block.timestamp >= notBefore, TooEarly(notBefore, block.timestamp));

        address payout = participant.payout;
        participant.isDeposited = false;
        if (participant.membership == Membership.Left) participant.membership = Membership.None;

        emit DepositReclaimed(msg.sender, payout, _deposit);
        _record(DepositReclaimed.selector, _topic(msg.sender), abi.encode(payout, _deposit));
        Address.sendValue(payable(payout), _deposit);
    }

    /// @inheritdoc IParticipants
    function setPayout(address payout) external {
        Participant storage participant = _participants[msg.sender];
        require(participant.payout != address(0), NeverJoined(msg.sender));
        require(payout != address(0), NoPayoutAddress(msg.sender));

        participant.payout = payout;

        emit PayoutSet(msg.sender, payout);
        _record(PayoutSet.selector, _topic(msg.sender), abi.encode(payout));
    }

    /// @inheritdoc IParticipants
    /// @dev In any state but Suspended: who has left, or never came, could else join again a moment later.
    function suspend(address account) external onlyConsortium {
        Participant storage participant = _participants[account];
        Membership membership_ = participant.membership;
        require(membership_ != Membership.Suspended, WrongMembership(Membership.Active, membership_));

        participant.membership = Membership.Suspended;
        if (membership_ == Membership.Active) _retire(account, _currentRound());

        emit ParticipantSuspended(account);
        _record(ParticipantSuspended.selector, _topic(account), "");
    }

    /// @inheritdoc IParticipants
    function reinstate(address account) external onlyConsortium {
        Participant storage participant = _participants[account];
        require(
            participant.membership == Membership.Suspended,
            WrongMembership(Membership.Suspended, participant.membership)
        );
        if (participant.isDeposited) _checkRoom();

        if (participant.isDeposited) {
            uint40 round = _currentRound();
            if (round > participant.until) participant.since = round + 1;
            participant.membership = Membership.Active;
            delete _reclaimableAt[account];
            ++_activeCount;
        } else {
            participant.membership = Membership.None;
        }

        emit ParticipantReinstated(account);
        _record(ParticipantReinstated.selector, _topic(account), "");
    }

    /// @inheritdoc IParticipants
    function checkRegister(address[] calldata registered) external view {
        uint256 expected = _activeCount;
        require(registered.length == expected, WrongRegisterSize(expected, registered.length));
        address last = address(0);
        for (uint256 i = 0; i < registered.length; ++i) {
            address next = registered[i];
            require(next > last, NotAscending(last, next));
            Membership membership_ = _participants[next].membership;
            require(membership_ == Membership.Active, NotActive(next, membership_));
            last = next;
        }
    }

    /// @inheritdoc IParticipants
    function wasActive(address account, uint64 round) external view returns (bool) {
        Participant storage participant = _participants[account];
        return participant.since != 0 && participant.since <= round
            && (participant.membership == Membership.Active || round <= participant.until);
    }

    /// @inheritdoc IParticipants
    function deposit() external view returns (uint256) {
        return _deposit;
    }

    /// @inheritdoc IParticipants
    function consortium() external view returns (address) {
        return _consortium;
    }

    /// @inheritdoc IParticipants
    function ledger() external view returns (address) {
        return _ledger;
    }

    /// @inheritdoc IParticipants
    function membership(address account) external view returns (Membership) {
        return _participants[account].membership;
    }

    /// @inheritdoc IParticipants
    function isActive(address account) external view returns (bool) {
        return _participants[account].membership == Membership.Active;
    }

    /// @inheritdoc IParticipants
    function activeCount() external view returns (uint256) {
        return _activeCount;
    }

    /// @inheritdoc IParticipants
    function payoutOf(address account) external view returns (address) {
        return _participants[account].payout;
    }

    /// @inheritdoc IParticipants
    function depositOf(address account) external view returns (uint256 amount, uint64 reclaimableAt) {
        return (_participants[account].isDeposited ? _deposit : 0, _reclaimableAt[account]);
    }

    /// @dev What leaving and being suspended have in common.
    function _retire(address account, uint40 round) private {
        _participants[account].until = round;
        _reclaimableAt[account] = uint64(block.timestamp) + COOLING_OFF;
        --_activeCount;
    }

    function _checkRoom() private view {
        require(_activeCount < MAX_PARTICIPANTS, RegisterFull(MAX_PARTICIPANTS, _activeCount + 1));
    }

    function _currentRound() private view returns (uint40) {
        return uint40(IRoundLedger(_ledger).currentRound());
    }

    /// @dev Rounds are strictly in order, so only the current one can be anything but over.
    function _isOver(uint40 round) private view returns (bool) {
        IRoundLedger.State state = IRoundLedger(_ledger).stateOf(round);
        return state != IRoundLedger.State.Open && state != IRoundLedger.State.Proposed;
    }
}
