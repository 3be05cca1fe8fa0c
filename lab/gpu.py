"""The engine's passes over the coordinates in PyTorch: the same bits, on a GPU or on any other device that it has.

Responsible for: inner products of the rows, and doing a plan's steps to them, one block of coordinates after another.
Must not know:   rules and stages: what they decide from the inner products is in the plan.

Why the bits are the same: everything is an integer.  Sums and floor divisions are int64.  Matrix products are int8 with
int32 sums, or binary64 with values so small that every partial sum is an integer below 2**53: exact in any order, so
that neither the device nor its library can change a bit.

The rows stay where they are; what goes to the device is a block of them.

    points = Points(look=looking(rows, device="cuda"), count=len(rows), extra=0)
    plan = decide(parse_chain("nnm+trimmed-mean"), points, f=2, m=0, ...)      # coordinator/enclave/rules/engine.py
    found = apply(plan, rows, device="cuda")

Spec: docs/rules.md.  Twin: coordinator/enclave/rules/plan.py, points.py, accounts.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from coordinator.enclave.rules.plan import Combination, Mixed, Plan, Ranks, Scaled, Transform, Weighted
from coordinator.enclave.rules.points import Exact, Pass, digits_for, digits_of, from_digits
from protocol.errors import LengthError, MalformedError
from protocol.fixedpoint import FRACTION_BITS, INT16_MAX, INT32_MAX, INT32_MIN, Int16, Int32, Int64

Rows = Int16 | torch.Tensor
"""(n, d) int16, on any device or in a file: the counted rows, and behind them the rule's further one if it has one."""

BLOCK_ELEMENTS = 1 << 24
"""Elements of a block over all rows: 128 MiB as int64, and a handful of temporaries as large."""

_FLOAT64_WIDTH = 1 << 22
_INT8_WIDTH = 1 << 16
"""Coordinates that int32 adds up: 2**16 products of at most 2**14 are 2**30."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Applied:
    """What a plan makes of the rows, and what a round says of each of the k counted ones."""

    aggregate: Int32
    """(d,) value a * 2**(e - 15)."""
    kept: Int64
    """(k,) coordinates at which the row that stands for it has a value that the rule kept."""
    deviation: npt.NDArray[np.uint64]
    """(k,) squared distance from r, the aggregate in an update's unit."""
    alignment: Int64
    """(k,) inner product with r."""


def gram(rows: Rows, *, device: str) -> Int64:
    """(n, d) int16 -> (n, n) int64, the exact inner products.

    On a GPU by int8 matrix products, which few are slow at, elsewhere by binary64.
    Raises: MalformedError (no int16 matrix).
    """
    products = int8_products if torch.device(device).type == "cuda" else float64_products
    n, _ = _check(rows)
    total = torch.zeros((n, n), dtype=torch.int64, device=device)
    with _any_order():
        for _, block in _blocks(rows, device):
            total += products(block)
    return _numpy(total)


def looking(rows: Rows, *, device: str) -> Pass:
    """How `Points` looks at these rows: their inner products behind some transforms."""
    _check(rows)

    def look(transforms: tuple[Transform, ...], everything: bool) -> Exact:
        total: npt.NDArray[Any] = np.zeros((), dtype=np.int64)
        for _, block in _blocks(rows, device):
            values = _transformed(block, transforms)
            if values.dtype == torch.int16:
                total = total + gram(values, device=device)
            else:
                count = digits_for(max(1, int(values.abs().max()) >> 15) + 1)
                total = total + from_digits(gram(digits_of(_numpy(values), count), device=device), count)
        return total if everything else np.diagonal(total)

    return look


