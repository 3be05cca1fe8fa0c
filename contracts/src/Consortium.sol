// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {EventStream} from "./EventStream.sol";
import {IConsortium} from "./interfaces/IConsortium.sol";
import {IEnclaves} from "./interfaces/IEnclaves.sol";
import {Authority, Tcb, TcbStatus} from "./interfaces/IPlatformTrust.sol";
import {IParticipants} from "./interfaces/IParticipants.sol";
import {IRoundLedger} from "./interfaces/IRoundLedger.sol";
import {Checkpoint, Messages, Spec, Terms, Unavailable} from "./libraries/Messages.sol";
import {TermsBounds} from "./libraries/TermsBounds.sol";

/// @title The members of a federation, one vote each
contract Consortium is IConsortium, EventStream {
    /// @dev Proposals are numbered, so their number is the clock: `newest` is the newest one at admission, and a member
    /// votes on later ones only.
    struct Seat {
        bool isMember;
        uint64 newest;
    }

    /// @dev `newest` is the newest proposal at the last suspension: a vote from before does not know of the proof.
    struct Allowance {
        bool isAllowed;
        uint64 newest;
    }

    struct Proposal {
        Action action;
        bool isExecuted;
        uint64 proposedAt;
        uint64 members; // when it was made
        bytes32 subject;
        bytes32 dataHash;
        address[] voters;
    }

    /// @dev Terms in force from `fromRound` on. Windows as five integers, because an array would not share the slot.
    struct Period {
        bytes32 hash;
        uint64 fromRound;
        uint16 cohortSize;
        uint32 submit;
        uint32 receipts;
        uint32 commit;
        uint32 propose;
        uint32 challenge;
    }

    /// @notice A vote is about what its voters know; a week later it must be asked anew.
    uint64 public constant PROPOSAL_LIFETIME = 7 days;
    /// @notice Twice the size of the largest HPKE key (hybrid, 1216 bytes).
    uint256 public constant MAX_KEY_BYTES = 2432;

    bytes32 private immutable _charter;
    address private immutable _participants;
    address private immutable _enclaves;
    address private immutable _ledger;
    address private immutable _disputes;
    uint64 private immutable _delay;

    uint256 private _memberCount;
    uint256 private _proposalCount;
    Period[] private _periods; // by ascending fromRound
    mapping(address account => Seat) private _seats;
    mapping(address coordinator => bool) private _isCoordinator;
    mapping(bytes32 measurement => Allowance) private _allowances;
    mapping(uint256 proposal => Proposal) private _proposals;
    mapping(uint256 proposal => mapping(address member => bool)) private _hasVoted;
    mapping(Action removal => mapping(bytes32 subject => uint256 proposal)) private _newestAtRemoval;

    constructor(
        bytes32 federation_,
        bytes32 charter_,
        address participants_,
        address enclaves_,
        address ledger_,
        address disputes_,
        Member[] memory members,
        Terms memory terms,
        uint64 delay_
    ) EventStream(federation_) {
        require(delay_ <= PROPOSAL_LIFETIME / 2, DelayTooLong(PROPOSAL_LIFETIME / 2, delay_));
        require(members.length != 0, LastMember(address(0)));
        _charter = charter_;
        _participants = participants_;
        _enclaves = enclaves_;
        _ledger = ledger_;
        _disputes = disputes_;
        _delay = delay_;
        for (uint256 i = 0; i < members.length; ++i) {
            _admitMember(members[i].account, members[i].hpkeKey);
        }
        _setTerms(terms, 1);
    }

    modifier onlyMember() {
        require(_seats[msg.sender].isMember, NotMember(msg.sender));
        _;
    }

    /// @inheritdoc IConsortium
    function propose(Action action, bytes32 subject, bytes calldata data)
        external
        onlyMember
        returns (uint256 proposal)
    {
        _checkForm(action, subject, data);

        proposal = ++_proposalCount;
        Proposal storage entry = _proposals[proposal];
        entry.action = action;
        entry.proposedAt = uint64(block.timestamp);
        entry.members = uint64(_memberCount);
        entry.subject = subject;
        entry.dataHash = keccak256(data);

        emit Proposed(proposal, action, subject, msg.sender, data);
        _record(Proposed.selector, bytes32(proposal), subject, _topic(msg.sender), abi.encode(action, data));
        _vote(proposal);
    }

    /// @inheritdoc IConsortium
    function vote(uint256 proposal) external onlyMember {
        _checkOpen(proposal);
        uint64 newest = _seats[msg.sender].newest;
        require(newest < proposal, MemberTooNew(proposal, newest));
        require(!_hasVoted[proposal][msg.sender], AlreadyVoted(proposal, msg.sender));

        _vote(proposal);
    }

    /// @inheritdoc IConsortium
    function execute(uint256 proposal, bytes calldata data) external {
        _checkOpen(proposal);
        Proposal storage entry = _proposals[proposal];
        (Action action, bytes32 subject) = (entry.action, entry.subject);
        require(keccak256(data) == entry.dataHash, WrongData(entry.dataHash, keccak256(data)));
        uint256 votes = _votesOf(proposal);
        uint256 needed = _needed(action, entry.members);
        require(votes >= needed, NotEnoughVotes(needed, votes));
        if (_isSlow(action)) {
            uint256 notBefore = entry.proposedAt + _delay;
            require(block.timestamp >= notBefore, TooEarly(notBefore, block.timestamp));
        }
        if (_isAddition(action)) {
            uint256 newest = _newestAtRemoval[_removalOf(action)][subject];
            if (action == Action.AllowMeasurement && _allowances[subject].newest > newest) {
                newest = _allowances[subject].newest;
            }
            require(proposal > newest, StaleProposal(proposal, newest));
        } else {
            _newestAtRemoval[action][subject] = _proposalCount;
        }

        entry.isExecuted = true;

        emit Executed(proposal);
        _record(Executed.selector, bytes32(proposal), "");
        _apply(action, subject, data);
    }

    /// @inheritdoc IConsortium
    /// @dev Also where it is not allowed any more: a vote to allow it again that is under way does not know of the proof.
    function suspendMeasurement(bytes32 measurement) external {
        require(msg.sender == _disputes, WrongCaller(_disputes, msg.sender));

        _allowances[measurement] = Allowance({isAllowed: false, newest: uint64(_proposalCount)});

        emit MeasurementSuspended(measurement);
        _record(MeasurementSuspended.selector, measurement, "");
    }

    /// @inheritdoc IConsortium
    function postCheckpoint(Checkpoint calldata checkpoint, bytes calldata signatures) external {
        (bytes32 expected, uint64 round) = (federation(), checkpoint.round);
        require(checkpoint.federation == expected, WrongFederation(expected, checkpoint.federation));
        require(IRoundLedger(_ledger).stateOf(round) == IRoundLedger.State.Settled, NotSettled(round));
        bytes32 settled = IRoundLedger(_ledger).resultOf(round);
        require(checkpoint.result == settled, WrongResult(settled, checkpoint.result));
        _countSigners(Messages.hashCheckpoint(checkpoint), signatures);

        emit CheckpointPosted(round, settled, checkpoint.blockHash, signatures);
        _record(
            CheckpointPosted.selector,
            bytes32(uint256(round)),
            settled,
            abi.encode(checkpoint.blockHash, signatures)
        );
    }

    /// @inheritdoc IConsortium
    function postUnavailable(Unavailable calldata unavailable, bytes calldata signatures) external {
        (bytes32 expected, uint64 round) = (federation(), unavailable.round);
        require(unavailable.federation == expected, WrongFederation(expected, unavailable.federation));
        uint256 signers = _countSigners(Messages.hashUnavailable(unavailable), signatures);
        uint256 needed = _memberCount / 3 + 1;
        require(signers >= needed, NotEnoughVotes(needed, signers));

        emit DataUnavailable(round, unavailable.result, signatures);
        _record(
            DataUnavailable.selector, bytes32(uint256(round)), unavailable.result, abi.encode(signatures)
        );
        IRoundLedger(_ledger).voidUnavailable(round, unavailable.result);
    }

    /// @inheritdoc IConsortium
    function charter() external view returns (bytes32) {
        return _charter;
    }

    /// @inheritdoc IConsortium
    function delay() external view returns (uint64) {
        return _delay;
    }

    /// @inheritdoc IConsortium
    function participants() external view returns (address) {
        return _participants;
    }

    /// @inheritdoc IConsortium
    function enclaves() external view returns (address) {
        return _enclaves;
    }

    /// @inheritdoc IConsortium
    function ledger() external view returns (address) {
        return _ledger;
    }

    /// @inheritdoc IConsortium
    function disputes() external view returns (address) {
        return _disputes;
    }

    /// @inheritdoc IConsortium
    function isMember(address account) external view returns (bool) {
        return _seats[account].isMember;
    }

    /// @inheritdoc IConsortium
    function memberCount() external view returns (uint256) {
        return _memberCount;
    }

    /// @inheritdoc IConsortium
    function isCoordinator(address account) external view returns (bool) {
        return _isCoordinator[account];
    }

    /// @inheritdoc IConsortium
    function isMeasurementAllowed(bytes32 measurement) external view returns (bool) {
        return _allowances[measurement].isAllowed;
    }

    /// @inheritdoc IConsortium
    function proposalCount() external view returns (uint256) {
        return _proposalCount;
    }

    /// @inheritdoc IConsortium
    function proposalOf(uint256 proposal)
        external
        view
        returns (Action, bytes32, bytes32, uint64, uint256, uint256, bool)
    {
        Proposal storage entry = _proposals[proposal];
        return (
            entry.action,
            entry.subject,
            entry.dataHash,
            entry.proposedAt,
            entry.members,
            _votesOf(proposal),
            entry.isExecuted
        );
    }

    /// @inheritdoc IConsortium
    function termsHash(uint64 round) external view returns (bytes32) {
        return _periodOf(round).hash;
    }

    /// @inheritdoc IConsortium
    function termsOf(uint64 round) external view returns (bytes32 hash, uint16 cohortSize, uint64[5] memory windows) {
        Period storage period = _periodOf(round);
        hash = period.hash;
        cohortSize = period.cohortSize;
        windows = [
            uint64(period.submit),
            uint64(period.receipts),
            uint64(period.commit),
            uint64(period.propose),
            uint64(period.challenge)
        ];
    }

    function _vote(uint256 proposal) private {
        _hasVoted[proposal][msg.sender] = true;
        _proposals[proposal].voters.push(msg.sender);

        emit Voted(proposal, msg.sender);
        _record(Voted.selector, bytes32(proposal), _topic(msg.sender), "");
    }

    function _apply(Action action, bytes32 subject, bytes calldata data) private {
        address account = address(uint160(uint256(subject)));
        if (action == Action.AdmitMember) _admitMember(account, data);
        else if (action == Action.RemoveMember) _removeMember(account);
        else if (action == Action.AllowMeasurement) _setAllowed(subject, true);
        else if (action == Action.RevokeMeasurement) _setAllowed(subject, false);
        else if (action == Action.AdmitCoordinator) _setCoordinator(account, true);
        else if (action == Action.RemoveCoordinator) _setCoordinator(account, false);
        else if (action == Action.SuspendParticipant) IParticipants(_participants).suspend(account);
        else if (action == Action.ReinstateParticipant) IParticipants(_participants).reinstate(account);
        else if (action == Action.SetTerms) _scheduleTerms(data);
        else if (action == Action.OutvoteResult) _outvote(subject, data);
        else _applyToPlatforms(action, subject, data);
    }

    function _applyToPlatforms(Action action, bytes32 subject, bytes calldata data) private {
        IEnclaves registry = IEnclaves(_enclaves);
        if (action == Action.TrustAuthority) {
            registry.trustAuthority(subject, abi.decode(data, (Authority)));
        } else if (action == Action.DistrustAuthority) {
            registry.distrustAuthority(subject);
        } else if (action == Action.AcceptTcb) {
            registry.acceptTcb(subject, abi.decode(data, (Tcb)));
        } else if (action == Action.RejectTcb) {
            registry.rejectTcb(subject);
        } else if (action == Action.RevokeCertificate) {
            (bytes32 authority, uint256 serial) = abi.decode(data, (bytes32, uint256));
            registry.revokeCertificate(subject, authority, serial);
        } else {
            registry.revoke(subject);
        }
    }

    function _admitMember(address account, bytes memory hpkeKey) private {
        require(account != address(0), MemberAddressZero());
        require(!_seats[account].isMember, NothingToChange(Action.AdmitMember, _topic(account)));

        _seats[account] = Seat({isMember: true, newest: uint64(_proposalCount)});
        ++_memberCount;

        emit MemberAdmitted(account, hpkeKey);
        _record(MemberAdmitted.selector, _topic(account), abi.encode(hpkeKey));
    }

    function _removeMember(address account) private {
        require(_seats[account].isMember, NothingToChange(Action.RemoveMember, _topic(account)));
        require(_memberCount > 1, LastMember(account));

        delete _seats[account];
        --_memberCount;

        emit MemberRemoved(account);
        _record(MemberRemoved.selector, _topic(account), "");
    }

    function _setAllowed(bytes32 measurement, bool allowed) private {
        Action action = allowed ? Action.AllowMeasurement : Action.RevokeMeasurement;
        require(_allowances[measurement].isAllowed != allowed, NothingToChange(action, measurement));

        _allowances[measurement].isAllowed = allowed;

        if (allowed) emit MeasurementAllowed(measurement);
        else emit MeasurementRevoked(measurement);
        _record(allowed ? MeasurementAllowed.selector : MeasurementRevoked.selector, measurement, "");
    }

    function _setCoordinator(address account, bool admitted) private {
        Action action = admitted ? Action.AdmitCoordinator : Action.RemoveCoordinator;
        require(_isCoordinator[account] != admitted, NothingToChange(action, _topic(account)));

        _isCoordinator[account] = admitted;

        if (admitted) emit CoordinatorAdmitted(account);
        else emit CoordinatorRemoved(account);
        _record(admitted ? CoordinatorAdmitted.selector : CoordinatorRemoved.selector, _topic(account), "");
    }

    /// @dev Never a round that is open or over; when the chain has outrun the vote, from the next one on.
    function _scheduleTerms(bytes calldata data) private {
        (Terms memory terms, uint64 fromRound) = abi.decode(data, (Terms, uint64));
        uint64 next = IRoundLedger(_ledger).currentRound() + 1;
        _setTerms(terms, fromRound > next ? fromRound : next);
    }

    function _outvote(bytes32 result, bytes calldata data) private {
        IRoundLedger(_ledger).voidOutvoted(abi.decode(data, (Spec)), result);
    }

    /// @dev What was set before for these rounds is replaced; it can only be pending, so there are few of them.
    function _setTerms(Terms memory terms, uint64 fromRound) private {
        TermsBounds.check(terms);

        while (_periods.length != 0 && _periods[_periods.length - 1].fromRound >= fromRound) _periods.pop();
        _periods.push(
            Period({
                hash: Messages.hashTerms(terms),
                fromRound: fromRound,
                cohortSize: terms.cohortSize,
                submit: uint32(terms.windows[0]),
                receipts: uint32(terms.windows[1]),
                commit: uint32(terms.windows[2]),
                propose: uint32(terms.windows[3]),
                challenge: uint32(terms.windows[4])
            })
        );

        emit TermsSet(fromRound, terms);
        _record(TermsSet.selector, bytes32(uint256(fromRound)), abi.encode(terms));
    }

    /// @dev From the newest back: the ledger asks for the next round, so it passes pending ones only.
    function _periodOf(uint64 round) private view returns (Period storage) {
        uint256 i = _periods.length - 1;
        while (i != 0 && _periods[i].fromRound > round) --i;
        return _periods[i];
    }

    /// @dev Votes of who has been removed since do not count, nor of who was removed and admitted again.
    function _votesOf(uint256 proposal) private view returns (uint256 votes) {
        address[] storage voters = _proposals[proposal].voters;
        for (uint256 i = 0; i < voters.length; ++i) {
            Seat storage seat = _seats[voters[i]];
            if (seat.isMember && seat.newest < proposal) ++votes;
        }
    }

    /// @dev Members, each once; one at least.
    function _countSigners(bytes32 structHash, bytes calldata signatures) private view returns (uint256 count) {
        count = signatures.length / 65;
        require(count != 0 && signatures.length == 65 * count, WrongSignaturesLength(signatures.length));
        bytes32 digest = Messages.digest(IRoundLedger(_ledger).domainSeparator(), structHash);
        address last = address(0);
        for (uint256 i = 0; i < count; ++i) {
            address next = ECDSA.recoverCalldata(digest, signatures[65 * i:65 * (i + 1)]);
            require(next > last, SignersNotAscending(last, next));
            require(_seats[next].isMember, NotMember(next));
            last = next;
        }
    }

    function _checkOpen(uint256 proposal) private view {
        require(proposal != 0 && proposal <= _proposalCount, UnknownProposal(proposal));
        Proposal storage entry = _proposals[proposal];
        require(!entry.isExecuted, AlreadyExecuted(proposal));
        uint256 deadline = entry.proposedAt + PROPOSAL_LIFETIME;
        require(block.timestamp <= deadline, TooLate(deadline, block.timestamp));
    }

    /// @dev One form a subject and its data, so that nobody votes on what can't be executed.
    function _checkForm(Action action, bytes32 subject, bytes calldata data) private view {
        if (_isAboutAccount(action)) {
            bytes32 canonical = bytes32(uint256(uint160(uint256(subject))));
            require(subject == canonical && subject != bytes32(0), WrongSubject(canonical, subject));
        }
        if (action == Action.SetTerms) {
            _checkSubject(subject, keccak256(data));
            _checkLength(data, 21 * 32);
            (Terms memory terms,) = abi.decode(data, (Terms, uint64));
            TermsBounds.check(terms);
        } else if (action == Action.OutvoteResult) {
            _checkLength(data, 25 * 32);
        } else if (action == Action.AdmitMember) {
            require(data.length <= MAX_KEY_BYTES, WrongDataLength(MAX_KEY_BYTES, data.length));
        } else if (action == Action.TrustAuthority) {
            Authority memory authority = abi.decode(data, (Authority));
            bytes32 canonical = keccak256(abi.encode(authority));
            require(keccak256(data) == canonical, WrongData(canonical, keccak256(data)));
            IEnclaves(_enclaves).checkAuthority(subject, authority);
        } else if (action == Action.AcceptTcb) {
            _checkLength(data, 8 * 32);
            Tcb memory tcb = abi.decode(data, (Tcb));
            require(tcb.status != TcbStatus.None, NoStatus());
            _checkSubject(subject, keccak256(abi.encode(tcb.authority, tcb.fmspc, tcb.pceId, tcb.cpuSvn, tcb.pceSvn)));
        } else if (action == Action.RevokeCertificate) {
            _checkLength(data, 2 * 32);
            _checkSubject(subject, keccak256(data));
        } else {
            _checkLength(data, 0);
        }
    }

    function _checkSubject(bytes32 subject, bytes32 expected) private pure {
        require(subject == expected, WrongSubject(expected, subject));
    }

    function _checkLength(bytes calldata data, uint256 expected) private pure {
        require(data.length == expected, WrongDataLength(expected, data.length));
    }

    function _isAboutAccount(Action action) private pure returns (bool) {
        return action == Action.AdmitMember || action == Action.RemoveMember || action == Action.AdmitCoordinator
            || action == Action.RemoveCoordinator || action == Action.SuspendParticipant
            || action == Action.ReinstateParticipant;
    }

    function _isAddition(Action action) private pure returns (bool) {
        return action == Action.AdmitMember || action == Action.AllowMeasurement || action == Action.TrustAuthority
            || action == Action.AcceptTcb || action == Action.AdmitCoordinator || action == Action.ReinstateParticipant
            || action == Action.SetTerms;
    }

    /// @dev Two thirds and the delay. Removing a member is among them: a third must not expel the others.
    function _isSlow(Action action) private pure returns (bool) {
        return _isAddition(action) || action == Action.RemoveMember;
    }

    /// @dev Outvoting a result can't wait: the challenge window may be shorter than the delay.
    function _needsTwoThirds(Action action) private pure returns (bool) {
        return _isSlow(action) || action == Action.OutvoteResult;
    }

    /// @dev What takes away what an action adds. Terms are not taken away, only replaced: `SetTerms` never is a removal.
    function _removalOf(Action action) private pure returns (Action) {
        if (action == Action.AdmitMember) return Action.RemoveMember;
        if (action == Action.AllowMeasurement) return Action.RevokeMeasurement;
        if (action == Action.TrustAuthority) return Action.DistrustAuthority;
        if (action == Action.AcceptTcb) return Action.RejectTcb;
        if (action == Action.AdmitCoordinator) return Action.RemoveCoordinator;
        if (action == Action.ReinstateParticipant) return Action.SuspendParticipant;
        return Action.SetTerms;
    }

    /// @dev Smallest number of votes with 3 * votes >= 2 * members, or 3 * votes >= members.
    function _needed(Action action, uint256 members) private pure returns (uint256) {
        return _needsTwoThirds(action) ? (2 * members + 2) / 3 : (members + 2) / 3;
    }
}
