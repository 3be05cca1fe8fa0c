// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICertificates} from "../src/interfaces/ICertificates.sol";
import {IConsortium} from "../src/interfaces/IConsortium.sol";
import {IEventStream} from "../src/interfaces/IEventStream.sol";
import {Authority, IPlatformTrust, RootKind, Tcb, TcbStatus} from "../src/interfaces/IPlatformTrust.sol";
import {Registration} from "./Registration.sol";

/// @title Authorities, TCB rows and revoked certificates
contract PlatformsTest is Registration {
    bytes32 internal constant OTHER = keccak256("another authority");

    function test_an_authority_is_on_record() public view {
        (RootKind kind, bool trusted, bytes32 root, uint64 expiry) = enclaves.authorityRecord(authorityId());
        same("kind", uint256(RootKind.Simulated), uint256(kind));
        so("trusted", trusted);
        same("root", rootId(), root);
        same("expiry", 2_208_988_800, expiry); // 1 January 2040
        (kind, trusted, root, expiry) = enclaves.authorityRecord(OTHER);
        same("nothing", 0, uint256(kind) + uint256(root) + expiry);
        so("not trusted", !trusted);
    }

    function test_a_row_is_on_record_until_it_is_rejected() public {
        Tcb memory row = tcb(TCB_EXPIRY);
        (TcbStatus status, uint64 expiry, bytes32 collateral, bytes32 issuer) = enclaves.tcbRecord(tcbId(row));
        same("status", uint256(TcbStatus.SWHardeningNeeded), uint256(status));
        same("expiry", TCB_EXPIRY, expiry);
        same("collateral", row.collateral, collateral);
        same("authority", authorityId(), issuer);
        remove(IConsortium.Action.RejectTcb, tcbId(row));
        (status, expiry, collateral, issuer) = enclaves.tcbRecord(tcbId(row));
        same("nothing", 0, uint256(status) + expiry + uint256(collateral) + uint256(issuer));
    }

    function test_all_of_it_is_the_consortiums() public {
        Authority memory value = authority();
        Tcb memory row = tcb(TCB_EXPIRY);
        bytes memory error =
            abi.encodeWithSelector(IEventStream.WrongCaller.selector, address(consortium), address(this));
        vm.expectRevert(error);
        enclaves.trustAuthority(OTHER, value);
        vm.expectRevert(error);
        enclaves.distrustAuthority(OTHER);
        vm.expectRevert(error);
        enclaves.acceptTcb(OTHER, row);
        vm.expectRevert(error);
        enclaves.rejectTcb(OTHER);
        vm.expectRevert(error);
        enclaves.revokeCertificate(OTHER, OTHER, 1);
    }

    function test_an_authority_keeps_its_kind_for_ever() public {
        Authority memory value = authority();
        value.kind = RootKind.Intel;
        bytes memory error =
            abi.encodeWithSelector(IPlatformTrust.WrongRootKind.selector, RootKind.Simulated, RootKind.Intel);
        refusedAuthority(value, error);
        remove(IConsortium.Action.DistrustAuthority, authorityId());
        refusedAuthority(value, error);
    }

    function test_the_keys_are_the_ones_that_were_named() public {
        Authority memory value = authority();
        value.root = OTHER;
        refusedAuthority(value, abi.encodeWithSelector(IPlatformTrust.WrongAuthorityKey.selector, OTHER, rootId()));
    }

    function test_a_root_that_only_looks_alike_is_refused() public {
        CertificateParts memory root = rootParts();
        uint256 key = 0x0BAD;
        root.publicKey = bytes.concat(hex"3059301306072a8648ce3d020106082a8648ce3d03010703420004", publicKey(key));
        root.key = key;
        Authority memory value = authority();
        value.rootCertificate = encode(root);
        refusedAuthority(
            value, abi.encodeWithSelector(IPlatformTrust.WrongAuthorityKey.selector, rootId(), sha256(publicKey(key)))
        );
    }

    function test_the_root_signs_itself_and_the_authority() public {
        CertificateParts memory parts = rootParts();
        parts.key = AUTHORITY_KEY;
        Authority memory value = authority();
        value.rootCertificate = encode(parts);
        refusedAuthority(value, wrong(ICertificates.Signed.RootCertificate));
        parts = authorityParts();
        parts.key = AUTHORITY_KEY;
        value = authority();
        value.certificate = encode(parts);
        refusedAuthority(value, wrong(ICertificates.Signed.AuthorityCertificate));
        parts = authorityParts();
        parts.issuer = name("another root");
        value.certificate = encode(parts);
        refusedAuthorityAs(value, ICertificates.WrongIssuer.selector);
        parts = authorityParts();
        parts.extensions[EXT_AKI] = authorityKeyId("another key");
        value.certificate = encode(parts);
        refusedAuthorityAs(value, ICertificates.WrongKeyId.selector);
    }

    function test_both_have_their_reach_and_their_usage() public {
        Authority memory value = authority();
        CertificateParts memory parts = authorityParts();
        parts.extensions[EXT_BC] = extension(hex"551d13", true, hex"3000");
        value.certificate = encode(parts);
        refusedAuthorityAs(value, ICertificates.WrongConstraints.selector);
        parts.extensions[EXT_BC] = extension(hex"551d13", true, hex"30060101ff020101");
        value.certificate = encode(parts);
        refusedAuthorityAs(value, ICertificates.WrongConstraints.selector);
        parts.extensions[EXT_BC] = extension(hex"551d13", true, hex"30030101ff");
        value.certificate = encode(parts);
        refusedAuthorityAs(value, ICertificates.WrongConstraints.selector);
        parts = authorityParts();
        parts.extensions[EXT_KU] = extension(hex"551d0f", true, hex"03020186");
        value.certificate = encode(parts);
        refusedAuthorityAs(value, ICertificates.WrongKeyUsage.selector);
        parts.extensions[EXT_KU] = extension(hex"551d0f", true, hex"03020204");
        value.certificate = encode(parts);
        refusedAuthorityAs(value, ICertificates.WrongKeyUsage.selector);
        value = authority();
        parts = rootParts();
        parts.extensions[EXT_BC] = extension(hex"551d13", true, hex"30060101ff020100");
        value.rootCertificate = encode(parts);
        refusedAuthorityAs(value, ICertificates.WrongConstraints.selector);
    }

    function test_both_are_valid_now() public {
        Authority memory value = authority();
        CertificateParts memory parts = authorityParts();
        parts.notAfter = utc("270101000000Z");
        value.certificate = encode(parts);
        refusedAuthorityAs(value, ICertificates.NotValid.selector);
        value = authority();
        parts = rootParts();
        parts.notBefore = utc("280101000000Z");
        value.rootCertificate = encode(parts);
        refusedAuthorityAs(value, ICertificates.NotValid.selector);
    }

    function test_an_authority_is_replaced_with_another_quoting_enclave() public {
        Authority memory value = authority();
        value.qe.svn = 9;
        pass(IConsortium.Action.TrustAuthority, authorityId(), abi.encode(value));
        so("what is registered stays", enclaves.isActive(enclave));
        refusedAs(encode(validParts()), bytes4(keccak256("QeTooOld(uint16,uint16)")));
    }

    function test_nobody_registers_under_an_authority_that_is_not_trusted() public {
        bytes memory quote = encode(validParts());
        vm.expectRevert(abi.encodeWithSelector(IPlatformTrust.AuthorityNotTrusted.selector, OTHER));
        vm.prank(coordinator);
        enclaves.register(quote, claims, hpkeKey, OTHER, nonceBlock);
        remove(IConsortium.Action.DistrustAuthority, authorityId());
        refused(quote, abi.encodeWithSelector(IPlatformTrust.AuthorityNotTrusted.selector, authorityId()));
    }

    function test_a_certificate_counts_under_its_own_authority_only() public {
        CertificateParts memory parts = authorityParts();
        uint256 key = 0x0701_01;
        parts.publicKey = bytes.concat(hex"3059301306072a8648ce3d020106082a8648ce3d03010703420004", publicKey(key));
        Authority memory value = authority();
        value.certificate = encode(parts);
        bytes32 twin = sha256(publicKey(key));
        pass(IConsortium.Action.TrustAuthority, twin, abi.encode(value));
        bytes memory quote = encode(validParts());
        vm.expectRevert(wrong(ICertificates.Signed.PlatformCertificate));
        vm.prank(coordinator);
        enclaves.register(quote, claims, hpkeKey, twin, nonceBlock);
    }

    function test_a_row_of_an_untrusted_authority_is_not_accepted() public {
        Tcb memory row = tcb(TCB_EXPIRY);
        row.authority = OTHER;
        refusedRow(row, abi.encodeWithSelector(IPlatformTrust.AuthorityNotTrusted.selector, OTHER));
    }

    function test_older_collateral_never_replaces_newer() public {
        Tcb memory row = tcb(TCB_EXPIRY - 1);
        row.status = TcbStatus.UpToDate;
        refusedRow(row, abi.encodeWithSelector(IPlatformTrust.OlderCollateral.selector, TCB_EXPIRY, TCB_EXPIRY - 1));
        row.expiry = TCB_EXPIRY;
        row.status = TcbStatus.OutOfDate;
        pass(IConsortium.Action.AcceptTcb, tcbId(row), abi.encode(row));
        (TcbStatus status,,,) = enclaves.tcbRecord(tcbId(row));
        same("status", uint256(TcbStatus.OutOfDate), uint256(status));
    }

    function test_collateral_that_has_expired_accepts_nothing() public {
        Tcb memory row = tcb(TCB_EXPIRY);
        row.pceSvn = 1;
        row.expiry = uint64(block.timestamp) + DELAY - 1;
        refusedRow(row, abi.encodeWithSelector(IPlatformTrust.Expired.selector, row.expiry, block.timestamp + DELAY));
        vm.warp(TCB_EXPIRY + 1);
        refused(
            encode(validParts()), abi.encodeWithSelector(IPlatformTrust.Expired.selector, TCB_EXPIRY, TCB_EXPIRY + 1)
        );
        vm.warp(TCB_EXPIRY);
        bytes32 id = register(encode(validParts()));
        so("for a second", enclaves.isActive(id));
    }

    function test_an_enclave_expires_with_the_first_of_what_it_rests_on() public {
        vm.warp(TCB_EXPIRY - 10 days);
        (, uint64 expiry) = enclaves.leaseOf(register(encode(validParts())));
        same("the collateral", TCB_EXPIRY, expiry);
    }

    function test_an_enclave_expires_with_its_certificate() public {
        CertificateParts memory leaf = leafParts();
        leaf.notAfter = utc("270130000000Z"); // 1801267200
        (, uint64 expiry) = enclaves.leaseOf(register(encode(partsWith(leaf))));
        same("the certificate", 1_801_267_200, expiry);
    }

    function test_an_enclave_expires_with_its_authority() public {
        CertificateParts memory parts = authorityParts();
        parts.notAfter = utc("270130000000Z");
        Authority memory value = authority();
        value.certificate = encode(parts);
        pass(IConsortium.Action.TrustAuthority, authorityId(), abi.encode(value));
        (, uint64 expiry) = enclaves.leaseOf(register(encode(validParts())));
        same("the authority", 1_801_267_200, expiry);
    }

    function test_a_certificate_is_revoked_before_its_authority_is_known() public {
        revokeCertificate(OTHER, 5);
        so("revoked", enclaves.isCertificateRevoked(keccak256(abi.encode(OTHER, uint256(5)))));
        (RootKind kind, bool trusted,,) = enclaves.authorityRecord(OTHER);
        same("no kind", 0, uint256(kind));
        so("not trusted", !trusted);
    }

    function refusedAuthority(Authority memory value, bytes memory error) internal {
        bytes32 id = authorityId();
        vm.expectRevert(error);
        enclaves.checkAuthority(id, value);
        bytes memory data = abi.encode(value);
        vm.expectRevert(error);
        vm.prank(member(0));
        consortium.propose(IConsortium.Action.TrustAuthority, id, data);
        vm.expectRevert(error);
        vm.prank(address(consortium));
        enclaves.trustAuthority(id, value);
    }

    function refusedAuthorityAs(Authority memory value, bytes4 error) internal {
        bytes32 id = authorityId();
        vm.expectPartialRevert(error);
        enclaves.checkAuthority(id, value);
        vm.expectPartialRevert(error);
        vm.prank(address(consortium));
        enclaves.trustAuthority(id, value);
    }

    function refusedRow(Tcb memory row, bytes memory error) internal {
        uint256 proposal = proposeAll(IConsortium.Action.AcceptTcb, tcbId(row), abi.encode(row));
        skip(DELAY);
        vm.expectRevert(error);
        consortium.execute(proposal, abi.encode(row));
    }

    function wrong(ICertificates.Signed what) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(ICertificates.WrongSignature.selector, what);
    }
}
