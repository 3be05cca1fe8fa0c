// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICertificates} from "../src/interfaces/ICertificates.sol";
import {IEnclaves} from "../src/interfaces/IEnclaves.sol";
import {IPlatformTrust, Tcb} from "../src/interfaces/IPlatformTrust.sol";
import {IConsortium} from "../src/interfaces/IConsortium.sol";
import {Registration} from "./Registration.sol";

/// @title The platform's certificate: one thing wrong, all else signed anew
contract PckCertificatesTest is Registration {
    bytes4 internal constant VALUE = ICertificates.WrongDerValue.selector;
    bytes4 internal constant LENGTH = ICertificates.WrongDerLength.selector;
    bytes4 internal constant TAG = ICertificates.WrongDerTag.selector;
    bytes4 internal constant LEFT = ICertificates.DerBytesLeft.selector;

    function test_it_is_of_version_3() public {
        CertificateParts memory leaf = leafParts();
        leaf.version = hex"a003020101";
        refusedAs(leaf, ICertificates.WrongCertificateVersion.selector);
        leaf.version = "";
        refusedAs(leaf, ICertificates.WrongCertificateVersion.selector);
    }

    function test_its_serial_is_positive_and_of_twenty_bytes_at_most() public {
        CertificateParts memory leaf = leafParts();
        leaf.serial = hex"020100";
        refused(leaf, abi.encodeWithSelector(ICertificates.WrongSerial.selector, 0));
        leaf.serial = integer(1 << 160);
        refused(leaf, abi.encodeWithSelector(ICertificates.WrongSerial.selector, 1 << 160));
        leaf.serial = hex"020181";
        refusedAs(leaf, VALUE);
        leaf.serial = hex"02020001";
        refusedAs(leaf, VALUE);
        leaf.serial = hex"0200";
        refusedAs(leaf, VALUE);
        leaf.serial = bytes.concat(hex"0222", hex"00ff", new bytes(32));
        refusedAs(leaf, VALUE);
        leaf.serial = integer((1 << 160) - 1);
        register(encode(partsWith(leaf)));
    }

    function test_its_algorithm_is_the_one_twice() public {
        CertificateParts memory leaf = leafParts();
        leaf.algorithm = hex"300a06082a8648ce3d040303";
        refusedAs(leaf, ICertificates.WrongAlgorithm.selector);
        leaf = leafParts();
        leaf.outerAlgorithm = hex"300a06082a8648ce3d040303";
        refusedAs(leaf, ICertificates.WrongAlgorithm.selector);
        leaf.outerAlgorithm = hex"300c06082a8648ce3d0403020500";
        refusedAs(leaf, ICertificates.WrongAlgorithm.selector);
    }

    function test_it_is_issued_by_the_authority_by_name_key_and_signature() public {
        CertificateParts memory leaf = leafParts();
        leaf.issuer = name("SIMULATED SGX PCK Processor CA");
        refusedAs(leaf, ICertificates.WrongIssuer.selector);
        leaf = leafParts();
        leaf.extensions[EXT_AKI] = authorityKeyId(keyId(ROOT_KEY));
        refusedAs(leaf, ICertificates.WrongKeyId.selector);
        leaf = leafParts();
        leaf.key = ROOT_KEY;
        refused(
            leaf,
            abi.encodeWithSelector(ICertificates.WrongSignature.selector, ICertificates.Signed.PlatformCertificate)
        );
    }

    function test_it_is_valid_from_its_first_to_its_last_second() public {
        CertificateParts memory leaf = leafParts();
        leaf.notBefore = utc("270115080000Z"); // START
        leaf.notAfter = utc("270115130001Z");
        vm.warp(START - 1);
        bytes4 notValid = ICertificates.NotValid.selector;
        refused(leaf, abi.encodeWithSelector(notValid, START, START + 18_001, START - 1));
        vm.warp(START + 18_002);
        refused(leaf, abi.encodeWithSelector(notValid, START, START + 18_001, START + 18_002));
        vm.warp(START + 18_001);
        register(encode(partsWith(leaf)));
    }

    function test_its_times_have_one_form_and_exist() public {
        bytes[10] memory wrong = [
            utc("261301000000Z"),
            utc("260001000000Z"),
            utc("260229000000Z"),
            utc("260431000000Z"),
            utc("260100000000Z"),
            utc("260101240000Z"),
            utc("260101006000Z"),
            utc("260101000060Z"),
            utc("260101000000+"),
            utc("2601010000Z")
        ];
        CertificateParts memory leaf = leafParts();
        for (uint256 i = 0; i < wrong.length; ++i) {
            leaf.notBefore = wrong[i];
            refusedAs(leaf, VALUE);
        }
        leaf.notBefore = utc("26010100000:Z");
        refusedAs(leaf, VALUE);
        leaf.notBefore = tlv(0x18, "20260101000000Z");
        refusedAs(leaf, VALUE);
        leaf.notBefore = hex"0400";
        refusedAs(leaf, TAG);
        leaf.notBefore = utc("240229000000Z");
        leaf.notAfter = tlv(0x18, "99991231235959Z");
        register(encode(partsWith(leaf)));
    }

    function test_its_key_is_a_point_on_the_curve() public {
        CertificateParts memory leaf = leafParts();
        bytes memory key = publicKey(PLATFORM_KEY);
        leaf.publicKey = bytes.concat(hex"3056301006072a8648ce3d020106052b8104000a03420004", key);
        refusedAs(leaf, ICertificates.WrongPublicKey.selector);
        leaf = leafParts();
        leaf.publicKey[26] = 0x02;
        refusedAs(leaf, ICertificates.WrongPublicKey.selector);
        leaf = leafParts();
        leaf.publicKey[90] ^= 0x01;
        refused(leaf, abi.encodeWithSelector(ICertificates.WrongSignature.selector, ICertificates.Signed.QeReport));
    }

    function test_it_has_each_extension_that_is_asked_for_once() public {
        for (uint256 i = 0; i < 6; ++i) {
            CertificateParts memory leaf = leafParts();
            bytes memory kept = leaf.extensions[i];
            leaf.extensions[i] = "";
            if (i == EXT_SGX) refusedAs(leaf, IEnclaves.NotPlatform.selector);
            else if (i != EXT_CRL) refusedAs(leaf, ICertificates.MissingExtension.selector);
            leaf.extensions[i] = bytes.concat(kept, kept);
            refusedAs(leaf, ICertificates.DuplicateExtension.selector);
        }
    }

    function test_it_has_no_more_extensions_than_anybody_needs() public {
        CertificateParts memory leaf = leafParts();
        for (uint8 i = 0; i < 11; ++i) {
            leaf.extensions[EXT_CRL] =
                bytes.concat(leaf.extensions[EXT_CRL], extension(abi.encodePacked(hex"2a03", i), false, "x"));
        }
        refused(leaf, abi.encodeWithSelector(ICertificates.TooManyExtensions.selector, 16));
    }

    function test_extensions_are_critical_where_they_must_be_and_only_known_ones() public {
        CertificateParts memory leaf = leafParts();
        leaf.extensions[EXT_CRL] = extension(hex"551d1f", true, hex"3000");
        refusedAs(leaf, ICertificates.UnknownCriticalExtension.selector);
        leaf = leafParts();
        leaf.extensions[EXT_KU] = extension(hex"551d0f", false, hex"030206c0");
        refused(leaf, criticality(ICertificates.Extension.KeyUsage));
        leaf = leafParts();
        leaf.extensions[EXT_BC] = extension(hex"551d13", false, hex"3000");
        refused(leaf, criticality(ICertificates.Extension.BasicConstraints));
        leaf = leafParts();
        leaf.extensions[EXT_SKI] = extension(hex"551d0e", true, octets("id"));
        refused(leaf, criticality(ICertificates.Extension.SubjectKeyId));
        leaf = leafParts();
        leaf.extensions[EXT_SKI] = tlv(0x30, bytes.concat(hex"0603551d0e010100", octets(octets("id"))));
        refusedAs(leaf, VALUE);
        leaf.extensions[EXT_SKI] = tlv(0x30, bytes.concat(hex"0603551d0e010101", octets(octets("id"))));
        refusedAs(leaf, VALUE);
    }

    function test_key_identifiers_are_not_empty() public {
        CertificateParts memory leaf = leafParts();
        leaf.extensions[EXT_SKI] = subjectKeyId("");
        refusedAs(leaf, ICertificates.EmptyKeyId.selector);
        leaf = leafParts();
        leaf.extensions[EXT_AKI] = authorityKeyId("");
        refusedAs(leaf, ICertificates.EmptyKeyId.selector);
        leaf.extensions[EXT_AKI] = extension(hex"551d23", false, hex"3000");
        refusedAs(leaf, ICertificates.DerTooShort.selector);
    }

    function test_it_signs_data_and_issues_nothing() public {
        CertificateParts memory leaf = leafParts();
        leaf.extensions[EXT_BC] = extension(hex"551d13", true, hex"30030101ff");
        refusedAs(leaf, ICertificates.WrongConstraints.selector);
        leaf.extensions[EXT_BC] = extension(hex"551d13", true, hex"3003010100");
        refusedAs(leaf, VALUE);
        leaf = leafParts();
        leaf.extensions[EXT_KU] = extension(hex"551d0f", true, hex"03020106");
        refusedAs(leaf, ICertificates.WrongKeyUsage.selector);
        leaf.extensions[EXT_KU] = extension(hex"551d0f", true, hex"03020284");
        refusedAs(leaf, ICertificates.WrongKeyUsage.selector);
        leaf.extensions[EXT_KU] = extension(hex"551d0f", true, hex"03020640");
        refusedAs(leaf, ICertificates.WrongKeyUsage.selector);
        bytes[5] memory wrong = [bytes(hex"030205c0"), hex"030207c0", hex"03020600", hex"030306c000", hex"0300"];
        for (uint256 i = 0; i < wrong.length; ++i) {
            leaf.extensions[EXT_KU] = extension(hex"551d0f", true, wrong[i]);
            refusedAs(leaf, VALUE);
        }
        leaf.extensions[EXT_KU] = extension(hex"551d0f", true, hex"030307c080");
        register(encode(partsWith(leaf)));
    }

    function test_its_name_has_parts_and_none_twice() public {
        CertificateParts memory leaf = leafParts();
        leaf.subject = hex"3000";
        refusedAs(leaf, ICertificates.WrongName.selector);
        bytes memory common = part(hex"550403", 0x0c, "a");
        leaf.subject = tlv(0x30, bytes.concat(common, common));
        refusedAs(leaf, ICertificates.WrongName.selector);
        leaf.subject = tlv(0x30, part(hex"550403", 0x1e, "ab"));
        refusedAs(leaf, TAG);
        leaf.subject = tlv(0x30, part(hex"558003", 0x0c, "ab"));
        refusedAs(leaf, VALUE);
        leaf.subject = tlv(0x30, part(hex"5504", 0x0c, "ab"));
        register(encode(partsWith(leaf)));
    }

    function test_object_identifiers_have_one_form() public {
        bytes[4] memory wrong = [bytes(hex"80551d1f"), hex"551d9f", hex"55801f", hex""];
        CertificateParts memory leaf = leafParts();
        for (uint256 i = 0; i < wrong.length; ++i) {
            leaf.extensions[EXT_CRL] = extension(wrong[i], false, hex"3000");
            refusedAs(leaf, VALUE);
        }
        leaf.extensions[EXT_CRL] = extension(new bytes(29), false, hex"3000");
        refusedAs(leaf, VALUE);
        leaf.extensions[EXT_CRL] = extension(hex"5581801f", false, hex"3000");
        register(encode(partsWith(leaf)));
    }

    function test_nothing_is_left_behind_any_end() public {
        CertificateParts memory leaf = leafParts();
        leaf.trailer = hex"0500";
        refusedAs(leaf, LEFT);
        QuoteParts memory parts = validParts();
        parts.certificate = bytes.concat(parts.certificate, hex"00");
        refusedAs(encode(parts), LEFT);
        leaf = leafParts();
        leaf.extensions[EXT_BC] = extension(hex"551d13", true, hex"300000");
        refusedAs(leaf, LEFT);
        leaf = leafParts();
        leaf.extensions[EXT_KU] = extension(hex"551d0f", true, hex"030206c000");
        refusedAs(leaf, LEFT);
        refusedAs(leafWith(bytes.concat(encode(pckParts()), hex"00")), LEFT);
    }

    function test_lengths_have_one_form() public {
        CertificateParts memory leaf = leafParts();
        bytes[5] memory wrong = [bytes(hex"04810161"), hex"0482000161", hex"048000", hex"0483000001", hex"04ff"];
        for (uint256 i = 0; i < wrong.length; ++i) {
            leaf.extensions[EXT_SKI] = extension(hex"551d0e", false, wrong[i]);
            refusedAs(leaf, LENGTH);
        }
        leaf.extensions[EXT_SKI] = extension(hex"551d0e", false, hex"0402aa");
        refusedAs(leaf, ICertificates.DerTooShort.selector);
    }

    function test_it_is_no_larger_than_any() public {
        CertificateParts memory leaf = leafParts();
        leaf.extensions[EXT_CRL] = extension(hex"551d1f", false, new bytes(4000));
        refusedAs(leaf, ICertificates.WrongCertificateLength.selector);
        QuoteParts memory parts = validParts();
        parts.certificate = "";
        refusedAs(encode(parts), ICertificates.DerTooShort.selector);
    }

    function test_its_security_versions_are_the_sixteen_of_cpusvn() public {
        for (uint256 i = 0; i < 16; ++i) {
            PckParts memory pck = pckParts();
            uint256 svn = uint8(CPU_SVN[i]) ^ 1;
            pck.components[i] = integer(svn);
            refused(
                leafWith(encode(pck)),
                abi.encodeWithSelector(ICertificates.WrongComponent.selector, i + 1, svn ^ 1, svn)
            );
        }
    }

    function test_its_numbers_are_in_range_and_in_one_form() public {
        PckParts memory pck = pckParts();
        pck.components[3] = integer(256);
        refusedAs(pck, VALUE);
        pck.components[3] = hex"02020000";
        refusedAs(pck, VALUE);
        pck.components[3] = hex"0201ff";
        refusedAs(pck, VALUE);
        pck = pckParts();
        pck.pceSvn = integer(1 << 16);
        refusedAs(pck, VALUE);
        pck = pckParts();
        pck.sgxType = hex"0a0103";
        refusedAs(pck, VALUE);
        pck.sgxType = hex"020101";
        refusedAs(pck, TAG);
        pck = pckParts();
        pck.configuration[1] = hex"010101";
        refusedAs(pck, VALUE);
    }

    function test_its_strings_are_as_long_as_they_are() public {
        bytes4 length = ICertificates.WrongFieldLength.selector;
        PckParts memory pck = pckParts();
        pck.ppid = octets("fifteen bytes..");
        refusedAs(pck, length);
        pck = pckParts();
        pck.fmspc = octets("seven..");
        refusedAs(pck, length);
        pck = pckParts();
        pck.pceId = octets("");
        refusedAs(pck, length);
        pck = pckParts();
        pck.cpuSvn = octets(new bytes(17));
        refusedAs(pck, length);
        pck = pckParts();
        pck.instance = octets(new bytes(15));
        refusedAs(pck, length);
    }

    function test_its_fields_are_those_of_a_processor_or_a_platform_each_once() public {
        PckParts memory pck = pckParts();
        bytes memory all = bytes.concat(processorFields(pck), platformFields(pck));
        bytes4 fields = ICertificates.WrongFields.selector;
        refusedAs(leafWith(tlv(0x30, bytes.concat(processorFields(pck), field(hex"06", pck.instance)))), fields);
        refusedAs(leafWith(tlv(0x30, platformFields(pck))), fields);
        refusedAs(leafWith(hex"3000"), fields);
        bytes memory twice = bytes.concat(all, field(hex"04", pck.fmspc));
        refusedAs(leafWith(tlv(0x30, twice)), ICertificates.DuplicateField.selector);
        bytes memory unknown = bytes.concat(all, field(hex"08", pck.fmspc));
        refusedAs(leafWith(tlv(0x30, unknown)), ICertificates.UnknownField.selector);
        refusedAs(leafWith(tlv(0x30, bytes.concat(all, hex"3000"))), ICertificates.UnknownField.selector);
    }

    function test_its_security_versions_are_all_there_each_once() public {
        PckParts memory pck = pckParts();
        bytes memory tcb_ = tcbFields(pck);
        refusedAs(
            withTcb(pck, bytes.concat(tcb_, field(hex"0201", integer(11)))), ICertificates.DuplicateField.selector
        );
        refusedAs(
            withTcb(pck, bytes.concat(tcb_, field(hex"0203", integer(255)))), ICertificates.DuplicateField.selector
        );
        refusedAs(withTcb(pck, bytes.concat(tcb_, field(hex"0213", integer(1)))), ICertificates.UnknownField.selector);
        refusedAs(withTcb(pck, bytes.concat(tcb_, field(hex"0200", integer(1)))), ICertificates.UnknownField.selector);
        refusedAs(withTcb(pck, field(hex"0201", integer(1))), ICertificates.WrongFields.selector);
    }

    function test_a_processors_certificate_has_five_fields_in_any_order() public {
        PckParts memory pck = pckParts();
        bytes memory fields = bytes.concat(
            field(hex"05", pck.sgxType),
            field(hex"04", pck.fmspc),
            field(hex"02", tlv(0x30, bytes.concat(field(hex"0212", pck.cpuSvn), tcbFieldsWithoutCpuSvn(pck)))),
            field(hex"03", pck.pceId),
            field(hex"01", pck.ppid)
        );
        register(encode(partsWith(leafWith(tlv(0x30, fields)))));
    }

    function test_other_security_versions_are_another_row() public {
        PckParts memory pck = pckParts();
        pck.pceSvn = integer(PCE_SVN - 1);
        Tcb memory row = tcb(TCB_EXPIRY);
        row.pceSvn = PCE_SVN - 1;
        refused(leafWith(encode(pck)), abi.encodeWithSelector(IPlatformTrust.TcbNotAccepted.selector, tcbId(row)));
        pass(IConsortium.Action.AcceptTcb, tcbId(row), abi.encode(row));
        register(encode(partsWith(leafWith(encode(pck)))));
    }

    function test_a_revoked_one_registers_nothing() public {
        revokeCertificate(authorityId(), SERIAL);
        refused(leafParts(), abi.encodeWithSelector(IPlatformTrust.IsRevoked.selector, certificateId()));
    }

    function withTcb(PckParts memory pck, bytes memory fields) internal pure returns (CertificateParts memory) {
        bytes memory all = bytes.concat(
            field(hex"01", pck.ppid),
            field(hex"02", tlv(0x30, fields)),
            field(hex"03", pck.pceId),
            field(hex"04", pck.fmspc),
            field(hex"05", pck.sgxType)
        );
        return leafWith(tlv(0x30, all));
    }

    function tcbFieldsWithoutCpuSvn(PckParts memory pck) internal pure returns (bytes memory fields) {
        for (uint256 i = 16; i > 0; --i) {
            fields = bytes.concat(fields, field(abi.encodePacked(hex"02", uint8(i)), pck.components[i - 1]));
        }
        return bytes.concat(field(hex"0211", pck.pceSvn), fields);
    }

    function criticality(ICertificates.Extension extension_) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(ICertificates.WrongCriticality.selector, extension_);
    }
}
