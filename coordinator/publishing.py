"""What is kept and published of a signed round.

Responsible for: the order of blobs, evidence and the signed result in the store.
Must not know:   the chain, deadlines, or how a result came to be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from coordinator.door import Closed
from coordinator.store import Store
from protocol.encoding import Fields
from protocol.errors import CommitmentMismatchError, UnavailableError
from protocol.evidence import RoundEvidence
from protocol.fixedpoint import decode_model
from protocol.keys import SIGNATURE_BYTES
from protocol.messages import RoundResult, Spec
from protocol.trees import model_root


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedResult:
    """What the enclave signed of a round, as stored."""

    result: RoundResult
    signature: bytes
    outcomes: bytes


def publish(store: Store, spec: Spec, closed: Closed, row: Callable[[int], bytes | None]) -> None:
    """1. blobs  2. evidence, which names them  3. the signed result, from which on it is proposed.

    row: of a slot, from the enclave; one at a time is in memory.

    Raises: CommitmentMismatchError when the model is not the one that was signed, UnavailableError.
    """
    root = model_root(decode_model(closed.model, spec.dimension))
    if root != closed.result.new_model:
        raise CommitmentMismatchError("the enclave's model", expected=closed.result.new_model, actual=root)
    base = store.read_model(spec.base_model)
    if base is None:
        raise UnavailableError(f"the base model 0x{spec.base_model.hex()} is gone from the store", "restore the store")
    evidence = RoundEvidence(
        round_id=spec.round_id,
        result=closed.result.hash_struct(),
        base=store.write_blob(base),
        set_leaves=closed.set_leaves,
        rows=tuple(_write(store, row(slot)) for slot in range(len(closed.set_leaves))),
        aggregate=None if closed.aggregate is None else store.write_blob(closed.aggregate),
        model=store.write_model(closed.result.new_model, closed.model),
    )
    store.write_evidence(spec.round_id, evidence.encode())
    store.write_record(
        _name(spec.round_id),
        {"result": closed.result.to_map(), "signature": closed.signature, "outcomes": closed.outcomes},
    )
    # If we die here the result is ours to propose; if we died before, the enclave returns the same one again.


def _write(store: Store, row: bytes | None) -> bytes | None:
    return None if row is None else store.write_blob(row)


def read_signed(store: Store, round_id: int) -> SignedResult | None:
    """The signed result of a round, or None."""
    value = store.read_record(_name(round_id))
    if value is None:
        return None
    fields = Fields(value, "a stored result")
    signed = SignedResult(
        result=RoundResult.from_map(fields.map("result")),
        signature=fields.bytes("signature", SIGNATURE_BYTES),
        outcomes=fields.bytes("outcomes"),
    )
    fields.done()
    return signed


def _name(round_id: int) -> str:
    return f"results/{round_id:08d}.cbor"
