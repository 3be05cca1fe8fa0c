"""The tree of errors that everyone raises, and what follows from each branch.

Responsible for: what can be wrong with bytes that came from somebody else.
Must not know:   who raises and who catches.

A network or a disk that fails is not in the tree: "could not tell" is never "rejected" (`UnavailableError`).
"""

from __future__ import annotations


class VeriflockError(Exception):
    """Something is wrong with what came in.  Never raised itself: one of the four branches is.

    what:     the thing that is wrong, lower case ("length of the row").
    expected: what it should have been.
    actual:   what it was.
    """

    def __init__(self, what: str, *, expected: object = None, actual: object = None) -> None:
        super().__init__(what)
        self.what = what
        self.expected = expected
        self.actual = actual

    def __str__(self) -> str:
        if self.expected is None and self.actual is None:
            return self.what
        if self.actual is None:
            return f"{self.what}: expected {show(self.expected)}"
        if self.expected is None:
            return f"{self.what}: got {show(self.actual)}"
        return f"{self.what}: expected {show(self.expected)}, got {show(self.actual)}"


class MalformedError(VeriflockError):
    """The bytes are not a message."""


class VerificationError(VeriflockError):
    """A message, but not authentic, or not consistent with the evidence.  `check` names the check that noticed."""

    def __init__(self, what: str, *, check: str = "", expected: object = None, actual: object = None) -> None:
        super().__init__(what, expected=expected, actual=actual)
        self.check = check

    def __str__(self) -> str:
        return f"check {self.check}: {super().__str__()}" if self.check else super().__str__()


class PolicyError(VeriflockError):
    """Authentic, but not acceptable here."""


class RoundError(VeriflockError):
    """A good message at the wrong time."""


class EncodingError(MalformedError):
    """Not the one accepted encoding of a value."""


class LengthError(MalformedError):
    """A length that is not the one that follows from the spec."""


class RangeError(MalformedError):
    """A number outside its range."""


class SignatureError(VerificationError):
    """A signature that is not one, or not of the party that it should be of."""


class ProofError(VerificationError):
    """A Merkle path that does not lead to the root."""


class CommitmentMismatchError(VerificationError):
    """Bytes that do not hash to what was committed."""


class SpecMismatchError(RoundError):
    """An update made for another spec, round or base model."""


class EnclaveMismatchError(RoundError):
    """An update made for another enclave."""


class TooLateError(RoundError):
    """After the deadline."""


class AlreadyReceivedError(RoundError):
    """A second and different update of one participant."""


class NotInCohortError(RoundError):
    """Somebody who does not take part in this round."""


class TooFewCountedError(RoundError):
    """Fewer counted updates than the rule needs."""


class UnknownNameError(MalformedError):
    """A name that is not in a closed list; the message lists the names that are."""

    def __init__(self, what: str, *, known: object, actual: object) -> None:
        names = ", ".join(sorted(str(name) for name in known)) if isinstance(known, (list, tuple, set, dict)) else known
        super().__init__(f"unknown {what}", expected=f"one of {names}", actual=actual)


class UnavailableError(Exception):
    """Could not tell: a network, a disk, a chain or a tool did not do its part.  Not a judgement about anybody.

    what:      what was not available, in one line.
    next_step: what the reader can do about it, in one line.
    """

    def __init__(self, what: str, next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.what}; {self.next_step}" if self.next_step else self.what


EXIT_CODES: dict[type[Exception], int] = {VeriflockError: 1, UnavailableError: 2, OSError: 2}
"""Exit code of a command by the branch of what it raised; 0 is for everything checked and right."""

HTTP_STATUS: dict[type[Exception], int] = {
    MalformedError: 400,
    VerificationError: 403,
    PolicyError: 403,
    RoundError: 409,
    UnavailableError: 503,
}
"""HTTP status by branch."""


def show(value: object) -> str:
    """A value for people: bytes as hex, long ones cut."""
    if isinstance(value, (bytes, bytearray)):
        text = "0x" + bytes(value).hex()
        return text if len(text) <= 70 else f"{text[:34]}...({len(value)} bytes)"
    text = str(value)
    return text if len(text) <= 400 else text[:400] + "..."
