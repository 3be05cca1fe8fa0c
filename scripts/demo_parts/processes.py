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
class Member:
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
        self._members: list[Member] = []

    def start(self, name: str, *arguments: str) -> Member:
        """`veriflock` with these arguments."""
        log = self._logs / f"{name}.log"
        command = [str(Path(sys.executable).with_name("veriflock")), *arguments]
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
        member = Member(name=name, process=process, log=log)
        self._members.append(member)
        return member

    def check(self) -> None:
        """Raises UnavailableError when one has ended, with the end of its log."""
        for member in self._members:
            if member.process.poll() is not None:
                lines = member.log.read_text(errors="replace").strip().splitlines()[-LOG_TAIL_LINES:]
                tail = "\n  ".join(["", *lines])
                raise UnavailableError(f"{member.name} ended with code {member.process.returncode}:{tail}")

    def forget(self, member: Member) -> None:
        """Its end is expected from here on."""
        self._members.remove(member)

    def stop_one(self, member: Member) -> None:
        """Ends one process and its children."""
        self.forget(member)
        _signal(member, signal.SIGTERM)
        _end([member])

    def stop(self) -> None:
        """Ends all; those that don't end in time are killed."""
        members, self._members = self._members[::-1], []
        for member in members:
            _signal(member, signal.SIGTERM)
        _end(members)


def _end(members: list[Member]) -> None:
    deadline = time.monotonic() + STOP_TIMEOUT_S
    for member in members:
        with contextlib.suppress(subprocess.TimeoutExpired):
            member.process.wait(max(0.1, deadline - time.monotonic()))
        if member.process.poll() is None:
            _signal(member, signal.SIGKILL)
            member.process.wait(STOP_TIMEOUT_S)


def _signal(member: Member, signum: signal.Signals) -> None:
    if member.process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(member.process.pid, signum)
