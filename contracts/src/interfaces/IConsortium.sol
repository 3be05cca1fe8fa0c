// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Checkpoint, Terms, Unavailable} from "../libraries/Messages.sol";
import {IEventStream} from "./IEventStream.sol";

/// @title The members of a federation, one vote each
/// @notice Decides by vote who takes part, which measured code may aggregate, which platforms are believed, and the
/// terms of future rounds. No vote touches a past round, an open one's terms, somebody's credit, bond or deposit, the
/// treasury's money, a reputation, or what kind of root an authority was first trusted under: there is no function for it.
/// Members also sign: what they remember of settled rounds (checkpoints), and that a result's data can't be had.
interface IConsortium is IEventStream {
    /// @notice What a proposal does when it is executed. `subject` names whom or what, `data` says the rest.
    /// | action | subject | data |
    /// | --- | --- | --- |
    /// | AdmitMember | address | HPKE public key of the member |
    /// | RemoveMember, AdmitCoordinator, RemoveCoordinator, SuspendParticipant, ReinstateParticipant | address | empty |
    /// | AllowMeasurement, RevokeMeasurement | measurement | empty |
    /// | TrustAuthority | SHA-256 of the CA's public key X || Y | abi.encode(Authority) |
    /// | DistrustAuthority | the same | empty |
    /// | AcceptTcb | keccak256(abi.encode(authority, fmspc, pceId, cpuSvn, pceSvn)) | abi.encode(Tcb) |
    /// | RejectTcb | the same | empty |
    /// | RevokeCertificate | keccak256(data) | abi.encode(bytes32 authority, uint256 serial) |
    /// | RevokeEnclave | enclave | empty |
    /// | SetTerms | keccak256(data) | abi.encode(Terms terms, uint64 fromRound) |
    /// | OutvoteResult | hashStruct of the proposed result | abi.encode(Spec), as opened |
    enum Action {
        AdmitMember,
        RemoveMember,
        AllowMeasurement,
        RevokeMeasurement,
        TrustAuthority,
        DistrustAuthority,
        AcceptTcb,
        RejectTcb,
        RevokeCertificate,
        RevokeEnclave,
        AdmitCoordinator,
        RemoveCoordinator,
        SuspendParticipant,
        ReinstateParticipant,
        SetTerms,
        OutvoteResult
    }

    /// @notice A founding or later member, with its HPKE public key.
    struct Member {
        address account;
        bytes hpkeKey;
    }

    event MemberAdmitted(address indexed member, bytes hpkeKey);
    event MemberRemoved(address indexed member);
    event MeasurementAllowed(bytes32 indexed measurement);
    event MeasurementRevoked(bytes32 indexed measurement);
    /// @notice Not by vote: an attested enclave of this measurement signed what was refuted.
    event MeasurementSuspended(bytes32 indexed measurement);
    event CoordinatorAdmitted(address indexed coordinator);
    event CoordinatorRemoved(address indexed coordinator);
    /// @notice `terms` are in force from `fromRound` on, and replace whatever was set before for those rounds.
    event TermsSet(uint64 indexed fromRound, Terms terms);
    event Proposed(
        uint256 indexed proposal, Action action, bytes32 indexed subject, address indexed proposer, bytes data
    );
    event Voted(uint256 indexed proposal, address indexed member);
    event Executed(uint256 indexed proposal);
    /// @notice `signatures` are 65 bytes each, by ascending signer.
    event CheckpointPosted(uint64 indexed round, bytes32 indexed result, bytes32 blockHash, bytes signatures);
    event DataUnavailable(uint64 indexed round, bytes32 indexed result, bytes signatures);

