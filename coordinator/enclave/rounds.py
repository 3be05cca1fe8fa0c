"""One round inside the enclave: what was admitted, what became of every slot, and the result.

Responsible for: receipts, the set tree, and the one result of a round; all of it a function of what came in.
Must not know:   sockets, sealing, how a key is kept.

Spec: docs/protocol.md sections 3, 5 and 6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from coordinator.enclave import admission
from coordinator.enclave.admission import Admitted, RefusedError
from coordinator.enclave.rules import Aggregation, account, aggregate, plain
from coordinator.enclave.rules.machine import products_of_chunks
from protocol import fixedpoint, rulebook, seeds, trees
from protocol.charter import Charter
from protocol.encoding import Fields, encode
from protocol.errors import AlreadyReceivedError, EncodingError, NotInCohortError, PolicyError, SpecMismatchError
from protocol.fixedpoint import Int16, Int32
from protocol.messages import MAX_SLOTS, ZERO, Domain, Receipt, RoundResult, Spec, Update, cohort_hash
from protocol.outcomes import Outcome, Reason, Status, bitmap, encode_outcomes, outcomes_hash
from protocol.rulebook import Chain, Rule
from protocol.sealing import Payload
from protocol.terms import Terms
from protocol.trees import SetLeaf


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An admitted update without its row: what is sealed of it."""

    update: Update
    """The signed statement."""
    signature: bytes
    """The participant's; 65 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """The one result of a round."""

    result: RoundResult
    """What was signed."""
    signature: bytes
    """The enclave's; 65 bytes."""
    outcomes: bytes
    """One word a slot."""
    set_leaves: tuple[bytes, ...]
    """Data of the set tree's leaves."""


