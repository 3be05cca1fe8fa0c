"""Each kernel gives the integers of an obvious computation, whatever the rows, the columns and the processor."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.enclave.rules.kernels import mixing, products, ranking, sums
from coordinator.enclave.rules.kernels.mixing import MixLists, mix_block
from coordinator.enclave.rules.kernels.products import gram, gram_block
from coordinator.enclave.rules.kernels.ranking import ranked_block, window_block
from coordinator.enclave.rules.kernels.sums import (
    norms_block,
    scaled_block,
    weighted_mean_block,
    weighted_sum_block,
)
from coordinator.enclave.rules.kernels.table import RowTable
from protocol import native
from protocol.fixedpoint import Int16, Int32, Int64

pytestmark = pytest.mark.skipif(not native.is_available(), reason="llvmlite is not installed")

Array = npt.NDArray[Any]
WIDTHS = (1, 15, 16, 31, 32, 33, 64, 255, 257, 1000)
QUICK = settings(max_examples=25, deadline=None)
PROCESSORS = [None, "x86-64-v3", "x86-64"]  # this one, one with AVX2, and the oldest with 64 bits


def rows_of(k: int, d: int, *, seed: int, kind: str) -> Int16:
    """(k, d) rows: anything at all, many ties, the ends of the range, or their alternation."""
    rng = np.random.default_rng(seed)
    if kind == "alternating":
        return np.where((np.arange(d) + np.arange(k)[:, None]) % 2, 32767, -32767).astype(np.int16)
    if kind == "ends":
        return rng.choice(np.array([-32767, 32767], dtype=np.int16), size=(k, d))
    largest = {"any": 32767, "small": 300, "ties": 1}[kind]
    return rng.integers(-largest, largest + 1, size=(k, d)).astype(np.int16)


@st.composite
def tables(draw: st.DrawFn, most: int = 40) -> tuple[Int16, int, int]:
    """Rows, and a range of their columns that begins anywhere."""
    d = draw(st.sampled_from(WIDTHS))
    kind = draw(st.sampled_from(["any", "small", "ties", "ends", "alternating"]))
    rows = rows_of(draw(st.integers(1, most)), d, seed=draw(st.integers(0, 2**32)), kind=kind)
    start = draw(st.integers(0, d - 1))
    return rows, start, draw(st.integers(start + 1, d))


def mean(kept: Array, divisor: int) -> list[int]:
    return [2**15 * sum(column) // divisor for column in kept.T.tolist()]


def window_of(column: list[int], count: int) -> list[int]:
    """The `count` consecutive ranked values nearest the median, by the definition."""
    v = sorted(column)
    start = 0
    for j in range(len(v) - count):
        if v[j] + v[j + count] < v[(len(v) - 1) // 2] + v[len(v) // 2]:
            start = j + 1
    return v[start : start + count]


def check_ranked(rows: Array, start: int, stop: int, first: int, last: int, scale: int = 1) -> None:
    before, table = rows.copy(), RowTable.of(rows)
    aggregate, low, high = outputs(rows, stop - start)
    ranked_block(table, start, stop, first=first, last=last, aggregate=aggregate, bounds=(low, high), scale=scale)
    kept = np.sort(rows[:, start:stop], axis=0)[first : last + 1]
    assert aggregate.tolist() == mean(kept, len(kept) * scale)
    assert (low.tolist(), high.tolist()) == (kept[0].tolist(), kept[-1].tolist())
    assert np.array_equal(rows, before)


def check_window(rows: Array, start: int, stop: int, count: int, scale: int = 1) -> None:
    before, table = rows.copy(), RowTable.of(rows)
    aggregate, low, high = outputs(rows, stop - start)
    window_block(table, start, stop, count=count, aggregate=aggregate, bounds=(low, high), scale=scale)
    kept = np.array([window_of(column, count) for column in rows[:, start:stop].T.tolist()]).T
    assert aggregate.tolist() == mean(kept, count * scale)
    assert (low.tolist(), high.tolist()) == (kept[0].tolist(), kept[-1].tolist())
    assert np.array_equal(rows, before)


def outputs(rows: Array, width: int) -> tuple[Int32, Array, Array]:
    """Filled with something, so that a column that is not written shows."""
    return np.full(width, -7, dtype=np.int32), np.full(width, -7, rows.dtype), np.full(width, -7, rows.dtype)


@QUICK
@given(tables(), st.data())
def test_a_mean_of_ranks_is_that_of_the_sorted_columns(given_rows: tuple[Int16, int, int], data: st.DataObject) -> None:
    rows, start, stop = given_rows
    first = data.draw(st.integers(0, len(rows) - 1))
    check_ranked(rows, start, stop, first, data.draw(st.integers(first, len(rows) - 1)))


@QUICK
@given(tables(), st.data())
def test_a_window_around_the_median_is_the_one_by_definition(
    given_rows: tuple[Int16, int, int], data: st.DataObject
) -> None:
    rows, start, stop = given_rows
    check_window(rows, start, stop, data.draw(st.integers(1, len(rows))))


@settings(max_examples=10, deadline=None)
@given(tables(20), st.integers(1, 1000), st.data())
def test_rows_that_are_sums_are_ranked_the_same(
    given_rows: tuple[Int16, int, int], scale: int, data: st.DataObject
) -> None:
    rows, start, stop = given_rows
    longer = rows * np.int32(scale)
    first = data.draw(st.integers(0, len(rows) - 1))
    check_ranked(longer, start, stop, first, data.draw(st.integers(first, len(rows) - 1)), scale)
    check_window(longer, start, stop, data.draw(st.integers(1, len(rows))), scale)


@pytest.mark.parametrize("kind", ["any", "ties", "ends"])
@pytest.mark.parametrize("k", [1, 2, 3, 50, 70, 128])
def test_trimmed_mean_median_and_mean_around_the_median_of_rows(k: int, kind: str) -> None:
    f = (k - 1) // 5
    rows = rows_of(k, 75, seed=k, kind=kind)
    check_ranked(rows, 3, 75, f, k - f - 1)
    check_ranked(rows, 0, 64, (k - 1) // 2, k // 2)
    check_window(rows, 0, 75, k - f)


@pytest.mark.parametrize(("k", "kind"), [(129, "any"), (129, "ties"), (256, "small"), (1000, "any")])
def test_the_same_of_more_rows_than_a_network_is_written_out_for(k: int, kind: str) -> None:
    f = (k - 1) // 5
    rows = rows_of(k, 70, seed=k, kind=kind)
    check_ranked(rows, 1, 70, f, k - f - 1)
    check_window(rows, 0, 70, k - f)
    check_ranked(rows * np.int32(3), 1, 70, (k - 1) // 2, k // 2, 3)


def test_rows_mixed_from_many_are_ranked_by_the_loop_too() -> None:
    rows = rows_of(140, 70, seed=0, kind="any")
    members = np.random.default_rng(1).random((140, 140)) < 0.7
    aggregate = np.full(69, -7, dtype=np.int32)
    lists = MixLists.of(members)
    ranked_block(RowTable.of(rows), 1, 70, first=30, last=109, lists=lists, scale=98, aggregate=aggregate)
    mixed = members.astype(np.int64) @ rows[:, 1:].astype(np.int64)
    assert aggregate.tolist() == mean(np.sort(mixed, axis=0)[30:110], 80 * 98)


def products_of(rows: Int16) -> Int64:
    longer = rows.astype(np.int64)
    return longer @ longer.T


@QUICK
@given(tables(70))
def test_inner_products_are_exact(given_rows: tuple[Int16, int, int]) -> None:
    rows, start, stop = given_rows
    before = rows.copy()
    assert np.array_equal(gram(RowTable.of(rows)), products_of(rows))
    assert np.array_equal(gram_block(RowTable.of(rows), start, stop), products_of(rows[:, start:stop]))
    assert np.array_equal(rows, before)


@pytest.mark.parametrize(("k", "d"), [(4, 300_007), (50, 40_001), (256, 3001), (1000, 333)])
@pytest.mark.parametrize("kind", ["any", "small", "ends"])
def test_inner_products_of_long_rows_and_of_many_are_exact(k: int, d: int, kind: str) -> None:
    rows = rows_of(k, d, seed=k, kind=kind)
    rows[::7] = np.clip(rows[::7], -3, 3)  # so that some sums overflow sooner than others
    assert np.array_equal(gram(RowTable.of(rows)), products_of(rows))


@QUICK
@given(tables(70), st.sampled_from(["subset", "fractions", "caps", "trust"]), st.integers(0, 2**32))
def test_a_weighted_sum_is_exact(given_rows: tuple[Int16, int, int], kind: str, seed: int) -> None:
    rows, start, stop = given_rows
    k, before, rng = len(rows), rows.copy(), np.random.default_rng(seed)
    largest = {"subset": 1, "fractions": 2**15 // k, "caps": 2**24 - 1, "trust": 2**46 // k}[kind]
    weights = rng.integers(-largest if kind == "trust" else 0, largest + 1, size=k)
    out = np.full(stop - start, -7, dtype=np.int64 if kind in ("caps", "trust") else np.int32)
    weighted_sum_block(RowTable.of(rows), start, stop, weights=weights, out=out)
    assert np.array_equal(out, weights @ rows[:, start:stop].astype(np.int64))
    if kind in ("subset", "caps"):  # int32 rows, the sums of others
        weighted_sum_block(RowTable.of(rows * np.int32(9)), start, stop, weights=weights, out=out)
        assert np.array_equal(out, 9 * weights @ rows[:, start:stop].astype(np.int64))
    assert np.array_equal(rows, before)


@QUICK
@given(tables(70), st.integers(0, 2**32))
def test_a_weighted_mean_is_rounded_down(given_rows: tuple[Int16, int, int], seed: int) -> None:
    rows, start, stop = given_rows
    rng, columns = np.random.default_rng(seed), rows[:, start:stop].astype(np.int64)
    out = np.full(stop - start, -7, dtype=np.int32)
    for largest in (1, 700, (1 << 23) // len(rows) - 1):  # sums of 32 bits, and of 64
        weights = rng.integers(0, largest + 1, size=len(rows))
        for divisor in {max(1, int(weights.sum())), max(1, int(weights.sum())) * 3, 1 << 52}:
            weighted_mean_block(RowTable.of(rows), start, stop, weights=weights, divisor=divisor, out=out)
            assert out.tolist() == [2**15 * total // divisor for total in (weights @ columns).tolist()]


@QUICK
@given(tables(70))
def test_squared_norms_are_exact(given_rows: tuple[Int16, int, int]) -> None:
    rows, start, stop = given_rows
    columns = rows[:, start:stop].astype(np.int64)
    assert np.array_equal(norms_block(RowTable.of(rows), start, stop), (columns * columns).sum(axis=1))


def test_squared_norms_of_rows_at_the_ends_are_exact() -> None:
    for value in (-32768, -32767, 32767):
        rows = np.full((3, 100_003), value, dtype=np.int16)
        assert norms_block(RowTable.of(rows), 0, 100_003).tolist() == [100_003 * value * value] * 3


@QUICK
@given(tables(40), st.integers(1, 12), st.integers(0, 2**32))
def test_mixed_rows_are_sums_over_their_lists_and_are_ranked_as_such(
    given_rows: tuple[Int16, int, int], made: int, seed: int
) -> None:
    rows, start, stop = given_rows
    rng = np.random.default_rng(seed)
    members = rng.random((made, len(rows))) < rng.random((made, 1)) * 1.2 - 0.1  # some empty, some of all
    mixed = members.astype(np.int64) @ rows[:, start:stop].astype(np.int64)
    table, lists = RowTable.of(rows), MixLists.of(members)
    out = np.full((made, stop - start + 5), -7, dtype=np.int32)
    mix_block(table, start, stop, lists=lists, out=out[:, 2:-3])
    assert np.array_equal(out[:, 2:-3], mixed)
    assert (out[:, [0, 1, -3, -2, -1]] == -7).all()

    aggregate = np.full(stop - start, -7, dtype=np.int32)
    first, last, scale = made // 4, made - 1, len(rows)
    ranked_block(table, start, stop, first=first, last=last, lists=lists, scale=scale, aggregate=aggregate)
    assert aggregate.tolist() == mean(np.sort(mixed, axis=0)[first : last + 1], (last - first + 1) * scale)
    window_block(table, start, stop, count=made, lists=lists, scale=scale, aggregate=aggregate)
    assert aggregate.tolist() == mean(mixed, made * scale)


@QUICK
@given(tables(40), st.integers(0, 2**32))
def test_scaled_rows_are_rounded_toward_zero(given_rows: tuple[Int16, int, int], seed: int) -> None:
    rows, start, stop = given_rows
    factors = np.random.default_rng(seed).choice([0, 1, 32768, 65535, 65536, 12345], size=len(rows)).astype(np.int32)
    out = np.full((len(rows), stop - start), -7, dtype=np.int16)
    scaled_block(RowTable.of(rows), start, stop, factors=factors, out=out)
    columns = rows[:, start:stop].astype(np.int64)
    assert np.array_equal(out, np.sign(columns) * (np.abs(columns) * factors[:, None] >> 16))


@pytest.fixture(params=PROCESSORS, ids=str)
def processor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels made for that processor, none of them from a cache."""
    for module in (mixing, products, ranking, sums):
        monkeypatch.setattr(module, "Code", partial(native.Code, cpu=request.param))
        for name, value in list(vars(module).items()):
            if name.endswith("_code"):
                monkeypatch.setattr(module, name, value.__wrapped__)


