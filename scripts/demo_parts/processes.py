"""The demo's processes: each with its log, all of them surely ended.

Responsible for: starting, watching and stopping.
Must not know:   what they do.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from coordinator.anvil import die_with_parent
from protocol.errors import UnavailableError

STOP_TIMEOUT_S = 10.0
LOG_TAIL_LINES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One running process."""

    name: str
    """For people, and of its log."""
    process: subprocess.Popen[bytes]
    """In a session of its own, so that its children end with it."""
    log: Path
    """What it prints."""


class Processes:
    """All that the demo starts; `stop` ends them, last started first."""

    def __init__(self, logs: Path) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self._logs = logs
        self._running: list[Process] = []

    def start(self, name: str, *arguments: str, script: Path | None = None) -> Process:
        """`veriflock` with these arguments, or a script of the demo's."""
        log = self._logs / f"{name}.log"
        program = (
            [str(Path(sys.executable).with_name("veriflock"))] if script is None else [sys.executable, str(script)]
        )
        command = [*program, *arguments]
        environment = {**os.environ, "NO_COLOR": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,
                env=environment,
            )
        started = Process(name=name, process=process, log=log)
        self._running.append(started)
        return started

    def check(self) -> None:
        """Raises UnavailableError when one has ended, with the end of its log."""
        for one in self._running:
            if one.process.poll() is not None:
                lines = one.log.read_text(errors="replace").strip().splitlines()[-LOG_TAIL_LINES:]
                tail = "\n  ".join(["", *lines])
                raise UnavailableError(f"{one.name} ended with code {one.process.returncode}:{tail}")

    def forget(self, process: Process) -> None:
        """Its end is expected from here on."""
        self._running.remove(process)

    def stop_these(self, *processes: Process) -> None:
        """Ends some processes and their children, all at once."""
        for process in processes:
            self.forget(process)
            _signal(process, signal.SIGTERM)
        _end(list(processes))

    def stop(self) -> None:
        """Ends all; those that don't end in time are killed."""
        ended, self._running = self._running[::-1], []
        for one in ended:
            _signal(one, signal.SIGTERM)
        _end(ended)


def _end(processes: list[Process]) -> None:
    deadline = time.monotonic() + STOP_TIMEOUT_S
    for one in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            one.process.wait(max(0.1, deadline - time.monotonic()))
        if one.process.poll() is None:
            _signal(one, signal.SIGKILL)
            one.process.wait(STOP_TIMEOUT_S)


def _signal(one: Process, signum: signal.Signals) -> None:
    if one.process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.process.pid, signum)
