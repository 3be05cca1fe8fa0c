"""Members' complaints that a proposed result's data can't be had, in files that they hand to whoever posts them.

Responsible for: the envelope of one signed complaint; who signed it.
Must not know:   who is a member, how many it takes, or what a chain says.

Spec: docs/protocol.md section 7.  Example (the numbers are CBOR's):

    A2                     map of 2
      69 "signature"         58 41 (65 bytes r || s || v)
      6B "unavailable"       A3 (map of the message: round, result, federation)
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.encoding import Fields, decode, encode
from protocol.errors import LengthError
from protocol.keys import SIGNATURE_BYTES, Address, recover
from protocol.messages import Domain, Unavailable

MAX_BYTES = 512
"""One takes less than 256."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedComplaint:
    """One member's."""

    unavailable: Unavailable
    """What it says."""
    signature: bytes
    """Over the EIP-712 digest; 65 bytes."""

    def __post_init__(self) -> None:
        if len(self.signature) != SIGNATURE_BYTES:
            raise LengthError("signature of a complaint", expected=SIGNATURE_BYTES, actual=len(self.signature))

    def signer(self, domain: Domain) -> Address:
        """Who signed it.  Raises SignatureError."""
        return recover(self.unavailable.digest(domain), self.signature)

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        return encode({"unavailable": self.unavailable.to_map(), "signature": self.signature})


def parse_complaint(data: bytes) -> SignedComplaint:
    """The complaint in a file.  Raises EncodingError, LengthError."""
    fields = Fields(decode(data, max_bytes=MAX_BYTES), "a signed complaint")
    unavailable = Unavailable.from_map(fields.map("unavailable"))
    signed = SignedComplaint(unavailable=unavailable, signature=fields.bytes("signature", SIGNATURE_BYTES))
    fields.done()
    return signed
