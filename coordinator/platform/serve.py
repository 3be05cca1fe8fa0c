"""The platform's process: one socket for launches, one thread for each running enclave.

Responsible for: accepting hosts, launching what they may launch, answering the enclaves that it launched.
Must not know:   what passes through the door of an enclave.

There is no request for a quote on the platform's socket: only an enclave, on the socket that it was born with, gets
one, and only about itself.  Collateral is public, and anybody who reaches the socket gets it.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coordinator.platform.collateral_file import current_collateral
from coordinator.platform.counters import COUNTERS_FILE, Counter, Counters
from coordinator.platform.keys import MAX_PURPOSE_CHARACTERS, PlatformDirectory
from coordinator.platform.launch import MAX_LAUNCH_BYTES, EnclaveProcess, LaunchRequest, parse_launch
from coordinator.platform.manifest import EnclaveImage, build_image
from coordinator.platform.quoting import SimulatedAttester
from coordinator.platform.sockets import read_frame, write_frame
from coordinator.platform.tdx import SimulatedTdAttester
from protocol.attestation.attester import REPORT_DATA_BYTES, Attester
from protocol.attestation.measurement import measure_td
from protocol.attestation.tcb import Tee
from protocol.encoding import Fields
from protocol.errors import UnavailableError, UnknownNameError, VerificationError, VeriflockError

LAUNCH_TIMEOUT_S = 10.0
"""How long a host may take for its launch frame."""
REAP_TIMEOUT_S = 5.0
"""How long an enclave may take to end once it closed its socket."""
MAX_REQUEST_BYTES = 4096
"""An enclave's requests are 64 bytes of report data, a short purpose, two hashes, or why it refuses to start."""
MAX_SOCKET_PATH_BYTES = 107
"""sockaddr_un has 108 with the final NUL."""
_OPERATIONS = ("quote", "key", "advance", "refused")
"""What an enclave asks of, or tells, its platform."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Launched:
    """A running enclave, and what the platform knows of it."""

    enclave: EnclaveProcess
    request: LaunchRequest
    measurement: bytes
    """MRENCLAVE or MRTD."""
    instance: bytes
    """What its epochs and states are counted for; 32 bytes."""
    counter: Counter
    """As it was at the launch."""


class PlatformServer:
    """The simulated processor of one machine."""

    def __init__(
        self,
        directory: PlatformDirectory,
        socket_path: Path,
        *,
        source: Path,
        clock: Callable[[], int],
        log: Callable[[str], None],
        tee: Tee = Tee.SGX,
    ) -> None:
        """Binds the socket; nobody is served before `serve`.

        source: directory with the code to measure and run (`protocol/`, `coordinator/enclave/`).
        clock:  seconds since 1970, for certificates and collateral.
        log:    takes one line at a time.
        tee:    as what the enclaves are measured and quoted.
        Raises: UnavailableError, OSError.
        """
        self._directory = directory
        self._source = source
        self._log = log
        self._clock = clock
        self._tee = tee
        self.keys = directory.keys(clock())
        self._counters = Counters(directory.path / COUNTERS_FILE)
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
                self._serve_enclave(launched)
        finally:
            with self._state:
                self._threads.discard(threading.current_thread())

    def _launch(self, door: socket.socket) -> _Launched | None:
        try:
            door.settimeout(LAUNCH_TIMEOUT_S)
            message = read_frame(door, max_bytes=MAX_LAUNCH_BYTES)
            if message is None:
                return None
            if message.get("op") == "collateral":
                write_frame(door, {"collateral": self._collateral(message)})
                return None
            request = parse_launch(message)
            # The flag is of the connection, not of our descriptor: the enclave wants a blocking one.
            door.setblocking(True)
            return self._start_enclave(request, door)
        except (VeriflockError, UnavailableError, OSError) as error:
            self._log(f"request refused: {error}")
            with contextlib.suppress(OSError):
                door.settimeout(LAUNCH_TIMEOUT_S)
                write_frame(door, {"error": str(error)})
            return None

    def _collateral(self, message: dict[str, Any]) -> bytes:
        """What anybody may know: the public evidence about this platform."""
        fields = Fields(message, "request")
        fields.text("op", 16)
        name = fields.text("tee", 16)
        fields.done()
        if name not in list(Tee):
            raise UnknownNameError("kind of platform", known=list(Tee), actual=name)
        return current_collateral(self._directory.path, self.keys.pki, Tee(name), self._clock())

    def _measure(self, image: EnclaveImage) -> bytes:
        """MRENCLAVE or MRTD, by the shape of this platform."""
        return image.measurement if self._tee is Tee.SGX else measure_td(image.manifest)

    def _attester(self, measurement: bytes) -> Attester:
        pki = self.keys.pki
        if self._tee is Tee.SGX:
            return SimulatedAttester(pki=pki, attestation_key=self.keys.attestation_key, measurement=measurement)
        return SimulatedTdAttester(pki=pki, attestation_key=self.keys.td_attestation_key, measurement=measurement)

    def _start_enclave(self, request: LaunchRequest, door: socket.socket) -> _Launched:
        image = build_image(request.charter, source=self._source)
        measurement = self._measure(image)
        instance = request.instance(measurement)
        with self._launching:
            self._end_predecessor(instance)
            counter = self._counters.begin(instance, fresh=request.fresh)
            with self._state:
                if self._stopping:
                    raise UnavailableError("the platform is stopping")
                enclave = EnclaveProcess(image, door, self._directory.staged)
                self._enclaves[instance] = enclave
        name = f"enclave {measurement.hex()}"
        self._log(f"{name} started, epoch {counter.epoch}, pid {enclave.pid} (simulated: says nothing about hardware)")
        return _Launched(enclave=enclave, request=request, measurement=measurement, instance=instance, counter=counter)

    def _end_predecessor(self, instance: bytes) -> None:
        """Two enclaves with the same keys could sign two results for one round: the older one goes."""
        with self._state:
            predecessor = self._enclaves.pop(instance, None)
        if predecessor is not None:
            predecessor.kill()
            predecessor.wait(REAP_TIMEOUT_S)

    def _serve_enclave(self, launched: _Launched) -> None:
        enclave, measurement, counter = launched.enclave, launched.measurement, launched.counter
        attester = self._attester(measurement)
        try:
            counted = {"epoch": counter.epoch, "state_version": counter.version, "state_hash": counter.state}
            write_frame(enclave.control, {**launched.request.to_map(), **counted})
            # Ends with the enclave: its end of the socket closes when it does.
            while (message := read_frame(enclave.control, max_bytes=MAX_REQUEST_BYTES)) is not None:
                write_frame(enclave.control, self._answer(message, attester, launched))
        except (VeriflockError, OSError) as error:
            if getattr(error, "errno", None) not in (errno.EPIPE, errno.ECONNRESET, errno.EBADF):
                self._log(f"enclave {measurement.hex()} ended: {error}")
            enclave.kill()
        status = enclave.reap(REAP_TIMEOUT_S)
        with self._state:
            for instance in [key for key, value in self._enclaves.items() if value is enclave]:
                del self._enclaves[instance]
        self._log(f"enclave {measurement.hex()} ended with status {status}")

    def _answer(self, message: dict[str, Any], attester: Attester, launched: _Launched) -> dict[str, Any]:
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
                return {"key": self.keys.sealing_key(launched.measurement, purpose)}
            if operation == "advance":
                return self._advance(fields, launched)
            if operation == "refused":
                text = fields.text("message", MAX_REQUEST_BYTES)
                fields.done()
                self._log(f"enclave {launched.measurement.hex()} refused to go on: {text}")
                return {}
            raise UnknownNameError("request to the platform", known=_OPERATIONS, actual=operation)
        except (VeriflockError, UnavailableError) as error:
            return {"error": str(error)}

    def _advance(self, fields: Fields, launched: _Launched) -> dict[str, Any]:
        """Counts the enclave's state up; what a dead enclave left in its socket counts for nothing."""
        version, previous, state = fields.uint("version"), fields.bytes("previous", 32), fields.bytes("state", 32)
        fields.done()
        # The lock of launches: a successor was told the counter, and nobody else may move it from then on.
        with self._launching:
            with self._state:
                is_newest = self._enclaves.get(launched.instance) is launched.enclave
            if not is_newest:
                raise VerificationError("an enclave that another one replaced can't count")
            counter = self._counters.advance(launched.instance, version=version, previous=previous, state=state)
        return {"version": counter.version}


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