    /// @notice Not a member.
    error NotMember(address account);
    /// @notice There is no such proposal.
    error UnknownProposal(uint256 proposal);
    /// @notice The member was admitted after the proposal was made.
    error MemberTooNew(uint256 proposal, uint256 newestAtAdmission);
    error AlreadyVoted(uint256 proposal, address member);
    error AlreadyExecuted(uint256 proposal);
    /// @notice The members that voted for it, as far as they still are members.
    error NotEnoughVotes(uint256 expected, uint256 actual);
    /// @notice The subject is not in its one accepted form.
    error WrongSubject(bytes32 expected, bytes32 actual);
    /// @notice `data` is not what was proposed.
    error WrongData(bytes32 expected, bytes32 actual);
    error WrongDataLength(uint256 expected, uint256 actual);
    /// @notice What is proposed is so already.
    error NothingToChange(Action action, bytes32 subject);
    /// @notice Since the proposal to add it was made, the subject was removed by a newer vote.
    error StaleProposal(uint256 proposal, uint256 newestAtRemoval);
    error MemberAddressZero();
    /// @notice A status that is none, which no vote can accept.
    error NoStatus();
    /// @notice The last member can't be removed, or nobody could ever vote again.
    error LastMember(address member);
    /// @notice A field of the terms is outside its range.
    error TermsOutOfRange(string field, int256 lowest, int256 highest, int256 actual);
    /// @notice The delay must leave time to execute.
    error DelayTooLong(uint64 limit, uint64 actual);
    error WrongSignaturesLength(uint256 actual);
    /// @notice Signers are in ascending order, each once.
    error SignersNotAscending(address last, address next);
    error WrongResult(bytes32 expected, bytes32 actual);
    error NotSettled(uint64 round);

    /// @notice Members propose; the proposer's vote is in.
    /// @return proposal Its number, from 1.
    function propose(Action action, bytes32 subject, bytes calldata data) external returns (uint256 proposal);

    /// @notice A yes of a member that was one before the proposal was made. There is no other vote.
    function vote(uint256 proposal) external;

    /// @notice Anybody executes what has the votes: two thirds of the members at proposing and the delay for what adds
    /// and for removing a member, two thirds at once to outvote a result, a third at once for what else takes away. A
    /// vote counts while its voter is a member.
    /// @param data As proposed.
    function execute(uint256 proposal, bytes calldata data) external;

    /// @notice By `Disputes` only: code of this measurement may not aggregate until a newer vote allows it again.
    function suspendMeasurement(bytes32 measurement) external;

    /// @notice Anybody posts what members signed of a settled round: a chain that was rewritten behind it is noticed.
    /// @param signatures 65 bytes each, of members, by ascending signer; one at least. The hash of the block in which the
    /// round settled is theirs to know: the contract compares round and result only.
    function postCheckpoint(Checkpoint calldata checkpoint, bytes calldata signatures) external;

    /// @notice Anybody posts complaints of more than a third of the members: the proposed round is void, nobody pays.
    function postUnavailable(Unavailable calldata unavailable, bytes calldata signatures) external;

    /// @notice SHA-256 of the federation's parameters, the policy that enclaves must claim.
    function charter() external view returns (bytes32);

    /// @notice Seconds between proposing and executing something that adds.
    function delay() external view returns (uint64);

    function participants() external view returns (address);

    function enclaves() external view returns (address);

    function ledger() external view returns (address);

    function disputes() external view returns (address);

    function isMember(address account) external view returns (bool);

    function memberCount() external view returns (uint256);

    function isCoordinator(address account) external view returns (bool);

    function isMeasurementAllowed(bytes32 measurement) external view returns (bool);

    function proposalCount() external view returns (uint256);

    /// @notice What a proposal is and where it stands.
    function proposalOf(uint256 proposal)
        external
        view
        returns (
            Action action,
            bytes32 subject,
            bytes32 dataHash,
            uint64 proposedAt,
            uint256 members,
            uint256 votes,
            bool executed
        );

    /// @notice keccak256 of the encoded terms in force for a round.
    function termsHash(uint64 round) external view returns (bytes32);

    /// @notice The terms of a round as the ledger needs them: their hash, the cohort's size, the windows.
    function termsOf(uint64 round) external view returns (bytes32 hash, uint16 cohortSize, uint64[5] memory windows);
}
