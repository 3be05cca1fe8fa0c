"""Text of LLVM assembly, line by line.

Responsible for: fresh names, and the few patterns that several kernels share.
Must not know:   rules, rows, how text becomes machine code.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from threading import Lock
from typing import ParamSpec, TypeVar

from protocol.native import WIDE

P = ParamSpec("P")
T = TypeVar("T")

ATTRIBUTES = f"attributes #0 = {{ nounwind {WIDE} }}\n"
"""What every kernel's function ends with."""


_MAX_CODES = 256  # of one kind; each is some 5 to 200 KiB


def made_once(make: Callable[P, T]) -> Callable[P, T]:
    """A function that keeps what it made, and makes it once when many threads ask for it at the same time."""
    kept: Callable[P, T] = lru_cache(_MAX_CODES)(make)  # type: ignore[assignment]  # all arguments are hashable
    lock = Lock()

    @wraps(make)
    def made(*args: P.args, **kwargs: P.kwargs) -> T:
        with lock:
            return kept(*args, **kwargs)

    return made


class Lines:
    """The body of a function; each value gets a name of its own."""

    def __init__(self, prefix: str = "v") -> None:
        """prefix: of its names, so that two parts of one function have different ones."""
        self._lines: list[str] = []
        self._prefix = prefix
        self._count = 0

    def do(self, line: str) -> None:
        """A line that gives no value: a store, a branch, a label."""
        self._lines.append(line)

    def let(self, expression: str) -> str:
        """The name of the expression's value."""
        self._count += 1
        name = f"%{self._prefix}{self._count}"
        self._lines.append(f"{name} = {expression}")
        return name

    def load(self, vector: str, element: str, base: str, index: str) -> str:
        """Vector of elements that begins at base[index]; nothing is known of its alignment but the element's."""
        place = self.let(f"getelementptr {element}, ptr {base}, i64 {index}")
        return self.let(f"load {vector}, ptr {place}, align {size_of(element)}")

    def store(self, value: str, vector: str, element: str, base: str, index: str) -> None:
        """The other way."""
        place = self.let(f"getelementptr {element}, ptr {base}, i64 {index}")
        self.do(f"store {vector} {value}, ptr {place}, align {size_of(element)}")

    def splat(self, value: str, element: str, lanes: int) -> str:
        """A vector that holds one value in every lane."""
        vector = f"<{lanes} x {element}>"
        one = self.let(f"insertelement {vector} poison, {element} {value}, i64 0")
        return self.let(f"shufflevector {vector} {one}, {vector} poison, <{lanes} x i32> zeroinitializer")

    def total(self, values: list[str], vector: str) -> str:
        """Their sum; zero where there are none."""
        if not values:
            return self.let(f"add {vector} zeroinitializer, zeroinitializer")
        sum_ = values[0]
        for value in values[1:]:
            sum_ = self.let(f"add {vector} {sum_}, {value}")
        return sum_

    def quotient(self, sum_: str, element: str, lanes: int, divisor: str) -> str:
        """floorDiv(2**15 * sum, divisor) as int32, where 2**15 * |sum| < 2**53 and the quotient fits.

        divisor: (lanes) float64.  The rounded quotient never reaches an integer from below: the distance to it is at
        least 1 / divisor, more than half a unit in the last place while quotient * divisor < 2**53.
        """
        reals, ints = f"<{lanes} x double>", f"<{lanes} x i32>"
        value = self.let(f"sitofp <{lanes} x {element}> {sum_} to {reals}")
        value = self.let(f"fmul {reals} {value}, splat (double 32768.0)")
        value = self.let(f"fdiv {reals} {value}, {divisor}")
        toward_zero = self.let(f"fptosi {reals} {value} to {ints}")
        back = self.let(f"sitofp {ints} {toward_zero} to {reals}")
        is_above = self.let(f"fcmp ogt {reals} {back}, {value}")
        one_less = self.let(f"sext <{lanes} x i1> {is_above} to {ints}")
        return self.let(f"add {ints} {toward_zero}, {one_less}")

    def __str__(self) -> str:
        return "\n".join(self._lines)


def size_of(element: str) -> int:
    """Bytes of an integer type."""
    return int(element[1:]) // 8