@pytest.mark.usefixtures("processor")
def test_every_processor_gives_the_same_integers() -> None:
    for kind in ("any", "ends"):
        rows = rows_of(11, 70, seed=3, kind=kind)
        table, longer = RowTable.of(rows), rows.astype(np.int64)
        check_ranked(rows, 1, 70, 2, 8)
        check_window(rows, 1, 70, 9)
        check_ranked(rows * np.int32(900), 1, 70, 2, 8, 900)
        assert np.array_equal(gram(table), products_of(rows))
        out = np.empty(70, dtype=np.int64)
        weighted_sum_block(table, 0, 70, weights=np.arange(11) - 5, out=out)
        assert np.array_equal(out, (np.arange(11) - 5) @ longer)
        assert np.array_equal(norms_block(table, 0, 70), np.diagonal(products_of(rows)))
        means = np.empty(70, dtype=np.int32)
        for weights in (np.arange(11), np.arange(11) * 9000):
            weighted_mean_block(table, 0, 70, weights=weights, divisor=9001 * 55, out=means)
            assert means.tolist() == ((weights @ longer << 15) // (9001 * 55)).tolist()
        members = np.arange(22).reshape(2, 11) % 3 > 0
        mixed = np.empty((2, 70), dtype=np.int32)
        mix_block(table, 0, 70, lists=MixLists.of(members), out=mixed)
        assert np.array_equal(mixed, members @ longer)
        scaled = np.empty_like(rows)
        scaled_block(table, 0, 70, factors=np.arange(11, dtype=np.int32) * 6000, out=scaled)
        assert np.array_equal(scaled, np.sign(longer) * (np.abs(longer) * (np.arange(11)[:, None] * 6000) >> 16))
