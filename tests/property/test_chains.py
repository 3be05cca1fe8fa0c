"""Every chain: the same integers by NumPy and by machine code, in any blocks, and what must hold of any robust rule."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.enclave.rules import RULES, Aggregation, account, aggregate, execute, machine, recheck, totals
from coordinator.enclave.rules.base import check_scale
from coordinator.enclave.rules.covers import least_diameter
from protocol import native
from protocol.errors import EncodingError, LengthError, MalformedError, RangeError, TooFewCountedError
from protocol.fixedpoint import Int16, Int64
from protocol.hashing import sha256
from protocol.rulebook import parse_chain
from protocol.trees import column_root
from tests.property.rules_helpers import needs
from verifier.replay import replay

BEFORE = [
    *("", "clip:40000+", "arc+", "bucketing:2+", "bucketing:3+", "nnm+", "arc+bucketing:2+", "nnm+bucketing:3+"),
    *("bucketing:2+nnm+", "nnm+arc+", "clip:30000+nnm+", "arc+nnm+bucketing:2+", "bucketing:200+", "nnm+clip:900+arc+"),
]
LAST = [
    *("mean", "median", "trimmed-mean", "meamed", "krum", "multi-krum", "bulyan", "mda", "geometric-median"),
    *("centred-clipping:20000", "centred-clipping:3000:2", "fltrust", "weighted-mean"),
]
MIXES = ("bucketing", "nnm")
CHAINS = [b + r for b in BEFORE for r in LAST if r != "weighted-mean" or not any(mix in b for mix in MIXES)]
ONE_ROW = ["mean", "median", "trimmed-mean", "meamed", "mda", "geometric-median", "centred-clipping:2147483647"]


@pytest.fixture
def by_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels for matrices of any size, several parts and blocks each."""
    monkeypatch.setattr(machine, "WORTH_IT", 0)
    monkeypatch.setattr(machine, "_PART_ELEMENTS", 1 << 13)