@dataclass(slots=True, kw_only=True)
class Round:
    """A round that was opened."""

    spec: Spec
    """As the ledger has it, if the host did not lie: a result for another is refused there."""
    cohort: tuple[bytes, ...]
    """Addresses, ascending; the index is the slot."""
    base: Int32
    """(d,) the model that updates start from."""
    entries: dict[int, Entry] = field(default_factory=dict)
    """Admitted, by slot: each has a receipt, and is counted."""
    rows: dict[int, Int16] = field(default_factory=dict)
    """Their rows; after a restart those that were fed again."""
    refusals: dict[int, Reason] = field(default_factory=dict)
    """Last reason of a slot whose participant signed something that was refused."""
    signed: Signed | None = None
    """The result, once there is one."""

    @property
    def chain(self) -> Chain:
        """What is done with the rows."""
        return rulebook.chain_of(self.spec)

    @property
    def missing(self) -> list[int]:
        """Slots whose rows must be fed again."""
        return sorted(set(self.entries) - set(self.rows))

    def copy(self) -> Round:
        """The same round, to be changed on its own."""
        return replace(self, entries=dict(self.entries), rows=dict(self.rows), refusals=dict(self.refusals))

    def slot_of(self, participant: bytes) -> int:
        """The slot of an address.  Raises NotInCohortError."""
        if participant not in self.cohort:
            raise NotInCohortError("participant", expected="a member of this round's cohort", actual=participant)
        return self.cohort.index(participant)

    def submit(self, slot: int, payload: Payload, domain: Domain) -> tuple[Receipt, bool]:
        """The receipt of an update, and whether it is new.

        Raises: RefusedError, which stands in the outcome where it is signed and the slot has nothing admitted;
        AlreadyReceivedError for a second and different one.
        """
        if self.signed is not None:
            raise PolicyError("an update for a round whose result is signed")
        try:
            admitted = self._admit(slot, payload, domain)
        except RefusedError as refused:
            if refused.signed and slot not in self.entries:
                self.refusals[slot] = refused.reason
            raise
        known = self.entries.get(slot)
        if known is not None and known.update != admitted.update:
            expected, actual = known.update.hash_struct(), admitted.update.hash_struct()
            raise AlreadyReceivedError("a second update of one participant", expected=expected, actual=actual)
        if known is None:
            self._take(slot, admitted)
        else:  # the entry stays as it was sealed: the same update under another valid signature is no other leaf
            self.rows[slot] = admitted.row
        return self.receipt(slot), known is None

    def receipt(self, slot: int) -> Receipt:
        """The promise about an admitted slot."""
        return Receipt(
            federation=self.spec.federation,
            round_id=self.spec.round_id,
            slot=slot,
            update=self.entries[slot].update.hash_struct(),
            enclave=self.spec.enclave,
        )

    def restore(self, slot: int, payload: Payload, domain: Domain) -> None:
        """The row of an admitted slot, fed again after a restart; it must be the very update."""
        admitted = self._admit(slot, payload, domain)
        if slot not in self.entries or admitted.update != self.entries[slot].update:
            expected = self.entries[slot].update.hash_struct() if slot in self.entries else None
            what = f"update fed again for slot {slot}"
            raise SpecMismatchError(what, expected=expected, actual=admitted.update.hash_struct())
        self.rows[slot] = admitted.row

    def force(self, slot: int, commitment: bytes, payload: Payload | None, *, delivered: bool, domain: Domain) -> None:
        """A commitment on the ledger outranks what was received: it is counted, or carries an attested-only reason.

        commitment: hashStruct of the Update that the participant committed.
        payload:    what the host delivered for it, opened; None where it did not open or nothing came.
        """
        if slot in self.entries and self.entries[slot].update.hash_struct() == commitment:
            return
        self.entries.pop(slot, None)
        self.rows.pop(slot, None)
        if not delivered:
            self.refusals[slot] = Reason.UNDELIVERED
            return
        try:
            if payload is None:
                raise EncodingError("a committed update that does not open")
            if payload.update.hash_struct() != commitment:
                self.refusals[slot] = Reason.UNDELIVERED
                return
            self._take(slot, self._admit(slot, payload, domain))
        except RefusedError as refused:
            # whatever else was wrong: for a committed slot the ledger knows only the attested-only reasons
            self.refusals[slot] = Reason.ROOT if refused.reason == Reason.ROOT else Reason.UNOPENED
        except EncodingError:
            self.refusals[slot] = Reason.UNOPENED

    def _admit(self, slot: int, payload: Payload, domain: Domain) -> Admitted:
        return admission.admit(
            payload, spec=self.spec, spec_hash=self.spec.hash_struct(), domain=domain, participant=self.cohort[slot]
        )

    def _take(self, slot: int, admitted: Admitted) -> None:
        self.entries[slot] = Entry(update=admitted.update, signature=admitted.signature)
        self.rows[slot] = admitted.row
        self.refusals.pop(slot, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """A result before it is signed, with the arrays behind it."""

    result: RoundResult
    """What will be signed."""
    outcomes: bytes
    """One word a slot."""
    set_leaves: tuple[bytes, ...]
    """Data of the set tree's leaves."""
    aggregate: Int32 | None
    """(d,), or None with too few counted."""
    model: Int32
    """(d,) the new model; the base model with too few counted."""


def check_supported(asked: Spec | Terms, charter: Charter) -> None:
    """Whether this enclave can go through with a round of this spec, or of these terms, from its opening to its result.

    Members may vote for more than this version does, and an opened round that no enclave takes ends late.
    Raises: PolicyError, SpecMismatchError, RangeError, UnknownNameError.
    """
    if asked.dimension != charter.dimension:
        raise SpecMismatchError("dimension", expected=charter.dimension, actual=asked.dimension)
    if asked.optimizer != 0:
        raise PolicyError("server optimizer", expected="0 (plain)", actual=asked.optimizer)
    chain = rulebook.chain_of(asked)
    if chain.rule.name == "fltrust":
        raise PolicyError("rule", expected="one that needs no trusted row: a round has none", actual=chain)
    needed = chain.minimum_counted(f=asked.f, m=asked.m)
    if chain.number == Rule.REPLAY and asked.min_counted < needed:
        # the ledger knows no condition of it, and would not void a round of fewer
        what = f"minCounted for {chain} with f = {asked.f}"
        raise PolicyError(what, expected=f"at least {needed}", actual=asked.min_counted)
    if isinstance(asked, Terms) and (most := asked.cohort_size or MAX_SLOTS) < max(needed, asked.min_counted):
        what = f"slots of a round for {chain} with f = {asked.f} and minCounted = {asked.min_counted}"
        raise PolicyError(what, expected=f"at least {max(needed, asked.min_counted)}", actual=most)
    fixedpoint.step_shift(asked.exponent, charter.model_exponent)
    least = 1 if chain.is_weighted else 0
    if not least <= asked.weight_cap <= rulebook.MAX_WEIGHT_CAP:
        raise PolicyError("weight cap", expected=f"{least} to {rulebook.MAX_WEIGHT_CAP}", actual=asked.weight_cap)


def open_round(
    spec: Spec, cohort: Sequence[bytes], base: bytes, *, enclave: bytes, federation: bytes, charter: Charter
) -> Round:
    """A round as the host says the ledger opened it.

    base: the model's bytes; they must hash to the spec's root.
    Raises: SpecMismatchError, and what `check_supported` does.
    """
    check_supported(spec, charter)
    if len(base) != 4 * spec.dimension:
        raise SpecMismatchError("length of the base model in bytes", expected=4 * spec.dimension, actual=len(base))
    model = fixedpoint.decode_model(base, spec.dimension)
    for what, expected, actual in (
        ("federation of the spec", federation, spec.federation),
        ("enclave of the spec", enclave, spec.enclave),
        ("cohort of the spec", spec.cohort, cohort_hash(cohort)),
        ("base model of the spec", spec.base_model, trees.model_root(model)),
    ):
        if expected != actual:
            raise SpecMismatchError(what, expected=expected, actual=actual)
    return Round(spec=spec, cohort=tuple(cohort), base=model)


def compute(state: Round, *, model_exponent: int, recheck: Sequence[int]) -> Computed:
    """The result of everything admitted: a function of the round's state, in any order of arrival.

    recheck: leaves of the column tree to compute again with plain code before anything is signed.
    """
    spec, slots = state.spec, sorted(state.entries)
    leaves = tuple(_set_leaf(state, slot).encode() for slot in range(len(state.cohort)))
    chain, k = state.chain, len(slots)
    needed = max(spec.min_counted, chain.minimum_counted(f=spec.f, m=spec.m))
    counted = bitmap(slots)
    if k < needed:
        outcomes = [_outcome(state, slot) for slot in range(len(state.cohort))]
        blank = {"column_root": ZERO, "gram_root": ZERO, "new_model": spec.base_model}
        result = _result(spec, leaves, counted, counted, outcomes, **blank)
        encoded = encode_outcomes(outcomes)
        return Computed(result=result, outcomes=encoded, set_leaves=leaves, aggregate=None, model=state.base)
    rows, aggregation = aggregate_counted(state, leaves)
    found = account(rows, aggregation, leaves=recheck)
    plain.recheck(rows, aggregation, spec.f, spec.m, found.at)
    model = fixedpoint.model_step(
        state.base,
        aggregation.aggregate,
        learning_rate=spec.learning_rate,
        decay=spec.decay,
        exponent=spec.exponent,
        model_exponent=model_exponent,
    )
    outcomes = [_outcome(state, slot) for slot in range(len(state.cohort))]
    for i, slot in enumerate(slots):
        alignment = int(found.totals.alignment[i])
        outcomes[slot] = Outcome(
            status=Status.COUNTED,
            flagged=alignment < 0,
            kept=int(found.totals.kept[i]),
            deviation=int(found.totals.deviation[i]),
            alignment=alignment,
            weight=int(aggregation.weights[i]),
        )
    selected = bitmap(slot for i, slot in enumerate(slots) if aggregation.selected[i])
    result = _result(
        spec,
        leaves,
        counted,
        selected,
        outcomes,
        column_root=found.root,
        gram_root=trees.gram_root(rows, products_of_chunks(rows)) if rulebook.needs_gram(chain.number) else ZERO,
        new_model=trees.model_root(model),
    )
    encoded = encode_outcomes(outcomes)
    return Computed(result=result, outcomes=encoded, set_leaves=leaves, aggregate=aggregation.aggregate, model=model)


def aggregate_counted(state: Round, set_leaves: Sequence[bytes]) -> tuple[list[Int16], Aggregation]:
    """The counted rows by ascending slot, where they lie, and what the round's chain makes of them.

    set_leaves: data of the set tree's leaves; bucketing draws its order by their root.
    """
    spec, chain, slots = state.spec, state.chain, sorted(state.entries)
    rows = [state.rows[slot] for slot in slots]
    samples = np.array([min(state.entries[slot].update.samples, spec.weight_cap) for slot in slots], dtype=np.int64)
    seed = seeds.bucketing_seed(federation=spec.federation, round_id=spec.round_id, set_root=trees.set_root(set_leaves))
    weights = samples if chain.is_weighted else None
    return rows, aggregate(chain, rows, f=spec.f, m=spec.m, weights=weights, slots=slots, seed=seed)


def encode_round(state: Round) -> bytes:
    """For sealing: all but base model and rows, which are fed again."""
    signed = state.signed
    return encode(
        {
            "spec": state.spec.to_map(),
            "cohort": list(state.cohort),
            "entries": [
                {"slot": slot, "update": entry.update.to_map(), "signature": entry.signature}
                for slot, entry in sorted(state.entries.items())
            ],
            "refusals": [[slot, int(reason)] for slot, reason in sorted(state.refusals.items())],
            "signed": None
            if signed is None
            else {
                "result": signed.result.to_map(),
                "signature": signed.signature,
                "outcomes": signed.outcomes,
                "set": list(signed.set_leaves),
            },
        }
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedRound:
    """What a sealed round says, before it is opened again with its base model."""

    spec: Spec
    """As opened."""
    cohort: tuple[bytes, ...]
    """As opened."""
    entries: dict[int, Entry]
    """As in Round."""
    refusals: dict[int, Reason]
    """As in Round."""
    signed: Signed | None
    """As in Round."""


def parse_round(value: Mapping[str, object]) -> SealedRound:
    """The round in unsealed bytes."""
    fields = Fields(value, "sealed round")
    entries = {}
    spec = Spec.from_map(fields.map("spec"))
    cohort = tuple(fields.list("cohort", 256))
    for item in fields.list("entries", 256):
        entry = Fields(item, "sealed entry")
        slot = entry.uint("slot", 16)
        entries[slot] = Entry(update=Update.from_map(entry.map("update")), signature=entry.bytes("signature", 65))
        entry.done()
    refusals = {slot: Reason(reason) for slot, reason in fields.list("refusals", 256)}
    signed = None
    if fields.optional("signed"):
        part = Fields(fields.map("signed"), "sealed result")
        signed = Signed(
            result=RoundResult.from_map(part.map("result")),
            signature=part.bytes("signature", 65),
            outcomes=part.bytes("outcomes"),
            set_leaves=tuple(part.list("set", 256)),
        )
        part.done()
    fields.done()
    return SealedRound(spec=spec, cohort=cohort, entries=entries, refusals=refusals, signed=signed)


def _set_leaf(state: Round, slot: int) -> SetLeaf:
    if slot in state.entries:
        entry = state.entries[slot]
        return SetLeaf(update_root=entry.update.update_root, samples=entry.update.samples, signature=entry.signature)
    return SetLeaf(reason=state.refusals.get(slot, Reason.NONE))


def _outcome(state: Round, slot: int) -> Outcome:
    if slot in state.entries:
        return Outcome(status=Status.COUNTED)
    if slot in state.refusals:
        return Outcome(status=Status.REFUSED, reason=state.refusals[slot])
    return Outcome(status=Status.ABSENT)


def _result(
    spec: Spec,
    leaves: Sequence[bytes],
    counted: int,
    selected: int,
    outcomes: Sequence[Outcome],
    *,
    column_root: bytes,
    gram_root: bytes,
    new_model: bytes,
) -> RoundResult:
    return RoundResult(
        federation=spec.federation,
        round_id=spec.round_id,
        spec=spec.hash_struct(),
        previous=spec.previous,
        set_root=trees.set_root(leaves),
        counted=counted,
        selected=selected,
        column_root=column_root,
        gram_root=gram_root,
        outcomes=outcomes_hash(outcomes),
        new_model=new_model,
        state=ZERO,
        enclave=spec.enclave,
    )
