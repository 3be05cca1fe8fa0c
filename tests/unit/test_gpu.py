"""Passes over the coordinates in PyTorch: a plan's integers, on the CPU and, where there is one, on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from coordinator.enclave.rules import aggregate, totals
from coordinator.enclave.rules.engine import decide
from coordinator.enclave.rules.plan import Combination, Mixed, Plan, Ranks, Scaled, Transform, Weighted, Window
from coordinator.enclave.rules.points import Points
from lab import gpu
from lab.gpu import Applied, apply, float64_products, gram, int8_products, looking
from protocol.errors import LengthError, MalformedError
from protocol.fixedpoint import Int16, aggregate_to_int16
from protocol.rulebook import parse_chain

no_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU here")
on_devices = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=no_gpu)])
by_both_ways = pytest.mark.parametrize("products", [int8_products, float64_products])

EXTREME = 32767
Way = Callable[[torch.Tensor], torch.Tensor]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks so small that rows of a test are in several, the last of them narrower."""
    monkeypatch.setattr(gpu, "BLOCK_ELEMENTS", 1 << 10)


def random_rows(k: int, d: int, seed: int = 1) -> Int16:
    """Values of all sizes, ties among them."""
    draw = np.random.default_rng(seed)
    return (draw.integers(-EXTREME, EXTREME + 1, (k, d)) >> draw.integers(0, 15, (1, d))).astype(np.int16)


def integers(rows: Int16) -> list[list[int]]:
    return [[int(q) for q in row] for row in rows]


def plain_gram(lines: list[list[int]]) -> list[list[int]]:
    return [[sum(a * b for a, b in zip(x, y, strict=True)) for y in lines] for x in lines]


# --- inner products ---------------------------------------------------------------------------------------------------


@on_devices
@pytest.mark.parametrize(("k", "d"), [(1, 1), (1, 1037), (2, 16), (9, 77), (17, 8), (30, 203)])
def test_the_gram_matrix_is_the_exact_one(device: str, k: int, d: int) -> None:
    rows = random_rows(k, d)
    found = gram(rows, device=device)
    assert found.dtype == np.int64
    assert found.tolist() == plain_gram(integers(rows))


@on_devices
@by_both_ways
@pytest.mark.parametrize("k", [1, 7, 24, 256])
def test_both_ways_to_a_product_are_exact_at_the_ends_of_int16(device: str, products: Way, k: int) -> None:
    d = (1 << 16) + 77  # more than int32 adds up at once, and no multiple of anything
    signs = np.where(np.arange(k) % 2, -1, 1)
    rows = np.broadcast_to((signs * EXTREME).astype(np.int16)[:, None], (k, d))
    found = products(torch.tensor(rows, device=device)).cpu().numpy()
    assert np.array_equal(found, np.outer(signs, signs).astype(np.int64) * (EXTREME**2 * d))


@on_devices
@by_both_ways
def test_both_ways_to_a_product_are_exact_where_a_byte_ends(device: str, products: Way) -> None:
    edges = [-32768, -32767, -32641, -32640, -257, -256, -129, -128, -127, -1, 0, 1, 127, 128, 255, 256, 32639, 32640]
    rows = np.array([edges, edges[::-1], [32767] * len(edges)], dtype=np.int16)
    assert products(torch.tensor(rows, device=device)).cpu().tolist() == plain_gram(integers(rows))


# --- plans ------------------------------------------------------------------------------------------------------------


def neighbours(k: int, count: int, *, times: int = 1) -> Mixed:
    """Every row becomes the sum of `count` rows, itself among them."""
    members = tuple(tuple(sorted((i + j) % k for j in range(count))) for i in range(k))
    return Mixed(members, (times,) * k, count * times)


PAIRS = Mixed(((0, 4), (1, 2), (3, 6), (5,)), (1, 1, 1, 2), 2)
HALVED = Scaled((0, 1, 40000, 1 << 16, 65535, 9, 1 << 15))
SHORT = Scaled((1 << 16, 40000, 3, 65535))

TRANSFORMS: list[tuple[Transform, ...]] = [
    (),
    (HALVED,),
    (neighbours(7, 5),),
    (PAIRS,),
    (HALVED, neighbours(7, 5)),
    (neighbours(7, 5), HALVED),
    (HALVED, PAIRS, SHORT, neighbours(4, 3)),
]


def plain_rows(rows: Int16, transforms: tuple[Transform, ...]) -> list[list[int]]:
    """The rows behind the transforms by docs/rules.md, in Python's integers."""
    values = integers(rows)
    for step in transforms:
        if isinstance(step, Scaled):
            values = [[int(q * t / 65536) for q in row] for row, t in zip(values, step.factors, strict=True)]
        else:
            values = [
                [times * sum(column) for column in zip(*(values[place] for place in members), strict=True)]
                for members, times in zip(step.members, step.times, strict=True)
            ]
    return values