def rows_of(k: int, d: int, seed: int = 3) -> Int16:
    """Spread, ties, extremes and two equal rows."""
    random = np.random.default_rng(seed)
    rows = random.integers(-3000, 3001, (k, d)).astype(np.int16)
    rows[:, : d // 4] = random.integers(-1, 2, (k, d // 4))
    rows[:, d // 4 : d // 3] = random.choice([-32767, 0, 32767], (k, d // 3 - d // 4))
    rows[k - 1] = rows[k // 2]
    return rows


def run(chain: str, rows: Int16, f: int, **more: object) -> Aggregation:
    parsed = parse_chain(chain)
    weights: Int64 | None = np.arange(1, len(rows) + 1, dtype=np.int64) if parsed.is_weighted else None
    trusted = rows[0] if parsed.rule.name == "fltrust" else None
    return aggregate(chain, rows, f=f, weights=weights, trusted=trusted, **more)  # type: ignore[arg-type]


def largest_f(chain: str, k: int) -> int:
    return max(f for f in range(33) if needs(chain, f) <= k)


def works(chain: str, k: int) -> bool:
    return needs(chain, 0) <= k


@pytest.mark.skipif(not native.is_available(), reason="no machine code here")
@pytest.mark.usefixtures("by_machine")
@pytest.mark.parametrize("chain", CHAINS)
def test_machine_code_and_numpy_agree_on_everything(chain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for k, d in ((11, 700), (23, 1003)):
        if not works(chain, k):
            continue
        rows, f = rows_of(k, d), min(3, largest_f(chain, k))
        fast = run(chain, rows, f)
        fast_root = account(rows, fast).root
        with monkeypatch.context() as patch:
            patch.setattr(machine, "WORTH_IT", 1 << 60)
            slow = run(chain, rows, f)
            assert slow.plan == fast.plan
            assert np.array_equal(slow.aggregate, fast.aggregate)
            everything = totals(rows, slow)
            assert fast_root == account(rows, slow).root == column_root(rows, slow.aggregate, everything)
            given = (*rows, rows[0]) if chain.endswith("fltrust") else rows
            recheck(given, fast, f, 0, account(rows, fast, leaves=range(0, len(everything.kept), 7)).at)


@pytest.mark.parametrize("chain", CHAINS)
def test_blocks_and_memory_layout_change_nothing(chain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    k = 21 if works(chain, 21) else 401
    rows = rows_of(k, 130)
    before, f = rows.copy(), largest_f(chain, k) if k == 21 else 0
    whole = run(chain, rows, f)
    monkeypatch.setattr(execute, "BLOCK_ELEMENTS", 1)
    pieces = run(chain, np.asfortranarray(rows), f), run(chain, [row.copy() for row in rows], f)  # type: ignore[arg-type]
    assert np.array_equal(rows, before)
    for other in pieces:
        assert other.plan == whole.plan
        assert np.array_equal(other.aggregate, whole.aggregate)


@pytest.mark.parametrize("value", [-32767, 0, 1, 32767])
@pytest.mark.parametrize("chain", [chain for chain in CHAINS if not chain.startswith(("clip", "nnm+clip"))])
def test_of_equal_rows_the_aggregate_is_that_row(chain: str, value: int) -> None:
    k = 21 if works(chain, 21) else 601
    rows = np.full((k, 3), value, dtype=np.int16)
    if "centred-clipping" in chain:
        rows[:, 1:] = 0  # short enough for the radius, or zero
        rows[:, 0] = np.sign(value) * min(abs(value), 2000)
    found = run(chain, rows, min(1, largest_f(chain, k))).aggregate.tolist()
    off = abs(np.array(found) - (rows[0].astype(np.int64) << 15)).max()
    # a clipping factor is rounded down, and so is each weight of fltrust, in 2**-15; all else is exact
    assert off <= (k << 15 if "fltrust" in chain else 3 << 15 if "arc" in chain else 0)


@pytest.mark.parametrize("chain", ["trimmed-mean", "median", "meamed", "bulyan", "nnm+trimmed-mean", "nnm+median"])
def test_a_row_far_larger_than_the_rest_moves_nothing_out_of_the_honest_range(chain: str) -> None:
    honest = np.random.default_rng(5).integers(-9, 10, (14, 50)).astype(np.int16)
    far = np.full((1, 50), 32767, dtype=np.int16)
    found = run(chain, np.concatenate([honest, far]), 1).aggregate.astype(np.int64)
    assert (found >= honest.min(axis=0).astype(np.int64) << 15).all()
    assert (found <= honest.max(axis=0).astype(np.int64) << 15).all()


@pytest.mark.parametrize(
    ("chain", "m", "selected"),
    [("krum", 0, [4]), ("arc+krum", 0, [4]), ("multi-krum", 1, [4]), ("multi-krum", 2, [4, 7])],
)
def test_of_identical_best_rows_the_lower_slot_is_selected(chain: str, m: int, selected: list[int]) -> None:
    rows = np.random.default_rng(6).integers(-50, 51, (11, 40)).astype(np.int16) * 20
    rows[[4, 7, 9]] = 0
    found = aggregate(chain, rows, f=2, m=m)
    assert np.flatnonzero(found.selected).tolist() == selected


@pytest.mark.parametrize("chain", ["bulyan", "mda"])
def test_of_equal_rows_the_lower_slots_are_selected(chain: str) -> None:
    found = aggregate(chain, np.ones((11, 3), dtype=np.int16), f=2)
    assert np.flatnonzero(found.selected).tolist() == list(range(9 if chain == "mda" else 7))


@pytest.mark.parametrize("name", ["krum", "mda", "geometric-median"])
@pytest.mark.parametrize("d", [2195, 2500])
def test_rows_of_two_opposed_camps_behind_a_bucket_are_as_far_apart_as_they_are(name: str, d: int) -> None:
    """Products of these sums fit 63 bits, and their distances not 64."""
    order = sorted(range(256), key=lambda place: sha256(bytes(32), place.to_bytes(2)))
    rows = np.zeros((256, d), dtype=np.int16)
    for at, place in enumerate(order):
        rows[place] = (32767, -32767, 20000)[at // 100]
    f = int(name == "mda")
    found = aggregate(f"bucketing:100+{name}", rows, f=f)
    expected = replay(parse_chain(f"bucketing:100+{name}"), rows, f=f, m=0, weights=())
    assert tuple(np.flatnonzero(found.selected)) == expected.selected
    assert np.array_equal(found.aggregate, expected.aggregate)


@pytest.mark.parametrize("stage", ["clip:300", "arc", "clip:1"])
@pytest.mark.parametrize("value", [-1, 1, -700])
def test_behind_clipping_no_row_is_longer_than_the_radius(stage: str, value: int) -> None:
    rows = np.full((5, 100_000), value, dtype=np.int16)
    rows[0] *= 3
    found = aggregate(f"{stage}+krum", rows, f=1)
    radius = 1 if stage == "clip:1" else 300 if stage == "clip:300" else abs(value) * 317
    assert np.linalg.norm(found.aggregate / 2**15) <= radius


@pytest.mark.parametrize("chain", ONE_ROW)
@pytest.mark.parametrize("d", [1, 17])
def test_one_row_alone_is_the_aggregate(chain: str, d: int) -> None:
    rows = np.arange(-8, d - 8, dtype=np.int16)[None, :] * 100
    assert run(chain, rows, 0).aggregate.tolist() == (rows[0].astype(np.int64) << 15).tolist()


@pytest.mark.parametrize("chain", [c for c in CHAINS if "bucketing:200" not in c])
def test_one_row_too_few_is_refused_with_the_bound_and_the_bound_itself_works(chain: str) -> None:
    f = 2
    bound = needs(chain, f)
    rows = rows_of(bound, 5) if bound > 1 else np.full((1, 5), 7, dtype=np.int16)
    run(chain, rows, f)
    with pytest.raises(TooFewCountedError, match=f"at least {bound}, got {bound - 1}$"):
        run(chain, rows[1:], f) if bound > 1 else aggregate(chain, rows[1:], f=f)


@pytest.mark.parametrize("rule", ["median", "trimmed-mean", "meamed", "geometric-median", "mda", "nnm+mean"])
@pytest.mark.parametrize("f", [1, 4])
def test_with_n_of_2f_a_chain_is_refused_and_with_one_more_it_works(rule: str, f: int) -> None:
    rows = rows_of(2 * f + 1, 12)
    assert run(rule, rows, f).aggregate.shape == (12,)
    with pytest.raises(TooFewCountedError, match=f"at least {2 * f + 1}, got {2 * f}$"):
        run(rule, rows[1:], f)


@pytest.mark.parametrize("chain", [*RULES, "nnm+krum"])
def test_without_a_single_row_everything_is_refused(chain: str) -> None:
    name = "centred-clipping:1" if chain == "centred-clipping" else chain
    with pytest.raises((TooFewCountedError, MalformedError)):
        aggregate(name, np.zeros((0, 4), dtype=np.int16), f=0)


def test_rows_of_other_lengths_or_kinds_are_refused() -> None:
    one, two = np.zeros(4, dtype=np.int16), np.zeros(5, dtype=np.int16)
    for rows in ([one, two], [one, one.astype(np.int32)], [one, one[None, :]]):
        with pytest.raises(MalformedError, match="int16 vectors of one length"):
            aggregate("mean", rows, f=0)  # type: ignore[arg-type]
    with pytest.raises(LengthError, match="length of the rows"):
        aggregate("mean", [one[:0]], f=0)


def test_a_further_row_is_taken_by_the_rules_that_have_one_and_by_no_other() -> None:
    rows = rows_of(5, 8)
    with pytest.raises(MalformedError, match="trusted row for fltrust: expected one, got none"):
        aggregate("fltrust", rows, f=0)
    with pytest.raises(MalformedError, match="centre row for median: expected none, got one"):
        aggregate("median", rows, f=0, centre=rows[0])
    with pytest.raises(MalformedError, match="centre row: expected"):
        aggregate("centred-clipping:5", rows, f=0, centre=rows[0, :3])


@pytest.mark.parametrize(
    "chain", ["centred-clipping:500", "nnm+centred-clipping:500", "bucketing:2+centred-clipping:500"]
)
def test_a_centre_of_zeros_is_no_centre_and_another_one_attracts(chain: str) -> None:
    rows = rows_of(9, 60) // 8
    without = aggregate(chain, rows, f=1).aggregate
    assert np.array_equal(without, aggregate(chain, rows, f=1, centre=np.zeros(60, dtype=np.int16)).aggregate)
    far = np.full(60, 30_000, dtype=np.int16)
    near_it = aggregate(chain + ":1", rows, f=1, centre=far).aggregate
    step = np.linalg.norm(near_it / 2**15 - far)
    assert 0 < step <= 500 * 1.01


def test_slots_and_seed_draw_the_buckets() -> None:
    rows = rows_of(8, 6)
    plans = {
        aggregate("bucketing:2+median", rows, f=0, slots=slots, seed=seed).plan.transforms
        for slots in (range(8), range(1, 9))
        for seed in (bytes(32), bytes([1]) * 32)
    }
    assert len(plans) == 4
    with pytest.raises(MalformedError, match="slots of the rows: expected 8 in ascending order"):
        aggregate("bucketing:2+median", rows, f=0, slots=[0, 1, 2, 3, 4, 5, 7, 7])


def test_a_scale_that_64_bits_have_no_room_for_is_refused() -> None:
    check_scale(300, (1 << 33) // 300)
    with pytest.raises(RangeError, match="rows times their scale behind the stages: expected below"):
        check_scale(300, (1 << 33) // 300 + 1)


def test_buckets_are_drawn_of_at_most_65536_slots() -> None:
    rows = np.zeros((2, 3), dtype=np.int16)
    with pytest.raises(RangeError, match="slot in a drawn order: expected at most 65535, got 65536"):
        aggregate("bucketing:2+mean", rows, f=0, slots=[0, 1 << 16])


def test_weighted_mean_stands_behind_no_mixing() -> None:
    with pytest.raises(EncodingError, match="weighted-mean behind no stage that mixes"):
        aggregate("nnm+weighted-mean", rows_of(5, 4), f=1, weights=np.ones(5, dtype=np.int64))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_mda_finds_what_looking_at_every_subset_finds(data: st.DataObject) -> None:
    k = data.draw(st.integers(1, 9))
    f = data.draw(st.integers(0, (k - 1) // 2))
    values = data.draw(
        st.lists(st.integers(0, data.draw(st.sampled_from([1, 3, 1000]))), min_size=k * k, max_size=k * k)
    )
    far = [[0 if i == j else values[min(i, j) * k + max(i, j)] for j in range(k)] for i in range(k)]
    best = min(combinations(range(k), k - f), key=lambda s: (max((far[i][j] for i in s for j in s), default=0), s))
    assert least_diameter(far, f) == best
