"""A leaf of a proposed result, opened from what the store has.

Responsible for: the one leaf that is asked for, from the round's artifacts, and that it opens what the enclave signed.
Must not know:   the chain, deadlines, or how an answer is sent.

Only what the tree is of is read: a row that is lost does not keep a set leaf from being shown.
Spec: docs/protocol.md sections 3 and 9.
"""

from __future__ import annotations

import numpy as np

from coordinator.enclave.rules import aggregate, totals
from coordinator.rounds import LeafRequest
from coordinator.store import Store
from protocol import rulebook, seeds, trees
from protocol.errors import CommitmentMismatchError, UnavailableError
from protocol.evidence import RoundEvidence, parse_evidence
from protocol.fixedpoint import Int16, decode_model, decode_row
from protocol.messages import RoundResult, Spec
from protocol.openings import Answer, Leaves, Openings, Tree
from protocol.outcomes import slots_of
from protocol.trees import ColumnData, column_data, gram_leaves, model_leaves, parse_set_leaf, row_leaves

RESTORE = "restore the store"


class Opener:
    """Opens leaves of one round after the other.  Trees over all rows are kept until another round, or `forget`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._result = b""
        self._kept: dict[Tree, Openings] = {}

    def forget(self) -> None:
        """Gives the memory back."""
        self._kept.clear()

    def answer(self, spec: Spec, result: RoundResult, request: LeafRequest) -> Answer:
        """1. the round's evidence  2. the tree's leaves  3. compared with the signed root  4. the one leaf, opened.

        Raises: UnavailableError for what is not in the store any more, VeriflockError for what is other bytes there,
                OSError.
        """
        if self._result != result.hash_struct():
            self.forget()
            self._result = result.hash_struct()
        openings = self._kept.get(request.tree)
        if openings is None:
            openings = _openings(self._store, spec, result, request)
            if request.tree in (Tree.COLUMN, Tree.GRAM):  # the rule once more, or every product: not for each member
                self._kept[request.tree] = openings
        return openings.answer(request.tree, slot=request.slot, index=request.index)


def _openings(store: Store, spec: Spec, result: RoundResult, request: LeafRequest) -> Openings:
    data = store.read_evidence(spec.round_id)
    if data is None:
        raise UnavailableError(f"the evidence of round {spec.round_id} is gone", RESTORE)
    evidence = parse_evidence(data)
    if evidence.result != result.hash_struct():
        expected, actual = result.hash_struct(), evidence.result
        raise CommitmentMismatchError("result that the evidence here is of", expected=expected, actual=actual)
    openings = Openings(_leaves(store, spec, result, evidence, request), counted=result.counted)
    _check_roots(openings, result, request)
    return openings


def _leaves(store: Store, spec: Spec, result: RoundResult, evidence: RoundEvidence, request: LeafRequest) -> Leaves:
    if request.tree is Tree.ROW:
        row = _row(store, spec, evidence, request.slot)
        return Leaves(set_leaves=evidence.set_leaves, rows={request.slot: row_leaves(row)})
    if request.tree is Tree.COLUMN:
        return Leaves(rows={}, columns=_columns(spec, evidence, _rows(store, spec, result, evidence)))
    if request.tree is Tree.GRAM:
        return Leaves(rows={}, gram=gram_leaves(_rows(store, spec, result, evidence)))
    if request.tree is Tree.MODEL:
        model = decode_model(_blob(store, evidence.model, "the new model"), spec.dimension)
        return Leaves(rows={}, model=model_leaves(model))
    return Leaves(set_leaves=evidence.set_leaves, rows={})


def _rows(store: Store, spec: Spec, result: RoundResult, evidence: RoundEvidence) -> Int16:
    return np.stack([_row(store, spec, evidence, slot) for slot in slots_of(result.counted)])  # (k, d)


def _row(store: Store, spec: Spec, evidence: RoundEvidence, slot: int) -> Int16:
    digest = evidence.rows[slot] if slot < len(evidence.rows) else None
    if digest is None:
        raise UnavailableError(f"the row of slot {slot} was not handed out", "only public rows can be shown")
    return decode_row(_blob(store, digest, f"the row of slot {slot}"), spec.dimension)


def _columns(spec: Spec, evidence: RoundEvidence, rows: Int16) -> list[ColumnData]:
    """The totals are nowhere stored: the rule once more gives them, with the aggregate that goes with them."""
    slots = [slot for slot, data in enumerate(evidence.set_leaves) if parse_set_leaf(data).is_counted]
    samples = [min(parse_set_leaf(evidence.set_leaves[slot]).samples, spec.weight_cap) for slot in slots]
    chain, set_root = rulebook.chain_of(spec), trees.set_root(evidence.set_leaves)
    found = aggregate(
        chain,
        rows,
        f=spec.f,
        m=spec.m,
        weights=np.array(samples, dtype=np.int64) if chain.is_weighted else None,
        slots=slots,
        seed=seeds.bucketing_seed(federation=spec.federation, round_id=spec.round_id, set_root=set_root),
    )
    return column_data(rows, found.aggregate, totals(rows, found))


def _check_roots(openings: Openings, result: RoundResult, request: LeafRequest) -> None:
    if request.tree is Tree.ROW:
        signed = parse_set_leaf(openings.set_leaf(request.slot).data).update_root
        roots = [(signed, openings.row_tree(request.slot)), (result.set_root, openings.set_tree)]
    elif request.tree is Tree.COLUMN:
        roots = [(result.column_root, openings.column_tree)]
    elif request.tree is Tree.GRAM:
        roots = [(result.gram_root, openings.gram_tree)]
    elif request.tree is Tree.MODEL:
        roots = [(result.new_model, openings.model_tree)]
    else:
        roots = [(result.set_root, openings.set_tree)]
    for root, tree in roots:
        if tree.root != root:
            what = f"root of what is stored for the {request.tree.name.lower()} tree"
            raise CommitmentMismatchError(what, expected=root, actual=tree.root)


def _blob(store: Store, digest: bytes, what: str) -> bytes:
    data = store.read_blob(digest)
    if data is None:
        raise UnavailableError(f"blob {digest.hex()}, {what}, is gone", RESTORE)
    return data
