"""What set leaves, row leaves and signatures show: F3, F7 and F8, of any rule.

Responsible for: finding a set leaf, a row or a signed promise that is not what it has to be.
Must not know:   columns, sums, models.

Spec: docs/protocol.md sections 3.2, 3.3, 5.1 and 5.2.  Twin: contracts/src/predicates/SetPredicates.sol.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from protocol import signed_leaves
from protocol.disputes import Family, Predicate
from protocol.errors import SignatureError
from protocol.keys import Address, recover, to_hex
from protocol.messages import Receipt, RoundResult, Struct, Update
from protocol.openings import Openings
from protocol.outcomes import ATTESTED_ONLY, Reason, Status
from protocol.rulebook import Rule
from protocol.trees import GRAM_CHUNK, ROW_LEAF, SET_LEAF_COUNTED_BYTES, SET_LEAF_OTHER_BYTES, parse_set_leaf
from verifier.refutation.statement import Facts, SignedReceipt, SignedResult, Statement
from verifier.refutation.tables import ROW_LEAF_BYTES, Tables, first

MAX_CHUNKS = 23
"""A chunk takes over 710,000 gas to show, and a transaction may take 2^24."""

OUT_OF_RANGE = -(1 << 15)
"""The one int16 that no row may hold."""


def set_leaves(facts: Facts, openings: Openings) -> Iterator[Statement]:
    """F7: a leaf that does not say what the slot's outcome says; a signature that is not the participant's.

    F3: a commitment that was not honoured, or a reason that needs one where there is none.
    """
    for slot, data in enumerate(openings.leaves.set_leaves or ()):
        if data is None:
            continue
        difference = _difference(facts, slot, data)
        if difference:
            leaf = openings.set_leaf(slot)
            text = f"set leaf of slot {slot}: {difference}"
            yield facts.statement(Family.SET, Predicate.FORM, "setLeafDiffers", facts.outcomes, leaf, text=text)
        if facts.result.counted >> slot & 1 and len(data) == SET_LEAF_COUNTED_BYTES:
            yield from _signature(facts, openings, slot, data)
        broken = _broken_commitment(facts, slot, data)
        if broken:
            leaf = openings.set_leaf(slot)
            yield facts.statement(
                Family.SET, Predicate.PROMISE, "commitmentBroken", facts.cohort, leaf, text=f"slot {slot}: {broken}"
            )


def rows(facts: Facts, openings: Openings, tables: Tables) -> Iterator[Statement]:
    """F7: a counted row's leaf of a wrong length, a coordinate of -32768, one past the dimension that is not zero."""
    for slot in sorted(openings.leaves.rows):
        bad, found = tables.row(slot).first_bad(), _out_of_place(facts, tables, slot)
        if bad is not None:
            index, coordinate = bad, 0
            size = len(openings.row_leaf(slot, bad).data)
            text = f"leaf {bad} of the row of slot {slot}: expected {ROW_LEAF_BYTES} bytes, got {size}"
        elif found is not None:
            (index, coordinate), text = divmod(found[0], ROW_LEAF), found[1]
        else:
            continue
        arguments = (openings.set_leaf(slot), openings.row_leaf(slot, index), coordinate)
        yield facts.statement(Family.SET, Predicate.FORM, "rowMalformed", *arguments, text=text)


def norms(facts: Facts, openings: Openings, tables: Tables) -> Iterator[Statement]:
    """F7: a counted row whose squared norm is over the bound; as few of its chunks as are over it alone.

    The smallest first; of those that fit no transaction only one, which says that something is wrong all the same.
    A padding that is not zero counts, as it does on the ledger: such a row is malformed anyway.
    """
    found = sorted(_over_bound(facts, openings, tables), key=lambda over: len(over[1]))
    fitting = [over for over in found if len(over[1]) <= MAX_CHUNKS]
    for slot, chunks, norm in fitting or found[:1]:
        text = f"squared norm of the row of slot {slot}: expected at most {facts.spec.norm_bound}, got {norm}"
        opened = [openings.row_chunk(slot, chunk) for chunk in chunks]
        yield facts.statement(Family.SET, Predicate.FORM, "rowOverBound", opened, chunks, text=text)


