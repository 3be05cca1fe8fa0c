// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {RoundResult, Spec} from "../libraries/Messages.sol";
import {Verdict} from "../libraries/Verdicts.sol";
import {IEventStream} from "./IEventStream.sol";
import {Finding} from "./IPredicates.sol";

/// @title The ledger of rounds: hashes, reputations and money
/// @notice Rounds are numbered from 1 and strictly in order: Open -> Proposed -> Settled, or Void. A deadline is the
/// last second in time. Money is pulled, never pushed; at any time paid out + burnt + held = paid in, and held =
/// treasury + bonds + credits.
/// @dev Why a round is void by proof or by vote is for `Disputes` and `Consortium`: each may give its own reasons.
interface IRoundLedger is IEventStream {
    enum State {
        None,
        Open,
        Proposed,
        Settled,
        Void
    }

    /// @notice Late and withheld cost a tenth of the bond, which goes to the treasury. Refuted freezes all of it: the verdict
    /// takes it. The others cost nobody anything.
    enum VoidReason {
        None,
        Late,
        EnclaveInactive,
        TooFewCounted,
        TooManyUndelivered,
        Refuted,
        Withheld,
        Unavailable,
        Outvoted
    }

    event RoundOpened(
        uint64 indexed round,
        bytes32 indexed spec,
        bytes32 indexed enclave,
        address coordinator,
        Spec value,
        address[] cohort
    );
    event UpdateCommitted(uint64 indexed round, address indexed participant, bytes32 update);
    /// @notice `simulated`: the enclave rests on a simulated root, which says nothing about hardware.
    event ResultProposed(
        uint64 indexed round, bytes32 indexed result, bool simulated, RoundResult value, bytes outcomes, bytes signature
    );
    event RoundSettled(uint64 indexed round, bytes32 indexed result, bool simulated, bytes32 newModel, uint256 paid);
    event RoundVoided(uint64 indexed round, VoidReason reason, uint256 fee);
    event Anchored(address indexed sender, bytes32 indexed digest);
    event BondAdded(address indexed coordinator, uint256 amount);
    event BondWithdrawn(address indexed coordinator, uint256 amount);
    event TreasuryFunded(address indexed from, uint256 amount);
    event Withdrawn(address indexed participant, address to, uint256 amount);
    event Enrolled(address indexed participant);
    /// @notice The deposit of who asked for a leaf; pulled like a payout.
    event Credited(address indexed account, uint256 amount);
    /// @notice Follows RoundVoided, whose fee is the pot.
    event RoundRefuted(uint64 indexed round, uint8 indexed predicate, address indexed prover, Verdict verdict);
    /// @notice An earlier pre-commitment of a valid proof.
    event ProverReplaced(uint64 indexed round, address indexed prover, Verdict verdict);
    /// @notice `reward` is credited to the prover and `share` to each of the signers; `burnt` is gone.
    event VerdictExecuted(
        uint64 indexed round,
        address indexed prover,
        address indexed coordinator,
        uint256 reward,
        address[] signers,
        uint256 share,
        uint256 burnt
    );