def apply(plan: Plan, rows: Rows, *, device: str) -> Applied:
    """All of a plan in one pass: aggregate and totals of a block follow from the block.

    Raises: MalformedError (no int16 matrix), LengthError (fewer rows than the plan is for).
    """
    n, d = _check(rows)
    k = len(plan.stands)
    if n < k:
        raise LengthError("rows of a plan", expected=f"at least {k}", actual=n)
    aggregate = np.empty(d, dtype=np.int32)
    kept, deviation, alignment = (torch.zeros(k, dtype=torch.int64, device=device) for _ in range(3))
    stands = torch.tensor(plan.stands, device=device)
    for start, block in _blocks(rows, device):
        values = _transformed(block, plan.transforms)
        columns, low, high = _combined(values, plan.combination)
        aggregate[start : start + len(columns)] = _numpy(columns)
        if low is not None and high is not None:
            kept += ((low <= values) & (values <= high)).sum(dim=1)[stands]
        centre = ((columns + (1 << (FRACTION_BITS - 1))) >> FRACTION_BITS).clamp(-INT16_MAX, INT16_MAX)
        signed = block[:k].to(torch.int64)
        deviation += ((signed - centre) ** 2).sum(dim=1)  # modulo 2**64, and below it for d < 2**32
        alignment += (signed * centre).sum(dim=1)
    counts = np.full(k, d) if isinstance(plan.combination, Weighted) else _numpy(kept)
    if plan.selected is not None:
        counts = np.where(np.isin(plan.stands, plan.selected), counts, 0)
    return Applied(
        aggregate=aggregate, kept=counts, deviation=_numpy(deviation).view(np.uint64), alignment=_numpy(alignment)
    )


# --- inner products of one block --------------------------------------------------------------------------------------


def float64_products(block: torch.Tensor) -> torch.Tensor:
    """(n, b) int16 -> (n, n) int64; exact: 2**22 products of at most 2**30 are at most 2**52."""
    total = torch.zeros((len(block), len(block)), dtype=torch.int64, device=block.device)
    for start in range(0, block.shape[1], _FLOAT64_WIDTH):
        values = block[:, start : start + _FLOAT64_WIDTH].to(torch.float64)
        total += (values @ values.T).to(torch.int64)
    return total


def int8_products(block: torch.Tensor) -> torch.Tensor:
    """(n, b) int16 -> (n, n) int64, by three int8 matrix products whose sums are int32.

    With h = q >> 8 and l = (q & 255) - 128, both int8 for every int16, q - 128 = 256 * h + l =: p, so that

        sum q_i q_j = sum p_i p_j + 128 * (sum p_i + sum p_j) + 128**2 * b,    p_i p_j by h and l.

    (The nearer split, l = q as a signed byte, has no int8 h for q >= 32640.)  torch's int8 product wants more than 16
    rows and multiples of 8 on every side: what is added has h = l = 0, which adds nothing.
    """
    n, width = block.shape
    total = torch.zeros((n, n), dtype=torch.int64, device=block.device)
    sums = torch.zeros(n, dtype=torch.int64, device=block.device)
    for start in range(0, width, _INT8_WIDTH):
        part = block[:, start : start + _INT8_WIDTH]
        shape = (max(24, _eights(n)), _eights(part.shape[1]))
        high, low = (torch.zeros(shape, dtype=torch.int8, device=block.device) for _ in range(2))
        high[:n, : part.shape[1]] = part >> 8
        low[:n, : part.shape[1]] = (part & 255) - 128
        crossed = _int8_product(high, low)[:n, :n]
        total += (_int8_product(high, high)[:n, :n] << 16) + ((crossed + crossed.T) << 8)
        total += _int8_product(low, low)[:n, :n]
        sums += part.sum(dim=1, dtype=torch.int64) - 128 * part.shape[1]
    return total + 128 * (sums[:, None] + sums[None, :]) + 128 * 128 * width


def _int8_product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """left @ right.T in int64, of int8 whose sums fit int32."""
    return torch._int_mm(left, right.T).to(torch.int64)


