"""Work that a Ray worker does not survive; in a module of its own, because workers import it by its name."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

P = TypeVar("P")
R = TypeVar("R")


def dying(work: Callable[[P], R], marker: Path, unlucky: int, part: tuple[int, P]) -> R:
    """Does the work, and once, before it can say what came of it, its process is killed.

    marker:  a file that says that this has happened.
    unlucky: which part it happens to.
    part:    its number, and what the work is done on.
    """
    result = work(part[1])
    if part[0] == unlucky and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return result


def always_dying(folder: Path, part: int) -> int:
    """Leaves a file with the number of its process, which is killed."""
    (folder / f"{os.getpid()}").touch()
    os.kill(os.getpid(), signal.SIGKILL)
    return part


def slow(part: int) -> int:
    """Takes far longer than any deadline of a test; nobody waits for its end."""
    time.sleep(60)
    return part
