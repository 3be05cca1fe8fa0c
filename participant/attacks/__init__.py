"""Byzantine participants: what `--attack name[:factor]` changes in an otherwise honest participant.

Responsible for: the closed list of attacks that need nobody else's update.
Must not know:   the network, the chain, keys; an attacker is the same process with a few values changed on their way.

Each attack overrides one of four hooks of `Attack`: the samples before training, the update as floats, the row as
integers, the payload before sealing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from participant.data import Samples
from participant.models import FloatVector
from protocol.errors import EncodingError, RangeError, UnknownNameError

Row = NDArray[np.int16]


class Attack:
    """The four hooks, all of which leave everything as it is: an honest participant."""

    admissible = True
    """Whether what is sent should be admitted; if not, no receipt will come and nothing is committed on chain."""

    def samples(self, samples: Samples, classes: int) -> Samples:
        """The shard to train on."""
        return samples

    def vector(self, vector: FloatVector, generator: np.random.Generator) -> FloatVector:
        """The update before quantisation."""
        return vector

    def row(self, row: Row) -> Row:
        """The update as it will be signed."""
        return row

    def payload(self, payload: bytes, earlier: bytes | None) -> bytes:
        """What is sealed.  earlier: the payload of this participant's first round, None in that round."""
        return payload


class SignFlip(Attack):
    """-factor times its own update."""

    def __init__(self, factor: float) -> None:
        self._factor = factor

    def vector(self, vector: FloatVector, generator: np.random.Generator) -> FloatVector:
        return -self._factor * vector


class Noise(Attack):
    """Gaussian noise as long as factor times its own update."""

    def __init__(self, factor: float) -> None:
        self._factor = factor

    def vector(self, vector: FloatVector, generator: np.random.Generator) -> FloatVector:
        noise = generator.standard_normal(len(vector))
        scale = self._factor * float(np.linalg.norm(vector)) / float(np.linalg.norm(noise))
        return scale * noise


class LabelFlip(Attack):
    """Trains honestly on wrong labels: class c becomes classes - 1 - c."""

    def samples(self, samples: Samples, classes: int) -> Samples:
        return Samples(features=samples.features, labels=classes - 1 - samples.labels)


class Replay(Attack):
    """Sends the signed update of its first round again in every later one."""

    admissible = False

    def payload(self, payload: bytes, earlier: bytes | None) -> bytes:
        return payload if earlier is None else earlier


class Malformed(Attack):
    """Seals bytes that are no update: every byte of the right number of bytes turned over."""

    admissible = False

    def payload(self, payload: bytes, earlier: bytes | None) -> bytes:
        return bytes(byte ^ 0xFF for byte in payload)


class NotANumber(Attack):
    """Its training diverged and it does not look: NaN cast to int16 is -32768 in every coordinate."""

    admissible = False

    def row(self, row: Row) -> Row:
        return np.full_like(row, -32768)


ATTACKS: dict[str, tuple[Callable[[float], Attack], float | None]] = {
    "sign-flip": (SignFlip, 4.0),
    "noise": (Noise, 4.0),
    "label-flip": (lambda _: LabelFlip(), None),
    "replay": (lambda _: Replay(), None),
    "malformed": (lambda _: Malformed(), None),
    "nan": (lambda _: NotANumber(), None),
}
"""How each attack is made, and its default factor (None: it takes none)."""


def parse_attack(text: str | None) -> Attack:
    """`name` or `name:factor`; None is an honest participant.

    Raises: UnknownNameError, which lists the attacks; EncodingError, RangeError for the factor.
    """
    if text is None:
        return Attack()
    name, colon, parameter = text.partition(":")
    if name not in ATTACKS:
        raise UnknownNameError("attack", known=list(ATTACKS), actual=name)
    make, default = ATTACKS[name]
    if default is None:
        if colon:
            raise EncodingError(f"factor of attack {name}", expected="none", actual=parameter)
        return make(0.0)
    try:
        factor = float(parameter) if colon else default
    except ValueError as error:
        raise EncodingError(f"factor of attack {name}", expected="a number", actual=parameter) from error
    if not 0 < factor <= 1e6:
        raise RangeError(f"factor of attack {name}", expected="above 0, at most 1e6", actual=parameter)
    return make(factor)
