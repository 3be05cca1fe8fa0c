// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IEventStream} from "./IEventStream.sol";

/// @title Who trains: identity, payout address and deposit
/// @notice A deposit makes new identities cost something. It is never taken, only held: until the round that was open
/// when its participant left or was suspended is over, and for a day, so that joining and leaving can't be used to
/// change the register under a coordinator's hand for nothing.
interface IParticipants is IEventStream {
    enum Membership {
        None,
        Active,
        Left,
        Suspended
    }

    event ParticipantJoined(address indexed participant, address payout);
    event ParticipantLeft(address indexed participant, uint64 round);
    event DepositReclaimed(address indexed participant, address to, uint256 amount);
    event PayoutSet(address indexed participant, address payout);
    event ParticipantSuspended(address indexed participant);
    event ParticipantReinstated(address indexed participant);

    error WrongDeposit(uint256 expected, uint256 actual);
    error WrongMembership(Membership expected, Membership actual);
    /// @notice A payout address of zero would burn money.
    error NoPayoutAddress(address participant);
    /// @notice Never joined, so nothing can be paid out.
    error NeverJoined(address participant);
    error NoDeposit(address participant);
    /// @notice The round that was open when the participant left is not over.
    error RoundNotOver(uint64 round);
    /// @notice No more participants fit, so that a round can always be opened in one transaction.
    error RegisterFull(uint256 limit, uint256 actual);
    error WrongRegisterSize(uint256 expected, uint256 actual);
    error NotAscending(address previous, address next);
    error NotActive(address participant, Membership actual);

    /// @notice Becomes active from the next round on, for exactly the deposit. Not while suspended.
    /// @param payout Where credits and the deposit go.
    function join(address payout) external payable;

    /// @notice No new round counts the caller in; the open one still does.
    function leave() external;

    /// @notice The deposit goes to the payout address, once the caller has left or is suspended, the round that was
    /// open then is over, and a day has passed.
    function reclaim() external;

    /// @notice Changes where the caller's money goes; whoever ever joined may, at any time.
    function setPayout(address payout) external;

    /// @notice By vote: from the next round on not counted in, and can't join again before being reinstated.
    function suspend(address participant) external;

    /// @notice By vote: active again if its deposit is still here (if it had left before, it may leave again), else free
    /// to join anew.
    function reinstate(address participant) external;

    /// @notice The deposit in wei.
    function deposit() external view returns (uint256);

    function consortium() external view returns (address);

    function ledger() external view returns (address);

    function membership(address participant) external view returns (Membership);

    function isActive(address participant) external view returns (bool);

    function activeCount() external view returns (uint256);

    /// @notice Zero for who never joined.
    function payoutOf(address participant) external view returns (address);

    /// @notice The deposit held for a participant, and the first second at which `reclaim` may work (0: still active).
    function depositOf(address participant) external view returns (uint256 amount, uint64 reclaimableAt);

    /// @notice Whether the participant was active when the round, the current one, was opened.
    function wasActive(address participant, uint64 round) external view returns (bool);

    /// @notice Reverts unless these are all active participants, each once, by ascending address.
    function checkRegister(address[] calldata registered) external view;
}
