// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IConsortium} from "../src/interfaces/IConsortium.sol";
import {IEnclaves} from "../src/interfaces/IEnclaves.sol";
import {IEventStream} from "../src/interfaces/IEventStream.sol";
import {IPlatformTrust, Tcb} from "../src/interfaces/IPlatformTrust.sol";
import {Claims} from "../src/libraries/Messages.sol";
import {Registration} from "./Registration.sol";

/// @title Registering and revoking enclaves: claims, keys, and what trust in them rests on
contract EnclavesTest is Registration {
    bytes internal quote;

    function setUp() public override {
        super.setUp();
        quote = quoteWith(vm.addr(KEY), EPOCH);
    }

    function test_a_registered_enclave_is_on_record_and_active() public {
        bytes32 id = register();
        same("id", keccak256(slice(quote, 432)), id);
        (
            address signer,
            address operator,
            bytes32 measurement,
            bytes32 key,
            uint64 epoch,
            uint64 expiry,
            IEnclaves.State state,
            bool simulated
        ) = enclaves.record(id);
        same("signer", vm.addr(KEY), signer);
        same("operator", coordinator, operator);
        same("measurement", MEASUREMENT, measurement);
        same("key", claims.hpkeKey, key);
        same("epoch", EPOCH, epoch);
        same("expiry", block.timestamp + 30 days, expiry);
        same("state", uint256(IEnclaves.State.Registered), uint256(state));
        so("simulated", simulated);
        so("active", enclaves.isActive(id));
        same("signer", vm.addr(KEY), enclaves.signerOf(id));
        (bytes32 authority_, bytes32 certificate) = enclaves.platformOf(id);
        same("authority", authorityId(), authority_);
        same("certificate", certificateId(), certificate);
    }

    function test_an_enclave_nobody_registered_is_nothing() public view {
        (bool trusted, bool simulated) = enclaves.trustOf(keccak256("nothing"));
        so("not trusted", !trusted);
        so("nor simulated", !simulated);
        (bytes32 authority_, bytes32 certificate) = enclaves.platformOf(keccak256("nothing"));
        same("authority", bytes32(0), authority_);
        same("certificate", bytes32(0), certificate);
    }

    function test_only_a_coordinator_registers_and_only_its_own() public {
        bytes32 issuer = authorityId();
        vm.expectRevert(abi.encodeWithSelector(IEnclaves.NotCoordinator.selector, address(this)));
        enclaves.register(quote, claims, hpkeKey, issuer, nonceBlock);
        pass(IConsortium.Action.AdmitCoordinator, word(address(0xC1)), "");
        vm.expectRevert(abi.encodeWithSelector(IEnclaves.WrongOperator.selector, address(0xC1), coordinator));
        vm.prank(address(0xC1));
        enclaves.register(quote, claims, hpkeKey, issuer, nonceBlock);
    }

    function test_report_data_is_recomputed() public {
        bytes32 digest = sha256(abi.encode(claims));
        claims.stateVersion = 1;
        refused(abi.encodeWithSelector(IEnclaves.WrongClaims.selector, sha256(abi.encode(claims)), digest));
        claims.stateVersion = 0;
        claims.protections = 0xfe;
        refused(abi.encodeWithSelector(IEnclaves.WrongClaims.selector, sha256(abi.encode(claims)), digest));
        claims.protections = 0xff;
        quote = encode(quoteParts(abi.encodePacked(vm.addr(KEY), sha256(abi.encode(claims)), EPOCH, bytes4("VFL2"))));
        refused(abi.encodeWithSelector(IEnclaves.WrongTag.selector, bytes4("VFL1"), bytes4("VFL2")));
        quote = quoteWith(address(0), EPOCH);
        refused(abi.encodeWithSelector(IEnclaves.NoSigner.selector));
        quote = quoteWith(vm.addr(KEY), 0);
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
        claims = claimsOf(coordinator, nonceBlock, EPOCH);
        quote = quoteWith(vm.addr(KEY), EPOCH);
        register();
    }

    function test_the_hpke_key_is_the_one_that_was_claimed_and_no_larger_than_any() public {
        hpkeKey[0] ^= 0x01;
        refused(abi.encodeWithSelector(IEnclaves.WrongHpkeKey.selector, sha256(hpkeKey), claims.hpkeKey));
        hpkeKey = new bytes(2433);
        refused(abi.encodeWithSelector(IEnclaves.WrongHpkeKeyLength.selector, 2432, 2433));
    }

    function test_one_registration_an_enclave_whatever_its_signatures() public {
        bytes32 id = register();
        refused(abi.encodeWithSelector(IEnclaves.SignerUsed.selector, vm.addr(KEY)));
        remove(IConsortium.Action.RevokeEnclave, id);
        refused(abi.encodeWithSelector(IEnclaves.SignerUsed.selector, vm.addr(KEY)));
    }

    function test_two_epochs_never_share_a_key() public {
        register();
        quote = quoteWith(vm.addr(KEY), 3);
        refused(abi.encodeWithSelector(IEnclaves.SignerUsed.selector, vm.addr(KEY)));
        quote = quoteWith(vm.addr(0x0E3), 3);
        refused(abi.encodeWithSelector(IEnclaves.HpkeKeyUsed.selector, claims.hpkeKey));
        registerEnclave(0x0E3, 3);
    }

    function test_revoking_an_enclave_is_the_consortiums() public {
        vm.expectRevert(abi.encodeWithSelector(IEventStream.WrongCaller.selector, address(consortium), address(this)));
        enclaves.revoke(enclave);
    }

    function test_a_revoked_enclave_never_comes_back() public {
        remove(IConsortium.Action.RevokeEnclave, enclave);
        so("inactive", !enclaves.isActive(enclave));
        (bool trusted, bool simulated) = enclaves.trustOf(enclave);
        so("untrusted", !trusted);
        so("still says what it rested on", simulated);
        uint256 proposal = proposeAll(IConsortium.Action.RevokeEnclave, enclave, "");
        vm.expectRevert(
            abi.encodeWithSelector(IEnclaves.WrongState.selector, IEnclaves.State.Registered, IEnclaves.State.Revoked)
        );
        consortium.execute(proposal, "");
    }

    function test_an_enclave_is_as_good_as_its_measurement_and_authority() public {
        remove(IConsortium.Action.DistrustAuthority, authorityId());
        so("authority", !enclaves.isActive(enclave));
        pass(IConsortium.Action.TrustAuthority, authorityId(), abi.encode(authority()));
        so("back", enclaves.isActive(enclave));
        remove(IConsortium.Action.RevokeMeasurement, MEASUREMENT);
        so("measurement", !enclaves.isActive(enclave));
    }

    function test_a_revoked_certificate_takes_its_enclaves_with_it_for_ever() public {
        bytes32 other = register();
        revokeCertificate(authorityId(), SERIAL + 1);
        so("another one's", enclaves.isActive(enclave));
        revokeCertificate(authorityId(), SERIAL);
        so("its own", !enclaves.isActive(enclave));
        so("its own", !enclaves.isActive(other));
        so("on record", enclaves.isCertificateRevoked(certificateId()));
        uint256 proposal =
            proposeAll(IConsortium.Action.RevokeCertificate, certificateId(), abi.encode(authorityId(), SERIAL));
        bytes memory data = abi.encode(authorityId(), SERIAL);
        vm.expectRevert(abi.encodeWithSelector(IPlatformTrust.IsRevoked.selector, certificateId()));
        consortium.execute(proposal, data);
    }

    function test_an_enclave_registered_after_another_revocation_stays() public {
        revokeCertificate(authorityId(), SERIAL + 1);
        bytes32 id = register();
        so("active", enclaves.isActive(id));
        revokeCertificate(authorityId(), SERIAL);
        so("inactive", !enclaves.isActive(id));
    }

    function test_a_rejected_or_expired_row_stops_registrations_only() public {
        Tcb memory row = tcb(TCB_EXPIRY);
        remove(IConsortium.Action.RejectTcb, tcbId(row));
        so("active", enclaves.isActive(enclave));
        refused(abi.encodeWithSelector(IPlatformTrust.TcbNotAccepted.selector, tcbId(row)));
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

    function quoteWith(address signer, uint64 epoch) internal view returns (bytes memory) {
        return encode(quoteParts(reportDataOf(signer, claims, epoch)));
    }

    function register() internal returns (bytes32) {
        return register(quote);
    }

    function refused(bytes memory error) internal {
        refused(quote, error);
    }

    function slice(bytes memory data, uint256 length) internal pure returns (bytes memory head) {
        head = new bytes(length);
        for (uint256 i = 0; i < length; ++i) {
            head[i] = data[i];
        }
    }
}