def _over_bound(facts: Facts, openings: Openings, tables: Tables) -> Iterator[tuple[int, list[int], int]]:
    """(slot, chunks that show it, squared norm of the whole row)."""
    bound = facts.spec.norm_bound
    for slot in sorted(openings.leaves.rows) if bound else ():
        if not tables.row(slot).is_good.all():
            continue  # a leaf of another length is refuted as such
        sums = _squares(tables.row(slot).values.reshape(-1))
        largest = sorted(range(len(sums)), key=lambda chunk: -sums[chunk])
        for needed, norm in enumerate(accumulate(sums[chunk] for chunk in largest), start=1):
            if norm > bound:
                yield slot, sorted(largest[:needed]), sum(sums)
                break


def receipts(facts: Facts, openings: Openings, held: Sequence[SignedReceipt]) -> Iterator[Statement]:
    """F3: a receipt, of a slot that committed nothing, is not what the set tree holds."""
    for signed in held:
        receipt, slot = signed.receipt, signed.receipt.slot
        leaves = openings.leaves.set_leaves or ()
        if slot >= len(leaves) or slot in facts.commitments or not is_enclaves(facts, receipt, signed.signature):
            continue
        data = leaves[slot]
        if data is None or len(data) not in (SET_LEAF_COUNTED_BYTES, SET_LEAF_OTHER_BYTES):
            continue  # another length is refuted as such
        actual = _what(facts, slot, data)
        if actual == f"update 0x{receipt.update.hex()}":
            continue
        text = f"slot {slot}: expected update 0x{receipt.update.hex()}, as its receipt promises, got {actual}"
        arguments = (facts.cohort, receipt, signed.signature, openings.set_leaf(slot))
        yield facts.statement(Family.SET, Predicate.PROMISE, "receiptBroken", *arguments, text=text)


def two_results(facts: Facts, one: SignedResult, other: SignedResult) -> Iterator[Statement]:
    """F8: two results of the round's enclave for the round."""
    both = all(is_enclaves(facts, signed.result, signed.signature) for signed in (one, other))
    first_, second = one.result.hash_struct(), other.result.hash_struct()
    if both and first_ != second:
        text = f"the enclave signed two results for the round: 0x{first_.hex()} and 0x{second.hex()}"
        arguments = (facts.spec, one.result, one.signature, other.result, other.signature)
        yield Statement(
            family=Family.SET, predicate=Predicate.TWICE, function="twoResults", arguments=arguments, text=text
        )


def two_receipts(facts: Facts, one: SignedReceipt, other: SignedReceipt) -> Iterator[Statement]:
    """F8: two receipts of the round's enclave for one slot and different updates."""
    both = all(is_enclaves(facts, signed.receipt, signed.signature) for signed in (one, other))
    a, b = one.receipt, other.receipt
    if both and a.slot == b.slot and a.update != b.update:
        text = f"slot {a.slot} has receipts for two updates: 0x{a.update.hex()} and 0x{b.update.hex()}"
        arguments = (facts.spec, a, one.signature, b, other.signature)
        yield Statement(
            family=Family.SET, predicate=Predicate.TWICE, function="twoReceipts", arguments=arguments, text=text
        )


def is_enclaves(facts: Facts, message: Receipt | RoundResult, signature: bytes) -> bool:
    """Whether the round's enclave signed this, about this round."""
    spec = facts.spec
    place = (message.federation, message.round_id, message.enclave)
    return (
        place == (spec.federation, spec.round_id, spec.enclave) and _signer(facts, message, signature) == facts.signer
    )


def update_of(facts: Facts, slot: int, data: bytes) -> Update:
    """The Update that a slot's participant signed if this is its set leaf: 101 bytes, of a slot of the cohort."""
    leaf = parse_set_leaf(data)
    return signed_leaves.update_of(facts.spec, facts.cohort[slot], root=leaf.update_root, samples=leaf.samples)


