"""The platform's process: one socket for launches, one thread for each running enclave.

Responsible for: accepting hosts, launching what they may launch, answering the enclaves that it launched.
Must not know:   what passes through the door of an enclave.

There is no request for a quote on the platform's socket: only an enclave, on the socket that it was born with, gets
one, and only about itself.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import shutil
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from coordinator.platform.keys import MAX_PURPOSE_CHARACTERS, PlatformDirectory
from coordinator.platform.launch import MAX_LAUNCH_BYTES, EnclaveProcess, LaunchRequest, parse_launch
from coordinator.platform.manifest import build_image
from coordinator.platform.quoting import SimulatedAttester
from coordinator.platform.sockets import read_frame, write_frame
from protocol.attestation.attester import REPORT_DATA_BYTES, Attester
from protocol.encoding import Fields
from protocol.errors import UnavailableError, UnknownNameError, VeriflockError

LAUNCH_TIMEOUT_S = 10.0
"""How long a host may take for its launch frame."""
REAP_TIMEOUT_S = 5.0
"""How long an enclave may take to end once it closed its socket."""
MAX_REQUEST_BYTES = 4096
"""An enclave's requests are 64 bytes of report data or a short purpose."""
MAX_SOCKET_PATH_BYTES = 107
"""sockaddr_un has 108 with the final NUL."""


