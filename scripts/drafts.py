"""Rounds whose enclave key one holds, with every leaf that their results commit to: what lies and proofs are made of.

Responsible for: `honest`, a round as the enclave computes it, and `Draft.facts`, which commits to whatever is there by
                 then.  Spec, cohort and domain may be a ledger's, so that the same round can be played on a chain.
Must not know:   which lies there are, or what shows them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from coordinator.enclave.rounds import Entry, Round, aggregate_counted, compute
from coordinator.enclave.rules import totals
from protocol import merkle, trees
from protocol.fixedpoint import Int16, Int32
from protocol.hashing import keccak256, sha256
from protocol.keys import address, sign
from protocol.messages import ZERO, Domain, Receipt, RoundResult, Spec, Update
from protocol.openings import Leaves, Tree, leaves_of
from protocol.outcomes import WORD_BYTES, Reason, parse_outcome, slots_of
from protocol.rulebook import needs_gram
from protocol.signed_leaves import update_of
from protocol.trees import ColumnData, SetLeaf, column_leaf, parse_set_leaf
from verifier.refutation.reconstruction import Published
from verifier.refutation.statement import Facts, SignedReceipt, SignedResult

MODEL_EXPONENT = -24
Rows = dict[int, Int16]
"""By slot."""


@dataclass(kw_only=True)
class Draft:
    """A round before its result is signed: every leaf that it will commit to."""

    spec: Spec
    cohort: tuple[bytes, ...]
    keys: Mapping[int, bytes]
    """The participants', by slot."""
    enclave_key: bytes
    domain: Domain
    model_exponent: int
    set_leaves: list[bytes]
    rows: dict[int, list[bytes]]
    columns: list[ColumnData]
    gram: list[bytes] | None
    base: list[bytes]
    model: list[bytes]
    outcomes: list[bytes]
    """One word a slot."""
    counted: int
    selected: int
    commitments: dict[int, bytes]
    """What is on the ledger, by slot."""
    receipts: list[SignedReceipt] = field(default_factory=list)
    """What participants hold."""
    results: list[SignedResult] = field(default_factory=list)
    """What the enclave signed besides."""

    def copy(self) -> Draft:
        """The same round, to be changed on its own."""
        names = ("set_leaves", "columns", "gram", "base", "model", "outcomes", "receipts", "results")
        lists = {name: value if (value := getattr(self, name)) is None else list(value) for name in names}
        rows = {slot: list(leaves) for slot, leaves in self.rows.items()}
        return replace(self, **lists, rows=rows, commitments=dict(self.commitments))

    @property
    def slots(self) -> list[int]:
        """Counted, ascending."""
        return slots_of(self.counted)

    @property
    def others(self) -> list[int]:
        """Counted and not selected."""
        return slots_of(self.counted & ~self.selected)

    def result(self) -> RoundResult:
        """The result that commits to everything here."""
        spec = self.spec
        return RoundResult(
            federation=spec.federation,
            round_id=spec.round_id,
            spec=spec.hash_struct(),
            previous=spec.previous,
            set_root=trees.set_root(self.set_leaves),
            counted=self.counted,
            selected=self.selected,
            column_root=root_of(Tree.COLUMN, [leaf.data for leaf in self.columns]),
            gram_root=ZERO if self.gram is None else root_of(Tree.GRAM, self.gram),
            outcomes=keccak256(*self.outcomes),
            new_model=root_of(Tree.MODEL, self.model),
            state=ZERO,
            enclave=spec.enclave,
        )

    def signed(self) -> SignedResult:
        """The result and the enclave's signature."""
        result = self.result()
        return SignedResult(result=result, signature=sign(self.enclave_key, result.digest(self.domain)))

    def facts(self) -> Facts:
        """As somebody sees it who proves."""
        return Facts(
            spec=self.spec,
            result=self.result(),
            outcomes=b"".join(self.outcomes),
            cohort=self.cohort,
            domain=self.domain,
            commitments=self.commitments,
            model_exponent=self.model_exponent,
            signer=address(self.enclave_key),
        )

    def leaves(self) -> Leaves:
        """Every leaf, as it was hashed."""
        return Leaves(
            set_leaves=self.set_leaves,
            rows=self.rows,
            columns=self.columns,
            gram=self.gram,
            base=self.base,
            model=self.model,
        )

    def published(self) -> Published:
        """What a coordinator hands out: vectors, without anything between them."""
        d = self.spec.dimension
        return Published(
            set_leaves=self.set_leaves,
            rows={slot: b"".join(leaves)[: 2 * d] for slot, leaves in self.rows.items()},
            aggregate=b"".join(leaf.data[64:] for leaf in self.columns)[: 4 * d],
            base=b"".join(self.base)[: 4 * d],
            model=b"".join(self.model)[: 4 * d],
        )

    # -- what lies do

    def outcome(self, slot: int, **changes: Any) -> None:
        """Another outcome of a slot; flagged follows from the alignment, as the ledger wants it."""
        changed = {"alignment": parse_outcome(self.outcomes[slot]).alignment, **changes}
        flagged = changed["alignment"] < 0
        self.outcomes[slot] = replace(parse_outcome(self.outcomes[slot]), flagged=flagged, **changed).word()

    def resign(self, slot: int, *, samples: int | None = None) -> None:
        """The participant goes along: it signs the root that its row has now."""
        root = root_of(Tree.ROW, self.rows[slot])
        samples = parse_set_leaf(self.set_leaves[slot]).samples if samples is None else samples
        update = update_of(self.spec, self.cohort[slot], root=root, samples=samples)
        signature = sign(self.keys[slot], update.digest(self.domain))
        self.set_leaves[slot] = SetLeaf(update_root=root, samples=samples, signature=signature).encode()
        if slot in self.commitments:
            self.commitments[slot] = update.hash_struct()

    def update(self, slot: int) -> Update:
        """The counted update of a slot."""
        leaf = parse_set_leaf(self.set_leaves[slot])
        return update_of(self.spec, self.cohort[slot], root=leaf.update_root, samples=leaf.samples)

    def receipt(self, slot: int, update: bytes) -> SignedReceipt:
        """The enclave promises that."""
        spec = self.spec
        receipt = Receipt(
            federation=spec.federation, round_id=spec.round_id, slot=slot, update=update, enclave=spec.enclave
        )
        return SignedReceipt(receipt=receipt, signature=sign(self.enclave_key, receipt.digest(self.domain)))

    def column(
        self, index: int, *, columns: bytes | None = None, totals: bytes | None = None, tail: bytes = b""
    ) -> None:
        """Another leaf of the column tree."""
        old = self.columns[index]
        columns, totals = old.columns if columns is None else columns, old.totals if totals is None else totals
        self.columns[index] = column_leaf(columns, totals, tail or old.data[64:])


