// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Authority, QeIdentity, RootKind, Tcb, TcbStatus} from "../src/interfaces/IPlatformTrust.sol";
import {Check} from "./Check.sol";

/// @title Valid evidence in parts: a test changes one part, what stands above it is signed anew
abstract contract Evidence is Check {
    /// @dev Everything that a certificate is made of; `key` signs it.
    struct CertificateParts {
        bytes version;
        bytes serial;
        bytes algorithm;
        bytes issuer;
        bytes notBefore;
        bytes notAfter;
        bytes subject;
        bytes publicKey;
        bytes[] extensions;
        bytes trailer; // inside the signed part
        bytes outerAlgorithm;
        uint256 key;
    }

    /// @dev The values in Intel's extension, each DER.
    struct PckParts {
        bytes ppid;
        bytes[16] components;
        bytes pceSvn;
        bytes cpuSvn;
        bytes pceId;
        bytes fmspc;
        bytes sgxType;
        bytes instance;
        bytes[3] configuration;
    }

    /// @dev Everything that a quote is made of; the two keys sign it.
    struct QuoteParts {
        bytes header;
        bytes body;
        uint256 attestationKey;
        bytes qeReport;
        uint256 platformKey;
        bytes auth;
        uint16 kind;
        bytes certificate;
        bytes trailer;
    }

    uint256 internal constant ROOT_KEY = 0x0700;
    uint256 internal constant AUTHORITY_KEY = 0x0701;
    uint256 internal constant PLATFORM_KEY = 0x0702;
    uint256 internal constant ATTESTATION_KEY = 0x0703;

    bytes32 internal constant MEASUREMENT = keccak256("enclave code");
    bytes32 internal constant QE_SIGNER = sha256("simulated qe");
    uint256 internal constant SERIAL = 0x00123456789abcdef0123456789abcdef012345678;
    bytes16 internal constant CPU_SVN = 0x0b0bffff000000000001000000000080;
    bytes6 internal constant FMSPC = 0x0053494d0000;
    bytes2 internal constant PCE_ID = 0x0000;
    uint16 internal constant PCE_SVN = 300;
    bytes internal constant ECDSA_WITH_SHA256 = hex"300a06082a8648ce3d040302";
    bytes internal constant LEAF_END = "330101000000Z"; // 1988150400
    uint64 internal constant LEAF_END_S = 1_988_150_400;
    bytes internal constant OID_SGX = hex"2a864886f84d010d01";

    // Positions of a leaf's extensions.
    uint256 internal constant EXT_AKI = 0;
    uint256 internal constant EXT_CRL = 1;
    uint256 internal constant EXT_SKI = 2;
    uint256 internal constant EXT_KU = 3;
    uint256 internal constant EXT_BC = 4;
    uint256 internal constant EXT_SGX = 5;

    function authorityId() internal pure returns (bytes32) {
        return sha256(publicKey(AUTHORITY_KEY));
    }

    function rootId() internal pure returns (bytes32) {
        return sha256(publicKey(ROOT_KEY));
    }

    function certificateId() internal pure returns (bytes32) {
        return keccak256(abi.encode(authorityId(), SERIAL));
    }

    function authority() internal pure returns (Authority memory) {
        return Authority({
            kind: RootKind.Simulated,
            root: rootId(),
            certificate: encode(authorityParts()),
            rootCertificate: encode(rootParts()),
            qe: QeIdentity({
                mrsigner: QE_SIGNER,
                product: 1,
                svn: 8,
                miscSelect: 0,
                miscSelectMask: type(uint32).max,
                attributes: 0x11000000000000000000000000000000,
                attributesMask: 0xfbffffffffffffff0000000000000000
            })
        });
    }

    function tcb(uint64 expiry) internal pure returns (Tcb memory) {
        return Tcb({
            authority: authorityId(),
            fmspc: FMSPC,
            pceId: PCE_ID,
            cpuSvn: CPU_SVN,
            pceSvn: PCE_SVN,
            status: TcbStatus.SWHardeningNeeded,
            expiry: expiry,
            collateral: keccak256("collateral")
        });
    }

    function tcbId(Tcb memory value) internal pure returns (bytes32) {
        return keccak256(abi.encode(value.authority, value.fmspc, value.pceId, value.cpuSvn, value.pceSvn));
    }

    function rootParts() internal pure returns (CertificateParts memory parts) {
        parts = caParts(name("SIMULATED SGX Root CA"), name("SIMULATED SGX Root CA"), ROOT_KEY, ROOT_KEY, 1);
        parts.notAfter = utc("491231235959Z");
    }

    function authorityParts() internal pure returns (CertificateParts memory) {
        bytes memory issuer = name("SIMULATED SGX Root CA");
        return caParts(name("SIMULATED SGX PCK Platform CA"), issuer, AUTHORITY_KEY, ROOT_KEY, 0);
    }

    function caParts(bytes memory subject, bytes memory issuer, uint256 key, uint256 issuerKey, uint256 pathLength)
        internal
        pure
        returns (CertificateParts memory parts)
    {
        parts = commonParts(subject, issuer, key, issuerKey);
        parts.notAfter = utc("400101000000Z");
        parts.extensions = new bytes[](5);
        parts.extensions[EXT_AKI] = authorityKeyId(keyId(issuerKey));
        parts.extensions[EXT_CRL] = extension(hex"551d1f", false, hex"3000");
        parts.extensions[EXT_SKI] = subjectKeyId(keyId(key));
        parts.extensions[EXT_KU] = extension(hex"551d0f", true, hex"03020106");
        bytes memory constraints = tlv(0x30, bytes.concat(hex"0101ff", integer(pathLength)));
        parts.extensions[EXT_BC] = extension(hex"551d13", true, constraints);
    }

    function leafParts() internal pure returns (CertificateParts memory parts) {
        bytes memory subject = name("SIMULATED SGX PCK Certificate");
        parts = commonParts(subject, name("SIMULATED SGX PCK Platform CA"), PLATFORM_KEY, AUTHORITY_KEY);
        parts.notAfter = utc(LEAF_END);
        parts.extensions = new bytes[](6);
        parts.extensions[EXT_AKI] = authorityKeyId(keyId(AUTHORITY_KEY));
        parts.extensions[EXT_CRL] = extension(
            hex"551d1f", false, tlv(0x30, bytes.concat(hex"300006", hex"01aa", "https://simulated.invalid/pck.crl"))
        );
        parts.extensions[EXT_SKI] = subjectKeyId(keyId(PLATFORM_KEY));
        parts.extensions[EXT_KU] = extension(hex"551d0f", true, hex"030206c0");
        parts.extensions[EXT_BC] = extension(hex"551d13", true, hex"3000");
        parts.extensions[EXT_SGX] = extension(OID_SGX, false, encode(pckParts()));
    }

    function commonParts(bytes memory subject, bytes memory issuer, uint256 key, uint256 issuerKey)
        internal
        pure
        returns (CertificateParts memory parts)
    {
        parts.version = hex"a003020102";
        parts.serial = integer(SERIAL);
        parts.algorithm = ECDSA_WITH_SHA256;
        parts.issuer = issuer;
        parts.notBefore = utc("260101000000Z");
        parts.subject = subject;
        parts.publicKey = bytes.concat(hex"3059301306072a8648ce3d020106082a8648ce3d03010703420004", publicKey(key));
        parts.outerAlgorithm = ECDSA_WITH_SHA256;
        parts.key = issuerKey;
    }

    function pckParts() internal pure returns (PckParts memory parts) {
        parts.ppid = octets("SIMULATED-PPID00");
        for (uint256 i = 0; i < 16; ++i) {
            parts.components[i] = integer(uint8(CPU_SVN[i]));
        }
        parts.pceSvn = integer(PCE_SVN);
        parts.cpuSvn = octets(abi.encodePacked(CPU_SVN));
        parts.pceId = octets(abi.encodePacked(PCE_ID));
        parts.fmspc = octets(abi.encodePacked(FMSPC));
        parts.sgxType = hex"0a0101";
        parts.instance = octets("SIMULATED-PLATFO");
        parts.configuration = [bytes(hex"0101ff"), hex"010100", hex"010100"];
    }

    function encode(CertificateParts memory parts) internal pure returns (bytes memory) {
        bytes memory head = bytes.concat(
            parts.version,
            parts.serial,
            parts.algorithm,
            parts.issuer,
            tlv(0x30, bytes.concat(parts.notBefore, parts.notAfter)),
            parts.subject
        );
        bytes memory tail = tlv(0xa3, tlv(0x30, joined(parts.extensions)));
        bytes memory signed = tlv(0x30, bytes.concat(head, parts.publicKey, tail, parts.trailer));
        return certified(signed, parts.outerAlgorithm, parts.key);
    }

    function certified(bytes memory signed, bytes memory algorithm, uint256 key) internal pure returns (bytes memory) {
        (bytes32 r, bytes32 s) = vm.signP256(key, sha256(signed));
        bytes memory numbers = tlv(0x30, bytes.concat(integer(uint256(r)), integer(uint256(s))));
        return tlv(0x30, bytes.concat(signed, algorithm, tlv(0x03, bytes.concat(hex"00", numbers))));
    }

    function encode(PckParts memory parts) internal pure returns (bytes memory) {
        return tlv(0x30, bytes.concat(processorFields(parts), platformFields(parts)));
    }

    function processorFields(PckParts memory parts) internal pure returns (bytes memory) {
        return bytes.concat(
            field(hex"01", parts.ppid),
            field(hex"02", tlv(0x30, tcbFields(parts))),
            field(hex"03", parts.pceId),
            field(hex"04", parts.fmspc),
            field(hex"05", parts.sgxType)
        );
    }

    function tcbFields(PckParts memory parts) internal pure returns (bytes memory fields) {
        for (uint256 i = 0; i < 16; ++i) {
            fields = bytes.concat(fields, field(abi.encodePacked(hex"02", uint8(i + 1)), parts.components[i]));
        }
        return bytes.concat(fields, field(hex"0211", parts.pceSvn), field(hex"0212", parts.cpuSvn));
    }

    function platformFields(PckParts memory parts) internal pure returns (bytes memory) {
        bytes memory configuration = bytes.concat(
            field(hex"0701", parts.configuration[0]),
            field(hex"0702", parts.configuration[1]),
            field(hex"0703", parts.configuration[2])
        );
        return bytes.concat(field(hex"06", parts.instance), field(hex"07", tlv(0x30, configuration)));
    }

    function quoteParts(bytes memory reportData) internal pure returns (QuoteParts memory parts) {
        parts.header = abi.encodePacked(
            bytes4(0x03000200),
            bytes4(0),
            bytes4(0x08000d00),
            bytes16(0x939a7233f79c4ca9940a0db3957f0607),
            bytes20("SIMULATED-TEE-QE")
        );
        parts.body = report(0x0500000000000000e700000000000000, MEASUREMENT, 0, reportData);
        parts.attestationKey = ATTESTATION_KEY;
        parts.platformKey = PLATFORM_KEY;
        parts.auth = "SIMULATED: SAYS NOTHING ABOUT HW";
        parts.qeReport = qeReport(parts.auth);
        parts.kind = 4;
        parts.certificate = encode(leafParts());
    }

    function qeReport(bytes memory auth) internal pure returns (bytes memory data) {
        bytes32 binding = sha256(bytes.concat(publicKey(ATTESTATION_KEY), auth));
        data = report(0x1500000000000000e700000000000000, keccak256("qe"), QE_SIGNER, abi.encode(binding, 0));
        (data[256], data[258]) = (0x01, 0x08); // product and security version
    }

    function report(bytes16 attributes, bytes32 measurement, bytes32 signer, bytes memory data)
        internal
        pure
        returns (bytes memory)
    {
        bytes memory head = abi.encodePacked(CPU_SVN, new bytes(32), attributes, measurement, new bytes(32));
        return abi.encodePacked(head, signer, new bytes(160), data);
    }

    function encode(QuoteParts memory parts) internal pure returns (bytes memory) {
        bytes memory signed = bytes.concat(parts.header, parts.body);
        bytes memory tail = bytes.concat(
            signature(parts.attestationKey, signed),
            publicKey(parts.attestationKey),
            parts.qeReport,
            signature(parts.platformKey, parts.qeReport),
            little(parts.auth.length, 2),
            parts.auth
        );
        tail = bytes.concat(tail, little(parts.kind, 2), little(parts.certificate.length, 4), parts.certificate);
        return bytes.concat(signed, little(tail.length, 4), tail, parts.trailer);
    }

    function signature(uint256 key, bytes memory data) internal pure returns (bytes memory) {
        (bytes32 r, bytes32 s) = vm.signP256(key, sha256(data));
        return abi.encode(r, s);
    }

    function publicKey(uint256 key) internal pure returns (bytes memory) {
        (uint256 x, uint256 y) = vm.publicKeyP256(key);
        return abi.encode(x, y);
    }

    function keyId(uint256 key) internal pure returns (bytes memory) {
        return abi.encodePacked(bytes20(sha256(publicKey(key))));
    }

    function name(string memory commonName) internal pure returns (bytes memory) {
        bytes memory parts =
            bytes.concat(part(hex"550403", 0x0c, bytes(commonName)), part(hex"55040a", 0x0c, "SIMULATED - NOT INTEL"));
        return tlv(0x30, bytes.concat(parts, part(hex"550406", 0x13, "ZZ")));
    }

    function part(bytes memory oid, uint8 tag, bytes memory text) internal pure returns (bytes memory) {
        return tlv(0x31, tlv(0x30, bytes.concat(tlv(0x06, oid), tlv(tag, text))));
    }

    function extension(bytes memory oid, bool isCritical, bytes memory content) internal pure returns (bytes memory) {
        bytes memory mark = isCritical ? bytes(hex"0101ff") : bytes("");
        return tlv(0x30, bytes.concat(tlv(0x06, oid), mark, octets(content)));
    }

    function authorityKeyId(bytes memory id) internal pure returns (bytes memory) {
        return extension(hex"551d23", false, tlv(0x30, tlv(0x80, id)));
    }

    function subjectKeyId(bytes memory id) internal pure returns (bytes memory) {
        return extension(hex"551d0e", false, octets(id));
    }

    /// @dev A pair in Intel's extension; `suffix` continues the extension's own identifier.
    function field(bytes memory suffix, bytes memory value) internal pure returns (bytes memory) {
        return tlv(0x30, bytes.concat(tlv(0x06, bytes.concat(OID_SGX, suffix)), value));
    }

    function octets(bytes memory content) internal pure returns (bytes memory) {
        return tlv(0x04, content);
    }

    function utc(bytes memory text) internal pure returns (bytes memory) {
        return tlv(0x17, text);
    }

    /// @dev In as few bytes as it takes, with a zero where the first would be a sign.
    function integer(uint256 value) internal pure returns (bytes memory) {
        bytes memory content = "";
        do {
            content = abi.encodePacked(uint8(value), content);
            value >>= 8;
        } while (value != 0);
        if (uint8(content[0]) >= 0x80) content = bytes.concat(hex"00", content);
        return tlv(0x02, content);
    }

    function tlv(uint8 tag, bytes memory content) internal pure returns (bytes memory) {
        uint256 length = content.length;
        if (length < 0x80) return abi.encodePacked(tag, uint8(length), content);
        if (length < 0x100) return abi.encodePacked(tag, hex"81", uint8(length), content);
        return abi.encodePacked(tag, hex"82", uint16(length), content);
    }

    function little(uint256 value, uint256 length) internal pure returns (bytes memory data) {
        for (uint256 i = 0; i < length; ++i) {
            data = abi.encodePacked(data, uint8(value >> (8 * i)));
        }
    }

    function joined(bytes[] memory list) internal pure returns (bytes memory data) {
        for (uint256 i = 0; i < list.length; ++i) {
            data = bytes.concat(data, list[i]);
        }
    }
}
