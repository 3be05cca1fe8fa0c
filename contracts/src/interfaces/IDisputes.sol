// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {RoundResult, Spec} from "../libraries/Messages.sol";
import {Verdict} from "../libraries/Verdicts.sol";
import {IEventStream} from "./IEventStream.sol";
import {SetLeaf} from "./IPredicates.sol";

/// @notice What answers a request for a leaf.
struct Answer {
    bytes data; // as it was hashed
    bytes32[] path;
    bytes columns; // for a column leaf: what its first and its second hash are of; else empty
    bytes totals;
    SetLeaf set; // for a row leaf: the set leaf with the row's root; else without data and path
}

/// @title Whoever shows that a proposed result is wrong voids its round, and its coordinator loses the bond
/// @notice A verdict is there at once: the round is void, the base model stands, the bond is frozen, and where no host
/// can have made an honest enclave sign it the measurement is suspended. Money moves later, by `executeVerdict` and by
/// `withdraw` of the ledger: a quarter goes to the prover, a quarter in equal shares to the participants of the cohort
/// whose set leaf carries their signature, and the rest is burnt, which is twice the budget at stake at least: a liar who
/// proves against himself still loses.
///
/// To copy a proof gains nothing: the prover's part goes to the earliest pre-commitment of any valid proof, and none can
/// be made for a proof that one has not got yet.
///
/// What is withheld can't be refuted, so it must not settle: a member asks for a leaf, and the round waits until it
/// is answered, or is void for a small part of the bond.
/// @dev Predicates are contracts of their own (`IPredicates`), which write nothing. No predicate has a clock: as long
/// as a result is proposed and not settled it can be refuted.
interface IDisputes is IEventStream {
    /// @notice Which contract a proof is a call of.
    enum Family {
        Set,
        Column,
        Gram
    }

    /// @notice Which tree a leaf is asked of; the numbers are the kinds of docs/protocol.md section 3.
    enum Tree {
        None,
        Row,
        Set,
        Column,
        Gram,
        Model
    }

    event ProofCommitted(bytes32 indexed commitment);
    /// @notice Another proof of a refuted round shows that its enclave lied, whoever else did.
    event EnclaveAccused(uint64 indexed round, uint8 indexed predicate, address indexed prover);
    event LeafRequested(
        uint64 indexed round, address indexed member, Tree tree, uint16 slot, uint32 index, uint64 answerBy
    );
    event LeafAnswered(uint64 indexed round, address indexed member, address indexed answerer, Answer answer);
    /// @notice The round is over, or was voided for want of this answer: the deposit is the member's again.
    event RequestClosed(uint64 indexed round, address indexed member);

    /// @notice What was called is no predicate.
    error NoFinding();
    /// @notice What the proof shows could be a host's doing.
    error NotEnclaves(uint8 predicate);
    /// @notice The proof is not about what this verdict is about.
    error OtherSubject(bytes32 expected, bytes32 actual);
    /// @notice There is no pre-commitment of this proof by this account that is older than the one that leads.
    error NoEarlierCommitment(uint64 leading, uint64 actual);
    error AlreadyCommitted(uint64 blockNumber);
    error OtherCount(uint256 expected, uint256 actual);
    error WrongSetRoot(bytes32 expected, bytes32 actual);
    error OtherResult(bytes32 expected, bytes32 actual);
    error NotMember(address account);
    error WrongDeposit(uint256 expected, uint256 actual);
    /// @notice A member asks once a round.
    error AlreadyRequested(uint64 round, address member);
    error NoRequest(uint64 round, address member);
    /// @notice The disclosure of this round does not let strangers see such a leaf.
    error NotDisclosed(uint8 disclosure);
    error NoSuchTree(Tree tree);

    /// @notice Before a proof is shown: keccak256(abi.encode(prover, keccak256(proof), salt)).
    function commitProof(bytes32 commitment) external;

    /// @notice Refutes the round that is open or proposed.
    /// @param family Whose function the proof calls.
    /// @param proof The call, selector and arguments.
    /// @param salt Of the pre-commitment; zero for none.
    function refute(Family family, bytes calldata proof, bytes32 salt) external;

    /// @notice Whoever pre-committed to a valid proof before the prover that leads takes its place; for an hour.
    function claim(Verdict calldata verdict, Family family, bytes calldata proof, bytes32 salt) external;

    /// @notice Suspends the measurement by another proof, as long as the verdict waits to be executed: whoever lies in two
    /// ways must not get away with the one that a host can bring about.
    function suspend(Verdict calldata verdict, Family family, bytes calldata proof) external;

    /// @notice After that hour: shares out the pot.
    /// @param setLeaves All leaves of the set tree, by slot. Where the verdict has no result, and after a week, they
    /// may be left out, all of them; what would be the cohort's is then burnt. Without them spec, result and cohort
    /// are ignored.
    function executeVerdict(
        Verdict calldata verdict,
        Spec calldata spec,
        RoundResult calldata result,
        address[] calldata cohort,
        bytes[] calldata setLeaves
    ) external;

    /// @notice A member asks for a leaf that it did not get, once a round and up to the end of the challenge window.
    /// Until it is answered the round does not settle. Of rows, columns and Gram lines only where everybody may
    /// see them.
    /// @param slot For a row: whose. Else ignored.
    function requestLeaf(Spec calldata spec, RoundResult calldata result, Tree tree, uint16 slot, uint32 index)
        external
        payable;

    /// @notice Anybody answers, within as many seconds as the round's challenge window has and at least to its end, and
    /// gets the deposit. The round does not settle for as long again, so that the answer can be used.
    function answerLeaf(Spec calldata spec, RoundResult calldata result, address member, Answer calldata answer)
        external;

    /// @notice Anybody voids a round in which a request was not answered in time. It costs the coordinator what being
    /// late costs.
    function voidWithheld(uint64 round, address member) external;

    /// @notice A deposit whose request was not answered goes back once the round is over.
    function closeRequest(uint64 round, address member) external;

    function ledger() external view returns (address);

    function consortium() external view returns (address);

    function enclaves() external view returns (address);

    function predicates(Family family) external view returns (address);

    /// @notice What asking for a leaf costs who is answered: more than answering costs in gas.
    function deposit() external view returns (uint256);

    /// @notice Block in which a pre-commitment was made; zero for none.
    function committedAt(bytes32 commitment) external view returns (uint64);

    /// @notice What a round still waits for.
    /// @return open Number of open requests.
    /// @return notBefore First second at which it may settle as far as answers are concerned.
    function holdOn(uint64 round) external view returns (uint256 open, uint64 notBefore);

    function requestOf(uint64 round, address member)
        external
        view
        returns (Tree tree, uint16 slot, uint32 index, uint64 answerBy, bool isOpen);
}