    error NotCoordinator(address account);
    error WrongState(State expected, State actual);
    /// @notice Rounds are strictly in order: the last one must be settled or void.
    error RoundNotOver(uint64 round);
    error WrongRound(uint64 expected, uint64 actual);
    error WrongPrevious(bytes32 expected, bytes32 actual);
    error WrongBaseModel(bytes32 expected, bytes32 actual);
    /// @notice The spec's fields are not the terms in force, or not the spec that was opened.
    error WrongTerms(bytes32 expected, bytes32 actual);
    error WrongSpec(bytes32 expected, bytes32 actual);
    error WrongCohort(bytes32 expected, bytes32 actual);
    error WrongCohortSize(uint256 expected, uint256 actual);
    error EmptyCohort();
    error WrongDeadline(uint256 index, uint64 earliest, uint64 latest, uint64 actual);
    error WrongEnclave(bytes32 expected, bytes32 actual);
    /// @notice Not admitted, revoked, or resting on a measurement or root that no longer counts.
    error EnclaveInactive(bytes32 enclave);
    /// @notice The enclave must outlive the round.
    error EnclaveExpires(uint64 expiry, uint64 roundEnd);
    error WrongOperator(address expected, address actual);
    error WrongSigner(address expected, address actual);
    error BondTooSmall(uint256 expected, uint256 actual);
    /// @notice The bond answers for a round that is not over.
    error BondInUse(uint64 round);
    error TreasuryTooSmall(uint256 expected, uint256 actual);
    /// @notice More than the ledger can count (2^120 - 1 wei in all).
    error TooMuchMoney(uint256 limit, uint256 actual);
    error WrongResult(bytes32 expected, bytes32 actual);
    error WrongOutcomes(bytes32 expected, bytes32 actual);
    error WrongOutcomesLength(uint256 expected, uint256 actual);
    /// @notice The word contradicts `counted`, itself, or the layout.
    error WrongOutcome(uint256 slot, uint256 word);
    /// @notice The bitmap has a bit outside the cohort or outside `counted`.
    error WrongBitmap(uint256 limit, uint256 actual);
    error WrongSelected(uint256 expected, uint256 actual);
    error WrongColumnRoot(bytes32 actual);
    error WrongGramRoot(bytes32 actual);
    error WrongNewModel(bytes32 actual);
    error WrongStateRoot(bytes32 expected, bytes32 actual);
    error TooManyUndelivered(uint256 limit, uint256 actual);
    /// @notice The round is neither late nor in any other way to be voided.
    error NothingToVoid(uint64 round);
    error NotInRound(uint64 round, address participant);
    error AlreadyCommitted(bytes32 update);
    error EmptyDigest();
    error NoAmount();
    error NotEnough(uint256 available, uint256 requested);
    /// @notice A verdict waits to be executed; until then its coordinator has no bond.
    error BondFrozen(uint136 verdict);
    error WrongVerdict(uint136 expected, uint136 actual);
    /// @notice Members have asked for leaves and still wait.
    error RequestsOpen(uint256 open);
    /// @notice The ledger knows what is wrong with results of this rule; only of others two thirds are believed.
    error Refutable(uint8 rule);

    /// @notice A coordinator opens the next round with its own enclave, under the terms in force.
    /// @param spec Every field is either the ledger's, the consortium's, or checked here.
    /// @param registered All active participants, by ascending address.
    /// @param cut Where the cohort is a sample: the largest SHA-256(seed || address) in it; else ignored.
    function openRound(Spec calldata spec, address[] calldata registered, bytes32 cut) external;

    /// @notice Forced inclusion: a participant that got no receipt says on chain which update it sent.
    /// @param update hashStruct of the signed Update. One a round; the round's other fields are not checked here, and a
    /// commitment by somebody outside the cohort means nothing.
    function commit(uint64 round, bytes32 update) external;

    /// @notice The round's coordinator brings what the round's enclave signed, after commit and up to propose. A result
    /// with too few counted voids the round at once and without a fee.
    /// @param spec As opened.
    /// @param outcomes One word a slot.
    /// @param signature 65 bytes r || s || v over the EIP-712 digest of the result, low s.
    function propose(Spec calldata spec, RoundResult calldata result, bytes calldata outcomes, bytes calldata signature)
        external;

    /// @notice Anybody makes a proposed result final after the challenge window: the model moves on, the reputations of
    /// counted slots change, and counted and unflagged slots are credited.
    /// @param cohort By slot, as opened.
    function settle(Spec calldata spec, RoundResult calldata result, bytes calldata outcomes, address[] calldata cohort)
        external;

    /// @notice Anybody voids a round that can't settle: its enclave is no longer trusted, nobody proposed in time, or
    /// more than f slots carry a reason that only the enclave can attest (then no sooner than it could settle, so that nobody
    /// escapes a proof or a request that way). The base model stands.
    /// @param result As proposed; ignored where nothing was.
    /// @param outcomes As proposed; ignored where nothing was.
    function voidRound(Spec calldata spec, RoundResult calldata result, bytes calldata outcomes) external;

