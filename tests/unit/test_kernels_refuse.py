"""What kernels refuse, the networks that they are made from, and that they are made once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import chain, product

import numpy as np
import pytest

from coordinator.enclave.rules.kernels.assembly import made_once
from coordinator.enclave.rules.kernels.mixing import MixLists, mix_block
from coordinator.enclave.rules.kernels.networks import pruned_merges, pruned_network, sorting_network
from coordinator.enclave.rules.kernels.products import gram
from coordinator.enclave.rules.kernels.ranking import MAX_RANKED_ROWS, ranked_block, window_block
from coordinator.enclave.rules.kernels.sums import (
    norms_block,
    scaled_block,
    weighted_mean_block,
    weighted_sum_block,
)
from coordinator.enclave.rules.kernels.table import RowTable
from protocol import native
from protocol.errors import LengthError, MalformedError, RangeError
from protocol.fixedpoint import Int16, Int32

needs_llvm = pytest.mark.skipif(not native.is_available(), reason="llvmlite is not installed")
OUT = np.zeros(8, dtype=np.int32)


def rows(k: int = 3, d: int = 8) -> Int16:
    return np.arange(k * d, dtype=np.int16).reshape(k, d)


def through(network: list[tuple[int, int]], values: list[int]) -> list[int]:
    for small, large in network:
        values[small], values[large] = sorted((values[small], values[large]))
    return values


@pytest.mark.parametrize("k", range(1, 11))
def test_a_network_sorts_all_zeros_and_ones_and_so_everything(k: int) -> None:
    for bits in product((0, 1), repeat=k):
        assert through(list(sorting_network(k)), list(bits)) == sorted(bits)


@pytest.mark.parametrize("k", range(2, 10))
def test_a_pruned_network_keeps_its_ends_and_the_set_between_them(k: int) -> None:
    for first in range((k + 1) // 2):
        last = k - 1 - first
        network = [pair[:2] for pair in pruned_network(k, exact={first, last}, loose=range(first, last + 1))]
        for bits in product((0, 1), repeat=k):
            values = through(network, list(bits))
            expected = sorted(bits)
            assert (values[first], values[last]) == (expected[first], expected[last])
            assert sorted(values[first : last + 1]) == expected[first : last + 1]


@pytest.mark.parametrize(("k", "size"), [(7, 3), (8, 2), (9, 4), (5, 9)])
def test_lists_that_are_sorted_are_merged(k: int, size: int) -> None:
    places, network = pruned_merges(k, size, exact={1, k - 2}, loose=range(1, k - 1))
    for bits in product((0, 1), repeat=k):
        lists = [sorted(bits[first : first + size]) for first in range(0, k, size)]
        values = [0] * k
        for place, value in zip(places, chain(*lists), strict=True):
            values[place] = value
        values, expected = through([pair[:2] for pair in network], values), sorted(bits)
        assert (values[1], values[k - 2]) == (expected[1], expected[k - 2])
        assert sorted(values[1 : k - 1]) == expected[1 : k - 1]


def test_pruning_leaves_out_what_nobody_looks_at() -> None:
    assert len(sorting_network(50)) == 395
    assert len(pruned_network(50, exact={10, 39}, loose=range(10, 40))) == 332
    assert pruned_network(50, exact=(), loose=range(50)) == ()


def test_a_table_needs_rows() -> None:
    with pytest.raises(LengthError, match="rows"):
        RowTable.of([])


@pytest.mark.parametrize("wrong", [rows().astype(np.int64), rows().astype(np.uint16), [rows()], rows()[:, ::2]])
def test_a_table_refuses_other_types_and_layouts(wrong: Int16) -> None:
    with pytest.raises(MalformedError):
        RowTable.of(wrong)


def test_a_table_refuses_rows_of_two_lengths() -> None:
    with pytest.raises(LengthError, match="row"):
        RowTable.of([rows()[0], rows()[1, :7]])


@needs_llvm
@pytest.mark.parametrize(("start", "stop"), [(-1, 7), (1, 9), (5, 4)])
def test_columns_that_rows_have_not_got_are_refused(start: int, stop: int) -> None:
    with pytest.raises(LengthError, match="columns"):
        ranked_block(RowTable.of(rows()), start, stop, first=0, last=2, aggregate=OUT)


@needs_llvm
def test_an_output_of_another_length_is_refused() -> None:
    with pytest.raises(LengthError, match="output"):
        ranked_block(RowTable.of(rows()), 0, 8, first=0, last=2, aggregate=OUT[:7])


def read_only() -> Int32:
    array = np.zeros(8, dtype=np.int32)
    array.flags.writeable = False
    return array


@needs_llvm
@pytest.mark.parametrize("wrong", [np.zeros(8, np.int16), np.zeros(8, np.int64), OUT.repeat(2)[::2], read_only()])
def test_an_output_of_another_type_or_layout_is_refused(wrong: Int32) -> None:
    table, bounds = RowTable.of(rows()), (np.zeros(8, dtype=np.int16), np.zeros(8, dtype=np.int32))
    with pytest.raises(MalformedError, match="output"):
        ranked_block(table, 0, 8, first=0, last=2, aggregate=wrong)
    with pytest.raises(MalformedError, match="output"):
        window_block(table, 0, 8, count=2, aggregate=OUT, bounds=bounds)
    with pytest.raises(MalformedError, match="output"):
        mix_block(table, 0, 8, lists=MixLists.of(np.ones((1, 3), dtype=np.bool_)), out=wrong[None])


def test_rows_that_are_not_int16_are_not_multiplied_mixed_or_scaled() -> None:
    table = RowTable.of(rows().astype(np.int32))
    with pytest.raises(MalformedError, match="rows"):
        gram(table)
    with pytest.raises(MalformedError, match="rows to mix"):
        mix_block(table, 0, 8, lists=MixLists.of(np.ones((1, 3), dtype=np.bool_)), out=OUT[None])
    with pytest.raises(MalformedError, match="rows to scale"):
        scaled_block(table, 0, 8, factors=np.ones(3, dtype=np.int32), out=rows())
    with pytest.raises(MalformedError, match="sums"):
        weighted_sum_block(table, 0, 8, weights=np.ones(3, dtype=np.int64), out=np.zeros(8, dtype=np.int16))


@needs_llvm
@pytest.mark.parametrize(("first", "last"), [(-1, 1), (2, 1), (0, 3)])
def test_ranks_that_there_are_not_are_refused(first: int, last: int) -> None:
    with pytest.raises(RangeError, match="ranks"):
        ranked_block(RowTable.of(rows()), 0, 8, first=first, last=last, aggregate=OUT)


@needs_llvm
@pytest.mark.parametrize("count", [0, 4])
def test_a_window_of_no_values_or_too_many_is_refused(count: int) -> None:
    with pytest.raises(RangeError, match="around the median"):
        window_block(RowTable.of(rows()), 0, 8, count=count, aggregate=OUT)


@needs_llvm
def test_a_scale_whose_sums_are_not_exact_is_refused() -> None:
    with pytest.raises(RangeError, match="rows in a mean"):
        ranked_block(RowTable.of(rows()), 0, 8, first=0, last=0, aggregate=OUT, scale=1 << 23)


def test_more_rows_than_fit_a_stack_are_refused() -> None:
    table = RowTable.of(rows(MAX_RANKED_ROWS + 1, 1))
    with pytest.raises(RangeError, match="rows to rank"):
        ranked_block(table, 0, 1, first=0, last=0, aggregate=OUT[:1])


@needs_llvm
@pytest.mark.parametrize("column", [0, 39])
def test_a_value_that_no_update_has_is_refused_by_inner_products(column: int) -> None:
    extreme = rows(2, 40)
    extreme[1, column] = -32768
    with pytest.raises(RangeError, match="at most 32767 in magnitude"):
        gram(RowTable.of(extreme))


def test_a_mean_that_is_not_exact_is_refused() -> None:
    table, ones = RowTable.of(rows()), np.ones(3, dtype=np.int64)
    for weights in (ones << 22, -ones):
        with pytest.raises(RangeError, match="sum of the weights"):
            weighted_mean_block(table, 0, 8, weights=weights, divisor=1, out=OUT)
    for divisor in (0, (1 << 52) + 1):
        with pytest.raises(RangeError, match="divisor of a mean"):
            weighted_mean_block(table, 0, 8, weights=ones, divisor=divisor, out=OUT)
    with pytest.raises(MalformedError, match="means"):
        weighted_mean_block(table, 0, 8, weights=ones, divisor=3, out=np.zeros(8, dtype=np.int64))
    wide = RowTable.of(rows().astype(np.int32))
    with pytest.raises(RangeError, match="of int16 rows"):
        weighted_mean_block(wide, 0, 8, weights=ones, divisor=3, out=OUT)
    with pytest.raises(MalformedError, match="rows"):
        norms_block(wide, 0, 8)


def test_weights_lists_and_factors_are_as_many_as_rows() -> None:
    table = RowTable.of(rows())
    with pytest.raises(LengthError, match="weights"):
        weighted_sum_block(table, 0, 8, weights=np.ones(2, dtype=np.int64), out=OUT)
    with pytest.raises(LengthError, match="rows to mix"):
        mix_block(table, 0, 8, lists=MixLists.of(np.ones((1, 2), dtype=np.bool_)), out=OUT[None])
    with pytest.raises(LengthError, match="factors"):
        scaled_block(table, 0, 8, factors=np.ones(2, dtype=np.int32), out=rows())


def test_a_factor_above_one_is_refused() -> None:
    with pytest.raises(RangeError, match="factor"):
        scaled_block(RowTable.of(rows()), 0, 8, factors=np.array([1, 2, 65537], dtype=np.int32), out=rows())


def test_a_list_names_the_rows_left_out_where_these_are_fewer() -> None:
    lists = MixLists.of(np.array([[True, True, False, True, True], [True, False, False, False, True]]))
    assert lists.is_complement.tolist() == [True, False]
    assert (lists.offsets.tolist(), lists.indices.tolist()) == ([0, 1, 3], [2, 0, 4])


def test_code_that_many_threads_ask_for_is_made_once() -> None:
    made = []

    @made_once
    def make(name: str) -> list[str]:
        made.append(name)
        return [name]

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(make, ["a", "b"] * 50))
    assert sorted(made) == ["a", "b"]
    assert all(result is results[index % 2] for index, result in enumerate(results))
