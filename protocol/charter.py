"""The charter: what a federation trains, fixed at its founding and named by its hash on the ledger.

Responsible for: federation.json, strictly parsed; its hash is what the ledger, the enclave's claims and manifest carry.
Must not know:   how a model is built or data is read.

Spec: docs/protocol.md section 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from protocol import canonical_json, sealing
from protocol.encoding import Fields
from protocol.errors import LengthError, RangeError
from protocol.hashing import sha256

VERSION = 1
MAX_BYTES = 1 << 20
MAX_DIMENSION = 1 << 26
"""Largest model: a sealed row of it still fits a frame."""
MAX_FEATURES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Charter:
    """What all participants of a federation train."""

    name: str
    """For people."""
    model: str
    """Which architecture, such as `small-cnn`."""
    dimension: int
    """d: floating-point parameters and buffers in state_dict order."""
    model_exponent: int
    """e_m: a model's value is w * 2**e_m; fixed for the federation."""
    dataset: str
    """Which task, such as `digits`."""
    classes: int
    """Classes of the task."""
    offsets_q16: tuple[int, ...]
    """Inputs are standardised as (x - offset) * scale; one for all features or one each; Q16."""
    scales_q16: tuple[int, ...]
    """See `offsets_q16`."""
    kem: int
    """HPKE KEM id (`protocol.sealing`)."""

    def __post_init__(self) -> None:
        if not 1 <= self.dimension <= MAX_DIMENSION:
            raise RangeError("dimension", expected=f"in 1..{MAX_DIMENSION}", actual=self.dimension)
        if not -30 <= self.model_exponent <= -8:
            raise RangeError("exponent of a model", expected="in -30..-8", actual=self.model_exponent)
        if len(self.offsets_q16) != len(self.scales_q16) or not self.offsets_q16:
            sizes = (len(self.offsets_q16), len(self.scales_q16))
            raise LengthError("offsets and scales", expected="as many of each, at least 1", actual=sizes)
        sealing.suite(self.kem)  # raises for a KEM that there is no suite for

    def encode(self) -> bytes:
        """The canonical JSON text."""
        values: dict[str, Any] = {
            "version": VERSION,
            "name": self.name,
            "model": self.model,
            "dimension": self.dimension,
            "model_exponent": self.model_exponent,
            "dataset": self.dataset,
            "classes": self.classes,
            "offsets_q16": list(self.offsets_q16),
            "scales_q16": list(self.scales_q16),
            "kem": self.kem,
        }
        return canonical_json.encode(values)

    def sha256(self) -> bytes:
        """What the ledger and the enclave's claims carry."""
        return sha256(self.encode())


def parse_charter(data: bytes) -> Charter:
    """The charter in a canonical JSON text; nothing missing, nothing left over."""
    fields = Fields(canonical_json.decode(data, max_bytes=MAX_BYTES), "charter")
    version = fields.uint("version", 16)
    if version != VERSION:
        raise RangeError("version of a charter", expected=VERSION, actual=version)
    charter = Charter(
        name=fields.text("name", 200),
        model=fields.text("model", 200),
        dimension=fields.uint("dimension", 32),
        model_exponent=fields.int("model_exponent", 8),
        dataset=fields.text("dataset", 200),
        classes=fields.uint("classes", 16),
        offsets_q16=_integers(fields, "offsets_q16"),
        scales_q16=_integers(fields, "scales_q16"),
        kem=fields.uint("kem", 16),
    )
    fields.done()
    return charter


def _integers(fields: Fields, name: str) -> tuple[int, ...]:
    values = fields.list(name, MAX_FEATURES)
    for value in values:
        if type(value) is not int or abs(value) >= 1 << 48:
            raise RangeError(f"charter.{name}", expected="integers below 2**48", actual=value)
    return tuple(values)
