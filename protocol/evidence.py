"""What a host publishes of a round, so that anyone can repeat it.

Responsible for: the envelope that names a round's public bytes by their SHA-256.
Must not know:   where they are kept, or what they say.

Spec: docs/protocol.md section 8.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.encoding import Fields, decode_map, encode
from protocol.errors import EncodingError, LengthError, RangeError
from protocol.messages import MAX_SLOTS

VERSION = 1
MAX_BYTES = 1 << 17
"""256 slots of a set leaf and a row's hash are 36 kB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundEvidence:
    """The public bytes of one round.  All hashes are SHA-256 of blobs."""

    round_id: int
    """Which round."""
    result: bytes
    """hashStruct of its RoundResult."""
    base: bytes
    """The base model."""
    set_leaves: tuple[bytes, ...]
    """Data of the set tree's leaves, one per slot."""
    rows: tuple[bytes | None, ...]
    """The counted slots' rows in the clear; null for other slots, and for all where they are not public."""
    aggregate: bytes | None
    """The aggregate; null for a result with too few counted."""
    model: bytes
    """The new model."""

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        return encode(
            {
                "version": VERSION,
                "round": self.round_id,
                "result": self.result,
                "base": self.base,
                "set": list(self.set_leaves),
                "rows": list(self.rows),
                "aggregate": self.aggregate,
                "model": self.model,
            }
        )


def parse_evidence(data: bytes) -> RoundEvidence:
    """The evidence in an envelope; nothing missing, nothing left over."""
    fields = Fields(decode_map(data, max_bytes=MAX_BYTES), "round evidence")
    version = fields.uint("version", 16)
    if version != VERSION:
        raise RangeError("version of round evidence", expected=VERSION, actual=version)
    evidence = RoundEvidence(
        round_id=fields.uint("round"),
        result=fields.bytes("result", 32),
        base=fields.bytes("base", 32),
        set_leaves=tuple(_bytes(item, "a set leaf") for item in fields.list("set", MAX_SLOTS)),
        rows=tuple(None if item is None else _hash(item) for item in fields.list("rows", MAX_SLOTS)),
        aggregate=fields.bytes("aggregate", 32) if fields.nullable("aggregate") else None,
        model=fields.bytes("model", 32),
    )
    fields.done()
    if len(evidence.rows) != len(evidence.set_leaves):
        raise LengthError("rows of round evidence", expected=len(evidence.set_leaves), actual=len(evidence.rows))
    return evidence


def _bytes(value: object, what: str) -> bytes:
    if type(value) is not bytes:
        raise EncodingError(what, expected="bytes", actual=type(value).__name__)
    return value


def _hash(value: object) -> bytes:
    if len(_bytes(value, "a row's hash")) != 32:
        raise EncodingError("a row's hash", expected="32 bytes", actual=value)
    return _bytes(value, "a row's hash")
