"""Being told to stop, in a way that a signal handler may use.

Responsible for: waiting that ends at once when somebody says stop.
Must not know:   signals, or what is being stopped.
"""

from __future__ import annotations

import os
import select
from typing import Protocol


class Stop(Protocol):
    """What a loop looks at; `threading.Event` is one too, for tests that stop from another thread."""

    def is_set(self) -> bool:
        """Whether to stop."""

    def wait(self, timeout: float) -> bool:
        """Sleeps for at most so many seconds; whether to stop."""


class SignalStop:
    """A pipe.  Not `threading.Event`: its lock is held by `wait` for a moment, and a handler that runs in that moment,
    in the same thread, would wait for it for ever."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)

    def set(self) -> None:
        """Says stop; takes no lock."""
        try:
            os.write(self._write, b"\0")
        except BlockingIOError:  # full of earlier ones
            return

    def is_set(self) -> bool:
        """As in Stop."""
        return self.wait(0)

    def wait(self, timeout: float) -> bool:
        """As in Stop."""
        return bool(select.select([self._read], [], [], timeout)[0])

    def close(self) -> None:
        """Gives the pipe back."""
        os.close(self._read)
        os.close(self._write)
