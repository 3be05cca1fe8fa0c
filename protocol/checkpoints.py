"""Members' memory of settled rounds, in a file that they hand to whoever verifies.

Responsible for: the envelope of signed checkpoints; who signed one.
Must not know:   who is a member, or what a chain says.

Spec: docs/protocol.md section 8.  Example, one checkpoint (the numbers are CBOR's):

    81                     list of 1
      A2                     map of 2
        69 "signature"         58 41 (65 bytes r || s || v)
        6A "checkpoint"        A4 (map of the message: round, result, blockHash, federation)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protocol.encoding import Fields, decode, encode
from protocol.errors import EncodingError, LengthError
from protocol.keys import SIGNATURE_BYTES, Address, recover
from protocol.messages import Checkpoint, Domain

MAX_BYTES = 1 << 20
"""Four thousand checkpoints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedCheckpoint:
    """One member's."""

    checkpoint: Checkpoint
    """What it remembers."""
    signature: bytes
    """Over the EIP-712 digest; 65 bytes."""

    def __post_init__(self) -> None:
        if len(self.signature) != SIGNATURE_BYTES:
            raise LengthError("signature of a checkpoint", expected=SIGNATURE_BYTES, actual=len(self.signature))

    def signer(self, domain: Domain) -> Address:
        """Who signed it.  Raises SignatureError."""
        return recover(self.checkpoint.digest(domain), self.signature)

    def to_map(self) -> dict[str, object]:
        """For an envelope."""
        return {"checkpoint": self.checkpoint.to_map(), "signature": self.signature}


def parse_checkpoint(value: object) -> SignedCheckpoint:
    """The signed checkpoint in a map.  Raises EncodingError, LengthError."""
    fields = Fields(value, "a signed checkpoint")
    checkpoint = Checkpoint.from_map(fields.map("checkpoint"))
    signed = SignedCheckpoint(checkpoint=checkpoint, signature=fields.bytes("signature", SIGNATURE_BYTES))
    fields.done()
    return signed


def encode_checkpoints(checkpoints: Sequence[SignedCheckpoint]) -> bytes:
    """Deterministic CBOR: a list of maps, in this order."""
    return encode([item.to_map() for item in checkpoints])


def parse_checkpoints(data: bytes) -> tuple[SignedCheckpoint, ...]:
    """The checkpoints in a file.  Raises EncodingError, LengthError."""
    items = decode(data, max_bytes=MAX_BYTES)
    if not isinstance(items, list):
        raise EncodingError("a file of checkpoints", expected="a list", actual=type(items).__name__)
    return tuple(parse_checkpoint(item) for item in items)