class PlatformServer:
    """The simulated processor of one machine."""

    def __init__(
        self, directory: PlatformDirectory, socket_path: Path, *, source: Path, now_s: int, log: Callable[[str], None]
    ) -> None:
        """Binds the socket; nobody is served before `serve`.

        source: directory with the code to measure and run (`protocol/`, `coordinator/enclave/`).
        now_s:  seconds since 1970, for certificates that are made now.
        log:    takes one line at a time.
        Raises: UnavailableError, OSError.
        """
        self._directory = directory
        self._source = source
        self._log = log
        self.keys = directory.keys(now_s)
        self._enclaves: dict[bytes, EnclaveProcess] = {}
        self._doors: set[socket.socket] = set()
        """Connections that have not become an enclave's door yet."""
        self._threads: set[threading.Thread] = set()
        self._state = threading.Lock()
        self._launching = threading.Lock()
        self._stopping = False
        # What is staged now belongs to a platform that died, and its enclaves with it.
        shutil.rmtree(directory.staged, ignore_errors=True)
        directory.staged.mkdir(mode=0o700)
        self._wake_read, self._wake_write = socket.socketpair()
        self._socket_path = socket_path
        self._listener = listen(socket_path)

    def stop(self) -> None:
        """Makes `serve` return soon; safe in a signal handler."""
        with contextlib.suppress(OSError):
            self._wake_write.send(b"\0")

    def serve(self) -> None:
        """Serves hosts until `stop`; then kills and reaps every enclave, and removes the socket."""
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._listener, selectors.EVENT_READ)
                selector.register(self._wake_read, selectors.EVENT_READ)
                # Waits for a host or for `stop`, as a server does; nothing else is waited for without a limit.
                while all(key.fileobj is not self._wake_read for key, _ in selector.select()):
                    with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
                        door, _ = self._listener.accept()
                        self._start_thread(door)
        finally:
            self._shut_down()

    def _start_thread(self, door: socket.socket) -> None:
        thread = threading.Thread(target=self._serve_host, args=(door,), daemon=True)
        with self._state:
            self._threads.add(thread)
            self._doors.add(door)
        thread.start()

    def _shut_down(self) -> None:
        self._listener.close()
        self._socket_path.unlink(missing_ok=True)
        with self._state:
            self._stopping = True
            enclaves, threads = list(self._enclaves.values()), list(self._threads)
            for door in self._doors:
                with contextlib.suppress(OSError):
                    door.shutdown(socket.SHUT_RDWR)
        for enclave in enclaves:
            enclave.kill()
        for thread in threads:
            thread.join(LAUNCH_TIMEOUT_S + REAP_TIMEOUT_S)
        self._wake_read.close()
        self._wake_write.close()
        self._directory.close()

    def _serve_host(self, door: socket.socket) -> None:
        """One connection: launch, then answer its enclave until it ends.

        In one thread, because the kernel takes the end of the thread that started a process for its parent's death.
        """
        try:
            with door:
                launched = self._launch(door)
                with self._state:
                    self._doors.discard(door)
            # Our copy of the door is closed: when the host closes its end, the enclave sees the end of the file.
            if launched is not None:
                self._serve_enclave(*launched)
        finally:
            with self._state:
                self._threads.discard(threading.current_thread())

    def _launch(self, door: socket.socket) -> tuple[EnclaveProcess, LaunchRequest, int] | None:
        try:
            door.settimeout(LAUNCH_TIMEOUT_S)
            message = read_frame(door, max_bytes=MAX_LAUNCH_BYTES)
            if message is None:
                return None
            request = parse_launch(message)
            # The flag is of the connection, not of our descriptor: the enclave wants a blocking one.
            door.setblocking(True)
            return self._start_enclave(request, door)
        except (VeriflockError, UnavailableError, OSError) as error:
            self._log(f"launch refused: {error}")
            with contextlib.suppress(OSError):
                door.settimeout(LAUNCH_TIMEOUT_S)
                write_frame(door, {"error": str(error)})
            return None

    def _start_enclave(self, request: LaunchRequest, door: socket.socket) -> tuple[EnclaveProcess, LaunchRequest, int]:
        image = build_image(request.charter, source=self._source)
        instance = request.instance(image.measurement)
        with self._launching:
            self._end_predecessor(instance)
            epoch = self._directory.epoch(instance, fresh=request.fresh)
            with self._state:
                if self._stopping:
                    raise UnavailableError("the platform is stopping")
                enclave = EnclaveProcess(image, door, self._directory.staged)
                self._enclaves[instance] = enclave
        name = f"enclave {image.measurement.hex()}"
        self._log(f"{name} started, epoch {epoch}, pid {enclave.pid} (simulated: says nothing about hardware)")
        return enclave, request, epoch

    def _end_predecessor(self, instance: bytes) -> None:
        """Two enclaves with the same keys could sign two results for one round: the older one goes."""
        with self._state:
            predecessor = self._enclaves.pop(instance, None)
        if predecessor is not None:
            predecessor.kill()
            predecessor.wait(REAP_TIMEOUT_S)

    def _serve_enclave(self, enclave: EnclaveProcess, request: LaunchRequest, epoch: int) -> None:
        measurement = enclave.image.measurement
        attester = SimulatedAttester(
            pki=self.keys.pki, attestation_key=self.keys.attestation_key, measurement=measurement
        )
        try:
            write_frame(enclave.control, {**request.to_map(), "epoch": epoch})
            # Ends with the enclave: its end of the socket closes when it does.
            while (message := read_frame(enclave.control, max_bytes=MAX_REQUEST_BYTES)) is not None:
                write_frame(enclave.control, self._answer(message, attester, measurement))
        except (VeriflockError, OSError) as error:
            if getattr(error, "errno", None) not in (errno.EPIPE, errno.ECONNRESET, errno.EBADF):
                self._log(f"enclave {measurement.hex()} ended: {error}")
            enclave.kill()
        status = enclave.reap(REAP_TIMEOUT_S)
        with self._state:
            for instance in [key for key, value in self._enclaves.items() if value is enclave]:
                del self._enclaves[instance]
        self._log(f"enclave {measurement.hex()} ended with status {status}")

    def _answer(self, message: dict[str, Any], attester: Attester, measurement: bytes) -> dict[str, Any]:
        try:
            fields = Fields(message, "request")
            operation = fields.text("op", 16)
            if operation == "quote":
                report_data = fields.bytes("report_data", REPORT_DATA_BYTES)
                fields.done()
                return {"quote": attester.quote(report_data)}
            if operation == "key":
                purpose = fields.text("purpose", MAX_PURPOSE_CHARACTERS)
                fields.done()
                return {"key": self.keys.sealing_key(measurement, purpose)}
            raise UnknownNameError("request to the platform", known=("quote", "key"), actual=operation)
        except VeriflockError as error:
            return {"error": str(error)}


def listen(path: Path) -> socket.socket:
    """A listening Unix socket, mode 0600; one that a dead process left behind is replaced.

    Raises: UnavailableError (somebody listens there, something else is there, the path is too long), OSError.
    """
    if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
        raise UnavailableError(
            f"socket path of {len(os.fsencode(path))} bytes", f"use one of at most {MAX_SOCKET_PATH_BYTES} bytes"
        )
    if path.exists() or path.is_symlink():
        _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX)
    try:
        previous = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(previous)
        listener.listen(16)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def _remove_stale(path: Path) -> None:
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise UnavailableError(f"{path} is there and is no socket", "choose another path for the socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise UnavailableError(f"somebody listens at {path}", "stop the other platform, or choose another path")