def _difference(facts: Facts, slot: int, data: bytes) -> str:
    """What the leaf says that the outcome does not; empty where they agree."""
    outcome = facts.stated[slot]
    if outcome.status is Status.COUNTED:
        if len(data) != SET_LEAF_COUNTED_BYTES:
            return f"expected {SET_LEAF_COUNTED_BYTES} bytes, since its outcome is counted, got {len(data)}"
        if facts.spec.rule == Rule.WEIGHTED_MEAN and not any(data[32:36]):
            return "expected samples of at least 1, since they weigh, got 0"
        return ""
    if len(data) != SET_LEAF_OTHER_BYTES:
        return f"expected {SET_LEAF_OTHER_BYTES} bytes, since its outcome is not counted, got {len(data)}"
    if any(data[:32]):
        return f"expected 32 zero bytes before the reason, got 0x{data[:32].hex()}"
    if data[32] != outcome.reason:
        return f"expected reason {outcome.reason.value}, as its outcome has, got {data[32]}"
    return ""


def _signature(facts: Facts, openings: Openings, slot: int, data: bytes) -> Iterator[Statement]:
    actual, expected = _signer(facts, update_of(facts, slot, data), data[36:]), facts.cohort[slot]
    if actual != expected:
        by = "nobody" if actual is None else to_hex(actual)
        text = f"update of slot {slot}: expected the signature of {to_hex(expected)}, got that of {by}"
        yield facts.statement(
            Family.SET, Predicate.FORM, "signatureWrong", facts.cohort, openings.set_leaf(slot), text=text
        )


def _signer(facts: Facts, message: Struct, signature: bytes) -> Address | None:
    try:
        return recover(message.digest(facts.domain), signature)
    except SignatureError:
        return None


def _broken_commitment(facts: Facts, slot: int, data: bytes) -> str:
    """How the leaf goes against the ledger's commitments; empty where it does not, or is no set leaf at all."""
    committed = facts.commitments.get(slot)
    if len(data) == SET_LEAF_COUNTED_BYTES:
        if committed is None or update_of(facts, slot, data).hash_struct() == committed:
            return ""
        return f"expected the committed update 0x{committed.hex()}, got {_what(facts, slot, data)}"
    if len(data) != SET_LEAF_OTHER_BYTES:
        return ""
    if committed is None:
        needs_one = data[32] in (Reason.UNDELIVERED, Reason.UNOPENED)
        return f"expected a commitment for {_what(facts, slot, data)}, got none" if needs_one else ""
    if data[32] >= min(ATTESTED_ONLY):
        return ""
    return f"expected the committed update 0x{committed.hex()} or reason 7 to 9, got {_what(facts, slot, data)}"


def _what(facts: Facts, slot: int, data: bytes) -> str:
    if len(data) == SET_LEAF_COUNTED_BYTES:
        return f"update 0x{update_of(facts, slot, data).hash_struct().hex()}"
    return f"reason {data[32]}" if data[32] else "nothing received"


def _squares(row: NDArray[np.int16]) -> list[int]:
    """The squared norm of each chunk of a row; exact, since 4096 squares are below 2**42."""
    wide = row.astype(np.int64)
    return [int(part @ part) for part in np.split(wide, range(GRAM_CHUNK, len(wide), GRAM_CHUNK))]


def _out_of_place(facts: Facts, tables: Tables, slot: int) -> tuple[int, str] | None:
    """The first coordinate of a row that holds what it may not, and what that is."""
    flat, d = tables.row(slot).values.reshape(-1), facts.spec.dimension
    is_wrong = np.asarray(flat == OUT_OF_RANGE)
    is_wrong[d:] = flat[d:] != 0
    at = first(is_wrong)
    if at is None:
        return None
    expected = "at least -32767" if at < d else "0, past the dimension"
    return at, f"coordinate {at} of the row of slot {slot}: expected {expected}, got {int(flat[at])}"
