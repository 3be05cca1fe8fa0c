"""What the benchmarks' command lines have in common: bounds of numbers, and errors as one line.

Responsible for: the types of arguments, and the exit code of a script.
Must not know:   what is measured.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable

from protocol.errors import UnavailableError, VeriflockError

MOST = (1 << 31) - 1


def whole(least: int, most: int = MOST) -> Callable[[str], int]:
    """The type of an argument that is an integer from `least` to `most`."""

    def number(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"expected {least} to {most}, got {value}")
        return value

    return number


def seconds(text: str) -> float:
    """The type of an argument that is a time: above zero, and not endless."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected seconds above 0, got {text}")
    return value


def exit_code(work: Callable[[], None]) -> int:
    """0; 2 where the work was refused, with one line on standard error, or nobody reads on (`| head`)."""
    try:
        work()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except (VeriflockError, UnavailableError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except MemoryError as error:
        print(f"error: out of memory: {error}", file=sys.stderr)
        return 2
    return 0
