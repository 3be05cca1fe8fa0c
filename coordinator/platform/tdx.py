"""The simulated platform in the shape of TDX: the same enclave, quoted as a trust domain.

Responsible for: the bytes of a TDX quote v4 about what this platform measured, marked SIMULATED.
Must not know:   who asks, and how the measurement came about.

A trust domain has a machine of its own, which the simulation does not: the process is the same, only what is said of
it has the other shape.  Nothing extends the run-time registers, so they are zero.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

from coordinator.platform.pki import Pki
from coordinator.platform.quoting import USER_DATA, signed_quote
from protocol.attestation.layouts import (
    INTEL_QE_VENDOR_ID,
    KEY_TYPE_ECDSA_P256,
    TD_SEPT_VE_DISABLE,
    TEE_TDX,
    QuoteHeader,
    TdReport,
)
from protocol.attestation.reports import TD_QE_PRODUCT

QUOTE_VERSION = 4

MODULE_SVN, MODULE_MAJOR = 1, 1
TEE_TCB_SVN = bytes([MODULE_SVN, MODULE_MAJOR]).ljust(16, b"\0")
"""Security version of the module, of which TCB info has an identity TDX_01; all else of the platform is zero."""
MODULE_MEASUREMENT = hashlib.sha384(b"simulated tdx module").digest()

TD_ATTRIBUTES = TD_SEPT_VE_DISABLE
"""DEBUG clear: the simulation has no debug domains."""
TD_XFAM = 0xE7
"""x87, SSE, AVX and AVX-512 state."""

PADDING_BYTES = 70
"""Zero bytes behind the signature data, as genuine quotes have them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedTdAttester:
    """An `Attester` for one enclave, as a trust domain, that the platform has measured and started."""

    pki: Pki
    attestation_key: ec.EllipticCurvePrivateKey
    """Of the quoting enclave for TDX."""
    measurement: bytes
    """MRTD; 48 bytes."""

    def quote(self, report_data: bytes) -> bytes:
        """A TDX quote v4 that binds the 64 bytes to that domain.  Raises LengthError."""
        header = QuoteHeader(
            version=QUOTE_VERSION,
            key_type=KEY_TYPE_ECDSA_P256,
            key_data=TEE_TDX,
            qe_svn=0,
            pce_svn=0,
            qe_vendor_id=INTEL_QE_VENDOR_ID,
            user_data=USER_DATA,
        )
        body = TdReport(
            tee_tcb_svn=TEE_TCB_SVN,
            mrseam=MODULE_MEASUREMENT,
            td_attributes=TD_ATTRIBUTES,
            xfam=TD_XFAM,
            mrtd=self.measurement,
            report_data=report_data,
        )
        return signed_quote(
            header,
            body,
            pki=self.pki,
            attestation_key=self.attestation_key,
            qe_product=TD_QE_PRODUCT,
            padding=PADDING_BYTES,
        )
