"""Things that a round commits to, changed one at a time: each function returns what changes a draft.

Responsible for: the changes that the table of lies (tests/support/lies.py) and the benchmark of gas are made of.
Must not know:   what shows them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from protocol.hashing import sha256
from protocol.keys import sign
from protocol.outcomes import parse_outcome, slots_of
from verifier.refutation.statement import SignedResult

if TYPE_CHECKING:
    from drafts import Draft


def put(data: bytes, at: int, new: bytes) -> bytes:
    """`data` with other bytes from `at` on."""
    if len(data) < at + len(new):
        raise ValueError(f"nothing is at {at} of {len(data)} bytes")
    return data[:at] + new + data[at + len(new) :]


def add(data: bytes, at: int, size: int, change: int, *, order: str = "little") -> bytes:
    """`data` with the integer of `size` bytes at `at` changed, wrapping."""
    old = int.from_bytes(data[at : at + size], order)  # type: ignore[arg-type]
    new = ((old + change) % (1 << 8 * size)).to_bytes(size, order)  # type: ignore[arg-type]
    return put(data, at, new)


def set_leaf(slot: int, change: Callable[[bytes], bytes]) -> Callable[[Draft], None]:
    """Another leaf of the set tree."""

    def tell(draft: Draft) -> None:
        draft.set_leaves[slot] = change(draft.set_leaves[slot])

    return tell


OTHER = sha256(b"another update")


def committed(slot: int, update: bytes | None) -> Callable[[Draft], None]:
    """What is on the ledger of a slot; None for nothing."""

    def tell(draft: Draft) -> None:
        if update is None:
            del draft.commitments[slot]
        else:
            draft.commitments[slot] = update

    return tell


def promised(slot: int, update: bytes = OTHER) -> Callable[[Draft], None]:
    """Somebody holds a receipt."""
    return lambda draft: draft.receipts.append(draft.receipt(slot, update))


def two_receipts(draft: Draft) -> None:
    """For one slot, and two updates."""
    draft.receipts += [draft.receipt(0, draft.update(0).hash_struct()), draft.receipt(0, OTHER)]


def two_results(draft: Draft) -> None:
    """For one round."""
    other = replace(draft.result(), new_model=OTHER)
    draft.results += [
        draft.signed(),
        SignedResult(result=other, signature=sign(draft.enclave_key, other.digest(draft.domain))),
    ]


def row_leaf(index: int, change: Callable[[bytes], bytes]) -> Callable[[Draft], None]:
    """A participant's and the enclave's lie: another leaf of a row, under a root that is signed."""

    def tell(draft: Draft) -> None:
        draft.rows[0][index] = change(draft.rows[0][index])
        draft.resign(0)

    return tell


def columns(index: int, at: int, change: int = 1) -> Callable[[Draft], None]:
    """A coordinate of the third counted slot."""

    def tell(draft: Draft) -> None:
        draft.column(index, columns=add(draft.columns[index].columns, 64 + 2 * at, 2, change))

    return tell


def aggregate(index: int, lane: int, change: int = 1) -> Callable[[Draft], None]:
    """A coordinate of the aggregate."""

    def tell(draft: Draft) -> None:
        draft.column(index, tail=add(draft.columns[index].data[64:], 4 * lane, 4, change))

    return tell


FIELDS = {"kept": (0, 4), "deviation": (4, 8), "alignment": (12, 8)}
"""Where a slot's totals have each, and in how many bytes."""


def totals(first: int, last: int, name: str, change: int) -> Callable[[Draft], None]:
    """A total of the second counted slot in leaves first..last."""
    at, size = FIELDS[name]

    def tell(draft: Draft) -> None:
        for index in range(first, last + 1):
            draft.column(index, totals=add(draft.columns[index].totals, 20 + at, size, change, order="big"))

    return tell


def column_leaf(index: int, change: Callable[[bytes], bytes]) -> Callable[[Draft], None]:
    """Another leaf of the column tree, whatever its hashes are of."""

    def tell(draft: Draft) -> None:
        draft.columns[index] = replace(draft.columns[index], data=change(draft.columns[index].data))

    return tell


def outcome(name: str, change: int) -> Callable[[Draft], None]:
    """A number in the outcome of the second counted slot."""

    def tell(draft: Draft) -> None:
        slot = draft.slots[1]
        draft.outcome(slot, **{name: getattr(parse_outcome(draft.outcomes[slot]), name) + change})

    return tell


def gram(chunks: Iterable[int], entries: Iterable[tuple[int, int]], change: int) -> Callable[[Draft], None]:
    """Entries (place, place) after these chunks."""

    def tell(draft: Draft) -> None:
        k, lines = len(draft.slots), draft.gram or []
        for chunk in chunks:
            for i, j in entries:
                lines[chunk * k + i] = add(lines[chunk * k + i], 8 * j, 8, change, order="big")

    return tell


def gram_leaf(index: int, change: Callable[[bytes], bytes]) -> Callable[[Draft], None]:
    """Another leaf of the Gram tree."""

    def tell(draft: Draft) -> None:
        lines = draft.gram or []
        lines[index] = change(lines[index])

    return tell


def select_another(draft: Draft) -> None:
    """One of the selected and one of the others change places; nothing else follows."""
    draft.selected ^= 1 << slots_of(draft.selected)[0] | 1 << draft.others[0]


def model(at: int, change: int) -> Callable[[Draft], None]:
    """A coordinate of the new model, or of its padding."""

    def tell(draft: Draft) -> None:
        draft.model[at // 256] = add(draft.model[at // 256], 4 * (at % 256), 4, change)

    return tell


def model_leaf(index: int, change: Callable[[bytes], bytes]) -> Callable[[Draft], None]:
    """Another leaf of the new model."""

    def tell(draft: Draft) -> None:
        draft.model[index] = change(draft.model[index])

    return tell
