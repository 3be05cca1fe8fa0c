// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";

import {LedgerState} from "./LedgerState.sol";
import {IConsortium} from "./interfaces/IConsortium.sol";
import {IDisputes} from "./interfaces/IDisputes.sol";
import {IEnclaves} from "./interfaces/IEnclaves.sol";
import {IParticipants} from "./interfaces/IParticipants.sol";
import {Finding} from "./interfaces/IPredicates.sol";
import {IRoundLedger} from "./interfaces/IRoundLedger.sol";
import {Cohorts} from "./libraries/Cohorts.sol";
import {Messages, RoundResult, Spec} from "./libraries/Messages.sol";
import {Outcomes} from "./libraries/Outcomes.sol";
import {Payouts} from "./libraries/Payouts.sol";
import {Reputation} from "./libraries/Reputation.sol";
import {ResultChecks} from "./libraries/ResultChecks.sol";
import {Rulebook} from "./libraries/Rulebook.sol";
import {Verdict, Verdicts} from "./libraries/Verdicts.sol";

/// @title The ledger of rounds
contract RoundLedger is LedgerState, EIP712, ReentrancyGuard {
    constructor(
        bytes32 federation_,
        address consortium_,
        address participants_,
        address enclaves_,
        address disputes_,
        bytes32 genesisModel_,
        int8 modelExponent_,
        uint256 minimumBond_
    )
        LedgerState(
            federation_,
            consortium_,
            participants_,
            enclaves_,
            disputes_,
            genesisModel_,
            modelExponent_,
            minimumBond_
        )
        EIP712("Veriflock", "1")
    {}

    modifier onlyDisputes() {
        require(msg.sender == _disputes, WrongCaller(_disputes, msg.sender));
        _;
    }

    modifier onlyConsortium() {
        require(msg.sender == _consortium, WrongCaller(_consortium, msg.sender));
        _;
    }

    /// @inheritdoc IRoundLedger
    function openRound(Spec calldata spec, address[] calldata registered, bytes32 cut) external {
        Current memory current = _current;
        require(!_isLive(current.state), RoundNotOver(current.round));
        uint64 round = current.round + 1;
        _checkPlace(spec, round);
        uint16 cohortSize = _checkTerms(spec, round);
        _checkLease(spec);
        _checkCoordinator(spec.budget);
        address[] memory cohort = _cohortOf(spec, registered, cut, cohortSize);

        bytes32 specHash = Messages.hashFirstSpec();
        _specs[round] = specHash;
        _current = Current({
            coordinator: msg.sender,
            round: uint40(round),
            commitBy: uint40(spec.deadlines[2]), // below now + 3 * (30 days + 1 hour)
            lastSlot: uint8(cohort.length - 1),
            state: State.Open
        });

        emit RoundOpened(round, specHash, spec.enclave, msg.sender, spec, cohort);
        _record(
            RoundOpened.selector, bytes32(uint256(round)), specHash, spec.enclave, abi.encode(msg.sender, spec, cohort)
        );
    }

    /// @inheritdoc IRoundLedger
    function commit(uint64 round, bytes32 update) external {
        Current memory current = _current;
        require(round == current.round, WrongRound(current.round, round));
        require(current.state == State.Open, WrongState(State.Open, current.state));
        require(block.timestamp <= current.commitBy, TooLate(current.commitBy, block.timestamp));
        require(update != bytes32(0), EmptyDigest());
        require(IParticipants(_participants).wasActive(msg.sender, round), NotInRound(round, msg.sender));
        bytes32 already = _commitments[round][msg.sender];
        require(already == bytes32(0), AlreadyCommitted(already));

        _commitments[round][msg.sender] = update;

        emit UpdateCommitted(round, msg.sender, update);
        _record(UpdateCommitted.selector, bytes32(uint256(round)), _topic(msg.sender), abi.encode(update));
    }

    /// @inheritdoc IRoundLedger
    function propose(Spec calldata spec, RoundResult calldata result, bytes calldata outcomes, bytes calldata signature)
        external
    {
        Current memory current = _current;
        require(current.state == State.Open, WrongState(State.Open, current.state));
        bytes32 specHash = _checkSpec(current.round);
        require(msg.sender == current.coordinator, WrongCaller(current.coordinator, msg.sender));
        require(block.timestamp > spec.deadlines[2], TooEarly(spec.deadlines[2] + 1, block.timestamp));
        require(block.timestamp <= spec.deadlines[3], TooLate(spec.deadlines[3], block.timestamp));
        bool simulated = _checkTrust(spec.enclave);
        bool isEnough = ResultChecks.check(spec, specHash, result, outcomes, uint256(current.lastSlot) + 1);
        bytes32 resultHash = _checkSignature(result, signature);

        _current.state = isEnough ? State.Proposed : State.Void;
        if (isEnough) _results[current.round] = resultHash;

        emit ResultProposed(current.round, resultHash, simulated, result, outcomes, signature);
        _record(
            ResultProposed.selector,
            bytes32(uint256(current.round)),
            resultHash,
            abi.encode(simulated, result, outcomes, signature)
        );
        if (!isEnough) _emitVoided(current.round, VoidReason.TooFewCounted, 0);
    }

    /// @inheritdoc IRoundLedger
    function settle(Spec calldata spec, RoundResult calldata result, bytes calldata outcomes, address[] calldata cohort)
        external
    {
        Current memory current = _current;
        require(current.state == State.Proposed, WrongState(State.Proposed, current.state));
        _checkSpec(current.round);
        bytes32 resultHash = _checkProposed(result, outcomes, current.round);
        bytes32 cohortHash = Cohorts.hash(cohort);
        require(cohortHash == spec.cohort, WrongCohort(spec.cohort, cohortHash));
        _checkWaited(spec);
        bool simulated = _checkTrust(spec.enclave);

        _current.state = State.Settled;
        _model = result.newModel;
        uint256 paid = _credit(spec, outcomes, cohort);
        _treasury -= uint120(paid); // at most the budget, which was there at opening and can't have left since
        _lastSettled = current.round;

        emit RoundSettled(current.round, resultHash, simulated, result.newModel, paid);
        _record(
            RoundSettled.selector,
            bytes32(uint256(current.round)),
            resultHash,
            abi.encode(simulated, result.newModel, paid)
        );
    }

    /// @inheritdoc IRoundLedger
    function voidRound(Spec calldata spec, RoundResult calldata result, bytes calldata outcomes) external {
        Current memory current = _current;
        require(_isLive(current.state), WrongState(State.Open, current.state));
        _checkSpec(current.round);
        VoidReason reason = _reasonToVoid(spec, result, outcomes, current);
        require(reason != VoidReason.None, NothingToVoid(current.round));

        _void(current, reason, reason == VoidReason.Late);
    }

    /// @inheritdoc IRoundLedger
    /// @dev A proposed result names its spec, and `propose` has compared that with the round's.
    function refute(Finding calldata finding, address prover, uint64 committedAt) external onlyDisputes {
        Current memory current = _current;
        uint64 round = finding.round;
        require(round == current.round, WrongRound(current.round, round));
        bool isOfSignatures = finding.result == bytes32(0);
        bool isLive = current.state == State.Proposed || (isOfSignatures && current.state == State.Open);
        require(isLive, WrongState(State.Proposed, current.state));
        bytes32 proposed = _results[round];
        if (isOfSignatures) require(finding.spec == _specs[round], WrongSpec(_specs[round], finding.spec));
        else require(finding.result == proposed, WrongResult(proposed, finding.result));
        uint16 slots = uint16(current.lastSlot) + 1;
        require(finding.slots == 0 || finding.slots == slots, WrongCohortSize(slots, finding.slots));
        uint120 pot = _bonds[current.coordinator].amount;
        Verdict memory verdict = Verdict({
            round: round,
            predicate: finding.predicate,
            result: proposed,
            coordinator: current.coordinator,
            prover: prover,
            committedAt: committedAt,
            decidedAt: uint64(block.timestamp),
            slots: slots,
            pot: pot
        });
        bytes memory encoded = abi.encode(verdict);

        _current.state = State.Void;
        if (proposed != bytes32(0)) delete _results[round];
        _bonds[current.coordinator] = Bond({amount: pot, verdict: Verdicts.tagOf(encoded)});

        _emitVoided(round, VoidReason.Refuted, pot);
        emit RoundRefuted(round, finding.predicate, prover, verdict);
        (bytes32 topic1, bytes32 topic2) = (bytes32(uint256(round)), bytes32(uint256(finding.predicate)));
        _record(RoundRefuted.selector, topic1, topic2, _topic(prover), encoded);
    }

    /// @inheritdoc IRoundLedger
    function replaceProver(Verdict memory verdict, address prover, uint64 committedAt) external onlyDisputes {
        _checkVerdict(verdict);
        (verdict.prover, verdict.committedAt) = (prover, committedAt);
        bytes memory encoded = abi.encode(verdict);

        _bonds[verdict.coordinator].verdict = Verdicts.tagOf(encoded);

        emit ProverReplaced(verdict.round, prover, verdict);
        _record(ProverReplaced.selector, bytes32(uint256(verdict.round)), _topic(prover), encoded);
    }

    /// @inheritdoc IRoundLedger
    function executeVerdict(Verdict memory verdict, address[] calldata signers) external onlyDisputes nonReentrant {
        _checkVerdict(verdict);
        uint256 pot = _bonds[verdict.coordinator].amount; // as the verdict says, unless two have one tag
        (uint256 reward, uint256 share, uint256 burnt) = Verdicts.split(pot, signers.length);

        delete _bonds[verdict.coordinator];
        _standings[verdict.prover].credit += uint120(reward); // parts of what the ledger holds: below MAX_MONEY
        for (uint256 i = 0; i < signers.length; ++i) {
            _standings[signers[i]].credit += uint120(share);
        }

        emit VerdictExecuted(verdict.round, verdict.prover, verdict.coordinator, reward, signers, share, burnt);
        _record(
            VerdictExecuted.selector,
            bytes32(uint256(verdict.round)),
            _topic(verdict.prover),
            _topic(verdict.coordinator),
            abi.encode(reward, signers, share, burnt)
        );
        Address.sendValue(payable(address(0)), burnt);
    }

    /// @inheritdoc IRoundLedger
    function credit(address account) external payable onlyDisputes {
        _standings[account].credit += uint120(msg.value); // at most what exists

        emit Credited(account, msg.value);
        _record(Credited.selector, _topic(account), abi.encode(msg.value));
    }

    /// @inheritdoc IRoundLedger
    function voidWithheld(uint64 round) external onlyDisputes {
        _void(_checkLive(round), VoidReason.Withheld, true);
    }

    /// @inheritdoc IRoundLedger
    function voidUnavailable(uint64 round, bytes32 result) external onlyConsortium {
        _void(_checkLive(round, result), VoidReason.Unavailable, false);
    }

    /// @inheritdoc IRoundLedger
    function voidOutvoted(Spec calldata spec, bytes32 result) external onlyConsortium {
        Current memory current = _checkLive(spec.round, result);
        _checkSpec(current.round);
        bool isRefutable = Rulebook.isRefutable(spec.rule, spec.chain) && spec.optimizer == 0; // F6 is of the plain step
        require(!isRefutable, Refutable(spec.rule));
        require(block.timestamp <= spec.deadlines[4], TooLate(spec.deadlines[4], block.timestamp));
        _void(current, VoidReason.Outvoted, false);
    }

    /// @inheritdoc IRoundLedger
    function addBond() external payable {
        _checkMoneyIn();
        _checkNotFrozen(msg.sender);

        _bonds[msg.sender].amount += uint120(msg.value);

        emit BondAdded(msg.sender, msg.value);
        _record(BondAdded.selector, _topic(msg.sender), abi.encode(msg.value));
    }

    /// @inheritdoc IRoundLedger
    function withdrawBond(uint256 amount) external nonReentrant {
        Current memory current = _current;
        require(!(_isLive(current.state) && current.coordinator == msg.sender), BondInUse(current.round));
        require(amount != 0, NoAmount());
        _checkNotFrozen(msg.sender);
        uint120 bond = _bonds[msg.sender].amount;
        require(amount <= bond, NotEnough(bond, amount));

        _bonds[msg.sender].amount = bond - uint120(amount);

        emit BondWithdrawn(msg.sender, amount);
        _record(BondWithdrawn.selector, _topic(msg.sender), abi.encode(amount));
        Address.sendValue(payable(msg.sender), amount);
    }

    /// @inheritdoc IRoundLedger
    function fund() external payable {
        _checkMoneyIn();

        _treasury += uint120(msg.value);

        emit TreasuryFunded(msg.sender, msg.value);
        _record(TreasuryFunded.selector, _topic(msg.sender), abi.encode(msg.value));
    }

    /// @inheritdoc IRoundLedger
    function withdraw() external nonReentrant {
        uint256 amount = _standings[msg.sender].credit;
        require(amount != 0, NoAmount());
        address to = IParticipants(_participants).payoutOf(msg.sender);
        if (to == address(0)) to = msg.sender; // never joined: a prover, or who asked for a leaf or answered

        _standings[msg.sender].credit = 0;

        emit Withdrawn(msg.sender, to, amount);
        _record(Withdrawn.selector, _topic(msg.sender), abi.encode(to, amount));
        Address.sendValue(payable(to), amount);
    }

    /// @inheritdoc IRoundLedger
    function anchor(bytes32 digest) external {
        emit Anchored(msg.sender, digest);
        _record(Anchored.selector, _topic(msg.sender), digest, "");
    }

    /// @inheritdoc IRoundLedger
    function enroll(address participant) external {
        require(msg.sender == _participants, WrongCaller(_participants, msg.sender));
        if (_standings[participant].isEnrolled) return; // joins again: what it earned and deserved stands

        _standings[participant].isEnrolled = true;

        emit Enrolled(participant);
        _record(Enrolled.selector, _topic(participant), "");
    }

    /// @inheritdoc IRoundLedger
    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    /// @dev Two passes: shares depend on the sum of the reputations as at opening, which nothing has changed since.
    function _credit(Spec calldata spec, bytes calldata outcomes, address[] calldata cohort)
        private
        returns (uint256 paid)
    {
        (uint256[] memory reputations, uint256 u, uint256 total) = _weigh(spec.f, outcomes, cohort);
        uint256 budget = spec.budget;
        for (uint256 slot = 0; slot < cohort.length; ++slot) {
            if (!Outcomes.isCounted(Outcomes.wordAt(outcomes, slot))) continue;
            uint256 reputation = reputations[slot];
            uint256 payout = reputation == 0 ? 0 : Payouts.payout(budget, u, reputation, cohort.length, total);
            Standing storage place = _standings[cohort[slot]];
            (uint64 good, uint64 bad, uint120 credit) = (place.good, place.bad, place.credit);
            (place.good, place.bad) = Reputation.next(good, bad, reputation == 0);
            place.credit = credit + uint120(payout); // part of what the ledger holds, so the sum is below MAX_MONEY
            paid += payout;
        }
    }

    /// @return reputations Of the counted and unflagged slots; 0 for the others.
    /// @return u Their number.
    /// @return total Their sum.
    function _weigh(uint256 f, bytes calldata outcomes, address[] calldata cohort)
        private
        view
        returns (uint256[] memory reputations, uint256 u, uint256 total)
    {
        reputations = new uint256[](cohort.length);
        uint256 undelivered = 0;
        for (uint256 slot = 0; slot < cohort.length; ++slot) {
            uint256 word = Outcomes.wordAt(outcomes, slot);
            if (Outcomes.isPaid(word)) {
                Standing storage standing = _standings[cohort[slot]];
                uint256 reputation = Reputation.ppb(standing.good, standing.bad);
                reputations[slot] = reputation;
                total += reputation;
                ++u;
            } else if (Outcomes.isAttestedOnly(word)) {
                ++undelivered;
            }
        }
        require(undelivered <= f, TooManyUndelivered(f, undelivered));
    }

    function _void(Current memory current, VoidReason reason, bool isCharged) private {
        uint256 fee = isCharged ? _bonds[current.coordinator].amount / LATE_PARTS : 0;
        _current.state = State.Void;
        if (current.state == State.Proposed) delete _results[current.round];
        if (fee != 0) {
            _bonds[current.coordinator].amount -= uint120(fee);
            _treasury += uint120(fee);
        }

        _emitVoided(current.round, reason, fee);
    }

    function _emitVoided(uint64 round, VoidReason reason, uint256 fee) private {
        emit RoundVoided(round, reason, fee);
        _record(RoundVoided.selector, bytes32(uint256(round)), abi.encode(reason, fee));
    }

    function _checkNotFrozen(address coordinator) private view {
        uint136 verdict = _bonds[coordinator].verdict;
        require(verdict == 0, BondFrozen(verdict));
    }

    function _checkVerdict(Verdict memory verdict) private view {
        uint136 expected = _bonds[verdict.coordinator].verdict;
        uint136 actual = Verdicts.tagOf(abi.encode(verdict));
        require(actual == expected, WrongVerdict(expected, actual));
    }

    /// @dev The challenge window is over, and so is every wait for a leaf and the time to use it.
    function _checkWaited(Spec calldata spec) private view {
        (uint256 open, uint64 notBefore) = IDisputes(_disputes).holdOn(spec.round);
        require(open == 0, RequestsOpen(open));
        uint64 windowEnd = spec.deadlines[4] + 1;
        if (notBefore < windowEnd) notBefore = windowEnd;
        require(block.timestamp >= notBefore, TooEarly(notBefore, block.timestamp));
    }

    /// @dev The round whose result is proposed.
    function _checkLive(uint64 round) private view returns (Current memory current) {
        current = _current;
        require(round == current.round, WrongRound(current.round, round));
        require(current.state == State.Proposed, WrongState(State.Proposed, current.state));
    }

    function _checkLive(uint64 round, bytes32 result) private view returns (Current memory current) {
        current = _checkLive(round);
        require(result == _results[round], WrongResult(_results[round], result));
    }

    /// @dev An untrusted enclave outranks being late: its coordinator could not propose. Too many reasons that only the
    /// enclave can attest void the round when it could else settle: before, whoever can show that one is false does.
    function _reasonToVoid(
        Spec calldata spec,
        RoundResult calldata result,
        bytes calldata outcomes,
        Current memory current
    ) private view returns (VoidReason) {
        (bool trusted,) = IEnclaves(_enclaves).trustOf(spec.enclave);
        if (!trusted) return VoidReason.EnclaveInactive;
        if (current.state == State.Open) {
            return block.timestamp > spec.deadlines[3] ? VoidReason.Late : VoidReason.None;
        }
        _checkProposed(result, outcomes, current.round);
        if (Outcomes.undeliveredOf(outcomes) <= spec.f) return VoidReason.None;
        _checkWaited(spec);
        return VoidReason.TooManyUndelivered;
    }

    /// @dev Where the round stands in the chain of rounds.
    function _checkPlace(Spec calldata spec, uint64 round) private view {
        require(spec.federation == federation(), WrongFederation(federation(), spec.federation));
        require(spec.round == round, WrongRound(round, spec.round));
        (bytes32 last, bytes32 base) = (previous(), _model);
        require(spec.previous == last, WrongPrevious(last, spec.previous));
        require(spec.baseModel == base, WrongBaseModel(base, spec.baseModel));
    }

    /// @dev What the consortium has fixed: all of the rule, and how long each phase lasts at least.
    function _checkTerms(Spec calldata spec, uint64 round) private view returns (uint16) {
        (bytes32 expected, uint16 cohortSize, uint64[5] memory windows) = IConsortium(_consortium).termsOf(round);
        bytes32 actual = Messages.hashTerms(Messages.termsOf(spec, cohortSize, windows));
        require(actual == expected, WrongTerms(expected, actual));
        uint64 from = uint64(block.timestamp);
        for (uint256 i = 0; i < windows.length; ++i) {
            (uint64 earliest, uint64 latest) = (from + windows[i], from + windows[i] + MAX_SLACK);
            uint64 deadline = spec.deadlines[i];
            require(deadline >= earliest && deadline <= latest, WrongDeadline(i, earliest, latest, deadline));
            from = deadline;
        }
        return cohortSize;
    }

    function _checkLease(Spec calldata spec) private view {
        _checkTrust(spec.enclave);
        (address operator, uint64 expiry) = IEnclaves(_enclaves).leaseOf(spec.enclave);
        require(operator == msg.sender, WrongOperator(operator, msg.sender));
        require(expiry >= spec.deadlines[4], EnclaveExpires(expiry, spec.deadlines[4]));
    }

    /// @dev Nothing leaves the treasury but what rounds pay, and one round is open at a time: what is there now is
    /// there at settlement, so the budget needs no reservation of its own.
    function _checkCoordinator(uint256 budget) private view {
        require(IConsortium(_consortium).isCoordinator(msg.sender), NotCoordinator(msg.sender));
        uint256 least = BOND_BUDGETS * budget;
        if (least < _minimumBond) least = _minimumBond;
        _checkNotFrozen(msg.sender);
        (uint256 bond, uint256 available) = (_bonds[msg.sender].amount, _treasury);
        require(bond >= least, BondTooSmall(least, bond));
        require(available >= budget, TreasuryTooSmall(budget, available));
    }

    /// @dev Everybody, or as many as the terms say with the smallest SHA-256(seed || address): the cut tells without
    /// sorting, because only the right one leaves the right number.
    function _cohortOf(Spec calldata spec, address[] calldata registered, bytes32 cut, uint256 size)
        private
        view
        returns (address[] memory cohort)
    {
        IParticipants(_participants).checkRegister(registered);
        require(registered.length != 0, EmptyCohort());
        if (size == 0) size = Cohorts.MAX_SLOTS;
        if (registered.length <= size) {
            cohort = registered;
        } else {
            bytes32 seed = Cohorts.seedOf(spec.federation, spec.round, spec.previous);
            uint256 found;
            (cohort, found) = Cohorts.sample(registered, seed, cut, size);
            require(found == size, WrongCohortSize(size, found));
        }
        bytes32 hash = Cohorts.hash(cohort);
        require(hash == spec.cohort, WrongCohort(hash, spec.cohort));
    }

    function _checkTrust(bytes32 enclave) private view returns (bool) {
        (bool trusted, bool simulated) = IEnclaves(_enclaves).trustOf(enclave);
        require(trusted, EnclaveInactive(enclave));
        return simulated;
    }

    /// @dev What was opened had its types' encodings, since opening reads all of it; so has what has the same hash.
    function _checkSpec(uint64 round) private view returns (bytes32 hash) {
        hash = Messages.hashFirstSpec();
        bytes32 opened = _specs[round];
        require(hash == opened, WrongSpec(opened, hash));
    }

    function _checkProposed(RoundResult calldata result, bytes calldata outcomes, uint64 round)
        private
        view
        returns (bytes32 hash)
    {
        hash = Messages.hashResult(result);
        bytes32 proposed = _results[round];
        require(hash == proposed, WrongResult(proposed, hash));
        bytes32 words = keccak256(outcomes);
        require(words == result.outcomes, WrongOutcomes(result.outcomes, words));
    }

    /// @dev OpenZeppelin refuses high s, so a result has one signature of one key.
    function _checkSignature(RoundResult calldata result, bytes calldata signature)
        private
        view
        returns (bytes32 hash)
    {
        hash = Messages.hashResult(result);
        address expected = IEnclaves(_enclaves).signerOf(result.enclave);
        address actual = ECDSA.recoverCalldata(_hashTypedDataV4(hash), signature);
        require(actual == expected, WrongSigner(expected, actual));
    }

    function _checkMoneyIn() private view {
        require(msg.value != 0, NoAmount());
        require(address(this).balance <= MAX_MONEY, TooMuchMoney(MAX_MONEY, address(this).balance));
    }
}
