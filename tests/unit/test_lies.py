"""The table of lies leaves nothing out: each field of each leaf, and of each outcome, is another one in some lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

import pytest

from protocol.openings import Tree
from scripts.drafts import Draft
from tests.support.drafts import DIMENSION, SELECTING, usual
from tests.support.lies import LIES
from tests.support.refutations import PAGE, splice

KINDS = ("weighted-mean", "trimmed-mean", "multi-krum")
"""A rule that weighs, one that drops values, one that selects."""
K = 6
"""Counted slots of the usual round."""
ROW_END, COLUMN_END = 2 * (DIMENSION % 256), DIMENSION % 16
SET_COUNTED = {"root": (0, 32), "samples": (32, 36), "r": (36, 68), "s": (68, 100), "v": (100, 101)}
SET_OTHER = {"zeros": (0, 32), "reason": (32, 33)}
OUTCOME = {
    **{"status": (0, 1), "reason": (1, 2), "flagged": (2, 3), "kept": (3, 7), "deviation": (7, 15)},
    **{"alignment": (15, 23), "weight": (23, 27)},
}
"""The last 40 bits of a word are zero, or `propose` refuses it."""
TOTALS = {"kept": (0, 4), "deviation": (4, 12), "alignment": (12, 20)}


def touched(before: bytes, after: bytes, layout: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    """Which parts of a leaf are others; `length` where that is."""
    if len(before) != len(after):
        yield "length"
        return
    yield from (name for name, (start, end) in layout.items() if before[start:end] != after[start:end])


def changes(before: Draft, after: Draft) -> Iterator[str]:
    """What is different in the leaves and words of two rounds, as names such as `set r`."""
    for one, other in zip(before.set_leaves, after.set_leaves, strict=True):
        layout, kind = (SET_COUNTED, "counted set leaf") if len(one) == 101 else (SET_OTHER, "other set leaf")
        yield from (f"{kind}: {name}" for name in touched(one, other, layout))
    for one, other in zip(before.outcomes, after.outcomes, strict=True):
        yield from (f"outcome: {name}" for name in touched(one, other, OUTCOME))
    for slot in before.slots:
        for index, (one, other) in enumerate(zip(before.rows[slot], after.rows[slot], strict=True)):
            last = index == len(before.rows[slot]) - 1
            layout = {"coordinates": (0, ROW_END), "padding": (ROW_END, 512)} if last else {"coordinates": (0, 512)}
            yield from (f"row: {name}" for name in touched(one, other, layout))
    for index, (old, new) in enumerate(zip(before.columns, after.columns, strict=True)):
        end = COLUMN_END if index == len(before.columns) - 1 else 16
        for place in range(K):
            at = 32 * place
            layout = {"coordinates": (at, at + 2 * end), "padding": (at + 2 * end, at + 32)}
            yield from (f"columns: {name}" for name in touched(old.columns, new.columns, layout))
            layout = {name: (20 * place + start, 20 * place + stop) for name, (start, stop) in TOTALS.items()}
            yield from (f"totals: {name}" for name in touched(old.totals, new.totals, layout))
        layout = {"aggregate": (64, 64 + 4 * end), "padding of the aggregate": (64 + 4 * end, 128)}
        yield from (f"column leaf: {name}" for name in touched(old.data, new.data, layout))
    for index, (one, other) in enumerate(zip(before.gram or (), after.gram or (), strict=True)):
        own = 8 * (index % K)
        layout = {"norm": (own, own + 8), "product before": (0, own), "product after": (own + 8, 8 * K)}
        yield from (f"Gram leaf: {name}" for name in touched(one, other, layout))
    for index, (one, other) in enumerate(zip(before.model, after.model, strict=True)):
        end = 2 * ROW_END if index == len(before.model) - 1 else 1024
        layout = {"coordinates": (0, end), "padding": (end, 1024)}
        yield from (f"model leaf: {name}" for name in touched(one, other, layout))


def everything(rule: str) -> set[str]:
    """All names that `changes` knows of a rule's round."""
    parts = {
        "counted set leaf": ("length", *SET_COUNTED),
        "other set leaf": ("length", *SET_OTHER),
        "outcome": OUTCOME,
        "row": ("length", "coordinates", "padding"),
        "columns": ("length", "coordinates", "padding"),
        "totals": ("length", *TOTALS),
        "column leaf": ("length", "aggregate", "padding of the aggregate"),
        "model leaf": ("length", "coordinates", "padding"),
    }
    if rule in SELECTING:
        parts["Gram leaf"] = ("length", "norm", "product before", "product after")
    return {f"{kind}: {name}" for kind, names in parts.items() for name in names}


@cache
def changed(rule: str) -> frozenset[str]:
    """What the lies that can be told for a rule change."""
    found: set[str] = set()
    for lie in LIES:
        if rule in lie.rules:
            before = usual(rule) if lie.prepare is None else usual(rule, lie.prepare)
            after = lie.draft(rule)
            if lie.prepare is not None:
                found.add("row: coordinates")
            if before.counted == after.counted:
                found.update(changes(before, after))
            else:
                pairs = zip(before.outcomes, after.outcomes, strict=True)
                found.update(f"outcome: {name}" for pair in pairs for name in touched(*pair, OUTCOME))
    return frozenset(found)


@pytest.mark.parametrize("rule", KINDS)
def test_every_field_is_changed_by_some_lie(rule: str) -> None:
    assert everything(rule) - changed(rule) == set()


@pytest.mark.parametrize("rule", KINDS)
def test_every_field_of_the_result_that_leads_somewhere_is_changed_by_some_lie(rule: str) -> None:
    honest = usual(rule).result()
    fields = {"set_root", "counted", "selected", "column_root", "outcomes", "new_model"}
    fields |= {"gram_root"} if rule in SELECTING else set()
    told = [lie.draft(rule).result() for lie in LIES if rule in lie.rules and lie.prepare is None]
    different = {name for result in told for name in fields if getattr(result, name) != getattr(honest, name)}
    assert different == fields


def test_no_two_lies_have_one_name_and_each_says_which_tree_hides_it() -> None:
    assert len({lie.name for lie in LIES}) == len(LIES)
    assert {lie.hidden for lie in LIES} == {None, Tree.ROW, Tree.COLUMN, Tree.GRAM, Tree.MODEL}


def test_the_page_has_the_table_as_it_is() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == splice(page), "run python -m tests.support.refutations"