def plain_column(column: list[int], combination: Combination) -> tuple[int, int | None, int | None]:
    """One coordinate: the aggregate, the smallest and the largest value kept."""
    if isinstance(combination, Weighted):
        total = sum(weight * v for weight, v in zip(combination.weights, column, strict=True))
        return 2**combination.shift * total // combination.divisor, None, None
    if isinstance(combination, Ranks):
        kept = sorted(column)[combination.first : combination.last + 1]
    else:
        v, m = sorted(column[place] for place in combination.places), combination.count
        n = len(v)
        twice = v[(n - 1) // 2] + v[n // 2]
        first = next((s for s in range(n - m) if v[s] + v[s + m] >= twice), n - m)
        kept = v[first : first + m]
    return 2**15 * sum(kept) // (combination.scale * len(kept)), kept[0], kept[-1]


def check(rows: Int16, plan: Plan, device: str) -> Applied:
    """What the device makes of a plan is what docs/rules.md says, coordinate by coordinate, and what NumPy makes."""
    behind = plain_rows(rows, plan.transforms)
    columns = [plain_column(list(column), plan.combination) for column in zip(*behind, strict=True)]
    kept, deviation, alignment = [], [], []
    aggregate = np.array([max(-(2**31), min(2**31 - 1, column[0])) for column in columns], dtype=np.int32)
    centre = [int(r) for r in aggregate_to_int16(aggregate)]
    for row, stand in zip(integers(rows), plan.stands, strict=False):
        within = sum(
            low is None or high is None or low <= v <= high
            for v, (_, low, high) in zip(behind[stand], columns, strict=True)
        )
        kept.append(within if plan.selected is None or stand in plan.selected else 0)
        deviation.append(sum((q - r) ** 2 for q, r in zip(row, centre, strict=True)))
        alignment.append(sum(q * r for q, r in zip(row, centre, strict=True)))
    found = apply(plan, rows, device=device)
    assert found.aggregate.dtype == np.int32
    assert found.aggregate.tolist() == aggregate.tolist() == plan.apply(rows).aggregate.tolist()
    assert found.deviation.dtype == np.uint64
    assert (found.kept.tolist(), found.deviation.tolist(), found.alignment.tolist()) == (kept, deviation, alignment)
    return found


def plan_of(
    combination: Combination, transforms: tuple[Transform, ...], selected: tuple[int, ...] | None = None
) -> Plan:
    """Of seven counted rows."""
    stands = (0, 1, 1, 2, 0, 3, 2) if PAIRS in transforms else tuple(range(7))
    return Plan(transforms=transforms, combination=combination, stands=stands, selected=selected)


def scale_of(transforms: tuple[Transform, ...]) -> int:
    scale = 1
    for step in transforms:
        scale *= step.scale if isinstance(step, Mixed) else 1
    return scale


def places(transforms: tuple[Transform, ...]) -> int:
    return 4 if PAIRS in transforms else 7


@on_devices
@pytest.mark.parametrize("transforms", TRANSFORMS)
def test_ranks_behind_transforms_are_as_defined(device: str, transforms: tuple[Transform, ...]) -> None:
    k, scale = places(transforms), scale_of(transforms)
    for first, last in ((0, k - 1), (1, k - 2), ((k - 1) // 2, k // 2)):
        check(random_rows(7, 333), plan_of(Ranks(first=first, last=last, scale=scale), transforms), device)


@on_devices
@pytest.mark.parametrize("transforms", TRANSFORMS)
def test_windows_behind_transforms_are_as_defined(device: str, transforms: tuple[Transform, ...]) -> None:
    k, scale = places(transforms), scale_of(transforms)
    chosen = tuple(range(1, k))
    for count in (k // 2 + 1, k - 1, k):
        every = Window(places=tuple(range(k)), count=count, scale=scale)
        check(random_rows(7, 333), plan_of(every, transforms), device)
    some = Window(places=chosen, count=len(chosen) - 1, scale=scale)
    check(random_rows(7, 333), plan_of(some, transforms, selected=chosen), device)


@on_devices
@pytest.mark.parametrize("transforms", TRANSFORMS)
def test_weighted_sums_behind_transforms_are_as_defined(device: str, transforms: tuple[Transform, ...]) -> None:
    k, scale = places(transforms), scale_of(transforms)
    rows = random_rows(7, 333)
    q15 = (32768 - sum(range(1, k)), *range(1, k))
    check(rows, plan_of(Weighted(weights=q15, shift=0, divisor=scale), transforms), device)
    two = tuple(int(place in (1, 3)) for place in range(k))
    check(rows, plan_of(Weighted(weights=two, shift=15, divisor=2 * scale), transforms, selected=(1, 3)), device)


@on_devices
def test_a_mixture_as_large_as_a_chain_may_make_it_is_exact(device: str) -> None:
    widest = neighbours(7, 5, times=((1 << 33) - 1) // 7 // 5)
    rows = np.array([[EXTREME, -EXTREME, 1, 0, -1]] * 7, dtype=np.int16)
    expected = [EXTREME << 15, -(EXTREME << 15), 1 << 15, 0, -(1 << 15)]
    window = Window(places=tuple(range(7)), count=4, scale=widest.scale)
    for combination in (Ranks(first=0, last=6, scale=widest.scale), window):
        assert check(rows, plan_of(combination, (widest,)), device).aggregate.tolist() == expected


@on_devices
def test_a_mean_weighted_by_the_largest_samples_does_not_overflow(device: str) -> None:
    weights = ((1 << 24) - 1,) * 256
    plan = Plan(
        transforms=(),
        combination=Weighted(weights=weights, shift=15, divisor=sum(weights)),
        stands=tuple(range(256)),
        selected=None,
    )
    rows = np.full((256, 3), -EXTREME, dtype=np.int16)
    assert check(rows, plan, device).aggregate.tolist() == [-(EXTREME << 15)] * 3


@on_devices
def test_a_further_row_weighs_and_is_said_nothing_of_and_a_sum_that_is_too_large_saturates(device: str) -> None:
    rows = np.array([[EXTREME, -EXTREME, 5], [EXTREME, -EXTREME, -6], [3, 2, 1]], dtype=np.int16)
    plan = Plan(
        transforms=(),
        combination=Weighted(weights=(40000, 40000, 100), shift=0, divisor=1, saturates=True),
        stands=(0, 1),
        selected=None,
    )
    assert check(rows, plan, device).aggregate.tolist()[:2] == [2**31 - 1, -(2**31)]


@on_devices
@pytest.mark.parametrize("transforms", TRANSFORMS)
def test_points_look_at_the_rows_through_it(device: str, transforms: tuple[Transform, ...]) -> None:
    rows = random_rows(7, 333)
    points = Points(look=looking(rows, device=device), count=7, extra=0)
    for step in transforms:
        points = points.behind(step, count=len(step.factors if isinstance(step, Scaled) else step.members))
    expected = plain_gram(plain_rows(rows, transforms))
    assert points.squared_norms() == [expected[i][i] for i in range(len(expected))]
    assert points.gram().tolist() == expected


@on_devices
@pytest.mark.parametrize(
    "chain",
    ["mean", "meamed", "bulyan", "multi-krum", "nnm+trimmed-mean", "arc+bucketing:2+median", "nnm+clip:9000+mda"],
)
def test_a_whole_chain_is_the_engines_bit_for_bit(device: str, chain: str) -> None:
    rows = random_rows(11, 777)
    points = Points(look=looking(rows, device=device), count=11, extra=0)
    plan = decide(parse_chain(chain), points, f=2, m=0, weights=None, slots=range(11), seed=bytes(32))
    found, expected = apply(plan, rows, device=device), aggregate(chain, rows, f=2)
    running = totals(rows, expected)
    assert np.array_equal(found.aggregate, expected.aggregate)
    assert np.array_equal(found.kept, running.kept[-1])
    assert np.array_equal(found.deviation, running.deviation[-1])
    assert np.array_equal(found.alignment, running.alignment[-1])


# --- what comes in ----------------------------------------------------------------------------------------------------


@on_devices
def test_rows_may_be_a_file_or_a_tensor_on_the_device(device: str, tmp_path: Path) -> None:
    rows = random_rows(5, 203)
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r", allow_pickle=False)
    plan = Plan(transforms=(), combination=Ranks(first=2, last=2, scale=1), stands=tuple(range(5)), selected=None)
    for given in (mapped, torch.tensor(rows, device=device), torch.tensor(rows)):
        assert gram(given, device=device).tolist() == plain_gram(integers(rows))
        assert apply(plan, given, device=device).aggregate.tolist() == plan.apply(rows).aggregate.tolist()


@pytest.fixture
def deterministic() -> Iterator[None]:
    """As a trainer leaves the process."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(before)


@on_devices
@pytest.mark.usefixtures("deterministic")
def test_a_trainers_choice_of_deterministic_algorithms_is_kept_and_no_obstacle(device: str) -> None:
    rows = random_rows(7, 99)
    assert gram(rows, device=device).tolist() == plain_gram(integers(rows))
    window = Window(places=tuple(range(7)), count=5, scale=5)
    check(rows, plan_of(window, (neighbours(7, 5),)), device)
    assert torch.are_deterministic_algorithms_enabled()


def test_what_is_no_matrix_of_rows_is_refused() -> None:
    with pytest.raises(MalformedError, match=r"expected an int16 matrix, not empty, got shape \(2, 3\) of int32"):
        gram(np.zeros((2, 3), dtype=np.int32), device="cpu")  # type: ignore[arg-type]
    with pytest.raises(MalformedError, match=r"got shape \(0, 3\) of torch.int16"):
        gram(torch.zeros((0, 3), dtype=torch.int16), device="cpu")
    plan = plan_of(Ranks(first=0, last=6, scale=1), ())
    with pytest.raises(LengthError, match="rows of a plan: expected at least 7, got 4"):
        apply(plan, random_rows(4, 3), device="cpu")
