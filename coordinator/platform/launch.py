"""Starting an enclave: the host's one frame, and a process with two sockets and nothing else.

Responsible for: the launch request, the staged code, and the enclave's process.
Must not know:   keys, quotes, or what comes through the door behind the launch frame.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coordinator.platform.manifest import INTERPRETER_FLAGS, LOADER, EnclaveImage, interpreter_files, stdlib
from protocol.charter import MAX_BYTES as MAX_CHARTER_BYTES
from protocol.charter import parse_charter
from protocol.encoding import Fields, encode
from protocol.hashing import sha256

MAX_LAUNCH_BYTES = MAX_CHARTER_BYTES + 4096
"""The charter and a few short fields."""

_FREE_DESCRIPTOR = 64
"""Far above 3 and 4, where the loader puts the sockets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchRequest:
    """What the host asks for; it goes into the enclave's claims, and none of it says what code to run."""

    charter: bytes
    """The federation's parameters, canonical JSON; part of the measurement."""
    federation: bytes
    """32 bytes."""
    chain_id: int
    ledger: bytes
    """Address of the RoundLedger; 20 bytes."""
    operator: bytes
    """Address of the coordinator; 20 bytes."""
    nonce: bytes
    """A recent block's hash; 32 bytes."""
    fresh: bool
    """Whether to begin with new keys; else the enclave resumes with those of the last epoch."""

    def instance(self, measurement: bytes) -> bytes:
        """What an epoch is counted for: this code, for this federation, ledger and operator; 32 bytes."""
        return sha256(encode([measurement, self.federation, self.chain_id, self.ledger, self.operator]))

    def to_map(self) -> dict[str, Any]:
        """The fields, as they came."""
        return {
            "charter": self.charter,
            "federation": self.federation,
            "chain_id": self.chain_id,
            "ledger": self.ledger,
            "operator": self.operator,
            "nonce": self.nonce,
            "fresh": self.fresh,
        }


def parse_launch(message: dict[str, Any]) -> LaunchRequest:
    """The request in the host's first frame.  Raises MalformedError, also for a charter that is none."""
    fields = Fields(message, "launch")
    request = LaunchRequest(
        charter=fields.bytes("charter", max_length=MAX_CHARTER_BYTES),
        federation=fields.bytes("federation", 32),
        chain_id=fields.uint("chain_id"),
        ledger=fields.bytes("ledger", 20),
        operator=fields.bytes("operator", 20),
        nonce=fields.bytes("nonce", 32),
        fresh=fields.bool("fresh"),
    )
    fields.done()
    parse_charter(request.charter)
    return request


class EnclaveProcess:
    """A running enclave, known to the platform by the socket that it made for it."""

    def __init__(self, image: EnclaveImage, door: socket.socket, staged: Path) -> None:
        """Stages the code and starts it with the door as descriptor 3 and a socket to the platform as 4.

        Raises: OSError.
        """
        self.image = image
        self._directory = Path(tempfile.mkdtemp(prefix=f"{image.measurement.hex()[:16]}-", dir=staged))
        self.control, theirs = socket.socketpair()
        try:
            arguments = _stage(image, self._directory)
            with _high(door) as door_descriptor, _high(theirs) as control_descriptor:
                self._process = subprocess.Popen(
                    [
                        sys.executable,
                        *INTERPRETER_FLAGS,
                        "-c",
                        dict(image.code)[LOADER].decode(),
                        str(os.getpid()),
                        str(door_descriptor),
                        str(control_descriptor),
                        *arguments,
                    ],
                    pass_fds=(door_descriptor, control_descriptor),
                    close_fds=True,
                    env={},
                    cwd=self._directory,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C at the platform's terminal is the platform's to handle
                )
        except BaseException:
            self.control.close()
            shutil.rmtree(self._directory, ignore_errors=True)
            raise
        finally:
            theirs.close()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def kill(self) -> None:
        """Ends the process at once; nothing that matters is only in its memory."""
        self._process.kill()

    def wait(self, timeout_s: float) -> None:
        """Waits for the end of a killed process.  Raises TimeoutError when it is still there."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"enclave {self.pid} does not end") from error

    def reap(self, timeout_s: float) -> int:
        """Waits for the end, kills what does not end in time, cleans up; the exit status."""
        try:
            status = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self.control.close()
        shutil.rmtree(self._directory, ignore_errors=True)
        return status


def _stage(image: EnclaveImage, directory: Path) -> list[str]:
    """Writes manifest and code as they were measured, links the named distributions; what the loader is told of it."""
    code, site = directory / "code", directory / "site"
    for name, content in image.code:
        target = code / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(0o400)
    site.mkdir()
    for distribution in image.distributions:
        for entry in distribution.entries:
            (site / entry).symlink_to(distribution.site / entry)
    manifest = directory / "manifest.json"
    manifest.write_bytes(image.manifest)
    manifest.chmod(0o400)
    places = [code, stdlib(), site, *interpreter_files()]
    return [str(manifest), sha256(image.manifest).hex(), *map(str, places)]


@contextlib.contextmanager
def _high(connection: socket.socket) -> Iterator[int]:
    """A duplicate of a socket's descriptor that is out of the way of 3 and 4."""
    descriptor = fcntl.fcntl(connection, fcntl.F_DUPFD_CLOEXEC, _FREE_DESCRIPTOR)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
