"""A coordinator that is killed at every n-th durable write, before it or after it in turn, and started again.

Arguments: configuration, n.  Prints a line for every death; exits with 0 once round 1 is final.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from coordinator import log
from coordinator.config import read_config
from coordinator.server import open_coordinator
from coordinator.store import Store

MAX_LIVES = 60
_write = Store._write


def live(config: Path, every: int, before: bool) -> None:
    """One life."""
    left = every

    def write(self: Store, path: Path, data: bytes, mode: int) -> None:
        nonlocal left
        left -= 1
        if left == 0 and before:
            os.kill(os.getpid(), signal.SIGKILL)
        _write(self, path, data, mode)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    Store._write = write  # type: ignore[method-assign]
    log.configure(config.with_name("coordinator.log"))
    with open_coordinator(read_config(config)) as running:
        running.service.run(threading.Event(), last_round=1)


def main() -> int:
    """Lives until one of them gets to the end."""
    config, every = Path(sys.argv[1]), int(sys.argv[2])
    for number in range(MAX_LIVES):
        pid = os.fork()  # everything is imported by now: a life begins at once
        if pid == 0:
            try:
                live(config, every, before=number % 2 == 0)
            except BaseException as error:
                print(f"failed: {error!r}", flush=True)
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        if not os.WIFSIGNALED(status):
            return os.waitstatus_to_exitcode(status)
        print("died", flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
