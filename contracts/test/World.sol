// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IColumnPredicates} from "../src/interfaces/IColumnPredicates.sol";
import {IConsortium} from "../src/interfaces/IConsortium.sol";
import {IDisputes} from "../src/interfaces/IDisputes.sol";
import {IEnclaves} from "../src/interfaces/IEnclaves.sol";
import {IGramPredicates} from "../src/interfaces/IGramPredicates.sol";
import {IParticipants} from "../src/interfaces/IParticipants.sol";
import {Tcb} from "../src/interfaces/IPlatformTrust.sol";
import {IRoundLedger} from "../src/interfaces/IRoundLedger.sol";
import {ISetPredicates} from "../src/interfaces/ISetPredicates.sol";
import {Claims, RoundResult, Spec, Terms} from "../src/libraries/Messages.sol";
import {Evidence} from "./Evidence.sol";
import {MessagesHarness} from "./MessagesHarness.sol";

/// @title A federation that works: a test changes one thing and names what must notice
abstract contract World is Evidence {
    /// @dev Everything that a round's transactions take.
    struct Round {
        Spec spec;
        address[] registered;
        address[] cohort;
        bytes32 cut;
        RoundResult result;
        bytes outcomes;
        bytes signature;
    }

    bytes32 internal constant FEDERATION = keccak256("a federation");
    bytes32 internal constant CHARTER = keccak256("its parameters");
    bytes32 internal constant GENESIS = keccak256("genesis model");
    uint64 internal constant START = 1_800_000_000; // 15 January 2027
    uint64 internal constant TCB_EXPIRY = START + 60 days;
    uint256 internal constant DEPOSIT = 0.1 ether;
    uint256 internal constant BOND = 4 ether;
    uint256 internal constant MINIMUM_BOND = 1 ether;
    uint256 internal constant BUDGET = 1 ether;
    uint64 internal constant DELAY = 1 hours;
    uint256 internal constant ENCLAVE_KEY = 0xE7C1;
    uint256 internal constant MEMBERS = 4;
    uint256 internal constant SLOTS = 7;

    address internal immutable coordinator = address(0xC0);

    MessagesHarness internal harness;
    IConsortium internal consortium;
    IParticipants internal participants;
    IEnclaves internal enclaves;
    IRoundLedger internal ledger;
    IDisputes internal disputes;
    ISetPredicates internal setPredicates;
    IColumnPredicates internal columnPredicates;
    IGramPredicates internal gramPredicates;
    bytes32 internal enclave;

    function setUp() public virtual {
        vm.warp(START);
        vm.roll(1000);
        harness = new MessagesHarness();
        deploy(terms());
        admitAll();
        enclave = registerEnclave(ENCLAVE_KEY, 1);
        vm.deal(coordinator, 100 ether);
        vm.prank(coordinator);
        ledger.addBond{value: BOND}();
        vm.deal(address(this), 1000 ether);
        ledger.fund{value: 10 ether}();
        for (uint256 slot = 0; slot < SLOTS; ++slot) {
            join(participantAt(slot));
        }
    }

    function member(uint256 index) internal pure virtual returns (address) {
        return address(uint160(0xAA00 + index));
    }

    /// @dev By ascending address.
    function participantAt(uint256 slot) internal pure returns (address) {
        return address(uint160(0x1000_0000 + slot * 0x1000));
    }

    function payoutAt(uint256 slot) internal pure returns (address) {
        return address(uint160(0x2000_0000 + slot * 0x1000));
    }

    function terms() internal pure virtual returns (Terms memory) {
        return Terms({
            rule: 4,
            chain: bytes32("trimmed-mean"),
            f: 2,
            m: 0,
            minCounted: 3,
            exponent: -14,
            dimension: 6090,
            normBound: 1 << 50,
            weightCap: 1 << 16,
            optimizer: 0,
            learningRate: 1 << 16,
            decay: 0,
            disclosure: 0,
            budget: BUDGET,
            cohortSize: 0,
            windows: [uint64(60), 61, 62, 63, 64]
        });
    }

    /// @dev Root of the first base model.
    function genesis() internal view virtual returns (bytes32) {
        return GENESIS;
    }

    function deploy(Terms memory terms_) internal {
        uint64 nonce = vm.getNonce(address(this));
        address[8] memory at;
        for (uint256 i = 0; i < 8; ++i) {
            at[i] = vm.computeCreateAddress(address(this), nonce + i);
        }
        IConsortium.Member[] memory members = new IConsortium.Member[](MEMBERS);
        for (uint256 i = 0; i < MEMBERS; ++i) {
            members[i] = IConsortium.Member({account: member(i), hpkeKey: abi.encode("key", i)});
        }
        consortium = IConsortium(
            create("Consortium", abi.encode(FEDERATION, CHARTER, at[1], at[2], at[3], at[4], members, terms_, DELAY))
        );
        participants = IParticipants(create("Participants", abi.encode(FEDERATION, at[0], at[3], DEPOSIT)));
        enclaves = IEnclaves(create("Enclaves", abi.encode(FEDERATION, at[0], at[3])));
        ledger = IRoundLedger(
            create(
                "RoundLedger", abi.encode(FEDERATION, at[0], at[1], at[2], at[4], genesis(), int8(-24), MINIMUM_BOND)
            )
        );
        disputes = IDisputes(
            create(
                "Disputes",
                abi.encode(FEDERATION, at[3], at[0], at[2], at[5], at[6], at[7], MINIMUM_BOND / 100)
            )
        );
        setPredicates = ISetPredicates(create("SetPredicates", abi.encode(at[3])));
        columnPredicates = IColumnPredicates(create("ColumnPredicates", abi.encode(at[3])));
        gramPredicates = IGramPredicates(create("GramPredicates", abi.encode(at[3])));
        same("ledger's address", at[3], address(ledger));
        same("last address", at[7], address(gramPredicates));
    }

    /// @dev The committed artifact, not what forge compiled.
    function create(string memory name, bytes memory arguments) internal returns (address) {
        return vm.deployCode(string.concat("contracts/artifacts/", name, ".json"), arguments);
    }

    function admitAll() internal {
        Tcb memory row = tcb(TCB_EXPIRY);
        pass(IConsortium.Action.AllowMeasurement, MEASUREMENT, "");
        pass(IConsortium.Action.TrustAuthority, authorityId(), abi.encode(authority()));
        pass(IConsortium.Action.AcceptTcb, tcbId(row), abi.encode(row));
        pass(IConsortium.Action.AdmitCoordinator, word(coordinator), "");
    }

    /// @dev Three of four members want it.
    function proposeAll(IConsortium.Action action, bytes32 subject, bytes memory data)
        internal
        returns (uint256 proposal)
    {
        vm.prank(member(0));
        proposal = consortium.propose(action, subject, data);
        for (uint256 i = 1; i < 3; ++i) {
            vm.prank(member(i));
            consortium.vote(proposal);
        }
    }

    /// @dev Proposed, voted, and executed after the delay.
    function pass(IConsortium.Action action, bytes32 subject, bytes memory data) internal {
        uint256 proposal = proposeAll(action, subject, data);
        skip(DELAY);
        consortium.execute(proposal, data);
    }

    /// @dev Proposed, voted, and executed at once: for what takes away.
    function remove(IConsortium.Action action, bytes32 subject) internal {
        removeWith(action, subject, "");
    }

    function removeWith(IConsortium.Action action, bytes32 subject, bytes memory data) internal {
        consortium.execute(proposeAll(action, subject, data), data);
    }

    function revokeCertificate(bytes32 issuer, uint256 serial) internal {
        bytes memory data = abi.encode(issuer, serial);
        removeWith(IConsortium.Action.RevokeCertificate, keccak256(data), data);
    }

    function join(address participant) internal {
        vm.deal(participant, DEPOSIT);
        vm.prank(participant);
        participants.join{value: DEPOSIT}(address(uint160(participant) + 0x1000_0000));
    }

    function skip(uint256 seconds_) internal {
        vm.warp(block.timestamp + seconds_);
    }

    /// @dev Of the size of the hybrid key, another one for each epoch.
    function hpkeKeyOf(uint64 epoch) internal pure returns (bytes memory) {
        return abi.encodePacked(epoch, new bytes(1208));
    }

    function claimsOf(address operator, uint64 nonceBlock, uint64 epoch) internal view returns (Claims memory) {
        return Claims({
            federation: FEDERATION,
            chainId: block.chainid,
            ledger: address(ledger),
            operator: operator,
            kem: 0x647a,
            hpkeKey: sha256(hpkeKeyOf(epoch)),
            policy: CHARTER,
            nonce: blockhash(nonceBlock),
            stateVersion: 0,
            stateHash: bytes32(0),
            protections: 0xff
        });
    }

    function reportDataOf(address signer, Claims memory claims, uint64 epoch) internal pure returns (bytes memory) {
        return abi.encodePacked(signer, sha256(abi.encode(claims)), epoch, bytes4("VFL1"));
    }

    function registerEnclave(uint256 key, uint64 epoch) internal returns (bytes32) {
        uint64 nonceBlock = uint64(block.number - 1);
        Claims memory claims = claimsOf(coordinator, nonceBlock, epoch);
        bytes memory quote = encode(quoteParts(reportDataOf(vm.addr(key), claims, epoch)));
        bytes32 issuer = authorityId(); // its hash is a call too, and a prank is for the next one
        vm.prank(coordinator);
        return enclaves.register(quote, claims, hpkeKeyOf(epoch), issuer, nonceBlock);
    }

    function word(address account) internal pure returns (bytes32) {
        return bytes32(uint256(uint160(account)));
    }

    function addresses(uint256 count) internal pure returns (address[] memory list) {
        list = new address[](count);
        for (uint256 i = 0; i < count; ++i) {
            list[i] = participantAt(i);
        }
    }

    /// @dev The next round under the terms: everybody is in.
    function nextRound() internal view returns (Round memory round) {
        return nextRoundOf(terms(), addresses(SLOTS));
    }

    function nextRoundOf(Terms memory t, address[] memory cohort) internal view returns (Round memory round) {
        round.registered = cohort;
        round.cohort = cohort;
        Spec memory spec = round.spec;
        spec.federation = FEDERATION;
        spec.round = ledger.currentRound() + 1;
        spec.previous = ledger.previous();
        spec.baseModel = ledger.model();
        spec.cohort = harness.hashCohort(cohort);
        spec.enclave = enclave;
        spec.rule = t.rule;
        spec.chain = t.chain;
        spec.f = t.f;
        spec.m = t.m;
        spec.minCounted = t.minCounted;
        spec.exponent = t.exponent;
        spec.dimension = t.dimension;
        spec.normBound = t.normBound;
        spec.weightCap = t.weightCap;
        spec.optimizer = t.optimizer;
        spec.learningRate = t.learningRate;
        spec.decay = t.decay;
        spec.disclosure = t.disclosure;
        spec.budget = t.budget;
        uint64 at = uint64(block.timestamp);
        for (uint256 i = 0; i < 5; ++i) {
            at += t.windows[i];
            spec.deadlines[i] = at;
        }
    }

    /// @dev Counted and flagged as in the bitmaps, the others absent.
    function finish(Round memory round, uint256 counted, uint256 flagged) internal view {
        round.outcomes = outcomesOf(round.cohort.length, counted, flagged);
        Spec memory spec = round.spec;
        round.result = RoundResult({
            federation: FEDERATION,
            round: spec.round,
            spec: harness.hashSpec(spec),
            previous: spec.previous,
            setRoot: keccak256("set"),
            counted: counted,
            selected: counted,
            columnRoot: keccak256("columns"),
            gramRoot: bytes32(0),
            outcomes: keccak256(round.outcomes),
            newModel: keccak256(abi.encode("model", spec.round)),
            state: bytes32(0),
            enclave: spec.enclave
        });
        sign(round, ENCLAVE_KEY);
    }

    function sign(Round memory round, uint256 key) internal view {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digestOf(round.result));
        round.signature = abi.encodePacked(r, s, v);
    }

    function digestOf(RoundResult memory result) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", ledger.domainSeparator(), harness.hashResult(result)));
    }

    function outcomesOf(uint256 slots, uint256 counted, uint256 flagged) internal pure returns (bytes memory data) {
        for (uint256 slot = 0; slot < slots; ++slot) {
            uint256 outcome = 0;
            if ((counted >> slot) & 1 == 1) outcome = countedWord((flagged >> slot) & 1 == 1);
            data = abi.encodePacked(data, outcome);
        }
    }

    function countedWord(bool flagged) internal pure returns (uint256) {
        uint256 alignment = flagged ? uint256(uint64(int64(-5))) : 7;
        return
            (2 << 248) | (flagged ? 1 << 232 : 0) | (uint256(6000) << 200) | (uint256(123) << 136) | (alignment << 72);
    }

    function refusedWord(uint256 reason) internal pure returns (uint256) {
        return (1 << 248) | (reason << 240);
    }

    /// @dev One slot's word replaced, the hash in the result with it.
    function setOutcome(Round memory round, uint256 slot, uint256 outcome) internal pure {
        bytes memory data = round.outcomes;
        for (uint256 i = 0; i < 32; ++i) {
            data[32 * slot + i] = bytes1(uint8(outcome >> (248 - 8 * i)));
        }
        round.result.outcomes = keccak256(data);
    }

    function open(Round memory round) internal {
        vm.prank(coordinator);
        ledger.openRound(round.spec, round.registered, round.cut);
    }

    function propose(Round memory round) internal {
        vm.prank(coordinator);
        ledger.propose(round.spec, round.result, round.outcomes, round.signature);
    }

    function settle(Round memory round) internal {
        ledger.settle(round.spec, round.result, round.outcomes, round.cohort);
    }

    function void_(Round memory round) internal {
        ledger.voidRound(round.spec, round.result, round.outcomes);
    }

    /// @dev An open round whose result could be proposed now.
    function proposable(uint256 counted, uint256 flagged) internal returns (Round memory round) {
        round = nextRound();
        open(round);
        vm.warp(round.spec.deadlines[2] + 1);
        finish(round, counted, flagged);
    }

    /// @dev A proposed round.
    function proposed(uint256 counted, uint256 flagged) internal returns (Round memory round) {
        round = proposable(counted, flagged);
        propose(round);
    }

    /// @dev A round from opening to settlement.
    function settled(uint256 counted, uint256 flagged) internal returns (Round memory round) {
        round = proposed(counted, flagged);
        vm.warp(round.spec.deadlines[4] + 1);
        settle(round);
    }

    /// @dev What everybody together has put in and not taken out.
    function held() internal view returns (uint256 total) {
        total = ledger.treasury() + ledger.bondOf(coordinator);
        for (uint256 slot = 0; slot < SLOTS; ++slot) {
            total += creditOf(participantAt(slot));
        }
    }

    function creditOf(address participant) internal view returns (uint256 credit) {
        (,, credit) = ledger.standingOf(participant);
    }
}