def honest(
    spec: Spec,
    cohort: Iterable[bytes],
    keys: Mapping[int, bytes],
    rows: Mapping[int, Int16],
    base: Int32,
    *,
    enclave_key: bytes,
    domain: Domain,
    model_exponent: int = MODEL_EXPONENT,
    samples: Mapping[int, int] | None = None,
    refusals: Mapping[int, Reason] | None = None,
    committed: Iterable[int] = (),
) -> Draft:
    """A round as the enclave computes it; `rows` are the counted ones.  What admission would refuse, it counts.

    committed: slots with a commitment on the ledger: of the counted update, or of one that was not delivered.
    """
    state = Round(spec=spec, cohort=tuple(cohort), base=base)
    for slot, row in sorted(rows.items()):
        weight = 10 + slot if samples is None else samples[slot]
        update = update_of(spec, state.cohort[slot], root=trees.row_root(row), samples=weight)
        state.entries[slot] = Entry(update=update, signature=sign(keys[slot], update.digest(domain)))
        state.rows[slot] = row
    state.refusals = dict(refusals or {})
    computed = compute(state, model_exponent=model_exponent, recheck=[])
    counted, found = aggregate_counted(state, computed.set_leaves)
    matrix = np.stack(counted)
    leaves = leaves_of(
        set_leaves=computed.set_leaves,
        counted=computed.result.counted,
        rows=matrix,
        aggregate=found.aggregate,
        totals=totals(matrix, found),
        has_gram=needs_gram(state.chain.number),
        base=base,
        model=computed.model,
    )
    draft = Draft(
        spec=spec,
        cohort=state.cohort,
        keys=keys,
        enclave_key=enclave_key,
        domain=domain,
        model_exponent=model_exponent,
        set_leaves=list(computed.set_leaves),
        rows={slot: list(row) for slot, row in leaves.rows.items()},
        columns=list(leaves.columns or ()),
        gram=None if leaves.gram is None else list(leaves.gram),
        base=list(leaves.base or ()),
        model=list(leaves.model or ()),
        outcomes=[computed.outcomes[i : i + WORD_BYTES] for i in range(0, len(computed.outcomes), WORD_BYTES)],
        counted=computed.result.counted,
        selected=computed.result.selected,
        commitments={
            slot: state.entries[slot].update.hash_struct() if slot in rows else sha256(b"not delivered")
            for slot in committed
        },
    )
    if draft.result() != computed.result:
        raise RuntimeError("these leaves are not those that the enclave's result commits to")
    return draft


def some_rows(slots: Iterable[int], dimension: int, *, seed: int = 1, scale: int = 300) -> Rows:
    """Rows that agree but for noise, and one that opposes them."""
    random = np.random.default_rng(seed)
    common = random.integers(-scale, scale + 1, dimension)
    rows = {slot: (common + random.integers(-90, 91, dimension)).astype(np.int16) for slot in slots}
    opposed = min(rows)
    rows[opposed] = (-2 * common).astype(np.int16)
    return rows


def root_of(tree: Tree, leaves: Iterable[bytes]) -> bytes:
    """The root over leaves of a kind."""
    return merkle.root([merkle.leaf_hash(tree, leaf) for leaf in leaves])
