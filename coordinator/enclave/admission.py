"""Admission: whether one opened update may be counted, decided before any statistic sees it.

Responsible for: the checks in their order, each with the reason that an outcome carries.
Must not know:   other updates, keys, the host.

Spec: docs/protocol.md section 5.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol import fixedpoint, keys, trees
from protocol.errors import (
    CommitmentMismatchError,
    EnclaveMismatchError,
    LengthError,
    MalformedError,
    PolicyError,
    RangeError,
    SignatureError,
    SpecMismatchError,
    VerificationError,
    VeriflockError,
)
from protocol.fixedpoint import Int16
from protocol.messages import Domain, Spec, Update
from protocol.outcomes import Reason
from protocol.rulebook import chain_of
from protocol.sealing import Payload


class RefusedError(Exception):
    """An update that is not counted.

    reason: stands in the outcome if `signed`.
    cause:  what was expected and what came.
    signed: whether a valid signature ties it to its slot.
    """

    def __init__(self, reason: Reason, cause: VeriflockError, *, signed: bool) -> None:
        super().__init__(str(cause))
        self.reason = reason
        self.cause = cause
        self.signed = signed


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """An update that will be counted."""

    update: Update
    """The signed statement."""
    signature: bytes
    """The participant's; 65 bytes."""
    row: Int16
    """(d,) int16."""


def admit(payload: Payload, *, spec: Spec, spec_hash: bytes, domain: Domain, participant: bytes) -> Admitted:
    """The admitted update in an opened payload.

    participant: whose slot it was sent for.
    Raises: RefusedError with the first check that fails.
    """
    update = payload.update
    try:
        if update.participant != participant:
            expected, actual = keys.to_hex(participant), keys.to_hex(update.participant)
            raise SignatureError("participant of the update", expected=expected, actual=actual)
        keys.verify(update.digest(domain), payload.signature, participant)
    except VerificationError as error:
        raise RefusedError(Reason.SIGNATURE, error, signed=False) from error
    try:
        _check_spec(update, spec, spec_hash)
    except SpecMismatchError as error:
        raise RefusedError(Reason.SPEC, error, signed=True) from error
    if update.enclave != spec.enclave:
        other = EnclaveMismatchError("enclave of the update", expected=spec.enclave, actual=update.enclave)
        raise RefusedError(Reason.ENCLAVE, other, signed=True)
    if len(payload.row) != 2 * spec.dimension:
        length = LengthError("length of the row in bytes", expected=2 * spec.dimension, actual=len(payload.row))
        raise RefusedError(Reason.LENGTH, length, signed=True)
    try:
        row = fixedpoint.decode_row(payload.row, spec.dimension)
        if update.samples == 0 and chain_of(spec).is_weighted:
            raise RangeError("samples of the update", expected="at least 1 for the weighted mean", actual=0)
    except MalformedError as error:
        raise RefusedError(Reason.RANGE, error, signed=True) from error
    if spec.norm_bound and (norm := fixedpoint.squared_norm(row)) > spec.norm_bound:
        bound = PolicyError("squared norm of the row", expected=f"at most {spec.norm_bound}", actual=norm)
        raise RefusedError(Reason.NORM, bound, signed=True)
    root = trees.row_root(row)
    if root != update.update_root:
        mismatch = CommitmentMismatchError("root of the row", expected=update.update_root, actual=root)
        raise RefusedError(Reason.ROOT, mismatch, signed=True)
    return Admitted(update=update, signature=payload.signature, row=row)


def _check_spec(update: Update, spec: Spec, spec_hash: bytes) -> None:
    for what, expected, actual in (
        ("federation of the update", spec.federation, update.federation),
        ("round of the update", spec.round_id, update.round_id),
        ("spec of the update (which names base model, rule and deadlines)", spec_hash, update.spec),
    ):
        if expected != actual:
            raise SpecMismatchError(what, expected=expected, actual=actual)