def _eights(count: int) -> int:
    return -(-count // 8) * 8


# --- a plan's steps on one block --------------------------------------------------------------------------------------


def _transformed(block: torch.Tensor, transforms: tuple[Transform, ...]) -> torch.Tensor:
    """(n, b) int16 -> (rows behind the transforms, b): int16 until rows are mixed, then int64."""
    for transform in transforms:
        if isinstance(transform, Scaled):
            factors = torch.tensor(transform.factors, dtype=torch.int64, device=block.device)
            block = (block.sign() * ((block.abs() * factors[:, None]) >> 16)).to(block.dtype)
        else:
            # Sums below 2**48: binary64 has them exactly, and no GPU multiplies matrices of int64.
            with _any_order():
                block = (_matrix(transform, len(block)).to(block.device) @ block.to(torch.float64)).to(torch.int64)
    return block


def _matrix(mixed: Mixed, count: int) -> torch.Tensor:
    matrix = torch.zeros((len(mixed.members), count), dtype=torch.float64)
    for place, members in enumerate(mixed.members):
        matrix[place, list(members)] = mixed.times[place]
    return matrix


Combined = tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]
"""Of b columns: the aggregate, the smallest and the largest value kept; no values where whole rows are kept."""


def _combined(values: torch.Tensor, combination: Combination) -> Combined:
    if isinstance(combination, Weighted):
        return _weighted(values, combination), None, None
    if isinstance(combination, Ranks):
        kept = _ranked(values)[:, combination.first : combination.last + 1]
    else:
        ordered = _ranked(values[list(combination.places)])
        count, n = combination.count, ordered.shape[1]
        twice_median = ordered[:, (n - 1) // 2] + ordered[:, n // 2]
        moves = ordered[:, : n - count] + ordered[:, count:] < twice_median[:, None]
        start = moves.sum(dim=1, keepdim=True)
        kept = ordered.gather(1, start + torch.arange(count, device=values.device))
    sums = kept.sum(dim=1)
    return _floor_div(sums << FRACTION_BITS, combination.scale * kept.shape[1]), kept[:, 0], kept[:, -1]


def _weighted(values: torch.Tensor, combination: Weighted) -> torch.Tensor:
    places = [place for place, weight in enumerate(combination.weights) if weight]
    weights = torch.tensor([combination.weights[place] for place in places], dtype=torch.int64, device=values.device)
    sums = (values[places] * weights[:, None]).sum(dim=0)
    whole = _floor_div(sums, combination.divisor)
    rest = sums - whole * combination.divisor
    aggregate = (whole << combination.shift) + _floor_div(rest << combination.shift, combination.divisor)
    return aggregate.clamp(INT32_MIN, INT32_MAX) if combination.saturates else aggregate


def _ranked(values: torch.Tensor) -> torch.Tensor:
    """(n, b) -> (b, n) int64, each column ascending."""
    return values.T.contiguous().sort(dim=1).values.to(torch.int64)


def _floor_div(values: torch.Tensor, divisor: int) -> torch.Tensor:
    return torch.div(values, divisor, rounding_mode="floor")


# --- to the device and back -------------------------------------------------------------------------------------------


def _blocks(rows: Rows, device: str) -> Iterator[tuple[int, torch.Tensor]]:
    """Where a block of coordinates begins, and the block on the device, (n, b) int16."""
    n, d = rows.shape
    width = max(1, BLOCK_ELEMENTS // n)
    for start in range(0, d, width):
        part = rows[:, start : start + width]
        if not isinstance(part, torch.Tensor):
            part = torch.tensor(np.ascontiguousarray(part))  # a copy: torch takes no view of a file that is read-only
        yield start, part.to(device)


@contextmanager
def _any_order() -> Iterator[None]:
    """Lets cuBLAS choose its order: no order changes an exact sum.  A trainer may have forbidden it, process-wide."""
    strict = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(strict)


def _check(rows: Rows) -> tuple[int, int]:
    if rows.dtype not in (np.int16, torch.int16) or rows.ndim != 2 or 0 in rows.shape:
        actual = f"shape {tuple(rows.shape)} of {rows.dtype}"
        raise MalformedError("rows", expected="an int16 matrix, not empty", actual=actual)
    n, d = rows.shape
    return n, d


def _numpy(values: torch.Tensor) -> Int64:
    array: Int64 = values.cpu().numpy()
    return array
