// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Address} from "@openzeppelin/contracts/utils/Address.sol";

import {EventStream} from "./EventStream.sol";
import {IConsortium} from "./interfaces/IConsortium.sol";
import {Answer, IDisputes} from "./interfaces/IDisputes.sol";
import {IEnclaves} from "./interfaces/IEnclaves.sol";
import {Finding} from "./interfaces/IPredicates.sol";
import {IRoundLedger} from "./interfaces/IRoundLedger.sol";
import {Cohorts} from "./libraries/Cohorts.sol";
import {LeafRequests} from "./libraries/LeafRequests.sol";
import {Merkle} from "./libraries/Merkle.sol";
import {Messages, RoundResult, Spec} from "./libraries/Messages.sol";
import {SignedLeaves} from "./libraries/SignedLeaves.sol";
import {Verdict, Verdicts} from "./libraries/Verdicts.sol";

/// @title Proofs, what follows from them, and what is withheld
contract Disputes is IDisputes, EventStream {
    /// @dev One slot.
    struct Request {
        Tree tree;
        uint16 slot;
        uint32 index;
        uint64 answerBy;
        bool isOpen;
    }

    /// @dev One slot: rounds are strictly in order, so only the newest in which something was asked can still wait.
    struct Hold {
        uint64 round;
        uint64 notBefore;
        uint32 open;
    }

    /// @notice So long whoever pre-committed has time to show an older pre-commitment.
    uint64 public constant CLAIM_WINDOW = 1 hours;
    /// @notice So long the set leaves must be shown, then a pot can be shared out without.
    uint64 public constant LEAVES_WINDOW = 7 days;

    address private immutable _ledger;
    address private immutable _consortium;
    address private immutable _enclaves;
    address private immutable _setPredicates;
    address private immutable _columnPredicates;
    address private immutable _gramPredicates;
    uint256 private immutable _deposit;

    Hold private _hold;
    mapping(bytes32 commitment => uint64 blockNumber) private _commitments;
    mapping(uint64 round => mapping(address member => Request)) private _requests;

    constructor(
        bytes32 federation_,
        address ledger_,
        address consortium_,
        address enclaves_,
        address setPredicates_,
        address columnPredicates_,
        address gramPredicates_,
        uint256 deposit_
    ) EventStream(federation_) {
        _ledger = ledger_;
        _consortium = consortium_;
        _enclaves = enclaves_;
        _setPredicates = setPredicates_;
        _columnPredicates = columnPredicates_;
        _gramPredicates = gramPredicates_;
        _deposit = deposit_;
    }

    /// @inheritdoc IDisputes
    function commitProof(bytes32 commitment) external {
        uint64 already = _commitments[commitment];
        require(already == 0, AlreadyCommitted(already));

        _commitments[commitment] = uint64(block.number);

        emit ProofCommitted(commitment);
        _record(ProofCommitted.selector, commitment, "");
    }

    /// @inheritdoc IDisputes
    function refute(Family family, bytes calldata proof, bytes32 salt) external {
        Finding memory finding = _find(family, proof);
        uint64 committed = _committedAt(proof, salt);
        if (committed == 0) committed = uint64(block.number); // what is committed from now on may be a copy
        IRoundLedger(_ledger).refute(finding, msg.sender, committed);
        if (finding.isEnclaves) _suspend(finding.enclave);
    }

    /// @inheritdoc IDisputes
    function claim(Verdict calldata verdict, Family family, bytes calldata proof, bytes32 salt) external {
        uint256 deadline = verdict.decidedAt + CLAIM_WINDOW;
        require(block.timestamp <= deadline, TooLate(deadline, block.timestamp));
        uint64 committed = _committedAt(proof, salt);
        bool isEarlier = committed != 0 && committed < verdict.committedAt;
        require(isEarlier, NoEarlierCommitment(verdict.committedAt, committed));
        _findAbout(verdict, family, proof);
        IRoundLedger(_ledger).replaceProver(verdict, msg.sender, committed);
    }

    /// @inheritdoc IDisputes
    function suspend(Verdict calldata verdict, Family family, bytes calldata proof) external {
        uint136 waiting = IRoundLedger(_ledger).verdictOf(verdict.coordinator);
        uint136 actual = Verdicts.tagOf(abi.encode(verdict));
        require(actual == waiting, IRoundLedger.WrongVerdict(waiting, actual));
        Finding memory finding = _findAbout(verdict, family, proof);
        require(finding.isEnclaves, NotEnclaves(finding.predicate));

        emit EnclaveAccused(verdict.round, finding.predicate, msg.sender);
        _record(
            EnclaveAccused.selector,
            bytes32(uint256(verdict.round)),
            bytes32(uint256(finding.predicate)),
            _topic(msg.sender),
            ""
        );
        _suspend(finding.enclave);
    }

    /// @inheritdoc IDisputes
    function executeVerdict(
        Verdict calldata verdict,
        Spec calldata spec,
        RoundResult calldata result,
        address[] calldata cohort,
        bytes[] calldata setLeaves
    ) external {
        bool isWithLeaves = setLeaves.length != 0;
        bool needsLeaves = verdict.result != bytes32(0) && !isWithLeaves;
        uint64 notBefore = verdict.decidedAt + (needsLeaves ? LEAVES_WINDOW : CLAIM_WINDOW) + 1;
        require(block.timestamp >= notBefore, TooEarly(notBefore, block.timestamp));
        address[] memory signers = new address[](0);
        if (isWithLeaves) signers = _signersOf(verdict, spec, result, cohort, setLeaves);
        IRoundLedger(_ledger).executeVerdict(verdict, signers);
    }

    /// @inheritdoc IDisputes
    function requestLeaf(Spec calldata spec, RoundResult calldata result, Tree tree, uint16 slot, uint32 index)
        external
        payable
    {
        require(IConsortium(_consortium).isMember(msg.sender), NotMember(msg.sender));
        require(msg.value == _deposit, WrongDeposit(_deposit, msg.value));
        _checkProposed(spec, result);
        require(block.timestamp <= spec.deadlines[4], TooLate(spec.deadlines[4], block.timestamp));
        require(_requests[spec.round][msg.sender].answerBy == 0, AlreadyRequested(spec.round, msg.sender));
        LeafRequests.check(spec, result, tree, slot, index, IRoundLedger(_ledger).currentSlots());
        uint64 answerBy = uint64(block.timestamp) + _window(spec);
        // an overdue request is a cheap way out of a round: not while proofs have their time
        if (answerBy < spec.deadlines[4]) answerBy = spec.deadlines[4];

        _requests[spec.round][msg.sender] =
            Request({tree: tree, slot: slot, index: index, answerBy: answerBy, isOpen: true});
        Hold memory hold = _hold;
        if (hold.round != spec.round) hold = Hold({round: spec.round, notBefore: 0, open: 0});
        ++hold.open;
        _hold = hold;

        emit LeafRequested(spec.round, msg.sender, tree, slot, index, answerBy);
        _record(
            LeafRequested.selector,
            bytes32(uint256(spec.round)),
            _topic(msg.sender),
            abi.encode(tree, slot, index, answerBy)
        );
    }

    /// @inheritdoc IDisputes
    function answerLeaf(Spec calldata spec, RoundResult calldata result, address member, Answer calldata answer)
        external
    {
        _checkProposed(spec, result);
        Request memory request = _openRequest(spec.round, member);
        require(block.timestamp <= request.answerBy, TooLate(request.answerBy, block.timestamp));
        uint256 slots = IRoundLedger(_ledger).currentSlots();
        LeafRequests.checkAnswer(spec, result, request.tree, request.slot, request.index, answer, slots);

        _requests[spec.round][member].isOpen = false;
        uint64 notBefore = uint64(block.timestamp) + _window(spec) + 1;
        if (notBefore > _hold.notBefore) _hold.notBefore = notBefore;
        --_hold.open;

        emit LeafAnswered(spec.round, member, msg.sender, answer);
        _record(
            LeafAnswered.selector, bytes32(uint256(spec.round)), _topic(member), _topic(msg.sender), abi.encode(answer)
        );
        IRoundLedger(_ledger).credit{value: _deposit}(msg.sender);
    }

    /// @inheritdoc IDisputes
    function voidWithheld(uint64 round, address member) external {
        Request memory request = _openRequest(round, member);
        require(block.timestamp > request.answerBy, TooEarly(request.answerBy + 1, block.timestamp));
        IRoundLedger(_ledger).voidWithheld(round);
        _close(round, member);
    }

    /// @inheritdoc IDisputes
    function closeRequest(uint64 round, address member) external {
        _openRequest(round, member);
        IRoundLedger.State state = IRoundLedger(_ledger).stateOf(round);
        bool isOver = state == IRoundLedger.State.Void; // a round with an open request does not settle
        require(isOver, IRoundLedger.WrongState(IRoundLedger.State.Void, state));
        _close(round, member);
    }

    /// @inheritdoc IDisputes
    function ledger() external view returns (address) {
        return _ledger;
    }

    /// @inheritdoc IDisputes
    function consortium() external view returns (address) {
        return _consortium;
    }

    /// @inheritdoc IDisputes
    function enclaves() external view returns (address) {
        return _enclaves;
    }

    /// @inheritdoc IDisputes
    function predicates(Family family) public view returns (address) {
        if (family == Family.Set) return _setPredicates;
        return family == Family.Column ? _columnPredicates : _gramPredicates;
    }

    /// @inheritdoc IDisputes
    function deposit() external view returns (uint256) {
        return _deposit;
    }

    /// @inheritdoc IDisputes
    function committedAt(bytes32 commitment) external view returns (uint64) {
        return _commitments[commitment];
    }

    /// @inheritdoc IDisputes
    function holdOn(uint64 round) external view returns (uint256 open, uint64 notBefore) {
        Hold memory hold = _hold;
        if (hold.round == round) return (hold.open, hold.notBefore);
    }

    /// @inheritdoc IDisputes
    function requestOf(uint64 round, address member) external view returns (Tree, uint16, uint32, uint64, bool) {
        Request storage request = _requests[round][member];
        return (request.tree, request.slot, request.index, request.answerBy, request.isOpen);
    }

    function _close(uint64 round, address member) private {
        _requests[round][member].isOpen = false;
        if (_hold.round == round) --_hold.open;

        emit RequestClosed(round, member);
        _record(RequestClosed.selector, bytes32(uint256(round)), _topic(member), "");
        IRoundLedger(_ledger).credit{value: _deposit}(member);
    }

    function _suspend(bytes32 enclave) private {
        bytes32 measurement = IEnclaves(_enclaves).measurementOf(enclave);
        IConsortium(_consortium).suspendMeasurement(measurement);
    }

    /// @dev A predicate writes nothing. What it says of itself when it fails is passed on.
    function _find(Family family, bytes calldata proof) private view returns (Finding memory) {
        bytes memory data = Address.functionStaticCall(predicates(family), proof);
        require(data.length == 7 * 32, NoFinding());
        return abi.decode(data, (Finding));
    }

    /// @dev A finding about the round, spec and result of a verdict, and of its cohort's size.
    function _findAbout(Verdict calldata verdict, Family family, bytes calldata proof)
        private
        view
        returns (Finding memory finding)
    {
        finding = _find(family, proof);
        bytes32 spec = IRoundLedger(_ledger).specOf(verdict.round);
        require(finding.spec == spec, OtherSubject(spec, finding.spec));
        bool isOfSignatures = finding.result == bytes32(0);
        require(isOfSignatures || finding.result == verdict.result, OtherSubject(verdict.result, finding.result));
        bool isOfSize = finding.slots == 0 || finding.slots == verdict.slots;
        require(isOfSize, OtherCount(verdict.slots, finding.slots));
    }

    function _committedAt(bytes calldata proof, bytes32 salt) private view returns (uint64 committed) {
        if (salt == bytes32(0)) return 0; // none was made
        committed = _commitments[keccak256(abi.encode(msg.sender, keccak256(proof), salt))];
        if (committed == block.number) committed = 0; // whoever saw the proof could have made it now
    }

    /// @dev Of whose leaf it is the signature that it claims to be; the leaves are those of the refuted result.
    function _signersOf(
        Verdict calldata verdict,
        Spec calldata spec,
        RoundResult calldata result,
        address[] calldata cohort,
        bytes[] calldata setLeaves
    ) private view returns (address[] memory signers) {
        bytes32 specHash = Messages.hashSpec(spec);
        bytes32 opened = IRoundLedger(_ledger).specOf(verdict.round);
        require(specHash == opened, OtherSubject(opened, specHash));
        bytes32 resultHash = Messages.hashResult(result);
        require(resultHash == verdict.result, OtherResult(verdict.result, resultHash));
        bytes32 cohortHash = Cohorts.hash(cohort);
        require(cohortHash == spec.cohort, OtherSubject(spec.cohort, cohortHash));
        require(setLeaves.length == cohort.length, OtherCount(cohort.length, setLeaves.length));
        bytes32 domain = IRoundLedger(_ledger).domainSeparator();
        bytes32[] memory hashes = new bytes32[](cohort.length);
        address[] memory found = new address[](cohort.length);
        uint256 count = 0;
        for (uint256 slot = 0; slot < cohort.length; ++slot) {
            bytes calldata leaf = setLeaves[slot];
            hashes[slot] = Merkle.leafHash(Merkle.SET, leaf);
            if (leaf.length != SignedLeaves.LENGTH) continue;
            if (SignedLeaves.isSigned(spec, specHash, domain, cohort[slot], leaf)) found[count++] = cohort[slot];
        }
        bytes32 root = Merkle.rootOf(hashes);
        require(root == result.setRoot, WrongSetRoot(result.setRoot, root));
        signers = new address[](count);
        for (uint256 i = 0; i < count; ++i) {
            signers[i] = found[i];
        }
    }

    function _checkProposed(Spec calldata spec, RoundResult calldata result) private view {
        IRoundLedger ledger_ = IRoundLedger(_ledger);
        IRoundLedger.State state = ledger_.stateOf(spec.round);
        require(state == IRoundLedger.State.Proposed, IRoundLedger.WrongState(IRoundLedger.State.Proposed, state));
        (bytes32 opened, bytes32 specHash) = (ledger_.specOf(spec.round), Messages.hashSpec(spec));
        require(specHash == opened, OtherSubject(opened, specHash));
        (bytes32 proposed, bytes32 resultHash) = (ledger_.resultOf(spec.round), Messages.hashResult(result));
        require(resultHash == proposed, OtherResult(proposed, resultHash));
    }

    function _openRequest(uint64 round, address member) private view returns (Request memory request) {
        request = _requests[round][member];
        require(request.isOpen, NoRequest(round, member));
    }

    /// @dev Seconds of this round's challenge window.
    function _window(Spec calldata spec) private pure returns (uint64) {
        return spec.deadlines[4] - spec.deadlines[3];
    }
}