    /// @notice Adds to the caller's bond.
    function addBond() external payable;

    /// @notice Takes from the caller's bond, but not while a round that it opened is open or proposed.
    function withdrawBond(uint256 amount) external;

    /// @notice Gives to the treasury, from which rounds are paid. Nothing else ever leaves it.
    function fund() external payable;

    /// @notice The caller's whole credit goes to its payout address; to itself if it never joined.
    function withdraw() external;

    /// @notice Records the digest of something off chain.
    function anchor(bytes32 digest) external;

    /// @notice By `Participants` only, on joining: so that settling never pays for a participant's first storage.
    function enroll(address participant) external;

    /// @notice By `Disputes` only: the round is void, and its coordinator's bond is frozen. At any time while the round is
    /// proposed; where the finding is of signatures alone (no result), while it is open too.
    /// @param committedAt Block of the prover's pre-commitment; this one for none.
    function refute(Finding calldata finding, address prover, uint64 committedAt) external;

    /// @notice By `Disputes` only: somebody has an older pre-commitment of a valid proof.
    function replaceProver(Verdict calldata verdict, address prover, uint64 committedAt) external;

    /// @notice By `Disputes` only: the frozen bond is shared out, and its coordinator may bond anew.
    /// @param signers Who share the cohort's part.
    function executeVerdict(Verdict calldata verdict, address[] calldata signers) external;

    /// @notice By `Disputes` only: what it sends is the account's credit.
    function credit(address account) external payable;

    /// @notice By `Disputes` only: a leaf of the proposed result was asked for and did not come.
    function voidWithheld(uint64 round) external;

    /// @notice By `Consortium` only: more than a third of the members say that the proposed result's data can't be had.
    function voidUnavailable(uint64 round, bytes32 result) external;

    /// @notice By `Consortium` only: two thirds of the members say within the challenge window that the proposed result
    /// is wrong. Only where no proof could: of a rule that only a replay can refute.
    function voidOutvoted(Spec calldata spec, bytes32 result) external;

    function consortium() external view returns (address);

    function disputes() external view returns (address);

    function participants() external view returns (address);

    function enclaves() external view returns (address);

    function domainSeparator() external view returns (bytes32);

    function minimumBond() external view returns (uint256);

    function genesisModel() external view returns (bytes32);

    function modelExponent() external view returns (int8);

    /// @notice The round that was opened last; 0 before the first.
    function currentRound() external view returns (uint64);

    /// @notice Size of the current round's cohort.
    function currentSlots() external view returns (uint256);

    /// @notice Who opened the current round.
    function currentCoordinator() external view returns (address);

    function stateOf(uint64 round) external view returns (State);

    /// @notice hashStruct of the round's Spec.
    function specOf(uint64 round) external view returns (bytes32);

    /// @notice hashStruct of a proposed or settled result; zero where there is none or the round is void.
    function resultOf(uint64 round) external view returns (bytes32);

    /// @notice The last settled result; zero until one settles.
    function previous() external view returns (bytes32);

    /// @notice Root of the model after the last settled round.
    function model() external view returns (bytes32);

    function treasury() external view returns (uint256);

    /// @notice Frozen or not.
    function bondOf(address coordinator) external view returns (uint256);

    /// @notice Low 136 bits of keccak256 of the encoded verdict that waits to be executed; zero for none.
    function verdictOf(address coordinator) external view returns (uint136);

    /// @notice Decayed good and bad (parts per 10^9) and the credit in wei.
    function standingOf(address participant) external view returns (uint64 good, uint64 bad, uint120 credit);

    /// @notice In parts per 10^9; a newcomer's is 3 * 10^8.
    function reputationOf(address participant) external view returns (uint256);

    function commitmentOf(uint64 round, address participant) external view returns (bytes32);
}
