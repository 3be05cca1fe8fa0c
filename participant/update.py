"""From a trained change to the bytes that leave: quantise, sign, check as the enclave will, seal.

Responsible for: one update of one round, and the lines that tell its owner what quantisation cost.
Must not know:   files, sockets, the chain, how the change was trained.

Spec: docs/protocol.md sections 1, 2 and 4.
"""

from __future__ import annotations

from dataclasses import dataclass

from participant.attacks import Attack
from participant.models import FloatVector
from protocol import keys, sealing
from protocol.errors import (
    CommitmentMismatchError,
    EnclaveMismatchError,
    LengthError,
    RangeError,
    SignatureError,
    SpecMismatchError,
)
from protocol.fixedpoint import decode_row, encode_row, quantise, squared_norm
from protocol.messages import Domain, Receipt, Spec, Update
from protocol.sealing import Payload, parse_payload
from protocol.signed_leaves import update_of
from protocol.trees import row_root

MAX_PAYLOAD_BYTES = 1 << 28
"""A payload of the largest model fits; parsing one of our own."""

WARN_ERROR = 0.01
"""Quantisation that loses more than 1% of the update's norm is worth a warning (DESIGN section 3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A signed update that has not left yet."""

    payload: Payload
    """Update, signature and row."""

    saturated: int
    """Coordinates that were cut to +/-32767."""

    error: float
    """Norm of what quantisation lost over the norm of the update."""

    def describe(self) -> list[str]:
        """What its owner should read before it is sent: always the error, and a warning where it is large."""
        d = len(self.payload.row) // 2
        lines = [f"quantisation error {self.error:.4%}, {self.saturated} of {d} coordinates saturated"]
        if self.error > WARN_ERROR:
            lines.append(f"warning: quantisation lost {self.error:.1%} of the update (more than {WARN_ERROR:.0%})")
        return lines


def prepare(
    vector: FloatVector, *, spec: Spec, samples: int, key: bytes, domain: Domain, attack: Attack | None = None
) -> Prepared:
    """Quantise and sign.

    vector:  (d,) the change that training made, in floats.
    samples: how many samples it was trained on.
    key:     the participant's private key.
    attack:  what a Byzantine participant does to the row before it signs.

    Raises: RangeError for NaN or infinity, LengthError for another dimension than the spec's.
    """
    if vector.shape != (spec.dimension,):
        raise LengthError("length of the update", expected=spec.dimension, actual=vector.shape)
    quantised = quantise(vector, spec.exponent)
    row = quantised.row if attack is None else attack.row(quantised.row)
    update = update_of(spec, keys.address(key), root=row_root(row), samples=samples)
    payload = Payload(update=update, signature=keys.sign(key, update.digest(domain)), row=encode_row(row))
    return Prepared(payload=payload, saturated=quantised.saturated, error=quantised.error)


def parse_signed(data: bytes) -> Payload:
    """What we signed, as the journal has it."""
    return parse_payload(data, max_bytes=MAX_PAYLOAD_BYTES)


def check_admissible(payload: Payload, *, spec: Spec, domain: Domain) -> None:
    """Admission as the enclave does it, before anything is sent: what fails here would only be refused there.

    Raises: SignatureError, SpecMismatchError, EnclaveMismatchError, LengthError, RangeError, CommitmentMismatchError.
    """
    update = payload.update
    keys.verify(update.digest(domain), payload.signature, update.participant)
    named = (update.federation, update.round_id, update.spec)
    expected = (spec.federation, spec.round_id, spec.hash_struct())
    if named != expected:
        raise SpecMismatchError("spec of the update", expected=expected, actual=named)
    if update.enclave != spec.enclave:
        raise EnclaveMismatchError("enclave of the update", expected=spec.enclave, actual=update.enclave)
    if update.samples == 0:
        raise RangeError("samples of the update", expected="at least 1", actual=0)
    row = decode_row(payload.row, spec.dimension)
    norm = squared_norm(row)
    if spec.norm_bound and norm > spec.norm_bound:
        raise RangeError("squared norm of the update", expected=f"at most {spec.norm_bound}", actual=norm)
    if row_root(row) != update.update_root:
        raise CommitmentMismatchError("root of the row", expected=update.update_root, actual=row_root(row))


def seal(payload: bytes, *, update: Update, ledger: keys.Address, kem: int, hpke_key: bytes) -> bytes:
    """The payload, sealed to the enclave's key; opens only for this federation, round, participant and enclave.

    payload:  the bytes of `protocol.sealing.encode_payload` (an attacker's may be others).
    update:   whose round, participant and enclave the sealing is bound to.
    hpke_key: the enclave's public key, checked against its quote by `enclave_check` before.
    Raises: LengthError, EncodingError (not a key of that KEM).
    """
    context = sealing.info(
        federation=update.federation,
        ledger=ledger,
        round_id=update.round_id,
        participant=update.participant,
        enclave=update.enclave,
    )
    return sealing.suite(kem).encrypt(payload, sealing.parse_public_key(kem, hpke_key), context)


def verify_receipt(
    receipt: Receipt, signature: bytes, *, update: Update, slot: int, signer: keys.Address, domain: Domain
) -> None:
    """Whether the receipt promises this update in this slot, signed by the round's enclave.

    signer: the address that the enclave's quote vouches for.
    Raises: CommitmentMismatchError, SignatureError.
    """
    expected = Receipt(
        federation=update.federation,
        round_id=update.round_id,
        slot=slot,
        update=update.hash_struct(),
        enclave=update.enclave,
    )
    if receipt != expected:
        raise CommitmentMismatchError("the receipt", expected=expected, actual=receipt)
    if keys.recover(receipt.digest(domain), signature) != signer:
        raise SignatureError("signer of the receipt", expected=keys.to_hex(signer))
