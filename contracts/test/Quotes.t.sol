// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICertificates} from "../src/interfaces/ICertificates.sol";
import {IEnclaves} from "../src/interfaces/IEnclaves.sol";
import {Registration} from "./Registration.sol";

/// @title Quotes: one thing wrong, all else signed anew
contract QuotesTest is Registration {
    bytes16 internal constant SET = 0x01000000000000000300000000000000; // INIT, x87 and SSE

    function test_the_header_is_that_of_an_ecdsa_quote_v3() public {
        QuoteParts memory parts = validParts();
        parts.header[0] = 0x04;
        refused(encode(parts), abi.encodeWithSelector(IEnclaves.WrongVersion.selector, uint16(3), uint16(4)));
        parts.header[0] = 0x03;
        parts.header[1] = 0x01;
        refused(encode(parts), abi.encodeWithSelector(IEnclaves.WrongVersion.selector, uint16(3), uint16(0x0103)));
        parts.header[1] = 0x00;
        parts.header[2] = 0x03;
        refused(encode(parts), abi.encodeWithSelector(IEnclaves.WrongKeyType.selector, uint16(2), uint16(3)));
        parts.header[2] = 0x02;
        parts.header[4] = 0x81;
        refused(encode(parts), abi.encodeWithSelector(IEnclaves.ReservedNotZero.selector, 4));
        parts.header[4] = 0x00;
        parts.header[12] = 0x00;
        refusedAs(encode(parts), IEnclaves.WrongVendor.selector);
    }

    function test_every_length_is_exact() public {
        bytes memory quote = encode(validParts());
        bytes4 length = IEnclaves.WrongQuoteLength.selector;
        for (uint256 at = 432; at < 436; ++at) {
            quote[at] ^= 0x01;
            refusedAs(quote, length);
            quote[at] ^= 0x01;
        }
        for (uint256 i = 0; i < 4; ++i) {
            quote[1048 + i] ^= 0x01; // of the certificate
            refusedAs(quote, length);
            quote[1048 + i] ^= 0x01;
        }
        quote[1013] = 0xff; // of the authentication data
        refusedAs(quote, length);
        refused("", abi.encodeWithSelector(length, 1020, 0));
        refused(new bytes(1019), abi.encodeWithSelector(length, 1020, 1019));
        refused(new bytes(16_385), abi.encodeWithSelector(length, 16_384, 16_385));
    }

    function test_nothing_stands_behind_the_certificate() public {
        QuoteParts memory parts = validParts();
        parts.trailer = hex"00";
        refusedAs(encode(parts), IEnclaves.WrongQuoteLength.selector);
    }

    function test_the_certification_data_is_the_certificate_and_no_chain() public {
        QuoteParts memory parts = validParts();
        parts.kind = 5;
        refused(encode(parts), abi.encodeWithSelector(IEnclaves.WrongCertification.selector, uint16(4), uint16(5)));
    }

    function test_authentication_data_of_any_length_is_bound() public {
        QuoteParts memory parts = validParts();
        parts.auth = "other data";
        refusedAs(encode(parts), IEnclaves.WrongBinding.selector);
        parts.qeReport = qeReport(parts.auth);
        register(encode(parts));
    }

    function test_no_authentication_data_is_bound_too() public {
        QuoteParts memory parts = validParts();
        parts.auth = "";
        parts.qeReport = qeReport("");
        register(encode(parts));
    }

    function test_the_attestation_key_is_the_one_that_the_quoting_enclave_has() public {
        QuoteParts memory parts = validParts();
        parts.attestationKey = PLATFORM_KEY;
        refusedAs(encode(parts), IEnclaves.WrongBinding.selector);
        parts = validParts();
        parts.qeReport[383] = 0x01;
        refusedAs(encode(parts), IEnclaves.WrongBinding.selector);
    }

    function test_both_signatures_are_looked_at() public {
        QuoteParts memory parts = validParts();
        parts.platformKey = AUTHORITY_KEY;
        refused(encode(parts), wrong(ICertificates.Signed.QeReport));
        bytes memory quote = encode(validParts());
        for (uint256 i = 0; i < 64; ++i) {
            quote[436 + i] = 0;
        }
        refused(quote, wrong(ICertificates.Signed.Quote));
    }

    function test_a_signature_with_high_s_is_one_and_registers_no_second_enclave() public {
        bytes memory quote = encode(validParts());
        uint256 n = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551;
        bytes memory twin = bytes.concat(quote);
        uint256 s = 0;
        for (uint256 i = 0; i < 32; ++i) {
            s = (s << 8) | uint8(quote[468 + i]);
        }
        s = n - s;
        for (uint256 i = 0; i < 32; ++i) {
            twin[468 + i] = bytes1(uint8(s >> (248 - 8 * i)));
        }
        register(twin);
        refusedAs(quote, IEnclaves.SignerUsed.selector);
    }

    function testFuzz_attributes_debug_launch_keys_and_reserved_bits_are_refused(uint64 flags, uint64 state) public {
        QuoteParts memory parts = validParts();
        bytes16 attributes = bytes16(abi.encodePacked(flags | 0x0100000000000000, state));
        setAttributes(parts.body, attributes);
        bytes16 judged = attributes & 0x3bfbffffffffffff0300f0ffffffffff;
        if (judged == SET) register(encode(parts));
        else refused(encode(parts), abi.encodeWithSelector(IEnclaves.WrongAttributes.selector, SET, judged));
    }

    function test_every_judged_bit_of_both_reports_attributes_is_looked_at() public {
        for (uint256 bit = 0; bit < 128; ++bit) {
            bytes16 mask = bytes16(uint128(1) << uint128(127 - bit));
            QuoteParts memory parts = validParts();
            bool isJudged = mask & 0x3bfbffffffffffff0300f0ffffffffff != 0;
            setAttributes(parts.body, attributesOf(parts.body) ^ mask);
            if (isJudged) refusedAs(encode(parts), IEnclaves.WrongAttributes.selector);
            parts = validParts();
            setAttributes(parts.qeReport, attributesOf(parts.qeReport) ^ mask);
            isJudged = mask & 0x0bfbffffffffffff0300f0ffffffffff != 0;
            if (isJudged) refusedAs(encode(parts), IEnclaves.WrongAttributes.selector);
        }
    }

    function test_every_reserved_byte_of_both_reports_is_zero() public {
        for (uint256 at = 0; at < 304; ++at) {
            bool isReserved = (at >= 20 && at < 32) || (at >= 96 && at < 128) || (at >= 160 && at < 192) || at >= 262;
            if (!isReserved) continue;
            QuoteParts memory parts = validParts();
            parts.body[at] = 0x01;
            refused(encode(parts), abi.encodeWithSelector(IEnclaves.ReservedNotZero.selector, 48));
            parts = validParts();
            parts.qeReport[at] = 0x80;
            refused(encode(parts), abi.encodeWithSelector(IEnclaves.ReservedNotZero.selector, 564));
        }
    }

    function test_what_key_separation_uses_is_not_reserved() public {
        QuoteParts memory parts = validParts();
        (parts.body[32], parts.body[47], parts.body[192], parts.body[255]) = (0x01, 0x01, 0x01, 0x01);
        (parts.body[260], parts.body[304], parts.body[319]) = (0x01, 0x01, 0x01);
        register(encode(parts));
    }

    function test_the_quoting_enclave_is_the_one_that_was_voted_for() public {
        QuoteParts memory parts = validParts();
        parts.qeReport[128] ^= 0x01;
        refusedAs(encode(parts), IEnclaves.WrongQeSigner.selector);
        parts = validParts();
        parts.qeReport[256] = 0x02;
        refused(encode(parts), abi.encodeWithSelector(IEnclaves.WrongQeProduct.selector, uint16(1), uint16(2)));
        parts = validParts();
        parts.qeReport[258] = 0x07;
        refused(encode(parts), abi.encodeWithSelector(IEnclaves.QeTooOld.selector, uint16(8), uint16(7)));
        parts = validParts();
        parts.qeReport[16] = 0x01;
        refused(encode(parts), abi.encodeWithSelector(IEnclaves.WrongQeMiscSelect.selector, uint32(0), uint32(1)));
        parts = validParts();
        parts.qeReport[48] = 0x05; // without the key that makes it one
        refusedAs(encode(parts), IEnclaves.WrongQeAttributes.selector);
        parts = validParts();
        parts.qeReport[259] = 0x01; // a newer one
        register(encode(parts));
    }

    function test_the_measurement_is_one_that_was_voted_for() public {
        QuoteParts memory parts = validParts();
        parts.body[64] ^= 0x01;
        refused(
            encode(parts),
            abi.encodeWithSelector(IEnclaves.MeasurementNotAllowed.selector, MEASUREMENT ^ bytes32(bytes1(0x01)))
        );
    }

    function testFuzz_a_quote_with_any_bit_changed_is_refused_by_name(uint256 at, uint256 bit) public {
        bytes memory quote = encode(validParts());
        quote[at % quote.length] ^= bytes1(uint8(1 << (bit % 8)));
        refusedByName(quote);
    }

    function testFuzz_a_quote_cut_anywhere_is_refused_by_name(uint256 at) public {
        bytes memory quote = encode(validParts());
        bytes memory head = new bytes(at % quote.length);
        for (uint256 i = 0; i < head.length; ++i) {
            head[i] = quote[i];
        }
        refusedByName(head);
    }

    /// @dev Anything for a certificate, its lengths right.
    function testFuzz_any_certificate_is_refused_by_name(bytes memory certificate) public {
        QuoteParts memory parts = validParts();
        parts.certificate = certificate;
        refusedByName(encode(parts));
        parts.certificate = tlv(0x30, tlv(0x30, bytes.concat(hex"a003020102", certificate)));
        refusedByName(encode(parts));
    }

    /// @dev The certificate with any byte set, signed by nobody: the reader goes wherever it is led.
    function testFuzz_a_certificate_with_any_byte_set_is_refused_by_name(uint256 at, uint8 value) public {
        QuoteParts memory parts = validParts();
        at %= parts.certificate.length;
        vm.assume(parts.certificate[at] != bytes1(value));
        parts.certificate[at] = bytes1(value);
        refusedByName(encode(parts));
    }

    function refusedByName(bytes memory quote) internal {
        bytes memory input = abi.encodeCall(enclaves.register, (quote, claims, hpkeKey, authorityId(), nonceBlock));
        vm.prank(coordinator);
        (bool success, bytes memory error) = address(enclaves).call(input);
        so("refused", !success);
        so("named", error.length >= 4);
        so("no panic", bytes4(error) != 0x4e487b71);
    }

    function setAttributes(bytes memory report_, bytes16 attributes) internal pure {
        for (uint256 i = 0; i < 16; ++i) {
            report_[48 + i] = attributes[i];
        }
    }

    function attributesOf(bytes memory report_) internal pure returns (bytes16 attributes) {
        for (uint256 i = 0; i < 16; ++i) {
            attributes |= bytes16(report_[48 + i]) >> (8 * i);
        }
    }

    function wrong(ICertificates.Signed what) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(ICertificates.WrongSignature.selector, what);
    }
}
