"""The quoting enclaves of the simulated platform: report data in, a quote in Intel's wire format out.

Responsible for: the bytes of a quote about an enclave that this platform measured, marked SIMULATED.  TDX: `tdx.py`.
Must not know:   who asks: the caller has measured and started the enclave and knows it by its socket.

Marked in the names of the chain, the header's user data, the QE's authentication data, the QE's signer and the FMSPC.
The QE vendor id stays Intel's, because verifiers refuse others.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from coordinator.platform.pki import CPU_SVN, PCE_SVN, Pki, public_bytes
from protocol.attestation.quote import (
    FLAG_INIT,
    FLAG_MODE64,
    FLAG_PROVISION_KEY,
    INTEL_QE_VENDOR_ID,
    KEY_TYPE_ECDSA_P256,
    SIGNATURE_BYTES,
    VERSION,
    Quote,
    QuoteHeader,
    ReportBody,
    TdReport,
)
from protocol.attestation.reports import QE_PRODUCT, SIMULATED_QE_SIGNER
from protocol.hashing import sha256

USER_DATA = b"SIMULATED-TEE-QE".ljust(20, b"\0")
QE_AUTH = b"SIMULATED: SAYS NOTHING ABOUT HW"
"""32 bytes, as long as in genuine quotes."""
QE_MEASUREMENT = sha256(b"simulated qe code")
QE_SVN = 1
"""Of every quoting enclave here."""

ENCLAVE_FLAGS = FLAG_INIT | FLAG_MODE64
"""DEBUG clear: the simulation has no debug enclaves."""
ENCLAVE_XFRM = 0xE7
"""x87, SSE, AVX and AVX-512 state."""
ENCLAVE_SIGNER = bytes(32)
"""Nobody signs the simulated enclave: it is known by its measurement alone."""
ENCLAVE_PRODUCT = 0
ENCLAVE_SVN = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedAttester:
    """An `Attester` for one enclave that the platform has measured and started."""

    pki: Pki
    attestation_key: ec.EllipticCurvePrivateKey
    measurement: bytes
    """MRENCLAVE of that enclave; 32 bytes."""

    def quote(self, report_data: bytes) -> bytes:
        """An SGX quote v3 that binds the 64 bytes to that enclave.  Raises LengthError."""
        header = QuoteHeader(
            version=VERSION,
            key_type=KEY_TYPE_ECDSA_P256,
            key_data=0,
            qe_svn=QE_SVN,
            pce_svn=PCE_SVN,
            qe_vendor_id=INTEL_QE_VENDOR_ID,
            user_data=USER_DATA,
        )
        body = ReportBody(
            cpu_svn=CPU_SVN,
            misc_select=0,
            flags=ENCLAVE_FLAGS,
            xfrm=ENCLAVE_XFRM,
            mrenclave=self.measurement,
            mrsigner=ENCLAVE_SIGNER,
            isv_prod_id=ENCLAVE_PRODUCT,
            isv_svn=ENCLAVE_SVN,
            report_data=report_data,
        )
        return signed_quote(header, body, pki=self.pki, attestation_key=self.attestation_key, qe_product=QE_PRODUCT)


def signed_quote(
    header: QuoteHeader,
    body: ReportBody | TdReport,
    *,
    pki: Pki,
    attestation_key: ec.EllipticCurvePrivateKey,
    qe_product: int,
    padding: int = 0,
) -> bytes:
    """A quote with that header and body: signed by the attestation key, which a QE and the PCK vouch for.

    qe_product: ISVPRODID of the QE that holds the attestation key.
    padding:    zero bytes behind the end.
    """
    public_key = public_bytes(attestation_key)
    qe_report = ReportBody(
        cpu_svn=CPU_SVN,
        misc_select=0,
        flags=FLAG_INIT | FLAG_MODE64 | FLAG_PROVISION_KEY,
        xfrm=ENCLAVE_XFRM,
        mrenclave=QE_MEASUREMENT,
        mrsigner=SIMULATED_QE_SIGNER,
        isv_prod_id=qe_product,
        isv_svn=QE_SVN,
        report_data=sha256(public_key, QE_AUTH) + bytes(32),
    )
    return Quote(
        header=header,
        body=body,
        signature=sign_p256(attestation_key, header.encode() + body.encode()),
        attestation_key=public_key,
        qe_report=qe_report,
        qe_report_signature=sign_p256(pki.leaf_key, qe_report.encode()),
        qe_auth=QE_AUTH,
        certificates=pki.chain,
        padding=padding,
    ).encode()


def sign_p256(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    """ECDSA with SHA-256: r || s, 64 bytes."""
    r, s = utils.decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(SIGNATURE_BYTES // 2) + s.to_bytes(SIGNATURE_BYTES // 2)
