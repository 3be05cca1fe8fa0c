"""What no rule can beat: reading the rows once, and for the rules that need all distances one matrix product.

Responsible for: both, as fast as NumPy and PyTorch do them with all cores.
Must not know:   rules.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from bench_parts.timing import Call


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def bound_calls(units: npt.NDArray[np.int16], floats: npt.NDArray[np.float32], torch: Any | None) -> dict[str, Call]:
    """read-rows: an OR over all bytes of the int16 rows; matrix-product: X @ X.T in float32 (torch where it is)."""
    calls = {"read-rows": _read(units), "matrix-product": Call(run=lambda _: floats @ floats.T)}
    if torch is not None:
        tensor = torch.from_numpy(floats)
        calls["matrix-product-torch"] = Call(run=lambda _: tensor @ tensor.T)
    return calls


def _read(units: npt.NDArray[np.int16]) -> Call:
    flat = units.reshape(-1)
    words = flat[: flat.size // 4 * 4].view(np.int64)
    parts = [part for part in (*np.array_split(words, cores()), flat[4 * words.size :]) if part.size]
    pool = ThreadPoolExecutor(cores())
    read: Callable[[Any], Any] = lambda _: list(pool.map(np.bitwise_or.reduce, parts))  # noqa: E731
    return Call(run=read, close=pool.shutdown)
