// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IConsortium} from "../src/interfaces/IConsortium.sol";
import {IEnclaves} from "../src/interfaces/IEnclaves.sol";
import {IEventStream} from "../src/interfaces/IEventStream.sol";
import {Claims} from "../src/libraries/Messages.sol";
import {World} from "./World.sol";

/// @title Registering, admitting and revoking enclaves
contract EnclavesTest is World {
    uint256 internal constant KEY = 0x0E2;

    Claims internal claims;
    bytes internal quote;
    uint64 internal nonceBlock;

    function setUp() public override {
        super.setUp();
        nonceBlock = uint64(block.number - 1);
        claims = claimsOf(coordinator, nonceBlock);
        quote = quoteOf(vm.addr(KEY), claims, 2);
    }

    function test_a_registered_enclave_is_known_but_not_active_until_admitted() public {
        bytes32 id = register();
        same("id", keccak256(slice(quote, 432)), id);
        (
            address signer,
            address operator,
            bytes32 measurement,
            bytes32 hpkeKey,
            uint64 epoch,
            uint64 expiry,
            IEnclaves.State state,
            bool simulated
        ) = enclaves.record(id);
        same("signer", vm.addr(KEY), signer);
        same("operator", coordinator, operator);
        same("measurement", MEASUREMENT, measurement);
        same("key", claims.hpkeKey, hpkeKey);
        same("epoch", 2, epoch);
        same("expiry", block.timestamp + 30 days, expiry);
        same("state", uint256(IEnclaves.State.Registered), uint256(state));
        so("not yet", !simulated);
        so("not active", !enclaves.isActive(id));
        pass(IConsortium.Action.AdmitEnclave, id, abi.encode(ROOT));
        (,,,,,, state, simulated) = enclaves.record(id);
        same("state", uint256(IEnclaves.State.Admitted), uint256(state));
        so("simulated", simulated);
        so("active", enclaves.isActive(id));
        same("root", ROOT, enclaves.rootOf(id));
        same("signer", vm.addr(KEY), enclaves.signerOf(id));
    }

    function test_only_a_coordinator_registers_and_only_its_own() public {
        vm.expectRevert(abi.encodeWithSelector(IEnclaves.NotCoordinator.selector, address(this)));
        enclaves.register(quote, claims, nonceBlock);
        pass(IConsortium.Action.AdmitCoordinator, word(address(0xC1)), "");
        vm.expectRevert(abi.encodeWithSelector(IEnclaves.WrongOperator.selector, address(0xC1), coordinator));
        vm.prank(address(0xC1));
        enclaves.register(quote, claims, nonceBlock);
    }

    function test_the_header_is_that_of_an_ecdsa_quote_v3() public {
        quote[0] = 0x04;
        refused(abi.encodeWithSelector(IEnclaves.WrongVersion.selector, uint16(3), uint16(4)));
        quote[0] = 0x03;
        quote[1] = 0x01;
        refused(abi.encodeWithSelector(IEnclaves.WrongVersion.selector, uint16(3), uint16(0x0103)));
        quote[1] = 0x00;
        quote[2] = 0x03;
        refused(abi.encodeWithSelector(IEnclaves.WrongKeyType.selector, uint16(2), uint16(3)));
        quote[2] = 0x02;
        quote[12] = 0x00;
        vm.expectPartialRevert(IEnclaves.WrongVendor.selector);
        register();
    }

    function test_a_quote_is_neither_short_nor_huge() public {
        quote = slice(quote, 435);
        refused(abi.encodeWithSelector(IEnclaves.WrongQuoteLength.selector, 436, 435));
        quote = new bytes(16_385);
        refused(abi.encodeWithSelector(IEnclaves.WrongQuoteLength.selector, 16_384, 16_385));
        quote = "";
        refused(abi.encodeWithSelector(IEnclaves.WrongQuoteLength.selector, 436, 0));
    }

    function testFuzz_attributes_debug_and_provisioning_are_refused(uint8 flags) public {
        quote[96] = bytes1(flags);
        bytes1 judged = bytes1(flags & 0x33);
        if (judged == 0x01) register();
        else refused(abi.encodeWithSelector(IEnclaves.WrongAttributes.selector, bytes1(0x01), judged));
    }

    function test_the_measurement_is_one_that_was_voted_for() public {
        quote[112] ^= 0x01;
        vm.expectPartialRevert(IEnclaves.MeasurementNotAllowed.selector);
        register();
    }

    function test_report_data_is_recomputed() public {
        quote[431] = 0x32;
        refused(abi.encodeWithSelector(IEnclaves.WrongTag.selector, bytes4("VFL1"), bytes4("VFL2")));
        quote[431] = 0x31;
        quote[388] ^= 0x01;
        vm.expectPartialRevert(IEnclaves.WrongClaims.selector);
        register();
        quote[388] ^= 0x01;
        claims.stateVersion = 1;
        vm.expectPartialRevert(IEnclaves.WrongClaims.selector);
        register();
        claims.stateVersion = 0;
        quote = quoteOf(address(0), claims, 2);
        refused(abi.encodeWithSelector(IEnclaves.NoSigner.selector));
        quote = quoteOf(vm.addr(KEY), claims, 0);
        refused(abi.encodeWithSelector(IEnclaves.WrongEpoch.selector, uint64(1), uint64(0)));
    }

    function test_claims_are_for_this_federation_chain_ledger_and_policy() public {
        claims.federation = bytes32(0);
        refused(abi.encodeWithSelector(IEventStream.WrongFederation.selector, FEDERATION, bytes32(0)));
        claims.federation = FEDERATION;
        claims.chainId = 1;
        refused(abi.encodeWithSelector(IEnclaves.WrongChain.selector, block.chainid, 1));
        claims.chainId = block.chainid;
        claims.ledger = address(this);
        refused(abi.encodeWithSelector(IEnclaves.WrongLedger.selector, address(ledger), address(this)));
        claims.ledger = address(ledger);
        claims.policy = bytes32(0);
        refused(abi.encodeWithSelector(IEnclaves.WrongPolicy.selector, CHARTER, bytes32(0)));
    }

    function test_the_nonce_is_the_hash_of_one_of_the_last_256_blocks() public {
        claims.nonce = bytes32(0);
        bytes32 nonce = blockhash(nonceBlock);
        refused(abi.encodeWithSelector(IEnclaves.WrongNonce.selector, nonce, bytes32(0)));
        vm.roll(nonceBlock + 257); // blockhash is 0 from here on, and so is the nonce
        refused(abi.encodeWithSelector(IEnclaves.StaleNonce.selector, nonceBlock, nonceBlock + 257));
        nonceBlock = uint64(block.number);
        refused(abi.encodeWithSelector(IEnclaves.StaleNonce.selector, nonceBlock, nonceBlock));
        nonceBlock = type(uint64).max;
        refused(abi.encodeWithSelector(IEnclaves.StaleNonce.selector, nonceBlock, block.number));
        nonceBlock = uint64(block.number - 256);
        claims = claimsOf(coordinator, nonceBlock);
        quote = quoteOf(vm.addr(KEY), claims, 2);
        register();
    }

    function test_one_registration_an_enclave_whatever_its_signatures() public {
        register();
        refused(wrong(IEnclaves.State.None, IEnclaves.State.Registered));
        quote = abi.encodePacked(quote, "other signatures");
        refused(wrong(IEnclaves.State.None, IEnclaves.State.Registered));
    }

    function test_a_key_is_admitted_once() public {
        bytes32 first = register();
        vm.roll(block.number + 1);
        quote = quoteOf(vm.addr(KEY), claims, 3);
        bytes32 second = register();
        pass(IConsortium.Action.AdmitEnclave, first, abi.encode(ROOT));
        uint256 proposal = proposeAll(IConsortium.Action.AdmitEnclave, second, abi.encode(ROOT));
        skip(DELAY);
        vm.expectRevert(abi.encodeWithSelector(IEnclaves.SignerUsed.selector, vm.addr(KEY)));
        consortium.execute(proposal, abi.encode(ROOT));
        quote = quoteOf(vm.addr(KEY), claims, 4);
        refused(abi.encodeWithSelector(IEnclaves.SignerUsed.selector, vm.addr(KEY)));
    }

    function test_admission_and_revocation_are_the_consortiums() public {
        bytes memory error =
            abi.encodeWithSelector(IEventStream.WrongCaller.selector, address(consortium), address(this));
        vm.expectRevert(error);
        enclaves.admit(enclave, ROOT);
        vm.expectRevert(error);
        enclaves.revoke(enclave);
    }

    function test_admission_needs_a_trusted_root_and_fresh_evidence() public {
        bytes32 id = register();
        admitRefused(id, keccak256("x"), abi.encodeWithSelector(IEnclaves.RootNotTrusted.selector, keccak256("x")));
        admitRefused(enclave, ROOT, wrong(IEnclaves.State.Registered, IEnclaves.State.Admitted));
        admitRefused(bytes32(0), ROOT, wrong(IEnclaves.State.Registered, IEnclaves.State.None));
        uint256 expiry = block.timestamp;
        (,,,,, uint64 at,,) = enclaves.record(id);
        vm.warp(at);
        expiry = at;
        admitRefused(id, ROOT, abi.encodeWithSelector(IEnclaves.Expired.selector, uint64(expiry), expiry + DELAY));
    }

    function test_admission_needs_the_measurement_still_allowed() public {
        bytes32 id = register();
        remove(IConsortium.Action.RevokeMeasurement, MEASUREMENT);
        admitRefused(id, ROOT, abi.encodeWithSelector(IEnclaves.MeasurementNotAllowed.selector, MEASUREMENT));
    }

    function test_a_revoked_enclave_never_comes_back() public {
        remove(IConsortium.Action.RevokeEnclave, enclave);
        so("inactive", !enclaves.isActive(enclave));
        (bool trusted, bool simulated) = enclaves.trustOf(enclave);
        so("untrusted", !trusted);
        so("still says what it rested on", simulated);
        admitRefused(enclave, ROOT, wrong(IEnclaves.State.Registered, IEnclaves.State.Revoked));
        uint256 proposal = proposeAll(IConsortium.Action.RevokeEnclave, enclave, "");
        vm.expectRevert(wrong(IEnclaves.State.Admitted, IEnclaves.State.Revoked));
        consortium.execute(proposal, "");
    }

    function test_an_enclave_is_as_good_as_its_measurement_and_root() public {
        remove(IConsortium.Action.DistrustRoot, ROOT);
        so("root", !enclaves.isActive(enclave));
        pass(IConsortium.Action.TrustRoot, ROOT, abi.encode(uint8(1)));
        so("back", enclaves.isActive(enclave));
        remove(IConsortium.Action.RevokeMeasurement, MEASUREMENT);
        so("measurement", !enclaves.isActive(enclave));
    }

    function test_an_enclave_expires() public {
        (, uint64 expiry) = enclaves.leaseOf(enclave);
        vm.warp(expiry);
        so("active", enclaves.isActive(enclave));
        vm.warp(expiry + 1);
        so("expired", !enclaves.isActive(enclave));
        (bool trusted,) = enclaves.trustOf(enclave);
        so("a round opened before may still end", trusted);
    }

    function register() internal returns (bytes32) {
        vm.prank(coordinator);
        return enclaves.register(quote, claims, nonceBlock);
    }

    function refused(bytes memory error) internal {
        vm.expectRevert(error);
        register();
    }

    function admitRefused(bytes32 id, bytes32 root, bytes memory error) internal {
        uint256 proposal = proposeAll(IConsortium.Action.AdmitEnclave, id, abi.encode(root));
        skip(DELAY);
        vm.expectRevert(error);
        consortium.execute(proposal, abi.encode(root));
    }

    function wrong(IEnclaves.State expected, IEnclaves.State actual) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IEnclaves.WrongState.selector, expected, actual);
    }

    function slice(bytes memory data, uint256 length) internal pure returns (bytes memory head) {
        head = new bytes(length);
        for (uint256 i = 0; i < length; ++i) {
            head[i] = data[i];
        }
    }
}
