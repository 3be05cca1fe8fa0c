// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Claims} from "../src/libraries/Messages.sol";
import {World} from "./World.sol";

/// @title An enclave that would be registered, but for what a test changes
abstract contract Registration is World {
    uint256 internal constant KEY = 0x0E2;
    uint64 internal constant EPOCH = 2;

    Claims internal claims;
    bytes internal hpkeKey;
    uint64 internal nonceBlock;

    function setUp() public virtual override {
        super.setUp();
        nonceBlock = uint64(block.number - 1);
        claims = claimsOf(coordinator, nonceBlock, EPOCH);
        hpkeKey = hpkeKeyOf(EPOCH);
    }

    function validParts() internal view returns (QuoteParts memory) {
        return quoteParts(reportDataOf(vm.addr(KEY), claims, EPOCH));
    }

    function partsWith(CertificateParts memory leaf) internal view returns (QuoteParts memory parts) {
        parts = validParts();
        parts.certificate = encode(leaf);
    }

    function leafWith(bytes memory sgxExtension) internal pure returns (CertificateParts memory leaf) {
        leaf = leafParts();
        leaf.extensions[EXT_SGX] = extension(OID_SGX, false, sgxExtension);
    }

    function register(bytes memory quote) internal returns (bytes32) {
        bytes32 issuer = authorityId();
        vm.prank(coordinator);
        return enclaves.register(quote, claims, hpkeKey, issuer, nonceBlock);
    }

    function refused(bytes memory quote, bytes memory error) internal {
        bytes32 issuer = authorityId();
        vm.expectRevert(error);
        vm.prank(coordinator);
        enclaves.register(quote, claims, hpkeKey, issuer, nonceBlock);
    }

    /// @dev Whatever its arguments, mostly an offset.
    function refusedAs(bytes memory quote, bytes4 error) internal {
        bytes32 issuer = authorityId();
        vm.expectPartialRevert(error);
        vm.prank(coordinator);
        enclaves.register(quote, claims, hpkeKey, issuer, nonceBlock);
    }

    function refusedAs(CertificateParts memory leaf, bytes4 error) internal {
        refusedAs(encode(partsWith(leaf)), error);
    }

    function refused(CertificateParts memory leaf, bytes memory error) internal {
        refused(encode(partsWith(leaf)), error);
    }

    function refusedAs(PckParts memory pck, bytes4 error) internal {
        refusedAs(leafWith(encode(pck)), error);
    }
}
